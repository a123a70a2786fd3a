"""Loading is strict (law 12): every parameter is filled exactly once, nothing is left over, damage is named."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gpt2 import GPT2, CheckpointError, GPT2Config
from gpt2.checkpoint import INDEX, load_weights
from tests.conftest import ROOT
from tests.gpt2.small import ids, small_config, small_model, state, write_config, write_model, write_sharded

MODEL = small_model()


def load(path: Path, dtype: torch.dtype = torch.float32) -> GPT2:
    """The network of MODEL's shape with the weights in this file or index."""
    with torch.device("meta"):
        model = GPT2(MODEL.config)
    load_weights(model, path, dtype=dtype)
    return model.eval()


def write(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    return path / "model.safetensors"


def refusal(path: Path, dtype: torch.dtype = torch.float32) -> str:
    """The sentence with which this file is refused. It names the file and stays on one line."""
    with pytest.raises(CheckpointError) as error:
        load(path, dtype)
    sentence = str(error.value)
    assert path.name in sentence or str(path.parent) in sentence
    assert "\n" not in sentence
    return sentence


def is_model(model: GPT2, expected: dict[str, Tensor] | None = None) -> bool:
    """Whether every parameter is equal, bit for bit."""
    loaded, expected = state(model), state(MODEL) if expected is None else expected
    return loaded.keys() == expected.keys() and all(torch.equal(loaded[name], expected[name]) for name in expected)


# --- what is accepted ---


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_both_spellings_of_the_official_files(prefix: str, tmp_path: Path) -> None:  # law 12
    path = write(tmp_path, {prefix + name: tensor for name, tensor in state(MODEL).items()})
    assert is_model(load(path))


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_known_extras_are_dropped(prefix: str, tmp_path: Path) -> None:  # law 12
    """The causal mask that older files stored in every layer, and the head that is the embedding once more."""
    tensors = {prefix + name: tensor for name, tensor in state(MODEL).items()}
    for i in range(MODEL.config.n_layer):
        tensors[f"{prefix}h.{i}.attn.bias"] = torch.ones(1, 1, 24, 24).tril()
        tensors[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    tensors["lm_head.weight"] = state(MODEL)["wte.weight"]
    assert is_model(load(write(tmp_path, tensors)))


def test_mask_buffers_of_any_dtype_are_dropped(tmp_path: Path) -> None:
    """Some writers stored them as booleans or bytes."""
    tensors = state(MODEL)
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 24, 24, dtype=torch.bool).tril()
    tensors["h.1.attn.bias"] = torch.ones(1, 1, 24, 24, dtype=torch.uint8).tril()
    assert is_model(load(write(tmp_path, tensors)))


def test_a_name_that_only_looks_like_a_mask_is_not_dropped(tmp_path: Path) -> None:
    """`h.0.attn.bias` is a mask; `h.0.attn.c_attn.bias` is a parameter, and `xh.0.attn.bias` a stranger."""
    tensors = {**state(MODEL), "xh.0.attn.bias": torch.ones(2)}
    assert "xh.0.attn.bias is not a tensor of this network" in refusal(write(tmp_path, tensors))


def test_only_the_head_is_there(tmp_path: Path) -> None:
    """A writer that keeps one name of a shared tensor may keep this one (transformers issue 3799 and many after it)."""
    tensors = state(MODEL)
    tensors["lm_head.weight"] = tensors.pop("wte.weight")
    assert is_model(load(write(tmp_path, tensors)))


@pytest.mark.parametrize("stored", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wanted", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_precision_into_every_other(stored: torch.dtype, wanted: torch.dtype, tmp_path: Path) -> None:
    tensors = {name: tensor.to(stored) for name, tensor in state(MODEL).items()}
    model = load(write(tmp_path, tensors), wanted)
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}
    assert is_model(model, {name: tensor.to(wanted) for name, tensor in tensors.items()})


def test_a_file_of_mixed_precisions(tmp_path: Path) -> None:
    tensors = {name: tensor.half() if "mlp" in name else tensor for name, tensor in state(MODEL).items()}
    assert is_model(load(write(tmp_path, tensors)), {name: tensor.float() for name, tensor in tensors.items()})


def test_parameters_can_be_trained_and_the_file_stays(tmp_path: Path) -> None:  # law 11
    """Loaded weights may be views of the file: what training does to them must not reach it."""
    path = write(tmp_path, state(MODEL))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = load(path)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(ids(2, 5)).square().mean().backward()
    optimizer.step()
    assert not is_model(model)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert is_model(load(path))


def test_a_model_can_be_saved_over_its_own_file(tmp_path: Path) -> None:
    """Fine-tuning's last line. The weights are not lost on the way."""
    path = write(tmp_path, state(MODEL))
    model = load(path)
    with torch.no_grad():
        model.ln_f.bias += 1
    expected = state(model)
    save_file(model.state_dict(), path)
    assert is_model(model, expected)
    assert is_model(load(path), expected)


# --- what is refused: tensors ---


def with_changed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    return {**state(MODEL), name: tensor}


def without(*names: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state(MODEL).items() if name not in names}


def poisoned(name: str, value: float, index: int) -> dict[str, Tensor]:
    tensors = state(MODEL)
    tensors[name].view(-1)[index] = value
    return tensors


C_ATTN = "h.1.attn.c_attn.weight"


@pytest.mark.parametrize("name", state(MODEL))
def test_any_tensor_that_is_missing_is_named(name: str, tmp_path: Path) -> None:  # law 12
    assert f"does not fit: {name} is missing" in refusal(write(tmp_path, without(name)))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (with_changed("h.3.ln_1.weight", torch.ones(32)), "h.3.ln_1.weight is not a tensor of this network"),
        (with_changed("transformer.extra", torch.ones(1)), "transformer.extra is not a tensor of this network"),
        (
            with_changed(C_ATTN, state(MODEL)[C_ATTN].T.contiguous()),  # the famous transpose
            f"{C_ATTN} has the shape (96, 32) instead of (32, 96)",
        ),
        (with_changed("wpe.weight", torch.ones(25, 32)), "wpe.weight has the shape (25, 32) instead of (24, 32)"),
        (with_changed("ln_f.bias", torch.ones(1)), "ln_f.bias has the shape (1,) instead of (32,)"),
        (with_changed("ln_f.bias", torch.ones(0)), "ln_f.bias has the shape (0,) instead of (32,)"),
        (with_changed("ln_f.bias", torch.ones(32, dtype=torch.int64)), "ln_f.bias holds torch.int64 instead of float"),
        (with_changed("ln_f.bias", torch.ones(32, dtype=torch.bool)), "ln_f.bias holds torch.bool instead of float"),
        (with_changed("transformer.wte.weight", state(MODEL)["wte.weight"]), "wte.weight in model.safetensors is the"),
        (poisoned("ln_f.bias", float("nan"), 31), "ln_f.bias holds NaN or infinity"),
        (poisoned(C_ATTN, float("inf"), 100), f"{C_ATTN} holds NaN or infinity"),
        (poisoned("wte.weight", float("-inf"), 0), "wte.weight holds NaN or infinity"),
        (
            with_changed("lm_head.weight", state(MODEL)["wte.weight"] + 1),
            "lm_head.weight differs from wte.weight, but GPT-2's head is its token embedding",
        ),
        (
            with_changed("lm_head.weight", state(MODEL)["wte.weight"][:90].clone()),
            "lm_head.weight differs from wte.weight",
        ),
        (without("wte.weight", "ln_f.bias"), "wte.weight is missing; ln_f.bias is missing"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tensors: dict[str, Tensor], words: str, tmp_path: Path) -> None:  # law 12
    assert words in refusal(write(tmp_path, tensors))


def test_three_problems_are_named_and_the_others_counted(tmp_path: Path) -> None:  # law 13
    sentence = refusal(write(tmp_path, {}))
    assert "wte.weight is missing; wpe.weight is missing; " in sentence
    assert sentence.endswith(f"; and {len(state(MODEL)) - 3} more")


def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    """A model that already has weights keeps them, whatever is wrong, and wherever in the file."""
    for tensors in (without("ln_f.bias"), poisoned("ln_f.bias", float("nan"), 0)):
        model = small_model(seed=1)
        before = state(model)
        with pytest.raises(CheckpointError):
            load_weights(model, write(tmp_path, tensors))
        assert is_model(model, before)


@pytest.mark.parametrize(
    ("stored", "value", "wanted"),
    [
        (torch.float32, 1e5, torch.float16),
        (torch.float64, 1e300, torch.float32),
        (torch.float64, -1e39, torch.bfloat16),
    ],
)
def test_a_number_that_outgrows_the_precision(
    stored: torch.dtype, value: float, wanted: torch.dtype, tmp_path: Path
) -> None:
    """Fine in the file, infinite after the conversion: the sentence says that the precision is at fault."""
    tensors = {name: tensor.to(stored) for name, tensor in state(MODEL).items()}
    tensors["ln_f.bias"][3] = value
    path = write(tmp_path, tensors)
    assert f"ln_f.bias holds numbers too large for {wanted}" in refusal(path, wanted)
    assert load(path, stored).ln_f.bias[3] == tensors["ln_f.bias"][3]


# --- what is refused: files ---


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:  # law 12
    """At every length of the beginning, and at many after it. No length gives a model, none gives another error."""
    path = write(tmp_path, state(MODEL))
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    lengths = [*range(10), header - 1, header, header + 1, len(whole) - 1, *range(100, len(whole), len(whole) // 40)]
    for length in lengths:
        path.write_bytes(whole[:length])
        sentence = refusal(path)
        assert "not a safetensors file" in sentence if length <= 8 else "cut off or damaged" in sentence, length
        if length > 8:
            assert f"{length:,} bytes" in sentence
            assert "download it again" in sentence
    path.write_bytes(whole + b"\0")
    assert "cut off or damaged" in refusal(path)
    path.write_bytes(whole)
    assert is_model(load(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a safetensors file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is not a safetensors file"),
        (
            b"version https://git-lfs.github.com/spec/v1\n"
            b"oid sha256:248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707\nsize 548105171\n",
            "is a Git LFS pointer, not the weights themselves: fetch them with `git lfs pull`",
        ),
        (pickle.dumps({"wte.weight": [0.0] * 100}), "is a PyTorch pickle; only safetensors is read"),
        (b"PK\x03\x04" + bytes(200), "is a PyTorch pickle; only safetensors is read"),
        (b"\x10\0\0\0\0\0\0\0{not json at all" + bytes(50), "cut off or damaged"),
        (bytes(100), "is not a safetensors file"),
    ],
    ids=["empty", "web page", "git-lfs pointer", "pickle", "zip", "broken header", "zeros"],
)
def test_a_file_of_another_kind(content: bytes, words: str, tmp_path: Path) -> None:  # law 13
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert words in refusal(path)


def test_a_real_pytorch_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save(state(MODEL), path)
    assert "is a PyTorch pickle" in refusal(path)


def test_random_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    generator = torch.Generator().manual_seed(0)
    for length in range(1, 200, 7):
        path.write_bytes(bytes(torch.randint(256, (length,), generator=generator).tolist()))
        refusal(path)


def test_damaged_headers(tmp_path: Path) -> None:
    """Any byte of the header may be wrong: the file is refused, or what it says now is not this network's."""
    path = write(tmp_path, state(MODEL))
    whole = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    for position in range(0, header - 8, 13):
        damaged = bytearray(whole)
        damaged[position] ^= 0x15
        path.write_bytes(damaged)
        try:
            load(path)
        except CheckpointError:
            continue
        # only the metadata says nothing about the tensors
        assert b"__metadata__" in whole[max(0, position - 40) : position + 20], position


def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.mkdir()
    assert "cannot be read" in refusal(path)


# --- several files and their index ---


def set_index(folder: Path, **weight_map: str) -> Path:
    """Change entries of the index; '' removes one."""
    path = folder / INDEX
    index = json.loads(path.read_text(encoding="utf-8"))
    index["weight_map"] = {k: v for k, v in (index["weight_map"] | weight_map).items() if v}
    path.write_text(json.dumps(index), encoding="utf-8")
    return path


FIRST, SECOND, THIRD = (f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return write_sharded(tmp_path, MODEL, 3)


def test_several_files(sharded: Path) -> None:
    assert is_model(load(sharded / INDEX))
    assert is_model(GPT2.from_pretrained(sharded))


def test_a_missing_file_is_named(sharded: Path) -> None:  # law 12
    (sharded / SECOND).unlink()
    assert refusal(sharded / INDEX).endswith(f"names the file {SECOND}, which is not beside it")


def test_a_damaged_file_is_named(sharded: Path) -> None:
    path = sharded / SECOND
    path.write_bytes(path.read_bytes()[:-10])
    assert f"{SECOND} is cut off or damaged" in refusal(sharded / INDEX)


@pytest.mark.parametrize("elsewhere", ["../x.safetensors", "/etc/passwd", "a/../b", "sub/x.safetensors", "..", "."])
def test_a_file_elsewhere_is_not_opened(elsewhere: str, sharded: Path) -> None:
    index = set_index(sharded, **{"ln_f.bias": elsewhere})
    sentence = refusal(index)
    assert repr(elsewhere) in sentence
    assert "does not lie in the same folder" in sentence


def test_a_tensor_that_the_index_promises_and_the_file_lacks(sharded: Path) -> None:  # law 12
    weight_map = json.loads((sharded / INDEX).read_text(encoding="utf-8"))["weight_map"]
    other = next(name for name in (FIRST, SECOND, THIRD) if name != weight_map["ln_f.bias"])
    sentence = refusal(set_index(sharded, **{"ln_f.bias": other}))
    assert other in sentence
    assert "ln_f.bias is not in the file that the index names" in sentence


def test_a_tensor_in_two_files_is_named(sharded: Path) -> None:  # law 12
    save_file({"transformer.ln_f.bias": torch.zeros(32)}, sharded / "more.safetensors")
    sentence = refusal(set_index(sharded, **{"transformer.ln_f.bias": "more.safetensors"}))
    assert "ln_f.bias in more" in sentence or "ln_f.bias in model-0000" in sentence
    assert "is there twice" in sentence


def test_a_tensor_that_no_file_has_is_named(tmp_path: Path) -> None:  # law 12
    folder = write_sharded(tmp_path, MODEL, 3)
    for name in (FIRST, SECOND, THIRD):
        save_file({"lost": torch.zeros(1)}, folder / name)
    assert "is not in the file that the index names" in refusal(folder / INDEX)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "null", "{}", '{"weight_map": 3}', '{"weight_map": ["x"]}', '{"weight_map": null}'],
)
def test_a_malformed_index(content: str, tmp_path: Path) -> None:  # law 13
    path = tmp_path / INDEX
    path.write_text(content, encoding="utf-8")
    assert "is no index of a sharded checkpoint: it needs a `weight_map`" in refusal(path)


def test_an_index_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / INDEX
    path.write_bytes(b"\xff\xfe\x00")
    assert "is no index of a sharded checkpoint" in refusal(path)


def test_an_index_of_nothing(sharded: Path) -> None:
    path = sharded / INDEX
    path.write_text('{"weight_map": {}}', encoding="utf-8")
    assert "wte.weight is missing" in refusal(path)


# --- memory ---

PEAK = """
import sys, threading, time
import torch
from pathlib import Path
from gpt2 import GPT2, GPT2Config
from safetensors.torch import load_file

def anonymous():  # bytes of memory that no file stands behind
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])

def load_naively(folder):  # the mutant: fresh weights, and beside them all tensors in the wanted precision
    model = GPT2(GPT2Config.from_file(folder / "config.json"))
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    return model

folder, loader = Path(sys.argv[1]), {
    "ours": GPT2.from_pretrained,
    "int8": lambda folder: GPT2.from_pretrained(folder, dtype=torch.int8),
    "compiled": lambda folder: GPT2.from_pretrained(folder).compiled(),
    "naive": load_naively,
}[sys.argv[2]]
before = peak = anonymous()
done = False
def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.0005)
watcher = threading.Thread(target=watch)
watcher.start()
model = loader(folder)
done = True
watcher.join()
peak = max(peak, anonymous())
assert all(parameter.isfinite().all() for parameter in model.parameters())
print(peak - before)
"""

BIG = GPT2Config(n_vocab=20_000, n_positions=64, n_embd=512, n_layer=6, n_head=8)  # 117 MB in float32
BYTES = 4 * BIG.n_parameters


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> dict[torch.dtype, Path]:
    """The same model in files of float32 and of float16."""
    model = GPT2(BIG)
    folders = {}
    for dtype in (torch.float32, torch.float16):
        folder = folders[dtype] = tmp_path_factory.mktemp("big")
        write_model(folder, model, {name: tensor.detach().to(dtype) for name, tensor in model.named_parameters()})
    return folders


def peak(folder: Path, loader: str) -> int:
    """The most anonymous memory that loading takes, in bytes, above an interpreter that has imported everything."""
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(folder), loader], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="measures /proc/self/status, which only Linux has")
@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_the_weights_are_held_once(stored: torch.dtype, big: dict[torch.dtype, Path]) -> None:
    """At most 1.2 times the weights, counted in the precision that is wanted, float32."""
    assert BYTES > 100e6
    assert peak(big[stored], "ours") <= 1.2 * BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="measures /proc/self/status, which only Linux has")
