"""Several language models as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..core import LanguageModel, Session, check_positions, is_number, widen, written


class Combined:
    """A language model made of others: all read the same ids, and a rule makes one distribution of theirs.

        logits = rule(logits of the first, logits of the second, ...)

    Because it is a language model, every strategy works on it: sampling, beams, speculation, streaming, `law`. A
    subclass overrides `rule`. Raises ValueError for no models, and for models with different vocabularies.
    """

    def __init__(self, *models: LanguageModel) -> None:
        if not models:
            raise ValueError(f"{type(self).__name__} is made of at least one language model; got none")
        for model in models:
            check_language_model(model, type(self).__name__)
        sizes = [model.n_vocab for model in models]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"{type(self).__name__} needs models with one vocabulary; got {' and '.join(map(str, sizes))} ids"
            )
        self.models = models
        self.n_vocab = sizes[0]
        self.n_positions = min(model.n_positions for model in models)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(written, self.models))})"

    def rule(self, *logits: Tensor) -> Tensor:
        """Logits (..., V) of every model, at least float32 -> (..., V)."""
        raise NotImplementedError

    def open(self) -> Session:
        return _CombinedSession([model.open() for model in self.models], self)


class _CombinedSession:
    """The sessions of all models, which take the same steps."""

    def __init__(self, sessions: Sequence[Session], model: Combined) -> None:
        self._sessions = sessions
        self._model = model

    @property
    def lengths(self) -> Tensor:
        return self._sessions[0].lengths

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        present = self.lengths if len(self.lengths) else torch.zeros(len(ids), dtype=torch.int64)
        new = ids.shape[1] if n is None else n.cpu()
        check_positions(present, new, self._model.n_positions)  # before any has grown
        logits = [widen(session.extend(ids, n, keep)) for session in self._sessions]  # (R, keep, V) each
        unknown = torch.stack([one[..., :1].isnan() for one in logits]).any(dim=0)  # (R, keep, 1): to any of them
        return self._model.rule(*logits).masked_fill(unknown, torch.nan)  # (R, keep, V)

    def select(self, rows: Tensor) -> None:
        for session in self._sessions:
            session.select(rows)

    def rewind(self, lengths: Tensor) -> None:
        for session in self._sessions:
            session.rewind(lengths)


def check_language_model(value: object, whose: str) -> None:
    """Raise ValueError for what is no language model."""
    if isinstance(value, type) or not isinstance(value, LanguageModel):
        raise ValueError(f"{whose} takes a language model, such as GPT2.from_pretrained('gpt2'); got {value!r}")


def keep_plausible(scores: Tensor, logprobs: Tensor, alpha: float) -> Tensor:
    """The scores (..., V), -inf where an id is less than `alpha` times as likely as the likeliest one.

        V_head = { i : p_i >= alpha max p },     p = exp(logprobs)

    The plausibility threshold of Li et al. 2022, arXiv:2210.15097, which leaves rows of NaN as they are. An id of
    probability 0 never stays.
    """
    least = logprobs.amax(dim=-1, keepdim=True) + (math.log(alpha) if alpha > 0.0 else -math.inf)  # (..., 1)
    return scores.masked_fill((logprobs < least) | (logprobs == -torch.inf), -torch.inf)


def check_alpha(alpha: float) -> None:
    """Raise ValueError for what is no plausibility threshold."""
    if not (is_number(alpha) and 0.0 <= alpha <= 1.0):
        raise ValueError(f"alpha is the share of the best probability that an id needs, from 0 to 1; got {alpha!r}")
