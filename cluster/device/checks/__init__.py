"""Parts that check: what the GPU computes, against the CPU and PyTorch."""
