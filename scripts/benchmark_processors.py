#!/usr/bin/env python3
"""What a chain of processors costs a step, beside the same chain of transformers, in turns, on one thread of the CPU.

    python3 scripts/in_venv.py --extra parity scripts/benchmark_processors.py

Each chain reshapes logits of 50,257 ids, batch 1, after each id of a text: those of the bundled model, and random ones
(normal, standard deviation 2), of which top-p keeps thousands. Both orders that systems use are timed: temperature
before the truncation, as transformers has it, and after it, as llama.cpp does. Before anything is timed, both have to
leave the same logits. Reported: the median over the rounds of the mean time a step, lowest and highest in brackets.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from decoding import Prefix, Processor, RepetitionPenalty, Temperature, Tokenizer, TopK, TopP
from gpt2 import GPT2
from scripts.benchmarking.timing import Spread, in_turns, times_as_fast

TEXT = (
    "Once upon a time there was a king who had three sons. The youngest of them loved nothing so much as his old grey "
    "horse, and one morning he rode away to see the world. He rode and rode until he came to a dark forest."
)
PENALTY, TEMPERATURE, TOP_K, TOP_P = RepetitionPenalty(1.3), Temperature(0.8), TopK(50), TopP(0.95)
CHAINS: list[tuple[Processor, ...]] = [
    (PENALTY, TEMPERATURE, TOP_K),
    (PENALTY, TOP_K, TEMPERATURE),
    (PENALTY, TEMPERATURE, TOP_P),
    (PENALTY, TOP_P, TEMPERATURE),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="timed rounds of each; default: 15")
    options = parser.parse_args()
    try:
        import transformers
    except ImportError:
        print(
            "benchmark_processors.py: it compares with transformers, which is not installed (extra `parity`)",
            file=sys.stderr,
        )
        return 1
    torch.set_num_threads(1)
    ids = Tokenizer().encode(TEXT)
    model = GPT2.from_pretrained("storybook")
    with torch.no_grad():
        by_storybook = model(torch.tensor([ids]))[0]  # (T, V)
    random = 2.0 * torch.randn(by_storybook.shape, generator=torch.Generator().manual_seed(0))

    print(f"torch {torch.__version__}, transformers {transformers.__version__}, 1 thread")
    print(f"{by_storybook.shape[1]:,} ids, batch 1, {len(ids)} steps, {options.rounds} rounds; ms a step\n")
    print(f"{'':48}{'ours':>20}{'transformers':>20}{'times':>7}")
    for name, logits in (("storybook", by_storybook), ("random", random)):
        for chain in CHAINS:
            print(compare(name, chain, logits, ids, options.rounds))
    return 0


def compare(name: str, chain: Sequence[Processor], logits: Tensor, ids: Sequence[int], rounds: int) -> str:
    """One row of the table; logits (T, V) after each of the T ids."""
    steps = [row[None] for row in logits]  # (1, V) each
    so_far = [torch.tensor([ids[: n + 1]]) for n in range(len(ids))]  # (1, n + 1)
    prefixes = [Prefix.of([ids[: n + 1]]) for n in range(len(ids))]
    their_chain = theirs(chain)

    def ours() -> Iterator[Tensor]:
        return (through(chain, row, prefix) for row, prefix in zip(steps, prefixes, strict=True))

    def others() -> Iterator[Tensor]:
        return (their_chain(ids, row) for row, ids in zip(steps, so_far, strict=True))

    for mine, other in zip(ours(), others(), strict=True):
        if not torch.equal(mine, other):
            raise ValueError(f"{chain} of transformers leaves other logits: nothing to compare")
    taken = in_turns(lambda: deque(ours(), maxlen=0), lambda: deque(others(), maxlen=0), rounds)  # none is kept
    columns = [Spread.of([1000 * seconds / len(ids) for seconds in one]).text(2) for one in taken]
    written = ", ".join(map(repr, chain)).replace("RepetitionPenalty", "Penalty")
    return f"{name:10}{written:38}{columns[0]:>20}{columns[1]:>20}{times_as_fast(*taken):>7.2f}"


def through(chain: Sequence[Processor], logits: Tensor, prefix: Prefix) -> Tensor:
    for processor in chain:
        logits = processor(logits, prefix)
    return logits


def theirs(chain: Sequence[Processor]) -> Any:
    """The same processors, of transformers."""
    from transformers import (
        LogitsProcessorList,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    makers: dict[type[Processor], Callable[[Any], Any]] = {
        RepetitionPenalty: lambda one: RepetitionPenaltyLogitsProcessor(one.penalty),
        Temperature: lambda one: TemperatureLogitsWarper(one.temperature),
        TopK: lambda one: TopKLogitsWarper(one.k),
        TopP: lambda one: TopPLogitsWarper(one.p),
    }
    return LogitsProcessorList([makers[type(processor)](processor) for processor in chain])


if __name__ == "__main__":
    sys.exit(main())
