"""A pupil's notebook, executed in a kernel of its own, and what this checkout's checks say of its answers.

Only the kernel's replies are looked at, never what is printed: nothing that a pupil prints, in whatever amount, counts
or stands in the way.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import KernelManager

from .notebooks import NOTEBOOKS, ROOT, Exercise
from .run_notebook import environment

PASSED, NOT_YET, NOT_WRITTEN, MISSING = "passed", "not yet", "not written", "missing"
TIME, ERROR, NOT_CHECKED = "time", "error", "not checked"
STATES = (PASSED, NOT_YET, NOT_WRITTEN, MISSING, TIME, ERROR, NOT_CHECKED)

_START_SECONDS = 120.0  # for the kernel to start and to import PyTorch, on a slow machine
_GRACE_SECONDS = 5.0  # for a cell to end after it was interrupted
_POLL_SECONDS = 0.5
_LIMIT = "time limit"  # as the error of a reply; no exception has a name like that
_CHECK_LINE = re.compile(r"^([ \t]*)check\.\w+\(.*\)[ \t;]*(?:#.*)?$", re.MULTILINE)


class Limits(NamedTuple):
    """How many seconds a cell or a check may take, and a whole file."""

    cell: float = 60.0
    file: float = 300.0


class Outcome(NamedTuple):
    """What became of one exercise."""

    number: str
    function: str
    state: str  # one of STATES
    message: str | None = None  # what is wrong, in a line or a few
    hint: str | None = None


class Stopped(NamedTuple):
    """A cell of the pupil's that ended with an error or at its limit; the cells after it were executed all the same."""

    cell: int  # counted among the code cells, from 1
    state: str  # TIME or ERROR
    message: str


class NoKernelError(RuntimeError):
    """There is no kernel to grade with, or the checks of this checkout do not run in it."""


class KernelDiedError(RuntimeError):
    """The kernel is no more."""


class KernelStuckError(KernelDiedError):
    """It had to be ended, as a cell took too long and could not be interrupted."""


class InterruptedGradingError(RuntimeError):
    """The person who grades has pressed Ctrl-C."""


class Reply(NamedTuple):
    """How a cell ended: no error, an error's name and message, or `_LIMIT`; and the value that was asked for."""

    error: str | None = None
    message: str = ""
    value: str | None = None


