"""scripts/in_venv.py in a project that needs nothing, so that nothing has to be downloaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the script, with requirements that list nothing."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "in_venv.py", folder / "scripts")
    (folder / "requirements.txt").write_text("# nothing\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text("", encoding="utf-8")
    return folder


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "scripts" / "in_venv.py"), *arguments]
    return subprocess.run(command, capture_output=True, check=False, encoding="utf-8")


def test_it_makes_the_environment_once_and_says_so(project: Path) -> None:
    show_prefix = ("-c", "import sys; print(sys.prefix)")
    first = run(project, *show_prefix)
    assert (first.returncode, first.stdout) == (0, f"{project / '.venv'}\n")  # nothing of pip's on standard output
    assert "making an environment" in first.stderr
    assert "installing requirements.txt" in first.stderr
    assert run(project, *show_prefix).stderr == ""

    (project / "requirements.txt").write_text("# still nothing\n", encoding="utf-8")
    changed = run(project, *show_prefix)
    assert "making an environment" not in changed.stderr
    assert "installing requirements.txt" in changed.stderr


def test_arguments_and_exit_code_are_the_commands_own(project: Path) -> None:
    result = run(project, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "--extra", "a b")
    assert (result.returncode, result.stdout) == (7, "['--extra', 'a b']\n")


def test_a_broken_environment_is_made_anew(project: Path) -> None:
    """As when the Python that it was made with is gone."""
    python = project / ".venv" / "bin" / "python"
    if not python.is_symlink():
        pytest.skip("environments of this system copy their Python")
    python.unlink()
    result = run(project, "-c", "print('here')")
    assert (result.returncode, result.stdout) == (0, "here\n")
    assert "making an environment" in result.stderr


def test_a_failed_installation_is_one_sentence_and_is_tried_again(project: Path) -> None:
    (project / "requirements.txt").write_text("./no-such-folder\n", encoding="utf-8")
    for _ in range(2):
        result = run(project, "-c", "print('here')")
        assert (result.returncode, result.stdout) == (1, "")
        assert "the environment could not be made" in result.stderr
        assert "Traceback" not in result.stderr
        assert ".." not in result.stderr.splitlines()[-1]


def test_extras_that_do_not_exist_are_refused_before_anything_is_installed(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "in_venv.py", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for arguments in (("--extra", "bogus", "-V"), ("--extra", "test", "--extra", "", "-V"), ("--extra",)):
        result = run(tmp_path, *arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("in_venv.py: there is no extra '")
        assert result.stderr.endswith("pyproject.toml has: test, parity, notebooks, benchmark, dev\n")
    assert not (tmp_path / ".venv").exists()


def test_the_extras_are_read_as_tomllib_reads_them() -> None:
    tomllib = pytest.importorskip("tomllib")
    from scripts import in_venv

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert in_venv.known_extras() == list(project["optional-dependencies"])


def test_without_arguments_it_explains_itself(project: Path) -> None:
    result = run(project)
    assert result.returncode == 2
    assert "scripts/generate.py" in result.stdout


def test_pip_may_be_missing_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's Python makes environments without pip; this Python's own pip installs into them."""
    from scripts import in_venv

    real = venv.create

    def without_ensurepip(*arguments: object, with_pip: bool, **options: object) -> None:
        if with_pip:
            raise subprocess.CalledProcessError(1, "ensurepip")
        real(*arguments, with_pip=False, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(venv, "create", without_ensurepip)
    monkeypatch.setattr(in_venv, "ROOT", tmp_path)
    monkeypatch.setattr(in_venv, "REQUIREMENTS", tmp_path / "requirements.txt")
    for name in ("ENVIRONMENT", "PYTHON", "STAMP"):
        moved = tmp_path / getattr(in_venv, name).relative_to(ROOT)
        monkeypatch.setattr(in_venv, name, moved)
    (tmp_path / "requirements.txt").write_text("", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("", encoding="utf-8")
    commands: list[list[str]] = []
    real_run = subprocess.run

    def recorded(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        options["stdout"] = subprocess.DEVNULL if not options.get("capture_output") else None
        if options["stdout"] is None:
            del options["stdout"]
        return real_run(command, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "run", recorded)
    in_venv.make_environment()
    in_venv.install([])
    assert in_venv.works(in_venv.PYTHON)
    assert [sys.executable, "-m", "pip", "--python", str(in_venv.PYTHON), "install"] == commands[-2][:6]
    assert in_venv.is_current([])


def test_extras_of_earlier_runs_are_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts import in_venv

    listed = "[project.optional-dependencies]\nparity = []\n"
    (tmp_path / "requirements.txt").write_text("", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(listed, encoding="utf-8")
    monkeypatch.setattr(in_venv, "ROOT", tmp_path)
    monkeypatch.setattr(in_venv, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr(in_venv, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(in_venv, "works", lambda *command: True)
    installed: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **how: installed.append(command))
    in_venv.install(["parity"])
    assert installed[-1][-2:] == ["-e", f"{tmp_path}[parity]"]
    assert in_venv.is_current(["parity"])
    in_venv.STAMP.write_text(f"{in_venv.fingerprint()}\nparity\ngone", encoding="utf-8")  # no extra any more
    (tmp_path / "pyproject.toml").write_text(f"{listed}# changed", encoding="utf-8")
    assert not in_venv.is_current([])
    in_venv.install([])
    assert installed[-1][-2:] == ["-e", f"{tmp_path}[parity]"]
