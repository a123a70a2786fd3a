"""The trace in the terminal."""

from __future__ import annotations

import io
import re

import pytest
import torch

from decoding import (
    Greedy,
    Gumbel,
    MinP,
    Prefix,
    PromptLookup,
    RepetitionPenalty,
    Sample,
    SelfSpeculative,
    Speculative,
    Suppress,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    generate,
)
from decoding.core import Processor
from decoding.legible import columns
from decoding.trace import Stage, StepTrace
from gpt2 import GPT2
from scripts import generate as program
from scripts.answer import ExplainPrinter, Request, answer
from scripts.explanation import explanation, rounds_report
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


PROMPT = "Once upon a time"


@pytest.mark.parametrize("draft", [SelfSpeculative(4), PromptLookup()], ids=repr)
def test_every_line_about_drafts_fits_and_colours_change_no_text(
    draft: SelfSpeculative | PromptLookup, storybook: GPT2, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    prompt = "The cat saw the dog. The dog saw the cat. The cat"
    strategy = Speculative(draft=draft, length=6)
    rounds = generate(storybook, tokenizer, prompt, strategy, max_new_tokens=40, seed=1).rounds
    plain = rounds_report(rounds, tokenizer, Paint(io.StringIO()))
    coloured = rounds_report(rounds, tokenizer, Paint(Terminal()))
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain != coloured
    lines = plain.splitlines()
    assert all(columns(line) <= 80 and line == line.rstrip() for line in lines)
    told = f"{rounds.accepted} of {rounds.drafted} drafted ids accepted"
    assert lines[0] == f"drafts  {told}, {len(rounds) / 40:.2f} calls an id"
    starts = [n for n, line in enumerate(lines) if re.match(r" +\d+  ", line)]
    assert len(starts) == len(rounds)
    for begin, end, one in zip(starts, [*starts[1:], None], rounds, strict=True):
        said = " ".join(line[7:] for line in lines[begin:end])
        marks = re.findall(r'([-+x>]) "(?:\\.|[^"\\])*"', said)
        rejected = len(one.drafted) - one.accepted
        drafted = ["+"] * one.accepted + ["x"] * (rejected > 0) + ["-"] * (rejected - 1)
        assert marks == [*drafted, *[">"] * (one.added is not None)]


def test_explain_ends_with_the_drafts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--early-exit", "4", "--min-p", "0.1", "--max-new-tokens", "4", "--explain", "--quiet") == 0
    *steps, drafts, text = capsys.readouterr().out.removesuffix("\n").split("\n\n")
    assert len(steps) == 4 and text == ", there was a"
    assert drafts.splitlines()[0] == "drafts  1 of 3 drafted ids accepted, 0.75 calls an id"
    assert drafts.splitlines()[3:] == [
        '    1  > ","',
        '    2  x " and" 0/1  - " the"  > " there"',
        '    3  + " was" 1/1  > " a"',
    ]
    reasons = [line for step in steps for line in step.splitlines() if line.startswith("  x ")]
    assert reasons and all("MinP(0.1) removed it" in reason for reason in reasons)  # temperature 0 explains itself


def run(*options: str) -> int:
    """The exit code of generate.py with the bundled model."""
    return program.main([PROMPT, "--model", "storybook", *options])


def test_explain_on_the_command_line(storybook: GPT2, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--strategy", "sample", "--suppress", '","', "--temperature", "1.5", "--min-p", "0.1")
    assert run(*options, "--seed", "3", "--num-samples", "2", "--max-new-tokens", "3", "--explain") == 0
    output = capsys.readouterr()
    strategy = Sample(Suppress([11]), Temperature(1.5), MinP(0.1))
    texts = generate(storybook, tokenizer, PROMPT, strategy, max_new_tokens=3, seed=3, num_samples=2, trace=True)
    samples = output.out.split("--- sample ")[1:]
    for number, (printed, one) in enumerate(zip(samples, texts, strict=True), 1):
        heading, *blocks, text = printed.rstrip("\n").split("\n\n")
        first = heading.split("\n", 1)[1]
        assert heading.startswith(f"{number} of 2\n")
        expected = [explanation(step, n, tokenizer, Paint(io.StringIO())) for n, step in enumerate(one.trace, 1)]
        assert [first, *blocks] == expected
        assert text == PROMPT + one.text
    assert 'x "," was 1st with 82.6 %; Suppress([11]) removed it: it is one of' in samples[0]
    assert f"storybook, {strategy}, seed 3: 6 ids" in output.err


def test_explain_of_greedy_decoding_without_processors(
    storybook: GPT2, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--max-new-tokens", "2", "--explain", "--quiet") == 0
    one = generate(storybook, tokenizer, PROMPT, Greedy(), max_new_tokens=2, trace=True)
    output = capsys.readouterr()
    assert output.err == ""
    *blocks, text = output.out.removesuffix("\n").split("\n\n")
    assert text == one.text
    for number, (block, step) in enumerate(zip(blocks, one.trace, strict=True), 1):
        model = step.stages[0]
        heading, line = block.splitlines()
        assert re.fullmatch(rf'step {number}  "(,| there)" +1st with \d+\.\d %', heading)
        assert line == f"  no processors; 50,257 ids, entropy {model.entropy:.2f} nats"


def test_penalties_that_make_greedy_decoding_differ_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--repetition-penalty", "3", "--max-new-tokens", "12", "--explain") == 0
    output = capsys.readouterr()
    assert "--strategy sample" not in output.err  # the penalty does change greedy decoding
    places = re.findall(r"^step \d+ .*(\d+(?:st|nd|rd|th)) with .* -> 1st with", output.out, re.MULTILINE)
    changed = [line for line in output.out.splitlines() if line.startswith("  RepetitionPenalty(3.0)")]
    assert len(changed) == 12
    assert len(places) >= sum(not line.endswith("the same") for line in changed) > 0


def test_only_one_form_of_output_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    for others in (["--json"], ["--show-probabilities"], ["--list"]):
        with pytest.raises(SystemExit) as caught:
            run("--explain", *others)
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "--explain" in error and others[0] in error and "choose one" in error


def test_an_explanation_without_utf_8_escapes_tokens(
    storybook: GPT2, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = generate(
        storybook, tokenizer, "你", Greedy(Suppress([tokenizer.encode("你")[0]])), max_new_tokens=1, trace=True
    )
    wide = tokenizer.encode("é")[0]
    step = one.trace[0]._replace(chosen=wide)
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", output)
    said = explanation(step, 1, tokenizer, Paint(output))
    assert said.isascii() and r'"\xe9"' in said.splitlines()[0]
    assert all(len(line) <= 80 for line in said.splitlines())
