"""What other systems publish about the samplers that transformers lacks: their test cases, what llama.cpp's own code
makes of random rows (tests/fixtures/llama_cpp), and cases by hand with the arithmetic beside them.

The numbers of published cases are from
  llama.cpp  tests/test-sampling.cpp, ggml-org/llama.cpp at 07e4038f07a83cd729bbac700e6681757b313b73
  vLLM       tests/v1/sample/test_dry.py at 0a35713770ac09e7b3237d62e8789451840d9928, test_mirostat.py at
             9b6fe1a3284871d4410a86fb867193e464df1731, test_p_less.py at da23ad80726fedb1e7dbb4127e8b77e9ec388f7f
and the rules were compared with
  text-generation-webui  modules/sampler_hijack.py at dceb23c76361066f35531cef3808cf172b6d5a5d
  Basu's Mirostat        mirostat.py, basusourya/mirostat at 444fce2426f69c93861b72198dfb0c2a879d59ec
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import (
    DRY,
    XTC,
    BanSequences,
    BanWords,
    DynamicTemperature,
    FrequencyPenalty,
    Gumbel,
    MinP,
    Mirostat,
    PLess,
    Prefix,
    PresencePenalty,
    Processor,
    QuadraticSmoothing,
    RepetitionPenalty,
    TailFree,
    Temperature,
    Tokenizer,
    TopA,
    TopK,
    TopNSigma,
    TopP,
    TypicalP,
)

FIXTURE = Path(__file__).parents[1] / "fixtures" / "llama_cpp" / "samplers.json"
LLAMA: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
ROWS = torch.tensor(LLAMA["rows"])  # (24, 32) float32, exact
SHARES = [0.1, 0.2, 0.3, 0.4]


def log(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


def kept(logits: Tensor) -> list[int]:
    """The ids of the only row that are not removed."""
    return (logits[0] > -torch.inf).nonzero()[:, 0].tolist()


def p(logits: Tensor) -> list[float]:
    return logits.softmax(dim=-1)[0].tolist()


def after(ids: Sequence[int], prompt_length: int | None = None) -> Prefix:
    """One row with these ids, of which the first so many are the prompt, or all."""
    prefix = Prefix.of([ids])
    return prefix if prompt_length is None else prefix._replace(prompt_lengths=torch.tensor([prompt_length]))


def chained(logits: Tensor, prefix: Prefix | None, *processors: Processor) -> Tensor:
    for processor in processors:
        logits = processor(logits, prefix)
    return logits


# -- llama.cpp's test cases -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processor", "probabilities", "expected"),
    [
        (Temperature(1.0), SHARES, SHARES),
        (Temperature(0.0), SHARES, [0, 0, 0, 1]),
        (DynamicTemperature(1.0, 1.0), SHARES, SHARES),
        (DynamicTemperature(0.0, 0.0), SHARES, [0, 0, 0, 1]),
        (TopK(1), SHARES, [0, 0, 0, 1]),
        (TopK(3), SHARES, [0, 0.22222, 0.33333, 0.44444]),
        (TopP(0.7), SHARES, [0, 0, 0.428571, 0.571429]),
        (TopP(0.8), SHARES, [0, 0.22222, 0.33333, 0.44444]),
        (TopP(1.0), SHARES, SHARES),
        (MinP(0.0), SHARES, SHARES),
        (MinP(0.24), SHARES, SHARES),
        (MinP(0.26), SHARES, [0, 2 / 9, 3 / 9, 4 / 9]),
        (MinP(0.49), SHARES, [0, 2 / 9, 3 / 9, 4 / 9]),
        (MinP(0.51), SHARES, [0, 0, 3 / 7, 4 / 7]),
        (MinP(0.74), SHARES, [0, 0, 3 / 7, 4 / 7]),
        (MinP(0.76), SHARES, [0, 0, 0, 1]),
        (MinP(1.0), SHARES, [0, 0, 0, 1]),
        (TypicalP(0.5), [0.97, 0.01, 0.01, 0.01], [1, 0, 0, 0]),
        (TypicalP(0.5), [0.4, 0.2, 0.2, 0.2], [0, 1 / 3, 1 / 3, 1 / 3]),
        (TopNSigma(1.0), SHARES, [0, 0, 0.428571, 0.571429]),
        (TopNSigma(3.0), SHARES, SHARES),
        (XTC(0.09, 1.0), [0.4, 0.3, 0.2, 0.1], [0, 0, 0, 1]),
        (XTC(0.19, 1.0), [0.4, 0.3, 0.2, 0.1], [0, 0, 2 / 3, 1 / 3]),
        (XTC(0.29, 1.0), [0.4, 0.3, 0.2, 0.1], [0, 3 / 6, 2 / 6, 1 / 6]),
        (XTC(0.39, 1.0), [0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]),
        (PLess(), [0.1, 0.15, 0.2, 0.25, 0.3], [0, 0, 0, 0.45454545, 0.54545455]),
        (PLess(), [0.2] * 5, [0.2] * 5),
    ],
    ids=repr,
)
def test_published_cases_of_llama_cpp(processor: Processor, probabilities: list[float], expected: list[float]) -> None:
    for dtype in (torch.float32, torch.float64):
        assert p(processor(log(*probabilities).to(dtype))) == pytest.approx(expected, abs=1e-5)


FIFTHS, QUARTERS = [0.2] * 5, [0.25] * 4


@pytest.mark.parametrize(
    ("processors", "start", "ids", "expected"),
    [
        ([RepetitionPenalty(50.0)], FIFTHS, [0], [0, 0.25, 0.25, 0.25, 0.25]),
        ([RepetitionPenalty(50.0)], FIFTHS, [0, 1, 2], [0, 0, 0, 0.5, 0.5]),
        ([RepetitionPenalty(50.0)], FIFTHS, [0, 1, 2, 0, 0], [0, 0, 0, 0.5, 0.5]),
        ([5.0], FIFTHS, [0], [0.000011, 0.249997, 0.249997, 0.249997, 0.249997]),
        ([5.0], FIFTHS, [0, 1, 2], [0.000023, 0.000023, 0.000023, 0.499966, 0.499966]),
        ([5.0], FIFTHS, [0, 1, 2, 0, 0], [0, 0.000023, 0.000023, 0.499977, 0.499977]),
        ([DRY(1.0, 1.1, 2, window=4)], QUARTERS, [0, 1], QUARTERS),
        ([DRY(1.0, 1.1, 2, window=5)], QUARTERS, [0, 1, 2, 0, 1], [0.296923, 0.296923, 0.109232, 0.296923]),
        ([DRY(1.0, 1.1, 2, [3], window=6)], FIFTHS, [0, 1, 3, 4, 0, 1], FIFTHS),
        ([DRY(2.0, 1.1, 2, window=5)], FIFTHS, [0, 1, 2, 0, 1], [0.241818, 0.241818, 0.032727, 0.241818, 0.241818]),
        ([DRY(1.0, 1.1, 4, window=7)], FIFTHS, [0, 1, 2, 3, 4, 0, 1], FIFTHS),
    ],
    ids=repr,
)
def test_published_cases_of_llama_cpp_that_look_back(
    processors: list[Any], start: list[float], ids: list[int], expected: list[float]
) -> None:
    """A number stands for a frequency and a presence penalty of that size, over prompt and text as llama.cpp counts."""
    if processors == [5.0]:
        processors = [FrequencyPenalty(5.0, include_prompt=True), PresencePenalty(5.0, include_prompt=True)]
    assert p(chained(log(*start), after(ids), *processors)) == pytest.approx(expected, abs=1e-5)


def test_top_n_sigma_of_0_keeps_the_best_here_and_everything_in_llama_cpp() -> None:
    """There 0 turns it off (published case: nothing changes); here it is the limit of small n, and equals stay."""
    assert kept(TopNSigma(0.0)(log(*SHARES))) == [3]
    assert kept(TopNSigma(0.0)(log(0.3, 0.4, 0.3))) == [1]
    assert kept(TopNSigma(0.0)(log(0.3, 0.35, 0.35))) == [1, 2]


# -- llama.cpp's code on random rows ----------------------------------------------------------------------------------


def facts(name: str) -> list[tuple[list[float], list[Any]]]:
    """Settings, and for each what became of every row."""
    return [(one["setting"], one["results"]) for one in LLAMA["samplers"] if one["name"] == name]


def remaining(result: Tensor) -> list[list[int]]:
    return [(row > -torch.inf).nonzero()[:, 0].tolist() for row in result]


@pytest.mark.parametrize(
    ("name", "make"),
    [("top_n_sigma", TopNSigma), ("min_p", MinP), ("typical", TypicalP), ("xtc", lambda t: XTC(t, 1.0))],
)
def test_truncations_keep_what_llama_cpp_keeps(name: str, make: Any) -> None:
    for (value,), results in facts(name):
        for dtype in (torch.float32, torch.float64):
            assert remaining(make(value)(ROWS.to(dtype))) == results
    assert any(remaining(make(value * 0.97)(ROWS)) != results for (value,), results in facts(name))  # it is noticed


def test_top_n_sigma_takes_the_deviation_of_the_population_and_of_ids_that_are_left() -> None:
    """Mutants: the deviation of a sample (n - 1), and one over removed ids as if their logits were 0."""
    removed = ROWS.masked_fill(torch.arange(32) % 4 == 1, -torch.inf)
    left = removed.double()[:, torch.arange(32) % 4 != 1]  # (24, 24)
    best = left.amax(dim=-1, keepdim=True)

    def keeps(sigma: Tensor) -> list[list[int]]:
        return remaining(removed.masked_fill(removed < best - sigma[:, None], -torch.inf))

    found = remaining(TopNSigma(1.0)(removed))
    assert found == keeps(left.std(dim=-1, correction=0))
    assert found != keeps(left.std(dim=-1))
    assert found != keeps(removed.double().nan_to_num(neginf=0.0).std(dim=-1, correction=0))
    every = remaining(TopNSigma(1.0)(ROWS))
    assert every == next(results for (n,), results in facts("top_n_sigma") if n == 1.0)


def changed(row: Tensor, before: Tensor) -> dict[int, float]:
    return {id: float(row[id]) for id in range(len(row)) if row[id] != before[id]}


def assert_changes(result: Tensor, results: list[dict[str, float]]) -> None:
    """The same ids changed, to the same logits but for the rounding of the fixture (and float32 there)."""
    for row, before, expected in zip(result, ROWS, results, strict=True):
        assert changed(row, before) == pytest.approx({int(id): logit for id, logit in expected.items()}, 1e-6, 2e-5)


def test_dynamic_temperature_divides_as_llama_cpp_does() -> None:
    for (middle, delta, exponent), results in facts("temp_ext"):
        assert_changes(DynamicTemperature(max(0.0, middle - delta), middle + delta, exponent)(ROWS), results)


def test_penalties_are_llama_cpps() -> None:
    prefix = Prefix.of(LLAMA["texts"])
    for (repetition, frequency, presence), results in facts("penalties"):
        processors = (
            RepetitionPenalty(repetition),
            FrequencyPenalty(frequency, include_prompt=True),
            PresencePenalty(presence, include_prompt=True),
        )
        assert_changes(chained(ROWS, prefix, *processors), results)


def test_dry_is_llama_cpps() -> None:
    """The texts are up to 26 ids of 2 to 6 different ones: matches of many lengths, which overlap themselves."""
    prefix, most = Prefix.of(LLAMA["texts"]), 0.0
    for (multiplier, base, allowed), results in facts("dry"):
        result = DRY(multiplier, base, int(allowed))(ROWS, prefix)
        assert_changes(result, results)
        most = max(most, float((ROWS - result).max()) / multiplier)
    assert most > 1.25**10  # there are long repetitions among them


# -- DRY --------------------------------------------------------------------------------------------------------------


def dry_penalties(ids: list[int], **settings: Any) -> dict[int, float]:
    processor = DRY(**{"multiplier": 1.0, "base": 2.0, "allowed_length": 1, **settings})
    result = processor(torch.zeros(1, 16, dtype=torch.float64), after(ids))
    return {id: -float(logit) for id, logit in enumerate(result[0]) if logit != 0}


def test_published_cases_of_vllm_for_dry() -> None:
    example = [1, 2, 3, 3, 2, 3, 9, 1, 2, 3]  # which vLLM has from a comment of llama.cpp
    assert dry_penalties(example) == pytest.approx({3: 4.0, 2: 1.0, 9: 2.0})
    assert dry_penalties([*example, 3, 3]) == pytest.approx({3: 2.0, 2: 2.0, 9: 1.0})
    assert dry_penalties([0, 0, 0, 1, 0, 0], allowed_length=2) == pytest.approx({0: 1.0, 1: 1.0})
    assert dry_penalties([1, 2, 3, 1, 2], allowed_length=3) == {}
    assert dry_penalties([1, 2, 3, 1, 2], allowed_length=2) == pytest.approx({3: 1.0})
    assert dry_penalties([7] * 6, allowed_length=2) == pytest.approx({7: 8.0})
    assert dry_penalties([7] * 6, allowed_length=2, breakers=[7]) == {}
    assert dry_penalties([5]) == {}


def test_a_breaker_ends_a_match_and_is_never_penalised() -> None:
    """1 2 | 3 4 5 | 1 2 3 4: without breakers 5 continues a match of four; with 2 as one, a match of two (3 4)."""
    ids = [1, 2, 3, 4, 5, 1, 2, 3, 4]
    assert dry_penalties(ids) == pytest.approx({5: 2.0**3})
    assert dry_penalties(ids, breakers=[2]) == pytest.approx({5: 2.0})
    assert dry_penalties(ids, breakers=[5]) == {}  # it would follow
    assert dry_penalties(ids, breakers=[4]) == {}  # it stands at the end


def test_dry_removes_nothing_however_long_the_repetition() -> None:
    """199 ids match, and 2^198 is beyond float32: -inf in llama.cpp and vLLM. text-generation-webui stops at matches of
    50 ids, so that 60 and 70 ids get the same; here they do not."""
    prefix = after([7] * 200)
    result = DRY(1.0, 2.0, 1)(torch.zeros(1, 16), prefix)
    assert bool(result.isfinite().all()) and float(result[0, 7]) == pytest.approx(-1e30, rel=1e-6)
    assert dry_penalties([7] * 61, base=1.1) == pytest.approx({7: 1.1**59})
    assert dry_penalties([7] * 71, base=1.1) == pytest.approx({7: 1.1**69})


# -- thresholds -------------------------------------------------------------------------------------------------------


def test_top_a_by_hand() -> None:
    """0.5, 0.3, 0.15, 0.05: a = 0.4 asks for 0.4 * 0.5^2 = 0.1, a = 0.19 for 0.0475, a = 1 for 0.25."""
    logits = log(0.15, 0.5, 0.05, 0.3)
    assert kept(TopA(0.4)(logits)) == [0, 1, 3]
    assert kept(TopA(0.19)(logits)) == [0, 1, 2, 3]
    assert kept(TopA(1.0)(logits)) == [1, 3]
    assert kept(MinP(0.4)(logits)) == [1, 3]  # the mutant without the square asks for 0.2
    assert kept(TopA(1.0)(log(0.4, 0.2, 0.2, 0.2))) == [0, 1, 2, 3]  # 0.16


def test_min_p_compares_gaps_of_large_logits_exactly() -> None:
    """2^24 and 2 less: e^-2 = 0.135. The best logit plus ln 0.22 = -1.514, rounded to float32, would be 2 less, too."""
    logits = torch.tensor([[16777216.0, 16777214.0]])
    assert kept(MinP(0.13)(logits)) == [0, 1]
    assert kept(MinP(0.22)(logits)) == kept(MinP(0.22)(logits - 16777216.0)) == [0]


def test_p_less_by_hand() -> None:
    """0.5, 0.3, 0.1, 0.1: two draws agree with a probability of 0.25 + 0.09 + 0.01 + 0.01 = 0.36. 0.4, 0.35, 0.15, 0.1:
    0.16 + 0.1225 + 0.0225 + 0.01 = 0.315. After top-k it is about those that are left."""
    assert kept(PLess()(log(0.5, 0.3, 0.1, 0.1))) == [0]
    assert kept(PLess()(log(0.4, 0.35, 0.15, 0.1))) == [0, 1]
    assert kept(PLess()(log(0.33, 0.27, 0.2, 0.2))) == [0, 1]  # 0.262
    assert kept(chained(log(0.33, 0.27, 0.2, 0.2), None, TopK(2), PLess())) == [0]  # 0.55 and 0.45 agree with 0.505
    peaked = torch.full((1, 512), 0.01)
    peaked[0, 0] = 10.0
    assert kept(PLess()(peaked)) == [0]  # the published case of vLLM


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 100, 1023, 50257])
def test_p_less_keeps_all_of_equals(n: int) -> None:
    """n equal ids have 1/n each, and two draws agree with n (1/n)^2 = 1/n: all reach it, as llama.cpp's case for five
    says. Whatever else was removed, and whatever the logits are."""
    for offset in (0.0, -3.7, 100.3):
        logits = torch.full((2, n + 3), offset)
        logits[:, :3] = -torch.inf
        assert int((PLess()(logits) > -torch.inf).sum()) == 2 * n


def test_xtc_keeps_the_last_of_those_that_reach_the_threshold() -> None:
    """Of equals the last in the order of ranks is the highest id. With one or none above, nothing happens."""
    assert kept(XTC(0.2, 1.0)(log(0.3, 0.3, 0.1, 0.3))) == [2, 3]
    assert kept(XTC(0.2, 1.0)(log(0.3, 0.25, 0.1, 0.35))) == [1, 2]
    assert kept(XTC(0.5, 1.0)(log(0.6, 0.2, 0.2))) == [0, 1, 2]
    assert kept(XTC(0.7, 1.0)(log(0.6, 0.2, 0.2))) == [0, 1, 2]
    assert kept(XTC(0.1, 0.0)(log(0.6, 0.2, 0.2))) == [0, 1, 2]


# -- tail-free sampling -----------------------------------------------------------------------------------------------


def test_tail_free_by_hand() -> None:
    """0.4, 0.3, 0.15, 0.1, 0.05: slopes -0.1, -0.15, -0.05, -0.05; bends 0.05, 0.1, 0; shares, added up: 1/3, 1, 1. The
    first id stays, the second where 1/3 <= z, and the third to fifth never."""
    logits = log(0.15, 0.4, 0.05, 0.3, 0.1)
    assert kept(TailFree(0.2)(logits)) == [1]
    assert kept(TailFree(0.5)(logits)) == [1, 3]
    assert kept(TailFree(0.99)(logits)) == [1, 3]
    assert kept(TailFree(1.0)(logits)) == [0, 1, 2, 3, 4]  # law 2


def test_the_last_id_is_always_tail() -> None:
    """There are two bends fewer than ids: the first id stands before them, and the last behind them, which
    text-generation-webui removes whatever z is."""
    # 0.5, 0.26, 0.12, 0.08, 0.04: bends 0.1, 0.1, 0; shares 0.5, 1, 1
    assert kept(TailFree(0.6)(log(0.5, 0.26, 0.12, 0.08, 0.04))) == [0, 1]
    # 0.5, 0.3, 0.15, 0.05: bends 0.05, 0.05; shares 0.5, 1
    assert kept(TailFree(0.75)(log(0.5, 0.3, 0.15, 0.05))) == [0, 1]
    # 0.55, 0.25, 0.14, 0.06: bends 0.19, 0.03; shares 0.86, 1
    assert kept(TailFree(0.9)(log(0.55, 0.25, 0.14, 0.06))) == [0, 1]
    assert kept(TailFree(0.8)(log(0.55, 0.25, 0.14, 0.06))) == [0]


def test_where_nothing_bends_nothing_goes() -> None:
    for logits in (torch.zeros(1, 6), log(0.9, 0.1), torch.full((1, 1), 3.0)):
        assert torch.equal(TailFree(0.5)(logits), logits)


# -- temperatures -----------------------------------------------------------------------------------------------------


def test_dynamic_temperature_by_hand() -> None:
    """1/2, 1/4, 1/8, 1/8 have 1.75 bits of 2, a share of 0.875. Between 0.5 and 1.5: T = 1.375, and with an exponent of
    2 it is 0.5 + 0.765625. Removed ids are not counted: then it is the same with four more of them."""
    logits = log(0.5, 0.25, 0.125, 0.125)
    torch.testing.assert_close(DynamicTemperature(0.5, 1.5)(logits), logits / 1.375)
    torch.testing.assert_close(DynamicTemperature(0.5, 1.5, exponent=2.0)(logits), logits / 1.265625)
    with_removed = torch.cat([logits, torch.full((1, 4), -torch.inf)], dim=-1).double()
    torch.testing.assert_close(DynamicTemperature(0.5, 1.5)(with_removed)[:, :4], logits / 1.375)
    flat, sure = torch.tensor([[2.0, 2.0, 2.0]]), torch.tensor([[800.0, 0.0, 0.0]])
    torch.testing.assert_close(DynamicTemperature(0.5, 1.6)(flat), flat / 1.6)
    torch.testing.assert_close(DynamicTemperature(0.5, 1.6)(sure), sure / 0.5)
    assert kept(DynamicTemperature(0.0, 2.0)(sure)) == [0]  # T = 0 is greedy


def test_quadratic_smoothing_by_hand() -> None:
    """2, 1, -1 lie 0, 1 and 3 below the best. factor 0.5: curve 1 takes off 0.5 d^2, curve 3 0.5 d^3, and curve 2 half
    of each: 0.25 (1 + 1) = 0.5 and 0.25 (9 + 27) = 9."""
    logits = torch.tensor([[1.0, 2.0, -1.0, -torch.inf]], dtype=torch.float64)
    for curve, expected in ((1.0, [1.5, 2.0, -2.5]), (2.0, [1.5, 2.0, -7.0]), (3.0, [1.5, 2.0, -11.5])):
        result = QuadraticSmoothing(0.5, curve)(logits)
        assert result[0, :3].tolist() == pytest.approx(expected)
        assert float(result[0, 3]) == -torch.inf


# -- penalties --------------------------------------------------------------------------------------------------------


def test_presence_and_frequency_by_hand() -> None:
    """The prompt is 0 1 1, the text 2 2 0 2: by default only the text counts, as in vLLM; 2 occurs three times."""
    prefix, logits = after([0, 1, 1, 2, 2, 0, 2], prompt_length=3), torch.zeros(1, 4)
    for processor, expected in (
        (PresencePenalty(0.5), [-0.5, 0.0, -0.5, 0.0]),
        (PresencePenalty(0.5, include_prompt=True), [-0.5, -0.5, -0.5, 0.0]),
        (PresencePenalty(0.5, window=1), [0.0, 0.0, -0.5, 0.0]),
        (PresencePenalty(-0.5), [0.5, 0.0, 0.5, 0.0]),
        (FrequencyPenalty(0.5), [-0.5, 0.0, -1.5, 0.0]),
        (FrequencyPenalty(0.5, include_prompt=True), [-1.0, -1.0, -1.5, 0.0]),
        (FrequencyPenalty(0.5, window=2, include_prompt=True), [-0.5, 0.0, -0.5, 0.0]),
        (FrequencyPenalty(0.5, window=6, include_prompt=True), [-0.5, -1.0, -1.5, 0.0]),
        (FrequencyPenalty(0.5, window=6), [-0.5, 0.0, -1.5, 0.0]),  # the window reaches into the prompt
    ):
        assert processor(logits, prefix)[0].tolist() == expected, processor


# -- Mirostat ---------------------------------------------------------------------------------------------------------


def zipf(s: float, n: int) -> Tensor:
    """Probabilities that fall as rank^-s; the estimate of s is then exact."""
    return -s * torch.arange(1, n + 1, dtype=torch.float64).log()[None]


@pytest.mark.parametrize("exponent", [1.2, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("tau", [1.0, 2.0, 3.0, 4.5])
def test_mirostat_1_on_zipfs_law(exponent: float, tau: float) -> None:
    """k = ((s - 1) 2^mu / (1 - N^-(s - 1)))^(1 / s), rounded; and Basu's program adds 1 to it. With s = 2, N = 1000 and
    mu = 6: (64 / 0.999)^(1 / 2) = 8.004, so 9 ids stay."""
    n = 1000
    k = ((exponent - 1) * 2 ** (2 * tau) / (1 - n ** -(exponent - 1))) ** (1 / exponent)
    assert kept(Mirostat(tau, 0.1, version=1)(zipf(exponent, n))) == list(range(min(round(k) + 1, n)))
    if (exponent, tau) == (2.0, 3.0):
        assert round(k) + 1 == 9


def mirostat_run(
    processor: Mirostat, rows: Sequence[Tensor], chosen: Sequence[int], among: Sequence[int] | None = None
) -> tuple[list[int], list[float]]:
    """How many ids stay in each step, and mu in it. The mutant takes surprises among the likeliest few ids: those that
    are left after the truncation."""
    state, prefix, sizes, mus = processor.start(1), after([0]), list[int](), list[float]()
    for step, (row, id) in enumerate(zip(rows, chosen, strict=True)):
        result, state = processor.step(row[None], prefix, state, Gumbel(0))
        sizes.append(int((result > -torch.inf).sum()))
        mus.append(float(state[0][0]))
        if among is not None:
            truncated = TopK(among[step])(row[None].double())
            state = (state[0], -truncated.log_softmax(dim=-1) / math.log(2))
        prefix = prefix.append(torch.tensor([id]))
    return sizes, mus


def test_mu_by_hand() -> None:
    """1/2, 1/4, 1/8, 1/8 and then the same again; tau = 1.1 and eta = 0.5, so mu begins at 2.2 and ids of 1 and 2 bits
    stay. The second has 2 bits: mu = 2.2 - 0.5 (2 - 1.1) = 1.75, and one id stays. After the truncation, as llama.cpp
    and text-generation-webui have it, it would have a third: log2 3 = 1.585 bits, and mu = 1.958. With the first, of 1
    bit, mu = 2.25; and then once more 2.3."""
    rows = [log(0.5, 0.25, 0.125, 0.125)[0]] * 3
    sizes, mus = mirostat_run(Mirostat(1.1, 0.5), rows, [1, 0, 0])
    assert sizes == [2, 1, 1] and mus == pytest.approx([2.2, 1.75, 1.8])
    _, mus = mirostat_run(Mirostat(1.1, 0.5), rows, [0, 0, 0])
    assert mus == pytest.approx([2.2, 2.25, 2.3])
    _, mus = mirostat_run(Mirostat(1.1, 0.5), rows, [1, 0, 0], among=[2, 1, 1])
    assert mus[1] == pytest.approx(2.2 - 0.5 * (math.log2(3) - 1.1))


def test_published_cases_of_vllm_for_mirostat() -> None:
    """1024 equal ids have 10 bits each: with tau = 5 and eta = 0.1 mu goes from 10 to 9.5. And it rises where the model
    is certain. At mu = 10 all of the equals stay."""
    sizes, mus = mirostat_run(Mirostat(5.0, 0.1), [torch.zeros(1024)] * 2, [0, 0])
    assert sizes == [1024, 1] and mus == pytest.approx([10.0, 9.5])
    certain = torch.full((512,), -50.0)
    certain[0] = 50.0
    _, mus = mirostat_run(Mirostat(5.0, 0.1), [certain] * 2, [0, 0])
    assert mus == pytest.approx([10.0, 10.5])


def test_mirostat_2_is_llama_cpps_but_for_the_distribution_of_the_surprise() -> None:
    """Their runs, step by step, with the ids that they drew. The mutant that takes surprises after its truncation keeps
    as many ids as llama.cpp in every step; ours follows the paper's program and parts from it after the first."""
    for (tau, eta), results in facts("mirostat_v2"):
        counts, chosen = [n for n, _ in results], [id for _, id in results]
        assert mirostat_run(Mirostat(tau, eta), ROWS[: len(results)], chosen, among=counts)[0] == counts
        ours, _ = mirostat_run(Mirostat(tau, eta), ROWS[: len(results)], chosen)
        assert ours[0] == counts[0] and ours != counts


