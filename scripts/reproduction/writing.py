"""Facts about texts: the ids that a strategy writes, and their probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from decoding import (
    BanSequences,
    ClassifierFreeGuidance,
    ContrastiveSearch,
    EpsilonCutoff,
    Force,
    Greedy,
    Gumbel,
    LanguageModel,
    MinP,
    Multinomial,
    NoRepeatNGram,
    Prefix,
    Processor,
    PromptLookup,
    RepetitionPenalty,
    Sample,
    SelfSpeculative,
    Speculative,
    Strategy,
    Temperature,
    TopK,
    TopP,
    generate_ids,
    score,
)
from decoding.generate import Draw, GeneratedIds
from decoding.strategies.transformers_beam import TransformersBeamSearch
from gpt2 import GPT2

from .bench import Bench, Waits
from .fact import Fact

Got = dict[str, Any]

# What the facts call a processor -> how it is built from the fact's settings. One that is missing here does not exist
# yet: facts that want it wait for it.
PROCESSORS: dict[str, Callable[[dict[str, Any], Fact], Processor]] = {
    "temperature": lambda settings, fact: Temperature(settings["value"]),
    "top_k": lambda settings, fact: TopK(settings["value"]),
    "top_p": lambda settings, fact: TopP(settings["value"]),
    "min_p": lambda settings, fact: MinP(settings["value"]),
    "epsilon_cutoff": lambda settings, fact: EpsilonCutoff(settings["value"]),
    "repetition_penalty": lambda settings, fact: RepetitionPenalty(settings["penalty"]),
    "no_repeat_ngram": lambda settings, fact: NoRepeatNGram(settings["size"]),
    "bad_words": lambda settings, fact: BanSequences(settings["ids"]),
    "forced_eos": lambda settings, fact: Force({fact.max_new_tokens - 1: settings["id"]}),
}
# The same for what is a processor elsewhere, and here a language model made of others.
MODELS: dict[str, Callable[[dict[str, Any], LanguageModel], LanguageModel]] = {
    "guidance": lambda settings, model: ClassifierFreeGuidance(
        model, settings["negative_prompt_ids"], scale=settings["scale"]
    ),
}
ANY_SEED = 0  # where the fact says that the draw does not matter


def processors(fact: Fact) -> list[Processor]:
    """The processors of a fact, in its order."""
    written: list[dict[str, Any]] = fact.run.get("processors", [])
    return [PROCESSORS[settings["name"]](settings, fact) for settings in written if settings["name"] not in MODELS]


def made_of(network: GPT2, fact: Fact) -> LanguageModel:
    """The network, or the language model that the fact makes of it."""
    model: LanguageModel = network
    for settings in fact.run.get("processors", []):
        if settings["name"] in MODELS:
            model = MODELS[settings["name"]](settings, model)
    return model


# -- greedy, sampled and searched texts -------------------------------------------------------------------------------


def greedy(fact: Fact, bench: Bench) -> Got:
    return _texts(fact, bench, Greedy(*processors(fact)), Gumbel, ANY_SEED)


def sample(fact: Fact, bench: Bench) -> Got:
    """Drawn with the generator and the seed of the source, where it has one."""
    draw = fact.run["draw"]
    strategy = Sample(*processors(fact))
    if draw["recipe"] == "any":
        return _texts(fact, bench, strategy, Gumbel, ANY_SEED)
    if draw["device"] == "cpu" and bench.network().device.type != "cpu":
        raise Waits("the CPU's generator: --device cpu")
    if draw["recipe"] == "multinomial":
        return _texts(fact, bench, strategy, Multinomial, draw["seed"])
    return _sorted_top_k(fact, bench)


def beam(fact: Fact, bench: Bench) -> Got:
    """As transformers searches; or as a course does, which looks at `expand_k` ids behind each beam."""
    if "expand_k" in fact.run:
        return _beams_of_a_course(fact, bench)
    search = TransformersBeamSearch(
        *processors(fact),
        beams=fact.run["num_beams"],
        length_penalty=fact.run["length_penalty"],
        early_stopping=fact.run["early_stopping"],
        candidates=fact.run["num_return_sequences"],
    )
    return _texts(fact, bench, search, Gumbel, ANY_SEED)


def contrastive(fact: Fact, bench: Bench) -> Got:
    strategy = ContrastiveSearch(*processors(fact), k=fact.run["top_k"], alpha=fact.run["penalty_alpha"])
    return _texts(fact, bench, strategy, Gumbel, ANY_SEED)


def speculative(fact: Fact, bench: Bench) -> Got:
    """Several ids a call, drafted by another model, by the first layers, or copied."""
    (kind, value), *_ = fact.run["draft"].items()
    drafts: dict[str, Callable[[], Any]] = {
        "model": lambda: bench.another(value),
        "early_exit": lambda: SelfSpeculative(value),
        "prompt_lookup": lambda: PromptLookup(value),
    }
    chain = [*processors(fact), Temperature(fact.run["temperature"])]
    strategy = Speculative(*chain, draft=drafts[kind](), length=fact.run["length"])
    return _texts(fact, bench, strategy, Gumbel, ANY_SEED)


def _texts(fact: Fact, bench: Bench, strategy: Strategy, draw: Draw, seed: int) -> Got:
    """Each row on its own; and, where it was published in a batch, once more beside its neighbours."""
    network = bench.network_in_half() if "float16" in fact.requires else bench.network()
    model = made_of(network, fact)

    def write(prompts: list[list[int]]) -> list[GeneratedIds]:
        eos_id = fact.run["eos_token_id"]
        return generate_ids(
            model, prompts, strategy, max_new_tokens=fact.max_new_tokens, eos_id=eos_id, draw=draw, seed=seed
        )

    alone = [write([row])[0] for row in fact.rows]
    if "batch" in fact.run:
        rows = fact.rows + fact.run["batch"].get("mate_ids", [])
        together = [one.ids for one in write(rows)][: len(fact.rows)]
        if together != [one.ids for one in alone]:
            return {key: {"alone": [one.ids for one in alone], "in a batch": together} for key in fact.compare}
    got = [_about_text(fact, bench, network, one) for one in alone]
    return got[0] if fact.has_one_row else {key: [one[key] for one in got] for key in fact.compare}


def _about_text(fact: Fact, bench: Bench, model: GPT2, written: GeneratedIds) -> Got:
    begin, whole = len(written.prompt_ids), written.prompt_ids + written.ids
    new_text = bench.tokenizer.decode(written.ids, skip_special_tokens=True)
    got: Got = {
        "new_ids": written.ids,
        "n_new": len(written.ids),
        "text": bench.tokenizer.decode(whole, skip_special_tokens=not fact.run.get("keep_special", False)),
        "clean_text": new_text.replace("### Response:", "").strip(),
        "chosen_logprobs": written.model_logprobs,
        "sum_logprob_over_9": sum(written.model_logprobs) / 9,
        "sequences": [_sequence(bench, whole[:begin], one.ids) for one in written.candidates],
    }
    probabilities = torch.tensor(written.model_logprobs, dtype=torch.float64).exp()
    got["chosen_probs"] = probabilities.tolist()
    got["chosen_percent"] = (100 * probabilities).tolist()
    if "chosen_logits" in fact.compare:
        with torch.no_grad():
            logits = model(torch.tensor([whole], device=model.device))[0]  # (T, V)
        before = range(begin - 1, len(whole) - 1)  # an id's logits stand at the position before it
        got["chosen_logits"] = [float(logits[position, id]) for position, id in zip(before, written.ids, strict=True)]
    return got


def _sequence(bench: Bench, prompt_ids: list[int], new_ids: list[int]) -> Got:
    return {"text": bench.tokenizer.decode(prompt_ids + new_ids, skip_special_tokens=True), "new_ids": new_ids}


def greedy_per_beam(fact: Fact, bench: Bench) -> Got:
    """Several beginnings, each continued greedily, with and without a ban on repeated n-grams.

    A text's log-probability is that of all ids behind the prompt under the model alone: a ban changes the choice only.
    """
    model, begin = bench.network(), len(fact.prompt_ids)

    def entry(start: list[int], strategy: Strategy) -> Got:
        (written,) = generate_ids(model, [start], strategy, max_new_tokens=fact.run["steps"])
        whole = start + written.ids
        logprob = score(model, fact.prompt_ids, whole[begin:], Sample()).model_logprob
        return {"logprob": logprob, "text": bench.tokenizer.decode(whole), "new_ids": whole[begin:]}

    got: Got = {}
    for variant in fact.run["variants"]:
        n = variant["no_repeat_ngram_size"]
        strategy = Greedy() if n is None else Greedy(NoRepeatNGram(n))
        got[variant["name"]] = [entry(start, strategy) for start in fact.run["start_ids"]]
    return got


# -- loops that are not ours ------------------------------------------------------------------------------------------


@torch.no_grad()
def greedy_retokenised(fact: Fact, bench: Bench) -> Got:
    """The loop of a course that keeps text, not ids: after each id the text so far is encoded anew.

    Runs of newlines then become other ids than those that were generated, which changes what follows.
    """
    model, tokenizer = bench.network(), bench.tokenizer
    first, text = fact.prompt_ids[:1], tokenizer.decode(fact.prompt_ids[1:])  # the first id is <|endoftext|>
    for _ in range(fact.max_new_tokens):
        ids = torch.tensor([first + tokenizer.encode(text)], device=model.device)  # (1, T)
        text += tokenizer.decode([int(model(ids)[0, -1].argmax())])
    return {"text": text}


@torch.no_grad()
def _sorted_top_k(fact: Fact, bench: Bench) -> Got:
    """build-nanogpt's loop: all rows of a batch at once from the k likeliest ids, sorted, with the global generator.

    The order of the candidates decides what a generator's number means, so `TopK` with `Multinomial` draws others.
    """
    model = bench.network()
    (settings,) = fact.run["processors"]
    ids = torch.tensor(fact.rows * fact.run["rows"], device=model.device)  # (B, T)
    generator = torch.Generator(model.device).manual_seed(fact.run["draw"]["seed"])
    for _ in range(fact.max_new_tokens):
        probabilities = model(ids)[:, -1].softmax(dim=-1)  # (B, V)
        best = probabilities.topk(settings["value"], dim=-1)
        drawn = torch.multinomial(best.values, 1, generator=generator)  # (B, 1)
        ids = torch.cat([ids, best.indices.gather(-1, drawn)], dim=1)
    begin = len(fact.prompt_ids)
    rows = [{"text": bench.tokenizer.decode(row), "new_ids": row[begin:]} for row in ids.tolist()]
    return {"sequences": rows}


# -- searches that are not ours ---------------------------------------------------------------------------------------


class _Beam(NamedTuple):
    """A text, with the model's log-probability of its ids behind the prompt."""

    ids: list[int]
    logprob: float
    parent: int  # the number of the beam that it extends


