"""Processes of networks/worker.py, and how they are asked."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading

from kit import programs
from networks import jobs

from timing import counting
from timing.background import cache_environment


class WorkerFailed(Exception):
    pass


class Worker:
    """One side of one job. Not thread-safe; each worker may have a thread of its own."""

    def __init__(self, job: jobs.Job, side: str, *, bundle: str, work: str, weights: str,
                 null_gpu: str, device: str = "cuda", dropout: float = 0.1):  # fmt: skip
        self.side = side
        folder = os.path.join(work, "workers", f"{job.name}-{side}-{id(self):x}")
        os.makedirs(folder)
        request = os.path.join(folder, "request.json")
        with open(request, "w", encoding="utf-8") as stream:
            json.dump({
                "job": job.name, "side": side, "device": device, "dropout": dropout,
                "weights": weights,
                "data": os.path.join(bundle, "data", f"{job.data}.safetensors"),
                "counter": counting.library(bundle), "null_gpu": bool(null_gpu),
            }, stream)  # fmt: skip
        self._log = os.path.join(folder, "log.txt")
        null = ["env", f"LD_PRELOAD={null_gpu}"] if null_gpu else []
        environment = os.environ | cache_environment(work) | {"NCCL_SOCKET_IFNAME": "lo"}
        if null_gpu:
            environment |= {"NULL_GPU_DEVICES": "1", "TORCH_CUDNN_V8_API_DISABLED": "1"}
        with open(self._log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [*null, sys.executable, "-m", "networks.worker", request],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=environment,
            )  # fmt: skip
        self._answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._started = False

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def ask(self, question: str, seconds: float) -> dict:
        """Raises WorkerFailed where it does not answer in time, has ended, or answers an error."""
        if not self._started:
            self._answer("its start", seconds)
            self._started = True
        try:
            self._process.stdin.write(question + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer, which is none, says why
        return self._answer(question, seconds)

    def _answer(self, question: str, seconds: float) -> dict:
        try:
            line = self._answers.get(timeout=max(0.0, seconds))
        except queue.Empty:
            self.end()
            raise WorkerFailed(
                f"{self.side}: no answer to {question} within {seconds:.0f} s"
            ) from None
        if line is None:
            raise WorkerFailed(f"{self.side}: ended at {question}: {programs.end_of(self._log)}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(f"{self.side}: {question}: {answer['error']}")
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
