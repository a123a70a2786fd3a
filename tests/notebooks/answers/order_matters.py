"""Other right answers to the exercises of notebook 09."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def total_variation(p: Tensor, q: Tensor) -> float:
    """What the two do not have in common."""
    return 1.0 - sum(min(a, b) for a, b in zip(p.tolist(), q.tolist(), strict=True))


def order_gap(f: Callable[[Tensor], Tensor], g: Callable[[Tensor], Tensor], rows: Tensor) -> float:
    """Row by row."""
    worst = 0.0
    for row in rows:
        one = g(f(row[None]))[0].double().softmax(dim=0)
        other = f(g(row[None]))[0].double().softmax(dim=0)
        worst = max(worst, 0.5 * float(torch.linalg.vector_norm(one - other, ord=1)))
    return worst


def parting_row(temperature: float, p: float) -> Tensor:
    """By bisection: the x whose share at a temperature between 1 and T is p."""
    between = 1 / (0.5 + 0.5 / temperature)
    low, high = 0.0, 100.0
    for _ in range(60):
        x = (low + high) / 2
        share = 1 / (1 + 2 * math.exp(-x / between))
        low, high = (x, high) if share < p else (low, x)
    return torch.tensor([0.0, low, 0.0], dtype=torch.float64)


def joint_top_k_top_p(logits: Tensor, k: int, p: float) -> Tensor:
    """One sorted list, and both cuts in it, as SGLang has them."""
    ranked, ids = logits.sort(descending=True, stable=True)
    probabilities = ranked.double().softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # of all likelier ids
    goes = torch.arange(len(logits)) >= k
    if p < 1:
        goes |= before >= p - 1e-9
    goes[0] = False
    return logits.masked_fill(torch.empty_like(goes).scatter(0, ids, goes), -torch.inf)
