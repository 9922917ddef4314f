"""Every kernel of Thaw's own, compiled for this GPU and run on it, against float64 on the CPU."""

from __future__ import annotations

from kit.part import Part

from checks import gtests

PROGRAM, TESTS = "test_core_kernels", "GpuKernels*"


def run(part: Part) -> None:
    if part.null_gpu:
        part.check("the program loads", lambda: f"{gtests.listed(part, PROGRAM, TESTS)} tests")
        part.skipped(f"{PROGRAM} {TESTS}", "they compare numbers, and the null GPU computes none")
        return
    gtests.run(part, PROGRAM, TESTS)
