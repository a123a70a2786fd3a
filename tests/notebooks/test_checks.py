"""Every check accepts what is right, however it is written, and calls each known mistake by its name."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checks.checking import Check, CheckFailed, Mistake
from tests.notebooks.topics import TOPICS, checks_of

pytestmark = pytest.mark.notebooks

CHECKS = [
    pytest.param(topic, check, id=f"{check.exercise}-{check.name}") for topic in TOPICS for check in checks_of(topic)
]
MISTAKES = [
    pytest.param(check, mistake, id=f"{check.exercise}-{mistake.function.__name__.strip('_')}")
    for topic in TOPICS
    for check in checks_of(topic)
    for mistake in check.mistakes
]


@pytest.fixture(scope="module")
def solutions() -> Callable[[str], dict[str, Any]]:
    """The functions of a topic's solutions, by name: the imports and the exercise cells of its source, executed."""
    from scripts.notebooks import SOURCES, exercises, read_source

    namespaces: dict[str, dict[str, Any]] = {}

    def of(topic: str) -> dict[str, Any]:
        if topic not in namespaces:
            path = next(SOURCES.glob(f"*_{topic}.py"))
            source = read_source(path)
            namespace: dict[str, Any] = {}
            exec(source.cells[2].source, namespace)  # the imports
            for exercise in exercises(source, path.name):
                exec(source.cells[exercise.stub].source, namespace)
            namespaces[topic] = namespace
        return namespaces[topic]

    return of


@pytest.mark.parametrize(("topic", "check"), CHECKS)
def test_the_solution_is_accepted(topic: str, check: Check, solutions: Callable[[str], dict[str, Any]]) -> None:
    check(solutions(topic)[check.name])


@pytest.mark.parametrize(("topic", "check"), CHECKS)
def test_another_right_answer_is_accepted(
    topic: str, check: Check, solutions: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    answer = getattr(importlib.import_module(f"tests.notebooks.answers.{topic}"), check.name)
    assert answer.__code__.co_code != solutions(topic)[check.name].__code__.co_code, "this is the solution itself"
    check(answer)
    assert f"Exercise {check.exercise}: {check.name} is right" in capsys.readouterr().out


@pytest.mark.parametrize(("check", "mistake"), MISTAKES)
def test_a_known_mistake_is_rejected_with_its_hint(check: Check, mistake: Mistake) -> None:
    with pytest.raises(CheckFailed) as failure:
        check(mistake.function)
    assert str(failure.value).endswith(f"Hint: {mistake.hint}")


@pytest.mark.parametrize(("topic", "check"), CHECKS)
def test_a_stub_stays_a_stub(topic: str, check: Check) -> None:
    def stub(*arguments: object) -> object:
        raise NotImplementedError(f"Exercise {check.exercise}: write {check.name}")

    with pytest.raises(NotImplementedError, match=f"Exercise {check.exercise}: write {check.name}"):
        check(stub)


@pytest.mark.parametrize("topic", TOPICS)
def test_exercises_and_checks_belong_together(topic: str) -> None:
    from scripts.notebooks import SOURCES, exercises, read_source

    path = next(SOURCES.glob(f"*_{topic}.py"))
    named = [(exercise.number, exercise.function) for exercise in exercises(read_source(path), path.name)]
    assert sorted((check.exercise, check.name) for check in checks_of(topic)) == sorted(named)
    for check in checks_of(topic):
        assert len(check.mistakes) >= 3
        assert len({mistake.hint for mistake in check.mistakes}) == len(check.mistakes)


def test_every_source_has_its_topic() -> None:
    from scripts.notebooks import sources

    assert [path.stem[3:] for path in sources()] == TOPICS
    answers = Path(__file__).parent / "answers"
    assert sorted(path.stem for path in answers.glob("[a-z]*.py")) == sorted(TOPICS)


def test_the_map_shows_what_a_check_really_says() -> None:
    from checks import logits_to_text

    readme = (Path(__file__).parents[2] / "notebooks" / "README.md").read_text(encoding="utf-8")
    shown = textwrap.dedent(readme.split("  ```text\n")[1].split("  ```")[0]).strip()
    said = []
    for mistake in logits_to_text.continue_greedily.mistakes:
        with pytest.raises(CheckFailed) as failure:
            logits_to_text.continue_greedily(mistake.function)
        said.append(str(failure.value))
    assert shown in said
