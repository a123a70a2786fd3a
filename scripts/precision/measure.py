"""A model in each precision, eager and compiled, held against itself in eager float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from gpt2 import GPT2

from .continuations import Continuations, Ids, compare, greedy
from .divergence import Divergence, diverge
from .texts import Text, windows

PRECISIONS = ("float32", "bfloat16", "float16", "int8")


@dataclass(frozen=True)
class Row:
    """One precision, computed in one way."""

    name: str  # "compiled int8"
    weights_bytes: int
    divergences: list[Divergence]  # one a text
    continuations: Continuations


@dataclass(frozen=True)
class Results:
    """The first row is the reference, held against itself."""

    rows: list[Row]
    n_positions: int
    left_out: list[str]  # rows that cannot be computed here


def measure(
    load: Callable[[torch.dtype], GPT2],
    precisions: Sequence[str],
    texts: Sequence[Text],
    prompts: Ids,
    new_ids: int,
    report: Callable[[str], None],
) -> Results:
    """Two models are in memory at a time. `report` is told the name of each row before it is compared.

    Raises ValueError where prompt and new ids do not fit into the model.
    """
    reference = load(torch.float32)
    longest = max(map(len, prompts)) + new_ids
    if longest > reference.n_positions:
        raise ValueError(
            f"this model has {reference.n_positions} positions; a prompt and its new ids come to {longest}: "
            f"give fewer --prompt-ids or --new-ids"
        )
    cut = [windows(text.ids, reference.n_positions) for text in texts]
    expected = greedy(reference, prompts, new_ids)

    def row(name: str, model: GPT2) -> Row:
        report(name)
        written = expected if model is reference else greedy(model, prompts, new_ids)
        divergences = [diverge(reference, model, one) for one in cut]
        continuations = compare(reference, prompts, expected, written)
        return Row(name, weights_bytes(model), divergences, continuations)

    rows, left_out = [row("eager float32", reference)], []
    for precision in (one for one in PRECISIONS if one in precisions):
        model = load(getattr(torch, precision))  # float32 once more: compiling lays out the weights anew, in place
        if precision != "float32":
            rows.append(row(f"eager {precision}", model))
        compiled = model.compiled()  # where it cannot be had, this says why
        if compiled.native is None:
            left_out.append(f"compiled {precision}")
        else:
            rows.append(row(f"compiled {precision}", compiled))
        del model, compiled  # before the next one comes
    return Results(rows, reference.n_positions, left_out)


def weights_bytes(model: nn.Module) -> int:
    """Of all parameters, and of the whole numbers and scales of int8, each counted once."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
