"""Every processor once more, from its rule alone: lists, `math`, and no tensor. Slow, short, and written without a look
at how the package does it, so that the two can be held against each other.

A plain version takes the processor for its parameters, the logits of one row, and what stands before. It gives every
outcome that chance can bring about, each with its weight.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from decoding import (
    DRY,
    XTC,
    BanSequences,
    BanWords,
    DynamicTemperature,
    EpsilonCutoff,
    EtaCutoff,
    Force,
    FrequencyPenalty,
    LogitBias,
    MinNewTokens,
    MinP,
    Mirostat,
    NoRepeatNGram,
    PLess,
    PresencePenalty,
    Processor,
    QuadraticSmoothing,
    RepetitionPenalty,
    Suppress,
    TableModel,
    TailFree,
    Temperature,
    TopA,
    TopH,
    TopK,
    TopNSigma,
    TopP,
    TypicalP,
)

Chain = tuple[Processor, ...]
Law = dict[tuple[int, ...], float]  # a text -> its probability
Logits = list[float]
State = Any  # what the processor remembers; None before the first step


class Context(NamedTuple):
    """What stands before the id to come."""

    prompt: list[int]
    new: list[int]
    eos_id: int | None


class Outcome(NamedTuple):
    """One way in which chance can fall."""

    weight: float
    logits: Logits
    after: Callable[[int], State] = lambda id: None  # the state for the next step, given the id that is chosen


Plain = Callable[[Any, Logits, Context, State], list[Outcome]]
PLAIN: dict[type, Plain] = {}  # a plain version for every class of processor


def reshapes(cls: type) -> Callable[..., Any]:
    """Enter a rule that needs the logits alone: (processor, logits) -> logits."""

    def enter(rule: Callable[[Any, Logits], Logits]) -> Callable[[Any, Logits], Logits]:
        PLAIN[cls] = lambda processor, logits, context, state: [Outcome(1.0, rule(processor, logits))]
        return rule

    return enter


def looks_back(cls: type) -> Callable[..., Any]:
    """Enter a rule that needs the ids so far: (processor, logits, context) -> logits."""

    def enter(rule: Callable[[Any, Logits, Context], Logits]) -> Callable[[Any, Logits, Context], Logits]:
        PLAIN[cls] = lambda processor, logits, context, state: [Outcome(1.0, rule(processor, logits, context))]
        return rule

    return enter


def branches(cls: type) -> Callable[[Plain], Plain]:
    """Enter a rule that tosses a coin, or remembers something."""

    def enter(rule: Plain) -> Plain:
        PLAIN[cls] = rule
        return rule

    return enter


# -- what rules are made of -------------------------------------------------------------------------------------------


def softmax(logits: Sequence[float]) -> list[float]:
    best = max(logits)
    weights = [math.exp(logit - best) for logit in logits]
    return [weight / math.fsum(weights) for weight in weights]


def entropy(probabilities: Sequence[float]) -> float:
    return -math.fsum(p * math.log(p) for p in probabilities if p > 0)


def ranking(logits: Sequence[float]) -> list[int]:
    """The ids that are left, likeliest first, of equals the lowest first."""
    left = [id for id, logit in enumerate(logits) if logit > -math.inf]
    return sorted(left, key=lambda id: (-logits[id], id))


def keep(logits: Logits, ids: Collection[int]) -> Logits:
    return [logit if id in ids else -math.inf for id, logit in enumerate(logits)]


def drop(logits: Logits, ids: Collection[int | None]) -> Logits:
    return [-math.inf if id in ids else logit for id, logit in enumerate(logits)]


def keep_reaching(logits: Logits, threshold: float) -> Logits:
    """The ids of at least this probability, and the likeliest in any case."""
    reaching = [id for id, p in enumerate(softmax(logits)) if p >= threshold]
    return keep(logits, reaching or ranking(logits)[:1])


def smallest_set(logits: Logits, order: Sequence[int], mass: float) -> Logits:
    """Of the ids in this order, as few as hold the mass."""
    p = softmax(logits)
    m = next((m for m in range(1, len(order)) if math.fsum(p[id] for id in order[:m]) >= mass), len(order))
    return keep(logits, order[:m])


def said(processor: Any, context: Context) -> list[int]:
    """The ids that count for a rule with a window, or with a choice whether the prompt counts."""
    ids = [*context.prompt, *context.new] if processor.include_prompt else context.new
    return ids if getattr(processor, "window", None) is None else ids[-processor.window :]


# -- temperatures -----------------------------------------------------------------------------------------------------


def divided(logits: Logits, T: float) -> Logits:
    return [logit / T for logit in logits] if T > 0 else keep(logits, ranking(logits)[:1])


@reshapes(Temperature)
def temperature(processor: Temperature, logits: Logits) -> Logits:
    return divided(logits, processor.temperature)


@reshapes(DynamicTemperature)
def dynamic_temperature(processor: DynamicTemperature, logits: Logits) -> Logits:
    n = len(ranking(logits))
    share = entropy(softmax(logits)) / math.log(n) if n > 1 else 0.0
    return divided(logits, processor.low + (processor.high - processor.low) * share**processor.exponent)


@reshapes(QuadraticSmoothing)
def quadratic_smoothing(processor: QuadraticSmoothing, logits: Logits) -> Logits:
    square, cube = (3 - processor.curve) / 2 * processor.factor, (processor.curve - 1) / 2 * processor.factor
    smoothed = list(logits)
    for id in ranking(logits):
        d = max(logits) - logits[id]
        smoothed[id] = max(logits) - square * d**2 - cube * d**3
    return logits if processor.factor == 0 else smoothed


# -- truncations ------------------------------------------------------------------------------------------------------


@reshapes(TopK)
def top_k(processor: TopK, logits: Logits) -> Logits:
    return keep(logits, ranking(logits)[: processor.k])


@reshapes(TopP)
def top_p(processor: TopP, logits: Logits) -> Logits:
    return logits if processor.p == 1 else smallest_set(logits, ranking(logits), processor.p)


@reshapes(MinP)
def min_p(processor: MinP, logits: Logits) -> Logits:
    return keep_reaching(logits, processor.p * max(softmax(logits)))


@reshapes(TopA)
def top_a(processor: TopA, logits: Logits) -> Logits:
    return keep_reaching(logits, processor.a * max(softmax(logits)) ** 2)


@reshapes(EpsilonCutoff)
def epsilon_cutoff(processor: EpsilonCutoff, logits: Logits) -> Logits:
    return keep_reaching(logits, processor.epsilon)


@reshapes(EtaCutoff)
def eta_cutoff(processor: EtaCutoff, logits: Logits) -> Logits:
    unsure = math.sqrt(processor.epsilon) * math.exp(-entropy(softmax(logits)))
    return keep_reaching(logits, min(processor.epsilon, unsure))


@reshapes(PLess)
def p_less(processor: PLess, logits: Logits) -> Logits:
    return keep_reaching(logits, math.fsum(p * p for p in softmax(logits)))


@reshapes(TopNSigma)
def top_n_sigma(processor: TopNSigma, logits: Logits) -> Logits:
    left = ranking(logits)
    lowest = max(logits) - processor.n * statistics.pstdev([logits[id] for id in left])
    return keep(logits, [id for id in left if logits[id] >= lowest])


@reshapes(TypicalP)
def typical_p(processor: TypicalP, logits: Logits) -> Logits:
    p = softmax(logits)
    distances = {id: abs(-math.log(p[id]) - entropy(p)) for id in range(len(p)) if p[id] > 0}
    order = sorted(distances, key=lambda id: (distances[id], id))
    return logits if processor.mass == 1 else smallest_set(logits, order, processor.mass)


@reshapes(TopH)
def top_h(processor: TopH, logits: Logits) -> Logits:
    ranked, m = ranking(logits), 1
    allowed = processor.alpha * entropy(softmax(logits)) + 1e-12  # for rounding: all ids have their own entropy
    while m < len(ranked) and entropy(softmax([logits[id] for id in ranked[: m + 1]])) <= allowed:
        m += 1
    return keep(logits, ranked[:m])


@reshapes(TailFree)
def tail_free(processor: TailFree, logits: Logits) -> Logits:
    p = sorted((share for share, logit in zip(softmax(logits), logits, strict=True) if logit > -math.inf), reverse=True)
    bends = [abs(p[j] - 2 * p[j + 1] + p[j + 2]) for j in range(len(p) - 2)]
    if processor.z == 1 or not any(bends):
        return logits
    shares = [math.fsum(bends[: j + 1]) / math.fsum(bends) for j in range(len(bends))]
    return keep(logits, ranking(logits)[: 1 + sum(share <= processor.z for share in shares)])


# -- chance and memory ------------------------------------------------------------------------------------------------


@branches(XTC)
def xtc(processor: XTC, logits: Logits, context: Context, state: State) -> list[Outcome]:
    p = softmax(logits)
    top = [id for id in ranking(logits) if p[id] >= processor.threshold]
    return [
        Outcome(processor.probability, drop(logits, top[:-1])),
        Outcome(1 - processor.probability, logits),
    ]


@branches(Mirostat)
def mirostat(processor: Mirostat, logits: Logits, context: Context, mu: float | None) -> list[Outcome]:
    mu = 2 * processor.tau if mu is None else mu
    surprises = [-math.log2(p) if p > 0 else math.inf for p in softmax(logits)]
    kept = [id for id in ranking(logits) if surprises[id] <= mu] or ranking(logits)[:1]
    if processor.version == 1:
        kept = ranking(logits)[: zipf_k(softmax(logits), mu)]

    def adapted(id: int) -> float:
        return mu - processor.eta * (surprises[id] - processor.tau)

    return [Outcome(1.0, keep(logits, kept), adapted)]


def zipf_k(probabilities: Sequence[float], mu: float) -> int:
    """How many ids have a surprise of about mu at most, by the paper's estimate (algorithm 1)."""
    p = sorted([p for p in probabilities if p > 0], reverse=True)
    t = [math.log((i + 1) / i) for i in range(1, len(p))]
    b = [math.log(p[i - 1] / p[i]) for i in range(1, len(p))]
    s = math.fsum(x * y for x, y in zip(t, b, strict=True)) / math.fsum(x * x for x in t)
    k = ((s - 1) * 2**mu / (1 - len(p) ** -(s - 1))) ** (1 / s)
    return round(k) + 1


