"""Ban sequences of ids, and words, which are several of them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from ..core import Prefix, Processor, Removal
from ..tokenizer import Tokenizer
from .history import check_ids, check_in_vocabulary, needed, remove, rows_so_far

Ids = tuple[int, ...]


@dataclass(frozen=True, repr=False)
class BanSequences(Processor):
    """Remove every id that would complete a banned sequence.

        remove i where  (the ids so far, i)  ends with one of the sequences

    The beginning of a sequence may be said, and it may stand in the prompt. A sequence of one id is never said. Raises
    ValueError for an empty sequence, or for what is no id.
    Common practice, without a paper.
    """

    sequences: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        lists = isinstance(self.sequences, Collection) and not isinstance(self.sequences, str)
        if not lists or not all(isinstance(one, Sequence) for one in self.sequences):
            raise ValueError(f"banned sequences are lists of ids, such as [[13], [262, 13]]; got {self.sequences!r}")
        if not all(self.sequences):
            raise ValueError("a banned sequence is empty; every text would contain it")
        object.__setattr__(self, "sequences", tuple(check_ids(sequence) for sequence in self.sequences))

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        prefix = needed(prefix, logits, self)
        check_in_vocabulary((id for sequence in self.sequences for id in sequence), logits.shape[-1], self)
        return remove(logits, (self._completions(ids) for ids in rows_so_far(prefix, None, True)))

    @cached_property
    def _last_ids(self) -> dict[Ids, list[int]]:
        """What may not follow each beginning."""
        found: dict[Ids, list[int]] = {}
        for sequence in self.sequences:
            found.setdefault(tuple(sequence[:-1]), []).append(sequence[-1])
        return found

    def _completions(self, ids: Sequence[int]) -> set[int]:
        lengths = {len(beginning) for beginning in self._last_ids if len(beginning) <= len(ids)}
        return {id for n in lengths for id in self._last_ids.get(tuple(ids[len(ids) - n :]), [])}

    def reason(self, removal: Removal) -> str:
        (ids,) = rows_so_far(removal.prefix, None, True)
        banned = next(one for one in self.sequences if one[-1] == removal.id and ends_with(ids, one[:-1]))
        return f"it would complete the banned {' '.join(removal.name(id) for id in banned)}"


def ends_with(ids: Sequence[int], end: Sequence[int]) -> bool:
    """Whether the last of the ids are these."""
    return len(ids) >= len(end) and tuple(ids[len(ids) - len(end) :]) == tuple(end)


@dataclass(frozen=True, repr=False)
class BanWords(Processor):
    """Ban words in all the forms in which a text writes them.

        remove i where  (the ids so far, i)  ends with the ids of a form

    The forms are the word as given, in lower case, Capitalised and in UPPER CASE, each with a space before it and
    without: GPT-2 has different ids for all of these. Each is banned as the tokenizer writes it, and so also where a
    longer word begins like that (where "cat" is one id, "catalog" cannot begin with it). `sequences` are the banned
    ids. A model may write the word in other pieces, too, which still slip through: `loopholes` lists them. Raises
    ValueError for an empty word.
    Common practice, without a paper.
    """

    words: Sequence[str]
    tokenizer: Tokenizer = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        lists = isinstance(self.words, Collection) and not isinstance(self.words, str)
        if not lists or not all(isinstance(word, str) and word.strip() for word in self.words):
            raise ValueError(f"words to ban are a list of texts, none of them empty; got {self.words!r}")
        object.__setattr__(self, "words", tuple(self.words))
        sequences = dict.fromkeys(tuple(self.tokenizer.encode(form)) for form in self.forms())
        object.__setattr__(self, "_ban", BanSequences(list(sequences)))

    def forms(self) -> list[str]:
        """Everything that is banned, as text."""
        forms: dict[str, None] = {}
        for word in (word.strip() for word in self.words):
            cases = (word, word.lower(), word.capitalize(), word[0].upper() + word[1:], word.upper())
            forms |= dict.fromkeys(space + case for case in cases for space in ("", " "))
        return list(forms)

    @property
    def sequences(self) -> Collection[Ids]:
        """The banned sequences of ids."""
        return self._ban.sequences  # type: ignore[attr-defined]

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        return self._ban.process(logits, prefix)  # type: ignore[attr-defined]

    def reason(self, removal: Removal) -> str:
        return self._ban.reason(removal)  # type: ignore[attr-defined]

    def loopholes(self, most: int = 10) -> list[Ids]:
        """Other ids that spell a form and contain no banned sequence: at most so many, those of fewest ids first."""
        token_ids = {self.tokenizer.token_bytes(id): id for id in range(self.tokenizer.n_vocab)}
        spellings = heapq.merge(*(_spellings(form.encode("utf-8"), token_ids) for form in self.forms()), key=len)
        found: dict[Ids, None] = {}
        for ids in spellings:
            if len(found) == most:
                break
            if not any(ends_with(ids[:end], banned) for banned in self.sequences for end in range(1, len(ids) + 1)):
                found[ids] = None
        return list(found)


def _spellings(text: bytes, token_ids: dict[bytes, int]) -> Iterator[Ids]:
    """All ways to put these bytes together from tokens, those of fewest ids first."""
    waiting: list[tuple[int, int, Ids]] = [(0, 0, ())]  # how many ids, bytes spelled so far, the ids
    while waiting:
        n, begin, ids = heapq.heappop(waiting)
        if begin == len(text):
            yield ids
        for end in range(begin + 1, len(text) + 1):
            id = token_ids.get(text[begin:end])
            if id is not None:
                heapq.heappush(waiting, (n + 1, end, (*ids, id)))
