"""Texts drawn without replacement: how likely each was to be among them, averages over all texts, and the exact law.

`StochasticBeamSearch` draws them. None is there twice, so a plain mean over them would give the likely ones too little
weight and the others too much; `estimate` gives each the weight that it needs.

Kool, van Hoof & Welling 2019, "Stochastic Beams and Where to Find Them", arXiv:1903.06059.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, cast

from .generate import GeneratedIds

Text = tuple[int, ...]
T = TypeVar("T", bound=GeneratedIds)  # or Generation


def inclusion_probabilities(result: GeneratedIds) -> list[float]:
    """Of each candidate, the probability that its score exceeds kappa, the best score of all texts left out.

        q(y) = P(log p(y) + Gumbel noise > kappa) = 1 - exp(-exp(log p(y) - kappa)),     kappa = result.search.kappa

    result   what generate() gives for `StochasticBeamSearch`
    """
    return [math.exp(log_q) for log_q in _log_inclusion(result)]


def estimate(result: T, f: Callable[[T], float], *, normalised: bool = False) -> float:
    """The mean of f over all texts that `Sample` could draw, estimated from the k of a stochastic beam.

        sum over candidates y of  w(y) f(y),     w(y) = p(y) / q(y)

    f            is given one candidate after another: lambda text: len(text.ids)
    normalised   divide by the sum of the w(y)

    As it stands it is unbiased: its mean over all seeds is the mean of f, for every k. Normalised it is not quite, but
    it often comes nearer, and stays between the smallest and the largest f. For one text (k = 1) the weights have no
    finite variance: take k of at least 2.
    Raises ValueError for a result of another strategy.
    """
    weights = [_logprob(one) - log_q for one, log_q in zip(result.candidates, _log_inclusion(result), strict=True)]
    largest = max(weights) if normalised else 0.0
    w = [math.exp(weight - largest) for weight in weights]
    total = math.fsum(weight * f(cast(T, one)) for weight, one in zip(w, result.candidates, strict=True))
    return total / math.fsum(w) if normalised else total


def ordered_law(law: Mapping[Text, float], k: int) -> dict[tuple[Text, ...], float]:
    """The probability of every k different texts in the order in which they are drawn without replacement.

        P(y_1, ..., y_k) = product over j of  p(y_j) / (1 - p(y_1) - ... - p(y_(j-1)))

    law   the probability of each text, as `decoding.law` gives it. Of N texts there are N (N - 1) ... (N - k + 1) rows;
          where there are fewer than k texts, all are drawn
    """

    def draws(
        drawn: tuple[Text, ...], probability: float, left: list[Text]
    ) -> Iterator[tuple[tuple[Text, ...], float]]:
        if len(drawn) == k or not left:
            yield drawn, probability
            return
        mass = math.fsum(law[text] for text in left)
        for text in left:
            others = [other for other in left if other != text]
            yield from draws((*drawn, text), probability * law[text] / mass, others)

    return dict(draws((), 1.0, list(law)))


def inclusion_law(law: Mapping[Text, float], k: int) -> dict[Text, float]:
    """The probability of each text to be among k that are drawn without replacement. They add up to k."""
    parts: dict[Text, list[float]] = {text: [] for text in law}
    for drawn, probability in ordered_law(law, k).items():
        for text in drawn:
            parts[text].append(probability)
    return {text: math.fsum(found) for text, found in parts.items()}


def _log_inclusion(result: GeneratedIds) -> list[float]:
    kappa = None if result.search is None else result.search.kappa
    if kappa is None:
        raise ValueError(
            "inclusion probabilities are those of texts that StochasticBeamSearch drew; this is no such result"
        )
    return [_log_exceeds(_logprob(one) - kappa) for one in result.candidates]


def _log_exceeds(x: float) -> float:
    """log(1 - exp(-exp(x)))"""
    rate = math.exp(min(x, 700.0))  # beyond it is 1 in any case
    return math.log(-math.expm1(-rate)) if rate > 1e-300 else x


def _logprob(one: GeneratedIds) -> float:
    return math.fsum(one.processed_logprobs)
