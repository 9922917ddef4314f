"""Benchmarks of what is told or decided beforehand, without runs: prices, memory, scaling
that is simulated, whether outputs of frozen layers are cached."""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import tomllib
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "cluster", "benchmarks"))

try:
    import memory_forecast
    import predicted_price
    import prefix_decisions
    from measuring import case_series, datasets, processes, simulations
    from measuring.step_job import Stage
except ImportError as error:
    print(f"SKIPPED: {sys.executable}: {error}")
    sys.exit(77)


class MemoryForecast(unittest.TestCase):
    SAID = """\
stage  program  weights    gradi-  optimizer    activa-  buffers       sum
                             ents      state      tions
s0      160 MB    90 MB   14.2 MB    28.4 MB    35.0 MB  21.0 MB    349 MB
s1      160 MB    90 MB     90 MB     182 MB     120 MB  21.0 MB  1.05 GB
  of memory on each of 2 ranks (the largest)
"""

    def test_reads_what_check_says(self):
        told = memory_forecast.told_in(self.SAID, ["s0", "s1", "s2"])
        self.assertEqual(list(told), ["s0", "s1"])
        self.assertEqual(told["s1"]["sum"], 1.05e9)
        self.assertEqual(told["s0"]["gradients"], 14.2e6)

    def test_told_too_little_or_too_much_does_not_hold(self):
        self.assertEqual(memory_forecast.judged(104e6, 100e6), ["1.040", "yes"])
        self.assertEqual(memory_forecast.judged(99e6, 100e6)[1], "NO")
        self.assertEqual(memory_forecast.judged(106e6, 100e6)[1], "NO")

    def test_a_run_that_failed_is_a_row(self):
        stages = [Stage("all", ["*"])]
        results = {"none": {"problem": "ended with status 3"},
                   "gradients": {"told": {"all": {"sum": 104e6, "gradients": 6e6, "state": 12e6}},
                                 "took": {"all": 100e6}, "active": {"all": 3000000}}}  # fmt: skip
        text = memory_forecast.table(stages, results, ranks=2)
        self.assertIn("ended with status 3", text)
        self.assertIn("1.040", text)
        self.assertIn("1.000", text)


class Simulations(unittest.TestCase):
    DOCTOR = (
        "  sum of 1.0 MB over 2 ranks: 99.00 ms, 10.6 MB/s a rank\n"
        "  sum of 8.4 MB over 2 ranks: 800.00 ms, 10.5 MB/s a rank\n"
        "  sum of 33.6 MB over 2 ranks: 3200.00 ms, 10.5 MB/s a rank\n"
        "nothing is wrong\n"
    )

    def test_speed_is_the_difference_of_two_sums(self):
        self.assertAlmostEqual(simulations.seconds_a_byte(self.DOCTOR), 1 / (10 * 2**20))
        with self.assertRaises(ValueError):
            simulations.seconds_a_byte("nothing is wrong")

    def test_links_follow_from_what_hosts_do(self):
        limit = 100e6 / 8 * 1448 / 1514
        one_way, both_ways = simulations.links(2, 100, 1 / 7e6, 1 / 7e6)
        self.assertEqual(one_way, limit)
        self.assertAlmostEqual(both_ways, 7e6, delta=1)
        self.assertEqual(simulations.links(2, 100, 1 / 7e9, 1 / 7e9), (limit, limit))
        # Three halves of the bytes both ways, and three halves one way.
        one_way, both_ways = simulations.links(3, 100, 1 / 6e6, 1.5 / 6e6 + 1.5 / 10e6)
        self.assertAlmostEqual(one_way, 10e6, delta=1)
        self.assertAlmostEqual(both_ways, 6e6, delta=1)
        self.assertEqual(simulations.links(3, 100, 1 / 6e6, 1 / 6e6)[0], limit)
        self.assertAlmostEqual(simulations.links(4, 100, 1 / 6e6, 1.5 / 5e6)[1], 5e6, delta=1)

    def test_a_description_says_what_the_hosts_carry(self):
        described = tomllib.loads(simulations.network(100, 11_000_000.4, 7e6))
        self.assertEqual(described["between"]["bandwidth"], 11_000_000)
        self.assertEqual(described["between"]["both-ways"], 7_000_000)
        self.assertEqual(described["between"]["burst"], 262144)
        self.assertIn("100 Mbit/s", described["name"])

    def test_costs_are_averaged_number_by_number(self):
        def costs(seconds: float, memory: int) -> dict:
            return {"stages": [{"stage": "head", "step_fixed": seconds, "by_rows": True,
                                "shape": [3, 4], "memory": memory}]}  # fmt: skip

        mean = simulations.averaged([costs(1.0, 10), costs(3.0, 12)])
        self.assertEqual(mean, costs(2.0, 11))
        self.assertIsInstance(mean["stages"][0]["memory"], int)

    def test_errors_are_of_what_was_measured(self):
        self.assertAlmostEqual(simulations.error(2.0, 2.1), 0.05)
        self.assertEqual(
            simulations.summary([0.05, -0.1, 0.01], 0.08),
            "3 points: off by 5.0 % (median), 10.0 % (worst); 2 within 8 %",
        )


