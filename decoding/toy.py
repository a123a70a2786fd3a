"""Language models small enough to list every text that they can write: a table instead of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .chance import mix
from .core import Session


class TableModel:
    """A language model that looks its logits up.

    >>> model = TableModel.bigram(torch.randn(4, 4), n_positions=8)
    >>> model.open().extend(torch.tensor([[0, 3]]))              # (1, 1, 4): row 3 of the table

    logits_after   all ids so far -> logits (V,) of the next
    """

    def __init__(self, n_vocab: int, n_positions: int, logits_after: Callable[[Sequence[int]], Tensor]) -> None:
        self.n_vocab = n_vocab
        self.n_positions = n_positions
        self.logits_after = logits_after

    @classmethod
    def bigram(cls, table: Tensor, n_positions: int) -> TableModel:
        """The next id depends on the last one only: table (V, V), one row of logits an id."""
        return cls(table.shape[1], n_positions, lambda ids: table[ids[-1]])

    @classmethod
    def random(cls, n_vocab: int, n_positions: int, seed: int, scale: float = 2.0) -> TableModel:
        """Different logits after every prefix, float64, normal with standard deviation `scale`, the same for a seed.

        The prefix is hashed instead of stored, so a table of any depth costs nothing.
        """

        def logits_after(ids: Sequence[int]) -> Tensor:
            key = torch.tensor(seed, dtype=torch.int64)
            for id in ids:
                key = mix(key + id + 1)
            generator = torch.Generator().manual_seed(int(key) & (2**63 - 1))
            return scale * torch.randn(n_vocab, generator=generator, dtype=torch.float64)

        return cls(n_vocab, n_positions, logits_after)

    def open(self) -> Session:
        return _TableSession(self)


class _TableSession:
    def __init__(self, model: TableModel) -> None:
        self.model = model
        self.rows: list[list[int]] | None = None

    @property
    def lengths(self) -> Tensor:
        return torch.tensor([len(row) for row in self.rows or []], dtype=torch.int64)

    @lengths.setter
    def lengths(self, lengths: Tensor) -> None:
        self.rewind(lengths)

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        counts = [ids.shape[1]] * len(ids) if n is None else n.tolist()
        old = self.rows if self.rows is not None else [[] for _ in ids]
        rows = [row + new[:count] for row, new, count in zip(old, ids.tolist(), counts, strict=True)]
        longest = max(map(len, rows))
        if longest > self.model.n_positions:
            raise ValueError(
                f"this model has {self.model.n_positions} positions; a row would come to {longest} ids, "
                f"{longest - self.model.n_positions} too many"
            )
        self.rows = rows
        unknown = torch.full((self.model.n_vocab,), torch.nan)
        return torch.stack(
            [
                torch.stack(
                    [
                        self.model.logits_after(row[: len(row) - back]) if back < count else unknown
                        for back in reversed(range(keep))
                    ]
                )
                for row, count in zip(rows, counts, strict=True)
            ]
        )  # (R, keep, V)

    def select(self, rows: Tensor) -> None:
        assert self.rows is not None
        self.rows = [list(self.rows[row]) for row in rows.tolist()]

    def rewind(self, lengths: Tensor) -> None:
        assert self.rows is not None
        self.rows = [row[:length] for row, length in zip(self.rows, lengths.tolist(), strict=True)]
