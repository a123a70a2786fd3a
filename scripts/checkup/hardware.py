"""Processors and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scripts.weights.published import in_units

from .finding import NOTE, OK, PROBLEM, Finding, Machine, published_models
from .packages import mend_advice
from .reachability import first_line


def check_device(machine: Machine) -> Iterator[Finding]:
    if "torch" in machine.unusable:
        yield Finding("device", NOTE, "not checked, because torch cannot be used")
        return
    import torch

    there, used = os.cpu_count() or 1, torch.get_num_threads()
    count = f"{there} processor{'s' * (there != 1)}"
    yield _product("CPU", "cpu", count if used == there else f"{count}, torch uses {used}")
    if torch.cuda.is_available():
        yield _product("CUDA", "cuda", torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        yield _product("MPS", "mps", "Apple's graphics processor")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        yield Finding("graphics", OK, "neither CUDA nor MPS here; the CPU will do")


def check_compiler(machine: Machine) -> Iterator[Finding]:
    if machine.unusable & {"torch", "safetensors"}:
        return  # said already, and the package gpt2 cannot be imported
    from gpt2.native import CompilerError, find_compiler

    try:
        yield Finding("compiler", OK, f"{' '.join(find_compiler())}; use it with --compile")
    except CompilerError as error:
        yield Finding(
            "compiler", NOTE, f"{error}; without one, --compile changes nothing", "install one, or leave --compile out"
        )


def _product(name: str, device: str, what: str) -> Finding:
    """Whether a product of two small matrices comes out right there."""
    import torch

    try:
        a = torch.arange(64.0).reshape(8, 8)  # whole numbers: exact on every device
        right = torch.equal((a.to(device) @ a.to(device)).cpu(), (a.double() @ a.double()).float())
        why = "" if right else "a product of two small matrices comes out wrong"
    except Exception as error:
        why = f"a product of two small matrices fails: {first_line(error)}"
    if not why:
        how = "" if device == "cpu" else f"; use it with --device {device}"
        return Finding(name, OK, f"{what}; arithmetic checked{how}")
    if device == "cpu":
        return Finding(name, PROBLEM, why, mend_advice("torch"))
    return Finding(name, NOTE, f"is there, but {why}", "leave --device out")


def check_memory(machine: Machine) -> Iterator[Finding]:
    n_bytes = memory()
    if n_bytes is None:
        return
    models = published_models()
    too_large = [name for name, model in models.items() if model.n_bytes > 0.8 * n_bytes]
    if too_large:
        text = f"{in_units(n_bytes)}, too little for {', '.join(too_large)} in float32"
        yield Finding("memory", NOTE, text, "load them with --dtype bfloat16, or take a smaller one")
    else:
        yield Finding("memory", OK, f"{in_units(n_bytes)}, enough for each of the published models")


def memory() -> int | None:
    """Bytes of memory of this machine, or of the container it is; None where Python cannot tell."""
    try:
        n_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        return min(n_bytes, int(limit))
    except (OSError, ValueError):  # no container, or "max"
        return n_bytes
