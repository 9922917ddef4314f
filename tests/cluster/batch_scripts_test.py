"""What the batch scripts start, without Slurm: a copy of the script in another folder, as Slurm runs it, and
an srun that only tells what it got. The scripts on a real Slurm: slurm_test.py."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "cluster/slurm"


class BatchScripts(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-batch-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.program("bin/srun", 'echo "srun $*"')

    def program(self, name, body):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def project(self, scripts):
        """A project's folder with a command, or an unpacked package's with none."""
        shutil.copytree(SCRIPTS, self.folder / "project" / scripts)
        return str(self.folder / "project")

    def run_script(self, name, *arguments, status=0, **environment):
        """What it prints, run from Slurm's spool in a folder that is not the project's."""
        spool = self.folder / "spool/slurm_script"
        spool.parent.mkdir(exist_ok=True)
        shutil.copy(SCRIPTS / name, spool)
        done = subprocess.run(
            ["bash", str(spool), *arguments], cwd=spool.parent, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": f"{self.folder}/bin:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "1",
                 "SLURM_SUBMIT_DIR": str(self.folder)} | environment)  # fmt: skip
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def test_the_projects_folder_has_scripts_and_command(self):
        root = self.project("cluster/slurm")
        thaw = self.program("project/build/thaw", 'echo "thaw $*"')
        self.program("bin/thaw", "exit 9")  # that of the project goes before the one on PATH
        for environment in ({"THAW_ROOT": root}, {"SLURM_SUBMIT_DIR": root}):
            said = self.run_script("array.sbatch", "a.toml", "b.toml", **environment)
            self.assertIn(f"srun --mpi=pmix --kill-on-bad-exit=0 {thaw} train b.toml ", said)
            said = self.run_script("sweep.sbatch", "a.toml", "--seeds", "3,5", **environment)
            self.assertIn(f"{thaw} train a.toml --run-dir runs/a/seed-5 --data.seed 5 ", said)
            said = self.run_script("scale.sbatch", "a.toml", "--ranks", "1,2", **environment)
            self.assertIn("thaw scale a.toml --ranks 1,2 --launcher srun", said)

    def test_configurations_of_one_name_are_refused(self):
        """Their runs would have one folder; whichever task comes to it says so, before it trains."""
        root = self.project("cluster/slurm")
        self.program("project/build/thaw", 'echo "thaw $*"')
        for configurations in (("one/a.toml", "b.toml", "two/a.toml"), ("b.toml", "b.toml"),
                               ("a b.toml", "two/a b.toml"), ("./c", "c.toml")):  # fmt: skip
            for task in range(len(configurations)):
                said = self.run_script("array.sbatch", *configurations, status=2, THAW_ROOT=root,
                                       SLURM_ARRAY_TASK_ID=str(task))  # fmt: skip
                self.assertIn(f"{configurations[-1]} would both run in the folder", said)
                self.assertNotIn("srun", said)
        for name, folder in (("three/a.toml", "[output]\n  run-dir = "), ("four/a.toml", "output.run-dir=")):
            path = self.folder / name
            path.parent.mkdir()
            path.write_text(f'{folder}"elsewhere"\n', encoding="utf-8")
            said = self.run_script("array.sbatch", "one/a.toml", str(path), THAW_ROOT=root)
            self.assertIn(f"train {path} ", said)
        said = self.run_script("array.sbatch", "one/a.toml", "one/a.b.toml", THAW_ROOT=root)
        self.assertIn("train one/a.b.toml ", said)

    def test_of_a_package_the_command_is_the_one_on_path(self):
        root = self.project("slurm")
        self.program("bin/thaw", 'echo "thaw $*"')
        for script, arguments in (("train.sbatch", ["b.toml"]), ("array.sbatch", ["a.toml", "b.toml"]),
                                  ("sweep.sbatch", ["b.toml", "--seeds", "3,5"])):
            said = self.run_script(script, *arguments, THAW_ROOT=root)
            self.assertIn("srun --mpi=pmix --kill-on-bad-exit=0 thaw train b.toml ", said)
        self.assertIn("thaw scale b.toml --launcher srun",
                      self.run_script("scale.sbatch", "b.toml", THAW_ROOT=root))

    def test_what_is_nowhere_is_named_with_its_remedy(self):
        if pathlib.Path("/usr/share/thaw/slurm").exists():
            self.skipTest("a package is installed here")
        said = self.run_script("train.sbatch", "a.toml", status=2)
        self.assertIn(f"{self.folder}/build/thaw: is not there; name the command by THAW", said)
        for script, arguments in (("array.sbatch", ["a", "b"]), ("sweep.sbatch", ["a", "--seeds", "1,2"])):
            said = self.run_script(script, *arguments, status=2)
            self.assertIn(f"{self.folder} has no cluster/slurm/train.sbatch", said)
            self.assertIn("THAW_ROOT", said)


if __name__ == "__main__":
    unittest.main()
