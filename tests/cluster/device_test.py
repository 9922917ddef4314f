"""The device kit as far as it needs no PyTorch: packing, parts and their limits, the report."""

import contextlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEVICE = os.path.join(ROOT, "cluster", "device")

sys.dont_write_bytecode = True
sys.path[:0] = [DEVICE, os.path.join(ROOT, "cluster", "benchmarks")]

from kit import parts, programs, run  # noqa: E402
from kit.parts import Part  # noqa: E402
from kit.report import STATES, Report  # noqa: E402


class InFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="device-")
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(textwrap.dedent(text))
        os.chmod(path, mode)
        return path


class Limits(unittest.TestCase):
    def test_all_parts_fit_in_nine_and_a_half_minutes(self):
        self.assertLessEqual(sum(part.seconds for part in parts.PARTS), parts.WHOLE)
        self.assertLess(parts.WHOLE, 570)

    def test_alone_a_part_may_take_longer_but_not_more_than_a_run(self):
        for part in parts.PARTS:
            self.assertTrue(part.seconds <= part.alone <= parts.WHOLE, part)
            self.assertEqual(parts.limit(part, [], parts.WHOLE), part.alone)
        self.assertEqual(parts.limit(parts.PARTS[0], [], 7), 7)

    def test_what_one_saves_is_the_next_ones(self):
        first, second, *rest = parts.PARTS
        kept = sum(part.seconds for part in rest)
        self.assertEqual(parts.limit(second, rest, kept + second.seconds + 5), second.seconds + 5)
        self.assertEqual(parts.limit(first, [second, *rest], kept), 0)

    def test_parts_run_in_their_order_whatever_was_asked(self):
        chosen = parts.chosen(["counts", "machine"])
        self.assertEqual([part.name for part in chosen], ["machine", "counts"])
        self.assertEqual(parts.chosen([]), list(parts.PARTS))

    def test_a_part_is_a_module_of_the_kit(self):
        for part in parts.PARTS:
            self.assertTrue(os.path.isfile(os.path.join(DEVICE, *part.module.split(".")) + ".py"))


PASSES = "def run(part):\n    part.passed('one')\n    part.values(figure=0.5)\n"
FAILS = "def run(part):\n    part.check('sum', lambda: 1 // 0)\n    part.passed('two')\n"
DIES = "import os\ndef run(part):\n    part.passed('before')\n    os.kill(os.getpid(), 9)\n"
SLEEPS = """
import subprocess
def run(part):
    part.passed('before')
    child = subprocess.Popen(['sleep', '60'])
    part.keep('child', child.pid)
    child.wait()
"""
SKIPS = """
from kit.part import CannotCheck
def run(part):
    def body():
        raise CannotCheck('there is none')
    part.check('all of it', body)
"""


