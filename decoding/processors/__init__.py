"""Processors reshape the distribution of the next id. One file a family."""

from .temperature import Temperature
from .truncation import TopK, TopP

__all__ = ["Temperature", "TopK", "TopP"]
