"""prepare.py tags."""

import json

from prepare_fixture import PrepareTest, main, sequences

from language_fixture import byte_tokenizer
from language_fixture import ids as byte_ids

CONLL = """-DOCSTART- -X- O O

the DT B-NP O
cards NN I-NP B-MISC
lost VB B-VP O

my PRP B-NP B-PER
account NN I-NP I-PER
"""


class TagsTest(PrepareTest):
    def tags(self, train: str, *arguments) -> list:
        return ["tags", "--train", train, "--tokenizer", self.tokenizer, *arguments]

    def labels(self, split) -> list:
        offsets, labels = split["offsets"][:], split["token_labels"][:]
        return [labels[start:end].tolist() for start, end in zip(offsets, offsets[1:])]

    def test_first_piece_has_the_class(self):
        file = self.succeed(*self.tags(self.write("a.conll", CONLL)))
        # "cards" is "card" and "##s": its class goes to the first alone.
        self.assertEqual(sequences(file["train"]), [[2, 4, 6, 20, 8, 3], [2, 9, 17, 3]])
        names = file.attrs["classes"].tolist()
        self.assertEqual(names, ["B-MISC", "B-PER", "I-PER", "O"])
        self.assertEqual(self.labels(file["train"]), [[-100, 3, 0, -100, 3, -100], [-100, 1, 2, -100]])
        self.assertEqual(file["train/token_labels"].dtype.str, "<i4")
        self.assertEqual(file.attrs["task"], "token-classification")
        self.assertNotIn("labels", file["train"])

    def test_json_lines(self):
        rows = [{"tokens": ["the", "cards"], "tags": ["O", "B-X"]}, {"tokens": ["my"], "tags": ["O"]}]
        path = self.write("a.jsonl", "\n".join(map(json.dumps, rows)))
        file = self.succeed(*self.tags(path))
        self.assertEqual(self.labels(file["train"]), [[-100, 1, 0, -100, -100], [-100, 1, -100]])
        file.close()
        rows = [{"words": ["the", "card"], "ner": [1, 0]}]
        path = self.write("b.jsonl", json.dumps(rows[0]))
        names = self.write("names.txt", "O\nB-X\n")
        file = self.succeed(*self.tags(path, "--word-column", "words", "--tag-column", "ner",
                                       "--classes", names))  # fmt: skip
        self.assertEqual(file.attrs["classes"].tolist(), ["O", "B-X"])
        self.assertEqual(self.labels(file["train"]), [[-100, 1, 0, -100]])

    def test_columns(self):
        conllu = (
            "# sent_id = 1\n1-2\tdidnt\t_\t_\t_\t_\t_\t_\t_\t_\n1\tthe\t_\tDET\t_\t_\t_\t_\t_\t_\n"
            "2\tcard\t_\tNOUN\t_\t_\t_\t_\t_\t_\n2.1\tred\t_\tX\t_\t_\t_\t_\t_\t_\n\n"
        )
        path = self.write("a.conllu", conllu)
        file = self.succeed(*self.tags(path, "--word-column", 2, "--tag-column", 4))
        self.assertEqual(sequences(file["train"]), [[2, 4, 6, 3]])
        self.assertEqual(self.labels(file["train"]), [[-100, 0, 1, -100]])
        self.assertEqual(file.attrs["classes"].tolist(), ["DET", "NOUN"])

    def test_long_sentences_are_cut(self):
        lines = "".join(f"red C{n}\n" for n in range(8))
        file = self.succeed(*self.tags(self.write("a.conll", lines), "--max-tokens", 6))
        self.assertEqual(self.labels(file["train"]), [[-100, 0, 1, 2, 3, -100]])
        self.assertRegex(self.stdout, r"train +1 +6 .* 100\.0 % +4\n")

    def test_byte_level_tokenizers_get_a_blank_before_each_word(self):
        byte_tokenizer().save(self.tokenizer)
        file = self.succeed(*self.tags(self.write("a.conll", "ab X\nc Y\n")))
        self.assertEqual(sequences(file["train"]), [byte_ids(" ab c")])
        self.assertEqual(self.labels(file["train"]), [[0, -100, -100, 1, -100]])
        self.assertIn("words get a blank before them", self.stderr)

    def test_words_without_tokens_are_told(self):
        file = self.succeed(*self.tags(self.write("a.conll", "the A\n\u0301 B\ncard A\n")))
        self.assertEqual(self.labels(file["train"]), [[-100, 0, 0, -100]])
        self.assertIn("1 word of which the tokenizer makes no token", self.stderr)

    def test_validation_fraction(self):
        path = self.write("a.conll", "the O\ncard X\n\n" * 20)
        file = self.succeed(*self.tags(path, "--validation-fraction", 0.25))
        self.assertEqual([len(file[split]["offsets"]) - 1 for split in file], [15, 5])
        for split in file:
            self.assertEqual(set(map(tuple, self.labels(file[split]))), {(-100, 0, 1, -100)})

    def test_mistakes(self):
        train = self.write("a.conll", "the O\n")
        bad = self.write("b.conll", "the O\ncard B-NEW\n")
        self.fail_with('class "B-NEW"', *self.tags(train, "--validation", bad))
        for content, message in (
            ("the DT O\ncard O\n", "b.conll:2: has 2 columns, the first word has 3"),
            ("\n\n", "b.conll: has no sentences"),
        ):
            self.fail_with(message, *self.tags(self.write("b.conll", content)))
        self.fail_with("none of which is 7", *self.tags(train, "--word-column", 7))
        self.fail_with("it is a number", *self.tags(train, "--tag-column", "ner"))
        for row, message in (
            ('{"tokens": ["a"], "tags": []}', "has 1 words and 0 tags"),
            ('{"tokens": ["a"]}', 'has no "tags"'),
            ('{"tokens": "a", "tags": ["O"]}', '"tokens" is no list'),
            ('{"tags": ["O"], "tokens": ["a"], "tags": ["B"]}', '2 fields are named "tags"'),
            ('{"tokens": [""], "tags": ["O"]}', "\"tokens\" holds ''; names are needed"),
            ('["a"]', "is no JSON object"),
            ("{", "is not JSON"),
        ):
            with self.subTest(row):
                self.fail_with(f"b.jsonl:1: {message}", *self.tags(self.write("b.jsonl", row)))


if __name__ == "__main__":
    main()
