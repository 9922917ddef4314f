"""Runs that take turns, so that whatever slows the machine for a while slows all sides."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from measuring import machine


@dataclass
class Samples:
    """All rounds of one side in one stage."""

    step_seconds: list[list[float]] = field(default_factory=list)  # [round][step], no warm-up
    first_losses: list[float] = field(default_factory=list)
    peak_memory_bytes: list[int] = field(default_factory=list)
    startup_seconds: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)  # of the machine, just before
    # Of several ranks alone:
    transition_seconds: list[float] = field(default_factory=list)
    exposed_seconds: list[list[float]] = field(default_factory=list)  # [round][step], no warm-up

    def median(self) -> float:
        """Of the steps of all rounds."""
        return statistics.median(s for one in self.step_seconds for s in one)

    def round_medians(self) -> list[float]:
        return [statistics.median(one) for one in self.step_seconds]

    def add(self, result: dict, warm_up: int, load: float) -> None:
        self.step_seconds.append(result["step_seconds"][warm_up:])
        self.first_losses.append(result["losses"][0])
        self.peak_memory_bytes.append(result["peak_memory_bytes"])
        if result["startup_seconds"] is not None:
            self.startup_seconds.append(result["startup_seconds"])
        self.loads.append(load)
        if result.get("ranks", 1) > 1:
            self.transition_seconds.append(result["transition_seconds"])
            self.exposed_seconds.append(result.get("exposed_seconds", [])[warm_up:])


def take_turns(
    stages: list,
    sides: list[str],
    rounds: int,
    warm_up: int,
    run: Callable[[str, object], dict],
) -> dict[tuple[str, str], Samples]:
    """Samples by (stage's name, side). Within a round all sides run stage by stage, one after the
    other; each round begins with the next side."""
    samples = {(stage.name, side): Samples() for stage in stages for side in sides}
    for number in range(rounds):
        first = number % len(sides)
        for stage in stages:
            for side in sides[first:] + sides[:first]:
                load = machine.load()
                result = run(side, stage)
                one = samples[stage.name, side]
                one.add(result, warm_up, load)
                note(
                    f"round {number + 1}/{rounds}  {stage.name:<18} {side:<10} "
                    f"{1e3 * one.round_medians()[-1]:8.1f} ms/step"
                )
    return samples


def note(line: str) -> None:
    """Progress, for whoever waits; results go to standard output."""
    print(line, file=sys.stderr, flush=True)
