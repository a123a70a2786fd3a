"""Arithmetic sampling against intervals of the unit interval, which the texts share in the order of their ids.

Seeds are fixed. A correct draw would fail one of the statistical tests with a probability of 1e-6; `pytest -s` shows
the p-values.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import (
    XTC,
    BanSequences,
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
    TopK,
    TopP,
    generate_ids,
    law,
    stream,
)
from decoding.significance import SIGNIFICANCE, g_test
from decoding.strategies.arithmetic import ArithmeticSampling, Code, Shift, cumulative
from gpt2 import GPT2
from tests.decoding.models import SMALL, SMALL_PROMPT, SMALL_STEPS

EOS = 2
RUNS = 500
LAW = law(Sample(), SMALL, SMALL_PROMPT, SMALL_STEPS, EOS)  # 40 texts
TEXTS = sorted(LAW)  # in the order of their intervals
BOUNDARIES = list(accumulate(Fraction(LAW[text]) for text in TEXTS))  # where each ends, 1 within rounding
FOUR = TableModel(4, 128, lambda ids: torch.zeros(4))  # four ids, always alike: two bits of surprise each


def run(strategy: Any, runs: int = RUNS, draw: Any = Gumbel, seed: int = 1, **limits: Any) -> list[GeneratedIds]:
    limits = {"max_new_tokens": SMALL_STEPS, "eos_id": EOS} | limits
    return generate_ids(SMALL, [SMALL_PROMPT], strategy, seed=seed, draw=draw, num_samples=runs, **limits)


def texts(result: GeneratedIds) -> list[tuple[int, ...]]:
    return [tuple(one.ids) for one in result.candidates]


def check(p: float, what: str) -> None:
    print(f"{p:<10.3g} {what}")
    assert p > SIGNIFICANCE


class Fixed(Gumbel):
    """A chance whose shift is known: this number."""

    def __init__(self, u: Fraction) -> None:
        super().__init__(0)
        object.__setattr__(self, "u", u)

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        word = int(self.u * 2 ** (52 * (int(prefix.steps) + 1))) % 2**52  # type: ignore[attr-defined]
        return torch.tensor([[(word + 0.5) / 2**52]], dtype=torch.float64)


def at(u: Fraction, n: int, **parameters: Any) -> list[tuple[int, ...]]:
    """The texts of a row whose shift is u."""
    (found,) = run(ArithmeticSampling(n=n), 1, lambda seed: Fixed(u), **parameters)
    return texts(found)


# -- marginals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3])
def test_texts_are_those_of_the_intervals_and_their_measure_is_the_law(n: int) -> None:
    """Texts change where u + i / n crosses a boundary, and nowhere between. 1e-12: boundaries are sums of floats."""
    margin = Fraction(1, 10**12)
    changes = {(boundary - Fraction(i, n)) % 1 for boundary in [Fraction(0), *BOUNDARIES[:-1]] for i in range(n)}
    edges = [Fraction(0), *sorted(changes - {Fraction(0)}), Fraction(1)]
    measure: list[dict[tuple[int, ...], Fraction]] = [{} for _ in range(n)]
    skipped = Fraction(0)
    for begin, end in pairwise(edges):
        if end - begin < 3 * margin:
            skipped += end - begin
            continue
        found = at((begin + end) / 2, n)
        assert found == at(begin + margin, n) == at(end - margin, n)
        for i, text in enumerate(found):
            code = ((begin + end) / 2 + Fraction(i, n)) % 1
            assert text == TEXTS[bisect_right(BOUNDARIES, code)]
            measure[i][text] = measure[i].get(text, Fraction(0)) + end - begin
    assert skipped < 1e-12
    for one in measure:
        assert {text: float(size) for text, size in one.items()} == pytest.approx(LAW, abs=1e-12)


def p_value(found: Sequence[GeneratedIds], i: int) -> float:
    """How surprising the texts of code i are."""
    counts = Counter(texts(one)[i] for one in found)
    return 0.0 if counts.keys() - LAW else g_test([counts[text] for text in LAW], list(LAW.values()))


@pytest.mark.parametrize("draw", [Gumbel, Multinomial])
def test_every_candidate_is_distributed_like_a_sample(draw: Any) -> None:
    found = run(ArithmeticSampling(n=3), draw=draw)
    for i in range(3):
        check(p_value(found, i), f"candidate {i} of 3 by {draw.__name__}")


def test_with_processors_the_text_of_a_row_has_the_law_of_a_sample() -> None:
    chain = (Temperature(1.8), Mirostat(1.0, 0.3))
    expected = law(ArithmeticSampling(*chain), SMALL, SMALL_PROMPT, SMALL_STEPS, EOS)
    assert expected == law(Sample(*chain), SMALL, SMALL_PROMPT, SMALL_STEPS, EOS) != LAW
    counts = Counter(tuple(one.ids) for one in run(ArithmeticSampling(*chain, n=2)))
    assert not counts.keys() - expected
    check(g_test([counts[text] for text in expected], list(expected.values())), f"{chain}")


def test_codes_without_a_shift_are_no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Code, "of", lambda i, n, shift: Code(2 * i + 1, 0, 2 * n, shift))  # i / n, and half of 1 / n
    found = run(ArithmeticSampling(n=3))
    assert all(p_value(found, i) < SIGNIFICANCE for i in range(3))


# -- how they are spread ----------------------------------------------------------------------------------------------


def excess(found: GeneratedIds, n: int) -> float:
    """By how much, at most, the number of texts with a beginning differs from n times its probability."""
    beginnings = {text[:length] for text in LAW for length in range(len(text) + 1)}

    def off(beginning: tuple[int, ...]) -> float:
        p = math.fsum(p for text, p in LAW.items() if text[: len(beginning)] == beginning)
        return abs(sum(text[: len(beginning)] == beginning for text in texts(found)) - n * p)

    return max(map(off, beginnings))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16])
def test_every_beginning_is_there_as_often_as_it_should_be(n: int) -> None:
    """Up to less than one, whatever the seed."""
    largest = max(excess(one, n) for one in run(ArithmeticSampling(n=n), 25))
    print(f"{largest:.3f} at most, of {n} texts")
    assert largest < 1


def test_independent_draws_are_not_spread_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(i: int, n: int, shift: Shift) -> Code:
        return Code(0, 1, 1, Shift(shift._chance, shift._row._replace(samples=shift._row.samples + 1000 * i)))

    monkeypatch.setattr(Code, "of", of)
    found = run(ArithmeticSampling(n=5), 25)
    assert max(excess(one, 5) for one in found) > 1
    assert all(p_value(run(ArithmeticSampling(n=2), 200), i) > SIGNIFICANCE for i in range(2))  # but are samples


def test_what_has_one_nth_of_the_probability_is_always_there() -> None:
    likely = next(iter(LAW))
    n = math.ceil(1 / LAW[likely])
    assert all(likely in texts(one) for one in run(ArithmeticSampling(n=n), 100))


# -- exactness --------------------------------------------------------------------------------------------------------


class FloatCode:
    """The mutant: a number of 53 bits, which moves along with the interval."""

    def __init__(self, i: int, n: int, shift: Shift) -> None:
        self.x = (shift.word(0) / 2**52 + i / n) % 1.0

    def choose(self, cdf: Tensor) -> int:
        ends = (cdf.double() / float(cdf[-1])).tolist()
        id = bisect_right(ends, self.x)
        begin = ends[id - 1] if id else 0.0
        self.x = (self.x - begin) / (ends[id] - begin)
        return id


def p_value_of_late_ids() -> float:
    """Of the four ids behind 80 bits of surprise, which should be alike."""
    found = generate_ids(FOUR, [[0]], ArithmeticSampling(n=1), max_new_tokens=60, seed=1, num_samples=20)
    counts = Counter(id for one in found for id in one.ids[40:])
    return g_test([counts[id] for id in range(4)], [0.25] * 4)


def test_codes_do_not_run_out_of_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    check(p_value_of_late_ids(), "ids 40 to 59, two bits each")
    monkeypatch.setattr(Code, "of", FloatCode)
    assert p_value_of_late_ids() < SIGNIFICANCE


def test_words_come_when_they_are_needed_and_change_nothing_before() -> None:
    class Noting(Gumbel):
        def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
            words.append(int(prefix.steps))
            return super().uniform(n, purpose, prefix)

    ids: list[list[int]] = []
    for steps, most in [(20, 1), (60, 3), (100, 4)]:  # 40, 120 and 200 bits: 52, 156 and 208 do for almost every shift
        words: list[int] = []
        (found,) = generate_ids(FOUR, [[0]], ArithmeticSampling(n=1), max_new_tokens=steps, seed=1, draw=Noting)
        assert words == list(range(most))
        ids.append(found.ids)
    assert ids[2][:60] == ids[1] and ids[1][:20] == ids[0]


def test_the_bits_of_the_shift_are_the_ids() -> None:
    """Of four equal parts each takes two bits of u, far beyond what a float has."""
    digits = [(7 * step + step // 5) % 4 for step in range(60)]
    u = sum(Fraction(digit, 4 ** (step + 1)) for step, digit in enumerate(digits)) + Fraction(1, 2 * 4**60)
    (found,) = generate_ids(
        FOUR, [[0]], ArithmeticSampling(n=1), max_new_tokens=60, seed=1, draw=lambda seed: Fixed(Fraction(u))
    )
    assert found.ids == digits


def test_an_id_of_tiny_probability_has_its_place() -> None:
    """4e-18, which no float below 1 can tell from 1; and one that exp() takes for 0 still has a unit."""
    rare = TableModel(2, 8, lambda ids: torch.tensor([0.0, -40.0], dtype=torch.float64))
    for u, ids in [
        (1 - Fraction(1, 2**59), [1, 0]),
        (1 - Fraction(1, 2**57), [0, 1]),
        (1 - Fraction(1, 2**56), [0, 0]),
        (1 - Fraction(1, 2**200), [1, 1]),
    ]:
        (found,) = generate_ids(
            rare, [[0]], ArithmeticSampling(n=1), max_new_tokens=2, seed=1, draw=lambda seed, u=u: Fixed(u)
        )
        assert found.ids == ids
    logits = torch.tensor([0.0, -800.0, -math.inf, -1e30], dtype=torch.float64)
    ends = cumulative(logits.log_softmax(dim=-1)).tolist()
    assert ends == [2**62, 2**62 + 1, 2**62 + 1, 2**62 + 2]


def test_a_large_vocabulary_fits() -> None:
    for logits in (
        torch.zeros(50257),
        torch.randn(50257) * 5,
        torch.full((50257,), -1e30).index_fill(0, torch.tensor(7), 0),
    ):
        ends = cumulative(logits.double().log_softmax(dim=-1))
        assert bool((ends.diff() > 0).all()) and 0 <= int(ends[-1]) - 2**62 < 50257 + 2**62 * 1e-12


# -- the search -------------------------------------------------------------------------------------------------------


def test_candidates_are_in_the_order_of_their_codes() -> None:
    """Each further by 1 / n on the circle: from where the order of the texts begins anew, they are sorted."""
    for one in run(ArithmeticSampling(n=7), 25):
        found = texts(one)
        anew = sum(later < earlier for earlier, later in pairwise(found))
        assert anew <= 1 and tuple(one.ids) == found[0]
        assert [text.score for text in one.candidates] == pytest.approx(
            [math.fsum(text.processed_logprobs) for text in one.candidates]
        )


def test_texts_that_begin_alike_go_through_the_model_once() -> None:
    (found,) = run(ArithmeticSampling(TopK(1), n=6), 1, eos_id=None)
    assert len(set(texts(found))) == 1 and len(found.candidates) == 6
    assert found.search is not None and found.search.evaluations == SMALL_STEPS
    (found,) = run(ArithmeticSampling(n=6), 1, eos_id=None)
    beginnings = {text[:length] for text in texts(found) for length in range(SMALL_STEPS)}
    assert found.search is not None and found.search.evaluations == len(beginnings)


def test_all_ends_end_a_text() -> None:
    short = TableModel(4, len(SMALL_PROMPT) + 3, SMALL.logits_after)
    limits = Limits(None, EOS, lambda ids: list(ids[-2:]) == [1, 1])
    found = list(ArithmeticSampling(n=64).run(short, [SMALL_PROMPT], limits, Gumbel(1)))[-1].found
    assert found is not None
    for one in found.candidates:
        ends = [
            n for n in range(1, len(one.ids) + 1) if one.ids[n - 1] == EOS or one.ids[n - 2 : n] == (1, 1) or n == 3
        ]
        assert ends[0] == len(one.ids)
    assert {one.finish_reason for one in found.candidates} == {"eos", "stop", "context"}


def test_a_row_without_room_has_its_text_n_times() -> None:  # law 9
    (found,) = generate_ids(TableModel.random(4, 2, seed=1), [[0, 1]], ArithmeticSampling(n=3), max_new_tokens=2)
    assert found.finish_reason == "context" and texts(found) == [(), (), ()]


def test_a_dead_end_is_an_error() -> None:  # law 3
    ban = BanSequences([[3, id] for id in range(4)])
    with pytest.raises(ValueError, match=r"removed every id that was left.*\(prompt 0, sample 0, step 1\)"):
        run(ArithmeticSampling(ban, n=20), 1)


def test_ids_are_given_out_as_they_are_drawn() -> None:
    """But the last one of the row's text waits for the others."""
    for seed in range(20):
        steps = list(ArithmeticSampling(n=5).run(SMALL, [SMALL_PROMPT], Limits(3, EOS), Gumbel(seed)))
        assert [step.finish_reason is None for step in steps] == [True] * (len(steps) - 1) + [False]
        found = steps[-1].found
        assert found is not None and tuple(id for step in steps for id in step.ids) == found.candidates[0].ids


