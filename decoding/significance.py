"""How surprising a count is: the G-test and the binomial tail. This is how a sampler is tested."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

SIGNIFICANCE = 1e-6  # a correct draw fails a test with this probability; seeds are fixed, so it never does once passed


def g_test(observed: Sequence[int], probabilities: Sequence[float]) -> float:
    """The probability of counts at least this far from their expectation; 0 where something impossible was seen.

    G = 2 sum_i O_i log(O_i / E_i) is about chi-squared distributed. The rarest outcomes are pooled until at least
    ten are expected, which that approximation needs.
    """
    draws = sum(observed)
    pairs = sorted(zip(probabilities, observed, strict=True))
    if any(seen and not probability for probability, seen in pairs):
        return 0.0
    cells: list[tuple[float, int]] = []
    pooled, pooled_seen = 0.0, 0
    for probability, seen in pairs:
        pooled, pooled_seen = pooled + probability * draws, pooled_seen + seen
        if pooled >= 10:
            cells.append((pooled, pooled_seen))
            pooled, pooled_seen = 0.0, 0
    if pooled and cells:
        cells[-1] = (cells[-1][0] + pooled, cells[-1][1] + pooled_seen)
    if len(cells) < 2:
        raise ValueError("a G-test needs two outcomes of which at least ten are expected")
    G = 2 * math.fsum(seen * math.log(seen / expected) for expected, seen in cells if seen)
    return chi_squared_survival(max(G, 0.0), len(cells) - 1)


def chi_squared_survival(x: float, degrees: int) -> float:
    """P(X >= x) for X chi-squared distributed: the regularised upper incomplete gamma function."""
    double = torch.float64
    return float(torch.special.gammaincc(torch.tensor(degrees / 2, dtype=double), torch.tensor(x / 2, dtype=double)))


def binomial_test(seen: int, draws: int, probability: float) -> float:
    """Twice the probability of a count at least this far on its side of the expectation."""

    def log_pmf(k: int) -> float:
        ways = math.lgamma(draws + 1) - math.lgamma(k + 1) - math.lgamma(draws - k + 1)
        return ways + k * math.log(probability) + (draws - k) * math.log1p(-probability)

    side = range(seen, draws + 1) if seen > draws * probability else range(seen + 1)
    return min(1.0, 2 * math.fsum(math.exp(log_pmf(k)) for k in side))
