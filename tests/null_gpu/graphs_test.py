"""Steps that are captured in CUDA graphs and queued again: when they are, when not and what is said of it,
and that nothing is out of order between them and what else a run does."""

import json
import os
import pathlib
import re
import signal
import time
import unittest

import h5py
import numpy as np
from null_gpu_fixture import SECONDS, THAW, NullGpuTest, require_null_gpu

GRAPHS = ("--train.cuda-graphs", "auto")
PROGRAM = os.environ.get("THAW_NULL_GPU_GRAPHS_PROGRAM", "")
NONE = "steps are not captured in CUDA graphs: "
SAMPLES, BATCH = 64, 8  # epochs of 8 steps


class TextsTest(NullGpuTest):
    def data(self, lengths=12, samples=SAMPLES):
        """Texts of one length, or of all below it."""
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "texts.h5", "w") as file:
            for split, count in (("train", samples), ("validation", 9)):
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
        counts = self.alike(reports)
        return said.stderr, counts.get("captures", 0), counts.get("graph launches", 0)

    def alike(self, reports):
        """What was counted on rank 0; nothing is out of order, and all ranks have made the same graphs."""
        for report in reports:
            self.assertEqual(report["faults"], [])
            self.assertEqual(report["collectives"], reports[0]["collectives"])
            for what in ("captures", "graph launches"):
                self.assertEqual(report["counts"].get(what, 0), reports[0]["counts"].get(what, 0))
        return reports[0]["counts"]


