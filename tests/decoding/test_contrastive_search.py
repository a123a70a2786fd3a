"""Contrastive search: transformers' texts (4.55, the last version that had it), and a plain loop without any cache."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from decoding import (
    ContrastiveSearch,
    DoLa,
    Greedy,
    MinNewTokens,
    NoRepeatNGram,
    Processor,
    RepetitionPenalty,
    Suppress,
    TableModel,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    Uncached,
    generate,
    generate_ids,
    law,
    score,
    stream,
)
from gpt2 import GPT2, Session
from tests.gpt2.small import small_model

FIXTURES = Path(__file__).parents[1] / "fixtures"
SMALL = {"n_vocab": 23, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2}
PROMPTS = [[1, 2, 3, 4, 5], [7], [9, 9, 20]]


@pytest.fixture(scope="module")
def model() -> GPT2:
    return small_model(4, torch.float64, **SMALL)


@cache
def tiny() -> GPT2:
    return GPT2.from_pretrained(FIXTURES / "tiny", dtype=torch.float64)


@cache
def cases() -> list[dict[str, Any]]:
    content = json.loads((FIXTURES / "transformers_4_55/hidden_states.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = content["contrastive"]
    return found


def processors_of(case: dict[str, Any]) -> list[Processor]:
    made: dict[str, Callable[[Any], Processor]] = {
        "repetition_penalty": RepetitionPenalty,
        "no_repeat_ngram_size": NoRepeatNGram,
    }
    return [made[name](value) for name, value in case["penalty"].items()]


# --- a plain loop: every step runs the network on all ids of all candidates ---


@torch.no_grad()
def states(model: GPT2, rows: Sequence[Sequence[int]], norm: bool = True) -> Tensor:
    """Last hidden states (R, T, C) of rows of one length."""
    ids = torch.tensor(rows)
    x = model.wte.weight[ids] + model.wpe.weight[: ids.shape[1]]
    for block in model.h:
        x = block(x)
    return model.ln_f(x) if norm else x


Penalty = Callable[[list[float], list[int]], list[float]]  # logits, ids so far -> logits


def plain(
    model: GPT2,
    prompt: list[int],
    steps: int,
    k: int,
    alpha: float,
    *,
    eos_id: int | None = None,
    penalty: Penalty = lambda logits, ids: logits,
    wrong: str = "",
) -> list[int]:
    """The new ids, with one of the well-known mistakes."""
    ids = list(prompt)
    for _ in range(steps):
        logits: list[float] = (states(model, [ids])[0, -1] @ model.wte.weight.T).tolist()
        best_of_model = sorted(range(len(logits)), key=lambda id: (-logits[id], id))[:k]
        logits = penalty(logits, ids)
        total = math.fsum(math.exp(logit) for logit in logits)
        p = [math.exp(logit) / total for logit in logits]
        candidates = [id for id in sorted(range(len(p)), key=lambda id: (-logits[id], id))[:k] if p[id] > 0]
        if wrong == "processors after top-k":
            candidates = [id for id in best_of_model if p[id] > 0] or candidates
        if wrong == "renormalised":
            mass = math.fsum(p[id] for id in candidates)
            p = [one / mass for one in p]
        vectors = states(model, [[*ids, id] for id in candidates], norm=wrong != "before the last LayerNorm")
        if wrong != "inner product":
            vectors = vectors / (vectors * vectors).sum(dim=-1, keepdim=True).sqrt()
        likeness = torch.einsum("ktc,kc->kt", vectors, vectors[:, -1])  # (k, T + 1)
        before = likeness if wrong == "also with itself" else likeness[:, :-1]
        if wrong == "with new ids only":
            before = before[:, len(prompt) :]
        if wrong == "with the prompt only":
            before = before[:, : len(prompt)]
        if before.shape[1] == 0:
            penalties = [0.0] * len(candidates)
        else:
            penalties = (before.mean(dim=-1) if wrong == "mean" else before.amax(dim=-1)).tolist()
        sign = -1 if wrong == "sign" else 1
        scores = [
            (1 - alpha) * (math.log(p[id]) if wrong == "logarithms" else p[id]) - sign * alpha * penalty
            for id, penalty in zip(candidates, penalties, strict=True)
        ]
        best = max(scores)
        ids.append(min(id for id, one in zip(candidates, scores, strict=True) if one > best - 1e-12))
        if ids[-1] == eos_id:
            break
    return ids[len(prompt) :]


def repetition(value: float) -> Penalty:
    def act(logits: list[float], ids: list[int]) -> list[float]:
        return [x if id not in ids else x / value if x > 0 else x * value for id, x in enumerate(logits)]

    return act


def no_repeat(n: int) -> Penalty:
    def act(logits: list[float], ids: list[int]) -> list[float]:
        seen = {tuple(ids[t : t + n]) for t in range(len(ids) - n + 1)}
        return [-math.inf if (*ids[len(ids) - n + 1 :], id) in seen else x for id, x in enumerate(logits)]

    return act


def penalty_of(case: dict[str, Any]) -> Penalty:
    made: dict[str, Callable[[Any], Penalty]] = {"repetition_penalty": repetition, "no_repeat_ngram_size": no_repeat}
    for name, value in case["penalty"].items():
        return made[name](value)
    return lambda logits, ids: logits


# --- transformers' texts ---


def strategy_of(case: dict[str, Any]) -> ContrastiveSearch:
    return ContrastiveSearch(*processors_of(case), k=case["k"], alpha=case["alpha"])


def test_all_63_texts_of_transformers() -> None:  # laws 5 and 7
    """Prompts with the same settings in one ragged batch."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in cases():
        groups.setdefault(str([case[name] for name in ("k", "alpha", "eos_id", "penalty", "steps")]), []).append(case)
    for some in groups.values():
        one = some[0]
        results = generate_ids(
            tiny(),
            [case["prompt"] for case in some],
            strategy_of(one),
            max_new_tokens=one["steps"],
            eos_id=one["eos_id"],
        )
        assert [result.ids for result in results] == [case["ids"] for case in some], one
        assert {result.finish_reason for result in results} == {"length" if one["eos_id"] is None else "eos"}
    assert (len(cases()), len(groups)) == (63, 26)


