"""Other right answers to the exercises of notebook 07."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def min_p(logits: Tensor, p: float) -> Tensor:
    """As libraries do it: with probabilities, row by row."""
    shares = logits.double().softmax(dim=-1)
    top = shares.max(dim=-1).values
    rows = [row.masked_fill(s < p * t * (1 - 1e-12), -torch.inf) for row, s, t in zip(logits, shares, top, strict=True)]
    return torch.stack(rows)


def top_n_sigma(logits: Tensor, n: float) -> Tensor:
    """The variance as the mean of the squares minus the square of the mean."""
    values = [z for z in logits.tolist() if math.isfinite(z)]
    mean = sum(values) / len(values)
    variance = max(0.0, sum(z * z for z in values) / len(values) - mean * mean)
    bar = max(values) - n * math.sqrt(variance)
    return torch.tensor([z if z >= bar else -math.inf for z in logits.tolist()])


def typical_p(logits: Tensor, mass: float) -> Tensor:
    """As transformers does it: sort, shift by one, scatter back; in bits."""
    if mass == 1:
        return logits
    shares = logits.double().softmax(dim=-1)
    bits = -shares.log2()
    entropy = torch.where(shares > 0, shares * bits, 0.0).sum()
    ids = torch.sort((bits - entropy).abs().round(decimals=9), stable=True).indices
    before = torch.cat([torch.zeros(1, dtype=torch.float64), shares[ids].cumsum(dim=-1)[:-1]])
    remove = torch.zeros_like(shares, dtype=torch.bool).scatter(0, ids, before >= mass - 1e-9)
    return logits.masked_fill(remove, -torch.inf)


def mirostat_step(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> tuple[list[int], float]:
    """With probabilities: a surprise of at most mu bits is a probability of at least 2 to the power -mu."""
    shares = logits.double().softmax(dim=0).tolist()
    kept = [id for id, share in enumerate(shares) if share >= 2.0**-mu]
    if not kept:
        kept = [shares.index(max(shares))]
    error = math.log2(1 / shares[chosen]) - tau
    return kept, mu - error * eta
