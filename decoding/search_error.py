"""What search misses: the texts that strategies find, held against the exact optimum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .core import LanguageModel, Prefix, Purpose
from .generate import GeneratedIds, generate_ids
from .strategies.beam import length_adjusted
from .strategies.exact import ExactSearch
from .strategies.processed import ProcessedStrategy
from .strategies.transformers_beam import TransformersBeamSearch
from .wording import counted, percent


@dataclass(frozen=True)
class Optimum:
    """What is known of the best text after one prompt.

    best          the best text that anybody found, exact search or one of the strategies
    score         its score
    logprob       its log-probability, which is the score where there is no length penalty
    bound         no text has a higher score; equal to `score` where it is certain that none is better
    evaluations   how many distributions exact search asked for
    """

    best: tuple[int, ...]
    score: float
    logprob: float
    bound: float
    evaluations: int

    @property
    def certain(self) -> bool:
        """Whether the optimum is known. Otherwise its score lies between `score` and `bound`."""
        return self.bound <= self.score


@dataclass(frozen=True)
class Miss:
    """What one strategy found after one prompt, and how far it lies below the optimum.

    score         by the measure of the exact search, whatever the strategy itself ranks by
    evaluations   how many distributions of a next id the strategy asked for
    same          whether the text is the best one known
    lost          how much lower its score is than that of the best text known, in nats, at least 0
    lost_at_most  than that of any text there can be; equal to `lost` where the optimum is known
    ratio         its probability, divided by that of the best text known
    """

    ids: tuple[int, ...]
    score: float
    evaluations: int
    same: bool
    lost: float
    lost_at_most: float
    ratio: float

    @property
    def error(self) -> bool | None:
        """Whether there is a better text; None where nobody knows."""
        if self.lost > 0:
            return True
        return None if self.lost_at_most > 0 else False


@dataclass(frozen=True)
class SearchErrors:
    """The texts of each strategy by its name, one a prompt, and the optimum of each prompt. `str()` is a table."""

    exact: ExactSearch
    optima: list[Optimum]
    misses: dict[str, list[Miss]]

    def error_share(self, name: str) -> tuple[float, float]:
        """The share of prompts after which the strategy missed the optimum: at least, and at most."""
        errors = [miss.error for miss in self.misses[name]]
        return errors.count(True) / len(errors), (len(errors) - errors.count(False)) / len(errors)

    def mean_lost(self, name: str) -> tuple[float, float]:
        """By how much the strategy's scores lie below the optimum on average, in nats: at least, and at most."""
        misses = self.misses[name]
        least = math.fsum(miss.lost for miss in misses) / len(misses)
        return least, math.fsum(miss.lost_at_most for miss in misses) / len(misses)

    def __str__(self) -> str:
        certain = sum(one.certain for one in self.optima)
        evaluations = sum(one.evaluations for one in self.optima)
        head = (
            f"{self.exact!r}: the optimum is certain after {certain} of {counted(len(self.optima), 'prompt')}, "
            f"with {counted(evaluations, 'evaluation')}"
        )
        titles = ["", "errors", "nats lost, mean", "at most", "least ratio", "evaluations"]
        lines = [titles, *(self._line(name) for name in self.misses)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [f"{line[0]:<{widths[0]}}" + _right(line[1:], widths[1:]) for line in lines]
        return "\n".join([head, "", *table])

    def _line(self, name: str) -> list[str]:
        misses = self.misses[name]
        least, most = map(percent, self.error_share(name))
        lost, at_most = self.mean_lost(name)
        return [
            name,
            least if least == most else f"{least} to {most}",
            f"{lost:.3f}",
            f"{at_most:.3f}",
            f"{min(miss.ratio for miss in misses):.3g}",
            f"{sum(miss.evaluations for miss in misses):,}",
        ]


def search_errors(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    strategies: Mapping[str, ProcessedStrategy] | Sequence[ProcessedStrategy],
    *,
    max_new_tokens: int | None,
    eos_id: int | None = None,
    exact: ExactSearch | None = None,
) -> SearchErrors:
    """Hold what strategies find against the exact optimum, after each of several prompts.

    >>> prompts = [tokenizer.encode("Once upon a time"), tokenizer.encode("The end")]
    >>> print(search_errors(model, prompts, [Greedy(), BeamSearch()], max_new_tokens=5, eos_id=tokenizer.eos_id))

    prompts      rows of ids; the other parameters are those of `generate_ids`
    strategies   Greedy, BeamSearch and others that make no random choices: {name: strategy}, or a list
    exact        says what is best: its processors, which the strategies have to share, and its length penalty, which
                 they need not. With a budget some optima may stay unknown; None for `ExactSearch` with the processors
                 of the first strategy

    Through a network, scores of different batches differ by rounding: texts that are equally good but for that may
    count as an error. Raises ValueError, in words, for whatever cannot be done.
    """
    named = _named(strategies)
    first = next(iter(named.values()))
    exact = ExactSearch(*first.processors) if exact is None else exact
    if not isinstance(exact, ExactSearch):
        raise ValueError(f"exact says what is best: ExactSearch(...), with a budget or without; got {exact!r}")
    for name, strategy in named.items():
        if strategy.processors != exact.processors:
            raise ValueError(
                f"{name} and {exact!r} have different processors, and so different probabilities: give exact the same "
                f"ones, in the same order"
            )
        if isinstance(strategy, TransformersBeamSearch) and strategy.processors:
            raise ValueError(
                f"in {name} processors act on log-probabilities, so that its texts have other probabilities than those "
                f"of {exact!r}: without processors they can be compared"
            )

    def written(strategy: ProcessedStrategy) -> list[GeneratedIds]:
        options: Any = {"max_new_tokens": max_new_tokens, "eos_id": eos_id}
        return generate_ids(model, prompts, strategy, seed=0, draw=lambda seed: _NoChance(strategy), **options)

    exacts = written(exact)
    if not all(text.ids for text in exacts):
        raise ValueError(f"a prompt fills the model's {model.n_positions} positions; shorten it")
    found = {name: written(strategy) for name, strategy in named.items()}
    optima = [_optimum(exact, exacts[n], [texts[n] for texts in found.values()]) for n in range(len(exacts))]
    misses = {
        name: [_miss(exact, text, optimum) for text, optimum in zip(texts, optima, strict=True)]
        for name, texts in found.items()
    }
    return SearchErrors(exact, optima, misses)


def _named(strategies: Mapping[str, ProcessedStrategy] | Sequence[ProcessedStrategy]) -> dict[str, ProcessedStrategy]:
    if isinstance(strategies, Mapping):
        named = dict(strategies)
    elif isinstance(strategies, (list, tuple)):
        named = {repr(strategy): strategy for strategy in strategies}
    else:
        named = {}
    if not named:
        raise ValueError(f"strategies are needed, as {{name: strategy}} or as a list; got {strategies!r}")
    for strategy in named.values():
        if not isinstance(strategy, ProcessedStrategy):
            raise ValueError(f"a strategy is needed, such as Greedy() or BeamSearch(); got {strategy!r}")
    return named


class _NoChance:
    """The chance of a strategy that has none: a text that may come out otherwise the next time tells nothing."""

    def __init__(self, strategy: ProcessedStrategy) -> None:
        self.strategy = strategy

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        raise self._refusal

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        raise self._refusal

    @property
    def _refusal(self) -> ValueError:
        return ValueError(
            f"{self.strategy!r} draws; search errors are those of Greedy, BeamSearch and others that do not"
        )


def _right(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _total(text: GeneratedIds) -> float:
    """Its log-probability, added from the left as searches do."""
    total = 0.0
    for logprob in text.processed_logprobs:
        total += logprob
    return total


def _score(exact: ExactSearch, text: GeneratedIds) -> float:
    return length_adjusted(_total(text), len(text.ids), exact.length_penalty)


def _optimum(exact: ExactSearch, text: GeneratedIds, others: Sequence[GeneratedIds]) -> Optimum:
    """What exact search found, or, where its budget ended first, the best of all texts."""
    assert text.search is not None and text.search.bound is not None and text.score is not None
    best, score, bound = text, text.score, text.search.bound
    if bound > score:
        for other in others:
            if other.ids != text.ids and _score(exact, other) > score:
                best, score = other, _score(exact, other)
    return Optimum(tuple(best.ids), score, _total(best), max(bound, score), text.search.evaluations)


def _miss(exact: ExactSearch, text: GeneratedIds, optimum: Optimum) -> Miss:
    ids = tuple(text.ids)
    same = ids == optimum.best
    score = optimum.score if same else _score(exact, text)
    difference = 0.0 if same else _total(text) - optimum.logprob
    return Miss(
        ids=ids,
        score=score,
        evaluations=len(ids) if text.search is None else text.search.evaluations,
        same=same,
        lost=max(optimum.score - score, 0.0),
        lost_at_most=max(optimum.bound - score, 0.0),
        ratio=math.exp(difference) if difference < 709 else math.inf,  # beyond that float64 has no number
    )
