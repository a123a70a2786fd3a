"""What transformers computed once (see tests/parity/write_fixtures.py), computed again by our code, without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from decoding import Greedy, Multinomial, Processor, Sample, Temperature, Tokenizer, TopK, TopP, generate, generate_ids
from decoding.generate import GeneratedIds
from gpt2 import GPT2

FIXTURES = Path(__file__).parent / "fixtures"
FACTS: dict[str, Any] = json.loads((FIXTURES / "facts.json").read_text(encoding="utf-8"))
TINY: dict[str, Any] = FACTS["tiny"]
TOLERANCE = 1e-4  # float32 adds up in other orders elsewhere, and the facts are rounded to 1e-5


@pytest.fixture(scope="module")
def tiny() -> GPT2:
    return GPT2.from_pretrained(FIXTURES / "tiny")


def assert_close(logits: torch.Tensor, expected: list[Any]) -> None:
    facts = torch.tensor(expected)
    assert logits.shape == facts.shape
    assert float((logits - facts).abs().max()) < TOLERANCE


@torch.no_grad()
def test_logits_in_eval_mode(tiny: GPT2) -> None:
    assert_close(tiny(torch.tensor(TINY["eval"]["ids"]))[:, -3:], TINY["eval"]["last_logits"])


def test_logits_of_a_session(tiny: GPT2) -> None:  # law 7
    ids = torch.tensor(TINY["eval"]["ids"])
    session = tiny.open()
    for start in range(0, ids.shape[1] - 3, 5):
        session.extend(ids[:, start : min(start + 5, ids.shape[1] - 3)])
    assert_close(session.extend(ids[:, -3:], keep=3), TINY["eval"]["last_logits"])


@torch.no_grad()
def test_logits_of_a_left_padded_batch(tiny: GPT2) -> None:
    ids, mask = torch.tensor(TINY["left_padded"]["ids"]), torch.tensor(TINY["left_padded"]["mask"])
    assert bool((mask == 0).any())
    assert_close(tiny(ids, mask)[:, -1:], TINY["left_padded"]["last_logits"])


@torch.no_grad()
def test_logits_in_train_mode() -> None:
    """The same seed drops the same numbers, if this PyTorch draws as the one that wrote the facts."""
    fact = TINY["train"]
    torch.manual_seed(fact["seed"])
    if F.dropout(torch.ones(1, 9, 24), 0.5).flatten().nonzero()[:, 0].tolist() != FACTS["draws"]["dropout"]:
        pytest.skip(f"this PyTorch draws other dropout masks than that of the facts: {FACTS['written_by']}")
    model, ids = GPT2.from_pretrained(FIXTURES / "tiny").train(), torch.tensor(fact["ids"])
    torch.manual_seed(fact["seed"])
    assert_close(model(ids)[:, -3:], fact["last_logits"])
    for mutant in ("embd_dropout.p", "h.0.attn.attn_pdrop", "h.0.attn.resid_dropout.p", "h.1.mlp.resid_dropout.p"):
        owner, _, name = mutant.rpartition(".")
        kept = getattr(model.get_submodule(owner), name)
        setattr(model.get_submodule(owner), name, 0.0)
        torch.manual_seed(fact["seed"])
        assert float((model(ids)[:, -3:] - torch.tensor(fact["last_logits"])).abs().max()) > 0.1, mutant
        setattr(model.get_submodule(owner), name, kept)


def decided_by(row: GeneratedIds) -> float:
    """The smallest lead of a chosen id over the second best: far above rounding, or the facts would be luck."""
    best = torch.stack([step.stages[-1].logits.topk(2).values for step in row.trace])  # (steps, 2)
    return float((best[:, 0] - best[:, 1]).min())


def test_greedy_ids(tiny: GPT2) -> None:
    fact = TINY["greedy"]
    rows = generate_ids(tiny, fact["prompts"], Greedy(), max_new_tokens=20, trace=True)
    assert min(map(decided_by, rows)) > 2 * TOLERANCE
    assert [row.ids for row in rows] == fact["ids"]


def test_greedy_ids_end_at_eos(tiny: GPT2) -> None:
    fact = TINY["greedy_eos"]
    rows = generate_ids(tiny, fact["prompts"], Greedy(), max_new_tokens=20, eos_id=fact["eos_id"])
    assert [row.ids for row in rows] == fact["ids"]
    assert {row.finish_reason for row in rows} == {"eos", "length"}


@pytest.mark.parametrize("fact", TINY["sampled"], ids=lambda fact: str(fact["settings"]))
def test_sampled_ids(tiny: GPT2, fact: dict[str, Any]) -> None:
    """Id for id, if this PyTorch draws as the one that wrote the facts."""
    generator = torch.Generator().manual_seed(fact["seed"])
    probabilities = torch.ones(len(fact["prompts"]), tiny.n_vocab).softmax(dim=-1)
    draws = [torch.multinomial(probabilities, 1, generator=generator)[:, 0].tolist() for _ in range(4)]
    if draws != FACTS["draws"]["multinomial"]:
        pytest.skip(f"this PyTorch's torch.multinomial draws other ids than that of the facts: {FACTS['written_by']}")
    processors: dict[str, type[Processor]] = {"temperature": Temperature, "top_k": TopK, "top_p": TopP}
    strategy = Sample(*(processors[name](value) for name, value in fact["settings"].items()))
    rows = generate_ids(tiny, fact["prompts"], strategy, max_new_tokens=16, seed=fact["seed"], draw=Multinomial)
    assert [row.ids for row in rows] == fact["ids"]


@pytest.mark.parametrize("fact", FACTS["storybook"], ids=lambda fact: fact["prompt"])
def test_storybook(storybook: GPT2, tokenizer: Tokenizer, fact: dict[str, Any]) -> None:
    assert tokenizer.encode(fact["prompt"]) == fact["prompt_ids"]
    with torch.no_grad():
        logits = storybook(torch.tensor([fact["prompt_ids"]]))[0, -1]
    assert_close(logits[fact["best_ids"]], fact["best_logits"])
    assert_close(logits.logsumexp(dim=-1), fact["logsumexp"])
    result = generate(storybook, tokenizer, fact["prompt"], Greedy(), max_new_tokens=40, trace=True)
    assert decided_by(result) > 2 * TOLERANCE
    assert result.ids == fact["greedy"]
