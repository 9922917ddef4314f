#!/usr/bin/env python3
"""MKL beside oneDNN by number of rows: what Note [Matrix products] in core/kernels rests on.

Of each layer [rows, in] -> out, billions of operations a second of LibTorch's mm and of oneDNN's
linear layer: forward (the weight turned around), for the gradient of the input (the weight as it
lies), and for the gradient of the weight, oneDNN's with the copy that it needs. In one thread.
Thaw's own copy is faster than PyTorch's, which is measured here.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import torch  # noqa: E402
from measuring import datasets, machine, options, report  # noqa: E402

# [in, out] of MiniLM's layers and SmolLM2's.
LAYERS = [(384, 384), (384, 1152), (384, 1536), (1536, 384), (576, 960), (576, 3072), (1536, 576)]
TITLES = ["rows x in x out", "forward mm / oneDNN", "input mm / oneDNN", "weight mm / oneDNN"]


def parse() -> argparse.Namespace:
    parser = options.parser(__doc__.splitlines()[0], "product-choice.json")
    add = parser.add_argument
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    add("--rows", type=options.listed, default="16,32,64,128,256,512,1024")
    add("--budget", type=float, default=1.0, help="seconds for each layer and number of rows")
    given = options.settle(parser.parse_args())
    given.rows = [int(rows) for rows in given.rows]
    if given.quick:
        given.rows, given.budget = given.rows[:2], 0.05
    return given


def onednn(left: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(left, weight, None, "none", [], "")


def fastest(ways: dict, budget: float) -> dict[str, float]:
    """Seconds of each, all taking turns: noise only makes one slower."""
    for way in ways.values():
        way()
    best = dict.fromkeys(ways, float("inf"))
    until = time.perf_counter() + budget
    while time.perf_counter() < until:
        for name, way in ways.items():
            for _ in range(2):
                started = time.perf_counter()
                way()
                best[name] = min(best[name], time.perf_counter() - started)
    return best


def rates(rows: int, width: int, out: int, given: argparse.Namespace) -> dict[str, float]:
    kind = getattr(torch, given.precision)
    inputs, gradient = (torch.randn(rows, size).to(kind) for size in (width, out))
    weight = torch.randn(out, width).to(kind)
    ways = {
        "forward mm": lambda: torch.mm(inputs, weight.t()),
        "forward oneDNN": lambda: onednn(inputs, weight),
        "input mm": lambda: torch.mm(gradient, weight),
        "input oneDNN": lambda: onednn(gradient, weight.t()),
        "weight mm": lambda: torch.mm(gradient.t(), inputs),
        "weight oneDNN": lambda: onednn(gradient.t().contiguous(), inputs.t()),
    }
    operations = 2.0 * rows * width * out
    return {name: operations / best for name, best in fastest(ways, given.budget).items()}


def main() -> None:
    given = parse()
    torch.set_num_threads(1)
    facts = machine.facts(None, 1, datasets.ROOT)
    content = {"machine": facts, "command": sys.argv, "layers": []}
    lines = []
    for rows in given.rows:
        for width, out in LAYERS:
            of = rates(rows, width, out, given)
            content["layers"].append({"rows": rows, "in": width, "out": out, "rates": of})
            both = [f"{of[f'{what} mm'] / 1e9:.0f} / {of[f'{what} oneDNN'] / 1e9:.0f}"
                    for what in ("forward", "input", "weight")]  # fmt: skip
            lines.append([f"{rows} x {width} x {out}", *both])
    text = f"# MKL and oneDNN, {given.precision}\n\n{machine.header(facts)}\n\n"
    text += report.markdown_table(TITLES, lines) + "\n"
    print(text)
    report.write_json(given.output, content)
    report.write_text(report.markdown_path(given.output), text)


if __name__ == "__main__":
    main()
