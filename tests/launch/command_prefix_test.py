"""`train.prefix-cache`: outputs of the frozen groups are made once and read, with the same bits at any
number of ranks, whatever becomes of the files; what would change them is refused or told."""

import json
import os
import signal
import subprocess
import time
import unittest

from command_fixture import THAW, CommandTest, require

STAGES = """[schedule]
preset = "top-down"
groups-per-stage = 2
learning-rate = 1e-3
stage-epochs = 2"""
SWEPT = """[schedule]
preset = "head-only"
learning-rate = 1e-3
total-epochs = 2"""
LONG = """[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 1e-3
until = { epochs = 30 }"""
CANONICAL = ('reduction = "canonical"', "shards = 4", "threads = 1")


class PrefixTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.texts(train=65, vocabulary=3000)
        self.tiny_bert(layers=2, vocabulary=3000)
        self.config = self.bert_config(schedule=STAGES)

    def train(self, run, use, *flags, **settings):
        return self.thaw("train", self.config, "--run-dir", run, "--train.prefix-cache", use,
                         "--train.prefix-cache-folder", "cache", *flags, **settings)

    def weights(self, run):
        return (self.folder / run / "weights.safetensors").read_bytes()

    def losses(self, run):
        return [line["loss"] for line in self.metrics(run)]

    def cached(self, run):
        """What the log says of the training split, but for times."""
        return [line for line in self.metrics(run, "prefix-cache") if line["split"] == "train"]

    def files(self):
        return sorted((self.folder / "cache").glob("*.activations.h5"))


class Bits(PrefixTest):
    def test_bfloat16_has_those_of_a_run_without(self):
        flags = ("--train.precision", "bfloat16")
        self.train("without", "off", *flags)
        self.train("with", "on", *flags)
        self.assertEqual([line["used"] for line in self.cached("with")], [True, True])
        if all(line["same_bits"] for line in self.metrics("with", "prefix-cache")):
            self.assertEqual(self.weights("with"), self.weights("without"))
            self.assertEqual(self.metrics("with", "evaluation")[-1]["loss"],
                             self.metrics("without", "evaluation")[-1]["loss"])
        else:
            self.fail("products in bfloat16 depend on the batch here: "
                      + self.cached("with")[0]["text"])

    def test_float32_is_equal_to_rounding_and_to_itself(self):
        self.train("without", "off")
        self.train("with", "on")
        for one, other in zip(self.losses("with"), self.losses("without"), strict=True):
            self.assertAlmostEqual(one, other, delta=1e-4)
        self.train("again", "on")
        self.assertEqual(self.weights("again"), self.weights("with"))
        self.assertFalse(any(line["made"] for line in self.cached("again")))
        for path in self.files():
            path.unlink()
        self.train("anew", "on")
        self.assertEqual(self.weights("anew"), self.weights("with"))

    def test_canonical_at_any_number_of_ranks(self):
        self.config = self.bert_config(schedule=STAGES, extra="\n".join(CANONICAL))
        self.train("on1", "on")
        for ranks in (2, 3):
            for path in self.files():
                path.unlink()
            self.train(f"on{ranks}", "on", ranks=ranks)
            self.assertEqual(self.weights(f"on{ranks}"), self.weights("on1"), ranks)
            self.assertTrue(self.cached(f"on{ranks}")[0]["made"])

    def test_images(self):
        self.images(train=61)
        self.config = self.resnet_config(extra="")
        self.train("without", "off")
        self.train("with", "on")
        self.assertEqual([line["used"] for line in self.cached("with")], [True, True])
        if all(line["same_bits"] for line in self.metrics("with", "prefix-cache")):
            self.assertEqual(self.weights("with"), self.weights("without"))
        for one, other in zip(self.losses("with"), self.losses("without"), strict=True):
            self.assertAlmostEqual(one, other, delta=1e-3)

    def test_resumed_with_and_without_its_files(self):
        every = ("--checkpoint.every-steps", "1", "--checkpoint.keep", "100")
        self.train("whole", "on", *every)
        for step, kept in ((3, True), (8, False)):
            (source,) = (self.folder / "whole" / "checkpoints").glob(f"step-{step:09}*")
            if not kept:
                for path in self.files():
                    path.unlink()
            run = f"from{step}"
            self.train(run, "on", "--resume", source.relative_to(self.folder))
            self.assertEqual(self.weights(run), self.weights("whole"))


