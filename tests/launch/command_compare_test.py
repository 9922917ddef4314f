"""`thaw compare` from the outside, and what it measures: operations, subsets, retention."""

import json
import re
import unittest

from command_fixture import MPIEXEC, CommandTest, require

SCHEDULE = """
[schedule]
preset = "full"
learning-rate = 0.02
total-epochs = 2
"""


class Compare(CommandTest):
    def config(self, **options):
        self.images()
        return self.resnet_config(stages=SCHEDULE, **options)

    def compare(self, config, *arguments, **options):
        return self.thaw("compare", config, "--output", "cmp", *arguments, **options)

    def comparison(self):
        return json.loads((self.folder / "cmp/comparison.json").read_text(encoding="utf-8"))

    def test_runs_measures_and_goes_on_where_it_was(self):
        config = self.config()
        arguments = ("--schedules", "full,head-only", "--seeds", "2")
        done = self.compare(config, *arguments)
        self.assertEqual(done.stdout.count("] full, seed"), 2 + 2 * 2)  # runs, two splits each
        [table] = self.comparison()["fractions"]
        full, head = table["rows"]
        self.assertEqual([full["schedule"], head["schedule"]], ["full", "head-only"])
        self.assertEqual(full["seeds"], [0, 1])
        for row in (full, head):
            self.assertEqual(row["samples"]["mean"], 74)
        self.assertGreater(full["flops"]["mean"], 2 * head["flops"]["mean"])
        self.assertEqual(len(table["differences"]), 1)
        summary = self.summary("cmp/runs/full/seed-1")
        self.assertEqual(summary["flops"], table["runs"][1]["flops"])
        page = (self.folder / "cmp/comparison.html").read_text(encoding="utf-8")
        self.assertIn("<svg", page)
        self.assertNotIn("nan", page)
        # A run that did not end is made anew, the others are not touched.
        before = (self.folder / "cmp/runs/head-only/seed-0/summary.json").stat().st_mtime_ns
        (self.folder / "cmp/runs/full/seed-0/summary.json").unlink()
        done = self.compare(config, *arguments)
        self.assertIn("3 of 4 runs are there already", done.stdout)
        self.assertEqual((self.folder / "cmp/runs/head-only/seed-0/summary.json").stat().st_mtime_ns,
                         before)

    def test_chooses_rates_and_keeps_to_a_budget_of_operations(self):
        config = self.config()
        done = self.compare(config, "--schedules", "full,head-only", "--seeds", "1",
                            "--learning-rates", "1e-9,0.05", "--budget", "flops",
                            "--parallel", "2")
        [table] = self.comparison()["fractions"]
        full, head = table["rows"]
        self.assertEqual(full["learning_rate"], 0.05)
        # Epochs are whole steps, so the budgets differ by less than a step of the costlier one.
        self.assertAlmostEqual(head["flops"]["mean"] / full["flops"]["mean"], 1, delta=0.15)
        self.assertGreater(head["samples"]["mean"], 2 * full["samples"]["mean"])
        self.assertRegex(done.stdout, r"head-only: \d+\.\d+ epochs for the budget")
        self.assertNotIn("seconds to target", done.stdout)
        # Nor does a report that is only made anew have times.
        done = self.compare(config, "--schedules", "full,head-only", "--seeds", "1",
                            "--learning-rates", "1e-9,0.05", "--budget", "flops")
        self.assertFalse(self.comparison()["timed"])
        self.assertNotIn("seconds to target", done.stdout)

    def test_runs_beside_each_other_share_the_cores_unless_threads_are_configured(self):
        for extra, threads in (("", None), ("threads = 3\n", 3)):
            with self.subTest(extra=extra):
                config = self.config(extra=extra)
                self.thaw("compare", config, "--schedules", "full,head-only", "--seeds", "1",
                          "--parallel", "2", "--output", f"cmp-{threads}")
                resolved = (self.folder / f"cmp-{threads}/runs/full/seed-0/config.resolved.toml")
                (used,) = re.findall(r"^threads = (\d+)$", resolved.read_text(encoding="utf-8"),
                                     re.MULTILINE)
                self.assertGreater(int(used), 0)  # 0 would be all cores for each
                if threads:
                    self.assertEqual(int(used), threads)

    def test_another_mpirun_may_be_named(self):
        """By a path or a name; one that is none is told with the variable."""
        config = self.config()
        arguments = ("--schedules", "head-only", "--seeds", "1", "--ranks", "2")
        log = self.folder / "asked"
        stand_in = self.write("my-mpirun", f'#!/bin/sh\necho "asked: $*" >> {log}\nexec {MPIEXEC} "$@"\n')
        stand_in.chmod(0o755)
        self.compare(config, *arguments, environment={"THAW_MPIEXEC": str(stand_in)})
        asked = log.read_text(encoding="utf-8").splitlines()
        self.assertTrue(asked)
        for line in asked:
            self.assertTrue(line.startswith("asked: -n 2 "), line)
        said = self.thaw("compare", config, "--output", "other", *arguments, status=3,
                         environment={"THAW_MPIEXEC": "no-such-mpirun"}).stderr  # fmt: skip
        self.assertIn("no-such-mpirun cannot be started", said)
        self.assertIn("THAW_MPIEXEC names the mpirun to use", said)

    def test_fractions_narrow_the_training_data(self):
        config = self.config()
        self.compare(config, "--schedules", "head-only", "--seeds", "1", "--fractions", "0.5,1")
        half, whole = self.comparison()["fractions"]
        self.assertEqual(half["fraction"], 0.5)
        self.assertEqual(whole["rows"][0]["samples"]["mean"], 74)
        self.assertEqual(half["rows"][0]["samples"]["mean"], 2 * 19)  # 7, 6 and 6 of the classes

    def test_by_another_metric(self):
        """Where less is better the least is best, for rates as for schedules."""
        config = self.config()
        self.compare(config, "--schedules", "head-only,full", "--seeds", "2", "--learning-rates",
                     "0.001,0.05", "--metric", "loss")
        said = self.comparison()
        self.assertEqual((said["metric"], said["lower_is_better"]), ("loss", True))
        [table] = said["fractions"]
        for row in table["rows"]:
            tried = {rate: self.metrics(f"cmp/runs/{row['schedule']}/rate-{rate:g}/seed-2",
                                        "evaluation")[-1]["loss"] for rate in (0.001, 0.05)}
            self.assertEqual(row["learning_rate"], min(tried, key=tried.get))
            losses = [run["test_loss"] for run in table["runs"]
                      if run["schedule"] == row["schedule"]]
            self.assertAlmostEqual(row["loss"]["mean"], sum(losses) / 2, places=12)
        least = min(table["rows"], key=lambda row: row["loss"]["mean"])["schedule"]
        self.assertEqual(table["verdict"]["best"], least)
        text = (self.folder / "cmp/comparison.md").read_text(encoding="utf-8")
        heading = next(line for line in text.splitlines() if "area under" in line)
        self.assertEqual([cell.strip() for cell in heading.split("|") if "loss" in cell],
                         ["loss", "area under validation loss", "loss gap"])
        # By a metric of the task.
        self.compare(config, "--schedules", "head-only,full", "--seeds", "2", "--learning-rates",
                     "0.05", "--metric", "macro-f1")
        said = self.comparison()
        self.assertEqual((said["metric"], said["lower_is_better"]), ("macro-f1", False))
        [table] = said["fractions"]
        for run in table["runs"]:
            run_folder = self.folder / "cmp/runs" / run["schedule"] / "rate-0.05"
            measured = json.loads((run_folder / f"seed-{run['seed']}/evaluation.test.json")
                                  .read_text(encoding="utf-8"))
            self.assertEqual(run["macro_f1"], measured["macro_f1"])

    def test_what_is_refused(self):
        config = self.config()
        for arguments, says in (
                (("--metric", "accurcy"), "--metric accurcy: this task has loss, accuracy, macro-f1; "
                 "did you mean accuracy?"),
                (("--schedules", "full,sideways"), "sideways"),
                (("--schedules", "full,full"), "--schedules full,full: expected each item once"),
                (("--schedules", ","), "--schedules ,: expected a comma-separated list"),
                (("--seeds", "0"), "--seeds 0: expected a whole number of at least 1, at most 10000"),
                (("--ranks", "9223372036854775807"), "of at least 1, at most 65536"),
                (("--parallel", "1025"), "of at least 1, at most 1024"),
                (("--learning-rates", "1e31"), "expected a number above 0, at most 1e+30"),
                (("--fractions", "0.5,2"), "--fractions 2: expected a number above 0, at most 1"),
                (("--budget", "joules"), "expected samples, seconds or flops"),
                (("--budget", "seconds", "--parallel", "2"), "use --parallel 1"),
                (("--train.seed", "3"), "compare sets it itself"),
                (("--schedule.total-epochs", "0"), "set schedule.total-epochs")):
            self.assertIn(says, self.refused("compare", config, "--output", "cmp", *arguments))
        self.assertFalse((self.folder / "cmp").exists())

    def test_a_folder_belongs_to_one_request(self):
        config = self.config()
        self.compare(config, "--schedules", "head-only", "--seeds", "1")
        message = self.refused("compare", config, "--output", "cmp", "--schedules", "head-only",
                               "--train.momentum", "0.5")
        self.assertIn("another configuration", message)
        message = self.refused("compare", config, "--output", ".", "--schedules", "head-only")
        self.assertIn("holds no comparison", message)

    def test_a_failing_run_is_named_with_its_log(self):
        config = self.config()
        message = self.thaw("compare", config, "--output", "cmp", "--schedules", "full", "--seeds",
                            "1", "--schedule.learning-rate", "1e30", status=3).stderr
        log = re.search(r"see (\S+\.log)", message).group(1)
        self.assertIn("the loss is", (self.folder / log).read_text(encoding="utf-8"))


