"""Every processor that transformers has, too, against its own, on thousands of random rows."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import (
    BanSequences,
    EpsilonCutoff,
    EtaCutoff,
    Force,
    LogitBias,
    MinNewTokens,
    MinP,
    NoRepeatNGram,
    Prefix,
    RepetitionPenalty,
    Suppress,
    Temperature,
    TopH,
    TopK,
    TopNSigma,
    TopP,
    TypicalP,
)
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


# -- every other processor that transformers has ----------------------------------------------------------------------
#
# Rules that compare with a threshold are compared id by id: theirs work in float32 and ours in float64, so that an id
# closer to the threshold than rounding may fall on either side. Each test says how close that is, leaves out exactly
# those ids, and counts them.

MORE_SIZES = [(5, 1500), (17, 1500), (100, 1500), (777, 800), (2000, 400), (50257, 24)]
each_size = pytest.mark.parametrize(("V", "R"), MORE_SIZES)
CLOSE = 1e-4  # in nats, for what is summed over a row: float32 entropies are off by about 1e-5


def inputs(V: int, R: int, seed: int = 0) -> Tensor:
    """(R', V): `rows`, some rounded, so that most ids have equals, some a thousand times as large, and extremes."""
    ordinary = rows(V, R, seed)
    special = torch.zeros(4, V)
    special[1, 1:] = -torch.inf  # one id alone
    special[2, ::2] = 1e4
    special[3, V // 2] = 200.0  # in float32 the others have a probability of 0
    return torch.cat([ordinary, ordinary[: R // 4].round(), ordinary[: R // 8] * 1000.0, special])


def texts(V: int, R: int, length: int, seed: int = 0) -> Tensor:
    """(R, length) ids that repeat: most rows use few of the vocabulary."""
    generator = torch.Generator().manual_seed(seed + V)
    used = torch.randint(1, V + 1, (R, 1), generator=generator).clamp(max=V)
    used[::2] = used[::2].clamp(max=4)
    return (torch.rand(R, length, generator=generator) * used).long()


def prefix_of(ids: Tensor, prompt_lengths: Tensor | int = 0, eos_id: int | None = None) -> Prefix:
    """Rows of equal length, as transformers has them; the first so many ids of each are the prompt."""
    lengths = torch.full((len(ids),), ids.shape[1])
    prompts = torch.zeros(len(ids), dtype=torch.int64) + prompt_lengths
    return Prefix(ids, lengths, prompts, torch.zeros_like(lengths), eos_id)


def theirs(name: str, logits: Tensor, *arguments: Any, ids: Tensor | None = None, **named: Any) -> Tensor:
    """What transformers' processor of this name makes of logits (R, V) after ids (R, T)."""
    import transformers.generation.logits_process as module

    so_far = torch.empty(len(logits), 0, dtype=torch.int64) if ids is None else ids
    return getattr(module, name)(*arguments, **named)(so_far.clone(), logits.clone())


def log_p(logits: Tensor) -> Tensor:
    """(R, V) natural logarithms of the probabilities, in float64."""
    return logits.double().log_softmax(dim=-1)


def entropies(logits: Tensor) -> Tensor:
    """(R, 1) in nats, in float64."""
    p = log_p(logits)
    return -(p.exp() * p.masked_fill(p == -torch.inf, 0.0)).sum(dim=-1, keepdim=True)


def differ(ours: Tensor, other: Tensor, open_ids: Tensor) -> Tensor:
    """(R, V) where two results are not equal, but for the ids that rounding decides."""
    return (ours != other) & ~open_ids


def assert_equal(ours: Tensor, other: Tensor, open_ids: Tensor, most: float) -> None:
    """Equal bit for bit, but for ids that rounding (or law 1) decides, which may be at most this share of all."""
    assert not bool(differ(ours, other, open_ids).any())
    assert float(open_ids.double().mean()) <= most


# min-p


def open_for_min_p(logits: Tensor, p: float) -> Tensor:
    """Within 1e-5 nats of the threshold, and two steps of float32 at the size of the best logit."""
    best = logits.amax(dim=-1, keepdim=True)
    step = 2 * (torch.nextafter(best.abs(), torch.tensor(torch.inf)) - best.abs())
    gap = best.double() + math.log(p) - logits.double()
    return (gap.abs() < 1e-5 + step) & (logits < best)


@each_size
@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9, 1.0])
def test_min_p(V: int, R: int, p: float) -> None:
    logits = inputs(V, R)
    assert_equal(MinP(p)(logits), theirs("MinPLogitsWarper", logits, p), open_for_min_p(logits, p), most=2e-4)


def test_min_p_against_the_mass_instead_of_the_best_is_caught() -> None:
    logits = rows(100, 1000)
    wrong = EpsilonCutoff(0.1)(logits)  # the mutant: p_i >= 0.1
    found = differ(wrong, theirs("MinPLogitsWarper", logits, 0.1), open_for_min_p(logits, 0.1))
    assert float(found.any(dim=-1).float().mean()) > 0.5


def test_min_p_compares_logits_here_and_probabilities_that_underflow_there() -> None:
    """1e-50 times the best is 0 in float32, and nothing is below 0; 200 nats below is far below ln 1e-50 = -115."""
    logits = torch.tensor([[0.0, -100.0, -200.0]])
    assert (MinP(1e-50)(logits) > -torch.inf).tolist() == [[True, True, False]]
    assert (theirs("MinPLogitsWarper", logits, 1e-50) > -torch.inf).tolist() == [[True, True, True]]


# epsilon and eta


def open_at(logits: Tensor, threshold: Tensor, margin: float) -> Tensor:
    """Ids whose log-probability is nearer than `margin` to the threshold (R, 1), and rows whose best id has equals but
    does not reach it: there we keep the lowest (law 1), and transformers all of them."""
    p = log_p(logits)
    best = p.amax(dim=-1, keepdim=True)
    tied = (p == best).sum(dim=-1, keepdim=True) > 1
    return ((p - threshold).abs() < margin) | ((p == best) & tied & (best < threshold))


@each_size
@pytest.mark.parametrize("epsilon", [1e-4, 0.01, 0.2, 0.9])
def test_epsilon_cutoff(V: int, R: int, epsilon: float) -> None:
    logits = inputs(V, R)
    open_ids = open_at(logits, torch.tensor(math.log(epsilon)), 1e-5)
    assert_equal(EpsilonCutoff(epsilon)(logits), theirs("EpsilonLogitsWarper", logits, epsilon), open_ids, most=0.08)


def log_eta(logits: Tensor, epsilon: float) -> Tensor:
    return (math.log(epsilon) / 2 - entropies(logits)).clamp(max=math.log(epsilon))


@each_size
@pytest.mark.parametrize("epsilon", [1e-4, 0.01, 0.2, 0.9])
def test_eta_cutoff(V: int, R: int, epsilon: float) -> None:
    logits = inputs(V, R)
    open_ids = open_at(logits, log_eta(logits, epsilon), CLOSE)
    assert_equal(EtaCutoff(epsilon)(logits), theirs("EtaLogitsWarper", logits, epsilon), open_ids, most=5e-4)


def test_mutants_of_eta_are_caught() -> None:
    """An entropy in bits, and the rule without the minimum."""
    logits, epsilon = rows(100, 1000), 0.01
    expected, open_ids = theirs("EtaLogitsWarper", logits, epsilon), open_at(logits, log_eta(logits, epsilon), CLOSE)
    bits = (math.log(epsilon) / 2 - entropies(logits) / math.log(2)).clamp(max=math.log(epsilon))
    unbounded = math.log(epsilon) / 2 - entropies(logits)
    for threshold in (bits, unbounded):
        keep = (log_p(logits) >= threshold) | (logits == logits.amax(dim=-1, keepdim=True))
        found = differ(logits.masked_fill(~keep, -torch.inf), expected, open_ids)
        assert float(found.any(dim=-1).float().mean()) > 0.1


def test_where_none_reaches_epsilon_one_of_equals_stays_here_and_all_there() -> None:  # laws 1 and 3
    """(With eta this never happens: the best probability is at least exp(-H), which is more than eta.)"""
    logits = torch.tensor([[0.0, 1.5, 1.5, 0.0]])  # 0.09, 0.41, 0.41, 0.09
    assert (EpsilonCutoff(0.5)(logits) > -torch.inf).tolist() == [[False, True, False, False]]
    assert (theirs("EpsilonLogitsWarper", logits, 0.5) > -torch.inf).tolist() == [[False, True, True, False]]
    assert bool((log_p(inputs(17, 500)).amax(dim=-1, keepdim=True) >= log_eta(inputs(17, 500), 0.99)).all())


# typical-p


def distances(logits: Tensor) -> Tensor:
    return (-log_p(logits) - entropies(logits)).abs()


def open_for_typical_p(logits: Tensor, mass: float) -> Tensor:
    """Ids as far from the entropy as the last that stays, within CLOSE: their order is up to rounding (and equals all
    stay there, law 3); and all between where the mass comes to `mass` give or take 1e-5. One id alone stays."""
    far, order = distances(logits).sort(dim=-1)
    masses = log_p(logits).exp().gather(-1, order).cumsum(dim=-1)

    def at(mass: float) -> Tensor:
        """(R, 1) how far the id lies that brings the mass to this."""
        return far.gather(-1, (masses < mass).sum(dim=-1, keepdim=True).clamp(max=logits.shape[-1] - 1))

    size = logits.where(logits > -torch.inf, 0.0).abs().amax(dim=-1, keepdim=True).double()
    margin = CLOSE + 1e-6 * size  # a row of logits of order 1000 has distances of that order
    open_ids = (distances(logits) >= at(mass - 1e-5) - margin) & (distances(logits) <= at(mass + 1e-5) + margin)
    return open_ids & (open_ids.sum(dim=-1, keepdim=True) > 1)


@each_size
@pytest.mark.parametrize("mass", [0.1, 0.5, 0.9, 0.99])
def test_typical_p(V: int, R: int, mass: float) -> None:
    logits = inputs(V, R)
    expected = theirs("TypicalLogitsWarper", logits, mass)
    assert_equal(TypicalP(mass)(logits), expected, open_for_typical_p(logits, mass), most=0.1)
    plain = rows(V, R)  # without equals, rounding decides little
    assert float(open_for_typical_p(plain, mass).double().mean()) < 0.003


def test_mutants_of_typical_p_are_caught() -> None:
    """By likelihood, which is top-p; without the id that crosses the mass; with the entropy in bits."""
    logits, mass = rows(100, 1000), 0.7
    expected, open_ids = theirs("TypicalLogitsWarper", logits, mass), open_for_typical_p(logits, mass)
    order = distances(logits).sort(dim=-1).indices
    masses = log_p(logits).exp().gather(-1, order).cumsum(dim=-1)
    short = logits.masked_fill(torch.zeros_like(masses).scatter(-1, order, masses) > mass, -torch.inf)
    in_bits = (-log_p(logits) - entropies(logits) / math.log(2)).abs()
    order = in_bits.sort(dim=-1).indices
    masses = log_p(logits).exp().gather(-1, order)
    before = torch.zeros_like(masses).scatter(-1, order, masses.cumsum(dim=-1) - masses)
    bits = logits.masked_fill(before >= mass, -torch.inf)
    for wrong in (TopP(mass)(logits), short, bits):
        assert float(differ(wrong, expected, open_ids).any(dim=-1).float().mean()) > 0.3


def test_typical_p_of_equals_keeps_the_smallest_set_here_and_all_there() -> None:  # laws 1 and 3
    logits = torch.zeros(1, 4)
    assert (TypicalP(0.6)(logits) > -torch.inf).tolist() == [[True, True, True, False]]
    assert (theirs("TypicalLogitsWarper", logits, 0.6) > -torch.inf).tolist() == [[True, True, True, True]]


def test_typical_p_of_1_changes_nothing_here_and_is_an_error_there() -> None:  # law 2
    logits = rows(17, 10)
    assert torch.equal(TypicalP(1.0)(logits), logits)
    with pytest.raises(ValueError, match="> 0 and < 1"):
        theirs("TypicalLogitsWarper", logits, 1.0)


# top-h: another rule


def partial_sums(logits: Tensor, head: int = 100) -> tuple[Tensor, Tensor, Tensor]:
    """transformers' rule in float64: the order of the likeliest 100 ids (R, 100), their partial sums of -p ln p, not
    renormalised, p among the 100, and the entropy of the 100 (R, 1)."""
    ranked, order = logits.double().topk(min(head, logits.shape[-1]), dim=-1)
    p = log_p(ranked)
    sums = -(p.exp() * p.masked_fill(p == -torch.inf, 0.0)).cumsum(dim=-1)
    return order, sums, sums[:, -1:]


@each_size
@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.9])
def test_top_h_is_the_papers_rule_here_and_a_partial_sum_there(V: int, R: int, alpha: float) -> None:
    """Ours keeps the most of the likeliest ids whose renormalised entropy is at most alpha H; transformers those whose
    share of the sum -p ln p is at most alpha, of the likeliest 100. What they do and what we do, from the formulas."""
    logits = rows(V, R, seed=3)
    order, sums, whole = partial_sums(logits)
    keeps = (sums <= alpha * whole) & (logits.gather(-1, order) > -torch.inf)
    keeps[:, 0] = True
    as_theirs = logits.masked_fill(~torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, keeps), -torch.inf)
    near = torch.zeros_like(logits, dtype=torch.bool).scatter(
        -1, order, (sums - alpha * whole).abs() < 1e-6 + 1e-5 * whole
    )
    near &= logits > -torch.inf
    found = theirs("TopHLogitsWarper", logits, alpha)
    assert_equal(as_theirs, found, near, most=0.03)

    ours = TopH(alpha)(logits)
    if V > 17:
        assert float(differ(ours, found, near).any(dim=-1).float().mean()) > 0.3  # so it matters which
    n = (ours > -torch.inf).sum(dim=-1)  # (R,)
    ranked = log_p(logits).sort(dim=-1, descending=True).values
    allowed = alpha * entropies(logits)
    for extra, holds in ((0, True), (1, False)):  # n ids fit, n + 1 do not
        head = ranked.masked_fill(torch.arange(V) >= (n + extra)[:, None], -torch.inf)
        applies = (n > 1) if holds else (n < (logits > -torch.inf).sum(dim=-1))
        fits = (entropies(head) <= allowed + (1e-12 if holds else -1e-12))[:, 0]
        assert bool((fits == holds)[applies].all())
    assert torch.equal(ours, TopK(V + 1)(ours)) and bool((logits.gather(-1, order[:, :1]) == ours.amax(-1, True)).all())


