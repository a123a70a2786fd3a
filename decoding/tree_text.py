"""A search tree as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .legible import columns, cut, printable, visible
from .search_tree import Fate, SearchTree

MARKS: dict[Fate, str] = {"won": ">", "finished": "=", "extended": " ", "abandoned": "~", "pruned": "x"}
LEGEND = "    score  > the way to the text that won   = finished   x pruned   ~ still open"
ALL, DEEP = 80, 20  # nodes and steps of a tree that is shown whole; of a larger one what was pruned is left out
_TEXT = 24  # columns at least for the ids of a line


class TreeLine(NamedTuple):
    """One line, and what became of the hypothesis at its end."""

    text: str
    fate: Fate
    leads: bool  # to the text that won


def tree_lines(tree: SearchTree, name: Callable[[int], str], width: int = 80) -> list[TreeLine]:
    """One line a hypothesis, with score, mark (`LEGEND`) and its last id; those that extend it follow, indented.

    In a tree of more than 80 nodes or 20 steps what was pruned is left out, and ids that nothing else branches off from
    share a line. `name` says what an id is called.
    """
    whole = len(tree) <= ALL and max(node.step for node in tree) <= DEEP
    children = tree.branches([number for number, node in enumerate(tree) if whole or node.fate != "pruned"])
    way = tree.way_to_the_winner()
    lines: list[TreeLine] = []
    waiting = [
        (child, "", child == children[0][-1]) for child in reversed(children[0])
    ]  # node, what is before it, last
    while waiting:
        number, before, is_last = waiting.pop()
        run = [number]
        while not whole and len(children[run[-1]]) == 1:
            run.append(children[run[-1]][0])
        leads, dead = run[-1] in way, tree[run[-1]].fate == "extended" and not children[run[-1]]
        mark = MARKS["won" if leads else "pruned" if dead else tree[run[-1]].fate]
        end = tree[run[-1]]
        ids = [tree[one].id for one in run]
        branch = "" if len(children[0]) == 1 and end.parent == 0 else before + ("└ " if is_last else "├ ")
        note = f"  {end.note}" if end.note else ""
        room = width - 12 - _TEXT - columns(note)  # for the branches
        branch = branch if len(branch) <= room else "…" + branch[1 - room :]
        head = f"{end.score:9.2f} {mark} {branch}"
        text = run_name([visible(name(id)) for id in ids if id is not None])
        lines.append(TreeLine(head + cut(text, width - columns(head) - columns(note)) + note, end.fate, leads))
        deeper = before + ("  " if is_last else "│ ")
        last = children[run[-1]][-1:]
        waiting += [(child, deeper, [child] == last) for child in reversed(children[run[-1]])]
    return lines


def run_name(names: Sequence[str]) -> str:
    """Several tokens in a row: quoted ones in quotes of their own no more."""
    if all(len(name) > 1 and name[0] == name[-1] == '"' for name in names):
        return '"' + "".join(name[1:-1] for name in names) + '"'
    return " ".join(names)


def tree_text(tree: SearchTree, name: Callable[[int], str], width: int = 80) -> str:
    """The lines in one, with the legend before them."""
    return "\n".join([LEGEND, *(printable(line.text) for line in tree_lines(tree, name, width))])
