"""Train on my CSV: the front page's three commands."""

from journey import TOPICS, Journey, main


class Csv(Journey):
    def test_three_commands(self):
        prepared, trained, evaluated = self.trained()
        self.assertIn("data/mine.h5", prepared)
        self.assertIn("validation", prepared)
        self.assertIn("Done:", trained)
        self.assertIn("on 2 ranks", trained)
        for stage in ("head", "all"):
            self.assertIn(stage, trained)
        figures = self.json_line(evaluated)
        self.assertEqual(figures["split"], "test")
        self.assertEqual(figures["samples"], 18)
        self.assertLessEqual(figures["accuracy"], 1)
        inspected = self.type("build/thaw inspect data/mine.h5")
        for topic in TOPICS:
            self.assertIn(topic, inspected)


if __name__ == "__main__":
    main()
