"""The exercises of notebook 14, and the mistakes that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from decoding import (
    BeamSearch,
    Greedy,
    NoRepeatNGram,
    Processor,
    RepetitionPenalty,
    Sample,
    Strategy,
    Temperature,
    TopK,
    TopP,
    TransformersBeamSearch,
)

from .checking import Case, Check, Mistake
from .words import WORDS

_V = len(WORDS)


def _number(high: int, generator: torch.Generator) -> int:
    return int(torch.randint(high, (1,), generator=generator))


# -- 14.1 -------------------------------------------------------------------------------------------------------------


def _scores(
    logits: Tensor,
    removed: Tensor,
    ids: list[int],
    length_penalty: float,
    *,
    lost: tuple[bool, bool] = (False, True),
    log: Callable[[float], float] = math.log,
    divisor: Callable[[int, float], float] = lambda T, a: T**a,
    weight: Callable[[float], float] = math.exp,
) -> tuple[float, float]:
    """Both scores from the definition; lost: for each of the two, whether what was removed counts for nothing."""
    found = []
    for without in lost:
        total = 0.0
        for row, gone, id in zip(logits.double().tolist(), removed.tolist(), ids, strict=True):
            weights = [0.0 if without and absent else weight(x) for x, absent in zip(row, gone, strict=True)]
            total += log(weights[id] / sum(weights))
        found.append(total / divisor(len(ids), length_penalty))
    return found[0], found[1]


def _both_scores_case(generator: torch.Generator) -> Case:
    T = 1 + _number(5, generator)
    logits = 2 * torch.randn(T, _V, generator=generator)
    removed = torch.rand(T, _V, generator=generator) < 0.4
    ids = torch.randint(_V, (T,), generator=generator).tolist()
    removed[range(T), ids] = False
    return {
        "logits": logits,
        "removed": removed,
        "ids": ids,
        "length_penalty": (0.0, 0.5, 1.0, 2.0, -0.5)[_number(5, generator)],
    }


def _both_renormalised(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty, lost=(True, True))


def _neither_renormalised(
    logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float
) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty, lost=(False, False))


def _other_way_round(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty, lost=(True, False))


def _always_the_mean(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, 1.0)


def _plain_sums(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, 0.0)


def _times(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, -length_penalty)


def _penalty_as_a_factor(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty, divisor=lambda T, a: T * a)  # ZeroDivisionError where it is 0


def _one_id_more(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty, divisor=lambda T, a: (T + 1) ** a)


def _google(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty, divisor=lambda T, a: ((5 + T) / 6) ** a)


def _probabilities(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty, log=lambda p: p)


def _logits_added(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    total = float(logits[range(len(ids)), ids].sum()) / len(ids) ** length_penalty
    return total, total


def _bits(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty, log=math.log2)


def _zero_for_removed(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    theirs, _ = _scores(logits, removed, ids, length_penalty)
    zeros, _ = _scores(logits.masked_fill(removed, 0.0), removed, ids, length_penalty)
    return theirs, zeros


def _down_the_steps(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    left = logits.masked_fill(removed, -torch.inf)
    theirs, ours = (float(rows.log_softmax(dim=0)[range(len(ids)), ids].sum()) for rows in (logits, left))
    return theirs / len(ids) ** length_penalty, ours / len(ids) ** length_penalty


def _as_tensors(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[Tensor, Tensor]:
    theirs, ours = _scores(logits, removed, ids, length_penalty)
    return torch.tensor(theirs), torch.tensor(ours)


def _changes_the_logits(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    both = _scores(logits, removed, ids, length_penalty)
    logits.masked_fill_(removed, -torch.inf)
    return both


def _penalty_for_theirs_alone(
    logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float
) -> tuple[float, float]:
    return _scores(logits, removed, ids, length_penalty)[0], _scores(logits, removed, ids, 0.0)[1]


def _penalty_for_ours_alone(
    logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float
) -> tuple[float, float]:
    return _scores(logits, removed, ids, 0.0)[0], _scores(logits, removed, ids, length_penalty)[1]


def _the_wrong_ones_removed(
    logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float
) -> tuple[float, float]:
    theirs, ours = (rows.log_softmax(dim=-1) for rows in (logits, logits.masked_fill(~removed, -torch.inf)))
    places = range(len(ids))
    return _divided(theirs[places, ids], length_penalty), _divided(ours[places, ids], length_penalty)


def _every_id_at_every_step(
    logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float
) -> tuple[float, float]:
    theirs, ours = (rows.log_softmax(dim=-1) for rows in (logits, logits.masked_fill(removed, -torch.inf)))
    return _divided(theirs[:, ids].sum(dim=-1), length_penalty), _divided(ours[:, ids].sum(dim=-1), length_penalty)


def _divided(logprobs: Tensor, length_penalty: float) -> float:
    """Of one number a step (T,)."""
    return float(logprobs.sum()) / len(logprobs) ** length_penalty


def _surprise(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    theirs, ours = _scores(logits, removed, ids, length_penalty)
    return -theirs, -ours


def _only_theirs(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> float:
    return _scores(logits, removed, ids, length_penalty)[0]


_HALVES = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log()

both_scores = Check(
    exercise="14.1",
    name="both_scores",
    reference=_scores,
    cases=[
        {  # worked in the text
            "logits": _HALVES,
            "removed": torch.tensor([[False, False, False], [True, False, False]]),
            "ids": [0, 1],
            "length_penalty": 1.0,
        },
        {
            "logits": torch.tensor([[1.0, 2.0, 0.0], [0.5, 0.0, -1.0], [3.0, 1.0, 2.0]]),
            "removed": torch.tensor([[False, False, True], [False, True, False], [True, False, False]]),
            "ids": [1, 0, 2],
            "length_penalty": 0.5,
        },
    ],
    random=_both_scores_case,
    mistakes=[
        Mistake(
            _both_renormalised,
            "Theirs is renormalised, too. Take the model's own log-probabilities there: what was removed stays in the "
            "sum that divides.",
        ),
        Mistake(
            _neither_renormalised,
            "Ours is not renormalised. Set the removed logits to -inf before the softmax, so that it shares everything "
            "among what is left.",
        ),
        Mistake(_other_way_round, "The two are the wrong way round: theirs comes first."),
        Mistake(
            _always_the_mean,
            "You divide by the number of ids, whatever the length penalty is. It is an exponent: T ** length_penalty.",
        ),
        Mistake(_plain_sums, "You return sums. Divide them by T ** length_penalty."),
        Mistake(_times, "You multiply by T ** length_penalty (or took its sign wrong): divide."),
        Mistake(
            _penalty_as_a_factor,
            "The length penalty is an exponent and no factor: T ** length_penalty, which is 1 for a penalty of 0.",
        ),
        Mistake(_one_id_more, "You count one id too many. T is the number of new ids, as many as the list has."),
        Mistake(
            _google,
            "That is Google's length penalty, ((5 + T) / 6) ** a. Neither of the two searches here uses it: T ** a.",
        ),
        Mistake(_probabilities, "You add up probabilities. The probabilities multiply, so their logarithms add up."),
        Mistake(
            _logits_added,
            "You add up logits. They become log-probabilities by log_softmax, and only there does the removal count.",
        ),
        Mistake(_bits, "Your logarithms have the base 2. Scores are in natural logarithms, as log_softmax makes them."),
        Mistake(_zero_for_removed, "A logit of 0 is not “removed”: e^0 = 1. Use -inf."),
        Mistake(_down_the_steps, "Your softmax runs down the steps. Each step is a distribution of its own: dim=-1."),
        Mistake(_as_tensors, "Return numbers: float(...) of each sum."),
        Mistake(
            _changes_the_logits,
            "`masked_fill_`, with the underscore, changes the caller's logits. Without it you get new ones.",
        ),
        Mistake(_penalty_for_theirs_alone, "Ours is not divided. The length penalty counts for both."),
        Mistake(_penalty_for_ours_alone, "Theirs is not divided. The length penalty counts for both."),
        Mistake(
            _the_wrong_ones_removed,
            "You remove what should stay. True stands for removed, and `masked_fill` fills where the mask is True.",
        ),
        Mistake(
            _every_id_at_every_step,
            "`logprobs[:, ids]` takes all ids at every step. Take one a step: `gather`, or `logprobs[range(T), ids]`.",
        ),
        Mistake(_surprise, "The sign is wrong: a score is a sum of log-probabilities, which are at most 0."),
        Mistake(_only_theirs, "Return both, as a pair: return theirs, ours."),
    ],
    words=WORDS,
)


# -- 14.2 -------------------------------------------------------------------------------------------------------------


def _banned(before: list[int], n: int) -> set[int]:
    """What would complete an n-gram of these ids."""
    runs = [tuple(before[i : i + n]) for i in range(len(before) - n + 1)] if n > 0 else []
    return {run[-1] for run in runs if list(run[:-1]) == before[len(before) - n + 1 :]}


def _impossible(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    found = []
    for t, (row, id) in enumerate(zip(logits.tolist(), text, strict=True)):
        gone = _banned(prompt + text[:t], n)
        better = [i for i, logit in enumerate(row) if logit > row[id] and i not in gone]
        if id in gone or (k > 0 and len(better) >= k):
            found.append(t)
    return found


def _impossible_case(generator: torch.Generator) -> Case:
    """Few ids, so that runs repeat, and texts most of whose ids can be chosen."""
    T, ids = 4 + _number(4, generator), 3 + _number(2, generator)
    logits = torch.randn(T, 6, generator=generator)
    prompt = torch.randint(ids, (3 + _number(3, generator),), generator=generator).tolist()
    text: list[int] = []
    for row in logits:
        likely = int(row[:ids].argmax())
        text.append(likely if _number(2, generator) else _number(ids, generator))
    k, n = ((3, 2), (2, 2), (2, 3), (0, 2), (3, 0), (2, 1), (1, 2), (0, 0), (9, 3))[_number(9, generator)]
    return {"logits": logits, "prompt": prompt, "text": text, "k": k, "n": n}


def _prompt_left_out(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, [], text, k, n)


def _rank_before_the_ban(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    by_rank = _impossible(logits, prompt, text, k, 0)
    by_ban = _impossible(logits, prompt, text, 0, n)
    return sorted({*by_rank, *by_ban})


def _ban_alone(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, prompt, text, 0, n)


def _top_k_alone(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, prompt, text, k, 0)


def _the_possible(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return [t for t in range(len(text)) if t not in _impossible(logits, prompt, text, k, n)]


def _the_first(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, prompt, text, k, n)[:1]


def _the_ids(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return [text[t] for t in _impossible(logits, prompt, text, k, n)]


def _counted_with_the_prompt(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return [len(prompt) + t for t in _impossible(logits, prompt, text, k, n)]


def _counted_from_one(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return [t + 1 for t in _impossible(logits, prompt, text, k, n)]


def _one_too_many(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, prompt, text, k + 1 if k > 0 else 0, n)


def _keeps_none(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, prompt, text, k, n) if k > 0 else list(range(len(text)))


def _longer_runs(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, prompt, text, k, n + 1 if n > 0 else 0)


def _shorter_runs(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, prompt, text, k, max(n - 1, 1) if n > 0 else 0)


def _single_ids(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits, prompt, text, k, min(n, 1))


def _the_next_row(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits.roll(-1, dims=0), prompt, text, k, n)


def _knows_the_id_itself(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    found = []
    for t, (row, id) in enumerate(zip(logits.tolist(), text, strict=True)):
        gone = _banned(prompt + text[: t + 1], n)
        better = [i for i, logit in enumerate(row) if logit > row[id] and i not in gone]
        if id in gone or (k > 0 and len(better) >= k):
            found.append(t)
    return found


def _with_bans(
    logits: Tensor, text: list[int], k: int, banned: Callable[[int], set[int]], instead: float = -math.inf
) -> list[int]:
    """The places, if banned(t) is banned at place t; instead: the logit that stands for removed."""
    found = []
    for t, (row, id) in enumerate(zip(logits.tolist(), text, strict=True)):
        left = [instead if i in banned(t) else logit for i, logit in enumerate(row)]
        if left[id] == -math.inf or (k > 0 and sum(logit > left[id] for logit in left) >= k):
            found.append(t)
    return found


def _all_banned_rank_better(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    found = []
    for t, (row, id) in enumerate(zip(logits.tolist(), text, strict=True)):
        gone = _banned(prompt + text[:t], n)
        if id in gone or (k > 0 and sum(logit > row[id] for logit in row) - len(gone) >= k):
            found.append(t)
    return found


def _one_too_few(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    better = [int((row > row[id]).sum()) for row, id in zip(logits, text, strict=True)]
    if n > 0:
        gone = [_banned(prompt + text[:t], n) for t in range(len(text))]
        better = [
            sum(float(row[i]) > float(row[id]) for i in range(len(row)) if i not in out)
            for row, id, out in zip(logits, text, gone, strict=True)
        ]
    by_ban = _impossible(logits, prompt, text, 0, n)
    return [t for t in range(len(text)) if t in by_ban or (k > 0 and better[t] >= k - 1)]


def _prompt_alone(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _with_bans(logits, text, k, lambda t: _banned(prompt, n))


def _whole_text(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _with_bans(logits, text, k, lambda t: _banned(prompt + text, n))


def _latest_alone(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    def latest(t: int) -> set[int]:
        before = prompt + text[:t]
        last = before[len(before) - n + 1 :]
        followers = [before[i + n - 1] for i in range(len(before) - n + 1) if before[i : i + n - 1] == last]
        return set(followers[-1:]) if n > 0 else set()

    return _with_bans(logits, text, k, latest)


def _everything_is_last(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    """[-(n - 1):] is a list from its beginning for n = 1."""

    def followers(t: int) -> set[int]:
        before = prompt + text[:t]
        last = before[-(n - 1) :]
        return {before[i + n - 1] for i in range(len(before) - n + 1) if n > 0 and before[i : i + n - 1] == last}

    return _with_bans(logits, text, k, followers)


def _latest_run_forgotten(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    """A range that ends one run too early."""
    return _with_bans(logits, text, k, lambda t: _banned_without_the_latest(prompt + text[:t], n))


def _banned_without_the_latest(before: list[int], n: int) -> set[int]:
    last = before[len(before) - n + 1 :]
    return {before[i + n - 1] for i in range(len(before) - n) if n > 0 and before[i : i + n - 1] == last}


def _zero_for_banned(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    by_ban = _impossible(logits, prompt, text, 0, n)
    by_rank = _with_bans(logits, text, k, lambda t: _banned(prompt + text[:t], n), instead=0.0)
    return sorted({*by_ban, *by_rank})


def _banned_among_the_k(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    """Where fewer than k are left, those that are -inf are among the k largest, too."""
    found = []
    for t, (row, id) in enumerate(zip(logits, text, strict=True)):
        left = row.clone()
        left[sorted(_banned(prompt + text[:t], n))] = -torch.inf
        order = left.argsort(descending=True, stable=True).tolist()
        if id not in (order[:k] if k > 0 else [i for i in order if float(left[i]) > -math.inf]):
            found.append(t)
    return found


def _the_row_before(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    return _impossible(logits.roll(1, dims=0), prompt, text, k, n)


def _yes_or_no(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> bool:
    return bool(_impossible(logits, prompt, text, k, n))


_WORKED = torch.tensor([[0.5, 1.0, 2.0, 0.0], [0.1, 0.2, 3.0, 2.0]])
_LADDER = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0, -2.0]] * 6)  # id 0 is the likeliest, and so on

impossible = Check(
    exercise="14.2",
    name="impossible",
    reference=_impossible,
    cases=[
        {"logits": _WORKED, "prompt": [1, 2], "text": [1, 0], "k": 2, "n": 2},  # worked in the text
        {"logits": _WORKED, "prompt": [1, 2], "text": [1, 0], "k": 3, "n": 2},
        {"logits": _LADDER, "prompt": [0, 1, 2], "text": [0, 1, 1, 1, 3, 0], "k": 3, "n": 2},
        {"logits": _LADDER, "prompt": [4, 4], "text": [0, 1, 2, 0, 1, 2], "k": 0, "n": 3},
        {"logits": _LADDER, "prompt": [4, 0], "text": [0, 1, 2, 3, 4, 5], "k": 2, "n": 0},
        {"logits": _LADDER, "prompt": [5], "text": [0, 1, 2, 3, 4, 5], "k": 1, "n": 1},
        {"logits": _LADDER, "prompt": [5], "text": [0, 0, 0, 0, 0, 0], "k": 0, "n": 0},
    ],
    random=_impossible_case,
    mistakes=[
        Mistake(
            _prompt_left_out,
            "You look for earlier runs in the text alone. Prompt and text count together: prompt + text[:t].",
        ),
        Mistake(
            _rank_before_the_ban,
            "You count ranks among all ids. The ban acts first: ids that it has removed take no place among the k.",
        ),
        Mistake(_ban_alone, "Top-k does nothing in yours: an id that is not among the k likeliest is impossible, too."),
        Mistake(_top_k_alone, "The ban does nothing in yours: an id that completes an earlier run is impossible, too."),
        Mistake(_the_possible, "You return the places that are possible. The others are asked for."),
        Mistake(_the_first, "You stop at the first. Return the places of all of them."),
        Mistake(_the_ids, "You return ids. Return their places in the text."),
        Mistake(
            _counted_with_the_prompt,
            "You count places from the beginning of the prompt. The first id of the text has place 0.",
        ),
        Mistake(_counted_from_one, "You count places from 1. The first id of the text has place 0."),
        Mistake(
            _all_banned_rank_better,
            "You subtract all that the ban removed from the rank. Only those with a higher logit stood before the id.",
        ),
        Mistake(
            _one_too_few,
            "You keep one id too few: with k - 1 better ones before it, an id is the k-th, and stays.",
        ),
        Mistake(
            _one_too_many,
            "You keep one id too many: with k better ones before it, an id is not among the k likeliest.",
        ),
        Mistake(_keeps_none, "k = 0 switches top-k off; it does not keep zero ids."),
        Mistake(
            _longer_runs,
            "Your runs are one id too long. A run of n ids is the last n - 1 ids and the one that is to come.",
        ),
        Mistake(
            _shorter_runs,
            "Your runs are one id too short. A run of n ids is the last n - 1 ids and the one that is to come.",
        ),
        Mistake(_single_ids, "You ban every id that has occurred, whatever n is. It is runs of n ids that count."),
        Mistake(_the_next_row, "You are off by one row: logits[t] are those before the id text[t] was chosen."),
        Mistake(
            _knows_the_id_itself,
            "What stands before the id at place t is text[:t], without the id itself.",
        ),
        Mistake(_whole_text, "The ban looks back only. What stands before place t is prompt + text[:t]."),
        Mistake(_prompt_alone, "The text counts, too, as far as it is written: prompt + text[:t]."),
        Mistake(_latest_alone, "You ban one id alone. Each id that has ever followed the last n - 1 ids is removed."),
        Mistake(
            _everything_is_last,
            "For n = 1 the last n - 1 ids are none; but `before[-0:]` is all of `before`. Count from the front: "
            "before[len(before) - n + 1 :].",
        ),
        Mistake(
            _latest_run_forgotten,
            "You stop one run too early. The run that ends with the very last id counts, too: there are "
            "len(before) - n + 1 of them.",
        ),
        Mistake(_zero_for_banned, "A logit of 0 is not “removed”: it may be among the k largest. Use -inf."),
        Mistake(
            _banned_among_the_k,
            "Where the ban leaves fewer than k ids, those it removed are among “the k largest” again. They stay out.",
        ),
        Mistake(_the_row_before, "Your rows are one place late: logits[t] belong to text[t]."),
        Mistake(_yes_or_no, "Return the list of places; an empty one where there is none."),
    ],
)


# -- 14.3 -------------------------------------------------------------------------------------------------------------

_UNLESS_TOLD: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "length_penalty": 1.0,
    "early_stopping": False,
    "num_return_sequences": 1,
}
_MAKERS: dict[str, Callable[[Any], Processor]] = {
    "repetition_penalty": RepetitionPenalty,
    "no_repeat_ngram_size": NoRepeatNGram,
    "temperature": Temperature,
    "top_k": TopK,
    "top_p": TopP,
}
_OFF = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
_ALWAYS = ("repetition_penalty", "no_repeat_ngram_size")
_DRAWING = ("temperature", "top_k", "top_p")


def _strategy(
    settings: dict[str, Any],
    *,
    always: tuple[str, ...] = _ALWAYS,
    drawing: tuple[str, ...] = (*_ALWAYS, *_DRAWING),
    off: Mapping[str, float] = _OFF,
    **unless_told: Any,
) -> Strategy:
    """The table in the text; the keywords are what one may get wrong about it."""
    values = _UNLESS_TOLD | unless_told | settings
    names = drawing if values["do_sample"] else always
    chain = [_MAKERS[name](values[name]) for name in names if values[name] != off.get(name)]
    if values["do_sample"]:
        return Sample(*chain)
    if values["num_beams"] == 1:
        return Greedy(*chain)
    return TransformersBeamSearch(
        *chain,
        beams=values["num_beams"],
        length_penalty=values["length_penalty"],
        early_stopping=values["early_stopping"],
        candidates=values["num_return_sequences"],
    )


def _translated(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings)


def _translated_case(generator: torch.Generator) -> Case:
    settings: dict[str, Any] = {}
    kind = _number(3, generator)
    if kind == 0:
        settings["do_sample"] = True
    elif _number(2, generator):
        settings["do_sample"] = False
    if kind == 2 and _number(2, generator):
        settings["num_beams"] = 1
    if kind == 1:
        settings["num_beams"] = 2 + _number(4, generator)
        if _number(2, generator):
            settings["num_return_sequences"] = 1 + _number(2, generator)
        if _number(2, generator):
            settings["length_penalty"] = (0.0, 1.0, 2.0)[_number(3, generator)]
        if _number(2, generator):
            settings["early_stopping"] = (False, True, "never")[_number(3, generator)]
    choices: dict[str, tuple[float, ...]] = {
        "top_p": (0.92, 1.0, 0.5),
        "top_k": (0, 50, 40),
        "temperature": (0.7, 1.0, 1.5),
        "no_repeat_ngram_size": (0, 2, 3),
        "repetition_penalty": (1.0, 1.2),
    }
    for name, values in choices.items():
        if _number(2, generator):
            settings[name] = values[_number(len(values), generator)]
    return {"settings": settings}


def _no_top_k(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, top_k=0)


def _top_k_everywhere(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, always=(*_ALWAYS, "top_k"))


def _sharpened_everywhere(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, always=(*_ALWAYS, *_DRAWING))


def _temperature_everywhere(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, always=(*_ALWAYS, "temperature"))


def _zero_is_a_number(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, off=_OFF | {"top_k": -1})  # TopK(0): a ValueError


def _zero_is_fifty(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings | {"top_k": settings.get("top_k") or 50})


def _penalties_last(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, drawing=(*_DRAWING, *_ALWAYS))


def _p_before_k(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, drawing=(*_ALWAYS, "temperature", "top_p", "top_k"))


def _temperature_last(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, drawing=(*_ALWAYS, "top_k", "top_p", "temperature"))


def _ban_first(settings: dict[str, Any]) -> Strategy:
    ban_first = ("no_repeat_ngram_size", "repetition_penalty")
    return _strategy(settings, always=ban_first, drawing=(*ban_first, *_DRAWING))


def _as_written(settings: dict[str, Any]) -> Strategy:
    """In the order of the dictionary."""
    names = tuple(name for name in settings if name in _MAKERS)
    drawing = names if "top_k" in names else (*names, "top_k")
    return _strategy(settings, always=tuple(name for name in names if name in _ALWAYS), drawing=drawing)


def _no_penalties_without_drawing(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, always=())


def _no_ops_stay(settings: dict[str, Any]) -> Strategy:
    kept = {"top_k": 0, "no_repeat_ngram_size": 0}  # there is no processor for these
    return _strategy(settings, off=kept)


def _a_temperature_of_one_stays(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, off={name: off for name, off in _OFF.items() if name != "temperature"})


def _a_p_of_one_stays(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, off={name: off for name, off in _OFF.items() if name != "top_p"})


def _a_penalty_of_one_stays(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, off={name: off for name, off in _OFF.items() if name != "repetition_penalty"})


def _no_ban_is_a_ban(settings: dict[str, Any]) -> Strategy:
    without = {name: off for name, off in _OFF.items() if name != "no_repeat_ngram_size"}
    return _strategy(settings, off=without if "no_repeat_ngram_size" in settings else _OFF)  # of 0: a ValueError


def _no_penalties_with_drawing(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings, drawing=_DRAWING)


def _whatever_do_sample_says(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings | ({"do_sample": True} if "do_sample" in settings else {}))


def _whatever_num_beams_says(settings: dict[str, Any]) -> Strategy:
    strategy = _strategy(settings)
    return _one_beam_too(settings) if "num_beams" in settings else strategy


def _textbook_beams(settings: dict[str, Any]) -> Strategy:
    strategy = _strategy(settings)
    if not isinstance(strategy, TransformersBeamSearch):
        return strategy
    return BeamSearch(*strategy.processors, beams=strategy.beams, length_penalty=strategy.length_penalty)


def _changed_search(settings: dict[str, Any], **parameters: Any) -> Strategy:
    strategy = _strategy(settings)
    if not isinstance(strategy, TransformersBeamSearch):
        return strategy
    own: dict[str, Any] = {
        "beams": strategy.beams,
        "length_penalty": strategy.length_penalty,
        "early_stopping": strategy.early_stopping,
        "candidates": strategy.candidates,
    }
    return TransformersBeamSearch(*strategy.processors, **(own | parameters))


def _all_candidates(settings: dict[str, Any]) -> Strategy:
    return _changed_search(settings, candidates=settings.get("num_return_sequences"))


def _candidates_are_beams(settings: dict[str, Any]) -> Strategy:
    return _changed_search(settings, candidates=settings.get("num_return_sequences", settings.get("num_beams")))


def _no_length_penalty(settings: dict[str, Any]) -> Strategy:
    return _changed_search(settings, length_penalty=settings.get("length_penalty", 0.0))


def _end_forgotten(settings: dict[str, Any]) -> Strategy:
    return _changed_search(settings, early_stopping=False)


def _ends_early_unless_told(settings: dict[str, Any]) -> Strategy:
    return _changed_search(settings, early_stopping=settings.get("early_stopping", True))


def _early_or_not(settings: dict[str, Any]) -> Strategy:
    return _changed_search(settings, early_stopping=bool(settings.get("early_stopping", False)))


def _candidates_forgotten(settings: dict[str, Any]) -> Strategy:
    return _changed_search(settings, candidates=None)


def _length_penalty_forgotten(settings: dict[str, Any]) -> Strategy:
    return _changed_search(settings, length_penalty=1.0)


def _never_searches(settings: dict[str, Any]) -> Strategy:
    return _strategy(settings | {"num_beams": 1})


def _one_beam_too(settings: dict[str, Any]) -> Strategy:
    strategy = _strategy(settings)
    if not isinstance(strategy, Greedy):
        return strategy
    return TransformersBeamSearch(*strategy.processors, beams=1, candidates=1)


def _draws_for_a_temperature(settings: dict[str, Any]) -> Strategy:
    asks = any(name in settings for name in _DRAWING) and settings.get("num_beams", 1) == 1
    return _strategy(settings | ({"do_sample": True} if asks else {}))


def _a_list(settings: dict[str, Any]) -> list[Processor]:
    return list(getattr(_strategy(settings), "processors", ()))


def _printed(function: Callable[..., Any], case: Case) -> str:
    """What the strategy prints as, which holds all that it was made with."""
    return repr(function(*case.values()))


translated = Check(
    exercise="14.3",
    name="translated",
    reference=_translated,
    run=_printed,
    cases=[
        {"settings": {"temperature": 0.7}},  # these four stand in the text
        {"settings": {"do_sample": True}},
        {"settings": {"do_sample": True, "top_p": 0.92, "top_k": 0}},
        {"settings": {"num_beams": 5}},
        {"settings": {"num_beams": 5, "no_repeat_ngram_size": 2, "num_return_sequences": 5, "early_stopping": True}},
        {"settings": {"do_sample": True, "top_p": 0.95, "top_k": 40, "temperature": 0.6}},
        {"settings": {"do_sample": True, "no_repeat_ngram_size": 3, "temperature": 0.6, "repetition_penalty": 1.2}},
        {"settings": {"no_repeat_ngram_size": 3, "repetition_penalty": 1.0}},
        {"settings": {"num_beams": 3, "length_penalty": 2.0, "temperature": 1.5}},
        {"settings": {"do_sample": False, "num_beams": 1, "top_k": 40}},
    ],
    random=_translated_case,
    mistakes=[
        Mistake(
            _no_top_k,
            "A call that draws has a top-k of 50 even where nobody wrote one. Only top_k=0 switches it off.",
        ),
        Mistake(
            _top_k_everywhere,
            "Top-k acts only when drawing. Greedy decoding and the search have none.",
        ),
        Mistake(
            _sharpened_everywhere,
            "Without do_sample, temperature, top_k and top_p are ignored; only the two penalties stay.",
        ),
        Mistake(_temperature_everywhere, "Without do_sample the temperature is ignored, in a search, too."),
        Mistake(_zero_is_a_number, "top_k=0 means no top-k: leave the processor out."),
        Mistake(
            _zero_is_fifty,
            "`settings.get(...) or 50` takes a 0 that was written for one that is missing. Write get(..., 50).",
        ),
        Mistake(_penalties_last, "The penalties come first, before temperature, top-k and top-p."),
        Mistake(_p_before_k, "Top-k comes before top-p there, whatever order they are written in."),
        Mistake(_temperature_last, "The temperature comes before top-k and top-p there."),
        Mistake(_ban_first, "The repetition penalty comes before the n-gram ban."),
        Mistake(
            _as_written,
            "You keep the order in which the settings were written. The library has an order of its own.",
        ),
        Mistake(
            _no_penalties_without_drawing,
            "Repetition penalty and n-gram ban act in greedy decoding and in the search, too.",
        ),
        Mistake(_no_ops_stay, "Leave out what is off: a temperature of 1.0, a top_p of 1.0, a penalty of 1.0."),
        Mistake(_a_temperature_of_one_stays, "A temperature of 1.0 is off: leave it out."),
        Mistake(_a_p_of_one_stays, "A top_p of 1.0 is off: leave it out."),
        Mistake(_a_penalty_of_one_stays, "A repetition_penalty of 1.0 is off: leave it out."),
        Mistake(_no_ban_is_a_ban, "no_repeat_ngram_size=0 means no ban: leave the processor out."),
        Mistake(_no_penalties_with_drawing, "The two penalties act when drawing, too."),
        Mistake(_whatever_do_sample_says, "do_sample may be written and False. Ask for its value: get(..., False)."),
        Mistake(_whatever_num_beams_says, "num_beams may be written and 1, which is no search."),
        Mistake(
            _textbook_beams, "To do what the library does, take TransformersBeamSearch; BeamSearch scores otherwise."
        ),
        Mistake(_all_candidates, "Where num_return_sequences is not given, one text comes back: candidates=1."),
        Mistake(
            _candidates_are_beams,
            "Where num_return_sequences is not given, one text comes back, and not as many as there are beams.",
        ),
        Mistake(_no_length_penalty, "The length penalty is 1.0 there unless told. (0.0 is that of BeamSearch.)"),
        Mistake(_candidates_forgotten, "Hand on how many texts come back: candidates=..., which is 1 unless told."),
        Mistake(_length_penalty_forgotten, "length_penalty is handed on to the search as it was given."),
        Mistake(_ends_early_unless_told, "early_stopping is False unless told."),
        Mistake(_early_or_not, 'early_stopping has three values. bool("never") is True, which means something else.'),
        Mistake(_end_forgotten, "early_stopping is handed on to the search as it was given."),
        Mistake(_never_searches, "num_beams above 1 is a search."),
        Mistake(_one_beam_too, "One beam is not a search there: without do_sample and with num_beams=1 it is Greedy."),
        Mistake(_draws_for_a_temperature, "A temperature, top_k or top_p alone does not make it draw; do_sample does."),
        Mistake(_a_list, "You return the processors. Hand them to the strategy: Sample(*chain), and so on."),
    ],
)
