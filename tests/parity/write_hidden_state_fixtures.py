"""Writes tests/fixtures/transformers_4_55: contrastive search and DoLa, which newer versions have dropped.

In an environment of its own, as this project needs newer versions; the script imports nothing else:

    pip install torch==2.13.0 transformers==4.55.4
    python tests/parity/write_hidden_state_fixtures.py

twelve/               a random GPT-2 with 12 layers, so that "low" and "high" are more than one layer each
hidden_states.json    what `generate` writes in float64: by contrastive search in tests/fixtures/tiny; by DoLa in
                      twelve, prompts alone and two at a time; one forward pass of twelve, with the hidden states of
                      each layer; what their rules are ("notes"); and which versions computed them

Next to the ids stands how far each case was from another text, computed here without `generate`, from forward passes
along the ids. A case that was too near is dropped.
"""

from __future__ import annotations

import json
import platform
import re
import tempfile
from itertools import combinations, product
from math import inf, log
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOLDER = FIXTURES / "transformers_4_55"
TWELVE: dict[str, Any] = {
    "vocab_size": 31, "n_positions": 32, "n_embd": 8, "n_layer": 12, "n_head": 2, "n_inner": 16,
    "initializer_range": 0.5, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
PROMPTS = [[5, 60, 33, 0, 12], [66], [17, 17, 2, 40, 41, 9, 8, 64, 30]]
TWELVE_PROMPTS = [[7, 19, 3, 28], [30, 0, 11, 11], [4, 22, 9, 16], [1, 2, 25, 13]]  # of one length, for batches
PENALTIES: list[dict[str, Any]] = [{"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}]
EVERY_SECOND = [0, 2, 4, 6, 8, 10]
LAYERS: list[Any] = ["low", "high", EVERY_SECOND, [3], [11, 1, 7]]
PAD_ID = 0
PLAUSIBLE = 0.1  # DoLa keeps ids with this part of the greatest probability
LEAST = {"margin": 1e-4, "edge": 1e-5, "layer_margin": 1e-4}  # a case with less of any is dropped

NOTES = [
    "Contrastive search: top_k = 1 or penalty_alpha = 0 runs plain greedy decoding. The penalty compares the last"
    " hidden states, after ln_f, with those of all ids before, the prompt's too. Processors come before the softmax"
    " and the choice of k ids.",
    "margin: the smallest lead, over the steps, of the best score over the second best; null where nothing was second."
    " edge: contrastive search, the smallest lead in probability of the k-th id over the next; DoLa, the smallest"
    " distance of a log-probability from the threshold of plausible ids. layer_margin: the smallest lead of the picked"
    " layer's divergence, summed over ids, over the next layer's; null where there was one candidate.",
    "DoLa, exits: a layer's logits are lm_head(hidden_states[layer]), where hidden_states[0] are the embeddings and"
    " hidden_states[i] what block i puts out. They skip ln_f, which the final logits pass.",
    "DoLa, divergence: with m = (p + q) / 2 of the final p and the exit's q it is KL(m || p) / 2 + KL(m || q) / 2,"
    " where the Jensen-Shannon divergence is KL(p || m) / 2 + KL(q || m) / 2. It is averaged, not summed, over ids,"
    " which leaves the order. The greatest wins.",
    "DoLa, rows: the divergence is averaged over all rows of the batch, finished ones too; one layer serves all rows.",
    "DoLa, candidates of N layers: low is range(start, N // 2, 2), high is range(N // 2, N, 2); where N > 40,"
    " range(start, 20, 2) and range(N - 20, N, 2). start is 0 where lm_head is not tied to the embeddings; else 2 if"
    " N > 2, 1 if N = 2, 0 if N = 1. low is [start] where start = N // 2. A list loses its layers >= N. Where one"
    " candidate is left, nothing is compared.",
    "DoLa, scores: log p - log q for ids with p >= 0.1 max p, else -inf (there log q is set to -0.001, log p to -inf)."
    " Processors come after that, on the differences.",
]


def save_twelve() -> None:
    """Its biases and layer norms are random too, so that a step left out shows."""
    torch.manual_seed(12)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**TWELVE))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.3)
    (FOLDER / "twelve").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as elsewhere:
        model.save_pretrained(elsewhere)
        for file in ("config.json", "model.safetensors"):
            (FOLDER / "twelve" / file).write_bytes((Path(elsewhere) / file).read_bytes())


def loaded(folder: Path) -> Any:
    return transformers.GPT2LMHeadModel.from_pretrained(folder).double().eval()


