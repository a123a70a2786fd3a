"""How matrices lie in memory: another order for each precision, and nothing else about them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gpt2 import GPT2
from gpt2.layout import laid_out, transposed_in_memory
from gpt2.model import Conv1D
from tests.gpt2.small import ids, small_model, state, write_model


@pytest.mark.parametrize(
    ("dtype", "layers_move", "head_moves"),
    [
        (torch.float32, False, True),
        (torch.float16, True, False),
        (torch.bfloat16, True, False),
        (torch.float64, False, False),
    ],
)
def test_each_precision_has_its_layout(dtype: torch.dtype, layers_move: bool, head_moves: bool, tmp_path: Path) -> None:
    loaded = GPT2.from_pretrained(write_model(tmp_path / "model", small_model()), dtype=dtype)
    layers = [module.weight for module in loaded.modules() if isinstance(module, Conv1D)]
    assert layers
    for weight in layers:
        assert weight.t().is_contiguous() == layers_move and weight.is_contiguous() != layers_move
    assert loaded.wte.weight.t().is_contiguous() == head_moves and loaded.wte.weight.is_contiguous() != head_moves
    for name, parameter in state(small_model(dtype=dtype)).items():
        assert torch.equal(loaded.get_parameter(name), parameter)  # law 12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_layout_changes_no_result_by_more_than_rounding(dtype: torch.dtype) -> None:
    model, arranged = small_model(dtype=dtype), small_model(dtype=dtype)
    for name, parameter in arranged.named_parameters():
        parameter.data = laid_out(name, parameter.data)
    rows = ids(2, 9)
    tolerance = {torch.float32: 1e-4, torch.float16: 0.1, torch.bfloat16: 1.0}[dtype]
    torch.testing.assert_close(arranged(rows), model(rows), rtol=0, atol=tolerance)


def test_a_matrix_keeps_shape_and_values() -> None:
    matrix = torch.arange(6.0).reshape(2, 3)
    moved = transposed_in_memory(matrix)
    assert torch.equal(moved, matrix) and moved.stride() == (1, 2)
    assert moved.data_ptr() != matrix.data_ptr()  # law 11
