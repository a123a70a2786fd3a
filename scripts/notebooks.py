"""What notebooks are made of here: sources, worked copies, student copies, and how one is executed.

A source, `notebooks/src/NN_topic.py`, is a Python file in jupytext's percent format, the only one that is edited by
hand. Its cells carry tags:

    exercise        a stub whose answer stands between `### BEGIN SOLUTION` and `### END SOLUTION`
    check           one line that checks it
    hint, predict   Markdown whose answer is folded away
    needs-weights   compares with OpenAI's weights where they are at hand
    varies          prints what differs from run to run, as times do

From it come `notebooks/NN_topic.ipynb`, executed and with the answers, and `notebooks/exercises/NN_topic.ipynb` with
stubs in their place.
"""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SOURCES = NOTEBOOKS / "src"
STUDENT_COPIES = NOTEBOOKS / "exercises"

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HEADING = re.compile(r"^#+ Exercise (\d+\.\d+) · (★☆☆|★★☆|★★★) · (\d+) min(?: · needs [\d., ]+)?$", re.MULTILINE)
ANY_HEADING = re.compile(r"^#+ Exercise\b.*$", re.MULTILINE)
CHECK = re.compile(r"^check\.(\w+)\((\w+)\)$")
TAGS = {"setup", "exercise", "check", "hint", "predict", "needs-weights", "varies"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class SourceError(ValueError):
    """A source that no notebook can be made of, with the reason."""


class Exercise(NamedTuple):
    """One exercise of a source: the cells that belong to it, by their places."""

    number: str
    function: str
    stub: int  # place of the cell with the solution
    check: int
    solution: str  # the code between the markers, without its indent


def sources() -> list[Path]:
    return sorted(SOURCES.glob("[0-9][0-9]_*.py"))


def read_source(path: Path) -> NotebookNode:
    """The source as a notebook, with a fixed id for every cell. Raises SourceError where a convention is not kept."""
    try:
        parsed = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path.name} is no text in UTF-8: {error}") from error
    number = path.name[:2]
    for place, cell in enumerate(parsed.cells):
        cell.id = f"{number}-{place:03}"
        cell.metadata = NotebookNode({"tags": tags_of(cell)} if tags_of(cell) else {})
        unknown = set(tags_of(cell)) - TAGS
        if unknown:
            raise SourceError(f"{path.name}, cell {cell.id}: there are no tags {sorted(unknown)}")
    notebook = new_notebook(cells=parsed.cells, metadata=NotebookNode(METADATA))
    exercises(notebook, path.name)
    return notebook


