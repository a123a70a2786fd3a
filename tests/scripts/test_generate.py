"""scripts/generate.py as its users meet it: mostly called in this process, as a program where that matters."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from decoding import (
    BeamSearch,
    ContrastiveDecoding,
    DoLa,
    Greedy,
    Multinomial,
    Sample,
    SelfSpeculative,
    Speculative,
    StochasticBeamSearch,
    Strategy,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    generate,
)
from decoding.legible import columns
from decoding.tree_text import LEGEND
from gpt2 import GPT2, PUBLISHED
from scripts import generate as program
from scripts import strategies
from scripts.chain import unescape
from tests.conftest import ROOT
from tests.hub import children, stand_in

PROMPT = "Once upon a time"
ENVIRONMENT = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}


class Terminal(io.StringIO):
    """Standard input that belongs to a person."""

    def isatty(self) -> bool:
        return True


def run(*options: str) -> int:
    """The exit code of generate.py with the bundled model."""
    return program.main(["--model", "storybook", *options])


def start(*options: str, **how: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, str(ROOT / "scripts" / "generate.py"), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a test run in the background ignores Ctrl-C, and its children would inherit that
        preexec_fn=None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **{"env": ENVIRONMENT, "stdin": subprocess.DEVNULL, **how},
    )


# -- text -------------------------------------------------------------------------------------------------------------


def test_prompt_and_text_go_to_stdout_and_notes_to_stderr(
    capsys: pytest.CaptureFixture[str], storybook: GPT2, tokenizer: Tokenizer
) -> None:
    assert run(PROMPT, "--max-new-tokens", "10") == 0
    output = capsys.readouterr()
    expected = generate(storybook, tokenizer, PROMPT, Greedy(), max_new_tokens=10)
    assert output.out == PROMPT + expected.text + "\n"
    assert output.err.count("\n") == 1
    assert "storybook, Greedy(): 10 ids" in output.err


def test_quiet_prints_the_new_text_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROMPT, "--max-new-tokens", "3", "--quiet") == 0
    assert capsys.readouterr() == (", there was\n", "")


def built(options: argparse.Namespace) -> Strategy:
    return strategies.asked(options).build(Tokenizer())


def test_processors_act_in_the_order_in_which_they_are_written() -> None:  # law 4
    one = program.parse(["x", "--top-p", "0.9", "--temperature", "0.5", "--top-k", "7"])
    other = program.parse(["x", "--temperature", "0.5", "--top-k", "7", "--top-p", "0.9"])
    assert built(one) == Greedy(TopP(0.9), Temperature(0.5), TopK(7))
    assert built(other) == Greedy(Temperature(0.5), TopK(7), TopP(0.9))


def test_there_are_no_hidden_defaults() -> None:  # law 4
    assert built(program.parse(["x", "--strategy", "sample"])) == Sample()


def test_a_seed_repeats_a_run_and_a_fresh_one_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROMPT, "--strategy", "sample", "--max-new-tokens", "12") == 0
    first = capsys.readouterr()
    seed = first.err.split("seed ")[1].split(":")[0]
    assert run(PROMPT, "--strategy", "sample", "--max-new-tokens", "12", "--seed", seed) == 0
    assert capsys.readouterr().out == first.out


def test_draw_chooses_the_chance(capsys: pytest.CaptureFixture[str], storybook: GPT2, tokenizer: Tokenizer) -> None:
    texts = {}
    for draw in ("gumbel", "inverse-cdf", "multinomial"):
        assert run(PROMPT, "--strategy", "sample", "--seed", "5", "--draw", draw, "--quiet") == 0
        texts[draw] = capsys.readouterr().out.removesuffix("\n")
    assert len(set(texts.values())) == 3
    expected = generate(storybook, tokenizer, PROMPT, Sample(), max_new_tokens=40, seed=5, draw=Multinomial)
    assert texts["multinomial"] == expected.text


def test_several_samples_follow_one_another(
    capsys: pytest.CaptureFixture[str], storybook: GPT2, tokenizer: Tokenizer
) -> None:
    assert run(PROMPT, "--strategy", "sample", "--seed", "5", "--num-samples", "3", "--max-new-tokens", "8") == 0
    texts = generate(storybook, tokenizer, PROMPT, Sample(), max_new_tokens=8, seed=5, num_samples=3)
    expected = "\n".join(f"--- sample {n} of 3\n{PROMPT}{text.text}\n" for n, text in enumerate(texts, 1))
    assert capsys.readouterr().out == expected


def test_stop_ends_before_the_text_and_understands_newlines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROMPT, "--stop", "girl", "--quiet") == 0
    assert capsys.readouterr().out == ", there was a little \n"
    assert unescape(r"a\nb\tc\\n") == "a\nb\tc\\n"
    assert run("The end.", "--strategy", "sample", "--seed", "3", "--stop", "\\n", "--quiet") == 0
    assert "\n" not in capsys.readouterr().out.removesuffix("\n")


def test_options_without_effect_on_greedy_decoding_are_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROMPT, "--temperature", "0.7", "--max-new-tokens", "2") == 0
    assert "--strategy sample" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8", "float64"])
def test_dtype(capsys: pytest.CaptureFixture[str], dtype: str) -> None:
    assert run(PROMPT, "--dtype", dtype, "--max-new-tokens", "4", "--quiet") == 0
    assert capsys.readouterr().out == ", there was a\n"


@pytest.mark.compiler
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_compiled_steps(capsys: pytest.CaptureFixture[str], dtype: str) -> None:
    assert run(PROMPT, "--compile", "--dtype", dtype, "--max-new-tokens", "4", "--quiet") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (", there was a\n", "")


def test_without_a_compiler_it_says_so_and_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert run(PROMPT, "--compile", "--max-new-tokens", "4") == 0
    captured = capsys.readouterr()
    assert captured.out.endswith(", there was a\n")
    assert captured.err.splitlines()[0] == (
        "generate.py: no compiled steps, the model runs as it is: CXX names 'no-such-compiler', which is not here"
    )
    assert run(PROMPT, "--compile", "--max-new-tokens", "4", "--quiet") == 0
    assert capsys.readouterr().err == ""


# -- other output -----------------------------------------------------------------------------------------------------


def test_json_prints_one_object_a_sample(
    capsys: pytest.CaptureFixture[str], storybook: GPT2, tokenizer: Tokenizer
) -> None:
    options = ("--strategy", "sample", "--top-k", "5", "--seed", "2", "--num-samples", "2", "--max-new-tokens", "6")
    assert run(PROMPT, *options, "--json") == 0
    output = capsys.readouterr()
    assert output.err == ""
    expected = generate(storybook, tokenizer, PROMPT, Sample(TopK(5)), max_new_tokens=6, seed=2, num_samples=2)
    for line, generation in zip(output.out.splitlines(), expected, strict=True):
        got = json.loads(line)
        for field in ("prompt", "sample", "text", "ids", "finish_reason", "seed"):
            assert got[field] == getattr(generation, field)
        assert got["model_logprobs"] == pytest.approx(generation.model_logprobs, abs=1e-4)
        assert got["processed_logprobs"] == pytest.approx(generation.processed_logprobs, abs=1e-4)
        assert (got["model"], got["revision"]) == ("storybook", None)


def test_show_probabilities_fits_80_columns_and_marks_the_choice(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--strategy", "sample", "--temperature", "1.5", "--seed", "4", "--max-new-tokens", "30")
    assert run(PROMPT, *options, "--show-probabilities") == 0
    tables = capsys.readouterr().out.split("\n\n")[:30]
    for number, table in enumerate(tables, start=1):
        heading, *rows = table.split("\n")
        assert heading.split() == ["step", str(number), "model", "processed"]
        assert sum(row.startswith("> ") for row in rows) == 1
        assert max(map(len, rows)) <= 80
        shares = [float(row[31:].split("%")[1]) for row in rows]
        assert sum(shares) <= 100.01
        assert shares[:5] == sorted(shares[:5], reverse=True)


def test_show_probabilities_of_greedy_decoding_chooses_the_first_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROMPT, "--max-new-tokens", "5", "--show-probabilities", "--quiet") == 0
    for table in capsys.readouterr().out.split("\n\n")[:5]:
        assert table.split("\n")[1].startswith("> ")


# -- prompts ----------------------------------------------------------------------------------------------------------


def test_the_prompt_may_come_from_standard_input() -> None:
    process = start("--model", "storybook", "--quiet", "--max-new-tokens", "3", stdin=subprocess.PIPE)
    out, _ = process.communicate(f"{PROMPT}\n".encode())
    assert (process.returncode, out) == (0, b", there was\n")


def test_with_no_prompt_on_a_terminal_it_asks_again_and_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{PROMPT}\n\n{'word ' * 600}\n{PROMPT}\n"))
    assert run("--max-new-tokens", "3", "--quiet") == 0
    output = capsys.readouterr()
    assert output.out == ", there was\n" * 2  # the questions go to standard error
    assert output.err.count("prompt> ") == 5
    assert "shorten it" in output.err  # a mistake does not end the conversation


# -- searches ---------------------------------------------------------------------------------------------------------


def test_candidates_are_shown_with_their_scores(
    capsys: pytest.CaptureFixture[str], storybook: GPT2, tokenizer: Tokenizer
) -> None:
    assert run(PROMPT, "--strategy", "beam", "--beams", "3", "--max-new-tokens", "5", "--show-candidates") == 0
    found = generate(storybook, tokenizer, PROMPT, BeamSearch(beams=3), max_new_tokens=5)
    expected = "".join(f"{one.score:9.4f}  {one.text}\n" for one in found.candidates)
    assert len(found.candidates) == 3 and capsys.readouterr().out == f"{PROMPT}\n{expected}"
    assert run(PROMPT, "--max-new-tokens", "3", "--show-candidates", "--quiet") == 0
    assert capsys.readouterr().out == ", there was\n"  # where nothing was searched for, the text


def test_json_has_what_a_search_found(
    capsys: pytest.CaptureFixture[str], storybook: GPT2, tokenizer: Tokenizer
) -> None:
    options = ("--strategy", "stochastic-beam", "--texts", "5", "--top-k", "2", "--max-new-tokens", "1", "--seed", "4")
    assert run(PROMPT, *options, "--json") == 0
    printed = capsys.readouterr().out
    assert "Infinity" not in printed and "NaN" not in printed
    result = json.loads(printed)
    strategy = StochasticBeamSearch(TopK(2), k=5)
    found = generate(storybook, tokenizer, PROMPT, strategy, max_new_tokens=1, seed=4)
    assert result["bound"] is None and result["score"] == found.score and result["evaluations"] == 1
    assert [one["ids"] for one in result["candidates"]] == [one.ids for one in found.candidates]


def test_a_draft_changes_no_text_and_the_note_tells_what_became_of_it(
    storybook: GPT2, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(PROMPT, "--early-exit", "4", "--max-new-tokens", "12") == 0
    output = capsys.readouterr()
    strategy = Speculative(Temperature(0), draft=SelfSpeculative(4))
    one = generate(storybook, tokenizer, PROMPT, strategy, max_new_tokens=12)
    assert output.out == PROMPT + one.text + "\n"
    assert one.ids == generate(storybook, tokenizer, PROMPT, Greedy(), max_new_tokens=12).ids
    rounds = one.rounds
    assert 0 < rounds.accepted < rounds.drafted
    assert output.err.startswith(
        f"generate.py: storybook, Speculative(Temperature(0.0), draft={strategy.draft}): 12 ids"
    )
    told = f"{rounds.accepted} of {rounds.drafted} drafted ids accepted, {len(rounds) / 12:.2f} calls an id\n"
    assert output.err.endswith(f" s (length); {told}")
    sampled = ("--strategy", "sample", "--seed", "3", "--max-new-tokens", "12", "--num-samples", "2")
    assert run(PROMPT, *sampled) == 0
    plain = capsys.readouterr()
    assert run(PROMPT, *sampled, "--draft", "storybook", "--verify", "shared-noise") == 0
    drafted = capsys.readouterr()
    assert drafted.out == plain.out
    assert "storybook, DrafterInvariant(draft=storybook), seed 3: 24 ids in " in drafted.err
    assert "drafted ids accepted" not in plain.err


def test_drafts_leave_greedy_decoding_without_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("The cat", "--prompt-lookup", "--num-samples", "2", "--max-new-tokens", "2") == 0
    said = capsys.readouterr().err
    assert "greedy decoding always takes the likeliest id" in said and ", seed" not in said
    assert said.endswith("(length); nothing was drafted, 1.00 calls an id\n")


def test_json_has_the_rounds(storybook: GPT2, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    how = ("--strategy", "sample", "--top-p", "0.9", "--seed", "2", "--max-new-tokens", "10")
    assert run(PROMPT, *how, "--early-exit", "4", "--json") == 0
    got = json.loads(capsys.readouterr().out)["rounds"]
    strategy = Speculative(TopP(0.9), draft=SelfSpeculative(4))
    rounds = generate(storybook, tokenizer, PROMPT, strategy, max_new_tokens=10, seed=2).rounds
    for field in ("drafted", "accepted", "acceptance_rate", "calls_per_id"):
        assert got[field] == getattr(rounds, field)
    assert len(got["rounds"]) == len(rounds) > 1
    for told, one in zip(got["rounds"], rounds, strict=True):
        assert (told["accepted"], told["added"]) == (one.accepted, one.added)
        assert [draft["id"] for draft in told["drafted"]] == [draft.id for draft in one.drafted]
        for draft, known in zip(told["drafted"], one.drafted, strict=True):
            assert draft["draft_probability"] == pytest.approx(math.exp(known.draft_logprob), rel=1e-4)
            assert (draft["target_probability"] is None) == (known.target_logprob is None)
    assert any(draft["target_probability"] == 0 for one in got["rounds"] for draft in one["drafted"])  # by top-p
    assert run("The cat", "--prompt-lookup", "--max-new-tokens", "1", "--json") == 0
    nothing = json.loads(capsys.readouterr().out)["rounds"]
    assert nothing["acceptance_rate"] is None and nothing["drafted"] == 0 and nothing["calls_per_id"] == 1
    assert run(PROMPT, *how, "--json") == 0
    assert "rounds" not in json.loads(capsys.readouterr().out)


# -- models made of others --------------------------------------------------------------------------------------------


def test_a_model_made_of_others_is_named(
    storybook: GPT2, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ("--max-new-tokens", "10", "--plausibility", "0.2")
    assert run(PROMPT, *how, "--amateur", "storybook", "--amateur-temperature", "0.5") == 0
    output = capsys.readouterr()
    model = ContrastiveDecoding(storybook, storybook, alpha=0.2, temperature=0.5)
    assert output.out == PROMPT + generate(model, tokenizer, PROMPT, Greedy(), max_new_tokens=10).text + "\n"
    title = "ContrastiveDecoding(alpha=0.2, temperature=0.5) with amateur storybook"
    assert output.err.startswith(f"generate.py: storybook, {title}, Greedy(): 10 ids in ")
    assert run(PROMPT, *how, "--dola", "2,4", "--strategy", "beam", "--beams", "2", "--json") == 0
    got = json.loads(capsys.readouterr().out)
    beams = generate(DoLa(storybook, [2, 4], alpha=0.2), tokenizer, PROMPT, BeamSearch(beams=2), max_new_tokens=10)
    assert got["ids"] == beams.ids
    assert (got["model"], got["combination"]) == ("storybook", "DoLa([2, 4], alpha=0.2)")
    assert run(PROMPT, "--max-new-tokens", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["combination"] is None


def test_early_exit_works_with_dola(capsys: pytest.CaptureFixture[str]) -> None:
    how = ("--dola", "2", "--max-new-tokens", "12")
    assert run(PROMPT, *how) == 0
    plain = capsys.readouterr().out
    assert run(PROMPT, *how, "--early-exit", "5") == 0
    output = capsys.readouterr()
    assert output.out == plain and "drafted ids accepted" in output.err


def test_the_explanation_of_a_search_ends_with_its_tree(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROMPT, "--strategy", "beam", "--beams", "2", "--max-new-tokens", "3", "--explain") == 0
    lines = capsys.readouterr().out.splitlines()
    begin = lines.index(next(line for line in lines if line.startswith("search  2 texts found, 5 distributions asked")))
    assert lines[begin + 1] == LEGEND and sum(" > " in line for line in lines[begin + 2 :]) == 3
    assert lines[-1].startswith(PROMPT) and max(map(columns, lines)) <= 80


def test_samples_that_are_the_same_are_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROMPT, "--strategy", "beam", "--num-samples", "2", "--max-new-tokens", "2") == 0
    assert "beam makes no random choices: all 2 texts are the same" in capsys.readouterr().err


# -- ends that are not errors -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("output", ["--quiet", "--json"])
def test_ctrl_c_ends_with_what_there_is(output: str) -> None:
    options = ("--model", "storybook", "--strategy", "sample", "--seed", "1", "--num-samples", "40")
    process = start(PROMPT, *options, "--max-new-tokens", "480", output)
    assert process.stdout is not None
    if output == "--quiet":
        beginning = process.stdout.read(30)
    else:
        time.sleep(8)  # it prints nothing before a text ends
        beginning = b""
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in error
    text = (beginning + rest).decode()
    if output == "--json":
        for line in text.splitlines():
            assert json.loads(line)["finish_reason"] in ("interrupted", "eos")
    assert text.endswith("\n")


def interrupted_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody pressed Ctrl-C when `count` pieces had been made."""
    from collections.abc import Iterator

    from decoding import Piece, stream

    def interrupted(*arguments: object, **options: object) -> Iterator[Piece]:
        pieces = stream(*arguments, **options)  # type: ignore[arg-type]
        for _ in range(count):
            yield next(pieces)
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.answer.stream", interrupted)


