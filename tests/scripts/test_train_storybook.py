"""scripts/train_storybook.py and its parts, on texts made up here and a network of one small layer."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from decoding import Tokenizer
from gpt2 import GPT2, GPT2Config
from scripts import train_storybook as program
from scripts.training import corpus as corpus_module
from scripts.training import learner as learner_module
from scripts.training.batches import batches, windows
from scripts.training.corpus import SOURCES, Document, Ids, Source, any_sources, corpus_key, read_documents, split
from scripts.training.files import write_atomically
from scripts.training.held_out import held_out_loss
from scripts.training.learner import Learner, decay_groups
from scripts.training.log import Log
from scripts.training.recipe import Recipe
from scripts.training.seen_ids import NOISE, SeenIds
from tests.conftest import ROOT

ENDOFTEXT = 50256
SHAPE = {"layers": 1, "heads": 2, "width": 8, "positions": 16}
TINY = Recipe(**SHAPE, steps=10, batch=3, warmup=2, learning_rate=0.02, held_out=0.15)  # widened after step 8
OPTIONS = [
    *("--any-corpus", "--threads", "1"),
    *("--layers", "1", "--heads", "2", "--width", "8", "--positions", "16", "--batch", "3", "--warmup", "2"),
    *("--steps", "10", "--learning-rate", "0.02", "--held-out", "0.15"),
]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files with 40 documents, about 2,000 ids."""
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(3)
    words = ["the", "bear", "went", "home", "and", "Lily", "said", "a", "little", "tree", "\n\n", "was", "blue."]
    for name in ("one", "two"):
        stories = [" ".join(draw.choices(words, k=45)) for _ in range(20)]
        (folder / f"{name}.txt").write_text("".join(f"{story}\n<|endoftext|>\n" for story in stories), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def parts(texts: Path) -> corpus_module.Split:
    return split(read_documents(texts, any_sources(texts)), TINY.held_out, TINY.seed)


@pytest.fixture(scope="module")
def finished(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run. Do not change it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert train(texts, folder) == 0
    return folder


def train(texts: Path, out: Path, *options: str) -> int:
    return program.main(["--corpus", str(texts), "--out", str(out), *OPTIONS, *options])


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log without what the clock decides."""
    lines = (folder / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "ids_per_second"} for line in lines]


def checkpoint_of(folder: Path) -> Path:
    return folder / "training" / "checkpoint.safetensors"


def steps_in(checkpoint: Path) -> int:
    with safe_open(checkpoint, framework="pt") as opened:
        return int(opened.metadata()["done"])


def same_run(one: Path, other: Path) -> bool:
    """Weights, optimiser and log are equal, bit for bit."""
    files = [(folder / "model.safetensors", checkpoint_of(folder)) for folder in (one, other)]
    tensors = [[load_file(file) for file in pair] for pair in files]
    return log_of(one) == log_of(other) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in zip(*tensors, strict=True)
    )


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Do something in the middle of a step, once."""
    original = Learner.step

    def step(self: Learner, ids: torch.Tensor) -> float:
        loss = original(self, ids)
        if self.done == number:
            act()
        return loss

    monkeypatch.setattr(Learner, "step", step)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What an error printed: one sentence, last on standard error."""
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("train_storybook.py: ")
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


# -- corpus -----------------------------------------------------------------------------------------------------------


def test_documents_are_cut_at_endoftext_and_closed_by_it(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "b.txt").write_text("\n One story.\n<|endoftext|>\n\n<|endoftext|>\nAnother\n\nstory.\n<|endoftext|>\n")
    (tmp_path / "a.txt").write_text("No mark at all.")
    (tmp_path / "LICENCE.md").write_text("not a text to learn")
    documents = read_documents(tmp_path, any_sources(tmp_path))
    expected = ["No mark at all.", "One story.", "Another\n\nstory."]
    assert [d.ids.tolist() for d in documents] == [[*tokenizer.encode(text), ENDOFTEXT] for text in expected]
    assert {d.times for d in documents} == {1}


def test_the_list_of_sources_is_whole() -> None:
    with SOURCES.open(encoding="utf-8", newline="") as opened:
        lines = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(lines) == 101
    assert sum(int(line["documents"]) for line in lines) == 6749
    assert all(len(line["sha256"]) == 64 and line["title"] and line["repository"] and line["commit"] for line in lines)
    assert [line["file"] for line in lines if line["times"] != "1"] == ["tinystories_subset.txt"]


def test_what_the_bundled_model_never_saw_stays_the_same() -> None:
    """What is held out follows from the number of documents. In the corpus it has 90,930 ids; see MODEL_CARD.md."""
    numbered = [Document(np.array([n], dtype=np.uint16), 1 if n < 3146 else 3) for n in range(6749)]
    held_out = split(numbered, Recipe.held_out, Recipe.seed).held_out.tolist()
    assert len(held_out) == 80
    assert held_out[:4] == [106, 130, 256, 422]
    assert sum(n >= 3146 for n in held_out) == 36


def test_a_split_keeps_documents_whole_and_repeats_the_training_part_only() -> None:
    documents = [Document(np.array([n, n, ENDOFTEXT], dtype=np.uint16), 1 + n % 2) for n in range(200)]
    training, held_out = split(documents, 0.2, seed=1)
    kept = set(held_out.tolist()) - {ENDOFTEXT}
    assert 20 < len(kept) < 60
    expected = sorted([n, n, ENDOFTEXT] for n in range(200) if n not in kept for _ in range(1 + n % 2))
    found = training.reshape(-1, 3).tolist()
    assert sorted(found) == expected
    assert found != expected  # in an order of their own
    assert not np.array_equal(split(documents, 0.2, seed=2).held_out, held_out)


def test_a_split_with_an_empty_part_is_refused() -> None:
    documents = [Document(np.array([5, ENDOFTEXT], dtype=np.uint16), 1)]
    with pytest.raises(ValueError, match="none is held out"):
        split(documents, 1e-9, seed=1)
    with pytest.raises(ValueError, match="none is left to train on"):
        split(documents, 1 - 1e-9, seed=1)


def test_at_least_one_document_is_held_out_where_that_is_asked_for() -> None:
    documents = [Document(np.array([n, ENDOFTEXT], dtype=np.uint16), 1) for n in range(5)]
    draw = random.Random(3)
    numbers = [draw.random() for _ in documents]
    held_out = split(documents, 1e-9, seed=3, at_least_one=True).held_out
    assert held_out.tolist() == [numbers.index(min(numbers)), ENDOFTEXT]
    for part, same in zip(split(documents, 0.5, 3, at_least_one=True), split(documents, 0.5, 3), strict=True):
        assert np.array_equal(part, same)  # nothing changes where the share is enough
    with pytest.raises(ValueError, match="only one document"):
        split(documents[:1], 0.5, seed=3, at_least_one=True)


def test_ids_are_cached_until_the_texts_change(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cache = tmp_path / "texts", tmp_path / "ids.safetensors"
    shutil.copytree(texts, folder)
    encoded: list[str] = []
    original = Tokenizer.encode

    def encode(self: Tokenizer, text: str, **how: bool) -> list[int]:
        encoded.append(text)
        return original(self, text, **how)

    monkeypatch.setattr(Tokenizer, "encode", encode)

    def read() -> list[list[int]]:
        encoded.clear()
        return [document.ids.tolist() for document in read_documents(folder, any_sources(folder), cache)]

    first = read()
    assert len(encoded) == 40
    assert read() == first
    assert encoded == []
    with (folder / "one.txt").open("a") as opened:
        opened.write("More.")
    assert len(read()) == 41
    assert len(encoded) == 41
    cache.write_bytes(cache.read_bytes()[:-7])  # a damaged cache is made anew
    assert len(read()) == 41
    assert len(encoded) == 41


def test_the_key_of_a_corpus_notices_everything() -> None:
    one, other = Source("a.txt", 1, "00"), Source("b.txt", 1, "11")
    variants = [[one, other], [other, one], [one], [one, other._replace(times=2)], [one, other._replace(sha256="22")]]
    assert len({corpus_key(sources) for sources in variants}) == len(variants)


def listed(folder: Path, *files: str) -> str:
    """A list of sources that are these files as they are now."""
    lines = [f"{source.file}\t1\t{source.sha256}" for source in any_sources(folder) if source.file in files]
    return "\n".join(["file\ttimes\tsha256", *lines]) + "\n"


def test_listed_files_have_to_be_there_and_unchanged(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "texts"
    shutil.copytree(texts, folder)
    (folder / "three.txt").write_text("to be deleted")
    (tmp_path / "sources.tsv").write_text(listed(folder, "one.txt", "two.txt", "three.txt"))
    monkeypatch.setattr(corpus_module, "SOURCES", tmp_path / "sources.tsv")
    assert [source.file for source in corpus_module.storybook_sources(folder)] == ["one.txt", "three.txt", "two.txt"]
    (folder / "three.txt").unlink()
    with (folder / "two.txt").open("a") as opened:
        opened.write(" ")
    options = [option for option in OPTIONS if option != "--any-corpus"]
    assert program.main(["--corpus", str(folder), "--out", str(tmp_path / "run"), *options]) == 1
    message = one_line(capsys)
    assert "of 3 files 1 are missing (three.txt) and 1 are not as they were (two.txt)" in message
    assert "--any-corpus" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "there is no folder"),
        ({}, "holds no .txt file"),
        ({"a.txt": b"\n\n"}, "hold no text"),
        ({"a.txt": b"caf\xe9"}, "a.txt is not UTF-8: byte 3 is 0xe9"),
        ({"a.txt": b"word " * 99}, "only one document"),
        ({"a.txt": b"word\n<|endoftext|>\n" * 9}, "sequences of 16 need more than 32"),
    ],
)
def test_a_corpus_that_cannot_be_used(
    files: dict[str, bytes] | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if files is not None:
        (tmp_path / "texts").mkdir()
        for name, content in files.items():
            (tmp_path / "texts" / name).write_bytes(content)
    assert train(tmp_path / "texts", tmp_path / "new" / "run") == 1
    assert said in one_line(capsys)
    assert not (tmp_path / "new").exists()


def test_a_few_documents_are_enough(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("The bear went home and slept all winter long. " * 9)
    (tmp_path / "two.txt").write_text("A little tree was blue. " * 9)
    assert train(tmp_path, tmp_path / "run", "--held-out", "0.012") == 0
    assert "held_out_loss" in log_of(tmp_path / "run")[-1]


# -- recipe and batches -----------------------------------------------------------------------------------------------


def test_the_defaults_are_the_bundled_model(storybook: GPT2) -> None:
    config, bundled = Recipe().config(50257), storybook.config
    assert (config.n_layer, config.n_head, config.n_embd, config.n_positions) == (
        (bundled.n_layer, bundled.n_head, bundled.n_embd, bundled.n_positions)
    )
    assert config.n_parameters == bundled.n_parameters
    assert config.embd_pdrop == config.attn_pdrop == config.resid_pdrop == 0
    assert (Recipe.betas, Recipe.weight_decay, Recipe.max_norm, Recipe.seen_first) == ((0.9, 0.95), 0.1, 1.0, 0.85)
    assert Recipe().steps * Recipe().batch * Recipe().positions == 14_389_248
    assert program.build_recipe(program.parse(["--corpus", "x", "--out", "y"])) == Recipe()


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 2e-5), (49, 1e-3 * (1 - 49 / 1000)), (99, 2e-3 * 0.901), (100, 1.8e-3), (500, 1e-3), (999, 2e-6), (1000, 0.0)],
)
def test_the_learning_rate_rises_and_falls(step: int, rate: float) -> None:
    assert Recipe(steps=1000).rate(step) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(("steps", "warmup"), [(3513, 100), (1000, 100), (999, 99), (30, 3), (1, 0)])
def test_the_warmup_is_at_most_a_tenth_unless_it_is_given(steps: int, warmup: int) -> None:
    options = ["--corpus", "x", "--out", "y", "--steps", str(steps)]
    assert program.build_recipe(program.parse(options)).warmup == warmup
    given = program.build_recipe(program.parse([*options, "--warmup", str(steps - 1)]))
    assert given.warmup == steps - 1
    with pytest.raises(ValueError, match=f"--warmup must be less than --steps; got {steps} and {steps}"):
        program.build_recipe(program.parse([*options, "--warmup", str(steps)]))


def test_without_warmup_the_first_rate_is_the_highest() -> None:
    assert Recipe(warmup=0).rate(0) == Recipe().learning_rate


@pytest.mark.parametrize("steps", [1, 2, 10, 3513])
def test_the_vocabulary_is_whole_before_the_last_step(steps: int) -> None:
    assert Recipe(steps=steps).widened_after == {1: 0, 2: 1, 10: 8, 3513: 2986}[steps] < steps


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0}, "steps"),
        ({"batch": -1}, "batch"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"warmup": -1}, "warmup"),
        ({"learning_rate": math.inf}, "learning rate"),
        ({"learning_rate": math.nan}, "learning rate"),
        ({"held_out": 0.0}, "held-out share"),
        ({"precision": "float16"}, "precision"),
        ({"width": 10, "heads": 4}, "width must be a multiple of heads"),
        ({"positions": 0}, "positions must be at least 1"),
        ({"heads": 0}, "heads must be at least 1"),
    ],
)
def test_recipes_that_make_no_sense(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe(**settings)


def test_every_pass_sees_everything_once_from_another_offset() -> None:
    count, length = 1003, 10
    stream = windows(count, length, seed=5)
    offsets = []
    for _ in range(5):
        starts = [next(stream)]
        while len(starts) < len(range(starts[0] % length, count - length, length)):
            starts.append(next(stream))
        assert sorted(starts) == list(range(starts[0] % length, count - length, length))
        assert starts != sorted(starts)
        assert max(starts) + length < count
        offsets.append(starts[0] % length)
    assert len(set(offsets)) > 1


def test_batches_go_on_where_they_stopped() -> None:
    ids = np.arange(1003, dtype=np.uint16)
    whole = list(islice(batches(ids, 7, 10, seed=5), 60))  # more than four passes
    later = list(islice(batches(ids, 7, 10, seed=5, done=33), 27))
    assert all(torch.equal(a, b) for a, b in zip(whole[33:], later, strict=True))
    assert whole[0].shape == (7, 11)
    assert whole[0].dtype == torch.int64
    assert (whole[0].diff() == 1).all()  # neighbours in the text, targets included
    other = next(batches(ids, 7, 10, seed=6))
    assert not torch.equal(whole[0], other)


# -- the network in training ------------------------------------------------------------------------------------------


def masked_loss(model: GPT2, ids: torch.Tensor, seen: SeenIds) -> torch.Tensor:
    """The loss of the whole vocabulary where ids that were never seen have the probability zero."""
    logits = model(ids[:, :-1])  # (B, T, V)
    logits[:, :, seen.rank < 0] = -torch.inf
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def test_the_loss_over_seen_ids_is_that_of_the_full_softmax_restricted_to_them(parts: corpus_module.Split) -> None:
    recipe = Recipe(**{**vars(TINY), "precision": "float32"})
    seen = SeenIds(parts.training, 50257)
    assert 15 < len(seen) < 100
    learner = Learner(recipe, seen, CPU)
    wide = Learner(recipe, seen, CPU)
    wide.widen()
    ids = next(batches(parts.training, 5, 16, seed=1))
    expected = masked_loss(wide.model, ids, seen).item()
    assert learner.step(ids) == pytest.approx(expected, rel=1e-6)
    assert wide.model.n_vocab == 50257
    assert learner.model.n_vocab == len(seen)


def test_seen_ids_are_counted_and_numbered() -> None:
    training: Ids = np.array([7, 3, 3, 9, 9, 9, 7, 5], dtype=np.uint16)
    seen = SeenIds(training, 12)
    assert seen.ids.tolist() == [3, 5, 7, 9]
    assert seen.rank.tolist() == [-1, -1, -1, 0, -1, 1, -1, 2, -1, 3, -1, -1]
    assert seen.rarest.tolist() == [1, 0, 2, 3]  # 5 once; 3 and 7 twice, the lower first


def test_unseen_ids_begin_at_the_mean_of_the_rarest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.training.seen_ids.RAREST", 2)
    seen = SeenIds(np.array([7, 3, 3, 9, 9, 9, 7, 7, 5], dtype=np.uint16), 1000)
    rows = torch.randn(4, 32)
    wide = seen.widen_embedding(rows, seed=1)
    assert torch.equal(wide[seen.ids], rows)
    unseen = wide[seen.rank < 0]  # (996, 32)
    noise = unseen - (rows[1] + rows[0]) / 2  # ids 5 and 3
    assert abs(noise.mean()) < 5 * NOISE / noise.numel() ** 0.5
    assert noise.std().item() == pytest.approx(NOISE, rel=0.05)
    assert len(unseen.unique(dim=0)) == 996
    assert torch.equal(wide, seen.widen_embedding(rows, seed=1))
    assert not torch.equal(wide, seen.widen_embedding(rows, seed=2))


def test_widening_keeps_all_but_the_embedding_and_the_memory_of_adamw(parts: corpus_module.Split) -> None:
    seen = SeenIds(parts.training, 50257)
    learner = Learner(TINY, seen, CPU)
    for ids in islice(batches(parts.training, 3, 16, seed=1), 3):
        learner.step(ids)
    before = {name: tensor.clone() for name, tensor in learner.state().items()}
    learner.widen()
    after = learner.state()
    assert after.keys() == before.keys()
    for name, tensor in after.items():
        if name.endswith(".wte.weight"):
            assert torch.equal(tensor[seen.ids], before[name])
            assert name.startswith("weight.") or not tensor[seen.rank < 0].any()
        else:
            assert torch.equal(tensor, before[name])
    assert {int(state["step"]) for state in learner.optimiser.state.values()} == {3}


def test_matrices_decay_and_nothing_else_does() -> None:
    model = GPT2(GPT2Config(n_vocab=30, n_positions=8, n_embd=8, n_layer=2, n_head=2))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decaying, others = decay_groups(model, 0.1)
    assert decaying["weight_decay"] == 0.1
    assert others["weight_decay"] == 0
    in_blocks = {
        f"h.{n}.{part}.weight" for n in (0, 1) for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert {names[id(p)] for p in parameters(decaying)} == in_blocks | {"wte.weight", "wpe.weight"}
    rest = {names[id(p)] for p in parameters(others)}
    assert rest == set(names.values()) - in_blocks - {"wte.weight", "wpe.weight"}
    assert all(name.endswith(".bias") or name.split(".")[-2].startswith("ln_") for name in rest)


def parameters(group: dict[str, object]) -> Iterable[torch.nn.Parameter]:
    found = group["params"]
    assert isinstance(found, list)
    return found


def test_a_step_is_adamw_on_the_whole_batch(parts: corpus_module.Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences go through the network in small groups; the step is that of all of them."""
    monkeypatch.setattr(Recipe, "max_norm", 0.3)
    recipe = Recipe(**{**vars(TINY), "precision": "float32", "warmup": 0})
    seen = SeenIds(parts.training, 50257)
    learner = Learner(recipe, seen, CPU)
    plain = GPT2(recipe.config(len(seen)))
    plain.load_state_dict(learner.model.state_dict())
    optimiser = torch.optim.AdamW(decay_groups(plain, 0.1), lr=0.02, betas=(0.9, 0.95))
    for step, ids in enumerate(islice(batches(parts.training, 5, 16, seed=1), 3)):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * (1 - step / 10)
        small = seen.rank[ids]
        loss = F.cross_entropy(plain(small[:, :-1]).flatten(0, 1), small[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.3)
        assert norm > 0.4  # there is something to shorten
        optimiser.step()
        assert learner.step(ids) == pytest.approx(loss.item(), rel=1e-5)
    for parameter, expected in zip(learner.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-3, atol=2e-4)


def test_precision_is_what_was_asked_for(parts: corpus_module.Split, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    original = learner_module.next_id_loss

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        used.append(logits.dtype)
        return original(logits, targets)

    monkeypatch.setattr(learner_module, "next_id_loss", loss)
    for precision in ("bfloat16", "float32"):
        learner = Learner(Recipe(**{**vars(TINY), "precision": precision}), SeenIds(parts.training, 50257), CPU)
        learner.step(next(batches(parts.training, 1, 16, seed=1)))
        assert {parameter.dtype for parameter in learner.model.parameters()} == {torch.float32}
    assert used == [torch.bfloat16, torch.float32]


def test_held_out_loss_predicts_each_id_once_from_its_window(storybook: GPT2) -> None:
    ids = torch.randint(0, 50257, (5 * 8 + 4,), generator=torch.Generator().manual_seed(1))
    losses = []
    for start in range(0, len(ids) - 1, 8):
        logits = storybook(ids[None, start : min(start + 8, len(ids) - 1)])[0]
        losses.append(F.cross_entropy(logits, ids[start + 1 : start + 1 + len(logits)], reduction="none"))
    expected = torch.cat(losses)
    assert len(expected) == len(ids) - 1
    assert held_out_loss(storybook, ids, 8) == pytest.approx(expected.mean().item(), rel=1e-5)
    assert held_out_loss(storybook, ids.numpy().astype(np.uint16), 8) == held_out_loss(storybook, ids, 8)


# -- whole runs -------------------------------------------------------------------------------------------------------


def test_the_loss_falls_and_the_log_tells(finished: Path, parts: corpus_module.Split) -> None:
    log = log_of(finished)
    assert [record["step"] for record in log] == list(range(1, 11))
    assert [record["learning_rate"] for record in log] == [TINY.rate(step) for step in range(10)]
    losses = [record["loss"] for record in log]
    assert losses[0] == pytest.approx(math.log(len(SeenIds(parts.training, 50257))), abs=0.1)  # no idea at first
    assert losses[7] < losses[0] - 0.15
    assert log[-1]["vocabulary"] == 50257
    assert [record["step"] for record in log if "held_out_loss" in record] == [10]


def test_the_screen_tells_where_the_vocabulary_widens(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(texts, tmp_path, "--checkpoint-every", "1") == 0
    lines = capsys.readouterr().err.splitlines()
    told = lines.index("train_storybook.py: from here on all 50,257 ids count, so the loss is higher than before")
    assert lines[told - 1].startswith("step 8 of 10 ")
    assert lines[told + 1].startswith("step 9 of 10 ")
    log = log_of(tmp_path)
    assert log[8]["loss"] > log[7]["loss"]


def test_a_short_text_of_new_words_is_measured_once_all_ids_count(parts: corpus_module.Split) -> None:
    learner = Learner(TINY, SeenIds(parts.training, 50257), CPU)
    unseen: Ids = np.array([40000, ENDOFTEXT], dtype=np.uint16)
    assert program.measure(learner, unseen) == {}
    learner.widen()
    assert program.measure(learner, unseen)["vocabulary"] == 50257


def test_a_seed_repeats_a_run_bit_for_bit_and_another_does_not(texts: Path, finished: Path, tmp_path: Path) -> None:
    assert train(texts, tmp_path / "again") == 0
    assert same_run(tmp_path / "again", finished)
    assert train(texts, tmp_path / "other", "--seed", "8") == 0
    assert not same_run(tmp_path / "other", finished)


@pytest.mark.parametrize("stops", [[1], [8], [9], [3, 4, 8]])  # 8: the last step of the small vocabulary
def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(
    stops: list[int], texts: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stop in stops:
        with pytest.MonkeyPatch.context() as patch:
            at_step(patch, stop, lambda: signal.raise_signal(signal.SIGINT))
            assert train(texts, tmp_path) == 130
        assert f"stopped after step {stop}" in one_line(capsys)
        assert steps_in(checkpoint_of(tmp_path)) == stop == len(log_of(tmp_path))
        assert not (tmp_path / "model.safetensors").exists()
    assert train(texts, tmp_path) == 0
    assert f"going on after step {stops[-1]}" in capsys.readouterr().err
    assert same_run(tmp_path, finished)


def test_a_run_that_broke_off_goes_on_from_its_last_checkpoint(
    texts: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("the power is gone")

    with monkeypatch.context() as patch:
        at_step(patch, 8, fail)
        assert train(texts, tmp_path, "--checkpoint-every", "3") == 1
    assert steps_in(checkpoint_of(tmp_path)) == 6
    assert len(log_of(tmp_path)) == 7
    assert train(texts, tmp_path, "--checkpoint-every", "4") == 0  # how often is no part of the recipe
    assert same_run(tmp_path, finished)


def test_a_finished_run_stays_as_it_is(
    texts: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    assert train(texts, tmp_path / "run") == 0
    assert same_run(tmp_path / "run", finished)
    assert "going on after step 10" in capsys.readouterr().err


def test_ctrl_c_loses_at_most_the_step(texts: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "train_storybook.py"), "--corpus", str(texts)]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "run"), *OPTIONS, "--steps", "100000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # a test run in the background ignores Ctrl-C, and its children would inherit that
        preexec_fn=None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    log = tmp_path / "run" / "training_log.jsonl"
    limit = time.monotonic() + 120
    while time.monotonic() < limit and process.poll() is None and not (log.exists() and log.stat().st_size > 500):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said.decode()
    assert b"Traceback" not in said
    assert steps_in(checkpoint_of(tmp_path / "run")) == len(log_of(tmp_path / "run")) > 3


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_last_checkpoint(
    texts: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda: patch.setattr(os, "fsync", full))
        assert train(texts, tmp_path, "--checkpoint-every", "3") == 1
    message = one_line(capsys)
    assert "checkpoint.safetensors cannot be written: No space left on device" in message
    assert steps_in(checkpoint_of(tmp_path)) == 3
    assert list(tmp_path.rglob("*.tmp")) == []
    assert train(texts, tmp_path) == 0
    assert same_run(tmp_path, finished)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def stop(_: int) -> None:
        assert path.read_bytes() == b"old"  # the new one is written beside it
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", stop)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"new")]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def scribble(path: Path) -> None:
    path.write_bytes(b"not a checkpoint" * 100)


def change(path: Path, tensor: str | None = None, **metadata: str) -> None:
    """Take a tensor out of a checkpoint, or change what it says of itself."""
    with safe_open(path, framework="pt") as opened:
        told = {**opened.metadata(), **metadata}
    tensors = {name: value for name, value in load_file(path).items() if name != tensor}
    save_file(tensors, path, told)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        scribble,
        lambda path: change(path, settings="{"),
        lambda path: change(path, settings="[1]"),
        lambda path: change(path, done="many"),
        lambda path: change(path, done="3"),  # the vocabulary is not what it was after step 3
        lambda path: change(path, tensor="exp_avg.wpe.weight"),
    ],
)
def test_a_damaged_checkpoint_is_a_sentence(
    damage: Callable[[Path], None], texts: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    damage(checkpoint_of(tmp_path / "run"))
    assert train(texts, tmp_path / "run") == 1
    message = one_line(capsys)
    assert "checkpoint.safetensors is damaged" in message
    assert "delete it" in message


def test_another_run_in_the_folder_is_refused_with_what_differs(
    texts: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = checkpoint_of(finished).read_bytes()
    assert train(texts, finished, "--steps", "20", "--seed", "8") == 1
    assert "holds another run: steps is 10 there and 20 here, seed is 7 there and 8 here;" in one_line(capsys)
    shutil.copytree(texts, tmp_path / "texts")
    with (tmp_path / "texts" / "one.txt").open("a") as opened:
        opened.write("More.")
    shutil.copytree(finished, tmp_path / "run")
    assert train(tmp_path / "texts", tmp_path / "run") == 1
    assert "holds another run: the texts have changed; " in one_line(capsys)
    assert checkpoint_of(finished).read_bytes() == before


def test_a_model_of_something_else_is_not_overwritten(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"precious")
    assert train(texts, tmp_path) == 1
    assert "it would be overwritten" in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_too_little_room_is_told_before_anything_is_computed(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 3_000_000))
    assert train(texts, tmp_path / "run") == 1
    assert "3 MB left, and this run needs 10 MB" in one_line(capsys)
    assert not (tmp_path / "run").exists()


def test_a_run_that_does_not_begin_leaves_only_what_was_there(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    assert train(texts, tmp_path, "--device", "abacus") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["diary.txt"]


def test_an_out_that_is_a_file(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert train(texts, tmp_path / "file") == 1
    assert "cannot be made" in one_line(capsys)


def test_the_log_loses_what_was_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4}\n{"st')
    Log(path, 2).append(step=3, loss=0.5)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3, "loss": 0.5}\n'
    path.write_bytes(b'{"step": 1}')  # without its newline the next line would be glued to it
    Log(path, 5).append(step=6)
    assert path.read_text() == '{"step": 6}\n'


# -- the result -------------------------------------------------------------------------------------------------------


def test_the_model_loads_and_is_stored_as_the_bundled_one(finished: Path, storybook: GPT2) -> None:
    model = GPT2.from_pretrained(str(finished))
    assert model.config == TINY.config(50257)
    stored = load_file(finished / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    ours, bundled = ({name.split(".", 2)[-1] for name in names} for names in (stored, storybook.state_dict()))
    assert ours == bundled
    with safe_open(finished / "model.safetensors", framework="pt") as opened:
        assert opened.metadata() == {"format": "pt"}
    trained = load_file(checkpoint_of(finished))
    assert all(torch.equal(trained[f"weight.{name}"].half(), tensor) for name, tensor in stored.items())


@pytest.mark.parity
def test_transformers_loads_the_model(finished: Path) -> None:
    import transformers

    theirs, report = transformers.GPT2LMHeadModel.from_pretrained(
        finished, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert (theirs.config.resid_pdrop, theirs.config.eos_token_id) == (0, ENDOFTEXT)
    ids = torch.randint(0, 50257, (2, 16))
    with torch.no_grad():
        expected = theirs.eval()(ids).logits
        torch.testing.assert_close(GPT2.from_pretrained(str(finished))(ids), expected, rtol=1e-4, atol=1e-4)


def test_training_ends_with_the_loss_that_evaluate_prints(
    texts: Path, finished: Path, tmp_path: Path, parts: corpus_module.Split, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "model.safetensors").unlink()  # a run that was killed between its last checkpoint and its end
    assert train(texts, run) == 0
    printed = capsys.readouterr().out
    assert program.main(["--corpus", str(texts), "--evaluate", str(run.resolve()), *OPTIONS]) == 0
    assert capsys.readouterr().out == printed
    loss = held_out_loss(GPT2.from_pretrained(str(finished)), parts.held_out, 16)
    assert f"held-out loss {loss:.4f} nats an id (perplexity {math.exp(loss):.2f})" in printed
    assert f"on {len(parts.held_out):,} ids of seed 7, in windows of 16" in printed
    assert log_of(finished)[-1]["held_out_loss"] == pytest.approx(loss, abs=2e-3)  # float16 against float32


def test_evaluate_writes_nothing(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert program.main(["--corpus", str(texts), "--evaluate", "storybook", "--out", str(out), *OPTIONS]) == 0
    assert capsys.readouterr().out.startswith("storybook: held-out loss ")
    assert not out.exists()


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "x"], "--corpus"),
        (["--corpus", "x"], "--out is needed"),
        (["--corpus", "", "--out", "y"], "--corpus is empty: name a folder"),
        (["--corpus", "x", "--out", ""], "--out is empty: name a folder"),
        (["--corpus", "x", "--evaluate", ""], "--evaluate is empty: name a model"),
        (["--corpus", "x", "--out", "y", "--steps", "many"], "--steps"),
        (["--corpus", "x", "--out", "y", "--threads", "0"], "--threads must be at least 1"),
        (["--corpus", "x", "--out", "y", "--checkpoint-every", "0"], "--checkpoint-every must be at least 1"),
    ],
)
def test_wrong_options_are_one_line(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(options)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--steps", "0"], "steps must be at least 1"),
        (["--device", "abacus"], "the device 'abacus' cannot be used here"),
        (["--heads", "3"], "width must be a multiple of heads; got 8 and 3"),
        (["--warmup", "10"], "--warmup must be less than --steps"),
        (["--learning-rate", "1e30"], "a smaller --learning-rate may help"),
        (["--evaluate", "no-such-model"], "there is no model"),
    ],
)
def test_mistakes_are_sentences(
    options: list[str], said: str, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(texts, tmp_path / "run", *options) == 1
    assert said in one_line(capsys)


def test_nothing_heavy_is_imported_before_mistakes_and_ctrl_c_are_sentences() -> None:
    code = (
        "import sys; from scripts import train_storybook as p; p.parse(['--corpus', 'x', '--out', 'y']); "
        "print('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout == b"False\n"


def test_ctrl_c_while_the_options_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "parse", interrupted)
    assert program.main([]) == 130


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0 s"), (0.1, "1 s"), (59.0, "59 s"), (59.5, "1 min"), (61.0, "2 min"), (3541.0, "1 h 0 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert program.duration(seconds) == said


def test_progress_on_a_terminal_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = iter([0.0, 2.0, 4.0, 4.0, 6.0])
    monkeypatch.setattr(program.time, "perf_counter", lambda: next(clock))
    progress = program.Progress(steps=3000, ids_a_step=4096)
    progress.step(1, 10.5)
    progress.step(2, 9.25)
    progress.line(2, 9.25)
    progress.step(3, 8.125)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 0
    assert shown.split("\r")[2] == "step 2 of 3,000  loss 9.250  2,048 ids/s  1 h 40 min left\x1b[K"
    progress.end_line()
    progress.end_line()
    assert capsys.readouterr().err == "\n"  # once, for what comes next
