"""Batch scripts on a real Slurm of two nodes (cluster/virtual/slurm.sh): statuses under srun; a job
that is asked to stop, or that the scheduler preempts, goes back into the queue and ends as an
undisturbed one does; scaling within an allocation; arrays over configurations, seeds and options;
containers; several GPUs a node."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from datetime import datetime

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "launch"))
from command_fixture import ROOT, THAW, CommandTest, main_of_skipping, require, two_stages  # noqa: E402

SLURM = ROOT / "cluster/virtual/slurm.sh"
GRACE_SECONDS = 60  # that slurm.sh gives a job that is preempted


class Slurm(CommandTest):
    def setUp(self):
        # Each node has a /tmp of its own.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-slurm-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.state = self.folder / "state"
        started = self.slurm("start", "--gpus", "2")
        if started.returncode == 77:
            self.skipTest(started.stderr.strip())
        self.assertEqual(started.returncode, 0, started.stdout + started.stderr)
        self.addCleanup(self.slurm, "stop")

    def slurm(self, command, *arguments, environment=None):
        return subprocess.run(
            [str(SLURM), command, "--folder", str(self.state), *map(str, arguments)],
            cwd=self.folder, text=True, capture_output=True, timeout=180, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "THAW": THAW, "THAW_ROOT": str(ROOT)}
            | (environment or {}))

    def run_in(self, *command, environment=None):
        return self.slurm("run", *command, environment=environment)

    def srun(self, *arguments):
        return self.run_in("srun", "--mpi=pmix", "--nodes=2", "--ntasks=2", THAW, *arguments)

    def submit(self, script, *arguments, options=(), environment=None):
        done = self.run_in("sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", *options,
                           ROOT / "cluster/slurm" / script, *arguments, environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def job_state(self, job):
        text = self.run_in("scontrol", "show", "job", job).stdout
        return dict(item.split("=", 1) for item in text.split() if "=" in item)

    def wait_until(self, true, what, seconds=90):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if true():
                return
            time.sleep(0.2)
        self.fail(f"{what} did not happen within {seconds} s\n{self.logs()}")

    def logs(self):
        """Of the jobs, and the ends of those of Slurm's own daemons."""
        ends = {p: p.read_text().splitlines()[-40:] for p in self.state.glob("*.log")}
        ends |= {p: p.read_text().splitlines() for p in self.folder.glob("*.log")}
        return "\n".join(line for p, text in ends.items() for line in (f"--- {p.name}", *text))

    def ended(self, job):
        return self.job_state(job).get("JobState") in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")

    def test_srun_trains_over_two_nodes_and_returns_statuses(self):
        self.images()
        config = self.resnet_config()
        done = self.srun("train", config, "--run-dir", "run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.summary("run")["ranks"], 2)
        done = self.srun("doctor", "--folder", "kept")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("thaw1", done.stdout)
        self.assertIn("thaw2", done.stdout)
        done = self.srun("train", config, "--run-dir", "run2", "--train.optimizer", "none")
        self.assertEqual(done.returncode, 2, done.stderr)

    def start_training(self, steps):
        """An undisturbed run, and the same as a job that has made some steps."""
        self.images()
        config = self.resnet_config(stages=two_stages(f"steps = {steps}", f"steps = {steps}"),
                                    extra="threads = 1\n")
        done = self.srun("train", config, "--run-dir", "undisturbed")
        self.assertEqual(done.returncode, 0, done.stderr)
        job = self.submit("train.sbatch", config, "--run-dir", "run")
        metrics = self.folder / "run/metrics.jsonl"
        self.wait_until(lambda: metrics.exists() and metrics.read_text().count('"step"') > 20,
                        "training")
        return job

    def check_requeued(self, job, steps):
        """It has gone back into the queue and ends there as the undisturbed run did."""
        # A job that was requeued waits two minutes, unless someone lets it go. Not at once: slurmd
        # takes a job of the second in which it was requeued for the killed one ("Job credential
        # revoked").
        self.run_in("scontrol", "update", f"JobId={job}", "StartTime=now+5")
        self.wait_until(lambda: self.ended(job), "the end", seconds=240)
        self.assertEqual(self.job_state(job)["JobState"], "COMPLETED", self.logs())
        self.assertEqual(len(self.metrics("run", "resume")), 1)
        self.assertEqual([s["step"] for s in self.metrics("run")], list(range(1, 2 * steps + 1)))
        self.assertEqual((self.folder / "run/weights.safetensors").read_bytes(),
                         (self.folder / "undisturbed/weights.safetensors").read_bytes())

    def restarts(self, job):
        return int(self.job_state(job).get("Restarts", 0))

    def test_a_job_that_is_stopped_is_requeued_and_ends_like_an_undisturbed_one(self):
        job = self.start_training(steps=40)
        done = self.run_in("scancel", "--signal=USR1", "--batch", job)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_until(lambda: self.restarts(job) == 1, "a requeue")
        self.check_requeued(job, steps=40)

    def test_a_job_that_the_scheduler_preempts_saves_in_its_grace_time_and_goes_on_later(self):
        job = self.start_training(steps=200)
        done = self.run_in("sbatch", "--parsable", "--partition=urgent", "--nodes=2",
                           "--ntasks-per-node=2", "--output=urgent.log", "--wrap=sleep 3")
        self.assertEqual(done.returncode, 0, done.stderr)
        urgent = done.stdout.strip()
        self.wait_until(lambda: self.restarts(job) == 1, "a requeue")
        self.wait_until(lambda: self.ended(urgent), "the urgent job's end")
        state = self.job_state(urgent)
        self.assertEqual(state["JobState"], "COMPLETED", self.logs())
        waited = (datetime.fromisoformat(state["StartTime"])
                  - datetime.fromisoformat(state["SubmitTime"])).total_seconds()
        self.assertLess(waited, GRACE_SECONDS)
        # It was Slurm that ended it, and not the last checkpoint that was due but a new one.
        said = (self.folder / f"thaw-{job}.log").read_text(encoding="utf-8")
        self.assertIn("since a signal asked for it; all is saved", said)
        self.assertIn("everything is saved; back into the queue", said)
        self.check_requeued(job, steps=200)

    def test_scaling_within_an_allocation(self):
        self.images(train=72)
        config = self.resnet_config(stages='[schedule]\npreset = "full"\nlearning-rate = 0.01\n',
                                    extra="threads = 1\n")
        job = self.submit("scale.sbatch", config, "--ranks", "1,2", "--repetitions", "2",
                          "--steps", "2", "--output", "sc", options=("--nodes=2", "--exclusive"))
        self.wait_until(lambda: self.ended(job), "the end", seconds=240)
        self.assertEqual(self.job_state(job)["JobState"], "COMPLETED", self.logs())
        report = json.loads((self.folder / "sc/scaling.json").read_text(encoding="utf-8"))
        self.assertEqual([(table["scaling"], [(row["ranks"], row["batch"]) for row in table["rows"]])
                          for table in report["tables"]],
                         [("strong", [(1, 12), (2, 12)]), ("weak", [(1, 12), (2, 24)])])

    def test_an_array_trains_each_configuration(self):
        self.images()
        names = [self.resnet_config(f"{c}.toml") for c in "ab"]
        job = self.submit("array.sbatch", *names, options=("--array=0-1",))
        self.wait_until(lambda: all((self.folder / f"runs/{c}/summary.json").exists() for c in "ab"),
                        f"array job {job}")

    def test_a_sweep_trains_each_combination_in_a_folder_of_its_own(self):
        """The command comes from the file that the scripts source, as by a module."""
        self.images()
        config = self.resnet_config("small.toml")
        self.write("modules.sh", f"echo loaded >>{self.folder}/loaded\nexport THAW={THAW}\n")
        job = self.submit("sweep.sbatch", config, "--seeds", "0,1", "--over", "data.batch=12,37",
                          options=("--array=0-3",),
                          environment={"THAW": "/nowhere", "THAW_ENV": str(self.folder / "modules.sh")})
        folders = {f"seed-{seed}.batch-{batch}": (seed, batch) for seed in (0, 1) for batch in (12, 37)}
        for name in folders:
            self.wait_until((self.folder / f"runs/small/{name}/summary.json").exists,
                            f"array job {job}, {name}", seconds=240)
        for name, (seed, batch) in folders.items():
            resolved = (self.folder / f"runs/small/{name}/config.resolved.toml").read_text()
            self.assertIn(f"\nbatch = {batch}\n", resolved)
            self.assertEqual(resolved.count(f"\nseed = {seed}\n"), 2, resolved)
        losses = {self.metrics(f"runs/small/{name}")[0]["loss"] for name in folders}
        self.assertEqual(len(losses), 4)
        self.assertGreaterEqual((self.folder / "loaded").read_text().count("loaded"), 4)

    def test_ranks_run_in_a_container(self):
        """An engine that stands in: the image is passed on, and the command behind it is run."""
        self.images()
        engine = self.write("engine", f"#!/bin/sh\necho \"$*\" >>{self.folder}/engine.log\n"
                                      'while [ "$1" != image.sif ]; do shift; done\nshift\nexec "$@"\n')
        engine.chmod(0o755)
        job = self.submit("train.sbatch", self.resnet_config(), "--run-dir", "run",
                          environment={"THAW_CONTAINER": "image.sif",
                                       "THAW_ENGINE": f"{engine} exec --nv"})
        self.wait_until(lambda: self.ended(job), "the end")
        self.assertEqual(self.job_state(job)["JobState"], "COMPLETED", self.logs())
        self.assertEqual(self.summary("run")["ranks"], 2)
        calls = (self.folder / "engine.log").read_text().splitlines()
        self.assertEqual(len(calls), 2, calls)
        self.assertTrue(calls[0].startswith(f"exec --nv image.sif {THAW} train "), calls[0])

    def test_several_gpus_and_nodes_have_a_rank_each(self):
        self.images()
        config = self.resnet_config(extra="threads = 1\n")
        gpus = ("--gpus-per-node=2",)
        job = self.submit("train.sbatch", config, "--run-dir", "four",
                          options=(*gpus, "--ntasks-per-node=2"))
        self.wait_until(lambda: self.ended(job), "the end", seconds=240)
        self.assertEqual(self.job_state(job)["JobState"], "COMPLETED", self.logs())
        self.assertEqual(self.summary("four")["ranks"], 4)
        self.assertNotIn("GPUs a node but", self.logs())
        job = self.submit("train.sbatch", config, "--run-dir", "two", options=gpus)
        self.wait_until(lambda: self.ended(job), "the end", seconds=240)
        self.assertIn("2 GPUs a node but 1 ranks: give --ntasks-per-node=2", self.logs())


if __name__ == "__main__":
    require()
    main_of_skipping()
