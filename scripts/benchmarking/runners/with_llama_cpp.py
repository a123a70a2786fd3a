"""llama.cpp by its C interface, without what the Python package does around it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from ..files import file_of

_ROOM = 64  # slots of the cache come in so many


def load(folder: Path, kind: str, weights: str, threads: int) -> LlamaCpp:
    llama_cpp.llama_log_set(_IGNORE, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    path = file_of(folder, kind, weights)
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    if model is None:
        raise ValueError(f"llama.cpp cannot load {path.name}")
    return LlamaCpp(model, weights, threads)


class LlamaCpp:
    """One context, of the cache's size that the last call needed: calls of the same kind share it.

    The settings are llama.cpp's own defaults, which were the fastest here, but for float32.
    """

    def __init__(self, model: Any, weights: str, threads: int) -> None:
        self.model, self.weights, self.threads = model, weights, threads
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._context: Any = None
        self._shape = (0, 0)

    def generate(self, prompts: Sequence[Sequence[int]], new_ids: int) -> list[list[int]]:
        R, T = len(prompts), len(prompts[0])
        context = self._context_for(R, T + new_ids)
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), False)
        batch = llama_cpp.llama_batch_init(R * T, 0, 1)
        try:
            new = self._next(context, batch, prompts, 0)
            rows = [[id] for id in new]
            for step in range(1, new_ids):
                new = self._next(context, batch, [[id] for id in new], T + step - 1)
                for row, id in zip(rows, new, strict=True):
                    row.append(id)
        finally:
            llama_cpp.llama_batch_free(batch)
        return rows

    def _next(self, context: Any, batch: Any, rows: Sequence[Sequence[int]], start: int) -> list[int]:
        """The likeliest id after each row, whose ids stand at the positions from `start` on."""
        R, T = len(rows), len(rows[0])
        batch.n_tokens = R * T
        for r, row in enumerate(rows):
            for t, id in enumerate(row):
                at = r * T + t
                batch.token[at], batch.pos[at] = id, start + t
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, r
                batch.logits[at] = t == T - 1  # of the last id only
        if llama_cpp.llama_decode(context, batch) != 0:
            raise ValueError(f"llama.cpp cannot take {R} rows of {T} ids at position {start}")
        return [self._likeliest(context, r * T + T - 1) for r in range(R)]

    def _likeliest(self, context: Any, at: int) -> int:
        logits = llama_cpp.llama_get_logits_ith(context, at)
        return int(np.ctypeslib.as_array(logits, (self.n_vocab,)).argmax())

    def _context_for(self, rows: int, length: int) -> Any:
        """A context that has room for so many rows of this length."""
        slots = -(-length // _ROOM) * _ROOM
        if (rows, slots) != self._shape:
            if self._context is not None:
                llama_cpp.llama_free(self._context)
            params = llama_cpp.llama_context_default_params()
            params.n_ctx, params.n_seq_max = rows * slots, rows
            params.n_batch = rows * slots
            params.n_outputs_max = rows  # room for no more logits than are asked for
            params.n_threads = params.n_threads_batch = self.threads
            if self.weights == "f32":  # by default keys and values are float16; this is fast for float32
                params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
                params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
            self._context = llama_cpp.llama_init_from_model(self.model, params)
            if self._context is None:
                raise ValueError(f"llama.cpp cannot make a context for {rows} rows of {slots} ids")
            self._shape = rows, slots
        return self._context


_IGNORE = llama_cpp.llama_log_callback(lambda level, text, data: None)  # it tells much about what it loads
