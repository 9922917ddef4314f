"""ResNet-50 in plain PyTorch, under torchvision's names."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

BLOCKS = (3, 4, 6, 3)


class Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or inputs != 4 * width:
            product = nn.Conv2d(inputs, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(product, nn.BatchNorm2d(4 * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = functional.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        return functional.relu(
            out + (x if self.downsample is None else self.downsample(x)), inplace=True
        )


class ResNet50(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for number, count in enumerate(BLOCKS):
            width, stride = 64 << number, 1 if number == 0 else 2
            blocks = [Block(inputs, width, stride)]
            inputs = 4 * width
            blocks += [Block(inputs, width, 1) for _ in range(count - 1)]
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        x = functional.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))

    def groups(self) -> dict[str, nn.Module]:
        """As Thaw names them, from input to output."""
        stem = nn.ModuleList([self.conv1, self.bn1])
        layers = {f"layer{i}": getattr(self, f"layer{i}") for i in range(1, 5)}
        return {"stem": stem, **layers, "head": self.fc}
