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


def _only_the_future(scores: Tensor) -> Tensor:
    return scores.masked_fill(~_future(scores), -math.inf).softmax(dim=-1)


def _plus_infinity(scores: Tensor) -> Tensor:
    return scores.masked_fill(_future(scores), math.inf).softmax(dim=-1)


def _zero_times_infinity(scores: Tensor) -> Tensor:
    return (scores + _future(scores).float() * -math.inf).softmax(dim=-1)


def _mask_of_floats(scores: Tensor) -> Tensor:
    return scores.masked_fill(_future(scores).float(), -math.inf).softmax(dim=-1)


def _no_softmax(scores: Tensor) -> Tensor:
    return scores.masked_fill(_future(scores), -math.inf)


def _scaled_afterwards(scores: Tensor) -> Tensor:
    pattern = scores.softmax(dim=-1).tril()
    return pattern / pattern.sum(dim=-1, keepdim=True)


def _powers_by_hand(scores: Tensor) -> Tensor:
    powers = scores.exp().tril()
    return powers / powers.sum(dim=-1, keepdim=True)


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
        Mistake(
            _only_the_future,
            "Your mask is the wrong way round: it hides what a position may see, and leaves what comes later.",
        ),
        Mistake(_plus_infinity, "A score of +inf is the highest there is. What is hidden gets -inf."),
        Mistake(
            _zero_times_infinity,
            "0 * inf is NaN: a mask of zeros and ones cannot be multiplied by -inf. Write -inf only where it belongs, "
            "with masked_fill.",
        ),
        Mistake(_mask_of_floats, "`triu` of a square of ones gives numbers; .bool() makes truth values of them."),
        Mistake(_no_softmax, "These are the scores with the later ones hidden; the softmax along each row is missing."),
        Mistake(
            _scaled_afterwards,
            "Right on paper. But where a hidden score is far above the others, the softmax leaves 0 for all of them, "
            "and 0 / 0 is NaN. Hide the scores before the softmax.",
        ),
        Mistake(
            _powers_by_hand,
            "Right on paper. But e^100 is too large for a float, and e^-200 too small. Hide the scores, then call "
            "softmax, which takes the largest score of each row away first.",
        ),
    ],
)


# Exercise 2.2: attention


@torch.no_grad()
def _with_weights(layer: nn.Module, x: Tensor, first: tuple[Tensor, Tensor], c_proj: tuple[Tensor, Tensor]) -> Tensor:
    """What a layer of the network makes of x with these weights and biases, its first linear layer's and c_proj's."""
    parameters = [*first, *c_proj]  # the order in which the layer holds them
    layer.eval().load_state_dict(dict(zip(layer.state_dict(), parameters, strict=True)))
    return layer(x)


def _attention_of_the_network(
    x: Tensor, c_attn_weight: Tensor, c_attn_bias: Tensor, c_proj_weight: Tensor, c_proj_bias: Tensor, n_head: int
) -> Tensor:
    layer = Attention(GPT2Config(n_embd=x.shape[-1], n_head=n_head))
    return _with_weights(layer, x, (c_attn_weight, c_attn_bias), (c_proj_weight, c_proj_bias))


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
    qkv = x @ (w.T if change == "c_attn transposed" else w) + b * (change not in ("no c_attn bias", "no biases"))
    if change == "three in each head":
        parts = list(qkv.view(rows, T, H, 3 * D).split(D, dim=3))
    elif change.startswith("cut without moving"):
        parts = [part.reshape(rows, H, T, D).transpose(1, 2) for part in qkv.split(C, dim=2)]
    else:
        parts = [part.view(rows, T, H, D) for part in qkv.split(C, dim=2)]
    order = {"k, q, v": (1, 0, 2), "q, v, k": (0, 2, 1), "q and q": (0, 0, 2)}.get(change, (0, 1, 2))
    q, k, v = (parts[i] for i in order)
    scores = torch.einsum("bthd,bshd->bhts", q, k) / _divisor(change, C, D)
    future = torch.ones(T, T, dtype=torch.bool).triu(0 if change == "itself hidden" else 1)
    if change not in ("no mask", "hidden too late"):
        scores = scores.masked_fill(future, -math.inf)
    pattern = scores.softmax(dim=-2 if change == "columns" else -1)
    if change == "hidden too late":
        pattern = pattern * ~future
    merged = "bhsd" if change in ("merged without moving", "cut without moving, and back") else "bshd"
    y = torch.einsum(f"bhst,bthd->{merged}", pattern, v).reshape(rows, T, C)
    if change == "no c_proj":
        return y
    y = y @ (out_weight.T if change == "c_proj transposed" else out_weight)
    y = y + out_bias * (change not in ("no c_proj bias", "no biases"))
    return x + y if change == "added to x" else y


