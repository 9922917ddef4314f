"""Finds the settings that make PyTorch's tuned form fastest on this machine.

They are what PyTorch's performance guide for CPUs names: threads bound to cores, and an allocator
that keeps its memory (a tensor that was freed to the system costs its page faults again).
"""

from __future__ import annotations

import ctypes.util
import dataclasses
import statistics

from measuring import step_job
from measuring.rounds import note
from measuring.step_job import Stage, StepJob

_ROUNDS = 2

_BOUND = {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}
_KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184"}


def environments(ranks: int) -> dict[str, dict[str, str]]:
    candidates = {"as it is": {}, "malloc keeps memory": _KEEP}
    if ranks == 1:  # several would all be bound to the same cores
        candidates |= {
            "bound threads": _BOUND,
            "bound threads, malloc keeps memory": _BOUND | _KEEP,
        }
    for name in ("tcmalloc", "jemalloc"):
        library = ctypes.util.find_library(name)
        if library:
            candidates[name] = {"LD_PRELOAD": library}
    return candidates


def tuned(job: StepJob, side: str, stage: Stage, steps: int, warm_up: int) -> tuple[StepJob, str]:
    """`job` with, for the tuned form `side`, the fastest attention (for BERT), then environment; and the choice in words."""
    short = dataclasses.replace(job, steps=warm_up + steps)
    words = []
    if job.model["architecture"] == "bert":
        kinds = {f"{kind} attention": {"tuned_attention": kind} for kind in ("sdpa", "eager")}
        name = _fastest(short, side, stage, warm_up, kinds)
        short = dataclasses.replace(short, **kinds[name])
        words.append(name)
    settings = {name: {"tuned_environment": e} for name, e in environments(job.ranks).items()}
    name = _fastest(short, side, stage, warm_up, settings)
    short = dataclasses.replace(short, **settings[name])
    words.append(f"environment {name}")
    return dataclasses.replace(short, steps=job.steps), "; ".join(words)


def _fastest(
    job: StepJob, side: str, stage: Stage, warm_up: int, candidates: dict[str, dict]
) -> str:
    """The candidates take turns; each counts by its better run, as noise only makes slower."""
    medians: dict[str, float] = {}
    for _ in range(_ROUNDS):
        for name, change in candidates.items():
            result = step_job.run(dataclasses.replace(job, **change), side, stage)
            median = statistics.median(result["step_seconds"][warm_up:])
            note(f"tuning: {name:<36} {1e3 * median:8.1f} ms/step")
            medians[name] = min(median, medians.get(name, median))
    return min(medians, key=medians.get)
