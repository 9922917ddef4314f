"""What is trained has one identity: all ranks agree on it, a checkpoint holds it, and what differs is
named before anything is trained."""

import json
import os
import shutil
import subprocess
import unittest

import h5py

from command_fixture import MPIEXEC, THAW, CommandTest, require, two_stages

EVERY_STEP = ("--checkpoint.every-steps", "1")


class OneIdentity(CommandTest):
    def change(self, file, change):
        """Opens an HDF5 file for `change`."""
        with h5py.File(self.folder / file, "r+") as opened:
            change(opened)

    def pixel(self, opened):
        opened["train/inputs"][5, 1, 2, 3] ^= 1

    def parts(self, whole, split_at):
        """The same data in two files, the second one compressed."""
        with h5py.File(self.folder / whole) as source:
            for name, half in (("part1.h5", slice(0, split_at)), ("part2.h5", slice(split_at, None))):
                with h5py.File(self.folder / name, "w") as part:
                    for split in source:
                        rows = half if split == "train" else (
                            slice(None) if name == "part1.h5" else slice(0, 0))
                        inputs = source[split]["inputs"][rows]
                        if not len(inputs):
                            continue
                        chunks = {"chunks": (4, 1, 8, 8), "compression": 4} \
                            if name == "part2.h5" else {}
                        part.create_dataset(f"{split}/inputs", data=inputs, **chunks)
                        part[f"{split}/labels"] = source[split]["labels"][rows]
                    for key, value in source.attrs.items():
                        part.attrs[key] = value

    def age(self, *files):
        """Waits until nobody could have written these files since they were looked at."""
        for _ in range(40):
            newest = max(os.stat(self.folder / file).st_ctime for file in files)
            subprocess.run(["sleep", "0.1"], check=True)
            self.write("clock", "")
            if os.stat(self.folder / "clock").st_ctime > newest + 2.1:
                return


class Resumed(OneIdentity):
    def setUp(self):
        super().setUp()
        self.images()
        self.config = self.resnet_config(stages=two_stages("steps = 2", "steps = 2"))
        self.thaw("train", self.config, "--run-dir", "run", *EVERY_STEP)
        shutil.copy(self.folder / "images.h5", self.folder / "kept.h5")

    def refused_with(self, change):
        shutil.copy(self.folder / "kept.h5", self.folder / "images.h5")
        self.change("images.h5", change)
        return self.refused("train", self.config, "--run-dir", "run")

    def test_what_is_other_data_is_named(self):
        def names(opened):
            opened.attrs["classes"] = ["class 0", "class 2", "class 1"]

        def mean(opened):
            opened.attrs["mean"] = [0.5, 0.5, 0.25]

        def label(opened):
            opened["validation/labels"][0] = 2

        for change, says in (
                (self.pixel, "split train: inputs differ from when the run began"),
                (names, "classes was"), (mean, "mean was 0.5, 0.5, 0.5 when the run began, is 0.5, "
                                         "0.5, 0.25 now"),
                (label, "split validation: labels differ")):
            message = self.refused_with(change)
            self.assertIn("data.file: ", message)
            self.assertIn(says, message)

    def test_what_is_not_read_may_change_and_files_may_be_split(self):
        def test_split(opened):
            del opened["test"]

        shutil.copy(self.folder / "kept.h5", self.folder / "images.h5")
        self.change("images.h5", test_split)
        place = sorted((self.folder / "run/checkpoints").iterdir())[0].name
        self.thaw("train", self.config, "--run-dir", "new", "--resume", f"run/checkpoints/{place}")
        self.parts("kept.h5", 20)
        self.thaw("train", self.config, "--run-dir", "newer", "--resume",
                  f"run/checkpoints/{place}", "--data.file", "part1.h5,part2.h5")
        whole, parts = (self.metrics(run)[-1]["loss"] for run in ("new", "newer"))
        self.assertEqual(whole, parts)

    def test_each_checkpoint_holds_it_by_name(self):
        state = sorted((self.folder / "run/checkpoints").glob("*/state.json"))[0]
        facts = json.loads(state.read_text(encoding="utf-8"))["facts"]
        names = facts["identity"].keys()
        for name in ("program: version", "LibTorch: version", "model: tensors",
                     "model.weights: content", "data.file: classes",
                     "data.file: split train: inputs", "data.file: split validation: labels"):
            self.assertIn(name, names)
        self.assertFalse([name for name in names if "split test" in name])


