"""The five published models on this disk: which lie in the Hub's cache, or in a folder that was handed round."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gpt2 import PublishedModel

CONFIG, WEIGHTS = "config.json", "model.safetensors"
CHUNK = 1 << 20  # bytes read at a time


class Found(NamedTuple):
    """What there is of one published model in one place."""

    name: str
    state: str  # "whole", "part", "wrong size", "no config", "absent"
    n_bytes: int  # of the weights: those that are there, or, for "part", those that were downloaded so far
    weights: Path | None  # where the weights lie


def repository_folder(cache: Path, repository: str) -> Path:
    """Where the Hub's cache keeps a repository."""
    return cache / f"models--{repository.replace('/', '--')}"


def in_cache(cache: Path, name: str, published: PublishedModel) -> Found:
    """What the Hub's cache has of a published model at its pinned commit."""
    repository = repository_folder(cache, published.repository)
    found = in_folder(repository / "snapshots" / published.revision, name, published)
    if found.state != "absent":
        return found
    unfinished = repository / "blobs" / f"{published.sha256}.incomplete"
    n_bytes = size_of(unfinished)
    return found if n_bytes is None else Found(name, "part", n_bytes, unfinished)


def in_folder(folder: Path, name: str, published: PublishedModel) -> Found:
    """What a folder with config.json and model.safetensors has of a published model."""
    weights = folder / WEIGHTS
    n_bytes = size_of(weights)
    if n_bytes is None:
        return Found(name, "absent", 0, None)
    if n_bytes != published.n_bytes:
        return Found(name, "wrong size", n_bytes, weights)
    return Found(name, "whole" if (folder / CONFIG).is_file() else "no config", n_bytes, weights)


def strays(cache: Path, repositories: Iterable[str]) -> list[Path]:
    """What killed downloads left in the cache and nothing will read again.

    huggingface_hub gives each of its downloads a name of its own, `<etag>.<8 digits>.incomplete`. `<etag>.incomplete`
    is another matter: this project's next download goes on there.
    """
    never_again = re.compile(r".+\.[0-9a-f]{8}\.incomplete")
    found = []
    for repository in repositories:
        blobs = repository_folder(cache, repository) / "blobs"
        if blobs.is_dir():
            found += [path for path in sorted(blobs.iterdir()) if never_again.fullmatch(path.name)]
    return found


def size_of(path: Path) -> int | None:
    """Bytes of a file, links followed; None where there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    path = Path(os.path.abspath(path))  # noqa: PTH100  (resolve() fails for some paths that do not exist)
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def model_of(file: str) -> str:
    """The name of the model that a file of a folder with several models belongs to."""
    return file.rpartition("/")[0]


def quoted(path: str | Path) -> str:
    """A path as it is written in a command of this system's shell."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def in_units(n_bytes: float) -> str:
    """`548 MB`, `6.4 GB`: decimal, as the Hub counts."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}" if n_bytes < 10 * size else f"{n_bytes / size:.0f} {unit}"
    return f"{n_bytes:.0f} bytes"
