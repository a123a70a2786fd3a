"""More of what a prompt contributes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core import LanguageModel, is_number, written
from .combined import Combined, check_language_model
from .reprompted import Reprompted


class ClassifierFreeGuidance(Combined):
    """Classifier-free guidance: away from what the model would write without the prompt, or after a negative one.

        logits = log u + scale (log c - log u)

    c is the distribution behind prompt and text, u that behind the negative prompt and the same text. A scale of 1 is
    the model itself, 0 the model after the negative prompt; above 1 the prompt counts for more than it would.

    negative_prompt   its ids; None for the prompt's last id, which is as good as no prompt

    Each step runs the model twice. A large scale leaves the language: what the negative prompt makes unlikely becomes
    likely, however odd. So the model may not remove ids, as `DoLa` does: one that only the negative prompt excludes
    would count infinitely. Raises ValueError for a negative prompt that the model cannot read, or a scale that is no
    finite number.
    Sanchez et al. 2023, "Stay on topic with Classifier-Free Guidance", arXiv:2306.17806.
    """

    def __init__(
        self, model: LanguageModel, negative_prompt: Sequence[int] | None = None, *, scale: float = 1.5
    ) -> None:
        if not (is_number(scale) and abs(scale) < float("inf")):
            raise ValueError(f"scale is how much the prompt counts, a number such as 1.5; got {scale!r}")
        check_language_model(model, "ClassifierFreeGuidance")
        reprompted = Reprompted(model, negative_prompt)
        super().__init__(model, reprompted)
        self.negative_prompt = reprompted.prompt
        self.scale = scale

    def __repr__(self) -> str:
        prompt = "" if self.negative_prompt is None else f"{written(self.negative_prompt)}, "
        return f"ClassifierFreeGuidance({prompt}scale={self.scale!r})"

    def rule(self, *logits: Tensor) -> Tensor:
        conditional, unconditional = logits  # (..., V) each
        if self.scale == 1.0:
            return conditional  # untouched
        if self.scale == 0.0:
            return unconditional
        c, u = conditional.log_softmax(dim=-1), unconditional.log_softmax(dim=-1)
        neither = (c == -torch.inf) & (u == -torch.inf)  # (..., V): ids that stay removed, where inf - inf is NaN
        return (self.scale * (c - u) + u).masked_fill(neither, -torch.inf)
