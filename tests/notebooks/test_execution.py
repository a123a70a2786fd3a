"""Every notebook runs, offline, in a fresh kernel: worked copies without an error, student copies but for the stubs.

What the worked copies print is compared with the stored outputs: fractions to one unit of the last digit shown, and
whole numbers from 100 on to one per cent, because processors round differently.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from .execution import NAMES, NOTEBOOKS, Executions, stored

pytestmark = pytest.mark.notebooks

named = pytest.mark.parametrize("name", NAMES)


@named
def test_the_worked_copy_runs_and_every_check_passes(executions: Executions, name: str) -> None:
    from scripts.notebooks import exercises, read_source, text_outputs
    from scripts.run_notebook import errors

    executed = executions.result(name, "worked")
    assert [errors(cell) for cell in executed.cells if errors(cell)] == []
    found = exercises(read_source(NOTEBOOKS / "src" / f"{name}.py"), name)
    passed = [text_outputs(cell) for cell in executed.cells if cell.source.startswith("check.")]
    assert len(passed) == len(found)
    for exercise, output in zip(found, passed, strict=True):
        assert f"Exercise {exercise.number}: {exercise.function} is right" in output


@named
def test_the_stored_outputs_are_what_the_code_prints(executions: Executions, name: str) -> None:
    from scripts.notebooks import tags_of, text_outputs

    executed, old_copy = executions.result(name, "worked"), stored(name, "worked")
    for old, new in zip(old_copy.cells, executed.cells, strict=True):
        if old.cell_type == "code" and not {"varies", "needs-weights"} & set(tags_of(old)):
            assert differences(text_outputs(old), text_outputs(new)) == [], f"cell {old.id}"
            assert pictures(old) == pictures(new), f"cell {old.id}"


@named
def test_the_student_copy_fails_where_nothing_is_written_yet_and_nowhere_else(
    executions: Executions, name: str
) -> None:
    from scripts.notebooks import exercises, read_source
    from scripts.run_notebook import errors

    executed = executions.result(name, "student")
    found = exercises(read_source(NOTEBOOKS / "src" / f"{name}.py"), name)
    failed = [(cell.source, errors(cell)) for cell in executed.cells if errors(cell)]
    assert failed == [
        (
            f"check.{exercise.function}({exercise.function})",
            [("NotImplementedError", f"Exercise {exercise.number}: write {exercise.function}")],
        )
        for exercise in found
    ]


# -- comparing outputs ------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")


def differences(stored: str, fresh: str) -> list[str]:
    """The lines in which two outputs differ by more than rounding."""
    old, new = stored.split("\n"), fresh.split("\n")
    if len(old) != len(new):
        return [f"{len(old)} lines stored, {len(new)} now"]
    return [f"stored {a!r}, now {b!r}" for a, b in zip(old, new, strict=True) if not alike(a, b)]


def alike(stored: str, fresh: str) -> bool:
    if stored == fresh:
        return True
    if _shape(stored) != _shape(fresh):
        return False
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(fresh), strict=True)
    return all(_close(a, b) for a, b in pairs)


def _shape(line: str) -> str:
    """The line without its numbers, its bars and its padding."""
    return re.sub(r"[\s█▏▎▍▌▋▊▉#]+", " ", NUMBER.sub("0", line)).strip()


def _close(stored: str, fresh: str) -> bool:
    if stored == fresh:
        return True
    fractional = [number for number in (stored, fresh) if "." in number or "e" in number]
    if not fractional:  # small counts are exact; how many of 50,257 ids a nucleus holds may turn on rounding
        return abs(_value(stored) - _value(fresh)) <= 0.01 * min(abs(_value(stored)), abs(_value(fresh)))
    unit = max(_last_digit(number) for number in fractional)
    return abs(_value(stored) - _value(fresh)) <= 1.001 * unit


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def _last_digit(number: str) -> float:
    mantissa, _, exponent = number.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - decimals)


def pictures(cell: Any) -> list[str]:
    """The pictures of a cell, by their alternative text without its numbers: pixels depend on fonts."""
    found = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    return [_shape(output.metadata["image/png"]["alt"]) for output in found]


@pytest.mark.parametrize(
    ("stored", "fresh", "same"),
    [
        ("mat 0.5212", "mat 0.5212", True),
        ("mat 0.5212", "mat 0.5213", True),
        ("mat 0.5212", "mat 0.5214", False),
        ("mat 0.52", "cat 0.52", False),
        ("99 ids", "98 ids", False),
        ("1,000 ids", "1,001 ids", True),
        ("1,000 ids", "1,011 ids", False),
        ("-1.5e-06", "-1.6e-06", True),
        ("-1.5e-06", "-1.5e-05", False),
        ("0.09", "0.1", True),
        ("██▏ 12.1%", "██▎ 12.2%", True),
        ("[1, 2]", "[1, 2, 3]", False),
    ],
)
def test_outputs_are_compared_as_a_reader_would(stored: str, fresh: str, same: bool) -> None:
    assert (differences(stored, fresh) == []) == same
