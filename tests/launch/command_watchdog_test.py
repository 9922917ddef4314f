"""Ranks of `thaw train` that are stopped, held up or killed: what the others say and do."""

import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

from command_fixture import MPIEXEC, THAW, CommandTest, is_running, require

DEADLINE = 3
# Where nothing may come to its deadline: a busy machine alone holds a rank up now and then for the
# quarter of it that is remarked on.
LONG_DEADLINE = 8


class Job:
    """A training under mpirun, caught in its steps."""

    def __init__(self, test, ranks, *arguments, hang=DEADLINE):
        self.metrics = test.folder / "run/metrics.jsonl"
        self.process = subprocess.Popen(
            [MPIEXEC, "-n", str(ranks), THAW, "train", *arguments, "--run-dir", "run",
             "--distributed.hang-deadline", str(hang)],
            cwd=test.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, OMP_NUM_THREADS="1"))
        test.addCleanup(self.process.kill)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not self.has_stepped():
            time.sleep(0.05)
        time.sleep(1)  # until all have heard in which step the others are
        test.assertIsNone(self.process.poll(), "the job ended before it could be disturbed")
        self.pids = self.by_rank()

    def has_stepped(self):
        return self.metrics.exists() and '"event":"step"' in self.metrics.read_text()

    def by_rank(self):
        """Process numbers in the order of ranks."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True,
                                  text=True, check=True).stdout.split()
        ranks = {}
        for child in children:
            settings = pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            ranks.update({int(s.partition(b"=")[2]): int(child) for s in settings
                          if s.startswith(b"OMPI_COMM_WORLD_RANK=")})
        return [ranks[rank] for rank in sorted(ranks)]

    def end(self):
        """What it said on standard error; its status is in `status` then."""
        _, errors = self.process.communicate(timeout=120)
        self.status = self.process.returncode
        return errors

    def left_running(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(map(is_running, self.pids)):
            time.sleep(0.05)
        return [pid for pid in self.pids if is_running(pid)]


class WatchdogTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.images(train=24000)  # seconds of training, also where a step takes 4 ms
        self.config = self.resnet_config()


class Stopped(WatchdogTest):
    def test_a_stopped_rank_ends_the_job_with_4_and_is_named(self):
        for ranks, stopped in ((2, 0), (2, 1), (3, 0), (3, 1)):
            with self.subTest(ranks=ranks, stopped=stopped):
                job = Job(self, ranks, self.config)
                os.kill(job.pids[stopped], signal.SIGSTOP)
                begin = time.monotonic()
                errors = job.end()
                self.assertEqual(job.status, 4, errors)
                # The deadline, and the time that a busy machine takes to end all: no other deadline.
                self.assertLess(time.monotonic() - begin, DEADLINE + 30, errors)
                self.assertRegex(
                    errors, rf"rank \d \(host .*\) reports that rank {stopped} \(host .*\) has "
                    r"not answered for .*; it was last in step \d+ of stage \"head\", ")
                self.assertIn("distributed.hang-deadline is 3.0 s", errors)
                self.assertEqual(job.left_running(), [], errors)
            shutil.rmtree(self.folder / "run")


class HeldUp(WatchdogTest):
    STAGES = """
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.05
until = { steps = 1000 }
"""

    def test_a_rank_stopped_for_half_the_deadline_changes_nothing_and_is_reported(self):
        self.resnet_config(stages=self.STAGES)
        self.thaw("train", self.config, "--run-dir", "undisturbed", ranks=2)
        job = Job(self, 2, self.config, hang=LONG_DEADLINE)
        os.kill(job.pids[1], signal.SIGSTOP)
        time.sleep(LONG_DEADLINE / 2)
        os.kill(job.pids[1], signal.SIGCONT)
        errors = job.end()
        self.assertEqual(job.status, 0, errors)
        self.assertEqual(errors.count("straggler"), 1, errors)
        self.assertRegex(errors, r"straggler: rank 1 \(host .*\) has not answered for .* in step "
                                 r"\d+ of stage \"head\"")
        self.assertEqual((self.folder / "run/weights.safetensors").read_bytes(),
                         (self.folder / "undisturbed/weights.safetensors").read_bytes())


class Killed(WatchdogTest):
    def test_the_survivors_name_a_killed_rank_within_their_second(self):
        for ranks, killed in ((2, 0), (3, 1)):
            with self.subTest(ranks=ranks, killed=killed):
                job = Job(self, ranks, self.config)
                os.kill(job.pids[killed], signal.SIGKILL)
                errors = job.end()
                self.assertEqual(job.status, 137, errors)
                self.assertRegex(
                    errors, rf"rank \d \(host .*\) reports that .* rank {killed} \(host .*\) has "
                    r"not answered for .*; it was last in step \d+ of stage \"head\"")
                self.assertEqual(job.left_running(), [], errors)
            shutil.rmtree(self.folder / "run")

    def test_where_the_user_ends_the_job_nobody_is_blamed(self):
        job = Job(self, 2, self.config)
        job.process.terminate()
        errors = job.end()
        self.assertNotIn("has not answered", errors)
        self.assertEqual(job.left_running(), [], errors)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
