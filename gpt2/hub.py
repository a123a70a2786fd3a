"""Where a model's files come from: the bundled model, a directory, or the Hugging Face Hub."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

from .checkpoint import INDEX, shards
from .config import PUBLISHED

STORYBOOK = Path(__file__).parent / "storybook"  # the bundled model
SECONDS_TO_ANSWER = 4.0  # how long the Hub, or a proxy, may take for each answer before it counts as out of reach

_WEIGHTS = "model.safetensors"
_CONFIG = "config.json"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelNotFoundError(OSError):
    """There is no such model, or it lacks the files that a model needs."""


class HubUnreachableError(OSError):
    """The Hub had to be asked, and did not answer, or refused to. `reason` says why, in a few words."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"the Hugging Face Hub cannot be reached for {name} ({reason}); check the network or the proxy, "
            f"or give a directory that holds the model"
        )
        self.reason = reason


class Source(NamedTuple):
    """What was loaded: the name that was asked for, and the commit where the Hub has it."""

    name: str
    revision: str | None


class ModelFiles(NamedTuple):
    """A model's files on this machine. `weights` is one file, or the index of several beside it."""

    config: Path
    weights: Path
    source: Source


def locate(name: str | PathLike[str], *, revision: str | None = None, local_files_only: bool = False) -> ModelFiles:
    """Find the files of the model `name`, and download them where that is needed and allowed.

    Published names come first, then the bundled model, then an existing directory, then "owner/name" on the Hub.
    See `GPT2.from_pretrained` for the arguments and the errors.
    """
    name = fspath(name)
    if name in PUBLISHED:
        repository, pinned, _ = PUBLISHED[name]
        return _on_the_hub(name, repository, revision or pinned, local_files_only)
    if name == "storybook" or _is_directory(name):
        if revision is not None:
            raise ValueError(f"revision names a commit on the Hub, but {name!r} is on this machine; leave it out")
        folder = STORYBOOK if name == "storybook" else Path(name).expanduser()
        return _in_directory(name, folder)
    if _REPOSITORY.fullmatch(name) and not name.startswith("."):
        return _on_the_hub(name, name, revision or "main", local_files_only)
    raise ModelNotFoundError(
        f"there is no model {name!r}: give one of {', '.join(PUBLISHED)}, storybook (bundled), "
        f"an existing directory, or owner/name on the Hugging Face Hub"
    )


def _is_directory(name: str) -> bool:
    try:
        return name != "" and Path(name).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # a name too long for a file, or the home of nobody
        return False


def _in_directory(name: str, folder: Path) -> ModelFiles:
    try:
        present = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise ModelNotFoundError(f"the directory {folder} cannot be read: {error.strerror}") from error
    weights = next((file for file in (_WEIGHTS, INDEX) if file in present), None)
    if weights is None:
        pickles = any(file.endswith((".bin", ".pt", ".pth", ".ckpt")) for file in present)
        raise ModelNotFoundError(
            f"the directory {folder} holds no weights: neither {_WEIGHTS} nor {INDEX}"
            + ("; only safetensors is read, and what lies there has to be converted" if pickles else "")
        )
    if _CONFIG not in present:
        raise ModelNotFoundError(f"the directory {folder} holds weights but no {_CONFIG}, which tells their shape")
    return ModelFiles(folder / _CONFIG, folder / weights, Source(name, None))


def _on_the_hub(name: str, repository: str, revision: str, local_files_only: bool) -> ModelFiles:
    config = _fetch(name, repository, _CONFIG, revision, local_files_only)
    if config is None:
        raise ModelNotFoundError(f"{repository} on the Hub has no {_CONFIG} at {revision}, so it is no model to load")
    # the cache keeps a commit in a folder of its own, .../snapshots/<commit>/; all other files are of the same commit
    snapshot = config.parent
    commit = snapshot.name if _COMMIT.fullmatch(snapshot.name) else None

    def fetch(file: str) -> Path | None:
        return _fetch(name, repository, file, commit or revision, local_files_only)

    cached = [snapshot / file for file in (_WEIGHTS, INDEX) if (snapshot / file).exists()]
    weights = cached[0] if cached else fetch(_WEIGHTS) or fetch(INDEX)
    if weights is None:
        raise ModelNotFoundError(
            f"{repository} on the Hub has neither {_WEIGHTS} nor {INDEX} at {revision}; only safetensors is read"
        )
    for shard in shards(weights) if weights.name == INDEX else []:
        if fetch(shard) is None:
            raise ModelNotFoundError(f"{repository} on the Hub lists {shard}, but does not have it")
    return ModelFiles(config, weights, Source(name, commit))


