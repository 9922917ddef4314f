"""A file of another kind than the one that is wanted: told what it is, in one line, with status 2, and
read within bounds whatever it is."""

import hashlib
import json
import os
import shutil
import time
import unittest

from command_fixture import CommandTest, h5py, require, two_stages

POINTER = ("version https://git-lfs.github.com/spec/v1\n"
           "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
           "size 12345\n")  # fmt: skip
ONE_STEP = """
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-3
until = { steps = 1 }
"""


class Kinds(CommandTest):
    def setUp(self):
        super().setUp()
        self.images()
        self.config = self.resnet_config(stages=two_stages("steps = 1", "steps = 1"))

    def trained(self):
        self.thaw("train", self.config, "--run-dir", "run", "--output.progress", "off")
        return "run/weights.safetensors"

    def others(self, weights):
        """Files of other kinds, and what is said of each."""
        self.write("pointer", POINTER)
        self.write("page", "<!DOCTYPE html><html>404</html>")
        self.write("empty", "")
        shutil.copy(self.folder / weights, self.folder / "weights")
        shutil.copy(self.folder / "images.h5", self.folder / "data")
        (self.folder / "zip").write_bytes(b"PK\x03\x04" + bytes(40))
        (self.folder / "utf16").write_bytes("[model]".encode("utf-16"))
        return {"pointer": "`git lfs pull`", "page": "a web page", "empty": "it is empty",
                "weights": "a safetensors file", "data": "an HDF5 file", "zip": "a zip archive",
                "utf16": "UTF-16"}  # fmt: skip

    def test_wherever_a_file_is_named_it_is_told_what_it_is(self):
        others = self.others(self.trained())
        self.tiny_bert()
        self.texts()
        bert = self.bert_config(schedule=ONE_STEP)
        for name, kind in others.items():
            if name in ("page", "utf16"):  # what tells them is the same for all
                self.assertIn(kind, self.refused("check", name))
                continue
            if name != "empty":  # of TOML that says nothing, options are missing
                said = self.refused("check", name)
                self.assertIn(f"{name}: is no configuration (TOML): it is ", said)
                self.assertIn(kind, said)
            if name != "data":
                said = self.refused("check", self.config, "--data.file", name)
                self.assertIn(f"{name}: is not an HDF5 file", said)
                self.assertIn(kind, said)
            if name not in ("weights", "empty"):
                said = self.refused("check", self.config, "--model.weights", name)
                self.assertIn(f"{name}: not a safetensors file", said)
                self.assertIn(kind, said)
                if name != "data":
                    self.assertIn(kind, self.refused("inspect", name))
            said = self.refused("check", bert, "--model.config", name)
            self.assertIn(f"{name}: not a JSON object; it is ", said)
            self.assertIn(kind, said)
        for said in (self.refused("check", self.config, "--data.file", self.config),
                     self.refused("check", self.config, "--model.weights", self.config)):
            self.assertIn("it is a text file", said)
        self.assertIn("it is JSON", self.refused("check", "config.json"))

    def test_what_a_run_goes_on_from_is_no_file(self):
        weights = self.trained()
        others = self.others(weights)
        for name in ("pointer", "weights"):
            kind = others[name]
            said = self.refused("train", self.config, "--run-dir", "new", "--resume", name)
            self.assertIn(f"--resume {name}: a checkpoint's folder is wanted, or a run's, not a file; "
                          "it is ", said)
            self.assertIn(kind, said)
            said = self.refused("schedule", "--from", name)
            self.assertIn(f"{name}: a run's folder is wanted, not a file; it is ", said)
            self.assertIn(kind, said)
        for name in ("run/metrics.jsonl",):
            self.assertIn("name the folder that it lies in",
                          self.refused("train", self.config, "--run-dir", "new", "--resume", name))
            self.assertIn("name the folder that it lies in",
                          self.refused("schedule", "--from", name))
        (self.folder / "folder").mkdir()
        for command, says in ((("train", self.config, "--run-dir", "new", "--resume"),
                               "this folder holds no checkpoint"),
                              (("schedule", "--from"), "this folder holds no run")):
            self.assertIn(f"folder: {says}", self.refused(*command, "folder"))
            self.assertIn("latest: there is no such folder", self.refused(*command, "latest"))
        self.assertIn("--resume latest", self.refused("train", self.config, "--run-dir", "new",
                                                      "--resume", "latest", ranks=2))
        self.assertFalse((self.folder / "new").exists())

    def test_a_log_is_read_within_bounds_whatever_it_is(self):
        self.trained()
        log = self.folder / "run" / "metrics.jsonl"
        whole = log.read_bytes()
        from_run = ("schedule", "--from", "run")
        self.thaw(*from_run)
        log.write_bytes(whole + b'{"event": "step", "step"')  # what a killed run has left
        self.thaw(*from_run)
        log.write_bytes(whole.replace(b"\n", b"\n" + b"x" * (20 << 20) + b"\n", 1))
        said = self.refused(*from_run)
        self.assertIn("run/metrics.jsonl: cannot be read: line 2 is longer than 16 MiB", said)
        log.write_bytes(b"[" * 100_000 + b"\n")
        self.assertIn("run/metrics.jsonl:1: is no event of a run", self.refused(*from_run))
        log.unlink()
        os.mkfifo(log)
        begun = time.monotonic()
        self.assertIn("run/metrics.jsonl: cannot be read: it is a pipe or a device",
                      self.refused(*from_run))
        self.assertLess(time.monotonic() - begun, 60)
        log.unlink()
        log.symlink_to("/dev/zero")
        self.assertIn("line 1 is longer than", self.refused(*from_run))


