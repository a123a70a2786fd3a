"""Outcomes as a person reads them, at the width of the terminal, and as JSON."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable
from typing import Any

from decoding.legible import cut, padded, visible
from scripts.paint import Paint

from .run import Outcome
from .verdict import Comparison, Unchecked

_MARKS = {"pass": "pass", "differs": "soft", "fail": "FAIL", "waits": "wait"}
_COLOURS = {"pass": Paint.green, "differs": Paint.yellow, "fail": Paint.red, "waits": Paint.yellow}
_KEY, _EXPECTED = 24, 26  # columns of a table's row; what came out gets the rest


def width() -> int:
    return max(60, min(shutil.get_terminal_size((80, 24)).columns, 120))


# -- one fact ---------------------------------------------------------------------------------------------------------


def heading(paint: Paint) -> str:
    """What the columns of a fact's rows are."""
    return paint.dim(f"      {'entry':<{_KEY}}{'expected':<{_EXPECTED}}  got")


def block(outcome: Outcome, paint: Paint) -> str:
    """One fact: its verdict and id, a row for each entry that was compared, and the source."""
    fact = outcome.fact
    mark = _MARKS[outcome.verdict]
    about = f"{fact.model}, {fact.run['name'].replace('_', ' ')}"
    lines = [_COLOURS[outcome.verdict](paint, f"{mark}  {fact.id}") + paint.dim(f"  {about}")]
    lines += [line for comparison in outcome.comparisons for line in _row(comparison, fact.prompt)]
    if outcome.error:
        lines += _wrapped(f"it broke off: {outcome.error}")
    if outcome.verdict in ("fail", "differs") and fact.note:
        lines += _wrapped(f"note: {fact.note}")
    lines.append(paint.dim(cut(f"      {fact.source}", width())))
    return "\n".join(lines)


def _row(comparison: Comparison, prompt: Any) -> list[str]:
    if isinstance(comparison.got, Unchecked):
        return [cut(f"      {padded(comparison.key, _KEY)}not compared: {comparison.got.why}", width())]
    expected = brief(comparison.expected, prompt)
    room = width() - 6 - _KEY - _EXPECTED - 2
    if comparison.agrees:
        return [f"      {padded(comparison.key, _KEY)}{padded(cut(expected, _EXPECTED), _EXPECTED)}  "
                f"{cut(_agreement(comparison), room)}"]  # fmt: skip
    lines = [f"      {comparison.key}"]
    if comparison.deviation is not None and comparison.allowed is not None:
        lines += _wrapped(f"off by {_short(comparison.deviation)}, allowed is {_short(comparison.allowed)}", 8)
    lines += _wrapped(f"expected  {visible(_whole(comparison.expected))}", 8)
    return lines + _wrapped(f"got       {visible(_whole(comparison.got))}", 8)


def _agreement(comparison: Comparison) -> str:
    if comparison.deviation is None or comparison.allowed is None:
        return "the same"
    return f"off {comparison.deviation:.1e} of {comparison.allowed:.2g}"


def brief(value: Any, prompt: Any = None) -> str:
    """A value on one line: numbers without brackets, a text without the prompt before it."""
    if isinstance(value, str):
        if isinstance(prompt, str) and len(prompt) < len(value):
            value = value.removeprefix(prompt)
        return visible(value)
    if isinstance(value, dict):
        if set(value) == {"position", "id", "value"}:
            return _short(value["value"])
        return " ".join(brief(one, prompt) for one in value.values())
    if isinstance(value, list):
        return " ".join(brief(one, prompt) for one in value[:40])
    return _short(value)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _whole(value: Any) -> str:
    """For a difference: everything, as far as it can be read."""
    return cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), 1200)


def _wrapped(text: str, indent: int = 6) -> list[str]:
    lines = textwrap.wrap(text, width() - indent - 10, break_on_hyphens=False)
    first, rest = " " * indent, " " * (indent + 10)
    return [(first if number == 0 else rest) + line for number, line in enumerate(lines)]


# -- all of them ------------------------------------------------------------------------------------------------------


def waiting(outcomes: Iterable[Outcome], paint: Paint) -> str:
    """The facts that were not run, by what they wait for."""
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.verdict == "waits":
            reasons.setdefault(outcome.waits_for, []).append(outcome.fact.id)
    lines = []
    for reason, ids in reasons.items():
        lines.append(paint.yellow(f"wait  {len(ids)} for {reason}"))
        lines += textwrap.wrap(
            ", ".join(ids), width(), initial_indent="      ", subsequent_indent="      ", break_on_hyphens=False
        )
    return "\n".join(lines)


def summary(outcomes: list[Outcome]) -> str:
    """How many there are of each verdict, in a line."""
    count = {verdict: sum(outcome.verdict == verdict for outcome in outcomes) for verdict in _MARKS}
    parts = [f"{count['pass']} pass", f"{count['fail']} fail"]
    if count["differs"]:
        parts.append(f"{count['differs']} soft ones differ, which proves no error")
    if count["waits"]:
        parts.append(f"{count['waits']} wait")
    return f"{len(outcomes)} facts: " + ", ".join(parts)


def as_json(outcome: Outcome) -> str:
    """One outcome as one line of JSON."""
    fact = outcome.fact
    content: dict[str, Any] = {
        "id": fact.id,
        "model": fact.model,
        "run": fact.run["name"],
        "verdict": outcome.verdict,
        "source": fact.source,
        "soft": fact.soft,
    }
    if outcome.waits_for:
        content["waits_for"] = outcome.waits_for
    if outcome.error:
        content["error"] = outcome.error
    if outcome.comparisons:
        content["seconds"] = round(outcome.seconds, 3)
        content["comparisons"] = [_comparison_as_json(comparison) for comparison in outcome.comparisons]
    return json.dumps(content, ensure_ascii=False)


def _comparison_as_json(comparison: Comparison) -> dict[str, Any]:
    content: dict[str, Any] = {"key": comparison.key, "agrees": comparison.agrees, "expected": comparison.expected}
    if isinstance(comparison.got, Unchecked):
        return {**content, "not_compared": comparison.got.why}
    content["got"] = comparison.got
    if comparison.deviation is not None:
        content |= {"deviation": comparison.deviation, "allowed": comparison.allowed}
    return content
