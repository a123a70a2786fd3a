"""Notebook 04's exercises, solved differently from the notebook."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def apply_temperature(logits: Tensor, t: float) -> Tensor:
    if t > 0:
        return logits * (1.0 / t)
    values = logits.tolist()
    best = values.index(max(values))
    return torch.tensor([value if id == best else -math.inf for id, value in enumerate(values)])


def entropy(logits: Tensor) -> Tensor:
    # H = log Z - E[z]: the logarithm of the normaliser minus the mean logit
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    weights = shifted.exp()
    total = weights.sum(dim=-1)
    mean = (weights * shifted.clamp(min=-1e6)).sum(dim=-1) / total
    return total.log() - mean


def surprisals(logits: Tensor, ids: Tensor) -> Tensor:
    found = [torch.logsumexp(logits[t], dim=-1) - logits[t, ids[t + 1]] for t in range(len(ids) - 1)]
    return torch.stack(found) if found else torch.zeros(0)


def temperature_for(logits: Tensor, h: float) -> float:
    # Newton's method in the logarithm of t, whose slope is Var(z) / t²; the end points keep it in its range
    z = logits.double()
    log_t, low, high = 0.0, math.log(0.01), math.log(100.0)
    for _ in range(200):
        t = math.exp(log_t)
        p = (z / t).softmax(dim=-1)
        mean = (p * z).sum()
        variance = float((p * (z - mean) ** 2).sum())
        excess = float(torch.special.entr(p).sum()) - h
        low, high = (low, log_t) if excess > 0 else (log_t, high)
        guess = log_t - excess * t * t / variance if variance > 1e-12 else math.nan
        log_t = guess if low < guess < high else (low + high) / 2
    return math.exp(log_t)
