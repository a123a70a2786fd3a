"""Drafts by a second language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..combine.combined import check_language_model
from ..core import Chance, LanguageModel, Prefix, State, ragged, widen
from ..strategies.processed import blame, process
from .draft import Draft, DraftSession, DraftTask, one_row, shortened


@dataclass(frozen=True)
class ModelDraft:
    """Drafts id by id with another language model, smaller and faster than the one that judges them.

    It needs the same vocabulary. Where it has fewer positions it drafts nothing beyond them. It draws from its own
    distributions, which the processors reshape as they do the target's.
    """

    model: LanguageModel

    def __post_init__(self) -> None:
        check_language_model(self.model, "a draft")

    def start(self, task: DraftTask) -> DraftSession:
        if self.model.n_vocab != task.target.n_vocab:
            raise ValueError(
                f"a draft speaks of the same ids as the model it drafts for; got models of {self.model.n_vocab} and "
                f"{task.target.n_vocab} ids"
            )
        longest = max(int(prompt.lengths) for prompt in task.prompts)
        if longest > self.model.n_positions:
            raise ValueError(
                f"the draft's model has {self.model.n_positions} positions, and a prompt {longest} ids; shorten it, or "
                f"take another draft"
            )
        return _ModelDraftSession(self.model, task)


@dataclass
class _Row:
    """What the session knows of one row.

    fed      the ids that the model has taken
    states   what the processors remember before each step that may come again, by its number
    """

    fed: list[int]
    states: dict[int, list[State]]


class _ModelDraftSession:
    def __init__(self, model: LanguageModel, task: DraftTask) -> None:
        self._session = model.open()
        self._n_positions = model.n_positions
        self._processors = task.processors
        self._purpose = task.purpose
        rows = [one_row(prompt) for prompt in task.prompts]
        different = list(dict.fromkeys(map(tuple, rows)))  # several samples of a prompt go through the model once
        logits = widen(self._session.extend(*ragged(different))[:, -1])  # (different, V)
        places = [different.index(tuple(row)) for row in rows]  # (R,)
        self._session.select(torch.tensor(places))
        self._rows = [_Row(row, {0: [processor.start(1) for processor in task.processors]}) for row in rows]
        for row, place, prompt, chance in zip(self._rows, places, task.prompts, task.chances, strict=True):
            self._process(row, logits[place : place + 1], prompt, chance)

    def learn(self, row: int, guesses: Sequence[int]) -> None:
        """It has an opinion of its own."""

    def select(self, rows: Sequence[int]) -> None:
        self._rows = [self._rows[row] for row in rows]
        self._session.select(torch.tensor(rows, dtype=torch.int64))

    def propose(self, prefixes: Sequence[Prefix], most: Sequence[int], chances: Sequence[Chance]) -> list[Draft]:
        now = list(prefixes)
        ids: list[list[int]] = [[] for _ in now]
        logprobs: list[list[Tensor]] = [[] for _ in now]

        def may_go_on(r: int) -> bool:
            return (
                len(ids[r]) < most[r]
                and int(now[r].lengths) <= self._n_positions
                and (not ids[r] or ids[r][-1] != now[r].eos_id)
            )

        going = [r for r in range(len(now)) if may_go_on(r)]
        new = {r: self._go_back(self._rows[r], now[r]) for r in going}
        self._session.rewind(torch.tensor([len(row.fed) for row in self._rows]))
        while new:
            processed = self._feed(new, now, chances)
            for r, logits in processed.items():  # (1, V)
                id = chances[r].choose(logits, self._purpose, now[r])  # (1,)
                ids[r].append(int(id))
                logprobs[r].append(logits[0].double().log_softmax(dim=-1))  # (V,)
                now[r] = now[r].append(id)
            new = {r: ids[r][-1:] for r in processed if may_go_on(r)}  # the others have nothing more to say
        return [Draft(tuple(row), tuple(parts)) for row, parts in zip(ids, logprobs, strict=True)]

    def _go_back(self, row: _Row, prefix: Prefix) -> list[int]:
        """Forget what was rejected; -> the ids that the model has not taken yet, at least the last."""
        ids = one_row(prefix)
        same = next((n for n, (one, other) in enumerate(zip(row.fed, ids, strict=False)) if one != other), len(row.fed))
        del row.fed[min(same, len(ids) - 1) :]
        next_step = len(row.fed) + 1 - int(prefix.prompt_lengths)
        row.states = {step: states for step, states in row.states.items() if step >= next_step}  # earlier ones are over
        return ids[len(row.fed) :]

    def _feed(
        self, new: Mapping[int, list[int]], prefixes: Sequence[Prefix], chances: Sequence[Chance]
    ) -> dict[int, Tensor]:
        """Take more ids in some rows; -> what the processors leave behind their last, (1, V), where it is anything."""
        ids, n = ragged([new.get(r, []) for r in range(len(self._rows))])
        logits = widen(self._session.extend(ids, n, keep=ids.shape[1]))  # (R, T, V)
        processed: dict[int, Tensor] = {}
        for r, some in new.items():
            row, last = self._rows[r], None
            for place, id in enumerate(some):
                row.fed.append(id)
                prefix = shortened(prefixes[r], len(row.fed))
                last = self._process(row, logits[r : r + 1, place - len(some)], prefix, chances[r])
            if last is not None:
                processed[r] = last
        return processed

    def _process(self, row: _Row, logits: Tensor, prefix: Prefix, chance: Chance) -> Tensor | None:
        """Let the processors act, and keep what they remember; -> logits (1, V), or None: no distribution is left."""
        step = int(prefix.steps)
        stages, after = process(logits, prefix, self._processors, row.states[step], chance)
        row.states[step + 1] = after
        return None if blame(stages) else stages[-1].logits