class _Beams:
    """Texts of one prompt, extended side by side."""

    def __init__(self, model: GPT2, prompt_ids: list[int]) -> None:
        self._session = model.open()
        self._logits = self._session.extend(torch.tensor([prompt_ids]))[:, -1]  # (B, V)
        self.beams = [_Beam(prompt_ids, 0.0, 0)]

    def extended(self, k: int, no_repeat_ngram_size: int | None = None) -> list[_Beam]:
        """Each by its k likeliest ids; by beam, then likeliest first. A ban removes ids and renormalises nothing."""
        logprobs = self._logits.double().log_softmax(dim=-1)  # (B, V)
        if no_repeat_ngram_size is not None:
            prefix = Prefix.of([beam.ids for beam in self.beams], device=logprobs.device)
            logprobs = NoRepeatNGram(no_repeat_ngram_size)(logprobs, prefix)
        best = logprobs.topk(k, dim=-1)  # (B, k)
        return [
            _Beam([*beam.ids, id], beam.logprob + logprob, number)
            for number, beam in enumerate(self.beams)
            for id, logprob in zip(best.indices[number].tolist(), best.values[number].tolist(), strict=True)
        ]

    def go_on(self, beams: Sequence[_Beam]) -> None:
        """Take these extensions as the new beams."""
        self._session.select(torch.tensor([beam.parent for beam in beams]))
        self._logits = self._session.extend(torch.tensor([beam.ids[-1:] for beam in beams]))[:, -1]  # (B, V)
        self.beams = list(beams)


