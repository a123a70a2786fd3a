"""What each step did and why: the logits as the model gave them, and as every processor left them.

    result = generate(model, tokenizer, "Once upon a time", Sample(TopP(0.9)), max_new_tokens=20, trace=True)
    result.trace[0].stages[1].entropy                       # step 0 after the first processor
    result.trace.why(0, " cat")                             # in a sentence
    result.trace.to_json()                                  # for whatever draws it

A trace keeps logits; every other number is computed from them when it is asked for, in float64, each row by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor

from .core import Prefix, Processor, is_whole_number
from .explain import Explanation, explain
from .legible import token_name
from .search_tree import SearchTree
from .tokenizer import Tokenizer
from .trace_data import as_data

_SPARSE = 4  # where at most one id in so many is left, the others are not stored


class Stage:
    """One row's logits after one processor, or as the model gave them.

    name        "model", or the processor as it prints itself
    chosen      the id that was chosen in the end
    processor   None for the model
    before      the stage before; None for the model

    Memory: 4 bytes an id in float32. Where at most a quarter of the ids are left, 8 bytes for each of those, and where
    the processor changed nothing, none at all. At V = 50,257 a step with the model, Temperature(0.8) and TopK(50)
    keeps 402,456 bytes, and with TopK(50) alone 201,428.
    """

    def __init__(
        self, name: str, logits: Tensor, chosen: int, processor: Processor | None = None, before: Stage | None = None
    ) -> None:
        self.name = name
        self.chosen = chosen
        self.processor = processor
        self.before = before
        self.n_vocab = len(logits)
        left = logits > -torch.inf  # (V,)
        self.kept = int(left.sum())
        self._ids: Tensor | None = None  # (kept,) where only these are stored, ascending
        self._values = logits  # (V,), or (kept,)
        if self.kept * _SPARSE <= self.n_vocab:
            self._ids = left.nonzero()[:, 0].int()
            self._values = logits[left]

    @classmethod
    def unchanged(cls, before: Stage, processor: Processor) -> Stage:
        """The stage of a processor that changed nothing: it shares all that there is to share."""
        stage = cls.__new__(cls)
        shared = {name: value for name, value in vars(before).items() if name != "mass_removed"}
        vars(stage).update(shared, name=repr(processor), processor=processor, before=before)
        return stage

    def __repr__(self) -> str:
        return f"Stage({self.name!r}, {self.kept} of {self.n_vocab} ids)"

    @property
    def logits(self) -> Tensor:
        """(V,): -inf for removed ids."""
        return self._values if self._ids is None else self._expanded(self._values, -torch.inf)

    @property
    def probabilities(self) -> Tensor:
        """The softmax of the logits, (V,) float64, 0 for removed ids."""
        shares = self._shares
        return shares if self._ids is None else self._expanded(shares, 0.0)

    @property
    def nbytes(self) -> int:
        """What it keeps in memory, apart from what it shares with the stage before."""
        if self.before is not None and self._values is self.before._values:
            return 0
        return sum(part.numel() * part.element_size() for part in (self._values, self._ids) if part is not None)

    @cached_property
    def entropy(self) -> float:
        """In nats."""
        return float(_total(torch.special.entr(self._shares)))

    @cached_property
    def favourite(self) -> int:
        """The likeliest id, of equals the lowest."""
        place = int(self._values.argmax())
        return place if self._ids is None else int(self._ids[place])

    @cached_property
    def mass_removed(self) -> float:
        """The share of the probability of the stage before that sat on the ids which this one removed."""
        if self.before is None or self._values is self.before._values:
            return 0.0
        return float(_total(self.before.probabilities.where(self.logits == -torch.inf, 0.0)))

    @property
    def favourite_changed(self) -> bool:
        """Whether another id is the likeliest one than in the stage before."""
        return self.before is not None and self.favourite != self.before.favourite

    @property
    def chosen_rank(self) -> int | None:
        """1 for the likeliest; None where the chosen id is removed, which only a later processor can have undone."""
        return self.rank(self.chosen)

    @property
    def chosen_probability(self) -> float:
        return self.probability(self.chosen)

    def has(self, id: int) -> bool:
        """Whether the id is left."""
        return self._logit(id) > -torch.inf

    def probability(self, id: int) -> float:
        """0 for a removed id."""
        best, total = self._scale
        return float((torch.tensor(self._logit(id), dtype=torch.float64) - best).exp() / total)

    def rank(self, id: int) -> int | None:
        """1 for the likeliest; of equals the lower id is before the higher one. None for a removed id."""
        logit = self._logit(id)
        if logit == -torch.inf:
            return None
        equals = (self._values == logit).nonzero()[:, 0]  # places, ascending, and as many as there are equals
        if self._ids is not None:
            equals = self._ids[equals]
        return 1 + int((self._values > logit).sum()) + int((equals < id).sum())

    def likeliest(self, most: int) -> list[int]:
        """The `most` likeliest ids, or as many as are left, likeliest first, of equals the lower."""
        places = self._values.sort(descending=True, stable=True).indices[: min(most, self.kept)]
        return [int(id) for id in (places if self._ids is None else self._ids[places])]

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        """The best logit, and the sum of all probabilities relative to its own."""
        best = self._values.amax().double()
        return best, _total((self._values.double() - best).exp())

    @property
    def _shares(self) -> Tensor:
        """The probabilities of what is stored."""
        best, total = self._scale
        return (self._values.double() - best).exp() / total

    def _logit(self, id: int) -> float:
        if self._ids is None:
            return float(self._values[id])
        place = int(torch.searchsorted(self._ids, id))
        return float(self._values[place]) if place < self.kept and int(self._ids[place]) == id else -torch.inf

    def _expanded(self, values: Tensor, rest: float) -> Tensor:
        assert self._ids is not None
        return values.new_full((self.n_vocab,), rest).scatter(0, self._ids.long(), values)


def _total(values: Tensor) -> Tensor:
    """As a running sum: sum() may add in an order that depends on the length, and ids that are not stored are zeros."""
    return values.cumsum(dim=0)[-1]


class Candidate(NamedTuple):
    """One id that might have been chosen, with its probability before and after the processors."""

    id: int
    model_probability: float
    processed_probability: float


class StepTrace(NamedTuple):
    """One step of one row: the stages in the order in which they acted, the model's own logits first."""

    stages: tuple[Stage, ...]
    chosen: int
    prefix: Prefix  # of this one row, before the id was chosen

    @property
    def step(self) -> int:
        """Its number, counted from 0."""
        return int(self.prefix.steps)

    @property
    def favourite_changed(self) -> bool:
        """Whether the processors together made another id the likeliest."""
        return self.stages[0].favourite != self.stages[-1].favourite

    def remover(self, id: int) -> int | None:
        """The number of the first stage after which the id is removed; None where it stayed."""
        if self.stages[-1].has(id):
            return None
        return next(number for number, stage in enumerate(self.stages) if not stage.has(id))

    def rivals(self, most: int) -> list[int]:
        """Of the ids that processors removed, the `most` that were likeliest by the model."""
        model, last = self.stages[0], self.stages[-1]
        gone = (model.logits > -torch.inf) & (last.logits == -torch.inf)  # (V,)
        ranked = model.logits.where(gone, -torch.inf).sort(descending=True, stable=True).indices
        return [int(id) for id in ranked[: min(most, int(gone.sum()))]]

    def candidates(self, most: int) -> list[Candidate]:
        """The `most` likeliest ids after the processors, likeliest first, of equals the lower; never a removed one."""
        candidates = self.probabilities(self.stages[-1].likeliest(most))
        return [candidate for candidate in candidates if candidate.processed_probability > 0]

    def probabilities(self, ids: Sequence[int]) -> list[Candidate]:
        """What the model and the processors gave to each of these ids."""
        first, last = self.stages[0], self.stages[-1]
        return [Candidate(id, first.probability(id), last.probability(id)) for id in ids]


