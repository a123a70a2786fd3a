"""scripts/prefetch.py: through the stand-in Hub, with models small enough for tests that count as published ones."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from gpt2 import GPT2, PUBLISHED, GPT2Config
from gpt2 import transfer as transfer_module
from gpt2.hub import locate
from scripts import prefetch
from scripts.weights import fetching as weights_fetching
from scripts.weights import folder as weights_folder
from scripts.weights.fetching import check_room, named
from scripts.weights.published import in_units
from tests.gpt2.small import small_model, write_model, write_sharded
from tests.hub.children import as_published
from tests.hub.conftest import NOBODY, cache, connect, hub
from tests.hub.stand_in import COMMIT, Fault, Refusal, StandIn

FIXTURES = (cache, hub)  # an empty cache and a Hub that refuses connections; a stand-in for it
Usage = namedtuple("Usage", "total used free")
Status = namedtuple("Status", "st_dev st_mode")
BOTH = ("config.json", "model.safetensors")


@pytest.fixture
def models(hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Folders with what the Hub has as gpt2, distilgpt2 and owner/name."""
    folders = {}
    for seed, name in enumerate(("gpt2", "distilgpt2")):
        folder = write_model(tmp_path / "hub" / name, small_model(seed=seed))
        config = GPT2Config.from_file(folder / "config.json")
        monkeypatch.setitem(PUBLISHED, name, as_published(name, folder)._replace(config=config))
        hub.add(PUBLISHED[name].repository, folder, PUBLISHED[name].revision)
        folders[name] = folder
    folders["owner/name"] = write_model(tmp_path / "hub" / "other", small_model(seed=2))
    hub.add("owner/name", folders["owner/name"])
    return folders


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "stick" / "weights"


def fill(*names: str, to: Path, more: tuple[str, ...] = ()) -> int:
    return prefetch.main([*names, "--to", str(to), *more])


def is_copy(folder: Path, original: Path) -> bool:
    return all((folder / file).read_bytes() == (original / file).read_bytes() for file in BOTH)


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def flip_a_bit(file: Path) -> None:
    with file.open("r+b") as opened:  # in place, so that what shares its bytes is damaged, too
        opened.seek(-9, os.SEEK_END)
        (byte,) = opened.read(1)
        opened.seek(-9, os.SEEK_END)
        opened.write(bytes([byte ^ 1]))


# -- filling ----------------------------------------------------------------------------------------------------------


def test_a_folder_to_hand_round(
    models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fill("gpt2", "distilgpt2", to=to) == 0
    assert files_in(to) == {
        "README.txt",
        "SHA256SUMS",
        "sources.json",
        *(f"{name}/{file}" for name in ("gpt2", "distilgpt2") for file in BOTH),
    }
    assert not any(path.is_symlink() for path in to.rglob("*"))
    for name in ("gpt2", "distilgpt2"):
        assert is_copy(to / name, models[name])
    assert "holds distilgpt2, gpt2" in capsys.readouterr().out

    connect(monkeypatch, NOBODY)  # in the classroom
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(to / "no cache"))
    monkeypatch.setenv("GPT2_WEIGHTS", str(to))
    for name in ("gpt2", "distilgpt2"):
        files = locate(name)
        assert files.weights == to / name / "model.safetensors"
        assert files.source.revision == PUBLISHED[name].revision
        GPT2.from_pretrained(name)
        GPT2.from_pretrained(to / name)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
def test_sha256sum_accepts_the_list_and_finds_what_changed(models: dict[str, Path], to: Path) -> None:
    assert fill("gpt2", "owner/name", to=to) == 0

    def sha256sum() -> subprocess.CompletedProcess[str]:
        command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
        return subprocess.run(command, cwd=to, capture_output=True, text=True, check=False)

    result = sha256sum()
    assert result.returncode == 0
    assert result.stdout.count(": OK") == 4
    flip_a_bit(to / "gpt2" / "model.safetensors")
    assert sha256sum().returncode == 1


def test_the_sums_are_those_of_the_files(models: dict[str, Path], to: Path) -> None:
    fill("gpt2", to=to)
    assert weights_folder.read_sums(to) == {
        f"gpt2/{file}": hashlib.sha256((models["gpt2"] / file).read_bytes()).hexdigest() for file in BOTH
    }
    assert b"\r" not in (to / "SHA256SUMS").read_bytes()


