"""Stochastic beam search against sampling without replacement, enumerated; and the estimates that it is for.

Seeds are fixed. A correct draw would fail one of the statistical tests with a probability of 1e-6; `pytest -s` shows
the p-values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from functools import cache
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import (
    XTC,
    BanSequences,
    BeamSearch,
    ExactSearch,
    GeneratedIds,
    Gumbel,
    Limits,
    Mirostat,
    Multinomial,
    NoRepeatNGram,
    Prefix,
    Purpose,
    Sample,
    TableModel,
    Temperature,
    Tokenizer,
    TopP,
    generate,
    generate_ids,
    law,
    stream,
)
from decoding.significance import SIGNIFICANCE, binomial_test, g_test
from decoding.strategies import stochastic_beam
from decoding.strategies.stochastic_beam import StochasticBeamSearch, conditioned
from decoding.without_replacement import estimate, inclusion_law, inclusion_probabilities, ordered_law
from gpt2 import GPT2
from tests.decoding.models import SMALL, SMALL_PROMPT

EOS = 2
STEPS = 2
RUNS = 400
MORE_RUNS = 600  # where a mutant is to be told apart
LAW = law(Sample(), SMALL, SMALL_PROMPT, STEPS, EOS)  # 13 texts
N = len(LAW)
SIGMAS = 4.9  # a normal variable is further out with a probability of 1e-6


def run(strategy: Any, runs: int = RUNS, draw: Any = Multinomial, seed: int = 1, **limits: Any) -> list[GeneratedIds]:
    """Many samples of one prompt. `Multinomial` is the fastest with rows as short as these."""
    limits = {"max_new_tokens": STEPS, "eos_id": EOS} | limits
    return generate_ids(SMALL, [SMALL_PROMPT], strategy, seed=seed, draw=draw, num_samples=runs, **limits)


@cache
def results(k: int, draw: Any = Multinomial) -> list[GeneratedIds]:
    return run(StochasticBeamSearch(k=k), draw=draw)


def texts(result: GeneratedIds) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(one.ids) for one in result.candidates)


def check(p: float, what: str) -> None:
    print(f"{p:<10.3g} {what}")
    assert p > SIGNIFICANCE


# -- the law ----------------------------------------------------------------------------------------------------------


def p_value_of_order(drawn: Sequence[GeneratedIds], k: int) -> float:
    """How surprising the first k of the candidates are, with their order."""
    expected = ordered_law(LAW, k)
    counts = Counter(texts(one)[:k] for one in drawn)
    return 0.0 if counts.keys() - expected else g_test([counts[row] for row in expected], list(expected.values()))


def p_values_of_inclusion(drawn: Sequence[GeneratedIds], k: int) -> dict[tuple[int, ...], float]:
    counts = Counter(text for one in drawn for text in texts(one)[:k])
    return {text: binomial_test(counts[text], len(drawn), p) for text, p in inclusion_law(LAW, k).items()}


def test_the_law_without_replacement_by_hand() -> None:
    half = {(0,): 0.5, (1,): 0.3, (2,): 0.2}
    found = ordered_law(half, 2)
    assert found[(0,), (1,)] == pytest.approx(0.5 * 0.3 / 0.5) and found[(2,), (1,)] == pytest.approx(0.2 * 0.3 / 0.8)
    assert len(found) == 6 and math.fsum(found.values()) == pytest.approx(1.0)
    assert inclusion_law(half, 1) == pytest.approx(half)
    assert inclusion_law(half, 2)[0,] == pytest.approx(0.5 + 0.3 * 0.5 / 0.7 + 0.2 * 0.5 / 0.8)
    assert inclusion_law(half, 5) == pytest.approx(dict.fromkeys(half, 1.0))


@pytest.mark.parametrize("draw", [Gumbel, Multinomial])
def test_candidates_are_drawn_without_replacement(draw: Any) -> None:
    for k in (1, 2, 3):
        check(p_value_of_order(results(3, draw), k), f"the first {k}, in order, by {draw.__name__}")
        included = p_values_of_inclusion(results(3, draw), k)
        check(min(included.values()), f"the most surprising of {N} texts among them")


def test_scores_are_independent_gumbel_variables() -> None:
    """All texts' at once, each behind its own log-probability: uniform in ten parts, each pair in four by four."""
    noise = {text: torch.empty(RUNS, dtype=torch.float64) for text in LAW}
    for r, result in enumerate(results(N)):
        for one in result.candidates:
            assert one.score is not None
            noise[tuple(one.ids)][r] = one.score - math.fsum(one.processed_logprobs)
    u = {text: (-(-values).exp()).exp() for text, values in noise.items()}  # (RUNS,)
    parts = [(values * 10).long().bincount(minlength=10).tolist() for values in u.values()]
    check(min(g_test(counts, [0.1] * 10) for counts in parts), f"the most surprising of {N} scores")
    pairs = [(one * 4).long() * 4 + (other * 4).long() for one, other in combinations(u.values(), 2)]
    ps = [g_test(pair.bincount(minlength=16).tolist(), [1 / 16] * 16) for pair in pairs]
    check(min(ps), f"the most surprising of {len(pairs)} pairs of scores")


