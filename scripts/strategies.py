"""The strategies of the command line and their settings, which generate.py and compare.py share.

A setting belongs to the strategies that have a parameter for it; given with another one it is a mistake.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from scripts import chain
from scripts.chain import (
    UnreadableError,
    Written,
    add_processors,
    build_processor,
    read_float,
    read_int,
    read_texts,
)
from scripts.command import UsageError

if TYPE_CHECKING:
    from decoding import Hypothesis, Strategy, Tokenizer


@dataclass(frozen=True)
class StrategyOption:
    """One strategy on the command line.

    cls        the class in `decoding`
    settings   the flags that it takes -> its parameters that they are for
    needs      the flag of those that it cannot do without
    draws      whether it makes random choices of its own
    """

    cls: str
    settings: dict[str, str] = field(default_factory=dict)
    needs: str = ""
    draws: bool = False


_BEAMS = {"beams": "beams", "length-penalty": "length_penalty"}

STRATEGIES = {  # as one writes them
    "greedy": StrategyOption("Greedy"),
    "sample": StrategyOption("Sample", draws=True),
    "beam": StrategyOption("BeamSearch", {**_BEAMS, "stopping": "stopping"}),
    "diverse-beam": StrategyOption("DiverseBeamSearch", {**_BEAMS, "groups": "groups", "diversity-penalty": "penalty"}),
    "constrained-beam": StrategyOption("ConstrainedBeamSearch", {"contain": "phrases", **_BEAMS}, needs="contain"),
    "transformers-beam": StrategyOption(
        "TransformersBeamSearch", {**_BEAMS, "early-stopping": "early_stopping", "texts": "candidates"}
    ),
    "exact": StrategyOption("ExactSearch", {"length-penalty": "length_penalty", "budget": "budget"}),
    "stochastic-beam": StrategyOption("StochasticBeamSearch", {"texts": "k"}, draws=True),
    "arithmetic": StrategyOption("ArithmeticSampling", {"texts": "n"}, draws=True),
    "best-of-n": StrategyOption("BestOfN", {"texts": "n", "reward": "reward"}, draws=True),
    "minimum-bayes-risk": StrategyOption("MinimumBayesRisk", {"texts": "n"}, draws=True),
    "majority-vote": StrategyOption("MajorityVote", {"texts": "n", "answer": "answer"}, draws=True),
}


def _choice(values: Mapping[str, object]) -> Callable[[str, Tokenizer], object]:
    def read(text: str, tokenizer: Tokenizer) -> object:
        if text not in values:
            raise UnreadableError(f"{text!r} is none of {', '.join(values)}")
        return values[text]

    return read


def _forms(text: str, tokenizer: Tokenizer) -> list[list[list[int]]]:
    """For each word all ways of writing it."""
    from decoding.strategies.constrained_beam import forms_of

    words = read_texts(text)
    if not all(word.strip() for word in words):
        raise UnreadableError("a word is missing")
    return [forms_of(word, tokenizer) for word in words]


def _reward(text: str, tokenizer: Tokenizer) -> object:
    from decoding.strategies.best_of_n import mean_model_logprob, sum_model_logprob

    return _choice({"mean": mean_model_logprob, "sum": sum_model_logprob})(text, tokenizer)


def _answer(text: str, tokenizer: Tokenizer) -> Callable[[Hypothesis], str | None]:
    """The last match of a regular expression, or its first group; None where nothing matches."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UnreadableError(f"{text!r} is no regular expression: {error}") from error

    def answer(hypothesis: Hypothesis) -> str | None:
        *_, last = [None, *pattern.finditer(tokenizer.decode(hypothesis.ids, skip_special_tokens=True))]
        return None if last is None else last[1 if pattern.groups else 0]

    answer.__name__ = repr(text)  # so that the strategy prints as it was written
    return answer


@dataclass(frozen=True)
class Setting:
    """One setting of a strategy.

    flag      "beams" for --beams
    metavar   what follows it
    example   a value that can be used as it stands
    read      the value, from what was written
    """

    flag: str
    metavar: str
    example: str
    help: str
    read: Callable[[str, Tokenizer], Any]


