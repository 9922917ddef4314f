"""What is compared, by the names that flags and results use."""

from __future__ import annotations

THAW = "thaw"

# Step times: PyTorch as people write it, and tuned by someone who knows it well.
USUAL = "usual"
TUNED = "tuned"

# Accuracy: a PyTorch script of the same job, and the same with Thaw's order of samples and head.
TORCH = "torch"
PAIRED = "paired"
