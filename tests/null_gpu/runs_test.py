"""All that trains, on GPUs that compute nothing: no assertion of LibTorch's CUDA part fails, the host
touches no device memory, what the streams do is in order, all ranks sum the same in the same order.

A row of training_rows.py is a training; each number of ranks of it is a test. With THAW_NULL_GPU_ALL=1 that is
1, 2 and 4, where a row can have them.
"""

import json
import os
import shutil
import unittest

import h5py
import numpy as np
from null_gpu_fixture import THAW, NullGpuTest, require_null_gpu
from training_rows import CLASSES, EACH, ROWS, SEVERAL, STAGES, TAGS, TEXTS, VISION

ALL = os.environ.get("THAW_NULL_GPU_ALL") == "1"


class Training(NullGpuTest):
    """Small data and a configuration of three stages of two steps, or of a preset."""

    def data(self, family, target=CLASSES, name="data.h5"):
        generator = np.random.default_rng(0)
        task, labels_of = target
        with h5py.File(self.folder / name, "w") as file:
            for split, count in (("train", 27), ("validation", 9), ("test", 7)):
                group = file.create_group(split)
                if target is not TAGS:
                    group["labels"] = labels_of(np.arange(count) % 6)
                if family in TEXTS:
                    lengths = generator.integers(3, 20, count)
                    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
                    tokens = generator.integers(0, 300, lengths.sum(), np.int32)
                    group["offsets"], group["tokens"] = offsets, tokens
                    if target is TAGS:
                        tags = tokens % 4
                        tags[offsets[:-1]] = -100
                        group["token_labels"] = tags
                else:
                    group["inputs"] = generator.integers(0, 256, (count, 3, 32, 32), np.uint8)
            if target is TAGS:
                file.attrs["classes"] = ("O", "B-n", "I-n", "B-m")
            elif target is not CLASSES:
                file.attrs["task"] = task
            if family not in TEXTS:
                file.attrs["mean"] = file.attrs["std"] = [0.5, 0.5, 0.5]
        return name

    def config(self, family, preset="", stages=3, name="run.toml", data="data.h5"):
        described = (TEXTS | VISION).get(family)
        if family == "bert":
            self.tiny_bert(vocabulary=300)
        elif described is not None:
            self.write("config.json", json.dumps(described))
        forms = {"resnet-cifar": "depth = 20", "resnet": "depth = 18", "efficientnet-lite0": ""}
        text = f"""
[model]
architecture = "{'vit' if family == 'dinov2' else family}"
{forms.get(family, 'config = "config.json"')}
[data]
file = "{data}"
batch = 10
[train]
evaluate-every = 3
"""
        if preset:
            text += f'[schedule]\npreset = "{preset}"\nlearning-rate = 1e-3\n'
        else:
            for number, groups in enumerate(STAGES[family][:stages]):
                listed = ", ".join(f'"{group}"' for group in groups.split(","))
                text += (f'[[schedule.stage]]\nname = "{number}"\ngroups = [{listed}]\n'
                         "learning-rate = 1e-3\nuntil = { steps = 2 }\n")
        self.write(name, text)
        return name


class GpuTraining(Training):
    def run_row(self, row, ranks):
        self.data(row.family, row.target)
        flags = row.flags
        if row.preset and "--schedule.total-steps" not in flags:
            flags = (*flags, "--schedule.stage-steps", "2")
        self.on_gpus("train", self.config(row.family, row.preset), "--run-dir", "run", *flags,
                     ranks=ranks)
        self.assertTrue((self.folder / "run/weights.safetensors").is_file())


def test_of(row, ranks):
    return lambda self: self.run_row(row, ranks)


for each in ROWS:
    for count in each.every if ALL else each.ranks:
        label = f"test_{each.family} {each.name} at {count}"
        assert not hasattr(GpuTraining, label), label
        setattr(GpuTraining, label, test_of(each, count))


