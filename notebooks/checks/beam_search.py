"""The exercises of notebook 10, and the mistakes that are known."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from decoding import TableModel

from .checking import Case, Check, Mistake

Scored = tuple[list[int], float]  # a hypothesis: its ids and the sum of their log-probabilities
NextLogprobs = Callable[[Sequence[int]], Tensor]

_A_THIRD = 1 / 3


def _number(generator: torch.Generator, low: int, high: int) -> int:
    """A whole number from low to high."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def _quarters(generator: torch.Generator, *shape: int) -> Tensor:
    """Numbers of at most 0 in quarters, so that every sum is exact, in any precision, and some are equal."""
    return -torch.randint(0, 12, shape, generator=generator).double() / 4


# -- 10.1 -------------------------------------------------------------------------------------------------------------


def _row(table: Tensor, ids: list[int]) -> list[float]:
    """The log-probabilities of what follows, by a bigram table."""
    row: list[float] = table[ids[-1]].tolist()
    return row


def _children(hypotheses: list[Scored], table: Tensor) -> list[tuple[float, int, int, Scored]]:
    """All that can follow, as (cost, parent, id, child)."""
    found = []
    for parent, (ids, total) in enumerate(hypotheses):
        for id, logprob in enumerate(_row(table, ids)):
            if logprob > -math.inf:
                found.append((-(total + logprob), parent, id, ([*ids, id], total + logprob)))
    return found