class Tokenizers(CommandTest):
    """Three files: `a` made the data, `again` is the same written anew, `b` is another one."""

    def setUp(self):
        super().setUp()
        self.tiny_bert()
        self.texts()
        tokenizer = {"version": "1.0", "padding": {"length": 8}, "added_tokens": [],
                     "model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "é": 1, "c": 2}}}
        self.write("a.json", json.dumps(tokenizer))
        self.write("again.json", json.dumps(tokenizer | {"padding": None}, indent=2,
                                            ensure_ascii=False))
        tokenizer["model"]["vocab"] = {"[PAD]": 0, "é": 2, "c": 1}
        self.write("b.json", json.dumps(tokenizer))
        self.config = self.bert_config(schedule=ONE_STEP)

    def train(self, *arguments, **options):
        return self.thaw("train", self.config, "--run-dir", "run", "--output.progress", "off",
                         *arguments, **options)

    def tell_data(self, name):
        """Has the data say of themselves what prepare.py writes."""
        content = (self.folder / name).read_bytes()
        value = json.loads(content)
        value = {key: value[key] for key in value if key not in ("truncation", "padding", "version")}
        value["direction"] = "right"
        with h5py.File(self.folder / "texts.h5", "a") as file:
            file.attrs["tokenizer"] = name
            file.attrs["tokenizer_sha256"] = hashlib.sha256(content).hexdigest()
            file.attrs["tokenizer_function"] = hashlib.sha256(
                json.dumps(value, sort_keys=True).encode()).hexdigest()

    def export(self, name):
        return ("export", self.config, "--weights", "run/weights.safetensors", "--model.tokenizer",
                name, "out")

    def test_another_than_made_the_data_is_refused_at_every_step(self):
        self.tell_data("a.json")
        for name in ("a.json", "again.json"):
            self.thaw("check", self.config, "--model.tokenizer", name)
        said = "command line: --model.tokenizer: b.json is another tokenizer than the one that made " \
               "the tokens of texts.h5 (a.json)"
        self.assertIn(said, self.refused("check", self.config, "--model.tokenizer", "b.json"))
        self.assertIn(said, self.refused("train", self.config, "--run-dir", "run",
                                         "--model.tokenizer", "b.json", ranks=2))
        self.assertFalse((self.folder / "run").exists())
        self.train("--model.tokenizer", "again.json")
        self.assertIn("b.json: is another tokenizer than the one that these weights were trained "
                      "with (a.json)", self.refused(*self.export("b.json")))
        self.assertFalse((self.folder / "out").exists())
        self.thaw(*self.export("again.json"))
        # Data of another one, even where it makes the same tokens of these texts.
        self.tell_data("b.json")
        for command in ("predict", "evaluate"):
            self.assertIn("another tokenizer's", self.refused(command, self.config, "--weights",
                                                              "run/weights.safetensors"))
        said = self.refused("train", self.config, "--run-dir", "run")
        self.assertRegex(said, "data.file: holds other data: tokenizer was [0-9a-f]{64} when")

    def test_of_data_that_do_not_tell_the_one_that_was_named_is_remembered(self):
        self.train("--model.tokenizer", "a.json")
        self.assertIn("b.json: is another tokenizer", self.refused(*self.export("b.json")))
        said = self.refused("train", self.config, "--run-dir", "run", "--model.tokenizer", "b.json")
        self.assertRegex(said, "data.file: holds other data: tokenizer was [0-9a-f]{64} when")
        self.assertIn("nothing is left", self.train("--model.tokenizer", "again.json").stdout)
        self.assertIn("nothing is left", self.train().stdout)  # not named, it is not compared
        self.thaw(*self.export("a.json"))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
