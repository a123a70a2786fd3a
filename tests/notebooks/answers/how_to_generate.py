"""Other right answers to the exercises of notebook 14."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from decoding import (
    Greedy,
    NoRepeatNGram,
    RepetitionPenalty,
    Sample,
    Strategy,
    Temperature,
    TopK,
    TopP,
    TransformersBeamSearch,
)


def both_scores(logits: Tensor, removed: Tensor, ids: list[int], length_penalty: float) -> tuple[float, float]:
    """Theirs, and what ours has more: the logarithm of what was left at each step."""
    probabilities = logits.double().softmax(dim=-1)
    theirs = sum(float(row[id].log()) for row, id in zip(probabilities, ids, strict=True))
    left = sum(float(row[~gone].sum().log()) for row, gone in zip(probabilities, removed, strict=True))
    weight = len(ids) ** -length_penalty
    return theirs * weight, (theirs - left) * weight


def impossible(logits: Tensor, prompt: list[int], text: list[int], k: int, n: int) -> list[int]:
    """Without the project's processors: go backwards from whole runs."""
    whole = [*prompt, *text]
    bad = []
    for t in range(len(text)):
        place = len(prompt) + t
        ranked = logits[t].argsort(descending=True).tolist()
        if n:
            seen = {tuple(whole[i : i + n]) for i in range(place - n + 1)}
            ranked = [id for id in ranked if (*whole[max(place - n + 1, 0) : place], id) not in seen]
        if text[t] not in (ranked[:k] if k else ranked):
            bad.append(t)
    return bad


def translated(settings: dict[str, Any]) -> Strategy:
    """All that there may be, and those of it that are on."""
    value = settings.get
    draws = value("do_sample", False)
    penalty, size = value("repetition_penalty", 1), value("no_repeat_ngram_size", 0)
    heat, k, p = value("temperature", 1), value("top_k", 50), value("top_p", 1)
    chain = [
        make(number)
        for make, number, on in (
            (RepetitionPenalty, penalty, penalty != 1),
            (NoRepeatNGram, size, size),
            (Temperature, heat, draws and heat != 1),
            (TopK, k, draws and k),
            (TopP, p, draws and p != 1),
        )
        if on
    ]
    if draws or value("num_beams", 1) < 2:
        return (Sample if draws else Greedy)(*chain)
    names = {"num_beams": "beams", "num_return_sequences": "candidates"}
    given = {names.get(name, name): number for name, number in settings.items() if name in (*names, "length_penalty")}
    early = {"early_stopping": settings["early_stopping"]} if "early_stopping" in settings else {}
    return TransformersBeamSearch(*chain, **({"candidates": 1} | given | early))
