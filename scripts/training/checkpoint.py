"""What a run writes besides its log: checkpoints to go on from, and the finished model. safetensors, no pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gpt2 import GPT2
from scripts.training.files import write_atomically

Settings = dict[str, object]  # what makes a run this run: its recipe and a hash of its texts


def save_checkpoint(path: Path, state: Mapping[str, Tensor], done: int, settings: Settings) -> None:
    """One file, replaced in one go. It needs no state of a random generator: all choices are keyed by seed and step."""
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    write_atomically(path, save(tensors, {"done": str(done), "settings": json.dumps(settings)}))


def load_checkpoint(path: Path, settings: Settings) -> tuple[dict[str, Tensor], int]:
    """The state, and after how many steps it was saved.

    Raises ValueError for a file that is damaged, and for a checkpoint of a run with other settings: it says which.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            done, found = int(metadata["done"]), dict(json.loads(metadata["settings"]))
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (not a dictionary)
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise damaged(path, error) from error
    different = [
        "the texts have changed"
        if name == "corpus"
        else f"{name} is {found.get(name)} there and {settings.get(name)} here"
        for name in [*settings, *(name for name in found if name not in settings)]
        if found.get(name) != settings.get(name)
    ]
    if different:
        raise ValueError(
            f"{path.parents[1]} holds another run: {', '.join(different)}; "
            f"give the same settings and texts to go on with it, or another --out"
        )
    return state, done


def damaged(path: Path, error: Exception) -> ValueError:
    """What to say of a checkpoint that cannot be used."""
    return ValueError(f"{path} is damaged ({error}); delete it to begin the run anew, or put a copy in its place")


def save_model(folder: Path, model: GPT2) -> None:
    """`config.json` and `model.safetensors` in float16, as the bundled model has them; transformers reads them, too."""
    config = model.config
    settings = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.n_vocab,
        "n_positions": config.n_positions,
        "n_ctx": config.n_positions,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "activation_function": "gelu_new",
        "embd_pdrop": config.embd_pdrop,
        "attn_pdrop": config.attn_pdrop,
        "resid_pdrop": config.resid_pdrop,
        "bos_token_id": config.n_vocab - 1,
        "eos_token_id": config.n_vocab - 1,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
    }
    weights = {name: p.detach().to("cpu", torch.float16).contiguous() for name, p in model.named_parameters()}
    write_atomically(folder / "config.json", (json.dumps(settings, indent=2) + "\n").encode())
    write_atomically(folder / "model.safetensors", save(weights, {"format": "pt"}))