SETTINGS = [
    Setting("beams", "N", "5", "how many hypotheses go on at every step; default: 5", read_int),
    Setting(
        "length-penalty",
        "A",
        "0.6",
        "divide log-probabilities by the length to the power of A: above 0 favours longer texts",
        read_float,
    ),
    Setting("groups", "N", "5", "how many groups the beams are divided into; default: 5", read_int),
    Setting(
        "diversity-penalty",
        "X",
        "0.5",
        "what an id costs for each earlier group that chose it; default: 0.5",
        read_float,
    ),
    Setting(
        "contain",
        "WORD,...",
        "cat,dog",
        "words that the text has to have, with a capital or without",
        _forms,
    ),
    Setting(
        "stopping",
        "WHEN",
        "first",
        "when beam search ends: optimal (the default: as soon as nothing can change), first (with the first text that "
        "ends) or exhaust",
        _choice({name: name for name in ("optimal", "first", "exhaust")}),
    ),
    Setting(
        "early-stopping",
        "WHEN",
        "yes",
        "when that beam search ends: no (the default: when a guess says so), yes (with the first N texts) or never",
        _choice({"no": False, "yes": True, "never": "never"}),
    ),
    Setting("budget", "N", "1000", "the most distributions that are asked for; default: no limit", read_int),
    Setting(
        "texts",
        "N",
        "4",
        "how many texts are found or drawn, of which one is taken; default: 5, with best-of-n 8, with the last two 16",
        read_int,
    ),
    Setting(
        "reward",
        "NAME",
        "mean",
        "what is best: the mean (the default) or the sum of the model's log-probabilities",
        _reward,
    ),
    Setting(
        "answer",
        "REGEX",
        r"\d+",
        "what of a text is its answer: the last match, or its first group; default: the whole text",
        _answer,
    ),
]

BY_FLAG = {setting.flag: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Asked:
    """A strategy as it was asked for, not read yet.

    settings   flag and value of each, as on the command line
    """

    name: str
    processors: tuple[Written, ...] = ()
    settings: tuple[Written, ...] = ()

    def build(self, tokenizer: Tokenizer) -> Strategy:
        """The strategy. Raises ValueError, naming the option, for what cannot be read or does not belong to it."""
        import decoding

        option = STRATEGIES[self.name]
        arguments: dict[str, Any] = {}
        for flag, value in self.settings:
            if flag not in option.settings:
                others = [name for name, other in STRATEGIES.items() if flag in other.settings]
                raise UsageError(f"--{flag} belongs to {' or '.join(others)}; the strategy here is {self.name}")
            if option.settings[flag] in arguments:
                raise UsageError(f"--{flag} is given twice")
            arguments[option.settings[flag]] = _read(flag, value, tokenizer)
        cls: Callable[..., Strategy] = getattr(decoding, option.cls)
        if option.needs and option.settings[option.needs] not in arguments:
            missing = BY_FLAG[option.needs]
            written = f"--{missing.flag} {missing.metavar}, such as --{missing.flag} {missing.example}"
            raise UsageError(f"{self.name} needs {written}")
        processors = [build_processor(flag, value, tokenizer) for flag, value in self.processors]
        try:
            return cls(*processors, **arguments)
        except ValueError as error:  # what the class calls a parameter has the name of its option here
            for flag, parameter in option.settings.items():
                if parameter != flag and str(error).startswith(f"{parameter} "):
                    raise ValueError(f"--{flag} {str(error).removeprefix(parameter).strip()}") from error
            raise

    @property
    def is_idle(self) -> bool:
        """Whether it is greedy decoding with processors that change nothing about it."""
        return self.name == "greedy" and bool(self.processors) and not chain.changes_greedy(self.processors)


def _read(flag: str, value: str, tokenizer: Tokenizer) -> Any:
    setting = BY_FLAG[flag]
    try:
        return setting.read(value, tokenizer)
    except UnreadableError as error:
        raise UsageError(
            f"--{flag}: {error}; it is written --{flag} {setting.metavar}, such as --{flag} "
            f"{shlex.quote(setting.example)}"
        ) from error


# -- on the command line ----------------------------------------------------------------------------------------------


class _Collect(argparse.Action):
    """Collects settings as they are written."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        assert option_string is not None
        namespace.settings = [*namespace.settings, (option_string.removeprefix("--"), values)]


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options of all settings. They are collected in `settings`, as a list of `Written`."""
    group = parser.add_argument_group("settings of strategies")
    parser.set_defaults(settings=[])
    for setting in SETTINGS:
        whose = ", ".join(name for name, option in STRATEGIES.items() if setting.flag in option.settings)
        group.add_argument(
            f"--{setting.flag}", action=_Collect, metavar=setting.metavar, help=f"{setting.help} ({whose})"
        )


def asked(options: argparse.Namespace) -> Asked:
    """What the options of a command say."""
    return Asked(options.strategy, tuple(options.processors), tuple(options.settings))


def with_negative_values(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--length-penalty -0.5` as one of them: argparse takes a dash for an option."""
    valued = {flag for flag, option in chain.BY_FLAG.items() if option.values} | set(BY_FLAG)
    return chain.with_negative_values(arguments, valued)


class _StrategyParser(argparse.ArgumentParser):
    """argparse without a way out of the program."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def read_strategy(text: str) -> Asked:
    """`beam --beams 3 --top-p 0.9`, read. Quotation marks hold words together.

    Raises ValueError for what is no strategy, no option, or an option without its value.
    """
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""  # backslashes are for the processors
    words = with_negative_values(list(lexer))
    parser = _StrategyParser(add_help=False, allow_abbrev=False)
    parser.add_argument("strategy")
    add_settings(parser)
    add_processors(parser)
    if not words or words[0] not in STRATEGIES:
        raise ValueError(f"it begins with a strategy: {', '.join(STRATEGIES)}")
    return asked(parser.parse_args(words))
