#!/usr/bin/env python3
"""The study of a language model: each schedule over seeds, what it learns of definitions and what it
forgets of other text, with 95 % confidence intervals.

Trains by `thaw train` and measures by `thaw evaluate`; runs that are there are not done again. Started
by cluster/studies/run.sh language, which makes the data; `--quick` is the same with fewer steps on less
data, for a machine without bfloat16 units.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tomllib

from intervals import STUDENT, interval

CONFIGURATION = pathlib.Path(__file__).parent / "smollm2-glosses.toml"


def stage(name: str, groups: list[str], rate: float, steps: int) -> str:
    return (
        f'[[schedule.stage]]\nname = "{name}"\ngroups = {json.dumps(groups)}\n'
        f"learning-rate = {rate:g}\nuntil = {{ steps = {steps} }}\n"
    )


def lisa(layers: int):
    """Other layers every fifth step, chosen at random, by each seed others; embeddings and norm always
    train."""

    def write(rate: float, steps: int, _: int, seed: int) -> str:
        return (
            f'[schedule]\npreset = "random"\nlearning-rate = {rate:g}\ntotal-steps = {steps}\n'
            f'[schedule.policy]\nalways = ["embeddings", "norm"]\ngroups = {layers}\n'
            f"every-steps = 5\nseed = {seed}\n"
        )

    return write


def top_down(rate: float, steps: int, layers: int, _: int) -> str:
    """Four stages of as many steps; the last thaws the embeddings too."""
    thawed = {"last-layers": layers // 15, "upper-quarter": layers // 4, "upper-half": layers // 2}
    each = steps // 4
    text = "".join(
        stage(name, [*(f"layers.{i}" for i in range(layers - max(1, count), layers)), "norm"], rate, each)
        for name, count in thawed.items()
    )
    return text + stage("all", ["*"], rate, steps - 3 * each)


SCHEDULES = {
    "full": lambda rate, steps, *_: stage("all", ["*"], rate, steps),
    "head only": lambda rate, steps, *_: stage("head", ["embeddings", "norm"], rate, steps),
    "top-down": top_down,
    "LISA 2": lisa(2),
    "LISA 8": lisa(8),
    "LISA 16": lisa(16),
}


# What run.sh --quick makes the data of. In float32 on two cores; how long, README.md says.
QUICK = {
    "steps": 20,
    "data": "data/study-definitions-quick.h5",
    "text": "data/study-text-quick.h5",
    "output": "runs/studies/language-quick",
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--thaw", default=os.environ.get("THAW", "build/thaw"))
    add("--schedules", default=",".join(SCHEDULES), help="some of them")
    add("--seeds", type=int, default=3)
    add("--steps", type=int, default=40, help="of a run; of 16 samples each")
    add("--learning-rate", type=float, default=1e-4, help="of all schedules")
    add("--quick", action="store_true", help="other defaults: 20 steps, half the validation samples, less text")
    add("--data", default="", help="definitions; without it the configuration's")
    add("--text", default="data/study-text.h5", help="running text, validation split")
    add("--output", default="runs/studies/language", help="folder of the runs and the report")
    add("--configuration", default=str(CONFIGURATION), help="without stages")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**QUICK)
    given, given.overrides = parser.parse_known_args()
    if given.steps < 4:
        parser.error(f"--steps: {given.steps}, and top-down has four stages")
    given.schedules = [name for name in given.schedules.split(",") if name]
    unknown = set(given.schedules) - set(SCHEDULES)
    if unknown or "full" not in given.schedules:
        parser.error(f"--schedules: full, to compare with, and some of {', '.join(SCHEDULES)}")
    for file in (given.text, given.data or given.configuration):
        if not pathlib.Path(file).is_file():
            parser.error(f"{file}: not there; cluster/studies/run.sh language makes the data")
    given.model = tomllib.loads(pathlib.Path(given.configuration).read_text("utf-8"))["model"]
    config = json.loads(pathlib.Path(given.model["config"]).read_text("utf-8"))
    given.layers = config["num_hidden_layers"]
    if not 2 <= given.seeds <= max(STUDENT):
        parser.error(f"--seeds: 2 to {max(STUDENT)}, or there is no interval")
    return given


def said_by(command: list[str]) -> str:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with status {done.returncode}")
    return done.stdout


def evaluated(given: argparse.Namespace, config: str, weights: str, data: str) -> dict:
    """What `thaw evaluate` says of the validation split of `data`; "": of the configuration's."""
    command = [given.thaw, "evaluate", config, "--weights", weights, "--split", "validation"]
    return json.loads(said_by([*command, *given.overrides, *file_flag(data)]).strip().splitlines()[-1])


def file_flag(data: str) -> list[str]:
    return ["--data.file", data] if data else []


def settings_of(given: argparse.Namespace) -> dict:
    """What runs must share to be compared."""
    return {"steps": given.steps, "learning_rate": given.learning_rate,
            "overrides": given.overrides, "data": given.data, "text": given.text,
            "configuration": pathlib.Path(given.configuration).read_text(encoding="utf-8")}  # fmt: skip


