"""Ranks killed at random moments, in the middle of saving and of transitions, and disks that are
full: what is left goes on, and comes to the bits of the run that nothing happened to.

THAW_FAULT_TRIALS sets the number of trials (default 8), THAW_FAULT_SEED their moments.
"""

import os
import pathlib
import random
import subprocess
import sys
import time
import unittest

from command_fixture import CommandTest, require, two_stages
from random_kills import figures, train_through_kills

TRIALS = int(os.environ.get("THAW_FAULT_TRIALS", "8"))
SEED = int(os.environ.get("THAW_FAULT_SEED", "1"))
STAGES = two_stages("steps = 8", "steps = 9") + """
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 0.01
until = { steps = 7 }
"""
STAGE = """
[[schedule.stage]]
name = "{name}"
groups = {groups}
learning-rate = 0.02
until = {{ steps = {steps} }}
"""
OPTIONS = ("--checkpoint.every-steps", "2", "--train.evaluate-every", "5", "--output.progress",
           "off")


def assert_told_once(test, message, reason, kept):
    """That the final weights could not be written: once for all ranks, which then end in order."""
    test.assertEqual(message.count("all 40 steps are done, but the weights could not be written: "),
                     1, message)
    test.assertRegex(message, rf"weights\.safetensors.*: cannot \w+[^:]*: {reason}")
    test.assertIn(kept, message)
    for word in ("MPI_ABORT", "MPI_Abort", "terminate called", "Aborted"):
        test.assertNotIn(word, message)


class Killed(CommandTest):
    def wait(self, job, generator):
        """Until a random moment, or until a checkpoint or a transition is under way."""
        run = self.folder / "run"
        moment = generator.choice(("any", "saving", "transition"))
        deadline = time.monotonic() + generator.uniform(0.3, 4)
        while time.monotonic() < deadline and job.poll() is None:
            if moment == "saving" and list(run.glob("checkpoints/*.partial")) \
                    and generator.random() < 0.3:
                break
            if moment == "transition" and list(run.glob("checkpoints/*-transition*")) \
                    and generator.random() < 0.1:
                break
            time.sleep(0.002)
        return moment

    def test_the_weights_are_those_of_the_undisturbed_run(self):
        self.images(train=50)
        config = self.resnet_config(stages=STAGES)
        self.thaw("train", config, "--run-dir", "whole", *OPTIONS, ranks=2)
        expected = figures(self.folder / "whole")
        weights = (self.folder / "whole/weights.safetensors").read_bytes()
        generator = random.Random(SEED)
        for trial in range(TRIALS):
            moments = train_through_kills(self, (config, "--run-dir", "run", *OPTIONS), generator,
                                          lambda job: self.wait(job, generator))
            message = f"trial {trial} of seed {SEED}: killed at {moments}"
            print(message, flush=True)
            self.assertEqual(figures(self.folder / "run"), expected, message)
            self.assertEqual((self.folder / "run/weights.safetensors").read_bytes(), weights,
                             message)
            subprocess.run(["rm", "-r", str(self.folder / "run")], check=True)


class FinalWeights(CommandTest):
    """Where only the final weights find no place: a folder stands there."""

    def test_all_ranks_end_alike_and_the_same_command_writes_them(self):
        self.images(train=240)
        first = self.resnet_config(stages=STAGE.format(name="head", groups='["head"]', steps=25))
        both = self.resnet_config("both.toml", stages=(
            STAGE.format(name="head", groups='["head"]', steps=25) +
            STAGE.format(name="upper", groups='["layer3", "head"]', steps=15)))
        self.thaw("train", both, "--run-dir", "undisturbed", ranks=2)
        expected = (self.folder / "undisturbed/weights.safetensors").read_bytes()
        for ranks in (2, 0, 3):
            with self.subTest(ranks=ranks):
                run = self.folder / f"run{ranks}"
                command = ("train", both, "--run-dir", run)
                self.thaw("train", first, "--run-dir", run, ranks=ranks)
                (run / "weights.safetensors").unlink()
                (run / "weights.safetensors").mkdir()
                done = self.thaw(*command, ranks=ranks, status=3)
                assert_told_once(self, done.stderr, "Is a directory",
                                 "the checkpoint of that step holds them")
                self.assertFalse((run / "summary.json").exists())
                (run / "weights.safetensors").rmdir()
                self.thaw(*command, ranks=ranks)
                self.assertEqual(len(self.metrics(run)), 40)
                self.assertEqual(self.summary(run)["steps"], 40)
                if ranks == 2:
                    self.assertEqual((run / "weights.safetensors").read_bytes(), expected)
                self.assertIn("is finished", self.thaw(*command, ranks=ranks).stdout)


