#!/usr/bin/env python3
"""Grade pupils' notebooks: which exercises are solved, and what is wrong with the others.

    python3 scripts/in_venv.py --extra notebooks scripts/grade.py hand_ins/*.ipynb
    python3 scripts/in_venv.py --extra notebooks scripts/grade.py *.ipynb --json grades.json

THIS EXECUTES WHAT THE PUPILS HAVE WRITTEN, with your rights: a cell with `!rm -rf` deletes
your files. Grade on a machine or in a container that holds nothing secret and nothing you
need. The hand-ins themselves are only read.

Which notebook a file is a copy of is told by its exercises and functions, never by its name,
tags or cell ids. Its cells are executed in order, in a kernel and a temporary folder of their
own; an error does not stop it, and the pupil's own check lines are left out. Then this
checkout's checks, imported anew, try the pupil's functions. Where a function is defined
twice, the last definition counts. The states:

    passed        the check accepts the function
    not yet       it finds a mistake, which is shown
    not written   the stub is still there
    missing       there is no function of that name
    time          the function, or the cell that defines it, took longer than the limit
    error         the cell that defines it, or the check, could not be executed
    not checked   the kernel had died before (os._exit, no memory)

Exit code: 0 every exercise of every file passes; 1 some do not; 2 a file could not be graded
(the others are graded nevertheless).

--json writes this; keys may be added, but what these mean changes with the version only:

    {"version": 1, "files": [{
      "file": the path as given, "notebook": "01_logits_to_text", or null if not recognised,
      "problem": why it was not graded, or null,
      "passed": how many exercises, "total": of how many,
      "exercises": [{"number": "1.1", "function": "softmax", "state": one of the above,
                     "message": what is wrong, or null, "hint": what to do, or null}],
      "stopped": [{"cell": number among the code cells, from 1,
                   "state": "time" or "error", "message": how it ended}]}]}
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import textwrap
import threading
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nbformat
from nbformat import NotebookNode

from scripts import grading
from scripts.console import Paint
from scripts.grading import InterruptedGradingError, Limits, NoKernelError, Outcome, Stopped
from scripts.notebooks import SOURCES, Exercise, SourceError, exercises, read_source, sources

VERSION = 1
_WIDTH = 80
_MARKS = {
    grading.PASSED: ("✓", "+"),  # and for an output that cannot show it
    grading.NOT_YET: ("✗", "x"),
    grading.NOT_WRITTEN: ("–", "-"),
    grading.MISSING: ("?", "?"),
    grading.TIME: ("T", "T"),
    grading.ERROR: ("E", "E"),
    grading.NOT_CHECKED: ("·", "."),
}
_HEADING = re.compile(r"^\W*Exercise (\d+\.\d+)\b", re.MULTILINE)
_STUB = re.compile(r"NotImplementedError\(\s*[\"']Exercise (\d+\.\d+)")
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
    """A file that a pupil handed in: what is needed to grade it."""

    path: Path
    topic: Topic
    cells: list[str]  # the text of its code cells


class Grade(NamedTuple):
    """What became of a file; `problem` where it was not graded."""

    path: Path
    topic: Topic | None = None
    problem: str | None = None
    outcomes: Sequence[Outcome] = ()
    stopped: Sequence[Stopped] = ()

    @property
    def passed(self) -> int:
        return sum(outcome.state == grading.PASSED for outcome in self.outcomes)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    problem = _problem_with_target(options.json)
    if problem is not None:
        return _complain(problem)
    try:
        topics = read_topics()
    except (SourceError, OSError) as error:
        return _complain(str(error))
    paths = _chosen(options.files)
    stop = threading.Event()
    try:
        grades = grade_all(paths, topics, Limits(options.seconds, options.file_seconds), options.jobs, stop)
    except KeyboardInterrupt:
        _say("interrupted; nothing is written")
        return 130
    if options.json == "-":
        _write(as_json(grades))
        for grade in grades:
            if grade.problem is not None:
                _say(f"{_printable(str(grade.path))}: {grade.problem}")
    else:
        _write(report(grades, Paint(sys.stdout)))
        if options.json is not None:
            try:
                Path(options.json).write_text(as_json(grades), encoding="utf-8")
            except OSError as error:
                return _complain(f"{options.json} cannot be written: {error.strerror}")
    if not grades or any(grade.problem is not None for grade in grades):
        return 2
    return 0 if all(grade.passed == len(grade.outcomes) for grade in grades) else 1


# -- what a file is ---------------------------------------------------------------------------------------------------


def read_topics() -> list[Topic]:
    """The notebooks that have exercises, from their sources."""
    topics: list[Topic] = []
    for source in sources():
        notebook = read_source(source)
        found = exercises(notebook, source.name)
        if found:
            title = notebook.cells[0].source.split("\n")[0].lstrip("# ")
            topics.append(Topic(source.stem, title, source.stem[3:], found))
    if not topics:
        raise SourceError(
            f"there are no sources in {SOURCES.parent.name}/{SOURCES.name}, which say what the exercises are. "
            "A handout has none: grade in the full checkout that it was made from"
        )
    return topics


def read_hand_in(path: Path, topics: Sequence[Topic]) -> HandIn:
    """The file's code and what it is a copy of. Raises UngradableError."""
    cells = read_cells(path)
    code = [_source(cell) for cell in cells if cell.get("cell_type") == "code"]
    prose = [_source(cell) for cell in cells if cell.get("cell_type") == "markdown"]
    if not any(text.strip() for text in [*code, *prose]):
        raise UngradableError("the notebook is empty")
    return HandIn(path, recognise(code, prose, topics), code)


