"""scripts/benchmark.py and scripts/benchmark_beams.py, on models so small that their figures mean nothing."""

from __future__ import annotations

import importlib.util
import json
import mmap
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gpt2 import GPT2, GPT2Config, product
from scripts import benchmark
from scripts.benchmarking import agreement, machine, measure, memory, report, worker
from scripts.benchmarking.bandwidth import Bandwidth, read_bandwidth
from scripts.benchmarking.checkpoint import bytes_a_token, write_checkpoint
from scripts.benchmarking.convert import convert
from scripts.benchmarking.engines import ENGINES, Engine, chosen
from scripts.benchmarking.measure import Plan, Results, Row
from scripts.benchmarking.processes import EngineError, Worker, run_module
from scripts.benchmarking.runners import maker
from scripts.benchmarking.tables import Table
from scripts.benchmarking.timing import Spread, in_turns, times_as_fast

EAGER = Engine("eager", "float32")
PROMPTS = [[5, 60, 7, 300], [8, 9, 500, 1]]


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skips where one is missing, as the marker `parity` does."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed (extra `benchmark`)")


PEERS = [
    pytest.param(engine, marks=needs(*packages))
    for engine, packages in (
        (Engine("transformers", "float32"), ["transformers"]),
        (Engine("transformers", "bfloat16"), ["transformers"]),
        (Engine("ctranslate2", "float32"), ["ctranslate2"]),
        (Engine("ctranslate2", "int8"), ["ctranslate2"]),
        (Engine("llama.cpp", "f32"), ["llama_cpp", "gguf"]),
        (Engine("llama.cpp", "f16"), ["llama_cpp", "gguf"]),
        (Engine("llama.cpp", "q8_0"), ["llama_cpp", "gguf"]),
    )
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint."""
    folder = tmp_path_factory.mktemp("tiny")
    write_checkpoint(folder, Plan.quick().config)
    return folder


@pytest.fixture
def one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes that are started


class Here:
    """A worker without a process of its own, which would first have to import torch."""

    def __init__(self, engine: Engine, folder: Path, threads: int, watch: bool = False) -> None:
        self.engine = engine
        self.runner, self.memory = worker.load(engine.kind, engine.weights, str(folder), threads, watch)

    def ask(self, task: str, **arguments: Any) -> Any:
        return worker.do(self.runner, task, arguments)

    def close(self) -> None:
        pass

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass


# -- the whole ---------------------------------------------------------------------------------------------------------


@pytest.mark.compiler
def test_a_run_from_the_options_to_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread_each: None
) -> None:
    file = tmp_path / "raw.json"
    arguments = ["--quick", "--only", "eager-float32", "compiled-int8", "--rounds", "2", "--json", str(file)]
    code = benchmark.main(arguments)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert "benchmark.py: round 2 of 2\n" in captured.err
    assert max(map(len, captured.out.splitlines())) <= 100
    for name in ("eager float32", "compiled int8"):  # of all tables but the comparison, for which there is no peer
        assert len([line for line in captured.out.splitlines() if line.strip().startswith(name)]) == 5
    assert "limit, float32" in captured.out and "limit, 8 bits a weight" in captured.out
    assert "naive loop, eager float32" in captured.out and "cache only, eager float32" in captured.out
    raw = json.loads(file.read_text(encoding="utf-8"))
    for row in raw["rows"]:
        assert [len(row["speed"][batch]) for batch in ("1", "2")] == [2, 1]  # rounds
        assert all(first > 0 for rounds in row["speed"].values() for first, _ in rounds)
        assert [len(row[name]) for name in ("prefill", "calls", "contexts", "start")] == [1, 1, 1, 1]
        assert len(row["calls"][0]) == 3 and len(row["contexts"][0]) == len(raw["naive"][0]) == 3
        assert row["start"][0] > raw["torch_start"][0] / 4  # it imports torch, too
    assert len(raw["as_stored"][0]) == 3
    assert [one["rows"] for one in raw["agreements"]] == [3, 3]  # one prompt, and a batch of two


def test_the_cache_alone_is_measured_without_what_makes_it_fast(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = worker.load("eager", "float32", str(folder), 2, watch=False)[0]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    seen: list[tuple[bool, int]] = []
    true = product._parts

    def noticed(x: Tensor, matrix: Tensor) -> int:
        seen.append((matrix.is_contiguous(), true(x, matrix)))
        return seen[-1][1]

    monkeypatch.setattr(product, "_parts", noticed)
    runner.contexts([3, 5])
    assert all(contiguous and parts > 1 for contiguous, parts in seen)
    seen.clear()
    runner.contexts_as_stored([3, 5])
    assert set(seen) == {(True, 1), (False, 1)}  # in one piece; the head, whose transpose it is, as the file has it


def test_an_engine_that_computes_another_network_is_an_error(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is damaged after the conversion: one line, exit code 1, and no table."""
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"h.1.attn.c_proj.bias": 5 * torch.randn(64)}, other / "model.safetensors")

    monkeypatch.setattr(measure, "Worker", lambda engine, _, *rest, **options: Here(engine, other, *rest, **options))
    assert benchmark.main(["--quick", "--only", "eager-float32"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("benchmark.py: eager float32 does not compute this network")


def test_where_there_is_no_compiler_the_row_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, one_thread_each: None
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert benchmark.main(["--quick", "--only", "compiled-float32"]) == 1
    told = capsys.readouterr().err
    assert "left out, compiled float32: " in told and "no-such-compiler" in told
    assert told.splitlines()[-1] == "benchmark.py: none of these engines runs here"


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (["--only", "vllm"], "--only 'vllm' is no engine; there are eager, compiled, transformers, ctranslate2", 2),
        (["--only", "llama.cpp-f16"], "llama.cpp is a peer: add --peers", 2),
        (["--rounds", "0"], "--rounds must be at least 1; got 0", 2),
        (["--new-ids", "1"], "--new-ids must be at least 2; got 1", 2),
        (["--quick", "--prompt-ids", "60"], "the model has 64 positions; prompt and new ids are 68", 2),
        (["--picture", "x.exe"], "x.exe is no name of a picture: it has to end in .png, .svg, .pdf", 2),
        (["--json", "no/such/folder/x"], "no/such/folder/x cannot be written: there is no folder no/such/folder", 2),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'", 2),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], told: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert benchmark.main(arguments) == code
    except SystemExit as ended:  # argparse's own
        assert ended.code == code
    captured = capsys.readouterr()
    assert captured.err.startswith(f"benchmark.py: {told}") and captured.err.count("\n") == 1


def test_a_missing_package_is_named_with_what_installs_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llama_cpp" else there(name))
    assert benchmark.main(["--peers", "--only", "llama.cpp"]) == 1
    told = capsys.readouterr().err
    assert "not installed: llama-cpp-python" in told and "--extra benchmark" in told and told.count("\n") == 1


# -- engines -----------------------------------------------------------------------------------------------------------


def test_who_takes_part() -> None:
    assert chosen(None, peers=True) == ENGINES
    assert {engine.kind for engine in chosen(None, peers=False)} == {"eager", "compiled"}
    assert [engine.name for engine in chosen(["llama.cpp", "eager-int8"], peers=True)] == [
        "eager int8", "llama.cpp f32", "llama.cpp f16", "llama.cpp q8_0",
    ]  # fmt: skip
    assert {engine.precision for engine in ENGINES} == {"float32", "16 bits", "8 bits"}


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        *(("eager", weights) for weights in ("float32", "bfloat16", "float16", "int8")),
        pytest.param("compiled", "int8", marks=pytest.mark.compiler),  # as in the whole run: it is compiled once
    ],
)
def test_ours_write_the_ids_of_float32(folder: Path, kind: str, weights: str) -> None:
    runner = maker(kind)(folder, kind, weights, 1)
    assert check(folder, Engine(kind, weights), runner.generate(PROMPTS, 12)).is_sound