def test_top_h_on_a_row_by_hand() -> None:
    """p = 1/2, 1/4, 1/8, 1/8: H = 1.75 bits. Heads, renormalised: 0, 0.918, 1.379, 1.75 bits; partial sums: 0.5, 1,
    1.375, 1.75. At alpha = 0.55 (0.9625 bits) the first allow two ids, the second one."""
    logits = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    assert (TopH(0.55)(logits) > -torch.inf).tolist() == [[True, True, False, False]]
    assert (theirs("TopHLogitsWarper", logits, 0.55) > -torch.inf).tolist() == [[True, False, False, False]]


def test_top_h_sees_all_ids_here_and_100_there() -> None:
    """200 equal ids: the entropy is ln 200, and 100 of them have ln 100 = 0.869 of it. Ours at 0.95 keeps 200^0.95."""
    logits = torch.zeros(1, 200)
    assert int((TopH(0.95)(logits) > -torch.inf).sum()) == math.floor(200**0.95) == 153
    assert int((theirs("TopHLogitsWarper", logits, 0.95) > -torch.inf).sum()) == 95
    assert torch.equal(TopH(1.0)(logits), logits)  # law 2
    assert int((theirs("TopHLogitsWarper", logits, 1.0) > -torch.inf).sum()) <= 100


