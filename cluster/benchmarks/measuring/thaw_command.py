"""Runs `thaw` and reads what it leaves: metrics.jsonl, summary.json, weights.safetensors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

from measuring.processes import RunFailed, run_logged


def toml(sections: dict[str, dict], stages: list[dict]) -> str:
    """A configuration file. JSON's scalars and arrays are TOML's, too."""
    lines = []
    for name, keys in sections.items():
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in keys.items()), ""]
    for stage in stages:
        lines += ["[[schedule.stage]]", *(f"{k} = {_value(v)}" for k, v in stage.items()), ""]
    return "\n".join(lines)


def _value(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def write_configuration(folder: str, sections: dict[str, dict], stages: list[dict]) -> str:
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "config.toml")
    sections = {**sections, "output": {"progress": "off", **sections.get("output", {})}}
    with open(path, "w") as stream:
        stream.write(toml(sections, stages))
    return path


def steps(run_folder: str) -> list[dict]:
    return events(run_folder, "step")


def events(run_folder: str, kind: str) -> list[dict]:
    """The lines of metrics.jsonl of one kind that are whole so far."""
    found = []
    try:
        with open(os.path.join(run_folder, "metrics.jsonl")) as stream:
            for line in stream:
                if line.endswith("\n"):
                    record = json.loads(line)
                    if record["event"] == kind:
                        found.append(record)
    except FileNotFoundError:
        pass
    return found


def step_seconds(record: dict) -> float:
    seconds = record["seconds"]
    if "total" in seconds:
        return seconds["total"]
    return sum(seconds.values())


def train(
    thaw: str | list[str], config: str, folder: str, environment: dict, timeout: float
) -> dict:
    """Trains into FOLDER/run, afresh; `thaw` with its launcher before it, if any. Returns its steps, summary and start-up time."""
    run_folder = os.path.join(folder, "run")
    shutil.rmtree(run_folder, ignore_errors=True)
    startup = run_logged(
        [*([thaw] if isinstance(thaw, str) else thaw), "train", config, "--run-dir", run_folder],
        os.path.join(folder, "log.txt"),
        environment,
        timeout,
        first_step_seen=lambda: bool(steps(run_folder)),
    )
    with open(os.path.join(run_folder, "summary.json")) as stream:
        summary = json.load(stream)
    return {
        "run_folder": run_folder,
        "weights": os.path.join(run_folder, "weights.safetensors"),
        "steps": steps(run_folder),
        "summary": summary,
        "startup_seconds": startup,
    }


def evaluate(
    thaw: str, config: str, weights: str, split: str, environment: dict, timeout: float
) -> dict:
    """What `thaw evaluate` prints: loss, accuracy, samples, seconds."""
    command = [thaw, "evaluate", config, "--weights", weights, "--split", split]
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=timeout,
        check=False,
    )
    if answer.returncode != 0:
        raise RunFailed(f"{' '.join(command)}\nended with {answer.returncode}\n{answer.stderr}")
    return json.loads(answer.stdout.strip().splitlines()[-1])
