"""prepare.py text: pairs, several classes a sample, and numbers to be predicted."""

import json

from prepare_fixture import WORDS, PrepareTest, ids, main, np, sequences, tokenizers

CLS, SEP = 2, 3


def pair(first: str, second: str) -> tuple:
    """Token ids and types as BERT's template joins two texts, by hand."""
    one, two = ([4 + WORDS.index(word) for word in text.split()] for text in (first, second))
    return [CLS, *one, SEP, *two, SEP], [0] * (len(one) + 2) + [1] * (len(two) + 1)


def save_byte_tokenizer(path: str) -> None:
    """A tokenizer as RoBERTa's: bytes under visible characters, and its template."""
    symbols = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate([*symbols, *alphabet])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.post_processor = tokenizers.processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    tokenizer.add_special_tokens(symbols)
    tokenizer.save(path)


class TaskTest(PrepareTest):
    def text(self, table: str, *arguments: str, name: str = "t.csv") -> list:
        path = self.write(name, table)
        return [
            "text",
            "--train",
            path,
            "--text-column",
            "text",
            "--tokenizer",
            self.tokenizer,
            *arguments,
        ]

    def test_pairs(self):
        table = "text,other,label\nmy card is lost,where is it,a\nmy,card,b\n"
        arguments = ["--pair-column", "other", "--label-column", "label"]
        file = self.succeed(*self.text(table.replace("it", "my money"), *arguments))
        expected = [pair("my card is lost", "where is my money"), pair("my", "card")]
        self.assertEqual(sequences(file["train"]), [ids for ids, _ in expected])
        self.assertEqual(file["train/types"].dtype, np.dtype("i1"))
        self.assertEqual(file["train/types"][:].tolist(), expected[0][1] + expected[1][1])
        self.assertEqual(file["train/labels"][:].tolist(), [0, 1])
        self.assertEqual(file.attrs["task"], "classification")
        self.assertEqual(json.loads(file.attrs["options"])["pair_column"], "other")
        self.assertIn("out.h5: text pairs, 2 classes", self.stdout)
        before = file["train"].attrs["fingerprint"]
        file.close()
        swapped = "text,other,label\nwhere is my money,my card is lost,a\ncard,my,b\n"
        file = self.succeed(*self.text(swapped, *arguments))
        self.assertNotEqual(file["train"].attrs["fingerprint"], before)

    def test_a_pair_is_cut_at_its_longer_text(self):
        table = "text,other,label\nmy,where is my money lost,a\nmy card is lost,how,b\n"
        arguments = ["--pair-column", "other", "--label-column", "label", "--max-tokens", 7]
        file = self.succeed(*self.text(table, *arguments))
        expected = [pair("my", "where is my"), pair("my card is", "how")]
        self.assertEqual(sequences(file["train"]), [ids for ids, _ in expected])
        self.assertEqual(file["train/types"][:].tolist(), expected[0][1] + expected[1][1])
        self.assertRegex(self.stdout, r"100\.0 %")
        self.fail_with(
            "leaves no room for text, since this tokenizer adds 3 special tokens",
            *self.text(table, *arguments[:-1], 3),
        )
        self.fail_with(':2: "other" is empty', *self.text("text,other,label\nmy,,a\n", *arguments))

    def test_pairs_go_to_their_split_whole(self):
        rows = [(" ".join(WORDS[n >> k & 1] for k in range(4)), WORDS[n]) for n in range(16)]
        table = "text,other,label\n" + "".join(f"{a},{b},x\n" for a, b in rows)
        arguments = ["--pair-column", "other", "--label-column", "label"]
        file = self.succeed(*self.text(table, *arguments, "--validation-fraction", 0.25))
        held = []
        for split, count in (("train", 12), ("validation", 4)):
            self.assertEqual(len(file[split]["labels"]), count)
            offsets, types = file[split]["offsets"][:], file[split]["types"][:].tolist()
            held += [
                (sequence, types[start:end])
                for sequence, start, end in zip(sequences(file[split]), offsets, offsets[1:])
            ]
        self.assertEqual(sorted(held), sorted(pair(*row) for row in rows))

    def test_pairs_for_networks_without_types(self):
        table = "text,other,label\nmy card,lost,a\n"
        arguments = ["--pair-column", "other", "--label-column", "label", "--no-types"]
        file = self.succeed(*self.text(table, *arguments))
        self.assertEqual(sequences(file["train"]), [pair("my card", "lost")[0]])
        self.assertNotIn("types", file["train"])
        self.assertTrue(json.loads(file.attrs["options"])["no_types"])
        file.close()
        self.fail_with("--no-types", *self.text(table, "--label-column", "label", "--no-types"))

    def test_tokenizers_of_bytes_as_roberta_has_them(self):
        save_byte_tokenizer(self.tokenizer)
        known = tokenizers.Tokenizer.from_file(self.tokenizer)
        begin, end, space = 0, 2, known.token_to_id("Ġ")
        table = "text,label\nmy card,a\ncafé,b\n"
        file = self.succeed(*self.text(table, "--label-column", "label"))
        held = sequences(file["train"])
        self.assertEqual(held, [known.encode(text).ids for text in ("my card", "café")])
        self.assertEqual([held[0][0], held[0][-1], held[0].count(begin), held[0].count(end)],
                         [begin, end, 1, 1])
        self.assertNotIn(space, held[0][:2])  # none is put before a text
        self.assertEqual(known.decode(held[1]), "café")  # bytes of UTF-8, and none unknown
        file.close()
        table = "text,other,label\nmy card,lost,a\nwhere is my money,my,b\n"
        arguments = ["--pair-column", "other", "--label-column", "label", "--max-tokens", 9]
        file = self.succeed(*self.text(table, *arguments))
        for sequence in sequences(file["train"]):
            self.assertLessEqual(len(sequence), 9)
            self.assertEqual([sequence[0], sequence[-1]], [begin, end])
            self.assertEqual(sequence.count(end), 3)
            middle = sequence.index(end)
            self.assertEqual(sequence[middle : middle + 2], [end, end])  # </s></s> between
        self.assertEqual(set(file["train/types"][:].tolist()), {0})

    def test_a_template_without_pairs_is_told(self):
        plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({"my": 0, "card": 1}, "my"))
        plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        plain.save(self.tokenizer)
        file = self.succeed(
            *self.text(
                "text,b,label\nmy my,card,a\n", "--pair-column", "b", "--label-column", "label"
            )
        )
        self.assertEqual(sequences(file["train"]), [[0, 0, 1]])
        self.assertEqual(file["train/types"][:].tolist(), [0, 0, 0])
        self.assertIn("joins two texts with nothing between them", self.stderr)

    def test_columns_of_classes(self):
        table = "text,red,new,blue\nmy card,1,0,0\nmoney,0,0.0,false\nlost,True,1,0\nmy,1,1.0,0\n"
        file = self.succeed(*self.text(table, "--label-columns", "red,new,blue"))
        self.assertEqual(file["train/labels"].dtype, np.dtype("u1"))
        expected = [[1, 0, 0], [0, 0, 0], [1, 1, 0], [1, 1, 0]]
        self.assertEqual(file["train/labels"][:].tolist(), expected)
        self.assertEqual(file.attrs["task"], "multi-label")
        self.assertEqual(file.attrs["classes"].tolist(), ["red", "new", "blue"])
        self.assertEqual(sequences(file["train"])[2], ids("lost"))
        self.assertIn("train: 1 of 4 samples have none of the classes", self.stderr)
        self.assertIn("1 of 3 classes have no sample in train: blue", self.stderr)
        self.assertIn("3 classes, several a sample", self.stdout)
        file.close()
        self.fail_with(
            't.csv:3: "red" is "2"; a column of --label-columns holds 0 or 1',
            *self.text("text,red\nmy,1\ncard,2\n", "--label-columns", "red"),
        )
        self.fail_with(
            't.csv:3: "red" is empty',
            *self.text("text,red\nmy,1\ncard,\n", "--label-columns", "red"),
        )

    def test_names_between_separators(self):
        table = 'text,tags\nmy card,red; new\nmoney,\nlost,"red;new;;red"\nmy,a b;\n'
        arguments = ["--label-column", "tags", "--label-separator", ";"]
        file = self.succeed(*self.text(table, *arguments))
        self.assertEqual(file.attrs["classes"].tolist(), ["a b", "new", "red"])
        expected = [[0, 1, 1], [0, 0, 0], [0, 1, 1], [1, 0, 0]]
        self.assertEqual(file["train/labels"][:].tolist(), expected)
        file.close()
        rows = [
            {"text": "my card", "tags": ["red", "new"]},
            {"text": "money", "tags": []},
            {"text": "lost", "tags": "new;red"},
            {"text": "my", "tags": ["a b"]},
        ]
        lines = "\n".join(map(json.dumps, rows))
        file = self.succeed(*self.text(lines, *arguments, name="t.jsonl"))
        self.assertEqual(file["train/labels"][:].tolist(), expected)
        file.close()
        listed = self.write("classes.txt", "red\nblue\nnew\na b\n")
        file = self.succeed(*self.text(table, *arguments, "--classes", listed))
        self.assertEqual(file["train/labels"][2].tolist(), [1, 0, 1, 0])
        self.assertIn("1 of 4 classes have no sample in train: blue", self.stderr)
        file.close()
        test = self.write("other.csv", "text,tags\nmy,red\ncard,red;old\n")
        self.fail_with(
            f'{test}:3: class "old" (1 sample) in test but not in train',
            *self.text(table, *arguments, "--test", test),
        )
        self.fail_with(
            "no sample of train has a class", *self.text("text,tags\nmy,\ncard,;\n", *arguments)
        )
        self.fail_with(
            "--label-separator takes lists of names",
            *self.text(lines, *arguments[:2], name="t.jsonl"),
        )

    def test_columns_and_names_together(self):
        table = "text,late,tags\nmy card,1,red;new\nmoney,0,new\n"
        arguments = ["--label-columns", "late", "--label-column", "tags", "--label-separator", ";"]
        file = self.succeed(*self.text(table, *arguments))
        self.assertEqual(file.attrs["classes"].tolist(), ["late", "new", "red"])
        self.assertEqual(file["train/labels"][:].tolist(), [[1, 1, 1], [0, 1, 0]])
        self.assertIn("every sample of train has new", self.stderr)
        self.fail_with(
            't.csv:3: "late" in "tags" is a column of --label-columns too',
            *self.text("text,late,tags\nmy,1,red\nlost,0,late\n", *arguments),
        )

    def test_a_share_of_several_classes(self):
        rows = [(n, f"{'a;' * (n % 2)}{'b;' * (n % 10 == 0)}{'c' * (n == 7)}") for n in range(200)]
        table = "text,tags\n" + "".join(f"{WORDS[n % 16]},{tags}\n" for n, tags in rows)
        file = self.succeed(
            *self.text(
                table,
                "--label-column",
                "tags",
                "--label-separator",
                ";",
                "--validation-fraction",
                0.2,
            )
        )
        counts = {split: file[split]["labels"][:].sum(axis=0).tolist() for split in file}
        self.assertEqual([sum(pair) for pair in zip(*counts.values())], [100, 20, 1])
        self.assertEqual(counts["train"][2], 1)  # the only one of its class stays
        self.assertLessEqual(abs(counts["validation"][0] - 20), 1)
        self.assertEqual(counts["validation"][1], 4)
        self.assertEqual(len(file["validation/labels"]), 40)

    def test_a_share_leaves_a_sample_of_each_class(self):
        # Each a comes with one of the rarer b, c, d; so a is in no stratum of its own.
        tags = ["a;b", "b", "a;c", "c", "a;d", "d"]
        table = "text,tags\n" + "".join(f"{WORDS[n]},{names}\n" for n, names in enumerate(tags))
        for seed in range(20):
            file = self.succeed(
                *self.text(table, "--label-column", "tags", "--label-separator", ";"),
                *("--validation-fraction", 0.5, "--seed", seed),
            )
            self.assertTrue(file["train/labels"][:].any(axis=0).all(), seed)
            self.assertEqual(len(file["train/labels"]) + len(file["validation/labels"]), 6)
            file.close()

    def test_values(self):
        table = "text,x,y\nmy card,0.5,-3\nmoney,1e2,0\nlost, -0.125 ,7\n"
        file = self.succeed(*self.text(table, "--target-column", "x"))
        self.assertEqual(file["train/labels"].dtype, np.dtype("<f4"))
        self.assertEqual(file["train/labels"][:].tolist(), [0.5, 100.0, -0.125])
        self.assertEqual(file.attrs["task"], "regression")
        self.assertEqual(file.attrs["targets"].tolist(), ["x"])
        self.assertNotIn("classes", file.attrs)
        self.assertIn("text, 1 target,", self.stdout)
        file.close()
        file = self.succeed(*self.text(table, "--target-columns", "y,x"))
        self.assertEqual(file["train/labels"][:].tolist(), [[-3, 0.5], [0, 100], [7, -0.125]])
        self.assertEqual(file.attrs["targets"].tolist(), ["y", "x"])
        file.close()
        file = self.succeed(*self.text(table, "--target-columns", "y"))
        self.assertEqual(file["train/labels"].shape, (3,))
        file.close()
        lines = '{"text": "my", "x": 0.1}\n{"text": "card", "x": "2"}\n{"text": "my", "x": 3}\n'
        file = self.succeed(*self.text(lines, "--target-column", "x", name="t.jsonl"))
        self.assertEqual(file["train/labels"][:].tolist(), [np.float32(0.1), 2.0, 3.0])

    def test_a_share_of_values(self):
        table = "text,x\n" + "".join(f"{WORDS[n]},{n}\n" for n in range(16))
        file = self.succeed(
            *self.text(table, "--target-column", "x", "--validation-fraction", 0.25)
        )
        self.assertEqual((len(file["train/labels"]), len(file["validation/labels"])), (12, 4))
        for split in file:
            for sequence, value in zip(sequences(file[split]), file[split]["labels"]):
                self.assertEqual(sequence, [CLS, 4 + int(value), SEP])

    def test_no_numbers(self):
        for value, problem in (
            ("nan", "is no finite number"),
            ("-inf", "is no finite number"),
            ("a lot", "is no finite number"),
            ("1_000", "is no finite number"),
            ('"3,5"', "a point separates decimals"),
            ("1e39", "does not fit into float32"),
            ("true", "is no finite number"),
            ("0x10", "is no finite number"),
        ):
            with self.subTest(value):
                table = f"text,x\nmy,1\ncard,{value}\n"
                shown = value.strip('"')
                self.fail_with(
                    f't.csv:3: "x" is "{shown}", which ', *self.text(table, "--target-column", "x")
                )
                self.fail_with(problem, *self.text(table, "--target-column", "x"))
        self.fail_with(
            't.jsonl:2: "x" is empty, null or NaN',
            *self.text(
                '{"text": "my", "x": 1}\n{"text": "my", "x": NaN}\n',
                "--target-column",
                "x",
                name="t.jsonl",
            ),
        )
        self.succeed(*self.text("text,x\nmy,2\ncard,2\n", "--target-column", "x")).close()
        self.assertIn("every sample of train has the same value of x", self.stderr)

    def test_options_that_do_not_go_together(self):
        table = "text,a,b,x\nmy,1,0,0.5\n"
        cases = [
            ("give --label-column", []),
            (
                "--label-column and --target-column: numbers and classes",
                ["--label-column", "a", "--target-column", "x"],
            ),
            ("numbers and classes", ["--target-column", "x", "--label-separator", ";"]),
            ("numbers and classes", ["--target-column", "x", "--target-columns", "x,a"]),
            (
                "--label-separator: give the column",
                ["--label-columns", "a", "--label-separator", ";"],
            ),
            ("give --label-separator too", ["--label-columns", "a,b", "--label-column", "x"]),
            (
                "is in --label-columns too",
                ["--label-columns", "a,b", "--label-column", "a", "--label-separator", ";"],
            ),
            ('names "a" 2 times', ["--label-columns", "a,b,a"]),
            ("holds an empty name", ["--label-columns", "a,,b"]),
            ('has no column "c"', ["--label-columns", "a,c"]),
        ]
        for message, arguments in cases:
            with self.subTest(message):
                self.fail_with(message, *self.text(table, *arguments))
        classes = self.write("classes.txt", "a\nb\n")
        self.fail_with(
            "the columns name the classes already",
            *self.text(table, "--label-columns", "a,b", "--classes", classes),
        )
        self.fail_with(
            "have no classes", *self.text(table, "--target-column", "x", "--classes", classes)
        )
        file = self.succeed(
            *self.text('text,"a,1",b\nmy,0,1\ncard,1,0\n', "--label-columns", '"a,1",b')
        )
        self.assertEqual(file.attrs["classes"].tolist(), ["a,1", "b"])


if __name__ == "__main__":
    main()
