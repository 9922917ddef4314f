"""Doxygen makes the API documentation of the public headers without a warning: into the build's
folder `api` where there is one."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from source_tree import ROOT


def gather(output: str) -> str:
    """The public headers, as they are installed."""
    headers = f"{output}/headers"
    subprocess.run(
        ["cmake", "-D", f"THAW_SOURCE={ROOT}", "-D", f"THAW_HEADERS_INTO={headers}",
         "-P", f"{ROOT}/launch/cmake/PublicHeaders.cmake"],
        check=True, capture_output=True,
    )  # fmt: skip
    return headers


def document(headers: str, output: str):
    return subprocess.run(
        ["doxygen", f"{ROOT}/Doxyfile"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "THAW_API_HEADERS": headers, "THAW_API_OUTPUT": output},
    )  # fmt: skip


class ApiDocumentation(unittest.TestCase):
    def setUp(self):
        command = os.environ.get("THAW_COMMAND")
        if command:
            self.output = f"{os.path.dirname(command)}/api"
            shutil.rmtree(self.output, ignore_errors=True)
            os.makedirs(self.output)
        else:
            self.output = tempfile.mkdtemp(prefix="api-")
            self.addCleanup(shutil.rmtree, self.output)

    def test_of_this_project(self):
        result = document(gather(self.output), self.output)
        self.assertEqual(result.returncode, 0, "\n" + result.stdout)
        page = f"{self.output}/html/classthaw_1_1DataParallel.html"
        with open(page, encoding="utf-8") as stream:
            self.assertIn("finish", stream.read())

    def test_finds_a_mistake(self):
        headers = f"{self.output}/planted"
        os.makedirs(headers)
        with open(f"{headers}/a.h", "w", encoding="utf-8") as stream:
            stream.write("/// \\file\n\n/// Adds. \\param c is no parameter.\nint add(int a, int b);\n")
        self.assertNotEqual(document(headers, f"{self.output}/planted").returncode, 0)


if __name__ == "__main__":
    if not shutil.which("doxygen"):
        print("SKIPPED: no doxygen (on Debian: apt-get install doxygen)")
        sys.exit(77)
    unittest.main()
