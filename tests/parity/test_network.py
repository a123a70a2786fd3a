"""Our network against transformers', on the same random weights: logits, dropout, files, greedy and sampled ids."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decoding import Greedy, Multinomial, Sample, Tokenizer, generate_ids
from decoding.generate import GeneratedIds
from gpt2 import GPT2
from gpt2.hub import STORYBOOK
from gpt2.model import MLP, Attention
from tests.parity.reference import (
    COMBINATIONS,
    TOLERANCE,
    Pair,
    our_logits,
    our_processors,
    pad,
    paired,
    random_ids,
    random_prompts,
    random_reference,
    their_ids,
    their_logits,
)

pytestmark = pytest.mark.parity

# Odd on purpose: head counts, vocabularies, inner widths and positions that are multiples of nothing in particular.
SHAPES: dict[str, dict[str, Any]] = {
    "three heads": {"vocab_size": 97, "n_positions": 33, "n_embd": 36, "n_layer": 3, "n_head": 3},
    "odd inner width": {"vocab_size": 101, "n_positions": 24, "n_embd": 40, "n_layer": 2, "n_head": 5, "n_inner": 53},
    "one layer": {
        "vocab_size": 211, "n_positions": 64, "n_embd": 56, "n_layer": 1, "n_head": 7, "layer_norm_epsilon": 1e-2,
    },
    "one head": {"vocab_size": 1009, "n_positions": 17, "n_embd": 20, "n_layer": 2, "n_head": 1, "n_inner": 20},
    "heads of width one": {
        "vocab_size": 50, "n_positions": 40, "n_embd": 9, "n_layer": 5, "n_head": 9, "layer_norm_epsilon": 1e-3,
    },
}  # fmt: skip
# Each kind of dropout with a probability of its own, so that one in the wrong place shows.
UNEQUAL_DROPOUT = {"embd_pdrop": 0.1, "attn_pdrop": 0.3, "resid_pdrop": 0.5}
SMALL = {"initializer_range": 0.4}


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    """No progress bars between the dots of pytest."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


