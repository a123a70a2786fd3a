"""What the last layers add to what the earlier ones knew."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..core import HiddenSession, LanguageModel, LayeredModel, Session, is_whole_number, widen
from .combined import check_alpha, keep_plausible


class DoLa:
    """Decoding by contrasting layers: the last layer's distribution against that of the earlier one most unlike it.

        logits_i = log q_i - log m_i     where q_i >= alpha max q, else -inf
        m = the distribution among those of `layers` with the greatest Jensen-Shannon divergence from q

    q is the model's own distribution; that of an earlier layer comes from its hidden state through the same last
    LayerNorm and the same head. m is chosen for each row and each step anew.

    layers   which ones may be chosen: n is what stands behind n blocks, 0 the embeddings. The paper takes every second
             one of the lower or of the upper half. With a head that is the embedding, as GPT-2's, layer 0 predicts the
             id that it has just read, and does not serve

    The paper adds a repetition penalty of 1.2. transformers (until 4.55) does otherwise: early layers skip the last
    LayerNorm, which the paper does not speak of; the divergence is the mean of two in the reverse direction, as in the
    authors' own code; and one layer is chosen for the whole batch, so that a row depends on its neighbours.

    Raises ValueError for a model without layers to look into, for layers that it does not have or that are not below
    its last one, and for an alpha outside of 0 to 1.
    Chuang et al. 2023, "DoLa: Decoding by Contrasting Layers Improves Factuality in Large Language Models",
    arXiv:2309.03883.
    """

    def __init__(self, model: LanguageModel, layers: Sequence[int], *, alpha: float = 0.1) -> None:
        if isinstance(model, type) or not isinstance(model, LayeredModel):
            raise ValueError(
                f"DoLa needs a model whose layers can be looked into, such as GPT2; got a {type(model).__name__}"
            )
        allowed = range(model.n_layer)
        listed = isinstance(layers, Sequence) and len(layers) > 0
        if not listed or not all(is_whole_number(layer) and layer in allowed for layer in layers):
            raise ValueError(
                f"layers are some of 0 to {model.n_layer - 1}, which lie below the last of this model, such as [2, 4]; "
                f"got {layers!r}"
            )
        self.layers = [int(layer) for layer in layers]
        check_alpha(alpha)
        self.model = model
        self.alpha = alpha
        self.n_vocab = model.n_vocab
        self.n_positions = model.n_positions

    def __repr__(self) -> str:
        return f"DoLa({self.layers}, alpha={self.alpha!r})"

    def open(self) -> Session:
        return _DoLaSession(self.model.open(), self)

    def early_exit(self, layers: int) -> LanguageModel:
        """The first layers of the model itself, to draft with."""
        return self.model.early_exit(layers)

    def rule(self, last: Tensor, early: Tensor) -> Tensor:
        """Logits (..., V) of the last layer, and those of the earlier ones, (..., L, V) -> (..., V)."""
        q = last.log_softmax(dim=-1)  # (..., V)
        choice = premature_layer(last, early)[..., None, None]  # (..., 1, 1)
        m = early.gather(-2, choice.expand(*choice.shape[:-1], early.shape[-1])).squeeze(-2).log_softmax(dim=-1)
        return keep_plausible(q - m, q, self.alpha)


def premature_layer(last: Tensor, early: Tensor) -> Tensor:
    """Which of the earlier layers differs most from the last: logits (..., V) and (..., L, V) -> places (...).

        JSD(q, m) = KL(q, a) / 2 + KL(m, a) / 2,     a = (q + m) / 2

    Of equals the first.
    """
    q = last.double().log_softmax(dim=-1).unsqueeze(-2)  # (..., 1, V)
    m = early.double().log_softmax(dim=-1)  # (..., L, V)
    a = torch.logaddexp(q, m) - math.log(2)  # (..., L, V)
    from_q, from_m = (q.exp() * (q - a)).nansum(dim=-1), (m.exp() * (m - a)).nansum(dim=-1)  # 0 log 0 counts as 0
    return (from_q + from_m).argmax(dim=-1)  # (..., L) -> (...): half of it is the divergence


class _DoLaSession:
    """A session of the model, of which only the contrast is told."""

    def __init__(self, session: HiddenSession, model: DoLa) -> None:
        self._session = session
        self._model = model

    @property
    def lengths(self) -> Tensor:
        return self._session.lengths

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        layers = [*self._model.layers, self._model.model.n_layer]
        hidden = self._session.extend_hidden(ids, n, keep, layers)  # (R, keep, L + 1, C)
        logits = widen(self._session.head(hidden))  # (R, keep, L + 1, V)
        return self._model.rule(logits[:, :, -1], logits[:, :, :-1])

    def select(self, rows: Tensor) -> None:
        self._session.select(rows)

    def rewind(self, lengths: Tensor) -> None:
        self._session.rewind(lengths)
