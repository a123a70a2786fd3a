"""The only randomness there is: four ways of making a choice, all behind `Chance`.

    Gumbel        adds noise to the logits and takes the best. The default
    InverseCDF    walks along the ids until their probabilities exceed one random number. The simplest to teach
    Multinomial   `torch.multinomial` from a generator, to reproduce outputs that were published that way
    Enumerate     makes no choice at all, but every one in turn: see `law`

Gumbel and InverseCDF take their noise from a hash of (seed, sample number, step, purpose, id). So a row's text depends
on nothing but its own prompt, sample number, seed and strategy: not on the batch, not on how often anybody drew before.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import torch
from torch import Tensor

from .core import Prefix, Purpose

# -- noise ------------------------------------------------------------------------------------------------------------


def _signed(value: int) -> int:
    """The 64 bits of `value` as PyTorch's signed integers write them."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: consecutive numbers land far apart
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Unsigned right shift; PyTorch's own copies the sign bit."""
    return (x >> bits) & (2 ** (64 - bits) - 1)


def mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), on int64 of any shape.

    A bijection of the 64-bit numbers in which every bit of the input moves about half of the output. Sums and products
    wrap around, which is the same arithmetic for signed and unsigned numbers.
    """
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def row_keys(seed: int, purpose: Purpose, prefix: Prefix) -> Tensor:
    """(R,) int64: a key for each row's noise at this step, from everything but the id."""
    key = torch.zeros_like(prefix.samples)
    for part in (seed, prefix.samples, prefix.steps, int(purpose)):
        key = mix((key ^ part) + _GOLDEN)
    return key


def noise(keys: Tensor, ids: Tensor) -> Tensor:
    """Uniform numbers strictly between 0 and 1, float64, for keys (R,) and ids (K,) -> (R, K).

    The 52 high bits of the hash are the number, and half a unit is added, which float64 can just hold: 0 and 1 cannot
    occur. They come as near to both as 2^-53, so that ids of probability 10^-15 are still drawn as often as they should
    be; noise of float32 would never draw them.
    """
    bits = mix(keys[:, None] + (ids + 1) * _GOLDEN)  # (R, K)
    return (_shift(bits, 12).double() + 0.5) * 2.0**-52


def fresh_seed() -> int:
    """A seed that nobody has chosen, short enough to be written down."""
    return secrets.randbits(32)


def _valid_seed(seed: int) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ValueError(f"a seed is a whole number from 0 to 2**63 - 1; got {seed!r}")
    return seed


_ROWS = 8  # whose noise is made at once: it takes several float64 numbers an id


# -- chances ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gumbel:
    """Gumbel-max: argmax of logits + Gumbel noise, which is a draw from softmax(logits).

        choice = argmax_i  logits_i - log(-log u_i),     u_i uniform     (ties: the lowest id)

    Every id has noise of its own, so removing other ids changes the choice only when it removes the choice itself.
    Gumbel 1954; Maddison, Tarlow & Minka 2014, "A* Sampling", arXiv:1411.0030.
    """

    seed: int

    def __post_init__(self) -> None:
        _valid_seed(self.seed)

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        keys = row_keys(self.seed, purpose, prefix)  # (R,)
        some = zip(logits.split(_ROWS), keys.split(_ROWS), strict=True)
        return torch.cat([self._choose(logits, keys) for logits, keys in some])

    def _choose(self, logits: Tensor, keys: Tensor) -> Tensor:
        survivors = (logits > -torch.inf).any(dim=0).nonzero()[:, 0]  # (K',): noise for these only
        noisy = logits[:, survivors].double() - (-noise(keys, survivors).log()).log()  # (R, K')
        return survivors[noisy.argmax(dim=-1)]  # (R,)

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        return _uniform(self.seed, n, purpose, prefix)


@dataclass(frozen=True)
class InverseCDF:
    """Inverse transform sampling: the first id at which the summed probability exceeds one uniform number.

    choice = min { i : p_0 + ... + p_i > u },     u uniform
    """

    seed: int

    def __post_init__(self) -> None:
        _valid_seed(self.seed)

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        cdf = logits.double().softmax(dim=-1).cumsum(dim=-1)  # (R, K)
        u = self.uniform(1, purpose, prefix) * cdf[:, -1:]  # (R, 1): the sum may miss 1 by rounding
        return torch.searchsorted(cdf, u, right=True)[:, 0]  # (R,): never an id of probability 0, which adds nothing

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        return _uniform(self.seed, n, purpose, prefix)


def _uniform(seed: int, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
    return noise(row_keys(seed, purpose, prefix), torch.arange(n, device=prefix.samples.device))


class Multinomial:
    """`torch.multinomial`, from a generator of its own: what most published samples were drawn with.

    It draws for all rows of a batch at once, so that a text depends on its neighbours, and PyTorch may change what a
    seed gives. Use it to reproduce an output, and `Gumbel` for everything else.
    """

    def __init__(self, seed: int | torch.Generator) -> None:
        self._source = seed if isinstance(seed, torch.Generator) else _valid_seed(seed)

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        probabilities = logits.softmax(dim=-1)  # (R, K)
        return torch.multinomial(probabilities, 1, generator=self._on(logits.device))[:, 0]

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        device = prefix.samples.device
        shape = (len(prefix.samples), n)
        u = torch.rand(shape, generator=self._on(device), dtype=torch.float64, device=device)
        return u.clamp(min=2.0**-53)  # torch.rand can give 0

    def _on(self, device: torch.device) -> torch.Generator:
        """The generator; one that comes from a seed is made where the first draw is."""
        if isinstance(self._source, int):
            self._source = torch.Generator(device).manual_seed(self._source)
        return self._source


class Enumerate:
    """Takes every path in turn: the first run makes the first choices, and each `advance` moves on to the next path.

    >>> chance = Enumerate()
    >>> while True:
    ...     run everything that draws from `chance`
    ...     use chance.log_probability, the logarithm of the probability of this very path
    ...     if not chance.advance(): break

    The choices must depend on earlier choices only, so that a repeated beginning repeats itself.
    """

    def __init__(self) -> None:
        self._path: list[tuple[list[int], Tensor, int]] = []  # options, their log-probabilities, which one is taken
        self._depth = 0

    @property
    def log_probability(self) -> float:
        """Of the choices of this run, in natural logarithm."""
        return float(sum(float(logprobs[taken]) for _, logprobs, taken in self._path[: self._depth]))

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        return torch.tensor([self._choose_one(row) for row in logits], device=logits.device)

    def _choose_one(self, logits: Tensor) -> int:
        if self._depth == len(self._path):
            options = (logits > -torch.inf).nonzero()[:, 0]  # (K',)
            logprobs = logits.double().log_softmax(dim=-1)[options]  # (K',)
            self._path.append((options.tolist(), logprobs, 0))
        choices, _, taken = self._path[self._depth]
        self._depth += 1
        return choices[taken]

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        raise ValueError("a strategy that draws real numbers cannot be enumerated; it has to bring a law of its own")

    def advance(self) -> bool:
        """Go to the next path, from its beginning; False where all have been taken."""
        self._depth = 0
        while self._path:
            options, logprobs, taken = self._path.pop()
            if taken + 1 < len(options):
                self._path.append((options, logprobs, taken + 1))
                return True
        return False
