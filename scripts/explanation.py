"""A step of a generation, explained on a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable

from decoding import Found, Rounds, Temperature, Tokenizer
from decoding.explain import explain, share
from decoding.legible import columns, padded, printable, token_name
from decoding.rounds_text import LEGEND as LEGEND_OF_ROUNDS
from decoding.rounds_text import DraftFate, round_lines, rounds_sentence
from decoding.trace import Stage, StepTrace
from decoding.tree_text import LEGEND, tree_lines
from decoding.wording import counted, ordinal, percent
from scripts.console import FIXED, held_together
from scripts.paint import Paint

_WIDTH = 80
_NAME = 30  # columns for the name of a processor


def explanation(trace: StepTrace, number: int, tokenizer: Tokenizer, paint: Paint, rivals: int = 3) -> str:
    """What was chosen, what each processor did, and why it was none of the rivals that the processors removed.

    At most 80 columns wide. The rivals are those of the removed ids that the model found likeliest.
    """

    def name(id: int) -> str:
        return token_name(tokenizer, id)

    lines = [_headline(trace, number, name(trace.chosen), paint)]
    if len(trace.stages) > 1:
        lines.append(paint.dim(f"  {'':{_NAME}} {'ids kept':>9} {'removed':>11} {'entropy':>8}  favourite"))
        lines += [_stage(stage, name(stage.favourite), paint) for stage in trace.stages]
    else:
        (model,) = trace.stages
        lines.append(paint.dim(f"  no processors; {model.kept:,} ids, entropy {model.entropy:.2f} nats"))
    before_the_choice = trace.stages[:-1] if trace.stages[-1].processor == Temperature(0) else trace.stages
    for id in trace._replace(stages=before_the_choice).rivals(rivals):  # temperature 0 removes all: that is its rule
        lines += _wrapped(str(explain(trace, id, name)), name(id), paint)
    return "\n".join(lines)


def search_report(found: Found, tokenizer: Tokenizer, paint: Paint) -> str:
    """What a search considered and what it cost, at most 80 columns wide: the tree, where there is one."""

    def name(id: int) -> str:
        return token_name(tokenizer, id)

    texts, asked = counted(len(found.candidates), "text"), counted(found.evaluations, "distribution")
    lines = [paint.bold("search") + f"  {texts} found, {asked} asked for, score {found.candidates[0].score:.4f}"]
    if found.bound == -math.inf:
        lines.append("  nothing was left out")
    elif found.bound is not None:
        lines.append(f"  nothing that it left out scores above {found.bound:.4f}")
    if found.tree is not None:
        lines.append(paint.dim(LEGEND))
        for line in tree_lines(found.tree, name, _WIDTH):
            shown = printable(line.text)
            lines.append(paint.bold(shown) if line.leads else paint.dim(shown) if line.fate == "pruned" else shown)
    return "\n".join(lines)


def rounds_report(rounds: Rounds, tokenizer: Tokenizer, paint: Paint) -> str:
    """What was drafted in each round of speculation and what became of it, at most 80 columns wide."""

    def name(id: int) -> str:
        return token_name(tokenizer, id)

    colours: dict[DraftFate, Callable[[str], str]] = {
        "kept": paint.green,
        "rejected": paint.red,
        "behind": paint.dim,
        "own": paint.bold,
    }
    lines = [paint.bold("drafts") + f"  {rounds_sentence(rounds)}", *map(paint.dim, LEGEND_OF_ROUNDS.splitlines())]
    for line in round_lines(rounds, name, _WIDTH):
        lines.append(line.head + "  ".join(colours[part.fate](printable(part.text)) for part in line.parts))
    return "\n".join(lines)


def _headline(trace: StepTrace, number: int, chosen: str, paint: Paint) -> str:
    first, last = trace.stages[0], trace.stages[-1]
    places = [_place(first)]
    if len(trace.stages) > 1 and _place(last) != places[0]:
        places.append(_place(last))
    step, shown, way = f"step {number}  ", _fitted(chosen, max(columns(printable(chosen)), 14)), " -> ".join(places)
    gap = "  " if columns(step + shown) + 2 + len(way) <= _WIDTH else "\n  "
    shown = shown if gap == "  " else shown.rstrip()
    return paint.dim(step) + paint.bold(shown) + gap + way


def _place(stage: Stage) -> str:
    rank = stage.chosen_rank
    return "removed" if rank is None else f"{ordinal(rank)} with {share(stage.chosen_probability)}"


def _stage(stage: Stage, favourite: str, paint: Paint) -> str:
    removed = f"{percent(stage.mass_removed)}" if stage.before is not None and stage.kept < stage.before.kept else "-"
    line = f"  {_fitted(stage.name, _NAME)} {stage.kept:>9,} {removed:>11} {stage.entropy:>8.2f}  "
    if stage.before is not None and not stage.favourite_changed:
        return line + paint.dim("the same")
    shown = _fitted(favourite, _WIDTH - columns(line)).rstrip()
    return line + (paint.yellow(shown) if stage.favourite_changed else shown)


def _fitted(text: str, width: int) -> str:
    """The text in exactly `width` columns, also where standard output lacks some of its characters."""
    shown = printable(padded(printable(text), width))
    return shown if columns(shown) <= width else shown[: width - 3] + "..."


def _wrapped(sentence: str, name: str, paint: Paint) -> list[str]:
    """The sentence on as many lines as it needs, the token in colour."""
    shown = printable(name)
    lines = ["  x"]
    for word in held_together(printable(sentence)).split(" "):
        if columns(f"{lines[-1]} {word}") > _WIDTH:
            lines.append("   ")
        lines[-1] += f" {word}"
    lines = [line.replace(FIXED, " ") for line in lines]
    lines[0] = lines[0].replace(shown, paint.red(shown), 1)
    return lines
