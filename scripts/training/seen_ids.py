"""A small vocabulary first, the whole one later: most of the time is saved in the head.

At this size the head (hidden state times every row of the token embedding, and a softmax over the result) costs more
than all layers together, and more than half of GPT-2's 50,257 ids never occur in the texts. For the first 85 % of the
steps the network therefore has only the ids that do occur, numbered anew from 0. The softmax over those is what the
full softmax would be if all others had the probability zero, which is what the texts say of them.

Then the network gets the whole vocabulary. Rows that were trained stay. An id that was never seen begins as what is
most like it, the mean of the rarest seen ids, with a little noise so that no two are equal: it is unlikely everywhere,
but not impossible, and a prompt may hold it. The last steps learn how unlikely.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scripts.training.corpus import Ids

RAREST = 1000  # over how many ids the mean is taken
NOISE = 0.002  # standard deviation


class SeenIds:
    """The ids that occur in the training part, S of the V there are.

    ids       (S,), rising
    rank      (V,): the number of an id among them, -1 for one that does not occur
    rarest    (at most RAREST,) numbers of those that occur least; among equals the lowest
    """

    def __init__(self, training: Ids, n_vocab: int) -> None:
        counts = torch.from_numpy(np.bincount(training, minlength=n_vocab))  # (V,)
        self.n_vocab = n_vocab
        self.ids = counts.nonzero()[:, 0]
        self.rank = torch.full((n_vocab,), -1)
        self.rank[self.ids] = torch.arange(len(self.ids))
        self.rarest = counts[self.ids].argsort(stable=True)[:RAREST]

    def __len__(self) -> int:
        return len(self.ids)

    def widen(self, rows: Tensor, filler: Tensor) -> Tensor:
        """(S, C) rows of the seen ids -> (V, C), where all other ids have the rows of `filler`, (V, C)."""
        wide = filler.clone()
        wide[self.ids.to(rows.device)] = rows
        return wide

    def widen_embedding(self, rows: Tensor, seed: int) -> Tensor:
        """(S, C) -> (V, C): trained rows stay, the others begin near the mean of the rarest."""
        mean = rows[self.rarest.to(rows.device)].mean(dim=0)  # (C,)
        noise = torch.randn(self.n_vocab, len(mean), generator=torch.Generator().manual_seed(seed))
        return self.widen(rows, mean + NOISE * noise.to(rows.device))
