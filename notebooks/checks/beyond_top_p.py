"""The exercises of notebook 07, and the mistakes that are known."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from .checking import Case, Check, Mistake
from .words import WORDS

_GONE = -torch.inf
_MARGIN = 1e-3  # random cases where rounding could decide are not asked
_NINE = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])
_HALVES = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()  # surprises of 1, 2, 3 and 3 bits


def _only(logits: Tensor, ids: list[int]) -> Tensor:
    """Only these ids are left."""
    out = torch.full_like(logits, _GONE)
    for id in ids:
        out[id] = logits[id]
    return out


def _where(logits: Tensor, keep: Tensor) -> Tensor:
    return torch.where(keep, logits, torch.full_like(logits, _GONE))


def _shares(logits: Tensor) -> list[float]:
    """The probabilities of one row."""
    values = logits.double().tolist()
    weights = [math.exp(z - max(values)) for z in values]
    return [weight / math.fsum(weights) for weight in weights]


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))


def _some_row(generator: torch.Generator, scale: float, gone: float = 0.15) -> Tensor:
    """A row of which some ids are removed already, but never all."""
    row = scale * torch.randn(len(WORDS), generator=generator)
    lost = torch.rand(len(WORDS), generator=generator) < gone
    lost[int(torch.randint(len(WORDS), (1,), generator=generator))] = False
    return row.masked_fill(lost, _GONE)


# -- 7.1 --------------------------------------------------------------------------------------------------------------


def _by_probability(logits: Tensor, p: float) -> Tensor:
    """Row by row, from the definition."""
    rows = []
    for row in logits:
        shares = _shares(row)
        bar = p * max(shares) * (1 - 1e-9)
        rows.append([z if share >= bar else _GONE for z, share in zip(row.tolist(), shares, strict=True)])
    return torch.tensor(rows, dtype=logits.dtype)


def _min_p_case(generator: torch.Generator) -> Case:
    R, V = ((1, 9), (2, 9), (4, 4), (9, 9), (3, 6))[int(torch.randint(5, (1,), generator=generator))]
    p = (0.0, 1.0)[int(torch.randint(2, (1,), generator=generator))]
    if float(torch.rand(1, generator=generator)) < 0.8:
        p = round(10 ** _uniform(generator, -3.0, -0.1), 4)
    rows: list[Tensor] = []
    while len(rows) < R:
        row = (0.5, 2.0, 8.0)[int(torch.randint(3, (1,), generator=generator))] * torch.randn(V, generator=generator)
        if float(torch.rand(1, generator=generator)) < 0.3:
            row = row.round()  # equals
            row[int(torch.randint(V, (1,), generator=generator))] = _GONE
        gaps = row.double() - row.max()
        if p in (0.0, 1.0) or bool(((gaps - math.log(p)).abs() > _MARGIN).all()):
            rows.append(row)
    return {"logits": torch.stack(rows), "p": p}


def _floor(p: float) -> float:
    return math.log(p) if p > 0.0 else _GONE


def _best(logits: Tensor) -> Tensor:
    return logits.amax(dim=-1, keepdim=True)


def _absolute(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits.softmax(dim=-1) >= p)


def _share_of_the_logit(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits >= p * _best(logits))


def _p_below_the_best(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits >= _best(logits) - p)


def _minus_the_log(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits >= _best(logits) - _floor(p))


def _other_base(base: float) -> Callable[[Tensor, float], Tensor]:
    def rule(logits: Tensor, p: float) -> Tensor:
        return _where(logits, logits >= _best(logits) + _floor(p) / math.log(base))

    return rule


_base_two, _base_ten = _other_base(2.0), _other_base(10.0)
_base_two.__name__, _base_ten.__name__ = "_base_two", "_base_ten"


def _strictly_above(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits > _best(logits) + _floor(p))


def _best_of_the_batch(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits >= logits.max() + _floor(p))


def _without_keepdim(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits >= logits.amax(dim=-1) + _floor(p))


def _best_of_each_column(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits >= logits.amax(dim=0, keepdim=True) + _floor(p))


def _best_probability_of_the_batch(logits: Tensor, p: float) -> Tensor:
    shares = logits.double().softmax(dim=-1)
    return _where(logits, shares >= p * shares.max() * (1 - 1e-9))


def _probabilities_without_keepdim(logits: Tensor, p: float) -> Tensor:
    shares = logits.double().softmax(dim=-1)
    return logits.masked_fill(shares < p * shares.amax(dim=-1) * (1 - 1e-9), _GONE)


def _best_probability_of_each_column(logits: Tensor, p: float) -> Tensor:
    shares = logits.double().softmax(dim=-1)
    return _where(logits, shares >= p * shares.amax(dim=0, keepdim=True) * (1 - 1e-9))


def _p_below_the_best_probability(logits: Tensor, p: float) -> Tensor:
    shares = logits.double().softmax(dim=-1)
    return _where(logits, shares >= shares.amax(dim=-1, keepdim=True) - p)


def _nearly_zero(logits: Tensor, p: float) -> Tensor:
    return _by_probability(logits, max(p, 1e-9))


def _best_alone_at_zero(logits: Tensor, p: float) -> Tensor:
    return _by_probability(logits, p or 1.0)


def _one_best_at_one(logits: Tensor, p: float) -> Tensor:
    if p < 1.0:
        return _by_probability(logits, p)
    return torch.stack([_only(row, [int(row.argmax())]) for row in logits])


def _stops_at_zero(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits >= _best(logits) + math.log(p))


def _keeps_the_unlikely(logits: Tensor, p: float) -> Tensor:
    return _where(logits, logits < _best(logits) + _floor(p))


def _min_p_zeros(logits: Tensor, p: float) -> Tensor:
    return logits * (logits >= _best(logits) + _floor(p))


def _min_p_filled(logits: Tensor, p: float) -> Tensor:
    kept = logits >= _best(logits) + _floor(p)
    return torch.where(kept, logits, torch.zeros_like(logits))


def _min_p_probabilities(logits: Tensor, p: float) -> Tensor:
    return _by_probability(logits, p).softmax(dim=-1)


def _zeroed_probabilities(logits: Tensor, p: float) -> Tensor:
    return logits.softmax(dim=-1).masked_fill(logits < _best(logits) + _floor(p), 0.0)


def _min_p_log_probabilities(logits: Tensor, p: float) -> Tensor:
    return _where(logits.log_softmax(dim=-1), _by_probability(logits, p) > _GONE)


def _min_p_renormalised(logits: Tensor, p: float) -> Tensor:
    return _by_probability(logits, p).log_softmax(dim=-1)


def _masked_probabilities(logits: Tensor, p: float) -> Tensor:
    return logits.softmax(dim=-1).masked_fill(logits < _best(logits) + _floor(p), _GONE)


def _min_p_mask(logits: Tensor, p: float) -> Tensor:
    return logits >= _best(logits) + _floor(p)


def _min_p_in_place(logits: Tensor, p: float) -> Tensor:
    return logits.copy_(_by_probability(logits, p))


min_p = Check(
    exercise="7.1",
    name="min_p",
    reference=_by_probability,
    cases=[
        {"logits": torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3]]).log(), "p": 0.4},  # worked in the text
        {"logits": torch.tensor([[2.0, 2.0, 1.0, _GONE]]), "p": 1.0},
        {"logits": torch.tensor([[0.0, -200.0, 3.0, _GONE]]), "p": 0.0},
    ],
    random=_min_p_case,
    mistakes=[
        Mistake(
            _absolute,
            "You compare each probability with p itself. The bar is p times the probability of the best id of the row.",
        ),
        Mistake(
            _share_of_the_logit,
            "You take p times the best *logit*. The rule is about probabilities; a factor on a probability is a "
            "summand on a logit: its logarithm.",
        ),
        Mistake(_p_below_the_best, "Your bar is the best logit minus p. It lies at the best logit plus the log of p."),
        Mistake(
            _minus_the_log,
            "ln p is negative, and you subtract it: your bar lies above the best logit. Add it.",
        ),
        Mistake(_base_two, "Logits are natural logarithms, and you take that of p to base 2: use `math.log`."),
        Mistake(_base_ten, "Logits are natural logarithms, and you take that of p to base 10: use `math.log`."),
        Mistake(
            _strictly_above,
            "An id that just reaches the bar stays: at p = 1 that is the best one itself, with its equals.",
        ),
        Mistake(
            _best_of_the_batch,
            "You take the best logit of the whole batch, so that rows influence each other. Each row has its own.",
        ),
        Mistake(
            _without_keepdim,
            "Your bars have the shape (R,), which lines up with the words instead of the rows (and where R = V nobody "
            "complains). They need the shape (R, 1): keepdim=True.",
        ),
        Mistake(
            _best_probability_of_the_batch,
            "Your best probability is that of the whole batch, so that rows influence each other. Each has its own.",
        ),
        Mistake(
            _probabilities_without_keepdim,
            "Your best probabilities have the shape (R,), which lines up with the words instead of the rows (and where "
            "R = V nobody complains). They need the shape (R, 1): keepdim=True.",
        ),
        Mistake(
            _best_of_each_column,
            "You take the best of each column, over rows that have nothing to do with each other. Take that of each "
            "row: dim=-1.",
        ),
        Mistake(
            _best_probability_of_each_column,
            "You take the best probability of each column, over rows that have nothing to do with each other. Take "
            "that of each row: dim=-1.",
        ),
        Mistake(
            _p_below_the_best_probability,
            "Your bar is the best probability minus p. It is p *times* the best probability.",
        ),
        Mistake(
            _nearly_zero,
            "At p = 0 you still remove what is a billion times less likely than the best, or so. p = 0 keeps every id: "
            "give it a line of its own.",
        ),
        Mistake(
            _best_alone_at_zero,
            "p = 0 keeps every id, and you keep the best alone: no probability is below 0 times the best one.",
        ),
        Mistake(
            _one_best_at_one,
            "At p = 1 you keep a single id. All that are as likely as the best stay with it.",
        ),
        Mistake(
            _stops_at_zero,
            "`math.log(0)` stops with an error. p = 0 keeps every id: give it a line of its own.",
        ),
        Mistake(_keeps_the_unlikely, "Your mask is inverted: the ids below the bar go, the others stay."),
        Mistake(
            _min_p_zeros,
            "A product with a mask of truth values makes removed logits 0, and e^0 = 1 (and -inf times 0 is NaN). "
            "`masked_fill` puts -inf there.",
        ),
        Mistake(_min_p_filled, "A logit of 0 is not “removed”: e^0 = 1, so it may even gain. Use -inf."),
        Mistake(
            _min_p_probabilities,
            "You return probabilities. Return logits: the survivors as they were, so that another filter may follow.",
        ),
        Mistake(
            _zeroed_probabilities,
            "You return probabilities, with 0 for the removed. Return logits: the survivors as they were, and -inf.",
        ),
        Mistake(
            _min_p_log_probabilities,
            "You return log-probabilities. Decide by them if you like, but what stays keeps the logit that it had.",
        ),
        Mistake(
            _min_p_renormalised,
            "You renormalise. The softmax will do that when a word is drawn: what stays keeps the logit that it had.",
        ),
        Mistake(_masked_probabilities, "You mask the probabilities. Decide by them if you like, but mask the logits."),
        Mistake(_min_p_mask, "You return the mask. Return the logits, with -inf where the mask says that an id goes."),
        Mistake(
            _min_p_in_place,
            "Make a new tensor, by `masked_fill` (without the underscore) or `logits.clone()`, and change that one.",
        ),
    ],
    words=WORDS,
)


# -- 7.2 --------------------------------------------------------------------------------------------------------------


def _by_statistics(logits: Tensor, n: float) -> Tensor:
    """With the standard library's own standard deviation of a population."""
    values = logits.double().tolist()
    left = [z for z in values if z > -math.inf]
    bar = max(left) - n * statistics.pstdev(left) - 1e-6
    return _only(logits, [id for id, z in enumerate(values) if z >= bar and z > -math.inf])


