"""What a check says, of what kind the error may be; on a check of its own, so that it shows what the framework does."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from checks.checking import Check, CheckFailed, Mistake
from checks.comparing import complaint_about, copy_of, show
from checks.distributions import Draws

WORDS = ["cat", "dog", "sun"]


def _double(logits: Tensor, by: float) -> Tensor:
    return logits * by


def _halved(logits: Tensor, by: float) -> Tensor:
    return logits / by


scaled = Check(
    exercise="9.1",
    name="scaled",
    reference=_double,
    cases=[{"logits": torch.tensor([1.0, 2.0, -torch.inf]), "by": 2.0}],
    random=lambda generator: {"logits": torch.randn(3, generator=generator), "by": 3.0},
    mistakes=[Mistake(_halved, "You divide; multiply.")],
    words=WORDS,
)


def said(check: Check, function: Any) -> str:
    with pytest.raises(CheckFailed) as failure:
        check(function)
    return str(failure.value)


def test_what_is_right_is_said_to_be_right(capsys: pytest.CaptureFixture[str]) -> None:
    scaled(lambda z, f: f * z)
    assert capsys.readouterr().out == "Exercise 9.1: scaled is right, in 1 small case and 50 random ones. ✓\n"


def test_wrong_values_are_shown_with_the_words_and_the_hint() -> None:
    assert said(scaled, _halved).splitlines() == [
        "Exercise 9.1: scaled is not right yet. The values are wrong.",
        "    scaled(logits=[cat 1, dog 2, sun -inf], by=2)",
        "    expected   [cat 2, dog 4, sun -inf]",
        "    yours      [cat 0.5, dog 1, sun -inf]",
        "Hint: You divide; multiply.",
    ]


def test_a_mistake_that_is_not_known_gets_no_hint() -> None:
    assert "Hint" not in said(scaled, lambda z, f: z + f)
    assert "Hint" not in said(scaled, lambda z, f: z / f if f == 2 else z)  # the known one and another one


def test_a_mistake_is_known_where_a_special_case_is_right() -> None:
    assert said(scaled, lambda z, f: z / f if f == 2 else z * f).endswith("Hint: You divide; multiply.")


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda z, f: None, "It returns nothing; a tensor of shape (3,) is expected. Is there a `return`?"),
        (lambda z, f: (z * f).tolist(), "It returns a list; a tensor of shape (3,) is expected."),
        (lambda z, f: (z * f).numpy(), "It returns a NumPy array; a tensor of shape (3,) is expected."),
        (lambda z, f: (z * f)[None], "The shape is (1, 3); it should be (3,)."),
        (lambda z, f: z > 0, "The tensor holds truth values (torch.bool); it should hold real numbers."),
        (lambda z, f: (z * f).nan_to_num().long(), "The tensor holds whole numbers (torch.int64)"),
        (lambda z, f: z * f - z + z, "There is a NaN (not a number) in it"),
        (lambda z, f: z.mul_(f), "It changes its argument logits; make a new value instead."),
    ],
)
def test_type_shape_kind_and_changes_come_before_values(function: Any, sentence: str) -> None:
    assert sentence in said(scaled, function)


def test_the_readers_own_error_is_shown_with_its_line() -> None:
    def stops(logits: Tensor, by: float) -> Tensor:
        return logits[7] * by

    message = said(scaled, stops)
    assert "It stops with IndexError: index 7 is out of bounds" in message
    assert re.search(r"\(line \d+ of its cell: return logits\[7\] \* by\)", message)


def test_a_right_small_case_does_not_hide_a_wrong_random_one() -> None:
    assert "by=3" in said(scaled, lambda z, f: z * 2)


def test_a_check_wants_the_function_and_not_its_value() -> None:
    assert "check.scaled(scaled)" in said(scaled, torch.ones(3))
    with pytest.raises(CheckFailed, match=r"without calling it: check.scaled\(scaled\)"):
        scaled()


def test_a_check_shows_no_hints_of_its_own_accord() -> None:
    assert repr(scaled) == "<the check of Exercise 9.1: write check.scaled(scaled)>"
    assert repr(draw) == "<the check of Exercise 9.2: write check.draw(draw)>"


def test_what_is_nearly_right_is_said_to_be() -> None:
    assert "The values are nearly right: off by up to 0.0004." in said(scaled, lambda z, f: z * (f + 2e-4))


def test_of_a_large_tensor_the_first_difference_is_shown() -> None:
    large = Check("9.4", "ones", lambda n: torch.ones(n, 50), [{"n": 2}])
    message = said(large, lambda n: torch.ones(n, 50).index_fill(1, torch.tensor([7]), 3.0))
    assert "expected   <2×50 numbers>" in message
    assert "first at   [0, 7]: expected 1, yours 3" in message


def test_another_exercise_that_is_not_written_is_named() -> None:
    def asks_another(logits: Tensor, by: float) -> Tensor:
        raise NotImplementedError("Exercise 8.1: write other")

    assert "It calls something that is not written yet (Exercise 8.1: write other)." in said(scaled, asks_another)


def test_a_notebook_shows_the_message_only() -> None:
    error = CheckFailed("one line")
    assert error._render_traceback_() == ["one line"]

    def stub(*arguments: object) -> object:
        raise NotImplementedError("Exercise 9.1: write scaled")

    with pytest.raises(NotImplementedError) as failure:
        scaled(stub)
    assert failure.value._render_traceback_() == ["NotImplementedError: Exercise 9.1: write scaled"]  # type: ignore[attr-defined]


def test_a_check_leaves_the_readers_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    scaled(lambda z, f: z * f + 0 * torch.rand(()))
    assert torch.equal(torch.rand(3), expected)


def test_what_the_function_prints_is_shown_for_the_small_cases_only(capsys: pytest.CaptureFixture[str]) -> None:
    def chatty(logits: Tensor, by: float) -> Tensor:
        print("called")
        return logits * by

    scaled(chatty)
    assert capsys.readouterr().out.count("called") == 1


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "got", "sentence"),
    [
        (3, 3, None),
        (3, 4, "The value is wrong."),
        (3, 3.0, "It returns 3.0; a whole number is expected."),
        (3, True, "It returns True or False; a whole number is expected."),
        (3.0, 3, None),
        (3.0, 3.0 + 1e-7, None),
        (3.0, torch.tensor(3.0), "It returns a tensor with one number; .item() makes the number itself."),
        (True, 1, "It returns a whole number; True or False is expected."),
        ("a", "a", None),
        ("a", "b", "The value is wrong."),
        ([1, 2], [1, 2], None),
        ([1, 2], [1, 3], "The value is wrong."),
        ([1, 2], [1], "There is 1 entry; there should be 2."),
        ([1, 2, 3], [1, 2], "There are 2 entries; there should be 3."),
        ([1, 2], np.array([1, 2]), "It returns a NumPy array; a list is expected."),
        (2, np.int64(2), None),
        (np.ones(2), np.ones(2), None),
        (np.ones(2), np.zeros(2), "The value is wrong."),
        ([1, 2], (1, 2), "It returns a tuple of 2; a list is expected."),
        ([1, 2], [torch.tensor(1), 2], "It returns a tensor with one number"),
        ({"a": 1}, {"a": 1}, None),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "In 'b': The value is wrong."),
        ({"a": 1}, {"b": 1}, "The keys are not the expected ones"),
        ((1, torch.ones(2)), (1, torch.ones(3)), "In part 2: The shape is (3,); it should be (2,)."),
        (torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.nan]), None),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), None),
    ],
)
def test_complaints_about_values(expected: Any, got: Any, sentence: str | None) -> None:
    complaint = complaint_about(expected, got, 1e-5)
    assert (complaint is None) == (sentence is None)
    assert complaint is None or (sentence is not None and sentence in complaint.sentence)


def test_a_copy_shares_nothing_that_can_be_written_to() -> None:
    case = {"ids": [1, 2], "logits": torch.ones(2), "model": _double}
    copy = copy_of(case)
    copy["ids"].append(3)
    copy["logits"][0] = 0
    assert case["ids"] == [1, 2]
    assert case["logits"].tolist() == [1, 1]
    assert copy["model"] is _double


def test_values_are_shown_on_one_line() -> None:
    assert show(torch.tensor([0.123456, -torch.inf, torch.nan])) == "[0.1235, -inf, nan]"
    assert show(torch.zeros(40, 3)) == "<40×3 numbers>"
    assert show(list(range(20))) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …]"
    assert show(torch.tensor([[1.0, 2.0, 3.0]]), WORDS) == "[[cat 1, dog 2, sun 3]]"
    assert show(_double) == "_double"


# -- distributions ----------------------------------------------------------------------------------------------------


def _uniformly(p: Tensor) -> int:
    return int(torch.randint(len(p), ()))


draw = Draws(
    exercise="9.2",
    name="draw",
    reference=lambda p: p,
    cases=[{"p": torch.tensor([0.6, 0.3, 0.1])}, {"p": torch.tensor([0.0, 1.0, 0.0])}],
    mistakes=[Mistake(_uniformly, "You draw uniformly.")],
    words=WORDS,
    draws=2000,
)


def test_a_draw_is_judged_by_how_often_each_id_comes_up(capsys: pytest.CaptureFixture[str]) -> None:
    draw(lambda p: int(torch.multinomial(p, 1)))
    assert "draw is right" in capsys.readouterr().out
    message = said(draw, _uniformly)
    assert "Hint: You draw uniformly." in message
    assert re.search(r"expected   \[cat 0.6, dog 0.3, sun 0.1\]\n +yours      \[cat 0.3\d+, dog", message)
    assert "Hint: You draw uniformly." in said(draw, lambda p: int(torch.rand(()) * len(p)))  # in another way
    message = said(draw, lambda p: int(p.argmax()))
    assert "In 2000 calls it always returns 0: nothing is drawn, or a seed is set in it." in message
    assert "Hint" not in message


def test_an_impossible_id_is_never_right() -> None:
    message = said(draw, lambda p: int(torch.multinomial(p + 1e-3, 1)))
    assert "In 2 of 2000 calls it returns 0, which has the probability 0." in message


def test_several_ids_may_be_drawn_at_once() -> None:
    def two(p: Tensor) -> list[int]:
        return torch.multinomial(p, 2, replacement=True).tolist()

    pairs = Draws(
        exercise="9.3",
        name="two",
        reference=lambda p: p[:, None] * p[None, :],
        cases=[{"p": torch.tensor([0.5, 0.3, 0.2])}],
        mistakes=[Mistake(lambda p: sorted(two(p)), "Do not sort.")],
        draws=2000,
    )
    pairs(two)
    assert "which has the probability 0" not in said(pairs, lambda p: sorted(two(p)))
    assert said(pairs, lambda p: sorted(two(p))).endswith("Hint: Do not sort.")
    assert "It returns [0, 3]; the ids go from 0 to 2." in said(pairs, lambda p: [0, 3])
    assert "It returns a whole number; a list is expected." in said(pairs, lambda p: 0)
    assert "There is 1 entry; there should be 2." in said(pairs, lambda p: [0])


def test_a_draw_must_not_change_its_argument_either() -> None:
    def removes(p: Tensor) -> int:
        id = int(torch.multinomial(p, 1))
        p[id] = 0  # the second call would crash
        return id

    assert "It changes its argument p; make a new value instead." in said(draw, removes)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda p: torch.multinomial(p, 1), "It returns a tensor with one number"),
        (lambda p: 3, "It returns 3; the ids go from 0 to 2."),
        (lambda p: -1, "It returns -1; the ids go from 0 to 2."),
        (lambda p: None, "It returns nothing; a whole number is expected."),
    ],
)
def test_a_draw_gives_an_id(function: Any, sentence: str) -> None:
    assert sentence in said(draw, function)


# -- what learners hand over, too -------------------------------------------------------------------------------------


def test_the_line_shown_is_the_readers_also_below_a_decorator() -> None:
    @torch.no_grad()
    def stops(logits: Tensor, by: float) -> Tensor:
        return logits[7] * by

    assert "of its cell: return logits[7] * by)" in said(scaled, stops)


def test_errors_of_pytorch_are_not_taken_for_stubs() -> None:
    message = said(scaled, lambda z, f: torch.tensor([1, 2, 3]).softmax(-1))
    assert "It stops with NotImplementedError: " in message
    assert "not written yet" not in message


def test_a_stub_in_a_branch_does_not_hide_what_is_wrong_before() -> None:
    def partly(logits: Tensor, by: float) -> Tensor:
        if by == 2:
            return logits / by
        raise NotImplementedError

    assert "The values are wrong." in said(scaled, partly)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda z, f: (z * f).to(torch.complex64), "The tensor holds complex numbers"),
        (lambda z, f: (z * f).to_sparse(), "cannot be compared"),
        (lambda z, f: (z * f).requires_grad_(), None),
    ],
)
def test_odd_tensors_get_a_sentence(function: Any, sentence: str | None) -> None:
    if sentence is None:
        scaled(function)
    else:
        assert sentence in said(scaled, function)


def test_numpy_numbers_are_shown_as_numbers() -> None:
    assert show(np.int64(0)) == "0"
    assert show([np.float32(0.5)]) == "[0.5]"
    complaint = complaint_about(True, np.bool_(False), 0.0)
    assert complaint is not None
    assert "something of type" not in complaint.sentence


def test_a_named_tuple_and_an_array_are_copied() -> None:
    case = {"step": Mistake, "pair": Pair(torch.ones(2), [1]), "array": np.ones(2)}
    copy = copy_of(case)
    copy["pair"].left[0], copy["array"][0] = 0, 0
    assert case["pair"].left.tolist() == [1, 1]
    assert case["array"].tolist() == [1, 1]


class Pair(NamedTuple):
    left: Tensor
    right: list[int]


def test_a_tensor_of_counts_is_no_draw() -> None:
    message = said(draw, lambda p: torch.bincount(torch.multinomial(p, 100, replacement=True), minlength=3))
    assert "It returns a tensor of shape (3,); a whole number is expected." in message


def test_a_draw_that_prints_does_so_once_a_case(capsys: pytest.CaptureFixture[str]) -> None:
    def chatty(p: Tensor) -> int:
        print("called")
        return int(torch.multinomial(p, 1))

    draw(chatty)
    assert capsys.readouterr().out.count("called") == len(draw.cases)
