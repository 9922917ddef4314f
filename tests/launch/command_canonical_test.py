"""`train.reduction = "canonical"`: the same bits at any number of ranks, also after a resume at
another number; what would break that is refused."""

import unittest

from command_fixture import CommandTest, require

STAGES = """[schedule]
preset = "top-down"
groups-per-stage = 2
learning-rate = 1e-3
stage-epochs = 1"""
OPTIONS = 'reduction = "canonical"\nshards = 5\nthreads = 1\nclip-norm = 0.5'
EVERY_STEP = ("--checkpoint.every-steps", "1", "--checkpoint.keep", "100")


class CanonicalTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.texts(train=35)  # batches of 16, 16 and 3: a rank or two without samples
        self.tiny_bert(vocabulary=3000)
        self.config = self.bert_config(schedule=STAGES, extra=OPTIONS)

    def texts(self, *arguments, **settings):
        return super().texts(*arguments, vocabulary=3000, **settings)

    def train(self, run, *flags, ranks=0):
        return self.thaw("train", self.config, "--run-dir", run, *flags, ranks=ranks)

    def weights(self, run, name="weights.safetensors"):
        return (self.folder / run / name).read_bytes()

    def figures(self, run):
        """What the log says of steps and evaluations, but for times."""
        return ([[line[key] for key in ("step", "stage", "loss", "gradient_norm", "learning_rate")]
                 for line in self.metrics(run)],
                [[line[key] for key in ("step", "loss", "accuracy", "best")]
                 for line in self.metrics(run, "evaluation")])

    def expect_same(self, run, expected):
        self.assertEqual(self.figures(run), self.figures(expected))
        for name in ("weights.safetensors", "weights.best.safetensors"):
            self.assertEqual(self.weights(run, name), self.weights(expected, name), name)

    def place(self, run, step):
        (found,) = (self.folder / run / "checkpoints").glob(f"step-{step:09}*")
        return str(found.relative_to(self.folder))


class SameBits(CanonicalTest):
    def test_at_one_to_four_ranks(self):
        self.train("on1")
        self.assertEqual(len(self.metrics("on1", "transition")), 3)
        for ranks in (2, 3, 4):
            self.train(f"on{ranks}", ranks=ranks)
            self.expect_same(f"on{ranks}", "on1")

    def test_of_products_that_onednn_computes(self):
        """Of many rows and wide layers: how it adds up follows from their number."""
        self.texts(train=96)
        self.tiny_bert(hidden=128, vocabulary=3000)
        for ranks in (0, 2, 3, 4):
            self.train(f"on{ranks}", "--data.batch", "48", ranks=ranks)
            self.expect_same(f"on{ranks}", "on0")

    def test_which_the_default_does_not_have(self):
        for ranks in (1, 3):
            self.train(f"on{ranks}", "--train.reduction", "buckets", ranks=ranks)
        self.assertNotEqual(self.weights("on3"), self.weights("on1"))

    def test_with_gradient_checkpointing(self):
        self.train("plain")
        self.train("recomputed", "--train.gradient-checkpointing", "true", ranks=2)
        self.expect_same("recomputed", "plain")

    def test_after_a_resume_at_another_number_of_ranks(self):
        self.train("whole", *EVERY_STEP, ranks=2)
        for step, ranks in ((2, 0), (4, 3)):
            run = f"on{ranks}"
            done = self.train(run, "--resume", self.place("whole", step), ranks=ranks)
            self.assertNotIn("bits may differ", done.stderr)
            self.assertEqual(self.weights(run), self.weights("whole"))
            steps, _ = self.figures("whole")
            self.assertEqual(self.figures(run)[0], steps[step:])

    def test_evaluate_too(self):
        self.train("run")
        found = set()
        for ranks in (0, 2, 3):
            line = self.thaw("evaluate", self.config, "--weights", "run/weights.safetensors",
                             "--split", "test", ranks=ranks).stdout
            found.add(line[:line.index('"seconds"')])
        self.assertEqual(len(found), 1, found)


class Refused(CanonicalTest):
    def test_what_a_run_cannot_keep(self):
        told = self.refused("train", self.config, "--run-dir", "run", "--train.shards", "2",
                            ranks=3)
        self.assertIn("train.shards: is 2, and there are 3 ranks", told)
        self.assertEqual(told.count("train.shards"), 1, told)
        for flags, expected in (
                (("--train.threads", "0"), "\"canonical\" needs train.threads"),
                (("--train.micro-batch", "4"), "train.micro-batch: \"canonical\" runs each shard")):
            for command in (("train", self.config, "--run-dir", "run"), ("check", self.config)):
                self.assertIn(expected, self.refused(*command, *flags))
        self.images()
        config = self.resnet_config(extra=OPTIONS)
        told = self.refused("check", config)
        self.assertIn(f"{config}:13: train.reduction: \"canonical\" knows no statistics", told)
        self.assertFalse((self.folder / "run").exists())

    def test_other_machines_and_mathematics_on_resume(self):
        self.train("run", *EVERY_STEP)
        source = self.place("run", 3)
        command = ("train", self.config, "--run-dir", "on", "--resume", source)
        told = self.thaw(*command, status=2,
                         environment={"ATEN_CPU_CAPABILITY": "default"}).stderr
        self.assertIn("CPU instructions: ", told)
        self.assertIn("train.reduction \"canonical\" refuses other bits", told)
        told = self.refused(*command, "--train.threads", "2")
        self.assertIn("(train.threads): 1 before, 2 now", told)
        told = self.refused(*command, "--train.shards", "6")
        self.assertIn("train.shards: was 5 when the run began, is 6 now", told)
        told = self.refused(*command, "--train.reduction", "buckets")
        self.assertIn("train.reduction: was \"canonical\" when the run began", told)

    def test_check_says_how_gradients_are_summed(self):
        told = self.thaw("check", self.config).stdout
        self.assertIn("canonical sum over 5 shards of a batch, the same bits on 1 to 5 ranks", told)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
