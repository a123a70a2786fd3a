"""What a network knows after each layer: hidden states of a session, and the network that ends early."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from decoding.core import LayeredModel
from gpt2 import GPT2
from tests.gpt2.small import SHAPE, ids, small_model

V, P, N = SHAPE["n_vocab"], SHAPE["n_positions"], SHAPE["n_layer"]
EXITS = range(1, N + 1)


def close(one: Tensor, other: Tensor) -> None:
    """In float64; NaN at the same places."""
    torch.testing.assert_close(one, other, rtol=0, atol=1e-10, equal_nan=True)


@pytest.fixture
def model() -> GPT2:
    return small_model(dtype=torch.float64)


def by_hand(model: GPT2, row: list[int], layers: int, norm: bool = True) -> Tensor:
    """Hidden states (T, C) behind the first `layers` blocks, which are called one after another. No cache."""
    with torch.no_grad():
        x = model.wte.weight[row] + model.wpe.weight[: len(row)]  # (T, C)
        for block in list(model.h)[:layers]:
            x = block(x[None])[0]
        return F.layer_norm(x, x.shape[-1:], model.ln_f.weight, model.ln_f.bias, model.ln_f.eps) if norm else x


# --- hidden states ---


@pytest.mark.parametrize("seed", range(3))
def test_every_layer_is_the_early_exit_of_that_layer(model: GPT2, seed: int) -> None:
    """Ragged rows, several positions kept, NaN where a row has fewer, between selections and rewinds."""
    dice = random.Random(seed)
    session, exits = model.open(), [model.early_exit(layers).open() for layers in EXITS]
    R, missing = 3, 0
    lengths = [0] * R
    for number in range(14):
        S = dice.randint(1, 5)
        n = [dice.randint(number == 0, min(S, P - length)) for length in lengths]
        keep = dice.randint(1, S)
        block = ids(R, S, seed=100 * seed + number)
        hidden = session.extend_hidden(block, torch.tensor(n), keep, EXITS)  # (R, keep, N, C)
        assert hidden.shape == (R, keep, N, SHAPE["n_embd"])
        logits = session.head(hidden)  # (R, keep, N, V)
        for place, early in enumerate(exits):
            close(logits[:, :, place], early.extend(block, torch.tensor(n), keep))
        expected = [[position < keep - count for position in range(keep)] for count in n]
        assert hidden.isnan().any(dim=-1).any(dim=-1).tolist() == expected
        assert hidden.isnan().all(dim=-1).all(dim=-1).tolist() == expected
        missing += sum(map(sum, expected))
        assert session.lengths.tolist() == [length + count for length, count in zip(lengths, n, strict=True)]
        rows = torch.tensor([dice.randrange(R) for _ in range(dice.randint(1, 4))])
        for one in (session, *exits):
            one.select(rows)
        R, lengths = len(rows), session.lengths.tolist()
        lengths = [dice.randint(length // 2, length) for length in lengths]
        for one in (session, *exits):
            one.rewind(torch.tensor(lengths))
    assert missing > 5


def test_hidden_states_are_those_of_the_blocks_one_after_another(model: GPT2) -> None:
    """Layer 0, which no early exit has, too: embeddings, normalised."""
    rows = [[5, 6, 7, 8], [9, 10]]
    block = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    hidden = model.open().extend_hidden(block, torch.tensor([4, 2]), 2, range(N + 1))  # (2, 2, N + 1, C)
    for r, row in enumerate(rows):
        for layer in range(N + 1):
            close(hidden[r, :, layer], by_hand(model, row, layer)[-2:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_last_layer_is_what_extend_uses(dtype: torch.dtype) -> None:
    """Bit for bit: asked for alone, by default, and beside others."""
    model = small_model(dtype=dtype)
    block, n = ids(3, 6), torch.tensor([6, 2, 4])
    logits = model.open().extend(block, n, 3)
    session = model.open()
    default = session.extend_hidden(block, n, 3)  # (3, 3, 1, C)
    alone = model.open().extend_hidden(block, n, 3, [N])
    several = model.open().extend_hidden(block, n, 3, [0, N, 1])[:, :, 1]
    assert torch.equal(session.head(default)[:, :, 0].nan_to_num(), logits.nan_to_num())
    assert torch.equal(default.nan_to_num(), alone.nan_to_num())
    assert torch.equal(several.nan_to_num(), alone[:, :, 0].nan_to_num())
    assert torch.equal(session.head(default).isnan()[:, :, 0], logits.isnan()) and bool(logits.isnan().any())


def test_extending_goes_on_as_if_nobody_had_looked(model: GPT2) -> None:
    looked, other = model.open(), model.open()
    looked.extend_hidden(ids(2, 4), None, 1, [1])
    other.extend(ids(2, 4))
    assert torch.equal(looked.extend(ids(2, 2, seed=1)), other.extend(ids(2, 2, seed=1)))


@pytest.mark.parametrize("layers", [[2, 0, 3, 1], [1, 1], [3, 3, 0], (2,), range(3, -1, -1)])
def test_layers_come_in_the_order_asked_for(model: GPT2, layers: list[int]) -> None:
    block = ids(2, 4)
    every = model.open().extend_hidden(block, None, 2, range(N + 1))
    assert torch.equal(model.open().extend_hidden(block, None, 2, layers), every[:, :, list(layers)])


def test_the_head_takes_any_shape_and_keeps_no_gradients(model: GPT2) -> None:
    session = model.open()
    hidden = session.extend_hidden(ids(2, 4), None, 3, [1, 2])
    assert session.head(hidden).shape == (2, 3, 2, V)
    assert session.head(hidden[0, 0, 0]).shape == (V,)
    assert not hidden.requires_grad and not session.head(hidden).requires_grad
    assert bool(session.head(torch.full((SHAPE["n_embd"],), torch.nan, dtype=torch.float64)).isnan().all())


@pytest.mark.parametrize("layers", [[], [N + 1], [-1], [0, 99], [0.5], ["low"]])
def test_layers_that_are_not_there(model: GPT2, layers: list[Any]) -> None:  # law 13
    session, twin = model.open(), model.open()
    for one in (session, twin):
        one.extend(ids(2, 3))
    with pytest.raises(ValueError, match=rf"hidden states are there behind 0 to {N} blocks; got \["):
        session.extend_hidden(ids(2, 2), None, 1, layers)
    assert session.lengths.tolist() == [3, 3]
    assert torch.equal(session.extend(ids(2, 2)), twin.extend(ids(2, 2)))


def test_other_errors_are_those_of_extend(model: GPT2) -> None:  # laws 9 and 13
    session = model.open()
    session.extend(ids(2, P - 1))
    with pytest.raises(ValueError, match=f"come to {P + 1} ids, 1 too many"):
        session.extend_hidden(ids(2, 2), None, 1, [1])
    with pytest.raises(ValueError, match="keep must be between 1"):
        session.extend_hidden(ids(2, 1), None, 2, [1])
    assert session.extend_hidden(ids(2, 1), None, 1, [1]).shape == (2, 1, 1, SHAPE["n_embd"])


# --- mutants: the well-known wrong hidden states ---


@pytest.mark.parametrize("layer", range(N + 1))
def test_wrong_layers_are_told_apart(model: GPT2, layer: int) -> None:
    """Without the last LayerNorm, one layer off, of the position before: none comes near."""
    row = [5, 6, 7, 8]
    right = model.open().extend_hidden(torch.tensor([row]), None, 1, [layer])[0, 0, 0]
    wrong = {
        "no LayerNorm": by_hand(model, row, layer, norm=False)[-1],
        "one block off": by_hand(model, row, layer + 1 if layer < N else layer - 1)[-1],
        "the position before": by_hand(model, row, layer)[-2],
        "LayerNorm twice": model.ln_f(right).detach(),
    }
    close(right, by_hand(model, row, layer)[-1])
    for name, mutant in wrong.items():
        assert float((mutant - right).abs().max()) > 0.05, name


# --- early exit ---


@pytest.mark.parametrize("layers", EXITS)
def test_an_early_exit_is_the_truncated_network(model: GPT2, layers: int) -> None:
    """One built by hand: a smaller network, into which the parameters are copied."""
    truncated = small_model(seed=9, dtype=torch.float64, n_layer=layers)
    whole = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in truncated.named_parameters():
            parameter.copy_(whole[name])
    early = model.early_exit(layers)
    block = ids(3, 7)
    close(early(block), truncated(block))
    close(
        early.open().extend(block, torch.tensor([7, 3, 1]), 2),
        truncated.open().extend(block, torch.tensor([7, 3, 1]), 2),
    )
    assert early.config == truncated.config
    assert [name for name, _ in early.named_parameters()] == [name for name, _ in truncated.named_parameters()]


def test_an_early_exit_shares_every_parameter(model: GPT2) -> None:
    early, whole = model.early_exit(2), dict(model.named_parameters())
    for name, parameter in early.named_parameters():
        assert parameter is whole[name]
        assert parameter.data_ptr() == whole[name].data_ptr()
    before = early(ids(1, 4))
    with torch.no_grad():
        model.wte.weight.mul_(2.0)
    assert not torch.equal(early(ids(1, 4)), before)


def test_an_early_exit_leaves_the_network_as_it_was(model: GPT2) -> None:
    before = model(ids(1, 5))
    early = model.early_exit(1)
    assert (early.n_layer, model.n_layer, len(model.h)) == (1, N, N)
    assert (early.n_vocab, early.n_positions, early.device) == (model.n_vocab, model.n_positions, model.device)
    assert early.source is model.source
    assert torch.equal(model(ids(1, 5)), before)
    assert isinstance(early, LayeredModel)
    close(early.early_exit(1)(ids(1, 5)), early(ids(1, 5)))


def test_all_layers_are_the_network_itself(model: GPT2) -> None:
    assert torch.equal(model.early_exit(N)(ids(2, 5)), model(ids(2, 5)))


def test_the_mode_is_kept() -> None:  # law 5
    model = small_model()
    assert not any(part.training for part in model.early_exit(2).modules())
    model.train()
    early = model.early_exit(2)
    assert all(part.training for part in early.modules())
    with pytest.raises(ValueError, match="train mode"):
        early.open()


@pytest.mark.parametrize("layers", [0, -1, N + 1, True, 1.0, None, "2"])
def test_a_number_of_layers_that_it_does_not_have(model: GPT2, layers: Any) -> None:  # law 13
    with pytest.raises(ValueError, match=f"an early exit lies behind 1 to {N} of this model's layers; got "):
        model.early_exit(layers)


def test_storybook_too(storybook: GPT2) -> None:
    """Float32 logits of order 10: the exit's own, and through the head."""
    row = torch.tensor([[7454, 2402, 257, 640]])
    session = storybook.open()
    logits = session.head(session.extend_hidden(row, None, 1, [1, 3, 6]))[0, 0]  # (3, V)
    for place, layers in enumerate([1, 3, 6]):
        early = storybook.early_exit(layers)
        torch.testing.assert_close(logits[place], early.open().extend(row)[0, 0], rtol=0, atol=1e-3)
    assert storybook.early_exit(3).source is storybook.source
