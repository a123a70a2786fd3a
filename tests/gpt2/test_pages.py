"""Huge pages: the same tensors, in other memory."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest
import torch

from gpt2.layout import laid_out
from gpt2.pages import empty_in_huge_pages, in_huge_pages

CPU = torch.device("cpu")
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
MIB = 1 << 20


def mapping_of(tensor: torch.Tensor) -> tuple[int, list[str]]:
    """How many bytes the mapping has that the tensor begins in, and its flags: Linux's own account."""
    mappings = Path("/proc/self/smaps").read_text(encoding="utf-8")
    for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", mappings, flags=re.MULTILINE)[1:]:
        start, end = (int(number, 16) for number in mapping.split(" ", 1)[0].split("-"))
        if start <= tensor.data_ptr() < end:
            flags = re.search(r"^VmFlags: (.*)$", mapping, re.MULTILINE)
            return end - start, flags[1].split() if flags else []
    raise AssertionError("the tensor lies in no mapping")


@pytest.mark.skipif(not ENABLED.exists(), reason="this system has no huge pages")
def test_huge_pages_are_asked_for_as_far_as_they_fill_up() -> None:
    tensor = empty_in_huge_pages((5, MIB), torch.int8, CPU).fill_(1)  # 5 MiB: two huge pages, and some of 4 KiB
    assert tensor.data_ptr() % (2 * MIB) == 0
    size, flags = mapping_of(tensor)
    assert size == 4 * MIB and "hg" in flags
    assert "hg" not in mapping_of(tensor[4])[1]
    assert "hg" not in mapping_of(torch.ones(5 * MIB))[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("shape", [(0,), (3, 5), (700, 1000), (1500, 2000)])
def test_shapes_and_values_are_those_of_any_tensor(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    source = torch.randint(-100, 100, shape).to(dtype)
    copy = in_huge_pages(source)
    assert torch.equal(copy, source) and copy.dtype == dtype and copy.is_contiguous()
    assert copy.data_ptr() != source.data_ptr() or not source.numel()
    assert copy.untyped_storage().nbytes() == source.untyped_storage().nbytes()  # torch.save writes all of a storage
    if len(shape) == 2:
        assert torch.equal(in_huge_pages(source.t()), source.t()) and in_huge_pages(source.t()).is_contiguous()


def test_the_memory_stays_as_long_as_somebody_looks_at_it() -> None:
    row = in_huge_pages(torch.ones(3, MIB))[1]
    others = [in_huge_pages(torch.zeros(3, MIB)) for _ in range(3)]
    assert row.sum() == MIB and len(others) == 3


def test_other_systems_and_kernels_give_ordinary_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 1 << 20, raising=False)  # unknown: the kernel refuses
    assert in_huge_pages(torch.ones(3, MIB)).sum() == 3 * MIB
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
    assert in_huge_pages(torch.ones(3, MIB)).sum() == 3 * MIB


def test_the_head_of_half_precision_moves_there() -> None:
    head = torch.ones(2048, 1024, dtype=torch.bfloat16)
    moved = laid_out("wte.weight", head)
    assert moved.is_contiguous() and moved.data_ptr() != head.data_ptr() and torch.equal(moved, head)
