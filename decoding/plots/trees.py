"""What a search considered, as a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from ..legible import visible
from ..search_tree import Node, SearchTree
from ..tree_text import run_name, tree_text
from .picture import Picture
from .style import FAINT, FILL, GREY, INK, SMALL, house, label, new_figure

_MOST = 60  # hypotheses in one picture
_LABEL = 12  # columns of a token's name


def search_tree(tree: SearchTree, names: Callable[[int], str], *, steps: int = 8) -> Picture:
    """The hypotheses that a search considered, from the prompt on the left, a column a step, each with its score.

    tree    of a `trace` that a search left: `generate(..., BeamSearch(), trace=True).trace.tree`
    names   id -> text
    steps   how many steps are drawn, from the first

    The way to the text that won is drawn thick, what was pruned in grey with broken lines. Where that makes more than
    60 hypotheses, what was pruned is left out. Raises ValueError for steps below 1, and for a tree that is too large.
    """
    if steps < 1:
        raise ValueError(f"steps is a number of columns, at least 1; got {steps}")
    drawn = [number for number, node in enumerate(tree) if node.step <= steps]
    left_out = len(drawn) > _MOST
    if left_out:
        drawn = [number for number in drawn if tree[number].fate != "pruned"]
    if len(drawn) > _MOST:
        raise ValueError(f"{len(drawn)} hypotheses in {steps} steps are too many for a picture; ask for fewer steps")

    rows = _rows(tree, drawn)
    way = tree.way_to_the_winner()
    last = max(tree[number].step for number in drawn)
    with house():
        n_rows = max(rows.values()) + 1
        figure = new_figure(0.9 + 0.34 * n_rows)
        axes = figure.subplots()
        for number in drawn:
            _draw(axes, tree, number, rows, number in way, names)
        axes.set_xlim(-0.45, last + 0.75)
        axes.set_ylim(n_rows - 0.4, -0.6)
        axes.set_yticks([])
        axes.set_xticks(range(last + 1), ["prompt", *(f"step {step}" for step in range(1, last + 1))])
        axes.tick_params(length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        notes = ["numbers are scores", "thick: the way to the text that won"]
        notes += ["what was pruned is left out"] if left_out else ["grey: pruned"]
        figure.supxlabel("   ·   ".join(notes), fontsize=SMALL)
    return Picture(figure, _alt(tree, drawn, names, last, left_out), tree_text(tree, names))


def _rows(tree: SearchTree, drawn: Sequence[int]) -> dict[int, float]:
    """How far down each hypothesis is: leaves one below the other, every other one in the middle of its children."""
    children = tree.branches(drawn)
    rows: dict[int, float] = {}
    waiting, leaves, order = [0], 0, []
    while waiting:  # depth first, the best child first
        number = waiting.pop()
        order.append(number)
        if not children[number]:
            rows[number] = leaves
            leaves += 1
        waiting += reversed(children[number])
    for number in reversed(order):  # children before their parents
        if children[number]:
            rows[number] = (rows[children[number][0]] + rows[children[number][-1]]) / 2
    return rows


def _draw(
    axes: Axes, tree: SearchTree, number: int, rows: dict[int, float], leads: bool, names: Callable[[int], str]
) -> None:
    """One hypothesis, and the line to what it extends."""
    node, row = tree[number], rows[number]
    if node.parent is None or node.id is None:
        axes.plot([0], [row], "o", color=INK, markersize=5)
        return
    gone = node.fate == "pruned"
    begin = node.step - 1 if tree[node.parent].parent is None else node.step - 0.28
    axes.plot(
        [begin, node.step - 0.05 if node.step == 1 else node.step - 0.02],
        [rows[node.parent], row],
        color=FILL if leads else FAINT if gone else GREY,
        linewidth=3 if leads else 1,
        linestyle="--" if gone else "-",
        zorder=0,
    )
    _name(axes, node, row, leads, gone, label(visible(names(node.id)), _LABEL))


def _name(axes: Axes, node: Node, row: float, leads: bool, gone: bool, shown: str) -> None:
    end = {"won": " ✓", "finished": " ▪"}.get(node.fate, "")
    axes.annotate(
        f"{shown}{end}\n{node.score:.2f}",
        (node.step, row),
        ha="left",
        va="center",
        fontsize=SMALL,
        color=GREY if gone else INK,
        fontweight="bold" if leads else "normal",
    )


def _alt(tree: SearchTree, drawn: list[int], names: Callable[[int], str], last: int, left_out: bool) -> str:
    pruned = sum(tree[number].fate == "pruned" for number in drawn)
    without = "what was pruned is left out" if left_out else f"{pruned} of them pruned"
    alt = f"Search tree of {len(drawn) - 1} hypotheses in {last} steps, {without}."
    if tree.winner is not None:
        ids = tree.ids(tree.winner)
        text = run_name([visible(names(id)) for id in ids[:last]])
        goes_on = " and on" if len(ids) > last else ""
        alt += f" The way to the text that won: {text}{goes_on}, score {tree[tree.winner].score:.2f}."
    return alt
