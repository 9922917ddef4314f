"""Networks of images that a config.json describes, or that have one form: stages on several ranks, in
each precision, and what becomes of their weights."""

import json
import unittest

from command_fixture import CommandTest, require

VIT = {"model_type": "dinov2_with_registers", "hidden_size": 16, "num_hidden_layers": 2,
       "num_attention_heads": 2, "mlp_ratio": 2, "image_size": 24, "patch_size": 4,
       "num_register_tokens": 2, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
       "drop_path_rate": 0.1}
CONVNEXT = {"model_type": "convnext", "hidden_sizes": [8, 12], "depths": [1, 2], "patch_size": 2,
            "drop_path_rate": 0.1, "layer_scale_init_value": 0.5}
# Architecture, its config.json or none, and the groups of a second stage.
NETWORKS = (("vit", VIT, '"encoder.1", "head"'), ("convnext", CONVNEXT, '"stages.1.*", "head"'),
            ("efficientnet-lite0", None, '"blocks.1[45]", "head"'))


class Vision(CommandTest):
    def config(self, architecture, description, groups, precision="float64"):
        source = ""
        if description:
            self.write("config.json", json.dumps(description))
            source = 'config = "config.json"'
        self.write("vision.toml", f"""
[model]
architecture = "{architecture}"
weights = ""
{source}
[data]
file = "images.h5"
batch = 12
[train]
precision = "{precision}"
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 1e-3
until = {{ steps = 2 }}
[[schedule.stage]]
name = "upper"
groups = [{groups}]
learning-rate = 1e-3
until = {{ steps = 2 }}
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-3
until = {{ steps = 2 }}
""")
        return "vision.toml"

    def losses(self, config, run, *options, ranks=1):
        self.thaw("train", config, "--run-dir", run, *options, ranks=ranks)
        return [step["loss"] for step in self.metrics(run)]

    def test_losses_do_not_depend_on_ranks_or_on_recomputation(self):
        self.images()
        for network in NETWORKS:
            with self.subTest(network[0]):
                config = self.config(*network)
                one = self.losses(config, network[0])
                self.assertEqual(len(one), 6)
                # Batch normalisation would see other micro-batches.
                parts = ("--train.micro-batch", "4") if network[1] else ()
                again = self.losses(config, network[0] + "-2", "--train.gradient-checkpointing",
                                    "true", *parts, ranks=2)
                for step, (loss, expected) in enumerate(zip(again, one, strict=True)):
                    self.assertLess(abs(loss - expected), 1e-9 * abs(expected), f"step {step + 1}")

    def test_bfloat16_is_near(self):
        self.images()
        for network in NETWORKS:
            with self.subTest(network[0]):
                exact = self.losses(self.config(*network, precision="float32"), network[0])
                found = self.losses(self.config(*network, precision="bfloat16"), network[0] + "-16")
                # In the last stage each of 16 blocks' batch normalisations, of 12 values a channel
                # in the end, makes more of what rounding did before it: 7 % were measured (and 5 %
                # with larger images or with SGD), up to there 0.01 %. The last step comes after an
                # update by such gradients: 15 and 26 % by how the processor rounds.
                for step, (loss, expected) in enumerate(zip(found, exact, strict=True), 1):
                    tolerance = {5: 0.2, 6: 0.5}.get(step, 0.005) if network[1] is None else 0.005
                    self.assertLess(abs(loss - expected), tolerance * abs(expected), f"step {step}")

    def test_trained_weights_evaluate_and_export(self):
        self.images()
        for architecture, description, groups in NETWORKS:
            with self.subTest(architecture):
                config = self.config(architecture, description, groups, precision="float32")
                self.losses(config, architecture)
                weights = f"{architecture}/weights.safetensors"
                line = self.thaw("evaluate", config, "--model.weights", weights, "--model.head",
                                 "loaded", "--split", "validation").stdout
                wanted = self.metrics(architecture, "evaluation")[-1]
                self.assertAlmostEqual(json.loads(line)["loss"], wanted["loss"], places=6)
                if description is None:
                    self.assertIn("load_state_dict", self.refused("export", config, "--weights",
                                                                  weights, "out"))
                    continue
                self.thaw("export", config, "--weights", weights, f"{architecture}-out")
                folder = self.folder / f"{architecture}-out"
                exported = json.loads((folder / "config.json").read_text())
                self.assertEqual(exported["id2label"]["1"], "class 1")
                self.assertTrue(exported["architectures"][0].endswith("ForImageClassification"))
                prepared = json.loads((folder / "preprocessor_config.json").read_text())
                self.assertEqual(prepared["size"], {"height": 16, "width": 16})
                self.assertEqual(prepared["image_std"], [0.25, 0.25, 0.25])

    def test_images_that_do_not_fit_are_refused_before_training(self):
        self.images(size=2)
        for network in NETWORKS[:2]:
            said = self.refused("train", self.config(*network), "--run-dir", "run")
            self.assertIn("images of 2 x 2", said)
            self.assertFalse((self.folder / "run").exists())


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
