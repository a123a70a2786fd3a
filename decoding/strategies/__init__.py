"""Strategies turn logits into ids. One file a strategy."""

from .arithmetic import ArithmeticSampling
from .beam import BeamSearch
from .best_of_n import BestOfN
from .block_verification import BlockVerification
from .constrained_beam import ConstrainedBeamSearch
from .contrastive_search import ContrastiveSearch
from .diverse_beam import DiverseBeamSearch
from .drafter_invariant import DrafterInvariant
from .exact import ExactSearch
from .greedy import Greedy
from .jacobi import Jacobi
from .majority_vote import MajorityVote
from .minimum_bayes_risk import MinimumBayesRisk
from .sample import Sample
from .speculative import Speculative
from .stochastic_beam import StochasticBeamSearch
from .transformers_beam import TransformersBeamSearch

__all__ = [
    "ArithmeticSampling",
    "BeamSearch",
    "BestOfN",
    "BlockVerification",
    "ConstrainedBeamSearch",
    "ContrastiveSearch",
    "DiverseBeamSearch",
    "DrafterInvariant",
    "ExactSearch",
    "Greedy",
    "Jacobi",
    "MajorityVote",
    "MinimumBayesRisk",
    "Sample",
    "Speculative",
    "StochasticBeamSearch",
    "TransformersBeamSearch",
]
