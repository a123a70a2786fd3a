"""Python, the packages of pyproject.toml, and its extras."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.weights.published import quoted

from .finding import NEEDED, NOTE, OK, PROBLEM, ROOT, Finding, Machine
from .reachability import first_line

IN_VENV = ("py" if os.name == "nt" else "python3") + " scripts/in_venv.py"


def in_another_environment() -> bool:
    """Whether this Python belongs to an environment that is not the project's own."""
    return sys.prefix != sys.base_prefix and Path(sys.prefix) != ROOT / ".venv"


def python_command() -> str:
    """How commands on the page begin. In another environment in_venv.py would install everything a second time."""
    return quoted(sys.executable) if in_another_environment() else IN_VENV


def check_python(machine: Machine) -> Iterator[Finding]:
    version = platform.python_version()
    own = Path(sys.prefix) == ROOT / ".venv"
    where = "in .venv" if own else f"in {sys.prefix}" if sys.prefix != sys.base_prefix else "in no environment"
    text = f"{version} on {platform.system()} {platform.machine()}, {where}"
    least = re.search(r'requires-python = ">=([\d.]+)"', _read("pyproject.toml"))
    if least and is_older(version, least[1]):
        yield Finding("Python", PROBLEM, text, f"install Python {least[1]} or newer from python.org")
    else:
        yield Finding("Python", OK, text)


def check_packages(machine: Machine) -> Iterator[Finding]:
    """Each package of pyproject.toml: whether it can be imported, and its version beside those that were tested."""
    packages = [name for name, _ in requirements("dependencies")]
    least, tested = dict(requirements("dependencies")), dict(tested_versions())
    died = deadly([name for name in packages if name not in sys.modules])
    for name in packages:
        mark = PROBLEM if name in NEEDED else NOTE
        why = died.get(name) or import_error(name)
        if why is None:
            yield _judge_version(name, least[name], tested.get(name))
            continue
        machine.unusable.add(name)
        missing = why.startswith("is not installed")
        yield Finding(name, mark, why, _install_advice() if missing else mend_advice(name))


def _judge_version(name: str, least: str, tested: str | None) -> Finding:
    version = version_of(name) or "unknown"
    if is_older(version, least):
        return Finding(name, NOTE, f"{version} is older than the {least} that this is written for", _install_advice())
    if tested and version.partition("+")[0] != tested:
        return Finding(name, OK, f"{version} (the tests were passed with {tested})")
    return Finding(name, OK, version)


def check_extras(machine: Machine) -> Iterator[Finding]:
    lacking = sorted(machine.unusable & set(NEEDED))
    if lacking:  # an extra comes on top of these
        yield Finding("extras", NOTE, f"not looked at, because {', '.join(lacking)} cannot be used")
        return
    whole, partly, missing = [], [], []
    for extra in re.findall(r"^(\w+) = \[", _section("project.optional-dependencies"), re.MULTILINE):
        packages = [name for name, _ in requirements(extra)]
        absent = [name for name in packages if version_of(name) is None]
        if not absent:
            whole.append(extra)
        elif len(absent) == len(packages):
            missing.append(extra)
        else:
            partly.append(f"{extra} (without {', '.join(absent)})")
    parts = [f"installed: {', '.join(whole) or 'none'}"]
    parts += [f"partly: {', '.join(partly)}"] if partly else []
    parts += [f"not installed: {', '.join(missing)}"] if missing else []
    yield Finding("extras", NOTE if partly else OK, "; ".join(parts), _extra_advice(partly[0]) if partly else "")


def _extra_advice(partly: str) -> str:
    name = partly.split()[0]
    if in_another_environment():
        return f'{python_command()} -m pip install -e ".[{name}]"'
    return f"{IN_VENV} --extra {name} scripts/doctor.py installs the rest"


def deadly(names: list[str]) -> dict[str, str]:
    """The packages whose import ends Python itself, as one does that was built for another processor.

    They are imported by another process first, one after the other; the first that it does not come back from is one.
    """
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except Exception: pass\n"
        "    print('done', name, flush=True)"
    )
    found = {}
    while names:
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, *names], capture_output=True, text=True, check=False
        )
        done = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("done ")]
        left = [name for name in names if name not in done]
        if not left:
            break
        found[left[0]] = f"ends Python when it is imported ({_how_it_ended(result.returncode)})"
        names = left[1:]
    return found


def _how_it_ended(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def import_error(name: str) -> str | None:
    """Why a package cannot be imported, or None."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return "is not installed"
        return f"needs {error.name}, which is not installed"
    except (Exception, SystemExit) as error:
        return f"is installed, but cannot be imported: {first_line(error)}"
    return None


def requirements(group: str) -> list[tuple[str, str]]:
    """(name, least version) of each package in a list of pyproject.toml that is for this Python.

    Read by hand, because Python 3.10 has no tomllib and nothing else may be installed.
    """
    text = _section("project") if group == "dependencies" else _section("project.optional-dependencies")
    listed = re.search(rf"^{group} = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    entries = re.findall(r'^\s*"([^"]+)"', listed[1], re.MULTILINE) if listed else []
    found = []
    for entry in entries:
        package, _, marker = entry.partition(";")
        match = re.match(r"([\w-]+)[>=]=([\d.]+)", package.strip())
        if match and _is_for_this_python(marker):
            found.append((match[1], match[2]))
    return found


def tested_versions() -> list[tuple[str, str]]:
    """(name, version) of each line of requirements.txt that is for this Python."""
    found = []
    for line in _read("requirements.txt").splitlines():
        package, _, marker = line.partition(";")
        name, _, version = package.strip().partition("==")
        if version and _is_for_this_python(marker):
            found.append((name, version))
    return found


def _is_for_this_python(marker: str) -> bool:
    match = re.search(r"python_version (>=|<) ['\"]([\d.]+)['\"]", marker)
    if match is None:
        return True
    older = is_older(platform.python_version(), match[2])
    return older if match[1] == "<" else not older


def is_older(version: str, least: str) -> bool:
    """2.6 < 2.13, and 2.13.0+cpu is no older than 2.13."""

    def numbers(text: str) -> list[int]:
        found = [int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", text)[0])]  # type: ignore[index]
        while found and found[-1] == 0:
            found.pop()
        return found

    return numbers(version) < numbers(least)


def version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _install_advice() -> str:
    if in_another_environment():
        return f"{python_command()} -m pip install -r requirements.txt"
    return f"{IN_VENV} scripts/doctor.py makes the environment .venv and installs what is needed"


def mend_advice(name: str) -> str:
    if name == "torch" and os.name == "nt":
        return "install Microsoft's Visual C++ Redistributable (x64), then restart; else delete .venv and begin anew"
    if Path(sys.prefix) == ROOT / ".venv":
        return f"delete the folder .venv, then: {IN_VENV} scripts/doctor.py"
    return f"{quoted(sys.executable)} -m pip install --force-reinstall {name}"


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _section(name: str) -> str:
    """The lines of one [section] of pyproject.toml."""
    text = _read("pyproject.toml").partition(f"\n[{name}]\n")[2]
    return re.split(r"^\[", text, maxsplit=1, flags=re.MULTILINE)[0]
