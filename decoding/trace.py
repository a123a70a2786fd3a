"""What a step did and why: the logits as the model gave them, and as every processor left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Stage(NamedTuple):
    """Logits, and who left them so: "model", or a processor as it prints itself."""

    name: str
    logits: Tensor  # (R, V), or (V,) in the trace of one row

    def of_row(self, row: int) -> Stage:
        return Stage(self.name, self.logits[row])


class Candidate(NamedTuple):
    """One id that might have been chosen, with its probability before and after the processors."""

    id: int
    model_probability: float
    processed_probability: float


class StepTrace(NamedTuple):
    """One step of one row: the stages in the order in which they acted, the model's own logits first."""

    stages: tuple[Stage, ...]
    chosen: int

    def candidates(self, most: int) -> list[Candidate]:
        """The `most` likeliest ids after the processors, likeliest first, of equals the lower; never a removed one."""
        ranked = self.stages[-1].logits.sort(descending=True, stable=True).indices[:most].tolist()
        return [candidate for candidate in self.probabilities(ranked) if candidate.processed_probability > 0]

    def probabilities(self, ids: Sequence[int]) -> list[Candidate]:
        """What the model and the processors gave to each of these ids."""
        before = self.stages[0].logits.softmax(dim=-1)  # (V,)
        after = self.stages[-1].logits.softmax(dim=-1)  # (V,)
        return [Candidate(id, float(before[id]), float(after[id])) for id in ids]
