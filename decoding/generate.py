"""Prompts in, text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import index
from typing import NamedTuple, cast, overload

from .chance import Gumbel, fresh_seed
from .core import Chance, FinishReason, Found, Hypothesis, LanguageModel, Limits, Step, Strategy, check_prompts
from .rounds import Rounds
from .text import Stops, TextStream
from .tokenizer import Tokenizer
from .trace import Trace

Draw = Callable[[int], Chance]  # seed -> chance: Gumbel, InverseCDF or Multinomial


@dataclass(frozen=True)
class GeneratedIds:
    """One continuation of one prompt, in ids.

    model_logprobs       natural logarithm of the model's own probability of each id
    processed_logprobs   the same after the processors, renormalised
    finish_reason        "eos", "stop" (a stop string), "length" (max_new_tokens) or "context" (the model's positions)
    seed                 what its random choices came from; the same seed gives the same ids again
    score                what a search ranked it by; None where nothing was searched for
    candidates           all that the search found, best first or as the strategy says, this one among them
    search               what else it has to tell, such as a bound
    rounds               of speculation: what was drafted in each call of the model, and what became of it
    """

    prompt_ids: list[int]
    sample: int  # its number among the samples of its prompt
    ids: list[int]
    model_logprobs: list[float]
    processed_logprobs: list[float]
    finish_reason: FinishReason
    seed: int
    trace: Trace = field(repr=False, compare=False)  # what each step did where that was asked for, else empty
    score: float | None = None
    candidates: Sequence[GeneratedIds] = field(default=(), repr=False)
    search: Found | None = field(default=None, repr=False, compare=False)
    rounds: Rounds = field(default=Rounds(), repr=False, compare=False)


@dataclass(frozen=True)
class Generation(GeneratedIds):
    """One continuation of one prompt. The text ends before a stop string or `<|endoftext|>`; the ids include it."""

    prompt: str = field(kw_only=True)
    text: str = field(kw_only=True)
    candidates: Sequence[Generation] = field(default=(), repr=False)


class Piece(NamedTuple):
    """What one step adds to one row's text."""

    row: int  # prompt number * num_samples + sample number
    text: str  # may be empty: bytes are held back until they are certain
    step: Step
    generation: Generation | None  # the whole, in the last piece of the row


@overload
def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    strategy: Strategy,
    *,
    max_new_tokens: int | None,
    seed: int | None = None,
    draw: Draw = Gumbel,
    stop: Sequence[str] = (),
    num_samples: None = None,
    trace: bool = False,
) -> Generation: ...
@overload
def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    strategy: Strategy,
    *,
    max_new_tokens: int | None,
    seed: int | None = None,
    draw: Draw = Gumbel,
    stop: Sequence[str] = (),
    num_samples: int,
    trace: bool = False,
) -> list[Generation]: ...
@overload
def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: list[str] | tuple[str, ...],
    strategy: Strategy | Sequence[Strategy],
    *,
    max_new_tokens: int | None,
    seed: int | None = None,
    draw: Draw = Gumbel,
    stop: Sequence[str] = (),
    num_samples: int | None = None,
    trace: bool = False,
) -> list[Generation]: ...
def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | list[str] | tuple[str, ...],
    strategy: Strategy | Sequence[Strategy],
    *,
    max_new_tokens: int | None,
    seed: int | None = None,
    draw: Draw = Gumbel,
    stop: Sequence[str] = (),
    num_samples: int | None = None,
    trace: bool = False,
) -> Generation | list[Generation]:
    """Continue a prompt, or several.

    prompt           one text, or a list
    strategy         `Greedy()`, `Sample(TopP(0.9))`, ...; or a list, one for each prompt
    max_new_tokens   the most ids to add; None for as many as the model has positions for
    seed             what random choices come from; None draws one, and the result tells which. Equal prompts of one
                     call get equal texts: for different ones, take several samples
    draw             how they are made: `Gumbel`, `InverseCDF` or `Multinomial`
    stop             strings that end the text, which is cut before them
    num_samples      how many samples to make of each prompt
    trace            record what every processor did; the result's `trace.why` explains every choice

    One prompt without `num_samples` gives one `Generation`. Otherwise a list: prompt after prompt, and the samples of
    each side by side. Raises ValueError, in words, for whatever cannot be done.
    """
    pieces = stream(
        model,
        tokenizer,
        prompt,
        strategy,
        max_new_tokens=max_new_tokens,
        seed=seed,
        draw=draw,
        stop=stop,
        num_samples=1 if num_samples is None else num_samples,
        trace=trace,
    )
    finished = {piece.row: piece.generation for piece in pieces if piece.generation is not None}
    generations = [finished[row] for row in sorted(finished)]
    return generations[0] if isinstance(prompt, str) and num_samples is None else generations


