"""import_gguf.py, on small files that are written here byte by byte, with the values they hold."""

import contextlib
import io
import json
import os
import pathlib
import random
import shutil
import struct
import sys
import time
import unittest

from language_fixture import HAS_GGUF, LanguageTest, alphabet
from prepare_fixture import np, tokenizers
from safetensors_reader import tensors as tensors_of

WIDTH, INNER, HEADS, KEY_HEADS, LAYERS = 64, 96, 4, 2, 2
SIZE = WIDTH // HEADS
U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
CODES = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<B", U64: "<Q"}
# Numbers of GGUF's types, and what a block of each is.
KIND_F32, KIND_F16, KIND_Q4_1, KIND_Q8_0, KIND_BF16 = 0, 1, 3, 8, 30
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(kind: int, held) -> bytes:
    if kind == STRING:
        return text(held)
    if kind == ARRAY:
        inner, values = held
        return struct.pack("<IQ", inner, len(values)) + b"".join(value(inner, v) for v in values)
    return struct.pack(CODES[kind], held)


def gguf(metadata: dict, tensors: dict, counts: tuple = None) -> bytes:
    """A file of version 3. Tensors: name -> (shape, innermost last; type; bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, *(counts or (len(tensors), len(metadata))))
    for key, (kind, held) in metadata.items():
        head += text(key) + struct.pack("<I", kind) + value(kind, held)
    place, content = 0, b""
    for name, (shape, kind, packed) in tensors.items():
        sizes = struct.pack(f"<{len(shape)}Q", *reversed(shape))
        head += text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, place)
        content += packed + b"\0" * (-len(packed) % 32)
        place = len(content)
    return head + b"\0" * (-len(head) % 32) + content


def pack(kind: int, shape: tuple, generator) -> tuple:
    """Random numbers of a type: (their bytes, the float32 values that these stand for)."""
    count = int(np.prod(shape))
    if kind in (KIND_F32, KIND_F16, KIND_BF16):
        values = generator.standard_normal(count).astype(np.float32)
        if kind == KIND_F16:
            values = values.astype(np.float16)
            return values.tobytes(), values.astype(np.float32).reshape(shape)
        if kind == KIND_BF16:
            upper = (values.view(np.uint32) >> 16).astype(np.uint16)
            return upper.tobytes(), (upper.astype(np.uint32) << 16).view(np.float32).reshape(shape)
        return values.tobytes(), values.reshape(shape)
    packed, values = b"", []
    for _ in range(count // 32):
        scale = np.float16(generator.uniform(0.01, 0.1))
        if kind == KIND_Q8_0:
            numbers = generator.integers(-127, 128, 32, dtype=np.int8)
            packed += scale.tobytes() + numbers.tobytes()
            values += [np.float32(scale) * np.float32(n) for n in numbers]
        else:  # the lower halves of 16 bytes, then their upper halves
            least = np.float16(generator.uniform(-0.5, 0))
            numbers = generator.integers(0, 16, 32, dtype=np.uint8)
            packed += scale.tobytes() + least.tobytes() + (numbers[:16] | numbers[16:] << 4).tobytes()
            values += [np.float32(n) * np.float32(scale) + np.float32(least) for n in numbers]
    return packed, np.array(values, np.float32).reshape(shape)


def in_order(values, heads: int):
    """Rows of q or k as Hugging Face has them: of the 2·h rows of a head, row 2·i is stored for row
    i, and row 2·i + 1 for row h + i."""
    right = np.empty_like(values)
    half = len(values) // heads // 2
    for head in range(heads):
        for i in range(half):
            for part in (0, 1):
                right[head * 2 * half + part * half + i] = values[head * 2 * half + 2 * i + part]
    return right


class ImportTest(LanguageTest):
    def setUp(self) -> None:
        super().setUp()
        self.out = self.path("model")
        characters = alphabet()
        merges = ["Ġ t", "h e", "Ġt he", "1 2"]
        tokens = [*SPECIAL, *characters, *(merge.replace(" ", "") for merge in merges)]
        kinds = [3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL))
        self.tokens = tokens
        self.metadata = {
            "general.architecture": (STRING, "llama"),
            "llama.block_count": (U32, LAYERS),
            "llama.context_length": (U32, 128),
            "llama.embedding_length": (U32, WIDTH),
            "llama.feed_forward_length": (U32, INNER),
            "llama.attention.head_count": (U32, HEADS),
            "llama.attention.head_count_kv": (U32, KEY_HEADS),
            "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
            "llama.rope.freq_base": (F32, 100000.0),
            "tokenizer.ggml.model": (STRING, "gpt2"),
            "tokenizer.ggml.pre": (STRING, "smollm"),
            "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
            "tokenizer.ggml.token_type": (ARRAY, (I32, kinds)),
            "tokenizer.ggml.merges": (ARRAY, (STRING, merges)),
            "tokenizer.ggml.bos_token_id": (U32, 1),
            "tokenizer.ggml.eos_token_id": (U32, 2),
            "tokenizer.ggml.padding_token_id": (U32, 2),
            "tokenizer.ggml.add_bos_token": (BOOL, 0),
            "tokenizer.chat_template": (STRING, "{{ messages }}é"),
        }
        self.tensors, self.expected = {}, {}
        generator = np.random.default_rng(7)
        self.add("token_embd", "model.embed_tokens", (len(tokens), WIDTH), KIND_Q8_0, generator)
        for layer in range(LAYERS):
            packed, right = f"blk.{layer}.", f"model.layers.{layer}."
            keys = KEY_HEADS * SIZE
            for name, module, shape, kind in (
                ("attn_norm", "input_layernorm", (WIDTH,), KIND_F32),
                ("attn_q", "self_attn.q_proj", (WIDTH, WIDTH), KIND_Q4_1),
                ("attn_k", "self_attn.k_proj", (keys, WIDTH), KIND_Q8_0),
                ("attn_v", "self_attn.v_proj", (keys, WIDTH), KIND_Q4_1),
                ("attn_output", "self_attn.o_proj", (WIDTH, WIDTH), KIND_F16),
                ("ffn_norm", "post_attention_layernorm", (WIDTH,), KIND_F32),
                ("ffn_gate", "mlp.gate_proj", (INNER, WIDTH), KIND_BF16),
                ("ffn_up", "mlp.up_proj", (INNER, WIDTH), KIND_Q4_1),
                ("ffn_down", "mlp.down_proj", (WIDTH, INNER), KIND_Q8_0),
            ):
                self.add(packed + name, right + module, shape, kind, generator)
                heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(name)
                if heads:
                    full = f"{right}{module}.weight"
                    self.expected[full] = in_order(self.expected[full], heads)
        self.add("output_norm", "model.norm", (WIDTH,), KIND_F32, generator)

    def add(self, packed: str, right: str, shape: tuple, kind: int, generator) -> None:
        content, values = pack(kind, shape, generator)
        self.tensors[f"{packed}.weight"] = (shape, kind, content)
        self.expected[f"{right}.weight"] = values

    def run_import(self, source: str) -> tuple:
        import import_gguf

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = import_gguf.main([source, self.out])
        return status, out.getvalue(), err.getvalue()

    def made(self) -> str:
        """Imports the file as it stands; the folder that came of it."""
        source = self.write("model.gguf", gguf(self.metadata, self.tensors))
        status, _, err = self.run_import(source)
        self.assertEqual(status, 0, err)
        names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        self.assertEqual(sorted(os.listdir(self.out)), names)
        return self.out

    def refuse(self, message: str, content: bytes = None) -> None:
        """Expects one line and nothing written."""
        if content is None:
            content = gguf(self.metadata, self.tensors)
        status, _, err = self.run_import(self.write("model.gguf", content))
        self.assertEqual(status, 2, err)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertTrue(err.startswith("import_gguf.py: error: "), err)
        self.assertIn(message, err)
        self.assertNotIn("fault of", err)
        self.assertEqual(set(os.listdir(self.folder)), self.inputs)

    def config(self) -> dict:
        with open(os.path.join(self.out, "config.json"), encoding="utf-8") as stream:
            return json.load(stream)

    def test_every_tensor(self):
        held = tensors_of(pathlib.Path(self.made(), "model.safetensors"))
        self.assertEqual(set(held), set(self.expected))
        for name, right in self.expected.items():
            self.assertEqual(held[name].dtype, np.float32)
            np.testing.assert_array_equal(held[name], right, name)

    def test_config(self):
        self.made()
        config = self.config()
        expected = {
            "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "head_dim": SIZE,
            "num_key_value_heads": KEY_HEADS, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
            "vocab_size": len(self.tokens), "max_position_embeddings": 128, "bos_token_id": 1,
            "eos_token_id": 2, "tie_word_embeddings": True, "hidden_act": "silu",
        }  # fmt: skip
        self.assertEqual({key: config.get(key) for key in expected}, expected)

    def test_untied_head(self):
        generator = np.random.default_rng(8)
        self.add("output", "lm_head", (len(self.tokens), WIDTH), KIND_F16, generator)
        self.test_every_tensor()
        self.assertIs(self.config()["tie_word_embeddings"], False)

    def test_tokenizer(self):
        tokenizer = tokenizers.Tokenizer.from_file(os.path.join(self.made(), "tokenizer.json"))
        number = self.tokens.index
        digits = [number("1"), number("2")]  # one by one, though "12" is a merge
        for written, expected in (
            (" the", [number("Ġthe")]),
            ("12", digits),
            ("x<|im_end|>12", [number("x"), 2, *digits]),
            ("é", [number("Ã"), number("©")]),
        ):
            self.assertEqual(tokenizer.encode(written).ids, expected, written)
            self.assertEqual(tokenizer.decode(expected, skip_special_tokens=False), written)
        with open(os.path.join(self.out, "tokenizer_config.json"), encoding="utf-8") as stream:
            config = json.load(stream)
        self.assertEqual(config["chat_template"], "{{ messages }}é")
        names = [config[f"{name}_token"] for name in ("bos", "eos", "pad")]
        self.assertEqual(names, ["<|im_start|>", "<|im_end|>", "<|im_end|>"])

    def test_begin_token(self):
        self.metadata["tokenizer.ggml.add_bos_token"] = (BOOL, 1)
        tokenizer = tokenizers.Tokenizer.from_file(os.path.join(self.made(), "tokenizer.json"))
        self.assertEqual(tokenizer.encode("x").ids, [1, self.tokens.index("x")])

    def test_what_is_not_known_is_refused_by_name(self):
        for key, held, message in (
            ("general.architecture", (STRING, "qwen2"), "architecture 'qwen2'"),
            ("llama.rope.scaling.type", (STRING, "yarn"), "llama.rope.scaling.type is 'yarn'"),
            ("llama.expert_count", (U32, 8), "llama.expert_count is 8"),
            ("llama.rope.dimension_count", (U32, 8), "llama.rope.dimension_count differs"),
            ("llama.attention.head_count", (U32, 0), "llama.attention.head_count is 0"),
            ("llama.attention.head_count_kv", (U32, 3), "4 heads of size 16 on 3"),
            ("llama.block_count", (U32, 3), "has no tensor blk.2.attn_norm.weight"),
            ("llama.block_count", (U32, 1), "not imported: blk.1.attn_norm.weight"),
            ("llama.feed_forward_length", (U32, 64), "blk.0.ffn_gate.weight is (96, 64), not (64, 64)"),
            ("llama.vocab_size", (U32, 5), "token_embd.weight is"),
            ("tokenizer.ggml.pre", (STRING, "llama-bpe"), "words split as 'llama-bpe'"),
            ("tokenizer.ggml.model", (STRING, "llama"), "its tokenizer is 'llama'"),
            ("tokenizer.ggml.merges", (ARRAY, (STRING, ["a"])), "is no pair"),
            ("tokenizer.ggml.merges", (ARRAY, (STRING, ["a zz"])), "tokenizer.ggml.merges: "),
            ("tokenizer.ggml.tokens", (U32, 1), "has no list tokenizer.ggml.tokens"),
            ("tokenizer.ggml.eos_token_id", (U32, 5000), "eos_token_id is 5000"),
            ("general.alignment", (U32, 24), "general.alignment is 24"),
        ):
            with self.subTest(key):
                kept = dict(self.metadata)
                self.metadata = {**kept, key: held}
                try:
                    self.refuse(message)
                finally:
                    self.metadata = kept
        kept = self.tensors["output_norm.weight"]
        bad = struct.pack("<f", float("nan")) + kept[2][4:]
        self.tensors["output_norm.weight"] = (*kept[:2], bad)
        self.refuse("output_norm.weight: holds numbers that are not finite")
        self.tensors["output_norm.weight"] = kept
        self.tensors["rope_freqs.weight"] = ((8,), KIND_F32, bytes(32))
        self.refuse("not imported: rope_freqs.weight")

    def test_damaged_files(self):
        whole = gguf(self.metadata, self.tensors)
        generator = np.random.default_rng(9)
        ends = {0, 3, 4, 7, 20, 24, len(whole) - 1, *generator.integers(25, len(whole), 40).tolist()}
        for end in sorted(ends):
            with self.subTest(end):
                self.refuse("GGUF" if end < 4 else "is it whole?", whole[:end])
        self.refuse("it is a zip archive", b"PK\3\4" + whole)
        self.refuse("is of version 1", b"GGUF\1\0\0\0" + whole[8:])
        self.refuse("big-endian", b"GGUF\0\0\0\3" + whole[8:])

    def test_bytes_changed_at_random(self):
        whole = gguf(self.metadata, self.tensors)
        head = len(whole) - sum(len(packed) for _, _, packed in self.tensors.values())
        source = random.Random(int(os.environ.get("THAW_FUZZ_SEED", "0")))
        end = time.monotonic() + float(os.environ.get("THAW_FUZZ_SECONDS", "20")) / 4
        count = 0
        while time.monotonic() < end:
            content = bytearray(whole)
            for _ in range(source.choice((1, 1, 2, 8))):
                content[source.randrange(head)] = source.choice((0, 1, 255, source.randrange(256)))
            status, _, err = self.run_import(self.write("model.gguf", bytes(content)))
            self.assertIn(status, (0, 2), err)
            self.assertEqual(len(err.splitlines()), status // 2, err)
            self.assertNotIn("fault of", err)
            shutil.rmtree(self.out, ignore_errors=True)
            count += 1
        self.assertGreater(count, 0)

    def test_sizes_are_checked_before_memory_is_taken(self):
        def head(content: bytes, tensors: int = 0, keys: int = 1) -> bytes:
            return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + content

        huge = 1 << 60
        key, name = text("a"), text("t")
        for content, message in (
            (head(b"", huge), "claims 1,152,921,504,606,846,976 tensors"),
            (head(b"", 0, huge), "and 1,152,921,504,606,846,976 keys"),
            (head(struct.pack("<Q", huge)), "bytes of text"),
            (head(key + struct.pack("<IQ", STRING, huge)), "bytes of text"),
            (head(key + struct.pack("<IIQ", ARRAY, STRING, huge)), "claims"),
            (head(key + struct.pack("<IIQ", ARRAY, F32, huge)), "is it whole?"),
            (head(key + struct.pack("<IIQ", ARRAY, ARRAY, 1) + bytes(64)), "a value of type 9"),
            (head(key + struct.pack("<I", 77)), "a value of type 77"),
            (head(name + struct.pack("<I", 9), 1, 0), "has 9 dimensions"),
            (head(name + struct.pack("<IQIQ", 1, huge, 0, 0), 1, 0), "ends before its tensor t"),
            (head(name + struct.pack("<IQIQ", 1, 32, 99, 0), 1, 0), "numbers of type 99"),
            (head(name + struct.pack("<IQIQ", 1, 33, 8, 0), 1, 0), "in blocks of 32"),
            (head(name + struct.pack("<IQIQ", 1, 8, 0, huge), 1, 0), "ends before its tensor t"),
            (head(2 * (key + struct.pack("<II", U32, 1)), 0, 2), "'a' comes twice"),
        ):
            with self.subTest(message):
                self.refuse(message, content)

    def test_folder(self):
        source = self.write("model.gguf", gguf(self.metadata, self.tensors))
        self.write("model/other", "x")
        status, _, err = self.run_import(source)
        self.assertEqual((status, os.listdir(self.out)), (2, ["other"]))
        self.assertIn("is there already", err)
        self.out = self.path("absent/model")
        self.assertIn("does not exist", self.run_import(source)[2])


if __name__ == "__main__":
    if not HAS_GGUF:
        print(f"SKIPPED: {sys.executable} has no gguf (launch/setup/language.txt)")
        sys.exit(77)
    unittest.main()