class PredictedPrice(unittest.TestCase):
    def given(self, *flags):
        before, sys.argv = sys.argv, ["predicted_price.py", *flags]
        try:
            return predicted_price.parse()
        finally:
            sys.argv = before

    def row(self, step, memory=200):
        price = {"steps": 20, "step_seconds": step, "steps_seconds": 25.0, "seconds": 33.0,
                 "peak_memory_bytes": memory, "bytes_reduced_per_step": 8,
                 "bytes_are_exact": True, "interpolated": False}  # fmt: skip
        run = {"name": "head", "seconds": 30.0, "peak_memory_bytes": 100,
               "bytes_reduced_per_step": 8}  # fmt: skip
        return predicted_price.compared(price, run, [2.0] * predicted_price.SETTLED + [1.0] * 6)

    def case(self, *rows):
        return {"family": "bert", "schedule": "full", "ranks": 1, "precision": "float32",
                "told": {"probe_seconds": 8, "seconds": 90}, "summary": {"seconds": 100},
                "rows": list(rows)}  # fmt: skip

    def test_any_first_cases_have_some_of_everything(self):
        cases = predicted_price.grid(self.given())
        self.assertEqual(len({predicted_price.name_of(case) for case in cases}), len(cases))
        self.assertEqual({case["family"] for case in cases[:4]}, set(predicted_price.FAMILIES))
        self.assertEqual({case["ranks"] for case in cases[:8]}, {1, 2})
        quick = predicted_price.grid(self.given("--quick"))
        self.assertEqual([len(quick), {case["schedule"] for case in quick}], [4, {"top-down"}])

    def test_what_is_told_beside_what_was_run(self):
        row = self.row(step=0.9)
        self.assertAlmostEqual(row["step_error"], -0.1)  # first steps are no typical ones
        self.assertAlmostEqual(row["steps_error"], 25 / 34 - 1)
        self.assertAlmostEqual(row["stage_error"], 0.1)
        text = predicted_price.verdict([self.case(self.row(1.02), self.row(0.8, memory=90))])
        self.assertIn("a step: median 11.0 %, worst -20.0 % (bert-full-1-float32, head), within "
                      "10 %: 1 of 2; on average -9.0 %", text)  # fmt: skip
        self.assertIn("a run: median 10.0 %, worst -10.0 %", text)
        self.assertIn("under in 1", text)
        self.assertIn(" -20.0 |", predicted_price.table([self.case(self.row(0.8))]))

    def test_a_case_that_fails_loses_no_other(self):
        kept = []

        def run(case, _):
            if case["family"] == "resnet":
                raise processes.RunFailed("it ended with 3\nand more")
            return {**self.case(self.row(1.0), self.row(1.0)), **case}

        self.addCleanup(setattr, predicted_price, "run", predicted_price.run)
        predicted_price.run = run
        done, failed = predicted_price.measure(
            self.given("--stages", "6"), lambda *so_far: kept.append([len(one) for one in so_far])
        )
        self.assertEqual([case["family"] for case in done], ["bert", "vit", "llama"])
        self.assertEqual([case["error"] for case in failed], ["RunFailed: it ended with 3\nand more"])
        self.assertEqual(kept, [[1, 0], [1, 1], [2, 1], [3, 1]])
        none, _ = predicted_price.measure(self.given("--minutes", "1e-9"), lambda *_: None)
        self.assertEqual(none, [])