def test_the_texts_of_transformers_alone() -> None:
    for case in cases()[::5]:
        [result] = generate_ids(
            tiny(), [case["prompt"]], strategy_of(case), max_new_tokens=case["steps"], eos_id=case["eos_id"]
        )
        assert result.ids == case["ids"], case


def own(case: dict[str, Any], wrong: str = "") -> list[int]:
    return plain(
        tiny(),
        case["prompt"],
        case["steps"],
        case["k"],
        case["alpha"],
        eos_id=case["eos_id"],
        penalty=penalty_of(case),
        wrong=wrong,
    )


def test_the_plain_loop_is_right() -> None:
    """So that its wrong versions are wrong for one reason each."""
    for case in cases()[::6]:
        assert own(case) == case["ids"]


@pytest.mark.parametrize(
    "wrong",
    [
        "with new ids only",
        "with the prompt only",
        "mean",
        "before the last LayerNorm",
        "also with itself",
        "inner product",
        "renormalised",
        "logarithms",
        "sign",
    ],
)
def test_wrong_rules_are_told_apart(wrong: str) -> None:
    """Of four cases with something to choose."""
    some = [case for case in cases() if case["k"] in (4, 8) and case["alpha"] in (0.3, 0.6) and not case["penalty"]][
        1::4
    ]
    assert len(some) == 4
    assert sum(own(case, wrong) != case["ids"] for case in some) >= 2


def test_processors_after_top_k_are_told_apart() -> None:
    some = [case for case in cases() if case["penalty"] and case["k"] == 4]
    assert len(some) >= 4
    assert sum(own(case, "processors after top-k") != case["ids"] for case in some) >= 2


def test_a_cache_that_stays_with_another_candidate_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Session.select

    def select(self: Session, rows: Tensor) -> None:
        narrower = len(rows) < len(self.lengths)
        true(self, torch.arange(len(rows)) if narrower else rows)

    monkeypatch.setattr(Session, "select", select)
    some = [case for case in cases() if case["k"] == 4 and not case["penalty"] and case["alpha"] > 0]
    wrong = [
        generate_ids(
            tiny(), [c["prompt"]], ContrastiveSearch(k=4, alpha=c["alpha"]), max_new_tokens=16, eos_id=c["eos_id"]
        )[0].ids
        != c["ids"]
        for c in some
    ]
    assert sum(wrong) >= len(wrong) // 2 > 2


