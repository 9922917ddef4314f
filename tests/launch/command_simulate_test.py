"""`thaw scale --simulate` from the outside: what it measures and replays, that costs can be kept and
used again, that measured points are told apart, and what it refuses."""

import json
import unittest

from command_fixture import ROOT, CommandTest, require

PRESET = """
[schedule]
preset = "top-down"
learning-rate = 0.01
groups-per-stage = 2
"""
# A switch so slow that sums decide.
LAB = """
name = "lab"
[inside]
latency = 1e-6
bandwidth = 8e9
[between]
latency = 1e-4
bandwidth = 1e6
"""


class Simulate(CommandTest):
    def setUp(self):
        super().setUp()
        self.images(train=72)
        self.config = self.resnet_config(extra="threads = 1\n")
        self.write("lab.toml", LAB)

    def simulate(self, *arguments, output="sim", config=None, **options):
        return self.thaw("scale", config or self.config, "--output", output, "--network",
                         "lab.toml", *arguments, **options)  # fmt: skip

    def report(self, output="sim"):
        return json.loads((self.folder / output / "simulation.json").read_text(encoding="utf-8"))

    def rows(self, output="sim", table=0):
        return self.report(output)["tables"][table]["rows"]

    def test_one_rank_is_measured_and_others_replayed(self):
        done = self.simulate("--simulate", "1,2,64")
        self.assertIn("thaw: measures one rank for some 10 s", done.stderr)
        report = self.report()
        self.assertEqual(report["network"], "lab")
        strong, weak = report["tables"]
        self.assertEqual([strong["scaling"], weak["scaling"]], ["strong", "weak"])
        for table, batches in ((strong, [12, 12, 12]), (weak, [12, 24, 768])):
            rows = table["rows"]
            self.assertEqual([row["stage"] for row in rows], ["head"] * 3 + ["upper"] * 3)
            self.assertEqual([row["ranks"] for row in rows], [1, 2, 64] * 2)
            self.assertEqual([row["batch"] for row in rows], batches * 2)
            for row in rows:
                self.assertEqual(row["by"], "simulation")
                self.assertGreater(row["step_seconds"], 0)
                parts = sum(row[f"{part}_seconds"] for part in
                            ("forward", "backward", "optimizer", "other", "communication"))  # fmt: skip
                self.assertAlmostEqual(row["step_seconds"], parts, delta=1e-6)
            self.assertEqual(rows[0]["efficiency"], 1)
            self.assertEqual(rows[0]["communication_seconds"], 0)
            # Some 800 KB of layer3: at a million bytes a second they show.
            self.assertGreater(rows[4]["communication_seconds"], 0.05)
            self.assertGreater(rows[4]["bytes_reduced"], rows[1]["bytes_reduced"])
        upper = strong["stages"][1]
        self.assertTrue(upper["stops"])
        self.assertLess(upper["pays_off_up_to"], 64)
        gains = [each["gain"] for each in upper["settings"]]
        self.assertEqual(gains, sorted(gains, reverse=True))
        wire = [s for s in upper["settings"] if s["setting"] == 'distributed.wire = "bfloat16"']
        self.assertGreater(wire[0]["gain"], 1.2)
        self.assertIn((self.folder / "sim/simulation.md").read_text(encoding="utf-8"), done.stdout)
        page = (self.folder / "sim/simulation.html").read_text(encoding="utf-8")
        self.assertEqual(page.count("<svg"), 2)
        self.assertIn("upper, simulated", page)
        self.assertNotIn("nan", page)
        self.assertFalse((self.folder / "sim/scaling.json").exists())  # nothing was run

        # What was measured serves again, to the same figures; and other questions.
        again = self.simulate("--simulate", "1,2,64", "--costs", "sim/costs.json", output="again")
        self.assertEqual(self.rows("again"), strong["rows"])
        self.assertIn("sim/costs.json", again.stdout)
        self.thaw("scale", self.config, "--output", "fast", "--costs", "sim/costs.json",
                  "--simulate", "2", "--network", "infiniband-100g")  # fmt: skip
        self.assertLess(self.rows("fast")[1]["communication_seconds"],
                        strong["rows"][4]["communication_seconds"] / 50)
        rounded = self.simulate("--simulate", "2", "--costs", "sim/costs.json", "--scaling",
                                "strong", "--distributed.wire", "bfloat16", output="rounded")  # fmt: skip
        self.assertIn("| upper | 2 | 12 | simulation |", rounded.stdout)
        self.assertLess(self.rows("rounded")[1]["sum_seconds"],
                        0.6 * strong["rows"][4]["sum_seconds"])

    def test_measured_points_are_told_apart_and_bytes_are_exact(self):
        config = self.resnet_config("preset.toml", extra="threads = 1\n", stages=PRESET)
        self.simulate("--simulate", "2,8", "--ranks", "1,2", "--scaling", "strong", "--repetitions",
                      "1", "--steps", "2", config=config)  # fmt: skip
        rows = self.rows()
        measured = [row for row in rows if row["by"] == "measurement"]
        simulated = [row for row in rows if row["by"] == "simulation"]
        stages = [row["stage"] for row in measured[::2]]
        self.assertEqual([row["ranks"] for row in measured], [1, 2] * len(stages))
        self.assertEqual([row["ranks"] for row in simulated], [2, 8] * len(stages))
        of_run = {stage["name"]: stage for stage in
                  self.summary("sim/ranks-2-batch-12-0")["stages"]}  # fmt: skip
        for row in simulated[::2]:
            stage = of_run[row["stage"]]
            self.assertEqual(row["bytes_reduced"], stage["bytes_reduced_per_step"])
            self.assertEqual(row["padding_bytes"], stage["padding_bytes_per_step"])
        text = (self.folder / "sim/simulation.md").read_text(encoding="utf-8")
        self.assertIn("| head | 2 | 12 | measurement |", text)
        self.assertIn("| head | 2 | 12 | simulation |", text)
        self.assertTrue((self.folder / "sim/scaling.json").exists())

    def test_what_is_refused(self):
        costs = self.write("costs.json", "{}")
        bad = self.write("bad.toml", LAB.replace("1e-4", "100"))
        for arguments, says in (
                (("--simulate", "8"), "say over which network with --network"),
                (("--network", "lab.toml"), "--network: is for simulations"),
                (("--costs", costs), "--costs: is for simulations"),
                (("--simulate", "0", "--network", "lab.toml"),
                 "--simulate 0: expected a whole number of at least 1"),
                (("--simulate", "2,2", "--network", "lab.toml"), "expected each item once"),
                (("--simulate", "2", "--network", "ethernet-10"), "did you mean ethernet-10g?"),
                (("--simulate", "2", "--network", "none.toml"), "none.toml"),
                (("--simulate", "2", "--network", bad), "bad.toml:7: between.latency"),
                (("--simulate", "2", "--network", "lab.toml", "--costs", costs), "costs.json"),
                (("--simulate", "2", "--network", "lab.toml", "--costs", "none.json"), "none.json"),
                # Runs need a preset, simulations do not.
                (("--simulate", "2", "--network", "lab.toml", "--ranks", "1"),
                 "say which with schedule.preset")):  # fmt: skip
            with self.subTest(arguments=arguments):
                self.assertIn(says, self.refused("scale", self.config, "--output", "sim",
                                                 *arguments))  # fmt: skip
                self.assertFalse((self.folder / "sim").exists())

    def test_costs_of_another_run_are_refused(self):
        self.simulate("--simulate", "2")
        other = self.resnet_config("preset.toml", extra="threads = 1\n", stages=PRESET)
        said = self.refused("scale", other, "--output", "other", "--network", "lab.toml",
                            "--simulate", "2", "--costs", "sim/costs.json")  # fmt: skip
        self.assertIn("holds the stages head, upper", said)
        said = self.refused("scale", self.config, "--output", "other", "--network", "lab.toml",
                            "--simulate", "2", "--costs", "sim/costs.json",
                            "--train.precision", "bfloat16")  # fmt: skip
        self.assertIn("was measured in float32", said)
        said = self.refused("scale", self.config, "--output", "other", "--network", "lab.toml",
                            "--simulate", "2", "--costs", "sim/costs.json", "--train.threads",
                            "2")  # fmt: skip
        self.assertIn("was measured on 1 thread, and train.threads is 2", said)

    def test_costs_of_another_model_are_refused(self):
        self.simulate("--simulate", "2")
        kept = json.loads((self.folder / "sim/costs.json").read_text(encoding="utf-8"))
        head = kept["stages"][0]["gradients"][0]
        for change, says in (
                (lambda costs: costs["groups"][0].update(name="stump"),
                 "is of a model of the groups stump, "),
                (lambda costs: costs["gradients"][0].update(shape=[7, 3]),
                 f'in stage "head" "{head["name"]}" is [7, 3] of float32, and ['),
                (lambda costs: costs["gradients"][0].update(name="fc.other"),
                 f'it has "fc.other", where {self.config} trains "{head["name"]}"'),
                (lambda costs: costs["gradients"].pop(), "it has no more gradients")):  # fmt: skip
            costs = json.loads(json.dumps(kept))
            change(costs["stages"][0])
            self.write("other.json", json.dumps(costs))
            said = self.refused("scale", self.config, "--output", "other", "--network", "lab.toml",
                                "--simulate", "2", "--costs", "other.json")  # fmt: skip
            with self.subTest(says=says):
                self.assertIn(says, said)
                self.assertIn("measure anew, without --costs", said)

    def test_more_ranks_than_shards_are_refused(self):
        self.texts()
        self.tiny_bert()
        config = self.bert_config(extra='threads = 1\nreduction = "canonical"\nshards = 4')
        said = self.refused("scale", config, "--output", "sim", "--network", "lab.toml",
                            "--simulate", "2,8")  # fmt: skip
        self.assertIn("--simulate 8: a canonical sum over 4 shards", said)

    def test_the_names_in_its_help_are_there(self):
        for path in (ROOT / "cluster/networks").glob("*.toml"):
            with self.subTest(network=path.stem):
                said = self.refused("scale", self.config, "--output", "sim", "--network", path.stem,
                                    "--simulate", "2", "--costs", "none.json")  # fmt: skip
                self.assertIn("none.json", said)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
