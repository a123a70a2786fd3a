"""Greedy decoding and sampling: the loop that they share, its edges, and the scores it reports."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from decoding import (
    GeneratedIds,
    Greedy,
    Gumbel,
    Limits,
    Prefix,
    Processor,
    Purpose,
    Sample,
    TableModel,
    Temperature,
    TopK,
    TopP,
    generate_ids,
)
from gpt2 import GPT2
from tests.decoding.models import Recording, memoised, scripted

V = 12
MODEL = memoised(TableModel.random(V, 32, seed=4))
PROMPTS = [[3, 1, 4], [1, 5], [9, 2, 6, 5, 3], [8]]


def ids_of(found: list[GeneratedIds]) -> list[list[int]]:
    return [one.ids for one in found]


# -- what they choose -------------------------------------------------------------------------------------------------


def naive_greedy(logits_after: Callable[[list[int]], Tensor], prompt: list[int], steps: int) -> list[int]:
    """The loop of every tutorial."""
    ids = list(prompt)
    for _ in range(steps):
        logits = logits_after(ids).tolist()
        ids.append(logits.index(max(logits)))  # the first of equals
    return ids[len(prompt) :]


def test_greedy_is_the_naive_loop() -> None:  # law 7
    found = generate_ids(MODEL, PROMPTS, Greedy(), max_new_tokens=10)
    assert ids_of(found) == [naive_greedy(MODEL.logits_after, prompt, 10) for prompt in PROMPTS]


def test_greedy_takes_the_lowest_of_equals() -> None:  # law 1
    ties = TableModel.bigram(torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [5.0, 5.0, 9.0]]), 8)
    assert ids_of(generate_ids(ties, [[0], [2]], Greedy(), max_new_tokens=3)) == [[1, 0, 1], [2, 2, 2]]
    assert ids_of(generate_ids(ties, [[0], [2]], Sample(Temperature(0)), max_new_tokens=3)) == [[1, 0, 1], [2, 2, 2]]


def test_greedy_is_the_naive_loop_through_the_network(storybook: GPT2) -> None:  # law 7
    """The winner leads by more than 1e-3 at every step, and a cache moves logits by less than 1e-4."""
    prompt = [7454, 2402, 257, 640]

    def logits_after(ids: list[int]) -> Tensor:
        with torch.no_grad():
            logits = storybook(torch.tensor([ids]))[0, -1]
        best, second = logits.topk(2).values.tolist()
        assert best - second > 1e-3
        return logits

    found = generate_ids(storybook, [prompt], Greedy(), max_new_tokens=12)
    assert found[0].ids == naive_greedy(logits_after, prompt, 12)


@pytest.mark.parametrize("seed", range(5))
def test_temperature_zero_is_greedy(seed: int, storybook: GPT2) -> None:  # law 1
    greedy = ids_of(generate_ids(MODEL, PROMPTS, Greedy(), max_new_tokens=10))
    for strategy in (Sample(Temperature(0)), Sample(TopP(0.9), Temperature(0)), Sample(TopK(1)), Sample(TopP(1e-9))):
        assert ids_of(generate_ids(MODEL, PROMPTS, strategy, max_new_tokens=10, seed=seed)) == greedy
    story = [[7454, 2402, 257, 640]]
    expected = generate_ids(storybook, story, Greedy(), max_new_tokens=5)
    assert ids_of(generate_ids(storybook, story, Sample(Temperature(0)), max_new_tokens=5, seed=seed)) == ids_of(
        expected
    )


def test_a_sample_is_made_of_gumbel_choices_one_after_another() -> None:
    for prompt in PROMPTS:
        ids = list(prompt)
        for step in range(6):
            prefix = Prefix.of([ids], samples=[0])._replace(prompt_lengths=torch.tensor([len(prompt)]))
            assert prefix.steps.tolist() == [step]
            logits = TopP(0.9)(Temperature(0.8)(MODEL.logits_after(ids)[None]))
            ids.append(int(Gumbel(6).choose(logits, Purpose.TOKEN, prefix)))
        strategy = Sample(Temperature(0.8), TopP(0.9))
        assert generate_ids(MODEL, [prompt], strategy, max_new_tokens=6, seed=6)[0].ids == ids[len(prompt) :]


# -- rows are strangers (law 5) ---------------------------------------------------------------------------------------


def test_rows_are_strangers_when_some_end_early() -> None:  # law 5
    """Different lengths, eos in some rows and not in others: bit for bit what each row gives alone."""
    strategy = Sample(Temperature(1.5), TopK(6))
    prompts = [[3, 1, 4], [1, 5], [9] * 28, [8], [2] * 31, [7, 7, 7]]
    together = generate_ids(MODEL, prompts, strategy, max_new_tokens=9, eos_id=7, seed=3, num_samples=3)
    alone = [
        one
        for prompt in prompts
        for one in generate_ids(MODEL, [prompt], strategy, max_new_tokens=9, eos_id=7, seed=3, num_samples=3)
    ]
    assert together == alone
    assert {one.finish_reason for one in together} == {"eos", "length", "context"}  # the case is as meant


def test_each_prompt_may_have_a_strategy_of_its_own() -> None:  # law 5
    strategies = [Greedy(), Sample(Temperature(0.8)), Greedy(TopK(2)), Sample(Temperature(0.8))]
    together = generate_ids(MODEL, PROMPTS, strategies, max_new_tokens=6, seed=3, num_samples=2)
    alone = [
        one
        for prompt, strategy in zip(PROMPTS, strategies, strict=True)
        for one in generate_ids(MODEL, [prompt], strategy, max_new_tokens=6, seed=3, num_samples=2)
    ]
    assert together == alone


def test_samples_of_a_prompt_are_numbered_and_fewer_are_the_first() -> None:
    many = generate_ids(MODEL, PROMPTS, Sample(), max_new_tokens=6, seed=3, num_samples=5)
    few = generate_ids(MODEL, PROMPTS, Sample(), max_new_tokens=6, seed=3, num_samples=2)
    assert [one.sample for one in many] == [0, 1, 2, 3, 4] * 4
    assert few == [one for one in many if one.sample < 2]
    assert len({tuple(one.ids) for one in many[:5]}) == 5  # they differ


def test_a_seed_that_is_not_given_is_drawn_and_returned() -> None:  # law 4
    first, second = (generate_ids(MODEL, PROMPTS, Sample(), max_new_tokens=6) for _ in range(2))
    assert first[0].seed != second[0].seed  # one in 2^32 that they agree
    assert len({one.seed for one in first}) == 1
    assert generate_ids(MODEL, PROMPTS, Sample(), max_new_tokens=6, seed=first[0].seed) == first


# -- how rows end -----------------------------------------------------------------------------------------------------


def end_of(new_ids: list[int], **options: object) -> tuple[list[int], str]:
    """The ids and the finish reason of a model that writes `new_ids` behind one id; it has 8 positions."""
    arguments: dict[str, object] = {"max_new_tokens": None, "eos_id": None, **options}
    limits = Limits(**arguments)  # type: ignore[arg-type]
    steps = list(Greedy().run(scripted(V, 1, new_ids, 8), [[0]], limits, Gumbel(0)))
    assert [step.finish_reason for step in steps[:-1]] == [None] * (len(steps) - 1)
    return [id for step in steps for id in step.ids], str(steps[-1].finish_reason)


def test_finish_reasons() -> None:
    def stops(new_ids: Sequence[int]) -> bool:
        return list(new_ids[-2:]) == [4, 5]

    assert end_of([3, 4, 5, 6], max_new_tokens=3) == ([3, 4, 5], "length")
    assert end_of([3, 4, 5, 6], max_new_tokens=6, eos_id=5) == ([3, 4, 5], "eos")
    assert end_of([3, 4, 5, 6], max_new_tokens=6, stops=stops) == ([3, 4, 5], "stop")
    assert end_of([3, 4, 5, 6]) == ([3, 4, 5, 6, 3, 4, 5], "context")
    assert end_of([3, 4, 5, 6], max_new_tokens=20) == ([3, 4, 5, 6, 3, 4, 5], "context")
    assert end_of([3], max_new_tokens=1) == ([3], "length")


def test_what_the_text_did_comes_before_what_was_allowed() -> None:
    """eos, then a stop, then the length, then the context, where several hold at once."""
    assert end_of([3, 4], max_new_tokens=2, eos_id=4, stops=lambda ids: True) == ([3], "stop")
    assert end_of([4], max_new_tokens=1, eos_id=4, stops=lambda ids: True) == ([4], "eos")
    assert end_of([3, 4], max_new_tokens=2, stops=lambda ids: len(ids) == 2) == ([3, 4], "stop")
    assert end_of([3], max_new_tokens=7) == ([3] * 7, "length")  # the last position, too


def test_eos_in_the_prompt_ends_nothing() -> None:
    found = generate_ids(scripted(V, 3, [5, 2]), [[2, 1, 2]], Greedy(), max_new_tokens=4, eos_id=2)
    assert (found[0].ids, found[0].finish_reason) == ([5, 2], "eos")


def test_a_prompt_that_fills_the_context_gives_no_ids() -> None:  # law 9
    full, almost = [1] * 32, [1] * 31
    for strategy in (Greedy(), Sample(TopP(0.9))):
        found = generate_ids(MODEL, [full, almost, [2]], strategy, max_new_tokens=4, seed=1, num_samples=2)
        assert [len(one.ids) for one in found] == [0, 0, 1, 1, 4, 4]
        assert [one.finish_reason for one in found] == ["context"] * 4 + ["length"] * 2
        assert found[0].model_logprobs == found[0].processed_logprobs == []
        only = generate_ids(MODEL, [full], strategy, max_new_tokens=4)
        assert (only[0].ids, only[0].finish_reason) == ([], "context")


def test_a_prompt_that_fills_the_context_of_the_network(storybook: GPT2) -> None:  # law 9
    n = storybook.n_positions
    found = generate_ids(storybook, [[257] * n, [257] * (n - 1)], Greedy(), max_new_tokens=None)
    assert [(len(one.ids), one.finish_reason) for one in found] == [(0, "context"), (1, "context")]


def test_a_prompt_that_is_too_long_is_refused_in_words() -> None:  # laws 9 and 13
    with pytest.raises(ValueError, match=r"prompt 1 has 35 ids, 3 more than the model's 32 positions; shorten it"):
        generate_ids(MODEL, [[1], [1] * 35], Greedy(), max_new_tokens=4)


# -- processors that fail ---------------------------------------------------------------------------------------------


class RemoveAll(Processor):
    """Removes every id, in the rows whose last id is `last` or in all."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        assert prefix is not None
        last = prefix.ids.gather(1, prefix.lengths[:, None] - 1)  # (R, 1)
        emptied = torch.ones_like(last, dtype=torch.bool) if self.last is None else last == self.last
        return logits.masked_fill(emptied, -torch.inf)

    def __repr__(self) -> str:
        return "RemoveAll()"


