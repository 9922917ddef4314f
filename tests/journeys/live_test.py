"""See it live: a page that is written anew while a run trains, and whole when it has ended."""

from journey import Journey, main


class Live(Journey):
    def test_the_page_follows_the_run(self):
        self.minilm()
        self.tables()
        prepare, train, _ = self.commands("README.md", "Your own data, in three commands")
        self.type(prepare)
        job = self.start(train + " --schedule.stage-epochs 12 --data.batch 8")
        log = self.folder / "runs/mine/metrics.jsonl"
        self.wait_for(lambda: log.exists() and "evaluation" in log.read_text(), "an evaluation")
        (watch,) = self.commands("launch/README.md", "See it live")
        watching = self.start(watch)
        page = self.folder / "runs/mine/report.html"
        self.wait_for(page.exists, "a page")
        early = page.read_text(encoding="utf-8")
        said = job.communicate(timeout=120)[0]
        self.assertEqual(job.returncode, 0, said)
        self.assertIn("runs/mine/report.html", watching.communicate(timeout=60)[0])
        self.assertEqual(watching.returncode, 0)
        late = page.read_text(encoding="utf-8")
        self.assertNotEqual(early, late)
        self.assertIn("head", late)
        # It takes nothing from elsewhere.
        self.assertNotRegex(late, r"(src|href)=[\"']https?:")


if __name__ == "__main__":
    main()
