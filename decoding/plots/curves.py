"""Curves over ids and along a text: the nucleus and its cut, entropy and surprisal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor

from ..legible import padded, visible
from ..processors import TopP
from .inputs import positive, probabilities_of, some_curves
from .picture import Picture
from .style import (
    FILL,
    INK,
    NORMAL,
    PALE,
    SMALL,
    amount,
    house,
    label,
    new_figure,
    percent,
    quoted,
    stroke,
    token_ticks,
    wrapped,
)

_PER_LINE = 44  # tokens below one axis: more would be smaller than one can read


def nucleus_curve(logits: Tensor, p: float, names: Callable[[int], str], *, most: int = 40) -> Picture:
    """What top-p keeps: the probabilities, likeliest first, summed up, and the cut at p.

        keep the m likeliest, m = min { m : p_1 + ... + p_m >= p }

    logits   (V,)
    p        above 0, at most 1
    names    id -> text
    most     how many ids are drawn; the cut may lie beyond

    What is kept is decided by `TopP(p)` itself. Raises ValueError for logits that are no row of numbers, p outside of
    (0, 1], most below 1.
    Holtzman et al. 2019, "The Curious Case of Neural Text Degeneration", arXiv:1904.09751.
    """
    share = probabilities_of(logits)
    if most < 1:
        raise ValueError(f"most is a number of ids, at least 1; got {most}")
    kept = int((TopP(p)(logits) != -torch.inf).sum())
    order = logits.sort(descending=True, stable=True).indices.cpu()
    total = share[order].cumsum(dim=-1).tolist()  # of each id and all likelier ones
    left = int((logits != -torch.inf).sum())
    n = min(most, left)
    ids = order[:n].tolist()
    shown = [visible(str(names(id))) for id in ids]

    with house():
        figure = new_figure(3.9)
        axes = figure.subplots()
        edges = [place + 0.5 for place in range(n + 1)]
        inside = min(kept, n)
        axes.stairs(total[:inside], edges[: inside + 1], fill=True, color=PALE, label="kept")
        axes.stairs(total[:n], edges, color=FILL, linewidth=1.8, baseline=None)
        axes.axhline(p, color=INK, linestyle="--", linewidth=1)
        axes.annotate(
            f"p = {p:g}", (1, p), xycoords=("axes fraction", "data"), xytext=(-3, 3), textcoords="offset points",
            ha="right", fontsize=SMALL,
        )  # fmt: skip
        words = f"{kept:,} of {left:,} ids kept: {total[kept - 1]:.1%} of the probability"
        if kept <= n:
            axes.axvline(kept + 0.5, color=INK, linewidth=1.4)
        axes.set_title(words if kept <= n else f"{words} (the first {n} are drawn)", loc="left")
        axes.set_xlim(0.5, n + 0.5)
        axes.set_ylim(0, 1.04)
        axes.set_yticks([share / 5 for share in range(6)])
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_ylabel("probability, summed up")
        if n <= _PER_LINE:
            token_ticks(axes, range(1, n + 1), shown)
        axes.set_xlabel("tokens, the likeliest first" if n <= _PER_LINE else "rank of the token, the likeliest first")
    alt = (
        f"Curve of the summed probability of the likeliest tokens, cut at p = {p:g}: top-p keeps {kept:,} of {left:,} "
        f"ids with {total[kept - 1]:.1%} of the probability. "
        f"The likeliest is {quoted(shown[0])} with {percent(total[0])}."
    )
    table = [f"top-p at {p:g}: {words}", f"{'rank':>6}  {padded('token', 26)} {'share':>9} {'summed':>9}"]
    places = range(n) if n <= 20 else [*range(15), *sorted({q for q in (kept - 1, kept, n - 1) if 15 <= q < n})]
    before = -1
    for place in places:
        if place != before + 1:
            table.append(f"{'...':>6}")
        before = place
        line = f"{place + 1:>6}  {padded(shown[place], 26)} {share[ids[place]]:>9.2%} {total[place]:>9.2%}"
        table.append(line + ("  kept" if place < kept else ""))
    return Picture(figure, alt, "\n".join(table))


def along_text(
    tokens: Sequence[str], curves: Mapping[str, Sequence[float] | Tensor], *, ylabel: str, logy: bool = False
) -> Picture:
    """Curves along a text, one point a token: entropy, surprisal, ...

    tokens   the T tokens, in the order of the text; long texts are broken into lines, an axis each
    curves   name -> T numbers; NaN leaves a gap
    ylabel   what is measured, with its unit

    Raises ValueError for no tokens, no curves or more than 8, curves of another length, and values that are not
    positive on a logarithmic axis.
    """
    tokens = [str(token) for token in tokens]
    values = some_curves(curves, "tokens", tokens)
    if logy:
        positive(chain(*values.values()), "a curve goes down to")
    n = len(tokens)
    down = math.ceil(n / _PER_LINE)
    per_line = math.ceil(n / down)
    longest = min(16, max(len(label(token)) for token in tokens))
    with house():
        figure = new_figure(0.5 + down * (1.9 + 0.075 * longest * (n > 6)))
        grid = figure.subplots(down, 1, sharey=True, squeeze=False)[:, 0]
        for line, axes in enumerate(grid):
            start = line * per_line
            part = range(start, min(start + per_line, n))
            for number, (name, curve) in enumerate(values.items()):
                axes.plot(
                    part, [curve[t] for t in part], label=label(name, 40), markersize=4, linewidth=1.4, **stroke(number)
                )
            axes.set_xlim(start - 0.6, start + per_line - 0.4)
            if logy:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(amount)
            token_ticks(axes, part, [tokens[t] for t in part])
            axes.grid(axis="y")
        figure.supylabel(wrapped(ylabel, 40), fontsize=NORMAL)
        if len(values) > 1:
            figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper left", ncols=min(len(values), 4))
        else:
            grid[0].set_title(label(next(iter(values)), 80), loc="left")
    parts = []
    for name, curve in values.items():
        known = [(value, t) for t, value in enumerate(curve) if math.isfinite(value)]
        if known:
            high = max(known, key=lambda pair: pair[0])
            mean = sum(value for value, _ in known) / len(known)
            parts.append(
                f"{name} averages {mean:.3g} and is highest, {high[0]:.3g}, at token {high[1] + 1}, {tokens[high[1]]!r}"
            )
    alt = f"Line chart of {ylabel} along {n} tokens: {'; '.join(parts)}."
    return Picture(figure, alt, table_of("token", tokens, values))


def table_of(heading: str, labels: Sequence[str], values: Mapping[str, Sequence[float]]) -> str:
    """A table of the curves within 80 columns, a row a label."""
    room = 80 - 24
    width = min(14, room // len(values) - 1)
    rows = [padded(heading, 24) + "".join(" " + padded(name, width).rjust(width) for name in values)]
    for place, text in enumerate(labels):
        cells = "".join(f" {_short(curve[place]):>{width}}" for curve in values.values())
        rows.append(padded(text, 24) + cells)
    return "\n".join(row.rstrip() for row in rows)


def _short(value: float) -> str:
    """In three digits: processors round the fourth differently."""
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