@pytest.mark.parametrize("engine", PEERS)
def test_peers_write_the_ids_of_float32(folder: Path, engine: Engine) -> None:
    """The conversion is the same network: biases, norms and transposes included."""
    convert(folder, engine.kind, engine.weights)
    runner = maker(engine.kind)(folder, engine.kind, engine.weights, 1)
    batch = check(folder, engine, runner.generate(PROMPTS, 12))
    alone = check(folder, engine, [runner.generate([row], 12)[0] for row in PROMPTS])
    assert batch.is_sound and alone.is_sound
    if engine.precision == "float32":
        assert batch.partings == alone.partings == []


@needs("llama_cpp", "gguf")
def test_a_peer_in_a_process_of_its_own(folder: Path, one_thread_each: None) -> None:
    engine = Engine("llama.cpp", "f32")
    run_module("convert", str(folder), engine.kind, engine.weights)
    with Worker(engine, folder, 1, watch=True) as process:
        assert check(folder, engine, process.ask("generate", prompts=PROMPTS, new_ids=6)).partings == []
        first, whole = process.ask("speed", prompts=PROMPTS, new_ids=[1, 6], warm=True)
        assert first > 0 and whole > 0
        with pytest.raises(EngineError, match=r"llama\.cpp f32: "):
            process.ask("contexts", lengths=[1])  # of ours only


def test_an_engine_that_cannot_load_says_so(tmp_path: Path, one_thread_each: None) -> None:
    with pytest.raises(EngineError, match=r"eager float32: .* holds no weights"):
        Worker(EAGER, tmp_path, 1)


