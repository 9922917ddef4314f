#!/usr/bin/env python3
"""What sharding the optimizer's state and the sums of gradients saves and costs: MiniLM, by stage.

`thaw train` with distributed.sharding "none", "optimizer" and "gradients", one after the other in each
stage, at each number of ranks: time of a step, resident memory of rank 0 at its peak within the stage,
bytes of gradients that a step sums.
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

SIDES = ("none", "optimizer", "gradients")
STAGES = ("head", "+2 upper layers", "all layers", "with embeddings")


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "sharded-state.json")
    add = parser.add_argument
    add("--on-ranks", type=options.listed, default="2,4", help="numbers of ranks")
    add("--mpiexec", default="mpirun", help="that belongs to the MPI Thaw was built with")
    add("--rounds", type=int, default=2, help="runs of each side and stage")
    add("--steps", type=int, default=8, help="measured steps of a run")
    add("--warm-up", type=int, default=3, help="steps before them, not measured")
    step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1])
    given = options.settle(parser.parse_args())
    if given.quick:
        given.rounds, given.steps, given.warm_up = 1, 2, 1
    return given


def train(job: StepJob, side: str, sections: dict, stages: list) -> dict:
    sections["distributed"] = {**sections.get("distributed", {}), "sharding": side}
    config = thaw_command.write_configuration(os.path.join(job.work, side), sections, stages)
    folder = os.path.join(job.work, side)
    threads = {"OMP_NUM_THREADS": str(job.threads)}
    return thaw_command.train([*job.launcher, job.thaw], config, folder, threads, job.timeout)


def run(job: StepJob, side: str, stage: Stage, given: argparse.Namespace) -> dict:
    """Rank 0's measured steps, in seconds."""
    result = train(job, side, *configuration(job, stage))
    steps = result["steps"][given.warm_up :]
    (row,) = result["summary"]["stages"]
    return {
        "step_seconds": [thaw_command.step_seconds(step) for step in steps],
        "bytes": [step["bytes_reduced"] for step in steps],
        "peak_memory_bytes": row["peak_memory_bytes"],
    }


def measure(job: StepJob, stages: list[Stage], given: argparse.Namespace) -> dict:
    """All runs by stage and side; the sides take turns at going first."""
    runs = {(stage.name, side): [] for stage in stages for side in SIDES}
    for number in range(given.rounds):
        for stage in stages:
            for place in range(len(SIDES)):
                side = SIDES[(number + place) % len(SIDES)]
                result = run(job, side, stage, given)
                runs[stage.name, side].append(result)
                middle = statistics.median(result["step_seconds"])
                note(f"{job.ranks} ranks  {stage.name:<16} {side:<10} {1e3 * middle:8.1f} ms/step  "
                     f"{result['peak_memory_bytes'] / 2**20:7.0f} MiB")
    return runs


def table(stages: list[Stage], runs: dict) -> str:
    def middle(stage: Stage, side: str, key: str) -> float:
        return statistics.median(value for one in runs[stage.name, side] for value in one[key])

    def peak(stage: Stage, side: str) -> float:
        return statistics.median(one["peak_memory_bytes"] for one in runs[stage.name, side]) / 2**20

    rows = []
    for stage in stages:
        times = [middle(stage, side, "step_seconds") for side in SIDES]
        moved = [f"{middle(stage, side, 'bytes') / 1e6:.1f}" for side in SIDES]
        rows.append([
            stage.name,
            " / ".join(f"{1e3 * each:.0f}" for each in times),
            " / ".join(f"{each / times[0]:.2f}" for each in times[1:]),
            " / ".join(f"{peak(stage, side):.0f}" for side in SIDES),
            " / ".join(moved),
        ])
    three = "none / optimizer / gradients"
    titles = ["stage", f"ms a step {three}", "beside none", f"peak MiB {three}",
              "MB summed a step"]
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
    texts = [f"# Sharded state: MiniLM, {words}\n\n{machine.header(facts)}"]
    print(texts[0], flush=True)
    content = {"machine": facts, "command": sys.argv, "runs": []}
    for ranks in map(int, given.on_ranks):
        given.ranks = ranks
        job = dataclasses.replace(
            job,
            ranks=ranks,
            launcher=options.launcher(given) if ranks > 1 else (),
            work=os.path.join(given.work, "sharded-state"),
        )
        runs = measure(job, stages, given)
        texts.append(f"## {ranks} ranks of {given.threads} thread"
                     f"{'s' if given.threads > 1 else ''}\n\n{table(stages, runs)}")
        print("\n" + texts[-1], flush=True)
        content["runs"] += [{"ranks": ranks, "stage": stage, "side": side, "results": results}
                            for (stage, side), results in runs.items()]
    report.write_json(given.output, content)
    report.write_text(report.markdown_path(given.output), "\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
