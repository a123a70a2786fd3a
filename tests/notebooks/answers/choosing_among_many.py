"""Other right answers to the exercises of notebook 11."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gumbel_top_k(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    """As a race: the earliest alarm clocks of notebook 5."""
    rings = -torch.log(u) / logprobs.exp()  # when each clock rings: minus the logarithm is the noisy log-probability
    order = rings.argsort().tolist()
    kappa = -math.log(rings[order[k]]) if k < len(order) else -math.inf
    return order[:k], kappa


def follow_code(code: float, probabilities: Tensor) -> tuple[int, float]:
    """Subtract part after part."""
    for id, p in enumerate(probabilities.tolist()):
        if code < p:
            return id, code / p
        code = code - p
    raise AssertionError("no part has the code")


def mbr_choice(utilities: Tensor, draws: list[int]) -> int:
    """The matrix of all draws; argmax is the first of equals."""
    of_draws = utilities[draws][:, draws]  # (n, n)
    return draws[int(torch.argmax(of_draws.mean(dim=1)))]


def majority(answers: list[str | None]) -> int:
    """The first place with the most votes; a silent draw has none."""
    votes = [0 if one is None else answers.count(one) for one in answers]
    return votes.index(max(votes))