def expected_ids(folder: Path, new_ids: int) -> list[list[int]]:
    """Without a cache and without decoding/: the definition."""
    model, rows = GPT2.from_pretrained(folder), torch.tensor(PROMPTS)
    with torch.no_grad():
        for _ in range(new_ids):
            rows = torch.cat([rows, model(rows)[:, -1:].argmax(-1)], dim=1)
    return rows[:, len(PROMPTS[0]) :].tolist()


def check(folder: Path, engine: Engine, got: list[list[int]]) -> agreement.Agreement:
    expected = expected_ids(folder, len(got[0]))
    assert len({id for row in expected for id in row}) > 1
    return agreement.compare(engine, GPT2.from_pretrained(folder), PROMPTS, expected, got)


# -- the comparison of ids ---------------------------------------------------------------------------------------------


def test_where_ids_part_the_logits_have_to_be_close(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, expected = GPT2.from_pretrained(folder), expected_ids(folder, 5)
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[1] + expected[1][:3]]))[0, -1]
    (largest, second), (_, runner_up) = logits.topk(2)
    swapped = [expected[0], [*expected[1][:3], int(runner_up), 0]]
    gap = float(largest - second)
    monkeypatch.setitem(agreement.CLOSE, "8 bits", gap + 1e-4)
    told = agreement.compare(Engine("eager", "int8"), model, PROMPTS, expected, swapped)
    assert told.partings == [agreement.Parting(1, 3, pytest.approx(gap, abs=1e-5))]
    assert "other ids in 1 of 2 texts, from new id 4 on" in told.sentence()
    monkeypatch.setitem(agreement.CLOSE, "8 bits", gap - 1e-4)
    with pytest.raises(ValueError, match="eager int8 does not compute this network: at new id 4 of row 2"):
        agreement.compare(Engine("eager", "int8"), model, PROMPTS, expected, swapped)
    with pytest.raises(ValueError, match=r"gave \[5, 4\] ids instead of \[5, 5\]"):
        agreement.compare(EAGER, model, PROMPTS, expected, [expected[0], expected[1][:4]])


# -- what is told ------------------------------------------------------------------------------------------------------


def results(peer_seconds: float = 3.0) -> Results:
    """Made up, so that all that follows is known: batch 1 takes 1 s for the first id and 2 s for all 8."""

    def row(engine: Engine, seconds: float) -> Row:
        speed = {1: [[1.0, seconds], [1.0, seconds]], 2: [[1.0, 2.5]]}
        memory = {"before": 10_000_000, "peak": 40_000_000, "loaded": 30_000_000, "at work": None}
        ours = engine.is_ours
        return Row(
            engine, 20_000_000, False, memory, speed, [0.5],
            [[0.001, 0.0011, 0.0015]] if ours else [], [[0.001, 0.002, 0.003]] if ours else [], [0.7],
        )  # fmt: skip

    rows = [row(EAGER, 2.0), row(Engine("llama.cpp", "f32"), peer_seconds)]
    plan = replace(Plan.quick(), rounds=2)
    return Results(
        plan, {"processor": "made up"}, rows, Bandwidth(10e6, "sum"), {"float32": 1e6, "16 bits": 5e5, "8 bits": 3e5},
        [agreement.Agreement(row.engine, 3, []) for row in rows], [[0.01, 0.02, 0.03]],
        [[0.002, 0.002, 0.003]], [0.4],
    )  # fmt: skip


def test_the_figures_are_what_was_measured() -> None:
    lines = [" ".join(line.split()) for table in report.tables(results()) for line in table.text().splitlines()]
    assert "limit, float32 10.0 1.00" in lines  # 10 MB a second, 1 MB an id
    assert "eager float32 4.0 (4.0-4.0) 7.0 (7.0-7.0) 0.70" in lines  # 8 ids in 2 s; 7 in 1 s
    assert "llama.cpp f32 2.7 (2.7-2.7) 3.5 (3.5-3.5) 0.35" in lines
    assert "eager float32 1.50 (1.50-1.50)" in lines  # times as fast: 3 s against 2 s
    assert "eager float32 4 (4-4) 32 (32-32)" in lines  # 2 rows of 3 further ids in 1.5 s; 16 ids in 0.5 s
    assert "eager float32 0.70 (0.70-0.70) 20 30 20 - 1.50" in lines  # MB, without what was there before
    assert "eager float32 1.0 1.00 1.10 1.50" in lines
    assert "eager float32 1.0 2.0 3.0 3.00" in lines
    assert "naive loop, eager float32 10.0 20.0 30.0 3.00" in lines
    assert "cache only, eager float32 2.0 2.0 3.0 1.50" in lines


