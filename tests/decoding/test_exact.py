"""Exact search against a list of all texts, and against beams that keep everything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import decoding.strategies.exact as the_file
from decoding import (
    XTC,
    BeamSearch,
    FrequencyPenalty,
    GeneratedIds,
    Greedy,
    Gumbel,
    LanguageModel,
    Limits,
    Mirostat,
    NoRepeatNGram,
    Prefix,
    Processor,
    Suppress,
    TableModel,
    Temperature,
    TopK,
    Uncached,
    generate_ids,
)
from decoding.core import State, Step
from decoding.strategies.exact import ExactSearch
from tests.decoding.models import Wrapped, memoised, rounded
from tests.gpt2.small import small_model

V, STEPS, PROMPT = 3, 4, [1, 2]
EVERYTHING = V**STEPS  # beams that keep all
LENGTH_PENALTIES = (0.0, 0.7, 2.0, -0.5)
CHAINS: list[tuple[Processor, ...]] = [
    (),
    (Temperature(0.7), TopK(2)),
    (FrequencyPenalty(0.8), NoRepeatNGram(2)),
    (Mirostat(1.2, 3.0),),
]
Order = tuple[float, int, tuple[int, ...]]  # -score, length, ids: the best sorts first


@cache
def writable(
    model: TableModel,
    processors: tuple[Processor, ...],
    eos_id: int | None,
    steps: int,
    stops: Callable[[Sequence[int]], bool],
) -> list[tuple[float, tuple[int, ...]]]:
    """All texts that can be written after the prompt, with their log-probabilities: one call for each beginning."""
    found: list[tuple[float, tuple[int, ...]]] = []

    def write(prefix: Prefix, ids: tuple[int, ...], total: float, states: Sequence[State]) -> None:
        if ids and (ids[-1] == eos_id or len(ids) == steps or stops(ids)):
            found.append((total, ids))
            return
        logits = model.logits_after([*PROMPT, *ids])[None]
        after: list[State] = []
        for processor, state in zip(processors, states, strict=True):
            logits, state = processor.step(logits, prefix, state, Gumbel(0))
            after.append(state)
        for id, logprob in enumerate(logits.double().log_softmax(dim=-1)[0].tolist()):
            if logprob > -math.inf:  # NaN where nothing is left
                write(prefix.append(torch.tensor([id])), (*ids, id), total + logprob, after)

    write(Prefix.of([PROMPT], eos_id=eos_id), (), 0.0, [processor.start(1) for processor in processors])
    return found


def never(ids: Sequence[int]) -> bool:
    return False


def every_text(
    model: TableModel,
    processors: tuple[Processor, ...] = (),
    length_penalty: float = 0.0,
    eos_id: int | None = None,
    steps: int = STEPS,
    stops: Callable[[Sequence[int]], bool] = never,
) -> list[Order]:
    """All of them, best first."""
    texts = writable(model, processors, eos_id, steps, stops)
    return sorted((-(total / len(ids) ** length_penalty), len(ids), ids) for total, ids in texts)


def run(model: LanguageModel, strategy: Any, eos_id: int | None = None, steps: int | None = STEPS) -> GeneratedIds:
    return generate_ids(model, [PROMPT], strategy, max_new_tokens=steps, eos_id=eos_id)[0]


def order(text: GeneratedIds) -> Order:
    assert text.score is not None
    return -text.score, len(text.ids), tuple(text.ids)


@cache
def toy(seed: int) -> TableModel:
    """Every other one has ties."""
    model = TableModel.random(V, 16, seed)
    return memoised(rounded(model, 1) if seed % 2 else model)


ALL_ALIKE = TableModel.bigram(torch.zeros(V, V, dtype=torch.float64), 16)  # every id is as likely as every other


# -- the optimum ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processors", CHAINS, ids=repr)
def test_exact_search_is_brute_force_is_a_beam_that_keeps_everything(processors: tuple[Processor, ...]) -> None:
    """Ids and scores, bit for bit, on 25 models, with and without a text's end: 200 searches for each chain."""
    for seed in range(25):
        model = toy(seed)
        for eos_id in (None, 0):
            for penalty in LENGTH_PENALTIES:
                best, *_ = every_text(model, processors, penalty, eos_id)
                exact = run(model, ExactSearch(*processors, length_penalty=penalty), eos_id)
                assert order(exact) == best
                assert exact.search is not None and exact.search.bound == exact.score
                if seed < 4:
                    beam = run(model, BeamSearch(*processors, beams=EVERYTHING, length_penalty=penalty), eos_id)
                    assert order(beam) == best


