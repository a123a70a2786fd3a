"""Language models made of others: rules against plain formulas, sessions against rows computed anew."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from decoding import (
    BeamSearch,
    BlockVerification,
    ClassifierFreeGuidance,
    Combined,
    ContrastiveDecoding,
    DoLa,
    DrafterInvariant,
    ExactSearch,
    Greedy,
    Jacobi,
    LanguageModel,
    PromptLookup,
    RepetitionPenalty,
    Reprompted,
    Sample,
    Speculative,
    StochasticBeamSearch,
    Strategy,
    TableModel,
    Temperature,
    Tokenizer,
    TopP,
    Uncached,
    generate,
    generate_ids,
    law,
    score,
    stream,
)
from decoding.combine.reprompted import _RepromptedSession
from gpt2 import GPT2
from tests.decoding.combining import Rule, after, contrastive, dola, guidance, layers_after, log_softmax
from tests.decoding.models import memoised
from tests.gpt2.small import small_model

SMALL = {"n_vocab": 11, "n_positions": 24, "n_embd": 16, "n_layer": 3, "n_head": 2}


def network(seed: int, **changes: Any) -> GPT2:
    """A float64 GPT-2 whose logits are of order 5."""
    return small_model(seed, torch.float64, **{**SMALL, **changes})


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Logits from nearly flat to nearly certain; those of every second row are rounded, so that some are equal."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*shape, generator=generator, dtype=torch.float64)
    logits = logits * torch.logspace(-1, 1, shape[0], dtype=torch.float64).view(-1, *[1] * (len(shape) - 1))
    logits[::2] = logits[::2].round()
    return logits


def same(got: Tensor, expected: Sequence[Sequence[float]], atol: float = 1e-10) -> bool:
    """(R, V): the same ids removed, the others as close as that."""
    want = torch.tensor(expected, dtype=torch.float64)
    kept = want > -torch.inf
    return bool(torch.equal(kept, got > -torch.inf) and bool(((got - want)[kept].abs() <= atol).all()))


# --- the rules ---

ANY = TableModel.random(13, 8, seed=0)  # whose logits no rule looks at: these are given
EXPERT, AMATEUR = drawn(60, 13, seed=1), drawn(60, 13, seed=2)
ALPHAS = [0.0, 0.01, 0.1, 0.5, 1.0]
TEMPERATURES = [0.3, 1.0, 2.5]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_contrastive_decoding_is_its_formula(alpha: float, temperature: float) -> None:
    got = ContrastiveDecoding(ANY, ANY, alpha=alpha, temperature=temperature).rule(EXPERT, AMATEUR)
    expected = [contrastive(p, a, alpha, temperature) for p, a in zip(EXPERT.tolist(), AMATEUR.tolist(), strict=True)]
    assert same(got, expected)
    kept = (got > -torch.inf).sum(dim=-1)
    assert bool((kept >= 1).all())
    if alpha == 0.0:
        assert bool((kept == 13).all())
    if alpha == 1.0:  # the likeliest, and its equals
        assert torch.equal(got > -torch.inf, EXPERT.amax(dim=-1, keepdim=True) == EXPERT) and bool((kept > 1).any())


@pytest.mark.parametrize(
    "wrong",
    [
        "threshold in logits",
        "threshold of the amateur",
        "temperature on the expert",
        "temperature on both",
        "temperature multiplied",
        "sign",
        "probabilities",
    ],
)
def test_wrong_contrastive_decoding_is_told_apart(wrong: str) -> None:
    """By the ids that greedy decoding takes, too."""
    got = ContrastiveDecoding(ANY, ANY, alpha=0.1, temperature=0.4).rule(EXPERT, AMATEUR)
    rows = list(zip(EXPERT.tolist(), AMATEUR.tolist(), strict=True))
    mutants = [contrastive(p, a, 0.1, 0.4, wrong) for p, a in rows]
    assert sum(not same(row[None], [mutant]) for row, mutant in zip(got, mutants, strict=True)) > 25
    choices = [mutant.index(max(mutant)) for mutant in mutants]
    assert sum(one != other for one, other in zip(got.argmax(dim=-1).tolist(), choices, strict=True)) >= 3


@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 1.5, 3.0, 20])
def test_guidance_is_its_formula(scale: float) -> None:
    got = ClassifierFreeGuidance(ANY, scale=scale).rule(EXPERT, AMATEUR)
    if scale == 0.0:
        assert got is AMATEUR  # bit for bit, and whatever the other one is; the formula's is normalised
        got = got.log_softmax(dim=-1)
    assert same(got, [guidance(c, u, scale) for c, u in zip(EXPERT.tolist(), AMATEUR.tolist(), strict=True)])


def test_a_scale_of_1_is_the_model_itself() -> None:  # law 2
    """Bit for bit: not even normalised."""
    assert ClassifierFreeGuidance(ANY, scale=1.0).rule(EXPERT, AMATEUR) is EXPERT
    model = network(0)
    guided, plain = ClassifierFreeGuidance(model, [3, 1], scale=1).open(), model.open()
    block, n = torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1])
    assert torch.equal(guided.extend(block, n), plain.extend(block, n))
    assert torch.equal(guided.extend(block, n), plain.extend(block, n))


def test_a_scale_of_0_is_the_model_after_the_negative_prompt() -> None:
    model, negative, text = network(0), [3, 1], [5, 9, 2]
    session = ClassifierFreeGuidance(model, negative, scale=0.0).open()
    session.extend(torch.tensor([[7, 7, 7, 4]]))
    got = session.extend(torch.tensor([text]), keep=3)[0].log_softmax(dim=-1)
    want = [log_softmax(after(model, negative + text[:n])) for n in (1, 2, 3)]
    assert same(got, want)


@pytest.mark.parametrize("wrong", ["sign", "added"])
@pytest.mark.parametrize("scale", [0.5, 1.5, 3.0])
def test_wrong_guidance_is_told_apart(wrong: str, scale: float) -> None:
    got = ClassifierFreeGuidance(ANY, scale=scale).rule(EXPERT, AMATEUR)
    if wrong == "sign" and scale == 0.5:
        return  # halfway the two prompts count the same
    rows = zip(got, EXPERT.tolist(), AMATEUR.tolist(), strict=True)
    assert sum(not same(row[None], [guidance(c, u, scale, wrong)]) for row, c, u in rows) > 50


def test_guidance_on_unnormalised_logits_is_the_same_distribution() -> None:
    """Each normalisation subtracts one number from a whole row: other logits, the same softmax."""
    got = ClassifierFreeGuidance(ANY, scale=3.0).rule(EXPERT, AMATEUR)
    raw = [guidance(c, u, 3.0, "unnormalised") for c, u in zip(EXPERT.tolist(), AMATEUR.tolist(), strict=True)]
    assert not same(got, raw, atol=0.01)
    assert same(got.log_softmax(dim=-1), [log_softmax(row) for row in raw])


def test_arguments_of_rules_are_not_changed() -> None:  # law 11
    before = EXPERT.clone(), AMATEUR.clone()
    ContrastiveDecoding(ANY, ANY).rule(EXPERT, AMATEUR)
    ClassifierFreeGuidance(ANY).rule(EXPERT, AMATEUR)
    assert torch.equal(EXPERT, before[0]) and torch.equal(AMATEUR, before[1])


# --- ids of probability 0 ---

INF = torch.inf


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_what_the_expert_excludes_stays_excluded(alpha: float) -> None:
    """Whatever the amateur thinks of it."""
    rule = ContrastiveDecoding(ANY, ANY, alpha=alpha).rule
    got = rule(torch.tensor([0.0, 0.0, -INF, -INF]), torch.tensor([0.0, 1.0, 2.0, -INF]))
    assert (got > -INF).tolist() == [True, True, False, False] and not bool(got.isnan().any())


def test_what_the_amateur_alone_excludes_has_no_score() -> None:
    """log p - log 0 is no number that a softmax can use. The strategies say so."""
    expert, amateur = torch.tensor([0.0, 0.0, -3.0]), torch.tensor([0.0, -INF, -INF])
    assert ContrastiveDecoding(ANY, ANY, alpha=0.1).rule(expert, amateur).tolist()[1:] == [INF, -INF]
    tables = TableModel(3, 9, lambda ids: expert), TableModel(3, 9, lambda ids: amateur)
    for model in (ContrastiveDecoding(*tables), ContrastiveDecoding(*tables, alpha=0.0)):
        with pytest.raises(ValueError, match=r"the model gave logits that are NaN or infinite.*prompt 0"):
            generate_ids(model, [[0]], Greedy(), max_new_tokens=2)


@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 1.0, 1.5, 3.0])
def test_what_both_prompts_exclude_stays_excluded(scale: float) -> None:
    c, u = torch.tensor([0.0, 1.0, -INF]), torch.tensor([2.0, 1.0, -INF])
    got = ClassifierFreeGuidance(ANY, scale=scale).rule(c, u)
    assert (got > -INF).tolist() == [True, True, False] and not bool(got.isnan().any())


def test_what_the_prompt_alone_excludes_stays_excluded() -> None:
    got = ClassifierFreeGuidance(ANY, scale=1.5).rule(torch.tensor([0.0, -INF]), torch.tensor([0.0, 1.0]))
    assert (got > -INF).tolist() == [True, False] and not bool(got.isnan().any())


def test_what_the_negative_prompt_alone_excludes_has_no_score() -> None:
    """It would count infinitely. The strategies say so."""
    got = ClassifierFreeGuidance(ANY, scale=1.5).rule(torch.tensor([0.0, 1.0]), torch.tensor([0.0, -INF]))
    assert not math.isfinite(got[1])
    table = TableModel(2, 9, lambda ids: torch.tensor([0.0, -INF if ids[0] == 1 else 0.0]))
    with pytest.raises(ValueError, match=r"the model gave logits that are NaN or infinite"):
        generate_ids(ClassifierFreeGuidance(table, [1]), [[0]], Greedy(), max_new_tokens=2)


def test_rows_of_nan_stay_so() -> None:
    """Positions where a row has fewer new ids; the others do not know of them."""
    nothing = torch.full((2, 13), torch.nan, dtype=torch.float64)
    for rule in (
        ContrastiveDecoding(ANY, ANY).rule,
        ContrastiveDecoding(ANY, ANY, alpha=0.0).rule,
        ClassifierFreeGuidance(ANY).rule,
    ):
        got = rule(torch.cat([nothing, EXPERT]), torch.cat([nothing, AMATEUR]))
        assert bool(got[:2].isnan().all())
        assert torch.equal(got[2:], rule(EXPERT, AMATEUR))


# --- sessions: a walk beside rows that are computed anew ---

FIRST, SECOND = network(1), network(2, n_layer=2)
NEGATIVE = [4, 8, 4]


def rules() -> dict[str, tuple[LanguageModel, Rule, bool]]:
    """A model, what it must say behind a row, and whether it has to know the prompt."""

    def other_prompt(ids: list[int], n_prompt: int, prompt: list[int] | None = None) -> list[int]:
        return (ids[n_prompt - 1 : n_prompt] if prompt is None else prompt) + ids[n_prompt:]

    return {
        "contrastive": (
            ContrastiveDecoding(FIRST, SECOND, alpha=0.05, temperature=0.5),
            lambda ids, n: contrastive(after(FIRST, ids), after(SECOND, ids), 0.05, 0.5),
            False,
        ),
        "the last id": (Reprompted(FIRST), lambda ids, n: after(FIRST, other_prompt(ids, n)), True),
        "reprompted": (Reprompted(FIRST, NEGATIVE), lambda ids, n: after(FIRST, other_prompt(ids, n, NEGATIVE)), True),
        "guidance": (
            ClassifierFreeGuidance(FIRST, NEGATIVE, scale=1.5),
            lambda ids, n: guidance(after(FIRST, ids), after(FIRST, other_prompt(ids, n, NEGATIVE)), 1.5),
            True,
        ),
        "guidance without": (
            ClassifierFreeGuidance(FIRST, scale=0.5),
            lambda ids, n: guidance(after(FIRST, ids), after(FIRST, other_prompt(ids, n)), 0.5),
            True,
        ),
        "guidance of uncached": (
            ClassifierFreeGuidance(Uncached(FIRST), NEGATIVE, scale=1.5),
            lambda ids, n: guidance(after(FIRST, ids), after(FIRST, other_prompt(ids, n, NEGATIVE)), 1.5),
            True,
        ),
        "amateur without prompt": (
            ContrastiveDecoding(FIRST, Reprompted(SECOND), alpha=0.1),
            lambda ids, n: contrastive(after(FIRST, ids), after(SECOND, other_prompt(ids, n)), 0.1, 1.0),
            True,
        ),
        "layers": (
            DoLa(FIRST, [1, 0, 2], alpha=0.05),
            lambda ids, n: dola(after(FIRST, ids), layers_after(FIRST, ids, [1, 0, 2]), 0.05)[0],
            False,
        ),
        "all of it": (
            ContrastiveDecoding(DoLa(FIRST, [1, 2]), ClassifierFreeGuidance(SECOND, [5]), alpha=0.01),
            lambda ids, n: contrastive(
                dola(after(FIRST, ids), layers_after(FIRST, ids, [1, 2]), 0.1)[0],
                guidance(after(SECOND, ids), after(SECOND, other_prompt(ids, n, [5])), 1.5),
                0.01,
                1.0,
            ),
            True,
        ),
    }


RULES = rules()


def walk(model: LanguageModel, rule: Rule, prompted: bool, seed: int) -> int:
    """Extends, selections and rewinds of ragged rows. -> how many distributions were compared"""
    dice = random.Random(seed)
    session = model.open()
    rows: list[list[int]] = [[] for _ in range(3)]
    prompts = [0, 0, 0]
    compared = 0

    def extend(n: Sequence[int], S: int, keep: int) -> None:
        nonlocal rows, compared
        block = [[dice.randrange(11) for _ in range(S)] for _ in n]
        got = session.extend(torch.tensor(block), torch.tensor(n), keep)  # (R, keep, V)
        assert got.shape == (len(n), keep, 11)
        rows = [row + new[:count] for row, new, count in zip(rows, block, n, strict=True)]
        for r, (row, count) in enumerate(zip(rows, n, strict=True)):
            for place in range(keep):
                length = len(row) - (keep - 1 - place)
                if place < keep - count or (prompted and length < (prompts[r] or n[r])):
                    assert bool(got[r, place].isnan().all())
                else:
                    assert same(got[r, place][None], [rule(row[:length], prompts[r] or n[r])])
                    compared += 1
        assert session.lengths.tolist() == [len(row) for row in rows]

    n = [dice.randint(1, 5) for _ in rows]
    extend(n, 5, dice.randint(1, 5))
    prompts = n
    for _ in range(14):
        kind = dice.choice(["extend", "extend", "select", "rewind", "rewind"])
        if kind == "extend":
            S = dice.randint(1, 4)
            n = [max(min(dice.randint(0, S), model.n_positions - len(row)), 0) for row in rows]
            extend(n, S, dice.randint(1, S))
        elif kind == "select":
            chosen = [dice.randrange(len(rows)) for _ in range(dice.randint(1, 4))]
            session.select(torch.tensor(chosen))
            rows, prompts = [list(rows[r]) for r in chosen], [prompts[r] for r in chosen]
        else:
            kept = [
                dice.randint(prompt if prompted else 1, len(row)) for row, prompt in zip(rows, prompts, strict=True)
            ]
            session.rewind(torch.tensor(kept))
            rows = [row[:length] for row, length in zip(rows, kept, strict=True)]
            if not prompted:
                prompts = [min(prompt, length) for prompt, length in zip(prompts, kept, strict=True)]
        assert session.lengths.tolist() == [len(row) for row in rows]
    return compared


@pytest.mark.parametrize("name", RULES)
def test_a_walk_equals_rows_computed_anew(name: str) -> None:  # law 7
    assert sum(walk(*RULES[name], seed=seed) for seed in range(2)) > 30


def parts_not_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    from decoding.combine.combined import _CombinedSession

    def select(self: _CombinedSession, rows: Tensor) -> None:
        self._sessions[0].select(rows)
        self._sessions[1].select(torch.arange(len(self._sessions[1].lengths))[: len(rows)])

    monkeypatch.setattr(_CombinedSession, "select", select)


def parts_not_rewound(monkeypatch: pytest.MonkeyPatch) -> None:
    from decoding.combine.combined import _CombinedSession

    monkeypatch.setattr(_CombinedSession, "rewind", lambda self, lengths: self._sessions[0].rewind(lengths))


def lengths_not_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    def select(self: _RepromptedSession, rows: Tensor) -> None:
        self._session.select(rows)
        assert self._shorter is not None
        self._shorter, self._prompt_lengths = self._shorter[: len(rows)], self._prompt_lengths[: len(rows)]

    monkeypatch.setattr(_RepromptedSession, "select", select)


def rewound_by_the_wrong_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def rewind(self: _RepromptedSession, lengths: Tensor) -> None:
        self._session.rewind(lengths.clamp(max=self._session.lengths))

    monkeypatch.setattr(_RepromptedSession, "rewind", rewind)


def first_id_instead_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    true = _RepromptedSession.extend

    def extend(self: _RepromptedSession, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        if self._shorter is None:
            ids = ids[:, :1].expand(ids.shape)
        return true(self, ids, n, keep)

    monkeypatch.setattr(_RepromptedSession, "extend", extend)


@pytest.mark.parametrize(
    ("mutate", "name"),
    [
        (parts_not_selected, "contrastive"),
        (parts_not_rewound, "contrastive"),
        (lengths_not_selected, "reprompted"),
        (rewound_by_the_wrong_count, "the last id"),
        (first_id_instead_of_the_last, "guidance without"),
    ],
)
def test_wrong_sessions_do_not_survive_the_walk(
    mutate: Callable[[pytest.MonkeyPatch], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        for seed in range(3):
            walk(*RULES[name], seed=seed)


# --- combined: the rest ---


class Mean(Combined):
    def rule(self, *logits: Tensor) -> Tensor:
        return torch.stack(logits).mean(dim=0)


def test_any_number_of_models() -> None:
    models = [TableModel.random(5, positions, seed=positions) for positions in (9, 7, 8)]
    mean = Mean(*models)
    assert (mean.n_vocab, mean.n_positions, mean.models) == (5, 7, tuple(models))
    got = mean.open().extend(torch.tensor([[1, 2]]))[0, 0]
    assert same(got[None], [[sum(logits) / 3 for logits in zip(*(after(m, [1, 2]) for m in models), strict=True)]])
    assert isinstance(mean, LanguageModel)


def test_the_fewest_positions_count() -> None:  # law 9
    long, short = TableModel.random(5, 9, seed=0), TableModel.random(5, 6, seed=1)
    for model in (ContrastiveDecoding(long, short), ContrastiveDecoding(short, long)):
        assert model.n_positions == 6
        [result] = generate_ids(model, [[1, 2]], Greedy(), max_new_tokens=None)
        assert (len(result.ids), result.finish_reason) == (4, "context")
        with pytest.raises(ValueError, match="7 ids, 1 more than the model's 6 positions"):
            generate_ids(model, [[1] * 7], Greedy(), max_new_tokens=1)


def test_half_precision_is_widened() -> None:  # law 11
    seen: list[torch.dtype] = []

    class Watching(Combined):
        def rule(self, *logits: Tensor) -> Tensor:
            seen.extend(one.dtype for one in logits)
            return logits[0]

    table = TableModel(3, 5, lambda ids: torch.zeros(3, dtype=torch.bfloat16))
    Watching(table, TableModel.random(3, 5, seed=0)).open().extend(torch.tensor([[1]]))
    assert seen == [torch.float32, torch.float64]


TABLE = TableModel.random(5, 9, seed=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Combined(), "Combined is made of at least one language model; got none"),
        (lambda: Mean(), "Mean is made of at least one language model"),
        (lambda: Mean(TABLE, cast(Any, 5)), "Mean takes a language model, such as .*; got 5"),
        (lambda: Mean(cast(Any, GPT2)), "Mean takes a language model, such as .*; got <class"),
        (lambda: Mean(TABLE, ANY, TABLE), "Mean needs models with one vocabulary; got 5 and 13 and 5 ids"),
        (lambda: ContrastiveDecoding(TABLE, ANY), "ContrastiveDecoding needs models with one vocabulary; got 5 and 13"),
        (lambda: ContrastiveDecoding(TABLE, None), "ContrastiveDecoding takes a language model"),  # type: ignore[arg-type]
        *(
            (
                lambda alpha=alpha: ContrastiveDecoding(TABLE, TABLE, alpha=alpha),
                "alpha is the share .*, from 0 to 1; got",
            )
            for alpha in (-0.1, 1.1, math.nan, "0.1", None, True)
        ),
        *(
            (lambda t=t: ContrastiveDecoding(TABLE, TABLE, temperature=t), "temperature is what the .*, above 0; got")
            for t in (0.0, -1.0, math.nan, math.inf, "1", None, True)
        ),
        *(
            (lambda s=s: ClassifierFreeGuidance(TABLE, scale=s), "scale is how much the prompt counts, .*; got")
            for s in (math.nan, math.inf, -math.inf, "1.5", None, True)
        ),
        (lambda: ClassifierFreeGuidance(5), "takes a language model"),  # type: ignore[arg-type]
        (lambda: ClassifierFreeGuidance(TABLE, []), "the prompt is empty"),
        (lambda: ClassifierFreeGuidance(TABLE, [5]), "ids outside of the vocabulary, 0 to 4"),
        (lambda: ClassifierFreeGuidance(TABLE, "no"), r"a prompt is a row of ids, .*; got 'no'"),  # type: ignore[arg-type]
        (lambda: Reprompted(5), "Reprompted takes a language model, such as .*; got 5"),  # type: ignore[arg-type]
        (lambda: Reprompted(TABLE, []), "the prompt is empty"),
        (lambda: Reprompted(TABLE, [-1]), "ids outside of the vocabulary, 0 to 4"),
        (lambda: Reprompted(TABLE, [0] * 10), "the prompt has 10 ids, 1 more than the model's 9 positions"),
        (lambda: Reprompted(TABLE, [0.5]), r"a prompt is a row of ids, .*; got \[0.5\]"),  # type: ignore[list-item]
        (lambda: Reprompted(TABLE, 3), "a prompt is a row of ids, .*; got 3"),  # type: ignore[arg-type]
        (
            lambda: Uncached(ClassifierFreeGuidance(TABLE)),
            r"put Uncached inside: ClassifierFreeGuidance\(Uncached\(mod",
        ),
        (lambda: Uncached(Reprompted(TABLE)), r"put Uncached inside: Reprompted\(Uncached\(model\)"),
        (
            lambda: Uncached(ContrastiveDecoding(TABLE, Reprompted(TABLE))),
            "ContrastiveDecoding has to know where the prompt ends",
        ),
        (lambda: Uncached(Mean(TABLE, Mean(ClassifierFreeGuidance(TABLE)))), "Mean has to know where the prompt ends"),
    ],
)
def test_errors_are_sentences(make: Callable[[], object], words: str) -> None:  # law 13
    with pytest.raises(ValueError, match=words):
        make()


def test_a_rule_has_to_be_written() -> None:
    with pytest.raises(NotImplementedError):
        Combined(TABLE).open().extend(torch.tensor([[1]]))


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (ContrastiveDecoding(TABLE, TABLE), "ContrastiveDecoding(alpha=0.1, temperature=1.0)"),
        (ClassifierFreeGuidance(TABLE), "ClassifierFreeGuidance(scale=1.5)"),
        (ClassifierFreeGuidance(TABLE, (3, 1), scale=2), "ClassifierFreeGuidance([3, 1], scale=2)"),
        (Combined(network(1), network(2)), "Combined(<GPT2>, <GPT2>)"),
        (Combined(Reprompted(network(1), [3, 1])), "Combined(Reprompted(<GPT2>, [3, 1]))"),
        (Reprompted(network(1)), "Reprompted(<GPT2>)"),
        (Reprompted(network(1), [0] * 24), "Reprompted(<GPT2>, <24 values>)"),
    ],
)
def test_they_print_as_they_are_written(model: LanguageModel, shown: str) -> None:
    assert repr(model) == shown


# --- another prompt ---


def test_another_prompt_changes_the_positions() -> None:  # law 9
    """The longer one leaves fewer; the shorter one does not make more."""
    assert [Reprompted(TABLE, [0] * length).n_positions for length in (1, 3, 9)] == [9, 7, 1]
    assert Reprompted(TABLE).n_positions == 9
    assert ClassifierFreeGuidance(TABLE, [1, 2, 3]).n_positions == 7
    [result] = generate_ids(ClassifierFreeGuidance(TABLE, [1, 2, 3]), [[4]], Greedy(), max_new_tokens=None)
    assert (len(result.ids), result.finish_reason) == (6, "context")  # 3 and 6 are 9
    [result] = generate_ids(ClassifierFreeGuidance(TABLE), [[4, 4, 4]], Greedy(), max_new_tokens=None)
    assert (len(result.ids), result.finish_reason) == (6, "context")


def test_logits_within_the_prompt_are_nan() -> None:
    session = Reprompted(FIRST, NEGATIVE).open()
    got = session.extend(torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2]), keep=3)
    assert got.isnan().all(dim=-1).tolist() == [[True, True, False]] * 2
    assert not bool(got.isnan().any(dim=-1)[:, -1].any())


def test_rows_do_not_go_back_into_a_prompt() -> None:  # law 13
    session = Reprompted(FIRST, NEGATIVE).open()
    session.extend(torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2]))
    session.extend(torch.tensor([[6, 7], [8, 9]]))
    with pytest.raises(ValueError, match=r"go back into prompts of \[3, 2\] ids, in whose .*; got \[2, 2\]"):
        session.rewind(torch.tensor([2, 2]))
    assert session.lengths.tolist() == [5, 4]
    session.rewind(torch.tensor([3, 2]))
    assert session.lengths.tolist() == [3, 2]
    got = session.extend(torch.tensor([[6], [8]]))[:, 0]
    assert same(got, [after(FIRST, [*NEGATIVE, 6]), after(FIRST, [*NEGATIVE, 8])])


def test_a_session_begins_with_prompts() -> None:  # law 13
    session = Reprompted(FIRST).open()
    assert session.lengths.tolist() == []
    with pytest.raises(ValueError, match=r"begins with the prompts, and one of them is empty: \[2, 0\] ids"):
        session.extend(torch.tensor([[1, 2], [3, 4]]), torch.tensor([2, 0]))
    assert session.extend(torch.tensor([[1, 2]])).shape == (1, 1, 11)


def test_prompts_are_copied() -> None:  # law 11
    prompt = [3, 1]
    model = Reprompted(FIRST, prompt)
    prompt.append(5)
    assert model.prompt == [3, 1]


# --- every strategy works on them ---

V, P, STEPS = 4, 12, 3
ONE, OTHER = memoised(TableModel.random(V, P, seed=5)), memoised(TableModel.random(V, P, seed=6))
TINY = network(3, n_vocab=V, n_positions=P, n_embd=8)
PROMPT = [3, 1, 0]


def made_of_tables() -> dict[str, tuple[LanguageModel, LanguageModel, Callable[[list[int]], list[float]]]]:
    """A model, the same without a cache, and its plain formula behind PROMPT and what follows."""

    def rest(ids: list[int], prompt: list[int] | None) -> list[int]:
        return (PROMPT[-1:] if prompt is None else prompt) + ids[len(PROMPT) :]

    return {
        "contrastive": (
            ContrastiveDecoding(ONE, OTHER, alpha=0.02, temperature=1.5),
            ContrastiveDecoding(Uncached(ONE), Uncached(OTHER), alpha=0.02, temperature=1.5),
            lambda ids: contrastive(after(ONE, ids), after(OTHER, ids), 0.02, 1.5),
        ),
        "guidance": (
            ClassifierFreeGuidance(ONE, [2, 0], scale=1.8),
            ClassifierFreeGuidance(Uncached(ONE), [2, 0], scale=1.8),
            lambda ids: guidance(after(ONE, ids), after(ONE, rest(ids, [2, 0])), 1.8),
        ),
        "guidance without": (
            ClassifierFreeGuidance(TINY, scale=0.4),
            ClassifierFreeGuidance(Uncached(TINY), scale=0.4),
            lambda ids: guidance(after(TINY, ids), after(TINY, rest(ids, None)), 0.4),
        ),
        "layers": (
            DoLa(TINY, [2, 1], alpha=0.01),
            Uncached(DoLa(TINY, [2, 1], alpha=0.01)),
            lambda ids: dola(after(TINY, ids), layers_after(TINY, ids, [2, 1]), 0.01)[0],
        ),
    }


MADE = made_of_tables()
STRATEGIES: list[Strategy] = [
    Greedy(),
    Greedy(RepetitionPenalty(1.2)),
    Sample(),
    Sample(Temperature(0.8), TopP(0.9)),
    BeamSearch(beams=3),
    ExactSearch(),
    StochasticBeamSearch(k=3),
    Speculative(draft=OTHER, length=2),
    Speculative(Temperature(0), draft=PromptLookup(), length=3),
    BlockVerification(draft=OTHER, length=2),
    DrafterInvariant(draft=OTHER, length=2),
    Jacobi(window=3),
]


@cache
def as_table(name: str) -> TableModel:
    """The plain formula as a model of its own, which knows that the prompt is PROMPT."""
    rule = cache(lambda ids: torch.tensor(MADE[name][2](list(ids)), dtype=torch.float64))
    return TableModel(V, P, lambda ids: rule(tuple(ids)))


@cache
def memoised_part(model: LanguageModel) -> TableModel:
    rule = cache(lambda ids: torch.tensor(after(model, ids), dtype=torch.float64))
    return TableModel(V, P, lambda ids: rule(tuple(ids)))


def texts(model: LanguageModel, strategy: Strategy, seed: int, eos_id: int | None = None) -> list[Any]:
    results = generate_ids(model, [PROMPT], strategy, max_new_tokens=4, seed=seed, num_samples=2, eos_id=eos_id)
    return [(r.ids, r.finish_reason, [pytest.approx(x, abs=1e-9) for x in r.model_logprobs]) for r in results]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
@pytest.mark.parametrize("name", MADE)
def test_a_strategy_on_it_is_the_strategy_on_its_formula(name: str, strategy: Strategy) -> None:  # law 7
    """A table of the formula's logits is an independent model. Cached, uncached and it write the same."""
    model, uncached, _ = MADE[name]
    expected = texts(as_table(name), strategy, 2, eos_id=2)
    assert texts(model, strategy, 2, eos_id=2) == expected
    assert texts(uncached, strategy, 2, eos_id=2) == expected


