"""Every number and every sentence of a trace, against a replay of the chain and arithmetic in plain Python."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

import decoding.strategies.one_path
from decoding import (
    GeneratedIds,
    Greedy,
    Gumbel,
    Prefix,
    Processor,
    Sample,
    Suppress,
    TableModel,
    Temperature,
    TopK,
    TopP,
    generate,
    generate_ids,
)
from decoding.core import Removal
from decoding.trace import Stage, Trace
from decoding.wording import ordinal, percent
from tests.decoding.models import memoised
from tests.registry import CHAINS, PROCESSORS, VOCABULARY, FourTokens

MODEL = memoised(TableModel.random(VOCABULARY, 32, seed=4))
PROMPT = [3, 1, 3]
EOS = 5
SEED = 11


def random_chains(count: int) -> list[tuple[Processor, ...]]:
    """Two to five processors of the registry in any order; those that may remove everything only in front."""
    choices = random.Random(5)
    chains: list[tuple[Processor, ...]] = []
    while len(chains) < count:
        chosen = choices.sample(PROCESSORS, choices.randint(2, 5))
        chosen.sort(key=lambda example: not example.may_empty)
        purposes = [example.processor.purpose for example in chosen if example.processor.purpose is not None]
        if sum(example.may_empty for example in chosen) <= 1 and len(purposes) == len(set(purposes)):
            chains.append(tuple(example.processor for example in chosen))
    return chains


def traced(chain: Sequence[Processor], prompt: Sequence[int] = PROMPT, steps: int = 4) -> GeneratedIds:
    strategy = Sample(*chain)
    return generate_ids(MODEL, [prompt], strategy, max_new_tokens=steps, eos_id=EOS, seed=SEED, trace=True)[0]


def replay(chain: Sequence[Processor], one: GeneratedIds) -> list[tuple[Prefix, list[Tensor]]]:
    """What the beginnings of the chain leave, step by step: the prefix, and the logits (V,) of all stages."""
    states = [processor.start(1) for processor in chain]
    found = []
    for n in range(len(one.ids)):
        ids = [*one.prompt_ids, *one.ids[:n]]
        prefix = Prefix.of([ids], eos_id=EOS)._replace(prompt_lengths=torch.tensor([len(one.prompt_ids)]))
        logits = MODEL.logits_after(ids)[None]
        stages = [logits[0]]
        for place, processor in enumerate(chain):
            logits, states[place] = processor.step(logits, prefix, states[place], Gumbel(SEED))
            stages.append(logits[0])
        found.append((prefix, stages))
    return found


def shares(logits: Tensor) -> list[float]:
    """The softmax, in plain Python."""
    values = logits.tolist()
    weights = [math.exp(value - max(values)) for value in values]
    return [weight / math.fsum(weights) for weight in weights]


def ranking(logits: Tensor) -> list[int]:
    """The ids that are left, likeliest first, of equals the lower."""
    values = logits.tolist()
    return sorted((id for id, value in enumerate(values) if value > -math.inf), key=lambda id: (-values[id], id))


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-12, abs=1e-15)


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [*CHAINS, *random_chains(20)], ids=repr)
def test_every_number_of_every_stage(chain: tuple[Processor, ...]) -> None:
    one = traced(chain)
    assert len(one.trace) == len(one.ids) > 0
    for step, (prefix, expected) in zip(one.trace, replay(chain, one), strict=True):
        assert step.chosen == one.ids[step.step]
        assert step.prefix.ids.tolist() == prefix.ids.tolist() and step.prefix.steps.tolist() == prefix.steps.tolist()
        assert [stage.name for stage in step.stages] == ["model", *map(repr, chain)]
        assert [stage.processor for stage in step.stages] == [None, *chain]
        for number, (stage, logits) in enumerate(zip(step.stages, expected, strict=True)):
            p, ranked = shares(logits), ranking(logits)
            assert torch.equal(stage.logits, logits) and stage.logits.dtype == logits.dtype
            assert stage.probabilities.tolist() == [close(share) for share in p]
            assert stage.probabilities.dtype == torch.float64
            assert stage.kept == len(ranked)
            assert stage.favourite == ranked[0]
            assert stage.entropy == close(-math.fsum(share * math.log(share) for share in p if share > 0))
            for id in range(VOCABULARY):
                assert stage.probability(id) == close(p[id])
                assert stage.rank(id) == (ranked.index(id) + 1 if id in ranked else None)
            assert stage.chosen_rank == ranked.index(step.chosen) + 1
            assert stage.chosen_probability == close(p[step.chosen])
            assert [stage.likeliest(most) for most in (0, 3, 99)] == [[], ranked[:3], ranked]
            if number:
                before = expected[number - 1]
                gone = [id for id in ranking(before) if id not in ranked]
                assert stage.mass_removed == close(math.fsum(shares(before)[id] for id in gone))
                assert stage.favourite_changed == (ranking(before)[0] != ranked[0])
            else:
                assert stage.mass_removed == 0 and not stage.favourite_changed
        assert step.favourite_changed == (ranking(expected[0])[0] != ranking(expected[-1])[0])
        everywhere = set(ranking(expected[-1]))
        assert step.rivals(3) == [id for id in ranking(expected[0]) if id not in everywhere][:3]


def test_ranks_with_ties() -> None:
    for logits in ([1.0, 2.0, -math.inf, 2.0, 1.0], [-math.inf, 2.0, 2.0, *[-math.inf] * 20, 2.0]):
        stage = Stage("model", torch.tensor(logits), chosen=1)
        for place, id in enumerate(ranking(torch.tensor(logits))):
            assert stage.rank(id) == place + 1
        assert stage.favourite == 1 and not stage.has(logits.index(-math.inf))


def test_rows_are_strangers_in_a_trace_too() -> None:  # law 5
    prompts = [[3, 1, 3], [7], [1, 5, 2, 2, 0]]
    strategy = Sample(Temperature(1.3), TopP(0.8))
    together = generate_ids(MODEL, prompts, strategy, max_new_tokens=4, seed=SEED, num_samples=2, trace=True)
    alone = [
        one
        for prompt in prompts
        for one in generate_ids(MODEL, [prompt], strategy, max_new_tokens=4, seed=SEED, num_samples=2, trace=True)
    ]
    assert [one.trace.to_json() for one in together] == [one.trace.to_json() for one in alone]
    assert [one.trace.sample for one in together] == [0, 1] * 3
    assert [one.trace.prompt_ids for one in together] == [one.prompt_ids for one in together]


def test_few_ids_are_stored_sparsely_and_nothing_twice() -> None:
    V = 50_257
    table = torch.randn(V, generator=torch.Generator().manual_seed(0))
    model = TableModel(V, 8, lambda ids: table)
    chain = (TopK(V), Temperature(0.8), TopK(50), TopP(1.0))
    (one,) = generate_ids(model, [[0]], Sample(*chain), max_new_tokens=1, seed=0, trace=True)
    stages = one.trace[0].stages
    assert [stage.nbytes for stage in stages] == [4 * V, 0, 4 * V, 8 * 50, 0]
    assert sum(stage.nbytes for stage in stages) == 402_456  # as the docstring of Stage says
    for stage, logits in zip(stages[1:], (table, table / 0.8, TopK(50)(table / 0.8)), strict=False):
        assert torch.equal(stage.logits, logits)
    assert stages[4].name == "TopP(1.0)" and stages[4].mass_removed == 0.0 and stages[4].kept == 50
    assert stages[3].mass_removed > 0.9
    assert Stage.unchanged(stages[3], TopP(1.0)).mass_removed == 0.0


def test_a_trace_keeps_no_batch_alive() -> None:
    found = generate_ids(MODEL, [[1], [2], [3]], Sample(Temperature(0.5)), max_new_tokens=2, seed=1, trace=True)
    for stage in found[1].trace[0].stages:
        assert stage.logits.untyped_storage().nbytes() == VOCABULARY * stage.logits.element_size()


def test_without_a_trace_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("something was recorded")

    monkeypatch.setattr(decoding.strategies.one_path, "record", refuse)
    monkeypatch.setattr(Stage, "__init__", refuse)
    monkeypatch.setattr(TopP, "__repr__", refuse)
    (one,) = generate_ids(MODEL, [PROMPT], Sample(TopP(0.9)), max_new_tokens=3, seed=1)
    assert len(one.trace) == 0 and not one.trace and json.loads(one.trace.to_json())["steps"] == []
    with pytest.raises(AssertionError, match="something was recorded"):
        generate_ids(MODEL, [PROMPT], Sample(TopP(0.9)), max_new_tokens=3, seed=1, trace=True)


# -- why --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [*CHAINS, *random_chains(40)], ids=repr)
def test_why_an_id_was_removed_as_a_replay_of_the_beginning_of_the_chain_shows(chain: tuple[Processor, ...]) -> None:
    one = traced(chain)
    for n, (prefix, stages) in enumerate(replay(chain, one)):
        for id in range(VOCABULARY):
            explained = one.trace.explain(n, id)
            assert (explained.id, explained.chosen, explained.name) == (id, id == one.ids[n], f"id {id}")
            gone = [number for number, logits in enumerate(stages) if logits[id] == -torch.inf]
            if not gone:
                assert explained.removed_by is None and explained.remover is None and explained.reason is None
                continue
            number = gone[0]
            before, after = stages[number - 1], stages[number]
            processor = chain[number - 1]
            rank, share = ranking(before).index(id) + 1, shares(before)[id]
            assert (explained.removed_by, explained.remover, explained.rank) == (number, repr(processor), rank)
            assert explained.probability == close(share)
            reason = processor.reason(Removal(id, before, after, prefix, "id {}".format))
            chance = percent(share) if share else "less than 0.000000001 %"
            sentence = f"id {id} was {ordinal(rank)} with {chance}; {processor!r} removed it: {reason}"
            assert one.trace.why(n, id) == str(explained) == sentence


def test_why_in_each_other_case() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2, 0.0]).log()
    model = TableModel(4, 8, lambda ids: logits)
    trace = generate_ids(model, [[0]], Greedy(Suppress([0])), max_new_tokens=1, trace=True)[0].trace
    assert (
        trace.why(0, 0) == "id 0 was 1st with 50.0 %; Suppress([0]) removed it: it is one of those that are never said"
    )
    assert (
        trace.why(0, 1) == "id 1 was chosen: it was 2nd with 30.0 % by the model, 1st with 60.0 % after the processors"
    )
    assert trace.why(0, 2) == (
        "id 2 was 3rd with 20.0 % by the model, 2nd with 40.0 % after the processors; "
        "nothing removed it, but id 1 was chosen, 1st with 60.0 %"
    )
    assert trace.why(0, 3) == "id 3 could not be chosen: the model itself gives it no probability at all"
    assert trace.explain(0, 3).removed_by == 0
    plain = generate_ids(model, [[0]], Greedy(), max_new_tokens=1, trace=True)[0].trace
    assert plain.why(0, 0) == "id 0 was chosen: it was 1st with 50.0 %"
    assert plain.why(0, 1) == "id 1 was 2nd with 30.0 %; nothing removed it, but id 0 was chosen, 1st with 50.0 %"


def test_a_probability_that_is_left_is_never_zero() -> None:
    model = TableModel(2, 8, lambda ids: torch.tensor([0.0, -5000.0]))
    trace = generate_ids(model, [[0]], Greedy(), max_new_tokens=1, trace=True)[0].trace
    assert trace.why(0, 1).startswith("id 1 was 2nd with less than 0.000000001 %; nothing removed it")


def test_texts_are_ids_where_there_is_a_tokenizer() -> None:
    model = TableModel.random(4, 16, seed=1)
    one = generate(model, FourTokens(), "a 7", Sample(TopK(2)), max_new_tokens=2, seed=3, trace=True)
    for id, text in enumerate(FourTokens.TOKENS):
        assert one.trace.why(0, text.decode()) == one.trace.why(0, id)
        assert one.trace.why(0, id).startswith(f'"{text.decode()}" ')
    with pytest.raises(ValueError, match=r"""^a single token is needed, and 'a 7' has 2: "a" \+ " 7"$"""):
        one.trace.why(0, "a 7")
    with pytest.raises(ValueError, match="a single token is needed, and '' has 0: none"):
        one.trace.why(0, "")


def test_what_cannot_be_explained_is_refused_in_words() -> None:  # law 13
    trace = traced((TopK(3),)).trace
    with pytest.raises(ValueError, match="without a tokenizer only ids are known; got the text ' cat'"):
        trace.why(0, " cat")
    for step in (len(trace), -1, True, "0"):
        with pytest.raises(ValueError, match=f"steps are counted from 0 to {len(trace) - 1}; got"):
            trace.why(step, 1)  # type: ignore[arg-type]
    for id in (VOCABULARY, -1):
        with pytest.raises(ValueError, match=f"ids lie between 0 and 11; got {id}"):
            trace.why(0, id)
    with pytest.raises(ValueError, match=r"an id or a text is needed; got 1\.5"):
        trace.why(0, 1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ask for one with trace=True"):
        Trace().why(0, 1)
    with pytest.raises(ValueError, match="most is a number of ids, at least 0; got -1"):
        trace.to_json(-1)


# -- plain data -------------------------------------------------------------------------------------------------------


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("chain", [*CHAINS[::5], *random_chains(10)], ids=repr)
def test_plain_data_says_what_the_trace_says(chain: tuple[Processor, ...]) -> None:
    one = traced(chain)
    data = json.loads(one.trace.to_json(2), parse_constant=refuse_constant)
    assert data == one.trace.to_dict(2)
    assert (data["prompt_ids"], data["ids"], data["n_vocab"]) == (PROMPT, one.ids, VOCABULARY)
    for n, (entry, step) in enumerate(zip(data["steps"], one.trace, strict=True)):
        assert (entry["step"], entry["chosen"]["id"]) == (n, one.ids[n])
        assert [stage["entropy"] for stage in entry["stages"]] == [stage.entropy for stage in step.stages]
        assert [stage["mass_removed"] for stage in entry["stages"]] == [stage.mass_removed for stage in step.stages]
        assert [stage["kept"] for stage in entry["stages"]] == [stage.kept for stage in step.stages]
        wanted = {*step.stages[0].likeliest(2), *step.stages[-1].likeliest(2), step.chosen}
        assert {candidate["id"] for candidate in entry["candidates"]} == wanted
        for candidate in entry["candidates"]:
            id = candidate["id"]
            assert candidate["ranks"] == [stage.rank(id) for stage in step.stages]
            assert candidate["probabilities"] == [stage.probability(id) for stage in step.stages]
            assert candidate["removed_by"] == one.trace.explain(n, id).removed_by
            assert (candidate["why"], candidate["chosen"]) == (one.trace.why(n, id), id == step.chosen)


def test_plain_data_has_texts_where_there_is_a_tokenizer() -> None:
    table = torch.tensor([0.0, 1.0, -torch.inf, 2.0])
    model = TableModel(4, 16, lambda ids: table)
    one = generate(model, FourTokens(), "a7", Greedy(TopK(1)), max_new_tokens=1, trace=True)
    data = json.loads(one.trace.to_json(4), parse_constant=refuse_constant)
    assert data["prompt"] == "a7" and data["tokens"] == [{"id": 3, "text": " 7", "name": '" 7"'}]
    assert [candidate["text"] for candidate in data["steps"][0]["candidates"]] == [" 7", "7", "a"]


# -- logits that are no distribution ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_fault_is_found_although_a_later_processor_hides_it(bad: float) -> None:
    class Spoil(Processor):
        def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
            return logits.index_fill(-1, torch.tensor([2]), bad)

    with pytest.raises(ValueError, match=r"^Spoil\(\) gave logits that are NaN or infinite"):
        generate_ids(MODEL, [PROMPT], Sample(Spoil(), Suppress([2])), max_new_tokens=2)
