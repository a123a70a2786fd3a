"""Greedy texts, and the logits and probabilities of the ids that they are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .writer import BOTH, EOS, GONE, MARGIN, Entry, Writer, check_margin, lead, new_ids_of, rounded


def greedy_text(
    writer: Writer,
    id: str,
    like: str,
    prompt: list[int],
    n: int,
    *,
    settings: Entry | None = None,
    keep_special: bool = False,
    also: Entry | None = None,
    **how: Any,
) -> Entry:
    """Adds what transformers writes greedily, beside the fact's batch mates. `settings` are those of `generate`."""
    reference, run = writer.reference, {**writer.published[like]["run"], **how.get("run", {})}
    prompts = [prompt, *run.get("batch", {}).get("mate_ids", [])]
    eos_id = run["eos_token_id"]
    output = reference.write(prompts, n, eos_token_id=eos_id, **(settings or {}))
    new = new_ids_of(output.sequences[0], max(map(len, prompts)), eos_id)
    check_margin(lead(torch.stack(output.scores)[: len(new), 0]), MARGIN, id)
    expected = reference.text_entry(prompt, new, keep_special) | (also or {})
    writer.add(id, like, expected, prompt_ids=prompt, max_new_tokens=n, **how)
    return expected


def greedy_texts(writer: Writer) -> None:
    plain(writer)
    ends(writer)
    batches(writer)
    clean_text(writer)
    scores(writer)
    retokenised(writer)


def plain(writer: Writer) -> None:
    encode = writer.reference.encode
    greedy_text(writer, "S-greedy-once", "A-hf-the-dog", encode("Once upon a time"), 18)
    greedy_text(writer, "S-greedy-bird", "A-doc-streamer", encode("The little bird said:"), 40)
    greedy_text(writer, "S-greedy-from-the-end", "A-arena-ref-greedy", [EOS], 24)
    greedy_text(
        writer,
        "S-greedy-prefix",
        "A-pico-turing",
        encode("The sun was shining and the birds were"),
        40,
        compare={"new_ids": {"mode": "prefix", "n": 30}},
    )
    greedy_text(
        writer,
        "S-greedy-to-the-edge",
        "A-hf-the-dog",
        writer.reference.passage[:496],
        16,
        note="Prompt and text fill all 512 positions.",
    )


def ends(writer: Writer) -> None:
    """A text that ends by itself, and the same where nothing may end it."""
    prompt = writer.reference.encode("From that day on,")
    entry = greedy_text(writer, "S-greedy-eos", "A-hf-the-dog", prompt, 40, compare=BOTH)
    assert entry["new_ids"][-1] == EOS
    entry = greedy_text(
        writer, "S-greedy-past-eos", "A-hf-the-dog", prompt, 40, compare=BOTH, run={"eos_token_id": None}
    )
    assert EOS in entry["new_ids"] and entry["n_new"] == 40
    entry = greedy_text(
        writer,
        "S-greedy-keep-special",
        "A-doc-distil-forced-eos",
        prompt,
        40,
        keep_special=True,
        run={"processors": GONE},
        compare=BOTH,
    )
    assert entry["text"].endswith("<|endoftext|>")


def batches(writer: Writer) -> None:
    """Three prompts of different lengths, which transformers pads."""
    encode = writer.reference.encode
    texts = ["The little bird said:", "Sue hugged her mom and said", "<|endoftext|>From that day on,"]
    prompts = [encode(text) for text in texts]
    for number, prompt in enumerate(prompts):
        mates = prompts[:number] + prompts[number + 1 :]
        greedy_text(
            writer,
            f"S-greedy-batch-{number}",
            "A-hf-batch-left-pad-0",
            prompt,
            14,
            run={"batch": {"mate_ids": mates}},
            compare=BOTH,
        )


def clean_text(writer: Writer) -> None:
    """White space at both ends, which goes."""
    reference = writer.reference
    prompt = reference.encode("The little bird said:")
    new = new_ids_of(reference.write([prompt], 20).sequences[0], len(prompt), None)
    n = next(n for n in range(1, 20) if reference.decode(new[:n]).endswith("\n"))
    raw = reference.decode(new[:n])
    clean = raw.replace("### Response:", "").strip()
    assert raw.startswith(" ") and raw == f" {clean}\n"
    greedy_text(writer, "S-greedy-clean-text", "A-rasbt-medium-alpaca", prompt, n, also={"clean_text": clean})


