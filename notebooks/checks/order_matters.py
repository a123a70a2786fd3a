"""The exercises of notebook 09, and the mistakes that are known."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from decoding import LogitBias, MinP, Processor, Temperature, TopK, TopNSigma, TopP, TypicalP

from .checking import Case, Check, Mistake
from .comparing import Complaint, complaint_about
from .words import WORDS

_GONE = -torch.inf
_MARGIN = 1e-4  # random cases where rounding could decide are not asked
_ANY = 1e9  # a tolerance with which every number is right

Rule = Callable[[Tensor], Tensor]


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _one_of(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))


# -- 9.1 --------------------------------------------------------------------------------------------------------------


def _two_distributions(generator: torch.Generator) -> Case:
    pair = (2 * torch.randn(2, len(WORDS), generator=generator)).softmax(dim=-1)  # (2, V)
    pair[torch.rand(2, len(WORDS), generator=generator) < 0.2] = 0.0
    pair[:, _one_of(len(WORDS), generator)] += 0.1  # so that something is left
    pair = pair / pair.sum(dim=-1, keepdim=True)
    return {"p": pair[0], "q": pair[1]}


def _risen(p: Tensor, q: Tensor) -> Tensor:
    """What arrives is as much as what leaves."""
    return torch.relu(p - q).sum()


def _in_place_distance(p: Tensor, q: Tensor) -> float:
    return float(p.sub_(q).abs().sum()) / 2


total_variation = Check(
    exercise="9.1",
    name="total_variation",
    reference=lambda p, q: float(_risen(p, q)),
    cases=[
        {"p": torch.tensor([0.5, 0.3, 0.2]), "q": torch.tensor([0.2, 0.3, 0.5])},  # worked in the text
        {"p": torch.tensor([0.5, 0.3, 0.1, 0.1]), "q": torch.tensor([0.5, 0.1, 0.2, 0.2])},
        {"p": torch.tensor([1.0, 0.0, 0.0]), "q": torch.tensor([0.0, 0.5, 0.5])},
    ],
    random=_two_distributions,
    mistakes=[
        Mistake(
            lambda p, q: 2 * float(_risen(p, q)),
            "The half is missing: what is moved is counted twice, where it leaves and where it arrives.",
        ),
        Mistake(
            lambda p, q: float(_risen(p, q)) / 2,
            "That is half of it. Either all differences, halved, or only the positive ones, whole.",
        ),
        Mistake(
            lambda p, q: float((p - q).sum().abs()) / 2,
            "Differences of both signs cancel, so this is always 0. Take the sum of the absolute values, not the "
            "absolute value of the sum.",
        ),
        Mistake(
            lambda p, q: float((p - q).abs().sum() // 2),
            "`//` rounds down to a whole number. Halve with `/`.",
        ),
        Mistake(
            lambda p, q: float((p - q).abs().max()),
            "That is the largest difference of a single id. Many small ones count as well: sum them all.",
        ),
        Mistake(
            lambda p, q: float((p - q).abs().mean()),
            "A mean depends on how many ids there are. It is half of the sum.",
        ),
        Mistake(
            lambda p, q: float((p - q).abs().mean()) / 2,
            "You halve a mean, which depends on how many ids there are. Halve the sum.",
        ),
        Mistake(
            lambda p, q: float((p - q).square().sum()) / 2,
            "Squares make small differences smaller still. Take absolute values.",
        ),
        Mistake(
            lambda p, q: float((p - q).square().sum()),
            "That is a sum of squares. Take absolute values, and half of their sum.",
        ),
        Mistake(
            lambda p, q: float((p - q).norm()),
            "`norm` is the root of a sum of squares, unless told otherwise. Take absolute values.",
        ),
        Mistake(
            lambda p, q: float((p - q).norm()) / 2,
            "`norm` is the root of a sum of squares, unless told otherwise. The half is right: of absolute values.",
        ),
        Mistake(
            lambda p, q: float(torch.minimum(p, q).sum()),
            "That is what the two have in common. The distance is the rest: 1 minus that.",
        ),
        Mistake(
            lambda p, q: float(_risen(p.softmax(dim=-1), q.softmax(dim=-1))),
            "They are probabilities already, no logits: no softmax here.",
        ),
        Mistake(
            lambda p, q: float((p * (p / q).log()).sum()),
            "That is the Kullback-Leibler divergence, another measure: infinite or NaN where a probability is 0.",
        ),
        Mistake(
            lambda p, q: float((p.log() - q.log()).abs().sum()) / 2,
            "You compare logarithms, which are infinite where a probability is 0. Compare the probabilities.",
        ),
        Mistake(lambda p, q: _risen(p, q), "The number is right, but still a tensor: `.item()` or `float(...)`."),
        Mistake(
            _in_place_distance,
            "`sub_`, `-=` and the like write into p. Make a new tensor: p - q.",
        ),
    ],
    words=WORDS,
)


# -- 9.2 --------------------------------------------------------------------------------------------------------------


class _Written:
    """A processor that a check shows as one writes it."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.__name__ = repr(processor)

    def __call__(self, logits: Tensor) -> Tensor:
        return self.processor(logits)


