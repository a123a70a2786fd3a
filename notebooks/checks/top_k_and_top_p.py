"""The exercises of notebook 06, and the mistakes that are known."""

from __future__ import annotations

import torch
from torch import Tensor

from decoding import TopK, TopP

from .checking import Case, Check, Mistake

WORDS = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
_GONE = -torch.inf
_FOUR_EQUAL = torch.tensor([_GONE, 1.0, _GONE, 1.0, 1.0, _GONE, _GONE, 1.0, _GONE])
_MARGIN = 1e-4  # random cases where rounding could decide are not asked


def _ranked(logits: Tensor) -> Tensor:
    """The ids, the likeliest first, of equals the lower first."""
    return logits.sort(descending=True, stable=True).indices


def _first(logits: Tensor, m: int) -> Tensor:
    """Only the m likeliest are left."""
    out = torch.full_like(logits, _GONE)
    for id in _ranked(logits).tolist()[: max(m, 0)]:
        out[id] = logits[id]
    return out


# -- 6.1 --------------------------------------------------------------------------------------------------------------


def _top_k_case(generator: torch.Generator) -> Case:
    logits = (2 * torch.randn(len(WORDS), generator=generator)).round()  # whole numbers: ties
    logits[torch.rand(len(WORDS), generator=generator) < 0.15] = _GONE
    logits[int(torch.randint(len(WORDS), (1,), generator=generator))] = 3.0
    return {"logits": logits, "k": int(torch.randint(1, 13, (1,), generator=generator))}


def _keeps_ties(logits: Tensor, k: int) -> Tensor:
    least = logits.topk(min(k, len(logits))).values[-1]
    return logits.masked_fill(logits < least, _GONE)


def _keeps_ties_and_stops(logits: Tensor, k: int) -> Tensor:
    return logits.masked_fill(logits < logits.topk(k).values[-1], _GONE)


def _stops_for_large_k(logits: Tensor, k: int) -> Tensor:
    logits.topk(k)  # RuntimeError
    return _first(logits, k)


def _zeros(logits: Tensor, k: int) -> Tensor:
    return torch.where(_first(logits, k) == _GONE, torch.zeros_like(logits), logits)


def _removes_the_best(logits: Tensor, k: int) -> Tensor:
    return logits.masked_fill(_first(logits, k) != _GONE, _GONE)


def _keeps_the_worst(logits: Tensor, k: int) -> Tensor:
    return -_first(-logits, k).masked_fill(_first(-logits, k) == _GONE, torch.inf)


def _higher_ids_of_equals(logits: Tensor, k: int) -> Tensor:
    return _first(logits.flip(0), k).flip(0)


def _in_place(logits: Tensor, k: int) -> Tensor:
    return logits.copy_(_first(logits, k))


def _in_place_with_ties(logits: Tensor, k: int) -> Tensor:
    return logits.copy_(_keeps_ties(logits, k))


def _probabilities_after_top_k(logits: Tensor, k: int) -> Tensor:
    return _first(logits, k).softmax(dim=-1)