# --- the plain loop ---


@pytest.mark.parametrize(
    ("k", "alpha"), [(2, 0.6), (3, 0.2), (5, 0.9), (5, 1), (23, 0.5), (1000, 0.4), (np.int64(4), 0.6)]
)
def test_it_is_the_plain_loop(model: GPT2, k: int, alpha: float) -> None:  # law 7
    results = generate_ids(model, PROMPTS, ContrastiveSearch(k=k, alpha=alpha), max_new_tokens=8)
    assert [result.ids for result in results] == [plain(model, prompt, 8, k, alpha) for prompt in PROMPTS]


def test_a_batch_is_its_rows_alone(model: GPT2) -> None:  # laws 5 and 7
    """Rows end at different times and leave; one has no room at all."""
    prompts = [*PROMPTS, [3] * 22, [5] * 24]
    strategy = ContrastiveSearch(k=4, alpha=0.9)
    eos_id = plain(model, PROMPTS[0], 3, 4, 0.9)[-1]
    together = generate_ids(model, prompts, strategy, max_new_tokens=6, eos_id=eos_id)
    alone = [generate_ids(model, [prompt], strategy, max_new_tokens=6, eos_id=eos_id)[0] for prompt in prompts]
    assert [(r.ids, r.finish_reason) for r in together] == [(r.ids, r.finish_reason) for r in alone]
    assert {r.finish_reason for r in together} == {"eos", "length", "context"}
    for one, other in zip(together, alone, strict=True):
        assert one.model_logprobs == pytest.approx(other.model_logprobs, abs=1e-10)


@pytest.mark.parametrize("processors", [(), (RepetitionPenalty(1.3),), (Temperature(3.0), TopP(0.9))], ids=repr)
@pytest.mark.parametrize("strategy", [{"k": 1}, {"alpha": 0}, {"k": 1, "alpha": 1.0}], ids=repr)
def test_one_candidate_or_no_penalty_is_greedy(
    model: GPT2, processors: tuple[Processor, ...], strategy: dict[str, Any]
) -> None:
    got = generate_ids(model, PROMPTS, ContrastiveSearch(*processors, **strategy), max_new_tokens=12)
    want = generate_ids(model, PROMPTS, Greedy(*processors), max_new_tokens=12)
    assert [(r.ids, r.finish_reason) for r in got] == [(r.ids, r.finish_reason) for r in want]
    for one, other in zip(got, want, strict=True):
        assert one.processed_logprobs == pytest.approx(other.processed_logprobs, abs=1e-10)
    assert [r.ids for r in got] != [
        r.ids for r in generate_ids(model, PROMPTS, ContrastiveSearch(*processors, k=4, alpha=0.8), max_new_tokens=12)
    ]


def test_storybook(storybook: GPT2, tokenizer: Tokenizer) -> None:
    """In float32: greedy without a penalty, another text with one, its pieces as a stream, and a stop."""
    prompt = "One day a fox"
    greedy = generate(storybook, tokenizer, prompt, Greedy(), max_new_tokens=8)
    assert generate(storybook, tokenizer, prompt, ContrastiveSearch(alpha=0.0), max_new_tokens=8).ids == greedy.ids
    strategy = ContrastiveSearch(k=5, alpha=0.8)
    whole = generate(storybook, tokenizer, prompt, strategy, max_new_tokens=8)
    assert whole.ids != greedy.ids
    pieces = list(stream(storybook, tokenizer, prompt, strategy, max_new_tokens=8))
    assert "".join(piece.text for piece in pieces) == whole.text
    word = whole.text.split()[2]
    stopped = generate(storybook, tokenizer, prompt, strategy, max_new_tokens=8, stop=[word])
    assert (stopped.finish_reason, stopped.text) == ("stop", whole.text[: whole.text.index(word)])
    assert stopped.ids == whole.ids[: len(stopped.ids)] and len(stopped.ids) < 8


