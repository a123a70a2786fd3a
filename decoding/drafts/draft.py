"""What may draft: the types that speculation asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..core import Chance, LanguageModel, Prefix, Processor, Purpose


@dataclass(frozen=True)
class Draft:
    """Ids that may come next in one row, and what they were drawn from.

    logprobs   of each id the whole distribution it was drawn from, (V,) float64, natural logarithms; None for ids that
               were not drawn but are certain: copied, or guessed
    """

    ids: tuple[int, ...] = ()
    logprobs: tuple[Tensor, ...] | None = None

    def first(self, n: int) -> Draft:
        """Its first n ids."""
        return Draft(self.ids[:n], None if self.logprobs is None else self.logprobs[:n])

    def logprob(self, place: int) -> float:
        """Of the id in this place."""
        return 0.0 if self.logprobs is None else float(self.logprobs[place][self.ids[place]])

    def probabilities(self, place: int, n_vocab: int) -> Tensor:
        """What the id in this place was drawn from, (V,) float64."""
        if self.logprobs is not None:
            return self.logprobs[place].exp()
        return torch.zeros(n_vocab, dtype=torch.float64).index_fill(0, torch.tensor(self.ids[place]), 1.0)


class DraftTask(NamedTuple):
    """What there is to draft for.

    target       the model that judges the drafts
    prompts      one a row, each a prefix of one row
    processors   reshape the drafts' distributions as they do the target's
    purpose      what the drafts' random choices are for
    chances      what each row draws from
    """

    target: LanguageModel
    prompts: Sequence[Prefix]
    processors: Sequence[Processor]
    purpose: Purpose
    chances: Sequence[Chance]


class DraftSession(Protocol):
    """Drafts for the rows of one running batch."""

    def propose(self, prefixes: Sequence[Prefix], most: Sequence[int], chances: Sequence[Chance]) -> list[Draft]:
        """For each row at most so many ids behind its prefix; what it drafted before may have been rejected.

        A prefix has one row, and at least one id behind its prompt. Behind the id that ends a text comes nothing.
        """
        ...

    def learn(self, row: int, guesses: Sequence[int]) -> None:
        """Be told what the model guesses to follow behind what it has just written in a row, which may be nothing."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        ...


@runtime_checkable
class Drafter(Protocol):
    """Anything that drafts: another model, the model's own first layers, the text so far."""

    def start(self, task: DraftTask) -> DraftSession:
        """Begin with the prompts."""
        ...


def one_row(prefix: Prefix) -> list[int]:
    """The ids of a prefix with one row."""
    ids: list[int] = prefix.ids[0, : int(prefix.lengths)].tolist()
    return ids


def shortened(prefix: Prefix, length: int) -> Prefix:
    """The first so many ids of a prefix with one row."""
    return prefix._replace(ids=prefix.ids[:, :length], lengths=torch.full_like(prefix.lengths, length))


def as_drafter(draft: LanguageModel | Drafter) -> Drafter:
    """A language model as somebody who drafts with it. Raises ValueError for what cannot draft."""
    if not isinstance(draft, (type, Processor)):  # processors have a method `start`, too
        if isinstance(draft, Drafter) and callable(draft.start):
            return draft
        if isinstance(draft, LanguageModel):
            from .model_draft import ModelDraft  # which draws and processes as strategies do

            return ModelDraft(draft)
    raise ValueError(
        f"draft is a smaller language model with the same ids, PromptLookup() or SelfSpeculative(layers); got {draft!r}"
    )