class Graphs(TextsTest):
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

    def test_as_much_is_counted_where_order_is_not_looked_at(self):
        """A graph is counted as a whole then, so that its launch costs no more than a driver's."""
        self.data()
        flags = ("train", self.config(groups=("*",)), *GRAPHS, "--run-dir")
        counts = []
        for order in "01":
            _, (report,) = self.command_on_gpus(*flags, f"run{order}",
                                                environment={"NULL_GPU_ORDER": order})
            counts.append({what: report["counts"].get(what)
                           for what in ("kernel", "gemm", "memset", "graph launches")})
        self.assertEqual(counts[0], counts[1])
        self.assertEqual(counts[0]["graph launches"], 8)

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

    def family(self, model, data, steps=14, extra="", config=None):
        """A stage of all groups of a model."""
        if config is not None:
            self.write("config.json", json.dumps(config))
        self.write("run.toml", f"""
[model]
{model}
[data]
file = "{data}"
batch = {BATCH}
[train]
precision = "bfloat16"
{extra}
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-3
until = {{ steps = {steps} }}
""")
        return "run.toml"

    def test_decoders(self):
        generator = np.random.default_rng(0)
        described = 'config = "config.json"'
        models = {
            "llama": {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
                      "vocab_size": 300, "num_attention_heads": 2, "num_key_value_heads": 1,
                      "intermediate_size": 96, "max_position_embeddings": 64,
                      "tie_word_embeddings": False},
            "gpt2": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2,
                     "n_positions": 64, "vocab_size": 300},
        }
        # Running text; prompts of one length; prompts of which other batches have other numbers.
        ragged = np.where(np.arange(SAMPLES) % 16 < 8, 3, 5)
        for number, (prompts, expected) in enumerate(((None, (2, 8)), (np.full(SAMPLES, 4), (2, 8)),
                                                      (ragged, None))):
            with h5py.File(self.folder / "decoder.h5", "w") as file:
                file["train/tokens"] = generator.integers(0, 300, SAMPLES * 12, np.int32)
                file["train/offsets"] = np.arange(SAMPLES + 1, dtype=np.int64) * 12
                if prompts is not None:
                    file["train/prompt_lengths"] = prompts.astype(np.int32)
            for name, config in models.items():
                task = '[task]\nkind = "causal-lm"'
                said, captures, launches = self.trained(
                    self.family(described, "decoder.h5", config=config, extra=task), *GRAPHS)
                if expected is not None:
                    self.assertEqual((captures, launches), expected, f"{name}: {said}")
                self.assertNotIn(NONE, said)
                (self.folder / "run").rename(self.folder / f"run-{name}-{number}")

    def test_vision(self):
        self.images(train=SAMPLES, size=32)
        shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                 "image_size": 32, "patch_size": 8, "hidden_dropout_prob": 0.1,
                 "attention_probs_dropout_prob": 0.1}
        networks = {
            "vit": shape | {"model_type": "vit", "intermediate_size": 96, "num_channels": 3,
                            "hidden_act": "gelu", "layer_norm_eps": 1e-12},
            "dinov2": shape | {"model_type": "dinov2_with_registers", "mlp_ratio": 2,
                               "num_register_tokens": 2, "drop_path_rate": 0.1},
            "convnext": {"model_type": "convnext", "hidden_sizes": [8, 12], "depths": [1, 2],
                         "patch_size": 2, "drop_path_rate": 0.1, "layer_scale_init_value": 0.5},
            "efficientnet-lite0": None,
        }
        for name, config in networks.items():
            model = 'config = "config.json"' if config else f'architecture = "{name}"'
            said, captures, launches = self.trained(
                self.family(model, "images.h5", config=config), *GRAPHS)
            self.assertEqual((captures, launches), (2, 8), f"{name}: {said}")
            self.assertNotIn(NONE, said)
            (self.folder / "run").rename(self.folder / f"run-{name}")

    def test_other_tasks_optimizers_and_precisions(self):
        self.data()
        for number, flags in enumerate((("--train.optimizer", "sgd"), ("--train.precision", "float32"),
                                        ("--model.dropout", "0", "--model.attention-dropout", "0"))):
            said, captures, _ = self.trained(self.config(), *GRAPHS, *flags)
            self.assertEqual(captures, 4, f"{number}: {said}")
            (self.folder / "run").rename(self.folder / f"run{number}")

    def test_ranks_make_the_same_graphs_with_their_sums_in_them(self):
        self.data()
        said, captures, launches = self.trained(
            self.config(), "--train.cuda-graphs", "on", "--train.evaluate-every", "5",
            "--checkpoint.every-steps", "4", "--train.clip-norm", "1", ranks=2)
        self.assertEqual((captures, launches), (4, 16))
        self.assertNotIn(NONE, said)
        self.assertEqual([line["step"] for line in self.metrics("run")], list(range(1, 29)))

    def test_ranks_whose_batchnorms_are_synchronised(self):
        self.images(train=SAMPLES, size=32)
        stages = ('[[schedule.stage]]\nname = "a"\ngroups = ["layer3", "head"]\n'
                  "learning-rate = 0.01\nuntil = { steps = 14 }\n")
        config = self.resnet_config(stages=stages)
        _, captures, launches = self.trained(config, *GRAPHS, "--data.batch", BATCH, ranks=2)
        self.assertEqual((captures, launches), (2, 8))

    def test_texts_of_many_lengths_are_filled_up_to_classes(self):
        self.data(lengths=(10, 12))  # 84 or 88 tokens of 8 texts, mostly
        for ranks in (1, 2):
            said, captures, launches = self.trained(self.config(80, groups=("*",)), *GRAPHS,
                                                    ranks=ranks)
            self.assertGreater(captures, 0)
            self.assertGreater(launches, captures)
            self.assertNotIn(NONE, said)
            (self.folder / "run").rename(self.folder / f"run{ranks}")

    def test_sizes_that_do_not_come_again_are_queued_call_by_call(self):
        self.data(lengths=(3, 20))
        said, captures, launches = self.trained(self.config(110, groups=("*",)), *GRAPHS,
                                                "--data.batch", SAMPLES)  # a step an epoch
        self.assertEqual((captures, launches), (0, 0))
        self.assertEqual(said.count(NONE + "batches of the same sizes hardly ever come again"), 1)

    def test_why_not_is_said_once(self):
        self.data()
        for number, (ranks, flags, why) in enumerate((
                (2, ("--distributed.sharding", "optimizer"), "ranks share state out"),
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
                                       "--train.cuda-graphs", "on", "--distributed.sharding",
                                       "optimizer", ranks=2, status=2)
        self.assertIn("no step of this run can be captured: ranks share state out", said.stderr)


class BesideRunsWithout(TextsTest):
    """Two ranks whose steps are graphs tell the same of themselves as two whose steps are not, and as many
    sums run on their GPUs."""

    def told(self):
        """The run's lines, less what its clock says; the run is gone then."""
        text = (self.folder / "run/metrics.jsonl").read_text(encoding="utf-8")
        keys = ("event", "step", "epoch", "stage", "samples", "learning_rates", "loss", "accuracy")
        told = [{key: line[key] for key in keys if key in line}
                for line in map(json.loads, text.splitlines())]
        (self.folder / "run").rename(self.folder / f"run-{len(list(self.folder.glob('run-*')))}")
        return told

    def run_of(self, config, *flags):
        _, reports = self.command_on_gpus("train", config, "--run-dir", "run", *flags, ranks=2)
        self.assertEqual(len(reports), 2)
        return self.told(), self.alike(reports)

    def compare(self, config, expected, *flags):
        """`expected`: graphs that are captured, and how often one is queued."""
        with_graphs, counts = self.run_of(config, "--train.cuda-graphs", "on", *flags)
        without, others = self.run_of(config, "--train.cuda-graphs", "off", *flags)
        self.assertEqual((counts["captures"], counts["graph launches"]), expected)
        self.assertNotIn("captures", others)
        self.assertEqual(with_graphs, without)
        self.assertEqual(counts["collective"], others["collective"])
        return without

    def warm_up(self, done):
        """Steps of a run that goes on before it captures one: three that count no operations, which each
        fiftieth does, and neither may the captured one."""
        seen, at = 0, done
        while seen < 3 or at % 50 == 0:
            seen += at % 50 != 0
            at += 1
        return at - done

    def test_evaluations_between_graphs(self):
        self.data()
        told = self.compare(self.config(14, groups=("*",)), (2, 8), "--train.evaluate-every", "3")
        # Graphs are steps 6 to 8 and 10 to 14: there are evaluations behind one and before the next.
        self.assertEqual([line["step"] for line in told if line["event"] == "evaluation"],
                         [3, 6, 9, 12, 14])

    def test_a_rank_that_gets_nothing_of_an_epochs_last_batch(self):
        self.data(samples=SAMPLES + 1)
        # Steps 9 and 18 are of one sample, which one rank alone has; 6 to 8, 11 to 17 and 20 are graphs.
        told = self.compare(self.config(20, groups=("*",)), (3, 11))
        self.assertEqual([line["samples"] for line in told if line["event"] == "step"],
                         [BATCH] * 8 + [1] + [BATCH] * 8 + [1] + [BATCH] * 2)

    def test_a_stop_at_a_graph(self):
        steps = 200
        self.data(samples=BATCH * (steps + 100))  # of one epoch: from step 6 on all are graphs
        config = self.config(steps, groups=("*",))
        flags = ("train", config, "--run-dir", "run", "--train.device", "cuda",
                 "--checkpoint.every-steps", "0", "--train.evaluate-every", str(steps))
        job, folder = self.start(THAW, *flags, "--train.cuda-graphs", "on", ranks=2)
        log = self.folder / "run/metrics.jsonl"
        deadline = time.monotonic() + SECONDS
        while not (log.exists() and log.read_text(encoding="utf-8").count('"event":"step"') >= 10):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(job.poll(), "it ended before it could be stopped")
            time.sleep(0.01)
        job.send_signal(signal.SIGUSR1)  # which mpirun passes on
        said, _ = self.end(job, folder, status=75)  # mpirun may end ranks before they report
        (step,) = map(int, re.findall(r"Stopped after step (\d+) since a signal", said.stdout + said.stderr))
        self.assertLess(step, steps)

        _, reports = self.end(*self.start(THAW, *flags, "--train.cuda-graphs", "on", ranks=2))
        counts = self.alike(reports)
        self.assertEqual((counts["captures"], counts["graph launches"]),
                         (1, steps - step - self.warm_up(step)))
        resumed = self.told()
        _, reports = self.end(*self.start(THAW, *flags, "--train.cuda-graphs", "off", ranks=2))
        self.alike(reports)
        of_steps = ("step", "evaluation", "end")
        self.assertEqual([line for line in resumed if line["event"] in of_steps],
                         [line for line in self.told() if line["event"] in of_steps])


class Gradients(NullGpuTest):
    def test_are_those_of_the_graph_that_was_queued(self):
        """Of two graphs, of which one was captured last: programs/graph_gradients.cpp."""
        if not pathlib.Path(PROGRAM).is_file():
            self.skipTest("THAW_NULL_GPU_GRAPHS_PROGRAM names no file; run through ctest")
        said, (report,) = self.program(PROGRAM)
        self.assertEqual([line for line in said.stdout.splitlines() if not line.startswith("yes: ")], [])
        self.assertEqual(report["faults"], [])
        counts = report["counts"]
        # Each once after it was captured; then one, the other, and the first again.
        self.assertEqual((counts["captures"], counts["graph launches"]), (2, 5))


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
