"""Jobs on several hosts (cluster/virtual/hosts.sh): real TCP, own host names, a cable pulled."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "launch"))
from command_fixture import ROOT, THAW, CommandTest, main_of_skipping, require  # noqa: E402

HOSTS = ROOT / "cluster/virtual/hosts.sh"
DEADLINE = 3
LONG = """
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-3
until = { epochs = 1000 }
"""


class Hosts(CommandTest):
    def setUp(self):
        # Each host has a /tmp of its own.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-hosts-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.state = self.folder / "state"
        started = self.hosts("start", "--hosts", "3")
        if started.returncode == 77:
            self.skipTest(started.stderr.strip())
        self.assertEqual(started.returncode, 0, started.stderr)
        self.addCleanup(self.hosts, "stop")

    def command(self, *arguments):
        return [str(HOSTS), "--folder", str(self.state), *map(str, arguments)]

    def hosts(self, *arguments, seconds=120):
        return subprocess.run(self.command(*arguments), cwd=self.folder, text=True,
                              capture_output=True, timeout=seconds, check=False,
                              env=dict(os.environ, OMP_NUM_THREADS="1"))

    def losses(self, run):
        return [step["loss"] for step in self.metrics(run)]

    def test_three_hosts_train_as_one_does(self):
        self.images()
        config = self.resnet_config(extra='precision = "float64"')
        done = self.hosts("run", "-n", "3", THAW, "train", config, "--run-dir", "three")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.thaw("train", config, "--run-dir", "one")
        for three, one in zip(self.losses("three"), self.losses("one"), strict=True):
            self.assertAlmostEqual(three, one, delta=1e-9 * one)
        self.assertEqual(self.summary("three")["ranks"], 3)

    def test_the_doctor_sees_the_hosts_and_a_folder_that_they_do_not_share(self):
        done = self.hosts("run", "-n", "3", THAW, "doctor", "--folder", "kept")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for host in ("host1", "host2", "host3"):
            self.assertIn(host, done.stdout)
        done = self.hosts("run", "-n", "3", THAW, "doctor", "--folder", "/tmp/kept")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("rank 1 (host host2)", done.stdout)

    def test_a_pulled_cable_is_noticed_and_its_host_named(self):
        self.images()
        config = self.resnet_config(stages=LONG)
        job = subprocess.Popen(
            self.command("run", "-n", "3", THAW, "train", config, "--run-dir", "run",
                         "--distributed.hang-deadline", DEADLINE),
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.addCleanup(job.kill)
        metrics = self.folder / "run/metrics.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (metrics.exists()
                                                   and '"step"' in metrics.read_text()):
            time.sleep(0.1)
        time.sleep(1)
        self.assertEqual(self.hosts("pull", "host3").returncode, 0)
        pulled = time.monotonic()
        lines = []
        for line in job.stderr:
            lines.append(line)
            if "rank 2 (host host3)" in line:
                break
        text = "".join(lines)
        self.assertIn("rank 2 (host host3)", text)
        self.assertLess(time.monotonic() - pulled, DEADLINE + 60)  # TCP's own patience is minutes

    def test_networks_of_one_kind_are_no_matter_to_each_other(self):
        second = [str(HOSTS), "--folder", str(self.folder / "second")]

        def second_network(*arguments):
            return subprocess.run([*second, *arguments], cwd=self.folder, text=True,
                                  capture_output=True, timeout=120, check=False)

        self.addCleanup(second_network, "stop")
        started = second_network("start", "--hosts", "2")
        self.assertEqual(started.returncode, 0, started.stderr)
        self.assertEqual(second_network("pull", "host2").returncode, 0)  # not the first one's
        done = self.hosts("run", "-n", "3", "hostname")
        self.assertEqual(sorted(done.stdout.split()), ["host1", "host2", "host3"], done.stderr)
        self.assertEqual(second_network("stop").returncode, 0)
        done = self.hosts("run", "-n", "3", "hostname")
        self.assertEqual(sorted(done.stdout.split()), ["host1", "host2", "host3"], done.stderr)

    def test_a_limited_rate_is_seen(self):
        self.hosts("rate", "400")  # half of what is not remarked on
        done = self.hosts("run", "-n", "3", THAW, "doctor", "--folder", "kept")
        self.assertIn("note: ranks sum", done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    require()
    main_of_skipping()