class GpuLife(Training):
    """What follows a training: it goes on, is evaluated, predicts, is compared with its source."""

    def life(self, family, ranks, *flags):
        self.data(family)
        self.on_gpus("train", self.config(family, stages=2), "--run-dir", "run", *flags, ranks=ranks)
        config = self.config(family, stages=3)
        self.on_gpus("train", config, "--run-dir", "run", *flags, ranks=ranks)
        self.assertEqual(self.summary("run")["stages"][-1]["name"], "2")
        weights = ("--weights", "run/weights.safetensors")
        self.on_gpus("evaluate", config, *weights, "--split", "test", ranks=ranks)
        self.on_gpus("predict", config, *weights, "--split", "test", ranks=1)

    def test_bert(self):
        self.life("bert", 1)

    def test_bert_at_2(self):
        self.life("bert", 2)

    def test_bert_at_4(self):
        self.life("bert", 4)

    def test_resnet(self):
        for ranks in EACH if ALL else (2,):
            self.life("resnet-cifar", ranks)
            shutil.rmtree(self.folder / "run")

    def test_times_are_those_of_the_device(self):
        """By marks between its works (0.1 ms apart, whatever they are): from the second step on at
        the latest, when an update is done, also where steps between have no line."""
        self.data("bert")
        config = self.config("bert", stages=2)
        for every, ranks in ((1, 2), (2, 1)):
            run = f"run{every}"
            self.on_gpus("train", config, "--run-dir", run, "--output.log-every", every, ranks=ranks)
            steps = self.metrics(run, "step")
            self.assertEqual([line["step"] for line in steps],
                             list(range(every, 5, every)))
            for line in steps:
                seconds = line["seconds"]
                if line["step"] == 1 and "forward" not in seconds:
                    continue
                for part in ("forward", "backward", "optimizer", "data", "communication"):
                    self.assertAlmostEqual(seconds[part], 1e-4, places=8, msg=(part, line))
                self.assertAlmostEqual(seconds["compute"], 0, places=8)
            for stage in self.summary(run)["stages"]:
                self.assertLessEqual(stage["step_seconds_median"], 2e-4 + 1e-9)
            for evaluation in self.metrics(run, "evaluation"):
                shares = [group["time_share"] for group in evaluation["groups"].values()]
                self.assertAlmostEqual(sum(shares), 1, places=6)

    def test_retention(self):
        self.data("bert", name="source.h5")
        source = self.config("bert", name="source.toml", data="source.h5")
        self.on_gpus("train", source, "--run-dir", "source")
        self.data("bert", SEVERAL)
        config = self.config("bert")
        for ranks in EACH if ALL else (1, 2):
            self.on_gpus("train", config, "--run-dir", f"run{ranks}", "--retention.data", "source.h5",
                         "--retention.weights", "source/weights.safetensors", "--retention.samples",
                         "8", ranks=ranks)
            self.assertIn("forgetting", self.summary(f"run{ranks}")["retention"])

    def test_another_number_of_ranks_goes_on(self):
        self.data("bert")
        self.on_gpus("train", self.config("bert", stages=2), "--run-dir", "run", ranks=4)
        self.on_gpus("train", self.config("bert"), "--run-dir", "run", ranks=2)


