"""A Jupyter kernel for the cells of one pupil: how they end is told, what they print is not even read."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import KernelManager

from .examiner import State
from .notebooks import NOTEBOOKS, ROOT
from .run_notebook import environment

_GRACE_SECONDS = 5.0  # for a cell to end after it was interrupted
_POLL_SECONDS = 0.5  # between two looks at whether the kernel is alive, and Ctrl-C was not pressed
_PLACE = re.compile(r"\((?:\S+\.py|<\S+>), (line \d+)\)")  # of a syntax error: a file that is nobody's


class NoKernelError(RuntimeError):
    """There is no kernel to grade with."""


class Reply(NamedTuple):
    """How a cell ended: with the value that was asked for, or in which state and why."""

    state: State | None = None  # "error", "time" or, after the kernel's death, "not checked"
    message: str = ""
    value: Any = None


@contextmanager
def start_kernel(stop: threading.Event) -> Iterator[Kernel]:
    """A kernel in a folder of its own; both are gone afterwards. Raises NoKernelError."""
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as folder:
        # The first cell of a notebook looks for a folder with notebooks/checks. An empty one will do: Python takes a
        # package, wherever it is on the path, before a folder that merely has its name.
        here = Path(folder) / "notebooks"
        (here / "checks").mkdir(parents=True)
        paths = [str(ROOT), str(NOTEBOOKS), *filter(None, [os.environ.get("PYTHONPATH")])]
        manager = KernelManager(kernel_name="python3")
        try:
            manager.start_kernel(
                cwd=str(here),
                env=environment() | {"PYTHONPATH": os.pathsep.join(paths)},
                extra_arguments=["--HistoryManager.hist_file=:memory:"],  # the teacher's own history stays as it is
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except (OSError, NoSuchKernel) as error:
            raise NoKernelError(f"Python's kernel does not start: {error}") from error
        client: BlockingKernelClient = manager.client()
        try:
            client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
            yield Kernel(manager, client, stop)
        finally:
            client.stop_channels()
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)


class Kernel:
    """Executes cells: execute("1 / 0", seconds=60) gives Reply("error", "ZeroDivisionError: division by zero")."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, stop: threading.Event) -> None:
        self._manager, self._client, self._stop = manager, client, stop

    @property
    def alive(self) -> bool:
        return self._manager.is_alive()

    def execute(self, code: str, seconds: float, value: str = "None") -> Reply:
        """Execute a cell and evaluate `value`. At its limit a cell is interrupted; where that fails the kernel ends."""
        if not self.alive:
            return Reply("not checked")
        request = self._client.execute(code, user_expressions={"value": value}, allow_stdin=False, stop_on_error=False)
        content = self._reply(request, seconds)
        if content is None and not self.alive:
            return Reply("error", "The kernel died: by os._exit, or for want of memory.")
        if content is None:
            self._manager.interrupt_kernel()
            late = f"It took longer than {seconds:.3g} s"
            if self._reply(request, _GRACE_SECONDS) is not None:
                return Reply("time", f"{late}.")
            self._manager.shutdown_kernel(now=True)
            return Reply("time", f"{late} and could not be interrupted; the kernel was ended.")
        if content["status"] != "ok":
            reason = _PLACE.sub(r"(\1)", content.get("evalue", "").strip().split("\n")[0])
            return Reply("error", f"{content.get('ename', 'Error')}: {reason}".removesuffix(": "))
        try:
            return Reply(value=ast.literal_eval(content["user_expressions"]["value"]["data"]["text/plain"]))
        except (KeyError, ValueError, SyntaxError):  # a pupil may have changed how things are displayed
            return Reply("error", "The kernel does not tell its values.")

    def _reply(self, request: str, seconds: float) -> dict[str, Any] | None:
        """The content of the reply; None when the time is over or the kernel dead. Ctrl-C is passed on."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stop.is_set():
                raise KeyboardInterrupt
            try:
                reply = self._client.get_shell_msg(timeout=min(left, _POLL_SECONDS))
            except Empty:
                if not self.alive:
                    return None
                continue
            if reply["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = reply["content"]
                return content
        return None
