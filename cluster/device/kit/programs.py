"""Runs the bundle's programs with the bundle's libraries and Python's LibTorch alone."""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
import re
import subprocess
import time
from dataclasses import dataclass

from measuring.processes import RunFailed

TORCH = "2.11"  # that the programs were linked with: LibTorch's C++ interface is of one version
CUDA = "13."


def torch_folder() -> str:
    """Where Python's torch lies, or ""; does not load it."""
    found = importlib.util.find_spec("torch")
    return os.path.dirname(found.origin) if found and found.origin else ""


def obstacle(bundle: str, null_gpu: bool) -> str:
    """Why nothing can be run here, in a sentence, or ""."""
    folder = torch_folder()
    if not folder:
        wanted = f"{TORCH} for CUDA {CUDA}x"
        return f"this Python has no torch: {wanted} is needed (name another Python by PYTHON)"
    with open(os.path.join(folder, "version.py"), encoding="utf-8") as stream:
        text = stream.read()
    version = re.search(r"__version__ = '([^']*)'", text)
    cuda = re.search(r"^cuda[^=]*= '([^']+)'", text, re.MULTILINE)
    if (
        not version
        or not version[1].startswith(TORCH + ".")
        or not cuda
        or not cuda[1].startswith(CUDA)
    ):
        had = f"{version[1] if version else 'unknown'} for CUDA {cuda[1] if cuda else 'none'}"
        return f"this Python's torch is {had}; the programs need {TORCH} for CUDA {CUDA}x"
    if not null_gpu and gpu_count() == 0:
        return "there is no GPU here that NVIDIA's driver shows, and all of this is about one"
    if os.uname().machine != "x86_64":
        return f"this machine is {os.uname().machine}; the programs are for x86_64"
    return ""


def gpu_count() -> int:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def environment(bundle: str, null_gpu: str, threads: int = 2) -> dict[str, str]:
    """What the programs need beside this process's own environment."""
    torch = torch_folder()
    libraries = [os.path.join(bundle, "lib"), os.path.join(torch, "lib")]
    libraries += sorted(glob.glob(os.path.join(os.path.dirname(torch), "nvidia", "*", "lib")))
    if os.environ.get("LD_LIBRARY_PATH"):
        libraries.append(os.environ["LD_LIBRARY_PATH"])
    mpi = os.path.join(bundle, "mpi")
    settings = {
        "LD_LIBRARY_PATH": ":".join(libraries),
        "OMP_NUM_THREADS": str(threads),
        "OPAL_PREFIX": mpi,
        "OPAL_BINDIR": os.path.join(mpi, "bin"),
        "OPAL_LIBDIR": os.path.join(mpi, "lib"),
        "OPAL_PKGLIBDIR": os.path.join(mpi, "lib", "openmpi3"),
        "OPAL_PKGDATADIR": os.path.join(mpi, "share"),
        "PMIX_INSTALL_PREFIX": mpi,
        "PMIX_PKGLIBDIR": os.path.join(mpi, "lib", "pmix"),
        "OMPI_MCA_btl": "self,vader",
        "OMPI_MCA_pml": "ob1",
        "OMPI_MCA_plm": "isolated",
        "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        # Two ranks on one GPU (dist/communicator/gpu_choice.cpp, Note [Several ranks on one GPU]),
        # on a machine that may have no network but loopback.
        "NCCL_MULTI_RANK_GPU_ENABLE": "1",
        "NCCL_SOCKET_IFNAME": "lo",
    }
    if null_gpu:
        settings |= {"TORCH_CUDNN_V8_API_DISABLED": "1", "NULL_GPU_DEVICES": "1"}
        settings["OMP_WAIT_POLICY"] = "PASSIVE"  # the machine of a rehearsal may have other work
    return settings


def command(part, program: str, *arguments: str, ranks: int = 0) -> list[str]:
    """The program's command line, under mpirun where there are `ranks`."""
    launcher = [part.program("mpirun"), "-n", str(ranks)] if ranks else []
    null = ["env", f"LD_PRELOAD={part.null_gpu}"] if part.null_gpu else []  # not into mpirun itself
    return [*launcher, *null, part.program(program), *map(str, arguments)]


@dataclass
class Done:
    status: int
    output: str
    seconds: float


def run(
    part, name: str, line: list[str], seconds: float = 1e9, threads: int = 2, **extra: str
) -> Done:
    """Runs a command line within so many seconds and what is left of the part. Raises RunFailed
    where that is too short; its log lies in the part's folder."""
    log = os.path.join(part.folder("logs"), re.sub(r"[^\w.-]+", "-", name) + ".txt")
    limit = min(seconds, part.left())
    settings = {**os.environ, **environment(part.bundle, part.null_gpu, threads), **extra}
    started = time.monotonic()
    with open(log, "w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                line, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, env=settings,
                timeout=limit, check=False, cwd=part.work,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RunFailed(f"{name}: not through after {limit:.0f} s; {end_of(log)}") from None
    return Done(done.returncode, read(log), time.monotonic() - started)


def read(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def end_of(log: str, characters: int = 1500) -> str:
    return read(log)[-characters:]