def _sigma_case(generator: torch.Generator) -> Case:
    while True:
        scale = (0.5, 2.0, 20.0)[int(torch.randint(3, (1,), generator=generator))]
        gone = (0.0, 0.3, 0.8)[int(torch.randint(3, (1,), generator=generator))]
        logits = _some_row(generator, scale, gone)
        if float(torch.rand(1, generator=generator)) < 0.2:
            logits = logits.round()
        n = round(_uniform(generator, 0.3, 3.0), 2)
        if float(torch.rand(1, generator=generator)) < 0.1:
            n = 0.0
        left = logits[logits > _GONE].double()
        off = left - (left.max() - n * left.std(correction=0))
        if n == 0.0 or len(left) == 1 or bool((off.abs() > _MARGIN * scale).all()):
            return {"logits": logits, "n": n}


def _left(logits: Tensor) -> Tensor:
    return logits[logits > _GONE].double()


def _below_best(logits: Tensor, distance: float | Tensor) -> Tensor:
    return _where(logits, logits >= _left(logits).max() - distance - 1e-6)


def _over_everything(logits: Tensor, n: float) -> Tensor:
    return _where(logits, logits >= logits.max() - n * logits.std())


def _over_everything_population(logits: Tensor, n: float) -> Tensor:
    return _where(logits, logits >= logits.max() - n * logits.std(correction=0))