def written(
    model: Any, prompts: list[list[int]], steps: int, eos_id: int | None = None, **settings: Any
) -> list[list[int]]:
    """The new ids of each prompt, without padding."""
    rows = model.generate(
        torch.tensor(prompts),
        attention_mask=torch.ones(len(prompts), len(prompts[0]), dtype=torch.int64),
        max_new_tokens=steps,
        eos_token_id=eos_id,
        pad_token_id=PAD_ID,
        do_sample=False,
        **settings,
    )[:, len(prompts[0]) :].tolist()
    return [row[: row.index(eos_id) + 1] if eos_id in row else row for row in rows]


def lead(scores: Tensor) -> float:
    """By how much the best is ahead of the second best."""
    if scores.numel() == 1:
        return inf
    best = scores.topk(2).values
    return float(best[0] - best[1])


def late(ids: list[int]) -> int:
    """An id that ends the text, as an eos id, but not at once."""
    return max(ids[:12], key=ids.index)


def far_enough(leads: dict[str, float]) -> dict[str, float | None] | None:
    """The leads as written, or None where the case was too near to another text."""
    if any(value < LEAST[name] for name, value in leads.items()):
        return None
    return {name: None if value == inf else round(value, 6) for name, value in leads.items()}


# ------------------------------------------------------------------------------------------------ contrastive search


@torch.no_grad()
def contrastive_leads(
    model: Any, prompt: list[int], ids: list[int], k: int, alpha: float, processors: Any = ()
) -> dict[str, float]:
    """Along the ids, each of which must be the best of its step."""
    margin = edge = inf
    for t, id in enumerate(ids):
        prefix = torch.tensor([prompt + ids[:t]])  # (1, T)
        logits = model(prefix).logits[:, -1]  # (1, V)
        for processor in processors:
            logits = processor(prefix, logits)
        best = logits.softmax(dim=-1)[0].topk(k + 1)
        candidates, p = best.indices[:k], best.values[:k]  # (k,)
        longer = torch.cat([prefix.expand(k, -1), candidates[:, None]], dim=1)  # (k, T + 1)
        states = model(longer, output_hidden_states=True).hidden_states[-1]  # (k, T + 1, C), after ln_f
        cosines = torch.cosine_similarity(states[:, :-1], states[:, -1:], dim=-1)  # (k, T)
        scores = (1 - alpha) * p - alpha * cosines.amax(dim=-1)  # (k,)
        assert id == int(candidates[scores.argmax()]), (prompt, k, alpha, t)
        margin, edge = min(margin, lead(scores)), min(edge, float(best.values[k - 1] - best.values[k]))
    return {"margin": margin, "edge": edge}


def contrastive_case(
    model: Any, prompt: list[int], k: int, alpha: float, eos_id: int | None, penalty: dict[str, Any]
) -> dict[str, Any] | None:
    steps = 16
    processors = [
        transformers.RepetitionPenaltyLogitsProcessor(value)
        if name == "repetition_penalty"
        else transformers.NoRepeatNGramLogitsProcessor(value)
        for name, value in penalty.items()
    ]
    [ids] = written(model, [prompt], steps, eos_id, top_k=k, penalty_alpha=alpha, **penalty)
    leads = far_enough(contrastive_leads(model, prompt, ids, k, alpha, processors))
    case = {"prompt": prompt, "k": k, "alpha": alpha, "steps": steps, "eos_id": eos_id, "penalty": penalty, "ids": ids}
    return None if leads is None else case | leads


def contrastive_search(model: Any) -> list[dict[str, Any]]:
    cases = []
    for prompt, k, alpha in product(PROMPTS, [1, 2, 4, 8], [0.0, 0.3, 0.6, 1.0]):
        case = contrastive_case(model, prompt, k, alpha, None, {})
        cases.append(case)
        if case and k in (1, 4) and alpha == 0.6:
            cases.append(contrastive_case(model, prompt, k, alpha, late(case["ids"]), {}))
            cases += [contrastive_case(model, prompt, k, alpha, None, penalty) for penalty in PENALTIES]
    return [case for case in cases if case]


# ---------------------------------------------------------------------------------------------------------- DoLa


def candidates_of(layers: Any) -> list[int]:
    """Their candidates in a model of 12 layers with a tied lm_head."""
    return {"low": [2, 4], "high": [6, 8, 10]}[layers] if isinstance(layers, str) else layers


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p.log() - q.log())).sum(dim=-1)


