"""scripts/reproduce.py: how facts are read, run, compared and shown. test_reproduce_faults.py has mistakes planted."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from decoding import Greedy, Tokenizer, generate_ids
from decoding.legible import columns
from gpt2 import GPT2, PUBLISHED
from gpt2.hub import STORYBOOK, locate
from scripts import reproduce
from scripts.command import run_command
from scripts.paint import Paint
from scripts.reproduction import fact as facts_module
from scripts.reproduction import forward, report, tutorial, writing
from scripts.reproduction import run as run_module
from scripts.reproduction.bench import Bench, Waits
from scripts.reproduction.fact import Fact, load, select
from scripts.reproduction.run import RUNNERS, Outcome, missing_strategy, run
from scripts.reproduction.verdict import Comparison, Unchecked, compare
from tests.conftest import ROOT
from tests.gpt2.small import small_config, small_model, write_model
from tests.hub.children import as_published, environment
from tests.hub.conftest import NOBODY, cache

FIXTURES = (cache,)  # an empty cache, and a Hub that refuses connections
FILES = ("published.json", "storybook.json")
SEARCHES = ("beam", "beam_expand", "exhaustive_tree")
ALL = [fact for file in FILES for fact in load(file)]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def a_fact(**fields: Any) -> Fact:
    common = {"id": "X-1", "model": "gpt2", "kind": "logits", "run": {"name": "forward"}, "expected": {}, "compare": {}}
    return Fact(**{**common, "source": "a page", **fields})


# -- verdict.py: what was expected and what came out ------------------------------------------------------------------


def judge(expected: Any, got: Any, *, float64: bool = False, **rule: Any) -> Comparison:
    fact = a_fact(expected={"it": expected}, compare={"it": rule})
    (comparison,) = compare(fact, {"it": got}, float64=float64)
    return comparison


CANDIDATES = [{"text": "a kid", "new_ids": [257, 5141], "logprob": -3.091}, {"text": "a child", "logprob": -4.808}]
NAN, INFINITY = math.nan, math.inf


def candidates(**changes: Any) -> list[dict[str, Any]]:
    """CANDIDATES as they might come out: the second one changed, and both with more than was published."""
    first, second = copy.deepcopy(CANDIDATES)
    return [{**first, "score": 1.0}, {**second, "new_ids": [257, 1200], **changes}]


@pytest.mark.parametrize(
    ("expected", "got", "rule", "agrees"),
    [
        ([1, 2], [1, 2], {"mode": "exact"}, True),
        ([1, 2], [1, 3], {"mode": "exact"}, False),
        ([1, 2], [1, 2, 3], {"mode": "exact"}, False),
        ("a", "b", {"mode": "exact"}, False),
        (["", "transformer."], "transformer.", {"mode": "exact", "any_of": True}, True),
        (["", "transformer."], "former.", {"mode": "exact", "any_of": True}, False),
        (["", "transformer."], "transformer.", {"mode": "exact"}, False),
        # of each of several only what the rule names
        (CANDIDATES, candidates(), {"mode": "exact"}, False),
        (CANDIDATES, candidates(), {"mode": "exact", "on": "text"}, True),
        (CANDIDATES, candidates(text="a kind"), {"mode": "exact", "on": "text"}, False),
        (CANDIDATES, candidates()[:1], {"mode": "exact", "on": "text"}, False),
        (CANDIDATES, candidates()[::-1], {"mode": "exact", "on": "text"}, False),
        # prefix: all that was expected, or its first n
        ([1, 2], [1, 2, 3], {"mode": "prefix"}, True),
        ([1, 2], [1, 3, 3], {"mode": "prefix"}, False),
        ([1, 2], [1], {"mode": "prefix"}, False),
        ([1, 2, 9], [1, 2, 3], {"mode": "prefix", "n": 2}, True),
        ([1, 2, 9], [1, 3, 9], {"mode": "prefix", "n": 2}, False),
        ([1, 2, 9], [1], {"mode": "prefix", "n": 2}, False),
        ("one", "one more", {"mode": "prefix"}, True),
        # numbers
        (1.0, 1.25, {"mode": "allclose", "atol": 0.25}, True),
        (1.0, 1.26, {"mode": "allclose", "atol": 0.25}, False),
        (1.0, 0.74, {"mode": "allclose", "atol": 0.25}, False),
        (16, 16.2, {"mode": "allclose", "atol": 0.25}, True),
        (16, 16.3, {"mode": "allclose", "atol": 0.25}, False),
        (16.0, 16, {"mode": "allclose", "atol": 0.0}, True),
        (100.0, 101.4, {"mode": "allclose", "atol": 0.5, "rtol": 0.01}, True),
        (100.0, 101.6, {"mode": "allclose", "atol": 0.5, "rtol": 0.01}, False),
        (-100.0, -101.4, {"mode": "allclose", "atol": 0.5, "rtol": 0.01}, True),
        ([1.0, None, 3.0], [1.0, 77.0, 3.0], {"mode": "allclose", "atol": 0.1}, True),
        ([1.0, None, 3.0], [1.0, 2.0, 3.2], {"mode": "allclose", "atol": 0.1}, False),
        ([1.0, None, 3.0], [1.3, 2.0, 3.0], {"mode": "allclose", "atol": [0.5, None, 0.1]}, True),
        ([1.0, None, 3.0], [1.0, 2.0, 3.3], {"mode": "allclose", "atol": [0.5, None, 0.1]}, False),
        ([1.0, 2.0], [1.0], {"mode": "allclose", "atol": 9}, False),
        ([1.0, 2.0], [1.0, 2.0, 3.0], {"mode": "allclose", "atol": 9}, False),
        ([1.0, 2.0], 1.0, {"mode": "allclose", "atol": 9}, False),
        (1.0, [1.0], {"mode": "allclose", "atol": 9}, False),
        (1.0, None, {"mode": "allclose", "atol": 9}, False),
        ("1.0", 1.0, {"mode": "allclose", "atol": 9}, False),
        (1.0, "1.0", {"mode": "allclose", "atol": 9}, False),
        ({"5": 1.0}, {"5": 1.05}, {"mode": "allclose", "atol": 0.1}, True),
        ({"5": 1.0}, {"5": 1.2}, {"mode": "allclose", "atol": 0.1}, False),
        ({"5": 1.0}, {"6": 1.0}, {"mode": "allclose", "atol": 9}, False),
        ({"5": 1.0}, [1.0], {"mode": "allclose", "atol": 9}, False),
        ({"5": 1.0}, {"5": 1.0, "6": 2.0}, {"mode": "allclose", "atol": 0.1}, True),
        # ids and texts among numbers are compared exactly
        (CANDIDATES, candidates(logprob=-4.809), {"mode": "allclose", "atol": 0.01}, True),
        (CANDIDATES, candidates(logprob=-4.9), {"mode": "allclose", "atol": 0.01}, False),
        (CANDIDATES, candidates(text="a kind"), {"mode": "allclose", "atol": 9}, False),
        (CANDIDATES, candidates()[:1], {"mode": "allclose", "atol": 9}, False),
        (CANDIDATES, [{**candidates()[0], "new_ids": [257, 5142]}, candidates()[1]], {"mode": "allclose", "atol": 9},
         False),
        # what a rule calls exact has no tolerance
        (CANDIDATES, candidates(logprob=-4.809), {"mode": "allclose", "atol": 0.01, "exact": ["text"]}, True),
        (CANDIDATES, candidates(logprob=-4.809), {"mode": "allclose", "atol": 0.01, "exact": ["logprob"]}, False),
        (CANDIDATES, candidates(text="a kind"), {"mode": "allclose", "atol": 9, "exact": ["text"]}, False),
        # what is no number never agrees
        (1.0, NAN, {"mode": "allclose", "atol": 9}, False),
        (NAN, NAN, {"mode": "allclose", "atol": 9}, False),
        (1.0, INFINITY, {"mode": "allclose", "atol": 9}, False),
        (1.0, INFINITY, {"mode": "allclose", "atol": INFINITY}, False),
        (INFINITY, INFINITY, {"mode": "allclose", "atol": 9, "rtol": 0.1}, False),
        (INFINITY, 1.0, {"mode": "allclose", "atol": 9, "rtol": 0.1}, False),
        ([1.0, 2.0], [NAN, 2.0], {"mode": "allclose", "atol": 9}, False),
    ],
)  # fmt: skip
def test_values_are_compared_by_their_rule(expected: Any, got: Any, rule: dict[str, Any], agrees: bool) -> None:
    assert judge(expected, got, **rule).agrees is agrees


@pytest.mark.parametrize(
    ("expected", "got", "atol", "deviation", "allowed"),
    [
        ([1.0, 2.0, 3.0], [1.1, 2.3, 3.2], 1.0, 0.3, 1.0),
        ([1.0, 2.0, 3.0], [1.3, 2.004, 3.2], [1.0, 0.005, 1.0], 0.004, 0.005),  # nearest to its limit, not the largest
        ([1.0, 2.0, 3.0], [1.3, 2.004, 9.0], [1.0, 0.005, 1.0], 6.0, 1.0),  # furthest beyond it
        ([1.0, 2.0], [1.0, 2.5], [0.0, 1.0], 0.5, 1.0),
        ([1.0, 2.0], [1.1, 7.0], [0.0, 1.0], 0.1, 0.0),
        ([1.0, 2.0], [NAN, 2.5], 1.0, INFINITY, 1.0),
        ([1.0, 2.0], [7.0, -INFINITY], 1.0, INFINITY, 1.0),
        ([1.0, 2.0], [1.0, 2.0], 1.0, 0.0, 1.0),
        ([5, 6], [5, 6], 1.0, None, None),  # ids only
        ([1.0, 2.0], [1.0], 1.0, None, None),
    ],
)
def test_the_deviation_told_is_the_one_nearest_to_its_limit(
    expected: Any, got: Any, atol: Any, deviation: float | None, allowed: float | None
) -> None:
    comparison = judge(expected, got, mode="allclose", atol=atol)
    assert comparison.deviation == pytest.approx(deviation)
    assert comparison.allowed == allowed


def test_a_relative_tolerance_is_part_of_what_is_allowed() -> None:
    assert judge(-100.0, -101.0, mode="allclose", atol=0.5, rtol=0.01).allowed == 1.5


@pytest.mark.parametrize(("float64", "agrees"), [(False, True), (True, False)])
def test_float64_is_allowed_less(float64: bool, agrees: bool) -> None:
    rule = {"mode": "allclose", "atol": 1e-3, "atol_float64": 1e-6}
    assert judge(1.0, 1.0001, float64=float64, **rule).agrees is agrees
    assert judge(1.0, 1.0001, float64=float64, mode="allclose", atol=1e-3).agrees  # where no narrower one is known


def test_entries_without_a_rule_are_information() -> None:
    fact = a_fact(expected={"one": 1, "other": 2}, compare={"one": {"mode": "exact"}})
    assert [comparison.key for comparison in compare(fact, {"one": 1, "other": 3})] == ["one"]


def test_what_cannot_be_had_is_told() -> None:
    fact = a_fact(expected={"a": 1, "b": 2.0}, compare={"a": {"mode": "exact"}, "b": {"mode": "allclose", "atol": 1}})
    unchecked, other = compare(fact, {"a": Unchecked("only the file tells"), "b": 9.0})
    assert (unchecked.agrees, other.agrees) == (True, False)
    shown = report.block(Outcome(fact, "fail", [unchecked, other]), Paint(io.StringIO()))
    assert "a                       not compared: only the file tells" in shown
    assert "the same" not in shown
    told = json.loads(report.as_json(Outcome(fact, "fail", [unchecked])))["comparisons"][0]
    assert told["not_compared"] == "only the file tells"
    assert "got" not in told


def test_nothing_computed_for_an_entry_is_an_error(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    fact = a_fact(expected={"loss": 1.0}, compare={"loss": {"mode": "exact"}}, run={"name": "encode"})
    with pytest.raises(KeyError, match="X-1: nothing was computed for loss"):
        compare(fact, {"argmax": 5})
    monkeypatch.setitem(RUNNERS, "encode", lambda fact, bench: {"argmax": 5})
    outcome = run(fact, Bench(tokenizer))
    assert (outcome.verdict, "nothing was computed for loss" in outcome.error) == ("fail", True)


# -- fact.py, and the facts themselves --------------------------------------------------------------------------------


@pytest.fixture
def facts_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """facts/, as a copy that can be changed."""
    folder = tmp_path / "facts"
    shutil.copytree(ROOT / "facts", folder)
    monkeypatch.setattr(facts_module, "FACTS", folder)
    return folder


def change(folder: Path, id: str, edit: Callable[[dict[str, Any]], Any], file: str = "published.json") -> None:
    """Edit one fact of a file."""
    content = json.loads((folder / file).read_text(encoding="utf-8"))
    (entry,) = [entry for entry in content["facts"] if entry["id"] == id]
    edit(entry)
    (folder / file).write_text(json.dumps(content), encoding="utf-8")


def test_an_unknown_field_is_an_error(facts_folder: Path) -> None:
    change(facts_folder, "E-encode-00", lambda entry: entry.update(needs_wieghts=True))
    with pytest.raises(ValueError, match=r"published\.json: E-encode-00 has the field 'needs_wieghts', which no fact"):
        load("published.json")


def test_rows_of_a_fact() -> None:
    assert a_fact(prompt_ids=[1, 2]).rows == [[1, 2]]
    assert a_fact(prompt_ids=[[1], [2, 3]]).rows == [[1], [2, 3]]
    assert [a_fact(prompt_ids=ids).has_one_row for ids in ([], [1, 2], [[1, 2]])] == [True, True, False]


def test_ids_of_facts_are_unique_and_sources_are_named() -> None:
    assert [id for id, count in Counter(fact.id for fact in ALL).items() if count > 1] == []
    assert [fact.id for fact in ALL if not fact.source.strip()] == []


def test_the_readme_says_how_many_facts_there_are() -> None:
    readme = (ROOT / "facts" / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| \[`(\S+)`\]\(\1\) \| (\d+) \|", readme, re.MULTILINE)
    assert {file: int(count) for file, count in table} == {file: len(load(file)) for file in FILES}


def test_rules_of_facts_are_known_and_belong_to_an_entry() -> None:
    known = {"exact": {"any_of", "on"}, "prefix": {"n"}, "allclose": {"atol", "rtol", "atol_float64", "exact"}}
    for fact in ALL:
        assert fact.compare, fact.id
        for key, rule in fact.compare.items():
            assert key in fact.expected, (fact.id, key)
            assert rule["mode"] in known, (fact.id, key)
            if not missing_strategy(fact):  # what others have will be known when their strategies are there
                assert rule.keys() - {"mode"} <= known[rule["mode"]], (fact.id, key)


def test_rules_of_facts_fit_what_is_expected() -> None:
    for fact in ALL:
        for key, rule in fact.compare.items():
            expected = fact.expected[key]
            if rule.get("any_of"):
                assert isinstance(expected, list), (fact.id, key)
                assert expected, (fact.id, key)
            if rule["mode"] == "prefix":  # an empty one would agree with everything
                assert len(expected[: rule.get("n")]) > 0, (fact.id, key)
                assert fact.has_one_row, (fact.id, key)
            if rule["mode"] == "allclose":
                for name in ("atol", "atol_float64"):
                    if name in rule:
                        has_tolerances(fact.id, expected, rule[name])
                assert judge(expected, expected, **rule).agrees, (fact.id, key)


def has_tolerances(id: str, expected: Any, tolerance: Any) -> None:
    """Every number that was published has a positive tolerance."""
    if isinstance(tolerance, list):
        for value, one in zip(expected, tolerance, strict=True):
            has_tolerances(id, value, one)
    elif expected is not None:
        assert 0 < tolerance < 1, id


def test_prompt_ids_are_those_of_the_prompt(tokenizer: Tokenizer) -> None:
    checked = 0
    for fact in ALL:
        if fact.prompt is None or not fact.prompt_ids:
            continue
        for prompt, row in zip([fact.prompt] if isinstance(fact.prompt, str) else fact.prompt, fact.rows, strict=True):
            assert tokenizer.decode(row) == prompt, fact.id
            checked += 1
    assert checked > 150


def test_expected_texts_are_the_prompt_and_the_new_ids(tokenizer: Tokenizer) -> None:
    checked = 0
    for fact in ALL:
        text, new_ids = fact.expected.get("text"), fact.expected.get("new_ids")
        if isinstance(text, str) and new_ids is not None:
            special = not fact.run.get("keep_special", False)
            assert tokenizer.decode(fact.prompt_ids + new_ids, skip_special_tokens=special) == text, fact.id
            assert len(new_ids) <= fact.max_new_tokens, fact.id
            assert fact.expected.get("n_new", len(new_ids)) == len(new_ids), fact.id
            checked += 1
    assert checked > 80


def test_what_is_not_built_yet_has_words() -> None:
    named = {fact.run["name"] for fact in ALL} - set(RUNNERS)
    named |= (
        {one["name"] for fact in ALL for one in fact.run.get("processors", [])}
        - set(writing.PROCESSORS)
        - set(writing.MODELS)
    )
    assert named == set(run_module._WORDS)


@pytest.mark.parametrize(
    ("patterns", "ids"),
    [
        ([], ["A-One", "A-two", "B-one", "C-file"]),
        (["one"], ["A-One", "B-one"]),  # a part of the id
        (["a-o"], ["A-One"]),
        (["A-*"], ["A-One", "A-two"]),  # or all of it
        (["*-one"], ["A-One", "B-one"]),
        (["one*", "B-*"], None),
        (["?-One"], ["A-One", "B-one"]),
        (["gpt2-xl"], ["B-one"]),  # the model, the kind, the run: whole, or with a star
        (["gpt2*"], ["A-One", "A-two", "B-one"]),
        (["loss"], ["A-two"]),
        (["greedy"], ["A-One"]),
        (["gree*"], ["A-One"]),
        (["greed"], None),
        (["two", "FILE"], ["A-two", "C-file"]),
        (["two", "nothing"], None),
    ],
)
def test_patterns(patterns: list[str], ids: list[str] | None) -> None:
    facts = [
        a_fact(id="A-One", run={"name": "greedy"}),
        a_fact(id="A-two", kind="loss"),
        a_fact(id="B-one", model="gpt2-xl"),
        a_fact(id="C-file", model="distilgpt2"),
    ]
    if ids is not None:
        assert [fact.id for fact in select(facts, patterns)] == ids
        return
    with pytest.raises(ValueError, match=r"no fact matches '(one\*|greed|nothing)'; --list shows their ids"):
        select(facts, patterns)


# -- run.py: one fact, one outcome ------------------------------------------------------------------------------------


def known(id: str) -> Fact:
    (fact,) = [fact for fact in ALL if fact.id == id]
    return fact


@pytest.mark.parametrize(
    ("id", "waits_for"),
    [
        ("A-hf-constrained-1", "transformers' constrained beam search, not built yet"),
        ("A-hf-sample-seed0", "a CUDA device: --device cuda"),
        ("A-hf-flash-attn-0", "a CUDA device: --device cuda"),
        ("D-hf-wikitext2-stride512", "the text: --wikitext FILE"),
    ],
)
def test_a_fact_that_cannot_be_run_waits(id: str, waits_for: str, storybook: GPT2, tokenizer: Tokenizer) -> None:
    outcome = run(known(id), Bench(tokenizer, storybook))
    assert (outcome.verdict, outcome.waits_for, outcome.for_weights) == ("waits", waits_for, False)
    assert outcome.comparisons == []


def test_a_fact_waits_for_weights(tokenizer: Tokenizer) -> None:
    bench = Bench(tokenizer, missing="the weights of gpt2, which are out of reach")
    for id in ("A-hello-greedy", "C-file-gpt2"):
        outcome = run(known(id), bench)
        assert outcome.verdict == "waits", id
        assert (outcome.waits_for, outcome.for_weights) == ("the weights of gpt2, which are out of reach", True)
    assert run(known("A-hf-constrained-1"), bench).for_weights is False  # they would not help


def test_a_strategy_that_does_not_exist_needs_no_words(tokenizer: Tokenizer) -> None:
    assert run(a_fact(run={"name": "tea_leaves"}), Bench(tokenizer)).waits_for == "tea_leaves, not built yet"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("there is no\n   such row"), "there is no such row"),  # ours are sentences
        (OSError("the disk is gone"), "the disk is gone"),
        (ValueError(), "ValueError"),
        (KeyError("loss"), "KeyError: 'loss'"),
        (IndexError("out of range"), "IndexError: out of range"),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
        (MemoryError(), "MemoryError"),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_a_run_that_breaks_off_fails(
    error: Exception, told: str, soft: bool, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fact: Fact, bench: Bench) -> dict[str, Any]:
        raise error

    monkeypatch.setitem(RUNNERS, "encode", broken)
    fact = a_fact(run={"name": "encode"}, soft=soft)
    outcome = run(fact, Bench(tokenizer))
    assert (outcome.verdict, outcome.error, outcome.comparisons) == ("fail", told, [])
    assert f"      it broke off: {told}" in report.block(outcome, Paint(io.StringIO()))
    assert json.loads(report.as_json(outcome))["error"] == told


def test_one_that_breaks_off_stops_no_other(tokenizer: Tokenizer) -> None:
    no_such_token = a_fact(run={"name": "encode"}, prompt=None)
    facts = [known("E-encode-00"), no_such_token, known("E-encode-02")]
    shown: list[Outcome] = []
    outcomes = reproduce.run_each(facts, Bench(tokenizer), shown.append)
    assert [outcome.verdict for outcome in outcomes] == ["pass", "fail", "pass"]
    assert shown == outcomes


@pytest.mark.parametrize(("soft", "verdict"), [(False, "fail"), (True, "differs")])
def test_a_soft_fact_does_not_fail(soft: bool, verdict: str, tokenizer: Tokenizer) -> None:
    rules = {"ids": {"mode": "exact"}}
    wrong = a_fact(run={"name": "encode"}, prompt="a", expected={"ids": [65]}, compare=rules, soft=soft)
    assert run(wrong, Bench(tokenizer)).verdict == verdict
    right = a_fact(run={"name": "encode"}, prompt="a", expected={"ids": [64]}, compare=rules, soft=soft)
    assert run(right, Bench(tokenizer)).verdict == "pass"


@pytest.mark.parametrize(("dtype", "verdict"), [(torch.float32, "pass"), (torch.float64, "fail")])
def test_a_network_in_float64_takes_the_narrower_tolerance(
    dtype: torch.dtype, verdict: str, tokenizer: Tokenizer
) -> None:
    rule = {"mode": "allclose", "atol": 1e-2, "atol_float64": 1e-9}
    model = small_model()
    with torch.no_grad():
        loss = float(forward.losses(model(torch.tensor([[5, 6, 7]])), torch.tensor([[5, 6, 7]])).mean())
    fact = a_fact(prompt_ids=[5, 6, 7], expected={"loss": loss + 1e-4}, compare={"loss": rule}, needs_weights=True)
    assert run(fact, Bench(tokenizer, model.to(dtype))).verdict == verdict


def test_facts_that_need_no_weights_pass_without_any(tokenizer: Tokenizer) -> None:
    for fact in load("published.json"):
        if not fact.needs_weights:
            outcome = run(fact, Bench(tokenizer))
            assert outcome.verdict == "pass", outcome
            assert any(not isinstance(one.got, Unchecked) for one in outcome.comparisons), fact.id


# -- forward.py: perplexities -----------------------------------------------------------------------------------------


def test_wikitext_is_joined_as_the_published_run_joined_it(tmp_path: Path) -> None:
    path = tmp_path / "wiki.test.raw"
    path.write_bytes(" \n = Robert <unk> = \n \n He is – an actor . \n\n = = \r\nlast".encode())
    rows = ["", " = Robert <unk> = \n", "", " He is – an actor . \n", "", " = = \r\n", "last"]
    assert forward.wikitext(path) == "\n\n".join(rows)


def test_another_text_than_wikitext_is_an_error(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "story.txt"
    path.write_text("Once upon a time\n", encoding="utf-8")
    outcome = run(known("D-hf-wikitext2-stride512"), Bench(tokenizer, small_model(), wikitext=path))
    assert outcome.verdict == "fail"
    assert outcome.error == (
        f"{path} comes to 5 ids instead of the 287,644 of the published run: take wiki.test.raw of wikitext-2-raw-v1"
    )


STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the sun. One day, she saw it."
)


def perplexity(model: GPT2, tokenizer: Tokenizer, max_length: int, stride: int) -> float:
    run = {"name": "sliding_window_perplexity", "text": STORY, "max_length": max_length, "stride": stride}
    got = forward.sliding_window_perplexity(a_fact(run=run), Bench(tokenizer, model))
    assert got["n_ids"] == len(tokenizer.encode(STORY))
    return got["perplexity"]


@pytest.mark.parametrize(("max_length", "stride"), [(12, 5), (12, 11), (12, 12), (7, 7), (9, 1), (20, 6), (28, 1)])
def test_perplexity_of_windows(max_length: int, stride: int, storybook: GPT2, tokenizer: Tokenizer) -> None:
    """Against one id at a time: each is counted once, with what stands before it in the first window that has it."""
    ids = tokenizer.encode(STORY)
    assert len(ids) == 29
    counted: dict[int, float] = {}  # position -> its loss, or NaN where its window has nothing before it
    windows = []  # the positions that are new in each
    begin = 0
    while len(counted) < len(ids):
        end = min(begin + max_length, len(ids))
        new = [position for position in range(begin, end) if position not in counted]
        for position in new:
            counted[position] = math.nan
            if position > begin:
                with torch.no_grad():
                    logits = storybook(torch.tensor([ids[begin:position]]))[0, -1].double()
                counted[position] = -float(logits.log_softmax(dim=-1)[ids[position]])
        windows.append(new)
        begin += stride
    total = weight = 0.0
    for new in windows:
        losses = [counted[position] for position in new if not math.isnan(counted[position])]
        if len(new) > 1:
            total += (len(new) - 1) * sum(losses) / len(losses)
        weight += len(new) - 1
    assert perplexity(storybook, tokenizer, max_length, stride) == pytest.approx(math.exp(total / weight), rel=1e-5)


def test_perplexity_of_one_window_is_that_of_the_text(storybook: GPT2, tokenizer: Tokenizer) -> None:
    ids = torch.tensor([tokenizer.encode(STORY)])
    with torch.no_grad():
        loss = F.cross_entropy(storybook(ids)[0, :-1].double(), ids[0, 1:])  # in float32 it is off by 2e-5
    for stride in (29, 100):
        assert perplexity(storybook, tokenizer, 100, stride) == pytest.approx(loss.exp().item(), rel=1e-5)


# -- writing.py: a loop that keeps text -------------------------------------------------------------------------------


def test_text_that_is_encoded_anew_is_greedy_where_that_changes_no_id(storybook: GPT2, tokenizer: Tokenizer) -> None:
    ids = [50256, *tokenizer.encode("Once upon a time")]
    got = writing.greedy_retokenised(a_fact(prompt_ids=ids, max_new_tokens=12), Bench(tokenizer, storybook))
    (written,) = generate_ids(storybook, [ids], Greedy(), max_new_tokens=12, eos_id=None)
    assert got == {"text": tokenizer.decode(ids[1:] + written.ids)}


def test_text_is_encoded_anew_after_each_id(tokenizer: Tokenizer) -> None:
    """A network that only ever says "\\n", id 198: two of them are id 628."""
    seen = []

    class Newlines:
        device = torch.device("cpu")

        def __call__(self, ids: Tensor) -> Tensor:
            seen.append(ids[0].tolist())
            return F.one_hot(torch.full_like(ids, 198), 50257)

    bench = Bench(tokenizer, Newlines())  # type: ignore[arg-type]
    got = writing.greedy_retokenised(a_fact(prompt_ids=[50256, 32], max_new_tokens=3), bench)
    assert got == {"text": "A\n\n\n"}
    assert seen == [[50256, 32], [50256, 32, 198], [50256, 32, 628]]


def test_a_batch_that_differs_from_its_rows_is_told(storybook: GPT2, tokenizer: Tokenizer) -> None:
    """Facts that were published from a batch are written alone, and together."""
    fact = known("S-greedy-batch-2")
    bench = Bench(tokenizer, storybook)
    alone = writing.greedy(fact, bench)["new_ids"]
    right = generate_ids

    def neighbours(model: GPT2, prompts: list[list[int]], *arguments: Any, **settings: Any) -> list[Any]:
        return list(reversed(right(model, prompts, *arguments, **settings)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "generate_ids", neighbours)
        got = writing.greedy(fact, bench)["new_ids"]
    assert got["alone"] == [alone]
    assert got["in a batch"] != [alone]


def test_the_generator_of_the_cpu_is_not_to_be_had_elsewhere(tokenizer: Tokenizer) -> None:
    class Elsewhere(GPT2):
        device = torch.device("meta")

    with torch.device("meta"):
        model = Elsewhere(small_config())
    with pytest.raises(Waits, match="the CPU's generator: --device cpu"):
        writing.sample(known("S-sample-top_p"), Bench(tokenizer, model))


# -- writing.py: searches, and loops that only look like them ---------------------------------------------------------


def logprob_behind(model: GPT2, prompt: list[int], ids: list[int]) -> float:
    """Computed without a cache."""
    with torch.no_grad():
        logprobs = model(torch.tensor([prompt + ids]))[0, len(prompt) - 1 : -1].double().log_softmax(dim=-1)
    return float(logprobs.gather(-1, torch.tensor(ids)[:, None]).sum())


def likeliest_after(model: GPT2, ids: list[int], k: int, banned: Collection[int] = ()) -> list[int]:
    with torch.no_grad():
        ranked = model(torch.tensor([ids]))[0, -1].argsort(descending=True).tolist()
    return [id for id in ranked if id not in banned][:k]


@pytest.mark.parametrize("fact", [fact for fact in ALL if fact.run["name"] in SEARCHES], ids=lambda fact: fact.id)
def test_every_published_search_can_be_run(fact: Fact, storybook: GPT2, tokenizer: Tokenizer) -> None:
    """On storybook, where something else comes out, and for a few ids: it computes all that it will compare."""
    short = replace(fact, max_new_tokens=3, requires=())
    outcome = run(short, Bench(tokenizer, storybook))
    assert outcome.error == ""
    assert [one.key for one in outcome.comparisons] == list(fact.compare)
    if fact.model != "storybook":
        assert not all(one.agrees for one in outcome.comparisons)


def test_several_sequences_come_best_first(storybook: GPT2, tokenizer: Tokenizer) -> None:
    fact = replace(known("S-beam-5-return-5"), max_new_tokens=6)
    got = writing.beam(fact, Bench(tokenizer, storybook))
    texts = got["sequences"]
    assert len(texts) == len({one["text"] for one in texts}) == 5
    assert (texts[0]["text"], texts[0]["new_ids"]) == (got["text"], got["new_ids"])


def test_the_tree_that_nobody_prunes(storybook: GPT2, tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("The fox and the")
    run = {"name": "exhaustive_tree", "branching": 2, "depth": 3}
    got = writing.exhaustive_tree(a_fact(run=run, prompt_ids=prompt), Bench(tokenizer, storybook))
    leaves: list[list[int]] = [[]]
    for _ in range(3):
        leaves = [[*leaf, id] for leaf in leaves for id in likeliest_after(storybook, prompt + leaf, 2)]
    best = max(leaves, key=lambda leaf: logprob_behind(storybook, prompt, leaf))
    assert got["new_ids"] == best
    assert got["text"] == tokenizer.decode(prompt + best)
    assert got["score"] == pytest.approx(logprob_behind(storybook, prompt, best) / (len(prompt) + 3), rel=1e-5)


def test_beams_that_are_expanded_once(storybook: GPT2, tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("The cat saw the cat and")
    run = {"name": "beam_expand", "expand_k": 3, "keep": 3, "no_repeat_ngram_size": 1}
    got = writing.beam_expand(a_fact(run=run, prompt_ids=prompt), Bench(tokenizer, storybook))
    pairs = [
        [first, second]
        for first in likeliest_after(storybook, prompt, 3)
        for second in likeliest_after(storybook, [*prompt, first], 3, {*prompt, first})
    ]
    assert pairs != [
        [a, b] for a in likeliest_after(storybook, prompt, 3) for b in likeliest_after(storybook, [*prompt, a], 3)
    ]
    scores = [logprob_behind(storybook, prompt, pair) for pair in pairs]
    assert [one["new_ids"] for one in got["candidates"]] == pairs
    assert [one["logprob"] for one in got["candidates"]] == pytest.approx(scores, rel=1e-5)
    best = sorted(zip(scores, pairs, strict=True), reverse=True)[:3]
    assert [one["new_ids"] for one in got["kept"]] == [pair for _, pair in best]


@pytest.mark.parametrize("n_wanted", [1, 4])
def test_the_search_of_a_course(n_wanted: int, storybook: GPT2, tokenizer: Tokenizer) -> None:
    """It ends with the first texts that end, one here; four do not, so that those follow which have not ended."""
    prompt = tokenizer.encode("They lived happily ever")
    run = {"name": "beam", "num_beams": 4, "expand_k": 4, "num_return_sequences": n_wanted, "eos_token_id": 50256}
    run["processors"] = [{"name": "no_repeat_ngram", "size": 2}]
    got = writing.beam(a_fact(run=run, prompt_ids=prompt, max_new_tokens=4), Bench(tokenizer, storybook))
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    ended: list[list[int]] = []
    for step in range(4):
        children = []
        for _, ids in beams:
            whole = prompt + ids
            banned = {b for a, b in pairwise(whole) if a == whole[-1]}
            children += [[*ids, id] for id in likeliest_after(storybook, whole, 4, banned)]
        best = sorted(((logprob_behind(storybook, prompt, ids), ids) for ids in children), reverse=True)[:4]
        ended += [ids for _, ids in best if ids[-1] == 50256]
        beams = [(score, ids) for score, ids in best if ids[-1] != 50256]
        if len(ended) >= n_wanted:
            break
        if step == 3:
            ended += [ids for _, ids in beams]
    assert 50256 in ended[0]
    assert [one["new_ids"] for one in got["sequences"]] == ended[:n_wanted]
    means = [math.exp(logprob_behind(storybook, prompt, ids) / len(ids)) for ids in ended[:n_wanted]]
    assert got["exp_mean_logprob"] == pytest.approx(means, rel=1e-5)


# -- tutorial.py: the line that is printed there ----------------------------------------------------------------------

LINE = [5, 6, 7, 8, 9, 10]


def line_of(model: GPT2, *, changed: int = 0) -> Fact:
    """A fact whose printed line is the argmax in eval mode, but in the first `changed` places."""
    printed = model(torch.tensor([LINE]))[0].argmax(dim=-1).tolist()
    printed = [(id + 1) % 97 if position < changed else id for position, id in enumerate(printed)]
    return a_fact(prompt_ids=LINE, expected={"printed_ids": printed})


def test_without_dropout_every_draw_is_that_of_eval_mode(tokenizer: Tokenizer) -> None:
    model = small_model(embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    *rows, last = tutorial.explained(line_of(model, changed=2), model, tokenizer).splitlines()
    assert [row.split()[-4] for row in rows[1:]] == ["0", "0", "100", "100", "100", "100"]
    assert last == "0 of the 100 lines are the post's in every place, 1 different ones came up."
    assert tutorial.explained(line_of(model), model, tokenizer).splitlines()[-1].startswith("100 of the 100 lines")


def test_with_dropout_the_draws_are_counted(tokenizer: Tokenizer) -> None:
    model = small_model()
    fact = line_of(model)
    drawn = tutorial.argmax_with_dropout(model, torch.tensor([LINE]), tutorial.DRAWS)
    assert drawn.shape == (100, 6)
    lines = [tuple(line) for line in drawn.tolist()]
    post = tuple(fact.expected["printed_ids"])
    assert 1 < len(set(lines)) <= 100  # each row has dropout of its own
    *rows, last = tutorial.explained(fact, model, tokenizer).splitlines()
    counts = [sum(line[position] == post[position] for line in lines) for position in range(6)]
    assert 0 < min(counts) < 100
    assert [int(row.split()[-4]) for row in rows[1:]] == counts
    assert last == (
        f"{lines.count(post)} of the 100 lines are the post's in every place, {len(set(lines))} different ones came up."
    )


def test_the_explanation_leaves_model_and_generator_as_they_were(tokenizer: Tokenizer) -> None:
    model = small_model()
    before = torch.get_rng_state()
    tutorial.explained(line_of(model), model, tokenizer)
    assert not any(module.training for module in model.modules())
    with pytest.raises(ValueError, match="ids must lie between 0 and 96"):
        tutorial.argmax_with_dropout(model, torch.tensor([[97]]), 3)
    assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)


# -- report.py: what a person reads -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


PLAIN = Paint(io.StringIO())

WIDE = a_fact(
    id="X-a-fact-with-rather-a-long-name-for-its-line",
    run={"name": "tensor_names_and_shapes"},
    prompt="Once upon",
    expected={
        "loss": 3.5,
        "text": "Once upon" + "日本語" * 60 + "\ta\u2028b" + " the end" * 10,
        "new_ids": list(range(100, 140)),
        "an_entry_with_a_name_that_is_longer_than_its_column": [1.0, None],
        "prefix": "",
        "tall": "é" * 200,
        "only_the_file": 1,
    },
    compare={
        "loss": {"mode": "allclose", "atol": 0.001},
        "text": {"mode": "exact"},
        "new_ids": {"mode": "exact"},
        "an_entry_with_a_name_that_is_longer_than_its_column": {"mode": "allclose", "atol": 0.00012345},
        "prefix": {"mode": "exact"},
        "tall": {"mode": "exact"},
        "only_the_file": {"mode": "exact"},
    },
    source="somebody/with-a-repository a/path/" + 12 * "longer/" + "file.md @0123456789ab",
    note="What one should know about it, in more words than fit on a line of eighty columns, said at some length.",
)
WIDE_GOT = {
    "loss": 3.75,
    "text": "Once upon" + "日本語" * 60 + "\ta\u2028c" + " the end" * 10,
    "new_ids": [*range(100, 137), 7, 138, 139],
    "an_entry_with_a_name_that_is_longer_than_its_column": [1.0001, 5.0],
    "prefix": "",
    "tall": "é" * 200,
    "only_the_file": Unchecked("it is not here, and why that is so takes more room than a line of eighty columns has"),
}


def wide_block(verdict: Any = "fail", paint: Paint = PLAIN) -> str:
    return report.block(Outcome(WIDE, verdict, compare(WIDE, WIDE_GOT)), paint)


@pytest.mark.parametrize("terminal", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(terminal))
    paint = Paint(Terminal())
    outcomes = [
        Outcome(WIDE, "fail", error="it cannot be said in a few words, and is said in many " * 4),
        Outcome(WIDE, "waits", waits_for="a strategy"),
        *(Outcome(a_fact(id=f"X-{number}-日本語"), "waits", waits_for="another") for number in range(40)),
    ]
    shown = [
        wide_block(),
        wide_block("differs", paint),
        *(report.block(outcome, paint) for outcome in outcomes),
        report.listed(known("A-blog20-beam5-ngram2"), paint),
        report.heading(paint),
        report.waiting(outcomes, paint),
        report.summary(outcomes),
    ]
    lines = [ANSI.sub("", line) for text in shown for line in text.splitlines()]
    assert [line for line in lines if columns(line) > terminal] == []
    assert max(columns(line) for line in lines) > terminal - 5  # and the room is used


def test_a_difference_is_shown_whole() -> None:
    text = re.sub(r"\n(?: {18}| {8}(?=\S)(?!off by|expected|got|the same))", "", wide_block())
    assert 'expected  "Once upon' + "日本語" * 60 + r"\ta\u2028b" + " the end" * 10 + '"' in text
    assert 'got       "Once upon' + "日本語" * 60 + r"\ta\u2028c" + " the end" * 10 + '"' in text
    assert f"expected  {list(range(100, 140))}" in text
    assert f"got       {[*range(100, 137), 7, 138, 139]}" in text
    assert "the same in the first 37 of 40" in text
    assert "off by 0.25, allowed is 0.001\n        expected  3.5\n        got       3.75" in text
    assert f"note: {WIDE.note}" in text
    assert f"source: {WIDE.source}" in text


def test_what_agrees_is_a_row() -> None:
    rows = wide_block().splitlines()
    assert "      an_entry_with_a_name_t… 1 –                         off 1.0e-04 of 0.00012" in rows
    assert "      prefix                  (empty)                     the same" in rows
    assert f"      tall                    {'é' * 25}…  the same" in rows
    assert "      only_the_file           not compared: it is not here, and why that is so " in rows


def test_where_a_difference_begins() -> None:
    def told(expected: Any, got: Any) -> str:
        fact = a_fact(expected={"it": expected}, compare={"it": {"mode": "exact"}})
        return report.block(Outcome(fact, "fail", compare(fact, {"it": got})), PLAIN)

    assert "the same in the first 2 of 3\n" in told([1, 2, 3], [1, 2])
    assert "the same in the first 3 of 3\n" in told([1, 2, 3], [1, 2, 3, 4])
    assert "the same in the first 0 of 3\n" in told("abc", "xbc")
    assert "the same" not in told(["", "transformer."], "former.")


def test_a_deviation_is_told_only_where_it_is_the_reason() -> None:
    """Here a text differs among numbers that agree."""
    fact = a_fact(expected={"it": CANDIDATES}, compare={"it": {"mode": "allclose", "atol": 0.01}})
    shown = report.block(Outcome(fact, "fail", compare(fact, {"it": candidates(text="a kind")})), PLAIN)
    assert "off by" not in shown
    assert '"a kind"' in shown


def test_a_long_difference_is_shown_where_it_begins() -> None:
    ids = list(range(10000, 11024))
    fact = a_fact(expected={"ids": ids}, compare={"ids": {"mode": "exact"}})
    shown = report.block(Outcome(fact, "fail", compare(fact, {"ids": [*ids[:1000], 9, *ids[1001:]]})), PLAIN)
    assert "the same in the first 1000 of 1024" in shown
    expected, got = " ".join(shown.split()).split(" got ")
    assert re.search(r"expected …, .* 10999, 11000, 11001, .* 11023\]$", expected)
    assert re.search(r"^…, .* 10999, 9, 11001, .* 11023\]", got)
    assert "10500" not in shown


@pytest.mark.parametrize(
    ("value", "prompt", "shown"),
    [
        (1.23456789, None, "1.23457"),
        ([1, 2.5, None], None, "1 2.5 –"),
        ({"5": 1.5, "7": -2.0}, None, "1.5 -2"),
        ([{"row": 3, "position": 0, "id": 5, "value": 1.5}, {"id": 6, "value": 0.0}], None, "1.5 0"),
        ([{"row": 0, "columns": [1, 2], "values": [0.5, 0.25]}], None, "0.5 0.25"),
        ("Hello, world\n\tend", "Hello,", r" world\n\tend"),
        ("Hello, world", "<|endoftext|>Hello", ", world"),
        ("Hello", "Hello", "Hello"),
        ("", None, "(empty)"),
        ([[], [220, 628]], None, "(empty) 220 628"),
        (None, None, "–"),
        (True, None, "True"),
    ],
)
def test_values_in_brief(value: Any, prompt: Any, shown: str) -> None:
    assert report.brief(value, prompt) == shown


@pytest.mark.parametrize(
    "text", ["", "a", "one two  three   ", "  日本語日本語 a", "x" * 40, "one " + "x" * 40 + " two"]
)
def test_folding_loses_nothing(text: str) -> None:
    lines = report.fold(text, 10)
    assert "".join(lines) == text
    assert all(columns(line) <= 10 for line in lines)


def test_words_are_not_broken() -> None:
    assert report.fold("one two three four", 10) == ["one two ", "three four"]


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = wide_block(paint=Paint(Terminal()))
    assert coloured.startswith("\x1b[1;31mFAIL  X-a-fact")
    assert ANSI.sub("", coloured) == wide_block(paint=Paint(io.StringIO()))
    assert "\x1b" not in wide_block(paint=Paint(io.StringIO()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in wide_block(paint=Paint(Terminal()))


def test_what_waits_is_grouped_by_what_it_waits_for() -> None:
    waits = [("A-1", "beam search"), ("B-1", "the weights"), ("A-2", "beam search")]
    outcomes = [Outcome(a_fact(id=id), "waits", waits_for=what) for id, what in waits] + [Outcome(a_fact(), "pass")]
    assert report.waiting(outcomes, PLAIN).splitlines() == [
        "wait  2 for beam search",
        "      A-1, A-2",
        "wait  1 for the weights",
        "      B-1",
    ]


def test_the_summary_counts() -> None:
    def told(*verdicts: Any) -> str:
        return report.summary([Outcome(a_fact(), verdict) for verdict in verdicts])

    assert told("pass", "fail", "pass") == "3 facts: 2 pass, 1 fail"
    assert told("pass") == "1 fact: 1 pass, 0 fail"
    assert told("pass", "differs", "waits") == (
        "3 facts: 1 pass, 0 fail, 1 soft ones differ, which proves no error, 1 wait"
    )


def test_json_is_one_line_of_ascii_without_nan() -> None:
    got = {**WIDE_GOT, "loss": math.nan}
    line = report.as_json(Outcome(WIDE, "fail", compare(WIDE, got)))
    assert line.isascii()
    assert "\n" not in line

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    content = json.loads(line, parse_constant=refuse)
    loss, text = content["comparisons"][:2]
    assert (loss["got"], loss["deviation"], loss["allowed"], loss["agrees"]) == ("nan", "inf", 0.001, False)
    assert text["got"] == WIDE_GOT["text"]


# -- the command ------------------------------------------------------------------------------------------------------


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def verdicts(self) -> dict[str, str]:
        """id -> pass, FAIL or soft, of the facts that were shown; and wait, of those in the lists at the end."""
        ran = dict(reversed(match) for match in re.findall(r"^(pass|FAIL|soft)  (\S+)  ", self.out, re.MULTILINE))
        lists = re.findall(r"^wait  \d+ for .*\n((?:      .*\n)+)", self.out, re.MULTILINE)
        return {**ran, **{id: "wait" for ids in lists for id in ids.replace(",", " ").split()}}


def command(*arguments: str) -> Ran:
    """The command in this process; its output is 80 columns wide."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setenv("COLUMNS", "80")
        try:
            code = run_command("reproduce.py", lambda: reproduce.run(reproduce.parse(arguments)))
        except SystemExit as exit:
            code = int(exit.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def on_storybook() -> Ran:
    return command("--model", "storybook")


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the command as a program, with an empty cache and a Hub that refuses connections."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "reproduce.py"), *arguments],
            cwd=tmp_path,
            env=environment(tmp_path, NOBODY, COLUMNS="80", PYTHONIOENCODING="utf-8"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return start


def test_without_weights(child: Callable[..., subprocess.Popen[str]]) -> None:
    process = child()
    out, err = process.communicate(timeout=120)
    ran = Ran(process.returncode, out, err)
    facts = load("published.json")
    assert ran.code == 3
    assert {id for id, verdict in ran.verdicts.items() if verdict == "pass"} == {
        fact.id for fact in facts if not fact.needs_weights
    }
    assert {id for id, verdict in ran.verdicts.items() if verdict == "wait"} == {
        fact.id for fact in facts if fact.needs_weights
    }
    free = sum(not fact.needs_weights for fact in facts)
    summary = f"\n{len(facts)} facts: {free} pass, 0 fail, {len(facts) - free} wait\n"
    assert "for the weights of gpt2, which are out of reach\n" in ran.out
    assert "wait  7 for --model gpt2-large, 3,247 MB\n" in ran.out
    assert "for transformers' constrained beam search, not built yet\n" in ran.out
    for advice in ("scripts/doctor.py", "scripts/prefetch.py", "GPT2_WEIGHTS or --model"):
        assert advice in ran.out[ran.out.index(summary) :]
    assert re.fullmatch(r"reproduce.py: the Hugging Face Hub cannot be reached for gpt2 .*\n", ran.err)
    assert [line for line in ran.out.splitlines() if columns(line) > 80] == []
    assert "\x1b" not in ran.out


def test_storybook(on_storybook: Ran) -> None:
    assert on_storybook.code == 0
    assert on_storybook.err == ""
    run_here = [fact for fact in ALL if fact.model == "storybook" or not fact.needs_weights]
    assert on_storybook.verdicts.keys() == {fact.id for fact in run_here}
    for fact in run_here:
        allowed = ["wait"] if missing_strategy(fact) else ["pass", "soft"] if fact.soft else ["pass"]
        assert on_storybook.verdicts[fact.id] in allowed, fact.id
    assert re.search(r"^storybook, float32 on cpu, PyTorch \d", on_storybook.out, re.MULTILINE)
    assert [line for line in on_storybook.out.splitlines() if columns(line) > 80] == []
    assert "out of reach" not in on_storybook.out
    assert "To run the rest" not in on_storybook.out


def test_json_tells_the_same(on_storybook: Ran) -> None:
    some = ["E-*", "S-encode*", "S-greedy*", "S-beam-2-eos", "S-forward-35", "S-forward-last", "S-file"]
    ran = command("--model", "storybook", "--json", *(word for pattern in some for word in ("--only", pattern)))
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0
    assert len(told) > 70
    marks = {"pass": "pass", "waits": "wait", "fail": "FAIL", "differs": "soft"}
    assert {one["id"]: marks[one["verdict"]] for one in told} == {
        id: verdict for id, verdict in on_storybook.verdicts.items() if id in {one["id"] for one in told}
    }
    by_id = {one["id"]: one for one in told}
    entries = {entry["key"]: entry for entry in by_id["S-forward-last"]["comparisons"]}
    assert entries["top_ids"]["got"] == entries["top_ids"]["expected"] == known("S-forward-last").expected["top_ids"]
    assert 0 <= entries["top_logits"]["deviation"] < entries["top_logits"]["allowed"] == 0.001
    assert by_id["S-file"]["source"] == known("S-file").source


def test_json_has_a_line_for_every_fact(cache: Path) -> None:
    ran = command("--json", "--only", "C-*", "--only", "A-hf-c*", "--only", "A-xl-*")
    told = {(one := json.loads(line))["id"]: one for line in ran.out.splitlines()}
    assert ran.code == 3
    patterns = ("C-", "A-hf-c", "A-xl-")
    assert told.keys() == {fact.id for fact in load("published.json") if fact.id.startswith(patterns)}
    assert told["A-xl-eiffel"]["waits_for"] == "--model gpt2-xl, 6,432 MB"
    assert told["A-hf-constrained-1"]["waits_for"] == "transformers' constrained beam search, not built yet"
    assert told["C-file-gpt2"]["waits_for"] == "the weights of gpt2, which are out of reach"
    assert (told["C-config-gpt2"]["verdict"], "waits_for" in told["C-config-gpt2"]) == ("pass", False)


def test_float64(storybook: GPT2) -> None:
    ran = command("--model", "storybook", "--dtype", "float64", "--only", "S-forward-english")
    assert (ran.code, ran.verdicts) == (0, {"S-forward-english": "pass"})
    assert "storybook, float64 on cpu" in ran.out
    allowed = known("S-forward-english").compare["logits"]["atol_float64"]
    assert re.search(rf"^      logits .* of {allowed:.2g}$", ran.out, re.MULTILINE)


@pytest.mark.parametrize("model", ["gpt2", "storybook"])
def test_a_fact_that_fails(model: str, facts_folder: Path, cache: Path) -> None:
    change(facts_folder, "E-encode-00", lambda entry: entry["expected"].update(ids=[31373, 996]))
    ran = command("--model", model, "--only", "E-encode-0", "--only", "E-special")
    assert ran.code == 1
    assert {id for id, verdict in ran.verdicts.items() if verdict != "pass"} == {"E-encode-00"}
    assert "        expected  [31373, 996]\n        got       [31373, 995]\n" in ran.out
    assert re.search(r"^12 facts: 11 pass, 1 fail$", ran.out, re.MULTILINE)


def test_a_failure_weighs_more_than_missing_weights(facts_folder: Path, cache: Path) -> None:
    change(facts_folder, "E-encode-00", lambda entry: entry["expected"].update(ids=[31373, 996]))
    assert command("--only", "E-encode-00", "--only", "A-hello-greedy").code == 1
    assert command("--only", "E-encode-02", "--only", "A-hello-greedy").code == 3
    assert command("--only", "E-encode-02", "--only", "A-xl-eiffel").code == 0  # of a model that was not asked for


def test_a_soft_difference_is_shown_and_fails_nothing(facts_folder: Path) -> None:
    def edit(entry: dict[str, Any]) -> None:
        entry["expected"]["new_ids"][1] += 1
        entry["note"] = "Why it may differ."

    change(facts_folder, "S-sample-top_p", edit, "storybook.json")
    ran = command("--model", "storybook", "--only", "S-sample-top_p")
    assert (ran.code, ran.verdicts["S-sample-top_p"]) == (0, "soft")
    assert "1 soft ones differ, which proves no error" in ran.out
    assert "      note: Why it may differ.\n" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--only", "nonsense"], 1, "no fact matches 'nonsense'; --list shows their ids"),
        (["--model", "gpt3"], 1, "facts are known of gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2 and storybook, "
         "not of 'gpt3'; a directory that holds the files of one of them will do, too"),
        (["--model", "~nobody-is-called-so/gpt2"], 1, "facts are known of"),
        (["--model", "x" * 5000], 1, "facts are known of"),
        (["--model", str(STORYBOOK)], 1, "has 35,478,368 bytes, which is the size of none of gpt2,"),
        (["--model", str(ROOT / "facts")], 1, "holds no weights"),
        (["--wikitext", "no/such/file"], 1, "--wikitext no/such/file is no file"),
        (["--wikitext", str(ROOT)], 1, "is no file"),
        (["--device", "abacus", "--model", "storybook", "--only", "S-file"], 1, "the device 'abacus' cannot be used"),
        (["--dtype", "float16"], 2, "argument --dtype: invalid choice: 'float16'"),
        (["--mod", "gpt2"], 2, "unrecognized arguments: --mod gpt2"),
        (["gpt2"], 2, "unrecognized arguments: gpt2"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(arguments: list[str], code: int, said: str, cache: Path) -> None:
    ran = command(*arguments)
    assert ran.code == code
    assert ran.err.startswith("reproduce.py: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_the_list(cache: Path) -> None:
    ran = command("--list")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [f.id for f in load("published.json")]
    where = lines.index("A-hf-constrained-1  gpt2, constrained beam")
    assert lines[where + 1] == "      waits for transformers' constrained beam search, not built yet"
    assert lines[where + 2].strip() == f"source: {known('A-hf-constrained-1').source}"
    assert [line for line in lines if columns(line) > 80] == []
    some = command("--list", "--model", "storybook", "--only", "S-file")
    assert some.out.splitlines() == ["S-file  storybook, file hash", f"      source: {known('S-file').source}"]


def stands_for(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the weights in this folder have the size of the published ones."""
    monkeypatch.setitem(PUBLISHED, name, as_published(name, folder))


def test_a_directory_of_the_right_size_is_taken(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    """Its facts are run, on its own files; those that need none are not run twice."""
    folder = write_model(tmp_path / "mine", small_model())
    stands_for("distilgpt2", folder, monkeypatch)
    only = ["A-distil-top5-cafe", "C-file-distilgpt2", "C-params-distilgpt2", "C-params-gpt2-xl", "A-xl-eiffel"]
    ran = command("--model", str(folder), *(word for id in only for word in ("--only", id)))
    assert ran.code == 1
    assert ran.verdicts == {
        "A-distil-top5-cafe": "FAIL",
        "C-file-distilgpt2": "FAIL",
        "C-params-distilgpt2": "FAIL",
        "C-params-gpt2-xl": "pass",
        "A-xl-eiffel": "wait",
    }
    size = (folder / "model.safetensors").stat().st_size
    assert f"        expected  352824413\n        got       {size}\n" in ran.out
    assert "it broke off: ids must lie between 0 and 96" in " ".join(ran.out.split())
    assert f"\n{folder}, float32 on cpu, PyTorch " in ran.out
    assert ran.out.count("C-params-distilgpt2") == 1
    assert "5 facts: 1 pass, 3 fail, 1 wait" in ran.out


def test_the_published_name_is_read_from_a_folder_that_was_handed_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    folder = write_model(tmp_path / "stick" / "gpt2", small_model())
    stands_for("gpt2", folder, monkeypatch)
    monkeypatch.setenv("GPT2_WEIGHTS", str(folder.parent))
    ran = command("--only", "B-tutorial-line", "--only", "C-params-gpt2", "--json")
    assert ran.code == 1
    parameters = json.loads(ran.out.splitlines()[-1])["comparisons"][0]
    assert parameters["got"] == sum(parameter.numel() for parameter in small_model().parameters())
    shown = command("--only", "B-tutorial-line")
    assert f"\ngpt2 at {PUBLISHED['gpt2'].revision[:8]}, float32 on cpu" in shown.out
    assert "The line that the tutorial prints" not in shown.out  # the run broke off, and so would this
    assert "1 fact: 0 pass, 1 fail" in shown.out


def test_the_line_of_the_tutorial_is_explained(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """With storybook in the place of gpt2."""
    stands_for("gpt2", STORYBOOK, monkeypatch)
    ran = command("--model", str(STORYBOOK), "--only", "B-tutorial-line")
    assert ran.code == 1  # it says something else
    rows = ran.out[ran.out.index("The line that the tutorial prints (B-tutorial-line)") :].splitlines()[2:]
    assert [row[:14].strip() for row in rows[1:9]] == ['"Hello"', '","', '" I"', '"\'m"', '" a"', '" language"',
                                                      '" model"', '","']  # fmt: skip
    assert "of the 100 lines are the post's in every place" in rows[9]


def test_a_truncated_file_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    folder = write_model(tmp_path / "stick" / "gpt2", small_model())
    stands_for("gpt2", folder, monkeypatch)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1000])
    monkeypatch.setenv("GPT2_WEIGHTS", str(folder.parent))
    ran = command("--only", "A-hello-greedy", "--only", "E-encode-00")
    assert (ran.code, ran.verdicts) == (1, {"E-encode-00": "pass"})
    assert ran.err.startswith("reproduce.py: ")
    assert f"{len(whole) - 1000:,}" in ran.err
    assert f"{len(whole):,}" in ran.err
    assert ran.err.count("\n") == 1


def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def interrupted(fact: Fact, bench: Bench) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setitem(RUNNERS, "encode", interrupted)
    ran = command("--only", "C-params-gpt2-xl", "--only", "E-encode-0")
    assert (ran.code, ran.err) == (130, "")
    assert ran.verdicts == {"C-params-gpt2-xl": "pass"}  # what was done is shown


@pytest.mark.parametrize("arguments", [["--only", "E-*"], ["--list"]])
def test_whoever_reads_one_line_only_sees_no_traceback(
    arguments: list[str], child: Callable[..., subprocess.Popen[str]]
) -> None:
    """As `| head -1` does."""
    process = child(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().split()[0] in ("entry", "A-hf-the-dog")
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


# -- its parts --------------------------------------------------------------------------------------------------------


def test_the_half_precision_network_is_made_once_and_apart(storybook: GPT2, tokenizer: Tokenizer) -> None:
    bench = Bench(tokenizer, small_model())
    half = bench.network_in_half()
    assert half.wte.weight.dtype == torch.float16
    assert bench.network().wte.weight.dtype == torch.float32
    assert bench.network_in_half() is half


def test_files_are_those_of_the_model(tokenizer: Tokenizer, storybook: GPT2) -> None:
    with pytest.raises(Waits, match="the weights"):
        Bench(tokenizer, files=locate("storybook")).weights()
    with pytest.raises(Waits, match="the file of the weights"):
        Bench(tokenizer, storybook).weights()
    assert Bench(tokenizer, storybook, locate("storybook")).weights() == locate("storybook")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In every test 80 columns, whatever the terminal that it is started from."""
    monkeypatch.setenv("COLUMNS", "80")
    yield
