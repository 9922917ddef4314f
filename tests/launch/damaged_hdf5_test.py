"""Damaged HDF5 files: each is read, or is an error with status 2 that names it; never a crash.

THAW_DAMAGED_FILES says how many are made (300; `soak` makes 10,000). THAW_DAMAGED_SEED: of which kind.
"""

import collections
import os
import pathlib
import random
import resource
import shutil
import subprocess
import tempfile
import unittest

from command_fixture import THAW, CommandTest, h5py, np, require

FILES = int(os.environ.get("THAW_DAMAGED_FILES", "300"))
SEED = os.environ.get("THAW_DAMAGED_SEED", "0")
BUILD = pathlib.Path(THAW).parent
PROBE = BUILD / "thaw-hdf5-probe"
READER = BUILD / "tests" / "launch" / "read_datasets"
FAULTS = BUILD / "tests" / "launch" / "hdf5_faults.so"
AT_ONCE = 250
SECONDS = 2  # of computing that a file may take here
MEMORY = 512 << 20  # bytes that reading may take in all: the files have a few kilobytes


def write_split(group, text, samples, **layout):
    generator = np.random.default_rng(samples)
    arrays = {"labels": np.arange(samples, dtype=np.int64) % 3}
    if text:
        arrays["offsets"] = np.arange(samples + 1, dtype=np.int64) * 3
        arrays["tokens"] = generator.integers(0, 30000, 3 * samples).astype(np.int32)
    else:
        arrays["inputs"] = generator.integers(0, 4, (samples, 1, 4, 4)).astype(np.uint8)
    for name, values in arrays.items():
        if layout.get("maxshape"):
            layout["maxshape"] = (None, *values.shape[1:])
        group.create_dataset(name, data=values, **layout)


def whole_files():
    """Name -> bytes of small files, which hold between them whatever of HDF5 data sets come in."""
    layouts = {
        "contiguous": {},
        "chunked": {"chunks": True},
        "growing": {"chunks": True, "maxshape": True},
        "gzip": {"chunks": True, "compression": "gzip", "shuffle": True},
        "checked": {"chunks": True, "fletcher32": True},
        "packed": {"chunks": True, "scaleoffset": 0},
    }
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for layout, options in layouts.items():
            for text in (False, True):
                for version in ("earliest", "latest"):
                    path = pathlib.Path(folder) / "whole.h5"
                    with h5py.File(path, "w", libver=version) as file:
                        file.attrs["classes"] = ["one", "two", "three"]
                        file.attrs["made_by"] = np.bytes_("a test")
                        if not text:
                            file.attrs["mean"], file.attrs["std"] = [0.5], [0.25]
                        for split, samples in (("train", 40), ("validation", 7)):
                            write_split(file.create_group(split), text, samples, **options)
                    files[f"{layout}-{'text' if text else 'images'}-{version}"] = path.read_bytes()
    return files


