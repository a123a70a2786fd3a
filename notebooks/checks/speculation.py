"""The exercises of notebook 13, and the mistakes that are known."""

from __future__ import annotations

import torch
from torch import Tensor

from .checking import Case, Check, Mistake


def _below(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (1,), generator=generator))


# -- 13.1 -------------------------------------------------------------------------------------------------------------


def _rows(choices: list[int], V: int = 9) -> Tensor:
    """Logits whose largest are at these ids."""
    logits = torch.arange(V, dtype=torch.float64).flip(0).repeat(len(choices), 1) / 10
    logits[range(len(choices)), choices] = 4.0
    return logits


def _verify_case(generator: torch.Generator) -> Case:
    n = _below(6, generator)
    logits = 2 * torch.randn(n + 1, 9, generator=generator, dtype=torch.float64)
    draft = [int(row.argmax()) for row in logits[:n]]
    for place in range(n):
        if _below(4, generator) == 0:
            draft[place] = _below(9, generator)
    return {"logits": logits, "draft": draft}


def _round(logits: Tensor, draft: list[int]) -> list[int]:
    """The rule, one place after the other."""
    given: list[int] = []
    for place, row in enumerate(logits):
        own = int(row.argmax())
        given.append(own)
        if place == len(draft) or draft[place] != own:
            break
    return given


def _accepted_only(logits: Tensor, draft: list[int]) -> list[int]:
    return _round(logits, draft)[:-1]


def _no_bonus(logits: Tensor, draft: list[int]) -> list[int]:
    return _round(logits, draft)[: len(draft)]


def _no_correction(logits: Tensor, draft: list[int]) -> list[int]:
    given = _round(logits, draft)
    return given if len(given) > len(draft) else given[:-1]


def _agreeing_anywhere(logits: Tensor, draft: list[int]) -> list[int]:
    own = logits.argmax(dim=-1).tolist()
    return [id for id, choice in zip(draft, own, strict=False) if id == choice] + own[-1:]


def _all_choices(logits: Tensor, draft: list[int]) -> list[int]:
    return list(logits.argmax(dim=-1).tolist())


def _trusts_the_draft(logits: Tensor, draft: list[int]) -> list[int]:
    return [*draft, int(logits[-1].argmax())]


def _shifted(logits: Tensor, draft: list[int]) -> list[int]:
    own = logits.argmax(dim=-1).tolist()
    kept = 0
    while kept < len(draft) and draft[kept] == own[kept + 1]:
        kept += 1
    return [*draft[:kept], own[kept]]


def _keeps_the_wrong_one(logits: Tensor, draft: list[int]) -> list[int]:
    given = _round(logits, draft)
    return given if len(given) > len(draft) else draft[: len(given)]


def _wrong_one_and_correction(logits: Tensor, draft: list[int]) -> list[int]:
    given = _round(logits, draft)
    return given if len(given) > len(draft) else [*draft[: len(given)], given[-1]]


def _adds_from_the_last_row(logits: Tensor, draft: list[int]) -> list[int]:
    return [*_round(logits, draft)[:-1], int(logits[-1].argmax())]


def _adds_from_the_row_behind(logits: Tensor, draft: list[int]) -> list[int]:
    given = _round(logits, draft)
    return [*given[:-1], int(logits[min(len(given), len(draft))].argmax())]


def _down_the_columns(logits: Tensor, draft: list[int]) -> list[int]:
    own = logits.argmax(dim=0).tolist()
    kept = 0
    while kept < len(draft) and draft[kept] == own[kept]:
        kept += 1
    return list(own[: kept + 1])


def _one_too_many(logits: Tensor, draft: list[int]) -> list[int]:
    own = logits.argmax(dim=-1).tolist()
    return list(own[: len(_round(logits, draft)) + 1])


def _runs_past_the_end(logits: Tensor, draft: list[int]) -> list[int]:
    own = logits.argmax(dim=-1).tolist()
    kept = 0
    while draft[kept] == own[kept]:
        kept += 1
    return list(own[: kept + 1])


def _agreeing_alone(logits: Tensor, draft: list[int]) -> list[int]:
    return _agreeing_anywhere(logits, draft)[:-1]


def _how_many(logits: Tensor, draft: list[int]) -> int:
    return len(_round(logits, draft)) - 1


def _all_or_nothing(logits: Tensor, draft: list[int]) -> list[int]:
    own = logits.argmax(dim=-1).tolist()
    return list(own) if own[:-1] == draft else own[:1]


