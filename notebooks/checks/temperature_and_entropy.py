"""The exercises of notebook 04, and the mistakes that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Categorical

from decoding import Temperature

from .checking import Case, Check, Mistake
from .words import WORDS

CAT_SAT_ON_THE = torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])
INF = math.inf


def _pick(options: list[float], generator: torch.Generator) -> float:
    return options[int(torch.randint(len(options), (), generator=generator))]


# -- 4.1 temperature --------------------------------------------------------------------------------------------------


def _logits_and_t(generator: torch.Generator) -> Case:
    logits = 3 * torch.randn(len(WORDS), generator=generator)
    if torch.rand((), generator=generator) < 0.5:  # two words share the first place
        best, other = torch.randperm(len(WORDS), generator=generator)[:2].tolist()
        logits[best] = logits[other] = 9.0
    if torch.rand((), generator=generator) < 0.4:  # and some are removed already
        logits = logits.masked_fill(logits < -2, -INF)
    return {"logits": logits, "t": _pick([0, 0.0, 1e-7, 1e-4, 0.1, 0.5, 1.0, 2.0, 100.0], generator)}


def _scaled(logits: Tensor, t: float) -> Tensor:
    return torch.true_divide(logits, t)


def _best_only(logits: Tensor) -> Tensor:
    place = next(id for id, value in enumerate(logits.tolist()) if value == float(logits.max()))
    return torch.tensor([value if id == place else -INF for id, value in enumerate(logits.tolist())])


def _divides_by_zero(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t)


def _never_below(least: float) -> Callable[[Tensor, float], Tensor]:
    def almost_zero(logits: Tensor, t: float) -> Tensor:
        return _scaled(logits, max(t, least))

    return almost_zero


def _a_little_hotter(more: float) -> Callable[[Tensor, float], Tensor]:
    def a_little_hotter(logits: Tensor, t: float) -> Tensor:
        return _scaled(logits, t + more)

    return a_little_hotter


def _greedy_when_small(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t) if t >= 0.01 else _best_only(logits)


def _nan_replaced(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t).nan_to_num()


def _unchanged_at_zero(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t) if t else logits


def _keeps_ties(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t) if t else logits.masked_fill(logits < logits.max(), -INF)


def _highest_id(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t) if t else _best_only(logits.flip(0)).flip(0)


def _multiplies(logits: Tensor, t: float) -> Tensor:
    return logits * t if t else _best_only(logits)


def _probabilities(logits: Tensor, t: float) -> Tensor:
    return (_scaled(logits, t) if t else _best_only(logits)).softmax(dim=-1)


def _one_hot(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t) if t else (_best_only(logits) > -INF).float()


def _others_zero(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t) if t else _best_only(logits).masked_fill(_best_only(logits) == -INF, 0.0)


def _winner_gets(value: float) -> Callable[[Tensor, float], Tensor]:
    def winner_gets_another(logits: Tensor, t: float) -> Tensor:
        return _scaled(logits, t) if t else _best_only(logits).masked_fill(_best_only(logits) > -INF, value)

    return winner_gets_another


def _log_probabilities_at(logits: Tensor, t: float) -> Tensor:
    return (_scaled(logits, t) if t else _best_only(logits)).log_softmax(dim=-1)


def _the_id(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits, t) if t else logits.max(dim=-1).indices


def _log_of_divided(logits: Tensor, t: float) -> Tensor:
    return _scaled(logits.softmax(dim=-1), t).log() if t else _best_only(logits)


def _divides_probabilities(logits: Tensor, t: float) -> Tensor:
    return logits.softmax(dim=-1) / t if t else _best_only(logits)


def _in_place(logits: Tensor, t: float) -> Tensor:
    return logits.div_(t) if t else _best_only(logits)


apply_temperature = Check(
    exercise="4.1",
    name="apply_temperature",
    reference=lambda logits, t: _scaled(logits, t) if t > 0 else Temperature(0)(logits),
    cases=[
        {"logits": CAT_SAT_ON_THE, "t": 2.0},
        {"logits": torch.tensor([1.0, 3.0, 2.0, 0.0, -1.0, -2.0, -2.0, -3.0, -4.0]), "t": 0.0},
        {"logits": torch.tensor([1.0, 3.0, 3.0, 0.0, -1.0, -2.0, -2.0, -3.0, -INF]), "t": 0.0},
        {"logits": torch.tensor([1.0, 3.0, 3.0, 0.0, -1.0, -2.0, -2.0, -3.0, -INF]), "t": 1e-6},
    ],
    random=_logits_and_t,
    mistakes=[
        Mistake(_divides_by_zero, "At t = 0 a division gives inf and NaN: treat that case on its own."),
        *(
            Mistake(
                _never_below(least),
                f"{text} in place of 0 is not greedy: words that share the first place share the probability, too, and "
                "in half precision the logits overflow. Treat t = 0 on its own.",
            )
            for least, text in [
                (1e-3, "0.001"),
                (1e-5, "0.00001"),
                (1e-6, "1e-6"),
                (1e-8, "1e-8"),
                (1e-10, "1e-10"),
                (1e-12, "1e-12"),
            ]
        ),
        *(
            Mistake(
                _a_little_hotter(more),
                f"{more:g} added to t does not make 0 greedy, and it changes a small t: treat t = 0 on its own.",
            )
            for more in (1e-5, 1e-6, 1e-8, 1e-10)
        ),
        Mistake(
            _greedy_when_small,
            "You are greedy at a small t already. Only 0 itself is: at any t above it, equal logits stay equal, and "
            "the logits are to be divided.",
        ),
        Mistake(
            _nan_replaced,
            "To replace NaN and infinity after a division by 0 does not tell which word was the likeliest: treat t = 0 "
            "on its own.",
        ),
        Mistake(_unchanged_at_zero, "At t = 0 you return the logits as they are: only the likeliest word may stay."),
        Mistake(
            _keeps_ties, "Where several words share the first place you keep all of them; only the lowest id stays."
        ),
        Mistake(_highest_id, "Of several words in the first place you keep the last; the lowest id stays."),
        Mistake(_multiplies, "You multiply by t, which sharpens where it should flatten: divide."),
        Mistake(_probabilities, "You return probabilities; logits are wanted, and the softmax comes later."),
        Mistake(
            _one_hot,
            "At t = 0 you return ones and zeros. As logits these leave every word a chance: a word is out when its "
            "logit is -inf.",
        ),
        Mistake(
            _others_zero,
            "At t = 0 you give the other words the logit 0, with which they still have a chance: -inf removes them.",
        ),
        *(
            Mistake(
                _winner_gets(value),
                f"At t = 0 the likeliest word keeps its own logit; you give it {value:g}.",
            )
            for value in (0.0, 1.0)
        ),
        Mistake(
            _log_probabilities_at,
            "You return log-probabilities: the same distribution, but the exercise wants z / t itself.",
        ),
        Mistake(
            _the_id, "At t = 0 you return the id of the likeliest word; the logits (V,) of that choice are wanted."
        ),
        Mistake(
            _log_of_divided,
            "You divide the probabilities and take the logarithm: that moves all logits alike, which the softmax takes "
            "back. Divide the logits.",
        ),
        Mistake(_divides_probabilities, "You divide the probabilities; the temperature divides the logits."),
        Mistake(_in_place, "Your division changes the reader's own logits; make a new tensor."),
    ],
    words=WORDS,
)


# -- 4.2 entropy ------------------------------------------------------------------------------------------------------


def _some_logits(generator: torch.Generator) -> Case:
    scale = _pick([0.5, 3.0, 30.0, 300.0], generator)
    shape = (3, len(WORDS)) if torch.rand((), generator=generator) < 0.4 else (len(WORDS),)
    logits = scale * torch.randn(shape, generator=generator)
    if torch.rand((), generator=generator) < 0.4:  # what top-k and top-p leave
        logits = logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) - scale, -INF)
    return {"logits": logits}


def _terms(logits: Tensor) -> Tensor:
    return torch.special.entr(logits.softmax(dim=-1))  # -p log p, and 0 where p is 0


def _zero_times_inf(logits: Tensor) -> Tensor:
    return -torch.einsum("...v,...v->...", logits.softmax(dim=-1), torch.log_softmax(logits, dim=-1))


def _log_of_zero(logits: Tensor) -> Tensor:
    p = logits.softmax(dim=-1)
    return -torch.einsum("...v,...v->...", p, p.log())


def _overflows(logits: Tensor) -> Tensor:
    weights = logits.exp()
    return torch.special.entr(weights / weights.sum(dim=-1, keepdim=True)).sum(dim=-1)


def _overflows_unseen(logits: Tensor) -> Tensor:
    weights = logits.exp()
    return torch.special.entr(weights / weights.sum(dim=-1, keepdim=True)).nansum(dim=-1)


def _a_little_more(much: float) -> Callable[[Tensor], Tensor]:
    def a_little_more(logits: Tensor) -> Tensor:
        p = logits.softmax(dim=-1)
        return -torch.einsum("...v,...v->...", p, torch.log(p + much))

    return a_little_more


def _not_weighted(logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1).neg().sum(dim=-1)


def _mean_logit(logits: Tensor) -> Tensor:
    return -torch.einsum("...v,...v->...", logits.softmax(dim=-1), logits)


def _logits_as_probabilities(logits: Tensor) -> Tensor:
    return -torch.einsum("...v,...v->...", logits, logits.log())


def _without_the_keyword(logits: Tensor) -> Tensor:
    return Categorical(logits).entropy()


def _over_the_rows(logits: Tensor) -> Tensor:
    return torch.special.entr(logits.softmax(dim=0)).sum(dim=-1)


def _keeps_the_dimension(logits: Tensor) -> Tensor:
    return _terms(logits).sum(dim=-1, keepdim=True)


def _word_by_word(logits: Tensor) -> Tensor:
    total = torch.tensor(0.0)
    for p in logits.softmax(dim=-1):
        if p > 0:
            total = total - p * torch.log(p)
    return total


def _number_by_number(logits: Tensor) -> Tensor:
    numbers = [p.item() for p in logits.softmax(dim=-1)]
    return torch.tensor(-math.fsum(p * math.log(p) for p in numbers if p > 0))


def _as_a_list(logits: Tensor) -> Tensor:
    numbers = logits.softmax(dim=-1).tolist()
    return torch.tensor(-math.fsum(p * math.log(p) for p in numbers if p > 0))


def _nan_hidden(logits: Tensor) -> Tensor:
    return _zero_times_inf(logits).nan_to_num(nan=0.0)


def _in_bits(logits: Tensor) -> Tensor:
    return _terms(logits).sum(dim=-1) * math.log2(math.e)


def _of_the_logits(logits: Tensor) -> Tensor:
    return torch.special.entr(logits).sum(dim=-1)


def _mean(logits: Tensor) -> Tensor:
    return _terms(logits).mean(dim=-1)


def _negative(logits: Tensor) -> Tensor:
    return -_terms(logits).sum(dim=-1)


def _all_rows_in_one(logits: Tensor) -> Tensor:
    return _terms(logits).sum()


def _exponential(logits: Tensor) -> Tensor:
    return _terms(logits).sum(dim=-1).exp()


def _unnormalised(logits: Tensor) -> Tensor:
    weights = logits.exp()
    return -(weights * weights.log()).nansum(dim=-1) / weights.sum(dim=-1)


entropy = Check(
    exercise="4.2",
    name="entropy",
    reference=lambda logits: Categorical(logits=logits).entropy() + 0.0,  # no minus zero
    cases=[
        {"logits": torch.tensor([0.5, 0.25, 0.125, 0.125]).log()},
        {"logits": torch.tensor([2.0, 2.0, -INF])},
        {"logits": torch.tensor([[1.0, 1.0, 1.0], [1000.0, 0.0, -1000.0]])},
    ],
    random=_some_logits,
    mistakes=[
        Mistake(
            _zero_times_inf,
            "A word of probability 0 gives 0 · log 0, which is 0 · (-inf) = NaN for the computer and 0 for us: make "
            "its term 0 before you sum.",
        ),
        Mistake(
            _log_of_zero,
            "Where a probability is 0, or so small that it becomes 0, its logarithm is -inf and the product NaN. Take "
            "the log-softmax in one go, and make the term of a removed word 0 before you sum.",
        ),
        Mistake(
            _overflows,
            "The exponential of a large logit is inf, and inf / inf is NaN: let a softmax or log-softmax make the "
            "probabilities.",
        ),
        Mistake(
            _overflows_unseen,
            "The exponential of a large logit is inf, and inf / inf is NaN, which your sum passes over: let a softmax "
            "or log-softmax make the probabilities.",
        ),
        *(
            Mistake(
                _a_little_more(much),
                f"{much:g} inside the logarithm keeps it from -inf, but changes the other terms too: make the term of "
                "a removed word 0 instead.",
            )
            for much in (1e-3, 1e-4, 1e-5)
        ),
        Mistake(_not_weighted, "You add up the surprisals; each has to be weighted with its probability."),
        Mistake(_mean_logit, "You average the logits; the entropy averages the log-probabilities."),
        Mistake(
            _logits_as_probabilities,
            "You put the logits in the place of the probabilities: a softmax has to come first.",
        ),
        Mistake(
            _without_the_keyword,
            "The first argument of Categorical is probabilities, and logits have to be named: logits=...",
        ),
        Mistake(_over_the_rows, "Your softmax runs over the rows; it runs over the words, the last dimension."),
        Mistake(
            _keeps_the_dimension, "One number a row is wanted, without a dimension of size 1 behind it: no keepdim."
        ),
        Mistake(
            _word_by_word,
            "Your loop walks along the first dimension: with several rows these are the rows, not the words. Calculate "
            "with the whole tensor and sum over its last dimension.",
        ),
        Mistake(
            _number_by_number,
            "With several rows, what your loop meets is a row and no number. Calculate with the whole tensor and sum "
            "over its last dimension.",
        ),
        Mistake(
            _as_a_list,
            "With several rows, tolist() gives a list of lists. Calculate with the whole tensor and sum over its last "
            "dimension.",
        ),
        Mistake(_nan_hidden, "You turn the NaN of a whole row into 0. Only the term of a removed word is 0."),
        Mistake(_in_bits, "This is the entropy in bits; the exercise wants nats, which is the natural logarithm."),
        Mistake(_of_the_logits, "You take -x log x of the logits themselves; it takes the probabilities."),
        Mistake(_mean, "An entropy is the sum of its terms; you take their mean, which divides by the vocabulary."),
        Mistake(_negative, "The sign: log p is negative and an entropy never is."),
        Mistake(_all_rows_in_one, "You sum over all rows; each row has its own entropy. Sum over the last dimension."),
        Mistake(_exponential, "You return e^H, the number of effective choices; the exercise wants H."),
        Mistake(_unnormalised, "The exponentials of the logits are no probabilities yet: they do not sum to 1."),
    ],
)


# -- 4.3 surprisals ---------------------------------------------------------------------------------------------------


def _a_text(generator: torch.Generator) -> Case:
    n = int(torch.randint(1, 8, (), generator=generator))
    scale = _pick([1.0, 4.0, 100.0], generator)
    logits = scale * torch.randn(n, len(WORDS), generator=generator)
    return {"logits": logits, "ids": torch.randint(len(WORDS), (n,), generator=generator)}


def _looked_up(logprobs: Tensor, ids: Tensor) -> Tensor:
    """Entry ids[n] of row n, (N, V) and (N,) -> (N,)."""
    return torch.tensor([float(row[id]) for row, id in zip(logprobs, ids.tolist(), strict=True)])


def _own_position(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits.log_softmax(dim=-1), ids)


def _own_position_shortened(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits.log_softmax(dim=-1), ids)[1:]


def _own_position_without_the_last(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits.log_softmax(dim=-1), ids)[:-1]


def _backwards(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits[1:].log_softmax(dim=-1), ids[:-1])


def _no_softmax(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits[:-1], ids[1:])


def _underflows(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits[:-1].softmax(dim=-1), ids[1:]).log()


def _a_little_inside(much: float) -> Callable[[Tensor, Tensor], Tensor]:
    def a_little_inside(logits: Tensor, ids: Tensor) -> Tensor:
        return -torch.log(_looked_up(logits[:-1].softmax(dim=-1), ids[1:]) + much)

    return a_little_inside


def _no_logarithm(logits: Tensor, ids: Tensor) -> Tensor:
    return _looked_up(logits[:-1].softmax(dim=-1), ids[1:])


def _minus_the_probability(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits[:-1].softmax(dim=-1), ids[1:])


def _stacked(logits: Tensor, ids: Tensor) -> Tensor:
    return torch.stack([-logits[n].log_softmax(dim=-1)[id] for n, id in enumerate(ids[1:])])


def _flat_index(logits: Tensor, ids: Tensor) -> Tensor:
    return -torch.log_softmax(logits[:-1], -1).gather(-1, ids[1:])


def _as_a_column(logits: Tensor, ids: Tensor) -> Tensor:
    return -_log_probabilities(logits, ids).unsqueeze(-1)


def _squeezed(logits: Tensor, ids: Tensor) -> Tensor:
    return -_log_probabilities(logits, ids).squeeze()


def _all_pairs(logits: Tensor, ids: Tensor) -> Tensor:
    return -torch.log_softmax(logits[:-1], -1)[:, ids[1:]]


def _surprisal_in_bits(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits[:-1].log_softmax(dim=-1), ids[1:]) / math.log(2)


def _log_probabilities(logits: Tensor, ids: Tensor) -> Tensor:
    return _looked_up(logits[:-1].log_softmax(dim=-1), ids[1:])


def _averaged(logits: Tensor, ids: Tensor) -> Tensor:
    return -_log_probabilities(logits, ids).mean()


def _wrong_dimension(logits: Tensor, ids: Tensor) -> Tensor:
    return -_looked_up(logits[:-1].log_softmax(dim=0), ids[1:])


surprisals = Check(
    exercise="4.3",
    name="surprisals",
    reference=lambda logits, ids: torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="none"),
    cases=[
        {
            "logits": torch.tensor([[0.25, 0.5, 0.25], [0.125, 0.75, 0.125], [0.25, 0.25, 0.5]]).log(),
            "ids": torch.tensor([0, 1, 2]),
        },
        {"logits": torch.tensor([[200.0, 0.0, 0.0], [0.0, 1.0, 2.0]]), "ids": torch.tensor([2, 1])},
        {"logits": torch.tensor([[1.0, 2.0, 3.0]]), "ids": torch.tensor([1])},
    ],
    random=_a_text,
    mistakes=[
        Mistake(
            _own_position,
            "You look up each id in the logits at its own position; these have seen it already. The logits at n "
            "predict the id at n + 1.",
        ),
        Mistake(
            _own_position_shortened,
            "You look up each id in the logits at its own position and then drop the first; the logits at n predict "
            "the id at n + 1.",
        ),
        Mistake(
            _own_position_without_the_last,
            "You drop the last row and the last id, so that each id is looked up in the logits at its own position. "
            "The ids have to lose their first.",
        ),
        Mistake(_backwards, "You shift the wrong way: your logits at n are asked for the id at n - 1."),
        Mistake(_no_softmax, "You take the logits themselves; log-probabilities need a log-softmax first."),
        Mistake(
            _underflows,
            "Right for ordinary logits, but a probability below 1e-45 becomes 0 and its logarithm -inf: take the "
            "log-softmax in one go.",
        ),
        *(
            Mistake(
                _a_little_inside(much),
                f"{much:g} inside the logarithm keeps the surprisal from infinity, but no surprisal can be larger than "
                f"{-math.log(much):.1f} then: take the log-softmax in one go.",
            )
            for much in (1e-6, 1e-8, 1e-9, 1e-10, 1e-12)
        ),
        Mistake(_no_logarithm, "You return the probabilities; the surprisal is minus their logarithm."),
        Mistake(_minus_the_probability, "You return minus the probabilities; the logarithm is missing."),
        Mistake(
            _stacked,
            "Right but for a text of one word, where the list is empty and torch.stack has nothing to stack: "
            "calculate with whole tensors, or use torch.tensor.",
        ),
        Mistake(
            _flat_index,
            "gather wants an index with as many dimensions as the tensor: here (N - 1, 1), one id in each row.",
        ),
        Mistake(_as_a_column, "Right numbers in a column, (N - 1, 1): take its only column."),
        Mistake(
            _squeezed,
            "squeeze() drops every dimension of size 1, for a text of two words the other one too: drop the last only.",
        ),
        Mistake(
            _all_pairs,
            "[:, ids] takes all these ids from every row, (N - 1, N - 1); of each row only its own id is wanted.",
        ),
        Mistake(_surprisal_in_bits, "These are bits; the exercise wants nats."),
        Mistake(_log_probabilities, "The sign: a log-probability is negative and a surprisal is not."),
        Mistake(_averaged, "You average; the exercise wants one number for each id but the first."),
        Mistake(_wrong_dimension, "Your softmax runs over the positions; it runs over the vocabulary."),
    ],
)


# -- 4.4 temperature_for ----------------------------------------------------------------------------------------------


def _entropy_at(logits: Tensor, t: float) -> float:
    return float(Categorical(logits=logits.double() / t).entropy())


def _wanted(generator: torch.Generator) -> Case:
    """Logits and an entropy that they have at some temperature, well away from where the entropy stands still."""
    while True:
        logits = _pick([1.0, 3.0, 10.0], generator) * torch.randn(len(WORDS), generator=generator)
        t = 10 ** float(-1 + 2 * torch.rand((), generator=generator))
        steepness = (_entropy_at(logits, 1.02 * t) - _entropy_at(logits, t)) / 0.02
        if steepness > 0.05:
            return {"logits": logits, "h": round(_entropy_at(logits, t), 6)}


def _search(logits: Tensor, h: float, low: float = 0.01, high: float = 100.0, rounds: int = 80) -> float:
    """The temperature with the entropy h, by halving the range of its logarithm."""
    for _ in range(rounds):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _entropy_at(logits, middle) < h else (low, middle)
    return math.sqrt(low * high)


def _turned_round(logits: Tensor, h: float) -> float:
    low, high = 0.01, 100.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if _entropy_at(logits, middle) < h else (middle, high)
    return (low + high) / 2


def _halved(logits: Tensor, h: float, entropy_at: Callable[[Tensor, float], float], rounds: int = 80) -> float:
    low, high = 0.01, 100.0
    for _ in range(rounds):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy_at(logits, middle) < h else (low, middle)
    return (low + high) / 2


def _never_divides(logits: Tensor, h: float) -> float:
    return _halved(logits, h, lambda z, t: _entropy_at(z, 1.0))


def _no_keyword(logits: Tensor, h: float) -> float:
    return _halved(logits, h, lambda z, t: float(Categorical(z / t).entropy()))


def _half_the_width(logits: Tensor, h: float, last: float = 0.5) -> float:
    low, high = 0.01, 100.0
    for _ in range(80):
        middle = (high - low) / 2
        low, high = (middle, high) if _entropy_at(logits, middle) < h else (low, middle)
    return high / 2 + low * last


def _half_the_width_to_the_end(logits: Tensor, h: float) -> float:
    return _half_the_width(logits, h, last=-0.5)


def _nan_when_cold(logits: Tensor, h: float) -> float:
    def plain(z: Tensor, t: float) -> float:
        p = (z / t).softmax(dim=-1)
        return float(-(p * p.log()).sum())

    return _halved(logits, h, plain)


def _when_close(enough: float) -> Callable[[Tensor, float], float]:
    def stops_when_close(logits: Tensor, h: float) -> float:
        low, high = 0.01, 100.0
        for _ in range(80):
            middle = (low + high) / 2
            found = _entropy_at(logits, middle)
            if abs(found - h) < enough:
                break
            low, high = (middle, high) if found < h else (low, middle)
        return middle

    return stops_when_close


def _in_steps(logits: Tensor, h: float) -> float:
    steps = torch.arange(1, 10_001, dtype=torch.float64) / 100  # (10000,): 0.01, 0.02, ...
    enough = Categorical(logits=logits.double() / steps[:, None]).entropy() >= h
    return float(steps[enough][0]) if bool(enough.any()) else 100.0


def _exponential_of_h(logits: Tensor, h: float) -> float:
    return _halved(logits, math.exp(h), _entropy_at)


def _wants_bits(logits: Tensor, h: float) -> float:
    return _search(logits, h * math.log(2))


def _one_over(logits: Tensor, h: float) -> float:
    return 1 / _search(logits, h)


def _wants_choices(logits: Tensor, h: float) -> float:
    return _search(logits, math.log(h) if h > 1 else 0.0)


def _proportional(logits: Tensor, h: float) -> float:
    return h / _entropy_at(logits, 1.0)


def _few_rounds(logits: Tensor, h: float) -> float:
    return _halved(logits, h, _entropy_at, rounds=10)


temperature_for = Check(
    exercise="4.4",
    name="temperature_for",
    reference=_search,
    cases=[
        {"logits": torch.tensor([3.0, 1.0]).log(), "h": 0.5623351},
        {"logits": CAT_SAT_ON_THE, "h": 2.0},
        {"logits": CAT_SAT_ON_THE, "h": 0.5},
    ],
    random=_wanted,
    mistakes=[
        Mistake(
            _turned_round,
            "Your search always ends at 100. Either you move the wrong end (where the entropy at the middle is too "
            "small, the temperature has to rise), or you multiply by the temperature where you should divide.",
        ),
        Mistake(_wants_bits, "You compare an entropy in bits with h, which is in nats."),
        Mistake(_never_divides, "Your entropy is the same in every round: divide the logits by the middle first."),
        Mistake(
            _no_keyword, "The first argument of Categorical is probabilities, and logits have to be named: logits=..."
        ),
        Mistake(
            _half_the_width,
            "The middle of two numbers is half of their sum; half of their difference is half the width.",
        ),
        Mistake(
            _half_the_width_to_the_end,
            "The middle of two numbers is half of their sum, at the end too; half of the difference is half the width.",
        ),
        Mistake(
            _nan_when_cold,
            "Where it is cold, probabilities become 0 and your entropy NaN, which is not less than anything: use "
            "Categorical(logits=...), or your own from exercise 4.2.",
        ),
        *(
            Mistake(
                _when_close(enough),
                f"You stop where the entropy is within {enough:g} of h, but t may be far off there, because the "
                "entropy hardly changes with it: go on until the range of t is tiny.",
            )
            for enough in (0.01, 1e-3)
        ),
        Mistake(_in_steps, "Steps of 0.01 are too coarse where t is small, and slow: halve the range instead."),
        Mistake(_exponential_of_h, "You compare the entropy with e^h; both are entropies already."),
        Mistake(_one_over, "This is 1 / t: the logits are divided by the temperature, not multiplied."),
        Mistake(_wants_choices, "You compare e^H, the number of effective choices, with h, which is an entropy."),
        Mistake(
            _proportional,
            "The entropy does not grow in proportion to the temperature, so one division does not find it: search.",
        ),
        Mistake(_few_rounds, "The right idea, stopped too early: go on halving until the range is tiny."),
    ],
    words=WORDS,
    tolerance=2e-3,
    rounds=30,
)
