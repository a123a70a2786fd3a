"""The compiled steps: the same network as model.py, in every precision, and bit for bit the same for every batch."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gpt2 import GPT2
from gpt2.int8 import quantize
from gpt2.native import CompilerError, build, find_compiler, load_library
from tests.gpt2.small import SHAPE, ids, small_model
from tests.gpt2.test_int8 import widened
from tests.gpt2.test_session import walk

pytestmark = pytest.mark.compiler

V, P = SHAPE["n_vocab"], SHAPE["n_positions"]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int8]
# Widths and vocabularies that are no multiples of a register's 8 or 16 numbers, of the 2, 3, 4 or 24 columns that are
# computed at once, or of the number of threads; one that fills registers exactly; one column, one head; one so wide
# that its rows are multiplied in several parts.
SHAPES: list[dict[str, float]] = [
    {},
    {"n_embd": 20, "n_head": 4, "n_inner": 37, "n_vocab": 53},
    {"n_embd": 64, "n_head": 2, "n_vocab": 101, "n_layer": 1},
    {"n_embd": 36, "n_head": 1, "n_layer": 1, "n_inner": 3},
    {"n_layer": 1, "n_inner": 1603},
]


def in_precision(dtype: torch.dtype, **changes: float) -> GPT2:
    return quantize(small_model(**changes)) if dtype == torch.int8 else small_model(dtype=dtype, **changes)


def in_float32(model: GPT2) -> GPT2:
    """The network with exactly the weights of `model`, and nothing else rounded."""
    if model.wte.weight.dtype == torch.int8:
        return widened(model)
    exact = GPT2(model.config)
    exact.load_state_dict(model.state_dict())
    return exact.eval()


def all_logits(model: GPT2, rows: Tensor) -> Tensor:
    return model.open().extend(rows, keep=rows.shape[1])  # (R, T, V)


@pytest.fixture
def notes(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, logger="gpt2"):
        yield caplog


# --- the same network ---


@pytest.mark.parametrize("changes", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_a_walk_beside_the_naive_definition(changes: dict[str, float], seed: int) -> None:  # law 7
    """Extend, select and rewind in any order, ragged, up to the edge: within 1e-4 with logits of order 10."""
    model = small_model(**changes)
    walk(model, seed, 40, model.compiled().open())


# Logits of order 10. Weights are the same numbers; what is rounded besides are the cached keys and values.
ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 0.6, torch.float16: 0.1, torch.int8: 0.1}


@pytest.mark.parametrize("changes", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_the_network_of_the_same_weights(dtype: torch.dtype, changes: dict[str, float]) -> None:
    model = in_precision(dtype, **changes)
    rows = ids(4, 11, n_vocab=model.n_vocab)
    expected, compiled = in_float32(model)(rows), model.compiled()
    assert 3 < expected.std() < 30
    for first in (1, 2, 4):  # 11, 22 and 44 ids: from 33 on products go another way
        got = all_logits(compiled, rows[:first])
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected[:first], rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("layers", [[0], [3], [0, 1, 2, 3], [2, 1, 1], [1]])
def test_hidden_states_of_any_layers(layers: list[int]) -> None:
    model = small_model()
    eager, compiled = model.open(), model.compiled().open()
    for rows in (ids(2, 5), ids(2, 3, seed=1)):
        expected = eager.extend_hidden(rows, keep=2, layers=layers)
        torch.testing.assert_close(compiled.extend_hidden(rows, keep=2, layers=layers), expected, rtol=0, atol=1e-5)


def test_hidden_states_that_lie_scattered_have_the_same_logits() -> None:
    session = small_model().compiled().open()
    hidden = session.extend_hidden(ids(3, 5), keep=5)[:, :, 0]  # (R, T, C)
    expected = session.head(hidden)
    for part, logits in ((hidden[:, -1], expected[:, -1]), (hidden.transpose(0, 1), expected.transpose(0, 1))):
        assert torch.equal(session.head(part), logits)


def test_logits_of_a_whole_step_are_those_of_its_hidden_states() -> None:
    """Bit for bit, where rows have fewer new ids than are kept, too."""
    model = small_model().compiled()
    whole, hidden = model.open(), model.open()
    for n in (None, torch.tensor([5, 2, 0]), torch.tensor([1, 5, 3])):
        expected = hidden.head(hidden.extend_hidden(ids(3, 5), n, 3)[:, :, 0])
        got = whole.extend(ids(3, 5), n, 3)
        assert torch.equal(got.isnan(), expected.isnan()) and torch.equal(got.nan_to_num(), expected.nan_to_num())
        assert bool(got.isnan().any()) == (n is not None) and whole.lengths.tolist() == hidden.lengths.tolist()


def mutated(monkeypatch: pytest.MonkeyPatch, folder: Path, right: str, wrong: str) -> GPT2:
    """A compiled model of a source in which one thing is wrong."""
    source = build.SOURCE.read_text(encoding="utf-8")
    assert source.count(right) == 1
    (folder / "step.cpp").write_text(source.replace(right, wrong), encoding="utf-8")
    monkeypatch.setattr(build, "SOURCE", folder / "step.cpp")
    monkeypatch.setattr(build, "_OPTIONS", tuple(option for option in build._OPTIONS if option != "-O3"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    model = small_model(n_inner=803).compiled()
    assert model.native is not None
    return model


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("0.044715f * x * x * x", "0.04f * x * x * x"),  # another GELU
        ("% T + 1;", "% T;"),  # an id does not see itself
        ("std::sqrt(float(D))", "std::sqrt(float(D + 1))"),
        ("Cached* side = o < 2 * C ? keys : values", "Cached* side = o < 2 * C ? values : keys"),
        ("+ call.lengths[n / T] + n % T) * D;", "+ n % T) * D;"),  # every call writes from the first slot on
        ("* matrix.in, first, step, use}, x, N);", "* matrix.in, first, 1, use}, x, N);"),  # streams overlap
        ("mine.begin += outs * step;", "mine.begin += outs * step + 1;"),  # columns are left out
        ("t = n[r] - keep", "t = n[r] - keep - 1"),  # logits of the id before
        ("std::min(PART, whole - i)", "std::min(PART, whole)"),  # the last part of a row goes on behind its end
        ("std::copy_n(lanes[r], OUTS, kept[r])", "std::copy_n(lanes[0], OUTS, kept[r])"),
    ],
)
def test_a_wrong_network_is_noticed(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By more than ten times the tolerance."""
    rows, session = ids(4, 19), mutated(monkeypatch, tmp_path, right, wrong).open()
    got = torch.cat([session.extend(part, keep=part.shape[1]) for part in rows.split(10, dim=1)], dim=1)
    expected = small_model(n_inner=803)(rows)
    assert not torch.isfinite(got).all() or (got - expected).abs().max() > 10 * ROUNDING[torch.float32]


