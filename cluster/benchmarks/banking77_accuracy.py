#!/usr/bin/env python3
"""Accuracy on BANKING77 after gradual unfreezing: Thaw beside a PyTorch script doing the same."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from measuring import accuracy_results, datasets, finetune_job, machine, options  # noqa: E402
from measuring import report  # noqa: E402
from measuring.finetune_job import FinetuneJob  # noqa: E402
from measuring.rounds import note  # noqa: E402
from measuring.sides import PAIRED, THAW, TORCH  # noqa: E402
from measuring.step_job import Stage  # noqa: E402

LAYERS = [f"encoder.{i}" for i in range(6)]
ALL = Stage("all", ["embeddings", *LAYERS, "head"])
DIRECTIONS = {
    "top-down": [
        Stage("head", ["head"]),
        Stage("+2 upper layers", [*LAYERS[4:], "head"]),
        Stage("+4 upper layers", [*LAYERS[2:], "head"]),
        ALL,
    ],
    "bottom-up": [
        Stage("embeddings+head", ["embeddings", "head"]),
        Stage("+2 lowest layers", ["embeddings", *LAYERS[:2], "head"]),
        Stage("+4 lowest layers", ["embeddings", *LAYERS[:4], "head"]),
        ALL,
    ],
}


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "banking77-accuracy.json")
    add = parser.add_argument
    banking77 = options.default(os.pardir, "shared", "data", "banking77")
    add("--data", default=options.default("data"), help="folder that holds minilm/")
    add("--train", default=os.path.join(banking77, "train.csv"), help="with text and category")
    add("--test", default=os.path.join(banking77, "test.csv"))
    add("--sides", type=options.listed, default=f"{THAW},{TORCH},{PAIRED}")
    add("--directions", type=options.listed, default="top-down,bottom-up")
    add("--seeds", type=int, default=5, help="0 to N-1")
    add("--epochs", type=int, default=1, help="of each stage")
    add("--batch", type=int, default=64)
    add("--max-tokens", type=int, default=64, help="where texts are cut")
    add("--dropout", type=float, default=0.1, help="attention's too")
    add("--head-rate", type=float, default=1e-3, help="learning rate of the head")
    add("--rate", type=float, default=1e-4, help="learning rate of all else")
    add("--weight-decay", type=float, default=0.01)
    add("--device", default="cpu", help="of the PyTorch script")
    given = parser.parse_args()
    options.check_sides(given.sides, [THAW, TORCH, PAIRED])
    if given.quick:
        given.seeds = 1
    return options.settle(given)


def make_data(given: argparse.Namespace) -> str:
    tokenizer = options.existing(os.path.join(given.data, "minilm", "tokenizer.json"), "--data")
    folder = os.path.join(given.work, "data")
    source = os.path.join(folder, f"banking77-splits-{given.max_tokens}.h5")
    datasets.prepare(
        source,
        *["text", "--text-column", "text", "--label-column", "category"],
        *["--train", options.existing(given.train, "--train")],
        *["--test", options.existing(given.test, "--test")],
        *["--tokenizer", tokenizer, "--max-tokens", str(given.max_tokens)],
    )
    if not given.quick:
        return source
    small = os.path.join(folder, "banking77-small.h5")
    train, test = (datasets.read_texts(source, split) for split in ("train", "test"))
    datasets.write_texts(
        small,
        datasets.class_names(source),
        train=datasets.some_texts(train, 3 * given.batch),
        test=datasets.some_texts(test, 2 * given.batch),
    )
    return small


def make_job(file: str, given: argparse.Namespace) -> FinetuneJob:
    minilm = os.path.join(given.data, "minilm")
    return FinetuneJob(
        model={
            "architecture": "bert",
            "weights": options.existing(os.path.join(minilm, "model.safetensors"), "--data"),
            "config": options.existing(os.path.join(minilm, "config.json"), "--data"),
            "classes": len(datasets.class_names(file)),
            "dropout": given.dropout,
            "attention_dropout": given.dropout,
            "head_dropout": given.dropout,
        },
        file=file,
        batch=given.batch,
        epochs=given.epochs,
        head_rate=given.head_rate,
        rate=given.rate,
        weight_decay=given.weight_decay,
        threads=given.threads,
        device=given.device,
        work=os.path.join(given.work, "banking77"),
        timeout=given.timeout,
        thaw=options.command(given) if {THAW, PAIRED} & set(given.sides) else "",
    )


def settings_of(given: argparse.Namespace) -> dict:
    """What results must share to stand in one table."""
    names = "batch epochs max_tokens dropout head_rate rate weight_decay quick".split()
    return {name: getattr(given, name) for name in names}


def run(job: FinetuneJob, side: str, direction: str, seed: int) -> dict:
    folder = os.path.join(job.work, f"{direction}-{seed}-{side}")
    stages = DIRECTIONS[direction]
    if side == THAW:
        return finetune_job.run_thaw(job, stages, seed, folder)
    head = finetune_job.initial_head(job, seed) if side == PAIRED else ""
    return finetune_job.run_torch(job, stages, seed, folder, head)


def main() -> None:
    given = parse()
    job = make_job(make_data(given), given)
    results = accuracy_results.Results(given.output, settings_of(given))
    facts = machine.facts(job.thaw or None, given.threads, datasets.ROOT)
    results.add_machine(facts)
    for seed in range(given.seeds):
        for direction in given.directions:
            for side in given.sides:
                if results.has(direction, side, seed):
                    continue
                result = run(job, side, direction, seed)
                results.add(direction, side, seed, result)
                note(
                    f"seed {seed}  {direction:<9} {side:<6} {100 * result['accuracy']:6.2f} % "
                    f"in {result['seconds']:.0f} s"
                )
    title = (
        f"# BANKING77: accuracy on test after 4 stages of {given.epochs} epoch(s), dropout "
        f"{given.dropout:g}\n\n{machine.header(facts)}"
    )
    text = accuracy_results.report(results, title)
    print(text)
    report.write_text(report.markdown_path(given.output), text + "\n")


if __name__ == "__main__":
    main()
