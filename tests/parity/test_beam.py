"""TransformersBeamSearch against `generate(num_beams=...)`: the same texts, in the same order, with the same scores.

On tables both get the same logits, and scores are equal bit for bit. On networks they differ by the networks' rounding.
"""

from __future__ import annotations

import inspect
import random
import textwrap
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from decoding import (
    BanSequences,
    BeamSearch,
    Force,
    Greedy,
    LanguageModel,
    LogitBias,
    MinNewTokens,
    NoRepeatNGram,
    Prefix,
    Processor,
    RepetitionPenalty,
    TableModel,
    Tokenizer,
    TopK,
    generate_ids,
)
from decoding.chance import Gumbel
from decoding.core import Limits
from decoding.strategies import transformers_beam
from decoding.strategies.transformers_beam import LogProbabilities, TransformersBeamSearch, _Row
from gpt2 import GPT2
from gpt2.hub import STORYBOOK
from tests.decoding.models import memoised, rounded
from tests.parity.reference import TOLERANCE, Pair, pad, paired, random_reference

pytestmark = pytest.mark.parity

LENGTH_PENALTIES = [-1.0, 0.0, 0.7, 1.0, 2.0]
EARLY_STOPPING: list[Any] = [False, True, "never"]
EXACTLY = 0.0


class Text(NamedTuple):
    ids: list[int]
    score: float


Texts = list[list[Text]]  # for each prompt all that came out, best first


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


