"""Cases of a grid: what there is so far is kept after each, and all are told of at the end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from measuring import machine, options, report
from measuring.datasets import ROOT

Cases = list[dict]
Keep = Callable[[Cases, Cases], None]


def run(
    title: str,
    given: argparse.Namespace,
    measure: Callable[[argparse.Namespace, Keep], tuple[Cases, Cases]],
    parts: Sequence[Callable[[Cases], str]],
    name_of: Callable[[dict], str],
) -> None:
    """`measure` gives the cases that came to their end and those that failed, with their "error",
    and calls what it is given with both after each; `parts` make the text on the former. Ends with
    1 where one failed, or none came to its end."""
    facts = machine.facts(options.command(given), given.threads, ROOT)
    print(f"{title}\n\n{machine.header(facts)}\n", flush=True)

    def keep(done: Cases, failed: Cases) -> None:
        report.write_json(given.output, {"machine": facts, "command": sys.argv, "cases": done,
                                         "failed": failed})  # fmt: skip

    done, failed = measure(given, keep)
    text = "\n\n".join(part(done) for part in parts) if done else "no case came to its end"
    for case in failed:
        text += f"\nfailed: {name_of(case)}: {case['error'].splitlines()[0]}"
    print(text, flush=True)
    report.write_text(report.markdown_path(given.output), text + "\n")
    if failed or not done:
        raise SystemExit(1)