_RULES = [
    _Written(processor)
    for processor in (
        Temperature(0.5),
        Temperature(2),
        TopK(2),
        TopK(4),
        TopP(0.8),
        MinP(0.1),
        TopNSigma(1),
        TypicalP(0.8),
        LogitBias({0: 2.0}),
    )
]


def _two_rules(generator: torch.Generator) -> Case:
    f, g = (_RULES[int(place)] for place in torch.randperm(len(_RULES), generator=generator)[:2])
    rows = 2 * torch.randn(1 + _one_of(6, generator), len(WORDS), generator=generator)
    return {"f": f, "g": g, "rows": rows}


def _shares(first: Rule, second: Rule, rows: Tensor, dim: int = -1) -> Tensor:
    return torch.softmax(second(first(rows)), dim)


def _moved(f: Rule, g: Rule, rows: Tensor) -> Tensor:
    """The distance of each row, (R,)."""
    return torch.relu(_shares(f, g, rows) - _shares(g, f, rows)).sum(dim=-1)


def _of_columns(f: Rule, g: Rule, rows: Tensor) -> float:
    gap = _shares(f, g, rows, 0) - _shares(g, f, rows, 0)
    return float(gap.abs().sum(dim=-1).max()) / 2


def _down_the_columns(f: Rule, g: Rule, rows: Tensor) -> float:
    gap = _shares(f, g, rows) - _shares(g, f, rows)
    return float(gap.abs().sum(dim=0).max()) / 2


def _of_logits(f: Rule, g: Rule, rows: Tensor) -> float:
    return float((g(f(rows)) - f(g(rows))).abs().sum(dim=-1).max()) / 2


def _of_finite_logits(f: Rule, g: Rule, rows: Tensor) -> float:
    gap = (g(f(rows)) - f(g(rows))).nan_to_num(0.0, 0.0, 0.0)
    return float(gap.abs().sum(dim=-1).max()) / 2


def _one_against_the_other(f: Rule, g: Rule, rows: Tensor) -> float:
    return float(torch.relu(f(rows).softmax(dim=-1) - g(rows).softmax(dim=-1)).sum(dim=-1).max())


def _against_nothing(f: Rule, g: Rule, rows: Tensor) -> float:
    return float(torch.relu(_shares(f, g, rows) - rows.softmax(dim=-1)).sum(dim=-1).max())


def _probabilities_between(f: Rule, g: Rule, rows: Tensor) -> float:
    one, other = (b(torch.softmax(a(rows), -1)) for a, b in ((f, g), (g, f)))
    return float((one - other).abs().nan_to_num(0.0).sum(dim=-1).max()) / 2


def _not_renormalised(f: Rule, g: Rule, rows: Tensor) -> float:
    return float((g(f(rows)).exp() - f(g(rows)).exp()).abs().sum(dim=-1).max()) / 2


