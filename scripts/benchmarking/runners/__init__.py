"""One file for each program: load a model, and continue prompts greedily.

Only what a program needs is imported with it, so that its start is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

_MODULES = {
    "eager": "ours",
    "compiled": "ours",
    "transformers": "with_transformers",
    "ctranslate2": "with_ctranslate2",
    "llama.cpp": "with_llama_cpp",
}


class Runner(Protocol):
    """A loaded model."""

    def generate(self, prompts: Sequence[Sequence[int]], new_ids: int) -> list[list[int]]:
        """The ids that follow each of the prompts, which are equally long: the likeliest each time; none is an end."""


class Maker(Protocol):
    def __call__(self, folder: Path, kind: str, weights: str, threads: int) -> Runner: ...


def maker(kind: str) -> Maker:
    """What loads a model of this kind; its packages are imported now."""
    found: Maker = import_module(f"{__name__}.{_MODULES[kind]}").load
    return found
