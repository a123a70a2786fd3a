"""The rounds of speculation as lines of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from .legible import columns, cut, printable, visible
from .rounds import Round, Rounds
from .wording import counted

DraftFate = Literal["kept", "rejected", "behind", "own"]

MARKS: dict[DraftFate, str] = {"kept": "+", "rejected": "x", "behind": "-", "own": ">"}
LEGEND = """\
round  + kept   x rejected   - behind a rejected one   > the model's own
       numbers are p/q: the id's probability by the model and by the draft"""
_HEAD = 7  # columns before the ids of a round
_NAME = 24  # columns of a token's name


class RoundPart(NamedTuple):
    """One id of a round: drafted, or the model's own."""

    text: str
    fate: DraftFate


def parts(round: Round, name: Callable[[int], str]) -> Iterator[RoundPart]:
    """The drafted ids with p/q where the model looked at them, and the model's own id behind those it kept."""
    for place, one in enumerate(round.drafted):
        fate: DraftFate = "kept" if place < round.accepted else "rejected" if place == round.accepted else "behind"
        ratio = ""
        if one.target_logprob is not None:
            ratio = f" {math.exp(one.target_logprob):.3g}/{math.exp(one.draft_logprob):.3g}"
        yield RoundPart(f"{MARKS[fate]} {_named(one.id, name)}{ratio}", fate)
    if round.added is not None:
        yield RoundPart(f"{MARKS['own']} {_named(round.added, name)}", "own")


class RoundLine(NamedTuple):
    """One line: the number of the round where it begins, and some of its ids, two spaces apart."""

    head: str
    parts: list[RoundPart]


def round_lines(rounds: Sequence[Round], name: Callable[[int], str], width: int = 80) -> list[RoundLine]:
    """All rounds, each with its number and its ids, in lines of at most `width` columns.

    `name` says what an id is called.
    """
    lines: list[RoundLine] = []
    for number, round in enumerate(rounds, 1):
        head, used = f"{number:>{_HEAD - 2}}  ", width
        for part in parts(round, name):
            if used + 2 + columns(printable(part.text)) > width:
                lines.append(RoundLine(head, []))
                head, used = " " * _HEAD, _HEAD - 2
            lines[-1].parts.append(part)
            used += 2 + columns(printable(part.text))
    return lines


def rounds_sentence(rounds: Rounds) -> str:
    """What came of the drafts: "19 of 78 drafted ids accepted, 0.55 calls an id"."""
    accepted = f"{rounds.accepted} of {counted(rounds.drafted, 'drafted id')} accepted"
    return f"{accepted if rounds.drafted else 'nothing was drafted'}, {rounds.calls_per_id:.2f} calls an id"


def rounds_text(rounds: Rounds, name: Callable[[int], str], width: int = 80) -> str:
    """The lines in one, with the legend before them."""
    lines = [line.head + "  ".join(part.text for part in line.parts) for line in round_lines(rounds, name, width)]
    return "\n".join([LEGEND, *map(printable, lines)])


def _named(id: int, name: Callable[[int], str]) -> str:
    return cut(visible(name(id)), _NAME)
