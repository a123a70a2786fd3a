"""Several strategies on one prompt: the same random numbers, where texts part, and the measures of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from decoding import (
    Chance,
    Greedy,
    InverseCDF,
    LanguageModel,
    Limits,
    Sample,
    Step,
    Strategy,
    TableModel,
    Temperature,
    TopK,
    TopP,
    compare,
    generate,
)
from decoding.compare import Result, parts_after
from tests.decoding.models import memoised
from tests.registry import FourTokens

_TABLE = TableModel.random(4, 24, seed=11, scale=1.5)
_SELDOM_ENDS = torch.tensor([-2.0, 0.0, 0.0, 0.0])  # the first id of FourTokens ends a text
MODEL = memoised(TableModel(4, 24, lambda ids: _TABLE.logits_after(ids) + _SELDOM_ENDS))
TOKENIZER = FourTokens()
PROMPT = "a 7a"
NAMED: dict[str, Strategy] = {
    "all": Sample(),
    "top-p": Sample(TopP(0.7)),
    "hot": Sample(Temperature(1.5)),
    "greedy": Greedy(),
}
SAMPLES = 16


def results(strategies: Any = NAMED, **how: Any) -> dict[str, Result]:
    settings = {"max_new_tokens": 10, "num_samples": SAMPLES, "seed": 5, **how}
    return compare(MODEL, TOKENIZER, PROMPT, strategies, **settings).results


# -- texts ------------------------------------------------------------------------------------------------------------


def test_the_texts_are_those_of_generate() -> None:
    for name, result in results().items():
        alone = generate(
            MODEL, TOKENIZER, PROMPT, NAMED[name], max_new_tokens=10, seed=5, num_samples=SAMPLES, trace=True
        )
        assert result.strategy is NAMED[name]
        assert result.samples == alone
        assert result.entropies == [[pytest.approx(step.stages[0].entropy) for step in one.trace] for one in alone]
        assert not any(sample.trace for sample in result.samples)


def test_a_draw_and_stops_are_handed_on() -> None:
    how = {"max_new_tokens": 10, "seed": 5, "draw": InverseCDF, "stop": ["77"], "num_samples": 4}
    alone = generate(MODEL, TOKENIZER, PROMPT, Sample(), **how)  # type: ignore[call-overload]
    assert results({"x": Sample()}, **how)["x"].samples == alone
    assert any(one.finish_reason == "stop" for one in alone)


def test_where_texts_part() -> None:
    found = results()
    first = found["all"]
    assert first.parts_at == [None] * SAMPLES
    for name, result in found.items():
        for at, one, other in zip(result.parts_at, first.samples, result.samples, strict=True):
            if at is None:
                assert one.ids == other.ids
            else:
                assert one.ids[:at] == other.ids[:at]
                assert one.ids[at] != other.ids[at]
        if name != "all":
            parted = [at for at in result.parts_at if at is not None]
            assert len(parted) > 4 and len(set(parted)) > 1


def test_parts_after() -> None:
    assert parts_after([1, 2, 3], [1, 2, 3]) is parts_after([], []) is None
    assert parts_after([1, 2, 3], [1, 5, 3]) == 1
    assert parts_after([1, 2], [1, 2, 3]) == parts_after([1, 2, 3], [1, 2]) == 2
    assert parts_after([4], [5]) == parts_after([], [1]) == 0


# -- common random numbers --------------------------------------------------------------------------------------------


def test_with_common_random_numbers_a_text_parts_only_where_its_id_is_removed() -> None:  # law 6
    """With Gumbel noise an id that stays the best of all is the best of those that are left."""
    found = results()
    traced = generate(
        MODEL, TOKENIZER, PROMPT, NAMED["top-p"], max_new_tokens=10, seed=5, num_samples=SAMPLES, trace=True
    )
    for one, other, at in zip(found["all"].samples, traced, found["top-p"].parts_at, strict=True):
        common = len(other.ids) if at is None else at
        for step in range(common):
            assert other.trace[step].remover(one.ids[step]) is None
        if at is not None:
            assert other.trace[at].remover(one.ids[at]) == 1


def test_strategies_that_do_the_same_write_the_same() -> None:
    same: list[Strategy] = [Sample(), Sample(TopK(4)), Sample(Temperature(1.0), TopP(1.0))]
    for result in results(same).values():
        assert result.parts_at == [None] * SAMPLES
        assert all(difference == (0.0, 0.0) for difference in result.differences.values())
    for result in results([Greedy(), Sample(Temperature(0))]).values():  # law 1
        assert result.parts_at == [None] * SAMPLES


def test_differences_are_surer_than_those_of_independent_samples() -> None:
    found = results({"all": Sample(), "warm": Sample(Temperature(1.1))}, num_samples=60)
    for name in ("log-probability", "entropy", "ids"):
        alone = [found[which].measures[name].standard_error for which in ("all", "warm")]
        independent = math.sqrt(sum((error or 0) ** 2 for error in alone))
        paired = found["warm"].differences[name].standard_error
        assert paired is not None and paired < 0.7 * independent


def test_a_seed_repeats_and_a_fresh_one_is_told() -> None:  # law 4
    fresh = compare(MODEL, TOKENIZER, PROMPT, NAMED, max_new_tokens=10, num_samples=3)
    again = compare(MODEL, TOKENIZER, PROMPT, NAMED, max_new_tokens=10, num_samples=3, seed=fresh.seed)
    assert (fresh.prompt, fresh.results) == (PROMPT, again.results)
    assert all(sample.seed == fresh.seed for result in fresh.results.values() for sample in result.samples)
    assert results(seed=1)["all"].samples != results(seed=2)["all"].samples


def test_texts_depend_neither_on_their_number_nor_on_the_other_strategies() -> None:  # law 5
    assert results(num_samples=2)["hot"].samples == results()["hot"].samples[:2]
    assert results({"hot": NAMED["hot"]})["hot"].samples == results()["hot"].samples


# -- measures ---------------------------------------------------------------------------------------------------------


def test_measures_and_differences_against_plain_python() -> None:
    found = results()
    assert any(0 < result.measures["repetition-4"].value < 1 for result in found.values())

    def numbers(result: Result) -> dict[str, list[float]]:
        return {
            "log-probability": [statistics.fmean(sample.model_logprobs) for sample in result.samples],
            "entropy": [statistics.fmean(along) for along in result.entropies],
            "repetition-4": [repeated(sample.ids) for sample in result.samples],
            "ids": [float(len(sample.ids)) for sample in result.samples],
        }

    def repeated(ids: Sequence[int]) -> float:
        runs = ["".join(map(str, ids[n : n + 4])) for n in range(len(ids) - 3)]
        return 1 - len(set(runs)) / len(runs) if runs else 0.0

    def close(values: Sequence[float]) -> object:
        return pytest.approx((statistics.fmean(values), statistics.stdev(values) / math.sqrt(SAMPLES)), abs=1e-12)

    assert found["all"].differences == {}
    for name, result in found.items():
        by_text = numbers(result)
        assert {key: tuple(result.measures[key]) for key in by_text} == {key: close(by_text[key]) for key in by_text}
        for n in (1, 2, 3):
            runs = [sample.ids[k : k + n] for sample in result.samples for k in range(len(sample.ids) - n + 1)]
            value, error = result.measures[f"distinct-{n}"]
            assert value == pytest.approx(len(set(map(tuple, runs))) / len(runs))
            assert error is None
        assert len(result.measures) == len(by_text) + 3
        if name != "all":
            first = numbers(found["all"])
            for key, difference in result.differences.items():
                pairs = zip(by_text[key], first[key], strict=True)
                assert tuple(difference) == close([value - other for value, other in pairs])
            assert result.differences.keys() == by_text.keys()


def test_one_text_has_no_standard_errors() -> None:
    for result in results(num_samples=1).values():
        assert all(
            measure.standard_error is None for measure in [*result.measures.values(), *result.differences.values()]
        )


# -- traces, reports, names -------------------------------------------------------------------------------------------


def test_the_first_sample_is_traced_where_that_is_asked_for() -> None:
    plain = results()
    for name, result in results(trace=True).items():
        assert result == plain[name]  # traces are not compared
        alone = generate(MODEL, TOKENIZER, PROMPT, NAMED[name], max_new_tokens=10, seed=5, num_samples=1, trace=True)
        assert result.samples[0].trace.to_dict() == alone[0].trace.to_dict()
        assert not any(sample.trace for sample in result.samples[1:])


def test_each_result_is_reported_as_soon_as_it_is_there() -> None:
    class Interrupted:
        def run(
            self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
        ) -> Iterator[Step]:
            raise KeyboardInterrupt

    told: dict[str, Result] = {}
    with pytest.raises(KeyboardInterrupt):
        results(NAMED | {"interrupted": Interrupted()}, report=told.__setitem__)
    assert told == results()


def test_strategies_of_a_list_are_called_what_they_print() -> None:
    assert list(results([Sample(TopP(0.7)), Greedy()])) == ["Sample(TopP(0.7))", "Greedy()"]
    assert list(results((Greedy(),))) == ["Greedy()"]


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategies", "words"),
    [
        ([], "there is no strategy to compare: give at least one"),
        ({}, "there is no strategy to compare: give at least one"),
        (Greedy(), r"several strategies are needed, as \{name: strategy\} or as a list; got Greedy\(\)"),
        ("greedy", "several strategies are needed"),
        ([Greedy(), "sample"], r"a strategy is needed, such as Greedy\(\) or Sample\(TopP\(0.9\)\); got 'sample'"),
        ({"x": Greedy}, "a strategy is needed"),
        ([Greedy(), Sample(), Greedy()], "two of the strategies print the same; give them names"),
    ],
)
def test_strategies_that_are_none(strategies: object, words: str) -> None:  # law 13
    with pytest.raises(ValueError, match=words):
        results(strategies)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1; got 0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1; got 0"),
        ({"seed": -1}, "a seed is a whole number"),
        ({"stop": "x"}, "stops are a list of strings"),
    ],
)
def test_settings_that_cannot_be(how: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        results(**how)


def test_prompts_that_cannot_be() -> None:
    def ask(prompt: Any) -> None:
        compare(MODEL, TOKENIZER, prompt, [Greedy()], max_new_tokens=3, num_samples=2)

    with pytest.raises(ValueError, match="the prompt is empty"):
        ask("")
    with pytest.raises(ValueError, match="a prompt is a text"):
        ask([PROMPT, PROMPT])
    with pytest.raises(ValueError, match="the prompt has 25 ids, 1 more than the model's 24 positions; shorten it"):
        ask("a" * 25)
    with pytest.raises(ValueError, match="fills the model's 24 positions and leaves no room for a text; shorten it"):
        ask("a" * 24)
