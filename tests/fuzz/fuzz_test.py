"""What reads files, under libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer.

Each target must live through its inputs without a crash, without one that takes longer than
60 seconds, and without an allocation of more than 256 MB. The targets are built by clang, in
`build-fuzz`: for a few seconds of each at -O0, which compiles faster, for more as the preset says.
Where there is no clang, the compiler at hand builds them into `build-fuzz-mutation`, and
mutating_main.cpp takes libFuzzer's place.
The environment may say
  THAW_FUZZ_SECONDS  how long each runs (8), from a fixed seed
  THAW_FUZZ_RUNS     how many inputs all get together instead (`soak`: 10,000,000), from another seed
                     each time; what reads whole files gets fewer of them (SHARES)
  THAW_FUZZ_CORPUS   a folder that keeps what was found to be of interest
What fails lies in `build-fuzz/findings`; `build-fuzz/tests/fuzz/SUBJECT_fuzz FILE` runs it again.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import starting_points

SECONDS = os.environ.get("THAW_FUZZ_SECONDS", "8")
RUNS = os.environ.get("THAW_FUZZ_RUNS")
SHARES = {"safetensors": 0.35, "manifest": 0.25, "json": 0.355, "configuration": 0.03,
          "dataset": 0.015}
LIMITS = ["-timeout=60", "-rss_limit_mb=2048", "-malloc_limit_mb=256", "-max_len=4096",
          "-detect_leaks=0"]


def has_libfuzzer():
    if not shutil.which("clang++"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "a.cpp"
        source.write_text('extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) '
                          "{ return 0; }\n", encoding="utf-8")
        done = subprocess.run(["clang++", "-fsanitize=fuzzer,address,undefined", str(source), "-o",
                               f"{folder}/a"], capture_output=True, check=False)
    return done.returncode == 0


def preset_flags():
    presets = json.loads((starting_points.ROOT / "CMakePresets.json").read_text(encoding="utf-8"))
    (fuzz,) = [each for each in presets["configurePresets"] if each["name"] == "fuzz"]
    return fuzz["cacheVariables"]["CMAKE_CXX_FLAGS_DEBUG"]


LIBFUZZER = has_libfuzzer() and not os.environ.get("THAW_FUZZ_BY_MUTATION")
BUILD = starting_points.ROOT / ("build-fuzz" if LIBFUZZER else "build-fuzz-mutation")
FINDINGS = BUILD / "findings"


def build():
    torch = os.environ.get("THAW_TORCH")
    flags = preset_flags() if RUNS else preset_flags().replace("-O1", "-O0")
    configure = ["cmake", "--preset", "fuzz", "-B", str(BUILD)]
    if not LIBFUZZER:
        flags = flags.replace("-gline-tables-only", "-g1")
        configure += ["-DCMAKE_CXX_COMPILER=c++", "-DTHAW_SANITIZE=address,undefined",
                      "-DTHAW_FUZZ_BY_MUTATION=ON"]
    configure.append(f"-DCMAKE_CXX_FLAGS_DEBUG={flags}")
    for command in (configure + ([f"-DTHAW_TORCH={torch}"] if torch else []),
                    ["cmake", "--build", str(BUILD), "--target", "fuzz", "--parallel", "2"]):
        done = subprocess.run(command, cwd=starting_points.ROOT, text=True, capture_output=True,
                              check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stdout[-5000:]}{done.stderr[-5000:]}")


class Fuzz(unittest.TestCase):
    def fuzz(self, subject):
        with tempfile.TemporaryDirectory(prefix="thaw-fuzz-") as folder:
            corpus = pathlib.Path(os.environ.get("THAW_FUZZ_CORPUS", folder)) / subject
            corpus.mkdir(parents=True, exist_ok=True)
            dictionary = pathlib.Path(folder) / "words"
            starting_points.write(subject, corpus, dictionary)
            words = [f"-dict={dictionary}"] if dictionary.stat().st_size > 0 else []
            FINDINGS.mkdir(exist_ok=True)
            length = ([f"-runs={round(int(RUNS) * SHARES[subject])}"] if RUNS
                      else [f"-max_total_time={SECONDS}", "-seed=1"])
            done = subprocess.run(
                [BUILD / "tests" / "fuzz" / f"{subject}_fuzz", corpus, *words,
                 f"-artifact_prefix={FINDINGS}/{subject}-", "-print_final_stats=1", *LIMITS,
                 *length],
                env=dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1",
                         ASAN_OPTIONS="detect_leaks=0:max_allocation_size_mb=1024"), text=True,
                errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-8000:])
        executed = re.search(r"number_of_executed_units: (\d+)", done.stdout)
        self.assertIsNotNone(executed, done.stdout[-2000:])
        coverage = re.findall(r"cov: (\d+)", done.stdout)
        print(f"{subject}: {executed[1]} inputs" +
              (f", coverage {coverage[0]} -> {coverage[-1]}" if coverage else ""), flush=True)
        self.assertGreater(int(executed[1]), 20)  # beside other tests

    def test_configuration(self):
        self.fuzz("configuration")

    def test_safetensors(self):
        self.fuzz("safetensors")

    def test_manifest(self):
        self.fuzz("manifest")

    def test_json(self):
        self.fuzz("json")

    def test_dataset(self):
        self.fuzz("dataset")


    def test_all_together_get_as_many_as_were_asked_for(self):
        self.assertEqual(set(SHARES), set(starting_points.SUBJECTS))
        self.assertAlmostEqual(sum(SHARES.values()), 1)


if __name__ == "__main__":
    build()
    unittest.main(verbosity=2)
