"""Where models come from: names and their precedence, directories, and the Hub with its cache, played by a stand-in.

The tests that only need another cache or address change them in `huggingface_hub.constants`; those in which the
environment itself matters run in a process of their own. None touches the real home or the network.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from gpt2 import GPT2, PUBLISHED, HubUnreachableError, ModelNotFoundError, Source, download
from gpt2.hub import STORYBOOK, locate
from tests.gpt2.small import small_model, state, write_model, write_sharded
from tests.hub.children import environment, start
from tests.hub.conftest import NOBODY, connect
from tests.hub.stand_in import COMMIT, File, Refusal, StandIn

MODEL = small_model()
PINNED = PUBLISHED["gpt2"].revision
Publish = Callable[[str, Path], None]


pytestmark = pytest.mark.usefixtures("cache")


def is_model(model: GPT2, expected: GPT2 = MODEL) -> bool:
    loaded, wanted = state(model), state(expected)
    return loaded.keys() == wanted.keys() and all(torch.equal(loaded[name], wanted[name]) for name in wanted)


# --- names ---


def test_the_bundled_model_needs_nothing() -> None:
    files = locate("storybook", local_files_only=True)
    assert files.weights == STORYBOOK / "model.safetensors"
    assert files.source == Source("storybook", None)


def test_a_directory_in_each_of_its_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path / "home" / "mine", MODEL)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    monkeypatch.chdir(folder.parent)
    for name in (str(folder), folder, f"{folder}/", "mine", "./mine", Path("mine"), "~/mine", "../home/mine"):
        model = GPT2.from_pretrained(name, local_files_only=True)
        assert is_model(model)
        assert model.source == Source(str(name), None)
    monkeypatch.chdir(folder)
    assert is_model(GPT2.from_pretrained("."))


def test_published_names_and_the_bundled_one_come_before_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of this name in the current directory changes nothing; "./gpt2" names the folder."""
    for name in ("gpt2", "storybook"):
        write_model(tmp_path / name, MODEL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HubUnreachableError, match="gpt2"):
        locate("gpt2", local_files_only=True)
    assert locate("storybook").weights == STORYBOOK / "model.safetensors"
    assert is_model(GPT2.from_pretrained("./gpt2"))
    assert is_model(GPT2.from_pretrained(Path.cwd() / "storybook"))


def test_a_directory_comes_before_the_hub(hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "owner" / "name", MODEL)
    hub.add("owner/name", write_model(tmp_path / "other", small_model(seed=1)))
    monkeypatch.chdir(tmp_path)
    assert is_model(GPT2.from_pretrained("owner/name"))
    assert hub.requests == []


@pytest.mark.parametrize(
    "name",
    ["gpt3", "GPT2", "./missing", "../missing/model", "~/missing", "/no/such/directory", "a/b/c", "a b/c", "a\0b",
     "https://huggingface.co/openai-community/gpt2", "~nobody_lives_here/model", "x" * 300],
    ids=lambda name: name[:20],
)  # fmt: skip
def test_an_unknown_name_lists_what_there_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError) as error:
        locate(name)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert f"there is no model {name!r}" in sentence
    assert "gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2, storybook (bundled)" in sentence
    assert "directory" in sentence
    assert "owner/name" in sentence


@pytest.mark.parametrize(
    "name",
    ["a--b/c", "-owner/name", "owner/name-", "owner/..", "owner/na..me", "owner/" + "x" * 300],
    ids=lambda name: name[:20],
)
def test_a_name_that_no_repository_can_have(name: str) -> None:  # law 13
    """huggingface_hub has rules of its own for names; they come before any request."""
    with pytest.raises(ModelNotFoundError, match="cannot be the name of a repository on the Hub") as error:
        locate(name)
    assert repr(name) in str(error.value)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    path = write_model(tmp_path, MODEL) / "model.safetensors"
    with pytest.raises(ModelNotFoundError, match=r"there is no model .*an existing directory"):
        locate(path)


# --- directories ---


