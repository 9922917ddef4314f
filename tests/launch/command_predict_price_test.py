"""`thaw check --predict`: what is told before is what a run says after, as far as it does not hang
on the machine's speed: bytes, steps, memory at most; and what it refuses."""

import json
import os
import time
import unittest

from command_fixture import CommandTest, require

STAGES = """[schedule]
preset = "top-down"
learning-rate = 1e-4
stage-epochs = 2"""
NETWORK = """
name = "two hosts"
ranks-per-host = 1

[inside]
latency = 1e-6
bandwidth = 5e9

[between]
latency = 5e-5
bandwidth = 1.25e8
"""


class PriceTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.texts(train=150, vocabulary=3000)
        self.tiny_bert(layers=2, vocabulary=3000)
        self.config = self.bert_config(schedule=STAGES, extra="threads = 1")

    def price(self, *flags, config=None, **settings):
        done = self.thaw("check", config or self.config, "--predict", "--json", *flags, **settings)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def told_and_run(self, *flags, ranks=0, config=None):
        """The price, and the run that was meant."""
        told = self.price(*flags, ranks=ranks, config=config)
        self.thaw("train", config or self.config, "--run-dir", "run", *flags, ranks=ranks)
        return told, self.summary("run")

    def compare(self, told, summary):
        self.assertEqual(told["steps"], summary["steps"])
        self.assertEqual(told["ranks"], summary["ranks"])
        self.assertGreater(told["probe_seconds"], 0)
        for price, row in zip(told["stages"], summary["stages"], strict=True):
            with self.subTest(stage=row["name"]):
                self.assertEqual(price["name"], row["name"])
                self.assertEqual(price["steps"], row["steps"])
                self.assertTrue(price["bytes_are_exact"])
                self.assertEqual(price["bytes_reduced_per_step"], row["bytes_reduced_per_step"])
                self.assertGreaterEqual(price["peak_memory_bytes"], row["peak_memory_bytes"])
                self.assertAlmostEqual(sum(price["step"].values()), price["step_seconds"])
                # A machine under load: that it is a time at all, no more.
                ratio = price["step_seconds"] / row["step_seconds_median"]
                self.assertTrue(0.02 < ratio < 50, ratio)
                self.assertGreater(price["steps_seconds"], 0)
                whole = sum(price[part] for part in (
                    "steps_seconds", "transition_seconds", "cache_seconds",
                    "evaluation_seconds", "saving_seconds"))
                self.assertAlmostEqual(price["seconds"], whole)
        self.assertAlmostEqual(told["seconds"], sum(row["seconds"] for row in told["stages"]))
        self.assertEqual(told["peak_memory_bytes"],
                         max(row["peak_memory_bytes"] for row in told["stages"]))


