"""The same training with its steps as CUDA graphs and queued call by call: the same bits."""

from __future__ import annotations

import os

import torch
from kit import thaw
from kit.part import Part
from networks import jobs
from timing import thaw_steps

JOBS = ("minilm-32x32", "resnet50")
DEPTHS, STEPS = ["head", "all"], 20  # of a stage
REHEARSED = ("minilm-32x32",)  # on the null GPU


def run(part: Part) -> None:
    for name in REHEARSED if part.null_gpu else JOBS:
        job = jobs.job(name)
        weights = jobs.draw_weights(job.network, job.classes, part.folder("weights"))
        for graphs in ("off", "on"):
            part.check(f"{name}: graphs {graphs}",
                       lambda g=graphs, j=job, w=weights: train(part, j, w, g))  # fmt: skip
        both = f"{name}: the same losses and weights"
        if part.null_gpu:
            part.skipped(both, "compares numbers, and the null GPU computes none")
        else:
            part.check(both, lambda j=job: same(part, j))


def run_folder(part: Part, job: jobs.Job, graphs: str) -> str:
    return os.path.join(part.folder("thaw", job.name, graphs), "run")


def train(part: Part, job: jobs.Job, weights: str, graphs: str) -> str:
    config = thaw_steps.configure(part, job, weights, graphs, DEPTHS, STEPS)
    # Where cuDNN may take what adds up in any order, two runs differ without graphs too.
    done = thaw.train(
        part, f"{job.name}-{graphs}", config, run_folder(part, job, graphs),
        "--train.cuda-graphs", graphs, "--train.deterministic", "true",
    )  # fmt: skip
    return f"{done.seconds:.1f} s"


def same(part: Part, job: jobs.Job) -> str:
    ours, theirs = (run_folder(part, job, graphs) for graphs in ("on", "off"))
    if thaw.losses(ours) != thaw.losses(theirs):
        raise AssertionError("losses differ")
    a, b = thaw.weights(ours), thaw.weights(theirs)
    apart = [name for name in b if not torch.equal(a[name], b[name])]
    if apart:
        raise AssertionError(f"weights differ: {', '.join(apart[:5])}")
    return f"{len(thaw.losses(ours))} losses and {len(b)} tensors, bit for bit"
