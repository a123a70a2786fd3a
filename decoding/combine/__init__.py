"""Language models made of others."""

from .combined import Combined
from .contrastive_decoding import ContrastiveDecoding
from .dola import DoLa
from .guidance import ClassifierFreeGuidance
from .reprompted import Reprompted

__all__ = ["ClassifierFreeGuidance", "Combined", "ContrastiveDecoding", "DoLa", "Reprompted"]