class MakeNaN(RemoveAll):
    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        return logits * torch.nan

    def __repr__(self) -> str:
        return "MakeNaN()"


@pytest.mark.parametrize("strategy", [Greedy, Sample])
def test_a_row_that_processors_emptied_is_an_error_that_names_the_culprit(  # law 3
    strategy: type[Greedy] | type[Sample],
) -> None:
    with pytest.raises(ValueError, match=r"^RemoveAll\(\) removed every id that was left"):
        generate_ids(MODEL, PROMPTS, strategy(TopK(3), RemoveAll(), TopP(0.9)), max_new_tokens=3)
    with pytest.raises(ValueError, match=r"^RemoveAll\(\) removed every id that was left"):  # in one row of the batch
        generate_ids(MODEL, PROMPTS, strategy(TopK(3), RemoveAll(last=8), Temperature(1e-9)), max_new_tokens=3)
    with pytest.raises(ValueError, match=r"^MakeNaN\(\) gave logits that are NaN"):
        generate_ids(MODEL, PROMPTS, strategy(MakeNaN(), RemoveAll()), max_new_tokens=3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("strategy", [Greedy(), Sample(), Sample(TopK(2), TopP(0.9)), Greedy(Temperature(0.5))])
def test_a_model_that_gives_no_distribution_is_named(strategy: Greedy | Sample, bad: float) -> None:
    table = torch.zeros(4, 4)
    table[2] = torch.tensor([bad] * 4 if bad < 0 else [0.0, bad, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"^the model (gave logits that are NaN or infinite|removed every id)"):
        generate_ids(TableModel.bigram(table, 8), [[1], [2], [0]], strategy, max_new_tokens=2)


# -- the batch --------------------------------------------------------------------------------------------------------


def test_the_prompt_goes_through_once_for_many_samples() -> None:
    model = Recording(MODEL)
    generate_ids(model, [[3, 1, 4], [1, 5]], Sample(), max_new_tokens=3, seed=1, num_samples=10)
    assert model.shapes == [(2, 3), (20, 1), (20, 1)]


def test_rows_that_have_ended_leave_the_batch() -> None:
    def logits_after(ids: Sequence[int]) -> Tensor:  # counts up from the last id; 9 is the end
        return torch.eye(V)[ids[-1] + 1] * 10

    model = Recording(TableModel(V, 32, logits_after))
    found = generate_ids(model, [[3], [7], [5], [8]], Greedy(), max_new_tokens=20, eos_id=9)
    assert ids_of(found) == [[4, 5, 6, 7, 8, 9], [8, 9], [6, 7, 8, 9], [9]]
    assert [R for R, _ in model.shapes] == [4, 3, 2, 2, 1, 1]
    assert [S for _, S in model.shapes] == [1] * 6  # only what is new goes through


def test_strategies_that_are_equal_share_a_batch() -> None:
    model = Recording(MODEL)
    generate_ids(model, PROMPTS, [Greedy(), Greedy(TopK(2)), Greedy(), Greedy()], max_new_tokens=1)
    assert sorted(shape[0] for shape in model.shapes) == [1, 3]


def test_steps_are_lazy() -> None:
    """Who stops asking stops the computation."""
    model = Recording(MODEL)
    steps = Sample().run(model, PROMPTS, Limits(20), Gumbel(0))
    assert model.shapes == []
    assert isinstance(steps, Iterator)
    taken = list(itertools.islice(steps, 2 * len(PROMPTS)))
    assert {step.row for step in taken} == {0, 1, 2, 3}
    before = len(model.shapes)
    assert before <= 3
    steps.close()  # type: ignore[attr-defined]
    assert list(steps) == [] and len(model.shapes) == before


def test_a_step_belongs_to_prompt_and_sample() -> None:
    steps = list(Sample().run(MODEL, PROMPTS, Limits(2, num_samples=3), Gumbel(5)))
    assert [step.row for step in steps] == list(range(12)) * 2
    expected = generate_ids(MODEL, PROMPTS, Sample(), max_new_tokens=2, seed=5, num_samples=3)
    assert [one.ids for one in expected] == [[step.ids[0] for step in steps if step.row == row] for row in range(12)]


# -- scores (law 8) ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Sample(Temperature(0.7), TopK(3)), Greedy(TopP(0.8)), Sample()], ids=repr)
def test_scores_are_what_their_names_say(strategy: Greedy | Sample) -> None:  # law 8
    """float64 throughout; 1e-12 for a different order of the same sums."""
    for one in generate_ids(MODEL, PROMPTS, strategy, max_new_tokens=6, eos_id=0, seed=3, num_samples=2):
        assert len(one.model_logprobs) == len(one.processed_logprobs) == len(one.ids)
        for n, id in enumerate(one.ids):
            logits = MODEL.logits_after([*one.prompt_ids, *one.ids[:n]])
            assert one.model_logprobs[n] == pytest.approx(float(logits.log_softmax(0)[id]), abs=1e-12)
            for processor in strategy.processors:
                logits = processor(logits)
            assert one.processed_logprobs[n] == pytest.approx(float(logits.log_softmax(0)[id]), abs=1e-12)
        if strategy.processors:
            assert one.model_logprobs != one.processed_logprobs
        else:
            assert one.model_logprobs == one.processed_logprobs


def test_half_precision_is_widened_before_anything_else() -> None:  # law 11
    table = torch.randn(V, V).bfloat16()
    half, wide = TableModel.bigram(table, 32), TableModel.bigram(table.float(), 32)
    for strategy in (Greedy(), Sample(TopP(0.9))):
        found = generate_ids(half, PROMPTS, strategy, max_new_tokens=5, seed=1, trace=True)
        assert found == generate_ids(wide, PROMPTS, strategy, max_new_tokens=5, seed=1)
        assert {stage.logits.dtype for step in found[0].trace for stage in step.stages} == {torch.float32}


# -- strategies as values ---------------------------------------------------------------------------------------------


def test_strategies_are_values() -> None:
    assert Sample(TopK(3), TopP(0.9)) == Sample(TopK(3), TopP(0.9))
    assert Sample(TopK(3), TopP(0.9)) != Sample(TopP(0.9), TopK(3))  # law 4
    assert Sample(TopK(3)) != Greedy(TopK(3)) and Greedy() != "Greedy()"
    assert len({Greedy(), Greedy(), Sample(), Greedy(TopK(3))}) == 3


def test_strategies_print_as_they_are_written() -> None:
    for text in ("Greedy()", "Sample(Temperature(0.8), TopK(40), TopP(0.95))"):
        assert repr(eval(text)) == text


@pytest.mark.parametrize("bad", ["TopP(0.9)", 0.9, TopP, None, Greedy()])
def test_what_is_no_processor_is_refused_in_words(bad: Processor) -> None:  # law 13
    for strategy in (Greedy, Sample):
        with pytest.raises(ValueError, match=rf"{strategy.__name__} takes processors such as TopP\(0.9\); got"):
            strategy(TopK(3), bad)


def test_limits_are_checked_in_words() -> None:  # law 13
    for bad in (0, -1):
        with pytest.raises(ValueError, match=f"max_new_tokens must be at least 1; got {bad}"):
            Limits(bad)
        with pytest.raises(ValueError, match=f"num_samples must be at least 1; got {bad}"):
            Limits(1, num_samples=bad)


def test_limits_that_are_no_whole_numbers_are_refused() -> None:  # law 13
    """Half a token would never be reached: a limit of 2.5 must not mean "no limit"."""
    for bad in (2.5, float("nan"), "3"):
        with pytest.raises(ValueError, match="max_new_tokens"):
            Limits(bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="num_samples"):
            Limits(1, num_samples=bad)  # type: ignore[arg-type]
