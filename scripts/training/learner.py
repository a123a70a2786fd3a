"""The network and its optimiser: one step, and everything that has to be kept to go on later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2 import GPT2
from scripts.training.recipe import Recipe
from scripts.training.seen_ids import SeenIds

AT_ONCE = 2  # sequences that go through the network together: their logits fit into less memory, and it is faster
_MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW remembers of each parameter
_EMBEDDING = "wte.weight"  # the only parameter whose shape depends on the vocabulary


class Learner:
    """A network in training; `done` counts its steps. It begins with the ids of `seen` only; see seen_ids.py."""

    def __init__(self, recipe: Recipe, seen: SeenIds, device: torch.device) -> None:
        self.recipe, self.seen, self.device = recipe, seen, device
        self.done = 0
        with torch.random.fork_rng(devices=[]):  # drawn on the CPU: the same weights on every device
            torch.manual_seed(recipe.seed)
            self._use(GPT2(recipe.config(len(seen))))

    def _use(self, model: GPT2) -> None:
        self.model = model.to(self.device).train()
        self.optimiser = torch.optim.AdamW(decay_groups(self.model, self.recipe.weight_decay), betas=self.recipe.betas)

    @property
    def is_wide(self) -> bool:
        """Whether the network has the whole vocabulary."""
        return self.model.n_vocab == self.seen.n_vocab

    def step(self, ids: Tensor) -> float:
        """Learn from ids (B, T + 1) of the whole vocabulary; returns the loss before that, in nats an id."""
        if self.done == self.recipe.widened_after:
            self.widen()
        if self.model.n_vocab == len(self.seen):
            ids = self.seen.rank[ids]
        ids = ids.to(self.device)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.done)
        self.optimiser.zero_grad()
        total = 0.0
        for rows in ids.split(AT_ONCE):  # gradients add up
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
                logits = self.model(rows[:, :-1])  # (b, T, V)
            loss = next_id_loss(logits, rows[:, 1:]) / ids[:, 1:].numel()
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.max_norm)
        self.optimiser.step()
        self.done += 1
        return total

    def widen(self) -> None:
        """Give the network the whole vocabulary. AdamW has no memory of the new rows."""
        state = self.state()
        rows = state[f"weight.{_EMBEDDING}"]
        zeros = torch.zeros(self.seen.n_vocab, rows.shape[1], device=rows.device)
        state[f"weight.{_EMBEDDING}"] = self.seen.widen_embedding(rows, self.recipe.seed)
        for moment in _MOMENTS:
            if f"{moment}.{_EMBEDDING}" in state:
                state[f"{moment}.{_EMBEDDING}"] = self.seen.widen(state[f"{moment}.{_EMBEDDING}"], zeros)
        self._load(state, self.seen.n_vocab)

    def state(self) -> dict[str, Tensor]:
        """The weights and, after the first step, AdamW's moments, by name."""
        state = {}
        for name, parameter in self.model.named_parameters():
            state[f"weight.{name}"] = parameter.detach()
            if self.done:
                state |= {f"{moment}.{name}": self.optimiser.state[parameter][moment] for moment in _MOMENTS}
        return state

    def restore(self, state: Mapping[str, Tensor], done: int) -> None:
        """Be as the learner that gave this state after `done` steps. Raises ValueError for one of another network."""
        self.done = done
        self._load(state, self.seen.n_vocab if done > self.recipe.widened_after else len(self.seen))

    def _load(self, state: Mapping[str, Tensor], n_vocab: int) -> None:
        with torch.device("meta"):  # the shapes only
            model = GPT2(self.recipe.config(n_vocab))
        kinds = ("weight", *_MOMENTS) if self.done else ("weight",)
        shapes = {f"{kind}.{name}": p.shape for name, p in model.named_parameters() for kind in kinds}
        if {name: tensor.shape for name, tensor in state.items()} != shapes:
            raise ValueError("it does not hold the tensors of this network")
        self._use(model.to_empty(device=self.device))
        for name, parameter in self.model.named_parameters():
            with torch.no_grad():
                parameter.copy_(state[f"weight.{name}"])
            if self.done:
                moments = {moment: torch.empty_like(parameter).copy_(state[f"{moment}.{name}"]) for moment in _MOMENTS}
                self.optimiser.state[parameter] = {"step": torch.tensor(float(self.done)), **moments}


def next_id_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy, summed over all positions: logits (b, T, V), targets (b, T)."""
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="sum")


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices, embeddings among them, decay; biases and LayerNorms do not."""
    return [
        {"params": list(_of_dimension(model, matrices=True)), "weight_decay": weight_decay},
        {"params": list(_of_dimension(model, matrices=False)), "weight_decay": 0.0},
    ]


def _of_dimension(model: nn.Module, matrices: bool) -> Iterator[nn.Parameter]:
    return (parameter for parameter in model.parameters() if (parameter.dim() >= 2) == matrices)