@pytest.mark.parametrize("penalty", LENGTH_PENALTIES)
def test_of_equal_texts_the_shorter_wins_and_then_lower_ids(penalty: float) -> None:
    for eos_id in (None, 0, 2):
        for steps in (1, 2, 3, 4):
            exact = run(ALL_ALIKE, ExactSearch(length_penalty=penalty), eos_id, steps)
            assert order(exact) == every_text(ALL_ALIKE, (), penalty, eos_id, steps)[0]


def test_it_ends_where_stops_and_positions_do() -> None:
    def stops(ids: Sequence[int]) -> bool:
        return tuple(ids[-2:]) in {(2, 1), (0, 0)}

    for seed in range(12):
        for penalty in LENGTH_PENALTIES:
            search = ExactSearch(length_penalty=penalty)
            steps = list(search.run(toy(seed), [PROMPT], Limits(STEPS, 1, stops), Gumbel(0)))
            ids = tuple(id for step in steps for id in step.ids)
            assert ids == every_text(toy(seed), (), penalty, 1, stops=stops)[0][2]

            short = TableModel(V, len(PROMPT) + 3, toy(seed).logits_after)
            full = run(short, search, steps=None)
            assert order(full) == every_text(toy(seed), (), penalty, steps=3)[0]
            assert full.finish_reason == "context"


def test_rows_are_strangers_and_full_prompts_are_texts_already() -> None:  # law 5
    model = TableModel.random(V, 6, 5)
    prompts = [[1], [2, 2, 0], [0] * 6, [1]]
    found = generate_ids(model, prompts, ExactSearch(Mirostat(1.2, 3.0)), max_new_tokens=3, num_samples=2)
    for number, prompt in enumerate(prompts):
        alone = generate_ids(model, [prompt], ExactSearch(Mirostat(1.2, 3.0)), max_new_tokens=3)[0]
        for one in found[2 * number : 2 * number + 2]:
            assert (one.ids, one.score, one.finish_reason) == (alone.ids, alone.score, alone.finish_reason)
    assert found[4].finish_reason == "context" and found[4].ids == [] and found[4].score == 0.0


def test_beginnings_to_which_processors_leave_nothing_have_no_children() -> None:
    """Nothing may follow two equal ids."""

    class Picky(Processor):
        def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
            assert prefix is not None
            last = prefix.ids[:, -2:]  # (1, 2)
            dead = (last[:, 0] == last[:, 1])[:, None]
            return logits.masked_fill(dead, -torch.inf)

    for seed in range(20):
        assert order(run(toy(seed), ExactSearch(Picky()))) == every_text(toy(seed), (Picky(),))[0]
    everything = Suppress(range(V))
    with pytest.raises(ValueError, match=r"Suppress\(\[0, 1, 2\]\) removed every id .* \(prompt 0, sample 0, step 0\)"):
        run(toy(0), ExactSearch(everything))
    broken = TableModel.bigram(torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [math.nan, 0.0, 0.0]]), 16)
    with pytest.raises(ValueError, match=r"the model gave logits that are NaN .* step 0"):
        run(broken, ExactSearch())


# -- mistakes that these texts tell apart -----------------------------------------------------------------------------


class NoRewind(Wrapped):
    """A model whose sessions go on where they are, wherever they should go back to."""

    def open(self) -> Any:
        session: Any = self.model.open()
        session.rewind = lambda lengths: None
        return session


def misses(
    seeds: range,
    processors: tuple[Processor, ...] = (),
    length_penalty: float = 0.0,
    model: Callable[[int], LanguageModel] = toy,
) -> int:
    """On how many models the search does not find what there is, or does not come to an end."""
    count = 0
    for seed in seeds:
        try:
            exact = run(model(seed), ExactSearch(*processors, length_penalty=length_penalty), 0)
            count += order(exact) != every_text(toy(seed), processors, length_penalty, 0)[0]
        except ValueError:
            count += 1
    return count


def test_a_search_that_does_not_go_back_is_noticed() -> None:
    assert misses(range(40), length_penalty=2.0) == 0
    assert misses(range(40), length_penalty=2.0, model=lambda seed: NoRewind(toy(seed))) > 3


def test_processors_that_remember_another_branch_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = (Mirostat(1.2, 3.0),)
    latest: list[Sequence[State]] = []
    place = the_file._Row._place

    def forgetful(self: Any, hypothesis: Any, logits: Tensor, prefix: Prefix, states: Sequence[State]) -> Any:
        made = place(self, hypothesis, logits, prefix, latest[-1] if hypothesis.ids else states)
        latest.append(made.states)
        return made

    assert misses(range(40), chain, 2.0) == 0
    monkeypatch.setattr(the_file._Row, "_place", forgetful)
    assert misses(range(40), chain, 2.0) > 3


