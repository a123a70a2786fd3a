#!/usr/bin/env python3
"""Continue a prompt with GPT-2.

    generate.py "Once upon a time"
    generate.py "Once upon a time" --strategy sample --top-p 0.95
    generate.py "Once upon a time" --repetition-penalty 1.3 --explain
    generate.py "Once upon a time" --strategy beam --beams 3 --show-candidates
    generate.py "Once upon a time" --model gpt2-xl --draft gpt2
    generate.py "Once upon a time" --model gpt2-xl --amateur gpt2
    echo "Once upon a time" | generate.py --model storybook --quiet
    generate.py                   (asks for a prompt, again and again)
    generate.py --list            (all strategies, models and processors)

Processors act in the order in which they are written.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts import chain, combinations, command, strategies
from scripts.command import Parser, run_command
from scripts.options import add_model, add_texts, build_draw, load_model, read_prompt, second_model, stops

if TYPE_CHECKING:
    from decoding import Strategy
    from scripts.answer import JsonPrinter, Text, TextPrinter

NAME = "generate.py"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, __doc__)
    parser.usage = f"{NAME} [PROMPT] [options]"
    parser.add_argument("prompt", nargs="?", help="the text to continue; without it, standard input")
    add_model(parser)

    decoding = parser.add_argument_group("decoding")
    decoding.add_argument(
        "--strategy",
        default="greedy",
        choices=list(strategies.STRATEGIES),
        metavar="NAME",
        help=f"how ids are chosen: {', '.join(strategies.STRATEGIES)}; default: greedy",
    )
    add_texts(decoding, num_samples=1)
    strategies.add_settings(parser)
    combinations.add_combinations(parser)
    chain.add_processors(parser)

    output = parser.add_argument_group("output")
    forms = {
        "--json": "print one JSON object a sample, on a line of its own",
        "--show-probabilities": "print each step's best candidates",
        "--show-candidates": "print all texts that a search found, with their scores",
        "--explain": "print what each processor did in each step and why, what a search considered, the fate of drafts",
        "--list": "print all strategies, models made of others and processors with rule and paper, and nothing else",
    }
    for form, help in forms.items():
        output.add_argument(form, action="store_true", help=help)
    output.add_argument("--quiet", action="store_true", help="print the new text only, and no notes")

    arguments = combinations.with_negative_values(strategies.with_negative_values(arguments))
    options = parser.parse_args(arguments)
    chosen = [form for form in forms if getattr(options, form.removeprefix("--").replace("-", "_"))]
    if len(chosen) > 1:
        parser.error(f"{' and '.join(chosen)} are different forms of output; choose one")
    return options


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


def run(options: argparse.Namespace) -> int:
    if options.list:
        from scripts.catalogue import catalogue
        from scripts.paint import Paint

        print(catalogue(Paint(sys.stdout)))
        return 0
    if options.quiet:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        logging.getLogger("gpt2").setLevel(logging.ERROR)
    from decoding import Tokenizer
    from scripts.answer import CandidatesPrinter, JsonPrinter, Request, TablePrinter, TextPrinter, answer

    tokenizer = Tokenizer()
    combination = combinations.read_combination(options.combination, tokenizer)
    request = Request(
        strategy=strategies.asked(options).build(tokenizer, second_model(options)),
        draw=build_draw(options),
        seed=options.seed,
        max_new_tokens=options.max_new_tokens,
        num_samples=options.num_samples,
        stop=stops(options),
    )
    request.check()
    conversation = options.prompt is None and sys.stdin.isatty()
    prompts = ask() if conversation else iter([read_prompt(options.prompt, tokenizer)])
    network = load_model(options, NAME)
    model = network if combination is None else combination.build(network, second_model(options))
    title = None if combination is None else combination.title(model)
    if not options.quiet and expects_sampling(options, request.strategy):
        note("greedy decoding always takes the likeliest id, which these options do not change; try --strategy sample")
    elif not options.quiet and options.num_samples > 1 and not draws(options, request.strategy):
        note(f"{options.strategy} makes no random choices: all {options.num_samples} texts are the same")

    printer: TextPrinter | JsonPrinter
    if options.json:
        printer = JsonPrinter(request, network.source, title)
    elif options.show_probabilities:
        printer = TablePrinter(request, tokenizer, quiet=options.quiet)
    elif options.show_candidates:
        printer = CandidatesPrinter(request, quiet=options.quiet)
    elif options.explain:
        from scripts.answer import ExplainPrinter

        printer = ExplainPrinter(request, tokenizer, quiet=options.quiet)
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
            seed = f", seed {texts[0].seed}" if draws(options, request.strategy) else ""
            name = ", ".join(filter(None, [network.source.name if network.source else "model", title]))
            note(f"{name}, {request.strategy}{seed}: {summary(texts, time.perf_counter() - started)}")
        if not conversation and any(text.finish_reason == "interrupted" for text in texts):
            raise KeyboardInterrupt
    return 0


def summary(texts: list[Text], seconds: float) -> str:
    """What there is now: "40 ids in 0.3 s (length); 19 of 78 drafted ids accepted, 0.55 calls an id"."""
    from decoding.wording import counted
    from scripts.answer import about_drafts

    count = sum(len(text.ids) for text in texts)
    reasons = ", ".join(dict.fromkeys(text.finish_reason for text in texts))
    drafts = about_drafts(one for text in texts for one in text.rounds)
    return f"{counted(count, 'id')} in {seconds:.1f} s ({reasons}){drafts}"


def draws(options: argparse.Namespace, strategy: Strategy) -> bool:
    """Whether random choices are made: by the strategy itself, or by a processor."""
    processors = getattr(strategy, "processors", ())
    return strategies.STRATEGIES[options.strategy].draws or any(one.purpose is not None for one in processors)


def expects_sampling(options: argparse.Namespace, strategy: Strategy) -> bool:
    """Whether greedy decoding was asked for with options that change nothing about it."""
    same = options.num_samples > 1 and not draws(options, strategy)
    return strategies.asked(options).is_idle or (options.strategy == "greedy" and same)


def main(arguments: Sequence[str]) -> int:
    """Run, and turn whatever a user can cause into one line and an exit code."""
    options = parse(arguments)
    return run_command(NAME, lambda: run(options))


def note(text: str) -> None:
    command.note(NAME, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
