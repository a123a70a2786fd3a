"""Keep every id whose probability reaches a threshold. Where none does, the likeliest one stays."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Prefix, Processor, Removal, is_number
from ..wording import percent, percents_apart, told_apart
from .distribution import entropy, gaps_to_best, keep_where, log_probabilities, total


def _needed(removal: Removal, threshold: float) -> str:
    """What an id below a threshold lacks. Its own probability has been said: again only where it takes more digits."""
    share = math.exp(float(log_probabilities(removal.before)[removal.id]))
    own, least = percents_apart(share, threshold)
    return f"{least} are needed" if own == percent(share) else f"it has {own}, and {least} are needed"


@dataclass(frozen=True, repr=False)
class MinP(Processor):
    """Keep every id that is at least p times as likely as the likeliest.

        keep i where  p_i >= p * max_j p_j

    The surer the model, the higher the bar. It is compared in logits, logits_i - max logit >= ln p, so nothing
    underflows. p = 0 changes nothing. Whether it writes better texts than top-p is disputed (arXiv:2506.13681). Raises
    ValueError for p outside of [0, 1].
    Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs", arXiv:2407.01082.
    """

    p: float

    def __post_init__(self) -> None:
        if not (is_number(self.p) and 0.0 <= self.p <= 1.0):
            raise ValueError(f"min-p is a share of the best probability, from 0 to 1; got {self.p!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.p == 0.0:
            return logits
        return keep_where(logits, gaps_to_best(logits) >= math.log(self.p))

    def reason(self, removal: Removal) -> str:
        best = float(log_probabilities(removal.before).amax())
        if self.p == 1.0:
            return "only what is as likely as the likeliest stays"
        return f"{_needed(removal, self.p * math.exp(best))}, {self.p:g} times the best one's {percent(math.exp(best))}"


@dataclass(frozen=True, repr=False)
class TopA(Processor):
    """Keep every id whose probability is at least a times the square of the best one's.

        keep i where  p_i >= a * (max_j p_j)^2

    Like min-p, and more lenient the less sure the model is. a = 0 changes nothing. Raises ValueError for a outside of
    [0, 1].
    Community: BlinkDL, RWKV-LM.
    """

    a: float

    def __post_init__(self) -> None:
        if not (is_number(self.a) and 0.0 <= self.a <= 1.0):
            raise ValueError(f"top-a is a factor from 0 to 1; got {self.a!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.a == 0.0:
            return logits
        logprobs = log_probabilities(logits)  # (..., V)
        return keep_where(logits, logprobs >= math.log(self.a) + 2 * logprobs.amax(dim=-1, keepdim=True))

    def reason(self, removal: Removal) -> str:
        best = math.exp(float(log_probabilities(removal.before).amax()))
        return f"{_needed(removal, self.a * best**2)}, {self.a:g} times the square of the best one's {percent(best)}"


@dataclass(frozen=True, repr=False)
class EpsilonCutoff(Processor):
    """Keep every id with a probability of at least epsilon.

        keep i where  p_i >= epsilon

    epsilon = 0 changes nothing. Raises ValueError for epsilon outside of [0, 1).
    Hewitt, Manning & Liang 2022, "Truncation Sampling as Language Model Desmoothing", arXiv:2210.15191.
    """

    epsilon: float

    def __post_init__(self) -> None:
        if not (is_number(self.epsilon) and 0.0 <= self.epsilon < 1.0):
            raise ValueError(f"an epsilon cutoff is a probability of at least 0 and below 1; got {self.epsilon!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.epsilon == 0.0:
            return logits
        return keep_where(logits, log_probabilities(logits) >= math.log(self.epsilon))

    def reason(self, removal: Removal) -> str:
        return _needed(removal, self.epsilon)


@dataclass(frozen=True, repr=False)
class EtaCutoff(Processor):
    """Keep every id whose probability reaches epsilon, or less where the model is unsure.

        keep i where  p_i >= min(epsilon, sqrt(epsilon) * exp(-H)),     H the entropy in nats

    On a uniform distribution exp(-H) is the probability of each id, so a flat one loses little. epsilon = 0 changes
    nothing. Raises ValueError for epsilon outside of [0, 1).
    Hewitt, Manning & Liang 2022, "Truncation Sampling as Language Model Desmoothing", arXiv:2210.15191.
    """

    epsilon: float

    def __post_init__(self) -> None:
        if not (is_number(self.epsilon) and 0.0 <= self.epsilon < 1.0):
            raise ValueError(f"an eta cutoff has an epsilon of at least 0 and below 1; got {self.epsilon!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.epsilon == 0.0:
            return logits
        logprobs = log_probabilities(logits)  # (..., V)
        return keep_where(logits, logprobs >= self._log_eta(logprobs))

    def _log_eta(self, logprobs: Tensor) -> Tensor:
        """The logarithm of the threshold, (..., 1)."""
        return (math.log(self.epsilon) / 2 - entropy(logprobs)).clamp(max=math.log(self.epsilon))

    def reason(self, removal: Removal) -> str:
        logprobs = log_probabilities(removal.before)
        eta = math.exp(float(self._log_eta(logprobs)))
        return f"{_needed(removal, eta)} at an entropy of {float(entropy(logprobs)):.2f} nats"


@dataclass(frozen=True, repr=False)
class TopNSigma(Processor):
    """Keep every id whose logit is at most n standard deviations below the best.

        keep i where  logits_i >= max logit - n * sigma,     sigma the standard deviation of the logits that are left

    A rule about logits, not probabilities: dividing them by a temperature changes both sides alike, so the same ids
    stay at every temperature. sigma is that of the population, over the ids not yet removed. n = 0 keeps the best and
    its equals. Raises ValueError for a negative or infinite n.
    Tang et al. 2024, "Top-nσ: Not All Logits Are You Need", arXiv:2411.07641.
    """

    n: float

    def __post_init__(self) -> None:
        if not (is_number(self.n) and 0.0 <= self.n <= sys.float_info.max):
            raise ValueError(f"top-n-sigma is a number of standard deviations, at least 0; got {self.n!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        gaps = gaps_to_best(logits)  # (..., V)
        return keep_where(logits, gaps >= -self.n * _deviation(gaps))

    def reason(self, removal: Removal) -> str:
        gaps = gaps_to_best(removal.before)
        below, allowed = told_apart(float(gaps[removal.id] / -_deviation(gaps)), float(self.n))
        return f"its logit lies {below} standard deviations below the best, and {allowed} are allowed"


def _deviation(values: Tensor) -> Tensor:
    """The standard deviation of each row's finite values, (..., 1)."""
    finite = values > -torch.inf
    n = finite.sum(dim=-1, keepdim=True)
    mean = total(values.where(finite, 0.0)) / n
    return (total((values - mean).square().where(finite, 0.0)) / n).sqrt()


@dataclass(frozen=True, repr=False)
class PLess(Processor):
    """Keep every id that is at least as likely as two draws are to agree.

        keep i where  p_i >= sum_j p_j^2

    It has no parameter: the sum is the probability that two independent draws from the distribution are equal. All of
    equals reach it exactly, so it is lowered by a billionth of itself: rounding must not remove them.
    Tan et al. 2025, "p-less Sampling", arXiv:2509.23234.
    """

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        probabilities = log_probabilities(logits).exp()  # (..., V)
        return keep_where(logits, probabilities >= (1.0 - 1e-9) * total(probabilities.square()))

    def reason(self, removal: Removal) -> str:
        agree = float(total(log_probabilities(removal.before).exp().square()))
        return f"{_needed(removal, agree)}, the probability that two draws agree"
