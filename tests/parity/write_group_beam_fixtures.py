"""Writes tests/fixtures/transformers_4_55: group beams and constrained beams, which newer versions have dropped.

In an environment of its own, as this project needs newer versions; the script imports nothing else:

    pip install torch==2.13.0 transformers==4.55.4
    python tests/parity/write_group_beam_fixtures.py

config.json, model.safetensors   a random GPT-2 with 6 ids, few enough to list all of its short texts
beams.json                       what `generate` finds, best first, with scores: by group beams in tests/fixtures/tiny
                                 (num_beam_groups, diversity_penalty); by constrained beams (force_words_ids) among all
                                 texts of the model with 6 ids ("wide"), with 8 beams in tests/fixtures/tiny ("narrow"),
                                 and the same with three texts wanted ("several"); and which versions computed them
"""

from __future__ import annotations

import json
import platform
import re
import tempfile
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import torch
import transformers

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOLDER = FIXTURES / "transformers_4_55"
SIX = {
    "vocab_size": 6, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2, "initializer_range": 0.8,
    "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
PROMPTS = [[5, 60, 33, 0, 12], [66], [17, 17, 2, 40, 41, 9, 8, 64, 30]]
SIX_PROMPTS = [[1], [4, 0, 2]]
SIX_PHRASES: list[list[Any]] = [
    [[3]], [[0], [5]], [[2], [4]], [[3], [4], [5]], [[[0], [2]]], [[[3, 3], [4]], [5]],
    [[5, 0, 3]], [[2, 4]], [[3, 3, 5]], [[2, 2, 0]], [[0, 1], [1, 5]], [[4, 0]],
]  # fmt: skip
PAD_ID = 0


def save_six() -> None:
    torch.manual_seed(6)
    with tempfile.TemporaryDirectory() as elsewhere:
        transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIX)).save_pretrained(elsewhere)
        for file in ("config.json", "model.safetensors"):
            (FOLDER / file).write_bytes((Path(elsewhere) / file).read_bytes())


def searched(model: Any, prompt: list[int], steps: int, eos_id: int | None = None, **settings: Any) -> dict[str, Any]:
    """The texts, best first, without prompt and padding, and their scores."""
    found = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        max_new_tokens=steps,
        eos_token_id=eos_id,
        pad_token_id=PAD_ID,
        do_sample=False,
        early_stopping=False,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    rows = [row[len(prompt) :].tolist() for row in found.sequences]
    return {
        "ids": [row[: row.index(eos_id) + 1] if eos_id in row else row for row in rows],
        "scores": [round(float(score), 5) for score in found.sequences_scores],
    }


def group_beams(tiny: Any) -> list[dict[str, Any]]:
    cases = []
    sizes, endings = [(2, 4), (3, 3), (2, 6)], [(None, 0.0), (None, 1.0), (13, 0.0), (22, 0.0)]
    for prompt, (groups, beams), penalty, (eos_id, alpha) in product(PROMPTS, sizes, [0.3, 2.0], endings):
        case = {
            "prompt": prompt, "steps": 8, "eos_id": eos_id, "groups": groups, "beams": beams, "penalty": penalty,
            "length_penalty": alpha,
        }  # fmt: skip
        theirs = searched(
            tiny, prompt, 8, eos_id, num_beams=beams, num_beam_groups=groups, diversity_penalty=penalty,
            length_penalty=alpha, num_return_sequences=beams,
        )  # fmt: skip
        cases.append(case | theirs)
    return cases


def constrained_beams(model: Any, wanted: Iterable[tuple[list[int], list[Any]]], **size: int) -> list[dict[str, Any]]:
    """For each prompt and its phrases the best texts, `n` of them."""
    cases = []
    steps, beams, n = size["steps"], size["beams"], size["n"]
    for prompt, phrases in wanted:
        theirs = searched(
            model, prompt, steps, num_beams=beams, force_words_ids=phrases, length_penalty=0.0, num_return_sequences=n
        )
        cases.append({"prompt": prompt, "steps": steps, "beams": beams, "phrases": phrases} | theirs)
    return cases


def as_text(content: dict[str, Any]) -> str:
    """JSON with one line a row of numbers."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda row: " ".join(row[0].split()), json.dumps(content, indent=1)) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_six()
    tiny = transformers.GPT2LMHeadModel.from_pretrained(FIXTURES / "tiny").eval()
    six = transformers.GPT2LMHeadModel.from_pretrained(FOLDER).eval()
    content = {
        "written_by": {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "group_beams": group_beams(tiny),
        "constrained_wide": constrained_beams(six, product(SIX_PROMPTS, SIX_PHRASES), steps=4, beams=6**3, n=1),
        "constrained_narrow": constrained_beams(tiny, product(PROMPTS, [[[7]], [[7, 30]]]), steps=8, beams=8, n=1),
        "constrained_several": constrained_beams(tiny, product(PROMPTS, [[[7]], [[7, 30]]]), steps=8, beams=8, n=3),
    }
    (FOLDER / "beams.json").write_text(as_text(content), encoding="utf-8")


if __name__ == "__main__":
    main()