# --- processors ---


def test_processors_act_before_the_choice_of_k(model: GPT2) -> None:
    """What is forbidden is no candidate, and does not take the place of one."""
    strategy = ContrastiveSearch(RepetitionPenalty(1.5), NoRepeatNGram(2), k=3, alpha=0.6)

    def both(logits: list[float], ids: list[int]) -> list[float]:
        return no_repeat(2)(repetition(1.5)(logits, ids), ids)

    got = [r.ids for r in generate_ids(model, PROMPTS, strategy, max_new_tokens=10)]
    assert got == [plain(model, prompt, 10, 3, 0.6, penalty=both) for prompt in PROMPTS]
    assert got != [plain(model, prompt, 10, 3, 0.6, penalty=both, wrong="processors after top-k") for prompt in PROMPTS]


def test_fewer_candidates_than_k(model: GPT2) -> None:
    """Where processors leave two ids, there are two."""
    narrow = generate_ids(model, PROMPTS, ContrastiveSearch(TopK(2), k=5, alpha=0.0), max_new_tokens=6)
    assert [r.ids for r in narrow] == [r.ids for r in generate_ids(model, PROMPTS, Greedy(), max_new_tokens=6)]

    def top_2(logits: list[float], ids: list[int]) -> list[float]:
        kept = sorted(logits)[-2:]
        return [x if x in kept else -math.inf for x in logits]

    got = generate_ids(model, PROMPTS, ContrastiveSearch(TopK(2), k=5, alpha=0.7), max_new_tokens=6)
    assert [r.ids for r in got] == [plain(model, prompt, 6, 5, 0.7, penalty=top_2) for prompt in PROMPTS]
    uneven = generate_ids(model, PROMPTS, ContrastiveSearch(TopP(0.5), k=5, alpha=0.7), max_new_tokens=6)
    alone = [
        generate_ids(model, [p], ContrastiveSearch(TopP(0.5), k=5, alpha=0.7), max_new_tokens=6)[0].ids for p in PROMPTS
    ]
    assert [r.ids for r in uneven] == alone  # rows with different numbers of candidates


def test_nothing_left_is_an_error(model: GPT2) -> None:  # law 3
    with pytest.raises(ValueError, match=r"Suppress\(.*\) removed every id that was left.*prompt 0, sample 0, step 0"):
        generate_ids(model, [[1]], ContrastiveSearch(Suppress(range(23))), max_new_tokens=2)


# --- how rows end ---


def test_the_last_position_can_be_used(model: GPT2) -> None:  # law 9
    for room in (1, 2, 5):
        prompt = [2] * (24 - room)
        [result] = generate_ids(model, [prompt], ContrastiveSearch(k=3), max_new_tokens=None)
        assert (result.ids, result.finish_reason) == (plain(model, prompt, room, 3, 0.6), "context")
    [result] = generate_ids(model, [[2] * 24], ContrastiveSearch(), max_new_tokens=5)
    assert (result.ids, result.finish_reason) == ([], "context")
    with pytest.raises(ValueError, match="25 ids, 1 more than the model's 24 positions"):
        generate_ids(model, [[2] * 25], ContrastiveSearch(), max_new_tokens=5)


def test_eos_ends_a_row_and_stays_in_its_ids(model: GPT2) -> None:
    ids = plain(model, PROMPTS[0], 6, 4, 0.6)
    [result] = generate_ids(model, PROMPTS[:1], ContrastiveSearch(), max_new_tokens=6, eos_id=ids[2])
    assert (result.ids, result.finish_reason) == (ids[: ids.index(ids[2]) + 1], "eos")
    later = generate_ids(model, PROMPTS[:1], ContrastiveSearch(MinNewTokens(5)), max_new_tokens=6, eos_id=ids[2])
    assert ids[2] not in later[0].ids[:5]