def test_ctrl_c_prints_all_samples_what_was_held_back_and_the_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_after(8, monkeypatch)  # 3 ids of the first two samples, 2 of the third
    options = (PROMPT, "--strategy", "sample", "--top-k", "1", "--num-samples", "3", "--seed", "9")
    assert run(*options, "--stop", "was a boy") == 130  # " was" may be the beginning of the stop
    output = capsys.readouterr()
    texts = [f"--- sample {n} of 3\n{PROMPT}{text}\n" for n, text in enumerate([", there was"] * 2 + [", there"], 1)]
    assert output.out == "\n".join(texts)
    assert "seed 9: 8 ids" in output.err
    assert "(interrupted)" in output.err

    interrupted_after(8, monkeypatch)
    assert run(*options, "--json") == 130
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["sample"], len(line["ids"]), line["finish_reason"]) for line in lines] == [
        (0, 3, "interrupted"),
        (1, 3, "interrupted"),
        (2, 2, "interrupted"),
    ]


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize(
    ("closed", "code", "words"), [(">&-", 0, "storybook, Greedy()"), ("<&-", 1, "prompt is empty")]
)
def test_closed_streams_are_no_traceback(closed: str, code: int, words: str) -> None:
    prompt = f"'{PROMPT}'" if closed == ">&-" else ""
    command = (
        f"{sys.executable} {ROOT / 'scripts' / 'generate.py'} {prompt} --model storybook --max-new-tokens 2 {closed}"
    )
    result = subprocess.run(command, shell=True, stderr=subprocess.PIPE, encoding="utf-8", check=False, env=ENVIRONMENT)
    assert result.returncode == code
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_error() -> None:
    process = start(PROMPT, "--model", "storybook", "--max-new-tokens", "300")
    assert process.stdout is not None
    assert process.stdout.read(20) == b"Once upon a time, th"
    process.stdout.close()
    assert process.stderr is not None
    error = process.stderr.read()
    assert process.wait(timeout=60) == 0
    assert b"Traceback" not in error
    assert b"Exception" not in error