def tags_of(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def exercises(notebook: NotebookNode, name: str) -> list[Exercise]:
    """The exercises of a source, in order. Each has a heading, a cell with one solution, and behind it a check."""
    found: list[Exercise] = []
    heading: re.Match[str] | None = None
    stub: int | None = None
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for line in ANY_HEADING.findall(cell.source):
                if stub is not None:
                    raise SourceError(f"{name}: the exercise before “{line}” has no check")
                heading = HEADING.search(line)
                if heading is None or not heading[1].startswith(f"{int(name[:2])}."):
                    wanted = f"Exercise {int(name[:2])}.1 · ★☆☆ · 5 min"
                    raise SourceError(f"{name}: the heading of an exercise reads “{wanted}”; got “{line}”")
            continue
        if "exercise" in tags_of(cell):
            if heading is None or stub is not None or cell.source.count(BEGIN) != 1 or cell.source.count(END) != 1:
                raise SourceError(f"{name}, cell {cell.id}: an exercise is one cell below a heading, with one solution")
            stub = place
        elif BEGIN in cell.source:
            raise SourceError(f"{name}, cell {cell.id}: it has a solution and no tag `exercise`")
        if "check" in tags_of(cell):
            call = CHECK.match(cell.source.strip())
            if heading is None or stub is None or call is None or call[1] != call[2]:
                raise SourceError(f"{name}, cell {cell.id}: a check is the line `check.f(f)` behind its exercise")
            if f"def {call[1]}(" not in notebook.cells[stub].source:
                raise SourceError(f"{name}, cell {cell.id}: the exercise does not define {call[1]}")
            solution = _solution(notebook.cells[stub].source)
            found.append(Exercise(heading[1], call[1], stub, place, solution))
            heading, stub = None, None
    if heading is not None:
        raise SourceError(f"{name}: Exercise {heading[1]} has no check")
    return found


def _solution(source: str) -> str:
    inside = source.split(BEGIN)[1].split(END)[0].split("\n")[1:-1]
    indent = min((len(line) - len(line.lstrip()) for line in inside if line.strip()), default=0)
    return "\n".join(line[indent:] for line in inside)


def worked_copy(source: NotebookNode, name: str) -> NotebookNode:
    """The notebook with its answers, not yet executed."""
    notebook = deepcopy(source)
    for exercise in exercises(source, name):
        cell = notebook.cells[exercise.stub]
        cell.source = "\n".join(line for line in cell.source.split("\n") if line.strip() not in (BEGIN, END))
    note = "*This is the worked copy: the exercises are solved. To solve them yourself, open "
    note += f"[the student copy](exercises/{Path(name).stem}.ipynb).*"
    return _with_note(notebook, name, note)


def student_copy(source: NotebookNode, name: str, *, solutions: bool = True) -> NotebookNode:
    """The notebook with stubs for answers and no outputs; solutions are folded away behind each check, or left out."""
    notebook = deepcopy(source)
    found = exercises(source, name)
    for exercise in reversed(found):  # from the end, so that the places before stay what they are
        stub, check = notebook.cells[exercise.stub], notebook.cells[exercise.check]
        stub.source = _stub(stub.source, exercise)
        check.metadata["tags"].append("raises-exception")  # Jupyter's “Run All” goes on behind it
        behind = exercise.check + 1
        while behind < len(notebook.cells) and "hint" in tags_of(notebook.cells[behind]):
            behind += 1  # the hints come first
        if solutions:
            notebook.cells.insert(behind, _folded_solution(exercise, notebook.cells[exercise.check].id))
    note = f"*This is the student copy: {len(found)} exercises are yours to solve. Each is followed by a line that "
    note += "checks it; before you have written anything, it says just that. You may skip any of them: nothing further "
    note += "down needs your answer. (Where “Run All” stops at such a line, go on with the cell below it.)*"
    return _with_note(notebook, name, note)


def _folded_solution(exercise: Exercise, check_id: str) -> NotebookNode:
    folded = (
        f"<details><summary>Solution {exercise.number}</summary>\n\n```python\n{exercise.solution}\n```\n\n</details>"
    )
    return new_markdown_cell(folded, id=f"{check_id}-solution")


def _stub(source: str, exercise: Exercise) -> str:
    before, rest = source.split(BEGIN)
    indent = before[before.rfind("\n") + 1 :]
    stub = f'raise NotImplementedError("Exercise {exercise.number}: write {exercise.function}")'
    return before[: len(before) - len(indent)] + indent + stub + rest.split(END)[1]


def _with_note(notebook: NotebookNode, name: str, note: str) -> NotebookNode:
    """The notebook with a note below its title."""
    if not notebook.cells[0].source.startswith("# "):
        raise SourceError(f"{name}: the first cell is Markdown that begins with the title")
    notebook.cells.insert(1, new_markdown_cell(note, id=f"{name[:2]}-note"))
    return notebook


def written(notebook: NotebookNode) -> str:
    """The notebook as the text of its file, the same each time."""
    return nbformat.writes(notebook, version=4, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> NotebookNode:
    """A notebook from its file. Raises SourceError for what is none."""
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, KeyError) as error:  # NotJSONError is a ValueError
        raise SourceError(f"{path.name} is no notebook; build it again") from error


def write(notebook: NotebookNode, path: Path) -> None:
    """Store a notebook, with the same line ends on every system."""
    path.write_text(written(notebook), encoding="utf-8", newline="\n")


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """The same cells as if nothing had been run."""
    bare = deepcopy(notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return bare


def text_outputs(cell: NotebookNode) -> str:
    """What a cell printed or showed, as text."""
    parts: list[str] = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type in ("execute_result", "display_data"):
            parts.append(output.data.get("text/plain", ""))
    return "\n".join(part.rstrip("\n") for part in parts)
