"""Checks of exercises that draw: the answers are random, so it is their distribution that has to be right."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from decoding.significance import SIGNIFICANCE, chi_squared_survival, g_test

from .checking import Case, Check
from .comparing import Complaint, complaint_about, copy_of

_ANY = 1e9  # a tolerance with which every id is right


def same_law(counts: Tensor, other: Tensor) -> bool:
    """Whether two counts (V,) of equally many draws may come from one distribution."""
    both = (counts + other).double()
    # what one distribution would give each of them is half of both; the two deviations are equal and opposite
    chi = ((counts - other).double() ** 2 / both.clamp(min=1)).sum()
    return chi_squared_survival(float(chi), max(int((both > 0).sum()) - 1, 1)) > SIGNIFICANCE


class Counts(NamedTuple):
    """How often each id, or each list of ids, came up: (V,) or (V, V, ...)."""

    table: Tensor


@dataclass(frozen=True, repr=False)
class Draws(Check):
    """The check of a function that draws: how often each id comes up is compared with how often it should.

    The function returns an id, or a list of n ids.

    reference   the probabilities of a case: (V,), or for lists (V, V, ...), first id first
    draws       how often the function is called in each
    """

    draws: int = 10_000

    def _outcome(self, function: Callable[..., Any], case: Case) -> Any:
        """The counts; or the first value that is no id, or no list of them."""
        torch.manual_seed(0)
        expected = self._expected(case)
        counts = torch.zeros_like(expected, dtype=torch.int64)
        before = copy_of(case)
        for number in range(self.draws):
            with contextlib.redirect_stdout(io.StringIO()) if number else contextlib.nullcontext():
                drawn = function(*case.values())
            if complaint_about(before, case, 0.0) is not None or _complaint_about_ids(drawn, expected) is not None:
                return drawn
            counts[drawn if expected.dim() == 1 else tuple(drawn)] += 1
        return Counts(counts)

    def _expected(self, case: Case) -> Tensor:
        return self.reference(*copy_of(case).values())

    def _compare(self, expected: Tensor, outcome: Any) -> Complaint | None:
        if not isinstance(outcome, Counts):
            return _complaint_about_ids(outcome, expected)
        counts = outcome.table
        certain = bool((expected == 1).any())  # then there is nothing to test but that
        if not certain and int((counts > 0).sum()) == 1:
            always = counts.nonzero()[0].tolist()
            sentence = f"In {self.draws} calls it always returns {always if expected.dim() > 1 else always[0]}: "
            return Complaint(f"{sentence}nothing is drawn, or a seed is set in it.", kind="always the same")
        impossible = ((expected == 0) & (counts > 0)).nonzero().tolist()
        if impossible:
            ids, times = impossible[0], int(counts[tuple(impossible[0])])
            which = ids if expected.dim() > 1 else ids[0]
            return Complaint(f"In {times} of {self.draws} calls it returns {which}, which has the probability 0.")
        if certain or g_test(counts.flatten().tolist(), expected.flatten().tolist()) > SIGNIFICANCE:
            return None
        sentence = f"In {self.draws} calls the ids do not come up as often as they should."
        if expected.dim() > 1:
            sentence += " Below, a row is a first id, a column a second one."
        return Complaint(sentence, values=True)

    def _shown(self, outcome: Any) -> Any:
        return outcome.table / self.draws if isinstance(outcome, Counts) else outcome  # shares, beside probabilities

    def _same(self, outcome: Any, other: Any) -> bool:
        if isinstance(outcome, Counts) and isinstance(other, Counts):
            return same_law(outcome.table, other.table)
        return complaint_about(outcome, other, 0.0) is None


def _complaint_about_ids(drawn: Any, expected: Tensor) -> Complaint | None:
    """What is wrong with one value of the function, whichever id it is."""
    ids = drawn if expected.dim() > 1 else [drawn]
    wrong = complaint_about([0] * expected.dim(), ids, _ANY)
    if wrong is not None:
        return wrong
    if all(0 <= id < size for id, size in zip(ids, expected.shape, strict=True)):
        return None
    return Complaint(f"It returns {drawn}; the ids go from 0 to {len(expected) - 1}.", kind="no such id")