class PrefixDecisions(unittest.TestCase):
    TEXT = ("frozen groups take 2.5 ms a sample, 3584 samples to come: 8.96 s without, 500 ms with")

    def setUp(self):
        self.addCleanup(setattr, prefix_decisions, "note", prefix_decisions.note)
        prefix_decisions.note = lambda line: None

    def given(self, *flags):
        before, sys.argv = sys.argv, ["prefix_decisions.py", *flags]
        try:
            return prefix_decisions.parse()
        finally:
            sys.argv = before

    def line(self, used, text, split="train"):
        return {"event": "prefix-cache", "split": split, "used": used, "text": text}

    def runs(self, off, on, auto, chosen):
        said = {"chosen": chosen, "said": "why", "told": [3.0, 1.0]}
        return {"off": [{"seconds": off, "chosen": "off", "said": ""}],
                "on": [{"seconds": on, "chosen": "on", "said": ""}],
                "auto": [{"seconds": auto, **said}]}  # fmt: skip

    def case(self, *runs):
        made = self.runs(*runs)
        return {"family": "bert", "trained": "head", "epochs": 2, "runs": made,
                **prefix_decisions.judged(made)}  # fmt: skip

    def test_any_first_cases_have_some_of_everything(self):
        cases = prefix_decisions.grid(self.given())
        self.assertEqual(len({prefix_decisions.name_of(case) for case in cases}), 40)
        self.assertEqual({case["family"] for case in cases[:4]}, set(prefix_decisions.FAMILIES))
        self.assertGreaterEqual(len({case["trained"] for case in cases[:4]}), 3)
        self.assertEqual({case["epochs"] for case in cases[:8]}, {1, 2, 4})
        self.assertEqual(len(prefix_decisions.grid(self.given("--quick"))), 3)

    def test_what_is_before_the_trained_groups_is_frozen(self):
        def groups(family, trained):
            return prefix_decisions.groups_of({"family": family, "trained": trained})

        self.assertEqual(groups("minilm", "head"), ["head"])
        self.assertEqual(groups("minilm", "upper"), ["encoder.4", "encoder.5", "head"])
        self.assertEqual(groups("llama", "half"),
                         ["layers.3", "layers.4", "layers.5", "norm", "head"])
        self.assertEqual(groups("resnet", "all but the first"),
                         ["layer1", "layer2", "layer3", "head"])

    def test_a_case_as_a_configuration(self):
        with tempfile.TemporaryDirectory() as work:
            given = self.given("--work", work, "--steps", "2")
            for case in prefix_decisions.grid(given)[:4]:
                folder, config = prefix_decisions.configure(case, "on", given)
                with open(config, "rb") as stream:
                    parsed = tomllib.load(stream)
                (stage,) = parsed["schedule"]["stage"]
                self.assertEqual(stage["until"], {"epochs": case["epochs"]})
                self.assertEqual(parsed["train"]["prefix-cache"], "on")
                self.assertTrue(parsed["train"]["prefix-cache-folder"].startswith(folder))
                self.assertEqual(datasets.splits(parsed["data"]["file"]), ["train"])
                self.assertEqual("config" in parsed["model"], case["family"] != "resnet")

    def test_the_decision_is_what_the_log_says(self):
        self.assertEqual(prefix_decisions.decision([])["chosen"], "off")
        validation = self.line(True, "reads", split="validation")
        read = self.line(True, f"made and reads the outputs of encoder.5 (1 MB); {self.TEXT}")
        found = prefix_decisions.decision([validation, read])
        self.assertEqual([found["chosen"], found["told"]], ["on", [8.96, 0.5]])
        refused = self.line(False, f"not used: it would not pay: {self.TEXT}")
        self.assertEqual(prefix_decisions.decision([refused])["chosen"], "off")
        bits = self.line(False, "not used: in float32 on this processor")
        self.assertIsNone(prefix_decisions.decision([bits])["chosen"])

    def test_right_is_the_faster_way_or_one_as_good(self):
        judged = prefix_decisions.judged
        self.assertTrue(judged(self.runs(4.0, 2.0, 2.1, "on"))["right"])
        self.assertFalse(judged(self.runs(4.0, 2.0, 4.0, "off"))["right"])
        self.assertFalse(judged(self.runs(2.0, 2.1, 2.1, "on"))["right"])
        self.assertTrue(judged(self.runs(2.0, 2.03, 2.1, "on"))["right"])
        self.assertIsNone(judged(self.runs(4.0, 2.0, 4.0, None))["right"])
        several = self.runs(4.0, 2.0, 4.0, "off")
        several["auto"] += self.runs(0, 0, 2.0, "on")["auto"] * 2
        self.assertTrue(judged(several)["right"])
        self.assertAlmostEqual(judged(several)["cost"], -0.5)

    def test_wrong_ones_are_told_with_both_times(self):
        cases = [self.case(4.0, 2.0, 2.1, "on"), self.case(4.0, 2.0, 4.4, "off"),
                 self.case(2.0, 2.02, 2.0, "off"), self.case(4.0, 2.0, 4.0, None)]  # fmt: skip
        text = prefix_decisions.verdict(cases)
        self.assertIn("right in 2 of 3 cases, 67 % (wanted 95 %: NO)", text)
        self.assertIn("of the 2 whose two ways differ by 2 % or more in 1: reading is faster in 2",
                      text)
        self.assertIn("worst +10.0 % (bert, head, 2); more than 2 % slower in 1", text)
        self.assertIn("1 were not decided by cost", text)
        self.assertIn("wrong: bert, head, 2: chose off; off 4.00 s, on 2.00 s", text)
        self.assertIn("+2.00 / +2.00", prefix_decisions.table(cases))

    def test_close_cases_are_run_again_and_a_failure_loses_no_other(self):
        begun, kept = [], []

        def run(case, side, _):
            if case["family"] == "resnet":
                raise processes.RunFailed("it ended with 3\nand more")
            begun.append((case["family"], side))
            seconds = {"off": 2.0, "on": 1.0 if case["family"] == "bert" else 2.1, "auto": 2.0}
            return {"seconds": seconds[side], "chosen": "off", "said": ""}

        self.addCleanup(setattr, prefix_decisions, "run", prefix_decisions.run)
        prefix_decisions.run = run
        given = self.given("--cases", "4", "--again", "1")
        done, failed = prefix_decisions.measure(
            given, lambda *so_far: kept.append([len(one) for one in so_far])
        )
        self.assertEqual([case["family"] for case in done], ["bert", "llama", "minilm"])
        self.assertEqual([len(case["runs"]["off"]) for case in done], [1, 2, 2])
        self.assertEqual([case["error"] for case in failed],
                         ["RunFailed: it ended with 3\nand more"])
        self.assertEqual(kept[:4], [[1, 0], [1, 1], [2, 1], [3, 1]])
        self.assertEqual([side for _, side in begun[:6]],
                         ["off", "on", "auto", "auto", "off", "on"])
        none, _ = prefix_decisions.measure(self.given("--minutes", "1e-9"), lambda *_: None)
        self.assertEqual(none, [])


