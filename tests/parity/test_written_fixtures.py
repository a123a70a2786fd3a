"""The fixtures are what `write_fixtures` would write today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.parity.write_fixtures import FIXTURES, facts, save_tiny

pytestmark = pytest.mark.parity


def close(one: Any, other: Any) -> bool:
    """Equal, but for numbers with decimals, which may differ by 1e-4."""
    if isinstance(one, float):
        return isinstance(other, float) and abs(one - other) < 1e-4
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return bool(one == other)


def test_facts_are_what_transformers_computes() -> None:
    written = json.loads((FIXTURES / "facts.json").read_text(encoding="utf-8"))
    today = json.loads(json.dumps(facts(FIXTURES / "tiny")))
    for content in (written, today):
        del content["written_by"]
    if written.pop("draws") != today.pop("draws"):
        for content in (written, today):
            del content["tiny"]["train"], content["tiny"]["sampled"]
    assert close(written, today)
    written["tiny"]["eval"]["last_logits"][0][0][0] += 1e-3
    assert not close(written, today)


def test_tiny_is_what_transformers_saves(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    assert {file.name for file in (FIXTURES / "tiny").iterdir()} == {"config.json", "model.safetensors"}
    size = sum(file.stat().st_size for file in (FIXTURES / "tiny").iterdir())
    assert size < 200_000
    written = (FIXTURES / "tiny" / "model.safetensors").read_bytes()
    assert len(written) == len((tmp_path / "model.safetensors").read_bytes())
