"""Notebooks are executed in the background from the beginning: a third of the time of all tests would be theirs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .execution import NAMES, Executions

_EXECUTIONS = pytest.StashKey[Executions]()
_FOLDER = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start as soon as it is known which notebooks the tests will ask for."""
    asked = [item for item in session.items if item.path.name == "test_execution.py"]
    wanted = {
        item.callspec.params.get("name")
        for item in asked
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and not item.get_closest_marker("skip")
    }
    names = [name for name in NAMES if name in wanted]
    if names and not session.config.option.collectonly:
        folder = tempfile.TemporaryDirectory(prefix="notebooks-", ignore_cleanup_errors=True)
        session.stash[_FOLDER] = folder
        session.stash[_EXECUTIONS] = Executions(Path(folder.name), names)


def pytest_sessionfinish(session: pytest.Session) -> None:
    executions = session.stash.get(_EXECUTIONS, None)
    if executions is not None:
        executions.stop()
        session.stash[_FOLDER].cleanup()


@pytest.fixture(scope="session")
def executions(request: pytest.FixtureRequest) -> Iterator[Executions]:
    """The copies that are executed in the background."""
    found = request.session.stash[_EXECUTIONS]
    found.hurry()
    yield found