# -- the two searches -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What both are asked for. settings and processors say the same, to transformers and to us.

    stop   ids that end a text besides eos: a criterion that one step may meet for more than `beams` hypotheses
    """

    prompts: tuple[tuple[int, ...], ...]
    max_new_tokens: int
    eos_id: int | None
    beams: int
    length_penalty: float
    early_stopping: Any
    candidates: int
    settings: tuple[tuple[str, Any], ...] = ()
    processors: tuple[Processor, ...] = ()
    stop: frozenset[int] = frozenset()

    @property
    def strategy(self) -> TransformersBeamSearch:
        return TransformersBeamSearch(
            *self.processors,
            beams=self.beams,
            length_penalty=self.length_penalty,
            early_stopping=self.early_stopping,
            candidates=self.candidates,
        )


def ours(model: LanguageModel, case: Case, strategy: Any = None) -> Texts:
    stops = (lambda ids: ids[-1] in case.stop) if case.stop else None
    limits = Limits(case.max_new_tokens, case.eos_id, stops)
    steps = (strategy or case.strategy).run(model, case.prompts, limits, Gumbel(0))
    found = {step.row: step.found for step in steps if step.found is not None}
    return [[Text(list(one.ids), one.score) for one in found[row].candidates] for row in range(len(case.prompts))]


def theirs(model: Any, case: Case, pad_id: int = 0) -> Texts:
    """Without the places that they fill with nothing, where they found fewer texts than they were asked for."""
    from transformers import GenerationConfig, StoppingCriteriaList
    from transformers.generation.configuration_utils import GenerationMode

    def stopped(ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.isin(ids[:, -1], torch.tensor(sorted(case.stop)))

    ids, mask = pad(case.prompts, "left", pad_id)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        if case.beams == 1:  # which it takes for greedy decoding
            patch.setattr(GenerationConfig, "get_generation_mode", lambda *_: GenerationMode.BEAM_SEARCH)
        out = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=case.max_new_tokens,
            eos_token_id=case.eos_id,
            pad_token_id=pad_id,
            do_sample=False,
            num_beams=case.beams,
            length_penalty=case.length_penalty,
            early_stopping=case.early_stopping,
            num_return_sequences=case.candidates,
            return_dict_in_generate=True,
            output_scores=True,
            stopping_criteria=StoppingCriteriaList([stopped] if case.stop else []),
            **dict(case.settings),
        )
    lengths = (out.beam_indices >= 0).sum(dim=-1).tolist()
    new = [row[:n] for row, n in zip(out.sequences[:, ids.shape[1] :].tolist(), lengths, strict=True)]
    texts = [Text(one, score) for one, score in zip(new, out.sequences_scores.tolist(), strict=True)]
    rows = [texts[n : n + case.candidates] for n in range(0, len(texts), case.candidates)]
    return [[text for text in row if text.ids] for row in rows]


def same(one: Texts, other: Texts, tolerance: float) -> bool:
    """The same ids in the same order, and scores that differ by at most the tolerance, and that share of their size."""
    if [[text.ids for text in row] for row in one] != [[text.ids for text in row] for row in other]:
        return False
    pairs = [
        (a.score, b.score) for row, others in zip(one, other, strict=True) for a, b in zip(row, others, strict=True)
    ]
    return all(abs(a - b) <= tolerance * max(1.0, abs(b)) for a, b in pairs)


# -- tables: all that there is to the rule, with the same logits for both ---------------------------------------------


def in_transformers(table: TableModel) -> Any:
    """The table as one of its models."""
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput

    class Table(PreTrainedModel, GenerationMixin):
        main_input_name = "input_ids"

        def __init__(self) -> None:
            super().__init__(PretrainedConfig.from_dict({"vocab_size": table.n_vocab}))
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Any:
            if attention_mask is None:  # it drops one that masks nothing
                attention_mask = torch.ones_like(input_ids)
            rows = [ids[mask.bool()].tolist() for ids, mask in zip(input_ids, attention_mask, strict=True)]
            return CausalLMOutput(logits=torch.stack([table.logits_after(row) for row in rows])[:, None])

        def prepare_inputs_for_generation(self, input_ids: Tensor, *, attention_mask: Tensor, **_: Any) -> Any:
            return {"input_ids": input_ids, "attention_mask": attention_mask}

    model = Table()
    model.generation_config.use_cache = False
    return model


class ForceAsTheyDo(Force):
    """With log-probability 0, which `Force` leaves as it was."""

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        forced = super().process(logits, prefix)
        return logits if forced is logits else forced.where(forced == -torch.inf, 0.0)


def top_k(k: int) -> Any:
    from transformers import LogitsProcessorList, TopKLogitsWarper

    return LogitsProcessorList([TopKLogitsWarper(k)])


def pairs(
    eos_id: int | None, max_new_tokens: int, *, ties: bool = False
) -> list[tuple[dict[str, Any], list[Processor]]]:
    """Settings of transformers, and our processors in the order in which it applies them."""
    least = min(3, max_new_tokens)
    made: list[tuple[dict[str, Any], list[Processor]]] = [
        ({}, []),
        ({"no_repeat_ngram_size": 2}, [NoRepeatNGram(2)]),
        ({"repetition_penalty": 1.7}, [RepetitionPenalty(1.7)]),
        ({"repetition_penalty": 0.8, "no_repeat_ngram_size": 3}, [RepetitionPenalty(0.8), NoRepeatNGram(3)]),
        ({"bad_words_ids": [[2], [1, 3]]}, [BanSequences([[2], [1, 3]])]),
        ({"sequence_bias": [[[1], 3.0]]}, [LogitBias({1: 3.0})]),
    ]
    if not ties:
        made.append(({"logits_processor": top_k(3)}, [TopK(3)]))  # it keeps all equals
    if eos_id is not None:
        made.append(({"min_new_tokens": least}, [MinNewTokens(least)]))
        made.append(({"forced_eos_token_id": eos_id}, [ForceAsTheyDo({max_new_tokens - 1: eos_id})]))
    return made


@cache
def a_table(V: int, seed: int, *, ending: float = 0.0, ties: bool = False) -> TableModel:
    """ending: how much is added to the logit of id 1, which ends texts."""
    table = TableModel.random(V, 40, seed)
    bonus = torch.zeros(V, dtype=torch.float64)
    bonus[1] = ending
    likelier = TableModel(V, 40, lambda ids: table.logits_after(ids) + bonus)
    return memoised(rounded(likelier, 2) if ties else likelier)


class TableCase(NamedTuple):
    table: TableModel
    case: Case


def table_case(seed: int) -> TableCase:
    """Vocabularies from 2 ids, so that there are fewer than the beams want; in every third one ties abound."""
    dice = random.Random(seed)
    V = dice.choice([2, 3, 5, 12, 12, 40])
    table = a_table(V, seed, ending=dice.choice([0.0, 3.0]), ties=seed % 3 == 0)
    rows = dice.choice([1, 1, 3]) if V >= 12 else 1
    prompts = tuple(tuple(dice.choices(range(1, V), k=dice.randint(1, 4))) for _ in range(rows))
    eos_id, max_new_tokens, beams = dice.choice([None, 1, 1]), dice.randint(1, 2 if V < 5 else 12), dice.randint(1, 8)
    settings, processors = dice.choice(pairs(eos_id, max_new_tokens, ties=seed % 3 == 0)) if V >= 5 else ({}, [])
    if rows > 1 and {"repetition_penalty", "no_repeat_ngram_size"} & settings.keys():
        prompts = prompts[:1]  # there the padding counts as ids that have occurred
    return TableCase(
        table,
        Case(
            prompts,
            max_new_tokens,
            eos_id,
            beams,
            dice.choice(LENGTH_PENALTIES),
            dice.choice(EARLY_STOPPING),
            dice.randint(1, beams),
            tuple(settings.items()),
            tuple(processors),
        ),
    )


@cache
def expected(seed: int) -> Texts:
    return theirs(in_transformers(table_case(seed).table), table_case(seed).case)


SEEDS = range(120)


@pytest.mark.parametrize("first", SEEDS[::30])
def test_tables(first: int) -> None:
    """Bit for bit, ties and fillers in the order of theirs."""
    for seed in range(first, first + 30):
        table, case = table_case(seed)
        assert same(ours(table, case), expected(seed), EXACTLY), (seed, case)


def test_the_tables_have_it_all() -> None:
    """Texts that end early, fillers, fewer texts than were asked for, and ties; every width, penalty, way to stop."""
    texts = [text for seed in SEEDS for row in expected(seed) for text in row]
    cases = [table_case(seed).case for seed in SEEDS]
    assert sum(text.ids[-1] == 1 for text in texts) > 50
    assert sum(text.score < -1e6 for text in texts) > 5
    assert any(len(row) < case.candidates for seed, case in zip(SEEDS, cases, strict=True) for row in expected(seed))
    scores = [[text.score for text in row if text.score > -1e6] for seed in SEEDS for row in expected(seed)]
    assert sum(len(set(row)) < len(row) for row in scores) > 3
    combinations = {(case.length_penalty, case.early_stopping) for case in cases}
    assert len(combinations) == len(LENGTH_PENALTIES) * len(EARLY_STOPPING)
    assert {case.beams for case in cases} == set(range(1, 9))
    names = {name for case in cases for name, _ in case.settings}
    assert names == {name for settings, _ in pairs(1, 3) for name in settings}


@pytest.mark.parametrize("seed", range(12))
def test_several_ids_that_end_a_text(seed: int) -> None:
    """Stop criteria that more extensions meet than there are beams: what has ended goes on as a filler."""
    table = a_table(6, seed)
    case = Case(((1, 2),), 6, 0, 4, [0.0, 1.0, -1.0][seed % 3], EARLY_STOPPING[seed // 3 % 3], 4)
    case = replace(case, stop=frozenset({1, 2, 3} if seed % 2 else {1, 2, 3, 4}))
    assert same(ours(table, case), theirs(in_transformers(table), case), EXACTLY)


def test_force_leaves_the_log_probability_that_they_take_for_zero() -> None:
    table = a_table(12, seed=0)
    case = Case(((3,),), 4, 1, 4, 1.0, False, 4, (("forced_eos_token_id", 1),), (ForceAsTheyDo({3: 1}),))
    reference = theirs(in_transformers(table), case)
    assert same(ours(table, case), reference, EXACTLY)
    assert not same(ours(table, replace(case, processors=(Force({3: 1}),))), reference, 1e-3)


def test_one_beam_is_no_search_there() -> None:
    """generate(num_beams=1) decodes greedily, on logits, where a penalty acts otherwise than on log-probabilities."""
    table = a_table(12, seed=3)
    prompts = [[2], [3, 4], [5, 5, 6]]
    one_beam = TransformersBeamSearch(RepetitionPenalty(1.7), beams=1)
    greedy = [one.ids for one in generate_ids(table, prompts, Greedy(RepetitionPenalty(1.7)), max_new_tokens=12)]
    searched = [one.ids for one in generate_ids(table, prompts, one_beam, max_new_tokens=12)]
    model = in_transformers(table)
    with torch.no_grad():
        out = [
            model.generate(
                torch.tensor([prompt]), do_sample=False, num_beams=1, repetition_penalty=1.7, max_new_tokens=12,
                pad_token_id=0,
            )[0, len(prompt) :].tolist()
            for prompt in prompts
        ]  # fmt: skip
    assert out == greedy
    assert out != searched


# -- well-known other rules, each of which is told apart --------------------------------------------------------------


def changed(patch: pytest.MonkeyPatch, where: type, name: str, *changes: tuple[str, str]) -> None:
    """Replace some text of a method."""
    source = textwrap.dedent(inspect.getsource(getattr(where, name)))
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    names: dict[str, Any] = {}
    exec(source, {**vars(transformers_beam)}, names)
    patch.setattr(where, name, names[name])


ALPHA = "**self.search.length_penalty"
WITHOUT_END = "(length - torch.tensor([1.0 * (one.reason == 'eos') for one in best])).clamp(min=1)"
PROMPT = "self.frontier.prompt_lengths[self.number]"
LOGPROBS = "expansion.stages[-1].logits[places[0] : places[-1] + 1]"
MUTANTS: dict[str, tuple[str, tuple[str, str]]] = {
    "no length penalty": ("extend", (ALPHA, "** 0")),
    "the length of the prompt, too": ("extend", (f"length{ALPHA}", f"(length + {PROMPT}){ALPHA}")),
    "the end not counted": ("extend", (f"length{ALPHA}", f"{WITHOUT_END}{ALPHA}")),
    "renormalised": ("_best", (LOGPROBS, LOGPROBS.replace("stages[-1].logits", "logprobs") + ".float()")),
    "ends of all ranks": ("_best", ("rank < B", "True")),
    "B candidates only": ("_best", ("min(2 * B,", "min(B,")),
    "all beams begin": ("__init__", ("self.sums[0] = 0.0", "self.sums[:] = 0.0")),
    "what ends goes on": ("extend", ("(sums + ends.float() * NOTHING)", "sums")),
    "True with the first text": ("_may_improve", ("if full and", "if self.texts and")),
    "True only by the bound": ("_may_improve", ("if full and", "if False and")),
    "never takes the present length": ("_may_improve", ('== "never"', '== "always"')),
    "False takes the greatest length": ("_may_improve", ('self.search.early_stopping == "never" and ', "")),
    "False runs to the end": ("_may_improve", ("attainable >", "self.search.early_stopping is False or attainable >")),
    "stops when the best is out of reach": ("_may_improve", ("self.scores[-1]", "self.scores[0]")),
    "ties to the lower id": ("_best", ("totals.flatten().topk(min(2 * B, totals.numel()))",
                                       "(x[:2 * B] for x in totals.flatten().sort(descending=True, stable=True))")),
}  # fmt: skip


def tells_apart() -> bool:
    """Whether one of the tables does: other ids, or scores that differ by more than rounding."""
    return any(not same(ours(*table_case(seed)), expected(seed), 1e-3) for seed in SEEDS)


@pytest.mark.parametrize("name", MUTANTS)
def test_another_rule_is_told_apart(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, change = MUTANTS[name]
    changed(monkeypatch, _Row, method, change)
    assert tells_apart()


def test_processors_on_logits_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repetition penalty before the softmax, as in sampling."""
    monkeypatch.setattr(LogProbabilities, "process", lambda self, logits, prefix: logits.float())
    changed(monkeypatch, _Row, "_best", (LOGPROBS, f"{LOGPROBS}.log_softmax(dim=-1)"))
    assert tells_apart()


