"""One fact -> one outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from . import forward, offline, writing
from .bench import Bench, Waits
from .fact import Fact
from .verdict import Comparison, compare

Runner = Callable[[Fact, Bench], dict[str, Any]]

# What a fact's `run` is called -> the function that does it. A name that is missing is a strategy that does not exist
# yet; its facts wait for it.
RUNNERS: dict[str, Runner] = {
    "encode": offline.encode,
    "decode_stream": offline.decode_stream,
    "vocabulary_strings": offline.vocabulary_strings,
    "tokenizer_files": offline.tokenizer_files,
    "count_parameters": offline.count_parameters,
    "config_json": offline.config_json,
    "tensor_names_and_shapes": offline.tensor_names_and_shapes,
    "safetensors_header": offline.safetensors_header,
    "file_hash": offline.file_hash,
    "small_files": offline.small_files,
    "file_size": offline.file_size,
    "forward": forward.forward,
    "kv_cache_step": forward.kv_cache_step,
    "next_token_loss": forward.next_token_loss,
    "adamw_steps": forward.adamw_steps,
    "sliding_window_perplexity": forward.sliding_window_perplexity,
    "tensor_values": forward.tensor_values,
    "greedy": writing.greedy,
    "sample": writing.sample,
    "greedy_retokenised": writing.greedy_retokenised,
    "greedy_per_beam": writing.greedy_per_beam,
    "contrastive": writing.contrastive,
    "speculative": writing.speculative,
    "beam": writing.beam,
    "beam_expand": writing.beam_expand,
    "exhaustive_tree": writing.exhaustive_tree,
}

# What facts wait for, in words; a name that is missing here stands for itself.
_WORDS = {
    "constrained_beam": "transformers' constrained beam search",
    "hf_watermark": "the watermark of transformers",
}

Verdict = Literal["pass", "differs", "fail", "waits"]


@dataclass(frozen=True)
class Outcome:
    """What came of a fact.

    pass      every entry agrees
    differs   one does not, but the fact is soft: it proves no error
    fail      one does not, or the run broke off with `error`
    waits     it was not run; `waits_for` says what is missing
    """

    fact: Fact
    verdict: Verdict
    comparisons: list[Comparison] = field(default_factory=list)
    waits_for: str = ""
    for_weights: bool = False  # it waits for the weights of a model that was asked for
    error: str = ""
    seconds: float = 0.0


def run(fact: Fact, bench: Bench) -> Outcome:
    """Run one fact on what is at hand."""
    started = time.perf_counter()
    try:
        if missing := missing_strategy(fact):
            raise Waits(missing)
        if fact.needs_weights:
            _check_requirements(fact, bench)
        got = RUNNERS[fact.run["name"]](fact, bench)
        wide = bench.model is not None and bench.model.wte.weight.element_size() == 8
        comparisons = compare(fact, got, float64=wide)
    except Waits as wait:
        return Outcome(fact, "waits", waits_for=wait.what, for_weights=wait.for_weights)
    except Exception as error:  # one fact that breaks off, for whatever reason, stops no other
        return Outcome(fact, "fail", error=_sentence(error))
    verdict: Verdict = "pass"
    if not all(comparison.agrees for comparison in comparisons):
        verdict = "differs" if fact.soft else "fail"
    return Outcome(fact, verdict, comparisons, seconds=time.perf_counter() - started)


def missing_strategy(fact: Fact) -> str:
    """What of this fact does not exist here yet, in words; empty where all does."""
    names = [fact.run["name"]] if fact.run["name"] not in RUNNERS else []
    known = writing.PROCESSORS.keys() | writing.MODELS.keys()
    names += [one["name"] for one in fact.run.get("processors", []) if one["name"] not in known]
    return f"{_WORDS.get(names[0], names[0])}, not built yet" if names else ""


def _sentence(error: Exception) -> str:
    """Our own errors are sentences; of all others the name belongs to what they say."""
    said, name = " ".join(str(error).split()), type(error).__name__
    if isinstance(error, (ValueError, OSError)):
        return said or name
    return f"{name}: {said}" if said else name


def _check_requirements(fact: Fact, bench: Bench) -> None:
    device = bench.network().device.type
    if "cuda" in fact.requires and device != "cuda":
        raise Waits("a CUDA device: --device cuda")