def _likeliest(beams: Sequence[_Beam], n: int) -> list[_Beam]:
    return sorted(beams, key=lambda beam: -beam.logprob)[:n]


def _beams_of_a_course(fact: Fact, bench: Bench) -> Got:
    """ARENA's search: of all extensions keep the likeliest `num_beams`; those of them that end are set aside.

    It stops with the first that end, as many as are asked for. At the last step those that have not ended follow.
    """
    run, begin = fact.run, len(fact.prompt_ids)
    (ban,) = run["processors"]
    search = _Beams(bench.network(), fact.prompt_ids)
    ended: list[_Beam] = []
    for step in range(fact.max_new_tokens):
        best = _likeliest(search.extended(run["expand_k"], ban["size"]), run["num_beams"])
        ended += [beam for beam in best if beam.ids[-1] == run["eos_token_id"]]
        going = [beam for beam in best if beam.ids[-1] != run["eos_token_id"]]
        if len(ended) >= run["num_return_sequences"] or not going:
            break
        if step == fact.max_new_tokens - 1:
            ended += going
        else:
            search.go_on(going)
    found = ended[: run["num_return_sequences"]]
    return {
        "sequences": [_sequence(bench, beam.ids[:begin], beam.ids[begin:]) for beam in found],
        "exp_mean_logprob": [math.exp(beam.logprob / (len(beam.ids) - begin)) for beam in found],
    }


def beam_expand(fact: Fact, bench: Bench) -> Got:
    """One step of that search: the likeliest ids behind the prompt, each extended, and the best of what comes out."""
    run, begin = fact.run, len(fact.prompt_ids)
    search = _Beams(bench.network(), fact.prompt_ids)
    search.go_on(search.extended(run["keep"]))  # as many begin as are kept; the ban is for what comes after
    candidates = search.extended(run["expand_k"], run["no_repeat_ngram_size"])

    def shown(beams: Sequence[_Beam]) -> list[Got]:
        return [{"logprob": beam.logprob, **_sequence(bench, beam.ids[:begin], beam.ids[begin:])} for beam in beams]

    return {"candidates": shown(candidates), "kept": shown(_likeliest(candidates, run["keep"]))}


def exhaustive_tree(fact: Fact, bench: Bench) -> Got:
    """The likeliest leaf of a tree that nobody prunes. Its score is divided by the length of prompt and new ids."""
    search = _Beams(bench.network(), fact.prompt_ids)
    for _ in range(fact.run["depth"] - 1):
        search.go_on(search.extended(fact.run["branching"]))
    (best,) = _likeliest(search.extended(fact.run["branching"]), 1)
    begin = len(fact.prompt_ids)
    return {**_sequence(bench, best.ids[:begin], best.ids[begin:]), "score": best.logprob / len(best.ids)}
