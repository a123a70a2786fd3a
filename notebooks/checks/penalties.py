"""The exercises of notebook 08, and the mistakes that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .checking import Case, Check, Mistake
from .words import WORDS

_GONE = -torch.inf
_NINE = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])
_SAID = [7, 5, 6, 8, 7, 0]  # the cat sat on the mat

Ids = list[int]


def _some_ids(generator: torch.Generator, most: int, n_vocab: int = len(WORDS)) -> Ids:
    length = int(torch.randint(most + 1, (1,), generator=generator))
    return torch.randint(n_vocab, (length,), generator=generator).tolist()


def _some_logits(generator: torch.Generator) -> Tensor:
    logits = 2 * torch.randn(len(WORDS), generator=generator)
    logits[torch.rand(len(WORDS), generator=generator) < 0.15] = _GONE
    logits[int(torch.randint(len(WORDS), (1,), generator=generator))] = 1.5  # something is left
    return logits


def _some_number(generator: torch.Generator, least: float, most: float) -> float:
    return round(least + (most - least) * float(torch.rand(1, generator=generator)), 2)


# -- 8.1 --------------------------------------------------------------------------------------------------------------


def _penalty_case(generator: torch.Generator) -> Case:
    logits, ids = _some_logits(generator), _some_ids(generator, 8)
    return {"logits": logits, "ids": ids, "penalty": _some_number(generator, 0.6, 2.5)}


def _penalised(z: float, penalty: float) -> float:
    return z / penalty if z > 0 else z * penalty


def _changed(logits: Tensor, where: Ids, rule: Callable[[float], float]) -> Tensor:
    """The logits with a rule applied at each of these places, in their order, as often as they are named."""
    values = logits.tolist()
    for id in where:
        values[id] = rule(values[id])
    return torch.tensor(values, dtype=logits.dtype)


def _once_each(ids: Ids) -> Ids:
    return list(dict.fromkeys(ids))


def _repetition_penalty(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, _once_each(ids), lambda z: _penalised(z, penalty))


def _divides_all(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, _once_each(ids), lambda z: z / penalty)


def _divides_all_in_place(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return logits.copy_(_divides_all(logits, ids, penalty))


def _divides_each_time(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, ids, lambda z: z / penalty)


def _multiplies_all(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, _once_each(ids), lambda z: z * penalty)


def _signs_swapped(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, _once_each(ids), lambda z: z * penalty if z > 0 else z / penalty)


def _once_an_occurrence(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, ids, lambda z: _penalised(z, penalty))


def _only_the_last(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, ids[-1:], lambda z: _penalised(z, penalty))


def _only_the_positive(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, _once_each(ids), lambda z: z / penalty if z > 0 else z)


def _only_repeated(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, [id for id in _once_each(ids) if ids.count(id) > 1], lambda z: _penalised(z, penalty))


def _every_id(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, list(range(len(logits))), lambda z: _penalised(z, penalty))


def _the_others(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, [id for id in range(len(logits)) if id not in ids], lambda z: _penalised(z, penalty))


def _subtracts(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, _once_each(ids), lambda z: z - penalty)


def _removes(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _changed(logits, _once_each(ids), lambda z: _GONE)


def _on_probabilities(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _repetition_penalty(logits.softmax(dim=-1), ids, penalty)


def _on_logprobs(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _repetition_penalty(logits.log_softmax(dim=-1), ids, penalty)


def _softmax_at_the_end(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return _repetition_penalty(logits, ids, penalty).softmax(dim=-1)


def _penalty_in_place(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return logits.copy_(_repetition_penalty(logits, ids, penalty))


def _each_time_in_place(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    return logits.copy_(_once_an_occurrence(logits, ids, penalty))


def _stops_without_ids(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    logits[torch.tensor(ids)]  # IndexError: a tensor of no numbers holds floats
    return _repetition_penalty(logits, ids, penalty)


def _only_those_said(logits: Tensor, ids: Ids, penalty: float) -> Tensor:
    """By a mask, which makes the others 0."""
    said = torch.zeros_like(logits).index_fill(0, torch.tensor(ids, dtype=torch.int64), 1.0) > 0
    return _repetition_penalty(logits, ids, penalty).where(said, 0.0)


repetition_penalty = Check(
    exercise="8.1",
    name="repetition_penalty",
    reference=_repetition_penalty,
    cases=[
        {"logits": torch.tensor([4.0, 3.0, -1.0]), "ids": [2, 0, 2], "penalty": 2.0},  # worked in the text
        {"logits": _NINE, "ids": _SAID, "penalty": 1.5},
        {"logits": torch.tensor([1.0, _GONE, -2.0]), "ids": [1, 0], "penalty": 0.5},
        {"logits": torch.tensor([1.0, 2.0, -2.0]), "ids": [], "penalty": 1.3},
    ],
    random=_penalty_case,
    mistakes=[
        Mistake(
            _divides_all,
            "You divide negative logits, too. That brings them nearer to zero, and what was said becomes likelier. "
            "Multiply those.",
        ),
        Mistake(
            _divides_all_in_place,
            "Two things: dividing a negative logit makes it larger, so multiply those; and work on a copy, "
            "`logits.clone()`, not on the caller's tensor.",
        ),
        Mistake(
            _divides_each_time,
            "Two things: you divide once for every occurrence, where `set(ids)` has each id once; and a negative logit "
            "has to be multiplied.",
        ),
        Mistake(
            _multiplies_all,
            "You multiply positive logits, too, which makes what was said likelier. Divide those.",
        ),
        Mistake(_signs_swapped, "The two cases are swapped: positive logits are divided, negative ones multiplied."),
        Mistake(
            _once_an_occurrence,
            "An id that stands in the list twice is penalised twice. This penalty asks whether, not how often: go "
            "through `set(ids)`.",
        ),
        Mistake(_only_the_last, "You penalise the last id only. All ids of the list have occurred."),
        Mistake(_only_the_positive, "Negative logits stay as they were in yours. Multiply those by the penalty."),
        Mistake(
            _only_repeated,
            "You penalise only what stands in the list twice. Saying an id once is enough: the penalty is to prevent "
            "the second time.",
        ),
        Mistake(_every_id, "You penalise all ids. Those that have not occurred stay as they are."),
        Mistake(_the_others, "You penalise the ids that have not occurred, and leave those that have."),
        Mistake(_subtracts, "You subtract the penalty. That is a presence penalty; this one divides or multiplies."),
        Mistake(_removes, "You remove what has been said. It only becomes less likely."),
        Mistake(
            _on_probabilities,
            "You work on probabilities, which are all positive. The rule is about logits, before any softmax.",
        ),
        Mistake(
            _on_logprobs,
            "You take log-probabilities first, which are all negative, so that the rule is another one. Take the "
            "logits as they come.",
        ),
        Mistake(
            _softmax_at_the_end,
            "You return probabilities. Return logits, so that another processor may follow.",
        ),
        Mistake(
            _penalty_in_place,
            "Make a copy, `logits.clone()`, and write to that.",
        ),
        Mistake(
            _each_time_in_place,
            "Two things: work on a copy, `logits.clone()`; and an id that stands in the list twice is penalised once: "
            "`set(ids)`.",
        ),
        Mistake(
            _stops_without_ids,
            "`torch.tensor([])` holds no whole numbers, so it cannot be an index. Write torch.tensor(ids, "
            "dtype=torch.int64), or loop over the ids.",
        ),
        Mistake(
            _only_those_said,
            "The ids that have not occurred come out as 0. They keep their own logits.",
        ),
    ],
    words=WORDS,
)


# -- 8.2 --------------------------------------------------------------------------------------------------------------


def _frequency_case(generator: torch.Generator) -> Case:
    return {
        "logits": _some_logits(generator),
        "ids": _some_ids(generator, 10),
        "frequency": _some_number(generator, -1.0, 2.0),
        "presence": _some_number(generator, -1.0, 2.0),
    }


def _lowered(logits: Tensor, amounts: Callable[[int], float]) -> Tensor:
    """Each logit less what is said of its id."""
    return torch.tensor([z - amounts(id) for id, z in enumerate(logits.tolist())], dtype=logits.dtype)


def _frequency_and_presence(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: frequency * ids.count(id) + presence * (id in ids))


def _swapped(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _frequency_and_presence(logits, ids, presence, frequency)


def _added(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _frequency_and_presence(logits, ids, -frequency, -presence)


def _frequency_once(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: (frequency + presence) * (id in ids))


def _presence_each_time(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: (frequency + presence) * ids.count(id))


def _frequency_alone(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: frequency * ids.count(id))


def _presence_alone(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: presence * (id in ids))


def _presence_for_all(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: frequency * ids.count(id) + presence)


def _first_is_free(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: frequency * max(ids.count(id) - 1, 0) + presence * (id in ids))


def _needs_two(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: frequency * ids.count(id) + presence * (ids.count(id) > 1))


def _relative(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _lowered(logits, lambda id: frequency * ids.count(id) / max(len(ids), 1) + presence * (id in ids))


def _multiplied(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return torch.tensor([_times(z, ids.count(id), frequency, presence) for id, z in enumerate(logits.tolist())])


def _times(z: float, count: int, frequency: float, presence: float) -> float:
    return z * (1 - frequency * count - presence) if count else z


def _probabilities_lowered(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _frequency_and_presence(logits.softmax(dim=-1), ids, frequency, presence)


def _lowered_in_place(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return logits.copy_(_frequency_and_presence(logits, ids, frequency, presence))


def _counts_of_those_there(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    counts = torch.bincount(torch.tensor(ids, dtype=torch.int64))  # as long as the largest id demands
    return logits - frequency * counts - presence * (counts > 0).float()


def _stops_counting_none(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    torch.bincount(torch.tensor(ids))  # NotImplementedError: a tensor of no numbers holds floats
    return _frequency_and_presence(logits, ids, frequency, presence)


def _stops_and_is_short(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    counts = torch.bincount(torch.tensor(ids))
    return logits - frequency * counts - presence * (counts > 0).float()


def _the_amounts(logits: Tensor, ids: Ids, frequency: float, presence: float) -> Tensor:
    return _frequency_and_presence(torch.zeros_like(logits), ids, -frequency, -presence)


frequency_and_presence = Check(
    exercise="8.2",
    name="frequency_and_presence",
    reference=_frequency_and_presence,
    cases=[
        {"logits": torch.tensor([4.0, 3.0, -1.0]), "ids": [2, 0, 2], "frequency": 0.5, "presence": 0.25},  # in the text
        {"logits": _NINE, "ids": _SAID, "frequency": 0.5, "presence": 0.2},
        {"logits": torch.tensor([1.0, 2.0, -2.0]), "ids": [], "frequency": 1.0, "presence": 1.0},
        {"logits": torch.tensor([1.0, 2.0, -2.0]), "ids": [1, 1, 1], "frequency": 0.0, "presence": -1.0},
    ],
    random=_frequency_case,
    mistakes=[
        Mistake(_swapped, "The two numbers are swapped: frequency is what counts every occurrence."),
        Mistake(_added, "You add. A penalty is subtracted: what has been said becomes less likely."),
        Mistake(
            _frequency_once,
            "Each id loses the frequency penalty once only, however often it occurs. (`x[ids] += 1` adds 1 once, even "
            "where an id stands there twice: count in a loop, or with bincount.)",
        ),
        Mistake(_presence_each_time, "Presence is subtracted for every occurrence. It asks whether, and counts once."),
        Mistake(_frequency_alone, "The presence penalty is missing: an id that has occurred loses it, once."),
        Mistake(_presence_alone, "The frequency penalty is missing: it is subtracted for every occurrence."),
        Mistake(_presence_for_all, "You subtract presence from all ids. Only those that have occurred lose it."),
        Mistake(_first_is_free, "You leave the first occurrence out. It counts: c is how often an id has occurred."),
        Mistake(_needs_two, "Presence begins with the first occurrence: c > 0, not c > 1."),
        Mistake(_relative, "You divide the counts by the length of the text. They are plain counts."),
        Mistake(_multiplied, "You scale the logits. These penalties subtract, and so do not care where zero is."),
        Mistake(
            _probabilities_lowered,
            "You subtract from probabilities, which can make them negative. Subtract from the logits.",
        ),
        Mistake(_lowered_in_place, "Make a new tensor instead of changing the caller's: `logits - ...` is one."),
        Mistake(
            _counts_of_those_there,
            "`torch.bincount` is only as long as the largest id demands. Give it minlength=len(logits).",
        ),
        Mistake(
            _stops_counting_none,
            "`torch.tensor([])` holds no whole numbers, and bincount counts only those. Write torch.tensor(ids, "
            "dtype=torch.int64), or count in a loop.",
        ),
        Mistake(
            _stops_and_is_short,
            "Two things: bincount counts whole numbers only, and `torch.tensor([])` holds none, so write "
            "torch.tensor(ids, dtype=torch.int64); and give it minlength=len(logits), a bin for every id.",
        ),
        Mistake(_the_amounts, "You return what is to be subtracted. Subtract it from the logits."),
    ],
    words=WORDS,
)


# -- 8.3 --------------------------------------------------------------------------------------------------------------


def _ngram_case(generator: torch.Generator) -> Case:
    n_vocab = int(torch.randint(2, 5, (1,), generator=generator))  # few ids, many repetitions
    return {
        "ids": _some_ids(generator, 12, n_vocab),
        "n": int(torch.randint(1, 5, (1,), generator=generator)),
    }


def _followers(ids: Ids, before: int, places: range) -> Ids:
    """What stands at these places, where the `before` ids in front of it are the last ones of the text."""
    end = ids[len(ids) - before :] if before <= len(ids) else None
    return [ids[place] for place in places if place >= before and ids[place - before : place] == end]


def _banned_next(ids: Ids, n: int) -> Ids:
    """By all n-grams of the text."""
    grams = {tuple(ids[i : i + n]) for i in range(len(ids)) if i + n <= len(ids)}
    return sorted({gram[-1] for gram in grams if (*ids[len(ids) - n + 1 :], gram[-1]) == gram})


def _compares_n(ids: Ids, n: int) -> Ids:
    return sorted(set(_followers(ids, n, range(len(ids)))))


def _compares_too_few(ids: Ids, n: int) -> Ids:
    return sorted(set(_followers(ids, max(n - 2, 0), range(len(ids)))))


def _misses_the_last(ids: Ids, n: int) -> Ids:
    return sorted(set(_followers(ids, n - 1, range(len(ids) - 1))))


def _goes_too_far(ids: Ids, n: int) -> Ids:
    end = ids[len(ids) - (n - 1) :]
    return sorted({ids[i + n - 1] for i in range(len(ids) - n + 2) if ids[i : i + n - 1] == end})


def _from_every_place(ids: Ids, n: int) -> Ids:
    end = ids[len(ids) - (n - 1) :]
    return sorted({ids[i + n - 1] for i in range(len(ids)) if ids[i : i + n - 1] == end})  # IndexError, at the end


def _round_the_end(ids: Ids, n: int) -> Ids:
    """ids[-1] before ids[0]."""
    return sorted({id for i, id in enumerate(ids) if all(ids[i - k] == ids[-k] for k in range(1, n))})


def _minus_zero(ids: Ids, n: int) -> Ids:
    end = ids[-(n - 1) :]
    return sorted({ids[i + n - 1] for i in range(len(ids) - n + 1) if ids[i : i + n - 1] == end})


def _first_of_the_ngram(ids: Ids, n: int) -> Ids:
    places = [place for place in range(n - 1, len(ids)) if ids[place - n + 1 : place] == ids[len(ids) - n + 1 :]]
    return sorted({ids[place - n + 1] for place in places})


def _whole_ngrams(ids: Ids, n: int) -> list[Any]:
    return [(*ids[len(ids) - n + 1 :], id) for id in _banned_next(ids, n)]


def _first_match(ids: Ids, n: int) -> Ids:
    return _followers(ids, n - 1, range(len(ids)))[:1]


def _latest_match(ids: Ids, n: int) -> Ids:
    return _followers(ids, n - 1, range(len(ids)))[-1:]


def _with_duplicates(ids: Ids, n: int) -> Ids:
    return sorted(_followers(ids, n - 1, range(len(ids))))


def _in_order_of_the_text(ids: Ids, n: int) -> Ids:
    return list(dict.fromkeys(_followers(ids, n - 1, range(len(ids)))))


def _in_order_with_duplicates(ids: Ids, n: int) -> Ids:
    return _followers(ids, n - 1, range(len(ids)))


def _as_a_set(ids: Ids, n: int) -> set[int]:
    return set(_banned_next(ids, n))


def _all_said(ids: Ids, n: int) -> Ids:
    return sorted(set(ids)) if len(ids) >= n else []


def _ngrams_said_twice(ids: Ids, n: int) -> Ids:
    found = _followers(ids, n - 1, range(len(ids)))
    return sorted({id for id in found if found.count(id) > 1})


def _in_any_order(ids: Ids, n: int) -> Ids:
    end = sorted(ids[len(ids) - n + 1 :])
    return sorted({ids[i] for i in range(n - 1, len(ids)) if sorted(ids[i - n + 1 : i]) == end})


def _no_overlap(ids: Ids, n: int) -> Ids:
    return sorted(set(_followers(ids, n - 1, range(len(ids) - n + 1))))


def _up_to_n(ids: Ids, n: int) -> Ids:
    return sorted({id for m in range(1, n + 1) for id in _banned_next(ids, m)})


banned_next = Check(
    exercise="8.3",
    name="banned_next",
    reference=_banned_next,
    cases=[
        {"ids": [7, 3, 6, 8, 7, 0, 6, 8], "n": 3},  # both are worked in the text
        {"ids": [1, 4, 1, 2, 1], "n": 2},
        {"ids": [5, 5], "n": 2},
        {"ids": [3, 1, 3], "n": 1},
        {"ids": [4, 4], "n": 4},
        {"ids": [2, 9, 2, 6, 2, 9, 2], "n": 2},
    ],
    random=_ngram_case,
    mistakes=[
        Mistake(
            _compares_n,
            "You compare the last n ids. The id to come is part of the n-gram, so it is the last n - 1 that have to "
            "have occurred.",
        ),
        Mistake(_compares_too_few, "You compare the last n - 2 ids. n - 1 of them and the id to come make n."),
        Mistake(
            _misses_the_last,
            "You stop one place too early: the last id of the text, too, may be the end of an earlier n-gram, as in "
            "[5, 5] with n = 2.",
        ),
        Mistake(
            _goes_too_far,
            "You go one place too far: the last n - 1 ids match themselves, and nothing stands behind them yet.",
        ),
        Mistake(
            _from_every_place,
            "An index runs out of the list. The last n - 1 ids match themselves, and nothing stands behind them yet: "
            "the last place where an n-gram begins is len(ids) - n.",
        ),
        Mistake(
            _round_the_end,
            "You look over the beginning: in Python ids[-1] is the last id. Only places with n - 1 ids before them "
            "count.",
        ),
        Mistake(
            _minus_zero,
            "`ids[-(n - 1):]` is everything for n = 1, since -0 is 0. Count from the front: "
            "`ids[len(ids) - (n - 1):]`, or treat n = 1 by itself.",
        ),
        Mistake(
            _first_of_the_ngram,
            "You ban the first id of each n-gram that was found. It is its last one that may not come.",
        ),
        Mistake(_whole_ngrams, "You return whole n-grams. Only the last id of each is asked for."),
        Mistake(_first_match, "You stop at the first match. What followed any of them is banned."),
        Mistake(_latest_match, "Only the latest match counts in yours. What followed any of them is banned."),
        Mistake(_with_duplicates, "An id that has followed twice is in your list twice. Collect in a set first."),
        Mistake(_in_order_of_the_text, "The right ids, in the order of the text. Return them in ascending order."),
        Mistake(
            _in_order_with_duplicates,
            "Your list is in the order of the text, and has ids twice. `sorted(set(...))` mends both.",
        ),
        Mistake(_as_a_set, "The right ids, as a set. `sorted(...)` makes the list of it."),
        Mistake(_all_said, "You ban whatever has occurred. Only what has followed the last n - 1 ids is banned."),
        Mistake(
            _ngrams_said_twice,
            "You wait until an n-gram has occurred twice. Once is enough: the second time is to be prevented.",
        ),
        Mistake(_in_any_order, "You compare without regard to order. An n-gram is a run of ids in their order."),
        Mistake(
            _no_overlap,
            "Yours leaves out matches that overlap with the last ids. They count, as in [5, 5] with n = 2.",
        ),
        Mistake(_up_to_n, "You ban shorter repetitions, too. Only runs of exactly n ids count."),
    ],
)


# -- 8.4 --------------------------------------------------------------------------------------------------------------


def _suffix_case(generator: torch.Generator) -> Case:
    n_vocab = int(torch.randint(2, 5, (1,), generator=generator))
    ids = _some_ids(generator, 14, n_vocab)
    if len(ids) > 3 and float(torch.rand(1, generator=generator)) < 0.6:  # a long repetition
        ids = [*ids, *ids[: int(torch.randint(1, len(ids), (1,), generator=generator))]]
    return {"ids": ids, "n_vocab": n_vocab + int(torch.randint(3, (1,), generator=generator))}


def _match_at(ids: Ids, place: int) -> int:
    """How many ids before this place are the last ones of the text."""
    fits = (n for n in range(place, 0, -1) if ids[place - n : place] == ids[-n:])
    return next(fits, 0)


def _by_places(ids: Ids, n_vocab: int, length_at: Callable[[int], int], choose: Callable[[Ids], int] = max) -> Ids:
    """For each id, one number made of those of all places where it stands."""
    found: list[Ids] = [[] for _ in range(n_vocab)]
    for place, id in enumerate(ids):
        found[id].append(length_at(place))
    return [choose(lengths) if lengths else 0 for lengths in found]


def _repeat_lengths(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: _match_at(ids, place))


def _latest_place(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: _match_at(ids, place), lambda lengths: lengths[-1])


def _first_place(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: _match_at(ids, place), lambda lengths: lengths[0])


def _shortest(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: _match_at(ids, place), min)


def _summed(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: _match_at(ids, place), sum)


def _with_the_id(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: _match_at(ids, place) + 1)


def _with_the_id_where_any(ids: Ids, n_vocab: int) -> Ids:
    return [length + 1 if length else 0 for length in _repeat_lengths(ids, n_vocab)]


def _occurrences(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: int(_match_at(ids, place) > 0), sum)


def _one_at_most(ids: Ids, n_vocab: int) -> Ids:
    return [min(length, 1) for length in _repeat_lengths(ids, n_vocab)]


def _does_not_break(ids: Ids, n_vocab: int) -> Ids:
    """All ids that agree, with gaps."""
    return _by_places(ids, n_vocab, lambda place: sum(ids[place - n] == ids[-n] for n in range(1, place + 1)))


def _round_the_corner(ids: Ids, n_vocab: int) -> Ids:
    """ids[-1] before ids[0]."""

    def length_at(place: int) -> int:
        n = 0
        while n < len(ids) and ids[place - 1 - n] == ids[-1 - n]:
            n += 1
            if place - 1 - n < -len(ids):
                break
        return n

    return _by_places(ids, n_vocab, length_at)


def _over_the_beginning(ids: Ids, n_vocab: int) -> Ids:
    def length_at(place: int) -> int:
        n = 0
        while ids[place - 1 - n] == ids[len(ids) - 1 - n]:  # IndexError, where nothing differs
            n += 1
        return n

    return _by_places(ids, n_vocab, length_at)


def _over_the_beginning_but_from_one(ids: Ids, n_vocab: int) -> Ids:
    def length_at(place: int) -> int:
        n = 0
        while place and ids[place - 1 - n] == ids[-1 - n]:  # IndexError, where the text is one id again and again
            n += 1
        return n

    return _by_places(ids, n_vocab, length_at)


def _misses_the_beginning(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: min(_match_at(ids, place), max(place - 1, 0)))


def _forwards(ids: Ids, n_vocab: int) -> Ids:
    """The beginning of the text against what stands before each id."""

    def length_at(place: int) -> int:
        return next((n for n in range(place, 0, -1) if ids[place - n : place] == ids[:n]), 0)

    return _by_places(ids, n_vocab, length_at)


def _misses_the_last_place(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids[:-1], n_vocab, lambda place: _match_at(ids, place))


def _ends_with_the_id(ids: Ids, n_vocab: int) -> Ids:
    """The match ends with x itself instead of before it."""
    return _by_places(ids[:-1], n_vocab, lambda place: _match_at(ids, place + 1))


def _without_overlap(ids: Ids, n_vocab: int) -> Ids:
    return _by_places(ids, n_vocab, lambda place: min(_match_at(ids, place), len(ids) - place))


def _by_id(ids: Ids, n_vocab: int) -> dict[int, int]:
    return {id: length for id, length in enumerate(_repeat_lengths(ids, n_vocab)) if length}


def _a_tensor(ids: Ids, n_vocab: int) -> Tensor:
    return torch.tensor(_repeat_lengths(ids, n_vocab))


def _one_a_place(ids: Ids, n_vocab: int) -> Ids:
    return [_match_at(ids, place) for place in range(len(ids))]


repeat_lengths = Check(
    exercise="8.4",
    name="repeat_lengths",
    reference=_repeat_lengths,
    cases=[
        {"ids": [7, 5, 6, 8, 7, 0, 7, 3, 6, 8, 7], "n_vocab": 9},  # both are worked in the text
        {"ids": [5, 5, 5], "n_vocab": 6},
        {"ids": [3, 3], "n_vocab": 4},
        {"ids": [1, 2, 0, 2, 0, 1, 2], "n_vocab": 3},
        {"ids": [0, 1, 2, 0, 1], "n_vocab": 4},
        {"ids": [], "n_vocab": 2},
    ],
    random=_suffix_case,
    mistakes=[
        Mistake(
            _latest_place,
            "Each place where an id stands overwrites what was found at the one before. The longest counts: `max`.",
        ),
        Mistake(_first_place, "Only the first place where an id stands counts in yours. The longest match counts."),
        Mistake(_shortest, "You keep the shortest match of each id. The longest counts."),
        Mistake(_summed, "You add up the matches of all places. The longest of them counts."),
        Mistake(
            _with_the_id,
            "You count x itself, too. L is how many ids stand before it; where nothing matches it is 0.",
        ),
        Mistake(_with_the_id_where_any, "One too many: x itself is not counted, only the ids before it."),
        Mistake(_occurrences, "You count how often the last id stood before x. L is how long the longest match is."),
        Mistake(_one_at_most, "You compare one id only. Go on backwards for as long as both agree."),
        Mistake(
            _does_not_break,
            "You go on behind a difference. A repetition is a run without gaps: stop at the first two that differ.",
        ),
        Mistake(
            _round_the_corner,
            "You walk over the beginning: in Python ids[-1] is the last id. Before ids[0] there is nothing to match.",
        ),
        Mistake(
            _over_the_beginning,
            "An index runs out of the list. Stop at the beginning: only p ids stand before a place p, and ids[-1] is "
            "the last id. And behind the last id nothing stands yet.",
        ),
        Mistake(
            _over_the_beginning_but_from_one,
            "Only a difference stops you. Stop at the beginning as well: p ids stand before a place p, and ids[-1] is "
            "the last id.",
        ),
        Mistake(
            _misses_the_beginning,
            "You stop one id too early: ids[0], too, may be part of a match.",
        ),
        Mistake(
            _forwards,
            "You compare with the beginning of the text. It is the last ids that would be repeated.",
        ),
        Mistake(
            _misses_the_last_place,
            "You leave out the last place: its id is an earlier x, too, as in [5, 5, 5].",
        ),
        Mistake(
            _ends_with_the_id,
            "Your matches end with x itself. They end right before it: x is what would come next.",
        ),
        Mistake(_without_overlap, "You stop where the two runs would overlap. They may: after [5, 5, 5], L of 5 is 2."),
        Mistake(_by_id, "The right lengths, as a dict. Return a list with a number for every id, 0 for the others."),
        Mistake(_a_tensor, "The right lengths, as a tensor. `.tolist()` makes the list."),
        Mistake(_one_a_place, "You return a number for each place of the text. One for each id of the vocabulary."),
    ],
)