@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_weights_of_one_byte_have_no_float_copy_beside_them(stored: torch.dtype, big: dict[torch.dtype, Path]) -> None:
    """A quarter of float32's bytes, and a few rows that are being rounded."""
    assert peak(big[stored], "int8") <= 0.35 * BYTES


@pytest.mark.compiler
@pytest.mark.skipif(sys.platform != "linux", reason="measures /proc/self/status, which only Linux has")
def test_compiling_lays_weights_out_anew_one_after_the_other(big: dict[torch.dtype, Path]) -> None:
    GPT2(small_config()).eval().compiled()  # the library is there
    assert peak(big[torch.float32], "compiled") <= 1.2 * BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="measures /proc/self/status, which only Linux has")
def test_the_measure_sees_weights_held_twice(big: dict[torch.dtype, Path]) -> None:
    assert peak(big[torch.float16], "naive") > 1.8 * BYTES


# --- from_pretrained ---


def test_a_config_of_another_shape_is_explained(tmp_path: Path) -> None:  # law 12
    """The weights of one model beside the config of another: too few layers, too many, another width."""
    write_model(tmp_path, MODEL)
    for changes, words in [
        ({"n_layer": 2}, "h.2.attn.c_attn.bias is not a tensor of this network"),
        ({"n_layer": 4}, "h.3.ln_1.weight is missing"),
        ({"n_vocab": 98}, "wte.weight has the shape (97, 32) instead of (98, 32)"),
        ({"n_embd": 64}, "h.0.attn.c_attn.bias has the shape (96,) instead of (192,)"),
    ]:
        write_config(tmp_path, small_config(**changes))
        with pytest.raises(CheckpointError) as error:
            GPT2.from_pretrained(tmp_path)
        assert words in str(error.value)
    write_config(tmp_path, MODEL.config)
    assert is_model(GPT2.from_pretrained(tmp_path))


def test_a_checkpoint_error_is_a_value_error() -> None:
    """So that a program may catch all bad input at once."""
    assert issubclass(CheckpointError, ValueError)
