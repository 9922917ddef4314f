#!/usr/bin/env python3
"""Real tokens a second and memory of a decoder's training in Thaw beside PyTorch, stage by stage."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import language_agreement  # noqa: E402
import numpy as np  # noqa: E402
from measuring import datasets, machine, options, processes, prompts  # noqa: E402
from measuring import report, rounds, sample_order, step_job  # noqa: E402
from measuring.sides import DDP, DDP_TUNED, THAW, TUNED, USUAL  # noqa: E402
from measuring.step_job import Stage, StepJob  # noqa: E402

STAGES = ("head", "+2", "+8", "all", "LISA 2")
# Of (what a table calls it, the side in one process, and on several ranks).
SIDES = {"padded": (USUAL, DDP), "padding-free": (TUNED, DDP_TUNED), "thaw": (THAW, THAW)}

LEGEND = """\
Medians over the steps of all rounds, the sides taking turns, each in a process of its own; tokens are
those of the samples, padding not counted. padded: transformers as people use it, each batch padded to
its longest, AdamW over what trains. padding-free: Llama by hand in PyTorch, tokens one after another,
attention a sample at a time, logits only where they count, fused AdamW, batches made in advance, in
bfloat16 frozen weights cast once. On several ranks both are wrapped by DistributedDataParallel on gloo.
The stages: head is the norm before the head (the head itself is the embeddings and stays frozen); +2 and
+8 the last layers with it; all is everything, embeddings too; LISA 2 embeddings, norm and two layers.
Peak memory: resident, within the stage, of rank 0. Limit: the step's products by themselves at the rate
of oneDNN's linear layer, measured in this run, as a share of Thaw's step."""


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__, "language-step-time.json")
    add = parser.add_argument
    add("--sides", type=options.listed, default=",".join(SIDES), help="that take turns")
    add("--stages", type=options.listed, default=",".join(STAGES))
    add("--rounds", type=int, default=2, help="runs of each side and stage")
    add("--steps", type=int, default=6, help="measured steps of a run")
    add("--warm-up", type=int, default=2, help="steps before them, not measured")
    add("--precision", type=options.listed, default="float32,bfloat16")
    add("--on-ranks", type=options.listed, default="1,2",
        help="tables: 1 has --threads in one process, others one thread a rank")  # fmt: skip
    add("--mpiexec", default="mpirun", help="that belongs to the MPI Thaw was built with")
    add("--samples", choices=("lengths", "definitions"), default="lengths",
        help="random tokens of 40 to 96, or WordNet's definitions")  # fmt: skip
    add("--batch", type=int, default=16, help="samples a step, over all ranks")
    add("--size", choices=("small", "smollm2"), default="smollm2")
    add("--smollm2", default=options.default("data", "smollm2"), help="folder of the weights")
    add("--definitions", default=options.default("data", "definitions-quickstart.h5"),
        help="what launch/quickstart.sh --language prepares")  # fmt: skip
    given = options.settle(parser.parse_args())
    options.check_sides(given.sides, tuple(SIDES))
    options.check_sides(given.stages, STAGES)
    if given.quick:
        given.rounds, given.steps, given.warm_up = 1, 2, 1
        given.stages = given.stages[:2]
    return given


def stages_of(layers: int, wanted: list[str]) -> list[Stage]:
    names = [f"layers.{i}" for i in range(layers)]
    groups = {
        "head": ["norm"],
        "+2": [*names[-2:], "norm"],
        "+8": [*names[-8:], "norm"],
        "all": ["embeddings", *names, "norm"],
        "LISA 2": ["embeddings", names[layers // 3], names[2 * layers // 3], "norm"],
    }
    return [Stage(name, groups[name]) for name in wanted]


def make_data(given: argparse.Namespace, vocabulary: int) -> tuple[str, list[int]]:
    """A file of as many samples as a run takes, and the tokens of each of its steps."""
    steps = given.warm_up + given.steps
    count = given.batch * steps
    if given.samples == "definitions":
        source = prompts.read(options.existing(given.definitions, "--definitions"))
        chosen = np.random.default_rng(0).choice(len(source), count, replace=False)
        found = source.take(np.sort(chosen))
    else:
        draws = np.random.default_rng(0)
        longest = 48 if given.size == "small" else 96
        lengths = draws.integers(longest * 5 // 12, longest + 1, count)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = draws.integers(0, vocabulary, offsets[-1], dtype=np.int32)
        found = prompts.Prompts(tokens, offsets, (lengths // 4).astype(np.int32))
    path = os.path.join(given.work, "language-step-time", f"{given.samples}-{count}.h5")
    prompts.write(path, train=found)
    order = sample_order.global_batches(len(found), given.batch, seed=0)
    batches = itertools.islice(order, steps)
    lengths = found.lengths()
    padded = real = 0
    tokens = []
    for batch in batches:
        tokens.append(int(lengths[batch].sum()))
        real += tokens[-1]
        padded += len(batch) * int(lengths[batch].max())
    rounds.note(f"{path}: {100 * real / padded:.0f} % of padded tokens real")
    return path, tokens


def make_job(given: argparse.Namespace, model: dict, path: str, precision: str, ranks: int) -> StepJob:
    given.ranks = ranks
    return StepJob(
        model={"architecture": "llama", **model},
        data={"file": path, "batch": given.batch, "seed": 0},
        optimizer={"name": "adamw", "learning_rate": 1e-5, "weight_decay": 0.01},
        precision=precision,
        steps=given.warm_up + given.steps,
        threads=given.threads if ranks == 1 else 1,
        work=os.path.join(given.work, "language-step-time"),
        timeout=given.timeout,
        thaw=options.command(given) if "thaw" in given.sides else "",
        ranks=ranks,
        launcher=options.launcher(given) if ranks > 1 else (),
    )


def products_of(config: dict, rows: int) -> list[list[int]]:
    """[rows, in, out, times] of a step's forward."""
    width, inner, layers = (config[key] for key in
                            ("hidden_size", "intermediate_size", "num_hidden_layers"))  # fmt: skip
    keys = width * config["num_key_value_heads"] // config["num_attention_heads"]
    return [
        [rows, width, width + 2 * keys, layers],
        [rows, width, width, layers],
        [rows, width, 2 * inner, layers],
        [rows, inner, width, layers],
    ]


