"""Best of n, minimum Bayes risk and majority vote: against `Sample`, plain Python, and the law of all draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pytest
import torch

from decoding import (
    XTC,
    FrequencyPenalty,
    GeneratedIds,
    Hypothesis,
    Mirostat,
    Processor,
    Sample,
    TableModel,
    Temperature,
    TopK,
    generate_ids,
    law,
)
from decoding.strategies.best_of_n import BestOfN, mean_model_logprob, sum_model_logprob
from decoding.strategies.drawn import Drawn
from decoding.strategies.majority_vote import MajorityVote, whole_text
from decoding.strategies.minimum_bayes_risk import MinimumBayesRisk, ngram_f
from tests.decoding.models import memoised

Ids = tuple[int, ...]
MODEL = memoised(TableModel.random(4, 12, 3, scale=1.0))
PROMPTS = [[1, 2], [0], [3, 3, 2]]
CHAINS: list[tuple[Processor, ...]] = [
    (),
    (Temperature(0.7), TopK(3)),
    (XTC(0.1, 0.5), Mirostat(1.0, 0.5), FrequencyPenalty(0.4)),
]


def text(*ids: int, logprobs: Sequence[float] = ()) -> Hypothesis:
    return Hypothesis(ids, tuple(logprobs), tuple(logprobs), "length", 0.0)


def last_id(one: Hypothesis) -> int:
    return one.ids[-1]


def parity(one: Hypothesis) -> str | None:
    """None for the texts that begin with 2."""
    return None if one.ids[0] == 2 else "odd" if sum(one.ids) % 2 else "even"


ALL_THREE: list[Callable[..., Drawn]] = [BestOfN, MinimumBayesRisk, MajorityVote]


def essence(one: GeneratedIds) -> tuple[Any, ...]:
    return one.ids, one.model_logprobs, one.processed_logprobs, one.finish_reason, one.score


# -- drawing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ALL_THREE)
@pytest.mark.parametrize("processors", CHAINS, ids=repr)
def test_with_one_text_there_is_nothing_to_choose(
    strategy: Callable[..., Drawn], processors: tuple[Processor, ...]
) -> None:
    options: Any = {"max_new_tokens": 5, "eos_id": 0, "seed": 11, "num_samples": 3, "trace": True}
    chosen = generate_ids(MODEL, PROMPTS, strategy(*processors, n=1), **options)
    samples = generate_ids(MODEL, PROMPTS, Sample(*processors), **options)
    for one, sample in zip(chosen, samples, strict=True):
        assert essence(one)[:-1] == essence(sample)[:-1] and one.sample == sample.sample
        assert [step.chosen for step in one.trace] == one.ids
        assert [stage.entropy for step in one.trace for stage in step.stages] == [
            stage.entropy for step in sample.trace for stage in step.stages
        ]


@pytest.mark.parametrize("strategy", ALL_THREE)
def test_texts_are_those_that_sample_draws(strategy: Callable[..., Drawn]) -> None:
    """Row `sample` chooses among the samples number 4 sample to 4 sample + 3, and tells of all of them."""
    n, rows = 4, 3
    options: Any = {"max_new_tokens": 5, "eos_id": 0, "seed": 5}
    chosen = generate_ids(MODEL, PROMPTS, strategy(*CHAINS[2], n=n), num_samples=rows, **options)
    samples = generate_ids(MODEL, PROMPTS, Sample(*CHAINS[2]), num_samples=n * rows, **options)
    for row, one in enumerate(chosen):
        own = samples[n * row : n * row + n]
        assert sorted(candidate.ids for candidate in one.candidates) == sorted(sample.ids for sample in own)
        assert one.search is not None and one.search.evaluations == sum(len(sample.ids) for sample in own)
        scores = [candidate.score for candidate in one.candidates]
        assert scores == sorted(scores, key=lambda score: -(score or 0.0)) and one.score == scores[0]
        assert essence(one) == essence(one.candidates[0])
    assert len({tuple(sample.ids) for sample in samples}) > 10  # so that it matters which are whose


@pytest.mark.parametrize("strategy", ALL_THREE)
def test_rows_are_strangers(strategy: Callable[..., Drawn]) -> None:  # law 5
    options: Any = {"max_new_tokens": 4, "eos_id": 0, "seed": 2}
    together = generate_ids(MODEL, PROMPTS, strategy(n=5), num_samples=2, **options)
    for number, prompt in enumerate(PROMPTS):
        alone = generate_ids(MODEL, [prompt], strategy(n=5), num_samples=2, **options)
        assert list(map(essence, alone)) == list(map(essence, together[2 * number : 2 * number + 2]))


def test_a_prompt_that_leaves_no_room_is_a_text_already() -> None:
    """Nobody's function is asked about it: there is no mean of nothing."""
    full, other = generate_ids(MODEL, [[1] * 12, [1]], BestOfN(n=2), max_new_tokens=2, seed=1)
    assert (full.ids, full.finish_reason, full.score) == ([], "context", 0.0)
    assert len(full.candidates) == 2 and full.search is not None and full.search.evaluations == 0
    assert len(other.ids) == 2


