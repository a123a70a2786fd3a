#!/usr/bin/env python3
"""Is this machine ready? One page about it, with what to do about each problem.

    python3 scripts/in_venv.py scripts/doctor.py
    python3 scripts/in_venv.py scripts/doctor.py --hash            (reads the published models through, too)
    python3 scripts/doctor.py                                      (where not even in_venv.py works)

Each line has a mark. `ok` is fine. A `note` is worth knowing, and the bundled model runs all the same. A `problem` is
in the way of that. The exit code is 0 where the bundled model runs, else 1. Nothing is changed, no token and no
password is shown, and the Hub is asked one short question, unless --no-network is given.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

if sys.version_info < (3, 9):  # noqa: UP036  (of what follows, nothing would be understood)
    sys.exit("doctor.py: Python 3.10 or newer is needed; this is {}.{}".format(*sys.version_info[:2]))

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts.checkup import bundled, hardware, packages, weights
from scripts.checkup.finding import NOTE, OK, PROBLEM, Finding, Machine
from scripts.checkup.packages import python_command
from scripts.checkup.reachability import first_line
from scripts.command import Parser, run_command
from scripts.paint import Paint

NAME = "doctor.py"

Check = Callable[[Machine], Iterator[Finding]]
PAGE: dict[str, dict[str, Check]] = {  # section: name of a check, where it has to speak for itself: the check
    "Python": {
        "Python": packages.check_python,
        "packages": packages.check_packages,
        "extras": packages.check_extras,
    },
    "The bundled model": {
        "vocabulary": bundled.check_vocabulary,
        "storybook": bundled.check_storybook,
    },
    "This machine": {
        "device": hardware.check_device,
        "compiler": hardware.check_compiler,
        "memory": hardware.check_memory,
    },
    "The official weights": {
        "environment": weights.check_environment,
        "GPT2_WEIGHTS": weights.check_weights_folder,
        "cache": weights.check_cache,
        "Hub": weights.check_hub,
        "disk": weights.check_disk,
    },
}

WIDTH = 80
_MARK, _NAME = max(map(len, (OK, NOTE, PROBLEM))), len("huggingface_hub")
_TEXT = 2 + _MARK + 2 + _NAME + 2  # the column where what was found begins
_ADVICE = 2 + _MARK + 2  # and the one where what to do begins


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, __doc__)
    parser.add_argument(
        "--hash", action="store_true", help="read the published models that are here, and check their sha256"
    )
    parser.add_argument("--no-network", action="store_true", help="ask nobody")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the page")
    return parser.parse_args(arguments)


def look(machine: Machine) -> Iterator[tuple[str, Finding]]:
    """Each finding with its section. A check that fails itself is a finding, and stops no other."""
    for section, checks in PAGE.items():
        for name, check in checks.items():
            try:
                for finding in check(machine):
                    yield section, finding
            except Exception as error:
                text = f"this check failed itself: {type(error).__name__}: {first_line(error)}"
                yield section, Finding(name, NOTE, text, "please report it, with this page")


def lines(finding: Finding, paint: Paint) -> str:
    """One finding on the page: what was found, and below it what to do."""
    colour = {OK: paint.green, NOTE: paint.yellow, PROBLEM: paint.red}[finding.mark]
    wrap = {"break_long_words": False, "break_on_hyphens": False}
    text = textwrap.wrap(finding.text, WIDTH - _TEXT, **wrap) or [""]  # type: ignore[arg-type]
    name = finding.name if len(finding.name) <= _NAME else f"{finding.name} "
    found = [f"  {colour(f'{finding.mark:{_MARK}}')}  {name:{_NAME}}  {text[0]}".rstrip()]
    found += [" " * _TEXT + line for line in text[1:]]
    advice = textwrap.wrap(finding.advice, WIDTH - _ADVICE - 3, **wrap)  # type: ignore[arg-type]
    for number, line in enumerate(advice):
        found.append(" " * _ADVICE + paint.bold(("-> " if number == 0 else "   ") + line))
    return "\n".join(found)


def verdict(machine: Machine, findings: Sequence[Finding]) -> str:
    """The last lines of the page."""
    command = f'{python_command()} scripts/generate.py "One day" --model'
    if any(finding.mark == PROBLEM for finding in findings):
        return "Not ready: the bundled model does not run. Begin with the first problem above."
    said = f"Ready: storybook works.\n  {command} storybook\n"
    if machine.here:
        said += f"So does what is here of the official weights.\n  {command} {machine.here[0]}"
    elif machine.reached and machine.can_download:
        said += f"The official weights are downloaded when they are first used.\n  {command} gpt2"
    else:
        said += "The official weights are not here" + (
            "." if machine.reached is None and machine.can_download else ": see the notes."
        )
    return said


def run(options: argparse.Namespace) -> int:
    machine = Machine(network=not options.no_network, hash=options.hash)
    paint = Paint(sys.stdout)
    findings: list[tuple[str, Finding]] = []
    for section, finding in look(machine):
        if not options.json:
            if section not in (known for known, _ in findings):
                print(("\n" if findings else "") + paint.bold(section))
            told = finding.advice in (before.advice for _, before in findings)  # once is enough on a page
            print(lines(finding._replace(advice="") if told else finding, paint), flush=True)
        findings.append((section, finding))
    ready = all(finding.mark != PROBLEM for _, finding in findings)
    if options.json:
        rows = [{"section": section, **finding._asdict()} for section, finding in findings]
        print(json.dumps({"ready": ready, "official": machine.here, "findings": rows}, indent=2))
    else:
        print(f"\n{verdict(machine, [finding for _, finding in findings])}")
    return 0 if ready else 1


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what packages warn of when they are imported is not about the machine
        return run_command(NAME, lambda: run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
