"""What the functions accept: everything else is a ValueError in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ..trace import Stage


def numbers(values: Iterable[float] | Tensor, what: str) -> list[float]:
    """Any row of numbers as a list of floats; NaN stays."""
    if isinstance(values, Tensor):
        if values.dim() != 1:
            raise ValueError(f"{what} are numbers in one row; got a tensor of shape {tuple(values.shape)}")
        return [float(value) for value in values.tolist()]
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} are numbers in one row; got {values!r}") from error


def as_many(what: str, values: Sequence[object], of: str, others: Sequence[object]) -> None:
    """One value for each of the others, and at least one."""
    if len(values) != len(others):
        raise ValueError(f"there must be as many {what} as {of}; got {len(values)} {what} and {len(others)} {of}")
    if not len(others):
        raise ValueError(f"there is nothing to draw: no {of}")


def some_curves(
    curves: Mapping[str, Iterable[float] | Tensor], of: str, others: Sequence[object]
) -> dict[str, list[float]]:
    """The curves as lists, each with one value for each of the others."""
    if not curves:
        raise ValueError("there is nothing to draw: no curves")
    if len(curves) > 8:
        raise ValueError(f"up to 8 curves can be told apart in one picture; got {len(curves)}")
    lists = {name: numbers(values, f"the values of {name!r}") for name, values in curves.items()}
    for name, values in lists.items():
        as_many(f"values of {name!r}", values, of, others)
    if not any(math.isfinite(value) for values in lists.values() for value in values):
        raise ValueError("there is nothing to draw: no value is finite")
    return lists


def positive(values: Iterable[float], what: str) -> None:
    """No value of a logarithmic axis is 0 or negative; NaN is none."""
    lowest = min(value for value in values if not math.isnan(value))
    if lowest <= 0:
        raise ValueError(f"a logarithmic axis shows positive values only; {what} {lowest:g}")


def stage_of(name: str, logits: Tensor, what: str = "logits") -> Stage:
    """Logits as a stage of a trace, which knows their probabilities. Some, not all, may be removed (-inf)."""
    if not isinstance(logits, Tensor) or logits.dim() != 1 or not logits.is_floating_point() or not len(logits):
        got = f"{logits.dtype} of {tuple(logits.shape)}" if isinstance(logits, Tensor) else repr(logits)
        raise ValueError(f"{what} are floating-point numbers, one an id, (V,); got {got}")
    if bool(logits.isnan().any()) or bool((logits == torch.inf).any()):
        raise ValueError(f"{what} are finite, or -inf for a removed id; some are NaN or +inf")
    if bool((logits == -torch.inf).all()):
        raise ValueError(f"{what} leave nothing to choose from: every id is removed (-inf)")
    return Stage(name, logits.detach().cpu(), chosen=0)


def probabilities_of(logits: Tensor, what: str = "logits") -> Tensor:
    """The softmax over all ids, (V,) -> (V,) float64, of logits of which some, not all, may be removed (-inf)."""
    return stage_of("", logits, what).probabilities
