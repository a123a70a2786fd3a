"""The measurements as a picture: bars under the limit of each precision, and the cost of an id against the context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .engines import PRECISIONS
from .measure import Results
from .report import by_precision, decoding, milliseconds

_COLOURS = {
    "eager": "#7aa6d8",
    "compiled": "#1f5fa8",
    "transformers": "#d9b26f",
    "ctranslate2": "#8f9f8a",
    "llama.cpp": "#b8685a",
}
_LINES = {"float32": "-", "bfloat16": "--", "float16": "-.", "int8": ":"}


def draw(results: Results, path: Path) -> None:
    """Write the picture, of the format that the file's ending names. Raises ValueError for one that there is not."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(11, 5.6), layout="constrained")
    speeds, costs = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _draw_speeds(results, speeds)
    _draw_costs(results, costs)
    if costs.lines:
        figure.legend(handles=costs.lines, loc="outside lower right", ncols=5, fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


def _draw_speeds(results: Results, axes: Any) -> None:
    """A bar for each engine, grouped by precision; its ends are the lowest and the highest of the rounds."""
    at, ticks = 0.0, []
    for precision, rows in by_precision(results):
        first = at
        for row in rows:
            speed = decoding(row, 1, results.plan.new_ids)
            ends = [[speed.median - speed.lowest], [speed.highest - speed.median]]
            axes.barh(at, speed.median, xerr=ends, color=_COLOURS[row.engine.kind], ecolor="#555555", capsize=2)
            ticks.append((at, row.engine.name))
            at += 1
        limit = results.limit(precision)
        axes.plot([limit, limit], [first - 0.5, at - 0.5], color="black", linewidth=1.5)
        axes.annotate(
            f"limit, {PRECISIONS[precision]}",
            (limit, first - 0.5),
            (-4, 3),
            textcoords="offset points",
            ha="right",
            size=8,
        )
        at += 1
    axes.set_yticks([where for where, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("ids a second, one prompt (line: lowest to highest)")
    axes.set_title("Decoding, and the limit of the memory")
    _open(axes)


def _draw_costs(results: Results, axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    lengths = results.plan.contexts
    if results.naive:
        axes.plot(lengths, milliseconds(results.naive), color="#666666", marker="s", markersize=3, label="naive loop")
    for row in results.rows:
        if row.contexts:
            engine = row.engine
            axes.plot(
                lengths,
                milliseconds(row.contexts),
                color=_COLOURS[engine.kind],
                linestyle=_LINES[engine.weights],
                marker="o",
                markersize=3,
                label=engine.name,
            )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ids before it")
    axes.set_ylabel("milliseconds an id (logarithmic)")
    axes.set_title("What one id costs, by the context")
    _open(axes)


def _open(axes: Any) -> None:
    """No frame on the right and at the top."""
    axes.spines[["top", "right"]].set_visible(False)
