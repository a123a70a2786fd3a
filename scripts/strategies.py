"""The strategies of the command line and their settings, which generate.py and compare.py share.

A setting belongs to the strategies that have a parameter for it; given with another one it is a mistake. Greedy
decoding and sampling may have a draft: with one they become the strategy that verifies it, see `Asked.with_draft`.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, cast

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
    from decoding import Hypothesis, LanguageModel, Strategy, Tokenizer
    from decoding.drafts import Drafter

    Load = Callable[[str], LanguageModel]  # a model by its name


@dataclass(frozen=True)
class StrategyOption:
    """One strategy on the command line.

    cls        the class in `decoding`
    settings   the flags that it takes -> its parameters that they are for
    needs      flags of which it cannot do without one
    draws      whether it makes random choices of its own
    drafted    whether ids may be drafted for it, see `Asked.with_draft`
    """

    cls: str
    settings: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    draws: bool = False
    drafted: bool = False

    @property
    def flags(self) -> set[str]:
        """Those of all settings that may be given with it."""
        return {*self.settings, *([*_DRAFT, "verify"] if self.drafted else [])}


WAYS_TO_DRAFT = ("draft", "prompt-lookup", "early-exit")
VERIFY = {"token": "speculative", "block": "block-verification", "shared-noise": "drafter-invariant"}
_DRAFT = {**dict.fromkeys(WAYS_TO_DRAFT, "draft"), "draft-length": "length"}
_BEAMS = {"beams": "beams", "length-penalty": "length_penalty"}

STRATEGIES = {  # as one writes them
    "greedy": StrategyOption("Greedy", drafted=True),
    "sample": StrategyOption("Sample", draws=True, drafted=True),
    "beam": StrategyOption("BeamSearch", {**_BEAMS, "stopping": "stopping"}),
    "diverse-beam": StrategyOption("DiverseBeamSearch", {**_BEAMS, "groups": "groups", "diversity-penalty": "penalty"}),
    "constrained-beam": StrategyOption("ConstrainedBeamSearch", {"contain": "phrases", **_BEAMS}, needs=("contain",)),
    "transformers-beam": StrategyOption(
        "TransformersBeamSearch", {**_BEAMS, "early-stopping": "early_stopping", "texts": "candidates"}
    ),
    "exact": StrategyOption("ExactSearch", {"length-penalty": "length_penalty", "budget": "budget"}),
    "stochastic-beam": StrategyOption("StochasticBeamSearch", {"texts": "k"}, draws=True),
    "arithmetic": StrategyOption("ArithmeticSampling", {"texts": "n"}, draws=True),
    "best-of-n": StrategyOption("BestOfN", {"texts": "n", "reward": "reward"}, draws=True),
    "minimum-bayes-risk": StrategyOption("MinimumBayesRisk", {"texts": "n"}, draws=True),
    "majority-vote": StrategyOption("MajorityVote", {"texts": "n", "answer": "answer"}, draws=True),
    "contrastive-search": StrategyOption("ContrastiveSearch", {"candidates": "k", "alpha": "alpha"}),
    "jacobi": StrategyOption("Jacobi", {"window": "window"}),
    "speculative": StrategyOption("Speculative", _DRAFT, needs=WAYS_TO_DRAFT, draws=True),
    "block-verification": StrategyOption("BlockVerification", _DRAFT, needs=WAYS_TO_DRAFT, draws=True),
    "drafter-invariant": StrategyOption("DrafterInvariant", _DRAFT, needs=WAYS_TO_DRAFT, draws=True),
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


def _prompt_lookup(text: str, tokenizer: Tokenizer) -> Drafter:
    from decoding import PromptLookup

    return PromptLookup()


def _first_layers(text: str, tokenizer: Tokenizer) -> Drafter:
    from decoding import SelfSpeculative

    layers = read_int(text, tokenizer)
    try:
        return SelfSpeculative(layers)
    except ValueError as error:
        raise ValueError(f"--early-exit {str(error).removeprefix('layers').strip()}") from error


@dataclass(frozen=True)
class Setting:
    """One setting of a strategy, or of a model made of others.

    flag      "beams" for --beams
    metavar   what follows it; "" for nothing
    example   a value that can be used as it stands
    read      the value, from what was written
    """

    flag: str
    metavar: str
    example: str
    help: str
    read: Callable[[str, Tokenizer], Any]

    @property
    def usage(self) -> str:
        """As --help shows it."""
        return f"--{self.flag} {self.metavar}".rstrip()


def read_name(text: str, tokenizer: Tokenizer) -> str:
    """What is written, as it stands."""
    return text


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
    Setting("candidates", "K", "4", "of how many of the likeliest ids one is taken; default: 4", read_int),
    Setting("alpha", "X", "0.6", "how much likeness to what was there counts, 0 to 1; default: 0.6", read_float),
    Setting("window", "N", "8", "how many ids are guessed at once; default: 8", read_int),
]

DRAFTS_HELP = """\
With greedy and sample, ids may be drafted: the model reads several of them
in one call, and keeps those that it agrees with. What is written has the same
law as without, and comes in fewer calls; whether it comes sooner depends on
what drafting costs. At most one of --draft, --prompt-lookup and --early-exit."""
DRAFTS = [
    Setting("draft", "NAME", "storybook", "draft with this model, any that --model takes with the same ids", read_name),
    Setting("prompt-lookup", "", "", "copy what followed the last ids where they stood before", _prompt_lookup),
    Setting("early-exit", "LAYERS", "2", "draft with so many of the model's own first layers", _first_layers),
    Setting("draft-length", "N", "4", "how many ids are drafted in a round; default: 4", read_int),
    Setting(
        "verify",
        "RULE",
        "block",
        "how a draft is judged: token (the default: id by id, Speculative), block (as a whole, BlockVerification: on "
        "average no less of it is kept) or shared-noise (kept as long as it is what the model draws itself, "
        "DrafterInvariant: the ids are those without a draft)",
        _choice(VERIFY),
    ),
]

BY_FLAG = {setting.flag: setting for setting in [*SETTINGS, *DRAFTS]}


@dataclass(frozen=True)
class Asked:
    """A strategy as it was asked for, not read yet.

    settings   flag and value of each, as on the command line
    """

    name: str
    processors: tuple[Written, ...] = ()
    settings: tuple[Written, ...] = ()

    def build(self, tokenizer: Tokenizer, load: Load | None = None) -> Strategy:
        """The strategy; `load` loads the model that drafts. Raises ValueError, naming the option, for what is wrong:

        that it cannot be read, or does not belong to the strategy.
        """
        import decoding

        for flag, _ in self.settings:
            if flag not in STRATEGIES[self.name].flags:
                others = [name for name, other in STRATEGIES.items() if flag in other.flags]
                raise UsageError(f"--{flag} belongs to {' or '.join(others)}; the strategy here is {self.name}")
        asked = self.with_draft(tokenizer)
        option = STRATEGIES[asked.name]
        arguments = read_settings(asked.settings, option.settings, BY_FLAG, tokenizer)
        if option.needs and option.settings[option.needs[0]] not in arguments:
            raise UsageError(f"{self.name} needs {_usages(option.needs)}")
        processors = [build_processor(flag, value, tokenizer) for flag, value in asked.processors]
        for flag, name in asked.settings:
            if flag == "draft":
                arguments["draft"] = named(name, load)
        cls: Callable[..., Strategy] = getattr(decoding, option.cls)
        try:
            return cls(*processors, **arguments)
        except ValueError as error:  # what the class calls a parameter has the name of its option here
            for flag, parameter in option.settings.items():
                if parameter != flag and str(error).startswith(f"{parameter} "):
                    raise ValueError(f"--{flag} {str(error).removeprefix(parameter).strip()}") from error
            if asked.name != self.name and dict(self.settings).get("verify"):
                raise ValueError(f"--verify {dict(self.settings)['verify']}: {error}") from error
            raise

    def with_draft(self, tokenizer: Tokenizer) -> Asked:
        """The same, but greedy decoding and sampling with a draft are the strategy that verifies it.

        `greedy ... --prompt-lookup --verify block` becomes `block-verification ... --temperature 0 --prompt-lookup`.
        """
        given = [flag for flag, _ in self.settings]
        if not STRATEGIES[self.name].drafted or not given:
            return self
        if not any(flag in WAYS_TO_DRAFT for flag in given):
            raise UsageError(f"--{given[0]} is for drafts: give {_usages(WAYS_TO_DRAFT)}, too")
        rule = read_settings(
            [one for one in self.settings if one[0] == "verify"], {"verify": "verify"}, BY_FLAG, tokenizer
        )
        best = (("temperature", "0"),) if self.name == "greedy" else ()
        others = tuple(one for one in self.settings if one[0] != "verify")
        return Asked(rule.get("verify", VERIFY["token"]), (*self.processors, *best), others)

    @property
    def is_idle(self) -> bool:
        """Whether it is greedy decoding with processors that change nothing about it."""
        return self.name == "greedy" and bool(self.processors) and not chain.changes_greedy(self.processors)


def read_settings(
    written: Sequence[Written], parameters: Mapping[str, str], known: Mapping[str, Setting], tokenizer: Tokenizer
) -> dict[str, Any]:
    """What was written as arguments; `parameters` says for which flag. Two for the same one exclude each other."""
    arguments: dict[str, Any] = {}
    flags: dict[str, str] = {}
    for flag, value in written:
        parameter = parameters[flag]
        other = flags.setdefault(parameter, flag)
        if parameter in arguments:
            raise UsageError(
                f"--{flag} is given twice" if other == flag else f"--{other} and --{flag} exclude each other; take one"
            )
        arguments[parameter] = _read(known[flag], value, tokenizer)
    return arguments


def _read(setting: Setting, value: str, tokenizer: Tokenizer) -> Any:
    try:
        return setting.read(value, tokenizer)
    except UnreadableError as error:
        raise UsageError(
            f"--{setting.flag}: {error}; it is written {setting.usage}, such as --{setting.flag} "
            f"{shlex.quote(setting.example)}"
        ) from error


def _usages(flags: Sequence[str]) -> str:
    """`--contain WORD,..., such as --contain cat,dog`, or several ways to choose from."""
    settings = [BY_FLAG[flag] for flag in flags]
    if len(settings) == 1:
        return f"{settings[0].usage}, such as --{settings[0].flag} {settings[0].example}"
    *others, last = [setting.usage for setting in settings]
    return f"{', '.join(others)} or {last}"


def named(name: str, load: Load | None) -> LanguageModel:
    """The model with this name, which it also prints as."""
    from gpt2 import GPT2

    model: Any = (load or GPT2.from_pretrained)(name)
    model.__name__ = name
    return cast("LanguageModel", model)


# -- on the command line ----------------------------------------------------------------------------------------------


class _Collect(argparse.Action):
    """Collects settings as they are written."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        assert option_string is not None
        value = values if isinstance(values, str) else ""
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), (option_string.removeprefix("--"), value)])


