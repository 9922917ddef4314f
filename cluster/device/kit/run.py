"""What run.sh starts: looks whether there is what it needs, then runs part after part.

Each part is a process of its own, so that whatever happens to it, its limit holds and what it had
found is in the report.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from timing import background

from kit import parts, programs
from kit.report import Report, state_of

_LOOK_EVERY = 0.25  # seconds
_GRACE = 3.0  # seconds between asking a part to end and ending it


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run.sh", description="Checks and measures Thaw's GPU part."
    )
    parser.add_argument("--only", default="", metavar="PART[,PART…]", help=", ".join(parts.NAMES))
    parser.add_argument("--output", default="device-report", metavar="DIR")
    parser.add_argument("--list", action="store_true", help="the parts and their limits")
    parser.add_argument("--null-gpu", default="", metavar="LIBRARY", help="a rehearsal")
    parser.add_argument(
        "--slower", type=float, default=1.0, metavar="X", help="limits times so much: a rehearsal"
    )
    return parser.parse_args(arguments)


def main(bundle: str, *arguments: str) -> int:
    begun = time.monotonic()
    given = parse(list(arguments))
    if given.list:
        for part in parts.PARTS:
            print(f"{part.name:<10} {part.seconds:>4} s, alone {part.alone:>4} s  {part.what}")
        return 0
    try:
        chosen = parts.chosen([name for name in given.only.split(",") if name])
    except parts.UnknownPart as error:
        return refuse(str(error))
    if given.null_gpu and not os.path.isfile(given.null_gpu):
        return refuse(f"--null-gpu: {given.null_gpu}: not there")
    problem = programs.obstacle(bundle, null_gpu=bool(given.null_gpu))
    if problem:
        return refuse(problem)
    with open(os.path.join(bundle, "bundle.json"), encoding="utf-8") as stream:
        facts = json.load(stream)
    report = Report(given.output, facts, bool(given.null_gpu), [part.name for part in chosen])
    work = tempfile.mkdtemp(prefix="thaw-device-")
    job = {
        "bundle": bundle,
        "work": work,
        "null_gpu": os.path.abspath(given.null_gpu) if given.null_gpu else "",
    }
    compiling = None
    # Whatever ends the run ends what it started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        for number, part in enumerate(chosen):
            left = parts.WHOLE - (time.monotonic() - begun) / given.slower
            seconds = given.slower * parts.limit(part, chosen[number + 1 :], left)
            say(f"{part.name}: {part.what} (at most {seconds:.0f} s)")
            if part.name == "steps" and compiling:
                compiling.finish(0.15 * seconds)
            report.put(part.name, run_part(part, job, seconds, report))
            state = report.content["parts"][part.name]["state"]
            say(f"{part.name}: {state}")
            if part.name == "machine" and any(p.name == "steps" for p in chosen):
                compiling = background.Compiling(job)
    finally:
        if compiling:
            compiling.end()
        shutil.rmtree(work, ignore_errors=True)
    say(f"{os.path.join(given.output, 'report.json')}: {report.content['seconds']:.0f} s")
    return 1 if report.failed() else 0


def refuse(why: str) -> int:
    print(f"run.sh: {why}", file=sys.stderr)
    return 2


def say(line: str) -> None:
    print(line, flush=True)


def run_part(part: parts.Part, job: dict, seconds: float, report: Report) -> dict:
    """What the part found; while it runs, the report has what it found so far."""
    name = part.name
    folder = os.path.join(job["work"], name)
    os.makedirs(folder, exist_ok=True)
    result, log = os.path.join(folder, "part.json"), os.path.join(folder, "log.txt")
    request = os.path.join(folder, "request.json")
    started = time.monotonic()
    with open(request, "w", encoding="utf-8") as stream:
        json.dump({**job, "work": folder, "module": part.module, "seconds": seconds}, stream)
    # This part asks the GPU itself; the others leave that to programs that they start.
    null = ["env", f"LD_PRELOAD={job['null_gpu']}"] if job["null_gpu"] and name == "machine" else []
    with open(log, "w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [*null, sys.executable, "-m", "kit.part", request, result],
            stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    seen, ended_by_limit = None, False
    try:
        while process.poll() is None:
            time.sleep(_LOOK_EVERY)
            spent = time.monotonic() - started
            seen = _put_if_changed(
                name, result, seen, {"seconds": round(spent, 1), "limit": round(seconds)}, report
            )
            if spent > seconds:
                ended_by_limit = True
                break
    finally:
        end_group(process)
    found = _read(result) | {
        "seconds": round(time.monotonic() - started, 1),
        "limit": round(seconds),
    }
    if ended_by_limit:
        found["findings"].append(
            {"name": name, "state": "out of time", "detail": f"not through after {seconds:.0f} s"}
        )
    elif process.returncode != 0:
        found["findings"].append({"name": name, "state": "failed", "detail": _end_of(log)})
    found["state"] = state_of(found["findings"])
    return found


def _put_if_changed(name: str, result: str, seen, figures: dict, report: Report):
    try:
        changed = os.stat(result).st_mtime_ns
    except FileNotFoundError:
        return seen
    if changed != seen:
        report.put(name, {"state": "not run", **_read(result), **figures})
    return changed


def _read(result: str) -> dict:
    try:
        with open(result, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return {"findings": []}


def _end_of(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as stream:
        return stream.read()[-2000:]


def end_group(process: subprocess.Popen) -> None:
    """Ends the process and all that it started; mpirun ends its ranks when it is asked to."""
    for number, wait in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 1.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        until = time.monotonic() + wait
        while time.monotonic() < until:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
    process.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
