"""Parts that measure: what a step takes, of Thaw and of PyTorch."""
