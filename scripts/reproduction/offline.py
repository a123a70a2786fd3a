"""Facts that need no weights: the tokenizer, the configs, and the layouts of the files. Where the files are at hand,
the same facts are read from them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from decoding.text import Stops, TextStream
from decoding.tokenizer import VOCABULARY
from gpt2 import GPT2, PUBLISHED, GPT2Config
from gpt2.model import Conv1D
from scripts.weights.published import sha256_of

from .bench import Bench
from .fact import Fact
from .verdict import Unchecked

Got = dict[str, Any]

# -- tokenizer --------------------------------------------------------------------------------------------------------


def encode(fact: Fact, bench: Bench) -> Got:
    tokenizer = bench.tokenizer
    if isinstance(fact.prompt, list):
        return {"ids": [tokenizer.encode(text, allow_special=True) for text in fact.prompt]}
    assert fact.prompt is not None
    got: Got = {"ids": tokenizer.encode(fact.prompt, allow_special=True)}
    if "error_without_allowed_special" in fact.expected:
        got["error_without_allowed_special"] = Unchecked("tiktoken refuses it; here it is ordinary text")
    return got


def decode_stream(fact: Fact, bench: Bench) -> Got:
    """Feed the ids step by step, and see which text comes out at the step that is named."""
    cases = []
    for case in fact.expected["cases"]:
        stream = TextStream(Stops(()))
        chunks = [stream.push(bench.tokenizer.decode_bytes(ids)) for ids in case["feed"]]
        cases.append({**case, "chunk": chunks[case["step"] - 1]})
    every = [id for ids in fact.expected["cases"][0]["feed"] for id in ids]
    return {"text": bench.tokenizer.decode(every), "cases": cases}


def vocabulary_strings(fact: Fact, bench: Bench) -> Got:
    """The bytes of some ids, each written as the one printable character that stands for it in encoder.json."""
    spelled = json.loads((VOCABULARY / "encoder.json").read_text(encoding="utf-8"))
    token_bytes = bench.tokenizer.token_bytes
    character_of = {token_bytes(id): text for text, id in spelled.items() if id < 256}  # these ids are the bytes
    strings = {
        id: "".join(character_of[bytes([byte])] for byte in token_bytes(int(id))) for id in fact.expected["strings"]
    }
    return {"strings": strings}


def tokenizer_files(fact: Fact, bench: Bench) -> Got:
    encoding = bench.tokenizer._encoding
    return {
        "vocab_bpe_sha256": sha256_of(VOCABULARY / "vocab.bpe"),
        "encoder_json_sha256": sha256_of(VOCABULARY / "encoder.json"),
        "n_vocab": bench.tokenizer.n_vocab,
        "special_tokens": dict(encoding._special_tokens),
        "pat_str": encoding._pat_str,
    }


# -- configs ----------------------------------------------------------------------------------------------------------


def config_of(fact: Fact, bench: Bench) -> GPT2Config:
    """The config of the fact's model: from its file where that is at hand, else the one that gpt2/config.py knows."""
    if bench.files is not None:
        return GPT2Config.from_file(bench.files.config)
    return PUBLISHED[fact.model].config


def count_parameters(fact: Fact, bench: Bench) -> Got:
    """Counted on the network, not computed from its config."""
    config = config_of(fact, bench)
    parameters = dict(_network(config).named_parameters())
    total = sum(parameter.numel() for parameter in parameters.values())
    return {
        "parameters": total,
        "parameters_without_wpe": total - parameters["wpe.weight"].numel(),
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "head_dim": config.n_embd // config.n_head,
    }


