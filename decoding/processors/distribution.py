"""What several rules ask of a distribution. All sums are running sums, which add up each row by itself, whatever the
batch: rows are strangers.
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_probabilities(logits: Tensor) -> Tensor:
    """Natural logarithms of the probabilities, (..., V), in float64: thresholds are compared with every digit."""
    return logits.double().log_softmax(dim=-1)


def total(values: Tensor) -> Tensor:
    """The sum of each row, (..., V) -> (..., 1)."""
    return values.cumsum(dim=-1)[..., -1:]


def entropy(logprobs: Tensor) -> Tensor:
    """In nats, (..., V) -> (..., 1); an id of probability 0 adds nothing."""
    return total(torch.special.entr(logprobs.exp()))


def keep_where(logits: Tensor, keep: Tensor) -> Tensor:
    """Remove all ids but these, (..., V). The likeliest id stays in any case, of equals the lowest."""
    best = logits.argmax(dim=-1, keepdim=True)  # (..., 1)
    return logits.masked_fill(~keep.scatter(-1, best, True), -torch.inf)
