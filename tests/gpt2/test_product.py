"""A few rows times a matrix, in parts: the same numbers as in one piece, and only where parts are faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gpt2 import GPT2
from gpt2.product import product
from tests.gpt2.small import ids, small_model
from tests.gpt2.test_session import walk

Threads = Callable[[int], None]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """Says how many threads there are. What they share out does not depend on whether they exist, nor on MKL."""
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    return lambda count: monkeypatch.setattr(torch, "get_num_threads", lambda: count)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Into how many parts each product since then was cut."""
    cut: list[int] = []
    bmm = torch.bmm

    def counted(inputs: Tensor, matrices: Tensor) -> Tensor:
        cut.append(len(matrices))
        return bmm(inputs, matrices)

    monkeypatch.setattr(torch, "bmm", counted)
    return cut


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 40])
@pytest.mark.parametrize("rows", [0, 1, 2, 7, 32, 33])
@pytest.mark.parametrize("shape", [(256, 10), (7, 5), (20, 64), (2, 3)])
def test_equals_the_usual_product(count: int, rows: int, shape: tuple[int, int], threads: Threads) -> None:
    """To rounding: sums of up to 256 numbers of order 1."""
    x, matrix, bias = numbers(rows, shape[0]), numbers(*shape, seed=1), numbers(shape[1], seed=2)
    threads(count)
    got, shifted = product(x, matrix), product(x, matrix, bias)
    expected = x.double() @ matrix.double()
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(shifted.double(), expected + bias, rtol=0, atol=1e-4)


def test_each_thread_gets_parts(parts: list[int], threads: Threads) -> None:
    for count, wanted in ((1, []), (2, [4]), (3, [4]), (4, [8]), (7, [8]), (8, [16]), (64, [128])):
        threads(count)
        product(numbers(1, 768), numbers(768, 3))
        assert parts == wanted
        parts.clear()
    threads(8)
    for rows, n_in, wanted in (
        (1, 36, [4]),  # 8 or 16 parts of 36 rows would not be equal
        (1, 33, []),
        (1, 7, []),
        (12, 768, [16]),
        (13, 768, [8]),  # 16 results of 13 rows would be more than a quarter of the matrix
        (32, 128, []),
    ):
        product(numbers(rows, n_in), numbers(n_in, 3))
        assert parts == wanted
        parts.clear()


def test_the_usual_product_where_there_is_no_mkl(
    parts: list[int], threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(2)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    x, matrix = numbers(1, 16), numbers(16, 6, seed=1)
    assert torch.equal(product(x, matrix), x @ matrix) and not parts


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 33},
        {"dtype": torch.float64},
        {"dtype": torch.bfloat16},
        {"dtype": torch.float16},
        {"columns_first": True},
    ],
)
def test_what_is_faster_in_one_piece_stays_in_one_piece(
    change: dict[str, Any], parts: list[int], threads: Threads
) -> None:
    dtype = change.get("dtype", torch.float32)
    x, matrix = numbers(change.get("rows", 1), 768, dtype=dtype), numbers(768, 6, seed=1, dtype=dtype)
    if "columns_first" in change:
        matrix = matrix.t().contiguous().t()
    threads(2)
    assert torch.equal(product(x, matrix), x @ matrix)
    bias = numbers(6, seed=2, dtype=dtype)
    assert torch.equal(product(x, matrix, bias), torch.addmm(bias, x, matrix))
    assert not parts


def test_gradients_are_those_of_the_usual_product(parts: list[int], threads: Threads) -> None:
    x, matrix, bias = (value.requires_grad_() for value in (numbers(3, 48), numbers(48, 5, seed=1), numbers(5, seed=2)))
    weights = numbers(3, 5, seed=3)
    threads(2)
    got = torch.autograd.grad((product(x, matrix, bias) * weights).sum(), (x, matrix, bias))
    assert parts == [4]
    expected = torch.autograd.grad((torch.addmm(bias, x, matrix) * weights).sum(), (x, matrix, bias))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def loaded(model: GPT2) -> GPT2:
    """As from_pretrained leaves it: the head as (in, out) in memory."""
    model.wte.weight.data = model.wte.weight.data.t().contiguous().t()
    return model


@pytest.mark.parametrize("seed", range(3))
def test_a_walk_beside_the_naive_definition(seed: int, parts: list[int], threads: Threads) -> None:  # law 7
    """Extend, select and rewind in any order, ragged, up to the edge: within 1e-4 with logits of order 10."""
    model = loaded(small_model())
    threads(2)
    walk(model, seed, 40, model.open())
    assert len(parts) > 100


def test_a_step_is_made_of_parts(parts: list[int], threads: Threads) -> None:
    model = loaded(small_model())
    threads(2)
    model.open().extend(ids(1, 1))
    assert parts == [4] * (4 * model.n_layer + 1)  # the head, too
