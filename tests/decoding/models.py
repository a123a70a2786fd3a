"""Language models that tests are made with: tables that remember or follow a script, and some that take notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from decoding import LanguageModel, Strategy, TableModel, law
from decoding.core import HiddenSession
from decoding.uncached import RowsSession


def memoised(model: TableModel) -> TableModel:
    """The same table, computed once for each prefix."""
    known: dict[tuple[int, ...], Tensor] = {}

    def logits_after(ids: Sequence[int]) -> Tensor:
        key = tuple(ids)
        if key not in known:
            known[key] = model.logits_after(ids)
        return known[key]

    return TableModel(model.n_vocab, model.n_positions, logits_after)


def rounded(model: TableModel, parts: int) -> TableModel:
    """The same table in multiples of 1/parts: ties occur, and sums are exact."""
    return TableModel(model.n_vocab, model.n_positions, lambda ids: (model.logits_after(ids) * parts).round() / parts)


# One whose texts can be listed: 4^3 of them. Its logits are multiples of 1/2, and its prompt repeats itself.
SMALL = memoised(rounded(TableModel.random(4, 16, seed=2), 2))
SMALL_PROMPT = [3, 1, 0, 3, 1]
SMALL_STEPS = 3


@cache
def small_law(strategy: Strategy, eos_id: int | None) -> dict[tuple[int, ...], float]:
    """All that a strategy can write after that prompt, computed once. Do not change it."""
    return law(strategy, SMALL, SMALL_PROMPT, SMALL_STEPS, eos_id)


def scripted(n_vocab: int, n_prompt: int, new_ids: Sequence[int], n_positions: int = 1024) -> TableModel:
    """Writes `new_ids` behind any prompt of `n_prompt` ids: every other id has a logit lower by 100."""

    def logits_after(ids: Sequence[int]) -> Tensor:
        logits = torch.zeros(n_vocab)
        logits[new_ids[(len(ids) - n_prompt) % len(new_ids)]] = 100.0
        return logits

    return TableModel(n_vocab, n_positions, logits_after)


class ShownTable(TableModel):
    """A table that shows hidden states: its logits, but for what is added to all of them at the end."""

    n_layer = 1

    def __init__(
        self, n_vocab: int, n_positions: int, logits_after: Callable[[Sequence[int]], Tensor], shift: float = 0.0
    ) -> None:
        super().__init__(n_vocab, n_positions, logits_after)
        self.shift = shift

    def open(self) -> HiddenSession:
        return _ShownSession(self._look_up, self.shift)

    def early_exit(self, layers: int) -> TableModel:
        return rounded(self, 2)


class _ShownSession(RowsSession):
    def __init__(self, logits_after: Callable[[list[list[int]], int], Tensor], shift: float) -> None:
        super().__init__(logits_after)
        self._shift = shift

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        return self.head(super().extend(ids, n, keep))

    def extend_hidden(
        self, ids: Tensor, n: Tensor | None = None, keep: int = 1, layers: Sequence[int] | None = None
    ) -> Tensor:
        return super().extend(ids, n, keep)[:, :, None]  # (R, keep, 1, V)

    def head(self, hidden: Tensor) -> Tensor:
        return hidden + self._shift


class Wrapped:
    """Another language model, of which a subclass opens sessions that are watched."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def n_vocab(self) -> int:
        return self.model.n_vocab

    @property
    def n_positions(self) -> int:
        return self.model.n_positions


class Recording(Wrapped):
    """A language model that notes the shape of everything that goes through it."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.shapes: list[tuple[int, ...]] = []  # (R, S) of each call of extend

    def open(self) -> Any:
        session, shapes = self.model.open(), self.shapes
        extend = session.extend

        def recorded(ids: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            shapes.append(tuple(ids.shape))
            return extend(ids, *args, **kwargs)

        session.extend = recorded  # type: ignore[method-assign]
        return session


class Lending(Wrapped):
    """A language model that keeps all logits it gave away, each beside a copy."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.lent: list[tuple[Tensor, Tensor]] = []

    def open(self) -> Any:
        session, lent = self.model.open(), self.lent
        extend = session.extend

        def lending(*args: Any, **kwargs: Any) -> Tensor:
            logits = extend(*args, **kwargs)
            lent.append((logits, logits.clone()))
            return logits

        session.extend = lending  # type: ignore[method-assign]
        return session