def _nan_removes_nothing(logits: Tensor, n: float) -> Tensor:
    return logits.masked_fill(logits < logits.max() - n * logits.double().std(), _GONE)


def _nan_removes_nothing_population(logits: Tensor, n: float) -> Tensor:
    return logits.masked_fill(logits < logits.max() - n * logits.double().std(correction=0), _GONE)


def _gone_as_zero(logits: Tensor, n: float) -> Tensor:
    return _below_best(logits, n * logits.masked_fill(logits == _GONE, 0.0).std())


def _gone_as_zero_population(logits: Tensor, n: float) -> Tensor:
    return _below_best(logits, n * logits.masked_fill(logits == _GONE, 0.0).std(correction=0))


def _sample_deviation(left: Tensor) -> Tensor:
    """What `std` makes of it, without its warning: NaN for a single number."""
    return (left - left.mean()).square().sum().div(len(left) - 1).sqrt()


def _unbiased(logits: Tensor, n: float) -> Tensor:
    return _where(logits, logits >= logits.max() - n * _sample_deviation(_left(logits)))


def _unbiased_but_for_one(logits: Tensor, n: float) -> Tensor:
    left = _left(logits)
    return logits if len(left) == 1 else _below_best(logits, n * left.std())


def _gone_as_a_billion(logits: Tensor, n: float) -> Tensor:
    return _below_best(logits, n * logits.masked_fill(logits == _GONE, -1e9).double().std(correction=0))


def _variance(logits: Tensor, n: float) -> Tensor:
    return _below_best(logits, n * _left(logits).var(correction=0))


def _below_the_mean(logits: Tensor, n: float) -> Tensor:
    left = _left(logits)
    return _where(logits, logits >= left.mean() - n * left.std(correction=0))


def _above_the_mean(logits: Tensor, n: float) -> Tensor:
    left = _left(logits)
    return _where(logits, logits >= left.mean() + n * left.std(correction=0))


def _of_probabilities(logits: Tensor, n: float) -> Tensor:
    shares = logits.double().softmax(dim=-1)
    return _where(logits, shares >= shares.max() - n * shares.std(correction=0))


def _weighted(logits: Tensor, n: float) -> Tensor:
    shares, values = logits.double().softmax(dim=-1), logits.double().masked_fill(logits == _GONE, 0.0)
    variance = (shares * (values - (shares * values).sum()).square()).sum()
    return _below_best(logits, n * variance.sqrt())


def _from_zero(logits: Tensor, n: float) -> Tensor:
    return _where(logits, logits >= n * _left(logits).std(correction=0))


def _near_the_mean(logits: Tensor, n: float) -> Tensor:
    left = _left(logits)
    return _where(logits, (logits - left.mean()).abs() <= n * left.std(correction=0))


def _without_n(logits: Tensor, n: float) -> Tensor:
    return _below_best(logits, _left(logits).std(correction=0))


def _strict_sigma(logits: Tensor, n: float) -> Tensor:
    return _where(logits, logits > _left(logits).max() - n * _left(logits).std(correction=0))


def _strict_but_for_the_best(logits: Tensor, n: float) -> Tensor:
    kept = _strict_sigma(logits, n)
    return torch.where(logits == logits.max(), logits, kept)


def _below_the_bar(logits: Tensor, n: float) -> Tensor:
    return _where(logits, logits < _left(logits).max() - n * _left(logits).std(correction=0))


def _only_the_finite(logits: Tensor, n: float) -> Tensor:
    kept = _by_statistics(logits, n)
    return kept[kept > _GONE]


def _sigma_zeros(logits: Tensor, n: float) -> Tensor:
    kept = _by_statistics(logits, n)
    return kept.masked_fill(kept == _GONE, 0.0)


