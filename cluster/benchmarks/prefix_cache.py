#!/usr/bin/env python3
"""What `train.prefix-cache` spares on BANKING77 with MiniLM, with and without it.

Two cases, each in its precisions: `thaw compare` of head-only with nine learning rates, all of whose
runs share one file; and the schedule of four stages from the head to all layers, at so many epochs a
stage. Each case starts from an empty folder, so what making the files takes is in its time. The sides
take turns at going first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from measuring import datasets, machine, options, processes, report, thaw_command  # noqa: E402
from measuring.datasets import ROOT  # noqa: E402
from measuring.rounds import note  # noqa: E402

WITHOUT, WITH = "off", "on"
RATES = "1e-4,2e-4,5e-4,1e-3,2e-3,5e-3,1e-2,2e-2,5e-2"
SWEEP, SCHEDULE = "head-only, 9 rates", "head, +2, +4, all layers"
LAYERS = [f"encoder.{i}" for i in range(6)]
STAGES = [
    ("head", ["head"]),
    ("upper", [*LAYERS[4:], "head"]),
    ("middle", [*LAYERS[2:], "head"]),
    ("all", ["embeddings", *LAYERS, "head"]),
]


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "prefix-cache.json")
    add = parser.add_argument
    banking77 = options.default(os.pardir, "shared", "data", "banking77")
    add("--data", default=options.default("data"), help="folder that holds minilm/")
    add("--train", default=os.path.join(banking77, "train.csv"), help="with text and category")
    add("--precisions", type=options.listed, default="float32,bfloat16")
    add("--cases", type=options.listed, default="sweep,schedule")
    add("--epochs", type=float, default=3, help="of each stage, and of each run of the sweep")
    add("--batch", type=int, default=64)
    add("--max-tokens", type=int, default=64, help="where texts are cut")
    add("--samples", type=int, default=0, help="of training; 0: all")
    add("--rounds", type=int, default=1, help="of each case, precision and side")
    given = options.settle(parser.parse_args())
    if given.quick:
        given.rounds, given.epochs, given.samples = 1, 2, 256
        given.precisions = given.precisions[:1]
    return given


def make_data(given: argparse.Namespace) -> str:
    folder = os.path.join(given.work, "data")
    source = os.path.join(folder, f"banking77-validated-{given.max_tokens}.h5")
    datasets.prepare(
        source,
        *["text", "--text-column", "text", "--label-column", "category"],
        *["--train", options.existing(given.train, "--train"), "--validation-fraction", "0.1"],
        *["--tokenizer", os.path.join(given.data, "minilm", "tokenizer.json")],
        *["--max-tokens", str(given.max_tokens)],
    )
    if given.samples == 0:
        return source
    small = os.path.join(folder, f"banking77-validated-{given.samples}.h5")
    train, validation = (datasets.read_texts(source, split) for split in ("train", "validation"))
    datasets.write_texts(
        small,
        datasets.class_names(source),
        train=datasets.some_texts(train, given.samples),
        validation=datasets.some_texts(validation, max(1, given.samples // 8)),
    )
    return small


def configuration(case: str, precision: str, side: str, file: str, given, folder: str) -> str:
    minilm = os.path.join(os.path.abspath(given.data), "minilm")
    sections = {
        "model": {
            "architecture": "bert",
            "weights": options.existing(os.path.join(minilm, "model.safetensors"), "--data"),
            "config": os.path.join(minilm, "config.json"),
        },
        "data": {"file": file, "batch": given.batch},
        "train": {
            "precision": precision,
            "threads": given.threads,
            "prefix-cache": side,
            "prefix-cache-folder": os.path.join(folder, "cache"),
        },
        "checkpoint": {"every-steps": -1},
    }
    stages = []
    if case == SWEEP:
        sections["schedule"] = {
            "preset": "head-only", "learning-rate": 1e-3, "total-epochs": given.epochs
        }
    else:
        stages = [
            {"name": name, "groups": groups, "learning-rate": {"head": 1e-3, "*": 1e-4},
             "until": {"epochs": given.epochs}}
            for name, groups in STAGES
        ]
    return thaw_command.write_configuration(folder, sections, stages)


def run(case: str, precision: str, side: str, file: str, given: argparse.Namespace) -> dict:
    """Seconds of one case from an empty folder, and what it came to."""
    folder = os.path.join(given.work, "prefix-cache", f"{case.split(',')[0]}-{precision}-{side}")
    shutil.rmtree(folder, ignore_errors=True)
    config = configuration(case, precision, side, file, given, folder)
    thaw = options.command(given)
    threads = {"OMP_NUM_THREADS": str(given.threads)}
    if case == SCHEDULE:
        trained = thaw_command.train(thaw, config, folder, threads, given.timeout)
        return {"seconds": trained["summary"]["seconds"],
                "loss": trained["summary"]["train_loss"],
                "stages": [row["seconds"] for row in trained["summary"]["stages"]],
                "said": [line["text"]
                         for line in thaw_command.events(trained["run_folder"], "prefix-cache")]}
    begun = time.perf_counter()
    processes.run_logged(
        [thaw, "compare", config, "--schedules", "head-only", "--seeds", "1", "--learning-rates",
         RATES, "--output", os.path.join(folder, "compared")],
        os.path.join(folder, "log.txt"), threads, given.timeout,
    )
    whole = time.perf_counter() - begun
    training = []
    for path, _, names in os.walk(os.path.join(folder, "compared")):
        if "metrics.jsonl" in names:
            training += [line["seconds"] for line in thaw_command.events(path, "end")]
    return {"seconds": whole, "training_seconds": sum(training), "runs": len(training)}


def table(cases: list[str], runs: dict, given: argparse.Namespace) -> str:
    rows = []
    for case in cases:
        for precision in given.precisions:
            whole = [statistics.median(one["seconds"] for one in runs[case, precision, side])
                     for side in (WITHOUT, WITH)]
            row = [f"{case}, {precision}", *(f"{one:.1f}" for one in whole),
                   f"{whole[0] / whole[1]:.2f}"]
            if case == SWEEP:
                inner = [statistics.median(one["training_seconds"]
                                           for one in runs[case, precision, side])
                         for side in (WITHOUT, WITH)]
                row.append(f"{inner[0]:.1f} / {inner[1]:.1f} = {inner[0] / inner[1]:.2f}")
            else:
                row.append("-")
            rows.append(row)
    return report.markdown_table(
        ["case", "without s", "with s", "without/with", "training alone s"], rows)


def main() -> None:
    given = parse()
    file = make_data(given)
    named = {"sweep": SWEEP, "schedule": SCHEDULE}
    if unknown := set(given.cases) - set(named):
        raise SystemExit(f"--cases: {', '.join(sorted(unknown))} is none of {', '.join(named)}")
    cases = [named[name] for name in given.cases]
    facts = machine.facts(options.command(given), given.threads, ROOT)
    print(f"# Prefix cache: MiniLM on BANKING77, {given.epochs:g} epochs\n\n"
          f"{machine.header(facts)}\n", flush=True)
    runs = {}
    for number in range(given.rounds):
        for case in cases:
            for precision in given.precisions:
                for side in (WITHOUT, WITH)[:: -1 if number % 2 else 1]:
                    result = run(case, precision, side, file, given)
                    runs.setdefault((case, precision, side), []).append(result)
                    note(f"{case:<26} {precision:<9} {side:<4} {result['seconds']:8.1f} s")
    text = table(cases, runs, given)
    print(text, flush=True)
    report.write_json(given.output, {
        "machine": facts, "command": sys.argv,
        "runs": [{"case": case, "precision": precision, "side": side, "results": results}
                 for (case, precision, side), results in runs.items()],
    })
    report.write_text(report.markdown_path(given.output), text + "\n")


if __name__ == "__main__":
    main()
