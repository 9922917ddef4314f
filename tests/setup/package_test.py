"""`cpack` makes a .tar.xz of the command that runs from any folder with LibTorch's wheel, wherever that
lies, and says what is missing where it is not there; and a .deb (which package_machine.sh, a soak test,
installs)."""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.dirname(os.environ.get("THAW_COMMAND", ""))


def cached(name: str) -> str:
    """A variable of the build's configuration."""
    with open(f"{BUILD}/CMakeCache.txt", encoding="utf-8") as cache:
        return re.search(rf"^{name}(?::\w+)?=(.*)$", cache.read(), re.MULTILINE)[1]


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="thaw-package-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        subprocess.run(
            # Compressed lightly: what is looked at is what it holds.
            ["cpack", "--config", f"{BUILD}/CPackConfig.cmake", "-G", "TXZ", "-B", cls.folder],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "XZ_OPT": "-0"},
        )  # fmt: skip
        (archive,) = (name for name in os.listdir(cls.folder) if name.endswith(".tar.xz"))
        with tarfile.open(f"{cls.folder}/{archive}") as file:
            file.extractall(f"{cls.folder}/somewhere else", filter="tar")
        (cls.top,) = os.listdir(f"{cls.folder}/somewhere else")
        cls.prefix = f"{cls.folder}/somewhere else/{cls.top}"
        cls.torch = cached("THAW_TORCH_FOLDER")

    def thaw(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """What it prints with nothing of this environment but these variables."""
        result = subprocess.run(
            [f"{self.prefix}/bin/thaw", *arguments], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", "HOME": self.folder, **environment},
        )  # fmt: skip
        self.assertEqual(result.returncode, status, result.stdout)
        return result.stdout

    def test_runs_with_the_libtorch_that_it_is_told_or_finds(self):
        site = os.path.dirname(self.torch)
        for environment in (
            {"THAW_TORCH": self.torch},
            {"THAW_TORCH": site},
            {"PYTHONPATH": site, "THAW_PYTHON": sys.executable},
        ):
            self.assertIn("LibTorch", self.thaw("--version", **environment), environment)
        link = f"{self.folder}/thaw-link"
        os.symlink(f"{self.prefix}/bin/thaw", link)
        done = subprocess.run([link, "--version"], text=True, capture_output=True,
                              env={"PATH": "/usr/bin:/bin", "THAW_TORCH": self.torch})  # fmt: skip
        self.assertIn("LibTorch", done.stdout, done.stderr)

    def test_says_that_libtorch_is_missing_and_where_it_comes_from(self):
        os.makedirs(f"{self.folder}/empty", exist_ok=True)
        said = self.thaw("--version", status=2, THAW_TORCH=f"{self.folder}/empty")
        self.assertIn(f"THAW_TORCH={self.folder}/empty: there is no LibTorch", said)
        self.assertIn("pip install 'torch==", said)
        said = self.thaw("--version", status=2, THAW_PYTHON="/bin/false")
        self.assertIn("was not found", said)

    def test_refuses_a_libtorch_of_another_version(self):
        other = f"{self.folder}/other"
        os.makedirs(f"{other}/torch/lib", exist_ok=True)
        open(f"{other}/torch/lib/libtorch_cpu.so", "w").close()
        with open(f"{other}/torch/version.py", "w", encoding="utf-8") as file:
            file.write("__version__ = '2.6.1+cu124'\n")
        said = self.thaw("--version", status=2, THAW_TORCH=other)
        self.assertIn("is LibTorch 2.6.1, and this thaw was built with 2.", said)

    def test_names_the_library_that_another_build_of_torch_lacks(self):
        other = f"{self.folder}/partial"
        os.makedirs(f"{other}/torch/lib", exist_ok=True)
        open(f"{other}/torch/lib/libtorch_cpu.so", "w").close()
        shutil.copy(f"{self.torch}/version.py", f"{other}/torch/version.py")
        said = self.thaw("--version", status=2, THAW_TORCH=other)
        self.assertIn("has no libc10.so", said)

    def test_has_no_path_of_the_machine_that_it_was_built_on(self):
        for name in ("thaw", "thaw-hdf5-probe"):
            text = subprocess.run(["readelf", "-d", f"{self.prefix}/lib/thaw/{name}"], text=True,
                                  check=True, capture_output=True).stdout  # fmt: skip
            self.assertNotRegex(text, "RPATH|RUNPATH")
        with open(f"{self.prefix}/bin/thaw", encoding="utf-8") as file:
            self.assertNotIn(ROOT, file.read())

    def test_holds_the_manual_data_preparation_and_licence(self):
        for path, words in (
            ("share/man/man1/thaw.1", ".SH EXIT STATUS"),
            ("share/bash-completion/completions/thaw", "complete -o default -F _thaw thaw"),
            ("share/zsh/vendor-completions/_thaw", "#compdef thaw"),
            ("share/doc/thaw/copyright", "Apache License"),
            ("share/thaw/slurm/train.sbatch", "#SBATCH"),
        ):
            with open(f"{self.prefix}/{path}", encoding="utf-8") as file:
                self.assertIn(words, file.read(), path)
        prepare = subprocess.run(
            [os.environ.get("THAW_TEST_PYTHON", sys.executable),
             f"{self.prefix}/share/thaw/launch/prepare.py", "--help"],
            text=True, capture_output=True,
        )  # fmt: skip
        self.assertEqual(prepare.returncode, 0, prepare.stderr)
        probe = subprocess.run([f"{self.prefix}/bin/thaw-hdf5-probe", "/nowhere.h5"], text=True,
                               capture_output=True)  # fmt: skip
        self.assertIn("/nowhere.h5", probe.stderr)

    def test_a_beginning_names_the_command_that_can_be_typed(self):
        """`thaw new`: not the bare program, which does not find LibTorch."""
        for number, path in enumerate(("/usr/bin:/bin", f"{self.prefix}/bin:/usr/bin:/bin")):
            said = self.thaw("new", "text", f"begun-{number}", THAW_TORCH=self.torch, PATH=path)
            typed = "thaw" if number else f"'{self.prefix}/bin/thaw'"  # of "somewhere else"
            self.assertIn(f"\n  {typed} check text.toml\n", said)
            self.assertNotIn("/lib/thaw/thaw ", said)
            self.assertIn("share/thaw/launch/prepare.py", said)

    def test_ranks_are_started_as_it_was(self):
        """A job's ranks find LibTorch too: `launch` starts the script, not the bare program."""
        with open(f"{self.folder}/mpirun", "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\necho "started: $*"\n')
        os.chmod(f"{self.folder}/mpirun", 0o755)
        said = self.thaw("launch", "-n", "2", "--", "doctor", THAW_TORCH=self.torch,
                         THAW_MPIEXEC=f"{self.folder}/mpirun")  # fmt: skip
        self.assertIn(f"started: -n 2 {self.prefix}/bin/thaw doctor", said)


class Deb(unittest.TestCase):
    @unittest.skipUnless(shutil.which("dpkg-deb") and shutil.which("dpkg-shlibdeps"),
                         "needs dpkg-deb and dpkg-shlibdeps")
    def test_files_lie_where_the_system_looks_for_them(self):
        with tempfile.TemporaryDirectory(prefix="thaw-package-") as folder:
            subprocess.run(["cpack", "--config", f"{BUILD}/CPackConfig.cmake", "-G", "DEB", "-B",
                            folder, "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=none"], check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip
            (deb,) = (f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".deb"))
            listed = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True,
                                    stdout=subprocess.PIPE).stdout  # fmt: skip
            with tarfile.open(fileobj=io.BytesIO(listed)) as file:
                names = {os.path.normpath(name) for name in file.getnames()}
            for path in ("bin/thaw", "lib/thaw/thaw", "share/man/man1/thaw.1",
                         "share/bash-completion/completions/thaw", "share/doc/thaw/copyright"):
                self.assertIn(f"usr/{path}", names)
            self.assertEqual({name.partition("/")[0] for name in names} - {"."}, {"usr"})
            depends = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], check=True, text=True,
                                     stdout=subprocess.PIPE).stdout  # fmt: skip
            for library in ("libhdf5", "libopenmpi", "openmpi-bin"):
                self.assertIn(library, depends)
            self.assertNotIn("libtorch", depends)


if __name__ == "__main__":
    if not os.path.isfile(f"{BUILD}/thaw"):
        print("SKIPPED: no build (THAW_COMMAND)")
        sys.exit(77)
    unittest.main()
