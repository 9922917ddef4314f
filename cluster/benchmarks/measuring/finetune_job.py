"""Fine-tuning by gradual unfreezing, described once, run by Thaw or by a PyTorch script."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from measuring import datasets, processes, thaw_command
from measuring.step_job import Stage, model_section

_PROBE_SAMPLES = 300  # few samples (up to 256) are permuted with more rounds than many
_PROBE_EPOCHS = 2
_PROBE_TOLERANCE = 1e-4  # relative, of a loss


@dataclass
class FinetuneJob:
    """`model` as peers/bert.py takes it; `data`: a file with train and test; each stage lasts
    `epochs`."""

    model: dict
    file: str
    batch: int
    epochs: int
    head_rate: float
    rate: float
    weight_decay: float
    threads: int
    device: str  # of the PyTorch script
    work: str
    timeout: float
    thaw: str = ""

    def environment(self) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(self.threads)}

    def sections(self, seed: int) -> dict[str, dict]:
        return {
            "model": model_section(self.model),
            "data": {"file": self.file, "batch": self.batch, "seed": seed},
            "train": {
                "seed": seed,
                "optimizer": "adamw",
                "weight-decay": self.weight_decay,
                "threads": self.threads,
            },
            "checkpoint": {"every-steps": -1},
        }

    def request(self, stages: list[Stage], seed: int) -> dict:
        return {
            "model": {**self.model, "attention": "sdpa"},
            "file": self.file,
            "batch": self.batch,
            "epochs": self.epochs,
            "stages": [stage.groups for stage in stages],
            "head_rate": self.head_rate,
            "rate": self.rate,
            "weight_decay": self.weight_decay,
            "seed": seed,
            "threads": self.threads,
            "device": self.device,
            "order": "own",
            "head": "",
        }


def run_thaw(job: FinetuneJob, stages: list[Stage], seed: int, folder: str) -> dict:
    rates = {"head": job.head_rate, "*": job.rate}
    sections = job.sections(seed)
    explicit = [
        {
            "name": stage.name,
            "groups": stage.groups,
            "learning-rate": rates,
            "until": {"epochs": job.epochs},
        }
        for stage in stages
    ]
    config = thaw_command.write_configuration(folder, sections, explicit)
    trained = thaw_command.train(job.thaw, config, folder, job.environment(), job.timeout)
    tested = thaw_command.evaluate(
        job.thaw, config, trained["weights"], "test", job.environment(), job.timeout
    )
    os.unlink(trained["weights"])  # large, and many runs follow
    return {
        "accuracy": tested["accuracy"],
        "loss": tested["loss"],
        "seconds": trained["summary"]["seconds"],
    }


def run_torch(
    job: FinetuneJob, stages: list[Stage], seed: int, folder: str, head: str = ""
) -> dict:
    """`head`: of Thaw, whose order of samples is then taken, too."""
    request = job.request(stages, seed)
    if head:
        request |= {"order": "thaw", "head": head}
    return _worker(job, request, folder)


def _worker(job: FinetuneJob, request: dict, folder: str) -> dict:
    return processes.run_worker(
        "peers.finetune_worker", request, folder, job.environment(), job.timeout
    )


def initial_head(job: FinetuneJob, seed: int) -> str:
    """The head that Thaw starts from, as a file with `weight` and `bias`, and the proof that the
    script pairs with Thaw: without learning and dropout, on two epochs of a few samples, its losses
    are Thaw's, step by step. Raises RunFailed where they are not."""
    folder = os.path.join(job.work, f"probe-{seed}")
    still = _probe_job(job, folder)
    stage = Stage("probe", ["head"])
    only = {
        "name": stage.name,
        "groups": stage.groups,
        "learning-rate": 0.0,
        "until": {"epochs": _PROBE_EPOCHS},
    }
    config = thaw_command.write_configuration(folder, still.sections(seed), [only])
    trained = thaw_command.train(job.thaw, config, folder, job.environment(), job.timeout)
    head = os.path.join(folder, "head.safetensors")
    _save_head(trained["weights"], job.model["classes"], head)
    request = still.request([stage], seed)
    request |= {"order": "thaw", "head": head, "head_rate": 0.0, "epochs": _PROBE_EPOCHS}
    of_thaw = np.array([record["loss"] for record in trained["steps"]])
    of_torch = np.array(_worker(still, request, folder)["losses"])
    if of_thaw.shape != of_torch.shape or not np.allclose(of_thaw, of_torch, _PROBE_TOLERANCE, 0):
        raise processes.RunFailed(
            f"the script does not pair with Thaw: losses of Thaw {of_thaw}, of PyTorch {of_torch}"
        )
    return head


def _probe_job(job: FinetuneJob, folder: str) -> FinetuneJob:
    file = os.path.join(folder, "samples.h5")
    texts = datasets.some_texts(datasets.read_texts(job.file), _PROBE_SAMPLES)
    datasets.write_texts(file, datasets.class_names(job.file), train=texts)
    still = {"dropout": 0.0, "attention_dropout": 0.0, "head_dropout": 0.0}
    return FinetuneJob(**{**vars(job), "model": job.model | still, "file": file})


def _save_head(weights: str, classes: int, output: str) -> None:
    """The only matrix and vector of `weights` with a row a class, whatever they are named."""
    head = {}
    with safe_open(weights, "numpy") as file:
        for name in file.keys():
            shape = file.get_slice(name).get_shape()
            if shape[0] == classes and len(shape) <= 2:
                head["weight" if len(shape) == 2 else "bias"] = file.get_tensor(name)
    if len(head) != 2:
        raise processes.RunFailed(f"{weights}: no head of {classes} classes found")
    save_file(head, output)