@pytest.fixture(scope="module", params=SHAPES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Every odd shape in turn."""
    return paired(random_reference(**SHAPES[request.param], **SMALL), tmp_path_factory.mktemp("shape"))


@pytest.fixture(scope="module")
def three_heads(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return paired(random_reference(**SHAPES["three heads"], **SMALL), tmp_path_factory.mktemp("three_heads"))


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The shape of `gpt2`, 124,439,808 parameters. The 500 MB on disk go when the last test is done."""
    folder = tmp_path_factory.mktemp("full_size")
    yield paired(random_reference(initializer_range=0.08), folder)
    shutil.rmtree(folder, ignore_errors=True)


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def prompts_of_many_lengths(model: GPT2) -> list[list[int]]:
    return random_prompts(model, [1, model.n_positions // 3, model.n_positions // 2, 2], seed=3)


# -- logits -----------------------------------------------------------------------------------------------------------


def test_logits_in_eval_mode(pair: Pair) -> None:
    ids = random_ids(pair.ours, 3, pair.ours.n_positions)  # up to the last position there is
    theirs = their_logits(pair.theirs, ids)
    assert 3 < float(theirs.abs().max()) < 30  # of order 10: neither near-ties nor a softmax that is all or nothing
    assert gap(our_logits(pair.ours, ids), theirs) < TOLERANCE


def test_logits_agree_to_rounding_in_float64(pair: Pair) -> None:
    """In float64 nothing can hide in the tolerance: not even the exact GELU's difference from the tanh one."""
    from transformers import GPT2LMHeadModel

    ids = random_ids(pair.ours, 2, pair.ours.n_positions)
    theirs = GPT2LMHeadModel.from_pretrained(pair.folder, dtype=torch.float64)
    ours = GPT2.from_pretrained(pair.folder, dtype=torch.float64)
    assert gap(our_logits(ours, ids), their_logits(theirs, ids)) < 1e-11


@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_of_padded_batches(pair: Pair, side: str) -> None:
    ids, mask = pad(prompts_of_many_lengths(pair.ours), side, with_id=pair.ours.n_vocab - 1)
    ours, theirs = our_logits(pair.ours, ids, mask), their_logits(pair.theirs, ids, mask)
    assert gap(ours[mask.bool()], theirs[mask.bool()]) < TOLERANCE
    assert bool(ours.isfinite().all())  # padding means nothing, but NaN would spread from it
    if side == "left":  # the mutant: a mask that nobody reads
        assert gap(our_logits(pair.ours, ids)[mask.bool()], theirs[mask.bool()]) > 100 * TOLERANCE


def test_full_size_in_eval_mode(full_size: Pair) -> None:
    assert sum(parameter.numel() for parameter in full_size.ours.parameters()) == 124_439_808
    ids = random_ids(full_size.ours, 2, 40)
    theirs = their_logits(full_size.theirs, ids)
    assert 3 < float(theirs.abs().max()) < 30
    assert gap(our_logits(full_size.ours, ids), theirs) < TOLERANCE


def test_full_size_at_the_last_position(full_size: Pair) -> None:
    """A sequence as long as the network takes. Logits of its end only: all of them would be 200 MB, twice."""
    ids = random_ids(full_size.ours, 1, 1024)
    with torch.no_grad():
        theirs = full_size.theirs(ids, logits_to_keep=3).logits
    assert gap(full_size.ours.open().extend(ids, keep=3), theirs) < TOLERANCE


@pytest.mark.parametrize("side", ["left", "right"])
def test_full_size_in_padded_batches(full_size: Pair, side: str) -> None:
    ids, mask = pad(random_prompts(full_size.ours, [12, 1, 7]), side, with_id=50256)
    ours, theirs = our_logits(full_size.ours, ids, mask), their_logits(full_size.theirs, ids, mask)
    assert gap(ours[mask.bool()], theirs[mask.bool()]) < TOLERANCE


# -- dropout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dropout", [{}, UNEQUAL_DROPOUT], ids=["0.1 everywhere", "unequal"])
@pytest.mark.parametrize("shape", SHAPES)
def test_logits_in_train_mode(shape: str, dropout: dict[str, float], attention: str, tmp_path: Path) -> None:
    """With the same seed both networks drop the same numbers."""
    theirs, ours, _ = paired(random_reference(**SHAPES[shape], **SMALL, **dropout), tmp_path)
    ids = random_ids(ours, 3, ours.n_positions)
    dropped = our_logits(ours, ids, seed=11)
    assert gap(dropped, their_logits(theirs, ids, seed=11, attention=attention)) < TOLERANCE
    assert gap(dropped, our_logits(ours, ids)) > 100 * TOLERANCE  # dropout did something
    assert gap(dropped, our_logits(ours, ids, seed=12)) > 100 * TOLERANCE  # and the seed decides what


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padded_batches_in_train_mode(three_heads: Pair, attention: str) -> None:
    ids, mask = pad(prompts_of_many_lengths(three_heads.ours), "left")
    ours = our_logits(three_heads.ours, ids, mask, seed=11)
    theirs = their_logits(three_heads.theirs, ids, mask, seed=11, attention=attention)
    assert gap(ours[mask.bool()], theirs[mask.bool()]) < TOLERANCE


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_full_size_in_train_mode(full_size: Pair, attention: str) -> None:
    ids = random_ids(full_size.ours, 2, 40)
    ours = our_logits(full_size.ours, ids, seed=11)
    assert gap(ours, their_logits(full_size.theirs, ids, seed=11, attention=attention)) < TOLERANCE


def test_gradients(three_heads: Pair) -> None:
    """Training goes where transformers' training goes: gradients of the loss, embeddings tied to the head included."""
    theirs, ours, _ = three_heads
    ids = random_ids(ours, 2, 20)
    theirs(ids, labels=ids).loss.backward()
    F.cross_entropy(ours(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    expected = {name.removeprefix("transformer."): p.grad for name, p in theirs.named_parameters()}
    assert expected.keys() == dict(ours.named_parameters()).keys()
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert gap(parameter.grad, expected[name]) < TOLERANCE, name
    theirs.zero_grad()
    ours.zero_grad()


# -- mutants: each of these well-known mistakes breaks the comparisons above ------------------------------------------


def exact_gelu(self: MLP, x: Tensor) -> Tensor:
    return self.resid_dropout(self.c_proj(F.gelu(self.c_fc(x))))


def heads_before_qkv(self: Attention, x: Tensor, visible: Tensor | None = None, cache: None = None) -> Tensor:
    """Takes (H, 3, D) out of c_attn instead of (3, H, D)."""
    B, T, C = x.shape
    q, k, v = self.c_attn(x).view(B, T, self.n_head, 3, C // self.n_head).transpose(1, 2).unbind(3)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)))


def no_scale(self: Attention, x: Tensor, visible: Tensor | None = None, cache: None = None) -> Tensor:
    """softmax(q k) v, without the division by the root of the head's width."""
    B, T, C = x.shape
    q, k, v = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).transpose(1, 3).unbind(2)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
    return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)))


def not_causal(self: Attention, x: Tensor, visible: Tensor | None = None, cache: None = None) -> Tensor:
    B, T, C = x.shape
    q, k, v = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).transpose(1, 3).unbind(2)
    y = F.scaled_dot_product_attention(q, k, v)
    return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)))


