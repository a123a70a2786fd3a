"""The stand-in is what huggingface_hub takes for the Hub: its own functions, called on it."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import constants, errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

from tests.gpt2.small import small_model, write_model
from tests.hub.stand_in import COMMIT, Fault, File, Refusal, StandIn, running

pytestmark = pytest.mark.usefixtures("cache")
CACHE = f"/api/resolve-cache/models/owner/name/{COMMIT}/config.json"
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in has as owner/name. Its own download by Xet goes to the Internet, so it is left out here."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    folder = write_model(tmp_path / "model", small_model())
    hub.add("owner/name", folder)
    return folder


def ask(file: str = WEIGHTS, revision: str = "main") -> object:
    return get_hf_file_metadata(hf_hub_url("owner/name", file, revision=revision))


def get(url: str, **headers: str) -> tuple[int, bytes, str | None]:
    """Status, bytes, Content-Range."""
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers["Content-Range"]
    except urllib.error.HTTPError as error:
        return error.code, b"", error.headers["Content-Range"]


def test_the_requests_of_a_download(hub: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    hub.gated["owner/name"] = {"hf_me"}
    for file in ("config.json", WEIGHTS):
        assert Path(hf_hub_download("owner/name", file)).read_bytes() == (folder / file).read_bytes()
    sha256 = hub.commits["owner/name", COMMIT][WEIGHTS].sha256
    assert [(str(request), request.status) for request in hub.requests] == [
        ("HEAD /owner/name/resolve/main/config.json", 307),
        (f"HEAD {CACHE}", 200),
        (f"GET {CACHE}", 200),
        (f"HEAD /owner/name/resolve/main/{WEIGHTS}", 302),
        (f"GET /files/{sha256}", 200),
    ]
    assert [request.headers.get("authorization") for request in hub.requests] == 4 * ["Bearer hf_me"] + [None]
    assert [request.origin for request in hub.requests] == 4 * ["hub"] + ["cdn"]
    assert "gzip" in hub.requests[2].headers["accept-encoding"]  # so that it came compressed, and as it was
    assert hub.bytes_sent(WEIGHTS) == (folder / WEIGHTS).stat().st_size


def test_what_is_announced(hub: StandIn, folder: Path) -> None:
    """git hash-object and sha256sum of files with these contents print these hashes."""
    (folder / "config.json").write_bytes(b"{}\n")
    (folder / WEIGHTS).write_bytes(b"{}\n")
    hub.add("owner/name", folder)
    small, large = ask("config.json"), ask()
    assert (small.commit_hash, small.size) == (large.commit_hash, large.size) == (COMMIT, 3)
    assert small.etag == "0967ef424bce6791893e9a57bb952f80fd536e93"
    assert large.etag == "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"
    assert large.location.startswith(hub.cdn + "/files/")
    assert large.xet_file_data is None
    hub.xet = True
    assert ask().xet_file_data is not None
    hub.linked = {"X-Linked-Size": "7"}
    assert ask().size == 7


def test_the_question_of_telemetry(hub: StandIn) -> None:
    assert get(f"{hub.address}/api/agent-harnesses")[:2] == (200, b'{"standardEnvVars": [], "harnesses": {}}')
    assert get(f"{hub.address}/api/other")[0] == 404


def test_ranges(hub: StandIn, folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    url, n = ask().location, len(content)
    assert get(url) == (200, content, None)
    assert get(url, Range="bytes=1000-") == (206, content[1000:], f"bytes 1000-{n - 1}/{n}")
    assert get(url, Range="bytes=1000-1999") == (206, content[1000:2000], f"bytes 1000-1999/{n}")
    assert get(url, Range=f"bytes={n}-") == (416, b"", f"bytes */{n}")
    assert get(url.split("?")[0])[0] == get(f"{hub.cdn}/anything")[0] == 403
    assert [request.sent for request in hub.requests[1:]] == [n, n - 1000, 1000, 0, 0, 0]


@pytest.mark.parametrize(
    ("token", "error"), [(None, errors.RepositoryNotFoundError), ("hf_other", errors.RepositoryNotFoundError)]
)
def test_private(
    token: str | None, error: type[Exception], hub: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.private = {"owner/name": {"hf_me"}, "other/name": {"hf_other"}}
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(error):
        ask()
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    ask()
    assert hub.requests[0].status == (404 if token else 401)


def test_gated_and_tokens_of_nobody(hub: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated = {"owner/name": {"hf_me"}, "other/name": {"hf_other"}}
    for token, status in [("", 401), ("hf_other", 403)]:
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(errors.GatedRepoError):
            ask()
        assert hub.requests[-1].status == status
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    with pytest.raises(errors.HfHubHTTPError, match="Invalid credentials"):
        ask()


def test_what_is_not_there(hub: StandIn, folder: Path) -> None:
    with pytest.raises(errors.RemoteEntryNotFoundError):
        ask("other.json")
    with pytest.raises(errors.RevisionNotFoundError):
        ask(revision="other")
    with pytest.raises(errors.RepositoryNotFoundError):
        get_hf_file_metadata(hf_hub_url("owner/other", WEIGHTS))


def test_a_limit_that_is_reached_for_some_requests(hub: StandIn, folder: Path) -> None:
    limit = {"RateLimit": '"resolvers";r=0;t=55', "RateLimit_Policy": '"fixed window";"resolvers";q=3000;w=300'}
    hub.refusals["owner/name"] = [Refusal(429, **limit)]
    with pytest.raises(errors.HfHubHTTPError, match=r"Retry after 55 seconds \(0/3000 requests"):
        ask()
    ask()


def test_faults(hub: StandIn, folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    url = ask().location
    hub.faults[WEIGHTS] = [
        Fault(wrong=True),
        Fault(ignore_range=True),
        Fault(shift=1),
        Fault(refusal=Refusal(503)),
        Fault(stop_after=100),
    ]
    assert get(url)[1] == bytes(byte ^ 0xFF for byte in content)
    assert get(url, Range="bytes=9-") == (200, content, None)
    assert get(url, Range="bytes=9-")[1] == content[10:]
    assert get(url)[0] == 503
    with pytest.raises(http.client.IncompleteRead) as error:
        get(url)
    assert error.value.partial == content[:100]
    assert hub.requests[-1].sent == 100
    assert get(url)[1] == content


def test_a_transfer_that_pauses(hub: StandIn, folder: Path) -> None:
    fault = Fault(pause_after=70_000)
    hub.faults[WEIGHTS] = [fault]
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ask().location, timeout=10) as answer:
        beginning = answer.read(70_000)
        assert fault.paused.wait(10)
        assert hub.requests[-1].sent == 70_000
        fault.go_on.set()
        assert beginning + answer.read() == (folder / WEIGHTS).read_bytes()


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    with (tmp_path / WEIGHTS).open("wb") as out:
        out.truncate((1 << 24) + 1)
        out.seek(5)
        out.write(b"five")
    assert File(tmp_path / WEIGHTS).content is None
    with running() as hub:
        hub.add("owner/name", tmp_path)
        file = hub.commits["owner/name", COMMIT][WEIGHTS]
        status, content, _ = get(f"{hub.cdn}/files/{file.sha256}?Signature={file.git}", Range="bytes=4-9")
        assert (status, content) == (206, b"\0five\0")
