"""Temperature, top-k and top-p: hand cases, brute force, and the well-known mistakes that the tests would catch."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from decoding import Processor, Sample, Temperature, TopK, TopP, generate_ids
from decoding.toy import TableModel


def kept(logits: Tensor) -> list[set[int]]:
    """The ids of each row that are not removed."""
    return [set((row > -torch.inf).nonzero()[:, 0].tolist()) for row in logits]


def log(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


# -- temperature ------------------------------------------------------------------------------------------------------


def test_temperature_divides_the_logits() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5, -torch.inf]])
    assert torch.equal(Temperature(0.5)(logits), torch.tensor([[2.0, -4.0, 1.0, -torch.inf]]))
    assert torch.equal(Temperature(2.0)(logits), torch.tensor([[0.5, -1.0, 0.25, -torch.inf]]))


def test_temperature_zero_is_the_argmax_with_ties_to_the_lowest_id() -> None:  # law 1
    logits = torch.tensor([[1.0, 3.0, 3.0], [-5.0, -5.0, -5.0], [-torch.inf, -7.0, -torch.inf]])
    assert kept(Temperature(0.0)(logits)) == [{1}, {0}, {1}]

    def temperature_with_a_floor(logits: Tensor) -> Tensor:  # the mutant: max(T, 1e-5) never reaches the limit
        return logits / max(0.0, 1e-5)

    assert kept(temperature_with_a_floor(logits))[0] == {0, 1, 2}
    assert float(temperature_with_a_floor(logits).softmax(dim=-1)[0, 1]) == 0.5  # and ties are a coin flip


@pytest.mark.parametrize("temperature", [1e-3, 1e-4, 1e-40, 1e-300, 5e-324])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiny_temperatures_are_almost_greedy_and_never_nan(temperature: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[-90.0, -91.0, -torch.inf], [1e30, -1e30, 0.0], [7.0, 7.0, 7.0]], dtype=dtype)
    result = Temperature(temperature)(logits)
    assert not bool(result.isnan().any()) and not bool((result == torch.inf).any())
    expected = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]], dtype=dtype)
    torch.testing.assert_close(result.softmax(dim=-1), expected, rtol=1e-6, atol=1e-6)  # equals stay equal


def test_a_temperature_shows_the_right_odds_where_the_rule_for_small_ones_begins() -> None:
    """On both sides of the place where the rule changes, odds of two ids are exp(gap / T); 1e-9 for rounding."""
    for temperature in (0.9e-3, 1.1e-3):
        logits = torch.tensor([[-100.0, -100.0 - 2 * temperature]], dtype=torch.float64)
        p = Temperature(temperature)(logits).softmax(dim=-1)[0]
        assert float(p[0] / p[1]) == pytest.approx(math.exp(2.0), rel=1e-9)


# -- top-k ------------------------------------------------------------------------------------------------------------


def top_k_that_keeps_ties(logits: Tensor, k: int) -> Tensor:
    """The mutant: everything that is not below the k-th logit stays."""
    return logits.masked_fill(logits < logits.topk(k, dim=-1).values[..., -1:], -torch.inf)


def test_top_k_keeps_exactly_k_and_of_equals_the_lowest_ids() -> None:  # laws 1 and 3
    logits = torch.tensor([[2.0, 5.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert kept(TopK(1)(logits)) == [{1}, {0}]
    assert kept(TopK(2)(logits)) == [{0, 1}, {0, 1}]
    assert kept(TopK(3)(logits)) == [{0, 1, 2}, {0, 1, 2}]
    assert kept(top_k_that_keeps_ties(logits, 2)) == [{0, 1, 2, 3}, {0, 1, 2, 3, 4}]


def test_top_k_counts_only_ids_that_are_not_yet_removed() -> None:  # law 3
    logits = torch.tensor([[-torch.inf, 1.0, -torch.inf, 0.0, -1.0], [-torch.inf, -torch.inf, 2.0, -torch.inf, 2.0]])
    assert kept(TopK(2)(logits)) == [{1, 3}, {2, 4}]
    assert kept(TopK(4)(logits)) == [{1, 3, 4}, {2, 4}]
    assert torch.equal(TopK(4)(logits), logits)


def test_top_k_is_a_sort_cut_off() -> None:  # law 3
    for trial in range(300):
        n = 2 + trial % 9
        logits = torch.randint(-3, 4, (1, n)).double()
        logits[torch.rand(1, n) < 0.2] = -torch.inf
        k = 1 + trial % n
        best = sorted(range(n), key=lambda i: (-float(logits[0, i]), i))[:k]
        assert kept(TopK(k)(logits)) == [{i for i in best if logits[0, i] > -torch.inf}]


# -- top-p ------------------------------------------------------------------------------------------------------------


def top_p_that_stops_short(logits: Tensor, p: float) -> Tensor:
    """The mutant: sum <= p, so that the id that crosses p goes (the first one stays all the same)."""
    ranked, ids = logits.sort(dim=-1, descending=True, stable=True)
    removed = ranked.softmax(dim=-1).cumsum(dim=-1) > p
    removed[..., 0] = False
    return logits.masked_fill(removed.scatter(-1, ids, removed), -torch.inf)


def top_p_off_by_one(logits: Tensor, p: float) -> Tensor:
    """The mutant: an id stays if all likelier ones hold at most p, one too many where they hold exactly p."""
    ranked, ids = logits.sort(dim=-1, descending=True, stable=True)
    mass = ranked.softmax(dim=-1)
    removed = mass.cumsum(dim=-1) - mass > p
    return logits.masked_fill(removed.scatter(-1, ids, removed), -torch.inf)


def smallest_nucleus(logits: Tensor, p: float) -> set[int]:
    """The definition, from all subsets: fewest ids with at least p; of these the most mass; of these the lowest ids."""
    best = float(logits.max())
    weights = [math.exp(float(logit) - best) for logit in logits]
    total = math.fsum(weights)
    for size in range(1, len(weights) + 1):
        subsets = itertools.combinations(range(len(weights)), size)
        masses = [(math.fsum(weights[i] for i in ids) / total, ids) for ids in subsets]
        enough = [(-mass, ids) for mass, ids in masses if mass >= p]
        if enough:
            return set(min(enough)[1])
    raise AssertionError("all ids together hold less than p")


def nucleus_cases() -> list[tuple[Tensor, float]]:
    """Random rows of up to 8 ids, half of them with ties. No mass comes near p by chance: p has 53 random bits."""
    source = random.Random(3)
    cases = []
    for trial in range(400):
        n = source.randint(1, 8)
        draw: Callable[[], float] = (
            (lambda: source.gauss(0, 2)) if trial % 2 else (lambda: float(source.randint(-1, 1)))
        )
        logits = torch.tensor([draw() for _ in range(n)], dtype=torch.float64)
        if n > 2 and trial % 5 == 0:
            logits[source.randrange(n)] = -torch.inf
        cases.append((logits, source.uniform(0.001, 0.999)))
    return cases


def test_top_p_keeps_the_smallest_set_of_at_least_p() -> None:  # law 3
    for logits, p in nucleus_cases():
        assert kept(TopP(p)(logits[None])) == [smallest_nucleus(logits, p)], (logits, p)
    assert any(
        kept(top_p_that_stops_short(logits[None], p)) != [smallest_nucleus(logits, p)] for logits, p in nucleus_cases()
    )


def test_top_p_keeps_the_id_that_crosses_p() -> None:  # law 3
    logits = log(0.5, 0.3, 0.2)
    assert kept(TopP(0.7)(logits)) == [{0, 1}]  # 0.5 < 0.7 <= 0.8
    assert kept(top_p_that_stops_short(logits, 0.7)) == [{0}]
    assert kept(TopP(0.4)(logits)) == [{0}]
    assert kept(TopP(0.81)(logits)) == [{0, 1, 2}]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, -100.0, 37.5, 1e4, 1e7, 1e30, -1e30])
def test_top_p_of_equal_ids_keeps_exactly_as_many_as_p_says(dtype: torch.dtype, offset: float) -> None:  # law 3
    """n equal ids of 1/n each: at p = k/n, k of them hold exactly p, whatever the logits they all have.

    n are powers of two, so that k/n and all sums are exact.
    """
    for n in (2, 4, 8, 16):
        for k in range(1, n + 1):
            row = torch.full((1, n), offset, dtype=dtype)
            assert kept(TopP(k / n)(row)) == [set(range(k))], (n, k)


def test_top_p_at_equality_keeps_no_extra_id() -> None:  # law 3
    row = torch.zeros(1, 4, dtype=torch.float64)
    assert kept(TopP(0.5)(row)) == [{0, 1}]
    assert kept(top_p_off_by_one(row, 0.5)) == [{0, 1, 2}]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits(dtype: torch.dtype) -> None:
    rows = [
        [1e30, -1e30, 0.0, 5.0],
        [-1e30, -1e30, -1e30, -1e30],
        [-torch.inf, -1e30, -torch.inf, -torch.inf],
        [1e30, 1e30, -torch.inf, 0.0],
    ]
    logits = torch.tensor(rows, dtype=dtype)
    assert kept(TopP(0.9)(logits)) == [{0}, {0, 1, 2, 3}, {1}, {0, 1}]
    assert kept(TopP(1e-9)(logits)) == [{0}, {0}, {1}, {0}]
    assert kept(TopK(2)(logits)) == [{0, 3}, {0, 1}, {1}, {0, 1}]
    assert kept(Temperature(0.0)(logits)) == [{0}, {0}, {1}, {0}]
    assert kept(Temperature(1.5)(logits)) == kept(logits)


def stable_top_p(logits: Tensor, p: float) -> Tensor:
    """Top-p by sorting everything, in float64: the definition that the shortcut has to reproduce."""
    ranked, ids = logits.double().sort(dim=-1, descending=True, stable=True)
    mass = ranked.softmax(dim=-1)
    removed = mass.cumsum(dim=-1) - mass >= p
    return logits.masked_fill(torch.empty_like(removed).scatter(-1, ids, removed), -torch.inf)


def test_a_large_nucleus_and_a_small_one_in_a_batch() -> None:
    flat, sharp = torch.randn(5000, dtype=torch.float64) / 4, torch.randn(5000, dtype=torch.float64) * 4
    even = torch.zeros(5000, dtype=torch.float64)
    for batch in (torch.stack([flat]), torch.stack([sharp]), torch.stack([sharp, flat, sharp])):
        result = TopP(0.9)(batch)
        assert torch.equal(result, stable_top_p(batch, 0.9))
        for row, alone in zip(result, batch, strict=True):
            assert torch.equal(row, TopP(0.9)(alone))  # law 5
    assert len(kept(TopP(0.9)(flat[None]))[0]) > 4000 > 100 > len(kept(TopP(0.9)(sharp[None]))[0])
    assert kept(TopP(0.5)(torch.stack([even, sharp])))[0] == set(range(2500))  # ties go to the lowest, here too
    around = torch.zeros(2048, dtype=torch.float64)  # the head holds exactly one half
    assert kept(TopP(0.5)(around[None])) == [set(range(1024))]
    assert kept(TopP(0.5 + 2**-20)(around[None])) == [set(range(1025))]


# -- all of them ------------------------------------------------------------------------------------------------------


def test_the_order_is_what_the_user_wrote() -> None:  # law 4
    logits = log(0.5, 0.3, 0.15, 0.05)

    def through(*processors: Processor) -> list[set[int]]:
        result = logits
        for processor in processors:
            result = processor(result)
        return kept(result)

    assert through(Temperature(3.0), TopP(0.7)) == [{0, 1, 2}]  # flattened, it takes three ids to hold 0.7
    assert through(TopP(0.7), Temperature(3.0)) == [{0, 1}]
    assert through(TopK(3), TopP(0.8)) == [{0, 1}]  # of three ids renormalised, two hold 0.842
    model = TableModel.bigram(logits.repeat(4, 1), 8)
    for order, expected in (((Temperature(3.0), TopP(0.7)), {0, 1, 2}), ((TopP(0.7), Temperature(3.0)), {0, 1})):
        found = generate_ids(model, [[0]], Sample(*order), max_new_tokens=1, seed=1, num_samples=200)
        assert {one.ids[0] for one in found} == expected  # a strategy keeps the order, too


@pytest.mark.parametrize("bad", [-1.0, -1e-9, float("nan"), float("inf"), -float("inf"), True, "1", None])
def test_a_bad_temperature_is_refused_in_words(bad: float) -> None:  # law 13
    with pytest.raises(ValueError, match=f"temperature is a number of at least 0; got {bad!r}"):
        Temperature(bad)


@pytest.mark.parametrize("bad", [0, -3, 1.5, 5.0, float("nan"), float("inf"), True, False, "3", None])
def test_a_bad_k_is_refused_in_words(bad: int) -> None:  # law 13
    with pytest.raises(ValueError, match=f"top-k is a number of ids, at least 1; got {bad!r}"):
        TopK(bad)


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.5, 1.0000001, float("nan"), float("inf"), True, "0.9", None])
def test_a_bad_p_is_refused_in_words(bad: float) -> None:  # law 13
    with pytest.raises(ValueError, match=f"top-p is a probability mass, above 0 and at most 1; got {bad!r}"):
        TopP(bad)


def test_processors_are_values_that_print_as_they_are_written() -> None:
    assert TopP(0.9) == TopP(0.9) != TopP(0.8)
    assert repr(TopP(0.9)) == "TopP(0.9)" and repr(Temperature(0.7)) == "Temperature(0.7)"
    assert len({TopK(3), TopK(3), TopK(4)}) == 2
    with pytest.raises(AttributeError):
        TopK(3).k = 4  # type: ignore[misc]


def test_a_nucleus_does_not_depend_on_the_rows_beside_it() -> None:  # law 5
    """p within a few units of float64 of every boundary: a total added up in another order would show.

    Two threads, because sum() divides the work among them, for one row otherwise than for two.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in range(20):
            rows = 3 * torch.randn(2, 50_257, dtype=torch.float64)
            rows[:, :300] += 12  # the nucleus ends among the first thousand
            weights = (rows[0] - rows[0].max()).exp().sort(descending=True).values
            for size in (10, 100, 250):
                p = float(weights[:size].sum() / weights.sum())
                for _ in range(4):
                    assert torch.equal(TopP(p)(rows)[0], TopP(p)(rows[:1])[0])
                    p = math.nextafter(p, 1.0)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("head", [1, 2, 4, 7])