# -- penalties --------------------------------------------------------------------------------------------------------


@looks_back(RepetitionPenalty)
def repetition_penalty(processor: RepetitionPenalty, logits: Logits, context: Context) -> Logits:
    def penalised(logit: float) -> float:
        return logit / processor.penalty if logit > 0 else logit * processor.penalty

    seen = said(processor, context)
    return [penalised(logit) if id in seen else logit for id, logit in enumerate(logits)]


@looks_back(PresencePenalty)
def presence_penalty(processor: PresencePenalty, logits: Logits, context: Context) -> Logits:
    seen = said(processor, context)
    return [logit - processor.penalty if id in seen else logit for id, logit in enumerate(logits)]


@looks_back(FrequencyPenalty)
def frequency_penalty(processor: FrequencyPenalty, logits: Logits, context: Context) -> Logits:
    seen = said(processor, context)
    return [logit - processor.penalty * seen.count(id) for id, logit in enumerate(logits)]


@looks_back(DRY)
def dry(processor: DRY, logits: Logits, context: Context) -> Logits:
    ids = said(processor, context)

    def repeated(x: int) -> int:
        """The most of the last ids that stand before an earlier x as well."""
        longest = 0
        for j in [j for j, id in enumerate(ids) if id == x]:
            for k in range(1, j + 1):
                end = ids[len(ids) - k :]
                if ids[j - k : j] == end and not set(end) & set(processor.breakers):
                    longest = max(longest, k)
        return longest

    def penalty(x: int) -> float:
        beyond = repeated(x) - processor.allowed_length
        return processor.multiplier * processor.base**beyond if beyond >= 0 and x not in processor.breakers else 0.0

    return [logit - penalty(id) for id, logit in enumerate(logits)]


