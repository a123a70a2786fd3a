"""The topics of the notebooks, in their order, and the checks of each."""

from __future__ import annotations

import importlib
from pathlib import Path

from checks.checking import Check

TOPICS = [path.stem[3:] for path in sorted((Path(__file__).parents[2] / "notebooks" / "src").glob("[0-9]*.py"))]


def checks_of(topic: str) -> list[Check]:
    return [value for value in vars(importlib.import_module(f"checks.{topic}")).values() if isinstance(value, Check)]
