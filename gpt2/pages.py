"""Memory in huge pages, for matrices that every step reads from end to end.

A processor remembers where some thousand pages lie. Ordinary ones have 4 KiB, and even a small GPT-2 has a hundred
thousand of them: each has to be looked up on the way, and what else the processor knew by heart is forgotten. Of 2 MiB
each, a few hundred hold the whole network.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

_HUGE = 2 << 20  # bytes; of x86 and of most ARM systems


def in_huge_pages(tensor: Tensor) -> Tensor:
    """A copy, in rows one after the other."""
    return empty_in_huge_pages(tensor.shape, tensor.dtype, tensor.device).copy_(tensor.detach())


def empty_in_huge_pages(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """As `torch.empty`; on the CPU in huge pages, where Linux has them and as far as they fill up.

    It is a wish: a system whose /sys/kernel/mm/transparent_hugepage/enabled says `never` gives ordinary pages.
    """
    size = math.prod(shape) * dtype.itemsize
    filled = size // _HUGE * _HUGE  # the rest lies in ordinary pages, so that nothing is wasted
    if not filled or device.type != "cpu" or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    memory = mmap.mmap(-1, size + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # what is not touched costs none
    start = -torch.frombuffer(memory, dtype=torch.uint8).data_ptr() % _HUGE
    with suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE, start, filled)
    return torch.frombuffer(memory, dtype=dtype, offset=start, count=math.prod(shape)).view(tuple(shape))
