"""Several strategies on one prompt, with the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .chance import Gumbel, fresh_seed
from .core import Chance, LanguageModel, Limits, Step, Strategy
from .generate import Draw, Generation, generate
from .measures import Measure, distinct, mean_entropy, mean_logprob, over_texts, repetition
from .tokenizer import Tokenizer


@dataclass(frozen=True)
class Result:
    """What one strategy wrote.

    samples       its texts
    entropies     of the model's distribution before each id of each sample, in nats
    measures      "log-probability" and "entropy" of the model (means over the ids of a text, then over the texts),
                  "repetition-4" and "ids" (means over the texts), "distinct-1" to "distinct-3" of all texts together
    differences   each mean over the texts, less that of the first strategy; the standard error is that of the
                  differences of texts with the same number. Empty for the first strategy
    parts_at      where each sample parts from the one of the same number of the first strategy: how many ids are the
                  same before; None where all are
    """

    strategy: Strategy
    samples: list[Generation]
    entropies: list[list[float]]
    measures: dict[str, Measure]
    differences: dict[str, Measure]
    parts_at: list[int | None]


@dataclass(frozen=True)
class Comparison:
    """The results of several strategies by name, and the seed that repeats them."""

    prompt: str
    seed: int
    results: dict[str, Result]


def compare(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    strategies: Mapping[str, Strategy] | Sequence[Strategy],
    *,
    max_new_tokens: int | None,
    num_samples: int = 20,
    seed: int | None = None,
    draw: Draw = Gumbel,
    stop: Sequence[str] = (),
    trace: bool = False,
    report: Callable[[str, Result], None] | None = None,
) -> Comparison:
    """Continue one prompt with each strategy, and measure the texts.

    >>> compare(model, tokenizer, "Once upon a time", {"all": Sample(), "top-p": Sample(TopP(0.9))}, max_new_tokens=40)

    strategies       {name: strategy}, or a list, whose names are what the strategies print as
    num_samples      how many texts each of them writes; the other parameters are those of `generate`
    trace            record what every processor did, in the first sample of each strategy
    report           is given each name and result as soon as they are there

    Every strategy gets the same seed and sample numbers. So with `Gumbel`, the default, all draw with the same noise: a
    text differs from its namesake only from where the strategies want different ids on, and measures mostly differ by
    less chance than those of independent samples would (common random numbers). Raises ValueError, in words, for
    whatever cannot be done.
    """
    named = {name: _Measured(strategy, trace) for name, strategy in _named(strategies).items()}
    seed = fresh_seed() if seed is None else seed
    results: dict[str, Result] = {}
    first: _Texts | None = None
    for name, measured in named.items():
        samples = generate(
            model,
            tokenizer,
            [prompt],
            measured,
            max_new_tokens=max_new_tokens,
            seed=seed,
            draw=draw,
            stop=stop,
            num_samples=num_samples,
        )
        if not all(sample.ids for sample in samples):
            raise ValueError(
                f"the prompt fills the model's {model.n_positions} positions and leaves no room for a text; shorten it"
            )
        entropies = [measured.entropies[row] for row in range(len(samples))]
        texts = _Texts(samples, entropies)
        first = texts if first is None else first
        results[name] = Result(
            measured.strategy,
            samples,
            entropies,
            measures=texts.measures(),
            differences=texts.less(first),
            parts_at=[parts_after(one.ids, other.ids) for one, other in zip(first.samples, samples, strict=True)],
        )
        if report is not None:
            report(name, results[name])
    return Comparison(prompt, seed, results)


def parts_after(ids: Sequence[int], others: Sequence[int]) -> int | None:
    """How many ids two texts have in common before they part; None where they are equal."""
    if list(ids) == list(others):
        return None
    same = (n for n, (one, other) in enumerate(zip(ids, others, strict=False)) if one != other)
    return next(same, min(len(ids), len(others)))


def _named(strategies: Mapping[str, Strategy] | Sequence[Strategy]) -> dict[str, Strategy]:
    if isinstance(strategies, Mapping):
        named = dict(strategies)
    elif isinstance(strategies, (list, tuple)):
        named = {repr(strategy): strategy for strategy in strategies}
        if len(named) < len(strategies):
            raise ValueError("two of the strategies print the same; give them names: {name: strategy}")
    else:
        raise ValueError(f"several strategies are needed, as {{name: strategy}} or as a list; got {strategies!r}")
    if not named:
        raise ValueError("there is no strategy to compare: give at least one")
    return named


class _Measured:
    """A strategy that notes how unsure the model is in each step. Traces, which tell, are large: most are dropped."""

    def __init__(self, strategy: Strategy, trace: bool) -> None:
        if isinstance(strategy, type) or not callable(getattr(strategy, "run", None)):
            raise ValueError(f"a strategy is needed, such as Greedy() or Sample(TopP(0.9)); got {strategy!r}")
        self.strategy = strategy
        self.trace = trace  # whether to keep those of the first sample
        self.entropies: dict[int, list[float]] = {}  # of each row

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        for step in self.strategy.run(model, prompts, replace(limits, trace=True), chance):
            if step.trace is not None:
                self.entropies.setdefault(step.row, []).append(step.trace.stages[0].entropy)
            yield step if self.trace and step.row == 0 else step._replace(trace=None)


class _Texts:
    """The texts of one strategy, and the numbers that each of them has."""

    def __init__(self, samples: list[Generation], entropies: Sequence[Sequence[float]]) -> None:
        self.samples = samples
        self.ids = [sample.ids for sample in samples]
        self.numbers = {
            "log-probability": [mean_logprob(sample.model_logprobs) for sample in samples],
            "entropy": [mean_entropy(along) for along in entropies],
            "repetition-4": [repetition(ids, 4) for ids in self.ids],
            "ids": [float(len(ids)) for ids in self.ids],
        }

    def measures(self) -> dict[str, Measure]:
        means = {name: over_texts(values) for name, values in self.numbers.items()}
        return means | {f"distinct-{n}": Measure(distinct(self.ids, n)) for n in (1, 2, 3)}

    def less(self, first: _Texts) -> dict[str, Measure]:
        """The differences of the means, text by text."""
        if first is self:
            return {}
        return {
            name: over_texts([value - other for value, other in zip(values, first.numbers[name], strict=True)])
            for name, values in self.numbers.items()
        }