class Runs(InFolder):
    """`run.main` with parts that a test makes."""

    def run_parts(self, bodies: dict, *arguments: str) -> tuple[int, dict]:
        """Status and report. The part that is called slow has a limit of 15 s."""
        self.write("bundle.json", '{"revision": "r1"}')
        table = []
        for name, body in bodies.items():
            self.write(f"part_of_{name}.py", body)
            seconds = 15 if name == "slow" else 100
            table.append(Part(name, f"what {name} does", seconds, seconds, f"part_of_{name}"))
        output = os.path.join(self.folder, "out")
        path = os.pathsep.join([self.folder, DEVICE, os.path.join(ROOT, "cluster", "benchmarks")])
        with (
            mock.patch.object(parts, "PARTS", tuple(table)),
            mock.patch.object(parts, "NAMES", tuple(bodies)),
            mock.patch.object(programs, "obstacle", return_value=""),
            mock.patch.dict(os.environ, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1"),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            status = run.main(self.folder, "--output", output, *arguments)
        with open(os.path.join(output, "report.json"), encoding="utf-8") as stream:
            return status, json.load(stream)

    def expect_format(self, report: dict, names: list[str]) -> None:
        self.assertEqual(report["format"], 1)
        self.assertEqual(report["bundle"], {"revision": "r1"})
        self.assertIs(report["rehearsal"], False)
        self.assertRegex(report["started"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(list(report["parts"]), names)
        for part in report["parts"].values():
            self.assertIn(part["state"], STATES)
            for finding in part["findings"]:
                self.assertIn(finding["state"], STATES)
                self.assertTrue({"name", "state"} <= set(finding) <= {"name", "state", "detail"})

    def test_a_report_of_parts_that_end_in_all_ways(self):
        bodies = {"a": PASSES, "b": FAILS, "c": DIES, "d": SKIPS}
        status, report = self.run_parts(bodies)
        self.assertEqual(status, 1)
        self.expect_format(report, list(bodies))
        found = report["parts"]
        states = {name: part["state"] for name, part in found.items()}
        self.assertEqual(states, {"a": "passed", "b": "failed", "c": "failed", "d": "skipped"})
        self.assertEqual(found["a"]["values"], {"figure": 0.5})
        self.assertIn("ZeroDivisionError", found["b"]["findings"][0]["detail"])
        self.assertEqual(found["b"]["findings"][1]["name"], "two")
        self.assertEqual(found["c"]["findings"][0], {"name": "before", "state": "passed"})
        with open(os.path.join(self.folder, "out", "report.md"), encoding="utf-8") as stream:
            text = stream.read()
        self.assertIn("| b    |  failed |", text)
        self.assertIn("all of it: skipped: there is none", text)

    def test_nothing_wrong_is_status_0(self):
        status, report = self.run_parts({"a": PASSES, "d": SKIPS})
        self.assertEqual(status, 0)
        self.expect_format(report, ["a", "d"])

    def test_a_part_past_its_limit_is_ended_with_all_that_it_started(self):
        seen = []  # what the file said after each change
        put = Report.put

        def watched(report, name, part):
            put(report, name, part)
            with open(os.path.join(report.folder, "report.json"), encoding="utf-8") as stream:
                seen.append(json.load(stream)["parts"]["slow"])  # whole at any time

        with mock.patch.object(Report, "put", watched):
            status, report = self.run_parts({"slow": SLEEPS, "a": PASSES})
        self.assertEqual(status, 1)
        slow = report["parts"]["slow"]
        self.assertEqual(slow["state"], "out of time")
        self.assertEqual([f["state"] for f in slow["findings"]], ["passed", "out of time"])
        self.assertFalse(os.path.exists(f"/proc/{slow['child']}/root"), "its child goes on")
        self.assertEqual(report["parts"]["a"]["state"], "passed")
        # What it found was there while it ran.
        self.assertEqual(seen[0]["state"], "not run")
        self.assertIn(slow["findings"][0], seen[0]["findings"] + seen[1]["findings"])

    def test_a_run_that_is_ended_ends_what_it_started(self):
        """And what it had found is in the report."""
        output = os.path.join(self.folder, "out")
        self.write("bundle.json", "{}")
        self.write("part_of_slow.py", SLEEPS)
        code = """
            import sys
            from kit import parts, programs, run
            parts.PARTS = (parts.Part("slow", "sleeps", 100, 100, "part_of_slow"),)
            programs.obstacle = lambda *_, **__: ""
            sys.exit(run.main(sys.argv[1], "--output", sys.argv[2]))
        """
        path = os.pathsep.join([self.folder, DEVICE, os.path.join(ROOT, "cluster", "benchmarks")])
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), self.folder, output],
            env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(process.kill)
        slow = self.wait_for(lambda: self.of_report(output, "slow"), "child")
        process.terminate()
        self.assertEqual(process.wait(60), 128 + signal.SIGTERM)
        self.assertFalse(os.path.exists(f"/proc/{slow['child']}/root"), "its child goes on")
        self.assertIn({"name": "before", "state": "passed"}, slow["findings"])

    def of_report(self, output: str, name: str) -> dict:
        try:
            with open(os.path.join(output, "report.json"), encoding="utf-8") as stream:
                return json.load(stream)["parts"][name]
        except FileNotFoundError:
            return {}

    def wait_for(self, look, key: str) -> dict:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = look()
            if key in found:
                return found
            time.sleep(0.1)
        self.fail(f"no {key} within a minute")

    def test_only_some_parts(self):
        status, report = self.run_parts({"a": PASSES, "b": FAILS}, "--only", "a")
        self.assertEqual(status, 0)
        self.expect_format(report, ["a"])


class Refusals(InFolder):
    """run.sh itself, as a bundle has it, with a Python whose torch is a name and a version."""

    def setUp(self):
        super().setUp()
        shutil.copy(os.path.join(DEVICE, "run.sh"), self.folder)
        for name in ("kit", "checks", "timing", "networks"):
            shutil.copytree(os.path.join(DEVICE, name), os.path.join(self.folder, "python", name))
        measuring = os.path.join(ROOT, "cluster", "benchmarks", "measuring")
        shutil.copytree(measuring, os.path.join(self.folder, "python", "measuring"))
        self.write("bundle.json", "{}")
        self.torch("2.11.0+cu130", "13.0")

    def torch(self, version: str, cuda: str) -> None:
        self.write("python/torch/__init__.py", "raise RuntimeError('nobody loads it')\n")
        self.write("python/torch/version.py", f"__version__ = '{version}'\ncuda: str = '{cuda}'\n")

    def refused(self, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [os.path.join(self.folder, "run.sh"), *arguments],
            env=os.environ | {"PYTHON": sys.executable} | environment,
            cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "device-report")))
        return done.stderr

    def test_an_unknown_part_with_those_there_are(self):
        said = self.refused("--only", "machine,kernel")
        self.assertIn('"kernel" is no part', said)
        for part in parts.NAMES:
            self.assertIn(part, said)

    def test_a_machine_without_a_gpu(self):
        if programs.gpu_count() > 0:
            self.skipTest("there is a GPU")
        self.assertIn("no GPU", self.refused())

    def test_a_python_with_another_torch(self):
        self.torch("2.10.0+cu130", "13.0")
        self.assertIn("2.10.0+cu130 for CUDA 13.0; the programs need 2.11", self.refused())
        self.torch("2.11.0+cpu", "")
        self.assertIn("for CUDA none", self.refused())

    def test_no_python(self):
        self.assertIn("no-such-python", self.refused(PYTHON="no-such-python"))

    def test_a_null_gpu_that_is_not_there(self):
        self.assertIn("nowhere.so: not there", self.refused("--null-gpu", "nowhere.so"))


