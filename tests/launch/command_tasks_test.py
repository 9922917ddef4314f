"""Each task through the command: trained, resumed after a kill, evaluated, predicted, compared; in
canonical mode the same bits at 1 and 2 ranks; what does not fit it is refused."""

import json
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np
from command_fixture import MPIEXEC, THAW, CommandTest, require

SCHEDULE = """[schedule]
preset = "top-down"
groups-per-stage = 2
learning-rate = 1e-3
stage-epochs = 2"""
CANONICAL = ("--train.reduction", "canonical", "--train.shards", "5", "--train.threads", "1")
EVERY_STEP = ("--checkpoint.every-steps", "1", "--checkpoint.keep", "100")


def ranks_of(values):
    """1 for the least; equal values share the mean of theirs."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


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
            job.send_signal(signal.SIGKILL)
        time.sleep(1)  # ranks that have lost mpirun end
        self.train("killed", *EVERY_STEP, ranks=2)
        self.assertEqual(self.weights("killed"), self.weights("whole"))
        best = "weights.best.safetensors"
        self.assertEqual(self.weights("killed", best), self.weights("whole", best))

    def expect_comparison(self, metric):
        done = self.thaw("compare", self.config, "--output", "cmp", "--schedules", "full,head-only",
                         "--seeds", "1", "--schedule.total-epochs", "1", "--schedule.stage-epochs",
                         "0", "--schedule.groups-per-stage", "1")
        self.assertIn(f"{metric.replace('_', '-')} minus the first's", done.stdout)
        [table] = json.loads((self.folder / "cmp/comparison.json").read_text())["fractions"]
        for row, run in zip(table["rows"], table["runs"]):
            self.assertEqual(row[metric]["mean"], run[metric])
            self.assertEqual(run[metric], run[f"test_{metric}"])


class MultiLabel(TaskTest):
    def test_from_training_to_predictions(self):
        labels = self.multi_label()
        found = self.expect_whole_life(["micro_f1", "macro_f1"])
        lines = self.predict("run")
        said = np.array([[name in line["classes"] for name in ("odd", "large", "five")]
                         for line in lines])
        probabilities = np.array([list(line["probabilities"].values()) for line in lines])
        self.assertTrue((said == (probabilities > 0.5)).all())
        hits, each = (said & (labels == 1)).sum(0), said.sum(0) + labels.sum(0)
        self.assertAlmostEqual(found["micro_f1"], 2 * hits.sum() / each.sum(), places=9)
        self.assertAlmostEqual(found["macro_f1"], (2 * hits / each)[each > 0].mean(), places=9)
        loss = -np.where(labels == 1, np.log(probabilities), np.log1p(-probabilities)).mean()
        self.assertAlmostEqual(found["loss"], loss, places=5)

    def test_classes_of_a_file(self):
        self.multi_label()
        self.train("run")
        done = self.thaw("evaluate", self.config, "--weights", "run/weights.safetensors",
                         "--per-class", "-").stdout
        lines = [json.loads(line) for line in done.splitlines()[1:]]
        self.assertEqual([line["class"] for line in lines], ["odd", "large", "five"])
        self.assertIn("3 classes: odd, large, five", self.thaw("inspect", "texts.h5").stdout)


class Regression(TaskTest):
    def test_from_training_to_predictions(self):
        labels = self.regression()
        found = self.expect_whole_life(["pearson", "spearman", "rmse"])
        values = np.array([list(line["values"].values()) for line in self.predict("run")])
        columns = list(zip(values.T, labels.T))
        self.assertAlmostEqual(found["loss"], ((values - labels) ** 2).mean(), places=5)
        self.assertAlmostEqual(found["rmse"], ((values - labels) ** 2).mean() ** 0.5, places=5)
        self.assertAlmostEqual(found["pearson"],
                               np.mean([correlation(a, b) for a, b in columns]), places=5)
        spearman = np.mean([correlation(ranks_of(a), ranks_of(b)) for a, b in columns])
        self.assertAlmostEqual(found["spearman"], spearman, places=9)
        for ranks in (2, 3):
            again = self.evaluate("run", ranks=ranks)
            self.assertAlmostEqual(again["spearman"], found["spearman"], places=9)

    def test_one_number_in_images(self):
        with h5py.File(self.folder / "images.h5", "w") as file:
            generator = np.random.default_rng(0)
            for split, count in (("train", 48), ("validation", 16)):
                group = file.create_group(split)
                means = np.linspace(-1, 1, count).astype(np.float32)
                noise = generator.normal(0, 0.3, (count, 3, 16, 16))
                group["inputs"] = (noise + means[:, None, None, None]).astype(np.float32)
                group["labels"] = means
        config = self.resnet_config(stages="""
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 0.005
until = { any = [{ epochs = 3 }, { plateau = { metric = "validation/rmse", patience = 9 } }] }
restore-best = "validation/pearson"
""")
        self.thaw("train", config, "--run-dir", "run", ranks=2)
        first, *_, last = self.metrics("run", "evaluation")
        self.assertLess(last["rmse"], first["rmse"])
        self.assertGreater(last["pearson"], 0.5)

    def test_a_fraction_of_the_samples(self):
        self.regression()
        self.train("run", "--data.fraction", "0.5", "--schedule.stage-epochs", "1")
        self.assertEqual(self.summary("run")["stages"][0]["samples"], 34)
        self.assertIn("data.per-class", self.refused("check", self.config, "--data.per-class", "3"))

    def test_forgetting_of_a_source_of_classes(self):
        self.data(lambda n: n.astype(np.int64), name="source.h5")
        self.regression()
        self.train("source", "--data.file", "source.h5")
        self.train("run", "--retention.data", "source.h5", "--retention.weights",
                   "source/weights.safetensors")
        retention = self.summary("run")["retention"]
        self.assertIn("accuracy", retention["before"])
        self.assertAlmostEqual(retention["forgetting"], retention["before"]["accuracy"]
                               - retention["after"]["accuracy"])


class Pairs(TaskTest):
    def pairs(self, name="texts.h5", swapped=False):
        """Whether the second text begins with the larger number."""
        labels = self.data(lambda n: (n > 2).astype(np.int64), name=name)
        with h5py.File(self.folder / name, "r+") as file:
            for group in file.values():
                offsets = group["offsets"][:]
                middle = (offsets[:-1] + offsets[1:]) // 2
                places = np.arange(offsets[-1])
                sample = np.searchsorted(offsets, places, side="right") - 1
                group["types"] = ((places >= middle[sample]) != swapped).astype(np.int8)
        return labels

    def test_from_training_to_predictions(self):
        labels = self.pairs()
        self.assertIn("text pairs, 2 classes", self.thaw("inspect", "texts.h5").stdout)
        found = self.expect_whole_life(["accuracy", "macro_f1"])
        said = np.array([int(line["class"]) for line in self.predict("run")])
        self.assertAlmostEqual(found["accuracy"], (said == labels).mean())

    def test_types_are_what_the_model_sees(self):
        self.pairs()
        self.pairs(name="swapped.h5", swapped=True)
        self.train("run")
        told = [self.evaluate("run", "--data.file", name) for name in ("texts.h5", "swapped.h5")]
        self.assertNotEqual(told[0]["loss"], told[1]["loss"])

    def test_a_model_that_has_one_type(self):
        self.pairs()
        path = self.folder / "config.json"
        path.write_text(path.read_text().replace('"type_vocab_size": 2', '"type_vocab_size": 1'))
        self.assertIn("the data has token type 1, but the model's types end at 0",
                      self.refused("check", self.config))


class Refused(TaskTest):
    def test_a_task_that_the_data_are_not_for(self):
        self.multi_label()
        told = self.refused("check", self.config, "--task.kind", "classification")
        self.assertIn("task.kind: is \"classification\", but texts.h5 is made for \"multi-label\"",
                      told)
        self.regression()
        told = self.refused("train", self.config, "--task.kind", "multi-label", ranks=2)
        self.assertEqual(told.count("labels are float32 [N, 2], but multi-label learns from uint8"),
                         1, told)
        self.assertIn("multi-label", self.refused("check", self.config, "--task.kind", "multilabel"))

    def test_a_task_that_nobody_knows(self):
        self.data(lambda n: n.astype(np.int64), attributes={"task": "regresion"})
        self.assertIn("did you mean \"regression\"?", self.refused("check", self.config))

    def test_metrics_of_another_task(self):
        self.regression()
        told = self.refused("check", self.config, "--schedule.plateau", "validation/accuracy")
        self.assertIn("\"validation/accuracy\" is not one of train/loss, validation/loss, "
                      "validation/pearson, validation/spearman, validation/rmse", told)

    def test_smoothed_numbers(self):
        self.regression()
        self.assertIn("train.label-smoothing: is not for regression",
                      self.refused("check", self.config, "--train.label-smoothing", "0.1"))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
