"""Probabilities of the next token as bars, after every processor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from torch import Tensor

from ..legible import bar, padded, visible
from ..trace import Stage
from .inputs import stage_of
from .picture import Picture
from .style import FILL, GREY, INK, SMALL, house, label, new_figure, percent, quoted, wrapped

_PER_ROW = 4  # panels side by side


class _Panel(NamedTuple):
    """What one panel shows: a share for each named id, then that of all others together where there are any."""

    name: str
    shares: list[float]
    removed: list[bool]
    left: int  # ids that are not removed, of the whole vocabulary


def next_token_bars(
    stages: Iterable[Stage | tuple[str, Tensor]],
    names: Callable[[int], str],
    *,
    top: int = 8,
    chosen: int | None = None,
) -> Picture:
    """The probabilities of the next token, a panel a stage: how each processor changes them.

        share of id i in a stage = softmax(logits)_i over all V ids

    stages   name and logits (V,) of each, in the order in which they acted; or the stages of a `StepTrace`
    names    id -> text
    top      how many ids have a bar: the likeliest in the first stage, of equals the lower, the same in all panels;
             all others share one more bar
    chosen   an id to be marked; it has a bar in any case

    A removed id (-inf) has a hatched outline as long as its probability before it was removed. Raises ValueError for
    no stages, logits that are no row of numbers or of different lengths, top below 1, chosen outside of the vocabulary.
    """
    rows = [one if isinstance(one, Stage) else stage_of(str(one[0]), one[1], _what(one[0])) for one in stages]
    if not rows:
        raise ValueError("there is nothing to draw: no stages")
    if top < 1:
        raise ValueError(f"top is a number of tokens, at least 1; got {top}")
    n_vocab = rows[0].n_vocab
    if chosen is not None and not 0 <= chosen < n_vocab:
        raise ValueError(f"the chosen id lies between 0 and {n_vocab - 1}; got {chosen}")

    order: list[int] = rows[0].logits.sort(descending=True, stable=True).indices.tolist()
    ids = order[:top] + ([chosen] if chosen is not None and chosen not in order[:top] else [])
    if len(ids) == n_vocab - 1:  # a single other id can as well have its name
        ids = order
    others = torch.ones(n_vocab, dtype=torch.bool)
    others[ids] = False
    n_others = int(others.sum())
    labels = [visible(str(names(id))) for id in ids] + ([f"{n_others:,} other tokens"] if n_others else [])
    drawn = [_panel(stage, ids, others) for stage in rows]
    marked = ids.index(chosen) if chosen is not None else None

    with house():
        across = min(len(drawn), _PER_ROW)
        down = math.ceil(len(drawn) / across)
        figure = new_figure(down * (0.27 * len(labels) + 0.75) + 0.35)
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        widest = max(max(stage.shares) for stage in drawn)
        before = [0.0] * len(labels)  # of each bar, the share in the last stage that had it
        for number, axes in enumerate(grid.flat):
            if number >= len(drawn):
                axes.set_visible(False)
                continue
            stage = drawn[number]
            before = [b if off else s for s, off, b in zip(stage.shares, stage.removed, before, strict=True)]
            _draw(axes, stage, before, marked, n_others > 0)
            count = f"all {n_vocab:,}" if stage.left == n_vocab else f"{stage.left:,} of {n_vocab:,}"
            axes.set_title(f"{wrapped(stage.name, 80 // across)}\n{count} ids", loc="left", fontsize=SMALL)
            axes.set_xlim(0, widest * (1 + 0.2 * across))  # room for the percentages
            ticks = [tick for tick in axes.get_xticks() if 0 <= tick <= max(widest, 0.01)]
            axes.set_xticks(ticks if len(ticks) > 1 else [0.0, float(f"{widest:.1g}")])  # zero alone is no scale
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
            axes.tick_params(labelbottom=number + across >= len(drawn))  # where no panel follows below
            axes.tick_params(axis="y", length=0)
        named = [("▶ " if place == marked else "") + label(name) for place, name in enumerate(labels)]
        grid[0, 0].set_yticks(range(len(labels)), named)
        grid[0, 0].invert_yaxis()
        if marked is not None:
            for axes in grid[:, 0]:
                axes.get_yticklabels()[marked].set_fontweight("bold")
        notes = ["probability"]
        notes += ["▶ the chosen token"] if marked is not None else []
        notes += ["hatched: removed, with the probability it had"] if any(any(s.removed) for s in drawn) else []
        figure.supxlabel("   ·   ".join(notes), fontsize=SMALL)
    return Picture(figure, _alt(drawn, labels, marked, n_vocab, len(ids)), _text(drawn, labels, marked))


def _what(name: str) -> str:
    return f"the logits of stage {name!r}"


def _panel(stage: Stage, ids: list[int], others: Tensor) -> _Panel:
    if stage.n_vocab != len(others):
        raise ValueError(
            f"all stages have the same ids; {stage.name!r} has {stage.n_vocab}, the first stage {len(others)}"
        )
    share = stage.probabilities
    off = stage.logits == -torch.inf
    shares, removed = share[ids].tolist(), off[ids].tolist()
    if bool(others.any()):
        shares.append(float(share[others].sum()))
        removed.append(bool(off[others].all()))
    return _Panel(stage.name, shares, removed, stage.kept)


def _draw(axes: Axes, stage: _Panel, before: list[float], marked: int | None, others: bool) -> None:
    """One stage: a bar a token, a hatched outline for each that is removed, the percentage beside it."""
    drawn = axes.barh(range(len(stage.shares)), stage.shares, height=0.72, color=FILL)
    if others:
        drawn[-1].set(facecolor="#b8b8b8", edgecolor="#ffffff", hatch="...")
    for place, (share, off) in enumerate(zip(stage.shares, stage.removed, strict=True)):
        if off:
            axes.barh(place, before[place], height=0.72, facecolor="white", edgecolor=GREY, hatch="////")
        elif place == marked:
            drawn[place].set(edgecolor=INK, linewidth=2)
        axes.annotate(
            "removed" if off else percent(share),
            (before[place], place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=GREY if off else INK,
            fontweight="bold" if place == marked else "normal",
        )


def _alt(stages: list[_Panel], labels: list[str], marked: int | None, n_vocab: int, n_named: int) -> str:
    """What each stage leaves, and its likeliest token."""
    parts = []
    for stage in stages:
        best = max(range(n_named), key=stage.shares.__getitem__)
        likeliest = f"{quoted(labels[best])} {percent(stage.shares[best])}"
        parts.append(f"{stage.name}: {likeliest}, {stage.left:,} of {n_vocab:,} ids left")
    kind = "Bar chart of next-token probabilities"
    alt = f"{kind}, {len(stages)} stages. {'; '.join(parts)}." if len(stages) > 1 else f"{kind}. {parts[0]}."
    if marked is not None:
        last = stages[-1]
        share = "removed" if last.removed[marked] else percent(last.shares[marked])
        alt += f" The chosen token, {quoted(labels[marked])}: {share} after {last.name}."
    return alt


def _text(stages: list[_Panel], labels: list[str], marked: int | None) -> str:
    lines = []
    for stage in stages:
        lines.append(padded(f"{stage.name} ({stage.left:,} ids left)", 80).rstrip())
        for place, (name, share, off) in enumerate(zip(labels, stage.shares, stage.removed, strict=True)):
            value = "removed" if off else percent(share, 2)
            lines.append(f"{'>' if place == marked else ' '} {padded(name, 26)} {bar(share, 36)} {value:>8}")
    return "\n".join(lines)