def config_json(fact: Fact, bench: Bench) -> Got:
    """The file's own bytes; without the file, the published text with our values of all fields that we know."""
    if bench.files is not None:
        content = bench.files.config.read_bytes()
    else:
        config = PUBLISHED[fact.model].config
        ours = {
            key: getattr(config, "n_vocab" if key == "vocab_size" else key)
            for key in fact.expected["json"]
            if key == "vocab_size" or hasattr(config, key)
        }
        content = json.dumps({**fact.expected["json"], **ours}, indent=2, sort_keys=True).encode()
    return {
        "json": json.loads(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


# -- layouts of files -------------------------------------------------------------------------------------------------


def tensor_names_and_shapes(fact: Fact, bench: Bench) -> Got:
    """The tensors of the file; without it, those of the network, and the mask buffers that such files carry."""
    config = config_of(fact, bench)
    if bench.files is not None:
        tensors, _ = read_header(bench.files.weights)
        prefix = "transformer." if all(name.startswith("transformer.") for name in tensors) else ""
        dtypes = {entry["dtype"] for entry in tensors.values()}
        dtype: Any = dtypes.pop() if len(dtypes) == 1 else sorted(dtypes)
        shapes = {name.removeprefix(prefix): entry["shape"] for name, entry in tensors.items()}
        found: Any = prefix
    else:
        shapes = layout(config)
        dtype = found = Unchecked("only the file tells")
    templates: dict[str, list[int] | str] = {}
    for name, shape in shapes.items():
        template = re.sub(r"^h\.\d+\.", "h.{i}.", name)
        templates[template] = shape if templates.get(template, shape) == shape else "not the same in every layer"
    matrices = _conv1d_weights(config)
    masks = {name for name in templates if re.fullmatch(r"h\.\{i\}\.attn\.(bias|masked_bias)", name)}
    return {
        "n_tensors": len(shapes),
        "dtype": dtype,
        "prefix": found,
        "tensors": [
            {"name": name, "shape": templates[name]}
            | ({"drop": True} if name in masks else {})
            | ({"layout": "[in, out]"} if name in matrices else {})
            for name in _in_order_of([entry["name"] for entry in fact.expected["tensors"]], templates)
        ],
        "f32_elements": sum(_product(shape) for shape in shapes.values()),
        "absent": [name for name in fact.expected["absent"] if name not in templates],
    }


def layout(config: GPT2Config) -> dict[str, list[int]]:
    """Names and shapes of a published file, without prefix: the network's parameters and the mask buffers."""
    shapes = {name: list(parameter.shape) for name, parameter in _network(config).named_parameters()}
    T = config.n_positions
    return shapes | {f"h.{layer}.attn.bias": [1, 1, T, T] for layer in range(config.n_layer)}


def safetensors_header(fact: Fact, bench: Bench) -> Got:
    """The header of the file; without it, the one that the recipe gives for the network's own names and shapes."""
    if bench.files is not None:
        header = read_header(bench.files.weights)[1]
    else:
        header = header_of(
            {f"transformer.{name}": shape for name, shape in layout(PUBLISHED[fact.model].config).items()}
        )
    return {"header_bytes": len(header), "header_sha256": hashlib.sha256(header).hexdigest()}


def read_header(path: Path) -> tuple[dict[str, Any], bytes]:
    """The tensors that a safetensors file lists, and the bytes of the list."""
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    return {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}, header


def header_of(shapes: dict[str, list[int]]) -> bytes:
    """A safetensors header of float32 tensors, sorted by name, as compact JSON."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in sorted(shapes):
        begin, end = end, end + 4 * _product(shapes[name])
        header[name] = {"dtype": "F32", "shape": shapes[name], "data_offsets": [begin, end]}
    return json.dumps(header, separators=(",", ":")).encode()


def file_hash(fact: Fact, bench: Bench) -> Got:
    """Size and sha256 of the file of weights."""
    weights = bench.weights().weights
    return {"sha256": sha256_of(weights), "bytes": weights.stat().st_size}


def small_files(fact: Fact, bench: Bench) -> Got:
    """The vocabulary's two files as they lie beside the tokenizer, and the contents that are known."""
    ours = {"vocab.json": VOCABULARY / "encoder.json", "merges.txt": VOCABULARY / "vocab.bpe"}
    files = []
    for entry in fact.expected["files"]:
        content = ours[entry["file"]].read_bytes() if entry["file"] in ours else entry["content"].encode()
        files.append({**entry, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    return {"files": files}


def file_size(fact: Fact, bench: Bench) -> Got:
    """OpenAI's own files hold nothing but the parameters, four bytes each."""
    sizes = {name: 4 * PUBLISHED[name].config.n_parameters for name in fact.expected["bytes"]}
    return {"bytes": sizes}


# -- parts ------------------------------------------------------------------------------------------------------------


def _network(config: GPT2Config) -> GPT2:
    with torch.device("meta"):  # the shapes, without any memory behind them
        return GPT2(config)


def _conv1d_weights(config: GPT2Config) -> set[str]:
    """The matrices that are stored (in, out), as templates."""
    modules = _network(config).named_modules()
    names = {f"{name}.weight" for name, module in modules if isinstance(module, Conv1D)}
    return {re.sub(r"^h\.\d+\.", "h.{i}.", name) for name in names}


def _in_order_of(wanted: list[str], names: Iterable[str]) -> list[str]:
    """The names, those that are wanted first and in that order: a file may list them in another one."""
    names = list(names)
    return [name for name in wanted if name in names] + [name for name in names if name not in wanted]


def _product(shape: list[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
