"""What the models read: the two bundled texts or files, cut into windows and prompts.

texts/story.txt    "Once upon a time there was a cobbler called Lazarus": a whole tale of *The Grey Fairy Book*, edited
                   by Andrew Lang (1844-1912), in the public domain; file 06746 of scripts/training/sources.tsv, the
                   eleventh of its 29 documents. It is one of the 80 that `training.corpus.split` holds out with
                   storybook's own seed: storybook was not trained on it, but on the 28 other tales of the book. Of its
                   runs of eight words, 0.2 % occur in the training part. Other models may have been trained on it.
texts/prose.txt    an essay about a tide gauge, written for this script: no older model was trained on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from decoding import Tokenizer

BUNDLED = [Path(__file__).with_name("texts") / name for name in ("story.txt", "prose.txt")]


class Text(NamedTuple):
    """A text in ids (T,), and what tables call it."""

    name: str
    ids: Tensor

    @property
    def positions(self) -> int:
        """How many of the ids are predicted: all but the first."""
        return len(self.ids) - 1


class Window(NamedTuple):
    """Ids (T,) that a model reads at once, and those (T,) that follow each of them."""

    ids: Tensor
    targets: Tensor


def read(path: Path, tokenizer: Tokenizer) -> Text:
    """A UTF-8 file, without the white space around it. Raises ValueError for one that is too short or not text."""
    try:
        text = path.read_bytes().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}") from error
    ids = tokenizer.encode(text)
    if len(ids) < 2:
        raise ValueError(f"{path} has {len(ids)} ids; at least two are needed, one to predict and one before it")
    return Text(path.stem, torch.tensor(ids))


def windows(ids: Tensor, length: int) -> list[Window]:
    """Cut ids (T,) as `training.held_out.held_out_loss` does: one window of `length` after the other, with no overlap.

    Each id but the very first is predicted once, from those before it in its window: from 1 to `length` ids.
    """
    return [Window(*pair) for pair in zip(ids[:-1].split(length), ids[1:].split(length), strict=True)]


def prompts(texts: Sequence[Text], number: int, length: int) -> list[list[int]]:
    """At least `number` runs of `length` ids, equally many of each text, at equal distances from its beginning on.

    Raises ValueError for a text that has fewer different ones.
    """
    each = -(-number // len(texts))
    cut = []
    for text in texts:
        room = len(text.ids) - length
        if room < each:
            raise ValueError(
                f"{text.name} has {len(text.ids)} ids, too few to cut {each} prompts of {length} ids out of it; "
                f"give a longer text, or fewer --prompts"
            )
        starts = [n * room // each for n in range(each)]
        cut += [text.ids[start : start + length].tolist() for start in starts]
    return cut
