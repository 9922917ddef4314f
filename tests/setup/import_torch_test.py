"""launch/cmake/ImportTorch.cmake on small libraries made to look like LibTorch's many forms."""

import os
import shutil
import subprocess
import tempfile
import textwrap
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

C10 = """
#include <string>
namespace c10::detail {
void torchCheckFail(const char*, const char*, unsigned, const std::string&) {}
}
"""


class ImportTorch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="import-torch-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.write(
            "CMakeLists.txt",
            f"""
            cmake_minimum_required(VERSION 3.22)
            project(user CXX)
            include("{ROOT}/launch/cmake/ImportTorch.cmake")
            thaw_import_torch(problem)
            string(REPLACE "\\n" " " problem "${{problem}}")
            message(STATUS "problem: ${{problem}}|")
            if(TARGET Thaw::torch)
              message(STATUS "found: ${{THAW_TORCH_VERSION}} ${{THAW_TORCH_FOLDER}}|")
              message(STATUS "run path: ${{THAW_TORCH_RUN_PATH}}|")
            endif()
            """,
        )

    def write(self, name: str, text: str) -> str:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(textwrap.dedent(text))
        return path

    def library(self, name: str, source: str, *flags: str) -> str:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        command = ["c++", "-shared", "-fPIC", "-x", "c++", "-", "-x", "none", "-o", path, *flags]
        subprocess.run(command, input=source, text=True, check=True)
        return path

    def libtorch(self, place: str, version: str, *flags: str, header="torch/headeronly/version.h"):
        """A LibTorch in `place`; `flags` are of the compiler, for both libraries."""
        major, minor, patch = version.split(".")
        self.write(f"{place}/include/ATen/ATen.h", "")
        self.write(
            f"{place}/include/{header}",
            f"""
            #define TORCH_VERSION_MAJOR {major}
            #define TORCH_VERSION_MINOR {minor}
            #define TORCH_VERSION_PATCH {patch}
            #define TORCH_VERSION "{version}"
            """,
        )
        self.library(f"{place}/lib/libc10.so", C10, *flags)
        self.library(f"{place}/lib/libtorch_cpu.so", "int torch_cpu;", *flags)

    def needing(self, name: str) -> list:
        """Flags that make a library need the library `name`, which no run path leads to."""
        stub = self.library(f"stub/{name}", "int stub;", f"-Wl,-soname,{name}")
        return ["-Wl,--no-as-needed", stub]

    def configure(self, *arguments: str, **environment: str) -> dict:
        """What configuring said: word -> rest of its line."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if name not in ("THAW_TORCH", "Torch_ROOT", "VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_HOME")
        }
        build = tempfile.mkdtemp(dir=self.folder)
        result = subprocess.run(
            ["cmake", "-S", self.folder, "-B", build, *arguments],
            capture_output=True,
            text=True,
            env=clean | environment,
        )
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        said = {}
        for line in result.stdout.split("|"):
            for word in ("problem", "found", "run path"):
                if f"-- {word}: " in line:
                    said[word] = line.partition(f"-- {word}: ")[2].replace(self.folder, "TMP")
        return said

    def assert_found(self, said: dict, version: str, place: str):
        self.assertEqual(said["problem"], "")
        self.assertEqual(said["found"], f"{version} TMP/{place}")

    def test_takes_each_layout(self):
        packages = "env/lib/python3.12/site-packages"
        self.libtorch(f"{packages}/torch", "2.11.0")
        self.libtorch("zip/libtorch", "2.7.1", header="torch/csrc/api/include/torch/version.h")
        for given in ("env", packages, f"{packages}/torch"):
            said = self.configure(f"-DTHAW_TORCH={self.folder}/{given}")
            self.assert_found(said, "2.11.0", f"{packages}/torch")
        for given in ("zip", "zip/libtorch"):
            said = self.configure(f"-DTorch_ROOT={self.folder}/{given}")
            self.assert_found(said, "2.7.1", "zip/libtorch")

    def test_looks_in_order(self):
        for name, version in (("a", "2.8.0"), ("b", "2.9.0"), (".venv", "2.10.0")):
            self.libtorch(name, version)
        a, b = f"{self.folder}/a", f"{self.folder}/b"
        self.assert_found(self.configure(f"-DTHAW_TORCH={a}", THAW_TORCH=b), "2.8.0", "a")
        self.assert_found(self.configure(THAW_TORCH=b), "2.9.0", "b")
        self.assert_found(self.configure(f"-DCMAKE_PREFIX_PATH=/nowhere;{b}"), "2.9.0", "b")
        self.assert_found(self.configure(VIRTUAL_ENV=a), "2.10.0", ".venv")
        shutil.rmtree(f"{self.folder}/.venv")
        self.assert_found(self.configure(VIRTUAL_ENV=a), "2.8.0", "a")

    def test_asks_an_environment_that_borrows(self):
        self.libtorch("lender/torch", "2.8.0")
        self.write("lender/torch/__init__.py", "")
        python = self.write(
            "borrower/bin/python3",
            f'#!/bin/sh\nPYTHONPATH={self.folder}/lender exec python3 "$@"\n',
        )
        os.chmod(python, 0o755)
        said = self.configure(f"-DTHAW_TORCH={self.folder}/borrower")
        self.assert_found(said, "2.8.0", "lender/torch")

    def test_names_what_is_not_there(self):
        self.libtorch(".venv", "2.8.0")  # not taken instead of the one that was named
        said = self.configure("-DTHAW_TORCH=/nowhere/torch")
        self.assertIn("no LibTorch in /nowhere/torch", said["problem"])
        self.assertNotIn("found", said)
        shutil.rmtree(f"{self.folder}/.venv")
        self.assertIn("launch/quickstart.sh", self.configure()["problem"])
        self.assertIn("-DTHAW_TORCH=DIR", self.configure()["problem"])

    def test_refuses_what_is_too_old(self):
        self.libtorch("old", "2.6.0", "-D_GLIBCXX_USE_CXX11_ABI=0")
        said = self.configure(f"-DTHAW_TORCH={self.folder}/old")
        self.assertIn("LibTorch 2.6.0 in TMP/old is older than 2.7", said["problem"])
        self.assertIn("pip install 'torch>=2.7'", said["problem"])
        self.assertNotIn("found", said)

    def test_refuses_the_old_abi(self):
        self.libtorch("old", "2.7.0", "-D_GLIBCXX_USE_CXX11_ABI=0")
        said = self.configure(f"-DTHAW_TORCH={self.folder}/old")
        self.assertIn("old C++ ABI", said["problem"])
        self.assertIn("cxx11-abi", said["problem"])

    def test_refuses_what_is_not_whole(self):
        self.libtorch("torch", "2.8.0")
        os.remove(f"{self.folder}/torch/lib/libtorch_cpu.so")
        said = self.configure(f"-DTHAW_TORCH={self.folder}/torch")
        self.assertIn("libtorch_cpu.so is missing", said["problem"])

    def test_says_which_wheels_a_cuda_build_lacks(self):
        for major, wheels in (
            (96, "'nvidia-cuda-cupti==96.*' 'nvidia-cuda-runtime==96.*'"),
            (7, "nvidia-cuda-cupti-cu7 nvidia-cuda-runtime-cu7"),
        ):
            self.libtorch("torch", "2.9.0", *self.needing(f"libcupti.so.{major}"))
            said = self.configure(f"-DTHAW_TORCH={self.folder}/torch")
            self.assertIn(f"does not load: libcupti.so.{major}: cannot open", said["problem"])
            self.assertIn(f"pip install --no-deps {wheels}", said["problem"])
            self.assertNotIn("found", said)

    def test_takes_cuda_libraries_of_wheels_and_toolkits(self):
        needs = self.needing("libcupti.so.96") + self.needing("libcudart.so.96")
        self.libtorch("env/torch", "2.9.0", *needs)
        os.makedirs(f"{self.folder}/env/nvidia/cupti/lib")
        shutil.move(f"{self.folder}/stub/libcupti.so.96", f"{self.folder}/env/nvidia/cupti/lib")
        os.makedirs(f"{self.folder}/cuda/lib64")
        shutil.move(f"{self.folder}/stub/libcudart.so.96", f"{self.folder}/cuda/lib64")
        said = self.configure(f"-DTHAW_TORCH={self.folder}/env", CUDA_HOME=f"{self.folder}/cuda")
        self.assert_found(said, "2.9.0", "env/torch")
        self.assertEqual(
            said["run path"], "TMP/env/torch/lib;TMP/env/nvidia/cupti/lib;TMP/cuda/lib64"
        )


if __name__ == "__main__":
    unittest.main()
