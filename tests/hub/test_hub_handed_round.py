"""Weights that were handed round: GPT2_WEIGHTS=FOLDER, and from_pretrained(FOLDER) of a folder with one model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpt2 import GPT2, PUBLISHED, CheckpointError, HubUnreachableError, ModelNotFoundError, Source
from gpt2.hub import locate
from tests.gpt2.small import small_model, write_model, write_sharded
from tests.hub.children import as_published
from tests.hub.stand_in import StandIn

pytestmark = pytest.mark.usefixtures("cache")
MODEL = small_model()
PINNED = PUBLISHED["gpt2"].revision
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As scripts/prefetch.py fills it: the published model lies in gpt2/."""
    monkeypatch.setitem(PUBLISHED, "gpt2", as_published("gpt2", write_model(tmp_path / "weights" / "gpt2", MODEL)))
    monkeypatch.setenv("GPT2_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


# --- GPT2_WEIGHTS ---


def test_a_published_model_is_read_from_there(hub: StandIn, folder: Path) -> None:
    files = locate("gpt2")
    assert files.weights == folder / "gpt2" / WEIGHTS
    assert files.source == Source("gpt2", PINNED)
    assert GPT2.from_pretrained("gpt2", local_files_only=True).config == MODEL.config
    assert hub.requests == []


def test_it_comes_before_the_cache(hub: StandIn, folder: Path, publish: Callable[[str, Path], None]) -> None:
    publish("gpt2", folder / "gpt2")
    in_cache = locate("gpt2", revision=PINNED).weights
    assert in_cache != folder / "gpt2" / WEIGHTS
    assert locate("gpt2").weights == folder / "gpt2" / WEIGHTS


def test_the_folder_may_be_the_model(hub: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the published ones it is, its size tells."""
    monkeypatch.setenv("GPT2_WEIGHTS", str(folder / "gpt2"))
    files = locate("gpt2")
    assert (files.weights, files.source) == (folder / "gpt2" / WEIGHTS, Source("gpt2", PINNED))
    with pytest.raises(HubUnreachableError, match="gpt2-medium"):
        locate("gpt2-medium", local_files_only=True)
    assert hub.requests == []


def test_a_home_and_an_empty_value(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    monkeypatch.setenv("GPT2_WEIGHTS", "~/weights")
    assert locate("gpt2").weights == folder / "gpt2" / WEIGHTS
    monkeypatch.setenv("GPT2_WEIGHTS", "")
    with pytest.raises(HubUnreachableError):
        locate("gpt2", local_files_only=True)


@pytest.mark.parametrize("name", ["distilgpt2", "gpt2"])
def test_a_model_that_is_not_there_comes_from_the_hub(
    name: str, hub: StandIn, folder: Path, publish: Callable[[str, Path], None], tmp_path: Path
) -> None:
    (folder / "gpt2" / WEIGHTS).unlink()
    publish(name, write_model(tmp_path / "other", MODEL))
    assert locate(name).source == Source(name, PUBLISHED[name].revision)
    assert hub.requests


def test_a_folder_that_lacks_the_model_is_named_where_the_hub_lacks_it_too(folder: Path) -> None:  # law 13
    (folder / "gpt2" / WEIGHTS).unlink()
    with pytest.raises(HubUnreachableError) as error:
        locate("gpt2")
    assert f"; GPT2_WEIGHTS names {folder}, which does not hold it); " in str(error.value)
    with pytest.raises(HubUnreachableError) as error:
        locate("gpt2", revision="main")  # for which nobody looks there
    assert "GPT2_WEIGHTS" not in str(error.value)


def test_a_revision_is_looked_for_on_the_hub(hub: StandIn, folder: Path, tmp_path: Path) -> None:
    hub.add("openai-community/gpt2", write_model(tmp_path / "other", small_model(n_layer=1)), "e" * 40)
    assert GPT2.from_pretrained("gpt2", revision="main").config.n_layer == 1


def test_other_names_do_not_look_there(folder: Path) -> None:
    write_model(folder / "storybook", MODEL)
    assert locate("storybook").weights.parent != folder / "storybook"
    with pytest.raises(ModelNotFoundError, match="there is no model 'gpt3'"):
        write_model(folder / "gpt3", MODEL)
        locate("gpt3")


def test_a_file_of_another_size(hub: StandIn, folder: Path) -> None:  # law 13
    path = folder / "gpt2" / WEIGHTS
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(CheckpointError) as error:
        locate("gpt2")
    n = len(content)
    words = f"{path} has {n - 1:,} bytes, but model.safetensors of gpt2 has {n:,}: delete it and start again"
    assert str(error.value) == words
    assert path.exists()
    assert hub.requests == []


def test_weights_without_their_shape(folder: Path) -> None:  # law 13
    (folder / "gpt2" / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"gpt2 holds weights but no config\.json"):
        locate("gpt2")


@pytest.mark.parametrize("value", ["no/such/folder", "gpt2/config.json", "~nobody_lives_here/weights"])
def test_what_is_no_folder(value: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GPT2_WEIGHTS", value)
    with pytest.raises(ModelNotFoundError) as error:
        locate("gpt2")
    words = (
        f"GPT2_WEIGHTS is {value!r}, which is no directory: let it name the folder that holds gpt2/, or take it away"
    )
    assert str(error.value) == words
    locate("storybook")  # which is no concern of it


# --- a folder that holds a folder ---


@pytest.mark.parametrize("layout", [write_model, write_sharded])
def test_the_only_model_in_a_folder(layout: Callable[..., Path], tmp_path: Path) -> None:
    inner = layout(tmp_path / "round" / "gpt2", MODEL)
    (tmp_path / "round" / "empty").mkdir()
    (tmp_path / "round" / "README.txt").write_text("weights", encoding="utf-8")
    files = locate(tmp_path / "round")
    assert files.config == inner / "config.json"
    assert files.source == Source(str(tmp_path / "round"), None)
    assert GPT2.from_pretrained(tmp_path / "round").config == MODEL.config


def test_a_folder_with_weights_of_its_own_is_the_model(tmp_path: Path) -> None:
    folder = write_model(tmp_path, MODEL)
    write_model(tmp_path / "checkpoint-1", small_model(n_layer=1))
    assert locate(tmp_path).weights == folder / WEIGHTS


def test_several_models_in_a_folder(tmp_path: Path) -> None:  # law 13
    for name in ("gpt2-medium", "gpt2"):
        write_model(tmp_path / name, MODEL)
    with pytest.raises(ModelNotFoundError) as error:
        locate(tmp_path)
    assert str(error.value) == (
        f"the directory {tmp_path} holds several models: gpt2, gpt2-medium; name the folder of one, "
        f"such as {tmp_path / 'gpt2'}"
    )


def test_no_model_further_down(tmp_path: Path) -> None:  # law 13
    write_model(tmp_path / "a" / "b", MODEL)
    with pytest.raises(ModelNotFoundError, match=r"holds no weights: neither model\.safetensors nor"):
        locate(tmp_path)