# -- the law of the choice --------------------------------------------------------------------------------------------


def chosen_by(rule: Callable[[Sequence[Ids]], int], texts: dict[Ids, float], n: int) -> dict[Ids, float]:
    """The probability of every text to be chosen out of n draws, by listing all that can be drawn."""
    terms: dict[Ids, list[float]] = {}
    for drawn in itertools.product(texts, repeat=n):
        terms.setdefault(drawn[rule(drawn)], []).append(math.prod(texts[ids] for ids in drawn))
    return {ids: math.fsum(parts) for ids, parts in terms.items()}


def highest_sum(drawn: Sequence[Ids]) -> int:
    return max(range(len(drawn)), key=lambda i: sum(drawn[i]))  # max() takes the first of equals


def most_votes(drawn: Sequence[Ids]) -> int:
    answers = [parity(text(*ids)) for ids in drawn]
    return max(range(len(drawn)), key=lambda i: 0 if answers[i] is None else answers.count(answers[i]))


def most_useful(drawn: Sequence[Ids]) -> int:
    sums = [sum(plain_f(ids, other) for other in drawn) for ids in drawn]
    return sums.index(max(sums))


def plain_f(ids: Ids, other: Ids) -> Fraction:
    """Once more the mean of the F-scores for single ids and pairs, as a fraction: common ones are crossed out."""
    scores = []
    for n in (1, 2):
        one = [ids[i : i + n] for i in range(len(ids) - n + 1)]
        left = [other[i : i + n] for i in range(len(other) - n + 1)]
        both = len(one) + len(left)
        common = 0
        for ngram in one:
            if ngram in left:
                left.remove(ngram)
                common += 1
        scores.append(Fraction(2 * common, both) if both else Fraction(1))
    return sum(scores) / 2


THREE_IDS = memoised(TableModel.random(3, 12, 3, scale=1.0))


@pytest.mark.parametrize(("processors", "n"), [((), 3), ((XTC(0.2, 0.5),), 2)], ids=repr)
@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        (lambda *processors, n: BestOfN(*processors, n=n, reward=lambda one: sum(one.ids)), highest_sum),
        (lambda *processors, n: MajorityVote(*processors, n=n, answer=parity), most_votes),
        (lambda *processors, n: MinimumBayesRisk(*processors, n=n), most_useful),
    ],
    ids=["best of n", "majority vote", "minimum Bayes risk"],
)
def test_the_law_is_that_of_all_draws(
    strategy: Callable[..., Drawn], rule: Callable[[Sequence[Ids]], int], processors: tuple[Processor, ...], n: int
) -> None:
    """Within 1e-12, as `law` says."""
    texts = law(Sample(*processors), THREE_IDS, [1, 2], 2, 0)
    found = law(strategy(*processors, n=n), THREE_IDS, [1, 2], 2, 0)
    expected = chosen_by(rule, texts, n)
    assert set(found) == set(expected)
    for ids, probability in expected.items():
        assert found[ids] == pytest.approx(probability, abs=1e-12)
    chooses = any(abs(found[ids] - texts[ids]) > 0.01 for ids in found)
    assert chooses or (rule is most_useful and n == 2)  # of two texts each is as much like the other


# -- best of n --------------------------------------------------------------------------------------------------------


def test_the_built_in_rewards_prefer_other_lengths() -> None:
    short, long = text(1, logprobs=[-1.5]), text(1, 2, 3, logprobs=[-1.5, -0.25, -0.25])
    assert BestOfN(reward=sum_model_logprob).scores([short, long]) == [-1.5, -2.0]
    assert BestOfN(reward=mean_model_logprob).scores([short, long]) == pytest.approx([-1.5, -2.0 / 3.0], abs=1e-15)
    one = generate_ids(MODEL, [[1]], BestOfN(Temperature(2.0), n=6), max_new_tokens=4, seed=1)[0]
    assert (
        one.score
        == math.fsum(one.model_logprobs) / 4
        == max(  # of the model, not of what it drew from
            math.fsum(other.model_logprobs) / 4 for other in one.candidates
        )
    )
    assert one.model_logprobs != one.processed_logprobs


