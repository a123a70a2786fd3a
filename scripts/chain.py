"""The options of all processors, which generate.py and compare.py share.

A value is written as the parameters of the class, in their order, separated by commas; those that may be left out also
by name. What a parameter may be follows from the annotation of its field.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from scripts.command import UsageError

if TYPE_CHECKING:
    from decoding import Processor, Tokenizer

SYNTAX = """\
They act in the order in which they are written, and each may be given several
times. Parameters are separated by commas. Those in brackets may be left out,
or be given by name: --repetition-penalty 1.2,include_prompt=no. An ID is a
number, or a text that is exactly one token: 262 or " the" (--ban-sequence
takes longer ones, too). Such a text needs quotation marks (besides those of
the shell) only where it is a number or has a comma or an equals sign; \\n,
\\t, \\" and \\\\ stand for newline, tab, quotation mark and backslash."""


@dataclass(frozen=True)
class Option:
    """One processor on the command line.

    flag              "top-p" for --top-p
    cls               the class in `decoding`
    values            what follows it, as --help shows it: the parameters in capitals, those with a default in brackets
    example           a value that can be used as it stands
    help              what it does, in a few words
    keeps_favourite   it never changes which id is the likeliest, and so nothing about greedy decoding
    """

    flag: str
    cls: str
    values: str
    example: str
    help: str
    keeps_favourite: bool = False


OPTIONS = [
    Option("temperature", "Temperature", "T", "0.8", "divide the logits by T; 0 is greedy", True),
    Option(
        "dynamic-temperature",
        "DynamicTemperature",
        "LOW,HIGH[,EXPONENT]",
        "0.5,1.5",
        "a temperature that rises from LOW to HIGH with the entropy",
        True,
    ),
    Option(
        "quadratic-smoothing",
        "QuadraticSmoothing",
        "FACTOR[,CURVE]",
        "0.2",
        "lower each logit by the square of its distance to the best",
        True,
    ),
    Option("top-k", "TopK", "K", "40", "keep the K likeliest ids", True),
    Option("top-p", "TopP", "P", "0.95", "keep the smallest set of ids with probability P", True),
    Option("min-p", "MinP", "P", "0.1", "keep the ids with at least P times the best one's probability", True),
    Option("top-a", "TopA", "A", "0.2", "keep the ids with at least A times the square of the best one's", True),
    Option(
        "epsilon-cutoff",
        "EpsilonCutoff",
        "EPSILON",
        "0.001",
        "keep the ids with a probability of at least EPSILON",
        True,
    ),
    Option("eta-cutoff", "EtaCutoff", "EPSILON", "0.001", "the same, and a lower bar where the model is unsure", True),
    Option("top-n-sigma", "TopNSigma", "N", "1.0", "keep logits up to N standard deviations below the best", True),
    Option("p-less", "PLess", "", "", "keep the ids as likely as two draws are to agree", True),
    Option("typical-p", "TypicalP", "MASS", "0.95", "keep ids about as surprising as the entropy, with this mass"),
    Option("top-h", "TopH", "ALPHA", "0.4", "keep the likeliest ids with this share of the entropy", True),
    Option("tail-free", "TailFree", "Z", "0.95", "cut where the sorted probabilities become straight", True),
    Option(
        "xtc",
        "XTC",
        "THRESHOLD,PROBABILITY",
        "0.1,0.5",
        "with PROBABILITY keep, of the ids that reach THRESHOLD, only the least likely",
    ),
    Option("mirostat", "Mirostat", "TAU,ETA[,VERSION]", "3.0,0.1", "hold the surprise of the text near TAU bits", True),
    Option(
        "repetition-penalty",
        "RepetitionPenalty",
        "PENALTY[,WINDOW,INCLUDE_PROMPT]",
        "1.2,window=64",
        "divide positive logits of ids that have occurred by PENALTY, and multiply negative ones",
    ),
    Option(
        "presence-penalty",
        "PresencePenalty",
        "PENALTY[,WINDOW,INCLUDE_PROMPT]",
        "0.5,include_prompt=yes",
        "lower the logits of ids that have occurred",
    ),
    Option(
        "frequency-penalty",
        "FrequencyPenalty",
        "PENALTY[,WINDOW,INCLUDE_PROMPT]",
        "0.5",
        "lower the logit of an id each time it occurs",
    ),
    Option("no-repeat-ngram", "NoRepeatNGram", "N[,INCLUDE_PROMPT]", "3", "say no run of N ids twice"),
    Option(
        "dry",
        "DRY",
        "MULTIPLIER[,BASE,ALLOWED_LENGTH,BREAKERS,WINDOW,INCLUDE_PROMPT]",
        r"0.8,breakers=\n:",
        "the longer a repetition, the less likely its next id; each character of BREAKERS ends one",
    ),
    Option("logit-bias", "LogitBias", "ID=BIAS,...", "262=-2.5,13=1", "add to the logits of single ids"),
    Option("suppress", "Suppress", "ID,...", '262," a"', "never say these ids"),
    Option("force", "Force", "STEP=ID,...", '0=11,1=" there"', "say this id at this step, counted from 0"),
    Option("min-new-tokens", "MinNewTokens", "N", "20", "no end of the text before N new ids"),
    Option("ban-sequence", "BanSequences", "ID,...", '" named"," Lily"', "never say these ids in a row"),
    Option("ban-words", "BanWords", "WORD,...", "Lily,Tim", "never say these words, in lower and upper case"),
]

