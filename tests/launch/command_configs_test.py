"""The configurations under configs/ run as they stand: with the files that they name, which their
comments say how to make, `thaw check` passes; without, it says where to look."""

import os
import re
import shutil
import unittest

import command_fixture
from command_fixture import MINILM, ROOT, CommandTest, h5py, np

CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
SMOLLM = ROOT / "data/smollm2"


def comments_of(path):
    """What a configuration begins with."""
    return re.match(r"(#[^\n]*\n)*", path.read_text(encoding="utf-8"))[0]


class ConfigsTest(CommandTest):
    def setUp(self):
        super().setUp()
        shutil.copytree(ROOT / "configs", self.folder / "configs")
        os.makedirs(self.folder / "data")

    def link(self, folder):
        os.symlink(folder, self.folder / "data" / folder.name)

    def expect_trained(self, path):
        """To its end, by the command that its comments tell; the others' run in tests/journeys, or
        take hours."""
        (typed,) = re.findall(r"^#     (?:mpirun .*)?build/thaw (train configs/\S+)$",
                              comments_of(path), re.MULTILINE)
        self.thaw(*typed.split())
        run = f"runs/{path.stem}"
        said = self.summary(run)
        text = (self.folder / run / "config.resolved.toml").read_text(encoding="utf-8")
        self.assertEqual(len(said["stages"]), text.count("[[schedule.stage]]"))
        self.assertGreaterEqual(len(said["stages"]), 4)

    def test_where_files_come_from_is_said(self):
        for path in CONFIGS:
            name = f"configs/{path.name}"
            with self.subTest(name):
                said = self.refused("check", name)
                self.assertRegex(said, rf'{name}:\d+: data\.file: "data/[\w.-]+": no such file')
                self.assertIn(f"the comments at the top of {name} say where it comes from", said)
                comments = comments_of(path)
                for file in re.findall(r'"(data/[^"]+)"', path.read_text(encoding="utf-8")):
                    folder = os.path.dirname(file)
                    self.assertTrue(file in comments or folder != "data" and folder in comments,
                                    file)
                for command in re.findall(r"(?:build/)?thaw (\w+)", comments):
                    self.assertIn("Usage: thaw", self.thaw(command, "--help").stdout)
        # A flag's file is the user's own matter.
        said = self.refused("check", "configs/wordnet.toml", "--data.file", "other.h5",
                            "--model.weights", "other.safetensors", "--model.config", "other.json",
                            "--model.tokenizer", "other.json")
        self.assertIn("other.", said)
        self.assertNotIn("the comments at the top", said)

    @unittest.skipUnless((MINILM / "model.safetensors").exists(), "MiniLM is not in data/minilm")
    def test_those_of_minilm_pass(self):
        self.link(MINILM)
        for path in CONFIGS:
            text = path.read_text(encoding="utf-8")
            if "data/minilm" not in text:
                continue
            self.texts(re.search(r'^file = "(.+)"', text, re.M)[1], train=130)
            done = self.thaw("check", f"configs/{path.name}")
            self.assertIn("encoder.5", done.stdout)
            if path.name == "banking77-top-down.toml":
                self.expect_trained(path)

    def test_that_of_a_resnet_passes(self):
        self.images("data/cifar100-first20.h5", train=130, classes=20, size=32)
        with h5py.File(self.folder / "cifar10.h5", "w") as file:
            group = file.create_group("train")
            group["inputs"] = np.zeros((20, 3, 32, 32), np.uint8)
            group["labels"] = np.arange(20) % 10
        name = "configs/resnet20-cifar100.toml"
        # As its comments make the weights, but for a step of training.
        self.thaw("train", name, "--data.file", "cifar10.h5", "--model.weights", "",
                  "--schedule.preset", "full", "--schedule.total-epochs", "1", "--run-dir",
                  "before")
        shutil.copy(self.folder / "before/weights.safetensors",
                    self.folder / "data/resnet20-cifar10.safetensors")
        self.assertIn("layer3", self.thaw("check", name).stdout)
        self.expect_trained(self.folder / name)

    @unittest.skipUnless((SMOLLM / "model.safetensors").exists(), "SmolLM2 is not in data/")
    def test_that_of_a_language_model_passes(self):
        self.link(SMOLLM)
        with h5py.File(self.folder / "data/definitions-quickstart.h5", "w") as file:
            for split in ("train", "validation"):
                group = file.create_group(split)
                group["tokens"] = np.arange(1000, 1600, dtype=np.int32)
                group["offsets"] = np.arange(0, 601, 10)
                group["prompt_lengths"] = np.full(60, 3, np.int32)
        self.assertIn("upper-half", self.thaw("check", "configs/language.toml").stdout)


if __name__ == "__main__":
    command_fixture.require()
    unittest.main()
