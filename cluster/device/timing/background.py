"""torch.compile's work for the part `steps`, done while the parts before it check.

What it compiles lies in a cache afterwards. It is over before a time is measured; what it had not
come to is compiled where it is needed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

_AT_A_TIME = max(1, min(6, (os.cpu_count() or 1) - 4))


def cache_environment(work: str) -> dict[str, str]:
    """Where compiled code is kept: one place for all processes of a run."""
    cache = os.path.join(work, "compiled")
    return {
        "TORCHINDUCTOR_CACHE_DIR": cache,
        "TRITON_CACHE_DIR": os.path.join(cache, "triton"),
        "TORCHINDUCTOR_COMPILE_THREADS": "4",  # of each process, of which there are several
    }


class Compiling:
    """Runs until `finish` or `end`."""

    def __init__(self, job: dict):
        self._process = None
        if job["null_gpu"]:
            return  # what is compiled there is a GPU's code, which the null GPU cannot load
        environment = os.environ | cache_environment(job["work"])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "timing.compile_ahead",
             job["bundle"], job["work"], str(_AT_A_TIME)],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def finish(self, seconds: float) -> None:
        """Waits so long for its end, then ends it."""
        until = time.monotonic() + seconds
        while self._process and self._process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        self.end()

    def end(self) -> None:
        if self._process:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            self._process = None
