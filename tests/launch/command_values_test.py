"""Values and names that a file or a path brings in: what is no number is named before training, what
is no UTF-8 is kept as it is, and nothing blocks or crashes the command, whatever stands in the
place of a file."""

import json
import os
import unittest

import h5py
import numpy as np

from command_fixture import CommandTest, require, two_stages

BERT_STAGE = """
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.01
until = { steps = 1 }
"""


class Values(CommandTest):
    def test_paths_that_are_no_utf8(self):
        data = os.fsdecode(b"donn\xe9es.h5")
        run = os.fsdecode(b"l\xe4ufe")
        self.images(data)
        self.resnet_config(data="images.h5")
        command = ("train", "resnet.toml", "--data.file", data, "--run-dir", run)
        done = self.thaw(*command)
        self.assertIn("kept in l\\xe4ufe", done.stdout)
        self.assertGreater(len(self.metrics(run, "checkpoint")), 0)
        self.thaw("inspect", run)
        for name in ("summary.json", "weights.safetensors"):
            os.remove(self.folder / run / name)
        again = self.thaw(*command)  # from its last checkpoint, whose configuration names the data
        self.assertIn("Goes on after step", again.stdout)

    def test_pixels_that_are_no_numbers(self):
        self.images()
        with h5py.File(self.folder / "images.h5", "r+") as file:
            pixels = file["validation/inputs"][()].astype(np.float32) / 255
            pixels[7, 1, 2, 3] = np.nan
            del file["validation"]["inputs"]
            file["validation/inputs"] = pixels
            train = file["train/inputs"][()].astype(np.float32) / 255
            del file["train"]["inputs"]
            file["train/inputs"] = train
            del file["test"]
        self.resnet_config()
        for command in ("train", "check"):
            self.assertIn("images.h5: /validation/inputs: sample 7 holds nan",
                          self.refused(command, "resnet.toml"))

    def test_a_validation_loss_that_is_no_number_spoils_no_checkpoint(self):
        self.images()
        with h5py.File(self.folder / "images.h5", "r+") as file:
            for split in ("train", "validation", "test"):
                pixels = file[split]["inputs"][()].astype(np.float32) / 255
                if split == "validation":
                    pixels[3, 0, 0, 0] = 3e38  # a number, but not what follows from it
                del file[split]["inputs"]
                file[split]["inputs"] = pixels
        self.resnet_config(stages=two_stages("steps = 3", "steps = 3"))
        command = ("train", "resnet.toml", "--run-dir", "run", "--checkpoint.every-steps", "1",
                   "--train.evaluate-every", "1")
        self.thaw(*command)
        losses = [line["loss"] for line in self.metrics("run", "evaluation")]
        self.assertFalse([loss for loss in losses if isinstance(loss, float)], losses)
        weights = self.folder / "run/weights.safetensors"
        expected = weights.read_bytes()
        for name in ("summary.json", "weights.safetensors"):
            os.remove(self.folder / "run" / name)
        again = self.thaw(*command)
        self.assertIn("Goes on after step", again.stdout)
        self.assertNotIn("passed over", again.stderr)
        self.assertEqual(weights.read_bytes(), expected)

    def test_what_is_doubtful_of_images_is_told(self):
        self.images()
        self.resnet_config()
        plain = self.thaw("check", "resnet.toml").stderr
        self.assertNotIn("look like height, width, channels", plain)
        self.assertNotIn("nothing to tell apart", plain)
        with h5py.File(self.folder / "images.h5", "r+") as file:
            del file.attrs["mean"], file.attrs["std"]
            for split in ("train", "validation", "test"):
                pixels = file[split]["inputs"][()].astype(np.float32) / 255
                del file[split]["inputs"]
                file[split]["inputs"] = pixels.transpose(0, 2, 3, 1)
            file["train/labels"][:] = 1
        told = self.thaw("check", "resnet.toml").stderr
        self.assertIn("look like height, width, channels", told)
        self.assertIn('all samples of train are of class "class 1"', told)

    def test_evaluate_and_predict_name_what_is_no_number(self):
        self.images()
        with h5py.File(self.folder / "images.h5", "r+") as file:
            pixels = file["test/inputs"][()].astype(np.float32) / 255
            for split in ("train", "validation", "test"):
                values = file[split]["inputs"][()].astype(np.float32) / 255
                del file[split]["inputs"]
                file[split]["inputs"] = values
        self.resnet_config(stages=two_stages("steps = 1", "steps = 1"))
        self.thaw("train", "resnet.toml", "--run-dir", "run")
        whole = (self.folder / "run/weights.safetensors").read_bytes()
        size = int.from_bytes(whole[:8], "little")
        begin = json.loads(whole[8:8 + size])["conv1.weight"]["data_offsets"][0]
        spoilt = bytearray(whole)
        spoilt[8 + size + begin:8 + size + begin + 4] = np.float32(np.inf).tobytes()
        (self.folder / "spoilt.safetensors").write_bytes(spoilt)
        for command in ("evaluate", "predict"):
            with self.subTest(command=command, what="weights"):
                said = self.refused(command, "resnet.toml", "--weights", "spoilt.safetensors")
                self.assertIn("spoilt.safetensors", said)
                self.assertIn("conv1.weight", said)
                self.assertIn("inf", said)
        pixels[4, 0, 1, 2] = np.nan
        with h5py.File(self.folder / "images.h5", "r+") as file:
            file["test/inputs"][...] = pixels
        for command in ("evaluate", "predict"):
            with self.subTest(command=command, what="inputs"):
                self.assertIn("images.h5: /test/inputs: sample 4 holds nan",
                              self.refused(command, "resnet.toml", "--weights",
                                           "run/weights.safetensors", "--split", "test"))

    def test_nested_json_where_a_number_must_be(self):
        self.texts()
        self.tiny_bert()
        self.bert_config(schedule=BERT_STAGE)
        config = json.loads((self.folder / "config.json").read_text())
        deep = "[" * 1_000_000 + "]" * 1_000_000
        del config["vocab_size"]
        text = json.dumps(config)
        self.write("config.json", text[:-1] + ', "vocab_size": ' + deep + "}")
        self.assertIn("config.json: nested deeper", self.refused("check", "bert.toml"))

    def test_pipes_in_the_place_of_files(self):
        self.images()
        self.resnet_config()
        self.tiny_bert()
        self.texts()
        self.bert_config(schedule=BERT_STAGE)
        os.mkfifo(self.folder / "pipe")
        for command in (("check", "pipe"), ("check", "resnet.toml", "--data.file", "pipe"),
                        ("check", "bert.toml", "--model.config", "pipe"), ("inspect", "pipe"),
                        ("check", "bert.toml", "--model.weights", "pipe")):
            with self.subTest(command=command):
                self.assertIn("pipe", self.refused(*command))

    def test_names_that_would_steer_a_terminal(self):
        self.images()
        with h5py.File(self.folder / "images.h5", "r+") as file:
            file.attrs["classes"] = ["\x1b]0;title\x07", "b\nthaw: error: all is lost", "c"]
        said = self.thaw("inspect", "images.h5").stdout
        self.assertNotIn("\x1b", said)
        self.assertNotIn("\nthaw: error", said)
        self.assertIn("\\x1b]0;title\\x07, b\\x0athaw: error", said)
        self.resnet_config(stages=two_stages("steps = 1", "steps = 1"))
        self.thaw("train", "resnet.toml", "--run-dir", "run")
        line = json.loads(self.thaw("predict", "resnet.toml", "--weights",
                                    "run/weights.safetensors").stdout.splitlines()[0])
        self.assertIn("b\nthaw: error: all is lost", line["probabilities"])  # stored whole


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
