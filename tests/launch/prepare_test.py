"""prepare.py text, and what all its subcommands do with their output file."""

import glob
import gzip
import hashlib
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest
import venv
from unittest import mock

from prepare_fixture import DATA, ROOT, SCRIPT, WORDS, PrepareTest, ids, main, np, sequences

COLUMNS = ["--text-column", "text", "--label-column", "label"]


class TextTest(PrepareTest):
    def text(self, *arguments: str) -> list:
        return ["text", *arguments, *COLUMNS, "--tokenizer", self.tokenizer]

    def test_writes_the_contract(self):
        train = self.write("train.csv", "text,label\nmy card,lost\nwhere is my money,cash\n")
        test = self.write("test.csv", "label,text\nlost,where is my card\n")
        file = self.succeed(*self.text("--train", train, "--test", test))
        self.assertEqual(set(file), {"train", "test"})
        self.assertEqual(file.attrs["classes"].tolist(), ["cash", "lost"])
        self.assertEqual(sequences(file["train"]), [ids("my card"), ids("where is my money")])
        self.assertEqual(file["train/labels"][:].tolist(), [1, 0])
        self.assertEqual(sequences(file["test"]), [ids("where is my card")])
        self.assertEqual(file["test/labels"][:].tolist(), [1])
        for name, dtype in (("tokens", "<i4"), ("offsets", "<i8"), ("labels", "<i8")):
            dataset = file["train"][name]
            self.assertEqual(dataset.dtype, np.dtype(dtype))
            self.assertIsNone(dataset.chunks)
            self.assertEqual(dataset.id.get_offset() % 64, 0)
        self.assertEqual(file.attrs["max_tokens"], 128)
        self.assertEqual(file.attrs["vocabulary_size"], 22)
        sources = json.loads(file.attrs["sources"])
        self.assertEqual([source["file"] for source in sources], ["train.csv", "test.csv"])
        self.assertEqual(sources[0]["bytes"], os.path.getsize(train))
        self.assertEqual(file["train"].attrs["fingerprint"], _fingerprint(file["train"]))
        self.assertRegex(self.stdout, r"train +2 +10 +5 +6 +0.0 %")

    def test_truncates_with_special_tokens_and_never_pads(self):
        train = self.write("t.csv", "text,label\nthe a card money lost my is,1\nmy card,0\n")
        file = self.succeed(*self.text("--train", train, "--max-tokens", 6))
        self.assertEqual(sequences(file["train"]), [ids("the a card money"), ids("my card")])
        self.assertIn("50.0 %", self.stdout)

    def test_orders_numbers_numerically(self):
        rows = "".join(f"my card,{label}\n" for label in (10, 9, -1, 2, 10))
        file = self.succeed(*self.text("--train", self.write("t.csv", "text,label\n" + rows)))
        self.assertEqual(file.attrs["classes"].tolist(), ["-1", "2", "9", "10"])
        self.assertEqual(file["train/labels"][:].tolist(), [3, 2, 0, 1, 3])

    def test_formats_give_the_same(self):
        objects = [{"text": "my card", "label": 7}, {"label": 7.0, "text": "a card"}]
        lines = "\n\n".join(map(json.dumps, [*objects, {"text": "the card", "label": "x", "z": 0}]))
        csv = "text,z,label\r\nmy card,,7\r\n\r\na card,,7\r\nthe card,,x\r\n"
        files = [
            self.write("a.csv", csv),
            self.write("bom.csv", b"\xef\xbb\xbf" + csv.encode()),
            self.write("a.csv.gz", gzip.compress(csv.encode())),
            self.write("a.tsv", csv.replace(",", "\t")),
            self.write("a.jsonl", lines),
            self.write("a.ndjson", lines + "\n"),
            self.write("a.JSON", lines),
        ]
        for path in files:
            file = self.succeed(*self.text("--train", path))
            self.assertEqual(
                sequences(file["train"]), [ids("my card"), ids("a card"), ids("the card")]
            )
            self.assertEqual(file["train/labels"][:].tolist(), [0, 0, 1], path)
            self.assertEqual(file.attrs["classes"].tolist(), ["7", "x"])
        semicolons = self.write("s.txt", csv.replace(",", ";"))
        file = self.succeed(*self.text("--train", semicolons, "--separator", ";"))
        self.assertEqual(file["train/labels"][:].tolist(), [0, 0, 1])

    def test_quotes(self):
        content = 'text,label\n"my ""card"",\nmoney",1\n'
        file = self.succeed(*self.text("--train", self.write("q.csv", content)))
        self.assertEqual(len(file["train/labels"]), 1)
        self.assertEqual(sequences(file["train"])[0].count(1), 3)  # "" and , are unknown words
        plain = self.write("p.tsv", 'text\tlabel\n"my card\t1\nmy money"\t1\n')
        file = self.succeed(*self.text("--train", plain, "--no-quotes"))
        self.assertEqual(len(file["train/labels"]), 2)

    def test_fields_beyond_pythons_default_limit(self):
        path = self.write("long.csv", f"text,label\n{'card ' * 40000},1\n")
        file = self.succeed(*self.text("--train", path, "--max-tokens", 10))
        self.assertEqual(sequences(file["train"]), [ids(" ".join(["card"] * 8))])

    def test_more_class_names_than_an_object_header_holds(self):
        names = [f"{number:05d}-{'x' * 40}" for number in range(5000)]
        rows = "".join(f"my card,{name}\nmy money,{name}\n" for name in names)
        file = self.succeed(*self.text("--train", self.write("t.csv", "text,label\n" + rows)))
        self.assertEqual(file.attrs["classes"].tolist(), names)

    def test_class_that_train_lacks(self):
        train = self.write("train.csv", "text,label\nmy card,a\n")
        other = self.write("other.csv", "text,label\nmy card,a\nmy money,b\nmoney,b\n")
        for split in ("test", "validation"):
            self.fail_with(
                f'{other}:3: class "b" (2 samples) in {split} but not in train',
                *self.text("--train", train, f"--{split}", other),
            )
        listed = self.write("classes.txt", "b\na\n")
        file = self.succeed(*self.text("--train", train, "--test", other, "--classes", listed))
        self.assertEqual(file.attrs["classes"].tolist(), ["b", "a"])
        self.assertEqual(file["test/labels"][:].tolist(), [1, 0, 0])
        self.assertIn("1 of 2 classes have no sample in train: b", self.stderr)

    def test_listed_classes(self):
        path = self.write("t.csv", "text,label\nmy card,1\nmy money,0\n")
        names = self.write("classes.txt", "cash\nlost\nnew\n")
        file = self.succeed(*self.text("--train", path, "--classes", names))
        self.assertEqual(file.attrs["classes"].tolist(), ["cash", "lost", "new"])
        self.assertEqual(file["train/labels"][:].tolist(), [1, 0])
        from_one = self.write("t.csv", "text,label\nmy card,1\nmy money,3\n")
        self.fail_with(
            "t.csv:3: label 3 is no index of a class: --classes lists 3 (0 to 2)",
            *self.text("--train", from_one, "--classes", names),
        )
        named = self.write("t.csv", "text,label\nmy card,lots\n")
        self.fail_with(
            'class "lots" is not in the list given with --classes (did you mean "lost"?)',
            *self.text("--train", named, "--classes", names),
        )
        self.write("classes.txt", "a\nb\na\n")
        self.fail_with(
            'classes.txt:3: "a" is already the class of line 1',
            *self.text("--train", named, "--classes", names),
        )

    def test_validation_fraction(self):
        sizes = [200, 120, 60, 20, 1]
        labels = [label for label, size in enumerate(sizes) for _ in range(size)]
        words = ("my", "card", "lost", "money")
        texts = [" ".join(words[number >> 2 * k & 3] for k in range(5)) for number in range(401)]
        rows = "".join(f"{text},{label}\n" for text, label in zip(texts, labels))
        train = self.write("train.csv", "text,label\n" + rows)
        taken = {}
        for seed in (0, 0, 1):
            arguments = ["--validation-fraction", 0.2, "--seed", seed]
            file = self.succeed(*self.text("--train", train, *arguments))
            kept, chosen = sequences(file["train"]), sequences(file["validation"])
            self.assertEqual(len(chosen), 80)
            self.assertEqual(sorted(kept + chosen), sorted(ids(text) for text in texts))
            counts = np.bincount(file["validation/labels"], minlength=5)
            self.assertTrue((abs(counts - np.multiply(sizes, 0.2)) <= 1).all(), counts)
            self.assertEqual(counts[4], 0)  # the only sample of a class stays in train
            for split in ("train", "validation"):
                for sequence, label in zip(sequences(file[split]), file[split]["labels"][:]):
                    self.assertEqual(labels[texts.index(_words(sequence))], label)
            self.assertEqual(chosen, taken.setdefault(seed, chosen))
            file.close()
        self.assertNotEqual(taken[0], taken[1])
        small = self.write("small.csv", "text,label\nmy card,a\nmy money,a\n")
        self.fail_with("would take 0", *self.text("--train", small, "--validation-fraction", 0.1))

    def test_skip_empty(self):
        path = self.write("t.csv", "text,label\n ,1\nmy card,1\nmy money,\n")
        self.fail_with('t.csv:2: "text" is empty', *self.text("--train", path))
        file = self.succeed(*self.text("--train", path, "--skip-empty"))
        self.assertEqual(sequences(file["train"]), [ids("my card")])
        self.assertIn("2 rows without text or label left out", self.stderr)

    def test_mistakes_in_tables(self):
        cases = {
            "c.csv": [
                (
                    "txt,label\na,1\n",
                    'has no column "text"; it has: txt, label (did you mean "txt"?)',
                ),
                ("text,text,label\na,b,1\n", '2 columns are named "text"'),
                ("text,label\n", "has no rows"),
                ("text,label\nmy card,1\ntext,label\nmoney,2\n", ":3: is the head again"),
                ("text,label\nmy card,1\n\ufefftext,label\n", ":3: is the head again"),
                ("", "is empty; a head"),
                ("text,label\nmy card,1\nmy, card,1\n", ":3: has 3 fields, the head has 2"),
                ("text,label\nmy card,1\nmy card\n", ":3: has 1 fields, the head has 2"),
                ("text,label\nmy card, \n", ':2: "label" is empty'),
                ('text,label\n"my\ncard",1\n"my card,1\nmoney,1\n', ":4: unexpected end of data"),
                (
                    "text,label\nmy card,1\nfür,1\n".encode() + b"caf\xe9,1\n",
                    ":4: is not UTF-8 (byte 0xe9), though the rest of the file is",
                ),
                (b"\x1f\x8b\x08\x00broken", "damaged gzip file"),
            ],
            "c.jsonl": [
                ('{"text": "a", "label": 1}\n{"text": "a"}\n', ':2: has no "label"; it has: text'),
                ('{"text": 5, "label": 1}\n', ':1: "text" is a number; text is needed'),
                ('{"text": "a", "label": null}\n', ':1: "label" is empty'),
                ('{"label": 1, "text": "a", "label": 2}\n', ':1: 2 fields are named "label"'),
                ('{"text": "a", "label": [1]}\n', ':1: "label" is a list'),
                ('{"text": "a", "label": {"b": 1}}\n', ':1: "label" is a object'),
                ('{"text": "a"\n', ":1: is not JSON"),
                ('[{"text": "a", "label": 1}]', ":1: is a JSON list; one object a line"),
                ('{"text": "\\ud800", "label": 1}\n', ":1: holds half a surrogate pair"),
                ('{"text": "a", "label": "x\\u0000"}\n', "cannot hold a zero byte"),
            ],
            "c.txt": [
                ("words\n", 'has no column "text"; it has: words'),
                ("text:label\nmy card:1\n", "something else separates its fields"),
            ],
        }
        for name, contents in cases.items():
            for content, message in contents:
                with self.subTest(message):
                    path = self.write(name, content)
                    self.fail_with(message, *self.text("--train", path))

    def test_mistakes_in_options(self):
        path = self.write("t.csv", "text,label\nmy card,1\n")
        text = self.text("--train", path)
        self.fail_with("at least one of --train", *self.text())
        self.fail_with("unrecognized arguments: --trian", *text, "--trian", "x")
        self.fail_with("No such file", *self.text("--train", self.path("none.csv")))
        self.fail_with("is a folder", *self.text("--train", self.folder))
        self.fail_with("no regular file", *self.text("--train", "/dev/null"))
        self.fail_with("leaves no room for text", *text, "--max-tokens", 2)
        self.fail_with(
            "takes from --train", *self.text("--test", path, "--validation-fraction", 0.1)
        )
        self.fail_with("1.5 is not between", *text, "--validation-fraction", 1.5)
        self.fail_with("is no tokenizer.json", *text, "--tokenizer", path)
        self.fail_with("none.json: cannot be read", *text, "--tokenizer", self.path("none.json"))
        self.fail_with("does not exist", *text, output=self.path("none/out.h5"))
        self.fail_with("is a folder; name a file", *text, output=self.folder)

    def test_never_overwrites_unasked(self):
        path = self.write("t.csv", "text,label\nmy card,1\n")
        self.write("out.h5", "precious")
        self.fail_with("out.h5: exists; give --force", *self.text("--train", path))
        with open(self.output) as stream:
            self.assertEqual(stream.read(), "precious")
        self.succeed(*self.text("--train", path))

    @unittest.skipIf(os.geteuid() == 0, "root writes everywhere")
    def test_folder_without_permission(self):
        path = self.write("t.csv", "text,label\nmy card,1\n")
        os.mkdir(self.path("closed"), 0o500)
        self.inputs.add("closed")
        self.fail_with(
            "Permission denied", *self.text("--train", path), output=self.path("closed/out.h5")
        )

    def test_equal_inputs_give_equal_files(self):
        def content(label: str) -> tuple:
            path = self.write("t.csv", f"text,label\nmy card,a\nmy money,b\nlost,{label}\n")
            file = self.succeed(*self.text("--train", path))
            fingerprint = file["train"].attrs["fingerprint"]
            file.close()
            with open(self.output, "rb") as stream:
                return stream.read(), fingerprint

        first, again, other = content("a"), content("a"), content("b")
        self.assertEqual(first, again)
        self.assertNotEqual(first[1], other[1])

    def test_an_input_that_changes_meanwhile(self):
        path = self.write("t.csv", "text,label\nmy card,a\nmoney,b\n")
        text = importlib.import_module("preparation.text.command")

        def change(*arguments):
            self.write("t.csv", "text,label\nmy card,b\nmoney,a\n")
            return read(*arguments)

        read = text._samples
        with mock.patch.object(text, "_samples", change):
            self.fail_with("t.csv: changed while it was read", *self.text("--train", path))

    def test_interrupted_leaves_nothing(self):
        path = self.write("t.csv", "text,label\n" + "where is my card,1\n" * 150_000)
        arguments = [*self.text("--train", path), "--output", self.output]
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            process = subprocess.Popen(
                [sys.executable, SCRIPT, *arguments], stderr=subprocess.PIPE, text=True
            )
            deadline = time.monotonic() + 60
            while not any(name.endswith(".part") for name in os.listdir(self.folder)):
                self.assertLess(time.monotonic(), deadline)
                self.assertIsNone(process.poll())
                time.sleep(0.01)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, status, err)
            self.assertNotIn("Traceback", err)
            self.assertEqual(set(os.listdir(self.folder)), self.inputs)

    def test_full_disk(self):
        path = self.write("t.csv", "text,label\n" + "where is my card,1\nmy money,2\n" * 10_000)

        def limit():  # a limit on a file's size fails a write as a full disk does
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

        command = [sys.executable, SCRIPT, *self.text("--train", path), "--output", self.output]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("cannot be written: File too large", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(set(os.listdir(self.folder)), self.inputs)

    def test_missing_module(self):
        code = (
            "import sys; sys.modules['h5py'] = None; sys.argv[0] = sys.argv.pop(1);"
            "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        command = [
            sys.executable,
            "-c",
            code,
            SCRIPT,
            *self.text("--train", "x.csv"),
            "--output",
            "y",
        ]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("missing Python module h5py", done.stderr)
        self.assertTrue(done.stderr.endswith("-m pip install h5py\n"), done.stderr)
        self.write("broken/h5py.py", "import no_such_library")
        environment = {**os.environ, "PYTHONPATH": self.path("broken")}
        command = [sys.executable, SCRIPT, *self.text("--train", "x.csv"), "--output", "y"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.assertIn("h5py cannot be loaded: No module named 'no_such_library'", done.stderr)
        helped = subprocess.run(
            [sys.executable, "-c", code, SCRIPT, "text", "--help"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.assertEqual(helped.returncode, 0)
        self.assertIn("--validation-fraction", helped.stdout)

    def test_finds_the_projects_environment(self):
        """A Python without the modules hands over to that of .venv, which tells what it lacks."""
        shutil.copytree(
            os.path.join(ROOT, "launch", "preparation"), self.path("project/launch/preparation")
        )
        shutil.copy(SCRIPT, self.path("project/launch"))
        venv.create(self.path("project/.venv"), symlinks=True)
        table = self.write("train.csv", "text,label\nthe card,a\nmy money,b\n")
        command = [
            *(sys.executable, "-S", self.path("project/launch/prepare.py")),  # -S: no packages
            *self.text("--train", table),
            *("--output", self.output),
        ]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("project/.venv/bin/python3 -m pip install numpy", done.stderr)
        packages = os.path.dirname(os.path.dirname(np.__file__))
        (site,) = glob.glob(self.path("project/.venv/lib/python3*/site-packages"))
        self.write(os.path.join(site, "packages.pth"), packages + "\n")
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.isfile(self.output))

    @unittest.skipUnless(os.path.isdir(os.path.join(DATA, "banking77")), "no THAW_TEST_DATA")
    def test_banking77(self):
        arguments = ["--text-column", "text", "--label-column", "category"]
        for split in ("train", "test"):
            arguments += [f"--{split}", os.path.join(DATA, "banking77", f"{split}.csv")]
        file = self.succeed("text", *arguments, "--tokenizer", self.tokenizer, "--max-tokens", 32)
        self.assertEqual(len(file.attrs["classes"]), 77)
        self.assertEqual(len(file["train/labels"]), 10003)
        self.assertEqual(np.bincount(file["test/labels"]).tolist(), [40] * 77)


def _fingerprint(group) -> str:
    """What dataset_file.py says a split's fingerprint is."""
    lines = []
    for name in sorted(group):
        values = group[name][:]
        shape = ",".join(map(str, values.shape))
        content = hashlib.sha256(values.tobytes()).hexdigest()
        lines.append(f"{name} {values.dtype.str} {shape} {content}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _words(sequence: list) -> str:
    return " ".join(WORDS[number - 4] for number in sequence[1:-1])


if __name__ == "__main__":
    main()
