"""The parts of cluster/benchmarks that need no PyTorch."""

import os
import sys
import tempfile
import tomllib
import types
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAKE_THAW = os.path.join(ROOT, "tests", "cluster", "fake_thaw.py")

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "cluster", "benchmarks"))

try:
    import numpy as np

    from measuring import accuracy_results, datasets, processes, report, rounds, sample_order
    from measuring import step_job, thaw_command, tuning
    from measuring.sides import PAIRED, THAW, TORCH, TUNED, USUAL
    from measuring.step_job import Stage, StepJob
except ImportError as error:
    print(f"SKIPPED: {sys.executable}: {error}")
    sys.exit(77)


def in_folder(test: unittest.TestCase) -> str:
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    return folder.name


class SampleOrder(unittest.TestCase):
    # What KeyedPermutation(samples, keyed_hash(keyed_hash(0, seed), epoch)) answers in C++.
    # fmt: off
    IN_CPP = {
        (10, 0, 0): [5, 0, 9, 4, 3, 8, 7, 1, 2, 6],
        (10, 7, 1): [4, 9, 2, 1, 7, 0, 8, 6, 3, 5],
        (1, 3, 2): [0],
        (33, 5, 3): [29, 12, 25, 6, 21, 23, 32, 7, 0, 30, 19, 28, 3, 26, 20, 11, 18, 10, 27, 24, 31,
                     2, 9, 4, 17, 5, 15, 8, 16, 1, 13, 14, 22],
        (10003, 1, 2): [5938, 6190, 8009, 8763, 4607, 3946, 287, 5322, 6789, 3592, 2561, 1596],
    }
    # fmt: on

    def test_is_that_of_thaw(self):
        for (samples, seed, epoch), expected in self.IN_CPP.items():
            order = sample_order.epoch_order(samples, seed, epoch)
            self.assertEqual(order[: len(expected)].tolist(), expected)
            self.assertEqual(sorted(order), list(range(samples)))

    def test_batches_end_with_their_epoch(self):
        batches = sample_order.global_batches(10, 4, seed=7)
        taken = [next(batches) for _ in range(6)]
        self.assertEqual([len(batch) for batch in taken], [4, 4, 2, 4, 4, 2])
        self.assertEqual(np.concatenate(taken[3:]).tolist(), self.IN_CPP[10, 7, 1])


class ThawCommand(unittest.TestCase):
    def setUp(self):
        self.folder = in_folder(self)
        self.job = StepJob(
            model={
                **{"architecture": "bert", "weights": "w", "config": "c"},
                **{"dropout": 0.1, "attention_dropout": 0.2, "head_dropout": 0.0},
            },
            data={"file": 'a "quoted" name.h5', "batch": 32, "seed": 0},
            optimizer={"name": "adamw", "learning_rate": 1e-5, "weight_decay": 0.01},
            precision="bfloat16",
            steps=4,
            threads=2,
            work=self.folder,
            timeout=60,
            thaw=FAKE_THAW,
        )
        self.stage = Stage("+2", ["encoder.5", "head"])

    def test_a_run(self):
        result = step_job.run(self.job, THAW, self.stage)
        self.assertEqual(result["step_seconds"], [0.001, 0.002, 0.003, 0.004])
        self.assertEqual(result["peak_memory_bytes"], 1 << 20)

    def test_configuration(self):
        step_job.run(self.job, THAW, self.stage)
        with open(os.path.join(self.folder, THAW, "config.toml"), "rb") as stream:
            parsed = tomllib.load(stream)
        self.assertEqual(parsed["model"]["attention-dropout"], 0.2)
        self.assertEqual(parsed["data"]["file"], 'a "quoted" name.h5')
        self.assertEqual(parsed["train"]["precision"], "bfloat16")
        (stage,) = parsed["schedule"]["stage"]
        self.assertEqual(stage["groups"], ["encoder.5", "head"])
        self.assertEqual(stage["until"], {"steps": 4})
        self.assertEqual(stage["learning-rate"], 1e-5)

    def test_failure_shows_what_it_said(self):
        os.environ["THAW_FAKE"] = "fail"
        self.addCleanup(os.environ.pop, "THAW_FAKE")
        with self.assertRaisesRegex(processes.RunFailed, "status 1(.|\n)*this one fails"):
            step_job.run(self.job, THAW, self.stage)

    def test_seconds_without_a_total_are_the_sum(self):
        record = {"seconds": {"data": 1, "compute": 2, "communication": 3}}
        self.assertEqual(thaw_command.step_seconds(record), 6)

    def test_a_run_that_takes_too_long_is_ended(self):
        log = os.path.join(self.folder, "log")
        with self.assertRaisesRegex(processes.RunFailed, "none within 0.2 s"):
            processes.run_logged(["sleep", "60"], log, {}, timeout=0.2)