def _sigma_probabilities(logits: Tensor, n: float) -> Tensor:
    return _by_statistics(logits, n).softmax(dim=-1)


def _sigma_in_place(logits: Tensor, n: float) -> Tensor:
    return logits.copy_(_by_statistics(logits, n))


top_n_sigma = Check(
    exercise="7.2",
    name="top_n_sigma",
    reference=_by_statistics,
    cases=[
        {"logits": torch.tensor([4.0, 2.0, 0.0, 4.0, 0.0, _GONE]), "n": 1.5},  # worked in the text
        {"logits": torch.tensor([4.0, 0.0, 4.0, 0.0, _GONE, _GONE]), "n": 1.9},
        {"logits": torch.tensor([_GONE, 2.0, _GONE, _GONE]), "n": 1.0},
        {"logits": torch.tensor([3.0, 1.0, 3.0, 2.9]), "n": 0.0},
        {"logits": torch.tensor([3.0, 1.0, _GONE]), "n": 2.0},  # exactly reaches the bar: nothing is rounded
    ],
    random=_sigma_case,
    mistakes=[
        Mistake(
            _over_everything,
            "A removed id is -inf, and the standard deviation of numbers among which there is an infinite one is NaN. "
            "Take it over the ids that are left. (And over n of them, not n - 1: correction=0.)",
        ),
        Mistake(
            _over_everything_population,
            "A removed id is -inf, and the standard deviation of numbers among which there is an infinite one is NaN: "
            "take it over the ids that are left.",
        ),
        Mistake(
            _nan_removes_nothing,
            "As soon as one id is removed already, nothing goes in yours: with -inf among the numbers, the standard "
            "deviation is NaN, and nothing is below NaN. Take it over the ids that are left. (And divide by their "
            "number, not by one less: correction=0.)",
        ),
        Mistake(
            _nan_removes_nothing_population,
            "As soon as one id is removed already, nothing goes in yours: with -inf among the numbers, the standard "
            "deviation is NaN, and nothing is below NaN. Take it over the ids that are left.",
        ),
        Mistake(
            _gone_as_zero,
            "You count removed ids as logits of 0. They do not exist any more: leave them out. (And `std` divides by "
            "one less than there are numbers, unless you say correction=0.)",
        ),
        Mistake(
            _gone_as_zero_population,
            "You count removed ids as logits of 0. They do not exist any more: leave them out.",
        ),
        Mistake(
            _unbiased,
            "`std` divides by one less than there are numbers; of a single number it makes 0 / 0, NaN. Here all "
            "numbers there are count, no sample of them: correction=0.",
        ),
        Mistake(
            _unbiased_but_for_one,
            "`std` divides by one less than there are numbers. Here all numbers there are count, no sample of them: "
            "correction=0.",
        ),
        Mistake(
            _gone_as_a_billion,
            "You count removed ids as logits of -1e9, and the standard deviation becomes enormous: nothing goes. "
            "Leave them out.",
        ),
        Mistake(_variance, "That is the variance. The standard deviation is its root."),
        Mistake(_below_the_mean, "You go down from the mean. The bar lies n deviations below the *best* logit."),
        Mistake(_above_the_mean, "You go up from the mean. The bar lies n deviations below the *best* logit."),
        Mistake(
            _of_probabilities,
            "You take best and deviation of the probabilities. This rule is about the logits themselves, without any "
            "softmax.",
        ),
        Mistake(
            _weighted,
            "You weigh each logit with its probability. In this standard deviation every id that is left counts once.",
        ),
        Mistake(_from_zero, "Your bar is n deviations above 0. It lies n deviations below the *best* logit."),
        Mistake(
            _near_the_mean,
            "You keep what is near the mean, and so the best may go. The distance that counts is that to the *best* "
            "logit.",
        ),
        Mistake(_without_n, "Your bar lies one standard deviation below the best, whatever n is: multiply by n."),
        Mistake(
            _strict_sigma,
            "An id that just reaches the bar stays: with n = 0, or with one id left, that is the best one itself.",
        ),
        Mistake(_strict_but_for_the_best, "An id that just reaches the bar stays: compare with >= (or remove with <)."),
        Mistake(_below_the_bar, "Your mask is inverted: the ids below the bar go, the others stay."),
        Mistake(
            _only_the_finite,
            "You return the survivors alone. Return all V places, in the order of the ids, with -inf for the others.",
        ),
        Mistake(_sigma_zeros, "A logit of 0 is not “removed”: e^0 = 1, so it may even gain. Use -inf."),
        Mistake(
            _sigma_probabilities,
            "You return probabilities. Return logits: the survivors as they were, so that another filter may follow.",
        ),
        Mistake(
            _sigma_in_place,
            "Make a new tensor, by `masked_fill` (without the underscore) or `logits.clone()`, and change that one.",
        ),
    ],
    words=WORDS,
)


# -- 7.3 --------------------------------------------------------------------------------------------------------------


def _surprises(shares: list[float]) -> list[float]:
    return [-math.log(share) if share > 0 else math.inf for share in shares]


def _average(shares: list[float]) -> float:
    return math.fsum(-share * math.log(share) for share in shares if share > 0)


def _distances(logits: Tensor) -> list[float]:
    """How far each surprise lies from the entropy, in nats, rounded so that equals are equal."""
    shares = _shares(logits)
    return [round(abs(surprise - _average(shares)), 9) for surprise in _surprises(shares)]


