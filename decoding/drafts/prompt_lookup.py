"""Drafts without a model: what followed the last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core import Chance, Prefix, is_whole_number
from .draft import Draft, DraftSession, DraftTask, one_row


@dataclass(frozen=True)
class PromptLookup:
    """Copies what followed the last ids of the text where they stood before, in the prompt or in what was written.

    ngram   how many of the last ids to look for at most. Fewer are looked for where they are not found, down to one;
            of several places the latest counts

    It costs nothing, and pays where a text repeats its prompt or itself: summaries, corrections, code, questions about
    a text. A copy is certain of itself: it is accepted with the probability that the model gives to its id.
    Saxena 2023, "Prompt Lookup Decoding", github.com/apoorvumang/prompt-lookup-decoding.
    """

    ngram: int = 3

    def __post_init__(self) -> None:
        if not is_whole_number(self.ngram) or self.ngram < 1:
            raise ValueError(f"ngram is how many of the last ids to look for, at least 1; got {self.ngram!r}")

    def start(self, task: DraftTask) -> DraftSession:
        return self

    def learn(self, row: int, guesses: Sequence[int]) -> None:
        """It reads the text only."""

    def select(self, rows: Sequence[int]) -> None:
        """It remembers nothing."""

    def propose(self, prefixes: Sequence[Prefix], most: Sequence[int], chances: Sequence[Chance]) -> list[Draft]:
        drafts: list[Draft] = []
        for prefix, n in zip(prefixes, most, strict=True):
            ids = self.following(one_row(prefix), n)
            if prefix.eos_id in ids:
                ids = ids[: ids.index(prefix.eos_id) + 1]
            drafts.append(Draft(tuple(ids)))
        return drafts

    def following(self, ids: Sequence[int], most: int) -> list[int]:
        """The `most` ids that followed; none where the last id is new. At its end a copy goes on copying itself."""
        text = list(ids)
        for n in range(min(self.ngram, len(text) - 1), 0, -1):
            for start in range(len(text) - n - 1, -1, -1):
                if text[start : start + n] == text[-n:]:
                    for place in range(start + n, start + n + most):
                        text.append(text[place])
                    return text[len(ids) :]
        return []
