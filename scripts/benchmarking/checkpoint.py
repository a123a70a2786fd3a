"""A GPT-2 of random weights in Hugging Face layout, from which every engine gets the same network."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from gpt2 import GPT2, GPT2Config

INITIALIZER_RANGE = 0.05  # wider than usual, so that few logits are near-ties


def write_checkpoint(folder: Path, config: GPT2Config) -> Path:
    """The folder, with config.json and model.safetensors. -> the file of weights

    Biases and norms are noisy too: whoever forgets or confuses one of them writes other ids.
    """
    torch.manual_seed(0)
    tensors = {name: parameter.detach() for name, parameter in GPT2(config).named_parameters()}
    for tensor in tensors.values():
        if tensor.dim() == 1:
            tensor.add_(config.initializer_range * torch.randn(tensor.shape))
    settings = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "vocab_size": config.n_vocab,
        "n_positions": config.n_positions,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "bos_token_id": None,  # no id ends a text, so that all are of the same length
        "eos_token_id": None,
    }
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    file = folder / "model.safetensors"
    save_file(tensors, file, metadata={"format": "pt"})
    return file


def bytes_a_token(config: GPT2Config) -> dict[str, float]:
    """What has to be read to compute the logits of one id, by precision: all of the network but the positions.

    With 8 bits a weight, each row of a matrix has a scale of four bytes besides, and biases and norms are float32.
    """
    C, I, V = config.n_embd, config.inner_width, config.n_vocab
    weights = config.n_layer * (C * 3 * C + C * C + 2 * C * I) + V * C
    rows = config.n_layer * (3 * C + C + I + C) + V
    vectors = config.n_layer * (3 * C + C + I + C + 4 * C) + 2 * C  # biases and norms
    return {
        "float32": 4 * (weights + vectors),
        "16 bits": 2 * (weights + vectors),
        "8 bits": weights + 4 * rows + 4 * vectors,
    }