top_k = Check(
    exercise="6.1",
    name="top_k",
    reference=lambda logits, k: TopK(k)(logits),
    cases=[
        {"logits": torch.tensor([0.7, 3.1, -1.5, 2.4, 0.3, 1.6, -0.4, -3.0, -2.2]), "k": 3},
        {"logits": torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0, -1.0, 1.0, -2.0, -3.0]), "k": 3},
        {"logits": torch.tensor([0.5, 2.0, 0.0, -1.0, 1.0, -4.0, -5.0, -2.0, -3.0]), "k": 50},
    ],
    random=_top_k_case,
    mistakes=[
        Mistake(
            _keeps_ties,
            "You keep every logit that equals the k-th, which can be more than k. Exactly k stay, of equals the "
            "lower ids: choose ids, not values.",
        ),
        Mistake(
            _keeps_ties_and_stops,
            "Two things: you keep every logit that equals the k-th, which can be more than k, and a k above the "
            "number of words stops you. Choose ids instead of values, in an order that sorts all of them.",
        ),
        Mistake(
            _stops_for_large_k,
            "`topk` refuses a k above the size of the vocabulary. Such a k keeps everything: cut it down to the "
            "size first.",
        ),
        Mistake(_zeros, "A logit of 0 is not “removed”: e^0 = 1, so it may even gain. Use -inf."),
        Mistake(_removes_the_best, "You remove the k likeliest and keep the rest; it should be the other way round."),
        Mistake(_keeps_the_worst, "You keep the k smallest logits: sort from the largest to the smallest."),
        Mistake(
            _higher_ids_of_equals,
            "Of equal logits you keep the higher ids; the lower ones stay. Sort with descending=True and "
            "stable=True, and take the front.",
        ),
        Mistake(
            _in_place,
            "Make a new tensor, by `logits.clone()` or `masked_fill` (without the underscore), and change that one.",
        ),
        Mistake(
            _in_place_with_ties,
            "Work on a copy, `logits.clone()`. Then look at ties: exactly k stay, of equals the lower ids.",
        ),
        Mistake(
            _probabilities_after_top_k,
            "You return probabilities. Return logits: the survivors as they were, so that another filter may follow.",
        ),
    ],
    words=WORDS,
)


# -- 6.2 --------------------------------------------------------------------------------------------------------------


def _certain(logits: Tensor, p: float) -> bool:
    """Whether no sum comes so near to p that rounding could decide."""
    mass = logits.double().softmax(dim=-1).sort(descending=True).values.cumsum(dim=-1)
    return bool(((mass - p).abs() > _MARGIN).all())


def _some_p(logits: Tensor, generator: torch.Generator) -> float:
    while True:
        p = 0.05 + 0.94 * float(torch.rand(1, generator=generator))
        if _certain(logits, p):
            return p


def _equal_logits(generator: torch.Generator) -> tuple[Tensor, int]:
    """2, 4 or 8 equal logits and nothing else, so that every sum is exact; and how many."""
    n = 2 ** int(torch.randint(1, 4, (1,), generator=generator))
    logits = torch.full((len(WORDS),), _GONE)
    logits[torch.randperm(len(WORDS), generator=generator)[:n]] = 1.5
    return logits, n


def _top_p_case(generator: torch.Generator) -> Case:
    kind = int(torch.randint(6, (1,), generator=generator))
    if kind == 0:
        logits, n = _equal_logits(generator)
        return {"logits": logits, "p": int(torch.randint(1, n, (1,), generator=generator)) / n}
    scale = (0.5, 2.0, 8.0, 200.0, 2.0)[kind - 1]  # flat, usual, peaked, overflowing unless one is careful
    logits = scale * torch.randn(len(WORDS), generator=generator)
    if kind == 5:
        logits = logits.round()  # ties
        logits[int(torch.randint(1, len(WORDS), (1,), generator=generator))] = _GONE
    return {"logits": logits, "p": _some_p(logits, generator)}


def _mass(logits: Tensor) -> Tensor:
    return logits.double().softmax(dim=-1)[_ranked(logits)].cumsum(dim=-1)


def _stops_short(logits: Tensor, p: float) -> Tensor:
    return _first(logits, max(1, int((_mass(logits) <= p).sum())))


def _stops_short_unguarded(logits: Tensor, p: float) -> Tensor:
    return _first(logits, int((_mass(logits) <= p).sum()))


def _strictly_short(logits: Tensor, p: float) -> Tensor:
    return _first(logits, int((_mass(logits) < p).sum()))


def _one_too_many(logits: Tensor, p: float) -> Tensor:
    return _first(logits, 2 + int((_mass(logits) < p).sum()))


def _one_more_at_equality(logits: Tensor, p: float) -> Tensor:
    return _first(logits, 1 + int((_mass(logits) <= p).sum()))


def _ranks_as_ids(logits: Tensor, p: float) -> Tensor:
    beyond = torch.arange(len(logits)) > int((_mass(logits) < p).sum())  # of ranks
    return logits.masked_fill(beyond, _GONE)


