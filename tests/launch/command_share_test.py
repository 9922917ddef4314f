"""Frozen weights once a host (`distributed.share-frozen`): the same bits as without, less memory, and
nothing left of a job that was killed."""

import os
import pathlib
import signal
import subprocess
import time
import unittest

from command_fixture import MPIEXEC, SECONDS, THAW, CommandTest, require

STAGES = """
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.01
until = { steps = 3 }

[[schedule.stage]]
name = "lower"
groups = ["embeddings", "encoder.0"]
learning-rate = 0.003
until = { steps = 3 }

[[schedule.stage]]
name = "upper"
groups = ["encoder.1", "head"]
learning-rate = 0.002
until = { steps = 3 }
"""
ENDLESS = STAGES.replace("steps = 3", "steps = 1000000", 1)
EMBEDDINGS = 30522 * 64 * 4
MARK = "memfd:thaw-weights"
FAULTS = pathlib.Path(THAW).resolve().parent / "tests" / "launch" / "file_faults.so"
NOTE = "thaw: note: frozen weights are not held once a host (rank 1: "


def mapped(process: int) -> dict:
    """Bytes of the shared weights that a process has mapped: `Rss`, and `Pss`, its part of them."""
    sums, ours = {"Rss": 0, "Pss": 0}, False
    with open(f"/proc/{process}/smaps", encoding="utf-8") as file:
        for line in file:
            key, _, rest = line.partition(":")
            if key in sums and ours:
                sums[key] += int(rest.split()[0]) * 1024
            elif "-" in line.split()[0] and not key.isalpha():  # the head of a mapping
                ours = MARK in line
    return sums


def in_shared_memory() -> set:
    return {name for name in os.listdir("/dev/shm") if "thaw" in name}


