"""What the journeys share: the project's folder as a newcomer has it after the quick start, in small,
and the commands of the READMEs, taken out of their code blocks, so that what is typed here is what
stands there.

The networks are random and of a few thousand parameters, the data a few dozen samples: what is looked
at is that each command does what its page says, not what is learnt.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "launch"), str(TESTS / "structure")]
import documentation  # noqa: E402
from command_fixture import (  # noqa: E402
    ROOT, SECONDS, THAW, CommandTest, main_of_skipping, np, require,
)

try:
    import tokenizers
    from PIL import Image
except ImportError as error:
    print(f"SKIPPED: {error}", flush=True)
    sys.exit(77)

__all__ = ["Image", "Journey", "TOPICS", "json", "main", "np", "pathlib", "re", "unittest"]

FRONT = "README.md"
COMMAND = "launch/README.md"
# Texts of three classes, each with words of its own.
TOPICS = {
    "card": "my card is lost and the new card has not arrived yet",
    "transfer": "the transfer to another account is still pending today",
    "rate": "which exchange rate do you use for foreign currency",
}
BERT = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4,
        "intermediate_size": 64, "hidden_act": "gelu", "max_position_embeddings": 64,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "initializer_range": 0.02, "pad_token_id": 0}
LLAMA = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 30, "num_attention_heads": 2,
         "num_key_value_heads": 1, "intermediate_size": 24, "max_position_embeddings": 128,
         "tie_word_embeddings": True, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
         "eos_token_id": 2, "pad_token_id": 2}


def texts(count, seed=0):
    """(text, class) each, of the class's words in some order."""
    generator = np.random.default_rng(seed)
    for i in range(count):
        topic = list(TOPICS)[i % len(TOPICS)]
        yield " ".join(generator.permutation(TOPICS[topic].split())[:8]), topic


def write_safetensors(path, tensors):
    """float32 arrays by name, as Hugging Face's library writes them."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text
                     + b"".join(values.tobytes() for values in tensors.values()))


def random_tensors(shapes, seed=1):
    generator = np.random.default_rng(seed)
    return {name: (np.ones(shape) if "orm.weight" in name else
                   generator.normal(0, 0.1, shape) * name.endswith("weight")).astype(np.float32)
            for name, shape in shapes.items()}


def bert_shapes(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {f"embeddings.{name}_embeddings.weight": (rows, hidden) for name, rows in (
        ("word", config["vocab_size"]), ("position", config["max_position_embeddings"]),
        ("token_type", config["type_vocab_size"]))}
    shapes |= {f"embeddings.LayerNorm.{part}": (hidden,) for part in ("weight", "bias")}
    for i in range(config["num_hidden_layers"]):
        dense = {"attention.self.query": (hidden, hidden), "attention.self.key": (hidden, hidden),
                 "attention.self.value": (hidden, hidden), "attention.output.dense": (hidden, hidden),
                 "intermediate.dense": (inner, hidden), "output.dense": (hidden, inner)}
        for name, shape in dense.items():
            shapes[f"encoder.layer.{i}.{name}.weight"] = shape
            shapes[f"encoder.layer.{i}.{name}.bias"] = shape[:1]
        for name in ("attention.output", "output"):
            for part in ("weight", "bias"):
                shapes[f"encoder.layer.{i}.{name}.LayerNorm.{part}"] = (hidden,)
    return shapes


def llama_shapes(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    narrow = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for i in range(config["num_hidden_layers"]):
        layer = {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (narrow, hidden),
                 "self_attn.v_proj": (narrow, hidden), "self_attn.o_proj": (hidden, hidden),
                 "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
                 "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,),
                 "post_attention_layernorm": (hidden,)}
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


class Journey(CommandTest):
    """`self.folder` looks like the project's: `build`, `launch`, `configs`, `cluster`; `data` and `runs`
    are its own."""

    def setUp(self):
        super().setUp()
        for name in ("launch", "configs", "cluster"):
            (self.folder / name).symlink_to(ROOT / name)
        (self.folder / "build").symlink_to(pathlib.Path(THAW).parent)
        (self.folder / "data").mkdir()
        self.environment = dict(os.environ, OMP_NUM_THREADS="1", COLUMNS="100")

    # --- what the quick start leaves ----------------------------------------------------------------

    def minilm(self):
        """data/minilm, in small."""
        folder = self.folder / "data/minilm"
        folder.mkdir()
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
                 *sorted({word for text in TOPICS.values() for word in text.split()})]
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(
            {word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        tokenizer.add_special_tokens(words[:5])
        tokenizer.save(str(folder / "tokenizer.json"))
        config = BERT | {"vocab_size": len(words)}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        write_safetensors(folder / "model.safetensors", random_tensors(bert_shapes(config)))

    def smollm2(self):
        """data/smollm2, in small: its tokens are bytes."""
        folder = self.folder / "data/smollm2"
        folder.mkdir()
        alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
        words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet]
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
            {word: i for i, word in enumerate(words)}, []))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = tokenizers.decoders.ByteLevel()
        tokenizer.add_special_tokens(words[:3])
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": words[2]}))
        config = LLAMA | {"vocab_size": len(words)}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        write_safetensors(folder / "model.safetensors", random_tensors(llama_shapes(config)))

    def tables(self):
        """train.csv and test.csv."""
        for name, count in (("train.csv", 66), ("test.csv", 18)):
            rows = "".join(f"{text},{topic}\n" for text, topic in texts(count, seed=count))
            self.write(name, "text,category\n" + rows)

    # --- what the pages say -------------------------------------------------------------------------

    def block(self, page, heading, language="sh", number=0):
        """The code block of this number below a heading, and its text."""
        found = documentation.parse(page, (ROOT / page).read_text(encoding="utf-8"))
        lines = [line for line, _, _ in found.headings] + [10**9]
        places = [i for i, (_, _, text) in enumerate(found.headings) if text == heading]
        self.assertEqual(len(places), 1, f"{page}: headings {heading!r}")
        begin, end = lines[places[0]], lines[places[0] + 1]
        blocks = [text for line, kind, text in found.blocks if begin < line < end and kind == language]
        self.assertGreater(len(blocks), number, f"{page}: blocks of {language} below {heading!r}")
        return blocks[number]

    def commands(self, page, heading, number=0):
        """The commands of such a block, each whole."""
        text = self.block(page, heading, number=number)
        found = []
        for line in re.sub(r"\\\n\s*", "", text).split("\n"):
            if line.strip() and not line.startswith("#"):
                found.append(line)
        return found

    def type(self, command, status=0, **environment):
        """What a shell in the project's folder prints, standard error too."""
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS,
                              errors="replace",
                              env=self.environment | environment, check=False)
        self.assertEqual(done.returncode, status, f"{command}\n{done.stdout}")
        return done.stdout

    def start(self, command):
        """The same beside this program; ended with the test."""
        job = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment)
        self.addCleanup(job.stdout.close)
        self.addCleanup(job.wait)
        self.addCleanup(job.kill)
        return job

    def wait_for(self, true, what, seconds=90):
        deadline = time.monotonic() + seconds
        while not true():
            self.assertLess(time.monotonic(), deadline, f"{what} did not happen")
            time.sleep(0.05)

    def trained(self):
        """`runs/mine`, as the front page's three commands leave it; what they print."""
        self.minilm()
        self.tables()
        return [self.type(line) for line in
                self.commands(FRONT, "Your own data, in three commands")]

    def json_line(self, text):
        """The one line of JSON in what a command has printed."""
        (line,) = [line for line in text.splitlines() if line.startswith("{")]
        return json.loads(line)


def main():
    require()
    main_of_skipping()
