"""Weights say what they are: evaluate, predict, export, retention and loaded heads find classes by
their names, take from the weights what the configuration leaves open, refuse what contradicts it."""

import json
import struct
import unittest

from command_fixture import CommandTest, h5py, np, require

STAGE = """
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = {rate}
until = {{ epochs = {epochs} }}
"""
NAMES = ["dark", "grey", "bright"]
WEIGHTS = "run/weights.safetensors"


def metadata(path):
    """What stands in a safetensors file's header beside its tensors, as Python's reader has it."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)).get("__metadata__", {})


def write_metadata(path, changed):
    """The file with other metadata; its tensors as they are."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = changed
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


class WeightsOfImages(CommandTest):
    def setUp(self):
        super().setUp()
        self.shades("own.h5", NAMES)
        self.config = self.resnet_config(data="own.h5", stages=STAGE.format(rate=0.05, epochs=10))
        step = STAGE.replace('"*"', '"head"').replace("epochs = {epochs}", "steps = 1")
        self.short = self.resnet_config("short.toml", "own.h5", stages=step.format(rate=1e-6))

    def shades(self, name, names, mean=(0.5,), std=(0.25,), task="classes", size=16, only=None):
        """Images whose brightness is that of their name's place in NAMES; labels number `names`."""
        generator = np.random.default_rng(3)
        with h5py.File(self.folder / name, "w") as file:
            for split, count in (("train", 60), ("validation", 30), ("test", 30)):
                shade = np.arange(count) % 3
                if only is not None:
                    shade = np.full(count, only)
                noise = generator.integers(0, 60, (count, 1, size, size))
                file[f"{split}/inputs"] = (noise + shade[:, None, None, None] * 90).astype(np.uint8)
                spelt = [NAMES[s] if NAMES[s] in names else names[s] for s in shade]
                labels = np.array([names.index(n) for n in spelt], np.int64)
                if task == "flags":
                    labels = np.eye(len(names), dtype=np.uint8)[labels]
                file[f"{split}/labels"] = labels
            if names != ["0", "1", "2"]:
                file.attrs["classes"] = names
            if mean:
                file.attrs["mean"], file.attrs["std"] = mean, std

    def train(self):
        self.thaw("train", self.config, "--run-dir", "run")

    def evaluate(self, data, weights=WEIGHTS, *more, ranks=0):
        done = self.thaw("evaluate", self.config, "--weights", weights, "--data.file", data, *more,
                         ranks=ranks)
        return json.loads(done.stdout)

    def predictions(self, data, *more):
        lines = self.thaw("predict", self.config, "--weights", WEIGHTS, "--data.file", data, *more)
        return [json.loads(line) for line in lines.stdout.splitlines()]

    def test_classes_are_found_by_name(self):
        self.train()
        own = self.evaluate("own.h5")
        self.assertGreater(own["accuracy"], 0.7)
        self.shades("turned.h5", NAMES[::-1])
        (checkpoint,) = (self.folder / "run" / "checkpoints").iterdir()
        for weights in (WEIGHTS, checkpoint.relative_to(self.folder)):
            for ranks in (0, 2):
                found = self.evaluate("turned.h5", weights, "--per-class", "each.jsonl", ranks=ranks)
                self.assertEqual(found["accuracy"], own["accuracy"])
                self.assertAlmostEqual(found["loss"], own["loss"], places=5)
            lines = (self.folder / "each.jsonl").read_text(encoding="utf-8").splitlines()
            self.assertEqual([json.loads(line)["class"] for line in lines], NAMES)
        self.assertEqual(self.predictions("turned.h5"), self.predictions("own.h5"))
        self.assertEqual(list(self.predictions("own.h5")[0]["probabilities"]), NAMES)

    def test_of_fewer_classes_and_of_others(self):
        self.train()
        self.shades("bright.h5", ["bright"], only=2)
        found = self.evaluate("bright.h5", WEIGHTS, "--per-class", "each.jsonl")
        each = [json.loads(line) for line in (self.folder / "each.jsonl").read_text().splitlines()]
        self.assertEqual([line["samples"] for line in each], [0, 0, 30])
        self.assertEqual(found["accuracy"], each[2]["recall"])
        # Named in the file, but in no sample.
        self.shades("more.h5", [*NAMES, "blinding"])
        self.assertEqual(self.evaluate("more.h5")["accuracy"], self.evaluate("own.h5")["accuracy"])
        self.shades("others.h5", ["cat", "grey", "dog"])
        for ranks in (0, 2):
            said = self.refused("evaluate", self.config, "--weights", WEIGHTS, "--data.file",
                                "others.h5", ranks=ranks)
            self.assertIn("others.h5: split \"test\" has classes that run/weights.safetensors does "
                          "not know: cat, dog (it was trained on: dark, grey, bright)", said)
        said = self.refused("check", self.config, "--data.file", "others.h5", "--model.weights",
                            WEIGHTS, "--model.head", "loaded")
        self.assertIn("does not know: cat, dog", said)
        self.assertEqual({line["class"] for line in self.predictions("others.h5")}, set(NAMES))
        # Numbers are names of nothing here.
        self.shades("numbers.h5", ["0", "1", "2"])
        said = self.refused("evaluate", self.config, "--weights", WEIGHTS, "--data.file",
                            "numbers.h5")
        self.assertIn("does not name its classes", said)
        with h5py.File(self.folder / "numbers.h5", "a") as file:  # as it advises
            file.attrs["classes"] = NAMES
        self.assertEqual(self.evaluate("numbers.h5")["accuracy"],
                         self.evaluate("own.h5")["accuracy"])

    def test_a_loaded_head_goes_on_under_its_own_names(self):
        self.train()
        self.shades("turned.h5", NAMES[::-1])
        self.thaw("train", self.short, "--run-dir", "more", "--data.file", "turned.h5",
                  "--model.weights", WEIGHTS, "--model.head", "loaded")
        said = json.loads(metadata(self.folder / "more" / "weights.safetensors")["thaw"])
        self.assertEqual(said["classes"], NAMES)
        self.assertEqual(self.evaluate("own.h5", "more/weights.safetensors")["accuracy"],
                         self.evaluate("own.h5")["accuracy"])

    def test_other_tasks_and_normalisation_are_refused(self):
        self.train()
        evaluate = ("evaluate", self.config, "--weights", WEIGHTS, "--data.file")
        self.shades("flags.h5", NAMES, task="flags")
        self.assertIn("is data of multi-label, but run/weights.safetensors was trained for "
                      "classification", self.refused(*evaluate, "flags.h5"))
        self.shades("scaled.h5", NAMES, mean=(0.4,), std=(0.2,))
        for command in ("evaluate", "predict"):
            said = self.refused(command, *evaluate[1:], "scaled.h5")
            self.assertIn("normalised by mean 0.4, std 0.2, but run/weights.safetensors was trained "
                          "with mean 0.5, std 0.25", said)
        # Bytes of which nothing is said are taken as in training.
        self.shades("raw.h5", NAMES, mean=None)
        done = self.thaw(*evaluate, "raw.h5")
        self.assertIn("does not say how its pixels are normalised", done.stderr)
        self.assertEqual(json.loads(done.stdout)["loss"], self.evaluate("own.h5")["loss"])

    def test_depth_comes_from_the_weights(self):
        self.train()
        open_config = self.resnet_config("open.toml", "own.h5")
        text = (self.folder / open_config).read_text().replace("depth = 20\n", "")
        self.write(open_config, text)
        done = self.thaw("evaluate", open_config, "--weights", WEIGHTS)
        self.assertEqual(json.loads(done.stdout)["accuracy"], self.evaluate("own.h5")["accuracy"])
        said = self.refused("evaluate", self.config, "--weights", WEIGHTS, "--model.depth", "32")
        self.assertIn("command line: --model.depth: is \"32\", but run/weights.safetensors was "
                      "trained with \"20\"", said)
        said = self.refused("export", self.config, "--weights", WEIGHTS, "--model.architecture",
                            "resnet", "out")
        self.assertIn("is a \"resnet-cifar\"", said)
        self.thaw("export", open_config, "--weights", WEIGHTS, "--format", "safetensors", "out")
        self.assertEqual(metadata(self.folder / "out"), metadata(self.folder / WEIGHTS))

    def test_retention_finds_classes_by_name(self):
        self.train()
        self.shades("turned.h5", NAMES[::-1])
        self.shades("target.h5", ["0", "1", "2"])
        before = []
        for data in ("own.h5", "turned.h5"):
            self.thaw("train", self.short, "--run-dir", data + ".run", "--data.file", "target.h5",
                      "--model.weights", WEIGHTS, "--retention.data", data, "--retention.weights",
                      WEIGHTS)
            before.append(self.summary(data + ".run")["retention"]["before"]["accuracy"])
        self.assertEqual(before[0], before[1])
        self.assertGreater(before[0], 0.7)

    def test_files_of_earlier_versions_and_damaged_ones(self):
        self.train()
        path = self.folder / WEIGHTS
        self.shades("turned.h5", NAMES[::-1])
        own = self.evaluate("own.h5")
        said = metadata(path)
        write_metadata(path, {"format": "pt", "classes": said["classes"]})
        done = self.thaw("evaluate", self.config, "--weights", WEIGHTS, "--data.file", "turned.h5")
        self.assertEqual(json.loads(done.stdout)["accuracy"], own["accuracy"])
        self.assertIn("does not say what it is", done.stderr)
        write_metadata(path, {"format": "pt"})
        done = self.thaw("evaluate", self.config, "--weights", WEIGHTS, "--data.file", "own.h5")
        self.assertEqual(json.loads(done.stdout)["loss"], own["loss"])
        self.assertIn("classes and their order", done.stderr)
        for damaged in ("{", "[" * 10000, '{"classes": ["a", "a"]}'):
            write_metadata(path, said | {"thaw": damaged})
            self.assertIn("the metadata's \"thaw\"",
                          self.refused("evaluate", self.config, "--weights", WEIGHTS))
            self.refused("inspect", WEIGHTS)
        write_metadata(path, said)
        shown = self.thaw("inspect", WEIGHTS).stdout
        self.assertIn("resnet-cifar, depth 20; trained by thaw", shown)
        self.assertIn("classes: dark, grey, bright", shown)
        (checkpoint,) = (self.folder / "run" / "checkpoints").iterdir()
        self.assertIn("classes: dark, grey, bright", self.thaw("inspect", checkpoint).stdout)


