"""prepare.py corpus."""

import json
import random

from language_fixture import BEGIN, END, LanguageTest, ids
from prepare_fixture import main, sequences


class CorpusTest(LanguageTest):
    def corpus(self, *arguments, length: int = 8) -> list:
        return ["corpus", "--tokenizer", self.tokenizer, "--length", length, *arguments]

    def test_documents_are_cut_and_never_mixed(self):
        texts = [self.write("a.txt", "abcdefghij"), self.write("b.txt", "klm")]
        file = self.succeed(*self.corpus("--text", *texts, length=4))
        split = file["train"]
        pieces = ["abcd", "efgh", "ij" + END, "klm" + END]
        self.assertEqual(sequences(split), list(map(ids, pieces)))
        # The first token of each is not predicted, and the end token is no text.
        self.assertEqual(split["bytes"][:].tolist(), [3, 3, 1, 2])
        self.assertEqual(set(split), {"tokens", "offsets", "bytes"})
        self.assertEqual(file.attrs["task"], "causal-lm")
        self.assertRegex(self.stdout, r"train +4 +15 .* 2 +11\n")

    def test_begin_token_stands_once_before_each_piece(self):
        self.use_tokenizer(begin=True)
        text = self.write("a.txt", "abcdef")
        file = self.succeed(*self.corpus("--text", text, length=4))
        pieces = [f"{BEGIN}abc", f"{BEGIN}def", BEGIN + END]
        self.assertEqual(sequences(file["train"]), list(map(ids, pieces)))
        self.assertEqual(file["train/bytes"][:].tolist(), [3, 3, 0])
        file.close()
        self.fail_with("leaves no room", *self.corpus("--text", text, length=2))

    def test_one_token_alone_is_left_out(self):
        text = self.write("a.txt", "abcdefgh")
        file = self.succeed(*self.corpus("--text", text, length=4))
        self.assertEqual(sequences(file["train"]), [ids("abcd"), ids("efgh")])
        self.assertIn("1 piece of one token at the end of a document left out", self.stderr)
        file.close()
        alone = self.write("b.txt", "a")
        self.fail_with("train: no sample is left", *self.corpus("--text", alone, "--no-end-token"))

    def test_end_token(self):
        text = self.write("a.txt", "abc")
        file = self.succeed(*self.corpus("--text", text, "--no-end-token"))
        self.assertEqual(sequences(file["train"]), [ids("abc")])
        self.assertNotIn("end_token", file.attrs)
        file.close()
        self.configure()  # nothing names one
        self.assertEqual(sequences(self.succeed(*self.corpus("--text", text))["train"]), [ids("abc")])
        self.assertIn("no end token stands behind the documents", self.stderr)

    def test_where_documents_end(self):
        text = self.write("a.txt", "ab\ncd\n\n \nef\n")
        for parted, expected in (("files", ["ab\ncd\n\n \nef\n"]), ("blank-lines", ["ab\ncd\n", "ef\n"]),
                                 ("lines", ["ab", "cd", "ef"])):  # fmt: skip
            with self.subTest(parted):
                file = self.succeed(*self.corpus("--text", text, "--documents", parted, length=32))
                self.assertEqual(
                    sequences(file["train"]), [ids(document + END) for document in expected]
                )
                file.close()
        rows = self.write("a.jsonl", "\n".join(json.dumps({"t": t}) for t in ("ab\n\nc", "d")))
        file = self.succeed(*self.corpus("--text", rows, "--text-column", "t", length=32))
        self.assertEqual(sequences(file["train"]), [ids("ab\n\nc" + END), ids("d" + END)])

    def test_validation_fraction(self):
        text = self.write("a.txt", "\n".join(f"doc {n:03d}" for n in range(50)))
        file = self.succeed(*self.corpus("--text", text, "--documents", "lines",
                                         "--validation-fraction", 0.2))  # fmt: skip
        held = [list(map(tuple, sequences(file[split]))) for split in ("train", "validation")]
        self.assertEqual([len(split) for split in held], [40, 10])
        self.assertEqual(sorted(sum(held, [])), sorted(tuple(ids(f"doc {n:03d}{END}")) for n in range(50)))
        self.assertNotEqual(sorted(held[1]), held[0][-10:])
        file.close()
        one = self.write("b.txt", "one two three four five six\n")
        file = self.succeed(*self.corpus("--text", one, "--validation-fraction", 0.25, length=64))
        self.assertEqual(sequences(file["train"]), [ids(f"one two three four five{END}")])
        self.assertEqual(sequences(file["validation"]), [ids(f"six\n{END}")])

    def test_other_splits(self):
        paths = [self.write(f"{name}.txt", name) for name in ("one", "two", "three")]
        file = self.succeed(*self.corpus("--text", paths[0], "--validation", paths[1], "--test",
                                         paths[2]))  # fmt: skip
        for split, name in (("train", "one"), ("validation", "two"), ("test", "three")):
            self.assertEqual(sequences(file[split]), [ids(name + END)])
        self.fail_with("at least one of --text", *self.corpus())
        self.fail_with("takes from --text", *self.corpus("--validation", paths[1],
                                                         "--validation-fraction", 0.5))  # fmt: skip

    def test_blocks_of_a_long_document_make_the_same_tokens(self):
        from preparation.language import corpus

        generator = random.Random(5)
        words = ["word", " ", "  ", "\n", "\n\n", "naïve €", "12", "it's"]
        text = "".join(generator.choices(words, k=4000))
        path = self.write("a.txt", text)
        held = []
        for block in (1 << 18, 50):
            self.addCleanup(setattr, corpus, "_BLOCK", corpus._BLOCK)
            corpus._BLOCK = block
            file = self.succeed(*self.corpus("--text", path, length=100))
            held.append((sequences(file["train"]), file["train/bytes"][:].tolist()))
            file.close()
        self.assertEqual(held[0], held[1])
        counted = sum(held[0][1]) + len(held[0][0])  # at least a byte each that is not counted
        self.assertLessEqual(counted, len(text.encode()))

    def test_mistakes(self):
        empty = self.write("a.txt", "\n \n")
        self.fail_with("no sample is left", *self.corpus("--text", empty, "--documents", "blank-lines"))
        self.fail_with("cannot be read", *self.corpus("--text", self.path("absent.txt")))
        binary = self.write("b.txt", b"\x80\3\0\0")
        self.fail_with("a pickle of Python", *self.corpus("--text", binary))


if __name__ == "__main__":
    main()
