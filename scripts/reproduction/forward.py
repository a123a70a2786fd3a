"""Facts about the network alone: logits, hidden states, the cache, losses, a few steps of training, perplexities."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .bench import Bench, Waits
from .fact import Fact

Got = dict[str, Any]

WIKITEXT_IDS = 287_644  # of the joined text: transformers' tokenizer names the number in a warning


# -- one pass ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def forward(fact: Fact, bench: Bench) -> Got:
    """One pass in eval mode over the whole input, without a cache; several rows where the fact has several."""
    model = bench.network()
    ids = torch.tensor(fact.rows, device=model.device)  # (B, T)
    logits = model(ids)  # (B, T, V)
    got = about_logits(fact, logits)
    if "hidden_first5" in fact.compare:
        hidden = model.open().extend_hidden(ids, keep=ids.shape[1])[:, :, 0]  # (B, T, C)
        got["hidden_first5"] = hidden[0, fact.expected["position"], :5].tolist()
    if "key_mean_per_layer" in fact.compare:
        session = model.open()
        session.extend(ids)
        got |= about_the_cache(session.keys_and_values)
    return got


@torch.no_grad()
def kv_cache_step(fact: Fact, bench: Bench) -> Got:
    """The prompt into the cache, then the last id alone."""
    session = bench.network().open()
    session.extend(torch.tensor([fact.run["prefill_ids"]]))
    logits = session.extend(torch.tensor([[fact.run["step_id"]]]))  # (1, 1, V)
    return about_logits(fact, logits) | about_the_cache(session.keys_and_values)


def about_the_cache(keys_and_values: Tensor) -> Got:
    """(layers, 2, R, H, T, D) -> the mean of each layer's keys, and of its values."""
    means = keys_and_values.double().mean(dim=(2, 3, 4, 5))  # (layers, 2)
    return {"key_mean_per_layer": means[:, 0].tolist(), "value_mean_per_layer": means[:, 1].tolist()}


def about_logits(fact: Fact, logits: Tensor) -> Got:
    """All that a fact may ask of logits (B, T, V). Where it names no position, it means the last one."""
    expected = fact.expected
    last = logits[:, expected.get("position", -1)]  # (B, V)
    got: Got = {}
    if "positions" in expected:
        got["argmax_ids"] = logits[0].argmax(dim=-1)[expected["positions"]].tolist()
    if "argmax" in expected:
        got["argmax"] = int(last[0].argmax())
    if "top_ids" in expected:
        best = likeliest(last[0], len(expected["top_ids"]))
        probabilities = last[0].double().softmax(dim=-1)[best]
        got |= {
            "top_ids": best.tolist(),
            "top_logits": last[0, best].tolist(),
            "top_probs": probabilities.tolist(),
            "top_percent": (100 * probabilities).tolist(),
            "top_logprobs": probabilities.log().tolist(),
        }
    if "top_p_0_1_keeps" in expected:
        from decoding import TopP

        kept = (TopP(0.1)(last[:1])[0] > -math.inf).nonzero()[:, 0]
        got["top_p_0_1_keeps"] = kept[likeliest(last[0, kept], len(kept))].tolist()
    if "logits" in expected:
        got["logits"] = {id: float(last[0, int(id)]) for id in expected["logits"]}
    if "logits_at" in expected:
        got["logits_at"] = [
            {**cell, "value": float(logits[cell.get("row", 0), cell["position"], cell["id"]])}
            for cell in expected["logits_at"]
        ]
    if "logit_diff" in expected:
        got |= _differences(fact, last)
    if "loss" in expected and logits.shape[1] > 1:
        got["loss"] = float(losses(logits, torch.tensor(fact.rows)).mean())
    if "mean_all_logits" in expected:
        got["mean_all_logits"] = float(logits.double().mean())
    if "mean_last_row" in expected:
        got["mean_last_row"] = float(last[0].double().mean())
    return got


def likeliest(logits: Tensor, n: int) -> Tensor:
    """The ids of the n largest of logits (V,), largest first; of equals the lowest id first."""
    return logits.argsort(descending=True, stable=True)[:n]


def _differences(fact: Fact, last: Tensor) -> Got:
    """How far one id's logit is above another's, in each row of logits (B, V)."""
    if "correct_ids" in fact.expected:
        one, other = fact.expected["correct_ids"], fact.expected["incorrect_ids"]
        rows = range(len(last))
        differences = [float(last[row, one[row]] - last[row, other[row]]) for row in rows]
        return {"logit_diff": differences, "mean_logit_diff": sum(differences) / len(differences)}
    one, other = fact.run["logit_diff_ids"]
    return {"logit_diff": float(last[0, one] - last[0, other])}


# -- losses -----------------------------------------------------------------------------------------------------------


def losses(logits: Tensor, ids: Tensor) -> Tensor:
    """-log p of every id but the first of a row, given those before it: (B, T, V), (B, T) -> (B, T-1), float64.

    n ids are n - 1 predictions: the logits of a position are about the next one, and nothing predicts the first id.
    """
    logprobs = logits[:, :-1].double().log_softmax(dim=-1)  # (B, T-1, V)
    return -logprobs.gather(-1, ids[:, 1:, None].to(logits.device))[..., 0]


