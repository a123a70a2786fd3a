#!/usr/bin/env python3
"""Train a small GPT-2 on children's stories: the recipe of the bundled model, storybook.

    train_storybook.py --corpus FOLDER --out FOLDER                (goes on where an earlier run in that folder stopped)
    train_storybook.py --corpus FOLDER --out FOLDER --any-corpus   (whatever .txt files are there)
    train_storybook.py --corpus FOLDER --evaluate storybook        (loss on the held-out part)

The corpus is not part of this project. scripts/training/sources.tsv lists its files, where they are from and their
sha256; in a text file, <|endoftext|> on a line of its own ends a document.

A small network on texts of one's own, two documents at least. It takes a minute or two and shows that everything works;
what it writes makes little sense:

    train_storybook.py --corpus MY_TEXTS --any-corpus --out MY_MODEL --layers 2 --heads 2 --width 32 --positions 64 \
        --batch 2 --warmup 20 --steps 600
    generate.py "Once upon a time" --model MY_MODEL

Ctrl-C finishes the step, writes a checkpoint and ends; the same command goes on from there. On the CPU of one machine,
with one number of threads, an interrupted run and a repeated one end in the same weights, bit for bit.

In --out: config.json and model.safetensors at the end, which generate.py --model FOLDER reads; training_log.jsonl with
a line for every step; training/ with the checkpoint and the ids, which may be deleted when the run has ended.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts import command
from scripts.command import Parser, run_command

if TYPE_CHECKING:
    import torch

    from scripts.training.checkpoint import Settings
    from scripts.training.corpus import Ids, Split
    from scripts.training.learner import Learner
    from scripts.training.recipe import Recipe

NAME = "train_storybook.py"


# -- options ----------------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    from scripts.training.recipe import Recipe

    parser = Parser(NAME, __doc__)
    parser.add_argument("--corpus", required=True, metavar="FOLDER", help="where the texts are")
    parser.add_argument(
        "--any-corpus",
        action="store_true",
        help="take every .txt file of that folder, instead of the listed ones; at least one document is held out",
    )
    parser.add_argument("--out", metavar="FOLDER", help="where the model goes")
    parser.add_argument(
        "--evaluate",
        metavar="MODEL",
        help="train nothing; print this model's loss on the held-out part (a folder, storybook, gpt2, ...)",
    )

    recipe = parser.add_argument_group("recipe", "the defaults are those of the bundled model")
    recipe.add_argument("--steps", type=int, default=Recipe.steps, metavar="N", help="updates; default: %(default)s")
    recipe.add_argument(
        "--seed",
        type=int,
        default=Recipe.seed,
        metavar="N",
        help="decides what is held out, the first weights and the order; default: %(default)s, which holds out what "
        "the bundled model never saw",
    )
    recipe.add_argument(
        "--held-out",
        type=float,
        default=Recipe.held_out,
        metavar="SHARE",
        help="of the documents; default: %(default)s",
    )
    recipe.add_argument(
        "--learning-rate", type=float, default=Recipe.learning_rate, metavar="X", help="highest; default: %(default)s"
    )
    recipe.add_argument(
        "--warmup",
        type=int,
        metavar="N",
        help=f"steps until the learning rate is reached; default: {Recipe.warmup}, but at most a tenth of the steps",
    )
    for name, meaning in {
        "batch": "sequences a step",
        "layers": "blocks of the network",
        "heads": "attention heads in each",
        "width": "of the residual stream, a multiple of the heads",
        "positions": "ids of a sequence",
    }.items():
        default = getattr(Recipe, name)
        recipe.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{meaning}; default: {default}")
    recipe.add_argument(
        "--precision", default=Recipe.precision, choices=["bfloat16", "float32"], help="default: %(default)s"
    )

    run = parser.add_argument_group("run")
    run.add_argument("--device", default="cpu", help="cpu (the default), cuda, mps, ...")
    run.add_argument("--threads", type=int, metavar="N", help="CPU cores to use; without it PyTorch decides")
    run.add_argument(
        "--checkpoint-every", type=int, default=100, metavar="N", help="steps between checkpoints; default: %(default)s"
    )
    run.add_argument(
        "--evaluate-every",
        type=int,
        default=500,
        metavar="N",
        help="steps between measurements of the held-out loss; default: %(default)s",
    )
    options = parser.parse_args(arguments)
    for name, what in {"corpus": "folder", "out": "folder", "evaluate": "model"}.items():
        if getattr(options, name) is not None and not getattr(options, name).strip():  # Path("") is the current folder
            parser.error(f"--{name} is empty: name a {what}")
    if options.out is None and options.evaluate is None:
        parser.error("--out is needed: the folder that the model goes to")
    for name in ("threads", "checkpoint_every", "evaluate_every"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}")
    options.corpus = Path(options.corpus)
    options.out = Path(options.out) if options.out is not None else None
    return options


def build_recipe(options: argparse.Namespace) -> Recipe:
    from scripts.training.recipe import Recipe

    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(Recipe)}
    if options.warmup is None:
        given["warmup"] = min(Recipe.warmup, max(options.steps, 0) // 10)
    recipe = Recipe(**given)
    if recipe.warmup >= recipe.steps:
        raise ValueError(f"--warmup must be less than --steps; got {recipe.warmup} and {recipe.steps}")
    return recipe


# -- the two things it does -------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    import torch

    from scripts.training.corpus import any_sources, corpus_key, read_documents, split, storybook_sources
    from scripts.training.recipe import Recipe

    recipe = build_recipe(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    sources = any_sources(options.corpus) if options.any_corpus else storybook_sources(options.corpus)

    def parts(cache: Path | None = None) -> Split:
        documents = read_documents(options.corpus, sources, cache)
        return split(documents, recipe.held_out, recipe.seed, at_least_one=options.any_corpus)

    if options.evaluate is not None:
        model, held_out = options.evaluate, parts().held_out
    else:
        settings: Settings = {**dataclasses.asdict(recipe), "corpus": corpus_key(sources)[:16]}
        if options.warmup is None and recipe.warmup < Recipe.warmup:
            note(f"the warm-up is a tenth of the steps: {recipe.warmup}; --warmup N changes it")
        with RunFiles(options.out).prepared(recipe) as files:
            both = parts(files.ids)
            train(recipe, settings, both, files, options)
        held_out = both.held_out
        model = str(options.out.resolve())  # a folder named gpt2 is not the published model
    print(held_out_report(model, held_out, recipe, options.device))
    return 0


def held_out_report(name: str, held_out: Ids, recipe: Recipe, device: str) -> str:
    """The loss of a finished model, as it lies on the disk."""
    from gpt2 import GPT2
    from scripts.training.held_out import held_out_loss

    model = GPT2.from_pretrained(name, device=device)
    length = min(recipe.positions, model.n_positions)
    loss = held_out_loss(model, held_out, length)
    return (
        f"{name}: held-out loss {loss:.4f} nats an id (perplexity {math.exp(loss):.2f}) "
        f"on {len(held_out):,} ids of seed {recipe.seed}, in windows of {length}, float32"
    )


class RunFiles:
    """What a run keeps in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "training_log.jsonl"
        self.ids = folder / "training" / "ids.safetensors"
        self.checkpoint = folder / "training" / "checkpoint.safetensors"

    @contextmanager
    def prepared(self, recipe: Recipe) -> Iterator[RunFiles]:
        """Make the folders; a run that ends before a step was kept leaves nothing behind that was not there before."""
        training = self.ids.parent
        missing = [path for path in (self.ids, training, self.folder, *self.folder.parents) if not path.exists()]
        try:
            self._prepare(recipe)
            yield self
        except BaseException:
            if not self.log.exists() and not self.checkpoint.exists():
                for path in missing:  # the innermost first
                    with suppress(OSError):
                        path.unlink() if path == self.ids else path.rmdir()
            raise

    def _prepare(self, recipe: Recipe) -> None:
        """Raises ValueError where the folders hold a model of something else, or the disk is too full."""
        from decoding import Tokenizer

        models = [name for name in ("config.json", "model.safetensors") if (self.folder / name).exists()]
        if models and not self.checkpoint.exists():
            raise ValueError(
                f"{self.folder} holds a {models[0]} and no checkpoint to go on from; it would be overwritten: "
                f"give another --out"
            )
        try:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"the folder {self.checkpoint.parent} cannot be made: {error.strerror or error}") from error
        parameters = recipe.config(Tokenizer().n_vocab).n_parameters
        checkpoint = 3 * 4 * parameters  # float32 weights and two moments
        needed = 2 * checkpoint + 2 * parameters  # the new one beside the old one, and the model
        if self.checkpoint.exists():
            needed -= checkpoint
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise ValueError(
                f"the disk of {self.folder} has {free / 1e6:,.0f} MB left, and this run needs {needed / 1e6:,.0f} MB; "
                f"make room, or give another --out"
            )


