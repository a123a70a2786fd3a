"""Laws that hold for every processor and every strategy, whatever their rule: one registry, so that none escapes."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

import decoding.strategies.one_path
from decoding import (
    DRY,
    XTC,
    ArithmeticSampling,
    BanSequences,
    BanWords,
    BlockVerification,
    ContrastiveSearch,
    Force,
    FrequencyPenalty,
    GeneratedIds,
    Gumbel,
    LanguageModel,
    LogitBias,
    Mirostat,
    NoRepeatNGram,
    Prefix,
    PresencePenalty,
    Processor,
    Purpose,
    RepetitionPenalty,
    Sample,
    Speculative,
    Strategy,
    Suppress,
    TableModel,
    TopP,
    Uncached,
    generate_ids,
)
from decoding.core import ragged
from decoding.strategies.drawn import Drawn
from gpt2 import GPT2
from tests.decoding.models import Lending, ShownTable, memoised, rounded
from tests.registry import (
    PROCESSORS,
    STRATEGIES,
    VOCABULARY,
    ProcessorExample,
    StrategyExample,
    missing,
    processor_classes,
    strategy_classes,
)

each_processor = pytest.mark.parametrize("example", PROCESSORS, ids=lambda example: repr(example.processor))
each_strategy = pytest.mark.parametrize("example", STRATEGIES, ids=lambda example: repr(example.strategy))

PROMPTS = [[3, 1, 4], [1, 5], [9, 2, 6, 5], [3, 1, 4], [5]]


# -- the registry is complete -----------------------------------------------------------------------------------------


def test_every_processor_and_strategy_is_in_the_registry() -> None:
    assert not missing(processor_classes(), [example.processor for example in PROCESSORS])
    assert not missing(strategy_classes(), [example.strategy for example in STRATEGIES])


def test_leaving_one_out_of_the_registry_is_noticed() -> None:
    processors = [example.processor for example in PROCESSORS]
    strategies = [example.strategy for example in STRATEGIES]
    assert len(processor_classes()) >= 3 and len(strategy_classes()) >= 2
    for cls in processor_classes():
        assert missing(processor_classes(), [one for one in processors if type(one) is not cls]) == {cls}
    for cls in strategy_classes():
        assert missing(strategy_classes(), [one for one in strategies if type(one) is not cls]) == {cls}


def test_a_new_processor_is_noticed_even_if_it_is_not_exported() -> None:
    new = type("New", (type(PROCESSORS[0].processor),), {"__module__": "decoding.processors.new"})
    assert missing(processor_classes(), [example.processor for example in PROCESSORS]) == {new}
    del new
    gc.collect()  # so that other tests do not meet it


# -- processors -------------------------------------------------------------------------------------------------------


def a_batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Prefix]:
    """Six rows of logits that are multiples of 1/64 (with ties, and with removed ids), and what stands before them."""
    logits = (torch.randn(6, VOCABULARY, dtype=torch.float64) * 128).round() / 64
    logits[1, 3] = logits[1].amax()
    logits[2] = 0.0
    logits[3, ::2] = -torch.inf
    logits[4, 1:] = -torch.inf
    prompts = [[3, 1, 4, 1], [1, 5], [9, 2, 6, 9], [3, 3], [8], [9, 7, 9]]
    prefix = Prefix.of(prompts, samples=[0, 0, 1, 2, 0, 5], eos_id=0)
    return logits.to(dtype), prefix._replace(prompt_lengths=torch.ones(6, dtype=torch.int64))  # the rest is new


def apply(processor: Processor, logits: Tensor, prefix: Prefix) -> Tensor:
    """The first step of a generation."""
    return processor.step(logits, prefix, processor.start(len(logits)), Gumbel(0))[0]


@each_processor
def test_rows_are_strangers_to_a_processor(example: ProcessorExample) -> None:  # law 5
    logits, prefix = a_batch()
    result = apply(example.processor, logits, prefix)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    assert torch.equal(apply(example.processor, logits[order], prefix.select(order)), result[order])
    for r in range(len(logits)):
        alone = apply(example.processor, logits[r : r + 1], prefix.select(torch.tensor([r])))
        assert torch.equal(alone[0], result[r])
    repeated = torch.tensor([0, 1, 2, 3, 4, 5, 2])
    assert torch.equal(apply(example.processor, logits[repeated], prefix.select(repeated))[:6], result)


@each_processor
def test_shifted_logits_are_the_same_distribution(example: ProcessorExample) -> None:
    """Multiples of 1/64 and whole shifts: every sum and difference is exact. 1e-9 is far above what division loses."""
    logits, prefix = a_batch()
    before = apply(example.processor, logits, prefix).log_softmax(dim=-1)
    same = True
    for shift in (1.0, -64.0, 1024.0):
        after = apply(example.processor, logits + shift, prefix).log_softmax(dim=-1)
        kept_alike = torch.equal(before.isinf(), after.isinf())
        same = same and kept_alike and torch.allclose(before.exp(), after.exp(), rtol=1e-9, atol=0.0, equal_nan=True)
    assert same == example.shift_invariant


@each_processor
def test_removed_ids_stay_removed_and_one_id_stays(example: ProcessorExample) -> None:  # law 3
    emptied = False
    for dtype in (torch.float32, torch.float64):
        logits, prefix = a_batch(dtype)
        result = apply(example.processor, logits, prefix)
        assert bool((result[logits == -torch.inf] == -torch.inf).all())
        emptied = emptied or not bool((result > -torch.inf).any(dim=-1).all())
        assert not bool(result.isnan().any()) and not bool((result == torch.inf).any())
    assert emptied <= example.may_empty


@each_processor
def test_ids_that_are_removed_already_count_for_nothing(example: ProcessorExample) -> None:
    """With three more of them everything is as before: no rule asks how many there are."""
    logits, prefix = a_batch()
    more = torch.cat([logits, torch.full((len(logits), 3), -torch.inf)], dim=1)
    before, after = apply(example.processor, logits, prefix), apply(example.processor, more, prefix)
    assert torch.equal(after[:, :VOCABULARY], before) and bool((after[:, VOCABULARY:] == -torch.inf).all())


@each_processor
def test_an_empty_row_stays_one(example: ProcessorExample) -> None:  # law 3: a beam in that state is pruned
    _, prefix = a_batch()
    empty = torch.full((len(prefix.lengths), VOCABULARY), -torch.inf)
    assert torch.equal(apply(example.processor, empty, prefix), empty)


@each_processor
def test_a_vocabulary_of_one_id(example: ProcessorExample) -> None:
    """That id stays, unless it is banned."""
    if isinstance(example.processor, (BanSequences, BanWords, Force, LogitBias, Suppress)):
        return  # they name other ids
    prefix = Prefix.of([[0], [0, 0]])
    result = apply(example.processor, torch.tensor([[0.0], [-2.5]]), prefix)
    assert result.shape == (2, 1) and (example.may_empty or bool(result.isfinite().all()))


@each_processor
def test_arguments_are_not_changed(example: ProcessorExample) -> None:  # law 11
    for dtype in (torch.float16, torch.float32, torch.float64):
        logits, prefix = a_batch(dtype)
        copies = logits.clone(), [part.clone() for part in prefix[:4]]
        apply(example.processor, logits, prefix)
        if not example.draws:
            example.processor(logits, prefix)
        assert torch.equal(logits, copies[0])
        assert all(torch.equal(now, then) for now, then in zip(prefix[:4], copies[1], strict=True))


@each_processor
def test_half_precision_is_widened_and_double_stays(example: ProcessorExample) -> None:  # law 11
    for given, expected in (
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        logits, prefix = a_batch(given)
        result = apply(example.processor, logits, prefix)
        assert result.dtype == expected
        assert torch.equal(result, apply(example.processor, logits.to(expected), prefix))
    with pytest.raises(ValueError, match="floating-point"):
        example.processor(torch.zeros(6, VOCABULARY, dtype=torch.int64), prefix)


@each_processor
def test_identity_parameters_change_no_bit(example: ProcessorExample) -> None:  # law 2
    unchanged = True
    for dtype in (torch.float16, torch.float32, torch.float64):
        logits, prefix = a_batch(dtype)
        wide = logits.float() if dtype == torch.float16 else logits
        unchanged = unchanged and torch.equal(apply(example.processor, logits, prefix), wide)
    assert unchanged == example.identity


@each_processor
def test_a_processor_works_on_its_own_in_any_shape(example: ProcessorExample) -> None:
    logits, prefix = a_batch()
    if example.needs_prefix or example.draws:
        with pytest.raises(ValueError, match="depends on the ids so far" if example.needs_prefix else "tosses a coin"):
            example.processor(logits)
        with pytest.raises(ValueError, match="one row of logits for each" if example.needs_prefix else "tosses a coin"):
            example.processor(logits.reshape(2, 3, VOCABULARY), prefix)
        return
    flat = example.processor(logits)
    assert torch.equal(flat, example.processor(logits, prefix))
    assert torch.equal(example.processor(logits[0]), flat[0])  # (V,)
    assert torch.equal(example.processor(logits.reshape(2, 3, VOCABULARY)), flat.reshape(2, 3, VOCABULARY))  # (B, T, V)


# -- strategies -------------------------------------------------------------------------------------------------------


SOURCE = memoised(TableModel.random(VOCABULARY, 64, seed=11))


def a_model(shift: float = 0.0) -> ShownTable:
    """Different logits after every prefix, multiples of 1/64, so that ties occur and shifts are exact."""
    return ShownTable(VOCABULARY, 64, rounded(SOURCE, 64).logits_after, shift)


def run(
    strategy: Strategy, model: LanguageModel | None = None, prompts: Sequence[Sequence[int]] = PROMPTS
) -> list[GeneratedIds]:
    return generate_ids(model or a_model(), prompts, strategy, max_new_tokens=6, eos_id=0, seed=5, num_samples=2)


@each_strategy
def test_rows_are_strangers_to_a_strategy(example: StrategyExample) -> None:  # laws 5 and 7: batched = single
    result = run(example.strategy)
    alone = [one for prompt in PROMPTS for one in run(example.strategy, prompts=[prompt])]
    assert alone == result  # ids and log-probabilities, bit for bit
    assert run(example.strategy, prompts=[[8, 8, 8, 8, 8, 8], *PROMPTS])[2:] == result
    order = [3, 0, 4, 2, 1]
    permuted = run(example.strategy, prompts=[PROMPTS[number] for number in order])
    assert permuted == [result[2 * number + sample] for number in order for sample in (0, 1)]


@each_strategy
def test_equal_prompts_give_equal_texts_and_samples_differ(example: StrategyExample) -> None:  # law 6
    result = run(example.strategy)
    assert result[0:2] == result[6:8]  # prompts 0 and 3 are equal
    if example.deterministic:
        assert [one.ids for one in result[0::2]] == [one.ids for one in result[1::2]]
    elif example.strategy == Sample():
        assert [one.ids for one in result[0::2]] != [one.ids for one in result[1::2]]


@each_strategy
def test_a_strategy_sees_only_differences_of_logits(example: StrategyExample) -> None:
    """Sums are exact (multiples of 1/64); 1e-12 is what a logarithm of probabilities loses."""
    if not example.shift_invariant:
        assert run(example.strategy) != run(example.strategy, a_model(shift=64.0))
        return
    for here, there in zip(run(example.strategy), run(example.strategy, a_model(shift=64.0)), strict=True):
        assert here.ids == there.ids
        assert here.model_logprobs == pytest.approx(there.model_logprobs, abs=1e-12)
        assert here.processed_logprobs == pytest.approx(there.processed_logprobs, abs=1e-12)


@each_strategy
def test_a_cache_changes_nothing(example: StrategyExample) -> None:  # law 7
    if example.needs_layers:
        return  # Uncached shows no hidden states; the strategy's own tests compute everything anew
    assert run(example.strategy, Uncached(a_model())) == run(example.strategy)


@each_strategy
def test_prompts_are_not_changed(example: StrategyExample) -> None:  # law 11
    prompts = [list(prompt) for prompt in PROMPTS]
    result = run(example.strategy, prompts=prompts)
    result[0].prompt_ids.append(7)
    assert prompts == PROMPTS


@each_strategy
def test_the_seed_decides_everything(example: StrategyExample) -> None:  # laws 4 and 6
    def ids(seed: int) -> list[list[int]]:
        return [one.ids for one in generate_ids(a_model(), PROMPTS, example.strategy, max_new_tokens=6, seed=seed)]

    assert ids(3) == ids(3)
    if example.deterministic:
        assert ids(3) == ids(4)


@each_strategy
def test_the_logits_of_the_model_are_not_changed(example: StrategyExample) -> None:  # law 11
    if example.needs_layers:
        return  # logits come from the head, and are nobody else's
    model = Lending(a_model())
    assert run(example.strategy, model) == run(example.strategy)
    same = [torch.allclose(tensor, copy, rtol=0, atol=0, equal_nan=True) for tensor, copy in model.lent]
    assert len(same) > 1 and all(same)


def test_a_processor_that_writes_into_its_argument_is_noticed() -> None:
    class Writing(TopP):
        def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
            return logits.masked_fill_(super().process(logits, prefix) == -torch.inf, -torch.inf)

    model = Lending(a_model())
    expected = [one.ids for one in run(Sample(TopP(0.6)))]
    assert [one.ids for one in run(Sample(Writing(0.6)), model)] == expected  # the texts do not tell
    assert not all(torch.equal(tensor, copy) for tensor, copy in model.lent)


@each_strategy
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_of_half_precision_is_one_of_float32_with_the_same_logits(
    example: StrategyExample, dtype: torch.dtype
) -> None:  # law 11
    half = ShownTable(VOCABULARY, 64, lambda ids: SOURCE.logits_after(ids).to(dtype))
    wide = ShownTable(VOCABULARY, 64, lambda ids: SOURCE.logits_after(ids).to(dtype).float())
    assert run(example.strategy, half) == run(example.strategy, wide)


@pytest.mark.parametrize("example", [one for one in PROCESSORS if one.identity], ids=lambda one: repr(one.processor))
def test_identity_parameters_change_no_text(example: ProcessorExample) -> None:  # law 2
    """Not a bit of the logarithms either, wherever they stand in a chain."""
    for chain in ((), (TopP(0.9), FrequencyPenalty(0.3))):
        expected = run(Sample(*chain))
        assert run(Sample(example.processor, *chain)) == expected
        assert run(Sample(*chain, example.processor)) == expected


# -- rows that leave early --------------------------------------------------------------------------------------------

LOOKING_BACK: list[Strategy] = [
    Sample(Mirostat(1.5, 2.0)),
    Sample(Mirostat(0.5, 2.0, version=1)),
    Sample(XTC(0.1, 0.5)),
    Sample(XTC(0.2, 0.4), Mirostat(2.0, 1.0), FrequencyPenalty(0.4)),
    Sample(RepetitionPenalty(1.5)),
    Sample(PresencePenalty(0.5, window=4, include_prompt=True), Mirostat(2.0, 1.0)),
    Sample(NoRepeatNGram(2), DRY(0.8, allowed_length=1)),
]
RAGGED = [[3, 1, 4, 1, 5, 9, 2, 6], [7], [2, 7, 1, 8], [1, 6, 1, 8, 1, 6], [5, 7], [3, 1, 4, 1, 5, 9, 2]]


def of_different_lengths(strategy: Strategy, prompts: Sequence[Sequence[int]]) -> list[GeneratedIds]:
    return generate_ids(a_model(), prompts, strategy, max_new_tokens=12, eos_id=0, seed=7, num_samples=3)


@pytest.mark.parametrize("strategy", LOOKING_BACK, ids=repr)
def test_who_stays_is_not_disturbed_by_who_leaves(strategy: Strategy) -> None:  # laws 5 and 7
    """Ids and logarithms, bit for bit, of rows that end in different steps."""
    together = of_different_lengths(strategy, RAGGED)
    assert len({len(one.ids) for one in together}) >= 4
    assert together == [one for prompt in RAGGED for one in of_different_lengths(strategy, [prompt])]
    order = [4, 0, 5, 2, 1, 3]
    permuted = of_different_lengths(strategy, [RAGGED[number] for number in order])
    assert permuted == [together[3 * number + sample] for number in order for sample in range(3)]


def test_memories_that_stay_behind_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: when rows leave, those that stay get the memories of the first rows."""
    batch = decoding.strategies.one_path._Batch
    select = batch.select

    def wrong(self: decoding.strategies.one_path._Batch, kept: Sequence[int]) -> None:
        states = self.states
        select(self, kept)
        self.states = [tuple(part[: len(kept)] for part in state) for state in states]

    strategy = LOOKING_BACK[0]
    expected = of_different_lengths(strategy, RAGGED)
    monkeypatch.setattr(batch, "select", wrong)
    assert of_different_lengths(strategy, RAGGED) != expected


