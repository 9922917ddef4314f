"""The study of surgical fine-tuning, on a few images of noise: every method, with `thaw` itself."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUDIES = ROOT / "cluster" / "studies"
THAW = os.environ.get("THAW_COMMAND", "")

sys.dont_write_bytecode = True
sys.path.insert(0, str(STUDIES))

try:
    import h5py
    import intervals
    import numpy as np
    import surgical
except ImportError as error:
    print(f"SKIPPED: {sys.executable}: {error}")
    sys.exit(77)

FROM_NOTHING = """
[model]
architecture = "resnet-cifar"
depth = 8
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-3
until = { steps = 1 }
"""


class Intervals(unittest.TestCase):
    def test_are_students(self):
        # 2.78 * sqrt(2.5) / sqrt(5)
        self.assertEqual(intervals.interval([1, 2, 3, 4, 5], ".2f"), "3.00 ± 1.97")
        self.assertEqual(intervals.interval([-1, 1], "+.1f"), "+0.0 ± 12.7")


class Draw(unittest.TestCase):
    def test_has_as_many_of_each_class_and_each_image_once(self):
        labels = np.repeat(np.arange(10), 30)
        drawn = surgical.drawn(labels, 50, seed=3)
        self.assertEqual(np.bincount(labels[drawn]).tolist(), [5] * 10)
        self.assertEqual(len(set(drawn.tolist())), 50)
        self.assertEqual(drawn.tolist(), surgical.drawn(labels, 50, seed=3).tolist())
        self.assertNotEqual(drawn.tolist(), surgical.drawn(labels, 50, seed=4).tolist())


@unittest.skipUnless(pathlib.Path(THAW).is_file(), "THAW_COMMAND names no file; run through ctest")
class Study(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        source = np.random.default_rng(0)
        images = source.integers(0, 256, (100, 3, 32, 32)).astype("uint8")
        labels = np.arange(100) % 10
        (self.folder / "data").mkdir()
        for name in ("images.npz", "data/fog-5.npz"):  # corrupted already
            np.savez(self.folder / name, x=images, y=labels)
        with h5py.File(self.folder / "first.h5", "w") as file:
            file["train/inputs"], file["train/labels"] = images, labels
            for name, values in zip(("mean", "std"), surgical.MEAN_AND_STD[1::2]):
                file.attrs[name] = [float(value) for value in values.split(",")]
        (self.folder / "first.toml").write_text(FROM_NOTHING, encoding="utf-8")
        self.say([THAW, "train", "first.toml", "--data.file", "first.h5", "--run-dir", "first"])

    def say(self, command):
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}\n{done.stderr[-3000:]}")
        return done.stdout

    def study(self, *options):
        return self.say([sys.executable, STUDIES / "surgical.py", "--thaw", THAW, "--test-images",
                         "images.npz", "--weights", "first/weights.safetensors", "--depth", "8",
                         "--corruptor", "/none", "--corruptions", "fog", "--images", "20", "--epochs", "5",
                         "--batch", "8", "--seeds", "2", "--parallel", "2", "--data", "data",
                         *options])  # fmt: skip

    def test_of_all_methods(self):
        out = self.study("--rate", "1e-3", "--output", "all")
        self.assertEqual(sum(line.startswith("| ") for line in out.splitlines()), 8, out)
        report = json.loads((self.folder / "all/report.json").read_text(encoding="utf-8"))
        self.assertEqual(len(report["runs"]), 2 * len(surgical.METHODS))
        flops = {run["method"]: run["flops"] for run in report["runs"]}
        self.assertLess(flops["last layer"], flops["top-down"])
        self.assertLess(flops["top-down"], flops["full"])
        with h5py.File(next(self.folder.glob("data/*compared*.h5")), "r") as file:
            self.assertEqual([len(file[split]["labels"]) for split in ("train", "test")], [20, 80])
        # Normalisation that is kept is so in every method.
        first = self.tensors("first")
        for method in ("full", "auto-rgn"):
            after = self.tensors(f"all/compared/fog-5/{method}/rate-0.001/seed-0/run")
            changed = {name for name in first if not np.array_equal(first[name], after[name])}
            self.assertIn("conv1.weight", changed)
            self.assertEqual({name for name in changed if "bn" in name}, set())

    def test_goes_on_where_it_was_and_chooses_rates(self):
        methods = ["--methods", "full", "--norms", "trained", "--output", "some"]
        out = self.study(*methods)
        self.assertRegex(out, r"\| full \| \**0.0001: ")
        runs = sorted(self.folder.glob("some/*/*/*/*/*/run"))
        self.assertEqual(len(runs), 3 + 2)
        times = [run.stat().st_mtime_ns for run in runs]
        self.assertEqual(self.study(*methods), out)
        self.assertEqual([run.stat().st_mtime_ns for run in runs], times)
        after = self.tensors(next(str(run) for run in runs if "compared/fog-5/full" in str(run)))
        first = self.tensors("first")
        self.assertFalse(np.array_equal(first["bn1.running_mean"], after["bn1.running_mean"]))

    def tensors(self, run):
        """Of its last weights; read as numpy alone can."""
        data = (self.folder / run / "weights.safetensors").read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        types = {"F32": "<f4", "I64": "<i8"}
        return {
            name: np.frombuffer(data, types[entry["dtype"]],
                                int(np.prod(entry["shape"], dtype=int)),
                                8 + length + entry["data_offsets"][0])
            for name, entry in header.items() if name != "__metadata__"
        }  # fmt: skip


if __name__ == "__main__":
    unittest.main(verbosity=2)
