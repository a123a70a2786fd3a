"""Beam search as the library transformers does it, so that what was published with it can be matched.

Where it differs from `BeamSearch`, and why one would not want that:

- Processors act on log-probabilities, and what they leave is summed as it is, not renormalised. Whatever they remove is
  lost to the score, which is then the probability of nothing. As log-probabilities are never positive, a repetition
  penalty, which divides what is positive, only ever multiplies. And where `Force` leaves one id its log-probability,
  forced_eos_token_id gives it 0.
- The score is divided by the length, unless one says otherwise: length_penalty=1 favours longer texts.
- early_stopping=False, the default, stops as if nothing could gain by growing longer. With a length penalty above 0
  that is not so, and better texts are lost. True stops with the first texts that end, as many as there are beams. Only
  "never" has a bound, and that only where no processor makes a log-probability positive, as `LogitBias` can.
- -1e9 stands for nothing. At first the beams besides the first are copies of the prompt at -1e9, and what has ended
  goes on with 1e9 less. Where ids are few (processors that leave fewer than two for each beam, a tiny vocabulary, stop
  strings that many hypotheses complete at once) such fillers are extended and returned: twice the same text, or one
  that goes on behind its end. And a text whose own score is below -1e9, as length_penalty=-6 can make it, is none.
- Sums are float32: log-probabilities near -100 that differ by less than 8e-6 are equal. Ties fall as `torch.topk` lets
  them fall, which is not always to the better parent and the lower id.

With early_stopping="never", without processors, and where there are ids enough, the two find the same texts.

2 * beams extensions are looked at here, (1 + n) * beams there for a model with n ids that end a text. Where it finds
fewer texts than it is asked for transformers adds empty ones, or beginnings, at -1e9: they are left out. And with
num_beams=1 it does not search, but decodes greedily, its processors acting on logits: take `Greedy`. beams=1 is its
search with one beam.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

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
    Step,
    is_whole_number,
)
from ..search_tree import Fate
from .beam import Finished, check_beams, checked_length_penalty
from .frontier import Expansion, Frontier, Partial, last_steps, new_tree, search_rows, shared_beginning, steps_of
from .processed import Search

NOTHING = -1e9  # the score of what is not there; exact in float32

EarlyStopping = Literal[False, True, "never"]


class TransformersBeamSearch(Search):
    """Beam search as in the library transformers: its scores, its way to stop, its ties.

        score(x) = sum_t l(x_t | x_<t) / T ** length_penalty,     T new ids, the end of the text among them
        l = what the processors make of the model's log-probabilities, not renormalised, in float32
        keep the `beams` best of the 2 * beams best extensions that do not end

    For matching what was published with it; to search, take `BeamSearch`: this module's docstring tells where the two
    differ. An extension that ends the text is held if it is among the `beams` best of all, and while it is among the
    `beams` best texts. The row ends when all extensions that are looked at end, or when so many texts are held and

    early_stopping   True     at once
                     False    none that goes on has sum / (its present length) ** length_penalty above the worst of them
                     "never"  the same with the greatest length that there is room for, where length_penalty > 0
    candidates       how many texts are returned (num_return_sequences there); None for all that are held

    The processed_logprobs of what is found are renormalised, as everywhere, and need not add up to the score. A
    hypothesis to which processors leave no id goes; a row that has neither another nor a text is an error.
    Raises ValueError for parameters out of range, for processors that draw, and where no text scores above -1e9.
    Wolf et al. 2020, "Transformers: State-of-the-Art Natural Language Processing", arXiv:1910.03771; the rules are
    those of `GenerationMixin._beam_search` in release 5.24.0.
    """

    def __init__(
        self,
        *processors: Processor,
        beams: int = 5,
        length_penalty: float = 1.0,
        early_stopping: EarlyStopping = False,
        candidates: int | None = None,
    ) -> None:
        super().__init__(*processors)
        check_beams(beams)
        if not isinstance(early_stopping, bool) and early_stopping != "never":
            raise ValueError(f"early_stopping is False, True or 'never'; got {early_stopping!r}")
        if candidates is not None and not (is_whole_number(candidates) and 1 <= candidates <= beams):
            raise ValueError(f"candidates is a number of texts, from 1 to beams={beams}; got {candidates!r}")
        self.beams = beams
        self.length_penalty = checked_length_penalty(length_penalty)
        self.early_stopping: EarlyStopping = early_stopping
        self.candidates = candidates

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        frontier = Frontier(model, prompts, limits, (LogProbabilities(), *self.processors), chance)
        yield from frontier.full_rows()
        rows = {hypothesis.row: _Row(self, hypothesis.row, frontier) for hypothesis in frontier.hypotheses}
        yield from search_rows(frontier, rows)


@dataclass(frozen=True, repr=False)
class LogProbabilities(Processor):
    """Logits become log-probabilities, in float32: what the other processors of a beam search act on there."""

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        return logits.float().log_softmax(dim=-1)


class _Extension(NamedTuple):
    """One of the 2B best extensions of a row's hypotheses."""

    place: int  # of the hypothesis that it extends, in the batch
    id: int
    sum: float
    reason: FinishReason | None  # why it ends the text
    counts: bool  # whether it may be held for that: it is among the B best


