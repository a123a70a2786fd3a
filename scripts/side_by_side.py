"""Texts side by side, where they part and why, and their measures in a table: as wide as the terminal is."""

from __future__ import annotations

import codecs
import math
import re
import shutil
from collections.abc import Callable, Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

from decoding import Generation, Tokenizer
from decoding.compare import Result
from decoding.legible import can_print, columns, printable, visible
from decoding.measures import Measure
from decoding.wording import counted
from scripts.console import FIXED, held_together
from scripts.paint import Paint

MARK = "|"  # stands before the token with which a text parts from the first
_GAP, _NARROWEST = 2, 24  # columns between two texts, and the fewest for one of them

MEANINGS = {
    "log-probability": "mean of ln p of its ids, p the model's own, without processors",
    "entropy": "mean entropy of the model before each id, in nats: how unsure it was",
    "repetition-4": "share of a text's runs of 4 ids that it has had before",
    "ids": "length of a text",
    "distinct-1": "share of different ids among the ids of all texts together",
    "distinct-2": "the same of runs of 2 ids",
    "distinct-3": "the same of runs of 3 ids",
}
_DECIMALS = {"ids": 1}  # of a measure, at least; of all others 2
CAUTION = (
    "None of these numbers says how good a text is. Greedy decoding has high log-probabilities and often runs in "
    "circles; noise is as diverse as can be."
)


class Cell(NamedTuple):
    """One character, and whether it is the "same" as in the first text, of the "token" that parts, or of the "rest"."""

    character: str
    part: str


Line = list[Cell]


