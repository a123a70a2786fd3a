"""What the measurements come to: the tables that are printed."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence

from .engines import PRECISIONS
from .measure import PATIENCE, Results, Row
from .tables import Table
from .timing import Spread

WIDTH = 96


def whole_call(row: Row, new_ids: int) -> Spread:
    """Ids a second of one prompt, from the call to the last id."""
    return Spread.of([new_ids / whole for _, whole in row.speed[1]])


def decoding(row: Row, batch: int, new_ids: int) -> Spread:
    """Ids a second of all rows, without the first id of each, whose time is the prompt's.

    With a tiny model chance decides which of the two times is the longer one.
    """
    return Spread.of([batch * (new_ids - 1) / max(whole - first, whole / 100) for first, whole in row.speed[batch]])


def milliseconds(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Of each of several things that were measured in every round, in seconds: the median."""
    return [1000 * statistics.median(column) for column in zip(*rounds, strict=True)]


def tables(results: Results) -> list[Table]:
    made = [_speeds(results), _comparisons(results), _batches(results), _starts(results)]
    made += [_calls(results), _contexts(results)]
    return [table for table in made if table.rows]


def introduction(results: Results) -> list[str]:
    """The machine, the model, and the memory's speed: a line each."""
    plan = results.plan
    lines = [f"{name}: {text}" for name, text in results.machine.items()]
    read = results.bandwidth
    lines.append(f"memory: {read.bytes_a_second / 1e9:.1f} GB/s read by all threads (the best way: {read.how})")
    lines.append(
        f"model: {plan.config.n_parameters / 1e6:.0f}M random weights, greedy; rounds, in turns: {plan.rounds}, "
        f"and {plan.other_rounds} for all but the first two tables"
    )
    return [line for long in lines for line in textwrap.wrap(long, WIDTH, subsequent_indent="  ")]


def agreements(results: Results) -> list[str]:
    """What the comparison of ids gave."""
    same = [one for one in results.agreements if not one.partings]
    lines = []
    if same:
        names = ", ".join(one.engine.name for one in same)
        lines.append(f"The same ids in all texts, compared before anything was timed: {names}.")
    lines += [f"{one.sentence()}." for one in results.agreements if one.partings]
    if slow := [row.engine.name for row in results.rows if row.slow]:
        why = f"because the prompt takes over {PATIENCE:g} s"
        lines.append(f"Timed once only, and with nothing larger, {why}: {', '.join(slow)}.")
    return [line for long in lines for line in textwrap.wrap(long, WIDTH, subsequent_indent="  ")]


def by_precision(results: Results) -> list[tuple[str, list[Row]]]:
    """The rows of each precision that there is."""
    groups = [(name, [row for row in results.rows if row.engine.precision == name]) for name in PRECISIONS]
    return [(name, rows) for name, rows in groups if rows]


def _speeds(results: Results) -> Table:
    plan = results.plan
    rows: list[Sequence[str]] = []
    for precision, group in by_precision(results):
        limit = results.limit(precision)
        rows.append(["limit, " + PRECISIONS[precision], "", f"{limit:.1f}", "1.00"])
        for row in group:
            decode = decoding(row, 1, plan.new_ids)
            share = f"{decode.median / limit:.2f}"
            rows.append([f"  {row.engine.name}", whole_call(row, plan.new_ids).text(), decode.text(), share])
    return Table(
        f"Ids a second behind one prompt of {plan.prompt_ids} ids: median (lowest-highest)",
        ["", f"prompt and {plan.new_ids} ids", "without the prompt", "of the limit"],
        rows,
        _wrapped(
            "The limit is the memory's speed over the bytes that one id has to read: all matrices, the head with them."
            + (" q8_0 stores 8.5 bits a weight." if any(row.engine.weights == "q8_0" for row in results.rows) else "")
        ),
    )


