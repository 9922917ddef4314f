"""Stop and resume: the file `stop`, and the same command again."""

from journey import Journey, main


class Resume(Journey):
    def test_a_run_that_is_stopped_goes_on_with_the_same_command(self):
        self.minilm()
        self.tables()
        prepare, train, _ = self.commands("README.md", "Your own data, in three commands")
        self.type(prepare)
        (stop,) = self.commands("launch/README.md", "Stop it and go on")
        # Long enough to be stopped in its midst.
        train += " --schedule.stage-epochs 15 --data.batch 8"
        job = self.start(train)
        log = self.folder / "runs/mine/metrics.jsonl"
        self.wait_for(lambda: log.exists() and log.read_text().count('"event":"step"') > 5, "a step")
        self.type(stop)
        said = job.communicate(timeout=120)[0]
        self.assertEqual(job.returncode, 75, said)
        self.assertIn("saved", said)
        steps = len(self.metrics("runs/mine"))
        again = self.type(train)
        self.assertIn("Done:", again)
        (resumed,) = self.metrics("runs/mine", "resume")
        self.assertGreaterEqual(resumed["step"], 1)
        numbers = [line["step"] for line in self.metrics("runs/mine")]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertGreater(len(numbers), steps)


if __name__ == "__main__":
    main()
