"""The only randomness there is (law 6): golden bits, independence, exact choices, and the right distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import decoding.chance
from decoding import Chance, Gumbel, InverseCDF, Multinomial, Prefix, Purpose, TopP
from decoding.chance import mix, noise, row_keys
from decoding.significance import SIGNIFICANCE, binomial_test, chi_squared_survival, g_test

BITS = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def signed(value: int) -> int:
    value &= BITS
    return value - 2**64 if value >= 2**63 else value


def splitmix(x: int) -> int:
    """SplitMix64's finaliser on Python's own integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & BITS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & BITS
    return x ^ (x >> 31)


def unmix(h: int) -> int:
    """The number that `splitmix` turns into h."""

    def unshift(y: int, bits: int) -> int:
        x = y
        for _ in range(64 // bits):
            x = y ^ (x >> bits)
        return x

    h = (unshift(h, 31) * pow(0x94D049BB133111EB, -1, 2**64)) & BITS
    h = (unshift(h, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64)) & BITS
    return unshift(h, 30)


def key(seed: int, sample: int, step: int, purpose: int) -> int:
    """A row's key, the same way."""
    found = 0
    for part in (seed, sample, step, purpose):
        found = splitmix(((found ^ (part & BITS)) + GOLDEN) & BITS)
    return found


def samples_with_hash(hashes: list[int], id: int, seed: int, step: int = 0) -> list[int]:
    """Sample numbers at which the noise of `id` is made from these hashes: everything here can be run backwards."""
    found = []
    for h in hashes:
        state = (unmix(h) - (id + 1) * GOLDEN) & BITS  # the row's key
        for part in (int(Purpose.TOKEN), step):
            state = ((unmix(state) - GOLDEN) & BITS) ^ part
        found.append(signed(((unmix(state) - GOLDEN) & BITS) ^ key_of_seed(seed)))
    return found


def key_of_seed(seed: int) -> int:
    return splitmix((seed + GOLDEN) & BITS)


def prefix_of(samples: list[int] | range, step: int = 0) -> Prefix:
    """Rows with these sample numbers, all at the same step."""
    R = len(samples)
    ids, ones = torch.zeros(R, 1 + step, dtype=torch.int64), torch.ones(R, dtype=torch.int64)
    return Prefix(ids, ones + step, ones, torch.tensor(list(samples), dtype=torch.int64))


# -- golden bits ------------------------------------------------------------------------------------------------------


def test_mix_has_golden_bits() -> None:
    """The published outputs of SplitMix64 for the seeds 0 and 1234567: mix(seed + n * golden), n = 1, 2, ..."""
    golden = {
        0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC],
        1234567: [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431],
    }
    for seed, outputs in golden.items():
        states = torch.tensor([signed(seed + n * GOLDEN) for n in (1, 2, 3, 4)])
        assert mix(states).tolist() == [signed(output) for output in outputs]


def test_mix_is_splitmix_on_every_kind_of_number() -> None:
    numbers = [0, 1, BITS, 2**63, 2**63 - 1, *torch.randint(-(2**63), 2**63 - 1, (1000,)).tolist()]
    assert mix(torch.tensor([signed(n) for n in numbers])).tolist() == [signed(splitmix(n & BITS)) for n in numbers]
    assert all(splitmix(unmix(n & BITS)) == n & BITS for n in numbers)  # the helper of the tests below


def test_row_keys_have_golden_bits() -> None:
    prefix = Prefix.of([[1, 2], [3], [4, 5, 6]], samples=[0, 1, 7])
    prefix = prefix._replace(prompt_lengths=torch.tensor([2, 1, 1]))  # steps 0, 0, 2
    found = row_keys(42, Purpose.TOKEN, prefix).tolist()
    assert found == [signed(key(42, sample, step, 0)) for sample, step in ((0, 0), (1, 0), (7, 2))]
    assert found == [-4512279254555403373, 4488420693440655736, -1860698731458203380]
    assert row_keys(2**63 - 1, Purpose.RESIDUAL, prefix).tolist()[2] == signed(key(2**63 - 1, 7, 2, 4))


def test_noise_is_the_hash_as_a_fraction() -> None:
    """(hash + 1/2) / 2^64, rounded to a double between 0 and 1: 2^-52 leaves room for any way of rounding."""
    keys = torch.tensor([0, 1, -1, 2**63 - 1, *torch.randint(-(2**63), 2**63 - 1, (50,)).tolist()])
    found = noise(keys, torch.tensor([0, 1, 5, 50256])).tolist()
    for row, of_row in zip(keys.tolist(), found, strict=True):
        for id, u in zip((0, 1, 5, 50256), of_row, strict=True):
            assert abs(u - (splitmix((row + (id + 1) * GOLDEN) & BITS) + 0.5) / 2**64) <= 2**-52
    assert noise(torch.tensor([0]), torch.tensor([0, 1, 2])).tolist()[0] == pytest.approx(
        [0.8833108082136426, 0.43152799704850997, 0.026433771592597743], abs=2**-52
    )


