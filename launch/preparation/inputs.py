"""Opening and fingerprinting the files that a user names."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from preparation import limits
from preparation.errors import InputError, reason
from preparation.progress import Progress

_BLOCK = 1 << 20

# What files begin with that people give in place of the right one.
_KINDS = [
    (b"PK\3\4", "a zip archive (or a workbook of Excel or LibreOffice)"),
    (b"\xd0\xcf\x11\xe0", "a workbook of an old Excel"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ\0", "compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a single array of numpy (.npy)"),
    (b"\x80\2", "a pickle of Python"),
    (b"\x80\3", "a pickle of Python"),
    (b"\x80\4", "a pickle of Python"),
    (b"\x80\5", "a pickle of Python"),
    (b"SQLite format 3", "a database of SQLite"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image or a sound"),
    (b"\x7fELF", "a program"),
    (b"GGUF", "a GGUF model"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose content was not fetched"),
    (b"<!doctype html", "a web page"),
    (b"<!DOCTYPE html", "a web page"),
    (b"<html", "a web page"),
]


def kind_of(head: bytes) -> str:
    """What a file that begins with `head` is: `a PNG image`; empty where it is not known."""
    if head[6:9] == b"\0\0{":  # behind the length of its header, 8 bytes
        return "a safetensors file"
    return next((kind for magic, kind in _KINDS if head.startswith(magic)), "")


class _Unpacked(io.RawIOBase):
    """A gzip stream that ends with an error where it unpacks to far more than real data does."""

    def __init__(self, path: str, packed: BinaryIO):
        self._path = path
        self._stream = gzip.GzipFile(fileobj=packed, mode="rb")
        self._packed = os.fstat(packed.fileno()).st_size
        self._unpacked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = self._stream.readinto(buffer)
        self._unpacked += count
        limits.check_ratio(self._path, self._packed, self._unpacked)
        return count


@contextlib.contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Opens a file for reading; one compressed by gzip (told by its first bytes) is unpacked.

    Damage found while reading inside the `with` is an InputError too.
    """
    try:
        with open_regular(path) as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with io.BufferedReader(_Unpacked(path, raw), _BLOCK) as unpacked:
                    yield unpacked
            else:
                yield raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


@contextlib.contextmanager
def open_regular(path: str) -> Iterator[BinaryIO]:
    """Opens a regular file as its bytes are. Nothing else: input is read more than once, which a
    pipe cannot do, and opening one would wait for its writer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # a name that holds a zero byte
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    with open(descriptor, "rb") as stream:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a folder; a file is needed")
        if not stat.S_ISREG(mode):
            raise InputError(
                f"{path}: is no regular file; it is read twice, so save it to a file first"
            )
        yield stream


def check_readable(path: str) -> None:
    """Refuses what open_regular does, before any work."""
    if os.path.isdir(path):  # which some file systems do not open
        raise InputError(f"{path}: is a folder; a file is needed")
    with open_regular(path):
        pass


class Unchanged:
    """Files that are read more than once, and must be the same each time."""

    def __init__(self, paths: list[str]):
        self._held = {path: self._identity(path) for path in paths}

    def check(self) -> None:
        for path, identity in self._held.items():
            if self._identity(path) != identity:
                raise InputError(f"{path}: changed while it was read")

    def _identity(self, path: str) -> tuple[int, ...]:
        try:
            held = os.stat(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {reason(error)}") from error
        return held.st_dev, held.st_ino, held.st_size, held.st_mtime_ns


def read_whole(path: str) -> bytes:
    """The content of a small file, unpacked."""
    with open_input(path) as stream:
        content = stream.read(limits.WHOLE_FILE_BYTES + 1)
    if len(content) > limits.WHOLE_FILE_BYTES:
        raise InputError(f"{path}: is larger than {limits.WHOLE_FILE_BYTES:,} bytes")
    return content


def read_exactly(stream: BinaryIO, count: int, path: str) -> bytes:
    """`count` bytes of an unpacked stream, however few one read gives."""
    parts = []
    left = count
    while left:
        part = stream.read(min(left, 64 * _BLOCK))  # `count` may be what a damaged header claims
        if not part:
            raise InputError(f"{path}: ends {left:,} bytes before its header says")
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def base_name(path: str) -> str:
    """The last part of a path as text; bytes that are no UTF-8 are escaped."""
    return os.fsencode(os.path.basename(os.path.abspath(path))).decode("utf-8", "backslashreplace")


def describe(path: str) -> dict:
    """What a dataset file keeps of its sources: the base name (paths are nobody's business), the
    size, and a SHA-256 of the bytes as they lie on disk."""
    digest = hashlib.sha256()
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            with Progress(f"fingerprint of {path}", size, "bytes") as progress:
                while block := stream.read(_BLOCK):
                    digest.update(block)
                    progress.add(len(block))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    return {"file": base_name(path), "bytes": size, "sha256": digest.hexdigest()}
