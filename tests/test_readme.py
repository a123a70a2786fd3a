"""What the README shows is what the code prints: its Python blocks and its commands are run, and compared."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"```console\n\$ (.*?)\n(.*?)```", README, re.DOTALL)


def test_there_is_something_to_check() -> None:
    assert len(PYTHON_BLOCKS) >= 2
    assert len(COMMANDS) >= 2


@pytest.mark.parametrize(("code", "shown"), PYTHON_BLOCKS)
def test_python_block(code: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(("command", "shown"), COMMANDS)
def test_command(command: str, shown: str) -> None:
    """Run by this very Python, as the environment is made already."""
    python, launcher, *rest = shlex.split(command)
    assert (python, launcher) == ("python3", "scripts/in_venv.py")
    result = subprocess.run([sys.executable, *rest], cwd=ROOT, capture_output=True, check=True, encoding="utf-8")
    assert result.stdout == shown


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    local = [target for target in targets if not target.startswith("http")]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_every_strategy_and_processor_has_its_row() -> None:
    from decoding import processors, strategies

    missing = [name for name in strategies.__all__ + processors.__all__ if f"\n| [`{name}(" not in README]
    assert missing == []
