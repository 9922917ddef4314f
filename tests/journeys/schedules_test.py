"""Which schedule serves my data: `thaw compare`."""

from journey import Journey, json, main


class Schedules(Journey):
    def test_compare_says_which_or_that_it_cannot_say(self):
        self.minilm()
        self.tables()
        self.type(self.commands("README.md", "Your own data, in three commands")[0])
        (compare,) = self.commands("launch/README.md", "Find the schedule that serves")
        said = self.type(compare)
        for schedule in ("full", "head-only", "top-down"):
            self.assertIn(schedule, said)
        words = " ".join(said.split())  # lines are broken anywhere
        self.assertRegex(words, r"serves best: accuracy|serves best these runs cannot say")
        self.assertNotIn("one seed a schedule", words)
        report = json.loads((self.folder / "runs/compare-mine/comparison.json").read_text())
        (table,) = report["fractions"]
        self.assertEqual([row["schedule"] for row in table["rows"]], ["full", "head-only", "top-down"])
        self.assertEqual(len(table["runs"]), 6)
        self.assertTrue((self.folder / "runs/compare-mine/comparison.html").exists())
        # What has been trained is not trained again.
        self.type(compare)


if __name__ == "__main__":
    main()
