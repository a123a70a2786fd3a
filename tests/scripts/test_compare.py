"""scripts/compare.py as its users meet it, and what it is put together from."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from decoding import ClassifierFreeGuidance, Comparison, Greedy, Sample, Temperature, Tokenizer, TopP, compare, generate
from decoding.compare import Result, parts_after
from decoding.generate import Generation
from decoding.legible import columns
from decoding.measures import Measure
from decoding.trace import Trace
from gpt2 import GPT2
from scripts import compare as program
from scripts.paint import Paint
from scripts.side_by_side import (
    CAUTION,
    MARK,
    MEANINGS,
    Cell,
    legend,
    legible,
    paragraph,
    parted,
    side_by_side,
    table,
    terminal_width,
    wrapped,
)
from tests.conftest import ROOT

PROMPT = "Once upon a time"
WITH = ("--with", "sample", "--with", "sample --top-p 0.5", "--with", "greedy")
STRATEGIES = {"sample": Sample(), "sample --top-p 0.5": Sample(TopP(0.5)), "greedy": Greedy()}
SETTINGS = ("--num-samples", "2", "--max-new-tokens", "6", "--seed", "4")
_KNOWN: dict[str, Comparison] = {}


def remembered(
    model: GPT2,
    tokenizer: Tokenizer,
    prompt: str,
    strategies: Any,
    *,
    report: Callable[[str, Result], None] | None = None,
    **how: Any,
) -> Comparison:
    """As `compare`, but what was asked for before is not computed again."""
    key = repr((type(model), prompt, strategies, how))
    if key not in _KNOWN:
        _KNOWN[key] = compare(model, tokenizer, prompt, strategies, **how, report=report)
    elif report is not None:
        for name, result in _KNOWN[key].results.items():
            report(name, result)
    return _KNOWN[key]


class Terminal(io.TextIOWrapper):
    """Standard output that a person looks at."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")

    def isatty(self) -> bool:
        return True

    def printed(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(self.encoding)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, storybook: GPT2, tokenizer: Tokenizer) -> None:
    """A terminal of 80 columns with colours. Model and vocabulary are loaded already, and nothing is computed twice."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(program, "load_model", lambda options, name: storybook)
    monkeypatch.setattr(Tokenizer, "__init__", lambda self: self.__dict__.update(tokenizer.__dict__))
    monkeypatch.setattr("decoding.compare", remembered)


@pytest.fixture(scope="module")
def found(storybook: GPT2, tokenizer: Tokenizer) -> dict[str, Result]:
    return compare(
        storybook, tokenizer, PROMPT, STRATEGIES, max_new_tokens=6, num_samples=2, seed=4, trace=True
    ).results


def run(*options: str) -> int:
    return program.main([PROMPT, *options])


def text_of(sample: Generation, parts_at: int | None, tokenizer: Tokenizer) -> str:
    """A text with the mark, on one line."""
    same, token, rest = parted(sample, parts_at, tokenizer)
    return same + (MARK if parts_at is not None else "") + token + rest


# -- the whole page ---------------------------------------------------------------------------------------------------


def test_names_texts_and_table(
    capsys: pytest.CaptureFixture[str], found: dict[str, Result], tokenizer: Tokenizer
) -> None:
    assert run(*WITH, *SETTINGS) == 0
    output = capsys.readouterr()
    blocks = output.out.rstrip("\n").split("\n\n")
    assert blocks[:2] == [PROMPT, "1  sample\n2  sample --top-p 0.5\n3  greedy"]
    headings, *rows = blocks[2].splitlines()[1:]
    assert blocks[2].startswith("--- sample 1 of 2\n")
    for number, result in enumerate(found.values()):
        column = slice(27 * number, 27 * number + 25)  # 3 texts of 25 columns, 2 between
        at = result.parts_at[0]
        heading = f"  parts after {at} ids".replace(" 1 ids", " 1 id") if at is not None else ""
        assert headings[column].rstrip() == f"{number + 1}{heading}"
        shown = "".join(row[column].strip() for row in rows)
        assert shown.replace(" ", "") == re.sub(r"\s", "", text_of(result.samples[0], at, tokenizer))
    results = list(found.values())
    plain = Paint(io.StringIO())
    assert blocks[-2] == "--- measures of 2 texts each\n" + table(results, plain, 80)
    assert blocks[-1] == legend(results, 80)
    notes = output.err.splitlines()
    assert [note.split(" ids after ")[0] for note in notes[:-1]] == [
        f"compare.py: {number}, {name}: {sum(len(sample.ids) for sample in result.samples)}"
        for number, (name, result) in enumerate(found.items(), 1)
    ]
    assert notes[-1] == "compare.py: storybook, seed 4"


@pytest.mark.parametrize("width", ["40", "80", "120"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_everything_fits_and_colours_change_no_text(
    width: str, encoding: str, monkeypatch: pytest.MonkeyPatch, found: dict[str, Result]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    wide = "你好，世界。" * 8 + "\x1b[31m" + "-" * 200
    printed = {}
    for colour in ("", "1"):
        monkeypatch.setenv("NO_COLOR", colour)
        output = Terminal(encoding)
        monkeypatch.setattr(sys, "stdout", output)
        how = ["--num-samples", "2", "--max-new-tokens", "3", "--seed", "1", "--show", "2", "--explain"]
        assert program.main([wide, *WITH, *how]) == 0
        printed[colour] = output.printed()
    assert re.sub(r"\x1b\[[0-9;]*m", "", printed[""]) == printed["1"] != printed[""]
    assert "\x1b" not in printed["1"]
    for line in printed["1"].splitlines():
        assert columns(line) <= int(width) and line == line.rstrip()


def test_several_samples_and_none(capsys: pytest.CaptureFixture[str]) -> None:
    for show in (0, 2):
        assert run(*WITH, *SETTINGS, "--show", str(show)) == 0
        assert re.findall("--- sample (.*)", capsys.readouterr().out) == [f"{n} of 2" for n in range(1, show + 1)]


def test_quiet_prints_texts_and_table_only(capsys: pytest.CaptureFixture[str], found: dict[str, Result]) -> None:
    assert run(*WITH, *SETTINGS, "--quiet") == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.startswith("1  sample\n")
    assert output.out.endswith(table(list(found.values()), Paint(io.StringIO()), 80) + "\n")


def test_a_fresh_seed_is_told_and_repeats_the_run(capsys: pytest.CaptureFixture[str]) -> None:  # law 4
    how = ("--with", "sample", "--with", "greedy", "--num-samples", "2", "--max-new-tokens", "4")
    assert run(*how) == 0
    first = capsys.readouterr()
    seed = first.err.splitlines()[-1].split("seed ")[1]
    assert run(*how, "--seed", seed) == 0
    assert capsys.readouterr().out == first.out


def test_the_prompt_may_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--with", "greedy", "--num-samples", "1", "--max-new-tokens", "2"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{PROMPT}\n".encode()), encoding="utf-8"))
    assert program.main(how) == 0
    assert capsys.readouterr().out.startswith(f"{PROMPT}\n\n1  greedy\n")

    person = Terminal()
    monkeypatch.setattr(sys, "stdin", person)
    assert program.main(how) == 1  # nothing was typed
    assert capsys.readouterr().err.splitlines() == [
        "compare.py: the prompt is read from standard input; Ctrl-D ends it",
        "compare.py: the prompt is empty; a language model needs at least one id to predict the next from",
    ]


def test_what_cannot_show_a_difference_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--with", "greedy --top-p 0.9", "--num-samples", "1", "--max-new-tokens", "1") == 0
    notes = capsys.readouterr().err
    assert "compare.py: there is one strategy only; --with sample would add" in notes
    assert "compare.py: 1: greedy decoding always takes the likeliest id, which these options do not change" in notes
    how = ("--num-samples", "1", "--max-new-tokens", "1")
    assert run("--with", "greedy --no-repeat-ngram 2", "--with", "sample", *how) == 0
    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.skipif(os.name == "nt", reason="environment of POSIX")
def test_as_a_program_in_a_narrow_pipe_without_utf_8() -> None:
    script = str(ROOT / "scripts" / "compare.py")
    how = [
        "--model",
        "storybook",
        "--with",
        "sample",
        "--with",
        "greedy",
        "--num-samples",
        "2",
        "--max-new-tokens",
        "4",
    ]
    environment = {**os.environ, "COLUMNS": "44", "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [sys.executable, script, *how], input="Once – upon".encode(), capture_output=True, check=True, env=environment
    )
    printed = result.stdout.decode("ascii")
    assert printed.startswith("Once \\u2013 upon\n\n1  sample\n2  greedy\n\n--- sample 1 of 2\n1\n")
    assert "+/-" in printed and max(map(len, printed.splitlines())) <= 44
    assert result.stderr.decode().splitlines()[-1].startswith("compare.py: storybook, seed ")


# -- other output -----------------------------------------------------------------------------------------------------


def test_json_is_one_object_with_everything(capsys: pytest.CaptureFixture[str], found: dict[str, Result]) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert run(*WITH, *SETTINGS, "--json") == 0
    output = capsys.readouterr()
    assert output.err == "" and output.out.count("\n") == 1
    data = json.loads(output.out, parse_constant=refuse)
    assert (data["prompt"], data["seed"], data["draw"], data["stop"]) == (PROMPT, 4, "gumbel", [])
    assert (data["max_new_tokens"], data["num_samples"]) == (6, 2)
    assert (data["model"], data["revision"], data["unfinished"]) == ("storybook", None, [])
    for got, (name, result) in zip(data["strategies"], found.items(), strict=True):
        assert (got["with"], got["strategy"]) == (name, repr(result.strategy))
        for kind in ("measures", "differences"):
            expected = {key: pytest.approx(value._asdict()) for key, value in getattr(result, kind).items()}
            assert got[kind] == expected
        for sample, one, entropies, at in zip(
            got["samples"], result.samples, result.entropies, result.parts_at, strict=True
        ):
            for field in ("sample", "text", "ids", "finish_reason"):
                assert sample[field] == getattr(one, field)
            for field in ("model_logprobs", "processed_logprobs"):
                assert sample[field] == pytest.approx(getattr(one, field))
            assert (sample["entropies"], sample["parts_at"]) == (pytest.approx(entropies), at)


def test_json_has_null_for_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--with", "greedy", "--num-samples", "1", "--max-new-tokens", "1", "--stop", "zebra", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["stop"] == ["zebra"]
    measures = data["strategies"][0]["measures"]
    assert measures["distinct-2"] == {"value": None, "standard_error": None}
    assert measures["distinct-1"] == {"value": 1.0, "standard_error": None}


def test_explain_tells_of_both_ids_under_both_strategies(
    capsys: pytest.CaptureFixture[str], storybook: GPT2, tokenizer: Tokenizer
) -> None:
    assert run(*WITH, *SETTINGS, "--explain") == 0
    printed = " ".join(capsys.readouterr().out.split())
    first, *others = (
        generate(storybook, tokenizer, PROMPT, strategy, max_new_tokens=6, seed=4, num_samples=2, trace=True)[0]
        for strategy in STRATEGIES.values()
    )
    removed = 0
    for number, other in enumerate(others, 2):
        at = parts_after(first.ids, other.ids)
        assert at is not None
        ours, theirs = first.ids[at], other.ids[at]
        names = [first.trace.name(id) for id in (ours, theirs)]
        why = [
            *(first.trace.why(at, id) for id in (ours, theirs)),
            *(other.trace.why(at, id) for id in (theirs, ours)),
        ]
        removed += why[3].count("; TopP(0.5) removed it: ")
        said = "step {}: 1 takes {}, {} takes {} 1 {} {} {} {} {}"
        assert said.format(at + 1, names[0], number, names[1], *why[:2], number, *why[2:]) in printed
    assert removed == 1  # top-p removed what plain sampling drew; greedy decoding removes nothing


def test_explain_where_nothing_parts(capsys: pytest.CaptureFixture[str]) -> None:
    how = ("--with", "greedy", "--with", "sample --temperature 0", "--num-samples", "1", "--max-new-tokens", "3")
    assert run(*how, "--explain") == 0
    printed = capsys.readouterr().out
    assert "2  the same as 1\n" in printed and MARK not in printed
    assert "--- measures of 1 text each\n" in printed and "±" not in printed
    assert "\n\n--- why the texts of sample 1 part\n\nThey do not: the texts are the same.\n\n" in printed


# -- Ctrl-C -----------------------------------------------------------------------------------------------------------


def test_ctrl_c_loses_nothing_that_was_finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: dict[str, Result]
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Greedy, "run", interrupt)
    how = (*WITH, "--with", "sample --top-k 3", *SETTINGS)
    assert run(*how) == 130
    output = capsys.readouterr()
    finished = list(found.values())[:2]
    assert "1  sample\n2  sample --top-p 0.5\n\n--- sample 1 of 2\n" in output.out
    assert table(finished, Paint(io.StringIO()), 80) in output.out
    assert output.err.splitlines()[-2:] == [
        "compare.py: storybook, seed 4",
        "compare.py: interrupted: 'greedy', 'sample --top-k 3' not finished",
    ]

    assert run(*how, "--json") == 130
    data = json.loads(capsys.readouterr().out)
    assert [result["with"] for result in data["strategies"]] == ["sample", "sample --top-p 0.5"]
    assert data["unfinished"] == ["greedy", "sample --top-k 3"]

    assert run("--with", "greedy", *SETTINGS, "--quiet") == 130
    assert capsys.readouterr() == ("", "")


def test_a_draft_that_does_not_fit_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--with", "sample", "--with", "greedy --early-exit 9", *SETTINGS) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "compare.py: --with 2, 'greedy --early-exit 9': an early exit lies behind 1 to 6 of this model's layers; got 9"
    ]


def test_drafts_can_be_compared_with_plain_sampling(capsys: pytest.CaptureFixture[str]) -> None:
    shared = "sample --early-exit 4 --verify shared-noise"
    how = ("--with", "sample", "--with", shared, "--with", "sample --prompt-lookup", *SETTINGS)
    assert run(*how) == 0
    output = capsys.readouterr()
    assert "2 the same as 1" in " ".join(output.out.split())
    assert re.search(rf"2, {shared}: 12 ids after .* \(length\); \d+ of \d+ drafted ids accepted, ", output.err)
    assert re.search(r"1, sample: 12 ids after [\d.]+ s \(length\)\n", output.err)
    assert run(*how, "--json") == 0
    sample, drafted, _ = json.loads(capsys.readouterr().out)["strategies"]
    for one, other in zip(sample["samples"], drafted["samples"], strict=True):
        assert one["ids"] == other["ids"] and other["parts_at"] is None
        assert "rounds" not in one
        assert sum(a["accepted"] + (a["added"] is not None) for a in other["rounds"]["rounds"]) == 6


def test_all_strategies_may_write_with_a_model_made_of_others(
    capsys: pytest.CaptureFixture[str], storybook: GPT2, tokenizer: Tokenizer
) -> None:
    how = ("--guidance-scale", "-1", "--with", "sample", "--with", "greedy", *SETTINGS)
    assert run(*how, "--json") == 0
    got = json.loads(capsys.readouterr().out)
    assert (got["model"], got["combination"]) == ("storybook", "ClassifierFreeGuidance(scale=-1.0)")
    model = ClassifierFreeGuidance(storybook, scale=-1.0)
    assert (
        got["strategies"][1]["samples"][0]["ids"] == generate(model, tokenizer, PROMPT, Greedy(), max_new_tokens=6).ids
    )
    assert run(*how, "--show", "0") == 0
    assert capsys.readouterr().err.endswith("compare.py: storybook, ClassifierFreeGuidance(scale=-1.0), seed 4\n")
    assert run(*how, "--dola", "2") == 2
    assert capsys.readouterr().err == "compare.py: --guidance-scale and --dola make different models; take one\n"


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], 'there is nothing to compare: give strategies, such as --with sample --with "sample --top-k 5"'),
        (["--with", "psychic"], "--with 1, 'psychic': it begins with a strategy: greedy, sample"),
        (["--with", "sample", "--with", "sample --top-q 1"], "--with 2, 'sample --top-q 1': unrecognized arguments"),
        (["--with", "sample --top-p"], "--with 1, 'sample --top-p': argument --top-p: expected one argument"),
        (["--with", "sample --stop '"], '--with 1, "sample --stop \'": No closing quotation'),
        (["--with", "greedy", "--with", "sample", "--with", "greedy"], "--with 3 is the same as --with 1: 'greedy'"),
        (["--with"], "argument --with: expected one argument"),
        (["--with", "greedy", "--json", "--explain"], "--json and --explain are different forms of output; choose one"),
        (["--with", "greedy", "--top-p", "0.9"], "unrecognized arguments: --top-p 0.9"),
        (["--with", "greedy", "--show", "many"], "argument --show: invalid int value: 'many'"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*options)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert output.err.startswith(f"compare.py: {words}") and output.err.endswith("(--help lists the options)\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--with", "sample --top-p 1.5"], "--with 1, 'sample --top-p 1.5': top-p is a probability mass, above 0"),
        (["--with", "sample --xtc 0.1,0.5 --xtc 0.2,0.5"], "--with 1, 'sample --xtc 0.1,0.5 --xtc 0.2,0.5': XTC(0.1, "),
        (["--with", "greedy", "--num-samples", "0"], "num_samples must be at least 1; got 0"),
        (["--with", "greedy", "--max-new-tokens", "0"], "max_new_tokens must be at least 1; got 0"),
        (["--with", "greedy", "--seed", "-1"], "a seed is a whole number"),
        (["--with", "greedy", "--stop", ""], "an empty stop would end every text"),
        (["--with", "greedy", "--show", "21"], "show is a number of texts, from 0 to 20 (num_samples); got 21"),
        (["--with", "greedy", "--show", "-1"], "show is a number of texts, from 0 to 20 (num_samples); got -1"),
    ],
)
def test_bad_input_is_one_sentence_before_a_model_is_loaded(
    options: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # law 13
    monkeypatch.setattr(program, "load_model", lambda options, name: pytest.fail("a model was loaded"))
    assert run(*options) == 1
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert output.err.startswith(f"compare.py: {words}")


def test_a_value_that_cannot_be_read_is_a_wrong_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--with", "greedy", "--with", "sample --top-k x") == 2
    assert capsys.readouterr() == (
        "",
        "compare.py: --with 2, 'sample --top-k x': --top-k: 'x' is not a whole number; "
        "it is written --top-k K, such as --top-k 40\n",
    )


@pytest.mark.parametrize(
    ("prompt", "strategy", "words"),
    [
        ("", "greedy", "the prompt is empty"),
        ("word " * 600, "greedy", "more than the model's 512 positions; shorten it"),
        (" word" * 512, "greedy", "fills the model's 512 positions and leaves no room for a text; shorten it"),
        ("hi", "sample --suppress 99999999", "99999999"),
        ("hi", "sample --early-exit 9", "an early exit lies behind 1 to 6"),
        ("hi", "sample --top-k 1 --force 0=11", "Force({0: 11}) removed every id that was left"),
    ],
)
def test_what_only_the_model_can_tell_is_one_sentence(
    prompt: str, strategy: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--with", strategy, "--with", "sample", "--num-samples", "2", "--max-new-tokens", "2", "--quiet"]
    assert program.main([prompt, *how]) == 1
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert output.err.startswith("compare.py: ") and words in output.err


# -- pieces -----------------------------------------------------------------------------------------------------------


def generation(ids: list[int], text: str, finish_reason: Any = "length") -> Generation:
    return Generation(
        [1], 0, ids, [-1.0] * len(ids), [-1.0] * len(ids), finish_reason, 0, Trace(), prompt="p", text=text
    )


def test_a_text_is_parted_at_its_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(" a dog sat")
    one = generation(ids, " a dog sat")
    for at in range(len(ids)):
        same, token, rest = parted(one, at, tokenizer)
        assert (same, token) == (tokenizer.decode(ids[:at]), tokenizer.decode(ids[at : at + 1]))
        assert same + token + rest == one.text
    assert parted(one, None, tokenizer) == (" a dog sat", "", "")


def test_a_text_is_never_parted_inside_a_character(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a😀b")
    assert len(ids) > 3
    for at in range(1, len(ids) - 1):
        assert parted(generation(ids, "a😀b"), at, tokenizer) == ("a", "😀", "b")
    assert parted(generation(ids, "a😀b"), len(ids) - 1, tokenizer) == ("a😀", "b", "")


def test_a_text_that_ends_where_it_parts(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(" a dog")
    assert parted(generation([*ids, tokenizer.eos_id], " a dog", "eos"), len(ids), tokenizer) == (" a dog", "", "")
    assert parted(generation(ids, " a d", "stop"), 1, tokenizer) == (" a", " d", "")  # the stop was "og"
    assert parted(generation(ids, "", "stop"), 1, tokenizer) == ("", "", "")


def test_texts_stand_side_by_side_where_there_is_room_and_else_one_below_the_other(tokenizer: Tokenizer) -> None:
    samples = [generation(tokenizer.encode(text), text) for text in (" a dog sat", " a cat sat", " a dog sat")]
    parts_at = [None, 1, None]
    plain = Paint(io.StringIO())
    assert side_by_side(samples, parts_at, tokenizer, plain, 76).splitlines() == [
        "1                         2  parts after 1 id       3  the same as 1",
        " a dog sat                 a| cat sat                a dog sat",
    ]
    assert side_by_side(samples, parts_at, tokenizer, plain, 75).split("\n") == [
        *("1", "    a dog sat", ""),
        *("2  parts after 1 id", "    a| cat sat", ""),
        *("3  the same as 1", "    a dog sat"),
    ]


def test_what_is_the_same_is_dim_and_the_token_that_parts_is_not(tokenizer: Tokenizer) -> None:
    samples = [generation(tokenizer.encode(text), text) for text in (" a dog sat", " a cat sat")]
    shown = side_by_side(samples, [None, 1], tokenizer, Paint(Terminal()), 80).splitlines()[1]
    assert shown == f" a dog sat{' ' * 31}\x1b[2m a\x1b[0m\x1b[33m| cat\x1b[0m sat"


def test_lines_end_between_words_and_lose_nothing() -> None:
    for text in ("one two  three\n\n  four", "x" * 30 + " y", "你好，世界 " * 4, " lead  \nand  ", "", "e\u0301" * 12):
        for width in (2, 3, 7, 10, 80):
            cells = [Cell(c, "rest") for c in text]
            lines = ["".join(cell.character for cell in line) for line in wrapped(cells, width)]
            assert all(columns(line) <= width and line == line.rstrip(" ") for line in lines)
            assert "".join("".join(lines).split()) == "".join(text.split())
            if width == 80:
                assert lines == [line.rstrip(" ") for line in text.split("\n")]
    assert paragraph("one two  three four", 9) == "one two\nthree\nfour"
    assert paragraph("one two\0three", 8, "- ", "  ") == "- one\n  two th\n  ree"  # longer than a line


def test_what_prints_nothing_is_escaped_but_for_newlines() -> None:
    assert legible("a\tb\nc\x1b[1m\u200b") == "a\\tb\nc\\x1b[1m\\u200b"


def test_the_width_is_that_of_the_terminal_within_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for set_to, width in (("80", 80), ("100", 100), ("10", 40), ("400", 120)):
        monkeypatch.setenv("COLUMNS", set_to)
        assert terminal_width() == width


def result(measures: dict[str, Measure], differences: dict[str, Measure]) -> Result:
    return Result(Sample(Temperature(0.5)), [], [], measures, differences, [])


def test_the_table_shows_as_many_digits_as_the_errors_allow() -> None:
    results = [
        result(
            {"log-probability": Measure(-2.537, 0.153), "ids": Measure(40.0, 0.0), "distinct-1": Measure(0.344)}, {}
        ),
        result(
            {"log-probability": Measure(-1.92, 0.0088), "ids": Measure(7.25, 1.5), "distinct-1": Measure(float("nan"))},
            {"log-probability": Measure(0.617, 0.1201), "ids": Measure(-0.04, 1.5)},
        ),
        result(
            {"log-probability": Measure(-2.537, 1e-17), "ids": Measure(140, 0.0), "distinct-1": Measure(1.0)},
            {"log-probability": Measure(-1e-9, 1e-17), "ids": Measure(100.0, 0.0)},
        ),
    ]
    plain = Paint(io.StringIO())
    expected = """\
                      1               2               3
log-probability  -2.537 ± 0.153  -1.920 ± 0.009  -2.537 ± 0.000
  against 1                      +0.617 ± 0.120  +0.000 ± 0.000
ids                40.0 ± 0.0       7.2 ± 1.5     140.0 ± 0.0
  against 1                        -0.0 ± 1.5    +100.0 ± 0.0
distinct-1         0.34               -            1.00"""
    assert table(results, plain, 80) == expected.replace("-0.0 ± 1.5", "+0.0 ± 1.5")  # there is no -0.0
    one, *others = table(results, plain, 40).split("\n\n")
    assert len(others) == 2 and "against" not in one and all("  against 1" in other for other in others)


def test_the_legend_tells_what_every_row_means(found: dict[str, Result]) -> None:
    assert all(one.measures.keys() == MEANINGS.keys() for one in found.values())
    several, alone = legend(list(found.values()), 80), legend(list(found.values())[:1], 80)
    for name in [*MEANINGS, "±"]:
        assert f"\n{name}  " in f"\n{several}".replace("   ", "  ") and f"\n{name} " in f"\n{alone}"
    assert "\nagainst 1 " in several and "against" not in alone
    assert " ".join(several.split()).endswith(CAUTION)
