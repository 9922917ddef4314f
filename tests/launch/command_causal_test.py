"""How text goes on, through the command: from files made by hand, with a small decoder; what counts is
counted here by hand."""

import json
import math
import unittest

import h5py
import numpy as np
from command_fixture import require
from task_fixture import TaskTest

WORDS, END = 59, 59


class Causal(TaskTest):
    """Samples go on by threes from the last token of their prompt, and end."""

    def setUp(self):
        super().setUp()
        self.write("config.json", json.dumps({
            "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
            "hidden_act": "silu", "vocab_size": WORDS + 1, "max_position_embeddings": 64,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
            "initializer_range": 0.1, "bos_token_id": None, "eos_token_id": END}))
        path = self.folder / self.config
        path.write_text(path.read_text().replace('"bert"', '"llama"'))

    def texts(self, prompts=True, bytes_each=0, name="texts.h5", task=""):
        """Returns of each sample of the test split how many tokens count."""
        generator = np.random.default_rng(5)
        with h5py.File(self.folder / name, "w") as file:
            for split, count in (("train", 67), ("validation", 21), ("test", 13)):
                samples, lengths = [], []
                for i in range(count):
                    sample = list(generator.integers(0, WORDS, generator.integers(1, 7)))
                    lengths.append(len(sample))
                    if i % 9 != 4:  # else the prompt is all there is
                        sample += [(sample[-1] + 3 * (k + 1)) % WORDS
                                   for k in range(generator.integers(1, 9))] + [END]
                    samples.append(sample)
                group = file.create_group(split)
                group["tokens"] = np.concatenate(samples).astype(np.int32)
                group["offsets"] = np.cumsum([0] + [len(s) for s in samples]).astype(np.int64)
                lengths = np.array(lengths, np.int32) * prompts
                counted = [max(0, len(s) - max(p, 1)) for s, p in zip(samples, lengths)]
                if prompts:
                    group["prompt_lengths"] = lengths
                if bytes_each:
                    group["bytes"] = np.array(counted, np.int32) * bytes_each
            if task:
                file.attrs["task"] = task
        return counted

    def test_from_training_to_predictions(self):
        counted = self.texts(bytes_each=2)
        self.assertIn(f"{sum(counted)} tokens count; {counted.count(0)} samples have none",
                      self.thaw("inspect", "texts.h5").stdout)
        found = self.expect_whole_life(["accuracy", "perplexity", "bits_per_byte"])
        lines = self.predict("run")
        self.assertEqual([line["tokens"] for line in lines], counted)
        self.assertEqual([line["loss"] is None for line in lines], [n == 0 for n in counted])
        nats = sum(line["loss"] * n for line, n in zip(lines, counted) if n)
        self.assertAlmostEqual(found["loss"], nats / sum(counted), places=9)
        self.assertAlmostEqual(found["perplexity"], math.exp(found["loss"]), places=9)
        self.assertAlmostEqual(found["bits_per_byte"], found["loss"] / math.log(2) / 2, places=9)
        hits = found["accuracy"] * sum(counted)
        self.assertAlmostEqual(hits, round(hits), places=6)
        done = self.thaw("evaluate", self.config, "--weights", "run/weights.safetensors",
                         "--per-class", "-").stdout.splitlines()
        self.assertEqual(json.loads(done[1])["tokens"], sum(counted))
        for ranks in (2, 3):
            again = self.evaluate("run", ranks=ranks)
            self.assertEqual(again["accuracy"], found["accuracy"])
            self.assertAlmostEqual(again["loss"], found["loss"], places=6)

    def test_the_ranks_change_rounding_alone(self):
        self.texts()
        flags = ("--train.precision", "float64", "--schedule.stage-epochs", "1")
        losses = []
        for run, ranks, *more in (("one", 1), ("two", 2), ("three", 3),
                                  ("cut", 2, "--train.micro-batch-tokens", "25")):
            self.train(run, *flags, *more, ranks=ranks)
            losses.append([line["loss"] for line in self.metrics(run, "step")])
        for other in losses[1:]:
            np.testing.assert_allclose(other, losses[0], rtol=1e-9)
        self.assertEqual([line["counted_tokens"] for line in self.metrics("three", "step")],
                         [line["counted_tokens"] for line in self.metrics("one", "step")])

    def test_running_text_has_prompts_of_nothing(self):
        counted = self.texts(prompts=False, task="causal-lm")
        self.train("run", "--schedule.stage-epochs", "1")
        self.assertEqual([line["tokens"] for line in self.predict("run")], counted)
        self.texts(prompts=False)
        self.train("said", "--schedule.stage-epochs", "1", "--task.kind", "causal-lm")
        with h5py.File(self.folder / "texts.h5", "r+") as file:
            for group in file.values():
                group["prompt_lengths"] = np.zeros(len(group["offsets"]) - 1, np.int32)
        self.train("zeros", "--schedule.stage-epochs", "1")
        for run in ("said", "zeros"):
            self.assertEqual(self.tensors(run), self.tensors("run"))

    def tensors(self, run):
        """All bytes behind the header, which says when and by what they were written."""
        data = self.weights(run)
        return data[8 + int.from_bytes(data[:8], "little"):]

    def test_what_does_not_fit(self):
        self.texts(prompts=False)
        self.assertIn("texts.h5: /train holds no labels: give \"labels\"",
                      self.refused("train", self.config, ranks=2))
        self.texts()
        self.assertIn("train.label-smoothing: is not for causal-lm",
                      self.refused("check", self.config, "--train.label-smoothing", "0.1"))
        self.assertIn("\"validation/bits-per-byte\" is not one of", self.refused(
            "check", self.config, "--schedule.plateau", "validation/bits-per-byte"))
        with h5py.File(self.folder / "texts.h5", "r+") as file:
            file["train/prompt_lengths"][3] = 40
        self.assertIn("/train/prompt_lengths: sample 3 has a prompt of 40 tokens, but",
                      self.refused("check", self.config))
        self.data(lambda n: n.astype(np.int64))
        self.assertIn("model.architecture = \"llama\" gives probabilities of each next token, and "
                      "what is learnt (task.kind, or the data) takes outputs for each sample",
                      self.refused("train", self.config, ranks=2))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