def _divisor(change: str, C: int, D: int) -> float:
    """What the scores are divided by."""
    return {"no root": 1, "root of C": math.sqrt(C), "D itself": D, "times the root": 1 / math.sqrt(D)}.get(
        change, math.sqrt(D)
    )


def _swapped_otherwise(
    heads: tuple[int, ...] = (0, 2, 1, 3), keys: tuple[int, ...] = (0, 1, 3, 2)
) -> Callable[..., Tensor]:
    """Attention with four dimensions, as most people write it, that come in these orders."""

    def wrong(x: Tensor, w: Tensor, b: Tensor, out_weight: Tensor, out_bias: Tensor, n_head: int) -> Tensor:
        T, C = x.shape[1:]
        q, k, v = (part.unflatten(2, (n_head, -1)).permute(heads) for part in (x @ w + b).split(C, dim=2))
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        pattern = (q @ k.permute(keys) / math.sqrt(C // n_head)).masked_fill(future, -math.inf).softmax(dim=-1)
        return (pattern @ v).permute(heads).reshape(x.shape) @ out_weight + out_bias

    return wrong


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
            "c_attn_weight": _side_by_side(
                torch.eye(2), torch.tensor([[2.0, 1.0], [-1.0, 2.0]]), torch.tensor([[1.0, 3.0], [2.0, 4.0]])
            ),
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
        Mistake(
            _wrong_attention("hidden too late"),
            "You hide after the softmax, so the rows no longer sum to 1. Hide the scores first, then take the softmax.",
        ),
        Mistake(
            _wrong_attention("itself hidden"),
            "You hide a position from itself too, and the first one then sees nothing: the mask begins one place above "
            "the diagonal.",
        ),
        Mistake(
            _swapped_otherwise(keys=(3, 2, 1, 0)),
            "`k.T` turns all four dimensions round. Only the last two change places: k.transpose(-2, -1).",
        ),
        Mistake(
            _swapped_otherwise(keys=(0, 2, 1, 3)),
            "`k.transpose(1, 2)` swaps heads and positions. For the product the last two change places: "
            "k.transpose(-2, -1).",
        ),
        Mistake(
            _swapped_otherwise(heads=(0, 1, 2, 3)),
            "The heads are still behind the positions, so your scores compare heads. Swap the two to (B, H, T, D) "
            "before the product.",
        ),
        Mistake(_wrong_attention("no root"), "The scores are not divided by the root of the head's width."),
        Mistake(_wrong_attention("D itself"), "You divide by D; it is the root of D."),
        Mistake(_wrong_attention("times the root"), "You multiply by the root of D; the scores are divided by it."),
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
            _wrong_attention("cut without moving, and back"),
            "`view` to (B, H, T, D) mixes positions, and so does your way back. It is (B, T, H, D) first, then two of "
            "them swapped; and the same backwards at the end.",
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
            _wrong_attention("k, q, v"), "Queries and keys have changed places: the first C columns are the queries."
        ),
        Mistake(_wrong_attention("q, v, k"), "Keys and values have changed places: the values are the last C columns."),
        Mistake(_wrong_attention("q and q"), "You compare queries with queries; the keys are not used."),
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
            "It is the first product that does not fit: the file's weights are (in, out), so it is x @ w as it is.",
        ),
        Mistake(_wrong_attention("no c_attn bias"), "The bias of c_attn is missing."),
        Mistake(_wrong_attention("no c_proj bias"), "The bias of c_proj is missing."),
        Mistake(_wrong_attention("no biases"), "The biases are missing: each layer is x @ w + b."),
        Mistake(
            _wrong_attention("added to x"),
            "You add x. Adding to the stream is the block's work (section 6); attention returns its answer only.",
        ),
    ],
    tolerance=3e-5,
)


# Exercise 2.3: the MLP


def _mlp_of_the_network(
    x: Tensor, c_fc_weight: Tensor, c_fc_bias: Tensor, c_proj_weight: Tensor, c_proj_bias: Tensor
) -> Tensor:
    layer = MLP(GPT2Config(n_embd=x.shape[-1], n_inner=len(c_fc_bias), n_head=1))
    return _with_weights(layer, x, (c_fc_weight, c_fc_bias), (c_proj_weight, c_proj_bias))


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


