"""The exercises of notebook 02, and the mistakes that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2 import GPT2Config
from gpt2.model import MLP, Attention, Block

from .checking import Case, Check, Mistake

Layer = Callable[[Tensor], Tensor]


# Exercise 2.1: the causal pattern


def _row_by_row(scores: Tensor) -> Tensor:
    """Position t has a softmax over the first t + 1 scores and zeros behind them."""
    rows = [F.pad(row[: t + 1].softmax(dim=-1), (0, len(scores) - t - 1)) for t, row in enumerate(scores)]
    return torch.stack(rows)


def _some_scores(generator: torch.Generator) -> Case:
    T = int(torch.randint(1, 8, (), generator=generator))
    scale = (1.0, 5.0, 100.0)[int(torch.randint(3, (), generator=generator))]
    return {"scores": scale * torch.randn(T, T, generator=generator)}


def _future(scores: Tensor) -> Tensor:
    return torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)


def _sees_everything(scores: Tensor) -> Tensor:
    return scores.softmax(dim=-1)


def _past_hidden(scores: Tensor) -> Tensor:
    return scores.masked_fill(_future(scores).T, -math.inf).softmax(dim=-1)


def _hidden_too_late(scores: Tensor) -> Tensor:
    return scores.softmax(dim=-1) * ~_future(scores)


def _hidden_by_zero(scores: Tensor) -> Tensor:
    return (scores * ~_future(scores)).softmax(dim=-1)


def _itself_hidden(scores: Tensor) -> Tensor:
    return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(), -math.inf).softmax(dim=-1)


def _columns_sum_to_one(scores: Tensor) -> Tensor:
    return scores.masked_fill(_future(scores), -math.inf).softmax(dim=0)


causal_pattern = Check(
    exercise="2.1",
    name="causal_pattern",
    reference=_row_by_row,
    cases=[
        {"scores": torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, math.log(2), 0.0]])},
        {"scores": torch.tensor([[0.0, 5.0, 5.0], [1.0, 1.0, 5.0], [0.0, 2.0, 0.0]])},
        {"scores": torch.tensor([[7.0]])},
    ],
    random=_some_scores,
    mistakes=[
        Mistake(_sees_everything, "Nothing is hidden yet: a position must not see what comes after it."),
        Mistake(_past_hidden, "You hide the past and show the future. Row t may look at the columns 0 to t."),
        Mistake(
            _hidden_too_late,
            "You hide after the softmax, so the rows no longer sum to 1. Hide the scores first, then take the softmax.",
        ),
        Mistake(
            _hidden_by_zero, "A score of 0 is a score like any other: e^0 is 1. What is hidden needs a score of -inf."
        ),
        Mistake(
            _itself_hidden, "You hide a position from itself too, and the first one then sees nothing: 0 / 0 is NaN."
        ),
        Mistake(
            _columns_sum_to_one,
            "Your columns sum to 1; the rows should: each looking position shares out its attention.",
        ),
    ],
)


# Exercise 2.2: attention


def _attention_of_the_network(
    x: Tensor, c_attn_weight: Tensor, c_attn_bias: Tensor, c_proj_weight: Tensor, c_proj_bias: Tensor, n_head: int
) -> Tensor:
    layer = Attention(GPT2Config(n_embd=x.shape[-1], n_head=n_head)).eval()
    layer.load_state_dict(
        {
            "c_attn.weight": c_attn_weight,
            "c_attn.bias": c_attn_bias,
            "c_proj.weight": c_proj_weight,
            "c_proj.bias": c_proj_bias,
        }
    )
    with torch.no_grad():
        return layer(x)


def _some_attention(generator: torch.Generator) -> Case:
    B, T, H, D = (int(torch.randint(1, n, (), generator=generator)) for n in (4, 7, 5, 5))
    C = H * D
    return {
        "x": torch.randn(B, T, C, generator=generator),
        "c_attn_weight": torch.randn(C, 3 * C, generator=generator) / C**0.5,
        "c_attn_bias": 0.5 * torch.randn(3 * C, generator=generator),
        "c_proj_weight": torch.randn(C, C, generator=generator) / C**0.5,
        "c_proj_bias": 0.5 * torch.randn(C, generator=generator),
        "n_head": H,
    }


def _attention(
    change: str, x: Tensor, w: Tensor, b: Tensor, out_weight: Tensor, out_bias: Tensor, n_head: int
) -> Tensor:
    """Attention with one mistake in it."""
    rows, T, C = x.shape
    H = 1 if change == "one head" else n_head
    D = C // H
    if change == "c_attn transposed":
        w = w.T
    qkv = x @ w + b
    if change == "three in each head":
        parts = list(qkv.view(rows, T, H, 3 * D).split(D, dim=3))
    elif change == "cut without moving":
        parts = [part.reshape(rows, H, T, D).transpose(1, 2) for part in qkv.split(C, dim=2)]
    else:
        parts = [part.view(rows, T, H, D) for part in qkv.split(C, dim=2)]
    q, k, v = parts
    scores = torch.einsum("bthd,bshd->bhts", q, k) / (
        1 if change == "no root" else math.sqrt(C if "C" in change else D)
    )
    if change != "no mask":
        scores = scores + torch.full((T, T), -math.inf).triu(1)
    pattern = scores.softmax(dim=-2 if change == "columns" else -1)
    merged = "bhsd" if change == "merged without moving" else "bshd"
    y = torch.einsum(f"bhst,bthd->{merged}", pattern, v).reshape(rows, T, C)
    if change == "no c_proj":
        return y
    return y @ (out_weight.T if change == "c_proj transposed" else out_weight) + out_bias


def _wrong_attention(change: str) -> Callable[..., Tensor]:
    return lambda *case: _attention(change, *case)


def _side_by_side(*matrices: Tensor) -> Tensor:
    return torch.cat(matrices, dim=1)


attention = Check(
    exercise="2.2",
    name="attention",
    reference=_attention_of_the_network,
    cases=[
        {  # one head, nothing but the pattern and the values
            "x": torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]),
            "c_attn_weight": _side_by_side(torch.eye(2), torch.eye(2), torch.eye(2)),
            "c_attn_bias": torch.zeros(6),
            "c_proj_weight": torch.eye(2),
            "c_proj_bias": torch.zeros(2),
            "n_head": 1,
        },
        {  # two heads of one column each
            "x": torch.tensor([[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]]),
            "c_attn_weight": _side_by_side(torch.eye(2), 2 * torch.eye(2), torch.tensor([[1.0, 3.0], [2.0, 4.0]])),
            "c_attn_bias": torch.zeros(6),
            "c_proj_weight": torch.eye(2),
            "c_proj_bias": torch.zeros(2),
            "n_head": 2,
        },
        {  # one position, which sees only itself: biases, and the way out
            "x": torch.tensor([[[1.0, 2.0]]]),
            "c_attn_weight": _side_by_side(torch.eye(2), torch.eye(2), torch.eye(2)),
            "c_attn_bias": torch.tensor([0.0, 0.0, 0.0, 0.0, 10.0, 20.0]),
            "c_proj_weight": torch.tensor([[1.0, 5.0], [0.0, 1.0]]),
            "c_proj_bias": torch.tensor([0.5, 0.0]),
            "n_head": 1,
        },
    ],
    random=_some_attention,
    mistakes=[
        Mistake(_wrong_attention("no mask"), "Every position sees the future: the causal mask is missing."),
        Mistake(_wrong_attention("no root"), "The scores are not divided by the root of the head's width."),
        Mistake(
            _wrong_attention("root of C"),
            "You divide by the root of C; a dot product in a head has only D = C / n_head terms.",
        ),
        Mistake(
            _wrong_attention("one head"), "You use one wide head; n_head of them each make a pattern of their own."
        ),
        Mistake(
            _wrong_attention("cut without moving"),
            "`view(B, H, T, D)` cuts through the positions and mixes them. First (B, T, H, D), then swap two of them.",
        ),
        Mistake(
            _wrong_attention("merged without moving"),
            "At the end the heads are still in front of the positions: swap them back before you make it (B, T, C).",
        ),
        Mistake(
            _wrong_attention("three in each head"),
            "In GPT-2 the first C columns are all queries, then come all keys, then all values; you look for the three "
            "of each head side by side, as some later models have them.",
        ),
        Mistake(
            _wrong_attention("columns"),
            "Your softmax runs over the positions that look; it runs over those that are looked at.",
        ),
        Mistake(
            _wrong_attention("c_proj transposed"),
            "c_proj's weight is used transposed. It is square, so nothing stops you: the file has (in, out), so x @ w.",
        ),
        Mistake(_wrong_attention("no c_proj"), "The heads stand side by side, and the last layer, c_proj, is missing."),
        Mistake(
            _wrong_attention("c_attn transposed"),
            "If it is the first product that does not fit: the file's weights are (in, out), so it is x @ w as it is.",
        ),
    ],
    tolerance=3e-5,
)


# Exercise 2.3: the MLP


def _mlp_of_the_network(
    x: Tensor, c_fc_weight: Tensor, c_fc_bias: Tensor, c_proj_weight: Tensor, c_proj_bias: Tensor
) -> Tensor:
    layer = MLP(GPT2Config(n_embd=x.shape[-1], n_inner=len(c_fc_bias), n_head=1)).eval()
    layer.load_state_dict(
        {
            "c_fc.weight": c_fc_weight,
            "c_fc.bias": c_fc_bias,
            "c_proj.weight": c_proj_weight,
            "c_proj.bias": c_proj_bias,
        }
    )
    with torch.no_grad():
        return layer(x)


def _some_mlp(generator: torch.Generator) -> Case:
    B, T, C = (int(torch.randint(1, 5, (), generator=generator)) for _ in range(3))
    I = 4 * C
    return {
        "x": torch.randn(B, T, C, generator=generator),
        "c_fc_weight": 1.5 * torch.randn(C, I, generator=generator),
        "c_fc_bias": 0.5 * torch.randn(I, generator=generator),
        "c_proj_weight": torch.randn(I, C, generator=generator),
        "c_proj_bias": 0.5 * torch.randn(C, generator=generator),
    }


def _tanh_gelu(h: Tensor) -> Tensor:
    return F.gelu(h, approximate="tanh")


def _mlp_with(
    activation: Layer, *, bias: bool = True, twice: bool = False, transposed: bool = False
) -> Callable[..., Tensor]:
    """An MLP with one mistake in it."""

    def wrong(x: Tensor, w: Tensor, b: Tensor, out_weight: Tensor, out_bias: Tensor) -> Tensor:
        if transposed:
            w, out_weight = w.T, out_weight.T
        y = activation(x @ w + b * bias) @ out_weight + out_bias * bias
        return activation(y) if twice else y

    return wrong


mlp = Check(
    exercise="2.3",
    name="mlp",
    reference=_mlp_of_the_network,
    cases=[
        {  # the GELU alone
            "x": torch.tensor([[[-3.0], [-1.0], [0.0], [1.0], [3.0]]]),
            "c_fc_weight": torch.tensor([[1.0]]),
            "c_fc_bias": torch.tensor([0.0]),
            "c_proj_weight": torch.tensor([[1.0]]),
            "c_proj_bias": torch.tensor([0.0]),
        },
        {  # two square weights and biases
            "x": torch.tensor([[[1.0, 2.0]]]),
            "c_fc_weight": torch.tensor([[1.0, 2.0], [0.0, 1.0]]),
            "c_fc_bias": torch.tensor([0.0, 1.0]),
            "c_proj_weight": torch.tensor([[1.0, 0.0], [3.0, 1.0]]),
            "c_proj_bias": torch.tensor([0.0, -1.0]),
        },
    ],
    random=_some_mlp,
    mistakes=[
        Mistake(
            _mlp_with(F.gelu),
            "This is the exact GELU, PyTorch's default. GPT-2 was trained with the tanh approximation.",
        ),
        Mistake(_mlp_with(F.relu), "This is the ReLU; GPT-2 bends with the GELU, in its tanh approximation."),
        Mistake(
            _mlp_with(lambda h: h * torch.sigmoid(1.702 * h)),
            "This is the other approximation of the GELU, with a sigmoid. GPT-2 was trained with the one with tanh.",
        ),
        Mistake(
            _mlp_with(lambda h: 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**2)))),
            "Inside the tanh the small term is a cube, with h three times, not a square.",
        ),
        Mistake(
            _mlp_with(lambda h: 0.5 * h * (1 + torch.tanh(math.sqrt(2) / math.pi * (h + 0.044715 * h**3)))),
            "The root is over the whole of 2 / π, about 0.798; yours is over the 2 alone.",
        ),
        Mistake(_mlp_with(lambda h: h), "There is no bend between the two layers: together they are one linear layer."),
        Mistake(
            _mlp_with(_tanh_gelu, twice=True), "The GELU stands between the layers only; nothing bends the result."
        ),
        Mistake(_mlp_with(_tanh_gelu, bias=False), "The biases are missing: each layer is x @ w + b."),
        Mistake(
            _mlp_with(_tanh_gelu, transposed=True),
            "The weights are used transposed, as torch.nn.Linear has them. The file has (in, out), so x @ w as it is.",
        ),
    ],
    tolerance=2e-5,
)


# Exercise 2.4: a block


class _Part(nn.Module):
    """A function in the place of one of a block's four parts."""

    def __init__(self, function: Layer) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, *rest: object) -> Tensor:
        return self.function(x)


