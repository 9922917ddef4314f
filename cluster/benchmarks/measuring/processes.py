"""Runs one side in a process of its own and tells when its first step ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

BENCHMARKS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_LOOK_EVERY = 0.005  # seconds; until the first step only, so that steps are measured undisturbed


class RunFailed(Exception):
    pass


def run_logged(
    command: list[str],
    log: str,
    environment: dict[str, str],
    timeout: float,
    first_step_seen: Callable[[], bool] | None = None,
) -> float | None:
    """Runs `command` to its end, its output going to the file `log`.

    Returns the seconds from its start until `first_step_seen`, where that is given.
    Raises RunFailed with the output's end if it fails or outlasts `timeout`.
    """
    started = time.monotonic()
    seconds = None
    with open(log, "w") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, **environment}
        )
        try:
            while first_step_seen and seconds is None and process.poll() is None:
                time.sleep(_LOOK_EVERY)
                if first_step_seen():
                    seconds = time.monotonic() - started
                if time.monotonic() - started > timeout:
                    break
            status = process.wait(max(0, started + timeout - time.monotonic()))
        except subprocess.TimeoutExpired:
            status = f"none within {timeout:g} s"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if status != 0:
        with open(log) as stream:
            end = stream.read()[-3000:]
        raise RunFailed(f"{' '.join(command)}\nended with status {status}; {log} ends with\n{end}")
    return seconds


def run_worker(
    module: str, request: dict, folder: str, environment: dict[str, str], timeout: float
) -> dict:
    """Runs `python -m MODULE request.json result.json` in peers/ and returns what it answers.

    A worker that names the moment `first_step_at` (of the monotonic clock, one for all processes)
    gets `startup_seconds` in its answer: from its start until then.
    """
    os.makedirs(folder, exist_ok=True)
    question, answer = (os.path.join(folder, name) for name in ("request.json", "result.json"))
    with open(question, "w") as stream:
        json.dump(request, stream, indent=1)
    if os.path.exists(answer):
        os.unlink(answer)
    path = os.pathsep.join(filter(None, [BENCHMARKS, os.environ.get("PYTHONPATH", "")]))
    environment = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", **environment}
    started = time.monotonic()
    run_logged(
        [sys.executable, "-m", module, question, answer],
        os.path.join(folder, "log.txt"),
        environment,
        timeout,
    )
    with open(answer) as stream:
        result = json.load(stream)
    if "first_step_at" in result:
        result["startup_seconds"] = result.pop("first_step_at") - started
    return result
