"""Programs that the tests start: in processes of their own, where the environment itself matters."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpt2 import PUBLISHED, PublishedModel
from tests.conftest import ROOT

_SURROUNDINGS = re.compile("HF_|HUGGING|GPT2_|TQDM_|.*_PROXY$", re.IGNORECASE)


def as_published(name: str, folder: Path) -> PublishedModel:
    """The published model of this name, if the file in this folder were its weights."""
    content = (folder / "model.safetensors").read_bytes()
    return PUBLISHED[name]._replace(n_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def believing(name: str, folder: Path) -> str:
    """The first line of a program in which this folder holds the published model of this name."""
    model = as_published(name, folder)
    change = f"_replace(n_bytes={model.n_bytes}, sha256={model.sha256!r})"
    return f"from gpt2 import PUBLISHED; PUBLISHED[{name!r}] = PUBLISHED[{name!r}].{change}\n"


def environment(home: Path, endpoint: str, **more: str) -> dict[str, str]:
    """This process's, without what concerns the Hub, and with an empty home and this Hub instead."""
    kept = {name: value for name, value in os.environ.items() if not _SURROUNDINGS.match(name)}
    return {
        **kept,
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": endpoint,
        "OMP_NUM_THREADS": "1",
        **more,
    }


def start(code: str, *arguments: str, env: dict[str, str], **how: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=env,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how},
    )


def script(name: str) -> str:
    """A program that runs scripts/NAME.py with the arguments it was given."""
    path = ROOT / "scripts" / f"{name}.py"
    return f"import runpy, sys; sys.argv[0] = {str(path)!r}; runpy.run_path({str(path)!r}, run_name='__main__')\n"