def read_cells(path: Path) -> list[NotebookNode]:
    """The cells of a notebook of any format, however it was saved. Raises UngradableError."""
    if path.is_dir():
        raise UngradableError(f"it is a folder; name the notebooks in it: {_printable(str(path))}{os.sep}*.ipynb")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UngradableError("there is no such file") from None
    except OSError as error:
        raise UngradableError(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UngradableError("it is not a notebook: its content is not text in UTF-8") from None
    if not text.strip():
        raise UngradableError("the file is empty")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise UngradableError("it is not a notebook: its content is not JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("nbformat"), int):
        raise UngradableError("it is JSON, but not a notebook")
    try:
        if content["nbformat"] != 4:
            content = nbformat.convert(nbformat.reader.reads(text), 4)
        cells = [NotebookNode(cell) for cell in content["cells"] if isinstance(cell, dict)]
    except Exception as error:  # nbformat raises all sorts of things for what is no notebook
        raise UngradableError(f"it is a damaged notebook, or of an unknown format ({type(error).__name__})") from None
    return cells


def recognise(cells: Sequence[str], prose: Sequence[str], topics: Sequence[Topic]) -> Topic:
    """The notebook that these cells are a copy of: the one most of whose exercises and functions they hold."""
    numbers = {number for text in prose for number in _HEADING.findall(text)}
    numbers |= {number for text in cells for number in _STUB.findall(text)}
    functions = {name for text in cells for name in _FUNCTION.findall(text)}
    modules = {name for text in cells for name in _IMPORT.findall(text)}

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


def _source(cell: NotebookNode) -> str:
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _chosen(paths: Sequence[Path]) -> list[Path]:
    """Each file once, and without the copies that Jupyter keeps for itself."""
    chosen: dict[Path, Path] = {}
    for path in paths:
        resolved = Path(os.path.realpath(path))
        if ".ipynb_checkpoints" in resolved.parts:
            _say(f"{_printable(str(path))}: left out; it is Jupyter's own copy of an earlier state")
        elif resolved in chosen:
            _say(f"{_printable(str(path))}: named more than once, graded once")
        else:
            chosen[resolved] = path
    return list(chosen.values())


# -- grading ----------------------------------------------------------------------------------------------------------


def grade_all(
    paths: Sequence[Path], topics: Sequence[Topic], limits: Limits, jobs: int, stop: threading.Event
) -> list[Grade]:
    """The grades of these files, in their order. Ctrl-C ends all kernels first."""
    progress = _Progress(len(paths))
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = [pool.submit(grade_one, path, topics, limits, stop) for path in paths]
        try:
            for _ in as_completed(futures):
                progress.step()
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            progress.end()
    return [future.result() for future in futures]


def grade_one(path: Path, topics: Sequence[Topic], limits: Limits, stop: threading.Event) -> Grade:
    topic: Topic | None = None
    try:
        hand_in = read_hand_in(path, topics)
        topic = hand_in.topic
        outcomes, stopped = grading.grade(hand_in.cells, topic.exercises, topic.module, limits, stop)
    except (UngradableError, NoKernelError) as error:
        return Grade(path, topic, problem=str(error))
    except InterruptedGradingError:
        return Grade(path, topic, problem="interrupted")
    return Grade(path, topic, None, outcomes, stopped)


class _Progress:
    """A line on a terminal that says how far it is."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total
        self._on = sys.stderr.isatty() and total > 0
        self._show()

    def step(self) -> None:
        self._done += 1
        self._show()

    def _show(self) -> None:
        if self._on:
            sys.stderr.write(f"\r{self._done} of {self._total} graded")
            sys.stderr.flush()

    def end(self) -> None:
        if self._on:
            sys.stderr.write("\r" + " " * 40 + "\r")


# -- what is told -----------------------------------------------------------------------------------------------------


def as_json(grades: Sequence[Grade]) -> str:
    files: list[dict[str, Any]] = [
        {
            "file": os.fspath(grade.path),
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
    graded = [grade for grade in grades if grade.problem is None and grade.topic is not None]
    labels = _labels([grade.path for grade in graded])
    parts: list[str] = []
    for name in sorted({grade.topic.name for grade in graded if grade.topic}):
        parts.append(_table([grade for grade in graded if grade.topic and grade.topic.name == name], labels, paint))
    used = {outcome.state for grade in graded for outcome in grade.outcomes}
    if used:
        parts.append(paint.dim(_legend(used)))
    parts += [_details(grade, labels[grade.path], paint) for grade in graded if grade.passed < len(grade.outcomes)]
    ungraded = [grade for grade in grades if grade.problem is not None]
    if ungraded:
        lines = [_wrapped(f"{grade.path}: {grade.problem}", "  ", "    ") for grade in ungraded]
        parts.append("\n".join([paint.bold("Not graded"), *lines]))
    return "\n\n".join(parts) + "\n" if parts else ""


def _table(grades: Sequence[Grade], labels: dict[Path, str], paint: Paint) -> str:
    topic = grades[0].topic
    assert topic is not None
    numbers = [exercise.number for exercise in topic.exercises]
    room = _WIDTH - 7 - sum(len(number) + 2 for number in numbers)
    width = min(room, max([_columns(topic.title), *(_columns(labels[grade.path]) + 2 for grade in grades)]))
    head = _fitted(topic.title, width) + "".join(f"  {number}" for number in numbers) + "  total"
    lines = [paint.bold(head)]
    for grade in grades:
        cells = [
            " " * 2 + _mark(outcome.state).center(len(number))
            for number, outcome in zip(numbers, grade.outcomes, strict=True)
        ]
        total = f"{grade.passed}/{len(numbers)}"
        lines.append(_fitted("  " + labels[grade.path], width) + "".join(cells) + f"  {total:>5}")
    return "\n".join(lines)


def _legend(used: set[str]) -> str:
    entries = [
        f"{_mark(state)} {state}".replace(" ", "\N{NO-BREAK SPACE}") for state in grading.STATES if state in used
    ]
    return "\n".join(textwrap.wrap("   ".join(entries), _WIDTH)).replace("\N{NO-BREAK SPACE}", " ")


def _details(grade: Grade, label: str, paint: Paint) -> str:
    """What is wrong in one file."""
    lines = [paint.bold(label)]
    for outcome in grade.outcomes:
        if outcome.state in (grading.PASSED, grading.NOT_WRITTEN):
            continue
        told = f"{outcome.number} {outcome.function}: {outcome.state}"
        if outcome.message is not None:
            told += f". {outcome.message}"
        lines.append(_wrapped(told, "  ", "      "))
        if outcome.hint is not None:
            lines.append(_wrapped(f"Hint: {outcome.hint}", "      ", "      "))
    stubs = [f"{o.number} {o.function}" for o in grade.outcomes if o.state == grading.NOT_WRITTEN]
    if stubs:
        lines.append(_wrapped(f"not written: {', '.join(stubs)}", "  ", "      "))
    others = [s for s in grade.stopped if not any(s.message in (o.message or "") for o in grade.outcomes)]
    lines += [paint.dim(_wrapped(f"code cell {s.cell}: {s.message}", "  ", "      ")) for s in others[:3]]
    if len(others) > 3:
        lines.append(paint.dim(f"  and {len(others) - 3} more code cells stopped"))
    return "\n".join(lines)


def _labels(paths: Sequence[Path]) -> dict[Path, str]:
    """The paths without the folder that they share."""
    if not paths:
        return {}
    names = {path: str(path) for path in paths}
    shared = os.path.commonpath([os.path.abspath(path.parent) for path in paths]) if _one_drive(paths) else None  # noqa: PTH100
    if shared is not None:
        names = {path: os.path.relpath(path, shared) for path in paths}
    return {path: _printable(name) for path, name in names.items()}


def _one_drive(paths: Sequence[Path]) -> bool:
    return len({path.absolute().drive for path in paths}) == 1


def _mark(state: str) -> str:
    pretty, plain = _MARKS[state]
    try:
        "".join(mark for mark, _ in _MARKS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return plain
    return pretty


def _wrapped(text: str, first: str, then: str) -> str:
    """A few lines at most, whatever a pupil's error may say."""
    lines = textwrap.wrap(_printable(text), _WIDTH, initial_indent=first, subsequent_indent=then)
    return "\n".join(lines[:5] + [then + "…"] * (len(lines) > 5))


def _printable(text: str) -> str:
    """The text without what a terminal would obey: it comes from pupils."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return "".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", text))


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


def _fitted(text: str, width: int) -> str:
    """The text in exactly so many columns: filled, or cut in its middle, as both ends of a path tell something."""
    if _columns(text) > width:
        start, end = text[: len(text) // 2], text[len(text) // 2 :]
        while _columns(start) + 1 + _columns(end) > width:
            if _columns(start) > _columns(end):
                start = start[:-1]
            else:
                end = end[1:]
        text = f"{start}…{end}"
    return text + " " * (width - _columns(text))


def _write(text: str) -> None:
    """To standard output, also where that knows fewer characters."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


# -- the command line -------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a notebook that a pupil handed in")
    parser.add_argument("--json", metavar="FILE", help="write the grades here, too; - for JSON instead of the table")
    parser.add_argument("--jobs", type=_count, default=2, metavar="N", help="files graded at a time; default: 2")
    parser.add_argument(
        "--seconds", type=_seconds, default=60.0, metavar="N", help="the most for a cell or a check; default: 60"
    )
    parser.add_argument(
        "--file-seconds", type=_seconds, default=300.0, metavar="N", help="the most for a whole file; default: 300"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number, 1 or more, is needed; got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0 is needed; got {text!r}")
    return seconds


def _problem_with_target(target: str | None) -> str | None:
    """Why grades cannot be written there; found out before the long work."""
    if target is None or target == "-":
        return None
    path = Path(target)
    if path.suffix == ".ipynb":
        return f"--json {target}: that is a notebook, and it would be overwritten; name a file that ends in .json"
    if path.is_dir() or not path.absolute().parent.is_dir():
        return f"--json {target}: there is no folder for that file" if not path.is_dir() else f"{target} is a folder"
    return None


def _say(message: str) -> None:
    print(f"grade.py: {message}", file=sys.stderr, flush=True)


def _complain(message: str) -> int:
    _say(message)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
