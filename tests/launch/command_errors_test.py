"""Bad input: one message that says what, where and what to do, status 2, nothing written."""

import json
import struct
import unittest

from command_fixture import CommandTest, h5py, np, require


def write_safetensors(path, tensors):
    """`tensors`: name -> float32 array."""
    header, blobs, begin = {}, [], 0
    for name, value in tensors.items():
        data = np.ascontiguousarray(value, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape),
                        "data_offsets": [begin, begin + len(data)]}
        begin += len(data)
        blobs.append(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class BadInput(CommandTest):
    def assert_refused(self, *arguments, says):
        """Refused at one and at two ranks, with one message and without a run folder."""
        for ranks in (0, 2):
            message = self.refused("train", *arguments, "--run-dir", "run", ranks=ranks)
            for text in says:
                self.assertEqual(message.count(text), 1, f"{ranks} ranks: {message}")
            self.assertNotIn("Traceback", message)
        self.assertFalse((self.folder / "run").exists())

    def test_an_unknown_key_names_line_and_nearest_key(self):
        self.images()
        config = self.resnet_config(extra='optimzer = "sgd"')
        line = (self.folder / config).read_text().splitlines().index('optimzer = "sgd"') + 1
        self.assert_refused(config, says=[f"resnet.toml:{line}: ", "optimzer",
                                          'did you mean "optimizer"?'])

    def test_an_unknown_flag(self):
        self.images()
        self.assert_refused(self.resnet_config(), "--train.optimzer", "sgd",
                            says=["command line: ", "optimizer"])

    def test_an_unknown_option_of_the_command(self):
        self.images()
        self.assert_refused(self.resnet_config(), "--run-dirr=x", says=["--run-dirr"])

    def test_a_wrong_type(self):
        self.images()
        self.assert_refused(self.resnet_config(extra='momentum = "much"'),
                            says=["train.momentum", "resnet.toml:"])

    def test_a_pattern_that_matches_no_group(self):
        self.images()
        config = self.resnet_config(stages="""
[[schedule.stage]]
name = "upper"
groups = ["layer7", "head"]
learning-rate = 0.1
until = { epochs = 1 }
""")
        self.assert_refused(config, says=['"layer7" matches no group of this model', "stem",
                                          "resnet.toml:"])

    def test_a_stage_that_never_ends(self):
        self.images()
        config = self.resnet_config(stages="""
[[schedule.stage]]
name = "upper"
groups = ["head"]
learning-rate = 0.1
""")
        self.assert_refused(config, says=["until", "resnet.toml:"])

    def test_missing_files(self):
        self.assert_refused("missing.toml", says=["missing.toml: cannot be read: No such file"])
        self.assert_refused(self.resnet_config(), says=["images.h5"])
        self.images()
        self.assert_refused(self.resnet_config(), "--model.weights", "none.safetensors",
                            says=["none.safetensors"])

    def test_labels_out_of_range(self):
        self.images()
        with h5py.File(self.folder / "images.h5", "r+") as file:
            file["train/labels"][5] = 7
        self.assert_refused(self.resnet_config(), says=["images.h5: /train/labels: sample 5 has label 7"])

    def test_a_wrong_dtype(self):
        self.images()
        with h5py.File(self.folder / "images.h5", "r+") as file:
            labels = file["train/labels"][:].astype(np.float32)
            del file["train/labels"]
            file["train/labels"] = labels
        self.assert_refused(self.resnet_config(), says=["images.h5: /train/labels: dtype is float32, must be int64"])

    def test_a_wrong_shape(self):
        self.images()
        with h5py.File(self.folder / "images.h5", "r+") as file:
            labels = file["train/labels"][:-1]
            del file["train/labels"]
            file["train/labels"] = labels
        self.assert_refused(self.resnet_config(), says=["images.h5", "labels"])

    def test_weights_that_do_not_fit_are_all_listed(self):
        self.images()
        config = self.resnet_config()
        write_safetensors(self.folder / "w.safetensors",
                          {"conv1.weight": np.zeros((1, 2)), "layer9.weight": np.zeros(3)})
        self.assert_refused(config, "--model.weights", "w.safetensors",
                            says=["missing in the file (94): bn1.weight", "layer9.weight",
                                  "conv1.weight ([1, 2] in the file, [16, 3, 3, 3] in the model)"])

    def test_weights_that_lie_about_their_size(self):
        self.images()
        header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40],
                                   "data_offsets": [0, 1 << 42]}}).encode()
        (self.folder / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
        self.assert_refused(self.resnet_config(), "--model.weights", "w.safetensors",
                            says=["w.safetensors"])

    def test_validation_is_asked_for_by_name(self):
        self.images()
        message = self.refused("evaluate", self.resnet_config(), "--split", "valdation")
        self.assertIn("validation", message)

    def test_sub_commands(self):
        self.assertIn("did you mean train?", self.refused("trian"))
        self.assertIn("CONFIG is missing", self.refused("train"))
        self.assertIn("all is well", self.thaw(
            "check", (self.images(), self.resnet_config())[1]).stdout)


class AfterTraining(CommandTest):
    def test_predict_inspect_and_per_class(self):
        self.images()
        config = self.resnet_config()
        self.thaw("train", config, "--run-dir", "run")
        weights = ("--weights", "run/weights.best.safetensors")
        lines = self.thaw("predict", config, *weights, "--split", "test").stdout.splitlines()
        rows = [json.loads(line) for line in lines]
        self.assertEqual([row["index"] for row in rows], list(range(11)))
        for row in rows:
            self.assertAlmostEqual(sum(row["probabilities"].values()), 1, places=5)
            self.assertEqual(row["class"], max(row["probabilities"],
                                               key=row["probabilities"].get))
        self.thaw("evaluate", config, *weights, "--split", "test", "--per-class", "classes.jsonl")
        classes = [json.loads(line) for line in
                   (self.folder / "classes.jsonl").read_text().splitlines()]
        self.assertEqual([row["class"] for row in classes], ["class 0", "class 1", "class 2"])
        self.assertEqual(sum(row["samples"] for row in classes), 11)
        for what, says in (("run", "finished"), ("images.h5", "train"),
                           ("run/weights.safetensors", "conv1.weight")):
            self.assertIn(says, self.thaw("inspect", what).stdout)

    def test_help_names_every_option_with_type_and_default(self):
        text = self.thaw("train", "--help").stdout + self.thaw("train", "--help-config").stdout
        for option in ("--train.micro-batch", "--data.batch", "--run-dir", "--model.architecture"):
            self.assertIn(option, text)
        self.assertIn("thaw ", self.thaw("--version").stdout)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
