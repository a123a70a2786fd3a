"""Jacobi decoding: the ids of `Greedy`, by a plain version of the fixed point, and how many calls that takes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import (
    XTC,
    FrequencyPenalty,
    Greedy,
    Jacobi,
    Mirostat,
    NoRepeatNGram,
    Processor,
    RepetitionPenalty,
    Suppress,
    TableModel,
    Temperature,
    generate_ids,
    law,
)
from decoding.core import Chance, Prefix, State
from decoding.strategies.speculation import Target, Verdict
from tests.decoding.models import memoised, rounded, scripted

Chain = tuple[Processor, ...]
MODELS = [memoised(TableModel.random(6, 40, seed)) for seed in range(6)]
TIED = [memoised(rounded(TableModel.random(4, 40, seed, scale=0.7), 1)) for seed in range(4)]
PROMPTS = [[1, 2], [3], [0, 1, 0, 1, 0]]


def plain_jacobi(model: TableModel, prompt: list[int], window: int, steps: int) -> tuple[list[int], int]:
    """Guesses, all of them made anew until the first are known to be right; -> the ids, and how many calls it took."""

    def best(ids: list[int]) -> int:
        return int(model.logits_after(ids).argmax())

    text = [*prompt, best(prompt)]
    calls, guesses = 1, list[int]()
    while len(text) - len(prompt) < steps:
        n = min(window, steps - (len(text) - len(prompt)))
        guesses = [*guesses, *[(guesses or text)[-1]] * n][:n]
        better = [best(text + guesses[:place]) for place in range(n + 1)]
        right = next((place for place in range(n) if guesses[place] != better[place]), n)
        text, guesses, calls = text + better[: right + 1], better[right + 1 :], calls + 1
    return text[len(prompt) :][:steps], calls


@pytest.mark.parametrize("window", range(1, 9))
def test_it_is_greedy_with_every_window(window: int) -> None:
    """On tables exactly, ties included, and with as many calls as the plain version makes."""
    for model in [*MODELS[:2], *TIED[:2]]:
        expected = generate_ids(model, PROMPTS, Greedy(), max_new_tokens=15)
        for one, other in zip(
            generate_ids(model, PROMPTS, Jacobi(window=window), max_new_tokens=15), expected, strict=True
        ):
            assert one.ids == other.ids
            assert one.processed_logprobs == other.processed_logprobs
            assert (one.ids, len(one.rounds)) == plain_jacobi(model, one.prompt_ids, window, 15)


@pytest.mark.parametrize(
    "chain",
    [
        (NoRepeatNGram(2),),
        (FrequencyPenalty(1.5), RepetitionPenalty(1.3)),
        (Temperature(0.7), Mirostat(0.5, 2.0)),
        (XTC(0.1, 0.5),),
        (Suppress([0, 1, 2]), NoRepeatNGram(1)),  # leaves nothing before long
    ],
    ids=repr,
)
def test_with_processors(chain: Chain) -> None:
    """What remembers, what tosses coins, what empties: the ids or the error of `Greedy`, though it looks ahead."""
    for model, prompt, eos_id in itertools.product(MODELS[:2], PROMPTS, (None, 4)):
        arguments: Any = {"max_new_tokens": 9, "eos_id": eos_id, "seed": 5, "num_samples": 1}

        def written(
            strategy: Any, model: TableModel = model, prompt: list[int] = prompt, given: Any = arguments
        ) -> Any:
            try:
                row = generate_ids(model, [prompt], strategy, **given)[0]
                return row.ids, row.finish_reason
            except ValueError as error:
                return str(error)

        assert written(Jacobi(*chain, window=4)) == written(Greedy(*chain))


def test_coins_that_are_tossed_ahead_do_not_count() -> None:
    """The law of `Greedy` with a coin, over all ways in which coins fall, those of wrong guesses too."""
    chain = (XTC(0.15, 0.4), Mirostat(1.0, 1.0))
    for model in MODELS[:2]:
        expected = law(Greedy(*chain), model, [1, 2], 3)
        found = law(Jacobi(*chain, window=2), model, [1, 2], 3)
        assert found.keys() == expected.keys() and len(expected) > 1
        assert max(abs(found[ids] - expected[ids]) for ids in expected) < 1e-12


def test_guesses_that_are_right_save_calls() -> None:
    """A text of one id is guessed at once; and one that does not depend on what is before it, in the second call."""
    same = generate_ids(scripted(4, 1, [2]), [[1]], Jacobi(window=8), max_new_tokens=19)[0]
    assert [len(one.ids) for one in same.rounds] == [1, 9, 9]
    counting = generate_ids(scripted(9, 1, list(range(9))), [[1]], Jacobi(window=8), max_new_tokens=20)[0]
    assert counting.ids == [n % 9 for n in range(20)]
    assert [len(one.ids) for one in counting.rounds][:3] == [1, 1, 9]


def test_never_more_calls_than_greedy() -> None:
    for model in MODELS[:3]:
        for row in generate_ids(model, PROMPTS[:2], Jacobi(), max_new_tokens=20):
            assert len(row.rounds) <= 20
            assert all(one.ids for one in row.rounds)


# -- wrong rules ------------------------------------------------------------------------------------------------------


class Impatient(Jacobi):
    """Takes the whole window as soon as its first guess is right."""

    def verify(self, target: Target) -> Verdict:
        verdict = super().verify(target)
        whole = len(target.draft.ids)
        if not verdict.accepted or verdict.accepted == whole:
            return verdict
        return Verdict(whole, None if target.finished else target.logits(whole).argmax(dim=-1))


class BehindTheWrongGuess(Jacobi):
    """Adds what the model writes behind the first wrong guess, instead of in its place."""

    def verify(self, target: Target) -> Verdict:
        verdict = super().verify(target)
        if verdict.accepted == len(target.draft.ids):
            return verdict
        return Verdict(verdict.accepted, target.logits(verdict.accepted + 1).argmax(dim=-1))


@pytest.mark.parametrize("mutant", [Impatient, BehindTheWrongGuess])
def test_a_wrong_rule_writes_something_else(mutant: type[Jacobi]) -> None:
    model = MODELS[0]
    found = generate_ids(model, PROMPTS, mutant(window=3), max_new_tokens=15)
    expected = generate_ids(model, PROMPTS, Greedy(), max_new_tokens=15)
    assert [row.ids for row in found] != [row.ids for row in expected]


class Suppressing(Processor):
    """Bans an id that depends on all ids so far, which it adds up."""

    def start(self, rows: int) -> State:
        return (torch.zeros(rows, dtype=torch.int64),)

    def step(self, logits: Tensor, prefix: Prefix, state: State, chance: Chance) -> tuple[Tensor, State]:
        sums = (state[0] + prefix.ids.gather(1, prefix.lengths[:, None] - 1)[:, 0] + 1) % logits.shape[1]  # (R,)
        return logits.scatter(1, sums[:, None], -torch.inf), (sums,)


def test_what_was_remembered_for_guesses_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = (Suppressing(),)
    strategy, plain = Jacobi(*chain), Greedy(*chain)

    def same() -> bool:
        rows = [
            [row.ids for row in generate_ids(model, PROMPTS, one, max_new_tokens=15)]
            for one in (strategy, plain)
            for model in MODELS[:2]
        ]
        return rows[:2] == rows[2:]

    assert same()
    monkeypatch.setattr(Target, "states", lambda self, place: self._states[-1])
    assert not same()
