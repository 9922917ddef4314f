"""How many operations a second oneDNN's linear layer does on this machine, alone; LibTorch's own
where oneDNN has none for the type (bfloat16 on processors without AVX-512).

python -m peers.product_limit request.json result.json. `shapes`: [rows, in, out] of products and how
often each occurs; `precision`, `threads`, `repeats`.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch.nn import functional


def linear_of(precision: str):
    """The linear layer, and whose it is."""
    try:
        onednn = torch.ops.mkldnn._linear_pointwise
        trial = torch.ones(1, 16, dtype=getattr(torch, precision))
        onednn(trial, trial, None, "none", [], "")
        return lambda inputs, weight: onednn(inputs, weight, None, "none", [], ""), "oneDNN's"
    except RuntimeError:
        return functional.linear, "LibTorch's"


def fastest(linear, rows: int, width: int, out: int, precision: str, repeats: int) -> float:
    """Seconds of one product: noise only makes it slower."""
    kind = getattr(torch, precision)
    inputs, weight = torch.randn(rows, width).to(kind), torch.randn(out, width).to(kind)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        linear(inputs, weight)
        best = min(best, time.perf_counter() - started)
    return best


def main(question: str, answer: str) -> None:
    with open(question) as stream:
        request = json.load(stream)
    torch.set_num_threads(request["threads"])
    operations = seconds = 0.0
    with torch.no_grad():
        linear, whose = linear_of(request["precision"])
        for rows, width, out, times in request["shapes"]:
            operations += 2.0 * rows * width * out * times
            best = fastest(linear, rows, width, out, request["precision"], request["repeats"])
            seconds += best * times
    with open(answer, "w") as stream:
        json.dump({"operations_per_second": operations / seconds, "whose": whose}, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
