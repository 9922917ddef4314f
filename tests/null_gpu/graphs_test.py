"""Steps that are captured in CUDA graphs and queued again: when they are, when not and what is said of it,
and that nothing is out of order between them and what else a run does."""

import unittest

import h5py
import numpy as np
from null_gpu_fixture import NullGpuTest, require_null_gpu

GRAPHS = ("--train.cuda-graphs", "auto")
NONE = "steps are not captured in CUDA graphs: "
SAMPLES, BATCH = 64, 8  # epochs of 8 steps


class Graphs(NullGpuTest):
    def data(self, lengths=12):
        """Texts of one length, or of all below it."""
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "texts.h5", "w") as file:
            for split, count in (("train", SAMPLES), ("validation", 9)):
                many = (np.full(count, lengths) if isinstance(lengths, int)
                        else generator.integers(*lengths, count))
                file[f"{split}/tokens"] = generator.integers(0, 300, many.sum(), np.int32)
                file[f"{split}/offsets"] = np.cumsum([0, *many]).astype(np.int64)
                file[f"{split}/labels"] = np.arange(count, dtype=np.int64) % 5

    def config(self, steps=14, extra="", groups=("head", "*")):
        self.tiny_bert(vocabulary=300)
        stages = "".join(f'[[schedule.stage]]\nname = "{number}"\ngroups = ["{group}"]\n'
                         'learning-rate = 1e-3\ncurve = "linear"\n'
                         f"until = {{ steps = {steps} }}\n" for number, group in enumerate(groups))
        self.write("run.toml", f"""
[model]
architecture = "bert"
config = "config.json"
[data]
file = "texts.h5"
batch = {BATCH}
[train]
precision = "bfloat16"
{extra}
{stages}""")
        return "run.toml"

    def trained(self, config, *flags, ranks=1):
        said, reports = self.command_on_gpus("train", config, "--run-dir", "run", *flags, ranks=ranks)
        for report in reports:
            self.assertEqual(report["faults"], [])
        counts = reports[0]["counts"]
        return said.stderr, counts.get("captures", 0), counts.get("graph launches", 0)

    def test_a_graph_a_stage_and_epoch(self):
        self.data()
        said, captures, launches = self.trained(
            self.config(), *GRAPHS, "--train.evaluate-every", "5", "--checkpoint.every-steps", "4",
            "--train.clip-norm", "1")
        # Operations of a stage's first 2 steps are counted, 3 are queued, then 3 are graphs; in the second
        # epoch 1 is queued and 5 are graphs. The second stage begins within that epoch.
        self.assertEqual((captures, launches), (4, 16))
        self.assertNotIn(NONE, said)
        self.assertEqual([line["step"] for line in self.metrics("run")], list(range(1, 29)))

    def test_off_is_off(self):
        self.data()
        self.assertEqual(self.trained(self.config())[1:], (0, 0))

    def test_a_run_that_goes_on_warms_up_anew(self):
        self.data()
        self.trained(self.config(14, groups=("head",)), *GRAPHS)
        said, captures, launches = self.trained(self.config(), *GRAPHS)
        self.assertEqual(captures, 2, said)
        self.assertGreater(launches, 0)

    def test_images(self):
        self.images(train=SAMPLES, size=32)
        stages = "".join(f'[[schedule.stage]]\nname = "{name}"\ngroups = [{groups}]\n'
                         "learning-rate = 0.01\nuntil = { steps = 14 }\n"
                         for name, groups in (("a", '"head"'), ("b", '"layer3", "head"')))
        config = self.resnet_config(stages=stages)
        _, captures, launches = self.trained(config, *GRAPHS, "--data.batch", BATCH)
        self.assertEqual((captures, launches), (4, 16))

    def test_other_tasks_optimizers_and_precisions(self):
        self.data()
        for number, flags in enumerate((("--train.optimizer", "sgd"), ("--train.precision", "float32"),
                                        ("--model.dropout", "0", "--model.attention-dropout", "0"))):
            said, captures, _ = self.trained(self.config(), *GRAPHS, *flags)
            self.assertEqual(captures, 4, f"{number}: {said}")
            (self.folder / "run").rename(self.folder / f"run{number}")

    def test_texts_of_many_lengths_are_queued_call_by_call(self):
        self.data(lengths=(3, 20))
        said, captures, launches = self.trained(self.config(110, groups=("*",)), *GRAPHS)
        self.assertEqual((captures, launches), (0, 0))
        self.assertEqual(said.count(NONE + "batches of the same lengths hardly ever come again"), 1)

    def test_why_not_is_said_once(self):
        self.data()
        for number, (ranks, flags, why) in enumerate((
                (2, (), "several ranks train"),
                (1, ("--train.not-finite", "skip"), "the host decides on each update"),
                (1, ("--train.micro-batch", "4"), "batches are cut into micro-batches"),
                (1, ("--train.precision", "float64"), "the host decides on each update"),
                (1, ("--train.gradient-checkpointing", "true"), "layers are computed again"))):
            said, captures, _ = self.trained(self.config(), *GRAPHS, *flags, ranks=ranks)
            self.assertEqual(captures, 0)
            self.assertEqual(said.count(NONE), 1, said)
            self.assertIn(NONE + why, said)
            (self.folder / "run").rename(self.folder / f"run{number}")

    def test_a_run_that_must_have_them_is_refused(self):
        self.data()
        said, _ = self.command_on_gpus("train", self.config(), "--run-dir", "run",
                                       "--train.cuda-graphs", "on", ranks=2, status=2)
        self.assertIn("no step of this run can be captured: several ranks train", said.stderr)


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
