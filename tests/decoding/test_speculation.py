"""Speculation gives texts with exactly the distribution of `Sample`: by enumeration, by hand, by counting, and mutants.

Most of it is exact. `outcomes` takes every path that a strategy can take, errors included. With `Keyed` it also knows
which choices share their noise, as they do in a real run, so that noise that is used twice shows in the twelfth digit.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import decoding.strategies.block_verification as the_block_file
import decoding.strategies.speculative as the_speculative_file
from decoding import (
    XTC,
    BanSequences,
    BlockVerification,
    Chance,
    DrafterInvariant,
    Enumerate,
    FrequencyPenalty,
    Gumbel,
    InverseCDF,
    LanguageModel,
    Limits,
    Mirostat,
    Prefix,
    Processor,
    PromptLookup,
    Purpose,
    Sample,
    SelfSpeculative,
    Speculative,
    Step,
    Strategy,
    TableModel,
    Temperature,
    TopK,
    generate_ids,
    law,
)
from decoding.drafts import Draft, Drafter, DraftSession, ModelDraft
from decoding.drafts.draft import one_row
from decoding.significance import SIGNIFICANCE, g_test
from decoding.strategies.speculation import Speculation, Target, Verdict
from tests.decoding.models import Wrapped, memoised
from tests.gpt2.small import small_model
from tests.registry import CHAINS, PROCESSORS

Chain = tuple[Processor, ...]
Outcomes = dict[Any, float]
EXACT: list[type[Speculative] | type[BlockVerification] | type[DrafterInvariant]] = [
    Speculative,
    BlockVerification,
    DrafterInvariant,
]
each_strategy = pytest.mark.parametrize("strategy", EXACT)


# -- every path -------------------------------------------------------------------------------------------------------


class Keyed(Enumerate):
    """Takes every path of `InverseCDF`: choices with the same key have the same random number.

    A choice leaves the interval in which that number lies, and the next choice with its key has only this interval.
    """

    def __init__(self) -> None:
        super().__init__()
        self.intervals: dict[tuple[int, int, int], tuple[float, float]] = {}

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        rows = zip(logits, prefix.samples.tolist(), prefix.steps.tolist(), strict=True)
        return torch.tensor([self._choose_keyed(row, (int(purpose), *key)) for row, *key in rows])

    def _choose_keyed(self, logits: Tensor, key: tuple[int, int, int]) -> int:
        if self._depth == 0:
            self.intervals.clear()
        low, high = self.intervals.get(key, (0.0, 1.0))
        ends = [0.0, *logits.double().softmax(dim=-1).cumsum(dim=-1).tolist()]
        parts = [(max(low, one), min(high, other)) for one, other in itertools.pairwise(ends)]
        widths = torch.tensor([max(other - one, 0.0) for one, other in parts], dtype=torch.float64) / (high - low)
        choice = self._choose_one(widths.where(widths > 1e-14, 0.0).log())  # what is narrower is rounding
        self.intervals[key] = parts[choice]
        return choice


def ids_of(steps: Iterator[Step]) -> tuple[int, ...]:
    return tuple(id for step in steps for id in step.ids)


def outcomes(
    strategy: Strategy,
    model: LanguageModel,
    prompt: Sequence[int],
    steps: int,
    eos_id: int | None = None,
    chance: Enumerate | None = None,
    told: Callable[[Iterator[Step]], Any] | None = None,
) -> Outcomes:
    """The probability of everything that can come of a run: a text, or the sentence of an error."""
    told = told or ids_of
    chance = Enumerate() if chance is None else chance
    terms: dict[Any, list[float]] = {}
    while True:
        try:
            outcome = told(strategy.run(model, [prompt], Limits(steps, eos_id), chance))
        except ValueError as error:
            outcome = str(error)
        terms.setdefault(outcome, []).append(math.exp(chance.log_probability))
        if not chance.advance():
            return {outcome: math.fsum(parts) for outcome, parts in terms.items()}


def distance(one: Outcomes, other: Outcomes) -> float:
    return max(abs(one.get(outcome, 0.0) - other.get(outcome, 0.0)) for outcome in {*one, *other})


def first_draft(steps: Iterator[Step]) -> tuple[tuple[int, ...], int, int | None]:
    """What became of the first draft: its ids, how many were kept, and the id behind them."""
    rounds = (step.round for step in steps if step.round is not None)
    next(rounds)  # that of the prompt
    judged = next(rounds)
    return tuple(one.id for one in judged.drafted), judged.accepted, judged.added


# -- pairs of distributions -------------------------------------------------------------------------------------------

Pair = tuple[list[float], list[float]]  # what the model says, and what the draft does
PAIRS = ["random", "zeros", "equal", "disjoint", "certain model", "certain draft", "certain of different ids", "near"]


def shares(numbers: Sequence[float]) -> list[float]:
    return [number / sum(numbers) for number in numbers]


def one_hot(n: int, id: int) -> list[float]:
    return [float(i == id) for i in range(n)]


def a_pair(kind: str, chance: random.Random, n: int) -> Pair:
    p, q = (shares([chance.random() ** 2 for _ in range(n)]) for _ in range(2))
    some = chance.randrange(n)
    if kind == "zeros":
        other = chance.randrange(n)
        p = shares([x * (i != some) for i, x in enumerate(p)])
        q = shares([x * (i != other) for i, x in enumerate(q)])
    elif kind == "equal":
        q = p
    elif kind == "disjoint":
        p, q = one_hot(n, some), shares([x * (i != some) for i, x in enumerate(q)])
        p, q = (p, q) if chance.random() < 0.5 else (q, p)
    elif kind == "certain model":
        p = one_hot(n, some)
    elif kind == "certain draft":
        q = one_hot(n, some)
    elif kind == "certain of different ids":
        p, q = one_hot(n, some), one_hot(n, (some + 1) % n)
    elif kind == "near":
        q = shares([x * (1 + 1e-9 * chance.random()) for x in p])
    return p, q


def a_pair_of_models(kind: str, seed: int, n: int, others: Sequence[str] = PAIRS) -> tuple[TableModel, TableModel]:
    """Another pair behind every text, of this kind or of others. Behind the prompt, one id, both are certain of 0."""

    def pair(ids: Sequence[int]) -> Pair:
        chance = random.Random(f"{seed} {list(ids)}")
        return (one_hot(n, 0),) * 2 if len(ids) == 1 else a_pair(chance.choice([kind, kind, *others]), chance, n)

    def a_model(which: int) -> TableModel:
        return memoised(TableModel(n, 16, lambda ids: torch.tensor(pair(ids)[which], dtype=torch.float64).log()))

    return a_model(0), a_model(1)


@each_strategy
@pytest.mark.parametrize("kind", PAIRS)
def test_every_pair_of_distributions(strategy: type[Speculative], kind: str) -> None:
    """Drafts of 1 to 3 ids, several rounds, and every text that can come of them, with a probability within 1e-12."""
    sizes = [(3, 3, 2, Keyed()), (2, 3, 1, Enumerate()), (2, 4, 3, Keyed()), (2, 4, 2, Keyed())]
    for seed, (n, steps, length, chance) in enumerate(sizes):
        model, draft = a_pair_of_models(kind, seed, n)
        found = outcomes(strategy(draft=draft, length=length), model, [0], steps, chance=chance)
        assert distance(found, outcomes(Sample(), model, [0], steps)) < 1e-12


def test_the_law_does_not_depend_on_who_drafts() -> None:
    """A draft that knows nothing, one that is always wrong, one that is the model itself, and copies."""
    model = memoised(TableModel.random(2, 16, seed=2))
    drafts: list[LanguageModel | Drafter] = [
        model,
        TableModel(2, 16, lambda ids: torch.zeros(2, dtype=torch.float64)),
        TableModel(2, 16, lambda ids: -2 * model.logits_after(ids)),
        PromptLookup(),
        PromptLookup(1),
    ]
    expected = outcomes(Sample(), model, [0, 1, 0], 3)
    for strategy, draft in itertools.product(EXACT, drafts):
        assert distance(outcomes(strategy(draft=draft, length=2), model, [0, 1, 0], 3), expected) < 1e-12


# -- one round, by hand -----------------------------------------------------------------------------------------------


def plain_token_round(draft: Sequence[int], ps: Sequence[list[float]], qs: Sequence[list[float]]) -> Outcomes:
    """(kept, added) -> probability, for a given draft, token by token; ps has one distribution more than the draft."""
    found: Outcomes = {}
    alive = 1.0
    for place, id in enumerate(draft):
        p, q = ps[place], qs[place]
        keep = min(1.0, p[id] / q[id])
        residual = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
        for other, weight in enumerate(residual):
            if weight and keep < 1.0:
                found[place, other] = alive * (1.0 - keep) * weight / sum(residual)
        alive *= keep
    found.update({(len(draft), id): alive * p for id, p in enumerate(ps[-1])})
    return found


def plain_block_round(draft: Sequence[int], ps: Sequence[list[float]], qs: Sequence[list[float]]) -> Outcomes:
    """The same by block verification: the paper's algorithm 2, each of its coins falling both ways.

    The coin for keeping i ids is tossed for every i, and the largest i for which it falls right is taken.
    """
    n = len(draft)
    weights, coins, residuals = [1.0], [1.0], []
    for i, id in enumerate(draft):
        residuals.append([max(weights[i] * a - b, 0.0) for a, b in zip(ps[i], qs[i], strict=True)])
        s = sum(residuals[i])
        if i:
            coins.append(s / (s + (1.0 - weights[i])) if s + (1.0 - weights[i]) > 0.0 else 1.0)
        weights.append(min(weights[i] * ps[i][id] / qs[i][id], 1.0))
    coins.append(weights[n])
    found: Outcomes = {}
    for falls in itertools.product([True, False], repeat=n):
        probability = math.prod(h if fell else 1.0 - h for h, fell in zip(coins[1:], falls, strict=True))
        kept = max([0, *(i for i, fell in enumerate(falls, 1) if fell)])
        behind = ps[n] if kept == n else residuals[kept]
        if probability > 0.0:
            for id, weight in enumerate(behind):
                found[kept, id] = found.get((kept, id), 0.0) + probability * weight / sum(behind)
    return found


def expected_kept(strategy: Strategy, model: TableModel, steps: int) -> float:
    return sum(
        weight * kept for (_, kept, _), weight in outcomes(strategy, model, [0], steps, told=first_draft).items()
    )


def distributions(model: TableModel, ids: Sequence[int], places: int) -> list[list[float]]:
    """Behind the prompt 0, the certain 0, and ever more of these ids."""
    return [model.logits_after([0, 0, *ids[:place]]).softmax(dim=-1).tolist() for place in range(places)]


def test_by_hand_both_ways_to_an_id_add_up_to_its_probability() -> None:
    """No code of this project: q min(1, p/q), and all that is rejected spread like max(p - q, 0)."""
    chance = random.Random(1)
    for kind, n in itertools.product(PAIRS, (2, 3, 7)):
        for _ in range(50):
            p, q = a_pair(kind, chance, n)
            accepted = [b * min(1.0, a / b) if b else 0.0 for a, b in zip(p, q, strict=True)]
            residual = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
            spread = shares(residual) if sum(residual) else residual
            both = [one + (1.0 - sum(accepted)) * other for one, other in zip(accepted, spread, strict=True)]
            assert max(abs(a - b) for a, b in zip(p, both, strict=True)) < 1e-12


@pytest.mark.parametrize(
    ("strategy", "plain"), [(Speculative, plain_token_round), (BlockVerification, plain_block_round)]
)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_becomes_of_each_draft_is_what_the_paper_says(
    strategy: type[Speculative], plain: Callable[..., Outcomes], length: int
) -> None:
    """How many ids stay, and which follows, for each draft there is; by a plain version of both papers' algorithms."""
    for seed in range(3):
        model, draft = a_pair_of_models("random", 10 + seed, 3)
        found = outcomes(strategy(draft=draft, length=length), model, [0], 1 + length + 1, told=first_draft)
        expected: Outcomes = {}
        for ids in itertools.product(range(3), repeat=length):
            ps, qs = distributions(model, ids, length + 1), distributions(draft, ids, length)
            drawn = math.prod(q[id] for q, id in zip(qs, ids, strict=True))
            if drawn > 0.0:
                expected.update({(ids, *what): drawn * weight for what, weight in plain(ids, ps, qs).items()})
        assert math.fsum(expected.values()) == pytest.approx(1.0, abs=1e-12)
        assert distance(found, expected) < 1e-12


