"""The naive loop, kept as the definition: the same language model, computing everything anew at every step.

`Uncached(model)` gives any strategy the logits that a cache must reproduce. It is how the cache is tested, and how its
gain is measured; greedy decoding with it is the loop that every tutorial begins with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .combine.reprompted import puts_another_prompt
from .core import LanguageModel, Session, ragged


class Uncached:
    """A language model that remembers ids only, and runs `model` on all of them whenever it is asked.

    Raises ValueError for a model that has to know where the prompt ends, such as one with guidance: make that of an
    uncached one.
    """

    def __init__(self, model: LanguageModel) -> None:
        if puts_another_prompt(model):
            raise ValueError(
                f"{type(model).__name__} has to know where the prompt ends, which all ids at once do not tell; put "
                f"Uncached inside: {type(model).__name__}(Uncached(model), ...)"
            )
        self.model = model

    @property
    def n_vocab(self) -> int:
        return self.model.n_vocab

    @property
    def n_positions(self) -> int:
        return self.model.n_positions

    def open(self) -> Session:
        def logits_after(rows: list[list[int]], keep: int) -> Tensor:
            ids, lengths = ragged(rows)
            room = max(keep - ids.shape[1], 0)  # a row may be shorter than what is asked of it
            return self.model.open().extend(F.pad(ids, (0, room)), lengths, keep)

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
        if len(old) != len(ids) or len(counts) != len(ids) or len(ids) == 0:
            raise ValueError(f"this session has {len(old)} rows; got ids for {len(ids)} and counts for {len(counts)}")
        if bool((counts < 0).any()) or bool((counts > ids.shape[1]).any()) or not 1 <= keep <= ids.shape[1]:
            raise ValueError(f"of {ids.shape[1]} new ids, {counts.tolist()} cannot count and {keep} be kept")
        rows = [row + new[:count] for row, new, count in zip(old, ids.tolist(), counts.tolist(), strict=True)]
        logits = self._logits_after(rows, keep)  # (R, keep, V); raises where a row is too long, and nothing has changed
        self._rows = rows
        behind_old_ids = torch.arange(keep, 0, -1) > counts[:, None]  # (R, keep)
        return logits.masked_fill(behind_old_ids[:, :, None].to(logits.device), torch.nan)

    def select(self, rows: Tensor) -> None:
        present = self._rows
        if present is None:
            raise ValueError("this session has no rows yet; extend it first")
        if not all(0 <= row < len(present) for row in rows.tolist()):
            raise ValueError(f"rows must be numbers from 0 to {len(present) - 1}; got {rows.tolist()}")
        self._rows = [list(present[int(row)]) for row in rows.tolist()]

    def rewind(self, lengths: Tensor) -> None:
        if lengths.shape != self.lengths.shape or bool((lengths < 0).any()) or bool((lengths > self.lengths).any()):
            raise ValueError(f"rows of {self.lengths.tolist()} ids cannot be rewound to {lengths.tolist()}")
        self._rows = [row[:length] for row, length in zip(self._rows or [], lengths.tolist(), strict=True)]
