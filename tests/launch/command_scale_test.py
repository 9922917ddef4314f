"""`thaw scale` from the outside: tables whose figures follow from what the runs wrote; what it
refuses; and what it leaves where it is stopped."""

import json
import os
import re
import signal
import statistics
import subprocess
import time
import tomllib
import unittest

from command_fixture import SECONDS, THAW, CommandTest, is_running, require

SCHEDULE = """
[schedule]
preset = "top-down"
learning-rate = 0.01
groups-per-stage = 2
"""
WARM_UP = 3


class Scale(CommandTest):
    def setUp(self):
        super().setUp()
        self.images(train=72)  # whole batches of 12 and of 24
        self.config = self.resnet_config(stages=SCHEDULE, extra="threads = 1\n")

    def scale(self, *arguments, **options):
        return self.thaw("scale", self.config, "--output", "sc", *arguments, **options)

    def report(self):
        return json.loads((self.folder / "sc/scaling.json").read_text(encoding="utf-8"))

    def medians(self, ranks, batch, repetition, part):
        """Of each stage of one run, from its steps after the warm-up."""
        steps = {}
        for line in self.metrics(f"sc/ranks-{ranks}-batch-{batch}-{repetition}"):
            self.assertEqual(line["samples"], batch)
            # Of each step; medians of parts need not sum to the median of the whole.
            split = sum(line["seconds"][each] for each in ("data", "compute", "communication"))
            self.assertAlmostEqual(split, line["seconds"]["total"], delta=1e-5)
            steps.setdefault(line["stage"], []).append(line["seconds"][part])
        return {stage: statistics.median(values[WARM_UP:]) for stage, values in steps.items()}

    def check_row(self, row, repetitions):
        for key, part in (("step_seconds", "total"), ("data_seconds", "data"),
                          ("compute_seconds", "compute"),
                          ("communication_seconds", "communication")):
            runs = [self.medians(row["ranks"], row["batch"], r, part)[row["stage"]]
                    for r in range(repetitions)]
            estimate = row[key]
            # Steps are written with six digits or so.
            self.assertAlmostEqual(estimate["mean"], statistics.mean(runs), delta=1e-5)
            self.assertGreaterEqual(estimate["half_width"], 0)
            self.assertLessEqual(abs(statistics.median(runs) - estimate["mean"]),
                                 estimate["half_width"] + 1e-5)
        self.assertAlmostEqual(row["samples_per_second"],
                               row["batch"] / row["step_seconds"]["mean"], delta=0.1)
        if row["ranks"] == 1:
            self.assertEqual(row["communication_seconds"]["mean"], 0)
            self.assertEqual(row["efficiency"], 1)

    def test_strong_and_weak_as_table_json_and_plot(self):
        done = self.scale("--ranks", "1,2", "--repetitions", "3", "--steps", "3")
        report = self.report()
        self.assertEqual([report["repetitions"], report["steps"], report["warm_up"]],
                         [3, 3, WARM_UP])
        strong, weak = report["tables"]
        self.assertEqual([strong["scaling"], weak["scaling"]], ["strong", "weak"])
        stages = [row["stage"] for row in strong["rows"][::2]]
        self.assertEqual(stages[0], "head")
        self.assertGreater(len(stages), 1)
        for table, batches in ((strong, [12, 12]), (weak, [12, 24])):
            self.assertEqual([row["stage"] for row in table["rows"][1::2]], stages)
            for i, row in enumerate(table["rows"]):
                self.assertEqual([row["ranks"], row["batch"]], [1 + i % 2, batches[i % 2]])
                self.check_row(row, 3)
        # One rank is the same in both, and ran once.
        self.assertEqual(strong["rows"][0], weak["rows"][0])
        self.assertEqual(done.stdout.count("] 1 rank, global batch 12"), 3)
        self.assertEqual(done.stdout.count("] 2 ranks, global batch 24"), 3)
        table = (self.folder / "sc/scaling.md").read_text(encoding="utf-8")
        self.assertIn(table, done.stdout)
        self.assertEqual(len(re.findall(r"^\| \w+ \| 2 \| 24 \| [\d.]+ ± [\d.]+ \|", table,
                                        re.MULTILINE)), len(stages))
        page = (self.folder / "sc/scaling.html").read_text(encoding="utf-8")
        self.assertEqual(page.count("<svg"), 2)
        self.assertNotIn("nan", page)
        self.assertEqual(page.count('class="line ideal" d='), 2 * len(stages))
        for label in re.findall(r'text-anchor="middle">([^<]*)</text>', page):
            if label[0].isdigit():
                self.assertIn(label, ("1", "2"))

    def test_one_rank_alone_gets_one_ranks_cores(self):
        self.config = self.resnet_config(stages=SCHEDULE)  # without train.threads
        said = self.scale("--ranks", "1,2", "--repetitions", "1", "--steps", "1",
                          "--scaling", "strong").stdout  # fmt: skip
        threads = self.report()["threads"]
        self.assertGreaterEqual(threads, 1)
        self.assertLessEqual(2 * threads, max(2, len(os.sched_getaffinity(0))))
        self.assertIn(f"Each rank computes with {threads} thread", said)
        for ranks in (1, 2):
            run = self.folder / f"sc/ranks-{ranks}-batch-12-0"
            resolved = tomllib.loads((run / "config.resolved.toml").read_text(encoding="utf-8"))
            self.assertEqual(resolved["train"]["threads"], threads)
        # Whoever gives threads has them at any number of ranks, as it was.
        self.thaw("scale", self.config, "--output", "given", "--ranks", "1", "--repetitions", "1",
                  "--steps", "1", "--scaling", "strong", "--train.threads", "3")  # fmt: skip
        given = json.loads((self.folder / "given/scaling.json").read_text(encoding="utf-8"))
        self.assertEqual(given["threads"], 3)

    def test_what_is_refused(self):
        explicit = self.resnet_config("explicit.toml")
        for config, arguments, says in (
                (self.config, ("--ranks", "1,none"),
                 "--ranks none: expected a whole number of at least 1"),
                (self.config, ("--ranks", "0"), "--ranks 0: expected a whole number"),
                (self.config, ("--ranks", "2,2"), "--ranks 2,2: expected each item once"),
                (self.config, ("--scaling", "sideways"),
                 "--scaling sideways: expected strong or weak"),
                (self.config, ("--repetitions", "0"), "--repetitions 0: expected a whole number"),
                (self.config, ("--steps", "1.5"), "--steps 1.5: expected a whole number"),
                (self.config, ("--launcher", "ssh"), "--launcher ssh: expected mpirun or srun"),
                (self.config, ("--ranks", "1,8"), "96 (weak scaling) is more than the 72 training "
                                                  "samples; lower data.batch or the ranks"),
                (self.config, ("--data.file", "none.h5"), "none.h5"),
                (explicit, (), "say which with schedule.preset")):
            with self.subTest(arguments=arguments):
                self.assertIn(says, self.refused("scale", config, "--output", "sc", *arguments))
                self.assertFalse((self.folder / "sc").exists())
        (self.folder / "sc").mkdir()
        (self.folder / "sc/kept").touch()
        self.assertIn("name another folder with --output, or delete it",
                      self.refused("scale", self.config, "--output", "sc"))

    def test_another_mpirun_may_be_named(self):
        said = self.thaw("scale", self.config, "--output", "out", "--ranks", "1", "--repetitions",
                         "1", status=3, environment={"THAW_MPIEXEC": "no-such-mpirun"}).stderr  # fmt: skip
        self.assertIn("no-such-mpirun cannot be started", said)
        self.assertIn("THAW_MPIEXEC names the mpirun to use", said)

    def test_a_failing_run_is_named_with_its_log(self):
        said = self.scale("--ranks", "1", "--repetitions", "1", "--scaling", "strong",
                          "--schedule.learning-rate", "1e30", status=3).stderr
        log = re.search(r"see (\S+\.log)", said).group(1)
        self.assertIn("the loss is", (self.folder / log).read_text(encoding="utf-8"))
        self.assertEqual(self.reports(), [])

    def reports(self):
        return [path.name for path in (self.folder / "sc").glob("scaling.*")]

    def processes_of_runs(self):
        """Of this test alone: their command lines name its folder's configuration and runs."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == str(self.folder):
                    found.append(int(entry))
            except OSError:
                continue  # it has ended, or is somebody else's
        return [pid for pid in found if is_running(pid)]

    def test_stopped_it_leaves_no_process_and_no_report(self):
        job = subprocess.Popen([THAW, "scale", self.config, "--output", "sc", "--ranks", "2",
                                "--repetitions", "9"], cwd=self.folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.addCleanup(job.kill)
        deadline = time.monotonic() + SECONDS
        # Itself, mpirun and two ranks.
        while (not list(self.folder.glob("sc/*/metrics.jsonl"))
               or len(self.processes_of_runs()) < 4):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(job.poll())
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        _, errors = job.communicate(timeout=120)
        self.assertEqual(job.returncode, 3, errors)
        self.assertIn("stopped by a signal; nothing is reported of what sc holds: delete it",
                      errors)
        self.assertEqual(self.reports(), [])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.processes_of_runs():
            time.sleep(0.05)
        self.assertEqual(self.processes_of_runs(), [])


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
