"""What differs between the value that was expected and the one that came, in words."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch
from torch import Tensor

_MOST = 12  # entries of a list that are shown
_LARGE = 36  # numbers of a tensor, from which on they are not
_NAMES: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    list: "a list",
    dict: "a dict",
}


@dataclass(frozen=True)
class Complaint:
    """What is wrong, and whether it helps to see both values."""

    sentence: str
    values: bool = False
    kind: str = ""  # what two complaints about the same mistake share, where their sentences differ


def copy_of(value: Any) -> Any:
    """The value with tensors and containers of its own; functions and models stay what they are."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copy_of(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [copy_of(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)  # a NamedTuple has fields
    return value.copy() if isinstance(value, numpy.ndarray) else value


def complaint_about(expected: Any, got: Any, tolerance: float) -> Complaint | None:
    """None where `got` is `expected`: the same type, shape and kind of numbers, values to the tolerance."""
    if isinstance(expected, Tensor):
        return _about_tensor(expected, got, tolerance)
    if isinstance(expected, (list, tuple)):
        return _about_sequence(expected, got, tolerance)
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return _wrong_type(expected, got)
        if list(expected) != list(got):
            return Complaint("The keys are not the expected ones, in their order.", values=True)
        return _first(_in(repr(key), complaint_about(expected[key], got[key], tolerance)) for key in expected)
    if isinstance(expected, bool) or expected is None or isinstance(expected, str):
        if type(got) is not type(expected):
            return _wrong_type(expected, got)
        return None if got == expected else Complaint("The value is wrong.", values=True)
    if isinstance(expected, numbers.Real):
        return _about_number(expected, got, tolerance)
    same = got is expected or (type(got) is type(expected) and bool(numpy.all(got == expected)))
    return None if same else Complaint("The value is wrong.", values=True)


def _about_tensor(expected: Tensor, got: Any, tolerance: float) -> Complaint | None:
    if not isinstance(got, Tensor):
        return _wrong_type(expected, got)
    got, expected = got.detach().cpu(), expected.detach().cpu()
    if got.shape != expected.shape:
        return Complaint(f"The shape is {tuple(got.shape)}; it should be {tuple(expected.shape)}.")
    if _kind(got) != _kind(expected):
        return Complaint(f"The tensor holds {_kind(got)} ({got.dtype}); it should hold {_kind(expected)}.")
    if bool(got.isnan().any()) and not bool(expected.isnan().any()):
        return Complaint(
            "There is a NaN (not a number) in it: inf - inf, 0 / 0 or 0 * inf happened somewhere.", values=True
        )
    if torch.allclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True):
        return None
    finite = expected.isfinite() & got.isfinite()
    if expected.is_floating_point() and torch.equal(expected[~finite], got[~finite].to(expected.dtype)):
        most = float((got.double() - expected.double())[finite].abs().max())
        if most < 0.01:
            return Complaint(f"The values are nearly right: off by up to {most:.1g}.", values=True)
    return Complaint("The values are wrong.", values=True)


def first_difference(expected: Any, got: Any, tolerance: float) -> list[str]:
    """Where two tensors begin to differ, as a line, if they are too large to be shown."""
    if not isinstance(expected, Tensor) or not isinstance(got, Tensor) or expected.numel() <= _LARGE:
        return []
    close = torch.isclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True)
    at = (~close).nonzero()[0].tolist()
    return [f"    first at   {at}: expected {show(expected[tuple(at)])}, yours {show(got[tuple(at)])}"]


def _about_sequence(expected: Sequence[Any], got: Any, tolerance: float) -> Complaint | None:
    if not isinstance(got, type(expected)):
        return _wrong_type(expected, got)
    complaints = [complaint_about(a, b, tolerance) for a, b in zip(expected, got, strict=False)]
    if isinstance(expected, tuple):  # whose parts mean different things
        complaints = [_in(f"part {number}", complaint) for number, complaint in enumerate(complaints, start=1)]
    inside = _first(complaints)
    if inside is not None and not inside.values:
        return inside
    if len(got) != len(expected):
        count = "There is 1 entry" if len(got) == 1 else f"There are {len(got)} entries"
        return Complaint(f"{count}; there should be {len(expected)}.", values=True)
    return inside


def _about_number(expected: numbers.Real, got: Any, tolerance: float) -> Complaint | None:
    if isinstance(got, Tensor) and got.numel() == 1:
        return Complaint("It returns a tensor with one number; .item() makes the number itself.")
    if not isinstance(got, numbers.Real) or isinstance(got, bool):
        return _wrong_type(expected, got)
    if isinstance(expected, numbers.Integral) and not isinstance(got, numbers.Integral):
        return Complaint(f"It returns {got!r}; a whole number is expected.")
    a, b = float(expected), float(got)
    if math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(a) and math.isnan(b)):
        return None
    return Complaint("The value is wrong.", values=True)


def _in(part: str, complaint: Complaint | None) -> Complaint | None:
    """The complaint, with the part of the value that it is about."""
    return complaint and replace(complaint, sentence=f"In {part}: {complaint.sentence}")


def _first(complaints: Iterable[Complaint | None]) -> Complaint | None:
    return next((complaint for complaint in complaints if complaint is not None), None)


def _wrong_type(expected: Any, got: Any) -> Complaint:
    if got is None:
        return Complaint(f"It returns nothing; {_name(expected)} is expected. Is there a `return`?")
    return Complaint(f"It returns {_name(got)}; {_name(expected)} is expected.")


def _name(value: Any) -> str:
    """The type of a value in words."""
    value = value.item() if isinstance(value, numpy.generic) else value
    if value is None:
        return "None"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, numpy.ndarray):
        return "a NumPy array"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return _NAMES.get(type(value), f"something of type {type(value).__name__}")


def _kind(tensor: Tensor) -> str:
    if tensor.dtype == torch.bool:
        return "truth values"
    if tensor.is_complex():
        return "complex numbers"
    return "real numbers" if tensor.is_floating_point() else "whole numbers"


def show(value: Any, words: Sequence[str] | None = None) -> str:
    """A value on one line, with few digits; rows of the width of a toy vocabulary with its words."""
    value = value.item() if isinstance(value, numpy.generic) else value
    if isinstance(value, Tensor):
        if words is not None and value.dim() == 1 and len(value) == len(words) and value.dtype != torch.bool:
            return "[" + ", ".join(f"{word} {show(x)}" for word, x in zip(words, value.tolist(), strict=True)) + "]"
        if value.dim() == 0:
            return show(value.item())
        if value.numel() > _LARGE:
            return f"<{'×'.join(map(str, value.shape))} numbers>"
        return f"[{', '.join(show(part, words) for part in value)}]"
    if isinstance(value, float):
        return f"{value:.4g}" if value == value and abs(value) != float("inf") else f"{value:g}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(show(part, words) for part in value[:_MOST]) + (", …" if len(value) > _MOST else "")
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {show(part, words)}" for key, part in value.items()) + "}"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return repr(value) if isinstance(value, (int, str, bool, type(None))) else f"<{type(value).__name__}>"
