"""One file from the Hub into the cache: resumed, checked, and one sentence for whatever can go wrong on the way."""

from __future__ import annotations

import io
import re
import shutil
import socket
import sys
import traceback
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import pytest
from huggingface_hub import constants, file_download, hf_hub_download, scan_cache_dir

from gpt2 import GPT2, PUBLISHED, CheckpointError, HubUnreachableError, ModelNotFoundError, Source, download, transfer
from tests.gpt2.small import small_model, write_model
from tests.hub.stand_in import COMMIT, Fault, Refusal, StandIn

pytestmark = pytest.mark.usefixtures("cache")
Publish = Callable[[str, Path], None]
WEIGHTS = "model.safetensors"
PINNED = PUBLISHED["gpt2"].revision
BLOBS = "models--owner--name/blobs"


class Terminal(io.StringIO):
    """A standard error that somebody watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SECONDS_BETWEEN_ATTEMPTS", 0)


@pytest.fixture
def content(hub: StandIn, tmp_path: Path) -> bytes:
    """The weights of what the stand-in has as owner/name."""
    folder = write_model(tmp_path / "model", small_model())
    hub.add("owner/name", folder)
    return (folder / WEIGHTS).read_bytes()


@pytest.fixture
def partial(hub: StandIn, cache: Path, content: bytes) -> Path:
    """Where an interrupted download of them leaves what it has."""
    path = cache / BLOBS / f"{hub.commits['owner/name', COMMIT][WEIGHTS].sha256}.incomplete"
    path.parent.mkdir(parents=True)
    return path


def load(name: str = "owner/name", revision: str | None = None) -> bytes:
    """The bytes of the weights that from_pretrained has found good."""
    GPT2.from_pretrained(name, revision=revision)
    return download.fetch(download.Wanted(name, name, WEIGHTS, revision or "main")).read_bytes()


def ranges(hub: StandIn) -> list[str | None]:
    """What each transfer of the weights asked for."""
    return [request.headers.get("range") for request in hub.requests if request.origin == "cdn"]


def sentence(error: type[Exception], name: str = "owner/name", revision: str | None = None) -> str:
    """The one sentence with which from_pretrained fails."""
    with pytest.raises(error) as caught:
        GPT2.from_pretrained(name, revision=revision)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the first time, and again ---


def test_the_cache_is_as_huggingface_hub_lays_it_out(hub: StandIn, content: bytes, cache: Path) -> None:
    """So that transformers finds what was downloaded here, and `hf cache` can remove it."""
    assert load() == content
    [repository] = scan_cache_dir(cache).repos
    [revision] = repository.revisions
    assert (repository.repo_id, revision.commit_hash, revision.refs) == ("owner/name", COMMIT, {"main"})
    files = {file.file_name: file for file in revision.files}
    assert files.keys() == {"config.json", WEIGHTS}
    assert files[WEIGHTS].blob_path.name == hub.commits["owner/name", COMMIT][WEIGHTS].sha256
    assert not list(cache.rglob("*.incomplete"))
    for known in ("main", COMMIT):
        path = hf_hub_download("owner/name", WEIGHTS, revision=known, local_files_only=True)
        assert Path(path).read_bytes() == content
    assert hub.bytes_sent(WEIGHTS) == len(content)
    assert {request.headers["accept-encoding"] for request in hub.requests} == {"identity"}  # or sizes mean nothing


def test_a_cache_that_huggingface_hub_filled(
    hub: StandIn, published: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # it goes to the Internet
    for file in ("config.json", WEIGHTS):
        hf_hub_download("openai-community/gpt2", file, revision=PINNED)
    hub.requests.clear()
    assert GPT2.from_pretrained("gpt2").source == Source("gpt2", PINNED)
    assert hub.requests == []


def test_the_hub_is_asked_once_about_each_file(hub: StandIn, content: bytes) -> None:
    """Once more after a download, and a limit that is reached by then would cost minutes."""
    load(revision="main")
    asked = [str(request) for request in hub.requests if request.method == "HEAD" and "/resolve/" in request.path]
    assert asked == [f"HEAD /owner/name/resolve/{path}" for path in ("main/config.json", f"{COMMIT}/{WEIGHTS}")] + [
        f"HEAD /owner/name/resolve/main/{WEIGHTS}"  # the question of load() itself
    ]


def test_a_branch_that_has_not_moved_is_one_question_a_file(hub: StandIn, content: bytes) -> None:
    load()
    hub.requests.clear()
    GPT2.from_pretrained("owner/name")
    assert [str(request) for request in hub.requests if "/resolve/" in request.path] == [
        "HEAD /owner/name/resolve/main/config.json"
    ]  # the weights are of the commit that this has told


def test_a_branch_that_goes_back_to_what_the_cache_has(hub: StandIn, content: bytes, tmp_path: Path) -> None:
    load()
    hub.add("owner/name", write_model(tmp_path / "newer", small_model(seed=1)), "e" * 40)
    assert load() != content
    hub.branches["owner/name", "main"] = COMMIT
    hub.requests.clear()
    model = GPT2.from_pretrained("owner/name")
    assert model.source.revision == COMMIT
    assert {request.method for request in hub.requests} == {"HEAD"}
    assert GPT2.from_pretrained("owner/name", local_files_only=True).source.revision == COMMIT


def test_a_token_goes_to_the_hub_only(hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.private["owner/name"] = {"hf_me"}
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    assert load() == content
    tokens = {(request.origin, request.headers.get("authorization")) for request in hub.requests}
    assert tokens == {("hub", "Bearer hf_me"), ("cdn", None)}


def test_xet_is_not_used(hub: StandIn, content: bytes) -> None:
    """The Hub offers it, and huggingface_hub would take it; but what it began cannot be resumed."""
    hub.xet = True
    assert load() == content
    assert ranges(hub) == [None]
    assert {request.path.split("/")[1] for request in hub.requests} == {"owner", "api", "files"}
    assert not [request for request in hub.requests if "xet" in request.path]


def test_a_system_without_links_keeps_one_copy(
    hub: StandIn, content: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows, for most users. The file lies in the snapshot itself then."""
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda cache_dir=None: False)
    with monkeypatch.context() as disk:  # on which a second one might have no place, or be half when power fails
        disk.setattr(shutil, "copyfile", lambda *args: pytest.fail("a copy of the file"))
        assert load(revision=COMMIT) == content
    copies = [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size == len(content)]
    assert [path.parent.name for path in copies] == [COMMIT]
    hub.requests.clear()
    assert load(revision=COMMIT) == content
    assert hub.requests == []
    hub.branches["owner/name", "v2"] = COMMIT
    path = download.fetch(download.Wanted("owner/name", "owner/name", WEIGHTS, "v2"))  # a new name of what is there
    assert path.read_bytes() == content
    assert hub.bytes_sent(WEIGHTS) == 0


