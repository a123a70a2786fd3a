"""Decoding: logits -> text. It imports nothing from `gpt2`: any `LanguageModel` will do."""

from .chance import Enumerate, Gumbel, InverseCDF, Multinomial
from .core import Chance, LanguageModel, Limits, Prefix, Processor, Purpose, Session, Step, Strategy
from .generate import GeneratedIds, Generation, Piece, generate, generate_ids, stream
from .law import law
from .processors import Temperature, TopK, TopP
from .strategies import Greedy, Sample
from .tokenizer import Tokenizer
from .toy import TableModel
from .trace import StepTrace
from .uncached import Uncached

__all__ = [
    "Chance",
    "Enumerate",
    "GeneratedIds",
    "Generation",
    "Greedy",
    "Gumbel",
    "InverseCDF",
    "LanguageModel",
    "Limits",
    "Multinomial",
    "Piece",
    "Prefix",
    "Processor",
    "Purpose",
    "Sample",
    "Session",
    "Step",
    "StepTrace",
    "Strategy",
    "TableModel",
    "Temperature",
    "Tokenizer",
    "TopK",
    "TopP",
    "Uncached",
    "generate",
    "generate_ids",
    "law",
    "stream",
]