def _left_sorted(logits: Tensor, p: float) -> Tensor:
    return _ranks_as_ids(logits[_ranked(logits)], p)


def _unsorted(logits: Tensor, p: float) -> Tensor:
    mass = logits.double().softmax(dim=-1).cumsum(dim=-1)
    beyond = torch.arange(len(logits)) > int((mass < p).sum())
    return logits.masked_fill(beyond, _GONE)


def _least_likely_first(logits: Tensor, p: float) -> Tensor:
    rising = logits.sort(stable=True).indices
    mass = logits.double().softmax(dim=-1)[rising].cumsum(dim=-1)
    out = torch.full_like(logits, _GONE)
    for id in rising.tolist()[: 1 + int((mass < p).sum())]:
        out[id] = logits[id]
    return out


def _sums_logits(logits: Tensor, p: float) -> Tensor:
    return _first(logits, 1 + int((logits[_ranked(logits)].cumsum(dim=-1) < p).sum()))


def _keeps_equals(logits: Tensor, p: float) -> Tensor:
    ranked = logits.sort(descending=True).values
    m = int((_mass(logits) < p).sum())
    return logits.masked_fill(logits < ranked[min(m, len(ranked) - 1)], _GONE)


def _threshold(logits: Tensor, p: float) -> Tensor:
    return logits.masked_fill(logits.softmax(dim=-1) < p, _GONE)


def _zero_logits(logits: Tensor, p: float) -> Tensor:
    return TopP(p)(logits).masked_fill(TopP(p)(logits) == _GONE, 0.0)


def _probabilities_after_top_p(logits: Tensor, p: float) -> Tensor:
    return TopP(p)(logits).softmax(dim=-1)


def _without_exception(logits: Tensor, p: float) -> Tensor:
    return _first(logits, 1 + int((logits.softmax(dim=-1)[_ranked(logits)].cumsum(dim=-1) < p).sum()))


top_p = Check(
    exercise="6.2",
    name="top_p",
    reference=lambda logits, p: TopP(p)(logits),
    cases=[
        {"logits": torch.tensor([0.2, 0.05, 0.0, 0.3, 0.0, 0.4, 0.05, 0.0, 0.0]).log(), "p": 0.6},
        {"logits": _FOUR_EQUAL, "p": 0.5},
        {"logits": torch.tensor([0.0, 1.0, 6.0, 0.5, 0.0, -1.0, -2.0, -3.0, -4.0]), "p": 0.3},
        {"logits": torch.tensor([0.0, 1.0, 60.0, 0.5, 0.0, -1.0, -2.0, -3.0, -4.0]), "p": 1.0},
    ],
    random=_top_p_case,
    mistakes=[
        Mistake(
            _stops_short,
            "You drop the id that crosses p, so that less than p is left. It stays: the sum has to reach p.",
        ),
        Mistake(
            _stops_short_unguarded,
            "You drop the id that crosses p. It stays: the sum has to reach p. And where the first id alone holds more "
            "than p, nothing at all is left.",
        ),
        Mistake(
            _strictly_short,
            "You keep the ids whose sum is still below p, without the one that reaches it. That one stays, too, so at "
            "least one id always does.",
        ),
        Mistake(_one_too_many, "You keep one id too many: the one that reaches p is the last that stays."),
        Mistake(
            _one_more_at_equality,
            "Nearly: where a sum equals p exactly, you keep one more. At least p is enough, and the set is the "
            "smallest: compare the other way at equality.",
        ),
        Mistake(
            _ranks_as_ids,
            "Your mask is about ranks (first, second, ...), and you lay it over ids. Translate ranks back into ids "
            "with the indices that the sort returns.",
        ),
        Mistake(
            _left_sorted,
            "You return the logits in sorted order, so they belong to other words. Put them back where they came from, "
            "with the indices that the sort returns.",
        ),
        Mistake(_unsorted, "You sum in the order of the ids. Sort first: the likeliest id comes first."),
        Mistake(
            _least_likely_first,
            "You begin with the least likely id. Sort descending: the smallest set takes the likeliest first.",
        ),
        Mistake(_sums_logits, "You sum logits. It is the probabilities that have to reach p: softmax first."),
        Mistake(
            _keeps_equals,
            "You keep every logit that equals the last one, which can be more than needed. The set is the smallest: of "
            "equals the lower ids stay.",
        ),
        Mistake(
            _threshold,
            "You compare each probability by itself with p. Their sum, from the likeliest on, has to reach p.",
        ),
        Mistake(_zero_logits, "A logit of 0 is not “removed”: e^0 = 1. Use -inf."),
        Mistake(
            _probabilities_after_top_p,
            "You return probabilities. Return logits: the survivors as they were, so that another filter may follow.",
        ),
        Mistake(
            _without_exception,
            "Right but for p = 1: a rounded sum reaches 1 before the last ids, and they are lost. p = 1 changes "
            "nothing: give it a line of its own.",
        ),
    ],
    words=WORDS,
)


