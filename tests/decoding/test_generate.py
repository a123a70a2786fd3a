"""The public face: generate, stream and generate_ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from decoding import (
    Chance,
    GeneratedIds,
    Generation,
    Greedy,
    Gumbel,
    InverseCDF,
    Multinomial,
    Piece,
    Sample,
    Strategy,
    TableModel,
    Temperature,
    Tokenizer,
    TopP,
    generate,
    generate_ids,
    stream,
)
from gpt2 import GPT2
from tests.decoding.models import Recording, memoised, scripted

MODEL = memoised(TableModel.random(6, 16, seed=1))
PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def hello(tokenizer: Tokenizer) -> TableModel:
    """Writes " world, hello!" behind one id, then ends."""
    return scripted(tokenizer.n_vocab, 1, [*tokenizer.encode(" world, hello!"), tokenizer.eos_id])


# -- shapes of results ------------------------------------------------------------------------------------------------


def test_one_prompt_gives_one_generation(hello: TableModel, tokenizer: Tokenizer) -> None:
    one = generate(hello, tokenizer, "Hello", Greedy(), max_new_tokens=3, seed=9)
    assert isinstance(one, Generation)
    assert (one.prompt, one.text, one.prompt_ids, one.sample) == ("Hello", " world, hello", [15496], 0)
    assert one.ids == tokenizer.encode(" world, hello") and (one.finish_reason, one.seed) == ("length", 9)
    assert len(one.model_logprobs) == len(one.processed_logprobs) == 3 and not one.trace


def test_samples_and_lists_give_lists(hello: TableModel, tokenizer: Tokenizer) -> None:
    def run(prompt: str | list[str] | tuple[str, ...], num_samples: int | None = None) -> list[Generation] | Generation:
        return generate(hello, tokenizer, prompt, Greedy(), max_new_tokens=2, num_samples=num_samples)  # type: ignore

    for found, expected in (
        (run("Hello", 1), [("Hello", 0)]),
        (run("Hello", 3), [("Hello", 0), ("Hello", 1), ("Hello", 2)]),
        (run(["Hello"]), [("Hello", 0)]),
        (run(("a", "b")), [("a", 0), ("b", 0)]),
        (run(["a", "b"], 2), [("a", 0), ("a", 1), ("b", 0), ("b", 1)]),
    ):
        assert isinstance(found, list)
        assert [(one.prompt, one.sample) for one in found] == expected


def test_results_come_in_the_order_of_the_prompts_whoever_ends_first(tokenizer: Tokenizer) -> None:
    (a,), (b,) = tokenizer.encode("a"), tokenizer.encode("b")

    def logits_after(ids: Sequence[int]) -> torch.Tensor:  # "a" goes on for three ids, "b" ends at once
        new = a if ids[0] == a and len(ids) < 4 else tokenizer.eos_id
        return torch.nn.functional.one_hot(torch.tensor(new), tokenizer.n_vocab).float()

    model = TableModel(tokenizer.n_vocab, 16, logits_after)
    found = generate(model, tokenizer, ["a", "b", "a"], Greedy(), max_new_tokens=9, num_samples=2)
    assert [one.text for one in found] == ["aaa", "aaa", "", "", "aaa", "aaa"]
    below = generate_ids(model, [[a], [b]], Greedy(), max_new_tokens=9, eos_id=tokenizer.eos_id)
    assert [len(one.ids) for one in below] == [4, 1]


def test_below_text_there_is_always_a_list_and_no_eos_unless_given() -> None:
    found = generate_ids(scripted(6, 1, [3, 4, 5]), [[0]], Greedy(), max_new_tokens=5)
    assert isinstance(found, list) and type(found[0]) is GeneratedIds
    assert (found[0].ids, found[0].finish_reason) == ([3, 4, 5, 3, 4], "length")
    ended = generate_ids(scripted(6, 1, [3, 4, 5]), [[0]], Greedy(), max_new_tokens=5, eos_id=4)
    assert (ended[0].ids, ended[0].finish_reason) == ([3, 4], "eos")


def test_with_text_the_tokenizers_eos_ends_it(hello: TableModel, tokenizer: Tokenizer) -> None:
    one = generate(hello, tokenizer, "Hello", Greedy(), max_new_tokens=None)
    assert (one.text, one.ids[-1], one.finish_reason) == (" world, hello!", tokenizer.eos_id, "eos")


def test_text_and_ids_agree(storybook: GPT2, tokenizer: Tokenizer) -> None:
    strategy = Sample(Temperature(0.8), TopP(0.95))
    texts = generate(storybook, tokenizer, [PROMPT, "The dog"], strategy, max_new_tokens=8, seed=3, num_samples=2)
    prompts = [tokenizer.encode(PROMPT), tokenizer.encode("The dog")]
    ids = generate_ids(storybook, prompts, strategy, max_new_tokens=8, seed=3, num_samples=2, eos_id=tokenizer.eos_id)
    for text, below in zip(texts, ids, strict=True):
        assert text.ids == below.ids and text.model_logprobs == below.model_logprobs
        assert text.text == tokenizer.decode(text.ids, skip_special_tokens=True)


def test_a_prompt_is_ordinary_text(hello: TableModel, tokenizer: Tokenizer) -> None:
    one = generate(hello, tokenizer, "a<|endoftext|>", Greedy(), max_new_tokens=1)
    assert tokenizer.eos_id not in one.prompt_ids and tokenizer.decode(one.prompt_ids) == "a<|endoftext|>"


# -- stream -----------------------------------------------------------------------------------------------------------


def test_stream_is_generate_piece_by_piece(storybook: GPT2, tokenizer: Tokenizer) -> None:
    def run(function: Callable) -> object:
        return function(
            storybook,
            tokenizer,
            [PROMPT, "Lily had"],
            [Sample(TopP(0.9)), Greedy()],
            max_new_tokens=12,
            seed=5,
            num_samples=2,
            stop=["\n", " a"],
        )

    expected, pieces = run(generate), list(run(stream))  # type: ignore[call-overload]
    assert all(isinstance(piece, Piece) for piece in pieces)
    finished = {piece.row: piece.generation for piece in pieces if piece.generation is not None}
    assert [finished[row] for row in range(4)] == expected
    for row, whole in finished.items():
        mine = [piece for piece in pieces if piece.row == row]
        assert "".join(piece.text for piece in mine) == whole.text
        assert [id for piece in mine for id in piece.step.ids] == whole.ids
        assert mine[-1].generation is whole and all(piece.generation is None for piece in mine[:-1])


def test_stream_computes_only_what_is_asked_for(hello: TableModel, tokenizer: Tokenizer) -> None:
    model = Recording(hello)
    pieces = stream(model, tokenizer, "Hello", Greedy(), max_new_tokens=4)
    assert model.shapes == []
    assert next(pieces).text == " world"
    assert len(model.shapes) == 1


def test_stream_checks_its_arguments_before_the_first_piece_is_asked_for(
    hello: TableModel, tokenizer: Tokenizer
) -> None:
    def check(match: str, prompt: object = "Hello", strategy: object = None, **options: object) -> None:
        arguments = {"max_new_tokens": 3, **options}
        with pytest.raises(ValueError, match=match):
            stream(hello, tokenizer, prompt, strategy or Greedy(), **arguments)  # type: ignore[arg-type]

    check("the prompt is empty", prompt="")
    check("there is no prompt", prompt=[])
    check("stops are a list", stop="END")
    check("an empty stop", stop=[""])
    check("max_new_tokens must be at least 1", max_new_tokens=0)
    check("num_samples must be at least 1", num_samples=0)
    check("a seed is a whole number", seed=-1)
    check("a list of strategies needs one for each prompt", strategy=[Greedy(), Greedy()])
    check("the prompt has 1025 ids, 1 more than the model's 1024 positions", prompt="a" + " a" * 1024)
    check("half of a surrogate pair", prompt="\ud83d")


# -- arguments --------------------------------------------------------------------------------------------------------


def test_empty_and_unfit_prompts_are_refused_in_words(storybook: GPT2, tokenizer: Tokenizer) -> None:  # law 13
    for prompts, match in (
        ([], "there is no prompt: give at least one"),
        ([[]], "the prompt is empty; a language model needs at least one id"),
        ([[1], []], "prompt 1 is empty"),
        ([[1], [2, 6]], r"prompt 1 has ids outside of the vocabulary, 0 to 5"),
        ([[-1]], r"the prompt has ids outside of the vocabulary, 0 to 5"),
        ([[0] * 17], r"the prompt has 17 ids, 1 more than the model's 16 positions"),
    ):
        with pytest.raises(ValueError, match=match):
            generate_ids(MODEL, prompts, Greedy(), max_new_tokens=1)
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        generate(storybook, tokenizer, [PROMPT, ""], Greedy(), max_new_tokens=1)


def test_a_tokenizer_of_another_model_is_refused_in_words(tokenizer: Tokenizer) -> None:  # law 13
    with pytest.raises(ValueError, match="the tokenizer has 50257 ids and the model 6: they do not belong together"):
        generate(MODEL, tokenizer, "Hello", Greedy(), max_new_tokens=1)


@pytest.mark.parametrize("bad", [-1, 2**63, 1.5, "7", True])
@pytest.mark.parametrize("draw", [Gumbel, InverseCDF, Multinomial])
def test_a_bad_seed_is_refused_even_where_nothing_is_drawn(draw: Callable[[int], Chance], bad: int) -> None:  # law 13
    for strategy in (Greedy(), Sample()):
        with pytest.raises(ValueError, match="a seed is a whole number from 0 to"):
            generate_ids(MODEL, [[1]], strategy, max_new_tokens=1, seed=bad, draw=draw)


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_every_seed_of_63_bits_will_do(seed: int) -> None:
    for draw in (Gumbel, InverseCDF, Multinomial):
        assert generate_ids(MODEL, [[1]], Sample(), max_new_tokens=1, seed=seed, draw=draw)[0].seed == seed


@pytest.mark.parametrize("bad", [TopP(0.9), Greedy, "greedy", None, 0.9], ids=repr)
def test_what_is_no_strategy_is_refused_in_words(bad: Strategy) -> None:  # law 13
    with pytest.raises((ValueError, TypeError), match="strateg"):
        generate_ids(MODEL, [[1]], bad, max_new_tokens=1)
    with pytest.raises((ValueError, TypeError), match="strateg"):
        generate_ids(MODEL, [[1], [2]], [Greedy(), bad], max_new_tokens=1)


def test_a_list_of_strategies_has_one_for_each_prompt() -> None:  # law 13
    with pytest.raises(ValueError, match="a list of strategies needs one for each prompt; got 1 for 2"):
        generate_ids(MODEL, [[1], [2]], [Greedy()], max_new_tokens=1)
    both = generate_ids(MODEL, [[1], [1]], (Greedy(), Sample(Temperature(3))), max_new_tokens=6, seed=1)
    assert both[0] == generate_ids(MODEL, [[1]], Greedy(), max_new_tokens=6, seed=1)[0]
    assert both[1] == generate_ids(MODEL, [[1]], Sample(Temperature(3)), max_new_tokens=6, seed=1)[0]


# -- draws ------------------------------------------------------------------------------------------------------------


def test_the_default_draw_is_gumbel() -> None:
    def run(**options: object) -> list[list[int]]:
        found = generate_ids(MODEL, [[1], [2]], Sample(), max_new_tokens=9, seed=3, **options)  # type: ignore[arg-type]
        return [one.ids for one in found]

    assert run() == run(draw=Gumbel)
    assert run() != run(draw=InverseCDF) != run(draw=Multinomial) != run()


def test_multinomial_repeats_the_loop_with_torch_multinomial() -> None:
    """Row by row from one generator: what published samples were drawn with."""
    generator, ids = torch.Generator().manual_seed(42), torch.tensor([[1], [2], [5]])
    for _ in range(6):
        logits = torch.stack([MODEL.logits_after(row) for row in ids.tolist()]) / 0.7
        ids = torch.cat([ids, torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)], dim=1)
    strategy = Sample(Temperature(0.7))
    found = generate_ids(MODEL, [[1], [2], [5]], strategy, max_new_tokens=6, seed=42, draw=Multinomial)
    assert [one.ids for one in found] == ids[:, 1:].tolist()


def test_any_function_of_the_seed_is_a_draw() -> None:
    generator = torch.Generator().manual_seed(42)
    found = generate_ids(MODEL, [[1]], Sample(), max_new_tokens=6, seed=0, draw=lambda seed: Multinomial(generator))
    assert found[0].ids == generate_ids(MODEL, [[1]], Sample(), max_new_tokens=6, seed=42, draw=Multinomial)[0].ids


# -- trace ------------------------------------------------------------------------------------------------------------


def test_a_trace_shows_every_step_as_every_processor_left_it() -> None:
    strategy = Sample(Temperature(0.8), TopP(0.7))
    one = generate_ids(MODEL, [[1, 2]], strategy, max_new_tokens=4, seed=3, trace=True)[0]
    assert len(one.trace) == 4 and [step.chosen for step in one.trace] == one.ids
    for n, step in enumerate(one.trace):
        logits = MODEL.logits_after([1, 2, *one.ids[:n]])
        assert [stage.name for stage in step.stages] == ["model", "Temperature(0.8)", "TopP(0.7)"]
        for stage, processor in zip(step.stages, (None, *strategy.processors), strict=True):
            logits = logits if processor is None else processor(logits)
            assert torch.equal(stage.logits, logits)
        p, q = step.stages[0].logits.softmax(0), step.stages[-1].logits.softmax(0)
        best = step.candidates(3)
        assert best == sorted(best, key=lambda candidate: (-candidate.processed_probability, candidate.id))
        for candidate in (*best, step.probabilities([step.chosen])[0]):
            assert candidate.model_probability == pytest.approx(float(p[candidate.id]))
            assert candidate.processed_probability == pytest.approx(float(q[candidate.id]))
        assert len(step.candidates(99)) == int((q > 0).sum())  # a removed id is no candidate


def test_a_trace_changes_nothing_and_is_made_only_when_asked_for() -> None:
    without = generate_ids(MODEL, [[1], [2, 3]], Sample(TopP(0.9)), max_new_tokens=5, seed=3, num_samples=2)
    with_trace = generate_ids(
        MODEL, [[1], [2, 3]], Sample(TopP(0.9)), max_new_tokens=5, seed=3, num_samples=2, trace=True
    )
    assert without == with_trace  # everything but the trace
    assert [len(one.trace) for one in with_trace] == [5] * 4 and not any(one.trace for one in without)
    assert "trace" not in repr(with_trace[0])


def test_rows_of_a_tensor_are_prompts_too() -> None:
    model = TableModel.random(4, 8, seed=1)
    from_tensor = generate_ids(model, torch.tensor([[1, 2], [3, 0]]), Greedy(), max_new_tokens=3)  # type: ignore[arg-type]
    assert from_tensor == generate_ids(model, [[1, 2], [3, 0]], Greedy(), max_new_tokens=3, seed=from_tensor[0].seed)
    assert all(type(id) is int for generation in from_tensor for id in generation.prompt_ids)


@pytest.mark.parametrize("prompts", [[[1.7]], [1, 2], [["1"]], 5])
def test_rows_that_are_no_ids_are_refused_in_words(prompts: object) -> None:  # law 13
    model = TableModel.random(4, 8, seed=1)
    with pytest.raises(ValueError, match="prompts are rows of whole numbers"):
        generate_ids(model, prompts, Greedy(), max_new_tokens=3)  # type: ignore[arg-type]


def test_common_slips_are_explained(storybook: GPT2, tokenizer: Tokenizer) -> None:  # law 13
    def attempt(prompt: object = "Once", **how: object) -> None:
        generate(storybook, tokenizer, prompt, Sample(), **{"max_new_tokens": 2, **how})  # type: ignore[call-overload]

    with pytest.raises(ValueError, match="generate_ids takes ids"):
        attempt([15496])
    with pytest.raises(ValueError, match="its seed is given as seed"):
        attempt(draw=Gumbel(3))
    with pytest.raises(ValueError, match="stops are a list of strings"):
        attempt(stop=None)
    with pytest.raises(ValueError, match="stops are a list of strings"):
        attempt(stop=[1])
    with pytest.raises(ValueError, match="max_new_tokens must be a whole number; got True"):
        attempt(max_new_tokens=True)


def test_stops_may_come_from_any_iterable(storybook: GPT2, tokenizer: Tokenizer) -> None:
    texts = [
        generate(storybook, tokenizer, PROMPT, Greedy(), max_new_tokens=12, stop=stop).text  # type: ignore[call-overload]
        for stop in ([" little"], (" little",), (stop for stop in [" little"]))
    ]
    assert texts == [", there was a"] * 3


def test_more_slips_are_explained(storybook: GPT2, tokenizer: Tokenizer) -> None:  # law 13
    from decoding import Enumerate

    with pytest.raises(ValueError, match="a prompt is a text"):
        generate(storybook, tokenizer, None, Greedy(), max_new_tokens=2)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"a strategy is needed.*got 'greedy'"):
        generate(storybook, tokenizer, "Once", "greedy", max_new_tokens=2)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="draw is the class Gumbel"):
        generate(storybook, tokenizer, "Once", Sample(), max_new_tokens=2, draw=Enumerate)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="stops are a list of strings"):
        generate(storybook, tokenizer, "Once", Sample(), max_new_tokens=2, stop=5)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="decode takes the ids of one row"):
        tokenizer.decode([[1, 2]])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="encode takes a text"):
        tokenizer.encode(None)  # type: ignore[arg-type]


def test_many_rows_draw_as_each_alone() -> None:  # law 5: noise is made for a few rows at a time
    model = TableModel.random(6, 16, seed=3)
    together = generate_ids(model, [[1, 2]], Sample(), max_new_tokens=6, seed=4, num_samples=19)
    few = generate_ids(model, [[1, 2]], Sample(), max_new_tokens=6, seed=4, num_samples=5)
    assert together[:5] == few
    assert len({tuple(generation.ids) for generation in together}) > 10