def record(left: Sequence[tuple[Processor | None, Tensor]], chosen: int, prefix: Prefix, row: int) -> StepTrace:
    """What one row went through: the processors, None for the model, with the logits (R, V) that each left."""
    stages: list[Stage] = []
    last: Tensor | None = None
    for processor, logits in left:
        if logits is last:
            assert processor is not None
            stages.append(Stage.unchanged(stages[-1], processor))
        else:
            before = stages[-1] if stages else None
            own = logits[row].detach().cpu().clone()  # (V,): a view would keep the whole batch alive
            stages.append(Stage("model" if processor is None else repr(processor), own, chosen, processor, before))
        last = logits
    rows = torch.tensor([row], device=prefix.ids.device)
    one = prefix.select(rows)
    one = one._replace(ids=one.ids[:, : int(one.lengths)])
    ids, lengths, prompt_lengths, samples = (part.cpu().clone() for part in one[:4])
    return StepTrace(tuple(stages), chosen, Prefix(ids, lengths, prompt_lengths, samples, one.eos_id))


class Trace(Sequence[StepTrace]):
    """All steps of one row, with what it takes to talk about them. Empty where no trace was asked for.

    prompt_ids   what they continue
    sample       the number of the row among the samples of its prompt
    tokenizer    names the ids; without one they are numbers
    tree         all that a search considered; None where nothing was searched for
    """

    def __init__(
        self,
        steps: Sequence[StepTrace] = (),
        prompt_ids: Sequence[int] = (),
        sample: int = 0,
        tokenizer: Tokenizer | None = None,
        tree: SearchTree | None = None,
    ) -> None:
        self._steps = tuple(steps)
        self.prompt_ids = list(prompt_ids)
        self.sample = sample
        self.tokenizer = tokenizer
        self.tree = tree

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[StepTrace]:
        return iter(self._steps)

    @overload
    def __getitem__(self, number: int) -> StepTrace: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[StepTrace, ...]: ...
    def __getitem__(self, number: int | slice) -> StepTrace | tuple[StepTrace, ...]:
        return self._steps[number]

    def __repr__(self) -> str:
        return f"<Trace of {len(self)} step{'' if len(self) == 1 else 's'}>"

    def name(self, id: int) -> str:
        """What an id is called: its token in quotes, or its number."""
        return f"id {id}" if self.tokenizer is None else token_name(self.tokenizer, id)

    def explain(self, step: int, id_or_text: int | str) -> Explanation:
        """What became of an id in a step, counted from 0; `str()` of it is a sentence.

        A text has to be a single token: " cat" and "cat" are two. Raises ValueError, in words, for what is not there.
        """
        if not self._steps:
            raise ValueError("there is no trace: ask for one with trace=True")
        if not is_whole_number(step) or not 0 <= step < len(self):
            raise ValueError(f"steps are counted from 0 to {len(self) - 1}; got {step!r}")
        return explain(self._steps[step], self._id(id_or_text), self.name)

    def why(self, step: int, id_or_text: int | str) -> str:
        """The same as a sentence: '" cat" was 4th with 6.1 %; TopP(0.9) removed it: ...'."""
        return str(self.explain(step, id_or_text))

    def to_dict(self, most: int = 10) -> dict[str, Any]:
        """Plain data, from which everything can be drawn. In each step: the numbers of every stage, and candidates.

        These are the `most` likeliest ids of the model and of what the processors left, and the chosen one.
        """
        if not is_whole_number(most) or most < 0:
            raise ValueError(f"most is a number of ids, at least 0; got {most!r}")
        return as_data(self, most)

    def to_json(self, most: int = 10) -> str:
        """`to_dict` as JSON. It never contains NaN or Infinity."""
        return json.dumps(self.to_dict(most), allow_nan=False)

    def _id(self, id_or_text: int | str) -> int:
        if isinstance(id_or_text, str):
            if self.tokenizer is None:
                raise ValueError(f"without a tokenizer only ids are known; got the text {id_or_text!r}")
            ids = self.tokenizer.encode(id_or_text, allow_special=True)
            if len(ids) != 1:
                parts = " + ".join(self.name(id) for id in ids) if ids else "none"
                raise ValueError(f"a single token is needed, and {id_or_text!r} has {len(ids)}: {parts}")
            return ids[0]
        if not is_whole_number(id_or_text):
            raise ValueError(f"an id or a text is needed; got {id_or_text!r}")
        id = int(id_or_text)
        n_vocab = self._steps[0].stages[0].n_vocab
        if not 0 <= id < n_vocab:
            raise ValueError(f"ids lie between 0 and {n_vocab - 1}; got {id}")
        return id
