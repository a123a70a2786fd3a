"""Beam search: against a list of all texts, against a plain version of its rule, and what it gives out on the way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import decoding.strategies.beam as the_file
from decoding import (
    XTC,
    BeamSearch,
    ConstrainedBeamSearch,
    DiverseBeamSearch,
    ExactSearch,
    Force,
    GeneratedIds,
    Greedy,
    Mirostat,
    NoRepeatNGram,
    Prefix,
    Processor,
    RepetitionPenalty,
    StochasticBeamSearch,
    Strategy,
    Suppress,
    TableModel,
    Temperature,
    Tokenizer,
    TopK,
    TransformersBeamSearch,
    Uncached,
    generate,
    generate_ids,
    law,
    stream,
)
from decoding.core import Limits
from decoding.strategies.frontier import Frontier, best_first, shared_beginning
from gpt2 import GPT2, GPT2Config
from tests.decoding.models import memoised, rounded

PROMPT = [1, 2]
ALPHAS = [0.0, 0.7, -0.5, 2.0]


class Text(NamedTuple):
    """A whole text; sorted, the best comes first: of equals the shorter, then the one with lower ids."""

    cost: float
    length: int
    ids: tuple[int, ...]


def a_model(seed: int, parts: int | None = None, n_vocab: int = 3, scale: float = 2.0) -> TableModel:
    """Different logits after every prefix; in multiples of 1/parts, ties occur."""
    model = memoised(TableModel.random(n_vocab, 16, seed, scale))
    return model if parts is None else memoised(rounded(model, parts))


def next_logprobs(model: TableModel, ids: Sequence[int], processors: Sequence[Processor], eos_id: int | None) -> Tensor:
    """After the processors, renormalised, (V,); -inf throughout where they leave nothing."""
    logits = model.logits_after([*PROMPT, *ids])[None]
    prefix = Prefix.of([[*PROMPT, *ids]], eos_id=eos_id)._replace(prompt_lengths=torch.tensor([len(PROMPT)]))
    for processor in processors:
        logits = processor(logits, prefix)
    empty = not bool((logits > -torch.inf).any())
    return logits[0] if empty else logits[0].log_softmax(dim=-1)


def all_texts(
    model: TableModel, steps: int, eos_id: int | None, alpha: float, processors: Sequence[Processor] = ()
) -> list[Text]:
    """Every text that can be, best first."""
    found: list[Text] = []

    def extend(ids: tuple[int, ...], total: float) -> None:
        if ids and (ids[-1] == eos_id or len(ids) == steps):
            found.append(Text(-(total / len(ids) ** alpha), len(ids), ids))
            return
        for id, logprob in enumerate(next_logprobs(model, ids, processors, eos_id).tolist()):
            if logprob > -math.inf:
                extend((*ids, id), total + logprob)

    extend((), 0.0)
    return sorted(found)


def plain_beam(
    model: TableModel,
    steps: int,
    eos_id: int | None,
    alpha: float,
    beams: int,
    processors: Sequence[Processor] = (),
    kept_of: Callable[[int], int] = lambda beams: beams,
) -> list[Text]:
    """The rule in plain Python, exhausting: `kept_of` says how good a text that ends must be to be set aside."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    done: list[Text] = []
    while live:
        children = [
            (-(total + logprob), place, id, total + logprob, (*ids, id))
            for place, (total, ids) in enumerate(live)
            for id, logprob in enumerate(next_logprobs(model, ids, processors, eos_id).tolist())
            if logprob > -math.inf
        ]
        live = []
        for rank, (_, _, id, total, ids) in enumerate(sorted(children), start=1):
            if id == eos_id or len(ids) == steps:
                if rank <= kept_of(beams):
                    done.append(Text(-(total / len(ids) ** alpha), len(ids), ids))
            elif len(live) < beams:
                live.append((total, ids))
    return sorted(done)[:beams]


def search(
    model: Any, strategy: BeamSearch | ExactSearch, steps: int = 4, eos_id: int | None = None, **others: Any
) -> GeneratedIds:
    return generate_ids(model, [PROMPT], strategy, max_new_tokens=steps, eos_id=eos_id, **others)[0]


