"""The measurements themselves: the engines in turns, round after round."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from decoding import Greedy, generate_ids
from gpt2 import GPT2, GPT2Config

from . import agreement
from .bandwidth import Bandwidth
from .checkpoint import INITIALIZER_RANGE, bytes_a_token, write_checkpoint
from .engines import Engine
from .files import file_of
from .machine import describe
from .processes import EngineError, Worker, run_module
from .timing import seconds

_SECONDS_OF_REST = 0.25  # threads of OpenMP wait awake for their next work for up to 0.2 s, and would disturb the next
PATIENCE = 2.0  # seconds; who takes longer for the prompt is timed once, and with nothing larger
_LONG = 10.0  # seconds; a measurement that takes longer is not repeated
_FIRST = Engine("eager", "float32")  # with which the first rungs of the ladder are measured

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured, at which sizes."""

    config: GPT2Config = field(default_factory=lambda: GPT2Config(initializer_range=INITIALIZER_RANGE))
    prompt_ids: int = 32
    new_ids: int = 64
    rounds: int = 5
    rounds_of_others: int = 2  # at most: of everything but decoding with a single row
    batches: tuple[int, ...] = (4, 16)
    batch_prompt_ids: int = 8  # few, since long prompts are measured on their own
    batch_new_ids: int = 16
    prefill_ids: int = 256
    before: int = 64  # ids in front of a call with several new ones
    most_new: int = 8
    contexts: tuple[int, ...] = (100, 300, 500, 700, 900)
    bandwidth_bytes: int = 512 << 20

    @property
    def other_rounds(self) -> int:
        return min(self.rounds_of_others, self.rounds)

    def batch(self, prompts: agreement.Ids, rows: int) -> agreement.Ids:
        return [prompt[: self.batch_prompt_ids] for prompt in prompts[:rows]]

    @classmethod
    def quick(cls, **changes: Any) -> Plan:
        """So small that its figures mean nothing."""
        config = GPT2Config(n_vocab=512, n_positions=64, n_embd=64, n_layer=2, n_head=4, initializer_range=0.2)
        sizes: dict[str, Any] = {"prompt_ids": 8, "new_ids": 8, "rounds": 2, **changes}
        return cls(
            config,
            rounds_of_others=1,
            batches=(2,),
            batch_prompt_ids=4,
            batch_new_ids=4,
            prefill_ids=16,
            before=8,
            most_new=3,
            contexts=(10, 30, 50),
            bandwidth_bytes=1 << 20,
            **sizes,
        )


@dataclass
class Row:
    """What was measured of one engine. Seconds, unless the name says otherwise; one entry a round."""

    engine: Engine
    file_bytes: int
    slow: bool  # beyond our patience
    memory: dict[str, int | None]  # anonymous bytes: before, at the peak of, and after loading; and at work
    speed: dict[int, list[list[float]]] = field(default_factory=dict)  # batch -> of the first id, of all
    prefill: list[float] = field(default_factory=list)
    calls: list[list[float]] = field(default_factory=list)  # of 1, 2, ... new ids
    contexts: list[list[float]] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    took: dict[str, float] = field(default_factory=dict)  # each measurement as a whole, the last time


@dataclass
class Results:
    plan: Plan
    machine: dict[str, str]
    rows: list[Row]
    bandwidth: Bandwidth
    bytes_a_token: dict[str, float]
    agreements: list[agreement.Agreement]
    naive: list[list[float]]  # the naive loop's seconds an id, for each of the contexts
    as_stored: list[list[float]]  # the same of the cache alone, with matrices as the file has them
    torch_start: list[float]  # of `import torch` alone

    def limit(self, precision: str) -> float:
        """Ids a second at which the memory is read without a break."""
        return self.bandwidth.bytes_a_second / self.bytes_a_token[precision]

    def to_json(self) -> str:
        content = {
            **asdict(self),
            "bandwidth": self.bandwidth._asdict(),
            "agreements": [
                {
                    "engine": one.engine.name,
                    "rows": one.rows,
                    "partings": [parting._asdict() for parting in one.partings],
                }
                for one in self.agreements
            ],
        }
        return json.dumps(content, indent=1)


