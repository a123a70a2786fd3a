"""The shape of a GPT-2, read from a Hugging Face `config.json`, and the five published models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

# Settings that transformers' GPT-2 can vary and this network does not, each with the values it stands for.
_IMPLEMENTED: dict[str, tuple[object, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),  # two names of the tanh approximation
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "tie_word_embeddings": (True,),
    "quantization_config": (None,),
    "pruned_heads": ({}, None),
}

# What a config.json calls each field; newer files may use the second spelling.
_SPELLINGS: dict[str, tuple[str, ...]] = {
    "n_vocab": ("vocab_size",),
    "n_positions": ("n_positions", "max_position_embeddings"),
    "n_embd": ("n_embd", "hidden_size"),
    "n_layer": ("n_layer", "num_hidden_layers"),
    "n_head": ("n_head", "num_attention_heads"),
    "n_inner": ("n_inner",),
    "layer_norm_epsilon": ("layer_norm_epsilon",),
    "initializer_range": ("initializer_range",),
    "embd_pdrop": ("embd_pdrop",),
    "attn_pdrop": ("attn_pdrop",),
    "resid_pdrop": ("resid_pdrop",),
}


@dataclass(frozen=True)
class GPT2Config:
    """The shape of the network; the defaults are those of the smallest published model, `gpt2`.

    n_vocab              V, how many ids there are
    n_positions          the longest sequence, in ids
    n_embd               C, the width of the residual stream; a multiple of n_head
    n_layer, n_head      blocks, and attention heads in each of them
    n_inner              the hidden width of the MLP; None stands for 4 * n_embd
    layer_norm_epsilon   added to the variance in every LayerNorm
    initializer_range    standard deviation of fresh weights (a loaded model has none)
    *_pdrop              dropout on embeddings, attention weights and residual branches, in train mode only

    Raises ValueError, naming the field, for a value that no network can have.
    """

    n_vocab: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1

    def __post_init__(self) -> None:
        for field in ("n_vocab", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"):
            value = getattr(self, field)
            if field == "n_inner" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{field} must be a whole number of at least 1; got {value!r}")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_embd must be a multiple of n_head, so that the heads share it evenly; "
                f"got n_embd {self.n_embd} and n_head {self.n_head}"
            )
        for field in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
            if not _is_number(getattr(self, field)) or not 0.0 <= getattr(self, field) < 1.0:
                raise ValueError(f"{field} is a probability, at least 0 and below 1; got {getattr(self, field)!r}")
        for field in ("layer_norm_epsilon", "initializer_range"):
            if not _is_number(getattr(self, field)) or not 0.0 < getattr(self, field) < float("inf"):
                raise ValueError(f"{field} must be a positive number; got {getattr(self, field)!r}")

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> GPT2Config:
        """The config that a Hugging Face `config.json` describes.

        Keys that do not change the network (`task_specific_params`, `n_special`, `_num_labels`, ...) are passed over.
        Raises ValueError for a setting that this network does not implement, naming it.
        """
        for setting, allowed in _IMPLEMENTED.items():
            if setting in settings and settings[setting] not in allowed:
                raise ValueError(
                    f"this GPT-2 does not implement {setting} = {settings[setting]!r}, "
                    f"only {' or '.join(repr(value) for value in allowed)}"
                )
        fields = {}
        for field, spellings in _SPELLINGS.items():
            for spelling in spellings:
                if spelling in settings:
                    fields[field] = settings[spelling]
                    break
        return cls(**fields)

    @classmethod
    def from_file(cls, path: str | Path) -> GPT2Config:
        """The config in a `config.json`. Raises ValueError, naming the file, for one that does not describe a GPT-2."""
        try:
            settings = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        if not isinstance(settings, dict):
            raise ValueError(f"{path} should hold one JSON object; it holds a {type(settings).__name__}")
        try:
            return cls.from_dict(settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @property
    def inner_width(self) -> int:
        """The hidden width of the MLP."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    @property
    def n_parameters(self) -> int:
        """How many numbers the network learns. The head is the token embedding, so it counts once."""
        C, I = self.n_embd, self.inner_width
        attention = (C * 3 * C + 3 * C) + (C * C + C)
        mlp = (C * I + I) + (I * C + C)
        layer_norm = 2 * C
        block = layer_norm + attention + layer_norm + mlp
        return self.n_vocab * C + self.n_positions * C + self.n_layer * block + layer_norm


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class PublishedModel(NamedTuple):
    """A model on the Hugging Face Hub, pinned to a commit so that it is the same one everywhere and always."""

    repository: str
    revision: str  # commit hash
    config: GPT2Config
    n_bytes: int  # of model.safetensors
    sha256: str


# OpenAI's four GPT-2 and Hugging Face's distilled one: https://huggingface.co/openai-community
PUBLISHED: dict[str, PublishedModel] = {
    "gpt2": PublishedModel(
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        GPT2Config(n_layer=12, n_head=12, n_embd=768),  # 124,439,808 parameters
        n_bytes=548_105_171,
        sha256="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
    ),
    "gpt2-medium": PublishedModel(
        "openai-community/gpt2-medium",
        "6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        GPT2Config(n_layer=24, n_head=16, n_embd=1024),  # 354,823,168 parameters
        n_bytes=1_519_984_962,
        sha256="fc5a354a19255ad494f3d71549390baca1ccf61d1d822b9408971705c687c9cd",
    ),
    "gpt2-large": PublishedModel(
        "openai-community/gpt2-large",
        "32b71b12589c2f8d625668d2335a01cac3249519",
        GPT2Config(n_layer=36, n_head=20, n_embd=1280),  # 774,030,080 parameters
        n_bytes=3_247_159_078,
        sha256="5f47f3e12f91cd33b662ce7e433b6150ad5512b5884a2cee961b50e9c3bbebce",
    ),
    "gpt2-xl": PublishedModel(
        "openai-community/gpt2-xl",
        "15ea56dee5df4983c59b2538573817e1667135e2",
        GPT2Config(n_layer=48, n_head=25, n_embd=1600),  # 1,557,611,200 parameters
        n_bytes=6_431_829_962,
        sha256="0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a",
    ),
    "distilgpt2": PublishedModel(
        "distilbert/distilgpt2",
        "2290a62682d06624634c1f46a6ad5be0f47f38aa",
        GPT2Config(n_layer=6, n_head=12, n_embd=768),  # 81,912,576 parameters
        n_bytes=352_824_413,
        sha256="e1ff18884359fe8beb795a5f414feb85a6ce3d929ad019c0d958c039d2b94a1b",
    ),
}