def test_who_is_too_slow_has_one_round_and_no_batches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "Worker", Here)
    monkeypatch.setattr(measure, "run_module", lambda name, *arguments: json.dumps([1e9, name]))
    monkeypatch.setattr(measure, "PATIENCE", 0.0)
    assert benchmark.main(["--quick", "--only", "eager-float32", "--rounds", "3"]) == 0
    captured = capsys.readouterr()
    assert "timed once, and with nothing larger" in captured.err
    assert "Timed once only" in captured.out and "naive loop" not in captured.out
    tables = [line for line in captured.out.splitlines() if line.strip().startswith("eager float32")]
    assert len(tables) == 2  # decoding, and the start


def test_a_peer_of_one_round_is_compared_in_that_round() -> None:
    made = results()
    made.rows[1].speed[1] = made.rows[1].speed[1][:1]
    assert "1.50 (1.50-1.50)" in report.tables(made)[1].text()


def test_without_peers_nothing_is_compared() -> None:
    made = results()
    made.rows = made.rows[:1]
    assert not any(table.title.startswith("Times as fast") for table in report.tables(made))


def test_a_table_in_markdown() -> None:
    table = Table("Title", ["", "a"], [["group"], ["  row", "1"]], note="a note")
    assert table.text() == "Title\n\n       a\ngroup\n  row  1\n\na note"
    assert table.markdown() == "**Title**\n\n|  | a |\n| --- | ---: |\n| **group** |  |\n| row | 1 |\n\na note"


@needs("matplotlib")
def test_the_picture_shows_every_engine_and_the_limit(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    from scripts.benchmarking import picture

    picture.draw(results(), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    speeds, costs = Figure().subplots(1, 2)
    picture._draw_speeds(results(), speeds)
    assert [label.get_text() for label in speeds.get_yticklabels()] == ["eager float32", "llama.cpp f32"]
    assert [bar.get_width() for bar in speeds.patches] == [7.0, 3.5]
    assert [10.0, 10.0] in [list(line.get_xdata()) for line in speeds.lines]  # the limit
    picture._draw_costs(results(), costs)
    assert [line.get_label() for line in costs.lines] == ["naive loop", "eager float32"]


# -- the small parts ---------------------------------------------------------------------------------------------------


def test_what_a_token_reads() -> None:
    """The parameters without the position embeddings; published figures of the smallest shape."""
    config = GPT2Config()
    read = bytes_a_token(config)
    assert read["float32"] == 4 * (config.n_parameters - config.n_positions * config.n_embd) == 494_613_504
    assert read["16 bits"] == read["float32"] / 2
    assert 1 < read["8 bits"] / (read["float32"] / 4) < 1.01


def test_turns_alternate() -> None:
    order: list[str] = []
    taken = in_turns(lambda: order.append("ours"), lambda: order.append("theirs"), rounds=3)
    assert order == ["ours", "theirs"] * 3 and [len(one) for one in taken] == [3, 3]
    assert times_as_fast([1.0, 2.0, 4.0], [2.0, 2.0, 12.0]) == 2.0
    assert Spread.of([3.0, 1.0, 2.0]).text() == "2.0 (1.0-3.0)"


def test_memory_and_machine() -> None:
    read = read_bandwidth(1 << 20, tries=2)
    assert read.bytes_a_second > 0 and read.how
    assert "torch 2" in machine.describe(1)["packages"] and "1 threads" in machine.describe(1)["processor"]
    if (before := memory.anonymous_bytes()) is not None:
        with memory.Peak() as peak:
            # New pages for certain: a long-lived process would give a tensor memory that it has kept from others.
            kept = mmap.mmap(-1, 100_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for _ in range(100):
                kept.write(bytes(1_000_000))
        assert peak.bytes is not None and 90e6 < peak.bytes - before < 150e6
        assert kept.tell() == 100_000_000


# -- beams -------------------------------------------------------------------------------------------------------------


@needs("transformers")
def test_beams_compare_ids_and_speeds(folder: Path) -> None:
    import transformers

    from scripts.benchmark_beams import compare, searches

    ours = GPT2.from_pretrained(folder)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    prompts = torch.tensor(PROMPTS)
    for search in searches(3).values():
        row = compare("tiny", ours, theirs, search, prompts, new_ids=6, rounds=2)
        assert row.startswith("tiny ") and row.endswith("2 of 2 rows")
    with torch.no_grad():
        ours.h[1].attn.c_proj.bias.add_(5 * torch.randn(64))  # another model gives other ids, and the row shows it
    for search in searches(3).values():
        assert not compare("tiny", ours, theirs, search, prompts, new_ids=6, rounds=1).endswith("2 of 2 rows")


def test_every_kind_of_engine_has_a_colour_and_a_runner() -> None:
    from scripts.benchmarking import picture, runners

    kinds: Sequence[str] = [engine.kind for engine in ENGINES]
    assert set(kinds) == set(picture._COLOURS) == set(runners._MODULES)
