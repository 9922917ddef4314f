#!/usr/bin/env python3
"""How far `thaw check --predict` is off: prices told first, runs after them, stage by stage.

A grid of families, schedules, numbers of ranks and precisions, on networks from scratch and random
data: BERT in MiniLM's shape on texts of many lengths, a CIFAR ResNet, a small ViT, a small Llama.
Of each case the price is asked for before anything is run, then it is trained. Compared are the
time of a step (the run's median beyond the steps in which it tries whether to overlap), the time of
all steps of a stage, the whole stage with what stands between its steps, resident memory at its
peak, and the bytes of gradients a step. What there is so far is written after each case, and a case
that fails is told of and left out.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from measuring import case_series, datasets, options, report, thaw_command  # noqa: E402
from measuring.processes import RunFailed  # noqa: E402
from measuring.rounds import note  # noqa: E402

SETTLED = 14  # steps of a stage in which reducers try both ways, and warm up
VOCABULARY = 8192
BERT = {
    "model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
    "intermediate_size": 1536, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "initializer_range": 0.02, "vocab_size": datasets.VOCABULARY,
    "pad_token_id": 0,
}
VIT = {
    "model_type": "vit", "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6,
    "intermediate_size": 768, "image_size": 64, "patch_size": 8, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
LLAMA = {
    "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 256, "num_hidden_layers": 6,
    "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 768,
    "max_position_embeddings": 256, "tie_word_embeddings": True,
}
# Architecture, its options, its config.json, its data, samples of a batch.
FAMILIES = {
    "bert": ("bert", {"pooling": "mean"}, BERT, "texts", 64),
    "resnet": ("resnet-cifar", {"depth": 56}, None, "images-32", 64),
    "vit": ("vit", {}, VIT, "images-64", 32),
    "llama": ("llama", {}, LLAMA, "language", 16),
}
# What is told, beside what was run: less than nought is too little.
ERRORS = {
    "step_error": "a step", "steps_error": "all steps of a stage", "stage_error": "a whole stage",
}
SCHEDULES = ("top-down", "bottom-up", "chain-thaw")


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "predicted-price.json")
    add = parser.add_argument
    add("--families", type=options.listed, default=",".join(FAMILIES))
    add("--on-ranks", type=options.listed, default="1,2", help="numbers of ranks")
    add("--precisions", type=options.listed, default="float32,bfloat16")
    add("--schedules", type=options.listed, default=",".join(SCHEDULES), help="that take turns")
    add("--stages", type=int, default=60, help="at least; cases are added until there are so many")
    add("--steps", type=int, default=60, help="of each stage; more than the first 14 tell a step")
    add("--minutes", type=float, default=0, help="after which no case is begun; 0: no limit")
    add("--mpiexec", default="mpirun", help="that belongs to the MPI Thaw was built with")
    add("--cache", default="off", help="train.prefix-cache: off, on or auto")
    given = options.settle(parser.parse_args())
    if unknown := set(given.families) - set(FAMILIES):
        raise SystemExit(f"--families: {', '.join(sorted(unknown))} is none of "
                         f"{', '.join(FAMILIES)}")
    if given.quick:
        given.families, given.precisions = ["bert", "resnet"], ["float32"]
        given.schedules, given.steps, given.stages = ["top-down"], 20, 12
    return given


def make_data(kind: str, given: argparse.Namespace) -> str:
    path = os.path.join(given.work, "data", f"price-{kind}.h5")
    counts = {"train": 3200, "validation": 320}
    if kind == "language":
        return datasets.random_file(path, kind, counts, (40, 200), VOCABULARY)
    return datasets.random_file(path, kind, counts, (8, 60), datasets.VOCABULARY)


def grid(given: argparse.Namespace) -> list[dict]:
    """In an order in which any first so many have some of everything."""
    cases = []
    for turn in range(len(given.schedules)):
        others = itertools.product(given.precisions, given.on_ranks, given.families)
        for number, (precision, ranks, family) in enumerate(others):
            schedule = given.schedules[(number + turn) % len(given.schedules)]
            cases.append({"family": family, "schedule": schedule, "precision": precision,
                          "ranks": int(ranks)})
    return cases


def name_of(case: dict) -> str:
    return f"{case['family']}-{case['schedule']}-{case['ranks']}-{case['precision']}"


def configure(case: dict, given: argparse.Namespace) -> tuple[str, str]:
    """The folder of a case and its configuration."""
    architecture, model, description, data, batch = FAMILIES[case["family"]]
    folder = os.path.join(given.work, "predicted-price", name_of(case))
    os.makedirs(folder, exist_ok=True)
    sections = {
        "model": {"architecture": architecture, "weights": "", **model},
        "data": {"file": make_data(data, given), "batch": batch},
        "train": {
            "precision": case["precision"],
            "threads": max(1, given.threads // case["ranks"]),
            "prefix-cache": given.cache,
        },
        "checkpoint": {"every-steps": -1},
        "schedule": {
            "preset": case["schedule"], "learning-rate": 1e-4, "stage-epochs": 0,
            "stage-steps": given.steps,
        },
    }
    if case["schedule"] != "chain-thaw":
        sections["schedule"]["groups-per-stage"] = 2
    if description is not None:
        path = os.path.join(folder, "config.json")
        with open(path, "w") as stream:
            json.dump(description, stream)
        sections["model"]["config"] = path
    return folder, thaw_command.write_configuration(folder, sections, [])


def launched(case: dict, given: argparse.Namespace) -> list[str]:
    if case["ranks"] == 1:
        return []
    several = copy.copy(given)
    several.ranks = case["ranks"]
    return list(options.launcher(several))


def predict(case: dict, config: str, given: argparse.Namespace, environment: dict) -> dict:
    command = [*launched(case, given), options.command(given), "check", config, "--predict",
               "--json"]
    said = " ".join(command)
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=given.timeout,
                                env={**os.environ, **environment}, check=False)
    except subprocess.TimeoutExpired as error:
        raise RunFailed(f"{said}\ndid not end within {given.timeout:g} s") from error
    if answer.returncode != 0:
        raise RunFailed(f"{said}\nended with {answer.returncode}\n{answer.stderr[-3000:]}")
    prices = [line for line in answer.stdout.splitlines() if line.startswith("{")]
    if not prices:
        raise RunFailed(f"{said}\nprinted no price:\n{answer.stdout[-3000:]}")
    return json.loads(prices[-1])


def run(case: dict, given: argparse.Namespace) -> dict:
    """One case: told first, then run."""
    folder, config = configure(case, given)
    threads = {"OMP_NUM_THREADS": str(max(1, given.threads // case["ranks"]))}
    told = predict(case, config, given, threads)
    trained = thaw_command.train([*launched(case, given), options.command(given)], config, folder,
                                 threads, given.timeout)
    steps = {}
    for record in trained["steps"]:
        steps.setdefault(record["stage"], []).append(thaw_command.step_seconds(record))
    stages = trained["summary"]["stages"]
    if [price["name"] for price in told["stages"]] != [row["name"] for row in stages]:
        raise RunFailed(f"{name_of(case)}: other stages were told than were run")
    return {**case, "told": told, "summary": trained["summary"], "rows": [
        compared(price, row, steps[row["name"]])
        for price, row in zip(told["stages"], stages, strict=True)
    ]}


def compared(price: dict, row: dict, seconds: list[float]) -> dict:
    settled = seconds[SETTLED:] or seconds[-1:]
    median = statistics.median(settled)
    return {
        "stage": row["name"],
        "told_seconds": price["step_seconds"],
        "median_seconds": median,
        "mean_seconds": statistics.mean(settled),
        "step_error": price["step_seconds"] / median - 1,
        "steps_error": price["steps_seconds"] / sum(seconds) - 1,
        "stage_error": price["seconds"] / row["seconds"] - 1,
        "told_memory": price["peak_memory_bytes"],
        "memory": row["peak_memory_bytes"],
        "told_bytes": price["bytes_reduced_per_step"],
        "bytes": row["bytes_reduced_per_step"],
        "bytes_are_exact": price["bytes_are_exact"],
        "interpolated": price["interpolated"],
        "all_seconds": seconds,
    }


def table(cases: list[dict]) -> str:
    rows = []
    for case in cases:
        for row in case["rows"]:
            name = f"{name_of(case)}: {row['stage']}{' ~' if row['interpolated'] else ''}"
            rows.append([
                name, f"{1e3 * row['told_seconds']:.1f}", f"{1e3 * row['median_seconds']:.1f}",
                *(f"{100 * row[error]:+.1f}" for error in ERRORS),
                f"{row['told_memory'] / 2**20:.0f} / {row['memory'] / 2**20:.0f}",
                "equal" if row["told_bytes"] == row["bytes"] else
                f"{row['told_bytes']} / {row['bytes']}",
            ])
    titles = ["stage", "told ms", "run ms", *(f"{what} %" for what in ERRORS.values()),
              "MiB told / run", "bytes a step"]
    return report.markdown_table(titles, rows)


def verdict(cases: list[dict]) -> str:
    rows = [(row, name_of(case)) for case in cases for row in case["rows"]]

    def line(error: str, what: str) -> str:
        sizes = [abs(row[error]) for row, _ in rows]
        worst, where = max(rows, key=lambda one: abs(one[0][error]))
        return (f"{what}: median {100 * statistics.median(sizes):.1f} %, worst "
                f"{100 * worst[error]:+.1f} % ({where}, {worst['stage']}), within 10 %: "
                f"{sum(size <= 0.1 for size in sizes)} of {len(sizes)}; on average "
                f"{100 * statistics.mean(row[error] for row, _ in rows):+.1f} %")

    probes = [case["told"]["probe_seconds"] for case in cases]
    whole = [case["told"]["seconds"] / case["summary"]["seconds"] - 1 for case in cases]
    over = [row["told_memory"] / row["memory"] for row, _ in rows]
    unequal = [row for row, _ in rows if row["told_bytes"] != row["bytes"]]
    return "\n".join([
        f"{len(rows)} stages of {len(cases)} cases; probes of {min(probes):.1f} to "
        f"{max(probes):.1f} s",
        *(line(error, what) for error, what in ERRORS.items()),
        f"a run: median {100 * statistics.median(abs(one) for one in whole):.1f} %, worst "
        f"{100 * max(whole, key=abs):+.1f} %",
        f"memory: told {min(over):.2f} to {max(over):.2f} of what was taken (median "
        f"{statistics.median(over):.2f}); under in {sum(one < 1 for one in over)}",
        f"bytes: equal in {len(rows) - len(unequal)} of {len(rows)}; "
        f"not equal and said to be exact in {sum(row['bytes_are_exact'] for row in unequal)}",
    ])


def measure(given: argparse.Namespace, keep) -> tuple[list[dict], list[dict]]:
    """Cases until there are so many stages or the time is up, and those that failed; `keep` is
    called after each with both."""
    done, failed = [], []
    begun = time.monotonic()
    for case in grid(given):
        if given.minutes > 0 and time.monotonic() - begun > 60 * given.minutes:
            note(f"{given.minutes:g} minutes are up")
            break
        try:
            done.append(run(case, given))
        except (RunFailed, OSError, ValueError, KeyError) as error:
            failed.append({**case, "error": f"{type(error).__name__}: {error}"})
            note(f"{name_of(case):<36} FAILED: {error}")
        else:
            rows = done[-1]["rows"]
            worst = max((row["step_error"] for row in rows), key=abs)
            note(f"{name_of(case):<36} {len(rows)} stages, a step off by at most "
                 f"{100 * worst:+.1f} %")
        keep(done, failed)
        if sum(len(one["rows"]) for one in done) >= given.stages:
            break
    return done, failed


def main() -> None:
    given = parse()
    title = "# Prices told before, and runs"
    case_series.run(title, given, measure, (table, verdict), name_of)


if __name__ == "__main__":
    main()
