"""Tokens and bars as the terminal shows them."""

from __future__ import annotations

import io
import sys

import pytest

from decoding import Tokenizer
from scripts.console import Paint, bar, token_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" cat", '" cat"'),
        ("\n", '"\\n"'),
        ('."', '".\\""'),
        ("\t", '"\\t"'),
        ("rawdownloadcloneembedreportprint", '"rawdownloadcloneembed…"'),
    ],
)
def test_token_names(tokenizer: Tokenizer, text: str, shown: str) -> None:
    (id,) = tokenizer.encode(text)
    assert token_name(tokenizer, id) == shown


def test_a_token_that_is_half_a_character_is_shown_as_bytes(tokenizer: Tokenizer) -> None:
    first, *_ = tokenizer.encode("\N{GRINNING FACE}")
    assert token_name(tokenizer, first) == '"\\xf0\\x9f\\x98"'


def test_bars_have_one_width_and_need_no_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [bar(share, 4) for share in (0.0, 1 / 32, 0.5, 1.0)] == ["    ", "▏   ", "██  ", "████"]
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert [bar(share, 4) for share in (0.0, 0.5, 1.0)] == ["    ", "##  ", "####"]


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
