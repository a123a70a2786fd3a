"""Diverse beam search: against a plain version of its rule, against `BeamSearch`, and against transformers 4.55.4."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import decoding.strategies.diverse_beam as the_file
from decoding import (
    XTC,
    BeamSearch,
    Force,
    GeneratedIds,
    NoRepeatNGram,
    Prefix,
    Processor,
    TableModel,
    Temperature,
    TopK,
    generate_ids,
)
from decoding.strategies.diverse_beam import DiverseBeamSearch
from gpt2 import GPT2
from tests.decoding.models import memoised, rounded

FIXTURES = Path(__file__).parents[1] / "fixtures"
PROMPT = [1, 2]
LogProbs = Callable[[tuple[int, ...]], list[float]]


class Text(NamedTuple):
    """A whole text in its group; sorted, the best comes first: of equals the shorter, then the one with lower ids."""

    cost: float  # minus what the group ranks it by
    length: int
    ids: tuple[int, ...]
    total: float  # the sum of its log-probabilities


class Rule(NamedTuple):
    """What the plain version does; each field is a choice of which the opposite is a rule, too."""

    penalty_stays: bool = True  # in the sum
    ends_count: bool = True  # as chosen
    done_groups_choose: bool = True
    pad_id: int = 0  # counted for a group that does not choose any more


OURS, THEIRS = Rule(), Rule(ends_count=False, done_groups_choose=False)


def plain(
    logprobs: LogProbs,
    groups: int,
    width: int,
    penalty: float,
    steps: int,
    eos_id: int | None,
    alpha: float,
    rule: Rule,
) -> list[list[Text]]:
    """The texts of each group, best first."""
    live: list[list[tuple[float, float, tuple[int, ...]]]] = [[(0.0, 0.0, ())] for _ in range(groups)]
    texts: list[list[Text]] = [[] for _ in range(groups)]
    done = [False] * groups
    for step in range(1, steps + 1):
        counts: Counter[int] = Counter()
        for g in range(groups):
            if done[g]:
                counts[rule.pad_id] += width
                continue
            options = [
                (-(total - paid + logprob - penalty * counts[id]), place, id, total + logprob, paid, ids)
                for place, (total, paid, ids) in enumerate(live[g])
                for id, logprob in enumerate(logprobs(ids))
            ]
            options.sort()
            live[g], chosen = [], []
            for rank, (cost, _, id, total, paid, ids) in enumerate(options, start=1):
                if id == eos_id or (step == steps and rule.ends_count):
                    if rank <= width:
                        texts[g].append(Text(cost / step**alpha, step, (*ids, id), total))
                        chosen += [id] if rule.ends_count else []
                elif len(live[g]) < width:
                    paid += penalty * counts[id] if rule.penalty_stays else 0.0
                    live[g].append((total, paid, (*ids, id)))
                    chosen.append(id)
                    if step == steps:
                        texts[g].append(Text(cost / step**alpha, step, (*ids, id), total))
            texts[g] = sorted(texts[g])[:width]
            if not rule.done_groups_choose and len(texts[g]) == width:
                done[g] = texts[g][-1].cost <= options[0][0]  # as transformers has it for alpha = 0
            counts.update(chosen)
    return texts


@cache
def of_table(model: TableModel, processors: Sequence[Processor] = ()) -> LogProbs:
    @cache
    def logprobs(ids: tuple[int, ...]) -> list[float]:
        logits = model.logits_after([*PROMPT, *ids])[None]
        prefix = Prefix.of([[*PROMPT, *ids]])._replace(prompt_lengths=torch.tensor([len(PROMPT)]))
        for processor in processors:
            logits = processor(logits, prefix)
        return list(map(float, logits[0].log_softmax(dim=-1)))

    return logprobs


@cache
def a_model(seed: int, n_vocab: int = 4) -> TableModel:
    return memoised(TableModel.random(n_vocab, 16, seed))


def search(model: Any, strategy: Any, steps: int = 4, eos_id: int | None = None, **others: Any) -> GeneratedIds:
    return generate_ids(model, [PROMPT], strategy, max_new_tokens=steps, eos_id=eos_id, **others)[0]


def united(groups: Sequence[Sequence[Text]], alpha: float) -> list[tuple[float, int, tuple[int, ...]]]:
    """All texts of all groups once, ordered by their score."""
    return sorted({(-(text.total / text.length**alpha), text.length, text.ids) for group in groups for text in group})


def found(result: GeneratedIds) -> list[tuple[float, int, tuple[int, ...]]]:
    return [(-one.score, len(one.ids), tuple(one.ids)) for one in result.candidates if one.score is not None]


def close(
    one: Sequence[tuple[float, int, tuple[int, ...]]], other: Sequence[tuple[float, int, tuple[int, ...]]]
) -> bool:
    """Equal ids, and scores up to the order of additions: 1e-12."""
    return [text[2] for text in one] == [text[2] for text in other] and all(
        abs(a[0] - b[0]) < 1e-12 for a, b in zip(one, other, strict=True)
    )


SETTINGS = [(2, 1), (3, 1), (2, 2), (3, 2)]  # groups, width of each


# -- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eos_id", [None, 0])
@pytest.mark.parametrize("groups, width", SETTINGS)
def test_it_keeps_to_its_rule(groups: int, width: int, eos_id: int | None) -> None:
    """On 200 random models: ids, order and scores. The plain version never stops early, so stopping loses nothing."""
    for seed in range(25):
        penalty, alpha = [0.3, 1.0, 4.0][seed % 3], [0.0, 0.7, -0.5][seed % 2]
        model = a_model(seed)
        expected = plain(of_table(model), groups, width, penalty, 4, eos_id, alpha, OURS)
        strategy = DiverseBeamSearch(groups=groups, beams=groups * width, penalty=penalty, length_penalty=alpha)
        assert close(found(search(model, strategy, eos_id=eos_id)), united(expected, alpha))


@pytest.mark.parametrize(
    "mutant", [{"penalty_stays": False}, {"ends_count": False}, {"done_groups_choose": False}], ids=str
)
def test_the_plain_version_tells_other_rules_apart(mutant: dict[str, bool]) -> None:
    """On 100 models whose texts may end early."""
    different = 0
    for seed in range(100):
        logprobs = of_table(a_model(seed))
        right, wrong = (plain(logprobs, 2, 2, 1.0, 6, 0, 0.0, rule) for rule in (OURS, OURS._replace(**mutant)))
        different += united(right, 0.0) != united(wrong, 0.0)
    assert different >= 4


@pytest.mark.parametrize("groups, width", SETTINGS)
def test_processors_are_renormalised(groups: int, width: int) -> None:
    processors = (Temperature(0.5), TopK(3))
    for seed in range(20):
        model = a_model(seed)
        expected = plain(of_table(model, processors), groups, width, 0.8, 3, None, 0.0, OURS)
        texts = [[one for one in group if one.total > -torch.inf] for group in expected]
        strategy = DiverseBeamSearch(*processors, groups=groups, beams=groups * width, penalty=0.8)
        assert close(found(search(model, strategy, 3)), united(texts, 0.0))


@pytest.mark.parametrize("eos_id", [None, 0])
def test_one_group_is_beam_search_and_without_a_penalty_all_are(eos_id: int | None) -> None:
    """On 40 models, half of them with ties: ids and scores, bit for bit."""
    for seed in range(20):
        alpha, model = [0.0, 0.7, -0.5][seed % 3], a_model(seed)
        for one in (model, memoised(rounded(model, 1))):
            beam = search(one, BeamSearch(beams=2, length_penalty=alpha), eos_id=eos_id)
            for groups, penalty in ((1, 3.0), (3, 0.0)):
                strategy = DiverseBeamSearch(groups=groups, beams=2 * groups, penalty=penalty, length_penalty=alpha)
                result = search(one, strategy, eos_id=eos_id)
                assert found(result) == found(beam) and result.ids == beam.ids


def test_the_first_group_pays_nothing_and_a_high_penalty_keeps_the_others_away() -> None:
    """Groups of one hypothesis, no end: at every step all of them take different ids."""
    for seed in range(20):
        model = a_model(seed)
        result = search(model, DiverseBeamSearch(groups=4, beams=4, penalty=1e3))
        texts = [one.ids for one in result.candidates]
        assert len(texts) == 4 and all(len(set(ids)) == 4 for ids in zip(*texts, strict=True))
        assert search(model, BeamSearch(beams=1)).ids in texts


def test_a_later_group_may_win() -> None:
    """The score has no penalties in it; it is what the text's log-probabilities add up to."""
    wins = 0
    for seed in range(40):
        model = a_model(seed)
        result = search(model, DiverseBeamSearch(groups=3, beams=3, penalty=0.5), eos_id=0, trace=True)
        assert result.search is not None and result.search.tree is not None and result.score is not None
        tree = result.search.tree
        assert tree.winner is not None
        wins += tree[tree.winner].note != "group 1"
        logprobs = [of_table(model)(tuple(result.ids[:n]))[id] for n, id in enumerate(result.ids)]
        assert abs(result.score - sum(logprobs)) < 1e-12
        assert [one.score for one in result.candidates] == sorted(
            (one.score for one in result.candidates if one.score is not None), reverse=True
        )
    assert wins > 5


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_a_group_goes_on_as_long_as_a_later_one_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping saves evaluations and loses nothing; the mutant, whose groups stop by themselves, loses something."""

    def results() -> list[GeneratedIds]:
        strategy = DiverseBeamSearch(groups=2, beams=4, penalty=1.0)
        return [search(a_model(seed), strategy, 5, 0) for seed in range(25)]

    def evaluations(results: list[GeneratedIds]) -> int:
        return sum(one.search.evaluations for one in results if one.search is not None)

    usual = results()
    with monkeypatch.context() as patch:
        patch.setattr(the_file._Group, "settled", property(lambda group: not group.going))
        exhaustive = results()
    assert [found(one) for one in usual] == [found(one) for one in exhaustive]
    assert evaluations(usual) < 0.9 * evaluations(exhaustive)

    settled, extend = the_file._Group.settled.fget, the_file._Row.extend
    assert settled is not None

    def hasty(row: the_file._Row, *arguments: Any) -> None:
        extend(row, *arguments)
        for group in row.groups:
            if settled(group):
                group.stop(row.tree)
        row.going = [one.path for group in row.groups for one in group.going]
        row.parents = [place for group in row.groups for place in group.parents]

    monkeypatch.setattr(the_file._Row, "extend", hasty)
    assert sum(found(one) != found(other) for one, other in zip(results(), usual, strict=True)) >= 2


def test_a_group_whose_hypotheses_have_no_ids_left_leaves_the_others_alone() -> None:
    """Of three ids none may come twice: after three nothing is left, and only texts that ended count."""
    for seed in range(20):
        result = search(a_model(seed, 3), DiverseBeamSearch(NoRepeatNGram(1), groups=2, beams=4), 2, eos_id=0)
        assert result.finish_reason == "eos"
    with pytest.raises(ValueError, match=r"NoRepeatNGram\(1\) removed every id"):
        search(a_model(0, 3), DiverseBeamSearch(NoRepeatNGram(1), groups=2, beams=2), 4)


# -- rows, tree, parameters -------------------------------------------------------------------------------------------


def test_rows_are_strangers() -> None:
    model, strategy = a_model(3), DiverseBeamSearch(groups=2, beams=4, penalty=1.0)
    prompts = [[1, 2], [0], [3, 3, 1]]
    together = generate_ids(model, prompts, strategy, max_new_tokens=4, eos_id=0, num_samples=2)
    for number, prompt in enumerate(prompts):
        (alone,) = generate_ids(model, [prompt], strategy, max_new_tokens=4, eos_id=0)
        for one in together[2 * number : 2 * number + 2]:
            assert found(one) == found(alone) and one.processed_logprobs == alone.processed_logprobs


def test_groups_can_be_seen_in_the_tree() -> None:
    """What competes in a group descends from the same group; every text is there; log-probabilities have no penalty."""
    model = a_model(5)
    result = search(model, DiverseBeamSearch(groups=2, beams=4, penalty=1.0), eos_id=0, trace=True)
    assert result.search is not None and result.search.tree is not None
    tree = result.search.tree
    assert {node.note for node in tree} == {"", "group 1", "group 2"}
    for number, node in enumerate(tree):
        if node.parent:
            assert tree[node.parent].note == node.note and tree[node.parent].fate == "extended"
        if node.parent is not None:
            ids = tree.ids(number)
            assert abs(node.logprob - of_table(model)(ids[:-1])[ids[-1]]) < 1e-12
    whole = {tree.ids(number) for number, node in enumerate(tree) if node.fate in ("finished", "won")}
    assert whole >= {tuple(one.ids) for one in result.candidates} and tuple(result.ids) in whole
    assert len(result.trace) == len(result.ids)


@pytest.mark.parametrize(
    "parameters, sentence",
    [
        ({"groups": 0}, "groups is how many"),
        ({"groups": 2, "beams": 5}, "a multiple of groups; got 5 for 2 groups"),
        ({"groups": 6, "beams": 5}, "a multiple of groups"),
        ({"beams": 0}, "beams is a number"),
        ({"penalty": -0.1}, "at least 0"),
        ({"penalty": float("inf")}, "finite"),
        ({"penalty": "1"}, "got '1'"),
        ({"length_penalty": float("nan")}, "length penalty"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DiverseBeamSearch(**parameters)


def test_edges() -> None:
    with pytest.raises(ValueError, match="tosses a coin"):
        DiverseBeamSearch(XTC(0.1, 0.5))
    assert repr(DiverseBeamSearch(groups=2, beams=4)) == "DiverseBeamSearch(groups=2, beams=4)"
    forced = search(a_model(0), DiverseBeamSearch(Force({0: 3, 1: 2}), groups=2, beams=2), 2)
    assert [one.ids for one in forced.candidates] == [[3, 2]]  # both groups found it; it is there once
    (full,) = generate_ids(TableModel.random(3, 2, 0), [PROMPT], DiverseBeamSearch(), max_new_tokens=4)
    assert (full.ids, full.finish_reason) == ([], "context")


# -- transformers 4.55.4 ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    written = json.loads((FIXTURES / "transformers_4_55" / "beams.json").read_text(encoding="utf-8"))
    assert written["written_by"]["transformers"] == "4.55.4"
    return written["group_beams"]


@pytest.fixture(scope="module")
def tiny() -> GPT2:
    return GPT2.from_pretrained(FIXTURES / "tiny")


def ours(tiny: GPT2, case: dict[str, Any]) -> GeneratedIds:
    strategy = DiverseBeamSearch(
        **{name: case[name] for name in ("groups", "beams", "penalty", "length_penalty")}  # type: ignore[arg-type]
    )
    steps, eos_id = case["steps"], case["eos_id"]
    return generate_ids(tiny, [case["prompt"]], strategy, max_new_tokens=steps, eos_id=eos_id, trace=True)[0]


def of_network(model: GPT2, prompt: Sequence[int]) -> LogProbs:
    @cache
    def logprobs(ids: tuple[int, ...]) -> list[float]:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *ids]]))[0, -1]
        return list(map(float, logits.double().log_softmax(dim=-1)))

    return logprobs


def same_texts(result: GeneratedIds, case: dict[str, Any]) -> bool:
    return {tuple(one.ids) for one in result.candidates} == set(map(tuple, case["ids"]))


def test_without_an_end_transformers_has_the_same_texts_and_scores(tiny: GPT2, cases: list[dict[str, Any]]) -> None:
    """Its scores have the penalties in them; in ours the tree has those. Tolerance 1e-4, on float32 logits."""
    cases = [case for case in cases if case["eos_id"] is None]
    assert len(cases) == 36
    for case in cases:
        result = ours(tiny, case)
        assert same_texts(result, case)
        assert result.search is not None and result.search.tree is not None
        scores = sorted(one.score for one in result.search.tree if one.fate in ("finished", "won"))
        assert scores == pytest.approx(sorted(case["scores"]), abs=1e-4)


def test_with_an_end_the_rules_differ_as_the_docstring_says(tiny: GPT2, cases: list[dict[str, Any]]) -> None:
    """The plain version has both rules. Where they give the same texts, ours are transformers'."""
    same = different = 0
    for case in (case for case in cases if case["eos_id"] is not None and case["beams"] < 6):
        logprobs = of_network(tiny, case["prompt"])
        width = case["beams"] // case["groups"]
        settings = (case["groups"], width, case["penalty"], case["steps"], case["eos_id"], case["length_penalty"])
        theirs = [text for group in plain(logprobs, *settings, THEIRS) for text in group]
        assert {text.ids for text in theirs} == set(map(tuple, case["ids"]))
        assert sorted(-text.cost for text in theirs) == pytest.approx(sorted(case["scores"]), abs=1e-4)

        result = ours(tiny, case)
        expected = united(plain(logprobs, *settings, OURS), case["length_penalty"])
        assert [ids for _, _, ids in found(result)] == [ids for _, _, ids in expected]
        agree = {text.ids for text in theirs} == {ids for _, _, ids in expected}
        assert same_texts(result, case) == agree
        same, different = same + agree, different + (not agree)
    assert same >= 5 and different >= 5
