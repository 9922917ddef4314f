"""Fine-tune the language model on my questions and answers, and ask it."""

from journey import Journey, main


class Language(Journey):
    def test_questions_and_answers(self):
        self.smollm2()
        self.write("questions.csv", "question,answer\n" + "".join(
            f"what is {a}{b}?,{a}{b} is a word\n" for a in "abcdefghijklm" for b in "nopqrstuvwxyz"))
        prepare, train, ask = self.commands("launch/README.md", "Fine-tune the language model")
        self.assertIn("data/questions.h5", self.type(prepare))
        self.assertIn("Done:", self.type(train))
        evaluations = self.metrics("runs/questions", "evaluation")
        self.assertLess(evaluations[-1]["loss"], evaluations[0]["loss"])
        self.assertTrue(self.type(ask).strip())


if __name__ == "__main__":
    main()
