"""`thaw new`: the commands that it prints, typed one after another on data of one's own, make the
data, pass the check, train, and use what was trained."""

import csv
import json
import os
import subprocess
import sys
import unittest

import command_fixture
from command_fixture import CommandTest, np

try:
    from command_generate_test import CONTEXT, random_weights, save
    from language_fixture import END, byte_tokenizer
    from prepare_fixture import WORDS, PIL, save_tokenizer, tokenizers
except ImportError as error:
    print(f"SKIPPED: {error}")
    raise SystemExit(77) from error


class NewTest(CommandTest):
    def commands(self, *arguments):
        """What `thaw new` says is next."""
        said = self.thaw("new", *arguments).stdout
        head, commands = said.split("next:\n\n")
        self.assertIn("written: ", head)
        return commands

    def typed(self, commands):
        """Runs them in a shell that ends with the first that fails; what they printed."""
        done = subprocess.run(["bash", "-e"], input=commands, cwd=self.folder, text=True,
                              errors="replace", capture_output=True, check=False,
                              env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.assertEqual(done.returncode, 0, f"{commands}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def expect_trained(self, printed):
        self.assertIn("run: a run, finished", printed)
        [line] = [json.loads(line) for line in printed.splitlines() if line.startswith('{"split"')]
        self.assertEqual(line["split"], "validation")
        self.assertGreater(line["samples"], 0)

    def rows(self, name, columns, count=60):
        generator = np.random.default_rng(1)
        with open(self.folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for _ in range(count):
                words = generator.choice(WORDS, 5)
                writer.writerow([" ".join(words), "warm" if "red" in words else "cold"])


class Beginnings(NewTest):
    def test_text(self):
        self.tiny_bert(vocabulary=64)
        save_tokenizer(str(self.folder / "tokenizer.json"))
        self.rows("my texts.csv", ["sentence", "mood"])
        script = command_fixture.ROOT / "launch/prepare.py"
        subprocess.run([sys.executable, script, "text", "--train", "my texts.csv", "--text-column",
                        "sentence", "--label-column", "mood", "--tokenizer", "tokenizer.json",
                        "--max-tokens", "16", "--output", "texts.h5"], cwd=self.folder, check=True,
                       capture_output=True)
        self.bert_config(schedule='[schedule]\npreset = "full"\nlearning-rate = 1e-3\n'
                                  "total-steps = 1\n")
        self.thaw("train", "bert.toml", "--model.pooling", "cls", "--run-dir", "before")
        self.thaw("export", "before", "model", "--model.tokenizer", "tokenizer.json")
        commands = self.commands("text", "a project", "--model", "model", "--data", "my texts.csv",
                                 "--text-column", "sentence", "--label-column", "mood")
        printed = self.typed(commands)
        self.expect_trained(printed)
        [line] = [json.loads(line) for line in printed.splitlines() if '"text"' in line]
        self.assertEqual(line["text"], "a text of your own")
        self.assertIn(line["class"], ("warm", "cold"))
        said = self.refused("new", "text", "a project")
        self.assertIn("a project/text.toml: is there already", said)

    @unittest.skipUnless(PIL, "Pillow is not installed")
    def test_images(self):
        from PIL import Image

        generator = np.random.default_rng(2)
        for name, level in (("dark", 40), ("light", 180)):
            os.makedirs(self.folder / "project/images" / name)
            for number in range(20):
                pixels = generator.integers(0, 60, (36, 40, 3)) + level
                Image.fromarray(pixels.astype(np.uint8)).save(
                    self.folder / f"project/images/{name}/{number}.png")
        printed = self.typed(self.commands("images", "project"))
        self.expect_trained(printed)
        said = [json.loads(line) for line in printed.splitlines()
                if line.startswith("{") and '"file"' in line]
        self.assertEqual(len(said), 40)
        right = sum(line["class"] == line["file"].split("/")[1] for line in said)
        self.assertGreater(right, 30)

    def test_language(self):
        model = self.folder / "model"
        model.mkdir()
        byte_tokenizer().save(str(model / "tokenizer.json"))
        self.write("model/tokenizer_config.json", json.dumps({"eos_token": END}))
        self.write("model/config.json", json.dumps({
            "model_type": "llama", "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": CONTEXT, "vocab_size": 258, "rms_norm_eps": 1e-6,
            "rope_theta": 1e4, "hidden_act": "silu", "tie_word_embeddings": True,
            "attention_bias": False, "mlp_bias": False}))  # fmt: skip
        save(model / "model.safetensors", random_weights())
        lines = [json.dumps({"prompt": f"{a}{b}: ", "completion": b + a})
                 for a in "abcde" for b in "abcde"]
        (self.folder / "project").mkdir()
        self.write("project/train.jsonl", "\n".join(lines) + "\n")
        printed = self.typed(self.commands("language", "project", "--model", "model"))
        self.expect_trained(printed)

    def test_without_a_model_it_says_where_one_comes_from(self):
        self.thaw("new", "text", "project")
        read_me = (self.folder / "project/README.md").read_text(encoding="utf-8")
        configuration = (self.folder / "project/text.toml").read_text(encoding="utf-8")
        if "hf download" in read_me:  # else the quick start has fetched it here
            self.assertIn('weights = "model/model.safetensors"', configuration)
        self.assertNotIn("@", read_me + configuration)
        self.assertLessEqual(max(map(len, configuration.splitlines())), 160)

    def test_what_is_refused(self):
        for arguments, said in (
            (["sounds", "p"], "KIND sounds: expected text, images or language"),
            (["text", "p", "--data", "nowhere.csv"], "--data nowhere.csv"),
            (["text", "p", "--model", "nowhere"], "has no config.json"),
            (["text"], "DIR is missing"),
        ):
            self.assertIn(said, self.refused("new", *arguments))
        self.assertFalse((self.folder / "p").exists())


if __name__ == "__main__":
    command_fixture.require()
    if not tokenizers:
        print("SKIPPED: tokenizers is not installed")
        sys.exit(77)
    unittest.main()
