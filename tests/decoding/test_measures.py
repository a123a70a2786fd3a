"""The numbers that texts are compared by: against numbers computed by hand, and against plain Python."""

from __future__ import annotations

import math
import random
import statistics

import pytest
import torch

from decoding import Sample, TableModel, law
from decoding.measures import (
    Measure,
    distinct,
    entropy,
    mean_entropy,
    mean_logprob,
    ngrams,
    over_texts,
    repetition,
)


def test_mean_logprob_is_that_of_the_ids() -> None:
    assert mean_logprob([math.log(0.5), math.log(0.25), math.log(0.125)]) == pytest.approx(-2 * math.log(2))
    assert math.exp(-mean_logprob([math.log(0.25)] * 7)) == pytest.approx(4)  # the perplexity of a choice among four


def test_entropy_by_hand() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0]]).log()
    assert entropy(logits).tolist() == pytest.approx([1.5 * math.log(2), math.log(3), 0.0], abs=1e-7)


def test_entropy_is_of_float64_whatever_it_gets_and_ignores_the_zero_of_the_logits() -> None:
    logits = 3 * torch.randn(2, 5, 50)
    logits[0, 0, 7] = -torch.inf
    plain = [
        -math.fsum(p * math.log(p) for p in (math.exp(x - math.log(math.fsum(map(math.exp, row)))) for x in row) if p)
        for row in logits.double().flatten(0, 1).tolist()
    ]
    assert entropy(logits).dtype == torch.float64 and entropy(logits).shape == (2, 5)
    assert entropy(logits).flatten().tolist() == pytest.approx(plain, rel=1e-12)
    assert entropy(logits + 500).flatten().tolist() == pytest.approx(plain, rel=1e-4)
    assert entropy(logits.half()).flatten().tolist() == pytest.approx(plain, rel=1e-2)


def test_of_plain_samples_the_mean_surprise_is_the_mean_entropy() -> None:
    """As the docstring of mean_entropy says; exactly, over all texts of a table."""
    model, steps = TableModel.random(4, 8, seed=5), 3

    def along(text: tuple[int, ...]) -> list[torch.Tensor]:
        return [model.logits_after([2, *text[:n]]) for n in range(steps)]

    surprise = unsure = 0.0
    for text, probability in law(Sample(), model, [2], steps).items():
        logprobs = [float(row.log_softmax(dim=-1)[id]) for row, id in zip(along(text), text, strict=True)]
        surprise -= probability * mean_logprob(logprobs)
        unsure += probability * mean_entropy([float(entropy(row)) for row in along(text)])
    assert surprise == pytest.approx(unsure, rel=1e-12)
    assert 0.1 < surprise < math.log(4)


def test_distinct_by_hand() -> None:
    texts = [[1, 2, 1], [1, 2], [3]]
    assert distinct(texts, 1) == 3 / 6
    assert distinct(texts, 2) == 2 / 3  # 12 21, 12: no run goes from one text into the next
    assert distinct(texts, 3) == 1
    assert math.isnan(distinct(texts, 4)) and math.isnan(distinct([], 1))


def test_repetition_by_hand() -> None:
    assert repetition([1, 2, 1, 2, 1, 2], 2) == pytest.approx(1 - 2 / 5)
    assert repetition([1, 2, 1, 2, 1, 2], 4) == pytest.approx(1 - 2 / 3)
    assert repetition([7] * 11, 4) == pytest.approx(7 / 8)
    assert repetition([1, 2, 3, 4, 5], 1) == 0
    assert repetition([1, 1, 1], 4) == repetition([], 1) == 0


def test_ngrams_against_plain_python() -> None:
    numbers = random.Random(3)
    for _ in range(50):
        text = [numbers.randrange(3) for _ in range(numbers.randrange(9))]
        for n in (1, 2, 3, 4):
            runs = [tuple(text[k] for k in range(begin, begin + n)) for begin in range(max(len(text) - n + 1, 0))]
            assert ngrams(text, n) == runs
            again = sum(run in runs[:place] for place, run in enumerate(runs))
            assert repetition(text, n) == pytest.approx(again / len(runs) if runs else 0)
            if runs:
                assert distinct([text], n) == pytest.approx(1 - again / len(runs))


def test_over_texts_by_hand() -> None:
    mean, error = over_texts([1.0, 2.0, 4.0])
    assert mean == pytest.approx(7 / 3)
    assert error == pytest.approx(math.sqrt(7) / 3)  # ((4/3)^2 + (1/3)^2 + (5/3)^2) / 2 = 7/3, over 3 texts
    assert over_texts([5.0]) == Measure(5.0, None)  # and not 0: one text tells nothing about the error
    assert over_texts([5.0, 5.0]) == Measure(5.0, 0.0)


def test_over_texts_as_the_standard_library_has_it() -> None:
    numbers = random.Random(4)
    for count in (2, 3, 20):
        values = [numbers.gauss(-3, 2) for _ in range(count)]
        mean, error = over_texts(values)
        assert mean == pytest.approx(statistics.fmean(values))
        assert error == pytest.approx(statistics.stdev(values) / math.sqrt(count))


def test_what_has_no_answer_is_refused_in_words() -> None:  # law 13
    for measure in (mean_logprob, mean_entropy, over_texts):
        with pytest.raises(ValueError, match="nothing to take the mean of: no ids, or no texts"):
            measure([])
    for n in (0, -1):
        with pytest.raises(ValueError, match=f"at least 1; got {n}"):
            distinct([[1, 2]], n)
        with pytest.raises(ValueError, match=f"at least 1; got {n}"):
            repetition([1, 2], n)