class Shared(CommandTest):
    def setUp(self):
        super().setUp()
        self.texts(train=35)
        self.tiny_bert(hidden=64)
        self.config = self.bert_config(schedule=STAGES)

    def shared_bytes(self, run):
        return [line["shared_weight_bytes"] for line in self.metrics(run, "transition")]

    def test_has_the_same_bits(self):
        runs = {"shared": "auto", "own": "off"}
        for run, choice in runs.items():
            self.thaw("train", self.config, "--run-dir", run, "--distributed.share-frozen", choice,
                      ranks=2)
        weights = [(self.folder / run / "weights.safetensors").read_bytes() for run in runs]
        self.assertEqual(*weights)
        losses = [[line["loss"] for line in self.metrics(run)] for run in runs]
        self.assertEqual(*losses)
        first, lower, upper = self.shared_bytes("shared")
        self.assertGreater(first, EMBEDDINGS)
        self.assertLess(lower, first - EMBEDDINGS)  # they train
        self.assertGreater(upper, EMBEDDINGS)  # and are frozen again
        self.assertEqual(self.shared_bytes("own"), [0, 0, 0])

    def test_goes_on_from_a_checkpoint(self):
        flags = ("--checkpoint.every-steps", "1", "--checkpoint.keep", "100")
        self.thaw("train", self.config, "--run-dir", "whole", *flags, ranks=2)
        (place,) = (self.folder / "whole" / "checkpoints").glob("step-000000005*")
        self.thaw("train", self.config, "--run-dir", "rest", "--resume", place, ranks=2)
        weights = [(self.folder / run / "weights.safetensors").read_bytes()
                   for run in ("whole", "rest")]
        self.assertEqual(*weights)
        told = self.thaw("evaluate", "rest", "--split", "validation").stdout
        self.assertIn("loss", told)

    def test_takes_its_memory_once_and_leaves_nothing_when_killed(self):
        config = self.bert_config("endless.toml", schedule=ENDLESS)
        before = in_shared_memory()
        job = subprocess.Popen([MPIEXEC, "-n", "3", THAW, "train", config, "--run-dir", "endless"],
                               cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.addCleanup(job.kill)
        log = self.folder / "endless" / "metrics.jsonl"
        deadline = time.monotonic() + SECONDS
        while not (log.exists() and '"event":"step"' in log.read_text(encoding="utf-8")):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(job.poll())
            time.sleep(0.1)
        ranks = [int(each) for each in
                 subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True,
                                check=True).stdout.split()]
        self.assertEqual(len(ranks), 3)
        for rank in ranks:  # or what one has touched since another was looked at counts too much
            os.kill(rank, signal.SIGSTOP)
        all_mapped = [mapped(rank) for rank in ranks]
        for each in all_mapped:
            self.assertGreater(each["Rss"], EMBEDDINGS / 20)  # pages that a batch does not touch …
        together = sum(each["Pss"] for each in all_mapped)
        largest = max(each["Rss"] for each in all_mapped)
        self.assertLess(together, 1.05 * largest)  # a page that was written to would count thrice
        for rank in ranks:
            os.kill(rank, signal.SIGKILL)
        job.wait(timeout=60)
        self.assertEqual(in_shared_memory(), before)
        left = [link for link in pathlib.Path("/proc").glob("[0-9]*/fd/*")
                if MARK in self.target(link)]
        self.assertEqual(left, [])

    def test_where_memory_cannot_be_shared_each_rank_has_its_own(self):
        self.assertTrue(FAULTS.is_file(), FAULTS)
        self.thaw("train", self.config, "--run-dir", "own", "--distributed.share-frozen", "off",
                  ranks=2)
        # No such files at all; no mapping on any rank; none on a rank beside one that has it.
        for number, (fault, rank, why, first_shares) in enumerate((
                ("no-memory-files", "", "memfd_create: Function not implemented", False),
                ("no-shared-memory", "", "mmap of /proc/", False),
                ("no-shared-memory", "1", "mmap of /proc/", True))):
            with self.subTest(fault=fault, rank=rank):
                run = f"run{number}"
                said = self.thaw("train", self.config, "--run-dir", run, ranks=2, environment={
                    "LD_PRELOAD": str(FAULTS), "THAW_FILE_FAULT": fault, "THAW_FAULT_RANK": rank,
                }).stderr  # fmt: skip
                self.assertEqual(said.count(NOTE), 1, said)
                self.assertIn(NOTE + why, said)
                self.assertIn('each rank has its own, as with distributed.share-frozen = "off"', said)
                # Rank 0's figure: what it has mapped itself.
                self.assertEqual(self.shared_bytes(run)[0] > EMBEDDINGS, first_shares)
                weights = [(self.folder / each / "weights.safetensors").read_bytes()
                           for each in (run, "own")]
                self.assertEqual(*weights)

    def test_what_check_tries_shares_too_and_puts_state_aside(self):
        """A rehearsal and a trial of memory do what the run will do, and leave nothing."""
        temporary = self.folder / "tmp"
        temporary.mkdir()
        for number, (command, fault) in enumerate((
                (("--ranks", "2"), ""),
                (("--predict", "--ranks", "2"), ""),
                (("--predict", "--ranks", "2"), "no-memory-files"))):
            with self.subTest(command=command, fault=fault):
                log = self.folder / f"flushed{number}"
                done = self.thaw("check", self.config, *command, "--distributed.frozen-state",
                                 "disk", environment={
                                     "LD_PRELOAD": str(FAULTS), "THAW_FLUSH_LOG": str(log),
                                     "TMPDIR": str(temporary), "THAW_FILE_FAULT": fault})
                self.assertEqual(done.stderr.count(NOTE), 1 if fault else 0, done.stderr)
                self.assertIn("upper", done.stdout)
                files = [line for line in log.read_text(encoding="utf-8").splitlines()
                         if line.startswith(f"{temporary}/frozen-state.")]
                self.assertTrue(files, "no state was put aside")
                self.assertEqual(list(temporary.glob("frozen-state*")), [])

    def test_a_folder_for_temporary_files_that_is_none_matters_where_state_goes_there(self):
        nowhere = {"TMPDIR": str(self.folder / "none")}
        command = ("check", self.config, "--ranks", "2")
        self.thaw(*command, environment=nowhere)
        said = self.thaw(*command, "--distributed.frozen-state", "disk", status=3,
                         environment=nowhere).stderr  # fmt: skip
        self.assertIn(f"{self.folder}/none/frozen-state.", said)

    @staticmethod
    def target(link):
        try:
            return os.readlink(link)
        except OSError:  # of another user's process, or gone
            return ""


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
