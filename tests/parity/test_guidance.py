"""Guidance and hidden states beside transformers' own, from the same weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from decoding import ClassifierFreeGuidance, Greedy, RepetitionPenalty, Tokenizer, TopK, generate_ids
from gpt2 import GPT2
from tests.parity.reference import Pair, paired, random_prompts, random_reference

pytestmark = pytest.mark.parity

SCALES = [-1.0, 0.0, 1.5, 7.5]
NEGATIVE = [4, 8, 15, 16, 23]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    theirs = random_reference(3, vocab_size=61, n_positions=48, n_embd=24, n_layer=3, n_head=3, initializer_range=0.5)
    return paired(theirs, tmp_path_factory.mktemp("guidance"))


@pytest.fixture(scope="module")
def wide(pair: Pair) -> Pair:
    """The same weights in float64."""
    ours = GPT2.from_pretrained(pair.folder, dtype=torch.float64)
    return Pair(copy.deepcopy(pair.theirs).double(), ours, pair.folder)


@pytest.fixture(scope="module")
def storybooks(storybook: GPT2) -> Pair:
    """transformers' network with the bundled weights."""
    from transformers import GPT2LMHeadModel

    import gpt2

    folder = Path(gpt2.__file__).parent / "storybook"
    return Pair(GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval(), storybook, folder)


def guided(theirs: Any, scale: float, negative: Sequence[int] | None, use_cache: bool = True) -> Any:
    """Their processor, which runs the network on the negative prompt by itself."""
    from transformers.generation.logits_process import UnbatchedClassifierFreeGuidanceLogitsProcessor

    ids: Any = None if negative is None else torch.tensor([list(negative)])
    return UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, theirs, ids, use_cache=use_cache)


def their_text(
    theirs: Any, prompt: Sequence[int], scale: float, negative: Sequence[int] | None, steps: int, **settings: Any
) -> list[int]:
    """The ids that `generate` adds."""
    if negative is not None:
        settings["negative_prompt_ids"] = torch.tensor([list(negative)])
    row: list[int] = theirs.generate(
        torch.tensor([list(prompt)]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        max_new_tokens=steps,
        eos_token_id=None,
        pad_token_id=0,
        do_sample=False,
        guidance_scale=scale,
        **settings,
    )[0, len(prompt) :].tolist()
    return row


@torch.no_grad()
def both_logits(
    pair: Pair, text: Tensor, n_prompt: int, scale: float, negative: Sequence[int] | None, use_cache: bool
) -> tuple[Tensor, Tensor]:
    """Their processor's logits (T, V) along a text (1, T) from its prompt on, and ours of the same steps."""
    processor = guided(pair.theirs, scale, negative, use_cache)
    theirs = torch.cat(
        [
            processor(text[:, :length], pair.theirs(text[:, :length]).logits[:, -1])
            for length in range(n_prompt, text.shape[1] + 1)
        ]
    )
    session = ClassifierFreeGuidance(pair.ours, negative, scale=scale).open()
    ours = [session.extend(text[:, :n_prompt])[0]]
    ours += [session.extend(text[:, t : t + 1])[0] for t in range(n_prompt, text.shape[1])]
    together = torch.cat(ours)  # which scale 0 leaves as the model gave them
    return theirs, together.log_softmax(dim=-1) if scale == 0.0 else together


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("negative", [None, NEGATIVE])
@pytest.mark.parametrize("scale", SCALES)
def test_guidance_logit_for_logit(wide: Pair, scale: float, negative: list[int] | None, use_cache: bool) -> None:
    """Along a random text, in float64."""
    text = torch.tensor(random_prompts(wide.ours, [12], seed=5))
    theirs, ours = both_logits(wide, text, 6, scale, negative, use_cache)
    assert theirs.shape == ours.shape == (7, 61)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("negative", [None, NEGATIVE])
@pytest.mark.parametrize("scale", SCALES)
def test_guidance_in_float32(pair: Pair, scale: float, negative: list[int] | None) -> None:
    """A scale multiplies rounding, too."""
    text = torch.tensor(random_prompts(pair.ours, [12], seed=5))
    theirs, ours = both_logits(pair, text, 6, scale, negative, True)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-5 * (1 + abs(scale)))


@pytest.mark.parametrize("negative", [None, NEGATIVE])
@pytest.mark.parametrize("scale", SCALES)
def test_generate_id_for_id(pair: Pair, scale: float, negative: list[int] | None) -> None:
    """Greedily, on prompts of one to nine ids: theirs one after another, ours in one batch."""
    prompts = random_prompts(pair.ours, [1, 4, 9], seed=2)
    model = ClassifierFreeGuidance(pair.ours, negative, scale=scale)
    ours = [result.ids for result in generate_ids(model, prompts, Greedy(), max_new_tokens=12)]
    assert ours == [their_text(pair.theirs, prompt, scale, negative, 12) for prompt in prompts]


