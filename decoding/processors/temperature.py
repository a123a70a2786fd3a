"""Sharper or flatter, without removing anything."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Prefix, Processor, is_number

_SMALL = 1e-3  # below this, dividing ordinary logits could overflow
_LARGE = 1e30  # above this, the temperature itself could overflow float32


@dataclass(frozen=True, repr=False)
class Temperature(Processor):
    """Divide the logits by a temperature.

        p_i  ∝  exp(logits_i / T)

    T < 1 sharpens the distribution, T > 1 flattens it, T = 1 changes nothing. T = 0 is the limit, greedy decoding: only
    the best id stays (of equals the lowest). Raises ValueError for a negative or infinite temperature.
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
            gaps = logits.double() - logits.amax(dim=-1, keepdim=True).double()
            return (gaps / self.temperature).to(logits.dtype)
        return logits / self.temperature