def test_a_bound_that_is_none_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score so far is no bound where a length penalty rewards what is still to come."""

    def so_far(total: float, length: int, room: int, length_penalty: float) -> float:
        return total / (length + 1) ** length_penalty

    assert misses(range(20), length_penalty=2.0) == 0
    monkeypatch.setattr(the_file, "attainable", so_far)
    assert misses(range(20), length_penalty=2.0) > 0
    assert misses(range(20), length_penalty=0.0) == 0  # here it is the same


def test_to_leave_out_what_may_be_equal_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 1 0 and 2 0 have both the probability 1/2. The first is found first, and the second is shorter."""

    def after(ids: Sequence[int]) -> Tensor:
        possible = {(): [1, 2], (1,): [1], (1, 1): [0], (2,): [0]}[tuple(ids[len(PROMPT) :])]
        return torch.full((V,), -torch.inf, dtype=torch.float64).index_fill(0, torch.tensor(possible), 0.0)

    def found() -> list[int]:
        return run(TableModel(V, 16, after), ExactSearch(), 0).ids

    attainable = the_file.attainable
    assert found() == [2, 0]
    monkeypatch.setattr(the_file, "attainable", lambda *of: math.nextafter(attainable(*of), -math.inf))
    assert found() == [1, 1, 0]


# -- the budget -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processors", [(), (Mirostat(1.2, 3.0),)], ids=repr)
@pytest.mark.parametrize("penalty", LENGTH_PENALTIES)
def test_every_budget_brackets_the_optimum(processors: tuple[Processor, ...], penalty: float) -> None:
    """Budgets from 1 up: the text gets no worse, the bound no higher, and the optimum is between them."""
    for seed in range(6):
        for eos_id in (None, 0):
            optimum = -every_text(toy(seed), processors, penalty, eos_id)[0][0]
            whole = run(toy(seed), ExactSearch(*processors, length_penalty=penalty), eos_id).search
            greedy = run(toy(seed), Greedy(*processors), eos_id)
            least = sum(greedy.processed_logprobs) / len(greedy.ids) ** penalty
            assert whole is not None
            before = (-math.inf, math.inf)
            for budget in range(1, whole.evaluations + 1):
                found = run(toy(seed), ExactSearch(*processors, length_penalty=penalty, budget=budget), eos_id).search
                assert found is not None and found.bound is not None
                score = found.candidates[0].score
                assert max(least - 1e-12, before[0]) <= score <= optimum <= found.bound <= before[1]
                assert found.evaluations <= max(budget, STEPS)  # STEPS is what the first descent takes
                before = score, found.bound
            assert before == (optimum, optimum) and found.evaluations == whole.evaluations


def test_stops_end_texts_that_the_bound_has_to_count() -> None:
    """With a negative length penalty short texts gain, also those that a stop ends, which nobody has looked at yet."""

    def stops(ids: Sequence[int]) -> bool:
        return ids[-1] == 2

    early = 0
    for seed in range(20):
        optimum = -every_text(toy(seed), (), -2.0, None, stops=stops)[0][0]
        for budget in (1, 4, 5, 7):
            search = ExactSearch(length_penalty=-2.0, budget=budget)
            *_, last = search.run(toy(seed), [PROMPT], Limits(STEPS, None, stops), Gumbel(0))
            assert last.found is not None and last.found.bound is not None
            assert last.found.candidates[0].score <= optimum <= last.found.bound
            early += last.found.candidates[0].score < optimum
    assert early  # so that the bound had something to tell


def test_a_likely_text_is_found_with_few_distributions() -> None:
    """At most 1 / P beginnings of each length are as likely as the greedy text, of probability P."""
    for seed in range(20):
        model = TableModel.random(8, 16, seed, scale=4.0)
        greedy = run(model, Greedy(), steps=6)
        exact = run(model, ExactSearch(), steps=6)
        assert exact.search is not None
        P = math.exp(sum(greedy.processed_logprobs))
        assert exact.search.evaluations <= 6 / P


def test_the_text_that_ends_here_is_looked_at_first() -> None:
    """Its probability is known, at no cost: where the end has 0.6, nothing else is asked for."""
    model = TableModel.bigram(torch.tensor([[0.6, 0.3, 0.1]] * 3, dtype=torch.float64).log(), 16)
    found = run(model, ExactSearch(), 0).search
    assert found is not None and found.evaluations == 1 and found.candidates[0].ids == (0,)


