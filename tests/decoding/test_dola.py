"""DoLa: its rule, each row alone, and how transformers (4.55, the last version that had it) does otherwise."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import (
    DoLa,
    Greedy,
    LanguageModel,
    RepetitionPenalty,
    Sample,
    SelfSpeculative,
    Speculative,
    TableModel,
    Temperature,
    Uncached,
    generate_ids,
)
from decoding.combine.dola import premature_layer
from decoding.core import LayeredModel
from gpt2 import GPT2
from tests.decoding.combining import (
    Row,
    after,
    dola,
    jensen_shannon,
    layers_after,
    layers_along,
    log_softmax,
    plausible,
    reversed_divergence,
)
from tests.gpt2.small import small_model

SMALL = {"n_vocab": 11, "n_positions": 24, "n_embd": 16, "n_layer": 3, "n_head": 2}


@pytest.fixture(scope="module")
def model() -> GPT2:
    return small_model(1, torch.float64, **SMALL)


# --- the rule ---


def drawn(seed: int, R: int = 60, L: int = 4) -> tuple[Tensor, Tensor]:
    """Logits of a last layer (R, 13) and of earlier ones (R, L, 13), some rows with equal logits or equal layers."""
    generator = torch.Generator().manual_seed(seed)
    last = 3 * torch.randn(R, 13, generator=generator, dtype=torch.float64)
    early = 3 * torch.randn(R, L, 13, generator=generator, dtype=torch.float64)
    early[1::3] = last[1::3, None] + 0.3 * early[1::3]  # some are near
    last[::2], early[::2] = last[::2].round(), early[::2].round()
    early[::5, 2] = early[::5, 1]
    early[::7, 1:] = early[::7, :1]  # all layers agree: the first
    return last, early


LAST, EARLY = drawn(0)


def expected(alpha: float, wrong: str = "") -> tuple[list[Row], list[int]]:
    found = [dola(last, early, alpha, wrong) for last, early in zip(LAST.tolist(), EARLY.tolist(), strict=True)]
    return [scores for scores, _ in found], [choice for _, choice in found]


def differing(got: Tensor, want: Sequence[Row]) -> int:
    """In how many rows (R, V) some id is removed from one alone, or has another score."""
    other = torch.tensor(want, dtype=torch.float64)
    kept = other > -torch.inf
    return int((((got > -torch.inf) != kept) | ((got - other).abs() > 1e-10) & kept).any(dim=-1).sum())


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_dola_is_its_formula(model: GPT2, alpha: float) -> None:
    got = DoLa(model, [0, 1], alpha=alpha).rule(LAST, EARLY)
    scores, choices = expected(alpha)
    assert differing(got, scores) == 0
    assert premature_layer(LAST, EARLY).tolist() == choices
    assert set(choices) == {0, 1, 2, 3} and choices[0] == 0
    kept = (got > -torch.inf).sum(dim=-1)
    assert int(kept.min()) >= 1
    if alpha == 0.0:
        assert int(kept.min()) == 13
    if alpha == 1.0:
        assert int(kept.max()) > 1  # equals stay


def test_the_choice_of_float32_logits_is_made_in_float64() -> None:
    assert torch.equal(
        premature_layer(LAST.float(), EARLY.float()), premature_layer(LAST.float().double(), EARLY.float().double())
    )


@pytest.mark.parametrize(
    "wrong", ["KL reversed", "least divergence", "always the first", "sign", "threshold of the layer"]
)
def test_wrong_rules_are_told_apart(model: GPT2, wrong: str) -> None:
    got = DoLa(model, [0, 1], alpha=0.1).rule(LAST, EARLY)
    scores, _ = expected(0.1, wrong)
    assert differing(got, scores) >= 3


def test_ids_of_probability_0_do_not_disturb_the_choice() -> None:
    """0 log 0 is 0, in the last layer, in the earlier one and in both."""
    last = torch.tensor([0.0, 0.0, -torch.inf, -torch.inf])
    early = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf], [0.0, -torch.inf, 0.0, -torch.inf]])
    assert int(premature_layer(last, early)) == 1  # half of the mass in common, against all of it


def test_rows_of_nan_stay_so(model: GPT2) -> None:
    got = DoLa(model, [0]).rule(torch.cat([LAST * torch.nan, LAST]), torch.cat([EARLY * torch.nan, EARLY]))
    assert bool(got[: len(LAST)].isnan().all()) and not bool(got[len(LAST) :].isnan().any())


def test_a_layer_may_be_named_twice_and_in_any_order(model: GPT2) -> None:
    block = torch.tensor([[1, 2, 3, 4]])
    got = [
        DoLa(model, layers).open().extend(block, keep=4) for layers in ([0, 2, 1], [1, 2, 0, 2], (2, 1, 0), range(3))
    ]
    for other in got[1:]:
        torch.testing.assert_close(other, got[0], rtol=0, atol=1e-12)


def test_one_layer_is_that_layer(model: GPT2) -> None:
    """With the last LayerNorm: as the early exit of this many layers says. Without, it is another distribution."""
    ids = [5, 6, 7]
    q, m = log_softmax(after(model, ids)), log_softmax(after(model.early_exit(2), ids))
    got = DoLa(model, [2], alpha=0.0).open().extend(torch.tensor([ids]))[0]
    assert differing(got, [[x - y for x, y in zip(q, m, strict=True)]]) == 0
    bare = log_softmax(layers_after(model, ids, [2], norm=False)[0])
    assert differing(got, [[x - y for x, y in zip(q, bare, strict=True)]]) == 1


# --- rows are strangers ---


@cache
def twelve() -> GPT2:
    return GPT2.from_pretrained(Path(__file__).parents[1] / "fixtures/transformers_4_55/twelve", dtype=torch.float64)


@cache
def fixture() -> dict[str, Any]:
    path = Path(__file__).parents[1] / "fixtures/transformers_4_55/hidden_states.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_a_batch_is_its_rows_alone() -> None:  # laws 5 and 7
    """Each chooses its own layer. transformers chooses one for all: in its own batches most rows are not as alone."""
    coupled = 0
    for case in fixture()["dola_batches"][::5]:
        layered = DoLa(twelve(), candidates_of(case["layers"]))
        together = generate_ids(layered, case["prompts"], Greedy(), max_new_tokens=8)
        alone = [generate_ids(layered, [prompt], Greedy(), max_new_tokens=8)[0] for prompt in case["prompts"]]
        assert [result.ids for result in together] == [result.ids for result in alone]
        coupled += case["ids"] != case["alone"]
    assert coupled >= 3  # of 4


# --- transformers' rule, of which the fixture has what it wrote ---


def candidates_of(layers: Any) -> list[int]:
    """What their names mean in a model of twelve layers."""
    named: dict[str, list[int]] = {"low": [2, 4], "high": [6, 8, 10]}
    return named[layers] if isinstance(layers, str) else layers


KNOWN: dict[tuple[tuple[int, ...], bool], list[Row]] = {}


def layers_behind(ids: tuple[int, ...], norm: bool) -> list[Row]:
    """The log-probabilities behind every layer of twelve, the last one last. One pass tells those of all beginnings."""
    if (ids, norm) not in KNOWN:
        for position, layers in enumerate(layers_along(twelve(), ids, range(13), norm)):
            KNOWN[ids[: position + 1], norm] = [log_softmax(row) for row in layers]
    return KNOWN[ids, norm]


def plain(
    prompts: Sequence[Sequence[int]],
    layers: Sequence[int],
    steps: int,
    eos_id: int | None = None,
    *,
    norm: bool,
    reverse: bool,
    shared: bool,
) -> tuple[list[list[int]], list[list[int]]]:
    """Greedy decoding with DoLa, all rows beside one another -> new ids, and the layers picked, of each row.

    norm      whether earlier layers pass the last LayerNorm
    reverse   whether the two divergences are taken from the mean, instead of to it
    shared    whether one layer serves all rows, that of the greatest mean
    """
    texts: list[list[int]] = [[] for _ in prompts]
    picked: list[list[int]] = [[] for _ in prompts]
    measure = reversed_divergence if reverse else jensen_shannon
    for _ in range(steps):
        if len(prompts) == 1 and texts[0] and texts[0][-1] == eos_id:
            break
        behind = [layers_behind((*prompt, *text), norm) for prompt, text in zip(prompts, texts, strict=True)]
        divergences = [[measure(row[-1], row[layer]) for layer in layers] for row in behind]
        if shared:
            divergences = [[math.fsum(column) for column in zip(*divergences, strict=True)]] * len(prompts)
        for r, row in enumerate(behind):
            layer = layers[divergences[r].index(max(divergences[r]))]
            scores = [
                q - m if stays else -math.inf
                for q, m, stays in zip(row[-1], row[layer], plausible(row[-1], 0.1), strict=True)
            ]
            texts[r].append(scores.index(max(scores)))
            picked[r].append(layer)
    return texts, picked


CASES = [*fixture()["dola"], *fixture()["dola_batches"]]


def prompts_of(case: dict[str, Any]) -> tuple[list[list[int]], list[list[int]]]:
    """Its prompts and its texts, alone or in a batch."""
    return (case["prompts"], case["ids"]) if "prompts" in case else ([case["prompt"]], [case["ids"]])


def test_their_rule_reproduces_their_texts() -> None:
    """No last LayerNorm for earlier layers, the divergences the other way round, one layer for the batch: all 46 cases,
    with the layers that they picked."""
    assert (len(fixture()["dola"]), len(fixture()["dola_batches"])) == (28, 18)
    for case in CASES:
        prompts, texts = prompts_of(case)
        for prompt, text in zip(prompts, texts, strict=True):
            layers_behind((*prompt, *text), norm=False)  # one pass for all steps
        got, picked = plain(
            prompts,
            candidates_of(case["layers"]),
            case["steps"],
            case.get("eos_id"),
            norm=False,
            reverse=True,
            shared=True,
        )
        assert got == texts
        assert picked[0] == case["picked"]


@pytest.mark.parametrize(
    ("norm", "reverse", "shared", "alone", "batched"),
    [
        (True, True, True, 28, 18),  # the last LayerNorm changes every text
        (False, False, True, 12, 11),  # the Jensen-Shannon divergence changes half
        (False, True, False, 0, 16),  # a layer a row changes batches only, and nearly all of them
        (True, False, False, 28, 18),  # ours
    ],
)
def test_each_of_the_three_differences_shows(norm: bool, reverse: bool, shared: bool, alone: int, batched: int) -> None:
    """How many of their 28 texts, and of their 18 batches, become others: where a step along them takes another id."""
    changed = {1: 0, 2: 0}
    for case in CASES:
        prompts, texts = prompts_of(case)
        changed[len(prompts)] += any(
            plain(
                [[*prompt, *text[:n]] for prompt, text in zip(prompts, texts, strict=True)],
                candidates_of(case["layers"]),
                1,
                norm=norm,
                reverse=reverse,
                shared=shared,
            )[0]
            != [[text[n]] for text in texts]
            for n in range(len(texts[0]))
        )
    assert changed == {1: alone, 2: batched}


def test_ours_is_the_rule_of_the_paper() -> None:
    """Every text of ours is that of the plain rule, in which each row picks its layer by the Jensen-Shannon divergence,
    behind the last LayerNorm."""
    for case in CASES[::5]:
        prompts, _ = prompts_of(case)
        layers, eos_id = candidates_of(case["layers"]), case.get("eos_id")
        results = generate_ids(DoLa(twelve(), layers), prompts, Greedy(), max_new_tokens=8, eos_id=eos_id)
        assert [r.ids for r in results] == plain(prompts, layers, 8, eos_id, norm=True, reverse=False, shared=False)[0]


def test_scores_of_one_step() -> None:
    """Their scores in the forward pass of the fixture, by their rule; ours by ours."""
    forward = fixture()["forward"]
    prompt = tuple(forward["prompt"])
    bare, normed = layers_behind(prompt, False), layers_behind(prompt, True)
    other = 0
    for case in forward["dola"]:
        layers = candidates_of(case["layers"])
        theirs = [-math.inf if score is None else score for score in case["scores"]]
        divergences = [reversed_divergence(bare[-1], bare[layer]) for layer in layers]
        layer = layers[divergences.index(max(divergences))]
        stays = plausible(bare[-1], 0.1)
        mine = [q - m if keep else -math.inf for q, m, keep in zip(bare[-1], bare[layer], stays, strict=True)]
        assert mine == [pytest.approx(score, abs=2e-6) for score in theirs]
        ours = DoLa(twelve(), layers).open().extend(torch.tensor([prompt]))[0]
        assert differing(ours, [dola(list(normed[-1]), [normed[layer] for layer in layers], 0.1)[0]]) == 0
        assert ((ours[0] > -torch.inf).tolist()) == [score > -math.inf for score in theirs]  # the threshold is the same
        other += int(ours[0].argmax()) != theirs.index(max(theirs))
    assert other >= 1


def test_hidden_states_of_the_fixture() -> None:
    """Those of transformers, in all thirteen places, after the last LayerNorm; six decimals are written."""
    forward = fixture()["forward"]
    session = twelve().open()
    hidden = session.extend_hidden(torch.tensor([forward["prompt"]]), None, 1, range(13))[0, 0]
    want = torch.tensor(forward["hidden_after_ln_f"], dtype=torch.float64)
    torch.testing.assert_close(hidden, want, rtol=0, atol=2e-6)
    logits = torch.tensor(forward["logits"], dtype=torch.float64)
    torch.testing.assert_close(session.head(hidden[-1]), logits, rtol=0, atol=2e-6)
    bare = torch.tensor(forward["hidden"], dtype=torch.float64)
    assert bool(((hidden - bare).abs().amax(dim=-1) > 0.1).all())  # without it, no layer is the same


# --- the model itself ---


def test_what_it_is(model: GPT2) -> None:
    layered = DoLa(model, [1, 2], alpha=0.2)
    assert (layered.n_vocab, layered.n_positions, layered.layers, layered.alpha) == (11, 24, [1, 2], 0.2)
    assert isinstance(layered, LanguageModel) and not isinstance(layered, LayeredModel)
    assert repr(layered) == "DoLa([1, 2], alpha=0.2)"
    assert repr(DoLa(model, (0,))) == "DoLa([0], alpha=0.1)"


def test_layers_are_copied(model: GPT2) -> None:  # law 11
    layers = [1]
    layered = DoLa(model, layers)
    layers.append(2)
    assert layered.layers == [1]


def test_it_drafts_with_the_models_own_layers(model: GPT2) -> None:
    """Greedily the same text, drafted or not."""
    layered = DoLa(model, [1, 2])
    assert layered.early_exit(2).n_layer == 2  # type: ignore[attr-defined]
    plain_text = generate_ids(layered, [[1, 2, 3]], Greedy(), max_new_tokens=10)[0]
    drafted = generate_ids(
        layered, [[1, 2, 3]], Speculative(Temperature(0), draft=SelfSpeculative(2)), max_new_tokens=10
    )[0]
    assert drafted.ids == plain_text.ids
    assert drafted.rounds.drafted > 0


def test_the_repetition_penalty_of_the_paper_acts_on_the_contrast(model: GPT2) -> None:
    """A processor, as any: after the rule, on its scores."""
    rule = RepetitionPenalty(1.2)
    [result] = generate_ids(DoLa(model, [1, 2]), [[1, 2, 3]], Greedy(rule), max_new_tokens=6)
    ids = [1, 2, 3]
    for id in result.ids:
        scores, _ = dola(after(model, ids), layers_after(model, ids, [1, 2]), 0.1)
        scores = [s if i not in ids else s / 1.2 if s > 0 else s * 1.2 for i, s in enumerate(scores)]
        assert id == scores.index(max(scores))
        ids.append(id)


def test_float32_is_near_float64() -> None:
    """The same ids wherever the lead is more than rounding."""
    wide, narrow = small_model(1, torch.float64, **SMALL), small_model(1, torch.float32, **SMALL)
    block = torch.tensor([[1, 2, 3, 4, 5]])
    got, want = (DoLa(one, [1, 2]).open().extend(block, keep=5) for one in (narrow, wide))
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-3)


def test_sampling_is_seeded_as_ever(model: GPT2) -> None:  # law 6
    layered, strategy = DoLa(model, [1, 2], alpha=0.0), Sample(Temperature(4.0))
    one = generate_ids(layered, [[1, 2], [3]], strategy, max_new_tokens=6, seed=4, num_samples=2)
    other = generate_ids(Uncached(layered), [[1, 2], [3]], strategy, max_new_tokens=6, seed=4, num_samples=2)
    assert [r.ids for r in one] == [r.ids for r in other]
    assert len({tuple(r.ids) for r in one}) > 2


@pytest.mark.parametrize("layers", [[], [3], [-1], [0, 3], [99]])
def test_layers_that_cannot_be_contrasted(model: GPT2, layers: list[int]) -> None:  # law 13
    with pytest.raises(
        ValueError, match=r"layers are some of 0 to 2, which lie below the last of this model, such as \[2, 4\]; got \["
    ):
        DoLa(model, layers)


@pytest.mark.parametrize("layers", ["low", 3, None, [0.5], ["a"], [True]])
def test_what_are_no_layers(model: GPT2, layers: Any) -> None:  # law 13
    with pytest.raises(ValueError, match=r"layers are some of 0 to 2, .*, such as \[2, 4\]; got "):
        DoLa(model, layers)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan, "0.1", None, True])
def test_an_alpha_that_is_none(model: GPT2, alpha: Any) -> None:  # law 13
    with pytest.raises(
        ValueError, match="alpha is the share of the best probability that an id needs, from 0 to 1; got"
    ):
        DoLa(model, [1], alpha=alpha)


@pytest.mark.parametrize(
    ("other", "name"), [(TableModel.random(5, 9, seed=0), "TableModel"), (GPT2, "type"), (5, "int"), (None, "NoneType")]
)
def test_models_without_layers(other: Any, name: str) -> None:  # law 13
    with pytest.raises(ValueError, match=f"whose layers can be looked into, such as GPT2; got a {name}"):
        DoLa(other, [1])


def test_what_is_made_of_others_has_no_layers(model: GPT2) -> None:  # law 13
    for other in (Uncached(model), DoLa(model, [1])):
        with pytest.raises(ValueError, match="whose layers can be looked into"):
            DoLa(other, [1])
