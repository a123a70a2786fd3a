"""A text with every token on a background that says how likely it was."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ..legible import padded, visible
from .inputs import as_many, numbers
from .picture import Picture
from .style import GREY, INK, MONO, SMALL, WIDTH, Colour, drawable, house, ink_on, new_figure, percent, shade

_COLUMNS = 80  # characters a line
_POINTS = 11.0  # of the text
_FLOOR = 1e-4  # probabilities below are as dark as this one
BANDS = (  # letter, highest rank, words, colour; CIE L* 96, 81, 64, 42, 18
    ("A", 1, "1st", "#f3f5e6"),
    ("B", 10, "2nd-10th", "#f2c45c"),
    ("C", 100, "11th-100th", "#e6813a"),
    ("D", 1000, "101st-1000th", "#b02e45"),
    ("E", math.inf, "beyond", "#43104f"),
)


def text_by_probability(tokens: Sequence[str], probabilities: Sequence[float] | Tensor) -> Picture:
    """The text as text; the darker a token's background, the less probable it was.

    tokens          the T tokens as they stand in the text, with spaces and line breaks; without any they are set apart
    probabilities   (T,) from 0 to 1; NaN for a token that has none, like the first: it gets no background

    The shade follows the logarithm, down to 0.01%. Raises ValueError for no tokens, other lengths, and numbers that are
    no probabilities.
    """
    shares = numbers(probabilities, "probabilities")
    as_many("probabilities", shares, "tokens", tokens)
    if any(not math.isnan(share) and not 0 <= share <= 1 for share in shares):
        raise ValueError("probabilities lie between 0 and 1; some do not")
    known = [(share, t) for t, share in enumerate(shares) if not math.isnan(share)]
    if not known:
        raise ValueError("there is nothing to draw: no token has a probability")
    key = [(text, _shade(share)) for text, share in
           (("100%", 1.0), ("10%", 0.1), ("1%", 0.01), ("0.1%", 0.001), ("0.01% or less", 0.0001))]  # fmt: skip
    figure = _text_figure(
        tokens, [None if math.isnan(share) else _shade(share) for share in shares], None, "probability: ", key
    )
    low, at = min(known)
    sure = sum(share >= 0.5 for share, _ in known)
    alt = (
        f"A text of {len(tokens)} tokens, each on a background that is the darker the less probable it was: {sure} of "
        f"{len(known)} had a probability of at least 50%. The least probable is token {at + 1}, {tokens[at]!r}, "
        f"with {percent(low, 2)}."
    )
    return Picture(figure, alt, _list(tokens, ["" if math.isnan(share) else percent(share) for share in shares]))


def text_by_rank(tokens: Sequence[str], ranks: Sequence[int] | Tensor) -> Picture:
    """The text as text; background and letter of each token say how high it ranked among all.

        A rank 1     B 2 to 10     C 11 to 100     D 101 to 1000     E beyond

    tokens   the T tokens as they stand in the text, with spaces and line breaks; without any they are set apart
    ranks    (T,) whole numbers; 1 is the likeliest. 0 for a token that has none, like the first: it gets no background

    Raises ValueError for no tokens, other lengths, and numbers that are no ranks. The idea is that of GLTR:
    Gehrmann, Strobelt & Rush 2019, arXiv:1906.04043.
    """
    places = numbers(ranks, "ranks")
    as_many("ranks", places, "tokens", tokens)
    if any(rank < 0 or not rank.is_integer() for rank in places) or not any(places):
        raise ValueError("ranks are whole numbers, 1 the likeliest (0 where there is none, not everywhere)")
    bands = [None if rank == 0 else next(band for band in BANDS if rank <= band[1]) for rank in places]
    figure = _text_figure(
        tokens,
        [band and band[3] for band in bands],
        [band[0] if band else "" for band in bands],
        "rank: ",
        [(f"{letter} {words}", colour) for letter, _, words, colour in BANDS],
    )
    count = Counter(band[0] for band in bands if band)
    high = max(range(len(places)), key=lambda t: places[t])
    alt = (
        f"A text of {len(tokens)} tokens, coloured and lettered by rank: "
        + ", ".join(f"{count[letter]} {words}" for letter, _, words, _ in BANDS)
        + f". The least expected is token {high + 1}, {tokens[high]!r}, rank {int(places[high]):,}."
    )
    cells = [f"{int(rank):,} {band[0]}" if band else "" for rank, band in zip(places, bands, strict=True)]
    return Picture(figure, alt, _list(tokens, cells))


def _shade(share: float) -> Colour:
    return shade(math.log(max(share, _FLOOR)) / math.log(_FLOOR))


def _pieces(token: str) -> list[str]:
    """What is drawn of a token; each piece but the last ends a line."""
    parts = token.replace("\r\n", "\n").split("\n")
    return [drawable(part, MONO) + ("↵" if place < len(parts) - 1 else "") for place, part in enumerate(parts)]


def _text_figure(
    tokens: Sequence[str],
    colours: Sequence[Colour | None],
    letters: Sequence[str] | None,
    heading: str,
    key: Sequence[tuple[str, Colour]],
) -> Figure:
    boxes: list[tuple[int, int, str, int]] = []  # line, column, text, token
    gap = 0 if any(character.isspace() for token in tokens for character in token) else 1  # words of a toy vocabulary
    line = column = 0
    for t, token in enumerate(tokens):
        for number, piece in enumerate(_pieces(str(token))):
            if number:
                line, column = line + 1, 0
            while piece:
                if column and column + len(piece) > _COLUMNS:
                    line, column = line + 1, 0
                boxes.append((line, column, piece[:_COLUMNS], t))
                column += len(piece[:_COLUMNS])
                piece = piece[_COLUMNS:]
            column += gap
    n_lines = max((box[0] for box in boxes), default=0) + 1
    high = 2.1 if letters else 1.5  # height of a line in units of the text's size
    unit = _POINTS / 72  # inches
    height = n_lines * high * unit + 0.62
    with house():
        figure = new_figure(height)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        step = unit * 0.602  # inches of a character
        left = (WIDTH - _COLUMNS * step) / 2
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        for row, start, piece, t in boxes:
            colour = colours[t]
            x, y = left + start * step, 0.5 + row * high * unit
            if colour is not None:
                box = Rectangle(
                    (x, y), len(piece) * step, 1.35 * unit, facecolor=colour, edgecolor="white", linewidth=0.8
                )
                axes.add_patch(box)
            ink = INK if colour is None else ink_on(colour)
            axes.text(x, y + 1.0 * unit, piece, family=MONO, fontsize=_POINTS, color=ink, va="baseline")
            if letters:
                axes.text(
                    x + len(piece) * step / 2, y + 2.0 * unit, letters[t],
                    fontsize=SMALL, color=GREY, ha="center", va="baseline",
                )  # fmt: skip
        _key(axes, heading, key, left)
    return figure


def _key(axes: Axes, heading: str, key: Sequence[tuple[str, Colour]], left: float) -> None:
    """What the shades mean, in a line above the text."""
    step = SMALL / 72 * 0.602
    axes.text(left, 0.28, heading, family=MONO, fontsize=SMALL, va="baseline")
    x = left + len(heading) * step
    for text, colour in key:
        width = (len(text) + 2) * step
        axes.add_patch(Rectangle((x, 0.13), width, 0.21, facecolor=colour, edgecolor=GREY, linewidth=0.6))
        axes.text(x + step, 0.28, text, family=MONO, fontsize=SMALL, color=ink_on(colour), va="baseline")
        x += width + step


def _list(tokens: Sequence[str], cells: Sequence[str]) -> str:
    """Every token with its number, as many side by side as fit into 80 columns."""
    names = [f'"{visible(str(token))}"' for token in tokens]
    name, cell = min(18, max(map(len, names))), max(map(len, cells))
    entries = [f"{padded(text, name)} {value:>{cell}}" for text, value in zip(names, cells, strict=True)]
    across = max(1, 80 // (name + cell + 4))
    return "\n".join("   ".join(entries[i : i + across]).rstrip() for i in range(0, len(entries), across))
