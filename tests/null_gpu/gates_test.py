"""What a step asks of the GPU and of the host, counted: gates that only get closer.

MiniLM's shape, 32 texts of 32 tokens, bfloat16, dropout 0.1, all layers and embeddings trained; and
small language and vision models, of which no work is counted. A step's share is the difference between
two runs of different lengths.
"""

import json
import unittest

import h5py
import numpy as np
from null_gpu_fixture import NullGpuTest, require_null_gpu

# What one step may take at most, by the counts of the null GPU's report; whoever comes lower lowers the
# number.
GATES = {
    "blocking transfers": 0,
    "uploads": 1,
    "synchronizations": 1,  # the loss, for the log
    "work": 198,  # kernels, products, copies; of the verdict on the loss three
    "launches": 198,
    "device allocations": 0,
    "pinned allocations": 0,
    # One, but for what ranks say while they wait for files at the end: one or two more or less. A task that
    # weighs by tokens makes one more, before the step.
    "sums over MPI": 1.5,
}
COLLECTIVES = 11  # what a second rank adds of work and launches at most; of all else nothing
SHORT, LONG = 4, 8
# Where steps are graphs, which the first five are not. To capture one, what LibTorch's allocator holds is
# given back, which synchronizes as often as there are uploads under way: those are not a step's.
WITH_GRAPHS = (6, 14)
GATES_OF_GRAPHS = {
    "blocking transfers": 0,
    "uploads": 2,  # with the rates
    "synchronizations: event": 1.5,
    "synchronizations: stream": 0,
    "synchronizations: device": 0,
    "work": GATES["work"] + 2,  # the rates; the batch is brought to its place
    "launches": 5,
    "device allocations": 0,
    "sums over MPI": 1.5,
}
# Of the other families.
GATES_OF_HOST = {what: GATES[what] for what in ("blocking transfers", "uploads", "synchronizations",
                                                "device allocations", "pinned allocations")}
HOST_OF_GRAPHS = {what: most for what, most in GATES_OF_GRAPHS.items()
                  if what not in ("work", "sums over MPI")}


class StepGates(NullGpuTest):
    """Runs step.toml, of epochs of 16 steps of `batch` samples."""

    batch = 32

    def counts(self, steps, ranks, flags):
        """Of rank 0 in a run of so many steps; runs_test looks for what is out of order."""
        folder = f"run-{len(list(self.folder.glob('run-*')))}"
        _, reports = self.command_on_gpus("train", "step.toml", "--run-dir", folder,
                                          "--schedule.total-steps", steps,
                                          "--data.batch", self.batch * ranks, *flags, ranks=ranks)
        return reports[0]["counts"]

    def expect_within_gates(self, ranks, *flags, gates=GATES, steps=(SHORT, LONG)):
        short, long = (self.counts(many, ranks, flags) for many in steps)
        per_step = {what: (long.get(what, 0) - short.get(what, 0)) / (steps[1] - steps[0])
                    for what in {"work": 0} | gates}
        print(f"{self.id()}, {ranks} ranks {' '.join(flags)}, a step: {per_step}", flush=True)
        for what, most in gates.items():
            more = COLLECTIVES if ranks > 1 and what in ("work", "launches") else 0
            self.assertLessEqual(per_step[what], most + more, what)
            # Or something else than steps tells the runs apart.
            self.assertGreaterEqual(per_step[what], -0.5, what)