def expected_by_theory(model: TableModel, draft: TableModel, length: int) -> float:
    """A block keeps its first i ids, or more, with the probability w_i: the sum over all of them."""
    total = 0.0
    for n in range(1, length + 1):
        for ids in itertools.product(range(model.n_vocab), repeat=n):
            drawn = weight = 1.0
            for p, q, id in zip(distributions(model, ids, n), distributions(draft, ids, n), ids, strict=True):
                drawn *= q[id]
                weight = min(1.0, weight * p[id] / q[id]) if q[id] else 0.0
            total += drawn * weight
    return total


def test_a_block_keeps_at_least_as_many_ids_and_often_more() -> None:
    gains = []
    for seed, length in itertools.product(range(3), (2, 3)):
        model, draft = a_pair_of_models("random", 20 + seed, 3 if length == 2 else 2, others=["zeros"])
        block = expected_kept(BlockVerification(draft=draft, length=length), model, length + 2)
        assert block == pytest.approx(expected_by_theory(model, draft, length), abs=1e-12)
        gains.append(block - expected_kept(Speculative(draft=draft, length=length), model, length + 2))
    assert min(gains) > -1e-12
    assert sum(gain > 1e-3 for gain in gains) >= 2


def test_a_block_gains_nothing_where_the_model_is_certain() -> None:
    for seed in range(3):
        model, draft = a_pair_of_models("random", 40 + seed, 3)
        kept = [expected_kept(one(Temperature(0.0), draft=draft, length=3), model, 5) for one in EXACT]
        assert kept[0] == kept[1] == kept[2]


