"""Small decoders through the command: what they learn, on which ranks, by which schedule, and what is
written of them. What others' tools lose: a layer that is thawed later trains, and is equal on all
ranks; a tied head stays one tensor."""

import json
import unittest

from command_fixture import CommandTest, h5py, np, require

VOCABULARY = 40
LLAMA = {"model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 24,
         "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 4,
         "intermediate_size": 48, "max_position_embeddings": 64, "tie_word_embeddings": True,
         "attention_dropout": 0.1}
QWEN3 = dict(LLAMA, model_type="qwen3", head_dim=8, tie_word_embeddings=False)
GPT2 = {"model_type": "gpt2", "vocab_size": VOCABULARY, "n_embd": 24, "n_head": 4, "n_layer": 4,
        "n_positions": 64}
FULL = '[schedule]\npreset = "full"\nlearning-rate = 5e-3\nstage-epochs = 8'


class Decoders(CommandTest):
    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(1)
        with h5py.File(self.folder / "prompts.h5", "w") as file:
            for split, count in (("train", 101), ("validation", 23)):
                samples = [self.sequence(generator.integers(VOCABULARY), length)
                           for length in generator.integers(5, 24, count)]
                group = file.create_group(split)
                group["tokens"] = np.concatenate(samples).astype(np.int32)
                group["offsets"] = np.cumsum([0] + [len(s) for s in samples]).astype(np.int64)
                group["prompt_lengths"] = generator.integers(0, 4, count).astype(np.int32)

    @staticmethod
    def sequence(first, length):
        """Each token tells the next."""
        tokens = [first]
        while len(tokens) < length:
            tokens.append((3 * tokens[-1] + 1) % VOCABULARY)
        return tokens

    def config(self, decoder, schedule=FULL, extra="", name="run.toml", weights=""):
        self.write("config.json", json.dumps(decoder))
        self.write(name, f"""
[model]
config = "config.json"
weights = "{weights}"
[data]
file = "prompts.h5"
batch = 16
[train]
{extra}
{schedule}
""")
        return name

    def tensors(self, path):
        """Name -> float32 array of a safetensors file."""
        data = (self.folder / path).read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + length])
        return {name: np.frombuffer(data[8 + length:][slice(*entry["data_offsets"])], np.float32)
                .reshape(entry["shape"])
                for name, entry in header.items() if name != "__metadata__"}


class Learning(Decoders):
    def test_each_family_learns_and_the_ranks_agree(self):
        for decoder in (LLAMA, QWEN3, GPT2):
            kind = decoder["model_type"]
            config = self.config(decoder)
            losses = {}
            for ranks in (1, 2, 3, 4) if decoder is LLAMA else (1, 3):
                self.thaw("train", config, "--run-dir", f"{kind}{ranks}", ranks=ranks)
                losses[ranks] = [step["loss"] for step in self.metrics(f"{kind}{ranks}")]
            self.assertLess(losses[1][-1], 0.6 * losses[1][0], kind)
            for of_ranks in losses.values():
                np.testing.assert_allclose(of_ranks, losses[1], rtol=1e-3)
            resolved = (self.folder / f"{kind}1" / "config.resolved.toml").read_text()
            family = "gpt2" if kind == "gpt2" else "llama"
            self.assertIn(f'architecture = "{family}"', resolved)

    def test_canonical_sums_have_the_same_bits_at_any_number_of_ranks(self):
        config = self.config(LLAMA, extra='reduction = "canonical"\nshards = 5\nthreads = 1')
        for ranks in (1, 2, 3, 4):
            self.thaw("train", config, "--run-dir", f"on{ranks}", ranks=ranks)
        first, *others = [(self.folder / f"on{ranks}" / "weights.safetensors").read_bytes()
                          for ranks in (1, 2, 3, 4)]
        for other in others:
            self.assertEqual(other, first)

    def test_checkpointing_recomputes_the_same(self):
        config = self.config(dict(GPT2, resid_pdrop=0.2))
        for run, flags in (("kept", ()), ("again", ("--train.gradient-checkpointing", "true"))):
            self.thaw("train", config, "--run-dir", run, *flags)
        self.assertEqual((self.folder / "kept" / "weights.safetensors").read_bytes(),
                         (self.folder / "again" / "weights.safetensors").read_bytes())


