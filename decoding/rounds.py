"""What became of drafts: speculation's part of a result."""

from __future__ import annotations

from typing import NamedTuple


class DraftedId(NamedTuple):
    """One id of a draft."""

    id: int
    draft_logprob: float  # natural logarithm of its probability in the distribution it was drawn from; 0 for a copy
    target_logprob: float | None  # the same by the model itself, after the processors; None where nobody looked


class Round(NamedTuple):
    """One call of the model, and the draft that it judged; the first, that of the prompt, has none."""

    drafted: tuple[DraftedId, ...]
    accepted: int  # how many of them were kept, from the first on
    added: int | None  # the id that the model put behind them; None where the text ended before

    @property
    def resampled(self) -> bool:
        """Whether the id behind them stands in the place of a rejected one."""
        return self.accepted < len(self.drafted)

    @property
    def ids(self) -> list[int]:
        """What it gave to the text."""
        kept = [one.id for one in self.drafted[: self.accepted]]
        return kept if self.added is None else [*kept, self.added]


class Rounds(tuple[Round, ...]):
    """All rounds of one text. Empty where nothing was drafted."""

    @property
    def drafted(self) -> int:
        """How many ids were drafted."""
        return sum(len(one.drafted) for one in self)

    @property
    def accepted(self) -> int:
        """How many of them were kept."""
        return sum(one.accepted for one in self)

    @property
    def acceptance_rate(self) -> float:
        """The share of the drafted ids that were kept; NaN where none was drafted.

        What is behind a rejected id counts as not kept, so it is less than the probability of keeping a single one.
        """
        return self.accepted / self.drafted if self.drafted else float("nan")

    @property
    def calls_per_id(self) -> float:
        """How often the model was called for each id of the text: 1 without speculation; NaN without a text."""
        ids = sum(len(one.ids) for one in self)
        return len(self) / ids if ids else float("nan")

    def __repr__(self) -> str:
        return f"<{len(self)} rounds, {self.accepted} of {self.drafted} drafted ids accepted>"
