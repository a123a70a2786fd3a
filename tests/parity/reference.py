"""What our code is compared with: transformers' GPT-2 with random weights, and its `generate`.

transformers is imported inside the functions, so that the tests can be collected where it is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from decoding import Processor, Temperature, TopK, TopP
from gpt2 import GPT2

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

# Both networks compute in float32 and add up in different orders. On logits of order 10 that makes about 1e-5.
TOLERANCE = 1e-4


class Pair(NamedTuple):
    """The same weights twice: transformers' network, and ours, loaded from what transformers saved in `folder`."""

    theirs: GPT2LMHeadModel
    ours: GPT2
    folder: Path


def random_reference(seed: int = 0, **settings: Any) -> GPT2LMHeadModel:
    """A GPT-2 of transformers whose every parameter matters.

    The default `initializer_range` gives logits near 0, and zeros for biases, so that much could be wrong unseen: raise
    it until logits are of order 10. Biases and LayerNorms are made random, too.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(GPT2Config(**{"bos_token_id": None, "eos_token_id": None, **settings}))
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0.0, 0.2)
            elif ".ln_" in name:
                parameter.normal_(1.0, 0.2)
    return model.eval()


def paired(theirs: GPT2LMHeadModel, folder: Path, **how: Any) -> Pair:
    """Save transformers' network, and load it with our loader."""
    theirs.save_pretrained(folder, **how)
    return Pair(theirs, GPT2.from_pretrained(folder), folder)


def random_ids(model: GPT2, rows: int, length: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.n_vocab, (rows, length), generator=generator)


def random_prompts(model: GPT2, lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    return [random_ids(model, 1, length, seed + number)[0].tolist() for number, length in enumerate(lengths)]


@torch.no_grad()
def our_logits(model: GPT2, ids: Tensor, mask: Tensor | None = None, seed: int | None = None) -> Tensor:
    """(B, T, V): in eval mode, or with a seed in train mode."""
    if seed is None:
        return model(ids, mask)
    model.train()
    torch.manual_seed(seed)
    logits = model(ids, mask)
    model.eval()
    return logits


@torch.no_grad()
def their_logits(
    model: GPT2LMHeadModel, ids: Tensor, mask: Tensor | None = None, seed: int | None = None, attention: str = "sdpa"
) -> Tensor:
    """(B, T, V): in eval mode, or with a seed in train mode."""
    model.set_attn_implementation(attention)
    positions = (
        None if mask is None else (mask.cumsum(dim=-1) - 1).clamp(min=0)
    )  # (B, T): transformers wants to be told
    model.train(seed is not None)
    if seed is not None:
        torch.manual_seed(seed)
    logits = model(ids, attention_mask=mask, position_ids=positions).logits
    model.eval()
    model.set_attn_implementation("sdpa")
    return logits


def pad(prompts: Sequence[Sequence[int]], side: str, with_id: int = 0) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths as ids (B, T) and attention mask (B, T)."""
    longest = max(map(len, prompts))
    ids, mask = torch.full((len(prompts), longest), with_id), torch.zeros(len(prompts), longest, dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        where = slice(longest - len(prompt), None) if side == "left" else slice(0, len(prompt))
        ids[row, where] = torch.tensor(prompt)
        mask[row, where] = 1
    return ids, mask


def their_ids(
    model: GPT2LMHeadModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    eos_id: int | None = None,
    seed: int | None = None,
    num_samples: int = 1,
    **settings: float,
) -> list[list[int]]:
    """The new ids that `generate` adds to each prompt: greedily, or with a seed by sampling. Its padding is cut off."""
    ids, mask = pad(prompts, "left")
    sampling: dict[str, Any] = {"do_sample": False}
    if seed is not None:
        sampling = {"do_sample": True, "num_return_sequences": num_samples, **no_hidden_defaults(settings)}
        torch.manual_seed(seed)
    rows = model.generate(
        ids, attention_mask=mask, max_new_tokens=max_new_tokens, eos_token_id=eos_id, pad_token_id=0, **sampling
    )[:, ids.shape[1] :].tolist()
    return [row[: row.index(eos_id) + 1] if eos_id in row else row for row in rows]


def no_hidden_defaults(settings: dict[str, float]) -> dict[str, float]:
    """transformers truncates to the 50 likeliest ids unless it is told not to."""
    return {"temperature": 1.0, "top_k": 0, "top_p": 1.0, **settings}


def our_processors(settings: dict[str, float]) -> list[Processor]:
    """The processors that `generate` makes of these settings, in the order in which it applies them."""
    made: dict[str, type[Processor]] = {"temperature": Temperature, "top_k": TopK, "top_p": TopP}
    assert settings.keys() <= made.keys()
    return [processor(settings[name]) for name, processor in made.items() if name in settings]


# Every combination of the three settings that `generate` and this project share.
COMBINATIONS: list[dict[str, float]] = [
    {},
    {"temperature": 0.7},
    {"temperature": 1.6},
    {"top_k": 7},
    {"top_p": 0.8},
    {"temperature": 1.4, "top_k": 7},
    {"temperature": 1.4, "top_p": 0.8},
    {"top_k": 12, "top_p": 0.8},
    {"temperature": 1.4, "top_k": 12, "top_p": 0.9},
]
