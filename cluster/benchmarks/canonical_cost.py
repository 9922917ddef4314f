#!/usr/bin/env python3
"""What sums with the same bits at any number of ranks cost: MiniLM, stage by stage.

`thaw train` with train.reduction "buckets", the default, and "canonical", one after the other in each
stage, at each number of ranks. All ranks compute with the same number of threads, as canonical needs.
"""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import step_time  # noqa: E402
from measuring import options, rank_series, report  # noqa: E402
from measuring.rank_series import middle  # noqa: E402
from measuring.sides import THAW  # noqa: E402
from measuring.step_job import Stage, StepJob  # noqa: E402

BUCKETS, CANONICAL = SIDES = ["buckets", "canonical"]
STAGES = ("head", "+2 upper layers", "all layers", "with embeddings")


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "canonical-cost.json")
    rank_series.add_arguments(parser, on_ranks="1,2", steps=6, warm_up=2)
    parser.add_argument("--shards", type=int, default=8, help="of a batch, in canonical")
    step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1])
    return rank_series.settle(parser.parse_args())


def measure(job: StepJob, side: str, stage: Stage, given: argparse.Namespace) -> dict:
    def change(sections: dict) -> None:
        sections["train"]["reduction"] = side
        if side == CANONICAL:
            sections["train"]["shards"] = given.shards

    return rank_series.train(job, side, stage, change, given.warm_up)


def table(stages: list[Stage], runs: dict) -> str:
    def both(stage: Stage, key: str, unit: float) -> str:
        return " / ".join(f"{unit * middle(runs[stage.name, side], key):.0f}" for side in SIDES)

    rows = []
    for stage in stages:
        of = [middle(runs[stage.name, side], "step_seconds") for side in SIDES]
        rows.append([stage.name, *(f"{1e3 * one:.0f}" for one in of), f"{of[1] / of[0]:.2f}",
                     both(stage, "exposed_seconds", 1e3),
                     both(stage, "peak_memory_bytes", 2**-20)])  # fmt: skip
    titles = ["stage", "buckets ms", "canonical ms", "canonical/buckets"]
    titles += [f"{what} buckets / canonical" for what in ("exposed ms", "peak MiB")]
    return report.markdown_table(titles, rows)


def main() -> None:
    given = parse()
    batch = given.batch or 32
    path, words = step_time.make_data("full", batch, given)
    stages = [stage for stage in step_time.ORDERS["top-down"] if stage.name in STAGES]
    if given.quick:
        stages = stages[:1]
    alone = step_time.make_job(path, batch, "float32", given.dropout[0], given)
    page = rank_series.Page(f"Canonical sums: MiniLM, {words}, {given.shards} shards", alone.thaw,
                            given.threads)  # fmt: skip
    for ranks in map(int, given.on_ranks):
        job = rank_series.on_ranks(alone, ranks, given, "canonical-cost")
        runs = rank_series.take_turns(ranks, stages, SIDES, given.rounds,
                                      lambda side, stage: measure(job, side, stage, given))  # fmt: skip
        heading = rank_series.ranks_and_threads(ranks, given.threads)
        page.add(f"## {heading}\n\n{table(stages, runs)}")
        page.keep(runs, ranks=ranks)
    page.write(given.output)


if __name__ == "__main__":
    main()
