"""The product of a few rows and a large matrix, in which every thread reads memory.

A product of many rows is arithmetic, which MKL, the library behind PyTorch on most x86 processors, shares out to all
threads. That of one row, or a few, is mostly a wait for the matrix to come from memory, and this it leaves nearly all
to one thread. A batch of products it does side by side.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_FEW = 32  # rows; with 64 the usual product is about as fast
_FOR_A_THREAD = 2  # parts, which it reads a little faster than one


def product(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ matrix + bias, of (..., in), (in, out) and (out,) -> (..., out).

    For a few rows in float32 on the CPU, where the matrix lies row after row in memory, it is cut into parts for the
    threads, each one piece of memory. A part is multiplied by the inputs that meet it, and the product is their sum.
    With another number of threads, sums are added in another order.
    """
    parts = _parts(x, matrix)
    if parts == 1:
        return F.linear(x, matrix.t(), bias)
    n_in, n_out = matrix.shape
    inputs = x.reshape(-1, parts, n_in // parts).transpose(0, 1)  # (parts, R, in / parts)
    matrices = matrix.view(parts, n_in // parts, n_out)
    y = torch.bmm(inputs, matrices).sum(dim=0).view(*x.shape[:-1], n_out)
    return y if bias is None else y + bias


def _parts(x: Tensor, matrix: Tensor) -> int:
    n_in, threads = matrix.shape[0], torch.get_num_threads()
    rows = x.numel() // n_in
    if threads == 1 or not 1 <= rows <= _FEW or matrix.dtype != torch.float32:
        return 1
    if not matrix.is_cpu or not matrix.is_contiguous() or not torch.backends.mkl.is_available():
        return 1
    most = min(_FOR_A_THREAD * threads, n_in // (4 * rows))  # so that what the parts give is a quarter of the matrix
    if most < 2:
        return 1
    return math.gcd(1 << most.bit_length() - 1, n_in)  # a power of two, by which GPT-2's widths can be divided