@pytest.mark.parametrize("chain", [(Temperature(1.8), Mirostat(1.0, 0.3))], ids=repr)
def test_the_text_of_a_row_has_the_law_of_a_sample(chain: tuple[Any, ...]) -> None:
    strategy = StochasticBeamSearch(*chain, k=2)
    expected = law(strategy, SMALL, SMALL_PROMPT, 3, EOS)
    assert expected == law(Sample(*chain), SMALL, SMALL_PROMPT, 3, EOS)
    counts = Counter(tuple(one.ids) for one in run(strategy, max_new_tokens=3))
    assert not counts.keys() - expected
    check(g_test([counts[text] for text in expected], list(expected.values())), f"{strategy}")


class Shared(Multinomial):
    """All hypotheses of a row have the same noise."""

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        rows = len(prefix.samples)
        return super().uniform(n, purpose, prefix.select(torch.tensor([0]))).expand(rows, n)


MUTANTS: dict[str, tuple[int, Any]] = {
    "children that are not conditioned": (1, lambda noisy, best: noisy),
    "children that are moved as one": (2, lambda noisy, best: noisy - noisy.amax(-1, keepdim=True) + best),
    "children of the opposite order": (2, lambda noisy, best: conditioned(-noisy, best)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_rule_has_another_law(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    k, mutant = MUTANTS[name]
    monkeypatch.setattr(stochastic_beam, "conditioned", mutant)
    p = p_value_of_order(run(StochasticBeamSearch(k=k), MORE_RUNS), k)
    print(f"{p:<10.3g} {name}")
    assert p < SIGNIFICANCE


def test_noise_that_hypotheses_share_has_another_law() -> None:
    p = p_value_of_order(run(StochasticBeamSearch(k=2), MORE_RUNS, Shared), 2)
    print(f"{p:<10.3g} noise that is shared")
    assert p < SIGNIFICANCE


def test_no_two_hypotheses_have_the_same_noise(monkeypatch: pytest.MonkeyPatch) -> None:  # law 6
    """Of any sample. If the ids were added up instead of hashed, some would."""

    class Noting(Gumbel):
        def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
            u = super().uniform(n, purpose, prefix)
            seen.extend(u[:, 0].tolist())
            return u

    seen: list[float] = []
    found = run(StochasticBeamSearch(k=N), 20, Noting)
    assert len(seen) == len(set(seen)) == sum(one.search.evaluations for one in found if one.search) + 20  # the roots
    seen.clear()
    monkeypatch.setattr(stochastic_beam, "mix", lambda x: x)
    run(StochasticBeamSearch(k=N), 20, Noting)
    assert len(seen) > len(set(seen))


# -- the search -------------------------------------------------------------------------------------------------------


def test_a_smaller_k_finds_the_first_of_a_larger_one() -> None:
    """Bit for bit, as k = N prunes nothing; and the bound is the score of the best that is left out."""
    (everything,) = run(StochasticBeamSearch(k=N), 1, Gumbel, max_new_tokens=3)
    everything_found = run(StochasticBeamSearch(k=1000), 30, Gumbel, max_new_tokens=3)
    for k in (1, 2, 3, 7, 25):
        for few, all_of_them in zip(
            run(StochasticBeamSearch(k=k), 30, Gumbel, max_new_tokens=3), everything_found, strict=True
        ):
            assert few.candidates == all_of_them.candidates[:k]
            assert few.search is not None and few.search.bound == all_of_them.candidates[k].score
    assert everything.candidates == everything_found[0].candidates[:N]
    assert (
        {len(one.candidates) for one in everything_found} == {len(law(Sample(), SMALL, SMALL_PROMPT, 3, EOS))} == {40}
    )
    assert {one.search.bound for one in everything_found if one.search} == {-math.inf}


def exactly(noisy: Sequence[float], best: float) -> list[float]:
    """The formula as it stands, in decimal numbers of 60 digits."""
    with localcontext() as context:
        context.prec = 60
        Z, top = Decimal(max(noisy)), Decimal(best)
        return [float(-((-top).exp() - (-Z).exp() + (-Decimal(one)).exp()).ln()) for one in noisy]


def as_it_stands(noisy: Tensor, best: Tensor) -> Tensor:
    """The formula without its stable form."""
    return -((-best).exp() - (-noisy.amax(dim=-1, keepdim=True)).exp() + (-noisy).exp()).log()


def without_clamp(noisy: Tensor, best: Tensor) -> Tensor:
    """log(1 + exp(-v)) without regard to the sign of v."""
    v = best - noisy + (-(noisy - noisy.amax(dim=-1, keepdim=True)).expm1()).log()
    return best - v - (-v).exp().log1p()


MODERATE = [([0.3, -1.0, 2.0], 0.5), ([5.0, 4.999999, -30.0], -3.0), ([-500.0, -503.0], -498.0)]
FAR_OUT = [([-1000.0, -1040.0], -990.0), ([1000.0, 960.0], 1010.0)]


@pytest.mark.parametrize(("noisy", "best"), MODERATE + FAR_OUT, ids=repr)
def test_conditioning_is_the_formula(noisy: list[float], best: float) -> None:
    """Relative tolerance 1e-12. As it stands the formula overflows far out; the best child needs the clamp always."""
    tensors = torch.tensor([noisy], dtype=torch.float64), torch.tensor([[best]], dtype=torch.float64)
    expected = exactly(noisy, best)
    assert conditioned(*tensors)[0].tolist() == pytest.approx(expected, rel=1e-12)
    assert float(conditioned(*tensors).max()) == best  # to the last bit
    assert (as_it_stands(*tensors)[0].tolist() == pytest.approx(expected, rel=1e-12)) == ((noisy, best) in MODERATE)
    assert not math.isfinite(float(without_clamp(*tensors)[0, noisy.index(max(noisy))]))


def test_removed_ids_stay_removed() -> None:
    noisy = torch.tensor([[-math.inf, 1.0, -math.inf], [-math.inf] * 3], dtype=torch.float64)
    found = conditioned(noisy, torch.tensor([[0.5], [0.5]], dtype=torch.float64))
    assert found.tolist() == [[-math.inf, 0.5, -math.inf], [-math.inf] * 3]


def test_texts_of_tiny_probability_have_a_place_in_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probabilities of 0, -500, -1000 and -1500: all 8 texts are found, the likelier ones first."""
    unequal = TableModel(2, 8, lambda ids: torch.tensor([0.0, -500.0], dtype=torch.float64))

    def found() -> GeneratedIds:
        return generate_ids(unequal, [[0]], StochasticBeamSearch(k=8), max_new_tokens=3, seed=1)[0]

    scores = [one.score for one in found().candidates if one.score is not None]
    assert [sum(ids) for ids in texts(found())] == [0, 1, 1, 1, 2, 2, 2, 3]
    assert all(abs(score + 500 * n) < 40 for score, n in zip(scores, [0, 1, 1, 1, 2, 2, 2, 3], strict=True))
    assert inclusion_probabilities(found()) == [1.0] * 8
    monkeypatch.setattr(stochastic_beam, "conditioned", as_it_stands)
    wrong = found().candidates
    assert len(wrong) < 8 or not all(math.isfinite(one.score or 0.0) for one in wrong)


# -- estimates --------------------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[[GeneratedIds], float]] = {
    "length": lambda text: len(text.ids),
    "log-probability": lambda text: math.fsum(text.processed_logprobs),
    "the likeliest text": lambda text: tuple(text.ids) == next(iter(LAW)),
}


def mean_of(f: Callable[[GeneratedIds], float]) -> float:
    """Over all texts, weighted with their probabilities."""
    (everything,) = run(StochasticBeamSearch(k=N), 1)
    return math.fsum(LAW[tuple(one.ids)] * f(one) for one in everything.candidates)


def deviation(values: Sequence[float], expected: float) -> float:
    """Of the mean of `values` from what is expected, in standard errors."""
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return (mean - expected) / math.sqrt(variance / len(values))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_estimates_are_unbiased(name: str) -> None:
    """The mean of 400 estimates, each from 3 texts, is within 4.9 standard errors of the mean over all texts."""
    f = FUNCTIONS[name]
    errors = deviation([estimate(one, f) for one in results(3)], mean_of(f))
    print(f"{errors:+.2f} standard errors: {name}")
    assert abs(errors) < SIGMAS


def test_wrong_weights_are_biased() -> None:
    def with_the_last_score(result: GeneratedIds) -> float:
        """kappa is the score of the last candidate, not of the next one."""
        assert result.search is not None
        bound = result.candidates[-1].score
        return estimate(_with(result, search=result.search._replace(kappa=bound)), FUNCTIONS["length"])

    def without_weights(result: GeneratedIds) -> float:
        return math.fsum(map(FUNCTIONS["the likeliest text"], result.candidates)) / len(result.candidates)

    for wrong, name in ((with_the_last_score, "length"), (without_weights, "the likeliest text")):
        errors = deviation([wrong(one) for one in results(3)], mean_of(FUNCTIONS[name]))
        print(f"{errors:+.2f} standard errors: {wrong.__name__}")
        assert abs(errors) > SIGMAS


def _with(result: GeneratedIds, **changes: Any) -> GeneratedIds:
    return GeneratedIds(**vars(result) | changes)


def test_the_normalised_estimate_is_a_weighted_mean_and_varies_less() -> None:
    f = FUNCTIONS["length"]
    plain = torch.tensor([estimate(one, f) for one in results(3)], dtype=torch.float64)
    normalised = torch.tensor([estimate(one, f, normalised=True) for one in results(3)], dtype=torch.float64)
    ones = torch.tensor([estimate(one, lambda text: 1.0) for one in results(3)], dtype=torch.float64)
    assert torch.allclose(normalised, plain / ones, rtol=1e-12, atol=0)
    assert 1.0 <= float(normalised.min()) <= float(normalised.max()) <= STEPS
    print(f"standard deviations: {float(plain.std()):.3f}, normalised {float(normalised.std()):.3f}")
    assert float(normalised.std()) < float(plain.std())


def test_inclusion_probabilities_are_those_of_the_scores() -> None:
    for one in results(3)[:5]:
        assert one.search is not None and one.search.bound is not None
        for q, text in zip(inclusion_probabilities(one), one.candidates, strict=True):
            logprob = math.fsum(text.processed_logprobs)
            assert q == pytest.approx(1 - math.exp(-math.exp(logprob - one.search.bound)), rel=1e-9)


def test_with_all_texts_an_estimate_is_exact() -> None:
    (everything,) = run(StochasticBeamSearch(k=N), 1)
    assert inclusion_probabilities(everything) == [1.0] * N
    for f in FUNCTIONS.values():
        assert estimate(everything, f) == pytest.approx(mean_of(f), abs=1e-12)
        assert estimate(everything, f, normalised=True) == pytest.approx(mean_of(f), abs=1e-12)


def test_long_texts_have_weights_too() -> None:
    """600 ids of probability 1/4 each: p and q are too small for floats, and p / q tends to exp(kappa)."""
    four = TableModel(4, 700, lambda ids: torch.zeros(4))
    (found,) = generate_ids(four, [[0]], StochasticBeamSearch(k=2), max_new_tokens=600, seed=1)
    assert found.search is not None and found.search.bound is not None
    assert inclusion_probabilities(found) == [0.0, 0.0]
    assert estimate(found, lambda text: 1.0) == pytest.approx(2 * math.exp(found.search.bound), rel=1e-9)
    assert estimate(found, lambda text: len(text.ids), normalised=True) == pytest.approx(600, rel=1e-12)


def test_estimates_of_another_search_are_refused() -> None:  # law 13
    for strategy in (Sample(), BeamSearch(), ExactSearch()):
        with pytest.raises(ValueError, match="StochasticBeamSearch drew"):
            estimate(run(strategy, 1)[0], len)  # type: ignore[arg-type]


# -- ends and edges ---------------------------------------------------------------------------------------------------


def test_a_dead_end_keeps_its_place_and_is_no_candidate() -> None:
    """Behind a first 3 nothing is left: (3,) is drawn like a text. Where it comes first that is an error."""
    dead = (3,)
    ban = BanSequences([[3, id] for id in range(4)])
    strategy = StochasticBeamSearch(ban, k=2)
    p_dead = law(Sample(), SMALL, SMALL_PROMPT, 1)[dead]
    with_dead = {text: p for text, p in LAW.items() if text[0] != 3} | {dead: p_dead}
    assert math.fsum(with_dead.values()) == pytest.approx(1.0)
    expected = {row: p for row, p in ordered_law(with_dead, 2).items() if row[0] != dead}
    counts: Counter[tuple[Any, ...]] = Counter()
    errors = 0
    for seed in range(250):
        try:
            (found,) = run(strategy, 1, Gumbel, seed)
        except ValueError as error:
            assert (
                str(error)
                == f"{ban} removed every id that was left; at least one has to stay (prompt 0, sample 0, step 1)"
            )
            errors += 1
        else:
            counts[texts(found)] += 1
    check(binomial_test(errors, 250, p_dead), "the first one comes to nothing")
    rows = {tuple(text for text in row if text != dead): p / (1 - p_dead) for row, p in expected.items()}
    check(g_test([counts[row] for row in rows], list(rows.values())), "the first 2 without a dead end")


def test_the_last_hypothesis_may_come_to_nothing() -> None:
    """Where the text of the row has ended, and no other hypothesis has an id left."""
    model = TableModel(2, 8, lambda ids: torch.tensor([0.0, 5.0], dtype=torch.float64))
    found = generate_ids(
        model, [[1]], StochasticBeamSearch(BanSequences([[0, 0], [0, 1]]), k=3), max_new_tokens=3, eos_id=1, seed=1
    )
    assert found[0].ids == [1] and len(found[0].candidates) == 1


def test_a_row_without_room_has_one_text() -> None:  # law 9
    (found,) = generate_ids(TableModel.random(4, 2, seed=1), [[0, 1]], StochasticBeamSearch(k=3), max_new_tokens=2)
    assert found.finish_reason == "context" and found.search is not None and found.search.bound == -math.inf
    assert estimate(found, lambda text: 7.0) == 7.0


def test_all_ends_end_a_text() -> None:
    short = TableModel(4, len(SMALL_PROMPT) + 3, SMALL.logits_after)
    limits = Limits(None, EOS, lambda ids: list(ids[-2:]) == [1, 1])
    steps = list(StochasticBeamSearch(k=100).run(short, [SMALL_PROMPT], limits, Gumbel(1)))
    found = steps[-1].found
    assert found is not None
    for one in found.candidates:
        ends = [
            n for n in range(1, len(one.ids) + 1) if one.ids[n - 1] == EOS or one.ids[n - 2 : n] == (1, 1) or n == 3
        ]
        assert ends[0] == len(one.ids)
        stopped = "eos" if one.ids[-1] == EOS else "stop" if one.ids[-2:] == (1, 1) else "context"
        assert one.finish_reason == stopped
    assert {one.finish_reason for one in found.candidates} == {"eos", "stop", "context"}
    assert math.fsum(math.exp(math.fsum(one.processed_logprobs)) for one in found.candidates) == pytest.approx(1.0)


def test_ids_are_given_out_as_they_are_drawn() -> None:
    """The first hypothesis is the winner's from the first step on; its last id comes when the row ends."""
    limits = Limits(3, None)
    steps = list(StochasticBeamSearch(k=4).run(SMALL, [SMALL_PROMPT, [1]], limits, Gumbel(1)))
    assert [step.row for step in steps] == [0, 1, 0, 1, 0, 1]
    assert all(len(step.ids) == 1 for step in steps)
    assert [step.finish_reason for step in steps] == [None] * 4 + ["length"] * 2


def test_rows_are_strangers() -> None:  # laws 5 and 6
    strategy = StochasticBeamSearch(NoRepeatNGram(3), k=3)
    limits: dict[str, Any] = {"max_new_tokens": 4, "eos_id": EOS, "seed": 5}
    together = generate_ids(SMALL, [[1], [2, 3], [1]], strategy, num_samples=2, **limits)
    for number, prompt in enumerate([[1], [2, 3], [1]]):
        alone = generate_ids(SMALL, [prompt], strategy, num_samples=2, **limits)
        assert [one.candidates for one in alone] == [one.candidates for one in together[2 * number : 2 * number + 2]]
    assert together[0].candidates != together[1].candidates


def test_the_tree_tells_what_became_of_each() -> None:
    (found,) = run(StochasticBeamSearch(k=4), 1, Gumbel, seed=3, max_new_tokens=3, trace=True)
    assert found.search is not None
    tree = found.search.tree
    assert tree is not None and tree.winner is not None and list(tree.ids(tree.winner)) == found.ids
    ended = {tree.ids(n) for n, node in enumerate(tree) if node.fate in ("finished", "won") and not node.note}
    assert ended == set(texts(found))
    (next_one,) = [node for node in tree if node.note]
    assert next_one.score == found.search.bound
    for node in list(tree)[1:]:
        assert node.parent is not None and (node.parent == 0 or node.score <= tree[node.parent].score)
    assert (found.ids, found.candidates) == (
        (plain := run(StochasticBeamSearch(k=4), 1, Gumbel, seed=3, max_new_tokens=3)[0]).ids,
        plain.candidates,
    )


def test_through_the_network(storybook: GPT2, tokenizer: Tokenizer) -> None:
    strategy = StochasticBeamSearch(TopP(0.9), k=4)
    pieces = list(stream(storybook, tokenizer, "Once upon a time", strategy, max_new_tokens=12, seed=1, stop=["."]))
    result = pieces[-1].generation
    assert result is not None and "".join(piece.text for piece in pieces) == result.text == result.candidates[0].text
    assert len({one.text for one in result.candidates}) == 4 and not any("." in one.text for one in result.candidates)
    scores = [one.score for one in result.candidates if one.score is not None]
    assert scores == sorted(scores, reverse=True) and len(scores) == 4
    fewer = generate(
        storybook,
        tokenizer,
        "Once upon a time",
        StochasticBeamSearch(TopP(0.9), k=2),
        max_new_tokens=12,
        seed=1,
        stop=["."],
    )
    assert [one.ids for one in fewer.candidates] == [one.ids for one in result.candidates[:2]]
    assert 0 < estimate(result, lambda text: len(text.ids), normalised=True) <= 12


def test_parameters_and_what_is_refused() -> None:  # law 13
    assert repr(StochasticBeamSearch(TopP(0.9), k=3)) == "StochasticBeamSearch(TopP(0.9), k=3)"
    assert StochasticBeamSearch() == StochasticBeamSearch(k=5) != StochasticBeamSearch(k=4)
    wrong: list[Any] = [0, -1, 2.0, True, "3", None]
    for k in wrong:
        with pytest.raises(ValueError, match="k is a number of texts, at least 1"):
            StochasticBeamSearch(k=k)
    with pytest.raises(ValueError, match="tosses a coin"):
        StochasticBeamSearch(XTC(0.1, 0.5))
