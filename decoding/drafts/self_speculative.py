"""Drafts by the model's own first layers."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import is_whole_number
from .draft import DraftSession, DraftTask
from .model_draft import ModelDraft


@dataclass(frozen=True)
class SelfSpeculative:
    """Drafts with the first layers of the model itself, followed by its last LayerNorm and its head.

    layers   how many of them

    No second model is loaded, and no parameter twice. How good the drafts are depends on the training: models that
    were trained to exit early (Elhoushi et al. 2024, "LayerSkip", arXiv:2404.16710) draft well, GPT-2 was not. The
    paper skips layers in the middle that were searched for, instead of all from some layer on.
    Zhang et al. 2023, "Draft & Verify: Lossless Large Language Model Acceleration via Self-Speculative Decoding",
    arXiv:2309.08168.
    """

    layers: int

    def __post_init__(self) -> None:
        if not is_whole_number(self.layers) or self.layers < 1:
            raise ValueError(f"layers is with how many of the first layers to draft, at least 1; got {self.layers!r}")

    def start(self, task: DraftTask) -> DraftSession:
        early_exit = getattr(task.target, "early_exit", None)
        if early_exit is None:
            raise ValueError(
                f"self-speculation drafts with the layers of a model such as GPT2; got a {type(task.target).__name__}"
            )
        return ModelDraft(early_exit(int(self.layers))).start(task)
