"""Other right answers to the exercises of notebook 08."""

from __future__ import annotations

import torch
from torch import Tensor


def repetition_penalty(logits: Tensor, ids: list[int], penalty: float) -> Tensor:
    """As transformers does it: gather, decide by the sign, scatter back."""
    index = torch.tensor(ids, dtype=torch.int64)
    score = logits.gather(0, index)
    return logits.scatter(0, index, torch.where(score < 0, score * penalty, score / penalty))


def frequency_and_presence(logits: Tensor, ids: list[int], frequency: float, presence: float) -> Tensor:
    """With one bin for each id."""
    c = torch.bincount(torch.tensor(ids, dtype=torch.int64), minlength=len(logits))
    return torch.where(c > 0, logits - presence - frequency * c, logits)


def banned_next(ids: list[int], n: int) -> list[int]:
    """As transformers does it: a dict from the first n - 1 ids of each n-gram to what has followed them."""
    followers: dict[tuple[int, ...], set[int]] = {}
    for *start, end in zip(*(ids[i:] for i in range(n)), strict=False):
        followers.setdefault(tuple(start), set()).add(end)
    return sorted(followers.get(tuple(ids[len(ids) + 1 - n :]) if n > 1 else (), set()))


def repeat_lengths(ids: list[int], n_vocab: int) -> list[int]:
    """Ever longer ends of the text, as long as any stands somewhere before an id."""
    lengths = [0] * n_vocab
    for n in range(1, len(ids)):
        for place in range(n, len(ids)):
            if ids[place - n : place] == ids[len(ids) - n :]:
                lengths[ids[place]] = n
    return lengths
