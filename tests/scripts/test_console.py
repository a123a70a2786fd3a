"""Colours in the terminal."""

from __future__ import annotations

import io

import pytest

from scripts.paint import Paint


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Paint(Terminal()).bold("x") == "\x1b[1mx\x1b[0m"
    assert Paint(io.StringIO()).bold("x") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Paint(Terminal()).bold("x") == "x"
