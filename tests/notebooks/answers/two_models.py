"""Other right answers to the exercises of notebook 12."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def guided(c: Tensor, u: Tensor, scale: float) -> Tensor:
    """A weighted sum of log-probabilities, then their exponentials."""
    mixed = scale * c.log_softmax(-1) + (1 - scale) * u.log_softmax(-1)
    return (mixed - mixed.logsumexp(-1, keepdim=True)).exp()


def contrast(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    """The quotient, where the expert's logits are near enough to their maximum."""
    scores = (expert.softmax(-1) / amateur.softmax(-1)).log()
    scores[expert < expert.amax(-1, keepdim=True) + math.log(alpha)] = -math.inf
    return scores


def most_unlike(last: Tensor, early: Tensor) -> tuple[int, float]:
    """By entropies: that of the mean less the mean of the two."""

    def entropy(x: Tensor) -> Tensor:
        return -torch.xlogy(x, x).sum(-1)

    found = entropy((last + early) / 2) - (entropy(last) + entropy(early)) / 2
    return found.round(decimals=12).tolist().index(found.round(decimals=12).max().item()), found.max().item()


def search_scores(p: Tensor, candidates: Tensor, before: Tensor, alpha: float) -> Tensor:
    """Every candidate beside every id before it."""
    alike = F.cosine_similarity(candidates[:, None], before[None], dim=-1)  # (k, T)
    return p - alpha * (p + alike.amax(-1))
