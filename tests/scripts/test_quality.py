"""scripts/quality.py, on small networks and on short texts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from decoding import TableModel, Tokenizer
from gpt2 import GPT2
from gpt2.int8 import quantize
from scripts import quality
from scripts.precision.continuations import Continuations, compare, greedy
from scripts.precision.divergence import AT_ONCE, Divergence, diverge, kl_divergence
from scripts.precision.measure import weights_bytes
from scripts.precision.texts import BUNDLED, Text, prompts, read, windows
from scripts.training.held_out import held_out_loss
from tests.gpt2.small import ids, small_model, write_model

LENGTH = 24  # positions of the small model


# -- distributions ----------------------------------------------------------------------------------------------------


def test_the_divergence_of_a_known_pair() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.5, 0.25])
    assert kl_divergence(p.double().log(), q.double().log()).item() == pytest.approx(0.5 * math.log(2), abs=1e-15)
    assert kl_divergence(q.double().log(), p.double().log()).item() == math.inf  # p cannot write what q does


def test_each_position_by_hand() -> None:
    """Behind id 0 the two tables say other things, behind id 1 the same."""
    expected = TableModel.bigram(torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log(), n_positions=9)
    other = TableModel.bigram(torch.tensor([[0.25, 0.75], [0.9, 0.1]]).log(), n_positions=9)
    found = diverge(expected, other, windows(torch.tensor([0, 1, 0, 0]), length=2))
    kl = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert found.kl.tolist() == pytest.approx([kl, 0.0, kl], abs=1e-7)
    assert found.same.tolist() == [False, True, False]  # of equals the lowest id
    assert found.agreement == pytest.approx(1 / 3)
    assert found.perplexity == pytest.approx((0.75 * 0.9 * 0.25) ** (-1 / 3), rel=1e-6)
    assert 1 + found.change.value == pytest.approx((0.75 * 0.25 / 0.25) ** (-1 / 3), rel=1e-6)


def test_a_model_does_not_differ_from_itself() -> None:
    model = small_model()
    found = diverge(model, model, windows(ids(60), LENGTH))
    assert found.kl.shape == (59,) and bool((found.kl == 0).all())
    assert (found.mean_kl, found.kl_99, found.agreement) == (0.0, 0.0, 1.0)
    assert found.change == (0.0, 0.0)


@pytest.mark.parametrize("length", [LENGTH, 7])
def test_the_perplexity_is_that_of_the_held_out_loss(length: int) -> None:
    """Both cut the same windows."""
    model, text = small_model(), ids(100)
    found = diverge(model, model, windows(text, length))
    assert math.log(found.perplexity) == pytest.approx(held_out_loss(model, text, length), abs=1e-5)


def test_windows_longer_than_what_is_compared_at_once() -> None:
    """And everything against a plain computation."""
    positions = AT_ONCE + 9
    model, other = (small_model(seed=seed, n_positions=positions) for seed in (0, 1))
    text = ids(positions + 6)
    found = diverge(model, other, windows(text, positions))
    with torch.no_grad():
        p, q = (
            torch.cat([one(text[None, :positions])[0], one(text[None, positions:-1])[0]]).double().softmax(dim=-1)
            for one in (model, other)
        )
    assert torch.allclose(found.kl, (p * (p / q).log()).sum(dim=-1), rtol=1e-4)
    assert torch.allclose(found.logprobs, q[torch.arange(len(q)), text[1:]].log(), atol=1e-4)
    assert torch.allclose(found.reference_logprobs, p[torch.arange(len(p)), text[1:]].log(), atol=1e-4)
    assert torch.equal(found.same, p.argmax(dim=-1) == q.argmax(dim=-1))


def test_the_summary_of_many_positions() -> None:
    kl = torch.arange(101).double()
    lost = torch.tensor([0.0, 0.2] * 50 + [0.1]).double()
    found = Divergence(kl, -2 - lost, torch.full((101,), -2.0).double(), kl > 50)
    assert (found.mean_kl, found.kl_99) == (50.0, 99.0)
    assert found.change.value == pytest.approx(math.exp(0.1) - 1)
    assert found.change.standard_error == pytest.approx(math.exp(0.1) * math.sqrt(0.01 / 101))
    assert found.perplexity == pytest.approx(math.exp(2.1))


# -- greedy texts -----------------------------------------------------------------------------------------------------


def test_where_texts_part_and_by_how_much() -> None:
    model = small_model()
    cut = ids(3, 5).tolist()
    expected = greedy(model, cut, 8)
    got = [list(row) for row in expected]
    got[0][6] = (got[0][6] + 1) % model.n_vocab
    got[2][2:] = [(id + 5) % model.n_vocab for id in got[2][2:]]
    found = compare(model, cut, expected, got)
    assert [parting.after for parting in found.partings] == [6, 2]
    assert (found.texts, found.same, found.median_after) == (3, 1, 4)
    for parting, row in zip(found.partings, (0, 2), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([cut[row] + expected[row][: parting.after]]))[0, -1]
        own, other = expected[row][parting.after], got[row][parting.after]
        assert own == logits.argmax()
        assert parting.margin == pytest.approx(float(logits[own] - logits[other]), abs=1e-4)
        assert parting.margin > 0
    assert found.largest_margin == max(parting.margin for parting in found.partings)


def test_texts_that_do_not_part() -> None:
    model = small_model()
    cut = ids(2, 5).tolist()
    expected = greedy(model, cut, 4)
    assert [len(row) for row in expected] == [4, 4]
    found = compare(model, cut, expected, greedy(model, cut, 4))
    assert found == Continuations(2, [])
    assert found.median_after is None and found.median_margin is None and found.largest_margin is None


# -- texts and weights ------------------------------------------------------------------------------------------------


def test_the_bundled_texts_are_as_the_docstring_says(tokenizer: Tokenizer) -> None:
    texts = [read(path, tokenizer) for path in BUNDLED]
    assert [len(text.ids) for text in texts] == [1393, 586]
    assert quality.__doc__ is not None and "1,393 ids" in quality.__doc__ and "586 ids" in quality.__doc__
    cut = prompts(texts, 32, 32)
    assert len({tuple(prompt) for prompt in cut}) == 32
    assert {len(prompt) for prompt in cut} == {32}


def test_windows_predict_each_id_but_the_first_once() -> None:
    cut = windows(torch.arange(10), length=4)
    assert [window.ids.tolist() for window in cut] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert [window.targets.tolist() for window in cut] == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]


def test_prompts_are_cut_at_equal_distances() -> None:
    one, two = Text("one", torch.arange(20)), Text("two", torch.arange(100, 108))
    assert prompts([one, two], number=5, length=2) == [[0, 1], [6, 7], [12, 13], [100, 101], [102, 103], [104, 105]]
    with pytest.raises(ValueError, match="two has 8 ids, too few to cut 3 prompts of 6 ids"):
        prompts([one, two], number=5, length=6)


def test_the_bytes_of_the_weights() -> None:
    model = small_model()
    n = model.config.n_parameters
    assert weights_bytes(model) == 4 * n
    assert weights_bytes(small_model(dtype=torch.bfloat16)) == 2 * n
    C, V, layers = model.config.n_embd, model.n_vocab, model.n_layer
    matrices, rows = 12 * C * C * layers + V * C, 9 * C * layers + V  # (3 + 1 + 4 * 2) C², and (3 + 1 + 4 + 1) C rows
    assert weights_bytes(quantize(small_model())) == matrices + 4 * rows + 4 * (n - matrices)


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A tiny model of the whole vocabulary, and a text."""
    folder = tmp_path_factory.mktemp("quality")
    write_model(folder / "model", small_model(n_vocab=50257, n_embd=8, n_head=2, n_layer=2))
    text = folder / "night.txt"
    text.write_text("The old fox had a plan for the night, and nobody knew of it but the owl.\n", encoding="utf-8")
    return str(folder / "model"), str(text)


