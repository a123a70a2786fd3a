#!/usr/bin/env python3
"""What each precision costs in quality: float32, bfloat16, float16 and int8, eager and compiled.

    python3 scripts/in_venv.py scripts/quality.py
    python3 scripts/in_venv.py scripts/quality.py --model gpt2 --text MY_TEXT.txt --dtype bfloat16 int8

Everything is held against float32 in eager mode. Along the texts: how far the distributions of the next id lie apart
(KL divergence, in float64 arithmetic), how much the perplexity changes, and how often the likeliest id is the same. And
greedy texts behind prompts that are cut from the texts at fixed places: how many are the same to the last id, and where
the others part. Beside them stand the bytes of the weights.

Without --text it reads a tale of 1,393 ids that storybook was not trained on, though on others of its kind, and an
essay of 586 ids that was written for this script; scripts/precision/texts.py tells where they are from. A text is read
in windows of as many ids as the model has positions, one after the other, with no overlap; its first id is not
predicted. All prompts go through the model as one batch, and no id ends a text.

Eager half precision also rounds what runs through the network, and the logits. Compiled steps keep weights and cache
in it, and compute in float32.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts.command import Parser, UsageError, note, run_command

NAME = "quality.py"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, __doc__)
    parser.add_argument(
        "--model",
        default="storybook",
        metavar="NAME",
        help="storybook (bundled, the default), gpt2, gpt2-medium, ..., a directory, or owner/name on the Hub",
    )
    parser.add_argument("--text", nargs="+", type=Path, metavar="FILE", help="UTF-8 files to read instead of the two")
    parser.add_argument(
        "--dtype",
        nargs="+",
        default=["float32", "bfloat16", "float16", "int8"],
        choices=["float32", "bfloat16", "float16", "int8"],
        help="default: all four; eager float32 is always there",
    )
    parser.add_argument("--prompts", type=int, default=32, metavar="N", help="at least so many; default: 32")
    parser.add_argument("--prompt-ids", type=int, default=32, metavar="N", help="ids of each; default: 32")
    parser.add_argument("--new-ids", type=int, default=64, metavar="N", help="ids behind each prompt; default: 64")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    for name in ("prompts", "prompt_ids", "new_ids"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}")

    from decoding import Tokenizer
    from gpt2 import GPT2
    from scripts.precision.measure import measure
    from scripts.precision.report import introduction, left_out, tables
    from scripts.precision.texts import BUNDLED, prompts, read

    tokenizer = Tokenizer()
    texts = [read(path, tokenizer) for path in options.text or BUNDLED]
    results = measure(
        lambda dtype: GPT2.from_pretrained(options.model, dtype=dtype),
        options.dtype,
        texts,
        prompts(texts, options.prompts, options.prompt_ids),
        options.new_ids,
        lambda row: note(NAME, f"{row} ..."),
    )
    blocks = [introduction(options.model, results, texts, options.prompt_ids, options.new_ids)]
    made = tables(results, texts, options.new_ids)
    blocks += [table.markdown() if options.markdown else table.text() for table in made]
    if results.left_out:
        blocks.append(left_out(results))
    print("\n\n".join(blocks))
    return 0


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    return run_command(NAME, lambda: run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
