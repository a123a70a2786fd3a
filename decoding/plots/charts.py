"""General charts in the same style: lines, bars, a heat map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain

from torch import Tensor

from ..legible import bar, padded
from .curves import table_of
from .inputs import as_many, numbers, positive, some_curves
from .picture import Picture
from .style import (
    FILL,
    SEQUENTIAL,
    SMALL,
    amount,
    house,
    ink_on,
    label,
    new_figure,
    number_axes,
    shade,
    stroke,
    token_ticks,
    wrapped,
)


def lines(
    x: Sequence[float] | Tensor,
    curves: Mapping[str, Sequence[float] | Tensor],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    alt: str,
    logx: bool = False,
    logy: bool = False,
) -> Picture:
    """A line chart: every curve has a value for each x; NaN leaves a gap.

    Curves differ in colour, lightness, marker and dash. Raises ValueError for no points, no curves or more than 8, a
    curve of another length than x, and values that are not positive on a logarithmic axis.
    """
    xs = numbers(x, "x")
    values = some_curves(curves, "points of x", xs)
    if logx:
        positive(xs, "x begins at")
    if logy:
        positive(chain(*values.values()), "a curve goes down to")
    with house():
        figure = new_figure(3.6)
        axes = figure.subplots()
        every = max(1, len(xs) // 12)
        for number, (name, curve) in enumerate(values.items()):
            start = number * every // len(values)
            axes.plot(
                xs,
                curve,
                label=label(name, 40),
                markersize=5,
                linewidth=1.6,
                markevery=(start, every),
                **stroke(number),
            )
        if logx:
            axes.set_xscale("log")
        if logy:
            axes.set_yscale("log")
        number_axes(axes, logx=logx, logy=logy)
        if logx and len(xs) <= 8:
            axes.set_xticks(xs)
        axes.grid()
        axes.set_xlabel(wrapped(xlabel))
        axes.set_ylabel(wrapped(ylabel, 40))
        axes.set_title(wrapped(title), loc="left")
        if len(values) > 1:
            figure.legend(loc="outside right upper", handlelength=3.2)
    picked = range(len(xs)) if len(xs) <= 16 else [round(i * (len(xs) - 1) / 15) for i in range(16)]
    table = {name: [curve[i] for i in picked] for name, curve in values.items()}
    return Picture(figure, alt, table_of(xlabel, [f"{xs[i]:.4g}" for i in picked], table))


def bars(
    labels: Sequence[str],
    values: Sequence[float] | Tensor,
    *,
    xlabel: str,
    title: str = "",
    alt: str,
    form: str = ",.4g",
) -> Picture:
    """A bar chart, from top to bottom in the order given; each bar has its value beside it, written as `form` says.

    Raises ValueError for no bars, as many labels as values, and values that are negative or not finite.
    """
    lengths = numbers(values, "values")
    as_many("values", lengths, "labels", labels)
    if not all(math.isfinite(length) and length >= 0 for length in lengths):
        raise ValueError(f"a bar has a length that is finite and not negative; got {lengths}")
    longest = max(lengths) or 1.0
    with house():
        figure = new_figure(0.3 * len(lengths) + 1.0)
        axes = figure.subplots()
        drawn = axes.barh(range(len(lengths)), lengths, height=0.72, color=FILL)
        axes.bar_label(drawn, [format(length, form) for length in lengths], padding=4, fontsize=SMALL)
        axes.set_yticks(range(len(lengths)), [label(str(name), 36) for name in labels])
        axes.invert_yaxis()
        axes.set_xlim(0, longest * 1.15)
        axes.xaxis.set_major_formatter(amount)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(wrapped(xlabel))
        axes.set_title(wrapped(title), loc="left")
    rows = [padded(title, 80).rstrip()] if title else []
    for name, length in zip(labels, lengths, strict=True):
        rows.append(f"{padded(str(name), 26)} {bar(length / longest, 36)} {format(length, form):>12}")
    return Picture(figure, alt, "\n".join(rows))


def heatmap(
    values: Tensor,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    alt: str,
    xlabel: str = "",
    ylabel: str = "",
    scale: str = "",
    numbers_in_cells: bool | None = None,
) -> Picture:
    """A table of numbers as shades, pale for the least and dark for the greatest: an attention pattern, ...

    values             (rows, columns); NaN, like the future under a causal mask, is left blank
    xlabel, ylabel     what columns and rows are
    scale              what the shades measure
    numbers_in_cells   whether values are written into their cells; by default where they fit

    Raises ValueError for values of another shape than rows and columns say, and where none is finite.
    """
    if not isinstance(values, Tensor) or values.dim() != 2 or tuple(values.shape) != (len(rows), len(columns)):
        got = tuple(values.shape) if isinstance(values, Tensor) else repr(values)
        raise ValueError(f"values are a tensor of {len(rows)} rows and {len(columns)} columns, as the names; got {got}")
    cells = values.detach().cpu().double()
    known = cells[cells.isfinite()]
    if not len(known):
        raise ValueError("there is nothing to draw: no value is finite")
    low, high = float(known.min()), float(known.max())
    if 0 < low < high / 4:
        low = 0.0  # shares are read from 0 on
    if low == high:
        low, high = low - 0.5, high + 0.5
    form = ".2f" if low >= 0 and high <= 1 else ".2g"  # shares have two places: 2.5e-05 would not fit
    side = min(0.62, 5.6 / len(columns))  # inches of a cell
    fits = side >= 0.36
    with house():
        figure = new_figure(min(9.0, max(2.2, len(rows) * min(side, 0.42) + 1.6)))
        axes = figure.subplots()
        image = axes.imshow(cells.numpy(), cmap=SEQUENTIAL, vmin=low, vmax=high, aspect="auto", interpolation="none")
        token_ticks(axes, range(len(columns)), [str(name) for name in columns], 5.6)
        step = max(1, math.ceil(len(rows) / 40))
        axes.set_yticks(range(0, len(rows), step), [label(str(name), 16) for name in rows][::step])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if fits if numbers_in_cells is None else numbers_in_cells:
            for r in range(len(rows)):
                for c in range(len(columns)):
                    value = float(cells[r, c])
                    if math.isfinite(value):
                        ink = ink_on(shade((value - low) / (high - low)))
                        axes.text(c, r, format(value, form), ha="center", va="center", fontsize=SMALL, color=ink)
        figure.colorbar(
            image, ax=axes, label=wrapped(scale, 40), fraction=0.04, pad=0.02, aspect=6 * figure.get_figheight()
        )
        axes.set_xlabel(wrapped(xlabel))
        axes.set_ylabel(wrapped(ylabel, 40))
        axes.set_title(wrapped(title), loc="left")
    return Picture(figure, alt, _table(cells, rows, columns, title))


def _table(cells: Tensor, rows: Sequence[str], columns: Sequence[str], title: str) -> str:
    """All values where they fit into 80 columns, otherwise the greatest of every row."""
    out = [title]
    if len(columns) <= 8:
        out.append(" " * 16 + "".join(" " + padded(str(name), 7).rjust(7) for name in columns))
        for name, row in zip(rows, cells.tolist(), strict=True):
            out.append(padded(str(name), 16) + "".join(" " * 8 if math.isnan(v) else f" {v:>7.3g}" for v in row))
    else:
        for name, row in zip(rows, cells.nan_to_num(nan=-math.inf), strict=True):
            best = int(row.argmax())
            out.append(f"{padded(str(name), 24)} greatest: {padded(str(columns[best]), 24)} {float(row[best]):.3g}")
    return "\n".join(line.rstrip() for line in out)
