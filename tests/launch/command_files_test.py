"""What file systems do to the command: planted links, folders that cannot be written, missing hard
links, power cuts, servers that do not answer (`file_faults.cpp` makes them)."""

import os
import pathlib
import shutil
import subprocess
import unittest

import h5py
from command_fixture import THAW, CommandTest, require, two_stages

BUILD = pathlib.Path(THAW).resolve().parent
FAULTS = BUILD / "tests" / "launch" / "file_faults.so"
NOBODY = 65534


class Files(CommandTest):
    def setUp(self):
        super().setUp()
        self.images()
        self.config = self.resnet_config(stages=two_stages("steps = 2", "steps = 2"))
        self.run_folder = self.folder / "run"

    def train(self, *arguments, **options):
        return self.thaw("train", self.config, "--run-dir", "run", "--output.progress", "off",
                         *arguments, **options)

    def faulty(self, **settings):
        self.assertTrue(FAULTS.is_file(), FAULTS)
        return dict(settings, LD_PRELOAD=str(FAULTS))

    def test_a_planted_link_is_refused_by_its_name_and_what_it_leads_to_is_whole(self):
        victim = self.write("victim", "mine")
        other = self.folder / "other"
        other.mkdir()
        self.run_folder.mkdir()
        for name, target in (("metrics.jsonl", victim), ("metrics.jsonl", self.folder / "nothing"),
                             ("checkpoints", other)):
            with self.subTest(name=name, target=target.name):
                (self.run_folder / name).symlink_to(target)
                said = self.refused("train", self.config, "--run-dir", "run")
                self.assertIn(f"run/{name}: is a link, which is not followed here", said)
                (self.run_folder / name).unlink()
        os.mkfifo(self.run_folder / "metrics.jsonl")
        self.assertIn("run/metrics.jsonl: is no plain file",
                      self.refused("train", self.config, "--run-dir", "run"))
        shutil.rmtree(self.run_folder)
        self.assertEqual(victim.read_text(encoding="utf-8"), "mine")
        self.assertFalse((self.folder / "nothing").exists())
        self.assertEqual(list(other.iterdir()), [])
        # The folder itself is the user's word.
        self.run_folder.symlink_to(other)
        self.train()
        self.assertTrue((other / "summary.json").is_file())

    def test_what_a_run_replaces_it_does_not_follow_either(self):
        victim = self.write("victim", "mine")
        self.train()
        for name in ("summary.json", "weights.safetensors", "config.resolved.toml"):
            (self.run_folder / name).unlink()
            (self.run_folder / name).symlink_to(victim)
        more = ('[[schedule.stage]]\nname = "all"\ngroups = ["*"]\nlearning-rate = 0.01\n'
                "until = { steps = 2 }\n")
        self.resnet_config(stages=two_stages("steps = 2", "steps = 2") + more)
        self.train()
        self.assertEqual(victim.read_text(encoding="utf-8"), "mine")
        self.assertFalse((self.run_folder / "summary.json").is_symlink())

    def test_a_comparison_follows_no_planted_link(self):
        other = self.folder / "other"
        other.mkdir()
        (other / "mine").write_text("mine", encoding="utf-8")
        config = self.resnet_config(
            name="c.toml", stages='[schedule]\npreset = "full"\nlearning-rate = 0.01\ntotal-epochs = 1\n')
        arguments = ("compare", config, "--schedules", "full", "--seeds", "1", "--output", "cmp")
        self.thaw(*arguments)
        shutil.rmtree(self.folder / "cmp/runs/full/seed-0")
        (self.folder / "cmp/runs/full/seed-0").symlink_to(other)
        self.assertIn("cmp/runs/full/seed-0: is a link", self.refused(*arguments))
        self.assertTrue((other / "mine").exists())
        (self.folder / "cmp/runs/full/seed-0").unlink()
        # What killed ones have left goes; what is another program's stays.
        left = ("comparison.md.1-a.tmp", "request.json.1-a.tmp", "mine.tmp",
                "runs/full/seed-1/evaluation.train.json.partial", "runs/full/mine.partial")
        for name in left:
            (self.folder / "cmp" / name).parent.mkdir(exist_ok=True)
            self.write(f"cmp/{name}", "half")
        self.thaw(*arguments)
        self.assertEqual([name for name in left if (self.folder / "cmp" / name).exists()],
                         ["mine.tmp", "runs/full/mine.partial"])

    def test_a_finished_run_in_a_folder_that_cannot_be_written_is_finished(self):
        self.train()
        command = [THAW, "train", self.config, "--run-dir", "run"]
        if os.geteuid() == 0:
            if shutil.which("setpriv") is None:
                self.skipTest("root needs setpriv to be somebody else")
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                       *command]
        self.folder.chmod(0o755)
        self.run_folder.chmod(0o555)
        self.addCleanup(self.run_folder.chmod, 0o755)
        done = subprocess.run(command, cwd=self.folder, text=True, capture_output=True, check=False,
                              env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("nothing is left to do", done.stdout)
        if os.geteuid() == 0:  # who may make it one that is not finished
            (self.run_folder / "summary.json").unlink()
            done = subprocess.run(command, cwd=self.folder, text=True, capture_output=True,
                                  check=False, env=dict(os.environ, OMP_NUM_THREADS="1"))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("cannot be written", done.stderr)

    def test_without_hard_links_and_exchanges(self):
        self.train(environment=self.faulty(THAW_FILE_FAULT="no-links no-exchange"))
        self.assertEqual([p.name for p in self.run_folder.glob(".lease*")], [".lease.1"])
        self.assertIn("nothing is left", self.train().stdout)
        for name, tests in (("core_checkpoint", "Store*"), ("core_record", "*Lease*")):
            with self.subTest(name=name):
                for program in (BUILD / "tests").glob(f"test_{name}"):
                    done = subprocess.run([program, f"--gtest_filter={tests}"], text=True,
                                          capture_output=True, check=False,
                                          env=dict(os.environ, **self.faulty(
                                              THAW_FILE_FAULT="no-links no-exchange")))
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_parents_of_what_is_made_are_flushed(self):
        log = self.folder / "flushed"
        self.thaw("train", self.config, "--run-dir", "new/runs/run", "--checkpoint.every-steps", "1",
                  "--output.progress", "off", environment=self.faulty(THAW_FLUSH_LOG=str(log)))
        flushed = set(log.read_text(encoding="utf-8").splitlines())
        root = self.folder.resolve()
        for folder in (".", "new", "new/runs", "new/runs/run", "new/runs/run/checkpoints",
                       "new/runs/run/checkpoints/step-000000001.partial"):
            self.assertIn(str((root / folder)), flushed)
        self.assertIn(f"{root}/new/runs/run/metrics.jsonl", flushed)

    def test_a_read_that_hangs_ends_every_command_and_names_the_path(self):
        self.train()
        weights = "run/weights.safetensors"
        trained = ("--weights", weights)
        for command in (("train", "--run-dir", "new"), ("evaluate", *trained),
                        ("predict", *trained)):
            name, *rest = command
            data = [("images.h5", "", "images.h5"), ("images.h5", "thaw-hdf5-probe", "images.h5")]
            mapped = [("mapped", "", weights)] if name != "train" else []
            for hang, program, path in data + mapped:
                with self.subTest(command=name, hang=hang, but_in=program):
                    done = self.thaw(name, self.config, *rest, "--distributed.hang-deadline", "2",
                                     status=3,
                                     environment=self.faulty(THAW_HANG=hang, THAW_HANG_NOT=program))
                    self.assertRegex(done.stderr,
                                     rf"cannot (open|read) \S*{path}: its file system has not "
                                     r"answered for \d+ s")

    def test_a_save_that_hangs_ends_the_job_and_names_the_path(self):
        for ranks, status in ((0, 3), (2, 4)):
            with self.subTest(ranks=ranks):
                done = self.thaw("train", self.config, "--run-dir", f"new{ranks}",
                                 "--checkpoint.every-steps", "1", "--distributed.hang-deadline", "2",
                                 ranks=ranks, status=status,
                                 environment=self.faulty(THAW_HANG_CALL="fsync",
                                                         THAW_HANG_IN="/checkpoints/"))
                self.assertRegex(done.stderr,
                                 rf"cannot flush \S*new{ranks}/checkpoints/\S+: its file system "
                                 r"has not answered for \d+ s")

    def test_a_cache_that_hangs_ends_the_command_and_names_the_file(self):
        whole = self.folder / "images.h5"
        with h5py.File(whole, "r") as source, h5py.File(self.folder / "chunked.h5", "w") as file:
            for split in source:
                group = file.create_group(split)
                for name, values in source[split].items():
                    chunks = (5, *values.shape[1:]) if name == "inputs" else None
                    group.create_dataset(name, data=values[...], chunks=chunks)
            file.attrs.update(source.attrs)
        data = ("--data.file", "chunked.h5", "--data.cache", "cache")
        for call, action, path in (("flock", "lock", ".lock"),
                                   ("fallocate", "make room for", ".partial"),
                                   ("populate", "write", ".partial"),
                                   ("msync", "flush", ".partial"), ("fsync", "flush", ".partial"),
                                   ("rename", "rename", ".partial")):
            for command in ("train", "--run-dir", "new"), ("check",):
                with self.subTest(call=call, command=command[0]):
                    done = self.thaw(command[0], self.config, *command[1:], *data,
                                     "--distributed.hang-deadline", "2", status=3,
                                     environment=self.faulty(THAW_HANG_CALL=call,
                                                             THAW_HANG_IN="cache/chunked"))
                    self.assertRegex(done.stderr,
                                     rf"cannot {action} cache/chunked\S*\{path}\S*: its file system "
                                     r"has not answered for \d+ s")
        self.train(*data)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