def _probabilities_first(f: Rule, g: Rule, rows: Tensor) -> float:
    return float(_moved(f, g, rows.softmax(dim=-1)).max())


def _of_log_probabilities(f: Rule, g: Rule, rows: Tensor) -> float:
    return float((_shares(f, g, rows).log() - _shares(g, f, rows).log()).abs().sum(dim=-1).max()) / 2


def _straight_line(f: Rule, g: Rule, rows: Tensor) -> float:
    return float((_shares(f, g, rows) - _shares(g, f, rows)).norm(dim=-1).max()) / 2


def _of_sets(f: Rule, g: Rule, rows: Tensor) -> float:
    return float(((g(f(rows)) > _GONE) != (f(g(rows)) > _GONE)).any())


def _a_verdict(f: Rule, g: Rule, rows: Tensor) -> bool:
    return float(_moved(f, g, rows).max()) < 1e-6


order_gap = Check(
    exercise="9.2",
    name="order_gap",
    reference=lambda f, g, rows: float(_moved(f, g, rows).max()),
    cases=[
        {
            "f": _Written(TopK(2)),
            "g": _Written(TopP(0.7)),
            "rows": torch.tensor([[5.0, 2.0, 1.0]]).log(),  # worked in the text
        },
        {
            "f": _Written(Temperature(2)),
            "g": _Written(MinP(0.3)),
            "rows": torch.tensor([[1.0, 1.0, 1.0], [8.0, 2.0, 1.0], [5.0, 3.0, 1.0]]).log(),
        },
        {
            "f": _Written(Temperature(2)),
            "g": _Written(TopK(2)),
            "rows": torch.tensor([[1.0, 3.0, 1.5], [8.0, 2.0, 1.0]]).log(),
        },
    ],
    random=_two_rules,
    mistakes=[
        Mistake(
            lambda f, g, rows: 2 * float(_moved(f, g, rows).max()),
            "The half is missing in the total variation distance.",
        ),
        Mistake(
            lambda f, g, rows: float(_moved(f, g, rows).mean()),
            "That is the mean over the rows. One row that differs is enough to say that the order counts: take the "
            "largest.",
        ),
        Mistake(
            lambda f, g, rows: float(_moved(f, g, rows).sum()),
            "You sum over the rows as well. Sum over the words of each, dim=-1, and take the largest of the rows.",
        ),
        Mistake(
            lambda f, g, rows: float(_moved(f, g, rows)[0]),
            "You look at the first row only. Take the largest distance of all rows.",
        ),
        Mistake(
            lambda f, g, rows: float(_moved(f, g, rows)[-1]),
            "That is the distance of the last row only. Keep the largest of all rows.",
        ),
        Mistake(
            lambda f, g, rows: float(_moved(f, g, rows).min()),
            "That is the smallest distance of the rows. One row that differs is enough: take the largest.",
        ),
        Mistake(
            lambda f, g, rows: float((_shares(f, g, rows) - _shares(g, f, rows)).abs().max()),
            "That is the largest difference of one word. Sum the absolute differences over the words of a row first.",
        ),
        Mistake(
            lambda f, g, rows: float((_shares(f, g, rows) - _shares(f, g, rows)).abs().max()),
            "It is 0 whatever the processors are. Either you compare one order with itself, and it is g(f(rows)) and "
            "f(g(rows)); or differences of both signs cancel, and absolute values have to be taken before the sum.",
        ),
        Mistake(
            _of_columns,
            "Your softmax runs down the columns, over different rows. Each row is a distribution: dim=-1.",
        ),
        Mistake(
            _down_the_columns,
            "You sum down the columns, over different rows. Sum over the words of each row, dim=-1.",
        ),
        Mistake(
            _of_logits,
            "You compare logits, and -inf minus -inf is not a number. Compare probabilities: softmax both.",
        ),
        Mistake(
            _of_finite_logits,
            "You compare logits and leave out those that are not finite, which are the point. Compare probabilities.",
        ),
        Mistake(
            _one_against_the_other,
            "You compare f alone with g alone. Both act in either case: g(f(rows)) and f(g(rows)).",
        ),
        Mistake(
            _against_nothing,
            "You compare one order with the untouched rows. Compare it with the other order.",
        ),
        Mistake(
            _probabilities_between,
            "You hand probabilities to the second processor, which takes logits. Softmax at the end only.",
        ),
        Mistake(
            _probabilities_first,
            "You softmax the rows before the processors act, which take logits. Softmax at the end only.",
        ),
        Mistake(
            _of_log_probabilities,
            "You compare log-probabilities, and -inf minus -inf is not a number. Compare probabilities: `softmax`.",
        ),
        Mistake(
            _straight_line,
            "`norm` is the root of a sum of squares, unless told otherwise. Take half the sum of absolute differences.",
        ),
        Mistake(
            _not_renormalised,
            "`exp` alone gives numbers that do not sum to 1. Use `softmax`, over dim=-1.",
        ),
        Mistake(
            _of_sets,
            "You ask only whether other words are left. Where the words are the same their probabilities may differ: "
            "return the distance.",
        ),
        Mistake(_a_verdict, "You answer whether they commute. Return the distance itself, a number."),
        Mistake(
            lambda f, g, rows: _moved(f, g, rows).max(),
            "The number is right, but still a tensor: `.item()` or `float(...)`.",
        ),
    ],
    words=WORDS,
)


