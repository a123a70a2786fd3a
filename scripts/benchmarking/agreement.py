"""Whether all engines write the same ids, before anything is timed."""

from __future__ import annotations

from typing import NamedTuple

from decoding.compare import parts_after
from gpt2 import GPT2
from scripts.precision.continuations import margin

from .engines import Engine

Ids = list[list[int]]

# How far apart the float32 logits of two ids may be for rounding to swap them. The logits of the random model have a
# standard deviation of 1.4, and the largest stands some 4 of these above the rest: a wrong network is much further off.
CLOSE = {"float32": 0.001, "16 bits": 0.1, "8 bits": 0.7}


class Parting(NamedTuple):
    """Where a row leaves the ids of float32: at which new id, and by how much float32 prefers its own there."""

    row: int
    at: int
    gap: float


class Agreement(NamedTuple):
    """An engine's rows beside those of float32."""

    engine: Engine
    rows: int
    partings: list[Parting]

    @property
    def is_sound(self) -> bool:
        """Whether rounding alone explains the differences."""
        return all(parting.gap <= CLOSE[self.engine.precision] for parting in self.partings)

    def sentence(self) -> str:
        if not self.partings:
            return f"{self.engine.name}: the same ids as float32 ({self.rows} texts)"
        first, gap = min(one.at for one in self.partings), max(one.gap for one in self.partings)
        return (
            f"{self.engine.name}: other ids in {len(self.partings)} of {self.rows} texts, from new id {first + 1} on; "
            f"float32's logits differ by {gap:.3g} at most there"
        )


def compare(engine: Engine, model: GPT2, prompts: Ids, expected: Ids, got: Ids) -> Agreement:
    """What `got` says beside float32's ids; `model` is that float32 network.

    Raises ValueError for rows of another length, and where the logits are too far apart for rounding.
    """
    if [len(row) for row in got] != [len(row) for row in expected]:
        raise ValueError(
            f"{engine.name} gave {[len(row) for row in got]} ids instead of {[len(row) for row in expected]}"
        )
    partings = [
        Parting(row, at, margin(model, prompts[row] + expected[row][:at], expected[row][at], got[row][at]))
        for row in range(len(expected))
        if (at := parts_after(expected[row], got[row])) is not None
    ]
    agreement = Agreement(engine, len(expected), partings)
    if not agreement.is_sound:
        worst = max(partings, key=lambda parting: parting.gap)
        raise ValueError(
            f"{engine.name} does not compute this network: at new id {worst.at + 1} of row {worst.row + 1} it chose "
            f"an id whose float32 logit is {worst.gap:.3g} below the largest; rounding explains "
            f"{CLOSE[engine.precision]:g} at most"
        )
    return agreement
