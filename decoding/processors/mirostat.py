"""Feedback control of surprise."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Chance, Prefix, Processor, Removal, State, is_number, is_whole_number, widen
from ..wording import told_apart
from .distribution import keep_where, log_probabilities, ranked_logits, total
from .truncation import keep_best

_RATIOS = 100  # of the likeliest probabilities, from which version 1 estimates how steep they fall


@dataclass(frozen=True, repr=False)
class Mirostat(Processor):
    """Keep the surprise of the text near a target: a thermostat, which allows more where the last ids were dull.

        surprise s_i = -log2 p_i  (bits);     mu starts at 2 tau
        version 2:  keep i where  s_i <= mu     (at least the likeliest)
        version 1:  keep the k likeliest,  k from mu, as Zipf's law has it
        then, for the id x that was chosen,  mu <- mu - eta (s_x - tau)

    tau is the mean surprise to aim at, eta how fast it reacts; 3 to 5 bits and 0.1 are usual. Version 1 estimates how
    fast the ranked probabilities fall, and how many ids then keep the surprise below mu (`_zipf_k`). s_x is the
    surprise under the distribution that Mirostat got, before its own truncation, as in the paper's code; llama.cpp and
    others take it after. Raises ValueError for tau that is not positive, a negative eta, or another version.
    Basu et al. 2020, "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity", arXiv:2007.14966.
    """

    tau: float
    eta: float
    version: int = 2

    def __post_init__(self) -> None:
        if not (is_number(self.tau) and 0.0 < self.tau <= sys.float_info.max):
            raise ValueError(f"Mirostat's tau is a surprise in bits, above 0; got {self.tau!r}")
        if not (is_number(self.eta) and 0.0 <= self.eta <= sys.float_info.max):
            raise ValueError(f"Mirostat's eta is a learning rate, at least 0; got {self.eta!r}")
        if not is_whole_number(self.version) or self.version not in (1, 2):
            raise ValueError(f"Mirostat has the versions 1 and 2; got {self.version!r}")

    def start(self, rows: int) -> State:
        """mu (R,), and the surprise of every id in the step before (R, V); nothing (R, 0) before the first."""
        return torch.full((rows,), 2.0 * self.tau, dtype=torch.float64), torch.zeros(rows, 0, dtype=torch.float64)

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        """Its first step."""
        mu = torch.full_like(logits[..., :1], 2.0 * self.tau, dtype=torch.float64)
        return self._truncate(logits, _surprises(logits), mu)

    def step(self, logits: Tensor, prefix: Prefix, state: State, chance: Chance) -> tuple[Tensor, State]:
        logits = widen(logits)
        mu, before = (part.to(logits.device) for part in state)  # (R,), (R, V)
        if before.shape[1]:
            chosen = prefix.ids.gather(1, prefix.lengths[:, None] - 1)  # (R, 1)
            mu = mu - self.eta * (before.gather(1, chosen)[:, 0] - self.tau)
        surprises = _surprises(logits)
        return self._truncate(logits, surprises, mu[:, None]), (mu, surprises)

    def _truncate(self, logits: Tensor, surprises: Tensor, mu: Tensor) -> Tensor:
        """logits and surprises (..., V), mu (..., 1)."""
        if self.version == 2:
            return keep_where(logits, surprises <= mu)
        ranked = ranked_logits(logits)  # (..., V): likeliest first
        return keep_best(logits, ranked, _zipf_k(ranked, mu))

    def reason(self, removal: Removal) -> str:
        kept, aim = removal.after > -torch.inf, f"to hold the mean surprise at {self.tau:g} bits"
        if self.version == 1:
            return f"{aim}, only the {int(kept.sum()):,} likeliest ids stay in this step"
        surprises = _surprises(removal.before)  # (V,)
        own, most = told_apart(float(surprises[removal.id]), float(surprises[kept].amax()))
        return f"its {own} bits are too many in this step {aim}; of those that stay none has more than {most}"


def _surprises(logits: Tensor) -> Tensor:
    """In bits, (..., V), float64."""
    return -log_probabilities(logits) / math.log(2)


def _zipf_k(ranked: Tensor, mu: Tensor) -> Tensor:
    """Version 1: how many ids keep the largest surprise at about mu; ranked logits (..., V), mu -> int64 (..., 1).

    Ranked probabilities that follow p_i ∝ i^-s have a slope s in log-log scale: the least-squares fit of ln(p_i /
    p_(i+1)) to ln((i + 1) / i) over the first ratios. From it, with N ids not yet removed,

        k = ((s - 1) 2^mu / (1 - N^-(s - 1)))^(1 / s) + 1
    """
    n_vocab = ranked.shape[-1]
    if n_vocab < 2:
        return torch.ones_like(mu, dtype=torch.int64)
    head = ranked[..., : _RATIOS + 1].double()
    b = head[..., :-1] - head[..., 1:]  # (..., 100)
    i = torch.arange(1, b.shape[-1] + 1, dtype=torch.float64, device=ranked.device)
    t = ((i + 1) / i).log().where(head[..., 1:] > -torch.inf, 0.0)  # ratios to removed ids do not count
    s = total(b.where(t > 0.0, 0.0) * t) / total(t.square()).clamp(min=1e-300)  # (..., 1); 0 where all are equal
    epsilon = s - 1.0
    n = (ranked > -torch.inf).sum(dim=-1, keepdim=True)  # (..., 1)
    log_n = n.clamp(min=2).double().log()
    near = epsilon.abs() < 1e-9  # at s = 1 the fraction is 0 / 0, and its limit 1 / ln N
    fraction = (epsilon / -torch.expm1(-epsilon * log_n)).where(~near, 1.0 / log_n)
    log_k = (fraction.log() + mu * math.log(2)) / s.clamp(min=1e-9)
    k = log_k.clamp(-1.0, math.log(n_vocab) + 1.0).exp().round() + 1
    return k.clamp(max=n_vocab).long()
