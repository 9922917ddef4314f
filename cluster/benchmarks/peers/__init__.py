"""The PyTorch side of the benchmarks. Each worker runs in a process of its own."""
