"""What became of drafts, along the text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from ..legible import visible
from ..rounds import Round, Rounds
from ..rounds_text import DraftFate, rounds_sentence, rounds_text
from ..wording import counted
from .picture import Picture
from .style import FILL, GREY, INK, SMALL, WIDTH, house, label, new_figure, percent, quoted, token_ticks

_MOST = 80  # rounds, and ids in a row, in one picture
_INCHES = WIDTH - 1.0  # of the axis
_SPACIOUS = 0.44  # inches of a position in which a name fits
_LANE = 0.4  # height of a cell, where a round is 1 high
_LOOKS: dict[DraftFate, tuple[str, dict[str, Any]]] = {
    "kept": ("drafted and kept", {"facecolor": FILL, "edgecolor": FILL}),
    "rejected": ("rejected", {"facecolor": "white", "edgecolor": GREY, "hatch": "/////"}),
    "behind": ("behind a rejected one", {"facecolor": "white", "edgecolor": GREY, "linestyle": ":"}),
    "own": ("by the model itself", {"facecolor": "#f2c45c", "edgecolor": INK}),  # CIE L* 81; FILL has 46
}


class _Cell(NamedTuple):
    """One id: its round, counted from 0, its place in the text, and what became of it."""

    round: int
    place: int
    id: int
    fate: DraftFate


def draft_rounds(rounds: Sequence[Round], names: Callable[[int], str]) -> Picture:
    """The rounds of speculation from top to bottom, along the text: what was drafted where, and what was kept of it.

    rounds   of a `Generation`, or some of them: `generate(..., Speculative(draft=draft)).rounds`
    names    id -> text

    In each round the upper cells are the draft and the lower one is the id that the model put behind what it kept, or
    in the place of the first that it rejected. Every column has one id of the text, kept or the model's own; it stands
    below. Where there is room, the ids stand in their cells too.

    Raises ValueError for no rounds, and for more than 80 of them, or of ids: `rounds[:20]` are the first twenty.
    """
    shown = Rounds(rounds)
    if not shown:
        raise ValueError("there is nothing to draw: no rounds; only speculation has some")
    cells = list(_cells(shown))
    n_places = max((cell.place + 1 for cell in cells), default=1)
    if max(len(shown), n_places) > _MOST:
        raise ValueError(
            f"{counted(len(shown), 'round')} along {counted(n_places, 'id')} are too many for a picture: it has room "
            f"for {_MOST}; draw some of them, such as rounds[:20]"
        )
    text = [id for one in shown for id in one.ids]
    slot = _INCHES / max(n_places, 4)  # inches of a position
    with house():
        figure = new_figure(1.5 + len(shown) * (0.46 if slot >= _SPACIOUS else 0.2))
        axes = figure.subplots()
        for cell in cells:
            _draw(axes, cell, _in_cell(names(cell.id), slot) if slot >= _SPACIOUS else "")
        axes.set_xlim(-0.6, max(n_places, 4) - 0.4)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        every = math.ceil(len(shown) / 40)
        axes.set_yticks(range(0, len(shown), every), [str(number + 1) for number in range(0, len(shown), every)])
        axes.tick_params(axis="y", length=0)
        token_ticks(axes, range(len(text)), [names(id) for id in text], _INCHES * len(text) / max(n_places, 4))
        axes.grid(axis="x", linewidth=0.4)
        axes.set_ylabel("round")
        axes.set_title(_title(shown), loc="left")
        handles = [Patch(label=words, linewidth=0.8, **look) for words, look in _LOOKS.values()]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=2.2, handleheight=1.0)
    return Picture(figure, _alt(shown, names), f"{rounds_sentence(shown)}\n{rounds_text(shown, names)}")


def _cells(rounds: Rounds) -> Iterator[_Cell]:
    begin = 0
    for number, one in enumerate(rounds):
        for place, drafted in enumerate(one.drafted):
            fate: DraftFate = "kept" if place < one.accepted else "rejected" if place == one.accepted else "behind"
            yield _Cell(number, begin + place, drafted.id, fate)
        if one.added is not None:
            yield _Cell(number, begin + one.accepted, one.added, "own")
        begin += len(one.ids)


def _draw(axes: Axes, cell: _Cell, name: str) -> None:
    """The draft's cells are in the upper lane of a round, the model's own in the lower one."""
    top = cell.round + 0.04 if cell.fate == "own" else cell.round - 0.04 - _LANE
    axes.add_patch(Rectangle((cell.place - 0.46, top), 0.92, _LANE, linewidth=0.8, **_LOOKS[cell.fate][1]))
    if name:
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.0} if cell.fate == "rejected" else None
        ink = "white" if cell.fate == "kept" else INK
        middle = (cell.place, top + _LANE / 2)
        axes.text(*middle, name, fontsize=SMALL, color=ink, ha="center", va="center_baseline", bbox=behind)


def _in_cell(name: str, slot: float) -> str:
    """What of a name fits into a cell: quotation marks and spaces around it are for the axis."""
    bare = name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name
    return label(bare.strip() or name, int(slot * 72 / (SMALL * 0.68)))


def _title(rounds: Rounds) -> str:
    words = rounds_sentence(rounds)
    return words.replace(" accepted", f" accepted ({percent(rounds.acceptance_rate)})") if rounds.drafted else words


def _alt(rounds: Rounds, names: Callable[[int], str]) -> str:
    ids = sum(len(one.ids) for one in rounds)
    best = max(range(len(rounds)), key=lambda number: rounds[number].accepted)
    alt = f"{counted(len(rounds), 'round')} of speculation along a text of {counted(ids, 'id')}: {_title(rounds)}."
    if rounds[best].accepted:
        first = quoted(visible(names(rounds[best].drafted[0].id)))
        alt += f" The longest run of kept ids is {rounds[best].accepted}, in round {best + 1} from {first} on."
    return alt
