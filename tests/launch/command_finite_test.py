"""`thaw train` where loss or gradients are not finite: it stops, skips the step, or goes back to the
last good checkpoint, on all ranks alike and with the weights that this promises."""

import os
import subprocess
import time
import unittest

import h5py
import numpy as np

from command_fixture import MPIEXEC, THAW, CommandTest, require
from safetensors_reader import tensors as read_safetensors

RANKS = (0, 2)
ONE_STAGE = """
[[schedule.stage]]
name = "only"
groups = ["layer3", "head"]
learning-rate = 0.005
until = {{ steps = {0} }}
"""
TWO_STAGES = """
[[schedule.stage]]
name = "first"
groups = ["head"]
learning-rate = 0.05
until = {{ steps = {0} }}

[[schedule.stage]]
name = "second"
groups = {2}
learning-rate = 0.01
until = {{ steps = {1} }}
"""


class FiniteTest(CommandTest):
    def float_images(self, samples=48, bad=(), size=16):
        """Images of float32; of the samples `bad`, one value is infinite."""
        generator = np.random.default_rng(3)
        labels = np.arange(samples, dtype=np.int64) % 3
        inputs = generator.normal(labels[:, None, None, None], 1, (samples, 3, size, size))
        inputs[list(bad), 0, 0, 0] = np.inf
        with h5py.File(self.folder / "floats.h5", "w") as file:
            group = file.create_group("train")
            group["inputs"] = inputs.astype(np.float32)
            group["labels"] = labels

    def config(self, stages, name="finite.toml", **options):
        return self.resnet_config(name, data="floats.h5", stages=stages, extra="threads = 1\n",
                                  **options)

    def train(self, config, run, *arguments, **options):
        return self.thaw("train", config, "--run-dir", run, *arguments, **options)

    def bytes_of(self, run):
        return (self.folder / run / "weights.safetensors").read_bytes()


