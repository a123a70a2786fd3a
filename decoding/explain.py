"""Why an id was chosen, or was not, in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .core import Removal
from .wording import ordinal, percent

if TYPE_CHECKING:
    from .trace import StepTrace


@dataclass(frozen=True)
class Explanation:
    """What became of one id in one step. `str()` of it is a sentence.

    name, id                 the id in question
    chosen                   whether it was chosen
    removed_by               the number of the stage that removed it, 0 for the model itself; None where it stayed
    remover                  the name of that stage
    reason                   why, in that processor's words; None for the model, and where it stayed
    rank, probability        in the stage before it was removed; where it stayed, after all processors. None and 0
                             where the model itself excludes it
    model_rank, model_probability      by the model
    winner, winner_rank, winner_probability    the name of the id that was chosen, and its place after all processors
    """

    name: str
    id: int
    chosen: bool
    removed_by: int | None
    remover: str | None
    reason: str | None
    rank: int | None
    probability: float
    model_rank: int | None
    model_probability: float
    winner: str
    winner_rank: int | None
    winner_probability: float

    def __str__(self) -> str:
        if self.removed_by == 0:
            return f"{self.name} could not be chosen: the model itself gives it no probability at all"
        place = _place(self.rank, self.probability)
        if self.removed_by is not None:
            return f"{self.name} was {place}; {self.remover} removed it: {self.reason}"
        by_model = _place(self.model_rank, self.model_probability)
        if by_model != place:
            place = f"{by_model} by the model, {place} after the processors"
        if self.chosen:
            return f"{self.name} was chosen: it was {place}"
        winner = _place(self.winner_rank, self.winner_probability)
        return f"{self.name} was {place}; nothing removed it, but {self.winner} was chosen, {winner}"


def explain(step: StepTrace, id: int, name: Callable[[int], str]) -> Explanation:
    """What became of an id in a step; `name` says what ids are called."""
    first, last = step.stages[0], step.stages[-1]
    number = step.remover(id)
    before = last if number is None else step.stages[max(number - 1, 0)]
    reason = None
    if number:
        stage = step.stages[number]
        assert stage.processor is not None
        reason = stage.processor.reason(Removal(id, before.logits, stage.logits, step.prefix, name))
    return Explanation(
        name=name(id),
        id=id,
        chosen=id == step.chosen,
        removed_by=number,
        remover=None if number is None else step.stages[number].name,
        reason=reason,
        rank=before.rank(id),
        probability=before.probability(id),
        model_rank=first.rank(id),
        model_probability=first.probability(id),
        winner=name(step.chosen),
        winner_rank=last.rank(step.chosen),
        winner_probability=last.probability(step.chosen),
    )


def _place(rank: int | None, probability: float) -> str:
    assert rank is not None
    return f"{ordinal(rank)} with {share(probability)}"


def share(probability: float) -> str:
    """In percent. That of an id which is left is never zero: where float64 has no smaller number, it says so."""
    return percent(probability or 5e-324)
