#!/usr/bin/env python3
"""Step time, memory and transitions of Thaw beside DistributedDataParallel: several ranks."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import resnet_step_time  # noqa: E402
import step_time  # noqa: E402
from measuring import options, step_tables  # noqa: E402
from measuring.rounds import note  # noqa: E402
from measuring.sides import (  # noqa: E402
    DDP,
    DDP_RATE0,
    DDP_TUNED,
    DDP_UNUSED,
    PLAIN_LOOP,
    THAW,
    THAW_CACHED,
)
from measuring.step_job import StepJob  # noqa: E402
from measuring.step_tables import Table  # noqa: E402

SIDES = [THAW, DDP, DDP_TUNED, DDP_UNUSED, DDP_RATE0, PLAIN_LOOP, THAW_CACHED]

LEGEND = """\
Medians of rank 0 over the steps of all rounds, the sides taking turns. ddp: DistributedDataParallel
on gloo, wrapped anew for the stage, as people write it. ddp-tuned: the same, fused optimizer, frozen
modules in eval mode, batches made in advance. ddp-unused: wrapped once around all parameters, with
find_unused_parameters. ddp-rate0: wrapped once, all trainable, learning rate 0 where frozen.
plain-loop: Thaw's model and optimizer, one blocking MPI_Allreduce a parameter after backward.
thaw-cached: reads what frozen layers return (train.prefix-cache = "on"); that file is made before.
BatchNorms take each rank's own statistics on all sides. Peak memory: resident, of rank 0, within the
stage. Transition: into the stage (of ddp: wrapping)."""


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "distributed-step-time.json")
    options.add_rounds(parser, SIDES)
    options.add_launcher(parser)
    parser.add_argument("--models", type=options.listed, default="minilm,resnet56")
    step_time.add_arguments(parser)
    resnet_step_time.add_arguments(parser)
    parser.set_defaults(threads=1, dropout=[0.1])
    return options.settle_rounds(parser.parse_args(), SIDES)


def on_ranks(job: StepJob, given: argparse.Namespace) -> StepJob:
    return dataclasses.replace(
        job,
        ranks=given.ranks,
        launcher=options.launcher(given),
        variants=options.variants(given) if PLAIN_LOOP in given.sides else "",
        work=os.path.join(given.work, "distributed-step-time"),
    )


def tables_of_minilm(given: argparse.Namespace) -> list[Table]:
    tables = []
    parts = {order: step_time.ORDERS[order] for order in given.orders}
    if given.quick:
        parts = {order: [stages[0], stages[-1]] for order, stages in parts.items()}
    for kind in given.batches:
        batch = given.batch or (32 if kind == "full" else 64)
        path, words = step_time.make_data(kind, batch, given)
        note(f"{path}: {words}")
        job = step_time.make_job(path, batch, "float32", given.dropout[0], given)
        title = f"MiniLM, {given.ranks} ranks, {words}, dropout {given.dropout[0]:g}"
        tables.append(Table(title, on_ranks(job, given), step_time.ORDERS["top-down"][3], parts))
    return tables


def table_of_resnet(given: argparse.Namespace) -> Table:
    batch = given.batch or 128
    path = resnet_step_time.make_data(given, batch)
    job = resnet_step_time.make_job(path, batch, "float32", given)
    stages = resnet_step_time.STAGES[::2] if given.quick else resnet_step_time.STAGES
    title = f"ResNet-{given.depth}, {given.ranks} ranks, batch {batch}"
    parts = {"from the output down": stages}
    return Table(title, on_ranks(job, given), stages[-1], parts)


def main() -> None:
    given = parse()
    tables = []
    if "minilm" in given.models:
        tables += tables_of_minilm(given)
    if "resnet56" in given.models:
        tables.append(table_of_resnet(given))
    step_tables.measure(tables, given, "Several ranks: milliseconds a step", LEGEND)


if __name__ == "__main__":
    main()