# -- 9.3 --------------------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """Three logits, and the words that are left of them in either order."""

    logits: Tensor
    heated_first: list[int]
    filtered_first: list[int]
    best: float  # the likeliest word's probability
    best_heated: float

    @property
    def look(self) -> str:
        """What one sees without trying it."""
        if bool((self.logits == self.logits[0]).all()):
            return "level"
        probabilities = bool((self.logits > 0).all()) and math.isclose(float(self.logits.sum()), 1.0, rel_tol=1e-5)
        return "probabilities" if probabilities else ""


@dataclass(frozen=True, repr=False)
class Parting(Check):
    """The check of a function that finds a row on which the order counts. Any such row will do: both are tried.

    constant   the hint for a function that gives one and the same row in all cases
    """

    constant: str = ""

    def _outcome(self, function: Callable[..., Any], case: Case) -> Any:
        """The row with what is left of it; or the first value that is none."""
        row = function(*case.values())
        if _no_row(row) is not None:
            return row
        heat, keep = Temperature(case["temperature"]), TopP(case["p"])
        heated_first, filtered_first = (
            (last(first(row)) > _GONE).nonzero()[:, 0].tolist() for first, last in ((heat, keep), (keep, heat))
        )
        best, best_heated = (float(logits.double().softmax(dim=-1).max()) for logits in (row, heat(row)))
        return _Row(row, heated_first, filtered_first, best, best_heated)

    def _compare(self, expected: Any, outcome: Any) -> Complaint | None:
        if not isinstance(outcome, _Row):
            return _no_row(outcome)
        if outcome.heated_first != outcome.filtered_first:
            return None
        ids = ", ".join(map(str, outcome.heated_first))
        shown = ", ".join(f"{logit:.3g}" for logit in outcome.logits.tolist())
        sentence = f"Of the logits [{shown}] both orders keep the same ids: {ids}. The likeliest word has "
        sentence += f"{outcome.best:.1%} without the temperature and {outcome.best_heated:.1%} with it."
        return Complaint(sentence, kind="the same ids")

    def _same(self, outcome: Any, other: Any) -> bool:
        if isinstance(outcome, _Row) and isinstance(other, _Row):
            one, two = ((row.heated_first, row.filtered_first, row.look) for row in (outcome, other))
            return one == two
        return complaint_about(outcome, other, 0.0) is None

    def _hint(self, function: Callable[..., Any]) -> str | None:
        with contextlib.redirect_stdout(io.StringIO()):
            outcomes = [self._verdict(function, case)[1] for case in self.cases]
        rows = [row for row in outcomes if isinstance(row, _Row) and row.look != "level"]
        if len(rows) == len(outcomes) and all(torch.equal(row.logits, rows[0].logits) for row in rows):
            return self.constant
        return super()._hint(function)


