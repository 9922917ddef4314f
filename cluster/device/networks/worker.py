"""One side of one job, kept alive, so that sides can take turns.

python -m networks.worker request.json reads a command a line from standard input and answers a line
of JSON on standard output; what else is printed there goes to standard error.

    prepare DEPTH              builds, compiles, warms up; {"seconds", "peak_memory_bytes"}
    measure DEPTH WINDOWS STEPS   {"windows": seconds a step of each window}
    count DEPTH STEPS          what the driver was asked for in so many steps; {"counts"}
    end
"""

from __future__ import annotations

import json
import os
import sys
import time

import torch
from timing.counting import Counter

from networks import batches, jobs, sides

SETTLED = 6  # steps after which nothing is compiled, tried or recorded any more
DISTINCT = 16  # batches; so many steps are a warm-up: graphs are recorded, all lengths were there


class Worker:
    def __init__(self, request: dict):
        self._request = request
        self._job = jobs.job(request["job"])
        self._device = sides.device_of(request["device"], request["null_gpu"])
        self._trainings: dict[str, sides.Training] = {}
        self._batches = batches.steps(request["data"], self._job.batch, DISTINCT)
        self._ready: list = []
        self._next = 0
        if request["side"] == sides.EAGER and self._device.type == "cuda":
            sides.start_group()
        torch.backends.cudnn.benchmark = self._job.images

    def prepare(self, depth: str) -> dict:
        started, held = time.perf_counter(), self._allocated()
        request = self._request
        training = sides.Training(
            request["side"], self._job, depth, request["weights"], precision="bfloat16",
            dropout=request["dropout"], rate=1e-5, device=self._device,
        )  # fmt: skip
        self._trainings[depth] = training
        if not self._ready:
            self._ready = [training.ready(batch) for batch in self._batches]
            self._batches = []
        for number in range(DISTINCT):
            if number == SETTLED:
                self._wait()
                self._allocated(reset_peak=True)
            training.step(self._batch())
        self._rest(training)
        peak = torch.cuda.max_memory_allocated() - held if self._device.type == "cuda" else 0
        return {"seconds": time.perf_counter() - started, "peak_memory_bytes": peak}

    def measure(self, depth: str, windows: str, steps: str) -> dict:
        """Nothing waits within a window, nor are losses read."""
        training, seconds = self._trainings[depth], []
        for _ in range(3):
            training.step(self._batch())
        self._wait()
        for _ in range(int(windows)):
            started = time.perf_counter()
            for _ in range(int(steps)):
                training.step(self._batch())
            self._wait()
            seconds.append((time.perf_counter() - started) / int(steps))
        self._rest(training)
        return {"windows": seconds}

    def count(self, depth: str, steps: str) -> dict:
        training = self._trainings[depth]
        with Counter(self._request["counter"]) as counter:
            for _ in range(int(steps)):
                training.step(self._batch())
            counter.stop()
        self._rest(training)
        return {"counts": {name: n / int(steps) for name, n in counter.counts().items()}}

    def _batch(self):
        self._next = (self._next + 1) % len(self._ready)
        return self._ready[self._next]

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _rest(self, training: sides.Training) -> None:
        self._wait()
        training.rest()

    def _allocated(self, reset_peak: bool = False) -> int:
        """Bytes on the device; with other depths at rest, what they hold."""
        if self._device.type != "cuda":
            return 0
        if reset_peak:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()


def main(question: str) -> None:
    with open(question, encoding="utf-8") as stream:
        request = json.load(stream)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(request)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        if name == "end":
            break
        do = {"prepare": worker.prepare, "measure": worker.measure, "count": worker.count}[name]
        try:
            answer = do(*arguments)
        except Exception as error:  # told to who asked; the other depths go on
            answer = {"error": f"{type(error).__name__}: {error}"[-2000:]}
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # what takes NCCL and CUDA apart costs seconds, and nothing is left to be saved


if __name__ == "__main__":
    main(*sys.argv[1:])