@pytest.mark.parametrize("negative", [None, NEGATIVE])
def test_processors_come_after_guidance(pair: Pair, negative: list[int] | None) -> None:
    prompt = random_prompts(pair.ours, [7], seed=3)[0]
    model = ClassifierFreeGuidance(pair.ours, negative, scale=1.5)
    ours = generate_ids(model, [prompt], Greedy(RepetitionPenalty(3.0), TopK(5)), max_new_tokens=16)[0].ids
    assert ours == their_text(pair.theirs, prompt, 1.5, negative, 16, repetition_penalty=3.0)
    assert ours != generate_ids(model, [prompt], Greedy(), max_new_tokens=16)[0].ids


def test_the_texts_tell_scales_and_prompts_apart(pair: Pair) -> None:
    """So that the tests above can fail: no guidance, another scale, another prompt, or the prompt instead of its last
    id all write something else."""
    prompt = random_prompts(pair.ours, [9], seed=4)[0]

    def ours(negative: list[int] | None, scale: float) -> tuple[int, ...]:
        model = ClassifierFreeGuidance(pair.ours, negative, scale=scale)
        return tuple(generate_ids(model, [prompt], Greedy(), max_new_tokens=12)[0].ids)

    settings = [(None, 1.0), (None, 3.0), (NEGATIVE, 3.0), (NEGATIVE, 1.5), (NEGATIVE[::-1], 3.0), (NEGATIVE, 0.0)]
    assert len({ours(*one) for one in settings}) == len(settings)
    assert ours(prompt, 3.0) == ours(None, 1.0)  # nothing to be guided away from
    assert ours(prompt[-1:], 3.0) == ours(None, 3.0)


def test_a_scale_of_1_is_normalised_there_and_untouched_here(pair: Pair) -> None:
    text = torch.tensor(random_prompts(pair.ours, [6], seed=5))
    with torch.no_grad():
        plain = pair.ours.open().extend(text)[0]
        theirs = guided(pair.theirs, 1.0, None)(text, pair.theirs(text).logits[:, -1])
    assert torch.equal(ClassifierFreeGuidance(pair.ours, scale=1.0).open().extend(text)[0], plain)
    torch.testing.assert_close(theirs, plain.log_softmax(dim=-1), rtol=0, atol=2e-5)
    assert not torch.allclose(theirs, plain, atol=0.1)


@pytest.mark.parametrize("negative", [None, "The big dog was very angry."])
@pytest.mark.parametrize("scale", [1.5, 3.0])
def test_storybook_id_for_id(storybooks: Pair, tokenizer: Tokenizer, scale: float, negative: str | None) -> None:
    prompt = tokenizer.encode("Once upon a time, a cat")
    ids = None if negative is None else tokenizer.encode(negative)
    model = ClassifierFreeGuidance(storybooks.ours, ids, scale=scale)
    ours = generate_ids(model, [prompt], Greedy(), max_new_tokens=12)[0].ids
    assert ours == their_text(storybooks.theirs, prompt, scale, ids, 12)


# --- hidden states ---


@torch.no_grad()
def test_hidden_states_of_every_layer(pair: Pair) -> None:
    """Theirs are bare but for the last, which has passed ln_f; we apply it to the others."""
    block = torch.tensor(random_prompts(pair.ours, [9, 9], seed=6))
    theirs = pair.theirs(block, output_hidden_states=True).hidden_states
    assert len(theirs) == 4
    session = pair.ours.open()
    ours = session.extend_hidden(block, None, 9, range(4))  # (2, 9, 4, C)
    for layer, bare in enumerate(theirs):
        normed = bare if layer == 3 else pair.theirs.transformer.ln_f(bare)
        torch.testing.assert_close(ours[:, :, layer], normed, rtol=0, atol=1e-4)
        if layer < 3:
            assert float((ours[:, :, layer] - bare).abs().max()) > 0.1
        torch.testing.assert_close(session.head(ours[:, :, layer]), pair.theirs.lm_head(normed), rtol=0, atol=1e-3)


@torch.no_grad()
def test_an_early_exit_is_their_network_with_fewer_layers(pair: Pair, tmp_path: Path) -> None:
    """Saved by transformers with two layers of three, and loaded."""
    shorter = copy.deepcopy(pair.theirs)
    shorter.transformer.h = shorter.transformer.h[:2]
    shorter.config.n_layer = 2
    block = torch.tensor(random_prompts(pair.ours, [9, 9], seed=7))
    early = pair.ours.early_exit(2)
    torch.testing.assert_close(early(block), shorter(block, use_cache=False).logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(early(block), paired(shorter, tmp_path).ours(block), rtol=0, atol=1e-4)