METHODS: dict[str, tuple[type[nn.Module], Callable[..., Tensor]]] = {
    "erf GELU": (MLP, exact_gelu),
    "heads before q, k, v": (Attention, heads_before_qkv),
    "attention without its scale": (Attention, no_scale),
    "attention sees the future": (Attention, not_causal),
}


@pytest.mark.parametrize("mutant", METHODS)
def test_a_wrong_formula_is_caught(three_heads: Pair, mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = random_ids(three_heads.ours, 3, three_heads.ours.n_positions)
    theirs = their_logits(three_heads.theirs, ids)
    part, wrong = METHODS[mutant]
    monkeypatch.setattr(part, "forward", wrong)
    assert gap(our_logits(three_heads.ours, ids), theirs) > 10 * TOLERANCE


def transpose_attention_output(model: GPT2) -> None:
    weight = model.h[0].attn.c_proj.weight
    weight.data = weight.data.T.contiguous()


def transpose_qkv(model: GPT2) -> None:
    """Reads c_attn as if the file held (out, in)."""
    weight = model.h[0].attn.c_attn.weight
    weight.data = weight.data.reshape(weight.shape[1], weight.shape[0]).T.contiguous()


def shift_positions(model: GPT2) -> None:
    model.wpe.weight.data = model.wpe.weight.data.roll(-1, dims=0)


def drop_final_norm(model: GPT2) -> None:
    model.ln_f = nn.Identity()


def default_epsilon(model: GPT2) -> None:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5


def forget_a_bias(model: GPT2) -> None:
    model.h[0].attn.c_attn.bias.data.zero_()


def swap_layers(model: GPT2) -> None:
    model.h[0], model.h[1] = model.h[1], model.h[0]


MISTAKES: dict[str, tuple[Callable[[GPT2], None], str]] = {
    "c_proj transposed": (transpose_attention_output, "three heads"),
    "c_attn transposed": (transpose_qkv, "three heads"),
    "positions off by one": (shift_positions, "three heads"),
    "no ln_f": (drop_final_norm, "three heads"),
    "a forgotten bias": (forget_a_bias, "three heads"),
    "layers out of order": (swap_layers, "three heads"),
    "epsilon not from the config": (default_epsilon, "heads of width one"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_part_is_caught(mistake: str, tmp_path: Path) -> None:
    spoil, shape = MISTAKES[mistake]
    theirs, ours, _ = paired(random_reference(**SHAPES[shape], **SMALL), tmp_path)
    ids = random_ids(ours, 3, ours.n_positions)
    expected = their_logits(theirs, ids)
    assert gap(our_logits(ours, ids), expected) < TOLERANCE
    spoil(ours)
    assert gap(our_logits(ours, ids), expected) > 10 * TOLERANCE


def without_embedding_dropout(model: GPT2) -> None:
    model.embd_dropout.p = 0.0


def without_attention_dropout(model: GPT2) -> None:
    model.h[0].attn.attn_pdrop = 0.0


def without_dropout_behind_attention(model: GPT2) -> None:
    model.h[0].attn.resid_dropout.p = 0.0


def without_dropout_behind_mlp(model: GPT2) -> None:
    model.h[-1].mlp.resid_dropout.p = 0.0


def attention_and_residual_dropout_exchanged(model: GPT2) -> None:
    for block in model.h:
        block.attn.attn_pdrop, block.attn.resid_dropout.p = block.attn.resid_dropout.p, block.attn.attn_pdrop


def dropout_on_the_whole_residual(model: GPT2) -> None:
    """Drops from the sum instead of from the branch that is added to it."""
    dropout = model.h[0].attn.resid_dropout

    def forward(x: Tensor, visible: Tensor | None = None, cache: None = None) -> Tensor:
        block = model.h[0]
        dropout.eval()
        x = F.dropout(x + block.attn(block.ln_1(x), visible, cache), dropout.p, model.training)
        return x + block.mlp(block.ln_2(x))

    model.h[0].forward = forward


DROPOUT_MISTAKES = [
    without_embedding_dropout,
    without_attention_dropout,
    without_dropout_behind_attention,
    without_dropout_behind_mlp,
    attention_and_residual_dropout_exchanged,
    dropout_on_the_whole_residual,
]


@pytest.mark.parametrize("spoil", DROPOUT_MISTAKES)
def test_a_missing_or_misplaced_dropout_is_caught(spoil: Callable[[GPT2], None], tmp_path: Path) -> None:
    reference = random_reference(**SHAPES["three heads"], **SMALL, **UNEQUAL_DROPOUT)
    theirs, ours, _ = paired(reference, tmp_path)
    ids = random_ids(ours, 3, ours.n_positions)
    spoil(ours)
    assert gap(our_logits(ours, ids), their_logits(theirs, ids)) < TOLERANCE  # eval mode cannot tell
    assert gap(our_logits(ours, ids, seed=11), their_logits(theirs, ids, seed=11)) > 100 * TOLERANCE


# -- files that transformers writes -----------------------------------------------------------------------------------


def names_in(folder: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return set(file.keys())


def test_a_checkpoint_in_several_files(three_heads: Pair, tmp_path: Path) -> None:
    _, ours, _ = paired(three_heads.theirs, tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert not (tmp_path / "model.safetensors").exists()
    assert all(torch.equal(ours.state_dict()[name], p) for name, p in three_heads.ours.state_dict().items())


def test_names_with_and_without_prefix(three_heads: Pair, tmp_path: Path) -> None:
    assert "transformer.h.0.attn.c_attn.weight" in names_in(three_heads.folder)
    three_heads.theirs.transformer.save_pretrained(tmp_path)  # a GPT2Model, the network below the head
    assert "h.0.attn.c_attn.weight" in names_in(tmp_path)
    ours = GPT2.from_pretrained(tmp_path)
    assert all(torch.equal(ours.state_dict()[name], p) for name, p in three_heads.ours.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_files_of_other_precisions(dtype: torch.dtype, tmp_path: Path) -> None:
    from transformers import GPT2LMHeadModel

    random_reference(**SHAPES["three heads"], **SMALL).to(dtype).save_pretrained(tmp_path)
    ours, theirs = GPT2.from_pretrained(tmp_path), GPT2LMHeadModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert ours.wte.weight.dtype == torch.float32
    ids = random_ids(ours, 3, ours.n_positions)
    assert gap(our_logits(ours, ids), their_logits(theirs, ids)) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_accurate_as_theirs(three_heads: Pair, dtype: torch.dtype) -> None:
    """Rounding differs at every operation, so each is held to the float32 logits: ours may err half as much again."""
    from transformers import GPT2LMHeadModel

    ids = random_ids(three_heads.ours, 3, three_heads.ours.n_positions)
    exact = our_logits(three_heads.ours, ids)
    theirs = their_logits(GPT2LMHeadModel.from_pretrained(three_heads.folder, dtype=dtype), ids)
    ours = our_logits(GPT2.from_pretrained(three_heads.folder, dtype=dtype), ids)
    assert ours.dtype == theirs.dtype == dtype
    assert float((ours - exact).abs().mean()) < 1.5 * float((theirs - exact).abs().mean())


def test_the_config_that_transformers_writes(pair: Pair) -> None:
    """Today's files spell out what the shape tests above gave, and settings that change nothing here."""
    written = json.loads((pair.folder / "config.json").read_text(encoding="utf-8"))
    ours = {"vocab_size" if name == "n_vocab" else name: value for name, value in vars(pair.ours.config).items()}
    assert ours == {name: written[name] for name in ours}


# -- greedy -----------------------------------------------------------------------------------------------------------


def decided_by(generation: GeneratedIds) -> float:
    """The smallest lead that a chosen id had over the second best. Rounding decides nothing where it is large."""
    best = torch.stack([step.stages[-1].logits.topk(2).values for step in generation.trace])  # (steps, 2)
    return float((best[:, 0] - best[:, 1]).min())


def assert_same_greedy_ids(pair: Pair, prompts: list[list[int]], max_new_tokens: int, eos_id: int | None) -> None:
    ours = generate_ids(pair.ours, prompts, Greedy(), max_new_tokens=max_new_tokens, eos_id=eos_id, seed=0, trace=True)
    assert min(map(decided_by, ours)) > 2 * TOLERANCE  # both logits may be off
    assert [row.ids for row in ours] == their_ids(pair.theirs, prompts, max_new_tokens, eos_id=eos_id)


def test_greedy_ids_of_a_batch(pair: Pair) -> None:
    """Prompts of different lengths: left-padded there, ragged here (law 7)."""
    prompts = prompts_of_many_lengths(pair.ours)
    room = pair.ours.n_positions - max(map(len, prompts))
    assert_same_greedy_ids(pair, prompts, room, None)  # up to the last position


def test_greedy_ids_end_at_eos(three_heads: Pair) -> None:
    prompts = random_prompts(three_heads.ours, [3, 9, 1, 6], seed=3)
    free = their_ids(three_heads.theirs, prompts, 20)
    eos_id = free[0][4]
    ended = their_ids(three_heads.theirs, prompts, 20, eos_id=eos_id)
    assert len(ended[0]) <= 5 and len({len(row) for row in ended}) > 1  # rows end at different steps
    assert_same_greedy_ids(three_heads, prompts, 20, eos_id)


def test_full_size_greedy_ids(full_size: Pair) -> None:
    assert_same_greedy_ids(full_size, random_prompts(full_size.ours, [8, 3], seed=1), 24, None)


# -- sampling: the same generator draws from the same distribution ----------------------------------------------------


def sampled(pair: Pair, prompts: list[list[int]], settings: dict[str, float], seed: int, **how: Any) -> list[list[int]]:
    strategy = Sample(*our_processors(settings))
    ours = generate_ids(pair.ours, prompts, strategy, seed=seed, draw=Multinomial, **how)
    return [row.ids for row in ours]


@pytest.mark.parametrize("settings", COMBINATIONS, ids=str)
def test_sampled_ids(three_heads: Pair, settings: dict[str, float]) -> None:
    """A draw could only differ where two ids are within 1e-5 of a tie: here, one draw in about 100,000."""
    prompts = random_prompts(three_heads.ours, [3, 9, 1], seed=3)
    for seed in (0, 1):
        ours = sampled(three_heads, prompts, settings, seed, max_new_tokens=12, num_samples=2)
        assert ours == their_ids(three_heads.theirs, prompts, 12, seed=seed, num_samples=2, **settings)
    assert len(set(map(tuple, ours))) == 6  # six samples, all different


def test_sampled_ids_show_every_setting(three_heads: Pair) -> None:
    """The settings above are strong enough to matter: each combination writes a text of its own."""
    prompt = random_prompts(three_heads.ours, [5])
    texts = [sampled(three_heads, prompt, one, 3, max_new_tokens=20, num_samples=3) for one in COMBINATIONS]
    assert len(set(map(str, texts))) == len(COMBINATIONS)


def test_sampled_ids_depend_on_the_order_of_processors(three_heads: Pair) -> None:  # law 4
    """`generate` always takes temperature, top-k, top-p in this order. We do what the user wrote."""
    prompt, settings = random_prompts(three_heads.ours, [5]), {"temperature": 1.6, "top_k": 30, "top_p": 0.8}
    theirs = their_ids(three_heads.theirs, prompt, 25, seed=3, **settings)
    for processors, same in ((our_processors(settings), True), (our_processors(settings)[::-1], False)):
        ours = generate_ids(three_heads.ours, prompt, Sample(*processors), max_new_tokens=25, seed=3, draw=Multinomial)
        assert (ours[0].ids == theirs[0]) is same


def test_sampled_ids_end_at_eos(three_heads: Pair) -> None:
    prompt = random_prompts(three_heads.ours, [5])
    eos_id = their_ids(three_heads.theirs, prompt, 20, seed=3)[0][9]
    theirs = their_ids(three_heads.theirs, prompt, 20, seed=3, eos_id=eos_id)
    assert len(theirs[0]) <= 10
    assert sampled(three_heads, prompt, {}, 3, max_new_tokens=20, eos_id=eos_id) == theirs


def test_a_row_that_ends_leaves_the_draw(three_heads: Pair) -> None:
    """Where a law decides otherwise: ended rows leave our batch, while transformers goes on drawing for them.

    So the other rows' draws are the same up to that step only. It is why `Multinomial` is exempt from laws 5 and 6.
    """
    prompts = random_prompts(three_heads.ours, [5, 2])
    eos_id = their_ids(three_heads.theirs, prompts, 20, seed=3)[0][7]
    theirs = their_ids(three_heads.theirs, prompts, 20, seed=3, eos_id=eos_id)
    ours = sampled(three_heads, prompts, {}, 3, max_new_tokens=20, eos_id=eos_id)
    first_end = min(map(len, theirs))
    assert first_end < max(map(len, theirs))
    assert [row[:first_end] for row in ours] == [row[:first_end] for row in theirs]
    assert ours != theirs


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.9, "top_k": 50, "top_p": 0.95}], ids=str)
def test_full_size_sampled_ids(full_size: Pair, settings: dict[str, float]) -> None:
    prompts = random_prompts(full_size.ours, [6, 2], seed=1)
    ours = sampled(full_size, prompts, settings, 42, max_new_tokens=16)
    assert ours == their_ids(full_size.theirs, prompts, 16, seed=42, **settings)


# -- the bundled model ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled(storybook: GPT2) -> Pair:
    from transformers import GPT2LMHeadModel

    return Pair(GPT2LMHeadModel.from_pretrained(STORYBOOK, dtype=torch.float32), storybook, STORYBOOK)


STORIES = ["Once upon a time", "The little bird said:", "Tom and his dog went to the", '"I don\'t know", she said.']


def test_storybook_logits(bundled: Pair, tokenizer: Tokenizer) -> None:
    ids, mask = pad([tokenizer.encode(text) for text in STORIES], "left")
    ours, theirs = our_logits(bundled.ours, ids, mask), their_logits(bundled.theirs, ids, mask)
    assert gap(ours[mask.bool()], theirs[mask.bool()]) < TOLERANCE


def test_storybook_greedy_ids(bundled: Pair, tokenizer: Tokenizer) -> None:
    prompts = [tokenizer.encode(text) for text in STORIES]
    assert_same_greedy_ids(bundled, prompts, 60, tokenizer.eos_id)


def test_storybook_sampled_ids(bundled: Pair, tokenizer: Tokenizer) -> None:
    prompts, settings = [tokenizer.encode(STORIES[0])], {"temperature": 0.8, "top_k": 40, "top_p": 0.9}
    ours = sampled(bundled, prompts, settings, 7, max_new_tokens=40, eos_id=tokenizer.eos_id)
    assert ours == their_ids(bundled.theirs, prompts, 40, seed=7, eos_id=tokenizer.eos_id, **settings)


def test_storybook_writes_stories_not_noise(bundled: Pair, tokenizer: Tokenizer) -> None:
    """The weights are trained ones, and their text is likelier than chance by far: 1 in 50257 a token."""
    ids = torch.tensor([tokenizer.encode("Once upon a time, there was a little girl who liked to play in the park.")])
    logprobs = our_logits(bundled.ours, ids)[0, :-1].log_softmax(dim=-1)
    mean = float(logprobs.gather(-1, ids[0, 1:, None]).mean())
    assert mean > math.log(1 / 50)
