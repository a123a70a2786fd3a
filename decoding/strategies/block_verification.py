"""A draft that is judged as a whole."""

from __future__ import annotations

from torch import Tensor

from ..core import Chance, Prefix, Purpose
from .speculation import Drafted, Target, Verdict
from .speculative import accepted, drawn_anew


class BlockVerification(Drafted):
    """Block verification: the distribution of `Sample` as `Speculative`, and on average no fewer drafted ids are kept.

        w_0 = 1,    w_i = min(1, w_(i-1) p(x_i) / q(x_i))
        keep the first i ids with probability  h_i = s_i / (s_i + 1 - w_i),  s_i = sum max(w_i p - q, 0),  h_n = w_n
        for the largest i that succeeds; behind it draw from  max(w_i p - q, 0),  behind a whole draft from p

    p and q are the distributions behind those i ids. An unlikely id can be made up for by those before it, in which
    the model believes more than the draft does; token by token that surplus would be lost. Where p is certain, with
    `Temperature(0)`, nothing is gained.

    draft    a smaller language model with the same ids, `PromptLookup()`, or `SelfSpeculative(layers)`
    length   how many ids are drafted in a round

    What stays depends on the ids behind it, so no random number may serve twice: noise is keyed by how many draws the
    row has made, and not by the step. (A coin that a processor tossed behind what stays does not serve twice, either:
    the id that is drawn is never the one that was rejected, so that no text comes by there again.) Raises ValueError
    for a draft that cannot draft for this model, and for a length below 1.
    Sun et al. 2024, "Block Verification Accelerates Speculative Decoding", arXiv:2403.10444.
    """

    def chance(self, chance: Chance) -> Chance:
        return _Numbered(chance)

    def verify(self, target: Target) -> Verdict:
        draft, weight = target.draft, 1.0
        kept, residual = 0, target.logprobs(0).exp()  # (V,): what is drawn from if no more stays
        whole = len(draft.ids)
        for place, id in enumerate(draft.ids):
            if weight == 0.0:
                break  # nothing from here on can stay
            if target.fault(place) is not None:
                whole = place  # so the draft ends here, as nothing can be said about what is behind
                break
            logprobs = target.logprobs(place)  # (V,)
            p = logprobs.exp()
            q = draft.probabilities(place, len(p)).to(p.device)  # (V,)
            surplus = (weight * p - q).clamp(min=0.0)  # (V,)
            s = float(surplus.sum())
            chosen = s / (s + (1.0 - weight)) if s > 0.0 else 0.0
            if place == 0 or accepted(chosen, target.chance, target.prefix(place)):  # 0 takes its number, too
                kept, residual = place, surplus
            weight = min(1.0, weight * float((logprobs[id] - draft.logprob(place)).exp()))
        if whole and accepted(weight, target.chance, target.prefix(whole)):
            kept = whole
        if kept < whole:
            return Verdict(kept, drawn_anew(residual, target, kept))
        if target.finished and whole == len(draft.ids):
            return Verdict(kept, None)
        return Verdict(kept, target.chance.choose(target.logits(kept), Purpose.TOKEN, target.prefix(kept)))


class _Numbered:
    """A chance whose noise is keyed by the number of the draw, in the place of the step."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._draws = 0

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        return self._chance.choose(logits, purpose, self._numbered(prefix))

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        return self._chance.uniform(n, purpose, self._numbered(prefix))

    def _numbered(self, prefix: Prefix) -> Prefix:
        self._draws += 1
        return prefix._replace(prompt_lengths=prefix.lengths - self._draws)
