"""The exercises of notebook 11, and the mistakes that are known."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from .checking import Case, Check, Mistake


def _below(bound: int, generator: torch.Generator) -> int:
    """A whole number from 0 to bound - 1."""
    return int(torch.randint(bound, (1,), generator=generator))


# -- 11.1 -------------------------------------------------------------------------------------------------------------


def _noisy(logprobs: Tensor, u: Tensor) -> list[float]:
    return [x - math.log(-math.log(y)) for x, y in zip(logprobs.tolist(), u.tolist(), strict=True)]


def _drawn(sums: list[float], k: int) -> tuple[list[int], float]:
    """The k largest, and the largest of the others."""
    ranked = sorted(range(len(sums)), key=lambda text: -sums[text])
    return ranked[:k], max((sums[text] for text in ranked[k:]), default=-math.inf)


def _top_k_of_the_noisy(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    return _drawn(_noisy(logprobs, u), k)


def _gumbel_case(generator: torch.Generator) -> Case:
    N = 1 + _below(8, generator)
    logprobs = (2 * torch.randn(N, generator=generator, dtype=torch.float64)).log_softmax(dim=-1)
    u = 0.001 + 0.998 * torch.rand(N, generator=generator, dtype=torch.float64)
    return {"logprobs": logprobs, "u": u, "k": 1 + _below(N + 2, generator)}


def _noise_downwards(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    return _drawn((logprobs + (-u.log()).log()).tolist(), k)


def _without_noise(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    return _drawn(logprobs.tolist(), k)


def _uniform_noise(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    return _drawn((logprobs + u).tolist(), k)


def _exponential_noise(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    return _drawn((logprobs - u.log()).tolist(), k)


def _on_probabilities(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    return _drawn((logprobs.exp() - (-u.log()).log()).tolist(), k)


def _worst_of_the_drawn(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    sums = _noisy(logprobs, u)
    best, _ = _drawn(sums, k)
    return best, sums[best[-1]]


def _least_of_all(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    sums = _noisy(logprobs, u)
    return _drawn(sums, k)[0], min(sums) if k < len(sums) else -math.inf


def _likeliest_left_out(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    best, _ = _drawn(_noisy(logprobs, u), k)
    return best, max((x for text, x in enumerate(logprobs.tolist()) if text not in best), default=-math.inf)


def _logprob_of_the_next(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    order, kappa = _drawn(_noisy(logprobs, u), len(logprobs))
    return order[:k], logprobs[order[k]].item() if k < len(order) else kappa


def _one_place_further(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    order, _ = _drawn(_noisy(logprobs, u), len(logprobs))
    return order[:k], _noisy(logprobs, u)[order[k + 1]] if k + 1 < len(order) else -math.inf


def _noise_of_the_next(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    order, kappa = _drawn(_noisy(logprobs, u), len(logprobs))
    return order[:k], -math.log(-math.log(u[order[k]])) if k < len(order) else kappa


def _of_one_minus_u(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    return _drawn(_noisy(logprobs, 1 - u), k)


def _infinite(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    best, kappa = _top_k_of_the_noisy(logprobs, u, k)
    return best, abs(kappa) if math.isinf(kappa) else kappa


def _stops_at_the_end(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    sums = torch.tensor(_noisy(logprobs, u), dtype=torch.float64)
    order = sums.argsort(descending=True)
    return order[:k].tolist(), sums[order[k]].item()  # IndexError


def _topk_of_too_many(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    best = torch.tensor(_noisy(logprobs, u), dtype=torch.float64).topk(k + 1)  # RuntimeError
    return best.indices[:k].tolist(), best.values[k].item()


def _the_smallest(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    best, kappa = _drawn([-x for x in _noisy(logprobs, u)], k)
    return best, -kappa if math.isfinite(kappa) else kappa


def _by_number(logprobs: Tensor, u: Tensor, k: int) -> tuple[list[int], float]:
    best, kappa = _top_k_of_the_noisy(logprobs, u, k)
    return sorted(best), kappa


def _texts_alone(logprobs: Tensor, u: Tensor, k: int) -> list[int]:
    return _top_k_of_the_noisy(logprobs, u, k)[0]


def _as_tensors(logprobs: Tensor, u: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best, kappa = _top_k_of_the_noisy(logprobs, u, k)
    return torch.tensor(best), torch.tensor(kappa)


gumbel_top_k = Check(
    exercise="11.1",
    name="gumbel_top_k",
    reference=_top_k_of_the_noisy,
    cases=[
        {  # worked in the text
            "logprobs": torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log(),
            "u": torch.tensor([0.3, 0.8, 0.1, 0.9], dtype=torch.float64),
            "k": 2,
        },
        {
            "logprobs": torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log(),
            "u": torch.tensor([0.2, 0.5, 0.6], dtype=torch.float64),
            "k": 3,
        },
        {
            "logprobs": torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log(),
            "u": torch.tensor([0.05, 0.3, 0.95, 0.9], dtype=torch.float64),
            "k": 1,
        },
    ],
    random=_gumbel_case,
    mistakes=[
        Mistake(
            _noise_downwards,
            "Your noise has the wrong sign: it is -log(-log u), with a minus before each of the two logarithms.",
        ),
        Mistake(_without_noise, "There is no noise in yours, so the likeliest texts come every time."),
        Mistake(_uniform_noise, "You add u itself. The noise is -log(-log u): only this form makes exact draws."),
        Mistake(
            _exponential_noise,
            "One logarithm is missing: -log u is exponential noise. Gumbel noise is -log(-log u).",
        ),
        Mistake(_on_probabilities, "You add the noise to probabilities; it belongs on the log-probabilities."),
        Mistake(
            _worst_of_the_drawn,
            "Your kappa is the smallest sum of a text that was drawn. It is the largest of those left out: the next "
            "one in the order.",
        ),
        Mistake(_least_of_all, "Your kappa is the smallest sum of all. It is the largest of those that are left out."),
        Mistake(
            _likeliest_left_out,
            "Your kappa is a log-probability without noise, the largest of those left out. It is the largest *sum*.",
        ),
        Mistake(
            _logprob_of_the_next,
            "You found the right text for kappa, but return its log-probability. Kappa is its sum, with the noise.",
        ),
        Mistake(
            _one_place_further,
            "Your kappa is one place too far down. Places count from 0: the first text left out has place k.",
        ),
        Mistake(
            _noise_of_the_next, "You found the right text for kappa, but return its noise alone. Kappa is its sum."
        ),
        Mistake(_of_one_minus_u, "You make the noise from 1 - u. It is -log(-log u)."),
        Mistake(_infinite, "Where nothing is left out kappa is -math.inf, with a minus: below every sum."),
        Mistake(
            _topk_of_too_many,
            "`topk` stops where it is asked for more than there are. Where k is N or more, kappa is -math.inf.",
        ),
        Mistake(
            _stops_at_the_end,
            "Where k is N or more nothing is left out, and there is no place k in the order: kappa is -math.inf then.",
        ),
        Mistake(_the_smallest, "You take the smallest sums: sort from the largest on, descending=True."),
        Mistake(_by_number, "The right texts, sorted by number. Leave them in the order of their sums, best first."),
        Mistake(_texts_alone, "Return two things, `best, kappa`: the sum of the best text left out is needed, too."),
        Mistake(
            _as_tensors,
            "The values are right, but they are tensors: .tolist() makes a list of one, .item() a number.",
        ),
    ],
)


# -- 11.2 -------------------------------------------------------------------------------------------------------------


def _walk(code: float, probabilities: Tensor) -> tuple[int, float]:
    """From part to part, until one ends above the code."""
    begin = 0.0
    for id, p in enumerate(probabilities.tolist()):
        if begin + p > code:
            return id, (code - begin) / p
        begin += p
    raise ValueError(f"{code} is not below the sum of the probabilities, {begin}")


def _begins(probabilities: Tensor) -> list[float]:
    return [0.0, *probabilities.cumsum(dim=-1).tolist()]


def _code_case(generator: torch.Generator) -> Case:
    while True:
        p = (1.5 * torch.randn(2 + _below(5, generator), generator=generator, dtype=torch.float64)).exp()
        p[torch.rand(len(p), generator=generator) < 0.2] = 0.0
        code = round(float(torch.rand(1, generator=generator, dtype=torch.float64)), 4)
        if float(p.sum()) > 0:
            p = p / p.sum()
            if all(abs(code - edge) > 1e-3 for edge in _begins(p)):
                return {"code": code, "probabilities": p}


def _upper_edge(code: float, probabilities: Tensor) -> tuple[int, float]:
    begins = torch.tensor(_begins(probabilities), dtype=torch.float64)
    id = int((begins[1:] < code).sum())
    return id, float((code - begins[id]) / probabilities[id])


def _edge_of_nothing(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, p = _lower_part(code, probabilities)
    return id, (code - _begins(probabilities)[id]) / p  # ZeroDivisionError


def _lower_part(code: float, probabilities: Tensor) -> tuple[int, float]:
    """The first id whose part does not end below the code, and its probability."""
    id = int((probabilities.cumsum(dim=-1) < code).sum())
    return id, probabilities[id].item()


def _begins_at_the_last_end(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, _ = _walk(code, probabilities)
    return id, float((code - probabilities.cumsum(dim=-1)[id - 1]) / probabilities[id])


def _by_its_end(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, within = _walk(code, probabilities)
    return id, within * float(probabilities[id]) / _begins(probabilities)[id + 1]


def _not_moved(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, _ = _walk(code, probabilities)
    return id, code / float(probabilities[id])


def _not_stretched(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, within = _walk(code, probabilities)
    return id, within * float(probabilities[id])


def _multiplied(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, within = _walk(code, probabilities)
    return id, within * float(probabilities[id]) ** 2


def _the_same_code(code: float, probabilities: Tensor) -> tuple[int, float]:
    return _walk(code, probabilities)[0], code


def _from_the_end(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, within = _walk(code, probabilities)
    return id, within - 1.0


def _backwards(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, within = _walk(code, probabilities)
    return id, 1.0 - within


def _what_is_left(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, within = _walk(code, probabilities)
    begin = _begins(probabilities)[id]
    return id, within * float(probabilities[id]) / (1.0 - begin)


def _likeliest_part_first(code: float, probabilities: Tensor) -> tuple[int, float]:
    order = probabilities.argsort(descending=True, stable=True)
    place, within = _walk(code, probabilities[order])
    return int(order[place]), within


def _always_the_likeliest(code: float, probabilities: Tensor) -> tuple[int, float]:
    id = int(probabilities.argmax())
    return id, (code - _begins(probabilities)[id]) / float(probabilities[id])


def _equal_parts(code: float, probabilities: Tensor) -> tuple[int, float]:
    V = len(probabilities)
    return int(code * V), code * V % 1.0


def _part_before(code: float, probabilities: Tensor) -> tuple[int, float]:
    id, within = _walk(code, probabilities)
    return id - 1, within


def _id_alone(code: float, probabilities: Tensor) -> int:
    return _walk(code, probabilities)[0]


def _code_as_tensor(code: float, probabilities: Tensor) -> tuple[int, Tensor]:
    id, within = _walk(code, probabilities)
    return id, torch.tensor(within, dtype=torch.float64)


follow_code = Check(
    exercise="11.2",
    name="follow_code",
    reference=_walk,
    cases=[
        {"code": 0.62, "probabilities": torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)},  # worked in the text
        {"code": 0.5, "probabilities": torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)},
        {"code": 0.0, "probabilities": torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64)},
    ],
    random=_code_case,
    mistakes=[
        Mistake(
            _upper_edge,
            "At the edge between two parts you take the lower one, and can even take an id of probability 0. An edge "
            "belongs to the part that begins there: the first whose end is above the code, not equal to it.",
        ),
        Mistake(
            _edge_of_nothing,
            "A code of 0 lands on an id of probability 0 in yours, which has no part. Take the first id whose part "
            "ends *above* the code.",
        ),
        Mistake(
            _begins_at_the_last_end,
            "The part of id 0 begins at 0. In yours `ends[id - 1]` is `ends[-1]` there, the end of the last part.",
        ),
        Mistake(_by_its_end, "You divide by where the part ends. Divide by its length."),
        Mistake(_not_moved, "You stretch the code without moving it: subtract where the part begins, then divide."),
        Mistake(_not_stretched, "You move the code and do not stretch it: divide by the length of the part."),
        Mistake(_multiplied, "You multiply by the length of the part; a small part is stretched, so divide by it."),
        Mistake(
            _the_same_code, "The code does not change in yours: for the next step it has to be the one within the part."
        ),
        Mistake(_from_the_end, "Your code is negative: you subtract where the part ends. Subtract where it begins."),
        Mistake(_backwards, "You measure from the end of the part. The code within it is the way from its beginning."),
        Mistake(
            _what_is_left,
            "You divide by all that is left of the line, 1 - P. Divide by the length of this part alone.",
        ),
        Mistake(_likeliest_part_first, "Your parts lie in the order of probability; here they lie in that of the ids."),
        Mistake(_always_the_likeliest, "You take the likeliest id, whatever the code is. The code chooses it."),
        Mistake(_equal_parts, "Your parts are equally long. The part of an id is as long as the id is probable."),
        Mistake(
            _part_before,
            "Your code is right, and your id is one too low: the number of ends not above the code is the id itself.",
        ),
        Mistake(_id_alone, "Return two things, `id, code`: the next step needs the code within the part."),
        Mistake(_code_as_tensor, "The code should be a Python float: .item() takes it out of its tensor."),
    ],
)


# -- 11.3 -------------------------------------------------------------------------------------------------------------


def _worth(utilities: Tensor, text: int, references: list[int]) -> float:
    return math.fsum(float(utilities[text, reference]) for reference in references)


def _best_first(draws: list[int], worth: list[float]) -> int:
    """Of the drawn texts the one that is worth most, of equal ones the first; worth: one for each draw."""
    best = 0
    for place in range(1, len(draws)):
        if worth[place] > worth[best]:
            best = place
    return draws[best]


def _most_useful(utilities: Tensor, draws: list[int]) -> int:
    return _best_first(draws, [_worth(utilities, text, draws) for text in draws])


def _mbr_case(generator: torch.Generator) -> Case:
    N = 2 + _below(4, generator)
    eighths = torch.randint(9, (N, N), generator=generator) / 8  # sums of eighths are exact, so that ties are some
    if _below(2, generator):
        eighths = (2 * eighths).round() / 2
    draws = torch.randint(N, (1 + _below(8, generator),), generator=generator).tolist()
    return {"utilities": eighths, "draws": draws}


def _as_a_set(utilities: Tensor, draws: list[int]) -> int:
    once = list(dict.fromkeys(draws))
    return _best_first(once, [_worth(utilities, text, once) for text in once])


def _among_all(utilities: Tensor, draws: list[int]) -> int:
    return int(torch.stack([utilities[:, draw] for draw in draws]).sum(dim=0).argmax())


def _transposed(utilities: Tensor, draws: list[int]) -> int:
    return _most_useful(utilities.T, draws)


def _place_in_draws(utilities: Tensor, draws: list[int]) -> int:
    return draws.index(_most_useful(utilities, draws))


def _last_of_equals(utilities: Tensor, draws: list[int]) -> int:
    return _best_first(draws[::-1], [_worth(utilities, text, draws) for text in draws[::-1]])


def _lowest_of_equals(utilities: Tensor, draws: list[int]) -> int:
    return _best_first(sorted(draws), [_worth(utilities, text, draws) for text in sorted(draws)])


def _most_frequent(utilities: Tensor, draws: list[int]) -> int:
    return _best_first(draws, [float(draws.count(text)) for text in draws])


def _without_itself(utilities: Tensor, draws: list[int]) -> int:
    others = [draws[:place] + draws[place + 1 :] for place in range(len(draws))]
    return _best_first(draws, [_worth(utilities, text, rest) for text, rest in zip(draws, others, strict=True)])


def _without_equal_texts(utilities: Tensor, draws: list[int]) -> int:
    others = [[other for other in draws if other != text] for text in draws]
    return _best_first(draws, [_worth(utilities, text, rest) for text, rest in zip(draws, others, strict=True)])


def _worst_single(utilities: Tensor, draws: list[int]) -> int:
    return _best_first(draws, [float(utilities[text, draws].min()) for text in draws])


def _least_useful(utilities: Tensor, draws: list[int]) -> int:
    return _best_first(draws, [-_worth(utilities, text, draws) for text in draws])


def _all_texts_once(utilities: Tensor, draws: list[int]) -> int:
    return _best_first(draws, [_worth(utilities, text, list(range(len(utilities)))) for text in draws])


def _best_single(utilities: Tensor, draws: list[int]) -> int:
    return _best_first(draws, [float(utilities[text, draws].max()) for text in draws])


def _sum_instead(utilities: Tensor, draws: list[int]) -> float:
    return max(_worth(utilities, text, draws) for text in draws)


def _choice_as_tensor(utilities: Tensor, draws: list[int]) -> Tensor:
    return torch.tensor(_most_useful(utilities, draws))


_THREE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.5, 1.0]])

mbr_choice = Check(
    exercise="11.3",
    name="mbr_choice",
    reference=_most_useful,
    cases=[
        {"utilities": _THREE, "draws": [0, 1, 2]},  # both are worked in the text
        {"utilities": _THREE, "draws": [0, 0, 1, 2]},
        {"utilities": _THREE, "draws": [2, 0, 1]},
        {"utilities": torch.tensor([[1.0, 0.0], [0.75, 0.0]]), "draws": [0, 0, 1]},
        {"utilities": torch.tensor([[0.0, 0.25, 0.0], [0.5, 0.0, 1.0], [1.0, 0.0, 0.0]]), "draws": [2, 0]},
        {"utilities": torch.tensor([[0.5, 0.25, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, 1.0]]), "draws": [0, 1]},
    ],
    random=_mbr_case,
    mistakes=[
        Mistake(
            _as_a_set,
            "You count each different text once. A text that was drawn three times is three draws, and each of them "
            "may be the right one.",
        ),
        Mistake(_among_all, "You choose among all texts, also those that were never drawn. Only drawn ones can win."),
        Mistake(
            _transposed,
            "Rows and columns are exchanged: utilities[y, s] is what y is worth if s is right. Sum along the row of "
            "the text that you would choose.",
        ),
        Mistake(_place_in_draws, "You return the place in `draws`. Return the number of the text, draws[place]."),
        Mistake(
            _last_of_equals,
            "Of equal sums you keep the text drawn last. The one drawn first stays: replace it only by a larger sum.",
        ),
        Mistake(
            _lowest_of_equals,
            "Of equal sums you keep the lowest number, as `argmax` does. Here the order of `draws` decides.",
        ),
        Mistake(_most_frequent, "That is the text that was drawn most often. The utilities have no say in yours."),
        Mistake(
            _without_itself,
            "You leave out what a draw is worth for itself. Here the sum runs over all draws, that one included.",
        ),
        Mistake(
            _without_equal_texts,
            "You leave out all draws of the text itself. They count: each of them may be the right one.",
        ),
        Mistake(
            _worst_single, "You compare the worst utility of each text. The *expected* one decides: sum over all draws."
        ),
        Mistake(_least_useful, "You take the least. The smallest risk is the *largest* utility."),
        Mistake(
            _all_texts_once,
            "You sum the whole row, over all texts. The sum runs over the draws: they stand for what is probable.",
        ),
        Mistake(_best_single, "You compare the best single utility of each text. Compare the sums over all draws."),
        Mistake(_sum_instead, "You return the largest sum. Return the number of the text that has it."),
        Mistake(_choice_as_tensor, "The text is right, but its number is a tensor: int(...) makes a number of it."),
    ],
)


# -- 11.4 -------------------------------------------------------------------------------------------------------------

_ANSWERS = ["11", "14", "12", "7"]


def _voted(answers: list[str | None], *, last_of_equals: bool = False) -> str | None:
    """The winner, None where nobody has voted."""
    winner: str | None = None
    most = 0
    for one in dict.fromkeys(answers):  # in the order in which they were drawn
        count = answers.count(one) if one is not None else 0
        if count > most or (count == most and last_of_equals and one is not None):
            winner, most = one, count
    return winner


def _first_with_the_most(answers: list[str | None]) -> int:
    winner = _voted(answers)
    return 0 if winner is None else answers.index(winner)


def _vote_case(generator: torch.Generator) -> Case:
    n = 1 + _below(9, generator)
    options: list[str | None] = [*_ANSWERS[: 1 + _below(4, generator)], None]
    return {"answers": [options[_below(len(options), generator)] for _ in range(n)]}


def _none_votes(answers: list[str | None]) -> int:
    return max(range(len(answers)), key=lambda place: answers.count(answers[place]))


def _last_winner(answers: list[str | None]) -> int:
    winner = _voted(answers, last_of_equals=True)
    return 0 if winner is None else answers.index(winner)


def _order_of_a_set(answers: list[str | None]) -> int:
    voters = [one for one in answers if one is not None]
    return answers.index(max(set(voters), key=voters.count)) if voters else 0


def _last_place(answers: list[str | None]) -> int:
    winner = _voted(answers)
    return 0 if winner is None else max(place for place, one in enumerate(answers) if one == winner)


def _last_with_the_most(answers: list[str | None]) -> int:
    """Goes through the draws and lets a later one with as many votes win."""
    counts = [0 if one is None else answers.count(one) for one in answers]
    return max(place for place, count in enumerate(counts) if count == max(counts)) if any(counts) else 0


def _first_to_get_there(answers: list[str | None]) -> int:
    """The one whose last vote comes first."""
    winner, most = None, 0
    for place, one in enumerate(answers):
        count = 0 if one is None else answers[: place + 1].count(one)
        if count > most:
            winner, most = one, count
    return 0 if winner is None else answers.index(winner)


def _last_where_nobody_votes(answers: list[str | None]) -> int:
    return len(answers) - 1 if _voted(answers) is None else _first_with_the_most(answers)


def _counter_of_nobody(answers: list[str | None]) -> int:
    votes = Counter(one for one in answers if one is not None)
    return answers.index(votes.most_common(1)[0][0])  # IndexError


def _largest_answer(answers: list[str | None]) -> int:
    return answers.index(max(one for one in answers if one is not None)) if any(answers) else 0


def _answer_itself(answers: list[str | None]) -> str | None:
    return _voted(answers)


def _number_of_votes(answers: list[str | None]) -> int:
    winner = _voted(answers)
    return 0 if winner is None else answers.count(winner)


def _without_the_silent(answers: list[str | None]) -> int:
    winner = _voted(answers)
    return 0 if winner is None else [one for one in answers if one is not None].index(winner)


def _more_than_half(answers: list[str | None]) -> int:
    winner = _voted(answers)
    return _first_with_the_most(answers) if winner and 2 * answers.count(winner) > len(answers) else 0


def _counted_from_one(answers: list[str | None]) -> int:
    return _first_with_the_most(answers) + 1


def _minus_one_for_nobody(answers: list[str | None]) -> int:
    return -1 if _voted(answers) is None else _first_with_the_most(answers)


def _nothing_for_nobody(answers: list[str | None]) -> int | None:
    return None if _voted(answers) is None else _first_with_the_most(answers)


def _stops_where_nobody_votes(answers: list[str | None]) -> int:
    favourite = max((one for one in answers if one is not None), key=answers.count)  # ValueError
    return answers.index(favourite)


def _rarest(answers: list[str | None]) -> int:
    voters = [one for one in answers if one is not None]
    return answers.index(min(voters, key=answers.count)) if voters else 0


def _first_voter(answers: list[str | None]) -> int:
    return next((place for place, one in enumerate(answers) if one is not None), 0)


majority = Check(
    exercise="11.4",
    name="majority",
    reference=_first_with_the_most,
    cases=[
        {"answers": ["12", "11", None, "14", "11", None, None]},  # both are worked in the text
        {"answers": ["14", "11", "11", "14"]},
        {"answers": ["7", "11", "14", "11", "14", "11"]},
        {"answers": ["14", "12", "11", "7"]},
        {"answers": [None, None]},
    ],
    random=_vote_case,
    mistakes=[
        Mistake(_none_votes, "None has a vote in yours. Draws without an answer do not count, however many they are."),
        Mistake(_last_winner, "Of equally frequent answers you keep the one drawn later; the first one drawn wins."),
        Mistake(
            _order_of_a_set,
            "Of equally frequent answers the order of a set decides in yours, which is chance. The order in which they "
            "were drawn should.",
        ),
        Mistake(_last_place, "The right answer, but you keep the last draw that gives it. Keep the first."),
        Mistake(
            _last_with_the_most,
            "Of draws with equally many votes you keep the last. A later one replaces the best so far only with "
            "*more* votes: > and not >=.",
        ),
        Mistake(
            _first_to_get_there,
            "You keep the answer that had its votes first. Count to the end; of equals, the one drawn first wins.",
        ),
        Mistake(_last_where_nobody_votes, "Where all are None you keep the last draw; it is draw 0."),
        Mistake(
            _counter_of_nobody,
            "Where all are None the list of `most_common(1)` is empty, and yours stops. Keep draw 0 then.",
        ),
        Mistake(_largest_answer, "You take the largest of the answers. Take the most frequent one."),
        Mistake(_answer_itself, "You return the answer. Return the number of the first draw that gives it."),
        Mistake(
            _number_of_votes, "You return how many votes the answer has. Return the number of a draw that gives it."
        ),
        Mistake(
            _without_the_silent,
            "You count the draws after the None have been left out. Leave them out of the votes only: the number is "
            "the place in the whole list.",
        ),
        Mistake(
            _more_than_half,
            "You ask for more than half of the draws. The most frequent answer wins, even with less.",
        ),
        Mistake(_counted_from_one, "Your numbers begin with 1; draws are numbered from 0."),
        Mistake(_minus_one_for_nobody, "Where no draw has an answer, draw 0 is kept."),
        Mistake(_nothing_for_nobody, "Where all are None you return nothing. Draw 0 is kept then."),
        Mistake(
            _stops_where_nobody_votes,
            "Where all are None there is nobody to count, and yours stops. Treat that first: draw 0 is kept.",
        ),
        Mistake(_rarest, "You keep the rarest answer: `max`, not `min`."),
        Mistake(_first_voter, "You keep the first draw that has any answer; nobody counts the votes in yours."),
    ],
)
