"""What a large model knows and a small one does not."""

from __future__ import annotations

from torch import Tensor

from ..core import LanguageModel, is_number
from .combined import Combined, check_alpha, keep_plausible


class ContrastiveDecoding(Combined):
    """Contrastive decoding: the ids that an expert finds likelier than an amateur does, of those that are plausible.

        logits_i = log p_i - log softmax(amateur's logits / temperature)_i     where p_i >= alpha max p, else -inf

    p is the expert's distribution. What both models like, repetitions and commonplaces, cancels. The difference alone
    would favour nonsense of which the amateur is even surer that it is wrong, hence the threshold. A temperature below
    1 makes a surer amateur. The larger the gap between the two, the better: the paper pairs gpt2-xl with gpt2.

    As a language model it is normalised again at every step, so that beams add log-probabilities where the paper adds
    the differences themselves. To let the amateur see less of the text, pass `Reprompted(amateur)`.

    Raises ValueError for models with different vocabularies, an alpha outside of 0 to 1, and a temperature that is not
    above 0.
    Li et al. 2022, "Contrastive Decoding: Open-ended Text Generation as Optimization", arXiv:2210.15097.
    """

    def __init__(
        self, expert: LanguageModel, amateur: LanguageModel, *, alpha: float = 0.1, temperature: float = 1.0
    ) -> None:
        super().__init__(expert, amateur)
        check_alpha(alpha)
        if not (is_number(temperature) and 0.0 < temperature < float("inf")):
            raise ValueError(f"temperature is what the amateur's logits are divided by, above 0; got {temperature!r}")
        self.alpha = alpha
        self.temperature = temperature

    def __repr__(self) -> str:
        return f"ContrastiveDecoding(alpha={self.alpha!r}, temperature={self.temperature!r})"

    def rule(self, *logits: Tensor) -> Tensor:
        expert, amateur = logits  # (..., V) each
        logprobs = expert.log_softmax(dim=-1)
        difference = logprobs - (amateur / self.temperature).log_softmax(dim=-1)
        return keep_plausible(difference, logprobs, self.alpha)
