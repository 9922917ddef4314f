"""What the user sees while it runs and at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from preparation import streams
from preparation.streams import say, shown


class Progress:
    """A line on standard error: updated in place on a terminal, elsewhere repeated now and then.

    A context manager, so that an error message never lands behind a half-written line.
    """

    TERMINAL_SECONDS = 0.1
    LOG_SECONDS = 10.0

    def __init__(self, what: str, total: int | None = None, unit: str = "samples"):
        self._what = shown(what)
        self._total = total
        self._unit = unit
        self.done = 0
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._started = time.monotonic()
        self._shown = self._started
        self._width = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        if self._width:
            say("\r" + " " * self._width + "\r", end="")

    def add(self, count: int) -> None:
        """Counts `count` more; shows it if the last time was long enough ago."""
        self.done += count
        now = time.monotonic()
        if now - self._shown < (self.TERMINAL_SECONDS if self._terminal else self.LOG_SECONDS):
            return
        self._shown = now
        if self._terminal:
            line = self._line(now)
            say("\r" + line.ljust(self._width), end="")
            self._width = len(line)
        else:
            say(self._line(now))

    def _line(self, now: float) -> str:
        rate = self.done / max(now - self._started, 1e-9)
        if self._unit == "bytes":
            done, speed = file_size(self.done), f"{file_size(int(rate))}/s"
        else:
            done, speed = f"{self.done:,}", f"{rate:,.0f}/s"
        if not self._total:
            return f"{self._what}: {done} {'' if self._unit == 'bytes' else self._unit} ({speed})"
        left = (self._total - self.done) / max(rate, 1e-9)
        total = file_size(self._total) if self._unit == "bytes" else f"{self._total:,} {self._unit}"
        share = 100 * self.done // self._total
        return f"{self._what}: {done} of {total} ({share} %, {speed}, {left:,.0f} s left)"


def file_size(count: int) -> str:
    """Bytes for people: `3.4 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def tell_result(output: str, what: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The closing lines on standard output; a file that was made stays, whether they get there."""
    if not say(f"{shown(output)}: {what}\n{table(head, rows)}", output=True):
        say(f"{streams.program}: note: {shown(output)} is made; standard output cannot be written")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a head, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
