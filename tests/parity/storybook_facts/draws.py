"""Texts that are drawn, with the seeds and the ways of drawing that published ones name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from .writer import BOTH, MASS_MARGIN, Entry, Reference, Writer, check_margin, lead, new_ids_of

if TYPE_CHECKING:
    from transformers import LogitsProcessor

SURE = 50  # of logits after the processors: a lead that no noise makes up for
OTHER_NUMBERS = "PyTorch draws other numbers on other processors."


def drawn_texts(writer: Writer) -> None:
    encode = writer.reference.encode
    once, king = encode("Once upon a time"), encode("The king had three sons.")
    mild, hot = processor("temperature", 0.8), processor("temperature", 1.5)
    top_k, top_p = processor("top_k", 50), processor("top_p", 0.9)
    seed0, seed123 = "A-hf-sample-seed0", "A-rasbt-sample-gpt2"
    drawn_text(writer, "S-sample-temperature-top_k", seed0, once, 24, [processor("temperature", 1.0), top_k], 0)
    drawn_text(writer, "S-sample-top_k-temperature", seed123, king, 25, [top_k, hot], 123)
    drawn_text(writer, "S-sample-top_p", seed0, once, 24, [top_p], 7)
    drawn_text(writer, "S-sample-temperature-top_p", seed0, once, 24, [hot, top_p], 8)
    drawn_text(writer, "S-sample-top_p-temperature", seed0, once, 24, [top_p, hot], 8)
    drawn_text(writer, "S-sample-all-three", seed0, once, 24, [mild, top_k, top_p], 11)
    sure_text(
        writer,
        "S-sample-cold",
        "A-arena-jingle-cold",
        encode("The little bird said:"),
        [processor("temperature", 1e-4)],
    )
    sure_text(
        writer,
        "S-sample-top_p-0.1",
        "A-doc-distil-seq-top_p",
        encode("The sun was shining and the birds were"),
        [processor("temperature", 1.0), top_k, processor("top_p", 0.1)],
    )
    sure_text(
        writer,
        "S-sample-warm",
        "A-doc-distil-seq-top_p",
        encode("The sun was shining and the birds were"),
        [processor("temperature", 1.3), processor("top_p", 0.05)],
        note="Its temperature leaves the best id just enough for a nucleus of one; twice the temperature would not.",
    )
    sorted_top_k(writer, once)


def processor(name: str, value: float) -> Entry:
    return {"name": name, "value": value}


def drawn(writer: Writer, prompt: list[int], n: int, processors: list[Entry], seed: int, eos_id: int | None) -> Any:
    """What `generate` draws with the global generator, the processors in the order that is given."""
    from transformers import LogitsProcessorList

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return writer.reference.write(
            [prompt],
            n,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            eos_token_id=eos_id,
            logits_processor=LogitsProcessorList(warpers(processors)),
        )


def warpers(processors: list[Entry]) -> list[LogitsProcessor]:
    """The processors of a fact as those of transformers."""
    from transformers.generation import logits_process as theirs

    made: dict[str, Callable[[Any], LogitsProcessor]] = {
        "temperature": theirs.TemperatureLogitsWarper,
        "top_k": theirs.TopKLogitsWarper,
        "top_p": theirs.TopPLogitsWarper,
        "min_p": theirs.MinPLogitsWarper,
        "epsilon_cutoff": theirs.EpsilonLogitsWarper,
    }
    return [made[one["name"]](one["value"]) for one in processors]


def drawn_text(
    writer: Writer, id: str, like: str, prompt: list[int], n: int, processors: list[Entry], seed: int
) -> None:
    """Adds the text that a seed gives."""
    eos_id = writer.published[like]["run"]["eos_token_id"]
    output = drawn(writer, prompt, n, processors, seed, eos_id)
    words = f"torch.manual_seed({seed}), then torch.multinomial(probs, 1) on [1, 50257] float32, once a step"
    writer.add(
        id,
        like,
        writer.reference.text_entry(prompt, new_ids_of(output.sequences[0], len(prompt), eos_id)),
        prompt_ids=prompt,
        max_new_tokens=n,
        run={
            "processors": processors,
            "draw": {"recipe": "multinomial", "seed": seed, "device": "cpu", "words": words},
        },
        compare=BOTH,
        soft=True,
        note=OTHER_NUMBERS,
    )


def sure_text(writer: Writer, id: str, like: str, prompt: list[int], processors: list[Entry], note: str = "") -> None:
    """Adds a text that every seed gives."""
    eos_id, n = writer.published[like]["run"]["eos_token_id"], 16
    output = drawn(writer, prompt, n, processors, 0, eos_id)
    check_margin(lead(torch.stack(output.scores)), SURE, id)
    *others, last = processors
    if last["name"] == "top_p":  # it keeps one id; will it do so with other rounding?
        logits = torch.cat(output.logits)  # (T, V)
        for warper in warpers(others):
            logits = warper(torch.tensor([prompt]), logits)
        best = float(logits.softmax(dim=-1).amax(dim=-1).min())
        check_margin(best - last["value"], MASS_MARGIN, id)
    writer.add(
        id,
        like,
        writer.reference.text_entry(prompt, new_ids_of(output.sequences[0], len(prompt), eos_id)),
        prompt_ids=prompt,
        max_new_tokens=n,
        run={"processors": processors},
        compare=BOTH,
        note=note,
    )


def sorted_top_k(writer: Writer, prompt: list[int]) -> None:
    """Five rows at once, as build-nanogpt draws them."""
    like, n = "A-build-nanogpt-seed42", 16
    run = writer.published[like]["run"]
    draw = {**run["draw"], "device": "cpu"}
    draw["words"] = draw["words"].replace(" torch.cuda.manual_seed(42);", "")
    rows = rows_from_top_k(writer.reference, prompt, run["rows"], run["processors"][0]["value"], n, draw["seed"])
    writer.add(
        "S-sample-sorted-top_k",
        like,
        {"sequences": [{"text": writer.reference.decode(prompt + new), "new_ids": new} for new in rows]},
        prompt_ids=prompt,
        max_new_tokens=n,
        run={"draw": draw},
        soft=True,
        note=OTHER_NUMBERS,
    )


@torch.no_grad()
def rows_from_top_k(reference: Reference, prompt: list[int], rows: int, k: int, n: int, seed: int) -> list[list[int]]:
    ids = torch.tensor([prompt] * rows)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(n):
            best, which = reference.single(ids).logits[:, -1].softmax(dim=-1).topk(k, dim=-1)
            ids = torch.cat([ids, which.gather(-1, torch.multinomial(best, 1))], dim=1)
    return ids[:, len(prompt) :].tolist()
