"""One hand-in graded: its cells executed in a kernel of its own, then each exercise tried by this checkout's check."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .examiner import State
from .hand_ins import HandIn, Topic, UngradableError, read_hand_in
from .kernel import Kernel, NoKernelError, Reply, start_kernel
from .notebooks import Exercise

_START_SECONDS = 120.0  # for the kernel to start and to import PyTorch, on a slow machine
_CHECK_LINE = re.compile(r"^([ \t]*)check\.\w+\(.*\)[ \t;]*(?:#.*)?$", re.MULTILINE)


class Limits(NamedTuple):
    """How many seconds a cell or a check may take, and a whole file."""

    cell: float = 60.0
    file: float = 300.0


class Outcome(NamedTuple):
    """What became of one exercise."""

    number: str
    function: str
    state: State
    message: str | None = None  # what is wrong
    hint: str | None = None


class Stopped(NamedTuple):
    """A cell of the pupil's that ended with an error or at its limit."""

    cell: int  # counted among the code cells, from 1
    state: State
    message: str


class Grade(NamedTuple):
    """What became of a file; `problem` where it was not graded."""

    path: Path
    topic: Topic | None = None
    problem: str | None = None
    outcomes: Sequence[Outcome] = ()
    stopped: Sequence[Stopped] = ()

    @property
    def passed(self) -> int:
        return sum(outcome.state == "passed" for outcome in self.outcomes)


def grade(path: Path, topics: Sequence[Topic], limits: Limits, stop: threading.Event) -> Grade:
    """Grade a file. Raises KeyboardInterrupt when `stop` is set."""
    topic: Topic | None = None
    try:
        hand_in = read_hand_in(path, topics)
        topic = hand_in.topic
        outcomes, stopped = examine(hand_in, limits, stop)
    except (UngradableError, NoKernelError) as error:
        return Grade(path, topic, str(error))
    except Exception as error:  # whatever this file has brought about, the others are graded
        return Grade(path, topic, f"grading it failed with {type(error).__name__}: {error}")
    return Grade(path, topic, None, outcomes, stopped)


def examine(hand_in: HandIn, limits: Limits, stop: threading.Event) -> tuple[list[Outcome], list[Stopped]]:
    """Execute the code cells in order, whatever stops one of them, and then the checks. Raises NoKernelError."""
    with start_kernel(stop) as kernel:
        examiner = _prepare(kernel, hand_in.topic)
        end = time.monotonic() + limits.file

        def execute(code: str, value: str = "None") -> Reply:
            left = end - time.monotonic()
            if left <= 0:
                return Reply("time", f"The {limits.file:.3g} s of the whole file were over.")
            return kernel.execute(code, min(limits.cell, left), value)

        stopped: list[Stopped] = []
        for number, cell in enumerate(hand_in.cells, start=1):
            if time.monotonic() >= end or not kernel.alive:
                break
            reply = execute(without_checks(cell))
            if reply.state is not None:
                stopped.append(Stopped(number, reply.state, reply.message))
        outcomes: list[Outcome] = []
        for exercise in hand_in.topic.exercises:
            # the import is a statement: it works whatever the pupil has given the name of a builtin, and after %reset
            call = f"judge({hand_in.topic.module!r}, {exercise.function!r})"
            reply = execute(f"import {examiner}\n{examiner}.{call}", value=f"{examiner}.answer")
            outcomes.append(_outcome(exercise, reply, hand_in.cells, stopped))
    return outcomes, stopped


def without_checks(cell: str) -> str:
    """The cell without the lines that check: the pristine checks come after all cells."""
    return _CHECK_LINE.sub(r"\1pass", cell)


def _prepare(kernel: Kernel, topic: Topic) -> str:
    """The name by which the kernel can import its examiner. PyTorch is imported before a pupil's time begins."""
    name = f"grade_{secrets.token_hex(8)}"  # nobody else writes to this name
    functions = [exercise.function for exercise in topic.exercises]
    code = [
        f"import sys as {name}_sys, scripts.examiner as {name}_examiner, checks.{topic.module} as {name}_checks",
        f"{name}_sys.modules[{name!r}] = {name}_examiner.Examiner(get_ipython(), {functions!r})",
    ]
    reply = kernel.execute("\n".join(code), _START_SECONDS)
    if reply.state is not None:
        raise NoKernelError(f"the checks of this checkout do not run: {reply.message}")
    return name


def _outcome(exercise: Exercise, reply: Reply, cells: Sequence[str], stopped: Sequence[Stopped]) -> Outcome:
    """The reply of the examiner: the hint apart, and without the words that every message begins with."""
    name = exercise.function
    state: State
    state, message = reply.value or (reply.state or "error", reply.message)
    hint: str | None = None
    definition = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{name}\b", re.MULTILINE)
    places = [number for number, cell in enumerate(cells, start=1) if definition.search(cell)]
    if state == "missing":
        for its in (its for its in stopped if its.cell in places):
            state, message = its.state, f"Its cell stops. {its.message}"
    elif state == "not yet":  # the first line says what is wrong; below it are the call and both values
        first, *others = message.split("\n")
        message = first.removeprefix(f"Exercise {exercise.number}: ").removeprefix(f"{name} is not right yet. ")
        hint = next((line.removeprefix("Hint: ") for line in others if line.startswith("Hint: ")), None)
    if len(places) > 1 and state in ("not yet", "not written", "error"):
        message = f"{message} {name} is defined more than once; the last one counts.".strip()
    return Outcome(exercise.number, name, state, message or None, hint)