def _in_order(logits: Tensor, keys: list[float], mass: float, beyond: int = 1, at_equality: bool = False) -> Tensor:
    """The first ids by these keys, ties by id, until their sum reaches the mass, and `beyond` - 1 more."""
    if mass == 1:
        return logits
    shares, order = _shares(logits), sorted(range(len(logits)), key=lambda id: (keys[id], id))
    short, total = 0, 0.0
    for id in order:
        total += shares[id]
        reached = total > mass + 1e-9 if at_equality else total >= mass - 1e-9
        short += not reached
    return _only(logits, order[: max(short + beyond, 0)])


def _typical(logits: Tensor, mass: float) -> Tensor:
    return _in_order(logits, _distances(logits), mass)


def _typical_case(generator: torch.Generator) -> Case:
    while True:
        kind = int(torch.randint(6, (1,), generator=generator))
        if kind == 0:  # equals and nothing else: every sum is exact
            n = 2 ** int(torch.randint(1, 4, (1,), generator=generator))
            logits = torch.full((len(WORDS),), _GONE)
            logits[torch.randperm(len(WORDS), generator=generator)[:n]] = 1.5
            return {"logits": logits, "mass": int(torch.randint(1, n, (1,), generator=generator)) / n}
        logits = _some_row(generator, (0.5, 1.0, 2.0, 5.0)[kind % 4])
        if kind == 5:
            logits = logits.round()
        mass = round(_uniform(generator, 0.05, 0.99), 3)
        if float(torch.rand(1, generator=generator)) < 0.1:
            mass = 1.0
        if _certain(logits, mass):
            return {"logits": logits, "mass": mass}


def _certain(logits: Tensor, mass: float) -> bool:
    """Whether neither an order nor a sum is so near that rounding could decide."""
    shares, keys = _shares(logits), _distances(logits)
    ranked = sorted((key, z) for key, z in zip(keys, logits.tolist(), strict=True) if key < math.inf)
    near = any(b[0] - a[0] < _MARGIN and a[1] != b[1] for a, b in itertools.pairwise(ranked))
    total, sums = 0.0, []
    for id in sorted(range(len(logits)), key=lambda id: (keys[id], id)):
        total += shares[id]
        sums.append(total)
    return not near and (mass == 1.0 or all(abs(one - mass) > _MARGIN for one in sums))


def _likeliest_first(logits: Tensor, mass: float) -> Tensor:
    return _in_order(logits, [-share for share in _shares(logits)], mass)


def _least_typical_first(logits: Tensor, mass: float) -> Tensor:
    return _in_order(logits, [-key if key < math.inf else 0.0 for key in _distances(logits)], mass)


def _without_abs(logits: Tensor, mass: float) -> Tensor:
    shares = _shares(logits)
    return _in_order(logits, [_average(shares) - surprise for surprise in _surprises(shares)], mass)


def _mixed_units(logits: Tensor, mass: float) -> Tensor:
    shares = _shares(logits)
    return _in_order(logits, [abs(s / math.log(2) - _average(shares)) for s in _surprises(shares)], mass)


def _probability_against_entropy(logits: Tensor, mass: float) -> Tensor:
    shares = _shares(logits)
    return _in_order(logits, [abs(share - _average(shares)) for share in shares], mass)


def _entropy_in_bits(logits: Tensor, mass: float) -> Tensor:
    shares = _shares(logits)
    return _in_order(logits, [abs(s - _average(shares) / math.log(2)) for s in _surprises(shares)], mass)


def _near_in_probability(logits: Tensor, mass: float) -> Tensor:
    shares = _shares(logits)
    typical = math.exp(-_average(shares))
    return _in_order(logits, [abs(share - typical) if share else math.inf for share in shares], mass)


def _logits_for_log_probabilities(logits: Tensor, mass: float) -> Tensor:
    expected = _average(_shares(logits))
    return _in_order(logits, [round(abs(-z - expected), 6) for z in logits.double().tolist()], mass)


def _plain_mean(logits: Tensor, mass: float) -> Tensor:
    surprises = _surprises(_shares(logits))
    finite = [surprise for surprise in surprises if surprise < math.inf]
    return _in_order(logits, [abs(s - math.fsum(finite) / len(finite)) for s in surprises], mass)


def _drops_the_crossing(logits: Tensor, mass: float) -> Tensor:
    return _in_order(logits, _distances(logits), mass, beyond=0)


def _one_more_at_equality(logits: Tensor, mass: float) -> Tensor:
    return _in_order(logits, _distances(logits), mass, at_equality=True)


def _keeps_the_best(logits: Tensor, mass: float) -> Tensor:
    kept = _typical(logits, mass).clone()
    kept[logits.argmax()] = logits.max()
    return kept


def _ranks_as_ids(logits: Tensor, mass: float) -> Tensor:
    many = int((_typical(logits, mass) > _GONE).sum())
    return logits if mass == 1 else _only(logits, list(range(many)))


def _ranks_as_ids_short(logits: Tensor, mass: float) -> Tensor:
    keys, shares = _distances(logits), _shares(logits)
    order = sorted(range(len(logits)), key=lambda id: (keys[id], id))
    sums = itertools.accumulate(shares[id] for id in order)
    return logits if mass == 1 else _only(logits, [place for place, total in enumerate(sums) if total <= mass + 1e-9])


def _order_twice(logits: Tensor, mass: float) -> Tensor:
    keys, many = _distances(logits), int((_typical(logits, mass) > _GONE).sum())
    order = sorted(range(len(logits)), key=lambda id: (keys[id], id))
    return logits if mass == 1 else _only(logits, [id for id, place in enumerate(order) if place < many])


def _left_in_order(logits: Tensor, mass: float) -> Tensor:
    keys = _distances(logits)
    order = sorted(range(len(logits)), key=lambda id: (keys[id], id))
    return logits if mass == 1 else _typical(logits, mass)[order]


def _unsorted_sum(logits: Tensor, mass: float) -> Tensor:
    return _in_order(logits, [float(id) for id in range(len(logits))], mass)


