"""What is compared, by the names that flags and results use."""

from __future__ import annotations

THAW = "thaw"
# The same with train.prefix-cache = "on".
THAW_CACHED = "thaw-cached"

# Step times: PyTorch as people write it, and tuned by someone who knows it well.
USUAL = "usual"
TUNED = "tuned"

# Accuracy: a PyTorch script of the same job, and the same with Thaw's order of samples and head.
TORCH = "torch"
PAIRED = "paired"

# Two ranks: DistributedDataParallel wrapped anew for each stage as people write it, and tuned; wrapped
# once around all parameters, looking for the unused ones; wrapped once, all trainable, learning rate
# 0 where frozen. And Thaw's model in a plain C++ loop, one blocking all-reduce a parameter.
DDP = "ddp"
DDP_TUNED = "ddp-tuned"
DDP_UNUSED = "ddp-unused"
DDP_RATE0 = "ddp-rate0"
PLAIN_LOOP = "plain-loop"
# What shares memory out: DistributedDataParallel with ZeroRedundancyOptimizer, and FSDP2.
DDP_ZERO = "ddp-zero"
FSDP2 = "fsdp2"
# One process whose gradients go through Thaw's reducer, but travel nowhere.
BARE_ENGINE = "bare-engine"

# As tables of step times show them, from left to right.
COLUMNS = (USUAL, TUNED, DDP, DDP_TUNED, DDP_UNUSED, DDP_RATE0, PLAIN_LOOP, BARE_ENGINE, THAW_CACHED,
           THAW)  # fmt: skip