@looks_back(NoRepeatNGram)
def no_repeat_ngram(processor: NoRepeatNGram, logits: Logits, context: Context) -> Logits:
    ids, n = said(processor, context), processor.n
    ngrams = [ids[i : i + n] for i in range(len(ids) - n + 1)]
    return drop(logits, [id for id in range(len(logits)) if [*ids, id][-n:] in ngrams])


# -- bias and bans ----------------------------------------------------------------------------------------------------


@reshapes(LogitBias)
def logit_bias(processor: LogitBias, logits: Logits) -> Logits:
    return [logit + processor.biases.get(id, 0.0) for id, logit in enumerate(logits)]


@reshapes(Suppress)
def suppress(processor: Suppress, logits: Logits) -> Logits:
    return drop(logits, processor.ids)


@looks_back(Force)
def force(processor: Force, logits: Logits, context: Context) -> Logits:
    step = len(context.new)
    return keep(logits, [processor.ids[step]]) if step in processor.ids else logits


@looks_back(MinNewTokens)
def min_new_tokens(processor: MinNewTokens, logits: Logits, context: Context) -> Logits:
    return drop(logits, [context.eos_id]) if len(context.new) < processor.n else logits


@looks_back(BanSequences)
def ban_sequences(processor: BanSequences, logits: Logits, context: Context) -> Logits:
    return without_endings(logits, processor.sequences, context)