# -- processors -------------------------------------------------------------------------------------------------------

EOS = 2
PROMPT = [3, 1, 0, 3, 1]  # copies itself


def thinned(model: TableModel, key: int) -> TableModel:
    """The same table with two ids left behind each text, and one behind the prompt: there are fewer texts to list."""

    def logits_after(ids: Sequence[int]) -> Tensor:
        most = 1 if len(ids) == len(PROMPT) else 2
        left = random.Random(f"{key} {list(ids)}").sample(range(model.n_vocab), most)
        mask = torch.full((model.n_vocab,), -torch.inf, dtype=torch.float64)
        return model.logits_after(ids) + mask.index_fill(0, torch.tensor(left), 0.0)

    return memoised(TableModel(model.n_vocab, model.n_positions, logits_after))


MODEL, DRAFT = thinned(TableModel.random(4, 16, seed=2), 11), thinned(TableModel.random(4, 16, seed=3), 17)
NETWORK = small_model(seed=3, dtype=torch.float64, n_vocab=4, n_embd=8, n_layer=2, n_head=2)  # which can exit early
EMPTYING: list[Chain] = [
    (BanSequences([[0], [1]]), Temperature(0.7)),
    (XTC(0.2, 0.4), BanSequences([[3], [0, 1]])),
    (BanSequences([[1, 0], [0, 0], [2, 0], [2, 1]]), Mirostat(1.0, 0.3)),
]
IDLE = [(example.processor,) for example in PROCESSORS if example.identity]


