"""How far a model's distributions of the next id lie from those of another, along a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from decoding import LanguageModel
from decoding.measures import Measure, over_texts

from .texts import Window

AT_ONCE = 64  # positions whose distributions are there in float64 together


@dataclass(frozen=True)
class Divergence:
    """Of each position of a text, (N,) float64 and bool; `reference` is the model that the other is held to."""

    kl: Tensor  # KL(reference || model), nats
    logprobs: Tensor  # what the model gives to the id that follows
    reference_logprobs: Tensor  # what the reference gives to it
    same: Tensor  # whether both find the same id likeliest

    @property
    def mean_kl(self) -> float:
        return float(self.kl.mean())

    @property
    def kl_99(self) -> float:
        """99 % of the positions have at most this, interpolated between two positions."""
        return float(self.kl.quantile(0.99))

    @property
    def perplexity(self) -> float:
        return math.exp(-float(self.logprobs.mean()))

    @property
    def change(self) -> Measure:
        """By which share of the reference's the perplexity is higher.

        The standard error is over positions as if they were independent, of the difference of the two models on the
        same ids, to first order.
        """
        lost = over_texts((self.reference_logprobs - self.logprobs).tolist())
        error = None if lost.standard_error is None else math.exp(lost.value) * lost.standard_error
        return Measure(math.expm1(lost.value), error)

    @property
    def agreement(self) -> float:
        return float(self.same.double().mean())


def diverge(reference: LanguageModel, model: LanguageModel, windows: Sequence[Window]) -> Divergence:
    """Both models read the windows, each in one call of a new session."""
    parts = [
        _compare(*three)
        for window in windows
        for three in zip(
            *(_logits(one, window.ids).split(AT_ONCE) for one in (reference, model)),
            window.targets.split(AT_ONCE),
            strict=True,
        )
    ]
    return Divergence(*(torch.cat(column) for column in zip(*parts, strict=True)))


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) = sum_i p_i (ln p_i - ln q_i): log-probabilities (..., V) -> (...). What p rules out adds nothing."""
    p = log_p.exp()
    return (p * (log_p - log_q)).masked_fill(p == 0, 0.0).sum(dim=-1)


def _logits(model: LanguageModel, ids: Tensor) -> Tensor:
    """(T,) -> (T, V), in the dtype that the model gives."""
    return model.open().extend(ids[None], keep=len(ids))[0]


def _compare(expected: Tensor, got: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (n, V) of both models, targets (n,) -> the four of `Divergence`, (n,) each."""
    log_p, log_q = (logits.double().log_softmax(dim=-1) for logits in (expected, got))
    got_targets, expected_targets = (log.gather(1, targets[:, None])[:, 0] for log in (log_q, log_p))
    same = expected.float().argmax(dim=-1) == got.float().argmax(dim=-1)  # of equals the lowest id, in both
    return kl_divergence(log_p, log_q), got_targets, expected_targets, same
