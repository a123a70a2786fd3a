"""What the scripts print: tables of probabilities."""

from __future__ import annotations

import re
import sys

from decoding import Tokenizer
from decoding.legible import bar, token_name
from decoding.trace import Candidate, StepTrace
from scripts.paint import Paint

_BAR = 28  # columns of the bars in a table

FIXED = "\0"  # stands for a space at which no line ends


def probability_table(trace: StepTrace, number: int, tokenizer: Tokenizer, paint: Paint, most: int = 5) -> str:
    """One step's best candidates after the processors, the chosen one marked, with the model's own probabilities.

    Where the choice is not among the best, it follows as a row of its own.
    """
    candidates = trace.candidates(most)
    if trace.chosen not in [candidate.id for candidate in candidates]:
        candidates += trace.probabilities([trace.chosen])
    processed = len(trace.stages) > 1
    heading = f"step {number}"
    if processed:
        heading = f"{heading:{2 + _BAR}} {'model':>8}    {'processed':>9}"
    return "\n".join([paint.dim(heading), *(_row(c, trace.chosen, processed, tokenizer, paint) for c in candidates)])


def _row(candidate: Candidate, chosen: int, processed: bool, tokenizer: Tokenizer, paint: Paint) -> str:
    shares = f"{candidate.processed_probability:8.2%}"
    if processed:
        shares = f"{candidate.model_probability:8.2%}     {shares}"
    mark = ">" if candidate.id == chosen else " "
    row = f"{mark} {bar(candidate.processed_probability, _BAR)} {shares}  {token_name(tokenizer, candidate.id)}"
    return paint.bold(row) if candidate.id == chosen else row


def write(text: str) -> None:
    """Print to standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def held_together(sentence: str) -> str:
    """The sentence with FIXED for the spaces at which no line may end: those of tokens in quotes, and before a %."""
    return re.sub(r'"(?:\\.|[^"\\])*"', lambda token: token[0].replace(" ", FIXED), sentence.replace(" %", f"{FIXED}%"))
