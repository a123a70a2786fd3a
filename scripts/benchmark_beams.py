#!/usr/bin/env python3
"""How fast beam search is beside transformers': one run, in turns, eager mode, on the CPU, at the shape of `gpt2`.

    python3 scripts/in_venv.py --extra parity scripts/benchmark_beams.py
    python3 scripts/in_venv.py --extra parity scripts/benchmark_beams.py --beams 8 --batch 1 4 --dtype bfloat16

A GPT-2 of 124M random weights is loaded by both. Ours runs by transformers' rules, which have to give the same ids (in
16 bits, rounding decides between scores that are close), and by its own. Reported: the median of ids a second over all
rows, lowest and highest in brackets, and the median over the rounds of how many times as fast we are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from decoding import BeamSearch, TransformersBeamSearch, generate_ids
from gpt2 import GPT2, GPT2Config
from scripts.benchmarking.checkpoint import INITIALIZER_RANGE, write_checkpoint
from scripts.benchmarking.timing import Spread, in_turns, times_as_fast
from scripts.command import Parser, run_command

NAME = "benchmark_beams.py"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, __doc__)
    parser.add_argument("--beams", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="timed rounds of each; default: 5")
    parser.add_argument("--prompt-ids", type=int, default=32, metavar="N", help="ids of each prompt; default: 32")
    parser.add_argument("--new-ids", type=int, default=64, metavar="N", help="ids to generate; default: 64")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], metavar="N", help="default: 1")
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16", "float16"])
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    try:
        import transformers
    except ImportError:
        raise ValueError("it compares with transformers, which is not installed (extra `parity`)") from None
    transformers.utils.logging.disable_progress_bar()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    print(f"{options.prompt_ids} + {options.new_ids} ids, 124M parameters, eager, {options.rounds} rounds")
    print(f"\n{'':30}{'ours, ids/s':>22}{'transformers, ids/s':>24}{'times':>9}  same ids")
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), GPT2Config(initializer_range=INITIALIZER_RANGE))
        for dtype in options.dtype:
            ours = GPT2.from_pretrained(folder, dtype=getattr(torch, dtype))
            theirs = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
            for batch in options.batch:
                prompts = torch.randint(0, ours.n_vocab, (batch, options.prompt_ids))
                for rules, search in searches(options.beams).items():
                    name = f"{dtype}, batch {batch}, {rules}"
                    print(compare(name, ours, theirs, search, prompts, options.new_ids, options.rounds), flush=True)
    return 0


def searches(beams: int) -> dict[str, BeamSearch | TransformersBeamSearch]:
    """Ours, by whose rules it follows."""
    return {"their rules": TransformersBeamSearch(beams=beams), "our rules": BeamSearch(beams=beams)}


def compare(
    name: str,
    ours: GPT2,
    theirs: Any,
    search: BeamSearch | TransformersBeamSearch,
    prompts: Tensor,
    new_ids: int,
    rounds: int,
) -> str:
    """One row of the table; `theirs` knows no id that ends a text."""

    def run_ours() -> list[list[int]]:
        generations = generate_ids(ours, prompts.tolist(), search, max_new_tokens=new_ids)
        return [generation.ids for generation in generations]

    def run_theirs() -> list[list[int]]:
        with torch.no_grad():
            ids = theirs.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=False,
                num_beams=search.beams,
                max_new_tokens=new_ids,
                pad_token_id=0,
            )
        return ids[:, prompts.shape[1] :].tolist()

    expected, got = run_theirs(), run_ours()  # also warms both up
    same = sum(row == other for row, other in zip(expected, got, strict=True))
    taken = in_turns(run_ours, run_theirs, rounds)
    columns = [Spread.of([len(prompts) * new_ids / seconds for seconds in one]).text() for one in taken]
    return f"{name:30}{columns[0]:>22}{columns[1]:>24}{times_as_fast(*taken):>9.2f}  {same} of {len(prompts)} rows"


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    return run_command(NAME, lambda: run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
