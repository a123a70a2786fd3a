"""What speculation writes, id for id: rounds, batches, ends, and that nothing is computed twice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import (
    XTC,
    BlockVerification,
    DrafterInvariant,
    FrequencyPenalty,
    Greedy,
    Gumbel,
    InverseCDF,
    Jacobi,
    LanguageModel,
    Mirostat,
    Multinomial,
    NoRepeatNGram,
    Prefix,
    Processor,
    PromptLookup,
    Rounds,
    Sample,
    SelfSpeculative,
    Speculative,
    Strategy,
    TableModel,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    generate,
    generate_ids,
    score,
    stream,
)
from decoding.drafts import Drafter
from decoding.strategies.processed import process
from decoding.strategies.speculation import Target
from gpt2 import GPT2
from tests.decoding.models import Wrapped, memoised
from tests.gpt2.small import small_model
from tests.registry import CHAINS, VOCABULARY

Chain = tuple[Processor, ...]
MODEL = memoised(TableModel.random(VOCABULARY, 64, seed=1))
DRAFT = memoised(  # says roughly the same
    TableModel(
        VOCABULARY, 64, lambda ids: MODEL.logits_after(ids) + 0.5 * TableModel.random(12, 64, 2).logits_after(ids)
    )
)
PROMPTS = [[1, 2, 3, 1, 2], [4], [5, 6, 5, 6, 5, 6, 5], [7, 8]]


def accelerators(draft: LanguageModel | Drafter, *processors: Processor) -> list[Strategy]:
    """Every strategy that lets this draft; those that sample, with temperature 0 behind the processors."""
    chain = (*processors, Temperature(0.0))
    some: list[Strategy] = [one(*chain, draft=draft) for one in (Speculative, BlockVerification, DrafterInvariant)]
    return [*some, Speculative(*chain, draft=draft, length=1), DrafterInvariant(*chain, draft=draft, length=7)]


# -- greedy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [(), (NoRepeatNGram(2), FrequencyPenalty(0.5)), (TopK(3), Mirostat(1.0, 0.3))])
def test_at_temperature_0_it_is_greedy(chain: Chain) -> None:
    """On tables exactly, rows of a batch together, with copies, and with guesses."""
    for eos_id in (None, 0):
        arguments: Any = {"max_new_tokens": 8, "eos_id": eos_id, "seed": 1}
        expected = generate_ids(MODEL, PROMPTS, Greedy(*chain), **arguments)
        for strategy in [*accelerators(DRAFT, *chain), *accelerators(PromptLookup(), *chain), Jacobi(*chain, window=3)]:
            found = generate_ids(MODEL, PROMPTS, strategy, **arguments)
            for one, other in zip(found, expected, strict=True):
                assert one.ids == other.ids
                assert one.finish_reason == other.finish_reason
                assert one.model_logprobs == other.model_logprobs


def margins(model: LanguageModel, prompt: Sequence[int], ids: Sequence[int]) -> Tensor:
    """Between the two best logits, before each of the ids."""
    logits = model.open().extend(torch.tensor([[*prompt, *ids[:-1]]]), keep=len(ids))[0]  # (T, V)
    best = logits.double().topk(2, dim=-1).values
    return best[:, 0] - best[:, 1]


def agreement(model: LanguageModel, prompt: list[int], expected: Sequence[int], found: Sequence[int]) -> int:
    """How many ids are equal; the first that is not must be a choice that rounding may decide."""
    equal = next((n for n, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b), len(expected))
    if equal < len(expected):
        margin = float(margins(model, prompt, expected)[equal])
        print(f"different at id {equal}, where the margin is {margin:.2g}")
        assert margin < 1e-3  # logits of order 10 and more in float32, through several layers
    return equal


def test_through_small_networks() -> None:
    """Weights far from zero, so that the best id is seldom in doubt."""
    compared = equal = 0
    for seed in range(2):
        model, prompt = small_model(seed), [seed, 5, 6, 5]
        expected = generate_ids(model, [prompt], Greedy(), max_new_tokens=20)[0].ids
        drafts: list[LanguageModel | Drafter] = [small_model(seed + 50), PromptLookup(), SelfSpeculative(2)]
        for strategy in [*(one for draft in drafts for one in accelerators(draft)), Jacobi(window=4)]:
            found = generate_ids(model, [prompt], strategy, max_new_tokens=20, seed=0)[0].ids
            compared, equal = compared + 20, equal + agreement(model, prompt, expected, found)
    print(f"{equal} of {compared} ids equal")
    assert equal >= 0.99 * compared


STORIES = ["Once upon a time", "Lily and Ben were friends.", "The dog was big. The dog was", "One day, a bird"]


def test_through_storybook(storybook: GPT2, tokenizer: Tokenizer) -> None:
    prompts = [tokenizer.encode(text) for text in STORIES]
    expected = generate_ids(storybook, prompts, Greedy(), max_new_tokens=40)
    compared = equal = 0
    temperature = Temperature(0.0)
    for strategy in (
        Speculative(temperature, draft=SelfSpeculative(4)),
        BlockVerification(temperature, draft=PromptLookup()),
        Jacobi(window=5),
    ):
        for one, other in zip(
            generate_ids(storybook, prompts, strategy, max_new_tokens=40, seed=0), expected, strict=True
        ):
            compared, equal = compared + 40, equal + agreement(storybook, one.prompt_ids, other.ids, one.ids)
    print(f"{equal} of {compared} ids equal")
    assert equal >= 0.95 * compared


# -- the ids of Sample ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", CHAINS, ids=repr)
def test_drafter_invariant_writes_what_sample_writes(chain: Chain) -> None:
    """Rows of different lengths, two samples of each, every chain of processors, with the same errors."""
    draw = Gumbel if len(repr(chain)) % 2 else InverseCDF
    arguments: Any = {"max_new_tokens": 7, "eos_id": 0, "seed": 3, "draw": draw, "num_samples": 2}

    def written(strategy: Strategy) -> Any:
        try:
            return [(row.ids, row.finish_reason) for row in generate_ids(MODEL, PROMPTS[:2], strategy, **arguments)]
        except ValueError as error:
            return str(error)

    assert written(DrafterInvariant(*chain, draft=DRAFT, length=3)) == written(Sample(*chain))


@pytest.mark.parametrize("draw", [Gumbel, InverseCDF])
def test_whoever_drafts(draw: Any) -> None:
    arguments: Any = {"max_new_tokens": 12, "seed": 4, "draw": draw, "num_samples": 2}
    chain = (XTC(0.2, 0.4), TopP(0.9), Mirostat(1.0, 0.3))
    expected = [row.ids for row in generate_ids(MODEL, PROMPTS, Sample(*chain), **arguments)]
    kept = []
    for draft in (MODEL, DRAFT, TableModel.random(VOCABULARY, 64, seed=9), PromptLookup()):
        found = generate_ids(MODEL, PROMPTS, DrafterInvariant(*chain, draft=draft), **arguments)
        assert [row.ids for row in found] == expected
        kept.append(sum(row.rounds.accepted for row in found) / sum(row.rounds.drafted for row in found))
    assert kept[0] == 1.0 > kept[1] > kept[2]


# -- batches ----------------------------------------------------------------------------------------------------------

LIVELY: list[Strategy] = [
    Speculative(TopP(0.9), draft=DRAFT, length=3),
    Speculative(XTC(0.2, 0.4), Mirostat(1.0, 0.3), draft=PromptLookup(1)),
    BlockVerification(Mirostat(1.0, 0.3), draft=DRAFT, length=3),
    DrafterInvariant(Temperature(0.7), draft=DRAFT),
    Jacobi(NoRepeatNGram(3), window=3),
]


@pytest.mark.parametrize("strategy", LIVELY, ids=repr)
def test_rows_are_strangers(strategy: Strategy) -> None:  # law 5
    """Rows that end at different times, of different prompts, give what they give alone, bit for bit."""
    arguments: Any = {"max_new_tokens": 14, "eos_id": 0, "seed": 6, "num_samples": 2}
    together = generate_ids(MODEL, PROMPTS, strategy, **arguments)
    alone = [row for prompt in PROMPTS for row in generate_ids(MODEL, [prompt], strategy, **arguments)]
    assert together == alone
    assert [row.rounds for row in together] == [row.rounds for row in alone]
    if not isinstance(strategy, Jacobi):
        assert len({len(row.ids) for row in together}) > 2


# -- ends -------------------------------------------------------------------------------------------------------------


def test_where_a_text_ends(storybook: GPT2, tokenizer: Tokenizer) -> None:
    """A stop within a draft that is kept: the text of Sample or Greedy, no id behind it, pieces that make it up."""
    for seed in range(1):
        arguments: Any = {"max_new_tokens": 20, "stop": [".", "?"], "seed": seed}
        for strategy, plain in (
            (Speculative(Temperature(0.0), draft=storybook), Greedy()),
            (BlockVerification(Temperature(0.0), draft=storybook, length=7), Greedy()),
            (Jacobi(window=4), Greedy()),
            (DrafterInvariant(Temperature(0.8), draft=storybook), Sample(Temperature(0.8))),
        ):
            expected = generate(storybook, tokenizer, STORIES[:2], plain, **arguments)
            found = generate(storybook, tokenizer, STORIES[:2], strategy, **arguments)
            assert [one.text for one in found] == [one.text for one in expected]
            assert [one.ids for one in found] == [one.ids for one in expected]
            assert [one.finish_reason for one in found] == [one.finish_reason for one in expected]
            pieces = list(stream(storybook, tokenizer, STORIES[:2], strategy, **arguments))
            for row, one in enumerate(found):
                assert "".join(piece.text for piece in pieces if piece.row == row) == one.text
        assert any(one.finish_reason == "stop" for one in found)


@pytest.mark.parametrize("strategy", LIVELY, ids=repr)
def test_every_way_to_end(strategy: Strategy) -> None:
    one = generate_ids(MODEL, [[1]], strategy, max_new_tokens=1, seed=1)[0]
    assert (len(one.ids), one.finish_reason, len(one.rounds)) == (1, "length", 1)
    assert math.isnan(one.rounds.acceptance_rate)

    short = TableModel(VOCABULARY, 9, MODEL.logits_after)
    prompts = [[1] * 9, [2] * 8, [3] * 4, [4]]
    rows = generate_ids(short, prompts, strategy, max_new_tokens=None, seed=1)
    assert [len(row.ids) for row in rows] == [0, 1, 5, 8]
    assert {row.finish_reason for row in rows} == {"context"}
    assert rows[0].rounds == ()
    full = generate_ids(short, prompts[:1], strategy, max_new_tokens=3)[0]
    assert (full.ids, full.finish_reason) == ([], "context")

    for eos_id, seed in itertools.product(range(4), range(2)):
        ended = generate_ids(MODEL, [[1, 2]], strategy, max_new_tokens=9, seed=seed, eos_id=eos_id)[0]
        assert eos_id not in ended.ids[:-1]
        assert ended.finish_reason == ("eos" if ended.ids[-1] == eos_id else "length")
        assert ended.finish_reason == "eos" or len(ended.ids) == 9


# -- rounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", LIVELY, ids=repr)
def test_rounds_tell_what_became_of_the_drafts(strategy: Strategy) -> None:
    for row in generate_ids(MODEL, PROMPTS, strategy, max_new_tokens=12, eos_id=0, seed=2):
        rounds = row.rounds
        assert [id for one in rounds for id in one.ids] == row.ids
        assert rounds[0].drafted == () and rounds[0].accepted == 0 and not rounds[0].resampled
        written = 0
        for one in rounds:
            assert 0 <= one.accepted <= len(one.drafted)
            assert one.ids == [each.id for each in one.drafted[: one.accepted]] + [one.added] * (one.added is not None)
            assert one.resampled == (one.accepted < len(one.drafted))
            for place, each in enumerate(one.drafted[: one.accepted]):
                assert each.target_logprob == pytest.approx(row.processed_logprobs[written + place], abs=1e-12)
            if not isinstance(strategy, BlockVerification) and one.resampled:
                assert one.drafted[one.accepted].id != one.added
            written += len(one.ids)
        assert rounds.drafted == sum(len(one.drafted) for one in rounds)
        assert rounds.accepted == sum(one.accepted for one in rounds)
        if rounds.drafted:
            assert rounds.acceptance_rate == rounds.accepted / rounds.drafted
        assert rounds.calls_per_id == len(rounds) / len(row.ids)


def forced(model: TableModel, prompt: list[int], ids: Sequence[int], chain: Chain) -> list[float]:
    """The logarithms of the ids' probabilities, whatever they are, with the processors told that they were chosen."""
    prefix, states, found = Prefix.of([prompt]), [processor.start(1) for processor in chain], list[float]()
    for n, id in enumerate(ids):
        logits = model.logits_after([*prompt, *ids[:n]])[None]
        stages, states = process(logits, prefix, chain, states, Gumbel(0))
        found.append(float(stages[-1].logits[0].double().log_softmax(dim=-1)[id]))
        prefix = prefix.append(torch.tensor([id]))
    return found