def scores(writer: Writer) -> None:
    """Logits and probabilities of the chosen ids.

    The log-softmax is taken here, in float64: that of transformers' `compute_transition_scores` runs in float32 along
    a dimension that is not the last one, and is off by up to 1e-3.
    """
    reference = writer.reference
    encode = reference.encode
    prompts = [encode("Lily and Ben were"), encode("The fox ran")]
    new, logits, logprobs = scored(writer, prompts, None)
    writer.add(
        "S-scores-batch",
        "A-hf-transition-scores",
        {"new_ids": new.tolist(), "chosen_logits": rounded(logits), "chosen_logprobs": rounded(logprobs)},
        prompt_ids=prompts,
        max_new_tokens=5,
        compare={"new_ids": {"mode": "exact"}, "chosen_logprobs": {"mode": "allclose", "atol": 5e-4}},
    )
    prompt = encode("The cat")
    new, _, logprobs = scored(writer, [prompt], EOS)
    writer.add(
        "S-scores-percent",
        "A-doc-today-is-logprobs",
        {
            "new_ids": new[0].tolist(),
            "chosen_logprobs": rounded(logprobs[0]),
            "chosen_percent": rounded(100 * logprobs[0].exp(), 4),
        },
        prompt_ids=prompt,
        max_new_tokens=5,
        compare={
            "chosen_logprobs": {"mode": "allclose", "atol": 5e-4},
            "chosen_percent": {"mode": "allclose", "atol": 0.01},
        },
    )
    prompt = encode("We have a dog")
    new, _, logprobs = scored(writer, [prompt], EOS)
    probabilities = rounded(logprobs[0].exp())
    writer.add(
        "S-scores-probabilities",
        "A-mlabonne-greedy",
        {
            **reference.text_entry(prompt, new[0].tolist()),
            "chosen_probs": [probabilities[0], probabilities[1], None, probabilities[3], None],
            "sum_logprob_over_9": rounded(float(logprobs.sum()) / 9),
        },
        prompt_ids=prompt,
        max_new_tokens=5,
        compare={
            "chosen_probs": {"mode": "allclose", "atol": [1e-4, 1e-5, None, 1e-5, None]},
            "sum_logprob_over_9": {"mode": "allclose", "atol": 1e-4},
        },
    )


def scored(writer: Writer, prompts: list[list[int]], eos_id: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Five new ids a row, their logits, and the logarithms of their probabilities: (R, 5) each."""
    output = writer.reference.write(prompts, 5, eos_token_id=eos_id)
    logits = torch.stack(output.logits, dim=1)  # (R, 5, V)
    check_margin(lead(logits), MARGIN, "chosen ids")
    new = output.sequences[:, -5:]  # (R, 5)

    def of_chosen(values: Tensor) -> Tensor:
        return values.gather(-1, new[..., None])[..., 0]

    return new, of_chosen(logits), of_chosen(logits.double().log_softmax(dim=-1))


def retokenised(writer: Writer) -> None:
    """The loop that encodes its own text anew: after this prompt it writes another text than one that keeps its ids."""
    reference = writer.reference
    prompt = [EOS, *reference.encode("Tom and his fri")]
    text, n = reference.decode(prompt[1:]), 12
    for _ in range(n):
        with torch.no_grad():
            last = reference.single(torch.tensor([[EOS, *reference.encode(text)]])).logits[0, -1]
        check_margin(lead(last), MARGIN, "the text that is encoded anew")
        text += reference.decode([int(last.argmax())])
    kept = reference.write([prompt], n).sequences[0, 1:].tolist()
    assert reference.decode(kept) != text
    writer.add(
        "S-greedy-retokenised",
        "A-arena-mitigating",
        {"text": text, "n_new": n},
        prompt_ids=prompt,
        max_new_tokens=n,
        note="Greedy decoding that keeps its ids writes another text.",
    )