class Files(PrefixTest):
    def test_damage_and_what_others_left(self):
        self.train("run", "on")
        for path in self.files():
            with open(path, "r+b") as stream:
                stream.seek(-5, os.SEEK_END)
                byte = stream.read(1)
                stream.seek(-5, os.SEEK_END)
                stream.write(bytes([byte[0] ^ 0x55]))
        told = self.train("mended", "on").stderr
        self.assertIn("was damaged", told)
        self.assertEqual(self.weights("mended"), self.weights("run"))
        for path in self.files():
            path.write_bytes(path.read_bytes()[:6000])
        self.train("anew", "on")
        self.assertEqual(self.weights("anew"), self.weights("run"))
        self.assertTrue(self.cached("anew")[0]["made"])

    def test_a_run_that_is_killed_while_it_fills(self):
        self.texts(train=20000, validation=20, vocabulary=3000)
        command = [THAW, "train", self.config, "--run-dir", "killed", "--train.prefix-cache", "on",
                   "--train.prefix-cache-folder", "cache"]
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log,
                                       env=dict(os.environ, OMP_NUM_THREADS="1"))
        for _ in range(2400):
            partial = list((self.folder / "cache").glob("*.partial.*"))
            if partial or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertTrue(partial, (self.folder / "log").read_text(encoding="utf-8"))
        self.assertEqual(self.files(), [])
        flags = ("--schedule.stage-epochs", "0", "--schedule.stage-steps", "5")
        self.train("after", "on", *flags)
        self.assertTrue(self.cached("after")[0]["made"])
        self.assertEqual(list((self.folder / "cache").glob("*.partial.*")), [])

    def test_several_runs_make_them_once(self):
        command = [THAW, "train", self.config, "--train.prefix-cache", "on",
                   "--train.prefix-cache-folder", "cache"]
        runs = [subprocess.Popen([*command, "--run-dir", f"run{seed}", "--data.seed", str(seed)],
                                 cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=dict(os.environ, OMP_NUM_THREADS="1")) for seed in range(3)]
        for run in runs:
            _, told = run.communicate(timeout=240)
            self.assertEqual(run.returncode, 0, told)
        # Of training and validation, a boundary for each of two stages.
        self.assertEqual(len(self.files()), 4)

    def test_no_room(self):
        told = self.thaw("train", self.config, "--run-dir", "on", "--train.prefix-cache", "on",
                         "--train.prefix-cache-folder", "cache", "--train.prefix-cache-gib",
                         "1e-6", status=3).stderr
        self.assertIn("train.prefix-cache-gib", told)
        self.config = self.bert_config(schedule=LONG, extra='precision = "bfloat16"')
        self.train("auto", "auto", "--train.prefix-cache-gib", "1e-6")
        (line,) = self.cached("auto")
        self.assertFalse(line["used"])
        self.assertIn("train.prefix-cache-gib", line["text"])


