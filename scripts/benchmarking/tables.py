"""Tables, as text for a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = "  "


@dataclass(frozen=True)
class Table:
    """Cells by row; the first column is on the left, all others on the right. A row of one cell is a heading."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def text(self) -> str:
        widths = [
            max((len(row[column]) for row in [self.header, *self.rows] if len(row) > 1), default=0)
            for column in range(len(self.header))
        ]

        def line(row: Sequence[str]) -> str:
            if len(row) == 1:
                return row[0]
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            return GAP.join([row[0].ljust(widths[0]), *cells]).rstrip()

        lines = [self.title, "", line(self.header), *map(line, self.rows)]
        return "\n".join(lines + (["", self.note] if self.note else []))

    def markdown(self) -> str:
        def line(row: Sequence[str]) -> str:
            filled = [f"**{row[0]}**", *[""] * (len(self.header) - 1)] if len(row) == 1 else row
            return f"| {' | '.join(cell.strip() for cell in filled)} |"

        rule = f"| --- |{' ---: |' * (len(self.header) - 1)}"
        lines = [f"**{self.title}**", "", line(self.header), rule, *map(line, self.rows)]
        return "\n".join(lines + (["", self.note] if self.note else []))
