"""Where a matrix's numbers lie in memory, which decides how fast a single row is multiplied with it.

PyTorch's product of one row and a float32 matrix wants what belongs to one input side by side, (in, out); that of
half precisions wants what belongs to one output, (out, in), and was up to twelve times as slow the other way round.
Strides settle this, not shapes: a parameter keeps its shape, its name and its values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .pages import in_huge_pages

_HEAD = "wte.weight"  # (V, C), which is (out, in)
_LAYERS = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # (in, out)


def laid_out(name: str, parameter: Tensor) -> Tensor:
    """The parameter of this name, as its precision likes it on the CPU.

    float32 transposes the head, 16 bits all else; their head is copied as it is, into huge pages.
    """
    if parameter.device.type != "cpu":
        return parameter
    if parameter.dtype == torch.float32 and name == _HEAD:
        return transposed_in_memory(parameter)
    if parameter.dtype in (torch.bfloat16, torch.float16):
        if name.endswith(_LAYERS):
            return transposed_in_memory(parameter)
        if name == _HEAD:
            return in_huge_pages(parameter)
    return parameter


def in_rows(matrix: Tensor) -> Tensor:
    """The same matrix, whose rows lie one after the other in memory: itself, where they do."""
    return matrix if matrix.is_contiguous() else in_huge_pages(matrix)


def transposed_in_memory(matrix: Tensor) -> Tensor:
    """The same matrix, whose columns lie so instead."""
    return in_rows(matrix.t()).t()
