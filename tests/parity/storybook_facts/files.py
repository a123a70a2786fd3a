"""The bundled file and its config, read without gpt2/, and encodings of transformers' tokenizer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from gpt2.hub import STORYBOOK

from .writer import GONE, PASSAGE, Writer

WEIGHTS, CONFIG = STORYBOOK / "model.safetensors", STORYBOOK / "config.json"
SETTINGS = json.loads(CONFIG.read_text(encoding="utf-8"))
TEXTS = ["", " ", "\n\n", "I'll've", "Zoé", "日本語", "👧🏽", "a  b   c ", "1234567", "<|endoftext|>Once"]


def files(writer: Writer) -> None:
    checkpoint(writer)
    config(writer)
    with safe_open(WEIGHTS, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dictionary)
    layout_of(writer, tensors)
    values(writer, tensors)
    encodings(writer)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def checkpoint(writer: Writer) -> None:
    content = WEIGHTS.read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    writer.add(
        "S-file",
        "C-file-gpt2",
        {"sha256": sha256(content), "bytes": len(content)},
        run={"repo": GONE, "revision": GONE},
        library="hashlib",
    )
    writer.add(
        "S-header",
        "C-header-gpt2",
        {"header_bytes": len(header), "header_sha256": sha256(header)},
        run={"length_prefix_hex": content[:8].hex()},
        library="hashlib",
    )


def config(writer: Writer) -> None:
    model = writer.reference.single
    total = model.num_parameters()
    writer.add(
        "S-parameters",
        "C-params-gpt2",
        {
            "parameters": total,
            "parameters_without_wpe": total - model.transformer.wpe.weight.numel(),
            "n_layer": SETTINGS["n_layer"],
            "n_head": SETTINGS["n_head"],
            "n_embd": SETTINGS["n_embd"],
            "head_dim": SETTINGS["n_embd"] // SETTINGS["n_head"],
        },
        run={"T": SETTINGS["n_positions"]},
    )
    writer.add(
        "S-config",
        "C-config-gpt2",
        {"json": SETTINGS, "sha256": sha256(CONFIG.read_bytes()), "bytes": CONFIG.stat().st_size},
        run={"repo": GONE, "serialisation": "the file as it lies there"},
        library="hashlib and json",
    )


def layout_of(writer: Writer, tensors: dict[str, Tensor]) -> None:
    """Names and shapes, in the published template."""
    published = writer.published["C-tensors-gpt2"]["expected"]
    table = []
    for entry in published["tensors"]:
        if not entry.get("drop"):
            (shape,) = {tuple(tensors[name].shape) for name in expanded(entry["name"])}
            table.append({**entry, "shape": list(shape)})
    assert sum(len(expanded(entry["name"])) for entry in table) == len(tensors)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    writer.add(
        "S-tensors",
        "C-tensors-gpt2",
        {
            "n_tensors": len(tensors),
            "dtype": "F16",
            "prefix": [""],
            "n_layer": SETTINGS["n_layer"],
            "n_embd": SETTINGS["n_embd"],
            "tensors": table,
            "f32_elements": sum(tensor.numel() for tensor in tensors.values()),
            "absent": [*published["absent"], "h.{i}.attn.bias"],
        },
        run={"repo": GONE},
        library="safetensors",
        note="f32_elements counts all elements, as in the published tables; here they are float16.",
    )


def expanded(template: str) -> list[str]:
    return [template.format(i=layer) for layer in range(SETTINGS["n_layer"])] if "{i}" in template else [template]


def values(writer: Writer, tensors: dict[str, Tensor]) -> None:
    for name in ("wte.weight", "h.3.attn.c_proj.weight"):
        tensor = tensors[name]
        last, width = len(tensor) - 1, tensor.shape[1]
        cells = [(row, columns) for row in (0, last) for columns in ([0, 1, 2], [width - 3, width - 2, width - 1])]
        writer.add(
            f"S-values-{Path(name).stem}",
            "A-rasbt-wte",
            {
                "values": [
                    {"row": row, "columns": columns, "values": tensor[row, columns].double().tolist()}
                    for row, columns in cells
                ]
            },
            run={"tensor": name, "shape": list(tensor.shape)},
            library="safetensors",
        )


def encodings(writer: Writer) -> None:
    encode = writer.reference.encode
    text = PASSAGE.read_text(encoding="utf-8")[:600]
    writer.add("S-encode-passage", "B-hello-ids", {"ids": encode(text)}, prompt=text, library="tokenizers")
    ids = [encode(text) for text in TEXTS]
    writer.add("S-encode-odd", "B-hello-ids", {"ids": ids}, prompt=TEXTS, library="tokenizers")
