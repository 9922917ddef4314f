"""Freezing and thawing of groups, as people do it in PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def activate(model: nn.Module, active: Iterable[str], frozen_in_eval: bool) -> None:
    """Only the groups `active` train. `frozen_in_eval`: the others run as in evaluation, so without
    dropout and with BatchNorm's running statistics; else all are in training mode."""
    model.train()
    active = set(active)
    for name, group in model.groups().items():
        for parameter in group.parameters():
            parameter.requires_grad_(name in active)
        if frozen_in_eval and name not in active:
            group.eval()


def spared_from_decay(model: nn.Module) -> set[nn.Parameter]:
    """Biases, and all parameters of normalization layers."""
    norms = (nn.LayerNorm, nn.modules.batchnorm._BatchNorm)
    spared = {p for name, p in model.named_parameters() if name.endswith("bias")}
    for module in model.modules():
        if isinstance(module, norms):
            spared.update(module.parameters())
    return spared


def cast_frozen_products(model: nn.Module, active: Iterable[str]) -> None:
    """Keeps frozen linear layers in bfloat16, so that autocast need not cast them each step."""
    for name, group in model.groups().items():
        if name not in set(active):
            for module in group.modules():
                if isinstance(module, nn.Linear):
                    module.to(torch.bfloat16)
