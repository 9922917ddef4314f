#!/usr/bin/env python3
"""Memory that `thaw check --ranks N` tells, beside the peak that the run then reports: MiniLM and
SmolLM2-135M, whole and sharded. Asked for: never less than the run, and at most 5 % more.

Texts of many lengths bring kernels that are made, and kept, for each: --batches banking77 --steps 200
shows what that comes to.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import sharded_state  # noqa: E402
import step_time  # noqa: E402
from measuring import options, processes, rank_series, report, thaw_command  # noqa: E402
from measuring.rounds import note  # noqa: E402
from measuring.sides import THAW  # noqa: E402
from measuring.step_job import Stage, StepJob, configuration  # noqa: E402

SHARDING = ("none", "optimizer", "gradients")
MOST = 1.05
DIGITS = 1.0005  # told with so many
NUMBERS_EACH = sharded_state.NUMBERS * (1 + sharded_state.MOMENTS)  # bytes of a trained one
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
COLUMNS = ("program", "weights", "gradients", "state", "activations", "buffers", "sum")

LEGEND = """\
One thread a rank unless said; AdamW; a run of all stages of a row's model. Told: the sum in the table of
`thaw check --ranks N`. Took: `peak_memory_bytes` in summary.json, of rank 0 within the stage. Gradients + state / share: what is told
of both, beside a 1/N of the active parameters' gradients and moments; with "gradients" at most 1.02."""


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "memory-forecast.json")
    rank_series.add_arguments(parser, on_ranks="2,4", steps=10, warm_up=2)
    add = parser.add_argument
    add("--models", type=options.listed, default=",".join(sharded_state.MODELS))
    add("--sharding", type=options.listed, default=",".join(SHARDING))
    add("--checkpoints", action="store_true", help="at transitions, as by default in a run")
    add("--smollm2", default=options.default("data", "smollm2"), help="folder of the weights")
    step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1], rounds=1)
    given = rank_series.settle(parser.parse_args())
    options.check_sides(given.models, sharded_state.MODELS)
    options.check_sides(given.sharding, SHARDING)
    if given.quick:
        given.models, given.on_ranks = given.models[:1], given.on_ranks[:1]
    return given


def minilm(given: argparse.Namespace) -> tuple[StepJob, list[Stage], str]:
    kind = given.batches[0]
    batch = given.batch or (32 if kind == "full" else 64)
    path, words = step_time.make_data(kind, batch, given)
    job = step_time.make_job(path, batch, "float32", given.dropout[0], given)
    chosen = sharded_state.STAGES["minilm"]
    stages = [stage for stage in step_time.ORDERS["top-down"] if stage.name in chosen]
    return job, stages, f"MiniLM, {words}"


def told_in(text: str, stages: list[str]) -> dict[str, dict[str, float]]:
    """Stage -> column -> bytes, from what `thaw check --ranks N` prints; stages that were not tried
    (there is not the memory here) are not among them."""
    rows = {}
    for line in text.splitlines():
        name, *cells = re.split(r"\s{2,}", line.strip())
        parts = [cell.split() for cell in cells]
        if name not in stages or len(parts) != len(COLUMNS):
            continue
        if all(len(part) == 2 and part[1] in UNITS for part in parts):
            numbers = (float(number) * UNITS[unit] for number, unit in parts)
            rows[name] = dict(zip(COLUMNS, numbers))
    return rows


def check(job: StepJob, config: str, ranks: int) -> str:
    """What it prints."""
    command = [job.thaw, "check", config, "--ranks", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              timeout=job.timeout, check=False)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise processes.RunFailed(f"{' '.join(command)}: none within {job.timeout:g} s") from error
    if done.returncode != 0:
        raise processes.RunFailed(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def measure(job: StepJob, stages: list[Stage], sharding: str, given: argparse.Namespace) -> dict:
    """`told` and `took`, by the names of stages; or a `problem`."""
    sections, _ = configuration(job, stages[0])
    sections["distributed"] = {"sharding": sharding}
    if given.checkpoints:
        del sections["checkpoint"]
    all_stages = [configuration(job, stage)[1][0] for stage in stages]
    names = {f"s{i}": stage.name for i, stage in enumerate(stages)}  # short: tables are narrow
    for short, stage in zip(names, all_stages):
        stage["name"] = short
    try:
        config = thaw_command.write_configuration(
            os.path.join(job.work, sharding), sections, all_stages)  # fmt: skip
        told = told_in(check(job, config, job.ranks), list(names))
        result = rank_series.run(job, sharding, sections, all_stages)
    except processes.RunFailed as error:
        return rank_series.problem_of(error)
    rows = {names[row["name"]]: row for row in result["summary"]["stages"]}
    return {
        "told": {names[short]: row for short, row in told.items()},
        "took": {name: row["peak_memory_bytes"] for name, row in rows.items()},
        "active": {name: row["active_parameters"] for name, row in rows.items()},
    }


def judged(told: float, took: float) -> list[str]:
    holds = took <= told * DIGITS and told <= MOST * took
    return [f"{told / took:.3f}", "yes" if holds else "NO"]


def table(stages: list[Stage], results: dict[str, dict], ranks: int) -> str:
    rows = []
    for sharding, result in results.items():
        if "problem" in result:
            rows.append([sharding, "", result["problem"], *[""] * 4])
            continue
        for stage in stages:
            took = result["took"].get(stage.name, 0)
            told = result["told"].get(stage.name, {})
            if not told or not took:
                rows.append([sharding, stage.name, "not told", f"{took / 1e6:.1f}", "", "NO", ""])
                continue
            share = NUMBERS_EACH * result["active"][stage.name] / ranks
            held = (told["gradients"] + told["state"]) / share
            rows.append([sharding, stage.name, f"{told['sum'] / 1e6:.1f}", f"{took / 1e6:.1f}",
                         *judged(told["sum"], took), f"{held:.3f}"])  # fmt: skip
    titles = ["sharding", "stage", "told MB", "took MB", "told / took", "holds",
              "gradients + state / share"]  # fmt: skip
    return report.markdown_table(titles, rows)


def main() -> None:
    given = parse()
    page = rank_series.Page("Memory told beforehand", options.command(given), given.threads, LEGEND)
    for ranks in map(int, given.on_ranks):
        for name in given.models:
            alone, stages, words = {"minilm": minilm, "smollm2": sharded_state.smollm2}[name](given)
            job = rank_series.on_ranks(alone, ranks, given, "memory-forecast")
            results = {}
            for sharding in given.sharding:
                results[sharding] = measure(job, stages, sharding, given)
                note(f"{ranks} ranks  {name:<8} {sharding}")
            heading = f"{words}: {rank_series.ranks_and_threads(ranks, given.threads)}"
            page.add(f"## {heading}\n\n{table(stages, results, ranks)}")
            page.keep({(name, side): [one] for side, one in results.items()}, ranks=ranks)
            page.write(given.output)


if __name__ == "__main__":
    main()
