"""The sources keep the conventions, and what is generated from them is current, clean, and gives nothing away."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.notebooks.topics import TOPICS

pytestmark = pytest.mark.notebooks

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
SOURCES = sorted((NOTEBOOKS / "src").glob("[0-9]*.py"))
source_of = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)


def parsed(path: Path):  # type: ignore[no-untyped-def]
    from scripts.notebooks import read_source

    return read_source(path)


def tagged(notebook, tag: str) -> list[str]:  # type: ignore[no-untyped-def]
    from scripts.notebooks import tags_of

    return [cell.source for cell in notebook.cells if tag in tags_of(cell)]


@source_of
def test_a_notebook_has_its_parts(path: Path) -> None:
    from scripts.notebooks import exercises, tags_of

    notebook = parsed(path)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert notebook.cells[0].source.startswith(f"# {int(path.name[:2])}. ")
    for part in (
        "**Goal.**",
        "**Time**",
        "**Needs**",
        "**Next**",
        "What to remember",
        "Papers and further reading",
    ):
        assert part in prose, part
    assert len(exercises(notebook, path.name)) >= 2
    assert len(tagged(notebook, "predict")) >= 3
    assert all("<details><summary>Answer</summary>\n\n" in cell for cell in tagged(notebook, "predict"))
    assert len(tagged(notebook, "hint")) >= len(exercises(notebook, path.name))
    assert "needs-weights" in {tag for cell in notebook.cells for tag in tags_of(cell)}


def test_all_notebooks_find_the_project_in_the_same_way() -> None:
    assert len({tuple(tagged(parsed(path), "setup")) for path in SOURCES}) == 1


@source_of
def test_prose_comes_in_small_portions(path: Path) -> None:
    for cell in parsed(path).cells:
        if cell.cell_type == "markdown":
            outside = re.sub(r"<details>.*?</details>", "", cell.source, flags=re.DOTALL)
            paragraphs = re.split(r"\n(?:\n|(?=[-|#]|\d\. ))", outside)  # of a list, each point
            assert max(len(paragraph.split()) for paragraph in paragraphs) <= 90, f"{cell.id} is a wall of text"
            assert len(outside.split()) <= 300, f"{cell.id} is long"


@source_of
def test_links_within_the_project_lead_somewhere(path: Path) -> None:
    for cell in (cell for cell in parsed(path).cells if cell.cell_type == "markdown"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", cell.source):
            assert (NOTEBOOKS / target).exists(), f"{cell.id} links to {target}"


@source_of
def test_the_student_copy_gives_no_solution_away(path: Path) -> None:
    """No line of a solution that is more than trivial stands in the handout: neither in a copy nor in a check."""
    from scripts.notebooks import exercises, student_copy, written

    source = parsed(path)
    copy = student_copy(source, path.name, solutions=False)
    lines = {line.strip() for cell in copy.cells for line in cell.source.split("\n")}
    for module in (NOTEBOOKS / "checks").glob("*.py"):
        lines |= {line.strip() for line in module.read_text(encoding="utf-8").split("\n")}
    for exercise in exercises(source, path.name):
        assert leaks(exercise.solution, lines) == set(), f"Exercise {exercise.number}"
        stub = f'raise NotImplementedError("Exercise {exercise.number}: write {exercise.function}")'
        assert sum(stub in cell.source for cell in copy.cells) == 1
    assert "### BEGIN SOLUTION" not in written(copy)
    assert "<summary>Solution" not in written(copy)


def leaks(solution: str, lines: set[str]) -> set[str]:
    """The lines of a solution, those that are more than trivial, which stand among these lines, too."""
    telling = {_code(line) for line in solution.split("\n")}
    telling = {line for line in telling if len(line) > 24 and line != "with torch.no_grad():"}
    return telling & {_code(line) for line in lines}


def _code(line: str) -> str:
    return line.split("#")[0].strip()


@source_of
def test_the_leak_scan_would_find_a_leak(path: Path) -> None:
    from scripts.notebooks import exercises

    source = parsed(path)
    whole = {line for cell in source.cells for line in cell.source.split("\n")}  # with the solutions in it
    found = [leaks(exercise.solution, whole) for exercise in exercises(source, path.name)]
    assert sum(map(bool, found)) >= len(found) - 1  # a short solution may have trivial lines only


@source_of
def test_the_students_own_copy_has_the_solution_folded_behind_the_check(path: Path) -> None:
    from scripts.notebooks import exercises, student_copy, tags_of

    source = parsed(path)
    cells = student_copy(source, path.name).cells
    for exercise in exercises(source, path.name):
        check = next(
            i for i, cell in enumerate(cells) if cell.source == f"check.{exercise.function}({exercise.function})"
        )
        behind = next(cell for cell in cells[check + 1 :] if "hint" not in tags_of(cell))
        assert behind.source.startswith(f"<details><summary>Solution {exercise.number}</summary>")
        assert exercise.solution in behind.source


def test_nothing_is_stale() -> None:
    from scripts.build_notebooks import stale

    assert stale(SOURCES) == []


# -- sources that no notebook can be made of --------------------------------------------------------------------------

GOOD = '''# %% [markdown]
# # 7. A title

# %% tags=["setup"]
here = 1

# %% [markdown]
# ### Exercise 7.1 · ★☆☆ · 5 min

# %% tags=["exercise"]
def f(x):
    """It."""
    ### BEGIN SOLUTION
    if x:
        return 1
    return 2
    ### END SOLUTION

# %% tags=["check"]
check.f(f)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 7.1</summary>
# </details>

# %% [markdown]
# The end.
'''


def write(folder: Path, text: str) -> Path:
    path = folder / "07_topic.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_source_becomes_a_worked_and_a_student_copy(tmp_path: Path) -> None:
    from scripts.notebooks import exercises, student_copy, worked_copy, written

    path = write(tmp_path, GOOD)
    source = parsed(path)
    (exercise,) = exercises(source, path.name)
    assert (exercise.number, exercise.function) == ("7.1", "f")
    assert exercise.solution == "if x:\n    return 1\nreturn 2"
    worked = worked_copy(source, path.name)
    assert worked.cells[4].source == 'def f(x):\n    """It."""\n    if x:\n        return 1\n    return 2'
    student = student_copy(source, path.name)
    stub = 'raise NotImplementedError("Exercise 7.1: write f")'
    assert student.cells[4].source == f'def f(x):\n    """It."""\n    {stub}'
    order = ["07-000", "07-note", "07-001", "07-002", "07-003", "07-004", "07-005", "07-004-solution", "07-006"]
    assert [cell.id for cell in student.cells] == order
    assert written(student_copy(parsed(path), path.name)) == written(student), "the same each time"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("Exercise 7.1 · ★☆☆ · 5 min", "Exercise 7.1", "the heading of an exercise reads “Exercise 7.1 · ★☆☆ · 5 min”"),
        ("Exercise 7.1", "Exercise 6.1", "the heading of an exercise reads"),
        ("### BEGIN SOLUTION", "# begin", "an exercise is one cell below a heading, with one solution"),
        ('tags=["exercise"]', "", "it has a solution and no tag `exercise`"),
        ("check.f(f)", "check.f(g)", "a check is the line `check.f(f)` behind its exercise"),
        ("def f(x)", "def g(x)", "the exercise does not define f"),
        ('tags=["check"]', "", "Exercise 7.1 has no check"),
        ('tags=["setup"]', 'tags=["set-up"]', "there are no tags ['set-up']"),
    ],
)
def test_a_source_that_breaks_a_convention_is_refused_in_words(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    from scripts.notebooks import SourceError

    with pytest.raises(SourceError, match=re.escape(sentence)):
        parsed(write(tmp_path, GOOD.replace(old, new)))


def test_a_notebook_begins_with_its_title(tmp_path: Path) -> None:
    from scripts.notebooks import SourceError, student_copy

    path = write(tmp_path, GOOD.replace("# # 7. A title", "# no title"))
    with pytest.raises(SourceError, match="the first cell is Markdown that begins with the title"):
        student_copy(parsed(path), path.name)


def test_topics_are_those_of_the_sources() -> None:
    assert [path.stem[3:] for path in SOURCES] == TOPICS


@source_of
def test_the_map_tells_the_truth(path: Path) -> None:
    from scripts.notebooks import exercises

    notebook = parsed(path)
    title = notebook.cells[0].source.split("\n")[0].removeprefix("# ").split(". ", 1)[1]
    minutes = re.search(r"\*\*Time\*\* (\d+) minutes", notebook.cells[0].source)
    assert minutes is not None
    lines = (NOTEBOOKS / "README.md").read_text(encoding="utf-8").split("\n")
    row = next(line for line in lines if path.stem in line)
    copies = f"[{title}]({path.stem}.ipynb) ([student copy](exercises/{path.stem}.ipynb))"
    assert f"| {int(path.name[:2])} | {copies}: " in row
    assert f" | {minutes[1]} | {len(exercises(notebook, path.name))} | " in row


def test_links_of_the_map_lead_somewhere() -> None:
    text = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (NOTEBOOKS / target).exists(), target


@source_of
def test_no_other_cell_uses_the_name_of_the_readers_function(path: Path) -> None:
    """Neither calls it, as the reader may have skipped it, nor gives the name to something else."""
    from scripts.notebooks import exercises

    source = parsed(path)
    found = exercises(source, path.name)
    functions = {exercise.function for exercise in found}
    own = {place for exercise in found for place in (exercise.stub, exercise.check)}
    for place, cell in enumerate(source.cells):
        if cell.cell_type == "code" and place not in own:
            nodes = list(ast.walk(ast.parse(cell.source)))
            names = {node.id for node in nodes if isinstance(node, ast.Name)}
            names |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
            names |= {
                alias.asname or alias.name
                for node in nodes
                if isinstance(node, (ast.Import, ast.ImportFrom))
                for alias in node.names
            }
            assert not names & functions, f"cell {cell.id}"


def test_the_readme_counts_the_exercises() -> None:
    from scripts.notebooks import exercises

    total = sum(len(exercises(parsed(path), path.name)) for path in SOURCES)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"Each of the {total} exercises" in readme
    assert all(f"(notebooks/{path.stem}.ipynb)" in readme for path in SOURCES)
