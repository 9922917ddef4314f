#!/usr/bin/env python3
"""Whether a decoder learns the same in Thaw as in plain PyTorch: losses step by step, and on the
validation split after each stage.

Both see the same samples in the same order, without dropout, with AdamW; the schedules are all layers
at once, from the last layers down, and another two layers every few steps (as LISA has it, embeddings
and norm always active). Ends with status 1 where a validation loss differs by more than --tolerance.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import numpy as np  # noqa: E402
from measuring import datasets, machine, options, processes, prompts, report, thaw_command  # noqa: E402
from measuring.rounds import note  # noqa: E402

SCHEDULES = ("full", "top-down", "lisa")
SMALL = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "hidden_act": "silu",
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "initializer_range": 0.1,
}


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__.splitlines()[0], "language-agreement.json")
    add = parser.add_argument
    add("--size", choices=("small", "smollm2"), default="smollm2",
        help="small: a random network of 6 layers and made-up samples, in seconds")  # fmt: skip
    add("--schedules", type=options.listed, default=",".join(SCHEDULES))
    add("--steps", type=int, default=60, help="of a schedule")
    add("--batch", type=int, default=16, help="samples a step")
    add("--limit-validation", type=int, default=0, help="first samples of the split; 0: all")
    add("--learning-rate", type=float, default=0, help="0: 1e-4, of a small one 3e-3")
    add("--ranks", type=int, default=1, help="of Thaw")
    add("--mpiexec", default="mpirun", help="that belongs to the MPI Thaw was built with")
    add("--tolerance", type=float, default=0.01, help="nats a token")
    add("--smollm2", default=options.default("data", "smollm2"), help="folder of the weights")
    add("--definitions", default=options.default("data", "definitions-quickstart.h5"),
        help="what launch/quickstart.sh --language prepares")  # fmt: skip
    given = options.settle(parser.parse_args())
    options.check_sides(given.schedules, SCHEDULES)
    if given.quick:
        given.size, given.steps = "small", 12
    if given.limit_validation < 0:
        raise SystemExit(f"--limit-validation: {given.limit_validation} samples; 0 is all")
    given.learning_rate = given.learning_rate or (3e-3 if given.size == "small" else 1e-4)
    return given


def small_job(given: argparse.Namespace) -> tuple[dict, str]:
    """A random network and its samples, on disk: `model` and the data's path."""
    import torch  # takes seconds
    from safetensors.torch import save_file

    from peers import llama

    folder = os.path.join(given.work, "language-agreement", "small")
    os.makedirs(folder, exist_ok=True)
    model = {name: os.path.join(folder, file)
             for name, file in (("config", "config.json"), ("weights", "model.safetensors"))}
    with open(model["config"], "w") as stream:
        json.dump(SMALL, stream)
    torch.manual_seed(0)
    network = llama.Llama(SMALL)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=SMALL["initializer_range"])
    save_file(network.state_dict(), model["weights"])
    path = os.path.join(folder, "chains.h5")
    vocabulary = SMALL["vocab_size"]
    prompts.write(path, train=prompts.chains(500, vocabulary, 1),
                  validation=prompts.chains(100, vocabulary, 2))  # fmt: skip
    return model, path


def smollm2_model(given: argparse.Namespace) -> dict:
    return {name: options.existing(os.path.join(given.smollm2, file), "--smollm2")
            for name, file in (("config", "config.json"), ("weights", "model.safetensors"))}


def smollm2_job(given: argparse.Namespace) -> tuple[dict, str]:
    return smollm2_model(given), options.existing(given.definitions, "--definitions")


def limited(given: argparse.Namespace, path: str) -> str:
    """The data with as many validation samples as are wanted, each side's evaluation being that short."""
    validation = prompts.read(path, "validation")
    if not 0 < given.limit_validation < len(validation):
        return path
    shorter = os.path.join(given.work, "language-agreement", given.size, "limited.h5")
    prompts.write(shorter, train=prompts.read(path, "train"),
                  validation=validation.take(np.arange(given.limit_validation)))  # fmt: skip
    return shorter


