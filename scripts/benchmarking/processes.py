"""Engines in processes of their own, and how they are spoken to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from .engines import Engine

ROOT = Path(__file__).resolve().parents[2]


class EngineError(ValueError):
    """An engine that could not do what it was asked. `kind` is the name of what was raised in its process."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class Worker:
    """A running engine. `ask` waits for its answer; nothing runs in it otherwise."""

    def __init__(self, engine: Engine, folder: Path, threads: int, *, watch: bool = False) -> None:
        self.engine = engine
        settings = {
            "kind": engine.kind,
            "weights": engine.weights,
            "folder": str(folder),
            "threads": threads,
            "watch": watch,
        }
        self._told = tempfile.TemporaryFile()  # noqa: SIM115  (its standard error, read where it breaks off)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.benchmarking.worker", json.dumps(settings)],
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            text=True,
            encoding="utf-8",
        )
        self.memory: dict[str, int | None] = self._answer()  # once the model is loaded

    def ask(self, task: str, **arguments: Any) -> Any:
        """Its answer. Raises EngineError where there is none."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said before it ended tells more
        return self._answer()

    def close(self) -> None:
        self._process.communicate()  # the end of its input is its end
        self._told.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        self.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        content = json.loads(line) if line else {"error": self._last_words()}
        if "error" in content:
            self.close()
            raise EngineError(f"{self.engine.name}: {content['error']}", content.get("type", ""))
        return content["answer"]

    def _last_words(self) -> str:
        code = self._process.wait()
        self._told.seek(0)
        lines = self._told.read().decode("utf-8", errors="replace").strip().splitlines()
        return f"it ended with code {code}" + (f": {lines[-1]}" if lines else "")


def run_module(name: str, *arguments: str) -> str:
    """What a module of this package prints, in a process of its own. Raises EngineError where it fails."""
    command = [sys.executable, "-m", f"{__package__}.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        raise EngineError(f"{name} {' '.join(arguments[1:])} failed: {lines[-1]}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Everything is here already, so nobody has to ask the Hub."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}
