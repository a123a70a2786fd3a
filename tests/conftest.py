"""What all tests share, and what decides which of them run."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from decoding import Tokenizer
from gpt2 import GPT2
from gpt2.native import CompilerError, find_compiler

# No test may reach the Hub: an address on this machine where nobody answers, unless a test names a stand-in.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"

ROOT = Path(__file__).parents[1]


EXTRAS = {  # marker, and extra of that name -> the packages that its tests import
    "parity": ["transformers"],
    "notebooks": ["IPython", "ipykernel", "jupytext", "matplotlib", "nbclient"],
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Some tests need an extra, or a C++ compiler. Without it they are skipped with the reason, but in CI they fail."""
    if os.environ.get("CI"):
        return
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        skip = pytest.mark.skip(reason=f"{', '.join(missing)} not installed (extra `{extra}`)")
        for item in items:
            if missing and item.get_closest_marker(extra):
                item.add_marker(skip)
    try:
        find_compiler()
    except CompilerError as error:
        for item in items:
            if item.get_closest_marker("compiler"):
                item.add_marker(pytest.mark.skip(reason=str(error)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Each reason for which tests were skipped, once."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} tests: {reason}")


@pytest.fixture(scope="session")
def storybook() -> GPT2:
    """The bundled model, float32. Shared: do not change it."""
    return GPT2.from_pretrained("storybook")


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small models gain nothing from more threads, and lose much of their time to them on a machine that is busy."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Tests that draw tensors with PyTorch's global generator always draw the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