def test_of_equal_rewards_the_earlier_draw_is_kept() -> None:
    samples = generate_ids(MODEL, [[1]], Sample(), max_new_tokens=4, seed=3, num_samples=6)
    found = generate_ids(MODEL, [[1]], BestOfN(n=6, reward=lambda one: 1.0), max_new_tokens=4, seed=3)[0]
    assert [one.ids for one in found.candidates] == [sample.ids for sample in samples]
    assert len({tuple(sample.ids) for sample in samples}) > 3


def test_more_samples_find_likelier_texts_and_rarely_the_likeliest() -> None:
    """The mean of the log-probability of what is kept grows with n, as that of a maximum does."""
    means = []
    for n in (1, 4, 16):
        found = generate_ids(
            MODEL, [[1]], BestOfN(n=n, reward=sum_model_logprob), max_new_tokens=4, seed=3, num_samples=60
        )
        means.append(math.fsum(one.score or 0.0 for one in found) / 60)
    assert means[0] + 0.3 < means[1] and means[1] + 0.3 < means[2]


# -- minimum Bayes risk -----------------------------------------------------------------------------------------------


def random_texts(n: int, seed: int) -> list[Hypothesis]:
    """Short ones of few ids, so that some occur more than once."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 4, (n,), generator=generator).tolist()
    return [text(*torch.randint(0, 2, (length,), generator=generator).tolist()) for length in lengths]


def test_expected_utilities_are_those_of_plain_python() -> None:
    """Within 1e-12 of fractions, for ten texts of which some are equal; and the utility is what it says."""
    for seed in range(30):
        texts = random_texts(10, seed)
        found = MinimumBayesRisk(n=10).scores(texts)
        expected = [sum(plain_f(one.ids, other.ids) for other in texts) / 10 for one in texts]
        assert found == pytest.approx(list(map(float, expected)), abs=1e-12)
        for one, other in itertools.product(texts, repeat=2):
            assert 0.0 <= ngram_f(one, other) == ngram_f(other, one) <= 1.0
            assert (ngram_f(one, other) == 1.0) >= (one.ids == other.ids)
    assert ngram_f(text(1, 2), text(1, 3)) == 0.25  # one of two ids on either side, and no pair
    assert ngram_f(text(1, 1, 1), text(1)) == pytest.approx((2 / 4 + 0) / 2)  # 1 counts as often as in both


def test_repeated_draws_count_as_often_as_they_occur() -> None:
    """Counted once each, as a set has them, another text would be kept."""
    texts = [text(1, 2, 3), text(1, 2, 4), text(1, 2, 5), text(7, 8), text(7, 8), text(7, 8)]
    scores = MinimumBayesRisk(n=6).scores(texts)
    assert scores.index(max(scores)) == 3
    different = list(dict.fromkeys(texts))
    scores = MinimumBayesRisk(n=4).scores(different)
    assert scores.index(max(scores)) == 0


def test_a_text_is_its_own_reference_once() -> None:
    """With a utility that is 1 for equal texts this changes no choice; with one that is not, long texts gain."""

    def common(one: Hypothesis, other: Hypothesis) -> float:
        return float(len(set(one.ids) & set(other.ids)))

    def without(texts: list[Hypothesis], utility: Callable[[Hypothesis, Hypothesis], float]) -> list[float]:
        n = len(texts)
        return [sum(utility(texts[i], texts[j]) for j in range(n) if j != i) / (n - 1) for i in range(n)]

    for seed in range(30):
        texts = random_texts(10, seed)
        scores, others = MinimumBayesRisk(n=10).scores(texts), without(texts, ngram_f)
        assert scores == pytest.approx([(9 * other + 1.0) / 10 for other in others], abs=1e-12)  # in the same order

    texts = [text(1, 2), text(1, 2, 4), text(1, 2), text(5, 6, 7, 8, 9, 1)]
    scores, others = MinimumBayesRisk(n=4, utility=common).scores(texts), without(texts, common)
    assert scores == [7 / 4, 8 / 4, 7 / 4, 9 / 4] and scores.index(max(scores)) == 3
    assert others == [5 / 3, 5 / 3, 5 / 3, 3 / 3]  # the last one is like no other


def test_the_utility_is_told_the_text_first_and_then_the_reference() -> None:
    def precision(one: Hypothesis, reference: Hypothesis) -> float:
        return sum(id in reference.ids for id in one.ids) / len(one.ids)

    texts = [text(1, 2, 3, 4), text(1), text(1, 2)]
    expected = [(1 + 1 / 4 + 2 / 4) / 3, 1.0, (1 + 1 / 2 + 1) / 3]
    assert MinimumBayesRisk(n=3, utility=precision).scores(texts) == pytest.approx(expected, abs=1e-15)


# -- majority vote ----------------------------------------------------------------------------------------------------


def test_the_most_frequent_answer_wins_and_the_first_of_equals() -> None:
    texts = [text(2), text(1), text(3, 1), text(5), text(2, 1), text(4)]
    assert MajorityVote(answer=parity).scores(texts) == [0.0, 2.0, 2.0, 2.0, 0.0, 2.0]
    assert MajorityVote().scores([text(1), text(2), text(1), text(1, 1)]) == [2.0, 1.0, 2.0, 1.0]

    for seed in range(20):
        samples = generate_ids(MODEL, [[1]], Sample(), max_new_tokens=3, seed=seed, num_samples=7)
        found = generate_ids(MODEL, [[1]], MajorityVote(n=7, answer=last_id), max_new_tokens=3, seed=seed)[0]
        answers = [sample.ids[-1] for sample in samples]
        first = min(range(7), key=lambda i: (-answers.count(answers[i]), i))
        assert found.ids == samples[first].ids and found.score == answers.count(answers[first])


def test_texts_without_an_answer_have_no_vote() -> None:
    def seldom(one: Hypothesis) -> int | None:
        return one.ids[-1] if one.ids[0] == 2 else None

    won = 0
    for seed in range(10):
        samples = generate_ids(MODEL, [[1]], Sample(), max_new_tokens=3, seed=seed, num_samples=8)
        found = generate_ids(MODEL, [[1]], MajorityVote(n=8, answer=seldom), max_new_tokens=3, seed=seed)[0]
        having = [sample for sample in samples if sample.ids[0] == 2]
        assert found.ids in [sample.ids for sample in having or samples[:1]]  # where none has one, the first is kept
        assert (found.score == 0.0) == (not having)
        won += bool(having) and len(having) < 4  # the others, who are more, did not outvote them
    assert won


# -- what they refuse -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "sentence"),
    [
        (BestOfN(n=2, reward=lambda one: math.nan), "the reward of text 0 is a number, such as 0.5; got nan"),
        (BestOfN(n=2, reward=lambda one: "good"), "the reward of text 0 is a number, such as 0.5; got 'good'"),  # type: ignore[arg-type, return-value]
        (BestOfN(n=2, reward=lambda one: None), "the reward of text 0 is a number, such as 0.5; got None"),  # type: ignore[arg-type, return-value]
        (
            MinimumBayesRisk(n=2, utility=lambda one, other: math.nan),
            "the utility of text 0 with text 0 as its reference is a number, such as 0.5; got nan",
        ),
        (
            MinimumBayesRisk(n=2, utility=lambda one, other: -math.inf),
            "the utility of text 0 with text 0 as its reference is a finite number, as a mean is taken; got -inf",
        ),
        (
            MajorityVote(n=2, answer=lambda one: list(one.ids)),  # type: ignore[arg-type, return-value]
            r"the answer of text 0 has to be hashable, such as a number or a text, .* got \[1, 1\]",
        ),
        (MajorityVote(n=2, answer=lambda one: math.nan), "the answer of text 0 has to be equal to itself .* got nan"),
    ],
)
def test_what_a_users_function_must_not_return(strategy: Drawn, sentence: str) -> None:
    model = TableModel.bigram(torch.tensor([[0.0, 100.0]] * 2), 8)  # writes 1
    with pytest.raises(ValueError, match=sentence):
        generate_ids(model, [[0]], strategy, max_new_tokens=2, seed=1)


def test_rewards_may_be_infinite_or_a_yes_or_no() -> None:
    for reward, best in ((lambda one: one.ids[-1] == 2, 1.0), (lambda one: math.inf, math.inf)):
        found = generate_ids(MODEL, [[1]], BestOfN(n=12, reward=reward), max_new_tokens=2, seed=4)[0]
        assert found.score == best and isinstance(found.score, float)


def test_what_they_refuse() -> None:
    for strategy in ALL_THREE:
        for n in (0, -3, 2.0, True, "4"):
            with pytest.raises(ValueError, match="n is how many texts to draw for each row, at least 1; got"):
                strategy(n=n)
    with pytest.raises(ValueError, match="reward is a function of a Hypothesis, such as mean_model_logprob; got 3"):
        BestOfN(reward=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="utility is a function of a Hypothesis and another, its reference"):
        MinimumBayesRisk(utility=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="answer is a function of a Hypothesis, such as whole_text; got 'x'"):
        MajorityVote(answer="x")  # type: ignore[arg-type]
    assert repr(BestOfN(TopK(3), n=4, reward=sum_model_logprob)) == "BestOfN(TopK(3), n=4, reward=sum_model_logprob)"
    assert MajorityVote(answer=whole_text) == MajorityVote() != MajorityVote(n=3)
