"""The five published checkpoints in their genuine layouts, with random values: from the stand-in to text."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from huggingface_hub import constants

from decoding import Tokenizer
from gpt2 import GPT2, PUBLISHED, CheckpointError, GPT2Config, Source
from tests.conftest import ROOT
from tests.hub.children import environment
from tests.hub.conftest import connect
from tests.hub.layouts import fact, genuine, reduced
from tests.hub.stand_in import COMMIT, StandIn, running

# Both prefixes where it is not published which one it is.
LAYOUTS = [(name, prefix) for name in PUBLISHED for prefix in fact(f"C-tensors-{name}")["prefix"]]
REPOSITORY = PUBLISHED["gpt2"].repository
PROMPT, NEW = "Hello, I'm a language model,", 12  # how many ids are added
TOLERANCE = 1e-4  # both compute in float32 and add up in different orders

pytestmark = pytest.mark.usefixtures("cache")


# --- the files themselves: what is published about them ---


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_config_is_the_published_file(name: str) -> None:
    layout, published = genuine(name), fact(f"C-config-{name}")
    assert hashlib.sha256(layout.config_bytes).hexdigest() == published["sha256"]
    assert GPT2Config.from_dict(layout.settings) == PUBLISHED[name].config


def test_the_header_of_distilgpt2_is_the_published_one() -> None:
    header, published = genuine("distilgpt2").header_bytes, fact("C-header-distilgpt2")
    assert len(header) == published["header_bytes"] == 8277
    assert hashlib.sha256(header).hexdigest() == published["header_sha256"]


@pytest.mark.parametrize(("name", "prefix"), LAYOUTS)
def test_tensors_and_size_are_the_published_ones(name: str, prefix: str) -> None:
    layout, table = genuine(name, prefix), fact(f"C-tensors-{name}")
    assert len(layout.shapes) == table["n_tensors"]
    elements = sum(math.prod(shape) for shape in layout.shapes.values())
    assert elements == table["f32_elements"]
    parameters = sum(math.prod(layout.shapes[key]) for key in layout.parameters.values())
    assert parameters == fact(f"C-params-{name}")["parameters"]
    if prefix == table["prefix"][0]:  # the sizes of gpt2-large and gpt2-xl were derived for files without a prefix
        assert 8 + len(layout.header_bytes) + 4 * elements == PUBLISHED[name].n_bytes
    assert not [key for key in layout.shapes if key.removeprefix(prefix) in table["absent"]]


# --- narrow ones, through the stand-in ---


@pytest.mark.parametrize(("name", "prefix"), LAYOUTS)
def test_every_layout_loads_from_the_hub(
    name: str, prefix: str, hub: StandIn, publish: Callable[[str, Path], None], tmp_path: Path
) -> None:
    """All of its layers and heads. The parameters are those written; masks are dropped, and nothing else is there."""
    layout = reduced(genuine(name, prefix))
    publish(name, layout.write(tmp_path))
    model = GPT2.from_pretrained(name)
    assert model.source == Source(name, PUBLISHED[name].revision)
    assert (model.config.n_layer, model.config.n_head) == (
        PUBLISHED[name].config.n_layer,
        PUBLISHED[name].config.n_head,
    )
    parameters = dict(model.named_parameters())
    assert parameters.keys() == layout.parameters.keys()
    for parameter, key in layout.parameters.items():
        assert torch.equal(parameters[parameter], torch.from_numpy(layout.values(key))), parameter
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]]))).all()
    assert {request.file for request in hub.requests} - {""} == {"config.json", "model.safetensors"}
    hub.requests.clear()
    GPT2.from_pretrained(name)
    assert hub.requests == []


# --- gpt2 at its full size, from an empty cache to text ---


class Run(NamedTuple):
    """What generate.py printed, and what it asked the stand-in for."""

    result: dict[str, Any]
    requests: list[str]
    bytes_sent: int


class FullSize(NamedTuple):
    folder: Path  # the file as it was written
    hub: StandIn  # which has it, under a commit that is not the pinned one
    home: Path  # of the two runs, with the cache
    first: Run
    second: Run


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullSize]:
    """548,105,171 bytes, written once and fetched once. They go at the end, on the disk and in the cache."""
    folder, home = tmp_path_factory.mktemp("full_size"), tmp_path_factory.mktemp("full_size_home")
    try:
        genuine("gpt2").write(folder)
        with running() as hub:
            hub.add(REPOSITORY, folder, COMMIT)
            yield FullSize(folder, hub, home, generate(hub, home), generate(hub, home))
    finally:
        for large in (folder, home):
            shutil.rmtree(large)


def generate(hub: StandIn, home: Path) -> Run:
    """generate.py in a process of its own. The revision is not the pinned commit, whose sha256 random values lack."""
    hub.requests.clear()
    process = subprocess.run(
        [sys.executable, "scripts/generate.py", PROMPT, "--model", "gpt2", "--revision", COMMIT,
         "--max-new-tokens", str(NEW), "--json"],
        cwd=ROOT, env=environment(home, hub.address),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    requests = [str(request) for request in hub.requests]
    return Run(json.loads(process.stdout), requests, hub.bytes_sent("model.safetensors"))


def test_a_file_of_the_published_size_goes_all_the_way_to_text(full_size: FullSize) -> None:
    """All of its bytes are asked for once."""
    assert full_size.first.bytes_sent == PUBLISHED["gpt2"].n_bytes == 548_105_171
    result = full_size.first.result
    assert (result["model"], result["revision"]) == ("gpt2", COMMIT)
    assert len(result["ids"]) == NEW
    assert result["text"] == Tokenizer().decode(result["ids"])


def test_the_second_start_asks_for_nothing(full_size: FullSize) -> None:
    assert full_size.second.requests == []
    assert full_size.second.result["ids"] == full_size.first.result["ids"]


@pytest.mark.parity
def test_transformers_agrees_about_the_same_file(full_size: FullSize, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours from the cache, theirs from the file that was written: the same logits, and the same greedy ids."""
    from transformers import GPT2LMHeadModel

    theirs, loading = GPT2LMHeadModel.from_pretrained(full_size.folder, output_loading_info=True)
    assert not any(loading.values())
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(full_size.home / "hf" / "hub"))
    ours = GPT2.from_pretrained("gpt2", revision=COMMIT, local_files_only=True)
    prompt = torch.tensor([Tokenizer().encode(PROMPT)])
    greedy = theirs.generate(prompt, do_sample=False, max_new_tokens=NEW, pad_token_id=50256)
    assert greedy[0].tolist() == prompt[0].tolist() + full_size.first.result["ids"]
    with torch.no_grad():
        logits = ours(greedy)
        assert logits.std() > 1  # beside which the tolerance is small
        torch.testing.assert_close(logits, theirs(greedy).logits, atol=TOLERANCE, rtol=0)


