"""scripts/doctor.py: mostly called in this process; as a program where packages are missing or broken."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import platform
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from decoding import tokenizer
from gpt2 import PUBLISHED, GPT2Config, ModelNotFoundError
from gpt2 import hub as hub_module
from gpt2.checkpoint import CheckpointError
from gpt2.hub import locate
from scripts import doctor
from scripts.checkup import bundled, finding, hardware, packages, reachability, weights
from scripts.checkup.finding import NOTE, OK, PROBLEM, Finding, Machine
from scripts.weights.published import in_units
from tests.conftest import ROOT
from tests.gpt2.small import small_model, write_model
from tests.hub import proxy as proxies
from tests.hub.children import as_published
from tests.hub.conftest import cache, connect, hub
from tests.hub.stand_in import Refusal, StandIn

FIXTURES = (cache, hub)  # an empty cache and a Hub that refuses connections; a stand-in for it
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every test: an empty cache, no token, no proxy, nobody who answers; an environment that is the project's."""
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr(sys, "prefix", str(ROOT / ".venv"))


@pytest.fixture
def small_gpt2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small model that counts as the published gpt2."""
    folder = write_model(tmp_path / "small", small_model())
    config = GPT2Config.from_file(folder / "config.json")
    monkeypatch.setitem(PUBLISHED, "gpt2", as_published("gpt2", folder)._replace(config=config))
    return folder


def in_the_cache(cache: Path, folder: Path, name: str = "gpt2") -> Path:
    """Put a model where the Hub's cache keeps it. Returns the weights."""
    repository = cache / f"models--{PUBLISHED[name].repository.replace('/', '--')}"
    snapshot = repository / "snapshots" / PUBLISHED[name].revision
    shutil.copytree(folder, snapshot)
    return snapshot / "model.safetensors"


def ask(check: Callable[[Machine], Iterator[Finding]], **machine: Any) -> dict[str, Finding]:
    """name: finding, of one check."""
    return {found.name: found for found in check(Machine(**machine))}


