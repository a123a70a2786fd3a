"""Who may draft: copies by hand, models, the model's own first layers, and what cannot draft."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from decoding import (
    XTC,
    BlockVerification,
    DrafterInvariant,
    Gumbel,
    Jacobi,
    Prefix,
    PromptLookup,
    Purpose,
    SelfSpeculative,
    Speculative,
    TableModel,
    Temperature,
    generate_ids,
)
from decoding.drafts import Drafter, ModelDraft
from decoding.drafts.draft import Draft, as_drafter
from tests.decoding.models import scripted
from tests.gpt2.small import small_model

COPIES: list[tuple[str, int, list[int], int, list[int]]] = [
    ("what followed", 3, [1, 2, 3, 4, 1, 2], 2, [3, 4]),
    ("the latest of several places", 3, [1, 2, 7, 1, 2, 8, 1, 2], 1, [8]),
    ("the longest n-gram first, though a shorter is later", 3, [1, 2, 3, 7, 9, 3, 8, 1, 2, 3], 1, [7]),
    ("no more ids than ngram are looked for", 1, [1, 2, 3, 7, 9, 3, 8, 1, 2, 3], 1, [8]),
    ("a shorter one where the longer is not found", 3, [5, 2, 6, 1, 2], 2, [6, 1]),
    ("it copies itself", 3, [1, 2, 3, 1, 2, 3], 7, [1, 2, 3, 1, 2, 3, 1]),
    ("one id again and again", 3, [4, 4], 3, [4, 4, 4]),
    ("as many as may be", 3, [1, 2, 3, 4, 1], 2, [2, 3]),
    ("up to the end, and on in the copy", 2, [8, 9, 8], 3, [9, 8, 9]),
    ("nothing where the last id is new", 3, [1, 2, 3], 4, []),
    ("nothing in a text of one id", 3, [1], 4, []),
]


@pytest.mark.parametrize(("what", "ngram", "ids", "most", "copy"), COPIES, ids=[one[0] for one in COPIES])
def test_copies(what: str, ngram: int, ids: list[int], most: int, copy: list[int]) -> None:
    before = list(ids)
    assert PromptLookup(ngram).following(ids, most) == copy
    assert ids == before  # law 11


def test_a_copy_ends_with_the_text() -> None:
    prefix = Prefix.of([[1, 2, 0, 3, 1]], eos_id=0)
    assert PromptLookup().propose([prefix], [4], [Gumbel(0)]) == [Draft((2, 0))]


def test_a_text_that_repeats_itself_is_copied() -> None:
    """A model that writes 0 1 2 3 over and over, greedily, is called for every fifth id once its text repeats."""
    model = scripted(5, 1, [0, 1, 2, 3])
    row = generate_ids(model, [[4]], Speculative(Temperature(0.0), draft=PromptLookup()), max_new_tokens=25, seed=0)[0]
    assert row.ids == [0, 1, 2, 3] * 6 + [0]
    assert [len(one.ids) for one in row.rounds] == [1, 1, 1, 1, 1, 5, 5, 5, 5]
    assert row.rounds.acceptance_rate == 1.0


def test_a_draft_is_one_distribution_an_id() -> None:
    logprobs = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    draft = Draft((1, 0), (logprobs, logprobs))
    assert draft.first(1) == Draft((1,), (logprobs,))
    assert draft.probabilities(1, 2).tolist() == pytest.approx([0.25, 0.75])
    assert draft.logprob(1) == pytest.approx(float(logprobs[0]))
    copied = Draft((1, 0))
    assert copied.probabilities(0, 3).tolist() == [0, 1, 0] and copied.logprob(0) == 0.0


def test_an_early_exit_drafts_what_it_would_write() -> None:
    """The drafts of `SelfSpeculative` are those of the model that exits early, and all layers draft without a miss."""
    model, prompt = small_model(), [1, 2, 3]
    arguments: Any = {"max_new_tokens": 10, "seed": 2}
    for layers in (1, 2, 3):
        own = generate_ids(model, [prompt], Speculative(draft=SelfSpeculative(layers)), **arguments)[0]
        other = generate_ids(model, [prompt], Speculative(draft=model.early_exit(layers)), **arguments)[0]
        assert own.ids == other.ids and own.rounds == other.rounds
    assert own.rounds.acceptance_rate == 1.0


def test_a_draft_with_fewer_positions_stops_drafting() -> None:
    model, draft = TableModel.random(5, 40, seed=1), TableModel.random(5, 8, seed=1)
    row = generate_ids(model, [[1, 2]], Speculative(draft=draft, length=3), max_new_tokens=12, seed=1)[0]
    assert len(row.ids) == 12
    behind = 2
    for one in row.rounds:  # the draft is asked behind at most 8 ids
        assert not one.drafted or behind + len(one.drafted) <= 9
        behind += len(one.ids)
    assert row.rounds.acceptance_rate == 1.0 and row.rounds[-1].drafted == ()


def test_as_drafter() -> None:
    model = TableModel.random(3, 8, seed=1)
    assert as_drafter(model) == ModelDraft(model)
    for drafter in (PromptLookup(), SelfSpeculative(1), ModelDraft(model)):
        assert as_drafter(drafter) is drafter and isinstance(drafter, Drafter)


def test_what_cannot_draft_is_refused_in_words() -> None:  # law 13
    model = TableModel.random(3, 8, seed=1)
    wrong: Any
    for strategy in (Speculative, BlockVerification, DrafterInvariant):
        for wrong in ("gpt2", None, 3, PromptLookup, TableModel, Temperature(0), range(3)):  # the last two can start
            with pytest.raises(ValueError, match="draft is a smaller language model with the same ids"):
                strategy(draft=wrong)
        for wrong in (0, -1, 1.5, True, "4"):
            with pytest.raises(ValueError, match="length is how many ids to draft in a round, at least 1"):
                strategy(draft=model, length=wrong)
        for wrong in (0.7, model):
            with pytest.raises(ValueError, match="takes processors such as"):
                strategy(wrong, draft=model)
        with pytest.raises(ValueError, match="would toss the same coin"):
            strategy(XTC(0.1, 0.5), XTC(0.2, 0.5), draft=model)
    for wrong in (0, -2, 1.0, True, "3"):
        with pytest.raises(ValueError, match="ngram is how many of the last ids to look for, at least 1"):
            PromptLookup(wrong)
        with pytest.raises(ValueError, match="layers is with how many of the first layers to draft, at least 1"):
            SelfSpeculative(wrong)
        with pytest.raises(ValueError, match="window is how many ids to guess at once, at least 1"):
            Jacobi(window=wrong)
    with pytest.raises(ValueError, match="a draft"):
        ModelDraft(PromptLookup())  # type: ignore[arg-type]


def test_what_cannot_draft_for_this_model_is_refused_in_words() -> None:  # law 13
    model = TableModel.random(3, 8, seed=1)
    cases: list[tuple[Any, str]] = [
        (TableModel.random(4, 8, seed=1), "got models of 4 and 3 ids"),
        (TableModel.random(3, 2, seed=1), "has 2 positions, and a prompt 3 ids"),
        (SelfSpeculative(1), "drafts with the layers of a model such as GPT2; got a TableModel"),
    ]
    for draft, words in cases:
        with pytest.raises(ValueError, match=words):
            generate_ids(model, [[0], [0, 1, 2]], Speculative(draft=draft), max_new_tokens=2)
    with pytest.raises(ValueError, match="an early exit lies behind 1 to 3 of this model's layers; got 4"):
        generate_ids(small_model(), [[0]], Speculative(draft=SelfSpeculative(4)), max_new_tokens=2)


def test_strategies_are_values() -> None:
    draft = TableModel.random(3, 8, seed=1)
    assert Speculative(draft=PromptLookup()) == Speculative(draft=PromptLookup(3)) != Speculative(draft=PromptLookup(2))
    assert repr(Speculative(Temperature(0.5), draft=PromptLookup(), length=2)) == (
        "Speculative(Temperature(0.5), draft=PromptLookup(ngram=3), length=2)"
    )
    assert hash(Speculative(draft=draft)) == hash(Speculative(draft=draft))
    assert repr(Jacobi()) == "Jacobi()" and Jacobi() == Jacobi(window=8)


def test_what_is_drafted_is_drawn_for_its_purpose() -> None:
    """The draft's noise is its own, but for `DrafterInvariant`, which shares the model's."""
    purposes: list[Purpose] = []

    class Watched(Gumbel):
        def choose(self, logits: torch.Tensor, purpose: Purpose, prefix: Prefix) -> torch.Tensor:
            purposes.append(purpose)
            return super().choose(logits, purpose, prefix)

    model, draft = TableModel.random(5, 20, seed=1), TableModel.random(5, 20, seed=2)
    generate_ids(model, [[1]], Speculative(draft=draft), max_new_tokens=15, seed=1, draw=Watched)
    assert set(purposes) == {Purpose.TOKEN, Purpose.DRAFT, Purpose.ACCEPTANCE, Purpose.RESIDUAL}
    purposes.clear()
    generate_ids(model, [[1]], DrafterInvariant(draft=draft), max_new_tokens=15, seed=1, draw=Watched)
    assert set(purposes) == {Purpose.TOKEN}
