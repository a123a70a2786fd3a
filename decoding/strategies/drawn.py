"""What the strategies share that draw several texts and keep one of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Real

from ..core import Chance, Found, Hypothesis, LanguageModel, Limits, Processor, Step, is_whole_number
from .processed import ProcessedStrategy
from .sample import Sample


class Drawn(ProcessedStrategy):
    """Draws n texts with `Sample(*processors)` for each row, gives each a score, and keeps the one with the highest.

    Of equal scores the earlier draw wins. Row `sample` of a prompt takes its samples number sample * n to
    sample * n + n - 1, so that all noise is distinct. The candidates are all n texts, best first; a text that was drawn
    twice is there twice. The evaluations are the ids of all of them. Nothing is given out before a row's last text has
    ended.
    """

    def __init__(self, *processors: Processor, n: int) -> None:
        super().__init__(*processors)
        if not is_whole_number(n) or n < 1:
            raise ValueError(f"n is how many texts to draw for each row, at least 1; got {n!r}")
        self.n = n

    def scores(self, texts: Sequence[Hypothesis]) -> list[float]:
        """One for each of a row's texts. They come with score 0, and each has at least one id."""
        raise NotImplementedError

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        several = replace(limits, num_samples=limits.num_samples * self.n)
        drawn: dict[int, list[list[Step]]] = {}  # of each row, the steps of its texts
        missing: dict[int, int] = {}  # how many of them have not ended
        for step in Sample(*self.processors).run(model, prompts, several, chance):
            row, number = divmod(step.row, self.n)
            texts = drawn.setdefault(row, [[] for _ in range(self.n)])
            texts[number].append(step._replace(row=row))
            if step.finish_reason is not None:
                missing[row] = missing.get(row, self.n) - 1
                if not missing[row]:
                    yield from self._choose(drawn.pop(row))

    def _choose(self, drawn: list[list[Step]]) -> Iterator[Step]:
        """The steps of the text with the highest score."""
        texts = [_text(steps) for steps in drawn]
        scores = self.scores(texts) if texts[0].ids else [0.0] * self.n  # a prompt may leave no room for any
        order = sorted(range(self.n), key=lambda number: -scores[number])  # sorted() leaves equals as they are
        candidates = tuple(texts[number]._replace(score=scores[number]) for number in order)
        found = Found(candidates, evaluations=sum(len(text.ids) for text in texts))
        *steps, last = drawn[order[0]]
        yield from steps
        yield last._replace(found=found)


def _text(steps: Sequence[Step]) -> Hypothesis:
    reason = steps[-1].finish_reason
    assert reason is not None
    return Hypothesis(
        tuple(id for step in steps for id in step.ids),
        tuple(logprob for step in steps for logprob in step.model_logprobs),
        tuple(logprob for step in steps for logprob in step.processed_logprobs),
        reason,
        0.0,
    )


def check_callable(value: object, what: str) -> None:
    """Raise ValueError for what cannot be called."""
    if not callable(value):
        raise ValueError(f"{what}; got {value!r}")


def as_number(value: object, what: str) -> float:
    """What a function of the user's returned, as a float. Raises ValueError where it is no number."""
    if not isinstance(value, Real) or math.isnan(value):
        raise ValueError(f"{what} is a number, such as 0.5; got {value!r}")
    return float(value)
