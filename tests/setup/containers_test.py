"""The two container recipes do the same, by the one script whose steps the soak test package_machine.sh runs,
and take along all that it needs; no engine is needed here."""

import os
import re
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = "cluster/containers"


def read(name: str) -> str:
    with open(f"{ROOT}/{FOLDER}/{name}", encoding="utf-8") as file:
        return file.read()


def copied_by_steps() -> set:
    """What `steps.sh build` copies of the project."""
    found = set()
    for names in re.findall(r'"\$here"/\.\./\.\./\{([^}]*)\}', read("steps.sh")):
        found |= set(names.split(","))
    return found


def commands(text: str) -> list:
    """The calls of steps.sh, however a recipe writes its argument."""
    calls = re.findall(r"THAW_CONTAINER_CUDA=\S+(?: CUDA \}\})? (\S*steps\.sh .*?)(?: &&|$)", text,
                       re.MULTILINE)
    return [call.strip() for call in calls]


class Containers(unittest.TestCase):
    def test_both_recipes_run_the_same_steps_with_the_same_environment(self):
        docker, apptainer = read("Dockerfile"), read("thaw.def")
        wanted = [f"/src/{FOLDER}/steps.sh build /out", "/out/steps.sh install /out"]
        self.assertEqual(commands(docker), wanted)
        self.assertEqual(commands(apptainer), wanted)
        self.assertEqual(re.findall("^(?:FROM|From:) (debian:\\S+)", docker, re.MULTILINE),
                         ["debian:12-slim"] * 2)
        self.assertEqual(re.findall("^From: (\\S+)", apptainer, re.MULTILINE), ["debian:12-slim"] * 2)
        settings = {re.search("(?:ENV|export) (THAW_TORCH=.*)", text)[1] for text in (docker, apptainer)}
        self.assertEqual(len(settings), 1, settings)
        (default,) = re.findall(r"THAW_CONTAINER_TORCH:-([^}]*)\}", read("steps.sh"))
        self.assertIn(f"THAW_TORCH={default} ", settings.pop())

    def test_what_the_steps_copy_is_there_and_taken_along(self):
        names = copied_by_steps()
        self.assertGreater(len(names), 8)
        for name in names:
            self.assertTrue(os.path.exists(f"{ROOT}/{name}"), name)
        taken = set(re.findall(r"^    (\S+) /src/$", read("thaw.def"), re.MULTILINE))
        self.assertEqual(taken, names)
        ignored = read("Dockerfile.dockerignore").split()
        self.assertFalse(names & set(ignored))
        # Whatever the build reads lies in it: folders of the top CMakeLists.txt.
        with open(f"{ROOT}/CMakeLists.txt", encoding="utf-8") as file:
            folders = re.findall(r"add_subdirectory\((\w+)", file.read())
        self.assertLessEqual(set(folders), names)

    def test_the_trial_of_the_steps_has_certificates_before_pip_runs(self):
        """Each step runs pip, behind whatever proxy this machine is: see package_machine.sh."""
        with open(f"{ROOT}/tests/setup/package_machine.sh", encoding="utf-8") as file:
            trial = file.read()
        carried = trial.index("\ncarry_over_certificates\n")
        self.assertLess(trial.index("install ca-certificates"), carried)
        for step in ("steps.sh build /out", "steps.sh install /out"):
            self.assertLess(carried, trial.index(step), step)

    def test_a_wrong_call_says_how_it_is_called(self):
        script = f"{ROOT}/{FOLDER}/steps.sh"
        done = subprocess.run([script, "install"], text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("usage: steps.sh", done.stderr)
        done = subprocess.run([script], text=True, capture_output=True, check=True)
        self.assertIn("steps.sh build OUT", done.stdout)
        self.assertNotIn("set -euo", done.stdout)


if __name__ == "__main__":
    unittest.main()
