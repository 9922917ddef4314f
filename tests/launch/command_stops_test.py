"""`thaw train` that is asked to stop: it saves, ends with 75, and goes on to the same bits."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import unittest
from unittest import mock

from command_fixture import MPIEXEC, THAW, CommandTest, is_running, require, two_stages

FAULTS = pathlib.Path(THAW).resolve().parent / "tests" / "launch" / "file_faults.so"
OPTIONS = ("--run-dir", "run", "--checkpoint.every-steps", "0", "--train.evaluate-every", "15")


class StopTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.images(train=200)
        self.config = self.resnet_config(stages=two_stages("steps = 15", "steps = 25"))
        self.long = self.resnet_config(name="long.toml",
                                       stages=two_stages("steps = 600", "steps = 600"))

    def start(self, prefix, *arguments, steps=5):
        """A training, caught after some steps."""
        job = subprocess.Popen([*prefix, THAW, *arguments], cwd=self.folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.addCleanup(job.kill)
        self.wait_for_steps(job, steps)
        return job

    def wait_for_steps(self, job, steps):
        log = self.folder / "run/metrics.jsonl"
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            if log.exists() and log.read_text().count('"event":"step"') >= steps:
                break
            time.sleep(0.02)
        self.assertIsNone(job.poll(), "it ended before it could be disturbed")

    def children(self, pid):
        return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True,
                              check=True).stdout.split()

    def end(self, job, status):
        out, errors = job.communicate(timeout=120)
        self.assertEqual(job.returncode, status, f"{out}\n{errors}")
        return out + errors

    def check_stopped(self, said, why):
        (step,) = re.findall(r"Stopped after step (\d+) since (?:.*)", said)
        self.assertIn(why, said)
        (saved,) = self.metrics("run", "checkpoint")[-1:]
        self.assertEqual(saved["step"], int(step))
        self.assertNotIn("problem", saved)
        self.assertFalse((self.folder / "run/weights.safetensors").exists())

    def check_goes_on(self, ranks):
        """The stopped run comes to what the undisturbed one comes to."""
        self.thaw("train", self.config, *OPTIONS, ranks=ranks)
        kept = {name: (self.folder / "run" / name).read_bytes()
                for name in ("weights.safetensors", "weights.best.safetensors")}
        losses = [(s["step"], s["loss"]) for s in self.metrics("run")]
        evaluations = [(s["step"], s["loss"]) for s in self.metrics("run", "evaluation")]
        shutil.rmtree(self.folder / "run")
        self.thaw("train", self.config, *OPTIONS, ranks=ranks)
        self.assertEqual([(s["step"], s["loss"]) for s in self.metrics("run")], losses)
        self.assertEqual([(s["step"], s["loss"]) for s in self.metrics("run", "evaluation")],
                         evaluations)
        for name, content in kept.items():
            self.assertEqual((self.folder / "run" / name).read_bytes(), content, name)
        shutil.rmtree(self.folder / "run")


class Alone(StopTest):
    def test_each_signal_saves_and_ends_with_75(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number.name):
                job = self.start([], "train", self.config, *OPTIONS)
                job.send_signal(number)
                self.check_stopped(self.end(job, 75), "a signal asked for it")
                if number != signal.SIGINT:
                    shutil.rmtree(self.folder / "run")
        self.check_goes_on(0)

    def test_a_stop_file(self):
        job = self.start([], "train", self.long, *OPTIONS)
        (self.folder / "run/stop").touch()
        self.check_stopped(self.end(job, 75), 'the file "stop" in the run folder')
        self.assertFalse((self.folder / "run/stop").exists())

    def test_the_end_of_its_time_and_of_slurms(self):
        # Longer than a quick machine takes for that time, which leaves a slow one some to begin in.
        endless = self.resnet_config(name="endless.toml",
                                     stages=two_stages("steps = 20000", "steps = 20000"))
        done = self.thaw("train", endless, *OPTIONS, "--checkpoint.time-limit", "3", status=75)
        self.check_stopped(done.stdout, "its time is nearly over")
        done = self.thaw("train", endless, *OPTIONS, status=75,
                         environment={"SLURM_JOB_END_TIME": str(int(time.time()) + 12)})
        self.check_stopped(done.stdout, "its time is nearly over")


    def test_a_clock_that_jumps_moves_no_limit_on_time(self):
        """The time of day, by a day, once the first evaluation's weights are there."""
        self.assertTrue(FAULTS.is_file(), FAULTS)
        best = self.folder / "run/weights.best.safetensors"
        jump = {"LD_PRELOAD": str(FAULTS), "THAW_CLOCK_AFTER": str(best)}
        options = (*OPTIONS[:4], "--train.evaluate-every", "5")
        done = self.thaw("train", self.config, *options, "--checkpoint.time-limit", "3600",
                         environment=jump | {"THAW_CLOCK_JUMP": "86400"})
        self.assertIn("Done:", done.stdout)
        shutil.rmtree(self.folder / "run")
        endless = self.resnet_config(name="endless.toml",
                                     stages=two_stages("steps = 20000", "steps = 20000"))
        done = self.thaw("train", endless, *options, "--checkpoint.time-limit", "4", status=75,
                         environment=jump | {"THAW_CLOCK_JUMP": "-86400"})
        self.check_stopped(done.stdout, "its time is nearly over")
        self.assertTrue(best.is_file(), "it ended before the clock jumped")


