"""How an exercise is checked: what is wrong is said in words, and a mistake that is known is called by its name.

A check calls the reader's function on a few small cases that it shows, then on many random ones. In each it looks at
whether an argument was changed, at the type, the shape and the kind of numbers, and only then at the values. Where
anything is wrong, it asks its known mistakes whether one of them makes the very same error.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import linecache
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from decoding.legible import printable

from .comparing import Complaint, complaint_about, copy_of, first_difference, show

_STUB = re.compile(r"Exercise \d+\.\d+: write ")  # how the message of a stub begins

Case = dict[str, Any]  # argument name -> value, in the order of the call
Verdict = tuple[Complaint | None, Any]  # what is wrong with an outcome, if anything, and the outcome


class CheckFailed(AssertionError):  # noqa: N818  (it is what happened, and a learner reads it)
    """The answer is not right yet. A notebook shows the message and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that readers are known to give, and what to tell them."""

    function: Callable[..., Any]
    hint: str


def call(function: Callable[..., Any], case: Case) -> Any:
    """The usual run of a case: the function's value."""
    return function(*case.values())


@dataclass(frozen=True, repr=False)
class Check:
    """The check of one exercise: call it with the reader's function.

    exercise    its number, "6.2"
    name        the name of the function that the reader writes
    reference   an answer that is known to be right, independent of the solution in the notebook
    cases       small ones, which are shown where they go wrong
    random      makes another case from a generator; None where the small ones say it all
    mistakes    the known ones
    run         what to do with the function in a case, where its mere value is not what matters
    words       the toy vocabulary: tensors of that width are shown with its words
    tolerance   how far numbers may be off, absolutely and relatively
    rounds      how many random cases
    """

    exercise: str
    name: str
    reference: Callable[..., Any]
    cases: Sequence[Case]
    random: Callable[[torch.Generator], Case] | None = None
    mistakes: Sequence[Mistake] = ()
    run: Callable[[Callable[..., Any], Case], Any] = field(default=call)
    words: Sequence[str] | None = None
    tolerance: float = 1e-5
    rounds: int = 50
    _known: dict[int, list[Verdict]] = field(default_factory=dict, init=False, compare=False)  # of mistakes so far

    def __repr__(self) -> str:
        """What a notebook shows of it: how it is used, and none of its hints."""
        return f"<the check of Exercise {self.exercise}: write check.{self.name}({self.name})>"

    def __call__(self, function: Callable[..., Any] | None = None) -> None:
        """Print that the function is right, or raise `CheckFailed`; NotImplementedError where it is not written yet."""
        if not callable(function):
            itself = f"check.{self.name}({self.name})"
            raise CheckFailed(f"Exercise {self.exercise}: hand over the function itself, without calling it: {itself}")
        with torch.random.fork_rng(devices=[]):  # a check draws nothing from the reader's own generator
            for case in self.cases:
                self._try(function, case)
            random_cases = self._random_cases()
            with contextlib.redirect_stdout(io.StringIO()):  # what is printed fifty times helps nobody
                for case in random_cases:
                    self._try(function, case)
        tried = f"{len(self.cases)} small case{'s' * (len(self.cases) > 1)}"
        if random_cases:
            tried += f" and {len(random_cases)} random ones"
        print(printable(f"Exercise {self.exercise}: {self.name} is right, in {tried}. ✓"))

    def _random_cases(self) -> list[Case]:
        if self.random is None:
            return []
        return [self.random(torch.Generator().manual_seed(seed)) for seed in range(self.rounds)]

    def _try(self, function: Callable[..., Any], case: Case) -> None:
        complaint, outcome = self._judge(function, case)
        if complaint is None:
            return
        lines = [f"Exercise {self.exercise}: {self.name} is not right yet. {complaint.sentence}", self._written(case)]
        if complaint.values:
            expected, yours = self._expected(case), self._shown(outcome)
            lines += [
                f"    expected   {show(expected, self.words)}",
                f"    yours      {show(yours, self.words)}",
                *first_difference(expected, yours, self.tolerance),
            ]
        hint = self._hint(function)
        if hint is not None:
            lines.append(f"Hint: {hint}")
        raise CheckFailed("\n".join(lines))

    def _judge(self, function: Callable[..., Any], case: Case) -> Verdict:
        """What is wrong with the function's outcome in this case, if anything, and the outcome."""
        given = copy_of(case)
        try:
            outcome = self._outcome(function, given)
        except Exception as error:
            if isinstance(error, NotImplementedError) and self._is_its_stub(error):
                line = f"NotImplementedError: {error}"  # and no traceback: the reader knows where the stub is
                error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
                raise
            if isinstance(error, NotImplementedError) and _STUB.match(str(error)):
                return Complaint(f"It calls something that is not written yet ({error}).", kind="stub"), None
            return Complaint(_what_stopped(function, error), kind=_words(error)), None
        for argument, before in case.items():
            if complaint_about(before, given[argument], 0.0) is not None:
                return Complaint(f"It changes its argument {argument}; make a new value instead."), outcome
        try:
            return self._compare(self._expected(case), outcome), outcome
        except Exception as error:  # tensors on other devices, sparse ones, numbers beyond all bounds, ...
            return Complaint(f"It returns something that cannot be compared: {_words(error)}"), None

    def _is_its_stub(self, error: NotImplementedError) -> bool:
        return not str(error) or str(error).startswith(f"Exercise {self.exercise}:")

    def _outcome(self, function: Callable[..., Any], case: Case) -> Any:
        return self.run(function, case)

    def _expected(self, case: Case) -> Any:
        return self._outcome(self.reference, copy_of(case))

    def _compare(self, expected: Any, outcome: Any) -> Complaint | None:
        return complaint_about(expected, outcome, self.tolerance)

    def _shown(self, outcome: Any) -> Any:
        """The outcome as it is shown beside the expected one."""
        return outcome

    def _same(self, outcome: Any, other: Any) -> bool:
        """Whether two functions that may both be wrong came to the same outcome."""
        return complaint_about(outcome, other, self.tolerance) is None

    def _hint(self, function: Callable[..., Any]) -> str | None:
        """The hint of the known mistake that does just what this function does.

        Where there is none, of one that goes wrong in the same way wherever this function goes wrong: a reader may have
        thought of a special case and made the mistake in the others.
        """
        with contextlib.redirect_stdout(io.StringIO()):
            cases = [*self.cases, *self._random_cases()[:10]]
            found = [self._verdict(function, case) for case in cases]
            similar: str | None = None
            for number, mistake in enumerate(self.mistakes):
                if number not in self._known:
                    self._known[number] = [self._verdict(mistake.function, case) for case in cases]
                known = self._known[number]
                alike = [self._alike(a, b) for a, b in zip(found, known, strict=True)]
                if all(alike):
                    return mistake.hint
                wrong = [same for same, (complaint, _) in zip(alike, found, strict=True) if complaint is not None]
                if similar is None and wrong and all(wrong):
                    similar = mistake.hint
        return similar

    def _verdict(self, function: Callable[..., Any], case: Case) -> Verdict:
        """The same as `_judge`, of a function that may be written in part."""
        try:
            return self._judge(function, case)
        except NotImplementedError as error:
            return Complaint(str(error), kind="stub"), None

    def _alike(self, a: Verdict, b: Verdict) -> bool:
        complaints_alike = (a[0] and a[0].kind) == (b[0] and b[0].kind)
        return complaints_alike and self._same(a[1], b[1])

    def _written(self, case: Case) -> str:
        """The call as one would write it."""
        return f"    {self.name}({', '.join(f'{name}={show(value, self.words)}' for name, value in case.items())})"


def _what_stopped(function: Callable[..., Any], error: Exception) -> str:
    """The reader's own error, with the line of the reader's code that raised it."""
    sentence = f"It stops with {_words(error)}"
    # below the decorators, of which `torch.no_grad()` is one
    file = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", None)
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if lines and lines[-1].lineno is not None:
        source = linecache.getline(lines[-1].filename, lines[-1].lineno).strip()
        sentence += f" (line {lines[-1].lineno} of its cell: {source})" if source else ""
    return sentence


def _words(error: Exception) -> str:
    """Name and message of an error; only the name of one that cannot be written down."""
    with contextlib.suppress(Exception):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__