# -- models -----------------------------------------------------------------------------------------------------------


def test_without_a_model_and_without_the_hub_storybook_speaks(tmp_path: Path) -> None:
    """The Hub is an address on this machine where nobody listens."""
    process = start(PROMPT, "--max-new-tokens", "3", env={**ENVIRONMENT, "HF_HOME": str(tmp_path)})
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"Once upon a time, there was\n")
    first = error.decode().splitlines()[0]
    assert first.startswith("generate.py: gpt2 is out of reach (")
    assert first.endswith("the bundled storybook speaks instead")


def test_the_second_start_makes_no_request(tmp_path: Path) -> None:
    """Against a stand-in for the Hub, which has storybook under the name of gpt2. No telemetry either."""
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "HF_HUB_DISABLE_TELEMETRY"}
    with stand_in.running() as hub:
        bundled = ROOT / "gpt2" / "storybook"
        hub.add("openai-community/gpt2", bundled, commit=PUBLISHED["gpt2"].revision)
        code = children.believing("gpt2", bundled) + children.script("generate")
        environment |= {"HF_HOME": str(tmp_path), "HF_ENDPOINT": hub.address, "NO_PROXY": "127.0.0.1"}
        for expected in ({"config.json", "model.safetensors"}, set()):
            process = children.start(code, PROMPT, "--max-new-tokens", "3", "--json", env=environment)
            out, error = process.communicate(timeout=60)
            assert (process.returncode, error) == (0, "")
            result = json.loads(out)
            assert (result["model"], result["revision"]) == ("gpt2", PUBLISHED["gpt2"].revision)
            assert {request.file for request in hub.requests} == expected
            hub.requests.clear()


