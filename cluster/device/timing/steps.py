"""The time of a step: Thaw, with CUDA graphs too, and four forms of PyTorch, taking turns, from the
same weights on the same batches, in bfloat16 with dropout 0.1 in what trains."""

from __future__ import annotations

import concurrent.futures
import os
import statistics
import threading

from kit.part import Part
from measuring.processes import RunFailed
from networks import jobs, sides

from timing import thaw_steps
from timing.workers import Worker, WorkerFailed

THAW = "thaw"
THAW_GRAPHS = "thaw with graphs"  # train.cuda-graphs = "on"
OWN = (THAW, THAW_GRAPHS)
ROUNDS, WARM_UP, WINDOWS, STEPS = 3, 20, 3, 10
LEAST = 25  # seconds: with less left, the next job is not begun
FOR_GRAPHS = 20  # seconds of a job: with less left, Thaw is not run with graphs
# What Thaw's step is to be of theirs at most, at depth `all`.
GOALS = {
    "minilm-32x32": {sides.EAGER: 0.25, sides.COMPILED: 0.5, sides.GRAPHS: 1.0},
    "minilm-256x128": {sides.EAGER: 0.75, sides.COMPILED: 1.0, sides.GRAPHS: 1.0},
    "ragged": {sides.EAGER: 0.35, sides.COMPILED: 0.6},
    "bert-32x128": {sides.EAGER: 0.7, sides.COMPILED: 0.9, sides.GRAPHS: 1.0},
    "resnet50": {sides.EAGER: 1.0, sides.COMPILED: 1.05},
}


def sides_of(job: jobs.Job, null_gpu: str) -> list[str]:
    chosen = [s for s in sides.SIDES if s != sides.GRAPHS or job.data != "ragged"]
    return [s for s in chosen if not (null_gpu and s in sides.COMPILING)]


def has_graphs(job: jobs.Job, null_gpu: str) -> bool:
    """Whether Thaw is measured with graphs too. Those are of an epoch, and the images' have two
    steps; on the null GPU one job shows that it runs."""
    return not job.images and (not null_gpu or job == jobs.JOBS[0])


def run(part: Part) -> None:
    shared = os.path.dirname(part.work)
    if part.null_gpu:
        for side in sides.COMPILING:
            part.skipped(side, "what it compiles is a GPU's code, which the null GPU cannot load")
    figures: dict = {}
    for number, job in enumerate(jobs.JOBS):
        if part.left() < LEAST:
            part.out_of_time(job.title)
            continue
        # What is left is shared by the jobs to come; what one saves is the next one's.
        share = part.left() * (0.5 if number < 2 else 1 / (len(jobs.JOBS) - number))
        weights = jobs.draw_weights(job.network, job.classes, os.path.join(shared, "weights"))
        measuring = Measuring(part, job, weights, shared, max(share, LEAST))
        part.check(job.title, measuring.run)
        figures[job.name] = measuring.figures
        if not part.null_gpu:
            part.keep("steps", figures)
    if not part.null_gpu:
        part.table("goals: Thaw's step of theirs, all layers", *goals(figures))
        part.table("PyTorch, asked of the driver in a step, all layers", *counts(figures))


