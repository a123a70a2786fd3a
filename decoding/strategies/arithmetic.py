"""Several texts drawn at once, spread evenly over all that can be written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Chance, Found, Hypothesis, LanguageModel, Limits, Prefix, Processor, Purpose, Step, is_whole_number
from ..search_tree import Fate
from .frontier import Expansion, Frontier, Partial, last_steps, new_tree, search_rows, steps_of
from .processed import Search
from .sample import Sample

_WORD = 52  # bits of the shift that are drawn at once
_UNIT = 62  # probabilities are counted in units of 2^-62, so that their sum still fits 64 bits


class ArithmeticSampling(Search):
    """Arithmetic sampling: n draws at once, made with numbers that are evenly spaced instead of independent.

        code_i = (u + i / n) mod 1,     i = 0 .. n - 1,     u uniform
        text i is the one in whose part of [0, 1) code_i lies
        a beginning's children share its part in the order of their ids:
            c has [P(c), P(c) + p(c)) of it,     P(c) = sum of p below c

    p is the distribution from which `Sample` with these processors draws. Each text is distributed exactly like one of
    its draws, so that a plain mean over them is unbiased; but they are spread: of a beginning with probability p there
    are n p among the n texts, up to less than one. Texts may be equal. The candidates are in the order of their codes,
    and not best first: the first has the code u and is the row's text. The score is the log-probability of the text
    after the processors.

    The codes are exact. Probabilities are whole numbers of 2^-62, rounded up, so that no id that is left is lost; u has
    as many bits as its texts need. A number of 53 bits would be used up by 53 bits of surprise, and what follows would
    not be drawn at all. Which text a code names is as sensitive: a change of the logits by rounding (another batch,
    another machine) is magnified by 1 / p of the ids before it, so that texts part sooner than with `Sample`. A
    hypothesis to which processors leave no id is an error, as in a sample.
    Raises ValueError for an n out of range, and for processors that draw.
    Vilnis et al. 2022, "Arithmetic Sampling: Parallel Diverse Decoding for Large Language Models", arXiv:2210.15458.
    """

    def __init__(self, *processors: Processor, n: int = 5) -> None:
        super().__init__(*processors)
        if not is_whole_number(n) or n < 1:
            raise ValueError(f"n is a number of texts, at least 1; got {n!r}")
        self.n = int(n)

    def equal_in_law(self) -> Sample:
        """Draws like each of the texts. See `law`."""
        return Sample(*self.processors)

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        frontier = Frontier(model, prompts, limits, self.processors, chance)
        for step in frontier.full_rows():
            assert step.found is not None
            yield step._replace(found=step.found._replace(candidates=self.n * step.found.candidates))
        yield from search_rows(frontier, {one.row: _Row(self.n, one.row, frontier) for one in frontier.hypotheses})


class Shift:
    """u, the same for all codes of a row, with as many bits as anybody asks for. Word j of it is keyed by step j."""

    def __init__(self, chance: Chance, row: Prefix) -> None:
        self._chance = chance
        self._row = row
        self._words: list[int] = []

    def word(self, j: int) -> int:
        """Bits 52 j to 52 j + 51 behind the point, as a whole number."""
        while len(self._words) <= j:
            row = self._row._replace(lengths=self._row.prompt_lengths + len(self._words))
            u = float(self._chance.uniform(1, Purpose.TOKEN, row))
            self._words.append(int(u * 2**_WORD))
        return self._words[j]


@dataclass
class Code:
    """Where a code lies within the interval of the ids chosen so far: at (low + d * width) / whole of its length.

    d stands for all bits of the shift that have not been looked at: any number from 0 up to, not including, 1. What
    is known is exact; the numbers become longer with each id, by 62 bits and those that are looked at.
    """

    low: int
    width: int
    whole: int
    shift: Shift
    words: int = 0  # how many of the shift's are in `low`

    @classmethod
    def of(cls, i: int, n: int, shift: Shift) -> Code:
        """Code i of n, (u + i / n) mod 1."""
        return cls(low=i, width=n, whole=n, shift=shift)

    def choose(self, cdf: Tensor) -> int:
        """The id whose part has the code; afterwards it is the code within this part. cdf: a row of `cumulative`."""
        total = int(cdf[-1])
        while True:
            id = int(torch.searchsorted(cdf, self.low * total // self.whole, right=True))  # the first that ends beyond
            end = int(cdf[id])
            if (self.low + self.width) * total <= end * self.whole:  # whatever the other bits are
                break
            self._look_further()
        begin = int(cdf[id - 1]) if id else 0
        self.low = self.low * total - begin * self.whole
        self.width *= total
        self.whole *= end - begin
        return id

    def _look_further(self) -> None:
        """Take one word more into account."""
        self.low = (self.low << _WORD) + self.width * self.shift.word(self.words)
        self.whole <<= _WORD
        self.low %= self.whole  # before the first id the code may go round once; never later
        self.words += 1


def cumulative(logprobs: Tensor) -> Tensor:
    """The probability of each id and all before it, (..., V) natural logarithms -> int64, in units of 2^-62.

    Each is rounded up, so that an id has nothing only where it is removed. That adds less than V units to a row.
    """
    parts = (logprobs.double().exp() * 2.0**_UNIT).ceil().long().clamp(min=1)  # (..., V)
    return parts.where(logprobs > -torch.inf, 0).cumsum(dim=-1)


class _Row:
    """The texts of one row's codes. Those that begin alike are one hypothesis as long as they do."""

    def __init__(self, n: int, number: int, frontier: Frontier) -> None:
        self.n = n
        self.number = number
        self.frontier = frontier
        self.tree = new_tree(frontier.limits)
        self.going: list[Partial] = []
        self.parents: list[int] = []
        self.codes: list[dict[int, Code]] = []  # those of each hypothesis that goes on, by number
        self.texts: dict[int, Hypothesis] = {}  # what the others have become
        self.first = Partial(number)  # where code 0 has come to
        self.given = 0  # how many ids of it have been given out
        self.evaluations = 0

    def extend(self, expansion: Expansion, places: Sequence[int]) -> None:
        """Let each code choose an id; hypotheses whose codes disagree part."""
        self.evaluations += len(places)
        if not self.codes:
            own = torch.tensor(places, device=expansion.before.ids.device)
            shift = Shift(self.frontier.chance, expansion.before.select(own))
            self.codes = [{i: Code.of(i, self.n, shift) for i in range(self.n)}]
        before, self.codes, self.going, self.parents = self.codes, [], [], []
        considered = 0
        for place, codes in zip(places, before, strict=True):
            cdf = cumulative(expansion.logprobs[place]).cpu()  # (V,)
            if not cdf[-1]:
                fault = self.frontier.fault(expansion.stages, place)
                assert fault is not None
                raise self.frontier.error(fault, self.number)
            parting: dict[int, dict[int, Code]] = {}
            for number, code in codes.items():
                parting.setdefault(code.choose(cdf), {})[number] = code
            for id, together in parting.items():
                considered += 1
                self._child(expansion, place, id, together, considered)

    def _child(self, expansion: Expansion, place: int, id: int, codes: dict[int, Code], rank: int) -> None:
        parent = self.frontier.hypotheses[place]
        reason = self.frontier.finish_reason(self.number, (*parent.ids, id))
        node = 0
        if self.tree is not None:
            fate: Fate = "extended" if reason is None else "finished"
            logprob = float(expansion.logprobs[place, id])
            note = f"{len(codes)} of {self.n} codes"
            node = self.tree.add(parent.node, id, logprob, parent.total + logprob, rank, fate, reason, note)
        child = expansion.child(place, id, parent, node, traced=self.tree is not None)
        if 0 in codes:
            self.first = child
        if reason is None:
            self.going.append(child)
            self.parents.append(place)
            self.codes.append(codes)
        else:
            self.texts |= dict.fromkeys(codes, child.finished(reason, child.total))

    def news(self) -> Iterator[Step]:
        """Every id of code 0 is certain at once, but the last goes out when the row ends."""
        certain = len(self.first.ids) - (0 in self.texts)
        yield from steps_of(self.first, self.given, certain)
        self.given = certain
        if not self.going:
            if self.tree is not None:
                self.tree[self.first.node].fate = "won"
            candidates = tuple(self.texts[i] for i in range(self.n))
            yield from last_steps(self.first, self.given, Found(candidates, self.evaluations, tree=self.tree))