BY_FLAG = {option.flag: option for option in OPTIONS}
Written = tuple[str, str]  # flag and value of a processor, as on the command line


# -- on the command line ----------------------------------------------------------------------------------------------


class _InOrder(argparse.Action):
    """Collects processors in the order in which their options are written."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        assert option_string is not None
        value = values if isinstance(values, str) else ""
        namespace.processors = [*namespace.processors, (option_string.removeprefix("--"), value)]


def add_processors(parser: argparse.ArgumentParser) -> None:
    """The options of all processors. They are collected in `processors`, as a list of `Written`."""
    group = parser.add_argument_group("processors", SYNTAX)
    parser.set_defaults(processors=[])
    for option in OPTIONS:
        nargs, metavar = (None, option.values) if option.values else (0, None)
        group.add_argument(f"--{option.flag}", action=_InOrder, nargs=nargs, metavar=metavar, help=option.help)


def with_negative_values(arguments: Sequence[str], valued: Collection[str]) -> list[str]:
    """The arguments, with `--presence-penalty -0.5,window=64` as one of them: argparse takes a dash for an option.

    valued   the options that have a value
    """
    joined: list[str] = []
    for argument in arguments:
        flag = joined[-1].removeprefix("--") if joined and joined[-1].startswith("--") else ""
        if flag in valued and re.match(r"-([\d.]|inf|nan)", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def changes_greedy(processors: Sequence[Written]) -> bool:
    """Whether greedy decoding may write something else with these processors than without."""
    return not all(BY_FLAG[flag].keeps_favourite for flag, _ in processors)


# -- into processors --------------------------------------------------------------------------------------------------


def build_processor(flag: str, value: str, tokenizer: Tokenizer) -> Processor:
    """--top-p 0.9 as TopP(0.9). Which values make sense is the class's to say; here they have to be readable."""
    import decoding

    option = BY_FLAG[flag]
    cls: type[Processor] = getattr(decoding, option.cls)
    try:
        parameters = _parameters(cls, _items(value) if option.values else [], tokenizer)
    except UnreadableError as error:
        raise UsageError(
            f"--{flag}: {error}; it is written --{flag} {option.values}, such as --{flag} {shlex.quote(option.example)}"
        ) from error
    return cls(**parameters)


class UnreadableError(Exception):
    """What is wrong with a value, as the beginning of a sentence."""


def _parameters(cls: type[Processor], items: Sequence[str], tokenizer: Tokenizer) -> dict[str, Any]:
    """The arguments of a dataclass, from what was written for them."""
    from decoding import Tokenizer

    if not is_dataclass(cls):  # no parameters
        return {}
    types = get_type_hints(cls)
    arguments: dict[str, Any] = {name: tokenizer for name in field_names(cls) if types[name] is Tokenizer}
    names = [name for name in field_names(cls) if name not in arguments]
    if len(names) == 1 and types[names[0]] in _LISTS:  # all items together are its only parameter
        return arguments | {names[0]: _LISTS[types[names[0]]](items, tokenizer)}

    for name, text in _named(items, names):
        if name in arguments:
            raise UnreadableError(f"{name} is given twice")
        arguments[name] = _VALUES[types[name]](text, tokenizer)
    for field in fields(cls):
        if field.name not in arguments and field.default is MISSING and field.default_factory is MISSING:
            raise UnreadableError(f"{field.name.upper()} is missing")
    return arguments


def field_names(cls: type[Processor]) -> list[str]:
    """The parameters of a processor, in their order."""
    return [field.name for field in fields(cls)] if is_dataclass(cls) else []


