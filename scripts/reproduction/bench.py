"""What facts are run on: the models at hand, their files, the tokenizer, and data that a person brings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from decoding import Tokenizer
from gpt2 import GPT2
from gpt2.hub import ModelFiles
from gpt2.hub_errors import HubUnreachableError, ModelNotFoundError


class Waits(Exception):  # noqa: N818  (nothing is wrong)
    """A fact cannot be run here and now; `what` says what it waits for, in a few words."""

    def __init__(self, what: str, *, weights: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.for_weights = weights  # of a model that was asked for


@dataclass
class Bench:
    """What is at hand. `model` is the network that the facts of this run are about; None where there is none."""

    tokenizer: Tokenizer
    model: GPT2 | None = None
    files: ModelFiles | None = None  # of this model, where they are on this machine
    wikitext: Path | None = None  # the test split of WikiText-2, raw
    missing: str = "the weights"  # why there is no model
    _half: GPT2 | None = field(default=None, repr=False)

    def network(self) -> GPT2:
        """Raises Waits where there is none."""
        if self.model is None:
            raise Waits(self.missing, weights=True)
        return self.model

    def another(self, name: str) -> GPT2:
        """A second model, to draft with. Raises Waits where its weights are not on this machine."""
        network = self.network()
        if network.source is not None and network.source.name == name:
            return network
        try:
            return GPT2.from_pretrained(name, local_files_only=True, device=network.device)
        except (ModelNotFoundError, HubUnreachableError) as error:
            raise Waits(f"the weights of {name} beside these: scripts/prefetch.py {name}", weights=True) from error

    def network_in_half(self) -> GPT2:
        """The same in float16, made once: what some facts were published for."""
        import copy

        if self._half is None:
            self._half = copy.deepcopy(self.network()).to(torch.float16)
        return self._half

    def weights(self) -> ModelFiles:
        """The model's files. Raises Waits where there are none."""
        self.network()
        if self.files is None:
            raise Waits("the file of the weights", weights=True)
        return self.files
