"""Runs programs of GoogleTests of the bundle, a finding a test."""

from __future__ import annotations

import json
import os

from kit import programs
from kit.part import Part


def run(part: Part, program: str, selection: str, ranks: int = 0, seconds: float = 1e9,
        prefix: tuple[str, ...] = ()) -> None:  # fmt: skip
    """The tests that `selection` (gtest's filter) names. `prefix`: a program that runs them."""
    label = f"{program} {selection}" + (f" at {ranks} ranks" if ranks else "")
    answer = os.path.join(part.folder("gtests"), f"{program}-{ranks}.json")
    line = programs.command(part, program, f"--gtest_filter={selection}", ranks=ranks)
    line.append(f"--gtest_output=json:{answer}")
    try:
        done = programs.run(part, label, [*prefix, *line], seconds)
    except programs.RunFailed as error:
        state = "out of time" if part.left() < 1 else "failed"
        part.find(label, state, str(error))
        return
    tests = _read(answer)
    for name, problem, why_skipped in tests:
        if problem:
            part.failed(name, problem)
        elif why_skipped is not None:
            part.skipped(name, why_skipped)
        else:
            part.passed(name)
    if done.status != 0 or not tests:
        part.failed(label, f"ended with status {done.status}: {done.output[-1500:]}")


def listed(part: Part, program: str, selection: str) -> int:
    """How many tests there are; where nothing is computed it shows that the program loads."""
    line = programs.command(part, program, f"--gtest_filter={selection}", "--gtest_list_tests")
    done = programs.run(part, f"{program} lists", line, seconds=60)
    if done.status != 0:
        raise RuntimeError(f"{program} ended with status {done.status}: {done.output[-1500:]}")
    count = sum(line.startswith("  ") for line in done.output.splitlines())
    if count == 0:
        raise RuntimeError(f"{program} has no tests {selection}: {done.output[-500:]}")
    return count


def _read(path: str) -> list[tuple[str, str, str | None]]:
    """Of each test that ran: its name, what was wrong, and why it was skipped, if it was."""
    try:
        with open(path, encoding="utf-8") as stream:
            suites = json.load(stream)["testsuites"]
    except FileNotFoundError:
        return []
    found = []
    for suite in suites:
        for test in suite["testsuite"]:
            problem = "\n".join(failure["failure"] for failure in test.get("failures", []))
            skipped = None
            if test.get("result") == "SKIPPED":
                skipped = (
                    " ".join(s.get("message", "") for s in test.get("skipped", []))
                    or "skipped itself"
                )
            found.append((f"{suite['name']}.{test['name']}", problem[-1500:], skipped))
    return found