# processors that look at the ids so far


@each_size
@pytest.mark.parametrize("penalty", [0.7, 1.0, 1.2, 3.0])
def test_repetition_penalty(V: int, R: int, penalty: float) -> None:
    """Bit for bit; without the prompt too, of which each row has another length."""
    logits = inputs(V, R) + 5.0  # both signs
    ids = texts(V, len(logits), 12)
    prompts = torch.arange(len(logits)) % 13
    name = "RepetitionPenaltyLogitsProcessor"
    assert torch.equal(RepetitionPenalty(penalty)(logits, prefix_of(ids)), theirs(name, logits, penalty, ids=ids))
    without = RepetitionPenalty(penalty, include_prompt=False)(logits, prefix_of(ids, prompts))
    if len(logits) < 3000:
        for length in range(13):
            some = prompts == length
            expected = theirs(name, logits[some], penalty, prompt_ignore_length=length, ids=ids[some])
            assert torch.equal(without[some], expected)


def test_mutants_of_the_repetition_penalty_are_caught() -> None:
    """Negative logits divided, too; and once for each time an id has occurred."""
    logits = rows(100, 1000) + 5.0
    ids = texts(100, 1000, 12)
    expected = theirs("RepetitionPenaltyLogitsProcessor", logits, 1.2, ids=ids)
    seen = torch.zeros_like(logits).scatter_add(1, ids, torch.ones(ids.shape))  # (R, V)
    signed = (logits / 1.2).where(seen > 0, logits)
    repeated = (logits / 1.2**seen).where(logits > 0, logits * 1.2**seen)
    for wrong in (signed, repeated):
        assert float((~torch.isclose(wrong, expected)).any(dim=-1).float().mean()) > 0.5


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 4, 30])
def test_no_repeat_ngram(n: int, length: int) -> None:
    logits = rows(17, 1500)
    ids = texts(17, 1500, length)
    expected = theirs("NoRepeatNGramLogitsProcessor", logits, n, ids=ids)
    assert torch.equal(NoRepeatNGram(n)(logits, prefix_of(ids)), expected)
    if length == 30 and n > 1:  # the mutants: n-grams of other lengths
        for other in (n - 1, n + 1):
            assert not torch.equal(NoRepeatNGram(other)(logits, prefix_of(ids)), expected)


