"""step.cpp -> a shared library for this processor, made once and kept on the disk."""

from __future__ import annotations

import ctypes
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

# Nothing about arithmetic is left to the compiler, or a row's logits would depend on the rows beside it.
_OPTIONS = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=off", "-fopenmp", "-shared", "-fPIC")

_log = logging.getLogger(__name__)


class CompilerError(RuntimeError):
    """There is no C++ compiler here, or it fails."""


def load_library(dtype: torch.dtype) -> ctypes.CDLL:
    """The functions of step.cpp for weights of this dtype. The first call on a machine compiles them, and says so.

    The library is kept in the folder `logits-to-text` of the user's caches (XDG_CACHE_HOME, else ~/.cache), under a
    name that depends on the source, the compiler and the processor, and may be deleted at any time. CXX names another
    compiler than g++, c++ or clang++. Raises CompilerError, in words, where that fails.
    """
    if dtype not in TYPES:
        known = ", ".join(map(_name, TYPES))
        raise CompilerError(f"they are for weights of {known}, and these are {_name(dtype)}")
    weight, cached = TYPES[dtype]
    command = [*find_compiler(), *_OPTIONS, f"-DWEIGHT={weight}", f"-DCACHED={cached}"]
    try:
        path = _cache() / f"step-{_name(dtype)}-{_key(command)}.so"
    except (OSError, RuntimeError) as error:  # a compiler that does not start, a user without a home
        raise CompilerError(str(error)) from error
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        pass  # not there yet, or no library
    try:
        _compile(command, path, _name(dtype))
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilerError(f"{path} cannot be made or loaded: {error.strerror or error}") from error


def _compile(command: list[str], path: Path, name: str) -> None:
    _log.warning("compiling GPT-2's steps in %s for this processor, once: some 20 seconds", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # nobody meets half a file under the name
        made = Path(folder) / path.name
        done = subprocess.run([*command, str(SOURCE), "-o", str(made)], capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            said = next((line for line in lines if "error" in line), lines[-1])
            raise CompilerError(f"{command[0]} could not compile {SOURCE.name}: {said}")
        with made.open("rb") as written:
            os.fsync(written.fileno())  # half a library under the name would end every later process
        made.replace(path)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def find_compiler() -> list[str]:
    """The command that compiles C++ here: what CXX names, else the first that is there. Raises CompilerError."""
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
