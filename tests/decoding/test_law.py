"""`law()` against a brute-force enumeration in plain Python, and what is drawn against `law()`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from decoding import (
    Chance,
    Enumerate,
    Greedy,
    Gumbel,
    InverseCDF,
    LanguageModel,
    Limits,
    Multinomial,
    Prefix,
    Processor,
    Purpose,
    Sample,
    Step,
    TableModel,
    Temperature,
    TopK,
    TopP,
    generate_ids,
    law,
)
from decoding.significance import SIGNIFICANCE, g_test
from tests.decoding.models import memoised
from tests.registry import CHAINS, processor_classes

V, STEPS = 4, 4
MODEL = memoised(TableModel.random(V, 16, seed=2))
PROMPT = [1, 3]
each_chain = pytest.mark.parametrize("chain", CHAINS, ids=repr)

# -- brute force, written without the package -------------------------------------------------------------------------


def softmax(logits: list[float]) -> list[float]:
    best = max(logits)
    weights = [math.exp(logit - best) for logit in logits]
    return [weight / math.fsum(weights) for weight in weights]


def ranking(logits: list[float]) -> list[int]:
    """Ids, likeliest first, of equals the lowest first."""
    return sorted(range(len(logits)), key=lambda id: (-logits[id], id))


def keep(logits: list[float], ids: Sequence[int]) -> list[float]:
    return [logit if id in ids else -math.inf for id, logit in enumerate(logits)]


def plain_temperature(processor: Temperature, logits: list[float]) -> list[float]:
    T = processor.temperature
    return [logit / T for logit in logits] if T > 0 else keep(logits, ranking(logits)[:1])


def plain_top_k(processor: TopK, logits: list[float]) -> list[float]:
    return keep(logits, ranking(logits)[: processor.k])


def plain_top_p(processor: TopP, logits: list[float]) -> list[float]:
    p, nucleus = softmax(logits), list[int]()
    for id in ranking(logits):
        if math.fsum(p[other] for other in nucleus) < processor.p:
            nucleus.append(id)
    return keep(logits, nucleus)


PLAIN: dict[type, Callable[..., list[float]]] = {Temperature: plain_temperature, TopK: plain_top_k, TopP: plain_top_p}


def brute_force(
    chain: Sequence[Processor], steps: int, eos_id: int | None, greedy: bool = False, so_far: tuple[int, ...] = ()
) -> dict[tuple[int, ...], float]:
    """All continuations of PROMPT and their probabilities, one branch after another."""
    if steps == 0 or (so_far and so_far[-1] == eos_id):
        return {so_far: 1.0}
    logits = MODEL.logits_after([*PROMPT, *so_far]).tolist()
    for processor in chain:
        logits = PLAIN[type(processor)](processor, logits)
    if greedy:
        logits = keep(logits, ranking(logits)[:1])
    found: dict[tuple[int, ...], float] = {}
    for id, p in enumerate(softmax(logits)):
        if p > 0:
            for ids, rest in brute_force(chain, steps - 1, eos_id, greedy, (*so_far, id)).items():
                found[ids] = p * rest
    return found


def test_every_processor_has_a_plain_version() -> None:
    assert set(PLAIN) >= processor_classes()


@each_chain
@pytest.mark.parametrize("eos_id", [None, 2])
def test_the_law_of_a_sampler_is_brute_force(chain: tuple[Processor, ...], eos_id: int | None) -> None:
    """1e-12 absolute, as the docstring of `law` promises for float64."""
    found, expected = law(Sample(*chain), MODEL, PROMPT, STEPS, eos_id), brute_force(chain, STEPS, eos_id)
    assert list(found.values()) == sorted(found.values(), reverse=True)  # likeliest first
    found = {ids: p for ids, p in found.items() if p > 0}  # tiny temperatures leave texts that underflow to 0
    assert found.keys() == expected.keys()
    assert all(abs(found[ids] - expected[ids]) < 1e-12 for ids in found)
    assert abs(math.fsum(found.values()) - 1) < 1e-12


@each_chain
@pytest.mark.parametrize("eos_id", [None, 2])
def test_the_law_of_greedy_is_one_text(chain: tuple[Processor, ...], eos_id: int | None) -> None:
    assert law(Greedy(*chain), MODEL, PROMPT, STEPS, eos_id) == brute_force(chain, STEPS, eos_id, greedy=True)


def test_the_law_of_temperature_zero_is_greedy() -> None:  # law 1
    assert law(Sample(Temperature(0)), MODEL, PROMPT, STEPS) == law(Greedy(), MODEL, PROMPT, STEPS)


def test_the_law_knows_the_edge_of_the_context() -> None:  # law 9
    short = memoised(TableModel.random(V, 4, seed=2))
    assert {len(ids) for ids in law(Sample(), short, PROMPT, STEPS)} == {2}
    assert law(Sample(), short, [0, 1, 2, 3], STEPS) == {(): 1.0}


def test_equal_texts_of_different_paths_are_added_up() -> None:
    """A strategy may draw more than its ids: here a coin that nothing depends on, and an id."""

    class Indecisive(Sample):
        def run(
            self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
        ) -> Iterator[Step]:
            chance.choose(torch.tensor([[0.3, 0.7]]).log(), Purpose.COIN, Prefix.of(prompts))
            return super().run(model, prompts, limits, chance)

    found, expected = law(Indecisive(), MODEL, PROMPT, 2), law(Sample(), MODEL, PROMPT, 2)
    assert found.keys() == expected.keys()
    assert all(abs(found[ids] - expected[ids]) < 1e-7 for ids in found)  # the coin is float32


# -- Enumerate --------------------------------------------------------------------------------------------------------


def test_enumerate_takes_every_path_once() -> None:
    """A tree whose branches depend on earlier choices: 0 ends at once, 1 and 2 lead to different second choices."""
    first, after = torch.tensor([0.5, 0.2, 0.3]).log(), {1: torch.tensor([0.1, 0.9]).log(), 2: torch.zeros(3)}
    after[2][1] = -torch.inf
    chance, prefix, seen = Enumerate(), Prefix.of([[0]]), dict[tuple[int, ...], float]()
    while True:
        path = [int(chance.choose(first[None], Purpose.TOKEN, prefix))]
        if path[0] in after:
            path.append(int(chance.choose(after[path[0]][None], Purpose.TOKEN, prefix)))
        assert tuple(path) not in seen
        seen[tuple(path)] = math.exp(chance.log_probability)
        if not chance.advance():
            break
    assert list(seen) == [(0,), (1, 0), (1, 1), (2, 0), (2, 2)]  # in order, and never a removed choice
    assert list(seen.values()) == pytest.approx([0.5, 0.02, 0.18, 0.15, 0.15], rel=1e-6)  # probabilities are float32


def test_the_law_runs_the_strategy_once_a_path() -> None:
    runs = []

    class Counting(Sample):
        def run(
            self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
        ) -> Iterator[Step]:
            runs.append(prompts)
            return super().run(model, prompts, limits, chance)

    assert len(law(Counting(), MODEL, PROMPT, 3)) == len(runs) == V**3


def test_a_strategy_that_draws_real_numbers_is_refused_in_words() -> None:  # law 13
    class Drawing(Sample):
        def run(
            self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
        ) -> Iterator[Step]:
            chance.uniform(1, Purpose.COIN, Prefix.of(prompts))
            return super().run(model, prompts, limits, chance)

    with pytest.raises(ValueError, match="real numbers cannot be enumerated"):
        law(Drawing(), MODEL, PROMPT, 2)


# -- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [Gumbel, InverseCDF, Multinomial])
@pytest.mark.parametrize("chain", [(), (Temperature(1.8), TopP(0.8)), (TopK(3), Temperature(0.7))], ids=repr)
def test_samples_follow_the_law(chain: tuple[Processor, ...], draw: Callable[[int], Chance]) -> None:
    expected = law(Sample(*chain), MODEL, PROMPT, 3, eos_id=2)

    def p_value(strategy: Sample) -> float:
        drawn = generate_ids(MODEL, [PROMPT], strategy, max_new_tokens=3, eos_id=2, seed=1, draw=draw, num_samples=6000)
        counts = Counter(tuple(one.ids) for one in drawn)
        return 0.0 if counts.keys() - expected else g_test([counts[ids] for ids in expected], list(expected.values()))

    p = p_value(Sample(*chain))
    print(f"{Sample(*chain)} by {draw.__name__}: p = {p:.3g}")
    assert p > SIGNIFICANCE
    if draw is Gumbel:
        assert p_value(Sample(Temperature(1.25), *chain)) < SIGNIFICANCE  # the mutant: somewhat flatter


def test_prompts_are_checked() -> None:  # law 13
    model = TableModel.random(4, 3, seed=1)
    for prompt, words in (([], "is empty"), ([0, 1, 2, 3], "1 more than"), ([4], "outside of the vocabulary")):
        with pytest.raises(ValueError, match=words):
            law(Sample(), model, prompt, max_new_tokens=2)