class Kernel:
    """A kernel in a folder of its own, which looks like the project's to the cell that searches for it.

    with Kernel(stop) as kernel:
        reply = kernel.execute("1 / 0", seconds=60)     # Reply(error="ZeroDivisionError", message="division by zero")
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._folder = tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True)
        # The first cell of a notebook looks for a folder with notebooks/checks. An empty one will do: Python takes a
        # package, wherever it is on the path, before a folder that merely has its name.
        here = Path(self._folder.name) / "notebooks"
        (here / "checks").mkdir(parents=True)
        paths = [str(ROOT), str(NOTEBOOKS), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._manager = KernelManager(kernel_name="python3")
        try:
            self._manager.start_kernel(
                cwd=str(here),
                env=environment() | {"PYTHONPATH": os.pathsep.join(paths)},
                extra_arguments=["--HistoryManager.hist_file=:memory:"],  # the teacher's own history stays as it is
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._client: BlockingKernelClient = self._manager.client()
            self._client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
            self._wait(self._client.kernel_info(), time.monotonic() + _START_SECONDS)
        except (OSError, NoSuchKernel, KernelDiedError, TimeoutError) as error:
            self.__exit__()
            raise NoKernelError(f"Python's kernel does not start: {error}") from error
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_client"):
            self._client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
        self._folder.cleanup()

    def execute(self, code: str, seconds: float, value: str | None = None) -> Reply:
        """Execute a cell, and then evaluate `value`. At its limit a cell is interrupted.

        Raises KernelDiedError, also where a cell cannot be interrupted: then the kernel is ended.
        """
        expressions = {} if value is None else {"value": value}
        request = self._client.execute(code, user_expressions=expressions, allow_stdin=False, stop_on_error=False)
        try:
            content = self._wait(request, time.monotonic() + seconds)
        except TimeoutError:
            self._manager.interrupt_kernel()
            try:
                self._wait(request, time.monotonic() + _GRACE_SECONDS)
            except TimeoutError:
                self._manager.shutdown_kernel(now=True)
                raise KernelStuckError("it took too long and could not be interrupted") from None
            return Reply(_LIMIT, f"took longer than {seconds:.3g} s")
        if content["status"] != "ok":
            return Reply(content.get("ename", "an error"), content.get("evalue", ""))
        found = content["user_expressions"].get("value", {})
        return Reply(value=ast.literal_eval(found["data"]["text/plain"]) if found.get("status") == "ok" else None)

    def _wait(self, request: str, until: float) -> dict[str, Any]:
        """The content of the reply to a request. Raises TimeoutError and KernelDiedError."""
        while True:
            if self._stop.is_set():
                raise InterruptedGradingError
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("it takes too long")
            try:
                reply = self._client.get_shell_msg(timeout=min(left, _POLL_SECONDS))
            except Empty:
                if not self._manager.is_alive():
                    raise KernelDiedError("it ended by itself, by os._exit or for want of memory") from None
                continue
            if reply["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = reply["content"]
                return content


class Examiner:
    """What tries the pupil's functions, inside the kernel.

    This class's own text is sent there and runs beside whatever the pupil has defined. So it uses nothing from outside
    itself.
    """

    def __init__(self, shell: Any, names: list[str]) -> None:
        self._shell = shell
        self._functions: dict[str, Any] = dict.fromkeys(names)
        shell.events.register("post_run_cell", self.remember)
        shell.ask_exit = lambda: None  # a forgotten exit() would end the kernel, and with it all that is right

    def remember(self, *_: object) -> None:
        """After each cell: functions stay known, also when their name is given to something else further down."""
        for name in self._functions:
            value = self._shell.user_ns.get(name)
            if type(value).__name__ == "function":
                self._functions[name] = value

    def judge(self, root: str, module: str, name: str) -> str:
        """What the check `name` of `checks.module` says of that function, as JSON: a state and a message."""
        import contextlib
        import importlib
        import json
        import os
        import sys

        def said(state: str, message: str = "") -> str:
            return json.dumps({"state": state, "message": message[:10_000]})

        function = self._functions[name]
        if function is None and name not in self._shell.user_ns:
            return said("missing", f"There is no function {name}.")
        if function is None:
            function = self._shell.user_ns[name]
        if not callable(function):
            return said("missing", f"{name} is no function, but of type {type(function).__name__}.")
        for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == "checks"]:
            del sys.modules[loaded]  # whatever the pupil has changed in it
        sys.path[:0] = [root, os.path.join(root, "notebooks")]  # noqa: PTH118
        importlib.invalidate_caches()
        check = getattr(importlib.import_module(f"checks.{module}"), name)
        failed = importlib.import_module("checks.checking").CheckFailed
        try:
            with (
                open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
                contextlib.redirect_stdout(nowhere),
                contextlib.redirect_stderr(nowhere),
            ):
                check(function)
        except failed as error:
            return said("not yet", str(error))
        except NotImplementedError:  # the stub's own; of any other the check says what it means
            return said("not written")
        except KeyboardInterrupt:  # that is the time limit
            raise
        except BaseException as error:
            try:
                return said("error", f"It stops with {type(error).__name__}: {error}")
            except Exception:  # an error that cannot be written down
                return said("error", f"It stops with {type(error).__name__}.")
        return said("passed")


_EXAMINER = f"from __future__ import annotations\nfrom typing import Any\n{inspect.getsource(Examiner)}"


def grade(
    cells: Sequence[str], exercises: Sequence[Exercise], module: str, limits: Limits, stop: threading.Event
) -> tuple[list[Outcome], list[Stopped]]:
    """Execute the pupil's code cells in order, then check each exercise; and which cells stopped.

    Raises NoKernelError, and InterruptedGradingError when `stop` is set.
    """
    stopped: list[Stopped] = []
    outcomes: list[Outcome] = []
    died: str | None = None
    with Kernel(stop) as kernel:
        examiner = _prepare(kernel, exercises, module)
        end = time.monotonic() + limits.file
        for number, cell in enumerate(cells, start=1):
            seconds = min(limits.cell, end - time.monotonic())
            if seconds <= 0:
                break
            try:
                reply = kernel.execute(without_checks(cell), seconds)
            except KernelDiedError as error:
                died = f"The kernel died in code cell {number}: {error}."
                stopped.append(Stopped(number, ERROR, died))
                break
            if reply.error is not None:
                stopped.append(_stopped(number, reply))
        for exercise in exercises:
            if died is not None:
                outcomes.append(Outcome(exercise.number, exercise.function, NOT_CHECKED, died))
                continue
            seconds = min(limits.cell, end - time.monotonic())
            if seconds <= 0:
                over = f"Not checked: the {limits.file:.3g} s of the whole file were over."
                outcomes.append(Outcome(exercise.number, exercise.function, TIME, over))
                continue
            try:
                state, message = _checked(kernel, examiner, exercise, module, seconds)
            except KernelDiedError as error:
                died = f"The kernel died in Exercise {exercise.number}."
                state = TIME if isinstance(error, KernelStuckError) else ERROR
                message = f"The kernel died in this check: {error}."
            if state == MISSING:
                state, message = _why_missing(exercise.function, cells, stopped) or (state, message)
            elif state != PASSED and len(defining(exercise.function, cells)) > 1:
                message += f"\n{exercise.function} is defined more than once; the last one counts."
            outcomes.append(_outcome(exercise, state, message))
    return outcomes, stopped


def without_checks(cell: str) -> str:
    """The cell without the lines that check: the pristine checks come after all cells."""
    return _CHECK_LINE.sub(r"\1pass", cell)


def defining(function: str, cells: Sequence[str]) -> list[int]:
    """The numbers of the cells that define this function."""
    definition = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{function}\b", re.MULTILINE)
    return [number for number, cell in enumerate(cells, start=1) if definition.search(cell)]


def _prepare(kernel: Kernel, exercises: Sequence[Exercise], module: str) -> str:
    """The name of a module in the kernel that has an examiner. PyTorch is imported before a pupil's time begins."""
    name = f"grade_{secrets.token_hex(8)}"  # nobody else writes to this name
    code = [
        f"import sys as {name}_sys, types as {name}_types, checks.{module} as {name}_checks",
        f"{name} = {name}_sys.modules[{name!r}] = {name}_types.ModuleType({name!r})",
        f"exec({_EXAMINER!r}, vars({name}))",
        f"{name}.examiner = {name}.Examiner(get_ipython(), {[exercise.function for exercise in exercises]!r})",
    ]
    try:
        reply = kernel.execute("\n".join(code), _START_SECONDS)
    except KernelDiedError as error:
        reply = Reply("KernelDiedError", str(error))
    if reply.error is not None:
        raise NoKernelError(f"the checks of this checkout do not run: {reply.error}: {_first_line(reply.message)}")
    return name


