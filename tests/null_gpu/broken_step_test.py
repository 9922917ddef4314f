"""Steps that go wrong on the GPU: what the command says of them, and that it ends with status 3."""

import json
import shutil
import unittest

from null_gpu_fixture import NullGpuTest, require_null_gpu

FAILED = 3
# 12 bytes are a step's verdict, three floats: loss, norm, and whether one was not finite, then 1.
NOT_FINITE = {"NULL_GPU_NUMBERS": "12:1"}


class BrokenStep(NullGpuTest):
    def setUp(self):
        super().setUp()
        self.texts()
        self.tiny_bert()
        self.write("run.toml", """
[model]
architecture = "bert"
config = "config.json"
[data]
file = "texts.h5"
batch = 16
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-3
until = { steps = 6 }
""")

    def fails(self, *flags, environment, ranks=1):
        said, _ = self.command_on_gpus("train", "run.toml", "--run-dir", "run", *flags, ranks=ranks,
                                       environment=environment, status=FAILED)
        return said.stderr

    def events(self):
        text = (self.folder / "run/metrics.jsonl").read_text(encoding="utf-8")
        return [json.loads(line)["event"] for line in text.splitlines()]

    def test_steps_that_nobody_reads_are_read_before_the_weights_count(self):
        rarely = ("--output.log-every", "50")
        for clipped in ((), ("--train.clip-norm", "1")):
            for ranks in (1, 2):
                said = self.fails(*rarely, *clipped, environment=NOT_FINITE, ranks=ranks)
                self.assertIn("was not finite in a step before", said)
                self.assertNotIn("evaluation", self.events())
                self.assertNotIn("checkpoint", self.events())
                shutil.rmtree(self.folder / "run")
        self.command_on_gpus("train", "run.toml", "--run-dir", "run", *rarely)

    def test_a_graph_s_steps_too(self):
        self.assertIn("was not finite in a step before",
                      self.fails("--output.log-every", "50", "--train.cuda-graphs", "auto",
                                 environment=NOT_FINITE))

    def test_a_launch_that_fails_is_told(self):
        said = self.fails(environment={"NULL_GPU_BREAKS_AT": "gemm"})
        self.assertIn("thaw: ", said)
        self.assertIn("CUDA error", said)
        self.assertNotIn("terminate called", said)


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
