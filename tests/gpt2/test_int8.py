"""Weights of one byte: the rounding itself, the network that it gives, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gpt2 import GPT2
from gpt2.int8 import Int8Embedding, Int8Linear, quantize, quantize_rows
from tests.gpt2.small import SHAPE, ids, small_model, state, write_model

V = SHAPE["n_vocab"]


def widened(model: GPT2) -> GPT2:
    """The float32 network whose weights are exactly what an int8 network's stand for."""
    dense = GPT2(model.config)
    with torch.no_grad():
        for name, parameter in dense.named_parameters():
            owner = model.get_submodule(name.rpartition(".")[0])
            value = getattr(owner, name.rpartition(".")[2])
            if isinstance(owner, (Int8Linear, Int8Embedding)) and name.endswith("weight"):
                value = value.float() * owner.scale[:, None]  # (out, in)
                value = value if isinstance(owner, Int8Embedding) else value.t()
            parameter.copy_(value)
    return dense.eval()


# --- rounding ---


def test_each_row_has_its_own_scale() -> None:
    whole, scale = quantize_rows(torch.tensor([[1.0, -2.0, 0.5], [0.001, 0.0, 0.002], [0.0, 0.0, 0.0]]))
    assert whole.tolist() == [[64, -127, 32], [64, 0, 127], [0, 0, 0]]  # 63.5 and 31.75 are rounded, ties to even
    torch.testing.assert_close(scale, torch.tensor([2 / 127, 0.002 / 127, 1.0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_no_number_moves_by_more_than_half_a_scale(dtype: torch.dtype) -> None:
    weight = torch.randn(5000, 7, generator=torch.Generator().manual_seed(0)).to(dtype)  # more rows than one portion
    before = weight.clone()
    whole, scale = quantize_rows(weight)
    assert torch.equal(weight, before)  # law 11
    assert whole.dtype == torch.int8 and scale.dtype == torch.float32
    assert (whole.abs().amax(dim=1) == 127).all()  # the whole range is used, symmetrically
    difference = (whole.float() * scale[:, None] - weight.float()).abs()
    assert (difference <= scale[:, None] * 0.5001).all()


# --- the network ---


def test_is_the_network_of_the_rounded_weights() -> None:
    """To 1e-4 with logits of order 10, cached and uncached, where the weights before rounding are far off."""
    model = small_model()
    rows = ids(3, 9)
    exact = model(rows)
    int8 = quantize(small_model())
    expected = widened(int8)(rows)
    torch.testing.assert_close(int8(rows), expected, rtol=0, atol=1e-4)
    session = int8.open()
    session.extend(rows[:, :4])
    torch.testing.assert_close(session.extend(rows[:, 4:], keep=5), expected[:, 4:], rtol=0, atol=1e-4)
    assert 0.01 < (exact - expected).abs().max() < 2


def test_everything_that_multiplies_is_one_byte_and_the_rest_float32() -> None:
    int8 = quantize(small_model(dtype=torch.bfloat16))
    matrices = [module for module in int8.modules() if isinstance(module, Int8Linear)]
    assert len(matrices) == 4 * SHAPE["n_layer"] + 1
    assert {type(module) for module in int8.modules() if isinstance(module, nn.Embedding)} == {nn.Embedding}  # wpe
    held = {name: tensor for name, tensor in int8.state_dict().items() if tensor.dtype != torch.int8}
    assert {tensor.dtype for tensor in held.values()} == {torch.float32} == {int8.dtype}
    assert all(tensor.dim() == 1 for name, tensor in held.items() if name != "wpe.weight")


def test_portions_of_a_large_head_are_the_whole_head() -> None:
    weight = torch.randn(5000, 8, generator=torch.Generator().manual_seed(1))
    embedding = Int8Embedding(weight)
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(2))
    dense = embedding.weight.float() * embedding.scale[:, None]  # (V, C)
    torch.testing.assert_close(embedding.head(x), x @ dense.t(), rtol=0, atol=1e-4)
    picked = torch.tensor([[0, 4999], [256, 7]])
    assert torch.equal(embedding(picked), dense[picked])


@pytest.mark.parametrize("kept_in", [torch.float32, torch.float16])
def test_loading_is_quantising_what_the_file_has(kept_in: torch.dtype, tmp_path: Path) -> None:
    model = small_model(dtype=kept_in)
    loaded = GPT2.from_pretrained(write_model(tmp_path / "model", model), dtype=torch.int8)
    assert not loaded.training
    expected: dict[str, Tensor] = quantize(small_model(dtype=kept_in)).state_dict()
    got = loaded.state_dict()
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_loading_in_one_byte_is_as_strict(tmp_path: Path) -> None:  # law 12
    tensors = state(small_model())
    tensors["h.1.mlp.c_fc.weight"][3, 4] = torch.nan
    folder = write_model(tmp_path / "model", small_model(), tensors)
    with pytest.raises(ValueError, match=r"h\.1\.mlp\.c_fc\.weight holds NaN or infinity"):
        GPT2.from_pretrained(folder, dtype=torch.int8)


def test_an_early_exit_has_the_same_weights() -> None:
    int8 = quantize(small_model())
    early = int8.early_exit(2)
    assert early.wte is int8.wte and len(early.h) == 2
    assert early(ids(1, 5)).shape == (1, 5, V)
