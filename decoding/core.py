"""The types that every strategy is made of.

    text --Tokenizer--> ids --Session.extend--> logits of the next id
         --processors, in the order the user wrote them--> logits, some of them -inf
         --argmax, or a Chance--> one id a row --> Step --> text

Some of it is wider than greedy decoding and sampling need (sessions that rewind, processors with a state, purposes of
chance): beams, drafts and feedback control are to fit without special cases. Pass over that at first.

Letters in the shape comments:  R rows   T ids   V ids in the vocabulary   K choices
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import IntEnum
from numbers import Integral, Rational, Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .rounds import Round
    from .search_tree import SearchTree
    from .trace import StepTrace

FinishReason = Literal["eos", "stop", "length", "context"]
_LONG = 40  # characters of a parameter that are still printed

State = tuple[Tensor, ...]  # what a processor remembers: tensors with one entry a row; () for nothing


class Session(Protocol):
    """One running batch of a language model. Rows are ragged: each has its own length, and there is no padding."""

    @property
    def lengths(self) -> Tensor:
        """(R,) int64: how many ids each row has."""
        ...

    def extend(self, ids: Tensor, n: Tensor | None = None, keep: int = 1) -> Tensor:
        """Append the first n[r] of ids (R, T) to row r; -> logits (R, keep, V) behind its last `keep` new ids.

        The first call brings the prompts, whole: a model that puts another prompt in their place has to know them.
        """
        ...

    def select(self, rows: Tensor) -> None:
        """Replace the rows by those numbered `rows` (R',): beams change parents, finished rows leave."""
        ...

    def rewind(self, lengths: Tensor) -> None:
        """Shorten row r to lengths[r] ids: rejected drafts go."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """Anything that turns ids into logits: GPT-2, a table, two models at once."""

    @property
    def n_vocab(self) -> int: ...

    @property
    def n_positions(self) -> int:
        """The longest sequence that a session takes, in ids."""
        ...

    def open(self) -> Session: ...


class HiddenSession(Session, Protocol):
    """A session that shows what its logits are made from: an extra, which DoLa and contrastive search need."""

    def extend_hidden(
        self, ids: Tensor, n: Tensor | None = None, keep: int = 1, layers: Sequence[int] | None = None
    ) -> Tensor:
        """As `extend`, but hidden states (R, keep, L, C): behind each of so many layers, None for the last alone."""
        ...

    def head(self, hidden: Tensor) -> Tensor:
        """The logits (..., V) that hidden states (..., C) come to; of NaN they are NaN."""
        ...


@runtime_checkable
class LayeredModel(LanguageModel, Protocol):
    """A language model that can be looked into: GPT-2, not a table."""

    @property
    def n_layer(self) -> int: ...

    def open(self) -> HiddenSession: ...

    def early_exit(self, layers: int) -> LanguageModel:
        """The language model of the first so many layers, with the head behind them."""
        ...


class Prefix(NamedTuple):
    """What each row consists of so far. A value: nothing ever changes one, `append` and `select` make new ones."""

    ids: Tensor  # (R, T) int64: prompt and new ids; behind a row's own length any id may stand
    lengths: Tensor  # (R,) int64: how many of them count
    prompt_lengths: Tensor  # (R,) int64: how many of these are the prompt
    samples: Tensor  # (R,) int64: the number of this sample among those of its prompt
    eos_id: int | None = None

    @classmethod
    def of(
        cls,
        prompts: Sequence[Sequence[int]],
        samples: Sequence[int] | None = None,
        eos_id: int | None = None,
        device: torch.device | str = "cpu",
    ) -> Prefix:
        """The prefix whose rows are these prompts, with nothing generated yet."""
        ids, lengths = ragged(prompts)
        numbers = torch.tensor([0] * len(prompts) if samples is None else list(samples), dtype=torch.int64)
        return cls(ids.to(device), lengths.to(device), lengths.to(device), numbers.to(device), eos_id)

    @property
    def steps(self) -> Tensor:
        """(R,) how many ids have been generated, which is also the number of the step to come."""
        return self.lengths - self.prompt_lengths

    def append(self, ids: Tensor) -> Prefix:
        """Every row with one more id; ids (R,)."""
        longer = torch.cat([self.ids, ids[:, None]], dim=1)  # (R, T + 1): right for the longest rows
        longer.scatter_(1, self.lengths[:, None], ids[:, None])  # and for the others
        return self._replace(ids=longer, lengths=self.lengths + 1)

    def select(self, rows: Tensor) -> Prefix:
        """The rows with these numbers, (R',)."""
        return self._replace(
            ids=self.ids[rows],
            lengths=self.lengths[rows],
            prompt_lengths=self.prompt_lengths[rows],
            samples=self.samples[rows],
        )


def ragged(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as ids (R, T), filled up with zeros on the right, and their lengths (R,)."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for r, row in enumerate(rows):
        ids[r, : len(row)] = torch.tensor(list(row), dtype=torch.int64)
    return ids, lengths


def check_not_empty(ids: Sequence[int], which: str = "the prompt") -> None:
    """Raise ValueError where there is nothing to continue."""
    if not ids:
        raise ValueError(f"{which} is empty; a language model needs at least one id to predict the next from")


def check_prompts(model: LanguageModel, prompts: Sequence[Sequence[int]]) -> None:
    """Raise ValueError, in words, for prompts that no strategy can continue."""
    if not prompts:
        raise ValueError("there is no prompt: give at least one")
    for number, ids in enumerate(prompts):
        which = f"prompt {number}" if len(prompts) > 1 else "the prompt"
        check_not_empty(ids, which)
        if len(ids) > model.n_positions:
            raise ValueError(
                f"{which} has {len(ids)} ids, {len(ids) - model.n_positions} more than the model's "
                f"{model.n_positions} positions; shorten it"
            )
        if not 0 <= min(ids) <= max(ids) < model.n_vocab:
            raise ValueError(f"{which} has ids outside of the vocabulary, 0 to {model.n_vocab - 1}")


def check_positions(lengths: Tensor, n: Tensor | int, n_positions: int) -> None:
    """Raise ValueError where rows of these lengths, n ids longer, would outgrow a model's positions."""
    longest = int((lengths + n).max())
    if longest > n_positions:
        raise ValueError(
            f"this model has {n_positions} positions; a row would come to {longest} ids, "
            f"{longest - n_positions} too many"
        )


class Purpose(IntEnum):
    """What a random choice is for. Part of the key of its noise, so that two purposes never share any."""

    TOKEN = 0
    COIN = 1
    DRAFT = 2
    ACCEPTANCE = 3
    RESIDUAL = 4


class Chance(Protocol):
    """Where every random choice is made. `decoding.chance` has the implementations."""

    def choose(self, logits: Tensor, purpose: Purpose, prefix: Prefix) -> Tensor:
        """(R, K) unnormalised log-probabilities -> (R,) a choice below K in each row, never one that is -inf."""
        ...

    def uniform(self, n: int, purpose: Purpose, prefix: Prefix) -> Tensor:
        """(R, n) numbers of dtype float64, strictly between 0 and 1."""
        ...


class Removal(NamedTuple):
    """An id that a processor removed, in one row, and all that may explain it."""

    id: int
    before: Tensor  # (V,) the logits that the processor got
    after: Tensor  # (V,) and those that it left
    prefix: Prefix  # of this one row
    name: Callable[[int], str]  # what an id is called


class Processor:
    """Reshapes the distribution of the next id: a pure function of logits and prefix.

    >>> TopP(0.9)(logits)            # (..., V) -> (..., V), on its own
    >>> Sample(Temperature(0.8), TopP(0.9))                 # in a strategy, in this order

    A processor overrides `process`. One that remembers something between steps, or draws, overrides `start` and `step`.
    One that removes ids says in `reason` why it did.
    """

    @property
    def purpose(self) -> Purpose | None:
        """What it draws for, None where it does not; no two of a chain may share one."""
        return None

    def __call__(self, logits: Tensor, prefix: Prefix | None = None) -> Tensor:
        """(..., V) -> (..., V). A removed id becomes -inf. Half precision is widened.

        The argument is not changed, but where nothing changes it is what comes back: write to neither in place. A
        processor that depends on the ids so far takes (R, V), a row for each of the prefix's.
        """
        return self.process(widen(logits), prefix)

    def process(self, logits: Tensor, prefix: Prefix | None) -> Tensor:
        """The rule itself, on logits of at least float32."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """As one writes it: TopP(0.9). What has its default is left out, and long values are only counted."""
        arguments: list[str] = []
        items: Sequence[Field[Any]] = fields(self) if is_dataclass(self) else ()
        for item in items:
            value = getattr(self, item.name)
            shown = written(value)
            if item.repr and item.default is MISSING:
                arguments.append(shown)
            elif item.repr and value != item.default:
                arguments.append(f"{item.name}={shown}")
        return f"{type(self).__name__}({', '.join(arguments)})"

    def start(self, rows: int) -> State:
        """What it remembers before the first step."""
        return ()

    def step(self, logits: Tensor, prefix: Prefix, state: State, chance: Chance) -> tuple[Tensor, State]:
        """One step of a generation: logits (R, V) and state -> logits (R, V) and the state for the next step."""
        return self(logits, prefix), state

    def reason(self, removal: Removal) -> str:
        """Why it removed this id, as the end of a sentence: "the 3 ids above it already hold 91.2 %"."""
        return "it is not one of the ids that stay"


def written(value: object) -> str:
    """A parameter as one writes it: as `repr`, but a collection in square brackets, and a long one only counted."""
    shown = _bracketed(value)
    return f"<{len(value)} values>" if len(shown) > _LONG and isinstance(value, Sized) else shown


def _bracketed(value: object) -> str:
    if isinstance(value, Real) and hasattr(value, "item"):  # of numpy
        value = value.item()
    if isinstance(value, (tuple, frozenset)):
        members = sorted(value) if isinstance(value, frozenset) else value
        return f"[{', '.join(map(_bracketed, members))}]"
    shown = str(getattr(value, "__name__", repr(value)))  # functions have a name
    return f"<{type(value).__name__}>" if "\n" in shown else shown  # networks print all their parts


def widen(logits: Tensor) -> Tensor:
    """Logits wide enough to be processed: half precision becomes float32, float32 and float64 stay.

    Apple's MPS has no float64, which exact draws and sums need: logits from there are processed on the CPU.
    """
    if not isinstance(logits, Tensor):
        raise ValueError(f"logits are a tensor; got {type(logits).__name__}")
    if not logits.is_floating_point():
        raise ValueError(f"logits are floating-point numbers; got {logits.dtype}")
    if logits.device.type == "mps":
        logits = logits.cpu()
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def is_number(value: object) -> bool:
    """Whether a parameter is a number that tensors can calculate with; True and False are none."""
    return is_whole_number(value) or (isinstance(value, Real) and not isinstance(value, Rational))


def is_whole_number(value: object) -> bool:
    """The same for whole numbers; those of numpy are some, too."""
    return isinstance(value, Integral) and not isinstance(value, bool) and abs(int(value)) < 2**63


@dataclass(frozen=True)
class Limits:
    """When a row ends, and what to record on the way.

    max_new_tokens   the most ids to add, at least 1; None for as many as the model's positions allow
    eos_id           the id that ends a row; None for none
    stops            told all new ids of a row, says whether the last of them completed a stop
    num_samples      how many samples to make of each prompt, at least 1
    trace            record in each step what every processor did
    """

    max_new_tokens: int | None
    eos_id: int | None = None
    stops: Callable[[Sequence[int]], bool] | None = None
    num_samples: int = 1
    trace: bool = False

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "num_samples"):
            value = getattr(self, name)
            if value is None and name == "max_new_tokens":
                continue
            if not is_whole_number(value):
                raise ValueError(f"{name} must be a whole number; got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}")

    def room(self, prompt_length: int, n_positions: int) -> int:
        """How many new ids a row can have at most."""
        context = n_positions - prompt_length
        return context if self.max_new_tokens is None else min(self.max_new_tokens, context)

    def whose(self, row: int) -> str:
        """A row as a sentence names it: "prompt 0, sample 2"."""
        prompt, sample = divmod(row, self.num_samples)
        return f"prompt {prompt}, sample {sample}"

    def finish_reason(self, new_ids: Sequence[int], prompt_length: int, n_positions: int) -> FinishReason | None:
        """Why a row with these new ids ends here, or None where it goes on. Asked after every id, and before the first.

        Prompt and new ids together never exceed the model's positions.
        """
        if new_ids and new_ids[-1] == self.eos_id:
            return "eos"
        if new_ids and self.stops is not None and self.stops(new_ids):
            return "stop"
        if len(new_ids) == self.max_new_tokens:
            return "length"
        if prompt_length + len(new_ids) >= n_positions:
            return "context"
        return None


class Hypothesis(NamedTuple):
    """One whole continuation among those that a search found."""

    ids: tuple[int, ...]
    model_logprobs: tuple[float, ...]  # natural logarithms: the model's own probability of each id
    processed_logprobs: tuple[float, ...]  # after the processors, renormalised
    finish_reason: FinishReason
    score: float  # what the search ranks by: its docstring says what that is


class Found(NamedTuple):
    """What a search found for one row besides its text."""

    candidates: tuple[Hypothesis, ...]  # best first, or as the strategy says; the first is the row's text
    evaluations: int  # how many distributions of a next id it asked the model for
    bound: float | None = None  # nothing that was left out has a higher score; None where the search cannot tell
    tree: SearchTree | None = None  # all that it considered, where a trace is asked for
    kappa: float | None = None  # of a draw without replacement, see decoding.without_replacement


class Step(NamedTuple):
    """What a strategy adds to one row: an id, or none to a row that is full."""

    row: int  # prompt number * num_samples + sample number
    ids: tuple[int, ...]
    model_logprobs: tuple[float, ...]  # natural logarithms: the model's own probability of each id
    processed_logprobs: tuple[float, ...]  # after the processors, renormalised
    finish_reason: FinishReason | None = None  # set in the last step of the row
    trace: StepTrace | None = None
    found: Found | None = None  # in the last step of the row, where it was searched for
    round: Round | None = None  # in the last step of each round of speculation


class Strategy(Protocol):
    """A way of turning logits into ids."""

    def run(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], limits: Limits, chance: Chance
    ) -> Iterator[Step]:
        """Extend every prompt until its rows end; steps of different rows alternate."""
        ...
