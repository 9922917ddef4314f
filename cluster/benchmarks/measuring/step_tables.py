"""Measures tables of step times, one after the other, and writes them as they come."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from measuring import machine, options, report, rounds, step_job, tuning
from measuring.datasets import ROOT
from measuring.sides import DDP_TUNED, THAW, TUNED
from measuring.step_job import Stage, StepJob

LEGEND = """\
Medians over the steps of all rounds, the sides taking turns, each in a process of its own.
usual: PyTorch as people write it. tuned: fused optimizer, frozen modules in eval mode, batches made
in advance, fastest attention and environment of those tried. Peak memory: resident, within the
stage. Start-up: from the start of the process to the end of its first step."""


@dataclass
class Table:
    title: str
    job: StepJob
    tune_on: Stage  # where the tuned form's settings are chosen
    parts: dict[str, list[Stage]]  # by heading


def measure(
    tables: list[Table], given: argparse.Namespace, title: str, legend: str = LEGEND
) -> None:
    """Prints the report and writes it to `given.output` and beside it."""
    thaw = options.command(given) if THAW in given.sides else None
    facts = machine.facts(thaw, given.threads, ROOT)
    texts = [f"# {title}\n\n{machine.header(facts)}\n\n{legend}"]
    print(texts[0], flush=True)
    content = {"machine": facts, "command": sys.argv, "tables": []}
    for table in tables:
        job, notes = table.job, [f"load of the machine before {machine.load():.1f}"]
        tuned = [side for side in (TUNED, DDP_TUNED) if side in given.sides]
        if tuned and not given.no_tuning:
            job, choice = tuning.tuned(job, tuned[0], table.tune_on, steps=8, warm_up=3)
            notes.append(f"tuned: {choice}")
        for heading, stages in table.parts.items():
            rounds.note(f"{table.title}: {heading}")
            samples = rounds.take_turns(
                stages,
                given.sides,
                given.rounds,
                given.warm_up,
                lambda side, stage: step_job.run(job, side, stage),
            )
            remarks = [*notes, f"highest {report.highest_load(samples):.1f}"]
            text = "\n\n".join(
                [
                    f"## {table.title}: {heading}",
                    report.step_table(stages, samples, given.sides),
                    "; ".join(remarks) + ".",
                ]
            )
            print("\n" + text, flush=True)
            texts.append(text)
            content["tables"].append(
                {
                    "title": table.title,
                    "part": heading,
                    "notes": remarks,
                    "stages": report.step_figures(stages, samples, given.sides),
                }
            )
            report.write_json(given.output, content)
            report.write_text(report.markdown_path(given.output), "\n\n".join(texts) + "\n")
