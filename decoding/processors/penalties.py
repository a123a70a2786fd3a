"""Make what has been said less likely. None of these removes an id.

Which ids count: prompt and new ids, or the new ones alone (`include_prompt`), and of these the last `window` or all.
Systems differ: transformers and vLLM count prompt and text for the repetition penalty, SGLang the text, llama.cpp the
last 64; vLLM counts the text alone for the other two, as is the default here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Prefix, Processor, is_number
from .history import LARGEST, check_include_prompt, check_window, needed, occurrences


@dataclass(frozen=True, repr=False)
class RepetitionPenalty(Processor):
    """Scale the logits of all ids that have occurred, however often.

        for each i that has occurred:
        logits_i = logits_i / penalty,  where it is positive
        logits_i = logits_i * penalty,  where it is not

    penalty > 1 makes repetition less likely, penalty = 1 changes nothing. The only rule here that depends on the zero
    of the logits: adding the same number to all of them, which changes no probability, changes what it does. (The paper
    divides negative logits, too, which makes them larger; to multiply them came later, with transformers.) Raises
    ValueError for a penalty outside of [1e-30, 1e30].
    Keskar et al. 2019, "CTRL", arXiv:1909.05858.
    """

    penalty: float
    window: int | None = None
    include_prompt: bool = True

    def __post_init__(self) -> None:
        if not (is_number(self.penalty) and 1.0 / LARGEST <= self.penalty <= LARGEST):
            raise ValueError(f"a repetition penalty is a factor above 0, from 1e-30 to 1e30; got {self.penalty!r}")
        check_window(self.window)
        check_include_prompt(self.include_prompt)

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        prefix = needed(prefix, logits, self)
        if self.penalty == 1.0:
            return logits
        rows, ids = occurrences(prefix, self.window, self.include_prompt)  # (N,) each
        old = logits[rows, ids]
        penalised = (old / self.penalty).where(old > 0, old * self.penalty)
        return logits.index_put((rows, ids), penalised)  # an id that occurs twice is put twice, the same


@dataclass(frozen=True, repr=False)
class PresencePenalty(Processor):
    """Lower the logits of all ids that have occurred by the same amount.

        logits_i = logits_i - penalty,     for each i that has occurred

    penalty = 0 changes nothing, a negative one encourages repetition. Raises ValueError for one beyond 1e30.
    OpenAI's API, without a paper.
    """

    penalty: float
    window: int | None = None
    include_prompt: bool = False

    def __post_init__(self) -> None:
        _check_penalty(self.penalty, "a presence penalty")
        check_window(self.window)
        check_include_prompt(self.include_prompt)

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        prefix = needed(prefix, logits, self)
        if self.penalty == 0.0:
            return logits
        rows, ids = occurrences(prefix, self.window, self.include_prompt)  # (N,) each
        return logits.index_put((rows, ids), logits[rows, ids] - self.penalty)  # twice the same, as above


@dataclass(frozen=True, repr=False)
class FrequencyPenalty(Processor):
    """Lower the logit of an id each time it occurs.

        logits_i = logits_i - penalty * (how often i has occurred)

    penalty = 0 changes nothing, a negative one encourages repetition. Raises ValueError for one beyond 1e30.
    OpenAI's API, without a paper.
    """

    penalty: float
    window: int | None = None
    include_prompt: bool = False

    def __post_init__(self) -> None:
        _check_penalty(self.penalty, "a frequency penalty")
        check_window(self.window)
        check_include_prompt(self.include_prompt)

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        prefix = needed(prefix, logits, self)
        if self.penalty == 0.0:
            return logits
        rows, ids = occurrences(prefix, self.window, self.include_prompt)  # (N,) each
        counts = torch.zeros_like(logits).index_put((rows, ids), logits.new_tensor(1.0), accumulate=True)  # (R, V)
        return logits - self.penalty * counts


def _check_penalty(penalty: float, what: str) -> None:
    if not (is_number(penalty) and abs(penalty) <= LARGEST):
        raise ValueError(f"{what} is a number from -1e30 to 1e30; got {penalty!r}")
