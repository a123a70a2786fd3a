"""What a fact is made of, and the transformers that computes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from decoding.tokenizer import VOCABULARY  # the folder of two files, of which transformers makes its tokenizer
from gpt2.hub import STORYBOOK
from tests.conftest import ROOT
from tests.parity.reference import pad

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, GPT2Tokenizer

FACTS = ROOT / "facts"
PASSAGE = Path(__file__).parent / "alice.txt"  # Alice's Adventures in Wonderland, 1865: storybook has not seen it
EOS = 50256
MARGIN = 1e-3  # of logits. Two networks in float32 differ by some 1e-5
MASS_MARGIN = 1e-3  # of probabilities: how far a sum has to be from the border of a nucleus

Entry = dict[str, Any]
BOTH: Entry = {"text": {"mode": "exact"}, "new_ids": {"mode": "exact"}}  # rules for a text
GONE = object()


class Reference:
    """transformers' network in float32 and float64, and its tokenizer."""

    def __init__(self) -> None:
        from transformers import GPT2LMHeadModel, GPT2Tokenizer

        def load(dtype: torch.dtype) -> GPT2LMHeadModel:
            return GPT2LMHeadModel.from_pretrained(STORYBOOK, dtype=dtype).eval()

        self.single, self.double = load(torch.float32), load(torch.float64)
        self.another = partial(load, torch.float32)
        merges = (VOCABULARY / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
        self.tokenizer: GPT2Tokenizer = GPT2Tokenizer(
            vocab=json.loads((VOCABULARY / "encoder.json").read_text(encoding="utf-8")),
            merges=[tuple(line.split(" ")) for line in merges],
            add_prefix_space=False,
        )
        self.passage = self.encode(PASSAGE.read_text(encoding="utf-8"))

    def encode(self, text: str) -> list[int]:
        return self.tokenizer(text, return_attention_mask=False)["input_ids"]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return self.tokenizer.decode(
            list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )

    def write(self, prompts: list[list[int]], n: int, *, double: bool = False, **settings: Any) -> Any:
        """transformers' `generate`, told everything: no default is left to it. Prompts of a batch are padded left."""
        ids, mask = pad(prompts, "left", with_id=EOS)
        model = self.double if double else self.single
        settings = {"do_sample": False, "eos_token_id": None, **settings}
        return model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=n,
            pad_token_id=EOS,
            return_dict_in_generate=True,
            output_logits=True,
            output_scores=True,
            **settings,
        )

    def text_entry(self, prompt: list[int], new: list[int], keep_special: bool = False) -> Entry:
        text = self.decode(prompt + new, skip_special_tokens=not keep_special)
        return {"text": text, "new_ids": new, "n_new": len(new)}


def new_ids_of(sequence: Tensor, begin: int, eos_id: int | None) -> list[int]:
    """What was generated, without the padding behind the end."""
    ids = sequence[begin:].tolist()
    return ids[: ids.index(eos_id) + 1] if eos_id in ids else ids


class Writer:
    """Collects facts. Each is `like` a published one: the same kind, run and rules, but for what is given here."""

    def __init__(self, reference: Reference) -> None:
        import transformers

        self.reference = reference
        self.source = f"transformers {transformers.__version__} (tests/parity/write_storybook_facts.py)"
        published = json.loads((FACTS / "published.json").read_text(encoding="utf-8"))["facts"]
        self.published = {entry["id"]: entry for entry in published}
        self.facts: list[Entry] = []

    def add(
        self,
        id: str,
        like: str,
        expected: Entry,
        *,
        prompt_ids: list[Any] | None = None,
        run: Entry | None = None,
        compare: dict[str, Any] | None = None,
        max_new_tokens: int | None = None,
        prompt: str | list[str] | None = None,
        soft: bool = False,
        library: str = "PyTorch, float32, CPU",
        note: str = "",
    ) -> None:
        """`run` and `compare` change entries of the published fact; an entry of `run` that is GONE goes."""
        model = self.published[like]
        rules = {key: rule for key, rule in {**model["compare"], **(compare or {})}.items() if key in expected}
        assert rules, f"{id} compares nothing"
        settings = {key: value for key, value in {**model["run"], **(run or {})}.items() if value is not GONE}
        fact = {
            "id": id,
            "model": "storybook",
            "kind": model["kind"],
            "prompt": prompt if prompt is not None else self._text(prompt_ids),
            "prompt_ids": prompt_ids,
            "run": settings,
            "max_new_tokens": max_new_tokens,
            "expected": expected,
            "compare": rules,
            "needs_weights": model.get("needs_weights"),
            "soft": soft,
            "source": self.source,
            "library": library,
            "note": note,
        }
        self.facts.append({key: value for key, value in fact.items() if value not in (None, False, "")})

    def _text(self, prompt_ids: list[Any] | None) -> str | list[str] | None:
        """The prompt for the reader, where it is short."""
        if prompt_ids is None or len(prompt_ids) > 64:
            return None
        if isinstance(prompt_ids[0], list):
            return [self.reference.decode(row) for row in prompt_ids] if len(prompt_ids[0]) < 30 else None
        return self.reference.decode(prompt_ids)


def rounded(values: Any, digits: int = 6) -> Any:
    """Tensors and numbers as JSON has them: two digits more than the tolerances look at."""
    if isinstance(values, Tensor):
        values = values.tolist()
    if isinstance(values, list):
        return [rounded(value, digits) for value in values]
    if isinstance(values, dict):
        return {key: rounded(value, digits) for key, value in values.items()}
    return round(values, digits) if isinstance(values, float) else values


def check_margin(gap: float, least: float, what: str) -> None:
    if not gap > least:
        raise ValueError(f"{what}: the margin is {gap:.2g}, and {least:g} is the least; choose another prompt")


def lead(logits: Tensor) -> float:
    """How far the best logit is above the second, in the worst of all rows."""
    best = logits.topk(2).values
    return float((best[..., 0] - best[..., 1]).min())


def neighbours(values: Tensor) -> float:
    """The smallest distance of two values that follow each other."""
    return float((values[:-1] - values[1:]).min())
