"""What strategies with processors have in common."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from ..core import Chance, LanguageModel, Limits, Prefix, Processor, State, Step, written


class ProcessedStrategy:
    """A strategy that takes processors, in the order in which they act."""

    def __init__(self, *processors: Processor) -> None:
        for processor in processors:
            if not isinstance(processor, Processor):
                raise ValueError(f"{type(self).__name__} takes processors such as TopP(0.9); got {processor!r}")
        for one, other in combinations(processors, 2):
            if one.purpose is not None and one.purpose == other.purpose:
                raise ValueError(
                    f"{one!r} and {other!r} would toss the same coin, as noise is keyed by what it is for; take one"
                )
        self.processors = processors

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        """See `Strategy`."""
        raise NotImplementedError

    def settings(self) -> dict[str, object]:
        """The other parameters, which are given by name, and are attributes of the same name."""
        return {name: getattr(self, name) for name in self._defaults()}

    @classmethod
    @cache  # strategies are compared for each prompt of a batch
    def _defaults(cls) -> dict[str, object]:
        parameters = inspect.signature(cls).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}

    def __repr__(self) -> str:
        """As one writes it: BeamSearch(TopP(0.9), beams=3). What has its default is left out."""
        given = {name: value for name, value in self.settings().items() if value != self._defaults()[name]}
        named = [f"{name}={written(value)}" for name, value in given.items()]
        return f"{type(self).__name__}({', '.join([*map(repr, self.processors), *named])})"

    def _identity(self) -> tuple[object, ...]:
        return type(self), self.processors, *self.settings().items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessedStrategy) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())


class Stepwise(ProcessedStrategy):
    """One that writes id by id, each chosen from a distribution of its own, and never looks back."""

    def choice_logprobs(self, logits: Tensor) -> Tensor:
        """How likely it is to take each id, natural logarithms (R, V), given the processed logits (R, V)."""
        raise NotImplementedError


class Search(ProcessedStrategy):
    """One that compares texts, so that each needs one probability: processors may not draw."""

    def __init__(self, *processors: Processor) -> None:
        super().__init__(*processors)
        for processor in processors:
            if processor.purpose is not None:
                raise ValueError(
                    f"{type(self).__name__} compares texts by their probability, and {processor!r} tosses a coin, with "
                    f"which a text has none of its own; leave it out, or sample"
                )


class Stage(NamedTuple):
    """The logits of a batch, and the processor that left them so; None for the model."""

    processor: Processor | None
    logits: Tensor  # (R, V)


def process(
    logits: Tensor, prefix: Prefix, processors: Sequence[Processor], states: Sequence[State], chance: Chance
) -> tuple[list[Stage], list[State]]:
    """Let the processors act one after another: the logits (R, V) before, after each of them, and their new states."""
    stages = [Stage(None, logits)]
    after: list[State] = []
    for processor, state in zip(processors, states, strict=True):
        logits, state = processor.step(logits, prefix, state, chance)
        stages.append(Stage(processor, logits))
        after.append(state)
    return stages, after


class Fault(NamedTuple):
    """A row without a distribution."""

    row: int
    sentence: str  # who left it so
    emptied: bool  # no id is left; otherwise some logits are not numbers


def blame(stages: Sequence[Stage]) -> Fault | None:
    """The first row that the stages left without a distribution; None where all have one.

    To look at the last stage alone would not do: a truncation may remove the NaN that an earlier stage made.
    """
    changed = [n for n, stage in enumerate(stages) if n == 0 or stage.logits is not stages[n - 1].logits]
    best = torch.stack([stages[n].logits.amax(dim=-1) for n in changed])  # (changed, R); NaN where any logit is
    if all(map(math.isfinite, best.flatten().tolist())):  # cheaper than PyTorch's for a few numbers
        return None
    row = int((~best.isfinite()).any(dim=0).nonzero()[0])
    first = int((~best[:, row].isfinite()).nonzero()[0])
    guilty = stages[changed[first]].processor
    who = "the model" if guilty is None else repr(guilty)
    if best[first, row] == -torch.inf:
        return Fault(row, f"{who} removed every id that was left; at least one has to stay", True)
    return Fault(row, f"{who} gave logits that are NaN or infinite; a wider dtype may help", False)
