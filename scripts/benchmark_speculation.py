#!/usr/bin/env python3
"""Whether speculation pays: ids a second with and without drafts, and what it costs to judge several ids at once.

    python3 scripts/in_venv.py scripts/benchmark_speculation.py
    python3 scripts/in_venv.py scripts/benchmark_speculation.py --dtype float32 bfloat16 --rounds 9

The first table continues three texts with the bundled model, greedily and by sampling (top-p 0.9): plainly, with drafts
copied from the text (`PromptLookup`), with drafts of the model's first layers (`SelfSpeculative`), and by Jacobi
iteration. Greedy texts have to be the plain ones before anything is timed. All are run in turns. Reported are
the median of ids a second, the median over the rounds of how many times as fast it is as plain decoding (lowest and
highest in brackets), the share of drafted ids that were accepted, and the calls of the model an id.

The second table is about the network alone, at the shape of `gpt2` (124M random weights): how much longer a call with 2
to 9 ids takes than one with a single id, after 64 others. A draft of n ids pays where a round gives more ids than the
call with n + 1 ids costs, and drafting comes on top.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from decoding import (
    DrafterInvariant,
    Greedy,
    Jacobi,
    LanguageModel,
    PromptLookup,
    Rounds,
    Sample,
    SelfSpeculative,
    Speculative,
    Strategy,
    Temperature,
    Tokenizer,
    TopP,
    generate_ids,
)
from gpt2 import GPT2, GPT2Config
from scripts.benchmarking.timing import Spread, seconds

PROMPTS = {
    "a story": "Once upon a time there was a fox who lived in the woods. One day",
    "a circle": "Tom and Sue had a",  # what follows repeats itself
    "a list": 'The cat said, "Meow." The dog said, "Woof." The cow said, "Moo." The cat said, "Meow." The dog said,',
}
PLAIN = "plain"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="timed rounds of each; default: 5")
    parser.add_argument("--new-ids", type=int, default=64, metavar="N", help="ids to generate; default: 64")
    parser.add_argument(
        "--dtype",
        nargs="+",
        default=["float32"],
        choices=["float32", "bfloat16", "float16"],
        help="of the second table",
    )
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.rounds} rounds\n")

    model, tokenizer = GPT2.from_pretrained("storybook"), Tokenizer()
    print(f"storybook, {options.new_ids} new ids, one prompt at a time, float32")
    print(f"{'':44}{'ids/s':>6}  {'times as fast':18}{'accepted':>8}  calls an id")
    lost: dict[str, list[str]] = {}
    for way, strategies in ways().items():
        for text, prompt in PROMPTS.items():
            rows = compare(model, tokenizer.encode(prompt), strategies, options.new_ids, options.rounds)
            for name, row in rows.items():
                print(f"{way + ', ' + text:17} {row.line(name)}")
                if name != PLAIN and row.times < 1.0:
                    lost.setdefault(name, []).append(f"{way}, {text} ({row.times:.2f})")
    print()
    for name in dict.fromkeys(name for strategies in ways().values() for name in strategies if name != PLAIN):
        print(f"{name}: loses on {'; '.join(lost.get(name, ['nothing here']))}")

    for dtype in options.dtype:
        print(f"\n124M parameters, {dtype}: one call with several ids, after 64 others")
        print("ids      ms a call       times one id")
        for line in cost_of_a_call(small_gpt2(getattr(torch, dtype)), options.rounds):
            print(line)
    return 0


def ways() -> dict[str, dict[str, Strategy]]:
    """What is compared: greedy decoding and sampling, each plain and with drafts."""
    lookup, layers = PromptLookup(), SelfSpeculative(4)
    top_p, greedy = TopP(0.9), Temperature(0)
    return {
        "greedy": {
            PLAIN: Greedy(),
            "prompt lookup, 4 ids": Speculative(greedy, draft=lookup, length=4),
            "prompt lookup, 8 ids": Speculative(greedy, draft=lookup, length=8),
            "first 4 of 6 layers, 2 ids": Speculative(greedy, draft=layers, length=2),
            "first 4 of 6 layers, 4 ids": Speculative(greedy, draft=layers, length=4),
            "Jacobi, window 8": Jacobi(window=8),
        },
        "sample": {
            PLAIN: Sample(top_p),
            "prompt lookup, 4 ids": Speculative(top_p, draft=lookup, length=4),
            "first 4 of 6 layers, 2 ids": Speculative(top_p, draft=layers, length=2),
            "the same, shared noise": DrafterInvariant(top_p, draft=layers, length=2),
        },
    }


class Row:
    """How one way of decoding did, round after round."""

    def __init__(self, rounds: Rounds, speeds: list[float], plain: list[float]) -> None:
        self.rounds = rounds
        self.speeds = speeds  # ids a second
        self.ratios = [speed / other for speed, other in zip(speeds, plain, strict=True)]

    @property
    def times(self) -> float:
        """How many times as fast as plain decoding."""
        return statistics.median(self.ratios)

    def line(self, name: str) -> str:
        line = f"{name:26}{statistics.median(self.speeds):6.0f}"
        if name == PLAIN:
            return line
        span = f"({min(self.ratios):.2f}-{max(self.ratios):.2f})"
        accepted = f"{100 * self.rounds.acceptance_rate:.0f} %" if self.rounds.drafted else "-"
        return f"{line}  {self.times:4.2f} {span:13}{accepted:>8}  {self.rounds.calls_per_id:.2f}"


def compare(
    model: LanguageModel, prompt: list[int], strategies: dict[str, Strategy], new_ids: int, rounds: int
) -> dict[str, Row]:
    """All ways of continuing one prompt, timed in turns. Raises ValueError where a greedy text is not the plain one."""
    texts = {
        name: generate_ids(model, [prompt], one, max_new_tokens=new_ids, seed=1) for name, one in strategies.items()
    }
    if isinstance(strategies[PLAIN], Greedy):
        for name, (text,) in texts.items():
            if text.ids != texts[PLAIN][0].ids:
                raise ValueError(f"{name} gave other ids than greedy decoding")
    speeds: dict[str, list[float]] = {name: [] for name in strategies}
    for number in range(rounds):
        for name, strategy in strategies.items():
            taken = seconds(lambda: generate_ids(model, [prompt], strategy, max_new_tokens=new_ids, seed=number))  # noqa: B023
            speeds[name].append(new_ids / taken)
    return {name: Row(texts[name][0].rounds, speeds[name], speeds[PLAIN]) for name in strategies}


def small_gpt2(dtype: torch.dtype) -> GPT2:
    """The smallest of the published shapes, with random weights."""
    torch.manual_seed(0)
    return GPT2(GPT2Config()).to(dtype).eval()


def cost_of_a_call(model: GPT2, rounds: int, before: int = 64, most: int = 9) -> list[str]:
    """A line for each number of ids: milliseconds, and how many times as long as with a single one."""
    session = model.open()
    session.extend(torch.randint(model.n_vocab, (1, before)))
    taken: dict[int, list[float]] = {n: [] for n in range(1, most + 1)}
    for _ in range(rounds + 1):  # the first warms up
        for n, times in taken.items():
            ids = torch.randint(model.n_vocab, (1, n))
            times.append(seconds(lambda: session.extend(ids, keep=n)))  # noqa: B023
            session.rewind(torch.tensor([before]))
    lines = []
    for n, times in taken.items():
        ms = Spread.of([1000 * one for one in times[1:]])
        ratio = statistics.median(one / single for one, single in zip(times[1:], taken[1][1:], strict=True))
        lines.append(f"{n:3} {ms.median:8.1f} ({ms.lowest:.1f}-{ms.highest:.1f}) {ratio:10.2f}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
