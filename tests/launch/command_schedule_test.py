"""Schedules from the outside: triggers, presets and policies at 1 and 3 ranks, and their errors."""

import re
import shutil
import unittest

from command_fixture import CommandTest, h5py, np, require
from safetensors_reader import tensors

TRIGGERS = """
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.2
until = { plateau = { metric = "validation/loss", patience = 2, least-change = 0.02 }, at-most = { epochs = 8 } }

[[schedule.stage]]
name = "upper"
groups = ["layer3", "head"]
learning-rate = 0.01
until = { any = [{ gradient-signal = { group = "layer3", every-steps = 3, least-change = 0.5 } }, { epochs = 3 }] }
"""


class Triggers(CommandTest):
    def test_equal_decisions_at_equal_steps(self):
        self.images()
        config = self.resnet_config(stages=TRIGGERS, extra='precision = "float64"')
        decided = []
        for ranks in (1, 3):
            self.thaw("train", config, "--run-dir", f"run{ranks}", ranks=ranks)
            decided.append([(t["stage"], t["step"]) for t in self.metrics(f"run{ranks}", "transition")]
                           + [len(self.metrics(f"run{ranks}"))])
        self.assertEqual(decided[0], decided[1])
        self.assertLess(decided[0][1][1], 32, "a plateau came before the eighth epoch's end")

    def test_what_is_refused_with_its_line(self):
        self.images()
        with h5py.File(self.folder / "images.h5", "r+") as file:
            del file["validation"]
        stage = '[[schedule.stage]]\nname = "s"\ngroups = ["head"]\nlearning-rate = 1.0\n'
        for until, says in (
                ("until = { plateau = {} }", "needs a validation split"),
                ("until = { threshold = { metric = 'train/loss', value = -1 } }",
                 "the stage would never end"),
                ("until = { seconds = 5 }\ncurve = 'cosine'", "cosine needs a length")):
            message = self.refused("check", self.resnet_config(stages=stage + until))
            self.assertIn(says, message)
            self.assertRegex(message, r"resnet\.toml:\d+: schedule\.stage\[0\]")

    def test_check_says_how_stages_end(self):
        self.images()
        text = self.thaw("check", self.resnet_config(stages=TRIGGERS)).stdout
        self.assertRegex(text, r"plateau of validation/loss \(patience 2\) or 8 .*\n +epochs")
        self.assertIn("at most 32", text)


def units(text):
    """"19.9 GFLOP", "2.5 MB", "0.38 %" or "1,234" as a number."""
    number, _, unit = text.partition(" ")
    scale = {"": 1, "B": 1, "%": 0.01}.get(unit) or {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit[0]]
    return float(number.replace(",", "")) * scale