def test_a_directory_without_weights(tmp_path: Path) -> None:  # law 13
    folder = write_model(tmp_path, MODEL)
    (folder / "model.safetensors").unlink()
    words = "holds no weights: neither model.safetensors nor model.safetensors.index.json"
    with pytest.raises(ModelNotFoundError, match=words) as error:
        locate(folder)
    assert str(folder) in str(error.value)
    assert "converted" not in str(error.value)
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelNotFoundError, match=f"{words}; only safetensors is read, .*converted"):
        locate(folder)


def test_a_directory_without_config(tmp_path: Path) -> None:  # law 13
    folder = write_model(tmp_path, MODEL)
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"holds weights but no config.json, which tells their shape"):
        locate(folder)


def test_a_config_that_cannot_be_read(tmp_path: Path) -> None:  # law 13
    """Here because a directory stands in its place, which even root cannot read."""
    folder = write_model(tmp_path, MODEL)
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    with pytest.raises((ValueError, ModelNotFoundError), match=r"config\.json.*cannot be read"):
        GPT2.from_pretrained(folder)


def test_a_directory_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    folder = write_model(tmp_path, MODEL)

    def denied(self: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(ModelNotFoundError, match=r"the directory .* cannot be read: Permission denied"):
        locate(folder)


def test_one_file_comes_before_several(tmp_path: Path) -> None:
    """As in transformers, where both lie."""
    write_sharded(tmp_path, small_model(seed=1))
    write_model(tmp_path, MODEL)
    assert is_model(GPT2.from_pretrained(tmp_path))


@pytest.mark.parametrize("local", ["storybook", "directory"])
def test_a_revision_of_something_local_makes_no_sense(local: str, tmp_path: Path) -> None:  # law 13
    name = "storybook" if local == "storybook" else str(write_model(tmp_path, MODEL))
    with pytest.raises(ValueError, match=r"revision names a commit on the Hub, but .* leave it out"):
        GPT2.from_pretrained(name, revision="main")


# --- from the Hub ---


def test_from_the_hub(hub: StandIn, tmp_path: Path) -> None:
    hub.add("owner/name", write_model(tmp_path, MODEL))
    model = GPT2.from_pretrained("owner/name")
    assert is_model(model)
    assert not model.training
    assert model.source == Source("owner/name", COMMIT)
    assert {file.split("/")[-1] for file in hub.files_asked_for()} == {"config.json", "model.safetensors"}


def test_a_published_model_is_its_pinned_commit(hub: StandIn, publish: Publish, tmp_path: Path) -> None:
    """Whatever the branch says today; a revision that is asked for is used instead."""
    repository = "openai-community/gpt2"
    newer = small_model(seed=1)
    publish("gpt2", write_model(tmp_path / "pinned", MODEL))
    hub.add(repository, write_model(tmp_path / "newer", newer), "f" * 40)
    model = GPT2.from_pretrained("gpt2")
    assert is_model(model)
    assert model.source == Source("gpt2", PINNED)
    assert {file.split("/")[0] for file in hub.files_asked_for()} == {PINNED}
    model = GPT2.from_pretrained("gpt2", revision="main")
    assert is_model(model, newer)
    assert model.source == Source("gpt2", "f" * 40)


def test_without_a_name_it_is_gpt2(publish: Publish, tmp_path: Path) -> None:
    publish("gpt2", write_model(tmp_path, MODEL))
    assert GPT2.from_pretrained().source == Source("gpt2", PINNED)


def test_every_published_name_leads_to_its_repository(publish: Publish, tmp_path: Path) -> None:
    folder = write_model(tmp_path, MODEL)
    for name, published in list(PUBLISHED.items()):
        publish(name, folder)
        assert GPT2.from_pretrained(name).source == Source(name, published.revision)


def test_a_pinned_model_in_the_cache_makes_no_request(hub: StandIn, publish: Publish, tmp_path: Path) -> None:
    publish("gpt2", write_model(tmp_path, MODEL))
    GPT2.from_pretrained("gpt2")
    assert hub.requests
    hub.requests.clear()
    assert is_model(GPT2.from_pretrained("gpt2"))
    assert is_model(GPT2.from_pretrained("gpt2", local_files_only=True))
    assert is_model(GPT2.from_pretrained("openai-community/gpt2", revision=PINNED))
    assert hub.requests == []


def test_a_branch_is_asked_for_and_followed(hub: StandIn, tmp_path: Path) -> None:
    """But not downloaded again where it has not moved."""
    hub.add("owner/name", write_model(tmp_path / "one", MODEL))
    GPT2.from_pretrained("owner/name")
    hub.requests.clear()
    assert is_model(GPT2.from_pretrained("owner/name"))
    assert {request.method for request in hub.requests} == {"HEAD"}
    newer = small_model(seed=1)
    hub.add("owner/name", write_model(tmp_path / "two", newer), "e" * 40)
    model = GPT2.from_pretrained("owner/name")
    assert is_model(model, newer)
    assert model.source == Source("owner/name", "e" * 40)


def test_a_branch_with_a_slash_in_its_name(hub: StandIn, tmp_path: Path) -> None:
    hub.add("owner/name", write_model(tmp_path, MODEL), branch="refs/pr/1")
    for local_files_only in (False, True):
        model = GPT2.from_pretrained("owner/name", revision="refs/pr/1", local_files_only=local_files_only)
        assert model.source == Source("owner/name", COMMIT)


@pytest.mark.parametrize("layout", [write_model, write_sharded])
@pytest.mark.parametrize("revision", [None, COMMIT])
def test_what_is_in_the_cache_will_do(
    layout, revision: str | None, hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """One file or several, a branch or a commit: once loaded, a model loads without the Hub."""
    hub.add("owner/name", layout(tmp_path, MODEL))
    assert is_model(GPT2.from_pretrained("owner/name", revision=revision))
    connect(monkeypatch, NOBODY)
    hub.requests.clear()
    model = GPT2.from_pretrained("owner/name", revision=revision, local_files_only=True)
    assert is_model(model)
    assert model.source == Source("owner/name", COMMIT)
    assert is_model(GPT2.from_pretrained("owner/name", revision=revision))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert is_model(GPT2.from_pretrained("owner/name", revision=revision))
    assert hub.requests == []


def test_all_files_are_of_one_commit(hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the branch moves between config.json and the weights, the model is still one of the two."""
    newer = small_model(seed=1, layer_norm_epsilon=0.1)
    hub.add("owner/name", write_model(tmp_path / "one", MODEL))
    find = hub.find

    def moving(repository: str, revision: str, file: str) -> tuple[str, File]:
        if file != "config.json" and (repository, "e" * 40) not in hub.commits:
            hub.add(repository, write_model(tmp_path / "two", newer), "e" * 40)
        return find(repository, revision, file)

    monkeypatch.setattr(hub, "find", moving)
    files = locate("owner/name")
    assert files.config.resolve().read_bytes() in {c["config.json"].content for c in hub.commits.values()}
    assert files.config.parent == files.weights.parent
    assert files.source.revision == files.weights.parent.name


def test_several_files_from_the_hub(hub: StandIn, tmp_path: Path) -> None:
    folder = write_sharded(tmp_path, MODEL, 3)
    hub.add("owner/name", folder)
    assert is_model(GPT2.from_pretrained("owner/name"))
    assert {file.split("/")[-1] for file in hub.files_asked_for()} == {
        "model.safetensors",
        *(path.name for path in folder.iterdir()),
    }


def test_a_shard_that_the_hub_lacks_is_named(hub: StandIn, tmp_path: Path) -> None:
    folder = write_sharded(tmp_path, MODEL, 3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    hub.add("owner/name", folder)
    with pytest.raises(ModelNotFoundError, match="owner/name on the Hub lists model-00002-of-00003"):
        GPT2.from_pretrained("owner/name")


def test_a_repository_without_safetensors_is_refused(hub: StandIn, tmp_path: Path) -> None:  # law 12
    folder = write_model(tmp_path, MODEL)
    shutil.move(folder / "model.safetensors", folder / "pytorch_model.bin")
    hub.add("owner/name", folder)
    words = r"owner/name on the Hub has neither model.safetensors nor .* at main; only safetensors is read"
    with pytest.raises(ModelNotFoundError, match=words):
        GPT2.from_pretrained("owner/name")
    assert not [file for file in hub.files_asked_for() if file.endswith(".bin")]


def test_a_repository_without_config_is_refused(hub: StandIn, tmp_path: Path) -> None:  # law 13
    folder = write_model(tmp_path, MODEL)
    (folder / "config.json").unlink()
    hub.add("owner/name", folder)
    with pytest.raises(ModelNotFoundError, match=r"owner/name on the Hub has no config\.json at main"):
        GPT2.from_pretrained("owner/name")


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(404, X_Error_Code="RepoNotFound"), "the Hub has no repository owner/name, or it is private.*hf auth"),
        (Refusal(401, X_Error_Code="RepoNotFound"), "the Hub has no repository owner/name, or it is private.*hf auth"),
        (Refusal(404, X_Error_Code="RevisionNotFound"), "owner/name on the Hub has no revision 'main'"),
        (Refusal(403, X_Error_Code="GatedRepo"), "owner/name is gated: accept its terms on the Hub, then .*hf auth"),
        (Refusal(401, X_Error_Code="GatedRepo"), "owner/name is gated: accept its terms on the Hub, then .*hf auth"),
        (Refusal(404, X_Error_Code="EntryNotFound"), r"owner/name on the Hub has no config\.json at main"),
    ],
)
def test_what_the_hub_refuses_is_a_sentence(refusal: Refusal, words: str, hub: StandIn) -> None:  # law 13
    hub.refusals["owner/name"] = refusal
    with pytest.raises(ModelNotFoundError, match=words) as error:
        GPT2.from_pretrained("owner/name")
    assert "\n" not in str(error.value)


def test_an_unknown_revision_is_named(hub: StandIn, tmp_path: Path) -> None:  # law 13
    hub.add("owner/name", write_model(tmp_path, MODEL))
    for revision in ("v9", "d" * 40, "a/branch"):
        with pytest.raises(ModelNotFoundError, match=f"owner/name on the Hub has no revision '{revision}'"):
            GPT2.from_pretrained("owner/name", revision=revision)


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_hub_in_trouble_is_out_of_reach(status: int, hub: StandIn) -> None:  # law 13
    hub.refusals["openai-community/gpt2"] = Refusal(status)
    with pytest.raises(HubUnreachableError, match=f"Hugging Face Hub cannot be reached for gpt2 .*{status}") as error:
        GPT2.from_pretrained("gpt2")
    assert "or give a directory that holds the model" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_portal_that_answers_in_the_hubs_place(hub: StandIn) -> None:  # law 13
    """A hotel's login page says 200 to everything. The sentence must not claim that the Hub was not to be asked."""
    hub.refusals["openai-community/gpt2"] = Refusal(200)
    with pytest.raises(HubUnreachableError, match="the Hugging Face Hub cannot be reached for gpt2") as error:
        GPT2.from_pretrained("gpt2")
    assert "not to be asked" not in str(error.value)
    assert "\n" not in str(error.value)


# --- without the Hub ---


@pytest.mark.parametrize("name", ["gpt2", "distilgpt2", "owner/name"])
def test_nobody_answers(name: str) -> None:  # law 13
    with pytest.raises(HubUnreachableError, match=f"the Hugging Face Hub cannot be reached for {name} ") as error:
        GPT2.from_pretrained(name)
    assert "check the network or the proxy, or give a directory that holds the model" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("address", ["http://no-such-host.invalid", "localhost", "", "http://127.0.0.1:99999"])
def test_an_address_that_leads_nowhere(address: str, monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    connect(monkeypatch, address)
    with pytest.raises(HubUnreachableError, match="the Hugging Face Hub cannot be reached for gpt2"):
        GPT2.from_pretrained("gpt2")


def test_an_address_without_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    connect(monkeypatch, "hub.example")
    with pytest.raises(HubUnreachableError, match="check the address in HF_ENDPOINT, or give a directory"):
        GPT2.from_pretrained("gpt2")


def test_an_empty_cache_and_nothing_else_allowed(hub: StandIn) -> None:  # law 13
    with pytest.raises(HubUnreachableError, match=r"gpt2 .*not in the cache, and the Hub is not to be asked"):
        GPT2.from_pretrained("gpt2", local_files_only=True)
    assert hub.requests == []


def test_an_unreachable_hub_is_an_os_error() -> None:
    """So that a program that falls back, as scripts/generate.py does, can tell it from a model that does not exist."""
    assert issubclass(HubUnreachableError, OSError)
    assert issubclass(ModelNotFoundError, OSError)
    assert not issubclass(HubUnreachableError, ModelNotFoundError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "/cache"), "cache of the Hub cannot be used .*denied.*HF_HOME"),
        (OSError(28, "No space left on device"), "cannot be stored: No space left on device"),
        (OSError(30, "Read-only file system", "/cache"), "cannot be stored: Read-only file system"),
    ],
)
def test_a_cache_that_takes_nothing(
    error: OSError, words: str, hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    hub.add("owner/name", write_model(tmp_path, MODEL))

    def full(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(download, "transfer", full)
    with pytest.raises(ModelNotFoundError, match=words):
        GPT2.from_pretrained("owner/name")


@pytest.mark.parametrize("folder", ["hub", "sub/hub"])
def test_a_cache_that_cannot_exist(
    folder: str, hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    """HF_HOME is a file, or would lie in one."""
    hub.add("owner/name", write_model(tmp_path / "model", MODEL))
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / folder))
    with pytest.raises(ModelNotFoundError, match="the cache of the Hub cannot be used") as error:
        GPT2.from_pretrained("owner/name")
    assert "point HF_HOME to a folder that can be read and written" in str(error.value)
    assert "\n" not in str(error.value)


def test_offline_by_decree(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachableError) as error:
        GPT2.from_pretrained("gpt2")
    assert str(error.value) == (
        "the Hugging Face Hub cannot be reached for gpt2 (it is not in the cache, and HF_HUB_OFFLINE "
        "(or TRANSFORMERS_OFFLINE) is set); unset that, or give a directory that holds the model"
    )
    assert hub.requests == []


# --- a Hub that never answers: given up within ten seconds, not after the minutes that huggingface_hub takes ---


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A Hub that takes connections, as the system does for it, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        silent.setblocking(False)
        connect(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        yield silent


def test_a_hub_that_never_answers_is_asked_once(silent: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert download.SECONDS_TO_ANSWER < download.SECONDS_IN_ALL < 10
    monkeypatch.setattr(download, "SECONDS_TO_ANSWER", 0.1)
    monkeypatch.setattr(download, "SECONDS_IN_ALL", 60.0)
    with pytest.raises(HubUnreachableError, match=r"cannot be reached for gpt2 \(.*timed out\); check the network"):
        GPT2.from_pretrained("gpt2")
    silent.accept()
    with pytest.raises(BlockingIOError):  # there was no second connection
        silent.accept()


def test_all_addresses_of_a_hub_together_have_an_end(silent: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The HTTP client waits for each address, and for name servers as long as they like."""
    monkeypatch.setattr(download, "SECONDS_TO_ANSWER", 60.0)
    monkeypatch.setattr(download, "SECONDS_IN_ALL", 0.4)
    with pytest.raises(HubUnreachableError, match=r"cannot be reached for gpt2 \(no answer within 0\.4 seconds\);"):
        GPT2.from_pretrained("gpt2")


# --- the environment itself, in a process of its own ---


def test_a_setting_of_huggingface_hub_that_is_no_number(tmp_path: Path) -> None:  # law 13
    code = (
        "from gpt2 import GPT2\ntry:\n    GPT2.from_pretrained('gpt2')\nexcept ValueError as error:\n    print(error)"
    )
    process = start(code, env=environment(tmp_path, NOBODY, HF_HUB_DOWNLOAD_TIMEOUT="10s"))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err, out.count("\n")) == (0, "", 1)
    assert out.startswith("huggingface_hub does not start with these environment variables (invalid literal for int()")
    assert "'10s'): HF_ENDPOINT is an address, HF_HUB_DOWNLOAD_TIMEOUT and" in out