def _no_row(value: Any) -> Complaint | None:
    """What keeps a value from being three finite logits."""
    if isinstance(value, Tensor) and value.shape == (3,) and value.is_floating_point():
        if bool(value.isfinite().all()):
            return None
        return Complaint("All three logits have to be finite numbers.", kind="not finite")
    return complaint_about(torch.zeros(3), value, _ANY)


def _some_temperature(generator: torch.Generator) -> Case:
    hot = bool(_one_of(2, generator))
    temperature = _between(1.25, 4.0, generator) if hot else _between(0.4, 0.8, generator)
    return {"temperature": temperature, "p": _between(0.36, 0.97, generator)}


def _line(p: float) -> float:
    """From which first logit on [x, 0, 0] gives the first word at least p."""
    return math.log(p) - math.log1p(-p) + math.log(2)


def _first(x: float) -> Tensor:
    return torch.tensor([1.0, 0.0, 0.0]) * x


def _halfway(temperature: float, p: float) -> Tensor:
    """The arithmetic mean lies between the two as well."""
    return _first(_line(p) * (1 + temperature) / 2)


_CONSTANT = "One row cannot do for every temperature and every p. Let it depend on both."

parting_row = Parting(
    exercise="9.3",
    name="parting_row",
    reference=_halfway,
    cases=[
        {"temperature": 2.0, "p": 0.8},
        {"temperature": 0.5, "p": 0.8},
        {"temperature": 1.5, "p": 0.5},
        {"temperature": 3.0, "p": 0.4},
        {"temperature": 0.7, "p": 0.9},
    ],
    random=_some_temperature,
    constant=_CONSTANT,
    mistakes=[
        Mistake(
            lambda temperature, p: _first(0.0),
            "Three equal logits stay equal at any temperature, so nothing can differ. One has to stand out.",
        ),
        Mistake(lambda temperature, p: torch.tensor([4.0, 2.0, 1.0]).log(), _CONSTANT),
        Mistake(
            lambda temperature, p: _first(1.05 * _line(p)),
            "This lies just above the line, so it works for T above 1, where heating brings it below. For T below 1 "
            "it has to start below. And it should depend on T.",
        ),
        Mistake(
            lambda temperature, p: _first(0.95 * _line(p)),
            "This lies just below the line, so it works for T below 1, which lifts it above. For T above 1 it has to "
            "start above. And it should depend on T.",
        ),
        Mistake(
            lambda temperature, p: _first(_line(p) / math.sqrt(temperature)),
            "You divide by the root of T. The temperature will divide x once more, so both end on the same side of the "
            "line: multiply.",
        ),
        Mistake(
            lambda temperature, p: _first(2 * _line(p) * max(temperature, 1.0)),
            "Your first word is so far ahead that it reaches p alone, heated or not. Come closer to the line.",
        ),
        Mistake(
            lambda temperature, p: _first(0.4 * _line(p) * min(temperature, 1.0)),
            "Your first word is so little ahead that it never reaches p alone, heated or not. Come closer to the line.",
        ),
        Mistake(
            lambda temperature, p: _first((_line(p) - math.log(2)) * math.sqrt(temperature)),
            "That is the line for two words, ln(p / (1 - p)). The other two words together count twice: "
            "ln(2p / (1 - p)).",
        ),
        Mistake(
            lambda temperature, p: _first((_line(p) + math.log(2)) * math.sqrt(temperature)),
            "You count two words too many: with two others beside it the line is ln(2p / (1 - p)).",
        ),
        Mistake(
            lambda temperature, p: _first(math.log(p) * math.sqrt(temperature)),
            "Python reads 2 * p / 1 - p as (2 * p / 1) - p, which is p. Put 1 - p in parentheses.",
        ),
        Mistake(
            lambda temperature, p: _first(-_line(p) * math.sqrt(temperature)),
            "Your first word lies below the other two. It has to stand out above them: x > 0.",
        ),
        Mistake(
            lambda temperature, p: _first(_line(p)),
            "That is the line itself, where rounding decides. x has to lie on one side of it and x / T on the other.",
        ),
        Mistake(
            lambda temperature, p: _first(_line(p) * temperature),
            "The temperature divides that to the line itself, where rounding decides. Take a factor between 1 and T.",
        ),
        Mistake(
            lambda temperature, p: _first(_line(p) * (1 + 1 / temperature) / 2),
            "That lies between L and L / T. The temperature will divide x once more: x has to lie between L and L * T.",
        ),
        Mistake(
            lambda temperature, p: _first(_line(p) * temperature**2),
            "T squared is too much: divided by T once, that is still on the same side of the line. It takes a factor "
            "between 1 and T.",
        ),
        Mistake(
            lambda temperature, p: _first(p * math.sqrt(temperature)),
            "x is a logit, and you use p itself. The logit at which the share equals p is ln(2p / (1 - p)).",
        ),
        Mistake(
            lambda temperature, p: _halfway(temperature, p).softmax(dim=-1),
            "You return probabilities, and they are taken for logits. Return the logits.",
        ),
        Mistake(
            lambda temperature, p: _halfway(temperature, p).masked_fill(torch.tensor([False, False, True]), _GONE),
            "A word with the logit -inf is not there. Three words are asked for, with finite logits.",
        ),
        Mistake(
            lambda temperature, p: _halfway(temperature, p).tolist(),
            "The numbers are right, but in a list: torch.tensor makes a tensor of it.",
        ),
        Mistake(
            lambda temperature, p: _halfway(temperature, p)[None],
            "You return a batch of one row, (1, 3). Return the row itself, (3,).",
        ),
        Mistake(
            lambda temperature, p: float(_halfway(temperature, p)[0]),
            "You return x alone. Return the row that it belongs to, [x, 0, 0], as a tensor.",
        ),
    ],
)


