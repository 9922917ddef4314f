"""Simulated steps beside measured ones: descriptions of virtual hosts, costs, and how far off."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence

MEBI = 2**20
# Of a frame on the wire: what is a TCP stream's own, with time stamps.
PAYLOAD = 1448 / 1514
BURST = 256 * 1024  # of the shapers of cluster/virtual/hosts.sh
LATENCY = 1e-4
DOCTORS_SIZES = (1, 8, 32)  # MiB that `thaw doctor` sums


def doctors_seconds(text: str) -> list[float]:
    """Of the sums that `thaw doctor` printed, ascending by their sizes."""
    found = re.findall(r"sum of .* over \d+ ranks: ([\d.]+) ms", text)
    return [float(milliseconds) / 1e3 for milliseconds in found]


def seconds_a_byte(text: str) -> float:
    """Of sums, by what `thaw doctor` printed: over the difference of two, so that what each costs
    whatever its size is not in it."""
    seconds = doctors_seconds(text)
    if len(seconds) != len(DOCTORS_SIZES):
        raise ValueError(f"thaw doctor told {len(seconds)} sums, not {len(DOCTORS_SIZES)}:\n{text}")
    return (seconds[2] - seconds[1]) / ((DOCTORS_SIZES[2] - DOCTORS_SIZES[1]) * MEBI)


def one_way(megabits: float) -> float:
    """Bytes a second of a TCP stream over a link of so many Mbit/s."""
    return megabits * 1e6 / 8 * PAYLOAD


def links(hosts: int, megabits: float, pair: float, own: float) -> tuple[float, float]:
    """Bytes a second (one way, both ways at once) between hosts of which two sum at `pair` seconds a
    byte and all of them at `own`.

    Open MPI halves and doubles: two hosts exchange as many bytes as they sum, a power of two
    2 (n - 1) / n of that. Of three, half the bytes are exchanged three times, and half of them and
    all of them go one way."""
    limit = one_way(megabits)
    both = min(limit, 1 / pair)
    if hosts == 3:
        left = own - 1.5 / both
        return (min(limit, 1.5 / left) if left > 0 else limit), both
    return limit, min(limit, 2 * (hosts - 1) / hosts / own)


def network(megabits: float, bandwidth: float, both_ways: float) -> str:
    """The description of virtual hosts of one rank each, limited to so many Mbit/s."""
    return "\n".join(
        (
            f'name = "virtual hosts at {megabits:g} Mbit/s"',
            "[inside]\nlatency = 2e-6\nbandwidth = 8e9",
            f"[between]\nlatency = {LATENCY:g}\nbandwidth = {bandwidth:.0f}",
            f"both-ways = {min(both_ways, bandwidth):.0f}\nburst = {BURST}",
            '[sums]\nlibrary = "mpi"\nadd-bandwidth = 4e9\noverlap-cost = 0.5\n',
        )
    )


def averaged(values: Sequence):
    """Of files of costs that differ in their numbers alone: the mean of each."""
    first = values[0]
    if isinstance(first, dict):
        return {key: averaged([each[key] for each in values]) for key in first}
    if isinstance(first, list):
        return [averaged(list(each)) for each in zip(*values, strict=True)]
    if isinstance(first, bool) or not isinstance(first, (int, float)):
        return first
    if all(each == first for each in values):
        return first
    mean = statistics.fmean(values)
    return round(mean) if isinstance(first, int) else mean


def error(measured: float, simulated: float) -> float:
    return simulated / measured - 1


def summary(errors: Sequence[float], goal: float) -> str:
    sizes = sorted(abs(each) for each in errors)
    within = sum(size <= goal for size in sizes)
    return (
        f"{len(sizes)} points: off by {100 * statistics.median(sizes):.1f} % (median), "
        f"{100 * sizes[-1]:.1f} % (worst); {within} within {100 * goal:g} %"
    )
