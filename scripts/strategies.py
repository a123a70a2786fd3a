"""The strategies of the command line and their settings, which generate.py and compare.py share.

A setting belongs to the strategies that have a parameter for it; given with another one it is a mistake.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from scripts import chain
from scripts.chain import UnreadableError, Written, add_processors, build_processor, read_float, read_int
from scripts.command import UsageError

if TYPE_CHECKING:
    from decoding import Strategy, Tokenizer


@dataclass(frozen=True)
class StrategyOption:
    """One strategy on the command line.

    cls        the class in `decoding`
    settings   the flags that it takes -> its parameters that they are for
    draws      whether it makes random choices of its own
    """

    cls: str
    settings: dict[str, str] = field(default_factory=dict)
    draws: bool = False


STRATEGIES = {  # as one writes them
    "greedy": StrategyOption("Greedy"),
    "sample": StrategyOption("Sample", draws=True),
    "beam": StrategyOption(
        "BeamSearch", {"beams": "beams", "length-penalty": "length_penalty", "stopping": "stopping"}
    ),
}


def _choice(*values: str) -> Callable[[str, Tokenizer], str]:
    def read(text: str, tokenizer: Tokenizer) -> str:
        if text not in values:
            raise UnreadableError(f"{text!r} is none of {', '.join(values)}")
        return text

    return read


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
    Setting(
        "stopping",
        "WHEN",
        "first",
        "when beam search ends: optimal (the default: as soon as nothing can change), first (with the first text that "
        "ends) or exhaust",
        _choice("optimal", "first", "exhaust"),
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
        return cls(*(build_processor(flag, value, tokenizer) for flag, value in self.processors), **arguments)

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
