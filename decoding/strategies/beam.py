"""Several hypotheses at once, the best of them kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from ..core import Chance, Found, Hypothesis, LanguageModel, Limits, Processor, Step, is_number, is_whole_number
from ..search_tree import Fate
from .frontier import (
    Expansion,
    Frontier,
    Partial,
    best_first,
    last_steps,
    new_tree,
    search_rows,
    shared_beginning,
    steps_of,
)
from .processed import Search

Stopping = Literal["optimal", "first", "exhaust"]


class BeamSearch(Search):
    """Beam search: at every step extend the best hypotheses by every id, and keep the best of what comes out.

        score(x) = sum_t log p(x_t | x_<t) / T ** length_penalty,     T ids, the end of the text among them
        keep the `beams` best extensions that go on     (ties: the better parent, then the lower id)

    p is what the processors leave, renormalised, so that a score can be recomputed from the text. An extension that
    ends the text is set aside if it is among the `beams` best of all; the winner is the best of those that were set
    aside. length_penalty = 0 is the plain log-probability, of which longer texts have less; above 0 it favours longer
    texts, below 0 shorter ones.

    stopping   "optimal": when the `beams` best texts cannot change any more. Nothing that this search would find is
               lost. "first": with the first text that ends. "exhaust": when nothing is left to extend

    Width 1 without a length penalty is greedy decoding. A wider beam need not find a likelier text, and none promises
    the likeliest: `ExactSearch` does. Ids are given out as soon as all hypotheses that can still win agree on them. A
    hypothesis to which processors leave no id goes; a row that has neither another nor a text is an error.
    Raises ValueError for parameters out of range, and for processors that draw.
    Lowerre 1976, "The Harpy Speech Recognition System"; Huang, Zhao & Ma 2018, "When to Finish? Optimal Beam Search for
    Neural Text Generation", arXiv:1809.00069.
    """

    def __init__(
        self, *processors: Processor, beams: int = 5, length_penalty: float = 0.0, stopping: Stopping = "optimal"
    ) -> None:
        super().__init__(*processors)
        check_beams(beams)
        if stopping not in get_args(Stopping):
            raise ValueError(f"stopping is one of {', '.join(map(repr, get_args(Stopping)))}; got {stopping!r}")
        self.beams = beams
        self.length_penalty = checked_length_penalty(length_penalty)
        self.stopping: Stopping = stopping

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        frontier = Frontier(model, prompts, limits, self.processors, chance)
        yield from frontier.full_rows()
        rows = {hypothesis.row: _Row(self, hypothesis.row, frontier) for hypothesis in frontier.hypotheses}
        yield from search_rows(frontier, rows)


def check_beams(beams: int) -> None:
    """Raise ValueError for what is no width."""
    if not is_whole_number(beams) or beams < 1:
        raise ValueError(f"beams is a number of hypotheses, at least 1; got {beams!r}")


def checked_length_penalty(length_penalty: float) -> float:
    """The exponent as a float of Python: numpy's may be narrower, or whole. Raises ValueError for what is none."""
    if not is_number(length_penalty) or not -100.0 <= length_penalty <= 100.0:
        raise ValueError(f"a length penalty is an exponent from -100 to 100, 0 for none; got {length_penalty!r}")
    return float(length_penalty)


def length_adjusted(total: float, length: int, length_penalty: float) -> float:
    """The score of a text of `length` ids whose log-probabilities add up to `total`."""
    return total / length**length_penalty


def attainable(total: float, length: int, room: int, length_penalty: float) -> float:
    """The best score that any extension of a hypothesis can have: no id adds to `total`, which is at most 0.

    length   how many ids the hypothesis has
    room     how many it may have at most
    """
    return length_adjusted(total, room if length_penalty > 0 else length + 1, length_penalty)


class Finished(NamedTuple):
    """A whole text, and how it came about."""

    text: Hypothesis
    path: Partial

    @property
    def order(self) -> tuple[float, int, tuple[int, ...]]:
        """Sorts the best first; of equals the shorter, then the one with lower ids."""
        return -self.text.score, len(self.text.ids), self.text.ids


