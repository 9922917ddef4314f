"""What the numbers were measured on and with."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess


def cpu_name() -> str:
    fields = {}
    with open("/proc/cpuinfo") as stream:
        for line in stream:
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    flags = fields.get("flags", "").split()
    widest = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags]
    return f"{name} ({', '.join(widest)})" if widest else name


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def thaw_version(thaw: str) -> str:
    answer = subprocess.run([thaw, "--version"], capture_output=True, text=True, check=False)
    lines = answer.stdout.strip().splitlines()
    return lines[0] if answer.returncode == 0 and lines else "unknown"


def project_revision(root: str) -> str:
    """The commit of the sources, with + where files were changed since; "" outside git."""
    git = ["git", "-C", root]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if changed else "")


def facts(thaw: str | None, threads: int, root: str) -> dict:
    """For the header of a report. `thaw`: path of the command, None where it takes no part."""
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_gib(), 1),
        "kernel": platform.release(),
        "threads": threads,
        "thaw": thaw_version(thaw) if thaw else "not run",
        "revision": project_revision(root),
        "python": platform.python_version(),
        **{name: version_of(name) for name in ("torch", "transformers", "numpy", "h5py")},
    }


def header(machine: dict) -> str:
    """The facts as two lines of Markdown."""
    revision = f", sources {machine['revision']}" if machine["revision"] else ""
    return (
        f"{machine['date']}; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}; {machine['threads']} threads a "
        f"side.  \nThaw: {machine['thaw']}{revision}; PyTorch {machine['torch']}, transformers "
        f"{machine['transformers']}, Python {machine['python']}."
    )


def load() -> float:
    """Processes that want to run, over the last minute, others' included."""
    return os.getloadavg()[0]
