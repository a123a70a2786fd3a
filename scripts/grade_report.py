"""What grades look like: for a teacher, as tables with what is wrong below them; for a program, as JSON."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from decoding.legible import can_print, columns, padded, visible

from .examiner import State
from .grading import Grade
from .hand_ins import Topic
from .paint import Paint

VERSION = 1
_WIDTH = 80
_MARKS: dict[State, tuple[str, str]] = {
    "passed": ("✓", "+"),  # and for an output that cannot show it
    "not yet": ("✗", "x"),
    "not written": ("–", "-"),
    "missing": ("?", "?"),
    "time": ("T", "T"),
    "error": ("E", "E"),
    "not checked": ("·", "."),
}


def as_json(grades: Sequence[Grade]) -> str:
    files = [
        {
            "file": str(grade.path),
            "notebook": grade.topic.name if grade.topic else None,
            "problem": grade.problem,
            "passed": grade.passed,
            "total": len(grade.outcomes),
            "exercises": [outcome._asdict() for outcome in grade.outcomes],
            "stopped": [stopped._asdict() for stopped in grade.stopped],
        }
        for grade in grades
    ]
    return json.dumps({"version": VERSION, "files": files}, indent=1) + "\n"


def report(grades: Sequence[Grade], paint: Paint) -> str:
    """A table for each notebook, then what is wrong in each file, then the files that were not graded."""
    graded = [grade for grade in grades if grade.problem is None]
    labels = _labels([grade.path for grade in graded])
    parts: list[str] = []
    for topic in sorted({grade.topic.name: grade.topic for grade in graded if grade.topic}.values()):
        parts.append(_table(topic, [grade for grade in graded if grade.topic == topic], labels, paint))
    used = {outcome.state for grade in graded for outcome in grade.outcomes}
    if used:
        parts.append(paint.dim("  ".join(f"{_mark(state)} {state}" for state in _MARKS if state in used)))
    parts += [_details(grade, labels[grade.path], paint) for grade in graded if grade.passed < len(grade.outcomes)]
    problems = [_wrapped(f"{grade.path}: {grade.problem}", "  ") for grade in grades if grade.problem is not None]
    if problems:
        parts.append("\n".join([paint.bold("Not graded"), *problems]))
    return "\n\n".join(parts) + "\n"


def _table(topic: Topic, grades: Sequence[Grade], labels: dict[Path, str], paint: Paint) -> str:
    numbers = [exercise.number for exercise in topic.exercises]
    room = _WIDTH - len("  total") - sum(len(number) + 2 for number in numbers)
    width = min(room, max(columns(topic.title), *(columns(labels[grade.path]) + 2 for grade in grades)))
    lines = [paint.bold(padded(topic.title, width) + "".join(f"  {number}" for number in numbers) + "  total")]
    for grade in grades:
        marks = [
            f"  {_mark(outcome.state):^{len(number)}}" for number, outcome in zip(numbers, grade.outcomes, strict=True)
        ]
        total = f"{grade.passed}/{len(numbers)}"
        lines.append(padded(f"  {labels[grade.path]}", width) + "".join(marks) + f"  {total:>5}")
    return "\n".join(lines)


def _details(grade: Grade, label: str, paint: Paint) -> str:
    """What is wrong in one file."""
    lines = [paint.bold(label)]
    for outcome in grade.outcomes:
        if outcome.message is not None:
            lines.append(_wrapped(f"{outcome.number} {outcome.function}: {outcome.state}. {outcome.message}", "  "))
        if outcome.hint is not None:
            lines.append(_wrapped(f"Hint: {outcome.hint}", "      "))
    for state in _MARKS:
        rest = [f"{o.number} {o.function}" for o in grade.outcomes if o.state == state != "passed" and not o.message]
        if rest:
            lines.append(_wrapped(f"{state}: {', '.join(rest)}", "  "))
    others = [s for s in grade.stopped if not any(s.message in (o.message or "") for o in grade.outcomes)]
    lines += [paint.dim(_wrapped(f"code cell {s.cell}: {s.message}", "  ")) for s in others[:3]]
    if len(others) > 3:
        lines.append(paint.dim(f"  and {len(others) - 3} more code cells stopped"))
    return "\n".join(lines)


def _mark(state: State) -> str:
    pretty, plain = _MARKS[state]
    return pretty if can_print("✓✗–·") else plain


def _labels(paths: Sequence[Path]) -> dict[Path, str]:
    """The paths without the folder that they share."""
    try:
        shared = os.path.commonpath([path.parent for path in paths])
        return {path: visible(str(path.relative_to(shared))) for path in paths}
    except ValueError:  # relative ones beside absolute ones, several drives, or no paths at all
        return {path: visible(str(path)) for path in paths}


def _wrapped(text: str, indent: str) -> str:
    """A few lines at most, whatever a pupil's error may say."""
    text = visible(" ".join(text.split()))
    lines = textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent="      ")
    return "\n".join(lines[:5] + ["      …"] * (len(lines) > 5))
