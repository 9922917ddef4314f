#!/usr/bin/env python3
"""What PyTorch's DistributedDataParallel does in each row of dist/README.md's table, beside Thaw.

A row a case: DDP's outcome on two processes of this host (gloo), as the largest difference of its
gradients from those of one process with the whole batch, or as its error, or "hangs"; and what
Thaw's tests of that case, which are run, show. Each side of a row has a deadline. DDP runs where
this Python has torch with all that it needs; else its column says so.

    cluster/benchmarks/ddp_behaviours.py --tests build/tests/test_dist_data_parallel
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import queue
import re
import socket
import subprocess
import sys
import time
from datetime import timedelta

from peers import ddp_cases as ddp
from peers import ddp_wrap_cases as wrap

RANKS = 2
SECONDS = 30  # after which a rank of DDP counts as hanging
GROUP_SECONDS = 20  # after which gloo's own calls time out
TEST_SECONDS = 300  # for Thaw's tests of a row

RIGHT, REFUSES, NAMES = "right", "an error in words", "names the rank"

# Row of the table; DDP's case; what Thaw does; the tests that show it.
CASES = (
    (1, ddp.equal_shares, RIGHT, "*AutomaticLoop*"),
    (2, ddp.uneven_shares, RIGHT, "*AutomaticLoop*"),
    (3, ddp.empty_share, RIGHT, "Skip*:*AnEmptyShare*"),
    (4, ddp.overlap, "yes, in mid-backward", "*AutomaticLoop*"),
    (5, ddp.weights_at_start, RIGHT, "*DataParallelBuild*:*GivesEveryRankTheFirstOnesValues*"),
    (6, ddp.later_thaw, "right, by activate", "*OwnLoop*:DdpPitfalls.AThaw*"),
    (7, ddp.frozen_behind_its_back, REFUSES, "DdpPitfalls.AFreeze*"),
    (8, ddp.unused_parameter, "names it in the same step", "*AnUnusedParameterIsNamed"),
    (9, ddp.unused_on_some_ranks, RIGHT, "*AnUnusedParameterIsNamed"),
    (10, ddp.unused_on_all_ranks, RIGHT, "*HoldsNoGradientInFrozenAndUnreached*"),
    (11, ddp.micro_batches, RIGHT, "*MicroBatchesAreWeighted*:*OwnLoop*"),
    (12, ddp.uneven_micro_batches, RIGHT, "*MicroBatchesAreWeighted*"),
    (13, ddp.no_zero_grad, RIGHT, "*AddToGradients*"),
    (14, ddp.two_forwards, RIGHT, "*SeveralForwards*:Habits.TwoForwards*"),
    (15, ddp.forward_without_backward, RIGHT, "*ForwardsWithoutABackward*:Habits.Evaluation*"),
    (16, ddp.output_is_the_loss, RIGHT, "*ForwardMayReturnTheLoss"),
    (17, ddp.several_outputs, RIGHT, "*TakesModulesOfAnyKind*"),
    (18, ddp.autograd_grad, "right, by finish", "*OfAutogradGrad*"),
    (19, ddp.gradient_penalty, RIGHT, "Habits.AGradientPenalty"),
    (20, ddp.masked_gradient, RIGHT, "*ChangedGradients*"),
    (21, ddp.dropped_in_mid_step, RIGHT, "*ThatWereDroppedInMidStep*"),
    (22, wrap.exception_in_backward, f"{NAMES}, goes on", "*AnExceptionInABackward*:*LeftLoop*"),
    (23, wrap.end_in_mid_step, RIGHT, "*DestructorsEnd*:*LeftLoop*"),
    (24, wrap.gone_before_backward, REFUSES, "Misuse.AF*:Habits.ABackwardBehindTheEnd*"),
    (25, wrap.converted, REFUSES, "*AModuleThatIsConverted*"),
    (26, wrap.wrapped_twice, REFUSES, "*ASecondWrapIsRefused"),
    (27, wrap.other_options, REFUSES, "*OptionsThatDifferAreNamed"),
    (28, wrap.tied_weights, RIGHT, "*ATiedParameterThatIsUsedTwice*"),
    (29, wrap.large_parameter, RIGHT, "*ABucketMayBeLarger*"),
    (30, wrap.unequal_loops, RIGHT, "Join*"),
    (31, wrap.buffers, "each rank's own, or rank 0's", "Buffers*:*BroadcastsBuffers*"),
    (32, wrap.synchronized_norm, RIGHT, "*AreRightWithUnevenShares*"),
    (33, wrap.norm_converter, "converts, or names the layer", "SynchronizedNorms*"),
    (34, wrap.communication_hook, RIGHT, "*AHookOfOnesOwn*"),
    (35, wrap.bfloat16_hook, "exact over 200 steps", "*Bfloat16Errors*"),
    (36, wrap.other_types, RIGHT, "Types*"),
    (37, wrap.sparse_gradient, "right, made dense", "*OfSparseEmbeddings*"),
    (38, wrap.hanging_rank, f"{NAMES}, status 4", "WatchedLoop*"),
)


def outcome(torch, result) -> str:
    if isinstance(result, str):
        return result
    ours, right = result
    if any((a is None) != (b is None) for a, b in zip(ours, right)):
        which = "no gradient" if any(a is None for a in ours) else "a gradient too many"
        return f"{which}, no error"
    pairs = [(a, b) for a, b in zip(ours, right) if a is not None]
    if not all(a.isfinite().all() for a, _ in pairs):
        return "not a number, no error"
    apart = max((0.0, *((a.double() - b.double()).abs().max().item() for a, b in pairs)))
    return "right" if apart < 1e-9 else f"off by {apart:.1g}, no error"


def work(case, rank, port, results):
    import torch

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", rank=rank, world_size=RANKS, timeout=timedelta(seconds=GROUP_SECONDS)
    )
    try:
        results.put((rank, outcome(torch, case(torch, rank))))
    except Exception as error:  # what DDP says is the outcome
        told = str(error).splitlines()[0].split("] ", 1)[-1]
        results.put((rank, f"{type(error).__name__}: {told[:90]}"))
    time.sleep(SECONDS)  # a rank that ends would be an error of the other's connection


def outcome_of_ddp(case, context) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results = context.Queue()
    workers = [
        context.Process(target=work, args=(case, rank, port, results), daemon=True)
        for rank in range(RANKS)
    ]
    for worker in workers:
        worker.start()
    outcomes, deadline = {}, time.monotonic() + SECONDS
    try:
        while len(outcomes) < RANKS:
            rank, told = results.get(timeout=max(0.1, deadline - time.monotonic()))
            outcomes[rank] = told
    except queue.Empty:
        for rank in range(RANKS):
            outcomes.setdefault(rank, "hangs")
    for worker in workers:
        worker.kill()
        worker.join()
    if len(set(outcomes.values())) == 1:
        return outcomes[0]
    return "; ".join(f"rank {rank}: {told}" for rank, told in sorted(outcomes.items()))


def outcome_of_thaw(program: str, does: str, tests: str) -> tuple[bool, str]:
    command = [program, f"--gtest_filter={tests}", "--gtest_brief=1"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=TEST_SECONDS)
    except subprocess.TimeoutExpired:
        return False, f"tests hang ({tests})"
    run = re.search(r"(\d+) tests? from", result.stdout)
    if run is None or int(run[1]) == 0:
        return False, f"no such test: {tests}"
    if result.returncode != 0:
        return False, f"tests fail ({tests})"
    return True, f"{does} ({run[1]} tests)"


def torch_context():
    """None where torch is not to be had; else ranks are forks, which have imported it already."""
    if importlib.util.find_spec("torch") is None:
        return None
    command = [sys.executable, "-c", "import torch.distributed as d; assert d.is_gloo_available()"]
    if subprocess.run(command, capture_output=True).returncode != 0:
        return None
    # All that DDP imports when it is first used, which takes seconds.
    import torch._dynamo  # noqa: F401
    import torch.distributed.algorithms.ddp_comm_hooks.default_hooks  # noqa: F401
    import torch.distributed.algorithms.join  # noqa: F401

    return multiprocessing.get_context("fork")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", default="build/tests/test_dist_data_parallel", metavar="PROGRAM")
    parser.add_argument("--rows", default="1-38", metavar="A-B", help="of the table")
    given = parser.parse_args()
    first, last = (int(number) for number in given.rows.split("-"))
    context = torch_context()
    print("| row | case | DDP | Thaw |\n| --- | --- | --- | --- |")
    good = True
    for row, case, does, tests in CASES:
        if not first <= row <= last:
            continue
        told = outcome_of_ddp(case, context) if context else "not run: no torch here"
        passed, thaw = outcome_of_thaw(given.tests, does, tests)
        good = good and passed
        print(f"| {row} | {case.__name__.replace('_', ' ')} | {told} | {thaw} |", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