def limit(given: argparse.Namespace, config: dict, job: StepJob, tokens: list[int]) -> dict:
    """`operations_per_second` of the products alone, with as many threads as the job has; `whose`."""
    rows = round(statistics.median(tokens))
    threads = job.threads * job.ranks
    request = {"shapes": products_of(config, rows), "precision": job.precision,
               "threads": threads, "repeats": 3 if given.quick else 10}  # fmt: skip
    folder = os.path.join(job.work, "limit")
    environment = {"OMP_NUM_THREADS": str(threads)}
    return processes.run_worker("peers.product_limit", request, folder, environment, job.timeout)


def figures_of(samples: rounds.Samples, tokens: list[int]) -> dict:
    """`tokens`: of each measured step."""
    rates = [n / seconds for one in samples.step_seconds for n, seconds in zip(tokens, one)]
    return {
        "tokens_per_second": statistics.median(rates),
        "peak_memory_bytes": statistics.median(samples.peak_memory_bytes),
        "rounds": dataclasses.asdict(samples),
    }


def measure(job: StepJob, stages: list[Stage], tokens: list[int], operations: float, given) -> list:
    """A row a stage: each side's figures, and Thaw's share of the limit."""
    several = job.ranks > 1
    names = {SIDES[name][several]: name for name in given.sides}
    flops: dict[str, float] = {}

    def run(side: str, stage: Stage) -> dict:
        result = step_job.run(job, side, stage)
        if side == THAW:
            flops[stage.name] = sum(result["flops_per_sample"].values()) * given.batch
        return result

    found = rounds.take_turns(stages, list(names), given.rounds, given.warm_up, run)
    rows = []
    for stage in stages:
        row = {"stage": stage.name, "groups": stage.groups}
        for side, name in names.items():
            row[name] = figures_of(found[stage.name, side], tokens[given.warm_up :])
        if THAW in names:
            row["operations"] = flops[stage.name]
            seconds = found[stage.name, THAW].median()
            row["share_of_limit"] = flops[stage.name] / operations / seconds
        rows.append(row)
    return rows


def table(rows: list[dict], sides: list[str]) -> str:
    order = [side for side in SIDES if side in sides]
    peers = [side for side in order if side != "thaw" and "thaw" in order]
    titles = ["stage", *(f"{side} tokens/s" for side in order)]
    titles += [f"thaw/{side}" for side in peers]
    titles += ["peak MiB " + " / ".join(order), *(f"memory thaw/{side}" for side in peers)]
    titles += ["share of the limit"] if "thaw" in order else []
    lines = []
    for row in rows:
        rate, peak = ({side: row[side][key] for side in order}
                      for key in ("tokens_per_second", "peak_memory_bytes"))  # fmt: skip
        line = [row["stage"], *(f"{rate[side]:.0f}" for side in order)]
        line += [f"{rate['thaw'] / rate[side]:.2f}" for side in peers]
        line.append(" / ".join(f"{peak[side] / 2**20:.0f}" for side in order))
        line += [f"{peak['thaw'] / peak[side]:.2f}" for side in peers]
        line += [f"{row['share_of_limit']:.2f}"] if "thaw" in order else []
        lines.append(line)
    return report.markdown_table(titles, lines)


def main() -> None:
    given = parse()
    if given.size == "small":
        model, _ = language_agreement.small_job(given)
    else:
        model = language_agreement.smollm2_model(given)
    with open(model["config"]) as stream:
        config = json.load(stream)
    path, tokens = make_data(given, config["vocab_size"])
    stages = stages_of(config["num_hidden_layers"], given.stages)
    thaw = options.command(given) if "thaw" in given.sides else None
    facts = machine.facts(thaw, given.threads, datasets.ROOT)
    title = f"Tokens a second: {given.size}, {given.batch} samples a step"
    texts = [f"# {title}\n\n{machine.header(facts)}\n\n{LEGEND}"]
    print(texts[0], flush=True)
    content = {"machine": facts, "command": sys.argv, "tables": []}
    for ranks, precision in itertools.product(map(int, given.on_ranks), given.precision):
        job = make_job(given, model, path, precision, ranks)
        most = limit(given, config, job, tokens)
        rows = measure(job, stages, tokens, most["operations_per_second"], given)
        where = f"ranks: {ranks}, threads of each: {job.threads}"
        texts.append(f"## {where}, {precision}\n\n{table(rows, given.sides)}\n\nLimit: "
                     f"{most['operations_per_second'] / 1e9:.0f} billion operations a second, "
                     f"{most['whose']} linear layer.")  # fmt: skip
        print("\n" + texts[-1], flush=True)
        content["tables"].append({"ranks": ranks, "threads": job.threads, "precision": precision,
                                  "limit": most, "stages": rows})  # fmt: skip
        report.write_json(given.output, content)
        report.write_text(report.markdown_path(given.output), "\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