# -- the same through the network -------------------------------------------------------------------------------------

STORY_PROMPTS = [[7454, 2402, 257, 640], [464, 1310, 2933, 3114], [1135, 547]]
NETWORK_NOISE = 1e-4  # float32 logits of the bundled model move by less than this from batch to batch


@pytest.fixture(scope="module")
def story_logits(storybook: GPT2) -> Tensor:
    return storybook.open().extend(*ragged(STORY_PROMPTS))[:, -1]


def test_how_far_a_batch_moves_the_logits_of_the_network(storybook: GPT2, story_logits: Tensor) -> None:
    for r, prompt in enumerate(STORY_PROMPTS):
        alone = storybook.open().extend(*ragged([prompt]))[0, -1]
        assert float((alone - story_logits[r]).abs().max()) < NETWORK_NOISE


@each_strategy
def test_batch_and_cache_change_no_id_through_the_network(example: StrategyExample, storybook: GPT2) -> None:
    """Laws 5 and 7. The winner of every step must lead by more than NETWORK_NOISE where ids are compared."""

    def story(model: GPT2 | Uncached, prompts: list[list[int]]) -> list[GeneratedIds]:
        return generate_ids(model, prompts, example.strategy, max_new_tokens=4, seed=2, trace=True)

    batched = story(storybook, STORY_PROMPTS)
    single = [one for prompt in STORY_PROMPTS for one in story(storybook, [prompt])]
    uncached = batched if example.needs_layers else story(Uncached(storybook), STORY_PROMPTS)
    for here, *others in zip(batched, single, uncached, strict=True):
        assert lead(example, here) > 10 * NETWORK_NOISE  # holds for these prompts and this seed; else choose others
        for other in others:
            # a code of arithmetic sampling magnifies noise by 1 / p of the ids before: the first one alone is certain
            end = 1 if isinstance(example.strategy, ArithmeticSampling) else None
            assert other.ids[:end] == here.ids[:end]
            assert other.model_logprobs[:end] == pytest.approx(here.model_logprobs[:end], abs=10 * NETWORK_NOISE)