# -- 6.3 --------------------------------------------------------------------------------------------------------------


def _in_order(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    heated = logits / temperature
    head = _first(heated, k)
    return head if p == 1.0 else _first(head, 1 + int((_mass(head) < p).sum()))


def _filtered_case(generator: torch.Generator) -> Case:
    while True:
        logits = 2 * torch.randn(len(WORDS), generator=generator)
        temperature = round(0.5 + 1.5 * float(torch.rand(1, generator=generator)), 2)
        k = int(torch.randint(1, 12, (1,), generator=generator))
        p = round(0.3 + 0.69 * float(torch.rand(1, generator=generator)), 3)
        if _certain(_first(logits / temperature, k), p):
            return {"logits": logits, "temperature": temperature, "k": k, "p": p}


def _temperature_last(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return TopP(p)(TopK(k)(logits)) / temperature


def _temperature_between(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return TopK(k)(TopP(p)(logits) / temperature)


def _p_before_k(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return TopK(k)(TopP(p)(logits / temperature))


def _multiplied(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return TopP(p)(TopK(k)(logits * temperature))


def _probabilities_between(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return TopP(p)(TopK(k)((logits / temperature).softmax(dim=-1)))


def _cooled_filters_only(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return _in_order(logits, temperature, k, p) * temperature


filtered = Check(
    exercise="6.3",
    name="filtered",
    reference=_in_order,
    cases=[
        {
            "logits": torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0]),
            "temperature": 2.0,
            "k": 9,
            "p": 0.75,
        },
        {
            "logits": torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0]),
            "temperature": 1.0,
            "k": 3,
            "p": 0.86,
        },
    ],
    random=_filtered_case,
    mistakes=[
        Mistake(
            _temperature_last,
            "You apply the temperature last, so top-p has seen the unheated probabilities. Here it comes first.",
        ),
        Mistake(
            _temperature_between,
            "The order is reversed: nested calls act from the inside out. Temperature first, then top-k, then top-p.",
        ),
        Mistake(
            _p_before_k,
            "Your top-p counts on the probabilities of all words. It comes last and sees only what top-k has left: "
            "those probabilities sum to 1 again.",
        ),
        Mistake(_multiplied, "You multiply by the temperature; logits are divided by it."),
        Mistake(
            _probabilities_between,
            "You hand probabilities on. Filters take logits and give logits; each makes its own softmax where it "
            "needs one.",
        ),
        Mistake(
            _cooled_filters_only,
            "The right ids stay, but the survivors lost their temperature: return the divided logits.",
        ),
    ],
    words=WORDS,
)


# -- 6.4 --------------------------------------------------------------------------------------------------------------


def _row_by_row(logits: Tensor) -> Tensor:
    rows = []
    for row in logits.double():
        p = row.softmax(dim=-1)
        agree = sum(float(x) ** 2 for x in p)
        rows.append([z if float(x) >= agree - 1e-9 else _GONE for z, x in zip(row.tolist(), p, strict=True)])
    return torch.tensor(rows, dtype=logits.dtype)


def _p_less_case(generator: torch.Generator) -> Case:
    R, V = ((1, 9), (2, 9), (4, 4), (9, 9), (3, 6))[int(torch.randint(5, (1,), generator=generator))]
    rows: list[Tensor] = []
    while len(rows) < R:
        scale = (0.5, 2.0, 8.0, 100.0)[int(torch.randint(4, (1,), generator=generator))]
        row = scale * torch.randn(V, generator=generator)
        if float(torch.rand(1, generator=generator)) < 0.3:
            row = torch.full((V,), _GONE)
            row[torch.randperm(V, generator=generator)[: 2 ** int(torch.randint(3, (1,), generator=generator))]] = 0.5
            rows.append(row)  # equals: each sum is exact
            continue
        p = row.double().softmax(dim=-1)
        if bool(((p - (p * p).sum()).abs() > _MARGIN).all()):
            rows.append(row)
    return {"logits": torch.stack(rows)}


def _batch_sum(logits: Tensor) -> Tensor:
    p = logits.double().softmax(dim=-1)
    return logits.masked_fill(p < (p * p).sum(), _GONE)


def _without_keepdim(logits: Tensor) -> Tensor:
    p = logits.double().softmax(dim=-1)
    return logits.masked_fill(p < (p * p).sum(dim=-1), _GONE)


def _no_squares(logits: Tensor) -> Tensor:
    p = logits.double().softmax(dim=-1)
    return logits.masked_fill(p < p.sum(dim=-1, keepdim=True), _GONE)


def _mean(logits: Tensor) -> Tensor:
    p = logits.double().softmax(dim=-1)
    return logits.masked_fill(p < (p * p).mean(dim=-1, keepdim=True), _GONE)


def _above_only(logits: Tensor) -> Tensor:
    p = logits.double().softmax(dim=-1)
    return logits.masked_fill(p <= (p * p).sum(dim=-1, keepdim=True), _GONE)


def _columns(logits: Tensor) -> Tensor:
    p = logits.double().softmax(dim=0)
    return logits.masked_fill(p < (p * p).sum(dim=0), _GONE)


def _squares_of_logits(logits: Tensor) -> Tensor:
    return logits.masked_fill(logits < (logits * logits).sum(dim=-1, keepdim=True), _GONE)


def _p_less_zeros(logits: Tensor) -> Tensor:
    kept = _row_by_row(logits)
    return kept.masked_fill(kept == _GONE, 0.0)


p_less = Check(
    exercise="6.4",
    name="p_less",
    reference=_row_by_row,
    cases=[
        {"logits": torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]).log()},
        {"logits": torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.1, 0.1, 0.8]]).log()},
        {"logits": torch.stack([_FOUR_EQUAL, torch.tensor([9.0, 0, 0, 0, 0, 0, 0, 0, 0])])},
    ],
    random=_p_less_case,
    mistakes=[
        Mistake(
            _batch_sum,
            "Your threshold sums over the whole batch, so rows influence each other. Sum over the words of each "
            "row: dim=-1.",
        ),
        Mistake(
            _without_keepdim,
            "Your thresholds have the shape (R,), which lines up with the words instead of the rows (and where R = "
            "V nobody complains). They need the shape (R, 1): keepdim=True.",
        ),
        Mistake(
            _no_squares,
            "The probabilities of a row sum to 1. It is their squares that are summed.",
        ),
        Mistake(
            _mean,
            "That is the mean of the squares, V times too small. Take their sum.",
        ),
        Mistake(
            _above_only,
            "You remove ids that equal the threshold; with equal probabilities that is all of them. They stay.",
        ),
        Mistake(
            _columns, "Your softmax runs down the columns, over different texts. Each row is a distribution: dim=-1."
        ),
        Mistake(_squares_of_logits, "The rule is about probabilities: softmax first."),
        Mistake(_p_less_zeros, "A logit of 0 is not “removed”: e^0 = 1. Use -inf."),
    ],
    words=WORDS,
)