class Check(CommandTest):
    """`thaw check` tells beforehand what `thaw train` then finds."""

    def tables(self, config, *flags):
        """The rows of the two tables, by stage; cells of broken lines are those of the first."""
        text = self.thaw("check", config, *flags).stdout
        start = text.index("\n  stage ")
        for line in text[start:].splitlines():
            self.assertLessEqual(len(line), 100, line)
        tables = []
        for part in text[start:].split("\n\n"):
            rows = [re.split(r"\s{2,}", line.strip()) for line in part.splitlines()
                    if re.match(r"  \w", line)]
            head = next(i for i, row in enumerate(rows) if row[0] == "stage")
            width = len(rows[head])
            tables.append({row[0]: row for row in rows[head + 1:] if len(row) == width})
        return text, *tables

    def compare_with_a_run(self, config, batch, exactly):
        text, contents, costs = self.tables(config)
        self.thaw("train", config, "--run-dir", "run", "--distributed.embedding-rows", "off", ranks=2)
        summary = self.summary("run")
        transitions = {t["stage"]: t for t in self.metrics("run", "transition")}
        all_parameters = sum(value.size for name, value in
                             tensors(self.folder / "run/weights.safetensors").items()
                             if "running" not in name and "num_batches" not in name)
        self.assertEqual(list(costs), [stage["name"] for stage in summary["stages"]])
        for stage in summary["stages"]:
            with self.subTest(stage["name"]):
                _, active, share, stops_at, forward, inputs, weights, sent = costs[stage["name"]]
                transition = transitions[stage["name"]]
                self.assertEqual(units(active), stage["active_parameters"])
                self.assertAlmostEqual(units(share), stage["active_parameters"] / all_parameters, 4)
                self.assertEqual(stops_at, transition["backward_cut"])
                self.assertAlmostEqual(units(sent) / stage["bytes_reduced_per_step"], 1, delta=0.05)
                measured = stage["flops_per_sample"]
                for shown, kind in ((forward, "forward"), (inputs, "input_gradients"),
                                    (weights, "weight_gradients")):
                    expected = measured[kind] * batch
                    self.assertLessEqual(abs(units(shown) - expected),
                                         (0.06 if exactly else 0.4) * expected, kind)
                self.assertEqual(units(contents[stage["name"]][-1]), stage["steps"])
        return text

    def test_a_resnet(self):
        self.images()
        text = self.compare_with_a_run(self.resnet_config(), batch=12, exactly=True)
        self.assertIn("head 0.05", text)
        self.assertRegex(text, r"upper +layer3, head +layer3 … head 0\.01 +1 epoch +4")
        self.assertIn("2.00 epochs in all", text)

    def test_bert_with_a_rate_for_each_group(self):
        self.texts()
        self.tiny_bert(layers=6, hidden=64)
        config = self.bert_config(schedule="""
[schedule]
preset = "top-down"
groups-per-stage = 3
learning-rate = 1e-3
discriminative = 2.6
curve = "linear"
""")
        text = self.compare_with_a_run(config, batch=16, exactly=False)
        self.assertIn(f"encoder.0 {1e-3 / 2.6 ** 6:g}", text)
        self.assertIn("only these travel", self.tables(config)[0])
        self.assertNotIn("only these travel",
                         self.tables(config, "--distributed.embedding-rows", "off")[0])

    def test_a_policy(self):
        self.images()
        text, _, costs = self.tables(self.resnet_config(
            stages="[schedule]\npreset = 'random'\nlearning-rate = 0.1\ntotal-steps = 300"))
        self.assertIn("2 drawn every 100 steps of stem, layer1 … layer3, ", text)
        self.assertIn("head; always stem, head", text)
        self.assertEqual(costs["random"][2:4], ["100.00 %", "stem"])
        self.assertIn("the figures are those of all groups", text)


PRESETS = {
    "chain-thaw": "stage-steps = 2\nthawed-warmup-steps = 2\noptimizer-state = 'keep-staying'",
    "head-then-all": "stage-epochs = 1\nfinal-learning-rate = 0.001",
    "freeze-out": "total-epochs = 3\ncurve = 'cosine'\nscale-rates = true\nfreeze-plan = 'cubic'",
    "random": "total-epochs = 3\npolicy-every-steps = 3\nrandom-groups = 1\nthawed-rate-cap = 0.01",
    "auto-freeze": "total-epochs = 4\npolicy-every-steps = 2",
    "gradient-guided": "total-epochs = 3\npolicy-every-steps = 3\nrandom-groups = 1",
}


class PresetsAndPolicies(CommandTest):
    """Each preset as it is, written out, and replayed: the same run, at 1 and 3 ranks."""

    def preset(self, name):
        return self.resnet_config(f"{name}.toml", stages=f"""
[schedule]
preset = "{name}"
learning-rate = 0.05
{PRESETS[name]}
""", extra='precision = "float64"')

    def weights(self, run):
        return (self.folder / run / "weights.safetensors").read_bytes()

    def decisions(self, run):
        return [(t["stage"], t["step"], sorted(t["groups"])) for t in
                self.metrics(run, "transition")] + [len(self.metrics(run))]

    def check_preset(self, name):
        self.images()
        config = self.preset(name)
        self.thaw("train", config, "--run-dir", "one")
        # Whether gradients overlap backward is measured anew in each run, and may change bits.
        self.thaw("train", config, "--run-dir", "three", "--distributed.overlap", "off", ranks=3)
        self.assertEqual(self.decisions("one"), self.decisions("three"))

        explicit = self.thaw("schedule", config).stdout
        self.assertNotIn("preset", explicit)
        self.resnet_config("explicit.toml", stages=explicit, extra='precision = "float64"')
        self.thaw("train", "explicit.toml", "--run-dir", "explicit")
        self.assertEqual(self.decisions("explicit"), self.decisions("one"))
        self.assertEqual(self.weights("explicit"), self.weights("one"))

        replay = self.thaw("schedule", "--from", "three").stdout
        self.assertNotIn("policy", replay)
        self.write("replay.toml", replay)
        self.thaw("train", "replay.toml", "--run-dir", "replay", ranks=3)
        self.assertEqual(self.decisions("replay"), self.decisions("three"))
        self.assertEqual(self.weights("replay"), self.weights("three"))

    def test_chain_thaw(self):
        self.check_preset("chain-thaw")

    def test_head_then_all(self):
        self.check_preset("head-then-all")

    def test_freeze_out(self):
        self.check_preset("freeze-out")
        self.assertEqual(self.decisions("one")[-2][2], ["head"])

    def test_random(self):
        self.check_preset("random")
        sets = {tuple(d[2]) for d in self.decisions("one")[:-1]}
        self.assertGreater(len(sets), 1)
        for groups in sets:
            self.assertEqual(len(groups), 3)  # stem, head, and one drawn
            self.assertLessEqual({"stem", "head"}, set(groups))

    def test_auto_freeze(self):
        self.check_preset("auto-freeze")
        self.assertGreater(len(self.decisions("one")), 2, "something froze")

    def test_gradient_guided(self):
        self.check_preset("gradient-guided")
        for decision in self.decisions("one")[:-1]:
            self.assertEqual(len(decision[2]), 3)  # stem, head, and one drawn

    def test_from_needs_a_run(self):
        self.assertIn("none: there is no such folder", self.refused("schedule", "--from", "none"))
        self.assertIn("give a configuration file", self.refused("schedule"))


