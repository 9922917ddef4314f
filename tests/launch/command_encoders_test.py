"""Encoders besides BERT: trained at 1 and 2 ranks, evaluated, exported, and taken up from there."""

import json
import unittest

from command_fixture import CommandTest, h5py, require

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
         "intermediate_size": 64, "vocab_size": 30522}
CONFIGS = {
    "roberta": {**SIZES, "max_position_embeddings": 40, "type_vocab_size": 1, "pad_token_id": 1},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64,
                   "vocab_size": 30522, "max_position_embeddings": 40, "pad_token_id": 0},
    "modernbert": {**SIZES, "max_position_embeddings": 64, "pad_token_id": 0,
                   "local_attention": 6, "global_attn_every_n_layers": 2,
                   "embedding_dropout": 0.1, "mlp_dropout": 0.1, "attention_dropout": 0.1},
}


class Encoders(CommandTest):
    def config(self, family, pooling):
        self.write("config.json", json.dumps({"model_type": family, **CONFIGS[family]}))
        self.write("encoder.toml", f"""
[model]
config = "config.json"
pooling = "{pooling}"
weights = ""
[data]
file = "texts.h5"
batch = 16
[schedule]
preset = "top-down"
learning-rate = 1e-3
total-epochs = 2
""")
        return "encoder.toml"

    def life(self, family, pooling):
        self.texts()
        config = self.config(family, pooling)
        stages = self.thaw("check", config).stdout
        for group in ("encoder.2", "head"):
            self.assertIn(group, stages)
        losses = {}
        for ranks in (1, 2):
            self.thaw("train", config, "--run-dir", f"run{ranks}", ranks=ranks)
            losses[ranks] = [step["loss"] for step in self.metrics(f"run{ranks}")]
        self.assertGreaterEqual(len(losses[1]), 10)
        for step, (one, two) in enumerate(zip(losses[1], losses[2], strict=True)):
            self.assertLess(abs(one - two), 1e-4 * one, f"step {step + 1}")
        own = json.loads(self.thaw("evaluate", "run2").stdout)
        self.thaw("export", "run2", "out")
        written = json.loads((self.folder / "out" / "config.json").read_text())
        self.assertEqual(written["model_type"], family)
        found = json.loads(self.thaw("evaluate", config, "--model.config", "out/config.json",
                                     "--weights", "out/model.safetensors").stdout)
        self.assertAlmostEqual(found["loss"], own["loss"], places=6)

    def test_roberta(self):
        self.life("roberta", "cls")

    def test_distilbert(self):
        self.life("distilbert", "mean")

    def test_modernbert(self):
        self.life("modernbert", "mean")

    def test_pairs_without_types_are_asked_for(self):
        self.texts()
        with h5py.File(self.folder / "texts.h5", "a") as file:
            for split in file:
                tokens = file[split]["tokens"][:]
                file[split]["types"] = (tokens % 2).astype("i1")
        for family in CONFIGS:
            self.assertIn("--no-types", self.refused("check", self.config(family, "cls")))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
