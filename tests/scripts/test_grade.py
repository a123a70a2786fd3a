"""scripts/grade.py: what a file is taken for, what the checks say of its answers, and what the teacher reads."""

from __future__ import annotations

import ast
import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.notebooks

SCRIPT = ROOT / "scripts" / "grade.py"
SOURCES = sorted((ROOT / "notebooks" / "src").glob("[0-9]*.py"))
SOURCE = SOURCES[0]
FOREVER = "while True: pass"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# -- copies of a notebook, as pupils hand them in ---------------------------------------------------------------------


@functools.cache  # reading the sources takes a while; nobody changes what is read
def parsed(path: Path = SOURCE) -> Any:
    from scripts.notebooks import read_source

    return read_source(path)


def expected(path: Path = SOURCE) -> list[Any]:
    from scripts.notebooks import exercises

    return exercises(parsed(path), path.name)


@functools.cache
def topics() -> list[Any]:
    from scripts.grade import read_topics

    return read_topics()


class Copy:
    """A student copy, to be filled in. A short one has only the cells that its exercises need."""

    def __init__(self, *, short: bool = True) -> None:
        from scripts.notebooks import student_copy, tags_of

        self.notebook = student_copy(parsed(), SOURCE.name, solutions=False)
        self.exercises = expected()
        if short:
            needed = {"setup", "exercise", "check"}
            self.notebook.cells = [
                cell
                for cell in self.notebook.cells
                if cell.cell_type == "markdown" or needed & {*tags_of(cell)} or "import torch" in cell.source
            ]

    def stub(self, place: int) -> Any:
        """The cell of this exercise, which may have been duplicated: the last one."""
        definition = f"def {self.exercises[place].function}("
        return [cell for cell in self.notebook.cells if cell.cell_type == "code" and definition in cell.source][-1]

    def answer(self, place: int, line: str) -> None:
        stub = self.stub(place)
        stub.source, count = re.subn(r"raise NotImplementedError\(.*\)", lambda _: line, stub.source)
        assert count == 1

    def solve(self, *places: int) -> None:
        for place in places or range(len(self.exercises)):
            self.stub(place).source = parsed().cells[self.exercises[place].stub].source

    def insert(self, place: int, code: str) -> None:
        from nbformat.v4 import new_code_cell

        self.notebook.cells.insert(place if place >= 0 else len(self.notebook.cells), new_code_cell(code))

    def save(self, path: Path) -> Path:
        path.write_text(json.dumps(self.notebook), encoding="utf-8")
        return path


# -- a class of real ones, graded once --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hand_ins")

    # right answers amid everything that disturbs: tampered checks, names of builtins, input(), exit(), noise, lost ids
    names = [exercise.function for exercise in expected()]
    odd = Copy(short=False)
    odd.insert(0, "%reset -f")
    odd.insert(1, "exec = eval = globals = vars = json = importlib = None")
    odd.insert(2, "name = input('Your name? ')")
    odd.insert(3, "def broken(:")
    odd.solve()
    odd.insert(-1, "from checks import checking; checking.Check.__call__ = lambda *_: 1 / 0")
    odd.insert(-1, "\n".join(f"{name} = 0.5" for name in names))
    odd.insert(-1, "exit()")
    odd.insert(-1, """import builtins; builtins.print('{"state": "not yet"}' * 100_000)""")
    for cell in odd.notebook.cells:
        cell["metadata"] = {"colab": {"base_uri": "x"}}
        del cell["id"]
        cell["source"] = cell["source"].replace("\n", "\r\n").splitlines(keepends=True)
    text = json.dumps({**odd.notebook, "metadata": {"vscode": {}}}, indent=1).replace("\n", "\r\n")
    (folder / "renamed.ipynb").write_bytes(b"\xef\xbb\xbf" + text.encode())

    mixed = Copy()
    mixed.answer(0, "return None")
    mixed.answer(1, FOREVER)
    mixed.stub(2).source = f"def {names[2]}(:"
    mixed.insert(3, "check.no_such_check(3)\n'''\x1b[31m'''; raise ValueError('a reason')")
    mixed.save(folder / "mixed.ipynb")

    crash = Copy()
    crash.solve(0)
    crash.answer(1, "import os; os._exit(1)")
    crash.solve(*range(2, len(names)))
    crash.save(folder / "crash.ipynb")

    again = Copy()
    again.solve(0)
    again.notebook.cells.append(Copy().stub(0))  # a second stub blanks the answer
    again.notebook.cells.remove(again.stub(1))
    again.answer(2, "raise SystemExit(3)")
    again.save(folder / "again.ipynb")
    return folder


