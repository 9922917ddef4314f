"""What a process asks of the GPU's driver, counted by counts/counts.cpp."""

from __future__ import annotations

import ctypes
import glob
import os

from kit import programs
from kit.part import CannotCheck


class CannotCount(CannotCheck):
    pass


def library(bundle: str) -> str:
    """The counting library, or "" where the bundle has none."""
    path = os.path.join(bundle, "lib", "libthaw_device_counts.so")
    return path if os.path.exists(path) else ""


def cupti() -> str:
    """CUPTI among NVIDIA's wheels, or ""."""
    found = glob.glob(
        os.path.join(
            os.path.dirname(programs.torch_folder()), "nvidia", "*", "lib", "libcupti.so.*"
        )
    )
    return found[0] if found else ""


class Counter:
    """Counts this process's calls from `with` to `stop` or the end of the block."""

    def __init__(self, path: str):
        if not path:
            raise CannotCount("the bundle was packed without the counting library")
        os.environ["THAW_DEVICE_CUPTI"] = cupti()
        self._library = ctypes.CDLL(path)
        self._library.thaw_counts_read.restype = ctypes.c_char_p

    def __enter__(self) -> Counter:
        result = self._library.thaw_counts_start()
        if result != 0:
            raise CannotCount(f"CUPTI answers {result}")
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        self._library.thaw_counts_stop()

    def counts(self) -> dict[str, int]:
        found, index, value = {}, 0, ctypes.c_uint64()
        while name := self._library.thaw_counts_read(index, ctypes.byref(value)):
            found[name.decode()] = value.value
            index += 1
        return found