def _checked(kernel: Kernel, examiner: str, exercise: Exercise, module: str, seconds: float) -> tuple[str, str]:
    """The state and the message of one exercise."""
    arguments = ", ".join(map(repr, [str(ROOT), module, exercise.function]))
    # a statement: it works whatever the pupil has given the name of a builtin, and after %reset
    code = f"import {examiner}\n{examiner}.answer = {examiner}.examiner.judge({arguments})"
    reply = kernel.execute(code, seconds, value=f"{examiner}.answer")
    if reply.error == _LIMIT:
        return TIME, f"It {reply.message}."
    if reply.value is None:
        return ERROR, f"The check could not run: {reply.error}: {reply.message}"
    said = json.loads(reply.value)
    return said["state"], said["message"]


def _outcome(exercise: Exercise, state: str, message: str) -> Outcome:
    """The outcome, with the hint apart and without the words that every message begins with."""
    lines = message.split("\n")
    hint = next((line.removeprefix("Hint: ") for line in lines if line.startswith("Hint: ")), None)
    if state == NOT_YET:  # the first line says what is wrong; below it are the call and both values
        lines = [lines[0], *(line for line in lines[1:] if line.startswith(f"{exercise.function} is defined"))]
    start = re.compile(rf"^Exercise {re.escape(exercise.number)}: (?:{exercise.function} is not right yet\. )?")
    told = start.sub("", "\n".join(lines)).strip()
    return Outcome(exercise.number, exercise.function, state, told or None, hint)


def _why_missing(function: str, cells: Sequence[str], stopped: Sequence[Stopped]) -> tuple[str, str] | None:
    """Where a function is missing because the cell that defines it stopped: how it did."""
    places = defining(function, cells)
    for cell, state, message in reversed(stopped):
        if cell in places:
            return state, f"Its cell {'stops with ' if state == ERROR else ''}{message}."
    return None


def _stopped(cell: int, reply: Reply) -> Stopped:
    if reply.error == _LIMIT:
        return Stopped(cell, TIME, reply.message)
    message = re.sub(r"\((?:\S+\.py|<\S+>), line (\d+)\)", r"(line \1)", _first_line(reply.message))
    return Stopped(cell, ERROR, f"{reply.error}: {message}" if message else str(reply.error))


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]
