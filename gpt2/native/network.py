"""step.cpp as Python sees it: its structures, filled from the parameters of a model."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from typing import NoReturn

import torch
from torch import Tensor, nn

from ..int8 import Int8Embedding, Int8Linear
from ..layout import in_rows, transposed_in_memory
from ..model import GPT2, Block, Conv1D, Embedding
from .build import CompilerError

# Under the names and in the order of step.cpp.


class _Matrix(ctypes.Structure):
    _fields_ = (
        ("weight", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("n_in", ctypes.c_int64),
        ("n_out", ctypes.c_int64),
    )


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Block(ctypes.Structure):
    _fields_ = (
        ("ln_1", _Norm),
        ("c_attn", _Matrix),
        ("attn_c_proj", _Matrix),
        ("ln_2", _Norm),
        ("c_fc", _Matrix),
        ("mlp_c_proj", _Matrix),
    )


class _Network(ctypes.Structure):
    _fields_ = (
        ("n_layer", ctypes.c_int64),
        ("n_head", ctypes.c_int64),
        ("n_embd", ctypes.c_int64),
        ("n_inner", ctypes.c_int64),
        ("n_positions", ctypes.c_int64),
        ("epsilon", ctypes.c_float),
        ("wte", _Matrix),
        ("wpe", ctypes.c_void_p),
        ("h", ctypes.POINTER(_Block)),
        ("ln_f", _Norm),
    )


class _Call(ctypes.Structure):
    memory: tuple[Tensor, ...]  # what the addresses point at
    _fields_ = (
        ("rows", ctypes.c_int64),
        ("per_row", ctypes.c_int64),
        ("ids", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("slots", ctypes.c_int64),
        ("cache", ctypes.c_void_p),
        ("stream", ctypes.POINTER(ctypes.c_void_p)),
        ("scratch", ctypes.c_void_p),
        ("places", ctypes.c_void_p),
        ("threads", ctypes.c_int),
    )


class NativeNetwork:
    """A model's parameters, laid out as step.cpp reads them, and what it computes.

    Matrices stay the model's own: where they do not lie as (out, in) in memory they are moved so, in place, and keep
    their shapes. The small rest is copied where it is not float32: after a change of parameters old and new would mix.
    Raises CompilerError for layers that step.cpp does not know.
    """

    def __init__(self, model: GPT2, library: ctypes.CDLL) -> None:
        self.library = library
        self._kept: list[Tensor] = []  # what the structures point at
        self._config = config = model.config
        self._dtype = model.wte.weight.dtype
        self.cache_dtype = torch.float16 if self._dtype == torch.int8 else self._dtype
        wte = self._matrix(model.wte)  # first, so that its old layout is gone before the others need room
        blocks = [self._block(block) for block in model.h]
        self._network = _Network(
            config.n_layer,
            config.n_head,
            config.n_embd,
            config.inner_width,
            config.n_positions,
            config.layer_norm_epsilon,
            wte,
            self._address(model.wpe.weight.to(self.cache_dtype)),
            (_Block * config.n_layer)(*blocks),
            self._norm(model.ln_f),
        )

    def extend(self, ids: Tensor, lengths: Tensor, cache: Tensor, n: Tensor, keep: int) -> Tensor:
        """Logits (R, keep, V), float32: ids (R, T) follow lengths (R,) cached ones, and n (R,) of them count.

        Their keys and values go into the cache, (n_layer, 2, R, H, slots, D) of `cache_dtype`. [r, -1] is behind the
        last id that counts; NaN where there are fewer than `keep`.
        """
        call = self._call(ids, lengths, cache, {})
        n = n.contiguous()
        logits = torch.empty(len(ids), keep, self._config.n_vocab)
        self.library.extend(
            ctypes.byref(self._network),
            ctypes.byref(call),
            ctypes.c_void_p(n.data_ptr()),
            ctypes.c_int64(keep),
            ctypes.c_void_p(logits.data_ptr()),
        )
        return logits

    def residual_stream(
        self, ids: Tensor, lengths: Tensor, cache: Tensor, layers: Collection[int]
    ) -> dict[int, Tensor]:
        """What is behind these layers, 0 to n_layer, (R, T, C) each, float32. Arguments and cache as in `extend`."""
        seen = {layer: torch.empty(*ids.shape, self._config.n_embd) for layer in layers}
        call = self._call(ids, lengths, cache, seen)
        self.library.residual_stream(ctypes.byref(self._network), ctypes.byref(call))
        return seen

    def _call(self, ids: Tensor, lengths: Tensor, cache: Tensor, seen: dict[int, Tensor]) -> _Call:
        """What the C++ wants to know. The stream of each layer goes into `seen`, where somebody wants to see it."""
        R, T = ids.shape
        C, I = self._config.n_embd, self._config.inner_width
        ids, lengths = ids.long().contiguous(), lengths.contiguous()
        if cache.device.type != "cpu":
            raise ValueError("this model has been moved since it was compiled; move it first, then compile it")
        longest = max(lengths.tolist()) + T
        if longest > cache.shape[4]:  # C++ would write behind its end
            raise ValueError(f"the cache has {cache.shape[4]} slots; a row would come to {longest} ids")
        threads = torch.get_num_threads()
        unseen = torch.empty(2, R, T, C)  # where the others take turns
        turns = unseen.data_ptr(), unseen.data_ptr() + unseen.nbytes // 2
        stream = [
            seen[layer].data_ptr() if layer in seen else turns[layer % 2] for layer in range(self._config.n_layer + 1)
        ]
        scratch = torch.empty(R * T * (2 * C + I) + threads * (R * T * C + cache.shape[4]))
        places = torch.empty(R * T + C, dtype=torch.int64)
        call = _Call(
            R,
            T,
            ids.data_ptr(),
            lengths.data_ptr(),
            cache.shape[4],
            cache.data_ptr(),
            (ctypes.c_void_p * len(stream))(*stream),
            scratch.data_ptr(),
            places.data_ptr(),
            threads,
        )
        call.memory = ids, lengths, unseen, scratch, places
        return call

    def ln_f(self, x: Tensor) -> Tensor:
        """The last LayerNorm, of hidden states (..., C), float32."""
        rows = x.float().reshape(-1, x.shape[-1]).contiguous()  # (N, C)
        normed = torch.empty_like(rows)
        self.library.ln_f(
            ctypes.byref(self._network),
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int64(len(rows)),
            ctypes.c_void_p(normed.data_ptr()),
        )
        return normed.view(x.shape)

    def head(self, x: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., V), float32."""
        rows = x.float().cpu().reshape(-1, x.shape[-1]).contiguous()  # (N, C)
        logits = torch.empty(*x.shape[:-1], self._config.n_vocab)
        self.library.head(
            ctypes.byref(self._network),
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int64(len(rows)),
            ctypes.c_void_p(logits.data_ptr()),
            torch.get_num_threads(),
        )
        return logits

    def __reduce__(self) -> NoReturn:
        raise TypeError("a compiled model cannot be copied or pickled; copy the model itself, then compile it")

    def _block(self, block: nn.Module) -> _Block:
        if type(block) is not Block:
            raise CompilerError(f"they know GPT-2's own layers, and one of these is a {type(block).__name__}")
        return _Block(
            self._norm(block.ln_1),
            self._matrix(block.attn.c_attn),
            self._matrix(block.attn.c_proj),
            self._norm(block.ln_2),
            self._matrix(block.mlp.c_fc),
            self._matrix(block.mlp.c_proj),
        )

    def _norm(self, norm: nn.LayerNorm) -> _Norm:
        return _Norm(self._address(norm.weight.float()), self._address(norm.bias.float()))

    def _matrix(self, layer: nn.Module) -> _Matrix:
        if type(layer) not in (Conv1D, Embedding, Int8Linear, Int8Embedding):
            raise CompilerError(f"they know GPT-2's own layers, and one of these is a {type(layer).__name__}")
        if layer.weight.dtype != self._dtype or layer.weight.device.type != "cpu":
            raise CompilerError("they need all matrices in one precision, on the CPU")
        scale = self._address(layer.scale.float()) if isinstance(layer, Int8Linear) else None
        bias = getattr(layer, "bias", None)
        if isinstance(layer, Conv1D):
            layer.weight.data = transposed_in_memory(layer.weight.data)
            out_in = layer.weight.t()
        else:
            assert isinstance(layer.weight, Tensor)
            layer.weight.data = in_rows(layer.weight.data)
            out_in = layer.weight
        n_out, n_in = out_in.shape
        return _Matrix(self._address(out_in), scale, None if bias is None else self._address(bias.float()), n_in, n_out)

    def _address(self, tensor: Tensor) -> int:
        tensor = tensor.detach().contiguous()
        self._kept.append(tensor)
        return tensor.data_ptr()
