"""The exact probability with which a strategy writes a given text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import index

import torch
from torch import Tensor

from .chance import Enumerate
from .core import LanguageModel, Prefix, State, check_prompts, ragged, widen
from .strategies.processed import Stepwise, blame, process


@dataclass(frozen=True)
class Score:
    """A text under a strategy, and under the model alone: natural logarithms of probabilities, -inf for 0.

    ids              the text
    logprobs         of each id, given the text before it, under the whole strategy
    model_logprobs   the same under the model, without processors
    """

    ids: list[int] = field(repr=False)
    logprobs: list[float] = field(repr=False)
    model_logprobs: list[float] = field(repr=False)
    logprob: float = field(init=False)
    model_logprob: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "logprob", math.fsum(self.logprobs))
        object.__setattr__(self, "model_logprob", math.fsum(self.model_logprobs))


@dataclass
class _Path:
    """Everything that the processors may remember behind the text so far, and the probability that they do."""

    logprob: float
    states: list[State]


def score(
    model: LanguageModel,
    prompt: Sequence[int],
    continuation: Sequence[int],
    strategy: Stepwise,
    eos_id: int | None = None,
) -> Score:
    """How likely `strategy` is to write `continuation`, ids after the ids of `prompt`, as far as it goes.

        P(x) = product over t of P(x_t | x_<t),  each a sum over the coins that processors toss and what they remember

    What follows the continuation does not count: for the probability that the text ends there, let it end with
    `eos_id`. Paths on which the processors come to remember the same are one, so the cost grows with the length of the
    text; only where a coin changes a memory (XTC before Mirostat) does each toss double the paths. An id that cannot be
    chosen has the logarithm -inf, and so have all that follow it. Raises ValueError for a strategy that does not choose
    one id a step, for ids behind `eos_id`, where prompt and continuation exceed the model's positions, and, as the
    strategy itself would, where the processors leave no id.
    """
    if not isinstance(strategy, Stepwise):
        raise ValueError(f"score takes a strategy that chooses one id a step, Greedy or Sample; got {strategy!r}")
    try:
        prompt, text = [index(id) for id in prompt], [index(id) for id in continuation]
    except TypeError as error:
        raise ValueError(
            f"prompt and continuation are rows of whole numbers, such as [15496, 11]; got {prompt!r} and "
            f"{continuation!r}"
        ) from error
    check_prompts(model, [prompt])
    beyond = len(prompt) + len(text) - model.n_positions
    if beyond > 0:
        raise ValueError(
            f"prompt and continuation have {len(prompt) + len(text)} ids, {beyond} more than the model's "
            f"{model.n_positions} positions; shorten them"
        )
    if text and not 0 <= min(text) <= max(text) < model.n_vocab:
        raise ValueError(f"the continuation has ids outside of the vocabulary, 0 to {model.n_vocab - 1}")
    if eos_id in text[:-1]:
        raise ValueError(f"the continuation goes on behind the id {eos_id}, which ends a text")

    session = model.open()
    logits = widen(session.extend(*ragged([prompt]))[0])  # (1, V)
    if len(text) > 1:  # what follows the last id does not count, so nobody asks for it
        behind = session.extend(*ragged([text[:-1]]), keep=len(text) - 1)[0]  # (T - 1, V)
        logits = torch.cat([logits, widen(behind)])  # (T, V): T ids of the text, at least 1
    prefix = Prefix.of([prompt], eos_id=eos_id, device=logits.device)
    paths = [_Path(0.0, [processor.start(1) for processor in strategy.processors])]
    logprobs: list[float] = []
    for row, id in zip(logits, text, strict=False):  # (V,)
        before = _log_sum([path.logprob for path in paths])
        paths = [after for path in paths for after in _extend(path, row[None], prefix, strategy, id)]
        after = _log_sum([path.logprob for path in paths])
        logprobs.append(after - before if after > -math.inf else -math.inf)
        paths = _merged(paths)
        prefix = prefix.append(torch.tensor([id], device=logits.device))
    model_logprobs = logits.double().log_softmax(dim=-1)  # (T, V)
    return Score(text, logprobs, [float(row[id]) for row, id in zip(model_logprobs, text, strict=False)])


def _extend(path: _Path, logits: Tensor, prefix: Prefix, strategy: Stepwise, id: int) -> list[_Path]:
    """The path with this id behind it, once for each way in which the coins of the step can fall."""
    found: list[_Path] = []
    chance = Enumerate()
    while True:
        stages, states = process(logits, prefix, strategy.processors, path.states, chance)
        fault = blame(stages)
        if fault is not None:
            raise ValueError(f"{fault.sentence} (step {int(prefix.steps)})")
        taken = float(strategy.choice_logprobs(stages[-1].logits)[0, id])
        if taken > -math.inf:
            found.append(_Path(path.logprob + chance.log_probability + taken, states))
        if not chance.advance():
            return found


def _merged(paths: list[_Path]) -> list[_Path]:
    """Paths that remember the same, as one."""
    groups: list[list[_Path]] = []
    for path in paths:
        alike = (group for group in groups if _equal(group[0].states, path.states))
        group = next(alike, None)
        if group is None:
            groups.append([path])
        else:
            group.append(path)
    return [_Path(_log_sum([path.logprob for path in group]), group[0].states) for group in groups]


def _equal(states: list[State], others: list[State]) -> bool:
    pairs = [pair for state, other in zip(states, others, strict=True) for pair in zip(state, other, strict=True)]
    return all(torch.equal(part, other) for part, other in pairs)


def _log_sum(logarithms: list[float]) -> float:
    """The logarithm of the sum; of nothing, -inf."""
    if not logarithms:
        return -math.inf
    largest = max(logarithms)
    return largest + math.log(math.fsum(math.exp(one - largest) for one in logarithms))
