"""Writes tests/fixtures: what transformers computes, for the tests that run without transformers.

    python -m tests.parity.write_fixtures

fixtures/tiny/        a random GPT-2 of 9,000 parameters, saved by transformers
fixtures/facts.json   its logits in eval and in train mode, its greedy and sampled ids; logits and greedy ids of the
                      bundled model; and which versions computed them
"""

from __future__ import annotations

import json
import platform
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from decoding import Tokenizer
from gpt2.hub import STORYBOOK
from tests.parity.reference import COMBINATIONS, pad, random_reference, their_ids, their_logits

FIXTURES = Path(__file__).parents[1] / "fixtures"
TINY = {
    "vocab_size": 67, "n_positions": 40, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 52,
    "layer_norm_epsilon": 1e-4, "initializer_range": 0.5, "embd_pdrop": 0.1, "attn_pdrop": 0.2, "resid_pdrop": 0.3,
}  # fmt: skip
PROMPTS = [[5, 60, 33, 0, 12], [66], [17, 17, 2, 40, 41, 9, 8, 64, 30]]
STORIES = ["Once upon a time", "The little bird said:", "Tom and his dog went to the"]
SEED = 20190214
SHOWN = 3  # logits of this many last positions are written


def rounded(tensor: Tensor) -> Any:
    """Five decimals: a tenth of the tolerance they are compared with."""
    return [rounded(part) for part in tensor] if tensor.dim() else round(float(tensor), 5)


def draws() -> dict[str, Any]:
    """What this PyTorch draws for a seed. Where it draws otherwise, train mode and `Multinomial` do so rightfully."""
    generator = torch.Generator().manual_seed(SEED)
    probabilities = torch.ones(len(PROMPTS), TINY["vocab_size"]).softmax(dim=-1)
    torch.manual_seed(SEED)
    return {
        "dropout": F.dropout(torch.ones(1, 9, 24), 0.5).flatten().nonzero()[:, 0].tolist(),
        "multinomial": [torch.multinomial(probabilities, 1, generator=generator)[:, 0].tolist() for _ in range(4)],
    }


def save_tiny(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as elsewhere:
        random_reference(seed=1, **TINY).save_pretrained(elsewhere)
        for file in ("config.json", "model.safetensors"):
            (folder / file).write_bytes((Path(elsewhere) / file).read_bytes())


def facts(folder: Path) -> dict[str, Any]:
    """All that the fixtures hold, computed by transformers from the tiny model in `folder` and the bundled one."""
    import transformers

    tiny = transformers.GPT2LMHeadModel.from_pretrained(folder)
    ids, mask = pad(PROMPTS, "left")
    long = [prompt * 4 for prompt in ([3, 50, 7, 21], [66, 65, 1, 2])]
    eos_id = their_ids(tiny, PROMPTS, 20)[0][6]
    storybook = transformers.GPT2LMHeadModel.from_pretrained(STORYBOOK, dtype=torch.float32)
    stories = [Tokenizer().encode(text) for text in STORIES]
    return {
        "written_by": {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "draws": draws(),
        "tiny": {
            "eval": {"ids": long, "last_logits": rounded(their_logits(tiny, torch.tensor(long))[:, -SHOWN:])},
            "left_padded": {
                "ids": ids.tolist(),
                "mask": mask.tolist(),
                "last_logits": rounded(their_logits(tiny, ids, mask)[:, -1:]),
            },
            "train": {
                "ids": long,
                "seed": SEED,
                "last_logits": rounded(their_logits(tiny, torch.tensor(long), seed=SEED)[:, -SHOWN:]),
            },
            "greedy": {"prompts": PROMPTS, "ids": their_ids(tiny, PROMPTS, 20)},
            "greedy_eos": {"prompts": PROMPTS, "eos_id": eos_id, "ids": their_ids(tiny, PROMPTS, 20, eos_id=eos_id)},
            "sampled": [
                {
                    "settings": settings,
                    "prompts": PROMPTS,
                    "seed": SEED,
                    "ids": their_ids(tiny, PROMPTS, 16, seed=SEED, **settings),
                }
                for settings in COMBINATIONS
            ],
        },
        "storybook": [
            {
                "prompt": text,
                "prompt_ids": prompt,
                "best_ids": best.indices.tolist(),
                "best_logits": rounded(best.values),
                "logsumexp": rounded(logits.logsumexp(dim=-1)),
                "greedy": their_ids(storybook, [prompt], 40, eos_id=50256)[0],
            }
            for text, prompt in zip(STORIES, stories, strict=True)
            for logits in [their_logits(storybook, torch.tensor([prompt]))[0, -1]]
            for best in [logits.topk(8)]
        ],
    }


def as_text(content: dict[str, Any]) -> str:
    """JSON with one line a row of numbers."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda row: " ".join(row[0].split()), json.dumps(content, indent=1)) + "\n"


def main() -> None:
    (FIXTURES / "tiny").mkdir(parents=True, exist_ok=True)
    save_tiny(FIXTURES / "tiny")
    (FIXTURES / "facts.json").write_text(as_text(facts(FIXTURES / "tiny")), encoding="utf-8")


if __name__ == "__main__":
    main()
