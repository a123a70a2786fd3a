"""GPT2: the network against an independent one, its names, its mask, its errors, its modes and precisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2 import GPT2, PUBLISHED, GPT2Config
from tests.gpt2.small import SHAPE, ids, small_config, small_model, state, write_model

V, P = SHAPE["n_vocab"], SHAPE["n_positions"]


# --- the function itself ---


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def reference(model: GPT2, row: list[int], gelu: Callable[[np.ndarray], np.ndarray] = gelu_tanh) -> np.ndarray:
    """GPT-2 once more, for one row, in numpy and float64, one head and one position after the other. -> (T, V)"""
    w = {name: parameter.detach().double().numpy() for name, parameter in model.named_parameters()}
    C, D, eps = model.config.n_embd, model.config.n_embd // model.config.n_head, model.config.layer_norm_epsilon

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean()
        return centred / np.sqrt((centred**2).mean() + eps) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    stream = [w["wte.weight"][i] + w["wpe.weight"][t] for t, i in enumerate(row)]
    for layer in range(model.config.n_layer):
        qkv = [linear(norm(x, f"h.{layer}.ln_1"), f"h.{layer}.attn.c_attn") for x in stream]  # (3C,) each
        for t in range(len(row)):
            heads = []
            for start in range(0, C, D):
                q = qkv[t][start : start + D]
                scores = np.array([q @ qkv[s][C + start : C + start + D] / math.sqrt(D) for s in range(t + 1)])
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                values = (qkv[s][2 * C + start : 2 * C + start + D] for s in range(t + 1))
                heads.append(sum(p * v for p, v in zip(weights, values, strict=True)))
            stream[t] = stream[t] + linear(np.concatenate(heads), f"h.{layer}.attn.c_proj")
        for t, x in enumerate(stream):
            hidden = gelu(linear(norm(x, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc"))
            stream[t] = x + linear(hidden, f"h.{layer}.mlp.c_proj")
    return np.stack([norm(x, "ln_f") @ w["wte.weight"].T for x in stream])


@pytest.mark.parametrize("changes", [{}, {"n_layer": 1, "n_head": 1}, {"n_inner": 40, "layer_norm_epsilon": 0.1}])
def test_equals_an_independent_network(changes: dict[str, float]) -> None:
    """To 1e-9 in float64, with logits of order 10; the exact GELU, PyTorch's default, misses by far more."""
    model = small_model(dtype=torch.float64, **changes)
    row = ids(11)
    logits = model(row[None])[0].detach().numpy()
    assert 3 < logits.std() < 30
    np.testing.assert_allclose(logits, reference(model, row.tolist()), rtol=0, atol=1e-9)
    assert np.abs(logits - reference(model, row.tolist(), gelu_erf)).max() > 1e-3  # the mutant


def test_float32_equals_an_independent_network() -> None:
    model = small_model()
    row = ids(P)
    difference = model(row[None])[0].detach().numpy() - reference(model, row.tolist())
    assert np.abs(difference).max() < 1e-4  # logits of order 10


def test_shape_dtype_and_rows() -> None:
    """(B, T) -> (B, T, V), and a row in a batch is what it is alone (to rounding)."""
    model = small_model()
    batch = ids(5, 9)
    logits = model(batch)
    assert logits.shape == (5, 9, V)
    assert logits.dtype == torch.float32
    for r in range(5):
        torch.testing.assert_close(logits[r], model(batch[r : r + 1])[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(model(batch.int()), logits, rtol=0, atol=0)
    assert model(ids(1, 1)).shape == (1, 1, V)
    assert model(ids(2, P)).shape == (2, P, V)


def test_a_batch_without_rows_has_no_logits() -> None:
    assert small_model()(torch.zeros(0, 4, dtype=torch.int64)).shape == (0, 4, V)


def test_a_later_id_moves_no_earlier_logits() -> None:
    """Causal: bit for bit. And every id moves its own logits and those after it."""
    model = small_model()
    one = ids(1, 12)
    logits = model(one)
    for t in range(12):
        other = one.clone()
        other[0, t] = (other[0, t] + 1) % V
        changed = (model(other) != logits)[0].any(dim=-1)  # (T,)
        assert changed.tolist() == [False] * t + [True] * (12 - t)


# --- names, tying, the start ---


def test_names_and_shapes_are_the_checkpoints() -> None:
    """The tensor table of the official gpt2 file, without its mask buffers."""
    C = 768
    table = {"wte.weight": (50257, C), "wpe.weight": (1024, C), "ln_f.weight": (C,), "ln_f.bias": (C,)}
    for i in range(12):
        table |= {
            f"h.{i}.ln_1.weight": (C,),
            f"h.{i}.ln_1.bias": (C,),
            f"h.{i}.attn.c_attn.weight": (C, 3 * C),
            f"h.{i}.attn.c_attn.bias": (3 * C,),
            f"h.{i}.attn.c_proj.weight": (C, C),
            f"h.{i}.attn.c_proj.bias": (C,),
            f"h.{i}.ln_2.weight": (C,),
            f"h.{i}.ln_2.bias": (C,),
            f"h.{i}.mlp.c_fc.weight": (C, 4 * C),
            f"h.{i}.mlp.c_fc.bias": (4 * C,),
            f"h.{i}.mlp.c_proj.weight": (4 * C, C),
            f"h.{i}.mlp.c_proj.bias": (C,),
        }
    assert len(table) == 160 - 12  # the file has 160 tensors, 12 of them mask buffers
    with torch.device("meta"):
        model = GPT2(PUBLISHED["gpt2"].config)
    assert {name: tuple(parameter.shape) for name, parameter in model.named_parameters()} == table
    assert set(model.state_dict()) == set(table)  # no buffers: a state dict is a checkpoint


def test_the_head_is_the_token_embedding() -> None:
    """No lm_head among the parameters; who changes the embedding of an id changes its logit."""
    model = small_model()
    assert not [name for name, _ in model.named_parameters() if "head" in name]
    row = ids(1, 5) % 90  # 96 is not among them
    before = model(row)
    with torch.no_grad():
        model.wte.weight[96] += 1.0
    changed = (model(row) != before)[0].any(dim=0)  # (V,)
    assert changed.nonzero().flatten().tolist() == [96]


def test_fresh_weights_are_gpt2s() -> None:
    """Normal with initializer_range; smaller by sqrt(2 * layers) what writes to the residual stream; the rest 0, 1."""
    config = GPT2Config(n_vocab=500, n_positions=200, n_embd=128, n_layer=8, n_head=4, initializer_range=0.05)
    for name, parameter in GPT2(config).named_parameters():
        if name.endswith("c_proj.weight"):
            expected = 0.05 / math.sqrt(16)
        elif name.endswith(("wte.weight", "wpe.weight", "c_attn.weight", "c_fc.weight")):
            expected = 0.05
        else:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith(".weight")))), name
            continue
        # at least 16,384 draws: the standard error of their deviation is below 0.6 %
        assert parameter.std().item() == pytest.approx(expected, rel=0.03), name
        assert abs(parameter.mean().item()) < 0.05 * expected, name


