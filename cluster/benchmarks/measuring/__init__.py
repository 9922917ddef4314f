"""What the benchmarks share: running both sides in turns, and saying what came out."""
