"""safetensors -> parameters, strictly: every parameter is filled exactly once, and nothing is left over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .layout import laid_out

INDEX = "model.safetensors.index.json"  # of a checkpoint in several files: which tensor lies in which file

_PREFIX = "transformer."  # transformers puts it before every name; OpenAI's own conversion of `gpt2` has none
_MASK_BUFFER = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")  # the causal mask, which older files stored as a tensor
_HEAD, _EMBEDDING = "lm_head.weight", "wte.weight"  # one matrix under two names
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class CheckpointError(ValueError):
    """A file of weights that is damaged, or that is not exactly this network's."""


def load_weights(
    model: nn.Module,
    path: Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
) -> None:
    """Fill every parameter of `model` from `path`: a `.safetensors` file, or the index of several.

    The model may be on the meta device: its parameters are replaced, so that the weights are held once. Names may carry
    the prefix `transformer.`; mask buffers and a tied `lm_head.weight` are dropped. float64, float32, bfloat16 and
    float16 files are converted to `dtype` and laid out in memory as it likes them; None leaves them as they are.

    Raises CheckpointError for a file that is no safetensors file or is damaged, and for a tensor that is missing,
    unexpected, there twice, misshapen, or not finite; it names them.
    """
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    problems: list[str] = []
    for file, key, tensor in _tensors(path):
        name = key.removeprefix(_PREFIX)
        if _MASK_BUFFER.fullmatch(name):
            continue
        if name in tensors:
            problems.append(f"{key} in {file.name} is there twice")
        elif name not in shapes and name != _HEAD:
            problems.append(f"{key} is not a tensor of this network")
        else:
            tensors[name] = tensor

    head = tensors.pop(_HEAD, None)
    if head is not None and _EMBEDDING not in tensors:
        tensors[_EMBEDDING] = head  # some writers keep only one name of a shared tensor, and it may be this one
    elif head is not None and not torch.equal(head, tensors[_EMBEDDING]):
        problems.append(f"{_HEAD} differs from {_EMBEDDING}, but GPT-2's head is its token embedding")
    problems += [f"{name} is missing" for name in shapes if name not in tensors]
    problems += [
        f"{name} has the shape {tuple(tensor.shape)} instead of {tuple(shapes[name])}"
        for name, tensor in tensors.items()
        if tensor.shape != shapes[name]
    ]
    problems += [
        f"{name} holds {tensor.dtype} instead of floating-point numbers"
        for name, tensor in tensors.items()
        if tensor.dtype not in _FLOATS
    ]
    _refuse(path, problems)

    for name in shapes:  # one tensor at a time, so that no second copy of the weights ever exists
        converted = tensors[name].to(dtype=dtype, device=device)
        if not _is_finite(converted):
            overflow = _is_finite(tensors[name])
            problems.append(f"{name} holds " + (f"numbers too large for {dtype}" if overflow else "NaN or infinity"))
        tensors[name] = converted if dtype is None else laid_out(name, converted)
    _refuse(path, problems)
    model.load_state_dict(tensors, strict=True, assign=True)


def _tensors(path: Path) -> Iterable[tuple[Path, str, Tensor]]:
    """Every tensor of a checkpoint, with its file and its name there.

    On the CPU they are views of the file, and stay so unless they are converted.
    """
    weight_map = _read_index(path) if path.name.endswith(".json") else None
    files = [path] if weight_map is None else sorted({path.parent / shard for shard in weight_map.values()})
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                keys = list(opened.keys())
                if weight_map is not None:
                    promised = {key for key, shard in weight_map.items() if shard == file.name}
                    _refuse(file, [f"{key} is not in the file that the index names" for key in promised - set(keys)])
                for key in keys:
                    yield file, key, opened.get_tensor(key)
        except SafetensorError as error:
            raise CheckpointError(f"{file} {_what_is_wrong(file)} ({error})") from error
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} names the file {file.name}, which is not beside it") from error
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read: {error.strerror or error}") from error


def _read_index(path: Path) -> dict[str, str]:
    """Which tensor lies in which file, as the index of a sharded checkpoint has it."""
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = {str(key): str(shard) for key, shard in weight_map.items()}
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no index of a sharded checkpoint: it needs a `weight_map`") from error
    strangers = sorted({shard for shard in names.values() if Path(shard).name != shard or shard in ("", "..")})
    if strangers:
        raise CheckpointError(f"{path} names {strangers[0]!r}, which does not lie in the same folder")
    return names


def shards(index: Path) -> list[str]:
    """The names of the files that the index of a sharded checkpoint lists."""
    return sorted(set(_read_index(index).values()))


def _is_finite(tensor: Tensor) -> bool:
    """No NaN, no infinity. The extremes tell, without a second tensor of the same size: a NaN would be both of them."""
    low, high = tensor.aminmax()
    return bool(torch.isfinite(low)) and bool(torch.isfinite(high))


def _what_is_wrong(file: Path) -> str:
    size = file.stat().st_size
    with file.open("rb") as opened:
        beginning = opened.read(64)
    if beginning.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights themselves: fetch them with `git lfs pull`"
    if beginning.startswith((b"PK", b"\x80")):
        return "is a PyTorch pickle; only safetensors is read, because pickles can run code"
    header = int.from_bytes(beginning[:8], "little")
    if size > 8 and header < 100_000_000 and beginning[8:9] == b"{":
        return f"is cut off or damaged; it has {size:,} bytes: delete it, and copy or download it again"
    return "is not a safetensors file"


def _refuse(path: Path, problems: list[str], most: int = 3) -> None:
    if problems:
        shown = "; ".join(problems[:most]) + (f"; and {len(problems) - most} more" if len(problems) > most else "")
        raise CheckpointError(f"{path} does not fit: {shown}")
