"""Ranks killed at random moments and started again, until the run is done: what tests of that share."""

import json
import os
import signal
import subprocess

from command_fixture import MPIEXEC, THAW


def figures(run):
    """Losses by step; each step must be there once."""
    lines = [json.loads(line) for line in
             (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["event"], line["step"], line.get("loss")) for line in lines
            if line["event"] in ("step", "evaluation", "transition", "end")]


def kill_ranks(job, generator):
    """SIGKILL for all ranks of a job of mpirun, or for the last alone."""
    ranks = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True,
                           check=False).stdout.split()
    for rank in ranks if generator.random() < 0.5 else ranks[-1:]:
        try:
            os.kill(int(rank), signal.SIGKILL)
        except ProcessLookupError:
            pass


def train_through_kills(test, arguments, generator, wait, ranks=2, kills=2):
    """Trains by the same command, again and again, until a job ends by itself: `wait(job)` returns
    at a moment (and says which) at which ranks of the first `kills` jobs are killed. Returns what it
    said."""
    moments = []
    while True:
        job = subprocess.Popen([MPIEXEC, "-n", str(ranks), THAW, "train", *map(str, arguments)],
                               cwd=test.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
        if len(moments) < kills:
            moments.append(wait(job))
            kill_ranks(job, generator)
        _, errors = job.communicate(timeout=240)
        if job.returncode == 0:
            return moments
        test.assertNotEqual(job.returncode, 2, errors)
        test.assertLessEqual(len(moments), kills, errors)
