"""Other right answers to the exercises of notebook 10."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import torch
from torch import Tensor


def beam_step(hypotheses: list[tuple[list[int], float]], table: Tensor, beams: int) -> list[tuple[list[int], float]]:
    """On the flattened table of all children, whose places are in the order of parents, then ids."""
    rows = table[[ids[-1] for ids, _ in hypotheses]] + torch.tensor([[total] for _, total in hypotheses])  # (H, V)
    order = rows.flatten().sort(descending=True, stable=True).indices[:beams]
    kept = [divmod(int(place), rows.shape[1]) for place in order]
    children = [(hypotheses[h][0] + [id], float(rows[h, id])) for h, id in kept]
    return [child for child in children if child[1] != -math.inf]


def adjusted(logprobs: list[float], alpha: float) -> float:
    """In logarithms."""
    return -math.exp(math.log(max(-sum(logprobs), 1e-300)) - alpha * math.log(len(logprobs)))


def may_still_win(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    """The best of both ends."""
    bounds = [max(total / n**alpha for n in (length + 1, room)) for total in totals]
    return max(bounds, default=-math.inf) > best


def likeliest(next_logprobs: Callable[[list[int]], Tensor], start: list[int], steps: int) -> list[int]:
    """Best first: the first whole text that comes out of the heap is the likeliest."""
    heap: list[tuple[float, list[int]]] = [(0.0, [])]
    while True:
        cost, ids = heapq.heappop(heap)
        if len(ids) == steps:
            return ids
        for id, logprob in enumerate(next_logprobs(start + ids).tolist()):
            heapq.heappush(heap, (cost - logprob, [*ids, id]))
