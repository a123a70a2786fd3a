"""The likeliest text of all, found without looking at all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import (
    Chance,
    FinishReason,
    Found,
    LanguageModel,
    Limits,
    Prefix,
    Processor,
    State,
    Step,
    is_whole_number,
    ragged,
    widen,
)
from ..search_tree import Fate
from .beam import Finished, attainable, checked_length_penalty, length_adjusted
from .frontier import Expansion, Partial, best_first, last_steps, new_tree
from .processed import Fault, Search, blame, process

_CHILDREN = 8  # that are probably looked at


class ExactSearch(Search):
    """Exact search: the text with the highest score of all that can be written. Depth first, with branch and bound.

        argmax_x  score(x),     score(x) = sum_t log p(x_t | x_<t) / T ** length_penalty, as in `BeamSearch`
        set aside the text that ends here, which costs nothing; go on with the likeliest other child of x;
        leave out each that has  bound(child) < score of the best text so far
        bound(x) = sum_t log p(x_t | x_<t) / L ** length_penalty,     no text that begins with x scores more
            L: the most ids there may be where length_penalty > 0, else one more than x has

    Of equal scores the shorter text wins, then the one with lower ids. The first descent is greedy decoding, so that
    the result is never worse. Without a length penalty nothing is extended that is less likely than the greedy text,
    and if that has probability P, at most 1 / P beginnings of each length are not: the search takes at most T / P
    distributions, for texts of up to T ids. That is quick for a few ids, and hopeless for long open-ended texts; a
    length penalty above 0 weakens the bound. What is likeliest need not be good: with an `eos_id` it is often very
    short, or empty.

    budget   how many distributions of a next id may be asked for, for each row; None for as many as it takes. Whatever
             it is, the first descent is finished, and there is a text. Where the budget ends the search, this is the
             best so far, and `search.bound` the highest score that any text may have. Where it does not,
             `search.bound` equals the score: no text has a higher one

    `candidates` are the winner and before it, in time, the texts that were the best so far, the last of them first:
    not the second best of all. In the tree the score of what is no whole text is its bound. The ids come at the end.
    Raises ValueError for parameters out of range, for processors that draw, and where processors leave no text at all.
    Stahlberg & Byrne 2019, "On NMT Search Errors and Model Errors: Cat Got Your Tongue?", arXiv:1908.10090; Meister,
    Vieira & Cotterell 2020, "Best-First Beam Search", arXiv:2007.03909.
    """

    def __init__(self, *processors: Processor, length_penalty: float = 0.0, budget: int | None = None) -> None:
        super().__init__(*processors)
        if budget is not None and (not is_whole_number(budget) or budget < 1):
            raise ValueError(f"budget is a number of distributions, at least 1, or None; got {budget!r}")
        self.length_penalty = checked_length_penalty(length_penalty)
        self.budget = budget

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        for row in range(len(prompts) * limits.num_samples):
            yield from _Row(self, row, model, prompts[row // limits.num_samples], limits, chance).steps()


@dataclass
class _Place:
    """A hypothesis, and what it takes to look at its children, whenever that is."""

    hypothesis: Partial
    expansion: Expansion  # of this one
    states: list[State]  # what the processors remember behind it: values, which nothing changes
    children: Iterator[tuple[int, int]]  # (rank, id), best first, those that were not looked at


class _Row:
    """The search for one row's text. The session has a single row, which goes forward and back."""

    def __init__(
        self,
        search: ExactSearch,
        number: int,
        model: LanguageModel,
        prompt: Sequence[int],
        limits: Limits,
        chance: Chance,
    ) -> None:
        self.search = search
        self.number = number
        self.prompt = prompt
        self.limits = limits
        self.chance = chance
        self.n_positions = model.n_positions
        self.room = limits.room(len(prompt), model.n_positions)
        self.session = model.open()
        self.tree = new_tree(limits)
        self.bests: list[Finished] = []  # each was the best text so far, the last is
        self.descended = False  # whether it has ever gone back
        self.evaluations = 0
        self.dead_end: str | None = None  # who left the first hypothesis without an id

    def steps(self) -> Iterator[Step]:
        """All steps of the row, when it is through."""
        full = self._finish_reason(())
        if full is not None:
            text = Partial(self.number).finished(full, 0.0)
            yield Step(self.number, (), (), (), full, found=Found((text,), 0))
            return
        bound = self._search()
        winner = self.bests[-1]
        if self.tree is not None:
            self.tree[winner.path.node].fate = "won"
        candidates = tuple(one.text for one in reversed(self.bests))
        yield from last_steps(winner.path, 0, Found(candidates, self.evaluations, bound, self.tree))

    def _search(self) -> float:
        """Find the best text, and return the highest score that any may have."""
        bounds: list[float] = []  # of what the end of the budget left out
        places = [self._root()]  # each a child of the one before
        while places:
            child = self._next_child(places[-1])
            if child is None:
                places.pop()
                self.descended = True
            elif not self._spent:
                places.append(self._visit(child, places[-1]))
            else:  # all that is behind it has no higher total, but one that a stop string ends would be as long as it
                bounds.append(self._bound(child.total, len(child.ids) - 1))
                if self.tree is not None:
                    self.tree[child.node].fate = "abandoned"
                places.pop()
        if not self.bests:
            raise ValueError(self.dead_end)
        return max([self.bests[-1].text.score, *bounds])

    @property
    def _spent(self) -> bool:
        budget = self.search.budget
        return budget is not None and self.evaluations >= budget and self.descended and bool(self.bests)

    def _next_child(self, place: _Place) -> Partial | None:
        """The best child that was not looked at, goes on, and may still win; None where there is none."""
        parent = place.hypothesis
        for rank, id in place.children:
            ids = (*parent.ids, id)
            total = parent.total + float(place.expansion.logprobs[0, id])
            # totals fall from child to child: what none of this total reaches, none of the others does
            most = self._bound(total, len(parent.ids))
            if self.bests and most < self.bests[-1].text.score:
                self._enter(place, id, most, rank, "pruned", note="and all that are less likely")
                return None
            reason = self._finish_reason(ids)
            if reason is not None:
                self._finish(place, id, total, rank, reason)
                continue
            bound = self._bound(total, len(ids))
            # a beginning sorts before all that begins with it: no text through this child has an earlier order
            wins = not self.bests or (-bound, len(ids) + 1, ids) < self.bests[-1].order
            node = self._enter(place, id, bound, rank, "extended" if wins else "pruned")
            if wins:
                return place.expansion.child(0, id, parent, node, traced=self.tree is not None)
        return None

    def _finish(self, place: _Place, id: int, total: float, rank: int, reason: FinishReason) -> None:
        """Set a whole text aside."""
        length = len(place.hypothesis.ids) + 1
        score = length_adjusted(total, length, self.search.length_penalty)
        node = self._enter(place, id, score, rank, "finished", reason)
        path = place.expansion.child(0, id, place.hypothesis, node, traced=self.tree is not None)
        text = Finished(path.finished(reason, score), path)
        if not self.bests or text.order < self.bests[-1].order:
            self.bests.append(text)

    def _root(self) -> _Place:
        """The prompt."""
        logits = widen(self.session.extend(*ragged([self.prompt]))[:, -1])  # (1, V)
        sample = self.number % self.limits.num_samples
        prefix = Prefix.of([self.prompt], [sample], self.limits.eos_id, logits.device)
        states = [processor.start(1) for processor in self.search.processors]
        return self._place(Partial(self.number), logits, prefix, states)

    def _visit(self, child: Partial, parent: _Place) -> _Place:
        """Ask what may follow a child."""
        before = len(self.prompt) + len(child.ids) - 1
        self.session.rewind(torch.tensor([before]))  # going back costs nothing, and going on no more than the new id
        id = torch.tensor([child.ids[-1]])  # (1,)
        logits = widen(self.session.extend(id[:, None])[:, -1])  # (1, V)
        prefix = parent.expansion.before
        return self._place(child, logits, prefix.append(id.to(prefix.ids.device)), parent.states)

    def _place(self, hypothesis: Partial, logits: Tensor, prefix: Prefix, states: Sequence[State]) -> _Place:
        self.evaluations += 1
        stages, after = process(logits, prefix, self.search.processors, states, self.chance)
        expansion = Expansion.of(stages, prefix)
        fault = blame(stages)
        if fault is not None:
            self._note(fault, len(hypothesis.ids))
            expansion = expansion._replace(logprobs=torch.full_like(expansion.logprobs, -torch.inf))
        (totals,) = expansion.totals([0], [hypothesis.total])  # (V,)
        ranked = enumerate((id for _, id in best_first(totals[None], _CHILDREN)), start=1)
        eos_id = self.limits.eos_id
        place = _Place(hypothesis, expansion, after, ((rank, id) for rank, id in ranked if id != eos_id))
        if eos_id is not None and 0 <= eos_id < len(totals) and float(totals[eos_id]) > -torch.inf:
            better = (totals > totals[eos_id]).sum() + (totals[:eos_id] == totals[eos_id]).sum()
            self._finish(place, eos_id, float(totals[eos_id]), 1 + int(better), "eos")
        return place

    def _note(self, fault: Fault, step: int) -> None:
        """A hypothesis to which processors left no id has no children. Logits that are no numbers are an error."""
        sentence = f"{fault.sentence} ({self.limits.whose(self.number)}, step {step})"
        if not fault.emptied:
            raise ValueError(sentence)
        self.dead_end = self.dead_end or sentence

    def _enter(
        self,
        place: _Place,
        id: int,
        score: float,
        rank: int,
        fate: Fate,
        reason: FinishReason | None = None,
        note: str = "",
    ) -> int:
        """Enter a child in the tree, where there is one, and return its number."""
        if self.tree is None:
            return 0
        logprob = float(place.expansion.logprobs[0, id])
        return self.tree.add(place.hypothesis.node, id, logprob, score, rank, fate, reason, note)

    def _finish_reason(self, ids: Sequence[int]) -> FinishReason | None:
        return self.limits.finish_reason(ids, len(self.prompt), self.n_positions)

    def _bound(self, total: float, length: int) -> float:
        """The highest score of any text that begins with `length` ids of this total, and has at least one more."""
        return attainable(total, length, self.room, self.search.length_penalty)