@pytest.mark.parametrize("chain", [(), (Temperature(0.7), TopP(0.9)), (Mirostat(1.0, 2.0), FrequencyPenalty(0.4))])
@pytest.mark.parametrize("strategy", [Speculative, BlockVerification, DrafterInvariant])
def test_logprobs_are_those_of_the_text(strategy: type[Speculative], chain: Chain) -> None:
    """Of what was written under the model; and of all that was drafted under the draft, whatever was rejected before.

    The draft's show that its cache and what its processors remember are rolled back: the law would not.
    """
    rejected = 0
    for row in generate_ids(MODEL, PROMPTS, strategy(*chain, draft=DRAFT, length=3), max_new_tokens=12, seed=2):
        whole = score(MODEL, row.prompt_ids, row.ids, Sample(*chain))
        assert row.processed_logprobs == pytest.approx(whole.logprobs, abs=1e-12)
        assert row.model_logprobs == pytest.approx(whole.model_logprobs, abs=1e-12)
        written: list[int] = []
        for one in row.rounds:
            drafted = [each.id for each in one.drafted]
            if drafted:
                text = row.prompt_ids, written + drafted, chain
                by_draft, by_model = (forced(model, *text)[len(written) :] for model in (DRAFT, MODEL))
                assert [each.draft_logprob for each in one.drafted] == pytest.approx(by_draft, abs=1e-12)
                seen = [each.target_logprob for each in one.drafted if each.target_logprob is not None]
                assert seen == pytest.approx(by_model[: len(seen)], abs=1e-12)
                assert len(seen) > one.accepted or len(seen) == len(drafted)
            written += one.ids
            rejected += one.resampled
    assert rejected >= 3


