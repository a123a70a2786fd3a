"""The exercises of notebook 03, and the mistakes that are known."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from decoding import Greedy, Session, TableModel, generate_ids

from .checking import Case, Check, Mistake

Ids = list[int]


# --- 3.1: the loop, without a cache ---


class _Table:
    """A model as a function: ids -> logits (T, V), row t for the id that follows ids[: t + 1]."""

    def __init__(self, name: str, table: Tensor) -> None:
        self.__name__ = name
        self.table = table  # (V, V)

    def __call__(self, ids: Any) -> Tensor:
        return self.table[torch.as_tensor(ids)]


_all_equal = _Table("all_equal", torch.zeros(10, 10))
_counts_up = _Table("counts_up", 5 * torch.eye(10).roll(1, dims=1))  # after i comes i + 1, and after 9 comes 0


def _by_the_library(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    table = TableModel.bigram(model.table, n_positions=1000)
    return generate_ids(table, [prompt], Greedy(), max_new_tokens=max_new_tokens, eos_id=eos_id)[0].ids


def _random_greedy(generator: torch.Generator) -> Case:
    n_vocab = int(torch.randint(3, 9, (), generator=generator))
    table = torch.randint(0, 3, (n_vocab, n_vocab), generator=generator).float()  # few values: many ties
    eos_id = int(torch.randint(n_vocab, (), generator=generator))
    prompt = torch.randint(n_vocab, (int(torch.randint(1, 6, (), generator=generator)),), generator=generator).tolist()
    prompt += [eos_id] * int(torch.randint(2, (), generator=generator))  # every other prompt ends with eos
    most = int(torch.randint(1, 9, (), generator=generator))
    return {"model": _Table("a_random_table", table), "prompt": prompt, "max_new_tokens": most, "eos_id": eos_id}


def _loop(
    model: Callable[[Ids], Tensor],
    text: Ids,
    most: int,
    ends: Callable[[Ids], bool],
    pick: Callable[[Tensor], int] = lambda logits: int(logits[-1].argmax()),
) -> Ids:
    """The text and what follows; `text` itself grows."""
    for _ in range(most):
        if ends(text):
            break
        text += [pick(model(text))]
    return text


def _ended(prompt: Ids, eos_id: int) -> Callable[[Ids], bool]:
    length = len(prompt)
    return lambda text: len(text) > length and text[-1] == eos_id


def _with_the_prompt(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], max_new_tokens, _ended(prompt, eos_id))


def _into_the_prompt(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    length = len(prompt)
    return _loop(model, prompt, max_new_tokens, _ended(prompt, eos_id))[length:]


def _never_ends(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], max_new_tokens, lambda text: False)[len(prompt) :]


def _without_eos(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    new = _by_the_library(model, prompt, max_new_tokens, eos_id)
    return new[:-1] if new[-1] == eos_id else new


def _ends_with_the_prompt(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], max_new_tokens, lambda text: text[-1] == eos_id)[len(prompt) :]


def _one_too_many(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _by_the_library(model, prompt, max_new_tokens + 1, eos_id)


def _after_the_first(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    pick = lambda logits: int(logits[0].argmax())  # noqa: E731
    return _loop(model, prompt[:], max_new_tokens, _ended(prompt, eos_id), pick)[len(prompt) :]


def _last_of_equals(model: _Table, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    pick = lambda logits: int(logits[-1].sort(stable=True).indices[-1])  # noqa: E731
    return _loop(model, prompt[:], max_new_tokens, _ended(prompt, eos_id), pick)[len(prompt) :]


greedy = Check(
    exercise="3.1",
    name="greedy",
    reference=_by_the_library,
    cases=[
        {"model": _counts_up, "prompt": [2, 3], "max_new_tokens": 4, "eos_id": 0},
        {"model": _counts_up, "prompt": [4, 6], "max_new_tokens": 9, "eos_id": 9},
        {"model": _counts_up, "prompt": [9], "max_new_tokens": 3, "eos_id": 9},
        {"model": _all_equal, "prompt": [5], "max_new_tokens": 2, "eos_id": 9},
    ],
    random=_random_greedy,
    mistakes=[
        Mistake(_with_the_prompt, "You return the prompt, too; leave its ids out of what you return."),
        Mistake(_into_the_prompt, "The prompt belongs to the caller: let a list of your own grow instead."),
        Mistake(_never_ends, "Nothing ends the text but its length: stop as soon as eos_id has been chosen."),
        Mistake(_without_eos, "The eos id was chosen like any other id, so it is returned, too, as the last one."),
        Mistake(
            _ends_with_the_prompt,
            "A prompt may end with the eos id (GPT-2's documents begin behind one): only a new id ends the text.",
        ),
        Mistake(_one_too_many, "There is one id too many: count the new ids, not the steps between them."),
        Mistake(_after_the_first, "Row 0 predicts the second id of the prompt; what comes next is in the last row."),
        Mistake(_last_of_equals, "Of several best ids you take the highest; the lowest is asked for, as argmax does."),
    ],
)


# --- 3.2: one new id meets the cache ---


def _random_cache(generator: torch.Generator) -> Case:
    slots, width = (int(torch.randint(low, 7, (), generator=generator)) for low in (0, 1))
    new = [torch.randn(width, generator=generator) for _ in range(3)]
    old = [torch.randn(slots, width, generator=generator) for _ in range(2)]
    return dict(zip(("q", "k", "v", "keys", "values"), new + old, strict=True))


def _grown(old: Tensor, new: Tensor) -> Tensor:
    return torch.vstack([old, new])


def _fused(q: Tensor, keys: Tensor, values: Tensor, **options: Any) -> Tensor:
    """PyTorch's own attention of one query, (D,)."""
    return F.scaled_dot_product_attention(q.view(1, -1), keys, values, **options).view(-1)


