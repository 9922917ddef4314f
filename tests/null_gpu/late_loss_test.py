"""Losses that are read when the next step has been queued: metrics.jsonl has each step once, in order
with what happens between steps, and all of them where a run ends, is saved or is stopped."""

import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from null_gpu_fixture import LIBRARY, SECONDS, THAW, NullGpuTest, require_null_gpu

BETWEEN = ("evaluation", "checkpoint", "transition", "end")  # what tells of steps before it


class LateLoss(NullGpuTest):
    def setUp(self):
        super().setUp()
        self.texts()
        self.tiny_bert()

    def config(self, steps, name="run.toml"):
        stages = "".join(f'[[schedule.stage]]\nname = "{number}"\ngroups = ["{groups}"]\n'
                         f"learning-rate = 1e-3\nuntil = {{ steps = {steps} }}\n"
                         for number, groups in enumerate(("head", "*")))
        self.write(name, f"""
[model]
architecture = "bert"
config = "config.json"
[data]
file = "texts.h5"
batch = 16
{stages}""")
        return name

    def lines(self):
        text = (self.folder / "run/metrics.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def expect_whole(self, steps):
        """A line a step, in order, none of them after what it is told before."""
        lines = self.lines()
        told = [line["step"] for line in lines if line["event"] == "step"]
        self.assertEqual(told, list(range(1, steps + 1)))
        last = 0
        for line in lines:
            if line["event"] == "step":
                last = line["step"]
            elif line["event"] in BETWEEN:
                self.assertGreaterEqual(last, line["step"], line)
        return lines

    def test_every_step_is_told_before_what_follows_it(self):
        for ranks, flags in ((1, ()), (2, ()), (1, ("--train.clip-norm", "1"))):
            self.on_gpus("train", self.config(5), "--run-dir", "run", "--train.evaluate-every", "3",
                         "--checkpoint.every-steps", "4", *flags, ranks=ranks)
            lines = self.expect_whole(10)
            self.assertEqual([line["step"] for line in lines if line["event"] == "evaluation"],
                             [3, 5, 8, 10])
            self.assertEqual(lines[-1]["event"], "end")
            shutil.rmtree(self.folder / "run")

    def test_a_run_that_is_stopped_has_told_all(self):
        settings = os.environ | {"OMP_NUM_THREADS": "1", "NULL_GPU_DEVICES": "1",
                                 "LD_PRELOAD": LIBRARY}
        command = [THAW, "train", self.config(100000), "--run-dir", "run", "--train.device", "cuda",
                   "--train.evaluate-every", "100000", "--checkpoint.every-steps", "0"]
        job = subprocess.Popen(command, cwd=self.folder, env=settings, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(job.kill)
        log = self.folder / "run/metrics.jsonl"
        deadline = time.monotonic() + SECONDS
        while not (log.exists() and log.read_text().count('"event":"step"') >= 5):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(job.poll())
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        said = job.communicate(timeout=SECONDS)
        self.assertEqual(job.returncode, 75, said)
        saved = [line["step"] for line in self.lines() if line["event"] == "checkpoint"][-1]
        self.expect_whole(saved)


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