def _block_of_the_network(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    layer = Block(GPT2Config(n_embd=1, n_head=1))
    for name, function in (("ln_1", ln_1), ("attn", attn), ("ln_2", ln_2), ("mlp", mlp)):
        setattr(layer, name, _Part(function))
    return layer(x)


def double(x: Tensor) -> Tensor:
    return 2 * x


def plus_one(x: Tensor) -> Tensor:
    return x + 1


def negative(x: Tensor) -> Tensor:
    return -x


def square(x: Tensor) -> Tensor:
    return x * x


def _normaliser(C: int, generator: torch.Generator) -> Layer:
    weight, bias = 1 + torch.randn(2, C, generator=generator)
    return lambda x: F.layer_norm(x, (C,), weight, bias)


def _mixer(C: int, generator: torch.Generator) -> Layer:
    """A position's answer is made of the mean of all vectors up to it."""
    w = torch.randn(C, C, generator=generator)
    return lambda x: (x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1)[:, None]) @ w


def _bender(C: int, generator: torch.Generator) -> Layer:
    w = torch.randn(C, C, generator=generator)
    return lambda x: torch.tanh(x @ w)


def _some_block(generator: torch.Generator) -> Case:
    B, T = (int(torch.randint(1, 5, (), generator=generator)) for _ in range(2))
    C = int(torch.randint(2, 7, (), generator=generator))
    return {
        "x": 3 * torch.randn(B, T, C, generator=generator),
        "ln_1": _normaliser(C, generator),
        "attn": _mixer(C, generator),
        "ln_2": _normaliser(C, generator),
        "mlp": _bender(C, generator),
    }


