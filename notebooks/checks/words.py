"""The toy vocabulary of the notebooks, in the order of its ids."""

WORDS = ["mat", "sofa", "roof", "dog", "moon", "cat", "sat", "the", "on"]
