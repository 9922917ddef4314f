"""50 steps of MiniLM's shape from the same random weights on the same texts of real lengths,
without dropout: Thaw on the GPU beside PyTorch on the GPU and beside Thaw on the CPU."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys

from kit import thaw
from kit.part import Part
from networks import jobs

STEPS, BATCH, RATE = 50, 32, 5e-5
REHEARSED = 4  # steps on the null GPU
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2}  # of a step's loss, of the other's
Side = tuple[str, str]  # program and device
THAW_GPU, TORCH_GPU = ("thaw", "cuda"), ("PyTorch", "cuda")
THAW_CPU, TORCH_CPU = ("thaw", "cpu"), ("PyTorch", "cpu")


def run(part: Part) -> None:
    # That the CPU's sides agree shows, where no GPU computes, that they are the same training.
    sides = (THAW_GPU, TORCH_GPU, THAW_CPU, *((TORCH_CPU,) if part.null_gpu else ()))
    pairs = [(THAW_GPU, TORCH_GPU), (THAW_GPU, THAW_CPU)]
    if part.null_gpu:
        pairs.append((THAW_CPU, TORCH_CPU))
    runs = Runs(part)
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        for precision in TOLERANCES:
            for side in sides:
                pool.submit(runs.check, precision, side)
    part.keep("losses", {f"{p}, {words(side)}": found for (p, side), found in runs.losses.items()})
    for precision, tolerance in TOLERANCES.items():
        for ours, theirs in pairs:
            name = f"{precision}: {words(ours)} against {words(theirs)}"
            both = [runs.losses.get((precision, side)) for side in (ours, theirs)]
            if part.null_gpu and "cuda" in (ours[1], theirs[1]):
                part.skipped(name, "compares numbers, and the null GPU computes none")
            elif all(both):
                part.check(name, lambda both=both, t=tolerance: close(*both, t))


def words(side: Side) -> str:
    return f"{side[0]} on the {'GPU' if side[1] == 'cuda' else 'CPU'}"


def close(ours: list[float], theirs: list[float], tolerance: float) -> str:
    apart = [abs(a - b) / abs(b) for a, b in zip(ours, theirs)]
    step = max(range(len(apart)), key=apart.__getitem__)
    text = f"at most {apart[step]:.1e} apart (step {step + 1}), {tolerance:.0e} allowed"
    if not apart[step] <= tolerance:
        raise AssertionError(text)
    return text


class Runs:
    """`losses` of those that ran, by precision and side. Runs may go on beside each other."""

    def __init__(self, part: Part):
        self.losses: dict[tuple[str, Side], list[float]] = {}
        self._part = part
        self._job = jobs.job("ragged")
        weights = part.folder("weights")
        self._weights = jobs.draw_weights(self._job.network, self._job.classes, weights)
        self._steps = REHEARSED if part.null_gpu else STEPS

    def check(self, precision: str, side: Side) -> None:
        def body() -> str:
            run_one = self._thaw if side[0] == "thaw" else self._torch
            found = run_one(precision, side[1])
            if len(found) != self._steps:
                raise AssertionError(f"{len(found)} steps of {self._steps}")
            self.losses[precision, side] = found
            return f"losses {found[0]:.5f} to {found[-1]:.5f}"

        self._part.check(f"{precision}: {words(side)}", body)

    def _threads(self, device: str) -> int:
        """The runs on the CPU share its cores, and leave some."""
        return max(1, (os.cpu_count() or 2) // 2 - 1) if device == "cpu" else 2

    def _thaw(self, precision: str, device: str) -> list[float]:
        job, weights = self._job, self._weights
        folder = self._part.folder(f"{precision}-{device}")
        model = {
            "architecture": "bert", "weights": weights, "head": "loaded", "pooling": "mean",
            "config": os.path.join(os.path.dirname(weights), f"{job.network}.json"),
            "dropout": 0.0, "attention-dropout": 0.0, "head-dropout": 0.0,
        }  # fmt: skip
        stage = {
            "name": "all", "groups": job.depths["all"], "learning-rate": RATE,
            "until": {"steps": self._steps},
        }  # fmt: skip
        data = {"file": self._part.data(f"{job.data}.h5"), "batch": BATCH, "seed": 0}
        # PyTorch's AdamW lets all weights decay alike.
        training = {
            "precision": precision, "optimizer": "adamw", "weight-decay": 0.01,
            "decay-norms-and-biases": True, "device": device,
        }  # fmt: skip
        checkpoint = {"every-steps": -1}
        config = thaw.configure(folder, model, data, training, [stage], checkpoint=checkpoint)
        run_folder = os.path.join(folder, "run")
        name = f"{precision}-{device}"
        thaw.train(self._part, name, config, run_folder, threads=self._threads(device))
        return thaw.losses(run_folder)

    def _torch(self, precision: str, device: str) -> list[float]:
        folder = self._part.folder(f"{precision}-{device}-torch")
        question, answer = (os.path.join(folder, name) for name in ("request.json", "result.json"))
        null_gpu = self._part.null_gpu if device == "cuda" else ""
        request = {
            "job": self._job.name, "depth": "all", "weights": self._weights,
            "data": self._part.data(f"{self._job.data}.safetensors"),
            "precision": precision, "rate": RATE, "batch": BATCH, "steps": self._steps,
            "threads": self._threads(device), "device": device, "null_gpu": bool(null_gpu),
        }  # fmt: skip
        with open(question, "w", encoding="utf-8") as stream:
            json.dump(request, stream)
        null = ["env", f"LD_PRELOAD={null_gpu}"] if null_gpu else []
        done = subprocess.run(
            [*null, sys.executable, "-m", "networks.losses", question, answer],
            capture_output=True, text=True, timeout=self._part.left(), check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"ended with status {done.returncode}: {done.stderr[-2000:]}")
        with open(answer, encoding="utf-8") as stream:
            return json.load(stream)["losses"]
