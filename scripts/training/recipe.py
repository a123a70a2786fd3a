"""How a model is trained: everything that decides the result, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt2 import GPT2Config  # the command line reads the defaults here, before anything large is imported


@dataclass(frozen=True)
class Recipe:
    """The defaults are those of the bundled model. Two runs with equal recipes on equal texts are the same run.

    layers, heads, width, positions   the shape of the network
    steps, batch                      how many updates, and how many sequences of `positions` ids in each
    learning_rate, warmup             the highest rate, and over how many steps it is reached
    held_out                          the share of documents that the network never sees
    precision                         what matrix products are computed in: bfloat16 (autocast) or float32
    seed                              decides the split, the first weights and the order of everything
    """

    layers: int = 6
    heads: int = 8
    width: int = 256
    positions: int = 512
    steps: int = 3513
    batch: int = 8
    learning_rate: float = 2e-3
    warmup: int = 100
    held_out: float = 0.012
    precision: str = "bfloat16"
    seed: int = 7

    betas = (0.9, 0.95)  # of AdamW
    weight_decay = 0.1  # of matrices only
    max_norm = 1.0  # of the gradient; a longer one is shortened
    seen_first = 0.85  # the share of the steps in which only the ids of the training part exist; see seen_ids.py

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "width", "positions", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads; got {self.width} and {self.heads}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"the seed must lie between 0 and 2**63 - 1; got {self.seed}")
        if self.warmup < 0:
            raise ValueError(f"warmup must be at least 0; got {self.warmup}")
        if not 0.0 < self.learning_rate < float("inf"):
            raise ValueError(f"the learning rate must be a positive number; got {self.learning_rate}")
        if not 0.0 < self.held_out < 1.0:
            raise ValueError(f"the held-out share must lie between 0 and 1; got {self.held_out}")
        if self.precision not in ("bfloat16", "float32"):
            raise ValueError(f"precision must be bfloat16 or float32; got {self.precision!r}")

    def config(self, n_vocab: int) -> GPT2Config:
        """The network's shape, without dropout: two passes over the texts are too few to learn them by heart."""
        from gpt2 import GPT2Config

        return GPT2Config(
            n_vocab=n_vocab,
            n_positions=self.positions,
            n_embd=self.width,
            n_layer=self.layers,
            n_head=self.heads,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            resid_pdrop=0.0,
        )

    @property
    def widened_after(self) -> int:
        """After how many steps the network meets the whole vocabulary; always before the last step."""
        return int(self.seen_first * self.steps)

    def rate(self, step: int) -> float:
        """The learning rate of step 0, 1, ...: it rises over the warm-up and falls in a straight line to zero.

        The run that made the bundled model fell with the clock; falling with the steps makes a run repeatable.
        """
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.learning_rate * rise * (1.0 - step / self.steps)
