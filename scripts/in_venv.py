#!/usr/bin/env python3
"""Run Python in this project's own environment, and make that environment first where it is missing.

    python3 scripts/in_venv.py scripts/generate.py "Once upon a time"
    python3 scripts/in_venv.py -m pytest
    python3 scripts/in_venv.py --extra parity -m pytest       # with an extra of pyproject.toml

The environment is the folder `.venv` of the project, with what requirements.txt lists. It is made once, brought up to
date when that file changes, and can be deleted at any time. Nothing outside of it is touched but pip's own cache of
downloads, so this also works with a system Python that forbids `pip install`. Only the standard library is needed.
"""

import hashlib
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
REQUIREMENTS = ROOT / "requirements.txt"
STAMP = ENVIRONMENT / "installed.sha256"  # what was installed last; written only after it succeeded


def main(arguments: "list[str]") -> int:
    if sys.version_info < (3, 10):  # noqa: UP036  (an older one is what this is for)
        return complain("Python 3.10 or newer is needed; this is {}.{}".format(*sys.version_info[:2]))
    extras = []
    while arguments[:1] == ["--extra"]:
        extras += arguments[1:2] or [""]
        arguments = arguments[2:]
    unknown = [name for name in extras if name not in known_extras()]
    if unknown:  # pip would only warn, or show a traceback
        known = ", ".join(known_extras()) or "none"
        return complain(f"there is no extra {unknown[0]!r}; pyproject.toml has: {known}")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments else 2

    try:
        if not works(PYTHON):
            say(f"making an environment in {ENVIRONMENT}")
            make_environment()
        if not is_current(extras):
            say("installing requirements.txt into it (PyTorch is large; this happens once)")
            install(extras)
    except (OSError, subprocess.CalledProcessError) as error:
        return complain(
            f"the environment could not be made: {str(error).rstrip('.')}. Delete {ENVIRONMENT} and try again"
        )
    return run([str(PYTHON), *arguments])


def make_environment() -> None:
    """A fresh virtual environment, with pip where this Python can bring it along."""
    links = os.name != "nt"  # as `python -m venv` does: copies of Python do not work everywhere
    try:
        venv.create(ENVIRONMENT, clear=True, symlinks=links, with_pip=True)
    except subprocess.CalledProcessError:  # Debian's Python has no ensurepip without the package python3-venv
        venv.create(ENVIRONMENT, clear=True, symlinks=links, with_pip=False)


def install(extras: "list[str]") -> None:
    """Install what is listed, with the environment's own pip or, where it has none, with this Python's."""
    extras = sorted({*installed()[1], *extras} & {*known_extras()})  # those of earlier runs stay, and are updated
    pip = [str(PYTHON), "-m", "pip"]
    if not works(PYTHON, "-m", "pip"):
        pip = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
        if not works(*pip):
            raise OSError("there is no pip to install with; on Debian and Ubuntu: sudo apt install python3-venv")
    wanted = ["-r", str(REQUIREMENTS)]
    if extras:
        wanted += ["-e", f"{ROOT}[{','.join(extras)}]"]
    # what pip tells goes to standard error, so that standard output holds nothing but the command's own
    subprocess.run([*pip, "install", "--disable-pip-version-check", *wanted], stdout=sys.stderr, check=True)
    STAMP.write_text("\n".join([fingerprint(), *extras]), encoding="utf-8")


def is_current(extras: "list[str]") -> bool:
    listed, installed_extras = installed()
    return listed == fingerprint() and set(extras) <= set(installed_extras)


def installed() -> "tuple[str, list[str]]":
    """What was installed last: the fingerprint of its lists, and the extras that were asked for so far."""
    listed, *extras = STAMP.read_text(encoding="utf-8").split() if STAMP.exists() else [""]
    return listed, extras


def known_extras() -> "list[str]":
    """The names under [project.optional-dependencies]; Python 3.10 has no tomllib to read them with."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = re.search(r"^\[project\.optional-dependencies\]$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^([\w-]+) *= *\[", section[1], re.MULTILINE) if section else []


def fingerprint() -> str:
    listed = REQUIREMENTS.read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(listed).hexdigest()


def works(*command: "str | Path") -> bool:
    """Whether this Python, or this module of it, starts and tells its version."""
    try:
        return subprocess.run([*map(str, command), "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(command: "list[str]") -> int:
    if os.name != "nt":
        sys.stdout.flush()
        os.execv(command[0], command)  # this very process goes on, so that Ctrl-C reaches only one
    return subprocess.run(command, check=False).returncode


def say(message: str) -> None:
    print(f"in_venv.py: {message}", file=sys.stderr, flush=True)


def complain(message: str) -> int:
    say(message)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
