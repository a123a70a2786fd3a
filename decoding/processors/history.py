"""What a processor asks of the ids so far."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..core import Prefix, Processor, is_whole_number


def needed(prefix: Prefix | None, logits: Tensor, processor: Processor) -> Prefix:
    """The prefix; ValueError, in words, without one for each row of the logits."""
    if prefix is None:
        raise ValueError(
            f"{processor!r} depends on the ids so far: give it a prefix, {type(processor).__name__}(...)(logits, "
            f"Prefix.of([ids]))"
        )
    if logits.dim() != 2 or len(logits) != len(prefix.lengths):
        given, rows = tuple(logits.shape), len(prefix.lengths)
        raise ValueError(f"{processor!r} needs one row of logits for each of the {rows} prefixes; got {given}")
    if prefix.ids.numel() == 0:
        return prefix
    least, largest = prefix.ids.aminmax()
    if not 0 <= int(least) <= int(largest) < logits.shape[-1]:
        raise ValueError(f"the prefix has ids outside of the vocabulary, 0 to {logits.shape[-1] - 1}")
    return prefix


def occurrences(prefix: Prefix, window: int | None, include_prompt: bool) -> tuple[Tensor, Tensor]:
    """Row and id, (N,) each, of all ids so far: with the prompt or without it, and of these the last `window`."""
    places = torch.arange(prefix.ids.shape[1], device=prefix.ids.device)  # (T,)
    counts = places < prefix.lengths[:, None]  # (R, T)
    if not include_prompt:
        counts &= places >= prefix.prompt_lengths[:, None]
    if window is not None:
        counts &= places >= prefix.lengths[:, None] - window
    rows, columns = counts.nonzero(as_tuple=True)
    return rows, prefix.ids[rows, columns]


def rows_so_far(prefix: Prefix, window: int | None, include_prompt: bool) -> list[list[int]]:
    """The ids of each row, without the prompt unless it is included, and of these the last `window`."""
    firsts = [0] * len(prefix.lengths) if include_prompt else prefix.prompt_lengths.tolist()
    ends = prefix.lengths.tolist()
    if window is not None:
        firsts = [max(first, end - window) for first, end in zip(firsts, ends, strict=True)]
    return [row[first:end] for row, first, end in zip(prefix.ids.tolist(), firsts, ends, strict=True)]


def remove(logits: Tensor, ids: Iterable[Iterable[int]]) -> Tensor:
    """Remove these ids from the logits (R, V), for each row its own."""
    pairs = [(r, id) for r, row in enumerate(ids) for id in row]
    if not pairs:
        return logits
    rows, columns = torch.tensor(pairs, device=logits.device).T
    return logits.index_put((rows, columns), logits.new_tensor(-torch.inf))


LARGEST = 1e30  # no penalty and no bias exceeds it: beyond float32 it would remove the id


def check_window(window: int | None) -> None:
    """Raise ValueError for a window that is none."""
    if window is not None and (not is_whole_number(window) or window < 1):
        raise ValueError(f"a window is a number of ids, at least 1, or None for all; got {window!r}")


def check_include_prompt(include_prompt: object) -> None:
    """Raise ValueError for what is neither True nor False."""
    if not isinstance(include_prompt, bool):
        raise ValueError(f"include_prompt is True or False; got {include_prompt!r}")


def check_ids(ids: object) -> tuple[int, ...]:
    """The ids as a tuple. Raises ValueError for what cannot be ids of any vocabulary."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise ValueError(f"ids are a list of whole numbers, such as [262, 13]; got {ids!r}")
    found = tuple(ids)
    for id in found:
        if not is_whole_number(id) or id < 0:
            raise ValueError(f"ids are whole numbers of at least 0; got {id!r}")
    return found


def check_in_vocabulary(ids: Iterable[int], n_vocab: int, processor: Processor) -> None:
    """Raise ValueError, naming the id, for one that the logits do not have."""
    largest = max(ids, default=0)
    if largest >= n_vocab:
        raise ValueError(f"{processor!r} names the id {largest}, and the vocabulary ends at {n_vocab - 1}")