def _post_norm(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    x = ln_1(x + attn(x))
    return ln_2(x + mlp(x))


def _no_stream(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    return mlp(ln_2(attn(ln_1(x))))


def _second_not_added(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    return mlp(ln_2(attn(ln_1(x)) + x))


def _first_not_added(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    middle = attn(ln_1(x))
    return mlp(ln_2(middle)) + middle


def _one_norm_twice(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    middle = attn(ln_1(x)) + x
    return mlp(ln_1(middle)) + middle


def _in_parallel(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    return attn(ln_1(x)) + mlp(ln_2(x)) + x


def _stream_normalised(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    x = ln_1(x)
    x = ln_2(x + attn(x))
    return x + mlp(x)


def _no_norm(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    middle = attn(x) + x
    return mlp(middle) + middle


block = Check(
    exercise="2.4",
    name="block",
    reference=_block_of_the_network,
    cases=[
        {"x": torch.tensor([[[3.0]]]), "ln_1": double, "attn": plus_one, "ln_2": negative, "mlp": square},
        {"x": torch.tensor([[[1.0, -2.0]]]), "ln_1": negative, "attn": square, "ln_2": plus_one, "mlp": double},
    ],
    random=_some_block,
    mistakes=[
        Mistake(
            _post_norm,
            "This is the order of 2017, with the LayerNorm behind each sum. GPT-2 normalises before each part, and the "
            "stream itself never.",
        ),
        Mistake(_no_stream, "Nothing is added to the stream: each part's answer is added to what it was made from."),
        Mistake(_first_not_added, "Attention's answer replaces the stream; it should be added to it."),
        Mistake(_second_not_added, "The MLP's answer replaces the stream; it should be added to it."),
        Mistake(_one_norm_twice, "You use ln_1 twice. Each part has a LayerNorm of its own; the MLP's is ln_2."),
        Mistake(
            _in_parallel,
            "Your MLP sees the stream as it was before attention, as in GPT-J. In GPT-2 it sees what attention added.",
        ),
        Mistake(
            _stream_normalised,
            "You add to the normalised copy, so the stream itself is lost. Only what a part reads is normalised.",
        ),
        Mistake(_no_norm, "The LayerNorms are missing: each part reads a normalised copy of the stream."),
    ],
)
