"""The five published checkpoints as files: their genuine names, shapes, order and bytes, with random values.

What is genuine comes from the published facts (`facts/published.json`, C-tensors-*, C-header-*, C-config-*): every
tensor float32, Conv1D weights (in, out), the mask buffers `h.i.attn.bias` stored, no `lm_head.weight`; names without a
prefix in OpenAI's own checkpoints and with `transformer.` in `distilgpt2`; the headers compact and without padding, so
that the tensors behind them begin at odd addresses. The prefix of `gpt2-large` and `gpt2-xl` is not published.
"""

from __future__ import annotations

import json
import math
import random
import zlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conftest import ROOT

Array = NDArray[np.float32]

# Larger than the 0.02 of training, where the logits of random weights lie so close together that rounding could change
# the likeliest id. Biases and LayerNorms are random, too, so that each of them matters.
_WEIGHT, _BIAS, _LAYER_NORM = (0.0, 0.08), (0.0, 0.2), (1.0, 0.2)  # mean, standard deviation


@cache
def fact(name: str) -> dict[str, Any]:
    """What the published fact of this name says is expected."""
    facts = json.loads((ROOT / "facts" / "published.json").read_text(encoding="utf-8"))["facts"]
    return next(fact["expected"] for fact in facts if fact["id"] == name)


@dataclass(frozen=True)
class Layout:
    """One checkpoint, not yet written: its config.json and its tensors, in the order in which their data lie."""

    settings: dict[str, Any]  # config.json
    shapes: dict[str, tuple[int, ...]]  # with the prefix, and with the mask buffers
    prefix: str

    @property
    def config_bytes(self) -> bytes:
        return json.dumps(self.settings, indent=2, sort_keys=True).encode()

    @property
    def header_bytes(self) -> bytes:
        """The JSON at the beginning of model.safetensors, without the eight bytes that tell its length."""
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        begin = 0
        for name, shape in self.shapes.items():
            end = begin + 4 * math.prod(shape)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
            begin = end
        return json.dumps(header, separators=(",", ":")).encode()

    @property
    def parameters(self) -> dict[str, str]:
        """The names of what the network learns -> what the file calls them."""
        return {
            name.removeprefix(self.prefix): name
            for name in self.shapes
            if not name.endswith(".attn.bias")  # the causal mask
        }

    def values(self, name: str, seed: int = 0) -> Array:
        """The tensor that the file calls `name`: the same for the same seed, whatever else the file holds."""
        shape = self.shapes[name]
        if name.endswith(".attn.bias"):
            return np.tril(np.ones(shape, dtype=np.float32))
        mean, deviation = _BIAS if name.endswith("bias") else _LAYER_NORM if "ln_" in name else _WEIGHT
        drawn = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape, dtype=np.float32)
        drawn *= np.float32(deviation)
        drawn += np.float32(mean)
        return drawn

    def write(self, folder: Path, seed: int = 0) -> Path:
        """config.json and model.safetensors into this folder, one tensor at a time. Returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_bytes(self.config_bytes)
        with (folder / "model.safetensors").open("wb") as file:
            file.write(len(self.header_bytes).to_bytes(8, "little"))
            file.write(self.header_bytes)
            for name in self.shapes:
                file.write(self.values(name, seed).data)
        return folder


def genuine(name: str, prefix: str | None = None) -> Layout:
    """The layout of a published model at its full size. `prefix` decides where it is not published."""
    table = fact(f"C-tensors-{name}")
    prefix = table["prefix"][0] if prefix is None else prefix
    assert prefix in table["prefix"]
    shapes = {
        prefix + tensor["name"].format(i=i): tuple(tensor["shape"])
        for tensor in table["tensors"]
        for i in range(table["n_layer"] if "{i}" in tensor["name"] else 1)
    }
    layout = Layout(fact(f"C-config-{name}")["json"], dict(sorted(shapes.items())), prefix)
    return _as_long_as(fact("C-header-gpt2")["header_bytes"], layout) if name == "gpt2" else layout


def _as_long_as(n_bytes: int, layout: Layout) -> Layout:
    """The same with the data in an order that gives the header this length, as each order writes other offsets.

    The order in the published `gpt2` is not known, except that it is not the sorted one, which is 56 bytes longer.
    """
    names = list(layout.shapes)
    for attempt in range(10_000):
        random.Random(attempt).shuffle(names)
        shuffled = replace(layout, shapes={name: layout.shapes[name] for name in names})
        if len(shuffled.header_bytes) == n_bytes:
            return shuffled
    raise AssertionError(f"no order of the tensors has a header of {n_bytes} bytes")


def reduced(layout: Layout, n_vocab: int = 211, n_positions: int = 24, head_width: int = 2) -> Layout:
    """The same names in the same order, as many layers and heads, but narrow: the file is small."""
    C = layout.settings["n_embd"]
    width = head_width * layout.settings["n_head"]
    changed = {"n_embd": width, "n_ctx": n_positions, "n_positions": n_positions, "vocab_size": n_vocab}

    def shape(name: str) -> tuple[int, ...]:
        name_without = name.removeprefix(layout.prefix)
        if name_without == "wte.weight":
            return (n_vocab, width)
        if name_without == "wpe.weight":
            return (n_positions, width)
        if name_without.endswith(".attn.bias"):
            return (1, 1, n_positions, n_positions)
        return tuple(size // C * width for size in layout.shapes[name])  # C, 3 C or 4 C

    return replace(
        layout, settings={**layout.settings, **changed}, shapes={name: shape(name) for name in layout.shapes}
    )
