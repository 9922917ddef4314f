"""`thaw predict` on texts, tables and images as users have them: the same predictions as for the
same samples in a data file that prepare.py makes, with the samples beside them."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

import command_fixture
from command_fixture import ROOT, THAW, CommandTest, np

try:
    from prepare_fixture import WORDS, PIL, save_tokenizer, tokenizers
except ImportError as error:
    print(f"SKIPPED: {error}")
    raise SystemExit(77) from error

SCHEDULE = '[schedule]\npreset = "full"\nlearning-rate = 3e-3\ntotal-epochs = 3\n'


class GivenTest(CommandTest):
    def prepare(self, kind, *arguments):
        command = [sys.executable, str(ROOT / "launch/prepare.py"), kind, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def lines(self, *arguments, input=None):
        place = self.folder / "temporary"
        place.mkdir(exist_ok=True)
        done = subprocess.run([THAW, "predict", *map(str, arguments)], cwd=self.folder, text=True,
                              input=input, capture_output=True, check=False,
                              env=dict(os.environ, OMP_NUM_THREADS="1", TMPDIR=str(place)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.listdir(place), [])
        self.said = done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def without(self, lines, *keys):
        return [{key: value for key, value in line.items() if key not in keys} for line in lines]


class Texts(GivenTest):
    def setUp(self):
        super().setUp()
        save_tokenizer(str(self.folder / "tokenizer.json"))
        self.tiny_bert(vocabulary=64)
        self.config = self.bert_config(schedule=SCHEDULE)
        generator = np.random.default_rng(1)
        self.rows = [" ".join(generator.choice(WORDS, length))
                     for length in generator.integers(1, 12, 60)]

    def table(self, name, columns):
        """Columns by name, a value for each of the rows."""
        with open(self.folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values()))

    def trained(self, *options):
        """A run on the table train.csv, whose rows are its test split too."""
        self.prepare("text", "--train", "train.csv", "--validation", "train.csv", "--test",
                     "train.csv", "--text-column", "text", *options, "--tokenizer",
                     "tokenizer.json", "--max-tokens", 8, "--output", "texts.h5")
        self.thaw("train", self.config, "--run-dir", "run", "--model.tokenizer", "tokenizer.json")
        split = self.lines("run", "--split", "test")
        # Nothing but the run is needed from here on.
        for name in ("texts.h5", "tokenizer.json", "config.json", self.config):
            os.remove(self.folder / name)
        return split

    def test_classes(self):
        labels = ["warm" if "red" in row.split() else "cold" for row in self.rows]
        self.table("train.csv", {"text": self.rows, "label": labels})
        split = self.trained("--label-column", "label")
        given = self.lines("run", "--file", "train.csv")
        self.assertEqual(self.without(given, "text", "truncated"), split)
        self.assertEqual([line["text"] for line in given], self.rows)
        cut = [len(row.split()) > 6 for row in self.rows]  # and the two at the ends
        self.assertEqual([line.get("truncated", False) for line in given], cut)
        self.assertIn(f"{sum(cut)} of 60 texts had more than 8 tokens", self.said)
        said = self.lines("run", "--text", self.rows[0], "--text", self.rows[1])
        self.assertEqual([list(line)[:2] for line in said], [["index", "text"]] * 2)
        for line, own in zip(said, split):
            self.assertEqual(line["class"], own["class"])
            for name, probability in own["probabilities"].items():
                self.assertAlmostEqual(line["probabilities"][name], probability, places=5)
        text = "\n".join(self.rows) + "\n"
        self.assertEqual(self.without(self.lines("run", "--file", "-", input=text), "text",
                                      "truncated"), split)
        self.write("rows.txt", text)
        self.assertEqual(self.lines("run", "--file", "rows.txt"), given)
        rows = "".join(json.dumps({"words": row}) + "\n" for row in self.rows)
        told = self.lines("run", "--file", "-", "--text-column", "words", input=rows)
        self.assertEqual(told, given)

    def test_what_a_killed_one_has_left_is_removed(self):
        labels = ["warm" if "red" in row.split() else "cold" for row in self.rows]
        self.table("train.csv", {"text": self.rows, "label": labels})
        self.trained("--label-column", "label")
        place = self.folder / "temporary"
        # It waits for its input, with its folder made.
        killed = subprocess.Popen([THAW, "predict", "run", "--file", "-"], cwd=self.folder,
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL,
                                  env=dict(os.environ, OMP_NUM_THREADS="1", TMPDIR=str(place)))
        self.addCleanup(killed.stdin.close)
        for _ in range(600):
            if list(place.glob("thaw-predict-*/request.json")):
                break
            time.sleep(0.1)
        [left] = place.glob("thaw-predict-*")

        def predicted():
            done = subprocess.run([THAW, "predict", "run", "--text", "red"], cwd=self.folder,
                                  capture_output=True, text=True, check=False,
                                  env=dict(os.environ, OMP_NUM_THREADS="1", TMPDIR=str(place)))
            self.assertEqual(done.returncode, 0, done.stderr)

        hour_ago = (time.time() - 3600,) * 2
        os.utime(left, hour_ago)
        predicted()
        self.assertTrue((left / "request.json").exists(), "it is in use")
        script = pathlib.Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
        killed.kill()
        killed.wait()
        killed.stdin.close()
        for process in script:  # which ends where its input does
            for _ in range(600):
                if not pathlib.Path(f"/proc/{process}").exists():
                    break
                time.sleep(0.1)
        os.utime(left, hour_ago)
        predicted()
        self.assertEqual(os.listdir(place), [])

    def test_several_classes(self):
        flags = {word: [int(word in row.split()) for row in self.rows] for word in ("red", "the")}
        self.table("train.csv", {"text": self.rows, **flags})
        split = self.trained("--label-columns", "red,the")
        given = self.lines("run", "--file", "train.csv")
        self.assertEqual(self.without(given, "text", "truncated"), split)
        self.assertEqual(list(split[0]["probabilities"]), ["red", "the"])

    def test_numbers(self):
        self.table("train.csv", {"text": self.rows, "length": [len(r.split()) for r in self.rows]})
        split = self.trained("--target-column", "length")
        given = self.lines("run", "--file", "train.csv")
        self.assertEqual(self.without(given, "text", "truncated"), split)

    def test_pairs(self):
        seconds = list(reversed(self.rows))
        labels = ["longer" if len(a) > len(b) else "not" for a, b in zip(self.rows, seconds)]
        self.table("train.csv", {"text": self.rows, "text_pair": seconds, "label": labels})
        split = self.trained("--pair-column", "text_pair", "--label-column", "label")
        given = self.lines("run", "--file", "train.csv")
        self.assertEqual(self.without(given, "text", "text_pair", "truncated"), split)
        self.assertEqual([(line["text"], line["text_pair"]) for line in given],
                         list(zip(self.rows, seconds)))
        said = self.lines("run", "--text", self.rows[0], "--text-pair", seconds[0])
        self.assertEqual(said[0]["class"], split[0]["class"])
        lone = self.refused("predict", "run", "--text", "a")
        self.assertIn("was trained on pairs of texts", lone)
        lone = self.refused("predict", "run", "--text", "a", "--text", "b", "--text-pair", "c")
        self.assertIn("--text-pair: 1 given for 2 of --text", lone)

    def test_words(self):
        with open(self.folder / "train.conll", "w", encoding="utf-8") as file:
            for row in self.rows:
                file.writelines(f"{word}\t{'B' if word == 'red' else 'O'}\n"
                                for word in row.split())
                file.write("\n")
        self.prepare("tags", "--train", "train.conll", "--validation", "train.conll", "--test",
                     "train.conll", "--tokenizer", "tokenizer.json", "--max-tokens", 8, "--output",
                     "texts.h5")
        self.thaw("train", self.config, "--run-dir", "run", "--model.tokenizer", "tokenizer.json")
        split = self.lines("run", "--split", "test")
        self.write("rows.txt", "\n".join(self.rows) + "\n")
        given = self.lines("run", "--file", "rows.txt")
        for row, line, own in zip(self.rows, given, split, strict=True):
            words = row.split()
            # A token a word, behind the one that begins the text; 8 in all.
            classes = own["classes"][1:-1] + [None] * (len(words) - 6)
            self.assertEqual(line["text"], row)
            self.assertEqual([w["word"] for w in line["words"]], words)
            self.assertEqual([w["class"] for w in line["words"]], classes)
            self.assertNotIn("classes", line)

    def test_what_is_refused(self):
        labels = ["warm" if "red" in row.split() else "cold" for row in self.rows]
        self.table("train.csv", {"text": self.rows, "label": labels})
        shutil.copy(self.folder / "tokenizer.json", self.folder / "kept.json")
        self.trained("--label-column", "label")
        for arguments, said in (
            (["--text", "a", "--file", "train.csv"], "give one of them"),
            (["--text", "a", "--split", "test"], "--split"),
            (["--text", ""], "--text: is empty"),
            (["--text", "a", "--text-pair", "b"], "was trained on single texts"),
            (["--images", "a.png"], "was trained on texts"),
            (["--file", "nowhere.csv"], "nowhere.csv"),
            (["--file", "train.csv", "--text-column", "label2"], '"label2"'),
            (["--text", "a", "--text-column", "b"], "--text-column"),
            (["--text-pair", "b"], "--text-pair"),
        ):
            self.assertIn(said, self.refused("predict", "run", *arguments), arguments)
        # Another tokenizer than that of training.
        value = json.loads((self.folder / "kept.json").read_text(encoding="utf-8"))
        value["model"]["vocab"]["red"], value["model"]["vocab"]["blue"] = (
            value["model"]["vocab"]["blue"], value["model"]["vocab"]["red"])
        self.write("other.json", json.dumps(value))
        said = self.refused("predict", "run", "--text", "a", "--model.tokenizer", "other.json")
        self.assertIn("tokenizer", said)
        self.assertTrue(self.lines("run", "--text", "a", "--model.tokenizer", "kept.json"))
        done = self.thaw("predict", "run", "--text", "a", status=2,
                         environment={"THAW_PYTHON": "/nowhere/python"})
        self.assertIn("have THAW_PYTHON in the environment name one", done.stderr)


@unittest.skipUnless(PIL, "Pillow is not installed")
class Images(GivenTest):
    def setUp(self):
        super().setUp()
        from PIL import Image

        generator = np.random.default_rng(2)
        self.paths = []
        for name, level in (("dark", 40), ("light", 180)):
            os.makedirs(self.folder / "images" / name)
            for number in range(12):
                size = (20 + number % 3, 16)
                pixels = generator.integers(0, 60, (size[1], size[0], 3)) + level
                path = f"images/{name}/{number:02}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(self.folder / path)
                self.paths.append(path)
        self.prepare("images", "--train", "images", "--validation", "images", "--test", "images",
                     "--size", 16, "--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.3", "--output",
                     "images.h5")
        self.config = self.resnet_config()
        self.thaw("train", self.config, "--run-dir", "run")

    def test_files_and_folders(self):
        split = self.lines("run", "--split", "test")
        os.remove(self.folder / "images.h5")
        given = self.lines("run", "--images", "images")
        self.assertEqual([line["file"] for line in given], self.paths)
        self.assertEqual(self.without(given, "file"), split)
        some = self.lines("run", "--images", self.paths[3], self.paths[15])
        self.assertEqual([(line["index"], line["file"]) for line in some],
                         [(0, self.paths[3]), (1, self.paths[15])])
        self.assertEqual([line["class"] for line in some], [split[3]["class"], split[15]["class"]])

    def test_what_is_refused(self):
        os.makedirs(self.folder / "empty")
        self.write("text.png", "no image")
        for arguments, said in ((["--images", "empty"], "empty: holds no images"),
                                (["--images", "text.png"], "text.png"),
                                (["--images", "nowhere.png"], "nowhere.png"),
                                (["--text", "a"], "was trained on images: give --images")):
            self.assertIn(said, self.refused("predict", "run", *arguments))


if __name__ == "__main__":
    command_fixture.require()
    if not tokenizers:
        print("SKIPPED: tokenizers is not installed")
        sys.exit(77)
    unittest.main()
