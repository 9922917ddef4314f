#!/usr/bin/env python3
"""Where the time of a step goes, stage by stage, beside what its products would take alone."""

from __future__ import annotations

import argparse
import dataclasses
import glob
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import language_agreement  # noqa: E402
import language_step_time  # noqa: E402
import resnet_step_time  # noqa: E402
import step_time  # noqa: E402
from measuring import datasets, machine, options, report, step_parts, thaw_command  # noqa: E402
from measuring.rounds import note  # noqa: E402
from measuring.sides import THAW  # noqa: E402
from measuring.step_job import Stage, StepJob, configuration  # noqa: E402

MODELS = ("minilm", "resnet56", "smollm2")

LEGEND = """\
Milliseconds of a step, means over the ranks and the middle half of the measured steps. Products:
of matrices, and convolutions, forward and backward. Element-wise: all else that forward and
backward do. Communication: with nothing else at the same time, the least of the ranks. Idle:
waiting for data or for the slower rank, and what lies between. Limit: the same products alone, each
shape by itself with operands that lie best, on all ranks at the same time, measured in the same
run: matrices by oneDNN's linear layer, convolutions by LibTorch's forward. The last two columns:
limit by products, limit by step."""


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "limit.json")
    options.add_launcher(parser)
    add = parser.add_argument
    add("--models", type=options.listed, default=",".join(MODELS))
    add("--precision", type=options.listed, default="float32,bfloat16")
    add("--steps", type=int, default=12, help="measured steps of a run")
    add("--warm-up", type=int, default=6, help="steps before them, not measured")
    add("--smollm2", default=options.default("data", "smollm2"), help="folder of the weights")
    step_time.add_arguments(parser)
    resnet_step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1])
    given = options.settle(parser.parse_args())
    options.check_sides(given.models, MODELS)
    if given.quick:
        given.models, given.steps, given.warm_up = given.models[:1], 4, 1
    given.program = os.path.join(given.programs, "step_parts")
    if not os.path.exists(given.program):
        target = "cmake --build build --target benchmark_programs"
        raise SystemExit(f"{given.program}: not there; build it ({target}), or name its folder by "
                         "--programs")  # fmt: skip
    return given


def minilm(given: argparse.Namespace, precision: str) -> tuple[str, StepJob, list[Stage]]:
    path, words = step_time.make_data("full", given.batch or 32, given)
    job = step_time.make_job(path, given.batch or 32, precision, given.dropout[0], given)
    return f"MiniLM, {words}", job, step_time.ORDERS["top-down"]


def resnet56(given: argparse.Namespace, precision: str) -> tuple[str, StepJob, list[Stage]]:
    batch = given.batch or 128
    path = resnet_step_time.make_data(given, batch)
    job = resnet_step_time.make_job(path, batch, precision, given)
    return f"ResNet-{given.depth}, batch {batch}", job, resnet_step_time.STAGES


def smollm2(given: argparse.Namespace, precision: str) -> tuple[str, StepJob, list[Stage]]:
    model = language_agreement.smollm2_model(given)
    with open(model["config"]) as stream:
        config = json.load(stream)
    settings = {**vars(given), "batch": given.batch or 16, "size": "smollm2", "samples": "lengths"}
    own = argparse.Namespace(**settings)
    path, _ = language_step_time.make_data(own, config["vocab_size"])
    job = language_step_time.make_job(own, model, path, precision, given.ranks)
    stages = language_step_time.stages_of(config["num_hidden_layers"], ["head", "+2", "+8", "all"])
    return f"SmolLM2, {own.batch} samples of 40 to 96 tokens", job, stages


MAKERS = {"minilm": minilm, "resnet56": resnet56, "smollm2": smollm2}


def run(job: StepJob, stage: Stage, given: argparse.Namespace) -> list[dict]:
    """What each rank measured."""
    sections, stages = configuration(job, stage)
    sections["train"]["prefix-cache"] = "off"  # a step is to be all that a stage computes
    folder = os.path.join(job.work, "run")
    config = thaw_command.write_configuration(folder, sections, stages)
    prefix = os.path.join(folder, "parts")
    for old in glob.glob(glob.escape(prefix) + ".*.json"):
        os.unlink(old)
    command = [*job.launcher, given.program, prefix]
    threads = {"OMP_NUM_THREADS": str(job.threads)}
    thaw_command.train(command, config, folder, threads, job.timeout)
    return step_parts.read(prefix)


def measure(job: StepJob, stages: list[Stage], given: argparse.Namespace) -> list[dict]:
    rows = []
    for stage in stages:
        answers = run(job, stage, given)
        parts = step_parts.parts_of(answers, given.warm_up)
        rows.append({
            "stage": stage.name,
            "parts": parts,
            "operations_per_second": step_parts.operations_per_second(answers),
            "slowest": step_parts.slowest(answers, 3),
            "ranks": answers,
        })  # fmt: skip
        note(f"{stage.name:<18} {1e3 * parts['step']:8.1f} ms/step")
    return rows


def ratio(limit: float, seconds: float) -> str:
    return f"{limit / seconds:.2f}" if limit and seconds else "-"


def table(rows: list[dict]) -> str:
    titles = ["stage", "step", *step_parts.PARTS, "limit", "limit/products", "limit/step"]
    lines = []
    for row in rows:
        parts = row["parts"]
        shown = [parts[key] for key in ("step", *step_parts.PARTS, "limit")]
        shares = [ratio(parts["limit"], parts[key]) for key in ("products", "step")]
        lines.append([row["stage"], *(f"{1e3 * seconds:.1f}" for seconds in shown), *shares])
    last = rows[-1]
    billions = last["operations_per_second"] / 1e9
    rate = f"Limit: {billions:.0f} billion operations a second, all ranks together."
    losses = [f"{one['shape']} ({one['share']:.2f} of the limit, {one['lost']:.0%} of what is lost)"
              for one in last["slowest"]]  # fmt: skip
    lost = f" Most is lost in {last['stage']} by {'; '.join(losses)}." if losses else ""
    return f"{report.markdown_table(titles, lines)}\n\n{rate}{lost}"


def main() -> None:
    given = parse()
    facts = machine.facts(options.command(given), given.threads, datasets.ROOT)
    title = f"# Steps beside the limit: {given.ranks} ranks"
    texts = [f"{title}\n\n{machine.header(facts)}\n\n{LEGEND}"]
    print(texts[0], flush=True)
    content = {"machine": facts, "command": sys.argv, "tables": []}
    for model in given.models:
        for precision in given.precision:
            title, job, stages = MAKERS[model](given, precision)
            job = dataclasses.replace(
                job,
                ranks=given.ranks,
                launcher=options.launcher(given) if given.ranks > 1 else (),
                threads=given.threads,
                work=os.path.join(given.work, "limit"),
            )
            os.makedirs(job.work, exist_ok=True)
            note(f"{title}, {precision}; load of the machine {machine.load():.1f}")
            rows = measure(job, stages[:: len(stages) - 1] if given.quick else stages, given)
            texts.append(f"## {title}, {precision}\n\n{table(rows)}")
            print("\n" + texts[-1], flush=True)
            content["tables"].append({"title": title, "precision": precision, "stages": rows})
            report.write_json(given.output, content)
            report.write_text(report.markdown_path(given.output), "\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
