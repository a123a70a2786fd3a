"""What is inside of the network: means over all logits, keys and values, a step on the cache, hidden states."""

from __future__ import annotations

from typing import Any

import torch

from .writer import MARGIN, Entry, Writer, check_margin, lead, rounded

SHOWN = [0, 1, 2, 3, 4, 5, 6, 7, 100, 384, 385, 1000, 10000, 50000]  # the ids that the published facts show
CELLS = [(1, 49743), (2, 49486), (3, 49229), (5, 48715), (7, 48201)]  # and their positions and ids


def inner_states(writer: Writer) -> None:
    model, encode = writer.reference.single, writer.reference.encode
    with torch.no_grad():
        four, eight = encode("Hello, I am"), encode("Hello, I am A.\n ")
        logits = model(torch.tensor([four])).logits[0]
        writer.add(
            "S-forward-mean",
            "A-onnx-prefill-4",
            {
                "position": 0,
                "logits": {str(id): rounded(float(logits[0, id])) for id in SHOWN},
                "mean_all_logits": rounded(float(logits.double().mean()), 8),
            },
            prompt_ids=four,
        )
        output = model(torch.tensor([eight]), use_cache=True)
        writer.add(
            "S-forward-cache",
            "A-onnx-prefill-8",
            {
                "logits_at": [
                    {"position": position, "id": id, "value": rounded(float(output.logits[0, position, id]))}
                    for position, id in CELLS
                ],
                "mean_all_logits": rounded(float(output.logits.double().mean()), 8),
                **means_of(output.past_key_values),
            },
            prompt_ids=eight,
        )
        for name, ids in {"5": eight[:5], "6": eight[:6], "last": writer.reference.passage[:512]}.items():
            cache_step(writer, name, ids)
        fox = encode("the quick brown fox.")
        hidden = model.transformer(torch.tensor([fox])).last_hidden_state[0]
        for position in (0, 3):
            writer.add(
                f"S-forward-hidden-{position}",
                "A-keras-hidden",
                {"position": position, "hidden_first5": rounded(hidden[position, :5])},
                prompt_ids=fox,
                compare={"hidden_first5": {"mode": "allclose", "atol": 1e-4}},
            )


def cache_step(writer: Writer, name: str, ids: list[int]) -> None:
    """All ids but the last into the cache, then the last one alone."""
    model = writer.reference.single
    cache = model(torch.tensor([ids[:-1]]), use_cache=True).past_key_values
    last = model(torch.tensor([ids[-1:]]), past_key_values=cache, use_cache=True).logits[0, -1]
    check_margin(lead(last), MARGIN, f"the step after {len(ids) - 1} ids")
    writer.add(
        f"S-cache-step-{name}",
        "A-onnx-step-5",
        {
            "position": -1,
            "argmax": int(last.argmax()),
            "logits": {str(id): rounded(float(last[id])) for id in SHOWN},
            "mean_last_row": rounded(float(last.double().mean()), 8),
            **means_of(cache),
        },
        prompt_ids=ids,
        run={"prefill_ids": ids[:-1], "step_id": ids[-1], "step_position": len(ids) - 1},
    )


def means_of(cache: Any) -> Entry:
    """The mean of each layer's keys, and of its values."""
    return {
        "key_mean_per_layer": [rounded(float(layer.keys.double().mean()), 8) for layer in cache.layers],
        "value_mean_per_layer": [rounded(float(layer.values.double().mean()), 8) for layer in cache.layers],
    }
