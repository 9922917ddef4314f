"""The same training on the GPU and on the CPU in float64: every kind of layers, three stages,
dropout, augmentation, AdamW and momentum; stopped and gone on with; two ranks on one GPU, each step
audited."""

from __future__ import annotations

import concurrent.futures
import json
import os
from dataclasses import dataclass, field

import torch
from kit import thaw
from kit.part import Part
from measuring import thaw_command
from networks import bert

TOLERANCE = 1e-9  # of weights after all steps: max |a - b| / max |b| of a tensor
STEPS = 10  # of a stage

# Note [Starts of the program]
# What this part takes are starts: 2 to 4 s each, with CUDA's context, its libraries and, of two
# ranks, NCCL; training is the least of it. A family that is seen in full (`both_ways`) has a chain
# of 7, one whose layers alone are new one of 4: 2 * 7 + 6 * 4 = 38. Families run beside each other,
# as many as there are pairs of cores: on 16 cores the longest chain is what the part takes,
# 7 * 4 = 28 s; on 8, four chains at a time, 38 * 4 / 4 = 38 s; on 4, 76 s. It has 85 s.


@dataclass(frozen=True)
class Family:
    name: str
    model: dict
    data: str
    stages: dict[str, list[str]]
    train: dict
    rate: float
    config: dict | None = None  # of config.json; None: the family has no such file
    augmentation: dict = field(default_factory=dict)
    task: dict = field(default_factory=dict)
    unknowable: str = ""  # ends the names of tensors without a gradient but rounding, under AdamW
    steps: int = STEPS  # of a stage
    both_ways: bool = False  # gone on with on the CPU, too, and beside one that never stopped


ADAMW = {"optimizer": "adamw", "clip-norm": 1.0}
MOMENTUM = {"optimizer": "sgd", "momentum": 0.9}
PROMPTS = {"kind": "causal-lm"}
DECODER = {"norm": ["norm"], "upper": ["layers.1", "norm"],
           "all": ["embeddings", "layers.0", "layers.1", "norm"]}  # fmt: skip
ENCODER = {"head": ["head"], "upper": ["encoder.1", "head"],
           "all": ["embeddings", "encoder.0", "encoder.1", "head"]}  # fmt: skip
# Weights are drawn from a seed on the host, the same on both sides.
# fmt: off
FAMILIES = (
    # The CPU's depthwise convolutions in float64 make its steps the slowest.
    Family(
        "efficientnet", {"architecture": "efficientnet-lite0"}, "small-images.h5",
        {"head": ["head"], "upper": ["blocks.15", "head"], "all": ["*"]}, MOMENTUM, 1e-3, steps=4,
    ),
    Family(
        "bert", {"architecture": "bert", "pooling": "mean"}, "small-texts.h5",
        {"head": ["head"], "upper": ["encoder.2", "head"],
         "all": ["embeddings", "encoder.0", "encoder.1", "encoder.2", "head"]},
        ADAMW, 1e-3, json.loads(bert.SMALL.config()), unknowable=".attention.self.key.bias",
        both_ways=True,
    ),
    Family(
        "resnet-cifar", {"architecture": "resnet-cifar", "depth": 20}, "small-images.h5",
        {"head": ["head"], "upper": ["layer3", "head"],
         "all": ["stem", "layer1", "layer2", "layer3", "head"]},
        MOMENTUM, 1e-2, augmentation={"crop-padding": 2, "horizontal-flip": True}, both_ways=True,
    ),
    Family(
        "llama", {}, "small-prompts.h5", DECODER, ADAMW, 1e-3,
        {"model_type": "llama", "hidden_size": 128, "num_hidden_layers": 2, "vocab_size": 300,
         "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
         "max_position_embeddings": 64, "tie_word_embeddings": True, "attention_dropout": 0.1},
        task=PROMPTS,
    ),
    Family(
        "gpt2", {}, "small-prompts.h5", DECODER, ADAMW, 1e-3,
        {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 64,
         "vocab_size": 300}, task=PROMPTS,
    ),
    Family(
        "modernbert", {"architecture": "modernbert"}, "small-texts.h5", ENCODER, ADAMW, 1e-3,
        {"model_type": "modernbert", "hidden_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2, "intermediate_size": 96, "vocab_size": 300, "pad_token_id": 0,
         "max_position_embeddings": 64, "local_attention": 8, "global_attn_every_n_layers": 2,
         "mlp_dropout": 0.1, "attention_dropout": 0.1},
    ),
    Family(
        "vit", {"architecture": "vit"}, "small-images.h5", ENCODER, ADAMW, 1e-3,
        {"model_type": "vit", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 96, "image_size": 32, "patch_size": 8, "num_channels": 3,
         "hidden_act": "gelu", "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1,
         "attention_probs_dropout_prob": 0.1},
        unknowable=".attention.attention.key.bias",
    ),
    Family(
        "convnext", {"architecture": "convnext"}, "small-images.h5",
        {"head": ["head"], "upper": ["stages.1.*", "head"], "all": ["*"]}, ADAMW, 1e-3,
        {"model_type": "convnext", "hidden_sizes": [16, 24], "depths": [1, 2], "patch_size": 2,
         "drop_path_rate": 0.1, "layer_scale_init_value": 0.5},
    ),
)
# fmt: on


def configure(part: Part, family: Family, name: str, stages: int) -> str:
    folder = part.folder(family.name, name)
    model = dict(family.model)
    if family.config is not None:
        model["config"] = os.path.join(folder, "config.json")
        with open(model["config"], "w", encoding="utf-8") as stream:
            json.dump(family.config, stream)
    data = {"file": part.data(family.data), "batch": 10, **family.augmentation}
    until = {"steps": family.steps}
    listed = [
        {"name": stage, "groups": groups, "learning-rate": family.rate, "until": until}
        for stage, groups in list(family.stages.items())[:stages]
    ]
    training = {"precision": "float64", **family.train}
    sections = {"task": family.task} if family.task else {}
    return thaw.configure(folder, model, data, training, listed, **sections)


def run_folder(part: Part, family: Family, name: str) -> str:
    return os.path.join(part.folder(family.name, name), "run")


def run(part: Part) -> None:
    # More chains than cores would only wait for each other.
    workers = max(2, min(len(FAMILIES), (os.cpu_count() or 2) // 2))
    with concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool:
        list(pool.map(lambda family: check_family(part, family), FAMILIES))


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
    if family.both_ways:
        trains("trains on the GPU", "gpu", 3, *gpu)
        compare("GPU against CPU", "gpu", "cpu")
    trains("trains two stages", "resumed", 2, *gpu)
    trains("goes on from its checkpoint", "resumed", 3, *gpu)
    if family.both_ways:
        compare("resumed on the GPU against never stopped", "resumed", "gpu")
        trains("trains two stages more", "moved", 2, *gpu)
        trains("goes on on the CPU from the GPU's checkpoint", "moved", 3, *cpu)
        compare("resumed on the CPU against the GPU", "moved", "gpu")
    else:
        compare("resumed on the GPU against the CPU, never stopped", "resumed", "cpu")
    trains(
        "two ranks on one GPU, audited", "ranks", 3, *gpu, "--distributed.audit-every", "1", ranks=2
    )
    part.check(f"{family.name}: every step was audited", lambda: audits(part, family))
    compare("two ranks on one GPU against the CPU", "ranks", "cpu")


def audits(part: Part, family: Family) -> str:
    count = len(thaw_command.events(run_folder(part, family, "ranks"), "audit"))
    if count < len(family.stages) * family.steps:
        raise AssertionError(f"{count} audits of {len(family.stages) * family.steps} steps")
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
