"""A trace as plain data: lists, dictionaries, numbers and texts, for JSON and for whatever draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .explain import explain

if TYPE_CHECKING:
    from .trace import Stage, StepTrace, Trace


def as_data(trace: Trace, most: int) -> dict[str, Any]:
    """The prompt, and each step with its stages and its `most` best candidates before and after the processors."""
    return {
        "prompt_ids": trace.prompt_ids,
        "prompt": None if trace.tokenizer is None else trace.tokenizer.decode(trace.prompt_ids),
        "sample": trace.sample,
        "n_vocab": trace[0].stages[0].n_vocab if len(trace) else None,
        "ids": [step.chosen for step in trace],
        "tokens": [_token(trace, step.chosen) for step in trace],
        "steps": [_step(trace, step, most) for step in trace],
        "tree": None if trace.tree is None else trace.tree.to_list(trace.name),
    }


def _token(trace: Trace, id: int) -> dict[str, Any]:
    """An id, its text (None without a tokenizer, U+FFFD for bytes that are no UTF-8), and a name that one can read."""
    text = None if trace.tokenizer is None else trace.tokenizer.decode([id])
    return {"id": id, "text": text, "name": trace.name(id)}


def _step(trace: Trace, step: StepTrace, most: int) -> dict[str, Any]:
    first, last = step.stages[0], step.stages[-1]
    ids = dict.fromkeys([*first.likeliest(most), *last.likeliest(most), step.chosen])
    return {
        "step": step.step,
        "chosen": _token(trace, step.chosen),
        "why": str(explain(step, step.chosen, trace.name)),
        "favourite_changed": step.favourite_changed,
        "stages": [_stage(trace, stage) for stage in step.stages],
        "candidates": [_candidate(trace, step, id) for id in ids],
    }


def _stage(trace: Trace, stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "kept": stage.kept,
        "mass_removed": stage.mass_removed,
        "entropy": stage.entropy,
        "favourite": _token(trace, stage.favourite),
        "favourite_changed": stage.favourite_changed,
        "chosen_rank": stage.chosen_rank,
        "chosen_probability": stage.chosen_probability,
    }


def _candidate(trace: Trace, step: StepTrace, id: int) -> dict[str, Any]:
    """Ranks and probabilities have one entry a stage; `removed_by` is the number of a stage, None where it stayed."""
    return {
        **_token(trace, id),
        "chosen": id == step.chosen,
        "ranks": [stage.rank(id) for stage in step.stages],
        "probabilities": [stage.probability(id) for stage in step.stages],
        "removed_by": step.remover(id),
        "why": str(explain(step, id, trace.name)),
    }
