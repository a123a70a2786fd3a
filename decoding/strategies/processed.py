"""What strategies with processors have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..core import Chance, LanguageModel, Limits, Prefix, Processor, State, Step
from ..trace import Stage


class ProcessedStrategy:
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
        return (
            isinstance(other, ProcessedStrategy) and type(self) is type(other) and self.processors == other.processors
        )

    def __hash__(self) -> int:
        return hash((type(self), self.processors))


def process(
    logits: Tensor, prefix: Prefix, processors: Sequence[Processor], states: Sequence[State], chance: Chance
) -> tuple[list[Stage], list[State]]:
    """Let the processors act one after another: the logits (R, V) before, after each of them, and their new states."""
    stages = [Stage("model", logits)]
    after: list[State] = []
    for processor, state in zip(processors, states, strict=True):
        logits, state = processor.step(logits, prefix, state, chance)
        stages.append(Stage(repr(processor), logits))
        after.append(state)
    return stages, after


def blame(stages: Sequence[Stage]) -> tuple[int, str] | None:
    """The first row that the stages left without a distribution, and who did it; None where all have one."""
    best = torch.stack([stage.logits.amax(dim=-1) for stage in stages])  # (stages, R); NaN where any logit is
    if bool(best.isfinite().all()):
        return None
    row = int((~best.isfinite()).any(dim=0).nonzero()[0])
    guilty = int((~best[:, row].isfinite()).nonzero()[0])
    who = "the model" if guilty == 0 else stages[guilty].name
    if best[guilty, row] == -torch.inf:
        return row, f"{who} removed every id that was left; at least one has to stay"
    return row, f"{who} gave logits that are NaN or infinite; a wider dtype may help"