SHORT = ["--prompts", "3", "--prompt-ids", "4", "--new-ids", "5"]


def rows_of(output: str, table: int) -> list[list[str]]:
    """The cells of the first or second Markdown table, without its header."""
    lines = [line for line in output.split("\n\n") if line.startswith("| ")][table].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.compiler
def test_the_whole_table(tiny: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, text = tiny
    assert quality.main(["--model", model, "--text", text, "--dtype", "int8", "float32", "--markdown", *SHORT]) == 0
    output = capsys.readouterr().out
    heading, *distributions = rows_of(output, 0)
    names = ["eager float32", "compiled float32", "eager int8", "compiled int8"]
    assert heading[0] == "**night, 18 positions**"
    assert [row[0] for row in distributions] == names
    assert distributions[0][1:3] + distributions[0][4:] == ["0", "0", "0", "100.00 %"]
    assert float(distributions[1][1]) < 1e-8 < float(distributions[2][1])
    assert float(distributions[2][1]) == pytest.approx(float(distributions[3][1]), rel=0.5)
    texts = rows_of(output, 1)
    assert [row[0] for row in texts] == names
    assert [row[2] for row in texts[:2]] == ["3 of 3", "3 of 3"]
    assert texts[0][1] == texts[1][1] and texts[2][1] == texts[3][1]


def test_without_a_compiler(
    tiny: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    model, text = tiny
    assert quality.main(["--model", model, "--text", text, "--dtype", "bfloat16", "float16", *SHORT]) == 0
    output = capsys.readouterr().out
    last = " ".join(output.split("\n\n")[-1].split())
    assert last.startswith("Left out, because the steps could not be compiled here")
    assert last.endswith(": compiled bfloat16, compiled float16.")
    assert "\ncompiled" not in output and "\neager bfloat16" in output and "\neager float16" in output
    assert max(map(len, output.splitlines())) <= 92


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--prompts", "0"], 2, "--prompts must be at least 1; got 0"),
        (["--new-ids", "-3"], 2, "--new-ids must be at least 1; got -3"),
        (["--prompts", "40"], 1, "night has 19 ids, too few to cut 40 prompts of 4 ids out of it"),
        (["--new-ids", "21"], 1, "this model has 24 positions; a prompt and its new ids come to 25"),
        (["--text", "no-such-file.txt"], 1, "no-such-file.txt: No such file or directory"),
        (["--model", "no-such-model"], 1, "no-such-model"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], code: int, message: str, tiny: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, the last one given counts."""
    model, text = tiny
    assert quality.main(["--model", model, "--text", text, *SHORT, *arguments]) == code
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and message in error[0]


def test_a_dtype_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        quality.main(["--dtype", "int4"])
    assert stopped.value.code == 2 and "int4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "has 0 ids"), (b"a", "has 1 ids"), (b"a \xff", "byte 2 is 0xff")]
)
def test_a_file_that_is_no_text(content: bytes, message: str, tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path, tokenizer)


# -- the bundled model ------------------------------------------------------------------------------------------------


def test_each_precision_costs_storybook_little_and_not_the_same(storybook: GPT2, tokenizer: Tokenizer) -> None:
    """float16 is what its file holds, so that only arithmetic rounds; bfloat16 has three bits less, int8 its own."""
    cut = windows(read(BUNDLED[0], tokenizer).ids[:100], storybook.n_positions)
    found = {
        dtype: diverge(storybook, GPT2.from_pretrained("storybook", dtype=dtype), cut)
        for dtype in (torch.float16, torch.bfloat16, torch.int8)
    }
    half, brain, whole = (one.mean_kl for one in found.values())
    assert 0 < 8 * half < brain < 0.01
    assert 8 * half < whole < 0.01
    assert all(abs(one.change.value) < 0.02 for one in found.values())