class SmallDiskTest(CommandTest):
    """On a small tmpfs, in a mount namespace of the test's own."""

    def setUp(self):
        super().setUp()
        if "THAW_SMALL_DISK" not in os.environ:
            self.skipTest("no right to mount a tmpfs")
        self.disk = pathlib.Path(os.environ["THAW_SMALL_DISK"])
        for entry in self.disk.iterdir():
            subprocess.run(["rm", "-r", str(entry)], check=True)
        self.images(train=240)
        self.config = self.resnet_config()

    def add_a_stage(self, name):
        """The configuration with one more stage, so that a finished run goes on."""
        self.write(name, (self.folder / self.config).read_text() +
                   STAGE.format(name="more", groups='["head"]', steps=8))


class FullDisk(SmallDiskTest):
    def test_checkpoints_fail_and_training_goes_on(self):
        run = self.disk / "run"
        arguments = ("train", self.config, "--run-dir", run, "--checkpoint.every-steps", "4")
        (self.disk / "filler").write_bytes(bytes(13 << 20))
        done = self.thaw(*arguments, ranks=2, status=3)
        self.assertIn("No space left on device; free space there", done.stderr)
        self.assertIn("training goes on; the next one is tried in its turn", done.stderr)
        # All 40 steps were made; only then the weights had no place to go.
        self.assertIn("validation at step 40", done.stdout)
        assert_told_once(self, done.stderr, "No space left", "no checkpoint of that step holds them")
        (self.disk / "filler").unlink()
        done = self.thaw(*arguments, ranks=2)
        self.assertIn("Goes on after step", done.stdout)
        self.assertEqual(len(figures(run)), 40 + 2 + 2 + 1)

    def test_the_last_good_checkpoint_is_untouched_and_the_run_goes_on_from_it(self):
        run = self.disk / "run"
        arguments = ("train", self.config, "--run-dir", run, "--checkpoint.every-steps", "5",
                     "--checkpoint.keep", "1", "--checkpoint.keep-best", "false",
                     "--checkpoint.keep-transitions", "false")
        self.thaw(*arguments)
        weights = (run / "weights.safetensors").read_bytes()
        newest = max((run / "checkpoints").iterdir())
        aside = self.folder / "aside"
        subprocess.run(["cp", "-r", str(newest), str(aside)], check=True)
        free = os.statvfs(self.disk)
        (self.disk / "filler").write_bytes(bytes(free.f_bavail * free.f_bsize - (1 << 20)))
        self.add_a_stage("more.toml")
        done = self.thaw("train", "more.toml", *arguments[2:], status=3)
        self.assertIn("No space left on device", done.stderr)
        said = self.thaw("inspect", newest).stdout
        self.assertIn("all bytes verified", said)
        (self.disk / "filler").unlink()
        self.thaw("train", "more.toml", *arguments[2:])
        self.assertNotEqual((run / "weights.safetensors").read_bytes(), weights)


class ReadOnly(SmallDiskTest):
    def mount(self, how):
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.disk)], check=True)

    def test_a_run_folder_that_cannot_be_written_is_bad_input(self):
        run = self.disk / "run"
        arguments = ("train", self.config, "--run-dir", run)
        self.mount("ro")
        self.addCleanup(self.mount, "rw")
        self.assertIn("Read-only file system", self.refused(*arguments))
        # A run that was begun there loses nothing.
        self.mount("rw")
        self.thaw(*arguments)
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        self.add_a_stage("more.toml")
        self.mount("ro")
        message = self.refused("train", "more.toml", "--run-dir", run)
        self.assertIn("Read-only file system", message)
        self.assertEqual(before, {path: path.read_bytes() for path in before})
        self.mount("rw")
        self.assertIn("Goes on after step", self.thaw("train", "more.toml", "--run-dir", run).stdout)


def on_small_disk():
    """This script again, where a tmpfs of 16 MiB may be mounted; else as it is."""
    disk = "/tmp/thaw-small-disk"
    script = (f"mkdir -p {disk} && mount -t tmpfs -o size=16m none {disk} && "
              f"THAW_SMALL_DISK={disk} exec {sys.executable} {' '.join(sys.argv)}")
    for rights in (["-m"], ["-rm"]):
        trial = ["unshare", *rights, "sh", "-c", f"mkdir -p {disk} && mount -t tmpfs none {disk}"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            os.execvp("unshare", ["unshare", *rights, "sh", "-c", script])


if __name__ == "__main__":
    require()
    if "THAW_SMALL_DISK" not in os.environ:
        on_small_disk()
    unittest.main(verbosity=2)
