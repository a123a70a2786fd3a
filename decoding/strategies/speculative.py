"""A draft, and the model's verdict on each of its ids."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Chance, Prefix, Purpose
from .speculation import Drafted, Target, Verdict


class Speculative(Drafted):
    """Speculative sampling: texts with exactly the distribution of `Sample`, several ids a call of the model.

        keep a drafted id x with probability  min(1, p(x) / q(x))
        at the first that is not kept draw from  max(p - q, 0), normalised;  behind a draft that is kept whole, from p

    p is the model's distribution and q that which the draft was drawn from, both after the same processors. Whatever q
    is, the ids that come out are distributed as p: a good draft makes it faster, a bad one slower, none makes it wrong.

    draft    a smaller language model with the same ids, `PromptLookup()`, or `SelfSpeculative(layers)`
    length   how many ids are drafted in a round

    With `Temperature(0)` it gives the ids of `Greedy`, but where the two best logits lie so close that the rounding of
    a call with several positions decides. Whether it pays depends on how often drafts are kept, on what drafting costs,
    and on how much more a call with several ids costs than one with one; each `Generation` tells the first in `rounds`.

    Raises ValueError for a draft that cannot draft for this model, and for a length below 1.
    Leviathan et al. 2022, "Fast Inference from Transformers via Speculative Decoding", arXiv:2211.17192; Chen et al.
    2023, "Accelerating Large Language Model Decoding with Speculative Sampling", arXiv:2302.01318.
    """

    def verify(self, target: Target) -> Verdict:
        draft = target.draft
        for place, id in enumerate(draft.ids):
            logprobs = target.logprobs(place)  # (V,)
            ratio = float((logprobs[id] - draft.logprob(place)).exp())  # p(x) / q(x), both of which may underflow
            if not accepted(ratio, target.chance, target.prefix(place)):
                p = logprobs.exp()
                q = draft.probabilities(place, len(p)).to(p.device)  # (V,)
                return Verdict(place, drawn_anew((p - q).clamp(min=0.0), target, place))
        place = len(draft.ids)
        if target.finished:
            return Verdict(place, None)
        return Verdict(place, target.chance.choose(target.logits(place), Purpose.TOKEN, target.prefix(place)))


def accepted(probability: float, chance: Chance, prefix: Prefix) -> bool:
    """Yes with this probability, or for certain where it is 1 or more."""
    yes = torch.tensor([min(probability, 1.0)], dtype=torch.float64, device=prefix.ids.device)
    outcomes = torch.stack([yes, 1.0 - yes], dim=1).log()  # (1, 2)
    return int(chance.choose(outcomes, Purpose.ACCEPTANCE, prefix)) == 0


def drawn_anew(residual: Tensor, target: Target, place: int) -> Tensor:
    """An id (1,) drawn in proportion to the residual (V,)."""
    if not bool(residual.any()):  # only rounding can reject where p equals q
        residual = target.logprobs(place).exp()
    return target.chance.choose(residual.log()[None], Purpose.RESIDUAL, target.prefix(place))
