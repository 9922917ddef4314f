"""What `thaw export` writes for people and pipelines: a model card that tells what happened, and a
folder that transformers.pipeline loads as the card says, for a network of each family.

The pipelines need a Python with torch and transformers: that of the tests, or the one that
THAW_REFERENCE_PYTHON names; without it they are skipped.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import unittest

from command_fixture import CommandTest, h5py, np, require

PYTHON = os.environ.get("THAW_REFERENCE_PYTHON",
                        os.environ.get("THAW_TEST_PYTHON", sys.executable))
WORDS = 60
TWO_STAGES = """
[[schedule.stage]]
name = "head"
groups = ["{0}"]
learning-rate = 1e-3
until = {{ steps = 2 }}
[[schedule.stage]]
name = "all | of it"
groups = ["*"]
learning-rate = {{ "{0}" = 1e-3, "*" = 1e-4 }}
until = {{ steps = 1 }}
"""
BERT = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 32, "vocab_size": WORDS,
        "pad_token_id": 0}
ENCODERS = {
    "roberta": BERT | {"model_type": "roberta", "type_vocab_size": 1},
    "distilbert": {"model_type": "distilbert", "dim": 16, "n_layers": 2, "n_heads": 2,
                   "hidden_dim": 24, "max_position_embeddings": 32, "vocab_size": WORDS,
                   "pad_token_id": 0},
    "modernbert": {"model_type": "modernbert", "hidden_size": 16, "num_hidden_layers": 2,
                   "num_attention_heads": 2, "intermediate_size": 24, "local_attention": 8,
                   "max_position_embeddings": 32, "vocab_size": WORDS, "pad_token_id": 0,
                   "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3},
}
LLAMA = {"model_type": "llama", "vocab_size": WORDS, "hidden_size": 16, "num_attention_heads": 2,
         "num_key_value_heads": 1, "num_hidden_layers": 2, "intermediate_size": 24,
         "max_position_embeddings": 48, "tie_word_embeddings": True, "eos_token_id": 3}
GPT2 = {"model_type": "gpt2", "vocab_size": WORDS, "n_embd": 16, "n_head": 2, "n_layer": 2,
        "n_positions": 48, "bos_token_id": 3, "eos_token_id": 3}
IMAGES = {
    "vit": {"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 24, "image_size": 24, "patch_size": 8},
    "dinov2": {"model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 2,
               "num_attention_heads": 2, "mlp_ratio": 2, "image_size": 24, "patch_size": 8},
    "convnext": {"model_type": "convnext", "hidden_sizes": [8, 12], "depths": [1, 1],
                 "num_stages": 2, "patch_size": 2},
}
CLASSES = ["card | lost", "naïve", "zeta"]


def word_tokenizer():
    """Words w4 … and the special tokens of a BERT."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    symbol = {word: {"SpecialToken": {"id": word, "type_id": 0}} for word in special}
    pieces = [symbol["[CLS]"], {"Sequence": {"id": "A", "type_id": 0}}, symbol["[SEP]"]]
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "decoder": None,
        "added_tokens": [{"id": i, "content": word, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for i, word in enumerate(special)],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing", "single": pieces, "pair": pieces,
            "special_tokens": {word: {"id": word, "ids": [i], "tokens": [word]}
                               for i, word in enumerate(special) if i > 1}},
        "model": {"type": "WordLevel", "unk_token": "[UNK]",
                  "vocab": {word: i for i, word in enumerate(
                      special + [f"w{i}" for i in range(4, WORDS)])}},
    }  # fmt: skip


