"""Whether models write the same greedy texts, and how narrow the choice was where they part."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from decoding import Greedy, LanguageModel, generate_ids
from decoding.compare import parts_after

Ids = list[list[int]]


class Parting(NamedTuple):
    """Where a text leaves that of the reference: behind how many ids that both wrote, and how narrowly.

    The margin is how much higher the reference's logit of its own id is than that of the other's, in nats: the
    logarithm of how many times as likely it finds it.
    """

    after: int
    margin: float


@dataclass(frozen=True)
class Continuations:
    """All texts of a model beside those of the reference."""

    texts: int
    partings: list[Parting]

    @property
    def same(self) -> int:
        return self.texts - len(self.partings)

    @property
    def median_after(self) -> float | None:
        """None where all texts are the same; so for the margins."""
        return statistics.median(parting.after for parting in self.partings) if self.partings else None

    @property
    def median_margin(self) -> float | None:
        return statistics.median(parting.margin for parting in self.partings) if self.partings else None

    @property
    def largest_margin(self) -> float | None:
        return max((parting.margin for parting in self.partings), default=None)


def greedy(model: LanguageModel, prompts: Ids, new_ids: int) -> Ids:
    """What the model writes behind each prompt; no id ends a text. All prompts go through it as one batch."""
    return [one.ids for one in generate_ids(model, prompts, Greedy(), max_new_tokens=new_ids)]


def compare(reference: LanguageModel, prompts: Ids, expected: Ids, got: Ids) -> Continuations:
    """`expected` is what the reference wrote."""
    partings = []
    for prompt, own, other in zip(prompts, expected, got, strict=True):
        after = parts_after(own, other)
        if after is not None:
            partings.append(Parting(after, margin(reference, prompt + own[:after], own[after], other[after])))
    return Continuations(len(prompts), partings)


def margin(model: LanguageModel, ids: Sequence[int], own: int, other: int) -> float:
    """By how much the model's logit of its own id is above that of the other, behind these ids."""
    logits = model.open().extend(torch.tensor([ids]))[0, -1].double()  # (V,)
    return float(logits[own] - logits[other])
