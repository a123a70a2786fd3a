"""Execute copies of notebooks in a process of its own, while other tests run.

    python -m tests.notebooks.execution FOLDER NAME ...      (a name is 01_logits_to_text/worked or .../student)

Each result is FOLDER/NAME.ipynb, or FOLDER/NAME.error with what went wrong. Several such processes may share a folder:
whoever makes NAME.claim first executes that copy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(path.stem for path in (NOTEBOOKS / "src").glob("[0-9]*.py"))
KINDS = ("worked", "student")


def stored(name: str, kind: str) -> Any:
    """The copy as it lies there."""
    from scripts.notebooks import STUDENT_COPIES, read

    return read((NOTEBOOKS if kind == "worked" else STUDENT_COPIES) / f"{name}.ipynb")


def main(folder: Path, copies: Sequence[str]) -> None:
    import nbformat

    from scripts.notebooks import STUDENT_COPIES
    from scripts.run_notebook import run

    for copy in copies:
        name, kind = copy.split("/")
        result = folder / name / f"{kind}.ipynb"
        result.parent.mkdir(exist_ok=True)
        try:
            result.with_suffix(".claim").touch(exist_ok=False)
        except FileExistsError:
            continue
        unfinished = result.with_suffix(".part")
        try:
            executed = run(stored(name, kind), NOTEBOOKS if kind == "worked" else STUDENT_COPIES)
            nbformat.write(executed, unfinished)
            unfinished.replace(result)
        except Exception as error:  # told by the test that asks for this copy
            unfinished.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
            unfinished.replace(result.with_suffix(".error"))


class Executions:
    """Copies of notebooks that are being executed in the background, one after the other."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.copies = [f"{name}/{kind}" for name in names for kind in KINDS]
        self.environment = dict(os.environ)  # as it is before any test changes it
        self.processes = [self._start(self.copies)]

    def hurry(self) -> None:
        """One process more, from the other end: nothing else runs now."""
        if len(self.processes) == 1 and (os.cpu_count() or 1) > 1:
            self.processes.append(self._start(self.copies[::-1]))

    def result(self, name: str, kind: str) -> Any:
        """The executed copy. Raises RuntimeError with the reason where there is none."""
        from scripts.notebooks import read

        path = self.folder / name / f"{kind}.ipynb"
        while not path.exists():
            if path.with_suffix(".error").exists():
                raise RuntimeError(path.with_suffix(".error").read_text(encoding="utf-8"))
            if all(process.poll() is not None for process in self.processes) and not path.exists():
                raise RuntimeError(f"{name}, {kind} copy: the process that executes it has ended without a result")
            time.sleep(0.05)
        return read(path)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait()

    def _start(self, copies: Sequence[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.notebooks.execution", str(self.folder), *copies]
        quiet = subprocess.DEVNULL  # results tell what went wrong; a kernel that is stopped midway would complain
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=quiet, stderr=quiet)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