def test_a_nucleus_is_the_same_whether_the_head_holds_it_or_not(head: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a head of a few ids, rows end within it, at its border, among equals across it, and far behind it."""
    logits = torch.randint(-3, 4, (3000, 9)).float()
    logits[::5] = torch.randn(600, 9)
    logits[torch.rand(3000, 9) < 0.1] = -torch.inf
    sizes = set()
    for p in (0.1, 0.5, 0.8, 0.999999):
        whole = TopP(p)(logits)
        with monkeypatch.context() as patch:
            patch.setattr("decoding.processors.distribution.HEAD", head)
            for row, one in zip(logits[:1000], whole[:1000], strict=True):
                assert torch.equal(TopP(p)(row), one)
            assert torch.equal(TopP(p)(logits), whole)
        sizes |= set((whole > -torch.inf).sum(dim=-1).tolist())
    assert {head - 1, head, head + 1} - {0} <= sizes


def test_numbers_of_numpy_are_numbers() -> None:
    import numpy as np

    logits = torch.randn(3, 20)
    assert torch.equal(TopK(np.int64(3))(logits), TopK(3)(logits))  # type: ignore[arg-type]
    assert torch.equal(TopP(np.float64(0.7))(logits), TopP(0.7)(logits))
    assert torch.equal(Temperature(np.float64(0.7))(logits), Temperature(0.7)(logits))


def test_enormous_temperatures_flatten_and_are_never_nan() -> None:
    logits = TopK(2)(torch.tensor([[1.0, 2.0, 3.0, 0.0]]))
    for temperature in (1e29, 1e39, 1e300):
        assert Temperature(temperature)(logits).softmax(dim=-1).tolist() == [[0.0, 0.5, 0.5, 0.0]]
    with pytest.raises(ValueError, match="temperature is a number of at least 0"):
        Temperature(10**400)


def test_a_table_is_checked() -> None:  # law 13
    for table in (torch.randn(3, 5), torch.ones(3, 3, dtype=torch.int64)):
        with pytest.raises(ValueError, match="a table has a row of logits an id"):
            TableModel.bigram(table, 6)