class Several(StopTest):
    def left_running(self, ranks):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(map(is_running, ranks)):
            time.sleep(0.05)
        return [pid for pid in ranks if is_running(pid)]

    def wait_until_cleared(self, ranks):
        """What was killed is really gone, whatever the machine's load."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and any(map(self.holds_resources, ranks)):
            time.sleep(0.05)
        self.assertEqual([pid for pid in ranks if self.holds_resources(pid)], [])

    def holds_resources(self, pid):
        """Whether it is there and no zombie."""
        try:
            text = (pathlib.Path("/proc") / pid / "stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return text.rpartition(")")[2].split()[0] != "Z"

    def test_usr1_to_mpirun_or_to_one_rank_stops_all_at_the_same_step(self):
        for ranks, whom in ((2, "mpirun"), (3, "rank")):
            with self.subTest(ranks=ranks, whom=whom):
                job = self.start([MPIEXEC, "-n", str(ranks)], "train", self.config, *OPTIONS)
                pid = job.pid if whom == "mpirun" else int(self.children(job.pid)[-1])
                os.kill(pid, signal.SIGUSR1)
                self.check_stopped(self.end(job, 75), "a signal asked for it")
                self.check_goes_on(ranks)

    def test_sigterm_to_plain_mpirun_leaves_the_last_checkpoint_and_no_process(self):
        job = self.start([MPIEXEC, "-n", "2"], "train", self.long, *OPTIONS[:2], *OPTIONS[4:],
                         "--checkpoint.every-steps", "3", steps=9)
        ranks = self.children(job.pid)
        job.terminate()
        _, errors = job.communicate(timeout=120)
        self.assertNotIn(job.returncode, (0, 75))
        self.assertEqual(self.left_running(ranks), [])
        self.wait_until_cleared(ranks)
        said = self.thaw("inspect", "run").stdout
        self.assertRegex(said, r"step-\d{9}: good", errors)
        done = self.thaw("train", self.long, *OPTIONS, "--checkpoint.time-limit", "1", ranks=2,
                         status=75)
        self.assertIn("Goes on after step", done.stdout)


class Launched(StopTest):
    def test_the_first_ctrl_c_saves_and_the_second_ends(self):
        job = self.start([], "launch", "-n", "2", "--", "train", self.long, *OPTIONS)
        job.send_signal(signal.SIGINT)
        self.check_stopped(self.end(job, 75), "a signal asked for it")
        job = self.start([], "launch", "-n", "2", "--", "train", self.long, *OPTIONS,
                         steps=len(self.metrics("run")) + 2)
        job.send_signal(signal.SIGINT)
        job.send_signal(signal.SIGTERM)
        job.communicate(timeout=120)
        self.assertNotEqual(job.returncode, 0)  # as it would be at the end of the training

    def test_a_dead_rank_is_restarted_from_the_last_checkpoint(self):
        job = self.start([], "launch", "-n", "2", "--restarts", "3", "--", "train", self.config,
                         *OPTIONS[:2], "--checkpoint.every-steps", "5", "--train.evaluate-every",
                         "30", steps=12)
        (mpirun,) = self.children(job.pid)
        os.kill(int(self.children(mpirun)[-1]), signal.SIGKILL)
        said = self.end(job, 0)
        self.assertRegex(said, r"ended with status 137; restart 1 of 3 in 1 s, from the checkpoint "
                               r"at step \d+")
        self.assertRegex(said, r"training again: step \d+ done \d+\.\d s after")
        weights = (self.folder / "run/weights.safetensors").read_bytes()
        shutil.rmtree(self.folder / "run")
        self.thaw("train", self.config, *OPTIONS, ranks=2)
        self.assertEqual((self.folder / "run/weights.safetensors").read_bytes(), weights)

    def test_statuses_come_through_and_bad_input_is_not_restarted(self):
        self.write("broken.toml", "[model]\narchitecture = 3\n")
        for arguments, part in ((("-n", "2", "--", "train", "broken.toml"), "model.architecture"),
                                (("-n", "2", "--restarts", "2", "--", "train", self.config,
                                  "--data.file", "missing.h5"), "missing.h5"),
                                (("--", "train", self.config), "give -n N"),
                                (("-n", "2", "train", self.config), "stands behind --")):
            done = self.thaw("launch", *arguments, status=2)
            self.assertIn(part, done.stderr)
            self.assertNotIn("restart 1", done.stderr)

    def test_what_is_no_mpirun_is_named_and_not_tried_again(self):
        self.write("script", "echo no program")
        for mpirun, reason in (("no-such-mpirun", "No such file"), ("./script", "Permission")):
            with mock.patch.dict(os.environ, THAW_MPIEXEC=mpirun):
                done = self.thaw("launch", "-n", "2", "--restarts", "3", "--", "train", self.config,
                                 *OPTIONS, status=2)
            self.assertIn(f"{mpirun} cannot be started: {reason}", done.stderr)
            self.assertIn("THAW_MPIEXEC", done.stderr)
            self.assertNotIn("restart 1", done.stderr)

    def test_asked_to_stop_at_any_of_its_first_moments_it_ends_with_75(self):
        for delay in (0.05, 0.1, 0.2, 0.4):
            job = subprocess.Popen([THAW, "launch", "-n", "2", "--", "train", self.long, *OPTIONS],
                                   cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
            time.sleep(delay)
            job.send_signal(signal.SIGINT)
            said, _ = job.communicate(timeout=120)
            # Before it has begun to listen, it dies as any program does, having started nothing.
            self.assertIn(job.returncode, (75, -signal.SIGINT), f"after {delay} s: {said}")

    @unittest.skipUnless(os.geteuid() == 0, "not root")
    def test_root_need_not_ask_open_mpi_for_permission(self):
        with mock.patch.dict(os.environ):
            for name in [name for name in os.environ if name.startswith("OMPI_ALLOW_RUN_AS_ROOT")]:
                del os.environ[name]
            self.thaw("launch", "-n", "2", "--oversubscribe", "--", "train", self.config, *OPTIONS)
        self.assertEqual(self.summary("run")["ranks"], 2)

    def test_it_gives_up_where_nothing_goes_forward(self):
        done = self.thaw("launch", "-n", "2", "--restarts", "9", "--", "train", self.config,
                         "--run-dir", "run", "--train.optimizer", "sgd",
                         "--schedule.stage.head.learning-rate", "1e30", status=3)
        self.assertEqual(done.stderr.count("; restart "), 2, done.stderr)
        self.assertIn("gave up after 2 restarts", done.stderr)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
