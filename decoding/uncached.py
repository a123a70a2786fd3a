"""The naive loop, kept as the definition: the same language model, computing everything anew at every step.

`Uncached(model)` gives any strategy the logits that a cache must reproduce. It is how the cache is tested, and how its
gain is measured; greedy decoding with it is the loop that every tutorial begins with.
"""

from __future__ import annotations

from torch import Tensor

from .core import LanguageModel, Session, ragged


class Uncached:
    """A language model that remembers ids only, and runs `model` on all of them whenever it is asked."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def n_vocab(self) -> int:
        return self.model.n_vocab

    @property
    def n_positions(self) -> int:
        return self.model.n_positions

    def open(self) -> Session:
        return _Remembered(self.model)


class _Remembered:
    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.rows: list[list[int]] | None = None

    @property
    def lengths(self) -> Tensor:
        return ragged(self.rows or [])[1]

    @lengths.setter
    def lengths(self, lengths: Tensor) -> None:
        self.rewind(lengths)

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        counts = [ids.shape[1]] * len(ids) if n is None else n.tolist()
        old = self.rows if self.rows is not None else [[] for _ in ids]
        self.rows = [row + new[:count] for row, new, count in zip(old, ids.tolist(), counts, strict=True)]
        return self.model.open().extend(*ragged(self.rows), keep=keep)

    def select(self, rows: Tensor) -> None:
        assert self.rows is not None
        self.rows = [list(self.rows[row]) for row in rows.tolist()]

    def rewind(self, lengths: Tensor) -> None:
        assert self.rows is not None
        self.rows = [row[:length] for row, length in zip(self.rows, lengths.tolist(), strict=True)]