def measure(engines: Sequence[Engine], plan: Plan, folder: Path, say: Say) -> Results:
    """All measurements of these engines; `folder` is for their files, and `say` is told what happens.

    Raises ValueError where an engine fails, or writes ids that rounding does not explain.
    """
    threads = torch.get_num_threads()
    say(f"writing the checkpoint and the files of {len(engines)} engines")
    write_checkpoint(folder, plan.config)
    for engine in engines:
        if not engine.is_ours:
            run_module("convert", str(folder), engine.kind, engine.weights)
    generator = torch.Generator().manual_seed(0)
    most = max(plan.batches)
    prompts = torch.randint(plan.config.n_vocab, (most, plan.prompt_ids), generator=generator).tolist()
    long_prompt = torch.randint(plan.config.n_vocab, (1, plan.prefill_ids), generator=generator).tolist()

    with ExitStack() as stack:
        workers, rows = [], []
        for engine in engines:
            say(f"loading {engine.name}")
            try:
                worker = stack.enter_context(Worker(engine, folder, threads, watch=True))
            except EngineError as error:
                if error.kind != "CompilerError":
                    raise
                say(f"left out, {error}")
                continue
            workers.append(worker)
            (first,) = worker.ask("speed", prompts=prompts[:1], new_ids=[1], warm=False)
            size = file_of(folder, engine.kind, engine.weights).stat().st_size
            rows.append(Row(engine, size, first > PATIENCE, worker.memory))
            if rows[-1].slow:
                say(f"{engine.name} takes {first:.1f} s for the prompt: it is timed once, and with nothing larger")
        if not workers:
            raise ValueError("none of these engines runs here")
        say("comparing their ids")
        agreements = _agree(workers, rows, plan, folder, prompts)
        for one in agreements:
            say(one.sentence())
        for worker, row in zip(workers, rows, strict=True):
            row.memory["at work"] = worker.ask("memory")

        bandwidths, naive, as_stored = [], list[list[float]](), list[list[float]]()
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            bandwidths.append(Bandwidth(*json.loads(run_module("bandwidth", str(plan.bandwidth_bytes)))))
            for worker, row in zip(workers, rows, strict=True):
                if number < (1 if row.slow else plan.rounds):
                    _speed(worker, row, prompts[:1], plan.new_ids)
                if number < plan.other_rounds and not row.slow:
                    _others(worker, row, plan, prompts, long_prompt)
                    if row.engine == _FIRST:
                        naive.append(worker.ask("contexts_naively", lengths=plan.contexts))
                        as_stored.append(worker.ask("contexts_as_stored", lengths=plan.contexts))

    say("starting each of them anew")
    torch_start = []
    for _ in range(plan.other_rounds):
        torch_start.append(seconds(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True)))
        for row in rows:
            if row.slow and row.start:
                continue
            row.start.append(_start(row.engine, folder, threads, prompts[:1]))
    return Results(
        plan,
        describe(threads),
        rows,
        sorted(bandwidths)[len(bandwidths) // 2],  # the median, as of all that is compared with it
        bytes_a_token(plan.config),
        agreements,
        naive,
        as_stored,
        torch_start,
    )


def _agree(
    workers: Sequence[Worker], rows: Sequence[Row], plan: Plan, folder: Path, prompts: agreement.Ids
) -> list[agreement.Agreement]:
    """Exactly what will be timed, by each of the engines and by eager float32 in this process."""
    model = GPT2.from_pretrained(folder)
    tasks = [(prompts[:1], plan.new_ids), *((plan.batch(prompts, size), plan.batch_new_ids) for size in plan.batches)]
    expected = [[one.ids for one in generate_ids(model, p, Greedy(), max_new_tokens=n)] for p, n in tasks]
    agreements = []
    for worker, row in zip(workers, rows, strict=True):
        mine = tasks[:1] if row.slow else tasks
        agreements.append(
            agreement.compare(
                worker.engine,
                model,
                [prompt for prompts, _ in mine for prompt in prompts],
                [ids for batch in expected[: len(mine)] for ids in batch],
                [ids for p, n in mine for ids in worker.ask("generate", prompts=p, new_ids=n)],
            )
        )
    return agreements


def _speed(worker: Worker, row: Row, prompts: agreement.Ids, new_ids: int) -> None:
    time.sleep(_SECONDS_OF_REST)
    taken = worker.ask("speed", prompts=prompts, new_ids=[1, new_ids], warm=not row.slow)
    row.speed.setdefault(len(prompts), []).append(taken)


def _others(worker: Worker, row: Row, plan: Plan, prompts: agreement.Ids, long_prompt: agreement.Ids) -> None:
    """All but the first table; what took long in one round is left out in the next ones."""
    tasks: dict[str, Callable[[], None]] = {
        f"batch {size}": partial(_speed, worker, row, plan.batch(prompts, size), plan.batch_new_ids)
        for size in plan.batches
    }
    tasks["prefill"] = lambda: row.prefill.extend(worker.ask("speed", prompts=long_prompt, new_ids=[1], warm=False))
    if row.engine.is_ours:
        tasks["calls"] = lambda: row.calls.append(worker.ask("calls", before=plan.before, most=plan.most_new))
        tasks["contexts"] = lambda: row.contexts.append(worker.ask("contexts", lengths=plan.contexts))
    for name, do in tasks.items():
        if row.took.get(name, 0.0) < _LONG:
            row.took[name] = seconds(do)


def _start(engine: Engine, folder: Path, threads: int, prompts: agreement.Ids) -> float:
    """Seconds from the start of a process to the first id behind a prompt."""

    def first_id() -> None:
        workers.append(Worker(engine, folder, threads))
        workers[0].ask("generate", prompts=prompts, new_ids=1)

    workers: list[Worker] = []
    taken = seconds(first_id)
    workers[0].close()
    return taken