@pytest.fixture(scope="module")
def graded(hand_ins: Path) -> tuple[int, dict[str, Any]]:
    """The exit code and, by name, what the JSON says of each file."""
    from scripts import grade

    before = {path: path.read_bytes() for path in hand_ins.iterdir()}
    # an endless loop takes all of its limit: the one file that has one gets a short limit, of its own
    endless = hand_ins / "mixed.ipynb"
    others = [str(path) for path in sorted(before) if path != endless]
    target = hand_ins.parent / "grades.json"
    code = grade.main([*others, "--json", str(target)])
    files = json.loads(target.read_text(encoding="utf-8"))["files"]
    grade.main([str(endless), "--seconds", "4", "--json", str(target)])
    files += json.loads(target.read_text(encoding="utf-8"))["files"]
    assert {path: path.read_bytes() for path in hand_ins.iterdir()} == before  # they are only read
    return code, {Path(file["file"]).name: file for file in files}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=200,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )


def states(file: dict[str, Any]) -> list[str]:
    assert [exercise["number"] for exercise in file["exercises"]] == [exercise.number for exercise in expected()]
    return [exercise["state"] for exercise in file["exercises"]]


def test_right_answers_pass_amid_everything_that_disturbs(graded: tuple[int, dict[str, Any]]) -> None:
    file = graded[1]["renamed.ipynb"]
    assert states(file) == ["passed"] * len(expected()), file
    assert (file["notebook"], file["problem"]) == (SOURCE.stem, None)
    assert file["passed"] == file["total"] == len(expected())
    assert [stopped["message"].split(":")[0] for stopped in file["stopped"]] == [
        "StdinNotImplementedError",
        "SyntaxError",
    ]


def test_wrong_and_endless_and_broken_answers(graded: tuple[int, dict[str, Any]]) -> None:
    file = graded[1]["mixed.ipynb"]
    assert states(file)[:3] == ["not yet", "time", "error"]
    wrong, endless, broken = file["exercises"][:3]
    assert wrong["message"].startswith("It returns nothing; ")
    assert endless["message"] == "It took longer than 4 s."
    assert broken["message"].startswith("Its cell stops with SyntaxError: ")
    assert "ValueError: a reason" in [stopped["message"] for stopped in file["stopped"]]


def test_a_crash_ends_the_file_and_no_other(graded: tuple[int, dict[str, Any]]) -> None:
    file = graded[1]["crash.ipynb"]
    assert states(file) == ["passed", "error", *["not checked"] * (len(expected()) - 2)]
    assert file["exercises"][1]["message"].startswith("The kernel died in this check: it ended by itself")
    assert file["exercises"][2]["message"] == f"The kernel died in Exercise {expected()[1].number}."


def test_the_last_definition_counts_and_a_deleted_exercise_is_missing(graded: tuple[int, dict[str, Any]]) -> None:
    file = graded[1]["again.ipynb"]
    function = expected()[1].function
    assert graded[0] == 1
    assert states(file)[:3] == ["not written", "missing", "error"]
    assert [exercise["message"] for exercise in file["exercises"][:3]] == [
        f"{expected()[0].function} is defined more than once; the last one counts.",
        f"There is no function {function}.",
        "It stops with SystemExit: 3",
    ]


# -- the kernel -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def test_a_kernel_runs_in_a_folder_of_its_own_that_looks_like_the_projects(stop: threading.Event) -> None:
    from scripts.grading import Kernel, Reply

    setup = next(cell.source for cell in parsed().cells if cell.cell_type == "code")
    with Kernel(stop) as kernel:
        assert kernel.execute(setup, 60) == Reply()
        folder = kernel.execute("import checks, os, sys", 60, value="sys.path[0]").value
        assert folder is not None
        assert Path(folder).name.startswith("grade-")
        assert kernel.execute("", 60, value="checks.__file__").value == str(ROOT / "notebooks/checks/__init__.py")
        assert kernel.execute("print('x' * 10_000_000)", 60, value="os.environ['HF_HUB_OFFLINE']").value == "1"
        assert kernel.execute("raise TimeoutError('mine')", 60) == Reply("TimeoutError", "mine")
        assert kernel.execute("1 / 0", 60) == Reply("ZeroDivisionError", "division by zero")
        assert kernel.execute("import time; time.sleep(600)", 0.5) == Reply("time limit", "took longer than 0.5 s")
        assert kernel.execute("a = 'still there'", 60, value="a").value == "still there"
    assert not Path(folder).exists()


