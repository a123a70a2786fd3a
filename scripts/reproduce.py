#!/usr/bin/env python3
"""Run what blogs, papers and other programs published about GPT-2, fact by fact, on this GPT-2 and these strategies.

    reproduce.py                              facts that need no weights, and those of OpenAI's gpt2
    reproduce.py --model gpt2-xl --model distilgpt2
    reproduce.py --model storybook            facts about the bundled model, computed by transformers
    reproduce.py --only "A-gauntlet-*"        by id, model or kind; a part of an id will do
    reproduce.py --list                       their ids and sources, and the strategies that do not exist yet

Each fact shows what was expected, what came out, and the verdict:

    pass    all is as published, within the tolerance that is shown
    FAIL    something is not
    soft    it is not, but that proves no error: another device or generator was used there, the note tells
    wait    it was not run: its strategy does not exist yet, or something is missing here, such as the weights

Exit code: 0 where nothing fails, 1 where something does or an error ends the run, 2 for an option that does not exist,
3 where the weights that were asked for are out of reach, and all that needs none passes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts.command import Parser, note, run_command

if TYPE_CHECKING:
    from decoding import Tokenizer
    from gpt2 import GPT2, PublishedModel
    from scripts.reproduction.bench import Bench
    from scripts.reproduction.fact import Fact
    from scripts.reproduction.run import Outcome

DEFAULT_MODEL = "gpt2"
OUT_OF_REACH = 3


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("reproduce.py", __doc__)
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="whose facts to run: gpt2 (the default), gpt2-medium, gpt2-large, gpt2-xl, distilgpt2, storybook, or a "
        "directory with the files of one of them; may be given several times",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="run only the facts that match; * stands for any"
    )
    parser.add_argument("--list", action="store_true", help="list the facts and run none")
    parser.add_argument("--json", action="store_true", help="print one JSON object a fact, on a line of its own")
    parser.add_argument("--device", default="cpu", help="cpu (the default), cuda, ...")
    parser.add_argument(
        "--dtype", default="float32", choices=["float32", "float64"], help="default: float32; float64 allows less"
    )
    parser.add_argument(
        "--wikitext",
        type=Path,
        metavar="FILE",
        help="wiki.test.raw, for the perplexities of gpt2-large; it is in wikitext-2-raw-v1.zip, which the dataset "
        "ggml-org/ci on the Hugging Face Hub has",
    )
    options = parser.parse_args(arguments)
    if options.list and options.json:
        parser.error("--list runs nothing, and --json prints what came of a run; choose one")
    if any(not text for text in [*options.only, *(options.model or [])]):
        parser.error("--only and --model want a text; an empty one was given")
    return options


def run(options: argparse.Namespace) -> int:
    import torch

    from decoding import Tokenizer
    from gpt2.model import usable_device
    from scripts.reproduction.fact import load, select

    if options.wikitext is not None and not options.wikitext.is_file():
        raise ValueError(f"--wikitext {options.wikitext} is no file")
    names = {identify(given): given for given in options.model or [DEFAULT_MODEL]}  # whose facts, and where it lies
    facts = load("published.json") if set(names) - {"storybook"} else free_of_weights(load("published.json"))
    if "storybook" in names:
        facts += load("storybook.json")
    facts = select(facts, options.only)
    if options.list:
        return show_list(facts)
    usable_device(options.device, getattr(torch, options.dtype))  # before facts that need none scroll by

    tokenizer, show = Tokenizer(), printer(options)
    outcomes = run_free(facts, names, tokenizer, show)
    for name, given in names.items():
        mine = [fact for fact in facts if is_of(fact, name)]
        if mine:
            outcomes += run_on(name, given, mine, tokenizer, options, show)
    outcomes += wait_for_others(facts, names, show)
    if not options.json:
        conclude(outcomes)
    if any(outcome.verdict == "fail" for outcome in outcomes):
        return 1
    return OUT_OF_REACH if any(outcome.for_weights for outcome in outcomes) else 0


# -- which facts ------------------------------------------------------------------------------------------------------


def identify(given: str) -> str:
    """Whose facts belong to what was given: a name, or a directory whose weights have the size of a published model."""
    from gpt2 import PUBLISHED, ModelNotFoundError
    from gpt2.hub import is_directory, locate

    if given in PUBLISHED or given == "storybook":
        return given
    if not is_directory(given):
        raise ModelNotFoundError(
            f"facts are known of {', '.join(PUBLISHED)} and storybook, not of {given!r}; a directory that holds the "
            f"files of one of them will do, too"
        )
    weights = locate(given).weights
    for name, published in PUBLISHED.items():
        if weights.stat().st_size == published.n_bytes:
            return name
    raise ModelNotFoundError(
        f"{weights} has {weights.stat().st_size:,} bytes, which is the size of none of {', '.join(PUBLISHED)}: "
        f"no facts are known of it"
    )


def free_of_weights(facts: list[Fact]) -> list[Fact]:
    return [fact for fact in facts if not fact.needs_weights]


def is_of(fact: Fact, name: str) -> bool:
    """Whether a fact is run with this model's files: those that need its weights, and those that its files can tell."""
    return fact.model == name and (fact.needs_weights or fact.kind in ("config", "tensor_table", "checkpoint_file"))


