"""Where a model's files come from: the bundled model, a directory, or the Hugging Face Hub.

What a name means, and which files a model has, is decided here; `download.py` fetches one file.
"""

from __future__ import annotations

import os
import re
from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

from .checkpoint import INDEX, shards
from .config import PUBLISHED, PublishedModel
from .download import COMMIT, Content, Wanted, check_size, fetch
from .hub_errors import HubUnreachableError, ModelNotFoundError

STORYBOOK = Path(__file__).parent / "storybook"  # the bundled model
FOLDER_VARIABLE = "GPT2_WEIGHTS"  # names a folder of published models that somebody has handed round

_WEIGHTS = "model.safetensors"
_CONFIG = "config.json"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


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
        published = PUBLISHED[name]
        at_hand = _handed_round(name, published) if revision is None else None
        if at_hand is not None:
            return at_hand
        try:
            return on_the_hub(name, published.repository, revision or published.revision, local_files_only)
        except HubUnreachableError as error:
            if revision is None and (folder := os.environ.get(FOLDER_VARIABLE)):
                reason = f"{error.reason}; {FOLDER_VARIABLE} names {folder}, which does not hold it"
                raise HubUnreachableError(name, reason, error.advice) from error
            raise
    if name == "storybook" or is_directory(name):
        if revision is not None:
            raise ValueError(f"revision names a commit on the Hub, but {name!r} is on this machine; leave it out")
        if name == "storybook":
            return _in_directory(name, STORYBOOK)
        return _in_directory(name, _model_folder(Path(name).expanduser()))
    if _REPOSITORY.fullmatch(name) and not name.startswith("."):
        return on_the_hub(name, name, revision or "main", local_files_only)
    raise ModelNotFoundError(
        f"there is no model {name!r}: give one of {', '.join(PUBLISHED)}, storybook (bundled), "
        f"an existing directory, or owner/name on the Hugging Face Hub"
    )


# -- directories ------------------------------------------------------------------------------------------------------


def is_directory(name: str) -> bool:
    """Whether a name is that of a directory here; ~ is spelled out. False for what cannot even be the name of one."""
    try:
        return name != "" and Path(name).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # a name too long for a file, or the home of nobody
        return False


def _in_directory(name: str, folder: Path) -> ModelFiles:
    present = {path.name for path in _entries(folder)}
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


def _model_folder(folder: Path) -> Path:
    """The folder itself, or the one model in a folder that holds no weights but folders with them."""
    entries = _entries(folder)
    if any(path.name in (_WEIGHTS, INDEX) for path in entries):
        return folder
    models = sorted(path for path in entries if any(_is_file(path / file) for file in (_WEIGHTS, INDEX)))
    if len(models) > 1:
        raise ModelNotFoundError(
            f"the directory {folder} holds several models: {', '.join(path.name for path in models)}; "
            f"name the folder of one, such as {models[0]}"
        )
    return models[0] if models else folder


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise ModelNotFoundError(f"the directory {folder} cannot be read: {error.strerror}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the folder is closed to us, so it holds nothing for us
        return False


def _handed_round(name: str, published: PublishedModel) -> ModelFiles | None:
    """The published model in the folder that GPT2_WEIGHTS names, as FOLDER/gpt2/, or as the one model of FOLDER."""
    variable = os.environ.get(FOLDER_VARIABLE)
    if not variable:
        return None
    if not is_directory(variable):
        raise ModelNotFoundError(
            f"{FOLDER_VARIABLE} is {variable!r}, which is no directory: let it name the folder that holds {name}/, "
            f"or take it away"
        )
    folder = Path(variable).expanduser()
    inner, own = folder / name / _WEIGHTS, folder / _WEIGHTS
    if _is_file(inner):
        check_size(inner, published.n_bytes, f"{_WEIGHTS} of {name}")
        files = _in_directory(name, inner.parent)
    elif _is_file(own) and own.stat().st_size == published.n_bytes:
        files = _in_directory(name, folder)
    else:
        return None
    return files._replace(source=Source(name, published.revision))


# -- the Hub ----------------------------------------------------------------------------------------------------------


def on_the_hub(name: str, repository: str, revision: str, local_files_only: bool) -> ModelFiles:
    config = fetch(Wanted(name, repository, _CONFIG, revision), local_files_only)
    if config is None:
        raise ModelNotFoundError(f"{repository} on the Hub has no {_CONFIG} at {revision}, so it is no model to load")
    # the cache keeps a commit in a folder of its own, .../snapshots/<commit>/; all other files are of the same commit
    snapshot = config.parent
    commit = snapshot.name if COMMIT.fullmatch(snapshot.name) else None
    published = next((known for known in PUBLISHED.values() if known[:2] == (repository, commit)), None)
    content = Content(published.n_bytes, published.sha256) if published else Content()

    def get(file: str, *content: Content) -> Path | None:
        return fetch(Wanted(name, repository, file, commit or revision, *content), local_files_only)

    names = (_WEIGHTS,) if published else (_WEIGHTS, INDEX)  # what is published is one file
    weights = next((snapshot / file for file in names if (snapshot / file).exists()), None)
    for file in names:
        weights = weights or get(file, content)
    if weights is None:
        raise ModelNotFoundError(
            f"{repository} on the Hub has neither {_WEIGHTS} nor {INDEX} at {revision}; only safetensors is read"
        )
    check_size(weights, content.n_bytes, f"{_WEIGHTS} of {name}")
    for shard in shards(weights) if weights.name == INDEX else []:
        if get(shard) is None:
            raise ModelNotFoundError(f"{repository} on the Hub lists {shard}, but does not have it")
    return ModelFiles(config, weights, Source(name, commit))
