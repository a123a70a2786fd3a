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

_PATIENCE = 200  # how often a model is asked, before it refuses: a loop without an end would never come back


def _refuse_for_ever(asked: int) -> None:
    if asked > _PATIENCE:
        raise RuntimeError(f"the model has been asked {_PATIENCE} times, for a few new ids: what ends the loop?")


# --- 3.1: the loop, without a cache ---


class _Sums:
    """A model as a function, ids -> logits (T, V): row t, for the next id, depends on the sum of ids[: t + 1]."""

    def __init__(self, name: str, table: Tensor) -> None:
        self.__name__ = name
        self.table = table  # (V, V): a row of logits for each sum modulo V
        self.n_vocab = len(table)

    def __call__(self, ids: Any) -> Tensor:
        shape = tuple(torch.as_tensor(ids).shape)
        if len(shape) != 1 or shape[0] == 0:
            raise ValueError(f"this model takes a list of T ids, T at least 1; got the shape {shape}")
        rows = self.table[torch.as_tensor(ids).cumsum(0) % self.n_vocab]  # (T, V)
        return rows + torch.arange(shape[0])[:, None]  # the best of all T * V is in the last row


class _Patient:
    """The same model, which refuses to be asked for ever."""

    def __init__(self, model: _Sums) -> None:
        self.model, self.n_vocab, self.asked = model, model.n_vocab, 0

    def __call__(self, ids: Any) -> Tensor:
        self.asked += 1
        _refuse_for_ever(self.asked)
        return self.model(ids)


def _asked_patiently(function: Callable[..., Any], case: Case) -> Any:
    return function(_Patient(case["model"]), *list(case.values())[1:])


_all_equal = _Sums("all_equal", torch.zeros(10, 10))
_sums_up = _Sums("sum_modulo_10", 5 * torch.eye(10))  # the next id is the sum of all before it, modulo 10


def _by_the_library(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    table = TableModel(model.n_vocab, 1000, lambda ids: model(list(ids))[-1])
    return generate_ids(table, [prompt], Greedy(), max_new_tokens=max_new_tokens, eos_id=eos_id)[0].ids


def _random_greedy(generator: torch.Generator) -> Case:
    n_vocab = int(torch.randint(3, 9, (), generator=generator))
    table = torch.randint(0, 3, (n_vocab, n_vocab), generator=generator).float()  # few values: many ties
    eos_id = int(torch.randint(n_vocab, (), generator=generator))
    prompt = torch.randint(n_vocab, (int(torch.randint(1, 6, (), generator=generator)),), generator=generator).tolist()
    prompt += [eos_id] * int(torch.randint(2, (), generator=generator))  # every other prompt ends with eos
    most = int(torch.randint(1, 9, (), generator=generator))
    return {"model": _Sums("a_random_model", table), "prompt": prompt, "max_new_tokens": most, "eos_id": eos_id}


def _first_best(logits: Tensor) -> int:
    return int(logits[-1].argmax())


def _last_best(logits: Tensor) -> int:
    return int(logits[-1].sort(stable=True).indices[-1])


def _loop(
    model: Callable[[Ids], Tensor],
    text: Ids,
    most: int,
    ends: Callable[[Ids], bool],
    pick: Callable[[Tensor], int] = _first_best,
    sees: Callable[[Ids], Ids] = lambda text: text,
) -> Ids:
    """The text and what follows; `text` itself grows."""
    for _ in range(most):
        if ends(text):
            break
        text += [pick(model(sees(text)))]
    return text


def _ended(prompt: Ids, eos_id: int) -> Callable[[Ids], bool]:
    length = len(prompt)
    return lambda text: len(text) > length and text[-1] == eos_id


def _with_the_prompt(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], max_new_tokens, _ended(prompt, eos_id))


def _into_the_prompt(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    length = len(prompt)
    return _loop(model, prompt, max_new_tokens, _ended(prompt, eos_id))[length:]


def _never_ends(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], max_new_tokens, lambda text: False)[len(prompt) :]


def _without_eos(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    new = _by_the_library(model, prompt, max_new_tokens, eos_id)
    return new[:-1] if new[-1] == eos_id else new


def _ends_with_the_prompt(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], max_new_tokens, lambda text: text[-1] == eos_id)[len(prompt) :]