def test_mirostat_1_rounds_and_adds_1_and_llama_cpp_cuts_off() -> None:
    """k is cut off to a whole number there; rounded, and 1 added, here: 1 or 2 more, as far as there are ids. (Below 1
    it is made 1 there, and here it is rounded like any other.)"""
    for (tau, eta), results in facts("mirostat"):
        counts, chosen = [n for n, _ in results], [id for _, id in results]
        ours, _ = mirostat_run(Mirostat(tau, eta, version=1), ROWS[: len(results)], chosen, among=counts)
        assert {here - there for here, there in zip(ours, counts, strict=True) if 1 < there < 31} == {1, 2}
        assert all(here == 32 for here, there in zip(ours, counts, strict=True) if there >= 31)


# -- banned words -----------------------------------------------------------------------------------------------------


def test_banned_words_cannot_be_written_as_the_tokenizer_writes_them(tokenizer: Tokenizer) -> None:
    """Every form, with and without a space before it. Its last id goes after the others, and after nothing else."""
    ban = BanWords(["magenta", "cat"], tokenizer)
    for form in ("magenta", " magenta", "Magenta", " MAGENTA", "cat", " cat", " Cat", "CAT"):
        ids = tokenizer.encode(form)
        context = [*tokenizer.encode("She saw the"), *ids[:-1]]
        result = ban(torch.zeros(1, tokenizer.n_vocab), after(context))
        assert float(result[0, ids[-1]]) == -torch.inf, form
        if len(ids) > 1:
            assert float(ban(torch.zeros(1, tokenizer.n_vocab), after(context[:-1]))[0, ids[-1]]) == 0.0, form
    only_lower = BanSequences([tokenizer.encode("cat")])  # the mutant: one form
    result = only_lower(torch.zeros(1, tokenizer.n_vocab), after(tokenizer.encode("The")))
    assert float(result[0, tokenizer.encode(" cat")[0]]) == 0.0


def test_loopholes_spell_a_form_and_slip_through(tokenizer: Tokenizer) -> None:
    ban = BanWords(["cat"], tokenizer)
    forms = {"cat", " cat", "Cat", " Cat", "CAT", " CAT"}
    loopholes = ban.loopholes(most=6)
    assert len(loopholes) == 6 == len(set(loopholes))
    for ids in loopholes:
        assert tokenizer.decode(ids) in forms and tuple(tokenizer.encode(tokenizer.decode(ids))) != tuple(ids)
        for end in range(len(ids)):
            result = ban(torch.zeros(1, tokenizer.n_vocab), after([318, *ids[:end]]))
            assert float(result[0, ids[end]]) == 0.0