def test_choices_are_golden() -> None:
    """What a seed means may never change: texts that people published depend on it."""
    logits = torch.linspace(0, 1, 10).repeat(8, 1)
    assert Gumbel(7).choose(logits, Purpose.TOKEN, prefix_of(range(8))).tolist() == [4, 9, 7, 8, 2, 4, 7, 7]
    assert InverseCDF(7).choose(logits, Purpose.TOKEN, prefix_of(range(8))).tolist() == [0, 7, 7, 7, 9, 9, 3, 3]


# -- noise ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("h", [0, 1, 2**11 - 1, 2**63 - 1, 2**63, BITS - 2**12, BITS - 2**11, BITS - 1, BITS])
def test_uniform_numbers_lie_strictly_between_0_and_1(h: int) -> None:
    """At the extreme hashes, too: 0 would make Gumbel noise -inf, and 1 would make it +inf."""
    (sample,) = samples_with_hash([h], id=0, seed=3)
    for chance in (Gumbel(3), InverseCDF(3)):
        u = float(chance.uniform(1, Purpose.TOKEN, prefix_of([sample])))
        assert 0.0 < u < 1.0
        assert abs(u - (h + 0.5) / 2**64) <= 2**-52
        assert math.isfinite(-math.log(-math.log(u)))


def test_multinomial_never_draws_0(monkeypatch: pytest.MonkeyPatch) -> None:
    u = Multinomial(0).uniform(1000, Purpose.COIN, prefix_of(range(3)))
    assert u.shape == (3, 1000) and u.dtype == torch.float64
    monkeypatch.setattr(torch, "rand", lambda shape, **kwargs: torch.zeros(shape, dtype=torch.float64))
    assert float(Multinomial(0).uniform(1, Purpose.COIN, prefix_of([0]))) > 0.0


def all_noise(keys: Callable[[int, Purpose, Prefix], Tensor]) -> Tensor:
    """(purposes, seeds, samples, steps, ids): a block of noise, all from different keys."""
    ids = torch.arange(10)
    return torch.stack(
        [
            torch.stack(
                [
                    torch.stack([noise(keys(seed, purpose, prefix_of(range(20), step)), ids) for step in range(20)], 1)
                    for seed in range(10)
                ]
            )
            for purpose in Purpose
        ]
    )


def keys_that_add(seed: int, purpose: Purpose, prefix: Prefix) -> Tensor:
    """The mutant: parts summed before they are mixed, so that (seed 1, sample 2) is (seed 2, sample 1)."""
    return mix(seed + prefix.samples + prefix.steps + int(purpose))


def test_noise_is_never_shared() -> None:  # law 6
    u = all_noise(row_keys)
    assert u.shape == (5, 10, 20, 20, 10)
    assert len(u.unique()) == u.numel()
    assert len(all_noise(keys_that_add).unique()) < u.numel()


def test_noise_is_independent_along_every_part_of_the_key() -> None:  # law 6
    """The correlation of n independent pairs is about normal with deviation 1/sqrt(n); 5 of them is one in 10^6."""
    u = all_noise(row_keys)
    for dim in range(u.dim()):
        for apart in (1, 2, 4):
            here, there = u.narrow(dim, 0, u.shape[dim] - apart), u.narrow(dim, apart, u.shape[dim] - apart)
            pairs = torch.stack([here.flatten(), there.flatten()])
            assert abs(float(pairs.corrcoef()[0, 1])) < 5 / math.sqrt(pairs.shape[1])
    counts = torch.histc(u.flatten(), bins=64, min=0.0, max=1.0).long().tolist()
    p = g_test(counts, [1 / 64] * 64)
    print(f"uniform noise: p = {p:.3g}")
    assert p > SIGNIFICANCE


def test_equal_keys_give_equal_noise() -> None:  # law 6
    prefix = prefix_of(range(4), step=3)
    for chance in (Gumbel(1), InverseCDF(1)):
        assert torch.equal(chance.uniform(5, Purpose.COIN, prefix), chance.uniform(5, Purpose.COIN, prefix))
        assert torch.equal(chance.uniform(5, Purpose.COIN, prefix)[:, :2], chance.uniform(2, Purpose.COIN, prefix))