@torch.no_grad()
def next_token_loss(fact: Fact, bench: Bench) -> Got:
    """The mean over all predictions, or over those of a group of rows. Rows are passed one by one: 20 at once would be
    a gigabyte of logits."""
    model = bench.network()
    per_row, right, cells = [], [], {}
    for number, row in enumerate(fact.rows):
        ids = torch.tensor([row], device=model.device)  # (1, T)
        logits = model(ids)  # (1, T, V)
        per_row.append(losses(logits, ids)[0].cpu())  # (T-1,)
        hit = logits[0, :-1].argmax(dim=-1) == ids[0, 1:]  # (T-1,)
        right += ids[0, 1:][hit].tolist()
        for cell in fact.expected.get("logits_at", []):
            if cell["row"] == number:
                cells[number, cell["position"], cell["id"]] = float(logits[0, cell["position"], cell["id"]])
    every = torch.cat(per_row)
    got: Got = {
        "loss": float(every.mean()),
        "n_predictions": len(every),
        "mean_prob_of_correct_id": float((-every).exp().mean()),
        "uniform_loss": math.log(model.n_vocab),
        "n_correct": len(right),
        "correct_ids": right,
        "logits_at": [
            {**cell, "value": cells[cell["row"], cell["position"], cell["id"]]}
            for cell in fact.expected.get("logits_at", [])
        ],
    }
    for group, (begin, end) in fact.run.get("groups", {}).items():
        got[group] = float(torch.cat(per_row[begin:end]).mean())
    return got


def adamw_steps(fact: Fact, bench: Bench) -> Got:
    """The loss before each of a few steps of AdamW on one batch, without dropout, once for each set of settings.

    Every tensor is decayed, biases and norms too, as the source does. It shows that gradients flow as they should.
    """
    ids = torch.tensor(fact.rows, device=bench.network().device)  # (B, T)
    got: Got = {}
    for variant in fact.run["variants"]:
        model = copy.deepcopy(bench.network())  # the other facts are about the weights as they were
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=fact.run["lr"],
            betas=tuple(variant["betas"]),
            eps=fact.run["eps"],
            weight_decay=variant["weight_decay"],
        )
        seen = []
        for _ in range(fact.run["steps"]):
            logits = model(ids[:, :-1])  # (B, T-1, V)
            loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            seen.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            if variant["max_grad_norm"] is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), variant["max_grad_norm"])
            optimizer.step()
        got[f"losses_{variant['name']}"] = seen
    return got


@torch.no_grad()
def sliding_window_perplexity(fact: Fact, bench: Bench) -> Got:
    """exp of the mean loss of a long text, read in windows that overlap so that ids have something before them.

    The protocol of the Hugging Face page: each window ends `stride` ids behind the last one and counts the ids that are
    new in it. A window's loss is the mean over those of them that have an id before them in the window; its weight is
    the number of new ids minus one, in every window.
    """
    model = bench.network()
    ids = _ids(fact, bench)
    weighted, weights, seen = 0.0, 0, 0
    for begin in range(0, len(ids), fact.run["stride"]):
        end = min(begin + fact.run["max_length"], len(ids))
        window = torch.tensor([ids[begin:end]], device=model.device)  # (1, T)
        new = end - seen
        fresh = losses(model(window), window)[0, -new:]  # (new,); one fewer where the window begins with a new id
        weighted += (new - 1) * float(fresh.mean()) if new > 1 else 0.0
        weights += new - 1
        seen = end
        if end == len(ids):
            break
    return {"perplexity": math.exp(weighted / weights), "n_ids": len(ids)}


def _ids(fact: Fact, bench: Bench) -> list[int]:
    if not fact.needs_data:
        return bench.tokenizer.encode(fact.run["text"])
    if bench.wikitext is None:
        raise Waits("the text: --wikitext FILE")
    ids = bench.tokenizer.encode(wikitext(bench.wikitext))
    if len(ids) != WIKITEXT_IDS:
        raise ValueError(
            f"{bench.wikitext} comes to {len(ids):,} ids instead of the {WIKITEXT_IDS:,} of the published run: "
            f"take wiki.test.raw of wikitext-2-raw-v1"
        )
    return ids


def wikitext(path: Path) -> str:
    """The test split of WikiText-2 raw, wiki.test.raw, as the Hugging Face page joins it.

    Its rows are the lines of the file with their ends; empty lines are empty rows.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [line if line.strip() else "" for line in file]
    return "\n\n".join(rows)


# -- weights ----------------------------------------------------------------------------------------------------------


def tensor_values(fact: Fact, bench: Bench) -> Got:
    tensor = bench.network().get_parameter(fact.run["tensor"])  # (rows, columns)
    values = [{**entry, "values": tensor[entry["row"], entry["columns"]].tolist()} for entry in fact.expected["values"]]
    return {"values": values}