def _fetch(name: str, repository: str, file: str, revision: str, local_files_only: bool) -> Path | None:
    """The file's place in the cache, after a download where needed; None where the repository has no such file.

    A file of a full commit that lies in the cache is used without any request. A branch is asked for its newest commit,
    and what the cache has of it will do where the Hub does not answer.
    """
    # A request that nobody asked for, made even for cached files, and one wait more where the Hub is silent.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with warnings.catch_warnings():  # in a notebook tqdm asks for ipywidgets; its bar of plain text will do
        warnings.filterwarnings("ignore", message="IProgress not found")
        import huggingface_hub as hub  # here, so that the bundled model and directories start without it
        from huggingface_hub import errors, file_download  # noqa: F401  (the latter imports tqdm)

    with _in_words(name, repository, revision):
        cached = hub.try_to_load_from_cache(repository, file, revision=revision)
        if local_files_only or _COMMIT.fullmatch(revision):
            if isinstance(cached, str):
                return Path(cached)
            if cached is hub._CACHED_NO_EXIST:
                return None
            if local_files_only:
                raise HubUnreachableError(name, "it is not in the cache, and the Hub is not to be asked")
        try:  # one short question first, because a download asks again for minutes before it gives up
            url = hub.hf_hub_url(repository, file, revision=revision)
            answer = hub.get_hf_file_metadata(url, timeout=SECONDS_TO_ANSWER, retry_on_errors=False)
            if answer.commit_hash is None:
                raise errors.FileMetadataError("what answers there is not the Hub")
        except errors.RemoteEntryNotFoundError:
            return None
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):  # GatedRepoError is one of these, too
            raise
        except Exception:  # every way in which a network can fail
            if isinstance(cached, str):
                return Path(cached)
            raise
        return Path(hub.hf_hub_download(repository, file, revision=revision))


@contextmanager
def _in_words(name: str, repository: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub, its HTTP client and the disk may raise into our two errors."""
    from huggingface_hub import errors

    try:
        yield
    except HubUnreachableError:
        raise
    except errors.GatedRepoError as error:
        raise ModelNotFoundError(
            f"{repository} is gated: accept its terms on the Hub, then log in with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"the Hub has no repository {repository}, or it is private: check the name, or log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFoundError(f"{repository} on the Hub has no revision {revision!r}") from error
    except errors.HFValidationError as error:
        raise ModelNotFoundError(f"{repository!r} cannot be the name of a repository on the Hub: {error}") from error
    except errors.LocalEntryNotFoundError as error:
        raise HubUnreachableError(name, _first_line(error)) from error
    except ImportError as error:  # the HTTP client lacks what this proxy needs
        raise HubUnreachableError(name, _first_line(error)) from error
    except (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError) as error:
        raise ModelNotFoundError(
            f"the cache of the Hub cannot be used ({error}): point HF_HOME to a folder that can be read and written"
        ) from error
    except OSError as error:
        if error.errno is not None and not isinstance(error, ConnectionError):
            raise ModelNotFoundError(f"{name} cannot be stored: {error.strerror or error}") from error
        raise HubUnreachableError(name, _first_line(error)) from error
    except Exception as error:
        if not _is_of_the_network(error):
            raise
        raise HubUnreachableError(name, _first_line(error)) from error


def _is_of_the_network(error: Exception) -> bool:
    """Whether an exception came from the Hub's HTTP client, whose own classes differ between its versions."""
    return type(error).__module__.split(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