def _nan_entropy(logits: Tensor, mass: float) -> Tensor:
    shares = logits.softmax(dim=-1)
    expected = -(shares * shares.log()).sum()  # NaN as soon as one probability is 0
    if mass == 1 or not bool(expected.isnan()):
        return _typical(logits, mass)
    return _unsorted_sum(logits, mass)


def _higher_of_equals(logits: Tensor, mass: float) -> Tensor:
    return _typical(logits.flip(0), mass).flip(0)


def _all_equals(logits: Tensor, mass: float) -> Tensor:
    keys = _distances(logits)
    kept = (_typical(logits, mass) > _GONE).tolist()
    worst = max(key for key, stays in zip(keys, kept, strict=True) if stays)
    return logits if mass == 1 else _only(logits, [id for id, key in enumerate(keys) if key <= worst])


def _typical_zeros(logits: Tensor, mass: float) -> Tensor:
    kept = _typical(logits, mass)
    return kept.masked_fill(kept == _GONE, 0.0)


def _typical_probabilities(logits: Tensor, mass: float) -> Tensor:
    return _typical(logits, mass).softmax(dim=-1)


def _typical_log_probabilities(logits: Tensor, mass: float) -> Tensor:
    return _where(logits.log_softmax(dim=-1), _typical(logits, mass) > _GONE)


def _typical_renormalised(logits: Tensor, mass: float) -> Tensor:
    return _typical(logits, mass).log_softmax(dim=-1)


def _typical_in_place(logits: Tensor, mass: float) -> Tensor:
    return logits.copy_(_typical(logits, mass))


def _everything_goes_on(logits: Tensor, mass: float) -> Tensor:
    """Right but for mass = 1, where a rounded sum reaches 1 early."""
    keys = _distances(logits)
    order = sorted(range(len(logits)), key=lambda id: (keys[id], id))
    sums = logits.softmax(dim=-1)[order].cumsum(dim=-1)
    return _typical(logits, mass) if mass < 1 else _only(logits, order[: 1 + int((sums < mass).sum())])


def _short_at_one(function: Callable[[Tensor, float], Tensor], hint: str) -> Mistake:
    """The same mistake by readers for whom mass = 1 is nothing special: a rounded sum reaches 1 early."""

    def both(logits: Tensor, mass: float) -> Tensor:
        return function(logits, min(mass, 1.0 - 1e-7))

    both.__name__ = f"{function.__name__}_short_at_one"
    return Mistake(both, f"{hint} Then give mass = 1 a line of its own: a rounded sum reaches 1 before the last ids.")


typical_p = Check(
    exercise="7.3",
    name="typical_p",
    reference=_typical,
    cases=[
        {"logits": _HALVES, "mass": 0.2},  # worked in the text
        {"logits": _HALVES, "mass": 0.7},  # too
        {"logits": torch.tensor([0.97, 0.02, 0.01]).log(), "mass": 0.5},
        {"logits": torch.tensor([0.3, 0.22] + [0.48 / 7] * 7).log(), "mass": 0.28},
        {"logits": torch.tensor([_GONE, 1.0, _GONE, 1.0, 1.0, _GONE, _GONE, 1.0, _GONE]), "mass": 0.5},
        {"logits": torch.tensor([0.0, 1.0, 60.0, 0.5, 0.0, -1.0, -2.0, -3.0, -4.0]), "mass": 1.0},
    ],
    random=_typical_case,
    mistakes=[
        Mistake(
            _likeliest_first,
            "You take the likeliest ids first: that is top-p. Typical ids have a surprise near the entropy: sort by "
            "the distance between -ln p and H. (Is the sign of one of the two wrong?)",
        ),
        Mistake(
            _least_typical_first,
            "You take the ids first that lie farthest from the entropy. The nearest come first: sort ascending.",
        ),
        Mistake(
            _without_abs,
            "Your distance has a sign, so that what is rarer than expected comes first, or last. It counts to both "
            "sides: take the absolute value.",
        ),
        Mistake(
            _mixed_units,
            "You compare bits with nats: surprise and entropy need the same logarithm.",
        ),
        Mistake(
            _entropy_in_bits,
            "You compare nats with bits: surprise and entropy need the same logarithm.",
        ),
        Mistake(
            _near_in_probability,
            "You compare p with the exponential of -H. The rule compares their logarithms: -ln p with H.",
        ),
        Mistake(
            _logits_for_log_probabilities,
            "You take the logits for log-probabilities. In the example they are; in general `log_softmax` makes them.",
        ),
        Mistake(
            _probability_against_entropy,
            "You compare a probability with the entropy. It is the surprise, -ln p, that is compared.",
        ),
        Mistake(
            _plain_mean,
            "Your average surprise counts each id once. The entropy weighs each with its probability.",
        ),
        Mistake(
            _drops_the_crossing,
            "You drop the id with which the sum reaches the mass. It stays, so at least one id always does.",
        ),
        Mistake(
            _one_more_at_equality,
            "Nearly: where a sum equals the mass exactly, you keep one more. At least the mass is enough.",
        ),
        Mistake(
            _keeps_the_best,
            "You keep the likeliest id in any case. Here it may go: where it is far from typical, it does.",
        ),
        Mistake(
            _ranks_as_ids,
            "Your mask is about places in the order, and you lay it over ids. Translate places back into ids.",
        ),
        Mistake(
            _ranks_as_ids_short,
            "Two things: your mask is about places in the order, and you lay it over ids; and the one that reaches the "
            "mass stays, too. Count the sums below the mass, n, and keep the first n + 1 ids of the order.",
        ),
        Mistake(
            _order_twice,
            "Your mask is about places in the order, and indexing it with the order does not lead back to ids. "
            "`mask.scatter(0, order, stays)` does, or write to the places `order[: n + 1]` of a new tensor.",
        ),
        Mistake(
            _left_in_order,
            "You return the logits in the order of their distances, so they belong to other words. Put them back where "
            "they came from.",
        ),
        Mistake(_unsorted_sum, "You sum in the order of the ids. Sort first: the most typical id comes first."),
        Mistake(
            _nan_entropy,
            "A removed id makes your entropy NaN: 0 times -inf. It adds nothing: use `torch.special.entr`, or put a 0 "
            "there with `torch.where`.",
        ),
        Mistake(
            _higher_of_equals,
            "Of ids that are equally typical you keep the higher ones. The lower come first: stable=True.",
        ),
        Mistake(
            _all_equals,
            "You keep every id that is as typical as the last one, which can be more than needed. The set is the "
            "smallest: of equals the lower ids stay.",
        ),
        Mistake(_typical_zeros, "A logit of 0 is not “removed”: e^0 = 1, so it may even gain. Use -inf."),
        Mistake(
            _typical_probabilities,
            "You return probabilities. Return logits: the survivors as they were, so that another filter may follow.",
        ),
        Mistake(
            _typical_log_probabilities,
            "You return log-probabilities. Decide by them, but what stays keeps the logit that it had.",
        ),
        Mistake(
            _typical_renormalised,
            "You renormalise. The softmax will do that when a word is drawn: what stays keeps the logit that it had.",
        ),
        Mistake(
            _typical_in_place,
            "Make a new tensor, by `torch.full_like` or `logits.clone()`, and change that one.",
        ),
        _short_at_one(_likeliest_first, "You take the likeliest ids first: that is top-p. Is a sign wrong?"),
        _short_at_one(_nan_entropy, "A removed id makes your entropy NaN, 0 times -inf: use `torch.special.entr`."),
        _short_at_one(_ranks_as_ids, "Your mask is about places in the order, and you lay it over ids."),
        _short_at_one(_left_in_order, "You return the logits in the order of their distances: put them back."),
        _short_at_one(_all_equals, "You keep every id that is as typical as the last one. Of equals the lower stay."),
        _short_at_one(_higher_of_equals, "Of ids that are equally typical the lower come first: stable=True."),
        Mistake(
            _everything_goes_on,
            "Right but for mass = 1: a rounded sum reaches 1 before the last ids, and they are lost. Give it a line of "
            "its own.",
        ),
    ],
    words=WORDS,
)


