"""The best of several samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..core import Hypothesis, Processor
from ..measures import mean_logprob
from .drawn import Drawn, as_number, check_callable

Reward = Callable[[Hypothesis], float]


def mean_model_logprob(text: Hypothesis) -> float:
    """The mean log-probability of a text's ids under the model, without processors."""
    return mean_logprob(text.model_logprobs)


def sum_model_logprob(text: Hypothesis) -> float:
    """The log-probability of a text under the model, without processors."""
    return math.fsum(text.model_logprobs)


class BestOfN(Drawn):
    """Best of n: draw n texts, and keep the one with the highest reward.

        x = argmax_i  reward(y_i),     y_1 ... y_n ~ Sample(*processors)     (ties: the earlier draw)

    reward   any function of a `Hypothesis`, with its ids and log-probabilities; a text is tokenizer.decode(text.ids).
             `mean_model_logprob`, the default, and `sum_model_logprob` are built in

    Rewards are often biased by length: each further id lowers a sum of log-probabilities, so that the sum wants short
    texts, and the mean wants those that go on predictably, which repeat themselves. With the sum this is a poor man's
    search for the likeliest text, `ExactSearch`, which it rarely finds. With n = 1 it is `Sample`; the larger n is, the
    more the text is what the reward wants and not what the model writes, faults of the reward included. The score of
    each candidate is its reward; see `Drawn` for what else is told. Raises ValueError for n below 1, for a reward that
    cannot be called, and where one is no number.
    Stiennon et al. 2020, "Learning to Summarize from Human Feedback", arXiv:2009.01325.
    """

    def __init__(self, *processors: Processor, n: int = 8, reward: Reward = mean_model_logprob) -> None:
        super().__init__(*processors, n=n)
        check_callable(reward, "reward is a function of a Hypothesis, such as mean_model_logprob")
        self.reward = reward

    def scores(self, texts: Sequence[Hypothesis]) -> list[float]:
        return [as_number(self.reward(text), f"the reward of text {number}") for number, text in enumerate(texts)]
