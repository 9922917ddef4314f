#!/usr/bin/env python3
"""How far `thaw scale --simulate` is off: MiniLM on virtual hosts over a network of limited rate.

For each number of hosts so many processes measure their costs at once, as ranks of this machine's
cores would compute beside each other. For each rate `thaw doctor` measures sums over two hosts, and over
all. Out of these each stage's step is simulated, without and with overlap: once from what two hosts do
(`by pair`), once from what all do (`by all`), since hosts that share cores also hold up each other's
sums. Then the same stages are trained on the hosts. Needs root, iproute2 and Open MPI.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import step_time  # noqa: E402
from measuring import machine, options, report, simulations, thaw_command  # noqa: E402
from measuring.datasets import ROOT  # noqa: E402
from measuring.rounds import note  # noqa: E402
from measuring.sides import THAW  # noqa: E402
from measuring.step_job import Stage, StepJob, configuration  # noqa: E402
from slow_network import HOSTS, virtual_hosts  # noqa: E402

GOAL = 0.08
WAYS = ("pair", "all")  # that a network is described by


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "simulated-scaling.json")
    add = parser.add_argument
    add("--rates", type=options.numbers, default="1000,100", help="Mbit/s of each host")
    add("--hosts", type=options.listed, default="2,3,4", help="of one rank each")
    add("--overlap", type=options.listed, default="off,on")
    add("--steps", type=int, default=3, help="measured steps of a stage")
    add("--warm-up", type=int, default=3, help="steps before them, not measured")
    step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1], orders=["top-down"])
    given = options.settle(parser.parse_args())
    given.hosts = [int(each) for each in given.hosts]
    if given.quick:
        given.steps, given.warm_up = 1, 2
        given.rates, given.hosts, given.overlap = given.rates[:1], given.hosts[:1], ["off"]
    return given


def write_job(job: StepJob, stages: list[Stage], overlap: str) -> str:
    """The configuration of all stages one after another, in a folder of its own."""
    sections, _ = configuration(job, stages[0])
    entries = [configuration(job, stage)[1][0] for stage in stages]
    sections |= {"distributed": {"overlap": overlap}}
    return thaw_command.write_configuration(os.path.join(job.work, overlap), sections, entries)


def environment(job: StepJob) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(job.threads)}


def simulate(job: StepJob, config: str, name: str, *arguments: str) -> subprocess.Popen:
    """Starts `thaw scale --simulate` into a folder of that name."""
    folder = os.path.join(job.work, name)
    shutil.rmtree(folder, ignore_errors=True)
    command = [job.thaw, "scale", config, "--scaling", "strong", "--output", folder, *arguments]
    return subprocess.Popen(
        command, env=environment(job), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> None:
    _, said = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(process.args)}\nended with {process.returncode}: {said}")


def measured_costs(job: StepJob, config: str, hosts: int) -> str:
    """A file of costs: the mean of so many processes that measure at once."""
    names = [f"costs-{hosts}-{i}" for i in range(hosts)]
    arguments = ("--simulate", str(hosts), "--network", "ethernet-1g")
    for process in [simulate(job, config, name, *arguments) for name in names]:
        finish(process)
    files = []
    for name in names:
        with open(os.path.join(job.work, name, "costs.json")) as stream:
            files.append(json.load(stream))
    path = os.path.join(job.work, f"costs-{hosts}.json")
    report.write_json(path, simulations.averaged(files))
    return path


def sums(job: StepJob, hosts: int) -> float:
    """Seconds a byte of sums over the first so many hosts, as they are limited now."""
    command = [HOSTS, "run", "-n", str(hosts), job.thaw, "doctor", "--folder", job.work]
    # It ends with 2 where it finds something to say, as that ranks share a core.
    told = subprocess.run(command, env=environment(job), capture_output=True, text=True, check=False)
    return simulations.seconds_a_byte(told.stdout)


def describe(job: StepJob, hosts: int, rate: float) -> dict[str, str]:
    """Files that describe the hosts' network, by what they were made from."""
    pair = sums(job, 2)
    own = sums(job, hosts) if hosts > 2 else pair
    files = {}
    for how, links in (
        ("pair", simulations.links(2, rate, pair, pair)),
        ("all", simulations.links(hosts, rate, pair, own)),
    ):
        files[how] = os.path.join(job.work, f"network-{rate:g}-{hosts}-{how}.toml")
        report.write_text(files[how], simulations.network(rate, *links))
    return files