class Measuring:
    """One job: `figures` by depth and side."""

    def __init__(self, part: Part, job: jobs.Job, weights: str, shared: str, seconds: float):
        self._part, self._job, self._weights, self._shared = part, job, weights, shared
        self._until = part.left() - seconds  # of the part's time left
        self.figures: dict[str, dict[str, dict]] = {depth: {} for depth in job.depths}
        self._workers: dict[str, Worker] = {}
        self._lock = threading.Lock()
        self._failed: set[str] = set()  # of Thaw's own

    def left(self) -> float:
        return max(0.0, self._part.left() - self._until)

    def run(self) -> str:
        part, job = self._part, self._job
        try:
            for side in sides_of(job, part.null_gpu):
                self._workers[side] = Worker(
                    job, side, bundle=part.bundle, work=self._shared, weights=self._weights,
                    null_gpu=part.null_gpu,
                )  # fmt: skip
            with concurrent.futures.ThreadPoolExecutor() as pool:
                preparing = [pool.submit(self._prepare, side) for side in self._workers]
                self._thaw(THAW, -1)  # its files are in memory then, as the others' are
                for future in preparing:
                    future.result()
            rounds = 1 if part.null_gpu else ROUNDS
            done = 0
            for number in range(rounds):
                if number > 0 and self.left() < 6:
                    break
                self._round(number)
                done += 1
                if not part.null_gpu:
                    part.table(job.title, *table(self.figures))
            for side in self._workers:
                self._count(side)
        finally:
            for worker in self._workers.values():
                worker.end()
        return f"{done} rounds"

    def _prepare(self, side: str) -> None:
        """All depths, the most important first; a depth that fails or comes too late is told."""
        for depth in self._job.depths:
            limit = 0.6 * self.left()
            try:
                answer = self._workers[side].ask(f"prepare {depth}", limit)
            except WorkerFailed as error:
                # What PyTorch cannot do here (there is no C compiler, say) is no fault of Thaw's.
                self._part.skipped(f"{self._job.name}, {depth}: {side}", str(error))
                continue
            with self._lock:
                self.figures[depth][side] = {
                    "prepare_seconds": answer["seconds"],
                    "windows": [],
                    "peak_memory_bytes": answer["peak_memory_bytes"],
                }

    def _round(self, number: int) -> None:
        """Every side at every depth; each round begins with another side."""
        order = [*self._workers, THAW]
        first = number % len(order)
        for side in order[first:] + order[:first]:
            if side == THAW:
                self._thaw(side, number)
                continue
            for depth, of in self.figures.items():
                if side in of and "error" not in of[side]:
                    self._measure(side, depth, of[side])
        if number == 0 and has_graphs(self._job, self._part.null_gpu) and self.left() > FOR_GRAPHS:
            self._thaw(THAW_GRAPHS, number)

    def _measure(self, side: str, depth: str, one: dict) -> None:
        try:
            answer = self._workers[side].ask(
                f"measure {depth} {WINDOWS} {STEPS}", max(5.0, self.left())
            )
        except WorkerFailed as error:
            one["error"] = str(error)
            self._part.skipped(f"{self._job.name}, {depth}: {side}", str(error))
            return
        one["windows"] += answer["windows"]

    def _thaw(self, side: str, number: int) -> None:
        """-1: to warm up, not counted."""
        warm_up, windows = (2, 1) if number < 0 or self._part.null_gpu else (WARM_UP, WINDOWS)
        if side in self._failed:
            return
        try:
            found = thaw_steps.measure(
                self._part, self._job, self._weights, number, warm_up, windows, STEPS,
                graphs=side == THAW_GRAPHS,
            )  # fmt: skip
        except (RuntimeError, RunFailed) as error:
            self._failed.add(side)  # the others are measured all the same
            late = self._part.left() < 1
            self._part.find(
                f"{self._job.name}: {side}", "out of time" if late else "failed", str(error)
            )
            return
        if number < 0:
            return
        with self._lock:
            for depth, answer in found.items():
                one = self.figures[depth].setdefault(side, {"windows": [], "peak_memory_bytes": 0})
                one["windows"] += answer["windows"]
                one["peak_memory_bytes"] = max(
                    one["peak_memory_bytes"], answer["peak_memory_bytes"]
                )
                one["outside_seconds"] = answer["outside_seconds"]

    def _count(self, side: str) -> None:
        """At depth `all`; Thaw's are counted in the part `counts`."""
        depth = next(iter(self._job.depths))
        one = self.figures[depth].get(side)
        if not one or "error" in one or self._part.null_gpu:
            return
        try:
            one["counts"] = self._workers[side].ask(f"count {depth} 4", 20)["counts"]
        except WorkerFailed as error:
            self._part.skipped(f"{self._job.name}: counts of {side}", str(error))


def milliseconds(one: dict | None) -> float | None:
    return 1e3 * statistics.median(one["windows"]) if one and one["windows"] else None


def table(figures: dict[str, dict[str, dict]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: milliseconds, Thaw's share of each, peak memory."""
    others = (THAW_GRAPHS, *sides.SIDES)
    order = [THAW, *(s for s in others if any(s in of for of in figures.values()))]
    columns = [
        "trained",
        *(f"{side} ms" for side in order),
        *(f"thaw/{side}" for side in order[1:]),
    ]
    columns.append("peak MiB " + " / ".join(order))
    rows = []
    for depth, of in figures.items():
        found = {side: milliseconds(of.get(side)) for side in order}
        row = [depth, *("-" if ms is None else f"{ms:.2f}" for ms in found.values())]
        ours = found[THAW]
        row += [
            "-" if ours is None or not found[s] else f"{ours / found[s]:.2f}" for s in order[1:]
        ]
        row.append(
            " / ".join(
                f"{of[s]['peak_memory_bytes'] / 2**20:.0f}" if s in of else "-" for s in order
            )
        )
        rows.append(row)
    return columns, rows


def counts(figures: dict) -> tuple[list[str], list[list[str]]]:
    found = {
        f"{name}, {side}": one["counts"]
        for name, of_job in figures.items()
        for side, one in of_job["all"].items()
        if "counts" in one
    }
    kinds = sorted({kind for one in found.values() for kind in one})
    rows = [[name, *(f"{one.get(kind, 0):.1f}" for kind in kinds)] for name, one in found.items()]
    return ["", *kinds], rows


def goals(figures: dict) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, of_job in GOALS.items():
        of = figures.get(name, {}).get("all", {})
        for own in OWN if THAW_GRAPHS in of else (THAW,):
            ours = milliseconds(of.get(own))
            for side, goal in of_job.items():
                theirs = milliseconds(of.get(side))
                ratio = ours / theirs if ours and theirs else None
                met = "-" if ratio is None else "yes" if ratio <= goal else "no"
                found = "-" if ratio is None else f"{ratio:.2f}"
                rows.append([name, own, side, f"{goal:.2f}", found, met])
    return ["job", "what", "beside", "goal", "found", "met"], rows
