"""Runs of `thaw train` within a part: their configuration, their device, what they left."""

from __future__ import annotations

import json
import os

import torch
from measuring import thaw_command

from kit import programs, tensor_file
from kit.part import Part


def configure(
    folder: str, model: dict, data: dict, train: dict, stages: list[dict], **sections: dict
) -> str:
    """config.toml in `folder`."""
    every = {"model": model, "data": data, "train": train, **sections}
    return thaw_command.write_configuration(folder, every, stages)


def train(part: Part, name: str, config: str, run_folder: str, *flags: str, ranks: int = 0,
          threads: int = 2, seconds: float = 1e9, **environment: str) -> programs.Done:  # fmt: skip
    """Raises where it does not end with status 0."""
    line = programs.command(
        part, "thaw", "train", config, "--run-dir", run_folder, *flags, ranks=ranks
    )
    done = programs.run(part, name, line, seconds, threads, **environment)
    if done.status != 0:
        raise RuntimeError(f"{name}: thaw ended with status {done.status}: {done.output[-2000:]}")
    return done


def losses(run_folder: str) -> list[float]:
    return [record["loss"] for record in thaw_command.steps(run_folder)]


def weights(run_folder: str) -> dict[str, torch.Tensor]:
    return tensor_file.read(os.path.join(run_folder, "weights.safetensors"))


def summary(run_folder: str) -> dict:
    with open(os.path.join(run_folder, "summary.json"), encoding="utf-8") as stream:
        return json.load(stream)