def found(result: GeneratedIds) -> list[Text]:
    return [Text(-one.score, len(one.ids), tuple(one.ids)) for one in result.candidates if one.score is not None]


# -- against all texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eos_id", [None, 0])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_at_full_width_it_finds_all_texts_in_order(alpha: float, eos_id: int | None) -> None:
    """And exact search the best of them, on 240 random models in all, half with ties: ids and scores, bit for bit."""
    first = 100 * ALPHAS.index(alpha) + (50 if eos_id is None else 0)
    for seed in range(first, first + 15):
        for parts in (None, 1):
            model = a_model(seed, parts)
            expected = all_texts(model, 4, eos_id, alpha)
            result = search(model, BeamSearch(beams=3**4, length_penalty=alpha), eos_id=eos_id)
            assert found(result) == expected
            assert tuple(result.ids) == expected[0].ids and result.score == -expected[0].cost
            exact = search(model, ExactSearch(length_penalty=alpha), eos_id=eos_id)
            assert found(exact)[0] == expected[0] and exact.search is not None and exact.search.bound == exact.score


@pytest.mark.parametrize("eos_id", [None, 0])
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("beams", [1, 2, 3, 5])
def test_a_narrow_beam_keeps_to_its_rule(beams: int, alpha: float, eos_id: int | None) -> None:
    """Against the plain version, on 20 random models, half of them with ties; and stopping early changes nothing."""
    for seed in range(10):
        for parts in (None, 1):
            model = a_model(seed, parts)
            expected = plain_beam(model, 4, eos_id, alpha, beams)
            for stopping in ("optimal", "exhaust"):
                strategy = BeamSearch(beams=beams, length_penalty=alpha, stopping=stopping)  # type: ignore[arg-type]
                assert found(search(model, strategy, eos_id=eos_id)) == expected


def test_a_text_that_ends_is_set_aside_only_if_it_is_among_the_best_of_all() -> None:
    """The mutant sets aside twice as many: the plain version shows that the results tell."""
    differences = 0
    for seed in range(20):
        model = a_model(seed, n_vocab=4)
        right = plain_beam(model, 4, 0, -0.5, 2)
        assert found(search(model, BeamSearch(beams=2, length_penalty=-0.5), eos_id=0)) == right
        differences += plain_beam(model, 4, 0, -0.5, 2, kept_of=lambda beams: 2 * beams) != right
    assert differences > 3


@pytest.mark.parametrize(
    "processors",
    [
        (Temperature(0.5), TopK(2)),
        (TopK(2), Temperature(3.0)),
        (NoRepeatNGram(1),),
        (RepetitionPenalty(2.0), Suppress([3])),
    ],
    ids=repr,
)
def test_processors_are_renormalised(processors: tuple[Processor, ...]) -> None:
    for seed in range(20):
        model = a_model(seed, n_vocab=4)
        expected = all_texts(model, 3, 0, 0.0, processors)
        if not expected:
            continue
        assert found(search(model, BeamSearch(*processors, beams=64), 3, eos_id=0)) == expected


