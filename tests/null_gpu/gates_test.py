"""What a step asks of the GPU and of the host, counted: gates that only get closer.

MiniLM's shape, 32 texts of 32 tokens, bfloat16, dropout 0.1, all layers and embeddings trained. A
step's share is the difference between two runs of different lengths.
"""

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
}


class Gates(NullGpuTest):
    def setUp(self):
        super().setUp()
        self.tiny_bert(layers=6, hidden=384)
        text = (self.folder / "config.json").read_text(encoding="utf-8")
        self.write("config.json", text.replace('"num_attention_heads": 4', '"num_attention_heads": 12')
                   .replace('"intermediate_size": 768', '"intermediate_size": 1536'))
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "data.h5", "w") as file:
            file["train/tokens"] = generator.integers(1000, 30000, (512, 32), np.int32).reshape(-1)
            file["train/offsets"] = np.arange(513, dtype=np.int64) * 32
            file["train/labels"] = np.arange(512, dtype=np.int64) % 15
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

    def counts(self, steps, ranks, flags):
        """Of rank 0 in a run of so many steps; runs_test looks for what is out of order."""
        folder = f"run-{len(list(self.folder.glob('run-*')))}"
        _, reports = self.command_on_gpus("train", "step.toml", "--run-dir", folder,
                               "--schedule.total-steps", steps, "--data.batch", 32 * ranks,
                               *flags, ranks=ranks)
        return reports[0]["counts"]

    def expect_within_gates(self, ranks, *flags, gates=GATES, steps=(SHORT, LONG)):
        short, long = (self.counts(many, ranks, flags) for many in steps)
        per_step = {what: (long.get(what, 0) - short.get(what, 0)) / (steps[1] - steps[0])
                    for what in gates}
        print(f"{ranks} ranks {' '.join(flags)}, a step: {per_step}", flush=True)
        for what, most in gates.items():
            more = COLLECTIVES if ranks > 1 and what in ("work", "launches") else 0
            self.assertLessEqual(per_step[what], most + more, what)

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

    def test_steps_that_the_log_does_not_ask_for(self):
        # Where nothing ever waits, the loader finds now and then no pinned memory that is known to be free.
        gates = GATES | {"synchronizations": 0, "pinned allocations": 0.5}
        self.expect_within_gates(1, "--output.log-every", "100", gates=gates)
        clipped = gates | {"work": 217, "launches": 217}
        self.expect_within_gates(1, "--output.log-every", "100", "--train.clip-norm", "1",
                                 gates=clipped)


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
