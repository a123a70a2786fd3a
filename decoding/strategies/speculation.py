"""The loop of every strategy that lets somebody draft, and judges a whole draft with one call of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..core import (
    Chance,
    FinishReason,
    LanguageModel,
    Limits,
    Prefix,
    Processor,
    Purpose,
    State,
    Step,
    is_whole_number,
    ragged,
    widen,
)
from ..drafts.draft import Draft, Drafter, DraftTask, as_drafter, shortened
from ..rounds import DraftedId, Round
from ..trace import record
from .processed import ProcessedStrategy, Stage, blame, process


class Verdict(NamedTuple):
    """What the model makes of a draft: how many of its ids stay, and which id it puts behind them."""

    accepted: int
    added: Tensor | None  # (1,); None where the text has ended
    guesses: Sequence[int] = ()  # what it would write behind that, were the rest of the draft true


class Target:
    """The model's distributions along one row's draft: place n is behind n drafted ids.

    They are processed when they are looked at, one after another, and no further than that: behind a rejected id none
    of them counts.

    draft      without the ids that would lie behind the end of the text
    finished   whether the text ends with the last of them
    prefix     before the first of them
    """

    def __init__(
        self, row: _Row, draft: Draft, finished: bool, logits: Tensor, processors: Sequence[Processor], whose: str
    ) -> None:
        self.draft = draft
        self.finished = finished
        self.chance = row.chance
        self._prefix = row.prefix
        if draft.ids:
            ids = torch.tensor([draft.ids], device=row.prefix.ids.device)
            self._prefix = row.prefix._replace(ids=torch.cat([row.prefix.ids, ids], dim=1))
        self._logits = logits  # (1 + drafted, V)
        self._processors = processors
        self._whose = whose
        self._seen: list[list[Stage]] = []
        self._states = [row.states]  # before each place
        self._fault: str | None = None
        self._logprobs: dict[int, Tensor] = {}  # what several ask for, and takes time

    def prefix(self, place: int) -> Prefix:
        """The row, up to there."""
        return shortened(self._prefix, int(self._prefix.lengths) + place)

    def fault(self, place: int) -> str | None:
        """Why there is no distribution in this place, or before it; None where there is one."""
        while self._fault is None and len(self._seen) <= place:
            here = len(self._seen)
            logits, prefix = self._logits[here : here + 1], self.prefix(here)
            stages, states = process(logits, prefix, self._processors, self._states[here], self.chance)
            fault = blame(stages)
            if fault is not None:
                self._fault = f"{fault.sentence} ({self._whose}, step {int(prefix.steps)})"
            else:
                self._seen.append(stages)
                self._states.append(states)
        return self._fault if place >= len(self._seen) else None

    def stages(self, place: int) -> list[Stage]:
        """What the processors made of the logits (1, V). Raises ValueError where they left no distribution."""
        fault = self.fault(place)
        if fault is not None:
            raise ValueError(fault)
        return self._seen[place]

    def logits(self, place: int) -> Tensor:
        """Processed, (1, V)."""
        return self.stages(place)[-1].logits

    def logprobs(self, place: int) -> Tensor:
        """Processed, (V,) float64, natural logarithms."""
        if place not in self._logprobs:
            self._logprobs[place] = self.logits(place)[0].double().log_softmax(dim=-1)
        return self._logprobs[place]

    def states(self, place: int) -> list[State]:
        """What the processors remember behind the id in this place."""
        self.stages(place)
        return self._states[place + 1]

    def round(self, verdict: Verdict) -> Round:
        """What became of the draft."""
        drafted = []
        for place, id in enumerate(self.draft.ids):
            own = float(self.logprobs(place)[id]) if place < len(self._seen) else None
            drafted.append(DraftedId(id, self.draft.logprob(place), own))
        return Round(tuple(drafted), verdict.accepted, None if verdict.added is None else int(verdict.added))


@dataclass
class _Row:
    number: int  # see Step.row
    prefix: Prefix  # of this one row
    states: list[State]  # what the processors remember before the next step
    chance: Chance
    new_ids: list[int]


class Speculation(ProcessedStrategy):
    """A strategy whose ids somebody else drafts, so that one call of the model may give several.

    In each round the drafter writes down what may come next; the model reads all of it in one call; `verify` says how
    much of it stays, and adds an id of the model's own. What was rejected is forgotten by rewinding. So a round gives
    at least one id, and at most one more than were drafted. The first id comes from the call that reads the prompt.
    """

    drafts_for = Purpose.DRAFT  # what the draft's random choices are for

    def drafter(self) -> Drafter:
        """Who drafts."""
        raise NotImplementedError

    def most(self) -> int:
        """How many ids may be drafted in a round."""
        raise NotImplementedError

    def verify(self, target: Target) -> Verdict:
        """Judge a draft."""
        raise NotImplementedError

    def chance(self, chance: Chance) -> Chance:
        """What a row draws from."""
        return chance

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        session = model.open()
        logits = widen(session.extend(*ragged(prompts))[:, -1:])  # (prompts, 1, V)
        owners = [prompt for prompt in range(len(prompts)) for _ in range(limits.num_samples)]  # (R,)
        rows = [
            _Row(
                number,
                Prefix.of([prompts[owner]], [number % limits.num_samples], limits.eos_id, logits.device),
                [processor.start(1) for processor in self.processors],
                self.chance(chance),
                [],
            )
            for number, owner in enumerate(owners)
        ]

        def ends(row: _Row, new_ids: Sequence[int]) -> FinishReason | None:
            return limits.finish_reason(new_ids, int(row.prefix.prompt_lengths), model.n_positions)

        yield from (Step(row.number, (), (), (), reason) for row in rows if (reason := ends(row, ())))
        rows = [row for row in rows if ends(row, ()) is None]  # a prompt may leave no room
        if not rows:
            return
        kept = [owners[row.number] for row in rows]
        session.select(torch.tensor(kept))
        logits = logits[kept]  # (R, 1, V)
        drafts = [Draft() for _ in rows]
        prefixes, chances = [row.prefix for row in rows], [row.chance for row in rows]
        drafting = self.drafter().start(DraftTask(model, prefixes, self.processors, self.drafts_for, chances))

        while True:
            going: list[int] = []
            for r, (row, draft) in enumerate(zip(rows, drafts, strict=True)):
                counts = range(1, len(draft.ids) + 1)
                end = next((n for n in counts if ends(row, [*row.new_ids, *draft.ids[:n]])), None)
                target = Target(
                    row,
                    draft if end is None else draft.first(end),
                    end is not None,
                    logits[r, logits.shape[1] - len(draft.ids) - 1 :],
                    self.processors,
                    limits.whose(row.number),
                )
                verdict = self.verify(target)
                yield from self._steps(row, target, verdict, ends, traced=limits.trace)
                drafting.learn(r, verdict.guesses)
                if ends(row, row.new_ids) is None:
                    going.append(r)
            if not going:
                return
            if len(going) < len(rows):
                rows = [rows[r] for r in going]
                session.select(torch.tensor(going))
                drafting.select(going)

            session.rewind(torch.tensor([int(row.prefix.lengths) - 1 for row in rows]))  # the last id is not in it yet
            room = [limits.room(int(row.prefix.prompt_lengths), model.n_positions) - len(row.new_ids) for row in rows]
            drafts = drafting.propose(  # at most one id fewer than there is room for: the model adds one
                [row.prefix for row in rows], [min(self.most(), n - 1) for n in room], [row.chance for row in rows]
            )
            ids, n = ragged([[row.new_ids[-1], *draft.ids] for row, draft in zip(rows, drafts, strict=True)])
            logits = widen(session.extend(ids, n, keep=ids.shape[1]))  # (R, 1 + drafted, V)

    def _steps(
        self,
        row: _Row,
        target: Target,
        verdict: Verdict,
        ends: Callable[[_Row, Sequence[int]], FinishReason | None],
        *,
        traced: bool,
    ) -> Iterator[Step]:
        """The ids that a round gives, and the row with them."""
        round = target.round(verdict)
        row.prefix = target.prefix(verdict.accepted)
        if verdict.added is not None:
            row.prefix = row.prefix.append(verdict.added)
        for place, id in enumerate(round.ids):
            row.new_ids.append(id)
            stages, reason = target.stages(place), ends(row, row.new_ids)
            processed_logprob = float(target.logprobs(place)[id])
            model_logprob = processed_logprob
            if self.processors:
                model_logprob = float(stages[0].logits[0].double().log_softmax(dim=-1)[id])
            trace = record(stages, id, target.prefix(place), 0) if traced else None
            last = place == len(round.ids) - 1
            yield Step(
                row.number,
                (id,),
                (model_logprob,),
                (processed_logprob,),
                reason,
                trace,
                round=round if last else None,
            )
        row.states = target.states(len(round.ids) - 1)


class Drafted(Speculation):
    """Speculation with a draft of the user's choice.

    draft    a smaller language model with the same ids, `PromptLookup()`, or `SelfSpeculative(layers)`
    length   how many ids are drafted in a round
    """

    def __init__(self, *processors: Processor, draft: LanguageModel | Drafter, length: int = 4) -> None:
        super().__init__(*processors)
        as_drafter(draft)
        if not is_whole_number(length) or length < 1:
            raise ValueError(f"length is how many ids to draft in a round, at least 1; got {length!r}")
        self.draft = draft
        self.length = length

    def drafter(self) -> Drafter:
        return as_drafter(self.draft)

    def most(self) -> int:
        return self.length
