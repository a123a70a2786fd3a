"""Checks of exercises that draw: the answers are random, so it is their distribution that has to be right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from decoding.significance import SIGNIFICANCE, chi_squared_survival, g_test

from .checking import Case, Check
from .comparing import Complaint, complaint_about, copy_of


def same_law(counts: Tensor, other: Tensor) -> bool:
    """Whether two counts (V,) of equally many draws may come from one distribution."""
    both = (counts + other).double()
    # what one distribution would give each of them is half of both; the two deviations are equal and opposite
    chi = ((counts - other).double() ** 2 / both.clamp(min=1)).sum()
    return chi_squared_survival(float(chi), max(int((both > 0).sum()) - 1, 1)) > SIGNIFICANCE


@dataclass(frozen=True)
class Draws(Check):
    """The check of a function that draws an id: its counts are compared with the probabilities that they should have.

    reference   the probabilities (V,) of a case
    draws       how often the function is called in each
    """

    draws: int = 10_000

    def _outcome(self, function: Callable[..., Any], case: Case) -> Any:
        torch.manual_seed(0)
        counts: list[int] = [0] * len(self._expected(case))
        for _ in range(self.draws):
            id = function(*case.values())
            if isinstance(id, bool) or not isinstance(id, Integral):
                return id  # for the complaint
            if not 0 <= int(id) < len(counts):
                return int(id)
            counts[int(id)] += 1
        return torch.tensor(counts)

    def _expected(self, case: Case) -> Tensor:
        return self.reference(*copy_of(case).values())

    def _compare(self, expected: Tensor, outcome: Any) -> Complaint | None:
        if not isinstance(outcome, Tensor) or outcome.shape != expected.shape or outcome.is_floating_point():
            if isinstance(outcome, Integral) and not isinstance(outcome, bool):
                return Complaint(f"It returns {outcome}; the ids go from 0 to {len(expected) - 1}.")
            return complaint_about(0, outcome, 0.0)
        impossible = bool((outcome[expected == 0] > 0).any())
        certain = bool((expected == 1).any())  # then there is nothing to test but that
        if not impossible and (certain or g_test(outcome.tolist(), expected.tolist()) > SIGNIFICANCE):
            return None
        return Complaint(f"In {self.draws} calls the ids do not come up as often as they should.", values=True)

    def _same(self, outcome: Any, other: Any) -> bool:
        if not (isinstance(outcome, Tensor) and isinstance(other, Tensor)):
            return type(outcome) is type(other)
        return same_law(outcome, other)
