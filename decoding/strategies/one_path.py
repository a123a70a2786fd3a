"""The loop of every strategy that follows one path and never looks back: one id a row, one step after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import (
    Chance,
    FinishReason,
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
from ..trace import record
from .processed import blame, process


@dataclass
class _Batch:
    """The rows that are still running, and all that goes with them when some leave."""

    session: Session
    rows: list[int]  # the number of each, see Step.row
    prefix: Prefix
    states: list[State]  # one a processor

    def select(self, kept: Sequence[int]) -> None:
        if len(kept) == len(self.rows):
            return
        numbers = torch.tensor(kept, dtype=torch.int64)
        self.session.select(numbers)
        numbers = numbers.to(self.prefix.ids.device)
        self.rows = [self.rows[r] for r in kept]
        self.prefix = self.prefix.select(numbers)
        self.states = [tuple(part[numbers.to(part.device)] for part in state) for state in self.states]


def one_path(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    limits: Limits,
    chance: Chance,
    processors: Sequence[Processor],
    choose: Callable[[Tensor, Prefix], Tensor],
) -> Iterator[Step]:
    """Extend every prompt by the ids that `choose` takes from its processed logits, (R, V) -> (R,), until it ends.

    Each prompt goes through the model once, however many samples are made of it. Rows that have ended leave the batch.
    Raises ValueError, naming culprit and row, where processors leave no id or logits are not numbers.
    """
    session = model.open()
    logits = widen(session.extend(*ragged(prompts))[:, -1])  # (prompts, V): behind each prompt's last id
    owners = [prompt for prompt in range(len(prompts)) for _ in range(limits.num_samples)]  # (R,)
    samples = list(range(limits.num_samples)) * len(prompts)  # (R,)
    session.select(torch.tensor(owners))
    logits = logits[owners]  # (R, V)

    batch = _Batch(
        session,
        rows=list(range(len(owners))),
        prefix=Prefix.of([prompts[owner] for owner in owners], samples, limits.eos_id, logits.device),
        states=[processor.start(len(owners)) for processor in processors],
    )
    new_ids: list[list[int]] = [[] for _ in owners]

    def ends(row: int) -> FinishReason | None:
        return limits.finish_reason(new_ids[row], len(prompts[owners[row]]), model.n_positions)

    staying = [row for row in batch.rows if ends(row) is None]
    yield from (Step(row, (), (), (), ends(row)) for row in batch.rows if ends(row))  # a prompt may leave no room
    batch.select(staying)
    logits = logits[staying]

    while batch.rows:
        stages, batch.states = process(logits, batch.prefix, processors, batch.states, chance)
        fault = blame(stages)
        if fault is not None:
            row = batch.rows[fault.row]
            raise ValueError(f"{fault.sentence} ({limits.whose(row)}, step {len(new_ids[row])})")
        processed = stages[-1].logits  # (R, V)
        chosen = choose(processed, batch.prefix)  # (R,)
        model_logprobs = _logprobs(stages[0].logits, chosen)
        processed_logprobs = _logprobs(processed, chosen) if processors else model_logprobs
        before = batch.prefix
        batch.prefix = before.append(chosen)

        staying = []
        for r, (row, id) in enumerate(zip(batch.rows, chosen.tolist(), strict=True)):
            new_ids[row].append(id)
            reason = ends(row)
            if reason is None:
                staying.append(r)
            trace = record(stages, id, before, r) if limits.trace else None
            yield Step(row, (id,), (model_logprobs[r],), (processed_logprobs[r],), reason, trace)

        batch.select(staying)
        if staying:
            if len(staying) < len(chosen):
                chosen = chosen[staying]
            logits = widen(session.extend(chosen[:, None])[:, -1])  # (R, V)


def _logprobs(logits: Tensor, ids: Tensor) -> list[float]:
    """Natural logarithm of the probability of ids (R,) under logits (R, V)."""
    # in float64: float32 would lose the tail of 50,257 small numbers, and be off by up to 1e-4
    return logits.double().log_softmax(dim=-1).gather(-1, ids[:, None])[:, 0].tolist()
