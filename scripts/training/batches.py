"""Which ids each step learns from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from scripts.training.corpus import Ids


def windows(count: int, length: int, seed: int) -> Iterator[int]:
    """Where sequences of `length` ids begin in a training part of `count` ids, for ever.

    Every pass takes all of them in a random order, counted from another random offset, so that a sequence is hardly
    ever seen twice. A pass depends on the seed and its number only: to go on with a run, nothing has to be kept.
    """
    if count <= 2 * length:
        raise ValueError(
            f"the training part has {count:,} ids; sequences of {length} need more than {2 * length:,}: "
            f"add texts, or choose fewer --positions"
        )
    number = 0
    while True:
        draw = random.Random(f"{seed} pass {number}")
        offset = draw.randrange(length)
        starts = list(range(offset, count - length, length))  # the id after the last one is a target, too
        draw.shuffle(starts)
        yield from starts
        number += 1


def batches(ids: Ids, batch: int, length: int, seed: int, done: int = 0) -> Iterator[Tensor]:
    """(batch, length + 1) ids for each step that follows the first `done` ones."""
    starts = islice(windows(len(ids), length, seed), done * batch, None)
    while True:
        rows = [ids[start : start + length + 1] for start in islice(starts, batch)]
        yield torch.from_numpy(np.stack(rows).astype(np.int64))  # (batch, length + 1)