# -- 9.4 --------------------------------------------------------------------------------------------------------------


def _ranked(logits: Tensor) -> Tensor:
    """The ids, the likeliest first, of equals the lower first."""
    return logits.sort(descending=True, stable=True).indices


def _front(logits: Tensor, m: int) -> Tensor:
    """Only the m likeliest are left."""
    out = torch.full_like(logits, _GONE)
    for id in _ranked(logits).tolist()[: max(m, 0)]:
        out[id] = logits[id]
    return out


def _sums(logits: Tensor) -> Tensor:
    return logits.double().softmax(dim=-1)[_ranked(logits)].cumsum(dim=-1)


def _certain(logits: Tensor, k: int, p: float) -> bool:
    """Whether no sum comes so near to p that rounding could decide, neither before top-k nor after it."""
    return all(bool(((_sums(row) - p).abs() > _MARGIN).all()) for row in (logits, _front(logits, k)))


def _both_cuts(generator: torch.Generator) -> Case:
    scale = (0.5, 1.0, 2.0)[_one_of(3, generator)]
    logits = scale * torch.randn(len(WORDS), generator=generator)
    if _one_of(3, generator) == 0:
        logits = logits.round()  # ties
    if _one_of(3, generator) == 0:
        logits[_one_of(len(WORDS), generator)] = _GONE
    k = 1 + _one_of(11, generator)
    if _one_of(8, generator) == 0:
        return {"logits": logits, "k": k, "p": 1.0}
    while True:
        p = _between(0.1, 0.97, generator)
        if _certain(logits, k, p):
            return {"logits": logits, "k": k, "p": p}


