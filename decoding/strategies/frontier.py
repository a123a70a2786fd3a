"""The hypotheses that a search is extending, those of all rows as one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..core import (
    Chance,
    FinishReason,
    Found,
    Hypothesis,
    LanguageModel,
    Limits,
    Prefix,
    Processor,
    Session,
    State,
    Step,
    ragged,
    widen,
)
from ..search_tree import SearchTree
from ..trace import StepTrace, record
from .processed import Fault, Stage, blame, process


@dataclass(frozen=True)
class Partial:
    """A hypothesis, as far as it has come.

    total    the sum of its processed_logprobs, added from the left
    node     its number in the row's tree
    traces   what each of its steps did, where a trace is asked for
    """

    row: int
    ids: tuple[int, ...] = ()
    model_logprobs: tuple[float, ...] = ()
    processed_logprobs: tuple[float, ...] = ()
    total: float = 0.0
    node: int = 0
    traces: tuple[StepTrace, ...] = ()

    def finished(self, reason: FinishReason, score: float) -> Hypothesis:
        """It as a whole text."""
        return Hypothesis(self.ids, self.model_logprobs, self.processed_logprobs, reason, score)


class Expansion(NamedTuple):
    """What may follow each of H hypotheses."""

    model_logprobs: Tensor  # (H, V) float64: natural logarithms of the model's own probabilities
    logprobs: Tensor  # (H, V) float64: after the processors, renormalised; -inf throughout where they left nothing
    stages: list[Stage]
    before: Prefix

    @classmethod
    def of(cls, stages: list[Stage], before: Prefix) -> Expansion:
        """What the stages left of the model's distributions."""
        model_logprobs = stages[0].logits.double().log_softmax(dim=-1)  # (H, V)
        logprobs = model_logprobs
        if stages[-1].logits is not stages[0].logits:
            logprobs = stages[-1].logits.double().log_softmax(dim=-1)
        return cls(model_logprobs, logprobs, stages, before)

    def totals(self, places: Sequence[int], sums: Sequence[float]) -> Tensor:
        """What all extensions of h hypotheses with these sums come to, (h, V). Their places follow each other."""
        logprobs = self.logprobs[places[0] : places[-1] + 1]  # (h, V)
        return logprobs + logprobs.new_tensor(sums)[:, None]

    def child(self, h: int, id: int, parent: Partial, node: int, *, traced: bool) -> Partial:
        """Hypothesis number h with one more id."""
        logprob = float(self.logprobs[h, id])
        trace = (record(self.stages, id, self.before, h),) if traced else ()
        return Partial(
            row=parent.row,
            ids=(*parent.ids, id),
            model_logprobs=(*parent.model_logprobs, float(self.model_logprobs[h, id])),
            processed_logprobs=(*parent.processed_logprobs, logprob),
            total=parent.total + logprob,
            node=node,
            traces=parent.traces + trace,
        )


