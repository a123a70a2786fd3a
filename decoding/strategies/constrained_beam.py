"""Beam search among the texts that have certain phrases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor

from ..core import Chance, FinishReason, Found, LanguageModel, Limits, Processor, Step
from ..search_tree import Fate
from ..tokenizer import Tokenizer
from .beam import Finished, attainable, check_beams, checked_length_penalty, length_adjusted
from .frontier import Expansion, Frontier, Partial, best_first, last_steps, new_tree, search_rows
from .phrases import NO_ID, Phrase, Phrases, Progress, alternatives, check_phrases
from .processed import Search

_DEAD = -1  # no bank: there is too little room left for the phrases


class ConstrainedBeamSearch(Search):
    """Constrained beam search: the best text that has all of certain phrases.

        score(x) = sum_t log p(x_t | x_<t) / T ** length_penalty     for texts x that have every phrase
        bank(x) = how many ids of the phrases x has
        at every step the `beams` are dealt out to the banks one at a time, the fullest bank first, round and round
        each bank keeps so many of its best extensions     (ties: the better parent, then the lower id)

    A phrase is a row of ids that has to appear among the new ids, one behind the other, anywhere; or a list of such
    rows, of which one has to appear. Phrases may overlap, in the text too: one id can serve several. Only a text that
    has all of them may end, with an end of its own or by length. It is set aside if it is among the `beams` best of its
    bank. Hypotheses that have too little room left for the phrases are dropped, so that a text is found wherever there
    is room for one, unless processors or stops are in its way. Without phrases this is `BeamSearch`.

    Banks are needed because a phrase costs probability when it is begun, and its reward, that the text may end, comes
    later: without them, hypotheses that put it off push out those that begin. Here a bank chooses among all extensions;
    in the paper only among the best ones of all, those that phrases ask for, and the best one of each hypothesis.
    transformers 4.55.4 leaves out the latter, so that phrases come last of all; it counts phrases in the prompt, misses
    one that begins where another attempt broke off, and returns texts that lack phrases when it has too few others.
    Ids are given out when the row has ended.
    Raises ValueError for parameters out of range, for processors that draw, for a row without room for the phrases,
    and where no text was found.
    Hokamp & Liu 2017, "Lexically Constrained Decoding for Sequence Generation Using Grid Beam Search",
    arXiv:1704.07138; Post & Vilar 2018, "Fast Lexically Constrained Decoding with Dynamic Beam Allocation for Neural
    Machine Translation", arXiv:1804.06609.
    """

    def __init__(
        self,
        *processors: Processor,
        phrases: Sequence[Sequence[int] | Sequence[Sequence[int]]],
        beams: int = 5,
        length_penalty: float = 0.0,
    ) -> None:
        super().__init__(*processors)
        check_beams(beams)
        self.phrases: tuple[Phrase, ...] = check_phrases(phrases)
        self.beams = beams
        self.length_penalty = checked_length_penalty(length_penalty)

    @classmethod
    def of_words(
        cls,
        words: Sequence[str],
        tokenizer: Tokenizer,
        *processors: Processor,
        beams: int = 5,
        length_penalty: float = 0.0,
    ) -> ConstrainedBeamSearch:
        """One for words: each as given or with a capital, with a space before it or without.

        Each of these forms is looked for as the tokenizer writes it. A longer word that begins with the
        same ids has the word, too: " cat" and "alog". Raises ValueError for an empty word.
        """
        lists = isinstance(words, Collection) and not isinstance(words, str)
        if not lists or not all(isinstance(word, str) and word.strip() for word in words):
            raise ValueError(f"words that a text has to have are a list of texts, none of them empty; got {words!r}")
        phrases = [forms_of(word, tokenizer) for word in words]
        return cls(*processors, phrases=phrases, beams=beams, length_penalty=length_penalty)

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        phrases = self._phrases(model, limits)
        frontier = Frontier(model, prompts, limits, self.processors, chance)
        for number in range(len(frontier.prompt_lengths)):
            self._check_room(number, frontier, phrases)
        yield from frontier.full_rows()
        rows = {hypothesis.row: _Row(self, hypothesis.row, frontier, phrases) for hypothesis in frontier.hypotheses}
        yield from search_rows(frontier, rows)

    def _phrases(self, model: LanguageModel, limits: Limits) -> Phrases:
        possible: list[Phrase] = []
        for phrase in self.phrases:
            rows = tuple(row for row in alternatives(phrase) if limits.eos_id not in row[:-1])
            if not rows:
                raise ValueError(f"no text has the phrase {phrase}: the id {limits.eos_id} in it ends a text")
            possible.append(rows)
        phrases = Phrases(possible)
        if phrases.ids and phrases.ids[-1] >= model.n_vocab:
            raise ValueError(f"a phrase has the id {phrases.ids[-1]}, and the vocabulary ends at {model.n_vocab - 1}")
        return phrases

    def _check_room(self, row: int, frontier: Frontier, phrases: Phrases) -> None:
        needed, room = phrases.shortest(phrases.start), frontier.room(row)
        if needed > room:
            raise ValueError(
                f"the phrases take at least {needed} new ids, and there is room for {room} "
                f"({frontier.limits.whose(row)}); allow more new ids, shorten the prompt, or take fewer phrases"
            )


def forms_of(word: str, tokenizer: Tokenizer) -> list[list[int]]:
    """The ids of a word as given and with a capital, each with a space before it and without."""
    word = word.strip()
    return [tokenizer.encode(space + form) for form in (word, word[:1].upper() + word[1:]) for space in (" ", "")]


class _Option(NamedTuple):
    """A possible extension."""

    h: int  # the number of its parent in the row
    id: int
    total: float
    rank: int  # in its bank
    reason: FinishReason | None


class _Row:
    """The search for one row's text."""

    def __init__(self, search: ConstrainedBeamSearch, number: int, frontier: Frontier, phrases: Phrases) -> None:
        self.search = search
        self.number = number
        self.frontier = frontier
        self.phrases = phrases
        self.tree = new_tree(frontier.limits)
        self.finished: list[Finished] = []  # best first, at most as many as there are beams
        self.going: list[Partial] = []  # best first
        self.parents: list[int] = []  # their places in the batch
        self.progress: list[Progress] = [phrases.start]  # of those that go on
        self.evaluations = 0

    def extend(self, expansion: Expansion, places: Sequence[int]) -> None:
        """Set aside what ends, and choose what goes on."""
        members = [self.frontier.hypotheses[place] for place in places]
        self.evaluations += len(places)
        totals = expansion.totals(places, [one.total for one in members])  # (h, V)
        missing = self._missing(totals, self.frontier.room(self.number) - len(members[0].ids) - 1)
        banks: dict[int, list[_Option]] = {}  # fullest first
        for bank in sorted(set(missing.unique().tolist()) - {_DEAD}):
            banks[bank] = self._best(totals.masked_fill(missing != bank, -torch.inf), members, whole=bank == 0)

        rounds = zip_longest(*([one for one in bank if one.reason is None] for bank in banks.values()))
        dealt = [one for turn in rounds for one in turn if one is not None][: self.search.beams]
        ends = [one for one in banks.get(0, []) if one.reason is not None and one.rank <= self.search.beams]
        nodes = self._draw(banks, {*dealt, *ends}, expansion, members, places)
        traced = self.tree is not None

        before = self.progress
        self.going, self.parents, self.progress = [], [], []
        for one in sorted(dealt, key=lambda one: (-one.total, one.h, one.id)):
            place, parent = places[one.h], members[one.h]
            self.going.append(expansion.child(place, one.id, parent, nodes.get(one, 0), traced=traced))
            self.parents.append(place)
            self.progress.append(self.phrases.advance(before[one.h], one.id))
        for one in ends:
            assert one.reason is not None
            child = expansion.child(places[one.h], one.id, members[one.h], nodes.get(one, 0), traced=traced)
            self.finished.append(Finished(child.finished(one.reason, self._score(child.total, members[one.h])), child))
        self.finished = sorted(self.finished, key=lambda one: one.order)[: self.search.beams]
        if self.finished:
            self.frontier.answered.add(self.number)
        if self._ended:
            for gone in self.going:
                if self.tree is not None:
                    self.tree[gone.node].fate = "abandoned"
            self.going, self.parents = [], []

    def _missing(self, totals: Tensor, room: int) -> Tensor:
        """How many ids of the phrases each extension lacks, (h, V); _DEAD where `room` more ids cannot hold them."""
        table = torch.empty(totals.shape, dtype=torch.int64, device=totals.device)
        for h, progress in enumerate(self.progress):
            after = [self.phrases.advance(progress, id) for id in (NO_ID, *self.phrases.ids)]
            other, *named = [
                self.phrases.missing(one) if self.phrases.shortest(one) <= room else _DEAD for one in after
            ]
            table[h] = other
            table[h, self.phrases.ids] = torch.tensor(named, dtype=torch.int64, device=totals.device)
        return table

    def _best(self, totals: Tensor, members: Sequence[Partial], *, whole: bool) -> list[_Option]:
        """The best extensions of a bank: 2 * beams, and as many more as it takes until `beams` of them go on.

        totals   (h, V), those of other banks -inf
        whole    these have all phrases, and may end
        """
        beams, room = self.search.beams, self.frontier.room(self.number)
        last = room == len(members[0].ids) + 1  # all that comes is a whole text
        options: list[_Option] = []
        going = 0
        for h, id in best_first(totals, 2 * beams):
            if len(options) >= 2 * beams and (last or going >= beams):
                break
            reason = self.frontier.finish_reason(self.number, (*members[h].ids, id))
            if reason is not None and not whole:
                continue
            options.append(_Option(h, id, float(totals[h, id]), len(options) + 1, reason))
            going += reason is None
        return options

    def _draw(
        self,
        banks: dict[int, list[_Option]],
        kept: set[_Option],
        expansion: Expansion,
        members: Sequence[Partial],
        places: Sequence[int],
    ) -> dict[_Option, int]:
        """Enter all of them into the tree; the numbers of those that are kept."""
        nodes: dict[_Option, int] = {}
        if self.tree is None:
            return nodes
        full = self.phrases.missing(self.phrases.start)
        for bank, options in banks.items():
            for one in options:
                fate: Fate = "pruned" if one not in kept else "extended" if one.reason is None else "finished"
                parent, logprob = members[one.h], float(expansion.logprobs[places[one.h], one.id])
                score, note = self._score(one.total, parent), f"bank {full - bank}"
                nodes[one] = self.tree.add(parent.node, one.id, logprob, score, one.rank, fate, one.reason, note)
        return nodes

    def _score(self, total: float, parent: Partial) -> float:
        return length_adjusted(total, len(parent.ids) + 1, self.search.length_penalty)

    @property
    def _ended(self) -> bool:
        """Whether nothing goes on, or nothing that does could change the result."""
        if len(self.finished) < self.search.beams or not self.going:
            return not self.going
        best, room = self.going[0], self.frontier.room(self.number)
        return attainable(best.total, len(best.ids), room, self.search.length_penalty) <= self.finished[-1].text.score

    def news(self) -> Iterator[Step]:
        """Nothing until the row has ended; then the text that won, and all others."""
        if self.going:
            return
        if not self.finished:
            raise ValueError(
                f"no text with all the phrases was found ({self.frontier.limits.whose(self.number)}): processors or "
                f"stops forbid what was tried; take more beams, allow more new ids, or leave some of them out"
            )
        winner = self.finished[0].path
        if self.tree is not None:
            self.tree[winner.node].fate = "won"
        found = Found(tuple(one.text for one in self.finished), self.evaluations, tree=self.tree)
        yield from last_steps(winner, 0, found)
