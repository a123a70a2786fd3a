"""Phrases that a text has to have, and how far it has come with each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache, cached_property
from itertools import count

from ..processors.history import check_ids

Ids = tuple[int, ...]
Phrase = Ids | tuple[Ids, ...]  # a row of ids, or several, of which one has to appear
Progress = tuple[Ids | None, ...]  # a phrase: None once it has appeared, else what the text ends with, see `Phrases`

NO_ID = -1  # stands for all ids that are in no phrase


def check_phrases(phrases: object) -> tuple[Phrase, ...]:
    """The phrases as tuples. Raises ValueError for what is no phrase."""
    if not isinstance(phrases, Collection) or isinstance(phrases, (str, dict)):
        raise ValueError(f"phrases are a list of rows of ids, such as [[13], [262, 13]]; got {phrases!r}")
    checked: list[Phrase] = []
    for phrase in phrases:
        if not isinstance(phrase, Collection) or isinstance(phrase, (str, dict)):
            raise ValueError(f"a phrase is a row of ids, such as [262, 13], or a list of such rows; got {phrase!r}")
        phrase = phrase.tolist() if hasattr(phrase, "tolist") else phrase  # an array, or a tensor
        several = len(phrase) > 0 and all(isinstance(one, Collection) for one in phrase)
        rows = tuple(dict.fromkeys(map(check_ids, phrase if several else [phrase])))
        if not all(rows):
            raise ValueError("a phrase is empty; every text has it: leave it out")
        checked.append(rows if len(rows) > 1 else rows[0])
    return tuple(checked)


def alternatives(phrase: Phrase) -> tuple[Ids, ...]:
    """The rows of which one has to appear."""
    return tuple(row for row in phrase if isinstance(row, tuple)) or (check_ids(phrase),)


def automaton(row: Ids) -> dict[tuple[int, int], int]:
    """How far a text has come with the row: (how far it had come, the next id) -> how far it has. What lacks is 0.

    "How far" is the largest n for which the text ends with the first n ids of the row. When the next id does not fit,
    what the text ends with may still begin the row: after 1 1, on the way to 1 1 2, another 1 loses nothing.
    """
    table: dict[tuple[int, int], int] = {}
    for matched in range(len(row)):
        for id in set(row):
            end = (*row[:matched], id)  # all that is known of the text's end, and all that can matter
            table[matched, id] = max(n for n in range(len(end) + 1) if end[len(end) - n :] == row[:n])
    return table


class Phrases:
    """Several phrases at once. They may overlap each other and themselves; one id may serve several.

    A text's progress is one entry a phrase: None once the phrase has appeared, else for each of its alternatives the
    largest n for which the text ends with its first n ids.
    """

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        self.rows = [alternatives(phrase) for phrase in phrases]
        self.ids = sorted({id for rows in self.rows for row in rows for id in row})
        self.start: Progress = tuple((0,) * len(rows) for rows in self.rows)
        self._automata = [[automaton(row) for row in rows] for rows in self.rows]
        self.advance = cache(self._advance)
        self.shortest = cache(self._shortest)

    def _advance(self, progress: Progress, id: int) -> Progress:
        """The progress after one more id."""
        return tuple(self._next(number, matched, id) for number, matched in enumerate(progress))

    def _next(self, number: int, matched: Ids | None, id: int) -> Ids | None:
        if matched is None:
            return None
        after = tuple(table.get((n, id), 0) for n, table in zip(matched, self._automata[number], strict=True))
        return None if any(n == len(row) for n, row in zip(after, self.rows[number], strict=True)) else after

    def missing(self, progress: Progress) -> int:
        """How many ids of the phrases are missing, each counted for itself, in its nearest alternative."""
        return sum(
            min(len(row) - n for n, row in zip(matched, rows, strict=True))
            for matched, rows in zip(progress, self.rows, strict=True)
            if matched is not None
        )

    def _shortest(self, progress: Progress) -> int:
        """With how many more ids a text can have all phrases: fewer than are missing, where they overlap.

        Only phrases that share an id can overlap, and only they are looked at together. All that can become of them is
        worked out once, in time that doubles with each phrase that shares an id with others.
        """
        return sum(steps[tuple(progress[number] for number in members)] for members, steps in self._distances)

    @cached_property
    def _distances(self) -> list[tuple[list[int], dict[Progress, int]]]:
        """Phrases that share ids, and how far it is to all of them, from whatever progress a text can have made."""
        return [(members, self._distances_of(members)) for members in self._overlapping()]

    def _distances_of(self, members: Sequence[int]) -> dict[Progress, int]:
        ids = {id for number in members for row in self.rows[number] for id in row} | {NO_ID}
        start = tuple(self.start[number] for number in members)
        before: dict[Progress, set[Progress]] = {start: set()}  # from where each can be reached with one id
        waiting = [start]
        while waiting:
            progress = waiting.pop()
            for id in ids:
                after = tuple(
                    self._next(number, matched, id) for number, matched in zip(members, progress, strict=True)
                )
                if after not in before:
                    before[after] = set()
                    waiting.append(after)
                before[after].add(progress)
        steps: dict[Progress, int] = {}
        layer: set[Progress] = {(None,) * len(members)}
        for n in count():  # backwards from the end
            if not layer:
                break
            steps |= dict.fromkeys(layer, n)
            layer = {one for progress in layer for one in before[progress]} - steps.keys()
        return steps

    def _overlapping(self) -> list[list[int]]:
        """The numbers of the phrases, those together that share ids, also by way of others."""
        clusters: list[tuple[list[int], set[int]]] = []
        for number, rows in enumerate(self.rows):
            members, ids = [number], {id for row in rows for id in row}
            apart = []
            for cluster in clusters:
                if cluster[1] & ids:
                    members, ids = cluster[0] + members, cluster[1] | ids
                else:
                    apart.append(cluster)
            clusters = [*apart, (members, ids)]
        return [members for members, _ in clusters]
