"""Classify this sentence: by the run's folder alone."""

from journey import TOPICS, Journey, main


class Classify(Journey):
    def test_a_sentence_gets_a_class(self):
        self.trained()
        (command,) = self.commands("launch/README.md", "Classify a sentence")
        said = self.type(command)
        self.assertIn("my card has not arrived", said)
        self.assertTrue(any(topic in said for topic in TOPICS), said)


if __name__ == "__main__":
    main()
