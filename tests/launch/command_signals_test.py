"""Signals at whatever instant, and what is left of jobs whose launcher is killed.

THAW_SIGNAL_SWEEP says at how many instants (8; `soak` takes 200).
"""

import os
import shutil
import signal
import subprocess
import time
import unittest

from command_fixture import THAW, CommandTest, is_running, require, two_stages

INSTANTS = int(os.environ.get("THAW_SIGNAL_SWEEP", "8"))
RUN = ("--run-dir", "run", "--output.progress", "off")
# Before `main` the dynamic linker is at work, and a signal does what it always does.
BEFORE_MAIN = -signal.SIGTERM


class Signals(CommandTest):
    def setUp(self):
        super().setUp()
        self.images(train=60)
        self.long = self.resnet_config(name="long.toml",
                                       stages=two_stages("steps = 3000", "steps = 3000"))

    def start(self, *command, **settings):
        job = subprocess.Popen([THAW, *command], cwd=self.folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=dict(os.environ, OMP_NUM_THREADS="1", **settings))
        for end in (job.stderr.close, job.stdout.close, job.wait, job.kill):
            self.addCleanup(end)
        return job

    def wait_for(self, what, seconds=90):
        deadline = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def has_steps(self, run="run", steps=3):
        log = self.folder / run / "metrics.jsonl"
        return lambda: log.exists() and log.read_text().count('"event":"step"') >= steps

    def end(self, job, *statuses):
        out, errors = job.communicate(timeout=120)
        self.assertIn(job.returncode, statuses, f"{out}\n{errors}")
        return out + errors

    def instants(self, seconds):
        return [seconds * (each + 0.5) / INSTANTS for each in range(INSTANTS)]

    def test_sigterm_at_any_instant_of_a_training_loses_nothing(self):
        config = self.resnet_config(stages=two_stages("steps = 10", "steps = 10"))
        begin = time.monotonic()
        self.thaw("train", config, *RUN)
        whole = time.monotonic() - begin
        expected = [line["loss"] for line in self.metrics("run")]
        for instant in self.instants(1.05 * whole):
            with self.subTest(instant=f"{instant:.3f} s"):
                shutil.rmtree(self.folder / "run")
                job = self.start("train", config, *RUN)
                time.sleep(instant)
                job.terminate()
                said = self.end(job, 75, 0, BEFORE_MAIN)
                if job.returncode == 75 and "before training had begun" in said:
                    self.assertFalse((self.folder / "run").exists(), said)
                self.thaw("train", config, *RUN)
                self.assertEqual([line["loss"] for line in self.metrics("run")], expected)
                self.assertEqual(list((self.folder / "run").rglob("*.partial")), [])
                self.assertEqual(list((self.folder / "run").rglob("*.tmp")), [])

    def test_sigterm_at_any_instant_of_a_comparison_is_a_stop(self):
        config = self.resnet_config(
            stages='[schedule]\npreset = "full"\nlearning-rate = 0.01\ntotal-epochs = 1\n')
        command = ("compare", config, "--schedules", "full,head-only", "--seeds", "1", "--output",
                   "cmp")
        begin = time.monotonic()
        self.thaw(*command)
        whole = time.monotonic() - begin
        for instant in self.instants(whole):
            with self.subTest(instant=f"{instant:.3f} s"):
                shutil.rmtree(self.folder / "cmp", ignore_errors=True)
                job = self.start(*command)
                time.sleep(instant)
                job.terminate()
                said = self.end(job, 75, 0, BEFORE_MAIN)
                if job.returncode == 75:
                    self.assertRegex(said, "the same command (goes on|starts it)")
        self.thaw(*command)
        self.assertTrue((self.folder / "cmp/comparison.json").is_file())

    def test_variables_of_a_launcher_that_is_gone_change_nothing(self):
        job = self.start("train", self.long, *RUN, OMPI_COMM_WORLD_RANK="0",
                         OMPI_COMM_WORLD_SIZE="1", SLURM_PROCID="0")
        self.wait_for(self.has_steps())
        job.terminate()
        self.assertIn("all is saved", self.end(job, 75))

    def test_a_launch_killed_with_its_mpirun_leaves_no_rank(self):
        job = self.start("launch", "-n", "2", "--", "train", self.long, *RUN)
        self.wait_for(self.has_steps())
        (mpirun,) = self.children(job.pid)
        ranks = self.children(mpirun)
        self.assertEqual(len(ranks), 2)
        os.kill(job.pid, signal.SIGSTOP)  # so that it does not end mpirun's group first
        os.kill(mpirun, signal.SIGKILL)
        os.kill(job.pid, signal.SIGKILL)
        for rank in ranks:
            self.wait_for(lambda rank=rank: not is_running(rank))
        self.thaw("train", self.long, *RUN, "--checkpoint.time-limit", "1", status=75)

    def children(self, process):
        found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True,
                               check=True)
        return [int(word) for word in found.stdout.split()]

    def test_words_that_a_stopped_run_lost_are_told_in_its_log(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([THAW, "train", self.long, "--run-dir", "run",
                                   "--checkpoint.time-limit", "2"], cwd=self.folder, stdout=full,
                                  stderr=full, check=False,
                                  env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.assertEqual(done.returncode, 75)
        (lost,) = self.metrics("run", "output_lost")
        self.assertIn("No space left on device", lost["output_lost"])
        self.assertEqual(lost["step"], self.metrics("run", "checkpoint")[-1]["step"])
        # Whoever reads the log goes on reading it.
        self.thaw("train", self.long, *RUN, "--checkpoint.time-limit", "1", status=75)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
