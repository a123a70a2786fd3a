"""What generate.py and compare.py share besides the processors: the model, the prompt, and how a text is made."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from scripts.chain import unescape
from scripts.command import note

if TYPE_CHECKING:
    from decoding import Chance, Tokenizer
    from gpt2 import GPT2
    from scripts.strategies import Load

DEFAULT_MODEL, BUNDLED_MODEL = "gpt2", "storybook"


# -- options ----------------------------------------------------------------------------------------------------------


def add_model(parser: argparse.ArgumentParser) -> None:
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
        "--dtype",
        default="float32",
        choices=["float32", "bfloat16", "float16", "int8", "float64"],
        help="what the weights are kept in; default: float32",
    )
    model.add_argument(
        "--compile", action="store_true", help="compute in C++ on the CPU, compiled for it by the first run: faster"
    )


def add_texts(group: argparse._ArgumentGroup, num_samples: int) -> None:
    """How many texts, how long they get, and what they are drawn with."""
    group.add_argument("--max-new-tokens", type=int, default=40, metavar="N", help="the most ids to add; default: 40")
    group.add_argument(
        "--num-samples", type=int, default=num_samples, metavar="N", help=f"how many texts; default: {num_samples}"
    )
    group.add_argument("--seed", type=int, help="repeat a run; without it a new one is drawn and shown")
    group.add_argument(
        "--draw",
        default="gumbel",
        choices=["gumbel", "inverse-cdf", "multinomial"],
        help="how random choices are made; default: gumbel",
    )
    group.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end before this text; may be given several times; \\n, \\t and \\\\ stand for newline, tab and "
        "backslash; write --stop=-- for one that begins with a dash",
    )


# -- what they mean ---------------------------------------------------------------------------------------------------


def build_draw(options: argparse.Namespace) -> Callable[[int], Chance]:
    from decoding import Gumbel, InverseCDF, Multinomial

    draws: dict[str, Callable[[int], Chance]] = {
        "gumbel": Gumbel,
        "inverse-cdf": InverseCDF,
        "multinomial": Multinomial,
    }
    return draws[options.draw]


def stops(options: argparse.Namespace) -> list[str]:
    return [unescape(stop) for stop in options.stop]


def load_model(options: argparse.Namespace, program: str) -> GPT2:
    """The model that was asked for. Only where none was named may the bundled one stand in."""
    from gpt2 import HubUnreachableError

    if options.model is not None:
        return _load(options, options.model, options.revision)
    try:
        return _load(options, DEFAULT_MODEL, options.revision)
    except HubUnreachableError as error:
        note(program, f"{DEFAULT_MODEL} is out of reach ({error.reason}): the bundled {BUNDLED_MODEL} speaks instead")
        return _load(options, BUNDLED_MODEL, None)


def second_model(options: argparse.Namespace) -> Load:
    """How a model beside the first is loaded, a draft or an amateur: with the same type of numbers and device.

    Several drafts of one name are the same model.
    """
    return cache(lambda name: _load(options, name, None))


def _load(options: argparse.Namespace, name: str, revision: str | None) -> GPT2:
    import torch

    from gpt2 import GPT2

    dtype = getattr(torch, options.dtype)
    model = GPT2.from_pretrained(name, revision=revision, dtype=dtype, device=options.device)
    return model.compiled() if options.compile else model


def read_prompt(prompt: str | None, tokenizer: Tokenizer) -> str:
    """The prompt of the command line, or all of standard input. What is no text is refused before a model is loaded."""
    from decoding.core import check_not_empty

    text = read_standard_input() if prompt is None else prompt
    check_not_empty(tokenizer.encode(text))
    return text


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


def finite(value: float) -> float | None:
    """A number as JSON can have it: None for infinity and NaN."""
    return value if math.isfinite(value) else None
