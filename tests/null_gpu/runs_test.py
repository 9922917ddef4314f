"""All that trains, on GPUs that compute nothing: no assertion of LibTorch's CUDA part fails, the host
touches no device memory, what the streams do is in order, all ranks sum the same in the same order.

A row of ROWS is a training; each number of ranks of it is a test.
"""

import dataclasses
import json
import shutil
import unittest

import h5py
import numpy as np
from null_gpu_fixture import NullGpuTest, require_null_gpu

STAGES = {
    "bert": ("head", "encoder.1,head", "*"),
    "roberta": ("head", "encoder.1,head", "*"),
    "modernbert": ("head", "encoder.1,head", "*"),
    "resnet-cifar": ("head", "layer3,head", "*"),
    "resnet": ("head", "layer4,head", "*"),
}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 64, "vocab_size": 300, "max_position_embeddings": 40,
         "pad_token_id": 1}
TEXTS = {  # by family, besides BERT its config.json
    "bert": None,
    "roberta": dict(SIZES, model_type="roberta", type_vocab_size=1),
    "modernbert": dict(SIZES, model_type="modernbert", local_attention=8, mlp_dropout=0.1,
                       attention_dropout=0.1, global_attn_every_n_layers=2),
}
CLASSES = ("labels", lambda n: n.astype(np.int64))
SEVERAL = ("multi-label", lambda n: np.stack([n % 2, n > 2, n == 5], 1).astype(np.uint8))
NUMBERS = ("regression", lambda n: np.stack([n - 2.5, 9 - n * n], 1).astype(np.float32))


@dataclasses.dataclass(frozen=True)
class Row:
    """What is trained how; `ranks` says on how many GPUs, `target` what is learnt."""

    name: str
    family: str
    flags: tuple = ()
    ranks: tuple = (2,)
    target: tuple = CLASSES
    preset: str = ""


EACH = (1, 2, 4)
LOCAL = ("--train.batch-norm", "local")
ROWS = (
    Row("float32", "bert", ranks=EACH),
    Row("bfloat16", "bert", ("--train.precision", "bfloat16"), EACH),
    Row("float64", "bert", ("--train.precision", "float64")),
    Row("float32", "resnet-cifar", LOCAL, EACH),
    Row("bfloat16", "resnet-cifar", (*LOCAL, "--train.precision", "bfloat16")),
    Row("float64", "resnet-cifar", (*LOCAL, "--train.precision", "float64")),
    Row("float32", "resnet", LOCAL),
    Row("bfloat16", "roberta", ("--train.precision", "bfloat16", "--model.pooling", "cls")),
    Row("float32", "modernbert"),
    Row("bfloat16", "modernbert", ("--train.precision", "bfloat16")),
    Row("synchronized statistics", "resnet-cifar", ranks=EACH),
    Row("synchronized statistics, bfloat16", "resnet-cifar", ("--train.precision", "bfloat16")),
    Row("augmentation", "resnet-cifar", (*LOCAL, "--data.crop-padding", "2",
                                         "--data.horizontal-flip", "true")),
    Row("running statistics of frozen layers", "resnet-cifar",
        (*LOCAL, "--train.frozen-batch-norm", "update"), ranks=(1,)),
    # What is learnt.
    Row("several classes", "bert", target=SEVERAL),
    Row("numbers", "bert", target=NUMBERS, ranks=(1,)),
    Row("numbers of images", "resnet-cifar", LOCAL, target=NUMBERS),
    # How.
    Row("sgd", "bert", ("--train.optimizer", "sgd", "--train.nesterov", "true")),
    Row("lion", "bert", ("--train.optimizer", "lion"), ranks=(1,)),
    Row("clipping", "bert", ("--train.clip-norm", "1"), EACH),
    Row("micro-batches", "bert", ("--train.micro-batch", "3")),
    Row("recomputation", "bert", ("--train.gradient-checkpointing", "true")),
    Row("skipped steps", "bert", ("--train.not-finite", "skip", "--train.clip-norm", "1")),
    Row("no dropout", "bert", ("--model.dropout", "0", "--model.attention-dropout", "0"), (1,)),
    Row("dropout of frozen layers", "bert", ("--train.frozen-dropout", "on"), (1,)),
    Row("no dropout, bfloat16", "bert", ("--train.precision", "bfloat16", "--model.dropout", "0",
                                         "--model.attention-dropout", "0"), (1,)),
    Row("fast draws of attention", "bert", ("--train.precision", "bfloat16",
                                            "--train.attention-dropout-draws", "fast"), EACH),
    Row("first token", "bert", ("--model.pooling", "cls", "--train.label-smoothing", "0.1")),
    Row("no overlap", "bert", ("--distributed.overlap", "off")),
    Row("overlap", "bert", ("--distributed.overlap", "on", "--distributed.bucket-bytes", "4096"),
        (2, 4)),
    Row("rounded gradients", "bert", ("--distributed.wire", "bfloat16"), EACH),
    Row("fast convolutions", "resnet-cifar", ("--train.tf32", "true",
                                              "--train.cudnn-benchmark", "true")),
    Row("dense gradients of embeddings", "bert", ("--distributed.embedding-rows", "off")),
    Row("sharded optimizer state", "bert", ("--distributed.sharding", "optimizer",
                                            "--train.clip-norm", "1"), (2, 4)),
    Row("sharded gradients", "bert", ("--distributed.sharding", "gradients",
                                      "--distributed.bucket-bytes", "4096",
                                      "--checkpoint.every-steps", "1",
                                      "--distributed.audit-every", "1"), (2, 4)),
    Row("sharded state, skipped steps", "bert", ("--distributed.sharding", "optimizer",
                                                 "--train.not-finite", "skip")),
    Row("deterministic", "bert", ("--train.deterministic", "true")),
    # In which order.
    Row("bottom-up", "bert", preset="bottom-up", ranks=(1,)),
    Row("chain-thaw", "bert", preset="chain-thaw", ranks=(1,)),
    Row("freeze-out", "bert", ("--schedule.total-steps", "8"), preset="freeze-out"),
    Row("random", "bert", ("--schedule.policy-every-steps", "2", "--schedule.total-steps", "6"),
        preset="random"),
    Row("auto-freeze", "bert", ("--schedule.policy-every-steps", "2", "--schedule.total-steps", "6"),
        preset="auto-freeze"),
    # What is kept.
    Row("checkpoints at each step", "bert", ("--checkpoint.every-steps", "1",
                                             "--distributed.audit-every", "1"), EACH),
    Row("checkpoints while training waits", "resnet-cifar",
        (*LOCAL, "--checkpoint.every-steps", "1", "--checkpoint.asynchronous", "false")),
)


