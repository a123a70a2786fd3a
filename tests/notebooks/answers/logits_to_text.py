"""Right answers to the exercises of notebook 01, written differently from its solutions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def softmax(logits: Tensor) -> Tensor:
    top = max(logits.tolist())
    raised = [math.exp(z - top) for z in logits.tolist()]
    return torch.tensor([r / math.fsum(raised) for r in raised])


def count_hits(logits: Tensor, ids: Tensor) -> int:
    hits = 0
    for position in range(1, len(ids)):
        hits += int(torch.equal(logits[position - 1].argmax(), ids[position]))
    return hits


def continue_greedily(model: Callable[[Tensor], Tensor], ids: list[int], n: int) -> list[int]:
    if n == 0:
        return []
    best = model(torch.tensor(ids).unsqueeze(0)).squeeze(0)[-1].topk(1).indices.item()
    return [best, *continue_greedily(model, [*ids, best], n - 1)]
