#!/usr/bin/env python3
"""What sharding saves in memory and costs in time: MiniLM and SmolLM2-135M, Thaw beside PyTorch.

`thaw train` with distributed.sharding "none", "optimizer" and "gradients", and with "none" and frozen
weights of each rank's own; DistributedDataParallel, the same with ZeroRedundancyOptimizer, and FSDP2, on
gloo: all in turns at each stage and number of ranks. And Thaw's transitions from stage to stage, with
state kept. A run that fails is a row that says so, and the report is written after each table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import numpy as np  # noqa: E402
import step_time  # noqa: E402
from measuring import options, processes, prompts, rank_series, report, step_job  # noqa: E402
from measuring import thaw_command  # noqa: E402
from measuring.host_memory import Watch  # noqa: E402
from measuring.rank_series import middle  # noqa: E402
from measuring.sides import DDP, DDP_ZERO, FSDP2, THAW  # noqa: E402
from measuring.step_job import Stage, StepJob, configuration  # noqa: E402

# Of Thaw, by name: [distributed] of each.
SHARDED = {
    "none, own": {"sharding": "none", "share-frozen": "off"},
    "none": {"sharding": "none"},
    "optimizer": {"sharding": "optimizer"},
    "gradients": {"sharding": "gradients"},
}
PEERS = (DDP, DDP_ZERO, FSDP2)
UNSHARDED = "none"
MODELS = ("minilm", "smollm2")
STAGES = {"minilm": ("+2 upper layers", "with embeddings"), "smollm2": ("+8", "all")}
NUMBERS = 4  # bytes of one
MOMENTS = 2  # of AdamW
LOOK_EVERY = 0.25  # seconds; steps of MiniLM are over within a few
# What is asked for.
MOST_OF_SHARE = 1.02  # state of a rank, of the active parameters' over N
MOST_OF_STEP = 1.05  # of the unsharded one's time
MOST_MILLISECONDS = 50.0  # of a transition of MiniLM

LEGEND = """\
One thread a rank; AdamW. Step: median over measured steps. Moved: bytes of gradients that a step sums,
and with sharding half of them before, half after the update. State: bytes of AdamW's moments on rank 0,
as allocated; with "gradients" a rank's sums are cut in the same way, so it holds half as much of those.
State / share: state beside a 1/N of the active parameters' moments. PSS: resident memory with what
ranks share counted in parts, at most within the job, of a rank and of all ranks of the host together,
looked at four times a second. Peak: resident memory of rank 0 within the stage, shared pages in full."""


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "sharded-state.json")
    rank_series.add_arguments(parser, on_ranks="2,4", steps=4, warm_up=2)
    add = parser.add_argument
    add("--models", type=options.listed, default=",".join(MODELS))
    add("--compared", type=options.listed, default=",".join(PEERS), help="of PyTorch")
    add("--minutes", type=float, default=0, help="after which no run is begun; 0: all are made")
    add("--smollm2", default=options.default("data", "smollm2"), help="folder of the weights")
    step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1], rounds=1)
    given = rank_series.settle(parser.parse_args())
    options.check_sides(given.models, MODELS)
    if given.compared:
        options.check_sides(given.compared, PEERS)
    if given.quick:
        given.models, given.on_ranks = given.models[:1], given.on_ranks[:1]
    given.ends = time.monotonic() + 60 * given.minutes if given.minutes > 0 else float("inf")
    return given


def minilm(given: argparse.Namespace) -> tuple[StepJob, list[Stage], str]:
    """Steps take a tenth of those of SmolLM2: four times as many of them."""
    if not given.quick:
        given = argparse.Namespace(**vars(given) | {"steps": 4 * given.steps})
    batch = given.batch or 32
    path, words = step_time.make_data("full", batch, given)
    job = step_time.make_job(path, batch, "float32", given.dropout[0], given)
    return job, step_time.ORDERS["top-down"], f"MiniLM, {words}"


def smollm2(given: argparse.Namespace) -> tuple[StepJob, list[Stage], str]:
    model = {
        name: options.existing(os.path.join(given.smollm2, file), "--smollm2")
        for name, file in (("config", "config.json"), ("weights", "model.safetensors"))
    }
    with open(model["config"]) as stream:
        config = json.load(stream)
    batch, length = given.batch or 8, 64
    count = batch * (given.steps + given.warm_up)
    tokens = np.random.default_rng(0).integers(0, config["vocab_size"], count * length)
    path = os.path.join(given.work, "data", f"tokens-{count}.h5")
    offsets = np.arange(count + 1, dtype=np.int64) * length
    prompts.write(path, train=prompts.Prompts(tokens, offsets, np.ones(count, np.int32)))
    layers = [f"layers.{i}" for i in range(config["num_hidden_layers"])]
    stages = [Stage("+8", [*layers[-8:], "norm"]), Stage("all", ["embeddings", *layers, "norm"])]
    job = StepJob(
        model={"architecture": "llama", **model},
        data={"file": path, "batch": batch, "seed": 0},
        optimizer={"name": "adamw", "learning_rate": 1e-5, "weight_decay": 0.01},
        precision="float32",
        steps=given.warm_up + given.steps,
        threads=given.threads,
        work=given.work,
        timeout=given.timeout,
        thaw=options.command(given),
    )
    return job, stages, f"SmolLM2-135M, {batch} x {length} tokens"


def time_is_up(given: argparse.Namespace) -> dict | None:
    return {"problem": f"not run: {given.minutes:g} minutes are over"} if (
        time.monotonic() > given.ends) else None  # fmt: skip


def within(job: StepJob, given: argparse.Namespace) -> StepJob:
    """The same, for no longer than a minute more than there is time."""
    return dataclasses.replace(job, timeout=min(job.timeout, given.ends - time.monotonic() + 60))


def measure(job: StepJob, side: str, stage: Stage, given: argparse.Namespace) -> dict:
    """A run's figures with `rank_bytes` and `host_bytes`; or its `problem`."""
    job = within(job, given)
    with Watch(LOOK_EVERY) as memory:
        try:
            if side in SHARDED:
                result = rank_series.train(
                    job, side.replace(", ", "-"), stage,
                    lambda sections: sections.update(distributed=SHARDED[side]), given.warm_up,
                )  # fmt: skip
            else:
                result = step_job.run(job, side, stage)
                result["step_seconds"] = result["step_seconds"][given.warm_up :]
        except processes.RunFailed as error:
            return rank_series.problem_of(error)
    return {**result, "rank_bytes": memory.rank, "host_bytes": memory.host}


