"""What the commands share: mistakes are one line, never a traceback, and exit codes mean something.

Only the standard library is imported here, so that a command can say what is missing.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


class Parser(argparse.ArgumentParser):
    """argparse with the script's docstring as its help as it stands, whole option names, and mistakes in one line."""

    def __init__(self, name: str, docstring: str | None) -> None:
        super().__init__(
            prog=name,
            description=docstring,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """One line, as for every other mistake; argparse would print the usage before it."""
        self.exit(2, f"{self.prog}: {message} (--help lists the options)\n")


class UsageError(ValueError):
    """An option that cannot be read: the exit code is that of argparse for such a thing."""


def note(name: str, text: str) -> None:
    """Say something beside the result: one line on standard error."""
    print(f"{name}: {text}", file=sys.stderr, flush=True)


def run_command(name: str, work: Callable[[], int]) -> int:
    """Do the work of the command `name`, and turn whatever a user can cause into one line and an exit code."""
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  (closed streams are None)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows another one
    notes = logging.StreamHandler()
    notes.setFormatter(logging.Formatter(f"{name}: %(message)s"))  # as `note` writes them
    logger = logging.getLogger("gpt2")
    logger.handlers = [notes]
    logger.setLevel(logging.WARNING)
    try:
        code = work()
        sys.stdout.flush()  # here, where a closed pipe is caught
        return code
    except BrokenPipeError:  # whoever read the output has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at the end
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except ImportError as error:
        return complain(name, ImportError(f"{error}; scripts/doctor.py tells what is missing and what to do"))
    except (ValueError, OSError, MemoryError) as error:
        return complain(name, error)
    except RuntimeError as error:
        if "memory" not in str(error).lower():  # a device that is full is the user's, all else is a bug
            raise
        return complain(name, error)


def complain(name: str, error: Exception) -> int:
    """Say what was wrong, in one line. -> the exit code for it"""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:  # without Python's [Errno 2]
        text = f"{error.filename}: {error.strerror}"
    note(name, " ".join(text.split()) or type(error).__name__)
    return 2 if isinstance(error, UsageError) else 1
