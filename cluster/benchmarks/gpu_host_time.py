#!/usr/bin/env python3
"""What the host spends on a step that a GPU computes: Thaw beside eager PyTorch, on the null GPU.

The null GPU (tests/null_gpu) computes nothing and takes no time, so what a step takes there is what the
host needs to ask for it: the bound of a step too small to fill a GPU. MiniLM's shape, 32 texts of 32
tokens, bfloat16, dropout 0.1. The sides are those of cluster/device: `thaw train`; the same with CUDA
graphs, whose measured steps are all queued again, which the null GPU's counts must show; `eager`, PyTorch
as people write it, under DistributedDataParallel; `fused`, by someone who knows it well. They take turns,
each run a process of its own. A second table says what is left of a step with graphs beside launching. It
needs a build with CUDA (tests/run.sh --cuda), and a Python with torch for CUDA, numpy and h5py.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
MODULES = [HERE, os.path.join(os.path.dirname(HERE), "device")]
sys.path[:0] = MODULES

import numpy as np  # noqa: E402
import pack_data  # noqa: E402
from measuring import machine, options, report, thaw_command  # noqa: E402
from measuring.datasets import ROOT, Texts  # noqa: E402
from measuring.processes import RunFailed  # noqa: E402
from measuring.rounds import note  # noqa: E402
from networks import jobs, sides  # noqa: E402
from timing.workers import Worker  # noqa: E402

JOB = jobs.job("minilm-32x32")
THAW, GRAPHS = "thaw", "thaw with graphs"
PEERS = (sides.EAGER, sides.FUSED)
SIDES = (THAW, GRAPHS, *PEERS)
WARM_UP = 20  # steps of Thaw; a graph is made in the sixth
FAILED = "failed"


def parse():
    parser = options.parser(__doc__, "gpu-host-time.json")
    add = parser.add_argument
    add("--null-gpu", default=os.path.join(ROOT, "build/tests/null_gpu/libcuda.so.1"))
    add("--rounds", type=int, default=3, help="runs of each side and depth")
    add("--steps", type=int, default=100, help="measured steps of a run")
    add("--depths", type=options.listed, default="all,+2,head", help="what trains")
    parser.set_defaults(threads=1)
    given = options.settle(parser.parse_args())
    given.thaw = options.command(given)
    given.null_gpu = options.existing(given.null_gpu, "--null-gpu")
    if given.quick:
        given.rounds, given.steps = 1, 10
    return given


def write_data(given, folder: str) -> None:
    """One epoch for all steps: a graph is of its epoch."""
    draws = np.random.default_rng(0)
    samples = (WARM_UP + given.steps + 1) * JOB.batch
    tokens = draws.integers(1000, 30000, samples * 32, np.int32)
    offsets = np.arange(samples + 1, dtype=np.int64) * 32
    texts = Texts(tokens, offsets, np.arange(samples, dtype=np.int64) % 45)
    os.makedirs(folder, exist_ok=True)
    pack_data.write_texts(folder, JOB.data, JOB.classes, texts, [JOB.batch])


def run_thaw(given, work: str, weights: str, side: str, depth: str, steps: int, traced: int = 0):
    """The stage's seconds, and what the null GPU counted; no loss is read, as in PyTorch's windows."""
    sections = {
        "model": {"architecture": "bert", "pooling": "mean", "weights": weights, "head": "loaded",
                  "config": os.path.join(os.path.dirname(weights), f"{JOB.network}.json"),
                  "dropout": 0.1, "attention-dropout": 0.1, "head-dropout": 0.1},
        "data": {"file": os.path.join(work, "data", f"{JOB.data}.h5"), "batch": JOB.batch},
        "train": {"precision": "bfloat16", "device": "cuda",
                  "cuda-graphs": "on" if side == GRAPHS else "off"},
        "output": {"log-every": WARM_UP + given.steps + 1, "trace-steps": traced},
        "checkpoint": {"every-steps": 0},
    }  # fmt: skip
    stage = {"name": "only", "groups": JOB.depths[depth], "learning-rate": 1e-5,
             "until": {"steps": steps}}  # fmt: skip
    folder, counted = os.path.join(work, THAW), os.path.join(work, "counted")
    shutil.rmtree(counted, ignore_errors=True)
    os.makedirs(counted)
    config = thaw_command.write_configuration(folder, sections, [stage])
    null = ["env", f"LD_PRELOAD={given.null_gpu}", given.thaw]
    environment = {"OMP_NUM_THREADS": str(given.threads), "NULL_GPU_ORDER": "0",
                   "NULL_GPU_REPORT": counted}  # fmt: skip
    done = thaw_command.train(null, config, folder, environment, 600)
    (row,) = done["summary"]["stages"]
    return row["seconds"] - row["transition_seconds"], counts_of(counted)


def counts_of(folder: str) -> dict[str, int]:
    """Added up over processes: a helper of the command may have counted, too."""
    total: dict[str, int] = {}
    for path in glob.glob(os.path.join(folder, "rank-*.json")):
        with open(path, encoding="utf-8") as stream:
            for what, count in json.load(stream)["counts"].items():
                total[what] = total.get(what, 0) + count
    return total


def of_thaw(given, work: str, weights: str, side: str, depth: str) -> list[float]:
    """Seconds of a measured step."""
    short, before = run_thaw(given, work, weights, side, depth, WARM_UP)
    long, after = run_thaw(given, work, weights, side, depth, WARM_UP + given.steps)
    check_graphs(given.steps if side == GRAPHS else 0, before, after)
    return [(long - short) / given.steps]


def check_graphs(expected: int, before: dict[str, int], after: dict[str, int]) -> None:
    """So many of the measured steps were graphs queued again, and none was captured among them."""
    replays, captures = (after.get(what, 0) - before.get(what, 0)
                         for what in ("graph launches", "captures"))  # fmt: skip
    if (replays, captures) != (expected, 0):
        raise RunFailed(f"of the measured steps {replays} were graphs, not {expected}, "
                        f"and {captures} were captured")  # fmt: skip


def parts_of(given, work: str, weights: str, depth: str) -> dict[str, float]:
    """What a step with graphs spends on what, medians of seconds, by its trace (launch/README.md)."""
    run_thaw(given, work, weights, GRAPHS, depth, WARM_UP + given.steps, WARM_UP + given.steps)
    with open(os.path.join(work, THAW, "run", "trace-1.json"), encoding="utf-8") as stream:
        events = [event for event in json.load(stream)["traceEvents"] if event["ph"] == "X"]
    begins = {int(event["name"].split()[1]): event["ts"]
              for event in events if event["cat"] == "step"}  # fmt: skip
    found: dict[str, list[float]] = {"data": [], "graph": [], "rest": []}
    for step in range(WARM_UP + 1, max(begins)):
        begin, end = begins[step], begins[step + 1]
        spent = {event["name"]: event["dur"] for event in events
                 if event["cat"] == "phase" and begin <= event["ts"] < end}  # fmt: skip
        if set(spent) != {"data", "graph"}:
            raise RunFailed(f"step {step} was no graph: {', '.join(spent)}")
        for name, part in (spent | {"rest": end - begin - sum(spent.values())}).items():
            found[name].append(part * 1e-6)
    return {name: statistics.median(each) for name, each in found.items()}


def of_peer(given, work: str, weights: str, side: str, depth: str) -> list[float]:
    os.environ.update(OMP_NUM_THREADS=str(given.threads), NULL_GPU_ORDER="0")
    worker = Worker(JOB, side, bundle=work, work=tempfile.mkdtemp(dir=work), weights=weights,
                    null_gpu=given.null_gpu)  # fmt: skip
    try:
        worker.ask(f"prepare {depth}", 300)
        return worker.ask(f"measure {depth} 1 {given.steps}", 300)["windows"]
    finally:
        worker.end()


def table(given, seconds: dict) -> str:
    rows = []
    for depth in given.depths:
        of = {side: statistics.median(seconds[depth, side] or [float("nan")]) for side in SIDES}

        def cell(figure: float) -> str:
            return FAILED if figure != figure else f"{figure:.2f}"

        rows.append([depth, *(cell(1e3 * one) for one in of.values()),
                     *(cell(of[ours] / of[peer]) for ours in (THAW, GRAPHS) for peer in PEERS)])  # fmt: skip
    titles = ["trained", *(f"{side} ms" for side in SIDES)]
    titles += [f"{ours}/{peer}" for ours in (THAW, GRAPHS) for peer in PEERS]
    return report.markdown_table(titles, rows)


def table_of_parts(parts: dict[str, dict[str, float]]) -> str:
    """`graph`: the batch is brought to its place, the graph launched, gradients put back. `rest`:
    agreement, rates, reports."""
    rows = [[depth, *(f"{1e3 * each:.3f}" for each in of.values())] for depth, of in parts.items()]
    return report.markdown_table(["with graphs", "data ms", "graph ms", "rest ms"], rows)


def measure(given, work: str) -> tuple[dict, dict, list[str]]:
    """Seconds by depth and side, parts of a step with graphs by depth, and what failed."""
    write_data(given, os.path.join(work, "data"))
    weights = jobs.draw_weights(JOB.network, JOB.classes, os.path.join(work, "weights"))
    seconds = {(depth, side): [] for depth in given.depths for side in SIDES}
    parts, failures = {}, []

    def tried(what: str, body):
        try:
            return body()
        except RunFailed as error:
            failures.append(f"{what}: {error}")
            return None

    for number in range(given.rounds):
        for depth in given.depths:
            note(f"round {number + 1}, {depth}")
            for side in (THAW, GRAPHS):
                found = tried(f"{side}, {depth}", lambda: of_thaw(given, work, weights, side, depth))
                seconds[depth, side] += found or []
            for side in PEERS:
                seconds[depth, side] += of_peer(given, work, weights, side, depth)
    for depth in given.depths:
        found = tried(f"parts, {depth}", lambda: parts_of(given, work, weights, depth))
        if found:
            parts[depth] = found
    return seconds, parts, failures


def main() -> None:
    given = parse()
    os.environ["PYTHONPATH"] = os.pathsep.join(MODULES)
    facts = machine.facts(given.thaw, given.threads, ROOT)
    text = f"# Host time of a step on a GPU: {JOB.title}\n\n{machine.header(facts)}"
    print(text, flush=True)
    with tempfile.TemporaryDirectory() as work:
        seconds, parts, failures = measure(given, work)
    for each in (table(given, seconds), table_of_parts(parts), *failures):
        text += "\n\n" + each
    print("\n" + text, flush=True)
    runs = [{"depth": depth, "side": side, "seconds": found}
            for (depth, side), found in seconds.items()]  # fmt: skip
    report.write_json(given.output, {"machine": facts, "command": sys.argv, "runs": runs,
                                     "parts": parts, "failures": failures})  # fmt: skip
    report.write_text(report.markdown_path(given.output), text + "\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
