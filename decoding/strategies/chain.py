"""What strategies have in common: processors, in the order in which the user wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from ..core import Chance, LanguageModel, Limits, Prefix, Processor, State, Step
from ..trace import Stage


class Chain:
    """A strategy that takes processors, in the order in which they act."""

    def __init__(self, *processors: Processor) -> None:
        for processor in processors:
            if not isinstance(processor, Processor):
                raise ValueError(f"{type(self).__name__} takes processors such as TopP(0.9); got {processor!r}")
        self.processors = processors

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        """See `Strategy`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.processors))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and type(self) is type(other) and self.processors == other.processors

    def __hash__(self) -> int:
        return hash((type(self), self.processors))


def process(
    logits: Tensor, prefix: Prefix, processors: Sequence[Processor], states: Sequence[State], chance: Chance
) -> tuple[list[Stage], list[State]]:
    """Let the processors act one after another: the logits (R, V) before, after each of them, and their new states.

    Raises ValueError, naming the culprit, where a row has no id left or has logits that are not numbers.
    """
    stages = [Stage("model", logits)]
    after: list[State] = []
    for processor, state in zip(processors, states, strict=True):
        logits, state = processor.step(logits, prefix, state, chance)
        stages.append(Stage(repr(processor), logits))
        after.append(state)
    best = torch.stack([stage.logits.amax(dim=-1) for stage in stages])  # (stages, R); NaN where any logit is
    if not bool(best.isfinite().all()):
        _blame(stages, best)
    return stages, after


def _blame(stages: Sequence[Stage], best: Tensor) -> NoReturn:
    """Raise the error about the first stage that left a row without a distribution."""
    guilty = int((~best.isfinite()).any(dim=1).nonzero()[0])
    who = "the model" if guilty == 0 else stages[guilty].name
    if bool((best[guilty] == -torch.inf).any()):
        raise ValueError(f"{who} removed every id that was left; at least one has to stay")
    raise ValueError(f"{who} gave logits that are NaN or infinite; a wider dtype may help")
