"""The installed package serves a project outside of the build: installs, moves what was installed,
builds tests/consumer against it alone, and trains under mpirun in both ways."""

import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.dirname(os.environ.get("THAW_COMMAND", ""))
# Of Debian's package dataset-fashion-mnist.
DATA = os.environ.get("THAW_FASHION_MNIST", "/usr/share/datasets/fashion-mnist")


def run(*command: str, **options) -> str:
    """Standard output and error of a command that must succeed."""
    result = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}")
    return result.stdout


def cached(name: str) -> str:
    """A variable of the build's configuration."""
    with open(f"{BUILD}/CMakeCache.txt", encoding="utf-8") as cache:
        return re.search(rf"^{name}(?::\w+)?=(.*)$", cache.read(), re.MULTILINE)[1]


class Consumer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Always the same place, which ccache honours.
        cls.folder = f"{BUILD}/tests/consumer-project"
        shutil.rmtree(cls.folder, ignore_errors=True)
        os.makedirs(cls.folder)
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        run("cmake", "--install", BUILD, "--prefix", f"{cls.folder}/first")
        cls.prefix = f"{cls.folder}/prefix"
        os.rename(f"{cls.folder}/first", cls.prefix)  # it may be moved
        cls.build = f"{cls.folder}/build"
        launcher = shutil.which("ccache")
        cls.configure = [
            "cmake", "-S", f"{ROOT}/tests/consumer", "-B", cls.build,
            *(["-G", "Ninja"] if shutil.which("ninja") else []),
            *([f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}"] if launcher else []),
            f"-DCMAKE_PREFIX_PATH={cls.prefix}",
            f"-DTHAW_TORCH={cached('THAW_TORCH_FOLDER')}",
        ]  # fmt: skip
        run(*cls.configure)
        run("cmake", "--build", cls.build)

    def test_names_no_path_of_the_build(self):
        texts = 0
        for folder, _, names in os.walk(self.prefix):
            for name in names:
                if not name.endswith((".h", ".cmake")):
                    continue
                texts += 1
                with open(f"{folder}/{name}", encoding="utf-8") as stream:
                    text = stream.read()
                for place in (BUILD, ROOT, self.folder):
                    self.assertNotIn(place + "/", text, f"{folder}/{name}")
        self.assertGreater(texts, 40)

    def test_installs_public_headers_alone(self):
        installed = f"{self.prefix}/include/thaw"
        for header in ("thaw.h", "data_parallel.h", "trainer.h", "core/base/error.h"):
            self.assertTrue(os.path.isfile(f"{installed}/{header}"), header)
        for inner in ("core/data/hdf5/hdf5_handle.h", "dist/communicator/mpi/mpi_check.h", "launch"):
            self.assertFalse(os.path.exists(f"{installed}/{inner}"), inner)

    def test_the_command_runs(self):
        self.assertIn("thaw", run(f"{self.prefix}/bin/thaw", "--help"))

    def refusal(self, *arguments: str) -> str:
        """What configuring anew with these arguments ends with."""
        result = subprocess.run(
            [*self.configure[:3], "-B", f"{self.folder}/refused", *arguments],
            text=True, capture_output=True,
        )  # fmt: skip
        self.assertNotEqual(result.returncode, 0)
        return " ".join(result.stderr.split())

    def test_says_that_libtorch_is_missing(self):
        said = self.refusal(f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DTHAW_TORCH=/nowhere")
        self.assertIn("Thaw cannot be used yet. Missing: - no LibTorch in /nowhere", said)

    def test_refuses_a_libtorch_of_another_version(self):
        (package,) = glob.glob(f"{self.prefix}/lib*/cmake/Thaw")
        other = f"{self.folder}/other"
        shutil.copytree(package, other)
        with open(f"{other}/ThawConfig.cmake", encoding="utf-8") as stream:
            text = stream.read()
        with open(f"{other}/ThawConfig.cmake", "w", encoding="utf-8") as stream:
            stream.write(re.sub(r'VERSION_EQUAL "[^"]+"', 'VERSION_EQUAL "2.6.9"', text))
        said = self.refusal(f"-DThaw_DIR={other}", self.configure[-1])
        self.assertIn("which this Thaw was built with", said)

    def train(self, way: str) -> str:
        return run(
            os.environ.get("THAW_MPIEXEC", "mpirun"), "-n", "2",
            f"{self.build}/fashion_mnist", way, DATA,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
        )  # fmt: skip

    def test_trains_in_a_loop_of_its_own(self):
        said = self.train("own-loop")
        self.assertIn("own-loop on 2 ranks", said)
        self.assertIn("tensors that differ between ranks: 0", said)

    def test_trains_with_the_trainer(self):
        said = self.train("trainer")
        self.assertIn("trainer: 3 stages", said)
        self.assertIn("tensors that differ between ranks: 0", said)


if __name__ == "__main__":
    if not os.path.isfile(f"{BUILD}/thaw"):
        print("SKIPPED: no build (THAW_COMMAND)")
        sys.exit(77)
    if not os.path.isdir(DATA):
        print(f"SKIPPED: no {DATA} (on Debian: apt-get install dataset-fashion-mnist)")
        sys.exit(77)
    unittest.main()
