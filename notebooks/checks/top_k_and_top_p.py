"""The exercises of notebook 06, and the mistakes that are known."""

from __future__ import annotations

import torch
from torch import Tensor

from decoding import Temperature, TopK, TopP

from .checking import Case, Check, Mistake
from .words import WORDS

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
    scale = (2.0, 0.5)[int(torch.randint(2, (1,), generator=generator))]  # some ties, and hardly anything else
    logits = (scale * torch.randn(len(WORDS), generator=generator)).round()
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


def _values_with_their_indices(logits: Tensor, k: int) -> Tensor:
    best = logits.topk(min(k, len(logits)))
    return torch.full_like(logits, _GONE).scatter(0, best.indices, best.values)


def _filled(logits: Tensor, k: int, filling: float) -> Tensor:
    """The survivors, whatever they are, and `filling` everywhere else."""
    survivors = _ranked(logits)[:k]
    return torch.full_like(logits, filling).scatter(0, survivors, logits[survivors])


def _values_with_their_indices_and_stops(logits: Tensor, k: int) -> Tensor:
    best = logits.topk(k)
    return torch.full_like(logits, _GONE).scatter(0, best.indices, best.values)


def _zeros(logits: Tensor, k: int) -> Tensor:
    return _filled(logits, k, 0.0)


def _a_billion(logits: Tensor, k: int) -> Tensor:
    return _filled(logits, k, -1e9)


def _one_too_few(logits: Tensor, k: int) -> Tensor:
    return _first(logits, k - 1)


def _above_the_kth(logits: Tensor, k: int) -> Tensor:
    ranked = logits.sort(descending=True).values
    return logits.masked_fill(logits <= ranked[min(k, len(ranked)) - 1], _GONE)


def _sorted_by_value(logits: Tensor, k: int) -> Tensor:
    ranked = logits.sort(descending=True).values
    return ranked.masked_fill(torch.arange(len(ranked)) >= k, _GONE)


def _only_the_k(logits: Tensor, k: int) -> Tensor:
    return logits.sort(descending=True).values[:k]


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
        {"logits": torch.tensor([1.0, 5.0, 3.0, 4.0]), "k": 2},  # both are worked in the text
        {"logits": torch.tensor([1.0, 3.0, 1.0, 1.0]), "k": 2},
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
        Mistake(
            _values_with_their_indices,
            "The right number of ids stays, but where equal logits compete, not always the lowest: `topk` promises no "
            "order among equals. Sort, with stable=True.",
        ),
        Mistake(
            _values_with_their_indices_and_stops,
            "Two things: `topk` refuses a k above the size of the vocabulary, and it promises no order among equals, "
            "of which the lower ids should stay. Sort all ids, with stable=True, and take the front.",
        ),
        Mistake(_zeros, "A logit of 0 is not “removed”: e^0 = 1, so it may even gain. Use -inf."),
        Mistake(
            _a_billion,
            "-1e9 is a logit like any other: where all are as small, it has a probability again, and nobody can tell "
            "whether the id was removed. Use -inf.",
        ),
        Mistake(_one_too_few, "You keep one id too few: a slice [:n] already stops before its end."),
        Mistake(
            _above_the_kth,
            "The k-th itself stays, too, and you keep only what is larger. But >= alone would let every tie in: "
            "choose ids, not values.",
        ),
        Mistake(
            _sorted_by_value,
            "You return the logits in sorted order, so they belong to other words. Put them back where they came from.",
        ),
        Mistake(
            _only_the_k,
            "You return the k survivors alone. Return all V places, in the order of the ids, with -inf for the others.",
        ),
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


def _right(logits: Tensor, p: float) -> Tensor:
    return logits if p == 1.0 else _first(logits, 1 + int((_mass(logits) < p).sum()))


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


def _a_billion_for_top_p(logits: Tensor, p: float) -> Tensor:
    kept = _right(logits, p)
    return torch.where((kept == _GONE) & (logits != _GONE), torch.full_like(logits, -1e9), kept)


def _without_shift(logits: Tensor, p: float) -> Tensor:
    beyond = logits.softmax(dim=-1)[_ranked(logits)].cumsum(dim=-1) >= p
    beyond[0] = False
    return _first(logits, int((~beyond).sum()))


def _sorted_the_wrong_way_back(logits: Tensor, p: float) -> Tensor:
    ids = _ranked(logits)
    return _without_exception(logits, p)[ids][ids]


def _flipped(logits: Tensor, p: float) -> Tensor:
    return _right(logits.flip(0), p).flip(0)


def _in_place_top_p(logits: Tensor, p: float) -> Tensor:
    return logits.copy_(_without_exception(logits, p))


def _without_exception(logits: Tensor, p: float) -> Tensor:
    return _first(logits, 1 + int((logits.softmax(dim=-1)[_ranked(logits)].cumsum(dim=-1) < p).sum()))


