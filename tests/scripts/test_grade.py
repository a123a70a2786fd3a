"""scripts/grade.py: what a file is taken for, what the checks say of its answers, and what the teacher reads."""

from __future__ import annotations

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
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from decoding.legible import columns
from scripts.paint import Paint
from tests.conftest import EXTRAS, ROOT

if all(map(find_spec, EXTRAS["notebooks"])):  # otherwise all of this is skipped
    from nbformat.v4 import new_code_cell

    from scripts import grade, grading, notebooks
    from scripts import kernel as kernels
    from scripts.examiner import Examiner, State
    from scripts.grade_report import as_json, report
    from scripts.grading import Grade, Limits, Outcome, Stopped, examine, without_checks
    from scripts.hand_ins import HandIn, UngradableError, read_topics, recognise
    from scripts.kernel import Reply
    from scripts.notebooks import read_source, student_copy, tags_of, worked_copy

pytestmark = pytest.mark.notebooks

SOURCES = sorted((ROOT / "notebooks" / "src").glob("[0-9]*.py"))
SOURCE = next(path for path in SOURCES if path.name.startswith("04"))
SOLVED, DELETED = "solved", "deleted"
FOREVER = "while True: pass"


# -- copies of a notebook, as pupils hand them in ---------------------------------------------------------------------


@functools.cache  # reading the sources takes a while; nobody changes what is read
def parsed(path: Path = SOURCE) -> Any:
    return read_source(path)


@functools.cache
def topics() -> list[Any]:
    return read_topics()


def topic() -> Any:
    return next(topic for topic in topics() if topic.name == SOURCE.stem)


def copy(*answers: str, first: Sequence[str] = (), last: Sequence[str] = ()) -> Any:
    """A student copy with these answers, each a line, more cells before and behind, and only the code that it needs."""
    notebook = student_copy(parsed(), SOURCE.name, solutions=False)
    stubs = [cell for cell in notebook.cells if "exercise" in tags_of(cell)]
    for cell, exercise, answer in zip(stubs, topic().exercises, answers, strict=False):
        if answer == DELETED:
            notebook.cells.remove(cell)
        if answer == SOLVED:
            cell.source = parsed().cells[exercise.stub].source
        cell.source = re.sub(r"raise NotImplementedError\(.*\)", answer, cell.source)
    needed = {"setup", "exercise", "check"}
    own = [cell for cell in notebook.cells if needed & {*tags_of(cell)} or "import torch" in cell.source]
    notebook.cells = [*map(new_code_cell, first), *own, *map(new_code_cell, last)]
    return notebook


def save(notebook: Any, path: Path) -> Path:
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


# -- real ones, graded once -------------------------------------------------------------------------------------------


