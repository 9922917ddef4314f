"""`thaw train --resume`: what goes on is what was never interrupted; what cannot go on is refused."""

import json
import shutil
import unittest

from command_fixture import CommandTest, require

TWO_STAGES = """
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.05
until = { epochs = 1 }

[[schedule.stage]]
name = "upper"
groups = ["layer3", "head"]
learning-rate = { head = 0.01, layer3 = 0.02 }
until = { epochs = 1 }
"""
ADDED = """
[[schedule.stage]]
name = "more"
groups = ["head"]
learning-rate = 0.01
until = { steps = 2 }
"""
EVERY_STEP = ("--checkpoint.every-steps", "1", "--checkpoint.keep", "100")
TOP_DOWN = '[schedule]\npreset = "top-down"\nlearning-rate = 1e-3\nstage-epochs = 1'


class ResumeTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.images()
        self.config = self.resnet_config()

    def figures(self, run, first=0):
        """What the log says of steps after `first`, but for times."""
        keys = ("event", "step", "epoch", "stage", "loss", "learning_rates", "samples", "accuracy",
                "best", "gradient_norm")
        lines = (self.folder / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [{key: line[key] for key in keys if key in line} for line in map(json.loads, lines)
                if line["event"] in ("step", "evaluation", "transition", "end")
                and line["step"] > first]

    def weights(self, run, name="weights.safetensors"):
        return (self.folder / run / name).read_bytes()

    def checkpoints(self, run):
        return sorted(p.name for p in (self.folder / run / "checkpoints").iterdir())

    def place(self, run, step):
        (found,) = [name for name in self.checkpoints(run) if name.startswith(f"step-{step:09}")]
        return f"{run}/checkpoints/{found}"


class Exact(ResumeTest):
    def compare(self, config, ranks, steps, *flags):
        """Each checkpoint goes on, in a folder of its own, to the bits of the whole run."""
        self.thaw("train", config, "--run-dir", "whole", *EVERY_STEP, *flags, ranks=ranks)
        for step in steps:
            run = f"from{step}"
            self.thaw("train", config, "--run-dir", run, "--resume", self.place("whole", step),
                      *flags, ranks=ranks)
            self.assertEqual(self.weights(run), self.weights("whole"), f"step {step}")
            rest = [line for line in self.figures("whole", step)]
            found = [line for line in self.figures(run, step)]
            for line in rest + found:
                line.pop("best", None)  # what was best elsewhere does not count here
            self.assertEqual(found, rest)
        shutil.rmtree(self.folder / "whole")

    def test_resnet_with_synchronised_batch_norm_on_two_ranks(self):
        self.compare(self.config, 2, (1, 4, 6, 7), "--data.crop-padding", "2")

    def test_resnet_with_local_batch_norm_on_two_ranks(self):
        self.compare(self.config, 2, (3, 6), "--train.batch-norm", "local")

    def test_bert_with_dropout_and_rows_of_embeddings(self):
        self.texts(train=50)
        self.tiny_bert()
        config = self.bert_config(schedule=TOP_DOWN)
        self.compare(config, 3, (5, 14), "--train.clip-norm", "1")
        self.compare(config, 0, (2,), "--train.micro-batch", "5")

    def test_ranks_may_change(self):
        flags = ("--train.precision", "float64")
        self.thaw("train", self.config, "--run-dir", "whole", *EVERY_STEP, *flags, ranks=2)
        for ranks, source, step in ((3, "whole", 3), (1, "on3", 6)):
            run = f"on{ranks}"
            done = self.thaw("train", self.config, "--run-dir", run, "--resume",
                             self.place(source, step), *EVERY_STEP, *flags, ranks=ranks)
            self.assertIn("bits may differ", done.stderr)
            losses, expected = [[line["loss"] for line in self.figures(each, step)
                                 if line["event"] == "step"] for each in (run, "whole")]
            self.assertEqual(len(losses), 8 - step)
            for a, b in zip(losses, expected):
                self.assertLess(abs(a - b), 1e-9 * abs(b))


class Automatic(ResumeTest):
    def run_whole(self, *flags):
        self.thaw("train", self.config, "--run-dir", "run", *EVERY_STEP, *flags)

    def test_a_finished_run_says_so(self):
        self.run_whole()
        before = {p: p.read_bytes() for p in (self.folder / "run").iterdir()
                  if p.is_file() and not p.name.startswith(".lease")}
        for ranks in (0, 2):
            done = self.thaw("train", self.config, "--run-dir", "run", ranks=ranks)
            self.assertEqual(done.stdout.count("this run is finished"), 1)
        self.assertEqual(before, {p: p.read_bytes() for p in before})

    def test_a_damaged_checkpoint_is_passed_over_and_the_log_cut_back(self):
        self.run_whole()
        expected, weights = self.figures("run"), self.weights("run")
        for name in self.checkpoints("run")[-2:]:
            shard = self.folder / "run/checkpoints" / name / "shard-0-of-1.safetensors"
            damaged = bytearray(shard.read_bytes())
            damaged[len(damaged) // 2] ^= 1
            shard.write_bytes(damaged)
        (self.folder / "run/weights.safetensors").unlink()
        done = self.thaw("train", self.config, "--run-dir", "run")
        self.assertEqual(done.stderr.count("passed over a checkpoint"), 2, done.stderr)
        self.assertIn("shard-0-of-1.safetensors: damaged", done.stderr)
        self.assertIn("Goes on after step 6", done.stdout)
        self.assertEqual(self.figures("run"), expected)
        self.assertEqual(self.weights("run"), weights)
        (resume,) = self.metrics("run", "resume")
        self.assertEqual((resume["step"], len(resume["passed_over"])), (6, 2))
        aside = [name for name in self.checkpoints("run") if name.startswith("set-aside.")]
        self.assertEqual(len(aside), 2)

    def test_a_path_to_damage_is_refused_and_nothing_is_lost(self):
        self.run_whole()
        path = self.folder / self.place("run", 3)
        before = (self.folder / "run/metrics.jsonl").read_bytes()
        (path / "state.json").write_bytes((path / "state.json").read_bytes()[:-1])
        for ranks in (0, 2):
            message = self.refused("train", self.config, "--run-dir", "run", "--resume", path,
                                   ranks=ranks)
            self.assertIn(f"{path}/state.json: has", message)
        shutil.rmtree(path)
        message = self.refused("train", self.config, "--run-dir", "run", "--resume", path)
        self.assertIn(f"--resume {path}: there is no such folder", message)
        self.assertEqual((self.folder / "run/metrics.jsonl").read_bytes(), before)
        self.assertEqual(len(self.checkpoints("run")), 7)

    def test_an_older_checkpoint_of_the_same_folder(self):
        self.run_whole()
        expected, weights = self.figures("run"), self.weights("run")
        self.thaw("train", self.config, "--run-dir", "run", "--resume", self.place("run", 2))
        self.assertEqual(self.figures("run"), expected)
        self.assertEqual(self.weights("run"), weights)

    def test_never_and_other_peoples_folders(self):
        self.run_whole()
        self.assertIn("holds a run already",
                      self.refused("train", self.config, "--run-dir", "run", "--resume", "never"))
        self.thaw("train", self.config, "--run-dir", "other")
        self.assertIn("holds a run already", self.refused(
            "train", self.config, "--run-dir", "other", "--resume", self.place("run", 2)))

    def test_a_run_that_ended_before_its_first_checkpoint_begins_again(self):
        self.run_whole()
        expected = self.figures("run")
        shutil.rmtree(self.folder / "run/checkpoints")
        self.assertIn("holds a run already", self.refused("train", self.config, "--run-dir", "run"))
        for name in ("weights.safetensors", "summary.json"):
            (self.folder / "run" / name).unlink()
        self.assertIn("train.seed: was 0", self.refused("train", self.config, "--run-dir", "run",
                                                        "--train.seed", "1"))
        self.thaw("train", self.config, "--run-dir", "run")
        self.assertEqual(self.figures("run"), expected)

    def test_all_checkpoints_damaged(self):
        self.run_whole("--checkpoint.keep", "1", "--checkpoint.keep-best", "false",
                       "--checkpoint.keep-transitions", "false")
        (name,) = self.checkpoints("run")
        (self.folder / "run/checkpoints" / name / "manifest.json").write_text("{}")
        message = self.refused("train", self.config, "--run-dir", "run")
        self.assertIn("no checkpoint in it is good", message)
        self.assertIn("manifest.json", message)


class Changes(ResumeTest):
    def setUp(self):
        super().setUp()
        self.resnet_config(stages=TWO_STAGES)
        self.thaw("train", self.config, "--run-dir", "run", *EVERY_STEP)

    def test_what_alters_the_mathematics_is_refused_by_name(self):
        message = self.refused("train", self.config, "--run-dir", "new", "--resume",
                               self.place("run", 5), "--data.batch", "8", "--train.momentum",
                               "0.5", "--schedule.stage.upper.learning-rate", "1e-5")
        for part in ("command line: --data.batch: was 12 when the run began, is 8 now",
                     "--train.momentum", "schedule.stage.upper.learning-rate"):
            self.assertIn(part, message)
        self.assertFalse((self.folder / "new").exists())

    def test_a_stage_not_yet_reached_may_be_edited(self):
        self.thaw("train", self.config, "--run-dir", "new", "--resume", self.place("run", 3),
                  "--schedule.stage.upper.learning-rate", "1e-5")
        self.assertEqual(self.metrics("new")[-1]["learning_rate"], 1e-5)

    def test_another_model_and_other_data(self):
        self.assertIn("model.depth", self.refused(
            "train", self.config, "--run-dir", "new", "--resume", self.place("run", 3),
            "--model.depth", "32"))
        self.images(seed=1, classes=3, train=38)
        self.assertIn("data.file: holds other data", self.refused(
            "train", self.config, "--run-dir", "new", "--resume", self.place("run", 3)))

    def test_an_appended_stage_goes_on_as_if_it_had_been_there(self):
        self.resnet_config(stages=TWO_STAGES + ADDED)
        self.thaw("train", self.config, "--run-dir", "whole")
        self.thaw("train", self.config, "--run-dir", "run")
        self.assertEqual(self.weights("run"), self.weights("whole"))
        self.assertEqual(self.figures("run"), self.figures("whole"))
        self.assertEqual([s["name"] for s in self.summary("run")["stages"]],
                         ["head", "upper", "more"])

    def test_other_threads_warn_and_deterministic_refuses(self):
        place = self.place("run", 3)
        done = self.thaw("train", self.config, "--run-dir", "new", "--resume", place,
                         "--train.threads", "3")
        self.assertIn("threads of a rank (train.threads): ", done.stderr)
        self.assertIn("train.deterministic refuses", self.refused(
            "train", self.config, "--run-dir", "newer", "--resume", place, "--train.threads", "3",
            "--train.deterministic", "true"))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
