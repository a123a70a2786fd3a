"""Sharper or flatter, without removing anything."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Prefix, Processor, Removal, is_number
from .distribution import entropy, gaps_to_best, log_probabilities

_SMALL = 1e-3  # below this, dividing ordinary logits could overflow
_LARGE = 1e30  # above this, the temperature itself could overflow float32


@dataclass(frozen=True, repr=False)
class Temperature(Processor):
    """Divide the logits by a temperature.

        p_i  ∝  exp(logits_i / T)

    T < 1 sharpens the distribution, T > 1 flattens it, T = 1 changes nothing. T = 0 is the limit, greedy decoding: only
    the best id stays (of equals the lowest). Raises ValueError for a negative or infinite temperature.
    Common practice, without a paper.
    """

    temperature: float

    def __post_init__(self) -> None:
        if not (is_number(self.temperature) and 0.0 <= self.temperature <= sys.float_info.max):
            raise ValueError(f"a temperature is a number of at least 0; got {self.temperature!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.temperature == 1.0:
            return logits
        if self.temperature == 0.0:
            best = logits.argmax(dim=-1, keepdim=True)  # (R, 1)
            return torch.full_like(logits, -torch.inf).scatter(-1, best, logits.gather(-1, best))
        if not _SMALL <= self.temperature <= _LARGE:  # the best logit becomes 0, so that none grows, whatever T is
            return (gaps_to_best(logits) / self.temperature).to(logits.dtype)
        return logits / self.temperature

    def reason(self, removal: Removal) -> str:
        if self.temperature > 0.0:
            return f"divided by {self.temperature:g}, its distance to the best is beyond all numbers"
        return "at temperature 0 only the likeliest id stays"


@dataclass(frozen=True, repr=False)
class DynamicTemperature(Processor):
    """A temperature that rises with the entropy: low where the model is sure, high where it is not.

        T = low + (high - low) * (H / ln n)^exponent,     H the entropy, n the number of ids not yet removed

    H / ln n lies between 0 (one id has everything) and 1 (all are equal). low = high = 1 changes nothing; T = 0 is
    greedy. Raises ValueError unless 0 <= low <= high and exponent > 0.
    Community: kalomaze 2023, KoboldCpp; of the same kind is Zhang et al. 2024, "EDT", arXiv:2403.14541.
    """

    low: float
    high: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        numbers = is_number(self.low) and is_number(self.high)
        if not (numbers and 0.0 <= self.low <= self.high <= sys.float_info.max):
            raise ValueError(
                f"a dynamic temperature has two bounds, 0 <= low <= high; got low {self.low!r} and high {self.high!r}"
            )
        if not (is_number(self.exponent) and 0.0 < self.exponent <= sys.float_info.max):
            raise ValueError(f"the exponent of a dynamic temperature is above 0; got {self.exponent!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.low == self.high:
            return Temperature(self.low).process(logits, prefix)
        n = (logits > -torch.inf).sum(dim=-1, keepdim=True)  # (..., 1)
        largest = n.double().log().clamp(min=math.log(2))  # one id alone has the entropy 0, whatever we divide it by
        share = (entropy(log_probabilities(logits)) / largest).clamp(0.0, 1.0)  # (..., 1)
        temperature = self.low + (self.high - self.low) * share**self.exponent
        extreme = (temperature < _SMALL) | (temperature > _LARGE)
        best = logits.amax(dim=-1, keepdim=True)
        # as Temperature does it: in extreme cases the best logit becomes 0, and T = 0 leaves it alone
        divided = ((logits.double() - best.double().where(extreme, 0.0)) / temperature).to(logits.dtype)
        first = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.argmax(dim=-1, keepdim=True), True)
        alone = best.where(first, -torch.inf)  # (..., V)
        return divided.where(temperature > 0.0, alone)

    def reason(self, removal: Removal) -> str:
        return "at temperature 0 only the likeliest id stays"


@dataclass(frozen=True, repr=False)
class QuadraticSmoothing(Processor):
    """Lower every logit by the square of its distance to the best: close rivals come closer, far ones fall away.

        logits_i = best - (3 - curve) / 2 * factor * d_i^2 - (curve - 1) / 2 * factor * d_i^3,     d_i = best - logits_i

    curve = 1 is the square alone; up to 3 more and more of it is a cube. factor = 0 is off and changes nothing. Raises
    ValueError for a negative factor, or a curve outside of [1, 3].
    Community: kalomaze 2024, text-generation-webui.
    """

    factor: float
    curve: float = 1.0

    def __post_init__(self) -> None:
        if not (is_number(self.factor) and 0.0 <= self.factor <= sys.float_info.max):
            raise ValueError(f"quadratic smoothing has a factor of at least 0; got {self.factor!r}")
        if not (is_number(self.curve) and 1.0 <= self.curve <= 3.0):
            raise ValueError(f"the curve of quadratic smoothing lies between 1 and 3; got {self.curve!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        if self.factor == 0.0:
            return logits
        removed = logits == -torch.inf
        best = logits.amax(dim=-1, keepdim=True).double()  # (..., 1)
        d = (best - logits.double()).clamp(max=1e100).masked_fill(removed, 0.0)  # (..., V): its cube is finite
        square, cube = (3.0 - self.curve) / 2 * self.factor, (self.curve - 1.0) / 2 * self.factor
        smoothed = best - square * d**2 - cube * d**3
        lowest = torch.finfo(logits.dtype).min  # far away is not removed
        return smoothed.clamp(min=lowest).to(logits.dtype).masked_fill(removed, -torch.inf)