def page(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = doctor.main(options)
    return code, capsys.readouterr().out


def words(text: str) -> str:
    return " ".join(text.split())


# -- the page ---------------------------------------------------------------------------------------------------------


def test_a_machine_in_order(hub: StandIn, small_gpt2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.add("openai-community/gpt2", small_gpt2, PUBLISHED["gpt2"].revision)
    code, text = page(capsys)
    assert code == 0
    assert "problem" not in text
    assert re.search(rf"^  ok       torch            {re.escape(version('torch'))}", text, re.MULTILINE)
    assert "it writes: Once upon a time, there was a little girl named Lily." in words(text)
    assert re.search(r"ok +Hub +http://127.0.0.1:\d+ answers in \d+\.\d s", words(text))
    assert "Ready: storybook works." in text
    assert "The official weights are downloaded when they are first used." in text
    assert [request.method for request in hub.requests][:1] == ["HEAD"]
    assert {request.method for request in hub.requests} == {"HEAD"}
    assert hub.files_asked_for() == {f"{PUBLISHED['gpt2'].revision}/config.json"}


def test_the_page_has_80_columns_and_no_colour_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = page(capsys)
    assert code == 0  # a machine without the Hub is ready, too
    assert "\x1b" not in text
    sentences = [line for line in text.splitlines() if "/" not in line]  # a path is whole, so that it can be copied
    assert max(map(len, sentences)) <= 80
    assert max(map(len, text.splitlines()[-4:])) <= 80


def test_on_a_terminal_the_same_page_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    class File(io.StringIO):
        pass

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(hardware, "memory", lambda: int(2e9))
    only(monkeypatch, "memory", hardware.check_memory)
    pages = {}
    for kind in (Terminal, File):
        stream = kind()
        monkeypatch.setattr(sys, "stdout", stream)
        doctor.main([])
        pages[kind] = stream.getvalue()
    assert "\x1b[33mnote   \x1b[0m  memory" in pages[Terminal]
    assert re.sub(r"\x1b\[[\d;]*m", "", pages[Terminal]) == pages[File]


def only(monkeypatch: pytest.MonkeyPatch, name: str, *checks: Any) -> None:
    """A page with these checks alone."""
    monkeypatch.setattr(doctor, "PAGE", {"section": {f"{name}{i or ''}": check for i, check in enumerate(checks)}})


def test_json_has_the_same_findings(
    cache: Path, small_gpt2: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_cache(cache, small_gpt2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, 10**9))
    code, text = page(capsys, "--no-network")
    code_of_json, printed = page(capsys, "--no-network", "--json")
    answer = json.loads(printed)
    assert code == code_of_json == 0
    assert answer["ready"] is True
    assert answer["official"] == ["gpt2"]
    assert len(answer["findings"]) > 15
    for row in answer["findings"]:
        assert set(row) == {"section", "name", "mark", "text", "advice"}
        assert words(
            f"{row['mark']} {row['name']} {row['text']} {'-> ' if row['advice'] else ''}{row['advice']}"
        ) in words(text)
    marks = len(re.findall(r"^  (?:ok|note|problem) ", text, re.MULTILINE))
    assert marks == len(answer["findings"])


def test_a_check_that_fails_itself_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(machine: Machine) -> Iterator[Finding]:
        yield Finding("one", OK, "is fine")
        raise RuntimeError("what nobody thought of\nsecond line")

    only(monkeypatch, "check", broken, lambda machine: iter([Finding("two", OK, "is fine, too")]))
    code, text = page(capsys)
    assert code == 0
    assert "check            this check failed itself: RuntimeError: what nobody" in text
    assert "second line" not in text
    assert text.index("is fine\n") < text.index("failed itself") < text.index("is fine, too")


def test_a_problem_decides_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for mark, expected in {OK: 0, NOTE: 0, PROBLEM: 1}.items():
        only(monkeypatch, "check", lambda machine, mark=mark: iter([Finding("one", mark, "text", "advice")]))
        code, text = page(capsys)
        assert code == expected
        assert text.startswith(f"section\n  {mark:7}  one              text\n           -> advice\n")
        assert ("Not ready" in text) == (mark == PROBLEM)
        assert json.loads(page(capsys, "--json")[1])["ready"] == (mark != PROBLEM)


def test_bad_options_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:  # law 13
    with pytest.raises(SystemExit) as ended:
        doctor.main(["--nonsense"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_ends_it_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # law 13
    def interrupted(machine: Machine) -> Iterator[Finding]:
        raise KeyboardInterrupt
        yield

    only(monkeypatch, "check", interrupted)
    assert page(capsys) == (130, "")


def test_commands_begin_with_the_python_that_has_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """in_venv.py would install everything a second time beside another environment."""
    only(monkeypatch, "check", lambda machine: iter([Finding("one", OK, "is fine")]))
    by_script = '  python3 scripts/in_venv.py scripts/generate.py "One day" --model storybook'
    monkeypatch.setattr(packages, "IN_VENV", "python3 scripts/in_venv.py")
    for prefix in (str(ROOT / ".venv"), sys.base_prefix):
        monkeypatch.setattr(sys, "prefix", prefix)
        assert by_script in page(capsys)[1].splitlines()
    monkeypatch.setattr(sys, "prefix", "/somewhere/else")
    monkeypatch.setattr(sys, "executable", "/some where/bin/python")
    assert "in_venv.py" not in page(capsys)[1]
    assert """/some where/bin/python""" in page(capsys)[1]
    assert packages.python_command()[0] in "'\""  # quoted


# -- Python and packages ----------------------------------------------------------------------------------------------


def test_an_old_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.18")
    found = ask(packages.check_python)["Python"]
    assert found.mark == PROBLEM
    assert "3.10" in found.advice


def test_versions_are_compared_as_numbers() -> None:
    assert packages.is_older("2.6.0", "2.13")
    assert not packages.is_older("2.13.0+cpu", "2.13")
    assert not packages.is_older("2.6", "2.6.0")
    assert packages.is_older("0.8.0rc1", "0.9")


def test_the_lists_of_pyproject_are_read_as_tomllib_reads_them() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"dependencies": project["dependencies"], **project["optional-dependencies"]}
    for name, entries in lists.items():
        expected = [re.match(r"([\w-]+)[>=]=([\d.]+)", entry).groups() for entry in entries]  # type: ignore[union-attr]
        assert packages.requirements(name) == expected
        assert expected
    assert dict(packages.requirements("dependencies"))["torch"] == "2.6"
    assert set(finding.NEEDED) < set(dict(packages.requirements("dependencies")))


def test_markers_choose_the_line_for_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {}
    for python in ("3.10.4", "3.13.0"):
        monkeypatch.setattr(platform, "python_version", lambda python=python: python)
        versions[python] = packages.tested_versions()
        assert [name for name, _ in versions[python]].count("numpy") == 1
        assert bool(packages.requirements("parity")) == (python == "3.13.0")
    assert dict(versions["3.10.4"])["numpy"] != dict(versions["3.13.0"])["numpy"]


def test_an_old_package_is_a_note_and_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "version_of", {"torch": "2.5.1+cpu", "numpy": "9.1"}.get)
    found = ask(packages.check_packages)
    assert found["torch"].mark == NOTE
    assert found["torch"].text == "2.5.1+cpu is older than the 2.6 that this is written for"
    assert found["numpy"].mark == OK
    tested = dict(packages.tested_versions())["numpy"]
    assert found["numpy"].text == f"9.1 (the tests were passed with {tested})"


@pytest.mark.parametrize("name", ["torch", "tiktoken", "safetensors", "numpy", "huggingface_hub"])
def test_a_missing_package(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What storybook needs is a problem, what only the official weights need is a note."""
    monkeypatch.setitem(sys.modules, name, None)
    code, printed = page(capsys, "--json")
    rows = json.loads(printed)["findings"]
    row = next(row for row in rows if row["name"] == name)
    assert row["text"] == "is not installed"
    assert row["advice"]
    needed = name in ("torch", "tiktoken", "safetensors")
    assert code == int(needed)
    assert row["mark"] == (PROBLEM if needed else NOTE)
    storybook = next(row for row in rows if row["name"] == "storybook")
    assert storybook["mark"] == (PROBLEM if needed else OK)
    if needed:
        assert storybook["text"] == f"cannot run: it needs {name}"
    assert not [row for row in rows if "failed itself" in row["text"]]


def start(*options: str, paths: list[Path], site: bool = True) -> subprocess.CompletedProcess[str]:
    """doctor.py as a program that finds these folders first, with or without installed packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, *([] if site else ["-S"]), str(ROOT / "scripts" / "doctor.py"), "--no-network", *options],
        env={**kept, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_without_any_package(tmp_path: Path) -> None:
    result = start(paths=[], site=False)
    assert result.returncode == 1
    assert result.stderr == ""
    for name in finding.NEEDED:
        assert f"  problem  {name:15}  is not installed" in result.stdout
    assert "gpt2-xl (6.4 GB)" not in result.stdout  # the cache is huggingface_hub's to find
    assert result.stdout.count("makes the environment") == 1  # for all of them
    assert "Not ready" in result.stdout
    assert "failed itself" not in result.stdout


def test_a_broken_torch_is_a_line(tmp_path: Path) -> None:
    """One that raises, and a package that ends Python when it is imported."""
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: cannot open shared object file')", "utf-8")
    (tmp_path / "tiktoken.py").write_text("import os; os._exit(3)", "utf-8")
    result = start("--json", paths=[tmp_path])
    assert result.returncode == 1
    assert result.stderr == ""
    rows = {row["name"]: row for row in json.loads(result.stdout)["findings"]}
    assert (
        rows["torch"]["text"] == "is installed, but cannot be imported: libtorch_cpu.so: cannot open shared object file"
    )
    assert rows["tiktoken"]["text"] == "ends Python when it is imported (exit code 3)"
    assert rows["storybook"]["text"] == "cannot run: it needs tiktoken, torch"
    assert rows["vocabulary"]["mark"] == rows["device"]["mark"] == NOTE
    assert rows["huggingface_hub"]["mark"] == OK  # the checks that come after go on
    assert "gpt2 (548 MB)" in rows["not cached"]["text"]
    assert not [row for row in rows.values() if "failed itself" in row["text"]]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_a_package_for_another_processor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sudden.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert packages.deadly(["json", "sudden", "not_there", "csv"]) == {
        "sudden": "ends Python when it is imported (SIGILL)"
    }


def test_a_package_that_lacks_another_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_installed.py").write_text("import what_it_needs", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert packages.import_error("half_installed") == "needs what_it_needs, which is not installed"
    assert packages.import_error("not_there_at_all") == "is not installed"
    assert packages.import_error("json") is None


def test_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"pytest": "9", "mypy": "2", "jupyterlab": "4"}
    monkeypatch.setattr(packages, "version_of", there.get)
    found = ask(packages.check_extras)["extras"]
    assert found.mark == NOTE
    assert "installed: test" in found.text
    assert "dev (without ruff)" in found.text
    assert re.search(r"notebooks \(without .*ipykernel", found.text)
    assert found.advice.endswith("--extra notebooks scripts/doctor.py installs the rest")
    monkeypatch.setattr(packages, "version_of", {"pytest": "9"}.get)
    assert ask(packages.check_extras)["extras"].mark == OK
    without = ask(packages.check_extras, unusable={"torch"})["extras"]
    assert without.text == "not looked at, because torch cannot be used"


# -- vocabulary and bundled model -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "change", "mark", "says"),
    [
        ("vocab.bpe", lambda content: content[:-1], PROBLEM, "vocab.bpe is not the right file"),
        ("vocab.bpe", lambda content: content.replace(b"\n", b"\r\n"), PROBLEM, r"other line ends .*core\.autocrlf"),
        ("vocab.bpe", None, PROBLEM, "vocab.bpe is missing"),
        ("encoder.json", lambda content: content + b" ", NOTE, "encoder.json is not the right file"),
    ],
)
def test_a_broken_vocabulary(
    file: str, change: Any, mark: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(tokenizer.VOCABULARY, tmp_path / "vocabulary"))
    (copy / file).write_bytes(change((copy / file).read_bytes())) if change else (copy / file).unlink()
    monkeypatch.setattr(tokenizer, "VOCABULARY", copy)
    found = list(bundled.check_vocabulary(Machine()))
    assert [one.mark for one in found] == [mark]
    assert re.search(says, found[0].text)
    assert "decoding/vocabulary" in found[0].advice


def test_a_broken_vocabulary_breaks_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tokenizer, "VOCABULARY", tmp_path)
    code, text = page(capsys, "--no-network")
    assert code == 1
    assert "Not ready: the bundled model does not run." in text
    assert re.search(r"problem  storybook        does not run: the vocabulary", text)