def run(given: argparse.Namespace, name: str, seed: int) -> dict:
    """Of one run: losses, operations and seconds; as they are kept, where it was done before."""
    folder = pathlib.Path(given.output) / f"{name.replace(' ', '-')}-{seed}"
    result, settings = folder / "result.json", settings_of(given)
    if result.exists():
        return checked(result, settings)
    shutil.rmtree(folder / "run", ignore_errors=True)  # of one that was interrupted
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    stages = SCHEDULES[name](given.learning_rate, given.steps, given.layers, seed)
    config.write_text(settings["configuration"] + "\n" + stages, encoding="utf-8")
    more = ["--data.seed", str(seed), "--output.progress", "off", *given.overrides,
            *file_flag(given.data)]  # fmt: skip
    said_by([given.thaw, "train", str(config), "--run-dir", str(folder / "run"), *more])
    weights = folder / "run" / "weights.safetensors"
    summary = json.loads((folder / "run" / "summary.json").read_text(encoding="utf-8"))
    found = {
        "schedule": name,
        "seed": seed,
        "settings": settings,
        "loss": evaluated(given, str(config), str(weights), given.data)["loss"],
        "text_loss": evaluated(given, str(config), str(weights), given.text)["loss"],
        "flops": sum(stage["flops"] for stage in summary["stages"]),
        "seconds": summary["seconds"],
    }
    result.write_text(json.dumps(found, indent=1), encoding="utf-8")
    weights.unlink()  # half a gigabyte a run
    (folder / "run" / "weights.best.safetensors").unlink(missing_ok=True)
    print(f"{name}, seed {seed}: {found['loss']:.4f}, text {found['text_loss']:.4f}, "
          f"{found['seconds']:.0f} s", file=sys.stderr, flush=True)  # fmt: skip
    return found


def before(given: argparse.Namespace) -> dict:
    """The losses of the weights as they came."""
    folder = pathlib.Path(given.output)
    result, settings = folder / "before.json", settings_of(given)
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "before.toml"
        config.write_text(settings["configuration"] + "\n" + SCHEDULES["full"](1e-4, 1),
                          encoding="utf-8")  # fmt: skip
        own, text = (evaluated(given, str(config), given.model["weights"], file)
                     for file in (given.data, given.text))  # fmt: skip
        found = {"settings": settings, "loss": own["loss"], "samples": own["samples"],
                 "text_loss": text["loss"], "text_samples": text["samples"]}  # fmt: skip
        result.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return checked(result, settings)


def checked(result: pathlib.Path, settings: dict) -> dict:
    """What `result` kept; refused where it was found with other settings."""
    kept = json.loads(result.read_text(encoding="utf-8"))
    if kept["settings"] != settings:
        raise SystemExit(f"{result}: has other settings; give another --output")
    return kept


def table(runs: dict[str, list[dict]], start: dict) -> str:
    titles = ["schedule", "loss on definitions", "minus full", "forgotten: loss on other text",
              "minus full", "operations, 10¹²", "seconds"]  # fmt: skip
    lines = ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(titles) - 1)]
    full = runs["full"]
    for name, found in runs.items():
        cells = [name]
        for key in ("loss", "text_loss"):
            base = start[key] if key == "text_loss" else 0
            cells.append(interval([one[key] - base for one in found]))
            paired = [one[key] - other[key] for one, other in zip(found, full)]
            cells.append("" if name == "full" else interval(paired))
        cells.append(f"{statistics.mean(one['flops'] for one in found) / 1e12:.1f}")
        cells.append(f"{statistics.median(one['seconds'] for one in found):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    given = parse()
    start = before(given)
    runs = {name: [] for name in given.schedules}
    for seed in range(given.seeds):  # seed by seed: what is interrupted has whole pairs
        for name in given.schedules:
            runs[name].append(run(given, name, seed))
    short = (
        " The quick variant: so few steps and samples show that it runs and which way losses go, and decide "
        "nothing between schedules whose intervals overlap." if given.quick else ""
    )
    text = (
        f"# SmolLM2 learns definitions: {given.steps} steps, learning rate {given.learning_rate:g}, "
        f"{given.seeds} seeds\n\nNats a token, means over seeds with 95 % confidence intervals; "
        f"seeds pair the runs. Before training: {start['loss']:.3f} on {start['samples']} definitions, "
        f"{start['text_loss']:.3f} on {start['text_samples']} pieces of other text, to which what is "
        f"forgotten is added.{short}\n\n{table(runs, start)}\n"
    )
    print(text)
    folder = pathlib.Path(given.output)
    (folder / "report.md").write_text(text, encoding="utf-8")
    (folder / "report.json").write_text(json.dumps({"before": start, "runs": runs}, indent=1),
                                        encoding="utf-8")  # fmt: skip


if __name__ == "__main__":
    main()
