"""Writes facts/storybook.json: what transformers computes for the bundled model. See tests/parity/storybook_facts.

    python -m tests.parity.write_storybook_facts

`scripts/reproduce.py --model storybook` runs these facts.
"""

from __future__ import annotations

from typing import Any

from tests.parity.storybook_facts.layout import as_text
from tests.parity.storybook_facts.writer import FACTS, Reference, Writer

FILE = FACTS / "storybook.json"


def facts() -> list[dict[str, Any]]:
    """All that the file holds."""
    from tests.parity.storybook_facts.draws import drawn_texts
    from tests.parity.storybook_facts.files import files
    from tests.parity.storybook_facts.inner import inner_states
    from tests.parity.storybook_facts.later import later_strategies
    from tests.parity.storybook_facts.losses import losses
    from tests.parity.storybook_facts.passes import passes
    from tests.parity.storybook_facts.texts import greedy_texts

    writer = Writer(Reference())
    for group in (passes, inner_states, losses, greedy_texts, drawn_texts, later_strategies, files):
        group(writer)
    ids = [fact["id"] for fact in writer.facts]
    assert len(set(ids)) == len(ids)
    return writer.facts


def main() -> None:
    FILE.write_text(as_text({"facts": facts()}), encoding="utf-8")


if __name__ == "__main__":
    main()