def add_setting(group: argparse._ArgumentGroup, setting: Setting, dest: str, help: str) -> None:
    """One option, collected in `dest`, a list of `Written`."""
    nargs, metavar = (None, setting.metavar) if setting.metavar else (0, None)
    group.add_argument(f"--{setting.flag}", dest=dest, action=_Collect, nargs=nargs, metavar=metavar, help=help)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options of all settings. They are collected in `settings`, as a list of `Written`."""
    parser.set_defaults(settings=[])
    group = parser.add_argument_group("settings of strategies")
    for setting in SETTINGS:
        whose = ", ".join(name for name, option in STRATEGIES.items() if setting.flag in option.settings)
        add_setting(group, setting, "settings", f"{setting.help} ({whose})")
    group = parser.add_argument_group("drafts", DRAFTS_HELP)
    for setting in DRAFTS:
        add_setting(group, setting, "settings", setting.help)


def asked(options: argparse.Namespace) -> Asked:
    """What the options of a command say."""
    return Asked(options.strategy, tuple(options.processors), tuple(options.settings))


def with_negative_values(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--length-penalty -0.5` as one of them: argparse takes a dash for an option."""
    valued = {flag for flag, option in chain.BY_FLAG.items() if option.values}
    valued |= {flag for flag, setting in BY_FLAG.items() if setting.metavar}
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
