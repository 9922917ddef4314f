"""NCCL under Thaw's communicator: alone, and between two ranks that share the one GPU."""

from __future__ import annotations

from kit.part import Part

from checks import gtests

ALONE = ("test_dist_communicator", "Gpu.*:NcclLibrary.*")
SHARED = ("test_dist_mpi", "GpuRanks.*")


def run(part: Part) -> None:
    if part.null_gpu:
        for program, tests in (ALONE, SHARED):
            part.check(
                f"{program} loads", lambda p=program, t=tests: f"{gtests.listed(part, p, t)} tests"
            )
            part.skipped(f"{program} {tests}", "they compare sums, and the null GPU computes none")
        return
    gtests.run(part, *ALONE, seconds=0.5 * part.left())
    gtests.run(part, *SHARED, ranks=2)
