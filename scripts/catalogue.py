"""What `generate.py --list` prints: every strategy and processor with its option, rule and source, from its docstring.

A docstring begins with a sentence, and its rule is the first indented paragraph. The source ends it: authors and year,
with title and number in the arXiv where there is a paper; "Community: ..." or somebody's interface where there is none.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass

import decoding
from decoding.legible import can_print
from scripts.chain import OPTIONS
from scripts.paint import Paint
from scripts.strategies import STRATEGIES

WIDTH = 80
_DEEP = 8  # columns by which rules are indented
_PLAIN = {ord("∝"): "prop. to", ord("σ"): "-sigma"}  # where standard output lacks them
_COMMON = "common practice"  # what has no source
_BEGIN_OF_SOURCE = r"(?:^|(?<=[.)\]] ))(?:Community: |OpenAI's |[A-Z][^.;]*(?:et al\. )?(?:19|20)\d\d, )"


@dataclass(frozen=True)
class Entry:
    """One strategy or processor."""

    usage: str  # --top-p P
    name: str  # the class
    sentence: str
    rule: list[str]  # line by line
    source: str | None


def entries() -> tuple[list[Entry], list[Entry]]:
    """Of all strategies, and of all processors in the order of `--help`."""
    strategies = [_entry(f"--strategy {name}", option.cls) for name, option in STRATEGIES.items()]
    return strategies, [_entry(f"--{option.flag} {option.values}".strip(), option.cls) for option in OPTIONS]


def _entry(usage: str, name: str) -> Entry:
    docstring = getattr(decoding, name).__doc__
    sentence, rule, source = parts(docstring if can_print(docstring) else docstring.translate(_PLAIN))
    return Entry(usage, name, sentence, rule, source)


def parts(docstring: str) -> tuple[str, list[str], str | None]:
    """First sentence, rule and source of a docstring."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    sentence = " ".join(paragraphs[0].split())
    rule = next((textwrap.dedent(part).splitlines() for part in paragraphs if part.startswith("    ")), [])
    last = " ".join(paragraphs[-1].split())
    begin = re.search(_BEGIN_OF_SOURCE, last)
    return sentence, rule, last[begin.start() :].removesuffix(".") if begin else None


def catalogue(paint: Paint) -> str:
    """All of it as text, at most 80 columns wide."""
    strategies, processors = entries()
    blocks = [paint.bold("Strategies choose the next id.")]
    blocks += [_block(entry, paint) for entry in strategies]
    blocks += [paint.bold("Processors reshape the distribution, in the order in which they are written.")]
    blocks += [_block(entry, paint) for entry in processors]
    return "\n\n".join(blocks)


def _block(entry: Entry, paint: Paint) -> str:
    rule = [part for line in _whole_lines(entry.rule) for part in _packed(line)]
    source = _wrapped(entry.source or _COMMON, 4, 4)
    return "\n".join([paint.bold(entry.usage), *_wrapped(entry.sentence, 4, 4), *rule, *map(paint.dim, source)])


def _whole_lines(rule: list[str]) -> list[str]:
    """The lines, put together where a bracket goes on in the next."""
    whole: list[str] = []
    for line in rule:
        if whole and whole[-1].count("(") > whole[-1].count(")"):
            whole[-1] += " " + line.strip()
        else:
            whole.append(line)
    return whole


def _packed(line: str) -> list[str]:
    """One line of a rule. Where it is too long it breaks at its wide gaps first, and what follows is indented."""
    pieces = re.split(r" {2,}", line)
    packed = [pieces[0]]
    for piece in pieces[1:]:
        longer = f"{packed[-1]}  {piece}"
        if len(longer) + _DEEP + 4 * (len(packed) > 1) <= WIDTH:
            packed[-1] = longer
        else:
            packed.append(piece)
    lines = [line] if len(line) + _DEEP <= WIDTH else packed
    return [part for n, piece in enumerate(lines) for part in _wrapped(piece, _DEEP + 4 * (n > 0), _DEEP + 4)]


def _wrapped(text: str, first: int, others: int) -> list[str]:
    """In lines of at most 80 columns, the first and the others indented."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * first, subsequent_indent=" " * others, break_on_hyphens=False
    )
