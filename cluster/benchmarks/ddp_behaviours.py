#!/usr/bin/env python3
"""What PyTorch's DistributedDataParallel does in the cases of the table in dist/README.md, beside Thaw.

A row a case: DDP's outcome on two processes of this host (gloo), as the largest difference of its
gradients from those of one process with the whole batch, or as its error, or "hangs"; and whether
Thaw's tests of that case pass. DDP runs where this Python has torch with all that it needs; else its
column says so.

    cluster/benchmarks/ddp_behaviours.py --tests build/tests/test_dist_data_parallel
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import queue
import socket
import subprocess
import sys

RANKS = 2
SECONDS = 20  # after which a case counts as hanging


# --- cases: (torch, rank) -> (gradients, those of one process) ----------------------------------


def data(torch, rows=13):
    x = torch.arange(rows * 5, dtype=torch.float64).mul(0.7).sin().view(rows, 5)
    y = torch.arange(rows * 3, dtype=torch.float64).mul(0.3).cos().view(rows, 3)
    return x, y


def shares(tensor, rank, equal):
    cut = len(tensor) // 2 if equal else 5
    return tensor[:cut] if rank == 0 else tensor[cut:]


def net(torch):
    torch.manual_seed(1)
    layers = [torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)]
    return torch.nn.Sequential(*layers).double()


def wrapped(torch, module, **options):
    return torch.nn.parallel.DistributedDataParallel(module, **options)


def loss_of(torch, module, x, y):
    return torch.nn.functional.mse_loss(module(x), y)


def gradients(module):
    return [None if p.grad is None else p.grad.clone() for p in module.parameters()]


def whole(torch, rows=13, times=1):
    alone = net(torch)
    for _ in range(times):
        loss_of(torch, alone, *data(torch, rows)).backward()
    return gradients(alone)


def mean_loop(torch, rank, rows, equal):
    module = net(torch)
    x, y = data(torch, rows)
    loss = loss_of(torch, wrapped(torch, module), shares(x, rank, equal), shares(y, rank, equal))
    loss.backward()
    return gradients(module), whole(torch, rows)


def equal_shares(torch, rank):
    return mean_loop(torch, rank, 12, True)


def uneven_shares(torch, rank):
    return mean_loop(torch, rank, 13, False)


def empty_share(torch, rank):
    module = net(torch)
    x, y = data(torch)
    x, y = (x, y) if rank == 0 else (x[:0], y[:0])
    loss_of(torch, wrapped(torch, module), x, y).backward()
    return gradients(module), whole(torch)


def no_zero_grad(torch, rank):
    module = net(torch)
    x, y = data(torch, 12)
    parallel = wrapped(torch, module)
    for _ in range(2):
        loss_of(torch, parallel, shares(x, rank, True), shares(y, rank, True)).backward()
    return gradients(module), whole(torch, 12, times=2)


def micro_batches(torch, rank):
    module = net(torch)
    x, y = (shares(t, rank, True) for t in data(torch, 12))
    parallel = wrapped(torch, module)
    with parallel.no_sync():
        (loss_of(torch, parallel, x[:3], y[:3]) / 2).backward()
    (loss_of(torch, parallel, x[3:], y[3:]) / 2).backward()
    return gradients(module), whole(torch, 12)


def autograd_grad(torch, rank):
    module = net(torch)
    x, y = data(torch, 12)
    loss = loss_of(torch, wrapped(torch, module), shares(x, rank, True), shares(y, rank, True))
    return list(torch.autograd.grad(loss, list(module.parameters()))), whole(torch, 12)


def later_thaw(torch, rank):
    module = net(torch)
    module[0].requires_grad_(False)
    parallel = wrapped(torch, module)
    module[0].requires_grad_(True)
    x, y = data(torch, 12)
    loss_of(torch, parallel, shares(x, rank, True), shares(y, rank, True)).backward()
    return gradients(module), whole(torch, 12)


def converted(torch, rank):
    module = net(torch).float()
    parallel = wrapped(torch, module)
    module.double()
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), net(torch).parameters()):
            parameter.copy_(value)
    x, y = data(torch, 12)
    loss_of(torch, parallel, shares(x, rank, True), shares(y, rank, True)).backward()
    return gradients(module), whole(torch, 12)


def unused_parameter(torch, rank):
    module = net(torch)
    module.spare = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    parallel = wrapped(torch, module)
    x, y = data(torch, 12)
    for _ in range(2):
        loss_of(torch, parallel, shares(x, rank, True), shares(y, rank, True)).backward()
    return gradients(module)[:-1], whole(torch, 12, times=2)


def exception_in_backward(torch, rank):
    module = net(torch)
    parallel = wrapped(torch, module)
    x, y = data(torch, 12)
    if rank == 1:
        module[0].weight.register_hook(lambda gradient: 1 / 0)
    try:
        loss_of(torch, parallel, shares(x, rank, True), shares(y, rank, True)).backward()
    except ZeroDivisionError:
        pass
    return gradients(module), whole(torch, 12)


def unequal_loops(torch, rank):
    module = net(torch)
    parallel = wrapped(torch, module)
    x, y = data(torch, 12)
    for _ in range(1 + rank):
        loss_of(torch, parallel, x, y).backward()
    return gradients(module), whole(torch, 12, times=1 + rank)


# Row of the table, case, Thaw's tests.
CASES = (
    (1, equal_shares, "*AutomaticLoop*"),
    (2, uneven_shares, "*AutomaticLoop*"),
    (3, empty_share, "Skip*:*AnEmptyShare*"),
    (6, later_thaw, "*OwnLoop*:DdpPitfalls*"),
    (8, unused_parameter, "*AnUnusedParameterIsNamed"),
    (11, micro_batches, "*MicroBatches*"),
    (13, no_zero_grad, "*AddToGradients*"),
    (18, autograd_grad, "*OfAutogradGrad*"),
    (22, exception_in_backward, "*AnExceptionInABackward*"),
    (25, converted, "*AModuleThatIsConverted*"),
    (30, unequal_loops, "Join*"),
)


# --- running them -------------------------------------------------------------------------------


def difference(torch, ours, expected):
    if any((a is None) != (b is None) for a, b in zip(ours, expected)):
        return float("inf")
    pairs = [(a, b) for a, b in zip(ours, expected) if a is not None]
    return max((a.double() - b).abs().max().item() for a, b in pairs)


def work(case, rank, port, results):
    import torch

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    try:
        apart = difference(torch, *case(torch, rank))
        results.put("right" if apart < 1e-9 else f"off by {apart:.1g}, no error")
    except Exception as error:  # what DDP says is the outcome
        results.put(f"{type(error).__name__}: {str(error).splitlines()[0][:60]}")


def outcome_of_ddp(case) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=work, args=(case, rank, port, results)) for rank in range(RANKS)
    ]
    for worker in workers:
        worker.start()
    outcomes = []
    try:
        for _ in workers:
            outcomes.append(results.get(timeout=SECONDS))
    except queue.Empty:
        outcomes.append("hangs")
    for worker in workers:
        worker.kill()
        worker.join()
    return "; ".join(sorted(set(outcomes)))


def outcome_of_thaw(program: str, tests: str) -> str:
    command = [program, f"--gtest_filter={tests}", "--gtest_brief=1"]
    result = subprocess.run(command, capture_output=True, text=True)
    if " 0 tests from" in result.stdout:
        return "no such test"
    return "passes" if result.returncode == 0 else "fails"


def has_torch() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    command = [sys.executable, "-c", "import torch.distributed as d; assert d.is_available()"]
    return subprocess.run(command, capture_output=True).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", default="build/tests/test_dist_data_parallel", metavar="PROGRAM")
    given = parser.parse_args()
    torch_is_there = has_torch()
    print("| row | case | DDP | Thaw's tests |\n| --- | --- | --- | --- |")
    bad = False
    for row, case, tests in CASES:
        ddp = outcome_of_ddp(case) if torch_is_there else "not run: no torch here"
        thaw = outcome_of_thaw(given.tests, tests)
        bad = bad or thaw != "passes"
        print(f"| {row} | {case.__name__.replace('_', ' ')} | {ddp} | {thaw} |", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
