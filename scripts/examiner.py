"""What runs inside a pupil's kernel: it keeps the functions that are graded, and tries them with pristine checks.

It is imported before the first cell, and withstands what pupils do without a second thought: names given twice, edited
checks, a forgotten exit(). It is no wall against somebody who is set on fooling it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

State = Literal["passed", "not yet", "not written", "missing", "time", "error", "not checked"]

_ROOT = Path(__file__).resolve().parents[1]


class Examiner:
    def __init__(self, shell: Any, names: list[str]) -> None:
        self.answer: tuple[State, str] | None = None  # what the kernel is asked for
        self._shell = shell
        self._functions: dict[str, Any] = dict.fromkeys(names)
        shell.events.register("post_run_cell", self.remember)
        shell.ask_exit = lambda: None  # a forgotten exit() would end the kernel, and with it all that is right

    def remember(self, *_: object) -> None:
        """After each cell: functions stay known, also when their name is given to something else further down."""
        for name in self._functions:
            value = self._shell.user_ns.get(name)
            if isinstance(value, FunctionType):
                self._functions[name] = value

    def judge(self, module: str, name: str) -> None:
        """Have that function tried by the check of its name in `checks.module`; `answer` is its state and a message."""
        state, message = self._judged(module, name)
        self.answer = state, message[:10_000]

    def _judged(self, module: str, name: str) -> tuple[State, str]:
        function = self._functions[name] or self._shell.user_ns.get(name)
        if not callable(function):
            what = "" if function is None else f", but {name} of type {type(function).__name__}"
            return "missing", f"There is no function {name}{what}."
        check, failed = _pristine(module, name)
        try:
            with (
                Path(os.devnull).open("w", encoding="utf-8") as nowhere,
                contextlib.redirect_stdout(nowhere),
                contextlib.redirect_stderr(nowhere),
            ):
                check(function)
        except failed as error:
            return "not yet", str(error)
        except NotImplementedError:  # the stub's own; of any other the check says what it means
            return "not written", ""
        except KeyboardInterrupt:  # that is the time limit
            raise
        except BaseException as error:
            message = f"It stops with {type(error).__name__}"
            with contextlib.suppress(Exception):  # an error may be one that cannot be written down
                message += f": {error}"
            return "error", message
        return "passed", ""


def _pristine(module: str, name: str) -> tuple[Any, type[Exception]]:
    """The check, imported anew from this checkout, and the error by which it says what is wrong."""
    for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == "checks"]:
        del sys.modules[loaded]  # with whatever the pupil has changed in it
    sys.path[:0] = [str(_ROOT), str(_ROOT / "notebooks")]
    importlib.invalidate_caches()
    check = getattr(importlib.import_module(f"checks.{module}"), name)
    return check, importlib.import_module("checks.checking").CheckFailed
