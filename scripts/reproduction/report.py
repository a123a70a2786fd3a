"""Outcomes as a person reads them, at the width of the terminal, and as JSON."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

from decoding.legible import columns, cut, padded, visible
from scripts.paint import Paint

from .fact import Fact
from .run import Outcome, missing_strategy
from .verdict import Comparison, Unchecked

_MARKS = {"pass": "pass", "differs": "soft", "fail": "FAIL", "waits": "wait"}
_COLOURS = {"pass": Paint.green, "differs": Paint.yellow, "fail": Paint.red, "waits": Paint.yellow}
_KEY, _GOT = 24, 22  # columns of a table's row; what was expected gets the rest
_LONG = 1200  # a value that differs is shown whole up to so many characters


def width() -> int:
    return max(60, min(shutil.get_terminal_size((80, 24)).columns, 120))


# -- one fact ---------------------------------------------------------------------------------------------------------


def heading(paint: Paint) -> str:
    """What the columns of a fact's rows are."""
    return paint.dim(f"      {'entry':<{_KEY}}{'expected':<{_room()}}  got")


def block(outcome: Outcome, paint: Paint) -> str:
    """One fact: its verdict and id, a row for each entry that was compared, and the source."""
    fact = outcome.fact
    title = f"{_MARKS[outcome.verdict]}  {fact.id}"
    lines = [_COLOURS[outcome.verdict](paint, title) + paint.dim(_about(fact, columns(title)))]
    lines += [line for comparison in outcome.comparisons for line in _row(comparison, fact.prompt)]
    if outcome.error:
        lines += _wrapped(f"it broke off: {outcome.error}")
    if outcome.verdict in ("fail", "differs"):
        lines += _wrapped(f"note: {fact.note}") if fact.note else []
    lines += [paint.dim(line) for line in _wrapped(f"source: {fact.source}")]
    return "\n".join(lines)


def listed(fact: Fact, paint: Paint) -> str:
    """One fact without a run: its id, what it waits for where its strategy does not exist yet, and the source."""
    missing = missing_strategy(fact)
    lines = [fact.id + paint.dim(_about(fact, columns(fact.id)))]
    lines += [paint.yellow(line) for line in _wrapped(f"waits for {missing}")] if missing else []
    lines += [paint.dim(line) for line in _wrapped(f"source: {fact.source}")]
    return "\n".join(lines)


def _about(fact: Fact, used: int) -> str:
    """Whose fact it is and what is done, for the rest of a line."""
    return cut(f"  {fact.model}, {fact.run['name'].replace('_', ' ')}", max(1, width() - used))


def _room() -> int:
    """Columns for what was expected."""
    return width() - 6 - _KEY - 2 - _GOT


def _row(comparison: Comparison, prompt: Any) -> list[str]:
    key = padded(comparison.key, _KEY - 1) + " "
    if isinstance(comparison.got, Unchecked):
        lines = fold(f"not compared: {comparison.got.why}", width() - 6 - _KEY)
        return [f"      {key}{lines[0]}", *(" " * (6 + _KEY) + line for line in lines[1:])]
    if comparison.agrees:
        expected = brief(comparison.expected, prompt)
        return [f"      {key}{padded(expected, _room())}  {cut(_agreement(comparison), _GOT)}"]
    return [f"      {comparison.key}", *_wrapped(_distance(comparison), 8), *_difference(comparison)]


def _agreement(comparison: Comparison) -> str:
    if comparison.deviation is None or comparison.allowed is None:
        return "the same"
    return f"off {comparison.deviation:.1e} of {comparison.allowed:.2g}"


def _distance(comparison: Comparison) -> str:
    """How far what came out is from what was expected; empty where no such thing can be said."""
    deviation, allowed = comparison.deviation, comparison.allowed
    if deviation is not None and allowed is not None:
        return "" if deviation <= allowed else f"off by {_short(deviation)}, allowed is {_short(allowed)}"
    expected, got = comparison.expected, comparison.got
    if not (isinstance(expected, (list, str)) and type(expected) is type(got)):
        return ""
    return f"the same in the first {_same(expected, got)} of {len(expected)}"