class Told(PriceTest):
    def test_one_rank(self):
        told, summary = self.told_and_run()
        self.compare(told, summary)
        self.assertEqual({row["bytes_reduced_per_step"] for row in told["stages"]}, {0})
        self.assertEqual({row["step"]["exposed"] for row in told["stages"]}, {0})
        evaluations = [line["stage"] for line in self.metrics("run", "evaluation")]
        for row in told["stages"]:
            self.assertEqual(row["evaluations"], evaluations.count(row["name"]), row["name"])
            self.assertGreater(row["evaluation_seconds"], 0)

    def test_ranks_as_they_are(self):
        told, summary = self.told_and_run(ranks=2)
        self.compare(told, summary)
        sent = [row["bytes_reduced_per_step"] for row in told["stages"]]
        self.assertGreater(sent[0], 0)
        self.assertEqual(sent, sorted(sent))

    def test_an_embedding_by_its_rows(self):
        """As many rows travel as the last batch has different tokens: told from the data alone."""
        self.texts(train=150, vocabulary=30000)
        self.tiny_bert(layers=1, hidden=64)
        schedule = '[schedule]\npreset = "full"\nlearning-rate = 1e-4\nstage-steps = 7'
        schedule += "\nstage-epochs = 0"
        config = self.bert_config("rows.toml", schedule=schedule, extra="threads = 1")
        told, summary = self.told_and_run(ranks=2, config=config)
        self.compare(told, summary)
        (row,) = summary["stages"]
        self.assertLess(row["bytes_reduced_per_step"], 4 * row["active_parameters"])

    def test_images_and_few_samples(self):
        self.images(train=30)
        config = self.resnet_config(extra="threads = 1")
        told, summary = self.told_and_run(config=config)
        self.compare(told, summary)

    def test_canonical_sums_and_sharded_state(self):
        for flags in (("--train.reduction", "canonical", "--train.shards", "4"),
                      ("--distributed.sharding", "gradients")):
            with self.subTest(flags=flags):
                told = self.price(*flags, ranks=2)
                run = f"run-{len(flags)}"
                self.thaw("train", self.config, "--run-dir", run, *flags, ranks=2)
                self.compare(told, self.summary(run))

    def test_ranks_that_it_starts_itself(self):
        done = self.thaw("check", self.config, "--predict", "--json", "--ranks", "2")
        told = json.loads(done.stdout.strip().splitlines()[-1])
        self.assertEqual(told["ranks"], 2)
        self.assertGreater(told["stages"][0]["bytes_reduced_per_step"], 0)

    def test_a_length_that_nobody_knows(self):
        schedule = """[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 1e-3
until = { any = [{ steps = 5 }, { plateau = { metric = "validation/loss", patience = 2 } }] }

[[schedule.stage]]
name = "open"
groups = ["encoder.1", "head"]
learning-rate = 1e-3
until = { plateau = { metric = "validation/loss", patience = 2 } }"""
        told = self.price(config=self.bert_config("open.toml", schedule=schedule))
        self.assertEqual([row["steps"] for row in told["stages"]], [5, 0])
        self.assertEqual([row["may_be_fewer"] for row in told["stages"]], [True, True])
        self.assertGreater(told["stages"][1]["step_seconds"], 0)
        self.assertEqual(told["stages"][1]["seconds"], 0)

    def test_the_cache_of_frozen_layers(self):
        off = self.price("--train.prefix-cache", "off")
        self.assertEqual({row["prefix_cache"] for row in off["stages"]}, {""})
        folder = ("--train.prefix-cache-folder", "cache")
        on = self.price("--train.prefix-cache", "on", *folder)
        self.assertIn("reads the outputs of encoder.1", on["stages"][0]["prefix_cache"])
        self.assertGreater(on["stages"][0]["cache_seconds"], 0)
        # Nothing is left of what was made to measure.
        self.assertEqual([path.name for path in (self.folder / "cache").iterdir()
                          if path.name.startswith("rehearsal")], [])
        self.thaw("train", self.config, "--run-dir", "cached", "--train.prefix-cache", "on",
                  *folder)
        used = [line["stage"] for line in self.metrics("cached", "prefix-cache")
                if line["split"] == "train" and line["used"]]
        told = [row["name"] for row in on["stages"] if row["prefix_cache"].startswith("reads")]
        self.assertEqual(told, used)

    def test_a_cache_that_a_run_has_made(self):
        schedule = """[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 1e-3
until = { epochs = 4 }"""
        config = self.bert_config("head.toml", schedule=schedule, extra="threads = 1")
        flags = ("--train.prefix-cache", "on", "--train.prefix-cache-folder", "cache")
        self.assertGreater(self.price(*flags, config=config)["stages"][0]["cache_seconds"], 0)
        self.thaw("train", config, "--run-dir", "cached", *flags)
        (row,) = self.price(*flags, config=config)["stages"]
        self.assertIn("reads the outputs of encoder.1", row["prefix_cache"])
        self.assertEqual(row["cache_seconds"], 0)

    def test_what_a_killed_rehearsal_left(self):
        old, new = (self.folder / "cache" / name for name in ("rehearsal-1", "rehearsal-2"))
        for folder in (old, new):
            folder.mkdir(parents=True)
            (folder / "made").touch()
        two_days_ago = time.time() - 2 * 24 * 3600
        os.utime(old, (two_days_ago, two_days_ago))
        self.price("--train.prefix-cache", "on", "--train.prefix-cache-folder", "cache")
        self.assertFalse(old.exists())
        self.assertTrue(new.exists(), "whose process may go on")

    def test_policies(self):
        """Rows are the schedule's stages, and memory is at least that of all their segments."""
        schedule = """[[schedule.stage]]
name = "drawn"
groups = ["encoder.*", "head"]
learning-rate = 1e-3
policy = { kind = "random", groups = 1, every-steps = 5, always = ["head"] }
until = { steps = 40 }

[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 1e-3
until = { steps = 5 }"""
        told, summary = self.told_and_run(config=self.bert_config("drawn.toml", schedule=schedule,
                                                                  extra="threads = 1"))
        self.assertEqual([row["name"] for row in told["stages"]], ["drawn", "head"])
        self.assertEqual([row["steps"] for row in told["stages"]], [40, 5])
        rows = summary["stages"]
        drawn = [row for row in rows if row["name"] != "head"]
        self.assertEqual(len(drawn), 8)
        for price, run in zip(told["stages"], (drawn, rows), strict=True):
            self.assertGreaterEqual(price["peak_memory_bytes"],
                                    max(row["peak_memory_bytes"] for row in run))
            self.assertGreater(price["evaluation_seconds"], 0)

    def test_the_text_fits_a_narrow_terminal(self):
        done = self.thaw("check", self.config, "--predict")
        self.assertIn("thaw: runs steps for some 10 s", done.stderr)
        text = done.stdout
        table = text[text.index("price on 1 rank of 1 thread here"):]
        for said in ("ms/step", "memory", "in all: ", "prefix cache"):
            self.assertIn(said, table)
        for line in table.splitlines():
            self.assertLessEqual(len(line), 80, line)


    def test_the_option_may_be_abbreviated(self):
        done = self.thaw("check", self.config, "--pred", "--js")
        self.assertGreater(json.loads(done.stdout.strip().splitlines()[-1])["seconds"], 0)

    def test_another_mpirun_may_be_named(self):
        said = self.thaw("check", self.config, "--predict", "--ranks", "2", status=2,
                         environment={"THAW_MPIEXEC": "no-such-mpirun"}).stderr  # fmt: skip
        self.assertIn("thaw: no-such-mpirun cannot be started", said)
        self.assertIn("THAW_MPIEXEC names the mpirun to use", said)


