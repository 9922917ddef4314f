"""prepare.py text: tables as people have them, whatever separates, encloses and encodes them."""

import gzip
import json
import os

from prepare_fixture import PrepareTest, ids, main, sequences

COLUMNS = ["--text-column", "text", "--label-column", "label"]
TEXTS = ["my card", "where is my money"]


class DialectTest(PrepareTest):
    def text(self, path: str, *arguments: str) -> list:
        return ["text", "--train", path, *COLUMNS, "--tokenizer", self.tokenizer, *arguments]

    def check(self, name: str, content, told: str, *arguments: str) -> None:
        """Reads two rows of classes a and b; `told` stands in a note, or nothing is told."""
        path = self.write(name, content)
        file = self.succeed(*self.text(path, *arguments))
        self.assertEqual(sequences(file["train"]), [ids(text) for text in TEXTS])
        self.assertEqual(file.attrs["classes"].tolist(), ["a", "b"])
        self.assertEqual(file["train/labels"][:].tolist(), [0, 1])
        if told:
            self.assertIn(told, self.stderr)
        else:
            self.assertEqual(self.stderr, "")
        file.close()

    def test_separators(self):
        for separator, name in (
            (",", "commas"),
            (";", "semicolons"),
            ("\t", "tabs"),
            ("|", "bars"),
        ):
            rows = ["text@label@z", "my card@a@x", "where is my money@b@y"]
            content = "\n".join(rows).replace("@", separator)
            for suffix in ("csv", "tsv"):
                usual = separator == {"csv": ",", "tsv": "\t"}[suffix]
                told = "" if usual else f"t.{suffix}: fields are separated by {name}"
                self.check(f"t.{suffix}", content, told)
            self.check("t.txt", content, f"t.txt: fields are separated by {name}")
        self.check(
            "e.csv", "sep=;\r\ntext;label\r\nmy card;a\r\nwhere is my money;b\r\n", "semicol"
        )
        self.check("c.dat", "text:label\nmy card:a\nwhere is my money:b\n", "", "--separator", ":")
        commas = self.write("c.csv", "text,label\nmy card,a\n")
        self.fail_with('has no column "text"', *self.text(commas, "--separator", ";"))

    def test_a_separator_in_a_text_is_no_separator(self):
        content = "text;label\nmy card, lost, red;a\nwhere is my money;b\n"
        path = self.write("t.csv", content)
        file = self.succeed(*self.text(path))
        self.assertEqual(sequences(file["train"])[0].count(1), 2)  # "," is an unknown word
        self.assertEqual(file["train/labels"][:].tolist(), [0, 1])

    def test_line_ends(self):
        rows = ["text,label", "my card,a", "where is my money,b"]
        self.check("unix.csv", "\n".join(rows), "")
        self.check("dos.csv", "\r\n".join(rows) + "\r\n", "")
        self.check("mac.csv", "\r".join(rows) + "\r", "lines end with CR alone")
        self.check("open.csv", "\r".join(rows), "lines end with CR alone")
        path = self.write("bad.csv", "text,label\rmy card,a\rmoney\r")
        self.fail_with("bad.csv:3: has 1 fields", *self.text(path))
        lines = [json.dumps({"text": t, "label": n}) for t, n in zip(TEXTS, "ab")]
        self.check("mac.jsonl", "\r".join(lines), "lines end with CR alone")

    def test_encodings(self):
        texts = ["my card", "für my card"]
        content = "text,label\nmy card,a\nfür my card,b\n"
        for encoding, told in (
            ("utf-8", ""),
            ("utf-8-sig", ""),
            ("utf-16", "read as UTF-16"),
            ("utf-16-le", "read as UTF-16-LE"),
            ("utf-16-be", "read as UTF-16-BE"),
            ("utf-32", "read as UTF-32"),
            ("latin-1", 'is not UTF-8; read as Windows-1252, as in "für" (line 3)'),
        ):
            path = self.write("t.csv", content.encode(encoding))
            file = self.succeed(*self.text(path))
            # The tokenizer takes accents away: `fur` is an unknown word, one for each.
            unknown = [2, 1, *ids(texts[0])[1:]]
            self.assertEqual(sequences(file["train"]), [ids(texts[0]), unknown], encoding)
            (self.assertIn if told else self.assertEqual)(told, self.stderr)
            file.close()
        label = "text,label\nmy card,caf\xe9\n".encode("latin-1")
        file = self.succeed(*self.text(self.write("l.csv.gz", gzip.compress(label))))
        self.assertEqual(file.attrs["classes"].tolist(), ["caf\xe9"])

    def test_encodings_that_are_not_guessed(self):
        russian = "text,label\nпривет мир,a\nmy card,b\n".encode("cp1251")
        path = self.write("r.csv", russian)
        self.fail_with("r.csv:2: is not UTF-8 (byte 0xef), nor", *self.text(path))
        file = self.succeed(*self.text(path, "--encoding", "cp1251"))
        self.assertEqual(sequences(file["train"]), [[2, 1, 1, 3], ids("my card")])
        file.close()
        damaged = "text,label\nfür,a\nüber,b\n".encode() + b"caf\xe9,b\n"
        path = self.write("d.csv", damaged)
        self.fail_with("d.csv:4: is not UTF-8 (byte 0xe9), though the rest", *self.text(path))
        undefined = b"text,label\nmy caf\x81 card,a\n"
        self.fail_with("nor a language of western", *self.text(self.write("u.csv", undefined)))
        cut = "text,label\nmy card,a\n".encode("utf-16")[:-1]
        self.fail_with("is no utf-16", *self.text(self.write("c.csv", cut)))
        self.fail_with("no encoding of text", *self.text(path, "--encoding", "hex"))
        self.fail_with("no encoding of text", *self.text(path, "--encoding", "klingon"))

    def test_quotation_marks(self):
        self.check("a.csv", 'text,label\n"my card","a"\n"where is my money",b\n', "")
        self.check(
            "b.csv", "'text','label'\n'my card','a'\n'where is my money','b'\n", "enclosed by '"
        )
        self.check("c.csv", "text,label\n'my card',a\n'where is my money',b\n", "enclosed by '")
        self.check("d.csv", 'text, label\n"my card", "a"\n"where is my money", "b"\n', "blanks")
        self.check("e.csv", "text,label\n*my card*,a\n*where is my money*,b\n", "", "--quote", "*")
        for content, unknown in (
            ('text,label\n"my \\"card\\", lost",a\nmoney,b\n', 3),  # " " ,
            ("text,label\nmy\\, card,a\nmoney,b\n", 1),
            ('text,label\nmy 5" card,a\nmoney,b\n', 2),  # 5 "
            ('text,label\n"my ""card""",a\nmoney,b\n', 2),
            ("text,label\nmy card's,a\n'money,b\n", None),
        ):
            file = self.succeed(*self.text(self.write("t.csv", content)))
            self.assertEqual(len(file["train/labels"]), 2, content)
            if unknown is not None:
                self.assertEqual(sequences(file["train"])[0].count(1), unknown, content)
            file.close()

    def test_ordinary_quotation_marks(self):
        lines = 'text\tlabel\n"my card\ta\nmy money"\tb\n'
        path = self.write("t.tsv", lines)
        self.fail_with('t.tsv:2: " encloses the end of a line, yet every line', *self.text(path))
        file = self.succeed(*self.text(path, "--no-quotes"))
        self.assertEqual(file["train/labels"][:].tolist(), [0, 1])
        file.close()
        file = self.succeed(*self.text(path, "--quote", '"'))
        self.assertEqual(file["train/labels"][:].tolist(), [0])
        file.close()
        one = self.write("one.tsv", 'text\tlabel\n"my card\ta\nmoney\tb\n')
        file = self.succeed(*self.text(one))
        self.assertEqual(file["train/labels"][:].tolist(), [0, 1])
        self.assertIn('where " is an ordinary character', self.stderr)
        file.close()
        # A row that is broken among rows that are enclosed is an error, not another dialect.
        broken = self.write("broken.csv", 'text,label\n"my card",a\n"money,b\n"how",a\n')
        self.fail_with("broken.csv:3: ", *self.text(broken))
        self.fail_with("give --no-quotes", *self.text(broken))
        self.succeed(*self.text(broken, "--no-quotes")).close()  # advice that has been tried
        both = self.write("both.csv", 'text,label\n"my, card",a\n"money,b\n')
        with self.assertRaises(AssertionError):
            self.fail_with("--no-quotes", *self.text(both))
        self.fail_with("give one of them", *self.text(one, "--quote", "'", "--no-quotes"))
        self.fail_with("must be different", *self.text(one, "--quote", "'", "--escape", "'"))

    def test_files_that_are_no_tables(self):
        for content, message in (
            (b"PK\3\4" + bytes(40), "is no table; it is a zip archive (or a workbook"),
            (b"PAR1" + bytes(40), "a Parquet file"),
            (b"<!DOCTYPE html><html>", "a web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
            (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
            (b'{"text": "my", "label": 1}\n', "JSON lines? name it .jsonl"),
            (bytes(100), 'has no column "text"'),
        ):
            path = self.write("t.csv", content)
            self.fail_with(message, *self.text(path))
        self.write("t.txt", '{"text": "my card", "label": "a"}\n')
        self.succeed(*self.text(self.path("t.txt"))).close()

    def test_names_of_classes(self):
        def of(*names: str) -> list:
            rows = "".join(f'my card,"{name}"\n' for name in names)
            return self.text(self.write("t.csv", "text,label\n" + rows))

        file = self.succeed(*of("a\x1b[31m", "b"))
        self.assertEqual(file.attrs["classes"].tolist(), ["a\x1b[31m", "b"])
        self.assertIn("a\\x1b[31m; they are stored as they are", self.stderr)
        file.close()
        for pair in (("caf\xe9", "cafe\u0301"), ("a b", "a\xa0b"), ("ab", "a\u200bb")):
            self.fail_with("two classes of one name", *of(*pair))
        self.succeed(*of("Cat", "cat")).close()
        self.assertIn('differ only in upper case: "Cat" and "cat"', self.stderr)
        self.succeed(*of("1", "1.0", "2")).close()
        self.assertIn('the same number, written differently: "1" and "1.0"', self.stderr)
        self.succeed(*of("1", "2", "nan", "NaN")).close()
        self.assertNotIn("the same number", self.stderr)
        self.succeed(*of("a", "a")).close()
        self.assertIn('of class "a": there is nothing to tell apart', self.stderr)
        self.succeed(*of("a", "b")).close()
        self.assertNotIn("nothing to tell apart", self.stderr)
        self.fail_with("t.csv:2: a class's name of 2,000 characters", *of("x" * 2000))

    def test_labels_that_are_ids(self):
        rows = "".join(f"my card,u{number}\n" for number in range(150))
        path = self.write("t.csv", "text,label\n" + rows)
        self.fail_with("t.csv:2: the 150 labels of train name 150 classes", *self.text(path))
        names = self.write("names.txt", "".join(f"u{number}\n" for number in range(150)))
        self.succeed(*self.text(path, "--classes", names)).close()
        twice = self.write("t.csv", "text,label\n" + 2 * rows)
        self.succeed(*self.text(twice)).close()

    def test_columns_that_come_twice(self):
        """Those that are wanted are refused, in whatever kind of table; others may."""
        wanted = self.write("w.csv", "id,text,text,label\n1,my card,my money,a\n")
        self.fail_with('w.csv: 2 columns are named "text"', *self.text(wanted))
        row = '{"id": 1, "text": "my card", "text": "my money", "label": "a"}\n'
        self.fail_with('w.jsonl:1: 2 fields are named "text"',
                       *self.text(self.write("w.jsonl", row)))  # fmt: skip
        other = self.write("o.csv", "id,text,id,label\n1,my card,2,a\n")
        row = '{"id": {"a": 1, "a": 2}, "text": "my card", "id": 2, "label": "a"}\n'
        for path in (other, self.write("o.jsonl", row)):
            file = self.succeed(*self.text(path))
            self.assertEqual(sequences(file["train"]), [ids("my card")], path)
            self.assertEqual(file.attrs["classes"].tolist(), ["a"])
            file.close()
        row = '{"source": 1, "tokens": ["card"], "source": 2, "tags": ["O"]}\n'
        tags = ("tags", "--train", self.write("o2.jsonl", row), "--tokenizer", self.tokenizer)
        self.succeed(*tags, "--max-tokens", 9).close()

    def test_splits_of_a_folder(self):
        for name in ("train.csv", "valid.csv.gz", "test.jsonl"):
            content = b"text,label\nmy card,a\n"
            if name.endswith(".jsonl"):
                content = b'{"text": "my money", "label": "a"}\n'
            if name.endswith(".gz"):
                content = gzip.compress(content)
            self.write(f"all/{name}", content)
        self.write("all/notes.txt", "no split")
        command = ["text", "--splits", self.path("all"), *COLUMNS, "--tokenizer", self.tokenizer]
        file = self.succeed(*command)
        self.assertEqual(set(file), {"train", "validation", "test"})
        self.assertEqual(sequences(file["test"]), [ids("my money")])
        file.close()
        self.fail_with("stands in place of", *command, "--train", self.path("all/train.csv"))
        self.write("all/dev.csv", "text,label\n")
        self.fail_with("are validation", *command)
        os.mkdir(self.path("none"))
        self.inputs.add("none")
        command[2] = self.path("none")
        self.fail_with("holds no tables named train", *command)


if __name__ == "__main__":
    main()
