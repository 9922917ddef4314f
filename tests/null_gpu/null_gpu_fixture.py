"""Runs the command on GPUs that compute nothing, and reads what it did with them.

Needs, besides what command_fixture.py does, the environment's THAW_NULL_GPU: the library.
"""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "launch"))

from command_fixture import MPIEXEC, SECONDS, THAW, CommandTest  # noqa: E402

LIBRARY = os.environ.get("THAW_NULL_GPU", "")


def require_null_gpu():
    for path in (THAW, LIBRARY):
        if not pathlib.Path(path).is_file():
            print("SKIPPED: THAW_COMMAND or THAW_NULL_GPU names no file; run through ctest")
            sys.exit(77)


class NullGpuTest(CommandTest):
    def start(self, *command, ranks=1, devices=None, environment=None):
        """Starts a program on so many null GPUs (one a rank, unless told otherwise); returns the job,
        and the folder where each rank's report will be."""
        folder = self.folder / f"gpu-{len(list(self.folder.glob('gpu-*')))}"
        folder.mkdir()
        settings = os.environ | {
            "OMP_NUM_THREADS": "1", "TORCH_CUDNN_V8_API_DISABLED": "1",
            "NULL_GPU_DEVICES": str(devices or ranks), "NULL_GPU_REPORT": str(folder),
        } | (environment or {})
        # Not into mpirun itself.
        full = [MPIEXEC, "-n", str(ranks), "env", f"LD_PRELOAD={LIBRARY}", *map(str, command)]
        job = subprocess.Popen(full, cwd=self.folder, env=settings, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(job.kill)
        return job, folder

    def end(self, job, folder, status=0):
        """What it said and each rank's report, once it has ended with `status`."""
        out, errors = job.communicate(timeout=SECONDS)
        done = subprocess.CompletedProcess(job.args, job.returncode, out, errors)
        self.assertEqual(done.returncode, status, f"{' '.join(done.args)}\n{out}\n{errors}")
        reports = [json.loads(path.read_text(encoding="utf-8"))
                   for path in sorted(folder.glob("rank-*.json"))]
        return done, reports

    def program(self, *command, status=0, **options):
        """The same of one that is left to itself."""
        return self.end(*self.start(*command, **options), status)

    def command_on_gpus(self, *arguments, **options):
        return self.program(THAW, *arguments, "--train.device", "cuda", **options)

    def on_gpus(self, *arguments, ranks=1, **options):
        """The command, on a GPU a rank; nothing that it does there is wrong. The ranks' reports."""
        _, reports = self.command_on_gpus(*arguments, ranks=ranks, **options)
        self.assertEqual(len(reports), ranks)
        for report in reports:
            self.assertEqual(report["faults"], [])
            self.assertGreater(report["counts"]["work"], 0)
            self.assertEqual(report["collectives"], reports[0]["collectives"])
        return reports
