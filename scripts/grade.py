#!/usr/bin/env python3
"""Grade pupils' notebooks: which exercises are solved, and what is wrong with the others.

    python3 scripts/in_venv.py --extra notebooks scripts/grade.py ada.ipynb bob.ipynb
    python3 scripts/in_venv.py --extra notebooks scripts/grade.py hand_ins --json grades.json

A folder stands for the notebooks in it.

THIS EXECUTES WHAT THE PUPILS HAVE WRITTEN, with your rights: a cell with `!rm -rf` deletes
your files. Grade on a machine or in a container that holds nothing secret and nothing you
need. The hand-ins themselves are only read.

Which notebook a file is a copy of is told by its exercises and functions, never by its name,
tags or cell ids. Its cells are executed in order, in a kernel and a temporary folder of their
own; an error does not stop it, and the pupil's own check lines are left out. Then this
checkout's checks, imported anew, try the pupil's functions. Where a function is defined
twice, the last definition counts. A file is graded once, and the copies that Jupyter keeps
in .ipynb_checkpoints are not. The states:

    passed        the check accepts the function
    not yet       it finds a mistake, which is shown
    not written   it raises NotImplementedError, as the stub does
    missing       there is no function of that name
    time          the function, or the cell that defines it, took longer than the limit
    error         the cell that defines it, or the check, could not be executed
    not checked   the kernel had died before (os._exit, no memory)

Exit code: 0 every exercise of every file passes; 1 some do not; 2 a file could not be graded
(the others are graded nevertheless), or none was.

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
import contextlib
import math
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

try:
    from decoding.legible import printable
    from scripts.console import write
    from scripts.grade_report import as_json, report
    from scripts.grading import Grade, Limits, grade
    from scripts.hand_ins import Topic, read_topics
    from scripts.notebooks import SourceError
    from scripts.paint import Paint
except ModuleNotFoundError as error:
    sys.exit(f"grade.py: {error.name} is missing; run this with `scripts/in_venv.py --extra notebooks`")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    files = [file for path in options.files for file in _notebooks_in(path)]
    chosen = {os.path.realpath(file): file for file in files}
    paths = [path for real, path in chosen.items() if ".ipynb_checkpoints" not in Path(real).parts]
    if not paths:
        return _complain("there is nothing to grade: no notebook, or only Jupyter's own copies in .ipynb_checkpoints")
    if options.json == "" or not Path(options.json or ".").absolute().parent.is_dir():
        return _complain(f"--json {options.json!r}: there is no folder for that file")
    if options.json and (options.json.lower().endswith(".ipynb") or os.path.realpath(options.json) in chosen):
        return _complain(f"--json {options.json} would overwrite a notebook; name a .json file")
    try:
        topics = read_topics()
    except SourceError as error:
        return _complain(str(error))
    grades = grade_all(paths, topics, Limits(options.seconds, options.file_seconds), math.ceil(options.jobs))
    write(as_json(grades) if options.json == "-" else printable(report(grades, Paint(sys.stdout))))
    if options.json and options.json != "-":
        try:
            Path(options.json).write_text(as_json(grades), encoding="utf-8", newline="\n")
        except OSError as error:
            return _complain(f"{options.json} cannot be written: {error.strerror}")
    if any(grade.problem is not None for grade in grades):
        return 2
    return 0 if all(grade.passed == len(grade.outcomes) for grade in grades) else 1


def _notebooks_in(path: Path) -> list[Path]:
    return sorted(path.glob("*.ipynb")) if os.path.isdir(path) else [path]  # noqa: PTH112  (never raises)


def grade_all(paths: Sequence[Path], topics: Sequence[Topic], limits: Limits, jobs: int) -> list[Grade]:
    """The grades of these files, in their order. Ctrl-C ends all kernels first."""
    stop = threading.Event()
    grades: list[Grade] = []
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            for done in pool.map(lambda path: grade(path, topics, limits, stop), paths):
                grades.append(done)
                if sys.stderr.isatty():
                    end = "\r" if len(grades) < len(paths) else "\n"
                    print(f"{len(grades)} of {len(paths)} graded", end=end, file=sys.stderr, flush=True)
        finally:
            stop.set()
    return grades


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="a notebook that a pupil handed in, or a folder of such")
    add("--json", metavar="FILE", help="write the grades here, too; - for JSON instead of the table")
    add("--jobs", type=_positive, default=2, metavar="N", help="files graded at a time; default: 2")
    add("--seconds", type=_positive, default=60.0, metavar="N", help="the most for a cell or a check; default: 60")
    add("--file-seconds", type=_positive, default=300.0, metavar="N", help="the most for a whole file; default: 300")
    return parser


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1e6:
            return float(text)
    raise argparse.ArgumentTypeError(f"a number above 0 is needed; got {text!r}")


def _complain(message: str) -> int:
    print(f"grade.py: {message}", file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        _complain("interrupted; nothing is written")
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at the end
