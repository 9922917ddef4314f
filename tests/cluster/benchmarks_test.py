"""The parts of cluster/benchmarks that need no PyTorch; forecasts have forecast_benchmarks_test.py."""

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
import types
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAKE_THAW = os.path.join(ROOT, "tests", "cluster", "fake_thaw.py")

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "cluster", "benchmarks"))

try:
    import numpy as np

    from measuring import accuracy_results, datasets, host_memory, processes, rank_series, report
    from measuring import rounds, sample_order, step_job, step_parts, thaw_command, tuning
    from measuring.sides import PAIRED, THAW, TORCH, TUNED, USUAL
    from measuring.step_job import Stage, StepJob

    import sharded_state
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

    def test_an_option_is_changed_for_a_side(self):
        def change(sections):
            sections["distributed"] = {"sharding": "optimizer"}

        result = rank_series.train(self.job, "optimizer", self.stage, change, warm_up=1)
        self.assertEqual(result["step_seconds"], [0.002, 0.003, 0.004])
        self.assertEqual(rank_series.middle([result, result], "peak_memory_bytes"), 1 << 20)
        with open(os.path.join(self.folder, "optimizer", "config.toml"), "rb") as stream:
            self.assertEqual(tomllib.load(stream)["distributed"], {"sharding": "optimizer"})

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


class HostMemory(unittest.TestCase):
    HOLDER = "import sys; held = b'x' * (100 << 20); print(flush=True); sys.stdin.read()"

    def test_of_what_was_started_meanwhile(self):
        with host_memory.Watch(seconds=0.05) as memory:
            command = [sys.executable, "-c", self.HOLDER]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            holders = [subprocess.Popen(command, **pipes) for _ in range(2)]
            for holder in holders:
                holder.stdout.readline()
            deadline = time.monotonic() + 60
            while memory.host < 200 << 20 and time.monotonic() < deadline:
                time.sleep(0.05)
            for holder in holders:
                holder.communicate()
        self.assertGreater(memory.rank, 100 << 20)
        self.assertLess(memory.rank, 180 << 20)
        self.assertGreater(memory.host, 200 << 20)
        self.assertEqual(host_memory.descendants(os.getpid()), [])


class ShardedState(unittest.TestCase):
    STAGES = [Stage("all", ["*"])]
    SIDES = ["none", "optimizer", "gradients", "ddp"]

    @staticmethod
    def run_of(step, moved, state):
        return {"step_seconds": [step, step], "bytes": [moved], "state_bytes": state,
                "active_parameters": 1000, "rank_bytes": 3 << 20, "host_bytes": 5 << 20,
                "peak_memory_bytes": 4 << 20}  # fmt: skip

    def runs(self):
        return {("all", "none"): [self.run_of(0.1, 4000, 8000)],
                ("all", "optimizer"): [self.run_of(0.104, 4000, 4040)],
                ("all", "gradients"): [self.run_of(0.12, 4008, 4000)],
                ("all", "ddp"): [{"problem": "ended with status 1"}]}  # fmt: skip

    def cells(self, text):
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]

    def test_a_side_that_failed_leaves_the_others_their_rows(self):
        rows = self.cells(sharded_state.table(self.STAGES, self.runs(), self.SIDES, ranks=2))
        self.assertEqual([row[:5] for row in rows], [
            ["all", "none", "100", "1.00", "0.0"], ["all", "optimizer", "104", "1.04", "0.0"],
            ["all", "gradients", "120", "1.20", "0.0"],
            ["all", "ddp", "ended with status 1", "", ""]])  # fmt: skip
        self.assertEqual([row[6] for row in rows], ["2.000", "1.010", "1.000", ""])
        runs = self.runs() | {("all", "none"): [{"problem": "none"}]}
        rows = self.cells(sharded_state.table(self.STAGES, runs, self.SIDES, ranks=2))
        self.assertEqual([row[2:4] for row in rows[:2]], [["none", ""], ["104", ""]])

    def test_what_is_asked_for_is_judged(self):
        rows = self.cells(sharded_state.asked(self.STAGES, self.runs(), ranks=2))
        self.assertEqual([row[-1] for row in rows], ["yes", "yes", "yes", "yes", "NO", "NO"])
        runs = self.runs() | {("all", "none"): [{"problem": "none"}]}
        rows = self.cells(sharded_state.asked(self.STAGES, runs, ranks=2))
        self.assertEqual({row[-2] for row in rows}, {"not measured"})

    def test_no_run_is_begun_when_time_is_up(self):
        late = types.SimpleNamespace(minutes=15, ends=time.monotonic() - 1)
        self.assertEqual(sharded_state.time_is_up(late), {"problem": "not run: 15 minutes are over"})
        self.assertIsNone(sharded_state.time_is_up(types.SimpleNamespace(ends=float("inf"))))