class Skip(FiniteTest):
    def test_a_skipped_step_consumes_its_samples_and_changes_no_weight(self):
        self.float_images(bad=[17])  # 4 steps an epoch, one of which meets it
        skipped_steps = {}
        for ranks in RANKS:
            with self.subTest(ranks=ranks):
                run = f"run{ranks}"
                self.train(self.config(ONE_STAGE.format(12)), run, "--train.not-finite", "skip",
                           "--train.skip-limit", "2", ranks=ranks)
                skipped = self.metrics(run, "skipped")
                skipped_steps[ranks] = [line["step"] for line in skipped]
                self.assertEqual([(step - 1) // 4 for step in skipped_steps[ranks]], [0, 1, 2])
                for line in skipped:
                    self.assertIsNone(line["loss"])
                    before = line["step"] - 1 in skipped_steps[ranks]
                    self.assertEqual([line["stage"], line["in_a_row"]], ["only", 1 + before])
                steps = [line["step"] for line in self.metrics(run)]
                self.assertEqual(sorted(steps + skipped_steps[ranks]), list(range(1, 13)))
                self.assertTrue(all(np.isfinite(line["loss"]) for line in self.metrics(run)))
                # A run that ends with the step that is skipped, and one that ends just before it.
                last = skipped_steps[ranks][2]
                for steps in (last, last - 1):
                    self.train(self.config(ONE_STAGE.format(steps)), f"{run}-{steps}",
                               "--train.not-finite", "skip", ranks=ranks)
                self.assertEqual(self.bytes_of(f"{run}-{last}"), self.bytes_of(f"{run}-{last - 1}"))
                self.assertNotEqual(self.bytes_of(f"{run}-{last}"), self.bytes_of(run))
                for name, tensor in read_safetensors(
                        self.folder / run / "weights.safetensors").items():
                    self.assertTrue(np.isfinite(tensor).all(), name)
        self.assertEqual(*skipped_steps.values())

    def test_too_many_in_a_row_stop_all_ranks(self):
        self.float_images(bad=range(48))
        for ranks in RANKS:
            for option, after in (("stop", None), ("skip", ", after 2 steps that were skipped")):
                with self.subTest(ranks=ranks, option=option):
                    run = f"run{ranks}-{option}"
                    stops = option == "stop"
                    done = self.train(self.config(ONE_STAGE.format(12)), run, "--train.not-finite",
                                      option, "--train.skip-limit", "2", ranks=ranks,
                                      status=2 if stops else 3)
                    self.assertIn("floats.h5: /train/inputs: sample 0 holds inf", done.stderr)
                    if stops:  # before training, unless such steps are to be passed over
                        continue
                    step = 3
                    self.assertIn(f'step {step} of stage "only": the loss is nan{after}',
                                  done.stderr.replace("-nan", "nan"))
                    self.assertIn("lower the learning rate", done.stderr)
                    self.assertEqual([s["in_a_row"] for s in self.metrics(run, "skipped")],
                                     list(range(1, step)))
                    self.assertFalse((self.folder / run / "weights.safetensors").exists())


class GoBack(FiniteTest):
    OPTIONS = ("--train.not-finite", "go-back", "--train.skip-limit", "3",
               "--checkpoint.every-steps", "2")

    def test_spoilt_weights_end_at_the_last_good_checkpoint_from_which_an_edited_stage_goes_on(self):
        self.float_images()
        config = self.config(TWO_STAGES.format(6, 10, '["layer3", "head"]'))
        absurd = ("--schedule.stage.second.learning-rate", "1e30")
        for ranks in RANKS:
            with self.subTest(ranks=ranks):
                run = f"run{ranks}"
                # The first step of the stage is finite and its update is not, as the next ones
                # show; no checkpoint is made of what they leave.
                done = self.train(config, run, *self.OPTIONS, *absurd, ranks=ranks, status=3)
                self.assertIn("loss or gradients are not finite again after going back to step 6; "
                              "lower the learning rate, or set train.clip-norm", done.stderr)
                self.assertEqual([r["step"] for r in self.metrics(run, "resume")], [6])
                self.assertEqual([s["step"] for s in self.metrics(run)], list(range(1, 7)))
                self.assertEqual(max(c["step"] for c in self.metrics(run, "checkpoint")), 6)
                self.assertFalse((self.folder / run / "weights.safetensors").exists())
                # It was not reached by that checkpoint, so it may be edited.
                self.train(config, run, *self.OPTIONS, ranks=ranks)
                self.assertEqual([s["step"] for s in self.metrics(run)], list(range(1, 17)))
                self.train(config, f"undisturbed{ranks}", *self.OPTIONS, ranks=ranks)
                self.assertEqual(self.bytes_of(run), self.bytes_of(f"undisturbed{ranks}"))

    def test_without_a_checkpoint_it_says_so(self):
        self.float_images(bad=range(48))
        done = self.train(self.config(ONE_STAGE.format(12)), "run", *self.OPTIONS, status=3)
        self.assertIn("not finite, and there is no checkpoint to go back to", done.stderr)

    def samples_bytes(self):
        """Where the data file holds the training images, and how many bytes."""
        with h5py.File(self.folder / "floats.h5") as file:
            inputs = file["train/inputs"]
            return inputs.id.get_offset(), inputs.id.get_storage_size()

    def overwrite(self, offset, content):
        with open(self.folder / "floats.h5", "r+b", buffering=0) as file:
            file.seek(offset)
            file.write(content)

    def wait_for(self, job, run, event, count=1):
        log = self.folder / run / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if log.exists() and log.read_text().count(f'"event":"{event}"') >= count:
                return
            self.assertIsNone(job.poll(), f"it ended before {event}")
            time.sleep(0.01)
        self.fail(f"no {event} within two minutes")

    def test_what_passes_by_costs_the_steps_since_the_checkpoint_and_no_more(self):
        """The data file holds rubbish for a while. One batch is the whole data and the linear head
        alone is trained, so that the weights follow from how many steps were committed."""
        self.float_images(samples=12, size=8)
        offset, size = self.samples_bytes()
        good = (self.folder / "floats.h5").read_bytes()[offset:offset + size]
        options = ("--train.precision", "float64", "--train.not-finite", "go-back",
                   "--train.skip-limit", "300", "--data.read-ahead", "0",
                   "--train.prefix-cache", "off")  # which would read the file once
        for ranks in RANKS:
            with self.subTest(ranks=ranks):
                run = f"run{ranks}"
                config = self.config(TWO_STAGES.format(20, 1000, '["head"]'))
                command = [*([MPIEXEC, "-n", str(ranks)] if ranks else []), THAW, "train", config,
                           "--run-dir", run, *options]
                job = subprocess.Popen(command, cwd=self.folder, text=True, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE,
                                       env=dict(os.environ, OMP_NUM_THREADS="1"))
                self.addCleanup(job.kill)
                self.wait_for(job, run, "step", 25)
                self.overwrite(offset, np.full(size // 4, np.inf, np.float32).tobytes())
                self.wait_for(job, run, "resume")
                self.overwrite(offset, good)
                said = "".join(job.communicate(timeout=240))
                self.assertEqual(job.returncode, 0, said)
                self.assertEqual([r["step"] for r in self.metrics(run, "resume")], [20])
                steps = [line["step"] for line in self.metrics(run)]
                skipped = [line["step"] for line in self.metrics(run, "skipped")]
                self.assertEqual(sorted(steps + skipped), list(range(1, 1021)))
                self.assertLessEqual(len(skipped), 300)
                committed = self.config(TWO_STAGES.format(20, 1000 - len(skipped), '["head"]'))
                self.train(committed, f"undisturbed{ranks}", *options, ranks=ranks)
                expected = read_safetensors(
                    self.folder / f"undisturbed{ranks}/weights.safetensors")
                for name, tensor in read_safetensors(
                        self.folder / run / "weights.safetensors").items():
                    largest = np.abs(expected[name]).max()
                    difference = np.abs(tensor - expected[name]).max()
                    self.assertLessEqual(difference, 1e-9 * largest, name)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
