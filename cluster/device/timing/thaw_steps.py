"""Thaw's side of a job: one run with a stage a depth, and what its steps took."""

from __future__ import annotations

import os
import statistics

from kit import thaw
from kit.part import Part
from measuring import thaw_command
from networks import jobs


def configure(
    part: Part, job: jobs.Job, weights: str, name: str, depths: list[str], steps: int
) -> str:
    """A stage a depth, of so many steps each."""
    model = {"weights": weights, "head": "loaded"}
    training = {"precision": "bfloat16", "device": "cuda"}
    rate = 1e-5
    if job.images:
        model |= {"architecture": "resnet", "depth": 50}
        training |= {"optimizer": "sgd", "momentum": 0.9, "weight-decay": 1e-4,
                     "batch-norm": "local", "cudnn-benchmark": True}  # fmt: skip
    else:
        config = os.path.join(os.path.dirname(weights), f"{job.network}.json")
        model |= {"architecture": "bert", "config": config, "pooling": "mean", "dropout": 0.1,
                  "attention-dropout": 0.1, "head-dropout": 0.1}  # fmt: skip
        training |= {"optimizer": "adamw", "weight-decay": 0.01}
    data = {"file": part.data(f"{job.data}.h5"), "batch": job.batch, "seed": 0}
    stages = [
        {
            "name": depth,
            "groups": job.depths[depth],
            "learning-rate": rate,
            "until": {"steps": steps},
        }
        for depth in depths
    ]
    folder = part.folder("thaw", job.name, name)
    return thaw.configure(folder, model, data, training, stages, checkpoint={"every-steps": -1})


def measure(part: Part, job: jobs.Job, weights: str, number: int, warm_up: int, windows: int,
            steps: int, graphs: bool = False) -> dict[str, dict]:  # fmt: skip
    """By depth: `windows` (seconds a step of each, after the warm-up), `peak_memory_bytes`, and
    `outside_seconds`, what a step took on average that its own clock does not see."""
    depths = list(job.depths)[::-1]  # as unfreezing goes: from the head on
    name = f"{number}-graphs" if graphs else str(number)
    config = configure(part, job, weights, name, depths, warm_up + windows * steps)
    run_folder = os.path.join(os.path.dirname(config), "run")
    flags = ("--train.cuda-graphs", "on") if graphs else ()
    thaw.train(part, f"{job.name}-{name}", config, run_folder, *flags)
    lines = thaw_command.steps(run_folder)
    found = {}
    for row in thaw.summary(run_folder)["stages"]:
        seconds = [
            thaw_command.step_seconds(line) for line in lines if line["stage"] == row["name"]
        ]
        timed = seconds[warm_up:]
        found[row["name"]] = {
            "windows": [statistics.mean(timed[i : i + steps]) for i in range(0, len(timed), steps)],
            "peak_memory_bytes": row["peak_memory_bytes"],
            "outside_seconds": (row["seconds"] - row["transition_seconds"] - sum(seconds))
            / len(seconds),
        }
    return found