# -- beside the canonical search --------------------------------------------------------------------------------------


def beside(seed: int, early_stopping: Any, length_penalty: float, *processors: Processor) -> tuple[Texts, Texts]:
    """Ours in their way and in ours, on a table with ids enough for all beams."""
    table = a_table(12, seed, ending=2.0)
    case = Case(((2, 3),), 10, 1, 3, length_penalty, early_stopping, 3, processors=processors)
    return ours(table, case), ours(table, case, BeamSearch(*processors, beams=3, length_penalty=length_penalty))


@pytest.mark.parametrize("length_penalty", LENGTH_PENALTIES)
def test_never_without_processors_is_the_canonical_search(length_penalty: float) -> None:
    for seed in range(20):
        assert same(*beside(seed, "never", length_penalty), 1e-5), seed


@pytest.mark.parametrize(("early_stopping", "length_penalty"), [(False, 1.0), (False, 2.0), (True, 1.0), (True, 2.0)])
def test_the_other_ways_to_stop_lose_texts(early_stopping: Any, length_penalty: float) -> None:
    """Never for a better one; and with False the bound is right where the length penalty is not above 0."""
    pairs = [beside(seed, early_stopping, length_penalty) for seed in range(30)]
    assert any(there[0][0].score < here[0][0].score - 1e-5 for there, here in pairs)
    assert all(there[0][0].score < here[0][0].score + 1e-5 for there, here in pairs)
    assert all(same(*beside(seed, False, length_penalty), 1e-5) for seed in range(20) for length_penalty in (0.0, -1.0))