@pytest.mark.parametrize("name", MADE)
def test_the_formula_is_not_that_of_its_part(name: str) -> None:
    """So that the test above can fail."""
    part = TINY if name in ("layers", "guidance without") else ONE
    differ = [s for s in STRATEGIES if texts(as_table(name), s, 1) != texts(memoised_part(part), s, 1)]
    assert len(differ) >= 8, differ


@pytest.mark.parametrize("strategy", STRATEGIES[1::2], ids=lambda strategy: type(strategy).__name__)
@pytest.mark.parametrize("name", MADE)
def test_batched_is_single(name: str, strategy: Strategy) -> None:  # laws 5 and 7
    """Ragged prompts, one of which leaves no room for four ids."""
    model = MADE[name][0]
    prompts = [PROMPT, [1, 1, 0, 2, 3, 3, 0, 1, 2], [2]]
    together = generate_ids(model, prompts, strategy, max_new_tokens=4, seed=3)
    alone = [generate_ids(model, [prompt], strategy, max_new_tokens=4, seed=3)[0] for prompt in prompts]
    assert [(r.ids, r.finish_reason) for r in together] == [(r.ids, r.finish_reason) for r in alone]


@cache
def known_law(name: str, strategy: Sample) -> dict[tuple[int, ...], float]:
    return law(strategy, MADE[name][0], PROMPT, STEPS)