def test_the_bundled_model_is_checked_by_its_card_and_by_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    assert [one.mark for one in bundled.check_storybook(machine)] == [OK]
    assert machine.runs
    copy = Path(shutil.copytree(hub_module.STORYBOOK, tmp_path / "storybook"))
    monkeypatch.setattr(hub_module, "STORYBOOK", copy)
    file = copy / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # one bit in thirty-five million bytes
    file.write_bytes(content)
    machine = Machine()
    (found,) = bundled.check_storybook(machine)
    assert found.mark == PROBLEM
    assert "model.safetensors is not the right file" in found.text
    assert "git checkout -- gpt2/storybook" in found.advice
    assert not machine.runs


def test_a_machine_that_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is right, and the text is not: here because GELU is a wrong one."""
    gelu = torch.nn.functional.gelu
    monkeypatch.setattr(torch.nn.functional, "gelu", lambda x, approximate="none": -gelu(x))
    (found,) = bundled.check_storybook(Machine())
    assert found.mark == PROBLEM
    assert "instead of ', there was a little girl named Lily.'" in found.text


# -- the machine ------------------------------------------------------------------------------------------------------


def test_a_product_that_is_wrong_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ask(hardware.check_device)["CPU"]
    assert right.mark == OK
    assert re.fullmatch(r"1 processor(, .*)?; arithmetic checked|\d+ processors(, .*)?; arithmetic checked", right.text)
    missing = hardware._product("XPU", "xpu", "one that this build of torch does not have")
    assert missing.mark == NOTE
    assert "fails" in missing.text
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: self + 1)
    wrong = ask(hardware.check_device)["CPU"]
    assert wrong.mark == PROBLEM
    assert wrong.text == "a product of two small matrices comes out wrong"


def test_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", sys.executable)
    found = ask(hardware.check_compiler)["compiler"]
    assert (found.mark, found.text) == (OK, f"{sys.executable}; use it with --compile")
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = ask(hardware.check_compiler)["compiler"]
    assert found.mark == NOTE
    assert found.text == "CXX names 'no-such-compiler', which is not here; without one, --compile changes nothing"
    assert list(hardware.check_compiler(Machine(unusable={"torch"}))) == []


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "memory", lambda: int(4e9))
    found = ask(hardware.check_memory)["memory"]
    assert found.mark == NOTE
    assert found.text == "4.0 GB, too little for gpt2-large, gpt2-xl in float32"
    monkeypatch.setattr(hardware, "memory", lambda: int(64e9))
    assert ask(hardware.check_memory)["memory"].mark == OK
    monkeypatch.setattr(hardware, "memory", lambda: None)  # as on Windows
    assert ask(hardware.check_memory) == {}


# -- environment ------------------------------------------------------------------------------------------------------

SECRETS = {
    "HF_TOKEN": "hf_tellnobody",
    "HTTPS_PROXY": "http://ada:s3same%40x@127.0.0.1:9",
    "http_proxy": "http://ada:p@ss/word@127.0.0.1:9",
    "ALL_PROXY": "ada:opensesame@127.0.0.1:9",
    "NO_PROXY": "localhost",
}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_no_token_and_no_password_is_shown(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    connect(monkeypatch, "http://bob:swordfish@hub.invalid")
    code, text = page(capsys, *options)
    assert code == 0
    for secret in ("tellnobody", "s3same", "p@ss", "word@", "opensesame", "swordfish"):
        assert secret not in text
    assert "http://***@127.0.0.1:9" in text
    assert "set; its value is not shown" in text
    assert "localhost" in text


def test_the_variables_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(weights.check_environment)["not set"].text.startswith("HF_HOME, HF_HUB_CACHE, ")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "mirror.example")
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = ask(weights.check_environment)
    assert "the Hub is not asked" in found["HF_HUB_OFFLINE"].text
    assert found["HF_ENDPOINT"].text == "mirror.example is not an address"
    assert found["https_proxy"].advice == "pip install socksio"
    assert {one.mark for name, one in found.items() if name != "not set"} == {NOTE}


def test_a_variable_that_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """To huggingface_hub these are set: the cache is the folder one is in, and the Hub has no address."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.setenv(name, "")
    found = ask(weights.check_environment)
    for name in ("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT"):
        assert found[name].mark == NOTE
        assert found[name].text.startswith("is set, but empty: ")
        assert name not in found["not set"].text
    assert "HF_TOKEN" in found["not set"].text
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "hub")
    assert weights.cache_folder() == Path.cwd() / "hub"
    connect(monkeypatch, "")
    hub_line = hub_says()
    assert hub_line.text == "the Hub has no address: HF_ENDPOINT is empty"
    assert hub_line.advice.startswith("HF_ENDPOINT is empty: unset it, or correct it; ")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://proxy:8080", "http://proxy:8080"),
        ("http://ada:secret@proxy:8080", "http://***@proxy:8080"),
        ("ada:secret@proxy:8080", "***@proxy:8080"),
        ("http://ada:se/cr@et@proxy:8080", "http://***@proxy:8080"),
        ("socks5h://secret@proxy", "socks5h://***@proxy"),
    ],
)
def test_passwords_in_addresses(address: str, shown: str) -> None:
    assert reachability.without_password(address) == shown