def simulated(job: StepJob, config: str, hosts: int, network: str, costs: str) -> dict[str, dict]:
    """Rows of the report by stage."""
    name = "simulated"
    arguments = ("--simulate", str(hosts), "--network", network, "--costs", costs)
    finish(simulate(job, config, name, *arguments))
    with open(os.path.join(job.work, name, "simulation.json")) as stream:
        (table,) = json.load(stream)["tables"]
    return {row["stage"]: row for row in table["rows"]}


def measured(job: StepJob, config: str, hosts: int, warm_up: int) -> dict[str, dict]:
    """Medians of rank 0's steps by stage: seconds, of them nothing but communication."""
    command = [HOSTS, "run", "-n", str(hosts), job.thaw]
    threads = {"OMP_NUM_THREADS": str(job.threads)}
    result = thaw_command.train(command, config, os.path.dirname(config), threads, job.timeout)
    stages: dict[str, list[dict]] = {}
    for step in result["steps"]:
        stages.setdefault(step["stage"], []).append(step)
    bytes_reduced = {s["name"]: s["bytes_reduced_per_step"] for s in result["summary"]["stages"]}
    return {
        name: {
            "seconds": statistics.median(map(thaw_command.step_seconds, steps[warm_up:])),
            "exposed": statistics.median(s["seconds"]["communication"] for s in steps[warm_up:]),
            "bytes": bytes_reduced[name],
        }
        for name, steps in stages.items()
    }


def compare(job: StepJob, stages: list[Stage], given: argparse.Namespace) -> list[dict]:
    points = []
    configs = {overlap: write_job(job, stages, overlap) for overlap in given.overlap}
    for hosts in given.hosts:
        costs = measured_costs(job, configs[given.overlap[0]], hosts)
        with virtual_hosts(hosts):
            for rate in given.rates:
                subprocess.run([HOSTS, "rate", f"{rate:g}"], check=True)
                networks = describe(job, hosts, rate)
                for overlap, config in configs.items():
                    foretold = {
                        how: simulated(job, config, hosts, network, costs)
                        for how, network in networks.items()
                    }
                    for name, real in measured(job, config, hosts, given.warm_up).items():
                        point = {"rate": rate, "hosts": hosts, "overlap": overlap, "stage": name}
                        point["measured"] = real
                        for how in WAYS:
                            row = foretold[how][name]
                            error = simulations.error(real["seconds"], row["step_seconds"])
                            point[how] = {"simulated": row, "error": error}
                        points.append(point)
                        note(" | ".join(cells(point)))
    return points


def cells(point: dict) -> list[str]:
    real, row = point["measured"], point["all"]["simulated"]
    same = row["bytes_reduced"] == real["bytes"]
    return [
        f"{point['rate']:g}",
        str(point["hosts"]),
        point["overlap"],
        point["stage"],
        f"{1e3 * real['seconds']:.0f}",
        *(f"{1e3 * point[how]['simulated']['step_seconds']:.0f}" for how in WAYS),
        *(f"{100 * point[how]['error']:+.1f}" for how in WAYS),
        f"{1e3 * real['exposed']:.0f} / {1e3 * row['communication_seconds']:.0f}",
        "yes" if same else f"{real['bytes']} / {row['bytes_reduced']}",
    ]


def main() -> None:
    given = parse()
    batch = given.batch or 32
    path, words = step_time.make_data("full", batch, given)
    job = dataclasses.replace(
        step_time.make_job(path, batch, "float32", given.dropout[0], given),
        work=os.path.join(given.work, "simulated-scaling"),
    )
    stages = [stage for order in given.orders for stage in step_time.ORDERS[order]]
    facts = machine.facts(job.thaw, given.threads, ROOT)
    head = f"# Simulated scaling: MiniLM, {words}\n\n{machine.header(facts)}"
    print(head, flush=True)
    points = compare(job, stages, given)
    titles = ["Mbit/s", "hosts", "overlap", "stage", "measured ms"]
    titles += [f"by {how}" for how in WAYS] + [f"error % by {how}" for how in WAYS]
    titles += ["exposed ms: measured / by all", "same bytes"]
    table = report.markdown_table(titles, [cells(point) for point in points])
    told = "\n".join(
        f"by {how}: {simulations.summary([point[how]['error'] for point in points], GOAL)}"
        for how in WAYS
    )
    print(f"\n{table}\n\n{told}")
    report.write_json(given.output, {"machine": facts, "command": sys.argv, "points": points})
    report.write_text(report.markdown_path(given.output), f"{head}\n\n{table}\n\n{told}\n")


if __name__ == "__main__":
    main()