@torch.no_grad()
def dola_leads(
    model: Any, prompts: list[list[int]], rows: list[list[int]], candidates: list[int]
) -> tuple[list[int], dict[str, float]]:
    """The layers picked, and the leads, along the ids of all rows; each id must be the best of its step."""
    picked, leads = [], {"margin": inf, "edge": inf, "layer_margin": inf}
    for t in range(len(rows[0])):
        prefix = torch.tensor([prompt + ids[:t] for prompt, ids in zip(prompts, rows, strict=True)])  # (R, T)
        out = model(prefix, output_hidden_states=True)
        p = out.logits[:, -1].softmax(dim=-1)  # (R, V)
        q = torch.stack([model.lm_head(out.hidden_states[layer][:, -1]) for layer in candidates]).softmax(dim=-1)
        m = (p + q) / 2  # (L, R, V)
        divergence = ((kl(m, p) + kl(m, q)) / 2).mean(dim=-1)  # (L,)
        layer = int(divergence.argmax())
        picked.append(candidates[layer])
        leads["layer_margin"] = min(leads["layer_margin"], lead(divergence))
        above = p.log() - p.amax(dim=-1, keepdim=True).log() - log(PLAUSIBLE)  # (R, V), at least 0: plausible
        leads["edge"] = min(leads["edge"], float(above.abs().min()))
        for row, ids in enumerate(rows):
            scores = (p[row].log() - q[layer, row].log()).masked_fill(above[row] < 0, -inf)  # (V,)
            assert ids[t] == int(scores.argmax()), (prompts, candidates, t)
            leads["margin"] = min(leads["margin"], lead(scores[scores > -inf]))
    return picked, leads


def dola_case(model: Any, prompt: list[int], layers: Any, eos_id: int | None) -> dict[str, Any] | None:
    steps = 16
    [ids] = written(model, [prompt], steps, eos_id, dola_layers=layers)
    picked, leads = dola_leads(model, [prompt], [ids], candidates_of(layers))
    far = far_enough(leads)
    case = {"prompt": prompt, "layers": layers, "steps": steps, "eos_id": eos_id, "ids": ids, "picked": picked}
    return None if far is None else case | far


def dola(model: Any) -> list[dict[str, Any]]:
    cases = []
    for prompt, layers in product(TWELVE_PROMPTS, LAYERS):
        case = dola_case(model, prompt, layers, None)
        cases.append(case)
        if case and layers in ("high", [3]):
            cases.append(dola_case(model, prompt, layers, late(case["ids"])))
    return [case for case in cases if case]


def dola_batches(model: Any) -> list[dict[str, Any]]:
    """Two prompts at a time, and what each of them gives alone."""
    cases, steps = [], 16
    for layers, prompts in product(["low", "high", EVERY_SECOND], combinations(TWELVE_PROMPTS, 2)):
        rows = written(model, list(prompts), steps, dola_layers=layers)
        picked, leads = dola_leads(model, list(prompts), rows, candidates_of(layers))
        alone = [written(model, [prompt], steps, dola_layers=layers)[0] for prompt in prompts]
        far = far_enough(leads)
        if far and all(dola_case(model, prompt, layers, None) for prompt in prompts):
            case = {"prompts": prompts, "layers": layers, "steps": steps, "ids": rows, "alone": alone, "picked": picked}
            cases.append(case | far)
    assert any(case["ids"] != case["alone"] for case in cases)
    return cases


def rounded(tensor: Tensor) -> Any:
    """Six decimals, and null for -inf."""
    if tensor.dim():
        return [rounded(part) for part in tensor]
    return None if tensor.isinf() else round(float(tensor), 6)


@torch.no_grad()
def forward(model: Any) -> dict[str, Any]:
    """Of the last position: logits, each layer's hidden states before and after ln_f, and DoLa's scores."""
    prompt = TWELVE_PROMPTS[0]
    ids, before_norm = torch.tensor([prompt]), []
    hook = model.transformer.ln_f.register_forward_pre_hook(lambda _, given: before_norm.append(given[0]))
    out = model(ids, output_hidden_states=True)
    hook.remove()
    hidden = torch.stack([*out.hidden_states[:-1], *before_norm])[:, 0, -1]  # (N + 1, C)
    normed = model.transformer.ln_f(hidden)  # (N + 1, C)
    assert torch.equal(normed[-1], out.hidden_states[-1][0, -1])
    scores = []
    for layers in LAYERS:
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, eos_token_id=None, pad_token_id=PAD_ID,
            do_sample=False, dola_layers=layers, return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        scores.append({"layers": layers, "scores": rounded(found.scores[0][0])})
    return {
        "prompt": prompt,
        "logits": rounded(out.logits[0, -1]),
        "hidden": rounded(hidden),
        "hidden_after_ln_f": rounded(normed),
        "dola": scores,
    }


def as_text(content: dict[str, Any]) -> str:
    """JSON with one line a row of numbers."""
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda row: " ".join(row[0].split()), json.dumps(content, indent=1)) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_twelve()
    tiny, twelve = loaded(FIXTURES / "tiny"), loaded(FOLDER / "twelve")
    content = {
        "written_by": {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "notes": NOTES,
        "contrastive": contrastive_search(tiny),
        "dola": dola(twelve),
        "dola_batches": dola_batches(twelve),
        "forward": forward(twelve),
    }
    (FOLDER / "hidden_states.json").write_text(as_text(content), encoding="utf-8")


if __name__ == "__main__":
    main()
