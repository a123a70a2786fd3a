"""Keep the likeliest ids and remove the rest. Every truncation keeps at least one id."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Prefix, Processor, is_number, is_whole_number

_HEAD = 1024  # of the likeliest ids: most truncations end among them, and sorting all is slow


@dataclass(frozen=True, repr=False)
class TopK(Processor):
    """Keep the k likeliest ids.

        keep the m likeliest, m = min(k, ids not yet removed)     (ties: lower ids first)

    k at or above the size of the vocabulary changes nothing. Raises ValueError for k below 1.
    Fan, Lewis & Dauphin 2018, "Hierarchical Neural Story Generation", arXiv:1805.04833.
    """

    k: int

    def __post_init__(self) -> None:
        if not is_whole_number(self.k) or self.k < 1:
            raise ValueError(f"top-k is a number of ids, at least 1; got {self.k!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.k >= logits.shape[-1]:
            return logits
        ranked = logits.topk(self.k, dim=-1).values  # (R, k): likeliest first
        return keep_best(logits, ranked, torch.full_like(ranked[..., :1], self.k, dtype=torch.int64))


@dataclass(frozen=True, repr=False)
class TopP(Processor):
    """Nucleus sampling: keep the smallest set of ids that holds at least p of the probability.

        keep the m likeliest, m = min { m : p_1 + ... + p_m >= p }     (ties: lower ids first)

    The id that crosses p stays, so at least one id always does; p = 1 changes nothing. Raises ValueError for p outside
    of (0, 1].
    Holtzman et al. 2019, "The Curious Case of Neural Text Degeneration", arXiv:1904.09751.
    """

    p: float

    def __post_init__(self) -> None:
        if not (is_number(self.p) and 0.0 < self.p <= 1.0):
            raise ValueError(f"top-p is a probability mass, above 0 and at most 1; got {self.p!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.p == 1.0:
            return logits
        best = logits.amax(dim=-1, keepdim=True)  # (R, 1): all else is measured from it, so that nothing overflows
        # cumsum, because sum() may add in an order that depends on how many rows there are: rows are strangers
        needed = self.p * _weights(logits, best).cumsum(dim=-1)[..., -1:]  # (R, 1)
        ranked = logits.topk(min(_HEAD, logits.shape[-1]), dim=-1).values  # (R, head): likeliest first
        mass = _weights(ranked, best).cumsum(dim=-1)  # (R, head): of each id and all likelier ones
        if bool((mass[..., -1:] < needed).any()):  # the head is not enough for some row
            ranked = logits.sort(dim=-1, descending=True).values  # (R, V)
            mass = _weights(ranked, best).cumsum(dim=-1)  # (R, V)
        m = 1 + (mass[..., :-1] < needed).sum(dim=-1, keepdim=True)  # (R, 1)
        return keep_best(logits, ranked, m)


def _weights(logits: Tensor, best: Tensor) -> Tensor:
    """Probabilities relative to the best one, in float64: sums of float32 could miss p in the seventh digit."""
    return (logits.double() - best.double()).exp()


def keep_best(logits: Tensor, ranked: Tensor, m: Tensor) -> Tensor:
    """Remove all but the m likeliest ids of each row, of equals the lowest.

    ranked   (R, K) the K largest logits of each row, largest first
    m        (R, 1) int64, from 1 to K

    Only values are compared: sorting may order equal logits as it likes.
    """
    last = ranked.gather(-1, m - 1)  # (R, 1): the smallest logit that stays
    keep = logits >= last  # (R, V): with all its equals
    if bool((keep.sum(dim=-1, keepdim=True) > m).any()):
        better = logits > last
        room = m - better.sum(dim=-1, keepdim=True)  # (R, 1): for this many of the equals, the first ones
        equal = logits == last
        keep = better | (equal & (equal.cumsum(dim=-1) <= room))
    return logits.masked_fill(~keep, -torch.inf)
