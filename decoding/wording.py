"""Numbers as sentences say them."""

from __future__ import annotations

import math


def percent(share: float) -> str:
    """A share of 1, with one digit behind the point, or as many as it takes to show two that count.

    >>> percent(0.912), percent(0.00001234)
    ('91.2 %', '0.0012 %')
    """
    value = 100 * share
    if value == 0.0:
        return "0 %"
    if value < 1e-9:
        return "less than 0.000000001 %"
    if 0.99995 <= share < 1.0 and not math.isclose(share, 1.0, abs_tol=1e-12):
        return "almost 100 %"
    digits = max(1, 1 - math.floor(math.log10(float(f"{value:.1e}"))))  # of what it is rounded to
    return f"{value:.{digits}f} %"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 11th, 50,257th."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def counted(number: int, noun: str) -> str:
    """1 id, 2 ids, 50,257 ids."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