class CaseSeries(unittest.TestCase):
    FAILED = {"name": "second", "error": "RunFailed: it ended with 3\nand more"}

    def run_of(self, done: list, failed: list) -> tuple[int, dict, str]:
        """Its status, and what it left in its files."""
        with tempfile.TemporaryDirectory() as folder:
            output = os.path.join(folder, "cases.json")
            given = argparse.Namespace(thaw=sys.executable, threads=1, output=output)

            def measure(_, keep):
                keep(done, failed)
                return done, failed

            parts = (lambda cases: f"{len(cases)} rows", lambda cases: "a verdict")
            status = 0
            with contextlib.redirect_stdout(io.StringIO()):
                try:
                    case_series.run("# Title", given, measure, parts, lambda case: case["name"])
                except SystemExit as end:
                    status = end.code
            with open(output) as kept, open(os.path.join(folder, "cases.md")) as text:
                return status, json.load(kept), text.read()

    def test_tells_of_all_and_of_what_failed(self):
        status, kept, text = self.run_of([{"name": "first"}], [self.FAILED])
        self.assertEqual(status, 1)
        self.assertEqual((kept["cases"], kept["failed"]), ([{"name": "first"}], [self.FAILED]))
        self.assertEqual(text, "1 rows\n\na verdict\nfailed: second: RunFailed: it ended with 3\n")

    def test_ends_well_where_all_came_to_their_ends(self):
        status, _, text = self.run_of([{"name": "first"}], [])
        self.assertEqual((status, text), (0, "1 rows\n\na verdict\n"))

    def test_no_case_is_no_end(self):
        status, _, text = self.run_of([], [])
        self.assertEqual((status, text), (1, "no case came to its end\n"))


if __name__ == "__main__":
    unittest.main()
