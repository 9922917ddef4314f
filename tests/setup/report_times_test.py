"""What tests/run.sh tells of the tests' times."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import report_times  # noqa: E402

RAN = """<testsuite name="tests">
<testcase name="core/schedule" time="1.5" status="run"/>
<testcase name="dist/mpi/A.B/ranks=4" time="12.5" status="fail"><failure/></testcase>
<testcase name="launch/command_gpu_test" time="0" status="notrun"/>
</testsuite>"""


class ReportTimes(unittest.TestCase):
    def test_of_those_that_ran_the_slowest_first(self):
        self.assertEqual(
            report_times.times(RAN), [(12.5, "dist/mpi/A.B/ranks=4"), (1.5, "core/schedule")]
        )

    def test_tells_who_is_over_its_budget(self):
        told = report_times.report(report_times.times(RAN)).splitlines()
        self.assertTrue(told[0].startswith("2 tests took 14 s"), told)
        self.assertEqual(told[3], "1 over their budget:")
        self.assertIn("dist/mpi/A.B/ranks=4", told[4])
        self.assertEqual(len(told), 5)
        self.assertIn("0 over", report_times.report([(1.5, "core/schedule")]))

    def test_budgets_go_by_the_first_that_fits(self):
        self.assertEqual(report_times.budget_of("launch/prepare_test"), 60)
        self.assertGreater(report_times.budget_of("launch/command_train_test"), 60)


if __name__ == "__main__":
    unittest.main()
