"""compute-sanitizer over the tests of Thaw's own kernels, and no others."""

from __future__ import annotations

import glob
import re
import shutil

from kit import programs
from kit.part import Part

from checks.kernels import PROGRAM, TESTS

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")  # the most important first
OWN = "kernel_substring=thaw"  # of the mangled name: all of Thaw's are in its namespace
STATUS = 99


def find() -> str:
    places = ["compute-sanitizer", "/usr/local/cuda/bin/compute-sanitizer"]
    places += sorted(glob.glob("/usr/local/cuda*/compute-sanitizer/compute-sanitizer"))
    return next((path for path in map(shutil.which, places) if path), "")


def run(part: Part) -> None:
    if part.null_gpu:
        part.skipped("compute-sanitizer", "it looks at what kernels do, and the null GPU runs none")
        return
    path = find()
    if not path:
        part.skipped("compute-sanitizer", "not found on PATH, nor under /usr/local/cuda*")
        return
    for number, tool in enumerate(TOOLS):
        part.check(
            tool, lambda tool=tool, n=number: look(part, path, tool, part.left() / (len(TOOLS) - n))
        )


def look(part: Part, path: str, tool: str, seconds: float) -> str:
    line = [path, "--tool", tool]
    if tool == "initcheck":
        # Who wrote what a kernel reads is known of kernels that are looked at alone: so of all.
        line += ["--print-limit", "10000"]
    else:
        line += ["--kernel-name", OWN, "--error-exitcode", str(STATUS)]
    line += programs.command(part, PROGRAM, f"--gtest_filter={TESTS}")
    # Within LibTorch's large blocks an access behind a tensor's end would meet another's memory.
    done = programs.run(part, tool, line, seconds, PYTORCH_NO_CUDA_MEMORY_CACHING="1")
    summary = re.findall(r"={9} (?:ERROR|RACECHECK) SUMMARY: .*", done.output)
    if done.status != 0 or not summary:
        raise RuntimeError(f"ended with status {done.status}: {done.output[-2000:]}")
    unwritten = re.findall(r"={9} Uninitialized.*\n={9} +at (.*thaw.*)", done.output)
    if unwritten:
        raise RuntimeError(f"what nobody wrote is read by {'; '.join(sorted(set(unwritten))[:5])}")
    return summary[-1].lstrip("= ")
