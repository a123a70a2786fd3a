"""The answer that most samples give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from ..core import Hypothesis, Processor
from .drawn import Drawn, check_callable

Answer = Callable[[Hypothesis], Hashable]


def whole_text(text: Hypothesis) -> tuple[int, ...]:
    """All ids of a text: two give the same answer where they are the same."""
    return text.ids


class MajorityVote(Drawn):
    """Majority vote, also self-consistency: draw n texts, and keep one that gives the most frequent answer.

        a = argmax_a  #{ i : answer(y_i) = a },     y_1 ... y_n ~ Sample(*processors)     (ties: the answer drawn first)
        x = the first y_i with answer(y_i) = a

    answer   what a text says in the end, as a number behind "The answer is": any function of a `Hypothesis` to what can
             be hashed, or to None where the text gives none. `whole_text`, the default, takes all ids, so that what
             wins is the text that was drawn most often

    Texts without an answer have no vote; where all are without, the first one is kept. Among the texts with the winning
    answer the first is as good as any: it is a fair draw from those that give it. The score of each candidate is how
    many votes its answer has, its own included; see `Drawn` for what else is told. Raises ValueError for n below 1, for
    an answer that cannot be called, and where one cannot be counted.
    Wang et al. 2022, "Self-Consistency Improves Chain of Thought Reasoning in Language Models", arXiv:2203.11171.
    """

    def __init__(self, *processors: Processor, n: int = 16, answer: Answer = whole_text) -> None:
        super().__init__(*processors, n=n)
        check_callable(answer, "answer is a function of a Hypothesis, such as whole_text")
        self.answer = answer

    def scores(self, texts: Sequence[Hypothesis]) -> list[float]:
        answers = [self._answer(number, text) for number, text in enumerate(texts)]
        votes = Counter(one for one in answers if one is not None)
        return [0.0 if one is None else float(votes[one]) for one in answers]

    def _answer(self, number: int, text: Hypothesis) -> Hashable:
        found = self.answer(text)
        try:
            hash(found)
        except TypeError:
            raise ValueError(
                f"the answer of text {number} has to be hashable, such as a number or a text, so that it can be "
                f"counted; got {found!r}"
            ) from None
        if found != found:
            raise ValueError(f"the answer of text {number} has to be equal to itself to be counted; got {found!r}")
        return found
