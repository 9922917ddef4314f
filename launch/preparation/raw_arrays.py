"""Arrays in files, read piece by piece: members of an npz file, and IDX files."""

from __future__ import annotations

import contextlib
import math
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from preparation.dataset_file import SLAB_BYTES
from preparation.errors import InputError, reason
from preparation.inputs import check_readable, open_input, read_exactly

# Type codes of the IDX format (http://yann.lecun.com/exdb/mnist), big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class RawArray:
    """An array that lies in a stream in C order, behind its header.

    `name` says where it is, in errors; `array` is what it is called there, if it is.
    """

    def __init__(self, name: str, array: str, dtype: np.dtype, shape: tuple[int, ...]):
        self.name = name
        self.array = array
        self.dtype = dtype
        self.shape = shape

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def open(self) -> contextlib.AbstractContextManager[BinaryIO]:
        """A stream at the first element."""
        raise NotImplementedError

    def slabs(self) -> Iterator[np.ndarray]:
        """The array in pieces along its first dimension."""
        row = max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)
        step = max(1, SLAB_BYTES // row)
        with self.open() as stream:
            for start in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - start)
                block = read_exactly(stream, count * row, self.name)
                yield np.frombuffer(block, self.dtype).reshape(count, *self.shape[1:])

    def whole(self) -> np.ndarray:
        return np.concatenate(list(self.slabs())) if self.shape[0] else np.zeros(0, self.dtype)


class NpzArray(RawArray):
    """One array of an npz file, without loading it whole (as `numpy.load` would)."""

    def __init__(self, path: str, array: str):
        self._path = path
        self._member = f"{array}.npy"
        with self._stream() as (stream, stored):
            version = np.lib.format.read_magic(stream)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read is None:
                raise InputError(f"{path}:{array}: npy version {version} is not supported")
            shape, self._fortran, dtype = read(stream)
            self._header = stream.tell()
        super().__init__(f"{path}:{array}", array, dtype, shape)
        if dtype.hasobject:
            raise InputError(f"{self.name}: holds Python objects; an array of numbers is needed")
        if stored != self._header + self.bytes:
            raise InputError(f"{self.name}: its size does not fit its header")

    @contextlib.contextmanager
    def _stream(self) -> Iterator[tuple[BinaryIO, int]]:
        check_readable(self._path)
        try:
            with zipfile.ZipFile(self._path) as archive:
                info = archive.getinfo(self._member)
                with archive.open(info) as stream:
                    yield stream, info.file_size
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
            raise InputError(f"{self._path}: damaged npz file: {reason(error)}") from error
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read: {reason(error)}") from error

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with self._stream() as (stream, _):
            read_exactly(stream, self._header, self._path)
            yield stream

    def slabs(self) -> Iterator[np.ndarray]:
        if not self._fortran:
            yield from super().slabs()
            return
        with self.open() as stream:  # its first dimension is the innermost: no way but whole
            block = read_exactly(stream, self.bytes, self.name)
        yield np.frombuffer(block, self.dtype).reshape(self.shape[::-1]).T


class IdxArray(RawArray):
    """A file of the IDX format, plain or gzip."""

    def __init__(self, path: str):
        with open_input(path) as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES or not head[3]:
                raise InputError(
                    f"{path}: is no IDX file (it begins with {head.hex(' ') or 'nothing'})"
                )
            shape = np.frombuffer(read_exactly(stream, 4 * head[3], path), ">u4")
        self._path = path
        self._header = 4 + 4 * head[3]
        super().__init__(path, "", np.dtype(_IDX_TYPES[head[2]]), tuple(int(n) for n in shape))

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with open_input(self._path) as stream:
            read_exactly(stream, self._header, self._path)
            yield stream
            if stream.read(1):
                raise InputError(f"{self._path}: is longer than its header says")
