"""Several texts drawn at once, no two of them equal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ..chance import mix
from ..core import Chance, FinishReason, Found, LanguageModel, Limits, Prefix, Processor, Purpose, Step, is_whole_number
from ..search_tree import Fate
from .frontier import Expansion, Frontier, Partial, best_first, last_steps, new_tree, search_rows, steps_of
from .processed import Search
from .sample import Sample


class StochasticBeamSearch(Search):
    """Stochastic beam search: k different texts, drawn one after another without replacement, in a single search.

        score(x) = log p(x) + Gumbel noise,  one for each text x
        the candidates are the k texts with the highest scores
        top-down, where the score of a beginning is the best of its texts:
            noisy(c) = log p(c) - log(-log u),  for each child c,  Z the largest
            score(c) = -log(exp(-score(parent)) - exp(-Z) + exp(-noisy(c)))

    p is the distribution from which `Sample` with these processors draws: the first candidate, the row's text, is one
    of its draws, the second a draw from what is left without the first, and so on. Texts that end, however they do,
    stay in the beam and compete with what goes on. No two hypotheses of a row share any noise, and the first j of k
    candidates are the same for every k from j on (not with `Multinomial`, which draws for a whole batch).

    One hypothesis more than k is kept: its score, the result's `search.kappa`, is the best of all that is left out, and
    `without_replacement.estimate` makes weights of it. Where there are no more than k texts, all are found, and the
    bound is -inf. A hypothesis to which processors leave no id keeps its place, as no other text has its probability,
    and is no candidate; coming first, it is an error, as in a sample.
    Raises ValueError for a k out of range, and for processors that draw.
    Kool, van Hoof & Welling 2019, "Stochastic Beams and Where to Find Them", arXiv:1903.06059.
    """

    def __init__(self, *processors: Processor, k: int = 5) -> None:
        super().__init__(*processors)
        if not is_whole_number(k) or k < 1:
            raise ValueError(f"k is a number of texts, at least 1; got {k!r}")
        self.k = int(k)

    def equal_in_law(self) -> Sample:
        """Draws like the row's text. See `law`."""
        return Sample(*self.processors)

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        frontier = Frontier(model, prompts, limits, self.processors, chance)
        for step in frontier.full_rows():
            assert step.found is not None
            only_one = step.found._replace(bound=-math.inf, kappa=-math.inf)  # there is no text but the empty one
            yield step._replace(found=only_one)
        yield from search_rows(frontier, {one.row: _Row(self.k, one.row, frontier) for one in frontier.hypotheses})


def conditioned(noisy: Tensor, best: Tensor) -> Tensor:
    """Move Gumbel variables so that the largest of each row is what it has to be.

        -log(exp(-best) - exp(-Z) + exp(-noisy)),  Z = max noisy

    noisy   (h, V) log-probabilities with Gumbel noise; -inf stays
    best    (h, 1) the largest of each row, afterwards

    In the form of the paper's appendix B.3, as these exponentials overflow: with v = best - noisy + log(1 - exp(noisy -
    Z)) it is best - max(0, v) - log(1 + exp(-|v|)), which no number exceeds, and which is `best` where noisy is Z.
    """
    Z = noisy.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(noisy.dtype).min)  # (h, 1): finite in an empty row, too
    below = noisy - Z  # (h, V) at most 0
    near = below > -math.log(2.0)
    v = best - noisy + torch.where(near, (-below.expm1()).log(), (-below.exp()).log1p())  # each exact on its side
    return best - v.clamp(min=0.0) - (-v.abs()).exp().log1p()


def gumbel(u: Tensor) -> Tensor:
    """Uniform numbers as Gumbel noise."""
    return -(-u.log()).log()


class _Entry(NamedTuple):
    """A hypothesis in the beam.

    score    the largest perturbed log-probability of the texts that begin so
    reason   why it is a whole text, None where it is none
    dead     the processors left it no id
    """

    score: float
    path: Partial
    reason: FinishReason | None = None
    dead: bool = False

    @property
    def over(self) -> bool:
        return self.reason is not None or self.dead


