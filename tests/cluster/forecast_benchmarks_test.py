"""Benchmarks of what is told beforehand, without runs: prices, memory, simulated scaling."""

import os
import sys
import tomllib
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "cluster", "benchmarks"))

try:
    import memory_forecast
    import predicted_price
    from measuring import processes, simulations
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


if __name__ == "__main__":
    unittest.main()