def lead(example: StrategyExample, generation: GeneratedIds) -> float:
    """By how much the winner of a step led, at the closest step: what is compared is logits, for samples with noise.

    At the edge of a truncation an id may come or go by rounding; it matters only if it wins. Of what was searched for,
    by how much the best score led. How near draws among several were, codes to their borders, coins to a probability or
    scores of contrastive search to each other, is not told: the seed is one with which none is too near.
    """
    if isinstance(example.strategy, (ArithmeticSampling, Drawn, BlockVerification, ContrastiveSearch)):
        return float("inf")
    if isinstance(example.strategy, Speculative) and not example.deterministic:
        return float("inf")
    if generation.search is not None:
        others = [one.score or 0.0 for one in generation.candidates if one.ids != generation.ids]
        return min((abs((generation.score or 0.0) - score) for score in others), default=float("inf"))
    closest = float("inf")
    for step, trace in enumerate(generation.trace):
        logits = trace.stages[-1].logits[None].double()  # (1, V)
        if not example.deterministic:
            so_far = [*generation.prompt_ids, *generation.ids[:step]]
            prefix = Prefix.of([so_far])._replace(prompt_lengths=torch.tensor([len(generation.prompt_ids)]))
            logits = logits + gumbel_noise(generation.seed, prefix, logits.shape[-1])
        best, second = logits.topk(2).values[0].tolist()
        closest = min(closest, best - second)
    return closest


def gumbel_noise(seed: int, prefix: Prefix, n_vocab: int) -> Tensor:
    u = Gumbel(seed).uniform(n_vocab, Purpose.TOKEN, prefix)  # (1, V): the noise of id i is the i-th
    return -(-u.log()).log()
