"""Is it overfitting: what the report and the run's account say of training beside validation."""

from journey import Journey, main


class Overfitting(Journey):
    def test_the_report_says_what_training_beside_validation_tells(self):
        self.trained()
        report, inspect = self.commands("launch/README.md", "See whether it overfits")
        self.assertIn("mine.html", self.type(report))
        page = (self.folder / "mine.html").read_text(encoding="utf-8")
        self.assertIn("overfit", page.lower())
        said = self.type(inspect)
        for words in ("head", "validation", "best"):
            self.assertIn(words, said)


if __name__ == "__main__":
    main()
