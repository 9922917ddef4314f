"""The parts of a run, in their order, and how much time each of them may take."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = 560  # seconds of a run, what starting and ending takes included: 10 below 9 1/2 minutes


@dataclass(frozen=True)
class Part:
    name: str
    what: str
    seconds: int  # at most, in a whole run; what earlier parts did not use is added
    alone: int  # at most, where others leave it so much
    module: str  # has run(part)


# The most important first: what time runs out for is at the end. `steps` would take all that is
# left, so what follows it has its share kept.
# fmt: off
PARTS = (
    Part("machine", "versions; how fast the GPU copies and multiplies", 60, 120,
         "checks.machine"),
    Part("kernels", "every kernel of Thaw's own against float64 on the CPU", 45, 300,
         "checks.kernels"),
    Part("equality", "training, checkpoint, resume, audit: GPU against CPU in float64", 85, 400,
         "checks.equality"),
    Part("ranks", "NCCL: alone, and as two ranks on one GPU", 40, 200,
         "checks.ranks"),
    Part("losses", "50 steps beside PyTorch and beside the CPU, in float32 and bfloat16", 45, 300,
         "checks.losses"),
    Part("graphs", "steps as CUDA graphs and queued call by call: the same bits", 25, 200,
         "checks.graphs"),
    Part("snapshots", "how long a checkpoint of 1.3 GB holds training up", 25, 120,
         "checks.snapshots"),
    Part("steps", "time and memory of a step: Thaw beside four forms of PyTorch", 160, 550,
         "timing.steps"),
    Part("counts", "launches, copies and synchronizations of a step", 40, 200,
         "timing.counts"),
    Part("sanitizer", "compute-sanitizer on Thaw's own kernels", 35, 400,
         "checks.sanitizer"),
)
# fmt: on
NAMES = tuple(part.name for part in PARTS)


class UnknownPart(Exception):
    pass


def chosen(names: list[str]) -> list[Part]:
    """The parts of these names (all where there are none), in their order. Raises UnknownPart."""
    for name in names:
        if name not in NAMES:
            raise UnknownPart(f'--only: "{name}" is no part; there are {", ".join(NAMES)}')
    return [part for part in PARTS if not names or part.name in names]


def limit(part: Part, following: list[Part], left: float) -> float:
    """Seconds that `part` may take where `left` are left of the run: its own and what was saved
    before it, less what is kept for those after it."""
    kept = sum(other.seconds for other in following)
    return min(part.alone, max(0.0, left - kept))