class Turns(unittest.TestCase):
    def test_ways_begin_in_turn(self):
        note, rank_series.note = rank_series.note, lambda line: None
        self.addCleanup(setattr, rank_series, "note", note)
        calls = []

        def measure(side, stage):
            calls.append(side + stage.name)
            return {"problem": "none"}

        stages = [Stage("1", ["head"]), Stage("2", ["head"])]
        runs = rank_series.take_turns(2, stages, ["a", "b", "c"], 2, measure)
        self.assertEqual(calls, ["a1", "b1", "c1", "a2", "b2", "c2",
                                 "b1", "c1", "a1", "b2", "c2", "a2"])  # fmt: skip
        self.assertEqual(len(runs["2", "c"]), 2)

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


class StepParts(unittest.TestCase):
    SHAPE = types.MappingProxyType({"shape": "2 x 3 x 4", "operations": 48, "times": 10,
                                   "seconds": 0.5, "seconds_alone": 0.03})  # fmt: skip

    def step(self, seconds=1.0, **others):
        return {"seconds": seconds, "data": 0.01, "forward": 0.2, "backward": 0.4, "reduction": 0.1,
                "optimizer": 0.1, "products": 0.3, "attention": 0.05, "limit": 0.24, **others}  # fmt: skip

    def answers(self, *steps_of_ranks):
        shapes = [dict(self.SHAPE), {**self.SHAPE, "shape": "as fast as the limit", "seconds": 0.3}]
        return [{"rank": rank, "ranks": len(steps_of_ranks), "steps": steps, "shapes": shapes}
                for rank, steps in enumerate(steps_of_ranks)]  # fmt: skip

    def test_they_add_up_to_the_step(self):
        parts = step_parts.parts_of_step([self.step(), self.step()])
        self.assertAlmostEqual(sum(parts[key] for key in step_parts.PARTS), parts["step"])
        self.assertAlmostEqual(parts["element-wise"], 0.2 + 0.4 - 0.3 - 0.05)
        self.assertAlmostEqual(parts["idle"], 0.2)

    def test_who_waits_for_the_others_is_idle(self):
        parts = step_parts.parts_of_step([self.step(reduction=0.1), self.step(reduction=0.2)])
        self.assertAlmostEqual(parts["communication"], 0.1)
        self.assertAlmostEqual(parts["idle"], 0.2)

    def test_warm_up_and_disturbed_steps_do_not_count(self):
        lengths = [50, 1, 1, 1, 1, 9, 1, 1, 0.5]
        steps = [self.step(seconds) for seconds in lengths]
        self.assertAlmostEqual(step_parts.parts_of(self.answers(steps), 1)["step"], 1)

    def test_the_limit_is_of_all_ranks(self):
        rate = step_parts.operations_per_second(self.answers([], []))
        self.assertAlmostEqual(rate, 2 * 48 / 0.03)

    def test_what_loses_most(self):
        (one,) = step_parts.slowest(self.answers([]), 3)
        self.assertEqual(one["shape"], "2 x 3 x 4")
        self.assertAlmostEqual(one["share"], 0.6)
        self.assertAlmostEqual(one["lost"], 1)

    def test_a_rank_that_wrote_nothing_is_missed(self):
        prefix = os.path.join(in_folder(self), "parts")
        for answer in self.answers([], [], [])[::2]:
            with open(f"{prefix}.{answer['rank']}.json", "w") as stream:
                json.dump(answer, stream)
        with self.assertRaisesRegex(SystemExit, r"ranks \[0, 2\]"):
            step_parts.read(prefix)


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