def stages_of(schedule: str, layers: int, steps: int) -> list[dict]:
    """Groups and steps of each stage; `steps` in all."""
    names = [f"layers.{i}" for i in range(layers)]
    everything = ["embeddings", *names, "norm"]
    if schedule == "full":
        return [{"groups": everything, "steps": steps}]
    if schedule == "top-down":
        thawed = [layers - layers // 8 - 1, layers // 2, 0]
        groups = [[*names[first:], "norm"] for first in thawed] + [everything]
    else:
        draws = random.Random(0)
        groups = [["embeddings", *sorted(draws.sample(names, 2)), "norm"] for _ in range(6)]
    each = [steps // len(groups)] * len(groups)
    each[-1] += steps - sum(each)
    return [{"groups": active, "steps": count} for active, count in zip(groups, each) if count]


def of_thaw(given, model: dict, path: str, stages: list[dict], folder: str) -> dict:
    sections = {
        "model": {"architecture": "llama", "weights": model["weights"], "config": model["config"],
                  "attention-dropout": 0.0},
        "data": {"file": path, "batch": given.batch, "seed": 0},
        "train": {"optimizer": "adamw", "weight-decay": 0.01, "threads": given.threads},
        "checkpoint": {"every-steps": -1},
    }  # fmt: skip
    written = [
        {
            "name": f"stage {number + 1}",
            "groups": stage["groups"],
            "learning-rate": given.learning_rate,
            "until": {"steps": stage["steps"]},
        }
        for number, stage in enumerate(stages)
    ]
    config = thaw_command.write_configuration(folder, sections, written)
    launcher = options.launcher(given) if given.ranks > 1 else ()
    threads = {"OMP_NUM_THREADS": str(given.threads)}
    command = [*launcher, options.command(given)]
    result = thaw_command.train(command, config, folder, threads, given.timeout)
    last = {line["stage"]: line["loss"]
            for line in thaw_command.events(result["run_folder"], "evaluation")}
    return {
        "losses": [step["loss"] for step in result["steps"]],
        "validation": [last[stage["name"]] for stage in written],
    }


def of_pytorch(given, model: dict, path: str, stages: list[dict], folder: str) -> dict:
    request = {
        "model": model,
        "data": {"file": path, "batch": given.batch, "seed": 0},
        "optimizer": {"learning_rate": given.learning_rate, "weight_decay": 0.01},
        "stages": stages,
        "threads": given.threads,
    }
    threads = {"OMP_NUM_THREADS": str(given.threads)}
    return processes.run_worker("peers.schedule_worker", request, folder, threads, given.timeout)


def compare(schedule: str, ours: dict, theirs: dict) -> dict:
    validation = [abs(a - b) for a, b in zip(ours["validation"], theirs["validation"], strict=True)]
    steps = [abs(a - b) for a, b in zip(ours["losses"], theirs["losses"], strict=True)]
    return {"schedule": schedule, "thaw": ours, "pytorch": theirs,
            "largest_validation": max(validation), "largest_step": max(steps)}  # fmt: skip


def table(found: list[dict]) -> str:
    rows = [
        [
            one["schedule"],
            f"{one['thaw']['losses'][0]:.4f}",
            f"{one['thaw']['validation'][-1]:.4f}",
            f"{one['pytorch']['validation'][-1]:.4f}",
            f"{one['largest_validation']:.5f}",
            f"{one['largest_step']:.5f}",
        ]
        for one in found
    ]
    titles = ["schedule", "first step", "Thaw, validation", "PyTorch, validation"]
    titles += ["largest difference after a stage", "of a step"]
    return report.markdown_table(titles, rows)


def main() -> None:
    given = parse()
    thaw = options.command(given)  # refused before minutes of work
    model, path = small_job(given) if given.size == "small" else smollm2_job(given)
    path = limited(given, path)
    with open(model["config"]) as stream:
        layers = json.load(stream)["num_hidden_layers"]
    facts = machine.facts(thaw, given.threads, datasets.ROOT)
    validated = len(prompts.read(path, "validation"))
    found = []
    for schedule in given.schedules:
        stages = stages_of(schedule, layers, given.steps)
        work = os.path.join(given.work, "language-agreement", given.size, schedule)
        sides = [side(given, model, path, stages, os.path.join(work, name))
                 for name, side in (("thaw", of_thaw), ("pytorch", of_pytorch))]  # fmt: skip
        found.append(compare(schedule, *sides))
        note(f"{schedule}: largest difference {found[-1]['largest_validation']:.5f} nats")
    text = (
        f"# The same losses: {given.size}, {given.steps} steps of {given.batch} samples, "
        f"{given.ranks} rank{'s' if given.ranks > 1 else ''}\n\n{machine.header(facts)}\n\n"
        f"Nats a token, without dropout; {validated} samples of validation.\n\n{table(found)}\n"
    )
    print(text, flush=True)
    report.write_json(given.output, {"machine": facts, "command": sys.argv, "schedules": found})
    report.write_text(report.markdown_path(given.output), text)
    if any(one["largest_validation"] > given.tolerance for one in found):
        raise SystemExit(f"a validation loss is more than {given.tolerance:g} nats off")


if __name__ == "__main__":
    main()
