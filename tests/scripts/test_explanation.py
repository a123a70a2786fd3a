"""The trace in the terminal."""

from __future__ import annotations

import io
import re

import pytest
import torch

from decoding import Gumbel, Prefix, RepetitionPenalty, Sample, Suppress, Temperature, Tokenizer, TopK, TopP, generate
from decoding.core import Processor
from decoding.legible import columns
from decoding.trace import Stage, StepTrace
from gpt2 import GPT2
from scripts.answer import ExplainPrinter, Request, answer
from scripts.explanation import explanation
from scripts.paint import Paint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


CHAINS: list[tuple[Processor, ...]] = [
    (),
    (Temperature(0.8), TopP(0.9)),
    (RepetitionPenalty(1.3, window=64, include_prompt=False), Temperature(1.5), Suppress(range(1000)), TopK(3)),
]


@pytest.mark.parametrize("chain", CHAINS, ids=repr)
def test_every_line_fits_and_colours_change_no_text(
    chain: tuple[Processor, ...], storybook: GPT2, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    one = generate(storybook, tokenizer, "Once upon a time", Sample(*chain), max_new_tokens=6, seed=3, trace=True)
    for n, step in enumerate(one.trace):
        plain = explanation(step, n + 1, tokenizer, Paint(io.StringIO()))
        coloured = explanation(step, n + 1, tokenizer, Paint(Terminal()))
        assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain != coloured
        lines = plain.splitlines()
        assert all(columns(line) <= 80 and line == line.rstrip() for line in lines)
        assert lines[0].startswith(f"step {n + 1}  {one.trace.name(step.chosen)} ")
        for stage in step.stages[1:]:
            (line,) = (line for line in lines if line.startswith(f"  {stage.name[:29]}"))
            assert f" {stage.kept:,} " in line and f" {stage.entropy:.2f}  " in line
            assert line.endswith("the same") != stage.favourite_changed
        said = " ".join(line.strip() for line in lines)
        for id in step.rivals(3):
            assert f"x {one.trace.why(n, id)}" in said


def test_the_longest_numbers_and_names_fit(tokenizer: Tokenizer) -> None:
    wide, unlikely = tokenizer.encode("-" * 64)[0], -5000.0
    logits = torch.full((tokenizer.n_vocab,), unlikely)
    logits[[0, wide]] = torch.tensor([0.0, 2.0 * unlikely])
    before = Stage("model", logits, wide)
    moved = logits.index_fill(0, torch.tensor([5]), 3.0 * unlikely)
    after = Stage(repr(Temperature(0.9)), moved, wide, Temperature(0.9), before)
    plain = explanation(StepTrace((before, after), wide, Prefix.of([[0]])), 1000, tokenizer, Paint(io.StringIO()))
    assert plain.splitlines()[1] == ("  50,257th with less than 0.000000001 % -> 50,256th with less than 0.000000001 %")
    assert all(columns(line) <= 80 for line in plain.splitlines())


def test_the_printer_explains_each_step_and_then_prints_the_text(
    storybook: GPT2, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    request = Request(Sample(TopP(0.9)), Gumbel, seed=3, max_new_tokens=3, num_samples=1, stop=())
    printer = ExplainPrinter(request, tokenizer, quiet=False)
    (text,) = answer("Once upon a time", request, storybook, tokenizer, printer)
    printed = capsys.readouterr().out
    assert [printed.count(f"step {n}  ") for n in (1, 2, 3, 4)] == [1, 1, 1, 0]
    assert printed.endswith(f"\n\nOnce upon a time{text.text}\n")
