"""Flags that the benchmarks share."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence

from measuring.datasets import ROOT
from measuring.sides import THAW, TUNED, USUAL

ONE_PROCESS = (THAW, USUAL, TUNED)


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def numbers(text: str) -> list[float]:
    return [float(part) for part in listed(text)]


def default(*parts: str) -> str:
    """A path of the project, as seen from the working folder."""
    return os.path.relpath(os.path.join(ROOT, *parts))


def parser(description: str, output: str) -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = result.add_argument
    add("--thaw", default=default("build", "thaw"), help="the command to measure")
    programs = default("build", "cluster", "benchmarks")
    add("--programs", default=programs, help="folder of cmake's target benchmark_programs")
    add("--work", default=default("runs", "benchmarks"), help="folder for data, runs and logs")
    add("--output", default=default("runs", "benchmarks", output), help="JSON; .md beside it")
    add("--threads", type=int, default=2, help="of each side")
    add("--timeout", type=float, default=3600, help="seconds that one run may take")
    add("--quick", action="store_true", help="a few steps of few stages: does it run at all?")
    return result


def add_rounds(result: argparse.ArgumentParser, sides: Sequence[str] = ONE_PROCESS) -> None:
    add = result.add_argument
    add("--sides", type=listed, default=",".join(sides), help="that take turns")
    add("--rounds", type=int, default=3, help="runs of each side and stage")
    add("--steps", type=int, default=20, help="measured steps of a run")
    add("--warm-up", type=int, default=5, help="steps before them, not measured")
    add("--no-tuning", action="store_true", help="do not look for the tuned form's best settings")


def check_sides(given: Sequence[str], known: Sequence[str]) -> None:
    unknown = set(given) - set(known)
    if unknown or not given:
        raise SystemExit(f"--sides: {', '.join(sorted(unknown))} is none of {', '.join(known)}")


def settle(options: argparse.Namespace) -> argparse.Namespace:
    """Makes the paths absolute."""
    for name in ("work", "output"):
        setattr(options, name, os.path.abspath(getattr(options, name)))
    return options


def settle_rounds(
    options: argparse.Namespace, sides: Sequence[str] = ONE_PROCESS
) -> argparse.Namespace:
    """The same, with what `add_rounds` added: sides checked, `--quick` spelled out."""
    check_sides(options.sides, sides)
    if options.quick:
        options.rounds, options.steps, options.warm_up = 1, 2, 1
        options.no_tuning = True
    return settle(options)


def command(options: argparse.Namespace) -> str:
    """The path of thaw."""
    found = shutil.which(options.thaw)
    if not found:
        raise SystemExit(f"{options.thaw}: no such command; build it first, or name it by --thaw")
    return os.path.abspath(found)


def existing(path: str, flag: str) -> str:
    if not os.path.exists(path):
        raise SystemExit(f"{path}: not there; name it by {flag}")
    return os.path.abspath(path)


def variants(options: argparse.Namespace) -> str:
    """The path of `thaw train` with other reductions."""
    path = os.path.join(options.programs, "variants")
    if not os.path.exists(path):
        target = "cmake --build build --target benchmark_programs"
        raise SystemExit(f"{path}: not there; build it ({target}), or name its folder by --programs")
    return os.path.abspath(path)


def add_launcher(result: argparse.ArgumentParser) -> None:
    add = result.add_argument
    add("--ranks", type=int, default=2)
    add("--mpiexec", default="mpirun", help="that belongs to the MPI Thaw was built with")


def launcher(options: argparse.Namespace) -> tuple[str, ...]:
    """What starts the ranks of a program of MPI."""
    found = shutil.which(options.mpiexec)
    if not found:
        raise SystemExit(f"{options.mpiexec}: no such command; name it by --mpiexec")
    as_root = ("--allow-run-as-root",) if os.geteuid() == 0 else ()
    return (found, "-n", str(options.ranks), "--bind-to", "none", "--oversubscribe", *as_root)