class Turns(unittest.TestCase):
    def test_sides_alternate_and_warm_up_is_left_out(self):
        calls = []

        def run(side, stage):
            calls.append((stage.name, side))
            base = 1.0 if side == THAW else 2.0
            return {
                "step_seconds": [9.0, base, base + len(calls) / 100],
                "losses": [4.3, 4.2, 4.1],
                "peak_memory_bytes": 2 << 20,
                "startup_seconds": 1.5,
            }

        stages = [Stage("a", ["head"]), Stage("b", ["head"])]
        note, rounds.note = rounds.note, lambda line: None
        self.addCleanup(setattr, rounds, "note", note)
        samples = rounds.take_turns(stages, [THAW, USUAL], 2, 1, run)
        order = [side for _, side in calls]
        self.assertEqual(order, [THAW, USUAL, THAW, USUAL, USUAL, THAW, USUAL, THAW])
        self.assertEqual(len(samples["a", THAW].step_seconds), 2)
        self.assertLess(samples["a", THAW].median(), 1.1)
        table = report.step_table(stages, samples, [THAW, USUAL])
        self.assertIn("thaw/usual", table)
        self.assertIn("2 / 2", table)
        figures = report.step_figures(stages, samples, [THAW, USUAL])
        self.assertLess(figures[0]["thaw/usual"], 0.6)


class Tuning(unittest.TestCase):
    def test_takes_the_fastest_although_one_of_its_runs_was_slow(self):
        runs = []

        def run(job, side, stage):
            runs.append(job.tuned_attention)
            eager = job.tuned_attention == "eager"
            bound = "OMP_PROC_BIND" in job.tuned_environment
            seconds = 1.0 + (0 if eager else 1) + (0 if bound else 1)
            if len(runs) == 2:  # eager's first
                seconds = 50.0
            return {"step_seconds": [99.0, seconds, seconds]}

        note, actual = tuning.note, step_job.run
        self.addCleanup(setattr, tuning, "note", note)
        self.addCleanup(setattr, step_job, "run", actual)
        tuning.note, step_job.run = lambda line: None, run
        job = StepJob({"architecture": "bert"}, {}, {}, "float32", 25, 2, "", 60)
        chosen, words = tuning.tuned(job, TUNED, Stage("all", ["head"]), steps=2, warm_up=1)
        self.assertEqual(chosen.tuned_attention, "eager")
        self.assertIn("OMP_PROC_BIND", chosen.tuned_environment)
        self.assertEqual(chosen.steps, 25)
        self.assertIn("eager attention; environment bound threads", words)


class Datasets(unittest.TestCase):
    def test_share_of_real_tokens(self):
        texts = datasets.Texts(
            np.arange(10, dtype=np.int32), np.array([0, 1, 4, 10]), np.zeros(3, np.int64)
        )
        # Padded: 2 x 3, then 1 x 6.
        share = datasets.real_share(texts, [np.array([0, 1]), np.array([2])])
        self.assertAlmostEqual(share, 10 / 12)

    def test_written_texts_read_back(self):
        path = os.path.join(in_folder(self), "a.h5")
        texts = datasets.random_texts(6, 5, classes=3).take(np.array([4, 1]))
        datasets.write_texts(path, ["x", "y", "ü"], train=texts)
        again = datasets.read_texts(path)
        self.assertEqual(again.tokens.tolist(), texts.tokens.tolist())
        self.assertEqual(again.offsets.tolist(), [0, 5, 10])
        self.assertEqual(datasets.class_names(path), ["x", "y", "ü"])
        self.assertEqual(datasets.splits(path), ["train"])


class Accuracies(unittest.TestCase):
    SETTINGS = types.MappingProxyType({"batch": 64})

    def results(self, path):
        return accuracy_results.Results(path, dict(self.SETTINGS))

    def test_report_and_going_on(self):
        path = os.path.join(in_folder(self), "a.json")
        results = self.results(path)
        for seed, (ours, theirs) in enumerate([(0.90, 0.89), (0.92, 0.925)]):
            for side, accuracy in ((THAW, ours), (TORCH, 0.91), (PAIRED, theirs)):
                figures = {"accuracy": accuracy, "loss": 1.0, "seconds": 3.0}
                results.add("top-down", side, seed, figures)
        again = self.results(path)
        self.assertTrue(again.has("top-down", PAIRED, 1))
        self.assertFalse(again.has("top-down", PAIRED, 2))
        text = accuracy_results.report(again, "# Title")
        self.assertIn("means: +0.00 points", text)
        self.assertIn("Mean difference +0.25, largest +1.00 points", text)

    def test_other_settings_are_not_mixed_in(self):
        path = os.path.join(in_folder(self), "a.json")
        self.results(path).add("t", THAW, 0, {"accuracy": 1, "loss": 0, "seconds": 1})
        with self.assertRaisesRegex(SystemExit, "other settings"):
            accuracy_results.Results(path, {"batch": 32})


if __name__ == "__main__":
    unittest.main()