def of_whole(runs: list[dict]) -> list[dict]:
    return [one for one in runs if "problem" not in one]


def table(stages: list[Stage], runs: dict, sides: list[str], ranks: int) -> str:
    rows = []
    for stage in stages:
        whole = of_whole(runs[stage.name, UNSHARDED])
        for side in sides:
            results = of_whole(runs[stage.name, side])
            if not results:
                (problem, *_) = [one["problem"] for one in runs[stage.name, side]]
                rows.append([stage.name, side, problem, *[""] * 7])
                continue
            seconds, state = (middle(results, key) for key in ("step_seconds", "state_bytes"))
            moved = f"{middle(results, 'bytes') / 1e6:.1f}" if side in SHARDED else ""
            beside = share = ""
            if whole:
                active = middle(whole, "active_parameters")
                beside = f"{seconds / middle(whole, 'step_seconds'):.2f}"
                share = f"{state / (NUMBERS * MOMENTS * active / ranks):.3f}"
            rows.append([
                stage.name, side, f"{1e3 * seconds:.0f}", beside, moved, f"{state / 1e6:.1f}", share,
                *(f"{middle(results, key) / 2**20:.0f}"
                  for key in ("rank_bytes", "host_bytes", "peak_memory_bytes")),
            ])  # fmt: skip
    titles = ["stage", "side", "ms a step", "beside none", "MB moved", "MB state", "state / share",
              "PSS MiB rank", "PSS MiB host", "peak MiB"]  # fmt: skip
    return report.markdown_table(titles, rows)