_CHOICES = [7, 1, 7, 4, 6]  # of the text: the sofa the moon sat

verify = Check(
    exercise="13.1",
    name="verify",
    reference=_round,
    cases=[
        {"logits": _rows(_CHOICES), "draft": [7, 0, 7, 3]},  # all four are worked in the text
        {"logits": _rows(_CHOICES), "draft": [7, 1, 7, 4]},
        {"logits": _rows(_CHOICES), "draft": [0, 1, 7, 4]},
        {"logits": _rows(_CHOICES[:1]), "draft": []},
    ],
    random=_verify_case,
    mistakes=[
        Mistake(
            _accepted_only,
            "You return the accepted ids alone. Behind them comes one id of the model's own: the right one in the "
            "place of a rejected one, or one more behind a draft that stays whole.",
        ),
        Mistake(
            _no_bonus,
            "Where the whole draft stays, the last row of logits is still unused: the id that it chooses comes for "
            "nothing. n drafted ids can give n + 1, and none gives 1.",
        ),
        Mistake(
            _no_correction,
            "Where a drafted id is rejected, the round ends with the model's own choice in its place; yours ends "
            "before. So a round can give nothing at all, and the text never goes on.",
        ),
        Mistake(
            _agreeing_anywhere,
            "You keep every drafted id that agrees. Behind the first that does not, agreement means nothing: the model "
            "was asked about a text that will never be.",
        ),
        Mistake(
            _agreeing_alone,
            "Two things: behind the first drafted id that does not agree, agreement means nothing; and behind the kept "
            "ones comes one id of the model's own.",
        ),
        Mistake(
            _runs_past_the_end,
            "You go on counting behind the last drafted id. Where all of them agree, stop at `len(draft)`.",
        ),
        Mistake(
            _one_too_many,
            "Your round is one id too long. With k drafted ids kept it has k + 1: the slice is `[: k + 1]`.",
        ),
        Mistake(
            _all_choices,
            "You return the model's choices in all places. Behind the first rejected id they are about a text that "
            "will never be: stop with the choice that takes its place.",
        ),
        Mistake(
            _trusts_the_draft, "You keep the whole draft unseen. Compare each id with the model's choice in its row."
        ),
        Mistake(
            _shifted,
            "You compare each drafted id with the row behind it. Row i is about the id behind i drafted ones: draft[i] "
            "meets row i, and the last row meets none.",
        ),
        Mistake(
            _keeps_the_wrong_one,
            "The last id of your round is the rejected one. The model's own choice takes its place.",
        ),
        Mistake(
            _wrong_one_and_correction,
            "The model's choice comes *in the place of* the rejected id, not behind it.",
        ),
        Mistake(
            _adds_from_the_last_row,
            "The id that you add comes from the last row, behind the whole draft. It belongs to the row in which the "
            "first drafted id was rejected.",
        ),
        Mistake(
            _adds_from_the_row_behind,
            "The id that you add comes from one row too far, behind the rejected id. With k ids kept it is row k.",
        ),
        Mistake(_down_the_columns, "Your argmax runs down the columns. Each row is a distribution: dim=-1."),
        Mistake(
            _how_many, "You return how many ids stay. Return the ids of the round, with the one that the model adds."
        ),
        Mistake(
            _all_or_nothing,
            "You keep the whole draft or none of it. The ids before the first rejected one stay.",
        ),
    ],
)


# -- 13.2 -------------------------------------------------------------------------------------------------------------


def _look_up_case(generator: torch.Generator) -> Case:
    kinds = (2, 3, 3, 9)[_below(4, generator)]  # ids that repeat often, and hardly ever
    ids = [_below(kinds, generator) for _ in range(1 + _below(11, generator))]
    return {"ids": ids, "ngram": 1 + _below(4, generator), "most": 1 + _below(5, generator)}


def _copied(ids: list[int], begin: int, most: int) -> list[int]:
    """`most` ids from this place on; a copy that reaches the end repeats itself."""
    period = ids[begin:]
    return [period[i % len(period)] for i in range(most)]


def _ends(ids: list[int], n: int) -> list[int]:
    """Where the last n ids stood before, as the places behind them, in their order."""
    return [end for end in range(n, len(ids)) if ids[end - n : end] == ids[len(ids) - n :]]