class Gates(StepGates):
    def setUp(self):
        super().setUp()
        self.tiny_bert(layers=6, hidden=384)
        text = (self.folder / "config.json").read_text(encoding="utf-8")
        self.write("config.json", text.replace('"num_attention_heads": 4', '"num_attention_heads": 12')
                   .replace('"intermediate_size": 768', '"intermediate_size": 1536'))
        self.texts_of_one_length(512)
        self.write("step.toml", """
[model]
architecture = "bert"
config = "config.json"
[data]
file = "data.h5"
batch = 32
[train]
precision = "bfloat16"
[checkpoint]
every-steps = 0
[schedule]
preset = "full"
learning-rate = 1e-4
""")

    def texts_of_one_length(self, count):
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "data.h5", "w") as file:
            file["train/tokens"] = generator.integers(1000, 30000, count * 32, np.int32)
            file["train/offsets"] = np.arange(count + 1, dtype=np.int64) * 32
            file["train/labels"] = np.arange(count, dtype=np.int64) % 15

    def test_one_rank(self):
        self.expect_within_gates(1)

    def test_two_ranks(self):
        self.expect_within_gates(2)

    def test_rates_that_change(self):
        more = {what: GATES[what] + 1 for what in ("uploads", "work", "launches")}  # the rates
        gates = GATES | more
        self.expect_within_gates(1, "--schedule.curve", "linear", gates=gates)

    def test_graphs(self):
        self.expect_within_gates(1, "--train.cuda-graphs", "on", "--schedule.curve", "linear",
                                 gates=GATES_OF_GRAPHS, steps=WITH_GRAPHS)

    def test_what_ranks_say_to_each_other_over_mpi(self):
        """One sum a step: with sharded state, too, and where steps are graphs, which in an epoch are
        all but the first five."""
        self.texts_of_one_length(1024)
        said = {"sums over MPI": 1.25}
        self.expect_within_gates(2, "--distributed.sharding", "optimizer", gates=said, steps=(4, 14))
        self.expect_within_gates(2, "--train.cuda-graphs", "on", "--schedule.curve", "linear",
                                 gates=said, steps=WITH_GRAPHS)

    def test_steps_that_the_log_does_not_ask_for(self):
        # Where nothing ever waits, the loader finds now and then no pinned memory that is known to be free.
        gates = GATES | {"synchronizations": 0, "pinned allocations": 0.5}
        self.expect_within_gates(1, "--output.log-every", "100", gates=gates)
        clipped = gates | {"work": 217, "launches": 217}
        self.expect_within_gates(1, "--output.log-every", "100", "--train.clip-norm", "1",
                                 gates=clipped)


class DecoderGates(StepGates):
    """Texts of one length; the log asks for each step's loss, or for none."""

    batch = 8
    MODELS = {
        "llama": {"model_type": "llama", "hidden_size": 128, "num_hidden_layers": 3,
                  "vocab_size": 300, "num_attention_heads": 4, "num_key_value_heads": 2,
                  "intermediate_size": 192, "max_position_embeddings": 64,
                  "tie_word_embeddings": True},
        "gpt2": {"model_type": "gpt2", "n_embd": 128, "n_layer": 3, "n_head": 4, "n_positions": 64,
                 "vocab_size": 300, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    }

    def decoder(self, family):
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "data.h5", "w") as file:
            file["train/tokens"] = generator.integers(0, 300, 128 * 24, np.int32)
            file["train/offsets"] = np.arange(129, dtype=np.int64) * 24
            # As many tokens count in each batch, not the same ones.
            file["train/prompt_lengths"] = np.full(128, 5, np.int32)
        self.write("config.json", json.dumps(self.MODELS[family]))
        self.write("step.toml", """
[model]
config = "config.json"
[data]
file = "data.h5"
[task]
kind = "causal-lm"
[train]
precision = "bfloat16"
[checkpoint]
every-steps = 0
[schedule]
preset = "full"
learning-rate = 1e-4
""")

    def test_steps(self):
        for family in self.MODELS:
            with self.subTest(family):
                self.decoder(family)
                self.expect_within_gates(1, gates=GATES_OF_HOST)
                self.expect_within_gates(1, "--output.log-every", "100", gates=GATES_OF_HOST | {
                    "synchronizations": 0, "pinned allocations": 0.5})

    def test_two_ranks(self):
        self.decoder("llama")
        self.expect_within_gates(2, gates=GATES_OF_HOST)

    def test_a_frozen_head(self):
        """Gradients of the head's weight are not asked for then."""
        self.decoder("llama")
        text = (self.folder / "step.toml").read_text(encoding="utf-8")
        counts = {}
        for steps in (SHORT, LONG):
            self.write(f"step-{steps}.toml", text[:text.index("[schedule]")] + f"""
[[schedule.stage]]
name = "layers"
groups = ["layers.*", "norm"]
learning-rate = 1e-4
until = {{ steps = {steps} }}
""")
            _, reports = self.command_on_gpus("train", f"step-{steps}.toml", "--run-dir",
                                              f"run-{steps}", "--data.batch", self.batch)
            counts[steps] = reports[0]["counts"]
        for what, most in GATES_OF_HOST.items():
            a_step = (counts[LONG].get(what, 0) - counts[SHORT].get(what, 0)) / (LONG - SHORT)
            self.assertLessEqual(a_step, most, what)

    def test_graphs(self):
        for family in self.MODELS:
            with self.subTest(family):
                self.decoder(family)
                self.expect_within_gates(1, "--train.cuda-graphs", "on", "--schedule.curve",
                                         "linear", gates=HOST_OF_GRAPHS, steps=WITH_GRAPHS)


