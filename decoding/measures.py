"""The numbers that texts are compared by. Texts are rows of ids, the new ones alone; all logarithms are natural.

None of them says how good a text is. Greedy decoding has the highest log-probabilities and repeats itself; noise is as
diverse as can be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Measure(NamedTuple):
    """A number about several texts. Where it is a mean over them, with its standard error."""

    value: float
    standard_error: float | None = None


def mean_logprob(logprobs: Sequence[float]) -> float:
    """The mean log-probability of the ids of a text.

        (1 / T) sum_t  ln p(x_t | x_1 ... x_(t-1))

    exp(-this) is the text's perplexity. Raises ValueError for a text without ids.
    """
    return _mean(logprobs)


def entropy(logits: Tensor) -> Tensor:
    """How unsure a model is of the next id, in nats: (..., V) -> (...), float64.

        H = -sum_i  p_i ln p_i,     p the softmax of the logits

    0 where one id has all the probability, ln V where all are equal.
    """
    return torch.special.entr(logits.double().softmax(dim=-1)).sum(dim=-1)


def mean_entropy(entropies: Sequence[float]) -> float:
    """The mean entropy of the model's distributions along a text, one a step.

        (1 / T) sum_t  H_t

    Where a text is a plain sample of the model, its mean surprise, -`mean_logprob`, is this on average. Raises
    ValueError for a text without ids.
    """
    return _mean(entropies)


def distinct(texts: Sequence[Sequence[int]], n: int) -> float:
    """Distinct-n: how many of the n-grams of all texts together are different ones.

        (number of different n-grams) / (number of n-grams)

    1 where no n-gram occurs twice. It falls with the number of texts and with their length, so that only equal numbers
    of similar lengths compare. (Li et al. divide by the number of ids, which differs little; so 1 cannot be reached
    for n > 1.) A text shorter than n has no n-grams; NaN where none has any. Raises ValueError for n below 1.
    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", arXiv:1510.03055.
    """
    all_ngrams = [ngram for text in texts for ngram in ngrams(text, n)]
    return len(set(all_ngrams)) / len(all_ngrams) if all_ngrams else math.nan


def repetition(text: Sequence[int], n: int) -> float:
    """Seq-rep-n: the share of a text's n-grams that have occurred in it before.

        1 - (number of different n-grams) / (number of n-grams)

    0 where none occurs twice; a text shorter than n has none, and repeats nothing: 0. Raises ValueError for n below 1.
    Welleck et al. 2019, "Neural Text Generation with Unlikelihood Training", arXiv:1908.04319.
    """
    found = ngrams(text, n)
    return 1.0 - len(set(found)) / len(found) if found else 0.0


def ngrams(text: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """Every run of n ids, in the order of the text; none where it is shorter."""
    if n < 1:
        raise ValueError(f"an n-gram has a number of ids, at least 1; got {n}")
    return [tuple(text[begin : begin + n]) for begin in range(len(text) - n + 1)]


def over_texts(values: Sequence[float]) -> Measure:
    """The mean of one number a text, with its standard error.

        s / sqrt(n),     s^2 = sum_i (x_i - mean)^2 / (n - 1)

    One text alone tells nothing about the error: None. Raises ValueError for no text.
    """
    mean = _mean(values)
    if len(values) == 1:
        return Measure(mean)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Measure(mean, math.sqrt(variance / len(values)))


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("there is nothing to take the mean of: no ids, or no texts")
    return math.fsum(values) / len(values)
