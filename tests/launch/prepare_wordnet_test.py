"""prepare.py wordnet."""

import os
import unittest

from prepare_fixture import PrepareTest, main, np, sequences

REAL = "/usr/share/wordnet"
LICENCE = "  1 This software and database is being provided to you\n"


class WordNetTest(PrepareTest):
    def dictionary(self, extra: str = "") -> str:
        """A source of 400 nouns, and a few of the other parts of speech."""
        nouns = [
            f'{n:08d} {3 + n % 2:02d} n 01 x 0 000 | the card; "my {n}"  \n' for n in range(400)
        ]
        self.write("dict/data.noun", LICENCE + "".join(nouns) + extra)
        self.write(
            "dict/data.verb", LICENCE + "00000001 43 v 01 rain 0 000 01 + 02 00 | where is it\n"
        )
        self.write("dict/data.adj", LICENCE + "00000001 44 s 01 red 0 000 | red | blue\n")
        self.write("dict/data.adv", LICENCE + "00000001 02 r 01 how 0 000 | how\n")
        return self.path("dict")

    def wordnet(self, *arguments: str) -> list:
        return ["wordnet", "--tokenizer", self.tokenizer, *arguments]

    def test_small(self):
        file = self.succeed(*self.wordnet("--source", self.dictionary()))
        self.assertEqual(len(file.attrs["classes"]), 45)
        labels = np.concatenate([file[split]["labels"] for split in file])
        counts = np.bincount(labels, minlength=45)
        self.assertEqual(
            {n: c for n, c in enumerate(counts) if c}, {2: 1, 3: 200, 4: 200, 43: 1, 44: 1}
        )
        share = len(file["train/labels"]) / len(labels)
        self.assertTrue(0.85 < share < 0.95, share)
        self.assertIn("classes have no sample in train", self.stderr)
        blue = [s for split in file for s in sequences(file[split]) if s[1:3] == [18, 1]]
        self.assertEqual(len(blue), 1)  # "red | blue": only the first bar ends the data

    def test_split_is_fixed(self):
        from preparation.text import wordnet

        # Whoever changes this changes every WordNet result that was ever reported.
        self.assertAlmostEqual(wordnet.place("noun", "00001740"), 0.6071909539332516, places=12)

    def test_mistakes(self):
        self.fail_with("apt-get install wordnet-base", *self.wordnet("--source", self.folder))
        lines = [
            "00000001 05 n 01 x 0 000\n",
            "00000001 45 n | x\n",
            "00000001 29 v | x\n",
            "00000001 -1 n | x\n",
            "00000001 05 n | \n",
            "1 05 n | x\n",
        ]
        for line in lines:
            with self.subTest(line):
                source = self.dictionary(line)
                self.fail_with("data.noun:402: is no line of", *self.wordnet("--source", source))

    @unittest.skipUnless(os.path.isdir(REAL), "wordnet-base is not installed")
    def test_real(self):
        file = self.succeed(*self.wordnet())
        counts = {split: len(file[split]["labels"]) for split in file}
        self.assertEqual(counts, {"train": 105750, "validation": 5986, "test": 5923})
        labels = np.concatenate([file[split]["labels"] for split in file])
        self.assertEqual(len(labels), 117659)
        counts = np.bincount(labels, minlength=45)
        names = file.attrs["classes"].tolist()
        known = {"noun.animal": 7509, "noun.Tops": 51, "verb.motion": 1408, "adj.ppl": 60}
        self.assertEqual({name: counts[names.index(name)] for name in known}, known)
        self.assertTrue(counts.all())
        whole = file["test"].attrs["fingerprint"]
        file.close()

        held = []
        for limit in (3000, 1000):
            file = self.succeed(*self.wordnet("--limit", limit, "--limit-validation", 100))
            self.assertEqual(len(file["train/labels"]), limit)
            self.assertEqual(len(file["validation/labels"]), 100)
            self.assertEqual(file["test"].attrs["fingerprint"], whole)
            self.assertEqual(len(file.attrs["classes"]), 45)
            held.append(list(zip(map(tuple, sequences(file["train"])), file["train/labels"])))
            file.close()
        remaining = iter(held[0])
        self.assertTrue(all(sample in remaining for sample in held[1]))  # a part, in the same order


if __name__ == "__main__":
    main()
