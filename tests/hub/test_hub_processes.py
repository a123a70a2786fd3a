"""The way from the Hub to a text as a user goes it: programs of their own, with the environment that they find.

Some are interrupted in the middle of a download, which the stand-in holds where the test wants it.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpt2 import PUBLISHED
from tests.conftest import ROOT
from tests.gpt2.small import small_model, write_model
from tests.hub.children import believing, environment, script, start
from tests.hub.stand_in import COMMIT, Fault, Refusal, StandIn, running

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals, permissions and terminals are those of POSIX")
PINNED = PUBLISHED["gpt2"].revision
WEIGHTS = "model.safetensors"
STORYBOOK = ROOT / "gpt2" / "storybook"
STOP = 100_000  # bytes of the small model, after which the tests hold its transfer

LOAD = """
import sys
from gpt2 import GPT2
for name in sys.argv[1:]:
    try:
        print("loaded", GPT2.from_pretrained(*name.split("@")[:1], revision=(name.split("@") + [None])[1]).source)
    except Exception as error:
        print(type(error).__name__, error)
"""
NO_MORE_THAN = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[StandIn]:
    with running() as hub:
        hub.add("owner/name", write_model(tmp_path / "model", small_model()))
        yield hub


@pytest.fixture
def size(hub: StandIn) -> int:
    return hub.commits["owner/name", COMMIT][WEIGHTS].size


@pytest.fixture
def own(hub: StandIn, tmp_path: Path) -> dict[str, str]:
    """An environment with an empty home."""
    (tmp_path / "home").mkdir()
    return environment(tmp_path / "home", hub.address)


def answer(process: subprocess.Popen[str]) -> list[str]:
    """What LOAD says, a line a name, and nothing else."""
    out, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    return out.splitlines()


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"it never came to this: {what}"
        time.sleep(0.005)


def partial_size(own: dict[str, str]) -> int:
    # not rglob: huggingface_hub makes and removes folders in the cache to see whether there are links
    return sum(path.stat().st_size for path in Path(own["HF_HOME"]).glob("hub/models--*/blobs/*.incomplete"))


def weights(own: dict[str, str]) -> bytes:
    [path] = Path(own["HF_HOME"]).rglob(f"snapshots/*/{WEIGHTS}")
    return path.read_bytes()


def is_right(own: dict[str, str], hub: StandIn) -> bool:
    return weights(own) == hub.commits["owner/name", COMMIT][WEIGHTS].content


def on_a_terminal(code: str, *arguments: str, env: dict[str, str]) -> tuple[str, str]:
    """Standard output and what a person sees of standard error."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # rows, columns
    process = start(code, *arguments, env=env, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            seen += chunk
    except OSError:  # how Linux tells that the other side has been closed
        pass
    out, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0, seen
    return out, seen.decode()


def test_the_first_start_shows_progress_and_the_second_asks_nobody(hub: StandIn, own: dict[str, str]) -> None:
    hub.add("openai-community/gpt2", STORYBOOK, PINNED)
    code = believing("gpt2", STORYBOOK) + script("generate")
    out, seen = on_a_terminal(code, "Once upon a time", "--max-new-tokens", "3", env=own)
    assert out == "Once upon a time, there was\n"
    lines = [line for line in seen.replace("\r", "\n").splitlines() if line.strip()]
    assert lines[0].startswith("model.safetensors:   0%|")
    assert "| 0.00/35.5M [" in lines[0]
    assert [line for line in lines if line.startswith("model.safetensors: 100%|") and "| 35.5M/35.5M [" in line]
    assert lines[-1].startswith("generate.py: gpt2, ")
    assert "config.json" not in seen
    assert {request.origin for request in hub.requests} == {"hub", "cdn"}
    hub.requests.clear()
    out, seen = on_a_terminal(code, "Once upon a time", "--max-new-tokens", "3", env=own)
    assert out == "Once upon a time, there was\n"
    assert len(seen.splitlines()) == 1
    assert hub.requests == []


def test_a_first_start_without_a_bar(hub: StandIn, own: dict[str, str]) -> None:
    hub.add("openai-community/gpt2", STORYBOOK, PINNED)
    code = believing("gpt2", STORYBOOK) + LOAD
    out, seen = on_a_terminal(code, "gpt2", env={**own, "HF_HUB_DISABLE_PROGRESS_BARS": "1"})
    assert out == f"loaded Source(name='gpt2', revision='{PINNED}')\n"
    assert seen == ""


def test_a_process_that_is_killed_in_the_middle(hub: StandIn, own: dict[str, str], size: int) -> None:
    """kill -9, so that nothing is tidied up. The next start ends with the right file, and asks for the rest only."""
    hub.faults[WEIGHTS] = [fault := Fault(pause_after=STOP)]
    first = start(LOAD, "owner/name", env=own)
    until(lambda: partial_size(own) >= STOP - 8192, "the first has written what it was sent")
    assert fault.paused.wait(60)
    first.kill()
    first.communicate(timeout=60)
    there = partial_size(own)
    assert 0 < there <= STOP < size
    hub.requests.clear()
    assert answer(start(LOAD, "owner/name", env=own)) == [f"loaded Source(name='owner/name', revision='{COMMIT}')"]
    assert [request.headers.get("range") for request in hub.transfers(WEIGHTS)] == [f"bytes={there}-"]
    assert hub.bytes_sent(WEIGHTS) == size - there < size
    assert is_right(own, hub)
    assert partial_size(own) == 0


def test_two_processes_at_once_are_one_transfer(hub: StandIn, own: dict[str, str], size: int) -> None:
    """It waits until both have come as far as asking for the file."""
    hub.faults[WEIGHTS] = [fault := Fault(pause_after=STOP)]
    both = [start(LOAD, "owner/name", env=own) for _ in range(2)]
    asked = [f"HEAD /owner/name/resolve/{COMMIT}/{WEIGHTS}"] * 2
    until(lambda: [str(request) for request in hub.requests if str(request) in asked] == asked, "both have asked")
    fault.go_on.set()
    for process in both:
        assert answer(process) == [f"loaded Source(name='owner/name', revision='{COMMIT}')"]
    assert hub.bytes_sent(WEIGHTS) == size
    assert is_right(own, hub)


def test_one_of_two_processes_is_killed(hub: StandIn, own: dict[str, str], size: int) -> None:
    """The one that waited goes on from where the other one was."""
    hub.faults[WEIGHTS] = [Fault(pause_after=STOP)]
    first = start(LOAD, "owner/name", env=own)
    until(lambda: partial_size(own) >= STOP - 8192, "the first has written what it was sent")
    second = start(LOAD, "owner/name", env=own)
    ask = f"HEAD /owner/name/resolve/{COMMIT}/{WEIGHTS}"
    until(lambda: [str(request) for request in hub.requests].count(ask) == 2, "the second has asked, too")
    there = partial_size(own)
    first.kill()
    first.communicate(timeout=60)
    assert answer(second) == [f"loaded Source(name='owner/name', revision='{COMMIT}')"]
    assert [request.headers.get("range") for request in hub.transfers(WEIGHTS)] == [None, f"bytes={there}-"]
    assert is_right(own, hub)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_file_that_may_not_grow_any_further(hub: StandIn, own: dict[str, str], size: int) -> None:
    """A write that fails in earnest, as on a full disk or a file system with a limit: what is there is not lost."""
    [sentence] = answer(start(NO_MORE_THAN.format(STOP) + LOAD, "owner/name", env=own))
    assert sentence.startswith("ModelNotFoundError owner/name cannot be stored: File too large; free some space, or")
    assert sentence.endswith("What was downloaded stays, and the next start goes on from there")
    assert partial_size(own) == STOP
    hub.requests.clear()
    assert answer(start(LOAD, "owner/name", env=own)) == [f"loaded Source(name='owner/name', revision='{COMMIT}')"]
    assert [request.headers.get("range") for request in hub.transfers(WEIGHTS)] == [f"bytes={STOP}-"]
    assert is_right(own, hub)


def test_a_cache_that_cannot_be_written(hub: StandIn, own: dict[str, str], tmp_path: Path) -> None:
    """What is in it is used; for the rest there is a sentence."""
    hub.add("openai-community/gpt2", STORYBOOK, PINNED)
    hub.add("owner/other", tmp_path / "model")
    known = [f"owner/name@{COMMIT}", "owner/name", "gpt2"]
    filled = answer(start(believing("gpt2", STORYBOOK) + LOAD, *known, env=own))
    folders = [Path(own["HF_HOME"]), *(path for path in Path(own["HF_HOME"]).rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        code = believing("gpt2", STORYBOOK) + GIVE_UP_PRIVILEGE + LOAD
        *used, refused = answer(start(code, *known, "owner/other", env=own))
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert used == filled
    assert len(used) == 3 and all(line.startswith("loaded") for line in used)
    assert refused.startswith("ModelNotFoundError the cache of the Hub cannot be used ([Errno 13] Permission denied")
    assert refused.endswith("point HF_HOME to a folder that can be read and written")


# root may write where permissions forbid it, until it gives up this one privilege, CAP_DAC_OVERRIDE (1): capset(2)
GIVE_UP_PRIVILEGE = """
import ctypes, os, sys
if sys.platform == "linux" and os.geteuid() == 0:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, sets) == 0
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0
"""


def test_the_environment_of_a_token_and_a_home(hub: StandIn, own: dict[str, str], tmp_path: Path) -> None:
    """HF_TOKEN, the token that `hf auth login` has stored, HF_HOME, HF_HUB_OFFLINE, GPT2_WEIGHTS; all asked at once."""
    hub.gated["owner/name"] = {"hf_me"}
    handed = write_model(tmp_path / "handed" / "gpt2", small_model())
    homes = {name: tmp_path / name for name in ("variable", "stored", "none", "offline", "handed_round")}
    for home in homes.values():
        home.mkdir()
    (homes["stored"] / "token").write_text("hf_me", encoding="utf-8")
    processes = {
        "variable": start(LOAD, "owner/name", env={**own, "HF_HOME": str(homes["variable"]), "HF_TOKEN": "hf_me"}),
        "stored": start(LOAD, "owner/name", env={**own, "HF_HOME": str(homes["stored"])}),
        "none": start(LOAD, "owner/name", "owner/other", env={**own, "HF_HOME": str(homes["none"])}),
    }
    loaded = f"loaded Source(name='owner/name', revision='{COMMIT}')"
    for name in ("variable", "stored"):
        assert answer(processes[name]) == [loaded]
        assert list(homes[name].glob(f"hub/models--owner--name/snapshots/*/{WEIGHTS}"))
    assert answer(processes["none"]) == [
        "ModelNotFoundError owner/name is gated: accept its terms on the Hub, then log in with `hf auth login`",
        "ModelNotFoundError the Hub has no repository owner/other, or it is private: check the name, "
        "or log in with `hf auth login`",
    ]
    assert {request.headers.get("authorization") for request in hub.requests if request.origin == "cdn"} == {None}
    hub.requests.clear()
    offline = {"HF_HUB_OFFLINE": "1"}
    processes = {
        "offline": start(LOAD, "owner/name", "gpt2", env={**own, "HF_HOME": str(homes["variable"]), **offline}),
        "handed_round": start(
            believing("gpt2", handed) + LOAD, "gpt2", env={**own, "GPT2_WEIGHTS": str(handed.parent), **offline}
        ),
    }
    in_the_cache, nowhere = answer(processes["offline"])
    assert in_the_cache == loaded
    assert nowhere.startswith("HubUnreachableError the Hugging Face Hub cannot be reached for gpt2 ")
    assert "HF_HUB_OFFLINE" in nowhere
    assert answer(processes["handed_round"]) == [f"loaded Source(name='gpt2', revision='{PINNED}')"]
    assert hub.requests == []


def test_what_goes_wrong_is_one_line_of_the_command_line(hub: StandIn, own: dict[str, str], tmp_path: Path) -> None:
    """generate.py: an exit code, one line, no traceback, and no text of another model."""
    for name in ("owner/limited", "owner/broken", "owner/wrong"):
        hub.add(name, tmp_path / "model")
    hub.refusals["owner/limited"] = Refusal(429, Retry_After="30")
    hub.refusals["owner/broken"] = Refusal(503)
    hub.faults[WEIGHTS] = [Fault(wrong=True)]
    expected = {
        "owner/limited": "generate.py: the Hugging Face Hub cannot be reached for owner/limited (it answers 429 "
        "Too Many Requests and asks to wait 30 seconds); wait, log in with `hf auth login`, or give a directory",
        "owner/broken": "generate.py: the Hugging Face Hub cannot be reached for owner/broken (it answers 503 Service",
        "owner/wrong": "generate.py: model.safetensors of owner/wrong did not arrive as it should be: its sha256 is ",
    }
    processes = {name: start(script("generate"), "Once", "--model", name, env=own) for name in expected}
    for name, words in expected.items():
        out, error = processes[name].communicate(timeout=120)
        assert (processes[name].returncode, out) == (1, "")
        assert error.startswith(words)
        assert error.count("\n") == 1
