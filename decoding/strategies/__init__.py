"""Strategies turn logits into ids. One file a strategy."""

from .beam import BeamSearch
from .greedy import Greedy
from .sample import Sample

__all__ = ["BeamSearch", "Greedy", "Sample"]