# -- 7.4 --------------------------------------------------------------------------------------------------------------

_Answer = tuple[list[int], float]


def _bits(logits: Tensor) -> list[float]:
    return [surprise / math.log(2) for surprise in _surprises(_shares(logits))]


def _favourite(logits: Tensor) -> int:
    return max(range(len(logits)), key=lambda id: (float(logits[id]), -id))


def _allowed(logits: Tensor, mu: float) -> list[int]:
    return [id for id, bits in enumerate(_bits(logits)) if bits <= mu] or [_favourite(logits)]


def _thermostat(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), mu - eta * (_bits(logits)[chosen] - tau)


def _mirostat_case(generator: torch.Generator) -> Case:
    while True:
        logits = _some_row(generator, (0.5, 2.0, 4.0)[int(torch.randint(3, (1,), generator=generator))])
        mu = round(_uniform(generator, 0.0, 9.0), 2)
        if all(abs(bits - mu) > _MARGIN for bits in _bits(logits)):
            kept = _allowed(logits, mu)
            return {
                "logits": logits,
                "mu": mu,
                "chosen": kept[int(torch.randint(len(kept), (1,), generator=generator))],
                "tau": round(_uniform(generator, 0.5, 5.0), 1),
                "eta": round(_uniform(generator, 0.05, 1.0), 2),
            }