def stream(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | list[str] | tuple[str, ...],
    strategy: Strategy | Sequence[Strategy],
    *,
    max_new_tokens: int | None,
    seed: int | None = None,
    draw: Draw = Gumbel,
    stop: Sequence[str] = (),
    num_samples: int = 1,
    trace: bool = False,
) -> Iterator[Piece]:
    """As `generate`, but the text comes as it is made.

    >>> for piece in stream(model, tokenizer, "Once upon a time", Greedy(), max_new_tokens=20):
    ...     print(piece.text, end="", flush=True)

    The pieces of a row, put together, are its text. Arguments are checked before the first piece is asked for.
    """
    prompts = list(prompt) if isinstance(prompt, (list, tuple)) else [prompt]
    if not all(isinstance(text, str) for text in prompts):
        raise ValueError(f"a prompt is a text, or a list of texts; generate_ids takes ids; got {prompt!r}")
    if tokenizer.n_vocab != model.n_vocab:
        raise ValueError(
            f"the tokenizer has {tokenizer.n_vocab} ids and the model {model.n_vocab}: they do not belong together"
        )
    encoded = [tokenizer.encode(text) for text in prompts]
    stops = Stops(stop)
    limits = Limits(max_new_tokens, tokenizer.eos_id, stops.completed_by(tokenizer.token_bytes), num_samples, trace)
    seed = fresh_seed() if seed is None else seed
    steps = _run(model, encoded, strategy, limits, draw, seed)

    def pieces() -> Iterator[Piece]:
        texts = [TextStream(stops) for _ in range(len(prompts) * num_samples)]
        written = [""] * len(texts)
        collected: list[list[Step]] = [[] for _ in texts]
        for step in steps:
            row = step.row
            collected[row].append(step)
            visible = step.ids[:-1] if step.finish_reason == "eos" else step.ids
            new = texts[row].push(tokenizer.decode_bytes(visible))
            if step.finish_reason is None:
                written[row] += new
                yield Piece(row, new, step, None)
            else:
                new += texts[row].close()
                number, sample = divmod(row, num_samples)

                def whole(ids: GeneratedIds, text: str, prompt: str = prompts[number]) -> Generation:
                    return Generation(**vars(ids), prompt=prompt, text=text)

                ids = _collect(collected[row], encoded[number], sample, seed, tokenizer)
                others = [whole(one, _text(one, stops, tokenizer)) for one in ids.candidates]
                generation = whole(replace(ids, candidates=()), written[row] + new)
                yield Piece(row, new, step, replace(generation, candidates=others))

    return pieces()