class NotRewound(Wrapped):
    """Remembers what was rejected."""

    def open(self) -> Any:
        session = self.model.open()
        session.rewind = lambda lengths: None  # type: ignore[method-assign]
        return session


def test_a_draft_that_does_not_forget_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = NotRewound(TableModel(VOCABULARY, 999, DRAFT.logits_after))
    rows = generate_ids(MODEL, PROMPTS, Speculative(draft=forgetful, length=3), max_new_tokens=12, seed=2)
    wrong = 0
    for row in rows:
        written: list[int] = []
        for one in row.rounds:
            for place, each in enumerate(one.drafted):
                text = row.prompt_ids + written + [before.id for before in one.drafted[:place]]
                own = float(DRAFT.logits_after(text).log_softmax(dim=-1)[each.id])
                wrong += abs(own - each.draft_logprob) > 1e-6
            written += one.ids
    assert wrong > 3


def test_a_trace_tells_every_step(storybook: GPT2, tokenizer: Tokenizer) -> None:
    strategy = Speculative(Temperature(0.8), TopK(5), draft=SelfSpeculative(4))
    result = generate(storybook, tokenizer, STORIES[0], strategy, max_new_tokens=12, seed=1, trace=True)
    assert len(result.trace) == len(result.ids) == 12
    for step, (id, logprob) in enumerate(zip(result.ids, result.processed_logprobs, strict=True)):
        stages = result.trace[step].stages
        assert [stage.name for stage in stages] == ["model", "Temperature(0.8)", "TopK(5)"]
        assert stages[-1].chosen == id
        assert math.log(float(stages[-1].probabilities[id])) == pytest.approx(logprob, abs=1e-6)
        assert stages[-1].kept == 5
    assert "TopK" in str(result.trace.why(3, " dog")) or "removed" in str(result.trace.why(3, " dog"))


