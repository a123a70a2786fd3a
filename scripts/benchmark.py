#!/usr/bin/env python3
"""How fast we decode on this machine's CPU, beside other programs and beside what its memory allows.

    python3 scripts/in_venv.py scripts/benchmark.py
    python3 scripts/in_venv.py --extra benchmark scripts/benchmark.py --peers
    python3 scripts/in_venv.py scripts/benchmark.py --only eager-float32 compiled --rounds 3

One GPT-2 of random weights, of the shape of `gpt2`, is written to a temporary folder and converted for each engine:
ours, eager and compiled, with four kinds of weights; with --peers also transformers, CTranslate2 and llama.cpp. Each
runs in a process of its own, all with the same number of threads. First all of them write greedy ids, which have to be
those of float32: in 16 and 8 bits rounding may decide between two ids, but only where float32's logits are close. Then
they are timed in turns, round after round, so that what disturbs the machine disturbs all. Decoding is bound by memory,
because each id has to read every weight; the limit that follows from the memory's speed stands beside the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts.benchmarking.engines import Engine, chosen, missing_packages
from scripts.command import Parser, UsageError, note, run_command

NAME = "benchmark.py"
PICTURES = (".png", ".svg", ".pdf")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, __doc__)
    who = parser.add_argument_group("who takes part")
    who.add_argument("--peers", action="store_true", help="transformers, CTranslate2 and llama.cpp too")
    who.add_argument(
        "--only", nargs="+", metavar="NAME", help="these engines: eager, compiled-int8, llama.cpp-f16, ..."
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument("--rounds", type=int, metavar="N", help="timed rounds of decoding; default: 5")
    what.add_argument("--prompt-ids", type=int, metavar="N", help="ids of the prompt; default: 32")
    what.add_argument("--new-ids", type=int, metavar="N", help="ids behind it; default: 64")
    what.add_argument("--quick", action="store_true", help="a tiny model, whose figures mean nothing")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    out.add_argument("--picture", type=Path, metavar="FILE", help="draw them, too: a file that ends in .png, .svg, ...")
    out.add_argument("--json", type=Path, metavar="FILE", help="write all single measurements")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    engines, sizes = chosen(options.only, options.peers), _sizes(options)
    _check_files(options.picture, options.json)
    _check_packages(engines, options.picture)

    from scripts.benchmarking.measure import Plan, measure
    from scripts.benchmarking.report import agreements, introduction, tables

    plan = Plan.quick(**sizes) if options.quick else Plan(**sizes)
    if plan.prompt_ids + plan.new_ids > plan.config.n_positions:
        both = plan.prompt_ids + plan.new_ids
        raise UsageError(f"the model has {plan.config.n_positions} positions; prompt and new ids are {both}")
    with tempfile.TemporaryDirectory() as folder:
        results = measure(_possible(engines), plan, Path(folder), lambda text: note(NAME, text))
    blocks = ["\n".join(introduction(results)), "\n".join(agreements(results))]
    if options.markdown:
        blocks = [f"```\n{blocks[0]}\n```", blocks[1]]
    blocks += [table.markdown() if options.markdown else table.text() for table in tables(results)]
    print("\n\n".join(blocks))
    if options.json:
        options.json.write_text(results.to_json() + "\n", encoding="utf-8")
    if options.picture:
        from scripts.benchmarking.picture import draw

        draw(results, options.picture)
    return 0


def _check_packages(engines: Sequence[Engine], picture: Path | None) -> None:
    """Raise ValueError, in one sentence, where a package is missing."""
    missing = missing_packages(engines)
    if picture and importlib.util.find_spec("matplotlib") is None:
        missing.append("matplotlib")
    if missing:
        raise ValueError(
            f"not installed: {', '.join(missing)}; python3 scripts/in_venv.py --extra benchmark scripts/{NAME} ... "
            f"installs what is needed"
        )


def _check_files(*paths: Path | None) -> None:
    """Raise ValueError now, not after ten minutes, for a file that cannot be written."""
    for path in paths:
        if path and not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: there is no folder {path.parent}")
    if paths[0] and paths[0].suffix not in PICTURES:
        raise UsageError(f"{paths[0]} is no name of a picture: it has to end in {', '.join(PICTURES)}")


def _possible(engines: Sequence[Engine]) -> list[Engine]:
    """Those whose kind of weights CTranslate2 can compute with on this processor; the others without more ado."""
    if all(engine.kind != "ctranslate2" for engine in engines):
        return list(engines)
    from scripts.benchmarking.processes import run_module

    supported = run_module("supported").split()
    return [engine for engine in engines if engine.kind != "ctranslate2" or engine.weights in supported]


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    return run_command(NAME, lambda: run(options))


def _sizes(options: argparse.Namespace) -> dict[str, Any]:
    """What the options change of the plan. Raises UsageError for a number that cannot be."""
    sizes = {"rounds": options.rounds, "prompt_ids": options.prompt_ids, "new_ids": options.new_ids}
    for name, value in sizes.items():
        least = 2 if name == "new_ids" else 1  # the first id's time is the prompt's
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} must be at least {least}; got {value}")
    return {name: value for name, value in sizes.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