# -- the Hub ----------------------------------------------------------------------------------------------------------


def hub_says() -> Finding:
    machine = Machine()
    (found,) = weights.check_hub(machine)
    assert machine.reached == (found.mark == OK)
    assert found.mark == OK or found.advice or "cannot be asked" in found.text
    return found


def test_nobody_listens() -> None:
    found = hub_says()
    assert found.mark == NOTE
    assert found.text == "http://127.0.0.1:9 refuses the connection: nobody listens there"
    assert "HTTPS_PROXY" in found.advice and "GPT2_WEIGHTS" in found.advice


def test_the_advice_names_the_variable_that_leads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_says().advice.startswith("check the network; behind a proxy, set HTTPS_PROXY=")
    monkeypatch.setenv("HTTP_PROXY", "http://ada:sesame@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert hub_says().advice.startswith("check the network; ")  # the proxy is not in the way
    connect(monkeypatch, f"http://{proxies.HUB}")
    assert hub_says().advice.startswith("check the address in HTTP_PROXY; or bring the weights on a stick")
    monkeypatch.setenv("HF_ENDPOINT", f"http://bob:swordfish@{proxies.HUB}")
    advice = hub_says().advice
    assert advice.startswith(f"HF_ENDPOINT is http://***@{proxies.HUB}: unset it, or correct it; check the address in ")
    monkeypatch.delenv("HTTP_PROXY")
    assert "HTTP_PROXY" not in hub_says().advice


def test_a_token_that_cannot_be_read_is_not_the_networks_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with HF_HOME=/etc/passwd/x."""
    file = tmp_path / "file"
    file.write_text("not a folder", encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HOME", str(file / "x"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(file / "x" / "token"))
    found = hub_says()
    assert found.text == f"not asked, because {file / 'x' / 'token'} cannot be read"
    assert found.advice == "see the line `cache` above"


def test_a_silent_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:  # the system accepts for it
        connect(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        found = hub_says()
    assert found.mark == NOTE
    assert "is silent" in found.text


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    connect(monkeypatch, "https://hub.invalid")
    assert "nobody knows the name hub.invalid (no DNS answer for it)" in hub_says().text


def test_a_name_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timeout of an HTTP client reaches that far."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait() and [])
    monkeypatch.setattr(reachability, "SECONDS", -0.8)  # so that the page waits for 0.2 s
    connect(monkeypatch, "https://hub.invalid")
    try:
        assert "https://hub.invalid is silent" in hub_says().text
    finally:
        released.set()


@pytest.mark.parametrize(
    ("refusal", "says", "do"),
    [
        (Refusal(200), "something answers at .* that is not the Hub: a login page", "browser"),
        (Refusal(302, Location="http://login.invalid/"), "something answers at .* that is not the Hub", "browser"),
        (Refusal(401), "refuses the token", "unset HF_TOKEN"),
        (Refusal(401, X_Error_Code="RepoNotFound"), "refuses the token", "unset HF_TOKEN"),
        (Refusal(403), "answers 403, which is a refusal", "check the network"),
        (Refusal(404), "does not have gpt2", "check the network"),
        (Refusal(407), "wants a name and a password", "HTTPS_PROXY"),
        (Refusal(429), "asked too often", "again in some minutes"),
        (Refusal(503), "answers 503: the Hub has trouble", "again in some minutes"),
    ],
)
def test_answers_that_are_refusals(refusal: Refusal, says: str, do: str, hub: StandIn) -> None:
    hub.refusals["openai-community/gpt2"] = refusal
    found = hub_says()
    assert found.mark == NOTE
    assert re.search(says, found.text)
    assert do in found.advice


def test_a_mirror_without_the_models(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    hub.refusals["openai-community/gpt2"] = Refusal(404)
    assert hub_says().advice == "check HF_ENDPOINT: is it a mirror of the whole Hub?"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), "the certificate that .* shows is not believed"),
        (ssl.SSLError(1, "wrong version number"), "does not speak https"),
        (OSError(101, "Network is unreachable"), "this machine has no network"),
        (ConnectionResetError(104, "reset"), "ends the connection without an answer"),
        (ImportError("socksio"), "needs a package"),
        (ValueError("Unknown scheme"), "is not an address"),
        (RuntimeError("something new"), "cannot be asked .RuntimeError: something new"),
    ],
)
def test_other_ways_in_which_a_network_fails(error: Exception, says: str) -> None:
    """Wrapped, as the HTTP client does."""
    outer = Exception("outer")
    outer.__cause__ = error if not isinstance(error, RuntimeError) else None
    answer = reachability.in_words(
        outer if outer.__cause__ else error, "https://hub.invalid", "https://hub.invalid", "http://proxy.invalid"
    )
    assert not answer.reached
    assert re.search(says, answer.text)


def test_offline_by_decree(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = hub_says()
    assert found.text == "not asked: HF_HUB_OFFLINE is set"
    assert hub.requests == []


def test_no_network_asks_nobody(hub: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert page(capsys, "--no-network")[0] == 0
    assert hub.requests == []


def test_through_a_proxy(hub: StandIn, small_gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("openai-community/gpt2", small_gpt2, PUBLISHED["gpt2"].revision)
    connect(monkeypatch, f"http://{proxies.HUB}")
    with proxies.running(routes={proxies.HUB: hub.address}, demands=("ada", "sesame")) as proxy:
        with_password = proxy.address.replace("//", "//ada:sesame@")
        monkeypatch.setenv("HTTP_PROXY", with_password)
        found = hub_says()
    assert found.mark == OK
    assert f"http://{proxies.HUB} through the proxy {proxy.address.replace('//', '//***@')} answers in" in found.text
    assert proxy.requests


@pytest.mark.parametrize(
    ("endpoint", "how", "says"),
    [
        ("http", {"demands": ("ada", "other")}, "wants a name and a password (407)"),
        ("https", {"demands": ("ada", "other")}, "wants a name and a password (407)"),
        ("http", {"status": 502}, "the proxy does not get there, or the Hub has trouble"),
        ("https", {"status": 503}, "the proxy does not get there, or the Hub has trouble"),
        ("https", {"status": 403}, "answers 403, which is a refusal"),
    ],
)
def test_a_proxy_that_refuses(endpoint: str, how: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, f"{endpoint}://{proxies.HUB}")
    with proxies.running(**how) as proxy:
        monkeypatch.setenv(f"{endpoint.upper()}_PROXY", proxy.address.replace("//", "//ada:sesame@"))
        found = hub_says()
    assert found.mark == NOTE
    assert says in found.text
    assert "sesame" not in found.text + found.advice


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, f"https://{proxies.HUB}")
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:sesame@127.0.0.1:9")
    found = hub_says()
    assert "through the proxy http://***@127.0.0.1:9 refuses the connection" in found.text
    monkeypatch.setenv("NO_PROXY", proxies.HUB)
    assert reachability.proxy_for(f"https://{proxies.HUB}") is None


# -- the official weights ---------------------------------------------------------------------------------------------


def test_an_empty_cache_is_not_made(cache: Path) -> None:
    found = ask(weights.check_cache)
    assert found["cache"].mark == OK
    assert found["cache"].text == f"{cache} (not there yet)"
    assert found["not cached"].text.startswith("gpt2 (548 MB), gpt2-medium (1.5 GB), ")
    assert not cache.exists()


def test_a_whole_model(cache: Path, small_gpt2: Path) -> None:
    in_the_cache(cache, small_gpt2)
    machine = Machine()
    found = {one.name: one for one in weights.check_cache(machine)}
    assert found["gpt2"] == Finding("gpt2", OK, f"in the cache, {PUBLISHED['gpt2'].n_bytes:,} bytes")
    assert machine.here == ["gpt2"]
    assert found["not cached"].text.startswith("gpt2-medium (1.5 GB)")
    assert ask(weights.check_cache, hash=True)["gpt2"].text.endswith("and the published sha256")


def test_a_truncated_file(cache: Path, small_gpt2: Path) -> None:
    file = in_the_cache(cache, small_gpt2)
    n_bytes = PUBLISHED["gpt2"].n_bytes
    os.truncate(file, n_bytes - 1)
    machine = Machine()
    found = {one.name: one for one in weights.check_cache(machine)}["gpt2"]
    assert found.mark == NOTE
    assert found.text == f"in the cache with {n_bytes - 1:,} bytes instead of {n_bytes:,}: it is damaged"
    assert found.advice == f"delete this, and the next use downloads it again: {file}"
    assert machine.here == []


def test_a_damaged_file_is_found_with_hash_only(cache: Path, small_gpt2: Path) -> None:
    file = in_the_cache(cache, small_gpt2)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert ask(weights.check_cache)["gpt2"].mark == OK
    found = ask(weights.check_cache, hash=True)["gpt2"]
    assert found.mark == NOTE
    assert "another sha256: it is damaged" in found.text


def test_a_model_without_its_config(cache: Path, small_gpt2: Path) -> None:
    (in_the_cache(cache, small_gpt2).parent / "config.json").unlink()
    assert "without its config.json" in ask(weights.check_cache)["gpt2"].text


def test_unfinished_downloads(cache: Path, small_gpt2: Path) -> None:
    """One that goes on where it broke off, and what huggingface_hub leaves behind, which nothing reads again."""
    published = PUBLISHED["gpt2"]
    blobs = cache / "models--openai-community--gpt2" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{published.sha256}.incomplete").write_bytes(bytes(published.n_bytes // 4))
    (blobs / f"{published.sha256}.0a1b2c3d.incomplete").write_bytes(bytes(3_000))
    found = ask(weights.check_cache)
    assert found["gpt2"].mark == found["leftovers"].mark == NOTE
    whole, part = in_units(published.n_bytes), in_units(published.n_bytes // 4)
    assert found["gpt2"].text == f"in the cache in part: {part} of {whole} (25%)"
    assert found["leftovers"].text == "1 file of downloads that were killed: 3.0 kB"
    assert str(blobs) in found["leftovers"].advice


def test_an_interrupted_download_is_seen_as_such(cache: Path, hub: StandIn, small_gpt2: Path) -> None:
    """The name of the half file is gpt2/download.py's, not one that this test made up."""
    from gpt2 import transfer
    from tests.hub.stand_in import Fault

    hub.add("openai-community/gpt2", small_gpt2, PUBLISHED["gpt2"].revision)
    hub.faults["model.safetensors"] = [Fault(stop_after=20_000)] + [Fault(refusal=Refusal(404))] * 9
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError):
        patch.setattr(transfer, "SECONDS_BETWEEN_ATTEMPTS", 0)
        locate("gpt2")
    assert ask(weights.check_cache)["gpt2"].text.startswith("in the cache in part: 20 kB of ")