@pytest.mark.parametrize("chain", [chain for chain in [*CHAINS, *EMPTYING] if chain not in IDLE], ids=repr)
def test_every_chain_of_processors(chain: Chain) -> None:
    """Also where somewhere nothing is left: then the same errors come as often, and no others."""
    for strategy in EXACT:
        found = outcomes(strategy(*chain, draft=DRAFT, length=2), MODEL, PROMPT, 3, EOS, Keyed())
        assert distance(found, outcomes(Sample(*chain), MODEL, PROMPT, 3, EOS)) < 1e-12


def test_among_them_are_errors_that_come_now_and_then() -> None:
    found = [outcomes(Sample(*chain), MODEL, PROMPT, 3, EOS) for chain in [*CHAINS, *EMPTYING]]
    errors = [sum(p for what, p in one.items() if isinstance(what, str)) for one in found]
    assert sum(0.01 < error < 0.99 for error in errors) >= 2


@pytest.mark.parametrize(
    "chain", [(), (Mirostat(1.0, 0.3),), (XTC(0.2, 0.4), FrequencyPenalty(0.4)), *EMPTYING], ids=repr
)
@pytest.mark.parametrize("eos_id", [None, EOS])
def test_processors_with_copies(chain: Chain, eos_id: int | None) -> None:
    prompt = [0, 1, 0, 3, 1, 0, 3, 1]
    model = memoised(TableModel(4, 16, lambda ids: MODEL.logits_after(ids[-6:])))  # two ids behind every text
    for strategy in EXACT:
        found = outcomes(strategy(*chain, draft=PromptLookup(2), length=2), model, prompt, 3, eos_id)
        assert distance(found, outcomes(Sample(*chain), model, prompt, 3, eos_id)) < 1e-12