class OwnGroups(CommandTest):
    """[[model.group]] at any grain: active tensors train as ever, all others stay."""

    def one_step(self, run, config, groups, active):
        """Weights after one plain step of gradient descent."""
        text = (self.folder / config).read_text().split("[[schedule.stage]]")[0]
        text = text.replace("[data]", groups + "\n[data]")
        self.write(f"{run}.toml", text + f"""
[[schedule.stage]]
name = "only"
groups = {active}
learning-rate = 0.1
until = {{ steps = 1 }}
""")
        self.thaw("train", f"{run}.toml", "--run-dir", run, "--train.optimizer", "sgd",
                  "--train.momentum", "0", "--train.weight-decay", "0",
                  "--train.frozen-dropout", "on")
        return tensors(self.folder / run / "weights.safetensors")

    def compare(self, config, groups, name, is_active):
        every = self.one_step("every", config, "", '["*"]')
        self.assertTrue(any(is_active(key) for key in every))
        some = self.one_step("some", config, groups, f'["{name}"]')
        # One more run from the same weights, whose rate moves nothing.
        self.thaw("train", "some.toml", "--run-dir", "none", "--schedule.stage.only.learning-rate",
                  "0", "--train.frozen-dropout", "on")
        start = tensors(self.folder / "none/weights.safetensors")
        changed = 0
        for key, value in some.items():
            if "running" in key or "num_batches" in key:
                continue
            if is_active(key):
                scale = np.abs(every[key] - start[key]).max()
                self.assertLess(np.abs(value - every[key]).max(), 1e-3 * scale + 1e-9, key)
                changed += not np.array_equal(value, start[key])
            else:
                self.assertTrue(np.array_equal(value, start[key]), key)
        self.assertGreater(changed, 0)

    def test_single_tensors_of_bert(self):
        self.texts()
        self.tiny_bert()
        for kind, pattern in (("queries", "attention.self.query.weight"),
                              ("biases", "output.dense.bias"),
                              ("norms", "LayerNorm.weight")):
            with self.subTest(kind):
                config = self.bert_config(schedule="[[schedule.stage]]", extra="seed = 5")
                groups = f"""
[[model.group]]
name = "rest"
parameters = ["*", "!encoder*{pattern}"]
[[model.group]]
name = "{kind}"
parameters = ["encoder*{pattern}"]
"""
                self.compare(config, groups, kind,
                             lambda key, p=pattern: key.startswith("encoder") and key.endswith(p))
                for run in ("every", "some", "none"):
                    shutil.rmtree(self.folder / run)

    def test_what_is_refused(self):
        self.images()
        for groups, says in (
                ('[[model.group]]\nname = "a"\nparameters = ["layer1.*"]', "is in no group"),
                ('[[model.group]]\nname = "a"\nparameters = ["*"]\n'
                 '[[model.group]]\nname = "b"\nparameters = ["bn1.*"]', "is in two groups"),
                ('[[model.group]]\nname = "a"\nparameters = ["*", "!conv1.weigth"]',
                 'did you mean "conv1.weight"?')):
            text = (self.folder / self.resnet_config()).read_text()
            self.write("own.toml", text.replace("[data]", groups + "\n[data]"))
            message = self.refused("check", "own.toml")
            self.assertIn(says, message)
            self.assertRegex(message, r"own\.toml:\d+: model\.group")


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