def test_a_system_that_had_links_once(
    hub: StandIn, content: bytes, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other snapshots may lead to the blob, so it stays."""
    blob = partial.with_suffix("")
    blob.write_bytes(content)
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda cache_dir=None: False)
    assert load() == content
    assert blob.read_bytes() == content
    assert not partial.exists()
    assert ranges(hub) == []


# --- interrupted ---


@pytest.mark.parametrize("n", [1, 60_000, 171_000])
def test_what_is_there_is_not_asked_for_again(n: int, hub: StandIn, content: bytes, partial: Path) -> None:
    partial.write_bytes(content[:n])
    assert load() == content
    assert ranges(hub) == [f"bytes={n}-"]
    assert hub.bytes_sent(WEIGHTS) == len(content) - n
    assert not partial.exists()


def test_a_whole_file_that_only_lacks_its_name(hub: StandIn, content: bytes, partial: Path) -> None:
    partial.write_bytes(content)
    assert load() == content
    assert ranges(hub) == []


def test_more_than_the_whole_file_is_thrown_away(hub: StandIn, content: bytes, partial: Path) -> None:
    partial.write_bytes(content + b"more")
    assert load() == content
    assert ranges(hub) == [None]


def test_a_transfer_that_breaks_goes_on_at_once(hub: StandIn, content: bytes, cache: Path) -> None:
    hub.faults[WEIGHTS] = [Fault(stop_after=60_000), Fault(stop_after=50_000)]
    assert load() == content
    assert ranges(hub) == [None, "bytes=60000-", "bytes=110000-"]
    assert hub.bytes_sent(WEIGHTS) == len(content)


def test_every_bit_of_progress_counts(hub: StandIn, content: bytes) -> None:
    """A bad network may break a long transfer much more often than the attempts that bring nothing are counted."""
    hub.faults[WEIGHTS] = [Fault(stop_after=10_000) for _ in range(12)]
    assert load() == content
    assert len(ranges(hub)) == 13


def test_a_transfer_that_falls_silent_goes_on(hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    hub.faults[WEIGHTS] = [Fault(pause_after=60_000)]
    assert load() == content
    assert ranges(hub)[:2] == [None, "bytes=60000-"]  # and more, where this machine itself falls silent


def test_a_cdn_in_trouble_is_asked_again(hub: StandIn, content: bytes) -> None:
    hub.faults[WEIGHTS] = [Fault(refusal=Refusal(503)), Fault(refusal=Refusal(500))]
    assert load() == content
    resolved = [request for request in hub.requests if request.method == "GET" and "/resolve/" in request.path]
    assert len(resolved) == 1 + 3  # config.json; and each attempt begins at the Hub, whose signed addresses grow old


def test_a_page_in_the_place_of_the_file(hub: StandIn, content: bytes, partial: Path) -> None:  # law 13
    """A filter that lets the Hub through and not the CDN. Nothing of it is kept, and what was there is not lost."""
    partial.write_bytes(content[:60_000])
    hub.faults[WEIGHTS] = [Fault(refusal=Refusal(200, Content_Type="text/html; charset=utf-8"))] * transfer.ATTEMPTS
    assert "(the transfer broke off: a web page came instead of the file, " in sentence(HubUnreachableError)
    assert load() == content
    assert set(ranges(hub)) == {"bytes=60000-"}


@pytest.mark.parametrize("there", [0, 60_000])
def test_a_transfer_that_is_given_up_is_resumed_by_the_next_call(
    there: int, hub: StandIn, content: bytes, partial: Path
) -> None:  # law 13
    hub.faults[WEIGHTS] = [Fault(stop_after=n) for n in [there] * (there > 0) + [0] * transfer.ATTEMPTS]
    words = sentence(HubUnreachableError)
    assert "the Hugging Face Hub cannot be reached for owner/name (the transfer broke off: " in words
    assert f"; {there:,} bytes of {len(content):,} bytes are here, and the next start goes on from there)" in words
    assert not hub.faults[WEIGHTS]
    hub.requests.clear()
    assert load() == content
    assert ranges(hub) == [f"bytes={there}-" if there else None]


def test_a_server_without_ranges(hub: StandIn, content: bytes, partial: Path) -> None:
    partial.write_bytes(b"x" * 60_000)
    hub.faults[WEIGHTS] = [Fault(ignore_range=True)]
    assert load() == content


def test_a_range_that_is_another_one(hub: StandIn, content: bytes, partial: Path) -> None:
    partial.write_bytes(content[:60_000])
    hub.faults[WEIGHTS] = [Fault(shift=1)]
    assert load() == content
    assert ranges(hub) == 2 * ["bytes=60000-"]


def test_a_file_that_is_shorter_than_announced(hub: StandIn, content: bytes) -> None:  # law 13
    """Its end is asked for until that is hopeless, and no longer."""
    hub.linked = {"X-Linked-Size": str(len(content) + 1)}
    words = sentence(HubUnreachableError)
    assert "the transfer broke off: it " in words
    assert f"{f'bytes={len(content)}-'}" in ranges(hub)
    assert len(ranges(hub)) <= 2 * transfer.ATTEMPTS


def test_a_firewall_that_lets_the_hub_through_but_not_its_files(
    hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    """It swallows what is sent to another host, which is then named, and not tried five times."""
    connect, tried = socket.create_connection, []

    def swallowing(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        if address[1] != urlsplit(hub.cdn).port:
            return connect(address, *args, **kwargs)
        tried.append(address)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", swallowing)
    words = sentence(HubUnreachableError)
    assert "(127.0.0.1, from where it sends model.safetensors, does not answer); check the network" in words
    assert len(tried) == 1


# --- checked ---


def test_wrong_bytes_are_not_kept(hub: StandIn, content: bytes, cache: Path) -> None:  # law 13
    """The ETag of a large file is its sha256, so that every model on the Hub can be checked."""
    hub.faults[WEIGHTS] = [Fault(wrong=True)]
    words = sentence(CheckpointError)
    assert words.startswith("model.safetensors of owner/name did not arrive as it should be: its sha256 is ")
    assert f" instead of {hub.commits['owner/name', COMMIT][WEIGHTS].sha256}; it was removed. Start again" in words
    assert not [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size == len(content)]
    assert load() == content


def test_a_wrong_beginning_is_not_kept(hub: StandIn, content: bytes, partial: Path) -> None:
    """What an earlier start has left is checked, too."""
    partial.write_bytes(b"x" * 60_000)
    assert "its sha256 is" in sentence(CheckpointError)
    assert not partial.exists()
    assert load() == content


def test_a_file_that_is_longer_than_announced(hub: StandIn, content: bytes, partial: Path) -> None:  # law 13
    hub.linked = {"X-Linked-Size": "1000", "X-Linked-ETag": '"no-hash"'}
    words = sentence(CheckpointError)
    assert "model.safetensors of owner/name did not arrive as it should be: it has " in words
    [arrived] = re.findall(r"it has ([\d,]+) bytes instead of 1,000; it was removed", words)
    assert 1000 < int(arrived.replace(",", "")) < len(content)  # given up as soon as that was clear
    assert not list(partial.parent.glob("no-hash*"))


@pytest.mark.parametrize("whole", [False, True])
def test_a_hub_that_does_not_tell_the_size(whole: bool, hub: StandIn, content: bytes, partial: Path) -> None:
    """Then it cannot be seen that nothing is missing, and there is no range that could be asked for."""
    hub.linked = {"X-Linked-Size": ""}
    there = len(content) if whole else 60_000
    partial.write_bytes(content[:there])
    assert load() == content
    assert ranges(hub) == [f"bytes={there}-", None][: 1 + whole]


@pytest.mark.parametrize("headers", [{"X-Linked-ETag": '"../../../../evil"'}, {"X-Linked-ETag": '".."'},
                                     {"X-Linked-ETag": '""', "ETag": ""}, {"X-Repo-Commit": "../../evil"}])  # fmt: skip
def test_names_that_leave_the_cache(headers: dict[str, str], hub: StandIn, content: bytes, cache: Path) -> None:
    """ETag and commit become names of files and folders, and come from outside."""
    hub.linked = headers
    assert "(what answers there is not the Hub)" in sentence(HubUnreachableError)
    assert hub.bytes_sent(WEIGHTS) == 0
    assert not [path for path in cache.parent.parent.rglob("*evil*") if path.is_relative_to(cache.parent)]


# --- published models ---


@pytest.fixture
def published(publish: Publish, content: bytes, tmp_path: Path) -> bytes:
    """The same weights as the stand-in's gpt2."""
    publish("gpt2", tmp_path / "model")
    return content


@pytest.mark.parametrize(("name", "revision"), [("gpt2", None), ("gpt2", "main"), ("openai-community/gpt2", PINNED)])
def test_another_file_than_the_published_one_is_not_even_downloaded(
    name: str, revision: str | None, hub: StandIn, published: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    """However the commit was named."""
    n_bytes = len(published) + 1
    monkeypatch.setitem(PUBLISHED, "gpt2", PUBLISHED["gpt2"]._replace(n_bytes=n_bytes))
    words = sentence(CheckpointError, name, revision)
    assert f"model.safetensors of {name} is not the published file: it has {n_bytes - 1:,} bytes instead of" in words
    assert hub.address in words
    assert "Nothing was downloaded" in words
    monkeypatch.setitem(PUBLISHED, "gpt2", PUBLISHED["gpt2"]._replace(n_bytes=n_bytes - 1, sha256="a" * 64))
    assert f"instead of {'a' * 64}. Nothing was downloaded" in sentence(CheckpointError, name, revision)
    assert hub.bytes_sent(WEIGHTS) == 0


def test_other_commits_of_a_published_model_are_what_they_are(hub: StandIn, published: bytes, tmp_path: Path) -> None:
    hub.add("openai-community/gpt2", write_model(tmp_path / "other", small_model(seed=1, n_layer=1)), "e" * 40)
    assert GPT2.from_pretrained("gpt2", revision="e" * 40).config.n_layer == 1


def test_the_published_sha256_counts_whatever_the_hub_says(hub: StandIn, published: bytes) -> None:  # law 13
    """A mirror may have ETags of its own."""
    hub.linked = {"X-Linked-ETag": '"of-its-own"'}
    hub.faults[WEIGHTS] = [Fault(wrong=True)]
    words = sentence(CheckpointError, "gpt2")
    assert "model.safetensors of gpt2 did not arrive as it should be: its sha256 is " in words
    assert f"instead of {PUBLISHED['gpt2'].sha256}; it was removed. Start again" in words
    assert GPT2.from_pretrained("gpt2").source.revision == PINNED


def test_a_published_model_is_one_file(hub: StandIn, published: bytes) -> None:
    """An index beside it leads to files that nobody has published a sha256 of."""
    files = hub.commits["openai-community/gpt2", PINNED]
    files["model.safetensors.index.json"] = files.pop(WEIGHTS)
    assert "has neither model.safetensors nor" in sentence(ModelNotFoundError, "gpt2")


def test_a_published_file_in_the_cache_is_measured(hub: StandIn, published: bytes, cache: Path) -> None:  # law 13
    GPT2.from_pretrained("gpt2")
    [blob] = cache.rglob(f"blobs/{PUBLISHED['gpt2'].sha256}")
    blob.write_bytes(published[:-7])
    hub.requests.clear()
    words = sentence(CheckpointError, "gpt2")
    n = len(published)
    assert words == f"{blob} has {n - 7:,} bytes, but model.safetensors of gpt2 has {n:,}: delete it and start again"
    with pytest.raises(CheckpointError, match="delete it and start again"):
        GPT2.from_pretrained("gpt2", local_files_only=True)
    assert blob.exists()  # who knows what it is
    assert hub.requests == []
    blob.unlink()
    GPT2.from_pretrained("gpt2")
    assert blob.read_bytes() == published


def test_a_file_of_the_right_size_in_the_cache_is_believed(hub: StandIn, published: bytes, cache: Path) -> None:
    """Its sha256 was compared when it came. Half a GB would take a second at each start."""
    GPT2.from_pretrained("gpt2")
    [blob] = cache.rglob(f"blobs/{PUBLISHED['gpt2'].sha256}")
    blob.write_bytes(published[:-1] + bytes([published[-1] ^ 1]))
    GPT2.from_pretrained("gpt2")


def test_a_truncated_blob_is_named_and_not_used(hub: StandIn, content: bytes, partial: Path) -> None:  # law 13
    """Another program's, or of a copied cache; the snapshot does not have it yet."""
    blob = partial.with_suffix("")
    blob.write_bytes(content[:1000])
    words = sentence(CheckpointError)
    assert words.startswith(f"{blob} has 1,000 bytes, but model.safetensors of owner/name has {len(content):,}: delete")
    blob.unlink()
    assert load() == content


# --- the disk ---


def test_a_disk_that_is_too_small(
    hub: StandIn, content: bytes, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    """What is there already needs no place again."""
    usage = namedtuple("usage", "total used free")
    partial.write_bytes(content[:60_000])
    missing = len(content) - 60_000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, missing - 1))
    words = sentence(ModelNotFoundError)
    assert f"owner/name needs {missing:,} bytes more" in words
    assert f"{partial.parent} has only {missing - 1:,} bytes left: free some, or point HF_HOME to another disk" in words
    assert hub.bytes_sent(WEIGHTS) == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, missing))
    assert load() == content