@looks_back(BanWords)
def ban_words(processor: BanWords, logits: Logits, context: Context) -> Logits:
    words = [word.strip() for word in processor.words]
    cases = [case for word in words for case in (word, word.lower(), word[0].upper() + word[1:], word.upper())]
    forms = [*cases, *(" " + case for case in cases)]
    return without_endings(logits, [processor.tokenizer.encode(form) for form in forms], context)


def without_endings(logits: Logits, banned: Collection[Sequence[int]], context: Context) -> Logits:
    """Without the ids that would let the text end like that."""
    ids = [*context.prompt, *context.new]
    ends = [id for id in range(len(logits)) for one in banned if [*ids, id][-len(one) :] == list(one)]
    return drop(logits, ends)


# -- all texts ---------------------------------------------------------------------------------------------------------


class EmptiedError(Exception):
    """A processor left no id, and which."""


def brute_force(
    model: TableModel, prompt: list[int], chain: Chain, steps: int, eos_id: int | None, greedy: bool = False
) -> Law:
    """All continuations of a prompt and their probabilities, one branch after another."""
    found: dict[tuple[int, ...], list[float]] = {}

    def text(new: list[int], weight: float, states: list[State]) -> None:
        """Every way in which a text goes on, that has come about with this weight."""
        if len(new) == steps or new[-1:] == [eos_id]:
            found.setdefault(tuple(new), []).append(weight)
            return
        context = Context(prompt, new, eos_id)
        process(context, weight, model.logits_after([*prompt, *new]).tolist(), states, [])

    def process(
        context: Context, weight: float, logits: list[float], states: list[State], after: list[Callable[[int], State]]
    ) -> None:
        """Every way in which the processors that have not acted yet let this step go on."""
        if len(after) == len(chain):
            for id, p in enumerate(softmax(keep(logits, ranking(logits)[:1]) if greedy else logits)):
                if p > 0:
                    text([*context.new, id], weight * p, [state(id) for state in after])
            return
        processor = chain[len(after)]
        for outcome in PLAIN[type(processor)](processor, logits, context, states[len(after)]):
            if outcome.weight > 0:
                if not ranking(outcome.logits):
                    raise EmptiedError(repr(processor))
                process(context, weight * outcome.weight, outcome.logits, states, [*after, outcome.after])

    text([], 1.0, [None] * len(chain))
    return {ids: math.fsum(weights) for ids, weights in found.items()}
