"""One job at a time holds a run folder, and one that is killed leaves nothing that holds it."""

import os
import re
import signal
import subprocess
import time
import unittest

from command_fixture import THAW, CommandTest, is_running, require, two_stages

RUN = ("--run-dir", "run", "--output.progress", "off")
# Another host, as far as a lease can tell: another name, and other numbers of processes.
ELSEWHERE = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", 'hostname node7 && exec "$@"', "sh")


class Lease(CommandTest):
    def setUp(self):
        super().setUp()
        self.images(train=200)
        self.long = self.resnet_config(name="long.toml",
                                       stages=two_stages("steps = 3000", "steps = 3000"))

    def start(self, *arguments, prefix=()):
        job = subprocess.Popen([*prefix, THAW, *arguments], cwd=self.folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.addCleanup(job.stderr.close)
        self.addCleanup(job.stdout.close)
        self.addCleanup(job.wait)
        self.addCleanup(job.kill)
        return job

    def wait_for(self, what, seconds=90):
        deadline = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def has_steps(self, run="run"):
        log = self.folder / run / "metrics.jsonl"
        return lambda: log.exists() and log.read_text().count('"event":"step"') >= 3

    def holder(self, run="run"):
        """The process that the run folder's newest lease names, and the number of the lease.

        Who takes a folder over makes its lease before it removes the one before.
        """
        lease = max((self.folder / run).glob(".lease.*"), key=lambda path: int(path.suffix[1:]))
        return (int(re.search(r"^process (\d+)$", lease.read_text(), re.M).group(1)),
                int(lease.suffix[1:]))

    def test_a_second_job_is_refused_and_a_killed_one_is_not_waited_for(self):
        job = self.start("train", self.long, *RUN)
        self.wait_for(self.has_steps())
        said = self.refused("train", self.long, *RUN)
        self.assertIn(f"run: is held by process {job.pid} on ", said)
        self.assertIn("is held by", self.refused("train", self.long, *RUN, ranks=2))
        self.assertIsNone(job.poll())
        job.kill()
        job.wait()
        for name in ("summary.json.1-a.tmp", "mine.tmp"):
            self.write(f"run/{name}", "half")
        done = self.thaw("train", self.long, *RUN, "--checkpoint.time-limit", "1", status=75)
        self.assertNotIn("watching for", done.stderr)
        self.assertEqual([p.name for p in (self.folder / "run").glob("*.tmp")], ["mine.tmp"])
        self.assertEqual(self.holder()[1], 2)

    def test_of_two_that_begin_together_one_trains(self):
        config = self.resnet_config(stages=two_stages("steps = 40", "steps = 40"))
        jobs = [self.start("train", config, *RUN) for _ in range(3)]
        self.assertEqual(sorted(job.wait() for job in jobs)[0], 0)
        self.assertLessEqual({job.returncode for job in jobs}, {0, 2})  # 0: found it finished
        steps = [line["step"] for line in self.metrics("run")]
        self.assertEqual(steps, list(range(1, 81)))

    def test_who_has_lost_its_folder_writes_nothing_more(self):
        job = self.start("train", self.long, *RUN)
        self.wait_for(self.has_steps())
        _, number = self.holder()
        other = (f"thaw-lease 1\ncount {0:020}\nstate held\nowner another\nhost node9\n"
                 "system elsewhere\nprocess 7\nstarted 1\njob \n")
        self.write(f"run/.lease.{number + 1}", other)
        _, errors = job.communicate(timeout=120)
        self.assertEqual(job.returncode, 3, errors)
        self.assertIn("is held by process 7 on node9 now", errors)
        lease = self.folder / f"run/.lease.{number + 1}"
        self.assertEqual(lease.read_text(encoding="utf-8"), other)
        self.assertFalse((self.folder / "run/summary.json").exists())

    def test_another_host_is_watched_and_one_that_was_suspended_stops_by_itself(self):
        if subprocess.run([*ELSEWHERE, "true"], capture_output=True, check=False).returncode:
            self.skipTest("namespaces are not allowed")
        job = self.start("train", self.long, *RUN, prefix=ELSEWHERE)
        self.wait_for(self.has_steps())
        holder = int(subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True,
                                    check=True).stdout)
        said = self.refused("train", self.long, *RUN)
        self.assertIn("watching for 30 s whether that lives", said)
        self.assertRegex(said, r"run: is held by process \d+ on node7, which works in it")
        os.kill(holder, signal.SIGSTOP)
        begin = time.monotonic()
        other = self.start("train", self.long, *RUN)
        self.wait_for((self.folder / "run/.lease.2").exists)
        self.assertGreater(time.monotonic() - begin, 29)
        self.wait_for(lambda: self.holder() == (other.pid, 2))
        self.wait_for(self.has_steps())
        os.kill(holder, signal.SIGCONT)
        _, errors = job.communicate(timeout=120)
        self.assertEqual(job.returncode, 3, errors)
        self.assertIn(f"is held by process {other.pid} on ", errors)
        other.terminate()
        self.assertEqual(other.wait(timeout=120), 75)
        steps = [line["step"] for line in self.metrics("run")]
        self.assertEqual(steps, list(range(1, len(steps) + 1)))

    def test_a_killed_launch_or_comparison_leaves_no_job_and_goes_on_at_once(self):
        compared = self.resnet_config(
            name="compared.toml",
            stages='[schedule]\npreset = "full"\nlearning-rate = 0.01\ntotal-epochs = 500')
        for run, command in (
                ("run", ("launch", "-n", "2", "--", "train", self.long, *RUN)),
                ("cmp/runs/full/seed-0", ("compare", compared, "--schedules", "full", "--seeds",
                                          "1", "--output", "cmp"))):
            with self.subTest(command=command[0]):
                job = self.start(*command)
                self.wait_for(self.has_steps(run))
                rank, number = self.holder(run)
                if command[0] == "compare":
                    self.assertIn(f"cmp: is held by process {job.pid} on ",
                                  self.refused(*command))
                os.kill(job.pid, signal.SIGKILL)
                self.wait_for(lambda rank=rank: not is_running(rank))
                again = self.start(*command)
                # The comparison takes it too, for as long as it clears the folder.
                taken = number + (2 if command[0] == "compare" else 1)
                self.wait_for((self.folder / run / f".lease.{taken}").exists)
                again.terminate()
                _, errors = again.communicate(timeout=120)
                self.assertEqual(again.returncode, 75, errors)
                self.assertNotIn("watching for", errors)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
