"""The loss on texts that a network was not trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gpt2 import GPT2
from scripts.training.corpus import Ids
from scripts.training.learner import AT_ONCE, next_id_loss


@torch.no_grad()
def held_out_loss(model: GPT2, ids: Ids | Tensor, length: int) -> float:
    """The mean loss in nats an id, in the precision of the weights.

    The ids are cut into windows of `length`, one after the other; the last one may be shorter. Each id but the very
    first is predicted once, from those before it in its window.
    """
    ids = ids if isinstance(ids, Tensor) else torch.from_numpy(ids.astype(np.int64))
    if len(ids) < 2:
        raise ValueError("the held-out part has fewer than two ids; hold out more documents")
    inputs, targets = ids[:-1].to(model.device), ids[1:].to(model.device)
    whole = len(inputs) // length * length
    parts = [
        (inputs[:whole].view(-1, length), targets[:whole].view(-1, length)),
        (inputs[whole:][None], targets[whole:][None]),
    ]
    total = 0.0
    for x, y in parts:  # (windows, length) each
        if x.numel():
            for rows, following in zip(x.split(AT_ONCE), y.split(AT_ONCE), strict=True):
                total += next_id_loss(model(rows), following).item()
    return total / len(targets)
