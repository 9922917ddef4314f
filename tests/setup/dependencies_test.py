"""Configuring tells all that is missing in one message, with Debian's names; and takes a library
from where <Name>_ROOT says."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path: str) -> str:
    with open(os.path.join(ROOT, path), encoding="utf-8") as stream:
        return stream.read()


class Dependencies(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="dependencies-")
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name: str, text: str) -> None:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)

    def refusal(self, *arguments: str) -> str:
        """The error that configuring ends with."""
        result = subprocess.run(
            ["cmake", "-S", ROOT, "-B", f"{self.folder}/build", "-DTHAW_CUDA=OFF", *arguments],
            capture_output=True,
            text=True,
        )
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stderr.count("CMake Error"), 1, result.stderr)
        return " ".join(result.stderr.split())

    def test_tells_all_that_is_missing_at_once(self):
        said = self.refusal(
            "-DTHAW_TORCH=/nowhere",
            "-DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON",
            "-DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON",
        )
        self.assertIn("no LibTorch in /nowhere", said)
        self.assertIn("MPI 3.0", said)
        self.assertIn("-DMPI_ROOT=DIR", said)
        self.assertIn("apt-get install openmpi-bin libopenmpi-dev nlohmann-json3-dev", said)

    def test_looks_where_root_says(self):
        self.write(
            "hdf5/include/H5public.h", '#define H5_VERS_INFO "HDF5 library version: 1.8.23"\n'
        )
        self.write("hdf5/include/hdf5.h", "")
        self.write("hdf5/lib/libhdf5.so", "")
        said = self.refusal(f"-DHDF5_ROOT={self.folder}/hdf5")
        self.assertIn("HDF5 1.10 or newer, its C library (found: 1.8.23)", said)
        self.assertIn("apt-get install libhdf5-dev", said)

    def test_names_only_packages_that_set_up_installs(self):
        listed = [
            line.split()[1]
            for line in read("launch/setup/packages.txt").splitlines()
            if line[0] != "#"
        ]
        named = set(
            re.findall(
                r"\blib[\w-]+-dev\b|openmpi-bin|nlohmann-json3-dev",
                read("launch/cmake/Dependencies.cmake") + read("launch/cmake/ThirdParty.cmake"),
            )
        )
        self.assertGreater(len(named), 8)
        self.assertEqual(named - set(listed), set())


if __name__ == "__main__":
    unittest.main()