@pytest.mark.parametrize("name", MADE)
def test_the_law_is_the_product_of_the_formulas_probabilities(name: str) -> None:
    found, rule = known_law(name, Sample()), as_table(name).logits_after
    assert math.isclose(math.fsum(found.values()), 1.0, abs_tol=1e-12)
    for text in product(range(V), repeat=STEPS):
        logprob = math.fsum(log_softmax(rule(PROMPT + list(text[:n])).tolist())[id] for n, id in enumerate(text))
        assert math.isclose(found.get(text, 0.0), math.exp(logprob), rel_tol=0, abs_tol=1e-12)


@pytest.mark.parametrize("strategy", [Sample(Temperature(0.7), TopP(0.8)), Greedy()], ids=repr)
@pytest.mark.parametrize("name", MADE)
def test_the_law_after_processors_is_that_of_the_formula(name: str, strategy: Strategy) -> None:
    found, expected = law(strategy, MADE[name][0], PROMPT, STEPS), law(strategy, as_table(name), PROMPT, STEPS)
    assert found.keys() == expected.keys()
    assert max(abs(found[text] - expected[text]) for text in found) < 1e-12


@pytest.mark.parametrize("strategy", [Sample(), Sample(Temperature(0.7), TopP(0.8))], ids=repr)
@pytest.mark.parametrize("name", MADE)
def test_the_score_is_the_law(name: str, strategy: Sample) -> None:
    """Of every third text, possible or not."""
    model, found = MADE[name][0], known_law(name, strategy)
    for text in list(product(range(V), repeat=STEPS))[::3]:
        logprob = score(model, PROMPT, text, strategy).logprob
        assert math.isclose(math.exp(logprob), found.get(text, 0.0), rel_tol=0, abs_tol=1e-12)


