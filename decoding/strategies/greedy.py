"""Always the likeliest id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..core import Chance, LanguageModel, Limits, Prefix, Step
from .one_path import one_path
from .processed import Stepwise


class Greedy(Stepwise):
    """Greedy decoding: at every step the id with the highest logit after the processors (of equals the lowest).

        x_t = argmax_i  logits_i

    Deterministic, fast, and prone to loops: it never takes a small loss now for a likelier text later.
    """

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        def best(logits: Tensor, prefix: Prefix) -> Tensor:
            return logits.argmax(dim=-1)  # (R, V) -> (R,): PyTorch promises the first of equals

        return one_path(model, prompts, limits, chance, self.processors, best)

    def choice_logprobs(self, logits: Tensor) -> Tensor:
        best = logits.argmax(dim=-1, keepdim=True)  # (R, 1): it takes this one, with certainty
        return torch.full_like(logits, -torch.inf, dtype=torch.float64).scatter(-1, best, 0.0)
