#!/usr/bin/env python3
"""Make the notebooks from their sources in notebooks/src.

    python3 scripts/in_venv.py --extra notebooks scripts/build_notebooks.py            # all of them
    python3 scripts/in_venv.py --extra notebooks scripts/build_notebooks.py 03 05      # two of them
    python3 scripts/in_venv.py --extra notebooks scripts/build_notebooks.py --check    # is anything stale?
    python3 scripts/in_venv.py --extra notebooks scripts/build_notebooks.py --handout class.zip

Building executes the worked copies, with no network, and stores what they show. `--check` executes nothing: it says
which files are not what the sources would give (the tests compare the stored outputs with a fresh run). `--handout`
packs student copies, checks and packages for a class, in a folder that works by itself, without solutions.
"""

from __future__ import annotations

import argparse
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

try:
    from nbformat import NotebookNode

    from scripts.handout import pack
    from scripts.notebooks import (
        NOTEBOOKS,
        STUDENT_COPIES,
        SourceError,
        read,
        read_source,
        sources,
        student_copy,
        without_outputs,
        worked_copy,
        write,
        written,
    )
    from scripts.run_notebook import RunError, run
except ModuleNotFoundError as error:
    sys.exit(f"build_notebooks.py: {error.name} is missing; run this with `scripts/in_venv.py --extra notebooks`")

_MOST_BYTES = 1_000_000
_PATH = re.compile(r"(?<![\w/.])/(?:home|root|tmp|Users|usr|opt|work|content|mnt)/\w|\b[A-Z]:\\{1,2}\w|site-packages")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        chosen = _chosen(options.numbers)
        if options.handout is not None:
            pack(chosen, options.handout)
            print(f"{options.handout}: {len(chosen)} notebooks, without solutions")
            return 0
        if options.check:
            return _report(stale(chosen))
        with ThreadPoolExecutor(max_workers=2) as pool:
            broken = [complaint for complaint in pool.map(build, chosen) if complaint is not None]
        return _complain("\n".join(broken)) if broken else _report(stale(chosen))
    except (SourceError, OSError) as error:
        return _complain(str(error))


def build(source: Path) -> str | None:
    """Write the worked and the student copy of one source, and print that; or what is wrong, where it does not run."""
    notebook = read_source(source)
    student = STUDENT_COPIES / f"{source.stem}.ipynb"
    worked = NOTEBOOKS / f"{source.stem}.ipynb"
    student.parent.mkdir(exist_ok=True)
    write(student_copy(notebook, source.name), student)
    try:
        executed = run(worked_copy(notebook, source.name), NOTEBOOKS)
    except RunError as error:
        return f"{source.name} does not run:\n{error}"
    write(executed, worked)
    print(f"{worked.name}: {len(executed.cells)} cells, {worked.stat().st_size // 1000} KB", flush=True)
    return None


def stale(chosen: list[Path]) -> list[str]:
    """What is wrong with the generated files of these sources, a sentence each."""
    complaints: list[str] = []
    for source in chosen:
        notebook = read_source(source)
        worked, student = NOTEBOOKS / f"{source.stem}.ipynb", STUDENT_COPIES / f"{source.stem}.ipynb"
        expected = written(student_copy(notebook, source.name))
        if not student.exists() or student.read_text(encoding="utf-8") != expected:
            complaints.append(f"{student.relative_to(NOTEBOOKS)} is not what {source.name} gives; build it again")
        if not worked.exists():
            complaints.append(f"{worked.name} is missing; build it")
            continue
        try:
            stored = read(worked)
        except SourceError as error:
            complaints.append(str(error))
            continue
        if written(without_outputs(stored)) != written(worked_copy(notebook, source.name)):
            complaints.append(f"{worked.name} is not what {source.name} gives; build it again")
        complaints += [f"{worked.name}: {problem}" for problem in blemishes(stored)]
        if worked.stat().st_size >= _MOST_BYTES:
            complaints.append(f"{worked.name} has {worked.stat().st_size} bytes; at most {_MOST_BYTES} are welcome")
    known = {f"{source.stem}.ipynb" for source in sources()}
    for folder in (NOTEBOOKS, STUDENT_COPIES):
        extra = sorted(path for path in folder.glob("*.ipynb") if path.name not in known)
        complaints += [f"{path.relative_to(NOTEBOOKS)} has no source" for path in extra]
    return complaints


def blemishes(notebook: NotebookNode) -> list[str]:
    """What a stored notebook must not have, or lacks: widgets, errors, paths of a machine, pictures without words."""
    found: list[str] = []
    if "widgets" in notebook.metadata:
        found.append("it holds widgets, which GitHub does not show")
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell.execution_count is None and cell.source.strip():
            found.append(f"cell {cell.id} was not executed")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {cell.id} ended with {output.ename}")
            if "image/png" in output.get("data", {}) and not output.metadata.get("image/png", {}).get("alt"):
                found.append(f"cell {cell.id} has a picture without alternative text")
            said = [output.get("text", ""), output.get("data", {}).get("text/plain", ""), output.get("evalue", "")]
            if _PATH.search("\n".join(said)):
                found.append(f"cell {cell.id} shows a path of this machine")
            if output.get("name") == "stderr":
                found.append(f"cell {cell.id} wrote to standard error: {output.text.strip().splitlines()[0]}")
    return found


def _chosen(numbers: list[str]) -> list[Path]:
    everything = sources()
    if not numbers:
        return everything
    chosen = [source for source in everything if source.name[:2] in numbers]
    missing = set(numbers) - {source.name[:2] for source in everything}
    if missing:
        present = ", ".join(source.name[:2] for source in everything)
        raise SourceError(f"there is no source {', '.join(sorted(missing))}; there are {present}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", metavar="NN", help="numbers of notebooks, 01 and so on; all without any")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="change nothing; say what is stale, with exit code 1")
    what.add_argument("--handout", type=Path, metavar="ZIP", help="pack a class set into this file")
    return parser


def _report(complaints: list[str]) -> int:
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def _complain(message: str) -> int:
    print(f"build_notebooks.py: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
