"""Faults that are planted in a step through LibTorch: each is found, and nothing in the step without one.

What the library itself finds in calls of CUDA, null_gpu_test.cpp shows.
"""

import os
import pathlib
import subprocess
import sys
import unittest

from null_gpu_fixture import LIBRARY, NullGpuTest, require_null_gpu

PROGRAM = os.environ.get("THAW_NULL_GPU_FAULTS_PROGRAM", "")


class PlantedFaults(NullGpuTest):
    def report(self, fault):
        _, (report,) = self.program(PROGRAM, fault)
        return report

    def more(self, fault, what):
        """By how many of `what` the step with the fault has more than the one without."""
        with_fault, without = (self.report(name)["counts"].get(what, 0) for name in (fault, "none"))
        return with_fault - without

    def test_without_one_nothing_is_said(self):
        report = self.report("none")
        self.assertEqual(report["faults"], [])
        self.assertEqual(report["counts"].get("blocking transfers", 0), 0)

    def test_the_host_reads_device_memory(self):
        environment = os.environ | {"LD_PRELOAD": LIBRARY}
        done = subprocess.run([PROGRAM, "host-read"], env=environment, text=True, capture_output=True,
                              check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the host touches memory of device 0", done.stderr)

    def test_an_event_is_missing(self):
        (fault,) = self.report("missing-event")["faults"][:1]
        self.assertIn("does not wait for", fault)

    def test_an_upload_blocks(self):
        self.assertEqual(self.more("blocking-upload", "blocking transfers"), 1)
        self.assertEqual(self.more("blocking-upload", "uploads"), 0)

    def test_a_synchronization_too_many(self):
        self.assertEqual(self.more("synchronization", "synchronizations"), 1)
        self.assertEqual(self.more("synchronization", "blocking transfers"), 0)

    def test_an_event_is_asked_about_while_a_graph_is_recorded(self):
        said, (report,) = self.program(PROGRAM, "recorded")
        self.assertIn("it was recorded", said.stdout)
        self.assertEqual(report["faults"], [])
        self.assertEqual(report["counts"]["graph launches"], 1)
        said, (report,) = self.program(PROGRAM, "question-while-recording")
        self.assertIn("it could not be recorded", said.stdout)
        (fault,) = report["faults"][:1]
        self.assertIn("cudaEventQuery while a graph is captured", fault)


if __name__ == "__main__":
    require_null_gpu()
    if not pathlib.Path(PROGRAM).is_file():
        print("SKIPPED: THAW_NULL_GPU_FAULTS_PROGRAM names no file; run through ctest")
        sys.exit(77)
    unittest.main()
