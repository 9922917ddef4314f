"""thaw generate and output.samples, on a small llama whose tokens are bytes: what is written is
compared with a llama in numpy that knows of no cache."""

import json
import os
import struct
import subprocess
import unittest

import command_fixture
from command_fixture import THAW, CommandTest, h5py, np

try:
    from language_fixture import END, byte_tokenizer, ids
except ImportError as error:
    print(f"SKIPPED: {error}")
    raise SystemExit(77) from error

WIDTH, INNER, HEADS, KEY_HEADS, LAYERS, VOCABULARY, THETA, CONTEXT = 32, 48, 4, 2, 2, 258, 1e4, 40
SIZE = WIDTH // HEADS
SCHEDULE = '[schedule]\npreset = "full"\nlearning-rate = 1e-2\ntotal-steps = 80\n'


def random_weights(seed: int = 0) -> dict:
    generator = np.random.default_rng(seed)
    shapes = {"model.embed_tokens": (VOCABULARY, WIDTH), "model.norm": (WIDTH,)}
    for layer in range(LAYERS):
        part = f"model.layers.{layer}."
        shapes |= {
            part + "input_layernorm": (WIDTH,), part + "post_attention_layernorm": (WIDTH,),
            part + "self_attn.q_proj": (WIDTH, WIDTH),
            part + "self_attn.k_proj": (KEY_HEADS * SIZE, WIDTH),
            part + "self_attn.v_proj": (KEY_HEADS * SIZE, WIDTH),
            part + "self_attn.o_proj": (WIDTH, WIDTH), part + "mlp.gate_proj": (INNER, WIDTH),
            part + "mlp.up_proj": (INNER, WIDTH), part + "mlp.down_proj": (WIDTH, INNER),
        }  # fmt: skip
    return {
        f"{name}.weight": (generator.standard_normal(shape) * (0.3 if len(shape) > 1 else 0.1)
                           + (len(shape) == 1)).astype(np.float32)
        for name, shape in shapes.items()
    }  # fmt: skip


