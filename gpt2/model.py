"""GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): ids in, logits out.

Read it from top to bottom: a linear layer, attention, the MLP, a block of both, the whole network. Parameters carry the
names and the layout of OpenAI's checkpoint, so that loading it is an equality of two dictionaries.

Letters in the shape comments:
    B  rows of the batch    T  positions of a row    S  positions that attention sees    V  ids in the vocabulary
    C  width (n_embd)       H  heads                 D  width of a head, C / H            I  width in the MLP, 4 C
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import load_weights
from .config import GPT2Config
from .hub import Source, locate
from .product import product
from .session import CompiledSession, LayerCache, Session

if TYPE_CHECKING:
    from .native import NativeNetwork

_log = logging.getLogger(__name__)


class Conv1D(nn.Module):
    """The checkpoint's linear layer: y = x @ w + b with w of shape (in, out).

    OpenAI wrote its linear layers as convolutions of width one, whose weight is the transpose of `nn.Linear`'s. Keeping
    the file's own layout saves a transpose of every matrix, and the famous bug of forgetting one.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)  # (B, T, out)


class Attention(nn.Module):
    """Causal multi-head self-attention: softmax(q kᵀ / √D) v in every head (Vaswani et al. 2017, arXiv:1706.03762)."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)
        self.attn_pdrop = config.attn_pdrop
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, visible: Tensor | None = None, cache: LayerCache | None = None) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).unbind(2)  # (B, T, H, D) each
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, D)
        if cache is not None:
            k, v = cache.append(k, v)  # (B, H, S, D): everything so far
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=visible,  # broadcasts to (B, H, T, S)
            dropout_p=self.attn_pdrop if self.training else 0.0,
            is_causal=visible is None and T > 1,  # no mask: ids with nothing before them, or one, which sees all
        )  # (B, H, T, D)
        y = y.transpose(1, 2).reshape(B, T, C)  # the heads side by side again
        return self.resid_dropout(self.c_proj(y))  # (B, T, C)


class MLP(nn.Module):
    """Two linear layers around a GELU, at every position alone.

    GPT-2 was trained with the tanh approximation of GELU (Hendrycks & Gimpel 2016, arXiv:1606.08415); the exact one,
    PyTorch's default, is close and wrong.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.n_embd, config.inner_width)
        self.c_proj = Conv1D(config.inner_width, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.c_fc(x), approximate="tanh")  # (B, T, I)
        return self.resid_dropout(self.c_proj(x))  # (B, T, C)