def test_a_cache_that_cannot_be_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", refuse)
        machine = Machine()
        absent = next(weights.check_cache(machine))
        disk = next(weights.check_disk(machine))
        cache.mkdir()
        there = next(weights.check_cache(Machine()))
    assert absent.mark == there.mark == disk.mark == NOTE
    assert absent.text == f"{cache} is not there and cannot be made in {cache.parent}: Permission denied"
    assert "can be read all the same" not in absent.advice
    assert disk.text == "not measured, because the cache cannot be made"
    assert there.text == f"{cache} cannot be written: Permission denied"
    assert "can be read all the same" in there.advice
    machine.reached = True
    assert "downloaded" not in doctor.verdict(machine, [])
    file = cache.parent / "file"
    file.write_text("not a folder", encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(file / "hub"))
    assert ask(weights.check_cache)["cache"].text == f"{file / 'hub'} cannot be made: {file} is a file"


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(n_bytes: float) -> Finding:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, int(n_bytes)))
        return ask(weights.check_disk)["disk"]

    assert free(1e8).mark == NOTE
    assert free(1e8).text.startswith(
        "100 MB free where the cache is, too little for gpt2 (548 MB), gpt2-medium (1.5 GB)"
    )
    assert "HF_HOME" in free(1e8).advice
    assert free(2e9).text.endswith("too little for gpt2-large (3.2 GB), gpt2-xl (6.4 GB)")
    assert free(8e9).text.endswith("enough for each model, but not for all")
    assert free(8e9).advice == ""
    assert free(5e10).mark == OK
    assert "take 12 GB" in free(5e10).text


