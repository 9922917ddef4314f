"""Each task through the command: trained, resumed after a kill, evaluated, predicted, compared; in
canonical mode the same bits at 1 and 2 ranks; what does not fit it is refused."""

import json
import unittest

import h5py
import numpy as np
from command_fixture import require
from task_fixture import CANONICAL, TaskTest


def ranks_of(values):
    """1 for the least; equal values share the mean of theirs."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


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


def spans_of(tags):
    """(first token, end, kind) of each span of IOB tags."""
    spans = []
    for i, tag in enumerate(tags):
        kind = tag[2:]
        if tag[0] == "I" and spans and spans[-1][1:] == (i, kind):
            spans[-1] = (spans[-1][0], i + 1, kind)
        elif tag != "O":
            spans.append((i, i + 1, kind))
    return set(spans)


class Tags(TaskTest):
    """The tag of a token follows from the token; the first of each text does not count."""

    NAMES = ("O", "B-n", "I-n", "B-m")

    def tags(self, name="texts.h5", names=NAMES):
        """Returns the tags of each sample of the test split; None: not counted."""
        self.data(lambda n: n, name=name)
        with h5py.File(self.folder / name, "r+") as file:
            file.attrs["classes"] = names
            for group in file.values():
                tokens, offsets = group["tokens"][:], group["offsets"][:]
                classes = np.where(tokens < 1000, 1, np.where(tokens % 3 == 0, 2, tokens % 7 // 6 * 3))
                classes = np.array([names.index(self.NAMES[c]) for c in classes], np.int32)
                classes[offsets[:-1]] = -100
                del group["labels"]
                group["token_labels"] = classes
                if group.name == "/test":
                    lines = [classes[a:b] for a, b in zip(offsets, offsets[1:])]
        return [[names[c] if c >= 0 else None for c in line] for line in lines]

    def test_from_training_to_predictions(self):
        right = self.tags()
        self.assertIn("text, 4 classes: O, B-n, I-n, B-m", self.thaw("inspect", "texts.h5").stdout)
        found = self.expect_whole_life(["accuracy", "span_f1"])
        said = [line["classes"] for line in self.predict("run")]
        self.assertEqual([len(line) for line in said], [len(line) for line in right])
        counted = [[(r, s) for r, s in zip(*each) if r] for each in zip(right, said)]
        hits = [r == s for line in counted for r, s in line]
        self.assertAlmostEqual(found["accuracy"], np.mean(hits), places=12)
        both = [[spans_of(tags) for tags in zip(*line)] for line in counted]
        f1 = (2 * sum(len(r & s) for r, s in both)
              / sum(len(r) + len(s) for r, s in both))
        self.assertAlmostEqual(found["span_f1"], f1, places=12)
        for line in self.metrics("run", "step"):
            self.assertGreater(line["counted_tokens"], line["samples"])

    def test_classes_go_by_their_names(self):
        self.tags()
        self.tags(name="other.h5", names=("I-n", "B-m", "O", "B-n"))
        self.train("run")
        self.assertEqual(self.evaluate("run", "--data.file", "other.h5"), self.evaluate("run"))

    def test_micro_batches_of_tokens(self):
        self.tags()
        for run, *flags in (("whole",), ("cut", "--train.micro-batch-tokens", "40")):
            self.train(run, "--train.precision", "float64", *flags, ranks=2)
        losses = [[line["loss"] for line in self.metrics(run, "step")] for run in ("whole", "cut")]
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)
        for flags, told in ((("--train.micro-batch", "2"), "give one of them"),
                            (CANONICAL, "canonical")):
            message = self.refused("check", self.config, "--train.micro-batch-tokens", "40", *flags)
            self.assertIn("train.micro-batch-tokens: ", message)
            self.assertIn(told, message)

    def test_export_to_transformers(self):
        self.tags()
        self.train("run", "--schedule.stage-epochs", "1")
        self.thaw("export", self.config, "out", "--weights", "run/weights.safetensors", "--format",
                  "huggingface")
        config = json.loads((self.folder / "out/config.json").read_text())
        self.assertEqual(config["architectures"], ["BertForTokenClassification"])
        self.assertEqual(list(config["id2label"].values()), list(self.NAMES))

    def test_what_does_not_fit(self):
        def refused(change, *flags):
            self.tags()
            with h5py.File(self.folder / "texts.h5", "r+") as file:
                change(file)
            return self.refused("train", self.config, "--run-dir", "run", *flags, ranks=2)

        def nothing_counts(file):
            file["train/token_labels"][:] = -100

        def no_class(file):
            file["validation/token_labels"][3] = 4

        def two_kinds(file):
            file["test/labels"] = np.zeros(13, np.int64)

        def running_text(file):
            for group in file.values():
                del group["token_labels"]
            del file.attrs["classes"]

        self.assertIn("texts.h5: /train: no token of its 67 samples counts", refused(nothing_counts))
        self.assertIn("/validation/token_labels: token 3 has label 4", refused(no_class))
        self.assertIn("/test holds labels and token_labels", refused(two_kinds))
        self.assertIn("/train holds no labels: give \"labels\"", refused(running_text))
        self.assertIn("model.architecture = \"bert\" gives outputs for each sample or outputs for "
                      "each token, and", refused(running_text, "--task.kind", "causal-lm"))
        self.assertIn("model.pooling: nothing is pooled",
                      refused(lambda file: None, "--model.pooling", "cls"))


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
