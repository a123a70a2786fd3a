"""What several rules ask of a distribution. All sums are running sums, which add up each row by itself, whatever the
batch: rows are strangers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

HEAD = 4_096
LOWEST = torch.finfo(torch.float64).min


def log_probabilities(logits: Tensor) -> Tensor:
    """Natural logarithms of the probabilities, (..., V), in float64: thresholds are compared with every digit."""
    return logits.double().log_softmax(dim=-1)


def gaps_to_best(logits: Tensor) -> Tensor:
    """How far each logit lies below the best, (..., V), as numbers of at most 0; float64, in which this is exact."""
    best = logits.amax(dim=-1, keepdim=True).double()  # (..., 1)
    return logits.to(torch.float64, copy=True).sub_(best.clamp(min=LOWEST))  # so that empty rows stay -inf


def ranked_logits(logits: Tensor) -> Tensor:
    """The logits of each row, (..., V), largest first.

    On a CPU NumPy sorts them: with the processor's vector instructions, 50,257 of them in 0.3 ms instead of 4.
    """
    if logits.device.type == "cpu":
        return torch.from_numpy(np.sort(logits.detach().numpy(), axis=-1)).flip(-1)
    return logits.sort(dim=-1, descending=True).values


def heads(logits: Tensor) -> Iterator[Tensor]:
    """The largest logits of each row, largest first, (..., K): the first 4,096, then all.

    To find so many of 50,257 and to sort them takes a quarter of the time that sorting them all does.
    """
    if logits.shape[-1] > HEAD and logits.device.type == "cpu":
        yield ranked_logits(torch.from_numpy(np.partition(logits.detach().numpy(), -HEAD, axis=-1)[..., -HEAD:]))
    yield ranked_logits(logits)


def total(values: Tensor) -> Tensor:
    """The sum of each row, (..., V) -> (..., 1)."""
    return values.cumsum(dim=-1)[..., -1:]


def entropy(logprobs: Tensor) -> Tensor:
    """In nats, (..., V) -> (..., 1); an id of probability 0 adds nothing."""
    return total(torch.special.entr(logprobs.exp()))


def keep_where(logits: Tensor, keep: Tensor) -> Tensor:
    """Remove all ids but these, (..., V). The likeliest id stays in any case, of equals the lowest."""
    best = logits.argmax(dim=-1, keepdim=True)  # (..., 1)
    return logits.where(keep.scatter(-1, best, True), -torch.inf)
