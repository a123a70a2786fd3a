"""Small networks with random weights, and their files in Hugging Face layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from gpt2 import GPT2, GPT2Config

SHAPE = {"n_vocab": 97, "n_positions": 24, "n_embd": 32, "n_layer": 3, "n_head": 4}


def small_config(**changes: float) -> GPT2Config:
    return GPT2Config(**{**SHAPE, **changes})  # type: ignore[arg-type]


def small_model(seed: int = 0, dtype: torch.dtype = torch.float32, **changes: float) -> GPT2:
    """In eval mode; every parameter matters: biases are not zero, norms not one. Logits are of order 10."""
    model = GPT2(small_config(**changes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name == "wte.weight":
                parameter.copy_(1.5 * noise)
            elif name.endswith((".ln_1.weight", ".ln_2.weight", "ln_f.weight")):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.3 * noise)
    return model.to(dtype).eval()


def state(model: GPT2) -> dict[str, Tensor]:
    """The parameters of a model, as copies that can be written and changed."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def write_config(folder: Path, config: GPT2Config) -> Path:
    """A config.json as transformers writes it."""
    settings = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "vocab_size": config.n_vocab,
        "n_positions": config.n_positions,
        "n_ctx": config.n_positions,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_inner": config.n_inner,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def write_model(folder: Path, model: GPT2, tensors: dict[str, Tensor] | None = None) -> Path:
    """A directory with config.json and model.safetensors; other `tensors` than the model's may be given."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, model.config)
    save_file(state(model) if tensors is None else tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_sharded(folder: Path, model: GPT2, n_shards: int = 2) -> Path:
    """A directory with config.json, several files of weights, and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, model.config)
    tensors = state(model)
    names = [f"model-{i + 1:05}-of-{n_shards:05}.safetensors" for i in range(n_shards)]
    weight_map = {key: names[i % n_shards] for i, key in enumerate(tensors)}
    for name in names:
        save_file({key: tensors[key] for key in tensors if weight_map[key] == name}, folder / name)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def ids(*shape: int, seed: int = 0, n_vocab: int = SHAPE["n_vocab"]) -> Tensor:
    """Random ids of this shape."""
    return torch.randint(n_vocab, shape, generator=torch.Generator().manual_seed(seed))
