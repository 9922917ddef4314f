"""A decoder whose ranks are killed at random steps: the same command goes on, and comes to the bits of
the run that nothing happened to, whichever layers train meanwhile, with dropout, and in bfloat16.

THAW_FAULT_TRIALS sets the number of trials (default 3), THAW_FAULT_SEED their steps.
"""

import os
import random
import shutil
import time
import unittest

from command_decoders_test import LLAMA, Decoders, Switching
from command_fixture import require
from random_kills import figures, train_through_kills

TRIALS = int(os.environ.get("THAW_FAULT_TRIALS", "3"))
SEED = int(os.environ.get("THAW_FAULT_SEED", "1"))
OPTIONS = ("--checkpoint.every-steps", "3", "--train.evaluate-every", "7", "--output.progress", "off")
# 28 steps each: another layer every step; from the last layer down; all of them.
SCHEDULES = {
    "lisa": Switching.LISA.replace("stage-epochs = 32", "stage-epochs = 4"),
    "top-down": '[schedule]\npreset = "top-down"\nlearning-rate = 1e-3\ntotal-epochs = 4',
    "full": '[schedule]\npreset = "full"\nlearning-rate = 1e-3\nstage-epochs = 4',
}
del Switching  # unittest would run its tests here too


class Killed(Decoders):
    def committed(self):
        """The last step that the log has, 0 where it has none."""
        try:
            done = [step for event, step, _ in figures(self.folder / "run") if event == "step"]
        except (FileNotFoundError, ValueError):  # not there, or a line that is half written
            return 0
        return done[-1] if done else 0

    def wait(self, job, step):
        """Until that step, if it comes within a minute."""
        deadline = time.monotonic() + 60
        while self.committed() < step and job.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        return step

    def test_the_weights_are_those_of_the_undisturbed_run(self):
        generator = random.Random(SEED)
        for trial in range(TRIALS):
            name = list(SCHEDULES)[trial % len(SCHEDULES)]
            precision = ("float32", "bfloat16")[trial % 2]
            config = self.config(LLAMA, SCHEDULES[name], f'precision = "{precision}"')
            self.thaw("train", config, "--run-dir", "whole", *OPTIONS, ranks=2)
            expected = figures(self.folder / "whole")
            steps = sorted(generator.sample(range(1, 28), 2))
            moments = iter(steps)
            train_through_kills(self, (config, "--run-dir", "run", *OPTIONS), generator,
                                lambda job: self.wait(job, next(moments)))
            message = f"trial {trial} of seed {SEED}: {name}, {precision}, killed at {steps}"
            print(message, flush=True)
            self.assertEqual(figures(self.folder / "run"), expected, message)
            for weights in ("weights.safetensors", "weights.best.safetensors"):
                self.assertEqual((self.folder / "run" / weights).read_bytes(),
                                 (self.folder / "whole" / weights).read_bytes(), message)
            for run in ("whole", "run"):
                shutil.rmtree(self.folder / run)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