class _Row:
    """The search for one row's text."""

    def __init__(self, search: BeamSearch, number: int, frontier: Frontier) -> None:
        self.search = search
        self.number = number
        self.frontier = frontier
        self.tree = new_tree(frontier.limits)
        self.finished: list[Finished] = []  # best first, at most as many as there are beams
        self.going: list[Partial] = []  # best first
        self.parents: list[int] = []  # their places in the batch
        self.given = 0  # how many ids of the text have been given out
        self.evaluations = 0

    def extend(self, expansion: Expansion, places: Sequence[int]) -> None:
        """Set aside what ends, and choose what goes on."""
        beams, hypotheses = self.search.beams, self.frontier.hypotheses
        self.evaluations += len(places)
        totals = expansion.totals(places, [hypotheses[place].total for place in places])  # (h, V)
        last = self.frontier.room(self.number) == len(hypotheses[places[0]].ids) + 1  # all that comes is a whole text
        self.going, self.parents = [], []
        for rank, (h, id) in enumerate(best_first(totals, 2 * beams), start=1):
            if rank > 2 * beams and (last or len(self.going) == beams):
                break
            place, parent = places[h], hypotheses[places[h]]
            reason = self.frontier.finish_reason(self.number, (*parent.ids, id))
            stays = len(self.going) < beams if reason is None else rank <= beams
            node = 0
            if self.tree is not None:
                fate: Fate = "pruned" if not stays else "extended" if reason is None else "finished"
                logprob, score = float(expansion.logprobs[place, id]), self._score(float(totals[h, id]), parent)
                node = self.tree.add(parent.node, id, logprob, score, rank, fate, reason)
            if not stays:
                continue
            child = expansion.child(place, id, parent, node, traced=self.tree is not None)
            if reason is None:
                self.going.append(child)
                self.parents.append(place)
            else:
                self.finished.append(Finished(child.finished(reason, self._score(child.total, parent)), child))
        self.finished = sorted(self.finished, key=lambda one: one.order)[:beams]
        if self.finished:
            self.frontier.answered.add(self.number)

    def _score(self, total: float, parent: Partial) -> float:
        return length_adjusted(total, len(parent.ids) + 1, self.search.length_penalty)

    @property
    def ended(self) -> bool:
        """Whether nothing goes on, or nothing that does could change the result."""
        if not self.going or (self.finished and self.search.stopping == "first"):
            return True
        if self.search.stopping == "exhaust" or len(self.finished) < self.search.beams:
            return False
        return self._attainable(self.going[0]) <= self.finished[-1].text.score

    def _attainable(self, hypothesis: Partial) -> float:
        room = self.frontier.room(self.number)
        return attainable(hypothesis.total, len(hypothesis.ids), room, self.search.length_penalty)

    def news(self) -> Iterator[Step]:
        """The ids that are certain now and were not before; where the row has ended, all that are left."""
        if self.ended:
            yield from self._end()
            return
        rivals = [one.ids for one in self.going]
        if self.finished:
            best = self.finished[0]
            rivals = [one.ids for one in self.going if self._attainable(one) > best.text.score]
            rivals.append(best.text.ids[:-1])  # its last id ends the row, and goes out when the row ends
        certain = shared_beginning(rivals)
        path = self.finished[0].path if self.finished else self.going[0]
        yield from steps_of(path, self.given, certain)
        self.given = certain  # it never falls: whatever can win later descends from what can win now

    def _end(self) -> Iterator[Step]:
        winner = self.finished[0]
        if self.tree is not None:
            for one in self.going:
                self.tree[one.node].fate = "abandoned"
            self.tree[winner.path.node].fate = "won"
        self.going, self.parents = [], []
        found = Found(tuple(one.text for one in self.finished), self.evaluations, tree=self.tree)
        yield from last_steps(winner.path, self.given, found)
