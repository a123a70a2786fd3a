"""TransformersBeamSearch by itself; tests/parity/test_beam.py compares it with the library."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch

from decoding import XTC, Force, NoRepeatNGram, TableModel, Tokenizer, TopP, generate, generate_ids, stream
from decoding.strategies.transformers_beam import TransformersBeamSearch
from gpt2 import GPT2
from tests.decoding.models import SMALL, SMALL_PROMPT

PROBABILITIES = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4], [0.2, 0.2, 0.6]])  # of the next id, after 0, 1 and 2
BIGRAM = TableModel.bigram(PROBABILITIES.log(), n_positions=8)


EARLY, LATE, SECOND = (
    ([0], math.log(0.5)),
    ([2, 2, 2], math.log(0.4 * 0.6 * 0.6) / 3),
    ([2, 0], math.log(0.4 * 0.2) / 2),
)


@pytest.mark.parametrize(
    ("beams", "early_stopping", "texts"),
    [
        (1, False, [EARLY]),  # 2 has -0.92 after one id, below -0.69
        (1, True, [EARLY]),
        (1, "never", [LATE]),  # but in three ids it could have -0.31, and comes to -0.65
        (2, False, [LATE, EARLY]),  # two texts were held after two ids: EARLY and SECOND, at -1.26
        (2, True, [EARLY, SECOND]),
        (2, "never", [LATE, EARLY]),
    ],
)
def test_by_hand(beams: int, early_stopping: Any, texts: list[tuple[list[int], float]]) -> None:
    """Id 0 ends a text. After 1 it has 0.5 and 2 has 0.4; after 2 it has 0.2 and 2 has 0.6."""
    search = TransformersBeamSearch(beams=beams, early_stopping=early_stopping)
    (written,) = generate_ids(BIGRAM, [[1]], search, max_new_tokens=3, eos_id=0)
    assert [one.ids for one in written.candidates] == [ids for ids, _ in texts]
    assert [one.score for one in written.candidates] == pytest.approx([score for _, score in texts], rel=1e-6)
    assert [one.finish_reason == "eos" for one in written.candidates] == [ids[-1] == 0 for ids, _ in texts]


def test_scores_are_sums_of_what_a_ban_leaves_and_logprobs_are_renormalised() -> None:
    ban = NoRepeatNGram(1)
    (written,) = generate_ids(BIGRAM, [[1]], TransformersBeamSearch(ban, beams=2), max_new_tokens=1)
    assert written.ids == [0]
    assert written.score == pytest.approx(math.log(0.5), rel=1e-6)
    assert written.processed_logprobs == pytest.approx([math.log(0.5 / 0.9)], rel=1e-6)
    assert written.model_logprobs == pytest.approx([math.log(0.5)], rel=1e-6)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"beams": 0}, "beams is a number of hypotheses, at least 1; got 0"),
        ({"length_penalty": math.nan}, "a length penalty is an exponent from -100 to 100, 0 for none; got nan"),
        ({"early_stopping": "always"}, "early_stopping is False, True or 'never'; got 'always'"),
        ({"early_stopping": 1}, "early_stopping is False, True or 'never'; got 1"),
        ({"beams": 3, "candidates": 4}, "candidates is a number of texts, from 1 to beams=3; got 4"),
        ({"candidates": 0}, "candidates is a number of texts, from 1 to beams=5; got 0"),
    ],
)
def test_parameters_out_of_range(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        TransformersBeamSearch(**parameters)


def test_processors_that_draw_are_refused() -> None:
    with pytest.raises(ValueError, match="TransformersBeamSearch compares texts by their probability, and XTC"):
        TransformersBeamSearch(XTC(0.1, 0.5))


def test_it_is_written_as_it_was_made() -> None:
    assert repr(TransformersBeamSearch()) == "TransformersBeamSearch()"
    search = TransformersBeamSearch(TopP(0.9), beams=3, early_stopping=True, candidates=2)
    assert repr(search) == "TransformersBeamSearch(TopP(0.9), beams=3, early_stopping=True, candidates=2)"


def test_scores_below_what_stands_for_nothing_are_an_error() -> None:
    search = TransformersBeamSearch(beams=2, length_penalty=-30.0)
    told = r"nothing that ends has a score above -1e\+09, .* length_penalty nearer to 0.* \(prompt 0, sample 0\)"
    with pytest.raises(ValueError, match=told):
        generate_ids(BIGRAM, [[1]], search, max_new_tokens=6, num_samples=2)


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
def test_ids_come_as_soon_as_they_are_certain(early_stopping: Any, storybook: GPT2, tokenizer: Tokenizer) -> None:
    search = TransformersBeamSearch(beams=3, early_stopping=early_stopping)
    prompt = "The fox and the"
    *pieces, last = stream(storybook, tokenizer, prompt, search, max_new_tokens=12)
    written = generate(storybook, tokenizer, prompt, search, max_new_tokens=12)
    assert [id for piece in [*pieces, last] for id in piece.step.ids] == written.ids
    assert "".join(piece.text for piece in [*pieces, last]) == written.text
    assert len(written.candidates) == 3


def test_ids_come_before_the_end() -> None:
    """After the first step both beams begin with it, and the step is given out before the model is asked again."""
    asked = []

    def logits_after(ids: Any) -> torch.Tensor:
        asked.append(len(ids))
        return PROBABILITIES[ids[-1]].log() if len(ids) > 1 else torch.tensor([-50.0, 0.0, -50.0])

    from decoding.chance import Gumbel
    from decoding.core import Limits

    steps = TransformersBeamSearch(beams=2).run(TableModel(3, 8, logits_after), [[1]], Limits(6), Gumbel(0))
    first = next(steps)
    assert first.ids == (1,)
    assert max(asked) < 6


def test_the_tree_has_what_was_considered() -> None:
    search = TransformersBeamSearch(beams=2, early_stopping="never")
    (written,) = generate_ids(SMALL, [SMALL_PROMPT], search, max_new_tokens=3, eos_id=0, trace=True)
    tree = written.trace.tree
    assert tree is not None and tree.winner is not None
    assert list(tree.ids(tree.winner)) == written.ids
    assert tree[tree.winner].score == written.score
    held = [tree.ids(n) for n, node in enumerate(tree) if node.fate in ("finished", "won")]
    assert {tuple(one.ids) for one in written.candidates} <= set(held)
    assert all(len([node for node in tree if node.step == step]) == 4 for step in (1, 2, 3))
    assert all(node.fate != "extended" or tree.children(n) for n, node in enumerate(tree))


def test_fillers_are_marked() -> None:
    """Only one id is left at first: the other beams take it, too, as copies at -1e9. Removed ids are not considered."""
    search = TransformersBeamSearch(Force({0: 2}), beams=3)
    (written,) = generate_ids(BIGRAM, [[1]], search, max_new_tokens=2, trace=True)
    assert written.trace.tree is not None
    first = [node for node in written.trace.tree if node.step == 1]
    assert [(node.id, node.note) for node in first] == [(2, ""), (2, "filler"), (2, "filler")]
    assert sorted(one.ids for one in written.candidates) == [[2, 0], [2, 1], [2, 2]]  # what is better replaces them


def test_fillers_are_returned_where_nothing_is_better() -> None:
    """A filler's score is divided by the length, too, so that it is above nothing, at -1e9."""
    search = TransformersBeamSearch(Force({0: 2, 1: 2}), beams=2)
    (written,) = generate_ids(BIGRAM, [[1]], search, max_new_tokens=2)
    assert [one.ids for one in written.candidates] == [[2, 2], [2, 2]]
    assert [one.score for one in written.candidates] == pytest.approx([math.log(0.4 * 0.6) / 2, -5e8], rel=1e-6)
