"""What a step of Thaw's asks of the driver: launches, copies, waits. The difference of two runs of
different lengths, with all layers trained. (PyTorch's are counted in the part `steps`.)"""

from __future__ import annotations

import json
import os

from kit import thaw
from kit.part import Part
from networks import jobs

from timing import counting, thaw_steps

SHORT, LONG = 12, 24


def run(part: Part) -> None:
    library = counting.library(part.bundle)
    if not library and not part.null_gpu:
        part.skipped(
            "counts",
            "the bundle was packed without the counting library (CUPTI's headers were not there)",
        )
        return
    found: dict[str, dict[str, float]] = {}
    for job in jobs.JOBS:
        part.check(job.title, lambda job=job: count(part, job, library, found))
        kinds = sorted({kind for counts in found.values() for kind in counts})
        rows = [
            [name, *(f"{counts.get(kind, 0):.1f}" for kind in kinds)]
            for name, counts in found.items()
        ]
        part.table("Thaw, a step, all layers", ["job", *kinds], rows)
        part.keep("counts", found)


def count(part: Part, job: jobs.Job, library: str, found: dict) -> str:
    weights = jobs.draw_weights(
        job.network, job.classes, os.path.join(os.path.dirname(part.work), "weights")
    )
    short, long = (of_run(part, job, weights, library, steps) for steps in (SHORT, LONG))
    found[job.name] = {kind: (long[kind] - short.get(kind, 0)) / (LONG - SHORT) for kind in long}
    return ""


def of_run(part: Part, job: jobs.Job, weights: str, library: str, steps: int) -> dict[str, int]:
    config = thaw_steps.configure(part, job, weights, f"{steps}-steps", ["all"], steps)
    folder = os.path.dirname(config)
    answer = os.path.join(folder, "counts.json")
    if part.null_gpu:
        environment = {"NULL_GPU_REPORT": folder}
        answer = os.path.join(folder, "rank-0.json")
    else:
        environment = {"CUDA_INJECTION64_PATH": library, "THAW_DEVICE_COUNTS": answer,
                       "THAW_DEVICE_CUPTI": counting.cupti()}  # fmt: skip
    done = thaw.train(
        part, f"{job.name}-{steps}", config, os.path.join(folder, "run"), **environment
    )
    try:
        with open(answer, encoding="utf-8") as stream:
            counts = json.load(stream)
    except FileNotFoundError:
        raise counting.CannotCount(f"nothing was counted: {done.output[-800:]}") from None
    return counts["counts"] if part.null_gpu else counts