def _difference(comparison: Comparison) -> list[str]:
    """What was expected and what came out, whole; of long ones the part where they begin to differ."""
    expected, got = _whole(comparison.expected), _whole(comparison.got)
    begin = 0
    if max(len(expected), len(got)) > _LONG:
        begin = max(0, _same(expected, got) - 100)
    lead = "…" if begin else ""
    return [line for name, value in (("expected", expected), ("got", got))
            for line in _wrapped(f"{name:<10}{lead}{cut(value[begin:], _LONG)}", 8, 10)]  # fmt: skip


def _same(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many entries are equal before the first that differs."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


def brief(value: Any, prompt: Any = None) -> str:
    """A value on one line: numbers without brackets or where they stand, a text without the prompt before it."""
    if value is None:
        return "–"
    if isinstance(value, (str, list, dict)) and not value:
        return "(empty)"
    if isinstance(value, str):
        if isinstance(prompt, str):
            begin = prompt.removeprefix("<|endoftext|>")  # which is in no text
            value = value.removeprefix(begin) or value
        return visible(value)
    if isinstance(value, dict):
        if (number := value.get("value", value.get("values"))) is not None:
            return brief(number)
        return " ".join(brief(one, prompt) for one in value.values())
    if isinstance(value, list):
        return " ".join(brief(one, prompt) for one in value[:40])
    return _short(value)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _whole(value: Any) -> str:
    """Everything, on one line; texts in quotes, so that the spaces at their ends are seen."""
    return visible(json.dumps(value, ensure_ascii=False, default=str))


def _wrapped(text: str, indent: int = 6, hang: int = 2) -> list[str]:
    """As many lines as it takes, those behind the first further to the right; none for an empty text."""
    lines = fold(text, width() - indent - hang) if text else []
    first, rest = " " * indent, " " * (indent + hang)
    return [(first if number == 0 else rest) + line for number, line in enumerate(lines)]


def fold(text: str, room: int) -> list[str]:
    """The text in lines of at most `room` columns, broken behind spaces where there are any. No character is lost."""
    lines = [""]
    for word in re.findall(r"\S+\s*|\s+", text):
        if columns(lines[-1] + word) > room >= columns(word):  # a word that fits into no line is broken where it is
            lines.append("")
        for character in word:
            if columns(lines[-1] + character) > room:
                lines.append("")
            lines[-1] += character
    return lines


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
        lines += ["      " + line.rstrip() for line in fold(", ".join(ids), width() - 6)]
    return "\n".join(lines)


def summary(outcomes: list[Outcome]) -> str:
    """How many there are of each verdict, in a line."""
    count = {verdict: sum(outcome.verdict == verdict for outcome in outcomes) for verdict in _MARKS}
    parts = [f"{count['pass']} pass", f"{count['fail']} fail"]
    if count["differs"]:
        parts.append(f"{count['differs']} soft ones differ, which proves no error")
    if count["waits"]:
        parts.append(f"{count['waits']} wait")
    return f"{len(outcomes)} {'fact' if len(outcomes) == 1 else 'facts'}: " + ", ".join(parts)


def as_json(outcome: Outcome) -> str:
    """One outcome as one line of JSON, in ASCII: any standard output can print it, and no text in it ends the line."""
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
    return json.dumps(_finite(content), allow_nan=False)


def _finite(value: Any) -> Any:
    """The value with NaN and infinity in words: JSON has no such numbers."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _comparison_as_json(comparison: Comparison) -> dict[str, Any]:
    content: dict[str, Any] = {"key": comparison.key, "agrees": comparison.agrees, "expected": comparison.expected}
    if isinstance(comparison.got, Unchecked):
        return {**content, "not_compared": comparison.got.why}
    content["got"] = comparison.got
    if comparison.deviation is not None:
        content |= {"deviation": comparison.deviation, "allowed": comparison.allowed}
    return content
