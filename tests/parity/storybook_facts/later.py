"""Everything after sampling: penalties, bans, guidance, contrastive search, speculation, truncations, beams."""

from __future__ import annotations

from typing import Any

import torch

from .draws import drawn_text, processor
from .texts import greedy_text
from .writer import BOTH, EOS, MARGIN, Entry, Writer, check_margin, lead, neighbours, new_ids_of, rounded

DOGS = "The dog saw a bird. The bird saw the dog."


def later_strategies(writer: Writer) -> None:
    penalties_and_bans(writer)
    encode = writer.reference.encode
    greedy_text(
        writer,
        "S-greedy-forced-eos",
        "A-doc-distil-forced-eos",
        encode(DOGS),
        10,
        keep_special=True,
        settings={"forced_eos_token_id": EOS},
        compare=BOTH,
    )
    greedy_text(
        writer,
        "S-greedy-guidance",
        "A-hf-cfg-1",
        encode("The dragon flew over the castle,"),
        24,
        settings={"guidance_scale": 1.5},
        compare=BOTH,
    )
    greedy_text(
        writer,
        "S-greedy-guidance-negative",
        "A-hf-cfg-2",
        encode("The dragon flew over the castle,"),
        24,
        settings={"guidance_scale": 2.0, "negative_prompt_ids": torch.tensor([encode("A very sad story.")])},
        compare=BOTH,
        run={"processors": [guidance(2.0, encode("A very sad story."))]},
    )
    contrastive(writer)
    speculative(writer)
    greedy_from_beginnings(writer)
    once, mild = encode("Once upon a time"), processor("temperature", 0.8)
    drawn_text(writer, "S-sample-min_p", "A-doc-distil-seq-min_p", once, 16, [mild, processor("min_p", 0.05)], 3)
    drawn_text(
        writer,
        "S-sample-epsilon_cutoff",
        "A-doc-distil-seq-epsilon_cutoff",
        once,
        16,
        [mild, processor("epsilon_cutoff", 0.01)],
        5,
    )
    beams(writer)


def guidance(scale: float, negative_prompt_ids: list[int]) -> Entry:
    return {"name": "guidance", "scale": scale, "negative_prompt_ids": negative_prompt_ids}


def contrastive(writer: Writer) -> None:
    """A plain loop around transformers' network, which computes everything anew: its own left it with version 4.56.

    `generate` of 4.55.4 gave the same ids, on another day: tests/parity/write_hidden_state_fixtures.py tells how.
    """
    like, reference, steps = "A-gs-large-contrastive", writer.reference, 60
    alpha, k = (writer.published[like]["run"][name] for name in ("penalty_alpha", "top_k"))
    for id, text in {
        "S-contrastive": "Once upon a time",
        "S-contrastive-dog": "The little dog ran to the park because",
    }.items():
        prompt = reference.encode(text)
        whole, margins = list(prompt), []
        for _ in range(steps):
            with torch.no_grad():
                output = reference.double(torch.tensor([whole]), output_hidden_states=True)
                best = output.logits[0, -1].softmax(dim=-1).topk(k)
                candidates = torch.tensor([[*whole, id] for id in best.indices.tolist()])  # (k, T + 1)
                hidden = reference.double(candidates, output_hidden_states=True).hidden_states[-1]  # (k, T + 1, C)
            cosines = torch.cosine_similarity(hidden[:, -1:], hidden[:, :-1], dim=-1)  # (k, T)
            scores = (1 - alpha) * best.values - alpha * cosines.amax(dim=-1)  # (k,)
            margins.append(neighbours(scores.topk(2).values))
            whole.append(int(best.indices[scores.argmax()]))
        check_margin(min(margins), MARGIN, id)
        entry = reference.text_entry(prompt, whole[len(prompt) :])
        rules = {**BOTH, "new_ids": {"mode": "prefix", "n": 50}} if id == "S-contrastive" else BOTH
        writer.add(id, like, entry, prompt_ids=prompt, max_new_tokens=steps, compare=rules)


def speculative(writer: Writer) -> None:
    """The same text from three drafts, two of which transformers has as well."""
    like, reference = "A-spec-xl-turing-drafted", writer.reference
    dog = reference.encode("The little dog ran to the park because")
    drafts: dict[str, tuple[Entry, Entry]] = {
        "S-speculative-model": ({"model": "storybook"}, {"assistant_model": reference.another()}),
        "S-speculative-lookup": ({"prompt_lookup": 3}, {"prompt_lookup_num_tokens": 4}),
        "S-speculative-early-exit": ({"early_exit": 4}, {}),
    }
    for id, (draft, settings) in drafts.items():
        run = {"draft": draft, "eos_token_id": EOS}
        greedy_text(writer, id, like, dog, 40, settings=settings, compare=BOTH, run=run)