def test_samples_are_all_the_same(model: GPT2) -> None:
    """It draws nothing: neither the number of the sample nor the seed matters."""
    results = generate_ids(model, PROMPTS, ContrastiveSearch(k=3), max_new_tokens=5, num_samples=3, seed=1)
    assert [r.sample for r in results] == [0, 1, 2] * 3
    for number, prompt in enumerate(PROMPTS):
        assert {tuple(r.ids) for r in results[3 * number : 3 * number + 3]} == {tuple(plain(model, prompt, 5, 3, 0.6))}
    assert results[0].ids == generate_ids(model, PROMPTS, ContrastiveSearch(k=3), max_new_tokens=5, seed=2)[0].ids


def test_the_law_is_one_text(model: GPT2) -> None:
    assert law(ContrastiveSearch(k=3), model, [1, 2], 4) == {tuple(plain(model, [1, 2], 4, 3, 0.6)): 1.0}


# --- ties ---


@pytest.mark.parametrize(
    ("k", "alpha", "ids"), [(3, 0.6, 4), (2, 0.6, 4), (1, 0.6, 4), (6, 0.6, 4), (6, 1.0, 1), (3, 1.0, 4)]
)
def test_of_equal_scores_the_lowest_id_wins(k: int, alpha: float, ids: int) -> None:  # law 1
    """A network whose hidden states are all the same, exactly: nothing is less alike. Of the likeliest k = 6 ids
    (4, 7 and 9 are equals, then 1, 2 and 3) the first is 4, but where only likeness counts all are equals."""
    model = small_model(4, torch.float64, **SMALL)
    with torch.no_grad():
        model.ln_f.weight.zero_()
        model.ln_f.bias.copy_(torch.eye(SMALL["n_embd"])[0])
        model.wte.weight[:, 0] = 0.0
        model.wte.weight[[4, 7, 9], 0] = 2.0
        model.wte.weight[[1, 2, 3], 0] = 1.0
    results = generate_ids(model, PROMPTS, ContrastiveSearch(k=k, alpha=alpha), max_new_tokens=3)
    assert [result.ids for result in results] == [[ids] * 3] * 3


