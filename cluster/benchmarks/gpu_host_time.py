#!/usr/bin/env python3
"""What the host spends on a step that a GPU computes: Thaw beside eager PyTorch, on the null GPU.

The null GPU (tests/null_gpu) computes nothing and takes no time, so what a step takes there is what the
host needs to ask for it: the bound of a step too small to fill a GPU. MiniLM's shape, 32 texts of 32
tokens, bfloat16, dropout 0.1. The sides are those of cluster/device: `thaw train`; `eager`, PyTorch as
people write it, under DistributedDataParallel; `fused`, by someone who knows it well. They take turns,
each run a process of its own. It needs a build with CUDA (tests/run.sh --cuda), and a Python with torch
for CUDA, numpy and h5py.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
MODULES = [HERE, os.path.join(os.path.dirname(HERE), "device")]
sys.path[:0] = MODULES

import numpy as np  # noqa: E402
import pack_data  # noqa: E402
from measuring import machine, options, report, thaw_command  # noqa: E402
from measuring.datasets import ROOT, Texts  # noqa: E402
from measuring.rounds import note  # noqa: E402
from networks import jobs, sides  # noqa: E402
from timing.workers import Worker  # noqa: E402

JOB = jobs.job("minilm-32x32")
THAW = "thaw"
PEERS = (sides.EAGER, sides.FUSED)


def parse():
    parser = options.parser(__doc__, "gpu-host-time.json")
    add = parser.add_argument
    add("--null-gpu", default=os.path.join(ROOT, "build/tests/null_gpu/libcuda.so.1"))
    add("--rounds", type=int, default=3, help="runs of each side and depth")
    add("--steps", type=int, default=100, help="measured steps of a run")
    add("--depths", type=options.listed, default="all,+2,head", help="what trains")
    parser.set_defaults(threads=1)
    given = options.settle(parser.parse_args())
    given.thaw = options.command(given)
    given.null_gpu = options.existing(given.null_gpu, "--null-gpu")
    if given.quick:
        given.rounds, given.steps = 1, 10
    return given


def write_data(folder: str) -> None:
    draws = np.random.default_rng(0)
    tokens = draws.integers(1000, 30000, 512 * 32, np.int32)
    texts = Texts(tokens, np.arange(513, dtype=np.int64) * 32, np.arange(512, dtype=np.int64) % 45)
    os.makedirs(folder, exist_ok=True)
    pack_data.write_texts(folder, JOB.data, JOB.classes, texts, [JOB.batch])


def of_thaw(given, work: str, weights: str, depth: str) -> list[float]:
    """Seconds of each measured step; no loss is read in them, as in PyTorch's windows."""
    warm_up, every = 20, given.steps + 21
    sections = {
        "model": {"architecture": "bert", "pooling": "mean", "weights": weights, "head": "loaded",
                  "config": os.path.join(os.path.dirname(weights), f"{JOB.network}.json"),
                  "dropout": 0.1, "attention-dropout": 0.1, "head-dropout": 0.1},
        "data": {"file": os.path.join(work, "data", f"{JOB.data}.h5"), "batch": JOB.batch},
        "train": {"precision": "bfloat16", "device": "cuda"},
        "output": {"log-every": every},
        "checkpoint": {"every-steps": 0},
    }  # fmt: skip
    stage = {"name": "only", "groups": JOB.depths[depth], "learning-rate": 1e-5}
    found = []
    for steps in (warm_up, warm_up + given.steps):
        stage["until"] = {"steps": steps}
        config = thaw_command.write_configuration(os.path.join(work, THAW), sections, [stage])
        null = ["env", f"LD_PRELOAD={given.null_gpu}", given.thaw]
        environment = {"OMP_NUM_THREADS": str(given.threads), "NULL_GPU_ORDER": "0"}
        done = thaw_command.train(null, config, os.path.join(work, THAW), environment, 600)
        (row,) = done["summary"]["stages"]
        found.append(row["seconds"] - row["transition_seconds"])
    return [(found[1] - found[0]) / given.steps]


def of_peer(given, work: str, weights: str, side: str, depth: str) -> list[float]:
    os.environ.update(OMP_NUM_THREADS=str(given.threads), NULL_GPU_ORDER="0")
    worker = Worker(JOB, side, bundle=work, work=tempfile.mkdtemp(dir=work), weights=weights,
                    null_gpu=given.null_gpu)  # fmt: skip
    try:
        worker.ask(f"prepare {depth}", 300)
        return worker.ask(f"measure {depth} 1 {given.steps}", 300)["windows"]
    finally:
        worker.end()


def table(given, seconds: dict) -> str:
    rows = []
    for depth in given.depths:
        of = {side: statistics.median(seconds[depth, side]) for side in (THAW, *PEERS)}
        rows.append([depth, *(f"{1e3 * one:.2f}" for one in of.values()),
                     *(f"{of[THAW] / of[side]:.2f}" for side in PEERS)])  # fmt: skip
    titles = ["trained", *(f"{side} ms" for side in (THAW, *PEERS))]
    return report.markdown_table([*titles, *(f"thaw/{side}" for side in PEERS)], rows)


def measure(given, work: str) -> dict:
    write_data(os.path.join(work, "data"))
    weights = jobs.draw_weights(JOB.network, JOB.classes, os.path.join(work, "weights"))
    seconds = {(depth, side): [] for depth in given.depths for side in (THAW, *PEERS)}
    for number in range(given.rounds):
        for depth in given.depths:
            note(f"round {number + 1}, {depth}")
            seconds[depth, THAW] += of_thaw(given, work, weights, depth)
            for side in PEERS:
                seconds[depth, side] += of_peer(given, work, weights, side, depth)
    return seconds


def main() -> None:
    given = parse()
    os.environ["PYTHONPATH"] = os.pathsep.join(MODULES)
    facts = machine.facts(given.thaw, given.threads, ROOT)
    text = f"# Host time of a step on a GPU: {JOB.title}\n\n{machine.header(facts)}"
    print(text, flush=True)
    with tempfile.TemporaryDirectory() as work:
        seconds = measure(given, work)
    text += "\n\n" + table(given, seconds)
    print("\n" + text, flush=True)
    runs = [{"depth": depth, "side": side, "seconds": found}
            for (depth, side), found in seconds.items()]  # fmt: skip
    report.write_json(given.output, {"machine": facts, "command": sys.argv, "runs": runs})
    report.write_text(report.markdown_path(given.output), text + "\n")


if __name__ == "__main__":
    main()