BANNED = [[3], [0, 1], [1, 1, 2], [2, 0, 0, 1], [0, 0, 0, 0, 0, 4]]


@pytest.mark.parametrize("length", [1, 2, 3, 30])
def test_banned_sequences(length: int) -> None:
    logits = rows(17, 1500)
    ids = texts(17, 1500, length)
    expected = theirs("NoBadWordsLogitsProcessor", logits, BANNED, ids=ids)
    assert torch.equal(BanSequences(BANNED)(logits, prefix_of(ids)), expected)
    assert float((expected == -torch.inf).float().mean()) > float((logits == -torch.inf).float().mean())
    if length == 30:  # the mutant: it bans the last id whatever stands before
        assert not torch.equal(Suppress([one[-1] for one in BANNED])(logits), expected)


def test_eos_may_be_banned_here_and_not_there() -> None:
    """transformers leaves out a banned sequence that is eos alone; we do what is written."""
    logits, ids = torch.zeros(1, 4), torch.tensor([[1]])
    banned = BanSequences([[2], [3]])(logits, prefix_of(ids, eos_id=2))
    assert (banned > -torch.inf).tolist() == [[True, True, False, False]]
    found = theirs("NoBadWordsLogitsProcessor", logits, [[2], [3]], 2, ids=ids)
    assert (found > -torch.inf).tolist() == [[True, True, True, False]]