def test_a_cell_that_resists_the_interrupt_ends_the_kernel(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts import grading

    monkeypatch.setattr(grading, "_GRACE_SECONDS", 0.5)
    stubborn = "import time\nwhile True:\n    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n        pass"
    with grading.Kernel(stop) as kernel, pytest.raises(grading.KernelStuckError):
        kernel.execute(stubborn, 0.5)


def test_a_file_has_a_limit_too(stop: threading.Event) -> None:
    from scripts.grading import Limits, grade

    limits = Limits(cell=60, file=0.5)
    outcomes, stopped = grade(["import time; time.sleep(600)", "x = 1"], expected(), SOURCE.stem[3:], limits, stop)
    assert {outcome.state for outcome in outcomes} == {"time"}
    assert outcomes[0].message == "Not checked: the 0.5 s of the whole file were over."
    assert [cell.cell for cell in stopped] == [1]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    copy = Copy()
    started = tmp_path / "started"
    copy.insert(0, f"import os; open({str(started)!r}, 'w').write(str(os.getpid()))\n{FOREVER}")
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(copy.save(tmp_path / "endless.ipynb"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    patience = time.monotonic() + 120
    while not (started.exists() and started.read_text()) and time.monotonic() < patience:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=30)  # less than the limit of the cell
    finally:
        process.kill()
    assert (process.returncode, out) == (130, b"")
    assert err == b"grade.py: interrupted; nothing is written\n"
    with pytest.raises(ProcessLookupError):  # no kernel is left behind
        os.kill(int(started.read_text()), 0)


# -- what a check says, without a kernel ------------------------------------------------------------------------------


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, str]]]:
    """The examiner's judgement of a function, the examiner being made of its text as in a kernel."""
    from scripts.grading import _EXAMINER

    loaded = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "checks"}
    monkeypatch.setattr(sys, "path", list(sys.path))
    space: dict[str, Any] = {}
    exec(_EXAMINER, space)
    name = expected()[0].function

    def judged(**defined: Any) -> dict[str, str]:
        shell = SimpleNamespace(user_ns={}, events=SimpleNamespace(register=lambda *_: None))
        examiner = space["Examiner"](shell, [name])
        shell.user_ns.update({name if key == "function" else key: value for key, value in defined.items()})
        examiner.remember()
        shell.user_ns.update({name: defined["later"]} if "later" in defined else {})
        examiner.remember()
        answer: dict[str, str] = json.loads(examiner.judge(str(ROOT), SOURCE.stem[3:], name))
        return answer

    yield judged
    for module in [module for module in sys.modules if module.split(".")[0] == "checks"]:
        del sys.modules[module]
    sys.modules.update(loaded)


def raising(error: BaseException) -> Callable[..., None]:
    def function(*_: object) -> None:
        raise error

    return function


class Unwritable(BaseException):
    def __str__(self) -> str:
        raise ValueError


def test_states_of_a_function(judge: Callable[..., dict[str, str]]) -> None:
    first = expected()[0]
    assert judge() == {"state": "missing", "message": f"There is no function {first.function}."}
    assert judge(function=3) == {
        "state": "missing",
        "message": f"{first.function} is no function, but of type int.",
    }
    stub = NotImplementedError(f"Exercise {first.number}: write {first.function}")
    assert judge(function=raising(stub)) == {"state": "not written", "message": ""}
    other = NotImplementedError(f"Exercise 9.9: write {first.function}")
    assert judge(function=raising(other))["state"] == "not yet"
    assert judge(function=raising(SystemExit(2))) == {"state": "error", "message": "It stops with SystemExit: 2"}
    assert judge(function=raising(Unwritable())) == {"state": "error", "message": "It stops with Unwritable."}
    wrong = judge(function=lambda *_: None)
    assert wrong["state"] == "not yet"
    assert wrong["message"].startswith(f"Exercise {first.number}: {first.function} is not right yet. ")
    assert judge(function=lambda *_: None, later=4.0) == wrong  # a variable of that name does not hide the function