@each_strategy
@pytest.mark.parametrize("chain", [(), (XTC(0.2, 0.4), Mirostat(1.0, 0.3))], ids=repr)
def test_a_network_that_drafts_for_itself(strategy: type[Speculative], chain: Chain) -> None:
    chain = (Temperature(8.0), TopK(2), *chain)  # its logits are of order 10
    expected = outcomes(Sample(*chain), NETWORK, [0, 1], 3, EOS)
    found = outcomes(strategy(*chain, draft=SelfSpeculative(1), length=2), NETWORK, [0, 1], 3, EOS, Keyed())
    assert len(expected) > 4
    assert distance(found, expected) < 1e-12


@each_strategy
def test_at_the_edge_of_what_the_models_take(strategy: type[Speculative]) -> None:
    """`n_positions` of the model, and fewer of the draft, down to the prompt's own length."""
    for positions, drafts in [(4, 16), (16, 2), (16, 3), (5, 4)]:
        model = memoised(TableModel.random(2, positions, seed=4))
        draft = memoised(TableModel.random(2, drafts, seed=5))
        found = outcomes(strategy(draft=draft, length=3), model, [0, 1], 4)
        assert distance(found, outcomes(Sample(), model, [0, 1], 4)) < 1e-12
        assert {len(ids) for ids in found} == {min(4, positions - 2)}


def test_a_draft_that_is_lost_itself_does_no_harm() -> None:
    """It says nothing where its processors leave nothing, or its logits are no numbers, and goes on behind that."""
    only_one = torch.tensor([0.0, -torch.inf], dtype=torch.float64)
    model = memoised(TableModel.random(2, 16, seed=6))
    for lost in (torch.full((2,), torch.nan), only_one):
        draft = TableModel(2, 16, lambda ids, lost=lost: lost if ids[-1] else model.logits_after(ids).flip(0))  # type: ignore[misc]
        for strategy, chain in zip(EXACT, [(), (BanSequences([[1, 0, 0]]),), ()], strict=True):
            found = outcomes(strategy(*chain, draft=draft, length=3), model, [0], 4, chance=Keyed())
            assert distance(found, outcomes(Sample(*chain), model, [0], 4)) < 1e-12


# -- mutants: drafts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lying:
    """Drafts with a model, and says something else about what it drew from."""

    model: TableModel
    says: Callable[[TableModel, list[int], Tensor], Tensor]  # model, text, the true logarithms (V,) -> others

    def start(self, *args: Any) -> DraftSession:
        session = ModelDraft(self.model).start(*args)
        honest = session.propose

        def propose(prefixes: Sequence[Prefix], *args: Any) -> list[Draft]:
            drafts = honest(prefixes, *args)
            return [self.told(draft, one_row(prefix)) for draft, prefix in zip(drafts, prefixes, strict=True)]

        session.propose = propose  # type: ignore[method-assign, assignment]
        return session

    def told(self, draft: Draft, text: list[int]) -> Draft:
        assert draft.logprobs is not None
        places = enumerate(draft.logprobs)
        return Draft(draft.ids, tuple(self.says(self.model, text + list(draft.ids[:n]), own) for n, own in places))


def before_the_processors(model: TableModel, ids: list[int], own: Tensor) -> Tensor:
    return model.logits_after(ids).log_softmax(dim=-1)


def of_the_text_before(model: TableModel, ids: list[int], own: Tensor) -> Tensor:
    return model.logits_after(ids[:-1]).div(0.5).log_softmax(dim=-1)