# --- bit for bit ---


@pytest.mark.parametrize("changes", [{}, {"n_inner": 1603, "n_embd": 36}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cached_is_uncached_and_batched_is_single_bit_for_bit(
    dtype: torch.dtype, changes: dict[str, float]
) -> None:  # laws 5 and 7
    """Every sum is added in the same order, whatever stands beside it. Eager products do not promise that."""
    model = in_precision(dtype, **changes).compiled()
    rows = ids(13, 17)
    whole = all_logits(model, rows)
    for row, alone in zip(rows, whole, strict=True):
        assert torch.equal(all_logits(model, row[None])[0], alone)
    for first in (1, 2, 13):  # rows, so that from 1 to more than 32 ids are new in a call, which is where ways part
        for size in (1, 2, 3, 4, 5, 6, 7):
            session = model.open()
            pieces = [session.extend(piece, keep=piece.shape[1]) for piece in rows[:first].split(size, dim=1)]
            assert torch.equal(torch.cat(pieces, dim=1), whole[:first])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_number_of_threads_changes_nothing(dtype: torch.dtype) -> None:
    model = in_precision(dtype, n_vocab=101).compiled()
    threads = torch.get_num_threads()
    for shape in ((1, 1), (1, 2), (1, 3), (1, 4), (1, 6), (2, 5), (4, 11)):
        try:
            seen = []
            for count in (1, 2, 3, 5):
                torch.set_num_threads(count)
                seen.append(all_logits(model, ids(*shape)))
        finally:
            torch.set_num_threads(threads)
        assert all(torch.equal(one, seen[0]) for one in seen)


@pytest.mark.parametrize("n", [torch.tensor([5, 3], dtype=torch.int32), torch.tensor([4]).expand(2)])
def test_numbers_of_ids_of_another_kind_are_the_same_numbers(n: Tensor) -> None:
    model = small_model().compiled()
    expected = model.open().extend(ids(2, 5), n.long().clone())
    session = model.open()
    assert torch.equal(session.extend(ids(2, 5), n), expected)
    assert session.lengths.tolist() == n.tolist() and session.lengths.dtype == torch.int64


def test_nothing_of_the_callers_is_changed() -> None:  # law 11
    model = small_model().compiled()
    rows, n = ids(2, 5), torch.tensor([5, 3])
    before = rows.clone()
    model.open().extend(rows, n)
    model.open().extend(rows.t().contiguous().t(), n)  # laid out otherwise
    model.open().extend(rows.int(), n)
    assert torch.equal(rows, before) and n.tolist() == [5, 3]


@pytest.mark.parametrize("rows", [ids(2, 5).int(), ids(5, 2).t()])
def test_ids_of_another_kind_or_layout_are_the_same_ids(rows: Tensor) -> None:
    model = small_model().compiled()
    assert torch.equal(all_logits(model, rows), all_logits(model, rows.long().contiguous()))


# --- a compiled model ---


def test_it_shares_the_parameters() -> None:
    model = small_model()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    compiled = model.compiled()
    assert compiled is not model and compiled.native is not None and model.native is None
    for name, parameter in model.named_parameters():
        assert compiled.get_parameter(name) is parameter
        assert torch.equal(parameter, before[name])
    torch.testing.assert_close(compiled(ids(1, 5)), model(ids(1, 5)), rtol=0, atol=0)


def test_an_early_exit_is_compiled_too() -> None:
    model = small_model()
    early = model.compiled().early_exit(2)
    assert early.native is not None and early.n_layer == 2
    rows = ids(2, 6)
    torch.testing.assert_close(all_logits(early, rows), model.early_exit(2)(rows), rtol=0, atol=1e-4)


def test_it_cannot_be_converted_or_moved() -> None:  # law 13
    compiled = small_model().compiled()
    for change in (compiled.half, compiled.double, lambda: compiled.to(torch.bfloat16)):
        with pytest.raises(ValueError, match="convert or move it first, then compile it"):
            change()
    assert compiled.to("cpu") is compiled.float() is compiled  # which change nothing
    with pytest.raises(ValueError, match="load others into the model itself"):
        compiled.load_state_dict(small_model(seed=1).state_dict())
    with pytest.raises(TypeError, match="copy the model itself, then compile it"):
        copy.deepcopy(compiled)
    with pytest.raises(ValueError, match="train mode"):
        compiled.train().open()


def test_a_model_that_is_moved_or_trained_behind_its_twins_back() -> None:  # law 13
    model = small_model()
    compiled = model.compiled()
    compiled.train()
    with pytest.raises(ValueError, match="train mode"):
        model.open()
    compiled.eval()
    model.to("meta")
    with pytest.raises(ValueError, match="has been moved since it was compiled"):
        compiled.open().extend(ids(1, 3))


def test_what_is_not_gpt2s_own_stays_eager(notes: pytest.LogCaptureFixture) -> None:
    class Wrapped(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.block = block

    wrapped, mixed = small_model(), small_model()
    wrapped.h[1] = Wrapped(wrapped.h[1])
    mixed.h.half()
    for model, sentence in ((wrapped, "one of these is a Wrapped"), (mixed, "all matrices in one precision")):
        assert model.compiled() is model
        assert sentence in notes.records[-1].getMessage()


def test_scales_of_another_precision_are_widened() -> None:
    model = quantize(small_model())
    expected = all_logits(model.compiled(), ids(1, 5))
    got = all_logits(quantize(small_model()).half().compiled(), ids(1, 5))
    torch.testing.assert_close(got, expected, rtol=0, atol=0.1)


# --- making it ---


def test_it_is_made_once_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_library(torch.float32)
    assert "compiling GPT-2's steps in float32" in notes.text and len(notes.records) == 1
    (made,) = (tmp_path / "logits-to-text").iterdir()  # and nothing beside it
    stamp = made.stat().st_mtime_ns
    load_library(torch.float32)
    assert made.stat().st_mtime_ns == stamp and len(notes.records) == 1


def test_a_damaged_library_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_OPTIONS", tuple(option for option in build._OPTIONS if option != "-O3"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(build, "_compile", lambda command, path, name: path.parent.mkdir() or path.write_text("half"))
        with pytest.raises(CompilerError, match="cannot be made or loaded"):
            load_library(torch.float32)
    assert load_library(torch.float32) is not None


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("CXX", "no-such-compiler", "CXX names 'no-such-compiler', which is not here"),
        ("CXX", sys.executable, r"could not compile step\.cpp: "),
        ("PATH", "", r"there is no C\+\+ compiler here: install g\+\+ or clang\+\+"),
    ],
)
def test_without_a_compiler_the_model_runs_as_it_is(
    variable: str,
    value: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    notes: pytest.LogCaptureFixture,
) -> None:  # law 13
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(variable, value)
    model = small_model()
    with pytest.raises(CompilerError, match=sentence):
        load_library(torch.float32)
    assert model.compiled() is model
    assert "no compiled steps, the model runs as it is: " in notes.text
    assert "\n" not in notes.records[-1].getMessage()


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CompilerError, match="cannot be made or loaded: Not a directory"):
        load_library(torch.float32)


def test_float64_stays_eager(notes: pytest.LogCaptureFixture) -> None:
    model = small_model(dtype=torch.float64)
    assert model.compiled() is model
    assert "for weights of float32, bfloat16, float16, int8, and these are float64" in notes.text


def test_the_compiler_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", f"{sys.executable} -I")
    assert find_compiler() == [sys.executable, "-I"]


def test_a_processor_of_another_kind_gets_a_library_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    key = build._key(["g++"])
    assert build._key(["g++"]) == key
    monkeypatch.setattr(build, "_instructions", lambda: "another")
    assert build._key(["g++"]) != key