def _one_too_many(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _by_the_library(model, prompt, max_new_tokens + 1, eos_id)


def _picks(pick: Callable[[Tensor], int]) -> Callable[..., Ids]:
    """The loop that looks for the next id in the wrong place of the logits (T, V)."""

    def wrong(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
        return _loop(model, prompt[:], max_new_tokens, _ended(prompt, eos_id), pick)[len(prompt) :]

    return wrong


def _sees(part: Callable[[Ids, int], Ids]) -> Callable[..., Ids]:
    """The loop that hands the model only part of the text, whose first n ids are the prompt."""

    def wrong(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
        n = len(prompt)
        ends = _ended(prompt, eos_id)
        return _loop(model, prompt[:], max_new_tokens, ends, sees=lambda text: part(text, n))[n:]

    return wrong


def _no_maximum(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], 10 * _PATIENCE, _ended(prompt, eos_id))[len(prompt) :]


def _prompt_counts(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], max_new_tokens - len(prompt), _ended(prompt, eos_id))[len(prompt) :]


def _cut_from_the_end(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _with_the_prompt(model, prompt, max_new_tokens, eos_id)[-max_new_tokens:]


def _eos_in_the_prompt(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _loop(model, prompt[:], max_new_tokens, lambda text: eos_id in text)[len(prompt) :]


def _eos_in_the_prompt_one_later(model: _Patient, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    n = len(prompt)
    return _loop(model, prompt[:], max_new_tokens, lambda text: len(text) > n and eos_id in text)[n:]


greedy = Check(
    exercise="3.1",
    name="greedy",
    reference=_by_the_library,
    run=_asked_patiently,
    cases=[
        {"model": _sums_up, "prompt": [1, 2], "max_new_tokens": 4, "eos_id": 0},
        {"model": _sums_up, "prompt": [1, 2], "max_new_tokens": 4, "eos_id": 6},
        {"model": _sums_up, "prompt": [4, 3], "max_new_tokens": 3, "eos_id": 3},
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
        Mistake(
            _picks(lambda logits: int(logits[0].argmax())),
            "Row 0 predicts the second id of the prompt; what comes next is in the last row.",
        ),
        Mistake(
            _picks(_last_best), "Of several best ids you take the highest; the lowest is asked for, as argmax does."
        ),
        Mistake(
            _picks(lambda logits: int(logits[-2].argmax())),
            "The last row but one is about an id that stands in the text already; what comes next is in the last row.",
        ),
        Mistake(
            _picks(lambda logits: int(logits[0, -1].argmax())),
            "[0, -1] is a single number here: this model returns (T, V), without a batch axis.",
        ),
        Mistake(
            _picks(lambda logits: int(logits.argmax())),
            "That is the best of all T times V numbers: take the last row first, then its argmax.",
        ),
        Mistake(
            _sees(lambda text, n: text[-1:]),
            "The model sees the last id alone. What comes next depends on the whole text: hand it over.",
        ),
        Mistake(
            _sees(lambda text, n: text[n - 1 :]),
            "The model sees no more of the prompt than its last id: hand over the whole text.",
        ),
        Mistake(
            _sees(lambda text, n: text[n:] or text),
            "As soon as there are new ids, the model sees nothing else: the prompt belongs to the text, too.",
        ),
        Mistake(
            _sees(lambda text, n: text[:n]),
            "Every round asks about the prompt: hand over the text that grows.",
        ),
        Mistake(
            _sees(lambda text, n: text[n:]),
            "The model sees the new ids alone, of which there are none at first: the prompt belongs to the text, too.",
        ),
        Mistake(
            _no_maximum, "Only eos_id ends your loop, and a model may never choose it: stop at max_new_tokens as well."
        ),
        Mistake(_prompt_counts, "max_new_tokens limits the new ids; you count those of the prompt, too."),
        Mistake(
            _cut_from_the_end,
            "A slice counted from the end reaches into the prompt where the text ended early: begin where the prompt "
            "ends.",
        ),
        Mistake(
            _eos_in_the_prompt,
            "You look for eos_id in the whole text, and one in the prompt ends nothing: look at the new ids only.",
        ),
        Mistake(
            _eos_in_the_prompt_one_later,
            "After one id you find the eos_id of the prompt: ask whether the id just chosen is eos_id.",
        ),
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


def _scaled_by(factor: Callable[[Tensor, Tensor], float]) -> Callable[..., tuple[Tensor, ...]]:
    """Scores times this factor, of q (D,) and the keys (S + 1, D), in place of 1 / sqrt(D)."""

    def wrong(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        keys, values = _grown(keys, k), _grown(values, v)
        return _fused(q, keys, values, scale=factor(q, keys)), keys, values

    return wrong


def _no_softmax(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = _grown(keys, k), _grown(values, v)
    return torch.einsum("sd,d,sc->c", keys, q, values) * q.numel() ** -0.5, keys, values


def _bare_scores(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = _grown(keys, k), _grown(values, v)
    return torch.einsum("sd,d,sc->c", keys, q, values), keys, values


def _values_not_grown(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    grown = _grown(keys, k)
    weights = (grown @ q * q.numel() ** -0.5).softmax(0)
    return weights @ values, grown, values


def _looks_with_its_key(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    return _by_pytorch(k, k, v, keys, values)


def _sums_up_keys(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    keys, values = _grown(keys, k), _grown(values, v)
    return _fused(q, keys, keys), keys, values


def _output_last(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    y, *grown = _by_pytorch(q, k, v, keys, values)
    return (*grown, y)


def _as_a_list(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> list[Tensor]:
    return list(_by_pytorch(q, k, v, keys, values))


def _vector_below_a_matrix(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    return q, torch.cat((keys, k)), torch.cat((values, v))


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
        Mistake(
            _scaled_by(lambda q, keys: 1 / len(q)), "You divide the scores by D; its square root is the right measure."
        ),
        Mistake(
            _scaled_by(lambda q, keys: len(q) ** 0.5),
            "You multiply the scores by the square root of D; they are divided by it.",
        ),
        Mistake(
            _scaled_by(lambda q, keys: len(keys) ** -0.5),
            "The square root is that of D, how many numbers a key has, and not of how many keys there are.",
        ),
        Mistake(_no_softmax, "The scores are used as weights: the softmax over them is missing."),
        Mistake(
            _bare_scores, "Keys times q are not weights yet: divide by the square root of D, then take the softmax."
        ),
        Mistake(_values_not_grown, "There are S + 1 weights and S values: v has to be appended, like k."),
        Mistake(_looks_with_its_key, "You compare the keys with k: the new id looks with its query, q."),
        Mistake(_sums_up_keys, "The weights are right, but they sum up keys: it is the values that are gathered."),
        Mistake(_output_last, "The order is: the output, then the keys, then the values."),
        Mistake(_as_a_list, "Return the three with commas between them, a tuple; brackets make a list."),
        Mistake(
            _vector_below_a_matrix,
            "k is a vector and keys a matrix: k[None] makes a matrix of one row, which can stand below the others.",
        ),
        Mistake(_in_front, "The new key and value go behind the old ones: row t of the cache is the id at position t."),
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

    def __call__(self, *_: object) -> Tensor:
        raise TypeError("this model has no call: open a session, and extend that")

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
        _refuse_for_ever(len(self._owner.fed))
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
    finely = TableModel.random(6, 1000, seed).logits_after
    model = TableModel(6, 1000, lambda ids: finely(ids).round())  # whole numbers: many ties
    return {"model": model, "prompt": prompt, "max_new_tokens": most, "eos_id": 0}


def _by_greedy(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return generate_ids(model, [prompt], Greedy(), max_new_tokens=max_new_tokens, eos_id=eos_id)[0].ids


def _fed_by(
    model: Any,
    most: int,
    eos_id: int | None,
    start: Callable[[Any], Tensor],
    go_on: Callable[[Any, Ids], Tensor],
    pick: Callable[[Tensor], int] = _first_best,
) -> Ids:
    """New ids, where `start` feeds the prompt and `go_on` what it thinks right after every id but the last."""
    opened = model.open()
    new = [pick(start(opened)[0])]
    while len(new) < most and new[-1] != eos_id:
        new += [pick(go_on(opened, new)[0])]
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


def _decoded(
    model: Any, prompt: Ids, most: int, eos_id: int | None, pick: Callable[[Tensor], int] = _first_best
) -> Ids:
    return _fed_by(model, most, eos_id, lambda s: s.extend(_row(prompt)), lambda s, new: s.extend(_row(new[-1:])), pick)


def _the_highest(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _decoded(model, prompt, max_new_tokens, eos_id, _last_best)


def _eos_ignored(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _decoded(model, prompt, max_new_tokens, None)


def _eos_left_out(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    new = _decoded(model, prompt, max_new_tokens, eos_id)
    return [id for id in new if id != eos_id]


def _prompt_too(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return prompt + _decoded(model, prompt, max_new_tokens, eos_id)


def _one_too_few(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    if max_new_tokens == 1:
        model.open()
        return []
    return _decoded(model, prompt, max_new_tokens - 1, eos_id)


def _without_end(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    return _decoded(model, prompt, 10 * _PATIENCE, eos_id)


def _sessions_that_know_nothing(model: Any, prompt: Ids, max_new_tokens: int, eos_id: int) -> Ids:
    new, fed = list[int](), prompt
    while len(new) < max_new_tokens and eos_id not in new:
        fed = [int(model.open().extend(_row(fed))[0, -1].argmax())]
        new += fed
    return new


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
        Mistake(_the_highest, "Of several best ids you take the highest; the lowest is asked for, as in 3.1."),
        Mistake(_eos_ignored, "Nothing ends the text but its length: stop as soon as eos_id has been chosen."),
        Mistake(_eos_left_out, "The eos id was chosen like any other id, so it is returned, too, as the last one."),
        Mistake(_prompt_too, "You return the prompt, too; only the new ids are asked for."),
        Mistake(_one_too_few, "There is one id too few: the logits behind the prompt give the first new id."),
        Mistake(_without_end, "Only eos_id ends your loop, and a model may never choose it: count the new ids, too."),
        Mistake(
            _sessions_that_know_nothing,
            "Every step opens a new session, which has seen nothing of the text before: open one, and keep it.",
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


def _wherever(ids: Ids) -> int:
    return min((p for end in range(len(ids) + 1) for p in _periods(ids[:end])), default=0)


def _last_seen(ids: Ids) -> int:
    return next((p for p in range(1, len(ids)) if ids[-1 - p] == ids[-1]), 0)


def _gives_up(ids: Ids) -> int:
    p = _last_seen(ids)
    return p if p in _periods(ids) else 0


def _range_ends_early(ids: Ids) -> int:
    return min(_periods(ids, longest=len(ids) // 2 - 1), default=0)


def _from_two(ids: Ids) -> int:
    return min((p for p in _periods(ids) if p > 1), default=0)


def _laps(ids: Ids) -> list[tuple[int, Ids, Ids]]:
    """For each p that there is room for: p, the last p ids, and the p before."""
    cut = len(ids)
    return [(p, ids[cut - p :], ids[cut - 2 * p : cut - p]) for p in range(1, cut // 2 + 1)]


def _in_any_order(ids: Ids) -> int:
    return next((p for p, last, before in _laps(ids) if sorted(last) == sorted(before)), 0)


def _same_kinds(ids: Ids) -> int:
    return next((p for p, last, before in _laps(ids) if set(last) == set(before)), 0)


def _slice_to_p(ids: Ids) -> int:
    return next((p for p, last, _ in _laps(ids) if last == ids[-2 * p : p]), 0)


def _nothing_but_laps(ids: Ids) -> int:
    return next((p for p, last, _ in _laps(ids) if ids == last * (len(ids) // p)), 0)


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
        {"ids": [3, 1, 2, 1, 3, 1, 2, 1]},
        {"ids": [1, 1, 2, 2, 2, 1]},
        {"ids": []},
    ],
    random=_random_text,
    mistakes=[
        Mistake(_longest, "You return a longer loop, several laps as one; the shortest is asked for."),
        Mistake(_no_half, "A list may be exactly two laps and nothing else: the longest loop has half its length."),
        Mistake(_at_the_start, "You compare at the start of the list; the loop is to be found at its end."),
        Mistake(_anywhere, "You find loops that ended earlier: the very last id has to belong to it."),
        Mistake(
            _wherever, "You find loops anywhere in the list: only its last p ids, and the p before them, are compared."
        ),
        Mistake(
            _gives_up,
            "You give up at the first p that does not fit. The last id may stand in a loop more than once: try the "
            "next p.",
        ),
        Mistake(
            _range_ends_early,
            "A range ends before its last number: p = len(ids) // 2, a list of two laps, is never tried.",
        ),
        Mistake(_from_two, "You never try p = 1: one id said twice is a loop, too."),
        Mistake(_in_any_order, "You compare the two laps in any order: the ids have to be equal one by one."),
        Mistake(_same_kinds, "Sets forget order and number: the ids have to be equal one by one."),
        Mistake(
            _slice_to_p,
            "The end of your second slice is counted from the front: count it from the back, like the rest.",
        ),
        Mistake(
            _nothing_but_laps, "You want the whole list to consist of laps: what stands before the last two is free."
        ),
        Mistake(_last_seen, "That the last id came before is not enough: all the ids in between must repeat, too."),
    ],
)
