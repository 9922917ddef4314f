"""CIFAR's ResNet (He et al. 2015, section 4.2, option A), in plain PyTorch.

Parameter names are those of weight files after Idelbayev's `pytorch_resnet_cifar10`.
"""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from measuring.datasets import Images


class Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.grown = stride, width - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.grown:
            before = self.grown // 2
            x = functional.pad(
                x[:, :, :: self.stride, :: self.stride],
                (0, 0, 0, 0, before, self.grown - before),
            )
        return functional.relu(out + x, inplace=True)


class ResNet(nn.Module):
    def __init__(self, depth: int, classes: int):
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._layer(blocks, 16, 16, 1)
        self.layer2 = self._layer(blocks, 16, 32, 2)
        self.layer3 = self._layer(blocks, 32, 64, 2)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _layer(blocks: int, inputs: int, width: int, stride: int) -> nn.Sequential:
        rest = [Block(width, width, 1) for _ in range(blocks - 1)]
        return nn.Sequential(Block(inputs, width, stride), *rest)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(functional.adaptive_avg_pool2d(x, 1).flatten(1))

    def groups(self) -> dict[str, nn.Module]:
        """As Thaw names them, from input to output."""
        return {
            "stem": nn.ModuleList([self.conv1, self.bn1]),
            "layer1": self.layer1,
            "layer2": self.layer2,
            "layer3": self.layer3,
            "head": self.linear,
        }


def build(model: dict) -> ResNet:
    """`model`: depth, classes, weights ("": random)."""
    network = ResNet(model["depth"], model["classes"])
    if model["weights"]:
        weights = load_file(model["weights"])
        own = network.state_dict()
        fitting = {n: t for n, t in weights.items() if n in own and own[n].shape == t.shape}
        missing = [n for n in own if n not in fitting and not n.startswith("linear.")]
        if any(not name.endswith("num_batches_tracked") for name in missing):
            raise ValueError(f"{model['weights']}: misses {', '.join(missing)}")
        network.load_state_dict(fitting, strict=False)
    return network.to(memory_format=torch.channels_last)


class ImageDataset(torch.utils.data.Dataset):
    """Normalised once, in advance; a sample: its image and its label."""

    def __init__(self, images: Images):
        mean, std = (torch.from_numpy(v.astype(np.float32)) for v in (images.mean, images.std))
        inputs = torch.from_numpy(images.inputs).float() / 255
        self.images = (inputs - mean[:, None, None]) / std[:, None, None]
        self.labels = torch.from_numpy(images.labels)

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images[indices], self.labels[indices]


def collate(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[tuple, torch.Tensor]:
    images, labels = batch
    return (images.contiguous(memory_format=torch.channels_last),), labels
