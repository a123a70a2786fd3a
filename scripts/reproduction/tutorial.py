"""The line that the tutorial prints, explained on the model at hand.

The post takes the argmax at every position of its prompt, so the line is what the model would have said after each of
the words, not a continuation. And it never calls `.eval()`: with dropout the line is one random draw.
"""

from __future__ import annotations

import torch

from decoding import Tokenizer
from decoding.legible import padded, token_name
from gpt2 import GPT2

from .fact import Fact

DRAWS = 100


@torch.no_grad()
def explained(fact: Fact, model: GPT2, tokenizer: Tokenizer) -> str:
    """A row for each position: the id before it, what eval mode gives, what the post shows, and how often train mode
    gives that."""
    row, printed = fact.prompt_ids, fact.expected["printed_ids"]
    ids = torch.tensor([row], device=model.device)  # (1, T)
    sure = model(ids)[0].argmax(dim=-1).tolist()  # (T,)
    drawn = argmax_with_dropout(model, ids, DRAWS)  # (DRAWS, T)
    lines = [f"{'after':<14}{'eval mode':<14}{'the post':<14}with dropout, in {DRAWS} draws"]
    for position, (before, ours, theirs) in enumerate(zip(row, sure, printed, strict=True)):
        names = [padded(token_name(tokenizer, id, 12), 14) for id in (before, ours, theirs)]
        often = int((drawn[:, position] == theirs).sum())
        lines.append("".join(names) + f"{often} times the post's")
    lines.append(
        f"{int((drawn == torch.tensor(printed, device=drawn.device)).all(dim=-1).sum())} of the {DRAWS} lines are the "
        f"post's in every place, {len({tuple(line) for line in drawn.tolist()})} different ones came up."
    )
    return "\n".join(lines)


def argmax_with_dropout(model: GPT2, ids: torch.Tensor, draws: int) -> torch.Tensor:
    """The argmax after every id of (1, T), in train mode, each row with dropout of its own -> (draws, T)."""
    model.train()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return model(ids.expand(draws, -1)).argmax(dim=-1)
    finally:
        model.eval()
