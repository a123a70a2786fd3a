"""Other right answers to the exercises of notebook 06."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from decoding import Temperature, TopK, TopP


def top_k(logits: Tensor, k: int) -> Tensor:
    """Everybody counts how many come before."""
    values = logits.tolist()
    places = range(len(values))
    before = [sum(values[j] > values[i] or (values[j] == values[i] and j < i) for j in places) for i in places]
    return torch.tensor([x if n < k else -math.inf for x, n in zip(values, before, strict=True)])


def top_p(logits: Tensor, p: float) -> Tensor:
    """As transformers does it: sort, shift by one, scatter back."""
    if p == 1:
        return logits
    ranked, ids = torch.sort(logits, descending=True, stable=True)
    probabilities = ranked.softmax(dim=-1)
    before = torch.cat([torch.zeros(1), probabilities.cumsum(dim=-1)[:-1]])
    return logits.masked_fill((before >= p).scatter(0, ids, before >= p), -torch.inf)


def filtered(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    """From the inside out."""
    return TopP(p)(TopK(k)(Temperature(temperature)(logits)))


def p_less(logits: Tensor) -> Tensor:
    """In logarithms."""
    logprobs = logits.log_softmax(dim=1)
    agree = (2 * logprobs).logsumexp(dim=1, keepdim=True)
    return torch.where(logprobs >= agree - 1e-6, logits, torch.tensor(-torch.inf))
