#!/usr/bin/env python3
"""Continue a prompt with GPT-2.

    generate.py "Once upon a time"
    generate.py "Once upon a time" --strategy sample --temperature 0.8 --top-p 0.95 --num-samples 3 --seed 7
    echo "Once upon a time" | generate.py --model storybook --quiet
    generate.py                        (asks for a prompt, again and again)

Temperature, top-k and top-p act in the order in which they are written.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts import command
from scripts.command import Parser, run_command

if TYPE_CHECKING:
    from decoding import Chance, Processor, Strategy, Tokenizer
    from gpt2 import GPT2
    from scripts.answer import Request, Text

DEFAULT_MODEL, BUNDLED_MODEL = "gpt2", "storybook"
NAME = "generate.py"


# -- options ----------------------------------------------------------------------------------------------------------


class InOrder(argparse.Action):
    """Collects processors in the order in which their options are written."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        namespace.processors = [*namespace.processors, (self.dest, values)]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, __doc__)
    parser.add_argument("prompt", nargs="?", help="the text to continue; without it, standard input")
    parser.set_defaults(processors=[])

    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        metavar="NAME",
        help="gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2, storybook (bundled), a directory, or owner/name "
        "on the Hugging Face Hub. Without it: gpt2, and storybook where the Hub is out of reach",
    )
    model.add_argument("--revision", help="a branch, tag or commit of the model on the Hub")
    model.add_argument("--device", default="cpu", help="cpu (the default), cuda, mps, ...")
    model.add_argument(
        "--dtype", default="float32", choices=["float32", "bfloat16", "float16", "float64"], help="default: float32"
    )

    decoding = parser.add_argument_group("decoding")
    decoding.add_argument(
        "--strategy", default="greedy", choices=["greedy", "sample"], help="how ids are chosen; default: greedy"
    )
    decoding.add_argument(
        "--temperature", type=float, action=InOrder, metavar="T", help="divide the logits by T; 0 is greedy"
    )
    decoding.add_argument("--top-k", type=int, action=InOrder, metavar="K", help="keep the K likeliest ids")
    decoding.add_argument(
        "--top-p", type=float, action=InOrder, metavar="P", help="keep the smallest set of ids with probability P"
    )
    decoding.add_argument(
        "--max-new-tokens", type=int, default=40, metavar="N", help="the most ids to add; default: 40"
    )
    decoding.add_argument("--num-samples", type=int, default=1, metavar="N", help="how many texts; default: 1")
    decoding.add_argument("--seed", type=int, help="repeat a run; without it a new one is drawn and shown")
    decoding.add_argument(
        "--draw",
        default="gumbel",
        choices=["gumbel", "inverse-cdf", "multinomial"],
        help="how random choices are made; default: gumbel",
    )
    decoding.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end before this text; may be given several times; \\n, \\t and \\\\ stand for newline, tab and "
        "backslash; write --stop=-- for one that begins with a dash",
    )

    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object a sample, on a line of its own")
    output.add_argument("--show-probabilities", action="store_true", help="print each step's best candidates")
    output.add_argument("--quiet", action="store_true", help="print the new text only, and no notes")
    options = parser.parse_args(arguments)
    if options.json and options.show_probabilities:
        parser.error("--json and --show-probabilities are two forms of output; choose one")
    return options


def build_strategy(options: argparse.Namespace) -> Strategy:
    from decoding import Greedy, Sample, Temperature, TopK, TopP

    kinds: dict[str, Callable[[Any], Processor]] = {"temperature": Temperature, "top_k": TopK, "top_p": TopP}
    processors = [kinds[kind](value) for kind, value in options.processors]
    return {"greedy": Greedy, "sample": Sample}[options.strategy](*processors)


def build_draw(options: argparse.Namespace) -> Callable[[int], Chance]:
    from decoding import Gumbel, InverseCDF, Multinomial

    draws: dict[str, Callable[[int], Chance]] = {
        "gumbel": Gumbel,
        "inverse-cdf": InverseCDF,
        "multinomial": Multinomial,
    }
    return draws[options.draw]


def unescape(stop: str) -> str:
    """\\n, \\t and \\\\ as newline, tab and backslash: not every shell lets one type them."""
    return re.sub(r"\\([nt\\])", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), stop)


# -- model and prompts ------------------------------------------------------------------------------------------------


