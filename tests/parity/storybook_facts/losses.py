"""Losses, steps of AdamW, and perplexities in sliding windows. transformers shifts the labels itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from .writer import EOS, MARGIN, PASSAGE, Writer, check_margin, lead, rounded

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

STEPS = 6
# name, characters of the passage, ids of a window, stride
WINDOWS = [
    ("512-512", None, 512, 512),
    ("512-256", None, 512, 256),
    ("128-100", 1000, 128, 100),
    ("128-32", 1000, 128, 32),
]


def losses(writer: Writer) -> None:
    with torch.no_grad():
        one_row(writer)
        several_rows(writer)
        for name, length, window, stride in WINDOWS:
            text = PASSAGE.read_text(encoding="utf-8")[:length]
            found = perplexity(writer.reference.single, writer.reference.encode(text), window, stride)
            writer.add(
                f"S-perplexity-{name}",
                "D-hf-wikitext2-stride512",
                {"perplexity": rounded(found)},
                run={"text": text, "max_length": window, "stride": stride},
                compare={"perplexity": {"mode": "allclose", "atol": 0.005}},
            )
    adamw_steps(writer, [writer.reference.passage[begin : begin + 33] for begin in (0, 32)])


def one_row(writer: Writer) -> None:
    reference = writer.reference
    row = [EOS, *reference.passage[:34]]
    logits = reference.single(torch.tensor([row])).logits[0, :-1].double()  # (34, V)
    writer.add(
        "S-loss-row",
        "A-arena-ref-loss",
        {
            "loss": rounded(loss_of(reference.single, [row])),
            "mean_prob_of_correct_id": rounded(float(logits.softmax(dim=-1)[range(34), row[1:]].mean()), 8),
            "uniform_loss": rounded(math.log(reference.single.config.vocab_size), 8),
            "n_predictions": 34,
        },
        prompt_ids=row,
    )
    row = [EOS, *reference.passage[:111]]
    logits = reference.single(torch.tensor([row])).logits[0, :-1]
    check_margin(lead(logits), MARGIN, "which ids are guessed right")
    right = [id for id, guess in zip(row[1:], logits.argmax(dim=-1).tolist(), strict=True) if id == guess]
    writer.add(
        "S-loss-correct",
        "A-arena-description-loss",
        {
            "loss": rounded(loss_of(reference.single, [row])),
            "n_correct": len(right),
            "n_predictions": 111,
            "correct_ids": right,
        },
        prompt_ids=row,
    )
    row = [EOS, *reference.encode("Once upon a time, there was a cat.")]
    writer.add(
        "S-loss-short",
        "A-tl-hello-world-loss",
        {"loss": rounded(loss_of(reference.single, [row])), "n_predictions": len(row) - 1},
        prompt_ids=row,
    )


def several_rows(writer: Writer) -> None:
    """Rows that overlap by one id: every id but the first of a row is predicted."""
    model, passage = writer.reference.single, writer.reference.passage
    rows = [passage[begin : begin + 65] for begin in range(0, 384, 64)]
    logits = model(torch.tensor(rows[:4])).logits
    cells = [(0, 0, 0), (0, 0, 1), (1, 0, 2), (3, 63, 11)]
    writer.add(
        "S-loss-rows",
        "A-llmc-debug-state",
        {
            "loss": rounded(loss_of(model, rows[:4])),
            "n_predictions": 256,
            "logits_at": [
                {"row": row, "position": position, "id": id, "value": rounded(float(logits[row, position, id]))}
                for row, position, id in cells
            ],
        },
        prompt_ids=rows[:4],
        compare={"loss": {"mode": "allclose", "atol": 1e-4}},
    )
    writer.add(
        "S-loss-groups",
        "A-rasbt-verdict-124M",
        {"train_loss": rounded(loss_of(model, rows[:4])), "val_loss": rounded(loss_of(model, rows[4:]))},
        prompt_ids=rows,
        run={
            "rows": "6 rows of 65 ids = 64 inputs with their targets; rows 0-3 train, rows 4-5 validation",
            "groups": {"train_loss": [0, 4], "val_loss": [4, 6]},
        },
        compare={key: {"mode": "allclose", "atol": 0.0001} for key in ("train_loss", "val_loss")},
    )


def loss_of(model: GPT2LMHeadModel, rows: list[list[int]]) -> float:
    return model(torch.tensor(rows), labels=torch.tensor(rows)).loss.item()


def adamw_steps(writer: Writer, rows: list[list[int]]) -> None:
    """torch.optim.AdamW on transformers' network, in eval mode: without dropout."""
    settings = writer.published["A-llmc-10-adamw-steps"]["run"]
    ids, expected = torch.tensor(rows), {}
    for variant in settings["variants"]:
        model = writer.reference.another()
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=settings["lr"],
            eps=settings["eps"],
            betas=tuple(variant["betas"]),
            weight_decay=variant["weight_decay"],
        )
        printed = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = model(ids, labels=ids).loss
            loss.backward()
            printed.append(loss.item())
            if variant["max_grad_norm"] is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), variant["max_grad_norm"])
            optimizer.step()
        expected[f"losses_{variant['name']}"] = rounded(printed)
    writer.add(
        "S-adamw-steps",
        "A-llmc-10-adamw-steps",
        expected,
        prompt_ids=rows,
        run={"steps": STEPS},
        compare={key: {"mode": "allclose", "atol": 0.001} for key in expected},
    )


def perplexity(model: GPT2LMHeadModel, ids: list[int], max_length: int, stride: int) -> float:
    """The protocol of the Hugging Face page, with the loss of transformers: ids whose label is -100 do not count."""
    total, count, previous_end = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + max_length, len(ids))
        targets = end - previous_end
        window = torch.tensor([ids[begin:end]])
        labels = window.clone()
        labels[:, :-targets] = -100
        total += model(window, labels=labels).loss.item() * (targets - 1)
        count += targets - 1
        previous_end = end
        if end == len(ids):
            break
    return math.exp(total / count)
