"""Examples of every processor and every strategy, for the tests that hold whatever the rule is.

A new processor or strategy has to be entered here: `tests/decoding/test_metamorphic.py` fails otherwise. A new
processor also needs a plain version in `tests/decoding/plain_processors.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import decoding
import decoding.strategies
from decoding import (
    DRY,
    XTC,
    ArithmeticSampling,
    BanSequences,
    BanWords,
    BeamSearch,
    BestOfN,
    BlockVerification,
    ConstrainedBeamSearch,
    ContrastiveSearch,
    DiverseBeamSearch,
    DrafterInvariant,
    DynamicTemperature,
    EpsilonCutoff,
    EtaCutoff,
    ExactSearch,
    Force,
    FrequencyPenalty,
    Greedy,
    Jacobi,
    LogitBias,
    MajorityVote,
    MinimumBayesRisk,
    MinNewTokens,
    MinP,
    Mirostat,
    NoRepeatNGram,
    PLess,
    PresencePenalty,
    Processor,
    PromptLookup,
    QuadraticSmoothing,
    RepetitionPenalty,
    Sample,
    Speculative,
    StochasticBeamSearch,
    Strategy,
    Suppress,
    TableModel,
    TailFree,
    Temperature,
    Tokenizer,
    TopA,
    TopH,
    TopK,
    TopNSigma,
    TopP,
    TransformersBeamSearch,
    TypicalP,
)
from decoding.drafts import DraftSession, DraftTask, ModelDraft

VOCABULARY = 12  # ids of the distributions that the examples are tried on


@dataclass(frozen=True)
class ProcessorExample:
    """A processor with parameters, and which laws it is under.

    identity          its parameters change nothing at all (law 2)
    shift_invariant   adding the same number to all logits changes nothing but that number
    needs_prefix      it depends on the ids so far
    draws             it makes random choices, so that it needs a chance
    may_empty         a ban, and no truncation: it may remove all ids that are left
    """

    processor: Processor
    identity: bool = False
    shift_invariant: bool = True
    needs_prefix: bool = False
    draws: bool = False
    may_empty: bool = False


@dataclass(frozen=True)
class StrategyExample:
    """A strategy with parameters.

    deterministic     it makes no random choices
    shift_invariant   adding the same number to all logits changes nothing
    needs_layers      it takes models only that show hidden states
    """

    strategy: Strategy
    deterministic: bool = False
    shift_invariant: bool = True
    needs_layers: bool = False


@dataclass(frozen=True)
class Stranger:
    """Drafts for any model, and knows nothing of it: another table, with as many ids."""

    def start(self, task: DraftTask) -> DraftSession:
        return ModelDraft(TableModel.random(task.target.n_vocab, 64, seed=23)).start(task)


class FourTokens(Tokenizer):
    """A tokenizer whose first ids spell texts of a, 7 and spaces: digits have no capitals, of which it knows none."""

    TOKENS = (b"a", b"7", b" ", b" 7")

    def __init__(self) -> None:
        self.eos_id = 0

    @property
    def n_vocab(self) -> int:
        return len(self.TOKENS)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        ids: list[int] = []
        while text:
            id = max((id for id, token in enumerate(self.TOKENS) if text.startswith(token.decode())), key=self._length)
            text = text[self._length(id) :]
            ids.append(id)
        return ids

    def _length(self, id: int) -> int:
        return len(self.TOKENS[id])

    def token_bytes(self, id: int) -> bytes:
        return self.TOKENS[id]


PROCESSORS = [
    ProcessorExample(Temperature(0.0)),
    ProcessorExample(Temperature(1e-4)),
    ProcessorExample(Temperature(0.7)),
    ProcessorExample(Temperature(1.0), identity=True),
    ProcessorExample(Temperature(1.8)),
    ProcessorExample(DynamicTemperature(0.5, 1.5)),
    ProcessorExample(DynamicTemperature(0.0, 2.0, exponent=0.5)),
    ProcessorExample(DynamicTemperature(1.0, 1.0), identity=True),
    ProcessorExample(QuadraticSmoothing(0.3)),
    ProcessorExample(QuadraticSmoothing(0.2, curve=2.0)),
    ProcessorExample(QuadraticSmoothing(0.0), identity=True),
    ProcessorExample(TopK(1)),
    ProcessorExample(TopK(3)),
    ProcessorExample(TopK(VOCABULARY), identity=True),
    ProcessorExample(TopK(10**9), identity=True),
    ProcessorExample(TopP(1e-9)),
    ProcessorExample(TopP(0.6)),
    ProcessorExample(TopP(0.95)),
    ProcessorExample(TopP(1.0), identity=True),
    ProcessorExample(MinP(0.2)),
    ProcessorExample(MinP(1.0)),
    ProcessorExample(MinP(0.0), identity=True),
    ProcessorExample(TopA(0.3)),
    ProcessorExample(TopA(0.0), identity=True),
    ProcessorExample(EpsilonCutoff(0.1)),
    ProcessorExample(EpsilonCutoff(0.9)),
    ProcessorExample(EpsilonCutoff(0.0), identity=True),
    ProcessorExample(EtaCutoff(0.1)),
    ProcessorExample(EtaCutoff(0.9)),
    ProcessorExample(EtaCutoff(0.0), identity=True),
    ProcessorExample(TopNSigma(0.0)),
    ProcessorExample(TopNSigma(1.0)),
    ProcessorExample(PLess()),
    ProcessorExample(TypicalP(0.3)),
    ProcessorExample(TypicalP(0.9)),
    ProcessorExample(TypicalP(1.0), identity=True),
    ProcessorExample(TopH(0.4)),
    ProcessorExample(TopH(0.8)),
    ProcessorExample(TopH(1.0), identity=True),
    ProcessorExample(TailFree(0.5)),
    ProcessorExample(TailFree(0.95)),
    ProcessorExample(TailFree(1.0), identity=True),
    ProcessorExample(XTC(0.1, 0.5), draws=True),
    ProcessorExample(XTC(0.2, 1.0)),
    ProcessorExample(XTC(0.1, 0.0), identity=True),
    ProcessorExample(XTC(1.0, 1.0), identity=True),
    ProcessorExample(Mirostat(1.0, 0.1)),
    ProcessorExample(Mirostat(1.5, 2.0)),
    ProcessorExample(Mirostat(0.7, 0.5, version=1)),
    ProcessorExample(Mirostat(0.5, 2.0, version=1)),
    ProcessorExample(RepetitionPenalty(1.5), needs_prefix=True, shift_invariant=False),
    ProcessorExample(RepetitionPenalty(0.8, window=2, include_prompt=False), needs_prefix=True, shift_invariant=False),
    ProcessorExample(RepetitionPenalty(1.0), needs_prefix=True, identity=True),
    ProcessorExample(PresencePenalty(0.5), needs_prefix=True),
    ProcessorExample(PresencePenalty(-0.5, window=2, include_prompt=True), needs_prefix=True),
    ProcessorExample(PresencePenalty(0.0), needs_prefix=True, identity=True),
    ProcessorExample(FrequencyPenalty(0.5), needs_prefix=True),
    ProcessorExample(FrequencyPenalty(0.5, window=3, include_prompt=True), needs_prefix=True),
    ProcessorExample(FrequencyPenalty(0.0), needs_prefix=True, identity=True),
    ProcessorExample(NoRepeatNGram(1), needs_prefix=True, may_empty=True),
    ProcessorExample(NoRepeatNGram(2), needs_prefix=True, may_empty=True),
    ProcessorExample(NoRepeatNGram(2, include_prompt=False), needs_prefix=True, may_empty=True),
    ProcessorExample(DRY(0.8, allowed_length=1), needs_prefix=True),
    ProcessorExample(DRY(0.5, base=2.0, allowed_length=1, breakers=[2], window=3), needs_prefix=True),
    ProcessorExample(DRY(0.0), needs_prefix=True, identity=True),
    ProcessorExample(LogitBias({0: 1.5, 3: -0.5})),
    ProcessorExample(LogitBias({}), identity=True),
    ProcessorExample(Suppress([1, 3]), may_empty=True),
    ProcessorExample(Suppress([]), identity=True),
    ProcessorExample(Force({1: 3}), needs_prefix=True, may_empty=True),
    ProcessorExample(Force({}), needs_prefix=True, identity=True),
    ProcessorExample(MinNewTokens(2), needs_prefix=True, may_empty=True),
    ProcessorExample(MinNewTokens(0), needs_prefix=True, identity=True),
    ProcessorExample(BanSequences([[2], [3, 1], [3, 3, 0]]), needs_prefix=True, may_empty=True),
    ProcessorExample(BanSequences([]), needs_prefix=True, identity=True),
    ProcessorExample(BanWords(["77"], FourTokens()), needs_prefix=True, may_empty=True),
]

# What users write: several processors, in different orders.
COMBINATIONS: list[tuple[Processor, ...]] = [
    (Temperature(0.7), TopK(3)),
    (TopK(3), Temperature(0.7)),
    (Temperature(1.8), TopP(0.8)),
    (TopP(0.8), Temperature(1.8)),
    (TopK(3), TopP(0.6)),
    (TopP(0.9), TopK(2)),
    (Temperature(0.8), TopK(3), TopP(0.95)),
    (MinP(0.1), Temperature(1.8)),
    (Temperature(1.8), MinP(0.1)),
    (TypicalP(0.9), TopNSigma(1.5)),
    (XTC(0.2, 0.4), Temperature(0.7)),
    (TopK(3), Mirostat(1.0, 0.3)),
    (XTC(0.2, 0.4), Mirostat(1.0, 0.3), FrequencyPenalty(0.4)),
    (PresencePenalty(0.5), DRY(0.8, allowed_length=1), TopP(0.9)),
]
# These depend on the zero of the logits.
SHIFT_VARIANT: list[tuple[Processor, ...]] = [
    (Temperature(0.7), TopK(3), RepetitionPenalty(1.3)),
    (RepetitionPenalty(1.3), Temperature(0.7), TopP(0.9)),
]
CHAINS: list[tuple[Processor, ...]] = [
    (),
    *((example.processor,) for example in PROCESSORS),
    *COMBINATIONS,
    *SHIFT_VARIANT,
]

STRATEGIES = [
    StrategyExample(Greedy(), deterministic=True),
    StrategyExample(Greedy(Temperature(0.7), TopK(3)), deterministic=True),
    StrategyExample(Greedy(NoRepeatNGram(2), FrequencyPenalty(0.3)), deterministic=True),
    StrategyExample(Sample()),
    StrategyExample(Sample(TopP(0.6))),
    *(StrategyExample(Sample(*chain)) for chain in COMBINATIONS),
    *(StrategyExample(Sample(*chain), shift_invariant=False) for chain in SHIFT_VARIANT),
    StrategyExample(BeamSearch(), deterministic=True),
    StrategyExample(BeamSearch(beams=1), deterministic=True),
    StrategyExample(BeamSearch(Temperature(0.7), TopK(3), beams=2, length_penalty=0.7), deterministic=True),
    StrategyExample(BeamSearch(NoRepeatNGram(2), beams=3, stopping="first"), deterministic=True),
    StrategyExample(
        BeamSearch(TopK(3), Mirostat(1.0, 0.3), beams=3, length_penalty=-0.5, stopping="exhaust"), deterministic=True
    ),
    StrategyExample(TransformersBeamSearch(), deterministic=True),
    StrategyExample(TransformersBeamSearch(TopK(3), beams=3, early_stopping=True, candidates=2), deterministic=True),
    StrategyExample(DiverseBeamSearch(groups=2, beams=4), deterministic=True),
    StrategyExample(DiverseBeamSearch(NoRepeatNGram(2), groups=3, beams=3, length_penalty=1.0), deterministic=True),
    StrategyExample(ConstrainedBeamSearch(phrases=[[7], [2, 2]]), deterministic=True),
    StrategyExample(ConstrainedBeamSearch(Temperature(0.7), phrases=[[[7], [8]]], beams=3), deterministic=True),
    StrategyExample(StochasticBeamSearch(k=3)),
    StrategyExample(StochasticBeamSearch(Temperature(0.7), TopK(3), k=1)),
    StrategyExample(ArithmeticSampling(n=3)),
    StrategyExample(ArithmeticSampling(TopP(0.8), Mirostat(1.0, 0.3), n=2)),
    StrategyExample(ExactSearch(TopK(3), budget=30), deterministic=True),
    StrategyExample(ExactSearch(Mirostat(0.5, 0.3), length_penalty=0.5, budget=10), deterministic=True),
    StrategyExample(BestOfN(n=3)),
    StrategyExample(BestOfN(XTC(0.2, 0.4), n=2)),
    StrategyExample(MinimumBayesRisk(TopK(3), n=3)),
    StrategyExample(MajorityVote(TopK(2), n=3)),
    StrategyExample(ContrastiveSearch(), deterministic=True, needs_layers=True),
    StrategyExample(ContrastiveSearch(NoRepeatNGram(2), k=2, alpha=0.3), deterministic=True, needs_layers=True),
    StrategyExample(Speculative(draft=Stranger())),
    StrategyExample(Speculative(XTC(0.2, 0.4), Temperature(0.7), draft=Stranger(), length=2)),
    StrategyExample(Speculative(TopK(3), Mirostat(1.0, 0.3), draft=PromptLookup(1), length=3)),
    StrategyExample(Speculative(Temperature(0.0), draft=Stranger()), deterministic=True),
    StrategyExample(BlockVerification(TopP(0.8), draft=Stranger(), length=3)),
    StrategyExample(BlockVerification(TopK(3), Mirostat(1.0, 0.3), draft=PromptLookup(2))),
    StrategyExample(DrafterInvariant(FrequencyPenalty(0.5), TopP(0.9), draft=Stranger())),
    StrategyExample(DrafterInvariant(draft=PromptLookup(1), length=1)),
    StrategyExample(Jacobi(), deterministic=True),
    StrategyExample(Jacobi(NoRepeatNGram(2), FrequencyPenalty(0.3), window=3), deterministic=True),
]


def processor_classes() -> set[type]:
    """Every processor of `decoding.processors`, exported or not. Those that tests make up do not count."""
    found: set[type] = set()
    waiting: list[type] = [Processor]
    while waiting:
        subclasses: list[type] = waiting.pop().__subclasses__()
        waiting += subclasses
        found |= {cls for cls in subclasses if cls.__module__.startswith("decoding.processors.")}
    return found


def strategy_classes() -> set[type]:
    """Every strategy that the package exports."""
    exported = [getattr(package, name) for package in (decoding, decoding.strategies) for name in package.__all__]
    return {cls for cls in exported if isinstance(cls, type) and hasattr(cls, "run") and cls is not Strategy}


def missing(classes: Iterable[type], examples: Iterable[Any]) -> set[type]:
    """The classes that have no example."""
    return set(classes) - {type(example) for example in examples}
