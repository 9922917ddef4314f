"""Submit to Slurm: the batch scripts, on a virtual Slurm of two nodes."""

import shlex
import shutil
import tempfile

from journey import Journey, main, pathlib


class Slurm(Journey):
    def setUp(self):
        # Each node has a /tmp of its own, so the project's folder lies elsewhere.
        default, tempfile.tempdir = tempfile.tempdir, "/var/tmp"
        self.addCleanup(setattr, tempfile, "tempdir", default)
        super().setUp()
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="thaw-slurm-")) / "state"
        self.addCleanup(shutil.rmtree, self.state.parent)
        started = self.slurm("start")
        if "SKIPPED" in started:
            self.skipTest(started.strip())
        self.addCleanup(self.slurm, "stop")

    def slurm(self, command):
        return self.type(f"cluster/virtual/slurm.sh {command} --folder {self.state} || [ $? = 77 ]")

    def on_cluster(self, command):
        return self.type(f"cluster/virtual/slurm.sh run --folder {self.state} "
                         f"bash -c {shlex.quote(command)}")

    def ended(self, job):
        said = self.on_cluster(f"scontrol show job {job}")
        return any(f"JobState={state}" in said for state in ("COMPLETED", "FAILED", "CANCELLED"))

    def test_a_job_and_an_array_over_seeds(self):
        self.minilm()
        self.tables()
        self.type(self.commands("README.md", "Your own data, in three commands")[0])
        for command, folders in zip(self.commands("launch/README.md", "Submit it to Slurm"), (
                ["runs/mine"], [f"runs/banking77-top-down/seed-{seed}" for seed in (0, 1, 2)])):
            submitted = self.on_cluster(command)
            job = submitted.split()[-1]
            for folder in folders:
                self.wait_for((self.folder / folder / "summary.json").exists,
                              f"{command}: {folder}", seconds=200)
            self.wait_for(lambda job=job: self.ended(job), f"the end of {job}")
            self.assertEqual(self.summary(folders[-1])["ranks"], 2)


if __name__ == "__main__":
    main()
