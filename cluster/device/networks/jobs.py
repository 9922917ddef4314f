"""What is trained: networks, data, which layers; the same for each side."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import torch
from kit import tensor_file
from torch import nn

from networks import bert, resnet


@dataclass(frozen=True)
class Job:
    name: str
    network: str  # of NETWORKS
    data: str
    batch: int
    classes: int
    depths: dict[str, list[str]] = field(hash=False, default_factory=dict)  # groups that train
    title: str = ""

    @property
    def images(self) -> bool:
        return self.network == "resnet50"


NETWORKS = {"minilm": bert.MINILM, "bert-base": bert.BERT_BASE, "small": bert.SMALL}


def _depths(layers: int) -> dict[str, list[str]]:
    upper = [f"encoder.{i}" for i in range(layers - 2, layers)]
    every = ["embeddings", *(f"encoder.{i}" for i in range(layers)), "head"]
    return {"all": every, "+2": [*upper, "head"], "head": ["head"]}


_RESNET = {
    "all": ["stem", "layer1", "layer2", "layer3", "layer4", "head"],
    "+2": ["layer3", "layer4", "head"],
    "head": ["head"],
}
# The most important first.
JOBS = (
    Job("minilm-32x32", "minilm", "minilm-32x32", 32, 45, _depths(6), "MiniLM, 32 x 32 tokens"),
    Job(
        "minilm-256x128",
        "minilm",
        "minilm-256x128",
        256,
        45,
        _depths(6),
        "MiniLM, 256 x 128 tokens",
    ),
    Job(
        "ragged",
        "minilm",
        "ragged",
        64,
        45,
        _depths(6),
        "MiniLM, 64 texts of real lengths, at most 32 tokens",
    ),
    Job(
        "bert-32x128", "bert-base", "bert-32x128", 32, 45, _depths(12), "BERT-base, 32 x 128 tokens"
    ),
    Job("resnet50", "resnet50", "resnet50", 64, 10, _RESNET, "ResNet-50, 64 images of 224 x 224"),
)


def job(name: str) -> Job:
    return next(one for one in JOBS if one.name == name)


def build(network: str, classes: int, dropout: float) -> nn.Module:
    if network == "resnet50":
        return resnet.ResNet50(classes)
    return bert.Bert(NETWORKS[network], classes, dropout)


def draw_weights(network: str, classes: int, folder: str) -> str:
    """Random weights in `folder`, which all sides load, with config.json beside them; their path.
    What is there already is taken."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{network}-{classes}.safetensors")
    if not os.path.exists(path):
        torch.manual_seed(0)
        tensors = build(network, classes, 0.0).state_dict()
        tensors = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
        tensor_file.write(f"{path}.{os.getpid()}", tensors)
        os.replace(f"{path}.{os.getpid()}", path)
    if network in NETWORKS:
        with open(os.path.join(folder, f"{network}.json"), "w", encoding="utf-8") as stream:
            stream.write(NETWORKS[network].config())
    return path


def load(network: str, classes: int, dropout: float, weights: str) -> nn.Module:
    model = build(network, classes, dropout)
    missing, unknown = model.load_state_dict(tensor_file.read(weights), strict=False)
    if unknown or any(not name.endswith("num_batches_tracked") for name in missing):
        raise ValueError(f"{weights}: misses {missing}, has {unknown} too many")
    return model
