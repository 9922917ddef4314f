"""The losses of a job's first steps: python -m networks.losses request.json result.json."""

from __future__ import annotations

import dataclasses
import json
import sys

import torch

from networks import batches, jobs, sides


def main(question: str, answer: str) -> None:
    with open(question, encoding="utf-8") as stream:
        request = json.load(stream)
    device = sides.device_of(request["device"], request["null_gpu"])
    torch.set_num_threads(request["threads"])
    job = dataclasses.replace(jobs.job(request["job"]), batch=request["batch"])
    training = sides.Training(
        sides.FUSED, job, request["depth"], request["weights"], precision=request["precision"],
        dropout=0.0, rate=request["rate"], device=device,
    )  # fmt: skip
    steps = batches.steps(request["data"], job.batch, request["steps"])
    losses = [training.step(training.ready(batch)) for batch in steps]
    with open(answer, "w", encoding="utf-8") as stream:
        json.dump({"losses": torch.stack(losses).tolist()}, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
