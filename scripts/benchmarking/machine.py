"""Which machine it is, as far as it decides about speed."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_FLAGS = re.compile(r"avx2|avx512\w*|avx_vnni|f16c|fma|amx\w*|neon|asimd\w*|sve\w*|bf16|i8mm")
_PACKAGES = ("torch", "transformers", "ctranslate2", "llama-cpp-python")


def describe(threads: int, packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """What a reader has to know beside the figures, by name."""
    info = _cpu_info()
    name = info.get("model name") or platform.processor() or platform.machine()
    flags = [flag for flag in (info.get("flags") or info.get("Features") or "").split() if _FLAGS.fullmatch(flag)]
    return {
        "processor": f"{name}, {os.cpu_count()} processors, {threads} threads",
        "flags": " ".join(sorted(set(flags))) or "unknown",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{package} {there}" for package in packages if (there := _version(package))),
        "torch uses": torch.backends.cpu.get_cpu_capability(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_info() -> dict[str, str]:
    """The first processor's lines of Linux' /proc/cpuinfo; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
