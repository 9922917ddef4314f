"""`distributed.sharding`: the bits of the whole where sums are canonical, at any number of ranks, after
a resume at another one, and after kills; what it does not serve is refused; what it takes is told."""

import os
import random
import re
import signal
import subprocess
import time
import unittest

from command_fixture import MPIEXEC, THAW, CommandTest, require

STAGES = """
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.01
until = { steps = 3 }

[[schedule.stage]]
name = "upper"
groups = ["encoder.*", "head"]
learning-rate = { head = 0.01, "*" = 0.003 }
until = { steps = 4 }

[[schedule.stage]]
name = "drawn"
groups = ["*"]
learning-rate = 0.002
until = { steps = 6 }
policy = { kind = "random", groups = 2, every-steps = 2, always = [] }
"""
OPTIONS = 'reduction = "canonical"\nshards = 4\nthreads = 1\nclip-norm = 0.5'
EVERY_STEP = ("--checkpoint.every-steps", "1", "--checkpoint.keep", "100")
MOMENTS = ("transition", "saving", "any")
TRIALS = int(os.environ.get("THAW_FAULT_TRIALS", "3"))


class ShardingTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.texts(train=35, vocabulary=3000)
        self.tiny_bert(vocabulary=3000)
        self.config = self.bert_config(schedule=STAGES, extra=OPTIONS)

    def train(self, run, sharding, *flags, ranks=0):
        return self.thaw("train", self.config, "--run-dir", run, "--distributed.sharding", sharding,
                         *flags, ranks=ranks)

    def weights(self, run):
        return (self.folder / run / "weights.safetensors").read_bytes()

    def losses(self, run):
        return [[line[key] for key in ("step", "loss", "gradient_norm")]
                for line in self.metrics(run)]

    def place(self, run, step):
        (found,) = (self.folder / run / "checkpoints").glob(f"step-{step:09}*")
        return str(found.relative_to(self.folder))


