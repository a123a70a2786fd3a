"""Processors reshape the distribution of the next id. One file a family."""

from .banned import BanSequences, BanWords
from .bias import Force, LogitBias, MinNewTokens, Suppress
from .entropy import TopH, TypicalP
from .mirostat import Mirostat
from .penalties import FrequencyPenalty, PresencePenalty, RepetitionPenalty
from .repeats import DRY, NoRepeatNGram
from .tail_free import TailFree
from .temperature import DynamicTemperature, QuadraticSmoothing, Temperature
from .thresholds import EpsilonCutoff, EtaCutoff, MinP, PLess, TopA, TopNSigma
from .truncation import TopK, TopP
from .xtc import XTC

__all__ = [
    "DRY",
    "XTC",
    "BanSequences",
    "BanWords",
    "DynamicTemperature",
    "EpsilonCutoff",
    "EtaCutoff",
    "Force",
    "FrequencyPenalty",
    "LogitBias",
    "MinNewTokens",
    "MinP",
    "Mirostat",
    "NoRepeatNGram",
    "PLess",
    "PresencePenalty",
    "QuadraticSmoothing",
    "RepetitionPenalty",
    "Suppress",
    "TailFree",
    "Temperature",
    "TopA",
    "TopH",
    "TopK",
    "TopNSigma",
    "TopP",
    "TypicalP",
]