def test_gradients_reach_every_parameter() -> None:
    model = small_model().train()
    batch = ids(4, P)
    F.cross_entropy(model(batch)[:, :-1].flatten(0, 1), batch[:, 1:].flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


# --- attention_mask ---


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_row_equals_the_row_alone(side: str) -> None:  # law 7
    """To 1e-4 with logits of order 10, whatever stands in the padding; a whole row of padding does no harm."""
    model = small_model()
    lengths = [7, 1, 10, 4, 0]
    batch, mask = ids(5, 10, seed=1), torch.zeros(5, 10, dtype=torch.int64)
    for r, length in enumerate(lengths):
        mask[r, 10 - length :] = side == "left"
        mask[r, :length] += side == "right"
    mask.clamp_(max=1)
    assert mask.sum(dim=1).tolist() == lengths
    logits = model(batch, mask)
    assert logits.isfinite().all()
    for r, length in enumerate(lengths[:4]):
        real = mask[r].bool()
        torch.testing.assert_close(logits[r, real], model(batch[r, real][None])[0], rtol=0, atol=1e-4)
        unmasked = model(batch[r : r + 1])[0, real]  # the mutant: padding is seen, and shifts positions
        if side == "left" and length < 10:
            assert (logits[r, real] - unmasked).abs().max() > 1


def test_a_mask_of_ones_changes_nothing() -> None:
    model = small_model()
    batch = ids(3, 8)
    for mask in (torch.ones(3, 8), torch.ones(3, 8, dtype=torch.bool), torch.ones(3, 8, dtype=torch.int32)):
        torch.testing.assert_close(model(batch, mask), model(batch), rtol=0, atol=1e-5)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    """Bit for bit, at the real positions."""
    model = small_model()
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0]])
    one = ids(3, 6)
    other = torch.where(mask.bool(), one, (one + 13) % V)
    assert torch.equal(model(one, mask)[mask.bool()], model(other, mask)[mask.bool()])


def test_arguments_are_not_changed() -> None:  # law 11
    batch, mask = ids(2, 6), torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    copies = batch.clone(), mask.clone()
    small_model()(batch, mask)
    assert torch.equal(batch, copies[0])
    assert torch.equal(mask, copies[1])


# --- errors ---


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.zeros(5, dtype=torch.int64), r"shape \(rows, positions\).* of shape \(5,\)"),
        (torch.zeros(1, 2, 3, dtype=torch.int64), r"shape \(rows, positions\).* of shape \(1, 2, 3\)"),
        (torch.zeros(2, 0, dtype=torch.int64), "at least one position"),
        (torch.zeros(1, 3), "whole numbers.*torch.float32"),
        (torch.zeros(1, 3, dtype=torch.bool), "whole numbers.*torch.bool"),
        (torch.tensor([[0, -1]]), "between 0 and 96; got some from -1 to 0"),
        (torch.tensor([[3, 97]]), "between 0 and 96; got some from 3 to 97"),
        (torch.zeros(1, P + 3, dtype=torch.int64), f"{P} positions; got {P + 3} ids, 3 too many"),
    ],
)
def test_bad_ids_are_explained(bad: Tensor, words: str) -> None:  # law 13, law 9
    model = small_model()
    with pytest.raises(ValueError, match=words):
        model(bad)
    with pytest.raises(ValueError, match=words):
        model.open().extend(bad)