class Compared(PrefixTest):
    def test_runs_measure_the_training_split_themselves(self):
        self.config = self.bert_config(schedule=SWEPT)
        told = self.thaw("compare", self.config, "--schedules", "head-only", "--seeds", "1",
                         "--learning-rates", "1e-3,1e-2", "--train.prefix-cache", "on",
                         "--train.prefix-cache-folder", "cache", "--output", "cmp").stdout
        self.assertNotIn(": train split", told)
        runs = self.folder / "cmp" / "runs" / "head-only"
        (measured,) = runs.glob("rate-*/seed-0/evaluation.train.json")
        found = json.loads(measured.read_text(encoding="utf-8"))
        expected = json.loads(self.thaw("evaluate", measured.parent.relative_to(self.folder),
                                        "--weights", "last", "--split", "train").stdout)
        self.assertEqual(list(found), list(expected))
        self.assertEqual(found["samples"], expected["samples"])
        self.assertAlmostEqual(found["loss"], expected["loss"], delta=1e-4)
        # Runs that chose the rate have their weights, and nothing measured of them.
        chosen_by = sorted(runs.glob("rate-*/seed-1"))
        self.assertEqual(len(chosen_by), 2)
        for run in chosen_by:
            self.assertTrue((run / "weights.safetensors").exists())
            self.assertTrue((run / "weights.best.safetensors").exists())
            self.assertFalse((run / "evaluation.train.json").exists())

    def test_runs_on_two_ranks_do_so_too(self):
        self.config = self.bert_config(schedule=SWEPT)
        told = self.thaw("compare", self.config, "--schedules", "head-only", "--seeds", "1",
                         "--ranks", "2", "--train.prefix-cache", "on",
                         "--train.prefix-cache-folder", "cache", "--output", "cmp").stdout
        self.assertNotIn(": train split", told)
        run = self.folder / "cmp" / "runs" / "head-only" / "seed-0"
        found = json.loads((run / "evaluation.train.json").read_text(encoding="utf-8"))
        expected = json.loads(self.thaw("evaluate", run.relative_to(self.folder), "--weights",
                                        "last", "--split", "train").stdout)
        self.assertEqual(list(found), list(expected))
        self.assertEqual(found["samples"], 65)  # of both ranks
        self.assertEqual(expected["samples"], 65)
        self.assertAlmostEqual(found["loss"], expected["loss"], delta=1e-4)

    def test_a_run_is_done_where_they_find_no_place(self):
        stage = LONG.replace("30", "2")
        config = self.bert_config("one.toml", stage)
        added = stage.replace('name = "head"', 'name = "more"')
        more = self.bert_config("two.toml", f"{stage}\n{added}")
        for ranks in (0, 2):
            with self.subTest(ranks=ranks):
                run = self.folder / f"run{ranks}"
                cached = ("--train.prefix-cache", "on", "--run-dir", run)
                self.thaw("train", config, *cached, ranks=ranks)
                in_the_way = run / "evaluation.train.json" / "a folder"
                in_the_way.mkdir(parents=True)
                said = self.thaw("train", more, *cached, "--measure-cached", ranks=ranks).stderr
                self.assertRegex(said, r"thaw: warning: \S*evaluation\.train\.json\S*: cannot ")
                self.assertEqual(said.count("the run is done, and `thaw evaluate` finds it out"), 1)
                self.assertTrue(in_the_way.is_dir())
                self.assertEqual(len(self.summary(run)["stages"]), 2)
                self.assertTrue((run / "weights.safetensors").exists())

    def test_figures_of_other_weights_do_not_stay(self):
        stage = LONG.replace("30", "2")
        config = self.bert_config("one.toml", stage)
        added = stage.replace('name = "head"', 'name = "more"')
        more = self.bert_config("two.toml", f"{stage}\n{added}")
        cached = ("--train.prefix-cache", "on", "--run-dir", "run")
        self.thaw("train", config, *cached, "--measure-cached")
        measured = self.folder / "run" / "evaluation.train.json"
        self.assertTrue(measured.exists())
        self.thaw("train", more, *cached, "--resume", "auto")
        self.assertFalse(measured.exists())


class Told(PrefixTest):
    def test_refusals_before_training(self):
        for flags, expected in (
                (("--train.frozen-dropout", "on"), "dropout of frozen layers is on"),
                (("--schedule.preset", "full"), "every stage trains the model's first group")):
            for command in (("train", self.config, "--run-dir", "run"), ("check", self.config)):
                told = self.refused(*command, "--train.prefix-cache", "on", *flags)
                self.assertIn(expected, told)
        self.images()
        config = self.resnet_config()
        for flags, expected in (
                (("--data.horizontal-flip", "true"), "data.horizontal-flip"),
                (("--train.frozen-batch-norm", "update"), "running statistics of the frozen batch")):
            told = self.refused("check", config, "--train.prefix-cache", "on", *flags)
            self.assertIn(expected, told)
        self.assertFalse((self.folder / "run").exists())

    def test_check_says_what_it_can_do(self):
        told = self.thaw("check", self.config).stdout
        self.assertIn("prefix cache (auto", told)
        self.assertIn("outputs of encoder.1, ", told)
        self.assertNotIn("prefix cache", self.thaw("check", self.config, "--train.prefix-cache",
                                                   "off").stdout)

    def test_auto_decides_with_its_numbers(self):
        self.config = self.bert_config(schedule=LONG, extra='precision = "bfloat16"')
        self.train("without", "off")
        told = self.train("auto", "auto").stdout
        self.assertIn("prefix cache (train): ", told)
        (line,) = self.cached("auto")
        self.assertIn("samples to come", line["text"])
        self.assertEqual(self.weights("auto"), self.weights("without"))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
