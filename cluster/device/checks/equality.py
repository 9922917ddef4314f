"""The same training on the GPU and on the CPU in float64: three stages, dropout, augmentation,
AdamW and momentum; stopped and gone on with, on either; two ranks on one GPU, each step audited."""

from __future__ import annotations

import concurrent.futures
import os
from dataclasses import dataclass

import torch
from kit import thaw
from kit.part import Part
from measuring import thaw_command
from networks import bert

TOLERANCE = 1e-9  # of weights after all steps: max |a - b| / max |b| of a tensor
STEPS = 10  # of a stage


@dataclass(frozen=True)
class Family:
    name: str
    model: dict
    data: str
    stages: dict[str, list[str]]
    train: dict
    rate: float
    augmentation: dict
    unknowable: str  # ends the names of tensors without a gradient but rounding, under AdamW


FAMILIES = (
    Family(
        "bert", {"architecture": "bert", "pooling": "mean"}, "small-texts.h5",
        {"head": ["head"], "upper": ["encoder.2", "head"],
         "all": ["embeddings", "encoder.0", "encoder.1", "encoder.2", "head"]},
        {"optimizer": "adamw", "clip-norm": 1.0}, 1e-3, {}, ".attention.self.key.bias",
    ),
    Family(
        "resnet-cifar", {"architecture": "resnet-cifar", "depth": 20}, "small-images.h5",
        {"head": ["head"], "upper": ["layer3", "head"],
         "all": ["stem", "layer1", "layer2", "layer3", "head"]},
        {"optimizer": "sgd", "momentum": 0.9}, 1e-2,
        {"crop-padding": 2, "horizontal-flip": True}, "",
    ),
)  # fmt: skip


def configure(part: Part, family: Family, name: str, stages: int) -> str:
    folder = part.folder(family.name, name)
    model = dict(family.model)
    if family.name == "bert":
        model["config"] = os.path.join(folder, "config.json")
        with open(model["config"], "w", encoding="utf-8") as stream:
            stream.write(bert.SMALL.config())
    data = {"file": part.data(family.data), "batch": 10, **family.augmentation}
    listed = [
        {"name": stage, "groups": groups, "learning-rate": family.rate, "until": {"steps": STEPS}}
        for stage, groups in list(family.stages.items())[:stages]
    ]
    return thaw.configure(folder, model, data, {"precision": "float64", **family.train}, listed)


def run_folder(part: Part, family: Family, name: str) -> str:
    return os.path.join(part.folder(family.name, name), "run")


def run(part: Part) -> None:
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(FAMILIES)) as pool:
        for family in FAMILIES:
            pool.submit(check_family, part, family)


def check_family(part: Part, family: Family) -> None:
    """Runs of one family, one after the other; the families run beside each other."""

    def compare(what: str, one: str, other: str) -> None:
        name = f"{family.name}: {what}"
        if part.null_gpu:
            part.skipped(name, "compares numbers, and the null GPU computes none")
        else:
            part.check(name, lambda: same(part, family, one, other))

    cpu, gpu = ("--train.device", "cpu"), ("--train.device", "cuda")

    def trains(what: str, name: str, stages: int, *flags: str, **options) -> None:
        def body() -> str:
            config = configure(part, family, name, stages)
            done = thaw.train(
                part,
                f"{family.name}-{name}",
                config,
                run_folder(part, family, name),
                *flags,
                **options,
            )
            return f"{done.seconds:.1f} s"

        part.check(f"{family.name}: {what}", body)

    trains("trains on the CPU", "cpu", 3, *cpu)
    trains("trains on the GPU", "gpu", 3, *gpu)
    compare("GPU against CPU", "gpu", "cpu")
    trains("trains two stages", "resumed", 2, *gpu)
    trains("goes on from its checkpoint", "resumed", 3, *gpu)
    compare("resumed on the GPU against never stopped", "resumed", "gpu")
    trains("trains two stages more", "moved", 2, *gpu)
    trains("goes on on the CPU from the GPU's checkpoint", "moved", 3, *cpu)
    compare("resumed on the CPU against the GPU", "moved", "gpu")
    trains(
        "two ranks on one GPU, audited", "ranks", 3, *gpu, "--distributed.audit-every", "1", ranks=2
    )
    part.check(f"{family.name}: every step was audited", lambda: audits(part, family))
    compare("two ranks on one GPU against the CPU", "ranks", "cpu")


def audits(part: Part, family: Family) -> str:
    count = len(thaw_command.events(run_folder(part, family, "ranks"), "audit"))
    if count < len(family.stages) * STEPS:
        raise AssertionError(f"{count} audits of {len(family.stages) * STEPS} steps")
    return f"{count} audits"


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.double(), b.double()
    if not bool(torch.isfinite(a).all()) or not bool(torch.isfinite(b).all()):
        return float("inf")
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)) if a.numel() else 0.0


def same(part: Part, family: Family, one: str, other: str) -> str:
    a, b = (thaw.weights(run_folder(part, family, name)) for name in (one, other))
    if set(a) != set(b):
        raise AssertionError(f"other tensors: {sorted(set(a) ^ set(b))}")
    left_out = family.unknowable
    apart = {
        name: distance(a[name], b[name])
        for name in b
        if not left_out or not name.endswith(left_out)
    }
    worst = max(apart, key=apart.get)
    losses = [thaw.losses(run_folder(part, family, name)) for name in (one, other)]
    if len(losses[0]) != len(losses[1]):
        raise AssertionError(f"{len(losses[0])} and {len(losses[1])} steps")
    lost = max(abs(x - y) / abs(y) for x, y in zip(*losses))
    text = f"weights {apart[worst]:.1e} apart ({worst}), losses {lost:.1e}"
    if not apart[worst] <= TOLERANCE or not lost <= TOLERANCE:
        raise AssertionError(f"{text}; at most {TOLERANCE:.0e} are rounding")
    return text