@pytest.mark.parametrize("chance", [Gumbel(5), InverseCDF(5)], ids=repr)
def test_a_choice_does_not_depend_on_its_place_in_the_batch(chance: Chance) -> None:  # laws 5 and 6
    logits = torch.randn(50, 30, dtype=torch.float64)
    logits[torch.rand(50, 30) < 0.3] = -torch.inf  # survivors differ from row to row
    prefix = prefix_of(range(50), step=2)
    together = chance.choose(logits, Purpose.TOKEN, prefix)
    alone = [int(chance.choose(logits[r : r + 1], Purpose.TOKEN, prefix.select(torch.tensor([r])))) for r in range(50)]
    assert together.tolist() == alone
    order = torch.randperm(50)
    assert torch.equal(chance.choose(logits[order], Purpose.TOKEN, prefix.select(order)), together[order])


@pytest.mark.parametrize("bad", [-1, 2**63, 1.5, "7", None, True])
@pytest.mark.parametrize("chance", [Gumbel, InverseCDF, Multinomial])
def test_a_bad_seed_is_refused_in_words(chance: Callable[[object], Chance], bad: object) -> None:  # law 13
    with pytest.raises(ValueError, match="a seed is a whole number from 0 to"):
        chance(bad)


# -- Gumbel -----------------------------------------------------------------------------------------------------------


def test_gumbel_is_the_argmax_of_noisy_logits_over_the_survivors() -> None:
    logits = torch.randn(40, 20) * 3
    logits[torch.rand(40, 20) < 0.5] = -torch.inf
    logits[:, 13] = 0.0
    prefix = prefix_of(range(40))
    u = Gumbel(9).uniform(20, Purpose.TOKEN, prefix)
    noisy = logits.double() - torch.log(-torch.log(u))
    assert torch.equal(Gumbel(9).choose(logits, Purpose.TOKEN, prefix), noisy.argmax(dim=-1))


def test_changing_p_changes_a_gumbel_choice_only_when_it_must() -> None:  # law 6
    logits = torch.randn(1, 50, dtype=torch.float64).repeat(500, 1) * 2
    prefix = prefix_of(range(500))
    wide, narrow = TopP(0.95)(logits), TopP(0.6)(logits)

    def needless_changes(chance: Chance) -> int:
        before, after = (chance.choose(processed, Purpose.TOKEN, prefix) for processed in (wide, narrow))
        still_there = narrow.gather(1, before[:, None])[:, 0] > -torch.inf
        assert 0 < int(still_there.sum()) < 500  # both happen
        return int((before != after)[still_there].sum())

    assert needless_changes(Gumbel(2)) == 0
    assert needless_changes(InverseCDF(2)) > 0  # it shares one number among all ids, and so cannot promise that


# -- InverseCDF -------------------------------------------------------------------------------------------------------


def choose_at(u: float, probabilities: list[float]) -> int:
    """The choice of InverseCDF where its uniform number is u."""
    (sample,) = samples_with_hash([min(int(u * 2**64), BITS)], id=0, seed=1)
    logits = torch.tensor([probabilities], dtype=torch.float64).log()
    return int(InverseCDF(1).choose(logits, Purpose.TOKEN, prefix_of([sample])))


def test_inverse_cdf_by_hand() -> None:
    p = [0.25, 0.5, 0.25]
    assert [choose_at(u, p) for u in (0.0, 0.2, 0.26, 0.5, 0.74, 0.76, 0.999)] == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("u", [0.0, 1e-12, 0.3, 0.5, 0.7, 1 - 1e-12, 1.0])
def test_inverse_cdf_never_takes_a_removed_id(u: float) -> None:
    """Not the first at u near 0, not the last at u near 1, none in the middle where the sum stands still."""
    for probabilities in ([0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0, 0.0], [0.1] * 10 + [0.0]):
        choice = choose_at(u, probabilities)
        assert 0 <= choice < len(probabilities) and probabilities[choice] > 0

    def with_equality(u: float, p: list[float]) -> int:  # the mutant: the sum has to reach u instead of exceeding it
        return next(i for i in range(len(p)) if sum(p[: i + 1]) >= u)

    assert with_equality(0.0, [0.0, 0.5, 0.5]) == 0


