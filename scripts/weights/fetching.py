"""Models from the Hub's cache, downloaded first where they have to be, into a folder: checked, and never half."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants

from gpt2 import PUBLISHED, GPT2Config, PublishedModel, hub
from gpt2.checkpoint import shards
from gpt2.download import Content, Wanted, fetch
from scripts.command import note
from scripts.weights.folder import Source, judge
from scripts.weights.published import CHUNK, CONFIG, WEIGHTS, in_cache, in_units, model_of, nearest_folder, sha256_of

_REPOSITORY = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+")
_FAT32_LIMIT = 1 << 32


class Model(NamedTuple):
    """A model to fetch. `published` is what this project knows of it, where it is one of the five."""

    name: str
    repository: str
    revision: str
    published: PublishedModel | None


def named(name: str, revision: str | None) -> Model:
    if name in PUBLISHED:
        published = PUBLISHED[name]
        if revision is not None:
            raise ValueError(
                f"{name} is pinned to one commit; for another write {published.repository} --revision {revision}"
            )
        return Model(name, published.repository, published.revision, published)
    if name == "storybook":
        raise ValueError("storybook comes with the project; there is nothing to fetch")
    if not _REPOSITORY.fullmatch(name):
        raise ValueError(
            f"there is no model {name!r} to fetch: give one of {', '.join(PUBLISHED)}, "
            f"or owner/name on the Hugging Face Hub"
        )
    return Model(name, name, revision or "main", None)


def files_there(
    folder: Path, model: Model, sums: dict[str, str], sources: dict[str, Source], revision: str | None
) -> dict[str, str]:
    """file -> sha256 of what the folder has of a model and need not get again.

    Of a published model, each file on its own; of another, all that are listed, or nothing.
    """
    if model.published is not None:
        wanted = [file for file in (f"{model.name}/{CONFIG}", f"{model.name}/{WEIGHTS}") if (folder / file).is_file()]
    elif model.name in sources and revision in (None, sources[model.name].revision):
        wanted = [file for file in sums if model_of(file) == model.name]
    else:
        wanted = []
    if wanted:
        say(f"checking {model.name} in {folder}")
    judgements = [judge(folder, file, sums.get(file, "")) for file in wanted]
    right = {judgement.file: judgement.sha256 for judgement in judgements if judgement.sha256}
    return right if model.published is not None or len(right) == len(wanted) else {}


def fetch_published(folder: Path, model: Model, there: dict[str, str]) -> dict[str, str]:
    """What the folder lacks of a published model. -> file: sha256"""
    assert model.published is not None
    if f"{model.name}/{WEIGHTS}" not in there:
        say_what_is_fetched(model.name, model.published)
    fetched = {}
    for file, content in {CONFIG: Content(), WEIGHTS: Content(model.published.n_bytes, model.published.sha256)}.items():
        if f"{model.name}/{file}" in there:
            continue

        def get(wanted: Wanted = Wanted(model.name, model.repository, file, model.revision, content)) -> Path:  # noqa: B008
            path = fetch(wanted)
            if path is None:
                raise ValueError(f"{wanted.repository} has no {wanted.file} there; is HF_ENDPOINT a mirror of the Hub?")
            return path

        fetched[f"{model.name}/{file}"] = place(get, folder, model)
    return fetched


def say_what_is_fetched(name: str, published: PublishedModel) -> None:
    """Before a download, also where there is no terminal for a bar."""
    found = in_cache(Path(constants.HF_HUB_CACHE), name, published)
    if found.state not in ("whole", "no config"):
        there = f" ({in_units(found.n_bytes)} of it are here)" if found.state == "part" else ""
        say(f"fetching {name}, {in_units(published.n_bytes)}{there}")


def fetch_unpublished(folder: Path, model: Model) -> tuple[str, dict[str, str]]:
    """All files of a model that this project knows nothing about. -> its commit, and file: sha256"""

    def locate() -> hub.ModelFiles:  # not hub.locate, for which a folder of this name comes first
        return hub.on_the_hub(model.name, model.repository, model.revision, False)

    say(f"fetching {model.name}, or what the Hub's cache lacks of it")
    files = locate()
    names = [files.config.name, files.weights.name]
    if files.weights.name != WEIGHTS:  # the index of several files
        names += shards(files.weights)
    fetched = {}
    for name in names:

        def get(name: str = name) -> Path:
            return locate().config.parent / name

        fetched[f"{model.name}/{name}"] = place(get, folder, model)
    return files.source.revision or model.revision, fetched


class Damaged(OSError):  # noqa: N818
    """A file of the cache that is not what it should be."""


def place(get: Callable[[], Path], folder: Path, model: Model) -> str:
    """Put a file of the cache into the folder, once it is right. -> its sha256

    Where the cache has another file than it should, as disks and hard links make it, that one is fetched again.
    """
    target = folder / model.name
    path = get()
    target.mkdir(parents=True, exist_ok=True)
    try:
        return share_or_copy(path, target, model)
    except Damaged as error:
        say(f"{error}; it is fetched again")
        forget(path)
        return share_or_copy(get(), target, model)


def share_or_copy(path: Path, target: Path, model: Model) -> str:
    """Give the weights a second name, in the folder, or copy them there; small files are always copied."""
    source = path.resolve()  # the cache's own name for it is a link
    partial = target / f".{path.name}.part"
    n_bytes = source.stat().st_size
    partial.unlink(missing_ok=True)
    try:
        how = "shared with the cache" if path.suffix == ".safetensors" and link(source, partial) else "copied"
        if how == "copied":
            free = shutil.disk_usage(target).free
            if free < n_bytes:
                raise no_room(target, n_bytes, free)
            copy(source, partial)
        found = sha256_of(partial)
        published = model.published.sha256 if model.published and path.name == WEIGHTS else None
        if not is_right(partial, found, source.name, published):
            raise Damaged(f"{source} is damaged")
        if model.published and path.name == CONFIG and GPT2Config.from_file(partial) != model.published.config:
            forget(path)
            raise ValueError(f"what came as the config.json of {model.name} describes another model; check HF_ENDPOINT")
        os.replace(partial, target / path.name)  # noqa: PTH105
    finally:
        partial.unlink(missing_ok=True)
    print(f"{model.name}/{path.name}: {in_units(n_bytes)}, {how}", flush=True)
    return found


def link(source: Path, target: Path) -> bool:
    """Whether there could be a second name: not on another disk, nor without hard links, nor for another's file."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def is_right(file: Path, found: str, blob: str, sha256: str | None) -> bool:
    """Whether a file is the published one, or else the one that the cache named after its sha256, or as git does."""
    if sha256 is not None or re.fullmatch(r"[0-9a-f]{64}", blob):
        return found == (sha256 or blob)
    if re.fullmatch(r"[0-9a-f]{40}", blob):
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == blob
    return True