def uniform(model: TableModel, ids: list[int], own: Tensor) -> Tensor:
    return torch.zeros_like(own).log_softmax(dim=-1)


def honest(model: TableModel, ids: list[int], own: Tensor) -> Tensor:
    return own


def dense(seed: int) -> TableModel:
    """Three ids behind every text, but only 0 behind the prompt, two ids."""
    table, first = TableModel.random(3, 16, seed, scale=1.0), torch.tensor(one_hot(3, 0), dtype=torch.float64).log()
    return memoised(TableModel(3, 16, lambda ids: first if len(ids) == 2 else table.logits_after(ids)))


DENSE, DENSE_DRAFT = dense(4), dense(104)


def error_of_the_law(strategy: Speculation, chance: Enumerate | None = None, model: LanguageModel = DENSE) -> float:
    """By how much the probability of some text differs from what `Sample` gives it."""
    expected = outcomes(Sample(*strategy.processors), DENSE, [0, 1], 4)  # of which two may be drafted in one round
    return distance(outcomes(strategy, model, [0, 1], 4, chance=chance or Keyed()), expected)


@pytest.mark.parametrize("strategy", [Speculative, BlockVerification])
def test_a_draft_has_to_say_what_it_drew_from(strategy: type[Speculative]) -> None:
    """The famous mistake is to take q before the processors."""
    for says, right in ((honest, True), (before_the_processors, False), (of_the_text_before, False), (uniform, False)):
        found = error_of_the_law(strategy(Temperature(0.5), draft=Lying(DENSE_DRAFT, says), length=2))
        assert found < 1e-12 if right else found > 1e-3


def test_drafts_do_not_matter_to_drafter_invariant() -> None:
    assert error_of_the_law(DrafterInvariant(Temperature(0.5), draft=Lying(DENSE_DRAFT, uniform), length=2)) < 1e-12


@dataclass(frozen=True)
class Copied:
    """Draws with a model, and passes its ids off as copies."""

    model: TableModel

    def start(self, *args: Any) -> DraftSession:
        session = ModelDraft(self.model).start(*args)
        propose = session.propose
        session.propose = lambda *args: [Draft(draft.ids) for draft in propose(*args)]  # type: ignore[method-assign]
        return session


def test_ids_that_were_drawn_may_be_called_certain_at_a_price() -> None:
    """No mistake, though it looks like one: whatever id it is, p(x) and the residual of p without x make p."""
    for strategy in (Speculative, BlockVerification):
        assert error_of_the_law(strategy(draft=Copied(DENSE_DRAFT), length=2)) < 1e-12
        copied, drawn = (
            sum(kept * p for (_, kept, _), p in outcomes(one, DENSE, [0, 1], 3, told=first_draft).items())
            for one in (strategy(draft=Copied(DENSE_DRAFT), length=2), strategy(draft=DENSE_DRAFT, length=2))
        )
        assert copied < drawn - 0.01


# -- mutants: verdicts ------------------------------------------------------------------------------------------------


class ResidualOfP(Speculative):
    """Draws from p again what it has rejected."""

    def verify(self, target: Target) -> Verdict:
        verdict = super().verify(target)
        place = verdict.accepted
        if place == len(target.draft.ids):
            return verdict
        return Verdict(place, target.chance.choose(target.logits(place), Purpose.RESIDUAL, target.prefix(place)))


class UpsideDown(Speculative):
    """Accepts with min(1, q / p)."""

    def verify(self, target: Target) -> Verdict:
        for place, id in enumerate(target.draft.ids):
            ratio = math.exp(target.draft.logprob(place) - float(target.logprobs(place)[id]))
            if not the_speculative_file.accepted(ratio, target.chance, target.prefix(place)):
                p, q = target.logprobs(place).exp(), target.draft.probabilities(place, target.logits(place).shape[1])
                return Verdict(place, the_speculative_file.drawn_anew((p - q).clamp(min=0.0), target, place))
        return super().verify(target)


class BonusFromTheDraft(Speculative):
    """Draws the id behind a whole draft from the draft's last distribution."""

    def verify(self, target: Target) -> Verdict:
        verdict = super().verify(target)
        if not target.draft.ids or verdict.accepted < len(target.draft.ids) or verdict.added is None:
            return verdict
        assert target.draft.logprobs is not None
        place = verdict.accepted
        return Verdict(
            place, target.chance.choose(target.draft.logprobs[-1][None], Purpose.TOKEN, target.prefix(place))
        )


