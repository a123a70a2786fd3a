"""The vocabulary and the bundled model: what the first command needs besides its packages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from .finding import NEEDED, NOTE, OK, PROBLEM, Finding, Machine
from .packages import mend_advice
from .reachability import first_line

PROMPT, KNOWN_TEXT = "Once upon a time", ", there was a little girl named Lily."  # how storybook goes on, greedily
SAMPLE, SAMPLE_IDS = "Hello, I'm a language model,", [15496, 11, 314, 1101, 257, 3303, 2746, 11]


def check_vocabulary(machine: Machine) -> Iterator[Finding]:
    lacking = sorted(machine.unusable & {"torch", "tiktoken"})
    if lacking:
        yield Finding("vocabulary", NOTE, f"not checked: it needs {', '.join(lacking)}")
        return
    from decoding import tokenizer

    wrong = False
    for name, sha256 in tokenizer.SHA256.items():
        why = _is_not(tokenizer.VOCABULARY / name, sha256)
        if why is not None:
            wrong = True
            mark = PROBLEM if name == "vocab.bpe" else NOTE  # the other file only documents it
            yield Finding("vocabulary", mark, f"{name} {why}", "git checkout -- decoding/vocabulary, or copy it anew")
    if not wrong:
        yield Finding("vocabulary", OK, f"OpenAI's own: sha256 of {' and '.join(tokenizer.SHA256)} are right")
        if tokenizer.Tokenizer().encode(SAMPLE) != SAMPLE_IDS:
            text = f"{SAMPLE!r} does not become the ids that it should"
            yield Finding("tokenizer", PROBLEM, text, mend_advice("tiktoken"))


def _is_not(path: Path, sha256: str) -> str | None:
    """What is wrong with a file that should have this sha256, or None."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if hashlib.sha256(content).hexdigest() == sha256:
        return None
    if hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() == sha256:
        return "has other line ends than it should: git changed them (core.autocrlf)"
    return f"is not the right file: its {len(content):,} bytes have another sha256"


def check_storybook(machine: Machine) -> Iterator[Finding]:
    """The bundled model's file, and a real run of it: the first command, in short."""
    name = "storybook"
    lacking = sorted(machine.unusable & set(NEEDED))
    if lacking:
        yield Finding(name, PROBLEM, f"cannot run: it needs {', '.join(lacking)}", "see above")
        return
    from decoding import Greedy, Tokenizer, generate
    from gpt2 import GPT2, hub

    anew = "git checkout -- gpt2/storybook, or copy the folder anew"
    card = re.search(r"sha256\s+`([0-9a-f]{64})`", (hub.STORYBOOK / "MODEL_CARD.md").read_text(encoding="utf-8"))
    if card is None:
        yield Finding(name, NOTE, "MODEL_CARD.md does not tell the sha256 of the weights", anew)
    else:
        why = _is_not(hub.STORYBOOK / "model.safetensors", card[1])
        if why is not None:
            yield Finding(name, PROBLEM, f"model.safetensors {why}", anew)
            return
    try:
        n_ids = len(Tokenizer().encode(KNOWN_TEXT))
        text = generate(GPT2.from_pretrained(name), Tokenizer(), PROMPT, Greedy(), max_new_tokens=n_ids).text
    except Exception as error:
        yield Finding(name, PROBLEM, f"does not run: {first_line(error)}", "see above; else report it, with this page")
        return
    if text != KNOWN_TEXT:
        yield Finding(
            name,
            PROBLEM,
            f"runs, but continues {PROMPT!r} with {text!r} instead of {KNOWN_TEXT!r}",
            "this machine computes something else: try another version of torch",
        )
    else:
        machine.runs = True
        yield Finding(name, OK, f"its file is whole, and it writes: {PROMPT}{text}")