def asked(stages: list[Stage], runs: dict, ranks: int) -> str:
    """What is asked of sharding, and what came of it: the worst stage counts."""
    rows = []
    for side in ("optimizer", "gradients"):
        found = {"share": [], "moved": [], "step": []}
        for stage in stages:
            whole, results = (of_whole(runs[stage.name, one]) for one in (UNSHARDED, side))
            if not whole or not results:
                continue
            share = NUMBERS * MOMENTS * middle(whole, "active_parameters") / ranks
            found["share"].append(middle(results, "state_bytes") / share)
            found["moved"].append(middle(results, "bytes") / max(1, middle(whole, "bytes")))
            found["step"].append(middle(results, "step_seconds") / middle(whole, "step_seconds"))
        for what, key, most in (
            ("state of a rank, of its share", "share", MOST_OF_SHARE),
            ("bytes moved, of an all-reduce's", "moved", 1.0),
            ("time of a step, of the unsharded one's", "step", MOST_OF_STEP),
        ):
            rows.append([side, what, f"{most:g}", *judged(found[key], most, "{:.3f}")])
    return report.markdown_table(["side", "asked for", "at most", "found", "holds"], rows)


def judged(values: list[float], most: float, form: str) -> list[str]:
    if not values:
        return ["not measured", ""]
    return [form.format(max(values)), "yes" if max(values) <= most else "NO"]


def transitions(job: StepJob, stages: list[Stage], given: argparse.Namespace) -> str:
    """One run of all stages for each way, after the first of which state is kept."""
    rows = []
    empty = [""] * (len(stages) + 2)
    for side, distributed in SHARDED.items():
        late = time_is_up(given)
        if late:
            rows.append([side, late["problem"], *empty])
            continue
        sections, _ = configuration(job, stages[0])
        sections["distributed"] = distributed
        all_stages = [configuration(job, stage)[1][0] for stage in stages]
        try:
            result = rank_series.run(within(job, given), "transitions", sections, all_stages)
        except processes.RunFailed as error:
            rows.append([side, rank_series.problem_of(error)["problem"], *empty])
            continue
        entered = thaw_command.events(result["run_folder"], "transition")[1:]
        milliseconds = [1e3 * each["seconds"] for each in entered]
        moving = [1e3 * each["state_move_seconds"] for each in entered]
        rows.append([side, *(f"{value:.1f}" for value in milliseconds),
                     f"{statistics.median(milliseconds):.1f}",
                     judged(milliseconds, MOST_MILLISECONDS, "{:.1f}")[1], f"{max(moving):.1f}",
                     f"{sum(each['state_bytes_moved'] for each in entered) / 1e6:.1f}"])  # fmt: skip
    titles = ["side", *(f"to {stage.name}, ms" for stage in stages[1:]), "median ms",
              f"all at most {MOST_MILLISECONDS:g}", "state moved, at most ms",
              "MB moved in all"]  # fmt: skip
    return report.markdown_table(titles, rows)


def main() -> None:
    given = parse()
    page = rank_series.Page("Sharded state", options.command(given), given.threads, LEGEND)
    sides = [*SHARDED, *given.compared]
    jobs = {name: {"minilm": minilm, "smollm2": smollm2}[name](given) for name in given.models}
    # By ranks first: where time runs out, each model has been measured.
    for ranks in map(int, given.on_ranks):
        for name, (alone, all_stages, words) in jobs.items():
            stages = [stage for stage in all_stages if stage.name in STAGES[name]]
            if given.quick:
                stages = stages[:1]
            job = rank_series.on_ranks(alone, ranks, given, "sharded-state")
            runs = rank_series.take_turns(
                ranks, stages, sides, given.rounds,
                lambda side, stage: time_is_up(given) or measure(job, side, stage, given),
            )  # fmt: skip
            heading = f"{words}: {rank_series.ranks_and_threads(ranks, given.threads)}"
            page.add(f"## {heading}\n\n{table(stages, runs, sides, ranks)}")
            page.add(asked(stages, runs, ranks))
            page.keep(runs, model=name, ranks=ranks)
            if name == "minilm":
                page.add(f"Transitions:\n\n{transitions(job, all_stages, given)}")
            page.write(given.output)


if __name__ == "__main__":
    main()