def test_rows_are_strangers() -> None:  # laws 5 and 6
    strategy = ArithmeticSampling(NoRepeatNGram(3), n=3)
    limits: dict[str, Any] = {"max_new_tokens": 4, "eos_id": EOS, "seed": 5}
    together = generate_ids(SMALL, [[1], [2, 3], [1]], strategy, num_samples=2, **limits)
    for number, prompt in enumerate([[1], [2, 3], [1]]):
        alone = generate_ids(SMALL, [prompt], strategy, num_samples=2, **limits)
        assert [one.candidates for one in alone] == [one.candidates for one in together[2 * number : 2 * number + 2]]
    assert together[0].candidates != together[1].candidates


def test_the_tree_tells_how_many_codes_went_where() -> None:
    (found,) = run(ArithmeticSampling(n=6), 1, seed=3, trace=True)
    assert found.search is not None
    tree = found.search.tree
    assert tree is not None and tree.winner is not None and list(tree.ids(tree.winner)) == found.ids
    for n, node in enumerate(list(tree)[1:], start=1):
        ids = tree.ids(n)
        assert node.note == f"{sum(text[: len(ids)] == ids for text in texts(found))} of 6 codes"
        assert (node.fate in ("finished", "won")) == (ids in texts(found)) == (node.finish_reason is not None)
    assert found.candidates == run(ArithmeticSampling(n=6), 1, seed=3)[0].candidates


def test_through_the_network(storybook: GPT2, tokenizer: Tokenizer) -> None:
    strategy = ArithmeticSampling(TopP(0.9), n=4)
    pieces = list(stream(storybook, tokenizer, "Once upon a time", strategy, max_new_tokens=12, seed=1, stop=["."]))
    result = pieces[-1].generation
    assert result is not None and "".join(piece.text for piece in pieces) == result.text == result.candidates[0].text
    assert len(result.candidates) == 4 and not any("." in one.text for one in result.candidates)


def test_parameters_and_what_is_refused() -> None:  # law 13
    assert repr(ArithmeticSampling(TopP(0.9), n=3)) == "ArithmeticSampling(TopP(0.9), n=3)"
    assert ArithmeticSampling() == ArithmeticSampling(n=5) != ArithmeticSampling(n=4)
    wrong: list[Any] = [0, -1, 2.0, True, "3", None]
    for n in wrong:
        with pytest.raises(ValueError, match="n is a number of texts, at least 1"):
            ArithmeticSampling(n=n)
    with pytest.raises(ValueError, match="tosses a coin"):
        ArithmeticSampling(XTC(0.1, 0.5))
