"""The sample that is most like all the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from ..core import Hypothesis, Processor
from ..measures import ngrams
from .drawn import Drawn, as_number, check_callable

Utility = Callable[[Hypothesis, Hypothesis], float]

_LONGEST = 2  # n-grams that are compared


def ngram_f(text: Hypothesis, reference: Hypothesis) -> float:
    """How much two texts have in common: the mean of their F-scores for single ids and for pairs of ids.

        u(y, s) = (F_1 + F_2) / 2,     F_n = 2 sum_g min(c_y(g), c_s(g)) / (sum_g c_y(g) + sum_g c_s(g))

    c_y(g) is how often the n-gram g occurs in y; F_n is 1 where neither text has any. So the harmonic mean of precision
    and recall: from 0, nothing in common, to 1, for equal texts, and the same the other way round.
    """
    return math.fsum(_f(text.ids, reference.ids, n) for n in range(1, _LONGEST + 1)) / _LONGEST


def _f(ids: Sequence[int], others: Sequence[int], n: int) -> float:
    one, other = Counter(ngrams(ids, n)), Counter(ngrams(others, n))
    both = one.total() + other.total()
    return 2 * (one & other).total() / both if both else 1.0


class MinimumBayesRisk(Drawn):
    """Minimum Bayes risk: draw n texts, and keep the one that is on average most useful if another were the truth.

        x = argmax_i  (1 / n) sum_j  utility(y_i, y_j),     y_1 ... y_n ~ Sample(*processors)  (ties: the earlier draw)

    utility   of a text where another is the right one: any function of two `Hypothesis`, the text and its reference.
              `ngram_f`, the default, compares their ids

    The sum estimates the expected utility under the distribution that is sampled. So every draw counts once: a text
    that was drawn three times is three references, and each text is one of its own. Where utility(y, y) is the same for
    all, as with `ngram_f`, the choice would be the same without that one; a utility that is not normalised, such as the
    number of common ids, favours long texts through it. Truncations such as `TopP` bias the estimate: without them the
    samples are those of the model. A likely text is not favoured as such, only one like many. n draws take n * n
    utilities. The score of each candidate is its expected utility; see `Drawn` for what else is told. Raises ValueError
    for n below 1, for a utility that cannot be called, and where one is no finite number.
    Eikema & Aziz 2020, "Is MAP Decoding All You Need? The Inadequacy of the Mode in Neural Machine Translation",
    arXiv:2005.10283.
    """

    def __init__(self, *processors: Processor, n: int = 16, utility: Utility = ngram_f) -> None:
        super().__init__(*processors, n=n)
        check_callable(utility, "utility is a function of a Hypothesis and another, its reference, such as ngram_f")
        self.utility = utility

    def scores(self, texts: Sequence[Hypothesis]) -> list[float]:
        return [math.fsum(self._useful(texts, i, j) for j in range(self.n)) / self.n for i in range(self.n)]

    def _useful(self, texts: Sequence[Hypothesis], i: int, j: int) -> float:
        what = f"the utility of text {i} with text {j} as its reference"
        value = as_number(self.utility(texts[i], texts[j]), what)
        if math.isinf(value):
            raise ValueError(f"{what} is a finite number, as a mean is taken; got {value}")
        return value