def test_without_drafts_there_are_no_rounds() -> None:
    row = generate_ids(MODEL, [[1]], Sample(), max_new_tokens=3, seed=1)[0]
    assert row.rounds == Rounds() and math.isnan(row.rounds.calls_per_id)


# -- nothing is computed twice ----------------------------------------------------------------------------------------


class Counting(Wrapped):
    """Notes how many ids each call of each session took."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.taken: list[list[int]] = []  # a call's n, a row each

    def open(self) -> Any:
        session = self.model.open()
        extend = session.extend

        def counted(ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
            self.taken.append([ids.shape[1]] * len(ids) if n is None else n.tolist())
            return extend(ids, n, keep)

        session.extend = counted  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize("strategy", [Speculative, BlockVerification, DrafterInvariant])
def test_nothing_is_computed_twice(strategy: type[Speculative]) -> None:
    """The model takes the prompt, and a round's draft with one id before it; the draft what it has not taken yet."""
    for seed, length in itertools.product(range(3), (1, 3)):
        model, draft = Counting(MODEL), Counting(DRAFT)
        row = generate_ids(model, [PROMPTS[0]], strategy(draft=draft, length=length), max_new_tokens=15, seed=seed)[0]
        drafted = [len(one.drafted) for one in row.rounds]
        assert [sum(n) for n in model.taken] == [len(PROMPTS[0]), *(n + 1 for n in drafted[1:])]
        assert len(model.taken) == len(row.rounds)
        fed, expected, text = list(row.prompt_ids), [len(row.prompt_ids)], list(row.prompt_ids)
        for one in row.rounds:
            if one.drafted:
                same = next((n for n, (a, b) in enumerate(zip(fed, text, strict=False)) if a != b), len(fed))
                new = text[min(same, len(text) - 1) :]
                expected += [len(new), *[1] * (len(one.drafted) - 1)]
                fed = text + [each.id for each in one.drafted[:-1]]
            text += one.ids
        assert [sum(n) for n in draft.taken] == expected
        assert max(expected[1:]) <= 2  # the id that was added, and at most the last of a draft that was kept whole