class Training(NullGpuTest):
    """Small data and a configuration of three stages of two steps, or of a preset."""

    def data(self, family, target=CLASSES, name="data.h5"):
        generator = np.random.default_rng(0)
        task, labels_of = target
        with h5py.File(self.folder / name, "w") as file:
            for split, count in (("train", 27), ("validation", 9), ("test", 7)):
                group = file.create_group(split)
                group["labels"] = labels_of(np.arange(count) % 6)
                if family in TEXTS:
                    lengths = generator.integers(3, 20, count)
                    group["offsets"] = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
                    group["tokens"] = generator.integers(0, 300, lengths.sum(), np.int32)
                else:
                    group["inputs"] = generator.integers(0, 256, (count, 3, 32, 32), np.uint8)
            if target is not CLASSES:
                file.attrs["task"] = task
            if family not in TEXTS:
                file.attrs["mean"] = file.attrs["std"] = [0.5, 0.5, 0.5]
        return name

    def config(self, family, preset="", stages=3, name="run.toml", data="data.h5"):
        if family == "bert":
            self.tiny_bert(vocabulary=300)
        elif family in TEXTS:
            self.write("config.json", json.dumps(TEXTS[family]))
        depths = {"resnet-cifar": "depth = 20", "resnet": "depth = 18"}
        model = depths.get(family, 'config = "config.json"')
        text = f"""
[model]
architecture = "{family}"
{model}
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
    for count in each.ranks:
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
        self.life("resnet-cifar", 2)

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
        for ranks in (1, 2):
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

    def trained(self, ranks, *flags, heads=4, key_heads=2, more=None):
        self.write("config.json", json.dumps({
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
        for ranks in (3, 8):
            self.on_gpus("train", config, "--run-dir", f"run{ranks}", ranks=ranks)

    def test_more_ranks_than_devices_are_refused(self):
        self.data("bert")
        said, _ = self.command_on_gpus("train", self.config("bert"), "--run-dir", "run", ranks=3,
                                       devices=2, status=2)
        self.assertIn("3 ranks run on host", said.stderr)
        self.assertIn("they see 2", said.stderr)

    def test_a_device_may_be_shared_where_that_is_said(self):
        self.data("bert")
        self.on_gpus("train", self.config("bert", stages=1), "--run-dir", "run", ranks=2, devices=1,
                     environment={"NCCL_MULTI_RANK_GPU_ENABLE": "1"})


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
