"""Accuracies by (direction, side, seed), kept in a file as they come, and what they say."""

from __future__ import annotations

import json
import math
import os
import statistics

from measuring.report import markdown_table, write_json
from measuring.sides import PAIRED, THAW, TORCH


class Results:
    """A file that grows run by run; a later call with the same settings goes on with it."""

    def __init__(self, path: str, settings: dict):
        self.path = path
        self.content = {"settings": settings, "machines": [], "runs": []}
        if os.path.exists(path):
            with open(path) as stream:
                self.content = json.load(stream)
            if self.content["settings"] != settings:
                raise SystemExit(
                    f"{path}: holds results of other settings ({self.content['settings']}); "
                    "remove it, or name another file by --output"
                )

    def has(self, direction: str, side: str, seed: int) -> bool:
        return seed in self.accuracies(direction, side)

    def add(self, direction: str, side: str, seed: int, result: dict) -> None:
        kept = {name: result[name] for name in ("accuracy", "loss", "seconds")}
        self.content["runs"].append({"direction": direction, "side": side, "seed": seed, **kept})
        write_json(self.path, self.content)

    def add_machine(self, facts: dict) -> None:
        self.content["machines"].append(facts)

    def accuracies(self, direction: str, side: str) -> dict[int, float]:
        """By seed, in percent."""
        return {
            run["seed"]: 100 * run["accuracy"]
            for run in self.content["runs"]
            if (run["direction"], run["side"]) == (direction, side)
        }

    def seconds(self, direction: str, side: str) -> list[float]:
        return [
            run["seconds"]
            for run in self.content["runs"]
            if (run["direction"], run["side"]) == (direction, side)
        ]

    def directions(self) -> list[str]:
        return list(dict.fromkeys(run["direction"] for run in self.content["runs"]))


_NAMES = {THAW: "thaw", TORCH: "PyTorch", PAIRED: "PyTorch, Thaw's order and head"}


def deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def means_table(results: Results, direction: str) -> str:
    rows = []
    for side, name in _NAMES.items():
        values = list(results.accuracies(direction, side).values())
        if values:
            rows.append(
                [
                    name,
                    str(len(values)),
                    f"{statistics.mean(values):.2f}",
                    f"{deviation(values):.2f}" if len(values) > 1 else "-",
                    f"{min(values):.2f} to {max(values):.2f}",
                    f"{statistics.median(results.seconds(direction, side)):.0f}",
                ]
            )
    return markdown_table(["side", "seeds", "mean %", "sd", "range", "training s"], rows)


def difference_line(results: Results, direction: str) -> str:
    """Of the means, with the standard error of independent samples."""
    ours, theirs = (list(results.accuracies(direction, s).values()) for s in (THAW, TORCH))
    if not ours or not theirs:
        return ""
    gap = statistics.mean(ours) - statistics.mean(theirs)
    error = math.sqrt(deviation(ours) ** 2 / len(ours) + deviation(theirs) ** 2 / len(theirs))
    certainty = "one seed" if math.isnan(error) else f"standard error {error:.2f}"
    return f"Thaw less PyTorch, means: {gap:+.2f} points ({certainty})."


def pairs_table(results: Results, direction: str) -> str:
    ours, theirs = (results.accuracies(direction, side) for side in (THAW, PAIRED))
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return ""
    gaps = [ours[seed] - theirs[seed] for seed in seeds]
    rows = [
        [str(seed), f"{ours[seed]:.2f}", f"{theirs[seed]:.2f}", f"{gap:+.2f}"]
        for seed, gap in zip(seeds, gaps)
    ]
    table = markdown_table(["seed", "thaw %", "PyTorch %", "difference"], rows)
    return (
        f"Pairs with the same order of samples and the same initial head:\n\n{table}\n\n"
        f"Mean difference {statistics.mean(gaps):+.2f}, largest {max(gaps, key=abs):+.2f} points."
    )


def report(results: Results, title: str) -> str:
    parts = [title]
    for direction in results.directions():
        parts.append(f"## {direction}")
        parts.append(means_table(results, direction))
        parts.append(difference_line(results, direction))
        parts.append(pairs_table(results, direction))
    return "\n\n".join(filter(None, parts))
