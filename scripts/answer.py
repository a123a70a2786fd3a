"""Continue one prompt and print what comes: as text, as JSON, as tables, or explained."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from decoding import Chance, Generation, LanguageModel, Limits, Piece, Round, Rounds, Strategy, Tokenizer, stream
from decoding.chance import fresh_seed
from decoding.legible import printable, visible
from decoding.rounds_text import rounds_sentence
from decoding.text import Stops
from decoding.trace import StepTrace
from gpt2 import Source
from scripts.console import probability_table, write
from scripts.explanation import explanation, rounds_report, search_report
from scripts.options import finite
from scripts.paint import Paint


@dataclass
class Request:
    """What the command line asks for, apart from the prompt and the model."""

    strategy: Strategy
    draw: Callable[[int], Chance]
    seed: int | None
    max_new_tokens: int
    num_samples: int
    stop: Sequence[str]

    def check(self) -> None:
        """Raise ValueError for what can be told to be wrong without a model."""
        Limits(self.max_new_tokens, num_samples=self.num_samples)
        Stops(self.stop)
        self.draw(0 if self.seed is None else self.seed)


class Text:
    """One sample, as far as it has come, and how much of it has been printed."""

    def __init__(self, row: int, prompt: str, seed: int) -> None:
        self.row = row
        self.prompt = prompt
        self.seed = seed
        self.pieces: list[Piece] = []
        self.rest = ""  # what was held back when it was interrupted
        self._printed = 0

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces) + self.rest

    @property
    def ids(self) -> list[int]:
        return [id for piece in self.pieces for id in piece.step.ids]

    @property
    def rounds(self) -> Rounds:
        """Those of speculation, as far as they have come."""
        return Rounds(piece.step.round for piece in self.pieces if piece.step.round is not None)

    @property
    def finish_reason(self) -> str:
        return (self.pieces[-1].step.finish_reason if self.pieces else None) or "interrupted"

    def show(self, printer: TextPrinter | JsonPrinter) -> bool:
        """Print what has arrived and was not printed before; True where that is the end."""
        for piece in self.pieces[self._printed :]:
            if self._printed == 0:
                printer.begin(self)
            self._printed += 1
            printer.piece(self, self._printed, piece)
        if self.finish_reason == "interrupted":
            return False
        printer.end(self)
        return True

    def break_off(self, printer: TextPrinter | JsonPrinter, tokenizer: Tokenizer) -> None:
        """End it here. Nothing can become of what was held back, the beginning of a stop or of a character."""
        if self.pieces:
            self.rest = tokenizer.decode(self.ids)[len(self.text) :]
            printer.end(self)


class TextPrinter:
    """Prompt and text, as they are made; with `quiet` the text only."""

    traced = False  # whether it needs the trace of each step

    def __init__(self, request: Request, *, quiet: bool) -> None:
        self.num_samples = request.num_samples
        self.quiet = quiet
        self.paint = Paint(sys.stdout)

    def begin(self, text: Text) -> None:
        self.headline(text)
        write(self.prompt(text))

    def piece(self, text: Text, number: int, piece: Piece) -> None:
        write(piece.text)

    def end(self, text: Text) -> None:
        write(text.rest + "\n")

    def headline(self, text: Text) -> None:
        if self.num_samples > 1:
            write(
                ("\n" if text.row else "") + self.paint.dim(f"--- sample {text.row + 1} of {self.num_samples}") + "\n"
            )

    def prompt(self, text: Text) -> str:
        return "" if self.quiet else self.paint.dim(text.prompt)


class TablePrinter(TextPrinter):
    """Each step's best candidates, and the whole text after the last."""

    traced = True

    def __init__(self, request: Request, tokenizer: Tokenizer, *, quiet: bool) -> None:
        super().__init__(request, quiet=quiet)
        self.tokenizer = tokenizer

    def begin(self, text: Text) -> None:
        self.headline(text)

    def piece(self, text: Text, number: int, piece: Piece) -> None:
        if piece.step.trace is not None:
            write(self.block(piece.step.trace, number) + "\n\n")

    def end(self, text: Text) -> None:
        write(self.prompt(text) + text.text + "\n")

    def block(self, trace: StepTrace, number: int) -> str:
        """What is printed of one step, counted from 1."""
        return probability_table(trace, number, self.tokenizer, self.paint)


class ExplainPrinter(TablePrinter):
    """What each processor did in each step and why, and the whole text after the last."""

    def block(self, trace: StepTrace, number: int) -> str:
        return explanation(trace, number, self.tokenizer, self.paint)

    def end(self, text: Text) -> None:
        found = text.pieces[-1].step.found if text.pieces else None
        if found is not None:
            write(search_report(found, self.tokenizer, self.paint) + "\n\n")
        if text.rounds:
            write(rounds_report(text.rounds, self.tokenizer, self.paint) + "\n\n")
        super().end(text)


