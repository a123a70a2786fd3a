"""Each of the thirteen laws of the design has tests that name it."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

NAMED: dict[int, list[str]] = {law: [] for law in range(1, 14)}
for file in sorted((ROOT / "tests").rglob("test_*.py")):
    for line in file.read_text(encoding="utf-8").splitlines():
        for numbers in re.findall(r"\blaws? ((?:\d+(?:, | and )?)+)", line):
            for number in re.findall(r"\d+", numbers):
                NAMED.setdefault(int(number), []).append(file.name)


@pytest.mark.parametrize("law", range(1, 14))
def test_the_law_is_named_by_a_test(law: int) -> None:
    assert NAMED[law]


def test_no_other_law_is_named() -> None:
    assert sorted(NAMED) == list(range(1, 14))
