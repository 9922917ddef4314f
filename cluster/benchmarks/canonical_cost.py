#!/usr/bin/env python3
"""What sums with the same bits at any number of ranks cost: MiniLM, stage by stage.

`thaw train` with train.reduction "buckets", the default, and "canonical", one after the other in each
stage, at each number of ranks. All ranks compute with the same number of threads, as canonical needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import step_time  # noqa: E402
from measuring import machine, options, report, thaw_command  # noqa: E402
from measuring.datasets import ROOT  # noqa: E402
from measuring.rounds import note  # noqa: E402
from measuring.sides import THAW  # noqa: E402
from measuring.step_job import Stage, StepJob, configuration  # noqa: E402

BUCKETS, CANONICAL = "buckets", "canonical"
STAGES = ("head", "+2 upper layers", "all layers", "with embeddings")


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "canonical-cost.json")
    add = parser.add_argument
    add("--on-ranks", type=options.listed, default="1,2", help="numbers of ranks")
    add("--mpiexec", default="mpirun", help="that belongs to the MPI Thaw was built with")
    add("--shards", type=int, default=8, help="of a batch, in canonical")
    add("--rounds", type=int, default=2, help="runs of each side and stage")
    add("--steps", type=int, default=6, help="measured steps of a run")
    add("--warm-up", type=int, default=2, help="steps before them, not measured")
    step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1])
    given = options.settle(parser.parse_args())
    if given.quick:
        given.rounds, given.steps, given.warm_up = 1, 2, 1
    return given


def run(job: StepJob, side: str, stage: Stage, given: argparse.Namespace) -> dict:
    """Rank 0's measured steps in seconds, and of them those with nothing but communication."""
    sections, stages = configuration(job, stage)
    sections["train"]["reduction"] = side
    if side == CANONICAL:
        sections["train"]["shards"] = given.shards
    config = thaw_command.write_configuration(os.path.join(job.work, side), sections, stages)
    command = [*job.launcher, job.thaw]
    threads = {"OMP_NUM_THREADS": str(job.threads)}
    folder = os.path.join(job.work, side)
    result = thaw_command.train(command, config, folder, threads, job.timeout)
    steps = result["steps"][given.warm_up :]
    (row,) = result["summary"]["stages"]
    return {
        "step_seconds": [thaw_command.step_seconds(step) for step in steps],
        "exposed_seconds": [step["seconds"]["communication"] for step in steps],
        "peak_memory_bytes": row["peak_memory_bytes"],
    }


def measure(job: StepJob, stages: list[Stage], given: argparse.Namespace) -> dict:
    """All runs by stage and side; the sides take turns at going first."""
    runs = {(stage.name, side): [] for stage in stages for side in (BUCKETS, CANONICAL)}
    for number in range(given.rounds):
        for stage in stages:
            for side in (BUCKETS, CANONICAL)[:: -1 if number % 2 else 1]:
                result = run(job, side, stage, given)
                runs[stage.name, side].append(result)
                middle = statistics.median(result["step_seconds"])
                note(f"{job.ranks} ranks  {stage.name:<16} {side:<10} {1e3 * middle:8.1f} ms/step")
    return runs


def table(stages: list[Stage], runs: dict) -> str:
    def middle(stage: Stage, side: str, key: str) -> float:
        return statistics.median(value for one in runs[stage.name, side] for value in one[key])

    def both(stage: Stage, key: str, unit: float) -> str:
        return " / ".join(f"{unit * middle(stage, side, key):.0f}" for side in (BUCKETS, CANONICAL))

    def memory(stage: Stage) -> str:
        peaks = [[one["peak_memory_bytes"] for one in runs[stage.name, side]]
                 for side in (BUCKETS, CANONICAL)]
        return " / ".join(f"{statistics.median(peak) / 2**20:.0f}" for peak in peaks)

    rows = []
    for stage in stages:
        of = [middle(stage, side, "step_seconds") for side in (BUCKETS, CANONICAL)]
        rows.append([stage.name, *(f"{1e3 * one:.0f}" for one in of), f"{of[1] / of[0]:.2f}",
                     both(stage, "exposed_seconds", 1e3), memory(stage)])
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
    job = step_time.make_job(path, batch, "float32", given.dropout[0], given)
    facts = machine.facts(job.thaw, given.threads, ROOT)
    texts = [f"# Canonical sums: MiniLM, {words}, {given.shards} shards\n\n{machine.header(facts)}"]
    print(texts[0], flush=True)
    content = {"machine": facts, "command": sys.argv, "runs": []}
    for ranks in map(int, given.on_ranks):
        given.ranks = ranks
        job = dataclasses.replace(
            job,
            ranks=ranks,
            launcher=options.launcher(given) if ranks > 1 else (),
            work=os.path.join(given.work, "canonical-cost"),
        )
        runs = measure(job, stages, given)
        texts.append(f"## {ranks} rank{'s' if ranks > 1 else ''} of {given.threads} thread"
                     f"{'s' if given.threads > 1 else ''}\n\n{table(stages, runs)}")
        print("\n" + texts[-1], flush=True)
        content["runs"] += [{"ranks": ranks, "stage": stage, "side": side, "results": results}
                            for (stage, side), results in runs.items()]
    report.write_json(given.output, content)
    report.write_text(report.markdown_path(given.output), "\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
