"""The texts: found and checked, cut into documents, turned into ids, and split into a training and a held-out part.

A corpus is a folder of UTF-8 text files. In each, `<|endoftext|>`, on a line of its own, ends a document (a story, a
chapter); a file without it is one document. White space around a document does not count. `sources.tsv` beside this
file lists what the bundled model was trained on: the files in their order, how many times each is taken, where it is
from, and its sha256.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from decoding import Tokenizer
from decoding.tokenizer import ENDOFTEXT, SHA256
from scripts.training.files import write_atomically

SOURCES = Path(__file__).with_name("sources.tsv")
Ids = npt.NDArray[np.uint16]  # 50,257 ids fit into 16 bits


class Source(NamedTuple):
    """One file of a corpus."""

    file: str
    times: int  # how many times the training part holds its documents
    sha256: str


class Document(NamedTuple):
    ids: Ids  # the last one is that of <|endoftext|>
    times: int


class Split(NamedTuple):
    training: Ids
    held_out: Ids


def storybook_sources(folder: Path) -> list[Source]:
    """What the bundled model was trained on, in its order. Raises ValueError where `folder` does not hold just that."""
    _check_folder(folder)
    with SOURCES.open(encoding="utf-8", newline="") as opened:
        lines = csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)
        sources = [Source(line["file"], int(line["times"]), line["sha256"]) for line in lines]
    missing = [source.file for source in sources if not (folder / source.file).is_file()]
    different = [s.file for s in sources if s.file not in missing and _sha256(folder / s.file) != s.sha256]
    problems = [_some(missing, "missing"), _some(different, "not as they were")]
    if missing or different:
        raise ValueError(
            f"{folder} is not the corpus of the bundled model: of {len(sources)} files "
            f"{' and '.join(filter(None, problems))}; {SOURCES.name} tells where they are from, "
            f"and --any-corpus trains on whatever .txt files are there"
        )
    return sources


def any_sources(folder: Path) -> list[Source]:
    """Every .txt file of a folder, by name, each taken once."""
    _check_folder(folder)
    files = sorted(path for path in folder.iterdir() if path.suffix == ".txt" and path.is_file())
    if not files:
        raise ValueError(f"{folder} holds no .txt file")
    return [Source(path.name, 1, _sha256(path)) for path in files]


def corpus_key(sources: Sequence[Source]) -> str:
    """A hash that changes with the texts, their order, how often they are taken, and the vocabulary."""
    return hashlib.sha256(json.dumps([SHA256["vocab.bpe"], *sources]).encode()).hexdigest()


def read_documents(folder: Path, sources: Sequence[Source], cache: Path | None = None) -> list[Document]:
    """All documents as ids, from `cache` where it was written for these very texts; else it is written."""
    key = corpus_key(sources)
    stored = _read_cache(cache, key) if cache is not None else None
    if stored is None:
        tokenizer = Tokenizer()
        per_file = [[_encode(text, tokenizer) for text in _texts(folder / source.file)] for source in sources]
        if not any(per_file):
            raise ValueError(f"the files in {folder} hold no text")
        ids = np.concatenate([ids for documents in per_file for ids in documents])
        counts = [len(documents) for documents in per_file]
        if cache is not None:
            tensors = {"ids": torch.from_numpy(ids), "documents": torch.tensor(counts)}
            write_atomically(cache, save(tensors, {"key": key}))
    else:
        ids, counts = stored
    ends = np.flatnonzero(ids == Tokenizer().eos_id) + 1  # ordinary text never gives this id
    pieces = np.split(ids, ends[:-1])
    times = [source.times for source, count in zip(sources, counts, strict=True) for _ in range(count)]
    return [Document(piece, n) for piece, n in zip(pieces, times, strict=True)]


def split(documents: Sequence[Document], share: float, seed: int, at_least_one: bool = False) -> Split:
    """Hold out each document with probability `share`; put the others, taken their times, in a random order.

    A document is held out when the number in [0, 1) that is drawn for it lies below the share. With `at_least_one`, the
    document with the smallest number is held out where none lies below.

    Which documents the bundled model was not trained on follows from this function, share 0.012, seed 7 and the order
    of `sources.tsv`: it gives the very counts of ids that were written down when the model was made.
    """
    draw = random.Random(seed)
    training: list[Ids] = []
    held_out: list[Ids] = []
    numbers = [draw.random() for _ in documents]
    if at_least_one and len(documents) == 1:
        raise ValueError(
            f"there is only one document, and one to train on and one to hold out are needed; "
            f"add a file, or put {ENDOFTEXT} on a line of its own where a document ends"
        )
    limit = min(numbers) if at_least_one and min(numbers) >= share else None
    for document, number in zip(documents, numbers, strict=True):
        if number < share or number == limit:
            held_out.append(document.ids)
        else:
            training += [document.ids] * document.times
    if not held_out or not training:
        part = "held out" if not held_out else "left to train on"
        raise ValueError(
            f"of {len(documents)} documents none is {part} with the share {share:g} and seed {seed}; "
            f"more documents, another --held-out or another --seed will do"
        )
    draw.shuffle(training)
    return Split(np.concatenate(training), np.concatenate(held_out))


def _texts(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}") from error
    pieces = text.replace("\r\n", "\n").split(ENDOFTEXT)
    return [piece.strip() for piece in pieces if piece.strip()]


def _encode(text: str, tokenizer: Tokenizer) -> Ids:
    return np.array([*tokenizer.encode(text), tokenizer.eos_id], dtype=np.uint16)


def _read_cache(path: Path, key: str) -> tuple[Ids, list[int]] | None:
    """The ids, memory-mapped, and how many documents each file holds. None where there are none for these texts."""
    try:
        with safe_open(path, framework="pt") as opened:
            if (opened.metadata() or {}).get("key") != key:
                return None
            return opened.get_tensor("ids").numpy(), opened.get_tensor("documents").tolist()
    except (OSError, SafetensorError):  # not there, or cut off: it is only a cache
        return None


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; --corpus names the one that holds the texts")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _some(files: list[str], what: str, most: int = 3) -> str:
    if not files:
        return ""
    names = ", ".join(files[:most]) + (", ..." if len(files) > most else "")
    return f"{len(files)} are {what} ({names})"
