"""Every strategy on compiled steps: sessions that are extended, selected and rewound in all the ways there are."""

from __future__ import annotations

import pytest
import torch

from decoding import (
    BeamSearch,
    ClassifierFreeGuidance,
    ContrastiveDecoding,
    ContrastiveSearch,
    DoLa,
    Greedy,
    Jacobi,
    LanguageModel,
    PromptLookup,
    Sample,
    Speculative,
    Strategy,
    Temperature,
    Tokenizer,
    TopP,
    generate_ids,
)
from gpt2 import GPT2

pytestmark = pytest.mark.compiler

PROMPTS = ["Once upon a time there was", "The dog", "Lily and Tom went to the park, and there they saw a big red ball"]


@pytest.fixture(scope="module")
def compiled(storybook: GPT2) -> GPT2:
    model = storybook.compiled()
    assert model.native is not None  # these machines have a compiler
    return model


def written(model: LanguageModel, tokenizer: Tokenizer, prompts: list[str], strategy: Strategy) -> list[list[int]]:
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    return [one.ids for one in generate_ids(model, ids, strategy, max_new_tokens=12, seed=3)]


@pytest.mark.parametrize(
    "strategy",
    [
        Greedy(),
        Sample(Temperature(0.8), TopP(0.9)),
        BeamSearch(beams=3),
        ContrastiveSearch(),
        Speculative(Temperature(0), draft=PromptLookup(), length=4),
        Jacobi(window=4),
    ],
    ids=repr,
)
def test_the_same_ids_as_eager_ones_and_alone_as_in_a_batch(
    strategy: Strategy, storybook: GPT2, compiled: GPT2, tokenizer: Tokenizer
) -> None:  # laws 5 and 7
    """Rounding, some 1e-5, decides none of these steps, and in a batch there is none."""
    got = written(compiled, tokenizer, PROMPTS, strategy)
    assert got == written(storybook, tokenizer, PROMPTS, strategy)
    if not isinstance(strategy, Sample):  # whose noise is keyed by the prompt, too
        assert got == [written(compiled, tokenizer, [prompt], strategy)[0] for prompt in PROMPTS]


def test_models_made_of_compiled_ones(storybook: GPT2, compiled: GPT2, tokenizer: Tokenizer) -> None:
    for make in (
        lambda model: DoLa(model, [2, 4]),
        lambda model: ContrastiveDecoding(model, model.early_exit(2), alpha=0.1),
        lambda model: ClassifierFreeGuidance(model, tokenizer.encode("The big dog"), scale=1.5),
    ):
        expected = written(make(storybook), tokenizer, PROMPTS, Greedy())
        assert written(make(compiled), tokenizer, PROMPTS, Greedy()) == expected


def test_rows_of_a_batch_are_the_row_alone_to_the_last_bit(compiled: GPT2, tokenizer: Tokenizer) -> None:  # law 5
    rows = torch.tensor([tokenizer.encode(prompt)[:2] for prompt in PROMPTS])
    together = compiled.open().extend(rows)
    assert all(torch.equal(compiled.open().extend(row[None])[0], one) for row, one in zip(rows, together, strict=True))
