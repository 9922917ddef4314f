"""What is not tested is told when CMake configures: folders without tests, tests in no folder."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# No compiler is asked for: the messages come before anything is generated, and the last one says that
# there was none.
PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(planted NONE)
list(APPEND CMAKE_MODULE_PATH "{modules}")
option(THAW_PRECOMPILED_HEADERS "" OFF)
include(Precompiled)
include(Unity)
include(Library)
include(Testing)
add_subdirectory(core)
add_subdirectory(tests)
message(FATAL_ERROR "nothing was amiss")
"""
CORE = "thaw_library(thaw_base FOLDER base)\nthaw_library(thaw_data FOLDER data DEPENDS thaw_base)\n"
TESTS = """
thaw_test_folder(core/base thaw_base)
thaw_test_folder(core/data thaw_data)
thaw_every_test_is_registered()
thaw_python_tests(setup)
"""
FILES = {
    "core/CMakeLists.txt": CORE,
    "core/base/hash.cpp": "",
    "core/data/order/keys.cpp": "",
    "tests/CMakeLists.txt": TESTS,
    "tests/support/paths.cpp": "",
    "tests/core/base/hash_test.cpp": "",
    "tests/core/data/keys_test.cpp": "",
    "tests/setup/a_test.py": "",
}


@unittest.skipUnless(shutil.which("cmake"), "no cmake")
class Registration(unittest.TestCase):
    def configured(self, **changes):
        """What CMake says of a small project; None takes a file away."""
        with tempfile.TemporaryDirectory(prefix="registration-") as folder:
            root = pathlib.Path(folder)
            files = {"CMakeLists.txt": PROJECT.format(modules=ROOT / "launch/cmake"), **FILES, **changes}
            for path, text in files.items():
                if text is not None:
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    (root / path).write_text(text, encoding="utf-8")
            done = subprocess.run(["cmake", "-S", root, "-B", root / "build"], text=True,
                                  capture_output=True, check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return " ".join(done.stderr.split())

    def test_a_sound_project_is_let_be(self):
        self.assertIn("nothing was amiss", self.configured())

    def test_a_library_without_tests(self):
        message = self.configured(**{
            "tests/CMakeLists.txt": TESTS.replace("thaw_test_folder(core/base thaw_base)\n", ""),
            "tests/core/base/hash_test.cpp": None})
        self.assertRegex(message, r"Libraries without tests in tests/CMakeLists.txt: \S+/core/base ")

    def test_a_registered_folder_without_tests(self):
        self.assertIn("tests/core/base is registered and holds no *_test.cpp",
                      self.configured(**{"tests/core/base/hash_test.cpp": None}))
        self.assertIn("tests/setup is registered and holds no *_test.py",
                      self.configured(**{"tests/setup/a_test.py": None}))

    def test_a_test_in_a_folder_that_nobody_registered(self):
        self.assertRegex(self.configured(**{"tests/core/other/a_test.cpp": ""}),
                         r"tests/CMakeLists.txt registers: \S+/tests/core/other/a_test.cpp ")


if __name__ == "__main__":
    unittest.main()
