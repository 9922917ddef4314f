"""C++ is formatted as .clang-format says (clang-format 14: other versions break lines otherwise)."""

import re
import shutil
import subprocess
import sys
import unittest

from source_tree import CPP, ROOT, tracked

VERSION = "14"


def clang_format():
    """The program of the right version, or None."""
    for name in (f"clang-format-{VERSION}", "clang-format"):
        if shutil.which(name):
            text = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
            if re.search(rf"version {VERSION}\.", text):
                return name
    return None


def check(program: str, *arguments: str, text: str = ""):
    return subprocess.run(
        [program, "--dry-run", "-Werror", *arguments],
        input=text,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


class Format(unittest.TestCase):
    def test_of_this_project(self):
        result = check(PROGRAM, *tracked(*CPP))
        lines = [line for line in result.stderr.splitlines() if ": error: " in line]
        self.assertEqual(result.returncode, 0, "\n" + "\n".join(lines[:50]))

    def test_finds_what_is_not(self):
        result = check(PROGRAM, "--assume-filename=core/base/a.cpp", text="int   x ;\n")
        self.assertNotEqual(result.returncode, 0)


if __name__ == "__main__":
    PROGRAM = clang_format()
    if PROGRAM is None:
        print(f"SKIPPED: no clang-format {VERSION} (on Debian: apt-get install clang-format-14)")
        sys.exit(77)
    unittest.main()