def test_a_mask_of_another_shape_is_explained() -> None:  # law 13
    with pytest.raises(ValueError, match=r"attention_mask must have the shape of the ids, \(2, 3\); got \(2, 4\)"):
        small_model()(ids(2, 3), torch.ones(2, 4))


# --- modes ---


def test_from_pretrained_is_in_eval_mode_and_a_fresh_model_in_train_mode(storybook: GPT2) -> None:
    assert not storybook.training
    assert not any(module.training for module in storybook.modules())
    assert GPT2(small_config()).training


@pytest.mark.parametrize("place", ["embd_pdrop", "attn_pdrop", "resid_pdrop"])
def test_each_dropout_acts_in_train_mode_only(place: str) -> None:
    """On embeddings, attention weights and residual branches: each alone changes logits, none does in eval mode."""
    pdrops = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    model = small_model(**{**pdrops, place: 0.3})
    batch = ids(2, 9)
    quiet = model(batch)
    assert torch.equal(model(batch), quiet)
    model.train()
    assert (model(batch) - quiet).abs().max() > 0.1
    torch.manual_seed(5)
    first = model(batch)
    torch.manual_seed(5)
    assert torch.equal(model(batch), first)  # the global generator decides
    without = small_model(**pdrops).train()
    assert torch.equal(without(batch), quiet)


@pytest.mark.parametrize("branch", ["attn", "mlp"])
def test_both_residual_branches_have_dropout(branch: str) -> None:
    """With the other branch silenced, so that its dropout has nothing to act on."""
    model = small_model(embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.3)
    silenced = "mlp" if branch == "attn" else "attn"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f".{silenced}.c_proj." in name:
                parameter.zero_()
    quiet = model(ids(2, 9))
    assert (model.train()(ids(2, 9)) - quiet).abs().max() > 0.1


def test_dropout_keeps_the_mean() -> None:
    """What survives is scaled up by 1 / (1 - p): embeddings, averaged over many draws, are those of eval mode."""
    model = small_model(n_layer=1, embd_pdrop=0.5)
    x = model.wte(ids(1, 4))
    model.train()
    with torch.no_grad():
        mean = sum(model.embd_dropout(x) for _ in range(4000)) / 4000
    # the deviation of one draw is |x|, of the mean |x| / 63; five of these for 128 numbers
    assert ((mean - x).abs() <= 5 / 63 * x.abs() + 1e-6).all()


# --- precisions and devices ---


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-4), (torch.float32, 1e-4), (torch.float16, 0.2), (torch.bfloat16, 1.5)],
)
def test_precisions_load_and_run(dtype: torch.dtype, tolerance: float, tmp_path: Path) -> None:
    """Logits of order 10 (at most about 30), to a tolerance of some of the format's own steps at that size."""
    model = small_model()
    write_model(tmp_path, model)
    loaded = GPT2.from_pretrained(tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in loaded.parameters()} == {dtype}
    logits = loaded(ids(2, 9))
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.double(), model(ids(2, 9)).double(), rtol=0, atol=tolerance)
    session = loaded.open()
    last = session.extend(ids(2, 9))[:, -1]
    assert last.dtype == dtype
    torch.testing.assert_close(last.double(), logits[:, -1].double(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64, "float32", None])
def test_a_dtype_that_makes_no_sense(dtype: Any, tmp_path: Path) -> None:  # law 13
    with pytest.raises(ValueError, match=r"dtype must be torch\.float64, float32, bfloat16, float16 or int8; got"):
        GPT2.from_pretrained(tmp_path, dtype=dtype)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "meta"])
def test_a_device_that_cannot_be_used(device: str) -> None:  # law 13
    """`meta` has no numbers at all. The sentence comes before anything is read."""
    with pytest.raises(ValueError, match=r"device .* cannot be used here .*\"cpu\" always can") as error:
        GPT2.from_pretrained("storybook", device=device)
    assert repr(device) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_bundled_model_predicts() -> None:
    """Its own file, not random weights: a story's commonest beginning is likelier than one in three after each id."""
    model = GPT2.from_pretrained("storybook", device=torch.device("cpu"))
    assert (model.n_vocab, model.n_positions, model.device.type) == (50257, 512, "cpu")
    once_upon_a_time = torch.tensor([[7454, 2402, 257, 640]])
    with torch.no_grad():
        probabilities = model(once_upon_a_time).softmax(dim=-1)[0]
    for t in range(3):
        assert probabilities[t, once_upon_a_time[0, t + 1]] > 1 / 3


def test_a_state_dict_is_a_checkpoint(tmp_path: Path) -> None:
    """What `state_dict` gives can be saved, loaded by name, and is the same network bit for bit."""
    model = small_model()
    write_model(tmp_path, model, state(model))
    assert torch.equal(GPT2.from_pretrained(tmp_path)(ids(2, 9)), model(ids(2, 9)))