class CandidatesPrinter(TextPrinter):
    """All texts that a search found, each with its score: best first, or as the strategy says."""

    def begin(self, text: Text) -> None:
        self.headline(text)
        write(self.prompt(text) + ("" if self.quiet else "\n"))

    def piece(self, text: Text, number: int, piece: Piece) -> None: ...

    def end(self, text: Text) -> None:
        whole = text.pieces[-1].generation
        if whole is None:  # interrupted: what there is has no score yet
            write(printable(visible(text.text)) + "\n")
            return
        for one in whole.candidates or [whole]:
            score = "" if one.score is None else f"{one.score:9.4f}  "
            write(self.paint.dim(score) + printable(visible(one.text)) + "\n")


class JsonPrinter:
    """One object a sample, each on a line of its own."""

    traced = False

    def __init__(self, request: Request, source: Source | None, combination: str | None = None) -> None:
        self.strategy = repr(request.strategy)
        self.source = source
        self.combination = combination  # what of others the model is made

    def begin(self, text: Text) -> None: ...

    def piece(self, text: Text, number: int, piece: Piece) -> None: ...

    def end(self, text: Text) -> None:
        steps = [piece.step for piece in text.pieces]
        result = {
            "prompt": text.prompt,
            "sample": text.row,
            "text": text.text,
            "ids": text.ids,
            "model_logprobs": [logprob for step in steps for logprob in step.model_logprobs],
            "processed_logprobs": [logprob for step in steps for logprob in step.processed_logprobs],
            "finish_reason": text.finish_reason,
            "seed": text.seed,
            **found_by_search(text.pieces[-1].generation if text.pieces else None),
            **drafted(text.rounds),
            "strategy": self.strategy,
            "model": self.source.name if self.source else None,
            "revision": self.source.revision if self.source else None,
            "combination": self.combination,
        }
        write(json.dumps(result, allow_nan=False) + "\n")


def found_by_search(whole: Generation | None) -> dict[str, Any]:
    """What only searches have: the score, and all candidates."""
    if whole is None or whole.search is None:
        return {}
    candidates = [
        {
            "text": one.text,
            "ids": one.ids,
            "score": one.score,
            "model_logprobs": one.model_logprobs,
            "processed_logprobs": one.processed_logprobs,
            "finish_reason": one.finish_reason,
        }
        for one in whole.candidates
    ]
    found = whole.search
    return {
        "score": whole.score,
        "bound": None if found.bound is None else finite(found.bound),
        "evaluations": found.evaluations,
        "candidates": candidates,
    }


def about_drafts(rounds: Iterable[Round]) -> str:
    """What a note adds about them; nothing where nobody speculated."""
    every = Rounds(rounds)
    return f"; {rounds_sentence(every)}" if every else ""


def drafted(rounds: Rounds) -> dict[str, Any]:
    """What only speculation has: its rounds. Probabilities that nobody looked at are None, and so is a rate of none."""
    if not rounds:
        return {}
    each = [
        {
            "drafted": [
                {
                    "id": draft.id,
                    "draft_probability": math.exp(draft.draft_logprob),
                    "target_probability": None if draft.target_logprob is None else math.exp(draft.target_logprob),
                }
                for draft in one.drafted
            ],
            "accepted": one.accepted,
            "added": one.added,
        }
        for one in rounds
    ]
    summary = {
        "drafted": rounds.drafted,
        "accepted": rounds.accepted,
        "acceptance_rate": finite(rounds.acceptance_rate),
        "calls_per_id": finite(rounds.calls_per_id),
    }
    return {"rounds": {**summary, "rounds": each}}


def answer(
    prompt: str, request: Request, model: LanguageModel, tokenizer: Tokenizer, printer: TextPrinter | JsonPrinter
) -> list[Text]:
    """Continue one prompt, and print the samples one after another: the first as it is made, the others wait meanwhile.

    Ctrl-C ends it with what there is. All that is there is printed, also of samples that were waiting; their
    `finish_reason` says "interrupted".
    """
    seed = fresh_seed() if request.seed is None else request.seed
    pieces = stream(
        model,
        tokenizer,
        prompt,
        request.strategy,
        max_new_tokens=request.max_new_tokens,
        seed=seed,
        draw=request.draw,
        stop=request.stop,
        num_samples=request.num_samples,
        trace=printer.traced,
    )
    texts = [Text(row, prompt, seed) for row in range(request.num_samples)]
    current = 0
    try:
        for piece in pieces:
            texts[piece.row].pieces.append(piece)
            while current < len(texts) and texts[current].show(printer):
                current += 1
    except KeyboardInterrupt:
        for text in texts[current:]:
            text.show(printer)
            text.break_off(printer, tokenizer)
    return texts