def _beam_step(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return [child for *_, child in sorted(_children(hypotheses, table), key=lambda one: one[:3])[:beams]]


def _beam_step_case(generator: torch.Generator) -> Case:
    V, H = _number(generator, 2, 6), _number(generator, 1, 4)
    table = _quarters(generator, V, V)
    table[torch.rand(V, V, generator=generator) < 0.25] = -math.inf
    table[:, _number(generator, 0, V - 1)] = -0.5  # there is always something that can follow
    totals = sorted(_quarters(generator, H).tolist(), reverse=True)
    lengths = [_number(generator, 1, 3)] * H
    texts = [torch.randint(0, V, (n,), generator=generator).tolist() for n in lengths]
    return {
        "hypotheses": list(zip(texts, totals, strict=True)),
        "table": table,
        "beams": _number(generator, 1, 5),
    }


def _ranked_by(key: Callable[[float, int, int, float, float], Any]) -> Callable[..., list[Scored]]:
    """Another order: of (total, parent, id, logprob, parent's total)."""

    def step(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
        found = _children(hypotheses, table)

        def order(one: tuple[float, int, int, Scored]) -> Any:
            cost, parent, id, _ = one
            before = hypotheses[parent][1]
            return key(-cost, parent, id, -cost - before, before)

        return [child for *_, child in sorted(found, key=order)[:beams]]

    return step


_by_last_id_only = _ranked_by(lambda total, parent, id, logprob, before: (-logprob, parent, id))
_worst_first = _ranked_by(lambda total, parent, id, logprob, before: (total, parent, id))
_higher_ids = _ranked_by(lambda total, parent, id, logprob, before: (-total, parent, -id))
_ids_before_parents = _ranked_by(lambda total, parent, id, logprob, before: (-total, id, parent))
_by_product = _ranked_by(lambda total, parent, id, logprob, before: (-(before * logprob), parent, id))
for _function, _name in (
    (_by_last_id_only, "_by_last_id_only"),
    (_worst_first, "_worst_first"),
    (_higher_ids, "_higher_ids"),
    (_ids_before_parents, "_ids_before_parents"),
    (_by_product, "_by_product"),
):
    _function.__name__ = _name


def _scores_of_the_last_id(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return _beam_step([(ids, 0.0) for ids, _ in hypotheses], table, beams)


def _one_of_each(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    best = [child for one in hypotheses for child in _beam_step([one], table, 1)]
    return sorted(best, key=lambda child: -child[1])[:beams]


def _beams_of_each(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return [child for one in hypotheses for child in _beam_step([one], table, beams)]


def _all_children(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return _beam_step(hypotheses, table, 10**9)


def _first_row(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    swapped = [([ids[-1], *ids[1:-1], ids[0]] if len(ids) > 1 else ids, total) for ids, total in hypotheses]
    ranked = sorted(_children(swapped, table), key=lambda one: one[:3])[:beams]
    return [([*hypotheses[parent][0], id], -cost) for cost, parent, id, _ in ranked]


def _row_of_its_place(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    moved = [([place], total) for place, (_, total) in enumerate(hypotheses)]
    ranked = sorted(_children(moved, table), key=lambda one: one[:3])[:beams]  # IndexError where there are few rows
    return [([*hypotheses[parent][0], id], -cost) for cost, parent, id, _ in ranked]


def _impossible_ones(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    found = [
        (-(total + logprob), parent, id)
        for parent, (ids, total) in enumerate(hypotheses)
        for id, logprob in enumerate(_row(table, ids))
    ]
    return [([*hypotheses[parent][0], id], -cost) for cost, parent, id in sorted(found)[:beams]]


def _new_ids_only(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return [(ids[-1:], total) for ids, total in _beam_step(hypotheses, table, beams)]


def _sorted_by_parent(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    ranked = sorted(_children(hypotheses, table), key=lambda one: one[:3])[:beams]
    return [child for *_, child in sorted(ranked, key=lambda one: one[1])]


def _adds_probabilities(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    found = [
        (-(total + math.exp(logprob)), parent, id)
        for parent, (ids, total) in enumerate(hypotheses)
        for id, logprob in enumerate(_row(table, ids))
        if logprob > -math.inf
    ]
    return [([*hypotheses[parent][0], id], -cost) for cost, parent, id in sorted(found)[:beams]]


def _shared_lists(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    result = []
    for _, parent, id, (_, total) in sorted(_children(hypotheses, table), key=lambda one: one[:3])[:beams]:
        hypotheses[parent][0].append(id)
        result.append((hypotheses[parent][0], total))
    return result


def _probabilities(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return [(ids, math.exp(total)) for ids, total in _beam_step(hypotheses, table, beams)]


def _logarithms_again(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return _beam_step(hypotheses, table.log(), beams)  # not a number, which is above nothing


def _as_many_as_came(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return _beam_step(hypotheses, table, len(hypotheses))


def _first_parent_only(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    return _beam_step(hypotheses[:1], table, beams)


def _turned_around(hypotheses: list[Scored], table: Tensor, beams: int) -> list[Scored]:
    found = [child for *_, child in _children(hypotheses, table)]
    return sorted(found, key=lambda child: child[1])[::-1][:beams]


_WORKED = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [_A_THIRD, _A_THIRD, _A_THIRD]], dtype=torch.float64).log()

beam_step = Check(
    exercise="10.1",
    name="beam_step",
    reference=_beam_step,
    cases=[
        {"hypotheses": [([0], math.log(0.6)), ([1], math.log(0.4))], "table": _WORKED, "beams": 2},  # worked
        {"hypotheses": [([2, 1], -1.0)], "table": _WORKED, "beams": 3},
        {
            "hypotheses": [([0, 1], -1.0), ([0, 0], -1.0)],
            "table": torch.tensor([[-1.0, -1.5], [-1.5, -1.0]], dtype=torch.float64),
            "beams": 3,
        },
    ],
    random=_beam_step_case,
    mistakes=[
        Mistake(
            _by_last_id_only,
            "You rank by the new id alone. A hypothesis brings its score along: rank by the sum.",
        ),
        Mistake(
            _scores_of_the_last_id,
            "The parents' scores are lost: a child's score is its parent's plus the log-probability of the new id.",
        ),
        Mistake(_worst_first, "You keep the lowest scores. Of log-probabilities, too, the higher is the better."),
        Mistake(
            _higher_ids, "Of children with equal scores and one parent the lower id comes first; yours has the higher."
        ),
        Mistake(
            _ids_before_parents,
            "Ties: of children with equal scores the parent that comes first in the list goes first, and only then "
            "does the lower id count.",
        ),
        Mistake(
            _by_product,
            "You rank by a product of log-probabilities. Probabilities are multiplied; their logarithms are added.",
        ),
        Mistake(
            _one_of_each,
            "You take the best child of each hypothesis. All children compete with each other, and one parent may "
            "have several that stay, another none.",
        ),
        Mistake(
            _beams_of_each,
            "You keep `beams` children of each hypothesis, so that their number grows with every step. It is `beams` "
            "of all of them together.",
        ),
        Mistake(_all_children, "You return all children: only the first `beams` of them go on."),
        Mistake(
            _first_row, "You look up the row of the first id. What comes next depends on the last one: table[ids[-1]]."
        ),
        Mistake(
            _row_of_its_place,
            "You look up the row of the hypothesis' place in the list. The rows of the table belong to ids: take that "
            "of its last one.",
        ),
        Mistake(
            _impossible_ones,
            "A child with the log-probability -inf cannot be: leave it out, also where fewer than `beams` remain.",
        ),
        Mistake(_new_ids_only, "You return the new ids alone. A child has the ids of its parent and one more."),
        Mistake(
            _sorted_by_parent,
            "The right children, in the order of their parents. Return them best first, whoever their parents are.",
        ),
        Mistake(
            _adds_probabilities,
            "You add a probability to a sum of log-probabilities. The table holds logarithms already: no exp.",
        ),
        Mistake(_probabilities, "You return probabilities. Scores are logarithms, as they came in: no exp."),
        Mistake(
            _logarithms_again, "You take the logarithm of the table, which holds log-probabilities already: no log."
        ),
        Mistake(_as_many_as_came, "You keep as many as came in. `beams` says how many: there may be fewer at first."),
        Mistake(_first_parent_only, "You extend the first hypothesis only. All of them have children."),
        Mistake(
            _turned_around,
            "Turning a sorted list around turns equals around, too. Sort with `reverse=True`, which leaves them in "
            "their order.",
        ),
        Mistake(
            _shared_lists,
            "`append` changes the parent's own list, which its other children share. Make a new one: ids + [id].",
        ),
    ],
)


# -- 10.2 -------------------------------------------------------------------------------------------------------------


def _adjusted(logprobs: list[float], alpha: float) -> float:
    return math.fsum(logprobs) * math.exp(-alpha * math.log(len(logprobs)))


def _adjusted_case(generator: torch.Generator) -> Case:
    logprobs = (-3 * torch.rand(_number(generator, 1, 8), generator=generator)).tolist()
    return {"logprobs": logprobs, "alpha": (0.0, 0.5, 0.7, 1.0, 2.0, -0.5)[_number(generator, 0, 5)]}


def _multiplied(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) * len(logprobs) ** alpha


def _always_the_mean(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) / len(logprobs)


def _never_adjusted(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs)


def _length_times_alpha(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) / (len(logprobs) * alpha)  # ZeroDivisionError for 0


def _mean_to_the_power(logprobs: list[float], alpha: float) -> float:
    return -((-sum(logprobs) / len(logprobs)) ** alpha)


def _of_google(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) / ((5 + len(logprobs)) / 6) ** alpha


def _a_probability(logprobs: list[float], alpha: float) -> float:
    return math.exp(sum(logprobs) / len(logprobs) ** alpha)


def _subtracted(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) - alpha * len(logprobs)


def _added(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) + alpha * len(logprobs)


def _without_the_end(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) / max(len(logprobs) - 1, 1) ** alpha


def _alpha_first(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) / alpha ** len(logprobs)


def _mean_times_alpha(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) / len(logprobs) * alpha


def _mean_as_it_is_to_the_power(logprobs: list[float], alpha: float) -> Any:
    return (sum(logprobs) / len(logprobs)) ** alpha  # a complex number, mostly


def _turned_positive(logprobs: list[float], alpha: float) -> float:
    return -sum(logprobs) / len(logprobs) ** alpha


adjusted = Check(
    exercise="10.2",
    name="adjusted",
    reference=_adjusted,
    cases=[
        {"logprobs": [-0.9, -0.5], "alpha": 0.0},
        {"logprobs": [-1.0, -1.0, -0.5, -0.5], "alpha": 0.5},  # worked in the text
        {"logprobs": [-1.0, -1.0, -0.5, -0.5], "alpha": 1.0},
    ],
    random=_adjusted_case,
    mistakes=[
        Mistake(_multiplied, "You multiply by the power of the length. Divide: scores of longer texts should rise."),
        Mistake(_always_the_mean, "That is the mean, which is right for alpha = 1 only: the length has an exponent."),
        Mistake(_never_adjusted, "That is the plain sum, which is right for alpha = 0 only."),
        Mistake(_length_times_alpha, "You divide by alpha times the length. Alpha is an exponent: length ** alpha."),
        Mistake(
            _mean_to_the_power, "You raise the whole mean to the power of alpha. Only the length has the exponent."
        ),
        Mistake(
            _mean_as_it_is_to_the_power,
            "You raise the mean, a negative number, to the power of alpha. The exponent belongs to the length alone: "
            "length ** alpha.",
        ),
        Mistake(_mean_times_alpha, "You multiply the mean by alpha. Alpha is an exponent: length ** alpha."),
        Mistake(_turned_positive, "You turn the sign: a sum of log-probabilities is negative, and so is the score."),
        Mistake(
            _of_google,
            "That is the rule of Wu et al. (2016), ((5 + length) / 6) ** alpha. Here it is plainly length ** alpha.",
        ),
        Mistake(_a_probability, "You return a probability: leave out the exp. Scores are logarithms."),
        Mistake(_subtracted, "You subtract alpha for each id, which punishes length. Divide by length ** alpha."),
        Mistake(
            _added,
            "You add alpha for each id: a rule that exists, too (a “word reward”). Here the sum is divided by "
            "length ** alpha.",
        ),
        Mistake(_without_the_end, "The end of the text is an id like the others: count it, too."),
        Mistake(_alpha_first, "Base and exponent are swapped: the length is the base, length ** alpha."),
    ],
)


# -- 10.3 -------------------------------------------------------------------------------------------------------------


def _may_still_win(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    # at every length that there can be, and no id costs anything
    return any(total * float(n) ** -alpha > best for total in totals for n in range(length + 1, room + 1))


def _may_still_win_case(generator: torch.Generator) -> Case:
    """Exact numbers: lengths whose powers are powers of 2; the best score lies at a bound, or an eighth beside one."""
    totals = (_quarters(generator, _number(generator, 1, 4)) - 0.25).tolist()
    length, room = (1, 3, 7)[_number(generator, 0, 2)], (8, 16)[_number(generator, 0, 1)]
    alpha = (0.0, 1.0, 2.0, -1.0)[_number(generator, 0, 3)]
    divisor = (room, length + 1, max(length, 1), 1)[_number(generator, 0, 3)]
    best = totals[_number(generator, 0, len(totals) - 1)] / divisor**alpha
    best += (-0.125, 0.0, 0.125)[_number(generator, 0, 2)] / (divisor**alpha)
    return {"totals": totals, "length": length, "best": best, "room": room, "alpha": alpha}


def _bound(total: float, length: int, room: int, alpha: float) -> float:
    return total / (room if alpha > 0 else length + 1) ** alpha


def _as_they_are(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total / length**alpha > best for total in totals)


def _one_more_id(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total / (length + 1) ** alpha > best for total in totals)


def _always_room(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total / room**alpha > best for total in totals)


def _room_or_as_they_are(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total / (room if alpha > 0 else length) ** alpha > best for total in totals)


def _no_penalty(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total > best for total in totals)


def _ties_win(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(_bound(total, length, room, alpha) >= best for total in totals)


def _all_of_them(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return all(_bound(total, length, room, alpha) > best for total in totals)


def _last_of_them(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return bool(totals) and _bound(totals[-1], length, room, alpha) > best


def _first_of_them(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return bool(totals) and _bound(totals[0], length, room, alpha) > best


def _first_without_a_guard(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return max(_bound(total, length, room, alpha) for total in totals) > best


def _may_stop(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return not any(_bound(total, length, room, alpha) > best for total in totals)


def _room_behind(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total / (length + room if alpha > 0 else length + 1) ** alpha > best for total in totals)


def _room_behind_always(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total / (length + room) ** alpha > best for total in totals)


def _room_left(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total / (room - length) ** alpha > best for total in totals)


def _the_wrong_end(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(total / (length + 1 if alpha > 0 else room) ** alpha > best for total in totals)


def _below(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return any(_bound(total, length, room, alpha) < best for total in totals)


def _true_of_nothing(totals: list[float], length: int, best: float, room: int, alpha: float) -> bool:
    return not totals or _may_still_win(totals, length, best, room, alpha)


class _TrueOrFalse(Check):
    """Any two wrong answers are the same one here, so a hint counts only where the mistake agrees in every case."""

    def _hint(self, function: Callable[..., Any]) -> str | None:
        with contextlib.redirect_stdout(io.StringIO()):
            cases = [*self.cases, *self._random_cases()]
            found = [self._verdict(function, case) for case in cases]
            for mistake in self.mistakes:
                known = [self._verdict(mistake.function, case) for case in cases]
                if all(self._alike(a, b) for a, b in zip(found, known, strict=True)):
                    return mistake.hint
        return None


may_still_win = _TrueOrFalse(
    exercise="10.3",
    name="may_still_win",
    reference=_may_still_win,
    cases=[
        {"totals": [-1.39, -1.83], "length": 2, "best": -1.43, "room": 6, "alpha": 0.0},  # worked in the text
        {"totals": [-1.61, -2.06], "length": 3, "best": -1.43, "room": 6, "alpha": 0.0},
        {"totals": [-1.61, -2.06], "length": 3, "best": -0.71, "room": 6, "alpha": 1.0},
        {"totals": [-4.0], "length": 2, "best": -0.6, "room": 6, "alpha": 1.0},
        {"totals": [], "length": 3, "best": -0.5, "room": 6, "alpha": 0.0},
    ],
    random=_may_still_win_case,
    mistakes=[
        Mistake(
            _as_they_are,
            "You adjust by the length that they have now. What counts is the best that they may become: with alpha "
            "above 0 that is as long as possible, below 0 as short as possible, one id more.",
        ),
        Mistake(
            _one_more_id,
            "You ask what they are with one more id. With alpha above 0 they may gain by being longer than that: take "
            "the room.",
        ),
        Mistake(
            _always_room,
            "Right for alpha of 0 or more. Below 0 a longer text scores less, so the best that may come is the "
            "shortest: one id more than now.",
        ),
        Mistake(
            _room_or_as_they_are,
            "Nearly: none of them is a whole text yet. The shortest that may come of one has one id more than now.",
        ),
        Mistake(
            _no_penalty,
            "You compare plain sums with an adjusted score. Adjust them, too: by the length that is the most "
            "favourable.",
        ),
        Mistake(
            _ties_win,
            "A hypothesis that can at best draw level does not win: its bound has to be above the best score.",
        ),
        Mistake(_all_of_them, "One that may still win is enough: any, not all."),
        Mistake(_last_of_them, "You look at one hypothesis only, the last. Any of them may win."),
        Mistake(_first_of_them, "You look at the first hypothesis only. Nobody said that it is the best: ask all."),
        Mistake(
            _first_without_a_guard, "Where nothing is live, `max` stops with an error, and nothing can win: False."
        ),
        Mistake(_may_stop, "That is the opposite: True says that the search has to go on."),
        Mistake(
            _room_behind,
            "`room` is the most ids of a whole text, those that it has already among them: do not add the length.",
        ),
        Mistake(
            _room_behind_always,
            "You add room and length. `room` is the most ids of a whole text, and it is the most favourable length "
            "for alpha above 0 only.",
        ),
        Mistake(
            _room_left,
            "You adjust by the ids that may still come. What counts is how many there are in all: `room`, or for alpha "
            "below 0 one more than `length`.",
        ),
        Mistake(
            _the_wrong_end,
            "The two lengths are swapped. Sums are negative: with alpha above 0 the largest divisor is the best, below "
            "0 the smallest.",
        ),
        Mistake(_below, "You look for a bound below the best score. Only one above it can still win."),
        Mistake(_true_of_nothing, "Where nothing is live, nothing can win: False for an empty list."),
    ],
)


# -- 10.4 -------------------------------------------------------------------------------------------------------------


def _a_model(n_vocab: int, seed: int, scale: float = 1.5) -> NextLogprobs:
    """Other log-probabilities after every text, looked up once each."""
    logits_after = TableModel.random(n_vocab, 64, seed, scale).logits_after
    known: dict[tuple[int, ...], Tensor] = {}

    def model(ids: Sequence[int]) -> Tensor:
        key = tuple(ids)
        if key not in known:
            known[key] = logits_after(key).log_softmax(dim=-1)
        return known[key].clone()

    model.__name__ = f"model_{seed}_of_{n_vocab}_words"
    return model


def _depth_first(ask: NextLogprobs, start: list[int], steps: int, order: str = "best", prune: str = "before") -> Any:
    """The reference, and by its settings some that ask too often."""
    best: tuple[float, list[int]] = (-math.inf, [])

    def visit(ids: list[int], total: float) -> None:
        nonlocal best
        if len(ids) == steps:
            if total > best[0]:
                best = (total, ids)
            return
        if prune == "behind" and total <= best[0]:
            return
        logprobs = ask([*start, *ids]).tolist()
        ids_in_order = list(range(len(logprobs)))
        if order == "best":
            ids_in_order.sort(key=lambda id: -logprobs[id])
        elif order == "worst":
            ids_in_order.sort(key=lambda id: logprobs[id])
        for id in ids_in_order:
            if prune == "never" or prune == "behind" or total + logprobs[id] > best[0]:
                visit([*ids, id], total + logprobs[id])

    visit([], 0.0)
    return best[1]


def _likeliest(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    found: list[int] = _depth_first(next_logprobs, start, steps)
    return found


def _counted(function: Callable[..., Any], case: Case) -> Any:
    """What the function finds, and whether it asks more often than depth-first search with bounds."""

    def asked_by(one: Callable[..., Any], start: list[int]) -> tuple[Any, int]:
        count = 0

        def ask(ids: Sequence[int]) -> Tensor:
            nonlocal count
            count += 1
            if count > 20_000:
                raise RuntimeError("the model was asked 20,000 times")
            answer: Tensor = case["next_logprobs"](ids)
            return answer

        return one(ask, start, case["steps"]), count

    start = list(case["start"])
    found, count = asked_by(function, case["start"])
    _, most = asked_by(_likeliest, start)
    return found, "asks as often as needed" if count <= most else f"asks {count} times, where {most} would do"


def _likeliest_case(generator: torch.Generator) -> Case:
    n_vocab = _number(generator, 2, 4)
    return {
        "next_logprobs": _a_model(n_vocab, _number(generator, 0, 10**6)),
        "start": torch.randint(0, n_vocab, (_number(generator, 1, 2),), generator=generator).tolist(),
        "steps": _number(generator, 1, 4),
    }


def _last_whole_text(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    """Remembers every whole text, better or not."""
    last: list[int] = []

    def visit(ids: list[int]) -> None:
        nonlocal last
        if len(ids) == steps:
            last = ids
            return
        for id in next_logprobs([*start, *ids]).argsort(descending=True).tolist():
            visit([*ids, id])

    visit([])
    return last


def _nothing_above_zero(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    next_logprobs(start)  # and no child is above the best, which is 0
    return []


def _single_logprobs(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    """Leaves out a child by its own log-probability, without what was before."""
    best: tuple[float, list[int]] = (-math.inf, [])

    def visit(ids: list[int], total: float) -> None:
        nonlocal best
        if len(ids) == steps:
            best = max(best, (total, ids))
            return
        logprobs = next_logprobs([*start, *ids])
        for id in logprobs.argsort(descending=True).tolist():
            if float(logprobs[id]) > best[0]:
                visit([*ids, id], total + float(logprobs[id]))

    visit([], 0.0)
    return best[1]


def _three_children(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    def fewer(ids: Sequence[int]) -> Tensor:
        logprobs = next_logprobs(ids)
        return logprobs.masked_fill(logprobs < logprobs.topk(min(3, len(logprobs))).values[-1], -math.inf)

    return _likeliest(fewer, start, steps)


def _asks_again_for_each_child(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    best: tuple[float, list[int]] = (-math.inf, [])

    def visit(ids: list[int], total: float) -> None:
        nonlocal best
        if len(ids) == steps:
            best = max(best, (total, ids))
            return
        for id in next_logprobs([*start, *ids]).argsort(descending=True).tolist():
            grown = total + float(next_logprobs([*start, *ids])[id])
            if grown <= best[0]:
                return
            visit([*ids, id], grown)

    visit([], 0.0)
    return best[1]


def _greedy(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < steps:
        ids.append(int(next_logprobs([*start, *ids]).argmax()))
    return ids


def _beam_of_two(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(steps):
        grown = [
            (total + logprob, [*ids, id])
            for total, ids in live
            for id, logprob in enumerate(next_logprobs([*start, *ids]).tolist())
        ]
        live = sorted(grown, reverse=True)[:2]
    return live[0][1]


def _brute_force(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    found: list[int] = _depth_first(next_logprobs, start, steps, prune="never")
    return found


def _in_the_order_of_ids(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    found: list[int] = _depth_first(next_logprobs, start, steps, order="ids")
    return found


def _least_likely_first(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    found: list[int] = _depth_first(next_logprobs, start, steps, order="worst")
    return found


def _asks_behind_the_end(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    best: tuple[float, list[int]] = (-math.inf, [])

    def visit(ids: list[int], total: float) -> None:
        nonlocal best
        logprobs = next_logprobs([*start, *ids])
        if len(ids) == steps:
            best = max(best, (total, ids))
            return
        for id in logprobs.argsort(descending=True).tolist():
            if total + float(logprobs[id]) > best[0]:
                visit([*ids, id], total + float(logprobs[id]))

    visit([], 0.0)
    return best[1]


def _with_the_start(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    return [*start, *_likeliest(next_logprobs, start, steps)]


def _without_the_text(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    """Asks after the start only, or after the new ids only."""

    def forgetful(ids: Sequence[int]) -> Tensor:
        return next_logprobs(ids[len(start) :] or start)

    return _likeliest(forgetful, start, steps)


def _always_the_start(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    return _likeliest(lambda ids: next_logprobs(start), start, steps)


def _least_likely(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    total_of: dict[tuple[int, ...], float] = {}
    for ids in itertools.product(range(len(next_logprobs(start))), repeat=steps):
        total_of[ids] = sum(float(next_logprobs([*start, *ids[:n]])[id]) for n, id in enumerate(ids))
    return list(min(total_of.items(), key=lambda item: item[1])[0])


def _products(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    best: tuple[float, list[int]] = (-math.inf, [])

    def visit(ids: list[int], total: float) -> None:
        nonlocal best
        if len(ids) == steps:
            best = max(best, (total, ids))
            return
        logprobs = next_logprobs([*start, *ids])
        for id in logprobs.argsort(descending=True).tolist():
            if total * float(logprobs[id]) > best[0]:
                visit([*ids, id], total * float(logprobs[id]))

    visit([], 1.0)
    return best[1]


def _extends_the_start(next_logprobs: NextLogprobs, start: list[int], steps: int) -> list[int]:
    found = _likeliest(next_logprobs, start, steps)
    start.extend(found)
    return found


likeliest = Check(
    exercise="10.4",
    name="likeliest",
    reference=_likeliest,
    run=_counted,
    cases=[
        {"next_logprobs": _a_model(3, 12), "start": [0], "steps": 1},
        {"next_logprobs": _a_model(3, 12), "start": [0], "steps": 3},
        {"next_logprobs": _a_model(4, 3), "start": [1, 2], "steps": 4},
        {"next_logprobs": _a_model(4, 291), "start": [0], "steps": 3},  # begins with the least likely id of all
    ],
    random=_likeliest_case,
    rounds=30,
    mistakes=[
        Mistake(
            _greedy,
            "That is greedy decoding, the first descent. Go back, and try the other children that may still win. (If "
            "you do go back: do you add probabilities? Add their logarithms.)",
        ),
        Mistake(_beam_of_two, "That is a beam search. What it prunes might have won: prune only what cannot."),
        Mistake(
            _brute_force,
            "The right text, but you look at every text there is. Leave out a child whose total is not above the best "
            "text's: it can only fall.",
        ),
        Mistake(
            _in_the_order_of_ids,
            "The right text, but you try the children in the order of their ids. Begin with the likeliest: the sooner "
            "a good text is known, the more can be left out.",
        ),
        Mistake(
            _least_likely_first,
            "The right text, but you try the least likely child first. Sort from the largest to the smallest.",
        ),
        Mistake(
            _asks_behind_the_end,
            "The right text, but you ask what follows a text that is whole already. Look at the length first.",
        ),
        Mistake(
            _single_logprobs,
            "The right text, but you hold a single log-probability against the best total. Add what was before it.",
        ),
        Mistake(
            _asks_again_for_each_child,
            "The right text, but you ask again for every child. Ask once, and keep the answer.",
        ),
        Mistake(
            _last_whole_text, "You remember the last whole text that you come to. Remember it only if it is better."
        ),
        Mistake(
            _nothing_above_zero,
            "You return an empty list. Does the best total begin with 0? No log-probability is above that: begin with "
            "-math.inf. Or does one list grow and shrink on the way? Then keep a copy of it, and not itself.",
        ),
        Mistake(
            _three_children,
            "You try the best few children only. The least likely one may lead to the best text: leave out only what "
            "cannot win.",
        ),
        Mistake(_with_the_start, "You return the start, too. Only the new ids are wanted."),
        Mistake(
            _without_the_text, "You ask what follows the new ids alone. The model wants the start in front of them."
        ),
        Mistake(
            _always_the_start,
            "You ask what follows the start, at every step. Ask what follows the whole text, new ids and all.",
        ),
        Mistake(_least_likely, "You return the least likely text: of log-probabilities the highest is the best."),
        Mistake(_products, "You multiply log-probabilities. They are added, beginning with 0."),
        Mistake(
            _extends_the_start,
            "`extend` or `append` on the start changes the caller's list: make a new one, start + ids.",
        ),
    ],
)
