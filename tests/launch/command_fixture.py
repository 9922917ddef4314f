"""What tests of the command `thaw` share: runs it, and makes small data for it.

Needs numpy and h5py, and the environment's THAW_COMMAND (the binary) and THAW_MPIEXEC, which ctest
sets; without one of them a script that calls `require()` is skipped (status 77).
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"SKIPPED: {error}", flush=True)
    sys.exit(77)

THAW = os.environ.get("THAW_COMMAND", "")
MPIEXEC = os.environ.get("THAW_MPIEXEC", "mpiexec")
ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("THAW_TEST_DATA", ROOT.parent / "shared" / "data"))
MINILM = ROOT / "data" / "minilm"
SECONDS = 240


def require():
    if not pathlib.Path(THAW).is_file():
        print("SKIPPED: THAW_COMMAND names no file; run through ctest", flush=True)
        sys.exit(77)


def main_of_skipping():
    """unittest.main for tests that skip themselves: with status 77 where none of them ran."""
    result = unittest.main(verbosity=2, exit=False).result
    if result.wasSuccessful() and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(not result.wasSuccessful())


def two_stages(first, second):
    """The head of a small ResNet, then its last layer too; when each ends, as in `steps = 15`."""
    return f"""
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.05
until = {{ {first} }}

[[schedule.stage]]
name = "upper"
groups = ["layer3", "head"]
learning-rate = 0.01
until = {{ {second} }}
"""


def is_running(process):
    """Whether a process is there and goes on. One that has ended, whose new parent has yet to remove
    it, does not; nor does one that was killed: on a machine under load the kernel may take seconds
    to clear it away, for want of a core or of a disk that it waits for."""
    try:
        with open(f"/proc/{process}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            state, *_, flags = file.read().rpartition(")")[2].split()[:7]
    except (FileNotFoundError, ProcessLookupError):
        return False
    exiting = int(flags) & 0x4  # PF_EXITING
    pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
    return state != "Z" and not exiting and not pending >> (signal.SIGKILL - 1) & 1


class CommandTest(unittest.TestCase):
    """A test with a folder of its own, in which the command runs."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-command-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def thaw(self, *arguments, ranks=0, status=0, threads=1, environment=None):
        """Runs `thaw arguments`, under mpirun if `ranks` > 0, and expects `status`."""
        command = [THAW, *map(str, arguments)]
        if ranks:
            command = [MPIEXEC, "-n", str(ranks), *command]
        settings = dict(os.environ, OMP_NUM_THREADS=str(threads), **(environment or {}))
        done = subprocess.run(command, cwd=self.folder, env=settings, text=True,
                              capture_output=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, status,
                         f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done

    def refused(self, *arguments, ranks=0):
        """Runs a command that must end with status 2; what it said on standard error."""
        return self.thaw(*arguments, ranks=ranks, status=2).stderr

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def metrics(self, run, event="step"):
        lines = (self.folder / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def summary(self, run):
        return json.loads((self.folder / run / "summary.json").read_text(encoding="utf-8"))

    def images(self, name="images.h5", train=37, validation=10, classes=3, size=16, seed=0):
        """Byte images whose mean tells their class; train, validation and test."""
        generator = np.random.default_rng(seed)
        with h5py.File(self.folder / name, "w") as file:
            for split, count in (("train", train), ("validation", validation), ("test", 11)):
                labels = np.arange(count, dtype=np.int64) % classes
                noise = generator.integers(0, 80, (count, 3, size, size))
                group = file.create_group(split)
                group["inputs"] = (noise + labels[:, None, None, None] * 50).astype(np.uint8)
                group["labels"] = labels
            file.attrs["classes"] = [f"class {c}" for c in range(classes)]
            file.attrs["mean"] = [0.5, 0.5, 0.5]
            file.attrs["std"] = [0.25, 0.25, 0.25]
        return name

    def texts(self, name="texts.h5", train=65, validation=20, classes=5, vocabulary=30000, seed=0):
        """Random tokens in [CLS] … [SEP] of 4 to 24, the class among the first."""
        generator = np.random.default_rng(seed)
        with h5py.File(self.folder / name, "w") as file:
            for split, count in (("train", train), ("validation", validation), ("test", 13)):
                labels = np.arange(count, dtype=np.int64) % classes
                samples = [np.concatenate(([101], [2000 + 7 * label] * 2,
                                           generator.integers(1000, vocabulary, length), [102]))
                           for label, length in zip(labels, generator.integers(1, 21, count))]
                group = file.create_group(split)
                group["tokens"] = np.concatenate(samples).astype(np.int32)
                group["offsets"] = np.cumsum([0] + [len(s) for s in samples]).astype(np.int64)
                group["labels"] = labels
        return name

    def resnet_config(self, name="resnet.toml", data="images.h5", extra="", stages=None):
        """A small ResNet from scratch, two stages of one epoch."""
        stages = stages or two_stages("epochs = 1", "epochs = 1")
        self.write(name, f"""
[model]
architecture = "resnet-cifar"
depth = 20
weights = ""

[data]
file = "{data}"
batch = 12

[train]
optimizer = "sgd"
{extra}
{stages}""")
        return name

    def tiny_bert(self, layers=2, hidden=32, vocabulary=30522):
        """Hugging Face's config.json of a small BERT, to be trained from scratch."""
        self.write("config.json", json.dumps({
            "model_type": "bert", "hidden_size": hidden, "num_hidden_layers": layers,
            "num_attention_heads": 4, "intermediate_size": 2 * hidden, "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
            "max_position_embeddings": 64, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
            "initializer_range": 0.02, "vocab_size": vocabulary, "pad_token_id": 0}))

    def bert_config(self, name="bert.toml", schedule="", extra="", weights=""):
        schedule = schedule or '[schedule]\npreset = "top-down"\nlearning-rate = 1e-4'
        self.write(name, f"""
[model]
architecture = "bert"
config = "config.json"
weights = "{weights}"

[data]
file = "texts.h5"
batch = 16

[train]
{extra}

{schedule}
""")
        return name
