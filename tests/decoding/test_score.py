"""`score()` against `law()`: the probability of every beginning of every text, for every processor."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from decoding import (
    XTC,
    BanSequences,
    Chance,
    FrequencyPenalty,
    Greedy,
    Mirostat,
    NoRepeatNGram,
    Prefix,
    Processor,
    RepetitionPenalty,
    Sample,
    Strategy,
    TableModel,
    Temperature,
    TopK,
    TopP,
    generate_ids,
    score,
)
from decoding.strategies.processed import Stepwise
from gpt2 import GPT2
from tests.decoding.models import SMALL, SMALL_PROMPT, SMALL_STEPS, small_law
from tests.registry import CHAINS, COMBINATIONS, STRATEGIES

THE_FILE: Any = importlib.import_module("decoding.score")  # the package calls its function by the same name

V, EOS = SMALL.n_vocab, 2
STEPWISE = [one.strategy for one in STRATEGIES if isinstance(one.strategy, Stepwise)]
EVERY_STRATEGY = list(dict.fromkeys([*(Sample(*chain) for chain in CHAINS), *STEPWISE]))


# -- against the law --------------------------------------------------------------------------------------------------


def beginnings(eos_id: int | None) -> list[tuple[int, ...]]:
    """Of every text, also of those that cannot be: nothing, one id, two ids, ... and the text itself."""
    lengths = range(SMALL_STEPS + 1)
    all_of_them = (ids for n in lengths for ids in itertools.product(range(V), repeat=n))
    return [ids for ids in all_of_them if eos_id not in ids[:-1]]


def error(strategy: Any, eos_id: int | None) -> float:
    """By how much any beginning misses its probability, that of all texts together which begin so."""
    law, errors = small_law(strategy, eos_id), [0.0]
    for ids in beginnings(eos_id):
        found = score(SMALL, SMALL_PROMPT, ids, strategy, eos_id)
        expected = math.fsum(p for text, p in law.items() if text[: len(ids)] == ids)
        assert (found.logprob < -745) == (expected == 0.0)  # beyond exp(-745) a probability is 0 in float64
        assert found.logprob < 1e-12  # a probability is at most 1, but for rounding
        assert found.ids == list(ids) and len(found.logprobs) == len(found.model_logprobs) == len(ids)
        errors.append(abs(math.exp(found.logprob) - expected))
    return max(errors)


@pytest.mark.parametrize("strategy", EVERY_STRATEGY, ids=repr)
def test_every_beginning_of_every_text_has_the_probability_of_the_law(strategy: Strategy) -> None:
    assert error(strategy, EOS) < 1e-12


@pytest.mark.parametrize("chain", [(), *COMBINATIONS], ids=repr)
def test_the_same_where_no_id_ends_a_text(chain: tuple[Processor, ...]) -> None:
    assert error(Sample(*chain), None) < 1e-12


def a_long_text(strategy: Strategy) -> list[int]:
    """Eight ids that the strategy may write."""
    return generate_ids(SMALL, [SMALL_PROMPT], strategy, max_new_tokens=8, seed=1)[0].ids


@pytest.mark.parametrize("chain", [(), *COMBINATIONS], ids=repr)
def test_what_can_follow_a_text_is_together_as_likely_as_the_text(chain: tuple[Processor, ...]) -> None:
    """Where there are too many texts to list."""
    strategy = Sample(*chain)
    text = a_long_text(strategy)
    for n in range(len(text)):
        now = score(SMALL, SMALL_PROMPT, text[:n], strategy).logprob
        longer = [score(SMALL, SMALL_PROMPT, [*text[:n], id], strategy).logprob for id in range(V)]
        assert math.fsum(map(math.exp, longer)) == pytest.approx(math.exp(now), rel=1e-12, abs=0.0)


@pytest.mark.parametrize("chain", [(), *COMBINATIONS], ids=repr)
def test_each_logarithm_leads_from_one_beginning_to_the_next(chain: tuple[Processor, ...]) -> None:
    strategy = Sample(*chain)
    text = a_long_text(strategy)
    found = score(SMALL, SMALL_PROMPT, text, strategy)
    totals = [score(SMALL, SMALL_PROMPT, text[:n], strategy).logprob for n in range(len(text) + 1)]
    steps = [after - before for before, after in itertools.pairwise(totals)]
    assert found.logprobs == pytest.approx(steps, abs=1e-12)
    assert found.logprob == math.fsum(found.logprobs) > -math.inf


def test_an_id_that_cannot_be_has_minus_infinity_and_so_have_all_behind_it() -> None:
    found = score(SMALL, SMALL_PROMPT, [1, 2, 0, 1], Sample(BanSequences([[1, 2]])))
    assert [logprob > -math.inf for logprob in found.logprobs] == [True, False, False, False]
    assert found.logprob == -math.inf and not any(map(math.isnan, found.logprobs))
    assert math.isfinite(found.model_logprob)
    assert score(SMALL, SMALL_PROMPT, [1, 2], Greedy()).logprob == -math.inf
    assert score(SMALL, SMALL_PROMPT, [1, 1], Greedy()).logprobs == [0.0, 0.0]


def test_the_model_is_scored_without_the_processors() -> None:
    text = [0, 3, 2, 1, 1]
    for strategy in (Sample(Temperature(0.5), TopK(1)), Greedy(RepetitionPenalty(2.0)), Sample(XTC(0.1, 0.5))):
        found = score(SMALL, SMALL_PROMPT, text, strategy)
        rows = [SMALL.logits_after([*SMALL_PROMPT, *text[:n]]).softmax(dim=-1).tolist() for n in range(len(text))]
        expected = [math.log(row[id]) for row, id in zip(rows, text, strict=True)]
        assert found.model_logprobs == pytest.approx(expected, abs=1e-12)
        assert found.model_logprob == pytest.approx(math.fsum(expected), abs=1e-12)


# -- paths that coins open --------------------------------------------------------------------------------------------


def paths_after(text: Sequence[int], strategy: Sample, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many paths are left behind each id."""
    counts: list[int] = []
    merge = THE_FILE._merged

    def counting(paths: list[Any]) -> list[Any]:
        merged = merge(paths)
        counts.append(len(merged))
        return merged

    with monkeypatch.context() as patched:
        patched.setattr(THE_FILE, "_merged", counting)
        score(SMALL, SMALL_PROMPT, text, strategy)
    return counts


