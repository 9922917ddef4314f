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
from measuring.sides import TUNED
from measuring.step_job import Stage, StepJob

_BOUND = {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}
_KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184"}


def environments() -> dict[str, dict[str, str]]:
    candidates = {
        "as it is": {},
        "bound threads": _BOUND,
        "malloc keeps memory": _KEEP,
        "bound threads, malloc keeps memory": _BOUND | _KEEP,
    }
    for name in ("tcmalloc", "jemalloc"):
        library = ctypes.util.find_library(name)
        if library:
            candidates[name] = {"LD_PRELOAD": library}
    return candidates


def tuned(job: StepJob, stage: Stage, steps: int, warm_up: int) -> tuple[StepJob, str]:
    """`job` with the fastest environment and, for BERT, attention; and the choice in words."""
    job = dataclasses.replace(job, steps=warm_up + steps)

    def median(candidate: StepJob, name: str) -> float:
        seconds = step_job.run(candidate, TUNED, stage)["step_seconds"][warm_up:]
        note(f"tuning: {name:<36} {1e3 * statistics.median(seconds):8.1f} ms/step")
        return statistics.median(seconds)

    attention = job.tuned_attention
    if job.model["architecture"] == "bert":
        kinds = {
            kind: median(dataclasses.replace(job, tuned_attention=kind), f"{kind} attention")
            for kind in ("sdpa", "eager")
        }
        attention = min(kinds, key=kinds.get)
        job = dataclasses.replace(job, tuned_attention=attention)
    found = {
        name: (median(dataclasses.replace(job, tuned_environment=environment), name), environment)
        for name, environment in environments().items()
    }
    best = min(found, key=lambda name: found[name][0])
    job = dataclasses.replace(job, tuned_environment=found[best][1])
    words = [f"{attention} attention"] if job.model["architecture"] == "bert" else []
    return job, "; ".join([*words, f"environment {best}"])