@each_size
def test_suppress(V: int, R: int) -> None:
    logits = inputs(V, R)
    ids = [0, V - 1, V // 3]
    assert torch.equal(Suppress(ids)(logits), theirs("SuppressTokensLogitsProcessor", logits, ids))


@each_size
def test_logit_bias(V: int, R: int) -> None:
    """Sequences of one id: ours has no others."""
    logits = inputs(V, R)
    biases = {0: 1.25, V - 1: -3.3, V // 2: 100.0, V // 3: 0.1}
    expected = theirs("SequenceBiasLogitsProcessor", logits, {(id,): bias for id, bias in biases.items()})
    assert torch.equal(LogitBias(biases)(logits), expected)


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("prompt_length", [1, 3])
def test_min_new_tokens(n: int, prompt_length: int) -> None:
    logits = rows(17, 500)
    for new in range(7):
        ids = texts(17, 500, prompt_length + new)
        expected = theirs("MinNewTokensLengthLogitsProcessor", logits, prompt_length, n, 4, ids=ids)
        assert torch.equal(MinNewTokens(n)(logits, prefix_of(ids, prompt_length, eos_id=4)), expected)


def test_a_minimum_of_new_ids_here_and_one_that_counts_the_prompt_there() -> None:
    """transformers' `min_length` is satisfied by a prompt of three ids; ours asks for three new ones."""
    logits, ids = torch.zeros(1, 3), torch.tensor([[1, 1, 1]])
    ours = MinNewTokens(3)(logits, prefix_of(ids, 3, eos_id=2))
    assert ours.tolist() == [[0.0, 0.0, -torch.inf]]
    assert theirs("MinLengthLogitsProcessor", logits, 3, 2, ids=ids).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("length", [1, 2, 6])
def test_force(length: int) -> None:
    """The same distributions: a forced id keeps its logit here and gets a 0 there. bos is forced after a prompt of one
    id, eos as the last of `max_length` ids."""
    logits = rows(17, 500)
    logits[:, [3, 4]] = logits[:, [3, 4]].clamp(min=-50.0)  # still there
    ids = texts(17, 500, length)
    for processor, expected in (
        (Force({0: 3}), theirs("ForcedBOSTokenLogitsProcessor", logits, 3, ids=ids)),
        (Force({5: 4}), theirs("ForcedEOSTokenLogitsProcessor", logits, 7, 4, ids=ids)),
    ):
        ours = processor(logits, prefix_of(ids, 1))
        assert torch.equal(ours.log_softmax(dim=-1), expected.log_softmax(dim=-1))
        assert torch.equal(ours > -torch.inf, expected > -torch.inf)


def test_a_removed_id_stays_removed_here_and_comes_back_there() -> None:
    """So that a ban and a forced id that contradict each other are an error here, and the ban is lost there."""
    logits, ids = torch.tensor([[0.0, 1.0, -torch.inf]]), torch.tensor([[1]])
    assert not bool((Force({0: 2})(logits, prefix_of(ids, 1)) > -torch.inf).any())
    found = theirs("ForcedBOSTokenLogitsProcessor", logits, 2, ids=ids)
    assert found.tolist() == [[-torch.inf, -torch.inf, 0.0]]


def test_removed_is_minus_infinity_here_and_may_be_a_finite_minimum_there() -> None:
    """`remove_invalid_values` makes the smallest finite number of a removed logit. It has no probability, but counts as
    an id: the standard deviation becomes about 1e38, and top-n-sigma keeps everything else."""
    logits = torch.tensor([[3.0, 2.0, 0.0, -torch.inf]])
    finite = theirs("InfNanRemoveLogitsProcessor", logits)
    assert bool(finite.isfinite().all()) and float(finite.softmax(dim=-1)[0, 3]) == 0.0
    # of 3, 2, 0 the mean is 5/3 and sigma 1.247; 3 - 1.247 = 1.753
    assert (TopNSigma(1.0)(logits) > -torch.inf).tolist() == [[True, True, False, False]]
    assert (TopNSigma(1.0)(finite) > -torch.inf).tolist() == [[True, True, True, False]]