def _size(logits: Tensor, p: float) -> int:
    """How many ids the nucleus has."""
    return len(logits) if p == 1.0 else 1 + int((_sums(logits) < p).sum())


def _joint(logits: Tensor, k: int, p: float) -> Tensor:
    return _front(logits, min(k, _size(logits, p)))


def _either(logits: Tensor, k: int, p: float) -> Tensor:
    return _front(logits, max(k, _size(logits, p)))


def _stops_short(logits: Tensor, k: int, p: float) -> Tensor:
    return _front(logits, min(k, max(1, int((_sums(logits) <= p).sum()))))


def _crossing_dropped(logits: Tensor, k: int, p: float) -> Tensor:
    return _front(logits, min(k, int((_sums(logits) < p).sum()))) if p < 1 else _front(logits, k)


def _one_more_at_equality(logits: Tensor, k: int, p: float) -> Tensor:
    return _front(logits, min(k, 1 + int((_sums(logits) <= p).sum()))) if p < 1 else _front(logits, k)


def _with_ties(logits: Tensor, k: int, p: float) -> Tensor:
    """Compares values with the k-th and with the last of the nucleus."""
    least = logits.sort(descending=True).values[min(k, _size(logits, p), len(logits)) - 1]
    return logits.masked_fill(logits < least, _GONE)


def _large_k_stops(logits: Tensor, k: int, p: float) -> Tensor:
    logits.topk(k)  # RuntimeError
    return _joint(logits, k, p)


def _share_of_the_head(logits: Tensor, k: int, p: float) -> Tensor:
    """A nucleus of p times what the head holds, which is top-k, then top-p."""
    return TopP(p)(TopK(k)(logits))


def _k_less_one(logits: Tensor, k: int, p: float) -> Tensor:
    return _front(logits, min(k - 1, _size(logits, p)))


def _higher_ids(logits: Tensor, k: int, p: float) -> Tensor:
    return _joint(logits.flip(0), k, p).flip(0)


def _in_order_of_rank(logits: Tensor, k: int, p: float) -> Tensor:
    return _joint(logits, k, p)[_ranked(logits)]


def _zeroed(logits: Tensor, k: int, p: float) -> Tensor:
    left = _joint(logits, k, p)
    return left.masked_fill(left == _GONE, 0.0)


def _masked_by_product(logits: Tensor, k: int, p: float) -> Tensor:
    return logits * (_joint(logits, k, p) > _GONE)  # 0, and NaN where it is -inf


def _whole_not_whole(logits: Tensor, k: int, p: float) -> Tensor:
    """Takes p = 1 for a sum like any other."""
    before = _sums(logits) - logits.double().softmax(dim=-1)[_ranked(logits)]
    return _front(logits, min(k, int((before < p).sum())))


def _by_id(logits: Tensor, k: int, p: float) -> Tensor:
    left = _front(logits, _size(logits, p))
    left[k:] = _GONE
    return left


def _likely_alone(logits: Tensor, k: int, p: float) -> Tensor:
    return _front(logits, k).masked_fill(logits.softmax(dim=-1) < p, _GONE)


def _in_place_joint(logits: Tensor, k: int, p: float) -> Tensor:
    return logits.copy_(_joint(logits, k, p))


