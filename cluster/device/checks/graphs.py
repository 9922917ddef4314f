"""The same training with its steps as CUDA graphs and queued call by call: the same bits, at one rank and at
two that share the GPU; texts of many lengths, which are filled up where there are graphs, to rounding."""

from __future__ import annotations

import os

import torch
from kit import thaw
from kit.part import Part
from networks import jobs
from timing import thaw_steps

RUNS = (("minilm-32x32", 1), ("resnet50", 1), ("minilm-32x32", 2), ("ragged", 1))  # job, ranks
FILLED = ("ragged",)
DEPTHS, STEPS = ["head", "all"], 20  # of a stage
CLOSE = 2e-2  # of losses in bfloat16, as the part `losses` has it
REHEARSED = (("minilm-32x32", 1),)  # on the null GPU


def run(part: Part) -> None:
    for name, ranks in REHEARSED if part.null_gpu else RUNS:
        job = jobs.job(name)
        weights = jobs.draw_weights(job.network, job.classes, part.folder("weights"))
        title = name if ranks == 1 else f"{name}, {ranks} ranks"
        for graphs in ("off", "on"):
            part.check(f"{title}: graphs {graphs}",
                       lambda g=graphs, j=job, w=weights, r=ranks: train(part, j, w, g, r))  # fmt: skip
        both = f"{title}: the same losses" + ("" if name in FILLED else " and weights")
        if part.null_gpu:
            part.skipped(both, "compares numbers, and the null GPU computes none")
        else:
            compare = close if name in FILLED else same
            part.check(both, lambda j=job, r=ranks, c=compare: c(part, j, r))


def run_folder(part: Part, job: jobs.Job, graphs: str, ranks: int) -> str:
    return os.path.join(part.folder("thaw", f"{job.name}-{ranks}", graphs), "run")


def train(part: Part, job: jobs.Job, weights: str, graphs: str, ranks: int) -> str:
    config = thaw_steps.configure(part, job, weights, f"{graphs}-{ranks}", DEPTHS, STEPS)
    # Where cuDNN may take what adds up in any order, two runs differ without graphs too.
    done = thaw.train(
        part, f"{job.name}-{ranks}-{graphs}", config, run_folder(part, job, graphs, ranks),
        "--train.cuda-graphs", graphs, "--train.deterministic", "true",
        ranks=ranks if ranks > 1 else 0,
    )  # fmt: skip
    return f"{done.seconds:.1f} s"


def same(part: Part, job: jobs.Job, ranks: int) -> str:
    ours, theirs = (run_folder(part, job, graphs, ranks) for graphs in ("on", "off"))
    if thaw.losses(ours) != thaw.losses(theirs):
        raise AssertionError("losses differ")
    a, b = thaw.weights(ours), thaw.weights(theirs)
    apart = [name for name in b if not torch.equal(a[name], b[name])]
    if apart:
        raise AssertionError(f"weights differ: {', '.join(apart[:5])}")
    return f"{len(thaw.losses(ours))} losses and {len(b)} tensors, bit for bit"


def close(part: Part, job: jobs.Job, ranks: int) -> str:
    ours, theirs = (thaw.losses(run_folder(part, job, graphs, ranks)) for graphs in ("on", "off"))
    apart = max(abs(a - b) / max(abs(b), 1e-6) for a, b in zip(ours, theirs, strict=True))
    if apart > CLOSE:
        raise AssertionError(f"losses differ by {apart:.2g}, more than {CLOSE}")
    return f"{len(ours)} losses to {apart:.2g}"
