"""The rounds of speculation as text."""

from __future__ import annotations

import math

import pytest

from decoding.legible import columns
from decoding.rounds import DraftedId, Round, Rounds
from decoding.rounds_text import LEGEND, parts, round_lines, rounds_sentence, rounds_text


def drafted(id: int, q: float, p: float | None) -> DraftedId:
    logprob = None if p is None else math.log(p) if p else -math.inf
    return DraftedId(id, math.log(q), logprob)


ROUNDS = Rounds(
    [
        Round((), 0, 3),
        Round((drafted(1, 0.5, 0.25), drafted(2, 1.0, 0.0), drafted(3, 0.125, None)), 1, 4),
        Round((drafted(5, 0.75, 1.0),), 1, None),
    ]
)


def test_each_id_tells_its_fate_and_both_probabilities() -> None:
    assert [part.text for one in ROUNDS for part in parts(one, str)] == [
        "> 3", "+ 1 0.25/0.5", "x 2 0/1", "- 3", "> 4", "+ 5 1/0.75",
    ]  # fmt: skip
    assert rounds_text(ROUNDS, str).removeprefix(LEGEND).splitlines() == [
        "",
        "    1  > 3",
        "    2  + 1 0.25/0.5  x 2 0/1  - 3  > 4",
        "    3  + 5 1/0.75",
    ]


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("name", [str, lambda id: "x" * 90, lambda id: "日本語の" * id, lambda id: "\n\x00"])
def test_no_line_is_too_wide_and_nothing_is_lost(name: object, width: int) -> None:
    assert callable(name)
    many = Rounds([*ROUNDS, *ROUNDS] * 60)
    lines = round_lines(many, name, width)
    assert all(columns(line.head + "  ".join(part.text for part in line.parts)) <= width for line in lines)
    assert [part for line in lines for part in line.parts] == [part for one in many for part in parts(one, name)]
    assert [line.head.strip() for line in lines if line.head.strip()] == [str(n) for n in range(1, 361)]


def test_the_sentence_counts_calls_and_ids() -> None:
    assert rounds_sentence(ROUNDS) == "2 of 4 drafted ids accepted, 0.75 calls an id"
    assert rounds_sentence(Rounds([Round((), 0, 1)])) == "nothing was drafted, 1.00 calls an id"
    assert rounds_sentence(Rounds([Round((drafted(1, 1.0, 0.5),), 0, 2)])) == (
        "0 of 1 drafted id accepted, 1.00 calls an id"
    )