def copy(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as read, target.open("wb") as written:
            shutil.copyfileobj(read, written, CHUNK)
            written.flush()
            os.fsync(written.fileno())  # sticks are pulled out early
    except OSError as error:
        if error.errno == errno.EFBIG or (error.errno == errno.EINVAL and source.stat().st_size >= _FAT32_LIMIT):
            raise OSError(
                f"{target.parent} takes no file of {source.stat().st_size:,} bytes: FAT32 ends at 4 GB; format the "
                f"stick as exFAT"
            ) from error
        raise


def forget(path: Path) -> None:
    """Remove a file from the cache: the link, and what it leads to."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


# -- room on the disk -------------------------------------------------------------------------------------------------


def check_room(folder: Path, models: Sequence[Model]) -> None:
    """Before anything is fetched: what is missing in the cache, and on another disk the copies, too.

    Only for published models, whose sizes are known; for the others, downloads and copies look for themselves.
    """
    cache = Path(constants.HF_HUB_CACHE)
    disks = [nearest_folder(cache), nearest_folder(folder)]
    one_disk = disks[0].stat().st_dev == disks[1].stat().st_dev
    to_download = to_copy = 0
    for model in models:
        if model.published is not None:
            found = in_cache(cache, model.name, model.published)
            there = found.n_bytes if found.state in ("whole", "no config", "part") else 0
            to_download += model.published.n_bytes - there
            to_copy += 0 if one_disk else model.published.n_bytes
    for disk, n_bytes in zip(disks, (to_download, to_copy), strict=True):
        free = shutil.disk_usage(disk).free
        if n_bytes > free:
            raise no_room(disk, n_bytes, free)


def no_room(folder: Path, n_bytes: int, free: int) -> OSError:
    return OSError(
        f"{in_units(n_bytes)} are needed in {folder}, and {in_units(free)} are free; make room, or take less"
    )


def say(text: str) -> None:
    """Something beside the result: one line on standard error."""
    note("prefetch.py", text)