def test_states_follow_their_hypotheses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirostat remembers; the plain version runs its chain anew along every path. The mutant leaves states behind."""
    processor = Mirostat(1.2, 1.0)

    def logprobs(model: TableModel, ids: tuple[int, ...]) -> list[float]:
        state, logits = processor.start(1), torch.empty(0)
        for length in range(len(ids) + 1):
            prefix = Prefix.of([[*PROMPT, *ids[:length]]])._replace(prompt_lengths=torch.tensor([len(PROMPT)]))
            row = model.logits_after([*PROMPT, *ids[:length]])[None]
            logits, state = processor.step(row, prefix, state, chance=None)  # type: ignore[arg-type]
        return list(map(float, logits[0].log_softmax(dim=-1)))

    def ranked(model: TableModel) -> list[Text]:
        texts = []
        for ids in itertools.product(range(3), repeat=4):
            total = 0.0
            for n, id in enumerate(ids):
                total += logprobs(model, ids[:n])[id]
            if total > -math.inf:
                texts.append(Text(-total, 4, ids))
        return sorted(texts)

    models = [a_model(seed) for seed in range(4)]
    expected = [ranked(model) for model in models]
    strategy = BeamSearch(processor, beams=81)
    assert [found(search(model, strategy)) for model in models] == expected

    advance = Frontier.advance

    def forgetful(self: Frontier, parents: Any, children: Any) -> None:
        states = self._states
        advance(self, parents, children)
        if children:
            first = torch.zeros(len(children), dtype=torch.int64)
            self._states = [tuple(part[first] for part in state) for state in states]

    monkeypatch.setattr(Frontier, "advance", forgetful)
    assert [found(search(model, strategy)) for model in models] != expected


# -- laws -------------------------------------------------------------------------------------------------------------


def test_width_1_is_greedy() -> None:
    for seed in range(30):
        model = a_model(seed, parts=2)
        for processors in ((), (TopK(2), RepetitionPenalty(1.5))):
            greedy = generate_ids(model, [PROMPT], Greedy(*processors), max_new_tokens=5, eos_id=0)[0]
            beam = search(model, BeamSearch(*processors, beams=1), 5, eos_id=0)
            assert (beam.ids, beam.model_logprobs, beam.processed_logprobs) == (
                greedy.ids,
                greedy.model_logprobs,
                greedy.processed_logprobs,
            )
            assert beam.finish_reason == greedy.finish_reason


def test_a_wider_beam_need_not_find_a_likelier_text() -> None:
    """What is often said is false: on some models width 2 ends below greedy decoding, and width 3 below 2."""
    worse = set()
    for seed in (9, 36):  # of the first 40, these and 27
        scores = [search(a_model(seed, n_vocab=6, scale=1.0), BeamSearch(beams=beams), 8).score for beams in (1, 2, 3)]
        worse |= {beams for beams, (one, other) in enumerate(itertools.pairwise(scores), 2) if other < one}  # type: ignore[operator]
    assert worse == {2, 3}


def test_scores_can_be_recomputed_from_the_text() -> None:
    processors = (Temperature(0.8), TopK(3))
    for alpha in ALPHAS:
        strategy = BeamSearch(*processors, beams=3, length_penalty=alpha)
        for one in search(a_model(4, n_vocab=4), strategy, 5, eos_id=0).candidates:
            total = 0.0
            for n, id in enumerate(one.ids):
                total += float(next_logprobs(a_model(4, n_vocab=4), one.ids[:n], processors, 0)[id])
            assert one.score == total / len(one.ids) ** alpha
            assert sum(one.processed_logprobs) == pytest.approx(total, abs=1e-12)


def test_its_law_is_one_text() -> None:
    model = a_model(3)
    assert law(BeamSearch(beams=2), model, PROMPT, 3) == {tuple(search(model, BeamSearch(beams=2), 3).ids): 1.0}


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_optimal_stops_early_and_first_stops_first() -> None:
    asked: dict[str, list[int]] = {}
    for stopping in ("first", "optimal", "exhaust"):
        for seed in range(30):
            strategy = BeamSearch(beams=3, stopping=stopping)  # type: ignore[arg-type]
            result = search(a_model(seed), strategy, 8, eos_id=0)
            assert result.search is not None
            asked.setdefault(stopping, []).append(result.search.evaluations)
    pairs = list(zip(*asked.values(), strict=True))
    assert all(first <= optimal <= exhaust for first, optimal, exhaust in pairs)
    assert any(first < optimal for first, optimal, _ in pairs)
    assert sum(optimal < exhaust for _, optimal, exhaust in pairs) > 20


@pytest.mark.parametrize(
    ("wrong", "alpha"),
    [
        (lambda total, length, room, alpha: total / length**alpha, 2.0),  # as if a text could not gain by length
        (lambda total, length, room, alpha: total / room**alpha, -0.5),  # as if it had to become as long as it can
    ],
)
def test_a_bound_that_is_none_loses_texts(
    wrong: Callable[..., float], alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = BeamSearch(beams=2, length_penalty=alpha)
    models = [a_model(seed, n_vocab=4, scale=1.0) for seed in range(40)]
    right = [found(search(model, strategy, 8, eos_id=0)) for model in models]
    assert right == [plain_beam(model, 8, 0, alpha, 2) for model in models]
    monkeypatch.setattr(the_file, "attainable", wrong)
    assert [found(search(model, strategy, 8, eos_id=0)) for model in models] != right


# -- what ends, and what is given out ---------------------------------------------------------------------------------


def test_ids_are_given_out_as_soon_as_they_are_certain() -> None:
    """Together they are the text, the row ends with the last, and most are out long before the search ends."""
    for seed in range(12):
        model = a_model(seed)
        for alpha in ALPHAS:
            strategy = BeamSearch(beams=2, length_penalty=alpha)
            steps = list(strategy.run(model, [PROMPT], Limits(6, 0), chance=None))  # type: ignore[arg-type]
            result = search(model, strategy, 6, eos_id=0)
            assert [id for step in steps for id in step.ids] == result.ids
            assert [step.finish_reason for step in steps[:-1]] == [None] * (len(steps) - 1)
            assert steps[-1].finish_reason == result.finish_reason and steps[-1].found is not None
    model = memoised(TableModel.random(12, 64, seed=3))
    asked = 0

    def counting(ids: Sequence[int]) -> Tensor:
        nonlocal asked
        asked += 1
        return model.logits_after(ids)

    counted = TableModel(12, 64, counting)
    when = []
    for _ in BeamSearch(beams=3).run(counted, [PROMPT], Limits(20), chance=None):  # type: ignore[arg-type]
        when.append(asked)
    early = sum(one < asked for one in when)
    assert early >= 5  # most ids were out before the last distribution was asked for


def test_eos_stop_length_and_context() -> None:
    model = a_model(8)
    assert search(model, BeamSearch(), 3).finish_reason == "length"
    assert {len(one.ids) for one in search(model, BeamSearch(beams=9), 30).candidates} == {14}
    assert search(model, BeamSearch(), 30).finish_reason == "context"
    result = generate_ids(model, [[0] * 16, PROMPT], BeamSearch(beams=2), max_new_tokens=3)
    assert (result[0].ids, result[0].finish_reason, result[0].score) == ([], "context", 0.0)
    assert result[1] == generate_ids(model, [PROMPT], BeamSearch(beams=2), max_new_tokens=3, seed=result[1].seed)[0]
    assert [one.ids for one in result[0].candidates] == [[]]
    limits = Limits(6, None, stops=lambda ids: list(ids[-2:]) == [2, 1])
    steps = list(BeamSearch(beams=27).run(model, [PROMPT], limits, chance=None))  # type: ignore[arg-type]
    assert steps[-1].found is not None
    for one in steps[-1].found.candidates:
        stopped = [n for n in range(2, len(one.ids) + 1) if one.ids[n - 2 : n] == (2, 1)]
        assert (one.finish_reason, stopped) in (("stop", [len(one.ids)]), ("length", []))


def test_a_hypothesis_that_is_left_without_ids_goes_and_the_last_one_is_an_error() -> None:
    model = a_model(1, n_vocab=4)
    expected = all_texts(model, 4, None, 0.0, [NoRepeatNGram(1), TopK(3)])
    texts = found(search(model, BeamSearch(NoRepeatNGram(1), TopK(3), beams=64), 2))
    assert texts and not expected  # four different ids: none is left for the fourth step, as two are in the prompt
    with pytest.raises(ValueError, match=r"NoRepeatNGram\(1\) removed every id that was left.*prompt 0, sample 0"):
        search(model, BeamSearch(NoRepeatNGram(1), TopK(3), beams=64), 4)
    only = Force({1: 2})  # the second id is 2
    banned = BeamSearch(only, NoRepeatNGram(1, include_prompt=False), beams=4)
    result = search(model, banned, 2)  # those that began with 2 had nothing left
    assert [one.ids[1] for one in result.candidates] == [2] * 3 and all(one.ids[0] != 2 for one in result.candidates)


class NoneAfter(Processor):
    """Leaves nothing behind an id."""

    def __init__(self, id: int) -> None:
        self.id = id

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        assert prefix is not None
        last = prefix.ids.gather(1, prefix.lengths[:, None] - 1)  # (R, 1)
        return logits.masked_fill(last == self.id, -torch.inf)


@pytest.mark.parametrize(
    "search",
    [
        lambda processor: BeamSearch(processor, beams=2),
        lambda processor: DiverseBeamSearch(processor, groups=2, beams=2),
        lambda processor: ConstrainedBeamSearch(processor, phrases=[], beams=2),
        lambda processor: TransformersBeamSearch(processor, beams=2),
        lambda processor: StochasticBeamSearch(processor, k=2),
    ],
)
def test_a_dead_hypothesis_does_not_disturb_another_row(search: Callable[[Processor], Strategy]) -> None:  # law 5
    """One row has a hypothesis that is left without ids, the other one has none; each is as on its own."""
    removed = -torch.inf
    table = torch.tensor([[0.0, 1, 2, 3], [3, 2, removed, 0], [0, 0, 0, 0], [1, 0, removed, 0]])
    model, strategy = TableModel.bigram(table, 9), search(NoneAfter(2))
    together = generate_ids(model, [[0], [1]], strategy, max_new_tokens=2, seed=3)
    alone = [generate_ids(model, [prompt], strategy, max_new_tokens=2, seed=3)[0] for prompt in ([0], [1])]
    assert together == alone


def test_a_length_penalty_of_numpy_is_one_of_python() -> None:
    import numpy as np

    for value in (np.int64(-1), np.float16(0.5), 2):
        strategy = BeamSearch(beams=2, length_penalty=value)  # type: ignore[arg-type]
        expected = BeamSearch(beams=2, length_penalty=float(value))
        assert found(search(a_model(3), strategy)) == found(search(a_model(3), expected))
        assert type(search(a_model(3), strategy).score) is float


def test_logits_that_are_no_numbers_are_an_error() -> None:
    model = TableModel(3, 16, lambda ids: torch.tensor([0.0, math.nan if len(ids) == 3 else 1.0, 0.0]))
    with pytest.raises(ValueError, match="the model gave logits that are NaN or infinite"):
        search(model, BeamSearch(beams=2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"beams": 0}, "beams is a number of hypotheses, at least 1; got 0"),
        ({"beams": 2.0}, "got 2.0"),
        ({"beams": True}, "got True"),
        ({"length_penalty": math.nan}, "a length penalty is an exponent from -100 to 100"),
        ({"length_penalty": "1"}, "got '1'"),
        ({"stopping": "never"}, "stopping is one of 'optimal', 'first', 'exhaust'; got 'never'"),
    ],
)
def test_bad_parameters(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BeamSearch(**arguments)


def test_what_draws_is_refused() -> None:
    with pytest.raises(ValueError, match=r"BeamSearch compares texts by their probability, and XTC\(0.1, 0.5\) tosses"):
        BeamSearch(TopK(3), XTC(0.1, 0.5))
    BeamSearch(XTC(0.1, 1.0))  # no coin


def test_it_prints_and_compares_as_it_is_written() -> None:
    assert repr(BeamSearch()) == "BeamSearch()"
    assert repr(BeamSearch(TopK(3), beams=2, stopping="first")) == "BeamSearch(TopK(3), beams=2, stopping='first')"
    assert BeamSearch(TopK(3), beams=2) == BeamSearch(TopK(3), beams=2) != BeamSearch(TopK(3))
    assert len({BeamSearch(), BeamSearch(beams=5), BeamSearch(length_penalty=1.0)}) == 2
    assert Greedy() != BeamSearch(beams=1)


# -- through a network ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> GPT2:
    """Random weights, wide enough that logits differ clearly."""
    torch.manual_seed(5)
    model = GPT2(GPT2Config(n_vocab=50, n_positions=40, n_embd=16, n_layer=2, n_head=2)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return model


def texts(model: Any, prompts: Sequence[Sequence[int]]) -> list[list[list[int]]]:
    results = generate_ids(model, prompts, BeamSearch(NoRepeatNGram(3), beams=4), max_new_tokens=15, eos_id=7)
    return [[one.ids for one in result.candidates] for result in results]


RAGGED = [[3, 1, 4], [2], [9, 2, 6, 5, 3, 5], [3, 1, 4]]


def test_with_the_cache_as_without_it(network: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:  # law 7
    """The mutant: a cache that is not reordered when hypotheses change parents."""
    expected = texts(Uncached(network), RAGGED)
    assert texts(network, RAGGED) == expected
    assert [texts(network, [prompt])[0] for prompt in RAGGED] == expected
    session = type(network.open())
    select = session.select

    def unordered(self: Any, rows: Tensor) -> None:
        select(self, rows.sort().values)

    monkeypatch.setattr(session, "select", unordered)
    assert texts(network, RAGGED) != expected


# -- text and trace ---------------------------------------------------------------------------------------------------


def test_the_text_comes_in_pieces_and_candidates_have_theirs(storybook: GPT2) -> None:
    tokenizer = Tokenizer()
    strategy = BeamSearch(beams=3)
    arguments: dict[str, Any] = {"max_new_tokens": 24, "stop": ["!"]}
    result = generate(storybook, tokenizer, "Once upon a time", strategy, **arguments)
    pieces = list(stream(storybook, tokenizer, "Once upon a time", strategy, **arguments))
    assert "".join(piece.text for piece in pieces) == result.text and len(pieces) == len(result.ids)
    assert result.candidates[0].text == result.text
    assert result.score == result.candidates[0].score == max(one.score or 0.0 for one in result.candidates)
    for one in result.candidates:
        visible = one.ids[:-1] if one.finish_reason == "eos" else one.ids
        assert tokenizer.decode(visible).partition("!")[0] == one.text


def test_the_trace_has_a_step_an_id_and_the_tree() -> None:
    model = a_model(6)
    result = search(model, BeamSearch(TopK(2), beams=2), 5, eos_id=0, trace=True)
    assert [step.chosen for step in result.trace] == result.ids
    assert [len(step.prefix.ids[0]) for step in result.trace] == [2 + n for n in range(len(result.ids))]
    for n, step in enumerate(result.trace):
        assert step.stages[0].logits.tolist() == model.logits_after([*PROMPT, *result.ids[:n]]).tolist()
    tree = result.trace.tree
    assert tree is not None and tree.winner is not None
    assert tree.ids(tree.winner) == tuple(result.ids) and tree[tree.winner].score == result.score
    ended = {tree.ids(n): node.score for n, node in enumerate(tree) if node.fate in ("won", "finished")}
    assert {tuple(one.ids): one.score for one in result.candidates}.items() <= ended.items()
    for number, node in enumerate(tree):
        if number == 0:
            continue
        ids = tree.ids(number)
        assert node.parent is not None and node.parent < number and tree[node.parent].fate == "extended"
        assert node.logprob == float(next_logprobs(model, ids[:-1], [TopK(2)], 0)[node.id or 0])
        assert (node.finish_reason is None) == (ids[-1] != 0 and len(ids) < 5)
    for step in range(1, 6):
        ranks = [node.rank for node in tree if node.step == step]
        assert ranks == list(range(1, len(ranks) + 1)) and len(ranks) <= 4
        assert sum(node.fate in ("extended", "abandoned") for node in tree if node.step == step) <= 2
    assert search(model, BeamSearch(TopK(2), beams=2), 5, eos_id=0).trace.tree is None
    assert '"fate": "won"' in result.trace.to_json()


# -- pieces -----------------------------------------------------------------------------------------------------------


def test_best_first_goes_on_as_long_as_it_is_asked() -> None:
    totals = torch.tensor([[1.0, 3.0, 2.0, 3.0], [3.0, -torch.inf, 0.0, 2.0]])
    expected = [(0, 1), (0, 3), (1, 0), (0, 2), (1, 3), (0, 0), (1, 2)]
    for n in range(1, 9):
        assert list(best_first(totals, n)) == expected


def test_the_shared_beginning() -> None:
    assert shared_beginning([(1, 2, 3), (1, 2, 4), (1, 2)]) == 2
    assert shared_beginning([(1, 2)]) == 2
    assert shared_beginning([(1,), ()]) == 0 == shared_beginning([(1,), (2,)])
