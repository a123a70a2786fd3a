"""A language model that reads another prompt than the one it is given."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import LanguageModel, Session, check_positions, check_prompts, ragged, written
from .combined import Combined, check_language_model


class Reprompted:
    """The same language model with another prompt in the place of every prompt; what is written after it stays.

        p(x_t | prompt, x_1 ... x_(t-1))   becomes   p(x_t | other prompt, x_1 ... x_(t-1))

    prompt   its ids; None for the last id of the prompt that it stands for

    Side by side with the model itself it tells what a prompt contributes: see `ClassifierFreeGuidance`. What a session
    is given first is the prompt. The other prompt may be the longer one, so that there are fewer positions, by its
    length less one. Logits within the prompt are NaN. Raises ValueError for a prompt that the model cannot read, and
    where a session is to go back into its prompt.
    """

    def __init__(self, model: LanguageModel, prompt: Sequence[int] | None = None) -> None:
        check_language_model(model, "Reprompted")
        try:
            self.prompt = None if prompt is None else [index(id) for id in prompt]
        except TypeError as error:
            raise ValueError(f"a prompt is a row of ids, such as [15496, 11], or None; got {prompt!r}") from error
        if self.prompt is not None:
            check_prompts(model, [self.prompt])
        self.model = model
        self.n_vocab = model.n_vocab
        self.n_positions = model.n_positions - (0 if self.prompt is None else len(self.prompt) - 1)

    def __repr__(self) -> str:
        prompt = "" if self.prompt is None else f", {written(self.prompt)}"
        return f"Reprompted({written(self.model)}{prompt})"

    def open(self) -> Session:
        return _RepromptedSession(self.model.open(), self)


class _RepromptedSession:
    """The session of the model, whose rows are longer or shorter than they seem."""

    def __init__(self, session: Session, model: Reprompted) -> None:
        self._session = session
        self._prompt = model.prompt
        self._n_positions = model.n_positions
        self._shorter: Tensor | None = None  # (R,) by how many ids a row of the model is shorter than it seems
        self._prompt_lengths = torch.zeros(0, dtype=torch.int64)  # (R,) as they seem

    @property
    def lengths(self) -> Tensor:
        return self._session.lengths if self._shorter is None else self._session.lengths + self._shorter

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        n = torch.full((len(ids),), ids.shape[1]) if n is None else n.cpu()  # (R,)
        check_positions(torch.zeros_like(n) if self._shorter is None else self.lengths, n, self._n_positions)
        if self._shorter is not None:
            return self._session.extend(ids, n, keep)
        if not bool((n > 0).all()):
            raise ValueError(f"a session begins with the prompts, and one of them is empty: {n.tolist()} ids")
        last = ids.cpu().gather(1, n[:, None] - 1)[:, 0].tolist()  # (R,)
        prompts = [[id] if self._prompt is None else self._prompt for id in last]
        logits = self._session.extend(*ragged(prompts))  # (R, 1, V)
        self._shorter = n - torch.tensor([len(prompt) for prompt in prompts])
        self._prompt_lengths = n
        return F.pad(logits, (0, 0, keep - 1, 0), value=torch.nan)  # (R, keep, V)

    def select(self, rows: Tensor) -> None:
        self._session.select(rows)
        if self._shorter is not None:
            self._shorter = self._shorter[rows.cpu()]
            self._prompt_lengths = self._prompt_lengths[rows.cpu()]

    def rewind(self, lengths: Tensor) -> None:
        lengths = lengths.cpu()
        if bool((lengths < self._prompt_lengths).any()):
            raise ValueError(
                f"rows cannot go back into prompts of {self._prompt_lengths.tolist()} ids, in whose place others "
                f"stand; got {lengths.tolist()}"
            )
        self._session.rewind(lengths if self._shorter is None else lengths - self._shorter)


def puts_another_prompt(model: LanguageModel) -> bool:
    """Whether a model replaces prompts, itself or in one of its parts."""
    if isinstance(model, Combined):
        return any(puts_another_prompt(part) for part in model.models)
    return isinstance(model, Reprompted)
