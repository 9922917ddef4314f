"""Inputs that claim, or unpack to, more than there is: status 2 within the bounds of limits.py."""

import gzip
import importlib
import json
import os
import resource
import struct
import subprocess
import sys
import time
import zipfile
from unittest import mock

from prepare_fixture import SCRIPT, PrepareTest, main, np

COLUMNS = ["--text-column", "text", "--label-column", "label"]
MEMORY = 4 << 30  # what prepare.py says it stays within
PIXELS = bytes(4 * 3 * 4 * 4)


def npy(shape: str, kind: str = "'|u1'", data: bytes = b"", version: int = 1) -> bytes:
    """An npy file with this header, whatever its data."""
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + b"\n" + data


LABELS = npy("(4,)", "'<i8'", np.arange(4).tobytes()) if np else b""


class BoundsTest(PrepareTest):
    def text(self, path: str, *arguments: str) -> list:
        return ["text", "--train", path, *COLUMNS, "--tokenizer", self.tokenizer, *arguments]

    def refused(self, message: str, *arguments: str) -> None:
        """Runs in a process of bounded memory; expects one line and status 2, before a minute."""

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, SCRIPT, *map(str, arguments), "--output", self.output],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            preexec_fn=limit,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        lines = [line for line in done.stderr.splitlines() if "error: " in line]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn(message, lines[0])
        self.assertLess(time.monotonic() - started, 120)
        self.assertEqual(set(os.listdir(self.folder)), self.inputs)

    def npz(self, images: bytes, labels: bytes = LABELS, method=zipfile.ZIP_DEFLATED) -> list:
        self.inputs.add("a.npz")
        with zipfile.ZipFile(self.path("a.npz"), "w", method) as archive:
            archive.writestr("x.npy", images)
            archive.writestr("y.npy", labels)
        return ["images", "--train", f"{self.path('a.npz')}:x,y"]

    def test_claims_of_arrays(self):
        four = npy("(4, 3, 4, 4)", data=PIXELS)
        self.succeed(*self.npz(four)).close()
        for images, labels, message in (
            (npy("(4, 3, 400000, 400000)", data=PIXELS), LABELS, "more than an image"),
            (npy("(10**12, 3, 4, 4)", data=PIXELS), LABELS, "damaged npy header"),
            (npy("(1000000000000, 3, 4, 4)", data=PIXELS), LABELS, "samples; prepare.py makes no"),
            (npy("(1000000000000, 0, 4, 4)"), LABELS, "holds no pixels"),
            (npy("(-4, 3, 4, 4)", data=PIXELS), LABELS, "holds no pixels"),
            (npy("()", data=b"1"), LABELS, "1 to 4 extents"),
            (npy("(4, 3, 4, 4)", "'|V999999'", PIXELS), LABELS, "numbers or names are needed"),
            (npy("(4, 3, 4, 4)", "[('a', 'u1')]", PIXELS), LABELS, "numbers or names are needed"),
            (four, npy("(4,)", "'<U0'"), "numbers or names are needed"),
            (four, npy("(4,)", "'<U100000000'"), "that is no name of a class"),
            (four, npy("(4,)", "'<U1'", struct.pack("<4I", 65, 0x110000, 66, 67)), "y[1]: holds"),
            (
                four,
                npy("(4,)", "'<U1'", struct.pack("<4I", 65, 66, 0xD800, 67)),
                "half a surrogate",
            ),
            (four, npy("(4,)", "'<i8'", np.array([0, 1, 2, 1 << 60]).tobytes()), "y[3]: labels go"),
            (four, npy("(4,)", "'<i8'", np.array([0, 1, 2, 90_000]).tobytes()), "these are ids"),
            (four, npy("(4, 2000000)", "'|u1'", bytes(8_000_000)), "too large for labels"),
            (npy("(" * 4000), LABELS, "damaged npy header"),
            (b"\x93NUMPY\2\0" + struct.pack("<I", 4_000_000_000), LABELS, "claims 4,000,000,000"),
            (b"\x93NUMPY\7\0" + bytes(100), LABELS, "no npy array of version 1 or 2"),
            (b"", LABELS, "ends 12 bytes before"),
        ):
            with self.subTest(message):
                self.fail_with(message, *self.npz(images, labels))
        self.fail_with("that numpy.savez does not use", *self.npz(four, method=zipfile.ZIP_LZMA))
        self.write("a.npz", b"\x93NUMPY\1\0" + bytes(50))
        self.fail_with("it is a single array of numpy", "images", "--train",
                       f"{self.path('a.npz')}:x,y")  # fmt: skip

    def test_claims_of_idx_files(self):
        labels = self.write("labels", b"\0\0\x08\1" + struct.pack(">I", 2) + b"\0\1")
        for head, message in (
            (struct.pack(">4B3I", 0, 0, 8, 3, 4_000_000_000, 9, 9), "samples; prepare.py makes no"),
            (
                struct.pack(">4B3I", 0, 0, 8, 3, 60_000_000, 100, 100),
                "ends 600,000,000,000 byte",
            ),
            (struct.pack(">4B3I", 0, 0, 8, 3, 2, 4_000_000_000, 9), "more than an image"),
            (struct.pack(">4B3I", 0, 0, 8, 3, 2, 0, 9), "holds no pixels"),
            (struct.pack(">4B255I", 0, 0, 8, 255, *[1] * 255), "1 to 4 extents"),
        ):
            images = self.write("images", head)
            self.fail_with(message, "images", "--train", f"{images},{labels}")
            packed = self.write("images.gz", gzip.compress(head + bytes(1000)))
            message = "has 60,000,000 images" if "ends" in message else message
            self.fail_with(message, "images", "--train", f"{packed},{labels}")

    def test_compressed_bombs(self):
        count = 400 << 20
        block = bytes(1 << 20)
        with zipfile.ZipFile(self.path("bomb.npz"), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, shape in (("x", (count // 16, 1, 4, 4)), ("y", (count // 16,))):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    head = npy(str(shape))
                    stream.write(head)
                    for _ in range(count // (16 if name == "y" else 1) >> 20):
                        stream.write(block)
        rows = gzip.compress(b"text,label\n") + gzip.compress(b"my,a\n" * (1 << 18)) * 300
        self.write("rows.csv.gz", rows)
        self.write("line.csv.gz", gzip.compress(block) * 200)
        self.inputs |= {"bomb.npz"}
        self.refused("as no real data does", "images", "--train", f"{self.path('bomb.npz')}:x,y")
        self.refused("as no real data does", *self.text(self.path("rows.csv.gz")))
        self.refused("a line of more than", *self.text(self.path("line.csv.gz")))

    def test_rows_without_end(self):
        self.refused("is not JSON", *self.text(self.write("a.jsonl", "[" * 5_000_000)))
        self.refused("is not JSON", *self.text(self.write("b.jsonl", '{"a":' * 1_000_000)))
        self.refused("a JSON list", *self.text(self.write("c.jsonl", f"[{'{},' * 2_700_000}0]")))
        number = '{"text": "a", "label": ' + "9" * 10_000 + "}\n"
        self.refused("is not JSON", *self.text(self.write("d.jsonl", number)))
        wide = self.write("e.csv", "text,label" + "," * 2_000_000 + "\n")
        self.refused("has no rows", *self.text(wide))
        quote = self.write("f.csv", 'text,label\n"my card,1\n' + "my card,1\n" * 900_000)
        self.refused("does a quotation mark not end?", *self.text(quote))
        long = self.write("g.csv", "text,label\n" + "card " * 700_000 + ",1\n")
        self.refused("a text of more than", *self.text(long, "--max-tokens", 3))

    def test_too_many(self):
        limits = importlib.import_module("preparation.limits")
        rows = "".join(f"my card,{number % 40}\n" for number in range(200))
        path = self.write("t.csv", "text,label\n" + rows)
        for name, value, message in (
            ("SAMPLES", 150, ":152: more than 150 samples"),
            ("CLASSES", 30, ":32: more than 30 classes: these are ids"),
            ("WHOLE_FILE_BYTES", 100, "tokenizer.json: is larger than 100 bytes"),
        ):
            with mock.patch.object(limits, name, value):
                self.fail_with(message, *self.text(path))

    def test_tokenizers_that_are_none(self):
        path = self.write("t.csv", "text,label\nmy card,1\n")
        for content in (b"", b"null", b"{}", b'{"a":' * 100_000, b"\xff\xfe", b"PK\3\4" + bytes(9)):
            tokenizer = self.write("bad.json", content)
            self.fail_with("is no tokenizer.json", *self.text(path), "--tokenizer", tokenizer)
        with open(self.tokenizer) as stream:
            made = json.load(stream)
        vocabulary = dict(made["model"]["vocab"])
        for change, message in (
            ({"vocab": {**vocabulary, "my": 2**31 + 5}}, '"my" the id 2,147,483,653'),
            ({"vocab": {}}, f"bad.json: fails on texts from {path}:2 on"),
            ({"unk_token": "none", "vocab": {"x": 0}}, f"bad.json: fails on texts from {path}:2"),
        ):
            made["model"].update(change)
            tokenizer = self.write("bad.json", json.dumps(made))
            self.fail_with(message, *self.text(path), "--tokenizer", tokenizer)
        made["model"]["vocab"] = vocabulary
        made["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {},
        }  # fmt: skip
        template = made["post_processor"]
        template["special_tokens"] = {"[CLS]": {"id": "[CLS]", "ids": [2**32 - 1],
                                                "tokens": ["[CLS]"]}}  # fmt: skip
        tokenizer = self.write("bad.json", json.dumps(made))
        self.fail_with("gives a token the id 4,294,967,295", *self.text(path), "--tokenizer",
                       tokenizer)  # fmt: skip
        template["special_tokens"] = {}
        tokenizer = self.write("bad.json", json.dumps(made))
        self.refused("bad.json: ", *self.text(path), "--tokenizer", tokenizer)

    def test_numbers_of_options(self):
        path = self.write("t.csv", "text,label\nmy card,1\n")
        for value in ("0", "-1", "99999999999999999999", "1.5", "x"):
            self.fail_with("--max-tokens", *self.text(path, "--max-tokens", value))
            self.fail_with("--size", "images", "--train", self.folder, "--size", value)
        self.fail_with("--validation-fraction", *self.text(path, "--validation-fraction", "nan"))


if __name__ == "__main__":
    main()
