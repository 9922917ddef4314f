"""`thaw train` from the outside: what it writes, and the same training at any number of ranks."""

import json
import unittest

from command_fixture import CommandTest, np, require
from safetensors_reader import tensors

TOP_DOWN = '[schedule]\npreset = "top-down"\nlearning-rate = 1e-3\nstage-epochs = 1'


def relative(a, b):
    return max(abs(x - y) / max(abs(y), 1e-12) for x, y in zip(a, b))


class RunFolder(CommandTest):
    def test_a_run_leaves_everything_that_is_promised(self):
        self.images()
        self.thaw("train", self.resnet_config(), "--run-dir", "run", ranks=2)
        run = self.folder / "run"
        for name in ("config.resolved.toml", "metrics.jsonl", "summary.json",
                     "weights.safetensors", "weights.best.safetensors"):
            self.assertTrue((run / name).is_file(), name)
        steps = self.metrics("run")
        self.assertEqual([step["step"] for step in steps], list(range(1, 9)))  # 2 x (12+12+12+1)
        self.assertEqual([step["samples"] for step in steps], [12, 12, 12, 1] * 2)
        for step in steps:
            for key in ("epoch", "stage", "loss", "learning_rate", "samples_per_second",
                        "bytes_reduced", "seconds"):
                self.assertIn(key, step)
        self.assertEqual([t["stage"] for t in self.metrics("run", "transition")],
                         ["head", "upper"])
        self.assertEqual(len(self.metrics("run", "evaluation")), 2)
        self.assertEqual(len(self.metrics("run", "end")), 1)
        stages = self.summary("run")["stages"]
        self.assertEqual([s["active_parameters"] for s in stages][0], 64 * 3 + 3)
        for stage, line in zip(stages, (steps[0], steps[-1])):
            self.assertEqual(stage["bytes_reduced_per_step"], 4 * stage["active_parameters"])
            self.assertEqual(line["bytes_reduced"], 4 * stage["active_parameters"])
            self.assertGreater(stage["peak_memory_bytes"], 10_000_000)

    def test_the_resolved_configuration_gives_the_identical_run(self):
        self.images()
        self.thaw("train", self.resnet_config(), "--run-dir", "a", "--train.seed", 3)
        self.thaw("train", "a/config.resolved.toml", "--run-dir", "b")
        losses = [[s["loss"] for s in self.metrics(run)] for run in ("a", "b")]
        self.assertEqual(losses[0], losses[1])
        self.assertEqual((self.folder / "a/weights.safetensors").read_bytes(),
                         (self.folder / "b/weights.safetensors").read_bytes())

    def test_a_preset_and_its_written_out_form_give_the_identical_run(self):
        self.texts()
        self.tiny_bert()
        self.bert_config("preset.toml", TOP_DOWN)
        stages = self.thaw("schedule", "preset.toml").stdout
        self.assertIn("[[schedule.stage]]", stages)
        self.bert_config("explicit.toml", stages)
        self.thaw("train", "preset.toml", "--run-dir", "a")
        self.thaw("train", "explicit.toml", "--run-dir", "b")
        self.assertEqual((self.folder / "a/weights.safetensors").read_bytes(),
                         (self.folder / "b/weights.safetensors").read_bytes())

    def test_a_folder_with_a_run_is_never_overwritten(self):
        self.images()
        config = self.resnet_config()
        said = self.thaw("train", config, "--run-dir", "run").stdout
        kept = len(list((self.folder / "run/checkpoints").iterdir()))
        self.assertRegex(said, rf"\d.* there, \d.* of it in {kept} checkpoints? to go on from")
        before = (self.folder / "run/metrics.jsonl").read_bytes()
        for ranks in (0, 2):
            message = self.refused("train", config, "--run-dir", "run", "--resume", "never",
                                   ranks=ranks)
            self.assertIn("holds a run already", message)
            self.assertIn("--run-dir", message)
        self.assertEqual((self.folder / "run/metrics.jsonl").read_bytes(), before)

    def test_frozen_tensors_stay_bit_identical(self):
        self.images()
        self.thaw("train", self.resnet_config(), "--run-dir", "short",
                  "--schedule.stage.head.learning-rate", "1e-30",
                  "--schedule.stage.upper.learning-rate", "1e-30", "--train.weight-decay", "0")
        self.thaw("train", self.resnet_config(), "--run-dir", "run")
        initial = tensors(self.folder / "short/weights.safetensors")
        trained = tensors(self.folder / "run/weights.safetensors")
        self.assertEqual(initial.keys(), trained.keys())
        for name, value in trained.items():
            frozen = not name.startswith(("layer3", "head", "linear", "fc"))
            self.assertEqual(np.array_equal(value, initial[name]), frozen or
                             name.endswith("num_batches_tracked"), name)


