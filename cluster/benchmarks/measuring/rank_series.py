"""One training at several numbers of ranks, in several ways that take turns: what the programs share
that compare options of Thaw."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import statistics
import sys
from collections.abc import Callable

from measuring import machine, options, processes, report, thaw_command
from measuring.datasets import ROOT
from measuring.rounds import note
from measuring.step_job import Stage, StepJob, configuration


def add_arguments(parser: argparse.ArgumentParser, on_ranks: str, steps: int, warm_up: int) -> None:
    add = parser.add_argument
    add("--on-ranks", type=options.listed, default=on_ranks, help="numbers of ranks")
    add("--mpiexec", default="mpirun", help="that belongs to the MPI Thaw was built with")
    add("--rounds", type=int, default=2, help="runs of each side and stage")
    add("--steps", type=int, default=steps, help="measured steps of a run")
    add("--warm-up", type=int, default=warm_up, help="steps before them, not measured")


def settle(given: argparse.Namespace) -> argparse.Namespace:
    given = options.settle(given)
    if given.quick:
        given.rounds, given.steps, given.warm_up = 1, 2, 1
    return given


def on_ranks(job: StepJob, ranks: int, given: argparse.Namespace, folder: str) -> StepJob:
    given.ranks = ranks
    return dataclasses.replace(
        job,
        ranks=ranks,
        launcher=options.launcher(given) if ranks > 1 else (),
        work=os.path.join(given.work, folder),
    )


def train(
    job: StepJob, side: str, stage: Stage, change: Callable[[dict], None], warm_up: int
) -> dict:
    """Rank 0's measured steps of a `thaw train` whose sections `change` has changed."""
    sections, stages = configuration(job, stage)
    change(sections)
    result = run(job, side, sections, stages)
    steps = result["steps"][warm_up:]
    (row,) = result["summary"]["stages"]
    (entered,) = thaw_command.events(result["run_folder"], "transition")
    return {
        "step_seconds": [thaw_command.step_seconds(step) for step in steps],
        "exposed_seconds": [step["seconds"]["communication"] for step in steps],
        "bytes": [step.get("bytes_reduced", 0) for step in steps],
        "peak_memory_bytes": row["peak_memory_bytes"],
        "active_parameters": row.get("active_parameters", 0),
        "state_bytes": entered.get("state_bytes", 0),
    }


def problem_of(error: processes.RunFailed) -> dict:
    """What take_turns keeps in place of the figures of a run that failed."""
    return {"problem": str(error).strip().splitlines()[-1][:120]}


def run(job: StepJob, side: str, sections: dict, stages: list[dict]) -> dict:
    """As thaw_command.train has it."""
    folder = os.path.join(job.work, side)
    config = thaw_command.write_configuration(folder, sections, stages)
    threads = {"OMP_NUM_THREADS": str(job.threads)}
    return thaw_command.train([*job.launcher, job.thaw], config, folder, threads, job.timeout)


def take_turns(
    ranks: int,
    stages: list[Stage],
    sides: list[str],
    rounds: int,
    measure: Callable[[str, Stage], dict],
) -> dict[tuple[str, str], list[dict]]:
    """All results by stage and side; each round begins with the next side."""
    runs = {(stage.name, side): [] for stage in stages for side in sides}
    for number in range(rounds):
        first = number % len(sides)
        for stage in stages:
            for side in sides[first:] + sides[:first]:
                result = measure(side, stage)
                runs[stage.name, side].append(result)
                note(f"{ranks} ranks  {stage.name:<16} {side:<14} {_said(result)}")
    return runs


def _said(result: dict) -> str:
    if "problem" in result:
        return result["problem"]
    return (
        f"{1e3 * statistics.median(result['step_seconds']):8.1f} ms/step  "
        f"{result['peak_memory_bytes'] / 2**20:7.0f} MiB"
    )


def middle(results: list[dict], key: str) -> float:
    """Over all values of all rounds."""
    values = []
    for result in results:
        value = result[key]
        values += value if isinstance(value, list) else [value]
    return statistics.median(values)


class Page:
    """The report: printed part by part, and written with all raw figures, as often as is wished: what
    has been measured is there then, whatever becomes of the rest."""

    def __init__(self, title: str, thaw: str, threads: int, text: str = ""):
        self._facts = machine.facts(thaw, threads, ROOT)
        self._texts: list[str] = []
        self._runs: list[dict] = []
        command = shlex.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])
        about = f"# {title}\n\n{machine.header(self._facts)}\n\n    {command}"
        self.add(about + (f"\n\n{text}" if text else ""))

    def add(self, text: str) -> None:
        self._texts.append(text)
        print(("\n" if len(self._texts) > 1 else "") + text, flush=True)

    def keep(self, runs: dict[tuple[str, str], list[dict]], **about) -> None:
        self._runs += [
            {**about, "stage": stage, "side": side, "results": results}
            for (stage, side), results in runs.items()
        ]

    def write(self, output: str) -> None:
        content = {"machine": self._facts, "command": sys.argv, "runs": self._runs}
        report.write_json(output, content)
        report.write_text(report.markdown_path(output), "\n\n".join(self._texts) + "\n")


def ranks_and_threads(ranks: int, threads: int) -> str:
    return (
        f"{ranks} rank{'s' if ranks > 1 else ''} of {threads} thread{'s' if threads > 1 else ''}"
    )
