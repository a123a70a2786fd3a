#!/usr/bin/env python3
"""How fast we decode beside transformers: one run, interleaved, eager mode, on the CPU, at the shape of `gpt2`.

    python3 scripts/in_venv.py --extra parity scripts/benchmark.py
    python3 scripts/in_venv.py --extra parity scripts/benchmark.py --beams 5 --batch 1 --dtype float32

A GPT-2 of 124M random weights is saved once and loaded by both. For each precision and batch the ids of both are
compared (in 16 bits, rounding decides between logits that are close), then both are timed in turns. Decoding is greedy,
or with `--beams` beam search: ours by transformers' rules, for the same ids, and ours by its own. Reported: the
median of ids a second over all rows, lowest and highest in brackets, and the median over the rounds of how many times
as fast we are. The first row is about loading the file, float32.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from decoding import BeamSearch, Greedy, TransformersBeamSearch, generate_ids
from gpt2 import GPT2, GPT2Config


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="timed rounds of each; default: 5")
    parser.add_argument("--prompt-ids", type=int, default=32, metavar="N", help="ids of each prompt; default: 32")
    parser.add_argument("--new-ids", type=int, default=64, metavar="N", help="ids to generate; default: 64")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], metavar="N", help="default: 1 8")
    parser.add_argument(
        "--dtype", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16", "float16"]
    )
    parser.add_argument("--beams", type=int, default=1, metavar="N", help="beams; default: 1, which is greedy")
    options = parser.parse_args()
    try:
        import transformers
    except ImportError:
        print("benchmark.py: it compares with transformers, which is not installed (extra `parity`)", file=sys.stderr)
        return 1
    transformers.utils.logging.disable_progress_bar()

    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    print(f"{options.prompt_ids} + {options.new_ids} ids, 124M parameters, eager, {options.rounds} rounds")
    print(f"\n{'':30}{'ours, ids/s':>22}{'transformers, ids/s':>24}{'times':>9}  same ids")
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        config = transformers.GPT2Config(initializer_range=0.05)  # wider than usual, so that few logits are near-ties
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
        print(compare_loading(folder, transformers.GPT2LMHeadModel, options.rounds))
        for dtype in options.dtype:
            ours = GPT2.from_pretrained(folder, dtype=getattr(torch, dtype))
            theirs = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
            for batch in options.batch:
                prompts = torch.randint(0, GPT2Config().n_vocab, (batch, options.prompt_ids))
                for name, strategy in strategies(options.beams).items():
                    name = f"{dtype}, batch {batch}{name}"
                    print(compare(name, ours, theirs, strategy, prompts, options.new_ids, options.rounds))
    return 0


def compare_loading(folder: str, their_class: Any, rounds: int) -> str:
    """Loading the file, from the operating system's cache, in milliseconds."""

    def load_ours() -> None:
        GPT2.from_pretrained(folder)

    def load_theirs() -> None:
        their_class.from_pretrained(folder)

    load_ours()
    load_theirs()  # both have read the file once
    taken = in_turns(load_ours, load_theirs, rounds)
    columns = [f"{1000 * statistics.median(t):8.0f} ms ({1000 * min(t):.0f}-{1000 * max(t):.0f})" for t in taken]
    return f"{'loading':30}{columns[0]:>22}{columns[1]:>24}{times_as_fast(*taken):>9.2f}"


def strategies(beams: int) -> dict[str, Greedy | BeamSearch | TransformersBeamSearch]:
    """Ours, by what is added to the name of a row."""
    if beams == 1:
        return {"": Greedy()}
    return {", their rules": TransformersBeamSearch(beams=beams), ", our rules": BeamSearch(beams=beams)}


def compare(
    name: str,
    ours: GPT2,
    theirs: Any,
    strategy: Greedy | BeamSearch | TransformersBeamSearch,
    prompts: Tensor,
    new_ids: int,
    rounds: int,
) -> str:
    """One row of the table."""
    beams = 1 if isinstance(strategy, Greedy) else strategy.beams

    def run_ours() -> list[list[int]]:
        generations = generate_ids(ours, prompts.tolist(), strategy, max_new_tokens=new_ids)
        return [generation.ids for generation in generations]

    def run_theirs() -> list[list[int]]:
        with torch.no_grad():
            ids = theirs.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=False,
                num_beams=beams,
                max_new_tokens=new_ids,
                min_new_tokens=new_ids,
                pad_token_id=0,
            )
        return ids[:, prompts.shape[1] :].tolist()

    expected, got = run_theirs(), run_ours()  # also warms both up
    same = sum(row == other for row, other in zip(expected, got, strict=True))
    taken = in_turns(run_ours, run_theirs, rounds)
    speeds = [[len(prompts) * new_ids / t for t in one] for one in taken]
    columns = [f"{statistics.median(s):8.1f} ({min(s):.1f}-{max(s):.1f})" for s in speeds]
    return f"{name:30}{columns[0]:>22}{columns[1]:>24}{times_as_fast(*taken):>9.2f}  {same} of {len(prompts)} rows"


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """The seconds that each takes, round after round, so that what disturbs the machine disturbs both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, times in zip((ours, theirs), taken, strict=True):
            times.append(seconds(run))
    return taken


def times_as_fast(ours: list[float], theirs: list[float]) -> float:
    """The median over the rounds."""
    return statistics.median(other / mine for mine, other in zip(ours, theirs, strict=True))


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