def test_a_proxy_that_cannot_be_used_counts_as_out_of_reach(tmp_path: Path) -> None:
    """SOCKS needs a package that is not installed; without it the HTTP client raises ImportError."""
    environment = {**ENVIRONMENT, "HF_HOME": str(tmp_path), "ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": ""}
    process = start(PROMPT, "--max-new-tokens", "3", env=environment)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"Once upon a time, there was\n")
    assert "the bundled storybook speaks instead" in error.decode()
    assert "Traceback" not in error.decode()


def test_a_model_asked_for_by_name_never_falls_back(tmp_path: Path) -> None:
    process = start(PROMPT, "--model", "gpt2", env={**ENVIRONMENT, "HF_HOME": str(tmp_path)})
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert error.decode().count("\n") == 1
    assert "cannot be reached for gpt2" in error.decode()


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([""], "the prompt is empty"),
        (["word " * 600], "more than the model's 512 positions"),
        (["hi", "--temperature", "-1"], "temperature is a number of at least 0; got -1.0"),
        (["hi", "--temperature", "nan"], "temperature is a number of at least 0; got nan"),
        (["hi", "--top-p", "1.5"], "above 0 and at most 1; got 1.5"),
        (["hi", "--top-k", "0"], "at least 1; got 0"),
        (["hi", "--num-samples", "0"], "num_samples must be at least 1; got 0"),
        (["hi", "--max-new-tokens", "0"], "max_new_tokens must be at least 1; got 0"),
        (["hi", "--seed", "-1"], "got -1"),
        (["hi", "--stop", ""], "empty stop"),
        (["hi", "--model", "nobody"], "there is no model 'nobody'"),
        (["hi", "--device", "abacus"], "the device 'abacus' cannot be used here"),
        (["hi", "--device", "meta"], "the device 'meta' cannot be used here"),
        (["hi", "--device", "hpu"], "the device 'hpu' cannot be used here"),
        (["hi", "--model", ""], "there is no model ''"),
        (["hi", "--revision", "main"], "leave it out"),
        (["\udcff"], "half of a surrogate pair"),
    ],
)
def test_bad_input_is_one_sentence(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*options) == 1  # laws 9, 13
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("generate.py: ")
    assert words in output.err


