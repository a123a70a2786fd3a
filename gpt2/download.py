"""One file from the Hugging Face Hub into its cache: resumed where it broke off, and checked before it counts.

The cache is that of huggingface_hub, which asks the Hub about the file. The bytes are fetched here, by plain HTTP,
because its own download begins anew after every interruption:

    .locks/<repository>/<etag>.lock                 held while one process fetches, and others wait
    <repository>/blobs/<etag>.incomplete            what has come so far; the next start goes on from there
    <repository>/blobs/<etag>                       the same once it is right
    <repository>/snapshots/<commit>/<file>          a link to the blob, or the file itself on a system without links
    <repository>/refs/<branch>                      the commit that the branch was last seen at
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
import warnings
from concurrent import futures
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from .checkpoint import CheckpointError
from .hub_errors import HubUnreachableError, ModelNotFoundError, in_words
from .transfer import amount, transfer

SECONDS_TO_ANSWER = 4.0  # how long each step of a question to the Hub may take: to connect, to answer
SECONDS_IN_ALL = 9.0  # and all steps together; each of the Hub's addresses is one, and name servers take their own time
COMMIT = re.compile(r"[0-9a-f]{40}")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[\w+=-][\w.+=-]{0,199}")  # what an ETag has to be, for it names a file of the cache


class Content(NamedTuple):
    """What a file has to be, where that is known before it is fetched."""

    n_bytes: int | None = None
    sha256: str | None = None


class Wanted(NamedTuple):
    """A file of a repository, for the model that the user called `name`."""

    name: str
    repository: str
    file: str
    revision: str
    published: Content = Content()


def fetch(wanted: Wanted, local_files_only: bool = False) -> Path | None:
    """The file's place in the cache, after a download where needed; None where the repository has no such file.

    A file of a full commit that lies in the cache is used without any request. A branch is asked for its newest commit,
    and what the cache has of it will do where the Hub does not answer.
    """
    hub = _huggingface_hub()
    name, repository, file, revision, _ = wanted
    with in_words(name, repository, revision):
        cached = hub.try_to_load_from_cache(repository, file, revision=revision)
        if local_files_only or COMMIT.fullmatch(revision):
            if isinstance(cached, str):
                return Path(cached)
            if cached is hub._CACHED_NO_EXIST:
                return None
            if local_files_only:
                reason = "it is not in the cache, and the Hub is not to be asked"
                raise HubUnreachableError(name, reason, "allow that once")
        try:
            answer = _ask(hub, wanted)
        except hub.errors.RemoteEntryNotFoundError:
            return None
        except (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError):  # a gated one is of these, too
            raise
        except Exception:  # every way in which a network can fail
            if isinstance(cached, str):
                return Path(cached)
            raise
        folder = Path(hub.constants.HF_HUB_CACHE) / hub.file_download.repo_folder_name(
            repo_id=repository, repo_type="model"
        )
        at_commit = hub.try_to_load_from_cache(repository, file, revision=answer.commit_hash)
        if not isinstance(at_commit, str):
            at_commit = _download(hub, wanted, answer, folder)
        elif at_commit == cached:  # the branch has not moved
            return Path(at_commit)
        if revision != answer.commit_hash:
            _remember(folder / "refs" / revision, answer.commit_hash)
        return Path(at_commit)


def check_size(path: Path, n_bytes: int | None, what: str) -> None:
    """Raises CheckpointError for a file on this machine that has not the size of `what` it should be."""
    size = path.stat().st_size
    if n_bytes is not None and size != n_bytes:
        raise CheckpointError(
            f"{path.resolve()} has {size:,} bytes, but {what} has {n_bytes:,}: delete it and start again"
        )


def _huggingface_hub() -> ModuleType:
    """Imported here, so that the bundled model and directories start without it."""
    # A request that nobody asked for, made even for cached files, and one wait more where the Hub is silent.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with warnings.catch_warnings():  # in a notebook tqdm asks for ipywidgets; its bar of plain text will do
        warnings.filterwarnings("ignore", message="IProgress not found")
        try:
            import huggingface_hub
            from huggingface_hub import constants, errors, file_download  # noqa: F401
        except ValueError as error:
            raise ValueError(
                f"huggingface_hub does not start with these environment variables ({error}): "
                f"HF_ENDPOINT is an address, HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT are whole numbers"
            ) from error

        hub: ModuleType = huggingface_hub
        hub.utils.tqdm  # noqa: B018  (imported when it is first asked for)
    return hub


def _ask(hub: ModuleType, wanted: Wanted) -> Any:
    """What the Hub says about the file: commit, size, ETag. Asked once, because a download asks again for minutes."""
    if hub.constants.HF_HUB_OFFLINE:
        raise HubUnreachableError(
            wanted.name, "it is not in the cache, and HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set", "unset that"
        )
    _make_client(hub, wanted.name)
    url = hub.hf_hub_url(wanted.repository, wanted.file, revision=wanted.revision)
    outcome: futures.Future[Any] = futures.Future()

    def ask() -> None:
        try:
            outcome.set_result(hub.get_hf_file_metadata(url, timeout=SECONDS_TO_ANSWER, retry_on_errors=False))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()  # which nobody waits for at the end of the program
    try:
        answer = outcome.result(SECONDS_IN_ALL)
    except futures.TimeoutError as error:
        raise HubUnreachableError(wanted.name, f"no answer within {SECONDS_IN_ALL:g} seconds") from error
    except UnicodeEncodeError:  # without its words, in which the token is
        raise HubUnreachableError(
            wanted.name, "the token in HF_TOKEN or of `hf auth login` has letters that no token has", "set it anew"
        ) from None
    if not COMMIT.fullmatch(answer.commit_hash or "") or not _FILE_NAME.fullmatch(answer.etag or ""):
        raise hub.errors.FileMetadataError("what answers there is not the Hub")
    return answer


def _make_client(hub: ModuleType, name: str) -> None:
    """The HTTP client is made once, of what the environment says about proxies and certificates."""
    try:
        hub.get_session()
    except ImportError:  # it lacks what this kind of proxy needs, and says so
        raise
    except OSError as error:
        raise HubUnreachableError(
            name, f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error.strerror or error}"
        ) from error
    except Exception:  # without its words, in which there may be a password
        raise HubUnreachableError(
            name,
            "the address in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is none of a proxy; "
            "in a password, / # ? and @ are written %2F %23 %3F and %40",
        ) from None


# -- the download -----------------------------------------------------------------------------------------------------


def _download(hub: ModuleType, wanted: Wanted, answer: Any, folder: Path) -> Path:
    """The file's place in the snapshot of this repository's folder, where it is from now on."""
    place = folder / "snapshots" / answer.commit_hash / wanted.file
    blob = folder / "blobs" / answer.etag
    partial = blob.with_name(blob.name + ".incomplete")
    lock = folder.parent / ".locks" / folder.name / f"{answer.etag}.lock"  # which huggingface_hub holds for it, too
    n_bytes = wanted.published.n_bytes if answer.size is None else answer.size
    sha256 = wanted.published.sha256 or (answer.etag if _SHA256.fullmatch(answer.etag) else None)
    _refuse_another_file(hub, wanted, answer)
    for path in (place, blob, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with hub.utils.WeakFileLock(lock):  # a second process waits here, and then finds what the first has fetched
        linked = hub.file_download.are_symlinks_supported()
        if place.exists():
            return place
        if blob.exists():
            check_size(blob, n_bytes, f"{wanted.file} of {wanted.name}")
        else:
            _fetch_bytes(hub, wanted, answer.commit_hash, partial, Content(n_bytes, sha256))
            partial.replace(blob if linked else place)
        if linked:
            place.unlink(missing_ok=True)  # a link to a blob that somebody has removed
            place.symlink_to(os.path.relpath(blob, place.parent))
        elif blob.exists():  # from a time with links, so that others may lead to it
            shutil.copyfile(blob, partial)
            partial.replace(place)
    return place


def _fetch_bytes(hub: ModuleType, wanted: Wanted, commit: str, partial: Path, content: Content) -> None:
    """Into `partial`, which is complete and right at the end."""
    if content.n_bytes is not None:
        _make_room(partial, content.n_bytes, wanted.name)
    url = hub.hf_hub_url(wanted.repository, wanted.file, revision=commit)
    transfer(url, partial, content.n_bytes, name=wanted.name, file=wanted.file)
    difference = _difference(partial, content)
    if difference is not None:
        partial.unlink()
        raise CheckpointError(
            f"{wanted.file} of {wanted.name} did not arrive as it should be: {difference}; it was removed. "
            f"Start again, and if that does not help, ask who runs the network"
        )


def _remember(ref: Path, commit: str) -> None:
    """Where the branch is now, for starts without the Hub. A cache that may only be read does without."""
    with contextlib.suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, encoding="utf-8")


def _refuse_another_file(hub: ModuleType, wanted: Wanted, answer: Any) -> None:
    """Before anything is downloaded: what the Hub announces has to be the published file."""
    n_bytes, sha256 = wanted.published
    difference = None
    if n_bytes is not None and answer.size is not None and answer.size != n_bytes:
        difference = f"it has {answer.size:,} bytes instead of {n_bytes:,}"
    elif sha256 is not None and _SHA256.fullmatch(answer.etag) and answer.etag != sha256:
        difference = f"its sha256 is {answer.etag} instead of {sha256}"
    if difference is not None:
        raise CheckpointError(
            f"what {hub.constants.ENDPOINT} has as {wanted.file} of {wanted.name} is not the published file: "
            f"{difference}. Nothing was downloaded; check HF_ENDPOINT and the proxy"
        )


def _difference(path: Path, content: Content) -> str | None:
    """What distinguishes a file from what it should be."""
    size = path.stat().st_size
    if content.n_bytes is not None and size != content.n_bytes:
        return f"it has {size:,} bytes instead of {content.n_bytes:,}"
    if content.sha256 is not None and (found := _sha256(path)) != content.sha256:
        return f"its sha256 is {found} instead of {content.sha256}"
    return None


def _make_room(partial: Path, n_bytes: int, name: str) -> None:
    """Throw away what is more than the whole file, and refuse to begin where the rest has no place on the disk."""
    there = partial.stat().st_size if partial.exists() else 0
    if there > n_bytes:
        partial.unlink(missing_ok=True)
        there = 0
    free = shutil.disk_usage(partial.parent).free
    if free < n_bytes - there:
        raise ModelNotFoundError(
            f"{name} needs {amount(n_bytes - there)} more, but the disk of {partial.parent} has only {amount(free)} "
            f"left: free some, or point HF_HOME to another disk"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