def test_several_samples_of_a_prompt_are_read_once() -> None:
    model, draft = Counting(MODEL), Counting(DRAFT)
    generate_ids(model, PROMPTS[:2], Speculative(draft=draft), max_new_tokens=5, num_samples=3, seed=1)
    assert model.taken[0] == draft.taken[0] == [len(prompt) for prompt in PROMPTS[:2]]
    assert len(model.taken[1]) == len(draft.taken[1]) == 6


def test_no_distribution_is_looked_at_behind_a_rejected_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """What processors make of places that do not count is never computed."""
    looked: list[tuple[int, int]] = []  # the place that was asked for, and how many were seen in the end
    verify = Speculative.verify

    def watched(self: Speculative, target: Target) -> Any:
        verdict = verify(self, target)
        looked.append((verdict.accepted, len(target._seen)))
        return verdict

    monkeypatch.setattr(Speculative, "verify", watched)
    generate_ids(MODEL, PROMPTS, Speculative(draft=DRAFT), max_new_tokens=20, seed=1)
    assert all(seen <= accepted + 1 for accepted, seen in looked) and len(looked) > 20


def test_multinomial_draws_too() -> None:
    for strategy in LIVELY[:4]:
        rows = generate_ids(MODEL, PROMPTS, strategy, max_new_tokens=6, seed=1, draw=Multinomial)
        assert [len(row.ids) for row in rows] == [6] * 4