@pytest.mark.parametrize("name", MADE)
def test_a_full_beam_is_exact_search(name: str) -> None:
    model, rule = MADE[name][0], as_table(name).logits_after
    totals = {
        text: math.fsum(log_softmax(rule(PROMPT + list(text[:n])).tolist())[id] for n, id in enumerate(text))
        for text in product(range(V), repeat=STEPS)
    }
    best = max(totals, key=lambda text: totals[text])
    for strategy in (BeamSearch(beams=V**STEPS), ExactSearch()):
        [result] = generate_ids(model, [PROMPT], strategy, max_new_tokens=STEPS)
        assert tuple(result.ids) == best
        assert result.score == pytest.approx(totals[best], abs=1e-9)


@pytest.mark.parametrize("name", MADE)
def test_a_trace_shows_the_combined_logits(name: str) -> None:
    model, _, rule = MADE[name]
    [result] = generate_ids(model, [PROMPT], Sample(TopP(0.9)), max_new_tokens=3, seed=0, trace=True)
    for number, step in enumerate(result.trace):
        assert same(step.stages[0].logits[None], [rule(PROMPT + result.ids[:number])])


def test_they_stream(storybook: GPT2, tokenizer: Tokenizer) -> None:
    """Stops, bytes and all: pieces add up to the text of `generate`."""
    prompt = "Once upon a time"
    models: list[LanguageModel] = [
        ClassifierFreeGuidance(storybook, tokenizer.encode("The big dog"), scale=1.5),
        ContrastiveDecoding(storybook, storybook.early_exit(2), alpha=0.1),
        DoLa(storybook, [2, 4]),
    ]
    seen = set()
    for model in models:
        strategy = Sample(TopP(0.9))
        whole = generate(model, tokenizer, prompt, strategy, max_new_tokens=8, seed=3, stop=["!"])
        pieces = list(stream(model, tokenizer, prompt, strategy, max_new_tokens=8, seed=3, stop=["!"]))
        assert "".join(piece.text for piece in pieces) == whole.text
        assert pieces[-1].generation == whole
        seen.add(whole.text)
    assert len(seen) >= 2  # other models, other texts
