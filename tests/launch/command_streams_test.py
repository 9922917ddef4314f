"""Standard streams that are closed, full or gone, and signals at any instant: no word of a run ends
it or enters a file of its own, and what was lost is told."""

import json
import os
import pathlib
import pty
import resource
import signal
import subprocess
import time
import unittest

from command_fixture import MPIEXEC, THAW, CommandTest, require, two_stages

SETTINGS = dict(os.environ, OMP_NUM_THREADS="1")
STEPS = 8


class StreamsTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.images()
        self.config = self.resnet_config(stages=two_stages("steps = 3", "steps = 5"))

    def shell(self, line, *arguments):
        """`line` in a shell, where "$@" is thaw with its arguments."""
        return subprocess.run(["bash", "-c", line, "bash", THAW, *map(str, arguments)],
                              cwd=self.folder, env=SETTINGS, capture_output=True, text=True,
                              timeout=120, check=False)

    def train(self, run="run"):
        return ("train", self.config, "--run-dir", run)

    def start(self, *command, **options):
        options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
        job = subprocess.Popen(command, cwd=self.folder, env=SETTINGS, **options)
        self.addCleanup(job.kill)
        return job

    def check_whole(self, run, *lost):
        """All steps are logged as JSON, the weights are there, and the summary tells what is lost."""
        log = (self.folder / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        events = [json.loads(line)["event"] for line in log]
        self.assertEqual(events.count("step"), STEPS)
        self.assertTrue((self.folder / run / "weights.safetensors").is_file())
        told = self.summary(run).get("output_lost", "")
        for part in lost:
            self.assertIn(part, told)
        self.assertEqual(bool(told), bool(lost), told)


class Streams(StreamsTest):
    def test_closed_full_or_without_a_reader_a_training_goes_on(self):
        for name, line, lost in (
                ("whole", '"$@"', ()),
                ("closed", 'exec "$@" <&- >&- 2>&-',
                 ("standard output", "standard error", "closed at the start")),
                ("output closed", 'exec "$@" >&-', ("standard output",)),
                ("input closed", 'exec "$@" <&-', ()),
                ("full", 'exec "$@" >/dev/full 2>&1',
                 ("standard output", "standard error", "No space left")),
                ("errors full", 'exec "$@" 2>/dev/full', ("standard error",)),
                ("no reader", '"$@" 2>/dev/null | true; exit ${PIPESTATUS[0]}',
                 ("standard output", "Broken pipe"))):
            with self.subTest(name):
                done = self.shell(line, *self.train(name))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.check_whole(name, *lost)
        self.assertEqual(len({(self.folder / name / "weights.safetensors").read_bytes()
                              for name in ("whole", "closed", "full", "no reader")}), 1)

    def test_what_is_lost_is_told_where_it_can_be(self):
        done = self.shell('"$@" >/dev/full', *self.train())
        self.assertRegex(done.stderr, r"lost: standard output: \d+ bytes \(No space left")

    def test_a_terminal_that_goes_away(self):
        ours, theirs = pty.openpty()
        job = self.start(THAW, *self.train(), stdin=theirs, stdout=theirs, stderr=theirs,
                         start_new_session=True,
                         preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        os.close(theirs)
        os.close(ours)
        self.assertEqual(job.wait(timeout=120), 0)
        self.check_whole("run", "standard output", "Input/output error")

    def test_a_result_that_cannot_be_printed_is_a_failure(self):
        self.thaw(*self.train())
        weights = ("--weights", "run/weights.safetensors", "--split", "test")
        for command in (("evaluate", self.config, *weights), ("predict", self.config, *weights),
                        ("inspect", "run"), ("schedule", self.config)):
            for to in (">/dev/full", ">&-", "| true; exit ${PIPESTATUS[0]}"):
                with self.subTest(command[0], to=to):
                    done = self.shell(f'"$@" {to}', *command)
                    self.assertEqual(done.returncode, 3, done.stderr)
                    self.assertIn("lost what could not be written: standard output", done.stderr)
            self.assertEqual(self.shell('"$@" 2>/dev/full', *command).returncode, 0)

    def test_a_limit_on_the_size_of_files_is_an_error_of_the_file(self):
        done = subprocess.run(
            [THAW, *self.train()], cwd=self.folder, env=SETTINGS, capture_output=True, text=True,
            check=False, timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("File too large", done.stderr)
        self.assertEqual(len(self.metrics("run")), STEPS)


class Signals(StreamsTest):
    def wait_for(self, condition, job):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and job.poll() is None and not condition():
            time.sleep(0.001)
        self.assertIsNone(job.poll(), "it ended before it could be disturbed")

    def wait_for_steps(self, job, run="run", event="step"):
        log = self.folder / run / "metrics.jsonl"
        self.wait_for(lambda: log.exists() and f'"event":"{event}"' in log.read_text(), job)

    def long(self, *more, run="run", steps=600):
        config = self.resnet_config(name="long.toml", stages=two_stages(f"steps = {steps}",
                                                                        f"steps = {steps}"))
        return ("train", config, "--run-dir", run, *more)

    def watches(self, job, number):
        """Whether it has a handler of the signal."""
        text = pathlib.Path(f"/proc/{job.pid}/status").read_text(encoding="utf-8")
        caught = next(line for line in text.splitlines() if line.startswith("SigCgt"))
        return int(caught.split()[1], 16) >> (number - 1) & 1

    def test_a_terminals_end_saves_unless_nohup_says_otherwise(self):
        job = self.start(THAW, *self.long(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for_steps(job)
        job.send_signal(signal.SIGHUP)
        job.send_signal(signal.SIGHUP)
        self.assertEqual(job.wait(timeout=120), 75)
        self.assertEqual(len(self.metrics("run", "checkpoint")), 1)
        job = self.start("nohup", THAW, *self.long(run="other", steps=60), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for_steps(job, "other")
        job.send_signal(signal.SIGHUP)
        self.assertEqual(job.wait(timeout=120), 0)

    def test_before_training_a_signal_ends_it_at_once_with_a_word(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            with self.subTest(signal=number.name):
                job = self.start(THAW, *self.train(), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
                self.wait_for(lambda: self.watches(job, number), job)
                job.send_signal(number)
                _, errors = job.communicate(timeout=120)
                self.assertEqual(job.returncode, 75, errors)
                self.assertIn("before training had begun", errors)
                self.assertFalse((self.folder / "run").exists())

    def test_sigterm_at_any_instant_leaves_what_the_same_command_goes_on_from(self):
        for milliseconds in (0, 20, 60, 120, 250, 400, 600, 900):
            job = self.start(THAW, *self.train(), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
            time.sleep(milliseconds / 1e3)
            job.terminate()
            self.assertIn(job.wait(timeout=120), (-signal.SIGTERM, 75, 0), milliseconds)
        self.thaw(*self.train())
        self.check_whole("run")

    def test_ctrl_c_under_mpirun_tells_what_is_safe_and_what_loses_nothing(self):
        for ranks in (1, 2):
            run = f"run-{ranks}"
            with self.subTest(ranks=ranks):
                job = self.start(MPIEXEC, "-n", str(ranks),
                                 THAW, *self.long("--checkpoint.every-steps", "2", run=run),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                self.wait_for_steps(job, run, event="checkpoint")
                job.send_signal(signal.SIGINT)
                _, errors = job.communicate(timeout=120)
                self.assertRegex(errors, r"safe is the checkpoint at step \d+, and the same "
                                         r"command goes on from there")
                self.assertIn(f"thaw launch -n {ranks} -- train", errors)
                self.assertEqual(errors.count("without time to save"), 1)

    def test_a_job_that_ends_by_itself_has_no_parting_words(self):
        job = self.start(MPIEXEC, "-n", "2", THAW, *self.long(), stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
        self.wait_for_steps(job)
        (self.folder / "run/stop").touch()
        _, errors = job.communicate(timeout=120)
        self.assertEqual(job.returncode, 75)
        self.assertNotIn("without time to save", errors)


class Surroundings(StreamsTest):
    def test_slurms_end_of_a_job_that_has_passed_is_ignored_with_a_warning(self):
        done = self.thaw(*self.train(),
                         environment={"SLURM_JOB_END_TIME": str(int(time.time()) - 100)})
        self.assertRegex(done.stderr, r"SLURM_JOB_END_TIME has passed 1\d\d s ago")
        self.check_whole("run")

    def test_variables_of_a_launcher_that_is_not_there_silence_no_command(self):
        self.thaw(*self.train())
        weights = ("--weights", "run/weights.safetensors", "--split", "train")
        for variables in ({"OMPI_COMM_WORLD_RANK": "1"}, {"PMI_RANK": "1"}, {"PMIX_RANK": "3"}):
            for command in (("check", self.config), ("schedule", self.config),
                            ("inspect", "images.h5"), ("predict", self.config, *weights)):
                with self.subTest(command[0], variables=variables):
                    self.assertGreater(len(self.thaw(*command, environment=variables).stdout), 100)
            done = self.thaw("no-such-command", environment=variables, status=2)
            self.assertIn("unknown sub-command", done.stderr)
        done = self.thaw("evaluate", self.config, *weights, status=2,
                         environment={"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"})
        self.assertIn("unset them", done.stderr)

    def test_under_mpirun_ranks_say_that_they_leave_it_to_rank_0_or_write_what_is_theirs(self):
        done = self.thaw("schedule", self.config, ranks=2)
        self.assertEqual(done.stdout, self.thaw("schedule", self.config).stdout)
        self.assertIn("rank 1: this works alone and is left to rank 0", done.stderr)
        self.thaw(*self.train())
        line = ('exec "$0" predict "$1" --weights run/weights.safetensors --split test '
                '--output $OMPI_COMM_WORLD_RANK.jsonl')
        subprocess.run([MPIEXEC, "-n", "2", "bash", "-c", line, THAW, self.config],
                       cwd=self.folder, env=SETTINGS, capture_output=True, timeout=120, check=True)
        self.assertEqual((self.folder / "0.jsonl").read_text(encoding="utf-8"),
                         (self.folder / "1.jsonl").read_text(encoding="utf-8"))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
