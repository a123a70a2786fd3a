"""The look that all pictures share: sizes, colours that differ in lightness too, and text that cannot break."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeAlias

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter

from ..legible import cut, visible

Colour: TypeAlias = "str | tuple[float, float, float, float]"  # a name, or red, green, blue, opacity

WIDTH = 8.0  # inches
DPI = 105
SMALL, NORMAL = 9.0, 10.0  # points; nothing is smaller
SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"  # both come with matplotlib
NAME = 24  # columns of a token's name; longer ones are cut

INK, GREY, FAINT = "#000000", "#707070", "#d9d9d9"
FILL, PALE = "#0072b2", "#a9cfe8"  # bars; bars that something is drawn over
# Lines: blue, black, amber, wine. Lightness (CIE L*) 46, 0, 60, 31: also told apart in grey, and each has a contrast
# of at least 3:1 on white. Marker and dash differ too.
COLOURS = (FILL, INK, "#d07f22", "#882255")
MARKERS = "osD^vPX*"
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))

# Light to dark without a turn, so that grey tells the same story; the light end is still no white.
SEQUENTIAL: Colormap = LinearSegmentedColormap.from_list("pale to dark", ["#edf4fa", "#6aaed6", "#0a2f66"])


def house() -> AbstractContextManager[None]:
    """Settings in force while a picture is made or drawn; the reader's own are as before afterwards."""
    settings: dict[str, Any] = {
        "font.family": SANS,
        "font.size": NORMAL,
        "axes.titlesize": NORMAL,
        "axes.labelsize": NORMAL,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "legend.frameon": False,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "axes.facecolor": "white",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "hatch.linewidth": 0.7,
        "text.parse_math": False,  # a token may contain dollars
        "text.usetex": False,
        "text.hinting": "none",  # widths as the font has them, not rounded to pixels
    }
    return style.context(["default", settings])


def new_figure(height: float) -> Figure:
    """An empty white figure, 8 inches wide, that keeps its labels inside."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout, facecolor="white")


@cache
def _font(family: str) -> FT2Font:
    return get_font(findfont(FontProperties(family=[family])))


def drawable(text: str, family: str = SANS) -> str:
    """The text on one line, with everything that the font lacks escaped: no empty boxes, no warnings."""
    font = _font(family)
    return "".join(
        c if font.get_char_index(ord(c)) else c.encode("unicode_escape").decode("ascii") for c in visible(text)
    )


def label(text: str, width: int = NAME) -> str:
    """A token's name as a label: on one line, drawable, at most `width` columns."""
    return cut(drawable(text), width)


def quoted(name: str) -> str:
    """A token's name within a sentence: in quotes, unless it has its own."""
    return name if len(name) > 1 and name[0] == name[-1] == '"' else f'"{name}"'


def percent(share: float, digits: int = 1) -> str:
    """A probability in percent; a small one is not rounded down to nothing."""
    least = 10**-digits
    return f"<{least:g}%" if 0 < 100 * share < least / 2 else f"{share:.{digits}%}"


def wrapped(text: str, width: int = 72) -> str:
    """A title or a name of an axis, drawable, in lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(drawable(text), width))


def amount(value: float, _: object = None) -> str:
    """A number on an axis, in full: 38,000,000, not 3.8e7, unless it is tiny."""
    return f"{value:,.10g}"


def number_axes(axes: Axes, *, logx: bool = False, logy: bool = False) -> None:
    """Plain numbers on both axes; on a logarithmic one at least two of them."""
    for axis, log in ((axes.xaxis, logx), (axes.yaxis, logy)):
        if log:
            low, high = axis.get_view_interval()
            subs = (1.0,) if high / low > 500 else (1.0, 2.0, 5.0)
            axis.set_major_locator(LogLocator(subs=subs))
            axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(amount)


def lightness(colour: Colour) -> float:
    """CIE L* of a colour, 0 (black) to 100 (white): what is left of it in grey."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def shade(share: float) -> Colour:
    """The colour of the sequential scale at 0 (pale) to 1 (dark)."""
    red, green, blue, opacity = map(float, SEQUENTIAL(share))
    return red, green, blue, opacity


def ink_on(colour: Colour) -> str:
    """Black or white, whichever is read better on the colour."""
    return INK if lightness(colour) > 50 else "#ffffff"


def token_ticks(axes: Axes, positions: Sequence[float], names: Sequence[str], inches: float = WIDTH - 0.9) -> None:
    """Names below an axis of this width: level where they fit side by side, else turned, else only some of them."""
    slot = inches * 72 / max(len(names), 1)  # points for one name
    step = math.ceil(11 / slot)
    positions, slot = list(positions)[::step], slot * step
    shown = [label(name if name.strip(" ") else f'"{name}"', 16) for name in list(names)[::step]]
    widest = max(map(len, shown), default=0) * SMALL * 0.62
    if widest < slot:
        axes.set_xticks(positions, shown)
    elif slot > 24:
        axes.set_xticks(positions, shown, rotation=40, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(positions, shown, rotation=90)
    axes.tick_params(axis="x", length=2)


def stroke(number: int) -> dict[str, Any]:
    """Colour, marker and dash of curve `number`: each differs from its neighbours' in all three."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number % len(DASHES)],
    }