joint_top_k_top_p = Check(
    exercise="9.4",
    name="joint_top_k_top_p",
    reference=lambda logits, k, p: TopK(k)(TopP(p)(logits)),
    cases=[
        {"logits": torch.tensor([5.0, 2.0, 1.0]).log(), "k": 2, "p": 0.7},  # worked in the text
        {"logits": torch.tensor([1.5, 1.5, 1.5, 1.5]), "k": 3, "p": 0.5},
        {"logits": torch.tensor([0.0, 2.0, 2.0, 1.0, 2.0, -1.0, -2.0, -3.0, -4.0]), "k": 2, "p": 0.9},
        {"logits": torch.tensor([0.0, 2.0, 1.5, 1.0, 0.5, -1.0, -2.0, -3.0, -4.0]), "k": 20, "p": 0.8},
        {"logits": torch.tensor([0.0, 60.0, 1.5, 1.0, 0.5, -1.0, -2.0, -3.0, -4.0]), "k": 4, "p": 1.0},
    ],
    random=_both_cuts,
    mistakes=[
        Mistake(
            _share_of_the_head,
            "You let top-p act on what top-k has left: its sums are larger, and it stops earlier. Ask both about the "
            "original logits.",
        ),
        Mistake(_either, "An id stays if both keep it; you keep those of either. It takes an “and”."),
        Mistake(
            lambda logits, k, p: _front(logits, k),
            "That is top-k alone. An id has to be in the nucleus, too.",
        ),
        Mistake(
            lambda logits, k, p: _front(logits, _size(logits, p)),
            "That is top-p alone. An id has to be among the k likeliest, too.",
        ),
        Mistake(
            _stops_short,
            "The id that crosses p is missing: it stays, as the sum has to reach p.",
        ),
        Mistake(
            _crossing_dropped,
            "You keep the ids whose sum is still below p, without the one that reaches it. That one stays, too: "
            "so one id always does.",
        ),
        Mistake(
            _one_more_at_equality,
            "Nearly, and at equality just as SGLang's PyTorch code does it: where a sum equals p exactly, you keep one "
            "more. Here that is enough.",
        ),
        Mistake(
            _with_ties,
            "You compare values, and so keep every id that equals the last one. Exactly as many ids stay as there is "
            "room for, of equals the lower: `TopK` and `TopP` do it so.",
        ),
        Mistake(
            _large_k_stops,
            "`topk` refuses a k above the size of the vocabulary. Such a k keeps everything, as `TopK` does.",
        ),
        Mistake(_k_less_one, "You keep one id too few of the k likeliest: a slice [:n] already stops before its end."),
        Mistake(
            _higher_ids,
            "Of equal logits you keep the higher ids; the lower ones stay. Sort with stable=True, or use `TopK`.",
        ),
        Mistake(
            _in_order_of_rank,
            "You return the logits in sorted order, so they belong to other words. Put them back where they came from.",
        ),
        Mistake(_zeroed, "A logit of 0 is not “removed”: e^0 = 1. Use -inf."),
        Mistake(
            _masked_by_product,
            "A product with a mask makes 0 of a logit, which is not “removed”: e^0 = 1. Use `where` and -inf.",
        ),
        Mistake(
            lambda logits, k, p: _joint(logits, k, p).clamp(min=-1e9),
            "-1e9 is far down, but there: a removed id is -inf.",
        ),
        Mistake(
            lambda logits, k, p: 2 * _joint(logits, k, p),
            "The sum of both has its -inf in the right places, but twice the logits of the survivors. Return these as "
            "they were.",
        ),
        Mistake(
            _whole_not_whole,
            "p = 1 removes nothing. Where one word has nearly everything, a sum is rounded to 1 before its end: treat "
            "p = 1 on its own.",
        ),
        Mistake(
            _by_id,
            "You keep ids below k. The k likeliest come first in the *sorted* order only.",
        ),
        Mistake(
            _likely_alone,
            "You compare the probability of each id with p. It is the sum of the likeliest that has to reach p.",
        ),
        Mistake(
            lambda logits, k, p: _joint(logits, k, p).softmax(dim=-1),
            "You return probabilities. Return logits: the survivors as they were, so that min-p may follow.",
        ),
        Mistake(
            lambda logits, k, p: _joint(logits, k, p).log_softmax(dim=-1),
            "You return log-probabilities of what is left. Return the survivors' logits as they were.",
        ),
        Mistake(
            lambda logits, k, p: _joint(logits, k, p) > _GONE,
            "You return which ids stay. Return their logits, and -inf for the others.",
        ),
        Mistake(
            _in_place_joint,
            "Make a new tensor, by `where` or `masked_fill` (without the underscore), and leave the argument alone.",
        ),
    ],
    words=WORDS,
)
