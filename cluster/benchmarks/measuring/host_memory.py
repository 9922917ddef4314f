"""Memory of a job's ranks while it runs, shared pages counted once (Linux): a process's proportional
set size has each of its pages in as many parts as processes have it, so that of all ranks together is
what the host holds for the job."""

from __future__ import annotations

import os
import threading

_LEAST = 48 << 20  # what is smaller is no rank: mpirun, shells


def descendants(root: int) -> list[int]:
    """Processes that `root` started, and those that they did."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as stream:
                parent = int(stream.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(name))
    found, left = [], [root]
    while left:
        of_one = children.get(left.pop(), [])
        found += of_one
        left += of_one
    return found


def proportional_bytes(process: int) -> int:
    """Its proportional set size; 0 where it is gone."""
    try:
        with open(f"/proc/{process}/smaps_rollup") as stream:
            for line in stream:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass
    return 0


class Watch:
    """`with Watch() as memory:` looks every `seconds` at what this process has started meanwhile.

    `rank`: the most that one rank had; `host`: the most that all had at a time. Looking takes some
    milliseconds a gigabyte, of all sides alike.
    """

    def __init__(self, seconds: float = 1.0):
        self.rank = self.host = 0
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(self._seconds):
            sizes = [proportional_bytes(process) for process in descendants(os.getpid())]
            ranks = [size for size in sizes if size >= _LEAST]
            self.rank = max([self.rank, *ranks])
            self.host = max(self.host, sum(ranks))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()
