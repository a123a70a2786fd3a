"""transformers, eager."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel
from transformers.utils import logging


def load(folder: Path, kind: str, weights: str, threads: int) -> Transformers:
    logging.disable_progress_bar()
    return Transformers(GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, weights)).eval())


class Transformers:
    def __init__(self, model: Any) -> None:
        self.model = model

    def generate(self, prompts: Sequence[Sequence[int]], new_ids: int) -> list[list[int]]:
        ids = torch.tensor(prompts)  # (R, T)
        with torch.no_grad():
            out = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new_ids, pad_token_id=0
            )
        return out[:, ids.shape[1] :].tolist()