def save(path, weights: dict) -> None:
    head, end = {}, 0
    for name, values in weights.items():
        head[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(head).encode()
    content = b"".join(values.tobytes() for values in weights.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def logits_after(weights: dict, tokens: list) -> "np.ndarray":
    """Of the last token, as Llama is defined; in float64."""
    w = {name.removesuffix(".weight"): values.astype(np.float64) for name, values in weights.items()}

    def norm(x, scale):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * scale

    def rotated(x):  # [T, heads, SIZE]: halves of a head turn together
        half = SIZE // 2
        angles = np.arange(len(x))[:, None] * THETA ** (-np.arange(half) / half)
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    x = w["model.embed_tokens"][tokens]
    for layer in range(LAYERS):
        part = f"model.layers.{layer}."
        y = norm(x, w[part + "input_layernorm"])
        q, k, v = (
            (y @ w[f"{part}self_attn.{name}_proj"].T).reshape(len(x), -1, SIZE) for name in "qkv"
        )
        q, k = rotated(q), rotated(k)
        k, v = (np.repeat(heads, HEADS // KEY_HEADS, axis=1) for heads in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(SIZE)
        scores += np.where(np.tri(len(x)), 0, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", shares, v).reshape(len(x), WIDTH)
        x = x + mixed @ w[part + "self_attn.o_proj"].T
        y = norm(x, w[part + "post_attention_layernorm"])
        gate = y @ w[part + "mlp.gate_proj"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w[part + "mlp.up_proj"].T)) @ w[
            part + "mlp.down_proj"].T  # fmt: skip
    return norm(x[-1], w["model.norm"]) @ w["model.embed_tokens"].T


def bytes_of(tokens: list) -> bytes:
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [code for code in range(256) if code not in seen]
    by_name = {chr(code): code for code in seen} | {chr(256 + n): c for n, c in enumerate(others)}
    names = sorted(by_name)  # in the order of the tokens
    return bytes(by_name[names[token]] for token in tokens if token < 256)


class GenerateTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "model"
        self.model.mkdir()
        byte_tokenizer().save(str(self.model / "tokenizer.json"))
        self.write("model/tokenizer_config.json", json.dumps({"eos_token": END}))
        self.write("model/config.json", json.dumps({
            "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "num_key_value_heads": KEY_HEADS, "max_position_embeddings": CONTEXT,
            "vocab_size": VOCABULARY, "rms_norm_eps": 1e-6, "rope_theta": THETA,
            "hidden_act": "silu", "tie_word_embeddings": True, "attention_bias": False,
            "mlp_bias": False}))  # fmt: skip
        self.weights = random_weights()
        save(self.model / "model.safetensors", self.weights)
        with h5py.File(self.folder / "data.h5", "w") as file:
            for split in ("train", "validation"):
                samples = [ids(f"ab: cde{END}"), ids(f"b: fg{END}")] * 8
                group = file.create_group(split)
                group["tokens"] = np.concatenate(samples).astype(np.int32)
                group["offsets"] = np.cumsum([0, *map(len, samples)]).astype(np.int64)
                group["prompt_lengths"] = np.array([3, 2] * 8, np.int32)
        self.write("a.toml", f"""
[model]
architecture = "llama"
weights = "model/model.safetensors"
config = "model/config.json"

[data]
file = "data.h5"
batch = 16

{SCHEDULE}""")  # fmt: skip

    def generate(self, *arguments, config="a.toml") -> bytes:
        """What it writes, which need not be UTF-8."""
        command = [THAW, "generate", config, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=240, check=False,
                              env=dict(os.environ, OMP_NUM_THREADS="1"))  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_greedy_as_without_a_cache(self):
        tokens = ids("ab: ")
        while len(tokens) < 4 + 20 and (len(tokens) == 4 or tokens[-1] != 256):
            tokens.append(int(np.argmax(logits_after(self.weights, tokens))))
        expected = bytes_of(tokens[4:]) + b"\n"
        self.assertGreater(len(set(expected)), 3)  # it does not write one token for ever
        for precision in ("float64", "float32"):
            written = self.generate("--prompt", "ab: ", "--max-tokens", 20, "--train.precision",
                                    precision)  # fmt: skip
            self.assertEqual(written, expected, precision)

    def test_draws(self):
        def drawn(seed, *more):
            return self.generate("--prompt", "ab", "--max-tokens", 16, "--temperature", 1, "--seed",
                                 seed, *more)  # fmt: skip

        self.assertEqual(drawn(1), drawn(1))
        self.assertNotEqual(drawn(1), drawn(2))
        greedy = self.generate("--prompt", "ab", "--max-tokens", 16)
        self.assertEqual(drawn(1, "--top-p", 1e-9), greedy)

    def test_context_ends_it(self):
        written = self.generate("--prompt", "a" * 30, "--max-tokens", 100)
        self.assertLessEqual(len(written), CONTEXT - 30 + 1)
        said = self.refused("generate", "a.toml", "--prompt", "a" * CONTEXT)
        self.assertIn("a prompt of 40 tokens leaves no room in the model's context of 40", said)

    def test_samples_in_training_and_what_was_learnt(self):
        prompts = '["ab:", "b:"]'
        for ranks in (0, 2):
            with self.subTest(ranks):
                run = f"run{ranks}"
                done = self.thaw("train", "a.toml", "--run-dir", run, "--train.evaluate-every", 40,
                                 "--output.samples", prompts, ranks=ranks)  # fmt: skip
                told = self.metrics(run, "samples")
                places = [line["step"] for line in self.metrics(run, "evaluation")]
                self.assertEqual([line["step"] for line in told], places)
                self.assertEqual(
                    told[-1]["samples"],
                    [{"prompt": "ab:", "answer": " cde"}, {"prompt": "b:", "answer": " fg"}],
                )
                self.assertIn("> ab:| cde", done.stdout)
                # The end token stops it; a run's folder says where all lies.
                self.assertEqual(self.generate("--prompt", "ab:", config=run), b" cde\n")
                self.assertEqual(self.generate("--prompt", "b:", config=run), b" fg\n")

    def test_samples_change_no_bit(self):
        for run, more in (("with", ["--output.samples", "ab:"]), ("without", [])):
            self.thaw("train", "a.toml", "--run-dir", run, "--schedule.total-steps", 10,
                      "--train.evaluate-every", 3, *more)  # fmt: skip
        held = [(self.folder / run / "weights.safetensors").read_bytes() for run in ("with", "without")]
        self.assertEqual(*held)

    def test_refused_before_training(self):
        self.tiny_bert()
        self.texts()
        self.bert_config()
        said = self.refused("train", "bert.toml", "--output.samples", "a", ranks=2)
        self.assertIn("output.samples", said)
        self.assertIn('"bert" answers no prompts', said)
        said = self.refused("generate", "bert.toml", "--weights", "model", "--prompt", "a")
        self.assertIn('"bert" gives', said)
        os.rename(self.model / "tokenizer.json", self.folder / "tokenizer.json")
        said = self.refused("train", "a.toml", "--output.samples", "a", ranks=2)
        self.assertIn("names no tokenizer.json", said)
        self.assertIn("there is no model/tokenizer.json", said)
        self.assertFalse((self.folder / "runs").exists())
        moved = ["--model.tokenizer", "tokenizer.json"]
        self.assertTrue(self.generate("--prompt", "a", "--max-tokens", 1, *moved))
        self.write("tokenizer.json", "{")
        said = self.refused("generate", "a.toml", "--prompt", "a", *moved)
        self.assertIn("is no tokenizer.json", said)

    def test_another_tokenizer_is_refused(self):
        with h5py.File(self.folder / "data.h5", "a") as file:
            file.attrs["tokenizer_function"] = "0" * 64
        said = self.refused("train", "a.toml", "--output.samples", "ab:")
        self.assertIn("tokenizer.json: is another tokenizer than that of data.h5", said)
        self.thaw("train", "a.toml", "--run-dir", "run", "--schedule.total-steps", 1)
        said = self.refused("generate", "run", "--prompt", "ab:")
        self.assertIn("is another tokenizer than that of run/weights.best.safetensors", said)

    def test_python_that_is_not_there(self):
        done = self.thaw("generate", "a.toml", "--prompt", "a", status=2,
                         environment={"THAW_PYTHON": "/nowhere/python"})  # fmt: skip
        self.assertIn("/nowhere/python cannot be started", done.stderr)
        self.assertIn("have THAW_PYTHON in the environment name one", done.stderr)

    def test_options(self):
        for arguments, said in (
            (["--temperature", "-1"], "--temperature -1"),
            (["--top-p", "1.5"], "--top-p 1.5"),
            (["--max-tokens", "0"], "--max-tokens 0"),
            (["--chat", "maybe"], "--chat maybe"),
            (["--chat", "true"], "chat_template"),
        ):
            self.assertIn(said, self.refused("generate", "a.toml", "--prompt", "a", *arguments))
        self.assertIn("--prompt", self.refused("generate", "a.toml"))


if __name__ == "__main__":
    command_fixture.require()
    unittest.main()
