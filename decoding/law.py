"""The exact distribution of the texts that a strategy writes, on models small enough to list them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Protocol, runtime_checkable

from .chance import Enumerate
from .core import LanguageModel, Limits, Strategy, check_prompts


@runtime_checkable
class EqualInLaw(Protocol):
    """A strategy that draws real numbers, so that nobody can take all of its paths, and that knows its law."""

    def equal_in_law(self) -> Strategy:
        """One that only chooses, and whose text has the same distribution as the text of each row."""
        ...


def law(
    strategy: Strategy,
    model: LanguageModel,
    prompt: Sequence[int],
    max_new_tokens: int,
    eos_id: int | None = None,
) -> dict[tuple[int, ...], float]:
    """The probability of every continuation that `strategy` can write after `prompt`, likeliest first.

    Runs the strategy itself, once for every path of choices that it can take, and adds up the paths that lead to the
    same ids. One that draws real numbers has too many paths: in its place runs the strategy that it names, which is
    `EqualInLaw`. With float64 logits the probabilities sum to 1 within 1e-12. The number of paths grows as V ** steps:
    this is for vocabularies of a handful of ids (`TableModel`).
    """
    try:
        prompt = [index(id) for id in prompt]
    except TypeError as error:
        raise ValueError(f"the prompt is a row of whole numbers, such as [15496, 11]; got {prompt!r}") from error
    check_prompts(model, [prompt])
    if isinstance(strategy, EqualInLaw):
        strategy = strategy.equal_in_law()
    chance = Enumerate()
    limits = Limits(max_new_tokens, eos_id)
    terms: dict[tuple[int, ...], list[float]] = {}
    while True:
        ids = tuple(id for step in strategy.run(model, [prompt], limits, chance) for id in step.ids)
        terms.setdefault(ids, []).append(math.exp(chance.log_probability))
        if not chance.advance():
            break
    probabilities = {ids: math.fsum(parts) for ids, parts in terms.items()}
    possible = [(ids, probability) for ids, probability in probabilities.items() if probability > 0.0]
    return dict(sorted(possible, key=lambda item: (-item[1], item[0])))
