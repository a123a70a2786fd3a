"""The training log: one JSON object a step, on a line of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scripts.training.files import write_atomically


class Log:
    """Appends to a file; lines after step `done` are from steps that were lost, and go."""

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        if path.exists():
            kept = [line for line in path.read_bytes().splitlines(keepends=True) if _step(line) <= done]
            write_atomically(path, b"".join(kept))

    def append(self, **record: Any) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(record) + "\n")
        except OSError as error:
            raise OSError(f"{self.path} cannot be written: {error.strerror or error}") from error


def _step(line: bytes) -> float:
    """The step that a line tells of; one that was cut off belongs to no step that counts."""
    try:
        return float(json.loads(line)["step"]) if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")
