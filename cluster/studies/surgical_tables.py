"""What surgical.py reports: accuracy by method and corruption, and the learning rates that were chosen."""

from __future__ import annotations

import argparse
import statistics

from intervals import interval


def table(given: argparse.Namespace, runs: list[dict], start: dict[str, float]) -> str:
    titles = ["method", "mean, %", "minus full", *given.corruptions, "operations, 10¹²"]
    lines = ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(titles) - 1)]
    cells = ["not adapted", f"{100 * statistics.mean(start.values()):.1f}", ""]
    cells += [f"{100 * start[each]:.1f}" for each in given.corruptions]
    lines.append("| " + " | ".join([*cells, ""]) + " |")

    def of(method: str, corruption: str) -> list[float]:
        return [100 * one["accuracy"] for one in runs
                if one["method"] == method and one["corruption"] == corruption]  # fmt: skip

    def means(method: str) -> list[float]:
        """A mean over corruptions for each seed."""
        return [statistics.mean(seed) for seed in zip(*(of(method, each) for each in given.corruptions))]

    for method in given.methods:
        own = [one for one in runs if one["method"] == method]
        paired = [a - b for a, b in zip(means(method), means("full"))]
        lines.append("| " + " | ".join([
            method, interval(means(method), ".1f"),
            "" if method == "full" else interval(paired, "+.1f"),
            *(interval(of(method, each), ".1f") for each in given.corruptions),
            f"{statistics.mean(one['flops'] for one in own) / 1e12:.2f}"]) + " |")  # fmt: skip
    return "\n".join(lines)


def choice_table(given: argparse.Namespace, choices: list[dict]) -> str:
    lines = ["Learning rates: of each method on each corruption the one that was best on a fifth of the first "
             "seed's images, after training on the rest. There, in %:\n",
             "| method | " + " | ".join(given.corruptions) + " |",
             "| --- |" + " --- |" * len(given.corruptions)]  # fmt: skip
    for method in given.methods:
        cells = []
        for corruption in given.corruptions:
            (one,) = (each for each in choices
                      if each["method"] == method and each["corruption"] == corruption)  # fmt: skip
            cells.append(", ".join(
                f"**{rate:g}: {100 * of:.1f}**" if rate == one["rate"] else f"{rate:g}: {100 * of:.1f}"
                for rate, of in one["tried"].items()))  # fmt: skip
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


NORMS = {
    "kept": "Normalisation stays as it came, statistics and scales.",
    "trained": "Normalisation of active layers is trained, with the batch's statistics; that of frozen "
    "layers stays as it came.",
}
