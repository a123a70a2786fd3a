"""A figure with the words that say what it shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from ..legible import printable
from .style import DPI, house


class Picture:
    """A matplotlib figure, an alt text for those who cannot see it, and its twin for a terminal.

    A notebook that shows a Picture stores a PNG with the alt text. `print(picture)` writes the twin, within 80 columns.

    figure   matplotlib.figure.Figure, may be changed further: it is drawn when it is asked for
    alt      one to three sentences: what kind of picture, the numbers that matter
    text     the same data as text
    """

    def __init__(self, figure: Figure, alt: str, text: str) -> None:
        self.figure = figure
        self.alt = alt
        self.text = text
        self._png = b""

    def png(self) -> bytes:
        """The picture as a PNG, the same bytes for the same data: it carries no date and no version."""
        if self._png and not self.figure.stale:
            return self._png  # drawing again would also lay out again, and may move things by a pixel
        drawn, small = io.BytesIO(), io.BytesIO()
        with house():
            self.figure.savefig(drawn, format="png", dpi=DPI)
        # 256 colours are enough for charts, and a third of the size: notebooks store their pictures. Version and date,
        # which matplotlib may add, are left behind.
        image = Image.open(drawn).convert("RGB")
        image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        self._png, self.figure.stale = small.getvalue(), False
        return self._png

    def save(self, path: str | Path) -> None:
        """Write the PNG to a file."""
        Path(path).write_bytes(self.png())

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What Jupyter shows: the PNG with its alt text, and the twin where there are no pictures."""
        png = base64.b64encode(self.png()).decode("ascii")
        return {"image/png": png, "text/plain": str(self)}, {"image/png": {"alt": self.alt}}

    def __str__(self) -> str:
        return printable(self.text or self.alt)

    def __repr__(self) -> str:
        return f"<Picture: {self.alt}>"
