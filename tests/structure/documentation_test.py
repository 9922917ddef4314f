"""READMEs: links and anchors resolve, the commands and options shown exist, the front door is short,
the reading path too; and each check is shown to find what it is for.

    tests/structure/documentation_test.py --write    writes the options' table of configs/README.md

THAW_COMMAND names the program (default: build/thaw). Without one, sub-commands are known from
subcommand.cpp, and options are not checked.
"""

import os
import re
import subprocess
import sys
import unittest

import documentation
from source_tree import ROOT, read, tracked

COMMAND = os.environ.get("THAW_COMMAND", os.path.join(ROOT, "build", "thaw"))
OPTIONS_PAGE = "configs/README.md"


def help_of(*words: str) -> str:
    """Of the sub-command's own options, and of the configuration's where it takes them."""
    text = ""
    for option in ("--help", "--help-config"):
        if option in text or option == "--help":
            text += subprocess.run(
                [*words, option], capture_output=True, text=True, check=True, cwd=ROOT
            ).stdout
    return text


def has_command() -> bool:
    return os.access(COMMAND, os.X_OK)


def subcommands() -> dict:
    """Sub-command -> its flags; no flags where there is no program to ask."""
    (table,) = tracked("/subcommand.cpp")
    names = re.findall(r'\{"([a-z-]+)",', read(table))
    if not has_command():
        return {name: set() for name in names}
    return {
        name: {"help"} | set(re.findall(r"--([a-z][\w.-]*)", help_of(COMMAND, name)))
        for name in names
    }


def scripts(paths: list) -> dict:
    """Script -> where its flags are written: its own text, and the Python of its folder's packages."""
    found = {}
    for path in paths:
        if not path.endswith((".sh", ".py", ".sbatch")):
            continue
        folder = os.path.dirname(path)
        beside = [
            read(other)
            for other in paths
            if path.endswith(".py") and other.endswith(".py") and other.startswith(folder + "/")
        ]
        found[path] = "".join([read(path), *beside])
    # What they hand on: to ctest, to thaw compare, to thaw train.
    for path in ("tests/run.sh", "cluster/studies/run.sh", *(p for p in found if "/slurm/" in p)):
        found.pop(path, None)
    return found


def project() -> documentation.Project:
    paths = tracked()
    return documentation.Project(
        files={path: len(read(path).splitlines()) for path in paths},
        commands=subcommands(),
        scripts=scripts(paths),
    )


def readmes() -> dict:
    return {path: read(path) for path in tracked("README.md")}


class Documentation(unittest.TestCase):
    def test_of_this_project(self):
        found = documentation.problems(readmes(), project())
        self.assertFalse(found, "\n" + "\n".join(found))

    @unittest.skipUnless(has_command(), "no program to ask for its options")
    def test_options_page(self):
        text = read(OPTIONS_PAGE)
        expected = documentation.with_options(text, help_of(COMMAND, "train"))
        self.assertEqual(
            text, expected, f"{OPTIONS_PAGE}: tests/structure/documentation_test.py --write"
        )


PLANTED = documentation.Project(
    files={
        "README.md": 10,
        "configs/a.toml": 20,
        "core/README.md": 30,
        "core/long.cpp": 1501,
        "launch/tool.py": 40,
        "cluster/benchmarks/cost.cpp": 50,
        **{f"core/{i}.cpp": 10 for i in range(10)},
    },
    commands={
        "train": {"help", "run-dir", "data.batch", "train.seed"},
        "launch": {"help", "restarts"},
    },
    scripts={"launch/tool.py": 'add_argument("--output")'},
)


def found_in(text: str, path: str = "README.md") -> list:
    """Problems of one page of a small sound project."""
    sound = {
        f"{room}/README.md": "# A room\n" for room in documentation.ROOMS_WITH_README
    }
    sound["core/README.md"] = "# Core\n\n## Reading path\n\n" + "".join(
        f"{i + 1}. [{i}.cpp]({i}.cpp)\n" for i in range(10)
    )
    return documentation.problems({**sound, "README.md": "# All\n", path: text}, PLANTED)


class TestsThatAreNamed(unittest.TestCase):
    """In the last column of the table beside DistributedDataParallel: suites, and `Suite.Name`s."""

    @staticmethod
    def unknown(page: str, sources: list) -> list:
        written = re.findall(r"^TEST(?:_F|_P)?\((\w+), (\w+)\)", "\n".join(sources), re.MULTILINE)
        known = {suite for suite, _ in written} | {f"{suite}.{name}" for suite, name in written}
        rows = re.findall(r"^\| \d+ \|.*\| ([^|]+) \|$", page, re.MULTILINE)
        return [name for row in rows for name in re.findall(r"`([^`]+)`", row) if name not in known]

    def test_there_are(self):
        page = read("dist/README.md")
        rows = re.findall(r"^\| (\d+) \|.*\| `[^|]+ \|$", page, re.MULTILINE)
        self.assertEqual(rows, [str(row) for row in range(1, 39)])
        sources = [read(path) for path in tracked("_test.cpp") if path.startswith("tests/dist/")]
        self.assertEqual(self.unknown(page, sources), [])

    def test_those_that_there_are_not_are_found(self):
        page = "| 1 | a | b | c | `Loop`, `Loop.Ends` |\n| 2 | a | b | c | `Lop`, `Loop.End` |\n"
        self.assertEqual(self.unknown(page, ["TEST_P(Loop, Ends) {"]), ["Lop", "Loop.End"])