def test_ids_that_the_network_cannot_tell_apart() -> None:
    """Equal embeddings: equal logits and, as candidates, equal hidden states, but for the rounding of a batch. So it is
    open which of the three is taken, and nothing else."""
    model = small_model(4, torch.float64, **SMALL)
    with torch.no_grad():
        model.wte.weight.copy_(model.wte.weight[torch.arange(23) // 3])  # 0 = 1 = 2, 3 = 4 = 5, ...
    for k, alpha in ((3, 0.6), (6, 0.6), (6, 1.0), (23, 0.3)):
        results = generate_ids(model, PROMPTS, ContrastiveSearch(k=k, alpha=alpha), max_new_tokens=8)
        expected = [[id // 3 for id in plain(model, prompt, 8, k, alpha)] for prompt in PROMPTS]
        assert [[id // 3 for id in result.ids] for result in results] == expected


# --- what it tells ---


def test_logprobs_are_those_of_the_chosen_ids(model: GPT2) -> None:  # law 8
    processor = Temperature(0.5)
    [result] = generate_ids(model, PROMPTS[:1], ContrastiveSearch(processor, k=4, alpha=0.7), max_new_tokens=6)
    for number, id in enumerate(result.ids):
        with torch.no_grad():
            logits = model(torch.tensor([PROMPTS[0] + result.ids[:number]]))[0, -1]
        assert result.model_logprobs[number] == pytest.approx(float(logits.log_softmax(dim=-1)[id]), abs=1e-10)
        assert result.processed_logprobs[number] == pytest.approx(
            float((2 * logits).log_softmax(dim=-1)[id]), abs=1e-10
        )


def test_a_trace(model: GPT2) -> None:
    strategy = ContrastiveSearch(RepetitionPenalty(1.3), TopK(6), k=4, alpha=0.9)
    with_trace = generate_ids(model, PROMPTS, strategy, max_new_tokens=6, trace=True)
    without = generate_ids(model, PROMPTS, strategy, max_new_tokens=6)
    assert [r.ids for r in with_trace] == [r.ids for r in without]
    below = 0
    for result in with_trace:
        assert [step.chosen for step in result.trace] == result.ids
        assert [stage.name for stage in result.trace[0].stages] == ["model", "RepetitionPenalty(1.3)", "TopK(6)"]
        ranks = [step.stages[-1].chosen_rank for step in result.trace]
        assert all(rank is not None and rank <= 4 for rank in ranks)
        below += sum(rank != 1 for rank in ranks)
        assert f"id {result.ids[0]} was chosen: it was" in result.trace.why(0, result.ids[0])
    assert below > 3


def test_one_call_of_the_model_a_step(model: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    """On k continuations of each row; the prompt goes through it once, however many samples are made."""
    shapes: list[tuple[int, ...]] = []
    true = Session.extend_hidden

    def extend_hidden(self: Session, ids: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        shapes.append(tuple(ids.shape))
        return true(self, ids, *args, **kwargs)

    monkeypatch.setattr(Session, "extend_hidden", extend_hidden)
    generate_ids(model, PROMPTS[:2], ContrastiveSearch(k=3), max_new_tokens=3, num_samples=2)
    assert shapes == [(2, 5), (12, 1), (12, 1), (12, 1)]


def test_prompts_and_model_are_not_changed(model: GPT2) -> None:  # law 11
    prompts = [list(prompt) for prompt in PROMPTS]
    before = [parameter.clone() for parameter in model.parameters()]
    strategy = ContrastiveSearch(k=3)
    one = [r.ids for r in generate_ids(model, prompts, strategy, max_new_tokens=4)]
    assert [r.ids for r in generate_ids(model, prompts, strategy, max_new_tokens=4)] == one  # nothing is remembered
    assert prompts == PROMPTS
    assert all(map(torch.equal, before, model.parameters()))


def test_half_precision_runs() -> None:  # law 11
    for dtype in (torch.float16, torch.bfloat16):
        model = small_model(4, dtype, **SMALL)
        [result] = generate_ids(model, PROMPTS[:1], ContrastiveSearch(k=3), max_new_tokens=4)
        assert len(result.ids) == 4


def test_it_prints_as_it_is_written() -> None:
    assert repr(ContrastiveSearch()) == "ContrastiveSearch()"
    assert repr(ContrastiveSearch(TopP(0.9), k=8, alpha=0.3)) == "ContrastiveSearch(TopP(0.9), k=8, alpha=0.3)"
    assert ContrastiveSearch(k=4) == ContrastiveSearch(alpha=0.6) != ContrastiveSearch(k=5)
    assert hash(ContrastiveSearch(k=4)) == hash(ContrastiveSearch())


# --- errors ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        *(({"k": k}, r"k is of how many of the likeliest .*, at least 1; got ") for k in (0, -1, 1.5, True, None, "4")),
        *(
            ({"alpha": alpha}, "alpha is how much likeness counts against an id, from 0 to 1; got ")
            for alpha in (-0.1, 1.1, math.nan, math.inf, True, None, "0.6")
        ),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], words: str) -> None:  # law 13
    with pytest.raises(ValueError, match=words):
        ContrastiveSearch(**settings)


def test_what_is_no_processor() -> None:  # law 13
    with pytest.raises(ValueError, match=r"ContrastiveSearch takes processors such as TopP\(0.9\); got 4"):
        ContrastiveSearch(4)  # type: ignore[arg-type]


def test_models_without_hidden_states(model: GPT2) -> None:  # law 13
    for other, name in (
        (TableModel.random(4, 8, seed=0), "TableModel"),
        (Uncached(model), "Uncached"),
        (DoLa(model, [1]), "DoLa"),
    ):
        with pytest.raises(ValueError, match=f"needs a model that shows hidden states, such as GPT2; got a {name}"):
            generate_ids(other, [[1]], ContrastiveSearch(), max_new_tokens=2)


def test_it_has_no_score(model: GPT2) -> None:  # law 13
    with pytest.raises(ValueError, match="score takes a strategy that chooses one id a step"):
        score(model, [1], [2], ContrastiveSearch())  # type: ignore[arg-type]


def test_numbers_that_are_none_are_an_error() -> None:  # law 13
    model = small_model(4, torch.float32, **SMALL)
    with torch.no_grad():
        model.ln_f.bias[0] = torch.nan
    with pytest.raises(ValueError, match="the model gave logits that are NaN or infinite"):
        generate_ids(model, [[1]], ContrastiveSearch(), max_new_tokens=2)