def test_large_amounts_are_told_in_megabytes() -> None:
    assert transfer.amount(548_105_171) == "548 MB"
    assert transfer.amount(6_431_829_962) == "6,432 MB"
    assert transfer.amount(170_000) == "170,000 bytes"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
def test_a_disk_that_fills_up_on_the_way(hub: StandIn, content: bytes, partial: Path) -> None:  # law 13
    partial.symlink_to("/dev/full")
    words = sentence(ModelNotFoundError)
    assert words.startswith("owner/name cannot be stored: No space left on device; free some space, or point HF_HOME")
    assert words.endswith("What was downloaded stays, and the next start goes on from there")


# --- refused ---


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Retry_After": "7"}, "it answers 429 Too Many Requests and asks to wait 7 seconds"),
        ({"RateLimit": '"resolvers";r=0;t=55'}, "it answers 429 Too Many Requests and asks to wait 55 seconds"),
        ({"RateLimit": '"resolvers";r=9;t=55', "Retry_After": "8"}, "Requests and asks to wait 8 seconds"),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "asks to wait until Wed, 21 Oct 2026 07:28:00 GMT"),
        ({}, "it answers 429 Too Many Requests)"),
    ],
)
def test_too_many_requests(headers: dict[str, str], words: str, hub: StandIn, content: bytes) -> None:  # law 13
    """Said at once; nobody sits in front of a program that waits for five minutes without a word."""
    hub.refusals["owner/name"] = [Refusal(429, **headers)]
    said = sentence(HubUnreachableError)
    assert words in said
    assert "; wait, log in with `hf auth login`, or give a directory" in said
    assert len(hub.requests) == 1
    assert load() == content


