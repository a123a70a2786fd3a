"""A draw from the distribution that the processors leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from ..core import Chance, LanguageModel, Limits, Prefix, Purpose, Step
from .one_path import one_path
from .processed import Stepwise


class Sample(Stepwise):
    """Ancestral sampling: at every step an id drawn from the softmax of the processed logits.

        x_t ~ softmax(logits)

    Without processors it draws from the model's own distribution. With `Temperature(0)` it is greedy decoding.
    """

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        def draw(logits: Tensor, prefix: Prefix) -> Tensor:
            return chance.choose(logits, Purpose.TOKEN, prefix)  # (R, V) -> (R,)

        return one_path(model, prompts, limits, chance, self.processors, draw)

    def choice_logprobs(self, logits: Tensor) -> Tensor:
        return logits.double().log_softmax(dim=-1)
