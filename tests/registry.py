"""Examples of every processor and every strategy, for the tests that hold whatever the rule is.

A new processor or strategy has to be entered here: `tests/decoding/test_metamorphic.py` fails otherwise. A new
processor also needs a plain version in `tests/decoding/test_law.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import decoding
import decoding.strategies
from decoding import Greedy, Processor, Sample, Strategy, Temperature, TopK, TopP

VOCABULARY = 12  # ids of the distributions that the examples are tried on


@dataclass(frozen=True)
class ProcessorExample:
    """A processor with parameters, and which laws it is under.

    identity          its parameters change nothing at all (law 2)
    shift_invariant   adding the same number to all logits changes nothing but that number
    """

    processor: Processor
    identity: bool = False
    shift_invariant: bool = True


@dataclass(frozen=True)
class StrategyExample:
    """A strategy with parameters. deterministic: it makes no random choices."""

    strategy: Strategy
    deterministic: bool = False


PROCESSORS = [
    ProcessorExample(Temperature(0.0)),
    ProcessorExample(Temperature(1e-4)),
    ProcessorExample(Temperature(0.7)),
    ProcessorExample(Temperature(1.0), identity=True),
    ProcessorExample(Temperature(1.8)),
    ProcessorExample(TopK(1)),
    ProcessorExample(TopK(3)),
    ProcessorExample(TopK(VOCABULARY), identity=True),
    ProcessorExample(TopK(10**9), identity=True),
    ProcessorExample(TopP(1e-9)),
    ProcessorExample(TopP(0.6)),
    ProcessorExample(TopP(0.95)),
    ProcessorExample(TopP(1.0), identity=True),
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
]
CHAINS: list[tuple[Processor, ...]] = [(), *((example.processor,) for example in PROCESSORS), *COMBINATIONS]

STRATEGIES = [
    StrategyExample(Greedy(), deterministic=True),
    StrategyExample(Greedy(Temperature(0.7), TopK(3)), deterministic=True),
    StrategyExample(Sample()),
    StrategyExample(Sample(TopP(0.6))),
    *(StrategyExample(Sample(*chain)) for chain in COMBINATIONS),
]


def processor_classes() -> set[type]:
    """Every processor that the package defines, exported or not. Those that tests make up do not count."""
    found: set[type] = set()
    waiting: list[type] = [Processor]
    while waiting:
        subclasses: list[type] = waiting.pop().__subclasses__()
        waiting += subclasses
        found |= {cls for cls in subclasses if cls.__module__.split(".")[0] == "decoding"}
    return found


def strategy_classes() -> set[type]:
    """Every strategy that the package exports."""
    exported = [getattr(package, name) for package in (decoding, decoding.strategies) for name in package.__all__]
    return {cls for cls in exported if isinstance(cls, type) and hasattr(cls, "run") and cls is not Strategy}


def missing(classes: Iterable[type], examples: Iterable[Any]) -> set[type]:
    """The classes that have no example."""
    return set(classes) - {type(example) for example in examples}