class ResidualOfTheNextPlace(Speculative):
    """Is off by one in the distributions behind the draft."""

    def verify(self, target: Target) -> Verdict:
        verdict = super().verify(target)
        if verdict.accepted + 1 > len(target.draft.ids):
            return verdict
        place = verdict.accepted
        return Verdict(place, target.chance.choose(target.logits(place + 1), Purpose.RESIDUAL, target.prefix(place)))


class KeyedByTheStep(BlockVerification):
    """Lets a block have the noise of its steps."""

    def chance(self, chance: Chance) -> Chance:
        return chance


class FirstFailureEnds(BlockVerification):
    """Tosses the block's coins one after another, and stops at the first that falls wrong, as for single ids."""

    def verify(self, target: Target) -> Verdict:
        for n in range(1, len(target.draft.ids) + 1):
            shorter = Target.__new__(Target)
            vars(shorter).update(vars(target), draft=target.draft.first(n), finished=True)
            verdict = super().verify(shorter)
            if verdict.accepted < n:
                return verdict
        return super().verify(target) if not target.draft.ids else self._whole(target)

    def _whole(self, target: Target) -> Verdict:
        place = len(target.draft.ids)
        if target.finished:
            return Verdict(place, None)
        return Verdict(place, target.chance.choose(target.logits(place), Purpose.TOKEN, target.prefix(place)))


@pytest.mark.parametrize(
    ("mutant", "length"),
    [
        (ResidualOfP, 2),
        (UpsideDown, 2),
        (BonusFromTheDraft, 1),
        (ResidualOfTheNextPlace, 2),
        (FirstFailureEnds, 2),
    ],
)
def test_a_wrong_verdict_has_another_law(mutant: type[Speculative], length: int) -> None:
    assert error_of_the_law(mutant(draft=DENSE_DRAFT, length=length)) > 1e-2


