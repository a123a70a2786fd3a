"""scripts/benchmark.py, on a model so small that its figures mean nothing."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.parity


def test_a_row_compares_ids_and_speeds(tmp_path: object) -> None:
    import transformers

    from gpt2 import GPT2
    from scripts.benchmark import compare, compare_loading, strategies

    config = transformers.GPT2Config(
        vocab_size=90, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3, eos_token_id=None
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = GPT2.from_pretrained(str(tmp_path))
    prompts = torch.randint(0, 90, (3, 5))
    ours_by_name = {**strategies(1), **strategies(3)}
    assert len(ours_by_name) == 3
    for strategy in ours_by_name.values():
        row = compare("tiny", ours, theirs, strategy, prompts, new_ids=8, rounds=2)
        assert row.startswith("tiny ") and row.endswith("3 of 3 rows")
    ours.wte.weight.data.mul_(-1)  # another model gives other ids, and the row shows it
    for strategy in ours_by_name.values():
        assert not compare("tiny", ours, theirs, strategy, prompts, new_ids=8, rounds=1).endswith("3 of 3 rows")
    assert compare_loading(str(tmp_path), transformers.GPT2LMHeadModel, rounds=1).startswith("loading ")
