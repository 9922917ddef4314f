"""What happens to one rank alone: a file that only it lacks, a kill."""

import os
import signal
import subprocess
import time
import unittest

from command_fixture import MPIEXEC, THAW, CommandTest, is_running, require


class OneRankOnly(CommandTest):
    def run_in(self, folders, *arguments):
        """Rank i in folders[i]."""
        command = [MPIEXEC]
        for index, folder in enumerate(folders):
            command += ([":"] if index else []) + ["-n", "1", "-wdir", str(folder), THAW,
                                                   *arguments]
        return subprocess.run(command, cwd=self.folder, text=True, capture_output=True,
                              timeout=240, check=False,
                              env=dict(os.environ, OMP_NUM_THREADS="1"))

    def test_a_file_that_one_rank_lacks_is_told_once_with_its_host(self):
        self.images()
        config = self.resnet_config()
        other = self.folder / "other"
        other.mkdir()
        done = self.run_in([self.folder, other, self.folder], "train", config, "--run-dir",
                           str(self.folder / "run"))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stderr.count("images.h5"), 1, done.stderr)
        self.assertIn("rank 1", done.stderr)
        self.assertIn(os.uname().nodename, done.stderr)
        self.assertFalse((self.folder / "run").exists())

    def test_other_data_on_one_rank_is_refused(self):
        self.images()
        config = self.resnet_config()
        other = self.folder / "other"
        other.mkdir()
        (self.folder / "keep.h5").write_bytes((self.folder / "images.h5").read_bytes())
        self.images(train=38)
        (other / "images.h5").write_bytes((self.folder / "images.h5").read_bytes())
        (self.folder / "images.h5").write_bytes((self.folder / "keep.h5").read_bytes())
        done = self.run_in([self.folder, other], "train", config, "--run-dir",
                           str(self.folder / "run"))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("holds other data than on rank 0", done.stderr)


class Killed(CommandTest):
    def test_a_killed_rank_ends_the_job_with_137_and_no_process_is_left(self):
        self.images(train=6000)
        config = self.resnet_config()
        command = [MPIEXEC, "-n", "2", THAW, "train", config, "--run-dir", "run"]
        job = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True,
                               env=dict(os.environ, OMP_NUM_THREADS="1"))
        metrics = self.folder / "run/metrics.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (
                metrics.exists() and '"event":"step"' in metrics.read_text()):
            time.sleep(0.1)
        ranks = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True,
                               check=True).stdout.split()
        self.assertEqual(len(ranks), 2)
        os.kill(int(ranks[1]), signal.SIGKILL)
        _, errors = job.communicate(timeout=120)
        self.assertEqual(job.returncode, 137, errors)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(map(is_running, ranks)):
            time.sleep(0.05)
        self.assertEqual([rank for rank in ranks if is_running(rank)], [], errors)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
