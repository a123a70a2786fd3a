"""Strategies turn logits into ids. One file a strategy."""

from .arithmetic import ArithmeticSampling
from .beam import BeamSearch
from .best_of_n import BestOfN
from .constrained_beam import ConstrainedBeamSearch
from .diverse_beam import DiverseBeamSearch
from .exact import ExactSearch
from .greedy import Greedy
from .majority_vote import MajorityVote
from .minimum_bayes_risk import MinimumBayesRisk
from .sample import Sample
from .stochastic_beam import StochasticBeamSearch
from .transformers_beam import TransformersBeamSearch

__all__ = [
    "ArithmeticSampling",
    "BeamSearch",
    "BestOfN",
    "ConstrainedBeamSearch",
    "DiverseBeamSearch",
    "ExactSearch",
    "Greedy",
    "MajorityVote",
    "MinimumBayesRisk",
    "Sample",
    "StochasticBeamSearch",
    "TransformersBeamSearch",
]
