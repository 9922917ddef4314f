#!/usr/bin/env python3
"""What gradients of only the active layers save on a slow network: MiniLM on two virtual hosts.

cluster/virtual/hosts.sh makes the hosts, network namespaces joined by a bridge, and limits what each
sends and receives. For each rate and stage `thaw train` runs twice: as it is, and in the way of those
who never rebuild the all-reduce: everything trainable, learning rate 0 where it should be frozen.
Needs root, iproute2 and Open MPI.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import step_time  # noqa: E402
from measuring import machine, options, report, thaw_command  # noqa: E402
from measuring.datasets import ROOT  # noqa: E402
from measuring.rounds import note  # noqa: E402
from measuring.sides import THAW  # noqa: E402
from measuring.step_job import Stage, StepJob, configuration  # noqa: E402

HOSTS = os.path.join(ROOT, "cluster", "virtual", "hosts.sh")
RATE0 = "rate 0"
UNLIMITED = "off"


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "slow-network.json")
    add = parser.add_argument
    add("--rates", type=options.listed, default="off,1000,100", help="Mbit/s of each host; or off")
    add("--ranks", type=int, default=2, help="hosts, of one rank each")
    add("--steps", type=int, default=5, help="measured steps of a run")
    add("--warm-up", type=int, default=3, help="steps before them, not measured")
    step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1])
    given = options.settle(parser.parse_args())
    if given.quick:
        given.steps, given.warm_up, given.rates = 2, 1, given.rates[:1]
    return given


@contextlib.contextmanager
def virtual_hosts(count: int) -> Iterator[None]:
    started = subprocess.run(
        [HOSTS, "start", "--hosts", str(count)], capture_output=True, text=True, check=False
    )
    if started.returncode != 0:
        raise SystemExit(f"{HOSTS} start: {started.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([HOSTS, "stop"], check=True)


def run(job: StepJob, side: str, stage: Stage, warm_up: int) -> dict:
    """Medians of rank 0's steps: seconds, of them nothing but communication, and bytes sent up."""
    sections, (only,) = configuration(job, stage)
    if side == RATE0:
        rates = {group: only["learning-rate"] for group in stage.groups}
        only |= {"groups": step_time.EVERYTHING, "learning-rate": rates | {"*": 0}}
    folder = os.path.join(job.work, side.replace(" ", "-"))
    config = thaw_command.write_configuration(folder, sections, [only])
    command = [*job.launcher, job.thaw]
    threads = {"OMP_NUM_THREADS": str(job.threads)}
    result = thaw_command.train(command, config, folder, threads, job.timeout)
    steps = result["steps"][warm_up:]
    return {
        "seconds": statistics.median(map(thaw_command.step_seconds, steps)),
        "exposed_seconds": statistics.median(s["seconds"]["communication"] for s in steps),
        "bytes": statistics.median(s["bytes_reduced"] for s in steps),
        "step_seconds": [thaw_command.step_seconds(step) for step in steps],
    }


def row(stage: Stage, thaw: dict, rate0: dict) -> list[str]:
    def both(key: str, unit: float, digits: int) -> str:
        return f"{unit * rate0[key]:.{digits}f} / {unit * thaw[key]:.{digits}f}"

    return [
        stage.name,
        f"{1e3 * rate0['seconds']:.0f}",
        f"{1e3 * thaw['seconds']:.0f}",
        f"{thaw['seconds'] / rate0['seconds']:.2f}",
        both("exposed_seconds", 1e3, 0),
        both("bytes", 2**-20, 1),
    ]


def measure(job: StepJob, given: argparse.Namespace) -> dict:
    titles = ["stage", "rate 0 ms", "thaw ms", "thaw/rate 0"]
    titles += [f"{what} rate 0 / thaw" for what in ("exposed ms", "MiB a step")]
    stages = [stage for order in given.orders for stage in step_time.ORDERS[order]]
    if given.quick:
        stages = stages[:1]
    figures, texts = {}, []
    for rate in given.rates:
        subprocess.run([HOSTS, "rate", rate], check=True)
        rows, figures[rate] = [], {}
        for stage in stages:
            of = {side: run(job, side, stage, given.warm_up) for side in (RATE0, THAW)}
            figures[rate][stage.name] = of
            rows.append(row(stage, of[THAW], of[RATE0]))
            note(f"{rate:>5}  {' | '.join(rows[-1])}")
        heading = "no limit" if rate == UNLIMITED else f"{rate} Mbit/s"
        texts.append(f"## {heading}\n\n{report.markdown_table(titles, rows)}")
        print("\n" + texts[-1], flush=True)
    return {"figures": figures, "text": "\n\n".join(texts)}


def main() -> None:
    given = parse()
    batch = given.batch or 32
    path, words = step_time.make_data("full", batch, given)
    job = dataclasses.replace(
        step_time.make_job(path, batch, "float32", given.dropout[0], given),
        ranks=given.ranks,
        launcher=(HOSTS, "run", "-n", str(given.ranks)),
        work=os.path.join(given.work, "slow-network"),
    )
    facts = machine.facts(job.thaw, given.threads, ROOT)
    head = f"# A slow network: MiniLM, {given.ranks} hosts, {words}\n\n{machine.header(facts)}"
    print(head, flush=True)
    with virtual_hosts(given.ranks):
        measured = measure(job, given)
    content = {"machine": facts, "command": sys.argv, "rates": measured["figures"]}
    report.write_json(given.output, content)
    report.write_text(report.markdown_path(given.output), f"{head}\n\n{measured['text']}\n")


if __name__ == "__main__":
    main()
