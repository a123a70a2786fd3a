"""What a check is told, and what it finds."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gpt2 import PublishedModel

ROOT = Path(__file__).resolve().parents[2]
OK, NOTE, PROBLEM = "ok", "note", "problem"
NEEDED = ("torch", "tiktoken", "safetensors")  # by the first command, the bundled model; the others make a note


class Finding(NamedTuple):
    """One line of the page: a mark, a name, what was found, and what to do about it."""

    name: str
    mark: str
    text: str
    advice: str = ""


@dataclass
class Machine:
    """What was asked for, and what earlier checks found out for later ones."""

    network: bool = True
    hash: bool = False
    unusable: set[str] = field(default_factory=set)  # packages
    runs: bool = False  # the bundled model does
    reached: bool | None = None  # the Hub; None where it was not asked
    can_download: bool = True  # the Hub's cache can be written
    here: list[str] = field(default_factory=list)  # published models that can be loaded without a download
    blocked: set[str] = field(default_factory=set)  # those that cannot, because of what GPT2_WEIGHTS names


def published_models() -> dict[str, PublishedModel]:
    """The table of gpt2/config.py, which needs nothing but Python, also where the package `gpt2` cannot be imported."""
    if "gpt2" in sys.modules:
        from gpt2 import PUBLISHED

        return PUBLISHED
    name = "_gpt2_config"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "gpt2" / "config.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look there for the module of a class
        spec.loader.exec_module(module)
    models: dict[str, PublishedModel] = sys.modules[name].PUBLISHED
    return models
