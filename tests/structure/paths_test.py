"""No file of the project names an absolute path of somebody's machine."""

import os
import re
import unittest

from source_tree import ROOT, read, tracked

# Where people keep their things; written so that this file does not match itself.
PLACES = "|".join(["home", "root", "Users", "work", "mnt", "scratch", "opt", "workspace"])
PATTERN = re.compile(rf"(?<![\w./$}})~*-])/(?:{PLACES})/[\w.-]+")


def problems(path: str, text: str) -> list:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = PATTERN.search(line)
        if match or os.path.dirname(ROOT) + "/" in line and len(os.path.dirname(ROOT)) > 1:
            found.append(f"{path}:{number}: names a path of one machine: {line.strip()[:100]}")
    return found


class Paths(unittest.TestCase):
    def test_of_this_project(self):
        found = []
        for path in tracked():
            found += problems(path, read(path))
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_finds_one(self):
        for planted in ("/" + "home/ann/thaw", "see /" + "work/main/x.h", '"/' + 'opt/torch"'):
            self.assertEqual(len(problems("a", "fine\n" + planted)), 1, planted)

    def test_lets_others_be(self):
        for text in ("tests/home/x", "https://a.org/home/ann", "$X/opt/y", "/usr/share/wordnet"):
            self.assertEqual(problems("a", text), [], text)


if __name__ == "__main__":
    unittest.main()
