"""How fast this machine reads memory, with all threads."""

from __future__ import annotations

import json
import statistics
import sys
from typing import NamedTuple

import torch

from gpt2.pages import empty_in_huge_pages

from .timing import seconds


class Bandwidth(NamedTuple):
    bytes_a_second: float
    how: str  # the way of reading that was the fastest


def read_bandwidth(n_bytes: int = 512 << 20, tries: int = 7) -> Bandwidth:
    """The best of several ways to read a large array once; of each the median of several tries, as of all figures.

    None of them does much arithmetic; which one gets the most out of the memory differs from machine to machine.
    """
    # in huge pages where there are some, as the matrices of compiled steps
    numbers = empty_in_huge_pages([n_bytes // 4], torch.float32, torch.device("cpu")).fill_(1)
    rows, one = numbers.view(-1, 1024), torch.ones(1024)
    ways = {
        "sum of float32": lambda: numbers.sum(),
        "sum of float64": lambda: numbers.view(torch.float64).sum(),
        "largest float32": lambda: numbers.amax(),
        "matrix times vector": lambda: rows.mv(one),
    }
    taken = {how: statistics.median(seconds(read) for _ in range(tries)) for how, read in ways.items()}
    how = min(taken, key=taken.__getitem__)
    return Bandwidth(numbers.nbytes / taken[how], how)


if __name__ == "__main__":
    print(json.dumps(read_bandwidth(int(sys.argv[1]))))