class Switching(Decoders):
    LISA = """[schedule]
preset = "random"
learning-rate = 1e-3
stage-epochs = 32
[schedule.policy]
always = ["embeddings", "norm", "head"]
groups = 1
every-steps = 1
"""

    def test_layers_thawed_later_train_and_are_equal_on_all_ranks(self):
        """224 steps, each with another layer, compared over ranks by the audit every few."""
        config = self.config(LLAMA, self.LISA)
        self.thaw("train", config, "--run-dir", "before", "--schedule.stage-epochs", "1",
                  "--schedule.learning-rate", "1e-12")
        self.thaw("train", config, "--run-dir", "lisa", "--distributed.audit-every", "20", ranks=2)
        steps = self.metrics("lisa")
        self.assertGreaterEqual(len(steps), 200)
        self.assertLess(steps[-1]["loss"], steps[0]["loss"])
        before, after = self.tensors("before/weights.safetensors"), self.tensors(
            "lisa/weights.safetensors")
        self.assertEqual(set(before), set(after))
        self.assertNotIn("lm_head.weight", after)
        for name, tensor in after.items():
            self.assertGreater(np.abs(tensor - before[name]).max(), 1e-4, name)

    def test_of_a_head_of_its_own_too(self):
        config = self.config(QWEN3, self.LISA.replace("stage-epochs = 32", "stage-epochs = 1"))
        self.thaw("train", config, "--run-dir", "lisa", ranks=2)
        self.assertIn("lm_head.weight", self.tensors("lisa/weights.safetensors"))

    def test_a_tied_head_is_in_the_embeddings_whatever_it_is_called(self):
        stages = """[[schedule.stage]]
name = "head"
groups = ["head", "norm"]
learning-rate = {{ {0} = 1e-2, norm = 1e-3 }}
until = {{ epochs = 1 }}
"""
        for name in ("head", "embeddings"):
            config = self.config(LLAMA, stages.format(name).replace('"head", "norm"',
                                                                    f'"{name}", "norm"'))
            self.thaw("train", config, "--run-dir", name)
        self.assertEqual((self.folder / "head" / "weights.safetensors").read_bytes(),
                         (self.folder / "embeddings" / "weights.safetensors").read_bytes())
        said = self.thaw("check", config).stdout
        self.assertIn("groups embeddings, layers.0 … layers.3, norm", said)
        parameters = VOCABULARY * 24 + 24
        self.assertIn(f"{parameters:,}", said.replace("'", ","))


class Files(Decoders):
    def test_weights_go_on_from_there_and_out_again(self):
        config = self.config(LLAMA)
        self.thaw("train", config, "--run-dir", "first")
        trained = self.tensors("first/weights.safetensors")
        self.thaw("export", config, "--weights", "first/weights.safetensors", "out")
        exported = self.tensors("out/model.safetensors")
        for name, tensor in trained.items():
            np.testing.assert_array_equal(exported[name], tensor)
        written = json.loads((self.folder / "out/config.json").read_text())
        self.assertEqual(written["architectures"], ["LlamaForCausalLM"])
        again = self.config(LLAMA, FULL.replace("5e-3", "1e-9"), name="again.toml", weights="out")
        self.thaw("train", again, "--run-dir", "second")
        before = self.metrics("first", "evaluation")[-1]["loss"]
        after = self.metrics("second", "evaluation")[-1]["loss"]
        self.assertAlmostEqual(before, after, places=4)

    def test_what_does_not_fit_is_refused(self):
        config = self.config(dict(LLAMA, rope_scaling={"rope_type": "dynamic", "factor": 2.0}))
        self.assertIn("dynamic", self.refused("train", config))
        config = self.config(dict(LLAMA, vocab_size=20))
        self.assertIn("vocabulary ends at 19", self.refused("train", config))
        config = self.config({"model_type": "mamba"})
        self.assertIn("mamba", self.refused("train", config))


if __name__ == "__main__":
    require()
    unittest.main()
