"""Images in arrays: two arrays of an npz file, or a pair of IDX files. Read slab by slab."""

from __future__ import annotations

import contextlib
import math
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from preparation.classes import Labels
from preparation.dataset_file import SLAB_BYTES
from preparation.errors import InputError, listing, reason, suggestion
from preparation.inputs import check_readable, describe, open_input, read_exactly

# Type codes of the IDX format (http://yann.lecun.com/exdb/mnist), big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# What a dimension of channels measures, the likelier first.
_CHANNELS = [(1, 3), (4,)]


class RawArray:
    """An array that lies in a stream in C order, behind its header."""

    def __init__(self, name: str, dtype: np.dtype, shape: tuple[int, ...]):
        self.name = name
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
        super().__init__(f"{path}:{array}", dtype, shape)
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
        super().__init__(path, np.dtype(_IDX_TYPES[head[2]]), tuple(int(n) for n in shape))

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with open_input(self._path) as stream:
            read_exactly(stream, self._header, self._path)
            yield stream
            if stream.read(1):
                raise InputError(f"{self._path}: is longer than its header says")


class ArrayImages:
    """Images [N,H,W], [N,H,W,C] or [N,C,H,W] and their labels, as a source of N,C,H,W slabs."""

    def __init__(self, images: RawArray, labels: RawArray, paths: list[str], layout: str | None):
        self.name = images.name
        self.count = images.shape[0] if images.shape else 0
        self._images = images
        self._paths = paths
        self._layout = _layout(images, layout)
        self.shape = {
            "NHW": lambda: (1, *images.shape[1:]),
            "NHWC": lambda: (images.shape[3], images.shape[1], images.shape[2]),
            "NCHW": lambda: images.shape[1:],
        }[self._layout]()
        kind = images.dtype.kind
        if kind not in "uif":
            raise InputError(f"{images.name}: has type {images.dtype}; numbers are needed")
        self.dtype = np.dtype(np.float32 if kind == "f" else np.uint8)
        self.labels, self.indices = _labels(labels)
        if len(self.labels.rows) != self.count:
            raise InputError(
                f"{images.name} has {self.count:,} images, {labels.name} {len(self.labels.rows):,} "
                "labels"
            )
        if not self.count:
            raise InputError(f"{images.name}: holds no images")

    def slabs(self) -> Iterator[np.ndarray]:
        row = 0
        for slab in self._images.slabs():
            self._check_values(slab, row)
            row += len(slab)
            if self._layout == "NHW":
                yield slab[:, None]
            else:
                yield slab.transpose(0, 3, 1, 2) if self._layout == "NHWC" else slab

    def describe(self) -> list[dict]:
        return [describe(path) for path in self._paths]

    def _check_values(self, slab: np.ndarray, row: int) -> None:
        if self.dtype == np.float32:
            with np.errstate(over="ignore"):
                bad = ~np.isfinite(slab.astype(np.float32))
            problem = "is no finite float32"
        elif slab.dtype == np.uint8:
            return
        else:
            bad = (slab < 0) | (slab > 255)
            problem = "is not within 0 to 255; convert the array to uint8 or float32"
        if bad.any():
            where = np.argwhere(bad)[0]
            value = slab[tuple(where)]
            where[0] += row
            position = ",".join(str(index) for index in where)
            raise InputError(f"{self.name}[{position}]: {value} {problem}")


def open_npz(spec: str, layout: str | None) -> ArrayImages:
    """`file.npz:IMAGES,LABELS`"""
    path, _, names = spec.rpartition(":")
    if not path.endswith(".npz"):
        path, names = spec, ""
    check_readable(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: is no npz file: {error}") from error
    held = [name[:-4] for name in members if name.endswith(".npy")]
    wanted = names.split(",")
    if len(wanted) != 2:
        raise InputError(
            f"{spec}: name the arrays of images and of labels, as {path}:IMAGES,LABELS; "
            f"it holds: {listing(held)}"
        )
    for name in wanted:
        if name not in held:
            raise InputError(
                f'{path}: has no array "{name}"; it has: {listing(held)}{suggestion(name, held)}'
            )
    return ArrayImages(NpzArray(path, wanted[0]), NpzArray(path, wanted[1]), [path], layout)


def open_idx(spec: str, layout: str | None) -> ArrayImages:
    """`images,labels`, two files"""
    paths = spec.split(",")
    if len(paths) != 2:
        raise InputError(f"{spec}: names {len(paths)} files; an IDX pair is `images,labels`")
    return ArrayImages(IdxArray(paths[0]), IdxArray(paths[1]), paths, layout)


def _layout(images: RawArray, given: str | None) -> str:
    """How the dimensions of `images` are ordered, from their sizes where not given."""
    shape = list(images.shape)
    if len(shape) == 3:
        return "NHW"
    if len(shape) != 4:
        raise InputError(
            f"{images.name}: has shape {shape}; images are [N,H,W], [N,H,W,C] or [N,C,H,W]"
        )
    if given:
        return given
    for channels in _CHANNELS:
        first, last = shape[1] in channels, shape[3] in channels
        if first != last:
            return "NCHW" if first else "NHWC"
        if first:
            break
    raise InputError(
        f"{images.name}: cannot tell channels in shape {shape}; give --layout NCHW or NHWC"
    )


def _labels(labels: RawArray) -> tuple[Labels, bool]:
    """The labels, and whether they are indices (numbers) rather than names."""
    shape = labels.shape
    if len(shape) == 2 and shape[1] == 1:  # a column, as Keras keeps them
        shape = shape[:1]
    if len(shape) != 1:
        raise InputError(
            f"{labels.name}: has shape {list(shape)}; labels are one number or name each"
        )
    if labels.dtype.kind not in "uiUS":
        raise InputError(f"{labels.name}: has type {labels.dtype}; labels are integers or names")
    values = labels.whole().reshape(-1)
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{labels.name}: a name is not UTF-8: {error}") from error
    return (
        Labels.of_array(values, lambda row: f"{labels.name}[{row}]"),
        values.dtype.kind in "ui",
    )
