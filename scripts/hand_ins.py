"""What a file that was handed in is: its code, and which of the notebooks it is a copy of."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .notebooks import Exercise, SourceError, exercises, read_source, sources

_NUMBER = re.compile(r"(?:^\W*|NotImplementedError\(\s*[\"'])Exercise (\d+\.\d+)\b", re.MULTILINE)  # headings, stubs
_FUNCTION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*from checks import (\w+)", re.MULTILINE)


class UngradableError(ValueError):
    """A file that cannot be graded, with the reason in a sentence."""


class Topic(NamedTuple):
    """A notebook as its source has it: what a copy of it should hold."""

    name: str  # 01_logits_to_text
    title: str
    module: str  # of its checks
    exercises: list[Exercise]


class HandIn(NamedTuple):
    """What is graded of a file."""

    topic: Topic
    cells: list[str]  # the text of its code cells


def read_topics() -> list[Topic]:
    """The notebooks that have exercises, from their sources. Raises SourceError."""
    notebooks = [(path, read_source(path)) for path in sources()]
    topics = [
        Topic(path.stem, notebook.cells[0].source.split("\n")[0].lstrip("# "), path.stem[3:], found)
        for path, notebook in notebooks
        if (found := exercises(notebook, path.name))
    ]
    if not topics:
        raise SourceError(
            "there are no sources in notebooks/src, which say what the exercises are. A handout has none: grade in the "
            "full checkout that it was made from"
        )
    return topics


def read_hand_in(path: Path, topics: Sequence[Topic]) -> HandIn:
    """Read a notebook of format 4, whoever saved it. Raises UngradableError."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
        json.dumps(content, ensure_ascii=False).encode()  # half a character may stand in JSON, but in no message
    except OSError as error:
        raise UngradableError(f"it cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UngradableError("it is empty, or no notebook: its content is not JSON") from None
    try:
        cells = [(cell["cell_type"], _source(cell)) for cell in content["cells"]]
    except (KeyError, TypeError):
        raise UngradableError("it is JSON, but no notebook, or a damaged one") from None
    topic = recognise("\n".join(text for _, text in cells), topics)
    return HandIn(topic, [text for kind, text in cells if kind == "code"])


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"]).replace("\r\n", "\n")  # a list of lines, or one text


def recognise(text: str, topics: Sequence[Topic]) -> Topic:
    """The notebook of which this is the text of a copy: the one most of whose exercises and functions it holds."""
    numbers, functions, modules = (set(sign.findall(text)) for sign in (_NUMBER, _FUNCTION, _IMPORT))

    def signs(topic: Topic) -> int:
        found = sum((exercise.number in numbers) + (exercise.function in functions) for exercise in topic.exercises)
        return found + (topic.module in modules) if found else 0

    most = max(map(signs, topics))
    if most == 0:
        known = ", ".join(topic.name[:2] for topic in topics)
        raise UngradableError(f"it holds no exercise of the notebooks that are here ({known})")
    best = [topic for topic in topics if signs(topic) == most]
    if len(best) > 1:
        raise UngradableError(f"it could be a copy of {' or of '.join(topic.name for topic in best)}")
    return best[0]
