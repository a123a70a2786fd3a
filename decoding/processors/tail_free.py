"""Cut where the sorted probabilities stop bending."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Prefix, Processor, Removal, is_number
from ..wording import ordinal, percents_apart
from .distribution import log_probabilities, ranked_logits, total
from .truncation import keep_best


@dataclass(frozen=True, repr=False)
class TailFree(Processor):
    """Tail-free sampling: the tail begins where the curve of the sorted probabilities has become straight.

        d_j = | p_j - 2 p_(j+1) + p_(j+2) |,  c_j = (d_1 + ... + d_j) / (all d)
        keep the first id, and the next one as long as c_j <= z, j = 1, 2, ...     (ties: lower ids first)

    Only ids not yet removed count. Where all d are 0 (as in a uniform distribution), and with fewer than three ids,
    nothing goes; z = 1 changes nothing. (As text-generation-webui does it, but for removed ids, which it takes for ids
    of probability 0; llama.cpp kept one id less.) Raises ValueError for z outside of (0, 1].
    Community: Bricken 2019, "Tail Free Sampling".
    """

    z: float

    def __post_init__(self) -> None:
        if not (is_number(self.z) and 0.0 < self.z <= 1.0):
            raise ValueError(f"tail-free sampling takes a share of the bends, above 0 and at most 1; got {self.z!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        n_vocab = logits.shape[-1]
        if self.z == 1.0 or n_vocab < 3:
            return logits
        ranked = ranked_logits(logits)  # (..., V): likeliest first
        bends = _bends(ranked)  # (..., V - 2)
        whole = total(bends)  # (..., 1)
        m = 1 + (bends.cumsum(dim=-1) <= self.z * whole).sum(dim=-1, keepdim=True)  # (..., 1)
        return keep_best(logits, ranked, m.where(whole > 0.0, n_vocab))

    def reason(self, removal: Removal) -> str:
        m = int((removal.after > -torch.inf).sum())
        bends = _bends(ranked_logits(removal.before))  # (V - 2,)
        made, allowed = percents_apart(float(bends[:m].sum() / bends.sum()), self.z)
        return f"the bends up to the {ordinal(m + 1)} id make up {made} of all, and {allowed} are allowed"


def _bends(ranked: Tensor) -> Tensor:
    """|p_j - 2 p_(j+1) + p_(j+2)| of ranked logits, (..., V) -> (..., V - 2); 0 where one of the three is removed."""
    bends = log_probabilities(ranked).exp().diff(dim=-1).diff(dim=-1).abs()
    return bends.masked_fill(ranked[..., 2:] == -torch.inf, 0.0)
