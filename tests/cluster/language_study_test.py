"""The study of a language model on a small random decoder: its schedules run, are paired over seeds, and
are not done again."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUDY = ROOT / "cluster" / "studies" / "language.py"
THAW = os.environ.get("THAW_COMMAND", "")

sys.dont_write_bytecode = True

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"SKIPPED: {sys.executable}: {error}")
    sys.exit(77)

NETWORK = {
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": 97,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True}  # fmt: skip
CONFIGURATION = """
[model]
architecture = "llama"
weights = "first/weights.safetensors"
config = "config.json"
[data]
file = "definitions.h5"
batch = 4
[train]
threads = 1
[checkpoint]
every-steps = -1
"""


@unittest.skipUnless(pathlib.Path(THAW).is_file(), "THAW_COMMAND names no file; run through ctest")
class Study(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name, seed in (("definitions.h5", 1), ("text.h5", 2)):
            self.prompts(name, seed)
        (self.folder / "config.json").write_text(json.dumps(NETWORK), encoding="utf-8")
        (self.folder / "study.toml").write_text(CONFIGURATION, encoding="utf-8")
        self.say([THAW, "train", self.once(), "--run-dir", "first"])

    def prompts(self, name, seed):
        draws = np.random.default_rng(seed)
        with h5py.File(self.folder / name, "w") as file:
            for split, count in (("train", 60), ("validation", 8 + seed)):
                lengths = draws.integers(4, 20, count)
                group = file.create_group(split)
                group["tokens"] = draws.integers(0, 97, lengths.sum()).astype(np.int32)
                group["offsets"] = np.cumsum([0, *lengths]).astype(np.int64)
                group["prompt_lengths"] = np.ones(count, dtype=np.int32)

    def once(self):
        """A configuration of one step, whose weights the study starts from."""
        stage = ('[[schedule.stage]]\nname = "all"\ngroups = ["*"]\nlearning-rate = 1e-3\n'
                 "until = { steps = 1 }\n")  # fmt: skip
        text = CONFIGURATION.replace("first/weights.safetensors", "") + stage
        (self.folder / "once.toml").write_text(text, encoding="utf-8")
        return "once.toml"

    def say(self, command, status=0):
        done = subprocess.run([str(each) for each in command], cwd=self.folder, capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, status, f"{command}\n{done.stdout}\n{done.stderr[-3000:]}")
        return done.stdout if status == 0 else done.stderr

    def study(self, *options, status=0):
        return self.say([sys.executable, STUDY, "--thaw", THAW, "--configuration", "study.toml", "--seeds",
                         "2", "--steps", "5", "--learning-rate", "1e-3", "--text", "text.h5", "--schedules",
                         "full,top-down,LISA 2", "--output", "out", *options], status)  # fmt: skip

    def test_goes_to_its_end_and_not_again(self):
        quick = ("--quick", "--data", "definitions.h5")  # what is left of it says so in the report
        interrupted = self.folder / "out/full-0/run"
        interrupted.mkdir(parents=True)
        (interrupted / "metrics.jsonl").write_text("", encoding="utf-8")
        out = self.study(*quick)
        rows = [line for line in out.splitlines() if line.startswith("| ")]
        self.assertEqual(len(rows), 2 + 3, out)
        self.assertIn("on 9 definitions", out)
        self.assertIn("on 10 pieces", out)
        self.assertIn("5 steps", out)
        self.assertIn("decide nothing between schedules", out)
        report = json.loads((self.folder / "out/report.json").read_text(encoding="utf-8"))
        first = {name: [run["loss"] for run in runs] for name, runs in report["runs"].items()}
        for losses in first.values():
            self.assertNotEqual(*losses)  # seeds are seen
        flops = {name: runs[0]["flops"] for name, runs in report["runs"].items()}
        self.assertLess(flops["top-down"], flops["full"])
        self.assertLess(flops["LISA 2"], flops["full"])
        drawn = [(self.folder / f"out/LISA-2-{seed}/config.toml").read_text(encoding="utf-8")
                 for seed in range(2)]  # fmt: skip
        self.assertNotEqual(*drawn)  # nor does a policy draw the same layers twice
        results = sorted(self.folder.glob("out/*/result.json"))
        self.assertEqual(len(results), 2 * 3)
        times = [result.stat().st_mtime_ns for result in results]
        self.assertEqual(self.study(*quick), out)
        self.assertEqual([result.stat().st_mtime_ns for result in results], times)
        # Neither the start nor a run of other settings is taken for one of these.
        for name in ("before.json", "full-0/result.json"):
            self.assertIn(name.split("/")[-1], self.study(*quick, "--steps", "6", status=1))
            (self.folder / "out/before.json").unlink(missing_ok=True)

    def test_refuses_what_is_not_there(self):
        said = self.study("--text", "none.h5", status=2)
        self.assertIn("none.h5: not there", said)
        self.assertIn("four stages", self.study("--steps", "3", status=2))

    def test_quick_has_defaults_that_flags_replace(self):
        said = self.study("--quick", status=2)  # its data are not made here
        self.assertIn("data/study-definitions-quick.h5: not there", said)
        said = self.study("--quick", "--steps", "3", status=2)
        self.assertIn("--steps: 3,", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