def test_the_checks_that_count_are_this_checkouts(judge: Callable[..., dict[str, str]]) -> None:
    import checks.checking

    checks.checking.Check.__call__ = lambda *_: None  # type: ignore[method-assign]
    assert judge(function=lambda *_: None)["state"] == "not yet"


def test_no_other_cell_gives_an_exercises_name_to_another_function() -> None:
    """A variable of that name does no harm; a function would be graded in the pupil's function's stead."""
    for path in SOURCES:
        found = {exercise.function: exercise.stub for exercise in expected(path)}
        for place, cell in enumerate(parsed(path).cells):
            if cell.cell_type != "code":
                continue
            for node in ast.parse(cell.source).body:
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    assert found.get(node.name, place) == place, f"{path.name}: {node.name}"


def test_a_pupils_own_check_lines_are_left_out() -> None:
    from scripts.grading import without_checks

    cell = "x = 1\ncheck.f(f)\nif x:\n    check.g(g);  # mine\nrecheck.f(f)\ny = check.f"
    assert without_checks(cell) == "x = 1\npass\nif x:\n    pass\nrecheck.f(f)\ny = check.f"
    ast.parse(without_checks(cell))


# -- what a file is ---------------------------------------------------------------------------------------------------


def texts(notebook: Any, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_copies_are_recognised_by_what_they_hold(path: Path) -> None:
    from scripts.grade import recognise
    from scripts.notebooks import student_copy, worked_copy

    for notebook in (student_copy(parsed(path), path.name), worked_copy(parsed(path), path.name)):
        code, prose = texts(notebook, "code"), texts(notebook, "markdown")
        assert recognise(code, prose, topics()).name == path.stem
        assert recognise(code, [], topics()).name == path.stem
        assert recognise([], prose, topics()).name == path.stem
        assert recognise([cell for cell in code if "checks" not in cell], prose[1:], topics()).name == path.stem
        one = [text for text in prose if re.search(r"^#+ Exercise", text, re.MULTILINE)][:1]
        assert recognise([], one, topics()).name == path.stem  # all exercises but one were deleted


def test_what_holds_no_exercise_is_of_no_notebook() -> None:
    from scripts.grade import UngradableError, recognise

    with pytest.raises(UngradableError, match="it holds no exercise of the notebooks that are here"):
        recognise(["import torch"], ["Exercises are good for you"], topics())
    twice = [topics()[0]._replace(name="01_here"), topics()[0]._replace(name="02_there")]
    with pytest.raises(UngradableError, match="it could be a copy of 01_here or of 02_there"):
        recognise([], [f"## Exercise {expected()[0].number}"], twice)


def old_format() -> str:
    heading = {"cell_type": "heading", "level": 3, "source": [f"Exercise {expected()[0].number}"], "metadata": {}}
    code = {"cell_type": "code", "input": ["x = 1\r\n", "y = 2"], "language": "python", "outputs": [], "metadata": {}}
    content = {"worksheets": [{"cells": [heading, code]}], "metadata": {"name": ""}}
    return json.dumps({"nbformat": 3, "nbformat_minor": 0, **content})


def test_notebooks_of_an_old_format_are_read(tmp_path: Path) -> None:
    from scripts.grade import read_hand_in

    path = tmp_path / "old.ipynb"
    path.write_text(old_format(), encoding="utf-8")
    hand_in = read_hand_in(path, topics())
    assert (hand_in.topic.name, hand_in.cells) == (SOURCE.stem, ["x = 1\ny = 2"])


BAD_FILES = {
    "": "the file is empty",
    "hello": "it is not a notebook: its content is not JSON",
    "[" * 100_000: "it is not a notebook: its content is not JSON",
    "{}": "it is JSON, but not a notebook",
    "[1]": "it is JSON, but not a notebook",
    '{"nbformat": 4}': "it is a damaged notebook",
    '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}': "it is a damaged notebook",
    '{"nbformat": 99, "cells": []}': "it is a damaged notebook, or of an unknown format",
    '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}': "the notebook is empty",
    '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [7, {}]}': "the notebook is empty",
    '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = 1"}]}': "it holds no exercise of the notebooks",
    "\udcff\udcfe": "it is not a notebook: its content is not text in UTF-8",
}


def test_bad_files_get_a_sentence_each_and_others_are_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts import grade, grading

    monkeypatch.setattr(grading, "grade", lambda cells, *_: (outcomes("passed"), []))
    paths = [tmp_path / "missing.ipynb", tmp_path]
    for number, content in enumerate(BAD_FILES):
        paths.append(tmp_path / f"{number}.ipynb")
        paths[-1].write_bytes(content.encode("utf-8", "surrogateescape"))
    paths.append(Copy().save(tmp_path / "good.ipynb"))
    assert grade.main([*map(str, paths), "--json", "-"]) == 2
    output = capsys.readouterr()
    problems = [file["problem"] for file in json.loads(output.out)["files"]]
    sentences = ["there is no such file", "it is a folder; name the notebooks in it", *BAD_FILES.values()]
    for problem, sentence in zip(problems[:-1], sentences, strict=True):
        assert problem.startswith(sentence), (problem, sentence)
    assert problems[-1] is None
    assert output.err.count("\n") == len(paths) - 1
    assert grade.main([*map(str, paths)]) == 2
    report = capsys.readouterr().out
    assert "good.ipynb" in report
    assert report.count("not a notebook") == 5


def test_a_file_counts_once_and_jupyters_own_copies_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts import grade, grading

    monkeypatch.setattr(grading, "grade", lambda cells, *_: (outcomes("passed"), []))
    path = Copy().save(tmp_path / "ada.ipynb")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    old = Copy().save(tmp_path / ".ipynb_checkpoints" / "ada-checkpoint.ipynb")
    assert grade.main([str(path), str(tmp_path / "." / "ada.ipynb"), str(old)]) == 0
    output = capsys.readouterr()
    assert output.out.count("ada.ipynb") == 1
    assert "named more than once, graded once" in output.err
    assert "left out; it is Jupyter's own copy" in output.err
    assert grade.main([str(old.parent)]) == 2  # nothing is left to grade


# -- what the teacher reads -------------------------------------------------------------------------------------------


def outcomes(*what: str) -> list[Any]:
    from scripts.grading import Outcome

    states = [*what, *["passed"] * len(expected())][: len(expected())]
    return [
        Outcome(exercise.number, exercise.function, state, None if state == "passed" else "A mistake.", None)
        for exercise, state in zip(expected(), states, strict=True)
    ]


def grades(**files: list[Any]) -> list[Any]:
    from scripts.grade import Grade

    return [Grade(Path(f"class/{name}.ipynb"), topics()[0], None, found) for name, found in files.items()]


def test_a_table_and_below_it_what_is_wrong() -> None:
    from scripts.console import Paint
    from scripts.grade import Grade, report

    first, second = expected()[:2]
    wrong = outcomes("not yet", "not written")
    wrong[0] = wrong[0]._replace(hint="Divide.")
    ungraded = Grade(Path("class/x.ipynb"), problem="the file is empty")
    text = report([*grades(ada=outcomes(), bob=wrong), ungraded], Paint(io.StringIO()))
    number = len(expected())
    assert re.search(rf"^  ada\.ipynb +✓  .* {number}/{number}$", text, re.MULTILINE)
    assert re.search(rf"^  bob\.ipynb +✗ +– .* {number - 2}/{number}$", text, re.MULTILINE)
    assert (
        f"""
bob.ipynb
  {first.number} {first.function}: not yet. A mistake.
      Hint: Divide.
  not written: {second.number} {second.function}

Not graded
  class/x.ipynb: the file is empty
"""
        in text
    )
    assert text.count("ada.ipynb") == 1  # nothing is wrong with it


def columns(line: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in line)


def test_eighty_columns_are_enough_and_nothing_of_a_pupils_reaches_the_terminal() -> None:
    from scripts.console import Paint
    from scripts.grade import Grade, report
    from scripts.grading import STATES, Outcome, Stopped

    evil = "\x1b]0;title\x07\x1b[31m" + "bad words " * 200
    found = [Outcome(exercise.number, exercise.function, "error", evil, evil) for exercise in expected()]
    every = [outcomes(state) for state in STATES]
    given = grades(**{"李" * 60: found, "Ada Lovelace_12345_assignsubmission_file_" + "x" * 80: every[0]})
    given += grades(**{f"state{number}": states for number, states in enumerate(every)})
    given[0] = given[0]._replace(stopped=[Stopped(number, "error", f"{number} {evil}") for number in range(9)])
    text = report([*given, Grade(Path("x" * 30 + "\x1b[2J"), problem="bad " * 40)], Paint(io.StringIO()))
    assert max(columns(line) for line in text.split("\n") if not line.startswith(("李", "Ada"))) <= 80
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "and 6 more code cells stopped" in text
    totals = [line for line in text.split("\n") if re.search(r"\d/\d$", line)]
    assert len({columns(line) for line in totals}) == 1  # they stand below each other


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.console import Paint
    from scripts.grade import report

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = report(grades(bob=outcomes("missing")), Paint(Terminal()))
    plain = report(grades(bob=outcomes("missing")), Paint(io.StringIO()))
    assert "\x1b[1m" in coloured
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_the_json_is_what_the_help_says() -> None:
    from scripts.grade import Grade, as_json
    from scripts.grading import Stopped

    graded = grades(ada=outcomes("not yet"))[0]._replace(stopped=[Stopped(3, "error", "NameError: x")])
    content = json.loads(as_json([graded, Grade(Path("x.ipynb"), problem="the file is empty")]))
    exercise = expected()[0]
    assert content["version"] == 1
    first, second = content["files"]
    assert first["exercises"][0] == {
        "number": exercise.number,
        "function": exercise.function,
        "state": "not yet",
        "message": "A mistake.",
        "hint": None,
    }
    assert first["stopped"] == [{"cell": 3, "state": "error", "message": "NameError: x"}]
    assert {key: first[key] for key in ("file", "notebook", "problem", "passed", "total")} == {
        "file": str(Path("class/ada.ipynb")),
        "notebook": SOURCE.stem,
        "problem": None,
        "passed": len(expected()) - 1,
        "total": len(expected()),
    }
    assert second == {
        "file": "x.ipynb",
        "notebook": None,
        "problem": "the file is empty",
        "passed": 0,
        "total": 0,
        "exercises": [],
        "stopped": [],
    }


def test_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from scripts import grade, grading

    path = str(Copy().save(tmp_path / "ada.ipynb"))
    for state, code in ((grading.PASSED, 0), (grading.NOT_WRITTEN, 1), (grading.NOT_CHECKED, 1)):
        monkeypatch.setattr(grading, "grade", lambda *_, state=state: (outcomes(state), []))
        assert grade.main([path]) == code
    assert grade.main([path, str(tmp_path / "none.ipynb")]) == 2

    def no_kernel(*_: object) -> None:
        raise grading.NoKernelError("Python's kernel does not start: no memory")

    monkeypatch.setattr(grading, "grade", no_kernel)
    assert grade.main([path]) == 2
    assert "Python's kernel does not start: no memory" in " ".join(capsys.readouterr().out.split())


def test_grades_are_never_written_over_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from scripts import grade

    path = Copy().save(tmp_path / "ada.ipynb")
    before = path.read_bytes()
    for target, sentence in (
        (path, "that is a notebook, and it would be overwritten"),
        (tmp_path / "no" / "grades.json", "there is no folder for that file"),
        (tmp_path, "is a folder"),
    ):
        assert grade.main([str(path), "--json", str(target)]) == 2
        assert sentence in capsys.readouterr().err
    assert path.read_bytes() == before


def test_without_sources_it_says_where_grading_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts import grade, notebooks

    monkeypatch.setattr(notebooks, "SOURCES", tmp_path / "src")
    assert grade.main(["ada.ipynb"]) == 2
    assert "A handout has none: grade in the full checkout" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--jobs", "0"], ["--seconds", "nan"], ["--file-seconds", "-1"], []])
def test_options_that_make_no_sense_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from scripts import grade

    with pytest.raises(SystemExit) as refused:
        grade.main(["ada.ipynb", *options] if options else [])
    assert refused.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_help_warns_and_an_output_of_few_characters_will_do() -> None:
    told = run("--help", PYTHONIOENCODING="ascii")
    assert told.returncode == 0
    assert "EXECUTES WHAT THE PUPILS HAVE WRITTEN" in told.stdout
    assert max(map(len, told.stdout.split("\n"))) <= 100