class GpuDecoders(Training):
    """Language models: flash attention where it serves, else own kernels, told why where samples are
    padded."""

    PADS = "attention on this GPU pads its samples: flash attention does not serve it, "

    GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
            "vocab_size": 300}

    def trained(self, ranks, *flags, heads=4, key_heads=2, more=None, config=None):
        self.write("config.json", json.dumps(config or {
            "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 300,
            "num_attention_heads": heads, "num_key_value_heads": key_heads, "intermediate_size": 48,
            "max_position_embeddings": 64, "tie_word_embeddings": True} | (more or {})))
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "data.h5", "w") as file:
            lengths = generator.integers(4, 20, 27)
            file["train/offsets"] = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
            file["train/tokens"] = generator.integers(0, 300, lengths.sum(), np.int32)
            file["train/prompt_lengths"] = generator.integers(1, 4, 27, np.int32)
        self.write("run.toml", """
[model]
config = "config.json"
[data]
file = "data.h5"
batch = 10
[task]
kind = "causal-lm"
[train]
precision = "bfloat16"
[schedule]
preset = "full"
learning-rate = 1e-3
total-steps = 4
""")
        said, reports = self.command_on_gpus("train", "run.toml", "--run-dir", "run", *flags,
                                             ranks=ranks)
        self.assertEqual([report["faults"] for report in reports], [[]] * ranks)
        self.assertEqual(reports[-1]["collectives"], reports[0]["collectives"])
        flash = sum(count for name, count in reports[0]["names"].items() if "flash" in name)
        return said.stderr, flash

    def test_flash_attention_serves(self):
        for ranks in (1, 2):
            said, flash = self.trained(ranks)
            self.assertGreater(flash, 0)
            self.assertNotIn(self.PADS, said)
            shutil.rmtree(self.folder / "run")

    def test_every_family(self):
        families = ({"model_type": "mistral", "sliding_window": None}, {"model_type": "qwen2"},
                    {"model_type": "qwen3", "head_dim": 8}, None)
        for ranks in EACH if ALL else (2,):
            for family in families:
                for precision in ("bfloat16", "float32"):
                    self.trained(ranks, "--train.precision", precision, more=family,
                                 config=None if family else self.GPT2)
                    shutil.rmtree(self.folder / "run")

    def test_what_it_does_not_serve_is_told(self):
        said, flash = self.trained(1, "--train.precision", "float32")
        self.assertEqual(flash, 0)
        self.assertIn(self.PADS + "it computes in bfloat16", said)

    def test_own_kernels_where_it_does_not_serve(self):
        """Keyed draws; heads of another size, as many of keys and not, with such draws and without."""
        drops = {"attention_dropout": 0.1}
        for number, (heads, key_heads, more) in enumerate((
                (4, 2, drops), (8, 8, None), (8, 2, drops),
                (4, 2, drops | {"model_type": "mistral", "sliding_window": 64}))):
            said, flash = self.trained(1, heads=heads, key_heads=key_heads, more=more)
            self.assertEqual(flash, 0, number)
            self.assertNotIn(self.PADS, said)
            shutil.rmtree(self.folder / "run")

    def test_windows_and_larger_heads_pad(self):
        drops = {"attention_dropout": 0.1}
        said, _ = self.trained(1, more=drops | {"model_type": "mistral", "sliding_window": 4})
        self.assertIn(self.PADS + "its dropout is not keyed", said)
        shutil.rmtree(self.folder / "run")
        said, _ = self.trained(1, more={"head_dim": 132})
        self.assertIn(self.PADS + "heads are of 132 elements", said)


class Devices(Training):
    def test_each_rank_has_a_device_of_its_own(self):
        self.data("bert")
        config = self.config("bert", stages=1)
        for ranks in (3, 5, 6, 7, 8):  # 1, 2 and 4 have rows
            self.on_gpus("train", config, "--run-dir", f"run{ranks}", ranks=ranks)

    def test_more_ranks_than_devices_are_refused(self):
        self.data("bert")
        said, _ = self.command_on_gpus("train", self.config("bert"), "--run-dir", "run", ranks=3,
                                       devices=2, status=2)
        self.assertIn("3 ranks run on host", said.stderr)
        self.assertIn("they see 2", said.stderr)

    def test_the_doctor_sums_up_by_nccl(self):
        said, reports = self.program(
            THAW, "doctor", ranks=2, environment={"OMPI_MCA_hwloc_base_binding_policy": "none"})
        self.assertIn(" over 2 ranks' GPUs, by NCCL: ", said.stdout)
        for report in reports:
            self.assertEqual(report["faults"], [])
            self.assertGreater(report["counts"]["collective"], 0)

    def test_a_device_may_be_shared_where_that_is_said(self):
        self.data("bert")
        self.on_gpus("train", self.config("bert", stages=1), "--run-dir", "run", ranks=2, devices=1,
                     environment={"NCCL_MULTI_RANK_GPU_ENABLE": "1"})


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