class Retention(CommandTest):
    def test_the_source_task_is_measured_at_each_boundary(self):
        self.images("source.h5", classes=4, seed=1)
        source = self.resnet_config("source.toml", data="source.h5", stages=SCHEDULE)
        self.thaw("train", source, "--run-dir", "source")
        known = json.loads(self.thaw(
            "evaluate", source, "--weights", "source/weights.safetensors", "--split", "validation"
        ).stdout)
        self.images()
        target = self.resnet_config("target.toml", extra="""
[retention]
data = ["source.h5"]
weights = "source/weights.safetensors"
samples = 20
""")
        for ranks in (1, 3):
            run = f"run{ranks}"
            self.thaw("train", target, "--model.weights", "source/weights.safetensors",
                      "--run-dir", run, ranks=ranks)
            before, head, after = self.metrics(run, "retention")
            self.assertAlmostEqual(before["loss"], known["loss"], delta=1e-5)
            self.assertEqual(before["accuracy"], known["accuracy"])
            self.assertAlmostEqual(head["loss"], known["loss"], delta=1e-5)
            self.assertEqual(head["groups"]["layer3"]["distance"], 0)
            self.assertGreater(after["groups"]["layer3"]["distance"], 0)
            self.assertEqual(after["groups"]["layer2"]["distance"], 0)
            self.assertAlmostEqual(after["groups"]["layer2"]["similarity"], 1, delta=1e-6)
            retention = self.summary(run)["retention"]
            self.assertAlmostEqual(retention["forgetting"],
                                   before["accuracy"] - after["accuracy"])

    def test_what_is_refused(self):
        self.images()
        (self.folder / "w").write_bytes((2).to_bytes(8, "little") + b"{}")  # holds nothing
        for extra, says in (
                ('[retention]\ndata = ["images.h5"]\n', "no weights"),
                ('[retention]\ndata = ["none.h5"]\nweights = "w"\n', "none.h5"),
                ('[retention]\ndata = ["images.h5"]\nweights = "none.safetensors"\n',
                 "none.safetensors"),
                ('[retention]\ndata = ["images.h5"]\nweights = "w"\nsplit = "trial"\n', "trial")):
            config = self.resnet_config(extra=extra)
            self.assertIn(says, self.refused("train", config, "--run-dir", "run"))
            self.assertFalse((self.folder / "run").exists())


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
