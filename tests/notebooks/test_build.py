"""`scripts/build_notebooks.py`: what it finds stale, what it refuses to store, and the class set that it packs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.notebooks

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "build_notebooks.py"


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120)


@pytest.fixture
def copy_of_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first notebook with its source and student copy, in a folder that the script takes for its own."""
    from scripts import build_notebooks, notebooks

    folder = tmp_path / "notebooks"
    for name in ("01_logits_to_text.ipynb", "src/01_logits_to_text.py", "exercises/01_logits_to_text.ipynb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "notebooks" / name, folder / name)
    for module in (build_notebooks, notebooks):
        monkeypatch.setattr(module, "NOTEBOOKS", folder)
        monkeypatch.setattr(module, "STUDENT_COPIES", folder / "exercises")
    monkeypatch.setattr(notebooks, "SOURCES", folder / "src")
    return folder


def complaints() -> list[str]:
    from scripts import build_notebooks, notebooks

    return build_notebooks.stale(notebooks.sources())


def test_the_files_as_they_are_are_current(copy_of_notebooks: Path) -> None:
    assert complaints() == []


def test_an_edited_source_makes_both_copies_stale(copy_of_notebooks: Path) -> None:
    source = copy_of_notebooks / "src" / "01_logits_to_text.py"
    source.write_text(source.read_text(encoding="utf-8").replace("nine words", "ten words"), encoding="utf-8")
    assert complaints() == [
        "exercises/01_logits_to_text.ipynb is not what 01_logits_to_text.py gives; build it again",
        "01_logits_to_text.ipynb is not what 01_logits_to_text.py gives; build it again",
    ]


def test_an_edited_copy_is_found(copy_of_notebooks: Path) -> None:
    student = copy_of_notebooks / "exercises" / "01_logits_to_text.ipynb"
    student.write_text(student.read_text(encoding="utf-8").replace("nine words", "ten words"), encoding="utf-8")
    assert complaints() == ["exercises/01_logits_to_text.ipynb is not what 01_logits_to_text.py gives; build it again"]


def test_missing_and_superfluous_notebooks_are_found(copy_of_notebooks: Path) -> None:
    (copy_of_notebooks / "01_logits_to_text.ipynb").rename(copy_of_notebooks / "99_lost.ipynb")
    assert complaints() == ["01_logits_to_text.ipynb is missing; build it", "99_lost.ipynb has no source"]


@pytest.mark.parametrize(
    ("blemish", "sentence"),
    [
        (lambda nb: nb.metadata.update(widgets={}), "it holds widgets"),
        (lambda nb: _picture(nb).metadata["image/png"].pop("alt"), "has a picture without alternative text"),
        (lambda nb: _printed(nb).update(text="see /home/ada/model"), "shows a path of this machine"),
        (lambda nb: _printed(nb).update(text="C:\\Users\\ada"), "shows a path of this machine"),
        (lambda nb: _printed(nb).update(name="stderr"), "wrote to standard error"),
        (lambda nb: nb.cells[3].update(execution_count=None), "was not executed"),
    ],
)
def test_blemishes_are_found(copy_of_notebooks: Path, blemish, sentence: str) -> None:  # type: ignore[no-untyped-def]
    from scripts.notebooks import read, written

    path = copy_of_notebooks / "01_logits_to_text.ipynb"
    notebook = read(path)
    blemish(notebook)
    path.write_text(written(notebook), encoding="utf-8")
    assert any(sentence in complaint for complaint in complaints())


def _outputs(notebook):  # type: ignore[no-untyped-def]
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def _picture(notebook):  # type: ignore[no-untyped-def]
    return next(output for output in _outputs(notebook) if "image/png" in output.get("data", {}))


def _printed(notebook):  # type: ignore[no-untyped-def]
    return next(output for output in _outputs(notebook) if output.output_type == "stream")


def test_the_command_line_says_what_it_cannot_do() -> None:
    unknown = build("--check", "98")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("build_notebooks.py: there is no source 98; there are 01")
    nowhere = build("--handout", "/no/such/folder/class.zip")
    assert nowhere.returncode == 2
    assert nowhere.stderr.startswith("build_notebooks.py: ")
    assert "Traceback" not in unknown.stderr + nowhere.stderr


@pytest.fixture(scope="module")
def handout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The class set, unpacked."""
    folder = tmp_path_factory.mktemp("class")
    packed = build("--handout", str(folder / "class.zip"))
    assert packed.returncode == 0, packed.stderr
    with zipfile.ZipFile(folder / "class.zip") as archive:
        archive.extractall(folder)
    return folder / "logits_to_text"


def test_the_class_set_has_no_solutions(handout: Path) -> None:
    names = {path.relative_to(handout).as_posix() for path in handout.rglob("*")}
    assert "notebooks/01_logits_to_text.ipynb" in names
    assert not [name for name in names if name.startswith(("notebooks/src", "notebooks/exercises", "tests"))]
    for notebook in (handout / "notebooks").glob("*.ipynb"):
        text = notebook.read_text(encoding="utf-8")
        assert "<summary>Solution" not in text
        assert "NotImplementedError" in text


def test_the_class_set_works_by_itself(handout: Path) -> None:
    """A student copy runs in the unpacked folder with what lies there, and fails at the checks only."""
    from scripts.notebooks import read
    from scripts.run_notebook import errors, run

    notebook = read(handout / "notebooks" / "01_logits_to_text.ipynb")
    notebook.cells[-1].update(cell_type="code", source="print(check.__file__)", outputs=[], execution_count=None)
    executed = run(notebook, handout / "notebooks")
    failed = [cell.source for cell in executed.cells if errors(cell)]
    assert failed == [cell.source for cell in executed.cells if cell.source.startswith("check.")]
    assert Path(executed.cells[-1].outputs[0].text.strip()).is_relative_to(handout.resolve())


def test_the_class_set_is_the_same_each_time(handout: Path, tmp_path: Path) -> None:
    assert build("--handout", str(tmp_path / "again.zip")).returncode == 0
    assert (tmp_path / "again.zip").read_bytes() == (handout.parent / "class.zip").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.zip"]


def test_a_part_of_the_class_set_links_to_nothing_that_is_missing(tmp_path: Path) -> None:
    assert build("01", "--handout", str(tmp_path / "part.zip")).returncode == 0
    with zipfile.ZipFile(tmp_path / "part.zip") as archive:
        notebooks = [name for name in archive.namelist() if name.endswith(".ipynb")]
        assert notebooks == ["logits_to_text/notebooks/01_logits_to_text.ipynb"]
        text = archive.read(notebooks[0]).decode()
    assert "2. GPT-2 from scratch" in text
    assert "02_gpt2_from_scratch.ipynb" not in text


def test_a_damaged_copy_and_a_source_that_is_no_text_are_named(copy_of_notebooks: Path) -> None:
    from scripts.notebooks import SourceError, read_source

    (copy_of_notebooks / "01_logits_to_text.ipynb").write_text("<<<<<<< ours", encoding="utf-8")
    assert complaints() == ["01_logits_to_text.ipynb is no notebook; build it again"]
    source = copy_of_notebooks / "src" / "01_logits_to_text.py"
    source.write_bytes(b"# \xff")
    with pytest.raises(SourceError, match=r"01_logits_to_text\.py is no text in UTF-8"):
        read_source(source)


def test_a_class_set_is_written_to_a_file_only(tmp_path: Path) -> None:
    for target in (str(tmp_path), "."):
        refused = build("--handout", target)
        assert refused.returncode == 2
        assert "is a folder; name the file that is to be written" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_that_does_not_run_is_named_and_the_old_one_stays(
    copy_of_notebooks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts import build_notebooks

    worked = copy_of_notebooks / "01_logits_to_text.ipynb"
    before = worked.read_bytes()
    source = copy_of_notebooks / "src" / "01_logits_to_text.py"
    text = source.read_text(encoding="utf-8").replace("# %%\nimport math", "# %%\n1 / 0\nimport math")
    source.write_text(text, encoding="utf-8")
    assert build_notebooks.main([]) == 2
    assert "01_logits_to_text.py does not run:" in capsys.readouterr().err
    assert worked.read_bytes() == before