@pytest.mark.parametrize("layout", ["folder/gpt2", "folder"])
def test_a_folder_that_was_handed_round(
    layout: str, small_gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_gpt2, tmp_path / layout)
    monkeypatch.setenv("GPT2_WEIGHTS", str(tmp_path / "folder"))
    machine = Machine()
    found = {one.name: one for one in weights.check_weights_folder(machine)}
    assert found["GPT2_WEIGHTS"].mark == found["gpt2"].mark == OK
    assert machine.here == ["gpt2"]
    assert locate("gpt2", local_files_only=True).weights.is_relative_to(tmp_path / "folder")


def test_what_the_doctor_says_of_a_handed_round_folder_is_what_loading_does(
    cache: Path, small_gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the cache has the model: a broken folder comes first, and stops it."""
    in_the_cache(cache, small_gpt2)
    folder = tmp_path / "folder"
    shutil.copytree(small_gpt2, folder / "gpt2")

    def told_and_true() -> tuple[bool, bool]:
        machine = Machine()
        list(weights.check_weights_folder(machine))
        list(weights.check_cache(machine))
        try:
            locate("gpt2", local_files_only=True)
        except (OSError, CheckpointError):
            return "gpt2" in machine.here, False
        return "gpt2" in machine.here, True

    assert told_and_true() == (True, True)
    monkeypatch.setenv("GPT2_WEIGHTS", str(folder))
    assert told_and_true() == (True, True)
    os.truncate(folder / "gpt2" / "model.safetensors", 100)
    assert told_and_true() == (False, False)
    (folder / "gpt2" / "model.safetensors").unlink()
    assert told_and_true() == (True, True)
    monkeypatch.setenv("GPT2_WEIGHTS", str(tmp_path / "nowhere"))
    assert told_and_true() == (False, False)
    with pytest.raises(ModelNotFoundError, match="GPT2_WEIGHTS"):
        locate("gpt2", local_files_only=True)
    assert "is not a folder" in ask(weights.check_weights_folder)["GPT2_WEIGHTS"].text


def test_an_empty_folder_that_was_handed_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT2_WEIGHTS", str(tmp_path))
    found = ask(weights.check_weights_folder)["GPT2_WEIGHTS"]
    assert found.mark == NOTE
    assert found.text == f"{tmp_path} holds no published model"
    assert ask(weights.check_weights_folder).keys() == {"GPT2_WEIGHTS"}
