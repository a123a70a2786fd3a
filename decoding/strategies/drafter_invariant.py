"""A draft that is kept as long as it is what the model would have drawn itself."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..core import Prefix, Purpose
from .speculation import Drafted, Target, Verdict


class DrafterInvariant(Drafted):
    """Speculation with shared noise: exactly the ids of `Sample` with the same seed, several a call of the model.

        x_t = argmax_i  log p_i + G_i,     drafted as  argmax_i  log q_i + G_i  with the same Gumbel noise G

    The draft is kept up to the first id that differs from the model's own choice, which then takes its place. So the
    text depends on the model, the processors and the seed, and not on the draft. It is kept with a probability of at
    least sum min(p, q) / (2 - sum min(p, q)), a little less often than by `Speculative`.

    draft    a smaller language model with the same ids, `PromptLookup()`, or `SelfSpeculative(layers)`
    length   how many ids are drafted in a round

    Every way of drawing gives texts with the right distribution; `Gumbel` and `InverseCDF`, whose noise is keyed, give
    those of `Sample`, but where two choices lie so close that the rounding of a call with several positions decides.
    Raises ValueError for a draft that cannot draft for this model, and for a length below 1.
    Daliri et al. 2024, "Coupling without Communication and Drafter-Invariant Speculative Decoding", arXiv:2408.07978.
    """

    drafts_for = Purpose.TOKEN  # the same as the model's own

    def verify(self, target: Target) -> Verdict:
        def choose(logits: Tensor, prefix: Prefix) -> Tensor:
            return target.chance.choose(logits, Purpose.TOKEN, prefix)  # (1, V) -> (1,)

        return agreed(target, choose)


def agreed(target: Target, choose: Callable[[Tensor, Prefix], Tensor]) -> Verdict:
    """Keep what the model would have chosen itself, and put its own choice behind that."""
    for place, id in enumerate(target.draft.ids):
        own = choose(target.logits(place), target.prefix(place))  # (1,)
        if int(own) != id:
            return Verdict(place, own)
    place = len(target.draft.ids)
    return Verdict(place, None if target.finished else choose(target.logits(place), target.prefix(place)))
