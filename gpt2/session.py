"""The key/value cache of a running generation: what the network has computed about the ids so far.

Rows are ragged: each has its own length, and there is no padding between its ids. That makes a batch of prompts of
different lengths, beams that change parents, and rejected drafts the same three operations: extend, select, rewind.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import add
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .model import GPT2
    from .native import NativeNetwork

_ROOM = 64  # slots by which a full cache grows at least, so that it is not copied at every step


class Session:
    """One running batch. R rows; row r has taken `lengths[r]` ids so far.

    >>> session = model.open()
    >>> session.extend(torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([3, 2]))  # (R, 1, V): after 7, and after 9
    >>> session.select(torch.tensor([1, 1, 0]))                                      # rows may repeat or leave
    >>> session.rewind(torch.tensor([1, 2, 3]))                                      # the first row forgets its last id

    The first `extend` decides how many rows there are. No gradients are kept.
    """

    def __init__(self, model: GPT2) -> None:
        self.model = model
        self.lengths = torch.zeros(0, dtype=torch.int64)  # (R,), always on the CPU
        # keys and values, (layers, 2, R, H, slots, D); slot t of a row belongs to its t-th id
        self._cache: Tensor | None = None

    @property
    def keys_and_values(self) -> Tensor:
        """What is cached, to be looked at: (layers, 2, R, H, the longest row's length, D), keys before values.

        Behind the end of a shorter row stands anything. A view: whoever changes it changes what the model remembers.
        Raises ValueError before the first `extend`.
        """
        return self._filled[..., : int(self.lengths.max()), :]

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        """Append ids to every row, and return the logits that follow the last ones.

        ids       (R, T) int64; of row r only the first n[r] count, whatever stands behind them
        n         (R,) int64, each from 0 to T; None where all T count
        keep      how many of the last positions to return, from 1 to T
        returns   (R, keep, V) on the model's device: [r, -1] follows the last new id of row r, [r, -2] the one before
                  it; NaN where a row has fewer than `keep` new ids

        Logits are computed for the kept positions only: a long prompt never meets the whole vocabulary.
        Raises ValueError for shapes that do not fit and for a row that would outgrow the model's positions; nothing has
        changed then.
        """
        return self.head(self.extend_hidden(ids, n, keep)[:, :, 0])  # (R, keep, V)

    @torch.no_grad()
    def head(self, hidden: Tensor) -> Tensor:
        """The logits (..., V) that hidden states (..., C) of `extend_hidden` come to; of NaN they are NaN."""
        return self.model.head(hidden)

    @torch.no_grad()
    def extend_hidden(
        self, ids: Tensor, n: Tensor | None = None, keep: int = 1, layers: Sequence[int] | None = None
    ) -> Tensor:
        """As `extend`, but what comes back are hidden states (R, keep, L, C), from which `head` makes logits.

        layers    behind how many blocks to look: 0 for the embeddings, n_layer for what `extend` uses, and for None.
                  The last LayerNorm is applied to each, so that all speak the head's language
        """
        layers = [self.model.n_layer] if layers is None else list(layers)
        if not layers or not all(layer in range(self.model.n_layer + 1) for layer in layers):
            raise ValueError(f"hidden states are there behind 0 to {self.model.n_layer} blocks; got {layers}")
        ragged = n is not None
        ids, lengths, n = self._prepare(ids, n, keep)
        device = ids.device
        stream = self._residual_stream(ids, lengths, layers)  # (R, T, C) each
        kept = [stream[layer][:, -keep:] for layer in layers]  # (R, keep, C) each
        if ragged:
            at = (n[:, None] - keep + torch.arange(keep)).to(device)  # (R, keep): where these stand among the new ones
            rows, missing = torch.arange(len(ids), device=device)[:, None], (at < 0)[:, :, None]
            kept = [stream[layer][rows, at.clamp(min=0)].masked_fill(missing, float("nan")) for layer in layers]
        hidden = self._ln_f(torch.stack(kept, dim=2))  # (R, keep, L, C); of NaN it is NaN
        self.lengths = lengths + n
        return hidden

    def _prepare(self, ids: Tensor, n: Tensor | None, keep: int) -> tuple[Tensor, Tensor, Tensor]:
        """Check what `extend` was given, and make room for it.

        -> the ids (R, T) on the model's device, and (R,) each on the CPU: how many are cached, how many of these count
        """
        if n is not None and ids.dim() == 2 and n.shape == ids.shape[:1]:
            filler = torch.arange(ids.shape[1], device=ids.device) >= n.to(ids.device)[:, None]  # (R, T)
            ids = ids.masked_fill(filler, 0)
        self.model.check_ids(ids)
        R, T = ids.shape
        lengths = self.lengths if self._cache is not None else torch.zeros(R, dtype=torch.int64)
        n = torch.full((R,), T) if n is None else n.cpu().long()
        self._check_arguments(lengths, n, R, T, keep)
        self._reserve(R, int(lengths.max()) + T)
        return ids.to(self._filled.device), lengths, n

    def _residual_stream(self, ids: Tensor, lengths: Tensor, layers: Collection[int]) -> dict[int, Tensor]:
        """The network, for ids (R, T) behind `lengths` (R,) cached ones. -> (R, T, C) behind each of these layers"""
        T, device = ids.shape[1], ids.device
        start, ragged = int(lengths[0]), bool((lengths != lengths[0]).any())
        S = int(lengths.max()) + T  # how many slots attention may look at
        positions = (lengths[:, None] + torch.arange(T)).to(device)  # (R, T)
        if ragged:
            visible = torch.arange(S, device=device) <= positions[:, None, :, None]  # (R, 1, T, S)
            where: slice | Tensor = positions
        else:
            positions = positions[0]  # (T,): the same in every row
            where = slice(start, S)
            visible = None  # one id sees all; several from the start see what is causal
            if T > 1 and start > 0:
                visible = torch.arange(S, device=device) <= positions[:, None]  # (T, S)
        stream = self.model.residual_stream(
            ids,
            positions.clamp(max=self.model.n_positions - 1),  # slots behind a row's real ids may lie past the edge
            visible,
            [LayerCache(layer, where, S) for layer in self._filled],
        )
        return {layer: x for layer, x in enumerate(stream) if layer in layers}

    def _ln_f(self, x: Tensor) -> Tensor:
        return self.model.ln_f(x)

    @property
    def _cache_dtype(self) -> torch.dtype:
        return self.model.dtype

    def select(self, rows: Tensor) -> None:
        """Replace the rows by those with the numbers `rows` (R',): a row may be left out, moved or repeated."""
        cache = self._filled
        rows = rows.cpu().long()  # torch.tensor([]) is float32
        R = len(self.lengths)
        if rows.dim() != 1 or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < R):
            raise ValueError(f"rows must be a list of numbers from 0 to {R - 1}; got {rows.tolist()}")
        if torch.equal(rows, torch.arange(R)):
            return
        filled = int(self.lengths.max())
        self.lengths = self.lengths[rows]
        if len(rows) == R:  # beams change parents, at every step: only what changes is copied, and in place
            changed = (rows != torch.arange(R)).nonzero()[:, 0]
            old, new = rows[changed].to(cache.device), changed.to(cache.device)
            cache[:, :, new, :, :filled] = cache[:, :, old, :, :filled]
        else:
            self._cache = cache.index_select(2, rows.to(cache.device))

    def rewind(self, lengths: Tensor) -> None:
        """Shorten row r to its first lengths[r] ids; lengths (R,) int64, none above the present one."""
        lengths = lengths.cpu().long()
        if lengths.shape != self.lengths.shape or bool((lengths < 0).any()) or bool((lengths > self.lengths).any()):
            raise ValueError(
                f"each row can be rewound to a length from 0 to its present one, {self.lengths.tolist()}; "
                f"got {lengths.tolist()}"
            )
        self.lengths = lengths.clone()  # what stands in the slots behind is never seen, and overwritten in time

    @property
    def _filled(self) -> Tensor:
        if self._cache is None:
            raise ValueError("this session has no rows yet; extend it first")
        return self._cache

    def _check_arguments(self, lengths: Tensor, n: Tensor, R: int, T: int, keep: int) -> None:
        if len(lengths) != R:
            raise ValueError(f"this session has {len(lengths)} rows; got ids for {R}")
        if R == 0:
            raise ValueError("a session needs at least one row")
        new = n.tolist()
        if n.shape != (R,) or not all(0 <= one <= T for one in new):
            raise ValueError(f"n must say for each of the {R} rows how many of its {T} ids count; got {new}")
        if not 1 <= keep <= T:
            raise ValueError(f"keep must be between 1 and the number of new positions, {T}; got {keep}")
        longest = max(map(add, lengths.tolist(), new))
        if longest > self.model.n_positions:
            raise ValueError(
                f"this model has {self.model.n_positions} positions; a row would come to {longest} ids, "
                f"{longest - self.model.n_positions} too many"
            )

    def _reserve(self, R: int, slots: int) -> None:
        """Make sure that the cache has `slots` slots. Fresh ones hold zeros: a hidden slot must still be a number."""
        present = 0 if self._cache is None else self._cache.shape[4]
        if slots <= present:
            return
        config = self.model.config
        slots = max(slots, min(max(slots + _ROOM, 2 * present), config.n_positions))
        shape = (config.n_layer, 2, R, config.n_head, slots, config.n_embd // config.n_head)
        grown = torch.zeros(shape, dtype=self._cache_dtype, device=self.model.device)
        if self._cache is not None:
            grown[:, :, :, :, :present] = self._cache
        self._cache = grown


class CompiledSession(Session):
    """A session of a compiled model. Causality needs no mask here: an id at position p looks at the slots up to p."""

    def __init__(self, model: GPT2, native: NativeNetwork) -> None:
        super().__init__(model)
        self.native = native

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:  # in one piece
        ids, lengths, n = self._prepare(ids, n, keep)
        logits = self.native.extend(ids, lengths, self._filled, n, keep)  # (R, keep, V)
        self.lengths = lengths + n
        return logits

    def head(self, hidden: Tensor) -> Tensor:
        return self.native.head(hidden)

    def _residual_stream(self, ids: Tensor, lengths: Tensor, layers: Collection[int]) -> dict[int, Tensor]:
        return self.native.residual_stream(ids, lengths, self._filled, layers)

    def _ln_f(self, x: Tensor) -> Tensor:
        return self.native.ln_f(x)

    @property
    def _cache_dtype(self) -> torch.dtype:
        return self.native.cache_dtype


class LayerCache:
    """One layer's keys and values during one call of `Session.extend`, and where the new ones go."""

    def __init__(self, layer: Tensor, where: slice | Tensor, slots: int) -> None:
        self.keys, self.values = layer.unbind(0)  # (R, H, all slots, D) each, views of the session's cache
        self.where = where  # the same slots in every row, or (R, T)
        self.slots = slots

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values (R, H, T, D) of the new ids, and return those of all ids, (R, H, slots, D)."""
        if isinstance(self.where, slice):
            self.keys[:, :, self.where] = k
            self.values[:, :, self.where] = v
        else:
            rows = torch.arange(len(k), device=k.device)[:, None]  # (R, 1)
            # two index tensors around a slice: PyTorch puts their dimensions first, (R, T, H, D)
            self.keys[rows, :, self.where] = k.transpose(1, 2)
            self.values[rows, :, self.where] = v.transpose(1, 2)
        return self.keys[:, :, : self.slots], self.values[:, :, : self.slots]
