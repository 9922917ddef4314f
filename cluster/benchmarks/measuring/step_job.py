"""One job, described once and run by each side: train some groups for some steps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from measuring import processes, thaw_command
from measuring.sides import BARE_ENGINE, DDP_TUNED, PLAIN_LOOP, THAW, THAW_CACHED, TUNED


@dataclass
class Stage:
    name: str
    groups: list[str]


@dataclass
class StepJob:
    """What all runs of one table have in common.

    `model`: as `build` of peers/bert.py, peers/llama.py or peers/resnet.py takes it, and
    `architecture`.
    `data`: file, batch, seed. `optimizer`: name, learning_rate, weight_decay, momentum.
    """

    model: dict
    data: dict
    optimizer: dict
    precision: str
    steps: int  # warm-up included
    threads: int
    work: str  # folder for requests, logs and run folders
    timeout: float
    thaw: str = ""
    variants: str = ""  # the program of the sides that are `thaw train` with another reduction
    ranks: int = 1  # that share the batch, with `threads` each
    launcher: tuple[str, ...] = ()  # starts the ranks of a program of MPI
    tuned_environment: dict[str, str] = field(default_factory=dict)
    tuned_attention: str = "sdpa"


def run(job: StepJob, side: str, stage: Stage) -> dict:
    """`step_seconds` and `losses` (one a step), `peak_memory_bytes` within the stage, and
    `startup_seconds` from the start of the process to the end of its first step. All of rank 0."""
    folder = os.path.join(job.work, side)
    threads = {"OMP_NUM_THREADS": str(job.threads)}
    if side in (THAW, THAW_CACHED, PLAIN_LOOP, BARE_ENGINE):
        program = [job.thaw] if side in (THAW, THAW_CACHED) else [job.variants, side]
        sections, stages = configuration(job, stage)
        if side == THAW_CACHED:
            sections["train"]["prefix-cache"] = "on"
            sections["train"]["prefix-cache-folder"] = os.path.join(folder, "cache")
        return _run_thaw(job, program, sections, stages, folder, threads)
    environment = {**threads, **(job.tuned_environment if _is_tuned(side) else {})}
    return processes.run_worker(
        "peers.step_worker", _request(job, side, stage), folder, environment, job.timeout
    )


def _is_tuned(side: str) -> bool:
    return side in (TUNED, DDP_TUNED)


def _request(job: StepJob, side: str, stage: Stage) -> dict:
    attention = job.tuned_attention if _is_tuned(side) else "sdpa"
    return {
        "form": "tuned" if _is_tuned(side) else "usual",
        "side": side,
        "ranks": job.ranks,
        "model": {**job.model, "attention": attention},
        "groups": stage.groups,
        "data": job.data,
        "optimizer": job.optimizer,
        "precision": job.precision,
        "steps": job.steps,
        "threads": job.threads,
    }


def model_section(model: dict) -> dict:
    """`[model]` of Thaw's configuration."""
    section = {"architecture": model["architecture"], "weights": model["weights"]}
    if model["architecture"] == "bert":
        return section | {
            "head": "new",
            "config": model["config"],
            "pooling": "mean",
            "dropout": model["dropout"],
            "attention-dropout": model["attention_dropout"],
            "head-dropout": model["head_dropout"],
        }
    if model["architecture"] == "llama":
        return section | {"config": model["config"]}
    head = "loaded" if model["weights"] else "new"
    return section | {"head": head, "depth": model["depth"]}


def configuration(job: StepJob, stage: Stage) -> tuple[dict, list[dict]]:
    train = {
        "precision": job.precision,
        "optimizer": job.optimizer["name"],
        "weight-decay": job.optimizer["weight_decay"],
        "threads": job.threads,
        "batch-norm": "local",  # statistics of each rank's own samples, as DDP's are
    }
    if job.optimizer["name"] == "sgd":
        train["momentum"] = job.optimizer["momentum"]
    sections = {
        "model": model_section(job.model),
        "data": {"file": job.data["file"], "batch": job.data["batch"], "seed": job.data["seed"]},
        "train": train,
        "checkpoint": {"every-steps": -1},
    }
    only = {
        "name": stage.name,
        "groups": stage.groups,
        "learning-rate": job.optimizer["learning_rate"],
        "until": {"steps": job.steps},
    }
    return sections, [only]


def _run_thaw(
    job: StepJob, program: list[str], sections: dict, stages: list[dict], folder: str,
    environment: dict,
) -> dict:  # fmt: skip
    config = thaw_command.write_configuration(folder, sections, stages)
    command = [*job.launcher, *program]
    result = thaw_command.train(command, config, folder, environment, job.timeout)
    (row,) = result["summary"]["stages"]
    return {
        "ranks": job.ranks,
        "exposed_seconds": [record["seconds"]["communication"] for record in result["steps"]],
        "transition_seconds": row["transition_seconds"],
        "step_seconds": [thaw_command.step_seconds(record) for record in result["steps"]],
        "losses": [record["loss"] for record in result["steps"]],
        "peak_memory_bytes": row["peak_memory_bytes"],
        "flops_per_sample": row["flops_per_sample"],
        "startup_seconds": result["startup_seconds"],
    }
