"""A run's folder in place of a configuration: what it gives is what configuration and weights give,
wherever it lies and however far it came; `inspect` and `diff` tell what its files tell."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time
import unittest

import command_fixture
from command_fixture import THAW, CommandTest, h5py, two_stages

BEST, LAST = "weights.best.safetensors", "weights.safetensors"


class RunTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.images()
        self.config = self.resnet_config()

    def train(self, run="run", *flags, ranks=0):
        return self.thaw("train", self.config, "--run-dir", run, *flags, ranks=ranks)

    def figures(self, *arguments, ranks=0):
        done = self.thaw("evaluate", *arguments, ranks=ranks)
        found = json.loads(done.stdout)
        found.pop("seconds")
        return found

    def account(self, run="run"):
        return json.loads(self.thaw("inspect", run, "--json").stdout)


class Arguments(RunTest):
    def test_as_configuration_and_weights(self):
        self.train()
        of_best = self.figures(self.config, "--weights", f"run/{BEST}")
        of_last = self.figures(self.config, "--weights", f"run/{LAST}")
        self.assertEqual(self.figures("run"), of_best)
        self.assertEqual(self.figures("run/", "--weights", "best", "--split", "test"), of_best)
        self.assertEqual(self.figures("run", "--weights", "last"), of_last)
        self.assertEqual(self.figures("run", "--weights", f"run/{LAST}"), of_last)
        on_two = self.figures("run", ranks=2)
        self.assertAlmostEqual(on_two["loss"], of_best["loss"], places=5)
        self.assertIn(BEST, self.thaw("evaluate", "run").stderr)
        said = [self.thaw("predict", *given).stdout
                for given in (("run",), (self.config, "--weights", f"run/{BEST}"))]
        self.assertEqual(*said)
        for name, given in (("a", ["run"]), ("b", [self.config, "--weights", f"run/{BEST}"])):
            self.thaw("export", *given, "--format", "safetensors", f"{name}.safetensors")
        self.assertEqual(*((self.folder / f"{name}.safetensors").read_bytes() for name in "ab"))

    def test_flags_that_contradict_are_refused_by_name(self):
        self.train()
        for flag, value in (("--model.depth", "32"), ("--train.momentum", "0.5"),
                            ("--schedule.preset", "full"), ("--model.weights", f"run/{LAST}"),
                            ("--task.kind", "regression"), ("--data.seed", "3")):
            for command in (["evaluate", "run"], ["predict", "run"], ["export", "run", "out"]):
                said = self.refused(*command, flag, value)
                self.assertIn(f"command line: {flag}: ", said)
        self.assertIn('did you mean', self.refused("evaluate", "run", "--model.dept", "20"))
        same = self.figures("run")
        again = self.figures("run", "--model.depth", "20", "--train.optimizer", "sgd")
        self.assertEqual(again, same)
        moved = self.figures("run", "--data.batch", "3", "--train.precision", "float64")
        self.assertAlmostEqual(moved["loss"], same["loss"], places=4)
        self.images("others.h5", seed=7)
        others = self.figures("run", "--data.file", "others.h5")
        self.assertEqual(others, self.figures(self.config, "--data.file", "others.h5", "--weights",
                                              f"run/{BEST}"))

    def test_moved_with_its_data_and_without(self):
        self.train("runs/a")
        found = self.figures("runs/a")
        os.makedirs(self.folder / "elsewhere")
        for name in ("runs", "images.h5"):
            shutil.move(self.folder / name, self.folder / "elsewhere" / name)
        os.remove(self.folder / self.config)
        self.assertEqual(self.figures("elsewhere/runs/a"), found)
        os.remove(self.folder / "elsewhere/images.h5")
        said = self.refused("evaluate", "elsewhere/runs/a", ranks=2)
        self.assertIn("its data, images.h5, lie neither here nor in a folder above", said)
        self.assertIn("--data.file", said)
        self.thaw("export", "elsewhere/runs/a", "--format", "safetensors", "out.safetensors")

    def test_without_best_and_before_the_end(self):
        with h5py.File(self.folder / "images.h5", "a") as file:
            del file["validation"]
        self.train()
        self.assertFalse((self.folder / "run" / BEST).exists())
        self.assertIn("--weights best: run keeps none", self.refused("evaluate", "run", "--weights",
                                                                     "best"))
        found = self.figures("run")
        self.assertEqual(found, self.figures(self.config, "--weights", f"run/{LAST}"))
        os.remove(self.folder / "run" / LAST)
        os.remove(self.folder / "run/summary.json")
        done = self.thaw("evaluate", "run")
        self.assertIn("weights: run/checkpoints/step-", done.stderr)
        self.assertEqual(json.loads(done.stdout)["loss"], found["loss"])
        shutil.rmtree(self.folder / "run/checkpoints")
        self.assertIn("has no weights so far", self.refused("evaluate", "run"))

    def test_what_is_no_run(self):
        os.makedirs(self.folder / "empty")
        self.assertIn("empty: this folder holds no run", self.refused("evaluate", "empty"))
        self.assertIn("empty: this folder holds no run", self.refused("export", "empty", "out"))
        self.assertIn("holds no run", self.refused("inspect", "empty"))
        self.train()
        os.remove(self.folder / "run/config.resolved.toml")
        self.assertIn("config.resolved.toml", self.refused("predict", "run"))
        self.assertEqual(self.account()["state"], "finished")
        self.assertIn("--json", self.refused("inspect", "images.h5", "--json"))


class Kept(RunTest):
    def test_a_run_of_texts_keeps_what_its_network_is(self):
        self.tiny_bert(vocabulary=30000)
        self.texts()
        self.config = self.bert_config()
        self.train()
        found = self.figures("run")
        os.remove(self.folder / "config.json")
        self.assertEqual(self.figures("run"), found)
        self.assertFalse((self.folder / "run/tokenizer.json").exists())  # nobody named one


class Inspect(RunTest):
    def test_tells_what_the_files_tell(self):
        self.train("run", "--checkpoint.every-steps", "2")
        told, summary = self.account(), self.summary("run")
        evaluations = self.metrics("run", "evaluation")
        best = min(evaluations, key=lambda line: line["loss"])
        self.assertEqual(told["state"], "finished")
        self.assertEqual((told["steps"], told["ranks"]), (summary["steps"], 1))
        self.assertEqual((told["best"]["step"], told["best"]["loss"]), (best["step"], best["loss"]))
        self.assertEqual(told["last"]["loss"], evaluations[-1]["loss"])
        self.assertEqual(told["classes"], ["class 0", "class 1", "class 2"])
        steps = self.metrics("run")
        for stage, row in zip(told["stages"], summary["stages"], strict=True):
            own = [line for line in steps if line["stage"] == stage["name"]]
            self.assertEqual(stage["name"], row["name"])
            self.assertEqual(stage["last_step"] - stage["first_step"], row["steps"])
            self.assertEqual(len(own), row["steps"])
            self.assertAlmostEqual(stage["train_loss"], sum(s["loss"] for s in own) / len(own))
            self.assertAlmostEqual(stage["seconds"], sum(s["seconds"]["total"] for s in own))
            self.assertEqual(stage["active_parameters"], row["active_parameters"])
        run = self.folder / "run"
        sizes = {path: path.stat().st_size for path in run.rglob("*") if path.is_file()}
        kept = told["kept_bytes"]
        self.assertEqual(kept["all"], sum(sizes.values()))
        self.assertEqual(kept["weights"], sizes[run / BEST] + sizes[run / LAST])
        self.assertEqual(kept["checkpoints"],
                         sum(size for path, size in sizes.items() if "checkpoints" in path.parts))
        self.assertEqual(told["checkpoints"],
                         sorted(path.name for path in (run / "checkpoints").iterdir()))
        text = self.thaw("inspect", "run").stdout
        self.assertIn("run: a run, finished", text)
        self.assertIn(f"step {best['step']}, stage", text)
        self.assertRegex(text, r"step-\d{9}\S*: good")
        self.assertLessEqual(max(map(len, text.splitlines())), 80, text)

    def test_running_stopped_and_how_to_go_on(self):
        stages = two_stages("epochs = 400", "epochs = 1")
        self.config = self.resnet_config("long.toml", stages=stages)
        command = [THAW, "train", self.config, "--run-dir", "run"]
        with subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL,
                              env=dict(os.environ, OMP_NUM_THREADS="1")) as job:
            until = time.monotonic() + 120
            log = self.folder / "run/metrics.jsonl"
            while not log.exists() or log.read_text(encoding="utf-8").count('"step"') < 5:
                self.assertLess(time.monotonic(), until)
                time.sleep(0.05)
            told = self.account()
            self.assertEqual((told["state"], told["holder"].split()[1]), ("running", str(job.pid)))
            self.assertIn("touch run/stop", self.thaw("inspect", "run").stdout)
            pathlib.Path(self.folder / "run/stop").touch()
            self.assertEqual(job.wait(timeout=60), 75)
        told = self.account()
        self.assertEqual(told["state"], "stopped")
        self.assertEqual(told["checkpoints"], [f"step-{told['steps']:09}"])
        self.assertIn("to come: upper", self.thaw("inspect", "run").stdout)
        self.assertEqual(self.figures("run", "--weights", "last")["samples"], 11)
        # The command that it tells, word for word; a shorter first stage would be another training.
        words = shlex.split(told["resume_command"])
        self.assertEqual(words[0], "thaw")
        done = self.thaw(*words[1:], "--checkpoint.time-limit", "1", status=75)
        self.assertIn(f"Goes on after step {told['steps']}", done.stdout)
        os.remove(self.folder / "run/checkpoints" / self.account()["checkpoints"][-1]
                  / "manifest.json")
        shutil.rmtree(self.folder / "run/checkpoints")
        told = self.account()
        self.assertEqual(told["state"], "interrupted")
        self.assertIn("it begins again", self.thaw("inspect", "run").stdout)


class Diff(RunTest):
    def diff(self, first, second):
        return json.loads(self.thaw("diff", first, second, "--json").stdout)

    def test_tells_differences_and_nothing_else(self):
        self.train("a")
        self.train("b", "--data.batch", "6", "--schedule.stage.upper.learning-rate", "0.002")
        found = self.diff("a", "b")
        self.assertEqual(found["configuration"],
                         [{"what": "data.batch", "first": "12", "second": "6"}])
        self.assertEqual(found["inputs"], [])
        schedule = {row["what"]: (row["first"], row["second"]) for row in found["schedule"]}
        self.assertEqual(schedule["stage 2: groups and rates"],
                         ("layer3 0.01, head 0.01", "layer3 0.002, head 0.002"))
        self.assertEqual(schedule["stage 1: steps"], (4, 7))
        self.assertEqual(schedule["stage 2: begins at step"], (4, 7))
        self.assertNotIn("stage 1: groups and rates", schedule)
        metrics = {row["what"]: (row["first"], row["second"]) for row in found["metrics"]}
        losses = tuple(self.metrics(run, "evaluation")[-1]["loss"] for run in "ab")
        self.assertEqual(metrics["last validation: loss"], losses)
        speed = {row["what"]: (row["first"], row["second"]) for row in found["speed"]}
        medians = [sorted(line["seconds"]["total"] for line in self.metrics(run)
                          if line["stage"] == "head") for run in "ab"]
        self.assertAlmostEqual(speed["stage 1: ms a step"][1], 1e3 * medians[1][3])
        text = self.thaw("diff", "a", "b").stdout
        self.assertRegex(text, r"data\.batch +12 +6")
        self.assertIn("the same: data, network and program", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80, text)

    def test_data_that_differ_and_runs_that_do_not(self):
        self.train("a")
        self.images("others.h5", seed=5)
        self.train("c", "--data.file", "others.h5")
        found = self.diff("a", "c")
        self.assertIn("data.file", [row["what"] for row in found["configuration"]])
        self.assertTrue(any(re.match("data.file: split train", row["what"])
                            for row in found["inputs"]), found["inputs"])
        self.assertLessEqual(
            max(map(len, self.thaw("diff", "a", "c").stdout.splitlines())), 80)
        shutil.copytree(self.folder / "a", self.folder / "copy")
        found = self.diff("a", "copy")
        self.assertEqual([found[kind] for kind in ("configuration", "inputs", "schedule", "metrics",
                                                   "speed")], [[]] * 5)
        self.assertIn("the same: configuration; data", self.thaw("diff", "a", "copy").stdout)
        self.assertIn("holds no run", self.refused("diff", "a", str(self.folder)))


if __name__ == "__main__":
    command_fixture.require()
    unittest.main()
