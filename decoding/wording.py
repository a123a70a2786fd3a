"""Numbers as sentences say them."""

from __future__ import annotations

import math

_MORE = 6  # digits that may be added to tell two numbers apart


def percent(share: float) -> str:
    """A share of 1, with one digit behind the point, or as many as it takes to show two that count.

    Less than everything is never 100 %.

    >>> percent(0.912), percent(0.00001234), percent(0.9997)
    ('91.2 %', '0.0012 %', '99.97 %')
    """
    value = 100 * share
    if value == 0.0:
        return "0 %"
    if value < 1e-9:
        return "less than 0.000000001 %"
    if 0.9995 <= share < 1.0 and not math.isclose(share, 1.0, abs_tol=1e-12):
        return f"{value:.2f} %" if share < 0.9999 else "almost 100 %"
    digits = max(1, 1 - math.floor(math.log10(float(f"{value:.1e}"))))  # of what it is rounded to
    return f"{value:.{digits}f} %"


def percents_apart(one: float, other: float) -> tuple[str, str]:
    """Two different shares of 1 as `percent` shows them, or with as many digits more as it takes to tell them apart."""
    if percent(one) != percent(other):
        return percent(one), percent(other)
    digits = max(1, percent(one).partition(".")[2].find(" "))
    shown = told_apart(100 * one, 100 * other, digits)
    return f"{shown[0]} %", f"{shown[1]} %"


def told_apart(one: float, other: float, digits: int = 2) -> tuple[str, str]:
    """Two different numbers with so many digits behind the point, or as many more as it takes to tell them apart.

    >>> told_apart(1.5813, 1.5829), told_apart(2.0, 3.0)
    (('1.581', '1.583'), ('2.00', '3.00'))
    """
    for more in range(_MORE):
        shown = f"{one:.{digits + more}f}", f"{other:.{digits + more}f}"
        if shown[0] != shown[1]:
            break
    return shown


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 11th, 50,257th."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def counted(number: int, noun: str) -> str:
    """1 id, 2 ids, 50,257 ids."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