class Frontier:
    """H hypotheses of R rows: each row begins with one, its prompt, and may have any number after each step.

    >>> frontier = Frontier(model, prompts, limits, processors, chance)
    >>> while frontier.hypotheses:
    ...     expansion = frontier.expand()                       # what may follow each of them
    ...     frontier.advance(parents, children)                 # those that go on, and which ones they extend
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        limits: Limits,
        processors: Sequence[Processor],
        chance: Chance,
    ) -> None:
        self.processors = processors
        self.limits = limits
        self.chance = chance
        self.n_positions = model.n_positions
        owners = [prompt for prompt in range(len(prompts)) for _ in range(limits.num_samples)]  # (R,)
        samples = list(range(limits.num_samples)) * len(prompts)  # (R,)
        self.prompt_lengths = [len(prompts[owner]) for owner in owners]  # (R,)
        self.full = [row for row in range(len(owners)) if self.finish_reason(row, ())]  # these have no room at all
        self.answered: set[int] = set()  # rows that have a text already: all their hypotheses may come to nothing
        going = [row for row in range(len(owners)) if row not in self.full]
        self.hypotheses = [Partial(row) for row in going]

        self._session: Session = model.open()
        logits = widen(self._session.extend(*ragged(prompts))[:, -1])  # (prompts, V)
        kept = [owners[row] for row in going or self.full]  # (H,)
        self._session.select(torch.tensor(kept))
        self._logits = logits[kept]  # (H, V)
        numbers = [samples[row] for row in going or self.full]
        self._prefix = Prefix.of([prompts[prompt] for prompt in kept], numbers, limits.eos_id, logits.device)
        self._states: list[State] = [processor.start(len(kept)) for processor in processors]

    def rows(self) -> list[tuple[int, list[int]]]:
        """Each row that goes on, with the places of its hypotheses in the batch, which follow each other."""
        places: dict[int, list[int]] = {}
        for h, hypothesis in enumerate(self.hypotheses):
            places.setdefault(hypothesis.row, []).append(h)
        return list(places.items())

    def room(self, row: int) -> int:
        """How many new ids a text of this row can have at most."""
        return self.limits.room(self.prompt_lengths[row], self.n_positions)

    def finish_reason(self, row: int, ids: Sequence[int]) -> FinishReason | None:
        """Why a hypothesis with these new ids is a whole text, or None where it goes on."""
        return self.limits.finish_reason(ids, self.prompt_lengths[row], self.n_positions)

    def full_rows(self) -> Iterator[Step]:
        """The rows whose prompts leave no room: each is a text already."""
        for row in self.full:
            reason = self.finish_reason(row, ())
            assert reason is not None
            yield Step(row, (), (), (), reason, None, Found((Partial(row).finished(reason, 0.0),), 0))

    def expand(self) -> Expansion:
        """Ask the model and the processors what may follow. Raises ValueError where logits are not numbers."""
        stages, self._states = process(self._logits, self._prefix, self.processors, self._states, self.chance)
        expansion = Expansion.of(stages, self._prefix)
        if blame(stages) is not None:
            return expansion._replace(logprobs=self._pruned(stages, expansion.logprobs))
        return expansion

    def _pruned(self, stages: list[Stage], logprobs: Tensor) -> Tensor:
        """Hypotheses that processors left without an id have no children. A row that has no other is an error."""
        for row, places in self.rows():
            faults = [self.fault(stages, h) for h in places]
            broken = next((fault for fault in faults if fault and not fault.emptied), None)
            if broken or (all(faults) and row not in self.answered):
                fault = broken or faults[0]
                assert fault is not None
                raise self.error(fault, row)
            empty = torch.tensor([h for h, fault in zip(places, faults, strict=True) if fault], dtype=torch.int64)
            logprobs = logprobs.index_fill(0, empty.to(logprobs.device), -torch.inf)
        return logprobs

    def fault(self, stages: Sequence[Stage], h: int) -> Fault | None:
        """Why hypothesis number h has no distribution; None where it has one."""
        return blame([Stage(one.processor, one.logits[h : h + 1]) for one in stages])

    def error(self, fault: Fault, row: int) -> ValueError:
        """What to raise where a row cannot do without a hypothesis that has no distribution."""
        step = next(len(one.ids) for one in self.hypotheses if one.row == row)
        return ValueError(f"{fault.sentence} ({self.limits.whose(row)}, step {step})")

    def advance(self, parents: Sequence[int], children: Sequence[Partial]) -> None:
        """Go on with these children of the hypotheses numbered `parents`; all others are dropped."""
        self.hypotheses = list(children)
        if not children:
            return
        places = torch.tensor(parents, dtype=torch.int64)
        ids = torch.tensor([child.ids[-1] for child in children], dtype=torch.int64)  # (H,)
        self._session.select(places)
        self._logits = widen(self._session.extend(ids[:, None])[:, -1])  # (H, V)
        places, ids = places.to(self._prefix.ids.device), ids.to(self._prefix.ids.device)
        self._prefix = self._prefix.select(places).append(ids)
        self._states = [tuple(part[places.to(part.device)] for part in state) for state in self._states]


class RowSearch(Protocol):
    """The search for one row's text, step by step.

    going     the hypotheses that go on; none where the row has ended
    parents   the places in the batch of those that they extend
    """

    going: list[Partial]
    parents: list[int]

    def extend(self, expansion: Expansion, places: Sequence[int]) -> None:
        """Take what may follow the row's hypotheses, which have these places, and decide what goes on."""
        ...

    def news(self) -> Iterator[Step]:
        """The ids that are certain since; where the row has ended, all that are left."""
        ...


def search_rows(frontier: Frontier, rows: Mapping[int, RowSearch]) -> Iterator[Step]:
    """The loop of a search whose rows, by number, all take a step at once, until none goes on."""
    while frontier.hypotheses:
        expansion = frontier.expand()  # (H, V)
        parents: list[int] = []
        going: list[Partial] = []
        for number, places in frontier.rows():
            row = rows[number]
            row.extend(expansion, places)
            yield from row.news()
            parents += row.parents
            going += row.going
        frontier.advance(parents, going)


def best_first(totals: Tensor, n: int) -> Iterator[tuple[int, int]]:
    """The places (h, id) of totals (H, V), best first; ties: the lower h, then the lower id. Never one that is -inf.

    n   how many are wanted, probably: so many are looked for at once
    """
    flat = totals.flatten()
    given = 0
    while given < len(flat):
        n = min(n, len(flat))
        worst = flat.topk(n).values[-1]  # topk may order equals as it likes, so all of them are looked at
        places = ((flat >= worst) & (flat > -torch.inf)).nonzero()[:, 0]  # ascending
        ranked = places[flat[places].sort(descending=True, stable=True).indices].tolist()
        yield from (divmod(place, totals.shape[1]) for place in ranked[given:])
        given, n = len(ranked) if len(ranked) >= n else len(flat), 4 * n


def shared_beginning(texts: Sequence[Sequence[int]]) -> int:
    """How many ids all of these texts begin with in common."""
    first = texts[0]
    length = min(map(len, texts))
    return next((n for n in range(length) if any(text[n] != first[n] for text in texts)), length)


def steps_of(text: Partial, first: int, end: int) -> Iterator[Step]:
    """The ids of a text from number `first` up to `end`, one a step."""
    for n in range(first, end):
        trace = text.traces[n] if text.traces else None
        yield Step(text.row, (text.ids[n],), (text.model_logprobs[n],), (text.processed_logprobs[n],), None, trace)


def last_steps(winner: Partial, first: int, found: Found) -> Iterator[Step]:
    """The ids of the text that won from number `first` on; with the last of them its row ends."""
    steps = list(steps_of(winner, first, len(winner.ids)))
    yield from steps[:-1]
    yield steps[-1]._replace(finish_reason=found.candidates[0].finish_reason, found=found)


def new_tree(limits: Limits) -> SearchTree | None:
    """A tree to be filled where a trace is asked for."""
    return SearchTree() if limits.trace else None
