"""step.cpp -> a shared library for this processor, made once and kept on the disk."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("step.cpp")
TYPES = {  # the weights' dtype: what step.cpp calls it, and the type of the cached keys and values
    torch.float32: ("float", "float"),
    torch.bfloat16: ("BFloat16", "BFloat16"),
    torch.float16: ("Float16", "Float16"),
    torch.int8: ("int8_t", "Float16"),
}

# Sums of products may be fused, and nothing else about arithmetic is loosened.
_OPTIONS = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast", "-fopenmp", "-shared", "-fPIC")

_log = logging.getLogger(__name__)


class CompilerError(RuntimeError):
    """There is no C++ compiler here, or it fails."""


def compiled_library(dtype: torch.dtype) -> Path:
    """The library for weights of this dtype. The first call on a machine compiles it, says so, and takes seconds.

    It is kept in the folder `logits-to-text` of the user's caches (XDG_CACHE_HOME, else ~/.cache), under a name that
    depends on the source, the compiler and the processor, and may be deleted at any time. CXX names another compiler
    than g++, c++ or clang++. Raises CompilerError, in words, where that fails.
    """
    weight, cached = TYPES[dtype]
    compiler = _compiler()
    command = [*compiler, *_OPTIONS, f"-DWEIGHT={weight}", f"-DCACHED={cached}"]
    library = _cache() / f"step-{str(dtype).removeprefix('torch.')}-{_key(command)}.so"
    if library.exists():
        return library
    _log.warning(
        "compiling GPT-2's steps in %s for this processor; this happens once", str(dtype).removeprefix("torch.")
    )
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:  # nobody meets half a file under the name
            made = Path(folder) / library.name
            subprocess.run([*command, str(SOURCE), "-o", str(made)], check=True, capture_output=True, text=True)
            made.replace(library)
    except subprocess.CalledProcessError as error:
        said = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr.strip()[-200:])
        raise CompilerError(f"{compiler[0]} could not compile {SOURCE.name}: {said}") from error
    except OSError as error:
        raise CompilerError(f"the compiled steps cannot be kept in {library.parent}: {error.strerror}") from error
    return library


def _compiler() -> list[str]:
    asked = os.environ.get("CXX", "").split()
    found = [command for command in (asked, ["g++"], ["c++"], ["clang++"]) if command and shutil.which(command[0])]
    if asked and found[:1] != [asked]:
        raise CompilerError(f"CXX names {asked[0]!r}, which is not here")
    if not found:
        raise CompilerError("there is no C++ compiler here: install g++ or clang++")
    return found[0]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "logits-to-text"


def _key(command: list[str]) -> str:
    """What the library depends on: the source, the compiler and what it is told, the processor."""
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=False).stdout
    parts = (SOURCE.read_text(encoding="utf-8"), *command, version, platform.machine(), _instructions())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _instructions() -> str:
    """What the processor can do, since -march=native uses all of it and a home folder may serve several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
