"""Schedules from the outside: triggers, presets and policies at 1 and 3 ranks, and their errors."""

import unittest

from command_fixture import CommandTest, h5py, require

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
        self.assertIn("plateau of validation/loss (patience 2) or 8 epochs", text)
        self.assertIn("at most 32", text)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
