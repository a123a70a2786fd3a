"""facts/storybook.json is what `write_storybook_facts` would write today, and has every kind of fact that there is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.parity.storybook_facts.layout import as_text
from tests.parity.storybook_facts.writer import FACTS
from tests.parity.write_fixtures import FIXTURES, draws
from tests.parity.write_storybook_facts import FILE, facts

pytestmark = pytest.mark.parity

# What is published about GPT-2 and cannot be, or is not yet, about storybook: run and compared entry.
ELSEWHERE = {
    # about the tokenizer and about OpenAI's files, not about a network
    ("decode_stream", "cases"), ("decode_stream", "text"), ("encode", "error_without_allowed_special"),
    ("file_size", "bytes"), ("small_files", "files"), ("tokenizer_files", "encoder_json_sha256"),
    ("tokenizer_files", "n_vocab"), ("tokenizer_files", "pat_str"), ("tokenizer_files", "special_tokens"),
    ("tokenizer_files", "vocab_bpe_sha256"), ("vocabulary_strings", "strings"),
    # strategies that transformers does not have, or no longer has
    ("beam", "exp_mean_logprob"), ("beam_expand", "candidates"), ("beam_expand", "kept"), ("constrained_beam", "text"),
    ("exhaustive_tree", "score"), ("exhaustive_tree", "text"),
}  # fmt: skip


def load(name: str) -> list[dict[str, Any]]:
    return json.loads((FACTS / name).read_text(encoding="utf-8"))["facts"]


def close(one: Any, other: Any) -> bool:
    """Equal, but for numbers with decimals, which may differ by 1e-4, and by 1e-5 of their size where that is more."""
    if isinstance(one, float):
        return isinstance(other, float) and abs(one - other) < max(1e-4, 1e-5 * abs(other))
    if isinstance(one, dict):
        return (
            isinstance(other, dict) and one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(close, one, other))
    return bool(one == other)


@pytest.fixture(scope="module")
def today() -> list[dict[str, Any]]:
    return json.loads(json.dumps(facts()))


def comparable(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the version of transformers; and, where this PyTorch draws other numbers, without what was drawn."""
    same_draws = json.loads((FIXTURES / "facts.json").read_text(encoding="utf-8"))["draws"] == draws()
    return [
        {key: value for key, value in entry.items() if key != "source"}
        for entry in entries
        if same_draws or not entry.get("soft")
    ]


def test_facts_are_what_transformers_computes(today: list[dict[str, Any]]) -> None:
    assert [entry["id"] for entry in load("storybook.json")] == [entry["id"] for entry in today]
    for stored, computed in zip(comparable(load("storybook.json")), comparable(today), strict=True):
        assert close(stored, computed), stored["id"]


def _another_id(entry: dict[str, Any]) -> None:
    entry["expected"]["new_ids"][0] += 1


def _another_logit(entry: dict[str, Any]) -> None:
    entry["expected"]["logits"]["0"] += 3e-4


def _another_text(entry: dict[str, Any]) -> None:
    entry["expected"]["text"] = entry["expected"]["text"].lower()


def _a_wider_tolerance(entry: dict[str, Any]) -> None:
    entry["compare"]["logits"]["atol"] = 0.05


def _a_whole_number(entry: dict[str, Any]) -> None:
    entry["expected"]["loss"] = int(entry["expected"]["loss"])


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("S-greedy-once", _another_id),
        ("S-forward-english", _another_logit),
        ("S-greedy-bird", _another_text),
        ("S-forward-english", _a_wider_tolerance),
        ("S-loss-row", _a_whole_number),
    ],
)
def test_a_changed_fact_is_noticed(
    today: list[dict[str, Any]], id: str, change: Callable[[dict[str, Any]], None]
) -> None:
    (computed,) = [entry for entry in today if entry["id"] == id]
    changed = copy.deepcopy(computed)
    change(changed)
    assert close(computed, copy.deepcopy(computed))
    assert not close(changed, computed)


def test_every_published_kind_of_fact_is_there() -> None:
    """Each run, each entry that is compared, and the way in which it is."""

    def kinds(entries: list[dict[str, Any]]) -> set[tuple[str, ...]]:
        return {
            (entry["run"]["name"], key, rule["mode"])
            for entry in entries
            for key, rule in entry["compare"].items()
            if (entry["run"]["name"], key) not in ELSEWHERE
        }

    assert kinds(load("published.json")) <= kinds(load("storybook.json"))


@pytest.mark.parametrize("name", ["published.json", "storybook.json"])
def test_layout_of_the_files(name: str) -> None:
    content = (FACTS / name).read_text(encoding="utf-8")
    assert as_text(json.loads(content)) == content


def test_the_file_is_written_where_it_is_read() -> None:
    from scripts.reproduction.fact import FACTS as READ

    assert FILE.parent == READ