class WeightsOfTexts(CommandTest):
    def setUp(self):
        super().setUp()
        self.tiny_bert()
        self.texts()
        with h5py.File(self.folder / "texts.h5", "a") as file:
            file.attrs["classes"] = ["e", "d", "c", "b", "a"]
            file.attrs["tokenizer_sha256"], file.attrs["max_tokens"] = "0" * 64, 32
        self.config = self.bert_config(schedule=STAGE.format(rate=1e-3, epochs=1))
        self.thaw("train", self.config, "--run-dir", "run", "--model.pooling", "cls")

    def test_pooling_comes_from_the_weights(self):
        said = json.loads(metadata(self.folder / WEIGHTS)["thaw"])
        self.assertEqual(said["options"], {"pooling": "cls"})
        self.assertEqual(said["settings"]["hidden_act"], "gelu")
        self.assertEqual(said["tokens"]["max_tokens"], "32")
        evaluate = ("evaluate", self.config, "--weights", WEIGHTS)
        taken = json.loads(self.thaw(*evaluate).stdout)
        given = json.loads(self.thaw(*evaluate, "--model.pooling", "cls").stdout)
        self.assertEqual(taken["loss"], given["loss"])
        for command in (evaluate, ("predict", *evaluate[1:]), ("export", *evaluate[1:], "out")):
            self.assertIn("command line: --model.pooling: is \"mean\", but run/weights.safetensors "
                          "was trained with \"cls\"",
                          self.refused(*command, "--model.pooling", "mean"))
        path = self.folder / self.config
        path.write_text(path.read_text().replace("[data]", 'pooling = "mean"\n\n[data]'))
        self.assertIn("bert.toml:7: model.pooling: is \"mean\"", self.refused(*evaluate))

    def test_export_names_classes_in_the_heads_order(self):
        self.thaw("export", self.config, "--weights", WEIGHTS, "out")
        exported = json.loads((self.folder / "out" / "config.json").read_text())
        self.assertEqual([exported["id2label"][str(i)] for i in range(5)], list("edcba"))
        self.assertEqual(exported["architectures"], ["BertForSequenceClassification"])
        # As another program leaves it: without what Thaw says of it.
        write_metadata(self.folder / "out" / "model.safetensors", {"format": "pt"})
        with h5py.File(self.folder / "texts.h5", "a") as file:
            turned = 4 - file["test/labels"][:]
            del file["test/labels"]
            file["test/labels"] = turned
            file.attrs["classes"] = list("abcde")
        own = json.loads(self.thaw("evaluate", self.config, "--weights", WEIGHTS).stdout)
        # The config.json beside them says that the first token stands for a text.
        command = ("evaluate", self.config, "--weights", "out", "--model.config", "out/config.json")
        found = self.thaw(*command)
        self.assertAlmostEqual(json.loads(found.stdout)["loss"], own["loss"], places=5)
        self.assertIn("model.pooling: is \"mean\", but out was trained with \"cls\"",
                      self.refused(*command, "--model.pooling", "mean"))

    def test_another_config_or_tokenizer_is_refused(self):
        config = json.loads((self.folder / "config.json").read_text())
        self.write("config.json", json.dumps(config | {"hidden_act": "relu"}))
        for command in (("evaluate", self.config, "--weights", WEIGHTS),
                        ("export", self.config, "--weights", WEIGHTS, "out"),
                        ("check", self.config, "--model.weights", WEIGHTS)):
            self.assertIn("model.config: has hidden_act = relu, but run/weights.safetensors was "
                          "trained with gelu", self.refused(*command))
        self.write("config.json", json.dumps(config))
        with h5py.File(self.folder / "texts.h5", "a") as file:
            file.attrs["tokenizer_sha256"] = "1" * 64
        self.assertIn("another tokenizer's", self.refused("predict", self.config, "--weights",
                                                          WEIGHTS))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
