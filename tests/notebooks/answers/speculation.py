"""Other right answers to the exercises of notebook 13."""

from __future__ import annotations

import torch
from torch import Tensor


def verify(logits: Tensor, draft: list[int]) -> list[int]:
    """Agreement as a product that is 1 up to the first difference."""
    choices = logits.argmax(dim=-1)
    guesses = torch.tensor(draft, dtype=torch.int64)
    kept = int((choices[: len(draft)] == guesses).long().cumprod(dim=0).sum())
    return [*draft[:kept], int(choices[kept])]


def look_up(ids: list[int], ngram: int, most: int) -> list[int]:
    """By how far back the same ids stand: a copy is what stands so far before each new id."""
    for n in range(ngram, 0, -1):
        for back in range(1, len(ids) - n + 1):
            if all(ids[-i] == ids[-i - back] for i in range(1, n + 1)):
                text = ids[:]
                while len(text) < len(ids) + most:
                    text += [text[-back]]
                return text[-most:]
    return []


def acceptance(p: Tensor, q: Tensor, id: int) -> tuple[float, Tensor]:
    """By what both have in common."""
    common = torch.minimum(p, q)
    if torch.equal(common, p):
        return 1.0, p
    missing = p - common
    return float(common[id] / q[id]), missing / missing.sum()


def speed_up(a: float, n: int, c: float, b: float) -> float:
    """From behind: a drafted id and all behind it are worth a (1 + ...)."""
    ids = 1.0
    for _ in range(n):
        ids = 1.0 + a * ids
    return ids / (b + n * c)
