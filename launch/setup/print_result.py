"""Prints what a finished run came to, from its summary.json: `print_result.py RUN_FOLDER`."""

import json
import os
import sys

INDENT = " " * 6


def main() -> None:
    with open(os.path.join(sys.argv[1], "summary.json"), encoding="utf-8") as stream:
        summary = json.load(stream)
    rows = [("stage", "steps", "seconds", "active parameters")]
    for stage in summary["stages"]:
        rows.append(
            (
                stage["name"],
                f"{stage['steps']:,}",
                f"{stage['seconds']:.0f}",
                f"{stage['active_parameters']:,}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print(INDENT + "   ".join(cells))
    print(
        f"\n{INDENT}{summary['steps']:,} steps in {summary['seconds']:.0f} s "
        f"on {summary['ranks']} ranks"
    )
    for name, key in (("at the end", "validation"), ("at its best", "best")):
        if key in summary:
            report = summary[key]
            print(
                f"{INDENT}validation {name}: accuracy {report['accuracy']:.2%}, "
                f"loss {report['loss']:.4f}, {report['samples']:,} samples"
            )


if __name__ == "__main__":
    main()