def damage(source, rng):
    """A copy with bits flipped, bytes or blocks replaced, a block moved, or the end cut off."""
    data = bytearray(source)
    kind = rng.choice(["flip", "flip", "bytes", "zeros", "ones", "random", "copy", "cut", "number"])
    # Half of the time where most of the structure lies.
    reach = len(data) if rng.random() < 0.5 else min(len(data), 4096)
    if kind == "cut":
        del data[rng.randrange(len(data)):]
        return kind, bytes(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        place = rng.randrange(reach)
        length = min(rng.choice([1, 2, 4, 8, 64, 512]), len(data) - place)
        if kind == "flip":
            data[place] ^= 1 << rng.randrange(8)
        elif kind == "bytes":
            data[place] = rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)])
        elif kind == "number":
            width = min(rng.choice([2, 4, 8]), len(data) - place)
            value = rng.choice([0, 1, 0xffff, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, len(data)])
            data[place:place + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
        elif kind == "copy":
            start = rng.randrange(len(data) - length + 1)
            data[place:place + length] = data[start:start + length]
        else:
            fill = {"zeros": lambda: 0, "ones": lambda: 0xff}.get(kind, lambda: rng.randrange(256))
            data[place:place + length] = bytes(fill() for _ in range(length))
    return kind, bytes(data)


class DamagedFiles(CommandTest):
    def setUp(self):
        super().setUp()
        if os.access("/dev/shm", os.W_OK):  # thousands of files
            self.files = pathlib.Path(tempfile.mkdtemp(prefix="thaw-damaged-", dir="/dev/shm"))
            self.addCleanup(shutil.rmtree, self.files)
        else:
            self.files = self.folder

    def run_on(self, program, files, *options):
        return subprocess.run([program, *options, *files], capture_output=True, text=True,
                              errors="replace", timeout=600, check=False)

    def verdicts(self, files):
        """File -> what the probe says is wrong with it, "" for nothing."""
        done = self.run_on(PROBE, files, "--seconds", str(SECONDS))
        lines = done.stdout.splitlines() + done.stderr.splitlines()
        found = {}
        for file in files:
            mine = [line for line in lines if str(file) in line]
            self.assertEqual(len(mine), 1, f"{file}: {mine}")
            found[file] = "" if mine[0] == f"{file}: ok" else mine[0]
        self.assertEqual(done.returncode, 2 if any(found.values()) else 0, done.stderr)
        return found

    def read(self, files):
        """Reads them in one process as a rank would, which must live through it."""
        done = self.run_on(READER, files)
        self.assertEqual(done.returncode, 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        lines = done.stdout.splitlines()
        peak = 0
        for file, said, memory in zip(files, lines[::2], lines[1::2], strict=True):
            self.assertIn(str(file), said)
            peak = int(memory.rpartition(" ")[2])
            if peak >= MEMORY:
                shutil.copy(file, tempfile.gettempdir())
            self.assertLess(peak, MEMORY, f"{file} (copied to {tempfile.gettempdir()}): {said}")
        return peak

    def test_each_is_read_or_named(self):
        sources = whole_files()
        rng = random.Random(SEED)
        tally = collections.Counter()
        peak = 0
        for first in range(0, FILES, AT_ONCE):
            made = []
            for number in range(first, min(first + AT_ONCE, FILES)):
                name = list(sources)[number % len(sources)]
                kind, data = damage(sources[name], rng)
                made.append(self.files / f"{number:06}-{name}-{kind}.h5")
                made[-1].write_bytes(data)
            found = self.verdicts(made)
            for problem in found.values():
                tally["crashes" if "crashes on it" in problem
                      else "endless" if "does not end" in problem
                      else "memory" if "of memory, which" in problem
                      else "refused" if problem else "read"] += 1
            peak = max(peak, self.read([file for file, problem in found.items() if not problem]))
            for file in made:
                file.unlink()
        print(f"{FILES} damaged files, seed {SEED}: {dict(tally)}; peak of reading "
              f"{peak >> 20} MiB", flush=True)
        self.assertEqual(sum(tally.values()), FILES)
        self.assertGreater(tally["refused"], FILES // 10)
        self.assertGreater(tally["read"], FILES // 100)

    def test_whole_files_are_read(self):
        made = []
        for name, data in whole_files().items():
            made.append(self.files / f"{name}.h5")
            made[-1].write_bytes(data)
        self.assertEqual(set(self.verdicts(made).values()), {""})
        self.read(made)


class TheCommand(CommandTest):
    def assert_refused(self, config, ranks, says, environment=None):
        done = self.thaw("train", config, "--run-dir", "run", ranks=ranks, status=2,
                         environment=environment)
        self.assertEqual(done.stderr.count("images.h5"), 1, done.stderr)
        for text in says:
            self.assertIn(text, done.stderr)
        self.assertFalse((self.folder / "run").exists())

    def test_damaged_files(self):
        self.images(train=8, validation=4)
        config = self.resnet_config()
        path = self.folder / "images.h5"
        whole = path.read_bytes()
        tree = whole.index(b"TREE")
        for ranks in (0, 2):
            for data in (whole[:len(whole) // 2], whole[:100],
                         whole[:tree] + bytes(64) + whole[tree + 64:]):
                path.write_bytes(data)
                self.assert_refused(config, ranks, ["images.h5: "])
        self.assertIn("images.h5", self.refused("check", config))
        self.assertIn("images.h5", self.refused("inspect", "images.h5"))

    def test_what_the_library_does_is_an_error(self):
        """The library is made to fail on every file: the command must never have called it."""
        self.images()
        config = self.resnet_config()
        for fault, says in (("crash", "crashes on it (Segmentation fault)"),
                            ("abort", "crashes on it (Aborted)"),
                            ("exit", "crashes on it (it ended the process)"),
                            ("memory", "of memory, which its size does not justify")):
            environment = {"LD_PRELOAD": str(FAULTS), "THAW_HDF5_FAULT": fault}
            for command in (("check", config), ("inspect", "images.h5")):
                done = self.thaw(*command, status=2, environment=environment)
                self.assertIn(f"images.h5: its index: ", done.stderr)
                self.assertIn(says, done.stderr)
        for ranks in (1, 2):
            self.assert_refused(config, ranks, ["crashes on it"],
                                {"LD_PRELOAD": str(FAULTS), "THAW_HDF5_FAULT": "crash"})

    def test_what_does_not_end_is_stopped(self):
        self.images()
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = subprocess.run(
            [PROBE, "--seconds", "1", "images.h5"], cwd=self.folder, text=True, timeout=60,
            capture_output=True, check=False,
            env=dict(os.environ, LD_PRELOAD=str(FAULTS), THAW_HDF5_FAULT="loop"))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("images.h5: its index: reading it does not end (1 s of computing", done.stderr)
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 3)

    def test_all_bad_files_are_named(self):
        self.images()
        (self.folder / "cut.h5").write_bytes((self.folder / "images.h5").read_bytes()[:3000])
        (self.folder / "text.h5").write_text("no HDF5")
        config = self.resnet_config(data="*.h5")
        message = self.refused("check", config)
        self.assertIn("cut.h5: ", message)
        self.assertIn("text.h5: is not an HDF5 file", message)
        self.assertNotIn("images.h5", message)

    def test_without_the_probe_files_are_opened_untried(self):
        self.images()
        config = self.resnet_config()
        shutil.copy(THAW, self.folder / "thaw")
        done = subprocess.run([self.folder / "thaw", "check", config], cwd=self.folder, text=True,
                              capture_output=True, timeout=240, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("thaw-hdf5-probe cannot be started", done.stderr)
        self.assertIn("all is well", done.stdout)

    def test_the_probe_needs_neither_torch_nor_mpi(self):
        needed = subprocess.run(["readelf", "-d", PROBE], capture_output=True, text=True, check=True)
        self.assertIn("hdf5", needed.stdout)
        for library in ("libtorch", "libc10", "libmpi", "libcud"):
            self.assertNotIn(library, needed.stdout)

    def test_the_probes_own_arguments(self):
        for arguments, says in (([], "a FILE is missing"), (["--seconds"], "needs a number"),
                                (["--seconds", "0", "a.h5"], "from 1 to"),
                                (["none.h5"], "none.h5: No such file")):
            done = subprocess.run([PROBE, *arguments], cwd=self.folder, capture_output=True,
                                  text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(says, done.stderr)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
