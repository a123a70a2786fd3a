"""Favour, forbid or force single ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core import Prefix, Processor, Removal, is_number, is_whole_number
from ..wording import counted
from .history import LARGEST, check_ids, check_in_vocabulary, needed, remove


@dataclass(frozen=True, repr=False)
class LogitBias(Processor):
    """Add to the logits of single ids.

        logits_i = logits_i + bias_i

    Biases are finite (`Suppress` removes ids); 5 multiplies the odds by about 150. Raises ValueError for a bias beyond
    1e30, or for what is no id.
    Common practice, without a paper.
    """

    biases: Mapping[int, float] = field(hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.biases, Mapping):
            raise ValueError(f"biases are given as {{id: bias}}; got {self.biases!r}")
        check_ids(self.biases)
        for id, bias in self.biases.items():
            if not (is_number(bias) and abs(bias) <= LARGEST):
                raise ValueError(
                    f"a bias is a number from -1e30 to 1e30 (Suppress removes ids); got {bias!r} for id {id}"
                )
        object.__setattr__(self, "biases", dict(self.biases))

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        check_in_vocabulary(self.biases, logits.shape[-1], self)
        if not any(self.biases.values()):
            return logits
        ids = torch.tensor(list(self.biases), device=logits.device)
        return logits.index_add(-1, ids, logits.new_tensor(list(self.biases.values())).expand(*logits.shape[:-1], -1))


@dataclass(frozen=True, repr=False)
class Suppress(Processor):
    """Remove single ids, always.

        remove i where  i in ids

    Raises ValueError for what is no id.
    Common practice, without a paper.
    """

    ids: Collection[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(dict.fromkeys(check_ids(self.ids))))

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        check_in_vocabulary(self.ids, logits.shape[-1], self)
        if not self.ids:
            return logits
        return logits.index_fill(-1, torch.tensor(list(self.ids), dtype=torch.int64, device=logits.device), -torch.inf)

    def reason(self, removal: Removal) -> str:
        return "it is one of those that are never said"


@dataclass(frozen=True, repr=False)
class Force(Processor):
    """Leave only one id at given steps.

        at each step of the mapping:  remove every i but the given one

    Step 0 chooses the first new id. An id that an earlier processor has removed stays removed, which is then an error.
    Raises ValueError for what is no step or no id.
    Common practice, without a paper.
    """

    ids: Mapping[int, int] = field(hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.ids, Mapping):
            raise ValueError(f"what to force is given as {{step: id}}; got {self.ids!r}")
        for step in self.ids:
            if not is_whole_number(step) or step < 0:
                raise ValueError(f"steps are counted from 0, the first new id; got {step!r}")
        check_ids(self.ids.values())
        object.__setattr__(self, "ids", dict(self.ids))

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        prefix = needed(prefix, logits, self)
        check_in_vocabulary(self.ids.values(), logits.shape[-1], self)
        forced = torch.tensor([self.ids.get(step, -1) for step in prefix.steps.tolist()], device=logits.device)  # (R,)
        if bool((forced < 0).all()):
            return logits
        others = torch.arange(logits.shape[-1], device=logits.device) != forced[:, None]  # (R, V)
        return logits.masked_fill(others & (forced >= 0)[:, None], -torch.inf)

    def reason(self, removal: Removal) -> str:
        step = int(removal.prefix.steps)
        return f"{removal.name(self.ids[step])} is forced as new id {step + 1}"


@dataclass(frozen=True, repr=False)
class MinNewTokens(Processor):
    """No end before so many new ids.

        remove eos where  (number of new ids) < n

    The prompt does not count. Where no id ends a text, it changes nothing. Raises ValueError for a negative n.
    Common practice, without a paper.
    """

    n: int

    def __post_init__(self) -> None:
        if not is_whole_number(self.n) or self.n < 0:
            raise ValueError(f"the least number of new ids is a whole number of at least 0; got {self.n!r}")

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        prefix = needed(prefix, logits, self)
        if prefix.eos_id is None or prefix.eos_id >= logits.shape[-1]:
            return logits
        return remove(logits, ([prefix.eos_id] if step < self.n else [] for step in prefix.steps.tolist()))

    def reason(self, removal: Removal) -> str:
        so_far = counted(int(removal.prefix.steps), "new id")
        return f"it ends the text, which has {so_far} and is to have at least {self.n}"
