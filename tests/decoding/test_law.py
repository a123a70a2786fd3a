"""`law()` against a brute-force enumeration in plain Python, for every processor, and wrong rules."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import (
    DRY,
    XTC,
    BanSequences,
    Chance,
    DynamicTemperature,
    Enumerate,
    EpsilonCutoff,
    EtaCutoff,
    Force,
    FrequencyPenalty,
    Greedy,
    LanguageModel,
    Limits,
    MinNewTokens,
    Mirostat,
    NoRepeatNGram,
    Prefix,
    PresencePenalty,
    Processor,
    Purpose,
    RepetitionPenalty,
    Sample,
    Step,
    Suppress,
    TableModel,
    TailFree,
    Temperature,
    TopH,
    TopK,
    TopNSigma,
    TopP,
    TypicalP,
    law,
)
from tests.decoding.models import SMALL, SMALL_PROMPT, SMALL_STEPS, memoised, small_law
from tests.decoding.plain_processors import PLAIN, Chain, Context, EmptiedError, Law, brute_force, ranking, softmax
from tests.registry import CHAINS, PROCESSORS, VOCABULARY, ProcessorExample, processor_classes

V = SMALL.n_vocab
EMPTYING: list[Chain] = [  # somewhere on the way nothing is left
    (NoRepeatNGram(1),),
    (Suppress([0, 1, 2, 3]),),
    (BanSequences([[0, 2], [1, 2]]), Temperature(0.7), Suppress([0, 1, 3])),
    (Force({1: 3}), TopP(0.9), BanSequences([[1, 3]])),
    (XTC(0.2, 0.4), Mirostat(1.0, 0.3), MinNewTokens(1), BanSequences([[1], [3], [0]])),
]
each_chain = pytest.mark.parametrize("chain", [*CHAINS, *EMPTYING], ids=repr)
with_and_without_eos = pytest.mark.parametrize("eos_id", [None, 2])


# -- every processor --------------------------------------------------------------------------------------------------


def distance(one: Law, other: Law) -> float:
    """By how much the probability of some text differs."""
    return max(abs(one.get(ids, 0.0) - other.get(ids, 0.0)) for ids in {*one, *other})


def test_every_processor_has_a_plain_version() -> None:
    assert set(PLAIN) >= processor_classes()


@each_chain
@with_and_without_eos
@pytest.mark.parametrize("strategy", [Sample, Greedy])
def test_the_law_is_brute_force(strategy: type[Sample] | type[Greedy], chain: Chain, eos_id: int | None) -> None:
    """1e-12 absolute, as the docstring of `law` promises for float64."""
    try:
        expected = brute_force(SMALL, SMALL_PROMPT, chain, SMALL_STEPS, eos_id, greedy=strategy is Greedy)
    except EmptiedError as emptied:
        with pytest.raises(ValueError, match=re.escape(f"{emptied} removed every id that was left")):
            small_law(strategy(*chain), eos_id)
        return
    found = small_law(strategy(*chain), eos_id)
    assert list(found.values()) == sorted(found.values(), reverse=True)  # likeliest first
    assert found.keys() == expected.keys()
    assert distance(found, expected) < 1e-12
    assert abs(math.fsum(found.values()) - 1) < 1e-12


@pytest.mark.parametrize("chain", EMPTYING, ids=repr)
def test_chains_that_leave_nothing_are_among_them(chain: Chain) -> None:
    with pytest.raises(EmptiedError):
        brute_force(SMALL, SMALL_PROMPT, chain, SMALL_STEPS, None)


@pytest.mark.parametrize("processor", [example.processor for example in PROCESSORS], ids=repr)
def test_what_follows_on_a_row_that_is_empty_takes_no_blame(processor: Processor) -> None:
    for guilty in (Suppress([0, 1, 2, 3]), BanSequences([[3, 1, id] for id in range(V)])):
        with pytest.raises(ValueError, match=re.escape(f"{guilty} removed every id that was left")):
            law(Sample(guilty, processor), SMALL, SMALL_PROMPT, 1)


@pytest.mark.parametrize("example", PROCESSORS, ids=lambda example: repr(example.processor))
def test_no_example_is_idle_on_this_table(example: ProcessorExample) -> None:
    """Otherwise the comparison would show nothing of its rule."""

    def moved(eos_id: int | None) -> float:
        laws = [brute_force(SMALL, SMALL_PROMPT, chain, SMALL_STEPS, eos_id) for chain in ((), (example.processor,))]
        return distance(*laws)

    if (example.processor,) not in EMPTYING:
        assert (max(moved(None), moved(2)) < 1e-12) == example.identity


@pytest.mark.parametrize("processor", [example.processor for example in PROCESSORS], ids=repr)
def test_one_step_is_the_plain_rule(processor: Processor) -> None:
    """On rows of more ids than a law can have, with equal ones and with some that are removed; 1e-12 as above."""
    mixed, emptied = 0, 0
    for _ in range(25):
        logits = (torch.randn(1, VOCABULARY, dtype=torch.float64) * 8).round() / 4
        logits[torch.rand(1, VOCABULARY) < 0.3] = -torch.inf
        ids = torch.randint(0, 4, (12,)).tolist()  # of few ids, so that much is repeated
        n_prompt = int(torch.randint(9, 13, ()))
        prefix = Prefix.of([ids], eos_id=0)._replace(prompt_lengths=torch.tensor([n_prompt]))
        context = Context(ids[:n_prompt], ids[n_prompt:], eos_id=0)
        outcomes = PLAIN[type(processor)](processor, logits[0].tolist(), context, None)
        if not all(ranking(outcome.logits) for outcome in outcomes):
            assert bool((processor(logits, prefix) == -torch.inf).all())
            emptied += 1
            continue
        expected = [math.fsum(one.weight * softmax(one.logits)[id] for one in outcomes) for id in range(VOCABULARY)]
        found, ways = torch.zeros(VOCABULARY, dtype=torch.float64), 0
        chance, more = Enumerate(), True
        while more:
            after, _ = processor.step(logits, prefix, processor.start(1), chance)
            found, ways = found + math.exp(chance.log_probability) * after[0].softmax(dim=-1), ways + 1
            more = chance.advance()
        mixed += ways > 1
        assert [p > 0 for p in found.tolist()] == [p > 0 for p in expected]
        assert found.tolist() == pytest.approx(expected, abs=1e-12)
    assert emptied < 25
    assert (mixed > 0) == (isinstance(processor, XTC) and processor.probability not in (0, 1))


def test_the_law_of_temperature_zero_is_greedy() -> None:  # law 1
    assert law(Sample(Temperature(0)), SMALL, SMALL_PROMPT, SMALL_STEPS) == law(
        Greedy(), SMALL, SMALL_PROMPT, SMALL_STEPS
    )


def test_the_law_knows_the_edge_of_the_context() -> None:  # law 9
    short = memoised(TableModel.random(V, 4, seed=2))
    assert {len(ids) for ids in law(Sample(), short, [1, 3], SMALL_STEPS)} == {2}
    assert law(Sample(), short, [0, 1, 2, 3], SMALL_STEPS) == {(): 1.0}


def test_equal_texts_of_different_paths_are_added_up() -> None:
    """A strategy may draw more than its ids: here a coin that nothing depends on, and an id."""

    class Indecisive(Sample):
        def run(
            self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
        ) -> Iterator[Step]:
            chance.choose(torch.tensor([[0.3, 0.7]]).log(), Purpose.COIN, Prefix.of(prompts))
            return super().run(model, prompts, limits, chance)

    found, expected = law(Indecisive(), SMALL, SMALL_PROMPT, 2), law(Sample(), SMALL, SMALL_PROMPT, 2)
    assert found.keys() == expected.keys()
    assert all(abs(found[ids] - expected[ids]) < 1e-7 for ids in found)  # the coin is float32


# -- Enumerate --------------------------------------------------------------------------------------------------------


def test_enumerate_takes_every_path_once() -> None:
    """A tree whose branches depend on earlier choices: 0 ends at once, 1 and 2 lead to different second choices."""
    first, after = torch.tensor([0.5, 0.2, 0.3]).log(), {1: torch.tensor([0.1, 0.9]).log(), 2: torch.zeros(3)}
    after[2][1] = -torch.inf
    chance, prefix, seen = Enumerate(), Prefix.of([[0]]), dict[tuple[int, ...], float]()
    while True:
        path = [int(chance.choose(first[None], Purpose.TOKEN, prefix))]
        if path[0] in after:
            path.append(int(chance.choose(after[path[0]][None], Purpose.TOKEN, prefix)))
        assert tuple(path) not in seen
        seen[tuple(path)] = math.exp(chance.log_probability)
        if not chance.advance():
            break
    assert list(seen) == [(0,), (1, 0), (1, 1), (2, 0), (2, 2)]  # in order, and never a removed choice
    assert list(seen.values()) == pytest.approx([0.5, 0.02, 0.18, 0.15, 0.15], rel=1e-6)  # probabilities are float32


def test_the_law_runs_the_strategy_once_a_path() -> None:
    runs = []

    class Counting(Sample):
        def run(
            self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
        ) -> Iterator[Step]:
            runs.append(prompts)
            return super().run(model, prompts, limits, chance)

    assert len(law(Counting(), SMALL, SMALL_PROMPT, 3)) == len(runs) == V**3


def test_a_strategy_that_draws_real_numbers_is_refused_in_words() -> None:  # law 13
    class Drawing(Sample):
        def run(
            self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
        ) -> Iterator[Step]:
            chance.uniform(1, Purpose.COIN, Prefix.of(prompts))
            return super().run(model, prompts, limits, chance)

    with pytest.raises(ValueError, match="real numbers cannot be enumerated"):
        law(Drawing(), SMALL, SMALL_PROMPT, 2)


# -- wrong rules ------------------------------------------------------------------------------------------------------


class AfterTruncation(Mirostat):
    """Takes the surprise from what it left, as llama.cpp does."""

    def step(self, logits: Tensor, prefix: Prefix, state: tuple[Tensor, ...], chance: Chance) -> Any:
        truncated, (mu, _) = super().step(logits, prefix, state, chance)
        return truncated, (mu, -truncated.log_softmax(dim=-1) / math.log(2))


class StartingAtTau(Mirostat):
    def start(self, rows: int) -> tuple[Tensor, ...]:
        mu, surprises = super().start(rows)
        return mu / 2, surprises


class WithTheLast(XTC):
    """Removes all that reach the threshold."""

    def step(self, logits: Tensor, prefix: Prefix, state: tuple[Tensor, ...], chance: Chance) -> Any:
        coin = torch.tensor([[self.probability, 1 - self.probability]], dtype=torch.float64).log()
        if int(chance.choose(coin, self.purpose, prefix)) == 0:
            logits = logits.masked_fill(logits.softmax(dim=-1) >= self.threshold, -torch.inf)
        return logits, state


class OneCoin(XTC):
    """Tosses in the first step, and does the same in all that follow."""

    def start(self, rows: int) -> tuple[Tensor, ...]:
        return (torch.zeros(rows, dtype=torch.bool),)

    def step(self, logits: Tensor, prefix: Prefix, state: tuple[Tensor, ...], chance: Chance) -> Any:
        if int(prefix.steps) == 0:
            after, _ = super().step(logits, prefix, (), chance)
            return after, ((after != logits).any(dim=-1),)
        return XTC(self.threshold, float(state[0])).process(logits, prefix), state


class WhateverTheSign(RepetitionPenalty):
    """Multiplies, and so favours, what is likely."""

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        assert prefix is not None
        return logits.scatter(1, prefix.ids, logits.gather(1, prefix.ids) * self.penalty)


class HighestOfEquals(TypicalP):
    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        return super().process(logits.flip(-1), prefix).flip(-1)


class EntropyInBits(EtaCutoff):
    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        p = logits.softmax(dim=-1)
        eta = math.sqrt(self.epsilon) * math.exp(-float(torch.special.entr(p).sum()) / math.log(2))
        return EpsilonCutoff(min(self.epsilon, eta)).process(logits, prefix)


class NotRenormalised(TopH):
    """Compares partial sums, as transformers does."""

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        partial = torch.special.entr(logits.softmax(dim=-1).sort(descending=True).values).cumsum(dim=-1)
        return TopK(max(1, int((partial <= self.alpha * partial[:, -1:]).sum()))).process(logits, prefix)


class OneMore(TopP):
    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        return TopK(int((super().process(logits, prefix) > -torch.inf).sum()) + 1).process(logits, prefix)


class OneLess(TailFree):
    """As llama.cpp does it."""

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        return TopK(max(1, int((super().process(logits, prefix) > -torch.inf).sum()) - 1)).process(logits, prefix)


class ShareOfLnV(DynamicTemperature):
    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        share = float(torch.special.entr(logits.softmax(dim=-1)).sum()) / math.log(V)
        return logits / (self.low + (self.high - self.low) * share)


class WithThePrompt(MinNewTokens):
    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        assert prefix is not None
        return super().process(logits, prefix._replace(prompt_lengths=torch.zeros_like(prefix.lengths)))


class WithinTheNewIds(BanSequences):
    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        assert prefix is not None
        new = prefix.ids[:, len(SMALL_PROMPT) :]
        return super().process(logits, prefix._replace(ids=new, lengths=prefix.steps, prompt_lengths=prefix.steps * 0))


# What a rule should be, and what it is often mistaken for.
MUTANTS: dict[str, tuple[Chain, Chain]] = {
    "Mirostat's surprise after truncation": ((Mirostat(1.5, 2.0),), (AfterTruncation(1.5, 2.0),)),
    "the same of version 1": ((Mirostat(0.5, 2.0, version=1),), (AfterTruncation(0.5, 2.0, version=1),)),
    "Mirostat's tau in nats": ((Mirostat(1.5, 2.0),), (Mirostat(1.5 / math.log(2), 2.0),)),
    "Mirostat's mu starts at tau": ((Mirostat(1.5, 2.0),), (StartingAtTau(1.5, 2.0),)),
    "Mirostat learns nothing": ((Mirostat(1.5, 2.0),), (Mirostat(1.5, 0.0),)),
    "XTC removes the last one too": ((XTC(0.2, 0.5),), (WithTheLast(0.2, 0.5),)),
    "XTC always acts": ((XTC(0.1, 0.5),), (XTC(0.1, 1.0),)),
    "XTC's coin falls to one side more often": ((XTC(0.1, 0.5),), (XTC(0.1, 0.45),)),
    "XTC tosses one coin for a text": ((XTC(0.1, 0.5),), (OneCoin(0.1, 0.5),)),
    "a repetition penalty that multiplies": ((RepetitionPenalty(1.5),), (WhateverTheSign(1.5),)),
    "the reciprocal of it": ((RepetitionPenalty(1.5),), (RepetitionPenalty(1 / 1.5),)),
    "a frequency that counts once": (
        (FrequencyPenalty(0.5, include_prompt=True),),
        (PresencePenalty(0.5, include_prompt=True),),
    ),
    "a prompt that counts": ((PresencePenalty(0.5),), (PresencePenalty(0.5, include_prompt=True),)),
    "a window one longer": (
        (FrequencyPenalty(0.5, window=2, include_prompt=True),),
        (FrequencyPenalty(0.5, window=3, include_prompt=True),),
    ),
    "n-grams one longer": ((NoRepeatNGram(2),), (NoRepeatNGram(3),)),
    "DRY allows one more": ((DRY(0.8, allowed_length=1),), (DRY(0.8, allowed_length=2),)),
    "DRY's power is one higher": ((DRY(0.8, allowed_length=1),), (DRY(0.8 * 1.75, allowed_length=1),)),
    "DRY knows no breakers": ((DRY(0.8, allowed_length=1, breakers=[1]),), (DRY(0.8, allowed_length=1),)),
    "of equally typical ids the highest": ((TypicalP(0.9),), (HighestOfEquals(0.9),)),
    "eta from an entropy in bits": ((EtaCutoff(0.2),), (EntropyInBits(0.2),)),
    "an unbiased deviation": ((TopNSigma(0.8),), (TopNSigma(0.8 * math.sqrt(V / (V - 1))),)),
    "top-h with partial sums": ((TopH(0.8),), (NotRenormalised(0.8),)),
    "a nucleus one larger": ((TopP(0.6),), (OneMore(0.6),)),
    "a head one smaller": ((TailFree(0.95),), (OneLess(0.95),)),
    "a dynamic temperature over ln V": (
        (TopK(2), DynamicTemperature(0.5, 1.5)),
        (TopK(2), ShareOfLnV(0.5, 1.5)),
    ),
    "a prompt of new ids": ((MinNewTokens(2),), (WithThePrompt(2),)),
    "steps counted from 1": ((Force({1: 3}),), (Force({0: 3}),)),
    "bans that begin behind the prompt": ((BanSequences([[3, 1, 3]]),), (WithinTheNewIds([[3, 1, 3]]),)),
    "the other order": ((Temperature(1.8), TopP(0.8)), (TopP(0.8), Temperature(1.8))),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_rule_has_another_law(name: str) -> None:
    rule, mistaken = MUTANTS[name]
    expected = brute_force(SMALL, SMALL_PROMPT, rule, SMALL_STEPS, eos_id=2)
    assert distance(small_law(Sample(*rule), 2), expected) < 1e-12
    assert distance(small_law(Sample(*mistaken), 2), expected) > 1e-3


def test_prompts_are_checked() -> None:  # law 13
    model = TableModel.random(4, 3, seed=1)
    cases: list[tuple[Any, str]] = [
        ([], "is empty"),
        ([0, 1, 2, 3], "1 more than"),
        ([4], "outside of the vocabulary"),
        ("Once", "row of whole numbers.*got 'Once'"),
        ([0.5], r"row of whole numbers.*got \[0.5\]"),
        (None, "row of whole numbers.*got None"),
    ]
    for prompt, words in cases:
        with pytest.raises(ValueError, match=words):
            law(Sample(), model, prompt, max_new_tokens=2)