class Kept(OneIdentity):
    def setUp(self):
        super().setUp()
        self.images()
        self.config = self.resnet_config(stages=two_stages("steps = 1", "steps = 1"))

    def kept(self):
        return json.loads((self.folder / "run/identity.json").read_text(encoding="utf-8"))

    def rewrite(self, change):
        """Writes the file anew as the command would have, with something changed."""
        identity = self.kept()
        change(identity["body"])
        (self.folder / "run/identity.json").write_text(json.dumps(identity), encoding="utf-8")

    def test_files_are_known_again_by_their_stamps(self):
        self.age("images.h5")
        self.thaw("train", self.config, "--run-dir", "run", *EVERY_STEP)
        train, validation = self.kept()["body"]["splits"]
        self.assertEqual([train["split"], validation["split"]], ["train", "validation"])
        stat = os.stat(self.folder / "images.h5")
        source = train["sources"][0]
        self.assertEqual([source[key] for key in ("device", "inode", "size", "modified_ns",
                                                  "changed_ns")],
                         [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns,
                          stat.st_ctime_ns])
        # Touched, with the same content: the run is finished all the same.
        os.utime(self.folder / "images.h5")
        self.assertIn("this run is finished",
                      self.thaw("train", self.config, "--run-dir", "run").stdout)
        # Another pixel with its old times: the time of change tells.
        self.change("images.h5", self.pixel)
        os.utime(self.folder / "images.h5", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        self.assertIn("inputs differ", self.refused("train", self.config, "--run-dir", "run"))

    def test_a_damaged_one_is_told_and_not_believed(self):
        self.age("images.h5")
        self.thaw("train", self.config, "--run-dir", "run", *EVERY_STEP)
        self.rewrite(lambda body: body["splits"][0].update(content="0" * 32))
        done = self.thaw("train", self.config, "--run-dir", "run")
        self.assertIn("identity.json: is damaged; all data is read anew", done.stderr)
        self.assertIn("this run is finished", done.stdout)

    def test_a_refused_start_writes_nothing(self):
        self.refused("train", self.config, "--run-dir", "run", "--resume", "nothing")
        self.assertFalse((self.folder / "run").exists())

    def test_a_flipped_byte_of_decoded_data_is_found(self):
        with h5py.File(self.folder / "images.h5") as source:
            inputs = source["train/inputs"][:]
        def chunked(opened):
            del opened["train/inputs"]
            opened.create_dataset("train/inputs", data=inputs, chunks=(5, 1, 8, 8), compression=4)
        self.change("images.h5", chunked)
        arguments = ("train", self.config, "--data.cache", str(self.folder / "cache"))
        self.thaw(*arguments, "--run-dir", "one")
        (cache,) = (self.folder / "cache").glob("*.bin")
        content = bytearray(cache.read_bytes())
        content[4096 + 1000] ^= 8
        cache.write_bytes(content)
        done = self.thaw(*arguments, "--run-dir", "two")
        self.assertIn("was damaged between bytes", done.stderr)
        self.assertEqual(*(self.metrics(run)[-1]["loss"] for run in ("one", "two")))


class Ranks(OneIdentity):
    """Rank 1 in a folder of its own."""

    def on_two(self, change, status, *arguments, config="resnet.toml"):
        other = self.folder / "other"
        shutil.rmtree(other, ignore_errors=True)
        other.mkdir()
        for file in self.folder.iterdir():
            if file.is_file():
                shutil.copy(file, other)
        change(other)
        command = [MPIEXEC]
        for index, folder in enumerate((self.folder, other)):
            command += ([":"] if index else []) + [
                "-n", "1", "-wdir", str(folder), THAW, "train", config, "--run-dir",
                str(self.folder / "run"), *arguments]
        done = subprocess.run(command, cwd=self.folder, text=True, capture_output=True, timeout=120,
                              check=False, env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.assertEqual(done.returncode, status, done.stderr)
        if status:
            self.assertFalse((self.folder / "run").exists())
        return done.stderr

    def test_another_activation_function_on_one_rank(self):
        self.texts()
        self.tiny_bert()
        config = self.bert_config()
        def relu(folder):
            file = folder / "config.json"
            file.write_text(file.read_text(encoding="utf-8").replace('"gelu"', '"relu"'),
                            encoding="utf-8")
        message = self.on_two(relu, 2, config=config)
        self.assertIn('model.config: hidden_act "gelu" on rank 0; "relu" on rank 1', message)
        self.assertIn(os.uname().nodename, message)
        def layers(folder):
            file = folder / "config.json"
            file.write_text(file.read_text(encoding="utf-8").replace(
                '"num_hidden_layers": 2', '"num_hidden_layers": 1'), encoding="utf-8")
        self.assertIn("num_hidden_layers 2 on rank 0; 1 on rank 1",
                      self.on_two(layers, 2, config=config))

    def test_another_pixel_or_other_weights_on_one_rank(self):
        self.images()
        config = self.resnet_config(stages=two_stages("steps = 1", "steps = 1"))
        def pixel(folder):
            with h5py.File(folder / "images.h5", "r+") as opened:
                self.pixel(opened)
        message = self.on_two(pixel, 2)
        self.assertIn("data.file: split train: inputs", message)
        self.assertIn("on rank 1", message)
        self.on_two(lambda folder: None, 0)
        weights = self.folder / "run/weights.safetensors"
        shutil.copy(weights, self.folder / "weights.safetensors")
        shutil.rmtree(self.folder / "run")
        def flipped(folder):
            content = bytearray((folder / "weights.safetensors").read_bytes())
            content[-3] ^= 1
            (folder / "weights.safetensors").write_bytes(content)
        message = self.on_two(flipped, 2, "--model.weights", "weights.safetensors",
                              "--model.head", "loaded", config=config)
        self.assertIn("model.weights", message)

    def test_other_flags_on_one_rank(self):
        self.images()
        config = self.resnet_config()
        command = [MPIEXEC, "-n", "1", THAW, "train", config, "--run-dir", "run", ":", "-n", "1",
                   THAW, "train", config, "--run-dir", "run", "--train.momentum", "0.5"]
        done = subprocess.run(command, cwd=self.folder, text=True, capture_output=True, timeout=120,
                              check=False, env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("train.momentum: 0.9 on rank 0; 0.5 on rank 1", done.stderr)
        self.assertFalse((self.folder / "run").exists())


class Compared(OneIdentity):
    def test_a_comparison_of_other_data_is_refused(self):
        self.images()
        config = self.resnet_config(stages="""
[schedule]
preset = "full"
learning-rate = 0.02
total-epochs = 1
""")
        arguments = ("compare", config, "--schedules", "full", "--seeds", "1", "--output", "cmp")
        self.thaw(*arguments)
        self.assertIn("1 of 1 runs are there already", self.thaw(*arguments).stdout)
        self.change("images.h5", self.pixel)
        message = self.refused(*arguments)
        self.assertIn("holds a comparison of something else", message)
        self.assertIn("data.file: split train: inputs", message)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