def test_inverse_cdf_needs_the_sum_to_exceed_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are equal the walk goes on, over an id of probability 0 too."""
    logits = torch.tensor([[0.0, 0.5, 0.0, 0.5]], dtype=torch.float64).log()
    for u, expected in ((0.0, 1), (0.5 - 2**-53, 1), (0.5, 3)):
        monkeypatch.setattr(InverseCDF, "uniform", lambda *_, u=u: torch.tensor([[u]], dtype=torch.float64))
        assert int(InverseCDF(0).choose(logits, Purpose.TOKEN, prefix_of([0]))) == expected


def test_inverse_cdf_walks_along_the_ids() -> None:
    logits = torch.randn(200, 12, dtype=torch.float64)
    prefix = prefix_of(range(200))
    u = InverseCDF(4).uniform(1, Purpose.TOKEN, prefix)[:, 0].tolist()
    for row, number, choice in zip(
        logits, u, InverseCDF(4).choose(logits, Purpose.TOKEN, prefix).tolist(), strict=True
    ):
        p = row.softmax(dim=0).tolist()
        assert math.fsum(p[:choice]) <= number < math.fsum(p[: choice + 1])


# -- Multinomial ------------------------------------------------------------------------------------------------------


def test_multinomial_is_torch_multinomial_with_the_same_generator() -> None:
    logits = torch.randn(3, 7)
    prefix = prefix_of(range(3))
    for make in (lambda: Multinomial(11), lambda: Multinomial(torch.Generator().manual_seed(11))):
        chance, generator = make(), torch.Generator().manual_seed(11)
        for _ in range(5):
            expected = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[:, 0]
            assert torch.equal(chance.choose(logits, Purpose.TOKEN, prefix), expected)


# -- the distribution -------------------------------------------------------------------------------------------------

TEN = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.015, 0.005], dtype=torch.float64)
DRAWS = 20_000


def p_value_of_ten(chance: Chance, logits: Tensor) -> float:
    """How surprising the counts of DRAWS choices are, under TEN."""
    choices = chance.choose(logits.expand(DRAWS, 10), Purpose.TOKEN, prefix_of(range(DRAWS)))
    return g_test(choices.bincount(minlength=10).tolist(), TEN.tolist())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("draw", [Gumbel, InverseCDF, Multinomial])
def test_every_draw_follows_the_probabilities(draw: Callable[[int], Chance], seed: int) -> None:
    p = p_value_of_ten(draw(seed), TEN.log())
    print(f"{draw.__name__}({seed}): p = {p:.3g}")
    assert p > SIGNIFICANCE
    p = p_value_of_ten(draw(seed), TEN.log().float() + 12.5)
    print(f"{draw.__name__}({seed}), float32, shifted: p = {p:.3g}")
    assert p > SIGNIFICANCE


def test_a_biased_draw_does_not_pass() -> None:
    """Noise that is 10 % too strong, or numbers of 7 bits, are what the G-test is for."""
    assert p_value_of_ten(Gumbel(0), TEN.log() / 1.1) < SIGNIFICANCE
    coarse = [
        (math.floor(u * 128) + 0.5) / 128 for u in InverseCDF(0).uniform(1, Purpose.TOKEN, prefix_of(range(DRAWS)))
    ]
    choices = torch.searchsorted(TEN.cumsum(dim=0), torch.tensor(coarse, dtype=torch.float64))
    assert g_test(choices.bincount(minlength=10).tolist(), TEN.tolist()) < SIGNIFICANCE


@pytest.mark.parametrize("draw", [Gumbel, InverseCDF, Multinomial])
def test_thousands_of_rare_ids_are_drawn_as_often_as_they_should_be(draw: Callable[[int], Chance]) -> None:
    """One id of logit 12 and 50,000 of logit 0, each of probability 4.7e-6, together 0.235."""
    logits = torch.zeros(1, 50_001)
    logits[0, 1000] = 12.0
    tail = 50_000 / (50_000 + math.exp(12))
    drawn = 0
    for start in range(0, 400, 50):
        batch = prefix_of(range(start, start + 50))
        drawn += int((chance_of(draw).choose(logits.repeat(50, 1), Purpose.TOKEN, batch) != 1000).sum())
    p = binomial_test(drawn, 400, tail)
    print(f"{draw.__name__}: {drawn} of 400 draws in a tail of {tail:.3f}, p = {p:.3g}")
    assert p > SIGNIFICANCE


_chances: dict[object, Chance] = {}


def chance_of(draw: Callable[[int], Chance]) -> Chance:
    return _chances.setdefault(draw, draw(0))  # one generator for all of Multinomial's batches


def rare_gumbel_draws(gap: float, draws: int) -> tuple[int, float]:
    """How often an id that is `gap` nats behind wins, and its probability, in the corner where it can win at all.

    At a gap of 20 it wins once in 5 * 10^8 draws, always with a uniform number very near 1. Sample numbers are chosen
    so that its number lies in the top `corner` of (0, 1), evenly spread: there it wins in about one of ten draws. With
    T = -log u, the id wins against one of rate exp(gap) if its T is smaller, so

        P(wins, T < c) = (1 - exp(-(1 + exp(gap)) c)) / (1 + exp(gap)),     P(T < c) = corner
    """
    corner = 10 * math.exp(-gap)
    top = int(corner * 2**64)
    hashes = [BITS - (2 * n + 1) * top // (2 * draws) for n in range(draws)]
    prefix = prefix_of(samples_with_hash(hashes, id=1, seed=6))
    choices = Gumbel(6).choose(torch.tensor([[gap, 0.0]], dtype=torch.float64).expand(draws, 2), Purpose.TOKEN, prefix)
    both = 1 + math.exp(gap)
    return int(choices.sum()), -math.expm1(both * math.log1p(-corner)) / both / corner


@pytest.mark.parametrize("gap", [20.0, 28.0])
def test_gumbel_draws_ids_of_tiny_probability(gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, expected = rare_gumbel_draws(gap, DRAWS)
    p = binomial_test(seen, DRAWS, expected)
    print(f"an id {gap} nats behind: {seen} of {DRAWS} draws, {DRAWS * expected:.0f} expected, p = {p:.3g}")
    assert p > SIGNIFICANCE

    def noise_of_24_bits(keys: Tensor, ids: Tensor) -> Tensor:  # the mutant: what float32 random numbers amount to
        return (torch.floor(noise(keys, ids) * 2**24) + 0.5) * 2.0**-24

    monkeypatch.setattr(decoding.chance, "noise", noise_of_24_bits)
    seen, expected = rare_gumbel_draws(gap, DRAWS)
    assert binomial_test(seen, DRAWS, expected) < SIGNIFICANCE


def rare_inverse_draws(choose: Callable[[Tensor, Prefix], Tensor], gap: float) -> tuple[int, Tensor]:
    """Draws beside one likely id, of 400 whose numbers lie in the last 2 * tail of (0, 1): half of them should be."""
    logits = torch.zeros(1, 50_001, dtype=torch.float64)
    logits[0, 0] = gap
    tail = 50_000 / (50_000 + math.exp(gap))
    top = int(2 * tail * 2**64)
    hashes = [BITS - (2 * n + 1) * top // 800 for n in range(400)]
    samples = samples_with_hash(hashes, id=0, seed=8)
    chosen = torch.cat([choose(logits.repeat(50, 1), prefix_of(samples[at : at + 50])) for at in range(0, 400, 50)])
    return int((chosen > 0).sum()), chosen[chosen > 0]


@pytest.mark.parametrize("gap", [20.0, 30.0])
def test_inverse_cdf_draws_ids_of_tiny_probability(gap: float) -> None:
    """50,000 ids, each `gap` nats behind the first. The numbers are evenly spread, so the count is all but exact."""
    seen, rare = rare_inverse_draws(lambda logits, at: InverseCDF(8).choose(logits, Purpose.TOKEN, at), gap)
    print(f"ids {gap} nats behind: {seen} of 400 draws, 200 expected")
    assert abs(seen - 200) <= 2
    assert len(rare.unique()) == len(rare)  # 250 ids lie between two neighbouring numbers
    assert g_test(torch.histc(rare.double(), bins=10, min=1, max=50_000).long().tolist(), [0.1] * 10) > SIGNIFICANCE


def test_sums_in_float32_lose_ids_of_tiny_probability() -> None:
    """The mutant: near 1 neighbouring float32 numbers are 6e-8 apart, and all 50,000 ids together hold 5e-9."""

    def in_float32(logits: Tensor, at: Prefix) -> Tensor:
        cdf = logits.float().softmax(dim=-1).cumsum(dim=-1)
        u = InverseCDF(8).uniform(1, Purpose.TOKEN, at).float() * cdf[:, -1:]
        return torch.searchsorted(cdf, u, right=True)[:, 0].clamp(max=50_000)

    seen, _ = rare_inverse_draws(in_float32, 30.0)
    assert abs(seen - 200) > 2


# -- the tests' own arithmetic ----------------------------------------------------------------------------------------


def test_the_tests_of_significance_are_right() -> None:
    assert chi_squared_survival(3.841459, 1) == pytest.approx(0.05, rel=1e-5)  # from any table
    assert chi_squared_survival(23.209251, 10) == pytest.approx(0.01, rel=1e-5)
    assert binomial_test(8, 10, 0.5) == pytest.approx(2 * (45 + 10 + 1) / 1024)
    assert g_test([100, 100], [0.5, 0.5]) == 1.0
    assert g_test([99, 1], [1.0, 0.0]) == 0.0