# --- the same file in the place of the pinned commit, which it is not ---


@pytest.fixture
def impostor(full_size: FullSize, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Its size is right, all its tensors fit, and its values are others."""
    hub, pinned = full_size.hub, PUBLISHED["gpt2"].revision
    hub.commits[REPOSITORY, pinned] = hub.commits[REPOSITORY, COMMIT]
    hub.requests.clear()
    monkeypatch.setattr(hub, "linked", {})
    connect(monkeypatch, hub.address)
    return hub


def test_another_file_is_refused_before_it_is_downloaded(impostor: StandIn) -> None:  # law 13
    """The Hub announces the sha256 of a large file, and it is not the published one."""
    sha256 = impostor.commits[REPOSITORY, COMMIT]["model.safetensors"].sha256
    with pytest.raises(CheckpointError, match=f"sha256 is {sha256} instead of {PUBLISHED['gpt2'].sha256}") as error:
        GPT2.from_pretrained("gpt2")
    assert "\n" not in str(error.value)
    assert impostor.bytes_sent("model.safetensors") == 0


def test_another_file_that_is_announced_as_the_published_one_is_refused(impostor: StandIn, cache: Path) -> None:
    """Only its bytes tell. Nothing of it stays."""  # law 13
    impostor.linked["X-Linked-ETag"] = f'"{PUBLISHED["gpt2"].sha256}"'
    sha256 = impostor.commits[REPOSITORY, COMMIT]["model.safetensors"].sha256
    with pytest.raises(CheckpointError, match=f"sha256 is {sha256} instead of {PUBLISHED['gpt2'].sha256}") as error:
        GPT2.from_pretrained("gpt2")
    assert "\n" not in str(error.value)
    assert impostor.bytes_sent("model.safetensors") == PUBLISHED["gpt2"].n_bytes
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) < 10_000