class Sharded(ShardingTest):
    def test_has_the_bits_of_the_whole(self):
        self.train("alone", "none")
        for ranks, sharding in ((2, "optimizer"), (3, "gradients"), (4, "optimizer")):
            run = f"on{ranks}"
            self.train(run, sharding, ranks=ranks)
            self.assertEqual(self.losses(run), self.losses("alone"))
            self.assertEqual(self.weights(run), self.weights("alone"))
        moved = [line["state_bytes_moved"] for line in self.metrics("on3", "transition")]
        self.assertEqual(moved[0], 0)
        self.assertGreater(max(moved), 0)
        for line in self.metrics("on3", "transition"):
            self.assertGreaterEqual(line["seconds"], line["state_move_seconds"])
            if line["state_bytes_moved"]:
                self.assertGreater(line["state_move_seconds"], 0)

    def test_goes_on_at_any_number_of_ranks(self):
        self.train("whole", "gradients", *EVERY_STEP, ranks=3)
        for step, ranks, sharding in ((5, 0, "none"), (9, 2, "optimizer"), (10, 4, "gradients")):
            run = f"from{step}"
            done = self.train(run, sharding, "--resume", self.place("whole", step), ranks=ranks)
            self.assertNotIn("distributed.sharding", done.stderr)
            self.assertEqual(self.weights(run), self.weights("whole"))
            self.assertEqual(self.losses(run), self.losses("whole")[step:])

    def test_in_buckets_is_the_whole_to_rounding(self):
        flags = ("--train.reduction", "buckets")
        self.train("whole", "none", *flags, ranks=2)
        for sharding in ("optimizer", "gradients"):
            self.train(sharding, sharding, *flags, ranks=2)
            for found, expected in zip(self.losses(sharding), self.losses("whole"), strict=True):
                self.assertAlmostEqual(found[1], expected[1], delta=1e-4 * abs(expected[1]))

    def test_state_of_frozen_layers_waits_elsewhere(self):
        self.train("whole", "optimizer", ranks=2)
        self.assertEqual({line["state_aside_seconds"]
                          for line in self.metrics("whole", "transition")}, {0})
        for place, ranks in (("host", 2), ("disk", 2), ("disk", 0)):
            run = f"{place}{ranks}"
            self.train(run, "optimizer", "--distributed.frozen-state", place, ranks=ranks)
            self.assertEqual(self.losses(run), self.losses("whole"))
            self.assertEqual(self.weights(run), self.weights("whole"))
            aside = [line["state_bytes_put_aside"] for line in self.metrics(run, "transition")]
            back = [line["state_bytes_brought_back"] for line in self.metrics(run, "transition")]
            self.assertEqual(sum(aside) > 0, place == "disk")  # state is in host memory already
            self.assertLessEqual(sum(back), sum(aside))
            for line in self.metrics(run, "transition"):  # looking for what moves takes time, too
                self.assertGreater(line["state_aside_seconds"], 0)
                self.assertLessEqual(line["state_aside_seconds"], line["optimizer_seconds"])
            self.assertEqual(list((self.folder / run).glob("frozen-state*")), [])

    def test_survives_kills(self):
        self.train("whole", "optimizer", ranks=2)
        generator = random.Random(1)
        for trial in range(TRIALS):
            run = f"killed{trial}"
            for attempt in range(9):
                job = subprocess.Popen(
                    [MPIEXEC, "-n", "2", THAW, "train", self.config, "--run-dir", run,
                     "--distributed.sharding", "optimizer", "--checkpoint.every-steps", "1",
                     "--distributed.frozen-state", ("disk", "device")[trial % 2]],
                    cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                    env=dict(os.environ, OMP_NUM_THREADS="1"))
                if attempt < 2:
                    self.kill_a_rank(job, run, MOMENTS[(2 * trial + attempt) % 3], generator)
                _, errors = job.communicate(timeout=120)
                if job.returncode == 0:
                    break
                self.assertNotEqual(job.returncode, 2, errors)
            self.assertEqual(self.weights(run), self.weights("whole"), f"trial {trial}")
            self.assertEqual(list((self.folder / run).glob("frozen-state*")), [])

    def kill_a_rank(self, job, run, moment, generator):
        """While a checkpoint is written, while a transition is under way (which puts state aside, or
        comes right behind its checkpoint), or at any moment."""
        place = self.folder / run

        def signs():
            return set(place.glob("frozen-state*")) | set(place.glob("checkpoints/*-transition*"))

        before = signs()
        deadline = time.monotonic() + generator.uniform(0.5, 4) + (moment != "any") * 4
        while time.monotonic() < deadline and job.poll() is None:
            if moment == "saving" and list(place.glob("checkpoints/*.partial")) \
                    and generator.random() < 0.1:
                break
            if moment == "transition" and signs() - before and generator.random() < 0.5:
                break
            time.sleep(0.001)
        ranks = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True,
                               check=False).stdout.split()
        for rank in ranks[-1:]:
            try:
                os.kill(int(rank), signal.SIGKILL)
            except ProcessLookupError:
                pass


class Told(ShardingTest):
    def test_a_wire_that_rounds_is_refused(self):
        flags = ("--distributed.sharding", "optimizer", "--distributed.wire", "bfloat16",
                 "--train.reduction", "buckets")
        for command in (("train", self.config, "--run-dir", "run"), ("check", self.config)):
            told = self.refused(*command, *flags)
            self.assertIn("distributed.wire: \"bfloat16\" rounds whole sums", told)
        self.assertFalse((self.folder / "run").exists())

    def test_what_a_rank_holds(self):
        def states(*flags):
            told = self.thaw("check", self.config, "--train.reduction", "buckets", *flags).stdout
            rows = [re.split(r"\s{2,}", line.strip()) for line in told.splitlines()]
            return [row[4] for row in rows if len(row) == 8 and row[0] in ("head", "upper")
                    and row[1].endswith("B")]

        self.assertEqual(states(), [])
        alone = states("--ranks", "1")
        self.assertEqual(len(alone), 2)
        self.assertEqual(states("--ranks", "2"), alone)
        self.assertNotEqual(states("--ranks", "2", "--distributed.sharding", "optimizer"), alone)
        told = self.refused("check", self.config, "--ranks", "0")
        self.assertIn("--ranks 0: expected a whole number", told)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
