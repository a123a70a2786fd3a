"""The exercises of notebook 05, and the mistakes that are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .checking import Case, Check, Mistake
from .comparing import Complaint, complaint_about, copy_of
from .distributions import Draws

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


def _left_side_or_end(probabilities: Tensor, u: float) -> int:
    return min(_left_side(probabilities, u), len(probabilities) - 1)


def _left_side_or_nothing(probabilities: Tensor, u: float) -> int | None:
    place = _left_side(probabilities, u)
    return place if place < len(probabilities) else None


def _left_side_or_error(probabilities: Tensor, u: float) -> int:
    return int(_exceeds(probabilities, u, False).nonzero()[0])


def _nothing_when_none(probabilities: Tensor, u: float) -> int | None:
    place = _past_the_end(probabilities, u)
    return place if place < len(probabilities) else None


def _error_when_none(probabilities: Tensor, u: float) -> int:
    return int(_exceeds(probabilities, u, True).nonzero()[0])


def _tested_before_adding(probabilities: Tensor, u: float) -> int | None:
    before = [sum(probabilities.tolist()[:id]) for id in range(len(probabilities))]
    return next((id for id, total in enumerate(before) if total > u), None)


def _tested_before_adding_or_end(probabilities: Tensor, u: float) -> int:
    id = _tested_before_adding(probabilities, u)
    return len(probabilities) - 1 if id is None else id


def _number_of_possible(probabilities: Tensor, u: float) -> int:
    return min(_past_the_end(probabilities, u), int((probabilities > 0).sum()) - 1)


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
        {"probabilities": torch.tensor([0.0, 0.5, 0.499, 0.0]), "u": 0.9995},
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
            "You take the first sum that reaches u (>=); the rule wants the first that exceeds it (>). (If you call "
            "torch.searchsorted: see its argument right.) And where no sum does, the answer is the last possible id.",
        ),
        Mistake(
            _left_side_or_last,
            "The end is right, but equality is not: a sum that is just u does not exceed it. The sign is >.",
        ),
        Mistake(
            _left_side_or_end,
            "Two things: a sum that is just u does not exceed it, for the sign is >. And where no sum exceeds u, the "
            "last id may have the probability 0: go back to one that is possible.",
        ),
        Mistake(
            _left_side_or_nothing,
            "Two things: a sum that is just u does not exceed it, for the sign is >. And where no sum exceeds u, an id "
            "has to be returned as well: the last possible one.",
        ),
        Mistake(
            _left_side_or_error,
            "Two things: a sum that is just u does not exceed it, for the sign is >. And where no sum exceeds u, your "
            "list of ids is empty: the answer there is the last possible one.",
        ),
        Mistake(
            _nothing_when_none,
            "Where rounding leaves every sum at or below u, nothing is returned. The answer there is the last id that "
            "is not impossible.",
        ),
        Mistake(
            _error_when_none,
            "Where rounding leaves every sum at or below u, there is no first one to take. The answer there is the "
            "last id that is not impossible.",
        ),
        Mistake(
            _tested_before_adding,
            "You compare u with the sum before this id's own probability is in it. Add first, then compare. And where "
            "no sum exceeds u, an id has to be returned as well.",
        ),
        Mistake(
            _tested_before_adding_or_end,
            "You compare u with the sum before this id's own probability is in it, and so come one id too late. Add "
            "first, then compare.",
        ),
        Mistake(
            _number_of_possible,
            "You count the ids that are possible. The last of them is not at that place if an impossible one comes "
            "before it: ask for its position.",
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
    """Of many ids, so that two wrong rules seldom choose the same; a fraction of them is removed."""
    V = 24
    logits = 2 * torch.randn(V, generator=generator)
    removed = torch.rand(V, generator=generator) < 0.3
    removed[int(torch.randint(0, V, (1,), generator=generator))] = False
    u = torch.rand(V, generator=generator, dtype=torch.float64).clamp(min=1e-9)
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


def _noise_alone(logits: Tensor, u: Tensor) -> int:
    return int(_noise(u).argmax())


def _mirrored(logits: Tensor, u: Tensor) -> int:
    return int((logits + _noise(1 - u)).argmax())


def _base_ten(logits: Tensor, u: Tensor) -> int:
    return int((logits - torch.log10(-torch.log10(u))).argmax())


def _plus_log(logits: Tensor, u: Tensor) -> int:
    return int((logits + torch.log(u)).argmax())


def _smallest(logits: Tensor, u: Tensor) -> int:
    return int((logits + _noise(u)).argmin())


_UNSTEADY = "another id in each call"  # stands for an outcome


class _FromItsArguments(Check):
    """The check of a function that may use no chance but what it is given."""

    def _outcome(self, function: Callable[..., Any], case: Case) -> Any:
        again = [super(_FromItsArguments, self)._outcome(function, copy_of(case)) for _ in range(9)]
        first = super()._outcome(function, case)
        return first if all(complaint_about(first, other, 0.0) is None for other in again) else _UNSTEADY

    def _compare(self, expected: Any, outcome: Any) -> Complaint | None:
        if outcome is not _UNSTEADY:
            return super()._compare(expected, outcome)
        sentence = "Called ten times with the same logits and the same u, it does not choose the same id each time."
        return Complaint(f"{sentence} Make the noise of u, and of nothing else.", kind="unsteady")


gumbel_max = _FromItsArguments(
    exercise="5.2",
    name="gumbel_max",
    reference=_race,
    cases=[
        {"logits": torch.tensor([2.0, 1.0, 0.0]), "u": torch.tensor([0.3, 0.8, 0.1])},
        {"logits": torch.tensor([2.0, -torch.inf, 0.0, 1.0]), "u": torch.tensor([0.02, 0.999, 0.6, 0.5])},
        {"logits": torch.tensor([3.0, 0.0]), "u": torch.tensor([0.5, 0.7])},
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
        Mistake(_noise_alone, "That is the largest noise: the logits have no part in it. Add the noise to them."),
        Mistake(
            _mirrored,
            "1 - u is as uniform as u, so that your draws have the right distribution; but with the given u another id "
            "is chosen. Use u itself.",
        ),
        Mistake(_base_ten, "Take natural logarithms, torch.log; yours are to base 10."),
        Mistake(
            _plus_log,
            "log u is one logarithm, and it is negative: it pulls words down and lifts none. Gumbel noise takes two, "
            "each with a minus sign before it.",
        ),
        Mistake(_smallest, "You choose the smallest sum; the largest wins."),
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


def _loop(counts: Tensor, probabilities: Tensor) -> float:
    n, G = int(counts.sum()), 0.0
    for seen, probability in zip(counts.tolist(), probabilities.tolist(), strict=True):
        if seen:
            G += 2 * seen * math.log(seen / (n * probability))
    return G


def _loop_over_all(counts: Tensor, probabilities: Tensor) -> float:
    n = int(counts.sum())
    pairs = zip(counts.tolist(), probabilities.tolist(), strict=True)
    return 2 * math.fsum(seen * math.log(seen / (n * probability)) for seen, probability in pairs)


def _ratio_upside_down(counts: Tensor, probabilities: Tensor) -> float:
    return -2 * _half(counts, probabilities)


def _n_is_the_number_of_words(counts: Tensor, probabilities: Tensor) -> float:
    return float(2 * _terms(counts.double(), probabilities * len(counts)).sum())


def _masked_by_probability(counts: Tensor, probabilities: Tensor) -> float:
    possible = probabilities > 0
    return float(2 * (counts * torch.log(counts / (probabilities * counts.sum())))[possible].sum())


def _any_impossible(counts: Tensor, probabilities: Tensor) -> float:
    return math.inf if bool((probabilities == 0).any()) else 2 * _half(counts, probabilities)


def _plain_chi_squared(counts: Tensor, probabilities: Tensor) -> float:
    expected = probabilities * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def _to_base_ten(counts: Tensor, probabilities: Tensor) -> float:
    return 2 * _half(counts, probabilities) / math.log(10)


def _tiny_added(counts: Tensor, probabilities: Tensor) -> float:
    expected = probabilities * counts.sum()
    return float(2 * (counts * torch.log((counts + 1e-9) / (expected + 1e-9))).sum())


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
        Mistake(
            _plain_chi_squared,
            "This is Pearson's chi-squared. The exercise asks for G, with logarithms, and care where 0 is expected.",
        ),
        Mistake(
            _loop,
            "A Python number cannot be divided by 0. Look whether the expectation is 0 first: if the word has come up "
            "nevertheless, G is math.inf.",
        ),
        Mistake(
            _loop_over_all,
            "Python's math.log refuses 0, and a Python number cannot be divided by 0. Leave out the words with a count "
            "of 0, and look whether the expectation is 0 first.",
        ),
        Mistake(
            _ratio_upside_down, "The ratio is upside down, so that G is negative: it is log(O / E), not log(E / O)."
        ),
        Mistake(
            _n_is_the_number_of_words,
            "n is the number of draws, which is the sum of the counts. You took the number of words.",
        ),
        Mistake(
            _masked_by_probability,
            "Your mask keeps the possible words; it should keep those that came up. A count of 0 gives NaN, and an "
            "impossible word that came up has to give inf.",
        ),
        Mistake(
            _any_impossible,
            "A word of probability 0 is no reason for inf by itself: only if it has come up all the same.",
        ),
        Mistake(_to_base_ten, "Take the natural logarithm; yours is to base 10."),
        Mistake(
            _tiny_added,
            "A small number added against the logarithm of 0 also hides the impossible: there G has to be inf. Leave "
            "out the words with a count of 0 instead.",
        ),
    ],
    tolerance=1e-4,
)


# -- 5.4 --------------------------------------------------------------------------------------------------------------


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


def _left_over_to_the_end(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    rest = _without(weights, first)
    u = _u()
    return [first, _one(rest, u / sum(rest)) if u < sum(rest) else len(rest) - 1]


def _sorted_pair(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    return sorted([first, _one(_without(weights, first), _u())])


def _noisy_probabilities(probabilities: Tensor) -> list[int]:
    noise = _noise(torch.rand(len(probabilities), dtype=torch.float64))
    return [int(id) for id in (probabilities + noise).topk(2).indices]


def _evenly(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    rest = [1.0 if weight else 0.0 for weight in _without(weights, first)]
    return [first, _one(rest, _u())]


def _both_again(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    pair = [0, 0]
    while pair[0] == pair[1]:
        pair = [_one(weights, _u()), _one(weights, _u())]
    return pair


def _cut_out(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    return [first, _one(weights[:first] + weights[first + 1 :], _u())]


def _softmax_of_the_rest(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    return [first, _one([math.exp(weight) for weight in _without(weights, first)], _u())]


def _softmax_without_the_first(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    return [first, _one([0.0 if id == first else math.exp(weight) for id, weight in enumerate(weights)], _u())]


def _last_first(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    first = _one(weights, _u())
    return [_one(_without(weights, first), _u()), first]


def _two_likeliest(probabilities: Tensor) -> list[int]:
    weights = probabilities.tolist()
    return sorted(range(len(weights)), key=lambda id: -weights[id])[:2]


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
        Mistake(
            _left_over_to_the_end,
            "What remains after the first id sums to less than 1, and the share that is missing goes to the last id, "
            "even if it is taken. Divide by the sum before the second draw.",
        ),
        Mistake(_sorted_pair, "The order is lost: the id that was drawn first comes first. Do not sort."),
        Mistake(
            _noisy_probabilities,
            "Gumbel noise belongs on logits, and the logarithms of the probabilities are some. On the probabilities "
            "themselves it drowns them.",
        ),
        Mistake(
            _both_again,
            "If the two are equal you draw both again, which makes the likely ids rarer as the first one than they "
            "should be. Keep the first, and draw the second again.",
        ),
        Mistake(
            _cut_out,
            "When the first id is cut out, the ids behind it move up by one place: your second is a place in the rest, "
            "and no id. Put 0 in its place instead.",
        ),
        Mistake(
            _softmax_of_the_rest,
            "A softmax of probabilities gives others, and e to the 0 is 1: the first id can come again. To renormalise "
            "is to divide by the sum.",
        ),
        Mistake(
            _softmax_without_the_first,
            "The softmax is for logits. Of probabilities it makes others, nearly equal ones; to renormalise is to "
            "divide by the sum.",
        ),
        Mistake(_last_first, "The two have changed places: the id that was drawn first comes first."),
        Mistake(
            _two_likeliest,
            "In every call these are the two likeliest ids. Draw both; and set no seed in the function, which makes "
            "all draws equal.",
        ),
        Mistake(_evenly, "Your second id ignores the probabilities of what is left: it is drawn evenly."),
    ],
    draws=2000,
)
