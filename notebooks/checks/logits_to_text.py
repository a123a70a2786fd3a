"""The exercises of notebook 01, and the mistakes that are known."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .checking import Case, Check, Mistake
from .words import WORDS

V = len(WORDS)

# -- 1.1 --------------------------------------------------------------------------------------------------------------


def _some_logits(generator: torch.Generator) -> Case:
    logits = 4 * torch.randn(V, generator=generator)
    impossible = torch.rand(V, generator=generator) < 0.2
    impossible[0] = False  # something has to be possible
    return {"logits": logits.masked_fill(impossible, -torch.inf)}


def _overflows(logits: Tensor) -> Tensor:
    raised = torch.e**logits
    return raised / sum(raised)


def _not_divided(logits: Tensor) -> Tensor:
    return torch.e ** (logits - max(logits))


def _without_exponentials(logits: Tensor) -> Tensor:
    return logits / sum(logits)


def _powers_of_two(logits: Tensor) -> Tensor:
    raised = 2 ** (logits - max(logits))
    return raised / sum(raised)


def _shifted_after_the_exponential(logits: Tensor) -> Tensor:
    raised = torch.e**logits - max(logits)
    return raised / sum(raised)


def _smallest_subtracted(logits: Tensor) -> Tensor:
    raised = torch.e ** (logits - min(logits))
    return raised / sum(raised)


def _logarithms(logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1)


def _in_place(logits: Tensor) -> Tensor:
    logits -= max(logits)
    return logits.softmax(dim=-1)


softmax = Check(
    exercise="1.1",
    name="softmax",
    reference=lambda logits: logits.softmax(dim=-1),
    cases=[
        {"logits": torch.tensor([3.1, 2.4, 1.6, 0.7, 0.3, -0.4, -1.5, -2.2, -3.0])},
        {"logits": torch.tensor([1000.0, 999.0, 998.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1000.0])},
    ],
    random=_some_logits,
    mistakes=[
        Mistake(_overflows, "Right for small logits, but e^1000 is inf: subtract the largest logit from all first."),
        Mistake(_not_divided, "These are proportional to the probabilities, but do not sum to 1: divide by their sum."),
        Mistake(_without_exponentials, "You divide the logits themselves; the rule divides their exponentials."),
        Mistake(_powers_of_two, "These are powers of 2; the softmax has powers of e."),
        Mistake(
            _shifted_after_the_exponential,
            "You subtract the largest logit from the exponentials. It has to go before, from the logits themselves.",
        ),
        Mistake(_smallest_subtracted, "You subtract the smallest logit, which makes the others even larger."),
        Mistake(_logarithms, "These are the logarithms of the probabilities."),
        Mistake(_in_place, "`-=` writes into the caller's tensor: write `logits - ...`, which makes a new one."),
    ],
    words=WORDS,
)

# -- 1.2 --------------------------------------------------------------------------------------------------------------


def _said(choices: list[int]) -> Tensor:
    """Logits (T, V) whose argmax at each position is the one given."""
    return torch.nn.functional.one_hot(torch.tensor(choices), V).float()


def _some_text(generator: torch.Generator) -> Case:
    T = int(torch.randint(1, 12, (), generator=generator))
    ids = torch.randint(0, 3, (T,), generator=generator)  # few different ones, so that hits are frequent
    return {"logits": torch.randn(T, 3, generator=generator), "ids": ids}


def _hits(logits: Tensor, ids: Tensor) -> int:
    said, came = logits.argmax(dim=-1).tolist(), ids.tolist()
    return sum(said[t] == came[t + 1] for t in range(len(came) - 1))


def _not_shifted(logits: Tensor, ids: Tensor) -> int:
    return sum(a == b for a, b in zip(logits.argmax(dim=-1).tolist(), ids.tolist(), strict=True))


def _shifted_the_other_way(logits: Tensor, ids: Tensor) -> int:
    said, came = logits.argmax(dim=-1).tolist(), ids.tolist()
    return sum(said[t + 1] == came[t] for t in range(len(came) - 1))


def _around_the_end(logits: Tensor, ids: Tensor) -> int:
    return int((logits.argmax(dim=-1) == ids.roll(-1)).sum())


def _last_one_forgotten(logits: Tensor, ids: Tensor) -> int:
    said, came = logits.argmax(dim=-1).tolist(), ids.tolist()
    return sum(said[t] == came[t + 1] for t in range(len(came) - 2))


def _not_shifted_nor_last(logits: Tensor, ids: Tensor) -> int:
    return _not_shifted(logits[:-1], ids[:-1])


def _returns_in_the_loop(logits: Tensor, ids: Tensor) -> int | None:
    for guess, id in zip(logits.argmax(dim=-1)[:-1].tolist(), ids[1:].tolist(), strict=True):
        return int(guess == id)
    return None


def _argmax_over_positions(logits: Tensor, ids: Tensor) -> int:
    best = logits.argmax(dim=0).tolist()
    return sum(a == b for a, b in zip(best, ids[1:].tolist(), strict=False))


def _as_a_share(logits: Tensor, ids: Tensor) -> float:
    return _hits(logits, ids) / max(len(ids) - 1, 1)


def _as_a_tensor(logits: Tensor, ids: Tensor) -> Tensor:
    return torch.tensor(_hits(logits, ids))


count_hits = Check(
    exercise="1.2",
    name="count_hits",
    reference=_hits,
    cases=[
        {"logits": _said([2, 5, 7]), "ids": torch.tensor([4, 2, 7])},
        {"logits": _said([3, 1]), "ids": torch.tensor([1, 3])},
        {"logits": _said([1]), "ids": torch.tensor([1])},
    ],
    random=_some_text,
    mistakes=[
        Mistake(_not_shifted, "You compare position t with the id at t. The logits at t are about the id at t + 1."),
        Mistake(_shifted_the_other_way, "You shift the wrong way: position t speaks about t + 1, not about t - 1."),
        Mistake(_around_the_end, "The last position has no next token in the text; you compare it with the first one."),
        Mistake(_not_shifted_nor_last, "You leave the last position out, and still compare t with t instead of t + 1."),
        Mistake(_last_one_forgotten, "One position too few: of T positions the first T - 1 count."),
        Mistake(_returns_in_the_loop, "You return from within the loop, after the first position."),
        Mistake(_argmax_over_positions, "You take the argmax over the positions: the ids are the last dimension."),
        Mistake(_as_a_share, "This is the share of right guesses; their number is asked for."),
        Mistake(_as_a_tensor, "The number is right, but still in a tensor: `int(...)` or `.item()` takes it out."),
    ],
)

# -- 1.3 --------------------------------------------------------------------------------------------------------------

Model = Callable[[Tensor], Tensor]


def _bigram(table: Tensor) -> Model:
    """A model of nine words that looks at the last one only: ids (1, T) -> logits (1, T, V)."""

    def nine_words(ids: Tensor) -> Tensor:
        if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.dtype != torch.int64:
            raise TypeError(f"the model takes ids as an int64 tensor of shape (1, T); got {_what(ids)}")
        return table[ids]

    return nine_words


def _what(ids: object) -> str:
    return f"{ids.dtype} of shape {tuple(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__


def _position_dependent(table: Tensor) -> Model:
    """A model whose answer depends on the last word and on how many there are."""

    def nine_words(ids: Tensor) -> Tensor:
        bigram = _bigram(table)(ids)  # (1, T, V)
        return torch.stack([bigram[:, t].roll(t, dims=-1) for t in range(ids.shape[1])], dim=1)

    return nine_words


def _one_above() -> Model:
    return _bigram(torch.eye(V).roll(1, dims=1))


def _some_model(generator: torch.Generator) -> Case:
    table = torch.randn(V, V, generator=generator)
    T, n = int(torch.randint(1, 5, (), generator=generator)), int(torch.randint(0, 6, (), generator=generator))
    ids = torch.randint(0, V, (T,), generator=generator).tolist()
    return {"model": _position_dependent(table), "ids": ids, "n": n}


def _greedy(model: Model, ids: list[int], n: int) -> list[int]:
    new: list[int] = []
    while len(new) < n:
        new += model(torch.tensor([[*ids, *new]]))[:, -1].argmax(dim=-1).tolist()
    return new


def _with_the_prompt(model: Model, ids: list[int], n: int) -> list[int]:
    return [*ids, *_greedy(model, ids, n)]


def _first_position(model: Model, ids: list[int], n: int) -> list[int]:
    new: list[int] = []
    while len(new) < n:
        new += model(torch.tensor([[*ids, *new]]))[:, 0].argmax(dim=-1).tolist()
    return new


def _never_appended(model: Model, ids: list[int], n: int) -> list[int]:
    return [int(model(torch.tensor([ids]))[0, -1].argmax()) for _ in range(n)]


def _only_the_last_id(model: Model, ids: list[int], n: int) -> list[int]:
    new = [ids[-1]]
    while len(new) <= n:
        new += model(torch.tensor([new[-1:]]))[:, -1].argmax(dim=-1).tolist()
    return new[1:]


def _every_position(model: Model, ids: list[int], n: int) -> list[int]:
    return model(torch.tensor([ids]))[0].argmax(dim=-1).tolist()[:n]


def _one_too_few(model: Model, ids: list[int], n: int) -> list[int]:
    return _greedy(model, ids, n - 1)


def _prompt_counts(model: Model, ids: list[int], n: int) -> list[int]:
    return _greedy(model, ids, n - len(ids))


def _cut_from_the_end(model: Model, ids: list[int], n: int) -> list[int]:
    return [*ids, *_greedy(model, ids, n)][-n:]


def _over_everything(model: Model, ids: list[int], n: int) -> list[int]:
    new: list[int] = []
    while len(new) < n:
        new.append(int(model(torch.tensor([[*ids, *new]]))[0].argmax()))
    return new


def _tensors(model: Model, ids: list[int], n: int) -> list[Tensor]:
    return [torch.tensor(id) for id in _greedy(model, ids, n)]


def _returns_after_the_first(model: Model, ids: list[int], n: int) -> list[int]:
    return _greedy(model, ids, min(n, 1))


def _writes_into_the_prompt(model: Model, ids: list[int], n: int) -> list[int]:
    new = _greedy(model, ids, n)
    ids += new
    return new


continue_greedily = Check(
    exercise="1.3",
    name="continue_greedily",
    reference=_greedy,
    cases=[
        {"model": _one_above(), "ids": [3, 5], "n": 3},
        {"model": _position_dependent(torch.eye(V)), "ids": [2, 0, 1], "n": 4},
    ],
    random=_some_model,
    mistakes=[
        Mistake(_with_the_prompt, "The prompt's ids are in it, too: return the new ones only."),
        Mistake(_first_position, "You look at the first position; the last one is what predicts the next id."),
        Mistake(_never_appended, "Every round asks about the same ids: append what was chosen before you ask again."),
        Mistake(_only_the_last_id, "You show the model the last id only. It has to see all ids so far."),
        Mistake(_every_position, "This is the argmax of every position of the prompt. Ask once for each new id."),
        Mistake(_one_too_few, "One id too few: `n` new ones are asked for."),
        Mistake(_prompt_counts, "You stop when prompt and new ids together are `n`; only the new ones count."),
        Mistake(_cut_from_the_end, "`[-n:]` is the whole list where n is 0. Cut the prompt off at the front instead."),
        Mistake(_over_everything, "You take the argmax over all positions at once: only those of the last one count."),
        Mistake(_tensors, "The list holds tensors with one id each; `.item()` or `int(...)` takes the ids out."),
        Mistake(_returns_after_the_first, "You return from within the loop, after the first new id."),
        Mistake(
            _writes_into_the_prompt,
            "The caller's list has grown: `append` and `+=` change it. Work on a copy.",
        ),
    ],
)
