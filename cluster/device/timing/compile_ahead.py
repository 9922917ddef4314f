"""Fills torch.compile's cache (background.py).

python -m timing.compile_ahead BUNDLE WORK AT-A-TIME
"""

from __future__ import annotations

import concurrent.futures
import os
import sys

from networks import jobs, sides

from timing.workers import Worker, WorkerFailed

LONGEST = 240  # seconds that one network may compile


def main(bundle: str, work: str, at_a_time: str) -> None:
    wanted = [
        (job, depth, side) for job in jobs.JOBS for depth in job.depths for side in sides.COMPILING
    ]
    # What a table shows first comes first; of ragged batches there are no graphs.
    wanted = [one for one in wanted if one[0].data != "ragged" or one[2] != sides.GRAPHS]

    def compile_one(job: jobs.Job, depth: str, side: str) -> None:
        weights = jobs.draw_weights(job.network, job.classes, os.path.join(work, "weights"))
        worker = Worker(job, side, bundle=bundle, work=work, weights=weights, null_gpu="")
        try:
            worker.ask(f"prepare {depth}", LONGEST)
        except WorkerFailed as error:
            print(error, file=sys.stderr)
        finally:
            worker.end()

    with concurrent.futures.ThreadPoolExecutor(max_workers=int(at_a_time)) as pool:
        for future in [pool.submit(compile_one, *one) for one in wanted]:
            future.result()


if __name__ == "__main__":
    main(*sys.argv[1:])