class Block(nn.Module):
    """One layer: attention, then the MLP, each on a normalised copy of the residual stream and added back to it."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, visible: Tensor | None = None, cache: LayerCache | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), visible, cache)  # (B, T, C)
        return x + self.mlp(self.ln_2(x))  # (B, T, C)


class Embedding(nn.Embedding):
    """The token embedding (V, C), which is the network's head as well."""

    def head(self, x: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., V), by comparing them with every row."""
        return product(x, self.weight.t())


class GPT2(nn.Module):
    """The network: token and position embeddings, a stack of blocks, a last LayerNorm, and the embeddings as the head.

    >>> model = GPT2.from_pretrained("storybook")
    >>> model(torch.tensor([[7454, 2402, 257, 640]])).shape       # (B, T) -> (B, T, V)
    torch.Size([1, 4, 50257])

    `GPT2(config)` has fresh random weights and is in train mode, as every new `nn.Module` is.
    """

    source: Source | None = None  # where from_pretrained found the weights
    native: NativeNetwork | None = None  # what `compiled` made

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        # as Embedding(V, C), which would draw weights here only to have them replaced below, or by a checkpoint's
        self.wte = Embedding.from_pretrained(torch.empty(config.n_vocab, config.n_embd), freeze=False)
        self.wpe = nn.Embedding.from_pretrained(torch.empty(config.n_positions, config.n_embd), freeze=False)
        self.embd_dropout = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        if not self.wte.weight.is_meta:  # from_pretrained wants the shapes only
            self._draw_weights()

    @property
    def n_vocab(self) -> int:
        return self.config.n_vocab

    @property
    def n_positions(self) -> int:
        return self.config.n_positions

    @property
    def n_layer(self) -> int:
        return self.config.n_layer

    @property
    def device(self) -> torch.device:
        return self.wte.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes with; weights of one byte are widened to it."""
        return self.ln_f.weight.dtype

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The logits of every next id: those at position t predict the id at t + 1.

        ids              (B, T) int64, T at most n_positions
        attention_mask   (B, T), 1 for an id and 0 for padding, on either side; positions count the ids only, and what
                         comes out at padding means nothing
        returns          (B, T, V), in the dtype of the weights

        Raises ValueError for ids of another shape, ids outside the vocabulary, and a sequence that is too long.
        """
        self.check_ids(ids)
        T = ids.shape[1]
        visible = None  # the usual case: every id sees itself and all before it
        positions = torch.arange(T, device=ids.device)  # (T,)
        if attention_mask is not None:
            if attention_mask.shape != ids.shape:
                raise ValueError(
                    f"attention_mask must have the shape of the ids, {tuple(ids.shape)}; "
                    f"got {tuple(attention_mask.shape)}"
                )
            real = attention_mask.to(ids.device).bool()  # (B, T)
            positions = (real.long().cumsum(dim=-1) - 1).clamp(min=0)  # (B, T)
            causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
            myself = torch.eye(T, dtype=torch.bool, device=ids.device)  # padding sees at least itself: no empty softmax
            visible = ((causal & real[:, None, :]) | myself)[:, None]  # (B, 1, T, T)
        (x,) = deque(self.residual_stream(ids, positions, visible), maxlen=1)  # (B, T, C): the last, no other is kept
        return self.head(self.ln_f(x))

    def residual_stream(
        self,
        ids: Tensor,
        positions: Tensor,
        visible: Tensor | None = None,
        caches: list[LayerCache] | None = None,
    ) -> Iterator[Tensor]:
        """What runs through the network, (B, T, C) each time: the embeddings, then what every block makes of them.

        ids (B, T) stand at `positions` (T,) or (B, T). The last LayerNorm and the head turn any of them into logits.
        """
        x = self.embd_dropout(self.wte(ids) + self.wpe(positions))  # (B, T, C)
        yield x
        for layer, block in enumerate(self.h):
            x = block(x, visible, caches[layer] if caches is not None else None)
            yield x

    def head(self, x: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., V)."""
        return self.wte.head(x)

    def early_exit(self, layers: int) -> GPT2:
        """The network of the first `layers` blocks, with the last LayerNorm and the head behind them.

        A whole language model, faster and worse, which shares all parameters with this one. Raises ValueError for a
        number of blocks that it does not have.
        """
        if isinstance(layers, bool) or not isinstance(layers, Integral) or not 1 <= layers <= self.config.n_layer:
            raise ValueError(
                f"an early exit lies behind 1 to {self.config.n_layer} of this model's layers; got {layers!r}"
            )
        model = self._twin(int(layers))
        if self.native is not None:
            model.native = type(self.native)(model, self.native.library)
        return model

    def compiled(self) -> GPT2:
        """The same model with the same parameters, whose sessions compute in C++: native/step.cpp, for the CPU.

        Faster where memory decides, which is wherever few ids are new. The first call on a machine compiles for some
        20 seconds, says so (`logging`), and keeps the result on the disk. Weights may be float32, bfloat16, float16 or
        int8; all arithmetic is float32, and so are the logits. Matrices are laid out anew in memory, once, for this
        model as for its twin, whose eager passes become slower in float32 (product.py). Where parameters are changed,
        or this model is moved, the twin's logits mean nothing: compile it again.

        Where it cannot be had (another device, float64, no compiler), says why, and returns this model as it is.
        """
        from .native import CompilerError, NativeNetwork, load_library

        try:
            if self.device.type != "cpu":
                raise CompilerError(f"they are for the CPU, and the model is on {self.device}")
            model = self._twin(self.config.n_layer)
            model.native = NativeNetwork(model, load_library(self.wte.weight.dtype))
        except CompilerError as error:
            _log.warning("no compiled steps, the model runs as it is: %s", error)
            return self
        return model

    def _twin(self, layers: int) -> GPT2:
        """A model of the first `layers` blocks which shares all parameters with this one."""
        with torch.device("meta"):
            model = type(self)(replace(self.config, n_layer=layers))
        for name, part in self.named_children():
            model.register_module(name, part)
        model.h = nn.ModuleList(self.h[:layers])
        model.source = self.source
        return model.train(self.training)

    def state_dict(  # type: ignore[override]
        self, *args: Any, prefix: str = "", keep_vars: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """As of any module. Matrices laid out for speed are copied, because safetensors does not save such tensors."""
        state: dict[str, Any] = super().state_dict(*args, prefix=prefix, keep_vars=keep_vars, **kwargs)
        for name, value in state.items():
            if isinstance(value, Tensor) and name.startswith(prefix) and not keep_vars:
                state[name] = value.contiguous()
        return state

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        if self.native is not None:
            raise ValueError("a compiled model keeps its weights; load others into the model itself, then compile it")
        return super().load_state_dict(*args, **kwargs)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GPT2:
        if self.native is None:
            return super()._apply(fn, recurse)
        present = self.ln_f.weight.data
        changed = fn(present)  # .to(), .half(), .cuda() and their like
        if (changed.dtype, changed.device) != (present.dtype, present.device):
            raise ValueError("a compiled model stays what and where it is; convert or move it first, then compile it")
        return self

    def open(self) -> Session:
        """An empty session: the key/value cache of a running generation. See `Session`.

        Raises ValueError in train mode, in which dropout would make every generation another one.
        """
        if any(module.training for module in self.modules()):  # a twin may share only some of them
            raise ValueError("this model is in train mode, so dropout would disturb what it writes; call .eval() first")
        return Session(self) if self.native is None else CompiledSession(self, self.native)

    @classmethod
    def from_pretrained(
        cls,
        name: str | PathLike[str] = "gpt2",
        *,
        revision: str | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        local_files_only: bool = False,
    ) -> GPT2:
        """A model with trained weights, in eval mode.

        name               a published model ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2"), the bundled
                           "storybook", a directory in Hugging Face layout (or one whose only model lies in a folder of
                           its own), or "owner/name" on the Hugging Face Hub
        revision           a branch, tag or commit on the Hub; without it published models are pinned to a commit
        dtype              what the weights are converted to: float64, float32, bfloat16, float16, or int8, which is
                           for the weights only (int8.py). A model that is converted later keeps its layout in memory,
                           which may be slow in another dtype (layout.py)
        device             where they go
        local_files_only   use what is in the cache and ask the Hub for nothing

        What comes from the Hub goes into its cache (HF_HOME), and is not asked for again. A download that was
        interrupted is resumed by the next call, and its sha256 is compared; of a published model that lies on this
        machine the size is. Where the environment variable GPT2_WEIGHTS names a folder that holds gpt2/, or another
        published model, it is read from there, without any request; a `revision` goes to the Hub nevertheless.

        On the CPU, weights that need neither a conversion nor another layout (layout.py) stay views of the file:
        loading costs little memory, and the file must not be overwritten in place while the model is used.

        Raises ValueError for an argument that makes no sense, `ModelNotFoundError` where there is no such model,
        `HubUnreachableError` where the Hub has to be asked and does not answer, and `CheckpointError` for files that
        are not exactly this network's. All of them say what to do.
        """
        if dtype not in (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int8):
            raise ValueError(f"dtype must be torch.float64, float32, bfloat16, float16 or int8; got {dtype}")
        from .int8 import quantize  # which knows the network, not the other way round

        device = usable_device(device, dtype)
        files = locate(name, revision=revision, local_files_only=local_files_only)
        config = GPT2Config.from_file(files.config)
        with torch.device("meta"):  # the shapes, without any memory behind them
            model = cls(config)
        model.source = files.source
        if dtype == torch.int8:
            load_weights(model, files.weights, dtype=None, device=device)
            return quantize(model).eval()
        load_weights(model, files.weights, dtype=dtype, device=device)
        return model.eval()

    def check_ids(self, ids: Tensor) -> None:
        """Raise ValueError, in words, for what are no rows of this model's ids."""
        if ids.dim() != 2 or ids.shape[1] == 0 or ids.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"ids must be whole numbers of shape (rows, positions), with at least one position; "
                f"got {ids.dtype} of shape {tuple(ids.shape)}"
            )
        if ids.shape[1] > self.n_positions:
            raise ValueError(
                f"this model has {self.n_positions} positions; got {ids.shape[1]} ids, "
                f"{ids.shape[1] - self.n_positions} too many"
            )
        if ids.numel():
            lowest, highest = map(int, ids.aminmax())
            if not 0 <= lowest <= highest < self.n_vocab:
                raise ValueError(f"ids must lie between 0 and {self.n_vocab - 1}; got some from {lowest} to {highest}")

    def _draw_weights(self) -> None:
        """GPT-2's own start: normal weights, those that write to the residual stream smaller the deeper the network."""
        std = self.config.initializer_range
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=std / (2 * self.config.n_layer) ** 0.5)
            elif name.endswith(("c_attn.weight", "c_fc.weight", "wte.weight", "wpe.weight")):
                nn.init.normal_(parameter, std=std)


def usable_device(device: str | torch.device, dtype: torch.dtype) -> torch.device:
    """The device of that name. Raises ValueError where it cannot hold numbers of this dtype here."""
    try:
        device = torch.device(device)
        torch.zeros(1, device=device, dtype=dtype).item()  # `meta` has shapes only, and MPS no float64
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:  # what PyTorch raises differs by device
        reason = str(error).splitlines()[0].split(". ")[0][:100]
        raise ValueError(
            f'the device {str(device)!r} cannot be used here for {dtype} ({reason}); "cpu" always can'
        ) from error
    return device