def load_model(options: argparse.Namespace) -> GPT2:
    """The model that was asked for. Only where none was named may the bundled one stand in."""
    import torch

    from gpt2 import GPT2, HubUnreachableError

    dtype = getattr(torch, options.dtype)

    def load(name: str, revision: str | None) -> GPT2:
        return GPT2.from_pretrained(name, revision=revision, dtype=dtype, device=options.device)

    if options.model is not None:
        return load(options.model, options.revision)
    try:
        return load(DEFAULT_MODEL, options.revision)
    except HubUnreachableError as error:
        note(f"{DEFAULT_MODEL} is out of reach ({error.reason}): the bundled {BUNDLED_MODEL} speaks instead")
        return load(BUNDLED_MODEL, None)


def read_prompt(options: argparse.Namespace, tokenizer: Tokenizer) -> str:
    """The prompt of the command line, or all of standard input. What is no text is refused before a model is loaded."""
    from decoding.core import check_not_empty

    prompt = read_standard_input() if options.prompt is None else str(options.prompt)
    check_not_empty(tokenizer.encode(prompt))
    return prompt


def ask() -> Iterator[str]:
    """One prompt after another, from whoever sits at the terminal."""
    print("Ctrl-D ends.", file=sys.stderr)
    while True:
        print("prompt> ", end="", file=sys.stderr, flush=True)  # not into the output, which may go to a file
        try:
            prompt = input()
        except (EOFError, KeyboardInterrupt):
            print(file=sys.stderr)
            return
        except UnicodeDecodeError as error:
            print(f"that is not UTF-8: {error.reason}; try again", file=sys.stderr)
            continue
        if prompt:
            yield prompt


def read_standard_input() -> str:
    """All of it, less the one newline that `echo` and editors add."""
    content = sys.stdin.buffer.read()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"standard input is not UTF-8: byte {error.start} is 0x{content[error.start]:02x}; convert it first"
        ) from error
    return text.removesuffix("\n").removesuffix("\r")


# -- main -------------------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    if options.quiet:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from decoding import Tokenizer
    from scripts.answer import JsonPrinter, Request, TablePrinter, TextPrinter, answer

    request = Request(
        strategy=build_strategy(options),
        draw=build_draw(options),
        seed=options.seed,
        max_new_tokens=options.max_new_tokens,
        num_samples=options.num_samples,
        stop=[unescape(stop) for stop in options.stop],
    )
    request.check()
    tokenizer = Tokenizer()
    conversation = options.prompt is None and sys.stdin.isatty()
    prompts = ask() if conversation else iter([read_prompt(options, tokenizer)])
    model = load_model(options)
    if not options.quiet and expects_sampling(options):
        note("greedy decoding always takes the likeliest id, which these options do not change; try --strategy sample")

    printer: TextPrinter | JsonPrinter
    if options.json:
        printer = JsonPrinter(model)
    elif options.show_probabilities:
        printer = TablePrinter(request, tokenizer, quiet=options.quiet)
    else:
        printer = TextPrinter(request, quiet=options.quiet)

    for prompt in prompts:
        started = time.perf_counter()
        try:
            texts = answer(prompt, request, model, tokenizer, printer)
        except ValueError as error:
            if not conversation:
                raise
            note(str(error))
            continue
        if not options.quiet and not options.json:
            note(summary(texts, options, request, model, time.perf_counter() - started))
        if not conversation and any(text.finish_reason == "interrupted" for text in texts):
            raise KeyboardInterrupt
    return 0


def summary(texts: list[Text], options: argparse.Namespace, request: Request, model: GPT2, seconds: float) -> str:
    count = sum(len(text.ids) for text in texts)
    reasons = ", ".join(dict.fromkeys(text.finish_reason for text in texts))
    seed = "" if options.strategy == "greedy" else f", seed {texts[0].seed}"
    name = model.source.name if model.source else "model"
    return f"{name}, {request.strategy}{seed}: {count} id{'s' * (count != 1)} in {seconds:.1f} s ({reasons})"


def expects_sampling(options: argparse.Namespace) -> bool:
    """Whether greedy decoding was asked for with options that change nothing about it."""
    return options.strategy == "greedy" and bool(options.processors or options.num_samples > 1)


def main(arguments: Sequence[str]) -> int:
    """Run, and turn whatever a user can cause into one line and an exit code."""
    options = parse(arguments)
    return run_command(NAME, lambda: run(options))


def note(text: str) -> None:
    command.note(NAME, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
