"""What is drawn against the law, by counting: texts, coins, ids of tiny probability. `pytest -s` shows the p-values.

Seeds are fixed. A correct draw would fail one of these tests with a probability of 1e-6.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

import decoding.chance
from decoding import (
    XTC,
    Chance,
    FrequencyPenalty,
    Gumbel,
    InverseCDF,
    Mirostat,
    Multinomial,
    Prefix,
    Purpose,
    Sample,
    Temperature,
    TopK,
    TopP,
    generate_ids,
)
from decoding.chance import noise
from decoding.significance import SIGNIFICANCE, binomial_test, g_test
from tests.decoding.models import SMALL, SMALL_PROMPT, SMALL_STEPS, small_law
from tests.decoding.plain_processors import Chain, brute_force
from tests.decoding.test_chance import BITS, prefix_of, samples_with_hash
from tests.registry import COMBINATIONS, PROCESSORS, SHIFT_VARIANT

Draw = Callable[[int], Chance]
EOS = 2
each_draw = pytest.mark.parametrize("draw", [Gumbel, InverseCDF, Multinomial])
p_values: list[tuple[float, str]] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    print("\n\np-values, smallest first")
    for p, what in sorted(p_values):
        print(f"  {p:<10.3g} {what}")


def check(p: float, what: str) -> None:
    p_values.append((p, what))
    assert p > SIGNIFICANCE


# -- whole texts ------------------------------------------------------------------------------------------------------


def p_value(drawn: Sample, law: Sample, draw: Draw, n: int) -> float:
    """How surprising n texts are under the law of a strategy: up to three ids, which an end may cut short."""
    expected = small_law(law, EOS)
    rows = generate_ids(
        SMALL, [SMALL_PROMPT], drawn, max_new_tokens=SMALL_STEPS, eos_id=EOS, seed=1, draw=draw, num_samples=n
    )
    counts = Counter(tuple(row.ids) for row in rows)
    if counts.keys() - expected:
        return 0.0  # it drew what is impossible
    return g_test([counts[ids] for ids in expected], list(expected.values()))


def liveliest(cls: type) -> Chain:
    """Of a processor's examples, behind a temperature, the one that leaves most to chance: the most texts."""
    examples = [one.processor for one in PROCESSORS if type(one.processor) is cls and not one.identity]
    chains: list[Chain] = [(Temperature(2.0), processor) for processor in examples]
    return max(chains, key=lambda chain: len(brute_force(SMALL, SMALL_PROMPT, chain, SMALL_STEPS, EOS)))


WITH_EACH_DRAW: list[Chain] = [
    (),
    (Temperature(1.8), TopP(0.8)),
    (TopK(3), Temperature(0.7)),
    (XTC(0.2, 0.4), Mirostat(1.0, 0.3), FrequencyPenalty(0.4)),
    (Mirostat(1.5, 2.0),),
]


@pytest.mark.parametrize("cls", dict.fromkeys(type(one.processor) for one in PROCESSORS))
def test_texts_of_every_processor_follow_its_law(cls: type) -> None:
    """With whatever it remembers or tosses from one id to the next."""
    strategy = Sample(*liveliest(cls))
    check(p_value(strategy, strategy, Gumbel, 1500), f"{strategy}")


@pytest.mark.parametrize("chain", [*COMBINATIONS, *SHIFT_VARIANT], ids=repr)
def test_texts_of_chains_follow_their_law(chain: Chain) -> None:
    check(p_value(Sample(*chain), Sample(*chain), Gumbel, 1500), f"{Sample(*chain)}")


@each_draw
@pytest.mark.parametrize("chain", WITH_EACH_DRAW, ids=repr)
def test_texts_follow_the_law_however_they_are_drawn(chain: Chain, draw: Draw) -> None:
    check(p_value(Sample(*chain), Sample(*chain), draw, 3000), f"{Sample(*chain)} by {draw.__name__}")


class OffByOne(Gumbel):
    """Takes the next of the ids that are left."""

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        choices = super().choose(logits, purpose, prefix).tolist()
        left = [(row > -torch.inf).nonzero()[:, 0].tolist() for row in logits]
        return torch.tensor([ids[(ids.index(id) + 1) % len(ids)] for ids, id in zip(left, choices, strict=True)])


class OncePerText(InverseCDF):
    """Has the same random number in each step."""

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        return super().choose(logits, purpose, prefix._replace(lengths=prefix.prompt_lengths))


class WithoutTheLast(InverseCDF):
    """Stops where the sum has to reach the number, one id early."""

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        choices = super().choose(logits, purpose, prefix)
        earlier = (choices - 1).clamp(min=0)
        return earlier.where(logits.gather(1, earlier[:, None])[:, 0] > -torch.inf, choices)


@pytest.mark.parametrize("draw", [OffByOne, OncePerText, WithoutTheLast])
def test_a_wrong_draw_does_not_follow_it(draw: Draw) -> None:
    assert p_value(Sample(), Sample(), draw, 3000) < SIGNIFICANCE


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ((Temperature(1.25),), ()),
        ((TopP(0.7), Temperature(1.8)), (Temperature(1.8), TopP(0.7))),
        ((Mirostat(1.5, 0.0),), (Mirostat(1.5, 2.0),)),
        ((XTC(0.1, 0.4),), (XTC(0.1, 0.5),)),
    ],
    ids=repr,
)
def test_a_wrong_chain_does_not_follow_it(wrong: Chain, right: Chain) -> None:
    assert p_value(Sample(*wrong), Sample(*right), Gumbel, 3000) < SIGNIFICANCE