def test_bans_are_not_renormalised() -> None:
    pairs = [beside(seed, "never", 0.0, NoRepeatNGram(1)) for seed in range(20)]
    assert not any(same(*pair, 1e-3) for pair in pairs)
    assert any([text.ids for text in there[0]] != [text.ids for text in here[0]] for there, here in pairs)


# -- networks ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """In float64, so that no rounding of a network decides between two texts; both search in float32."""
    from transformers import GPT2LMHeadModel

    shape = {"vocab_size": 97, "n_positions": 40, "n_embd": 36, "n_layer": 2, "n_head": 3}
    folder = tmp_path_factory.mktemp("beam")
    paired(random_reference(initializer_range=0.25, **shape), folder)
    theirs = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float64).eval()
    return Pair(theirs, GPT2.from_pretrained(folder, dtype=torch.float64), folder)


def network_case(number: int, eos_id: int, **changes: Any) -> Case:
    """Each of 8 x 5 x 3 combinations, with processors in turn."""
    beams, length_penalty = 1 + number % 8, LENGTH_PENALTIES[number // 8 % 5]
    early_stopping = EARLY_STOPPING[number // 40]
    choices = pairs(eos_id, 10)
    settings, processors = choices[number % len(choices)]
    prompts: tuple[tuple[int, ...], ...] = ((5, 9, 11), (20,), (8, 8, 30, 41, 6))
    if {"repetition_penalty", "no_repeat_ngram_size"} & settings.keys():
        prompts = prompts[:1]  # there the padding counts as ids that have occurred
    case = Case(prompts, 10, eos_id, beams, length_penalty, early_stopping, beams)
    return replace(case, settings=tuple(settings.items()), processors=tuple(processors), **changes)


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_random_networks(first: int, random_pair: Pair) -> None:
    """Three prompts of different lengths at once, padded on the left there. What often ends a text is chosen as eos."""
    with torch.no_grad():
        eos_id = int(random_pair.theirs(torch.tensor([[5, 9, 11]])).logits[0, -1].topk(3).indices[-1])
    lengths: list[int] = []
    for n in range(first, first + 10):
        case = network_case(7 * n % 120, eos_id)
        reference = theirs(random_pair.theirs, case, pad_id=96)
        assert same(ours(random_pair.ours, case), reference, 1e-5), case
        lengths += [len(text.ids) for row in reference for text in row]
    assert min(lengths) < 4
    assert max(lengths) == 10


@pytest.fixture(scope="module")
def storybook_there() -> Any:
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(STORYBOOK, dtype=torch.float32).eval()


# (settings there, processors here, beams, length penalty, early stopping): each from all prompts at once, or from one
STORIES = ["The fox and the", "They lived happily ever", "Lily and Ben were friends. They liked to play"]
TOLD: list[tuple[dict[str, Any], list[Processor], int, float, Any]] = [
    ({}, [], 3, 1.0, False),
    ({}, [], 5, 0.0, "never"),
    ({}, [], 2, -1.0, True),
    ({"no_repeat_ngram_size": 2}, [NoRepeatNGram(2)], 5, 1.0, True),
    ({"repetition_penalty": 1.3}, [RepetitionPenalty(1.3)], 4, 2.0, False),
]


@pytest.mark.parametrize(("settings", "processors", "beams", "length_penalty", "early_stopping"), TOLD)
def test_storybook(
    settings: dict[str, Any],
    processors: list[Processor],
    beams: int,
    length_penalty: float,
    early_stopping: Any,
    storybook: GPT2,
    storybook_there: Any,
    tokenizer: Tokenizer,
) -> None:
    """In float32: the networks' rounding is in the scores."""
    prompts = tuple(tuple(tokenizer.encode(story)) for story in STORIES)
    for rows in [prompts] if not settings else [prompts[:1], prompts[2:]]:
        case = Case(rows, 8, tokenizer.eos_id, beams, length_penalty, early_stopping, beams)
        case = replace(case, settings=tuple(settings.items()), processors=tuple(processors))
        assert same(ours(storybook, case), theirs(storybook_there, case, pad_id=tokenizer.eos_id), TOLERANCE)
