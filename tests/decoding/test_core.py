"""The prefix: what each row consists of so far, as a value."""

from __future__ import annotations

import torch

from decoding import Prefix
from decoding.core import ragged


def rows_of(prefix: Prefix) -> list[list[int]]:
    """What counts in each row."""
    return [ids[:length] for ids, length in zip(prefix.ids.tolist(), prefix.lengths.tolist(), strict=True)]


def test_rows_of_different_lengths_are_filled_up_on_the_right() -> None:
    ids, lengths = ragged([[5, 6, 7], [8], [9, 1]])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0], [9, 1, 0]] and lengths.tolist() == [3, 1, 2]


def test_append_puts_each_id_behind_its_own_row() -> None:
    prefix = Prefix.of([[5, 6, 7], [8], [9, 1]], samples=[0, 3, 1], eos_id=2)
    for new in ([10, 11, 12], [13, 14, 15]):
        prefix = prefix.append(torch.tensor(new))
    assert rows_of(prefix) == [[5, 6, 7, 10, 13], [8, 11, 14], [9, 1, 12, 15]]
    assert prefix.prompt_lengths.tolist() == [3, 1, 2] and prefix.steps.tolist() == [2, 2, 2]
    assert prefix.samples.tolist() == [0, 3, 1] and prefix.eos_id == 2
    shorter = prefix.select(torch.tensor([1, 2])).append(torch.tensor([16, 17]))  # the longest row has left
    assert rows_of(shorter) == [[8, 11, 14, 16], [9, 1, 12, 15, 17]]


def test_select_takes_everything_of_a_row_along() -> None:
    prefix = Prefix.of([[5, 6, 7], [8], [9, 1]], samples=[0, 3, 1]).append(torch.tensor([1, 2, 3]))
    chosen = prefix.select(torch.tensor([2, 0, 2]))
    assert rows_of(chosen) == [[9, 1, 3], [5, 6, 7, 1], [9, 1, 3]]
    assert chosen.samples.tolist() == [1, 0, 1] and chosen.prompt_lengths.tolist() == [2, 3, 2]


def test_a_prefix_is_a_value() -> None:  # law 11
    prefix = Prefix.of([[5, 6, 7], [8]])
    copies = [part.clone() for part in prefix[:4]]
    prefix.append(torch.tensor([1, 2])).append(torch.tensor([3, 4])).select(torch.tensor([1]))
    assert all(torch.equal(now, then) for now, then in zip(prefix[:4], copies, strict=True))