# -- what it tells ----------------------------------------------------------------------------------------------------


def test_candidates_are_the_texts_that_were_the_best_so_far() -> None:
    several = 0
    for seed in range(40):
        exact = run(toy(seed), ExactSearch(), 0)
        orders = [order(one) for one in exact.candidates]
        assert orders == sorted(orders) and set(orders) <= set(every_text(toy(seed), eos_id=0))
        several += len(orders) > 1
    assert several > 5


def test_the_tree_tells_what_became_of_every_beginning() -> None:
    for seed in range(20):
        for budget in (None, 6):
            search = ExactSearch(Mirostat(1.2, 3.0), budget=budget)
            exact = generate_ids(toy(seed), [PROMPT], search, max_new_tokens=STEPS, eos_id=0, trace=True)[0]
            tree, found = exact.trace.tree, exact.search
            assert tree is not None and found is not None
            assert tree.winner is not None and list(tree.ids(tree.winner)) == exact.ids
            assert found.evaluations == sum(node.fate == "extended" for node in tree)  # the prompt is one of them
            assert len({tree.ids(number) for number in range(len(tree))}) == len(tree)  # nothing is looked at twice
            assert any(node.fate == "abandoned" for node in tree) == (budget is not None and found.bound > exact.score)
            for number, node in enumerate(tree):
                assert (node.finish_reason is not None) == (node.fate in ("finished", "won"))
                if node.fate == "pruned" or node.fate == "finished":
                    assert node.score <= exact.score
                if number:
                    logprobs = [tree[child].logprob for child in tree.children(number)]
                    assert logprobs == sorted(logprobs, reverse=True)  # ranks are those of the probabilities
            assert [step.chosen for step in exact.trace] == exact.ids
            assert [step.stages[-1].has(step.chosen) for step in exact.trace] == [True] * len(exact.ids)


def test_what_it_refuses() -> None:
    for budget in (0, -1, 2.0, True, "3"):
        with pytest.raises(ValueError, match="budget is a number of distributions, at least 1, or None; got"):
            ExactSearch(budget=budget)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a length penalty is an exponent"):
        ExactSearch(length_penalty=math.nan)
    with pytest.raises(ValueError, match=r"ExactSearch compares texts by their probability, and XTC\(0.1, 0.5\)"):
        ExactSearch(XTC(0.1, 0.5))
    assert repr(ExactSearch(TopK(3), budget=5)) == "ExactSearch(TopK(3), budget=5)"


# -- on a network -----------------------------------------------------------------------------------------------------


def test_on_gpt2_the_cache_changes_nothing() -> None:
    """97 ids and 3 steps, 912,673 texts: ids and evaluations are the same, and scores within 1e-4 in float32, of logits
    of order 10, and within 1e-9 in float64."""
    for seed in range(3):
        for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
            model = small_model(seed, dtype)
            search = ExactSearch(Mirostat(2.0, 0.5), length_penalty=0.3)
            cached = generate_ids(model, [[3, 1, 4], [9]], search, max_new_tokens=3, eos_id=0)
            plain = generate_ids(Uncached(model), [[3, 1, 4], [9]], search, max_new_tokens=3, eos_id=0)
            for one, other in zip(cached, plain, strict=True):
                assert one.ids == other.ids and one.search is not None and other.search is not None
                assert one.score == pytest.approx(other.score, abs=tolerance)
                assert one.search.evaluations == other.search.evaluations


def test_on_gpt2_every_text_is_looked_at() -> None:
    """97 ids and 2 steps: the optimum of all 9,409 texts, from one batch without a cache."""
    for seed in range(5):
        model = small_model(seed, torch.float64)
        ids = torch.tensor([[5, 3, id] for id in range(97)])
        with torch.no_grad():
            logprobs = model(ids).log_softmax(dim=-1)  # (97, 3, 97)
        totals = logprobs[0, 1][:, None] + logprobs[:, 2]  # (97, 97)
        exact = generate_ids(model, [[5, 3]], ExactSearch(), max_new_tokens=2)[0]
        assert exact.ids == list(divmod(int(totals.argmax()), 97))
        assert exact.score == pytest.approx(float(totals.amax()), abs=1e-9)
        assert exact.search is not None and exact.search.evaluations < 98


def test_steps_come_when_the_text_is_certain() -> None:
    steps: list[Step] = list(ExactSearch().run(toy(1), [PROMPT], Limits(STEPS), Gumbel(0)))
    assert [len(step.ids) for step in steps] == [1] * STEPS
    assert [step.found is not None for step in steps] == [False] * (STEPS - 1) + [True]