def test_too_many_requests_in_the_middle(hub: StandIn, content: bytes) -> None:  # law 13
    hub.faults[WEIGHTS] = [Fault(stop_after=60_000), Fault(refusal=Refusal(429, Retry_After="30"))]
    assert "it answers 429 Too Many Requests and asks to wait 30 seconds" in sentence(HubUnreachableError)
    assert load() == content
    assert ranges(hub)[-1] == "bytes=60000-"


@pytest.mark.parametrize("status", [403, 404])
def test_a_cdn_that_refuses(status: int, hub: StandIn, content: bytes) -> None:  # law 13
    hub.faults[WEIGHTS] = [Fault(refusal=Refusal(status))]
    assert f"(it answers {status} " in sentence(HubUnreachableError)
    assert len(ranges(hub)) == 1


def test_a_token_that_the_hub_does_not_know(
    hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    """An old one shuts even what is public."""
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    words = sentence(HubUnreachableError)
    assert "it answers 401 Unauthorized); log in again with `hf auth login`, or take HF_TOKEN away" in words


def test_a_token_that_cannot_be_sent(hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    monkeypatch.setenv("HF_TOKEN", "hf_\u201csecret\u201d")  # quotation marks of a word processor
    with pytest.raises(HubUnreachableError, match="the token in HF_TOKEN or of `hf auth login` has letters") as error:
        load()
    assert "secret" not in "".join(traceback.format_exception(error.value))
    assert hub.requests == []


@pytest.mark.parametrize("access", ["private", "gated"])
def test_what_is_not_for_everybody(
    access: str, hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    getattr(hub, access).update({"owner/name": {"hf_me"}, "other/name": {"hf_other"}})
    expected = {
        "private": "the Hub has no repository owner/name, or it is private: check the name, or log in",
        "gated": "owner/name is gated: accept its terms on the Hub, then log in with `hf auth login`",
    }[access]
    assert expected in sentence(ModelNotFoundError)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert expected in sentence(ModelNotFoundError)
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    assert load() == content


def test_what_is_in_the_cache_does_not_need_the_proxy(
    hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor that its address is one: then there is not even an HTTP client."""
    load()
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1:9")
    huggingface_hub.close_session()
    assert load() == content
    assert "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is none of a proxy" in sentence(HubUnreachableError, "owner/other")


# --- progress ---


def test_one_bar_from_where_the_download_goes_on(
    hub: StandIn, content: bytes, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_LARGE", 1000)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    partial.write_bytes(content[: len(content) // 2])
    load()
    bars = [bar for bar in terminal.getvalue().split("\r") if bar.strip()]
    assert bars[0].startswith("model.safetensors:  50%|")
    assert bars[-1].startswith("model.safetensors: 100%|")
    assert "config.json" not in terminal.getvalue()


def test_a_bar_says_that_the_connection_broke(hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_LARGE", 1000)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    hub.faults[WEIGHTS] = [Fault(stop_after=60_000)]
    load()
    assert "broke off, going on" in terminal.getvalue()
    assert "Traceback" not in terminal.getvalue()


def test_small_files_and_those_whom_nobody_watches_have_none(
    hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfer, "_LARGE", 1000)
    load()
    assert capsys.readouterr().err == ""


def test_a_notebook_has_one(hub: StandIn, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its standard error says that it is no terminal; but it shows what comes, line over line."""
    monkeypatch.setattr(transfer, "_LARGE", 1000)
    page = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stderr", page)
    load()
    assert "model.safetensors: 100%|" in page.getvalue()
    assert "config.json" not in page.getvalue()