def terminal_width() -> int:
    """In columns, from 40 to 120; 80 where there is no terminal."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, 40), 120)


# -- texts ------------------------------------------------------------------------------------------------------------


def side_by_side(
    samples: Sequence[Generation], parts_at: Sequence[int | None], tokenizer: Tokenizer, paint: Paint, width: int
) -> str:
    """The samples of one number, one of each strategy, and where they part from the first.

    In columns where each gets enough of them, otherwise one below the other.
    """
    headings = [_heading(number, part, paint) for number, part in enumerate(parts_at, 1)]
    texts = [
        cells(sample, part, tokenizer, first=number == 0)
        for number, (sample, part) in enumerate(zip(samples, parts_at, strict=True))
    ]
    each = (width - _GAP * (len(samples) - 1)) // len(samples)
    if len(samples) == 1 or each < _NARROWEST:
        blocks = [
            [heading, *(f"   {line}".rstrip() for line, _ in _painted(text, width - 3, paint))]
            for (heading, _), text in zip(headings, texts, strict=True)
        ]
        return "\n\n".join("\n".join(block) for block in blocks)
    stacks = [[heading, *_painted(text, each, paint)] for heading, text in zip(headings, texts, strict=True)]
    rows = zip_longest(*stacks, fillvalue=("", 0))
    return "\n".join("".join(line + " " * (each + _GAP - used) for line, used in row).rstrip() for row in rows)


def _heading(number: int, part: int | None, paint: Paint) -> tuple[str, int]:
    """1, 2 and so on, with where the text parts; and its columns."""
    said = "" if number == 1 else "  the same as 1" if part is None else f"  parts after {counted(part, 'id')}"
    return paint.bold(str(number)) + paint.dim(said), len(f"{number}{said}")


def cells(sample: Generation, parts_at: int | None, tokenizer: Tokenizer, *, first: bool = False) -> Line:
    """A text, character by character as standard output can print them, with a mark where it parts from the first."""
    same, token, rest = ("", "", sample.text) if first else parted(sample, parts_at, tokenizer)
    mark = [Cell(MARK, "token")] if not first and parts_at is not None else []
    return [*_cells(same, "same"), *mark, *_cells(token, "token"), *_cells(rest, "rest")]


def parted(sample: Generation, parts_at: int | None, tokenizer: Tokenizer) -> tuple[str, str, str]:
    """A text in three: what it has in common with another, the token with which it parts, and the rest.

    A token that ends inside a character counts with the whole character; one that ends the text is empty.
    """
    if parts_at is None:
        return sample.text, "", ""

    def whole(n: int) -> int:  # characters of the first n ids
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return len(decoder.decode(tokenizer.decode_bytes(sample.ids[:n])))

    begin = min(whole(parts_at), len(sample.text))  # the text may end before a stop
    end = max(whole(parts_at + 1), begin + 1)
    return sample.text[:begin], sample.text[begin:end], sample.text[end:]


def _cells(text: str, part: str) -> Line:
    return [Cell(character, part) for character in legible(text)]


def legible(text: str) -> str:
    """The text with its newlines, and with all else escaped that prints nothing or that standard output lacks."""
    return "".join(c if c == "\n" else printable(visible(c)) for c in text)


def _painted(text: Line, width: int, paint: Paint) -> list[tuple[str, int]]:
    """The lines of a text in colour, each with its columns."""
    colour: dict[str, Callable[[str], str]] = {"same": paint.dim, "token": paint.yellow, "rest": str}
    lines = []
    while text and text[-1].character == "\n":
        text = text[:-1]
    for line in wrapped(text, width):
        runs = [(part, _plain(list(run))) for part, run in groupby(line, key=lambda cell: cell.part)]
        lines.append(("".join(colour[part](run) for part, run in runs), columns(_plain(line))))
    return lines


def wrapped(text: Line, width: int) -> list[Line]:
    """In lines of at most `width` columns, which end between words; only a longer word is divided."""
    lines: list[Line] = [[]]
    for word in re.finditer(r"\n| *[^ \n]+| +", _plain(text)):
        rest = text[word.start() : word.end()]
        if word[0] == "\n":
            lines.append([])
            continue
        if lines[-1] and columns(_plain(lines[-1] + rest)) > width:
            rest = rest[len(word[0]) - len(word[0].lstrip(" ")) :]
            lines += [[]] if rest else []
        for piece in [rest] if columns(_plain(lines[-1] + rest)) <= width else [[cell] for cell in rest]:
            if columns(_plain(lines[-1] + piece)) > width:
                lines.append([])
            lines[-1] += piece
    return [line[: len(_plain(line).rstrip(" "))] for line in lines]


def _plain(line: Line) -> str:
    return "".join(cell.character for cell in line)


def paragraph(text: str, width: int, first: str = "", others: str | None = None) -> str:
    """A text in lines, behind what the first and the others begin with. Spaces that are `FIXED` stay in their line."""
    others = first if others is None else others
    lines = wrapped([Cell(c, "rest") for c in text], width - columns(others))
    shown = [_plain(line).replace(FIXED, " ") for line in lines]
    return "\n".join([first + shown[0], *(others + line for line in shown[1:])])


# -- why they part ----------------------------------------------------------------------------------------------------


def why_they_part(number: int, first: Generation, other: Generation, at: int, paint: Paint, width: int) -> str:
    """At the step with which a text parts from the first: what both strategies made of both ids, in sentences.

    Both have traces, and more than `at` ids.
    """
    ours, theirs = first.ids[at], other.ids[at]
    names = [first.trace.name(id) for id in (ours, theirs)]

    def sentence(sample: Generation, id: int) -> str:
        return held_together(printable(sample.trace.why(at, id)))

    title = paragraph(held_together(printable(f"step {at + 1}: 1 takes {names[0]}, {number} takes {names[1]}")), width)
    rows = [
        paragraph(sentence(sample, id), width, f"  {label:<3}", "     ")
        for sample, own, foreign, who in ((first, ours, theirs, "1"), (other, theirs, ours, str(number)))
        for id, label in ((own, who), (foreign, ""))
    ]
    return "\n".join([paint.bold(title), *rows])


# -- measures ---------------------------------------------------------------------------------------------------------


def table(results: Sequence[Result], paint: Paint, width: int) -> str:
    """A row a measure, a column a strategy, with standard errors, and how the means differ from the first's."""
    rows: list[tuple[str, list[tuple[str, str]]]] = []  # label, and in each column value and error
    for name in results[0].measures:
        measures = [result.measures[name] for result in results]
        differences = [result.differences.get(name) for result in results]
        digits = _digits([*measures, *differences], _DECIMALS.get(name, 2))
        rows.append((name, [_number(measure, digits) for measure in measures]))
        if any(differences):
            rows.append(("  against 1", [_number(measure, digits, "+") for measure in differences]))
    label = max(len(name) for name, _ in rows)
    value, error = (max(len(row[place]) for _, numbers in rows for row in numbers) for place in (0, 1))
    fitting = max((width - label) // (_GAP + value + error), 1)
    blocks = []
    for begin in range(0, len(results), fitting):
        numbers = range(begin, min(begin + fitting, len(results)))
        heading = "".join(" " * _GAP + f"{number + 1:>{value}}" + " " * error for number in numbers)
        lines = [paint.bold((" " * label + heading).rstrip())]
        for name, row in rows:
            if not any(row[n][0] for n in numbers):  # the first strategy has no differences
                continue
            shown = "".join(" " * _GAP + f"{row[n][0]:>{value}}{row[n][1]:<{error}}" for n in numbers)
            line = f"{name:<{label}}{shown}".rstrip()
            lines.append(paint.dim(line) if name.startswith(" ") else line)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _digits(measures: Sequence[Measure | None], least: int) -> int:
    """As many decimals as show one digit of the smallest standard error that is not 0 to 3 decimals."""
    errors = [measure.standard_error or 0.0 for measure in measures if measure is not None]
    shown = [error for error in errors if round(error, 3)]
    return max(least, min(3, -math.floor(math.log10(min(shown))))) if shown else least


def _number(measure: Measure | None, digits: int, sign: str = "-") -> tuple[str, str]:
    if measure is None:
        return "", ""
    if math.isnan(measure.value):
        return "-", ""  # no text is long enough
    value = f"{round(measure.value, digits) + 0.0:{sign}.{digits}f}"  # + 0.0: there is no -0.00
    plus_minus = "±" if can_print("±") else "+/-"
    error = "" if measure.standard_error is None else f" {plus_minus} {measure.standard_error:.{digits}f}"
    return value, error


def legend(results: Sequence[Result], width: int) -> str:
    """What each row of the table means, and what none of them does."""
    rows = {name: MEANINGS[name] for name in results[0].measures}
    if any(result.differences for result in results):
        rows["against 1"] = "mean difference to the text of the same number by strategy 1"
    if any(measure.standard_error is not None for measure in results[0].measures.values()):
        rows["±" if can_print("±") else "+/-"] = "standard error of a mean over the texts"
    label = max(map(len, rows)) + _GAP
    lines = [paragraph(meaning, width, f"{name:<{label}}", " " * label) for name, meaning in rows.items()]
    return "\n".join([*lines, paragraph(CAUTION, width)])