@pytest.mark.parametrize(
    "options",
    [
        ["hi", "--top-k", "many"],
        ["hi", "--strategy", "psychic"],
        ["hi", "--no-such-option"],
        ["hi", "--json", "--show-probabilities"],
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = program.main(options)
    except SystemExit as ended:  # as argparse does it
        code = ended.code
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


def damaged_directory(folder: Path, damage: str) -> None:
    """A copy of storybook with one thing wrong."""
    import torch

    source = ROOT / "gpt2" / "storybook"
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    if damage == "no weights":
        return
    if damage == "cut off":
        (folder / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes()[:1_000_000])
        return
    tensors = load_file(source / "model.safetensors")
    if damage == "missing":
        del tensors["h.3.mlp.c_fc.bias"]
    elif damage == "extra":
        tensors["h.9.mlp.c_fc.bias"] = torch.zeros(3)
    elif damage == "misshapen":
        tensors["h.0.attn.c_attn.weight"] = tensors["h.0.attn.c_attn.weight"].T.contiguous()
    elif damage == "NaN":
        tensors["h.1.ln_1.bias"][5] = float("nan")
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("no weights", "holds no weights"),
        ("cut off", "is cut off or damaged"),
        ("missing", "h.3.mlp.c_fc.bias is missing"),
        ("extra", "h.9.mlp.c_fc.bias is not a tensor of this network"),
        ("misshapen", "h.0.attn.c_attn.weight has the shape (768, 256) instead of (256, 768)"),
        ("NaN", "h.1.ln_1.bias holds NaN or infinity"),
    ],
)
def test_a_damaged_model_is_one_sentence(
    damage: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged_directory(tmp_path, damage)  # law 12
    assert program.main(["hi", "--model", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_invalid_utf_8_on_standard_input_is_one_sentence() -> None:
    process = start("--model", "storybook", stdin=subprocess.PIPE)
    out, error = process.communicate(b"Once \xff upon")
    assert (process.returncode, out) == (1, b"")
    assert error.decode().splitlines() == ["generate.py: standard input is not UTF-8: byte 5 is 0xff; convert it first"]


def test_a_cache_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    obstacle = tmp_path / "file"
    obstacle.write_text("not a folder", encoding="utf-8")
    process = start("hi", "--model", "gpt2", env={**ENVIRONMENT, "HF_HOME": str(obstacle)})
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert error.decode().count("\n") == 1
    assert "point HF_HOME to a folder that can be read and written" in error.decode()