class Elsewhere(PriceTest):
    def test_a_described_network(self):
        self.write("two.toml", NETWORK)
        told = self.price("--network", "two.toml", "--ranks", "2")
        self.assertEqual([told["network"], told["ranks"]], ["two hosts", 2])
        here = self.price(ranks=2)
        for there, one in zip(told["stages"], here["stages"], strict=True):
            self.assertEqual(there["steps"], one["steps"])
            self.assertGreater(there["step_seconds"], 0)
            if there["bytes_are_exact"]:
                self.assertEqual(there["bytes_reduced_per_step"], one["bytes_reduced_per_step"])
        text = self.thaw("check", self.config, "--predict", "--network", "two.toml", "--ranks",
                         "2").stdout
        self.assertIn('price on 2 ranks of 1 thread of "two hosts"', text)
        self.assertNotIn("does not fit", text)
        self.assertNotIn("fits", there)

    def test_what_does_not_fit_is_said(self):
        self.write("tiny.toml", NETWORK + "[compute]\nmemory-gib = 0.001\n")
        flags = ("--network", "tiny.toml", "--ranks", "2")
        told = self.price(*flags)
        self.assertEqual(told["network_memory_bytes"], int(0.001 * (1 << 30)))
        self.assertEqual({row["fits"] for row in told["stages"]}, {False})
        text = self.thaw("check", self.config, "--predict", *flags).stdout
        self.assertIn("head does not fit into the ", text)

    def test_what_is_refused(self):
        self.write("bad.toml", NETWORK.replace("bandwidth = 5e9", "bandwidth = 5"))
        self.write("two.toml", NETWORK)
        for flags, said in (
                (("--predict", "--network", "bad.toml"), "bandwidth"),
                (("--predict", "--network", "none.toml"), "none.toml"),
                (("--predict", "--network", "no-such-network"), "no-such-network"),
                (("--predict", "--ranks", "0"), "--ranks 0: expected a whole number"),
                (("--predict", "--ranks", "60000"), "describe that with --network"),
                (("--network", "two.toml"), "--network: is of --predict"),
                (("--json",), "--json: is of --predict")):
            with self.subTest(flags=flags):
                self.assertIn(said, self.refused("check", self.config, *flags))
        said = self.refused("check", self.config, "--predict", "--network", "two.toml", "--ranks",
                            "8", "--train.reduction", "canonical", "--train.shards", "4")
        self.assertIn("--ranks 8: a canonical sum over 4 shards", said)
        said = self.refused("check", self.config, "--predict", "--network", "two.toml", ranks=2)
        self.assertIn("one process measures for it", said)
        said = self.refused("check", self.config, "--predict", "--ranks", "3", ranks=2)
        self.assertIn("--ranks 3: 2 were started", said)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
