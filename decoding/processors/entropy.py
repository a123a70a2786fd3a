"""Keep what fits the entropy of the distribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Prefix, Processor, Removal, is_number
from ..wording import ordinal, percent, told_apart
from .distribution import entropy, log_probabilities, ranked_logits
from .truncation import keep_best


@dataclass(frozen=True, repr=False)
class TypicalP(Processor):
    """Locally typical sampling: keep the ids that are about as surprising as an id is on average.

        in the order of | -ln p_i - H |,  H the entropy     (ties: lower ids first)
        keep the smallest set with a probability of at least mass

    The likeliest id may go: where the model is unsure, an id that is too likely is not typical. mass = 1 changes
    nothing. Raises ValueError for a mass outside of (0, 1].
    Meister et al. 2022, "Locally Typical Sampling", arXiv:2202.00666.
    """

    mass: float

    def __post_init__(self) -> None:
        if not (is_number(self.mass) and 0.0 < self.mass <= 1.0):
            raise ValueError(f"typical-p is a probability mass, above 0 and at most 1; got {self.mass!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.mass == 1.0:
            return logits
        logprobs = log_probabilities(logits)  # (..., V)
        order = _distances(logprobs).sort(dim=-1, stable=True).indices  # (..., V): most typical first
        mass = logprobs.exp().gather(-1, order).cumsum(dim=-1)  # (..., V)
        needed = self.mass * mass[..., -1:]
        first = torch.ones_like(mass[..., :1], dtype=torch.bool)
        stays = torch.cat([first, mass[..., :-1] < needed], dim=-1)  # (..., V): in that order
        return logits.masked_fill(~torch.zeros_like(stays).scatter(-1, order, stays), -torch.inf)

    def reason(self, removal: Removal) -> str:
        logprobs = log_probabilities(removal.before)  # (V,)
        surprise, expected = -float(logprobs[removal.id]), float(entropy(logprobs))
        kept = removal.after > -torch.inf
        n, mass = int(kept.sum()), percent(float(logprobs[kept].exp().sum()))
        nearer = f"the {n:,} ids nearest to that already hold" if n > 1 else "the id nearest to that already holds"
        return (
            f"its surprise of {surprise:.2f} nats is {abs(surprise - expected):.2f} away from the entropy of "
            f"{expected:.2f}, and {nearer} {mass}"
        )


def _distances(logprobs: Tensor) -> Tensor:
    """How far each id's surprise lies from the entropy, (..., V); removed ids are infinitely far."""
    return (-logprobs - entropy(logprobs)).abs()


@dataclass(frozen=True, repr=False)
class TopH(Processor):
    """Keep as many of the likeliest ids as a share of the entropy allows.

        keep the m likeliest, m = max { m : H(q) <= alpha * H(p) },  q = p_1 ... p_m, renormalised

    Of equals, lower ids come first. H(q) grows with m, so there is one such m; it is at least 1. alpha = 1 changes
    nothing. (The authors' code and transformers compare partial sums that are not renormalised, among the 100 likeliest
    ids only; here it is the rule of the paper.) Raises ValueError for alpha outside of (0, 1].
    Potraghloo et al. 2025, "Top-H Decoding", arXiv:2509.02510.
    """

    alpha: float

    def __post_init__(self) -> None:
        if not (is_number(self.alpha) and 0.0 < self.alpha <= 1.0):
            raise ValueError(f"top-h is a share of the entropy, above 0 and at most 1; got {self.alpha!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.alpha == 1.0:
            return logits
        ranked = ranked_logits(logits)  # (..., V): likeliest first
        entropies = _entropies_of_heads(log_probabilities(ranked))  # (..., V)
        exceeds = entropies[..., 1:] > self.alpha * entropies[..., -1:]  # (..., V - 1): one id alone always stays
        m = 1 + (exceeds.cumsum(dim=-1) == 0).sum(dim=-1, keepdim=True)  # (..., 1)
        return keep_best(logits, ranked, m)

    def reason(self, removal: Removal) -> str:
        logprobs = log_probabilities(removal.before)  # (V,)
        ranked, order = logprobs.sort(descending=True, stable=True)
        rank = int((order == removal.id).nonzero()[0])  # from 0
        with_it = float(_entropies_of_heads(ranked)[rank])
        comes_to, allowed = told_apart(with_it, self.alpha * float(entropy(logprobs)))
        return (
            f"up to the {ordinal(rank + 1)} id the entropy comes to {comes_to} nats, and "
            f"{self.alpha:g} of the whole allows {allowed}"
        )


def _entropies_of_heads(ranked: Tensor) -> Tensor:
    """The entropy of the likeliest m ids, renormalised, for every m; log-probabilities (..., V), largest first.

    With S the mass of the m ids,  H(q) = -sum p/S ln(p/S) = ln S - (sum p ln p) / S.
    """
    probabilities = ranked.exp()
    mass = probabilities.cumsum(dim=-1)
    return mass.log() + torch.special.entr(probabilities).cumsum(dim=-1) / mass
