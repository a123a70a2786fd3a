"""Language models small enough to list every text that they can write: a table instead of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .chance import mix
from .core import Session, check_positions
from .uncached import RowsSession


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
        if table.dim() != 2 or table.shape[0] != table.shape[1] or not table.is_floating_point():
            raise ValueError(f"a table has a row of logits an id, (V, V); got {table.dtype} of {tuple(table.shape)}")
        return cls(len(table), n_positions, lambda ids: table[ids[-1]])

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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.n_vocab} ids>"

    def open(self) -> Session:
        return RowsSession(self._look_up)

    def _look_up(self, rows: list[list[int]], keep: int) -> Tensor:
        check_positions(torch.tensor([len(row) for row in rows]), 0, self.n_positions)

        def after(ids: list[int]) -> Tensor:  # (V,); before the first id there is nothing to look up
            return self.logits_after(ids) if ids else torch.full((self.n_vocab,), torch.nan)

        backs = range(keep - 1, -1, -1)  # how many ids before the last one
        logits = [[after(row[: max(len(row) - back, 0)]) for back in backs] for row in rows]
        return torch.stack([torch.stack(row) for row in logits])  # (R, keep, V)
