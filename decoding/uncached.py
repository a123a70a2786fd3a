"""The naive loop, kept as the definition: the same language model, computing everything anew at every step.

`Uncached(model)` gives any strategy the logits that a cache must reproduce. It is how the cache is tested, and how its
gain is measured; greedy decoding with it is the loop that every tutorial begins with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
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
        def logits_after(rows: list[list[int]], keep: int) -> Tensor:
            return self.model.open().extend(*ragged(rows), keep=keep)

        return RowsSession(logits_after)


class RowsSession:
    """A session that keeps nothing but the ids of its rows.

    logits_after   rows of ids, and how many of their last positions to return -> (R, keep, V)
    """

    def __init__(self, logits_after: Callable[[list[list[int]], int], Tensor]) -> None:
        self._logits_after = logits_after
        self._rows: list[list[int]] | None = None  # None before the first `extend`, which decides how many there are

    @property
    def lengths(self) -> Tensor:
        return torch.tensor([len(row) for row in self._rows or []], dtype=torch.int64)

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        counts = torch.full((len(ids),), ids.shape[1]) if n is None else n.cpu()  # (R,)
        old = [[] for _ in ids] if self._rows is None else self._rows
        rows = [row + new[:count] for row, new, count in zip(old, ids.tolist(), counts.tolist(), strict=True)]
        logits = self._logits_after(rows, keep)  # (R, keep, V); raises where a row is too long, and nothing has changed
        self._rows = rows
        behind_old_ids = torch.arange(keep, 0, -1) > counts[:, None]  # (R, keep)
        return logits.masked_fill(behind_old_ids[:, :, None].to(logits.device), torch.nan)

    def select(self, rows: Tensor) -> None:
        assert self._rows is not None
        self._rows = [list(self._rows[row]) for row in rows.tolist()]

    def rewind(self, lengths: Tensor) -> None:
        assert self._rows is not None
        self._rows = [row[:length] for row, length in zip(self._rows, lengths.tolist(), strict=True)]
