"""Right answers to the exercises of notebook 05, written differently from the ones in the notebook."""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import Tensor


def inverse_cdf(probabilities: Tensor, u: float) -> int:
    sums = list(accumulate(probabilities.tolist()))
    beyond = [id for id, total in enumerate(sums) if total > u]
    return beyond[0] if beyond else sums.index(sums[-1])


def gumbel_max(logits: Tensor, u: Tensor) -> int:
    best, winner = -math.inf, -1
    for id, (logit, x) in enumerate(zip(logits.tolist(), u.tolist(), strict=True)):
        noisy = logit - math.log(-math.log(x))
        if noisy > best:
            best, winner = noisy, id
    return winner


def g_statistic(counts: Tensor, probabilities: Tensor) -> float:
    n = counts.sum().item()
    terms = torch.special.xlogy(counts.double(), counts / (n * probabilities))
    return float(2 * terms.nan_to_num(nan=0.0, posinf=math.inf).sum())


def draw_two(probabilities: Tensor) -> list[int]:
    first = int(torch.multinomial(probabilities, 1))
    second = first
    while second == first:
        second = int(torch.multinomial(probabilities, 1))
    return [first, second]
