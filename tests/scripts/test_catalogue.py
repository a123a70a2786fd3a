"""generate.py --list: every strategy and processor with rule and source."""

from __future__ import annotations

import io
import re
import sys

import pytest

import decoding
import decoding.drafts
from decoding.legible import columns
from scripts import generate as program
from scripts.catalogue import DRAFTERS, TITLES, Entry, catalogue, entries, parts
from scripts.chain import OPTIONS
from scripts.combinations import COMBINATIONS
from scripts.paint import Paint
from scripts.strategies import STRATEGIES, WAYS_TO_DRAFT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Output(io.TextIOWrapper):
    """Standard output in an encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")

    def printed(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(self.encoding)


def listed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What generate.py --list prints to a standard output of this encoding."""
    output = Output(encoding)
    monkeypatch.setattr(sys, "stdout", output)
    assert program.main(["--list"]) == 0
    return output.printed()


def test_everything_has_a_sentence_and_a_rule_but_drafts() -> None:
    groups = entries()
    names = {group: [entry.name for entry in members] for group, members in groups.items()}
    assert names["strategies"] == [option.cls for option in STRATEGIES.values()]
    assert names["combinations"] == [option.cls for option in COMBINATIONS]
    assert names["processors"] == [option.cls for option in OPTIONS]
    assert names["drafts"] == list(DRAFTERS.values()) and tuple(DRAFTERS) == WAYS_TO_DRAFT
    assert set(decoding.drafts.__all__) - {"Draft", "DraftSession", "DraftTask", "Drafter"} == set(names["drafts"])
    assert list(groups) == list(TITLES)
    for group, members in groups.items():
        for entry in members:
            assert entry.sentence[0].isupper() and entry.sentence.endswith(".")
            assert bool(entry.rule) == (group != "drafts") and all(line.strip() for line in entry.rule)


def listed_entries() -> list[Entry]:
    return [entry for members in entries().values() for entry in members]


def test_what_comes_from_a_paper_names_it() -> None:
    """Those without one are the plain operations that everybody uses; they are listed here, and all others are held."""
    plain = {"Greedy", "Sample", "Temperature", "LogitBias", "Suppress", "Force", "MinNewTokens"}
    plain |= {"BanSequences", "BanWords", "ModelDraft"}
    everything = listed_entries()
    assert {entry.name for entry in everything if entry.source is None} == plain
    for entry in everything:
        if entry.source is not None:
            assert entry.source in " ".join(str(getattr(decoding, entry.name).__doc__).split())
            assert re.match(r"Community: \w|OpenAI's \w|[A-Z][\w' ,&.-]+ (19|20)\d\d, \"", entry.source)
    found = {entry.name: entry.source for entry in everything}
    assert str(found["TopP"]).endswith("arXiv:1904.09751") and str(found["Mirostat"]).endswith("arXiv:2007.14966")


def test_all_of_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = listed("utf-8", monkeypatch)
    flat = " ".join(printed.split())
    for entry in listed_entries():
        assert printed.count(f"\n{entry.usage}\n") == 1
        begin = flat.index(f" {entry.usage} {entry.sentence}")
        for said in [*entry.rule, entry.source or "common practice"]:
            begin = flat.index(" ".join(said.split()), begin)  # rule and source follow, in this order
    assert all(columns(line) <= 80 and line == line.rstrip() for line in printed.splitlines())


def test_an_output_without_utf_8_gets_plain_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = listed("ascii", monkeypatch)
    assert plain.isascii()
    assert all(len(line) <= 80 for line in plain.splitlines())
    assert "p_i  prop. to  exp(logits_i / T)" in plain and "Top-n-sigma: Not All Logits" in plain
    whole = listed("utf-8", monkeypatch)
    assert plain.count("?") == whole.count("?")  # those of titles: none stands for a character that is lacking
    assert "p_i  ∝  exp(logits_i / T)" in whole and "Top-nσ: Not All Logits" in whole
    assert plain.replace("prop. to", "∝").replace("n-sigma:", "nσ:").split() == whole.split()


def test_colours_change_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    plain, coloured = catalogue(Paint(io.StringIO())), catalogue(Paint(Terminal()))
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain != coloured


def test_a_long_rule_breaks_at_its_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = ["keep " + "x" * 40 + "  " + "y" * 40, "f(" + "a" * 30 + ",", "   b)"]
    monkeypatch.setattr("scripts.catalogue.entries", lambda: {"strategies": [Entry("--x", "X", "One.", rule, None)]})
    lines = catalogue(Paint(io.StringIO())).splitlines()
    begin = lines.index("--x")
    assert lines[begin : begin + 6] == [
        "--x",
        "    One.",
        "        keep " + "x" * 40,
        "            " + "y" * 40,
        "        f(" + "a" * 30 + ", b)",
        "    common practice",
    ]


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        (
            'One.\n\n    a = b\n\nMore. Author & Other 2019, "Title", arXiv:1.',
            ("One.", ["a = b"], 'Author & Other 2019, "Title", arXiv:1'),
        ),
        (
            "One.\n\n        a\n          b\n\n    Community: x 2020, y. Of 2020.",
            ("One.", ["a", "  b"], "Community: x 2020, y. Of 2020"),
        ),
        ("One\n    sentence.", ("One sentence.", [], None)),
        ("One.\n\nIt depends: so say some (Other 2024, x). Author 2023, y.", ("One.", [], "Author 2023, y")),
        ("One.\n\nSince 2020 nothing.", ("One.", [], None)),
    ],
)
def test_parts_of_a_docstring(docstring: str, expected: tuple[str, list[str], str | None]) -> None:
    assert parts(docstring) == expected
