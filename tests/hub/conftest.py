"""An empty cache, a Hub that nobody answers for or a stand-in for it, and published models small enough for tests."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import enable_progress_bars

from gpt2 import PUBLISHED
from tests.hub.children import as_published
from tests.hub.stand_in import StandIn, running

NOBODY = "http://127.0.0.1:9"  # where connections are refused
_SURROUNDINGS = re.compile("HF_TOKEN|HUGGING_FACE|GPT2_WEIGHTS|.*_PROXY$", re.IGNORECASE)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, no token, no proxy, and a Hub that cannot be reached."""
    home = tmp_path_factory.mktemp("hf")
    for name, value in {
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "AGENT_HARNESSES_PATH": str(home / "harnesses.json"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_TELEMETRY": True,  # as gpt2 asks for, if it is there first
    }.items():
        monkeypatch.setattr(constants, name, value, raising=False)
    for variable in [name for name in os.environ if _SURROUNDINGS.match(name)]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(socket, "getaddrinfo", _of_this_machine)
    connect(monkeypatch, NOBODY)
    enable_progress_bars()  # which some tests with transformers disable for the whole process
    huggingface_hub.close_session()  # the client remembers the proxies of the environment in which it was made
    yield home / "hub"
    huggingface_hub.close_session()


_resolve = socket.getaddrinfo


def _of_this_machine(host: str | None, *args: Any, **kwargs: Any) -> Any:
    """In place of socket.getaddrinfo: not even names that do not exist are asked for outside."""
    if host != "127.0.0.1":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _resolve(host, *args, **kwargs)


def connect(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Lead huggingface_hub in this process to another address."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[StandIn]:
    """A stand-in that this process takes for the Hub."""
    with running() as stand_in:
        connect(monkeypatch, stand_in.address)
        yield stand_in


@pytest.fixture
def publish(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], None]:
    """publish("gpt2", folder): this folder is what the Hub has as gpt2, and it is the right one."""

    def publish(name: str, folder: Path) -> None:
        monkeypatch.setitem(PUBLISHED, name, as_published(name, folder))
        hub.add(PUBLISHED[name].repository, folder, PUBLISHED[name].revision)

    return publish