# -- XTC's coin -------------------------------------------------------------------------------------------------------

TOSSES = 10_000
FIVE = torch.tensor([[0.4, 0.3, 0.15, 0.1, 0.05]], dtype=torch.float64).log()  # the coin takes the first two, of three


def after_tosses(xtc: XTC, chance: Chance, step: int = 0) -> tuple[Tensor, Tensor, Prefix]:
    """Many rows: the logits that XTC leaves in a step, whether its coin fell, and the rows."""
    prefix = prefix_of(range(TOSSES), step)
    logits, _ = xtc.step(FIVE.expand(TOSSES, 5), prefix, (), chance)
    return logits, logits[:, 0] == -torch.inf, prefix


def p_value_of_coins(xtc: XTC, chance: Chance) -> float:
    """Of each of the 8 ways in which a row's coins can fall in three steps, if each falls with one half."""
    ways = sum(2**step * after_tosses(xtc, chance, step)[1].long() for step in range(3))
    assert isinstance(ways, Tensor)
    return g_test(ways.bincount(minlength=8).tolist(), [1 / 8] * 8)


def p_value_of_coin_and_id(xtc: XTC, chance: Chance) -> float:
    """Of the coin together with the id, if neither tells anything of the other but what XTC removes."""
    logits, fallen, prefix = after_tosses(xtc, chance)
    ids = chance.choose(logits, Purpose.TOKEN, prefix)
    all_five, last_three = FIVE.exp()[0] / 2, FIVE[0, 2:].softmax(dim=0) / 2
    probabilities = torch.cat([all_five, torch.zeros(2), last_three])
    return g_test((ids + 5 * fallen).bincount(minlength=10).tolist(), probabilities.tolist())


@each_draw
def test_a_coin_falls_as_often_as_it_should_and_on_its_own(draw: Draw) -> None:  # law 6
    xtc = XTC(0.12, 0.5)
    check(p_value_of_coins(xtc, draw(2)), f"coins of three steps by {draw.__name__}")
    check(p_value_of_coin_and_id(xtc, draw(2)), f"coin and id by {draw.__name__}")


def test_a_wrong_coin_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not fair, one that falls alike in each step, one that shares its number with the id."""
    assert p_value_of_coins(XTC(0.12, 0.45), Gumbel(2)) < SIGNIFICANCE
    assert p_value_of_coin_and_id(XTC(0.12, 0.45), Gumbel(2)) < SIGNIFICANCE
    assert p_value_of_coins(XTC(0.12, 0.5), OncePerText(2)) < SIGNIFICANCE
    monkeypatch.setattr(XTC, "purpose", Purpose.TOKEN)
    assert p_value_of_coin_and_id(XTC(0.12, 0.5), Gumbel(2)) < SIGNIFICANCE
    assert p_value_of_coin_and_id(XTC(0.12, 0.5), InverseCDF(2)) < SIGNIFICANCE


# -- ids of tiny probability ------------------------------------------------------------------------------------------

RARE, GAP, DRAWS = 1000, 20.0, 5000


def rare_gumbel_draws() -> tuple[int, list[int], float]:
    """How often one of 1000 ids that are 20 nats behind wins in its corner, which ones, and how often it should.

    Each wins once in 5 * 10^8 draws, with a number very near 1. As in `test_chance`, sample numbers are chosen so that
    one id's number lies in the last `corner` of (0, 1), here another id's in each draw. With T = -log u, and the rates
    of all ids together, it has the smallest T with

        P(wins, T < c) = (1 - exp(-rates * c)) / rates,     P(T < c) = corner
    """
    corner = 10 * math.exp(-GAP)
    top = int(corner * 2**64)
    ids = [1 + n % RARE for n in range(DRAWS)]
    hashes = [BITS - (2 * n + 1) * top // (2 * DRAWS) for n in torch.randperm(DRAWS).tolist()]
    samples = [samples_with_hash([h], id, seed=6)[0] for h, id in zip(hashes, ids, strict=True)]
    logits = torch.zeros(1, 1 + RARE)  # float32, as a network gives them
    logits[0, 0] = GAP
    choices = Gumbel(6).choose(logits.expand(DRAWS, -1), Purpose.TOKEN, prefix_of(samples)).tolist()
    won = [id for id, choice in zip(ids, choices, strict=True) if id == choice]
    rates = math.exp(GAP) + RARE
    return len(won), won, -math.expm1(rates * math.log1p(-corner)) / rates / corner


def test_each_of_many_rare_ids_is_drawn_as_often_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_chance` has InverseCDF. The noise of `Multinomial` comes from a generator, and cannot be put anywhere."""
    seen, won, expected = rare_gumbel_draws()
    check(binomial_test(seen, DRAWS, expected), f"ids {GAP:g} nats behind: {seen} won, {DRAWS * expected:.0f} expected")
    hundreds = Counter((id - 1) // 100 for id in won)
    check(g_test([hundreds[n] for n in range(10)], [0.1] * 10), "which of them won")

    def noise_of_24_bits(keys: Tensor, ids: Tensor) -> Tensor:  # the mutant: what float32 random numbers amount to
        return (torch.floor(noise(keys, ids) * 2**24) + 0.5) * 2.0**-24

    monkeypatch.setattr(decoding.chance, "noise", noise_of_24_bits)
    seen, _, expected = rare_gumbel_draws()
    assert binomial_test(seen, DRAWS, expected) < SIGNIFICANCE