class GradientCheckpointing(CommandTest):
    """Layers computed again in backward: the same run to the last bit, at 1 and 2 ranks."""

    def compare(self, config, *flags):
        for ranks in (1, 2):
            for on in ("false", "true"):
                self.thaw("train", config, "--run-dir", f"{on}{ranks}",
                          "--train.gradient-checkpointing", on, "--distributed.overlap", "on",
                          *flags, ranks=ranks)
            weights = [(self.folder / f"{on}{ranks}/weights.safetensors").read_bytes()
                       for on in ("false", "true")]
            self.assertEqual(*weights, f"{ranks} ranks")
            losses = [[(step["loss"], step["bytes_reduced"]) for step in
                       self.metrics(f"{on}{ranks}")] for on in ("false", "true")]
            self.assertEqual(*losses)
        stages = [self.summary(f"{on}2")["stages"][-1]["flops_per_sample"] for on in
                  ("false", "true")]
        self.assertGreater(stages[1]["forward"], 1.2 * stages[0]["forward"])
        self.assertEqual(stages[1]["weight_gradients"], stages[0]["weight_gradients"])

    def test_bert(self):
        self.texts()
        self.tiny_bert()
        self.compare(self.bert_config(schedule=TOP_DOWN))

    def test_resnet(self):
        self.images()
        self.compare(self.resnet_config(), "--data.crop-padding", "2")

    def test_check_tells_the_second_forward(self):
        self.images()
        config = self.resnet_config()
        rows = [[line for line in self.thaw("check", config, "--train.gradient-checkpointing", on)
                 .stdout.splitlines() if "FLOP" in line] for on in ("false", "true")]
        self.assertEqual(rows[0][0], rows[1][0], "the head alone: nothing is computed again")
        self.assertNotEqual(rows[0][1], rows[1][1])


class RankCounts(CommandTest):
    """N = 37 or 65 with batches that leave one sample: ranks without samples at the epoch's end."""

    def losses_at(self, config, ranks, *flags):
        run = f"run{ranks}-{len(flags)}"
        self.thaw("train", config, "--run-dir", run, *flags, ranks=ranks)
        evaluations = self.metrics(run, "evaluation")
        return ([s["loss"] for s in self.metrics(run)],
                [e["loss"] for e in evaluations], [e["accuracy"] for e in evaluations])

    def compare(self, config, *flags, tolerance):
        one = self.losses_at(config, 1, *flags)
        self.assertGreater(len(one[0]), 7)
        for ranks in (2, 3, 4):
            several = self.losses_at(config, ranks, *flags)
            self.assertEqual(len(several[0]), len(one[0]))
            self.assertLess(relative(several[0], one[0]), tolerance, f"{ranks} ranks")
            self.assertLess(relative(several[1], one[1]), tolerance, f"{ranks} ranks")
            self.assertEqual(several[2], one[2])

    def test_bert_with_dropout(self):
        self.texts()
        self.tiny_bert()
        self.compare(self.bert_config(schedule=TOP_DOWN), "--train.precision", "float64",
                     tolerance=1e-9)

    def test_bert_in_float32_with_micro_batches_and_clipping(self):
        self.texts()
        self.tiny_bert()
        self.compare(self.bert_config(schedule=TOP_DOWN), "--train.micro-batch", "3",
                     "--train.clip-norm", "1", tolerance=1e-4)

    def test_resnet_with_synchronised_batch_norm_and_augmentation(self):
        self.images()
        self.compare(self.resnet_config(), "--train.precision", "float64", "--data.crop-padding",
                     "2", "--data.horizontal-flip", "true", tolerance=1e-7)

    def test_evaluation_with_fewer_samples_than_ranks(self):
        self.images(validation=2)
        config = self.resnet_config()
        self.thaw("train", config, "--run-dir", "run")
        found = []
        for ranks in (1, 2, 3, 4):
            for split in ("validation", "test"):
                line = json.loads(self.thaw("evaluate", config, "--weights",
                                            "run/weights.safetensors", "--split", split,
                                            ranks=ranks).stdout)
                found.append((split, line["samples"], line["accuracy"], line["loss"]))
        for split, samples, accuracy, loss in found[2:]:
            same = found[0 if split == "validation" else 1]
            self.assertEqual((samples, accuracy), same[1:3])
            self.assertAlmostEqual(loss, same[3], delta=1e-6 * abs(same[3]))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
