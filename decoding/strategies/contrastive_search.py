"""The likely id that is least like what stands there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import (
    Chance,
    LanguageModel,
    LayeredModel,
    Limits,
    Prefix,
    Processor,
    Session,
    Step,
    is_number,
    is_whole_number,
)
from ..processors.truncation import TopK
from .one_path import one_path
from .processed import ProcessedStrategy


class ContrastiveSearch(ProcessedStrategy):
    """Contrastive search: of the k likeliest ids the one that best weighs likely against unlike all that was there.

        x_t = argmax over the k likeliest v of  (1 - alpha) p(v) - alpha max_j cos(h_v, h_j)

    p is the processed distribution, h_v the last hidden state, behind the last LayerNorm, that v would have, and h_j
    those of all ids before it, the prompt's too. (Ties: the lowest id.) With k = 1 or alpha = 0 it is greedy decoding.

    Deterministic, and without the loops of greedy decoding where hidden states tell ids apart. In OpenAI's gpt2 and
    gpt2-medium all of them point nearly the same way, so that the penalty is nearly the same for all and little changes
    (Su & Collier 2022, arXiv:2210.14140). Every step runs the model on k continuations of each row, with as many copies
    of its cache.

    Raises ValueError for a model that does not show its hidden states, for k below 1, and for an alpha outside of 0
    to 1.
    Su et al. 2022, "A Contrastive Framework for Neural Text Generation", arXiv:2202.06417.
    """

    def __init__(self, *processors: Processor, k: int = 4, alpha: float = 0.6) -> None:
        super().__init__(*processors)
        if not is_whole_number(k) or k < 1:
            raise ValueError(f"k is of how many of the likeliest ids one is taken, at least 1; got {k!r}")
        if not (is_number(alpha) and 0.0 <= alpha <= 1.0):
            raise ValueError(f"alpha is how much likeness counts against an id, from 0 to 1; got {alpha!r}")
        self.k = k
        self.alpha = alpha

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        if not isinstance(model, LayeredModel):
            raise ValueError(
                f"contrastive search needs a model that shows hidden states, such as GPT2; got a {type(model).__name__}"
            )
        ahead = _OneAhead(model)

        def best(logits: Tensor, prefix: Prefix) -> Tensor:
            return ahead.choose(logits, self.k, self.alpha)  # (R, V) -> (R,)

        return one_path(ahead, prompts, limits, chance, self.processors, best)


class _OneAhead:
    """The model and its session in one, which is an id ahead: to choose among candidates it has to take them."""

    def __init__(self, model: LayeredModel) -> None:
        self.n_vocab = model.n_vocab
        self.n_positions = model.n_positions
        self._session = model.open()
        self._directions: list[Tensor] = []  # of each row, its hidden states (T, C) float64, of length 1
        self._logits = torch.empty(0)  # (R, V) behind the last id

    @property
    def lengths(self) -> Tensor:
        return self._session.lengths

    def open(self) -> Session:
        return self

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        """Takes the prompts. All other ids have been taken already."""
        if not self._directions:
            hidden = self._session.extend_hidden(ids, n, ids.shape[1])[:, :, 0]  # (R, T, C), rows end side by side
            self._directions = [_unit(row[-length:]) for row, length in zip(hidden, self.lengths.tolist(), strict=True)]
            self._logits = self._session.head(hidden[:, -1])  # (R, V)
        return self._logits[:, None]  # (R, 1, V)

    def select(self, rows: Tensor) -> None:
        self._session.select(rows)
        self._directions = [self._directions[row] for row in rows.tolist()]
        self._logits = self._logits[rows.to(self._logits.device)]

    def rewind(self, lengths: Tensor) -> None:
        self._session.rewind(lengths)

    def choose(self, logits: Tensor, k: int, alpha: float) -> Tensor:
        """One of the k likeliest ids in each row, (R, V) -> (R,), with which the session goes on."""
        kept = TopK(k)(logits)  # (R, V)
        rows, ids = (kept > -torch.inf).nonzero(as_tuple=True)  # (N,) each: the candidates of all rows
        probabilities = logits.double().softmax(dim=-1)[rows, ids]  # (N,)
        self._session.select(rows)
        hidden = self._session.extend_hidden(ids[:, None])[:, 0, 0]  # (N, C)
        directions = _unit(hidden)  # (N, C)
        chosen: list[int] = []
        for row, before in enumerate(self._directions):
            mine = (rows == row).nonzero()[:, 0]  # (k,)
            likeness = (directions[mine] @ before.T).amax(dim=-1)  # (k,)
            best = (1.0 - alpha) * probabilities[mine] - alpha * likeness.to(probabilities.device)  # (k,)
            chosen.append(int(mine[best.argmax()]))
            self._directions[row] = torch.cat([before, directions[chosen[-1:]]])
        self._session.select(torch.tensor(chosen))
        self._logits = self._session.head(hidden[chosen])  # (R, V)
        return ids[chosen]


def _unit(hidden: Tensor) -> Tensor:
    """Vectors (T, C) of length 1."""
    return F.normalize(hidden.double(), dim=-1)
