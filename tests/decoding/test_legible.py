"""Tokens, bars and columns as a terminal shows them."""

from __future__ import annotations

import io
import sys

import pytest

from decoding import Tokenizer
from decoding.legible import bar, columns, cut, padded, printable, token_name, visible


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


def test_a_text_is_on_one_line_and_fills_its_columns() -> None:
    assert visible("a\n\x00b\u202e") == "a\\n\\x00b\\u202e"
    assert [columns(text) for text in ("abc", "日本", "e\N{COMBINING ACUTE ACCENT}")] == [3, 4, 1]
    assert cut("abcdef", 6) == "abcdef" and cut("abcdefg", 6) == "abcde…"
    assert cut("日本語", 5) == "日本…" and cut("日本語", 4) == "日…"
    assert padded("日本語", 5) == "日本…" and padded("日本語", 4) == "日… " and padded("\n", 4) == "\\n  "


def test_printing_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printable("▶ é…") == "▶ é…"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert printable("▶ é…") == "\\u25b6 é..." and printable("██▌ ") == "##  "