top_p = Check(
    exercise="6.2",
    name="top_p",
    reference=lambda logits, p: TopP(p)(logits),
    cases=[
        {"logits": torch.tensor([0.2, 0.5, 0.3]).log(), "p": 0.7},  # worked in the text
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
            _without_shift,
            "Only the first id is safe in yours; of the others, the one that reaches p goes as well. It always stays: "
            "that is one id more than there are sums below p. (A mask on the sums has to be shifted by one place.)",
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
            _a_billion_for_top_p,
            "-1e9 is a logit like any other, and nobody can tell whether the id was removed. Use -inf.",
        ),
        Mistake(
            _sorted_the_wrong_way_back,
            "Indexing the sorted row by the ids is not the way back: it reads from those places. Write to them.",
        ),
        Mistake(
            _flipped,
            "Of equal logits you keep the higher ids: in an ascending order, flipped or not, ties come the wrong way "
            "round. Sort with descending=True and stable=True.",
        ),
        Mistake(
            _in_place_top_p,
            "Make a new tensor, by `logits.clone()` or `masked_fill` (without the underscore), and change that one.",
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


def _not_heated(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return TopP(p)(TopK(k)(logits))


def _probabilities_at_the_end(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return _in_order(logits, temperature, k, p).softmax(dim=-1)


def _divides_in_place(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return _in_order(logits.div_(temperature), 1.0, k, p)


def _a_list(logits: Tensor, temperature: float, k: int, p: float) -> list[object]:
    return [Temperature(temperature), TopK(k), TopP(p)]


def _made_with_logits(logits: Tensor, temperature: float, k: int, p: float) -> Tensor:
    return TopP(TopK(Temperature(logits, temperature), k), p)  # type: ignore[arg-type, call-arg, return-value]


filtered = Check(
    exercise="6.3",
    name="filtered",
    reference=_in_order,
    cases=[
        {
            "logits": torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0]),
            "temperature": 2.0,
            "k": 5,
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
            "You apply top-p before top-k, so it counts on the probabilities of all words. It comes last and sees only "
            "what top-k has left: those probabilities sum to 1 again.",
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
        Mistake(_not_heated, "The temperature does nothing in yours: divide the logits by it before anything else."),
        Mistake(
            _probabilities_at_the_end,
            "You return probabilities. Return logits: the softmax comes after all filters.",
        ),
        Mistake(
            _divides_in_place,
            "`logits /= t` divides the caller's own tensor. `logits = logits / t` makes a new one.",
        ),
        Mistake(
            _a_list, "You return the processors. Call each with what the one before has made, and return the logits."
        ),
        Mistake(
            _made_with_logits,
            "If it is a processor that complains: it is made with its number alone, and the logits come in a second "
            "pair of brackets, TopK(3)(logits).",
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
    p = logits.softmax(dim=-1)
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


def _column_sums(logits: Tensor) -> Tensor:
    p = logits.double().softmax(dim=-1)
    return logits.masked_fill(p < (p * p).sum(dim=0, keepdim=True), _GONE)


def _logits_against_threshold(logits: Tensor) -> Tensor:
    p = logits.double().softmax(dim=-1)
    return logits.masked_fill(logits < (p * p).sum(dim=-1, keepdim=True), _GONE)


def _keeps_the_unlikely(logits: Tensor) -> Tensor:
    return logits.masked_fill(_row_by_row(logits) != _GONE, _GONE)


def _probabilities_after_p_less(logits: Tensor) -> Tensor:
    p = logits.softmax(dim=-1)
    return p.masked_fill(_row_by_row(logits) == _GONE, 0.0)


def _masked_probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(dim=-1).masked_fill(_row_by_row(logits) == _GONE, _GONE)


def _renormalised_after_p_less(logits: Tensor) -> Tensor:
    return _row_by_row(logits).softmax(dim=-1)


def _times_the_mask(logits: Tensor) -> Tensor:
    return logits * (_row_by_row(logits) != _GONE)


def _in_place_p_less(logits: Tensor) -> Tensor:
    return logits.copy_(_row_by_row(logits))


p_less = Check(
    exercise="6.4",
    name="p_less",
    reference=_row_by_row,
    cases=[
        {"logits": torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]).log()},  # worked in the text
        {"logits": torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.1, 0.1, 0.8]]).log()},
        {"logits": torch.stack([_FOUR_EQUAL, torch.tensor([4.0, 0, 0, 0, 0, 0, 0, 0, 0])])},
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
            "Your threshold is so high that hardly any id passes. The probabilities of a row sum to 1, and `norm` is a "
            "root: it is the sum of their squares itself.",
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
        Mistake(
            _column_sums,
            "Your threshold sums down the columns, over rows that have nothing to do with each other. Sum over the "
            "words of each row, dim=-1, and keep the dimension.",
        ),
        Mistake(
            _logits_against_threshold,
            "You compare logits with the threshold. It is a probability: compare probabilities, and return logits.",
        ),
        Mistake(_keeps_the_unlikely, "Your mask is inverted: the ids below the threshold go, the others stay."),
        Mistake(
            _probabilities_after_p_less,
            "You return probabilities. Decide by them, but return logits: the survivors as they were.",
        ),
        Mistake(
            _masked_probabilities,
            "You mask the probabilities. Decide by them, and mask the logits.",
        ),
        Mistake(
            _renormalised_after_p_less,
            "You return probabilities, renormalised. Stop one step earlier: return the logits, some of them -inf.",
        ),
        Mistake(
            _times_the_mask,
            "A product with a mask of truth values makes removed logits 0, and e^0 = 1 (and -inf times 0 is NaN). "
            "`masked_fill` puts -inf there.",
        ),
        Mistake(
            _in_place_p_less,
            "Make a new tensor, by `masked_fill` (without the underscore) or `logits.clone()`, and change that one.",
        ),
    ],
    words=WORDS,
)
