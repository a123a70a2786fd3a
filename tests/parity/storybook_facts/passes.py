"""Logits of single passes: their order, their values, and what follows from them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .writer import EOS, MARGIN, MASS_MARGIN, PASSAGE, Entry, Writer, check_margin, lead, neighbours, rounded

FRIENDS = [
    ("Tom", "Lily", "park", "ball"),
    ("Tim", "Sue", "house", "cake"),
    ("Jack", "Mary", "garden", "book"),
    ("Ben", "Anna", "beach", "hat"),
]
TEXTS = {
    "english": "The sun was warm, and the children ran down to the river to look for stones.",
    "contractions": "I'm sure they'll say it's ours, but we've never seen it and wouldn't know.",
    "accents": "Le garçon s'appelait Zoé; à Köln und Århus, naïve façade!",
    "emoji": "Look! 🐶 said the girl 👧🏽, and 🐱🐱 ran away…",
    "lines": "One\n\nTwo\n \n\tThree\n\n\n    Four",
    "code": "def add(a, b):\n    return a + b  # 12345",
}


def passes(writer: Writer) -> None:
    with torch.no_grad():
        argmax(writer)
        likeliest(writer)
        differences(writer)
        gauntlet(writer)
        random_ids(writer)


def argmax(writer: Writer) -> None:
    """The guess behind every id of a text."""
    encode = writer.reference.encode
    ids = [EOS, *writer.reference.passage[70:104]]
    logits = logits_of(writer, ids)
    check_margin(lead(logits), MARGIN, "the argmax at 35 positions")
    writer.add(
        "S-forward-35",
        "B-arena-teacher-forced-35",
        {"positions": list(range(35)), "argmax_ids": logits.argmax(dim=-1).tolist()},
        prompt_ids=ids,
        note="Even the exact GELU, instead of the tanh one, changes one of them.",
    )
    hello = encode("Hello, I'm a language model,")
    logits = logits_of(writer, hello)
    check_margin(lead(logits[[0, 7]]), MARGIN, "the first and the last argmax")
    writer.add(
        "S-forward-first",
        "B-hello-first",
        {"positions": [0], "argmax_ids": [int(logits[0].argmax())]},
        prompt_ids=hello,
    )
    values, best = best_of(writer, hello, 5)
    writer.add(
        "S-forward-last",
        "B-hello-last",
        {"positions": [7], "argmax_ids": best[:1], "top_ids": best, "top_logits": rounded(values)},
        prompt_ids=hello,
    )
    writer.add(
        "S-forward-float32",
        "A-hello-logit-fp32",
        {"position": -1, "argmax": best[0], "logits": {str(best[0]): rounded(float(values[0]))}},
        prompt_ids=hello,
    )


def likeliest(writer: Writer) -> None:
    """The likeliest next ids, with logits, probabilities, percent and log-probabilities."""
    encode = writer.reference.encode
    prompt = encode("The night sky was")
    values, ids = best_of(writer, prompt, 5)
    writer.add(
        "S-forward-logits",
        "A-distil-top5-night",
        {"position": -1, "top_ids": ids, "top_logits": rounded(values)},
        prompt_ids=prompt,
    )
    prompt = encode("He had a")
    _, ids = best_of(writer, prompt, 5)
    probabilities = logits_of(writer, prompt)[-1].double().softmax(dim=-1)
    mass = probabilities[ids].cumsum(dim=0)
    kept = int((mass < 0.1).sum()) + 1
    check_margin(float((mass - 0.1).abs().min()), MASS_MARGIN, "the nucleus of 0.1")
    assert kept == 2
    writer.add(
        "S-forward-probabilities",
        "A-arena-john-mary-dist",
        {"position": -1, "top_ids": ids, "top_probs": rounded(probabilities[ids]), "top_p_0_1_keeps": ids[:kept]},
        prompt_ids=prompt,
        compare={"top_probs": {"mode": "allclose", "atol": 1e-5}},
        note="The first id has less than 0.1, so that the smallest set of 0.1 has two.",
    )
    prompt = encode("When I was")
    _, ids = best_of(writer, prompt, 3)
    logprobs = logits_of(writer, prompt)[-1].double().log_softmax(dim=-1)
    writer.add(
        "S-forward-logprobs",
        "A-arena-when-i-was-top3",
        {"position": -1, "top_ids": ids, "top_logprobs": rounded(logprobs[ids])},
        prompt_ids=prompt,
    )
    prompt = [EOS, *encode("The little boy's name was")]
    _, ids = best_of(writer, prompt, 5)
    last = logits_of(writer, prompt)[-1]
    (tim,), (lily,) = encode(" Tim"), encode(" Lily")
    writer.add(
        "S-forward-percent",
        "A-xl-eiffel",
        {
            "position": -1,
            "top_ids": ids,
            "top_percent": rounded(100 * last.double().softmax(dim=-1)[ids], 4),
            "logit_diff": rounded(float(last[tim] - last[lily])),
        },
        prompt_ids=prompt,
        run={
            "logit_diff": f'logits[{tim} " Tim"] - logits[{lily} " Lily"] at position -1',
            "logit_diff_ids": [tim, lily],
        },
        compare={"top_percent": {"mode": "allclose", "atol": 0.002}},
    )


def differences(writer: Writer) -> None:
    """Who gets it: how far the right name is above the wrong one, in eight rows of equal length."""
    encode = writer.reference.encode
    rows, correct, incorrect = [], [], []
    for one, other, place, thing in FRIENDS:
        for giver, taker in ((one, other), (other, one)):
            rows.append([EOS, *encode(f"{one} and {other} went to the {place}. {giver} gave the {thing} to")])
            correct += encode(f" {taker}")
            incorrect += encode(f" {giver}")
    last = writer.reference.single(torch.tensor(rows)).logits[:, -1]  # (8, V)
    difference = last[range(8), correct] - last[range(8), incorrect]  # (8,)
    writer.add(
        "S-forward-differences",
        "A-ioi-logit-diffs",
        {
            "position": -1,
            "correct_ids": correct,
            "incorrect_ids": incorrect,
            "logit_diff": rounded(difference),
            "mean_logit_diff": rounded(float(difference.mean())),
        },
        prompt_ids=rows,
        run={"rows": f"8 prompts of {len(rows[0])} ids, no padding needed"},
    )


def gauntlet(writer: Writer) -> None:
    """Logits and loss in float64 after all sorts of text; of one id, and of as many as there are positions."""
    reference = writer.reference
    samples = {name: reference.encode(text) for name, text in TEXTS.items()}
    passage = reference.encode(PASSAGE.read_text(encoding="utf-8"))
    samples |= {"one-id": reference.encode("The"), "one-before-the-end": passage[:511], "full": passage[:512]}
    for name, ids in samples.items():
        logits = reference.double(torch.tensor([ids])).logits[0]  # (T, V)
        best = logits[-1].topk(6)
        check_margin(neighbours(best.values), MARGIN, name)
        shown = dict.fromkeys([0, 1, 50, 100, 1000, 10000, 40000, EOS, int(best.indices[0])])
        expected: Entry = {
            "position": -1,
            "argmax": int(best.indices[0]),
            "top_ids": best.indices[:5].tolist(),
            "logits": {str(id): rounded(float(logits[-1, id]), 12) for id in shown},
        }
        if len(ids) > 1:
            expected["loss"] = rounded(F.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item(), 12)
        writer.add(
            f"S-forward-{name}", "A-gauntlet-short-english", expected, prompt_ids=ids, library="PyTorch, float64, CPU"
        )


def random_ids(writer: Writer) -> None:
    """The random ids of the companion post."""
    generator = torch.Generator().manual_seed(42)
    ids = torch.randint(0, 50257, (1, 30), generator=generator)[0].tolist()
    assert ids == writer.published["B-companion-eval-logits-seed42"]["prompt_ids"]
    logits = logits_of(writer, ids)
    cells = [(position, id) for position in (0, 1, 28, 29) for id in (0, 1, 2, 50254, 50255, 50256)]
    writer.add(
        "S-forward-random-30",
        "B-companion-eval-logits-seed42",
        {
            "logits_at": [
                {"position": position, "id": id, "value": rounded(float(logits[position, id]))}
                for position, id in cells
            ]
        },
        prompt_ids=ids,
        note="torch.manual_seed(42); torch.randint(0, 50257, (1, 30))",
    )


def logits_of(writer: Writer, ids: list[int]) -> Tensor:
    """(T, V) in float32."""
    return writer.reference.single(torch.tensor([ids])).logits[0]


def best_of(writer: Writer, ids: list[int], n: int) -> tuple[Tensor, list[int]]:
    """The n largest logits behind the last id, and whose they are. None of them may be near the next."""
    best = logits_of(writer, ids)[-1].topk(n + 1)
    check_margin(neighbours(best.values), MARGIN, f"the best {n} after {ids}")
    return best.values[:n], best.indices[:n].tolist()