def _by_pytorch(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = _grown(keys, k), _grown(values, v)
    return _fused(q, keys, values), keys, values


def _without_scale(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = _grown(keys, k), _grown(values, v)
    return _fused(q, keys, values, scale=1.0), keys, values


def _blind_to_itself(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    return (keys @ q * q.numel() ** -0.5).softmax(0) @ values, _grown(keys, k), _grown(values, v)


def _not_kept(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    return _fused(q, _grown(keys, k), _grown(values, v)), keys, values


def _causal_again(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = _grown(keys, k), _grown(values, v)
    return _fused(q, keys, values, is_causal=True), keys, values


def _wrong_axis(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = _grown(keys, k), _grown(values, v)
    return values.sum(0), keys, values  # a softmax over one number is 1


def _in_front(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = torch.vstack([k, keys]), torch.vstack([v, values])
    return _fused(q, keys, values), keys, values


attend_with_cache = Check(
    exercise="3.2",
    name="attend_with_cache",
    reference=_by_pytorch,
    cases=[
        {
            "q": torch.tensor([2.0, 0.0, 0.0, 0.0]),
            "k": torch.tensor([0.0, 1.0, 0.0, 0.0]),
            "v": torch.tensor([30.0, 0.0, 0.0, 0.0]),
            "keys": torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]),
            "values": torch.tensor([[10.0, 0.0, 0.0, 0.0], [20.0, 0.0, 0.0, 0.0]]),
        },
        {
            "q": torch.tensor([1.0, 2.0]),
            "k": torch.tensor([3.0, 4.0]),
            "v": torch.tensor([5.0, 6.0]),
            "keys": torch.zeros(0, 2),
            "values": torch.zeros(0, 2),
        },
    ],
    random=_random_cache,
    mistakes=[
        Mistake(_without_scale, "The scores are not scaled: divide them by the square root of D before the softmax."),
        Mistake(_blind_to_itself, "The new id has to see itself, too: append k and v first, then attend."),
        Mistake(_not_kept, "The output is right, but you return the old keys and values: the next step would miss k."),
        Mistake(
            _causal_again,
            "A causal mask built for one query hides all keys but the first. The newest id may see all: no mask.",
        ),
        Mistake(
            _wrong_axis,
            "Every weight comes out as 1: the softmax runs over the single query. It belongs over the keys.",
        ),
        Mistake(_in_front, "The new key and value go behind the old ones: row t of the cache belongs to the id t."),
    ],
)


# --- 3.3: the loop with a session ---


class SumsUpModulo10(TableModel):
    """The next id is the sum of all before it, modulo V: it needs all of them."""

    def __init__(self) -> None:
        super().__init__(10, 1000, lambda ids: F.one_hot(torch.tensor(sum(ids) % 10), 10).double())


class _Counting:
    """A model that writes down what its sessions are fed."""

    def __init__(self, model: TableModel) -> None:
        self.model, self.n_vocab, self.n_positions = model, model.n_vocab, model.n_positions
        self.sessions = 0
        self.fed: list[Any] = []

    def open(self) -> _CountingSession:
        self.sessions += 1
        return _CountingSession(self, self.model.open())


class _CountingSession:
    def __init__(self, owner: _Counting, session: Session) -> None:
        self._owner, self._session = owner, session

    @property
    def lengths(self) -> Tensor:
        return self._session.lengths

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        if not isinstance(ids, Tensor) or ids.dim() != 2 or len(ids) != 1:
            shape = tuple(ids.shape) if isinstance(ids, Tensor) else type(ids).__name__
            raise ValueError(f"extend takes a tensor of ids of shape (1, T); got {shape}")
        self._owner.fed.append(ids[0].tolist())
        return self._session.extend(ids, n, keep)

    def select(self, rows: Tensor) -> None:
        self._session.select(rows)

    def rewind(self, lengths: Tensor) -> None:
        self._session.rewind(lengths)


def _counted(function: Callable[..., Any], case: Case) -> dict[str, Any]:
    """What the function returns, and what it fed to how many sessions."""
    counting = _Counting(case["model"])
    ids = function(counting, *list(case.values())[1:])
    return {"returned": ids, "fed": counting.fed, "sessions": counting.sessions}


def _random_cached(generator: torch.Generator) -> Case:
    seed = int(torch.randint(1000, (), generator=generator))
    prompt = torch.randint(6, (int(torch.randint(1, 6, (), generator=generator)),), generator=generator).tolist()
    most = int(torch.randint(1, 9, (), generator=generator))
    return {"model": TableModel.random(6, 1000, seed), "prompt": prompt, "max_new_tokens": most, "eos_id": 0}


def _by_greedy(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return generate_ids(model, [prompt], Greedy(), max_new_tokens=max_new_tokens, eos_id=eos_id)[0].ids


def _fed_by(
    model: Any,
    most: int,
    eos_id: int,
    start: Callable[[Any], Tensor],
    go_on: Callable[[Any, Ids], Tensor],
) -> Ids:
    """New ids, where `start` feeds the prompt and `go_on` what it thinks right after every id but the last."""
    opened = model.open()
    new = [int(start(opened)[0, -1].argmax())]
    while len(new) < most and new[-1] != eos_id:
        new += [int(go_on(opened, new)[0, -1].argmax())]
    return new


def _row(ids: Ids) -> Tensor:
    return torch.tensor(ids).view(1, -1)


def _everything_again(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _fed_by(
        model, max_new_tokens, eos_id, lambda s: s.extend(_row(prompt)), lambda s, new: s.extend(_row(prompt + new))
    )


def _new_sessions(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    new: Ids = []
    while len(new) < max_new_tokens and eos_id not in new:
        new += [int(model.open().extend(_row(prompt + new))[0, -1].argmax())]
    return new


def _prompt_end_twice(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    session, new, fed = model.open(), list[int](), prompt[-1]
    session.extend(_row(prompt))
    while len(new) < max_new_tokens and eos_id not in new:
        fed = int(session.extend(_row([fed]))[0, -1].argmax())
        new += [fed]
    return new


def _first_forgotten(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    session, new = model.open(), list[int]()
    fed = int(session.extend(_row(prompt))[0, -1].argmax())
    while len(new) < max_new_tokens and eos_id not in new:
        fed = int(session.extend(_row([fed]))[0, -1].argmax())
        new += [fed]
    return new


def _last_fed_too(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    session, new = model.open(), list[int]()
    logits = session.extend(_row(prompt))
    while len(new) < max_new_tokens and eos_id not in new:
        new += [int(logits[0, -1].argmax())]
        logits = session.extend(_row(new[-1:]))
    return new


def _one_by_one(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _fed_by(
        model,
        max_new_tokens,
        eos_id,
        lambda s: [s.extend(_row([id])) for id in prompt][-1],
        lambda s, new: s.extend(_row(new[-1:])),
    )


greedy_with_cache = Check(
    exercise="3.3",
    name="greedy_with_cache",
    reference=_by_greedy,
    run=_counted,
    cases=[
        {"model": SumsUpModulo10(), "prompt": [1, 2], "max_new_tokens": 3, "eos_id": 0},
        {"model": SumsUpModulo10(), "prompt": [1, 1], "max_new_tokens": 9, "eos_id": 8},
    ],
    random=_random_cached,
    mistakes=[
        Mistake(
            _everything_again,
            "You feed the whole text again at every step, and the session, which remembers it, then holds it several "
            "times: feed only what is new.",
        ),
        Mistake(
            _new_sessions,
            "Every step opens a new session, which remembers nothing: the ids are right, at the naive loop's cost. "
            "Open one, before the loop.",
        ),
        Mistake(
            _prompt_end_twice,
            "The last id of the prompt goes in twice: the logits that come back for the prompt choose the first id.",
        ),
        Mistake(
            _first_forgotten,
            "The id that was chosen after the prompt is fed, but missing from what you return: it is the first new id.",
        ),
        Mistake(
            _last_fed_too,
            "The ids are right, with one call too many: behind the last id nobody asks what comes next, so do not "
            "feed it.",
        ),
        Mistake(_one_by_one, "The ids of the prompt are all known: feed them in one call, not in one call each."),
    ],
)


# --- 3.4: the loop at the end of a text ---


def _random_text(generator: torch.Generator) -> Case:
    def some(low: int, high: int) -> Ids:
        length = int(torch.randint(low, high, (), generator=generator))
        return torch.randint(3, (length,), generator=generator).tolist()

    loop = some(1, 5)
    laps = int(torch.randint(1, 4, (), generator=generator))
    return {"ids": some(0, 6) + loop * laps + loop[: int(torch.randint(len(loop) + 1, (), generator=generator))]}


def _periods(ids: Ids, longest: int | None = None) -> Ids:
    """Every p for which the last p ids are the p before them."""
    backwards = copy.copy(ids)
    backwards.reverse()
    most = len(ids) // 2 if longest is None else longest
    return [p for p in range(1, most + 1) if all(backwards[i] == backwards[i + p] for i in range(p))]


def _longest(ids: Ids) -> int:
    return max(_periods(ids), default=0)


def _no_half(ids: Ids) -> int:
    return min(_periods(ids, longest=(len(ids) - 1) // 2), default=0)


def _at_the_start(ids: Ids) -> int:
    return min(_periods(ids[::-1]), default=0)


def _anywhere(ids: Ids) -> int:
    ends = (min(_periods(ids[:end]), default=0) for end in range(len(ids), 1, -1))
    return next((p for p in ends if p), 0)


def _last_seen(ids: Ids) -> int:
    return next((p for p in range(1, len(ids)) if ids[-1 - p] == ids[-1]), 0)


loop_length = Check(
    exercise="3.4",
    name="loop_length",
    reference=lambda ids: min(_periods(ids), default=0),
    cases=[
        {"ids": [4, 1, 2, 3, 1, 2, 3]},
        {"ids": [5, 7, 7, 7, 7]},
        {"ids": [6, 2, 6, 2]},
        {"ids": [1, 1, 2, 3, 4]},
        {"ids": [3, 5, 6, 7, 5]},
        {"ids": []},
    ],
    random=_random_text,
    mistakes=[
        Mistake(_longest, "You return a longer loop, several laps as one; the shortest is asked for."),
        Mistake(_no_half, "A list may be exactly two laps and nothing else: the longest loop has half its length."),
        Mistake(_at_the_start, "You compare at the start of the list; the loop is to be found at its end."),
        Mistake(_anywhere, "You find loops that ended earlier: the very last id has to belong to it."),
        Mistake(_last_seen, "That the last id came before is not enough: all the ids in between must repeat, too."),
    ],
)
