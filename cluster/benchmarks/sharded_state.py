#!/usr/bin/env python3
"""What sharding saves in memory and costs in time: MiniLM and SmolLM2-135M, Thaw beside PyTorch.

`thaw train` with distributed.sharding "none", "optimizer" and "gradients", and with "none" and frozen
weights of each rank's own; DistributedDataParallel, the same with ZeroRedundancyOptimizer, and FSDP2, on
gloo: all in turns at each stage and number of ranks. And Thaw's transitions from stage to stage, with
state kept.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys

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

LEGEND = """\
One thread a rank; AdamW. Step: median over measured steps. Moved: bytes of gradients that a step sums,
and with sharding half of them before, half after the update. State: bytes of AdamW's moments on rank 0,
as allocated; with "gradients" a rank's sums are cut in the same way, so it holds half as much of those.
State / share: state beside a 1/N of the active parameters' moments. PSS: resident memory with what
ranks share counted in parts, at most within the job, of a rank and of all ranks of the host together,
looked at each second. Peak: resident memory of rank 0 within the stage, shared pages in full."""


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "sharded-state.json")
    rank_series.add_arguments(parser, on_ranks="2,4", steps=4, warm_up=2)
    add = parser.add_argument
    add("--models", type=options.listed, default=",".join(MODELS))
    add("--compared", type=options.listed, default=",".join(PEERS), help="of PyTorch")
    add("--smollm2", default=options.default("data", "smollm2"), help="folder of the weights")
    step_time.add_arguments(parser)
    parser.set_defaults(threads=1, sides=[THAW], dropout=[0.1], rounds=1)
    given = rank_series.settle(parser.parse_args())
    options.check_sides(given.models, MODELS)
    if given.compared:
        options.check_sides(given.compared, PEERS)
    if given.quick:
        given.models, given.on_ranks = given.models[:1], given.on_ranks[:1]
    return given


def minilm(given: argparse.Namespace) -> tuple[StepJob, list[Stage], str]:
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


def measure(job: StepJob, side: str, stage: Stage, given: argparse.Namespace) -> dict:
    """A run's figures with `rank_bytes` and `host_bytes`; or, of PyTorch, its `problem`."""
    with Watch() as memory:
        if side in SHARDED:
            result = rank_series.train(
                job, side.replace(", ", "-"), stage,
                lambda sections: sections.update(distributed=SHARDED[side]), given.warm_up,
            )  # fmt: skip
        else:
            try:
                result = step_job.run(job, side, stage)
            except processes.RunFailed as error:
                return {"problem": str(error).strip().splitlines()[-1][:120]}
            result["step_seconds"] = result["step_seconds"][given.warm_up :]
    return {**result, "rank_bytes": memory.rank, "host_bytes": memory.host}


def table(stages: list[Stage], runs: dict, sides: list[str], ranks: int) -> str:
    rows = []
    for stage in stages:
        whole = runs[stage.name, UNSHARDED]
        active = middle(whole, "active_parameters")
        share = NUMBERS * MOMENTS * active / ranks
        for side in sides:
            results = [one for one in runs[stage.name, side] if "problem" not in one]
            if not results:
                rows.append([stage.name, side, "does not run", *[""] * 7])
                continue
            seconds, state = (middle(results, key) for key in ("step_seconds", "state_bytes"))
            moved = f"{middle(results, 'bytes') / 1e6:.1f}" if side in SHARDED else ""
            rows.append([
                stage.name, side, f"{1e3 * seconds:.0f}",
                f"{seconds / middle(whole, 'step_seconds'):.2f}", moved,
                f"{state / 1e6:.1f}", f"{state / share:.3f}",
                *(f"{middle(results, key) / 2**20:.0f}"
                  for key in ("rank_bytes", "host_bytes", "peak_memory_bytes")),
            ])  # fmt: skip
    titles = ["stage", "side", "ms a step", "beside none", "MB moved", "MB state", "state / share",
              "PSS MiB rank", "PSS MiB host", "peak MiB"]  # fmt: skip
    return report.markdown_table(titles, rows)


def transitions(job: StepJob, stages: list[Stage], given: argparse.Namespace) -> str:
    """One run of all stages for each way, after the first of which state is kept."""
    rows = []
    for side, distributed in SHARDED.items():
        sections, _ = configuration(job, stages[0])
        sections["distributed"] = distributed
        all_stages = [configuration(job, stage)[1][0] for stage in stages]
        result = rank_series.run(job, "transitions", sections, all_stages)
        entered = thaw_command.events(result["run_folder"], "transition")[1:]
        milliseconds = [1e3 * each["seconds"] for each in entered]
        moving = [1e3 * each["state_move_seconds"] for each in entered]
        rows.append([side, *(f"{value:.1f}" for value in milliseconds),
                     f"{statistics.median(milliseconds):.1f}", f"{max(moving):.1f}",
                     f"{sum(each['state_bytes_moved'] for each in entered) / 1e6:.1f}"])  # fmt: skip
    titles = ["side", *(f"to {stage.name}, ms" for stage in stages[1:]), "median ms",
              "state moved, at most ms", "MB moved in all"]  # fmt: skip
    return report.markdown_table(titles, rows)


def main() -> None:
    given = parse()
    page = rank_series.Page("Sharded state", options.command(given), given.threads, LEGEND)
    sides = [*SHARDED, *given.compared]
    for name in given.models:
        alone, all_stages, words = {"minilm": minilm, "smollm2": smollm2}[name](given)
        stages = [stage for stage in all_stages if stage.name in STAGES[name]]
        if given.quick:
            stages = stages[:1]
        for ranks in map(int, given.on_ranks):
            job = rank_series.on_ranks(alone, ranks, given, "sharded-state")
            runs = rank_series.take_turns(ranks, stages, sides, given.rounds,
                                          lambda side, stage: measure(job, side, stage, given))  # fmt: skip
            heading = f"{words}: {rank_series.ranks_and_threads(ranks, given.threads)}"
            page.add(f"## {heading}\n\n{table(stages, runs, sides, ranks)}")
            page.keep(runs, model=name, ranks=ranks)
            if name == "minilm":
                page.add(f"Transitions:\n\n{transitions(job, all_stages, given)}")
    page.write(given.output)


if __name__ == "__main__":
    main()