def _latest(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = _ends(ids, n)
        if found:
            return _copied(ids, found[-1], most)
    return []


def _leftmost(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = _ends(ids, n)
        if found:
            return _copied(ids, found[0], most)
    return []


def _meets_itself(ids: list[int], ngram: int, most: int) -> list[int]:
    return []  # from the latest place on, the end meets itself, and nothing follows


def _shortest_first(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(1, ngram + 1):
        found = _ends(ids, n)
        if found:
            return _copied(ids, found[-1], most)
    return []


def _only_the_longest(ids: list[int], ngram: int, most: int) -> list[int]:
    found = _ends(ids, ngram)
    return _copied(ids, found[-1], most) if found else []


def _no_single_id(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 1, -1):
        found = _ends(ids, n)
        if found:
            return _copied(ids, found[-1], most)
    return []


def _stops_at_the_end(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = _ends(ids, n)
        if found:
            return ids[found[-1] : found[-1] + most]
    return []


def _beyond_the_list(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = _ends(ids, n)
        if found:
            return [ids[found[-1] + i] for i in range(most)]
    return []


def _leftmost_and_stops(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = _ends(ids, n)
        if found:
            return ids[found[0] : found[0] + most]
    return []


def _with_the_ngram(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = _ends(ids, n)
        if found:
            return _copied(ids, found[-1] - n, most)
    return []


def _misses_the_first_place(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = [end for end in _ends(ids, n) if end > n]
        if found:
            return _copied(ids, found[-1], most)
    return []


def _no_overlap(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = [end for end in _ends(ids, n) if end <= len(ids) - n]
        if found:
            return _copied(ids, found[-1], most)
    return []


def _wants_enough(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = [end for end in _ends(ids, n) if end + most <= len(ids)]
        if found:
            return _copied(ids, found[-1], most)
    return []


def _all_that_follows(ids: list[int], ngram: int, most: int) -> list[int]:
    for n in range(ngram, 0, -1):
        found = _ends(ids, n)
        if found:
            return ids[found[-1] :]
    return []


def _nothing_where_new(ids: list[int], ngram: int, most: int) -> list[int] | None:
    return _latest(ids, ngram, most) or None


def _in_the_text_itself(ids: list[int], ngram: int, most: int) -> list[int]:
    before = len(ids)
    ids += _latest(ids, ngram, most)
    return ids[before:]


look_up = Check(
    exercise="13.2",
    name="look_up",
    reference=_latest,
    cases=[
        {"ids": [3, 4, 6, 3, 5, 3, 4], "ngram": 2, "most": 2},  # these are worked in the text
        {"ids": [3, 4, 6, 3, 5, 3, 4], "ngram": 3, "most": 2},
        {"ids": [3, 4, 6, 3, 5, 3], "ngram": 1, "most": 2},
        {"ids": [5, 1, 2, 1, 2], "ngram": 3, "most": 5},
        {"ids": [4, 4, 2, 4, 4, 4], "ngram": 2, "most": 2},  # a place that overlaps the end
        {"ids": [3, 4, 6], "ngram": 5, "most": 2},
    ],
    random=_look_up_case,
    mistakes=[
        Mistake(_leftmost, "Of several places you take the first. The latest counts: search from the end."),
        Mistake(
            _meets_itself,
            "Nothing is ever copied. The last ids meet themselves at the end of the text, and nothing follows there: "
            "begin one place before it.",
        ),
        Mistake(
            _shortest_first,
            "You begin with the last id alone, which stands nearly everywhere. Look for the longest run first: `ngram` "
            "ids, then one fewer, and so on.",
        ),
        Mistake(
            _only_the_longest,
            "You look for just `ngram` ids. Where these are new, try fewer, down to one.",
        ),
        Mistake(
            _no_single_id, "Your loop ends before n = 1: a range stops before its end. A single id is worth a try."
        ),
        Mistake(
            _stops_at_the_end,
            "Your copy stops at the end of the text. It goes on with what it has just copied: append id after id to a "
            "copy of the list, and read from that.",
        ),
        Mistake(
            _beyond_the_list,
            "Your copy reads beyond the end of the text. It goes on with what it has just copied: append id after id "
            "to a copy of the list, and read from that.",
        ),
        Mistake(
            _leftmost_and_stops,
            "Two things: of several places the latest counts, not the first; and a copy that reaches the end of the "
            "text goes on with what it has copied.",
        ),
        Mistake(
            _with_the_ngram,
            "You return the ids from the beginning of the place that was found. What counts is what *follows* it: n "
            "further on.",
        ),
        Mistake(
            _misses_the_first_place,
            "You never look at the very beginning of the text. Going down to place 0, a range has to stop at -1.",
        ),
        Mistake(
            _no_overlap,
            "You leave out places that overlap the end. They count: `1, 1, 1` ends with `1, 1`, which stood one place "
            "before.",
        ),
        Mistake(
            _wants_enough,
            "You skip places behind which fewer than `most` ids stand. The latest counts all the same: a copy that "
            "reaches the end goes on with what it has copied.",
        ),
        Mistake(_all_that_follows, "You return all that follows. It is `most` ids, no more and no fewer."),
        Mistake(
            _nothing_where_new, "Where the last id is new you return None. An empty list says it: nothing is drafted."
        ),
        Mistake(
            _in_the_text_itself,
            "You append to the caller's own list. `copied = list(ids)` makes a new one.",
        ),
    ],
)


# -- 13.3 -------------------------------------------------------------------------------------------------------------


def _acceptance_case(generator: torch.Generator) -> Case:
    V = 2 + _below(5, generator)
    p, q = (torch.randn(2, V, generator=generator, dtype=torch.float64) * 1.5).softmax(dim=-1)
    kind = _below(6, generator)
    if kind == 0:
        q = p.clone()
    elif kind == 1:  # a copy, certain of itself
        q = torch.zeros(V, dtype=torch.float64)
        q[_below(V, generator)] = 1.0
    elif kind == 2:  # filters have removed some
        p = p.masked_fill(p < p.max() / 2, 0.0)
        p = p / p.sum()
    possible = q.nonzero()[:, 0].tolist()
    return {"p": p, "q": q, "id": possible[_below(len(possible), generator)]}


_Verdict = tuple[float, Tensor]


def _ratio(p: Tensor, q: Tensor, id: int) -> float:
    return min(float(p[id]) / float(q[id]), 1.0)


def _shared_out(amounts: list[float], otherwise: Tensor) -> Tensor:
    """The amounts as shares of their sum."""
    whole = sum(amounts)
    return torch.tensor([one / whole for one in amounts], dtype=otherwise.dtype) if whole > 0.0 else otherwise.clone()


def _differences(p: Tensor, q: Tensor) -> list[float]:
    return [a - b for a, b in zip(p.tolist(), q.tolist(), strict=True)]


def _rule(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return _ratio(p, q, id), _shared_out([max(one, 0.0) for one in _differences(p, q)], p)


def _upside_down(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return min(float(q[id]) / max(float(p[id]), 1e-300), 1.0), _rule(p, q, id)[1]


def _above_one(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return float(p[id]) / float(q[id]), _rule(p, q, id)[1]


def _p_alone(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return float(p[id]), _rule(p, q, id)[1]


def _smaller_of_both(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return min(float(p[id]), float(q[id])), _rule(p, q, id)[1]


def _rate(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return float(torch.minimum(p, q).sum()), _rule(p, q, id)[1]


def _not_normalised(p: Tensor, q: Tensor, id: int) -> _Verdict:
    surplus = torch.tensor([max(one, 0.0) for one in _differences(p, q)], dtype=p.dtype)
    return _ratio(p, q, id), surplus if bool(surplus.any()) else p.clone()


def _not_normalised_and_zeros(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return _ratio(p, q, id), torch.tensor([max(one, 0.0) for one in _differences(p, q)], dtype=p.dtype)


def _redrawn_from_p(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return _ratio(p, q, id), p.clone()


def _p_without_the_id(p: Tensor, q: Tensor, id: int) -> _Verdict:
    left = [0.0 if one == id else share for one, share in enumerate(p.tolist())]
    return _ratio(p, q, id), _shared_out(left, p)


def _both_directions(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return _ratio(p, q, id), _shared_out([abs(one) for one in _differences(p, q)], p)


def _the_drafts_surplus(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return _ratio(p, q, id), _shared_out([max(-one, 0.0) for one in _differences(p, q)], p)


def _not_cut(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return _ratio(p, q, id), torch.tensor(_differences(p, q), dtype=p.dtype)


def _softmax_of_it(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return _ratio(p, q, id), _not_normalised_and_zeros(p, q, id)[1].softmax(dim=-1)


def _nan_where_equal(p: Tensor, q: Tensor, id: int) -> _Verdict:
    surplus = _not_normalised_and_zeros(p, q, id)[1]
    return _ratio(p, q, id), surplus / surplus.sum()


def _zeros_where_equal(p: Tensor, q: Tensor, id: int) -> _Verdict:
    surplus = _not_normalised_and_zeros(p, q, id)[1]
    return _ratio(p, q, id), surplus / max(float(surplus.sum()), 1e-12)


def _even_where_equal(p: Tensor, q: Tensor, id: int) -> _Verdict:
    surplus = _not_normalised_and_zeros(p, q, id)[1]
    return _ratio(p, q, id), surplus / surplus.sum() if bool(surplus.any()) else torch.full_like(p, 1 / len(p))


def _by_its_own_rejection(p: Tensor, q: Tensor, id: int) -> _Verdict:
    chance, surplus = _ratio(p, q, id), _not_normalised_and_zeros(p, q, id)[1]
    return chance, surplus / (1 - chance) if bool(surplus.any()) else p.clone()


def _cut_in_place(p: Tensor, q: Tensor, id: int) -> _Verdict:
    result = _rule(p, q, id)
    p.sub_(q).clamp_(min=0.0)
    return result


def _the_minimum_taken_away(p: Tensor, q: Tensor, id: int) -> _Verdict:
    return _ratio(p, q, id), _shared_out(torch.minimum(p, q).tolist(), p)


_P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
_Q = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)

acceptance = Check(
    exercise="13.3",
    name="acceptance",
    reference=_rule,
    cases=[
        {"p": _P, "q": _Q, "id": 2},  # worked in the text
        {"p": _P, "q": _Q, "id": 0},
        {"p": _P, "q": torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), "id": 1},
        {"p": torch.tensor([0.75, 0.25], dtype=torch.float64), "q": torch.tensor([0.75, 0.25]).double(), "id": 1},
    ],
    random=_acceptance_case,
    mistakes=[
        Mistake(
            _upside_down,
            "Your ratio is upside down: an id that q writes too *often* has to be thinned out. It stays with p / q.",
        ),
        Mistake(_above_one, "A probability is at most 1. Where p is more than q, the id always stays: min(1, p / q)."),
        Mistake(
            _p_alone,
            "You keep the id with probability p. It has already passed a draw from q; divide by that: p / q.",
        ),
        Mistake(
            _smaller_of_both,
            "min(p, q) is the chance that the id is drafted *and* stays. Here it has been drafted: divide by q, which "
            "gives min(1, p / q).",
        ),
        Mistake(
            _rate,
            "The sum of min(p, q) is the chance that *some* draft stays. This one stays with min(1, p / q) of its id.",
        ),
        Mistake(
            _not_normalised,
            "Your residual does not sum to 1. Its sum is the chance of a rejection; divide by it.",
        ),
        Mistake(
            _not_normalised_and_zeros,
            "Two things: the residual has to sum to 1, so divide it by its sum; and where that sum is 0, as p equals "
            "q, return p.",
        ),
        Mistake(
            _redrawn_from_p,
            "You draw again from p. Ids that q likes would then come too often: some of their drafts stay, and the new "
            "draw adds more. Only what p has *more* than q is missing.",
        ),
        Mistake(
            _p_without_the_id,
            "You draw again from p without the rejected id. But others that q writes too often have had their share, "
            "too. Only what p has *more* than q is missing.",
        ),
        Mistake(
            _both_directions,
            "|p - q| also counts ids that q writes too often. Those must not come again: max(p - q, 0).",
        ),
        Mistake(_the_drafts_surplus, "Your difference is the wrong way round: p has to have more, not q."),
        Mistake(_not_cut, "A probability is never negative. Where q is more than p the residual is 0; then normalise."),
        Mistake(
            _even_where_equal,
            "Right but for one case: where p equals q no residual is left. Return p there, not an even distribution.",
        ),
        Mistake(
            _by_its_own_rejection,
            "You divide by the chance that *this* id is rejected. Divide by the sum of the residual itself, which is "
            "the chance that *some* draft is.",
        ),
        Mistake(
            _softmax_of_it,
            "A softmax is for logits, and would give every id something. These are amounts already: divide them by "
            "their sum.",
        ),
        Mistake(
            _nan_where_equal,
            "Right but for one case: where p equals q, the residual is 0 everywhere, and 0 / 0 is NaN. Return p there.",
        ),
        Mistake(
            _zeros_where_equal,
            "Right but for one case: where p equals q, the residual is 0 everywhere, and nothing could be drawn. "
            "Return p there.",
        ),
        Mistake(
            _cut_in_place,
            "You change the caller's p: functions with an underscore at their end work in place. Use `(p - "
            "q).clamp(min=0)`.",
        ),
        Mistake(
            _the_minimum_taken_away,
            "min(p, q) is what the accepted drafts give already. What is missing is the rest of p: p - min(p, q).",
        ),
    ],
)


# -- 13.4 -------------------------------------------------------------------------------------------------------------


def _speed_case(generator: torch.Generator) -> Case:
    a = (1.0, 0.0, 0.5, *torch.rand(5, generator=generator).tolist())[_below(8, generator)]
    n = 1 + _below(8, generator)
    c = round(float(torch.rand(1, generator=generator)), 3)
    return {"a": round(a, 3), "n": n, "c": c, "b": round(1 + float(torch.rand(1, generator=generator)), 3)}


def _terms(a: float, first: int, last: int) -> float:
    """The powers of a from one exponent to the other, added up."""
    total, power = 0.0, a**first
    for _ in range(first, last + 1):
        total += power
        power *= a
    return total


def _gained(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n) / (b + c * n)


def _divides_by_zero(a: float, n: int, c: float, b: float) -> float:
    return (1.0 - a ** (n + 1)) / (1.0 - a) / (b + c * n)


def _without_the_models_own(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n - 1) / (b + c * n)


def _without_the_models_own_unguarded(a: float, n: int, c: float, b: float) -> float:
    return (1.0 - a**n) / (1.0 - a) / (b + c * n)


def _accepted_ids(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 1, n) / (b + c * n)


def _each_on_its_own(a: float, n: int, c: float, b: float) -> float:
    return (n * a + 1) / (b + c * n)


def _ids_of_a_round(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n)


def _free_drafts(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n) / b


def _free_check(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n) / (1 + c * n)


def _one_draft_too_many(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n) / (b + c * (n + 1))


def _one_call_of_the_draft(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n) / (b + c)


def _check_of_each(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n) / (n * (b + c))


def _the_time(a: float, n: int, c: float, b: float) -> float:
    return (b + c * n) / _terms(a, 0, n)


def _no_brackets(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n) / n * c + b


def _each_checked_alone(a: float, n: int, c: float, b: float) -> float:
    return _terms(a, 0, n) / (n * c + (n + 1) * b)


def _one_where_certain(a: float, n: int, c: float, b: float) -> float:
    return n / (b + c * n) if a == 1 else _gained(a, n, c, b)


speed_up = Check(
    exercise="13.4",
    name="speed_up",
    reference=_gained,
    cases=[
        {"a": 0.8, "n": 4, "c": 0.1, "b": 1.2},  # worked in the text
        {"a": 1.0, "n": 4, "c": 0.0, "b": 1.0},
        {"a": 0.0, "n": 2, "c": 0.5, "b": 1.0},
    ],
    random=_speed_case,
    mistakes=[
        Mistake(
            _divides_by_zero,
            "Right but for a = 1, where the formula divides 0 by 0. Then all n + 1 ids come: give it a line of its "
            "own.",
        ),
        Mistake(
            _without_the_models_own,
            "One term is missing: 1 + a + ... + a^n has n + 1 of them. Even a draft that stays whole is followed by "
            "an id of the model's own.",
        ),
        Mistake(
            _without_the_models_own_unguarded,
            "Two things: the exponent is n + 1, as the sum has n + 1 terms; and a = 1 needs a line of its own.",
        ),
        Mistake(
            _accepted_ids,
            "You count the accepted ids only. The model adds one in every round: the sum begins with 1.",
        ),
        Mistake(
            _each_on_its_own,
            "n times a would be right if each drafted id stayed or went by itself. Behind a rejected one nothing "
            "stays: the i-th has the probability a^i.",
        ),
        Mistake(_ids_of_a_round, "You return the ids of a round. Divide them by what the round costs: n c + b."),
        Mistake(_free_drafts, "Your drafts cost nothing. Each of the n ids takes a call of the draft, c each."),
        Mistake(_free_check, "You take 1 for the price of the check. It has n + 1 ids and costs b."),
        Mistake(_one_draft_too_many, "n ids are drafted, in n calls; the id behind them comes from the model itself."),
        Mistake(_one_call_of_the_draft, "The draft writes its n ids one after the other: it is called n times."),
        Mistake(_check_of_each, "All drafted ids are checked in a single call, which costs b once."),
        Mistake(_no_brackets, "The whole cost divides: put brackets around n c + b."),
        Mistake(_each_checked_alone, "b is the price of the whole check, with all its n + 1 ids: it comes once."),
        Mistake(_the_time, "That is the time for an id. The speed-up is the other way round: ids divided by costs."),
        Mistake(_one_where_certain, "With a = 1 there are n + 1 ids: n drafted ones, and one of the model's own."),
    ],
)
