"""scripts/benchmark_speculation.py, on models so small that its figures mean nothing."""

from __future__ import annotations

import re

import pytest

from decoding import Greedy, Sample, Speculative, Temperature
from decoding.toy import TableModel
from gpt2 import GPT2
from scripts.benchmark_speculation import PLAIN, PROMPTS, compare, cost_of_a_call, ways
from tests.gpt2.small import small_model

MODEL = TableModel.random(6, 40, seed=1)


def test_a_row_tells_speed_acceptance_and_calls() -> None:
    itself = Speculative(Temperature(0), draft=MODEL, length=3)
    rows = compare(MODEL, [1, 2], {PLAIN: Greedy(), "itself": itself}, new_ids=9, rounds=3)
    assert rows[PLAIN].times == 1.0
    assert rows["itself"].rounds.acceptance_rate == 1.0
    assert re.fullmatch(r"plain +\d+", rows[PLAIN].line(PLAIN))
    # nine ids: one with the prompt, then two rounds of three drafted and one more
    assert re.fullmatch(r"itself +\d+ +[\d.]+ \([\d.]+-[\d.]+\) +100 %  0\.33", rows["itself"].line("itself"))


def test_another_text_is_noticed_before_anything_is_timed() -> None:
    wrong = Speculative(Temperature(0), draft=MODEL)
    with pytest.raises(ValueError, match="wrong gave other ids than greedy decoding"):
        compare(MODEL, [1, 2], {PLAIN: Greedy(), "wrong": Sample(), "right": wrong}, new_ids=9, rounds=1)


def test_what_is_compared(storybook: GPT2) -> None:
    """Plain decoding first, the same names in both tables, and prompts that storybook can continue."""
    for strategies in ways().values():
        assert next(iter(strategies)) == PLAIN and len(strategies) > 3
    assert len(PROMPTS) >= 3
    rows = compare(storybook, [7454, 2402], ways()["greedy"], new_ids=3, rounds=1)
    assert rows.keys() == ways()["greedy"].keys()


def test_the_cost_of_a_call() -> None:
    lines = cost_of_a_call(small_model(), rounds=2, before=5, most=4)
    assert [int(line.split()[0]) for line in lines] == [1, 2, 3, 4]
    assert lines[0].endswith(" 1.00")
