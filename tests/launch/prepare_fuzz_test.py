"""Damaged inputs of every kind: prepare.py ends with 0, or with 2 and one line that names a cause.

THAW_FUZZ_SECONDS: how long (default 20); THAW_FUZZ_SEED: which inputs, always the same.
"""

import gzip
import io
import json
import os
import random
import struct
import time
import unittest
import zipfile

from language_fixture import BEGIN, END, HAS_JINJA, byte_tokenizer
from prepare_completion_test import TEMPLATE
from prepare_fixture import PIL, PrepareTest, main, np, run

SECONDS = float(os.environ.get("THAW_FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("THAW_FUZZ_SEED", "0"))
# Bytes that mean something to some reader.
SPECIAL = [
    b"\0", b"\xff", b'"', b"'", b"\\", b"\r", b"\n", b",", b";", b"\t", b"[", b"{", b"nan", b"-1",
    b"\x1f\x8b", b"\xc3\xa9", b"\xe9", b"\xed\xa0\x80", b"\xff\xff\xff\xff", b"1e999",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\0\0\0\0", b"\x7f\xff\xff\xff",
]  # fmt: skip


def damaged(content: bytes, source: random.Random) -> bytes:
    """`content` with a few bytes changed, cut, doubled, or put in from elsewhere."""
    data = bytearray(content)
    for _ in range(source.choice((0, 1, 1, 2, 4, 16))):
        at = source.randrange(len(data) + 1)
        kind = source.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << source.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = source.randrange(256)
        elif kind == 2:
            data[at:at] = source.choice(SPECIAL)
        elif kind == 3:
            del data[at : at + source.choice((1, 2, 16, 1 << 20))]
        elif kind == 4:
            start = source.randrange(len(data) + 1)
            data[at:at] = data[start : start + source.randrange(64)]
        else:
            part = source.choice(SPECIAL)
            data[at : at + len(part)] = part
    return bytes(data)


VALUES = [None, True, 0, -1, 1, 2**31, 2**32 - 1, 2**63, 1e308, 0.5, "", "my", "[CLS]", "\0", [], {},
          [[]], ["my"], {"id": "A", "type_id": 300}, "Sequence", "WordLevel", "BPE"]  # fmt: skip


def changed(tree, source: random.Random):
    """A JSON document with a value somewhere replaced, taken out or doubled."""
    if not isinstance(tree, (dict, list)) or not tree or not source.randrange(4):
        return source.choice(VALUES)
    tree = tree.copy()
    key = source.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    kind = source.randrange(6)
    if kind == 0:
        del tree[key]
    elif kind == 1 and isinstance(tree, list):
        tree.insert(key, tree[key])
    else:
        tree[key] = changed(tree[key], source)
    return tree


def odd_npy(source: random.Random) -> bytes:
    """An npy file whose header is well formed and whose claims are not."""
    extents = [source.choice((0, 1, 2, 3, 4, 4, 5, 8, -1, 2**31, 2**63, 10**20)) for _ in range(5)]
    shape = tuple(extents[: source.randrange(6)])
    kinds = ["|u1", "<f4", ">f8", "<f2", "|b1", "<i8", ">u8", "<c8", "|S3", "<U2", ">U1", "|O", "<M8[s]",
             "|V4", "<U0", "<g", "<f16", "|S99999999", "<U2147483647"]  # fmt: skip
    text = f"{{'descr': '{source.choice(kinds)}', 'fortran_order': {source.random() < 0.3}, "
    head = (text + f"'shape': {shape}, }}\n").encode()
    data = bytes(source.choice((0, 1, 3, 255)) for _ in range(source.choice((0, 4, 32, 64, 256))))
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


def saved(kind: str, **options) -> bytes:
    """A small image file."""
    from PIL import Image

    stream = io.BytesIO()
    values = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    if kind != "BMP" and kind != "PPM" and kind != "GIF":
        options["exif"] = exif
    Image.fromarray(values).save(stream, kind, **options)
    return stream.getvalue()


class FuzzTest(PrepareTest):
    def setUp(self) -> None:
        super().setUp()
        self.source = random.Random(SEED)
        with open(self.tokenizer, "rb") as stream:
            self.whole_tokenizer = stream.read()
        self.count = 0

    def repeat(self, step, share: float) -> None:
        """Runs `step` again and again in its share of the time."""
        end = time.monotonic() + share * SECONDS
        while time.monotonic() < end:
            status, _, err = run(*step(), "--output", self.output, "--force")
            lines = [line for line in err.splitlines() if "prepare.py: note: " not in line]
            self.assertIn(status, (0, 2), err)
            self.assertEqual(len(lines), 1 if status else 0, err)
            self.assertNotIn("this is a fault", err)
            self.assertTrue(err.isprintable() or err.replace("\n", "").isprintable(), err)
            self.assertFalse([n for n in os.listdir(self.folder) if n.startswith(".thaw")])
            self.count += 1
        self.assertGreater(self.count, 0)
        print(f"{self.id()}: {self.count} inputs", flush=True)

    def test_tables(self):
        rows = [("my card", "a", "0.5"), ('where "is" it, my', "b", "1"), ("lost\nred", "a", "-2")]
        csv = "text,label,x\r\n" + "".join(f'"{t.replace(chr(34), chr(34) * 2)}",{n},{x}\r\n'
                                           for t, n, x in rows)  # fmt: skip
        lines = "\n".join(json.dumps({"text": t, "label": n, "x": float(x)}) for t, n, x in rows)
        plain = "text\tlabel\tx\nmy card\ta\t1\nmoney für\tb\t2\n"
        seeds = [
            ("t.csv", csv.encode()),
            ("t.csv", csv.replace(",", ";").encode("utf-16")),
            ("t.csv", csv.replace("\r\n", "\r").encode()),
            ("t.csv.gz", gzip.compress(csv.encode())),
            ("t.jsonl", lines.encode()),
            ("t.tsv", plain.encode("latin-1")),
            ("t.txt", plain.replace("\t", "|").encode()),
        ]
        learnt = [
            ["--label-column", "label"],
            ["--label-column", "label", "--label-separator", ";"],
            ["--label-columns", "label,x"],
            ["--target-columns", "x"],
            ["--label-column", "label", "--pair-column", "x"],
        ]

        def step() -> list:
            name, content = self.source.choice(seeds)
            path = self.write(name, damaged(content, self.source))
            options = self.source.choice(learnt)
            if not self.source.randrange(4):
                names = self.write("names.txt", damaged(b"a\nb\n", self.source))
                options = [*options, "--classes", names]
            return ["text", "--train", path, "--text-column", "text", *options,
                    "--tokenizer", self.tokenizer]  # fmt: skip

        self.repeat(step, 0.25)

    def test_tokenizers(self):
        table = self.write("t.csv", "text,label\nmy card,1\nmoney,0\n")

        def step() -> list:
            content = damaged(self.whole_tokenizer, self.source)
            if self.source.randrange(4):
                tree = json.loads(self.whole_tokenizer)
                for _ in range(self.source.choice((1, 1, 2, 4))):
                    tree = changed(tree, self.source)
                content = json.dumps(tree).encode()
            path = self.write("bad.json", content)
            return ["text", "--train", table, "--text-column", "text", "--label-column", "label",
                    "--tokenizer", path]  # fmt: skip

        self.repeat(step, 0.2)

    def test_language(self):
        byte_tokenizer(begin=True).save(self.tokenizer)
        with open(self.tokenizer, "rb") as stream:
            whole = stream.read()
        config = {"eos_token": END, "bos_token": {"content": BEGIN}, "chat_template": TEMPLATE}
        columns = b"the DT O\ncard NN B-X\n\nmy PRP O\n"
        tabs = b"# text\n1-2\tx\t_\tA\n1\tmy\t_\tB\n"
        lines = b'{"tokens": ["my", "card"], "tags": ["O", 1]}\n{"tokens": ["a"], "tags": ["O"]}'
        rows = b'{"q": "my", "a": " card<end>"}\n{"q": "na\xc3\xafve", "a": "x"}'
        chat = ["--chat"] if HAS_JINJA else []
        seeds = [
            ("a.conll", columns, ["tags", "--train"]),
            ("a.conllu", tabs, ["tags", "--word-column", 2, "--train"]),
            ("t.jsonl", lines, ["tags", "--max-tokens", 9, "--train"]),
            ("q.jsonl", rows, ["completion", "--prompt-column", "q", "--completion-column", "a",
                               "--max-tokens", 9, "--train"]),
            ("q.jsonl", rows, ["completion", "--prompt-column", "q", "--completion-column", "a",
                               *chat, "--train"]),
            ("a.txt", "one na\u00efve\n\n two".encode(), ["corpus", "--length", 4, "--text"]),
            ("a.txt", b"one\n\n two\n", ["corpus", "--documents", "blank-lines", "--text"]),
        ]  # fmt: skip

        def step() -> list:
            name, content, command = self.source.choice(seeds)
            path = self.write(name, damaged(content, self.source))
            tree, beside = json.loads(whole), dict(config)
            if not self.source.randrange(3):
                tree = changed(tree, self.source)
            if not self.source.randrange(3):
                beside = changed(beside, self.source)
            self.write("tokenizer.json", json.dumps(tree))
            self.write("tokenizer_config.json", json.dumps(beside))
            return [*command, path, "--tokenizer", self.tokenizer]

        self.repeat(step, 0.25)

    def test_arrays(self):
        x = np.arange(4 * 3 * 4 * 5, dtype=np.uint8).reshape(4, 3, 4, 5)
        files = {}
        for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
            stream = io.BytesIO()
            save(stream, x=x, f=x.astype("f4"), t=np.asfortranarray(x), y=np.arange(4) % 2,
                 s=np.array(["a", "b", "a", "b"]), r=np.arange(4) / 2,
                 m=np.eye(4, dtype=np.uint8))  # fmt: skip
            files[name] = stream.getvalue()
        head = struct.pack(">4B3I", 0, 0, 8, 3, 4, 4, 5)
        idx = head + bytes(80), struct.pack(">4BI", 0, 0, 8, 1, 4) + b"\0\1\0\1"

        def step() -> list:
            if not self.source.randrange(3):
                pair = [damaged(part, self.source) for part in idx]
                if not self.source.randrange(3):
                    pair[0] = damaged(gzip.compress(idx[0]), self.source)
                paths = [self.write(name, part) for name, part in zip(("images", "labels"), pair)]
                return ["images", "--train", ",".join(paths)]
            content = files[self.source.choice(list(files))]
            if not self.source.randrange(3):
                stream = io.BytesIO()
                with zipfile.ZipFile(stream, "w") as archive:
                    for name in "xftysrm":
                        archive.writestr(f"{name}.npy", odd_npy(self.source))
                content = stream.getvalue()
            path = self.write("a.npz", damaged(content, self.source))
            arrays = f"{self.source.choice('xft')},{self.source.choice('ysrm')}"
            return ["images", "--train", f"{path}:{arrays}"]

        self.repeat(step, 0.25)

    @unittest.skipUnless(PIL, "no Pillow")
    def test_images(self):
        seeds = [
            ("png", saved("PNG")),
            ("jpg", saved("JPEG")),
            ("tif", saved("TIFF")),
            ("tiff", saved("TIFF", compression="tiff_lzw")),
            ("gif", saved("GIF")),
            ("bmp", saved("BMP")),
            ("ppm", saved("PPM")),
            ("webp", saved("WEBP", lossless=True)),
        ]

        def step() -> list:
            suffix, content = self.source.choice(seeds)
            for name, _ in seeds:
                if os.path.exists(self.path(f"f/a/0.{name}")):
                    os.unlink(self.path(f"f/a/0.{name}"))
            self.write(f"f/a/0.{suffix}", damaged(content, self.source))
            size = ["--size", self.source.choice((1, 8, 300))] if self.source.randrange(2) else []
            return ["images", "--train", self.path("f"), *size]

        self.repeat(step, 0.25)


if __name__ == "__main__":
    main()
