"""What the benchmarks share: engines in processes of their own, timed in turns, and what is told of them."""
