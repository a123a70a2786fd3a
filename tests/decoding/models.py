"""Language models that tests are made with: tables that remember or follow a script, and one that takes notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from decoding import LanguageModel, TableModel


def memoised(model: TableModel) -> TableModel:
    """The same table, computed once for each prefix."""
    known: dict[tuple[int, ...], Tensor] = {}

    def logits_after(ids: Sequence[int]) -> Tensor:
        key = tuple(ids)
        if key not in known:
            known[key] = model.logits_after(ids)
        return known[key]

    return TableModel(model.n_vocab, model.n_positions, logits_after)


def scripted(n_vocab: int, n_prompt: int, new_ids: Sequence[int], n_positions: int = 1024) -> TableModel:
    """Writes `new_ids` behind any prompt of `n_prompt` ids: every other id has a logit lower by 100."""

    def logits_after(ids: Sequence[int]) -> Tensor:
        logits = torch.zeros(n_vocab)
        logits[new_ids[(len(ids) - n_prompt) % len(new_ids)]] = 100.0
        return logits

    return TableModel(n_vocab, n_positions, logits_after)


class Recording:
    """A language model that notes the shape of everything that goes through it."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.shapes: list[tuple[int, ...]] = []  # (R, S) of each call of extend

    @property
    def n_vocab(self) -> int:
        return self.model.n_vocab

    @property
    def n_positions(self) -> int:
        return self.model.n_positions

    def open(self) -> Any:
        session, shapes = self.model.open(), self.shapes
        extend = session.extend

        def recorded(ids: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            shapes.append(tuple(ids.shape))
            return extend(ids, *args, **kwargs)

        session.extend = recorded  # type: ignore[method-assign]
        return session
