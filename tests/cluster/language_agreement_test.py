"""cluster/benchmarks/language_agreement.py with a small random network: Thaw beside plain PyTorch.

Needs a Python with torch and safetensors: this one, or the one that THAW_TORCH_PYTHON names.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("THAW_TORCH_PYTHON", sys.executable)
THAW = os.environ.get("THAW_COMMAND", "")


class SmallNetwork(unittest.TestCase):
    def run_script(self, *flags, status=0):
        folder = tempfile.TemporaryDirectory(prefix="thaw-agreement-")
        self.addCleanup(folder.cleanup)
        output = pathlib.Path(folder.name) / "found.json"
        done = subprocess.run(
            [PYTHON, str(ROOT / "cluster/benchmarks/language_agreement.py"), "--size", "small",
             "--thaw", THAW, "--work", folder.name, "--output", str(output), "--threads", "1",
             "--mpiexec", os.environ.get("THAW_MPIEXEC", "mpirun"), *flags],
            capture_output=True, text=True, check=False, timeout=240)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(output.read_text(encoding="utf-8"))["schedules"]

    def test_sixty_steps_of_each_schedule(self):
        found = self.run_script("--ranks", "2", "--tolerance", "1e-3")
        self.assertEqual([one["schedule"] for one in found], ["full", "top-down", "lisa"])
        for one in found:
            self.assertEqual(len(one["thaw"]["losses"]), 60)
            self.assertLess(one["thaw"]["validation"][-1], one["thaw"]["losses"][0] - 0.5)
            self.assertLess(one["largest_step"], 1e-3, one["schedule"])

    def test_a_difference_is_seen(self):
        found = self.run_script("--schedules", "full", "--steps", "3", "--tolerance", "1e-12",
                                status=1)
        self.assertGreater(found[0]["largest_validation"], 1e-12)

    def test_fewer_samples_of_validation_serve_both_sides(self):
        flags = ("--schedules", "full", "--steps", "3", "--tolerance", "1e-3")
        few = self.run_script(*flags, "--limit-validation", "7")
        every = self.run_script(*flags)
        self.assertEqual(few[0]["thaw"]["losses"], every[0]["thaw"]["losses"])
        for side in ("thaw", "pytorch"):
            self.assertNotEqual(few[0][side]["validation"], every[0][side]["validation"])


def missing():
    """Why this cannot run, or nothing."""
    if not pathlib.Path(THAW).is_file():
        return "THAW_COMMAND names no file; run through ctest"
    trial = subprocess.run([PYTHON, "-c", "import torch, safetensors, h5py"], check=False,
                           capture_output=True, text=True)
    if trial.returncode != 0:
        return (f"{PYTHON}: {trial.stderr.strip().splitlines()[-1]}; THAW_TORCH_PYTHON names a "
                "Python with torch, safetensors and h5py")
    return ""


if __name__ == "__main__":
    if reason := missing():
        print(f"SKIPPED: {reason}", flush=True)
        sys.exit(77)
    unittest.main(verbosity=2)
