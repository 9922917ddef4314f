#!/usr/bin/env python3
"""Step time, memory and start-up of Thaw beside PyTorch: MiniLM, stage by stage, one process."""

from __future__ import annotations

import argparse
import itertools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from measuring import datasets, options, sample_order, step_tables  # noqa: E402
from measuring.rounds import note  # noqa: E402
from measuring.sides import BARE_ENGINE  # noqa: E402
from measuring.step_job import Stage, StepJob  # noqa: E402
from measuring.step_tables import Table  # noqa: E402

LAYERS = [f"encoder.{i}" for i in range(6)]
EVERYTHING = ["embeddings", *LAYERS, "head"]

ORDERS = {
    "top-down": [
        Stage("head", ["head"]),
        Stage("+2 upper layers", [*LAYERS[4:], "head"]),
        Stage("+4 upper layers", [*LAYERS[2:], "head"]),
        Stage("all layers", [*LAYERS, "head"]),
        Stage("with embeddings", EVERYTHING),
    ],
    "bottom-up": [
        Stage("embeddings+head", ["embeddings", "head"]),
        Stage("+2 lowest layers", ["embeddings", *LAYERS[:2], "head"]),
        Stage("+4 lowest layers", ["embeddings", *LAYERS[:4], "head"]),
        Stage("all", EVERYTHING),
    ],
}


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "step-time.json")
    options.add_rounds(parser)
    parser.add_argument("--precision", type=options.listed, default="float32", help="float32,bfloat16")
    add_arguments(parser)
    given = options.settle_rounds(parser.parse_args(), (*options.ONE_PROCESS, BARE_ENGINE))
    if given.quick:
        given.dropout = given.dropout[:1]
    return given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", default=options.default("data"), help="folder that holds minilm/")
    add("--batches", type=options.listed, default="full", help="full,banking77,wordnet")
    add("--dropout", type=options.numbers, default="0.1,0", help="a table each; attention's too")
    add("--orders", type=options.listed, default="top-down,bottom-up")
    add("--batch", type=int, default=0, help="samples a step; 0: 32 full texts, 64 real, 128 images")
    add("--tokens", type=int, default=32, help="length of full samples")
    add("--max-tokens", type=int, default=32, help="where real samples are cut")
    add("--classes", type=int, default=77, help="of full samples")
    banking77 = options.default(os.pardir, "shared", "data", "banking77")
    add("--banking77", default=banking77, help="folder with train.csv")
    add("--wordnet", default="/usr/share/wordnet", help="folder with data.noun and the others")


def make_data(kind: str, batch: int, given: argparse.Namespace) -> tuple[str, str]:
    """Makes the file of one kind of batches; returns its path and what it is, in words."""
    samples = batch * (given.steps + given.warm_up)
    folder = os.path.join(given.work, "data")
    path = os.path.join(folder, f"{kind}-{samples}.h5")
    if kind == "full":
        texts = datasets.random_texts(samples, given.tokens, given.classes)
        names = [f"class {i}" for i in range(given.classes)]
        datasets.write_texts(path, names, train=texts)
        return path, f"{batch} x {given.tokens} tokens"
    longest = ["--max-tokens", str(given.max_tokens)]
    tokenizer = options.existing(os.path.join(given.data, "minilm", "tokenizer.json"), "--data")
    source = os.path.join(folder, f"{kind}-{given.max_tokens}.h5")
    if kind == "banking77":
        table = options.existing(os.path.join(given.banking77, "train.csv"), "--banking77")
        columns = ["--text-column", "text", "--label-column", "category"]
        command = ["text", "--train", table, *columns]
    else:
        command = ["wordnet", "--source", options.existing(given.wordnet, "--wordnet")]
    datasets.prepare(source, *command, "--tokenizer", tokenizer, *longest)
    texts = datasets.some_texts(datasets.read_texts(source), samples)
    datasets.write_texts(path, datasets.class_names(source), train=texts)
    order = sample_order.global_batches(len(texts), batch, seed=0)
    batches = list(itertools.islice(order, given.steps + given.warm_up))
    share = datasets.real_share(texts, batches)
    return path, f"{batch} texts of {kind}, {100 * share:.0f} % of padded tokens real"


def make_job(path: str, batch: int, precision: str, dropout: float, given) -> StepJob:
    minilm = os.path.join(given.data, "minilm")
    return StepJob(
        model={
            "architecture": "bert",
            "weights": options.existing(os.path.join(minilm, "model.safetensors"), "--data"),
            "config": options.existing(os.path.join(minilm, "config.json"), "--data"),
            "classes": len(datasets.class_names(path)),
            "dropout": dropout,
            "attention_dropout": dropout,
            "head_dropout": dropout,
        },
        data={"file": path, "batch": batch, "seed": 0},
        optimizer={"name": "adamw", "learning_rate": 1e-5, "weight_decay": 0.01},
        precision=precision,
        steps=given.warm_up + given.steps,
        threads=given.threads,
        work=os.path.join(given.work, "step-time"),
        timeout=given.timeout,
        thaw=options.command(given) if "thaw" in given.sides else "",
        variants=options.variants(given) if BARE_ENGINE in given.sides else "",
    )


def main() -> None:
    given = parse()
    parts = {order: ORDERS[order] for order in given.orders}
    if given.quick:
        parts = {order: [stages[0], stages[-1]] for order, stages in parts.items()}
    tables = []
    for kind in given.batches:
        batch = given.batch or (32 if kind == "full" else 64)
        path, words = make_data(kind, batch, given)
        note(f"{path}: {words}")
        for precision in given.precision:
            for dropout in given.dropout:
                tables.append(
                    Table(
                        title=f"{words}, {precision}, dropout {dropout:g}",
                        job=make_job(path, batch, precision, dropout, given),
                        tune_on=ORDERS["top-down"][3],
                        parts=parts,
                    )
                )
    step_tables.measure(tables, given, "MiniLM: milliseconds a step")


if __name__ == "__main__":
    main()
