"""Now and then, none of the obvious choices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Chance, Prefix, Processor, Purpose, Removal, State, is_number, widen
from ..wording import percent
from .distribution import log_probabilities


@dataclass(frozen=True, repr=False)
class XTC(Processor):
    """Exclude top choices: with some probability, of all ids that are likely enough only the least likely stays.

        toss a coin that shows heads with the given probability
        heads:  remove every i with p_i >= threshold, but for the last of them
                (in the order of probability, of equals lower ids first)
        tails:  change nothing

    Each row tosses a coin of its own in each step. So the law is a mixture of two distributions, and no single one.
    Where fewer than two ids reach the threshold nothing goes, and a threshold above 0.5 never does anything.
    probability = 0 changes nothing. Raises ValueError for a threshold outside of (0, 1] or a probability outside of
    [0, 1]; and, as it needs a chance, when it is called on its own with a probability between 0 and 1.
    Community: p-e-w 2024, text-generation-webui.
    """

    threshold: float
    probability: float

    @property
    def purpose(self) -> Purpose | None:
        return Purpose.COIN if 0.0 < self.probability < 1.0 else None

    def __post_init__(self) -> None:
        if not (is_number(self.threshold) and 0.0 < self.threshold <= 1.0):
            raise ValueError(f"XTC has a threshold above 0 and at most 1; got {self.threshold!r}")
        if not (is_number(self.probability) and 0.0 <= self.probability <= 1.0):
            raise ValueError(f"XTC acts with a probability from 0 to 1; got {self.probability!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.probability == 0.0:
            return logits
        if self.probability < 1.0:
            raise ValueError(f"{self!r} tosses a coin: use it in a strategy, such as Sample({self!r})")
        removed = self._top_choices(logits)  # (..., V)
        return logits.masked_fill(removed, -torch.inf) if bool(removed.any()) else logits

    def step(self, logits: Tensor, prefix: Prefix, state: State, chance: Chance) -> tuple[Tensor, State]:
        if self.purpose is None:
            return self(logits, prefix), state
        logits = widen(logits)
        removed = self._top_choices(logits)  # (R, V)
        if bool(removed.any()):  # otherwise the coin decides nothing
            sides = logits.new_tensor([self.probability, 1.0 - self.probability], dtype=torch.float64).log()  # (2,)
            acts = chance.choose(sides.expand(len(logits), 2), self.purpose, prefix) == 0  # (R,)
            logits = logits.masked_fill(removed & acts[:, None], -torch.inf)
        return logits, state

    def _top_choices(self, logits: Tensor) -> Tensor:
        """The ids that reach the threshold, (..., V), without the last of them."""
        above = log_probabilities(logits) >= math.log(self.threshold)
        least = logits.where(above, torch.inf).amin(dim=-1, keepdim=True)  # (..., 1)
        equals = above & (logits == least)
        last = equals & (equals.cumsum(dim=-1) == equals.sum(dim=-1, keepdim=True))  # of equals the highest id
        return above & ~last

    def reason(self, removal: Removal) -> str:
        above = int((log_probabilities(removal.before) >= math.log(self.threshold)).sum())
        coin = "" if self.purpose is None else "the coin said so, and "
        return f"{coin}of the {above:,} ids with at least {percent(self.threshold)} only the least likely stays"