def _in_nats(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    surprises = _surprises(_shares(logits))
    kept = [id for id, nats in enumerate(surprises) if nats <= mu] or [_favourite(logits)]
    return kept, mu - eta * (surprises[chosen] - tau)


def _in_nats_and_empty(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    surprises = _surprises(_shares(logits))
    kept = [id for id, nats in enumerate(surprises) if nats <= mu]
    return kept, mu - eta * (surprises[chosen] - tau)


def _after_truncation(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    kept = _allowed(logits, mu)
    return kept, mu - eta * (_bits(_only(logits, kept))[chosen] - tau)


def _wrong_sign(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), mu + eta * (_bits(logits)[chosen] - tau)


def _removes_the_likely(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    kept = [id for id, bits in enumerate(_bits(logits)) if bits >= mu]
    return kept, mu - eta * (_bits(logits)[chosen] - tau)


def _may_be_empty(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    kept = [id for id, bits in enumerate(_bits(logits)) if bits <= mu]
    return kept, mu - eta * (_bits(logits)[chosen] - tau)


def _everything_instead(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    kept, new = _may_be_empty(logits, mu, chosen, tau, eta)
    return kept or list(range(len(logits))), new


def _all_of_the_best(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    kept, new = _may_be_empty(logits, mu, chosen, tau, eta)
    return kept or (logits == logits.max()).nonzero()[:, 0].tolist(), new


def _last_of_the_best(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    kept, new = _may_be_empty(logits, mu, chosen, tau, eta)
    return kept or (logits == logits.max()).nonzero()[-1].tolist(), new


def _learns_first(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    new = mu - eta * (_bits(logits)[chosen] - tau)
    return _allowed(logits, new), new


def _tau_not_scaled(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), mu - eta * _bits(logits)[chosen] - tau


def _bound_is_tau(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, tau), mu - eta * (_bits(logits)[chosen] - tau)


def _by_expectation(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    expected = _average(_shares(logits)) / math.log(2)
    return _allowed(logits, mu), mu - eta * (expected - tau)


def _from_mu(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), mu - eta * (_bits(logits)[chosen] - mu)


def _from_two_tau(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), 2 * tau - eta * (_bits(logits)[chosen] - tau)


def _without_softmax(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    bits = [-z / math.log(2) for z in logits.tolist()]
    kept = [id for id, one in enumerate(bits) if one <= mu] or [_favourite(logits)]
    return kept, mu - eta * (bits[chosen] - tau)


def _from_tau(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), tau - eta * (_bits(logits)[chosen] - tau)


def _by_probability_of_the_choice(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), mu - eta * (_shares(logits)[chosen] - tau)


def _without_eta(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), mu - (_bits(logits)[chosen] - tau)


def _never_below_zero(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), max(0.0, mu - eta * (_bits(logits)[chosen] - tau))


def _only_the_change(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), -eta * (_bits(logits)[chosen] - tau)


def _likeliest_ids_first(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    kept, new = _thermostat(logits, mu, chosen, tau, eta)
    return sorted(kept, key=lambda id: -float(logits[id])), new


def _nats_for_the_set(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    kept, _ = _in_nats(logits, mu, chosen, tau, eta)
    return kept, mu - eta * (_bits(logits)[chosen] - tau)


def _nats_for_mu(logits: Tensor, mu: float, chosen: int, tau: float, eta: float) -> _Answer:
    return _allowed(logits, mu), mu - eta * (_surprises(_shares(logits))[chosen] - tau)


mirostat_step = Check(
    exercise="7.4",
    name="mirostat_step",
    reference=_thermostat,
    cases=[
        {"logits": _HALVES, "mu": 2.5, "chosen": 1, "tau": 1.5, "eta": 0.1},  # worked in the text
        {"logits": _HALVES, "mu": 0.2, "chosen": 0, "tau": 0.5, "eta": 0.5},
        {"logits": torch.tensor([0.0, 1.0, 1.0, _GONE]), "mu": 0.5, "chosen": 1, "tau": 2.0, "eta": 0.25},
        {"logits": _NINE, "mu": 6.5, "chosen": 4, "tau": 3.0, "eta": 0.5},
    ],
    random=_mirostat_case,
    mistakes=[
        Mistake(_in_nats, "Your surprises are in nats. Mirostat counts bits: -log2 p, or nats divided by ln 2."),
        Mistake(
            _in_nats_and_empty,
            "Your surprises are in nats. Mirostat counts bits: -log2 p, or nats divided by ln 2. Then look at a bound "
            "that no id is within: the likeliest one stays in any case.",
        ),
        Mistake(
            _nats_for_the_set,
            "mu is right, but the ids are chosen by a surprise in nats. Both need bits: -log2 p.",
        ),
        Mistake(
            _nats_for_mu,
            "The ids are right, but mu moves by a surprise in nats. Both need bits: -log2 p.",
        ),
        Mistake(
            _after_truncation,
            "You take the surprise after the truncation, renormalised among the ids that are kept, as some programs "
            "do. Here, as in the paper's code, it is the one that the model gave: of the logits as they came.",
        ),
        Mistake(
            _wrong_sign,
            "mu moves the wrong way: a choice that surprised more than tau should lower it, or the text runs away.",
        ),
        Mistake(_removes_the_likely, "You keep what surprises more than mu. It is the other way round: s <= mu stays."),
        Mistake(
            _may_be_empty,
            "Where even the likeliest id surprises more than mu, you keep nothing, and nothing can be drawn. The "
            "likeliest one stays in any case.",
        ),
        Mistake(
            _everything_instead,
            "Where even the likeliest id surprises more than mu, you keep everything. The likeliest one alone stays.",
        ),
        Mistake(
            _all_of_the_best,
            "Where even the likeliest id surprises more than mu, you keep all that are as likely. Of equals only the "
            "lowest id stays.",
        ),
        Mistake(
            _last_of_the_best,
            "Where even the likeliest id surprises more than mu, one id stays, of equals the lowest; yours is the "
            "highest.",
        ),
        Mistake(
            _learns_first,
            "You truncate with the new mu, but it follows from the choice, which was drawn from the truncated ids. "
            "The old mu decides what is kept.",
        ),
        Mistake(_tau_not_scaled, "Brackets: eta multiplies the whole difference, eta * (s - tau)."),
        Mistake(
            _bound_is_tau,
            "You keep what surprises at most tau. tau is the aim for the mean; the bound of this step is mu.",
        ),
        Mistake(
            _by_expectation,
            "You compare tau with the entropy, the surprise to be expected. It is the surprise of the id that was "
            "chosen.",
        ),
        Mistake(_from_mu, "You compare the surprise with mu. The error is its difference from the aim, tau."),
        Mistake(_from_two_tau, "You begin at 2 tau in every step. The new mu is the old one, corrected."),
        Mistake(
            _without_softmax,
            "You take the logits for log-probabilities. In the example they are; in general `log_softmax` makes them.",
        ),
        Mistake(_from_tau, "You begin at tau. The new mu is the old one, corrected."),
        Mistake(
            _by_probability_of_the_choice,
            "You compare the probability of the choice with tau. Its surprise is wanted: -log2 p.",
        ),
        Mistake(_without_eta, "mu jumps by the whole error. eta says how much of it: multiply."),
        Mistake(
            _never_below_zero,
            "You stop mu at 0. It may go below: then only the likeliest id stays until it has risen again.",
        ),
        Mistake(
            _only_the_change, "You return the change of mu. Return the new mu itself: the old one plus the change."
        ),
        Mistake(_likeliest_ids_first, "The right ids, but in the order of their logits. List them in ascending order."),
    ],
    words=WORDS,
)