def test_a_weight_is_at_most_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a block has too much of at one id may not be saved for the next."""
    assert error_of_the_law(BlockVerification(draft=DENSE_DRAFT, length=2)) < 1e-12
    monkeypatch.setattr(
        the_block_file, "min", lambda _, weight: weight if weight < 1.0 else 0.8 + 0.2 * weight, raising=False
    )
    assert error_of_the_law(BlockVerification(draft=DENSE_DRAFT, length=2)) > 1e-3


def test_the_residual_is_weighted(monkeypatch: pytest.MonkeyPatch) -> None:
    def unweighted(residual: Tensor, target: Target, place: int) -> Tensor:
        p, q = target.logprobs(place).exp(), target.draft.probabilities(place, target.logits(place).shape[1])
        return the_speculative_file.drawn_anew((p - q).clamp(min=0.0), target, place)

    monkeypatch.setattr(the_block_file, "drawn_anew", unweighted)
    assert error_of_the_law(BlockVerification(draft=DENSE_DRAFT, length=2)) > 1e-3


# -- mutants: noise, states, caches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [Enumerate, Keyed])
def test_no_noise_is_used_twice(chance: type[Enumerate]) -> None:
    """A draft behind a rejected id has used up noise that is used again; nothing that stays depends on it."""
    for strategy in EXACT:
        assert error_of_the_law(strategy(draft=DENSE_DRAFT, length=3), chance()) < 1e-12


def test_a_block_must_not_have_the_noise_of_its_steps() -> None:
    """What stays of it depends on the ids behind, which the next round would draw with the same noise."""
    assert error_of_the_law(KeyedByTheStep(draft=DENSE_DRAFT, length=2), Enumerate()) < 1e-12  # fresh noise would do
    assert error_of_the_law(KeyedByTheStep(draft=DENSE_DRAFT, length=2), Keyed()) > 1e-3


@pytest.mark.parametrize("purpose", [Purpose.ACCEPTANCE, Purpose.RESIDUAL])
def test_a_draft_must_not_share_its_noise(purpose: Purpose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speculative, "drafts_for", purpose)
    assert error_of_the_law(Speculative(draft=DENSE_DRAFT, length=2), Enumerate()) < 1e-12
    assert error_of_the_law(Speculative(draft=DENSE_DRAFT, length=2), Keyed()) > 1e-3


@pytest.mark.parametrize("purpose", [Purpose.DRAFT, Purpose.ACCEPTANCE])
def test_nor_a_coin_of_the_processors(purpose: Purpose, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = Speculative(XTC(0.2, 0.4), draft=DENSE_DRAFT, length=2)
    assert error_of_the_law(strategy, Keyed()) < 1e-12
    monkeypatch.setattr(XTC, "purpose", purpose)
    assert error_of_the_law(strategy, Keyed()) > 1e-3


def test_what_processors_remember_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = BlockVerification(Mirostat(0.7, 3.0), draft=DENSE_DRAFT, length=2)
    assert error_of_the_law(strategy) < 1e-12
    monkeypatch.setattr(Target, "states", lambda self, place: self._states[-1])  # behind all that it has looked at
    assert error_of_the_law(strategy) > 1e-3


class NotRewound(Wrapped):
    """Remembers what was rejected."""

    def open(self) -> Any:
        session = self.model.open()
        session.rewind = lambda lengths: None  # type: ignore[method-assign]
        return session


@each_strategy
def test_the_model_forgets_what_was_rejected(strategy: type[Speculative]) -> None:
    long = memoised(TableModel(3, 99, DENSE.logits_after))
    assert error_of_the_law(strategy(draft=DENSE_DRAFT, length=2), model=long) < 1e-12
    assert error_of_the_law(strategy(draft=DENSE_DRAFT, length=2), model=NotRewound(long)) > 1e-3


# -- by counting ------------------------------------------------------------------------------------------------------


def p_value(strategy: Speculation, draw: Callable[[int], Chance], n: int) -> float:
    """How surprising n texts of four ids are under the law of `Sample`."""
    expected = law(Sample(*strategy.processors), DENSE, [0, 1], 4, EOS)
    rows = generate_ids(DENSE, [[0, 1]], strategy, max_new_tokens=4, eos_id=EOS, seed=5, draw=draw, num_samples=n)
    counts = Counter(tuple(row.ids) for row in rows)
    return 0.0 if counts.keys() - expected else g_test([counts[ids] for ids in expected], list(expected.values()))


@each_strategy
@pytest.mark.parametrize(
    ("chain", "draw"), [((), InverseCDF), ((XTC(0.2, 0.4), Mirostat(1.5, 1.0)), Gumbel)], ids=["plain", "processed"]
)
def test_texts_follow_the_law(strategy: type[Speculative], chain: Chain, draw: Callable[[int], Chance]) -> None:
    """Of up to four ids, several rounds each, with the noise of a real run."""
    p = p_value(strategy(*chain, draft=DENSE_DRAFT, length=2), draw, 300)
    print(f"{strategy.__name__}{chain} by {draw.__name__}: {p:.3g}")
    assert p > SIGNIFICANCE


@pytest.mark.parametrize("mutant", [ResidualOfP, BonusFromTheDraft])
def test_texts_of_a_wrong_verdict_do_not(mutant: type[Speculative]) -> None:
    length = 1 if mutant is BonusFromTheDraft else 2
    assert p_value(mutant(draft=DENSE_DRAFT, length=length), Gumbel, 300) < SIGNIFICANCE


# -- rounding ---------------------------------------------------------------------------------------------------------


@each_strategy
@pytest.mark.parametrize("own", [True, False], ids=["itself", "all its layers"])
def test_rounding_moves_no_noise(strategy: type[Speculative], own: bool) -> None:  # laws 5 and 7
    """Where a model drafts for itself, p - q is nothing but rounding, which a batch changes: no choice may show it."""
    model = small_model(2, torch.float64, n_vocab=11)
    texts = strategy(Temperature(3.0), draft=model if own else SelfSpeculative(3), length=5)
    prompts = [[1, 2], [3, 4, 5, 6], [7]]
    for seed in range(5):
        together = [row.ids for row in generate_ids(model, prompts, texts, max_new_tokens=16, seed=seed)]
        alone = [generate_ids(model, [one], texts, max_new_tokens=16, seed=seed)[0].ids for one in prompts]
        assert together == alone
