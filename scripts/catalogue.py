"""What `generate.py --list` prints: all that has an option, with rule and source, from its docstring.

A docstring begins with a sentence, and its rule is the first indented paragraph. The source ends it: authors and year,
with title and number in the arXiv where there is a paper; "Community: ..." or somebody's interface where there is none.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass

import decoding
import decoding.drafts
from decoding.legible import can_print
from scripts import combinations, strategies
from scripts.chain import OPTIONS
from scripts.combinations import COMBINATIONS
from scripts.paint import Paint
from scripts.strategies import STRATEGIES

WIDTH = 80
_DEEP = 8  # columns by which rules are indented
_PLAIN = {ord("∝"): "prop. to", ord("σ"): "-sigma"}  # where standard output lacks them
_COMMON = "common practice"  # what has no source
_BEGIN_OF_SOURCE = r"(?:^|(?<=[.)\]] ))(?:Community: |OpenAI's |[A-Z][^.;:(]*(?:et al\. )?(?:19|20)\d\d, )"


@dataclass(frozen=True)
class Entry:
    """One strategy, draft, model made of others, or processor."""

    usage: str  # --top-p P
    name: str  # the class
    sentence: str
    rule: list[str]  # line by line; none for a draft
    source: str | None


TITLES = {
    "strategies": "Strategies choose the next id.",
    "drafts": "Drafts let greedy decoding and sampling write several ids a call of the model.",
    "combinations": "Models made of others take the place of the model.",
    "processors": "Processors reshape the distribution, in the order in which they are written.",
}
DRAFTERS = {"draft": "ModelDraft", "prompt-lookup": "PromptLookup", "early-exit": "SelfSpeculative"}


def entries() -> dict[str, list[Entry]]:
    """Of all that can be chosen, each group in the order of `--help`, by the keys of `TITLES`."""
    return {
        "strategies": [_entry(f"--strategy {name}", option.cls) for name, option in STRATEGIES.items()],
        "drafts": [_entry(strategies.BY_FLAG[flag].usage, name) for flag, name in DRAFTERS.items()],
        "combinations": [_entry(combinations.BY_FLAG[option.flag].usage, option.cls) for option in COMBINATIONS],
        "processors": [_entry(f"--{option.flag} {option.values}".strip(), option.cls) for option in OPTIONS],
    }


def _entry(usage: str, name: str) -> Entry:
    cls: type = getattr(decoding, name, None) or getattr(decoding.drafts, name)
    docstring = str(cls.__doc__)
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
    blocks: list[str] = []
    for group, members in entries().items():
        blocks.append(paint.bold(TITLES[group]))
        blocks += [_block(entry, paint) for entry in members]
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