def generate_ids(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    strategy: Strategy | Sequence[Strategy],
    *,
    max_new_tokens: int | None,
    eos_id: int | None = None,
    seed: int | None = None,
    draw: Draw = Gumbel,
    num_samples: int = 1,
    trace: bool = False,
) -> list[GeneratedIds]:
    """As `generate`, below text: rows of ids in, ids out. No id ends a row unless `eos_id` is given."""
    limits = Limits(max_new_tokens, eos_id, None, num_samples, trace)
    seed = fresh_seed() if seed is None else seed
    try:
        rows = [[index(id) for id in prompt] for prompt in prompts]
    except TypeError as error:
        raise ValueError(f"prompts are rows of whole numbers, such as [[15496, 11]]; got {prompts!r}") from error
    collected: list[list[Step]] = [[] for _ in range(len(rows) * num_samples)]
    for step in _run(model, rows, strategy, limits, draw, seed):
        collected[step.row].append(step)
    return [_collect(steps, rows[row // num_samples], row % num_samples, seed) for row, steps in enumerate(collected)]


def _run(
    model: LanguageModel,
    prompts: list[list[int]],
    strategy: Strategy | Sequence[Strategy],
    limits: Limits,
    draw: Draw,
    seed: int,
) -> Iterator[Step]:
    """Check the prompts, and run each group of prompts with equal strategies as one batch."""
    check_prompts(model, prompts)
    several = isinstance(strategy, (list, tuple))
    strategies = list(cast("Sequence[Strategy]", strategy)) if several else [cast("Strategy", strategy)] * len(prompts)
    for one in strategies:
        if isinstance(one, type) or not callable(getattr(one, "run", None)):
            raise ValueError(f"a strategy is needed, such as Greedy() or Sample(TopP(0.9)); got {one!r}")
    if len(strategies) != len(prompts):
        raise ValueError(f"a list of strategies needs one for each prompt; got {len(strategies)} for {len(prompts)}")

    groups: list[tuple[Strategy, list[int]]] = []
    for number, one in enumerate(strategies):
        for other, members in groups:
            if one == other:
                members.append(number)
                break
        else:
            groups.append((one, [number]))
    try:
        chances = [draw(seed) for _ in groups]  # made here, so that a bad seed is reported at once
    except TypeError as error:
        raise ValueError(
            f"draw is the class Gumbel, InverseCDF or Multinomial, and its seed is given as seed; got {draw!r}"
        ) from error

    def steps() -> Iterator[Step]:
        for (one, members), chance in zip(groups, chances, strict=True):
            for step in one.run(model, [prompts[number] for number in members], limits, chance):
                member, sample = divmod(step.row, limits.num_samples)
                yield step._replace(row=members[member] * limits.num_samples + sample)

    return steps()


def _collect(
    steps: list[Step], prompt_ids: list[int], sample: int, seed: int, tokenizer: Tokenizer | None = None
) -> GeneratedIds:
    last = steps[-1]
    assert last.finish_reason is not None
    tree = None if last.found is None else last.found.tree
    traces = [step.trace for step in steps if step.trace is not None]
    candidates = () if last.found is None else last.found.candidates
    return GeneratedIds(
        prompt_ids=prompt_ids,
        sample=sample,
        ids=[id for step in steps for id in step.ids],
        model_logprobs=[logprob for step in steps for logprob in step.model_logprobs],
        processed_logprobs=[logprob for step in steps for logprob in step.processed_logprobs],
        finish_reason=last.finish_reason,
        seed=seed,
        trace=Trace(traces, prompt_ids, sample, tokenizer, tree),
        score=candidates[0].score if candidates else None,
        candidates=[_candidate(one, prompt_ids, sample, seed) for one in candidates],
        search=last.found,
        rounds=Rounds(step.round for step in steps if step.round is not None),
    )


def _candidate(text: Hypothesis, prompt_ids: list[int], sample: int, seed: int) -> GeneratedIds:
    return GeneratedIds(
        prompt_ids,
        sample,
        list(text.ids),
        list(text.model_logprobs),
        list(text.processed_logprobs),
        text.finish_reason,
        seed,
        Trace(),
        text.score,
    )


def _text(whole: GeneratedIds, stops: Stops, tokenizer: Tokenizer) -> str:
    """The text of ids that have come all at once."""
    stream = TextStream(stops)
    visible = whole.ids[:-1] if whole.finish_reason == "eos" else whole.ids
    return stream.push(tokenizer.decode_bytes(visible)) + stream.close()
