"""A search tree in a terminal."""

from __future__ import annotations

import io
import re

import pytest

from decoding import BeamSearch, GeneratedIds, SearchTree, TableModel, Tokenizer, generate, generate_ids
from decoding.legible import columns
from decoding.search_tree import Fate
from decoding.tree_text import ALL, LEGEND, MARKS, run_name, tree_lines, tree_text
from gpt2 import GPT2

WORDS = ['" the"', '" cat"', '" sat"']


def by_hand() -> SearchTree:
    """The prompt, two hypotheses in the first step, three in the second; one wins."""
    tree = SearchTree()
    the = tree.add(0, 0, -0.5, -0.5, 1, "extended")
    tree.add(0, 1, -1.25, -1.25, 2, "pruned")
    tree.add(the, 1, -0.25, -0.75, 1, "won", "length")
    tree.add(the, 2, -2.0, -2.5, 2, "finished", "length")
    tree.add(the, 0, -3.0, -3.5, 3, "abandoned", note="group 2")
    return tree


def test_a_tree_by_hand() -> None:
    assert tree_text(by_hand(), WORDS.__getitem__).splitlines() == [
        LEGEND,
        '    -0.50 > ├ " the"',
        '    -0.75 > │ ├ " cat"',
        '    -2.50 = │ ├ " sat"',
        '    -3.50 ~ │ └ " the"  group 2',
        '    -1.25 x └ " cat"',
    ]


def test_the_tree_knows_its_ways() -> None:
    tree = by_hand()
    assert tree.ids(3) == (0, 1) and tree.ids(0) == ()
    assert tree.children(0) == [1, 2] and tree.children(1) == [3, 4, 5] and tree.children(5) == []
    assert tree.winner == 3 and tree.way_to_the_winner() == {0, 1, 3}
    assert SearchTree().winner is None and SearchTree().way_to_the_winner() == set()
    assert repr(tree) == "<SearchTree of 6 nodes>"
    first = tree.to_list(WORDS.__getitem__)[1]
    assert (first["number"], first["name"], first["parent"], first["fate"]) == (1, '" the"', 0, "extended")


def large(beams: int) -> GeneratedIds:
    model = TableModel.random(6, 40, seed=3)
    return generate_ids(model, [[1]], BeamSearch(beams=beams), max_new_tokens=25, trace=True)[0]


@pytest.mark.parametrize("beams", [2, 3, 8])
def test_a_large_tree_leaves_out_what_was_pruned_and_nothing_else(beams: int) -> None:
    tree = large(beams).trace.tree
    assert tree is not None and len(tree) > ALL
    names = [f'"{id}"' for id in range(6)]
    lines = tree_lines(tree, names.__getitem__)
    shown = "".join("".join(re.findall(r'"(\d+)"', line.text)) for line in lines)
    kept = [node for node in tree if node.fate != "pruned" and node.id is not None]
    assert sorted(shown) == sorted(str(node.id) for node in kept)
    marks: dict[str, Fate] = {mark: fate for fate, mark in MARKS.items()}
    ends = [line for line in lines if line.fate in ("won", "finished", "abandoned")]
    assert len(ends) == sum(node.fate in ("won", "finished", "abandoned") for node in tree)
    for line in lines:
        mark = marks[line.text[10]]
        assert mark == ("won" if line.leads else line.fate) or (mark == "pruned" and line.fate == "extended")
    assert [line.fate for line in lines if line.leads][-1] == "won"


def test_it_fits_a_terminal(storybook: GPT2) -> None:
    tokenizer = Tokenizer()
    result = generate(storybook, tokenizer, "Lily and Ben", BeamSearch(beams=4), max_new_tokens=30, trace=True)
    assert result.trace.tree is not None
    for width in (80, 60):
        lines = tree_lines(result.trace.tree, result.trace.name, width)
        assert all(columns(line.text) <= width for line in lines) and len(lines) > 10
    assert columns(LEGEND) <= 80


@pytest.mark.parametrize("beams", [1, 6])
def test_deep_trees_fit_as_well(beams: int) -> None:
    """One that never branches, and one that does at every step: ids are seen in each line."""
    tree = SearchTree()
    node = 0
    for _ in range(70):
        for rank in range(2, beams + 1):
            tree.add(node, 1, -1.0, -1.0, rank, "abandoned")
        node = tree.add(node, 0, -0.5, -0.5, 1, "extended")
    tree.add(node, 2, -0.5, -0.5, 1, "won", "length")
    lines = tree_lines(tree, WORDS.__getitem__)
    assert all(columns(line.text) <= 80 and '"' in line.text for line in lines)
    assert len(lines) == (1 if beams == 1 else 70 * beams)


def test_a_terminal_without_utf_8_gets_plain_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert tree_text(by_hand(), WORDS.__getitem__).splitlines()[2:4] == [
        '    -0.75 > | | " cat"',
        '    -2.50 = | | " sat"',
    ]


def test_tokens_in_a_row_share_their_quotes() -> None:
    assert run_name(['" a"', '"b"']) == '" ab"'
    assert run_name(["id 3", "id 4"]) == "id 3 id 4"