def _named(items: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every item with the name of its parameter: by its place until the first that has a name."""
    by_place = True
    for place, item in enumerate(items):
        match = re.fullmatch(r"\s*([a-zA-Z][\w-]*)\s*=(.*)", item, re.DOTALL)
        if match:
            by_place = False
            name, text = match[1].lower().replace("-", "_"), match[2]
            if name not in names:
                raise UnreadableError(f"there is no parameter {match[1]!r}")
            yield name, text
        elif not by_place:
            raise UnreadableError(f"{item!r} follows one with a name, and so needs one")
        elif place >= len(names):
            raise UnreadableError(f"{item!r} is one too many")
        else:
            yield names[place], item


# -- into values ------------------------------------------------------------------------------------------------------

_QUOTED = r'"(?:\\.|[^"\\])*"'


def _items(value: str) -> list[str]:
    """What stands between the commas, but for those in quotation marks."""
    items, end = [], -1
    while end < len(value):
        match = re.compile(rf'(?:{_QUOTED}|\\.|[^",])*', re.DOTALL).match(value, end + 1)
        assert match is not None  # it may be empty
        end = match.end()
        if value[end : end + 1] not in ("", ","):
            raise UnreadableError(f'a quotation mark is not closed in {value!r} (\\" is one that is meant)')
        items.append(match[0])
    return items


def unescape(text: str, others: str = "") -> str:
    """\\n, \\t and \\\\ as newline, tab and backslash: not every shell lets one type them. So also for `others`."""
    meant = {"n": "\n", "t": "\t"}
    return re.sub(rf"\\([nt\\{re.escape(others)}])", lambda match: meant.get(match[1], match[1]), text)


def _text(item: str) -> str:
    return unescape(item[1:-1] if re.fullmatch(_QUOTED, item, re.DOTALL) else item, '",')


def read_texts(value: str) -> list[str]:
    """The texts between the commas."""
    return [_text(item) for item in _items(value)]


def read_float(item: str, tokenizer: Tokenizer) -> float:
    try:
        return float(item)
    except ValueError as error:
        raise UnreadableError(f"{item!r} is not a number") from error


def read_int(item: str, tokenizer: Tokenizer) -> int:
    try:
        number = int(item)
    except ValueError as error:
        raise UnreadableError(f"{item!r} is not a whole number") from error
    if abs(number) >= 2**63:
        raise UnreadableError(f"{item!r} is too large")
    return number


def _int_or_none(item: str, tokenizer: Tokenizer) -> int | None:
    return None if item.strip().lower() == "none" else read_int(item, tokenizer)


def _bool(item: str, tokenizer: Tokenizer) -> bool:
    answers = {"yes": True, "no": False}
    if item.strip().lower() not in answers:
        raise UnreadableError(f"{item!r} is neither yes nor no")
    return answers[item.strip().lower()]


def _breakers(item: str, tokenizer: Tokenizer) -> Collection[int]:
    """All ids with one of these characters."""
    from decoding import DRY

    return DRY.breakers_of(tokenizer, list(_text(item)))


def _ids(item: str, tokenizer: Tokenizer) -> list[int]:
    """A number, or the ids of a text."""
    if re.fullmatch(r"\s*-?[0-9]+\s*", item):
        return [read_int(item, tokenizer)]
    ids = tokenizer.encode(_text(item), allow_special=True)
    if not ids:
        raise UnreadableError("an id is missing")
    return ids


def _id(item: str, tokenizer: Tokenizer) -> int:
    from decoding.legible import token_name

    ids = _ids(item, tokenizer)
    if len(ids) > 1:
        tokens = " ".join(token_name(tokenizer, id) for id in ids)
        raise UnreadableError(f"{item!r} is {len(ids)} tokens, {tokens}, and one is wanted")
    return ids[0]


def _pairs(items: Sequence[str]) -> Iterator[tuple[str, str]]:
    for item in items:
        match = re.fullmatch(rf"({_QUOTED}|[^=]*)=(.*)", item, re.DOTALL)
        if not match:
            raise UnreadableError(f"{item!r} has no equals sign")
        yield match[1], match[2]


def _once(pairs: Iterable[tuple[int, Any]]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for key, value in pairs:
        if key in found:
            raise UnreadableError(f"{key} is given twice")
        found[key] = value
    return found


_VALUES: dict[Any, Callable[[str, Tokenizer], Any]] = {  # how one item is read, by the annotation of its field
    float: read_float,
    int: read_int,
    int | None: _int_or_none,
    bool: _bool,
    Collection[int]: _breakers,
}
_LISTS: dict[Any, Callable[[Sequence[str], Tokenizer], Any]] = {  # the same, of all items together
    Collection[int]: lambda items, tokenizer: [_id(item, tokenizer) for item in items],
    Sequence[Sequence[int]]: lambda items, tokenizer: [[id for item in items for id in _ids(item, tokenizer)]],
    Sequence[str]: lambda items, tokenizer: [_text(item) for item in items],
    Mapping[int, float]: lambda items, tokenizer: _once(
        (_id(id, tokenizer), read_float(bias, tokenizer)) for id, bias in _pairs(items)
    ),
    Mapping[int, int]: lambda items, tokenizer: _once(
        (read_int(step, tokenizer), _id(id, tokenizer)) for step, id in _pairs(items)
    ),
}
