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

# No test may reach the Hub: an address on this machine where nobody answers, unless a test names a stand-in.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Live parity needs transformers. Without it those tests are skipped with the reason, but in CI they fail."""
    if importlib.util.find_spec("transformers") is not None or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason="transformers is not installed (extra `parity`)")
    for item in items:
        if item.get_closest_marker("parity"):
            item.add_marker(skip)


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
