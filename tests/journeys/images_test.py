"""Train on my folder of images: a folder of files for each class."""

from journey import Image, Journey, json, main, np, pathlib

COLOURS = {"apple": (200, 30, 30), "leaf": (30, 180, 40), "sky": (60, 90, 220)}


class Images(Journey):
    def photos(self):
        generator = np.random.default_rng(0)
        for name, colour in COLOURS.items():
            (self.folder / "photos" / name).mkdir(parents=True)
            for i in range(12):
                noise = generator.integers(-20, 20, (40, 48, 3))
                Image.fromarray((noise + colour).clip(0, 255).astype(np.uint8)).save(
                    self.folder / "photos" / name / f"{i}.png")

    def test_from_a_folder_to_predictions(self):
        self.photos()
        (new,) = self.commands("launch/README.md", "Train on a folder of images")
        said = self.type(new)
        # The commands that it prints, as they stand.
        commands = "".join(line[2:] + "\n" for line in said.partition("next:")[2].splitlines()
                           if line.startswith("  "))
        for words in ("cd photos-run", "prepare.py images", "thaw check", "thaw train",
                      "predict run"):
            self.assertIn(words, commands)
        said = self.type(f"set -e\n{commands}")
        self.assertIn("data.h5", said)
        self.assertIn("Done:", said)
        lines = [json.loads(line) for line in said.splitlines() if line.startswith('{"index"')]
        self.assertEqual(len(lines), 36)
        right = sum(line["class"] == pathlib.Path(line["file"]).parent.name for line in lines)
        self.assertGreater(right, 18, "colours are told apart by more than chance")


if __name__ == "__main__":
    main()