def train(recipe: Recipe, settings: Settings, parts: Split, files: RunFiles, options: argparse.Namespace) -> None:
    """Bring the run in `files` to its last step, and write the model."""
    from decoding import Tokenizer
    from scripts.training.batches import batches
    from scripts.training.checkpoint import damaged, load_checkpoint, save_checkpoint, save_model
    from scripts.training.learner import Learner
    from scripts.training.log import Log
    from scripts.training.seen_ids import SeenIds

    seen = SeenIds(parts.training, Tokenizer().n_vocab)
    learner = Learner(recipe, seen, usable_device(options.device))
    if files.checkpoint.exists():
        state, done = load_checkpoint(files.checkpoint, settings)
        try:
            learner.restore(state, done)
        except ValueError as error:
            raise damaged(files.checkpoint, error) from error
        note(f"going on after step {done:,}")
    note(
        f"{len(parts.training):,} ids to train on ({len(seen):,} different ones), {len(parts.held_out):,} held out; "
        f"{learner.device}, {recipe.precision}"
    )
    log = Log(files.log, learner.done)
    progress = Progress(recipe.steps, ids_a_step=recipe.batch * recipe.positions)
    with delayed_interrupt() as interrupt, progress:
        for ids in batches(parts.training, recipe.batch, recipe.positions, recipe.seed, learner.done):
            if learner.done == recipe.steps:
                break
            if 0 < learner.done == recipe.widened_after and len(seen) < seen.n_vocab:
                progress.end_line()
                note(f"from here on all {seen.n_vocab:,} ids count, so the loss is higher than before")
            rate = recipe.rate(learner.done)
            loss = learner.step(ids)
            if not math.isfinite(loss):
                raise ValueError(f"the loss of step {learner.done} is {loss}; a smaller --learning-rate may help")
            last, stop = learner.done == recipe.steps, bool(interrupt)
            record = {"step": learner.done, "loss": loss, "learning_rate": rate}
            progress.step(learner.done, loss)
            record["ids_per_second"] = round(progress.ids_per_second, 1)
            if (learner.done % options.evaluate_every == 0 or last) and not stop:
                record |= measure(learner, parts.held_out)
                progress.pause()
            log.append(**record)
            if learner.done % options.checkpoint_every == 0 or last or stop:
                save_checkpoint(files.checkpoint, learner.state(), learner.done, settings)
                progress.line(learner.done, loss)
            if stop and not last:
                progress.end_line()
                note(f"stopped after step {learner.done:,}; the same command goes on from there")
                raise KeyboardInterrupt
    save_model(files.folder, learner.model)