class _Row:
    """The search for one row's text, with B beams. Its numbers are float32, on the CPU."""

    def __init__(self, search: TransformersBeamSearch, number: int, frontier: Frontier) -> None:
        self.search = search
        self.number = number
        self.frontier = frontier
        self.tree = new_tree(frontier.limits)
        self.going: list[Partial] = []  # best first
        self.parents: list[int] = []  # their places in the batch
        self.sums = torch.full((search.beams,), NOTHING, dtype=torch.float32)  # (B,) of those that go on
        self.sums[0] = 0.0  # the prompt; at first the other beams are fillers, copies of it
        self.held: list[Finished | None] = [None] * search.beams  # best first; None is nothing
        self.scores = torch.full((search.beams,), NOTHING, dtype=torch.float32)  # (B,) of those that are held
        self.ended = False
        self.given = 0  # how many ids of the text have been given out
        self.evaluations = 0

    def extend(self, expansion: Expansion, places: Sequence[int]) -> None:
        """Choose what goes on and what is held, and see whether that is the end."""
        B, hypotheses = self.search.beams, self.frontier.hypotheses
        self.evaluations += len(places)
        length = len(hypotheses[places[0]].ids) + 1
        best = self._best(expansion, places)
        sums = torch.tensor([one.sum for one in best])  # (2B,)
        scores = sums / length**self.search.length_penalty  # (2B,)
        ends = torch.tensor([one.reason is not None for one in best])  # (2B,)
        counts = torch.tensor([one.counts for one in best])  # (2B,)
        rest = (sums + ends.float() * NOTHING).topk(B)  # (B,): what ends goes on only where nothing else can
        going = [n for n in rest.indices.tolist() if best[n].sum > -torch.inf]  # a removed id never does
        held = torch.cat([self.scores, scores + (~counts).float() * NOTHING]).topk(B)  # (B,) of 3B
        nodes = self._entered(expansion, best, scores.tolist(), going)

        def child(n: int) -> Partial:
            parent = hypotheses[best[n].place]
            return expansion.child(best[n].place, best[n].id, parent, nodes[n], traced=self.tree is not None)

        def text(n: int) -> Finished | None:
            reason, path = best[n].reason, child(n)
            return Finished(path.finished(reason, float(scores[n])), path) if reason and best[n].counts else None

        self.going, self.parents = [child(n) for n in going], [best[n].place for n in going]
        self.held = [self.held[n] if n < B else text(n - B) for n in held.indices.tolist()]
        self.sums, self.scores = rest.values, held.values
        self.ended = bool(ends.all()) or not self._may_improve(length)
        if self.texts:
            self.frontier.answered.add(self.number)

    def _best(self, expansion: Expansion, places: Sequence[int]) -> list[_Extension]:
        B, hypotheses = self.search.beams, self.frontier.hypotheses
        logprobs = expansion.stages[-1].logits[places[0] : places[-1] + 1]  # (h, V)
        beams = len(places) if self.going else B  # at first all extend the prompt
        totals = torch.full_like(logprobs[:1], -torch.inf).repeat(B, 1)  # (B, V)
        totals[:beams] = logprobs + self.sums[:beams, None].to(logprobs.device)
        best = []
        sums, flat = totals.flatten().topk(min(2 * B, totals.numel()))
        for rank, (sum, n) in enumerate(zip(sums.tolist(), flat.tolist(), strict=True)):
            beam, id = divmod(n, totals.shape[1])
            place = places[min(beam, len(places) - 1)]
            reason = self.frontier.finish_reason(self.number, (*hypotheses[place].ids, id))
            best.append(_Extension(place, id, sum, reason, reason is not None and rank < B))
        return best

    def _entered(
        self, expansion: Expansion, best: Sequence[_Extension], scores: Sequence[float], going: Sequence[int]
    ) -> list[int]:
        """The numbers that extensions have in the tree; 0 where there is no tree, and for removed ids."""
        nodes = [0] * len(best)
        for n, one in enumerate(best):
            if self.tree is not None and one.sum > -torch.inf:
                fate: Fate = "finished" if one.counts else "extended" if n in going else "pruned"
                parent, logprob = self.frontier.hypotheses[one.place], float(expansion.logprobs[one.place, one.id])
                note = "filler" if one.sum <= NOTHING / 2 else ""
                nodes[n] = self.tree.add(parent.node, one.id, logprob, scores[n], n + 1, fate, one.reason, note)
        return nodes

    def _may_improve(self, length: int) -> bool:
        """Whether to go on after `length` ids."""
        full = None not in self.held
        if full and self.search.early_stopping is True:
            return False
        if self.search.early_stopping == "never" and self.search.length_penalty > 0:
            length = self.frontier.room(self.number)
        attainable = self.sums[:1] / length**self.search.length_penalty  # (1,)
        return bool(attainable > (self.scores[-1] if full else NOTHING))

    @property
    def texts(self) -> list[Finished]:
        """All that are held, best first."""
        return [one for one in self.held if one is not None]

    def news(self) -> Iterator[Step]:
        """The ids that are certain now and were not before; where the row has ended, all that are left."""
        if self.ended:
            yield from self._end()
            return
        rivals = [one.ids for one in self.going]
        rivals += [one.text.ids[:-1] for one in self.texts[:1]]  # its last id ends the row, and goes out when it ends
        certain = shared_beginning(rivals)
        yield from steps_of(self.going[0], self.given, certain)
        self.given = certain  # it never falls: whatever can win later descends from what can win now

    def _end(self) -> Iterator[Step]:
        if not self.texts:
            raise ValueError(
                f"{self.search!r} found no text: nothing that ends has a score above {NOTHING:.0e}, which stands for "
                f"nothing there; a length_penalty nearer to 0, or another strategy, will do "
                f"({self.frontier.limits.whose(self.number)})"
            )
        winner = self.texts[0]
        if self.tree is not None:
            for one in self.going:
                if self.tree[one.node].fate == "extended":
                    self.tree[one.node].fate = "abandoned"
            self.tree[winner.path.node].fate = "won"
        asked_for = self.held[: self.search.candidates]  # nothing may stand among them
        candidates = tuple(one.text for one in asked_for if one is not None) or (winner.text,)
        self.going, self.parents = [], []
        yield from last_steps(winner.path, self.given, Found(candidates, self.evaluations, tree=self.tree))
