#!/usr/bin/env python3
"""What layers that thaw under DistributedDataParallel come to, and under Thaw: are the ranks' weights
equal after each epoch?

Two processes on this host train small networks on random images, a schedule head -> upper -> lower:
with Lightning's BackboneFinetuning and with finetuning-scheduler (both strategy="ddp"), and with
`thaw train`, whose audit compares hashes of all weights and optimizer state over the ranks.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from measuring import datasets, options, processes, report, thaw_command  # noqa: E402

CALLBACKS = {"backbone-finetuning": "lightning", "finetuning-scheduler": "finetuning-scheduler"}
STAGES = {"head": ["head"], "upper": ["layer3", "head"], "lower": ["layer[12]", "layer3", "head"]}
STEPS = 16  # an epoch


def lightning_rows(callback: str, folder: str, given) -> list[list[str]]:
    path = os.path.join(folder, f"{callback}.jsonl")
    environment = {"PYTHONPATH": processes.BENCHMARKS, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "peers.lightning_worker", callback, folder]
    processes.run_logged(command, os.path.join(folder, f"{callback}.txt"), environment, given.timeout)
    rows = []
    with open(path) as stream:
        for record in map(json.loads, stream):
            apart = record["apart"]
            rows.append(
                [
                    callback,
                    str(record["epoch"] + 1),
                    ", ".join(record["trained"]),
                    *(f"{apart[group]:.1e}" if apart[group] else "equal" for group in STAGES),
                ]
            )
    return rows


def thaw_rows(folder: str, given) -> list[list[str]]:
    """A row a stage: the audit ends the run with status 4 at the first tensor that differs."""
    images = datasets.random_images(16 * STEPS, 32, 10)
    data = os.path.join(folder, "images.h5")
    datasets.write_images(data, [f"class {i}" for i in range(10)], images)
    sections = {
        "model": {"architecture": "resnet-cifar", "depth": 20, "weights": ""},
        "data": {"file": data, "batch": 16},
        "train": {"optimizer": "sgd", "threads": 1},
        "checkpoint": {"every-steps": -1},
        "distributed": {"audit-every": 1},
    }
    stages = [
        {"name": name, "groups": groups, "learning-rate": 0.05, "until": {"epochs": 1}}
        for name, groups in STAGES.items()
    ]
    config = thaw_command.write_configuration(folder, sections, stages)
    command = [*options.launcher(given), options.command(given)]
    result = thaw_command.train(command, config, folder, {"OMP_NUM_THREADS": "1"}, given.timeout)
    audits = thaw_command.events(result["run_folder"], "audit")
    rows = []
    for epoch, (name, groups) in enumerate(STAGES.items()):
        last = STEPS * (epoch + 1)
        if not any(record["step"] == last for record in audits):
            raise SystemExit(f"thaw: no audit at step {last} in {result['run_folder']}")
        rows.append(["thaw", str(epoch + 1), ", ".join(groups), *["equal"] * len(STAGES)])
    return rows


def main() -> None:
    parser = options.parser(__doc__, "ranks-apart.json")
    options.add_launcher(parser)
    given = options.settle(parser.parse_args())
    folder = os.path.join(given.work, "ranks-apart")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    packages = ["torch", "lightning", "finetuning-scheduler"]
    versions = {name: importlib.metadata.version(name) for name in packages}
    rows = [row for callback in CALLBACKS for row in lightning_rows(callback, folder, given)]
    rows += thaw_rows(folder, given)
    titles = ["", "epoch", "trained", *(f"{group}: largest difference" for group in STAGES)]
    text = "\n\n".join(
        [
            "# Weights of two ranks after each epoch",
            ", ".join(f"{name} {version}" for name, version in versions.items()),
            report.markdown_table(titles, rows),
        ]
    )
    print(text)
    report.write_json(given.output, {"versions": versions, "rows": rows})
    report.write_text(report.markdown_path(given.output), text + "\n")


if __name__ == "__main__":
    main()