class VisionGates(StepGates):
    batch = 8
    VIT = {"model_type": "vit", "hidden_size": 128, "num_hidden_layers": 3,
           "num_attention_heads": 4, "intermediate_size": 256, "image_size": 32, "patch_size": 8,
           "num_channels": 3, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
           "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}

    def vit(self):
        self.images(name="data.h5", train=128, size=32)
        with h5py.File(self.folder / "data.h5", "r+") as file:
            del file["validation"]  # the best weights are written at another pace
        self.write("config.json", json.dumps(self.VIT))
        self.write("step.toml", """
[model]
architecture = "vit"
config = "config.json"
[data]
file = "data.h5"
[train]
precision = "bfloat16"
[checkpoint]
every-steps = 0
[schedule]
preset = "full"
learning-rate = 1e-4
""")

    def test_steps(self):
        self.vit()
        # The images travel beside the rest.
        gates = GATES_OF_HOST | {"uploads": 2}
        self.expect_within_gates(1, gates=gates)
        self.expect_within_gates(2, gates=gates)

    def test_graphs(self):
        self.vit()
        self.expect_within_gates(1, "--train.cuda-graphs", "on", "--schedule.curve", "linear",
                                 gates=HOST_OF_GRAPHS | {"uploads": 3, "launches": 7},
                                 steps=WITH_GRAPHS)


class EvaluationGates(NullGpuTest):
    def test_it_waits_once(self):
        """For the last outputs, however many batches there are: the others have come meanwhile."""
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "data.h5", "w") as file:
            for split, count in (("train", 16), ("validation", 8), ("test", 64)):
                file[f"{split}/tokens"] = generator.integers(0, 300, count * 12, np.int32)
                file[f"{split}/offsets"] = np.arange(count + 1, dtype=np.int64) * 12
                file[f"{split}/labels"] = np.arange(count, dtype=np.int64) % 5
        self.tiny_bert(vocabulary=300)
        self.write("run.toml", """
[model]
architecture = "bert"
config = "config.json"
[data]
file = "data.h5"
batch = 8
[schedule]
preset = "full"
learning-rate = 1e-4
total-steps = 1
""")
        self.on_gpus("train", "run.toml", "--run-dir", "run")
        for ranks in (1, 2):
            waits = {}
            for split in ("validation", "test"):  # a batch, and eight
                reports = self.on_gpus("evaluate", "run.toml", "--weights",
                                       "run/weights.safetensors", "--split", split, ranks=ranks)
                # Of several ranks NCCL's start and end have waits of their own.
                kinds = ("event", "copy", *(("stream", "device") if ranks == 1 else ()))
                waits[split] = [{kind: report["counts"].get(f"waits: {kind}", 0) for kind in kinds}
                                for report in reports]
            self.assertEqual(waits["test"], waits["validation"])  # what is left is of starting
            self.assertEqual([of_rank["event"] for of_rank in waits["test"]], [1] * ranks)


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
