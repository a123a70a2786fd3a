"""What scripts/quality.py is made of: the texts, the two comparisons, and what is told of them."""
