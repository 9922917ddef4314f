"""`thaw export`: weights for other programs, of each family what it has; and options of [model] that
are another family's are refused."""

import json
import unittest

from command_fixture import CommandTest, h5py, np, require
from safetensors_reader import tensors

ONE_STEP = """
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-3
until = { steps = 1 }
"""


class Export(CommandTest):
    def grey_images(self):
        with h5py.File(self.folder / "images.h5", "w") as file:
            file["train/inputs"] = np.zeros((12, 1, 16, 16), np.uint8)
            file["train/labels"] = np.arange(12, dtype=np.int64) % 3
            file.attrs["mean"], file.attrs["std"] = [0.5], [0.25]

    def trained(self, config):
        """Weights of a run of one step, as a file and as a checkpoint."""
        self.thaw("train", config, "--run-dir", "run")
        (checkpoint,) = (self.folder / "run" / "checkpoints").iterdir()
        return "run/weights.safetensors", checkpoint.relative_to(self.folder)

    def test_of_a_resnet_knows_channels_from_the_weights(self):
        self.grey_images()
        config = self.resnet_config(stages=ONE_STEP)
        wanted = None
        for i, weights in enumerate(self.trained(config)):
            self.thaw("export", config, "--weights", weights, "--format", "safetensors", f"out{i}")
            found = tensors(self.folder / f"out{i}")
            self.assertEqual(list(found["conv1.weight"].shape), [16, 1, 3, 3])
            wanted = wanted or found
            self.assertEqual(sorted(found), sorted(wanted))
            for name, values in found.items():
                np.testing.assert_array_equal(values, wanted[name], name)
        said = self.refused("export", config, "--weights", "run/weights.safetensors", "folder")
        self.assertIn("have torchvision's names already", said)
        self.assertFalse((self.folder / "folder").exists())

    def test_of_a_bert_is_a_folder_for_transformers(self):
        self.tiny_bert()
        self.texts()
        config = self.bert_config(schedule=ONE_STEP)
        for i, weights in enumerate(self.trained(config)):
            self.thaw("export", config, "--weights", weights, f"out{i}")
            exported = json.loads((self.folder / f"out{i}" / "config.json").read_text())
            self.assertEqual(exported["architectures"], ["BertModel"])
            self.assertEqual(len(exported["id2label"]), 5)
            names = tensors(self.folder / f"out{i}" / "model.safetensors")
            self.assertIn("bert.encoder.layer.1.output.LayerNorm.weight", names)
            self.assertIn("classifier.weight", names)

    def test_options_of_another_family_are_refused(self):
        self.grey_images()
        config = self.resnet_config(stages=ONE_STEP)
        said = self.refused("train", config, "--run-dir", "run", "--model.pooling", "cls", ranks=2)
        self.assertIn("command line: --model.pooling: an option of bert, roberta, distilbert, "
                      "modernbert; \"resnet-cifar\" does not read it", said)
        self.assertFalse((self.folder / "run").exists())
        # A default says nothing: a resolved file writes every option.
        self.thaw("check", config, "--model.pooling", "mean")


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