class Packing(InFolder):
    """pack.sh on programs that are none of Thaw's."""

    PROGRAMS = ("thaw", "thaw-hdf5-probe", "tests/test_core_kernels",
                "tests/test_dist_communicator", "tests/dist/communicator/test_dist_mpi")  # fmt: skip

    def setUp(self):
        super().setUp()
        if not all(map(shutil.which, ("orterun", "orted", "ompi_info", "xz", "strip"))):
            self.skipTest("Open MPI, xz or strip are not here")
        for name in self.PROGRAMS:
            path = os.path.join(self.folder, "build", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy(shutil.which("orterun"), path)
        self.write("data/file", "data")
        self.output = os.path.join(self.folder, "out", "bundle.tar.xz")

    def pack(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [os.path.join(DEVICE, "pack.sh"), "--build", os.path.join(self.folder, "build"),
             "--data", os.path.join(self.folder, "data"), "--output", self.output, *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_what_is_in_a_bundle(self):
        self.pack()
        with tarfile.open(self.output) as archive:
            members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
        for name in (
            "run.sh",
            "bin/mpirun",
            *(f"bin/{os.path.basename(p)}" for p in self.PROGRAMS),
        ):
            self.assertTrue(members[name].mode & stat.S_IXUSR, name)
        for name in ("python/kit/run.py", "python/measuring/report.py", "python/peers/freezing.py",
                     "data/file", "bundle.json", "mpi/lib/openmpi3/mca_pml_ob1.so"):  # fmt: skip
            self.assertIn(name, members)
        libraries = [name for name in members if name.startswith("lib/")]
        self.assertTrue(any(name.startswith("lib/libopen-rte.so") for name in libraries))
        of_glibc = [n for n in libraries if n.startswith(("lib/libc.so", "lib/libm.so", "lib/ld-"))]
        self.assertEqual(of_glibc, [])

    def test_one_that_is_too_large_is_none(self):
        said = self.pack("--limit", "1", status=1)
        self.assertRegex(said, r"the bundle has \d+ KiB, more than the 1 MiB that it may have")
        self.assertRegex(said, r"the largest files: \d+\s+\S")
        self.assertFalse(os.path.exists(self.output))

    def test_a_program_that_is_not_built(self):
        os.unlink(os.path.join(self.folder, "build", self.PROGRAMS[2]))
        self.assertIn("test_core_kernels: not there", self.pack(status=1))

    def test_a_limit_that_is_no_number(self):
        self.assertIn(
            '--limit needs a number of MiB, not "much"', self.pack("--limit", "much", status=1)
        )


if __name__ == "__main__":
    unittest.main()