def right_amid_everything_that_disturbs() -> bytes:
    """Edited checks, names of builtins, input(), exit(), noise, no ids, no tags, another editor's way to write it."""
    first = ["%reset -f", "exec = eval = globals = vars = json = importlib = None", "x = input('Name? ')", "def f(:"]
    last = [
        "from checks import checking; checking.Check.__call__ = lambda *_: 1 / 0",
        "\n".join(f"{exercise.function} = 0.5" for exercise in topic().exercises),
        "exit()",
        "check.no_such_check(3)\nimport time; time.sleep(0.5)",  # a kernel that heeds exit() ends a little later
        """import builtins; builtins.print('("not yet", "")' * 100_000)""",
    ]
    notebook = copy(*[SOLVED] * 4, first=first, last=last)
    for cell in notebook.cells:
        cell["metadata"] = {"colab": {"base_uri": "x"}}
        del cell["id"]
        cell["source"] = cell["source"].replace("\n", "\r\n").splitlines(keepends=True)
    text = json.dumps({**notebook, "metadata": {"vscode": {}}}, indent=1)
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By name, what the JSON says of each file."""
    folder = tmp_path_factory.mktemp("hand_ins")
    (folder / "right.ipynb").write_bytes(right_amid_everything_that_disturbs())
    second = f"def {topic().exercises[0].function}(*_):\n    raise NotImplementedError('Exercise 4.1: write it')"
    save(copy(SOLVED, DELETED, "import os; os._exit(1)", last=[second]), folder / "lost.ipynb")
    forged = "print(('passed', '')); return logits / t"
    edited = "from checks import checking; checking.Check.__call__ = lambda *_: print('right ✓')"
    stops = "check.no_such_check(3)\nraise ValueError('a reason')"
    save(copy(forged, FOREVER, "return (", "raise SystemExit(3)", last=[edited, stops]), folder / "wrong.ipynb")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    target = folder.parent / "grades.json"
    files = []
    # an endless loop takes all of its limit: the file that has one gets a short limit, of its own
    for names, seconds in ((("right", "lost"), "60"), (("wrong",), "4")):
        paths = [str(folder / f"{name}.ipynb") for name in names]
        assert grade.main([*paths, "--seconds", seconds, "--json", str(target)]) == 1
        files += json.loads(target.read_text(encoding="utf-8"))["files"]
    assert {path: path.read_bytes() for path in folder.iterdir()} == before  # they are only read
    for file in files:
        assert (file["notebook"], file["problem"], file["total"]) == (SOURCE.stem, None, 4)
        assert [exercise["number"] for exercise in file["exercises"]] == ["4.1", "4.2", "4.3", "4.4"]
    return {Path(file["file"]).stem: file for file in files}


def told(file: dict[str, Any]) -> tuple[list[Any], ...]:
    return tuple([exercise[key] for exercise in file["exercises"]] for key in ("state", "message"))


def test_right_answers_pass_amid_everything_that_disturbs(graded: dict[str, dict[str, Any]]) -> None:
    assert told(graded["right"]) == (["passed"] * 4, [None] * 4)
    assert graded["right"]["passed"] == 4
    stopped = [stopped["message"].split(":")[0] for stopped in graded["right"]["stopped"]]
    assert stopped == ["StdinNotImplementedError", "SyntaxError"]


def test_wrong_and_endless_and_broken_answers(graded: dict[str, dict[str, Any]]) -> None:
    states, messages = told(graded["wrong"])
    assert states == ["not yet", "time", "error", "error"]
    assert not messages[0].startswith("Exercise")
    assert "\n" not in messages[0]
    assert graded["wrong"]["exercises"][0]["hint"] is not None
    assert messages[1] == "It took longer than 4 s."
    assert messages[2].startswith("Its cell stops. SyntaxError: ")
    assert messages[3] == "It stops with SystemExit: 3"
    assert graded["wrong"]["stopped"][-1]["message"] == "ValueError: a reason"  # the check line above it was left out


def test_lost_answers_and_a_lost_kernel(graded: dict[str, dict[str, Any]]) -> None:
    first, second, *_ = topic().exercises
    states, messages = told(graded["lost"])
    assert states == ["not written", "missing", "error", "not checked"]
    assert messages[0] == f"{first.function} is defined more than once; the last one counts."
    assert messages[1] == f"There is no function {second.function}."
    assert messages[2:] == ["The kernel died: by os._exit, or for want of memory.", None]


# -- the kernel -------------------------------------------------------------------------------------------------------


def test_a_kernel_runs_in_a_folder_of_its_own_that_looks_like_the_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_GRACE_SECONDS", 0.5)
    setup = next(cell.source for cell in parsed().cells if cell.cell_type == "code")
    with kernels.start_kernel(threading.Event()) as kernel:
        assert kernel.execute(setup, 60) == Reply()
        folder = kernel.execute("import checks, os, sys, time", 60, "sys.path[0]").value
        assert Path(folder).name.startswith("grade-")
        assert kernel.execute("", 60, "checks.__file__").value == str(ROOT / "notebooks/checks/__init__.py")
        assert kernel.execute("print('x' * 10_000_000)", 60, "os.environ['HF_HUB_OFFLINE']").value == "1"
        assert kernel.execute("raise TimeoutError('mine\\nnot this')", 60) == Reply("error", "TimeoutError: mine")
        assert kernel.execute("a = (", 60).message.endswith("(line 1)")
        assert kernel.execute("raise KeyError", 60) == Reply("error", "KeyError")
        assert kernel.execute("time.sleep(600)", 0.5) == Reply("time", "It took longer than 0.5 s.")
        assert kernel.execute("a = 'still there'", 60, "a").value == "still there"
        shown = "get_ipython().display_formatter.formatters['text/plain'].for_type(str, lambda *_: 1 / 0)"
        assert kernel.execute(shown, 60, "a") == Reply("error", "The kernel does not tell its values.")
        stubborn = "while True:\n    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n        pass"
        assert kernel.execute(stubborn, 0.5).message.endswith("could not be interrupted; the kernel was ended.")
        assert kernel.execute("", 60) == Reply("not checked")
    assert not Path(folder).exists()


def test_a_file_has_a_limit_too() -> None:
    hand_in = HandIn(topic(), ["import time; time.sleep(600)", "x = 1"])
    outcomes, stopped = examine(hand_in, Limits(cell=60, file=0.5), threading.Event())
    assert {outcome[2:] for outcome in outcomes} == {("time", "The 0.5 s of the whole file were over.", None)}
    assert [cell.cell for cell in stopped] == [1]


def test_a_cell_may_end_the_kernel() -> None:
    hand_in = HandIn(topic(), ["x = 1", "import os; os._exit(1)", "x = 1"])
    outcomes, stopped = examine(hand_in, Limits(), threading.Event())
    assert {outcome[2:] for outcome in outcomes} == {("not checked", None, None)}
    assert stopped == [(2, "error", "The kernel died: by os._exit, or for want of memory.")]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    started = tmp_path / "started"
    endless = copy(first=[f"import os; open({str(started)!r}, 'w').write(str(os.getpid()))\n{FOREVER}"])
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "grade.py"), str(save(endless, tmp_path / "endless.ipynb"))],
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
    assert (process.returncode, out, err) == (130, b"", b"grade.py: interrupted; nothing is written\n")
    with pytest.raises(ProcessLookupError):  # no kernel is left behind
        os.kill(int(started.read_text()), 0)


# -- what a check says, without a kernel ------------------------------------------------------------------------------


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[str, str]]]:
    """The examiner's judgement of the first exercise's function, to whose name cells give these values one by one."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    loaded = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "checks"}

    def judged(*values: Any) -> tuple[str, str]:
        name = topic().exercises[0].function
        shell = SimpleNamespace(user_ns={}, events=SimpleNamespace(register=lambda *_: None))
        examiner = Examiner(shell, [name])
        for value in values:
            shell.user_ns[name] = value
            examiner.remember()
        examiner.judge(topic().module, name)
        assert examiner.answer is not None
        return examiner.answer

    yield judged
    for module in [module for module in sys.modules if module.split(".")[0] == "checks"]:
        del sys.modules[module]
    sys.modules.update(loaded)


