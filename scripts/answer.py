"""Continue one prompt and print what comes: as text, as JSON, or as tables of probabilities."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from decoding import Chance, Limits, Piece, Strategy, Tokenizer, stream
from decoding.chance import fresh_seed
from decoding.text import Stops
from gpt2 import GPT2
from scripts.console import Paint, probability_table, write


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


@dataclass
class Text:
    """One sample, as far as it has come."""

    row: int
    prompt: str
    seed: int
    pieces: list[Piece] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @property
    def ids(self) -> list[int]:
        return [id for piece in self.pieces for id in piece.step.ids]

    @property
    def finish_reason(self) -> str:
        return (self.pieces[-1].step.finish_reason if self.pieces else None) or "interrupted"


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

    def piece(self, text: Text, piece: Piece) -> None:
        write(piece.text)

    def end(self, text: Text) -> None:
        write("\n")

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

    def piece(self, text: Text, piece: Piece) -> None:
        if piece.step.trace is not None:
            write(probability_table(piece.step.trace, len(text.pieces), self.tokenizer, self.paint) + "\n\n")

    def end(self, text: Text) -> None:
        write(self.prompt(text) + text.text + "\n")


class JsonPrinter:
    """One object a sample, each on a line of its own."""

    traced = False

    def __init__(self, model: GPT2) -> None:
        self.source = model.source

    def begin(self, text: Text) -> None: ...

    def piece(self, text: Text, piece: Piece) -> None: ...

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
            "model": self.source.name if self.source else None,
            "revision": self.source.revision if self.source else None,
        }
        write(json.dumps(result) + "\n")


def answer(
    prompt: str, request: Request, model: GPT2, tokenizer: Tokenizer, printer: TextPrinter | JsonPrinter
) -> list[Text]:
    """Continue one prompt. Ctrl-C ends it with what there is, which is printed, and passes on."""
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
    try:
        for piece in in_order(pieces, request.num_samples):
            text = texts[piece.row]
            if not text.pieces:
                printer.begin(text)
            text.pieces.append(piece)
            printer.piece(text, piece)
            if piece.step.finish_reason is not None:
                printer.end(text)
    except KeyboardInterrupt:
        for text in texts:
            if text.pieces and text.finish_reason == "interrupted":
                printer.end(text)
        raise
    return texts


def in_order(pieces: Iterator[Piece], num_samples: int) -> Iterator[Piece]:
    """The pieces of the first sample as they are made, then those of the second, ...; the others wait meanwhile."""
    waiting: list[list[Piece]] = [[] for _ in range(num_samples)]
    current = 0
    for piece in pieces:
        waiting[piece.row].append(piece)
        while current < num_samples and waiting[current]:
            arrived = waiting[current].pop(0)
            yield arrived
            current += arrived.step.finish_reason is not None