class Checks(unittest.TestCase):
    def only(self, text: str, path: str = "README.md") -> str:
        found = found_in(text, path)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_let_sound_pages_be(self):
        text = """# One `two`, three
[itself](#one-two-three), [room](core/README.md#reading-path), [web](https://a.org/x#y)
`thaw train configs/a.toml --data.batch 3`, `train.seed`, `data.csv`, `core/long.cpp`
```sh
launch/tool.py --output x && build/thaw train CONFIG [--run-dir DIR]   # --no-flag
mpirun -n 2 build/thaw train configs/a.toml \\
    --schedule.stage.head.learning-rate 1e-3
thaw launch -n 2 --bind-to none -- train configs/a.toml
build/cluster/benchmarks/cost
```
```toml
[train]
seed = 1
```
"""
        self.assertEqual(found_in(text), [])

    def test_find_a_link_to_nothing(self):
        self.assertIn("README.md:3: link to core/b.md: there is no", self.only("#\n\n[b](core/b.md)"))
        self.assertIn("there is no gone.md", self.only("[b](../gone.md)", "launch/README.md"))

    def test_find_an_anchor_to_nothing(self):
        self.assertIn("no heading #two", self.only("# One\n[x](#two)"))
        self.assertIn("no heading #reading", self.only("[x](core/README.md#reading)"))

    def test_find_commands_that_do_not_exist(self):
        block = "```sh\n{}\n```\n".format
        self.assertIn("no thaw trian", self.only(block("build/thaw trian CONFIG")))
        self.assertIn("no thaw trian", self.only("Then `thaw trian CONFIG` it."))
        self.assertIn("no thaw trian", self.only(block("thaw launch -n 2 -- trian CONFIG")))
        self.assertIn("no option --data.bach", self.only(block("thaw train a \\\n  --data.bach 1")))
        self.assertIn("README.md:2: there is no launch/quick.sh", self.only(block("launch/quick.sh")))
        self.assertIn("no configs/b.toml", self.only(block("thaw train configs/b.toml")))
        self.assertIn("no option --ouput", self.only(block("launch/tool.py --ouput x")))
        self.assertIn("made of no", self.only(block("build/cluster/benchmarks/speed")))
        self.assertIn("no core/gone.cpp", self.only("See `core/gone.cpp`."))

    def test_find_options_that_do_not_exist(self):
        self.assertIn("README.md:2: there is no option train.sed", self.only("#\n`train.sed = 3`"))
        self.assertIn("no option train.sed", self.only("```toml\n[train]\nsed = 1\n```"))
        self.assertIn("no TOML", self.only("```toml\n[train\n```"))

    def test_find_a_front_door_that_is_too_long(self):
        self.assertEqual(found_in("line\n" * 200), [])
        self.assertIn("201 lines", self.only("line\n" * 201))

    def test_find_a_reading_path_that_is_too_long(self):
        path = "core/README.md"
        listed = "".join(f"{i + 1}. [x]({i}.cpp)\n" for i in range(10))
        self.assertEqual(found_in("## Reading path\n" + listed, path), [])
        self.assertIn("1601 lines", self.only("## Reading path\n11. [l](long.cpp)\n" + listed, path))
        self.assertIn("names 0 files", self.only("## Another\n" + listed, path))

    def test_find_a_room_without_one(self):
        found = documentation.problems({"README.md": ""}, PLANTED)
        self.assertIn("dist/README.md:1: there is none", found)

    def test_options_as_a_table(self):
        help_text = (
            "Options:\n  -h [ --help ]  prints\n\n[data]:\n"
            "  --data.batch INTEGER (=64)  [samples] of one step, over\n"
            "                              all ranks\n"
            "  --data.cache TEXT  auto | off: where\n\nA stage's options are flags too\n"
        )
        page = "# Options\n" + documentation.BEGIN + "old\n" + documentation.END + "end\n"
        written = documentation.with_options(page, help_text)
        self.assertIn("| `batch` | integer | `64` | [samples] of one step, over all ranks |", written)
        self.assertIn("| `cache` | text |  | auto \\| off: where |", written)
        self.assertNotIn("old", written)
        self.assertEqual(documentation.with_options(written, help_text), written)
        self.assertNotEqual(documentation.with_options(written, help_text.replace("64", "32")), written)
        with self.assertRaisesRegex(ValueError, "no line"):
            documentation.with_options("# Options\n", help_text)


def write_options() -> None:
    text = documentation.with_options(read(OPTIONS_PAGE), help_of(COMMAND, "train"))
    with open(os.path.join(ROOT, OPTIONS_PAGE), "w", encoding="utf-8") as stream:
        stream.write(text)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write_options()
    else:
        unittest.main()
