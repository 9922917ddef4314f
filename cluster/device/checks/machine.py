"""What this machine is, and what no step can be faster than: copies, products, launches."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import time

from kit import programs
from kit.part import Part
from measuring import machine


def run(part: Part) -> None:
    part.check("versions", lambda: versions(part))
    part.check("thaw starts", lambda: thaw_starts(part))
    if part.null_gpu:
        part.skipped("ceilings", "the null GPU computes nothing: its times mean nothing")
        return
    part.check("ceilings", lambda: ceilings(part))


def said(*command: str) -> str:
    """The first line that a program of the system prints; "" where there is none."""
    if not shutil.which(command[0]):
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return next(iter(done.stdout.strip().splitlines()), "")


def versions(part: Part) -> str:
    import torch

    query = "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit"
    part.values(
        gpu=said("nvidia-smi", query, "--format=csv,noheader") or torch.cuda.get_device_name(0),
        gpus=torch.cuda.device_count(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=str(torch.backends.cudnn.version()),
        nccl=".".join(map(str, torch.cuda.nccl.version())),
        python=platform.python_version(),
        glibc=" ".join(platform.libc_ver()),
        kernel=platform.release(),
        cpu=machine.cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(machine.memory_gib(), 1),
        nvcc=nvcc(),
    )
    return ""


def nvcc() -> str:
    for path in ("nvcc", "/usr/local/cuda/bin/nvcc"):
        if shutil.which(path):
            done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            return next((line for line in done.stdout.splitlines() if "release" in line), "")
    return ""


def thaw_starts(part: Part) -> str:
    done = programs.run(part, "version", programs.command(part, "thaw", "--version"), seconds=60)
    if done.status != 0:
        raise RuntimeError(f"thaw --version ended with {done.status}: {done.output[-1500:]}")
    part.values(thaw=done.output.strip().splitlines()[0], thaw_start_seconds=done.seconds)
    return done.output.strip().replace("\n", "; ")


def timed(body, repeats: int) -> float:
    """Seconds of one call: the median of repeats, by the GPU's clock."""
    import torch

    for _ in range(2):
        body()
    seconds = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        body()
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


def ceilings(part: Part) -> str:
    import torch

    def random(*shape: int, dtype=torch.bfloat16):
        return torch.randn(shape, device="cuda", dtype=torch.float32).to(dtype)

    source = torch.empty(1 << 30, dtype=torch.float32, device="cuda").normal_()
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / timed(lambda: target.copy_(source), 5)
    pinned = torch.empty(1 << 28, dtype=torch.uint8).pin_memory()
    place = torch.empty_like(pinned, device="cuda")
    uploaded = pinned.nbytes / timed(lambda: place.copy_(pinned, non_blocking=True), 5)
    found = {"copy_TB_per_s": copied / 1e12, "upload_GB_per_s": uploaded / 1e9}
    for name, dtype, size in (
        ("bfloat16", torch.bfloat16, 8192),
        ("float32", torch.float32, 4096), ("float64", torch.float64, 4096),
    ):  # fmt: skip
        a, b = random(size, size, dtype=dtype), random(size, size, dtype=dtype)
        found[f"matmul_{name}_TFLOP_per_s"] = 2 * size**3 / timed(lambda a=a, b=b: a @ b, 8) / 1e12
    one = torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(2000):
        one.add_(1)
    torch.cuda.synchronize()
    found["small_operation_us"] = (time.perf_counter() - started) / 2000 * 1e6
    part.values(**found)
    return ""
