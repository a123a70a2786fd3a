"""Two packages that never import each other, and imports that cost nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import decoding

ROOT = Path(__file__).parents[2]


def imported_by(source: str) -> set[str]:
    """The top-level packages that a module imports anywhere, functions and type checking included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package, stranger", [("decoding", "gpt2"), ("gpt2", "decoding")])
def test_the_packages_do_not_know_each_other(package: str, stranger: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) >= 5
    for file in files:
        imported = imported_by(file.read_text(encoding="utf-8"))
        assert stranger not in imported, f"{file} imports {stranger}"
        assert not imported & {"transformers", "scripts", "tests", "notebooks"}, f"{file} imports {imported}"


def test_an_import_anywhere_in_a_file_is_found() -> None:
    hidden = "def f():\n    if TYPE_CHECKING:\n        from gpt2.model import GPT2\n"
    assert imported_by(hidden) == {"gpt2"} and imported_by("import os, gpt2.hub as h") == {"os", "gpt2"}
    assert imported_by("from .gpt2 import x") == set()  # a neighbour of that name is none


def test_importing_decoding_imports_no_other_framework() -> None:
    program = "import sys, decoding; print(*sorted(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    modules = set(done.stdout.split())
    assert "torch" in modules and "decoding" in modules
    assert not modules & {"transformers", "matplotlib", "gpt2", "huggingface_hub", "safetensors", "requests"}


def test_everything_exported_exists_and_is_sorted() -> None:
    assert decoding.__all__ == sorted(decoding.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(hasattr(decoding, name) for name in decoding.__all__)