class Export(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("tokenizer.json", json.dumps(word_tokenizer()))

    def text_data(self, extra, **attributes):
        """`extra`: adds to a split's group, given its samples and a generator."""
        generator = np.random.default_rng(0)
        with h5py.File(self.folder / "data.h5", "w") as file:
            for split in ("train", "validation"):
                samples = [np.array([2, *generator.integers(4, WORDS, 6), 3]) for _ in range(12)]
                group = file.create_group(split)
                group["tokens"] = np.concatenate(samples).astype(np.int32)
                group["offsets"] = np.arange(0, 8 * 12 + 1, 8, dtype=np.int64)
                extra(group, generator)
            file.attrs.update(attributes)

    def run_of(self, description, pooling=None, head="head"):
        """Trains, in two stages; writes the folder `run`."""
        self.write("config.json", json.dumps(description))
        extra = f'pooling = "{pooling}"\n' if pooling else ""
        self.write("run.toml", f"""
[model]
config = "config.json"
weights = ""
{extra}
[data]
file = "data.h5"
batch = 12
[train]
weight-decay = 0.125
{TWO_STAGES.format(head)}""")
        self.thaw("train", "run.toml", "--run-dir", "run")

    def classes(self, pooling="cls", description=BERT):
        self.text_data(lambda group, _: group.create_dataset(
            "labels", data=np.arange(12, dtype=np.int64) % 3), classes=CLASSES)
        self.run_of(description, pooling)

    def export(self, weights="run/weights.safetensors", folder="model"):
        return self.thaw("export", "run.toml", "--weights", weights, folder).stdout

    def card(self, folder="model"):
        text = (self.folder / folder / "README.md").read_text(encoding="utf-8")
        _, front, rest = text.split("---\n", 2)
        return front, rest

    def blocks(self, text, language):
        return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


class Card(Export):
    def test_tells_what_happened(self):
        self.classes()
        self.export()
        front, text = self.card()
        self.assertIn("library_name: transformers\npipeline_tag: text-classification\n", front)
        last = self.metrics("run", "evaluation")[-1]
        shown = dict(re.findall(r"- type: (\w+)\n      value: (\S+)\n", front))
        for metric in ("loss", "accuracy"):
            self.assertAlmostEqual(float(shown[metric]), last[metric], places=12)
            self.assertIn(f"| {metric} | {last[metric]:.4f} |", text)
        self.assertIn(f"after step {last['step']}", text)
        self.assertIn("Data: data.h5.", text)
        self.assertIn("3 classes: card \\| lost, naïve, zeta.", text)
        rows = [re.split(r" (?<!\\)\| ", row.strip("| ")) for row in text.splitlines()
                if row.startswith(("| head", "| all"))]
        everything = self.summary("run")["stages"][1]["active_parameters"]
        self.assertEqual([row[:2] for row in rows], [["head", "2"], ["all \\| of it", "1"]])
        self.assertEqual(rows[0][2:4], ["head", "0.001"])
        self.assertEqual(rows[1][2], "embeddings, encoder.0, encoder.1, head")
        self.assertEqual(rows[1][4], str(everything))
        (settings,) = self.blocks(text, "toml")
        settings = tomllib.loads(settings)
        self.assertEqual(settings["train"]["weight-decay"], 0.125)
        self.assertEqual([stage["name"] for stage in settings["schedule"]["stage"]],
                         ["head", "all | of it"])
        self.assertNotIn("data", settings)
        self.assertNotIn(str(self.folder), text)

    def test_of_the_best_weights_and_of_a_checkpoint_has_their_figures(self):
        self.classes()
        first = next(line for line in self.metrics("run", "checkpoint"))
        evaluations = {line["step"]: line for line in self.metrics("run", "evaluation")}
        best = [line for line in evaluations.values() if line["best"]][-1]
        place = next((self.folder / "run/checkpoints").glob(f"*{first['step']}*"))
        for weights, step, folder in (("run/weights.best.safetensors", best["step"], "best"),
                                      (place, first["step"], "checkpoint")):
            self.export(weights, folder)
            self.assertIn(f"| loss | {evaluations[step]['loss']:.4f} |", self.card(folder)[1])

    def test_of_weights_from_elsewhere_says_that_nothing_is_known(self):
        self.classes()
        (self.folder / "elsewhere").mkdir()
        shutil.copy(self.folder / "run/weights.safetensors", self.folder / "elsewhere/w.safetensors")
        self.export("elsewhere/w.safetensors")
        front, text = self.card()
        self.assertNotIn("model-index", front)
        self.assertIn("did not lie in the folder of a run", text)
        self.assertIn("3 classes: card", text)

    def test_overwrites_none(self):
        self.classes()
        (self.folder / "model").mkdir()
        self.write("model/README.md", "mine\n")
        said = self.refused("export", "run.toml", "--weights", "run/weights.safetensors", "model")
        self.assertIn("README.md: is there already", said)
        self.assertEqual(os.listdir(self.folder / "model"), ["README.md"])

    def test_of_a_damaged_log_writes_nothing(self):
        self.classes()
        with open(self.folder / "run/metrics.jsonl", "a", encoding="utf-8") as file:
            file.write('{"event": "evaluation", "step": "three"}\n')
        said = self.refused("export", "run.toml", "--weights", "run/weights.safetensors", "model")
        self.assertIn("metrics.jsonl", said)
        self.assertFalse((self.folder / "model").exists())

    def test_tokenizer_settings_have_what_pipelines_need(self):
        self.text_data(lambda group, _: group.create_dataset(
            "prompt_lengths", data=np.ones(12, np.int32)))
        self.run_of(LLAMA, head="norm")
        self.export()
        settings = json.loads((self.folder / "model/tokenizer_config.json").read_text())
        self.assertEqual(settings, {"tokenizer_class": "PreTrainedTokenizerFast",
                                    "model_max_length": 48, "eos_token": "[SEP]",
                                    "pad_token": "[SEP]"})
        # The source's own are kept, but for what the network cannot take.
        own = {"tokenizer_class": "LlamaTokenizer", "model_max_length": 10**30,
               "pad_token": {"content": "[PAD]"}, "chat_template": "{{ x }}"}
        self.write("tokenizer_config.json", json.dumps(own))
        self.export(folder="again")
        settings = json.loads((self.folder / "again/tokenizer_config.json").read_text())
        self.assertEqual(settings, own | {"model_max_length": 48, "eos_token": "[SEP]"})
        whole = json.dumps(settings, indent=7)
        self.write("tokenizer_config.json", whole)
        self.export(folder="third")
        self.assertEqual((self.folder / "third/tokenizer_config.json").read_text(), whole)


def has_transformers():
    return subprocess.run([PYTHON, "-c", "import torch, transformers, PIL"], capture_output=True,
                          check=False).returncode == 0  # fmt: skip


@unittest.skipUnless(has_transformers(), f"{PYTHON} has no transformers")
class Pipelines(Export):
    """The Python that the card shows, run where it says."""

    def said(self, folder="model"):
        (code,) = self.blocks(self.card(folder)[1], "python")
        environment = dict(os.environ, HF_HUB_OFFLINE="1", HF_MODULES_CACHE=str(self.folder / "cache"))
        done = subprocess.run([PYTHON, "-c", code], cwd=self.folder, text=True, capture_output=True,
                              env=environment, timeout=240, check=False)
        self.assertEqual(done.returncode, 0, f"{code}\n{done.stderr}")
        self.assertNotIn("newly initialized", done.stderr)
        return done.stdout

    def test_of_a_bert(self):
        self.classes("cls")
        self.export()
        self.assertRegex(self.said(), "'label': '(card|naïve|zeta)")

    def test_of_a_bert_with_mean_pooling(self):
        self.classes("mean")
        self.export()
        self.assertIn("trust_remote_code=True", self.card()[1])
        self.assertRegex(self.said(), "'label': '(card|naïve|zeta)")

    def test_of_other_encoders(self):
        for name, description in ENCODERS.items():
            for pooling in ("cls", "mean"):
                shutil.rmtree(self.folder / "run", ignore_errors=True)
                self.classes(pooling, description)
                folder = f"{name}-{pooling}"
                self.export(folder=folder)
                self.assertRegex(self.said(folder), "'label': '(card|naïve|zeta)", folder)

    def test_of_a_bert_of_tokens(self):
        def tags(group, generator):
            labels = generator.integers(0, 3, 8 * 12).astype(np.int32)
            labels[::8] = -100
            group["token_labels"] = labels

        self.text_data(tags, classes=CLASSES, task="token-classification")
        self.run_of(BERT)
        self.export()
        self.assertIn("pipeline_tag: token-classification", self.card()[0])
        self.assertRegex(self.said(), "'entity': '(card|naïve|zeta)")

    def test_of_decoders(self):
        for description, head in ((LLAMA, "norm"), (GPT2, "norm")):
            self.text_data(lambda group, _: group.create_dataset(
                "prompt_lengths", data=np.ones(12, np.int32)))
            shutil.rmtree(self.folder / "run", ignore_errors=True)
            self.run_of(description, head=head)
            name = f"{description['model_type']} model"
            self.export(folder=name)
            self.assertIn("pipeline_tag: text-generation", self.card(name)[0])
            self.assertIn("'generated_text': 'How it begins", self.said(name))

    def test_of_networks_of_images(self):
        """Of 16 x 16 pixels, where config.json says 24."""
        self.images()
        subprocess.run([PYTHON, "-c", "import PIL.Image as i; i.new('RGB', (30, 20), 'red').save("
                        "'image.png')"], cwd=self.folder, check=True)  # fmt: skip
        os.rename(self.folder / "images.h5", self.folder / "data.h5")
        for name, description in IMAGES.items():
            shutil.rmtree(self.folder / "run", ignore_errors=True)
            self.run_of(description)
            self.export(folder=name)
            self.assertIn("pipeline_tag: image-classification", self.card(name)[0])
            self.assertRegex(self.said(name), "'label': 'class [012]'")


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