class _Row:
    """The search for one row's texts."""

    def __init__(self, k: int, number: int, frontier: Frontier) -> None:
        self.k = k
        self.number = number
        self.frontier = frontier
        self.tree = new_tree(frontier.limits)
        self.beam: list[_Entry] = []  # best first, k + 1 of them at most
        self.going: list[Partial] = []
        self.parents: list[int] = []
        self.keys = torch.empty(0)  # (h,) int64: of those that go on, what their children's noise is keyed by
        self.given = 0  # how many ids of the text have been given out
        self.evaluations = 0

    def extend(self, expansion: Expansion, places: Sequence[int]) -> None:
        """Let what has ended and all extensions of what has not compete for the beam."""
        self.evaluations += len(places)
        before = expansion.before.select(torch.tensor(places, device=expansion.before.ids.device))  # h rows
        if not self.beam:
            self._begin(before, places[0])
        ranks = [rank for rank, entry in enumerate(self.beam) if not entry.over]  # in the beam, of those at `places`
        scores = self._scores(expansion, places, before)  # (h, V)
        for h in (scores.amax(dim=-1) == -torch.inf).nonzero()[:, 0].tolist():
            self._bury(ranks[h], expansion, places[h])

        width = self.k + 1
        wanted = width if self.tree is None else 2 * width  # a tree shows some that do not stay
        children = list(islice(best_first(scores, wanted), wanted))
        rivals = [(-entry.score, rank, -1, -1) for rank, entry in enumerate(self.beam) if entry.over]
        rivals += [(-float(scores[h, id]), ranks[h], h, id) for h, id in children]
        rivals.sort()  # of equals the one with the better parent is ahead, so that the first stays the first
        beam: list[_Entry] = []
        extended: list[tuple[int, int]] = []
        for place, (score, rank, h, id) in enumerate(rivals if self.tree is not None else rivals[:width]):
            entry = self.beam[rank] if h < 0 else self._child(expansion, places[h], id, self.beam[rank], -score, place)
            if place < width:
                beam.append(entry)
                extended += [] if entry.over else [(h, id)]
            elif self.tree is not None:
                self.tree[entry.path.node].fate = "pruned"
        self._go_on(beam, extended, places)

    def _begin(self, prefix: Prefix, place: int) -> None:
        """The prompt: its score is the best one of all texts, whose probability is 1."""
        noise = gumbel(self.frontier.chance.uniform(1, Purpose.TOKEN, prefix))  # (1, 1)
        self.beam = [_Entry(float(noise), self.frontier.hypotheses[place])]
        self.keys = mix(prefix.samples + 1)

    def _scores(self, expansion: Expansion, places: Sequence[int], prefix: Prefix) -> Tensor:
        """The perturbed log-probabilities of all children, (h, V)."""
        parents = [entry for entry in self.beam if not entry.over]
        totals = expansion.totals(places, [parent.path.total for parent in parents])  # (h, V)
        u = self.frontier.chance.uniform(totals.shape[1], Purpose.TOKEN, prefix._replace(samples=self.keys))
        best = totals.new_tensor([parent.score for parent in parents])[:, None]  # (h, 1)
        return conditioned(totals + gumbel(u).to(totals.device), best)

    def _child(self, expansion: Expansion, place: int, id: int, parent: _Entry, score: float, rank: int) -> _Entry:
        reason = self.frontier.finish_reason(self.number, (*parent.path.ids, id))
        node = 0
        if self.tree is not None:
            fate: Fate = "extended" if reason is None else "finished"
            logprob = float(expansion.logprobs[place, id])
            node = self.tree.add(parent.path.node, id, logprob, score, rank + 1, fate, reason)
        return _Entry(score, expansion.child(place, id, parent.path, node, traced=self.tree is not None), reason)

    def _bury(self, rank: int, expansion: Expansion, place: int) -> None:
        """Keep the place of a hypothesis without children."""
        if rank == 0:
            fault = self.frontier.fault(expansion.stages, place)
            assert fault is not None
            raise self.frontier.error(fault, self.number)
        entry = self.beam[rank] = self.beam[rank]._replace(dead=True)
        if self.tree is not None:
            self.tree[entry.path.node].fate = "pruned"
            self.tree[entry.path.node].note = "the processors leave it no id"

    def _go_on(self, beam: list[_Entry], extended: Sequence[tuple[int, int]], places: Sequence[int]) -> None:
        """Take the new beam, in which those that go on extend the hypotheses h by id."""
        self.beam = beam
        if beam[0].over:
            self.frontier.answered.add(self.number)
        self.going = [] if self.ended else [entry.path for entry in beam if not entry.over]
        self.parents = [] if self.ended else [places[h] for h, _ in extended]
        hs, ids = torch.tensor(extended, dtype=torch.int64, device=self.keys.device).reshape(-1, 2).T
        self.keys = mix(self.keys[hs] + ids + 1)

    @property
    def ended(self) -> bool:
        """Whether the k best are whole texts. The next one's score is known then, whatever becomes of it."""
        return all(entry.over for entry in self.beam[: self.k])

    def news(self) -> Iterator[Step]:
        """The first of the beam has its parent's score, so that it is the winner's beginning from the first step on."""
        winner = self.beam[0]
        certain = len(winner.path.ids) - (winner.reason is not None)  # the last id goes out when the row ends
        yield from steps_of(winner.path, self.given, certain)
        self.given = certain
        if self.ended:
            yield from last_steps(winner.path, self.given, self._found())

    def _found(self) -> Found:
        if self.tree is not None:
            for entry in self.beam[self.k :]:
                self.tree[entry.path.node].fate = (
                    "pruned" if entry.dead else "finished" if entry.reason else "abandoned"
                )
                self.tree[entry.path.node].note = "the best of what is left out: its score is the bound"
            self.tree[self.beam[0].path.node].fate = "won"
        texts = [(entry, entry.reason) for entry in self.beam[: self.k]]
        candidates = tuple(entry.path.finished(reason, entry.score) for entry, reason in texts if reason is not None)
        bound = self.beam[self.k].score if len(self.beam) > self.k else -math.inf
        return Found(candidates, self.evaluations, bound, self.tree, kappa=bound)
