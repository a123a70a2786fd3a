"""What a search considered: a tree of hypotheses, each with its score and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .core import FinishReason

Fate = Literal["extended", "pruned", "abandoned", "finished", "won"]


@dataclass
class Node:
    """One hypothesis: the path from the root to this id.

    parent          the number of the node that it extends; None for the root, which is the prompt
    id              its last id; None for the root
    step            how many new ids it has
    logprob         of its last id, after the processors
    score           what the search ranked it by when it was considered
    rank            its place among all that were considered with it, 1 for the best
    fate            extended     it went on
                    pruned       others were better, and it did not
                    abandoned    the search ended before it was extended
                    finished     it is a whole text, and another one won
                    won          it is the text of the row
    finish_reason   why it is a whole text; None where it is none
    note            what the strategy has to add, such as the group or the bank that it competed in
    """

    parent: int | None
    id: int | None
    step: int
    logprob: float
    score: float
    rank: int
    fate: Fate
    finish_reason: FinishReason | None = None
    note: str = ""


class SearchTree:
    """All hypotheses that a search considered for one row; node 0 is the prompt. Parents come before their children."""

    def __init__(self) -> None:
        self.nodes = [Node(None, None, 0, 0.0, 0.0, 1, "extended")]

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def __repr__(self) -> str:
        return f"<SearchTree of {len(self)} nodes>"

    def add(
        self,
        parent: int,
        id: int,
        logprob: float,
        score: float,
        rank: int,
        fate: Fate,
        finish_reason: FinishReason | None = None,
        note: str = "",
    ) -> int:
        """Enter a hypothesis, and return its number."""
        step = self.nodes[parent].step + 1
        self.nodes.append(Node(parent, id, step, logprob, score, rank, fate, finish_reason, note))
        return len(self.nodes) - 1

    def ids(self, number: int) -> tuple[int, ...]:
        """The new ids of a hypothesis."""
        ids: list[int] = []
        node = self.nodes[number]
        while node.parent is not None:
            assert node.id is not None
            ids.append(node.id)
            node = self.nodes[node.parent]
        return tuple(reversed(ids))

    def children(self, number: int) -> list[int]:
        """Those that extend it, best first."""
        return self.branches(range(len(self.nodes)))[number]

    def branches(self, shown: Collection[int]) -> dict[int, list[int]]:
        """Of each of these hypotheses those that extend it, best first. Whatever a shown one extends is shown."""
        found: dict[int, list[int]] = {number: [] for number in shown}
        for number in sorted(shown, key=lambda number: self.nodes[number].rank):
            parent = self.nodes[number].parent
            if parent is not None:
                found[parent].append(number)
        return found

    @property
    def winner(self) -> int | None:
        """The number of the hypothesis that is the row's text; None where nothing won."""
        return next((number for number, node in enumerate(self.nodes) if node.fate == "won"), None)

    def way_to_the_winner(self) -> set[int]:
        """The numbers of the hypothesis that won and of all that it extends."""
        way: set[int] = set()
        number = self.winner
        while number is not None:
            way.add(number)
            number = self.nodes[number].parent
        return way

    def to_list(self, name: Callable[[int], str]) -> list[dict[str, Any]]:
        """Plain data, one dictionary a node; `name` says what an id is called."""
        return [
            {"number": number, "name": None if node.id is None else name(node.id)} | vars(node)
            for number, node in enumerate(self.nodes)
        ]