def test_one_disk_holds_the_weights_once(cache: Path, models: dict[str, Path], to: Path) -> None:
    fill("gpt2", to=to)
    in_cache = cache / "models--openai-community--gpt2" / "snapshots" / PUBLISHED["gpt2"].revision
    assert (to / "gpt2" / "model.safetensors").samefile(in_cache / "model.safetensors")
    assert not (to / "gpt2" / "config.json").samefile(in_cache / "config.json")


def test_another_disk_gets_a_copy(
    models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def another_disk(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", another_disk)
    assert fill("gpt2", to=to) == 0
    assert is_copy(to / "gpt2", models["gpt2"])
    assert (to / "gpt2" / "model.safetensors").stat().st_nlink == 1
    assert "model.safetensors: " in capsys.readouterr().out


def test_again_verifies_and_asks_nobody(
    hub: StandIn, models: dict[str, Path], to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill("gpt2", "owner/name", to=to)
    before = {path: path.stat().st_mtime_ns for path in to.rglob("model.safetensors")}
    sums = (to / "SHA256SUMS").read_bytes()
    hub.requests.clear()
    capsys.readouterr()
    assert fill("gpt2", "owner/name", to=to) == 0
    assert hub.requests == []
    assert capsys.readouterr().out.count("there, and right") == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (to / "SHA256SUMS").read_bytes() == sums


def test_a_second_model_joins_the_first(models: dict[str, Path], to: Path) -> None:
    fill("gpt2", to=to)
    fill("distilgpt2", to=to)
    fill("owner/name", to=to)
    assert prefetch.main(["--check", str(to)]) == 0
    assert set(weights_folder.read_sources(to)) == {"gpt2", "distilgpt2", "owner/name"}
    assert len(weights_folder.read_sums(to)) == 6
    shutil.rmtree(to / "distilgpt2")  # and one leaves
    fill("gpt2", to=to)
    assert set(weights_folder.read_sources(to)) == {"gpt2", "owner/name"}
    assert "distilgpt2" not in (to / "README.txt").read_text(encoding="utf-8")
    assert prefetch.main(["--check", str(to)]) == 0


@pytest.mark.parametrize("file", BOTH)
def test_what_is_missing_is_completed(file: str, hub: StandIn, models: dict[str, Path], to: Path) -> None:
    fill("gpt2", to=to)
    (to / "gpt2" / file).unlink()
    shutil.rmtree(constants.HF_HUB_CACHE)
    hub.requests.clear()
    assert fill("gpt2", to=to) == 0
    assert is_copy(to / "gpt2", models["gpt2"])
    assert {asked.split("/")[-1] for asked in hub.files_asked_for()} == {file}  # and the other one is not fetched again


def test_files_that_were_brought_by_hand_are_taken_over(hub: StandIn, models: dict[str, Path], to: Path) -> None:
    shutil.copytree(models["gpt2"], to / "gpt2")
    assert fill("gpt2", to=to) == 0
    assert hub.requests == []
    assert prefetch.main(["--check", str(to)]) == 0


@pytest.mark.parametrize("name", ["gpt2", "owner/name"])
@pytest.mark.parametrize("file", BOTH)
def test_a_damaged_file_is_replaced(name: str, file: str, models: dict[str, Path], to: Path) -> None:
    """Also where the cache has the same bytes under another name, and so the same damage."""
    fill(name, to=to)
    flip_a_bit(to / name / file)
    assert prefetch.main(["--check", str(to)]) == 1
    assert fill(name, to=to) == 0
    assert is_copy(to / name, models[name])
    assert prefetch.main(["--check", str(to)]) == 0


@pytest.mark.parametrize("how", ["truncated", "another byte"])
@pytest.mark.parametrize("file", BOTH)
def test_a_damaged_cache_is_not_handed_round(
    how: str, file: str, cache: Path, models: dict[str, Path], to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locate("gpt2")
    blob = cache / "models--openai-community--gpt2" / "snapshots" / PUBLISHED["gpt2"].revision / file
    os.truncate(blob, 50) if how == "truncated" else flip_a_bit(blob)
    assert fill("gpt2", to=to) == 0
    assert is_copy(to / "gpt2", models["gpt2"])
    assert is_copy(blob.parent, models["gpt2"])
    assert "it is fetched again" in capsys.readouterr().err


def test_a_damaged_list_is_written_anew(models: dict[str, Path], to: Path) -> None:
    """A wrong sum beside right published weights."""
    fill("gpt2", to=to)
    path = to / "SHA256SUMS"
    path.write_text(path.read_text("utf-8").replace(PUBLISHED["gpt2"].sha256, "0" * 64), "utf-8")
    assert prefetch.main(["--check", str(to)]) == 1
    assert fill("gpt2", to=to) == 0
    assert prefetch.main(["--check", str(to)]) == 0


def test_gpt2_weights_is_not_where_prefetch_looks(
    models: dict[str, Path], to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor folders here that are called like the model: what is handed round comes from the Hub."""
    other = write_model(tmp_path / "other" / "gpt2", small_model(seed=9))
    write_model(tmp_path / "other" / "owner" / "name", small_model(seed=9))
    monkeypatch.setenv("GPT2_WEIGHTS", str(other.parent))
    monkeypatch.chdir(other.parent)
    assert fill("gpt2", "owner/name", to=to) == 0
    for name in ("gpt2", "owner/name"):
        assert is_copy(to / name, models[name])


def test_into_the_folder_itself(models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to.mkdir(parents=True)
    monkeypatch.chdir(to)
    for _ in range(2):
        assert prefetch.main(["owner/name", "gpt2", "--to", "."]) == 0
    assert is_copy(to / "owner" / "name", models["owner/name"])
    assert prefetch.main(["--check", "."]) == 0


# -- other models -----------------------------------------------------------------------------------------------------


def test_a_model_that_is_not_published_is_recorded(
    hub: StandIn, models: dict[str, Path], to: Path, tmp_path: Path
) -> None:
    assert fill("owner/name", to=to) == 0
    assert weights_folder.read_sources(to) == {"owner/name": weights_folder.Source("owner/name", COMMIT)}
    newer = write_model(tmp_path / "newer", small_model(seed=3))
    hub.add("owner/name", newer, "e" * 40)
    assert fill("owner/name", to=to) == 0  # what is there is right, and stays
    assert is_copy(to / "owner/name", models["owner/name"])
    assert fill("owner/name", to=to, more=("--revision", "main")) == 0
    assert is_copy(to / "owner/name", newer)
    assert weights_folder.read_sources(to)["owner/name"].revision == "e" * 40
    assert fill("owner/name", to=to, more=("--revision", COMMIT)) == 0
    assert is_copy(to / "owner/name", models["owner/name"])
    assert prefetch.main(["--check", str(to)]) == 0


def test_a_model_in_several_files(hub: StandIn, to: Path, tmp_path: Path) -> None:
    folder = write_sharded(tmp_path / "sharded", small_model(), 3)
    hub.add("owner/sharded", folder)
    assert fill("owner/sharded", to=to) == 0
    assert files_in(to / "owner" / "sharded") == files_in(folder)
    GPT2.from_pretrained(to / "owner" / "sharded")
    (to / "owner" / "sharded" / "model-00002-of-00003.safetensors").unlink()
    assert prefetch.main(["--check", str(to)]) == 1
    assert fill("owner/sharded", to=to) == 0
    assert prefetch.main(["--check", str(to)]) == 0


def test_what_is_fetched_is_told_before(
    cache: Path, models: dict[str, Path], to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, and not where the cache has it. How much is there of it is told, too."""
    published = PUBLISHED["gpt2"]
    blobs = cache / "models--openai-community--gpt2" / "blobs"
    blobs.mkdir(parents=True)
    half = (models["gpt2"] / "model.safetensors").read_bytes()[: published.n_bytes // 2]
    (blobs / f"{published.sha256}.incomplete").write_bytes(half)
    fill("gpt2", "owner/name", to=to)
    err = capsys.readouterr().err
    line = f"fetching gpt2, {in_units(published.n_bytes)} ({in_units(len(half))} of it are here)"
    assert err.startswith(f"prefetch.py: {line}\n")
    assert "prefetch.py: fetching owner/name" in err
    shutil.rmtree(to)
    fill("gpt2", to=to)
    assert "fetching" not in capsys.readouterr().err


# -- README.txt -------------------------------------------------------------------------------------------------------


def test_the_readme_tells_what_to_do_and_whose_it_is(models: dict[str, Path], to: Path) -> None:
    fill("gpt2", "distilgpt2", "owner/name", to=to)
    text = (to / "README.txt").read_text(encoding="utf-8")
    for part in (
        "export GPT2_WEIGHTS=THIS_FOLDER",
        '$env:GPT2_WEIGHTS = "THIS_FOLDER"',
        "--model THIS_FOLDER/gpt2",
        "sha256sum -c SHA256SUMS",
        "https://huggingface.co/openai-community/gpt2",
        PUBLISHED["gpt2"].revision,
        PUBLISHED["distilgpt2"].revision,
        COMMIT,
        "Modified MIT License",
        "Software Copyright (c) 2019 OpenAI",
        "OR OTHER DEALINGS IN THE SOFTWARE.\n",
        "No network is needed on a machine where the project's environment is installed already.",
        "  python3 scripts/in_venv.py scripts/doctor.py\n",
        "Apache License 2.0",
    ):
        assert part in text
    assert str(to) not in text  # the folder will lie elsewhere
    assert "---" not in text  # the project's own LICENSE goes on after OpenAI's part


def test_the_readme_of_other_models_claims_nothing_about_them(models: dict[str, Path], to: Path) -> None:
    fill("owner/name", to=to)
    text = (to / "README.txt").read_text(encoding="utf-8")
    assert "OpenAI" not in text
    assert "GPT2_WEIGHTS" not in text  # which is for published names
    assert "--model THIS_FOLDER/owner/name" in text
    assert "https://huggingface.co/owner/name" in text


# -- what goes wrong --------------------------------------------------------------------------------------------------


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error, and nothing of a traceback."""  # law 13
    told = ("prefetch.py: checking ", "prefetch.py: fetching ")
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(told)]
    assert len(lines) == 1, lines
    assert lines[0].startswith("prefetch.py: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gpt3", "--to", "x"], "there is no model 'gpt3' to fetch: give one of gpt2, "),
        (["../x", "--to", "x"], "there is no model '../x' to fetch"),
        (["owner/..", "--to", "x"], "there is no model 'owner/..' to fetch"),
        (["storybook", "--to", "x"], "storybook comes with the project"),
        (["gpt2", "--to", "x", "--revision", "main"], "write openai-community/gpt2 --revision main"),
        (["gpt2", "--to", "~nobody_lives_here/x"], "there is no folder ~nobody_lives_here/x"),
        (["--check", "no/such/folder"], "there is no folder no/such/folder to check"),
    ],
)
def test_bad_input_is_a_sentence(
    arguments: list[str], says: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert prefetch.main(arguments) == 1
    assert says in sentence(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [[], ["gpt2"], ["--to", "x"], ["--check", "x", "gpt2"], ["--check", "x", "--to", "y"]]
)
def test_bad_options_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:  # law 13
    with pytest.raises(SystemExit) as ended:
        prefetch.main(arguments)
    assert ended.value.code == 2
    sentence(capsys)


def test_a_file_is_no_folder(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    assert fill("gpt2", to=tmp_path / "file") == 1
    assert "is a file; --to takes a folder" in sentence(capsys)


def test_an_unreachable_hub_leaves_nothing_behind(
    models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(monkeypatch, NOBODY)
    assert fill("gpt2", to=to) == 1
    assert "the Hugging Face Hub cannot be reached (" in sentence(capsys)
    assert not to.exists()


def test_an_interruption_leaves_whole_models_only(
    hub: StandIn, models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second of two breaks off; the next run needs the rest of it only."""
    monkeypatch.setattr(transfer_module, "SECONDS_BETWEEN_ATTEMPTS", 0)
    fill("gpt2", to=to)
    hub.faults["model.safetensors"] = [Fault(stop_after=20_000)] + [Fault(refusal=Refusal(404))] * 9
    capsys.readouterr()
    assert fill("gpt2", "distilgpt2", to=to) == 1
    sentence(capsys)
    assert "distilgpt2/model.safetensors" not in files_in(to)
    assert "distilgpt2" not in (to / "SHA256SUMS").read_text("utf-8")
    assert not [file for file in files_in(to) if file.endswith(".part")]
    hub.faults.clear()
    hub.requests.clear()
    assert fill("gpt2", "distilgpt2", to=to) == 0
    assert is_copy(to / "distilgpt2", models["distilgpt2"])
    assert hub.bytes_sent("model.safetensors") == PUBLISHED["distilgpt2"].n_bytes - 20_000


def test_a_killed_copy_leaves_a_part_that_the_next_run_replaces(
    models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:10])
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(weights_fetching, "copy", kill)
        fill("gpt2", to=to)
    assert not [file for file in files_in(to) if not Path(file).name.startswith(".")]
    (to / "gpt2" / ".model.safetensors.part").write_bytes(b"what a killed process leaves")
    assert fill("gpt2", to=to) == 0
    assert is_copy(to / "gpt2", models["gpt2"])
    assert not [file for file in files_in(to) if file.endswith(".part")]


def test_ctrl_c(
    models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # law 13
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights_fetching, "copy", interrupt)
    assert fill("gpt2", to=to) == 130
    assert sentence(capsys) == "prefetch.py: stopped; the same command goes on from there"
    assert files_in(to) == set()


def test_a_config_of_another_model_is_refused(
    hub: StandIn, models: dict[str, Path], to: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mirror that has something else under the name."""
    other = write_model(tmp_path / "other", small_model(n_layer=2))
    shutil.copy(models["gpt2"] / "model.safetensors", other)
    hub.add("openai-community/gpt2", other, PUBLISHED["gpt2"].revision)
    assert fill("gpt2", to=to) == 1
    assert "config.json of gpt2 describes another model" in sentence(capsys)
    assert files_in(to) == set()
    hub.add("openai-community/gpt2", models["gpt2"], PUBLISHED["gpt2"].revision)
    assert fill("gpt2", to=to) == 0


def test_weights_of_another_model_are_refused(
    hub: StandIn, models: dict[str, Path], to: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_model(tmp_path / "other", small_model(seed=7))
    hub.add("openai-community/gpt2", other, PUBLISHED["gpt2"].revision)
    assert fill("gpt2", to=to) == 1
    assert "is not the published file" in sentence(capsys)
    assert "gpt2/model.safetensors" not in files_in(to)


def test_a_full_disk_is_noticed_before_anything_is_asked_for(
    hub: StandIn, models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    n_bytes = PUBLISHED["gpt2"].n_bytes + PUBLISHED["distilgpt2"].n_bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, n_bytes - 1))
    assert fill("gpt2", "distilgpt2", to=to) == 1
    assert "are needed in" in sentence(capsys)
    assert hub.requests == []
    assert not to.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, n_bytes))
    assert fill("gpt2", "distilgpt2", to=to) == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 0))
    assert fill("gpt2", "distilgpt2", to=to) == 0  # nothing more is needed


def test_two_disks_each_need_room(
    cache: Path, models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True)
    to.mkdir(parents=True)
    n_bytes = PUBLISHED["gpt2"].n_bytes
    free = {cache: n_bytes, to: n_bytes}
    stat = Path.stat

    def two_disks(path: Path, **how: Any) -> Any:
        if path in (cache, to):
            return Status(int(path == to), stat(path).st_mode)
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", two_disks)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free[path]))
    check_room(to, [named("gpt2", None)])
    for disk in (cache, to):
        free[disk] -= 1
        with pytest.raises(OSError, match=f"are needed in {disk}"):
            check_room(to, [named("gpt2", None)])
        free[disk] += 1


def test_a_copy_without_room_or_on_fat32(
    models: dict[str, Path], to: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    locate("owner/name")
    monkeypatch.setattr(weights_fetching, "link", lambda source, target: False)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 1_000))
        assert fill("owner/name", to=to) == 1
    assert "are needed in" in sentence(capsys)

    def too_large(*args: object) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(shutil, "copyfileobj", too_large)
    assert fill("owner/name", to=to) == 1
    assert "FAT32 ends at 4 GB; format the stick as exFAT" in sentence(capsys)
    assert not [file for file in files_in(to) if file.endswith((".safetensors", ".part"))]


# -- checking ---------------------------------------------------------------------------------------------------------


def test_check_asks_nobody_and_names_what_is_wrong(
    hub: StandIn, models: dict[str, Path], to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill("gpt2", "distilgpt2", "owner/name", to=to)
    hub.requests.clear()
    capsys.readouterr()
    assert prefetch.main(["--check", str(to)]) == 0
    out = capsys.readouterr().out
    assert out.count("ok     ") == 6
    assert "ok     gpt2/model.safetensors: the published file" in out
    assert "is whole: 6 files." in out
    flip_a_bit(to / "gpt2" / "model.safetensors")
    os.truncate(to / "distilgpt2" / "model.safetensors", 10)
    (to / "owner" / "name" / "config.json").unlink()
    assert prefetch.main(["--check", str(to)]) == 1
    captured = capsys.readouterr()
    assert "WRONG  gpt2/model.safetensors: is damaged: its sha256 is not the published one" in captured.out
    assert "WRONG  distilgpt2/model.safetensors: has 10 bytes instead of" in captured.out
    assert "WRONG  owner/name/config.json: is missing" in captured.out
    assert captured.out.count("ok     ") == 3
    assert f"this mends it: prefetch.py distilgpt2 gpt2 owner/name --to {to}" in captured.err
    assert hub.requests == []


def test_check_does_not_believe_a_list_that_was_changed(models: dict[str, Path], to: Path) -> None:
    """Other weights with a matching sum: the hash of the published ones is this project's own."""
    fill("gpt2", to=to)
    file = to / "gpt2" / "model.safetensors"
    shutil.copy(file, file.with_suffix(".copy"))
    file.unlink()
    shutil.move(file.with_suffix(".copy"), file)
    flip_a_bit(file)
    wrong = hashlib.sha256(file.read_bytes()).hexdigest()
    path = to / "SHA256SUMS"
    path.write_text(path.read_text("utf-8").replace(PUBLISHED["gpt2"].sha256, wrong), "utf-8")
    assert prefetch.main(["--check", str(to)]) == 1
    path.write_text("", "utf-8")  # nor one that was emptied
    assert prefetch.main(["--check", str(to)]) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "line 1: 'nonsense' is no sha256 and file"),
        (f"{'0' * 64}  ../secret", "line 1: '../secret' lies outside of the folder"),
        (f"{'0' * 64}  /etc/passwd", "line 1: '/etc/passwd' lies outside of the folder"),
        (f"{'0' * 64}  C:\\secret", "lies outside of the folder"),
        ("", "SHA256SUMS is empty"),
    ],
)
def test_a_list_that_is_none_is_a_sentence(
    line: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # law 13
    (tmp_path / "SHA256SUMS").write_text(line, "utf-8")
    assert prefetch.main(["--check", str(tmp_path)]) == 1
    told = sentence(capsys)
    assert says in told
    assert "fill the folder" in told


@pytest.mark.parametrize("name", ["SHA256SUMS", "sources.json"])
def test_a_list_that_cannot_be_read_says_what_to_do(
    name: str, cache: Path, to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (to / name).mkdir(parents=True)
    assert fill("gpt2", to=to) == 1
    told = sentence(capsys)
    assert f"{to / name} cannot be read" in told
    assert "delete it and fill the folder again" in told


@pytest.mark.skipif(os.name == "nt", reason="another shell quotes in another way")
def test_a_folder_without_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my stick"
    folder.mkdir()
    assert prefetch.main(["--check", str(folder)]) == 1
    told = sentence(capsys)
    assert "has no SHA256SUMS" in told
    assert told.endswith(f"--to '{folder}'")  # to be copied as it stands


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gpt2", "--to", ""], "--to is empty: name a folder"),
        (["--check", ""], "--check is empty: name a folder"),
        (["owner/name", "--to", "x", "--revision", ""], "--revision is empty: name a branch, tag or commit"),
    ],
)
def test_empty_options_are_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        prefetch.main(arguments)
    assert ended.value.code == 2
    assert says in sentence(capsys)


def test_damaged_sources_are_a_sentence(cache: Path, to: Path, capsys: pytest.CaptureFixture[str]) -> None:  # law 13
    to.mkdir(parents=True)
    for text in ("[1]", "{", '{"gpt2": {"repository": "x"}}'):
        (to / "sources.json").write_text(text, "utf-8")
        assert fill("gpt2", to=to) == 1
        assert "sources.json is damaged" in sentence(capsys)
