"""Prints what a language model's finished run came to:
`print_language_result.py RUN BEFORE.json BEFORE.txt AFTER.txt`: of each stage the validation loss at
its end; of each prompt the text before training and after. BEFORE.json is what `thaw evaluate` says."""

import json
import math
import os
import sys
import textwrap

INDENT = " " * 6


def losses(folder: str) -> dict:
    """The last evaluation's loss of each stage, by name."""
    found = {}
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event.get("event") == "evaluation":
                found[event["stage"]] = event["loss"]
    return found


def rows(summary: dict, before: dict, by_stage: dict) -> list:
    table = [("stage", "steps", "seconds", "active parameters", "validation loss", "perplexity")]
    table.append(("before", "", "", "", *_figures(before["loss"])))
    for stage in summary["stages"]:
        table.append(
            (
                stage["name"],
                f"{stage['steps']:,}",
                f"{stage['seconds']:.0f}",
                f"{stage['active_parameters']:,}",
                *_figures(by_stage.get(stage["name"])),
            )
        )
    return table


def _figures(loss) -> tuple:
    return (f"{loss:.3f}", f"{math.exp(loss):.1f}") if loss is not None else ("", "")


def print_table(table: list) -> None:
    widths = [max(map(len, column)) for column in zip(*table)]
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print(INDENT + "   ".join(cells).rstrip())


def print_text(label: str, text: str) -> None:
    print(
        textwrap.fill(
            f"{label} {text}", 96, initial_indent=INDENT, subsequent_indent=INDENT + " " * 8
        )
    )


def main() -> None:
    folder, evaluated, before, after = sys.argv[1:]
    with open(os.path.join(folder, "summary.json"), encoding="utf-8") as stream:
        summary = json.load(stream)
    with open(evaluated, encoding="utf-8") as stream:
        figures = json.load(stream)
    print_table(rows(summary, figures, losses(folder)))
    print(f"\n{INDENT}{summary['steps']:,} steps in {summary['seconds']:.0f} s "
          f"on {summary['ranks']} ranks; losses in nats a token\n")  # fmt: skip
    with open(before, encoding="utf-8") as first, open(after, encoding="utf-8") as second:
        for old, new in zip(first.read().splitlines(), second.read().splitlines()):
            print_text("before ", old)
            print_text("after  ", new)


if __name__ == "__main__":
    main()
