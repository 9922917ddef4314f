"""Frozen weights of products in bfloat16: the GPU has them in that type alone, and their float32 comes
back from host memory where they thaw. Values are zeros there; what is seen is where memory is, that no
kernel is given what lies on the host, and that all ranks do the same."""

import json
import shutil
import unittest

import h5py
import numpy as np
from null_gpu_fixture import NullGpuTest, require_null_gpu

BFLOAT16 = ("--train.precision", "bfloat16")
SAVES = ("--checkpoint.every-steps", "1", "--distributed.audit-every", "1")
# Down, up, frozen again, and all of it.
STAGES = ("head", "encoder.1,head", "head", "encoder.0,head", "*")


class FrozenWeights(NullGpuTest):
    def setUp(self):
        super().setUp()
        self.texts(train=27, validation=9, vocabulary=3000)

    def config(self, stages, model='config = "config.json"', data="texts.h5", name="run.toml"):
        text = f'[model]\n{model}\n[data]\nfile = "{data}"\nbatch = 10\n[train]\nevaluate-every = 1\n'
        for number, groups in enumerate(stages):
            listed = ", ".join(f'"{group}"' for group in groups.split(","))
            text += (f'[[schedule.stage]]\nname = "{number}"\ngroups = [{listed}]\n'
                     "learning-rate = 1e-3\nuntil = { steps = 2 }\n")
        self.write(name, text)
        return name

    def bert(self, layers=2, hidden=64):
        self.tiny_bert(layers=layers, hidden=hidden, vocabulary=3000)

    def peaks(self, run):
        return [stage["peak_memory_bytes"] for stage in self.summary(run)["stages"]]

    def test_two_bytes_a_weight(self):
        """What four layers more take: 2 bytes a weight where they are frozen, first or again; 4 in
        float32."""
        more = 4 * (4 * 256 * 256 + 2 * 256 * 512)
        for flags, least, most in ((BFLOAT16, 2, 3), ((), 4, 5)):
            peaks = []
            for layers in (2, 6):
                self.bert(layers, hidden=256)
                run = f"run-{layers}-{len(flags)}"
                config = self.config(("head", f"encoder.{layers - 1},head", "head"))
                self.on_gpus("train", config, "--run-dir", run, "--checkpoint.every-steps", "-1",
                             *flags)
                peaks.append(self.peaks(run))
            for few, many in zip(*peaks):
                self.assertGreaterEqual(many - few, least * more)
                self.assertLess(many - few, most * more)

    def test_they_come_and_go(self):
        self.bert()
        for ranks in (1, 2):
            for flags in ((), ("--train.cuda-graphs", "auto"), ("--distributed.share-frozen", "off"),
                          ("--train.gradient-checkpointing", "true")):
                self.on_gpus("train", self.config(STAGES), "--run-dir", "run", *BFLOAT16, *SAVES,
                             *flags, ranks=ranks)
                self.assertEqual(len(self.summary("run")["stages"]), len(STAGES))
                shutil.rmtree(self.folder / "run")

    def test_state_that_ranks_share_out(self):
        self.bert()
        self.on_gpus("train", self.config(STAGES), "--run-dir", "run", *BFLOAT16, *SAVES,
                     "--distributed.sharding", "gradients", "--distributed.frozen-state", "host",
                     ranks=2)

    def test_presets_that_freeze_again(self):
        self.bert()
        self.config(())
        text = (self.folder / "run.toml").read_text(encoding="utf-8")
        for preset in ("bottom-up", "chain-thaw", "auto-freeze"):
            self.write("preset.toml", text + f'[schedule]\npreset = "{preset}"\nlearning-rate = 1e-3\n')
            flags = ("--schedule.stage-steps", "2") if preset != "auto-freeze" else (
                "--schedule.policy-every-steps", "2", "--schedule.total-steps", "6")
            self.on_gpus("train", "preset.toml", "--run-dir", preset, *BFLOAT16, *SAVES, *flags,
                         ranks=2)

    def test_a_run_goes_on(self):
        """From a checkpoint in which weights lay in host memory, on another number of ranks; state of
        frozen layers, which is read into host memory, too."""
        self.bert()
        state = ("--distributed.frozen-state", "host")
        for before, after, flags in ((1, 1, ()), (2, 1, ()), (1, 2, ()), (1, 1, state)):
            self.on_gpus("train", self.config(STAGES[:3]), "--run-dir", "run", *BFLOAT16, *SAVES,
                         *flags, ranks=before)
            config = self.config(STAGES)
            self.on_gpus("train", config, "--run-dir", "run", *BFLOAT16, *SAVES, *flags,
                         ranks=after)
            self.assertEqual(self.summary("run")["stages"][-1]["name"], "4")
            self.on_gpus("evaluate", config, *BFLOAT16, "--weights", "run/weights.safetensors",
                         "--split", "test", ranks=after)
            shutil.rmtree(self.folder / "run")

    def test_ranks_of_a_host_have_them_once(self):
        """Also what comes back to host memory after it was trained."""
        self.bert()
        self.on_gpus("train", self.config(STAGES), "--run-dir", "run", *BFLOAT16, ranks=2)
        shared = [line["shared_weight_bytes"] for line in self.metrics("run", "transition")]
        # The smallest, of the attention's output, has the four pages that sharing pays from.
        layer = 4 * (4 * 64 * 64 + 2 * 64 * 128)
        self.assertEqual(shared, [2 * layer, layer, 2 * layer, layer, 0])
        self.on_gpus("train", self.config(STAGES), "--run-dir", "float32", ranks=2)
        self.assertEqual({line["shared_weight_bytes"]
                          for line in self.metrics("float32", "transition")}, {0})

    def test_decoders(self):
        """With a head of their own, and one that is the table of the words, which stays."""
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "text.h5", "w") as file:
            for split, count in (("train", 27), ("validation", 9)):
                lengths = generator.integers(4, 20, count)
                group = file.create_group(split)
                group["offsets"] = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
                group["tokens"] = generator.integers(0, 300, lengths.sum(), np.int32)
                group["prompt_lengths"] = generator.integers(1, 4, count, np.int32)
        llama = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 300,
                 "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
                 "max_position_embeddings": 64}
        gpt2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64,
                "vocab_size": 300}
        for number, model in enumerate((llama | {"tie_word_embeddings": False},
                                        llama | {"tie_word_embeddings": True}, gpt2)):
            self.write("config.json", json.dumps(model))
            top = "norm,head" if number == 0 else "norm"
            config = self.config((top, f"layers.1,{top}", "layers.1", "layers.0", "*"),
                                 data="text.h5")
            self.on_gpus("train", config, "--run-dir", f"run-{number}", "--task.kind", "causal-lm",
                         *BFLOAT16, *SAVES, ranks=1 + number % 2)

    def test_other_families(self):
        vit = {"model_type": "vit", "hidden_size": 64, "num_hidden_layers": 2,
               "num_attention_heads": 2, "image_size": 32, "patch_size": 8, "num_channels": 3,
               "intermediate_size": 128, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
               "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
        convnext = {"model_type": "convnext", "hidden_sizes": [32, 64], "depths": [1, 2],
                    "patch_size": 2, "drop_path_rate": 0.1, "layer_scale_init_value": 0.5}
        modernbert = {"model_type": "modernbert", "hidden_size": 64, "num_hidden_layers": 2,
                      "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 3000,
                      "max_position_embeddings": 40, "pad_token_id": 1, "local_attention": 8,
                      "global_attn_every_n_layers": 2}
        self.images(name="images.h5", size=32)
        for model, data, upper in ((vit, "images.h5", "encoder.1"),
                                   (convnext, "images.h5", "stages.1.*"),
                                   (modernbert, "texts.h5", "encoder.1")):
            self.write("config.json", json.dumps(model))
            family = model["model_type"]
            config = self.config(("head", f"{upper},head", "head", "*"), data=data,
                                 model=f'architecture = "{family}"\nconfig = "config.json"')
            self.on_gpus("train", config, "--run-dir", family, *BFLOAT16, *SAVES)


if __name__ == "__main__":
    require_null_gpu()
    unittest.main()
