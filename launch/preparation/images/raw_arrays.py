"""Arrays in files, read piece by piece: members of an npz file, and IDX files."""

from __future__ import annotations

import contextlib
import io
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from preparation import limits
from preparation.dataset_file import SLAB_BYTES
from preparation.errors import InputError, reason
from preparation.inputs import kind_of, open_input, open_regular, read_exactly

# Type codes of the IDX format (http://yann.lecun.com/exdb/mnist), big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


_NPY_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_NPY_HEADER_BYTES = 10_000  # numpy's own bound
_DIRECTORY_BYTES = 16 << 20  # of a zip archive: some 200,000 arrays


class RawArray:
    """An array that lies in a stream in C order, behind its header.

    `name` says where it is, in errors; `array` is what it is called there, if it is.
    """

    def __init__(self, name: str, array: str, dtype: np.dtype, shape: tuple[int, ...]):
        self.name = name
        self.array = array
        self.dtype = dtype
        self.shape = shape
        self._check_bounds()

    def _check_bounds(self) -> None:
        """Nothing is read or reserved by what a header claims before that was looked at."""
        if self.dtype.hasobject:
            raise InputError(f"{self.name}: holds Python objects; an array of numbers is needed")
        if self.dtype.kind not in "biufcSU" or not self.dtype.itemsize:
            raise InputError(f"{self.name}: has type {self.dtype}; numbers or names are needed")
        if not self.shape or len(self.shape) > 4:
            raise InputError(
                f"{self.name}: has shape {list(self.shape)}; 1 to 4 extents are needed"
            )
        if min(self.shape) <= 0:
            what = "images or labels" if self.shape[0] == 0 else "pixels"
            raise InputError(f"{self.name}: has shape {list(self.shape)}; holds no {what}")
        limits.check_samples(self.name, self.shape[0])
        row = math.prod(self.shape[1:])
        if self.dtype.kind in "SU" and self.dtype.itemsize > 4 * limits.CLASS_NAME:
            raise InputError(f"{self.name}: has type {self.dtype}; that is no name of a class")
        if row * self.dtype.itemsize > limits.IMAGE_BYTES:
            raise InputError(
                f"{self.name}: has shape {list(self.shape)} of {self.dtype}; one row of it is more "
                "than an image"
            )

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


class NpzArray(RawArray):
    """One array of an npz file, without loading it whole (as `numpy.load` would)."""

    def __init__(self, path: str, array: str):
        self._path = path
        self._member = f"{array}.npy"
        with self._stream() as (stream, info):
            shape, self._fortran, dtype = _npy_header(stream, f"{path}:{array}")
            self._header = stream.tell()
        super().__init__(f"{path}:{array}", array, dtype, shape)
        if info.file_size != self._header + self.bytes:
            raise InputError(f"{self.name}: its size does not fit its header")
        limits.check_ratio(self.name, info.compress_size, info.file_size)
        if self._fortran and len(shape) > 1 and self.bytes > limits.WHOLE_ARRAY_BYTES:
            raise InputError(
                f"{self.name}: is kept in Fortran's order, so that it must be held whole, and is "
                f"larger than {limits.WHOLE_ARRAY_BYTES:,} bytes (numpy: .copy(order='C'))"
            )

    @contextlib.contextmanager
    def _stream(self) -> Iterator[tuple[BinaryIO, zipfile.ZipInfo]]:
        with open_npz_archive(self._path) as archive:
            info = archive.getinfo(self._member)
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(f"{self._path}: is packed in a way that numpy.savez does not use")
            with archive.open(info) as stream:
                yield stream, info

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


class _Archive:
    """A file that refuses the one read of a zip archive that is as long as its end claims: that of
    its directory, while `opening`."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.opening = True

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def read(self, size: int = -1) -> bytes:
        if self.opening and size > _DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its directory claims {size:,} bytes")
        return self._stream.read(size)


@contextlib.contextmanager
def open_npz_archive(path: str) -> Iterator[zipfile.ZipFile]:
    """The zip archive that an npz file is; damage found inside the `with` is an InputError too."""
    try:
        with open_regular(path) as raw:
            bounded = _Archive(raw)
            with zipfile.ZipFile(bounded) as archive:
                bounded.opening = False
                yield archive
    except zipfile.BadZipFile as error:
        with open_regular(path) as raw:
            kind = kind_of(raw.read(32))
        what = "damaged npz file" if kind.startswith("a zip") or not kind else f"it is {kind}"
        raise InputError(f"{path}: is no npz file: {what} ({reason(error)})") from error
    except (zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError, KeyError,
            OverflowError) as error:  # fmt: skip
        raise InputError(f"{path}: damaged npz file: {reason(error)}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


def _npy_header(stream: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type; read by numpy, once its length is known."""
    head = read_exactly(stream, 12, name)
    version = (head[6], head[7])
    if head[:6] != b"\x93NUMPY" or version not in _NPY_READERS:
        raise InputError(f"{name}: is no npy array of version 1 or 2")
    length = int.from_bytes(head[8:10] if version == (1, 0) else head[8:12], "little")
    rest = length - (2 if version == (1, 0) else 0)
    if not 0 <= rest <= _NPY_HEADER_BYTES:
        raise InputError(f"{name}: its header claims {length:,} bytes")
    text = io.BytesIO(head[8:] + read_exactly(stream, rest, name))
    try:
        shape, fortran, dtype = _NPY_READERS[version](text)
        return tuple(int(extent) for extent in shape), fortran, np.dtype(dtype)
    except Exception as error:  # numpy evaluates the header as Python
        raise InputError(f"{name}: damaged npy header: {reason(error)}") from error


class IdxArray(RawArray):
    """A file of the IDX format, plain or gzip."""

    def __init__(self, path: str):
        with open_input(path) as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES or not head[3]:
                kind = kind_of(head + stream.read(28))
                raise InputError(
                    f"{path}: is no IDX file ("
                    + (
                        f"it is {kind})"
                        if kind
                        else f"it begins with {head.hex(' ') or 'nothing'})"
                    )
                )
            shape = np.frombuffer(read_exactly(stream, 4 * head[3], path), ">u4")
            plain = isinstance(stream.raw, io.FileIO)
            held = os.fstat(stream.fileno()).st_size if plain else None
        self._path = path
        self._header = 4 + 4 * head[3]
        super().__init__(path, "", np.dtype(_IDX_TYPES[head[2]]), tuple(int(n) for n in shape))
        missing = self._header + self.bytes - held if held is not None else 0
        if missing > 0:
            raise InputError(f"{path}: ends {missing:,} bytes before its header says")

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with open_input(self._path) as stream:
            read_exactly(stream, self._header, self._path)
            yield stream
            if stream.read(1):
                raise InputError(f"{self._path}: is longer than its header says")
