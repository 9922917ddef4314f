"""How long training stands still for a checkpoint: of BERT-base with AdamW's state, 1.3 GB. Its copy
is made on the GPU and brought to the host beside the steps after it."""

from __future__ import annotations

import os

from kit import thaw
from kit.part import Part
from measuring import thaw_command
from networks import jobs
from timing import thaw_steps

JOB, REHEARSED = "bert-32x128", "minilm-32x32"  # the latter on the null GPU
STEPS, EVERY = 45, 15
MOST = 0.010  # seconds; of the first the GPU's memory for the copy is part


def run(part: Part) -> None:
    job = jobs.job(REHEARSED if part.null_gpu else JOB)
    part.check(f"{job.title}: checkpoints beside training", lambda: train(part, job))
    name = f"a checkpoint holds training up for {1e3 * MOST:.0f} ms at most"
    if part.null_gpu:
        part.skipped(name, "a time, and those of the null GPU mean nothing")
    else:
        part.check(name, lambda: stalls(part, job))


def run_folder(part: Part, job: jobs.Job) -> str:
    return os.path.join(part.folder("thaw", job.name, "snapshots"), "run")


def train(part: Part, job: jobs.Job) -> str:
    weights = jobs.draw_weights(
        job.network, job.classes, os.path.join(os.path.dirname(part.work), "weights")
    )
    config = thaw_steps.configure(part, job, weights, "snapshots", ["all"], STEPS)
    done = thaw.train(part, job.name, config, run_folder(part, job),
                      "--checkpoint.every-steps", str(EVERY))  # fmt: skip
    count = len(taken(part, job))
    if count < STEPS // EVERY:
        raise AssertionError(f"{count} checkpoints in {STEPS} steps, one each {EVERY} expected")
    return f"{count} checkpoints, {done.seconds:.1f} s"


def taken(part: Part, job: jobs.Job) -> list[dict]:
    return thaw_command.events(run_folder(part, job), "checkpoint")


def stalls(part: Part, job: jobs.Job) -> str:
    found = taken(part, job)
    if len(found) < 2:
        raise AssertionError(f"{len(found)} checkpoints: nothing to tell")
    part.keep("checkpoints", found)
    each = ", ".join(f"{1e3 * one['stall_seconds']:.1f}" for one in found)
    text = f"{max(one['bytes'] for one in found) / 1e9:.2f} GB, {each} ms"
    if not max(one["stall_seconds"] for one in found[1:]) <= MOST:
        raise AssertionError(text)
    return text
