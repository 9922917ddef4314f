"""Tables of Markdown and files of JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics

from measuring.rounds import Samples
from measuring.sides import COLUMNS, THAW


def markdown_table(titles: list[str], rows: list[list[str]]) -> str:
    """Columns aligned for people, too; all but the first to the right."""
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]

    def line(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    return "\n".join([line(titles), line(rule), *map(line, rows)])


def step_table(stages: list, samples: dict[tuple[str, str], Samples], sides: list[str]) -> str:
    order = [side for side in COLUMNS if side in sides]
    titles = ["stage", *(f"{side} ms" for side in order)]
    peers = [side for side in order if side != THAW and THAW in order]
    titles += [f"thaw/{side}" for side in peers]
    titles += [f"{what} " + " / ".join(order) for what in ("peak MiB", "start-up s")]
    several_ranks = any(samples[stages[0].name, side].transition_seconds for side in order)
    if several_ranks:
        titles += ["transition ms " + " / ".join(order), "exposed ms thaw"]
    rows = []
    for stage in stages:
        of = {side: samples[stage.name, side] for side in order}
        row = [stage.name, *(f"{1e3 * of[side].median():.1f}" for side in order)]
        row += [f"{of[THAW].median() / of[side].median():.2f}" for side in peers]
        peaks = (statistics.median(of[side].peak_memory_bytes) / 2**20 for side in order)
        row.append(" / ".join(f"{peak:.0f}" for peak in peaks))
        row.append(" / ".join(_middle(of[side].startup_seconds) for side in order))
        if several_ranks:
            row.append(" / ".join(_middle(of[side].transition_seconds, 1e3) for side in order))
            exposed = [s for one in of[THAW].exposed_seconds for s in one] if THAW in of else []
            row.append(_middle(exposed, 1e3))
        rows.append(row)
    return markdown_table(titles, rows)


def _middle(values: list[float], unit: float = 1) -> str:
    return f"{unit * statistics.median(values):.1f}" if values else "-"


def step_figures(stages: list, samples: dict[tuple[str, str], Samples], sides: list[str]) -> list:
    """The same and all that it was made from, for JSON."""
    figures = []
    for stage in stages:
        row = {"stage": stage.name, "groups": stage.groups}
        for side in sides:
            one = samples[stage.name, side]
            row[side] = {
                "median_seconds": one.median(),
                "round_medians": one.round_medians(),
                **dataclasses.asdict(one),
            }
        for side in sides:
            if THAW in sides and side != THAW:
                row[f"thaw/{side}"] = row[THAW]["median_seconds"] / row[side]["median_seconds"]
        figures.append(row)
    return figures


def highest_load(samples: dict[tuple[str, str], Samples]) -> float:
    """Of the machine while it was measured: not far above the threads, or others were busy, too."""
    return max(load for one in samples.values() for load in one.loads)


def write_json(path: str, content: dict) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".partial", "w") as stream:
        json.dump(content, stream, indent=1)
    os.replace(path + ".partial", path)


def write_text(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as stream:
        stream.write(text)


def markdown_path(json_path: str) -> str:
    return os.path.splitext(json_path)[0] + ".md"
