"""The exercises of notebook 05, and the mistakes that are known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .checking import Case, Check, Mistake
from .distributions import Draws

WORDS = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]


# -- 5.1 --------------------------------------------------------------------------------------------------------------


def _interval(probabilities: Tensor, u: float) -> int:
    """The id whose interval of the line from 0 to 1 holds u; behind the last interval, the last that is not empty."""
    start, last = 0.0, 0
    for id, width in enumerate(probabilities.tolist()):
        if width > 0:
            last = id
            if start <= u < start + width:
                return id
        start += width
    return last


def _sixty_fourths(generator: torch.Generator) -> Case:
    """Probabilities and u in sixty-fourths, so that u often lies on an edge; some are 0, and some sums miss 1."""
    cuts = torch.randint(0, 65, (7,), generator=generator).sort().values.tolist()
    widths = [b - a for a, b in zip([0, *cuts], [*cuts, 64], strict=True)]
    probabilities = torch.tensor(widths) / 64.0
    edge = int(torch.randint(0, 64, (1,), generator=generator)) / 64
    between = float(torch.rand(1, generator=generator))
    if int(torch.randint(0, 5, (1,), generator=generator)) == 0:  # a sum that falls short, and u beyond it
        return {"probabilities": probabilities * 0.999, "u": 0.9995}
    return {"probabilities": probabilities, "u": edge if between < 0.6 else between}


def _exceeds(probabilities: Tensor, u: float, strictly: bool) -> Tensor:
    sums = probabilities.cumsum(dim=0)
    return sums > u if strictly else sums >= u


def _not_strict(probabilities: Tensor, u: float) -> int:
    return int(_exceeds(probabilities, u, False).int().argmax())


def _left_side(probabilities: Tensor, u: float) -> int:
    return int(torch.searchsorted(probabilities.cumsum(dim=0), u))


def _left_side_or_last(probabilities: Tensor, u: float) -> int:
    return min(_left_side(probabilities, u), int(probabilities.nonzero().max()))


def _first_when_none(probabilities: Tensor, u: float) -> int:
    return int(_exceeds(probabilities, u, True).int().argmax())


def _past_the_end(probabilities: Tensor, u: float) -> int:
    return int((~_exceeds(probabilities, u, True)).sum())


def _impossible_last(probabilities: Tensor, u: float) -> int:
    return min(_past_the_end(probabilities, u), len(probabilities) - 1)


def _one_before(probabilities: Tensor, u: float) -> int:
    return _past_the_end(probabilities, u) - 1


def _not_summed(probabilities: Tensor, u: float) -> int:
    return int((probabilities > u).int().argmax())


inverse_cdf = Check(
    exercise="5.1",
    name="inverse_cdf",
    reference=_interval,
    cases=[
        {"probabilities": torch.tensor([0.5, 0.25, 0.25]), "u": 0.6},
        {"probabilities": torch.tensor([0.5, 0.25, 0.25]), "u": 0.5},
        {"probabilities": torch.tensor([0.0, 0.5, 0.5]), "u": 0.0},
        {"probabilities": torch.tensor([0.5, 0.25, 0.249, 0.0]), "u": 0.9995},
    ],
    random=_sixty_fourths,
    mistakes=[
        Mistake(
            _not_strict,
            "You take the first sum that reaches u (>=); the rule wants the first that exceeds it (>). Otherwise u = 0 "
            "can draw an id of probability 0.",
        ),
        Mistake(
            _left_side,
            "torch.searchsorted stops at the first sum that reaches u; the rule wants one that exceeds it: see its "
            "argument right. And where no sum does, it returns the size of the vocabulary, which is no id.",
        ),
        Mistake(
            _left_side_or_last,
            "The end is right, but equality is not: a sum that is just u does not exceed it. The sign is >.",
        ),
        Mistake(
            _first_when_none,
            "Where rounding leaves every sum at or below u, argmax finds no True and answers 0, the first id. The "
            "answer there is the last id that is not impossible.",
        ),
        Mistake(
            _past_the_end,
            "Where rounding leaves every sum at or below u, you return the size of the vocabulary, which is no id. The "
            "answer there is the last id that is not impossible.",
        ),
        Mistake(
            _impossible_last,
            "Where rounding leaves every sum at or below u, you return the last id even if its probability is 0. Go "
            "back to the last id that is not impossible.",
        ),
        Mistake(
            _one_before,
            "You are one id too early: the sum at the id that is drawn includes the id's own probability.",
        ),
        Mistake(
            _not_summed,
            "You compare u with single probabilities. It has to be compared with their running sum: see torch.cumsum.",
        ),
    ],
)


# -- 5.2 --------------------------------------------------------------------------------------------------------------


def _race(logits: Tensor, u: Tensor) -> int:
    """The same choice as a race: id i rings after -log(u_i) / exp(z_i), and the first to ring wins."""
    times = [
        math.inf if z == -math.inf else math.log(-math.log(x)) - z
        for z, x in zip(logits.tolist(), u.tolist(), strict=True)
    ]
    return min(range(len(times)), key=times.__getitem__)


def _noisy_logits(generator: torch.Generator) -> Case:
    logits = 2 * torch.randn(len(WORDS), generator=generator)
    removed = torch.rand(len(WORDS), generator=generator) < 0.3
    removed[int(torch.randint(0, len(WORDS), (1,), generator=generator))] = False
    u = torch.rand(len(WORDS), generator=generator, dtype=torch.float64).clamp(min=1e-9)
    if int(torch.randint(0, 4, (1,), generator=generator)) == 0:  # the largest logits are far beyond what exp can hold
        logits = logits + 1000
    return {"logits": logits.masked_fill(removed, -torch.inf), "u": u}


def _noise(u: Tensor) -> Tensor:
    return -torch.log(-torch.log(u))


def _minus_noise(logits: Tensor, u: Tensor) -> int:
    return int((logits - _noise(u)).argmax())


def _one_log(logits: Tensor, u: Tensor) -> int:
    return int((logits - torch.log(u)).argmax())


def _log_of_negative(logits: Tensor, u: Tensor) -> int:
    return int((logits - torch.log(torch.log(u))).argmax())


def _on_probabilities(logits: Tensor, u: Tensor) -> int:
    return int((torch.softmax(logits, dim=0) + _noise(u)).argmax())


def _times_noise(logits: Tensor, u: Tensor) -> int:
    return int((logits * _noise(u)).argmax())


def _one_noise_for_all(logits: Tensor, u: Tensor) -> int:
    return int((logits + _noise(u[0])).argmax())


def _plain_uniform(logits: Tensor, u: Tensor) -> int:
    return int((logits + u).argmax())


gumbel_max = Check(
    exercise="5.2",
    name="gumbel_max",
    reference=_race,
    cases=[
        {"logits": torch.tensor([2.0, 1.0, 0.0]), "u": torch.tensor([0.3, 0.8, 0.1])},
        {"logits": torch.tensor([2.0, -torch.inf, 0.0, 1.0]), "u": torch.tensor([0.02, 0.999, 0.6, 0.5])},
    ],
    random=_noisy_logits,
    mistakes=[
        Mistake(
            _minus_noise,
            "The noise has the wrong sign: g = -log(-log u) is added. Subtracting it draws from another distribution, "
            "since its long tail points the wrong way.",
        ),
        Mistake(_one_log, "That is one logarithm: -log u. Gumbel noise takes two of them, g = -log(-log u)."),
        Mistake(
            _log_of_negative,
            "log u is negative, and the logarithm of a negative number is NaN. The inner minus sign makes it positive.",
        ),
        Mistake(
            _on_probabilities,
            "You add the noise to probabilities. It belongs on the logits: no softmax is needed at all. On "
            "probabilities the noise drowns everything, and even removed ids can win.",
        ),
        Mistake(_times_noise, "You multiply the logits by the noise; it is added to them."),
        Mistake(
            _one_noise_for_all,
            "The largest logit always wins here: no noise, or the same number for all ids. Each id needs its own u_i.",
        ),
        Mistake(_plain_uniform, "You add u itself, which never exceeds 1. Turn it into Gumbel noise first."),
    ],
)


# -- 5.3 --------------------------------------------------------------------------------------------------------------


def _g(counts: Tensor, probabilities: Tensor) -> float:
    """By the likelihood: twice the logarithm of how much likelier the draws are under their own frequencies."""
    n = int(counts.sum())
    G = 0.0
    for seen, probability in zip(counts.tolist(), probabilities.tolist(), strict=True):
        if seen and not probability:
            return math.inf
        if seen:
            G += 2 * seen * (math.log(seen) - math.log(n) - math.log(probability))
    return G


def _counted(generator: torch.Generator) -> Case:
    probabilities = torch.rand(6, generator=generator, dtype=torch.float64) ** 2
    impossible = torch.rand(6, generator=generator) < 0.2
    impossible[0] = False
    possible = probabilities.masked_fill(impossible, 0.0)
    possible = possible / possible.sum()
    counts = torch.multinomial(possible, 40, replacement=True, generator=generator).bincount(minlength=6)
    if int(torch.randint(0, 4, (1,), generator=generator)) == 0:
        counts = counts + impossible  # what cannot happen has happened once
    return {"counts": counts, "probabilities": possible}


def _terms(seen: Tensor, expected: Tensor) -> Tensor:
    return torch.where(seen > 0, seen * torch.log(seen / expected), torch.zeros(()).double())


def _half(counts: Tensor, probabilities: Tensor) -> float:
    return float(_terms(counts.double(), probabilities * counts.sum()).sum())


def _per_draw(counts: Tensor, probabilities: Tensor) -> float:
    return float(2 * _terms(counts / counts.sum().double(), probabilities).sum())


def _shares_expected(counts: Tensor, probabilities: Tensor) -> float:
    return float(2 * _terms(counts.double(), probabilities).sum())


def _zero_log_zero(counts: Tensor, probabilities: Tensor) -> float:
    return float(2 * (counts * torch.log(counts / (probabilities * counts.sum()))).sum())


def _impossible_skipped(counts: Tensor, probabilities: Tensor) -> float:
    terms = _terms(counts.double(), probabilities * counts.sum())
    return float(2 * terms[probabilities > 0].sum())


def _in_bits(counts: Tensor, probabilities: Tensor) -> float:
    return 2 * _half(counts, probabilities) / math.log(2)


def _upside_down(counts: Tensor, probabilities: Tensor) -> float:
    expected = probabilities * counts.sum()
    return float(2 * torch.where(expected > 0, expected * torch.log(expected / counts), 0.0).sum())


def _chi_squared(counts: Tensor, probabilities: Tensor) -> float:
    expected = probabilities * counts.sum()
    chi = (counts - expected) ** 2 / expected
    return float(chi[(counts > 0) | (expected > 0)].sum())


g_statistic = Check(
    exercise="5.3",
    name="g_statistic",
    reference=_g,
    cases=[
        {"counts": torch.tensor([6, 2, 2]), "probabilities": torch.tensor([0.5, 0.25, 0.25]).double()},
        {"counts": torch.tensor([6, 4, 0]), "probabilities": torch.tensor([0.5, 0.25, 0.25]).double()},
        {"counts": torch.tensor([6, 4, 0]), "probabilities": torch.tensor([0.5, 0.5, 0.0]).double()},
        {"counts": torch.tensor([6, 3, 1]), "probabilities": torch.tensor([0.5, 0.5, 0.0]).double()},
    ],
    random=_counted,
    mistakes=[
        Mistake(_half, "This is half of it: the sum is multiplied by 2."),
        Mistake(
            _per_draw,
            "You compare shares with probabilities and lose how many draws there were. G needs the counts themselves: "
            "the same shares are more surprising in more draws.",
        ),
        Mistake(
            _shares_expected,
            "You divide counts by probabilities. What is expected is a count as well: all draws times the probability.",
        ),
        Mistake(
            _zero_log_zero,
            "0 · log 0 is NaN on a computer; here it is 0: a word that never came up contributes nothing. Leave such "
            "words out of the sum.",
        ),
        Mistake(
            _impossible_skipped,
            "You leave out words of probability 0 even if they came up. That is the worst that a sampler can do: inf.",
        ),
        Mistake(_in_bits, "Take the natural logarithm; yours is to base 2."),
        Mistake(_upside_down, "Observed and expected have changed places: G weighs log(O / E) by the observed counts."),
        Mistake(
            _chi_squared, "This is Pearson's chi-squared, a good test too; the exercise asks for G, with logarithms."
        ),
    ],
    tolerance=1e-4,
)


# -- 5.4 --------------------------------------------------------------------------------------------------------------


_ANY = 1e9  # a tolerance that makes `complaint_about` look at types only


def _law_of_two(probabilities: Tensor) -> Tensor:
    """(V,) -> (V, V): p_i p_j / (1 - p_i), and nothing on the diagonal."""
    p = probabilities.double() / probabilities.double().sum()
    pairs = p[:, None] * p[None, :] / (1 - p[:, None])
    return pairs.fill_diagonal_(0.0)


def _one(weights: list[float], u: float) -> int:
    """Where u, times the sum of the weights, falls."""
    goal, start = u * sum(weights), 0.0
    for id, weight in enumerate(weights):
        start += weight
        if goal < start:
            return id
    return max(id for id, weight in enumerate(weights) if weight)


def _u() -> float:
    return float(torch.rand((), dtype=torch.float64))


def _without(weights: list[float], gone: int) -> list[float]:
    return [0.0 if id == gone else weight for id, weight in enumerate(weights)]


def _with_replacement(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    return [_one(weights, _u()), _one(weights, _u())]


def _likeliest_of_the_rest(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    rest = _without(weights, first)
    return [first, max(range(len(rest)), key=rest.__getitem__)]


def _same_u_again(probabilities: Tensor) -> list[int]:
    weights, u = probabilities.tolist(), _u()
    first = _one(weights, u)
    return [first, _one(_without(weights, first), u)]


def _not_renormalised(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    rest = _without(weights, first)
    return [first, _one([*rest, 1 - sum(rest)], _u())] if sum(rest) < 1 else [first, _one(rest, _u())]


def _left_over_to_the_last(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    rest = _without(weights, first)
    u, last = _u(), max(id for id, weight in enumerate(rest) if weight)
    return [first, _one(rest, u / sum(rest)) if u < sum(rest) else last]


def _sorted_pair(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    return sorted([first, _one(_without(weights, first), _u())])


def _noisy_probabilities(probabilities: Tensor) -> list[int]:
    noise = _noise(torch.rand(len(probabilities), dtype=torch.float64))
    noisy = (probabilities + noise).masked_fill(probabilities == 0, -torch.inf)
    return [int(id) for id in noisy.topk(2).indices]


def _evenly(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    rest = [1.0 if weight else 0.0 for weight in _without(weights, first)]
    return [first, _one(rest, _u())]


draw_two = Draws(
    exercise="5.4",
    name="draw_two",
    reference=_law_of_two,
    cases=[
        {"probabilities": torch.tensor([0.5, 0.3, 0.2])},
        {"probabilities": torch.tensor([0.0, 0.1, 0.6, 0.3])},
    ],
    mistakes=[
        Mistake(
            _with_replacement, "These are two independent draws, which can give the same id twice. Remove the first."
        ),
        Mistake(
            _likeliest_of_the_rest,
            "Your second id is always the likeliest one that is left. It has to be drawn as well.",
        ),
        Mistake(
            _same_u_again,
            "Both ids come from the same random number, so that the second follows from the first. Draw a new number, "
            "or give each id noise of its own.",
        ),
        Mistake(
            _not_renormalised,
            "What remains after the first id sums to less than 1. Divide it by its sum before the second draw.",
        ),
        Mistake(
            _left_over_to_the_last,
            "What remains after the first id sums to less than 1, and the last id gets the share that is missing. "
            "Divide by the sum before the second draw.",
        ),
        Mistake(_sorted_pair, "The order is lost: the id that was drawn first comes first. Do not sort."),
        Mistake(
            _noisy_probabilities,
            "Gumbel noise belongs on logits, and the logarithms of the probabilities are some. On the probabilities "
            "themselves it drowns them.",
        ),
        Mistake(_evenly, "Your second id ignores the probabilities of what is left: it is drawn evenly."),
    ],
    draws=2000,
)