def test_only_a_coin_that_changes_a_memory_doubles_the_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    coin, memory, text = XTC(0.2, 0.5), Mirostat(6.0, 0.1), [1, 1, 0, 0, 2, 1, 0]
    one_path = [1] * len(text)
    assert paths_after(text, Sample(coin), monkeypatch) == one_path
    assert paths_after(text, Sample(memory, coin), monkeypatch) == one_path
    assert paths_after(text, Sample(coin, FrequencyPenalty(0.1)), monkeypatch) == one_path
    several = paths_after(text, Sample(coin, memory), monkeypatch)
    assert several[-1] > 2 and all(after <= 2 * before for before, after in itertools.pairwise([1, *several]))


MERGING = [Sample(XTC(0.1, 0.5)), Sample(XTC(0.2, 0.4), Mirostat(1.0, 0.3), FrequencyPenalty(0.4))]


@pytest.mark.parametrize("strategy", MERGING, ids=repr)
def test_merging_paths_changes_no_probability(strategy: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    assert error(strategy, EOS) < 1e-12
    monkeypatch.setattr(THE_FILE, "_merged", lambda paths: paths)  # slower, and as right
    assert error(strategy, EOS) < 1e-12


def test_paths_that_are_forgotten_or_confused_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutants: of several paths only the likeliest counts; and all paths are taken for the same."""
    monkeypatch.setattr(THE_FILE, "_log_sum", lambda logprobs: max(logprobs, default=-math.inf))
    assert error(Sample(XTC(0.1, 0.5)), EOS) > 1e-3
    monkeypatch.undo()
    strategy = Sample(XTC(0.2, 0.4), Mirostat(1.0, 2.0))
    assert error(strategy, EOS) < 1e-12
    monkeypatch.setattr(THE_FILE, "_equal", lambda states, others: True)
    assert error(strategy, EOS) > 1e-3


def test_a_long_text_takes_time_that_grows_with_its_length() -> None:
    """200 coins have 2^200 ways to fall; each is tossed for both sides once."""
    calls = 0

    class Counting(XTC):
        def step(self, logits: torch.Tensor, prefix: Prefix, state: tuple[torch.Tensor, ...], chance: Chance) -> Any:
            nonlocal calls
            calls += 1
            return super().step(logits, prefix, state, chance)

    model = TableModel.bigram(torch.zeros(V, V, dtype=torch.float64), n_positions=1024)
    found = score(model, [0], [3] * 200, Sample(Counting(0.2, 0.5)))
    assert calls == 2 * 200
    # of four equals all but the last go where the coin falls, so the last has 1 or 1/4
    assert found.logprob == pytest.approx(200 * math.log((1 + 1 / 4) / 2), abs=1e-9)


# -- through the network ----------------------------------------------------------------------------------------------

WITHOUT_COIN = [
    Sample(),
    Sample(Temperature(0.8), TopP(0.95)),
    Sample(RepetitionPenalty(1.3), TopK(50)),
    Sample(Mirostat(3.0, 0.1)),
    Sample(NoRepeatNGram(2), FrequencyPenalty(0.3), TopP(0.9)),
]


@pytest.mark.parametrize("strategy", WITHOUT_COIN, ids=repr)
def test_a_generated_text_has_the_score_that_generation_reported(strategy: Sample, storybook: GPT2) -> None:
    """Through a cache there and all at once here, float32 logits move by less than 1e-4, and so does their log-sum."""
    made = generate_ids(storybook, [[7454, 2402, 257, 640]], strategy, max_new_tokens=30, seed=4, num_samples=2)
    for one in made:
        found = score(storybook, one.prompt_ids, one.ids, strategy)
        assert found.logprobs == pytest.approx(one.processed_logprobs, abs=2e-4)
        assert found.model_logprobs == pytest.approx(one.model_logprobs, abs=2e-4)
        assert found.logprob == pytest.approx(math.fsum(one.processed_logprobs), abs=30 * 2e-4)


def test_greedy_is_certain_of_its_own_text(storybook: GPT2) -> None:
    strategy = Greedy(NoRepeatNGram(3))
    (one,) = generate_ids(storybook, [[7454, 2402, 257, 640]], strategy, max_new_tokens=30)
    assert score(storybook, one.prompt_ids, one.ids, strategy).logprob == 0.0
    assert score(storybook, one.prompt_ids, [*one.ids[:-1], one.ids[-1] + 1], strategy).logprob == -math.inf


def test_a_coin_is_in_the_score_and_not_in_the_logarithms_of_a_generation(storybook: GPT2) -> None:
    """`processed_logprobs` know how the coin fell; the probability of a text does not."""
    strategy = Sample(XTC(0.1, 0.5), TopK(50))
    (one,) = generate_ids(storybook, [[7454, 2402, 257, 640]], strategy, max_new_tokens=30, seed=4)
    found = score(storybook, one.prompt_ids, one.ids, strategy)
    assert found.logprob < math.fsum(one.processed_logprobs) - 1.0


# -- what is refused --------------------------------------------------------------------------------------------------


class Alone:
    """A strategy of another kind."""

    def run(self, *_: object) -> None: ...

    def __repr__(self) -> str:
        return "Alone()"


def test_what_has_no_score_is_refused_in_words() -> None:  # law 13
    short = TableModel.random(V, 6, seed=1)
    broken = TableModel(V, 16, lambda ids: torch.tensor([0.0, math.nan, 0.0, 0.0]))
    cases: list[tuple[TableModel, Any, Any, Any, int | None, str]] = [
        (SMALL, [0], [1], Alone(), None, r"chooses one id a step, Greedy or Sample; got Alone\(\)"),
        (SMALL, [0], [1], TopP(0.9), None, r"Greedy or Sample; got TopP\(0.9\)"),
        (SMALL, [0], [1], Sample, None, "Greedy or Sample; got <class"),
        (SMALL, [0], [1, EOS, 1], Sample(), EOS, "goes on behind the id 2, which ends a text"),
        (SMALL, [], [1], Sample(), None, "the prompt is empty"),
        (short, [0, 1, 2], [3, 0, 1, 2], Sample(), None, "prompt and continuation have 7 ids, 1 more than the"),
        (short, [0] * 7, [1], Sample(), None, "the prompt has 7 ids, 1 more than the model's 6 positions"),
        (SMALL, [4], [1], Sample(), None, "the prompt has ids outside of the vocabulary, 0 to 3"),
        (SMALL, [0], [1, 4], Sample(), None, "the continuation has ids outside of the vocabulary, 0 to 3"),
        (SMALL, [0], [-1], Sample(), None, "the continuation has ids outside of the vocabulary, 0 to 3"),
        (SMALL, "Once", [1], Sample(), None, "rows of whole numbers.*got 'Once' and"),
        (SMALL, [0], " upon", Sample(), None, r"rows of whole numbers.*got \[0\] and ' upon'"),
        (
            SMALL,
            [3, 1, 0],
            [2, 1],
            Sample(NoRepeatNGram(1)),
            None,
            r"NoRepeatNGram\(1\) removed every id that was left.*\(step 1\)",
        ),
        (broken, [0], [2], Sample(), None, r"the model gave logits that are NaN or infinite.*\(step 0\)"),
    ]
    for model, prompt, text, strategy, eos_id, words in cases:
        with pytest.raises(ValueError, match=words):
            score(model, prompt, text, strategy, eos_id)


def test_a_text_may_fill_the_context_and_end() -> None:
    short = TableModel.random(V, 6, seed=1)
    assert math.isfinite(score(short, [0, 1, 2], [3, 0, 1], Sample()).logprob)
    assert math.isfinite(score(SMALL, [EOS, 0], [1, EOS], Sample(), EOS).logprob)  # in the prompt it ends nothing
    assert score(short, [0, 1, 2, 3, 0, 1], [], Sample()).logprob == 0.0


def test_the_callers_lists_are_not_changed() -> None:  # law 11
    prompt, text = list(SMALL_PROMPT), [1, 1, 0]
    found = score(SMALL, prompt, text, Sample(TopK(2)))
    found.ids.append(7)
    assert (prompt, text) == (SMALL_PROMPT, [1, 1, 0])
