"""The JSON of facts/: a row of numbers, and an object that fits into a line, stay on one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def lines(value: Any, indent: int = 0) -> Iterator[str]:
    """JSON, in which a row of numbers and an object of little more than a line's length stay on one line."""
    inner, one_line = " " * (indent + 1), json.dumps(value, ensure_ascii=False)
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if isinstance(value, dict):
        flat = len(one_line) <= 110 and "\\" not in one_line and not any(map(holds_objects, parts))
    else:
        flat = not any(isinstance(part, (str, dict, list)) for part in parts)
    if flat or not parts:
        yield one_line
        return
    keys = (
        [f"{json.dumps(key, ensure_ascii=False)}: " for key in value] if isinstance(value, dict) else [""] * len(parts)
    )
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield opening
    for number, (key, part) in enumerate(zip(keys, parts, strict=True)):
        *before, last = lines(part, indent + 1)
        comma = "," if number < len(parts) - 1 else ""
        whole = [*before, last + comma]
        yield inner + key + whole[0]
        yield from whole[1:]
    yield " " * indent + closing


def holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(holds_objects, value)))


def as_text(content: Any) -> str:
    return "\n".join(lines(content)) + "\n"
