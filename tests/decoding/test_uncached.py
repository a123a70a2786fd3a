"""The naive sessions keep the contract of every session, and refuse what the real one refuses."""

from __future__ import annotations

import pytest
import torch

from decoding import Session, TableModel, Uncached
from gpt2 import GPT2, GPT2Config

MODELS = {
    "gpt2": lambda: GPT2(GPT2Config(n_vocab=7, n_positions=6, n_embd=8, n_layer=1, n_head=2)).eval(),
    "uncached": lambda: Uncached(MODELS["gpt2"]()),
    "table": lambda: TableModel.random(7, 6, seed=1),
}


@pytest.fixture(params=MODELS)
def session(request: pytest.FixtureRequest) -> Session:
    session: Session = MODELS[request.param]().open()
    return session


def test_more_may_be_kept_than_a_row_has_got(session: Session) -> None:
    logits = session.extend(torch.tensor([[1, 2, 3, 0], [4, 5, 6, 1]]), torch.tensor([2, 4]), keep=3)
    assert logits.isnan().all(dim=-1).tolist() == [[True, False, False], [False, False, False]]
    session.rewind(torch.tensor([0, 4]))
    logits = session.extend(torch.tensor([[0], [2]]), torch.tensor([0, 1]))
    assert logits.isnan().all(dim=-1).tolist() == [[True], [False]]
    assert session.lengths.tolist() == [0, 5]


@pytest.mark.parametrize(
    "misuse",
    [
        lambda s: s.extend(torch.tensor([[1, 2], [3, 4]]), torch.tensor([5, 1])),
        lambda s: s.extend(torch.tensor([[1, 2], [3, 4]]), torch.tensor([-1, 1])),
        lambda s: s.extend(torch.tensor([[1, 2], [3, 4]]), keep=3),
        lambda s: s.extend(torch.tensor([[1, 2], [3, 4]]), keep=0),
        lambda s: s.extend(torch.tensor([[1, 2]])),
        lambda s: s.extend(torch.tensor([[1, 2, 3, 4]] * 2)),
        lambda s: s.rewind(torch.tensor([4, 1])),
        lambda s: s.rewind(torch.tensor([-1, 1])),
        lambda s: s.rewind(torch.tensor([1])),
        lambda s: s.select(torch.tensor([-1])),
        lambda s: s.select(torch.tensor([2])),
    ],
)
def test_misuse_is_refused_and_changes_nothing(session: Session, misuse: object) -> None:
    session.extend(torch.tensor([[1, 2, 3], [4, 5, 6]]))
    with pytest.raises(ValueError, match=r"."):
        misuse(session)  # type: ignore[operator]
    assert session.lengths.tolist() == [3, 3]


def test_a_session_without_rows_has_none_to_select(session: Session) -> None:
    with pytest.raises(ValueError, match="rows"):
        session.select(torch.tensor([0]))