def raising(error: BaseException) -> Callable[..., None]:
    def function(*_: object, **__: object) -> None:
        raise error

    return function


def test_states_of_a_function(judge: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.checking.Check.__call__", lambda *_: None)  # what counts is what the file says
    name = topic().exercises[0].function
    unwritable = type("Unwritable", (BaseException,), {"__str__": lambda _: 1 / 0})
    assert judge() == ("missing", f"There is no function {name}.")
    assert judge(3) == ("missing", f"There is no function {name}, but {name} of type int.")
    assert judge(raising(NotImplementedError(f"Exercise 4.1: write {name}"))) == ("not written", "")
    assert judge(raising(NotImplementedError("Exercise 9.9: write it")))[0] == "not yet"
    assert judge(raising(SystemExit(2))) == ("error", "It stops with SystemExit: 2")
    assert judge(raising(unwritable())) == ("error", "It stops with Unwritable")
    state, message = judge(lambda *_: None)
    assert state == "not yet"
    assert message.startswith(f"Exercise 4.1: {name} is not right yet. ")
    assert judge(lambda *_: None, 4.0) == (state, message)  # a variable of that name does not hide the function


def test_a_pupils_own_check_lines_are_left_out() -> None:
    cell = "x = 1\ncheck.f(f)\nif x:\n    check.g(g);  # mine\nrecheck.f(f)\ny = check.f"
    assert without_checks(cell) == "x = 1\npass\nif x:\n    pass\nrecheck.f(f)\ny = check.f"


# -- what a file is ---------------------------------------------------------------------------------------------------


def test_copies_are_recognised_by_what_they_hold() -> None:
    for path in SOURCES:
        for notebook in (student_copy(parsed(path), path.name), worked_copy(parsed(path), path.name)):
            code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
            prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
            one = [text for text in prose if re.search(r"^#+ Exercise", text, re.MULTILINE)][:1]
            unchecked = [cell for cell in code if "checks" not in cell]
            for held in (code + prose, code, prose, unchecked, one):
                assert recognise("\n".join(held), topics()).name == path.stem
    with pytest.raises(UngradableError, match="it holds no exercise of the notebooks that are here"):
        recognise("import torch\nExercises are good for you", topics())
    twice = [topic()._replace(name="01_here"), topic()._replace(name="02_there")]
    with pytest.raises(UngradableError, match="it could be a copy of 01_here or of 02_there"):
        recognise("## Exercise 4.1", twice)


BAD_FILES = {
    "": "it is empty, or no notebook",
    "hello": "it is empty, or no notebook",
    "[" * 100_000: "it is empty, or no notebook",
    "\udcff\udcfe": "it is empty, or no notebook",
    '{"cells": [{"cell_type": "code", "source": "\\ud800"}]}': "it is empty, or no notebook",  # half a character
    "{}": "it is JSON, but no notebook",
    "[1]": "it is JSON, but no notebook",
    '{"nbformat": 4, "cells": [7, {}]}': "it is JSON, but no notebook, or a damaged one",
    '{"nbformat": 4, "cells": [{"cell_type": "code", "source": 8}]}': "it is JSON, but no notebook, or a damaged one",
    '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = 1"}]}': "it holds no exercise of the notebooks",
}


Quick = Callable[..., tuple[Any, str, str]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Quick:
    """The exit code of `grade.main` and what it writes, where the first exercise gets the state `found` unexecuted."""

    def main(*arguments: object, found: str = "passed") -> tuple[Any, str, str]:
        monkeypatch.setattr(grading, "examine", lambda *_: (outcomes(found), []))
        try:
            code: Any = grade.main([*map(str, arguments)])
        except SystemExit as refused:
            code = refused.code
        return code, *capsys.readouterr()

    return main


@pytest.fixture
def ada(tmp_path: Path) -> Path:
    return save(copy(), tmp_path / "ada.ipynb")


def test_bad_files_get_a_sentence_each_and_others_are_graded(tmp_path: Path, ada: Path, quick: Quick) -> None:
    paths = [tmp_path / "none.ipynb"]
    for number, content in enumerate(BAD_FILES):
        paths.append(tmp_path / f"{number}.ipynb")
        paths[-1].write_bytes(content.encode("utf-8", "surrogateescape"))
    code, out, _ = quick(*paths, ada, "--json", "-")
    problems = [file["problem"] for file in json.loads(out)["files"]]
    sentences = ["it cannot be read: ", *BAD_FILES.values()]
    for problem, sentence in zip(problems[:-1], sentences, strict=True):
        assert problem.startswith(sentence), (problem, sentence)
    assert (code, problems[-1]) == (2, None)
    table, ungraded = quick(*paths, ada)[1].split("Not graded")
    assert "ada.ipynb" in table
    assert ungraded.count(".ipynb: ") == len(paths)


def test_a_folder_stands_for_the_notebooks_in_it(tmp_path: Path, ada: Path, quick: Quick) -> None:
    hand_ins = tmp_path / "hand_ins"
    hand_ins.mkdir()
    assert "there is nothing to grade" in quick(hand_ins)[2]
    (hand_ins / "eve.ipynb").write_bytes(ada.read_bytes())
    (hand_ins / "notes.txt").write_text("not a notebook", encoding="utf-8")
    code, out, _ = quick(hand_ins)
    assert (code, out.count("eve.ipynb"), "notes" in out) == (0, 1, False)


def test_a_file_counts_once_and_jupyters_own_copies_do_not(tmp_path: Path, ada: Path, quick: Quick) -> None:
    (tmp_path / ".ipynb_checkpoints").mkdir()
    old = save(copy(), tmp_path / ".ipynb_checkpoints" / "ada-checkpoint.ipynb")
    code, out, _ = quick(ada, tmp_path / "." / "ada.ipynb", old)
    assert (code, out.count("ada.ipynb"), out.count("checkpoint")) == (0, 1, 0)
    assert "there is nothing to grade" in quick(old)[2]


# -- what the teacher reads -------------------------------------------------------------------------------------------


def outcomes(*states: Any) -> list[Any]:
    """These states, and passed for the other exercises."""
    message = dict.fromkeys(("passed", "not written", "not checked"))
    return [
        Outcome(exercise.number, exercise.function, state, message.get(state, "A mistake."))
        for exercise, state in zip(topic().exercises, [*states, *["passed"] * (4 - len(states))], strict=True)
    ]


def grades(**files: list[Any]) -> list[Any]:
    return [Grade(Path(f"class/{name}.ipynb"), topic(), None, found) for name, found in files.items()]


def test_a_table_and_below_it_what_is_wrong() -> None:
    first, second, third, fourth = (f"{exercise.number} {exercise.function}" for exercise in topic().exercises)
    wrong = outcomes("not yet", "not written", "not written", "not checked")
    wrong[0] = wrong[0]._replace(hint="Divide.")
    ungraded = Grade(Path("class/x.ipynb"), problem="it is empty")
    text = report([*grades(ada=outcomes(), bob=wrong), ungraded], Paint(io.StringIO()))
    assert re.search(r"^  ada\.ipynb +✓ +✓ +✓ +✓ +4/4$", text, re.MULTILINE)
    assert re.search(r"^  bob\.ipynb +✗ +– +– +· +0/4$", text, re.MULTILINE)
    assert text.endswith(
        f"""
✓ passed  ✗ not yet  – not written  · not checked

bob.ipynb
  {first}: not yet. A mistake.
      Hint: Divide.
  not written: {second}, {third}
  not checked: {fourth}

Not graded
  class/x.ipynb: it is empty
"""
    )
    assert text.count("ada.ipynb") == 1  # nothing is wrong with it


def test_eighty_columns_are_enough_and_nothing_of_a_pupils_reaches_the_terminal() -> None:
    evil = "\x1b]0;title\x07\x1b[31m" + "bad words\n" * 200
    found = [outcome._replace(state="error", message=evil, hint=evil) for outcome in outcomes()]
    given = grades(**{"李" * 60: found, "Ada Lovelace_12345_assignsubmission_file_" + "x" * 80: outcomes()})
    given += grades(**{state: outcomes(state) for state in get_args(State)})
    given[0] = given[0]._replace(stopped=[Stopped(number, "error", f"{number} {evil}") for number in range(9)])
    given.append(Grade(Path("x" * 30 + "\x1b[2J"), problem="bad " * 40))
    text = report(given, Paint(io.StringIO()))
    lines = text.split("\n")
    assert max(columns(line) for line in lines if not line.startswith("李")) <= 80  # that is a heading, not cut
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "and 6 more code cells stopped" in text
    assert len({columns(line) for line in lines if re.search(r"\d/\d$", line)}) == 1  # they stand below each other


def test_colour_is_for_terminals_and_few_characters_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    coloured, plain = (report(grades(bob=outcomes("missing")), Paint(stream)) for stream in (terminal, io.StringIO()))
    assert "\x1b[1m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert "bob.ipynb                  ?    +    +    +" in report(grades(bob=outcomes("missing")), Paint(sys.stdout))
    assert grade.main(["žofie.ipynb"]) == 2  # and no UnicodeEncodeError


def test_the_json_is_what_the_help_says() -> None:
    graded = grades(ada=outcomes("not yet"))[0]._replace(stopped=[Stopped(3, "error", "NameError: x")])
    content = json.loads(as_json([graded, Grade(Path("x.ipynb"), problem="it is empty")]))
    first, second = content["files"]
    assert content["version"] == 1
    exercise = {"number": "4.1", "function": topic().exercises[0].function, "state": "not yet"}
    assert first.pop("exercises")[0] == {**exercise, "message": "A mistake.", "hint": None}
    stopped = [{"cell": 3, "state": "error", "message": "NameError: x"}]
    rest = {"notebook": SOURCE.stem, "problem": None, "passed": 3, "total": 4, "stopped": stopped}
    assert first == {"file": str(Path("class/ada.ipynb")), **rest}
    nothing: dict[str, Any] = {"notebook": None, "passed": 0, "total": 0, "exercises": [], "stopped": []}
    assert second == {"file": "x.ipynb", "problem": "it is empty", **nothing}


def test_exit_codes(ada: Path, quick: Quick) -> None:
    assert [quick(ada, found=found)[0] for found in ("passed", "not written", "not checked")] == [0, 1, 1]
    assert quick(ada, ada.parent / "none.ipynb")[0] == 2


def test_no_kernel_is_the_files_problem(ada: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.kernel.KernelManager.start_kernel", raising(OSError("no memory")))
    found = grading.grade(ada, topics(), Limits(), threading.Event())
    assert found == Grade(ada, topic(), "Python's kernel does not start: no memory")


def test_grades_are_never_written_over_a_hand_in(tmp_path: Path, ada: Path, quick: Quick) -> None:
    bob = save(copy(), tmp_path / "bob.json")
    before = ada.read_bytes()
    for target in (ada, bob, tmp_path / "new.ipynb"):
        code, _, err = quick(ada, bob, "--json", target)
        assert (code, err) == (2, f"grade.py: --json {target} would overwrite a notebook; name a .json file\n")
    assert ada.read_bytes() == bob.read_bytes() == before
    for nowhere in (tmp_path / "no" / "grades.json", ""):
        code, out, err = quick(ada, "--json", nowhere)
        assert (code, out, "there is no folder for that file" in err) == (2, "", True)  # said before the long work
    code, out, err = quick(ada, "--json", tmp_path)
    assert (code, "4/4" in out, "cannot be written: " in err) == (2, True, True)  # and the work is not lost


def test_what_cannot_be_done_is_said_and_the_help_warns(
    tmp_path: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option, value in (("--jobs", "0"), ("--seconds", "nan"), ("--file-seconds", "a")):
        code, _, err = quick("ada.ipynb", option, value)
        assert code == 2
        assert f"{option}: a number above 0 is needed; got '{value}'" in err
    _, out, _ = quick("--help")
    assert "EXECUTES WHAT THE PUPILS HAVE WRITTEN" in out
    assert max(map(len, out.split("\n"))) <= 100
    monkeypatch.setattr(notebooks, "SOURCES", tmp_path)
    assert "A handout has none: grade in the full checkout" in quick("ada.ipynb")[2]