def penalties_and_bans(writer: Writer) -> None:
    like = "A-tf-distil-greedy-0"
    encode = writer.reference.encode
    penalty, ngram, words = writer.published[like]["run"]["processors"]
    words = {**words, "ids": [encode(" sad"), encode("I am")]}
    cases: dict[str, tuple[list[Entry], Entry]] = {
        "repetition-penalty": ([{**penalty, "penalty": 1.2}], {"repetition_penalty": 1.2}),
        "no-repeat-ngram": ([ngram], {"no_repeat_ngram_size": 2}),
        "bad-words": ([words], {"bad_words_ids": words["ids"]}),
        "three-processors": (
            [penalty, ngram, words],
            {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "bad_words_ids": words["ids"]},
        ),
    }
    prompt, mates = encode(DOGS), [encode("They ran")]
    plain = writer.reference.decode(writer.reference.write([prompt, *mates], 24).sequences[0, len(prompt) :].tolist())
    assert " sad" in plain and '"I am' in plain
    for name, (processors, settings) in cases.items():
        greedy_text(
            writer,
            f"S-greedy-{name}",
            like,
            prompt,
            24,
            settings=settings,
            run={"processors": processors, "batch": {"mate_ids": mates}},
            compare=BOTH,
        )


def greedy_from_beginnings(writer: Writer) -> None:
    """The three likeliest beginnings, each continued greedily, with and without a ban on repeated bigrams."""
    like, reference, steps = "A-arena-when-i-was-5", writer.reference, 12
    prompt = reference.encode("The cat was sad. The cat")
    with torch.no_grad():
        best = reference.single(torch.tensor([prompt])).logits[0, -1].topk(4)
    check_margin(neighbours(best.values), MARGIN, "the likeliest beginnings")
    starts = [[*prompt, id] for id in best.indices[:3].tolist()]
    sizes: dict[str, int | None] = {"no_restriction": None, "no_repeat_ngram_size_2": 2}
    expected: Entry = {}
    for name, size in sizes.items():
        expected[name] = []
        for start in starts:
            output = reference.write([start], steps, no_repeat_ngram_size=size)
            check_margin(lead(torch.stack(output.scores)[:, 0]), MARGIN, name)
            new = output.sequences[0, len(prompt) :]  # (1 + steps,)
            with torch.no_grad():
                logits = reference.double(output.sequences).logits[0, len(prompt) - 1 : -1]  # (1 + steps, V)
            logprob = float(logits.log_softmax(dim=-1).gather(-1, new[:, None]).sum())
            text = reference.text_entry(prompt, new.tolist())
            expected[name].append({"logprob": rounded(logprob), "text": text["text"], "new_ids": text["new_ids"]})
    assert all(one != other for one, other in zip(*expected.values(), strict=True))  # the ban matters
    writer.add(
        "S-greedy-beginnings",
        like,
        expected,
        prompt_ids=prompt,
        max_new_tokens=1 + steps,
        run={"start_ids": starts, "steps": steps},
    )


def beams(writer: Writer) -> None:
    encode = writer.reference.encode
    beam_text(writer, "S-beam-2", "A-xla-beam2", encode("The fox and the"), 24, num_beams=2)
    entry = beam_text(writer, "S-beam-2-eos", "A-xla-beam2", encode("They lived happily ever"), 24, num_beams=2)
    assert entry["new_ids"][-1] == EOS
    longer = beam_text(
        writer, "S-beam-length", "A-xla-beam2", encode("They lived happily ever"), 20, num_beams=3, length_penalty=2.0
    )
    assert longer["new_ids"][: len(entry["new_ids"])] != entry["new_ids"]  # without the penalty it ends
    beam_text(writer, "S-beam-2-batch", "A-tf-gpt2-beam2-0", encode("The dog"), 17, num_beams=2)
    friends = encode("Lily and Ben were friends.")
    five = {"num_beams": 5, "early_stopping": True, "no_repeat_ngram_size": 2}
    beam_text(writer, "S-beam-5-ngram", "A-blog20-beam5-ngram2", friends, 24, **five)
    sequences = [
        {key: entry[key] for key in ("text", "new_ids")}
        for new in search(writer, [friends], 24, num_return_sequences=5, **five)
        for entry in [writer.reference.text_entry(friends, new)]
    ]
    writer.add(
        "S-beam-5-return-5",
        "A-blog20-beam5-return5",
        {"sequences": sequences},
        prompt_ids=friends,
        max_new_tokens=24,
        compare={"sequences": {"mode": "exact"}},
    )


def beam_text(writer: Writer, id: str, like: str, prompt: list[int], n: int, **settings: Any) -> Entry:
    mates = writer.published[like]["run"].get("batch", {}).get("mate_ids", [])
    (new,) = search(writer, [prompt, *mates], n, **settings)
    entry = writer.reference.text_entry(prompt, new)
    run = {name: value for name, value in settings.items() if name in ("num_beams", "length_penalty")}
    writer.add(id, like, entry, prompt_ids=prompt, max_new_tokens=n, compare=BOTH, run=run)
    return entry


def search(writer: Writer, prompts: list[list[int]], n: int, **settings: Any) -> list[list[int]]:
    """The results for the first prompt, best first. They are the same in float32 and in float64."""
    found = []
    for double in (False, True):
        settings = {"length_penalty": 1.0, **settings}
        output = writer.reference.write(prompts, n, double=double, eos_token_id=EOS, **settings)
        first = output.sequences[: settings.get("num_return_sequences", 1)]
        found.append([new_ids_of(row, max(map(len, prompts)), EOS) for row in first])
    assert found[0] == found[1]
    return found[0]
