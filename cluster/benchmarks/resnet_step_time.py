#!/usr/bin/env python3
"""Step time, memory and start-up of Thaw beside channels-last PyTorch: a CIFAR ResNet."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from measuring import datasets, options, step_tables  # noqa: E402
from measuring.step_job import Stage, StepJob  # noqa: E402
from measuring.step_tables import Table  # noqa: E402

STAGES = [
    Stage("head", ["head"]),
    Stage("layer3+head", ["layer3", "head"]),
    Stage("all", ["stem", "layer1", "layer2", "layer3", "head"]),
]
MEAN, STD = "0.485,0.456,0.406", "0.229,0.224,0.225"  # ImageNet's, which the weights were made with
CLASSES = 10


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "resnet-step-time.json")
    options.add_rounds(parser)
    add = parser.add_argument
    add("--batch", type=int, default=128, help="samples a step")
    add("--precision", type=options.listed, default="float32", help="float32,bfloat16")
    add_arguments(parser)
    return options.settle_rounds(parser.parse_args())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--depth", type=int, default=56, help="20, 32, 44, 56 or any 6 n + 2")
    add("--weights", default="", help="safetensors; without it, random weights")
    add("--images", default="", help="FILE.npz:IMAGES,LABELS; without it, random images")


def make_data(given: argparse.Namespace, batch: int) -> str:
    samples = batch * (given.steps + given.warm_up)
    folder = os.path.join(given.work, "data")
    path = os.path.join(folder, f"images-{samples}.h5")
    if not given.images:
        images = datasets.random_images(samples, 32, CLASSES)
        datasets.write_images(path, [f"class {i}" for i in range(CLASSES)], images)
        return path
    file, _, arrays = given.images.rpartition(":")
    train = f"{options.existing(file, '--images')}:{arrays}"
    source = os.path.join(folder, os.path.splitext(os.path.basename(file))[0] + ".h5")
    datasets.prepare(source, "images", "--train", train, "--mean", MEAN, "--std", STD)
    images = datasets.some_images(datasets.read_images(source), samples)
    datasets.write_images(path, datasets.class_names(source) or _numbers(images), images)
    return path


def _numbers(images: datasets.Images) -> list[str]:
    return [str(i) for i in range(int(images.labels.max()) + 1)]


def make_job(path: str, batch: int, precision: str, given: argparse.Namespace) -> StepJob:
    return StepJob(
        model={
            "architecture": "resnet-cifar",
            "depth": given.depth,
            "weights": options.existing(given.weights, "--weights") if given.weights else "",
            "classes": len(datasets.class_names(path)),
        },
        data={"file": path, "batch": batch, "seed": 0},
        optimizer={"name": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "weight_decay": 1e-4},
        precision=precision,
        steps=given.warm_up + given.steps,
        threads=given.threads,
        work=os.path.join(given.work, "resnet-step-time"),
        timeout=given.timeout,
        thaw=options.command(given) if "thaw" in given.sides else "",
    )


def main() -> None:
    given = parse()
    path = make_data(given, given.batch)
    stages = STAGES[::2] if given.quick else STAGES
    tables = [
        Table(
            title=f"batch {given.batch}, {precision}",
            job=make_job(path, given.batch, precision, given),
            tune_on=STAGES[-1],
            parts={"from the output down": stages},
        )
        for precision in given.precision
    ]
    title = f"ResNet-{given.depth} on 32 x 32 images, channels last: milliseconds a step"
    step_tables.measure(tables, given, title)


if __name__ == "__main__":
    main()
