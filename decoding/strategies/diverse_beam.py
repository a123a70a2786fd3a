"""Several beams at once, each kept away from what the ones before it choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..core import Chance, Found, Hypothesis, LanguageModel, Limits, Processor, Step, is_number, is_whole_number
from ..search_tree import Fate, SearchTree
from .beam import attainable, check_beams, checked_length_penalty, length_adjusted
from .frontier import Expansion, Frontier, Partial, best_first, last_steps, new_tree, search_rows
from .processed import Search


class DiverseBeamSearch(Search):
    """Diverse beam search: groups of beams, and what one group chooses costs the groups after it.

        group g keeps the beams / groups best extensions by
            (sum_t log p(x_t | x_<t) - penalty * n_t) / T ** length_penalty
        n_t = how often the groups before g chose the id x_t at step t     (Hamming diversity)

    At every step the groups choose one after another. An extension is chosen when it goes on and when it is set aside
    as a text: an end costs later groups, too. What a hypothesis has paid stays in its sum as long as it competes in
    its group. The first group pays nothing: it is `BeamSearch` of its width, and so is one group alone. Without a
    penalty all groups are.

    The penalty steers the search, and does not judge the texts: their `score` is sum_t log p / T ** length_penalty, as
    in `BeamSearch`, which can be recomputed from the text. `candidates` are the texts of all groups, ordered by it; one
    that several groups found is there once. So a later group may win.

    A group goes on until its texts, and those of all groups after it, cannot change any more: if it stopped earlier,
    later groups would pay less. In transformers 4.55.4 it does stop, an end costs nothing, and the scores have the
    penalties in them; without ends the texts are the same. Ids are given out when the row has ended.
    Raises ValueError for parameters out of range, for beams that do not divide into the groups, and for processors that
    draw.
    Vijayakumar et al. 2016, "Diverse Beam Search: Decoding Diverse Solutions from Neural Sequence Models",
    arXiv:1610.02424.
    """

    def __init__(
        self,
        *processors: Processor,
        groups: int = 5,
        beams: int = 5,
        penalty: float = 0.5,
        length_penalty: float = 0.0,
    ) -> None:
        super().__init__(*processors)
        if not is_whole_number(groups) or groups < 1:
            raise ValueError(f"groups is how many beams are kept apart, at least 1; got {groups!r}")
        check_beams(beams)
        if beams % groups:
            raise ValueError(
                f"beams counts the hypotheses of all groups, a multiple of groups; got {beams!r} for {groups!r} groups"
            )
        if not is_number(penalty) or not 0 <= penalty < float("inf"):
            raise ValueError(f"a diversity penalty is a log-probability, at least 0 and finite; got {penalty!r}")
        self.groups = groups
        self.beams = beams
        self.penalty = penalty
        self.length_penalty = checked_length_penalty(length_penalty)

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        frontier = Frontier(model, prompts, limits, self.processors, chance)
        yield from frontier.full_rows()
        rows = {hypothesis.row: _Row(self, hypothesis.row, frontier) for hypothesis in frontier.hypotheses}
        yield from search_rows(frontier, rows)


class _Member(NamedTuple):
    """A hypothesis in its group: how it came about, and what it has paid in all."""

    path: Partial
    paid: float = 0.0

    @property
    def total(self) -> float:
        return self.path.total - self.paid


class _Finished(NamedTuple):
    """A whole text, how it came about, and what its group ranks it by."""

    text: Hypothesis
    path: Partial
    objective: float

    @property
    def length_and_ids(self) -> tuple[int, tuple[int, ...]]:
        """Decides between equals: the shorter, then the one with lower ids."""
        return len(self.text.ids), self.text.ids


class _Group:
    """One group's part of the search for one row's text."""

    def __init__(self, search: DiverseBeamSearch, number: int, row: int, frontier: Frontier) -> None:
        self.search = search
        self.frontier = frontier
        self.row = row
        self.width = search.beams // search.groups
        self.note = f"group {number}"
        self.finished: list[_Finished] = []  # best first, at most its width
        self.going: list[_Member] = []  # best first
        self.parents: list[int] = []  # their places in the batch

    def extend(self, expansion: Expansion, places: Sequence[int], counts: Tensor, tree: SearchTree | None) -> list[int]:
        """Set aside what ends, and choose what goes on; the ids that it chose.

        places   of its hypotheses in the batch
        counts   how often earlier groups have chosen each id in this step, (V,)
        """
        members = self.going
        penalties = self.search.penalty * counts  # (V,)
        totals = expansion.totals(places, [one.path.total for one in members])  # (h, V)
        totals = totals - totals.new_tensor([one.paid for one in members])[:, None] - penalties
        last = self.frontier.room(self.row) == len(members[0].path.ids) + 1  # all that comes is a whole text
        self.going, self.parents = [], []
        chosen: list[int] = []
        for rank, (h, id) in enumerate(best_first(totals, 2 * self.width), start=1):
            if rank > 2 * self.width and (last or len(self.going) == self.width):
                break
            parent = members[h].path
            reason = self.frontier.finish_reason(self.row, (*parent.ids, id))
            stays = len(self.going) < self.width if reason is None else rank <= self.width
            objective, node = self._adjusted(float(totals[h, id]), parent), 0
            if tree is not None:
                fate: Fate = "pruned" if not stays else "extended" if reason is None else "finished"
                logprob = float(expansion.logprobs[places[h], id])
                node = tree.add(parent.node, id, logprob, objective, rank, fate, reason, self.note)
            if not stays:
                continue
            chosen.append(id)
            child = expansion.child(places[h], id, parent, node, traced=tree is not None)
            if reason is None:
                self.going.append(_Member(child, members[h].paid + float(penalties[id])))
                self.parents.append(places[h])
            else:
                text = child.finished(reason, self._adjusted(child.total, parent))
                self.finished.append(_Finished(text, child, objective))
        self.finished = sorted(self.finished, key=lambda one: (-one.objective, *one.length_and_ids))[: self.width]
        return chosen

    def _adjusted(self, total: float, parent: Partial) -> float:
        return length_adjusted(total, len(parent.ids) + 1, self.search.length_penalty)

    @property
    def settled(self) -> bool:
        """Whether nothing goes on, or nothing that does could change its texts: a sum never rises."""
        if not self.going:
            return True
        if len(self.finished) < self.width:
            return False
        best, room = self.going[0], self.frontier.room(self.row)
        bound = attainable(best.total, len(best.path.ids), room, self.search.length_penalty)
        return bound <= self.finished[-1].objective

    def stop(self, tree: SearchTree | None) -> None:
        """Nothing of it goes on."""
        if tree is not None:
            for one in self.going:
                tree[one.path.node].fate = "abandoned"
        self.going, self.parents = [], []


class _Row:
    """The search for one row's text."""

    def __init__(self, search: DiverseBeamSearch, number: int, frontier: Frontier) -> None:
        self.number = number
        self.frontier = frontier
        self.tree = new_tree(frontier.limits)
        self.groups = [_Group(search, n + 1, number, frontier) for n in range(search.groups)]
        for group in self.groups:
            group.going = [_Member(Partial(number))]
        self.going: list[Partial] = []  # of all groups, one group after another
        self.parents: list[int] = []  # their places in the batch
        self.evaluations = 0

    def extend(self, expansion: Expansion, places: Sequence[int]) -> None:
        """Let each group choose, the first one first. Those that are settled stop, from the last one backwards."""
        counts = torch.zeros_like(expansion.logprobs[0])  # (V,)
        begin = 0
        for group in self.groups:
            if not group.going:
                continue
            end = begin + len(group.going)
            mine = places[begin:end] if self.evaluations else places  # at first all have the prompt
            for id in group.extend(expansion, mine, counts, self.tree):
                counts[id] += 1
            begin = end
        self.evaluations += len(places)
        for group in reversed(self.groups):
            if not group.settled:
                break
            group.stop(self.tree)
        if any(group.finished for group in self.groups):
            self.frontier.answered.add(self.number)
        self.going = [one.path for group in self.groups for one in group.going]
        self.parents = [place for group in self.groups for place in group.parents]

    def news(self) -> Iterator[Step]:
        """Nothing until the row has ended; then the text that won, and all others."""
        if self.going:
            return
        found: dict[tuple[int, ...], _Finished] = {}
        for group in self.groups:
            for one in group.finished:
                found.setdefault(one.text.ids, one)
        ordered = sorted(found.values(), key=lambda one: (-one.text.score, *one.length_and_ids))
        if self.tree is not None:
            self.tree[ordered[0].path.node].fate = "won"
        texts = Found(tuple(one.text for one in ordered), self.evaluations, tree=self.tree)
        yield from last_steps(ordered[0].path, 0, texts)