def _comparisons(results: Results) -> Table:
    """How many times as fast as the peers we are, in the same rounds and at the same precision."""
    kinds = list(dict.fromkeys(row.engine.kind for row in results.rows if not row.engine.is_ours))
    rows = []
    for _, group in by_precision(results):
        peers = [row for row in group if not row.engine.is_ours]
        for row in group:
            if row.engine.is_ours and peers:
                of_kind = [[peer for peer in peers if peer.engine.kind == kind] for kind in kinds]
                rows.append([row.engine.name, *(_times(row, candidates) for candidates in of_kind)])
    return Table(
        "Times as fast as the peers at the same precision, prompt included: median over the rounds", ["", *kinds], rows
    )


def _times(ours: Row, peers: Sequence[Row]) -> str:
    """Beside the fastest of these peers."""
    if not peers:
        return "-"
    mine = [whole for _, whole in ours.speed[1]]
    each = [[whole for _, whole in peer.speed[1]] for peer in peers]
    theirs = min(each, key=statistics.median)
    both = min(len(mine), len(theirs))  # rounds: a slow one has a single one
    ratios = [other / one for one, other in zip(mine[:both], theirs[:both], strict=True)]
    return Spread.of(ratios).text(2)


def _batches(results: Results) -> Table:
    plan = results.plan
    rows = [
        [
            row.engine.name,
            *(decoding(row, batch, plan.batch_new_ids).text(0) for batch in plan.batches),
            Spread.of([plan.prefill_ids / one for one in row.prefill]).text(0),
        ]
        for row in results.rows
        if not row.slow
    ]
    header = ["", *(f"{batch} rows" for batch in plan.batches), f"a prompt of {plan.prefill_ids}"]
    return Table("Ids a second in batches, without the prompts, and of a long prompt", header, rows)


def _starts(results: Results) -> Table:
    rows = []
    for row in results.rows:
        before, file = row.memory["before"] or 0, row.file_bytes
        grown = [None if (n := row.memory[when]) is None else n - before for when in ("peak", "loaded", "at work")]
        share = "-" if grown[0] is None else f"{grown[0] / file:.2f}"
        megabytes = ["-" if n is None else f"{n / 1e6:.0f}" for n in grown]
        rows.append([row.engine.name, Spread.of(row.start).text(2), f"{file / 1e6:.0f}", *megabytes, share])
    rows.append(['python -c "import torch"', Spread.of(results.torch_start).text(2), *["-"] * 5])
    return Table(
        "From the start of the process to the first id, in seconds; and memory, in MB",
        ["", "start", "file", "peak", "loaded", "at work", "peak / file"],
        rows,
        _wrapped(
            "Memory is anonymous (RssAnon), and what loading the model added: pages of a file that is mapped do not "
            "count."
        ),
    )


def _calls(results: Results) -> Table:
    plan = results.plan
    numbers = range(1, plan.most_new + 1)
    rows = []
    for row in results.rows:
        if row.calls:
            one = statistics.median(call[0] for call in row.calls)
            ratios = [statistics.median(call[n - 1] / call[0] for call in row.calls) for n in numbers]
            rows.append([row.engine.name, f"{1000 * one:.1f}", *(f"{ratio:.2f}" for ratio in ratios)])
    return Table(
        f"What a call with several new ids costs behind {plan.before} others, relative to one with a single id",
        ["new ids", "1, ms", *map(str, numbers)],
        rows,
    )


def _contexts(results: Results) -> Table:
    lengths = results.plan.contexts
    measured = {row.engine.name: row.contexts for row in results.rows if row.contexts}
    if results.naive:
        measured["naive loop, eager float32"] = results.naive
        measured["cache only, eager float32"] = results.as_stored
    rows = []
    for name, rounds in measured.items():
        medians = milliseconds(rounds)
        rows.append([name, *(f"{one:.1f}" for one in medians), f"{medians[-1] / medians[0]:.2f}"])
    return Table(
        "Milliseconds an id, by the number of ids before it",
        ["", *map(str, lengths), f"{lengths[-1]} / {lengths[0]}"],
        rows,
        "Cache only: matrices as the file has them, by PyTorch's own product." if results.naive else "",
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH)