# -- running them -----------------------------------------------------------------------------------------------------


def printer(options: argparse.Namespace) -> Callable[[Outcome], None]:
    """Shows an outcome as soon as it is there; those that wait are shown together, at the end."""
    from scripts.paint import Paint
    from scripts.reproduction.report import as_json, block, heading

    paint = Paint(sys.stdout)
    if not options.json:
        print(heading(paint))

    def show(outcome: Outcome) -> None:
        if options.json:
            print(as_json(outcome), flush=True)
        elif outcome.verdict != "waits":
            print(block(outcome, paint), flush=True)

    return show


def run_free(
    facts: list[Fact], names: dict[str, str], tokenizer: Tokenizer, show: Callable[[Outcome], None]
) -> list[Outcome]:
    """The facts that need no weights, but for those that the files of a model that was asked for can tell better."""
    from scripts.reproduction.bench import Bench

    free = [fact for fact in free_of_weights(facts) if not any(is_of(fact, name) for name in names)]
    return run_each(free, Bench(tokenizer), show)


def run_on(
    name: str,
    given: str,
    facts: list[Fact],
    tokenizer: Tokenizer,
    options: argparse.Namespace,
    show: Callable[[Outcome], None],
) -> list[Outcome]:
    """The facts of one model; where it is out of reach, those that need no weights, and the others wait."""
    import torch

    from gpt2 import GPT2, HubUnreachableError
    from gpt2.hub import locate
    from scripts.reproduction.bench import Bench

    try:
        model = GPT2.from_pretrained(given, dtype=getattr(torch, options.dtype), device=options.device)
    except HubUnreachableError as error:
        note("reproduce.py", str(error))
        return run_each(facts, Bench(tokenizer, missing=f"the weights of {name}, which are out of reach"), show)
    files = locate(given, local_files_only=True)
    if not options.json:
        revision = f" at {files.source.revision[:8]}" if files.source.revision else ""
        print(f"\n{given}{revision}, {options.dtype} on {model.device}, PyTorch {torch.__version__}\n")
    outcomes = run_each(facts, Bench(tokenizer, model, files, options.wikitext), show)
    if not options.json:
        explain_the_tutorial(outcomes, model, tokenizer)
    return outcomes


def run_each(facts: list[Fact], bench: Bench, show: Callable[[Outcome], None]) -> list[Outcome]:
    from scripts.reproduction.run import run as run_fact

    outcomes = []
    for fact in facts:
        outcomes.append(run_fact(fact, bench))
        show(outcomes[-1])
    return outcomes


def wait_for_others(facts: list[Fact], names: dict[str, str], show: Callable[[Outcome], None]) -> list[Outcome]:
    """The facts of models that were not asked for."""
    from gpt2 import PUBLISHED
    from scripts.reproduction.run import Outcome, missing_strategy

    outcomes = []
    for fact in facts:
        if fact.needs_weights and fact.model not in names:
            asked_for = f"--model {fact.model}, {megabytes(PUBLISHED[fact.model])}"
            outcomes.append(Outcome(fact, "waits", waits_for=missing_strategy(fact) or asked_for))
            show(outcomes[-1])
    return outcomes


def megabytes(published: PublishedModel) -> str:
    return f"{published.n_bytes / 1e6:,.0f} MB"


# -- what is said besides ---------------------------------------------------------------------------------------------


def conclude(outcomes: list[Outcome]) -> None:
    from scripts.paint import Paint
    from scripts.reproduction.report import summary, waiting

    if any(outcome.verdict == "waits" for outcome in outcomes):
        print("\n" + waiting(outcomes, Paint(sys.stdout)))
    print("\n" + summary(outcomes), flush=True)
    if any(outcome.for_weights for outcome in outcomes):
        print(
            "To run the rest: start it where the Hub can be reached (scripts/doctor.py tells\n"
            "what stands in the way), or bring the files on a stick (scripts/prefetch.py)\n"
            "and give their folder as GPT2_WEIGHTS or --model.",
            flush=True,
        )


def explain_the_tutorial(outcomes: list[Outcome], model: GPT2, tokenizer: Tokenizer) -> None:
    from scripts.reproduction.tutorial import explained

    for outcome in outcomes:
        if "printed_ids" in outcome.fact.expected and outcome.comparisons:  # it was run, and did not break off
            print(f"\nThe line that the tutorial prints ({outcome.fact.id})\n")
            print(explained(outcome.fact, model, tokenizer))
            print(
                "\nThe post takes the argmax after every id of its prompt: what the model would have\n"
                "said there, and no continuation. And it never calls .eval(), so that dropout\n"
                "made its line one random draw."
            )


def show_list(facts: list[Fact]) -> int:
    from scripts.paint import Paint
    from scripts.reproduction.report import listed

    paint = Paint(sys.stdout)
    print("\n".join(listed(fact, paint) for fact in facts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("reproduce.py", lambda: run(parse(sys.argv[1:]))))
