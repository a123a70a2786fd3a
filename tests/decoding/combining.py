"""The rules of models made of others once more: plain Python, a row at a time, and the well-known wrong versions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from decoding import LanguageModel
from gpt2 import GPT2

Row = list[float]


def log_softmax(logits: Sequence[float]) -> Row:
    best = max(logits)
    total = best + math.log(math.fsum(math.exp(logit - best) for logit in logits))
    return [logit - total for logit in logits]


def plausible(logprobs: Row, alpha: float) -> list[bool]:
    """p_i >= alpha max p, in probabilities; ids of probability 0 never."""
    best = max(logprobs)
    return [p > -math.inf and math.exp(p - best) >= alpha * (1 - 1e-13) for p in logprobs]


def contrastive(expert: Row, amateur: Row, alpha: float, temperature: float, wrong: str = "") -> Row:
    """Contrastive decoding, Li et al. 2022."""
    hot = [logit / temperature for logit in amateur]
    p, a = log_softmax(expert), log_softmax(hot)
    keep = plausible(p, alpha)
    if wrong == "threshold in logits":
        keep = [logit >= alpha * max(expert) for logit in expert]
    if wrong == "threshold of the amateur":
        keep = plausible(a, alpha)
    if wrong == "temperature on the expert":
        p, a = log_softmax([logit / temperature for logit in expert]), log_softmax(amateur)
    if wrong == "temperature on both":
        p = log_softmax([logit / temperature for logit in expert])
    if wrong == "temperature multiplied":
        a = log_softmax([logit * temperature for logit in amateur])
    if wrong == "sign":
        p, a = a, p
    if wrong == "probabilities":
        return [math.exp(x) - math.exp(y) if k else -math.inf for x, y, k in zip(p, a, keep, strict=True)]
    return [x - y if k else -math.inf for x, y, k in zip(p, a, keep, strict=True)]


def guidance(c: Row, u: Row, scale: float, wrong: str = "") -> Row:
    """Classifier-free guidance, Sanchez et al. 2023."""
    if wrong == "":
        c, u = log_softmax(c), log_softmax(u)
    if wrong == "sign":
        c, u = log_softmax(u), log_softmax(c)
    if wrong == "added":  # the scale that others count from 0: c + scale (c - u)
        c, u = log_softmax(c), log_softmax(u)
        return [(1 + scale) * x - scale * y for x, y in zip(c, u, strict=True)]
    return [scale * x + (1 - scale) * y for x, y in zip(c, u, strict=True)]


def jensen_shannon(q: Row, m: Row) -> float:
    """Of log-probabilities: KL(q || a) / 2 + KL(m || a) / 2, a the mean of both distributions."""
    terms = []
    for x, y in zip(q, m, strict=True):
        a = math.log((math.exp(x) + math.exp(y)) / 2)
        terms += [math.exp(x) * (x - a), math.exp(y) * (y - a)]
    return math.fsum(terms) / 2


def reversed_divergence(q: Row, m: Row) -> float:
    """KL(a || q) / 2 + KL(a || m) / 2, as transformers and the paper's authors compute it."""
    means = [(math.exp(x) + math.exp(y)) / 2 for x, y in zip(q, m, strict=True)]
    return math.fsum(a * (math.log(a) - (x + y) / 2) for a, x, y in zip(means, q, m, strict=True))


def dola(last: Row, early: Sequence[Row], alpha: float, wrong: str = "") -> tuple[Row, int]:
    """DoLa, Chuang et al. 2023: scores, and which of the early layers was chosen."""
    q, layers = log_softmax(last), [log_softmax(layer) for layer in early]
    measure = reversed_divergence if wrong == "KL reversed" else jensen_shannon
    divergences = [measure(q, m) for m in layers]
    best = min(divergences) if wrong == "least divergence" else max(divergences)
    choice = divergences.index(best)
    if wrong == "always the first":
        choice = 0
    m = layers[choice]
    if wrong == "sign":
        return [y - x if k else -math.inf for x, y, k in zip(q, m, plausible(q, alpha), strict=True)], choice
    keep = plausible(m if wrong == "threshold of the layer" else q, alpha)
    return [x - y if k else -math.inf for x, y, k in zip(q, m, keep, strict=True)], choice


# --- what a model says after a row of ids, computed anew ---


def after(model: LanguageModel, ids: Sequence[int]) -> Row:
    """The logits behind these ids: one row, no cache."""
    return [float(logit) for logit in model.open().extend(torch.tensor([list(ids)]))[0, 0].double()]


@torch.no_grad()
def layers_along(model: GPT2, ids: Sequence[int], layers: Sequence[int], norm: bool = True) -> list[list[Row]]:
    """The logits behind every id, of each of these layers, by running the blocks one after another.

    norm   whether the layers pass the last LayerNorm; the last one always does
    """
    x = (model.wte.weight[list(ids)] + model.wpe.weight[: len(ids)])[None]  # (1, T, C)
    seen = [x[0]]
    for block in model.h:
        x = block(x)
        seen.append(x[0])
    hidden = [model.ln_f(seen[layer]) if norm or layer == model.n_layer else seen[layer] for layer in layers]
    logits: list[list[Row]] = (torch.stack(hidden, dim=1) @ model.wte.weight.T).tolist()  # (T, L, V)
    return logits


def layers_after(model: GPT2, ids: Sequence[int], layers: Sequence[int], norm: bool = True) -> list[Row]:
    """The same behind the last id alone."""
    return layers_along(model, ids, layers, norm)[-1]


Rule = Callable[[list[int], int], Row]  # all ids of a row, and how many are its prompt -> logits of the next
