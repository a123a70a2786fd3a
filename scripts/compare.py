#!/usr/bin/env python3
"""Continue a prompt with several strategies: texts side by side, and measures.

    compare.py "Once upon a time" --with sample --with "sample --top-p 0.9"
    compare.py "Hello" --with greedy --with "greedy --dry 0.8" --explain
    echo "Hello" | compare.py --with sample --with "sample --min-p 0.1" --json

Each --with is one strategy and its processors, in the order in which they act,
as generate.py takes them; generate.py --list lists all. Quotation marks within
hold words together: "sample --suppress ' the'".

All strategies get the same seed, and so draw with the same random numbers: a
text parts from that of the first strategy, at the mark |, only where the
strategies want different ids. So the differences between texts of the same
number ("against 1" in the table) are mostly surer than those between
independent texts.

Drafts, "sample --prompt-lookup", change the speed and not the law. Verified with
"--verify shared-noise" they give the very ids of sample, by the same noise.

Ctrl-C ends with the strategies that are finished.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts import combinations, command
from scripts.command import Parser, run_command
from scripts.options import add_model, add_texts, build_draw, finite, load_model, read_prompt, second_model, stops
from scripts.strategies import Asked, read_strategy

if TYPE_CHECKING:
    from decoding import LanguageModel, Strategy, Tokenizer
    from decoding.compare import Result
    from decoding.measures import Measure
    from gpt2 import Source
    from scripts.strategies import Load

NAME = "compare.py"
Chosen = dict[str, Asked]  # by what was written


# -- what is asked for ------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, __doc__)
    parser.usage = f"{NAME} [PROMPT] --with STRATEGY [--with STRATEGY ...] [options]"
    parser.add_argument("prompt", nargs="?", help="the text to continue; without it, standard input")
    add_model(parser)

    decoding = parser.add_argument_group("decoding")
    decoding.add_argument(
        "--with",
        dest="written",
        action="append",
        default=[],
        metavar="STRATEGY",
        help='a strategy: greedy, sample, "sample --top-p 0.9"; once for each. The others are held against the first',
    )
    add_texts(decoding, num_samples=20)
    combinations.add_combinations(parser)

    output = parser.add_argument_group("output")
    output.add_argument("--show", type=int, default=1, metavar="N", help="how many texts of each; default: 1")
    output.add_argument("--json", action="store_true", help="print one JSON object with everything that is known")
    output.add_argument(
        "--explain", action="store_true", help="print why the first text of each strategy parts from that of the first"
    )
    output.add_argument("--quiet", action="store_true", help="print texts and table only, and no notes")

    options = parser.parse_args(combinations.with_negative_values(arguments))
    if options.json and options.explain:
        parser.error("--json and --explain are different forms of output; choose one")
    try:
        options.chosen = chosen(options.written)
    except ValueError as error:
        parser.error(str(error))
    return options


def chosen(written: Sequence[str]) -> Chosen:
    """Each --with, read. Raises ValueError, naming the one that is wrong."""
    if not written:
        raise ValueError(
            'there is nothing to compare: give strategies, such as --with sample --with "sample --top-k 5"'
        )
    read: Chosen = {}
    for number, text in enumerate(written, 1):
        if text in read:
            raise ValueError(f"--with {number} is the same as --with {list(read).index(text) + 1}: {text!r}")
        try:
            read[text] = read_strategy(text)
        except ValueError as error:
            raise ValueError(f"--with {number}, {text!r}: {error}") from error
    return read


def build(read: Chosen, tokenizer: Tokenizer, load: Load | None = None) -> dict[str, Strategy]:
    """The strategies by what was written for them. Raises ValueError, naming the one that is wrong."""
    strategies: dict[str, Strategy] = {}
    for number, (text, asked) in enumerate(read.items(), 1):
        try:
            strategies[text] = asked.build(tokenizer, load)
        except ValueError as error:
            raise type(error)(f"--with {number}, {text!r}: {error}") from error
    return strategies


def check_drafts(strategies: dict[str, Strategy], model: LanguageModel, prompt: list[int]) -> None:
    """Raise ValueError, naming the strategy, where a draft does not fit the model: before the first one has run."""
    from decoding import generate_ids

    for number, (text, strategy) in enumerate(strategies.items(), 1):
        if hasattr(strategy, "draft"):
            try:
                generate_ids(model, [prompt], strategy, max_new_tokens=1, seed=0)
            except ValueError as error:
                raise ValueError(f"--with {number}, {text!r}: {error}") from error


# -- running ----------------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    if options.quiet:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from decoding import Tokenizer, compare
    from decoding.chance import fresh_seed
    from scripts.answer import Request

    tokenizer = Tokenizer()
    combination = combinations.read_combination(options.combination, tokenizer)
    strategies = build(options.chosen, tokenizer, second_model(options))
    seed = fresh_seed() if options.seed is None else options.seed
    draw = build_draw(options)
    any_of_them = next(iter(strategies.values()))  # what is checked here is the same for all
    Request(any_of_them, draw, seed, options.max_new_tokens, options.num_samples, stops(options)).check()
    if not 0 <= options.show <= options.num_samples:
        raise ValueError(
            f"show is a number of texts, from 0 to {options.num_samples} (num_samples); got {options.show}"
        )
    says = not options.quiet and not options.json
    if says and options.prompt is None and sys.stdin.isatty():
        note("the prompt is read from standard input; Ctrl-D ends it")
    prompt = read_prompt(options.prompt, tokenizer)
    network = load_model(options, NAME)
    model = network if combination is None else combination.build(network, second_model(options))
    title = None if combination is None else combination.title(model)
    check_drafts(strategies, model, tokenizer.encode(prompt))
    if says:
        advise(options.chosen)

    results: dict[str, Result] = {}
    started = time.perf_counter()

    def report(name: str, result: Result) -> None:
        results[name] = result
        if says:
            note(summary(len(results), name, result, time.perf_counter() - started))

    interrupted = False
    try:
        compare(
            model,
            tokenizer,
            prompt,
            strategies,
            max_new_tokens=options.max_new_tokens,
            num_samples=options.num_samples,
            seed=seed,
            draw=draw,
            stop=stops(options),
            trace=options.explain,
            report=report,
        )
    except KeyboardInterrupt:  # what is finished is measured; of the others the short texts are, which would mislead
        interrupted = True

    if options.json:
        print(json.dumps(as_data(options, prompt, seed, network.source, title, results), allow_nan=False), flush=True)
    elif results:
        print(page(options, prompt, list(results), list(results.values()), tokenizer), flush=True)
    if says:
        name = ", ".join(filter(None, [network.source.name if network.source else "model", title]))
        note(f"{name}, seed {seed}")
    if interrupted:
        if says:
            note(f"interrupted: {', '.join(repr(name) for name in strategies if name not in results)} not finished")
        raise KeyboardInterrupt
    return 0


def advise(read: Chosen) -> None:
    """Point out what cannot show a difference."""
    if len(read) == 1:
        note("there is one strategy only; --with sample would add the model's own distribution")
    for number, asked in enumerate(read.values(), 1):
        if asked.is_idle:
            note(f"{number}: greedy decoding always takes the likeliest id, which these options do not change")


def summary(number: int, name: str, result: Result, seconds: float) -> str:
    from scripts.answer import about_drafts

    count = sum(len(sample.ids) for sample in result.samples)
    reasons = ", ".join(dict.fromkeys(sample.finish_reason for sample in result.samples))
    drafts = about_drafts(one for sample in result.samples for one in sample.rounds)
    return f"{number}, {name}: {count} ids after {seconds:.1f} s ({reasons}){drafts}"


# -- output -----------------------------------------------------------------------------------------------------------


def page(
    options: argparse.Namespace, prompt: str, names: Sequence[str], results: Sequence[Result], tokenizer: Tokenizer
) -> str:
    """Everything that is printed: names, texts, why they part, the table and what it means."""
    from decoding.legible import printable, visible
    from decoding.wording import counted
    from scripts.paint import Paint
    from scripts.side_by_side import legend, legible, paragraph, side_by_side, table, terminal_width, why_they_part

    paint, width = Paint(sys.stdout), terminal_width()
    blocks = [] if options.quiet else [paint.dim(paragraph(legible(prompt), width))]
    blocks.append(
        "\n".join(paragraph(printable(visible(name)), width, f"{n:<3}", "   ") for n, name in enumerate(names, 1))
    )
    for number in range(options.show):
        samples = [result.samples[number] for result in results]
        parts_at = [result.parts_at[number] for result in results]
        heading = paint.dim(f"--- sample {number + 1} of {options.num_samples}")
        blocks.append(f"{heading}\n{side_by_side(samples, parts_at, tokenizer, paint, width)}")
    if options.explain:
        blocks.append(paint.dim("--- why the texts of sample 1 part"))
        blocks += [
            why_they_part(number, results[0].samples[0], result.samples[0], result.parts_at[0], paint, width)
            for number, result in enumerate(results, 1)
            if result.parts_at[0] is not None
        ] or ["They do not: the texts are the same."]
    heading = paint.dim(f"--- measures of {counted(options.num_samples, 'text')} each")
    blocks.append(f"{heading}\n{table(results, paint, width)}")
    if not options.quiet:
        blocks.append(paint.dim(legend(results, width)))
    return "\n\n".join(blocks)


def as_data(
    options: argparse.Namespace,
    prompt: str,
    seed: int,
    source: Source | None,
    combination: str | None,
    results: Mapping[str, Result],
) -> dict[str, Any]:
    """Everything that is known, for JSON. What is no number there, such as NaN, is None."""
    return {
        "prompt": prompt,
        "seed": seed,
        "draw": options.draw,
        "max_new_tokens": options.max_new_tokens,
        "num_samples": options.num_samples,
        "stop": stops(options),
        "model": source.name if source else None,
        "revision": source.revision if source else None,
        "combination": combination,
        "strategies": [_result(name, result) for name, result in results.items()],
        "unfinished": [name for name in options.chosen if name not in results],
    }


def _result(name: str, result: Result) -> dict[str, Any]:
    from scripts.answer import drafted

    return {
        "with": name,
        "strategy": repr(result.strategy),
        "measures": {name: _measure(measure) for name, measure in result.measures.items()},
        "differences": {name: _measure(measure) for name, measure in result.differences.items()},
        "samples": [
            {
                "sample": sample.sample,
                "text": sample.text,
                "ids": sample.ids,
                "model_logprobs": list(map(finite, sample.model_logprobs)),
                "processed_logprobs": list(map(finite, sample.processed_logprobs)),
                "finish_reason": sample.finish_reason,
                "entropies": entropies,
                "parts_at": parts_at,
                **drafted(sample.rounds),
            }
            for sample, entropies, parts_at in zip(result.samples, result.entropies, result.parts_at, strict=True)
        ],
    }


def _measure(measure: Measure) -> dict[str, float | None]:
    error = measure.standard_error
    return {"value": finite(measure.value), "standard_error": None if error is None else finite(error)}


def main(arguments: Sequence[str]) -> int:
    """Run, and turn whatever a user can cause into one line and an exit code."""
    options = parse(arguments)
    return run_command(NAME, lambda: run(options))


def note(text: str) -> None:
    command.note(NAME, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