def measure(learner: Learner, held_out: Ids) -> dict[str, float | int]:
    """The held-out loss for the log. Before the vocabulary is whole, ids that are not in it are left out."""
    import numpy as np
    import torch

    from scripts.training.held_out import held_out_loss

    ids = torch.from_numpy(held_out.astype(np.int64))
    if not learner.is_wide:
        ids = learner.seen.rank[ids]
        ids = ids[ids >= 0]
        if len(ids) < 2:
            return {}  # a short text of new words only
    loss = held_out_loss(learner.model, ids, learner.recipe.positions)
    return {"held_out_loss": loss, "vocabulary": learner.model.n_vocab}


def usable_device(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # what PyTorch raises differs by device
        reason = str(error).splitlines()[0].split(". ")[0][:100]
        raise ValueError(f"the device {name!r} cannot be used here ({reason}); cpu always can") from error
    return device


# -- progress and Ctrl-C ----------------------------------------------------------------------------------------------


class Progress:
    """One line that is written over on a terminal; elsewhere a line for every checkpoint."""

    def __init__(self, steps: int, ids_a_step: int) -> None:
        self.steps, self.ids_a_step = steps, ids_a_step
        self.terminal = sys.stderr.isatty()
        self.seconds: deque[float] = deque(maxlen=50)  # that the last steps took
        self.open = False  # whether the cursor stands behind a line that will be written over
        self.pause()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_line()

    def end_line(self) -> None:
        """What is printed next begins on a line of its own."""
        if self.open:
            print(file=sys.stderr)
        self.open = False

    def pause(self) -> None:
        """What happened since the last step was no training."""
        self.since = time.perf_counter()

    def step(self, number: int, loss: float) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.since)
        self.since = now
        if self.terminal:
            print(f"\r{self._text(number, loss)}\x1b[K", end="", file=sys.stderr, flush=True)
            self.open = True

    def line(self, number: int, loss: float) -> None:
        """A line that stays, at a checkpoint."""
        self.pause()
        if not self.terminal:
            print(self._text(number, loss), file=sys.stderr, flush=True)

    @property
    def ids_per_second(self) -> float:
        return self.ids_a_step * len(self.seconds) / max(sum(self.seconds), 1e-9)

    def _text(self, number: int, loss: float) -> str:
        left = duration((self.steps - number) * self.ids_a_step / self.ids_per_second)
        return f"step {number:,} of {self.steps:,}  loss {loss:.3f}  {self.ids_per_second:,.0f} ids/s  {left} left"


def duration(seconds: float) -> str:
    """Rounded up: 12 s, 3 min, 1 h 40 min."""
    if seconds <= 59:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


class Interrupt:
    """True once Ctrl-C was pressed."""

    pressed = False

    def __bool__(self) -> bool:
        return self.pressed


@contextmanager
def delayed_interrupt() -> Iterator[Interrupt]:
    """Ctrl-C waits for the step to end; pressed again, it does not."""
    interrupt = Interrupt()
    before = signal.getsignal(signal.SIGINT)

    def press(number: int, frame: FrameType | None) -> None:
        interrupt.pressed = True
        signal.signal(signal.SIGINT, before)

    if before is not signal.SIG_IGN:  # a job in the background may have been told to ignore it
        signal.signal(signal.SIGINT, press)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


# -- main -------------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Run, and turn whatever a user can cause into one line and an exit code."""
    return run_command(NAME, lambda: run(parse(arguments)))


def note(text: str) -> None:
    command.note(NAME, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
