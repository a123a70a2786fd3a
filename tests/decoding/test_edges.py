"""What processors do with odd parameters and odd inputs: a sentence, or the right thing."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from decoding import (
    DRY,
    XTC,
    BanSequences,
    BanWords,
    FrequencyPenalty,
    LogitBias,
    MinNewTokens,
    Mirostat,
    NoRepeatNGram,
    Prefix,
    PresencePenalty,
    Processor,
    QuadraticSmoothing,
    RepetitionPenalty,
    Sample,
    Suppress,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
)

# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RepetitionPenalty(1e39), r"a factor above 0, from 1e-30 to 1e30; got 1e\+39"),
        (lambda: RepetitionPenalty(1e-39), "a factor above 0, from 1e-30 to 1e30; got 1e-39"),
        (lambda: PresencePenalty(1e39), r"a presence penalty is a number from -1e30 to 1e30; got 1e\+39"),
        (lambda: FrequencyPenalty(-1e39), r"a frequency penalty is a number from -1e30 to 1e30; got -1e\+39"),
        (lambda: LogitBias({0: 1e39}), r"a bias is a number from -1e30 to 1e30 .*; got 1e\+39 for id 0"),
        (lambda: RepetitionPenalty(1.2, include_prompt="no"), "include_prompt is True or False; got 'no'"),  # type: ignore[arg-type]
        (lambda: NoRepeatNGram(2, include_prompt=1), "include_prompt is True or False; got 1"),  # type: ignore[arg-type]
        (lambda: DRY(0.8, include_prompt=None), "include_prompt is True or False; got None"),  # type: ignore[arg-type]
        (lambda: RepetitionPenalty(1.2, window=10**30), "a window is a number of ids"),
        (lambda: MinNewTokens(10**30), "a whole number of at least 0"),
        (lambda: TopP(Fraction(1, 2)), r"got Fraction\(1, 2\)"),  # type: ignore[arg-type]
        (lambda: Temperature(10**30), "a temperature is a number of at least 0"),
        (lambda: Mirostat(3.0, 0.1, True), "the versions 1 and 2; got True"),
        (lambda: Suppress(262), r"ids are a list of whole numbers, such as \[262, 13\]; got 262"),  # type: ignore[arg-type]
        (lambda: Suppress(None), "ids are a list of whole numbers"),  # type: ignore[arg-type]
        (lambda: Suppress("262"), "ids are a list of whole numbers"),  # type: ignore[arg-type]
        (lambda: DRY(0.8, breakers=3), "ids are a list of whole numbers"),  # type: ignore[arg-type]
        (lambda: BanSequences(5), "banned sequences are lists of ids"),  # type: ignore[arg-type]
        (lambda: BanWords(5, Tokenizer()), "words to ban are a list of texts"),  # type: ignore[arg-type]
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused_in_words(make: Callable[[], Processor], words: str) -> None:
    with pytest.raises(ValueError, match=words):  # law 13
        make()


def test_the_largest_penalties_remove_nothing() -> None:
    logits, prefix = torch.tensor([[1.0, -1.0, 0.0, 0.5]]), Prefix.of([[0, 1, 2, 2]])
    for processor in (
        RepetitionPenalty(1e30),
        RepetitionPenalty(1e-30),
        PresencePenalty(1e30, include_prompt=True),
        FrequencyPenalty(1e30, include_prompt=True),
        LogitBias({0: 1e30, 1: -1e30}),
    ):
        result = processor(logits, prefix)
        assert bool(result.isfinite().all()) and float(result[0, 3]) == 0.5, processor


def test_an_iterator_of_ids_is_read_once_and_kept() -> None:
    assert Suppress(id for id in [1, 2]) == Suppress([1, 2])  # type: ignore[arg-type]
    assert DRY(0.8, breakers=(id for id in [1, 2])) == DRY(0.8, breakers=[1, 2])  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers_and_print_as_such() -> None:
    assert repr(TopP(np.float64(0.9))) == "TopP(0.9)" and repr(TopK(np.int64(3))) == "TopK(3)"  # type: ignore[arg-type]
    logits = torch.randn(2, 9)
    assert torch.equal(TopP(np.float64(0.9))(logits), TopP(0.9)(logits))
    assert torch.equal(TopK(np.int64(3))(logits), TopK(3)(logits))  # type: ignore[arg-type]


def test_two_coins_are_refused_and_two_that_always_act_are_not() -> None:
    with pytest.raises(ValueError, match="would toss the same coin"):
        Sample(XTC(0.1, 0.5), XTC(0.2, 0.5))
    assert len(Sample(XTC(0.1, 1.0), XTC(0.2, 0.5), XTC(0.3, 0.0)).processors) == 3


def test_every_case_of_a_word_is_banned(tokenizer: Tokenizer) -> None:
    forms = ["lily", "Lily", "LILY"]
    for word in forms:
        assert set(BanWords([word], tokenizer).forms()) == {space + form for space in ("", " ") for form in forms}
    assert set(BanWords(["iPhone"], tokenizer).forms()) >= {"iPhone", "IPhone", "Iphone", "iphone", "IPHONE"}
    assert BanWords(["cat"], Tokenizer()) == BanWords(["cat"], Tokenizer()) != BanWords(["dog"], Tokenizer())


# -- inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [[1.0, 2.0], np.zeros(3), None])
def test_logits_that_are_no_tensor(bad: Any) -> None:  # law 13
    with pytest.raises(ValueError, match=f"logits are a tensor; got {type(bad).__name__}"):
        TopK(1)(bad)


@pytest.mark.parametrize("processor", [RepetitionPenalty(1.2), NoRepeatNGram(2), DRY(0.8)], ids=repr)
def test_a_prefix_of_another_vocabulary(processor: Processor) -> None:  # law 13
    with pytest.raises(ValueError, match="the prefix has ids outside of the vocabulary, 0 to 3"):
        processor(torch.zeros(1, 4), Prefix.of([[1, 4]]))


def test_logits_with_a_gradient_can_be_processed() -> None:
    logits = torch.randn(1, 9, requires_grad=True)
    TopP(0.5)(logits).logsumexp(dim=-1).sum().backward()
    assert logits.grad is not None and bool(logits.grad.isfinite().all())


def test_what_changes_nothing_gives_back_its_argument() -> None:
    logits, prefix = torch.randn(1, 9), Prefix.of([[1, 2]], eos_id=3)
    for processor in (Suppress([]), MinNewTokens(0), XTC(1.0, 1.0), LogitBias({}), BanSequences([[5, 5]])):
        assert processor(logits, prefix) is logits, processor


def test_logits_of_any_size() -> None:
    huge = torch.tensor([[1e200, -1e200, 0.0]], dtype=torch.float64)
    assert not bool(QuadraticSmoothing(0.1)(huge).isnan().any())
    assert not bool(QuadraticSmoothing(0.1, curve=3.0)(huge).isnan().any())
    assert math.isclose(float(TopP(0.9)(huge)[0, 0]), 1e200)
