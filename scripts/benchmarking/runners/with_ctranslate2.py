"""CTranslate2, whose vocabulary spells each id in digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ctranslate2

from ..files import file_of


def load(folder: Path, kind: str, weights: str, threads: int) -> CTranslate2:
    path = str(file_of(folder, kind, weights).parent)
    return CTranslate2(ctranslate2.Generator(path, "cpu", compute_type=weights, intra_threads=threads))


class CTranslate2:
    def __init__(self, generator: ctranslate2.Generator) -> None:
        self.generator = generator

    def generate(self, prompts: Sequence[Sequence[int]], new_ids: int) -> list[list[int]]:
        results = self.generator.generate_batch(
            [[str(id) for id in row] for row in prompts],
            max_length=new_ids,
            end_token=list[int](),  # no id is an end
            include_prompt_in_result=False,  # so that the prompt is computed at once
        )
        return [result.sequences_ids[0] for result in results]
