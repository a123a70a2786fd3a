"""GPT-2 of this project, eager or compiled."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from unittest.mock import patch

import torch

import gpt2.product
from decoding import Greedy, LanguageModel, Session, generate_ids
from decoding.uncached import Uncached
from gpt2 import GPT2
from gpt2.native import load_library

from ..timing import seconds

_REPEATS, _SECONDS = 5, 0.2  # how often a call is repeated, and for how long at most


def load(folder: Path, kind: str, weights: str, threads: int) -> Ours:
    """Raises CompilerError where steps cannot be compiled."""
    model = GPT2.from_pretrained(folder, dtype=getattr(torch, weights))
    if kind == "compiled":
        model = model.compiled()
        if model.native is None:
            load_library(model.wte.weight.dtype)  # raises what `compiled` only warned of
    return Ours(model)


class Ours:
    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def generate(self, prompts: Sequence[Sequence[int]], new_ids: int) -> list[list[int]]:
        generations = generate_ids(self.model, [list(row) for row in prompts], Greedy(), max_new_tokens=new_ids)
        return [generation.ids for generation in generations]

    def calls(self, before: int, most: int) -> list[float]:
        """The seconds of a call with 1, 2, ..., `most` new ids behind `before` others."""
        session = self.model.open()
        session.extend(self._ids(before))
        return [self._call(session, before, n) for n in range(1, most + 1)]

    def contexts(self, lengths: Sequence[int]) -> list[float]:
        """The seconds of one id behind so many others; lengths increase."""
        session = self.model.open()
        session.extend(self._ids(lengths[-1]))
        return [self._call(session, length, 1) for length in reversed(lengths)][::-1]

    def contexts_naively(self, lengths: Sequence[int]) -> list[float]:
        """The same of the naive loop, which computes everything anew for each id."""
        return [seconds(lambda: Uncached(self.model).open().extend(self._ids(length + 1))) for length in lengths]  # noqa: B023

    def contexts_as_stored(self, lengths: Sequence[int]) -> list[float]:
        """With the cache, but matrices as they lie in the file, and PyTorch's own product."""
        model = copy.deepcopy(self.model)
        for parameter in cast(GPT2, model).parameters():
            parameter.data = parameter.data.contiguous()
        with patch.object(gpt2.product, "_FEW", 0):
            return Ours(model).contexts(lengths)

    def _ids(self, n: int) -> torch.Tensor:
        return torch.randint(self.model.n_vocab, (1, n), generator=torch.Generator().manual_seed(n))

    def _call(self, session: Session, before: int, n: int) -> float:
        """The fastest of several calls with n ids behind the first `before` ones of a session.

        What disturbs one of them is not its own.
        """
        taken: list[float] = []
        while len(taken) < _REPEATS and sum(taken) < _SECONDS:
            session.rewind(torch.tensor([before]))
            taken.append(seconds(lambda: session.extend(self._ids(n), keep=n)))
        return min(taken)
