"""What was expected and what came out, compared by the rule that the fact gives for each entry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .fact import Fact


@dataclass(frozen=True)
class Unchecked:
    """In the place of a value: it cannot be had here, and why. Such an entry is told and not counted."""

    why: str


@dataclass(frozen=True)
class Comparison:
    """One entry of a fact: what was expected, what came out, and what follows.

    deviation   of all numbers, the difference that is nearest to what is allowed, or furthest beyond it
    allowed     how much is allowed there; both are None where no two numbers were compared
    """

    key: str
    expected: Any
    got: Any
    agrees: bool
    deviation: float | None = None
    allowed: float | None = None


def compare(fact: Fact, got: dict[str, Any], *, float64: bool = False) -> list[Comparison]:
    """Every entry of the fact that has a rule, in the fact's order. `float64` takes the narrower tolerances for it."""
    comparisons = []
    for key, rule in fact.compare.items():
        expected = fact.expected[key]
        if key not in got:
            raise KeyError(f"{fact.id}: nothing was computed for {key}")
        found = got[key]
        if isinstance(found, Unchecked):
            comparisons.append(Comparison(key, expected, found, agrees=True))
        elif rule["mode"] == "allclose":
            comparisons.append(_numbers(key, expected, found, rule, float64))
        else:
            comparisons.append(Comparison(key, expected, found, _EQUALITIES[rule["mode"]](expected, found, rule)))
    return comparisons


def _exact(expected: Any, found: Any, rule: dict[str, Any]) -> bool:
    if rule.get("any_of"):
        return found in expected
    if "on" in rule:  # of each of several only this
        return [one[rule["on"]] for one in expected] == [one[rule["on"]] for one in found]
    return bool(expected == found)


def _prefix(expected: Any, found: Any, rule: dict[str, Any]) -> bool:
    """What was expected, or its first n, is the beginning of what came out."""
    wanted = expected[: rule.get("n", len(expected))]
    return bool(found[: len(wanted)] == wanted)


_EQUALITIES = {"exact": _exact, "prefix": _prefix}


def _numbers(key: str, expected: Any, found: Any, rule: dict[str, Any], float64: bool) -> Comparison:
    atol = rule["atol_float64"] if float64 and "atol_float64" in rule else rule["atol"]
    rtol, exact = rule.get("rtol", 0.0), rule.get("exact", [])
    worst: tuple[float, float, float] | None = None  # the share of what is allowed, the difference, what is allowed
    agrees = True

    def visit(wanted: Any, got: Any, tolerance: Any) -> None:
        nonlocal worst, agrees
        if wanted is None:  # not printed in the source
            return
        if isinstance(wanted, dict):
            if not isinstance(got, dict) or wanted.keys() - got.keys():
                agrees = False
                return
            for name, value in wanted.items():
                if name in exact:
                    agrees = agrees and got[name] == value
                else:
                    visit(value, got[name], tolerance)
        elif isinstance(wanted, list):
            if not isinstance(got, list) or len(got) != len(wanted):
                agrees = False
                return
            each = tolerance if isinstance(tolerance, list) else [tolerance] * len(wanted)
            for value, other, one in zip(wanted, got, each, strict=True):
                visit(value, other, one)
        elif _is_number(wanted) and _is_number(got) and (isinstance(wanted, float) or isinstance(got, float)):
            limit = tolerance + rtol * abs(wanted)
            deviation = abs(got - wanted)
            if not math.isfinite(deviation):  # NaN and infinity never agree
                deviation = math.inf
            agrees = agrees and math.isfinite(deviation) and deviation <= limit
            share = deviation / limit if limit and math.isfinite(deviation) else math.inf if deviation else 0.0
            if worst is None or share > worst[0]:
                worst = share, deviation, limit
        elif wanted != got:  # ids, positions and texts among the numbers
            agrees = False

    visit(expected, found, atol)
    return Comparison(key, expected, found, agrees, *(worst[1:] if worst else (None, None)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))