def _bent(
    h: Tensor,
    *,
    half: float = 0.5,
    factor: bool = True,
    root: float = math.sqrt(2 / math.pi),
    power: int = 3,
    bracket: bool = True,
) -> Tensor:
    """The formula, with what people get wrong in it as arguments."""
    small = 0.044715 * h**power
    inside = root * (h + small) if bracket else root * h + small
    return half * (h if factor else 1) * (1 + torch.tanh(inside))


def _mlp_with(
    activation: Layer,
    *,
    biases: tuple[int, int] = (1, 1),
    twice: bool = False,
    transposed: bool = False,
    added: bool = False,
) -> Callable[..., Tensor]:
    """An MLP with one mistake in it."""

    def wrong(x: Tensor, w: Tensor, b: Tensor, out_weight: Tensor, out_bias: Tensor) -> Tensor:
        if transposed:
            w, out_weight = w.T, out_weight.T
        y = activation(x @ w + b * biases[0]) @ out_weight + out_bias * biases[1]
        if added:
            return x + y
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
            _mlp_with(lambda h: _bent(h, power=2)),
            "Inside the tanh the small term is a cube, with h three times, not a square.",
        ),
        Mistake(
            _mlp_with(lambda h: _bent(h, root=math.sqrt(2) / math.pi)),
            "The root is over the whole of 2 / π, about 0.798; yours is over the 2 alone.",
        ),
        Mistake(
            _mlp_with(lambda h: _bent(h, root=2 / math.pi)),
            "The root of 2 / π is missing: it is about 0.798, not 0.637.",
        ),
        Mistake(
            _mlp_with(lambda h: _bent(h, bracket=False)),
            "The root multiplies the whole bracket, h and the cube; yours multiplies h alone.",
        ),
        Mistake(
            _mlp_with(lambda h: _bent(h, half=1)), "The factor 1/2 in front is missing: far to the right it gives 2 h."
        ),
        Mistake(
            _mlp_with(lambda h: _bent(h, factor=False)),
            "The factor h in front is missing: what you have goes from 0 to 1, and the GELU goes from 0 to h.",
        ),
        Mistake(_mlp_with(lambda h: h), "There is no bend between the two layers: together they are one linear layer."),
        Mistake(
            _mlp_with(_tanh_gelu, twice=True), "The GELU stands between the layers only; nothing bends the result."
        ),
        Mistake(_mlp_with(_tanh_gelu, biases=(0, 0)), "The biases are missing: each layer is x @ w + b."),
        Mistake(_mlp_with(_tanh_gelu, biases=(0, 1)), "The bias of c_fc is missing."),
        Mistake(_mlp_with(_tanh_gelu, biases=(1, 0)), "The bias of c_proj is missing."),
        Mistake(
            _mlp_with(_tanh_gelu, added=True),
            "You add x. Adding to the stream is the block's work (section 6); the MLP returns its answer only.",
        ),
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


def _no_second_norm(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    middle = attn(ln_1(x)) + x
    return mlp(middle) + middle


def _answers_normalised(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    middle = ln_1(attn(x)) + x
    return ln_2(mlp(middle)) + middle


def _added_to_the_old(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    return mlp(ln_2(attn(ln_1(x)) + x)) + x


def _mlp_first(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    middle = mlp(ln_2(x)) + x
    return attn(ln_1(middle)) + middle


def _parts_exchanged(x: Tensor, ln_1: Layer, attn: Layer, ln_2: Layer, mlp: Layer) -> Tensor:
    return _mlp_first(x, ln_2, attn, ln_1, mlp)


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
        Mistake(_no_second_norm, "The MLP reads the stream as it is; it should read it through ln_2."),
        Mistake(
            _answers_normalised,
            "You normalise what a part answers. The LayerNorm stands in front of the part: it normalises what is read.",
        ),
        Mistake(
            _added_to_the_old,
            "The MLP's answer is added to the old x, so what attention added is lost. Add it to the new stream.",
        ),
        Mistake(_mlp_first, "Your MLP comes before attention; it is the other way round."),
        Mistake(
            _parts_exchanged, "Attention and the MLP have changed places: attn comes first, behind ln_1, then the MLP."
        ),
    ],
)
