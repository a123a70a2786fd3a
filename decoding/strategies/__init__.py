"""Strategies turn logits into ids. One file a strategy."""

from .greedy import Greedy
from .sample import Sample

__all__ = ["Greedy", "Sample"]
