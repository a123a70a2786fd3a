"""A fact: what somebody published, or computed with another program, about what a model gives for an input."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

FACTS = Path(__file__).parents[2] / "facts"  # published.json and storybook.json; facts/README.md tells the fields


@dataclass(frozen=True)
class Fact:
    """One entry of facts/*.json.

    run        what to do: `name`, and the settings that belong to it
    expected   what came out there; `compare` tells how each entry is compared. Entries without a rule are information
    soft       a difference proves no error (another device, another generator): it is reported and does not fail
    """

    id: str
    model: str
    kind: str
    run: dict[str, Any]
    expected: dict[str, Any]
    compare: dict[str, dict[str, Any]]
    source: str
    prompt: str | list[str] | None = None
    prompt_ids: list[Any] = field(default_factory=list)  # the ids of one row, or a list of rows
    max_new_tokens: int = 0
    needs_weights: bool = False
    needs_data: str = ""
    requires: tuple[str, ...] = ()
    soft: bool = False
    library: str = ""
    derived: str = ""
    note: str = ""

    @property
    def rows(self) -> list[list[int]]:
        """The input, always as rows of ids."""
        several = bool(self.prompt_ids) and isinstance(self.prompt_ids[0], list)
        return self.prompt_ids if several else [self.prompt_ids]

    @property
    def has_one_row(self) -> bool:
        """Whether expected values are those of one row, and not one entry a row."""
        return not self.prompt_ids or not isinstance(self.prompt_ids[0], list)

    def matches(self, pattern: str) -> bool:
        """Whether the pattern, with * and ?, is the whole id, model or run; or, without them, a part of the id."""
        pattern = pattern.lower()
        if any(character in pattern for character in "*?["):
            names = (self.id, self.model, self.kind, self.run["name"])
            return any(fnmatch.fnmatchcase(name.lower(), pattern) for name in names)
        return pattern in self.id.lower() or pattern in (self.model.lower(), self.kind, self.run["name"])


def load(file: str) -> list[Fact]:
    """The facts in facts/`file`."""
    content = json.loads((FACTS / file).read_text(encoding="utf-8"))
    known = {one.name for one in fields(Fact)}
    facts = []
    for entry in content["facts"]:
        unknown = entry.keys() - known
        if unknown:
            raise ValueError(f"{file}: {entry['id']} has the field {min(unknown)!r}, which no fact has")
        facts.append(Fact(**{**entry, "requires": tuple(entry.get("requires", ()))}))
    return facts


def select(facts: Iterable[Fact], patterns: list[str]) -> list[Fact]:
    """Those that match one of the patterns; all where there is none. Raises ValueError for a pattern that fits none."""
    facts = list(facts)
    for pattern in patterns:
        if not any(fact.matches(pattern) for fact in facts):
            raise ValueError(f"no fact matches {pattern!r}; --list shows their ids")
    return [fact for fact in facts if not patterns or any(fact.matches(pattern) for pattern in patterns)]
