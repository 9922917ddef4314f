"""What the tests of tasks through the command share."""

import json
import signal
import subprocess
import time

import h5py
import numpy as np
from command_fixture import MPIEXEC, THAW, CommandTest, is_running

SCHEDULE = """[schedule]
preset = "top-down"
groups-per-stage = 2
learning-rate = 1e-3
stage-epochs = 2"""
CANONICAL = ("--train.reduction", "canonical", "--train.shards", "5", "--train.threads", "1")
EVERY_STEP = ("--checkpoint.every-steps", "1", "--checkpoint.keep", "100")


class TaskTest(CommandTest):
    """Texts of which the first token tells what is to be learnt."""

    def setUp(self):
        super().setUp()
        self.tiny_bert(vocabulary=3000)
        self.config = self.bert_config(schedule=SCHEDULE)

    def data(self, labels_of, name="texts.h5", attributes=None):
        """`labels_of`: from the numbers 0 to 5 that texts begin with. Returns the test labels."""
        generator = np.random.default_rng(3)
        with h5py.File(self.folder / name, "w") as file:
            for split, count in (("train", 67), ("validation", 21), ("test", 13)):
                numbers = generator.integers(0, 6, count)
                samples = [np.concatenate(([101, 500 + n], generator.integers(1000, 3000, length)))
                           for n, length in zip(numbers, generator.integers(2, 20, count))]
                group = file.create_group(split)
                group["tokens"] = np.concatenate(samples).astype(np.int32)
                group["offsets"] = np.cumsum([0] + [len(s) for s in samples]).astype(np.int64)
                labels = labels_of(numbers)
                group["labels"] = labels
            for key, value in (attributes or {}).items():
                file.attrs[key] = value
        return labels

    def multi_label(self, **options):
        """Of a number: whether it is odd, is above 2, is 5."""
        return self.data(lambda n: np.stack([n % 2, n > 2, n == 5], 1).astype(np.uint8),
                         attributes={"classes": ["odd", "large", "five"], "task": "multi-label"},
                         **options)

    def regression(self, **options):
        """Centred: the number, and its negative square."""
        return self.data(lambda n: np.stack([n - 2.5, 9 - n * n], 1).astype(np.float32) / 4,
                         attributes={"targets": ["number", "square"]}, **options)

    def train(self, run, *flags, ranks=0):
        return self.thaw("train", self.config, "--run-dir", run, *flags, ranks=ranks)

    def weights(self, run, name="weights.safetensors"):
        return (self.folder / run / name).read_bytes()

    def evaluate(self, run, *flags, ranks=0):
        found = json.loads(self.thaw("evaluate", self.config, "--weights",
                                     f"{run}/weights.safetensors", *flags, ranks=ranks).stdout)
        found.pop("seconds")
        return found

    def predict(self, run, split="test"):
        done = self.thaw("predict", self.config, "--weights", f"{run}/weights.safetensors",
                         "--split", split)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["index"] for line in lines], list(range(len(lines))))
        return lines

    def expect_whole_life(self, metrics):
        """What holds of any task: returns a run's figures on the test split."""
        self.thaw("check", self.config)
        self.train("run")
        first, *_, last = self.metrics("run", "evaluation")
        self.assertEqual([key for key in last if key in metrics], metrics)
        self.assertLess(last["loss"], first["loss"])
        self.assertEqual(list(self.summary("run")["validation"])[2:2 + len(metrics)], metrics)
        found = self.evaluate("run")
        self.assertEqual(list(found), ["split", "loss", *metrics, "samples"])
        self.expect_bits_of_canonical(metrics)
        self.expect_resume_after_kill()
        self.expect_comparison(metrics[0])
        return found

    def expect_bits_of_canonical(self, metrics):
        for ranks in (1, 2):
            self.train(f"on{ranks}", *CANONICAL, ranks=ranks)
        self.assertEqual(self.weights("on2"), self.weights("on1"))
        figures = [[[line[key] for key in ("loss", *metrics)]
                    for line in self.metrics(f"on{ranks}", "evaluation")] for ranks in (1, 2)]
        self.assertEqual(figures[1], figures[0])
        self.assertEqual(self.evaluate("on1", *CANONICAL, ranks=2),
                         self.evaluate("on1", *CANONICAL))

    def expect_resume_after_kill(self):
        self.train("whole", *EVERY_STEP, ranks=2)
        command = [MPIEXEC, "-n", "2", THAW, "train", self.config, "--run-dir", "killed",
                   *EVERY_STEP]
        with subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True) as job:
            until = time.monotonic() + 120
            while not list((self.folder / "killed/checkpoints").glob("step-000000003*")):
                self.assertLess(time.monotonic(), until)
                self.assertIsNone(job.poll())
                time.sleep(0.01)
            ranks = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True,
                                   check=True).stdout.split()
            job.send_signal(signal.SIGKILL)
        while any(map(is_running, ranks)):  # ranks that have lost mpirun end
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        self.train("killed", *EVERY_STEP, ranks=2)
        self.assertEqual(self.weights("killed"), self.weights("whole"))
        best = "weights.best.safetensors"
        self.assertEqual(self.weights("killed", best), self.weights("whole", best))

    def expect_comparison(self, metric):
        self.thaw("compare", self.config, "--output", "cmp", "--schedules", "full,head-only",
                  "--seeds", "1", "--schedule.total-epochs", "1", "--schedule.stage-epochs",
                  "0", "--schedule.groups-per-stage", "1")
        report = (self.folder / "cmp/comparison.md").read_text()
        self.assertIn(f"{metric.replace('_', '-')} minus the first's", report)
        [table] = json.loads((self.folder / "cmp/comparison.json").read_text())["fractions"]
        for row, run in zip(table["rows"], table["runs"]):
            self.assertEqual(row[metric]["mean"], run[metric])
            self.assertEqual(run[metric], run[f"test_{metric}"])
