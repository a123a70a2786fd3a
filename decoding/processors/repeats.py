"""Do not say the same sequence again."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..core import Prefix, Processor, Removal, is_number, is_whole_number
from ..tokenizer import Tokenizer
from .history import LARGEST, check_ids, check_include_prompt, check_window, needed, remove, rows_so_far


@dataclass(frozen=True, repr=False)
class NoRepeatNGram(Processor):
    """Remove every id that would complete an n-gram that has occurred before.

        remove i where  (the last n - 1 ids, i)  occurs among the ids so far

    With prompt and text together, or in the text alone. It knows no exceptions: a name of n ids can be said once, and
    all ids may go, which is then an error. Raises ValueError for n below 1.
    Paulus, Xiong & Socher 2017, "A Deep Reinforced Model for Abstractive Summarization", arXiv:1705.04304.
    """

    n: int
    include_prompt: bool = True

    def __post_init__(self) -> None:
        if not is_whole_number(self.n) or self.n < 1:
            raise ValueError(f"an n-gram has a number of ids, at least 1; got {self.n!r}")
        check_include_prompt(self.include_prompt)

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        prefix = needed(prefix, logits, self)
        return remove(logits, (self._completions(row) for row in rows_so_far(prefix, None, self.include_prompt)))

    def _completions(self, ids: Sequence[int]) -> set[int]:
        """What followed each earlier occurrence of the last n - 1 ids."""
        before = self.n - 1
        end = ids[len(ids) - before :]
        return {ids[i + before] for i in range(len(ids) - before) if ids[i : i + before] == end}

    def reason(self, removal: Removal) -> str:
        (ids,) = rows_so_far(removal.prefix, None, True)
        ngram = [*ids[len(ids) - self.n + 1 :], removal.id]
        return f"{' '.join(removal.name(id) for id in ngram)} has occurred before"


@dataclass(frozen=True, repr=False)
class DRY(Processor):
    """Don't repeat yourself: the longer the repetition that an id would continue, the less likely it becomes.

        for each x with L >= allowed_length:
        logits_x = logits_x - multiplier * base^(L - allowed_length)
        L = the most of the last ids that, in this order, precede an earlier x

    A sequence breaker (a newline, a quotation mark, a name) ends the repetition: no match contains one, and none is
    made less likely. `DRY.breakers_of(tokenizer, ["\\n", ":"])` finds the ids. No penalty exceeds 1e30, so no id is
    removed. multiplier = 0 changes nothing. Raises ValueError for a negative multiplier, a base below 1, an allowed
    length below 1.
    Community: p-e-w 2024, text-generation-webui.
    """

    multiplier: float
    base: float = 1.75
    allowed_length: int = 2
    breakers: Collection[int] = frozenset()
    window: int | None = None
    include_prompt: bool = True

    def __post_init__(self) -> None:
        if not (is_number(self.multiplier) and 0.0 <= self.multiplier <= sys.float_info.max):
            raise ValueError(f"DRY has a multiplier of at least 0; got {self.multiplier!r}")
        if not (is_number(self.base) and 1.0 <= self.base <= sys.float_info.max):
            raise ValueError(f"DRY has a base of at least 1; got {self.base!r}")
        if not is_whole_number(self.allowed_length) or self.allowed_length < 1:
            raise ValueError(f"DRY allows repetitions of a number of ids, at least 1; got {self.allowed_length!r}")
        if isinstance(self.breakers, str):
            raise ValueError("sequence breakers are ids; DRY.breakers_of(tokenizer, texts) finds those of a text")
        check_window(self.window)
        check_include_prompt(self.include_prompt)
        object.__setattr__(self, "breakers", frozenset(check_ids(self.breakers)))

    @staticmethod
    def breakers_of(tokenizer: Tokenizer, texts: Iterable[str]) -> frozenset[int]:
        """All ids whose token contains one of these texts."""
        if isinstance(texts, str):
            raise ValueError(f"breakers_of takes a list of texts; got {texts!r}")
        wanted = [text.encode("utf-8") for text in texts]
        if not all(wanted):
            raise ValueError("a sequence breaker is empty; every token would contain it")
        tokens = ((id, tokenizer.token_bytes(id)) for id in range(tokenizer.n_vocab))
        return frozenset(id for id, token in tokens if any(text in token for text in wanted))

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        prefix = needed(prefix, logits, self)
        if self.multiplier == 0.0:
            return logits
        penalties = logits.new_zeros(logits.shape)  # (R, V)
        for r, ids in enumerate(rows_so_far(prefix, self.window, self.include_prompt)):
            for id, length in self._repeated(ids).items():
                penalties[r, id] = self._penalty(length)
        return logits - penalties

    def _repeated(self, ids: Sequence[int]) -> dict[int, int]:
        """The ids that would continue a repetition, and how many ids of it stand there already."""
        recent = list(reversed(ids))  # the last id first
        unbroken = next((i for i, id in enumerate(recent) if id in self.breakers), len(recent))
        lengths: dict[int, int] = {}
        for i, match in enumerate(_match_lengths(recent)):
            if i == 0:  # the end matches itself, and nothing has followed it yet
                continue
            length, followed_by = min(match, unbroken), recent[i - 1]
            if length >= self.allowed_length and followed_by not in self.breakers:
                lengths[followed_by] = max(length, lengths.get(followed_by, 0))
        return lengths

    def _penalty(self, length: int) -> float:
        if self.multiplier >= LARGEST:
            return LARGEST
        highest = math.log(LARGEST) - math.log(self.multiplier)  # of the logarithm of the power
        return self.multiplier * math.exp(min((length - self.allowed_length) * math.log(self.base), highest))


def _match_lengths(ids: Sequence[int]) -> list[int]:
    """For each i, how many ids from i on are the same as from the beginning. (The Z-algorithm: every id is compared
    once.)

    Where an earlier match reaches from `left` to `right`, what was found at its beginning holds inside of it.
    """
    lengths = [len(ids)] + [0] * (len(ids) - 1) if ids else []
    left = right = 0
    for i in range(1, len(ids)):
        length = min(lengths[i - left], right - i) if i < right else 0
        while i + length < len(ids) and ids[length] == ids[i + length]:
            length += 1
        lengths[i] = length
        if i + length > right:
            left, right = i, i + length
    return lengths
