"""Weights of one byte: every row of a matrix is a float32 scale times whole numbers from -127 to 127.

Weight-only: activations, biases, norms and positions stay float32, and so does all arithmetic. The embedding, which is
the head, too, is quantised like the rest; of its scales each id has one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .model import GPT2, Conv1D
from .pages import empty_in_huge_pages

# Rows of a weight that are float numbers at a time, in a product and while they are rounded: never a whole matrix.
_ROWS = 256
_ROWS_ROUNDED = 64  # so few that the allocator gives them back


class Int8Linear(nn.Module):
    """y = x @ w + b for w of shape (in, out) as in `Conv1D`, kept as (out, in): what makes one number has one scale."""

    weight: Tensor  # (out, in), int8
    scale: Tensor  # (out,)
    bias: Tensor | None  # (out,)

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Quantise a weight of shape (out, in) and any floating-point dtype."""
        super().__init__()
        whole, scale = quantize_rows(weight)
        self.register_buffer("weight", whole)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([F.linear(x, rows.to(x.dtype)) for rows in self.weight.split(_ROWS)], dim=-1) * self.scale
        return y if self.bias is None else y + self.bias  # (..., out)


class Int8Embedding(Int8Linear):
    """The token embedding (V, C): ids are looked up, and as the head it multiplies."""

    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * self.scale[ids][..., None]  # (..., C)

    def head(self, x: Tensor) -> Tensor:
        return super().forward(x)  # (..., V)


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (out, in) -> whole numbers (out, in) int8 and scales (out,), with weight ≈ whole * scale.

    The largest number of a row becomes 127 or -127, and no number moves by more than half a scale.
    """
    whole = empty_in_huge_pages(weight.shape, torch.int8, weight.device)
    scale = torch.empty(len(weight), device=weight.device)
    # the only float numbers here
    portion = torch.empty(min(_ROWS_ROUNDED, len(weight)), weight.shape[1], device=weight.device)
    for start in range(0, len(weight), _ROWS_ROUNDED):
        rows = portion[: len(weight) - start].copy_(weight.detach()[start : start + _ROWS_ROUNDED])
        largest = torch.maximum(rows.amax(dim=1), -rows.amin(dim=1))
        scale[start : start + _ROWS_ROUNDED] = torch.where(largest > 0, largest / 127, 1.0)
        whole[start : start + _ROWS_ROUNDED] = rows.div_(scale[start : start + _ROWS_ROUNDED, None]).round_()
    return whole, scale


def quantize(model: GPT2) -> GPT2:
    """Replace every matrix of `model`, in place, one after the other. What stays becomes float32. -> the same model"""
    for module in list(model.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, Conv1D):
                setattr(module, name, Int8Linear(layer.weight.t(), layer.bias))
    model.wte = Int8Embedding(model.wte.weight)
    return model.float().train(model.training)  # new modules begin in train mode
