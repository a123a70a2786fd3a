"""Temperature, top-k and top-p against transformers' warpers, on thousands of random rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import Temperature, TopK, TopP
from tests.parity.reference import COMBINATIONS, our_processors

pytestmark = pytest.mark.parity

SIZES = [(5, 1000), (17, 1000), (100, 1000), (777, 800), (2000, 600), (50257, 40)]  # vocabularies, and rows of each


def rows(V: int, R: int, seed: int = 0) -> Tensor:
    """(R, V) logits from nearly flat to nearly certain; in every third row some ids are already removed."""
    generator = torch.Generator().manual_seed(seed + V)
    scale = torch.logspace(-1, 1, R)[torch.randperm(R, generator=generator)][:, None]  # (R, 1): from 0.1 to 10
    if V > 10_000:
        scale = scale.clamp(min=5.0)  # entropies of 0.3 to 4.6 nats, as a trained model's are
    logits = scale * torch.randn(R, V, generator=generator) - 5.0
    removed = torch.rand(R, V, generator=generator) < torch.rand(R, 1, generator=generator)
    removed[torch.arange(R) % 3 > 0] = False
    removed[:, V // 2] = False  # one id always stays
    return logits.masked_fill(removed, -torch.inf)


def warped(name: str, value: float, logits: Tensor) -> Tensor:
    """What transformers makes of logits (R, V)."""
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    makers: dict[str, Any] = {
        "temperature": TemperatureLogitsWarper,
        "top_k": TopKLogitsWarper,
        "top_p": TopPLogitsWarper,
    }
    return makers[name](value)(torch.empty(len(logits), 0, dtype=torch.int64), logits.clone())


def is_near(logits: Tensor, p: float, margin: float = 1e-6) -> Tensor:
    """(R,) where rounding may decide: a mass that top-p looks at lies within `margin` of p, or the last two are equal.

    Ids are ranked and summed in float64.
    """
    ranked = logits.sort(dim=-1, descending=True).values  # (R, V)
    mass = ranked.double().softmax(dim=-1).cumsum(dim=-1)  # (R, V)
    last = (
        (mass < p).sum(dim=-1, keepdim=True).clamp(max=logits.shape[-1] - 2)
    )  # (R, 1): where the id stands that crosses p
    tied = (ranked.gather(-1, last) == ranked.gather(-1, last + 1))[:, 0] & (ranked.gather(-1, last)[:, 0] > -torch.inf)
    return ((mass - p).abs() < margin).any(dim=-1) | tied


def is_tied(logits: Tensor, k: int) -> Tensor:
    """(R,) where the k-th likeliest id is as likely as the next one."""
    if k >= logits.shape[-1]:
        return torch.zeros(len(logits), dtype=torch.bool)
    best = logits.topk(k + 1, dim=-1).values  # (R, k + 1)
    return (best[:, -1] == best[:, -2]) & (best[:, -1] > -torch.inf)


@pytest.mark.parametrize(("V", "R"), SIZES)
@pytest.mark.parametrize("temperature", [0.01, 0.3, 0.7, 1.0, 1.3, 5.0])
def test_temperature(V: int, R: int, temperature: float) -> None:
    logits = rows(V, R)
    assert torch.equal(Temperature(temperature)(logits), warped("temperature", temperature, logits))


def test_temperatures_too_small_to_divide_by() -> None:
    """Below 1e-3 we move the best logit to 0, so that nothing overflows; the distribution is the same."""
    logits = rows(100, 1000)
    for temperature in (1e-4, 1e-6):
        ours, theirs = Temperature(temperature)(logits), warped("temperature", temperature, logits)
        assert torch.equal(ours.argmax(dim=-1), theirs.argmax(dim=-1))
        assert torch.allclose(ours.softmax(dim=-1), theirs.softmax(dim=-1), atol=2e-2)  # theirs: 50 / 1e-4 in float32
    assert bool(warped("temperature", 1e-38, logits).isinf().all(dim=-1).any())  # the overflow
    assert bool(Temperature(1e-38)(logits).softmax(dim=-1).isfinite().all())


def test_temperature_0_is_greedy_here_and_an_error_there() -> None:  # law 1
    with pytest.raises(ValueError, match="strictly positive"):
        warped("temperature", 0.0, torch.zeros(1, 2))
    kept = Temperature(0.0)(torch.tensor([[1.0, 3.0, 3.0]])) > -torch.inf
    assert kept.tolist() == [[False, True, False]]


@pytest.mark.parametrize(("V", "R"), SIZES)
@pytest.mark.parametrize("k", [1, 2, 5, 40, 600, 5000])
def test_top_k(V: int, R: int, k: int) -> None:
    logits = rows(V, R)
    clear = ~is_tied(logits, k)
    assert int((~clear).sum()) <= 2 + R // 100  # float32 draws collide now and then
    assert torch.equal(TopK(k)(logits)[clear], warped("top_k", k, logits)[clear])


def test_top_k_of_equals_keeps_k_here_and_all_there() -> None:  # law 3
    """transformers removes what is below the k-th best; we keep exactly k, of equals the lower ids (law 1)."""
    logits = torch.tensor([[0.0, 1.0, 1.0, 2.0, 1.0]])
    assert (TopK(2)(logits) > -torch.inf).tolist() == [[False, True, False, True, False]]
    assert (warped("top_k", 2, logits) > -torch.inf).tolist() == [[False, True, True, True, True]]


def test_top_k_of_many_equals() -> None:  # law 3
    """On logits rounded to whole numbers: ours are k of theirs, the best ones and then the lowest ids."""
    logits = rows(100, 1000).round()
    for k in (1, 3, 10):
        ours, theirs = TopK(k)(logits) > -torch.inf, warped("top_k", k, logits) > -torch.inf
        left = (logits > -torch.inf).sum(dim=-1)
        assert torch.equal(ours.sum(dim=-1), left.clamp(max=k))
        assert bool((theirs | ~ours).all()) and bool((theirs & ~ours).any())
        for row, keeps, keeps_there in zip(logits, ours, theirs, strict=True):
            ranked = sorted(keeps_there.nonzero()[:, 0].tolist(), key=lambda id: (-float(row[id]), id))
            assert set(keeps.nonzero()[:, 0].tolist()) == set(ranked[:k])


@pytest.mark.parametrize(("V", "R"), SIZES)
@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99])
def test_top_p(V: int, R: int, p: float) -> None:
    """Equal wherever no mass comes within 1e-6 of p: that close, rounding decides, here as there."""
    logits = rows(V, R)
    clear = ~is_near(logits, p)
    assert int((~clear).sum()) <= 2 + R // 50
    assert torch.equal(TopP(p)(logits)[clear], warped("top_p", p, logits)[clear])


@pytest.mark.parametrize("p", [0.3, 0.9])
def test_top_p_off_by_one_is_caught(p: float) -> None:
    """The mutant that stops short of the id that crosses p."""
    logits = rows(100, 1000)
    ranked, ids = logits.sort(dim=-1, descending=True)
    mass = ranked.softmax(dim=-1).cumsum(dim=-1)
    removed = torch.empty_like(ids, dtype=torch.bool).scatter(-1, ids, mass > p)
    wrong = logits.masked_fill(removed, -torch.inf)
    differs = (wrong != warped("top_p", p, logits)).any(dim=-1)
    assert float(differs.float().mean()) > 0.9


def test_top_p_of_equals_keeps_lower_ids_here_and_higher_ones_there() -> None:  # laws 1 and 3
    """Both keep three of four. transformers sorts upwards and removes from the beginning."""
    logits = torch.zeros(1, 4)
    assert (TopP(0.6)(logits) > -torch.inf).tolist() == [[True, True, True, False]]
    assert (warped("top_p", 0.6, logits) > -torch.inf).tolist() == [[False, True, True, True]]


def test_top_p_of_1_changes_nothing_here_and_something_there() -> None:  # law 2
    """A probability of 1e-60 rounds to 0 in float32; transformers removes the id although p = 1 asks for all."""
    logits = torch.tensor([[0.0, -140.0]])
    assert torch.equal(TopP(1.0)(logits), logits)
    assert warped("top_p", 1.0, logits).tolist() == [[0.0, -torch.inf]]


@pytest.mark.parametrize("settings", COMBINATIONS, ids=str)
@pytest.mark.parametrize(("V", "R"), SIZES)
def test_combinations(V: int, R: int, settings: dict[str, float]) -> None:
    """One after another, in the order in which `generate` applies them."""
    ours = theirs = rows(V, R, seed=1)
    clear = torch.ones(R, dtype=torch.bool)
    for processor, (name, value) in zip(our_processors(settings), settings.items(), strict=True):
        if name == "top_k":
            clear &= ~is_tied(theirs, int(value))
        if name == "top_p":
            clear &= ~is_near(theirs, value)
        ours, theirs = processor(ours), warped(name, value, theirs)
    assert int((~clear).sum()) <= 3 + R // 50
    assert torch.equal(ours[clear], theirs[clear])


def test_any_order() -> None:  # law 4
    """Ours act in the order written; the same warpers in that order agree, and in another order do not."""
    logits = rows(100, 500)
    ours = Temperature(2.0)(TopK(10)(TopP(0.9)(logits)))
    same = warped("temperature", 2.0, warped("top_k", 10, warped("top_p", 0.9, logits)))
    other = warped("top_p", 0.9, warped("top_k", 10, warped("temperature", 2.0, logits)))
    assert not bool(is_near(logits, 0.9).any())
    assert torch.equal(ours, same)
    assert not torch.equal(ours, other)
