"""thaw::DataParallel in loops of somebody's own, on GPUs that compute nothing: each way in which a loop
ends its steps, at 1, 2 and 4 ranks, comes to its end with nothing out of order, and all ranks sum the
same in the same order.

The ways are programs/own_loop.cpp's; it says their names.
"""

import os
import pathlib
import subprocess
import sys
import unittest

from null_gpu_fixture import NullGpuTest, require_null_gpu

PROGRAM = os.environ.get("THAW_NULL_GPU_OWN_LOOP", "")
WAYS = ("buffers", "clip", "finish", "forward", "join", "left-out", "load", "micro-batches", "no-overlap",
        "rounded", "skip", "small-buckets")
RANKS = (1, 2, 4)


class OwnLoop(NullGpuTest):
    def run_way(self, way, ranks):
        _, reports = self.program(PROGRAM, way, ranks=ranks)
        self.assertEqual(len(reports), ranks)
        for report in reports:
            self.assertEqual(report["faults"], [])
            self.assertGreater(report["counts"]["work"], 0)
            self.assertEqual(report["collectives"], reports[0]["collectives"])
        if ranks > 1:
            self.assertTrue(reports[0]["collectives"])

    def test_the_program_has_no_other_ways(self):
        said = subprocess.run([PROGRAM], text=True, capture_output=True, check=False)
        self.assertEqual(said.returncode, 2)
        self.assertEqual(said.stdout.split(), sorted(WAYS))


def test_of(way, ranks):
    return lambda self: self.run_way(way, ranks)


for each in WAYS:
    for count in RANKS:
        setattr(OwnLoop, f"test_{each} at {count}", test_of(each, count))


if __name__ == "__main__":
    require_null_gpu()
    if not pathlib.Path(PROGRAM).is_file():
        print("SKIPPED: THAW_NULL_GPU_OWN_LOOP names no file; run through ctest")
        sys.exit(77)
    unittest.main()
